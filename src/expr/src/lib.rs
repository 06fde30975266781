//! The relational algebra (MIR) and the scalar algebra under it: their types, evaluation, functions by family, and a naive
//! interpreter that folds constants and is the oracle of every engine test.
//!
//! Knows no SQL text, no names, no dataflow. Reading order: `scalar`, `func`, `cast`, `relation`, `mfp`,
//! `aggregate` and `accumulate`, `table_func`, `interpret`.

pub mod accumulate;
pub mod aggregate;
pub mod cast;
pub mod error;
pub mod func;
pub mod interpret;
mod jsonpath;
pub mod mfp;
pub mod order;
pub mod relation;
pub mod scalar;
pub mod table_func;
mod value;

pub use accumulate::Accumulator;
pub use aggregate::{Aggregate, AggregateFunc};
pub use error::EvalError;
pub use func::{Func, FuncDef};
pub use interpret::{Collection, interpret};
pub use mfp::{Mfp, MfpPlan};
pub use order::ColumnOrder;
pub use relation::{Id, JoinImplementation, LocalId, Relation};
pub use scalar::Scalar;
pub use table_func::TableFunc;

pub(crate) use value::{datum_in, text_of};
