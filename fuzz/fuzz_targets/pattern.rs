//! LIKE, SIMILAR TO and regular expressions: a value, a line's end, a pattern.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (value, pattern) = sql::probe::halves(text);
    sql::probe::pattern(value, pattern);
});
