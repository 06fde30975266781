//! A catalog for tests, beside the durable rows that make it again.

use std::collections::{BTreeMap, BTreeSet};

use persist::Columns;
use repr::{CollectionId, Datum, Diff, Kind, Row};
use sql::catalog_view::Cutover;
use sql::plan::{
    AddColumnsPlan, AlterClusterPlan, CreateClusterPlan, CreateSecretPlan, Params, PlanContext, SecretContents,
};
use sql::{CatalogView, Error, Plan};

use crate::record::Record;
use crate::{AddColumns, AlterCluster, Catalog, NewCluster, NewItem, Op, initial_updates, load};

/// A catalog and what is stored of it.
pub(crate) struct Stored {
    pub(crate) catalog: Catalog,
    rows: BTreeMap<Row, i64>,
}

impl Stored {
    pub(crate) fn new() -> Stored {
        let rows = initial_updates("1").into_iter().map(|(row, diff)| (row, diff.get())).collect();
        Stored { catalog: load(&initial_updates("1"), 1).expect("it loads"), rows }
    }

    /// What a version wrote that knew no services.
    pub(crate) fn without_services() -> Stored {
        let mut stored = Stored::new();
        let Catalog { next_id, next_oid, next_service, generation, .. } = stored.catalog;
        let counters = Record::Counters { next_id, next_oid, next_service, generation };
        let former = format!("{{\"kind\":\"counters\",\"next_id\":{next_id},\"next_oid\":{next_oid}}}");
        stored.rows.remove(&counters.to_row()).expect("it is there");
        stored.rows.insert(Row::pack([Datum::Text("counters"), Datum::Text(""), Datum::Text(&former)]), 1);
        stored.rows.retain(|row, _| !matches!(Record::from_row(row), Ok(Record::Service { .. })));
        stored.catalog = stored.loaded();
        stored
    }

    pub(crate) fn run(&mut self, text: &str) {
        self.try_run(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    /// Plans and commits a statement that changes definitions.
    pub(crate) fn try_run(&mut self, text: &str) -> Result<(), Error> {
        self.commit(ops_of(plan(&self.catalog, text)?))
    }

    pub(crate) fn commit(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        let transacted = self.catalog.transact(ops)?;
        for (row, diff) in transacted.updates {
            *self.rows.entry(row).or_default() += diff.get();
        }
        self.catalog = transacted.catalog;
        Ok(())
    }

    /// The catalog as the durable rows make it; what was retracted is what was there.
    pub(crate) fn loaded(&self) -> Catalog {
        assert!(self.rows.values().all(|count| *count == 0 || *count == 1), "{:?}", self.rows);
        let rows = self.rows.iter().filter(|(_, count)| **count == 1).map(|(row, _)| (row.clone(), Diff::ONE));
        load(&rows.collect::<Vec<_>>(), 1).expect("it loads")
    }

    pub(crate) fn ids_of(&self, kind: &str) -> BTreeSet<CollectionId> {
        self.catalog.items().into_iter().filter(|item| item.kind() == kind).map(|item| item.id).collect()
    }
}

fn plan(catalog: &Catalog, text: &str) -> Result<Plan, Error> {
    let context = PlanContext {
        database: "materialize".to_owned(),
        search_path: vec!["public".to_owned()],
        temporary_schema: Some("pg_temp_1".to_owned()),
        cluster: "quickstart".to_owned(),
        user: "u".to_owned(),
        interval_style: Default::default(),
    };
    let statements = sql::parse(text)?;
    sql::plan(&statements[0], &context, catalog, &mut Params::default())
}

fn ops_of(plan: Plan) -> Vec<Op> {
    let op = match plan {
        Plan::CreateDatabase { name, .. } => Op::CreateDatabase { name },
        Plan::CreateSchema { database, name, .. } => Op::CreateSchema { database, name },
        Plan::CreateTable(plan) => Op::CreateItem(Box::new(NewItem::table(plan))),
        Plan::CreateView(plan) => Op::CreateItem(Box::new(NewItem::view(plan))),
        Plan::CreateMaterializedView(plan) => Op::CreateItem(Box::new(NewItem::materialized_view(plan))),
        Plan::CreateIndex(plan) => Op::CreateItem(Box::new(NewItem::index(plan))),
        Plan::CreateType(plan) => Op::CreateItem(Box::new(NewItem::typ(plan))),
        Plan::CreateSource(plan) => Op::CreateItem(Box::new(NewItem::source(plan))),
        Plan::CreateSecret(CreateSecretPlan { name, contents: SecretContents::Stored(version) }) => {
            Op::CreateItem(Box::new(NewItem::secret(name, version)))
        }
        Plan::CreateCluster(CreateClusterPlan { name, size, replication_factor, replicas, .. }) => {
            Op::CreateCluster(NewCluster { name, size, replication_factor, replicas })
        }
        Plan::AddColumns(plan) => {
            let AddColumnsPlan { table, create_sql, desc, defaults, .. } = plan;
            let columns = Columns::new([Kind::Int]);
            Op::AddColumns(Box::new(AddColumns { table, create_sql, desc, defaults, columns }))
        }
        Plan::Rename(plan) => Op::Rename(plan.renamed),
        Plan::AlterCluster(AlterClusterPlan { cluster, to, wait }) => {
            let (hydrated, deadline_wall_ms) = (BTreeSet::new(), wait.map_or(0, |wait| wait.limit_ms));
            let cutover = wait.map_or(Cutover::ReadyOrRollBack, |wait| wait.cutover);
            let is_awaited = wait.is_some();
            Op::AlterCluster(AlterCluster { cluster, to, hydrated, deadline_wall_ms, cutover, is_awaited })
        }
        Plan::Drop(plan) => return plan.clusters.into_iter().map(Op::DropCluster).collect(),
        other => panic!("{other:?}"),
    };
    vec![op]
}
