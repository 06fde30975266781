//! The planner's own representation: names resolved, types decided, subqueries and correlation still in place.
//!
//! A column is named by `level` and `index`. Level 0 is the row the expression stands over; each enclosing row is one level
//! further out. The scalars of a relation stand over that relation's input; a relation inside a scalar has that scalar's row
//! as its level 1. The right side of a [`HirRelation::Join`] has the left side's row as its level 1, whether it looks at it
//! (LATERAL) or not.

mod pretty;

use std::collections::BTreeSet;
use std::sync::Arc;

use expr::relation::RecursionLimit;
use expr::scalar::CallTypes;
use expr::{AggregateFunc, ColumnOrder, EvalError, Func, LocalId, Scalar, TableFunc};
use repr::{CollectionId, ColumnType, Datum, RelationType, Row, ScalarType};

pub(crate) use self::pretty::pretty;
use crate::stack::with_stack;

/// A typed relational expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HirRelation {
    Constant {
        rows: Vec<Row>,
        columns: Vec<ColumnType>,
    },
    Get {
        id: CollectionId,
        typ: RelationType,
    },
    /// A common table expression bound by an enclosing Let.
    GetLocal {
        id: LocalId,
    },
    /// `value` looks at no enclosing row.
    Let {
        id: LocalId,
        value: Box<HirRelation>,
        body: Box<HirRelation>,
    },
    /// Names that may be used in each other's values, until nothing changes. The values look at no enclosing row.
    LetRec {
        bindings: Vec<HirBinding>,
        limit: Option<RecursionLimit>,
        body: Box<HirRelation>,
    },
    Project {
        input: Box<HirRelation>,
        outputs: Vec<usize>,
    },
    /// Appends columns; each scalar sees the columns before it.
    Map {
        input: Box<HirRelation>,
        scalars: Vec<HirScalar>,
    },
    Filter {
        input: Box<HirRelation>,
        predicates: Vec<HirScalar>,
    },
    /// Appends the columns of each row the function returns for the input row.
    FlatMap {
        input: Box<HirRelation>,
        func: TableFunc,
        args: Vec<HirScalar>,
        columns: Vec<ColumnType>,
    },
    /// Columns of the left, then of the right side. `on` is a conjunction over both.
    Join {
        left: Box<HirRelation>,
        right: Box<HirRelation>,
        on: Vec<HirScalar>,
        kind: JoinKind,
    },
    /// Key columns, then one column for each aggregate.
    Reduce {
        input: Box<HirRelation>,
        group_key: Vec<HirScalar>,
        aggregates: Vec<HirAggregate>,
        /// The keys of groups that there are also without input: of all rows together (no GROUP BY) the empty one.
        always: Vec<Row>,
        /// The user's hint of how many rows share a key.
        expected_group_size: Option<u64>,
    },
    /// Each row once; rows with intervals are equal by their keys, and the least by bytes stays.
    Distinct {
        input: Box<HirRelation>,
    },
    TopK {
        input: Box<HirRelation>,
        group_key: Vec<usize>,
        order: Vec<ColumnOrder>,
        limit: Option<u64>,
        offset: u64,
        expected_group_size: Option<u64>,
    },
    Negate {
        input: Box<HirRelation>,
    },
    Threshold {
        input: Box<HirRelation>,
    },
    Union {
        inputs: Vec<HirRelation>,
    },
}

/// One name of a [`HirRelation::LetRec`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HirBinding {
    pub(crate) id: LocalId,
    pub(crate) value: HirRelation,
    pub(crate) columns: Vec<ColumnType>,
}

/// A right join is planned as a left join with its sides exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Full,
}

/// One aggregate of a Reduce.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HirAggregate {
    pub(crate) func: AggregateFunc,
    pub(crate) expr: HirScalar,
    pub(crate) arg_type: ScalarType,
    pub(crate) distinct: bool,
    pub(crate) typ: ColumnType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Any,
    All,
}

/// A typed scalar expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HirScalar {
    Column {
        level: usize,
        index: usize,
    },
    Literal(Result<Row, EvalError>, ColumnType),
    MzNow,
    Call {
        func: Func,
        args: Vec<HirScalar>,
        types: Arc<CallTypes>,
    },
    And(Vec<HirScalar>),
    Or(Vec<HirScalar>),
    If {
        cond: Box<HirScalar>,
        then: Box<HirScalar>,
        els: Box<HirScalar>,
    },
    Coalesce(Vec<HirScalar>),
    IsNull(Box<HirScalar>),
    Not(Box<HirScalar>),
    /// An aggregate of a SELECT being planned; becomes a column before planning of that SELECT ends.
    Aggregate {
        /// The SELECT: which level of rows it stands over, counted from the outermost.
        owner: usize,
        place: usize,
    },
    /// The nth call of a set-returning function in the SELECT list being planned; becomes a column like an aggregate.
    SetReturning(usize),
    /// The nth window function of the SELECT being planned; becomes a column like an aggregate.
    Window(usize),
    /// The nth GROUPING of the SELECT being planned; becomes an expression over the groups.
    Grouping(usize),
    Exists(Box<HirRelation>),
    /// The one value of a subquery of one column and at most one row.
    Select(Box<HirRelation>),
    /// Three-valued ANY or ALL of `predicate` over the rows of `relation`: in the predicate level 0 is the subquery's row
    /// and level 1 the enclosing one.
    Quantified {
        quantifier: Quantifier,
        relation: Box<HirRelation>,
        predicate: Box<HirScalar>,
    },
}

impl HirRelation {
    /// One row without columns.
    pub(crate) fn unit() -> HirRelation {
        HirRelation::Constant { rows: vec![Row::default()], columns: Vec::new() }
    }

    pub(crate) fn project(self, outputs: Vec<usize>) -> HirRelation {
        HirRelation::Project { input: Box::new(self), outputs }
    }

    /// Appends columns; without any the relation itself.
    pub(crate) fn map(self, scalars: Vec<HirScalar>) -> HirRelation {
        if scalars.is_empty() { self } else { HirRelation::Map { input: Box::new(self), scalars } }
    }

    /// Keeps rows for which all predicates are true; without any the relation itself.
    pub(crate) fn filter(self, predicates: Vec<HirScalar>) -> HirRelation {
        if predicates.is_empty() { self } else { HirRelation::Filter { input: Box::new(self), predicates } }
    }

    pub(crate) fn distinct(self) -> HirRelation {
        HirRelation::Distinct { input: Box::new(self) }
    }

    pub(crate) fn negate(self) -> HirRelation {
        HirRelation::Negate { input: Box::new(self) }
    }

    pub(crate) fn threshold(self) -> HirRelation {
        HirRelation::Threshold { input: Box::new(self) }
    }

    pub(crate) fn union(self, other: HirRelation) -> HirRelation {
        HirRelation::Union { inputs: vec![self, other] }
    }

    /// True if the relation yields exactly one row whatever its inputs hold.
    pub(crate) fn has_one_row(&self) -> bool {
        match self {
            HirRelation::Constant { rows, .. } => rows.len() == 1,
            HirRelation::Reduce { group_key, always, .. } => group_key.is_empty() && !always.is_empty(),
            HirRelation::Map { input, .. } | HirRelation::Project { input, .. } => input.has_one_row(),
            HirRelation::Let { body, .. } | HirRelation::LetRec { body, .. } => body.has_one_row(),
            _ => false,
        }
    }

    /// Calls `visit` with every column reference: the nesting depth of its scalar, its level and its index. Scalars of
    /// this node are at `depth`; a reference with `level >= depth` leads out by `level - depth` rows.
    pub(crate) fn visit_columns_mut(&mut self, depth: usize, visit: &mut dyn FnMut(usize, &mut usize, &mut usize)) {
        with_stack(|| {
            match self {
                HirRelation::Join { left, right, .. } => {
                    left.visit_columns_mut(depth, visit);
                    right.visit_columns_mut(depth + 1, visit);
                }
                _ => {
                    for input in self.inputs_mut() {
                        input.visit_columns_mut(depth, visit);
                    }
                }
            }
            for scalar in self.scalars_mut() {
                scalar.visit_columns_mut(depth, visit);
            }
        });
    }

    /// Calls `visit` with every scalar of every node and its nesting depth; relations inside scalars are left to it.
    pub(crate) fn visit_scalars_mut(&mut self, depth: usize, visit: &mut dyn FnMut(&mut HirScalar, usize)) {
        with_stack(|| {
            match self {
                HirRelation::Join { left, right, .. } => {
                    left.visit_scalars_mut(depth, visit);
                    right.visit_scalars_mut(depth + 1, visit);
                }
                _ => {
                    for input in self.inputs_mut() {
                        input.visit_scalars_mut(depth, visit);
                    }
                }
            }
            for scalar in self.scalars_mut() {
                visit(scalar, depth);
            }
        });
    }

    /// As [`HirRelation::visit_columns_mut`], without changing anything.
    pub(crate) fn visit_columns(&self, depth: usize, visit: &mut dyn FnMut(usize, usize, usize)) {
        with_stack(|| {
            match self {
                HirRelation::Join { left, right, .. } => {
                    left.visit_columns(depth, visit);
                    right.visit_columns(depth + 1, visit);
                }
                other => {
                    for input in other.inputs() {
                        input.visit_columns(depth, visit);
                    }
                }
            }
            for scalar in self.scalars() {
                scalar.visit_columns(depth, visit);
            }
        });
    }

    /// The columns of enclosing rows that are looked at: (level, index), level 0 being the row right outside.
    pub(crate) fn free_columns(&self) -> BTreeSet<(usize, usize)> {
        let mut free = BTreeSet::new();
        self.visit_columns(1, &mut |depth, level, index| {
            if level >= depth {
                free.insert((level - depth, index));
            }
        });
        free
    }

    /// True if an aggregate of an enclosing SELECT is in it, which is going to be a column of that.
    pub(crate) fn waits_for_aggregates(&self) -> bool {
        with_stack(|| {
            self.inputs().into_iter().any(HirRelation::waits_for_aggregates)
                || self.scalars().into_iter().any(HirScalar::waits_for_aggregates)
        })
    }

    /// Puts the relation `by` rows further in.
    pub(crate) fn shift_in(&mut self, by: usize) {
        self.visit_columns_mut(1, &mut |depth, level, _| {
            if *level >= depth {
                *level += by;
            }
        });
    }

    /// Puts the relation one row further out; it must not look at the row it leaves.
    pub(crate) fn shift_out(&mut self) {
        self.visit_columns_mut(1, &mut |depth, level, _| {
            if *level >= depth {
                assert!(*level > depth, "a relation that leaves a row does not look at it");
                *level -= 1;
            }
        });
    }

    /// True if evaluation may return an error of its own.
    pub(crate) fn could_error(&self) -> bool {
        with_stack(|| {
            self.inputs().into_iter().any(HirRelation::could_error)
                || self.scalars().into_iter().any(HirScalar::could_error)
                || matches!(self, HirRelation::FlatMap { .. })
                || matches!(self, HirRelation::Reduce { aggregates, .. } if !aggregates.is_empty())
        })
    }

    pub(crate) fn inputs(&self) -> Vec<&HirRelation> {
        match self {
            HirRelation::Constant { .. } | HirRelation::Get { .. } | HirRelation::GetLocal { .. } => Vec::new(),
            HirRelation::Let { value, body, .. } => vec![value, body],
            HirRelation::LetRec { bindings, body, .. } => {
                bindings.iter().map(|binding| &binding.value).chain([&**body]).collect()
            }
            HirRelation::Join { left, right, .. } => vec![left, right],
            HirRelation::Project { input, .. }
            | HirRelation::Map { input, .. }
            | HirRelation::Filter { input, .. }
            | HirRelation::FlatMap { input, .. }
            | HirRelation::Reduce { input, .. }
            | HirRelation::Distinct { input }
            | HirRelation::TopK { input, .. }
            | HirRelation::Negate { input }
            | HirRelation::Threshold { input } => vec![input],
            HirRelation::Union { inputs } => inputs.iter().collect(),
        }
    }

    fn inputs_mut(&mut self) -> Vec<&mut HirRelation> {
        match self {
            HirRelation::Constant { .. } | HirRelation::Get { .. } | HirRelation::GetLocal { .. } => Vec::new(),
            HirRelation::Let { value, body, .. } => vec![value, body],
            HirRelation::LetRec { bindings, body, .. } => {
                bindings.iter_mut().map(|binding| &mut binding.value).chain([&mut **body]).collect()
            }
            HirRelation::Join { left, right, .. } => vec![left, right],
            HirRelation::Project { input, .. }
            | HirRelation::Map { input, .. }
            | HirRelation::Filter { input, .. }
            | HirRelation::FlatMap { input, .. }
            | HirRelation::Reduce { input, .. }
            | HirRelation::Distinct { input }
            | HirRelation::TopK { input, .. }
            | HirRelation::Negate { input }
            | HirRelation::Threshold { input } => vec![input],
            HirRelation::Union { inputs } => inputs.iter_mut().collect(),
        }
    }

    /// The scalars of this node alone.
    pub(crate) fn scalars(&self) -> Vec<&HirScalar> {
        match self {
            HirRelation::Map { scalars, .. } => scalars.iter().collect(),
            HirRelation::Filter { predicates, .. } => predicates.iter().collect(),
            HirRelation::FlatMap { args, .. } => args.iter().collect(),
            HirRelation::Join { on, .. } => on.iter().collect(),
            HirRelation::Reduce { group_key, aggregates, .. } => {
                group_key.iter().chain(aggregates.iter().map(|aggregate| &aggregate.expr)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn scalars_mut(&mut self) -> Vec<&mut HirScalar> {
        match self {
            HirRelation::Map { scalars, .. } => scalars.iter_mut().collect(),
            HirRelation::Filter { predicates, .. } => predicates.iter_mut().collect(),
            HirRelation::FlatMap { args, .. } => args.iter_mut().collect(),
            HirRelation::Join { on, .. } => on.iter_mut().collect(),
            HirRelation::Reduce { group_key, aggregates, .. } => {
                group_key.iter_mut().chain(aggregates.iter_mut().map(|aggregate| &mut aggregate.expr)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl HirScalar {
    pub(crate) fn column(index: usize) -> HirScalar {
        HirScalar::Column { level: 0, index }
    }

    pub(crate) fn literal(datum: Datum<'_>, scalar: ScalarType) -> HirScalar {
        HirScalar::from_scalar(Scalar::literal(datum, scalar), &[])
    }

    pub(crate) fn null(scalar: ScalarType) -> HirScalar {
        HirScalar::literal(Datum::Null, scalar)
    }

    pub(crate) fn bool(value: bool) -> HirScalar {
        HirScalar::literal(Datum::Bool(value), ScalarType::Bool)
    }

    /// `self IS NULL`.
    pub(crate) fn null_test(self) -> HirScalar {
        HirScalar::IsNull(Box::new(self))
    }

    pub(crate) fn not(self) -> HirScalar {
        HirScalar::Not(Box::new(self))
    }

    pub(crate) fn if_then_else(cond: HirScalar, then: HirScalar, els: HirScalar) -> HirScalar {
        HirScalar::If { cond: Box::new(cond), then: Box::new(then), els: Box::new(els) }
    }

    pub(crate) fn call(func: Func, args: Vec<HirScalar>, arg_types: Vec<ScalarType>, ret: ScalarType) -> HirScalar {
        HirScalar::Call { func, args, types: Arc::new(CallTypes { args: arg_types, ret }) }
    }

    /// The expression `template` with `inputs[i]` in the place of column `i`.
    pub(crate) fn from_scalar(template: Scalar, inputs: &[HirScalar]) -> HirScalar {
        let convert = |scalar: Scalar| HirScalar::from_scalar(scalar, inputs);
        let all = |scalars: Vec<Scalar>| scalars.into_iter().map(convert).collect();
        with_stack(|| match template {
            Scalar::Column(index) => inputs[index].clone(),
            Scalar::Literal(value, typ) => HirScalar::Literal(value, typ),
            Scalar::MzNow => HirScalar::MzNow,
            Scalar::Call { func, args, types } => HirScalar::Call { func, args: all(args), types },
            Scalar::And(args) => HirScalar::And(all(args)),
            Scalar::Or(args) => HirScalar::Or(all(args)),
            Scalar::Coalesce(args) => HirScalar::Coalesce(all(args)),
            Scalar::If { cond, then, els } => HirScalar::if_then_else(convert(*cond), convert(*then), convert(*els)),
            Scalar::IsNull(inner) => convert(*inner).null_test(),
            Scalar::Not(inner) => convert(*inner).not(),
        })
    }

    /// The expression without subqueries, aggregates and enclosing rows; None if it has any.
    pub(crate) fn to_scalar(&self) -> Option<Scalar> {
        let all = |args: &[HirScalar]| args.iter().map(HirScalar::to_scalar).collect::<Option<Vec<Scalar>>>();
        with_stack(|| {
            Some(match self {
                HirScalar::Column { level: 0, index } => Scalar::Column(*index),
                HirScalar::Literal(value, typ) => Scalar::Literal(value.clone(), typ.clone()),
                HirScalar::MzNow => Scalar::MzNow,
                HirScalar::Call { func, args, types } => {
                    Scalar::Call { func: *func, args: all(args)?, types: Arc::clone(types) }
                }
                HirScalar::And(args) => Scalar::And(all(args)?),
                HirScalar::Or(args) => Scalar::Or(all(args)?),
                HirScalar::Coalesce(args) => Scalar::Coalesce(all(args)?),
                HirScalar::If { cond, then, els } => Scalar::If {
                    cond: Box::new(cond.to_scalar()?),
                    then: Box::new(then.to_scalar()?),
                    els: Box::new(els.to_scalar()?),
                },
                HirScalar::IsNull(inner) => inner.to_scalar()?.is_null(),
                HirScalar::Not(inner) => inner.to_scalar()?.not(),
                HirScalar::Column { .. }
                | HirScalar::Aggregate { .. }
                | HirScalar::SetReturning(_)
                | HirScalar::Window(_)
                | HirScalar::Grouping(_)
                | HirScalar::Exists(_)
                | HirScalar::Select(_)
                | HirScalar::Quantified { .. } => return None,
            })
        })
    }

    /// The direct operands; relations and what stands over them are not among them.
    pub(crate) fn children(&self) -> Vec<&HirScalar> {
        match self {
            HirScalar::Call { args, .. } | HirScalar::And(args) | HirScalar::Or(args) | HirScalar::Coalesce(args) => {
                args.iter().collect()
            }
            HirScalar::If { cond, then, els } => vec![cond, then, els],
            HirScalar::IsNull(inner) | HirScalar::Not(inner) => vec![inner],
            HirScalar::Column { .. }
            | HirScalar::Literal(..)
            | HirScalar::MzNow
            | HirScalar::Aggregate { .. }
            | HirScalar::SetReturning(_)
            | HirScalar::Window(_)
            | HirScalar::Grouping(_)
            | HirScalar::Exists(_)
            | HirScalar::Select(_)
            | HirScalar::Quantified { .. } => Vec::new(),
        }
    }

    pub(crate) fn children_mut(&mut self) -> Vec<&mut HirScalar> {
        match self {
            HirScalar::Call { args, .. } | HirScalar::And(args) | HirScalar::Or(args) | HirScalar::Coalesce(args) => {
                args.iter_mut().collect()
            }
            HirScalar::If { cond, then, els } => vec![cond, then, els],
            HirScalar::IsNull(inner) | HirScalar::Not(inner) => vec![inner],
            HirScalar::Column { .. }
            | HirScalar::Literal(..)
            | HirScalar::MzNow
            | HirScalar::Aggregate { .. }
            | HirScalar::SetReturning(_)
            | HirScalar::Window(_)
            | HirScalar::Grouping(_)
            | HirScalar::Exists(_)
            | HirScalar::Select(_)
            | HirScalar::Quantified { .. } => Vec::new(),
        }
    }

    /// True if any node outside subqueries satisfies `test`.
    pub(crate) fn any(&self, test: &mut dyn FnMut(&HirScalar) -> bool) -> bool {
        let mut pending = vec![self];
        while let Some(scalar) = pending.pop() {
            if test(scalar) {
                return true;
            }
            pending.extend(scalar.children());
        }
        false
    }

    pub(crate) fn contains_subquery(&self) -> bool {
        self.any(&mut |scalar| {
            matches!(scalar, HirScalar::Exists(_) | HirScalar::Select(_) | HirScalar::Quantified { .. })
        })
    }

    fn waits_for_aggregates(&self) -> bool {
        self.any(&mut |scalar| match scalar {
            HirScalar::Aggregate { .. } => true,
            HirScalar::Exists(relation) | HirScalar::Select(relation) => relation.waits_for_aggregates(),
            HirScalar::Quantified { relation, predicate, .. } => {
                relation.waits_for_aggregates() || predicate.waits_for_aggregates()
            }
            _ => false,
        })
    }

    /// True if evaluation may return an error.
    pub(crate) fn could_error(&self) -> bool {
        self.any(&mut |scalar| match scalar {
            HirScalar::Literal(value, _) => value.is_err(),
            HirScalar::Call { func, .. } => func.fallible,
            HirScalar::Exists(relation) => relation.could_error(),
            HirScalar::Select(relation) => !relation.has_one_row() || relation.could_error(),
            HirScalar::Quantified { relation, predicate, .. } => relation.could_error() || predicate.could_error(),
            _ => false,
        })
    }

    /// See [`HirRelation::visit_columns_mut`]; this scalar is at `depth`.
    pub(crate) fn visit_columns_mut(&mut self, depth: usize, visit: &mut dyn FnMut(usize, &mut usize, &mut usize)) {
        with_stack(|| match self {
            HirScalar::Column { level, index } => visit(depth, level, index),
            HirScalar::Exists(relation) | HirScalar::Select(relation) => relation.visit_columns_mut(depth + 1, visit),
            HirScalar::Quantified { relation, predicate, .. } => {
                relation.visit_columns_mut(depth + 1, visit);
                predicate.visit_columns_mut(depth + 1, visit);
            }
            other => {
                for child in other.children_mut() {
                    child.visit_columns_mut(depth, visit);
                }
            }
        });
    }

    /// See [`HirRelation::visit_columns`]; this scalar is at `depth`.
    pub(crate) fn visit_columns(&self, depth: usize, visit: &mut dyn FnMut(usize, usize, usize)) {
        with_stack(|| match self {
            HirScalar::Column { level, index } => visit(depth, *level, *index),
            HirScalar::Exists(relation) | HirScalar::Select(relation) => relation.visit_columns(depth + 1, visit),
            HirScalar::Quantified { relation, predicate, .. } => {
                relation.visit_columns(depth + 1, visit);
                predicate.visit_columns(depth + 1, visit);
            }
            other => {
                for child in other.children() {
                    child.visit_columns(depth, visit);
                }
            }
        });
    }

    /// Columns of the scalar's own row (also as subqueries inside look at it).
    pub(crate) fn own_columns(&self) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        self.visit_columns(0, &mut |depth, level, index| {
            if level == depth {
                columns.insert(index);
            }
        });
        columns
    }

    /// Puts the scalar `by` rows further in.
    pub(crate) fn shift_in(&mut self, by: usize) {
        self.visit_columns_mut(0, &mut |depth, level, _| {
            if *level >= depth {
                *level += by;
            }
        });
    }

    /// Puts the scalar `by` rows further out; it must not look at the rows it leaves.
    pub(crate) fn shift_out(&mut self, by: usize) {
        self.visit_columns_mut(0, &mut |depth, level, _| {
            if *level >= depth {
                assert!(*level >= depth + by, "a scalar that leaves a row does not look at it");
                *level -= by;
            }
        });
    }

    /// Renumbers the columns of the scalar's own row.
    pub(crate) fn permute(&mut self, map: &dyn Fn(usize) -> usize) {
        self.visit_columns_mut(0, &mut |depth, level, index| {
            if *level == depth {
                *index = map(*index);
            }
        });
    }

    /// Splits a conjunction into its conjuncts.
    pub(crate) fn into_conjuncts(self, conjuncts: &mut Vec<HirScalar>) {
        match self {
            HirScalar::And(args) => args.into_iter().for_each(|arg| arg.into_conjuncts(conjuncts)),
            other => conjuncts.push(other),
        }
    }
}
