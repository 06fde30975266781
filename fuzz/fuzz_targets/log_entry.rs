//! Log entries, whole and their bodies alone.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use persist::{Entry, decode_txns, encode_txns};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(entry) = Entry::decode(1, bytes.clone()) {
        let _ = decode_txns(&entry.body);
    }
    if let Ok(txns) = decode_txns(&bytes) {
        assert_eq!(decode_txns(&encode_txns(&txns)), Ok(txns));
    }
});
