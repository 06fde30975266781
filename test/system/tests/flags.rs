//! Flags and files: what environmentd refuses to start with, and how it says so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use system_test::Server;
use system_test::server::bin_dir;

/// Starts environmentd with every listener on a free port, waits for its end, and returns its exit code and last line.
fn refused(data_dir: &Path, args: &[&str]) -> Result<(i32, String)> {
    let mut command = Command::new(bin_dir().join("environmentd"));
    command.arg("--data-dir").arg(data_dir);
    for listener in ["sql", "http", "internal-sql", "internal-http", "shardctl"] {
        let flag = format!("--{listener}-listen-addr");
        if !args.contains(&flag.as_str()) {
            command.args([&flag, "127.0.0.1:0"]);
        }
    }
    let output = command.args(args).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = text.lines().rfind(|line| line.starts_with("environmentd:") || line.starts_with("error:"));
    let said = said.with_context(|| format!("no error in {text:?}"))?.to_owned();
    Ok((output.status.code().context("killed")?, said))
}

#[test]
fn bad_flags_end_with_2_and_one_clear_line() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let cases: [(&[&str], &str); 7] = [
        (&["--nope"], "error: unexpected argument '--nope' found"),
        (&["--sql-listen-addr", "nonsense"], "error: invalid value 'nonsense' for '--sql-listen-addr"),
        (&["--sql-listen-addr", "0.0.0.0:0"], "can be reached by other machines"),
        (
            &["--shardctl-listen-addr", "0.0.0.0:0", "--insecure-internal-listeners", "--sql-listen-addr", "0.0.0.0:0"],
            "--sql-listen-addr 0.0.0.0:0 can be reached by other machines",
        ),
        (&["--log-filter", "=="], "--log-filter \"==\": invalid filter directive"),
        (&["--bootstrap-replica-size", "huge"], "--bootstrap-replica-size: unknown size \"huge\""),
        (&["--orchestrator-process-clusterd", "/nope"], "no clusterd binary at /nope"),
    ];
    for (args, expected) in cases {
        let (code, said) = refused(&data, args)?;
        assert!(code == 2 && said.contains(expected), "{args:?}: {code} {said}");
    }
    Ok(())
}

#[test]
fn other_machines_reach_the_log_with_certificates_only() -> Result<()> {
    let server = Server::start_with(&["--shardctl-listen-addr", "0.0.0.0:0"])?;
    let addresses = std::fs::read_to_string(server.data_dir().join("addresses.json"))?;
    let addresses: serde_json::Value = serde_json::from_str(&addresses)?;
    let port = addresses["shardctl"].as_str().and_then(|address| address.rsplit_once(':')).context("no address")?.1;
    let mut plain = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut answer = Vec::new();
    // It may be reset.
    let _ = plain.read_to_end(&mut answer);
    assert!(matches!(answer.first(), None | Some(0x15)), "an alert of TLS at most: {answer:?}");

    // The key of the authority is for its owner alone, and the processes of this machine need no certificate.
    let key = std::fs::metadata(server.data_dir().join("secrets/internal-ca"))?;
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let backups = tempfile::tempdir()?;
    let output = Command::new(bin_dir().join("environmentd"))
        .args(["backup", "--to", &format!("file:{}", backups.path().display()), "--data-dir"])
        .arg(server.data_dir())
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_port_or_directory_in_use_is_named_and_left_alone() -> Result<()> {
    let server = Server::start()?;
    let directory = tempfile::tempdir()?;
    let taken = format!("127.0.0.1:{}", server.sql_port());
    let (code, said) = refused(&directory.path().join("data"), &["--sql-listen-addr", &taken])?;
    assert!(code == 2 && said.contains(&format!("--sql-listen-addr {taken}: Address already in use")), "{code} {said}");
    let (code, said) = refused(server.data_dir(), &[])?;
    assert!(code == 1 && said.contains("is in use by another environmentd"), "{code} {said}");
    let file = directory.path().join("file");
    std::fs::write(&file, "kept")?;
    let (code, said) = refused(&file, &[])?;
    assert!(code == 1 && said.contains("cannot create"), "{code} {said}");
    assert_eq!(std::fs::read_to_string(&file)?, "kept");
    Ok(())
}
