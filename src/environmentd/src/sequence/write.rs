//! INSERT, UPDATE and DELETE.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use catalog::Catalog;
use optimizer::Access;
use persist::Validate;
use repr::{Arena, CollectionId, Datum, Diff, Kind, RelationDesc, Row, ShardId, Timestamp};
use sql::plan::{InsertPlan, ReadThenWritePlan, ReturningPlan, When, WriteKind};
use sql::{CatalogView, Item, ItemDefinition};

use super::query::Counted;
use super::{complete, prepare};
use crate::committer::{Appends, SubmitError};
use crate::error::Error;
use crate::objects::shard_of;
use crate::session::{Response, Rows, Session};

/// Lost validations after which a statement becomes the only writer of its tables.
const LOSSES_BEFORE_EXCLUSIVE: usize = 5;
/// How long it may wait to become that.
const EXCLUSIVE_WAIT: Duration = Duration::from_secs(30);

/// The command's name, in its tag and in errors.
pub(super) fn verb(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::Insert => "INSERT",
        WriteKind::Update => "UPDATE",
        WriteKind::Delete => "DELETE",
        WriteKind::Truncate => "TRUNCATE TABLE",
    }
}

/// A table as a statement writes it.
pub(crate) struct Target {
    pub(crate) item: Arc<Item>,
    pub(crate) desc: RelationDesc,
    pub(crate) shard: ShardId,
}

/// Finds a table that users may write.
pub(crate) fn target(catalog: &Catalog, id: CollectionId) -> Result<Target, Error> {
    let item = catalog.item_by_id(id).ok_or_else(|| Error::new("42P01", "the table was dropped"))?;
    match &item.definition {
        ItemDefinition::Table { desc, shard, source: None, .. } => {
            Ok(Target { desc: desc.clone(), shard: *shard, item: Arc::clone(&item) })
        }
        _ => Err(Error::new("42809", format!("cannot write to {} \"{}\"", item.kind(), item.name.item))),
    }
}

impl Target {
    /// As the table was when the statement was planned: columns that came since are filled up when the rows are committed.
    fn planned_with(mut self, arity: usize) -> Target {
        self.desc.names.truncate(arity);
        self.desc.typ.columns.truncate(arity);
        self
    }

    /// Checks a row's NOT NULL columns.
    pub(crate) fn check_nulls(&self, datums: &[Datum<'_>]) -> Result<(), Error> {
        for ((name, typ), datum) in self.desc.iter().zip(datums) {
            if datum.is_null() && !typ.nullable {
                let table = &self.item.name.item;
                let message =
                    format!("null value in column \"{name}\" of relation \"{table}\" violates not-null constraint");
                return Err(Error::new("23502", message).with_detail(self.failing_row(datums)));
            }
        }
        Ok(())
    }

    fn failing_row(&self, datums: &[Datum<'_>]) -> String {
        let mut text = String::from("Failing row contains (");
        for (index, ((_, typ), datum)) in self.desc.iter().zip(datums).enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            if datum.is_null() {
                text.push_str("null");
            } else {
                repr::text::format(*datum, &typ.scalar, &mut text);
            }
        }
        text + ")."
    }
}

impl Session {
    pub(super) async fn insert(&mut self, plan: InsertPlan) -> Result<Response, Error> {
        let InsertPlan { table, relation, returning } = plan;
        let arity = relation.typ().arity();
        let prepared = self.prepare(relation, &When::Immediately).await?;
        self.insert_rows((table, arity), prepared.access, returning).await
    }

    /// Checks and writes the rows of an INSERT that reads nothing, into a table that had so many columns when it was planned.
    pub(super) async fn insert_rows(
        &mut self,
        (table, arity): (CollectionId, usize),
        access: Access,
        returning: Option<ReturningPlan>,
    ) -> Result<Response, Error> {
        let catalog = self.environment.catalog();
        let target = target(&catalog, table)?.planned_with(arity);
        let Access::Constant(rows) = access else {
            return Err(Error::new("XX000", "an INSERT without reads did not become constant"));
        };
        let rows = rows?;
        let kinds = target.desc.typ.kinds();
        for (row, _) in &rows {
            target.check_nulls(&row.unpack(&kinds))?;
        }
        let returned = self.returning(returning, rows.iter().map(|(row, count)| (row, *count)), &kinds)?;
        let count: i64 = rows.iter().map(|(_, count)| count.get()).sum();
        let appends = Appends::from([(target.shard, rows)]);
        if let Some(appends) = self.buffer_write(appends)? {
            self.write_tables(appends).await?;
        }
        respond(WriteKind::Insert, count, returned)
    }

    /// Commits rows that depend on nothing read.
    pub(crate) async fn write_tables(&mut self, appends: Appends) -> Result<(), Error> {
        self.write_validated(appends, None).await
    }

    /// Commits rows if nothing they rest on has changed. Errors: 40001.
    pub(crate) async fn write_validated(&mut self, appends: Appends, validate: Option<Validate>) -> Result<(), Error> {
        if appends.values().all(Vec::is_empty) {
            return Ok(());
        }
        self.environment.committer.write(appends, validate, None).await.map(|_| ()).map_err(submit_failed)
    }

    /// Changes rows by what is read: on its own, or as a part of the block that is open.
    pub(super) async fn read_then_write(&mut self, plans: &[ReadThenWritePlan]) -> Result<Response, Error> {
        let verb = plans.first().map_or("TRUNCATE TABLE", |plan| verb(plan.kind));
        self.check_writable(verb)?;
        match self.admits_read_then_write(verb).await? {
            true => self.read_then_write_in_block(plans).await,
            false => self.read_then_write_alone(plans).await,
        }
    }

    /// Reads at a time, computes the change, and commits it only if nothing it read was written since; else again.
    async fn read_then_write_alone(&mut self, plans: &[ReadThenWritePlan]) -> Result<Response, Error> {
        let environment = Arc::clone(&self.environment);
        let mut exclusive = None;
        for loss in 0.. {
            let tables = tables_read(&environment.catalog(), plans)?;
            if loss >= LOSSES_BEFORE_EXCLUSIVE && exclusive.is_none() {
                let wait = environment.committer.exclusive(&environment.tasks, tables.iter().copied().collect());
                let waited = environment.tasks.timeout(EXCLUSIVE_WAIT, wait).await;
                let granted = waited.map_err(|_| could_not_serialize())?;
                exclusive = Some(granted.map_err(submit_failed)?);
            }
            let Changes { appends, read_ts, response } = self.changes(plans).await?;
            if appends.values().all(Vec::is_empty) {
                return Ok(response);
            }
            let validate = Validate { read_ts, tables };
            match environment.committer.write(appends, Some(validate), exclusive.as_ref()).await {
                Ok(_) => return Ok(response),
                Err(SubmitError::Conflict) => {}
                Err(other) => return Err(submit_failed(other)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// As [`read_then_write_alone`](Self::read_then_write_alone), in a block in which nothing was done before: what was read
    /// is validated when the block commits.
    async fn read_then_write_in_block(&mut self, plans: &[ReadThenWritePlan]) -> Result<Response, Error> {
        let tables = tables_read(&self.environment.catalog(), plans)?;
        let Changes { appends, read_ts, response } = self.changes(plans).await?;
        self.buffer_validated_write(appends, Validate { read_ts, tables })?;
        Ok(response)
    }

    /// Reads what each plan rests on, and gathers what all of them change. If nothing is written from the first read to the
    /// commit, all of them have read at the commit's time.
    async fn changes(&mut self, plans: &[ReadThenWritePlan]) -> Result<Changes, Error> {
        let mut appends = Appends::new();
        let mut first_read = None;
        let mut response = complete("TRUNCATE TABLE")?;
        for plan in plans {
            let target = target(&self.environment.catalog(), plan.table)?.planned_with(plan.arity);
            let (read_ts, rows, kinds) = self.read_for_write(plan).await?;
            let Change { updates, count, returned } = self.change(plan, &target, rows, &kinds)?;
            appends.entry(target.shard).or_default().extend(updates);
            first_read = Some(first_read.map_or(read_ts, |first: Timestamp| first.min(read_ts)));
            response = respond(plan.kind, count, returned)?;
        }
        let read_ts = first_read.ok_or_else(|| Error::new("XX000", "a change of no table"))?;
        Ok(Changes { appends, read_ts, response })
    }

    /// The rows the statement rests on with their columns' kinds, and the time at which they were read.
    async fn read_for_write(&mut self, plan: &ReadThenWritePlan) -> Result<(Timestamp, Counted, Vec<Kind>), Error> {
        let relation = plan.relation.clone();
        let catalog = self.environment.catalog();
        // The written table belongs to what is read, even where its rows are not.
        let mut inputs = catalog.transitive_dependencies(relation.depends_on());
        inputs.insert(plan.table);
        let mut inputs: Vec<CollectionId> = inputs.into_iter().collect();
        inputs.retain(|id| shard_of(&catalog, *id).is_some());
        let (chosen, holds) = self.choose(&When::Immediately, &inputs).await?;
        let when = When::At(chosen.at);
        let prepared = self.prepare(relation, &when).await?;
        let kinds = prepared.typ.kinds();
        let finishing = sql::plan::Finishing::default();
        let rows = self.read(prepared, &when, &finishing).await?;
        drop(holds);
        Ok((chosen.at, rows, kinds))
    }

    /// The updates of the table that the statement makes of what it read.
    fn change(
        &self,
        plan: &ReadThenWritePlan,
        target: &Target,
        rows: Counted,
        kinds: &[Kind],
    ) -> Result<Change, Error> {
        let arity = target.desc.arity();
        let returned = self.returning(plan.returning.clone(), rows.iter().map(|(row, count)| (row, *count)), kinds)?;
        let mut updates = Vec::with_capacity(rows.len());
        let mut count = 0;
        for (row, multiplicity) in rows {
            count += multiplicity.get();
            let datums = row.unpack(kinds);
            let old = || Row::pack(datums[..arity].iter().copied());
            match plan.kind {
                WriteKind::Insert => {
                    target.check_nulls(&datums)?;
                    updates.push((row, multiplicity));
                }
                WriteKind::Delete | WriteKind::Truncate => updates.push((old(), multiplicity.negate())),
                WriteKind::Update => {
                    let (old, new) = (old(), &datums[arity..2 * arity]);
                    target.check_nulls(new)?;
                    let new = Row::pack(new.iter().copied());
                    if new != old {
                        updates.push((old, multiplicity.negate()));
                        updates.push((new, multiplicity));
                    }
                }
            }
        }
        Ok(Change { updates, count, returned })
    }

    /// The rows of a RETURNING clause, if there is one.
    fn returning<'a>(
        &self,
        plan: Option<ReturningPlan>,
        rows: impl Iterator<Item = (&'a Row, Diff)>,
        kinds: &[Kind],
    ) -> Result<Option<(RelationDesc, Vec<Row>)>, Error> {
        let Some(ReturningPlan { mut exprs, desc }) = plan else { return Ok(None) };
        // What rests on chance is bound for each row, everything else once.
        let drawn: Vec<bool> = exprs.iter().map(prepare::asks_chance).collect();
        for (expr, _) in exprs.iter_mut().zip(&drawn).filter(|(_, drawn)| !**drawn) {
            prepare::bind_functions_in(self, expr)?;
        }
        let mut out = Vec::new();
        let mut arena = Arena::new();
        for (row, count) in rows {
            let datums = row.unpack(kinds);
            for _ in 0..count.get() {
                let mut result = Row::default();
                for (expr, drawn) in exprs.iter().zip(&drawn) {
                    if *drawn {
                        let mut bound = expr.clone();
                        prepare::bind_functions_in(self, &mut bound)?;
                        result.push(bound.eval(&datums, &arena)?);
                    } else {
                        result.push(expr.eval(&datums, &arena)?);
                    }
                }
                arena.clear();
                out.push(result);
            }
        }
        Ok(Some((desc, out)))
    }
}

/// What a read-then-write statement will do to its table.
struct Change {
    updates: Vec<(Row, Diff)>,
    count: i64,
    returned: Option<(RelationDesc, Vec<Row>)>,
}

/// What a statement that reads and writes does.
struct Changes {
    appends: Appends,
    read_ts: Timestamp,
    response: Response,
}

/// The tables whose writes would change what a statement does.
fn tables_read(catalog: &Catalog, plans: &[ReadThenWritePlan]) -> Result<Vec<ShardId>, Error> {
    let mut inputs = BTreeSet::new();
    for plan in plans {
        inputs.extend(plan.relation.depends_on());
        // The written table belongs to what is read, even where its rows are not.
        inputs.insert(plan.table);
    }
    base_tables(catalog, &inputs)
}

/// The tables whose writes can change what is read. Errors: 0A000 if anything else is read, for no validation of it can be
/// sound: a source may still append at times at or below the commit.
fn base_tables(catalog: &Catalog, inputs: &BTreeSet<CollectionId>) -> Result<Vec<ShardId>, Error> {
    let mut tables = Vec::new();
    for id in catalog.transitive_dependencies(inputs.iter().copied()) {
        let Some(item) = catalog.item_by_id(id) else { continue };
        match &item.definition {
            ItemDefinition::Table { source: None, .. } => tables.extend(shard_of(catalog, id)),
            ItemDefinition::Table { .. } | ItemDefinition::Source { .. } => {
                let name = &item.name;
                return Err(Error::unsupported(format!("a write that reads {name}, which a source fills"))
                    .with_hint("Only tables can be read by INSERT, UPDATE and DELETE."));
            }
            _ => {}
        }
    }
    Ok(tables)
}

fn could_not_serialize() -> Error {
    Error::new("40001", "could not serialize access due to concurrent update")
        .with_hint("Run the statement, or the transaction, again.")
}

fn submit_failed(error: SubmitError) -> Error {
    match error {
        SubmitError::Conflict => could_not_serialize(),
        SubmitError::Stale => Error::stale("42P01", "a table was dropped before the rows were written"),
        SubmitError::Failed(error) => error,
    }
}

fn respond(kind: WriteKind, count: i64, returned: Option<(RelationDesc, Vec<Row>)>) -> Result<Response, Error> {
    match (kind, returned) {
        (WriteKind::Insert, Some((desc, rows))) => {
            Ok(Response::Rows { desc, rows: Rows::ready(rows), verb: "INSERT 0" })
        }
        (_, Some((desc, rows))) => Ok(Response::Rows { desc, rows: Rows::ready(rows), verb: verb(kind) }),
        (WriteKind::Insert, None) => complete(format!("INSERT 0 {count}")),
        (WriteKind::Truncate, None) => complete(verb(kind)),
        (WriteKind::Update | WriteKind::Delete, None) => complete(format!("{} {count}", verb(kind))),
    }
}
