//! The reading half of a connection: always running, so that a client that goes away is noticed at once.

use bytes::{Buf, BytesMut};
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};
use stdx::{Shutdown, Task, Tasks};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;

use crate::error::Error;

/// Messages read ahead of the one being executed.
const AHEAD_MAX: usize = 64;
/// The longest message: a COPY's data or a statement's text with parameters.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A message from the client, or what was wrong with it.
pub(super) enum Incoming {
    Message(PgWireFrontendMessage),
    /// The message's frame was sound but its body was not: an error, and the connection goes on.
    Malformed { kind: u8, error: Error },
    /// The stream cannot be followed any more.
    Broken(Error),
}

/// The messages of a client, in order. Ends when the client does.
pub(super) struct Messages {
    receiver: mpsc::Receiver<Incoming>,
    peeked: Option<Incoming>,
    /// Thrown when the client has gone, even while messages still wait.
    gone: Shutdown,
    _task: Task,
}

impl Messages {
    pub(super) fn read(tasks: &Tasks, socket: OwnedReadHalf) -> Messages {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let gone = Shutdown::new();
        let ended = gone.clone();
        let task = tasks.spawn("pgwire reader", async move {
            read_all(socket, sender).await;
            ended.trigger();
        });
        Messages { receiver, peeked: None, gone, _task: task }
    }

    /// The next message; None when the client has gone. Cancel safety: may be dropped at any await.
    pub(super) async fn next(&mut self) -> Option<Incoming> {
        match self.peeked.take() {
            Some(message) => Some(message),
            None => self.receiver.recv().await,
        }
    }

    /// Looks at the next message without taking it.
    pub(super) async fn peek(&mut self) -> Option<&Incoming> {
        if self.peeked.is_none() {
            self.peeked = self.receiver.recv().await;
        }
        self.peeked.as_ref()
    }

    pub(super) fn gone(&self) -> Shutdown {
        self.gone.clone()
    }
}

async fn read_all(mut socket: OwnedReadHalf, sender: mpsc::Sender<Incoming>) {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    loop {
        while let Some(incoming) = next_message(&mut buffer, &context) {
            let broken = matches!(incoming, Incoming::Broken(_));
            if sender.send(incoming).await.is_err() || broken {
                return;
            }
        }
        // Grows as bytes arrive, never by what a header claims.
        match socket.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Takes one message off the buffer, if all of it is there.
fn next_message(buffer: &mut BytesMut, context: &DecodeContext) -> Option<Incoming> {
    if buffer.len() < 5 {
        return None;
    }
    let kind = buffer[0];
    if !b"QPBEDCSHXdcfpF".contains(&kind) {
        let error = Error::fatal("08P01", format!("invalid frontend message type {kind}"));
        return Some(Incoming::Broken(error));
    }
    let length = u32::from_be_bytes(buffer[1..5].try_into().expect("four bytes")) as usize;
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Some(Incoming::Broken(Error::fatal("08P01", "invalid message length")));
    }
    if buffer.len() < length + 1 {
        return None;
    }
    let mut message = buffer.split_to(length + 1);
    if kind == b'F' {
        let error = Error::unsupported("the fastpath function call");
        return Some(Incoming::Malformed { kind, error });
    }
    if matches!(kind, b'Q' | b'P') && std::str::from_utf8(&message[5..]).is_err() {
        let error = Error::new("22021", "invalid byte sequence for encoding \"UTF8\"");
        return Some(Incoming::Malformed { kind, error });
    }
    Some(match PgWireFrontendMessage::decode(&mut message, context) {
        Ok(Some(decoded)) if message.remaining() == 0 => Incoming::Message(decoded),
        Ok(_) => Incoming::Malformed { kind, error: Error::new("08P01", "invalid message format") },
        Err(error) => Incoming::Malformed { kind, error: Error::new("08P01", format!("invalid message format: {error}")) },
    })
}
