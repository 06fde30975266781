//! Generic plans: a prepared statement is planned and optimized once, for all values of its parameters.
//!
//! Only queries that are answered without a dataflow have one, and INSERTs of values. Any other is planned anew with its values
//! at each execution: that costs little beside the dataflow, and values may make the plan a better one.

use std::sync::Arc;

use catalog::Catalog;
use expr::{EvalError, Mfp, MfpPlan, Relation, Scalar};
use optimizer::Access;
use parking_lot::Mutex;
use repr::interval::IntervalStyle;
use repr::{Arena, CollectionId, ColumnType, Datum, Diff, Kind, RelationDesc, RelationType, Row, ScalarType};
use sql::Plan;
use sql::plan::{Finishing, InsertPlan, Params, PlanContext, SelectPlan, When};
use sql::statement::{Statement, StatementKind};

use super::prepare;
use super::query::{Prepared, finish};
use crate::error::{Error, contained};
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
    Select {
        finishing: Finishing,
        desc: RelationDesc,
    },
    /// An INSERT of one row is a function of the parameters: `row`.
    Insert {
        table: CollectionId,
        row: Option<Box<MfpPlan>>,
    },
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
        let values = params.values.as_deref().unwrap_or_default();
        if let Purpose::Insert { table, row: Some(row) } = &plan.purpose {
            self.check_writable("INSERT")?;
            let access = Access::Constant(contained(|| Ok(evaluate_row(row, values)))?);
            return self.insert_rows((*table, plan.typ.arity()), access, None).await.map(Some);
        }
        let catalog = Arc::clone(&attempt.catalog);
        let cluster = catalog_cluster(&catalog, &attempt.context);
        let objects = ClusterObjects { catalog, cluster, before: None };
        let mut relation = plan.relation.clone();
        bind(&mut relation, values);
        let access = self.access(&relation, &objects)?;
        if matches!(access, Access::Dataflow) {
            let Attempt { catalog, context, .. } = &*attempt;
            *slot.0.lock() =
                Some(Arc::new(Attempt { catalog: Arc::clone(catalog), context: context.clone(), plan: None }));
            return Ok(None);
        }
        match &plan.purpose {
            Purpose::Insert { table, row: _ } => {
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
    let (mut relation, mut purpose) = match planning::plan(statement, context, &**catalog, &mut params).ok()? {
        Plan::Select(SelectPlan { relation, finishing, desc, when: When::Immediately }) => {
            (relation, Purpose::Select { finishing, desc })
        }
        Plan::Insert(InsertPlan { table, relation, returning: None }) => {
            (relation, Purpose::Insert { table, row: None })
        }
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
    if let Purpose::Insert { row, .. } = &mut purpose {
        *row = one_row(&relation, types).map(Box::new);
    }
    let typ = relation.typ();
    Some(GenericPlan { relation, typ, purpose })
}

/// What stands for a parameter whose value is not known yet.
fn placeholder(index: usize, typ: Option<&ScalarType>) -> Option<Scalar> {
    let index = Scalar::literal(Datum::Int(i64::try_from(index).ok()?), ScalarType::Int4);
    Some(Scalar::call(expr::func::parameter(), vec![index], vec![ScalarType::Int4], typ?.clone()))
}

/// What makes the only row of a relation out of the values of the parameters. None: it is not of that form.
fn one_row(relation: &Relation, types: &[Option<ScalarType>]) -> Option<MfpPlan> {
    let (mfp, base) = Mfp::extract_from_relation(relation);
    let Relation::Constant { rows: Ok(rows), typ } = base else { return None };
    let [(row, Diff::ONE)] = &rows[..] else { return None };
    // The parameters are the input: all other columns come behind them, the first of these being the row's.
    let kinds: Vec<Kind> = types.iter().map(|typ| Some(typ.as_ref()?.kind())).collect::<Option<_>>()?;
    let shift = kinds.len();
    let datums = row.unpack(&typ.kinds()).into_iter().zip(&typ.columns);
    let constants = datums.map(|(datum, column)| Scalar::literal(datum, column.scalar.clone()));
    let shifted = |mut scalar: Scalar| {
        scalar.visit_mut_post(&mut |node| match node {
            Scalar::Column(column) => *column += shift,
            other => {
                if let Some(index) = parameter_index(other) {
                    *other = Scalar::Column(index);
                }
            }
        });
        scalar
    };
    let expressions = constants.chain(mfp.expressions.into_iter().map(shifted)).collect();
    let predicates = mfp.predicates.into_iter().map(shifted).collect();
    let projection = mfp.projection.into_iter().map(|column| column + shift).collect();
    let plan = MfpPlan::new(Mfp::from_map_filter_project(kinds, expressions, predicates, projection)).ok()?;
    (!plan.is_temporal()).then_some(plan)
}

fn evaluate_row(plan: &MfpPlan, values: &[Scalar]) -> Result<Vec<(Row, Diff)>, EvalError> {
    let literals = values.iter().map(|value| value.as_literal().expect("parameters are bound to literals"));
    let mut datums = literals.collect::<Result<Vec<Datum<'_>>, &EvalError>>().map_err(EvalError::clone)?;
    let (arena, mut row) = (Arena::default(), Row::default());
    let is_kept = plan.evaluate(&mut datums, &arena, &mut row)?;
    Ok(is_kept.then_some((row, Diff::ONE)).into_iter().collect())
}

/// Which parameter the expression is.
fn parameter_index(scalar: &Scalar) -> Option<usize> {
    let Scalar::Call { func, args, .. } = scalar else { return None };
    if *func != expr::func::parameter() {
        return None;
    }
    let index = args.first()?.as_literal()?.ok()?;
    usize::try_from(index.unwrap_int()).ok()
}

/// Puts the values in their places and folds what they make constant.
fn bind(relation: &mut Relation, values: &[Scalar]) {
    relation.visit_scalars_mut(&mut |scalar| {
        scalar.visit_mut_post(&mut |node| {
            if let Some(index) = parameter_index(node) {
                *node = values.get(index).expect("as many values as types").clone();
                return;
            }
            if let Scalar::Call { args, .. } = node
                && args.iter().all(Scalar::is_literal)
            {
                node.reduce(&[] as &[ColumnType]);
            }
        });
    });
}
