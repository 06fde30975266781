//! The part format's round trip, golden bytes and resistance to damage.

use super::*;
use stdx::Rng;

const COMPRESSED_GOLDEN: &str = include_str!("../../tests/golden/part_v1.hex");
const PLAIN_GOLDEN: &str = "52504631002c0000002c000000e3aac4e50603030303030300000001010102020203030304040405050501d804010001020100010201000402010301020601043906ac02ae02030000000d0000000b029b5c52504631";
const KEY: &str = "part/0000000000300-1-00112233445566778899aabbccddeeff.rpf";

fn write(updates: &[Update]) -> PartWriter {
    let mut writer = PartWriter::new();
    for (row, time, diff) in updates {
        writer.push(row.as_bytes(), *time, *diff);
    }
    writer
}

fn read(mut reader: PartReader) -> Result<Vec<Update>, CorruptPart> {
    let mut updates = Vec::new();
    while let Some(block) = reader.next_block() {
        updates.extend(block?);
    }
    Ok(updates)
}

fn read_file(part: &HollowPart, bytes: Bytes) -> Result<Vec<Update>, CorruptPart> {
    read(PartReader::file(part, bytes)?)
}

fn random_updates(rng: &Rng, count: u64) -> Vec<Update> {
    let mut updates = Vec::new();
    for _ in 0..count {
        let mut row = rng.below(1000).to_be_bytes().to_vec();
        row.resize(8 + usize::try_from(rng.below(300)).unwrap(), 9);
        let time = Timestamp::new(if rng.below(20) == 0 { rng.next_u64() } else { 1000 + rng.below(5) });
        let diff = Diff::new(if rng.below(20) == 0 { rng.next_u64() as i64 } else { 1 });
        updates.push((Row::from_bytes(&row), time, diff));
    }
    consolidate(&mut updates);
    updates
}

fn golden_updates() -> Vec<Update> {
    let update = |n: u64| {
        let (time, diff) = (Timestamp::new(300 + n / 2), Diff::new(if n == 4 { -2 } else { 1 }));
        (Row::from_bytes(&[n as u8; 3]), time, diff)
    };
    (0..6).map(update).collect()
}

#[test]
fn a_part_has_its_golden_bytes() {
    let updates = golden_updates();
    let (bytes, part) = write(&updates).finish_file(KEY.to_owned());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, PLAIN_GOLDEN);
    assert_eq!((part.t_min, part.t_max, part.updates), (Timestamp::new(300), Timestamp::new(302), 6));
    assert_eq!(read_file(&part, bytes), Ok(updates));
}

/// Only read: another version of the compressor may write other bytes that mean the same.
#[test]
fn a_compressed_golden_part_is_read() {
    let mut updates = golden_updates();
    updates.push((Row::from_bytes(&[7; 200]), Timestamp::new(300), Diff::ONE));
    let digits: Vec<char> = COMPRESSED_GOLDEN.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let bytes: Bytes = digits.chunks(2).map(byte).collect();
    assert_eq!(bytes[MAGIC.len()], LZ4);
    let (_, mut part) = write(&updates).finish_file(KEY.to_owned());
    part.bytes = bytes.len() as u64;
    assert_eq!(read_file(&part, bytes), Ok(updates));
}

#[test]
fn what_is_written_is_read() {
    for seed in 0..20 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let count = rng.below(8000);
        let updates = random_updates(&rng, count);
        assert_eq!(read(PartReader::inline("inline", write(&updates).finish_inline())), Ok(updates.clone()));
        let (bytes, part) = write(&updates).finish_file(KEY.to_owned());
        assert_eq!(read_file(&part, bytes), Ok(updates));
    }
}

#[test]
fn a_row_longer_than_a_block_is_kept() {
    let updates = vec![
        (Row::from_bytes(&[1]), Timestamp::new(1), Diff::ONE),
        (Row::from_bytes(&vec![2; 3 * BLOCK_BYTES]), Timestamp::new(1), Diff::ONE),
        (Row::from_bytes(&[3]), Timestamp::new(1), Diff::ONE),
    ];
    let (bytes, part) = write(&updates).finish_file(KEY.to_owned());
    assert_eq!(read_file(&part, bytes), Ok(updates));
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let seed = 5;
    println!("seed {seed}");
    let rng = Rng::from_seed(seed);
    let (bytes, part) = write(&random_updates(&rng, 3000)).finish_file(KEY.to_owned());
    for _ in 0..1000 {
        let bit = usize::try_from(rng.below(8 * bytes.len() as u64)).unwrap();
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = read_file(&part, damaged.into()).expect_err("a flipped bit");
        assert!(error.part == KEY && error.offset <= bit / 8 + TRAILER_BYTES, "bit {bit}: {error}");
    }
    for length in [0, 1, 10, bytes.len() / 2, bytes.len() - 1] {
        read_file(&part, bytes.slice(..length)).expect_err("a part cut off");
    }
}

#[test]
fn consolidation_adds_up_and_drops_what_cancels() {
    let (row, other) = (Row::from_bytes(&[1]), Row::from_bytes(&[2]));
    let at = Timestamp::new;
    let mut updates = vec![
        (other.clone(), at(1), Diff::ONE),
        (row.clone(), at(2), Diff::ONE),
        (row.clone(), at(1), Diff::new(2)),
        (other.clone(), at(1), Diff::MINUS_ONE),
        (row.clone(), at(1), Diff::ONE),
    ];
    consolidate(&mut updates);
    assert_eq!(updates, vec![(row.clone(), at(1), Diff::new(3)), (row, at(2), Diff::ONE)]);
}
