//! Functions that return a set of rows.

use repr::ScalarType;
use serde::{Deserialize, Serialize};

/// A set-returning function; FlatMap appends its output columns to the input row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TableFunc {
    /// `generate_series(start, stop, step)` over int4, int8 (numeric is not offered).
    GenerateSeriesInt(ScalarType),
    /// `generate_series(start, stop, interval)` over timestamp or timestamptz.
    GenerateSeriesTimestamp(ScalarType),
    /// `unnest(array)`; the element type.
    UnnestArray(ScalarType),
    UnnestList(ScalarType),
    JsonbArrayElements,
    JsonbArrayElementsText,
    JsonbEach,
    JsonbEachText,
    JsonbObjectKeys,
    /// `generate_subscripts(array, dimension)`.
    GenerateSubscripts,
    RegexpSplitToTable,
    /// The given number of columns for each of several rows, listed as arguments: VALUES with non-constant entries.
    Wrap { columns: Vec<ScalarType> },
}
