//! Every file of `test/slt` against a running server. A filter on the command line picks files by name.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use system_test::Server;

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slt");
    let entries = std::fs::read_dir(directory).expect("test/slt lies beside test/system");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    files
}

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let (mut passed, mut failed) = (0, 0);
    for file in files() {
        let name = file.file_stem().expect("an .slt file has a stem").to_string_lossy().into_owned();
        if !name.contains(&filter) {
            continue;
        }
        let outcome = Server::start().and_then(|server| runtime.block_on(system_test::slt::run_file(&server, &file)));
        match outcome {
            Ok(()) => {
                println!("test {name} ... ok");
                passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED\n{error:#}");
                failed += 1;
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
