//! Map, filter and project in one: what runs on every row at every edge of the dataflow.

use repr::Kind;
use serde::{Deserialize, Serialize};

use crate::scalar::Scalar;

/// Appends `expressions` to the input row, keeps it if all `predicates` hold, and outputs the columns `projection`.
///
/// Infallible predicates are tried first, fallible ones after them in written order; an error counts only if no predicate
/// is false or NULL. `temporal` holds predicates on `mz_now()`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mfp {
    pub input_kinds: Vec<Kind>,
    /// Each sees the input columns and the expressions before it.
    pub expressions: Vec<Scalar>,
    pub predicates: Vec<Scalar>,
    pub projection: Vec<usize>,
}
