//! The rows that INSERT puts into a table.

use expr::Relation;
use repr::RelationDesc;
use sqlparser::ast::{Expr, Query, SetExpr, Values};

use super::coerce::Planned;
use super::scope::Scope;
use super::set::values_relation;
use super::{Clause, QueryContext};
use crate::decorrelate;
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar};

/// Plans the source of an INSERT: rows with one column for each of `columns`, in that order, cast to the types that
/// `target` has there.
///
/// Errors: 42601 if the source has more or fewer columns, 42804 if a type cannot be assigned, 22P02 for a bad literal.
pub(crate) fn plan_insert_source(
    qcx: &mut QueryContext<'_>,
    target: &RelationDesc,
    columns: &[usize],
    source: &Query,
) -> Result<Relation, Error> {
    let relation = match &*source.body {
        SetExpr::Values(values) if is_plain(source) => {
            qcx.with_bound(source.with.as_ref(), |qcx| qcx.inserted_values(target, columns, values))?
        }
        _ => qcx.inserted_query(target, columns, source)?,
    };
    Ok(decorrelate::lower(relation).0)
}

/// True for a query that is nothing but its body, with names before it or without.
fn is_plain(query: &Query) -> bool {
    query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none()
}

impl QueryContext<'_> {
    /// VALUES: each expression takes the type of its column at once, so that literals may be of any type.
    fn inserted_values(
        &mut self,
        target: &RelationDesc,
        columns: &[usize],
        values: &Values,
    ) -> Result<HirRelation, Error> {
        self.with_level(Scope::default(), Clause::Values, |qcx| {
            let mut rows = Vec::with_capacity(values.rows.len());
            for row in &values.rows {
                check_count(row.content.len(), columns.len(), row.content.get(columns.len()))?;
                let mut scalars = Vec::with_capacity(columns.len());
                for (expr, column) in row.content.iter().zip(columns) {
                    let planned = qcx.expression(expr)?;
                    let scalar = qcx.assigned(planned, target, *column).map_err(|error| error.at_node(expr))?;
                    scalars.push(scalar);
                }
                rows.push(scalars);
            }
            let types: Vec<_> = columns.iter().map(|column| target.typ.columns[*column].scalar.clone()).collect();
            Ok(values_relation(rows, &types))
        })
    }

    fn inserted_query(
        &mut self,
        target: &RelationDesc,
        columns: &[usize],
        source: &Query,
    ) -> Result<HirRelation, Error> {
        let (relation, _, types) = self.query(source)?.into_relation();
        check_count(types.len(), columns.len(), None).map_err(|error| error.at_node(source))?;
        let arity = types.len();
        let mut literals = match &*source.body {
            SetExpr::Select(select) => super::set::unknown_items(select),
            _ => Vec::new(),
        };
        literals.resize(arity, None);
        let mut scalars = Vec::with_capacity(arity);
        for (index, (typ, column)) in types.into_iter().zip(columns).enumerate() {
            // A bare literal has no type of its own: it takes that of the column it goes to.
            let planned = literals[index].take().unwrap_or_else(|| Planned::typed(HirScalar::column(index), typ));
            let scalar = self.assigned(planned, target, *column);
            scalars.push(scalar.map_err(|error| error.at_node(source))?);
        }
        Ok(relation.map(scalars).project((arity..2 * arity).collect()))
    }

    pub(super) fn assigned(
        &mut self,
        planned: Planned,
        target: &RelationDesc,
        column: usize,
    ) -> Result<HirScalar, Error> {
        self.coerce_assignment(planned, &target.typ.columns[column].scalar, &target.names[column])
    }
}

fn check_count(found: usize, wanted: usize, extra: Option<&Expr>) -> Result<(), Error> {
    if found > wanted {
        let error = Error::new("42601", "INSERT has more expressions than target columns");
        return Err(extra.map_or(error.clone(), |expr| error.at_node(expr)));
    }
    if found < wanted {
        return Err(Error::new("42601", "INSERT has more target columns than expressions"));
    }
    Ok(())
}
