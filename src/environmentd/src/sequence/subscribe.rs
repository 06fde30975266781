//! SUBSCRIBE: a stream of changes, each with its time and its multiplicity.

use std::collections::VecDeque;
use std::sync::Arc;

use controller::SubscribeHandle;
use protocol::Export;
use repr::{Datum, Diff, NumericSpec, RelationDesc, Row, ScalarType, Timestamp};
use sql::CatalogView;
use sql::plan::SubscribePlan;

use super::prepare;
use super::query::import_ids;
use super::timestamp::AHEAD_MAX;
use crate::environment::Environment;
use crate::error::Error;
use crate::objects::ClusterObjects;
use crate::planning;
use crate::session::{Rows, Session};

/// A running subscription, as rows `(mz_timestamp, [mz_progressed,] mz_diff, columns...)`.
pub struct Subscription {
    environment: Arc<Environment>,
    handle: SubscribeHandle,
    arity: usize,
    /// With PROGRESS: the millisecond that was last said to be where the changes go on.
    progress: Option<u64>,
    /// Under strict serializability the oracle moves before a message shows a time.
    strict: bool,
    up_to: Option<Timestamp>,
    pending: VecDeque<Row>,
    finished: bool,
}

impl Session {
    pub(super) async fn subscribe(&mut self, plan: SubscribePlan) -> Result<(RelationDesc, Rows), Error> {
        let SubscribePlan { mut relation, desc, with_snapshot, progress, when, up_to } = plan;
        let catalog = self.environment.catalog();
        let cluster = catalog.cluster(self.vars.cluster()).map(|cluster| cluster.id);
        let cluster = self.live_cluster(cluster)?;
        let objects = ClusterObjects { catalog: Arc::clone(&catalog), cluster: Some(cluster), before: None };
        prepare::inline_views(&catalog, &objects, &mut relation)?;
        prepare::bind_builtins(self, &catalog, &mut relation);
        prepare::bind_functions(self, &mut relation)?;
        let relation = planning::optimize(relation, &objects)?;
        let (object, id) = (self.environment.transient_id(), self.environment.transient_id());
        let export = Export::Subscribe { id, on: object, with_snapshot, up_to };
        let mut dataflow = planning::lower(
            format!("subscription {id}"),
            optimizer::Purpose::Maintained,
            vec![(object, relation)],
            &objects,
            vec![export],
        )?;
        let (chosen, holds) = self.choose(&when, &import_ids(&dataflow)).await?;
        if up_to.is_some_and(|up_to| up_to < chosen.at) {
            let up_to = up_to.expect("just looked at");
            return Err(Error::new(
                "22000",
                format!("subscription's UP TO ({up_to}) is below its AS OF ({})", chosen.at),
            ));
        }
        dataflow.as_of = chosen.at;
        dataflow.until = up_to;
        let handle = self.environment.controller.subscribe(cluster, dataflow)?;
        drop(holds);
        let mut pending = VecDeque::new();
        if progress {
            pending.push_back(progress_row(chosen.at, desc.arity()));
        }
        let subscription = Subscription {
            environment: Arc::clone(&self.environment),
            handle,
            arity: desc.arity(),
            progress: progress.then(|| chosen.at.millis()),
            strict: self.vars.is_strict_serializable(),
            up_to,
            pending,
            finished: false,
        };
        Ok((output_desc(&desc, progress), Rows::Subscribe(Box::new(subscription))))
    }
}

/// The type of `mz_timestamp`: a numeric without fraction, which every client can read.
fn timestamp_type() -> ScalarType {
    ScalarType::Numeric(Some(NumericSpec { precision: 39, scale: 0 }))
}

/// The columns that clients see. After a progress row all data columns are NULL, so with PROGRESS none is NOT NULL.
fn output_desc(desc: &RelationDesc, progress: bool) -> RelationDesc {
    let mut columns = vec![("mz_timestamp".to_owned(), timestamp_type().not_null())];
    if progress {
        columns.push(("mz_progressed".to_owned(), ScalarType::Bool.not_null()));
    }
    let diff = if progress { ScalarType::Int8.nullable() } else { ScalarType::Int8.not_null() };
    columns.push(("mz_diff".to_owned(), diff));
    for (name, typ) in desc.iter() {
        let nullable = typ.nullable || progress;
        columns.push((name.to_owned(), repr::ColumnType { scalar: typ.scalar.clone(), nullable }));
    }
    RelationDesc::new(columns)
}

fn push_time(row: &mut Row, time: Timestamp) {
    let arena = repr::Arena::new();
    row.push(Datum::Numeric(repr::numeric::Numeric::from_u64(time.millis()).pack(&arena)));
}

/// "Complete below `time`."
fn progress_row(time: Timestamp, arity: usize) -> Row {
    let mut row = Row::default();
    push_time(&mut row, time);
    row.push(Datum::TRUE);
    row.extend(std::iter::repeat_n(Datum::Null, arity + 1));
    row
}

impl Subscription {
    fn data_row(&self, data: &Row, time: Timestamp, diff: Diff) -> Row {
        let mut row = Row::default();
        push_time(&mut row, time);
        if self.progress.is_some() {
            row.push(Datum::FALSE);
        }
        row.push(Datum::Int(diff.get()));
        row.push_packed(data.as_bytes());
        row
    }

    /// See [`Rows::next`].
    pub(crate) async fn next(&mut self, most: usize) -> Option<Result<Vec<Row>, Error>> {
        if self.pending.is_empty() && !self.finished {
            match self.advance().await {
                Ok(()) => {}
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
        if self.pending.is_empty() && self.finished {
            return None;
        }
        let count = most.min(self.pending.len());
        Some(Ok(self.pending.drain(..count).collect()))
    }

    /// Waits for the next interval and turns it into rows.
    async fn advance(&mut self) -> Result<(), Error> {
        let Some(batch) = self.handle.next().await else {
            self.finished = true;
            return Err(Error::new("57014", "subscribe has been terminated because something it reads was dropped"));
        };
        let mut updates = batch.updates?;
        updates.sort_unstable_by(|(left, left_time, _), (right, right_time, _)| {
            (left_time, left).cmp(&(right_time, right))
        });
        self.show(batch.upper, !updates.is_empty()).await?;
        let rows: Vec<Row> = updates.iter().map(|(row, time, diff)| self.data_row(row, *time, *diff)).collect();
        self.pending.extend(rows);
        if batch.upper != Timestamp::MAX {
            self.say_progress(batch.upper);
        }
        self.finished = batch.upper == Timestamp::MAX || self.up_to.is_some_and(|up_to| batch.upper >= up_to);
        Ok(())
    }

    /// Adds a row for the progress to `upper`, if it shows and is asked for.
    fn say_progress(&mut self, upper: Timestamp) {
        let Some(said) = &mut self.progress else { return };
        if upper.millis() > *said {
            *said = upper.millis();
            self.pending.push_back(progress_row(upper, self.arity));
        }
        if upper > Timestamp::from_millis(upper.millis()) {
            // Changes of this millisecond were shown, and whoever waits for its end should not wait for the next tick.
            self.environment.committer.tick(Timestamp::end_of_millis(upper.millis()));
        }
    }

    /// Moves the oracle before a message with this frontier leaves.
    async fn show(&self, frontier: Timestamp, has_data: bool) -> Result<(), Error> {
        if !self.strict || frontier == Timestamp::MAX || !(has_data || self.progress.is_some()) {
            return Ok(());
        }
        let leader = &self.environment.leader;
        leader.ensure_lease().await.map_err(|error| Error::fatal("57P01", error.to_string()))?;
        self.environment.oracle.advance(frontier.step_back().min(leader.now().plus(AHEAD_MAX)));
        Ok(())
    }
}
