//! Scalars: subqueries become columns of the relation they stand over, behind guards where they could fail.

use expr::Scalar;
use repr::ScalarType;

use super::subquery::Semijoin;
use super::{Flat, Lowering, Outer};
use crate::hir::HirScalar;
use crate::stack::with_stack;

impl Lowering {
    /// Lowers `scalar` over the row number `row` of `over`, which leads with `outer`'s columns. Subqueries append columns
    /// to `over`.
    pub(super) fn scalar(&mut self, scalar: HirScalar, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        with_stack(|| self.scalar_inner(scalar, over, row, outer))
    }

    fn scalar_inner(&mut self, scalar: HirScalar, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        match scalar {
            HirScalar::Column { level: 0, index } => Scalar::Column(outer.arity() + index),
            HirScalar::Column { level, index } => Scalar::Column(outer.position(row - level, index)),
            HirScalar::Literal(value, typ) => Scalar::Literal(value, typ),
            HirScalar::MzNow => Scalar::MzNow,
            HirScalar::Aggregate { .. }
            | HirScalar::SetReturning(_)
            | HirScalar::Window(_)
            | HirScalar::Grouping(_) => {
                unreachable!("what stands for a column became one when its SELECT was planned")
            }
            HirScalar::Call { func, args, types } => {
                Scalar::Call { func, args: self.scalars(args, over, row, outer), types }
            }
            HirScalar::And(args) => self.junction(args, false, over, row, outer),
            HirScalar::Or(args) => self.junction(args, true, over, row, outer),
            HirScalar::If { cond, then, els } => {
                let cond = self.scalar(*cond, over, row, outer);
                let guarded = [&then, &els].into_iter().any(|branch| needs_guard(branch));
                if guarded {
                    return self.branches(cond, *then, *els, over, row, outer);
                }
                let then = Box::new(self.scalar(*then, over, row, outer));
                let els = Box::new(self.scalar(*els, over, row, outer));
                Scalar::If { cond: Box::new(cond), then, els }
            }
            HirScalar::Coalesce(args) => self.coalesce(args, over, row, outer),
            HirScalar::IsNull(inner) => self.scalar(*inner, over, row, outer).is_null(),
            HirScalar::Not(inner) => self.scalar(*inner, over, row, outer).not(),
            HirScalar::Exists(relation) => self.exists(*relation, over, row, outer),
            HirScalar::Select(relation) => self.select(*relation, over, row, outer),
            HirScalar::Quantified { quantifier, relation, predicate } => {
                self.quantified(quantifier, *relation, *predicate, over, row, outer)
            }
        }
    }

    fn scalars(&mut self, scalars: Vec<HirScalar>, over: &mut Flat, row: usize, outer: &Outer) -> Vec<Scalar> {
        scalars.into_iter().map(|scalar| self.scalar(scalar, over, row, outer)).collect()
    }

    /// AND (`decisive` = false) or OR (`decisive` = true). Subqueries that could fail are computed only for rows that the
    /// operands before them leave undecided.
    fn junction(&mut self, args: Vec<HirScalar>, decisive: bool, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        let combine = |args: Vec<Scalar>| if decisive { Scalar::Or(args) } else { Scalar::And(args) };
        let (mut guarded, plain): (Vec<_>, Vec<_>) = args.into_iter().partition(needs_guard);
        let mut ready = self.scalars(plain, over, row, outer);
        if ready.is_empty() && !guarded.is_empty() {
            ready.push(self.scalar(guarded.remove(0), over, row, outer));
        }
        if guarded.is_empty() {
            return combine(ready);
        }
        let known = push_column(over, combine(ready));
        let decided = if decisive { known.clone() } else { is_false(known.clone()) };
        let rest = if decisive { HirScalar::Or(guarded) } else { HirScalar::And(guarded) };
        let rest = self.branches(decided, HirScalar::bool(decisive), rest, over, row, outer);
        combine(vec![known, rest])
    }

    fn coalesce(&mut self, mut args: Vec<HirScalar>, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        let Some(first_guarded) = args.iter().skip(1).position(needs_guard) else {
            return Scalar::Coalesce(self.scalars(args, over, row, outer));
        };
        let rest = args.split_off(first_guarded + 1);
        let known = Scalar::Coalesce(self.scalars(args, over, row, outer));
        let known = push_column(over, known);
        let typ = known.typ(&over.columns).scalar;
        let missing = known.clone().is_null();
        let rest = self.branches(missing, HirScalar::Coalesce(rest), HirScalar::null(typ), over, row, outer);
        Scalar::Coalesce(vec![known, rest])
    }

    /// `CASE WHEN cond THEN then ELSE els END`, each branch computed over the rows that reach it.
    fn branches(
        &mut self,
        cond: Scalar,
        then: HirScalar,
        els: HirScalar,
        over: &mut Flat,
        row: usize,
        outer: &Outer,
    ) -> Scalar {
        let cond = push_column(over, cond);
        let base = self.bind(std::mem::replace(over, Flat::unit()));
        let arity = base.arity();
        let otherwise = Scalar::Or(vec![cond.clone().not(), cond.clone().is_null()]);
        let mut results = Vec::with_capacity(2);
        for (guard, branch) in [(cond, then), (otherwise, els)] {
            // A filter may only narrow nullability; the columns of both branches are those of the base.
            let mut flat = base.clone().filter(vec![guard]);
            flat.columns = base.columns.clone();
            let value = self.scalar(branch, &mut flat, row, outer);
            let extended = flat.arity();
            results.push(flat.map(vec![value]).project((0..arity).chain([extended]).collect()));
        }
        *over = Flat::union(results);
        Scalar::Column(arity)
    }

    /// Keeps the rows for which all predicates are true. Those without subqueries come first: the others are computed only
    /// for rows that pass them.
    pub(super) fn filter(&mut self, mut flat: Flat, predicates: Vec<HirScalar>, row: usize, outer: &Outer) -> Flat {
        let arity = flat.arity();
        let mut conjuncts = Vec::new();
        predicates.into_iter().for_each(|predicate| predicate.into_conjuncts(&mut conjuncts));
        conjuncts.retain(|conjunct| *conjunct != HirScalar::bool(true));
        let (queries, plain): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(HirScalar::contains_subquery);
        let plain = self.scalars(plain, &mut flat, row, outer);
        flat = flat.filter(plain);
        for predicate in queries {
            flat = match self.semijoin(flat, predicate, row, outer) {
                Semijoin::Done(flat) => flat,
                Semijoin::NoForm(mut flat, predicate) => {
                    let predicate = self.scalar(predicate, &mut flat, row, outer);
                    flat.filter(vec![predicate])
                }
            };
            flat = flat.project((0..arity).collect());
        }
        flat
    }
}

/// True for a branch that must not be computed for rows that do not reach it.
fn needs_guard(scalar: &HirScalar) -> bool {
    scalar.contains_subquery() && scalar.could_error()
}

/// Appends a column, unless the scalar is one.
pub(super) fn push_column(over: &mut Flat, scalar: Scalar) -> Scalar {
    if matches!(scalar, Scalar::Column(_)) {
        return scalar;
    }
    let column = over.arity();
    *over = std::mem::replace(over, Flat::unit()).map(vec![scalar]);
    Scalar::Column(column)
}

/// `scalar IS FALSE`.
fn is_false(scalar: Scalar) -> Scalar {
    let bool_literal = |value| Scalar::literal(repr::Datum::Bool(value), ScalarType::Bool);
    Scalar::And(vec![
        scalar.clone().is_null().not(),
        Scalar::If { cond: Box::new(scalar), then: Box::new(bool_literal(false)), els: Box::new(bool_literal(true)) },
    ])
}
