//! What the planning of every statement needs, and its way to the query half of the crate.

use expr::{Relation, Scalar};
use repr::{ColumnType, RelationDesc};
use sqlparser::ast::{Expr, Query};

use crate::catalog_view::CatalogView;
use crate::error::Error;
use crate::names::Names;
use crate::plan::{Params, PlanContext, ReadThenWritePlan, ReturningPlan, SelectPlan, When, WriteKind};
use crate::query::{self, Lifetime, Mutation, PlannedMutation, PlannedQuery, QueryContext};

/// Plans one statement.
pub(crate) struct Planner<'a> {
    pub(crate) context: &'a PlanContext,
    pub(crate) catalog: &'a dyn CatalogView,
    pub(crate) params: &'a mut Params,
}

/// A query that stands for a collection: no order, all its columns.
pub(crate) struct Collection {
    pub(crate) relation: Relation,
    pub(crate) desc: RelationDesc,
}

/// An expression over the columns of `desc`, which can also be named with `table`.
pub(crate) struct Over<'a> {
    pub(crate) desc: &'a RelationDesc,
    pub(crate) table: Option<&'a str>,
    pub(crate) expr: &'a Expr,
}

impl<'a> Over<'a> {
    /// An expression over nothing.
    pub(crate) fn nothing(empty: &'a RelationDesc, expr: &'a Expr) -> Over<'a> {
        Over { desc: empty, table: None, expr }
    }
}

impl<'a> Planner<'a> {
    /// Where names of types are looked up.
    pub(crate) fn names(&self) -> Names<'a> {
        Names { context: self.context, catalog: self.catalog }
    }
    pub(crate) fn query_context(&mut self, lifetime: Lifetime) -> QueryContext<'_> {
        QueryContext::new(self.context, self.catalog, self.params, lifetime)
    }

    /// Plans a query that runs once, as a whole statement.
    pub(crate) fn select(&mut self, query: &Query, when: When) -> Result<SelectPlan, Error> {
        let mut context = self.query_context(Lifetime::OneShot);
        let PlannedQuery { relation, desc, finishing } = query::plan_query(&mut context, query)?;
        Ok(SelectPlan { relation, finishing, desc, when })
    }

    /// The text of a query's plan before it is decorrelated.
    pub(crate) fn explain_raw(&mut self, query: &Query, lifetime: Lifetime) -> Result<String, Error> {
        query::explain_raw(&mut self.query_context(lifetime), query)
    }

    /// Plans a query whose order means nothing.
    pub(crate) fn collection(&mut self, query: &Query, lifetime: Lifetime) -> Result<Collection, Error> {
        let mut context = self.query_context(lifetime);
        let (relation, desc) = query::plan_view_query(&mut context, query)?;
        Ok(Collection { relation, desc })
    }

    /// As [`collection`](Self::collection), of a definition, in which parameters have no meaning. Errors: 42P02.
    pub(crate) fn definition(&mut self, query: &Query, lifetime: Lifetime) -> Result<Collection, Error> {
        self.without_params(|planner| planner.collection(query, lifetime))
    }

    /// Plans an expression that is evaluated once for each row of a statement.
    pub(crate) fn scalar(&mut self, over: Over<'_>) -> Result<(Scalar, ColumnType), Error> {
        let mut context = self.query_context(Lifetime::OneShot);
        query::plan_scalar_over(&mut context, over.desc, over.table, over.expr)
    }

    /// As [`scalar`](Self::scalar); a parameter whose type nothing tells is text.
    pub(crate) fn scalar_or_text(&mut self, over: Over<'_>) -> Result<Scalar, Error> {
        let mut context = self.query_context(Lifetime::OneShot);
        query::plan_scalar_or_text(&mut context, over.desc, over.expr)
    }

    /// Plans what an UPDATE, DELETE or TRUNCATE reads.
    pub(crate) fn mutation(&mut self, kind: WriteKind, mutation: &Mutation<'_>) -> Result<ReadThenWritePlan, Error> {
        let mut context = self.query_context(Lifetime::OneShot);
        let PlannedMutation { relation, returning } = query::plan_mutation(&mut context, mutation)?;
        let width = relation.typ().arity();
        let returning = returning.map(|desc| {
            let exprs = (width - desc.arity()..width).map(Scalar::Column).collect();
            ReturningPlan { exprs, desc }
        });
        let (table, arity) = (mutation.table, mutation.desc.arity());
        Ok(ReadThenWritePlan { table, kind, arity, relation, returning })
    }

    /// Plans an expression whose value is stored in the column `column` of `target`.
    pub(crate) fn assigned(&mut self, over: Over<'_>, target: &RelationDesc, column: usize) -> Result<Scalar, Error> {
        let (name, typ) = (&target.names[column], &target.typ.columns[column].scalar);
        let mut context = self.query_context(Lifetime::OneShot);
        query::plan_assigned_scalar_over(&mut context, over.desc, over.table, over.expr, name, typ)
    }

    /// Plans a part of a definition. Errors: 42P02 if it names a parameter.
    pub(crate) fn without_params<R>(
        &self,
        plan: impl FnOnce(&mut Planner<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut params = Params::default();
        let planned = plan(&mut Planner { context: self.context, catalog: self.catalog, params: &mut params });
        match params.types.len() {
            0 => planned,
            count => Err(Error::new("42P02", format!("there is no parameter ${count}"))
                .with_detail("A definition cannot have parameters.")),
        }
    }
}
