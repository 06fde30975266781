//! What the generators promise: relations that fit, keys that are keys, counts by scale, ticks that replay.

use std::collections::{BTreeMap, BTreeSet};

use protocol::source::{LoadGenerator, LoadGeneratorKind};
use repr::{Datum, Kind, RelationDesc};

use super::*;

fn options(kind: LoadGeneratorKind) -> LoadGenerator {
    LoadGenerator { kind, tick_interval_ms: Some(1000), as_of: 0, up_to: None }
}

fn tpch(scale_factor_millionths: u64) -> LoadGenerator {
    options(LoadGeneratorKind::Tpch { scale_factor_millionths })
}

fn times(options: &LoadGenerator) -> (Generator, TickTimes) {
    let generator = Generator::new(options);
    let times = generator.tick_times(Timestamp::from_millis(5_000_000), generator.start());
    (generator, times)
}

/// The contents of each relation when the offsets below `frontier` have happened.
fn contents(options: &LoadGenerator, frontier: u64) -> BTreeMap<&'static str, BTreeMap<Row, i64>> {
    let (generator, times) = times(options);
    let relation = |reference: &str| {
        let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
        for offset in 0..frontier {
            for (row, diff) in generator.changes(reference, offset, times) {
                *rows.entry(row).or_default() += diff.get();
            }
        }
        rows.retain(|_, count| *count != 0);
        rows
    };
    options.relations().into_iter().map(|(reference, _)| (reference, relation(reference))).collect()
}

fn column(rows: &BTreeMap<Row, i64>, desc: &RelationDesc, name: &str) -> Vec<i64> {
    let index = desc.column(name).expect("the column exists");
    rows.keys().map(|row| row.unpack(&desc.typ.kinds())[index].unwrap_int()).collect()
}

/// Every row has the columns its relation says, none twice, and every declared key is one.
fn check_relations(options: &LoadGenerator, frontier: u64) {
    let contents = contents(options, frontier);
    for (reference, desc) in options.relations() {
        let rows = &contents[reference];
        let kinds: Vec<Kind> = desc.typ.kinds();
        let mut keys = BTreeSet::new();
        for (row, count) in rows {
            assert_eq!(*count, 1, "{reference}");
            repr::row::check(row.as_bytes(), &kinds).expect("the row has the relation's columns");
            let datums = row.unpack(&kinds);
            assert!(datums.iter().all(|datum| !datum.is_null()), "{reference} has no NULL");
            for key in &desc.typ.keys {
                let key = Row::pack(key.iter().map(|column| datums[*column]));
                assert!(keys.insert(key), "{reference}: a key occurs twice");
            }
        }
    }
}

#[test]
fn rows_fit_their_relations_and_keys_are_keys() {
    check_relations(&options(LoadGeneratorKind::Auction), 500);
    check_relations(&options(LoadGeneratorKind::Counter { max_cardinality: None }), 100);
    check_relations(&tpch(1_000), 40);
    check_relations(&tpch(37), 300);
}

#[test]
fn auction_relations_refer_to_each_other() {
    let options = options(LoadGeneratorKind::Auction);
    let contents = contents(&options, 1000);
    let descs: BTreeMap<_, _> = options.relations().into_iter().collect();
    let values = |relation: &str, name: &str| -> BTreeSet<i64> {
        column(&contents[relation], &descs[relation], name).into_iter().collect()
    };
    assert_eq!(contents["organizations"].len(), 75);
    assert_eq!(contents["users"].len(), 4096);
    assert_eq!(values("users", "org_id"), values("organizations", "id"));
    let accounts: BTreeSet<i64> = values("accounts", "id").iter().map(|id| id - 42).collect();
    assert_eq!(accounts, values("organizations", "id"));
    assert!(values("auctions", "seller").is_subset(&values("users", "id")));
    assert!(values("bids", "buyer").is_subset(&values("users", "id")));
    assert!(values("bids", "auction_id").is_subset(&values("auctions", "id")));
    assert!(values("bids", "amount").iter().all(|amount| (1..=99).contains(amount)));
    assert_eq!(contents["auctions"].len() + contents["bids"].len(), 999);
}

#[test]
fn bids_come_while_their_auction_is_open() {
    let options = options(LoadGeneratorKind::Auction);
    let contents = contents(&options, 500);
    let descs: BTreeMap<_, _> = options.relations().into_iter().collect();
    let auctions = &contents["auctions"];
    let ends: BTreeMap<i64, i64> = auctions
        .keys()
        .map(|row| row.unpack(&descs["auctions"].typ.kinds()))
        .map(|datums| (datums[0].unwrap_int(), datums[3].unwrap_timestamp()))
        .collect();
    for row in contents["bids"].keys() {
        let bid = row.unpack(&descs["bids"].typ.kinds());
        let (id, auction, time) = (bid[0].unwrap_int(), bid[2].unwrap_int(), bid[4].unwrap_timestamp());
        assert_eq!(id / 10, auction);
        assert_eq!(time, ends[&auction] - 10_000_000 + (id % 10) * 1_000_000);
    }
}

#[test]
fn counter_keeps_the_last_numbers() {
    let counted = |max_cardinality, frontier| {
        let options = options(LoadGeneratorKind::Counter { max_cardinality });
        let contents = contents(&options, frontier);
        contents["counter"].keys().map(|row| row.unpack_first(Kind::Int).unwrap_int()).collect::<Vec<_>>()
    };
    assert_eq!(counted(None, 5), [1, 2, 3, 4, 5]);
    assert_eq!(counted(Some(3), 5), [3, 4, 5]);
    assert_eq!(counted(Some(3), 2), [1, 2]);
    assert_eq!(counted(Some(0), 5), [0; 0]);
}

#[test]
fn tpch_counts_follow_the_scale_factor() {
    let contents = contents(&tpch(2_000), 1);
    let counts: BTreeMap<_, _> = contents.iter().map(|(reference, rows)| (*reference, rows.len())).collect();
    let expected = [
        ("customer", 300),
        ("nation", 25),
        ("orders", 3000),
        ("part", 400),
        ("partsupp", 1600),
        ("region", 5),
        ("supplier", 20),
    ];
    for (reference, count) in expected {
        assert_eq!(counts[reference], count, "{reference}");
    }
    // One to seven line items for each order, four in the mean.
    assert!((11_000..13_000).contains(&counts["lineitem"]), "{}", counts["lineitem"]);
}

#[test]
fn tpch_relations_refer_to_each_other() {
    let options = tpch(1_000);
    let contents = contents(&options, 60);
    let descs: BTreeMap<_, _> = options.relations().into_iter().collect();
    let values = |relation: &str, name: &str| column(&contents[relation], &descs[relation], name);
    let refer = |from: (&str, &str), to: (&str, &str)| {
        let known: BTreeSet<i64> = values(to.0, to.1).into_iter().collect();
        assert!(values(from.0, from.1).iter().all(|value| known.contains(value)), "{from:?} to {to:?}");
    };
    refer(("nation", "n_regionkey"), ("region", "r_regionkey"));
    refer(("supplier", "s_nationkey"), ("nation", "n_nationkey"));
    refer(("customer", "c_nationkey"), ("nation", "n_nationkey"));
    refer(("orders", "o_custkey"), ("customer", "c_custkey"));
    refer(("lineitem", "l_orderkey"), ("orders", "o_orderkey"));
    refer(("orders", "o_orderkey"), ("lineitem", "l_orderkey"));
    let pairs = |relation: &str, part: &str, supplier: &str| -> BTreeSet<(i64, i64)> {
        values(relation, part).into_iter().zip(values(relation, supplier)).collect()
    };
    let offered = pairs("partsupp", "ps_partkey", "ps_suppkey");
    assert!(pairs("lineitem", "l_partkey", "l_suppkey").is_subset(&offered));
    assert!(values("orders", "o_custkey").iter().all(|customer| customer % 3 != 0));
}

#[test]
fn tpch_orders_add_up() {
    let options = tpch(1_000);
    let contents = contents(&options, 30);
    let descs: BTreeMap<_, _> = options.relations().into_iter().collect();
    let lines = descs["lineitem"].typ.kinds();
    let mut totals: BTreeMap<i64, i64> = BTreeMap::new();
    for row in contents["lineitem"].keys() {
        let datums = row.unpack(&lines);
        let cents = |column: usize| {
            (datums[column].unwrap_numeric().decode().to_string().parse::<f64>().expect("a number") * 100.0).round()
                as i64
        };
        let (price, discount, tax) = (cents(5), cents(6), cents(7));
        *totals.entry(datums[0].unwrap_int()).or_default() += price * (100 + tax) * (100 - discount) / 10_000;
    }
    for row in contents["orders"].keys() {
        let datums = row.unpack(&descs["orders"].typ.kinds());
        let total = datums[3].unwrap_numeric().decode().to_string().parse::<f64>().expect("a number");
        assert_eq!((total * 100.0).round() as i64, totals[&datums[0].unwrap_int()]);
    }
}

#[test]
fn a_tpch_tick_replaces_one_order_and_its_lines() {
    let options = tpch(100);
    let (generator, times) = times(&options);
    let mut seen = BTreeSet::new();
    for offset in 1..=150 {
        let changes: Vec<_> = generator.changes("orders", offset, times).collect();
        let [(old, gone), (new, come)] = &changes[..] else { panic!("{} changes", changes.len()) };
        assert_eq!((*gone, *come), (Diff::MINUS_ONE, Diff::ONE));
        let key = old.unpack_first(Kind::Int);
        assert_eq!(key, new.unpack_first(Kind::Int));
        assert!(seen.insert(key.unwrap_int()), "no order is replaced twice before all were once");
        let mut lines = generator.changes("lineitem", offset, times);
        assert!(lines.all(|(row, _)| row.unpack_first(Kind::Int) == key));
        assert_eq!(generator.changes("part", offset, times).count(), 0);
    }
    assert_eq!(seen.len(), 150);
}

#[test]
fn a_relation_that_does_not_exist_is_empty() {
    for options in [options(LoadGeneratorKind::Auction), tpch(10)] {
        let (generator, times) = times(&options);
        assert_eq!((0..5).flat_map(|offset| generator.changes("nothing", offset, times)).count(), 0);
    }
}

#[test]
fn bindings_stay_on_the_line_of_ticks() {
    let with = |tick: u64, as_of, up_to| {
        let options =
            LoadGenerator { tick_interval_ms: Some(tick), as_of, up_to, ..options(LoadGeneratorKind::Auction) };
        Generator::new(&options)
    };
    let generator = with(100, 0, Some(1000));
    let begin = Timestamp::from_millis(10_050);
    let times = generator.tick_times(begin, generator.start());
    assert_eq!(generator.start(), 1);
    assert_eq!(
        generator.next_binding(times, 1, Timestamp::from_millis(10_099), 50),
        (Timestamp::from_millis(10_099), 1)
    );
    assert_eq!(
        generator.next_binding(times, 1, Timestamp::from_millis(10_100), 50),
        (Timestamp::from_millis(10_100), 2)
    );
    // Cut short by the limit, and by the end.
    let cut = generator.next_binding(times, 2, Timestamp::from_millis(20_000), 50);
    assert_eq!(cut, (Timestamp::from_millis(15_100), 52));
    assert_eq!(generator.tick_times(cut.0, cut.1), times, "every binding tells the same line");
    let end = generator.next_binding(times, 990, Timestamp::from_millis(10_000_000), 50);
    assert_eq!(end.1, 1000);
    assert!(generator.is_complete(end.1));
    assert_eq!(generator.tick_times(end.0, end.1), times);
    assert_eq!(with(100, 7, None).start(), 7);
    assert_eq!(with(100, 7, Some(3)).start(), 3);
    assert_eq!((with(1, 0, None).binding_interval_ms(), with(5000, 0, None).binding_interval_ms()), (50, 1000));
}

#[test]
fn auction_times_are_those_of_the_ticks() {
    let options = LoadGenerator { tick_interval_ms: Some(250), ..options(LoadGeneratorKind::Auction) };
    let generator = Generator::new(&options);
    let times = generator.tick_times(Timestamp::from_millis(10_000), 1);
    let (row, _) = generator.changes("auctions", 1, times).next().expect("offset 1 is an auction");
    let end = row.unpack(&[Kind::Int, Kind::Int, Kind::Text, Kind::Timestamp])[3];
    assert_eq!(end, Datum::Timestamp((10_250 + 10_000) * 1000));
}
