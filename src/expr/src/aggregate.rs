//! Aggregate functions over the rows of one group.

use repr::ScalarType;
use serde::{Deserialize, Serialize};

use crate::order::ColumnOrder;
use crate::scalar::Scalar;

/// One aggregate of a Reduce.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    pub func: AggregateFunc,
    /// The argument; for several (`string_agg(x, sep)`, or an ORDER BY inside) see the function.
    pub expr: Scalar,
    /// The argument's type.
    pub arg_type: ScalarType,
    /// Aggregates each distinct argument once.
    pub distinct: bool,
}

/// What an aggregate computes. NULL arguments are skipped except where said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AggregateFunc {
    /// `count(*)` and `count(x)`: rows whose argument is not NULL (`count(*)` has the argument `true`).
    Count,
    /// Exact; NULL over no rows. The result type is PostgreSQL's: int2/int4 give int8, int8 gives numeric.
    Sum,
    /// Quotient of the exact sum and the count; integers give numeric, floats double precision.
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    StddevSamp,
    StddevPop,
    VarSamp,
    VarPop,
    /// Three-valued `op ANY`: true if any true, else NULL if any NULL, else false; false over no rows. NULLs count.
    AnyThree,
    /// Three-valued `op ALL`: the dual; true over no rows. NULLs count.
    AllThree,
    /// The argument is a record (value, separator, order keys...); rows with NULL value are skipped.
    /// `order_by` addresses the fields of that record; ties are broken by the codec order of the whole record.
    StringAgg { order_by: Vec<ColumnOrder> },
    /// The argument is a record (value, order keys...); NULL values are kept.
    ArrayAgg { order_by: Vec<ColumnOrder> },
    ListAgg { order_by: Vec<ColumnOrder> },
    JsonbAgg { order_by: Vec<ColumnOrder> },
    /// The argument is a record (key, value, order keys...).
    JsonbObjectAgg { order_by: Vec<ColumnOrder> },
}
