//! `SUBSCRIBE [TO] object | (query) [WITH (...)] [AS OF ...] [UP TO time]`.

use repr::Timestamp;
use sqlparser::ast::{Expr, ObjectName, Query};
use sqlparser::tokenizer::Token;

use super::Planner;
use super::qualify::full_name;
use super::select::{AsOf, plan_millis, plan_when};
use crate::error::Error;
use crate::names;
use crate::parse::{self, Cursor};
use crate::plan::SubscribePlan;
use crate::query::Lifetime;

#[derive(Clone, Debug)]
pub struct Subscribe {
    pub target: Target,
    pub snapshot: bool,
    pub progress: bool,
    pub as_of: Option<AsOf>,
    pub up_to: Option<Box<Expr>>,
}

#[derive(Clone, Debug)]
pub enum Target {
    Object(ObjectName),
    Query(Box<Query>),
}

impl Subscribe {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Subscribe, Error> {
        cursor.expect(&["subscribe"])?;
        cursor.take(&["to"]);
        let target = if cursor.take_token(&Token::LParen) {
            let query = cursor.query()?;
            cursor.expect_token(&Token::RParen)?;
            Target::Query(query)
        } else {
            Target::Object(cursor.name()?)
        };
        let mut subscribe = Subscribe { target, snapshot: true, progress: false, as_of: None, up_to: None };
        if cursor.take(&["with"]) {
            for option in cursor.option_list(&["snapshot", "progress"], &[])? {
                match option.name {
                    "snapshot" => subscribe.snapshot = option.flag()?,
                    _ => subscribe.progress = option.flag()?,
                }
            }
        }
        subscribe.as_of = AsOf::parse(cursor)?;
        if cursor.take(&["up", "to"]) {
            subscribe.up_to = Some(Box::new(cursor.expr()?));
        }
        if cursor.peek_words(&["envelope"]) {
            return Err(cursor.unsupported("SUBSCRIBE with ENVELOPE"));
        }
        if cursor.peek_words(&["within"]) {
            return Err(cursor.unsupported("SUBSCRIBE with WITHIN TIMESTAMP ORDER BY"));
        }
        Ok(subscribe)
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<SubscribePlan, Error> {
        let when = plan_when(planner, self.as_of.as_ref())?;
        let up_to = self.up_to.as_ref().map(|time| plan_millis(planner, time, "UP TO")).transpose()?;
        let planned = match &self.target {
            Target::Query(query) => planner.collection(query, Lifetime::Maintained)?,
            Target::Object(name) => {
                let item = names::resolve_relation(planner.context, planner.catalog, name)?;
                let query = parse::query(&format!("SELECT * FROM {}", full_name(&item.name)))?;
                planner.collection(&query, Lifetime::Maintained)?
            }
        };
        Ok(SubscribePlan {
            relation: planned.relation,
            desc: planned.desc,
            with_snapshot: self.snapshot,
            progress: self.progress,
            when,
            up_to: up_to.map(Timestamp::from_millis),
        })
    }
}
