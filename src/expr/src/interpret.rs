//! A naive interpreter of relational expressions over plain multisets.
//!
//! It folds constants for the optimizer, and is the oracle for planner, optimizer and rendering: it follows the meaning of
//! each operator as directly as possible and knows nothing of arrangements, times or plans. Only chains of Map, Filter and
//! Project are taken together, because which rows fail is decided for the whole chain (see [`Mfp`]).
//!
//! Errors follow the rules of the engine: they are added up by joins and unions, pass all other operators with their sign
//! unchanged, and are made distinct where a relation is bound to a name.

mod group;
mod join;

use std::collections::BTreeMap;

use repr::{Arena, CollectionId, Diff, Row};

use crate::error::EvalError;
use crate::mfp::Mfp;
use crate::relation::{Id, LocalId, RecursionLimit, Relation};
use crate::scalar::{Scalar, with_stack};
use crate::table_func::TableFunc;

/// Rows that [`interpret`] makes at most, over all operators together.
pub const ROWS_MAX: u64 = 10_000_000;

/// Rounds of a recursion without a limit of its own.
const ITERATIONS_MAX: u64 = 100_000;

/// A multiset of rows, and the errors that came up making it. Multiplicities are never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    pub rows: BTreeMap<Row, Diff>,
    pub errors: BTreeMap<EvalError, Diff>,
}

impl Collection {
    pub fn new() -> Collection {
        Collection::default()
    }

    /// Makes a collection of rows; equal rows are added up.
    pub fn from_rows(rows: impl IntoIterator<Item = (Row, Diff)>) -> Collection {
        let mut collection = Collection::new();
        for (row, diff) in rows {
            collection.add_row(row, diff);
        }
        collection
    }

    pub fn add_row(&mut self, row: Row, diff: Diff) {
        add(&mut self.rows, row, diff);
    }

    pub fn add_error(&mut self, error: EvalError, diff: Diff) {
        add(&mut self.errors, error, diff);
    }

    /// Adds all updates of `other`.
    pub fn extend(&mut self, other: Collection) {
        let Collection { rows, errors } = other;
        rows.into_iter().for_each(|(row, diff)| self.add_row(row, diff));
        errors.into_iter().for_each(|(error, diff)| self.add_error(error, diff));
    }

    /// Makes errors distinct: each with a positive multiplicity once; one with a negative multiplicity is an error itself.
    fn with_distinct_errors(mut self) -> Collection {
        for (error, diff) in std::mem::take(&mut self.errors) {
            if diff.is_invalid_count() {
                self.errors.insert(EvalError::negative_multiplicity("errors"), Diff::ONE);
            } else {
                self.errors.insert(error, Diff::ONE);
            }
        }
        self
    }

    /// The rows, or the least of the errors, as a read would return them. Rows of negative multiplicity are an error.
    pub fn into_result(self) -> Result<BTreeMap<Row, Diff>, EvalError> {
        if let Some(error) = self.errors.into_keys().next() {
            return Err(error);
        }
        match self.rows.values().any(|diff| diff.is_invalid_count()) {
            true => Err(EvalError::negative_multiplicity("result")),
            false => Ok(self.rows),
        }
    }
}

/// Adds `diff` to the entry of `key`, which must not stay at zero.
fn add<K: Ord>(map: &mut BTreeMap<K, Diff>, key: K, diff: Diff) {
    use std::collections::btree_map::Entry;
    if diff.is_zero() {
        return;
    }
    match map.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(diff);
        }
        Entry::Occupied(mut entry) => {
            let sum = entry.get().plus(diff);
            if sum.is_zero() {
                entry.remove();
            } else {
                entry.insert(sum);
            }
        }
    }
}

/// Evaluates `relation` over the stored collections `env`.
///
/// Errors are part of the result; one of them is 54000 when more work would be needed than is permitted.
pub fn interpret(relation: &Relation, env: &BTreeMap<CollectionId, Collection>) -> Collection {
    interpret_within(relation, env, ROWS_MAX)
}

/// Evaluates `relation`, making at most `rows_max` rows over all operators together.
pub fn interpret_within(relation: &Relation, env: &BTreeMap<CollectionId, Collection>, rows_max: u64) -> Collection {
    interpret_unless(relation, env, rows_max, &mut || false).expect("it is not interrupted")
}

/// As [`interpret_within`]; None if it was given up because `interrupted`, which is asked every so often, said so.
pub fn interpret_unless(
    relation: &Relation,
    env: &BTreeMap<CollectionId, Collection>,
    rows_max: u64,
    interrupted: &mut dyn FnMut() -> bool,
) -> Option<Collection> {
    let asking = Asking { interrupted, answer: false, rows: 0 };
    let mut interpreter = Interpreter { globals: env, locals: BTreeMap::new(), rows_left: rows_max, asking };
    let outcome = interpreter.run(relation);
    if interpreter.asking.answer {
        return None;
    }
    Some(outcome.unwrap_or_else(|OutOfWork| {
        let mut collection = Collection::new();
        collection.add_error(out_of_work(), Diff::ONE);
        collection
    }))
}

/// The error of an evaluation that was given up.
pub fn out_of_work() -> EvalError {
    EvalError::new("54000", "expression makes too many rows to be evaluated at once")
}

/// More rows were made than permitted, or the work was interrupted.
struct OutOfWork;

/// Rows between two questions whether to go on.
const ROWS_BETWEEN_QUESTIONS: u64 = 4096;

/// Whether the evaluation is to go on.
struct Asking<'e> {
    interrupted: &'e mut dyn FnMut() -> bool,
    /// True once it is not.
    answer: bool,
    /// Since the last question.
    rows: u64,
}

impl Asking<'_> {
    /// Asks if so many rows more are reason to.
    fn after(&mut self, rows: u64) -> Result<(), OutOfWork> {
        self.rows = self.rows.saturating_add(rows);
        if self.rows >= ROWS_BETWEEN_QUESTIONS {
            self.rows = 0;
            self.answer = self.answer || (self.interrupted)();
        }
        if self.answer { Err(OutOfWork) } else { Ok(()) }
    }
}

struct Interpreter<'e> {
    globals: &'e BTreeMap<CollectionId, Collection>,
    locals: BTreeMap<LocalId, Collection>,
    rows_left: u64,
    asking: Asking<'e>,
}

impl Interpreter<'_> {
    fn charge(&mut self, rows: usize) -> Result<(), OutOfWork> {
        self.rows_left = self.rows_left.checked_sub(rows as u64).ok_or(OutOfWork)?;
        self.asking.after(rows as u64)
    }

    fn run(&mut self, relation: &Relation) -> Result<Collection, OutOfWork> {
        let output = with_stack(|| self.run_node(relation))?;
        self.charge(output.rows.len())?;
        Ok(output)
    }

    fn run_node(&mut self, relation: &Relation) -> Result<Collection, OutOfWork> {
        match relation {
            Relation::Constant { rows: Ok(rows), .. } => Ok(Collection::from_rows(rows.iter().cloned())),
            Relation::Constant { rows: Err(error), .. } => {
                let mut output = Collection::new();
                output.add_error(error.clone(), Diff::ONE);
                Ok(output)
            }
            Relation::Get { id, .. } => Ok(self.get(*id)),
            Relation::Let { id, value, body } => {
                let value = self.run(value)?.with_distinct_errors();
                let shadowed = self.locals.insert(*id, value);
                let output = self.run(body);
                self.rebind(*id, shadowed);
                output
            }
            Relation::LetRec { ids, values, limit, body } => self.let_rec(ids, values, *limit, body),
            Relation::Map { .. } | Relation::Filter { .. } | Relation::Project { .. } => {
                let (mfp, base) = Mfp::extract_from_relation(relation);
                if let Relation::FlatMap { input, func, exprs } = base {
                    let kinds = input.kinds();
                    let input = self.run(input)?;
                    return self.flat_map(input, &kinds, func, exprs, Some(&mfp));
                }
                let input = self.run(base)?;
                self.charge(input.rows.len())?;
                self.apply_mfp(&mfp, input)
            }
            Relation::FlatMap { input, func, exprs } => {
                let kinds = input.kinds();
                let input = self.run(input)?;
                self.flat_map(input, &kinds, func, exprs, None)
            }
            Relation::Join { inputs, equivalences, .. } => self.join(inputs, equivalences),
            Relation::Reduce { input, group_key, aggregates, .. } => {
                let kinds = input.kinds();
                let input = self.run(input)?;
                group::reduce(input, &kinds, group_key, aggregates, &mut self.asking)
            }
            Relation::TopK { input, group_key, order, limit, offset, .. } => {
                let kinds = input.kinds();
                let input = self.run(input)?;
                Ok(group::top_k(input, &kinds, group_key, order, *limit, *offset))
            }
            Relation::Negate { input } => {
                let mut output = self.run(input)?;
                output.rows.values_mut().for_each(|diff| *diff = diff.negate());
                Ok(output)
            }
            Relation::Threshold { input } => {
                let mut output = self.run(input)?;
                if output.rows.values().any(|diff| diff.is_overflow()) {
                    output.add_error(EvalError::negative_multiplicity("threshold"), Diff::ONE);
                }
                output.rows.retain(|_, diff| !diff.is_invalid_count());
                Ok(output)
            }
            Relation::Union { inputs } => {
                let mut output = Collection::new();
                for input in inputs {
                    output.extend(self.run(input)?);
                }
                Ok(output)
            }
            Relation::ArrangeBy { input, .. } => self.run(input),
        }
    }

    fn get(&self, id: Id) -> Collection {
        let found = match id {
            Id::Local(id) => self.locals.get(&id),
            Id::Global(id) => self.globals.get(&id),
        };
        found.cloned().unwrap_or_else(|| {
            let mut output = Collection::new();
            output.add_error(EvalError::new("XX000", format!("{id:?} is not known to the interpreter")), Diff::ONE);
            output
        })
    }

    fn rebind(&mut self, id: LocalId, shadowed: Option<Collection>) {
        match shadowed {
            Some(value) => self.locals.insert(id, value),
            None => self.locals.remove(&id),
        };
    }

    /// Evaluates the bindings in order, each seeing what the others have at that moment, until a round changes nothing.
    fn let_rec(
        &mut self,
        ids: &[LocalId],
        values: &[Relation],
        limit: Option<RecursionLimit>,
        body: &Relation,
    ) -> Result<Collection, OutOfWork> {
        let shadowed: Vec<_> = ids.iter().map(|id| (*id, self.locals.insert(*id, Collection::new()))).collect();
        let limit = limit.unwrap_or(RecursionLimit { iterations: ITERATIONS_MAX, return_at_limit: false });
        let mut exceeded = None;
        for iteration in 0.. {
            if iteration >= limit.iterations {
                // What the bindings would be in one more round tells whether the recursion had ended by itself.
                if !limit.return_at_limit && self.round(ids, values)? {
                    exceeded = Some(limit.exceeded());
                }
                break;
            }
            if !self.round(ids, values)? {
                break;
            }
        }
        let mut output = self.run(body)?;
        if let Some(error) = exceeded {
            output.add_error(error, Diff::ONE);
        }
        for (id, value) in shadowed {
            self.rebind(id, value);
        }
        Ok(output)
    }

    /// Evaluates each binding once. Returns true if one changed.
    fn round(&mut self, ids: &[LocalId], values: &[Relation]) -> Result<bool, OutOfWork> {
        let mut changed = false;
        for (id, value) in ids.iter().zip(values) {
            let value = self.run(value)?.with_distinct_errors();
            changed |= self.locals.get(id) != Some(&value);
            self.locals.insert(*id, value);
        }
        // A round without rows is work too, or an empty recursion could go on for ever.
        self.charge(1)?;
        Ok(changed)
    }

    /// The rows that the function makes of each row, behind which `mfp` is applied: what it drops, such as the list that was
    /// taken apart, is not copied for each of them.
    fn flat_map(
        &mut self,
        input: Collection,
        kinds: &[repr::Kind],
        func: &TableFunc,
        exprs: &[Scalar],
        mfp: Option<&Mfp>,
    ) -> Result<Collection, OutOfWork> {
        let Collection { rows, errors } = input;
        let mut output = Collection { rows: BTreeMap::new(), errors };
        for (row, diff) in rows {
            let arena = Arena::new();
            let datums = row.unpack(kinds);
            let args: Result<Vec<_>, _> = exprs.iter().map(|expr| expr.eval(&datums, &arena)).collect();
            match args.and_then(|args| func.eval(&args, &arena)) {
                Ok(results) => {
                    for added in results {
                        self.charge(1)?;
                        let Some(mfp) = mfp else {
                            let mut out = row.clone();
                            out.extend(added);
                            output.add_row(out, diff);
                            continue;
                        };
                        let (mut out, scratch) = (Row::default(), Arena::new());
                        let mut all: Vec<_> = datums.iter().copied().chain(added).collect();
                        match mfp.evaluate(&mut all, &scratch, &mut out) {
                            Ok(true) => output.add_row(out, diff),
                            Ok(false) => {}
                            Err(error) => output.add_error(error, diff),
                        }
                    }
                }
                Err(error) => output.add_error(error, diff),
            }
        }
        Ok(output)
    }

    fn apply_mfp(&mut self, mfp: &Mfp, input: Collection) -> Result<Collection, OutOfWork> {
        let Collection { rows, errors } = input;
        let mut output = Collection { rows: BTreeMap::new(), errors };
        let mut arena = Arena::new();
        for (row, diff) in rows {
            self.asking.after(1)?;
            arena.clear();
            let mut out = Row::default();
            let mut datums = row.unpack(&mfp.input_kinds);
            match mfp.evaluate(&mut datums, &arena, &mut out) {
                Ok(true) => output.add_row(out, diff),
                Ok(false) => {}
                Err(error) => output.add_error(error, diff),
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests;
