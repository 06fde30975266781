//! CREATE, ALTER and DROP: planned on one version of the catalog, admitted only if it is still the newest, else planned again.

use std::sync::Arc;

use bytes::Bytes;
use catalog::{AddColumns, Catalog, NewCluster, NewItem, Op};
use controller::ReadHolds;
use expr::func::Volatility;
use expr::{Relation, Scalar};
use repr::CollectionId;
use sql::plan::{AddColumnsPlan, CreateClusterPlan, DropPlan, Notice, Params};
use sql::statement::Statement;
use sql::{CatalogView, Item, Plan};

use super::{alter_cluster, complete, temporary};
use crate::committer::SubmitError;
use crate::error::Error;
use crate::objects::{ClusterObjects, shard_of};
use crate::planning;
use crate::secrets;
use crate::session::{Response, Session};

/// Times a DDL statement is planned again because others came first.
const RETRIES_MAX: usize = 100;

impl Session {
    pub(super) async fn ddl(&mut self, statement: &Statement, params: Params, first: Plan) -> Result<Response, Error> {
        self.check_writable(tag(&first))?;
        self.outside_transaction(tag(&first)).await?;
        let contents = self.secret_contents(&first)?;
        let mut plan = Some(first);
        for _ in 0..RETRIES_MAX {
            let catalog = self.environment.catalog();
            let planned = match plan.take() {
                Some(plan) => plan,
                None => self.plan(statement, &mut params.clone())?,
            };
            if let Plan::NoOp { tag, notice } = planned {
                notice.into_iter().for_each(|notice| self.notice(notice.into()));
                return complete(tag);
            }
            let tag = tag(&planned);
            check_maintainable(&catalog, &planned)?;
            let waits_for = alter_cluster::waits_for(&planned);
            // Held until the new dataflows exist, so that their inputs stay readable at the commit's time.
            let holds = self.hold_inputs(&planned)?;
            let (ops, notices) = self.ops(planned)?;
            let transacted = catalog.transact(temporary::with_schema(&catalog, ops))?;
            let awaited = alter_cluster::awaited(waits_for, &transacted);
            let outcome = secrets::commit(&self.environment, &catalog, transacted, contents.as_ref()).await;
            drop(holds);
            match outcome {
                Ok(_) => {
                    self.await_reconfiguration(awaited).await?;
                    notices.into_iter().for_each(|notice| self.notice(notice.into()));
                    return complete(tag);
                }
                Err(SubmitError::Stale | SubmitError::Conflict) => {}
                Err(SubmitError::Failed(error)) => return Err(error),
            }
        }
        Err(Error::new("40001", "could not serialize access: the catalog keeps changing").with_hint("Try again."))
    }

    /// Holds on everything a new dataflow will read.
    fn hold_inputs(&self, plan: &Plan) -> Result<ReadHolds, Error> {
        let catalog = self.environment.catalog();
        let roots = match plan {
            Plan::CreateMaterializedView(plan) => plan.relation.depends_on(),
            Plan::CreateIndex(plan) => [plan.on].into(),
            // Its indexes are made anew.
            Plan::AddColumns(plan) => [plan.table].into(),
            _ => Default::default(),
        };
        let mut stored: Vec<CollectionId> = Vec::new();
        for id in catalog.transitive_dependencies(roots) {
            if crate::objects::shard_of(&catalog, id).is_some() {
                stored.push(id);
                let indexes = catalog.dependents(id).into_iter().filter(|item| item.kind() == "index");
                stored.extend(indexes.map(|item| item.id));
            }
        }
        Ok(self.environment.controller.acquire_holds(&stored)?)
    }

    /// The catalog's ops for a plan, and what to tell the user.
    fn ops(&self, plan: Plan) -> Result<(Vec<Op>, Vec<Notice>), Error> {
        match plan {
            Plan::AddColumns(plan) => self.add_columns(plan),
            Plan::Rename(plan) => Ok((vec![Op::Rename(plan.renamed)], Vec::new())),
            Plan::Drop(plan) => Ok(drops(plan)),
            Plan::AlterCluster(plan) => Ok((vec![self.alter_cluster(plan)], Vec::new())),
            Plan::CreateSecret(_) | Plan::AlterSecret(_) => Ok((vec![self.secret_op(plan)], Vec::new())),
            other => Ok((creates(other), Vec::new())),
        }
    }

    /// The shard is told what its rows have in the new columns.
    fn add_columns(&self, plan: AddColumnsPlan) -> Result<(Vec<Op>, Vec<Notice>), Error> {
        let AddColumnsPlan { table, create_sql, desc, defaults, added, notices } = plan;
        let catalog = self.environment.catalog();
        let shard = shard_of(&catalog, table).ok_or_else(|| Error::new("42P01", "the table was dropped"))?;
        let before = self.environment.leader.columns(shard).unwrap_or_default();
        let kinds = desc.typ.kinds();
        if before.len() + added.len() != kinds.len() {
            // Another ALTER came between, which the commit will find, or a program that declared no columns made the table.
            return Err(Error::new("40001", "could not serialize access due to concurrent update")
                .with_hint("If trying again does not help, create another table and INSERT the rows of this one."));
        }
        let new = kinds[before.len()..].iter().zip(&added);
        let columns = new
            .fold(before, |columns, (kind, default)| columns.with(*kind, Bytes::copy_from_slice(default.as_bytes())));
        Ok((vec![Op::AddColumns(Box::new(AddColumns { table, create_sql, desc, defaults, columns }))], notices))
    }
}

/// Refuses what no dataflow can maintain, while the user still listens: functions of the session or the clock that came in
/// with a view, relations of the system catalog, `mz_now()` where it is no filter.
fn check_maintainable(catalog: &Arc<Catalog>, plan: &Plan) -> Result<(), Error> {
    let (relation, cluster, what) = match plan {
        Plan::CreateMaterializedView(plan) => (plan.relation.clone(), plan.cluster, "a materialized view"),
        Plan::CreateIndex(plan) => {
            let on = catalog.item_by_id(plan.on);
            let Some(desc) = on.as_deref().and_then(Item::desc) else { return Ok(()) };
            (Relation::get_global(plan.on, desc.typ.clone()), plan.cluster, "an index")
        }
        _ => return Ok(()),
    };
    let objects = ClusterObjects { catalog: Arc::clone(catalog), cluster: Some(cluster), before: None };
    let relation = planning::optimize(relation, &objects)?;
    let mut unmaintainable = None;
    relation.visit_scalars(&mut |scalar| {
        scalar.visit_pre(&mut |node| {
            if let Scalar::Call { func, .. } = node
                && func.volatility != Volatility::Immutable
            {
                unmaintainable.get_or_insert(func.name);
            }
        });
    });
    if let Some(name) = unmaintainable {
        return Err(Error::unsupported(format!("the function {name} in {what}"))
            .with_hint("Its value would change without any change of data; mz_now() in a filter can be maintained."));
    }
    planning::lower(
        String::new(),
        optimizer::Purpose::Maintained,
        vec![(CollectionId::Transient(0), relation)],
        &objects,
        Vec::new(),
    )?;
    Ok(())
}

fn tag(plan: &Plan) -> &'static str {
    match plan {
        Plan::AddColumns(_) => "ALTER TABLE",
        Plan::Rename(plan) => plan.tag,
        Plan::CreateDatabase { .. } => "CREATE DATABASE",
        Plan::CreateSchema { .. } => "CREATE SCHEMA",
        Plan::CreateTable(_) => "CREATE TABLE",
        Plan::CreateType(_) => "CREATE TYPE",
        Plan::CreateView(_) => "CREATE VIEW",
        Plan::CreateMaterializedView(_) => "CREATE MATERIALIZED VIEW",
        Plan::CreateIndex(_) => "CREATE INDEX",
        Plan::CreateSource(_) => "CREATE SOURCE",
        Plan::CreateSecret(_) => "CREATE SECRET",
        Plan::AlterSecret(_) => "ALTER SECRET",
        Plan::CreateCluster(_) => "CREATE CLUSTER",
        Plan::AlterCluster(_) => "ALTER CLUSTER",
        Plan::CreateReplica { .. } => "CREATE CLUSTER REPLICA",
        Plan::Drop(plan) => plan.tag,
        other => unreachable!("not a DDL plan: {other:?}"),
    }
}

/// The catalog's ops for a plan that only creates.
fn creates(plan: Plan) -> Vec<Op> {
    let item = |item| Op::CreateItem(Box::new(item));
    let replaced = |id: Option<CollectionId>| id.map(Op::DropItem);
    match plan {
        Plan::CreateDatabase { name, .. } => vec![Op::CreateDatabase { name }],
        Plan::CreateSchema { database, name, .. } => vec![Op::CreateSchema { database, name }],
        Plan::CreateTable(plan) => vec![item(NewItem::table(plan))],
        Plan::CreateType(plan) => vec![item(NewItem::typ(plan))],
        Plan::CreateView(plan) => replaced(plan.replace).into_iter().chain([item(NewItem::view(plan))]).collect(),
        Plan::CreateMaterializedView(plan) => {
            replaced(plan.replace).into_iter().chain([item(NewItem::materialized_view(plan))]).collect()
        }
        Plan::CreateIndex(plan) => vec![item(NewItem::index(plan))],
        Plan::CreateSource(mut plan) => {
            let tables = std::mem::take(&mut plan.tables);
            let source = item(NewItem::source(plan));
            [source].into_iter().chain(tables.into_iter().map(|table| item(NewItem::table(table)))).collect()
        }
        Plan::CreateCluster(plan) => vec![create_cluster(plan)],
        Plan::CreateReplica { cluster, name, size, .. } => vec![Op::CreateReplica { cluster, name, size }],
        other => unreachable!("not a DDL plan: {other:?}"),
    }
}

fn create_cluster(plan: CreateClusterPlan) -> Op {
    let CreateClusterPlan { name, size, replication_factor, mut replicas, .. } = plan;
    if let Some(size) = &size {
        replicas.extend((1..=replication_factor).map(|number| (format!("r{number}"), size.clone())));
    }
    Op::CreateCluster(NewCluster { name, size, replication_factor, replicas })
}

fn drops(plan: DropPlan) -> (Vec<Op>, Vec<Notice>) {
    let DropPlan { items, schemas, databases, clusters, replicas, notices, .. } = plan;
    let mut ops: Vec<Op> = items.into_iter().map(Op::DropItem).collect();
    ops.extend(schemas.into_iter().map(|(database, name)| Op::DropSchema { database, name }));
    ops.extend(databases.into_iter().map(|name| Op::DropDatabase { name }));
    ops.extend(clusters.into_iter().map(Op::DropCluster));
    ops.extend(replicas.into_iter().map(|(cluster, replica)| Op::DropReplica { cluster, replica }));
    (ops, notices)
}
