//! Joins: equalities of ON become equivalences, and rows without a partner come back padded with NULL.

use expr::Scalar;
use expr::func::comparison;
use std::collections::BTreeSet;

use super::{Flat, Lowering, Outer, correlate};
use crate::hir::{HirRelation, HirScalar, JoinKind};

impl Lowering {
    pub(super) fn join(
        &mut self,
        left: HirRelation,
        right: HirRelation,
        on: Vec<HirScalar>,
        kind: JoinKind,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        match kind {
            JoinKind::Inner => self.inner_join(left, right, on, row, outer),
            JoinKind::Left => self.left_join(left, right, on, row, outer),
            JoinKind::Full => self.full_join(left, right, on, row, outer),
        }
    }

    fn inner_join(
        &mut self,
        left: HirRelation,
        right: HirRelation,
        on: Vec<HirScalar>,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        let left = self.relation(left, row, outer);
        let applied = self.apply(left, right, BTreeSet::new(), row, outer);
        self.matched(&applied.base, &applied.inner, &applied.keys, on, row, outer)
    }

    /// The pairs of a row of `base` and one of `inner` for which `on` holds: base columns (with the enclosing ones), inner's
    /// own columns. `keys` are the places in `base` of the columns of D with which `inner` leads.
    fn matched(
        &mut self,
        base: &Flat,
        inner: &Flat,
        keys: &[usize],
        on: Vec<HirScalar>,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        let left_arity = base.arity();
        let d_arity = keys.len();
        let own_left = left_arity - outer.arity();
        let mut classes: Vec<Vec<Scalar>> = keys
            .iter()
            .enumerate()
            .map(|(place, key)| vec![Scalar::Column(*key), Scalar::Column(left_arity + place)])
            .collect();
        let mut not_null = Vec::new();
        let mut rest = Vec::new();
        let columns: Vec<_> = base.columns.iter().chain(&inner.columns).cloned().collect();
        for conjunct in on {
            let Some((on_left, on_right)) = equality_over(&conjunct, own_left) else {
                rest.push(conjunct);
                continue;
            };
            // The right side's own columns stand behind D's columns in it.
            let place = |index: usize| {
                if index < own_left { outer.arity() + index } else { left_arity + d_arity + index - own_left }
            };
            let [on_left, on_right] = [on_left, on_right].map(|mut scalar| {
                scalar.permute_by(place);
                scalar
            });
            // Equivalence is null-safe, SQL's equality is not: one side not NULL means both are.
            if on_left.nullable(&columns) && on_right.nullable(&columns) {
                not_null.push(on_left.clone().is_null().not());
            }
            classes.push(vec![on_left, on_right]);
        }
        let joined = base.clone().join_on(inner.clone(), classes).filter(not_null);
        let right = left_arity + d_arity..joined.arity();
        let joined = joined.project((0..left_arity).chain(right).collect());
        self.filter(joined, rest, row, outer)
    }

    /// Left rows that have no partner are those whose values of all columns looked at by ON, or by the right side, are
    /// among the left's but not among the matched ones'.
    fn left_join(
        &mut self,
        left: HirRelation,
        right: HirRelation,
        on: Vec<HirScalar>,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        let left = self.relation(left, row, outer);
        let left = self.bind(left);
        let left_arity = left.arity();
        let own_left = left_arity - outer.arity();
        let keys = columns_in_play(&on, outer, |index| index < own_left);
        let applied = self.apply(left.clone(), right, BTreeSet::new(), row, outer);
        let keys: Vec<usize> =
            keys.into_iter().chain(applied.keys.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let padding = applied.inner.columns[applied.keys.len()..].to_vec();
        let matched = self.matched(&left, &applied.inner, &applied.keys, on, row, outer);
        let matched = self.bind(matched);
        let lonely = self.without(left, &keys, matched.clone(), &keys);
        Flat::union(vec![matched, lonely.pad(&padding)])
    }

    fn full_join(
        &mut self,
        left: HirRelation,
        mut right: HirRelation,
        on: Vec<HirScalar>,
        row: usize,
        outer: &Outer,
    ) -> Flat {
        // The right side looks at no left row (SQL forbids it), so it can stand beside the left one over the same D.
        right.shift_out();
        let left = self.relation(left, row, outer);
        let left = self.bind(left);
        let right = self.relation(right, row, outer);
        let right = self.bind(right);
        let prefix = outer.arity();
        let left_arity = left.arity();
        let own_left = left_arity - prefix;
        let left_keys: Vec<usize> = (0..prefix)
            .chain(columns_in_play(&on, outer, |index| index < own_left))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let right_columns = columns_in_play(&on, outer, |index| index >= own_left);
        let right_keys: Vec<usize> = (0..prefix)
            .chain(right_columns.into_iter().filter(|place| *place >= left_arity).map(|place| place - own_left))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let matched = self.matched(&left, &right, &(0..prefix).collect::<Vec<_>>(), on, row, outer);
        let matched = self.bind(matched);
        let left_alone = self.without(left.clone(), &left_keys, matched.clone(), &left_keys);
        // In the matched rows D's columns lead, then the left's own, then the right's own.
        let matched_keys: Vec<usize> =
            right_keys.iter().map(|key| if *key < prefix { *key } else { key + own_left }).collect();
        let right_alone = self.without(right.clone(), &right_keys, matched.clone(), &matched_keys);
        let right_arity = right.arity();
        let right_alone = right_alone.pad(&left.columns[prefix..]);
        let order = (0..prefix).chain(right_arity..right_arity + own_left).chain(prefix..right_arity);
        let right_alone = right_alone.project(order.collect());
        Flat::union(vec![matched, left_alone.pad(&right.columns[prefix..]), right_alone])
    }

    /// Rows of `flat` whose values of `keys` do not occur as `other_keys` in `other`, all of whose keys are among `flat`'s.
    pub(super) fn without(&mut self, flat: Flat, keys: &[usize], other: Flat, other_keys: &[usize]) -> Flat {
        let flat = self.bind(flat);
        let arity = flat.arity();
        let missing = flat.clone().distinct_by(keys).minus(other.distinct_by(other_keys));
        let on: Vec<(usize, usize)> = keys.iter().copied().enumerate().map(|(place, key)| (key, place)).collect();
        flat.join(missing, &on).project((0..arity).collect())
    }

    /// Lowers `inner`, a relation right inside the row number `row` of `base`, over its D.
    ///
    /// `base` leads with `outer`'s columns and may have more columns behind its own. `more` are columns (level, index) that D
    /// must have besides those that `inner` looks at.
    pub(super) fn apply(
        &mut self,
        base: Flat,
        inner: HirRelation,
        more: BTreeSet<(usize, usize)>,
        row: usize,
        outer: &Outer,
    ) -> Applied {
        let used: Vec<(usize, usize)> =
            inner.free_columns().into_iter().chain(more).collect::<BTreeSet<_>>().into_iter().collect();
        let (keys, columns) = correlate(&used, row, outer);
        let (base, d) = self.distinct_outer(base, &keys);
        let outer = Outer { flat: d, columns };
        let inner = self.relation(inner, row + 1, &outer);
        Applied { base, inner, keys, outer }
    }

    /// `base`, bound if it is used again, and D: its distinct values of the columns `keys`.
    pub(super) fn distinct_outer(&mut self, base: Flat, keys: &[usize]) -> (Flat, Flat) {
        if keys.is_empty() {
            return (base, Flat::unit());
        }
        let base = self.bind(base);
        let unique = base.relation.typ().keys.iter().any(|key| key.iter().all(|column| keys.contains(column)));
        let d = if unique { base.clone().project(keys.to_vec()) } else { base.clone().distinct_by(keys) };
        (base, self.bind(d))
    }
}

/// A relation and what was lowered over its D.
pub(super) struct Applied {
    pub(super) base: Flat,
    /// Leads with D's columns.
    pub(super) inner: Flat,
    /// For each column of D its place in `base`.
    pub(super) keys: Vec<usize>,
    /// D.
    pub(super) outer: Outer,
}

/// Columns, as places behind `outer`'s, that `on` looks at in the rows of the join, as far as `wanted`; and those of
/// enclosing rows.
fn columns_in_play(on: &[HirScalar], outer: &Outer, wanted: impl Fn(usize) -> bool) -> BTreeSet<usize> {
    let own = on.iter().flat_map(HirScalar::own_columns).filter(|index| wanted(*index));
    let enclosing = if on.iter().any(looks_out) { 0..outer.arity() } else { 0..0 };
    enclosing.chain(own.map(|index| outer.arity() + index)).collect()
}

/// True if the scalar looks at an enclosing row.
fn looks_out(scalar: &HirScalar) -> bool {
    let mut out = false;
    scalar.visit_columns(0, &mut |depth, level, _| out |= level > depth);
    out
}

/// The sides of `conjunct` if it equates an expression over columns before `split` with one over columns from there on, and
/// neither can fail: what can fail must wait for the other conjuncts.
fn equality_over(conjunct: &HirScalar, split: usize) -> Option<(Scalar, Scalar)> {
    let HirScalar::Call { func, args, .. } = conjunct else { return None };
    let [first, second] = &args[..] else { return None };
    if comparison("=") != Some(*func) {
        return None;
    }
    let (first, second) = (first.to_scalar()?, second.to_scalar()?);
    if first.could_error() || second.could_error() || !first.is_deterministic() || !second.is_deterministic() {
        return None;
    }
    let side = |scalar: &Scalar| {
        let support = scalar.support();
        let (first, last) = (*support.first()?, *support.last()?);
        if last < split {
            Some(false)
        } else if first >= split {
            Some(true)
        } else {
            None
        }
    };
    match (side(&first)?, side(&second)?) {
        (false, true) => Some((first, second)),
        (true, false) => Some((second, first)),
        _ => None,
    }
}
