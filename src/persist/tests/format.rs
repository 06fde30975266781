//! What is durable stays readable: golden bytes of entries and checkpoints, and refusal of what is damaged or newer.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use persist::{
    BatchDesc, Checkpoint, Columns, DecodeError, Entry, Group, GroupId, HollowPart, LogError, Manifest, Op, Part,
    PartFile, Pin, PinId, SchemaId, Shard, State, Txn, Validate, WriterId, decode_state, decode_txns, encode_state,
    encode_txns,
};
use repr::{Kind, ShardId, Timestamp};
use stdx::Rng;
use uuid::Uuid;

fn time(millis: u64) -> Timestamp {
    Timestamp::new(millis)
}

fn batch(id: u64, lower: u64, upper: u64) -> BatchDesc {
    let hollow = HollowPart {
        key: "part/0000000000300-1-00112233445566778899aabbccddeeff.rpf".to_owned(),
        bytes: 70_000,
        updates: 900,
        t_min: time(lower),
        t_max: time(upper - 1),
        statistics: Bytes::from_static(b"s"),
    };
    BatchDesc {
        id,
        lower: time(lower),
        upper: time(upper),
        since: time(0),
        updates: 901,
        bytes: 70_003,
        token: Uuid::from_u128(77),
        parts: [Part::Inline(Bytes::from_static(b"abc")), Part::Hollow(hollow)].into(),
    }
}

fn columns() -> Columns {
    Columns::new([Kind::Int, Kind::Text]).with(Kind::Bool, Bytes::from_static(b"\x02"))
}

/// One of each operation, with every option both ways.
fn txns() -> Vec<Txn> {
    let (shard, writer) = (ShardId(300), WriterId { generation: 2, writer: 3, incarnation: 4 });
    let validate = vec![Validate { read_ts: time(9), tables: vec![ShardId(1), ShardId(2)] }];
    let ops = vec![
        Op::Open {
            log_id: Uuid::from_u128(1),
            epoch: 5,
            nonce: Uuid::from_u128(2),
            generation: 6,
            version: 7,
            lease_ms: 15_000,
        },
        Op::Close { read_ts: time(1_700_000_000_000) },
        Op::Create { shard, group: Some(GroupId(0)), schema: SchemaId(8), since: time(10), scheduled: false },
        Op::Create { shard, group: None, schema: SchemaId(8), since: time(10), scheduled: true },
        Op::Retire { shard },
        Op::Append { shard, writer, expect_upper: time(0), new_upper: Timestamp::MAX, batch: None },
        Op::Append { shard, writer, expect_upper: time(11), new_upper: time(12), batch: Some(batch(0, 11, 12)) },
        Op::Commit {
            group: GroupId(0),
            expect_upper: time(12),
            ts: time(13),
            validate,
            catalog: Some(14),
            appends: vec![(shard, SchemaId(8), batch(0, 13, 14))],
        },
        Op::Commit {
            group: GroupId(1),
            expect_upper: time(0),
            ts: time(1),
            validate: Vec::new(),
            catalog: None,
            appends: Vec::new(),
        },
        Op::Since { shard, generation: 2, since: time(15) },
        Op::Replace { shard, generation: 2, inputs: vec![1, 2], output: batch(0, 11, 14) },
        Op::Schema { shard, schema: SchemaId(9), columns: columns() },
        Op::Pin { id: PinId(1), seq: 16, expires: time(17) },
        Op::Unpin { id: PinId(1) },
    ];
    vec![Txn::default(), Txn { ops }]
}

fn state() -> State {
    let shard = |group| Shard {
        group,
        schema: SchemaId(1),
        columns: columns(),
        created: time(2),
        since: time(3),
        upper: time(40),
        next_batch: 5,
        batches: Arc::new(vec![batch(4, 0, 40)]),
        closed: false,
        scheduled: true,
        retired: false,
        tokens: VecDeque::from([Uuid::from_u128(9), Uuid::from_u128(10)]),
    };
    State {
        log_id: Uuid::from_u128(1),
        epoch: 2,
        generation: 3,
        nonce: Uuid::from_u128(4),
        lease_ms: 15_000,
        closed: true,
        next_seq: 6,
        catalog_version: 7,
        read_floor: time(8),
        version_max: 9,
        shards: [(ShardId(1), shard(Some(GroupId(0)))), (ShardId(2), shard(None))].into(),
        groups: [(GroupId(0), Group { upper: time(40) })].into(),
        pins: [(PinId(11), Pin { seq: 12, expires: time(13) })].into(),
    }
}

fn entry() -> Entry {
    Entry::new(6, 2, Uuid::from_u128(4), encode_txns(&txns()))
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(Uuid::from_u128(1), 5, 2, Uuid::from_u128(4), encode_state(&state()))
}

fn manifest() -> Manifest {
    Manifest {
        id: "0000000000300-6-00112233".to_owned(),
        created: time(300),
        log_id: Uuid::from_u128(1),
        epoch: 2,
        base: 5,
        seq: 6,
        from: time(200),
        to: time(299),
        log_bytes: 1234,
        log_crc: 0xdead_beef,
        parts: vec![PartFile {
            key: "part/0000000000300-1-00112233445566778899aabbccddeeff.rpf".to_owned(),
            bytes: 70_000,
        }],
    }
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}

/// `REWRITE=1` writes the file instead: only ever before a version is released.
fn golden(name: &str, bytes: &[u8]) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::vars().any(|(name, _)| name == "REWRITE") {
        std::fs::write(&path, hex(bytes)).expect("the golden file can be written");
    }
    assert_eq!(hex(bytes), std::fs::read_to_string(path).expect("the golden file"));
}

#[test]
fn entries_have_their_golden_bytes() {
    golden("entry_v1.hex", &entry().encode());
}

#[test]
fn checkpoints_have_their_golden_bytes() {
    golden("checkpoint_v1.hex", &checkpoint().encode());
}

#[test]
fn manifests_have_their_golden_bytes() {
    golden("manifest_v1.hex", &manifest().encode());
    assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    let bytes = manifest().encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&damaged.into()).is_err(), "bit {bit} of a manifest");
    }
    for length in 0..bytes.len() {
        assert!(Manifest::decode(&bytes.slice(..length)).is_err(), "cut to {length} bytes");
    }
}

/// Every operation is in the golden bytes, so none can change unseen.
#[test]
fn the_golden_entry_has_every_operation() {
    type Kind = fn(&Op) -> bool;
    let txns = txns();
    let named = |found: Kind| txns.iter().flat_map(|txn| &txn.ops).any(found);
    let kinds: [(&str, Kind); 11] = [
        ("Open", |op| matches!(op, Op::Open { .. })),
        ("Close", |op| matches!(op, Op::Close { .. })),
        ("Create", |op| matches!(op, Op::Create { .. })),
        ("Retire", |op| matches!(op, Op::Retire { .. })),
        ("Append", |op| matches!(op, Op::Append { .. })),
        ("Commit", |op| matches!(op, Op::Commit { .. })),
        ("Since", |op| matches!(op, Op::Since { .. })),
        ("Replace", |op| matches!(op, Op::Replace { .. })),
        ("Schema", |op| matches!(op, Op::Schema { .. })),
        ("Pin", |op| matches!(op, Op::Pin { .. })),
        ("Unpin", |op| matches!(op, Op::Unpin { .. })),
    ];
    for (name, found) in kinds {
        assert!(named(found), "{name} has no golden bytes");
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    assert_eq!(decode_txns(&encode_txns(&txns())), Ok(txns()));
    assert_eq!(decode_state(&encode_state(&state())), Ok(state()));
    assert_eq!(Entry::decode(6, entry().encode()).expect("sound"), entry());
    assert_eq!(Checkpoint::decode(checkpoint().encode()).expect("sound"), checkpoint());
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut body = encode_txns(&txns()).to_vec();
    body[0] = 2;
    assert_eq!(decode_txns(&body.into()), Err(DecodeError::Newer { found: 2, supported: 1 }));
    let mut bytes = entry().encode().to_vec();
    bytes[0] = 2;
    assert!(matches!(Entry::decode(6, bytes.into()), Err(LogError::Newer(text)) if text.contains("version 2")));
}

#[test]
fn every_flipped_bit_is_found() {
    let (entry, checkpoint) = (entry().encode(), checkpoint().encode());
    for bit in 0..entry.len() * 8 {
        let mut damaged = entry.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Entry::decode(6, damaged.into()).is_err(), "bit {bit} of an entry");
    }
    for bit in 0..checkpoint.len() * 8 {
        let mut damaged = checkpoint.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::decode(damaged.into()).is_err(), "bit {bit} of a checkpoint");
    }
    assert!(Entry::decode(7, entry).is_err(), "an entry in another's slot");
}

#[test]
fn garbage_is_refused_without_panic() {
    let seed = 42;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let (txns, state) = (encode_txns(&txns()), encode_state(&state()));
    for round in 0..20_000u64 {
        let mut bytes = if round % 2 == 0 { txns.to_vec() } else { state.to_vec() };
        for _ in 0..1 + rng.below(4) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            bytes[at] = rng.next_u64() as u8;
        }
        bytes.truncate(usize::try_from(rng.below(bytes.len() as u64 + 1)).unwrap());
        // Whatever they say, they must not panic nor ask for much memory.
        let bytes = Bytes::from(bytes);
        let _ = (Manifest::decode(&bytes), Entry::decode(6, bytes.clone()), Checkpoint::decode(bytes.clone()));
        let _ = decode_state(&bytes).map(|state| state.check());
        // What can be decoded is either refused by the state machine or leaves it sound, which it checks itself.
        let mut state = State { next_seq: 17, ..State::default() };
        for txn in decode_txns(&bytes).unwrap_or_default() {
            let before = state.clone();
            if state.apply(&txn).is_err() {
                assert_eq!(state, before);
            }
        }
    }
}

#[test]
fn counts_that_promise_much_are_refused_before_anything_is_allocated() {
    // Version, then a count of 2^62 transactions, operations, shards, ...: whatever stands there.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
    let body = Bytes::from([&[1][..], &huge].concat());
    assert!(matches!(decode_txns(&body), Err(DecodeError::Damaged(_))));
    let state = encode_state(&state());
    for at in 0..state.len() {
        let bytes = [&state[..at], &huge, &state[at..]].concat();
        let _ = decode_state(&Bytes::from(bytes));
    }
    let txns = encode_txns(&txns());
    for at in 0..txns.len() {
        let bytes = [&txns[..at], &huge, &txns[at..]].concat();
        let _ = decode_txns(&Bytes::from(bytes));
    }
}
