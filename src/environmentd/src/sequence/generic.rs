//! Generic plans: a prepared statement is planned and optimized once, for all values of its parameters.
//!
//! Only queries that are answered without a dataflow have one, and INSERTs of values. Any other is planned anew with its values
//! at each execution: that costs little beside the dataflow, and values may make the plan a better one.

use std::sync::Arc;

use catalog::Catalog;
use expr::{Relation, Scalar};
use optimizer::Access;
use parking_lot::Mutex;
use repr::interval::IntervalStyle;
use repr::{CollectionId, ColumnType, Datum, RelationDesc, RelationType, ScalarType};
use sql::Plan;
use sql::plan::{Finishing, InsertPlan, Params, PlanContext, SelectPlan, When};
use sql::statement::{Statement, StatementKind};

use super::prepare;
use super::query::{Prepared, finish};
use crate::error::Error;
use crate::objects::ClusterObjects;
use crate::planning;
use crate::session::{Response, Rows, Session};

/// Where a prepared statement keeps its generic plan.
#[derive(Clone, Default)]
pub(crate) struct GenericSlot(Arc<Mutex<Option<Arc<Attempt>>>>);

/// What came of planning a statement against one catalog, for one setting of the session.
struct Attempt {
    catalog: Arc<Catalog>,
    context: PlanContext,
    /// None: it needs its values.
    plan: Option<GenericPlan>,
}

struct GenericPlan {
    /// Optimized; parameters are calls of [`expr::func::parameter`].
    relation: Relation,
    typ: RelationType,
    purpose: Purpose,
}

/// What becomes of the rows.
enum Purpose {
    Select { finishing: Finishing, desc: RelationDesc },
    Insert { table: CollectionId },
}

impl Session {
    /// Executes a prepared statement by its generic plan. None: it has none.
    pub(super) async fn execute_generic(
        &mut self,
        slot: &GenericSlot,
        statement: &Statement,
        params: &Params,
    ) -> Result<Option<Response>, Error> {
        if !matches!(statement.kind.as_ref(), StatementKind::Select(_) | StatementKind::Insert(_)) {
            return Ok(None);
        }
        let attempt = self.generic_plan(slot, statement, params);
        let Some(plan) = &attempt.plan else { return Ok(None) };
        let catalog = Arc::clone(&attempt.catalog);
        let cluster = catalog_cluster(&catalog, &attempt.context);
        let objects = ClusterObjects { catalog, cluster, before: None };
        let mut relation = plan.relation.clone();
        bind(&mut relation, params.values.as_deref().unwrap_or_default());
        let access = self.access(&relation, &objects)?;
        if matches!(access, Access::Dataflow) {
            let Attempt { catalog, context, .. } = &*attempt;
            *slot.0.lock() =
                Some(Arc::new(Attempt { catalog: Arc::clone(catalog), context: context.clone(), plan: None }));
            return Ok(None);
        }
        match &plan.purpose {
            Purpose::Insert { table } => {
                self.check_writable("INSERT")?;
                self.insert_rows((*table, plan.typ.arity()), access, None).await.map(Some)
            }
            Purpose::Select { finishing, desc } => {
                let prepared = Prepared { relation, typ: plan.typ.clone(), access, cluster, objects, chosen: None };
                let rows = self.read(prepared, &When::Immediately, finishing).await?;
                let rows = finish(rows, &plan.typ.kinds(), finishing, self.vars.max_result_bytes())?;
                Ok(Some(Response::Rows { desc: desc.clone(), rows: Rows::ready(rows), verb: "SELECT" }))
            }
        }
    }

    /// The attempt in the slot, or a new one if the catalog or the session's settings have changed since.
    fn generic_plan(&self, slot: &GenericSlot, statement: &Statement, params: &Params) -> Arc<Attempt> {
        let (catalog, context) = (self.environment.catalog(), self.plan_context());
        if let Some(attempt) = &*slot.0.lock()
            && Arc::ptr_eq(&attempt.catalog, &catalog)
            && attempt.context == context
        {
            return Arc::clone(attempt);
        }
        let plan = make(&catalog, &context, statement, &params.types);
        let attempt = Arc::new(Attempt { catalog, context, plan });
        *slot.0.lock() = Some(Arc::clone(&attempt));
        attempt
    }
}

fn catalog_cluster(catalog: &Catalog, context: &PlanContext) -> Option<repr::ClusterId> {
    use sql::CatalogView;
    catalog.cluster(&context.cluster).map(|cluster| cluster.id)
}

/// Plans for all values of the parameters. None if that cannot be: an error is found again, and reported, by planning with
/// the values.
fn make(
    catalog: &Arc<Catalog>,
    context: &PlanContext,
    statement: &Statement,
    types: &[Option<ScalarType>],
) -> Option<GenericPlan> {
    let placeholders = types.iter().enumerate().map(|(index, typ)| placeholder(index, typ.as_ref()));
    let mut params = Params { types: types.to_vec(), values: Some(placeholders.collect::<Option<_>>()?) };
    let (mut relation, purpose) = match planning::plan(statement, context, &**catalog, &mut params).ok()? {
        Plan::Select(SelectPlan { relation, finishing, desc, when: When::Immediately }) => {
            (relation, Purpose::Select { finishing, desc })
        }
        Plan::Insert(InsertPlan { table, relation, returning: None }) => (relation, Purpose::Insert { table }),
        _ => return None,
    };
    let objects =
        ClusterObjects { catalog: Arc::clone(catalog), cluster: catalog_cluster(catalog, context), before: None };
    prepare::inline_views(catalog, &objects, &mut relation).ok()?;
    // Texts of intervals in another style are made when a statement is bound.
    let is_styled = context.interval_style != IntervalStyle::default();
    if is_styled || prepare::reads_session(&relation) || prepare::reads_now(&relation) {
        return None;
    }
    let relation = planning::optimize(relation, &objects).ok()?;
    let typ = relation.typ();
    Some(GenericPlan { relation, typ, purpose })
}

/// What stands for a parameter whose value is not known yet.
fn placeholder(index: usize, typ: Option<&ScalarType>) -> Option<Scalar> {
    let index = Scalar::literal(Datum::Int(i64::try_from(index).ok()?), ScalarType::Int4);
    Some(Scalar::call(expr::func::parameter(), vec![index], vec![ScalarType::Int4], typ?.clone()))
}

/// Puts the values in their places and folds what they make constant.
fn bind(relation: &mut Relation, values: &[Scalar]) {
    relation.visit_scalars_mut(&mut |scalar| {
        scalar.visit_mut_post(&mut |node| {
            let Scalar::Call { func, args, .. } = node else { return };
            if *func == expr::func::parameter() {
                let index = args.first().and_then(Scalar::as_literal).and_then(Result::ok);
                let index = index.and_then(|index| usize::try_from(index.unwrap_int()).ok());
                *node = index.and_then(|index| values.get(index)).expect("as many values as types").clone();
            } else if args.iter().all(Scalar::is_literal) {
                node.reduce(&[] as &[ColumnType]);
            }
        });
    });
}
