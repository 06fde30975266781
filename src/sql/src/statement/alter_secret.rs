//! `ALTER SECRET [IF EXISTS] name AS value`.

use sqlparser::ast::{Expr, ObjectName};
use stdx::Redacted;

use super::Planner;
use super::create_secret::plan_value;
use super::drop::is_missing;
use super::object_kind::ObjectKind;
use super::rename::item_to_alter;
use crate::error::Error;
use crate::parse::Cursor;
use crate::plan::{AlterSecretPlan, Notice, Plan};

#[derive(Clone, Debug)]
pub struct AlterSecret {
    pub name: ObjectName,
    pub if_exists: bool,
    pub value: Box<Redacted<Expr>>,
}

impl AlterSecret {
    /// Reads what follows `AS`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>, name: ObjectName, if_exists: bool) -> Result<AlterSecret, Error> {
        Ok(AlterSecret { name, if_exists, value: Box::new(Redacted::new(cursor.expr()?)) })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        match item_to_alter(planner, ObjectKind::Secret, &self.name) {
            Ok(item) => Ok(Plan::AlterSecret(AlterSecretPlan {
                id: item.id,
                name: item.name.clone(),
                value: plan_value(planner, &self.value)?,
            })),
            Err(error) if self.if_exists && is_missing(&error) => {
                let message = format!("{}, skipping", error.message);
                Ok(Plan::NoOp { tag: "ALTER SECRET", notice: Some(Notice { code: "00000", message }) })
            }
            Err(error) => Err(error.at_node(&self.name)),
        }
    }
}
