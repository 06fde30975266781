//! Aggregates of whole groups: array_agg, string_agg and the like. Each change evaluates its group anew.

use expr::aggregate::evaluate;
use expr::{Aggregate, EvalError};
use repr::{Arena, Datum, Kind, Row};
use trace::{Diff, arrange_vals};

use super::{Keyed, Reduced, argument_kinds, check_counts};
use crate::render::operators::reduce_fallible;
use crate::render::time::RenderTime;

pub(super) fn render<'scope, T: RenderTime>(keyed: Keyed<'scope, T>, aggregates: &[Aggregate]) -> Reduced<'scope, T> {
    let kinds = argument_kinds(aggregates);
    let aggregates = aggregates.to_vec();
    let arranged = arrange_vals(keyed, "ArrangeBasic");
    reduce_fallible(arranged, "ReduceBasic", move |_key, input, output| {
        output.push((evaluate_group(&aggregates, &kinds, input)?, Diff::ONE));
        Ok(())
    })
}

fn evaluate_group(aggregates: &[Aggregate], kinds: &[Kind], group: &[(&Row, Diff)]) -> Result<Row, EvalError> {
    check_counts(group)?;
    let arena = Arena::new();
    let arguments: Vec<(Vec<Datum<'_>>, repr::Diff)> =
        group.iter().map(|(row, count)| (row.unpack(kinds), count.0)).collect();
    let mut output = Row::default();
    for (index, aggregate) in aggregates.iter().enumerate() {
        let values = arguments.iter().map(|(datums, count)| (datums[index], *count));
        output.push(evaluate(aggregate, values, &arena)?);
    }
    Ok(output)
}
