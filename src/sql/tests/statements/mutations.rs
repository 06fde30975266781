//! Statements of the scripts, damaged at random: whatever comes in, reading and planning return.

use std::fs;
use std::path::Path;

use crate::support::{Fake, render_error, session};
use sql::Params;
use stdx::Rng;

const SEED: u64 = 0x5eed;
const MUTANTS: usize = 40_000;

/// What mutants are made of besides pieces of each other.
const PIECES: [&str; 40] = [
    "(",
    ")",
    ",",
    ";",
    "'",
    "\"",
    "$1",
    "*",
    ".",
    "::",
    "[",
    "]",
    "AS OF",
    "SELECT",
    "FROM",
    "NULL",
    "NOT",
    "-",
    "1e400",
    "é",
    "\u{202e}",
    "--",
    "/*",
    "E'\\",
    "IN CLUSTER",
    "ON",
    "AS",
    "TABLE",
    "WITH",
    "VALUES",
    "DEFAULT",
    "CASE",
    "END",
    "0x",
    "99999999999999999999",
    "INTERVAL",
    "ARRAY",
    "LATERAL",
    "UNION",
    "\\",
];

#[test]
fn damaged_statements_never_panic() {
    let corpus = corpus();
    let rng = Rng::from_seed(SEED);
    let mut catalog = Fake::new();
    for sql in
        ["CREATE TABLE t (a int NOT NULL, b text)", "CREATE VIEW v AS SELECT a FROM t", "CREATE INDEX i ON v (a)"]
    {
        run(&mut catalog, sql);
    }
    for number in 0..MUTANTS {
        let mutant = mutate(&corpus, &rng);
        let mut catalog = catalog.clone();
        let outcome = std::panic::catch_unwind(move || run(&mut catalog, &mutant));
        if let Err(panic) = outcome {
            let again = Rng::from_seed(SEED);
            (0..number).for_each(|_| drop(mutate(&corpus, &again)));
            let mutant = mutate(&corpus, &again);
            panic!("seed {SEED:#x}, mutant {number}: {mutant:?}: {panic:?}");
        }
    }
}

fn run(catalog: &mut Fake, sql: &str) {
    let characters = sql.chars().count();
    let in_text = |error: &sql::Error| {
        let inside = error.position.is_none_or(|position| (1..=characters + 1).contains(&position));
        assert!(inside, "{}: {sql:?}", render_error(error));
    };
    match sql::parse(sql) {
        Err(error) => in_text(&error),
        Ok(statements) => {
            for statement in statements {
                let session = session();
                let _ = sql::describe(&statement, &session, catalog, &mut Params::default());
                match sql::plan(&statement, &session, catalog, &mut Params::default()) {
                    Ok(plan) => catalog.apply(&plan),
                    Err(error) => in_text(&error),
                }
            }
        }
    }
}

/// The inputs of all scripts, split at semicolons.
fn corpus() -> Vec<String> {
    let mut statements = Vec::new();
    for directory in ["tests/scripts", "tests/query_scripts"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let mut paths: Vec<_> =
            fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(path).expect("a script");
            for block in text.split("\n\n") {
                let input = block.split("----").next().unwrap_or_default();
                let input: Vec<&str> = input.lines().skip(1).filter(|line| !line.starts_with('#')).collect();
                statements.extend(input.join("\n").split(';').map(|statement| statement.trim().to_owned()));
            }
        }
    }
    statements.retain(|statement| !statement.is_empty());
    statements
}

fn mutate(corpus: &[String], rng: &Rng) -> String {
    let pick = |count: usize| rng.below(count as u64) as usize;
    let mut words = words(&corpus[pick(corpus.len())]);
    for _ in 0..1 + pick(4) {
        let at = pick(words.len() + 1);
        match pick(5) {
            0 if at < words.len() => drop(words.remove(at)),
            1 => words.insert(at, PIECES[pick(PIECES.len())].to_owned()),
            2 => {
                let other = self::words(&corpus[pick(corpus.len())]);
                let from = pick(other.len());
                let to = (from + 1 + pick(8)).min(other.len());
                words.splice(at..at, other[from..to].iter().cloned());
            }
            3 if at < words.len() => {
                let other = pick(words.len());
                words.swap(at, other);
            }
            _ => words.truncate(at.max(1)),
        }
        if words.is_empty() {
            words.push("SELECT".to_owned());
        }
    }
    words.join(if pick(8) == 0 { "" } else { " " })
}

/// The text in pieces: words, and each other character alone.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_word = false;
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || character == '_';
        match words.last_mut() {
            Some(last) if in_word && is_word => last.push(character),
            _ if character.is_whitespace() => {}
            _ => words.push(character.to_string()),
        }
        in_word = is_word;
    }
    words
}
