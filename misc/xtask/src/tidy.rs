//! The walls of the house: which crate may depend on which, how long files and functions may be, and that every file says
//! what it is. Ratchets: what exceeds a limit is listed in `misc/xtask/ratchet.txt` with its size, and may only shrink.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Each crate and what it may depend on of ours. Every crate may use `stdx`.
const EDGES: &[(&str, &[&str])] = &[
    ("stdx", &[]),
    ("repr", &[]),
    ("expr", &["repr"]),
    ("persist", &["repr"]),
    ("trace", &["repr"]),
    ("protocol", &["expr", "repr"]),
    ("sql", &["protocol", "expr", "repr"]),
    ("optimizer", &["protocol", "expr", "repr"]),
    ("orchestrator", &[]),
    ("storage", &["protocol", "expr", "persist", "trace", "repr"]),
    ("compute", &["storage", "trace", "protocol", "expr", "persist", "repr"]),
    ("catalog", &["sql", "protocol", "expr", "persist", "repr"]),
    ("controller", &["protocol", "persist", "orchestrator", "repr"]),
    (
        "environmentd",
        &["catalog", "controller", "orchestrator", "optimizer", "sql", "protocol", "persist", "expr", "repr"],
    ),
    ("clusterd", &["compute", "storage", "protocol", "persist", "repr"]),
];

/// Who may link what is heavy or dangerous to spread.
const QUARANTINE: &[(&str, &[&str])] = &[
    ("timely", &["trace", "storage", "compute", "clusterd"]),
    ("differential-dataflow", &["trace", "storage", "compute", "clusterd"]),
    ("rocksdb", &["persist", "storage"]),
    ("sqlparser", &["sql"]),
    ("pgwire", &["environmentd"]),
];

const FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;
const LIB_LINES_MAX: usize = 80;
const RATCHET: &str = "misc/xtask/ratchet.txt";

/// Prints what is wrong; true if nothing is.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let mut problems = Vec::new();
    check_edges(root, &mut problems)?;
    let mut sizes = BTreeMap::new();
    for file in rust_files(root)? {
        check_file(root, &file, &mut problems, &mut sizes)?;
    }
    check_ratchet(root, &sizes, &mut problems)?;
    for problem in &problems {
        println!("tidy: {problem}");
    }
    Ok(problems.is_empty())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The names in `[dependencies]`; what tests alone use is not a wall's business.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]"));
    let lines = section.unwrap_or("").lines();
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

fn check_edges(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let directories = std::fs::read_dir(root.join("src")).context("cannot list src")?;
    let mut names: Vec<String> =
        directories.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        let manifest = read(&root.join("src").join(&name).join("Cargo.toml"))?;
        let Some((_, allowed)) = EDGES.iter().find(|(owner, _)| *owner == name) else {
            problems.push(format!("src/{name}: a crate that the table of edges does not know"));
            continue;
        };
        for dependency in dependencies(&manifest) {
            let ours = EDGES.iter().any(|(owner, _)| *owner == dependency);
            if ours && dependency != "stdx" && !allowed.contains(&dependency.as_str()) {
                problems.push(format!("src/{name} may not depend on {dependency}"));
            }
            if let Some((_, owners)) = QUARANTINE.iter().find(|(foreign, _)| *foreign == dependency)
                && !owners.contains(&name.as_str())
            {
                problems.push(format!("src/{name} may not depend on {dependency}: only {} may", owners.join(", ")));
            }
        }
    }
    Ok(())
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut todo = vec![root.join("src"), root.join("test"), root.join("misc")];
    while let Some(directory) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.context("cannot list a directory")?.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(root: &Path, file: &Path, problems: &mut Vec<String>, sizes: &mut BTreeMap<String, usize>) -> Result<()> {
    let name = file.strip_prefix(root).expect("found below the root").display().to_string();
    let text = read(file)?;
    let is_module = file.file_name().is_some_and(|file| file != "build.rs");
    if is_module && !text.starts_with("//!") {
        problems.push(format!("{name}: does not open with a //! sentence"));
    }
    let lines = text.lines().count();
    if file.ends_with("src/lib.rs") && lines > LIB_LINES_MAX {
        problems.push(format!("{name}: {lines} lines; a lib.rs has at most {LIB_LINES_MAX}"));
    }
    if lines > FILE_LINES_MAX {
        sizes.insert(name.clone(), lines);
    }
    for (function, lines) in functions(&text) {
        if lines > FUNCTION_LINES_MAX {
            sizes.insert(format!("{name} fn {function}"), lines);
        }
    }
    Ok(())
}

/// Each function's name and length. Relies on rustfmt: the closing brace stands at the indentation of the opening line.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indentation = line.len() - trimmed.len();
        let Some(name) = function_name(trimmed) else { continue };
        let closing = format!("{:indentation$}}}", "");
        let end = lines[start..].iter().position(|line| *line == closing);
        // A declaration without body ends in a semicolon before any brace closes.
        let head = lines[start..].iter().find(|line| line.trim_end().ends_with([';', '{', '}']));
        let bodyless = head.is_some_and(|line| line.trim_end().ends_with(';'));
        if let Some(length) = end
            && !bodyless
        {
            found.push((name.to_owned(), length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| matches!(*word, "async" | "const" | "unsafe") || word.starts_with("pub"));
    if words.next()? != "fn" {
        return None;
    }
    let name = words.next()?;
    Some(name.split(['(', '<']).next().unwrap_or(name))
}

/// What exceeds a limit must be listed, and may not be longer than listed. `--rewrite` writes the list anew.
fn check_ratchet(root: &Path, sizes: &BTreeMap<String, usize>, problems: &mut Vec<String>) -> Result<()> {
    let path = root.join(RATCHET);
    let list = std::fs::read_to_string(&path).unwrap_or_default();
    let entries = list.lines().filter_map(|line| line.rsplit_once(' '));
    let allowed: BTreeMap<&str, usize> =
        entries.filter_map(|(name, lines)| lines.parse().ok().map(|lines| (name, lines))).collect();
    if std::env::args().any(|argument| argument == "--rewrite") {
        let mut text = String::new();
        for (name, lines) in sizes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} {lines}");
        }
        return std::fs::write(&path, text).with_context(|| format!("cannot write {RATCHET}"));
    }
    for (name, lines) in sizes {
        match allowed.get(name.as_str()) {
            Some(limit) if lines <= limit => {}
            Some(limit) => problems.push(format!("{name}: {lines} lines, the ratchet stands at {limit}")),
            None => problems.push(format!("{name}: {lines} lines is too long; split it")),
        }
    }
    Ok(())
}
