//! `SELECT ... [AS OF [AT LEAST] time]`, and what else is a query: VALUES, WITH, TABLE.

use repr::{Arena, Datum, RelationDesc, ScalarType, Timestamp};
use sqlparser::ast::{Expr, Query};

use super::Planner;
use super::planner::Over;
use crate::error::Error;
use crate::parse::Cursor;
use crate::plan::{SelectPlan, When};

#[derive(Clone, Debug)]
pub struct Select {
    pub query: Box<Query>,
    pub as_of: Option<AsOf>,
}

/// At which time to read.
#[derive(Clone, Debug)]
pub struct AsOf {
    pub at_least: bool,
    pub time: Box<Expr>,
}

impl Select {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Select, Error> {
        Ok(Select { query: cursor.query()?, as_of: AsOf::parse(cursor)? })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<SelectPlan, Error> {
        let when = plan_when(planner, self.as_of.as_ref())?;
        planner.select(&self.query, when)
    }
}

impl AsOf {
    /// Reads `AS OF [AT LEAST] time`, if it comes next.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<AsOf>, Error> {
        if !cursor.take_as_of() {
            return Ok(None);
        }
        let at_least = cursor.take(&["at", "least"]);
        Ok(Some(AsOf { at_least, time: Box::new(cursor.expr()?) }))
    }
}

pub(crate) fn plan_when(planner: &mut Planner<'_>, as_of: Option<&AsOf>) -> Result<When, Error> {
    match as_of {
        None => Ok(When::Immediately),
        Some(AsOf { at_least: false, time }) => {
            // All that shows as of the millisecond.
            plan_millis(planner, time, "AS OF").map(Timestamp::end_of_millis).map(When::At)
        }
        Some(AsOf { at_least: true, time }) => {
            plan_millis(planner, time, "AS OF AT LEAST").map(Timestamp::from_millis).map(When::AtLeast)
        }
    }
}

/// The millisecond that a constant expression means: its number, or a timestamp. Errors: 42804, 22008.
pub(crate) fn plan_millis(planner: &mut Planner<'_>, expr: &Expr, clause: &str) -> Result<u64, Error> {
    let (scalar, typ) = planner.scalar(Over::nothing(&RelationDesc::default(), expr))?;
    if !scalar.is_deterministic() {
        return Err(Error::unsupported(format!("{clause} of an expression that is not constant")).at_node(expr));
    }
    let invalid = || {
        Error::new("22008", format!("{clause} must be a number of milliseconds or a timestamp after 1970"))
            .at_node(expr)
    };
    let arena = Arena::default();
    let datum = scalar.eval(&[], &arena).map_err(|error| Error::new("22023", error.to_string()).at_node(expr))?;
    match (datum, &typ.scalar) {
        (Datum::UInt(value), _) => Ok(value),
        (Datum::Int(value), _) => u64::try_from(value).map_err(|_| invalid()),
        (Datum::Timestamp(micros), _) => u64::try_from(micros.div_euclid(1000)).map_err(|_| invalid()),
        (Datum::Text(text), ScalarType::Text) => text.trim().parse().map_err(|_| invalid()),
        _ => Err(invalid()),
    }
}
