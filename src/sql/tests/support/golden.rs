//! Scripts that hold what is expected of them, compared with what comes.

use std::fs;
use std::path::{Path, PathBuf};

/// The scripts of a directory, by name.
pub(crate) fn scripts(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory of scripts");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Runs each script of a directory: `run` returns it with what came in place of what was expected. With `REWRITE=1` that is
/// written down instead of compared.
pub(crate) fn check(directory: &Path, run: impl Fn(&str) -> String) {
    let rewrite = std::env::vars().any(|(name, _)| name == "REWRITE");
    let mut wrong = Vec::new();
    for path in scripts(directory) {
        let script = fs::read_to_string(&path).expect("a script");
        let actual = run(&script);
        if actual == script {
            continue;
        }
        if rewrite {
            fs::write(&path, actual).expect("the script can be written");
        } else {
            wrong.push(format!("{}\n{}", path.display(), differences(&script, &actual)));
        }
    }
    assert!(wrong.is_empty(), "scripts differ; REWRITE=1 accepts:\n{}", wrong.join("\n"));
}

/// Puts a script together again from its blocks, each as `run` returns it.
pub(crate) fn each_block(script: &str, run: impl FnMut(&str) -> String) -> String {
    let blocks: Vec<String> = script.trim_end().split("\n\n").map(run).collect();
    blocks.join("\n\n") + "\n"
}

/// The blocks that differ.
fn differences(expected: &str, actual: &str) -> String {
    let pairs = expected.split("\n\n").zip(actual.split("\n\n")).filter(|(expected, actual)| expected != actual);
    let shown: String = pairs.map(|(expected, actual)| format!("expected\n{expected}\ngot\n{actual}\n")).collect();
    if shown.is_empty() { "one has more blocks\n".to_owned() } else { shown }
}
