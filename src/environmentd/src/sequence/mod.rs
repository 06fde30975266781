//! The life of each kind of statement, one file each.

mod alter_cluster;
pub(crate) mod bind;
pub(crate) mod copy;
mod cursor;
mod ddl;
mod explain;
pub(crate) mod generic;
pub(crate) mod prepare;
pub(crate) mod query;
mod secret;
mod sleep;
pub(crate) mod subscribe;
pub(crate) mod temporary;
pub(crate) mod timestamp;
mod write;

use repr::{Datum, RelationDesc, Row, ScalarType};
use sql::Plan;
use sql::plan::{CopyToPlan, CopyToSource, Params, TransactionMode};
use sql::statement::{Statement, StatementKind};

use self::generic::GenericSlot;
use crate::error::Error;
use crate::session::{Response, Rows, Session};
use crate::vars::Vars;

fn complete(tag: impl Into<String>) -> Result<Response, Error> {
    Ok(Response::Complete { tag: tag.into() })
}

/// A COMMIT, for one, cannot: it has let go of what it was to commit.
fn can_be_planned_again(kind: &StatementKind) -> bool {
    use StatementKind::{Delete, Insert, Select, Truncate, Update};
    matches!(kind, Select(_) | Insert(_) | Update(_) | Delete(_) | Truncate(_))
}

impl Session {
    /// From a statement to its response. A query or a change of rows below which the catalog changes, such as by the drop of
    /// the index that it was to read, is planned again.
    pub(crate) async fn sequence(
        &mut self,
        statement: &Statement,
        params: Params,
        generic: Option<&GenericSlot>,
    ) -> Result<Response, Error> {
        loop {
            let planned_on = self.environment.catalog();
            match self.plan_and_run(statement, &params, generic).await {
                Err(error)
                    if error.plan_is_stale
                        && can_be_planned_again(statement.kind.as_ref())
                        && self.environment.catalog().version() != planned_on.version() => {}
                outcome => return outcome,
            }
        }
    }

    async fn plan_and_run(
        &mut self,
        statement: &Statement,
        params: &Params,
        generic: Option<&GenericSlot>,
    ) -> Result<Response, Error> {
        if let Some(slot) = generic
            && let Some(response) = self.execute_generic(slot, statement, params).await?
        {
            return Ok(response);
        }
        let mut params = params.clone();
        let plan = self.plan(statement, &mut params)?;
        if params.values.is_none() && !params.types.is_empty() {
            // Nobody can bind them any more: planning only had to take them for NULLs.
            return Err(Error::new("42P02", format!("there is no parameter ${}", params.types.len())));
        }
        match plan {
            Plan::Select(plan) => {
                let desc = plan.desc.clone();
                let rows = self.select(plan).await?;
                Ok(Response::Rows { desc, rows: Rows::ready(rows), verb: "SELECT" })
            }
            Plan::Subscribe(plan) => {
                let (desc, rows) = self.subscribe(plan).await?;
                Ok(Response::Rows { desc, rows, verb: "SUBSCRIBE" })
            }
            Plan::Explain(plan) => self.explain(plan).await,
            Plan::Insert(plan) => {
                self.check_writable("INSERT")?;
                self.insert(plan).await
            }
            Plan::ReadThenWrite(plan) => self.read_then_write(&[plan]).await,
            Plan::Truncate(plans) => self.read_then_write(&plans).await,
            Plan::CopyFrom(plan) => {
                self.check_writable("COPY FROM")?;
                Ok(Response::CopyIn(plan))
            }
            Plan::CopyTo(plan) => self.copy_to(plan).await,
            Plan::AddColumns(_)
            | Plan::Rename(_)
            | Plan::CreateDatabase { .. }
            | Plan::CreateSchema { .. }
            | Plan::CreateTable(_)
            | Plan::CreateType(_)
            | Plan::CreateView(_)
            | Plan::CreateMaterializedView(_)
            | Plan::CreateIndex(_)
            | Plan::CreateSource(_)
            | Plan::CreateSecret(_)
            | Plan::AlterSecret(_)
            | Plan::CreateCluster(_)
            | Plan::AlterCluster(_)
            | Plan::CreateReplica { .. }
            | Plan::Drop(_) => self.ddl(statement, params, plan).await,
            Plan::NoOp { tag, notice } => {
                if let Some(notice) = notice {
                    self.notice(notice.into());
                }
                complete(tag)
            }
            other => self.session_statement(other).await,
        }
    }

    /// Statements about the session itself.
    async fn session_statement(&mut self, plan: Plan) -> Result<Response, Error> {
        match plan {
            Plan::SetVariable { name, values, local } => self.set_variable(&name, &values, local),
            Plan::ResetVariable { tag, name } => {
                let changed = self.vars.reset(&name)?;
                self.parameter_changed(changed);
                complete(tag)
            }
            Plan::ResetAll => {
                self.vars.reset_all();
                complete("RESET")
            }
            Plan::ShowVariable { name } => self.show_variable(&name),
            Plan::ShowAllVariables => self.show_all_variables(),
            Plan::Discard { all } => {
                let tag = if all { "DISCARD ALL" } else { "DISCARD TEMP" };
                self.outside_transaction(tag).await?;
                if all {
                    self.discard_all();
                }
                self.drop_temporary().await?;
                complete(tag)
            }
            Plan::Begin { tag, modes } => {
                self.begin();
                self.set_modes(&modes, false)?;
                complete(tag)
            }
            Plan::SetTransaction { modes, session } => {
                if session || self.in_transaction() {
                    self.set_modes(&modes, session)?;
                } else {
                    self.notice(Error::warning("25P01", "SET TRANSACTION can only be used in transaction blocks"));
                }
                complete("SET")
            }
            Plan::Commit => {
                let tag = self.commit().await?;
                complete(tag)
            }
            Plan::Rollback => {
                self.rollback();
                complete("ROLLBACK")
            }
            Plan::Prepare { name, types, statement } => self.prepare_statement(name, types, *statement),
            Plan::Execute { name, params } => self.execute_prepared(&name, params).await,
            Plan::Deallocate { name } => self.deallocate(name),
            Plan::Declare { name, statement } => self.declare(name, &statement).await,
            Plan::Fetch { cursor, count, timeout_ms } => self.fetch(&cursor, count, timeout_ms).await,
            Plan::Close { cursor } => self.close(cursor),
            other => unreachable!("not a statement about the session: {other:?}"),
        }
    }

    async fn copy_to(&mut self, plan: CopyToPlan) -> Result<Response, Error> {
        let CopyToPlan { source, options } = plan;
        match source {
            CopyToSource::Select(select) => {
                let desc = select.desc.clone();
                let rows = Rows::ready(self.select(select).await?);
                Ok(Response::CopyOut { desc, rows, options })
            }
            CopyToSource::Subscribe(plan) => {
                let (desc, rows) = self.subscribe(plan).await?;
                Ok(Response::CopyOut { desc, rows, options })
            }
        }
    }

    fn set_variable(&mut self, name: &str, values: &[String], local: bool) -> Result<Response, Error> {
        if local && !self.in_transaction() {
            self.notice(Error::warning("25P01", "SET LOCAL can only be used in transaction blocks"));
            return complete("SET");
        }
        let value = values.join(", ");
        // The mode of one transaction: without a block it is over at once.
        let of_transaction = name.eq_ignore_ascii_case("transaction_read_only");
        let changed = self.vars.set(name, &value, local || of_transaction)?;
        if of_transaction && !self.in_transaction() {
            self.vars.end_transaction();
        }
        self.parameter_changed(changed);
        self.warn_of_missing_object(name, &value);
        complete("SET")
    }

    /// SET of something that does not exist is allowed, as it may come later; the user is told.
    fn warn_of_missing_object(&mut self, name: &str, value: &str) {
        use sql::CatalogView;
        let catalog = self.environment.catalog();
        let missing = match name.to_ascii_lowercase().as_str() {
            "cluster" => catalog.cluster(value).is_none(),
            "database" => !catalog.databases().iter().any(|database| database == value),
            _ => false,
        };
        if missing {
            self.notice(Error::notice(format!("{name} \"{value}\" does not exist")));
        }
    }

    fn set_modes(&mut self, modes: &[TransactionMode], session: bool) -> Result<(), Error> {
        let begun = !session && self.has_begun_work();
        let too_late = |what: &str| Err(Error::new("25001", format!("{what} before any query")));
        for mode in modes {
            let (name, value) = match mode {
                TransactionMode::Isolation(_) if begun => {
                    return too_late("SET TRANSACTION ISOLATION LEVEL must be called");
                }
                TransactionMode::ReadWrite if begun && self.vars.is_read_only() => {
                    return too_late("transaction read-write mode must be set");
                }
                TransactionMode::Isolation(level) => ("transaction_isolation", level.as_str()),
                TransactionMode::ReadOnly => ("transaction_read_only", "on"),
                TransactionMode::ReadWrite => ("transaction_read_only", "off"),
            };
            let name = if session { format!("default_{name}") } else { name.to_owned() };
            self.vars.set(&name, value, !session)?;
        }
        Ok(())
    }

    fn show_variable(&mut self, name: &str) -> Result<Response, Error> {
        let value = self.vars.get(name)?;
        let row = Row::pack([Datum::Text(value)]);
        let desc = RelationDesc::new([(Vars::canonical_name(name)?.to_owned(), ScalarType::Text.not_null())]);
        Ok(Response::Rows { desc, rows: Rows::ready(vec![row]), verb: "SHOW" })
    }

    fn show_all_variables(&mut self) -> Result<Response, Error> {
        let rows = self.vars.all();
        let rows =
            rows.map(|(name, value, about)| Row::pack([Datum::Text(name), Datum::Text(value), Datum::Text(about)]));
        let rows = Rows::ready(rows.collect());
        let column = |name: &str| (name.to_owned(), ScalarType::Text.not_null());
        let desc = RelationDesc::new([column("name"), column("setting"), column("description")]);
        Ok(Response::Rows { desc, rows, verb: "SHOW" })
    }
}
