//! Files of parts.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = persist::probe::part(Bytes::copy_from_slice(data));
});
