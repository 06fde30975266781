//! Text input of every type; the first byte chooses it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((choice, _)) = data.split_first()
        && let Some(rest) = text.get(1..)
    {
        sql::probe::text_input(*choice, rest);
    }
});
