//! `CREATE DATABASE`, `CREATE SCHEMA`.

use sqlparser::ast::{Ident, ObjectName};

use super::Planner;
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{Notice, Plan};

#[derive(Clone, Debug)]
pub struct CreateDatabase {
    pub name: Ident,
    pub if_not_exists: bool,
}

#[derive(Clone, Debug)]
pub struct CreateSchema {
    pub name: ObjectName,
    pub if_not_exists: bool,
}

impl CreateDatabase {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateDatabase, Error> {
        let if_not_exists = cursor.if_not_exists();
        Ok(CreateDatabase { name: cursor.ident()?, if_not_exists })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let name = names::check_unreserved(&self.name, "database")?;
        if planner.catalog.databases().contains(&name) {
            let message = format!("database {} already exists", in_quotes(&name));
            return exists(self.if_not_exists, "CREATE DATABASE", "42P04", message);
        }
        Ok(Plan::CreateDatabase { name, if_not_exists: self.if_not_exists })
    }
}

impl CreateSchema {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateSchema, Error> {
        let if_not_exists = cursor.if_not_exists();
        if cursor.peek_words(&["authorization"]) {
            return Err(cursor.unsupported("CREATE SCHEMA with AUTHORIZATION"));
        }
        Ok(CreateSchema { name: cursor.name()?, if_not_exists })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let (database, schema) = match names::parts(&self.name)?[..] {
            [schema] => (planner.context.database.clone(), schema),
            [database, schema] => (names::resolve_database(planner.catalog, database)?, schema),
            _ => return Err(Error::new("42601", "improper schema name (too many dotted names)").at_node(&self.name)),
        };
        if !planner.catalog.databases().contains(&database) {
            return Err(Error::new("3D000", format!("database {} does not exist", in_quotes(&database))));
        }
        let name = names::check_unreserved(schema, "schema")?;
        if planner.catalog.schemas(Some(&database)).contains(&name) {
            let message = format!("schema {} already exists", in_quotes(&name));
            return exists(self.if_not_exists, "CREATE SCHEMA", "42P06", message);
        }
        Ok(Plan::CreateSchema { database, name, if_not_exists: self.if_not_exists })
    }
}

/// What CREATE of something that exists comes to: nothing, with a notice, or an error.
pub(crate) fn exists(
    if_not_exists: bool,
    tag: &'static str,
    code: &'static str,
    message: String,
) -> Result<Plan, Error> {
    if if_not_exists {
        Ok(Plan::NoOp { tag, notice: Some(Notice { code, message: format!("{message}, skipping") }) })
    } else {
        Err(Error::new(code, message))
    }
}
