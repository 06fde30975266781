//! FlatMap: each row with the rows that a table function returns for it.

use expr::mfp::MfpPlan;
use expr::{EvalError, Mfp, Scalar, TableFunc};
use protocol::plan::Plan;
use repr::{Arena, Kind, Row};

use super::Context;
use super::bundle::Bundle;
use super::operators::{Streams, flat_map_fallible};
use super::time::RenderTime;
use crate::evaluator::MfpEvaluator;

pub(super) fn render<'scope, T: RenderTime>(
    context: &mut Context<'scope, T>,
    input: &Plan,
    func: &TableFunc,
    exprs: &[Scalar],
    mfp: &Mfp,
    kinds: &[Kind],
) -> Bundle<'scope, T> {
    let input = context.render(input);
    let input_kinds = input.kinds.clone();
    let Streams { oks, errs } = input.streams();
    let (func, exprs) = (func.clone(), exprs.to_vec());
    // Rows are many times as many behind the function as before it, so the MFP is applied where they are made.
    let fused = MfpPlan::new(mfp.clone()).ok().filter(|plan| !plan.is_temporal());
    let mut evaluator = fused.map(MfpEvaluator::new);
    let is_fused = evaluator.is_some();
    let (oks, new_errs) = flat_map_fallible(oks, "FlatMap", move |row: Row, time: T, diff, emit| {
        match expand(&row, &input_kinds, &func, &exprs) {
            Ok(rows) => {
                for row in rows {
                    match evaluator.as_mut().map_or_else(|| Ok(Some(row.clone())), |mfp| mfp.evaluate(&row)) {
                        Ok(Some(row)) => emit.ok(row, time.clone(), diff),
                        Ok(None) => {}
                        Err(error) => emit.err(error, time.clone(), diff),
                    }
                }
            }
            Err(error) => emit.err(error, time, diff),
        }
    });
    let output = Bundle::from_streams(kinds.to_vec(), Streams { oks, errs: errs.concat(new_errs) });
    if is_fused { output } else { context.mfp(output, mfp, kinds) }
}

/// The input row with each row of the function's result appended.
fn expand(row: &Row, kinds: &[Kind], func: &TableFunc, exprs: &[Scalar]) -> Result<Vec<Row>, EvalError> {
    let arena = Arena::new();
    let datums = row.unpack(kinds);
    let args: Vec<_> = exprs.iter().map(|expr| expr.eval(&datums, &arena)).collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for added in func.eval(&args, &arena)? {
        let mut output = row.clone();
        output.extend(added);
        rows.push(output);
    }
    Ok(rows)
}
