//! EXISTS, scalar subqueries, ANY and ALL: as columns, and in WHERE as semijoins and antijoins.

use std::collections::BTreeSet;

use expr::func::comparison;
use expr::{Aggregate, AggregateFunc, EvalError, Scalar};
use repr::{ColumnType, Datum, ScalarType};

use super::join::Applied;
use super::scalar::push_column;
use super::{Flat, Lowering, Outer};
use crate::hir::{HirRelation, HirScalar, Quantifier};

impl Lowering {
    /// Appends the flag whether the subquery has a row.
    pub(super) fn exists(&mut self, relation: HirRelation, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        let applied = self.apply_to(over, relation, BTreeSet::new(), row, outer);
        let d = applied.outer.flat.clone();
        let present = applied.inner.distinct_by(&places(&applied.keys));
        let present = self.bind(present);
        let absent = d.minus(present.clone());
        let flags = Flat::union(vec![present.flag(true), absent.flag(false)]);
        attach(over, applied.base, flags, &applied.keys)
    }

    /// Appends the subquery's value: NULL where it has no row, an error where it has several.
    pub(super) fn select(&mut self, relation: HirRelation, over: &mut Flat, row: usize, outer: &Outer) -> Scalar {
        let one_row = relation.has_one_row();
        let at_most_one = one_row
            || matches!(&relation, HirRelation::TopK { limit: Some(0 | 1), group_key, .. } if group_key.is_empty());
        let applied = self.apply_to(over, relation, BTreeSet::new(), row, outer);
        let d = applied.outer.flat.clone();
        let d_columns = places(&applied.keys);
        let value = applied.inner.columns[d_columns.len()].clone();
        let mut parts = vec![applied.inner];
        if !one_row {
            let inner = self.bind(parts.remove(0));
            let keys = inner.clone().distinct_by(&d_columns);
            if !at_most_one {
                parts.push(more_than_one(inner.clone(), &d_columns, &value));
            }
            parts.push(d.minus(keys).pad(std::slice::from_ref(&value)));
            parts.insert(0, inner);
        }
        attach(over, applied.base, Flat::union(parts), &applied.keys)
    }

    /// Appends the three-valued ANY or ALL of `predicate`, which pairs every row with every row of its subquery.
    pub(super) fn quantified(
        &mut self,
        quantifier: Quantifier,
        relation: HirRelation,
        predicate: HirScalar,
        over: &mut Flat,
        row: usize,
        outer: &Outer,
    ) -> Scalar {
        let mut more = BTreeSet::new();
        predicate.visit_columns(1, &mut |depth, level, index| {
            if level >= depth {
                more.insert((level - depth, index));
            }
        });
        let applied = self.apply_to(over, relation, more, row, outer);
        let d = applied.outer.flat.clone();
        let mut inner = applied.inner;
        let value = self.scalar(predicate, &mut inner, row + 1, &applied.outer);
        let d_columns = places(&applied.keys);
        let (func, empty) = match quantifier {
            Quantifier::Any => (AggregateFunc::AnyThree, false),
            Quantifier::All => (AggregateFunc::AllThree, true),
        };
        let aggregate = Aggregate { func, expr: value, arg_type: ScalarType::Bool, distinct: false };
        let key = d_columns.iter().copied().map(Scalar::Column).collect();
        let reduced = inner.reduce(key, vec![aggregate], vec![ScalarType::Bool.nullable()]);
        let reduced = self.bind(reduced);
        let default = d.minus(reduced.clone().project(d_columns)).flag(empty);
        attach(over, applied.base, Flat::union(vec![reduced, default]), &applied.keys)
    }

    /// Filters by a conjunct that is a subquery test, without computing its value for each row, if it has such a form.
    pub(super) fn semijoin(&mut self, flat: Flat, predicate: HirScalar, row: usize, outer: &Outer) -> Semijoin {
        match predicate {
            HirScalar::Exists(relation) => Semijoin::Done(self.exists_join(flat, *relation, row, outer)),
            HirScalar::Quantified { quantifier: Quantifier::Any, relation, predicate } => {
                match equalities(&predicate) {
                    Some(pairs) => Semijoin::Done(self.in_join(flat, *relation, pairs, row, outer)),
                    None => {
                        let quantifier = Quantifier::Any;
                        Semijoin::NoForm(flat, HirScalar::Quantified { quantifier, relation, predicate })
                    }
                }
            }
            HirScalar::Not(inner) => match *inner {
                HirScalar::Exists(relation) => Semijoin::Done(self.not_exists_join(flat, *relation, row, outer)),
                HirScalar::Quantified { quantifier: Quantifier::Any, relation, predicate } => {
                    self.not_in_join(flat, relation, predicate, row, outer)
                }
                other => Semijoin::NoForm(flat, other.not()),
            },
            other => Semijoin::NoForm(flat, other),
        }
    }

    fn exists_join(&mut self, flat: Flat, relation: HirRelation, row: usize, outer: &Outer) -> Flat {
        let Applied { base, inner, keys, .. } = self.apply(flat, relation, BTreeSet::new(), row, outer);
        base.join(inner.distinct_by(&places(&keys)), &pairs(&keys))
    }

    fn not_exists_join(&mut self, flat: Flat, relation: HirRelation, row: usize, outer: &Outer) -> Flat {
        let applied = self.apply(flat, relation, BTreeSet::new(), row, outer);
        let d = applied.outer.flat.clone();
        let Applied { base, inner, keys, .. } = applied;
        base.join(d.minus(inner.distinct_by(&places(&keys))), &pairs(&keys))
    }

    /// `x IN (q)`: NULL and false alike drop the row, so it is a join with the distinct values of q.
    fn in_join(
        &mut self,
        flat: Flat,
        relation: HirRelation,
        equalities: Vec<(HirScalar, HirScalar)>,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        let sides = self.sides(flat, relation, equalities, row, outer);
        let Sides { base, values, on, d_arity } = sides;
        let nullable = |flat: &Flat, column: usize| flat.columns[column].nullable;
        // D's columns are what the subquery looks at: there a NULL is a value as any other.
        let not_null = on
            .iter()
            .skip(d_arity)
            .filter(|(left, right)| nullable(&base, *left) && nullable(&values, *right))
            .map(|(left, _)| Scalar::Column(*left).is_null().not())
            .collect();
        base.filter(not_null).join(values, &on)
    }

    /// `x NOT IN (q)` where neither side can be NULL: an antijoin. With NULLs the three-valued aggregate is needed.
    fn not_in_join(
        &mut self,
        flat: Flat,
        relation: Box<HirRelation>,
        predicate: Box<HirScalar>,
        row: usize,
        outer: &Outer,
    ) -> Semijoin {
        let again =
            |relation, predicate| HirScalar::Quantified { quantifier: Quantifier::Any, relation, predicate }.not();
        let Some(pairs) = equalities(&predicate) else { return Semijoin::NoForm(flat, again(relation, predicate)) };
        let bound = self.bindings.len();
        let sides = self.sides(flat.clone(), (*relation).clone(), pairs, row, outer);
        let nullable = sides
            .on
            .iter()
            .skip(sides.d_arity)
            .any(|(left, right)| sides.base.columns[*left].nullable || sides.values.columns[*right].nullable);
        if nullable {
            // What was bound for the attempt is of no use to the other form.
            self.bindings.truncate(bound);
            return Semijoin::NoForm(flat, again(relation, predicate));
        }
        let base = self.bind(sides.base);
        let (left, right): (Vec<usize>, Vec<usize>) = sides.on.iter().copied().unzip();
        let candidates = base.clone().distinct_by(&left);
        let candidates = self.bind(candidates);
        let on: Vec<(usize, usize)> = right.iter().copied().enumerate().collect();
        let found = candidates.clone().join(sides.values, &on).project((0..left.len()).collect());
        let missing = candidates.minus(found);
        let on: Vec<(usize, usize)> = left.into_iter().enumerate().map(|(place, key)| (key, place)).collect();
        Semijoin::Done(base.join(missing, &on))
    }

    /// Both sides of the equalities of an IN, as columns.
    fn sides(
        &mut self,
        mut flat: Flat,
        relation: HirRelation,
        equalities: Vec<(HirScalar, HirScalar)>,
        row: usize,
        outer: &Outer,
    ) -> Sides {
        let (left, right): (Vec<_>, Vec<_>) = equalities.into_iter().unzip();
        let left: Vec<usize> = left
            .into_iter()
            .map(|scalar| {
                let scalar = self.scalar(scalar, &mut flat, row, outer);
                column_of(&mut flat, scalar)
            })
            .collect();
        let Applied { base, inner, keys, .. } = self.apply(flat, relation, BTreeSet::new(), row, outer);
        let d_arity = keys.len();
        let mut inner = inner;
        let mut columns = places(&keys);
        for scalar in right {
            let mut scalar = scalar.to_scalar().expect("checked when the equalities were taken apart");
            scalar.permute_by(|column| d_arity + column);
            columns.push(column_of(&mut inner, scalar));
        }
        // A NULL on the right equals nothing, but it makes NOT IN unknown: only IN may drop it, and NOT IN asks first.
        let types: Vec<ColumnType> = columns.iter().map(|column| inner.columns[*column].clone()).collect();
        let not_null = columns[d_arity..].iter().filter(|column| inner.columns[**column].nullable);
        let not_null = not_null.map(|column| Scalar::Column(*column).is_null().not()).collect();
        let mut values = inner.filter(not_null).distinct_by(&columns);
        values.columns = types;
        let on = keys.into_iter().chain(left).enumerate().map(|(place, column)| (column, place)).collect();
        Sides { base, values, on, d_arity }
    }

    /// As [`Lowering::apply`], taking the base out of `over`; [`attach`] puts it back.
    fn apply_to(
        &mut self,
        over: &mut Flat,
        relation: HirRelation,
        more: BTreeSet<(usize, usize)>,
        row: usize,
        outer: &Outer,
    ) -> Applied {
        let base = std::mem::replace(over, Flat::unit());
        self.apply(base, relation, more, row, outer)
    }
}

/// What became of a conjunct.
#[allow(clippy::large_enum_variant)]
pub(super) enum Semijoin {
    Done(Flat),
    /// It is none that a join can decide; both as they came.
    NoForm(Flat, HirScalar),
}

struct Sides {
    base: Flat,
    /// Distinct: D's columns, then one for each equality. Rows with a NULL among the latter are left out, though their types
    /// still say whether there were any.
    values: Flat,
    /// Pairs of a column of `base` and one of `values`: D's, then the equalities'.
    on: Vec<(usize, usize)>,
    d_arity: usize,
}

/// Joins `values` (D's columns, then one) to `base`, and leaves the result in `over`. Returns the new column.
fn attach(over: &mut Flat, base: Flat, values: Flat, keys: &[usize]) -> Scalar {
    let arity = base.arity();
    let value = arity + keys.len();
    *over = base.join(values, &pairs(keys)).project((0..arity).chain([value]).collect());
    Scalar::Column(arity)
}

/// The column that holds `scalar`, appended unless it is one.
fn column_of(flat: &mut Flat, scalar: Scalar) -> usize {
    match push_column(flat, scalar) {
        Scalar::Column(column) => column,
        _ => unreachable!("what was pushed is a column"),
    }
}

/// The places of D's columns in what leads with them.
fn places(keys: &[usize]) -> Vec<usize> {
    (0..keys.len()).collect()
}

fn pairs(keys: &[usize]) -> Vec<(usize, usize)> {
    keys.iter().copied().enumerate().map(|(place, key)| (key, place)).collect()
}

/// An error row for each row of D to which more than one row of `inner` belongs.
fn more_than_one(inner: Flat, d_columns: &[usize], value: &ColumnType) -> Flat {
    let count = Aggregate {
        func: AggregateFunc::Count,
        expr: Scalar::literal_true(),
        arg_type: ScalarType::Bool,
        distinct: false,
    };
    let key = d_columns.iter().copied().map(Scalar::Column).collect();
    let counted = inner.reduce(key, vec![count], vec![ScalarType::Int8.not_null()]);
    let one = Scalar::literal(Datum::Int(1), ScalarType::Int8);
    let many = Scalar::compare(">", Scalar::Column(d_columns.len()), one, ScalarType::Int8);
    let error = EvalError::new("21000", "more than one row returned by a subquery used as an expression");
    let error = Scalar::Literal(Err(error), ColumnType { scalar: value.scalar.clone(), nullable: false });
    counted.filter(vec![many]).project(d_columns.to_vec()).map(vec![error])
}

/// Takes a conjunction of equalities between the enclosing row and the subquery's row apart: (over the enclosing row, over
/// the subquery's). None if it is anything else, or if an expression could fail.
fn equalities(predicate: &HirScalar) -> Option<Vec<(HirScalar, HirScalar)>> {
    let mut conjuncts = Vec::new();
    predicate.clone().into_conjuncts(&mut conjuncts);
    conjuncts.into_iter().map(equality).collect()
}

fn equality(conjunct: HirScalar) -> Option<(HirScalar, HirScalar)> {
    let HirScalar::Call { func, args, .. } = conjunct else { return None };
    let [left, right] = <[HirScalar; 2]>::try_from(args).ok()?;
    if comparison("=") != Some(func) || left.could_error() || right.could_error() || right.contains_subquery() {
        return None;
    }
    let mut left_outside = true;
    left.visit_columns(0, &mut |depth, level, _| left_outside &= level != depth);
    let mut right_inside = true;
    right.visit_columns(0, &mut |depth, level, _| right_inside &= level == depth);
    if !left_outside || !right_inside {
        return None;
    }
    let mut left = left;
    left.visit_columns_mut(0, &mut |depth, level, _| {
        if *level > depth {
            *level -= 1;
        }
    });
    Some((left, right))
}
