//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use std::collections::VecDeque;
use std::sync::Arc;

use catalog::Catalog;
use expr::Scalar;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use repr::{Arena, Datum, RelationDesc, Row, ScalarType, pg_type};
use sql::plan::Params;
use sql::statement::Statement;

use super::connection::{Connection, End, ROW_BATCH, Stop, rows_tag};
use super::encode::{Format, RowEncoder, formats, row_description};
use super::reader::Incoming;
use crate::error::Error;
use crate::object_names::ObjectNames;
use crate::sequence::bind::check_result;
use crate::sequence::generic::GenericSlot;
use crate::session::{PreparedStatement, Response, Rows};

/// A statement with its parameters, ready to run or running.
pub(super) struct Portal {
    statement: Option<Arc<Statement>>,
    params: Params,
    generic: GenericSlot,
    desc: Option<RelationDesc>,
    formats: Vec<Format>,
    running: Option<Running>,
}

/// A result that has been sent in part.
struct Running {
    rows: Rows,
    pending: VecDeque<Row>,
    encoder: RowEncoder,
    verb: &'static str,
    finished: bool,
}

impl Connection {
    /// Handles one message; an error makes everything up to Sync be skipped.
    pub(super) async fn extended(&mut self, message: PgWireFrontendMessage) -> Result<(), End> {
        if self.skipping {
            return Ok(());
        }
        let outcome = match message {
            PgWireFrontendMessage::Parse(parse) => self.parse(parse).map_err(Stop::from),
            PgWireFrontendMessage::Bind(bind) => self.bind(bind).map_err(Stop::from),
            PgWireFrontendMessage::Describe(describe) => self.describe(&describe).map_err(Stop::from),
            PgWireFrontendMessage::Execute(execute) => self.execute(execute).await,
            PgWireFrontendMessage::Close(close) => self.close(&close).map_err(Stop::from),
            _ => Err(Stop::Error(Error::new("08P01", "unexpected message type"))),
        };
        match outcome {
            Ok(()) => self.relieve().await,
            Err(Stop::Error(error)) => {
                self.report(&error);
                self.skipping = true;
                Ok(())
            }
            Err(Stop::End(end)) => Err(end),
        }
    }

    pub(super) async fn sync(&mut self) -> Result<(), End> {
        self.skipping = false;
        let ended = Self::unless_gone(&self.messages, &mut self.session, async |session| session.end_implicit().await);
        if let Err(error) = ended.await? {
            self.report(&error);
        }
        self.ready().await
    }

    fn parse(&mut self, parse: Parse) -> Result<(), Error> {
        let Parse { name, query, type_oids, .. } = parse;
        let name = name.unwrap_or_default();
        if !name.is_empty() && self.session.prepared.contains_key(&name) {
            return Err(Error::new("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        self.session.admit_name(self.session.prepared.len())?;
        let mut statements = sql::parse(&query)?;
        if statements.len() > 1 {
            return Err(Error::new("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let types = type_oids
            .iter()
            .map(|oid| parameter_type(&self.session.environment.catalog(), *oid))
            .collect::<Result<_, _>>()?;
        let prepared = match statements.pop() {
            None => {
                PreparedStatement { statement: None, types: Vec::new(), desc: None, generic: GenericSlot::default() }
            }
            Some(statement) => self.session.describe(&statement, &mut Params { types, values: None })?,
        };
        self.session.prepared.insert(name, prepared);
        self.put(&PgWireBackendMessage::ParseComplete(ParseComplete::new()));
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<&PreparedStatement, Error> {
        let statement = self.session.prepared.get(name);
        statement.ok_or_else(|| match name {
            "" => Error::new("26000", "unnamed prepared statement does not exist"),
            name => Error::new("26000", format!("prepared statement \"{name}\" does not exist")),
        })
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Error> {
        let Bind {
            portal_name, statement_name, parameter_format_codes, parameters, result_column_format_codes, ..
        } = bind;
        let name = statement_name.unwrap_or_default();
        let prepared = self.statement(&name)?.clone();
        if parameters.len() != prepared.types.len() {
            let (given, wanted) = (parameters.len(), prepared.types.len());
            return Err(Error::new(
                "08P01",
                format!(
                    "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}"
                ),
            ));
        }
        let parameter_formats = formats(&parameter_format_codes, parameters.len(), "parameter")?;
        let mut values = Vec::with_capacity(parameters.len());
        for ((value, typ), format) in parameters.iter().zip(&prepared.types).zip(parameter_formats) {
            let value = parameter(value.as_deref(), typ, format);
            let holds_secret = || prepared.statement.as_ref().is_some_and(|statement| statement.kind.holds_secret());
            values.push(value.map_err(|error| if holds_secret() { error.of_secret() } else { error })?);
        }
        let columns = prepared.desc.as_ref().map_or(0, RelationDesc::arity);
        // A statement without result takes any result formats: there is nothing they would be for.
        let result_formats =
            if columns == 0 { Vec::new() } else { formats(&result_column_format_codes, columns, "result")? };
        let types = prepared.types.into_iter().map(Some).collect();
        let portal = Portal {
            statement: prepared.statement,
            params: Params { types, values: Some(values) },
            generic: prepared.generic,
            desc: prepared.desc,
            formats: result_formats,
            running: None,
        };
        let portal_name = portal_name.unwrap_or_default();
        if !portal_name.is_empty() && self.portals.contains_key(&portal_name) {
            return Err(Error::new("42P03", format!("cursor \"{portal_name}\" already exists")));
        }
        self.session.admit_name(self.portals.len())?;
        self.portals.insert(portal_name, portal);
        self.put(&PgWireBackendMessage::BindComplete(BindComplete::new()));
        Ok(())
    }

    fn describe(&mut self, describe: &Describe) -> Result<(), Error> {
        let name = describe.name.as_deref().unwrap_or_default();
        let (desc, formats) = match describe.target_type {
            b'S' => {
                let prepared = self.statement(name)?.clone();
                let oids = prepared.types.iter().map(pg_type::oid).collect();
                let types = PgWireBackendMessage::ParameterDescription(ParameterDescription::new(oids));
                self.put(&types);
                let arity = prepared.desc.as_ref().map_or(0, RelationDesc::arity);
                (prepared.desc, Self::text_formats(arity))
            }
            b'P' => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.desc.clone(), portal.formats.clone())
            }
            other => return Err(Error::new("08P01", format!("invalid DESCRIBE message subtype {other}"))),
        };
        let message = match desc {
            Some(desc) => row_description(&desc, &formats)?,
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        self.put(&message);
        Ok(())
    }

    fn close(&mut self, close: &Close) -> Result<(), Error> {
        let name = close.name.as_deref().unwrap_or_default();
        match close.target_type {
            b'S' => drop(self.session.prepared.remove(name)),
            b'P' => drop(self.portals.remove(name)),
            other => return Err(Error::new("08P01", format!("invalid CLOSE message subtype {other}"))),
        }
        self.put(&PgWireBackendMessage::CloseComplete(CloseComplete::new()));
        Ok(())
    }

    async fn execute(&mut self, execute: Execute) -> Result<(), Stop> {
        let name = execute.name.unwrap_or_default();
        let Some(mut portal) = self.portals.remove(&name) else { return Err(no_portal(&name).into()) };
        let most = usize::try_from(execute.max_rows).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
        let outcome = self.execute_portal(&mut portal, most).await;
        self.portals.insert(name, portal);
        outcome
    }

    async fn execute_portal(&mut self, portal: &mut Portal, most: usize) -> Result<(), Stop> {
        if portal.running.is_none() {
            let Some(statement) = portal.statement.clone() else {
                self.put(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
                return Ok(());
            };
            // With Sync next the statement is its own transaction and is durable before its tag is sent; a longer
            // pipeline is one transaction, committed at its Sync.
            let alone = matches!(self.messages.peek().await, Some(Incoming::Message(PgWireFrontendMessage::Sync(_))));
            if !alone {
                self.session.begin_implicit();
            }
            let (params, generic) = (portal.params.clone(), portal.generic.clone());
            let response = Self::unless_gone(&self.messages, &mut self.session, async |session| {
                session.execute_with(&statement, params, Some(&generic)).await
            });
            match response.await.map_err(Stop::End)?? {
                Response::Rows { desc, rows, verb } => {
                    check_result(&statement, &desc, portal.desc.as_ref())?;
                    let names = ObjectNames::of(&self.session, &desc);
                    portal.running = Some(Running::new(&desc, rows, verb, &portal.formats, names)?);
                }
                other => return self.finish_rowless(other).await,
            }
        }
        let running = portal.running.as_mut().expect("started above");
        self.send_some(running, most).await
    }

    async fn finish_rowless(&mut self, response: Response) -> Result<(), Stop> {
        let tag = match response {
            Response::Complete { tag } => tag,
            Response::Empty => {
                self.put(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
                return Ok(());
            }
            Response::CopyIn(plan) => self.copy_in(plan).await?,
            Response::CopyOut { desc, rows, options } => self.copy_out(&desc, rows, &options).await?,
            Response::Rows { .. } => unreachable!("rows are sent by the portal"),
        };
        self.complete(&tag);
        Ok(())
    }

    /// Sends up to `most` rows; then the tag, or that there may be more.
    async fn send_some(&mut self, running: &mut Running, most: usize) -> Result<(), Stop> {
        let mut sent = 0;
        while sent < most {
            if running.pending.is_empty() {
                if running.finished {
                    break;
                }
                let wanted = ROW_BATCH.min(most - sent);
                match self.next_rows(&mut running.rows, wanted).await? {
                    Some(rows) => running.pending.extend(rows),
                    None => running.finished = true,
                }
                continue;
            }
            while sent < most
                && let Some(row) = running.pending.pop_front()
            {
                running.encoder.encode(&row, self.buffer())?;
                sent += 1;
            }
            self.relieve().await.map_err(Stop::End)?;
        }
        // Exactly `most` rows may have been the last: the client asks again and gets an empty rest, as in PostgreSQL.
        if sent == most && !(running.finished && running.pending.is_empty()) {
            self.put(&PgWireBackendMessage::PortalSuspended(PortalSuspended::new()));
        } else {
            self.complete(&rows_tag(running.verb, sent as u64));
        }
        Ok(())
    }
}

impl Running {
    fn new(
        desc: &RelationDesc,
        rows: Rows,
        verb: &'static str,
        formats: &[Format],
        names: ObjectNames,
    ) -> Result<Running, Error> {
        if formats.len() != desc.arity() {
            return Err(Error::new("0A000", "cached plan must not change result type"));
        }
        let encoder = RowEncoder::new(desc, formats.to_vec(), names);
        Ok(Running { rows, pending: VecDeque::new(), encoder, verb, finished: false })
    }
}

fn no_portal(name: &str) -> Error {
    Error::new("34000", format!("portal \"{name}\" does not exist"))
}

/// The declared type of a parameter; oid 0 leaves it to inference.
fn parameter_type(catalog: &Catalog, oid: u32) -> Result<Option<ScalarType>, Error> {
    const UNKNOWN: u32 = 705;
    if oid == 0 || oid == UNKNOWN {
        return Ok(None);
    }
    let typ = pg_type::from_oid(oid).or_else(|| catalog.enum_by_oid(oid));
    typ.map(Some).ok_or_else(|| Error::new("42704", format!("type with OID {oid} does not exist")))
}

fn parameter(value: Option<&[u8]>, typ: &ScalarType, format: Format) -> Result<Scalar, Error> {
    let arena = Arena::new();
    let datum = match (value, format) {
        (None, _) => Datum::Null,
        (Some(bytes), Format::Text) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Error::new("22021", "invalid byte sequence for encoding \"UTF8\""))?;
            repr::text::parse(text, typ, &arena)?
        }
        (Some(bytes), Format::Binary) => repr::binary::decode(bytes, typ, &arena)?,
    };
    Ok(Scalar::literal(datum, typ.clone()))
}
