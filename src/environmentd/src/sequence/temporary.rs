//! Temporary tables and views: ordinary objects in a schema of the session's own, which goes with the session.
//!
//! What a crash leaves is dropped when the environment starts again, before anybody can connect.

use catalog::{Catalog, Op};
use tracing::warn;

use crate::committer::SubmitError;
use crate::environment::Environment;
use crate::error::Error;
use crate::secrets;
use crate::session::Session;

/// Times the drop is planned again because other changes of the catalog came first.
const RETRIES_MAX: usize = 100;

/// `ops`, and before them the making of the session's schema if they are the first that need it.
pub(super) fn with_schema(catalog: &Catalog, mut ops: Vec<Op>) -> Vec<Op> {
    let missing = ops.iter().find_map(|op| match op {
        Op::CreateItem(item) if sql::names::is_temporary(&item.name.schema) => {
            let (database, name) = (item.name.database.clone()?, item.name.schema.clone());
            catalog.schema_record(&database, &name).is_none().then_some(Op::CreateSchema { database, name })
        }
        _ => None,
    });
    ops.splice(0..0, missing);
    ops
}

impl Session {
    /// Drops all temporary objects of the session.
    pub(crate) async fn drop_temporary(&mut self) -> Result<(), Error> {
        drop_schemas(&self.environment, Some(&self.temporary_schema())).await
    }

    /// The end of a session whose client has gone.
    pub(crate) async fn end(&mut self) {
        if let Err(error) = self.drop_temporary().await {
            warn!(%error, "temporary objects stay until the next start");
        }
    }
}

/// Drops the temporary objects of sessions that a crash has ended.
pub(crate) async fn drop_leftovers(environment: &Environment) -> Result<(), Error> {
    drop_schemas(environment, None).await
}

/// Drops one schema of temporary objects, or all.
async fn drop_schemas(environment: &Environment, schema: Option<&str>) -> Result<(), Error> {
    for _ in 0..RETRIES_MAX {
        let catalog = environment.catalog();
        let ops = catalog.drops_of_temporary(schema);
        if ops.is_empty() {
            return Ok(());
        }
        match secrets::commit(environment, &catalog, catalog.transact(ops)?, None).await {
            Ok(_) => return Ok(()),
            Err(SubmitError::Stale | SubmitError::Conflict) => {}
            Err(SubmitError::Failed(error)) => return Err(error),
        }
    }
    Err(Error::new("40001", "could not serialize access: the catalog keeps changing").with_hint("Try again."))
}
