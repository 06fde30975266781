//! Templates of to_char, to_number, to_date and format: a value, a line's end, a template.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (value, format) = sql::probe::halves(text);
    sql::probe::format_strings(value, format);
});
