//! The simple protocol: a string of statements.

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::EmptyQueryResponse;
use sql::plan::Params;
use sql::statement::Statement;

use super::connection::{Connection, End, Stop, rows_tag};
use super::encode::{RowEncoder, row_description};
use crate::object_names::ObjectNames;
use crate::session::Response;

impl Connection {
    /// Executes every statement of the string, in one transaction unless it opens or closes one itself.
    pub(super) async fn simple_query(&mut self, text: &str) -> Result<(), End> {
        match self.run_statements(text).await {
            Ok(()) => {}
            Err(Stop::Error(error)) => self.report(&error),
            Err(Stop::End(end)) => return Err(end),
        }
        self.ready().await
    }

    async fn run_statements(&mut self, text: &str) -> Result<(), Stop> {
        let statements = sql::parse(text).map_err(crate::error::Error::from)?;
        if statements.is_empty() {
            self.put(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
            return Ok(());
        }
        let several = statements.len() > 1;
        let last = statements.len() - 1;
        for (index, statement) in statements.iter().enumerate() {
            if several {
                self.session.begin_implicit();
            }
            let tag = self.run_statement(statement).await?;
            if several && index == last {
                // The last tag is held back until the whole string is durable.
                Self::unless_gone(&self.messages, &mut self.session, async |session| session.end_implicit().await)
                    .await
                    .map_err(Stop::End)??;
            }
            if let Some(tag) = tag {
                self.complete(&tag);
            }
        }
        Ok(())
    }

    /// Executes one statement and sends its result; returns its tag.
    async fn run_statement(&mut self, statement: &Statement) -> Result<Option<String>, Stop> {
        let response = Self::unless_gone(&self.messages, &mut self.session, async |session| {
            session.execute(statement, Params::default()).await
        });
        let response = response.await.map_err(Stop::End)??;
        match response {
            Response::Complete { tag } => Ok(Some(tag)),
            Response::Empty => {
                self.put(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()));
                Ok(None)
            }
            Response::Rows { desc, rows, verb } => {
                let formats = Self::text_formats(desc.arity());
                let description = row_description(&desc, &formats)?;
                self.put_notices();
                self.put(&description);
                let mut encoder = RowEncoder::new(&desc, formats, ObjectNames::of(&self.session, &desc));
                let count = self.send_rows(rows, &mut encoder).await?;
                Ok(Some(rows_tag(verb, count)))
            }
            Response::CopyIn(plan) => self.copy_in(plan).await.map(Some),
            Response::CopyOut { desc, rows, options } => self.copy_out(&desc, rows, &options).await.map(Some),
        }
    }
}
