//! Messages of `shardctl`, with the parts in them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = persist::probe::shardctl_frame(Bytes::copy_from_slice(data));
});
