//! The wire protocol at its edges: what a client must never be able to do, and what it must be told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use system_test::Server;

/// A connection without any driver in between.
struct Raw(TcpStream);

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(u32::try_from(body.len() + 4).expect("a short message").to_be_bytes());
    message.extend(body);
    message
}

fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    let mut packet = u32::try_from(body.len() + 4).expect("a short packet").to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

const USER: [(&str, &str); 2] = [("user", "materialize"), ("database", "materialize")];
const VERSION_3: u32 = 196_608;
/// How long an answer may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

impl Raw {
    fn open(server: &Server) -> Result<Raw> {
        let stream = TcpStream::connect(("127.0.0.1", server.sql_port()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Raw(stream))
    }

    fn session(server: &Server) -> Result<Raw> {
        let mut raw = Raw::open(server)?;
        raw.send(&startup(VERSION_3, &USER))?;
        raw.until_ready()?;
        Ok(raw)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).context("cannot send")
    }

    /// The next message; None when the server has closed the connection.
    fn receive(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut header = [0; 5];
        if self.0.read_exact(&mut header).is_err() {
            return Ok(None);
        }
        let length = u32::from_be_bytes(header[1..].try_into()?) as usize - 4;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Some((header[0], body)))
    }

    /// What was said up to ReadyForQuery or the end: kinds of messages, with the SQLSTATE behind errors.
    fn until_ready(&mut self) -> Result<String> {
        let mut said = Vec::new();
        let started = Instant::now();
        loop {
            // A subscription can go on for ever.
            ensure!(started.elapsed() < PATIENCE, "no end within {PATIENCE:?}");
            match self.receive()? {
                None => {
                    said.push("closed".to_owned());
                    return Ok(said.join(" "));
                }
                Some((b'E', body)) => said.push(format!("E{}", sqlstate(&body))),
                Some((b'Z', status)) => {
                    said.push(format!("Z{}", char::from(status[0])));
                    return Ok(said.join(" "));
                }
                // Parameters and keys differ from version to version.
                Some((b'S' | b'K' | b'N', _)) => {}
                Some((kind, _)) => said.push(char::from(kind).to_string()),
            }
        }
    }

    fn ask(&mut self, bytes: &[u8]) -> Result<String> {
        self.send(bytes)?;
        self.until_ready()
    }
}

fn sqlstate(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let code = fields.into_iter().find_map(|field| field.strip_prefix(b"C"));
    String::from_utf8_lossy(code.unwrap_or(b"?????")).into_owned()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

#[test]
fn startup_packets_are_bounded_and_checked() -> Result<()> {
    let server = Server::start()?;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("length 0", 0_u32.to_be_bytes().to_vec(), "closed"),
        ("length 7", 7_u32.to_be_bytes().to_vec(), "closed"),
        ("length 2 GiB", 0x7fff_ffff_u32.to_be_bytes().to_vec(), "closed"),
        ("length 10,005", 10_005_u32.to_be_bytes().to_vec(), "closed"),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "closed"),
        ("protocol 4.0", startup(4 << 16, &USER), "E0A000 closed"),
        ("protocol 2.0", startup(2 << 16, &USER), "E0A000 closed"),
        ("protocol 3.99", startup((3 << 16) | 99, &USER), "v R ZI"),
        ("unknown option", startup(VERSION_3, &[USER[0], USER[1], ("_pq_.foo", "1")]), "v R ZI"),
        ("no user", startup(VERSION_3, &[("database", "materialize")]), "E28000 closed"),
        ("unknown database", startup(VERSION_3, &[("user", "materialize"), ("database", "nope")]), "E3D000 closed"),
        ("unknown setting", startup(VERSION_3, &[USER[0], USER[1], ("nope", "1")]), "E42704 closed"),
        ("bad value", startup(VERSION_3, &[USER[0], USER[1], ("statement_timeout", "x")]), "E22023 closed"),
        ("bad encoding", startup(VERSION_3, &[USER[0], USER[1], ("client_encoding", "latin1")]), "E22023 closed"),
        ("system user", startup(VERSION_3, &[("user", "mz_system")]), "E28000 closed"),
        ("plain", startup(VERSION_3, &USER), "R ZI"),
    ];
    for (name, bytes, expected) in cases {
        let mut raw = Raw::open(&server)?;
        assert_eq!(raw.ask(&bytes)?, expected, "{name}");
    }
    let mut unterminated = startup(VERSION_3, &USER);
    unterminated.pop();
    let length = u32::try_from(unterminated.len())?.to_be_bytes();
    unterminated[..4].copy_from_slice(&length);
    assert_eq!(Raw::open(&server)?.ask(&unterminated)?, "E08P01 closed");
    Ok(())
}

#[test]
fn encryption_requests_are_declined() -> Result<()> {
    let server = Server::start()?;
    for code in [80_877_103_u32, 80_877_104] {
        let mut raw = Raw::open(&server)?;
        raw.send(&[8_u32.to_be_bytes(), code.to_be_bytes()].concat())?;
        let mut answer = [0];
        raw.0.read_exact(&mut answer)?;
        assert_eq!(answer, *b"N");
        assert_eq!(raw.ask(&startup(VERSION_3, &USER))?, "R ZI");
    }
    let mut raw = Raw::open(&server)?;
    let stuffed = [&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes(), &startup(VERSION_3, &USER)].concat();
    assert_eq!(raw.ask(&stuffed)?, "E08P01 closed");
    Ok(())
}

/// A message stream, and what the server sends back: see [`Raw::ask`].
type Case = (&'static str, Vec<u8>, &'static str);

#[test]
fn malformed_messages_end_or_keep_the_connection_as_in_postgres() -> Result<()> {
    let server = Server::start()?;
    for (name, bytes, expected) in [messages(), extended(), parameters(), queries()].concat() {
        let mut raw = Raw::session(&server)?;
        assert_eq!(raw.ask(&bytes)?, expected, "{name}");
        if !expected.ends_with("closed") && !expected.ends_with("ZE") {
            assert_eq!(raw.ask(&query("select 1"))?, "T D C ZI", "the session lives after: {name}");
        }
    }
    Ok(())
}

/// Messages as such.
fn messages() -> Vec<Case> {
    vec![
        ("unknown type", message(b'y', b""), "E08P01 closed"),
        ("type 0", message(0, b""), "E08P01 closed"),
        ("length 3", vec![b'Q', 0, 0, 0, 3], "E08P01 closed"),
        ("length 4 GiB", vec![b'Q', 255, 255, 255, 255], "E08P01 closed"),
        ("password", message(b'p', b"x\0"), "E08P01 closed"),
        (
            "copy data outside of COPY",
            [message(b'd', b"x"), message(b'c', b""), query("select 1")].concat(),
            "T D C ZI",
        ),
        ("function call", message(b'F', b"\0\0\0\0\0\0\0\0\0\0"), "E0A000 ZI"),
        ("bytes that are not UTF-8", message(b'Q', b"select '\xff'\0"), "E22021 ZI"),
        (
            "parse of two statements",
            [message(b'P', b"\0select 1; select 2\0\0\0"), message(b'S', b"")].concat(),
            "E42601 ZI",
        ),
        (
            "bind of an unknown statement",
            [message(b'B', b"\0nope\0\0\0\0\0\0\0"), message(b'S', b"")].concat(),
            "E26000 ZI",
        ),
        ("execute of an unknown portal", [message(b'E', b"nope\0\0\0\0\0"), message(b'S', b"")].concat(), "E34000 ZI"),
        ("close of an unknown name", [message(b'C', b"Snope\0"), message(b'S', b"")].concat(), "3 ZI"),
        ("describe of a bad kind", [message(b'D', b"Xnope\0"), message(b'S', b"")].concat(), "E08P01 ZI"),
        (
            "messages after an error are skipped up to Sync",
            [message(b'B', b"\0nope\0\0\0\0\0\0\0"), query_less_pipeline(), message(b'S', b"")].concat(),
            "E26000 ZI",
        ),
        ("length 0", vec![b'Q', 0, 0, 0, 0], "E08P01 closed"),
        ("length 1 GiB and nothing behind it", vec![b'Q', 0x40, 0, 0, 0], "E08P01 closed"),
        ("a start-up packet after start-up", startup(VERSION_3, &USER), "E08P01 closed"),
        ("a query without its end", message(b'Q', b"select 1"), "E08P01 ZI"),
        ("a query that ends twice", message(b'Q', b"select 1\0 garbage\0"), "E08P01 ZI"),
    ]
}

/// The extended protocol.
fn extended() -> Vec<Case> {
    vec![
        ("a parse that is not UTF-8", synced(&[(b'P', b"\0select \xff\0\0\0")]), "E22021 ZI"),
        ("a name that is taken", synced(&[(b'P', b"s\0select 1\0\0\0"), (b'P', b"s\0select 1\0\0\0")]), "1 E42P05 ZI"),
        ("an unknown type", synced(&[(b'P', b"\0select $1\0\0\x01\0\x0f\xff\xff")]), "E42704 ZI"),
        ("-1 types of parameters", synced(&[(b'P', b"\0select 1\0\xff\xff")]), "E08P01 ZI"),
        ("a parse of nothing", synced(&[(b'P', b"")]), "E08P01 ZI"),
        ("a bind of nothing", synced(&[(b'B', b"")]), "E08P01 ZI"),
        ("an execute of nothing", synced(&[(b'E', b"")]), "E08P01 ZI"),
        ("a describe of nothing", synced(&[(b'D', b"")]), "E08P01 ZI"),
        ("close of a bad kind", synced(&[(b'C', b"Xfoo\0")]), "E08P01 ZI"),
        ("describe of an unknown statement", synced(&[(b'D', b"Sfoo\0")]), "E26000 ZI"),
        ("describe of an unknown portal", synced(&[(b'D', b"Pfoo\0")]), "E34000 ZI"),
    ]
}

/// Parameters and formats.
fn parameters() -> Vec<Case> {
    let bind =
        |body: &[u8]| [message(b'P', b"\0select $1::int4\0\0\0"), message(b'B', body), message(b'S', b"")].concat();
    let bind_text = |body: &[u8]| synced(&[(b'P', b"\0select $1::text\0\0\0"), (b'B', body)]);
    vec![
        ("too few parameters", bind(b"\0\0\0\0\0\0\0\0"), "1 E08P01 ZI"),
        ("text that is no integer", bind(b"\0\0\0\0\0\x01\0\0\0\x03abc\0\0"), "1 E22P02 ZI"),
        ("format code 7", bind(b"\0\0\0\x01\0\x07\0\x01\0\0\0\x011\0\0"), "1 E22023 ZI"),
        ("parameter past the end", bind(b"\0\0\0\0\0\x01\0\0\0\x09ab\0\0"), "1 E08P01 ZI"),
        ("bytes behind the message", bind(b"\0\0\0\0\0\x01\0\0\0\x011\0\0zzz"), "1 E08P01 ZI"),
        ("a parameter that is not UTF-8", bind_text(b"\0\0\0\0\0\x01\0\0\0\x01\xff\0\0"), "1 E22021 ZI"),
        ("a parameter with a NUL", bind_text(b"\0\0\0\0\0\x01\0\0\0\x01\0\0\0"), "1 E22021 ZI"),
        ("too many parameters", bind(b"\0\0\0\0\0\x02\0\0\0\x011\0\0\0\x011\0\0"), "1 E08P01 ZI"),
        ("65,535 parameters that are not there", bind(b"\0\0\0\0\xff\xff"), "1 E08P01 ZI"),
        ("a binary integer of one byte", bind(b"\0\0\0\x01\0\x01\0\x01\0\0\0\x011\0\0"), "1 E22P03 ZI"),
        ("three formats of one parameter", bind(b"\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\x011\0\0"), "1 E08P01 ZI"),
        ("a parameter of length -2", bind(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), "1 E08P01 ZI"),
        ("result format 9", bind(b"\0\0\0\0\0\x01\0\0\0\x011\0\x01\0\x09"), "1 E22023 ZI"),
        ("two formats of one result", bind(b"\0\0\0\0\0\x01\0\0\0\x011\0\x02\0\0\0\0"), "1 E08P01 ZI"),
    ]
}

/// Queries at the limits.
fn queries() -> Vec<Case> {
    vec![
        ("40,000 columns", query(&format!("select {}1", "1, ".repeat(39_999))), "E54011 ZI"),
        ("200,000 brackets", query(&format!("select {}", "(".repeat(200_000))), "E54001 ZI"),
        ("200,000 operators", query(&format!("select {}1", "1+".repeat(200_000))), "E54001 ZI"),
        ("text of over a megabyte", query(&format!("select '{}'", "x".repeat(1_000_001))), "E54000 ZI"),
        ("a list of 100,000", query(&format!("select 1 in ({}1)", "1, ".repeat(99_999))), "T D C ZI"),
        ("an empty string", query(""), "I ZI"),
        ("several statements", query("select 1; select 2"), "T D C T D C ZI"),
        ("a block that fails", query("begin; select 1/0"), "C E22012 ZE"),
    ]
}

/// Messages and a Sync.
fn synced(messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> = messages.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
    bytes.extend(message(b'S', b""));
    bytes
}

#[test]
fn bad_cancel_requests_say_nothing() -> Result<()> {
    let server = Server::start()?;
    let code = 80_877_102_u32.to_be_bytes();
    let wrong = [&16_u32.to_be_bytes()[..], &code, &1_u32.to_be_bytes(), &2_u32.to_be_bytes()].concat();
    let short = [&12_u32.to_be_bytes()[..], &code, &1_u32.to_be_bytes()].concat();
    for request in [wrong, short] {
        let mut raw = Raw::open(&server)?;
        raw.send(&request)?;
        assert!(raw.receive()?.is_none());
    }
    Ok(())
}

fn query_less_pipeline() -> Vec<u8> {
    [message(b'P', b"\0select 1\0\0\0"), message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
}

#[test]
fn a_failed_block_waits_for_its_end() -> Result<()> {
    let server = Server::start()?;
    let mut raw = Raw::session(&server)?;
    assert_eq!(raw.ask(&query("begin"))?, "C ZT");
    assert_eq!(raw.ask(&query("select nope"))?, "E42703 ZE");
    assert_eq!(raw.ask(&query("select 1"))?, "E25P02 ZE");
    assert_eq!(raw.ask(&query("commit"))?, "C ZI");
    Ok(())
}

#[test]
fn portals_suspend_and_resume() -> Result<()> {
    let server = Server::start()?;
    let mut raw = Raw::session(&server)?;
    assert_eq!(raw.ask(&query("begin"))?, "C ZT");
    let parse = message(b'P', b"\0select * from generate_series(1, 5)\0\0\0");
    let bind = message(b'B', b"p\0\0\0\0\0\0\0\0");
    let two = message(b'E', b"p\0\0\0\0\x02");
    let first = [parse, bind, two.clone(), message(b'S', b"")].concat();
    assert_eq!(raw.ask(&first)?, "1 2 D D s ZT");
    assert_eq!(raw.ask(&[two.clone(), message(b'S', b"")].concat())?, "D D s ZT");
    assert_eq!(raw.ask(&[two, message(b'S', b"")].concat())?, "D C ZT");
    Ok(())
}

#[test]
fn a_client_that_vanishes_in_copy_leaves_nothing() -> Result<()> {
    let server = Server::start()?;
    let mut raw = Raw::session(&server)?;
    assert_eq!(raw.ask(&query("create table t (a int)"))?, "C ZI");
    raw.send(&query("copy t from stdin"))?;
    assert_eq!(raw.receive()?.map(|(kind, _)| kind), Some(b'G'));
    raw.send(&message(b'd', b"1\n2\n"))?;
    drop(raw);
    let mut raw = Raw::session(&server)?;
    raw.send(&query("select count(*) from t where a > 0"))?;
    let mut counts = Vec::new();
    while let Some((kind, body)) = raw.receive()? {
        match kind {
            b'D' => counts.push(body),
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(counts, [b"\0\x01\0\0\0\x010".to_vec()]);
    Ok(())
}

#[test]
fn a_query_inside_copy_is_fatal() -> Result<()> {
    let server = Server::start()?;
    let mut raw = Raw::session(&server)?;
    assert_eq!(raw.ask(&query("create table t (a int)"))?, "C ZI");
    assert_eq!(raw.ask(&[query("copy t from stdin"), query("select 1")].concat())?, "G E08P01 closed");
    Ok(())
}

#[test]
fn a_cancel_request_ends_a_running_statement() -> Result<()> {
    let server = Server::start()?;
    let mut raw = Raw::open(&server)?;
    raw.send(&startup(VERSION_3, &USER))?;
    let mut key = None;
    while let Some((kind, body)) = raw.receive()? {
        match kind {
            b'K' => key = Some(body),
            b'Z' => break,
            _ => {}
        }
    }
    let key = key.context("no BackendKeyData")?;
    assert_eq!(raw.ask(&query("create table t (a int)"))?, "C ZI");
    raw.send(&query("subscribe t with (progress)"))?;
    // The first progress row shows that it runs.
    while !matches!(raw.receive()?, Some((b'D', _))) {}
    let cancel = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &key].concat();
    Raw::open(&server)?.send(&cancel)?;
    let said = raw.until_ready()?;
    assert!(said.ends_with("E57014 ZI"), "{said}");
    // It ends what ran, and nothing that comes later.
    assert_eq!(raw.ask(&query("select 1"))?, "T D C ZI");
    raw.send(&query("copy t from stdin"))?;
    while !matches!(raw.receive()?, Some((b'G', _))) {}
    Raw::open(&server)?.send(&cancel)?;
    assert_eq!(raw.until_ready()?, "E57014 ZI");
    assert_eq!(raw.ask(&query("select * from t"))?, "T C ZI");
    Ok(())
}
