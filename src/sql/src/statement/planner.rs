//! What the planning of every statement needs, and its way to the query half of the crate.

use std::collections::BTreeSet;

use expr::{Relation, Scalar};
use repr::{CollectionId, ColumnType, RelationDesc};
use sqlparser::ast::{Expr, Query};

use crate::catalog_view::CatalogView;
use crate::error::Error;
use crate::plan::{Finishing, Params, PlanContext, SelectPlan, When};
use crate::query::{self, Lifetime, PlannedQuery, QueryContext};

/// Plans one statement.
pub(crate) struct Planner<'a> {
    pub(crate) context: &'a PlanContext,
    pub(crate) catalog: &'a dyn CatalogView,
    pub(crate) params: &'a mut Params,
}

/// A query as part of something maintained: no order, all its columns.
pub(crate) struct MaintainedQuery {
    pub(crate) relation: Relation,
    pub(crate) desc: RelationDesc,
}

impl Planner<'_> {
    /// Plans a query that runs once.
    pub(crate) fn query(&mut self, query: &Query) -> Result<PlannedQuery, Error> {
        let mut context = QueryContext::new(self.context, self.catalog, self.params);
        query::plan_query(&mut context, query)
    }

    /// Plans a query that runs once, as a whole statement.
    pub(crate) fn select(&mut self, query: &Query, when: When) -> Result<SelectPlan, Error> {
        let PlannedQuery { relation, desc, finishing } = self.query(query)?;
        Ok(SelectPlan { relation, finishing, desc, when })
    }

    /// Plans a query that is maintained for as long as a definition or a subscription lives.
    pub(crate) fn maintained(&mut self, query: &Query) -> Result<MaintainedQuery, Error> {
        let mut context = QueryContext::new(self.context, self.catalog, self.params);
        context.lifetime = Lifetime::Maintained;
        let PlannedQuery { relation, desc, finishing } = query::plan_query(&mut context, query)?;
        Ok(MaintainedQuery { relation: finish(relation, finishing), desc })
    }

    /// As [`maintained`](Self::maintained), of a definition, in which parameters have no meaning. Errors: 42P02.
    pub(crate) fn definition(&mut self, query: &Query) -> Result<MaintainedQuery, Error> {
        let mut params = Params::default();
        let mut planner = Planner { context: self.context, catalog: self.catalog, params: &mut params };
        let planned = planner.maintained(query)?;
        no_params(&params)?;
        Ok(planned)
    }

    /// Plans an expression over the columns of `desc`.
    pub(crate) fn scalar(&mut self, desc: &RelationDesc, expr: &Expr) -> Result<(Scalar, ColumnType), Error> {
        let mut context = QueryContext::new(self.context, self.catalog, self.params);
        query::plan_scalar_over(&mut context, desc, expr)
    }

    /// Plans an expression over the columns of `desc`, in a definition: no parameters.
    pub(crate) fn definition_scalar(
        &mut self,
        desc: &RelationDesc,
        expr: &Expr,
    ) -> Result<(Scalar, ColumnType), Error> {
        let mut params = Params::default();
        let mut context = QueryContext::new(self.context, self.catalog, &mut params);
        context.lifetime = Lifetime::Maintained;
        let planned = query::plan_scalar_over(&mut context, desc, expr)?;
        no_params(&params)?;
        Ok(planned)
    }
}

fn no_params(params: &Params) -> Result<(), Error> {
    match params.types.len() {
        0 => Ok(()),
        count => Err(Error::new("42P02", format!("there is no parameter ${count}"))
            .with_detail("A definition cannot have parameters.")),
    }
}

/// Does to a relation what is done to a result's rows, but for their order.
pub(crate) fn finish(relation: Relation, finishing: Finishing) -> Relation {
    let Finishing { order_by, limit, offset, project } = finishing;
    let arity = relation.arity();
    let cut = if limit.is_some() || offset > 0 {
        Relation::TopK {
            input: Box::new(relation),
            group_key: Vec::new(),
            order: order_by,
            limit,
            offset,
            monotonic: false,
            expected_group_size: None,
        }
    } else {
        relation
    };
    if project.iter().copied().eq(0..arity) {
        cut
    } else {
        Relation::Project { input: Box::new(cut), outputs: project }
    }
}

/// The collections that a relation reads.
pub(crate) fn reads(relation: &Relation) -> BTreeSet<CollectionId> {
    relation.global_ids()
}
