//! SELECT: from a plan to rows, as one page.

use std::sync::Arc;

use controller::{Controller, ReadHolds};
use expr::{Mfp, Relation, order};
use optimizer::{Access, IndexAccess, Objects};
use protocol::{Dataflow, Export, Peek, PeekOutcome, PeekTarget, RowOrder};
use repr::{ClusterId, CollectionId, Diff, Kind, RelationType, Row, Timestamp};
use sql::CatalogView;
use sql::plan::{Finishing, SelectPlan};

use super::prepare;
use super::timestamp::{self, Chosen};
use crate::error::Error;
use crate::objects::ClusterObjects;
use crate::planning;
use crate::session::Session;

/// Rows of a finished query, in order, each with the number of times it occurs.
pub(crate) type Counted = Vec<(Row, Diff)>;

/// A query made ready to run: what is left to do depends on stored collections only.
pub(crate) struct Prepared {
    pub(crate) relation: Relation,
    pub(crate) typ: RelationType,
    pub(crate) access: Access,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) objects: ClusterObjects,
    /// Set if the time had to be chosen before optimizing, because the query reads `mz_now()`.
    pub(super) chosen: Option<(Timestamp, ReadHolds)>,
}

impl Session {
    /// Runs a query and returns its rows, sorted and cut, with the columns of `plan.desc`.
    pub(crate) async fn select(&mut self, plan: SelectPlan) -> Result<Vec<Row>, Error> {
        let SelectPlan { relation, finishing, when, .. } = plan;
        let prepared = self.prepare(relation, &when).await?;
        let kinds = prepared.typ.kinds();
        let rows = self.read(prepared, &when, &finishing).await?;
        finish(rows, &kinds, &finishing, self.vars.max_result_bytes())
    }

    /// Binds everything that is constant for this statement, optimizes, and finds how to read.
    pub(crate) async fn prepare(&mut self, mut relation: Relation, when: &sql::plan::When) -> Result<Prepared, Error> {
        let catalog = self.environment.catalog();
        let cluster = catalog.cluster(self.vars.cluster()).map(|cluster| cluster.id);
        let objects = ClusterObjects { catalog: Arc::clone(&catalog), cluster, before: None };
        prepare::inline_views(&catalog, &objects, &mut relation)?;
        prepare::bind_builtins(self, &catalog, &mut relation);
        self.sleep_as_asked(&mut relation).await?;
        prepare::bind_functions(self, &mut relation)?;
        let mut chosen = None;
        if prepare::reads_now(&relation) {
            let inputs = prepare::inputs_with_frontier(&objects, &relation);
            let (at, holds) = self.choose(when, &inputs).await?;
            prepare::bind_now(&mut relation, at.at);
            chosen = Some((at.at, holds));
        }
        let relation = planning::optimize(relation, &objects)?;
        let typ = relation.typ();
        let access = self.access(&relation, &objects)?;
        Ok(Prepared { relation, typ, access, cluster, objects, chosen })
    }

    /// Gets the rows of a prepared query, unsorted unless the replica did it.
    pub(crate) async fn read(
        &mut self,
        prepared: Prepared,
        when: &sql::plan::When,
        finishing: &Finishing,
    ) -> Result<Counted, Error> {
        let Prepared { relation, typ, access, cluster, objects, chosen } = prepared;
        if let Access::Constant(rows) = access {
            return Ok(rows?);
        }
        let cluster = self.live_cluster(cluster)?;
        match access {
            Access::Constant(_) => unreachable!("answered above"),
            Access::Index(access) => {
                let IndexAccess { index, lookup, mfp, front, .. } = access.in_order(&row_order(finishing), &objects);
                let (at, holds) = match chosen {
                    Some(chosen) => chosen,
                    None => self.choose(when, &[index]).await.map(|(chosen, holds)| (chosen.at, holds))?,
                };
                let target = PeekTarget::Index { index, lookup, front };
                let rows = self.peek(cluster, target, at, mfp, finishing).await;
                drop(holds);
                rows
            }
            Access::Dataflow => {
                let query = OneOff { relation, typ, cluster, objects, chosen };
                self.read_by_dataflow(query, when, finishing).await
            }
        }
    }

    /// The session's cluster. Errors: 22023 if there is no such cluster, 55000 if it has no replicas.
    pub(crate) fn live_cluster(&self, cluster: Option<ClusterId>) -> Result<ClusterId, Error> {
        let name = self.vars.cluster();
        let cluster = cluster.ok_or_else(|| Error::new("22023", format!("unknown cluster \"{name}\"")))?;
        if self.environment.controller.has_replicas(cluster) {
            return Ok(cluster);
        }
        Err(Error::new("55000", format!("cluster \"{name}\" has no replicas available to service request"))
            .with_hint("Use CREATE CLUSTER REPLICA to add a replica, or SET cluster to a cluster that has one."))
    }

    async fn read_by_dataflow(
        &mut self,
        query: OneOff,
        when: &sql::plan::When,
        finishing: &Finishing,
    ) -> Result<Counted, Error> {
        let OneOff { relation, typ, cluster, objects, chosen } = query;
        let (object, index) = (self.environment.transient_id(), self.environment.transient_id());
        let mut dataflow = transient_dataflow(relation, &typ, &objects, object, index)?;
        let inputs: Vec<CollectionId> = import_ids(&dataflow);
        // Even if the time is known, the dataflow needs holds on what it reads: indexes as well.
        let (at, holds) = match chosen {
            Some((at, early)) => {
                let holds = self.environment.controller.acquire_holds(&inputs)?;
                if holds.since() > at {
                    return Err(Error::new("40001", "an index was compacted while the query was planned; try again"));
                }
                drop(early);
                (at, holds)
            }
            None => self.choose(when, &inputs).await.map(|(chosen, holds)| (chosen.at, holds))?,
        };
        dataflow.as_of = at;
        dataflow.until = Some(at.step_forward());
        let controller = self.environment.controller.clone();
        controller.create_dataflow(cluster, dataflow)?;
        let built = OneOffDataflow { controller, index };
        drop(holds);
        let target = PeekTarget::Index { index, lookup: None, front: 0 };
        let rows = self.peek(cluster, target, at, Mfp::identity(typ.kinds()), finishing).await;
        drop(built);
        rows
    }

    async fn peek(
        &mut self,
        cluster: ClusterId,
        target: PeekTarget,
        at: Timestamp,
        mfp: Mfp,
        finishing: &Finishing,
    ) -> Result<Counted, Error> {
        let peek = Peek {
            id: uuid::Builder::from_random_bytes(self.environment.rng.bytes16()).into_uuid(),
            target,
            at,
            mfp,
            order: row_order(finishing),
            result_bytes_max: self.vars.max_result_bytes(),
            after: 0,
        };
        let replica = self.target_replica(cluster)?;
        let mut handle = self.environment.controller.peek(cluster, peek, replica)?;
        match handle.result().await {
            PeekOutcome::Rows(rows) => Ok(rows),
            PeekOutcome::Error(error) => Err(error.into()),
            PeekOutcome::Canceled => Err(Error::stale("57014", "canceling statement: something it reads was dropped")),
        }
    }

    /// The replica that `cluster_replica` names, if it is set.
    fn target_replica(&self, cluster: ClusterId) -> Result<Option<repr::ReplicaId>, Error> {
        let Some(name) = self.vars.cluster_replica() else { return Ok(None) };
        let catalog = self.environment.catalog();
        let cluster = catalog.cluster_by_id(cluster);
        let replica = cluster.and_then(|cluster| cluster.replicas.iter().find(|replica| replica.name == name));
        let replica = replica.ok_or_else(|| Error::new("22023", format!("unknown cluster replica \"{name}\"")))?;
        Ok(Some(replica.id))
    }

    /// Takes holds, then chooses a time; inside a transaction block all reads share one.
    pub(crate) async fn choose(
        &mut self,
        when: &sql::plan::When,
        inputs: &[CollectionId],
    ) -> Result<(Chosen, ReadHolds), Error> {
        if *when == sql::plan::When::Immediately
            && let Some((chosen, holds)) = self.transaction_read(inputs).await?
        {
            return Ok((chosen, holds));
        }
        let holds = self.environment.controller.acquire_holds(inputs)?;
        let strict = self.vars.is_strict_serializable();
        let chosen = timestamp::choose(&self.environment, strict, when, inputs, &holds).await?;
        Ok((chosen, holds))
    }
}

/// Drops a query's dataflow when the query ends, however it ends.
struct OneOffDataflow {
    controller: Controller,
    index: CollectionId,
}

impl Drop for OneOffDataflow {
    fn drop(&mut self) {
        self.controller.drop_collections(vec![self.index]);
    }
}

/// Which rows of a query's the replicas are asked for.
pub(super) fn row_order(finishing: &Finishing) -> RowOrder {
    RowOrder { order: finishing.order_by.clone(), limit: finishing.limit, offset: finishing.offset }
}

/// A query that no index answers.
struct OneOff {
    relation: Relation,
    typ: RelationType,
    cluster: ClusterId,
    objects: ClusterObjects,
    chosen: Option<(Timestamp, ReadHolds)>,
}

/// A dataflow that computes `relation` into an index of its own; its time is set later.
fn transient_dataflow(
    relation: Relation,
    typ: &RelationType,
    objects: &dyn Objects,
    object: CollectionId,
    index: CollectionId,
) -> Result<Dataflow, Error> {
    let key = (0..typ.arity()).map(expr::Scalar::Column).collect();
    let export = Export::Index { index, on: object, key, kinds: typ.kinds() };
    let name = format!("one-off query {index}");
    planning::lower(name, optimizer::Purpose::OneOff, vec![(object, relation)], objects, vec![export])
}

/// What a dataflow's imports are held by: indexes by their own id, shards by their collection's.
pub(crate) fn import_ids(dataflow: &Dataflow) -> Vec<CollectionId> {
    let id = |import: &protocol::Import| match import {
        protocol::Import::Index { index, .. } => *index,
        protocol::Import::Shard { id, .. } => *id,
    };
    dataflow.imports.iter().map(id).collect()
}

/// Sorts, cuts and projects. Ties are ordered by the bytes of the whole row, so that the answer is one and the same.
pub(crate) fn finish(
    mut rows: Counted,
    kinds: &[Kind],
    finishing: &Finishing,
    result_bytes_max: u64,
) -> Result<Vec<Row>, Error> {
    if rows.iter().any(|(_, count)| count.is_invalid_count()) {
        return Err(expr::EvalError::negative_multiplicity("the result").into());
    }
    if finishing.order_by.is_empty() {
        rows.sort_unstable();
    } else {
        rows.sort_by(|(left, _), (right, _)| {
            order::compare(&finishing.order_by, &left.unpack(kinds), &right.unpack(kinds)).then_with(|| left.cmp(right))
        });
    }
    let mut skip = finishing.offset;
    let mut wanted = finishing.limit.unwrap_or(u64::MAX);
    let mut out = Vec::new();
    let mut bytes = 0;
    let identity = finishing.project.iter().copied().eq(0..kinds.len());
    for (row, count) in rows {
        let count = u64::try_from(count.get()).unwrap_or(0);
        let skipped = skip.min(count);
        skip -= skipped;
        let taken = (count - skipped).min(wanted);
        wanted -= taken;
        if taken == 0 {
            continue;
        }
        let row = if identity { row } else { project(&row, kinds, &finishing.project) };
        bytes += taken.saturating_mul(row.len_bytes() as u64 + 8);
        if bytes > result_bytes_max {
            return Err(Error::new("53200", format!("result exceeds max size of {result_bytes_max} bytes"))
                .with_hint("Add a LIMIT, or raise max_result_size."));
        }
        out.extend(std::iter::repeat_n(row, usize::try_from(taken).unwrap_or(usize::MAX)));
    }
    Ok(out)
}

fn project(row: &Row, kinds: &[Kind], columns: &[usize]) -> Row {
    let datums = row.unpack(kinds);
    Row::pack(columns.iter().map(|column| datums[*column]))
}
