//! The part format's round trip, golden bytes and resistance to damage.

use super::*;
use repr::row::NOT_A_ROW;
use repr::{Bounds, ColumnBounds, Datum, Kind};
use stdx::Rng;

const KEY: &str = "part/0000000000300-1-00112233445566778899aabbccddeeff.rpf";

fn write(updates: &[Update]) -> PartWriter {
    write_columns(updates, Columns::default())
}

fn write_columns(updates: &[Update], columns: Columns) -> PartWriter {
    let mut writer = PartWriter::new(columns);
    for (row, time, diff) in updates {
        writer.push(row.as_bytes(), *time, *diff);
    }
    writer
}

fn read(mut reader: BlocksReader) -> Result<Vec<Update>, CorruptPart> {
    let mut updates = Vec::new();
    while let Some(block) = reader.next_block() {
        updates.extend(block?);
    }
    Ok(updates)
}

fn read_file(part: &HollowPart, bytes: Bytes) -> Result<Vec<Update>, CorruptPart> {
    let footer = open_file(part, &bytes)?;
    let end = footer.blocks.last().map_or(MAGIC.len(), |block| block.offset + block.bytes);
    let blocks = bytes.slice(MAGIC.len()..end);
    read(BlocksReader::new(&part.key, MAGIC.len(), blocks, Columns::default()))
}

fn inline(bytes: Bytes) -> BlocksReader {
    BlocksReader::new("inline", 0, bytes, Columns::default())
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

fn golden_columns() -> Columns {
    Columns::new([Kind::Int, Kind::Text, Kind::Interval])
}

/// With all there is in statistics: a NULL, a text that is cut, a column without, and an error beside the rows.
fn golden_updates() -> Vec<Update> {
    let long = "z".repeat(100);
    let row = |n: i64| {
        let text = if n == 2 { Datum::Null } else { Datum::Text(if n == 3 { &long } else { "abc" }) };
        Row::pack([Datum::Int(n), text, Datum::Null])
    };
    let update = |n: i64| {
        let millis = u64::try_from(300 + n / 2).expect("small");
        (row(n), Timestamp::new(millis), Diff::new(if n == 4 { -2 } else { 1 }))
    };
    let mut updates: Vec<Update> = (0..6).map(update).collect();
    updates.push((Row::from_bytes(&[NOT_A_ROW, 1, 2]), Timestamp::new(300), Diff::ONE));
    updates
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}

/// Another version of the compressor may write other bytes that mean the same: then `REWRITE=1` only after a look at why.
#[test]
fn a_part_has_its_golden_bytes() {
    let updates = golden_updates();
    let (bytes, part) = write_columns(&updates, golden_columns()).finish_file(KEY.to_owned());
    let text = format!("{}\n{}", hex(&bytes), hex(&part.statistics));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/part_v1.hex");
    if std::env::vars().any(|(name, _)| name == "REWRITE") {
        std::fs::write(path, &text).expect("the golden file can be written");
    }
    assert_eq!(text, std::fs::read_to_string(path).expect("the golden file"));
    assert_eq!((part.t_min, part.t_max, part.updates), (Timestamp::new(300), Timestamp::new(302), 7));
    assert_eq!(read_file(&part, bytes), Ok(updates));
}

#[test]
fn statistics_bound_what_is_there() {
    let mut updates = golden_updates();
    updates.pop();
    let (bytes, part) = write_columns(&updates, golden_columns()).finish_file(KEY.to_owned());
    let Summary { first, statistics } = Summary::decode(&part.statistics);
    assert!(updates[0].0.as_bytes().starts_with(&first) && statistics.opaque == 0);
    assert_eq!(open_file(&part, &bytes).map(|footer| footer.blocks[0].statistics.columns.len()), Ok(3));
    let may = |column: usize, bounds: ColumnBounds| {
        statistics.may_match(&Bounds::on(column, bounds), &golden_columns().with(Kind::Int, packed(Datum::Int(7))))
    };
    let equal = |datum: Datum<'_>| ColumnBounds::range(Some(&packed(datum)), Some(&packed(datum)));
    assert!(may(0, equal(Datum::Int(0))) && may(0, equal(Datum::Int(5))));
    assert!(!may(0, equal(Datum::Int(6))) && !may(0, equal(Datum::Int(-1))) && !may(0, ColumnBounds::null()));
    assert!(may(1, ColumnBounds::null()) && may(1, equal(Datum::Text("zzz"))) && !may(1, equal(Datum::Text("aa"))));
    assert!(may(1, equal(Datum::Text(&"z".repeat(200)))), "a bound that was cut is still one");
    assert!(!may(1, equal(Datum::Text("{"))));
    assert!(may(2, equal(Datum::Int(1))), "nothing is known of an interval");
    assert!(may(3, equal(Datum::Int(7))) && !may(3, equal(Datum::Int(8))), "a column that came later has its default");
    assert!(may(4, equal(Datum::Int(1))), "a column that nobody knows");
}

fn packed(datum: Datum<'_>) -> Bytes {
    Bytes::copy_from_slice(Row::pack_one(datum).as_bytes())
}

#[test]
fn what_a_log_entry_says_of_a_part_is_short() {
    let columns = Columns::new(vec![Kind::Text; 200]);
    let text = "long ".repeat(50);
    let row = Row::pack(vec![Datum::Text(&text); 200]);
    let (_, part) = write_columns(&[(row, Timestamp::new(1), Diff::ONE)], columns.clone()).finish_file(KEY.to_owned());
    assert!(part.statistics.len() < 1000, "{} bytes", part.statistics.len());
    let statistics = Summary::decode(&part.statistics).statistics;
    let other = packed(Datum::Text("other"));
    let bounds = |column| Bounds::on(column, ColumnBounds::range(Some(&other), Some(&other)));
    assert!(!statistics.may_match(&bounds(0), &columns) && statistics.may_match(&bounds(199), &columns));
}

#[test]
fn rows_with_fewer_columns_are_filled_up() {
    let (before, after) =
        (Columns::new([Kind::Int]), Columns::new([Kind::Int]).with(Kind::Text, packed(Datum::Text("x"))));
    let at = Timestamp::new(1);
    let error = Row::from_bytes(&[NOT_A_ROW, 9]);
    let updates = [(Row::pack_one(Datum::Int(1)), at, Diff::ONE), (error.clone(), at, Diff::ONE)];
    let bytes = write_columns(&updates, before).finish_inline();
    let read = read(BlocksReader::new("inline", 0, bytes, after));
    let filled = Row::pack([Datum::Int(1), Datum::Text("x")]);
    assert_eq!(read, Ok(vec![(filled, at, Diff::ONE), (error, at, Diff::ONE)]));
}

#[test]
fn what_is_written_is_read() {
    for seed in 0..20 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let count = rng.below(8000);
        let updates = random_updates(&rng, count);
        assert_eq!(read(inline(write(&updates).finish_inline())), Ok(updates.clone()));
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
    let updates = random_updates(&rng, 800);
    let (bytes, part) = write(&updates).finish_file(KEY.to_owned());
    for _ in 0..1000 {
        let (bit, damaged) = flip(&rng, &bytes);
        let error = read_file(&part, damaged).expect_err("a flipped bit");
        assert!(error.part == KEY && error.offset <= bit / 8 + TRAILER_BYTES, "bit {bit}: {error}");
    }
    for length in [0, 1, 10, bytes.len() / 2, bytes.len() - 1] {
        read_file(&part, bytes.slice(..length)).expect_err("a part cut off");
    }
    let other = HollowPart { key: KEY.replace("0011", "1100"), ..part };
    read_file(&other, bytes).expect_err("a part in another's place");
    let bytes = write(&updates).finish_inline();
    for _ in 0..1000 {
        let (bit, damaged) = flip(&rng, &bytes);
        let error = read(inline(damaged)).expect_err("a flipped bit");
        assert!(error.offset <= bit / 8, "bit {bit}: {error}");
    }
}

fn flip(rng: &Rng, bytes: &Bytes) -> (usize, Bytes) {
    let bit = usize::try_from(rng.below(8 * bytes.len() as u64)).unwrap();
    let mut damaged = bytes.to_vec();
    damaged[bit / 8] ^= 1 << (bit % 8);
    (bit, damaged.into())
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
