//! An environment inside another program, without sockets and processes: what simulation drives.

use std::sync::Arc;

use controller::ReplicaLauncher;
use orchestrator::{MemorySecrets, Secrets};
use persist::LeaderHandle;
use repr::{RelationDesc, Row};
use sql::plan::Params;
use stdx::{Rng, Task, Tasks};

use crate::boot::BootError;
use crate::environment::{Environment, register};
use crate::error::Error;
use crate::open::{Parts, open};
use crate::session::{Response, Session};

pub use crate::open::VERSION;

/// A running environment. Its tasks go on until it and all its sessions are dropped.
pub struct Embedded {
    environment: Arc<Environment>,
    _committer: Task,
}

/// One client of it.
pub struct EmbeddedSession {
    session: Session,
}

/// A row as text; `None` is NULL.
pub type TextRow = Vec<Option<String>>;

/// Rows that are asked for at a time.
const BATCH_ROWS: usize = 1024;

impl Embedded {
    /// Starts an environment on an open log. A new log gets one cluster with one replica of size `replica_size`. Its secrets
    /// live as long as it does.
    pub async fn open(
        tasks: Tasks,
        rng: Rng,
        leader: LeaderHandle,
        launcher: Arc<dyn ReplicaLauncher>,
        replica_size: &str,
    ) -> Result<Embedded, BootError> {
        let secrets = Secrets::of(MemorySecrets::default());
        let (environment, committer) = open(Parts { tasks, rng, leader, launcher, secrets, replica_size }).await?;
        Ok(Embedded { environment, _committer: committer })
    }

    /// Opens a session of `user`. Errors: 53300 when there are too many.
    pub fn session(&self, user: &str) -> Result<EmbeddedSession, Error> {
        let registration = register(&self.environment, user, false)?;
        let session = Session::open(Arc::clone(&self.environment), registration, user.to_owned(), &[])?;
        Ok(EmbeddedSession { session })
    }
}

impl EmbeddedSession {
    /// Executes the statements of a string as the simple protocol does: in one transaction, unless they open or close one
    /// themselves. Returns the rows of all of them. Requires that none is a COPY or an endless SUBSCRIBE.
    ///
    /// Cancel safety: dropped, the effect is all or nothing, and which of the two is unknown.
    pub async fn query(&mut self, text: &str) -> Result<Vec<TextRow>, Error> {
        let statements = sql::parse(text)?;
        let several = statements.len() > 1;
        let mut texts = Vec::new();
        for statement in &statements {
            if several {
                self.session.begin_implicit();
            }
            match self.session.execute(statement, Params::default()).await? {
                Response::Rows { desc, mut rows, .. } => {
                    while let Some(batch) = rows.next(BATCH_ROWS).await {
                        texts.extend(batch?.iter().map(|row| text_row(&desc, row)));
                    }
                }
                Response::Complete { .. } | Response::Empty => {}
                Response::CopyIn(_) | Response::CopyOut { .. } => {
                    return Err(Error::unsupported("COPY in an embedded session"));
                }
            }
        }
        self.session.end_implicit().await?;
        Ok(texts)
    }
}

fn text_row(desc: &RelationDesc, row: &Row) -> TextRow {
    let datums = row.unpack(&desc.typ.kinds());
    let columns = datums.iter().zip(&desc.typ.columns);
    let text = columns.map(|(datum, column)| {
        (!datum.is_null()).then(|| {
            let mut text = String::new();
            repr::text::format(*datum, &column.scalar, &mut text);
            text
        })
    });
    text.collect()
}
