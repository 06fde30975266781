//! `CREATE SECRET [IF NOT EXISTS] name AS value`, and in the catalog `CREATE SECRET name STORED AS 'version'`.
//!
//! The value is a constant expression, of text or bytes. It stands in no message: what is wrong with it is told by its code
//! alone.

use repr::RelationDesc;
use sqlparser::ast::{Expr, ObjectName};
use stdx::Redacted;

use super::Planner;
use super::create_table::check_new;
use super::qualify::full_name;
use crate::catalog_view::{FullName, SecretVersion};
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::{CreateSecretPlan, Plan, SecretContents};

#[derive(Clone, Debug)]
pub struct CreateSecret {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub contents: Contents,
}

#[derive(Clone, Debug)]
pub enum Contents {
    Value(Box<Redacted<Expr>>),
    /// As the catalog writes it: the value is in the store.
    Stored(SecretVersion),
}

impl CreateSecret {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateSecret, Error> {
        let if_not_exists = cursor.if_not_exists();
        let name = cursor.name()?;
        let contents = if cursor.take(&["stored", "as"]) {
            let position = cursor.position();
            let version = cursor.string()?.parse();
            Contents::Stored(version.map_err(|()| Error::new("42601", "no version of a secret").at(position))?)
        } else {
            cursor.expect(&["as"])?;
            Contents::Value(Box::new(Redacted::new(cursor.expr()?)))
        };
        Ok(CreateSecret { name, if_not_exists, contents })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = names::new_item_name(planner.context, planner.catalog, &self.name)?;
        let exists = check_new(planner, &name, self.if_not_exists, "CREATE SECRET");
        if let Some(exists) = exists.map_err(|error| error.at_node(&self.name))? {
            return Ok(exists);
        }
        let contents = self.contents.plan(planner)?;
        Ok(Plan::CreateSecret(CreateSecretPlan { name, contents }))
    }
}

impl Contents {
    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<SecretContents, Error> {
        match self {
            Contents::Value(value) => plan_value(planner, value).map(SecretContents::Value),
            Contents::Stored(version) => Ok(SecretContents::Stored(*version)),
        }
    }
}

/// The value of a secret, before functions of the session are called. Errors: quote nothing of it.
pub(super) fn plan_value(planner: &mut Planner<'_>, value: &Redacted<Expr>) -> Result<Redacted<expr::Scalar>, Error> {
    let empty = RelationDesc::default();
    let planned = planner.scalar_or_text(super::planner::Over::nothing(&empty, value.expose()));
    planned.map(Redacted::new).map_err(Error::of_secret)
}

/// What the catalog keeps of a secret.
pub fn secret_definition(name: &FullName, version: SecretVersion) -> String {
    format!("CREATE SECRET {} STORED AS '{version}'", full_name(name))
}
