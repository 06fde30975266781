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
    Malformed {
        kind: u8,
        error: Error,
    },
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
    if !is_sound_text(kind, &message[5..]) {
        let error = Error::new("22021", "invalid byte sequence for encoding \"UTF8\"");
        return Some(Incoming::Malformed { kind, error });
    }
    if !is_sound(kind, &message[5..]) {
        return Some(Incoming::Malformed { kind, error: Error::new("08P01", "invalid message format") });
    }
    Some(match PgWireFrontendMessage::decode(&mut message, context) {
        Ok(Some(decoded)) if message.remaining() == 0 => Incoming::Message(decoded),
        Ok(_) => Incoming::Malformed { kind, error: Error::new("08P01", "invalid message format") },
        Err(error) => {
            Incoming::Malformed { kind, error: Error::new("08P01", format!("invalid message format: {error}")) }
        }
    })
}

/// Whether the texts at the start of a Query (one) or Parse (two) are UTF-8. What follows them is binary.
fn is_sound_text(kind: u8, body: &[u8]) -> bool {
    let texts = match kind {
        b'Q' => 1,
        b'P' => 2,
        _ => return true,
    };
    body.split(|byte| *byte == 0).take(texts).all(|text| std::str::from_utf8(text).is_ok())
}

/// Whether the parts of a message add up to its length: names, counts, and what is counted. The crate's decoder takes them
/// on trust, and panics.
fn is_sound(kind: u8, body: &[u8]) -> bool {
    let mut rest = body;
    let walked = match kind {
        b'P' => skip_parse(&mut rest),
        b'B' => skip_bind(&mut rest),
        b'E' => skip_name(&mut rest).and_then(|()| skip_bytes(&mut rest, 4)),
        b'D' | b'C' => skip_bytes(&mut rest, 1).and_then(|()| skip_name(&mut rest)),
        b'Q' | b'f' => skip_name(&mut rest),
        b'S' | b'H' | b'X' | b'c' => Some(()),
        // What these hold has no parts.
        _ => return true,
    };
    walked.is_some() && rest.is_empty()
}

fn skip_parse(rest: &mut &[u8]) -> Option<()> {
    skip_name(rest)?;
    skip_name(rest)?;
    let types = take_count(rest)?;
    skip_bytes(rest, types * 4)
}

fn skip_bind(rest: &mut &[u8]) -> Option<()> {
    skip_name(rest)?;
    skip_name(rest)?;
    skip_formats(rest)?;
    skip_values(rest)?;
    skip_formats(rest)
}

fn skip_bytes(rest: &mut &[u8], count: usize) -> Option<()> {
    *rest = rest.get(count..)?;
    Some(())
}

fn skip_name(rest: &mut &[u8]) -> Option<()> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    *rest = &rest[end + 1..];
    Some(())
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let (count, behind) = rest.split_first_chunk::<2>()?;
    *rest = behind;
    Some(usize::from(u16::from_be_bytes(*count)))
}

fn skip_formats(rest: &mut &[u8]) -> Option<()> {
    let formats = take_count(rest)?;
    skip_bytes(rest, formats * 2)
}

fn skip_values(rest: &mut &[u8]) -> Option<()> {
    for _ in 0..take_count(rest)? {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let bytes = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => usize::try_from(length).ok()?,
        };
        *rest = behind.get(bytes..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_lengths_do_not_add_up_is_found() {
        assert!(is_sound(b'P', b"s\0select 1\0\0\x01\0\0\0\x17"));
        for broken in [&b""[..], b"s\0select 1\0", b"\0select 1\0\xff\xff", b"\0select 1\0\0\x01\0\0\0", b"\0\0\0\0z"] {
            assert!(!is_sound(b'P', broken), "{broken:?}");
        }
        assert!(is_sound(b'E', b"p\0\0\0\0\0") && !is_sound(b'E', b"") && !is_sound(b'E', b"p\0\0\0"));
        assert!(is_sound(b'D', b"Ss\0") && !is_sound(b'D', b"") && !is_sound(b'C', b"S"));
        assert!(is_sound(b'S', b"") && !is_sound(b'S', b"x"));
        assert!(is_sound(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0"));
        for broken in [
            &b""[..],
            b"p\0s",
            b"\0\0\0\x02\0\x01",
            b"\0\0\0\0\0\x01\0\0\0\x09ab\0\0",
            b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0",
            b"\0\0\0\0\0\0\0\0z",
        ] {
            assert!(!is_sound(b'B', broken), "{broken:?}");
        }
    }
}
