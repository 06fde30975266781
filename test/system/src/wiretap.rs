//! A listener between a client and a server that notes every statement of the simple protocol, and how it ended. Clients must
//! not ask for TLS: `sslmode=disable gssencmode=disable`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A statement, and what became of it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Connections are numbered from 0 in the order in which they were made.
    pub connection: usize,
    pub sql: String,
    /// SQLSTATE and message, if it failed.
    pub error: Option<(String, String)>,
    /// How long the answer took; none, as long as there is none.
    pub took: Option<Duration>,
}

/// Passes bytes on in both directions.
pub struct Wiretap {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Wiretap {
    /// Listens on a free port of this machine, for connections to `server_port`.
    pub async fn start(server_port: u16) -> Result<Wiretap> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut connections = 0..;
            while let (Ok((client, _)), Some(connection)) = (listener.accept().await, connections.next()) {
                let notes = Arc::clone(&notes);
                tokio::spawn(async move {
                    // A connection that breaks leaves its last statement without an answer.
                    let _ = pass(connection, client, server_port, notes).await;
                });
            }
        });
        Ok(Wiretap { port, heard })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock())
    }
}

/// The statement that a connection waits for.
#[derive(Default)]
struct Waiting {
    sql: Option<(String, Instant)>,
    error: Option<(String, String)>,
}

async fn pass(connection: usize, client: TcpStream, server_port: u16, heard: Arc<Mutex<Vec<Heard>>>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    // Messages are passed on one by one; without this each would wait for what acknowledges the one before.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    let asked = tokio::spawn(pass_questions(from_client, to_server, Arc::clone(&waiting)));
    let answered = pass_answers(connection, from_server, to_client, &waiting, &heard).await;
    asked.abort();
    let Waiting { sql, error } = std::mem::take(&mut *waiting.lock());
    if let Some((sql, _)) = sql {
        heard.lock().push(Heard { connection, sql, error, took: None });
    }
    answered
}

async fn pass_questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, waiting: Arc<Mutex<Waiting>>) -> Result<()> {
    // What opens a connection has no type.
    let opening = body(&mut from).await?;
    send(&mut to, None, &opening).await?;
    loop {
        let kind = from.read_u8().await?;
        let body = body(&mut from).await?;
        if kind == b'Q' {
            let sql = String::from_utf8_lossy(body.strip_suffix(&[0]).unwrap_or(&body)).into_owned();
            *waiting.lock() = Waiting { sql: Some((sql, Instant::now())), error: None };
        }
        send(&mut to, Some(kind), &body).await?;
    }
}

async fn pass_answers(
    connection: usize,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    waiting: &Mutex<Waiting>,
    heard: &Mutex<Vec<Heard>>,
) -> Result<()> {
    loop {
        let kind = from.read_u8().await?;
        let body = body(&mut from).await?;
        match kind {
            b'E' => waiting.lock().error = Some(error_fields(&body)),
            b'Z' => {
                let Waiting { sql, error } = std::mem::take(&mut *waiting.lock());
                if let Some((sql, start)) = sql {
                    heard.lock().push(Heard { connection, sql, error, took: Some(start.elapsed()) });
                }
            }
            _ => {}
        }
        send(&mut to, Some(kind), &body).await?;
    }
}

/// The rest of a message: a length that counts itself, and the bytes.
async fn body(from: &mut OwnedReadHalf) -> Result<Vec<u8>> {
    let length = from.read_u32().await? as usize;
    let mut body = vec![0; length.checked_sub(4).context("a length below its own")?];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut OwnedWriteHalf, kind: Option<u8>, body: &[u8]) -> Result<()> {
    let mut message: Vec<u8> = kind.into_iter().collect();
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    to.write_all(&message).await?;
    Ok(())
}

/// SQLSTATE and message.
fn error_fields(body: &[u8]) -> (String, String) {
    let field = |wanted: u8| {
        let fields = body.split(|byte| *byte == 0);
        let found = fields.filter(|field| field.first() == Some(&wanted)).map(|field| &field[1..]).next();
        String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
    };
    (field(b'C'), field(b'M'))
}
