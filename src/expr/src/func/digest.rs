//! Hashes and checksums: those of the pgcrypto extension, and those by which other systems place rows.

use md5::Md5;
use repr::{Arena, Datum};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::ArgType::{Bytes, Int4, Text, UInt4, UInt8, Uuid};
use super::{FuncDef, Value, function, invalid_parameter};
use crate::error::EvalError;

pub(super) static TABLE: &[FuncDef] = &[
    function(
        "digest_text",
        "digest",
        &[Text, Text],
        Bytes,
        |a, _, arena| digest(a[0].unwrap_text().as_bytes(), a[1].unwrap_text(), arena),
        "The digest by an algorithm: md5, sha1, sha224, sha256, sha384 or sha512.",
    )
    .fallible(),
    function(
        "digest_bytes",
        "digest",
        &[Bytes, Text],
        Bytes,
        |a, _, arena| digest(bytes(a, 0, arena), a[1].unwrap_text(), arena),
        "The digest by an algorithm: md5, sha1, sha224, sha256, sha384 or sha512.",
    )
    .fallible(),
    function(
        "hmac_text",
        "hmac",
        &[Text, Text, Text],
        Bytes,
        |a, _, arena| hmac(a[0].unwrap_text().as_bytes(), a[1].unwrap_text().as_bytes(), a[2].unwrap_text(), arena),
        "The keyed digest of data, a key and an algorithm.",
    )
    .fallible(),
    function(
        "hmac_bytes",
        "hmac",
        &[Bytes, Bytes, Text],
        Bytes,
        |a, _, arena| hmac(bytes(a, 0, arena), bytes(a, 1, arena), a[2].unwrap_text(), arena),
        "The keyed digest of data, a key and an algorithm.",
    )
    .fallible(),
    function(
        "sha1_text",
        "sha1",
        &[Text],
        Bytes,
        |a, _, arena| Ok(Datum::bytes(arena.bytes(&Sha1::digest(a[0].unwrap_text())))),
        "SHA-1 digest.",
    ),
    function(
        "sha1_bytes",
        "sha1",
        &[Bytes],
        Bytes,
        |a, _, arena| Ok(Datum::bytes(arena.bytes(&Sha1::digest(bytes(a, 0, arena))))),
        "SHA-1 digest.",
    ),
    function(
        "crc32_text",
        "crc32",
        &[Text],
        UInt4,
        |a, _, _| Ok(Datum::UInt(crc32(a[0].unwrap_text().as_bytes()).into())),
        "CRC-32 checksum.",
    ),
    function(
        "crc32_bytes",
        "crc32",
        &[Bytes],
        UInt4,
        |a, _, arena| Ok(Datum::UInt(crc32(bytes(a, 0, arena)).into())),
        "CRC-32 checksum.",
    ),
    function(
        "kafka_murmur2_text",
        "kafka_murmur2",
        &[Text],
        Int4,
        |a, _, _| Ok(Datum::Int(kafka_murmur2(a[0].unwrap_text().as_bytes()).into())),
        "The hash by which Kafka's producers choose a partition.",
    ),
    function(
        "kafka_murmur2_bytes",
        "kafka_murmur2",
        &[Bytes],
        Int4,
        |a, _, arena| Ok(Datum::Int(kafka_murmur2(bytes(a, 0, arena)).into())),
        "The hash by which Kafka's producers choose a partition.",
    ),
    function(
        "seahash_text",
        "seahash",
        &[Text],
        UInt8,
        |a, _, _| Ok(Datum::UInt(seahash(a[0].unwrap_text().as_bytes()))),
        "The SeaHash of data.",
    ),
    function(
        "seahash_bytes",
        "seahash",
        &[Bytes],
        UInt8,
        |a, _, arena| Ok(Datum::UInt(seahash(bytes(a, 0, arena)))),
        "The SeaHash of data.",
    ),
    function(
        "uuid_generate_v5",
        "uuid_generate_v5",
        &[Uuid, Text],
        Uuid,
        |a, _, _| Ok(Datum::Uuid(uuid_v5(a[0].unwrap_uuid(), a[1].unwrap_text()))),
        "The UUID, version 5, of a name in a namespace.",
    ),
];

fn bytes<'a>(args: &[Datum<'a>], index: usize, arena: &'a Arena) -> &'a [u8] {
    super::binary::bytes(args, index, arena)
}

fn unknown(algorithm: &str) -> EvalError {
    invalid_parameter(format!("Cannot use \"{algorithm}\": No such hash algorithm"))
}

/// The digest of several pieces, and how many bytes the algorithm takes at once.
fn hashed(algorithm: &str, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize), EvalError> {
    fn of<D: Digest>(pieces: &[&[u8]]) -> Vec<u8> {
        let mut digest = D::new();
        pieces.iter().for_each(|piece| digest.update(piece));
        digest.finalize().to_vec()
    }
    Ok(match algorithm.to_ascii_lowercase().as_str() {
        "md5" => (of::<Md5>(pieces), 64),
        "sha1" => (of::<Sha1>(pieces), 64),
        "sha224" => (of::<Sha224>(pieces), 64),
        "sha256" => (of::<Sha256>(pieces), 64),
        "sha384" => (of::<Sha384>(pieces), 128),
        "sha512" => (of::<Sha512>(pieces), 128),
        _ => return Err(unknown(algorithm)),
    })
}

fn digest<'a>(data: &[u8], algorithm: &str, arena: &'a Arena) -> Value<'a> {
    Ok(Datum::bytes(arena.bytes(&hashed(algorithm, &[data])?.0)))
}

/// RFC 2104.
fn hmac<'a>(data: &[u8], key: &[u8], algorithm: &str, arena: &'a Arena) -> Value<'a> {
    let (hashed_key, block) = hashed(algorithm, &[key])?;
    let mut padded = if key.len() > block { hashed_key } else { key.to_vec() };
    padded.resize(block, 0);
    let masked = |mask: u8| padded.iter().map(|byte| byte ^ mask).collect::<Vec<u8>>();
    let inner = hashed(algorithm, &[&masked(0x36), data])?.0;
    Ok(Datum::bytes(arena.bytes(&hashed(algorithm, &[&masked(0x5c), &inner])?.0)))
}

/// The checksum of IEEE 802.3.
fn crc32(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
}

/// MurmurHash2 with Kafka's seed, the sign dropped.
fn kafka_murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let word = u32::from_le_bytes(chunk.try_into().expect("four bytes")).wrapping_mul(FACTOR);
        let word = (word ^ word >> 24).wrapping_mul(FACTOR);
        hash = hash.wrapping_mul(FACTOR) ^ word;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(FACTOR);
    (hash ^ hash >> 15) & 0x7fff_ffff
}

/// SeaHash with its default seeds.
fn seahash(data: &[u8]) -> u64 {
    fn diffuse(value: u64) -> u64 {
        const FACTOR: u64 = 0x6eed_0e9d_a4d9_4a4f;
        let value = value.wrapping_mul(FACTOR);
        (value ^ (value >> 32) >> (value >> 60)).wrapping_mul(FACTOR)
    }
    let mut state = [0x16f1_1fe8_9b0d_677c, 0xb480_a793_d8e6_c86c, 0x6fe2_e5aa_f078_ebc9, 0x14f9_94a4_c525_9381_u64];
    for chunk in data.chunks(8) {
        let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mixed = diffuse(state[0] ^ word);
        state = [state[1], state[2], state[3], mixed];
    }
    diffuse(state.iter().fold(data.len() as u64, |all, part| all ^ part))
}

/// RFC 9562: the SHA-1 of namespace and name with the version in it.
fn uuid_v5(namespace: uuid::Uuid, name: &str) -> uuid::Uuid {
    let digest = Sha1::new().chain_update(namespace.as_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}
