//! One connection's loop: a message in, its answer out; one flush when the client waits for us.

use std::collections::BTreeMap;
use std::io;

use bytes::BytesMut;
use futures::future::{Either, select};
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus as WireStatus};
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::encode::{Format, RowEncoder, error_response};
use super::extended::Portal;
use super::reader::{Incoming, Messages};
use crate::error::Error;
use crate::session::{Rows, Session, TransactionStatus};

/// Bytes that may wait to be written; beyond it the producer waits for the client.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Rows taken from a result at a time.
pub(super) const ROW_BATCH: usize = 256;

/// Why a connection ends.
pub(super) enum End {
    /// The client said goodbye or has gone.
    Client,
    /// We tell the client why.
    Fatal(Error),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Client
    }
}

/// What a step of the loop may end with: an error to report, or the connection itself.
pub(super) enum Stop {
    Error(Error),
    End(End),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        if error.is_fatal() { Stop::End(End::Fatal(error)) } else { Stop::Error(error) }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::End(error.into())
    }
}

pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) messages: Messages,
    writer: OwnedWriteHalf,
    out: BytesMut,
    pub(super) portals: BTreeMap<String, Portal>,
    /// An extended-protocol message failed: everything up to Sync is skipped.
    pub(super) skipping: bool,
}

impl Connection {
    pub(super) fn new(session: Session, stream: TcpStream) -> Connection {
        let (reader, writer) = stream.into_split();
        let messages = Messages::read(&session.environment.tasks, reader);
        Connection { session, messages, writer, out: BytesMut::new(), portals: BTreeMap::new(), skipping: false }
    }

    /// Serves the client until one of us ends it.
    pub(super) async fn run(mut self) {
        if let Err(End::Fatal(error)) = self.serve().await {
            self.put(&error_response(&error));
            // The client may be gone already; there is nobody else to tell.
            let _ = self.flush().await;
            let _ = self.writer.shutdown().await;
        }
        self.session.end().await;
    }

    async fn serve(&mut self) -> Result<(), End> {
        self.ready().await?;
        loop {
            let Some(incoming) = self.next_message().await? else { return Ok(()) };
            let message = match incoming {
                Incoming::Message(message) => message,
                Incoming::Malformed { kind, error } => {
                    self.malformed(kind, error).await?;
                    continue;
                }
                Incoming::Broken(error) => return Err(End::Fatal(error)),
            };
            self.session.begin_message();
            match message {
                PgWireFrontendMessage::Terminate(_) => return Ok(()),
                PgWireFrontendMessage::Query(query) => {
                    self.skipping = false;
                    self.simple_query(&query.query).await?;
                }
                PgWireFrontendMessage::Sync(_) => self.sync().await?,
                PgWireFrontendMessage::Flush(_) => self.flush().await?,
                // What is left of a COPY that has failed.
                PgWireFrontendMessage::CopyData(_)
                | PgWireFrontendMessage::CopyDone(_)
                | PgWireFrontendMessage::CopyFail(_) => {}
                message if message.is_extended_query() => self.extended(message).await?,
                _ => return Err(End::Fatal(Error::fatal("08P01", "unexpected message type"))),
            }
        }
    }

    /// Waits for the client, but not for ever inside a transaction block.
    async fn next_message(&mut self) -> Result<Option<Incoming>, End> {
        let tasks = self.session.environment.tasks.clone();
        let limit = match self.session.status() {
            TransactionStatus::Idle => None,
            _ => self.session.vars.idle_in_transaction_timeout(),
        };
        let shutdown = self.session.environment.shutdown.clone();
        let next = async {
            match limit {
                None => Ok(self.messages.next().await),
                Some(limit) => tasks.timeout(limit, self.messages.next()).await,
            }
        };
        match select(std::pin::pin!(next), std::pin::pin!(shutdown.triggered())).await {
            Either::Left((Ok(incoming), _)) => Ok(incoming),
            Either::Left((Err(_), _)) => {
                let message = "terminating connection due to idle-in-transaction timeout";
                Err(End::Fatal(Error::fatal("25P03", message)))
            }
            Either::Right(_) => Err(End::Fatal(terminated())),
        }
    }

    /// A message that could not be decoded fails like one that could not be executed.
    async fn malformed(&mut self, kind: u8, error: Error) -> Result<(), End> {
        if b"dcf".contains(&kind) {
            return Ok(());
        }
        if b"QF".contains(&kind) {
            self.session.fail_transaction();
            self.put(&error_response(&error));
            return self.ready().await;
        }
        if !self.skipping {
            self.report(&error);
            self.skipping = true;
        }
        Ok(())
    }

    // --- Writing.

    pub(super) fn put(&mut self, message: &PgWireBackendMessage) {
        if let Err(error) = encode(message, &mut self.out) {
            // Only text of the client's own, a message or a name, can be too long for its frame.
            let error = Error::new("54000", format!("a message to the client cannot be encoded: {error}"));
            let _ = encode(&error_response(&error), &mut self.out);
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if !self.out.is_empty() {
            self.writer.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits for the client if too much waits for it.
    pub(super) async fn relieve(&mut self) -> Result<(), End> {
        if self.out.len() >= WRITE_BUFFER_BYTES { self.flush().await } else { Ok(()) }
    }

    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Reports an error of a statement: the transaction fails with it.
    pub(super) fn report(&mut self, error: &Error) {
        self.session.fail_transaction();
        self.put_notices();
        self.put(&error_response(error));
    }

    pub(super) fn put_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.put(&error_response(&notice));
        }
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.put_notices();
        for (name, value) in self.session.take_changed_parameters() {
            self.put(&PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value)));
        }
        self.put(&PgWireBackendMessage::CommandComplete(CommandComplete::new(tag.to_owned())));
    }

    /// Tells the client that it is its turn.
    pub(super) async fn ready(&mut self) -> Result<(), End> {
        let status = match self.session.status() {
            TransactionStatus::Idle => WireStatus::Idle,
            TransactionStatus::InTransaction => WireStatus::Transaction,
            TransactionStatus::Failed => WireStatus::Error,
        };
        if status == WireStatus::Idle {
            self.portals.clear();
        }
        self.put_notices();
        self.put(&PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status)));
        self.flush().await
    }

    /// Runs `work` unless the client goes away or the server shuts down first.
    pub(super) async fn unless_gone<T>(
        messages: &Messages,
        session: &mut Session,
        work: impl AsyncFnOnce(&mut Session) -> T,
    ) -> Result<T, End> {
        let gone = messages.gone();
        let shutdown = session.environment.shutdown.clone();
        let ended = select(
            Box::pin(async move { gone.triggered().await }),
            Box::pin(async move { shutdown.triggered().await }),
        );
        match select(std::pin::pin!(work(session)), ended).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right((Either::Left(_), _)) => Err(End::Client),
            Either::Right((Either::Right(_), _)) => Err(End::Fatal(terminated())),
        }
    }

    /// The next rows of a result, unless the user cancels, the client goes away or the server stops.
    ///
    /// `wait`: what is in the buffer is sent before waiting, as a subscription may have nothing to say for long.
    pub(super) async fn next_rows(&mut self, rows: &mut Rows, most: usize) -> Result<Option<Vec<repr::Row>>, Stop> {
        if matches!(rows, Rows::Subscribe(_)) {
            self.flush().await.map_err(Stop::End)?;
        }
        let next = Self::unless_gone(&self.messages, &mut self.session, async |session| {
            session.unless_canceled(rows.next(most)).await?.transpose()
        });
        let batch = next.await.map_err(Stop::End)?;
        Ok(batch?)
    }

    /// Sends all rows of a result; returns how many they were.
    pub(super) async fn send_rows(&mut self, mut rows: Rows, encoder: &mut RowEncoder) -> Result<u64, Stop> {
        let mut count = 0;
        while let Some(batch) = self.next_rows(&mut rows, ROW_BATCH).await? {
            for row in &batch {
                encoder.encode(row, &mut self.out)?;
            }
            count += batch.len() as u64;
            self.relieve().await.map_err(Stop::End)?;
        }
        Ok(count)
    }

    pub(super) fn text_formats(arity: usize) -> Vec<Format> {
        vec![Format::Text; arity]
    }
}

fn encode(message: &PgWireBackendMessage, out: &mut BytesMut) -> Result<(), pgwire::error::PgWireError> {
    message.encode(out)
}

pub(super) fn terminated() -> Error {
    Error::fatal("57P01", "terminating connection due to administrator command")
}

/// The tag of a finished result: `SELECT 3`, but `SHOW`, `EXPLAIN` and `SUBSCRIBE` count too, as they return rows.
pub(super) fn rows_tag(verb: &str, count: u64) -> String {
    match verb {
        "SHOW" | "EXPLAIN" => verb.to_owned(),
        _ => format!("{verb} {count}"),
    }
}
