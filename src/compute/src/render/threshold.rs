//! Threshold: rows of positive multiplicity.
//!
//! A negative multiplicity is dropped, it is what EXCEPT ALL makes of rows that the right side has more of; an overflowed one
//! is an error.

use expr::EvalError;
use trace::{Diff, RowBuilder, RowSpine, ValBuilder, ValSpine, arrange_keys};

use super::operators::{Streams, push_vals};
use super::time::RenderTime;
use repr::Row;

pub(super) fn render<'scope, T: RenderTime>(input: Streams<'scope, T>) -> Streams<'scope, T> {
    let arranged = arrange_keys(input.oks, "ArrangeThreshold");
    let oks = arranged
        .clone()
        .reduce_abelian::<_, RowBuilder<T>, RowSpine<T>, _, _>(
            "Threshold",
            |_row, input, output| {
                let count = input[0].1;
                if !count.is_invalid_count() {
                    output.push(((), count));
                }
            },
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(|row, ()| row.clone());
    let errs = arranged
        .reduce_abelian::<_, ValBuilder<Row, EvalError, T>, ValSpine<Row, EvalError, T>, _, _>(
            "ThresholdErrors",
            |_row, input, output| {
                if input[0].1.0.is_overflow() {
                    output.push((EvalError::negative_multiplicity("threshold"), Diff::ONE));
                }
            },
            |buffer, key, updates| push_vals(buffer, key, updates),
        )
        .as_collection(|_row, error| error.clone());
    Streams { oks, errs: input.errs.concat(errs) }
}
