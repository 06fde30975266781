//! Documents and paths: a path, a line's end, a document.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, document) = sql::probe::halves(text);
    sql::probe::jsonb(document, path);
});
