//! Evaluation of expressions over packed rows, one row after another, without an allocation for each.

use expr::mfp::{MfpPlan, TemporalUpdates};
use expr::{EvalError, Mfp, Scalar};
use repr::row::unpack_into;
use repr::{Arena, Datum, Diff, Kind, Row, Timestamp};

/// Empties `datums` and gives its memory to datums of another lifetime.
fn recycle<'b>(mut datums: Vec<Datum<'_>>) -> Vec<Datum<'b>> {
    datums.clear();
    // Collecting an emptied vector in place keeps its allocation.
    datums.into_iter().map(|_| Datum::Null).collect()
}

/// Runs one prepared MFP over many rows.
pub(crate) struct MfpEvaluator {
    plan: MfpPlan,
    scratch: Vec<Datum<'static>>,
    arena: Arena,
}

impl MfpEvaluator {
    pub(crate) fn new(plan: MfpPlan) -> MfpEvaluator {
        MfpEvaluator { plan, scratch: Vec::new(), arena: Arena::new() }
    }

    /// The output row, if the row is kept. Only for MFPs without temporal predicates.
    pub(crate) fn evaluate(&mut self, row: &Row) -> Result<Option<Row>, EvalError> {
        self.arena.clear();
        let mut datums = recycle(std::mem::take(&mut self.scratch));
        self.plan.unpack_demanded(row.as_bytes(), &mut datums);
        let mut output = Row::default();
        let kept = self.plan.evaluate(&mut datums, &self.arena, &mut output);
        self.scratch = recycle(datums);
        kept.map(|kept| kept.then_some(output))
    }

    /// As [`MfpEvaluator::evaluate`], of the row of `first` and `added` together.
    pub(crate) fn evaluate_parts(
        &mut self,
        first: &[Datum<'_>],
        added: &[Datum<'_>],
    ) -> Result<Option<Row>, EvalError> {
        self.arena.clear();
        let mut datums = recycle(std::mem::take(&mut self.scratch));
        datums.extend_from_slice(first);
        datums.extend_from_slice(added);
        let mut output = Row::default();
        let kept = self.plan.evaluate(&mut datums, &self.arena, &mut output);
        self.scratch = recycle(datums);
        kept.map(|kept| kept.then_some(output))
    }

    /// The updates that one update becomes: none, an appearance, or an appearance and a disappearance.
    pub(crate) fn evaluate_temporal(&mut self, row: &Row, time: Timestamp, diff: Diff) -> TemporalUpdates {
        self.arena.clear();
        let mut datums = recycle(std::mem::take(&mut self.scratch));
        self.plan.unpack_demanded(row.as_bytes(), &mut datums);
        let updates = self.plan.evaluate_temporal(&mut datums, &self.arena, time, diff);
        self.scratch = recycle(datums);
        updates
    }
}

/// Evaluates a list of expressions over many rows into packed rows.
pub(crate) struct KeyEvaluator {
    scalars: Vec<Scalar>,
    kinds: Vec<Kind>,
    scratch: Vec<Datum<'static>>,
    arena: Arena,
}

impl KeyEvaluator {
    pub(crate) fn new(scalars: Vec<Scalar>, kinds: Vec<Kind>) -> KeyEvaluator {
        // Columns behind the last one used need not be unpacked.
        let used = scalars.iter().filter_map(|scalar| scalar.support().last().copied()).max();
        let kinds = kinds.into_iter().take(used.map_or(0, |last| last + 1)).collect();
        KeyEvaluator { scalars, kinds, scratch: Vec::new(), arena: Arena::new() }
    }

    /// The values of the expressions over `row`, packed; the first error wins.
    pub(crate) fn evaluate(&mut self, row: &Row) -> Result<Row, EvalError> {
        self.arena.clear();
        let mut datums = recycle(std::mem::take(&mut self.scratch));
        unpack_into(row.as_bytes(), &self.kinds, &mut datums);
        let mut output = Row::default();
        let mut result = Ok(());
        for scalar in &self.scalars {
            match scalar.eval(&datums, &self.arena) {
                Ok(datum) => output.push(datum),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.scratch = recycle(datums);
        result.map(|()| output)
    }
}

/// Rewrites an MFP over columns in one order to take them in another: input column `i` is found at `map[i]`.
pub(crate) fn permute_inputs(mfp: &Mfp, map: &[usize], input_kinds: Vec<Kind>) -> Mfp {
    let arity = mfp.input_arity();
    let all: Vec<usize> = map.iter().copied().chain(arity..arity + mfp.expressions.len()).collect();
    let permute = |scalars: &[Scalar]| {
        let mut scalars = scalars.to_vec();
        scalars.iter_mut().for_each(|scalar| scalar.permute(&all));
        scalars
    };
    Mfp {
        input_kinds,
        expressions: permute(&mfp.expressions),
        predicates: permute(&mfp.predicates),
        projection: mfp.projection.iter().map(|column| all[*column]).collect(),
    }
}
