//! The project's own commands: `cargo xtask dev|test|torture|slt|bench|tidy`.

mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND [ARGS]

  dev [ARGS]          build in the dev profile and run environmentd with ARGS
  test [SUITE...]     misc/test
  torture NAME       long runs of the durability tests; without NAME, their names
  slt [FILTER]        SQL logic tests whose name contains FILTER; REWRITE=1 rewrites expectations
  bench NAME [ARGS]   run a benchmark of misc/bench in the release profile
  tidy                check edges between crates, lengths of files and functions, opening sentences";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let root = root();
    match command.as_str() {
        "dev" => {
            let built = execute(cargo(&root, &["build", "--bin", "environmentd", "--bin", "clusterd"], &[]))?;
            Ok(built && execute(cargo(&root, &["run", "--bin", "environmentd", "--"], &rest))?)
        }
        "test" => {
            let mut command = Command::new(root.join("misc/test"));
            command.args(rest);
            execute(command)
        }
        "slt" => {
            let built = execute(cargo(&root, &["build", "--workspace", "--bins", "--tests"], &[]))?;
            Ok(built && execute(cargo(&root, &["test", "--workspace", "--test", "slt", "--"], &rest))?)
        }
        "bench" => {
            let build = ["build", "--release", "--bin", "environmentd", "--bin", "clusterd", "--bin", "bench"];
            let built = execute(cargo(&root, &build, &[]))?;
            Ok(built && execute(cargo(&root, &["run", "--release", "--bin", "bench", "--"], &rest))?)
        }
        "torture" => torture::run(&root, &rest),
        "tidy" => tidy::check(&root),
        "" | "help" | "--help" => {
            println!("{USAGE}");
            Ok(true)
        }
        other => bail!("no command {other}\n{USAGE}"),
    }
}

/// The checkout that this is run in.
fn root() -> PathBuf {
    // As cargo says when it runs this: the path that was compiled in may be of another checkout with the same build directory.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).ancestors().nth(2).expect("misc/xtask lies in the checkout").to_owned()
}

fn cargo(root: &Path, args: &[&str], rest: &[String]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(args).args(rest);
    command
}

fn execute(mut command: Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    Ok(status.success())
}
