//! COPY over the wire.

use bytes::Bytes;
use futures::future::{Either, select};
use pgwire::messages::copy::{CopyData, CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use repr::RelationDesc;
use sql::plan::{CopyFormat, CopyFromPlan, CopyOptions};

use super::connection::{Connection, End, ROW_BATCH, Stop, terminated};
use super::reader::Incoming;
use crate::error::Error;
use crate::object_names::ObjectNames;
use crate::sequence::copy::{write_header, write_row};
use crate::session::Rows;

impl Connection {
    /// Receives the data of a COPY FROM STDIN and commits it; returns the tag.
    pub(super) async fn copy_in(&mut self, plan: CopyFromPlan) -> Result<String, Stop> {
        let mut reader = self.session.copy_in(plan)?;
        let columns = i16::try_from(reader.column_count()).map_err(|_| Error::new("54011", "too many columns"))?;
        let formats = vec![0; reader.column_count()];
        self.put(&PgWireBackendMessage::CopyInResponse(CopyInResponse::new(0, columns, formats)));
        self.flush().await.map_err(Stop::End)?;
        loop {
            match self.next_copy_message().await? {
                None => return Err(Stop::End(End::Client)),
                Some(Incoming::Broken(error)) => return Err(Stop::End(End::Fatal(error))),
                Some(Incoming::Malformed { error, .. }) => return Err(error.into()),
                Some(Incoming::Message(message)) => match message {
                    PgWireFrontendMessage::CopyData(data) => reader.push(&data.data)?,
                    PgWireFrontendMessage::CopyDone(_) => break,
                    PgWireFrontendMessage::CopyFail(fail) => {
                        return Err(Error::new("57014", format!("COPY from stdin failed: {}", fail.message)).into());
                    }
                    // Allowed by the protocol, without effect.
                    PgWireFrontendMessage::Flush(_) | PgWireFrontendMessage::Sync(_) => {}
                    _ => {
                        let message = "unexpected message type during COPY from stdin";
                        return Err(Stop::End(End::Fatal(Error::fatal("08P01", message))));
                    }
                },
            }
        }
        let count =
            Self::unless_gone(&self.messages, &mut self.session, async |session| session.finish_copy(reader).await);
        let count = count.await.map_err(Stop::End)??;
        Ok(format!("COPY {count}"))
    }

    /// Waits for the client, unless the COPY is canceled or the server stops.
    async fn next_copy_message(&mut self) -> Result<Option<Incoming>, Stop> {
        let shutdown = self.session.environment.shutdown.clone();
        let next = self.session.unless_canceled(self.messages.next());
        match select(std::pin::pin!(next), std::pin::pin!(shutdown.triggered())).await {
            Either::Left((incoming, _)) => Ok(incoming?),
            Either::Right(_) => Err(Stop::End(End::Fatal(terminated()))),
        }
    }

    /// Sends a COPY TO STDOUT; returns the tag.
    pub(super) async fn copy_out(
        &mut self,
        desc: &RelationDesc,
        mut rows: Rows,
        options: &CopyOptions,
    ) -> Result<String, Stop> {
        if options.format == CopyFormat::Binary {
            return Err(Error::unsupported("COPY TO in binary format").into());
        }
        let columns = i16::try_from(desc.arity()).map_err(|_| Error::new("54011", "too many columns"))?;
        let response = CopyOutResponse::new(0, columns, vec![0; desc.arity()]);
        self.put(&PgWireBackendMessage::CopyOutResponse(response));
        let names = ObjectNames::of(&self.session, desc);
        let mut line = Vec::new();
        write_header(desc, options, &mut line);
        self.put_data(&mut line);
        let mut count = 0_u64;
        while let Some(batch) = self.next_rows(&mut rows, ROW_BATCH).await? {
            for row in &batch {
                write_row(row, desc, &names, options, &mut line);
                self.put_data(&mut line);
            }
            count += batch.len() as u64;
            self.relieve().await.map_err(Stop::End)?;
        }
        self.put(&PgWireBackendMessage::CopyDone(CopyDone::new()));
        Ok(format!("COPY {count}"))
    }

    /// Sends one line as one message, as PostgreSQL does and some clients rely on.
    fn put_data(&mut self, line: &mut Vec<u8>) {
        if !line.is_empty() {
            let data = Bytes::from(std::mem::take(line));
            self.put(&PgWireBackendMessage::CopyData(CopyData::new(data)));
        }
    }
}
