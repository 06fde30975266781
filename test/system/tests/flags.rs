//! Flags and files: what environmentd refuses to start with, and how it says so.

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
    let cases: [(&[&str], &str); 6] = [
        (&["--nope"], "error: unexpected argument '--nope' found"),
        (&["--sql-listen-addr", "nonsense"], "error: invalid value 'nonsense' for '--sql-listen-addr"),
        (&["--sql-listen-addr", "0.0.0.0:0"], "can be reached by other machines"),
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
