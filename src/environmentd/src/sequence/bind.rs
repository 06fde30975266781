//! PREPARE, EXECUTE and DEALLOCATE.

use std::sync::Arc;

use expr::Scalar;
use expr::cast::{CastContext, cast};
use repr::{RelationDesc, ScalarType};
use sql::plan::Params;
use sql::statement::{Statement, StatementKind};

use super::generic::GenericSlot;
use super::{complete, prepare};
use crate::error::Error;
use crate::planning;
use crate::session::{PreparedStatement, Response, Session};

/// Errors: 0A000 if a prepared statement yields other columns than clients were told.
pub(crate) fn check_result(
    statement: &Statement,
    now: &RelationDesc,
    told: Option<&RelationDesc>,
) -> Result<(), Error> {
    use StatementKind as Kind;
    let reads_tables = matches!(*statement.kind, Kind::Select(_) | Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_));
    let types = |desc: &RelationDesc| desc.typ.columns.iter().map(|typ| typ.scalar.clone()).collect::<Vec<_>>();
    match told {
        Some(told) if reads_tables && (now.names != told.names || types(now) != types(told)) => {
            Err(Error::new("0A000", "cached plan must not change result type"))
        }
        _ => Ok(()),
    }
}

impl Session {
    /// What a statement takes and yields, by the newest catalog.
    pub(crate) fn describe(&self, statement: &Statement, params: &mut Params) -> Result<PreparedStatement, Error> {
        let catalog = self.environment.catalog();
        let description = planning::describe(statement, &self.plan_context(), &*catalog, params)?;
        let desc = match description.desc {
            Some(desc) => Some(desc),
            None => self.describe_session_statement(statement, params)?,
        };
        Ok(PreparedStatement {
            statement: Some(Arc::new(statement.clone())),
            types: description.params,
            desc,
            generic: GenericSlot::default(),
        })
    }

    /// FETCH and EXECUTE yield what their cursor or statement yields, which only the session knows.
    fn describe_session_statement(
        &self,
        statement: &Statement,
        params: &mut Params,
    ) -> Result<Option<RelationDesc>, Error> {
        if !matches!(statement.kind.as_ref(), StatementKind::Fetch(_) | StatementKind::Execute(_)) {
            return Ok(None);
        }
        Ok(match self.plan(statement, params)? {
            sql::Plan::Fetch { cursor, .. } => self.cursors.get(&cursor).map(|cursor| cursor.desc.clone()),
            sql::Plan::Execute { name, .. } => self.prepared.get(&name).and_then(|prepared| prepared.desc.clone()),
            _ => None,
        })
    }

    pub(super) fn prepare_statement(
        &mut self,
        name: String,
        types: Vec<Option<ScalarType>>,
        statement: Statement,
    ) -> Result<Response, Error> {
        if self.prepared.contains_key(&name) {
            return Err(Error::new("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        self.admit_name(self.prepared.len())?;
        let prepared = self.describe(&statement, &mut Params { types, values: None })?;
        self.prepared.insert(name, prepared);
        complete("PREPARE")
    }

    pub(super) async fn execute_prepared(&mut self, name: &str, args: Vec<Scalar>) -> Result<Response, Error> {
        let prepared = self.prepared.get(name).cloned();
        let prepared =
            prepared.ok_or_else(|| Error::new("26000", format!("prepared statement \"{name}\" does not exist")))?;
        if args.len() != prepared.types.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {} parameters but got {}.", prepared.types.len(), args.len());
            return Err(Error::new("42601", message).with_detail(detail));
        }
        let mut values = Vec::with_capacity(args.len());
        for (mut arg, typ) in args.into_iter().zip(&prepared.types) {
            prepare::bind_functions_in(self, &mut arg)?;
            let from = arg.typ(&[]).scalar;
            // A quoted literal is of no type yet: it becomes what the parameter is.
            let is_quoted = from == ScalarType::Text && arg.as_literal().is_some();
            let context = if is_quoted { CastContext::Explicit } else { CastContext::Assignment };
            let mut value = cast(arg, &from, typ, context).ok_or_else(|| {
                Error::new(
                    "42804",
                    format!("parameter of type {from:?} cannot be coerced to the expected type {typ:?}"),
                )
            })?;
            value.reduce(&[]);
            if let Some(Err(error)) = value.as_literal() {
                return Err(error.clone().into());
            }
            values.push(value);
        }
        let Some(statement) = prepared.statement else { return Ok(Response::Empty) };
        let types = prepared.types.into_iter().map(Some).collect();
        let params = Params { types, values: Some(values) };
        let response = Box::pin(self.sequence(&statement, params, Some(&prepared.generic))).await?;
        if let Response::Rows { desc, .. } = &response {
            check_result(&statement, desc, prepared.desc.as_ref())?;
        }
        Ok(response)
    }

    pub(super) fn deallocate(&mut self, name: Option<String>) -> Result<Response, Error> {
        match name {
            None => {
                self.prepared.clear();
                complete("DEALLOCATE ALL")
            }
            Some(name) if self.prepared.remove(&name).is_some() => complete("DEALLOCATE"),
            Some(name) => Err(Error::new("26000", format!("prepared statement \"{name}\" does not exist"))),
        }
    }
}
