//! Casts between all types; the first two bytes choose them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let ([from, to, ..], Some(rest)) = (data, text.get(2..)) {
        sql::probe::casts(*from, *to, rest);
    }
});
