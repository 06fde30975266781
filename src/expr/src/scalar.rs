//! Scalar expressions over the columns of one row.

use std::sync::Arc;

use repr::{ColumnType, Datum, Row, ScalarType};
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::func::Func;

/// A scalar expression. Columns are indexes into the input row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    Column(usize),
    /// One packed datum, or the error that folding gave.
    Literal(Result<Row, EvalError>, ColumnType),
    /// The time of the row's update, as mz_timestamp. Legal in filters; folded to the read time in one-off queries.
    MzNow,
    /// A function call; `types` is fixed when the call is made.
    Call { func: Func, args: Vec<Scalar>, types: Arc<CallTypes> },
    /// Three-valued AND: false wins over errors and NULL. Empty: true.
    And(Vec<Scalar>),
    /// Three-valued OR: true wins over errors and NULL. Empty: false.
    Or(Vec<Scalar>),
    /// Evaluates only the branch taken. NULL counts as false.
    If { cond: Box<Scalar>, then: Box<Scalar>, els: Box<Scalar> },
    /// The first argument that is not NULL; later ones are not evaluated.
    Coalesce(Vec<Scalar>),
    IsNull(Box<Scalar>),
    Not(Box<Scalar>),
}

/// The resolved SQL types of a call: functions with polymorphic arguments look here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallTypes {
    pub args: Vec<ScalarType>,
    pub ret: ScalarType,
}

impl Scalar {
    pub fn literal(datum: Datum<'_>, scalar: ScalarType) -> Scalar {
        let typ = ColumnType { scalar, nullable: datum.is_null() };
        Scalar::Literal(Ok(Row::pack([datum])), typ)
    }

    pub fn null(scalar: ScalarType) -> Scalar {
        Scalar::literal(Datum::Null, scalar)
    }

    pub fn literal_true() -> Scalar {
        Scalar::literal(Datum::TRUE, ScalarType::Bool)
    }

    pub fn literal_false() -> Scalar {
        Scalar::literal(Datum::FALSE, ScalarType::Bool)
    }

    pub fn is_literal_true(&self) -> bool {
        *self == Scalar::literal_true()
    }

    pub fn is_literal(&self) -> bool {
        matches!(self, Scalar::Literal(..))
    }

    /// A call of a resolved function.
    pub fn call(func: Func, args: Vec<Scalar>, arg_types: Vec<ScalarType>, ret: ScalarType) -> Scalar {
        Scalar::Call { func, args, types: Arc::new(CallTypes { args: arg_types, ret }) }
    }

    #[must_use]
    pub fn is_null(self) -> Scalar {
        Scalar::IsNull(Box::new(self))
    }

    #[must_use]
    pub fn not(self) -> Scalar {
        Scalar::Not(Box::new(self))
    }
}
