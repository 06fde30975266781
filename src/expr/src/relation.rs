//! Relational expressions (MIR). A relation is a multiset of rows of known types; multiplicities may be negative inside.
//!
//! Here are the types, constructors and walks; types and keys, the check of both, and printing are below.

mod pretty;
mod typ;
mod typecheck;

use std::collections::{BTreeMap, BTreeSet};

use repr::{CollectionId, ColumnType, Datum, Diff, RelationType, Row, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::pretty::{Names, Pretty, order_text};
pub use self::typ::non_null_columns;
pub use self::typecheck::typecheck;

use crate::aggregate::Aggregate;
use crate::error::EvalError;
use crate::order::ColumnOrder;
use crate::scalar::{Scalar, with_stack};
use crate::table_func::TableFunc;

/// A binding inside one expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LocalId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Id {
    Local(LocalId),
    Global(CollectionId),
}

/// A relational expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Relation {
    Constant {
        rows: Result<Vec<(Row, Diff)>, EvalError>,
        typ: RelationType,
    },
    Get {
        id: Id,
        typ: RelationType,
    },
    Let {
        id: LocalId,
        value: Box<Relation>,
        body: Box<Relation>,
    },
    /// Mutual recursion: evaluated in order, again and again, until nothing changes.
    LetRec {
        ids: Vec<LocalId>,
        values: Vec<Relation>,
        limit: Option<RecursionLimit>,
        body: Box<Relation>,
    },
    Project {
        input: Box<Relation>,
        outputs: Vec<usize>,
    },
    /// Appends columns; each scalar sees the columns before it.
    Map {
        input: Box<Relation>,
        scalars: Vec<Scalar>,
    },
    /// Appends the columns of each row the function returns; drops rows for which it returns none.
    FlatMap {
        input: Box<Relation>,
        func: TableFunc,
        exprs: Vec<Scalar>,
    },
    /// Keeps rows for which all predicates are true.
    Filter {
        input: Box<Relation>,
        predicates: Vec<Scalar>,
    },
    /// The product of the inputs, columns one after another, where in each class all expressions are equal **by bytes and
    /// null-safe**: SQL's `=` adds IS NOT NULL filters.
    Join {
        inputs: Vec<Relation>,
        equivalences: Vec<Vec<Scalar>>,
        implementation: JoinImplementation,
    },
    /// Key columns, then one column for each aggregate. No row for no input; without aggregates it is DISTINCT.
    Reduce {
        input: Box<Relation>,
        group_key: Vec<Scalar>,
        aggregates: Vec<Aggregate>,
        /// The input only grows.
        monotonic: bool,
        /// The user's hint of how many rows share a key.
        expected_group_size: Option<u64>,
    },
    /// In each group the rows at `[offset, offset + limit)`; ties in codec order of the full row.
    TopK {
        input: Box<Relation>,
        group_key: Vec<usize>,
        order: Vec<ColumnOrder>,
        limit: Option<u64>,
        offset: u64,
        monotonic: bool,
        expected_group_size: Option<u64>,
    },
    Negate {
        input: Box<Relation>,
    },
    /// Keeps rows of positive multiplicity.
    Threshold {
        input: Box<Relation>,
    },
    /// The sum of multiplicities. Never empty; all inputs have the same column types.
    Union {
        inputs: Vec<Relation>,
    },
    /// The same rows, arranged by each key.
    ArrangeBy {
        input: Box<Relation>,
        keys: Vec<Vec<Scalar>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecursionLimit {
    pub iterations: u64,
    /// Stop and return what there is, instead of an error.
    pub return_at_limit: bool,
}

impl RecursionLimit {
    /// The error of a recursion that has not ended within the limit.
    pub fn exceeded(self) -> EvalError {
        EvalError::new("54000", format!("recursive query exceeded the recursion limit {}", self.iterations)).with_hint(
            "A recursion whose rounds go on changing something has no answer. For one that only ends later, write WITH \
             MUTUALLY RECURSIVE (RECURSION LIMIT n).",
        )
    }
}

/// How a join is to be computed; chosen by the optimizer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub enum JoinImplementation {
    #[default]
    Unimplemented,
    /// The first input, then one more input at a time by the key given (expressions over that input's own columns).
    Linear { start: usize, steps: Vec<(usize, Vec<Scalar>)> },
    /// For each input, the order in which changes to it meet the others, each by an arrangement key.
    Delta { paths: Vec<Vec<(usize, Vec<Scalar>)>> },
}

impl Relation {
    /// Rows known in advance, each once.
    pub fn constant<'a>(rows: impl IntoIterator<Item = Vec<Datum<'a>>>, columns: Vec<ColumnType>) -> Relation {
        let rows = rows.into_iter().map(|datums| (Row::pack(datums), Diff::ONE)).collect();
        Relation::constant_rows(rows, RelationType::new(columns))
    }

    /// Packed rows with multiplicities. The type's keys are completed from the rows.
    pub fn constant_rows(rows: Vec<(Row, Diff)>, mut typ: RelationType) -> Relation {
        typ.keys.extend(typ::constant_keys(&rows, &typ));
        Relation::Constant { rows: Ok(rows), typ }
    }

    /// No rows.
    pub fn empty(typ: RelationType) -> Relation {
        Relation::constant_rows(Vec::new(), typ)
    }

    /// One row without columns: the neutral element of joins.
    pub fn unit() -> Relation {
        Relation::constant([Vec::new()], Vec::new())
    }

    pub fn constant_error(error: EvalError, typ: RelationType) -> Relation {
        Relation::Constant { rows: Err(error), typ }
    }

    pub fn get_global(id: CollectionId, typ: RelationType) -> Relation {
        Relation::Get { id: Id::Global(id), typ }
    }

    pub fn get_local(id: LocalId, typ: RelationType) -> Relation {
        Relation::Get { id: Id::Local(id), typ }
    }

    /// `self`, bound to `id` in `body`.
    #[must_use]
    pub fn let_in(self, id: LocalId, body: Relation) -> Relation {
        Relation::Let { id, value: Box::new(self), body: Box::new(body) }
    }

    #[must_use]
    pub fn project(self, outputs: Vec<usize>) -> Relation {
        Relation::Project { input: Box::new(self), outputs }
    }

    #[must_use]
    pub fn map(self, scalars: Vec<Scalar>) -> Relation {
        Relation::Map { input: Box::new(self), scalars }
    }

    #[must_use]
    pub fn flat_map(self, func: TableFunc, exprs: Vec<Scalar>) -> Relation {
        Relation::FlatMap { input: Box::new(self), func, exprs }
    }

    #[must_use]
    pub fn filter(self, predicates: Vec<Scalar>) -> Relation {
        Relation::Filter { input: Box::new(self), predicates }
    }

    /// The join of `inputs`; see [`Relation::Join`].
    pub fn join(inputs: Vec<Relation>, equivalences: Vec<Vec<Scalar>>) -> Relation {
        Relation::Join { inputs, equivalences, implementation: JoinImplementation::Unimplemented }
    }

    /// The product of two relations.
    #[must_use]
    pub fn product(self, other: Relation) -> Relation {
        Relation::join(vec![self, other], Vec::new())
    }

    #[must_use]
    pub fn reduce(self, group_key: Vec<Scalar>, aggregates: Vec<Aggregate>) -> Relation {
        Relation::Reduce { input: Box::new(self), group_key, aggregates, monotonic: false, expected_group_size: None }
    }

    /// Each distinct row once.
    #[must_use]
    pub fn distinct(self) -> Relation {
        let group_key = (0..self.arity()).map(Scalar::Column).collect();
        self.reduce(group_key, Vec::new())
    }

    /// The distinct rows of some columns.
    #[must_use]
    pub fn distinct_by(self, columns: &[usize]) -> Relation {
        let group_key = columns.iter().copied().map(Scalar::Column).collect();
        self.reduce(group_key, Vec::new())
    }

    #[must_use]
    pub fn top_k(self, group_key: Vec<usize>, order: Vec<ColumnOrder>, limit: Option<u64>, offset: u64) -> Relation {
        Relation::TopK {
            input: Box::new(self),
            group_key,
            order,
            limit,
            offset,
            monotonic: false,
            expected_group_size: None,
        }
    }

    #[must_use]
    pub fn negate(self) -> Relation {
        Relation::Negate { input: Box::new(self) }
    }

    #[must_use]
    pub fn threshold(self) -> Relation {
        Relation::Threshold { input: Box::new(self) }
    }

    /// The union of several relations; of one that relation. Panics without inputs.
    pub fn union(mut inputs: Vec<Relation>) -> Relation {
        assert!(!inputs.is_empty(), "a union has inputs");
        if inputs.len() == 1 { inputs.remove(0) } else { Relation::Union { inputs } }
    }

    #[must_use]
    pub fn arrange_by(self, keys: Vec<Vec<Scalar>>) -> Relation {
        Relation::ArrangeBy { input: Box::new(self), keys }
    }

    /// Leaves an empty relation of the same type, and returns what was there.
    #[must_use]
    pub fn take_safely(&mut self) -> Relation {
        let empty = Relation::empty(self.typ());
        std::mem::replace(self, empty)
    }

    /// Leaves a relation without columns, and returns what was there: cheaper, for who puts another in its place.
    #[must_use]
    pub fn take_dangerous(&mut self) -> Relation {
        let nothing = Relation::Constant { rows: Ok(Vec::new()), typ: RelationType::default() };
        std::mem::replace(self, nothing)
    }

    /// True for a constant without rows.
    pub fn is_empty_constant(&self) -> bool {
        matches!(self, Relation::Constant { rows: Ok(rows), .. } if rows.is_empty())
    }

    /// The direct inputs, in order; of Let and LetRec the values, then the body.
    pub fn children(&self) -> Vec<&Relation> {
        match self {
            Relation::Constant { .. } | Relation::Get { .. } => Vec::new(),
            Relation::Let { value, body, .. } => vec![value, body],
            Relation::LetRec { values, body, .. } => values.iter().chain([&**body]).collect(),
            Relation::Project { input, .. }
            | Relation::Map { input, .. }
            | Relation::FlatMap { input, .. }
            | Relation::Filter { input, .. }
            | Relation::Reduce { input, .. }
            | Relation::TopK { input, .. }
            | Relation::Negate { input }
            | Relation::Threshold { input }
            | Relation::ArrangeBy { input, .. } => vec![input],
            Relation::Join { inputs, .. } | Relation::Union { inputs } => inputs.iter().collect(),
        }
    }

    /// The direct inputs, in order; of Let and LetRec the values, then the body.
    pub fn children_mut(&mut self) -> Vec<&mut Relation> {
        match self {
            Relation::Constant { .. } | Relation::Get { .. } => Vec::new(),
            Relation::Let { value, body, .. } => vec![value, body],
            Relation::LetRec { values, body, .. } => values.iter_mut().chain([&mut **body]).collect(),
            Relation::Project { input, .. }
            | Relation::Map { input, .. }
            | Relation::FlatMap { input, .. }
            | Relation::Filter { input, .. }
            | Relation::Reduce { input, .. }
            | Relation::TopK { input, .. }
            | Relation::Negate { input }
            | Relation::Threshold { input }
            | Relation::ArrangeBy { input, .. } => vec![input],
            Relation::Join { inputs, .. } | Relation::Union { inputs } => inputs.iter_mut().collect(),
        }
    }

    /// The scalars of this node alone.
    pub fn scalars_mut(&mut self) -> Vec<&mut Scalar> {
        match self {
            Relation::Map { scalars, .. } => scalars.iter_mut().collect(),
            Relation::FlatMap { exprs, .. } => exprs.iter_mut().collect(),
            Relation::Filter { predicates, .. } => predicates.iter_mut().collect(),
            Relation::Join { equivalences, .. } => equivalences.iter_mut().flatten().collect(),
            Relation::Reduce { group_key, aggregates, .. } => {
                group_key.iter_mut().chain(aggregates.iter_mut().map(|aggregate| &mut aggregate.expr)).collect()
            }
            Relation::ArrangeBy { keys, .. } => keys.iter_mut().flatten().collect(),
            Relation::Constant { .. }
            | Relation::Get { .. }
            | Relation::Let { .. }
            | Relation::LetRec { .. }
            | Relation::Project { .. }
            | Relation::TopK { .. }
            | Relation::Negate { .. }
            | Relation::Threshold { .. }
            | Relation::Union { .. } => Vec::new(),
        }
    }

    /// Visits every node, each before its inputs.
    pub fn visit_pre(&self, visit: &mut impl FnMut(&Relation)) {
        let mut pending = vec![self];
        while let Some(relation) = pending.pop() {
            visit(relation);
            pending.extend(relation.children().into_iter().rev());
        }
    }

    /// Visits every node, each after its inputs.
    pub fn visit_post(&self, visit: &mut impl FnMut(&Relation)) {
        let mut reversed = Vec::new();
        let mut pending = vec![self];
        while let Some(relation) = pending.pop() {
            reversed.push(relation);
            pending.extend(relation.children());
        }
        reversed.into_iter().rev().for_each(visit);
    }

    /// Visits every node, each before its inputs as the visit left them.
    pub fn visit_mut_pre(&mut self, visit: &mut impl FnMut(&mut Relation)) {
        let mut pending = vec![self];
        while let Some(relation) = pending.pop() {
            visit(relation);
            pending.extend(relation.children_mut().into_iter().rev());
        }
    }

    /// Visits every node, each after its inputs.
    pub fn visit_mut_post(&mut self, visit: &mut impl FnMut(&mut Relation)) {
        with_stack(|| {
            for child in self.children_mut() {
                child.visit_mut_post(visit);
            }
            visit(self);
        });
    }

    /// Visits every scalar of every node.
    pub fn visit_scalars_mut(&mut self, visit: &mut impl FnMut(&mut Scalar)) {
        self.visit_mut_pre(&mut |relation| relation.scalars_mut().into_iter().for_each(&mut *visit));
    }

    /// Visits every scalar of every node.
    pub fn visit_scalars(&self, visit: &mut impl FnMut(&Scalar)) {
        self.visit_pre(&mut |relation| match relation {
            Relation::Map { scalars, .. } => scalars.iter().for_each(&mut *visit),
            Relation::FlatMap { exprs, .. } => exprs.iter().for_each(&mut *visit),
            Relation::Filter { predicates, .. } => predicates.iter().for_each(&mut *visit),
            Relation::Join { equivalences, .. } => equivalences.iter().flatten().for_each(&mut *visit),
            Relation::Reduce { group_key, aggregates, .. } => {
                group_key.iter().chain(aggregates.iter().map(|aggregate| &aggregate.expr)).for_each(&mut *visit);
            }
            Relation::ArrangeBy { keys, .. } => keys.iter().flatten().for_each(&mut *visit),
            _ => {}
        });
    }

    /// The number of nodes.
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.visit_pre(&mut |_| size += 1);
        size
    }

    /// The stored collections read.
    pub fn depends_on(&self) -> BTreeSet<CollectionId> {
        let mut ids = BTreeSet::new();
        self.visit_pre(&mut |relation| {
            if let Relation::Get { id: Id::Global(id), .. } = relation {
                ids.insert(*id);
            }
        });
        ids
    }

    /// How often each local binding is read, wherever in the expression.
    pub fn local_gets(&self) -> BTreeMap<LocalId, usize> {
        let mut gets = BTreeMap::new();
        self.visit_pre(&mut |relation| {
            if let Relation::Get { id: Id::Local(id), .. } = relation {
                *gets.entry(*id).or_insert(0) += 1;
            }
        });
        gets
    }

    pub fn contains_mz_now(&self) -> bool {
        let mut found = false;
        self.visit_scalars(&mut |scalar| found |= scalar.contains_mz_now());
        found
    }

    /// Puts `time` in the place of every `mz_now()`.
    pub fn bind_mz_now(&mut self, time: Timestamp) {
        self.visit_scalars_mut(&mut |scalar| scalar.bind_mz_now(time));
    }
}

#[cfg(test)]
mod tests;
