//! Checkpoints, whole and their states alone.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use persist::{Checkpoint, decode_state, encode_state};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(checkpoint) = Checkpoint::decode(bytes.clone()) {
        let _ = decode_state(&checkpoint.state);
    }
    if let Ok(state) = decode_state(&bytes) {
        assert_eq!(decode_state(&encode_state(&state)), Ok(state));
    }
});
