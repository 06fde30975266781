//! From a new connection to a session: encryption requests, cancel requests, the start-up packet, the greeting.
//!
//! Nobody is authenticated yet, so memory is bounded: a packet has at most 10,000 bytes, as in PostgreSQL.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::debug;

use super::encode::error_response;
use super::listener::Audience;
use crate::environment::{Environment, register};
use crate::error::Error;
use crate::session::Session;

const PACKET_BYTES_MAX: usize = 10_000;
/// How long a client may take to say who it is.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const PROTOCOL_3_0: u32 = 3 << 16;
const PROTOCOL_3_2: u32 = (3 << 16) | 2;
const SYSTEM_USERS: [&str; 2] = ["mz_system", "mz_support"];

/// Runs the start-up. None: there is no session, the connection has been answered and ends.
pub(crate) async fn negotiate(
    environment: &Arc<Environment>,
    mut stream: TcpStream,
    audience: Audience,
) -> io::Result<Option<(Session, TcpStream)>> {
    let tasks = environment.tasks.clone();
    let packet = match tasks.timeout(AUTHENTICATION_TIMEOUT, first_packet(environment, &mut stream)).await {
        Ok(packet) => packet?,
        Err(_) => return Ok(None),
    };
    let Some(packet) = packet else { return Ok(None) };
    match open(environment, &packet, audience) {
        Ok(session) => {
            greet(&session, &packet, &mut stream).await?;
            Ok(Some((session, stream)))
        }
        Err(error) => {
            refuse(&mut stream, &error).await?;
            Ok(None)
        }
    }
}

/// Tells a client that nobody is served here yet, and why.
pub(super) async fn turn_away(stream: &mut TcpStream, reason: &str) -> io::Result<()> {
    while let Some(body) = read_packet(stream).await? {
        match u32::from_be_bytes(body[..4].try_into().expect("four bytes were read")) {
            SSL_REQUEST | GSS_REQUEST => stream.write_all(b"N").await?,
            CANCEL_REQUEST => break,
            _ => {
                let error = Error::fatal("57P03", "the database system is starting up").with_detail(reason.to_owned());
                return refuse(stream, &error).await;
            }
        }
    }
    Ok(())
}

/// A parsed start-up packet.
struct Packet {
    version: u32,
    parameters: BTreeMap<String, String>,
}

/// Answers what may come before the start-up packet, then reads it. None: the connection ends.
async fn first_packet(environment: &Environment, stream: &mut TcpStream) -> io::Result<Option<Packet>> {
    loop {
        let Some(body) = read_packet(stream).await? else { return Ok(None) };
        let code = u32::from_be_bytes(body[..4].try_into().expect("four bytes were read"));
        match code {
            SSL_REQUEST | GSS_REQUEST => {
                if code == SSL_REQUEST && has_unread_bytes(stream)? {
                    let error = Error::fatal("08P01", "received unencrypted data after SSL request");
                    refuse(stream, &error).await?;
                    return Ok(None);
                }
                stream.write_all(b"N").await?;
            }
            CANCEL_REQUEST => {
                if let (Some(id), Some(secret)) = (body.get(4..8), body.get(8..12)) {
                    let id = u32::from_be_bytes(id.try_into().expect("four bytes"));
                    let secret = i32::from_be_bytes(secret.try_into().expect("four bytes"));
                    environment.sessions.cancel(id, secret);
                }
                return Ok(None);
            }
            version if version >> 16 == 3 => {
                return match parameters(&body[4..]) {
                    Ok(parameters) => Ok(Some(Packet { version, parameters })),
                    Err(error) => {
                        refuse(stream, &error).await?;
                        Ok(None)
                    }
                };
            }
            version => {
                let (major, minor) = (version >> 16, version & 0xffff);
                let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
                refuse(stream, &Error::fatal("0A000", message)).await?;
                return Ok(None);
            }
        }
    }
}

/// Reads one length-prefixed packet without its length. None: the length is impossible, or the client has gone.
async fn read_packet(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if stream.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if !(8..=PACKET_BYTES_MAX).contains(&length) {
        debug!(length, "invalid length of start-up packet");
        return Ok(None);
    }
    let mut body = vec![0; length - 4];
    match stream.read_exact(&mut body).await {
        Ok(_) => Ok(Some(body)),
        Err(_) => Ok(None),
    }
}

/// Bytes behind an SSLRequest would be read as if they had been encrypted (CVE-2021-23214).
fn has_unread_bytes(stream: &TcpStream) -> io::Result<bool> {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(count) => Ok(count > 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn parameters(body: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let malformed = || Error::fatal("08P01", "invalid startup packet layout: expected terminator as last byte");
    let Some((0, pairs)) = body.split_last() else { return Err(malformed()) };
    let mut parameters = BTreeMap::new();
    if pairs.is_empty() {
        return Ok(parameters);
    }
    let Some((0, pairs)) = pairs.split_last() else { return Err(malformed()) };
    let mut fields = pairs.split(|byte| *byte == 0);
    while let Some(name) = fields.next() {
        let Some(value) = fields.next() else { return Err(malformed()) };
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::fatal("22021", "invalid byte sequence for encoding \"UTF8\""))
        };
        parameters.insert(text(name)?, text(value)?);
    }
    Ok(parameters)
}

fn open(environment: &Arc<Environment>, packet: &Packet, audience: Audience) -> Result<Session, Error> {
    let fatal = |error: Error| Error { severity: crate::error::Severity::Fatal, ..error };
    if environment.shutdown.is_triggered() {
        return Err(Error::fatal("57P03", "the database system is shutting down"));
    }
    let user = packet.parameters.get("user").filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| Error::fatal("28000", "no PostgreSQL user name specified in startup packet"))?;
    let system_user = SYSTEM_USERS.contains(&user.as_str());
    if system_user != (audience == Audience::System) {
        return Err(Error::fatal("28000", format!("unauthorized login to user \"{user}\"")));
    }
    let registration = register(environment, user, audience == Audience::System)?;
    let mut settings = Vec::new();
    for (name, value) in &packet.parameters {
        match name.as_str() {
            "user" | "replication" => {}
            // libpq's default is a database of the user's name, which the system's users do not have.
            "database" if system_user && value == user => {}
            "options" => settings.extend(parse_options(value)?),
            name if name.starts_with("_pq_.") => {}
            name => settings.push((name.to_owned(), value.clone())),
        }
    }
    Session::open(Arc::clone(environment), registration, user.clone(), &settings).map_err(fatal)
}

/// The `options` parameter: `-c name=value`, `--name=value`, words separated by blanks, backslash escapes.
fn parse_options(options: &str) -> Result<Vec<(String, String)>, Error> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().expect("never empty").extend(characters.next()),
            character if character.is_whitespace() => words.push(String::new()),
            character => words.last_mut().expect("never empty").push(character),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(setting) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            setting.to_owned()
        } else {
            return Err(Error::fatal("42601", format!("invalid command-line argument for server process: {word}")));
        };
        let Some((name, value)) = setting.split_once('=') else {
            return Err(Error::fatal("42601", format!("invalid command-line argument for server process: {setting}")));
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

async fn greet(session: &Session, packet: &Packet, stream: &mut TcpStream) -> io::Result<()> {
    let mut out = BytesMut::new();
    let mut put = |message: PgWireBackendMessage| message.encode(&mut out).map_err(io::Error::other);
    let unknown: Vec<String> = packet.parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    let newest_known = packet.version == PROTOCOL_3_0 || packet.version == PROTOCOL_3_2;
    if !newest_known || !unknown.is_empty() {
        let newest = i32::try_from(PROTOCOL_3_2.min(packet.version)).expect("a small number");
        put(PgWireBackendMessage::NegotiateProtocolVersion(NegotiateProtocolVersion::new(newest, unknown)))?;
    }
    put(PgWireBackendMessage::Authentication(Authentication::Ok))?;
    for (name, value) in session.vars.reported() {
        put(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value.to_owned())))?;
    }
    let superuser = ParameterStatus::new("is_superuser".to_owned(), "on".to_owned());
    put(PgWireBackendMessage::ParameterStatus(superuser))?;
    let user = ParameterStatus::new("session_authorization".to_owned(), session.user.clone());
    put(PgWireBackendMessage::ParameterStatus(user))?;
    let id = i32::from_ne_bytes(session.connection_id().to_ne_bytes());
    let key = BackendKeyData::new(id, SecretKey::I32(session.cancel_secret()));
    put(PgWireBackendMessage::BackendKeyData(key))?;
    stream.write_all(&out).await
}

async fn refuse(stream: &mut TcpStream, error: &Error) -> io::Result<()> {
    let mut out = BytesMut::new();
    error_response(error).encode(&mut out).map_err(io::Error::other)?;
    stream.write_all(&out).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_at_blanks_and_unescaped() {
        let options = parse_options("--transaction_isolation=strict\\ serializable -c cluster=c").unwrap();
        let expected = [("transaction_isolation", "strict serializable"), ("cluster", "c")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(options, expected);
        assert_eq!(parse_options("oops").unwrap_err().code.as_ref(), "42601");
    }

    #[test]
    fn a_startup_packet_needs_its_terminator() {
        assert!(parameters(b"user\0me\0\0").is_ok());
        assert_eq!(parameters(b"user\0me\0").unwrap_err().code.as_ref(), "08P01");
        assert_eq!(parameters(b"user\0me").unwrap_err().code.as_ref(), "08P01");
        assert_eq!(parameters(b"user\0\0").unwrap_err().code.as_ref(), "08P01");
    }
}
