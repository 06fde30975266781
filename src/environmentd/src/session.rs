//! One client's session: its variables, its transaction, its prepared statements and cursors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller::ReadHolds;
use expr::Relation;
use futures::future::{Either, select};
use optimizer::{Access, Objects};
use persist::Validate;
use repr::{CollectionId, RelationDesc, Row, ScalarType};
use sql::plan::{CopyFromPlan, CopyOptions, Params, PlanContext};
use sql::statement::Statement;
use sql::{CatalogView, Plan};
use tokio::sync::watch;

use crate::committer::Appends;
use crate::environment::{Environment, Registration};
use crate::error::Error;
use crate::planning;
use crate::sequence::generic::GenericSlot;
use crate::sequence::subscribe::Subscription;
use crate::sequence::timestamp::{self, Chosen};
use crate::vars::Vars;

/// Prepared statements and cursors of one session.
const NAMED_MAX: usize = 10_000;
/// Rows that a transaction block may hold until it commits.
const BUFFERED_BYTES_MAX: usize = 1 << 30;

/// What a statement yields.
pub enum Response {
    Complete {
        tag: String,
    },
    /// The tag is made of `verb` and the number of rows.
    Rows {
        desc: RelationDesc,
        rows: Rows,
        verb: &'static str,
    },
    CopyIn(CopyFromPlan),
    CopyOut {
        desc: RelationDesc,
        rows: Rows,
        options: CopyOptions,
    },
    Empty,
}

/// Rows on their way to the client.
pub enum Rows {
    Ready(std::vec::IntoIter<Row>),
    Subscribe(Box<Subscription>),
}

impl Rows {
    pub(crate) fn ready(rows: Vec<Row>) -> Rows {
        Rows::Ready(rows.into_iter())
    }

    /// The next rows, at most `most`. An empty batch: for now there are none. None: there will be no more.
    ///
    /// Cancel safety: may be dropped at any await; no row is lost.
    pub async fn next(&mut self, most: usize) -> Option<Result<Vec<Row>, Error>> {
        match self {
            Rows::Ready(rows) => {
                let batch: Vec<Row> = rows.by_ref().take(most).collect();
                if batch.is_empty() { None } else { Some(Ok(batch)) }
            }
            Rows::Subscribe(subscription) => subscription.next(most).await,
        }
    }
}

/// A statement prepared by PREPARE or by a Parse message: they share their names.
#[derive(Clone)]
pub(crate) struct PreparedStatement {
    /// None: an empty query string.
    pub(crate) statement: Option<Arc<Statement>>,
    pub(crate) types: Vec<ScalarType>,
    pub(crate) desc: Option<RelationDesc>,
    /// Shared by the portals that are made of it.
    pub(crate) generic: GenericSlot,
}

/// A query opened by DECLARE, or a portal made by Bind.
pub(crate) struct Cursor {
    pub(crate) desc: RelationDesc,
    pub(crate) rows: Rows,
    /// Rows taken from `rows` but not fetched yet.
    pub(crate) pending: std::collections::VecDeque<Row>,
}

/// Where a session stands between statements.
enum Transaction {
    /// Each statement is its own.
    None,
    /// Several statements of one query string, or a pipeline up to Sync.
    Implicit(Work),
    /// From BEGIN to COMMIT.
    Explicit(Work),
    /// A statement failed; only ROLLBACK (or COMMIT, which rolls back) is heard.
    Failed,
}

/// What a transaction has done so far; its first statement decides what it is.
enum Work {
    Nothing,
    /// Reads at one time of everything readable.
    Reads {
        chosen: Chosen,
        holds: Box<ReadHolds>,
    },
    /// Changes, kept back until the commit.
    Writes {
        appends: Appends,
        bytes: usize,
        /// What the block's first statement read, if it was an UPDATE or the like: checked at the commit.
        validate: Option<Validate>,
    },
}

/// As ReadyForQuery reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

pub struct Session {
    pub(crate) environment: Arc<Environment>,
    registration: Registration,
    /// Sees the cancel requests that came after [`Session::begin_message`].
    cancellations: watch::Receiver<u64>,
    pub(crate) user: String,
    pub(crate) vars: Vars,
    transaction: Transaction,
    pub(crate) prepared: BTreeMap<String, PreparedStatement>,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    notices: Vec<Error>,
    changed_parameters: Vec<&'static str>,
    /// When the current statement times out, by the clock that only goes forward.
    deadline: Option<Duration>,
    /// The wall clock when the current statement (or transaction) began: what `now()` says.
    pub(crate) statement_wall_ms: u64,
}

impl Session {
    /// Opens a session for an authenticated user with what its start-up packet set.
    ///
    /// Errors (all fatal): 3D000 unknown database, 42704 and 22023 for variables.
    pub(crate) fn open(
        environment: Arc<Environment>,
        registration: Registration,
        user: String,
        parameters: &[(String, String)],
    ) -> Result<Session, Error> {
        let mut vars = Vars::default();
        for (name, value) in parameters {
            vars.set_initial(name, value)?;
        }
        let database = vars.database();
        if !environment.catalog().databases().iter().any(|name| name == database) {
            return Err(Error::fatal("3D000", format!("database \"{database}\" does not exist")));
        }
        let statement_wall_ms = environment.tasks.clock().wall_ms();
        Ok(Session {
            environment,
            cancellations: registration.cancel.subscribe(),
            registration,
            user,
            vars,
            transaction: Transaction::None,
            prepared: BTreeMap::new(),
            cursors: BTreeMap::new(),
            notices: Vec::new(),
            changed_parameters: Vec::new(),
            deadline: None,
            statement_wall_ms,
        })
    }

    pub(crate) fn connection_id(&self) -> u32 {
        self.registration.connection_id
    }

    /// What a CancelRequest must show.
    pub(crate) fn cancel_secret(&self) -> i32 {
        self.registration.secret
    }

    /// A message of the client's is to be served: cancel requests that came before it meant something else.
    pub(crate) fn begin_message(&mut self) {
        self.cancellations.mark_unchanged();
    }

    /// Runs `work` unless it is canceled. Errors: 57014 if a cancel request comes, or has come since the message began.
    pub(crate) async fn unless_canceled<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut cancellations = self.cancellations.clone();
        let canceled = std::pin::pin!(cancellations.changed());
        match select(std::pin::pin!(work), canceled).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(canceled_by_user()),
        }
    }

    /// Chooses how to read, which may take long where rows are computed at once. Errors: 57014 if the statement is canceled
    /// or times out meanwhile.
    pub(crate) fn access(&self, relation: &Relation, objects: &dyn Objects) -> Result<Access, Error> {
        let (clock, deadline) = (self.environment.tasks.clock(), self.deadline);
        let is_canceled = || self.cancellations.has_changed().unwrap_or(true);
        let is_late = || deadline.is_some_and(|deadline| clock.boot() >= deadline);
        let access = planning::access_unless(relation, objects, &mut || is_canceled() || is_late())?;
        access.ok_or_else(|| if is_canceled() { canceled_by_user() } else { timed_out() })
    }

    pub(crate) fn notice(&mut self, notice: Error) {
        self.notices.push(notice);
    }

    /// Notices since the last call, for the client.
    pub(crate) fn take_notices(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.notices)
    }

    /// Variables whose new value the client is to be told.
    pub(crate) fn take_changed_parameters(&mut self) -> Vec<(&'static str, String)> {
        let names = std::mem::take(&mut self.changed_parameters);
        let value = |name| self.vars.get(name).map(str::to_owned).unwrap_or_default();
        names.into_iter().map(|name| (name, value(name))).collect()
    }

    pub(crate) fn parameter_changed(&mut self, name: Option<&'static str>) {
        self.changed_parameters.extend(name);
    }

    pub(crate) fn status(&self) -> TransactionStatus {
        match self.transaction {
            Transaction::None | Transaction::Implicit(_) => TransactionStatus::Idle,
            Transaction::Explicit(_) => TransactionStatus::InTransaction,
            Transaction::Failed => TransactionStatus::Failed,
        }
    }

    pub(crate) fn plan_context(&self) -> PlanContext {
        PlanContext {
            database: self.vars.database().to_owned(),
            search_path: self.vars.search_path(),
            temporary_schema: Some(self.temporary_schema()),
            cluster: self.vars.cluster().to_owned(),
            user: self.user.clone(),
            interval_style: self.vars.interval_style(),
        }
    }

    /// The schema of what lives as long as this session.
    pub(crate) fn temporary_schema(&self) -> String {
        format!("{}{}", sql::names::TEMPORARY_SCHEMA_PREFIX, self.connection_id())
    }

    /// Plans a statement against the newest catalog.
    pub(crate) fn plan(&self, statement: &Statement, params: &mut Params) -> Result<Plan, Error> {
        let catalog = self.environment.catalog();
        let plan = planning::plan(statement, &self.plan_context(), &*catalog, params);
        // With a place, clients print that line of the statement.
        plan.map_err(|error| if statement.kind.holds_secret() { Error { position: None, ..error } } else { error })
    }

    /// Runs one statement to its response.
    ///
    /// Errors put an explicit transaction into its failed state. Cancel safety: dropped, the statement's effect is all or
    /// nothing, and which of the two is unknown.
    pub(crate) async fn execute(&mut self, statement: &Statement, params: Params) -> Result<Response, Error> {
        self.execute_with(statement, params, None).await
    }

    /// As [`Session::execute`], for a prepared statement: its plan is kept where it serves all values.
    pub(crate) async fn execute_with(
        &mut self,
        statement: &Statement,
        params: Params,
        generic: Option<&GenericSlot>,
    ) -> Result<Response, Error> {
        if !self.in_transaction() {
            self.statement_wall_ms = self.environment.tasks.clock().wall_ms();
        }
        if matches!(self.transaction, Transaction::Failed) && !matches!(statement.kind.name(), "COMMIT" | "ROLLBACK") {
            return Err(Error::new(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        let result = self.execute_within_limits(statement, params, generic).await;
        if result.is_err() {
            self.fail_transaction();
        }
        result
    }

    /// Applies `statement_timeout` and cancel requests.
    async fn execute_within_limits(
        &mut self,
        statement: &Statement,
        params: Params,
        generic: Option<&GenericSlot>,
    ) -> Result<Response, Error> {
        let tasks = self.environment.tasks.clone();
        let limit = self.vars.statement_timeout().filter(|_| !statement.kind.has_own_timeout());
        self.deadline = limit.map(|limit| tasks.clock().boot().saturating_add(limit));
        let mut cancellations = self.cancellations.clone();
        let work = std::pin::pin!(self.sequence(statement, params, generic));
        let canceled = std::pin::pin!(cancellations.changed());
        let interrupted = async {
            match limit {
                Some(limit) => match tasks.timeout(limit, canceled).await {
                    Ok(_) => canceled_by_user(),
                    Err(_) => timed_out(),
                },
                None => {
                    // The sender lives in this session's registration, so this waits for a request.
                    let _ = canceled.await;
                    canceled_by_user()
                }
            }
        };
        match select(work, std::pin::pin!(interrupted)).await {
            Either::Left((result, _)) => result,
            Either::Right((reason, _)) => Err(reason),
        }
    }

    // --- The transaction.

    pub(crate) fn in_transaction(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    fn in_explicit_block(&self) -> bool {
        matches!(self.transaction, Transaction::Explicit(_) | Transaction::Failed)
    }

    /// Starts the implicit transaction of several statements that came together, unless a block is open.
    pub(crate) fn begin_implicit(&mut self) {
        if matches!(self.transaction, Transaction::None) {
            self.transaction = Transaction::Implicit(Work::Nothing);
            self.statement_wall_ms = self.environment.tasks.clock().wall_ms();
        }
    }

    /// Commits an implicit transaction; a block stays open.
    pub(crate) async fn end_implicit(&mut self) -> Result<(), Error> {
        if !matches!(self.transaction, Transaction::Implicit(_)) {
            return Ok(());
        }
        self.commit_work().await
    }

    pub(crate) fn begin(&mut self) {
        match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::None => self.transaction = Transaction::Explicit(Work::Nothing),
            // BEGIN inside a query string makes what came before part of the block, as in PostgreSQL.
            Transaction::Implicit(work) => self.transaction = Transaction::Explicit(work),
            open => {
                self.transaction = open;
                self.notice(Error::warning("25001", "there is already a transaction in progress"));
            }
        }
    }

    /// COMMIT: returns the tag, which is ROLLBACK for a failed block.
    pub(crate) async fn commit(&mut self) -> Result<&'static str, Error> {
        match self.transaction {
            Transaction::Failed => {
                self.rollback();
                Ok("ROLLBACK")
            }
            Transaction::None => {
                self.notice(Error::warning("25P01", "there is no transaction in progress"));
                Ok("COMMIT")
            }
            Transaction::Implicit(_) | Transaction::Explicit(_) => self.commit_work().await.map(|()| "COMMIT"),
        }
    }

    async fn commit_work(&mut self) -> Result<(), Error> {
        let transaction = std::mem::replace(&mut self.transaction, Transaction::None);
        self.end_of_transaction();
        match transaction {
            Transaction::Implicit(Work::Writes { appends, validate, .. })
            | Transaction::Explicit(Work::Writes { appends, validate, .. }) => {
                self.write_validated(appends, validate).await
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn rollback(&mut self) {
        if matches!(self.transaction, Transaction::None) {
            self.notice(Error::warning("25P01", "there is no transaction in progress"));
        }
        self.transaction = Transaction::None;
        self.end_of_transaction();
    }

    fn end_of_transaction(&mut self) {
        self.vars.end_transaction();
        self.cursors.clear();
    }

    /// After an error: an implicit transaction is gone, a block waits for its end.
    pub(crate) fn fail_transaction(&mut self) {
        match self.transaction {
            Transaction::None => {}
            Transaction::Implicit(_) => {
                self.transaction = Transaction::None;
                self.end_of_transaction();
            }
            Transaction::Explicit(_) | Transaction::Failed => self.transaction = Transaction::Failed,
        }
    }

    /// Refuses what cannot be part of a block, and commits an implicit transaction's writes before it.
    pub(crate) async fn outside_transaction(&mut self, statement: &str) -> Result<(), Error> {
        if self.in_explicit_block() {
            return Err(Error::new("25001", format!("{statement} cannot run inside a transaction block")));
        }
        self.flush_implicit().await
    }

    /// Commits what an implicit transaction has written so far, so that what follows sees it.
    pub(crate) async fn flush_implicit(&mut self) -> Result<(), Error> {
        if let Transaction::Implicit(work) = &mut self.transaction
            && let Work::Writes { appends, validate, .. } = std::mem::replace(work, Work::Nothing)
        {
            self.write_validated(appends, validate).await?;
        }
        Ok(())
    }

    /// Keeps rows back for the commit, if a transaction is open; otherwise hands them back.
    pub(crate) fn buffer_write(&mut self, appends: Appends) -> Result<Option<Appends>, Error> {
        let work = match &mut self.transaction {
            Transaction::None => return Ok(Some(appends)),
            Transaction::Failed => unreachable!("a failed transaction executes nothing"),
            Transaction::Implicit(work) | Transaction::Explicit(work) => work,
        };
        match work {
            Work::Reads { .. } => {
                return Err(Error::new("25001", "transaction in read-only mode")
                    .with_detail("a transaction block that has read cannot write")
                    .with_hint("Write outside of the block, or in a block of its own."));
            }
            Work::Nothing => *work = Work::Writes { appends: Appends::new(), bytes: 0, validate: None },
            Work::Writes { .. } => {}
        }
        let Work::Writes { appends: buffered, bytes, .. } = work else { unreachable!("made so above") };
        for (table, rows) in appends {
            *bytes += rows.iter().map(|(row, _)| row.len_bytes() + 32).sum::<usize>();
            buffered.entry(table).or_default().extend(rows);
        }
        if *bytes > BUFFERED_BYTES_MAX {
            return Err(Error::new("53200", "transaction writes more than 1 GiB").with_hint("Commit in smaller parts."));
        }
        Ok(None)
    }

    /// Keeps back the changes of a block's first statement, which rest on what `validate` names.
    pub(crate) fn buffer_validated_write(&mut self, appends: Appends, validate: Validate) -> Result<(), Error> {
        self.transaction = Transaction::Explicit(Work::Nothing);
        self.buffer_write(appends)?;
        if let Transaction::Explicit(Work::Writes { validate: kept, .. }) = &mut self.transaction {
            *kept = Some(validate);
        }
        Ok(())
    }

    /// How a statement that reads and then writes may run: true in a block, to be validated at its commit; false on its own.
    ///
    /// Errors: 25001 in a block that has read or written before, for only its first statement's read can be validated.
    pub(crate) async fn admits_read_then_write(&mut self, statement: &str) -> Result<bool, Error> {
        match &self.transaction {
            Transaction::Explicit(Work::Nothing) => Ok(true),
            Transaction::Explicit(_) => {
                let message = format!("{statement} cannot run in a transaction block that has read or written before");
                Err(Error::new("25001", message)
                    .with_hint("Make it the first statement of the block, or run it outside of one."))
            }
            _ => self.flush_implicit().await.map(|()| false),
        }
    }

    /// Refuses what a read-only transaction may not do. Errors: 25006.
    pub(crate) fn check_writable(&self, statement: &str) -> Result<(), Error> {
        match self.vars.is_read_only() {
            true => Err(Error::new("25006", format!("cannot execute {statement} in a read-only transaction"))),
            false => Ok(()),
        }
    }

    /// True once the transaction's reads or writes have begun, when its modes cannot change any more.
    pub(crate) fn has_begun_work(&self) -> bool {
        matches!(&self.transaction, Transaction::Explicit(work) if !matches!(work, Work::Nothing))
    }

    /// The time and holds of this block's reads, chosen at its first one; None outside a block.
    pub(crate) async fn transaction_read(
        &mut self,
        inputs: &[CollectionId],
    ) -> Result<Option<(Chosen, ReadHolds)>, Error> {
        self.flush_implicit().await?;
        match &self.transaction {
            Transaction::None | Transaction::Implicit(_) | Transaction::Failed => return Ok(None),
            Transaction::Explicit(Work::Writes { .. }) => {
                return Err(Error::new("25001", "transaction in write-only mode")
                    .with_detail("a transaction block that has written cannot read")
                    .with_hint("Read outside of the block, or in a block of its own."));
            }
            Transaction::Explicit(Work::Nothing) => self.begin_reads().await?,
            Transaction::Explicit(Work::Reads { .. }) => {}
        }
        let Transaction::Explicit(Work::Reads { chosen, holds }) = &self.transaction else {
            unreachable!("made so above")
        };
        let chosen = *chosen;
        if inputs.iter().all(|id| holds.since_of(*id).is_some()) {
            return Ok(Some((chosen, ReadHolds::clone(holds))));
        }
        // Made after the block began: readable if it still has the block's time.
        let holds = self.environment.controller.acquire_holds(inputs)?;
        if holds.since() > chosen.at {
            return Err(Error::new("40001", "an object was created after the transaction's reads began")
                .with_hint("Run the transaction again."));
        }
        Ok(Some((chosen, holds)))
    }

    /// Fixes the block's time, holding everything that can be read at it.
    async fn begin_reads(&mut self) -> Result<(), Error> {
        let readable = crate::objects::readable_collections(&self.environment.catalog());
        // What someone drops meanwhile is of no matter to a block that does not read it.
        let holds = self.environment.controller.acquire_holds_of_existing(&readable);
        let strict = self.vars.is_strict_serializable();
        let when = sql::plan::When::Immediately;
        let chosen = timestamp::choose(&self.environment, strict, &when, &readable, &holds).await?;
        self.transaction = Transaction::Explicit(Work::Reads { chosen, holds: Box::new(holds) });
        Ok(())
    }

    /// Refuses a further name when there are too many.
    pub(crate) fn admit_name(&self, existing: usize) -> Result<(), Error> {
        if existing < NAMED_MAX {
            return Ok(());
        }
        Err(Error::new("53200", format!("a session can have at most {NAMED_MAX} prepared statements and cursors")))
    }

    /// DISCARD ALL.
    pub(crate) fn discard_all(&mut self) {
        self.prepared.clear();
        self.cursors.clear();
        self.vars.reset_all();
    }
}

fn timed_out() -> Error {
    Error::new("57014", "canceling statement due to statement timeout")
}

fn canceled_by_user() -> Error {
    Error::new("57014", "canceling statement due to user request")
}
