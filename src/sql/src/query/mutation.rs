//! What UPDATE and DELETE read: the rows of their table that change, beside each its new values and what RETURNING shows.

use expr::{Relation, Scalar};
use repr::{CollectionId, RelationDesc};
use sqlparser::ast::{Expr, JoinConstraint, Query, SelectItem, TableWithJoins, With};

use super::coerce::Planned;
use super::from::{Kind, Source};
use super::scope::{Scope, TableName};
use super::{Clause, QueryContext};
use crate::decorrelate;
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar};

/// An UPDATE or DELETE whose target is resolved.
pub(crate) struct Mutation<'a> {
    pub(crate) table: CollectionId,
    /// The target's columns.
    pub(crate) desc: &'a RelationDesc,
    /// What the statement calls the target.
    pub(crate) called: TableName,
    /// The names that may be used in all of the following.
    pub(crate) with: Option<&'a With>,
    /// UPDATE: the new value of each column.
    pub(crate) assignments: Option<Vec<Assigned<'a>>>,
    /// FROM of an UPDATE, USING of a DELETE.
    pub(crate) from: &'a [TableWithJoins],
    pub(crate) filter: Option<&'a Expr>,
    pub(crate) returning: &'a [SelectItem],
}

/// The new value of one column.
pub(crate) enum Assigned<'a> {
    Unchanged,
    Default(Scalar),
    Expr(&'a Expr),
    /// The column `place` of the one row of a query of `count` columns.
    Field {
        query: &'a Query,
        place: usize,
        count: usize,
    },
}

/// What a mutation reads.
pub(crate) struct PlannedMutation {
    /// The columns of the old row; of the new row, if there are assignments; then those of `returning`.
    pub(crate) relation: Relation,
    pub(crate) returning: Option<RelationDesc>,
}

/// Plans a mutation. A row that meets several rows of FROM changes once, by the least of them.
pub(crate) fn plan_mutation(qcx: &mut QueryContext<'_>, mutation: &Mutation<'_>) -> Result<PlannedMutation, Error> {
    let old_arity = mutation.desc.arity();
    let mut names = Vec::new();
    let relation = qcx.with_bound(mutation.with, |qcx| {
        let (relation, returned) = qcx.mutated(mutation)?;
        names = returned;
        Ok(relation)
    })?;
    let (relation, mut columns) = decorrelate::lower(relation);
    let returned = columns.split_off(if mutation.assignments.is_some() { 2 * old_arity } else { old_arity });
    let returning = (!mutation.returning.is_empty()).then(|| RelationDesc::new(names.into_iter().zip(returned)));
    let relation = if mutation.from.is_empty() { relation } else { as_often_as_stored(relation, mutation) };
    Ok(PlannedMutation { relation, returning })
}

/// `relation` has each changed row once; the table may have it several times. Joined on the bytes, NULLs alike.
fn as_often_as_stored(relation: Relation, mutation: &Mutation<'_>) -> Relation {
    let (old_arity, arity) = (mutation.desc.arity(), relation.typ().arity());
    let table = Relation::get_global(mutation.table, mutation.desc.typ.clone());
    let equal = (0..old_arity).map(|column| vec![Scalar::Column(column), Scalar::Column(arity + column)]);
    Relation::join(vec![relation, table], equal.collect()).project((0..arity).collect())
}

impl QueryContext<'_> {
    /// The columns of the old row, of the new one, and of RETURNING with their names.
    fn mutated(&mut self, mutation: &Mutation<'_>) -> Result<(HirRelation, Vec<String>), Error> {
        let Source { relation, mut scope, mut arity } = self.mutated_rows(mutation)?;
        let old_arity = mutation.desc.arity();
        let mut outputs: Vec<usize> = (0..old_arity).collect();
        let mut relation =
            self.with_level(scope.clone(), Clause::Where, |qcx| qcx.filtered(relation, mutation.filter))?;
        if !mutation.from.is_empty() {
            let (group_key, order, limit, offset) = ((0..old_arity).collect(), Vec::new(), Some(1), 0);
            relation = HirRelation::TopK {
                input: Box::new(relation),
                group_key,
                order,
                limit,
                offset,
                expected_group_size: None,
            };
        }
        if let Some(assignments) = &mutation.assignments {
            let assign = |qcx: &mut QueryContext<'_>| qcx.new_values(mutation.desc, assignments);
            relation = relation.map(self.with_level(scope.clone(), Clause::Update, assign)?);
            outputs.extend(arity..arity + old_arity);
            // RETURNING sees the target as it becomes.
            scope.items.iter_mut().filter(|item| item.table == Some(0)).for_each(|item| item.index += arity);
            arity += old_arity;
        }
        let mut names = Vec::new();
        if !mutation.returning.is_empty() {
            let (returned, scalars) =
                self.with_level(scope, Clause::Returning, |qcx| qcx.returned(mutation.returning))?;
            names = returned;
            outputs.extend(arity..arity + scalars.len());
            relation = relation.map(scalars);
        }
        Ok((relation.project(outputs), names))
    }

    /// The target's rows, each beside every row of FROM.
    fn mutated_rows(&mut self, mutation: &Mutation<'_>) -> Result<Source, Error> {
        self.depends_on.insert(mutation.table);
        let columns = mutation.desc.iter().map(|(name, column)| (name.to_owned(), column.scalar.clone()));
        let scope = Scope::of_table(mutation.called.clone(), columns);
        let relation = HirRelation::Get { id: mutation.table, typ: mutation.desc.typ.clone() };
        let target = Source { relation, scope, arity: mutation.desc.arity() };
        if mutation.from.is_empty() {
            return Ok(target);
        }
        let others = self.with_level(target.scope.clone(), Clause::FromFunction, |qcx| {
            qcx.level().visible = false;
            qcx.from(mutation.from)
        })?;
        self.combine(target, others, Kind::Inner, &JoinConstraint::None)
            .map_err(|error| error.at_node(&mutation.from[0]))
    }

    fn filtered(&mut self, relation: HirRelation, filter: Option<&Expr>) -> Result<HirRelation, Error> {
        let Some(filter) = filter else { return Ok(relation) };
        let mut conjuncts = Vec::new();
        self.condition(filter, "argument of WHERE")?.into_conjuncts(&mut conjuncts);
        Ok(relation.filter(conjuncts))
    }

    fn new_values(&mut self, desc: &RelationDesc, assignments: &[Assigned<'_>]) -> Result<Vec<HirScalar>, Error> {
        let mut scalars = Vec::with_capacity(assignments.len());
        for (column, assigned) in assignments.iter().enumerate() {
            scalars.push(match assigned {
                Assigned::Unchanged => HirScalar::column(column),
                Assigned::Default(default) => HirScalar::from_scalar(default.clone(), &[]),
                Assigned::Expr(expr) => {
                    let planned = self.expression(expr)?;
                    self.assigned(planned, desc, column).map_err(|error| error.at_node(*expr))?
                }
                Assigned::Field { query, place, count } => {
                    let (relation, mut types) = self.subquery(query)?;
                    if types.len() != *count {
                        let message = "number of columns does not match number of values";
                        return Err(Error::new("42601", message).at_node(*query));
                    }
                    let field = HirScalar::Select(Box::new(relation.project(vec![*place])));
                    let planned = Planned::typed(field, types.swap_remove(*place));
                    self.assigned(planned, desc, column).map_err(|error| error.at_node(*query))?
                }
            });
        }
        Ok(scalars)
    }
}
