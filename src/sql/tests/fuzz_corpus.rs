//! The fuzz targets of what users type, over their corpus and over mutations of it, as plain tests.
//!
//! `FRESHET_TEST_MUTATIONS` sets how many mutations of each input are tried, `FRESHET_TEST_SEED` the seed.

use std::path::Path;

use sql::probe;
use stdx::Rng;

const MUTATIONS: u64 = 300;

#[allow(clippy::disallowed_methods, reason = "a test has no flags")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The inputs that the fuzz target starts from.
fn corpus(target: &str) -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("it is there").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    paths.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect()
}

/// The text with a few of its characters changed, doubled, left out, or taken from another.
fn mutated(rng: &Rng, text: &str, other: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let others: Vec<char> = other.chars().collect();
    for _ in 0..=rng.next_u64() % 3 {
        let at = (rng.next_u64() % (characters.len() as u64 + 1)) as usize;
        let pick = |from: &[char]| from.get((rng.next_u64() % from.len().max(1) as u64) as usize).copied();
        match rng.next_u64() % 5 {
            0 if at < characters.len() => {
                characters.remove(at);
            }
            1 if at < characters.len() => characters.insert(at, characters[at]),
            2 => characters
                .insert(at, pick(&['\'', '"', '\\', '%', '9', '0', '-', '.', ':', 'é', ' ', '{']).unwrap_or('x')),
            3 => characters.insert(at, pick(&others).unwrap_or('x')),
            _ => {
                let start = (rng.next_u64() % (others.len() as u64 + 1)) as usize;
                characters.truncate(at);
                characters.extend(others[start..].iter().take(20));
            }
        }
    }
    characters.into_iter().collect()
}

/// Runs the probe on a stack that is enough for all that is admitted.
fn run(target: &'static str, probe: fn(&str)) {
    let check = move || {
        let inputs = corpus(target);
        let seed = setting("FRESHET_TEST_SEED").unwrap_or(1);
        let rng = Rng::from_seed(seed);
        for (index, input) in inputs.iter().enumerate() {
            probe(input);
            for round in 0..setting("FRESHET_TEST_MUTATIONS").unwrap_or(MUTATIONS) {
                let other = &inputs[(rng.next_u64() % inputs.len() as u64) as usize];
                let text = mutated(&rng, input, other);
                let outcome = std::panic::catch_unwind(|| probe(&text));
                assert!(outcome.is_ok(), "{target}: seed {seed}, input {index}, round {round}: {text:?}");
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(check).expect("a thread").join().expect("the law holds");
}

/// What the fuzz targets make of an input whose first characters choose types.
fn first_byte(text: &str) -> (u8, &str) {
    match text.chars().next() {
        Some(first) => ((u32::from(first) % 256) as u8, &text[first.len_utf8()..]),
        None => (0, text),
    }
}

#[test]
fn statements_survive_printing() {
    run("parser", probe::parser);
}

#[test]
fn every_type_reads_what_it_prints() {
    run("text_input", |text| {
        // Whatever the corpus chose: every type sees every text.
        for choice in 0..64 {
            probe::text_input(choice, text);
        }
    });
}

#[test]
fn casts_give_their_type() {
    run("casts", |text| {
        let (from, rest) = first_byte(text);
        let (to, rest) = first_byte(rest);
        probe::casts(from, to, rest);
    });
}

#[test]
fn patterns_end() {
    run("pattern", |text| {
        let (value, pattern) = probe::halves(text);
        probe::pattern(value, pattern);
    });
}

#[test]
fn documents_survive_printing() {
    run("jsonb", |text| {
        let (path, document) = probe::halves(text);
        probe::jsonb(document, path);
    });
}

#[test]
fn intervals_survive_printing() {
    run("interval", probe::interval);
}

#[test]
fn templates_end() {
    run("format_strings", |text| {
        let (value, format) = probe::halves(text);
        probe::format_strings(value, format);
    });
}
