//! CREATE SECRET and ALTER SECRET: the value of a statement, and the catalog's part of it.

use catalog::{NewItem, Op};
use expr::Scalar;
use repr::Datum;
use sql::Plan;
use sql::plan::{AlterSecretPlan, CreateSecretPlan, SecretContents};
use stdx::Redacted;

use super::prepare;
use crate::error::Error;
use crate::secrets;
use crate::session::Session;

/// Most bytes of a secret's value.
const VALUE_BYTES_MAX: usize = 64 << 10;

impl Session {
    /// The value that a statement gives to a secret; None: it is of another kind. Errors quote nothing of the value.
    pub(super) fn secret_contents(&self, plan: &Plan) -> Result<Option<Redacted<Vec<u8>>>, Error> {
        let value = match plan {
            Plan::CreateSecret(CreateSecretPlan { contents: SecretContents::Value(value), .. })
            | Plan::AlterSecret(AlterSecretPlan { value, .. }) => value,
            Plan::CreateSecret(CreateSecretPlan { contents: SecretContents::Stored(_), .. }) => {
                return Err(Error::new("42601", "a secret gets its value with AS"));
            }
            _ => return Ok(None),
        };
        let mut scalar = value.expose().clone();
        prepare::bind_functions_in(self, &mut scalar).map_err(Error::of_secret)?;
        scalar.reduce(&[]);
        contents(&scalar).map(Some)
    }

    /// What the catalog is to do. A secret gets a version that no other value has had.
    pub(super) fn secret_op(&self, plan: Plan) -> Op {
        let version = secrets::next_version(&self.environment);
        match plan {
            Plan::CreateSecret(CreateSecretPlan { name, .. }) => {
                Op::CreateItem(Box::new(NewItem::secret(name, version)))
            }
            Plan::AlterSecret(AlterSecretPlan { id, .. }) => Op::AlterSecret { id, version },
            other => unreachable!("not a plan for a secret: {other:?}"),
        }
    }
}

/// Text is taken as it is, in UTF-8: nothing in it is an escape.
fn contents(scalar: &Scalar) -> Result<Redacted<Vec<u8>>, Error> {
    let refused = |code, message: &str| Err(Error::new(code, message));
    let bytes = match scalar.as_literal() {
        Some(Err(error)) => return Err(Error::from(error.clone()).of_secret()),
        Some(Ok(Datum::Null)) => return refused("22004", "the value of a secret cannot be NULL"),
        Some(Ok(Datum::Text(text))) => text.as_bytes().to_vec(),
        Some(Ok(Datum::Bytes(bytes))) => bytes.to_cow().into_owned(),
        Some(Ok(_)) => return refused("42804", "the value of a secret must be of type text or bytea"),
        None => return refused("0A000", "the value of a secret must be a constant"),
    };
    if bytes.len() > VALUE_BYTES_MAX {
        return refused("22023", "the value of a secret may have at most 65536 bytes");
    }
    Ok(Redacted::new(bytes))
}
