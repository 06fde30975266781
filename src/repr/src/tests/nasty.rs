//! Values that have broken codecs before: empty ones, zeros, all ones, extremes, and NULL elements.

use crate::composite::{Dimension, pack_array, pack_list, pack_map};
use crate::interval::Interval;
use crate::jsonb::JsonbRef;
use crate::numeric::Numeric;
use crate::{Arena, Datum, Kind, Row};

pub(super) const KINDS: [Kind; 17] = [
    Kind::Bool,
    Kind::Int,
    Kind::UInt,
    Kind::Float4,
    Kind::Float8,
    Kind::Numeric,
    Kind::Date,
    Kind::Time,
    Kind::Timestamp,
    Kind::Interval,
    Kind::Text,
    Kind::Bytes,
    Kind::Uuid,
    Kind::Jsonb,
    Kind::Array,
    Kind::List,
    Kind::Map,
];

pub(super) const NUMBERS: &[&str] = &[
    "-Infinity",
    "-999999999999999999999999999999999999999",
    "-170141183460469231731687303715884105728",
    "-1000000",
    "-100.01",
    "-100",
    "-99.99",
    "-10",
    "-1.5",
    "-1",
    "-0.999999999999999999999999999999999999999",
    "-0.01",
    "-0.001",
    "-0.000000000000000000000000000000000000001",
    "0",
    "0.000000000000000000000000000000000000001",
    "0.00000000000000000000000000000000000001",
    "0.0001",
    "0.001",
    "0.01",
    "0.1",
    "0.11",
    "0.123456789012345678901234567890123456789",
    "1",
    "1.00000000000000000000000000000000000001",
    "1.01",
    "1.1",
    "9",
    "9.9",
    "10",
    "11",
    "99",
    "100",
    "101",
    "1000",
    "123456789.987654321",
    "12345678901234567890123456789012345678.9",
    "170141183460469231731687303715884105727",
    "170141183460469231731687303715884105728",
    "500000000000000000000000000000000000000",
    "999999999999999999999999999999999999999",
    "Infinity",
    "NaN",
];

const JSON: &[&str] = &[
    "null",
    "\"\"",
    "\"a\"",
    "\"ab\"",
    "\"\u{10ffff}\"",
    "-1",
    "0",
    "0.5",
    "1e10",
    "false",
    "true",
    "[]",
    "[null]",
    "[[]]",
    "[1, 2]",
    "{}",
    "{\"\": null}",
    "{\"a\": 1}",
    "{\"b\": []}",
    "{\"a\": 1, \"b\": {\"c\": [1, null]}}",
];

/// The values of a kind, ascending.
pub(super) fn values(kind: Kind, arena: &Arena) -> Vec<Datum<'_>> {
    match kind {
        Kind::Bool => vec![Datum::FALSE, Datum::TRUE],
        Kind::Int => integers().into_iter().map(Datum::Int).collect(),
        Kind::UInt => {
            [0, 1, 255, 256, 65_535, 65_536, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX].map(Datum::UInt).to_vec()
        }
        Kind::Float4 => [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY, f32::NAN]
            .map(Datum::float4)
            .to_vec(),
        Kind::Float8 => {
            [f64::NEG_INFINITY, f64::MIN, -1.0, -5e-324, -0.0, 5e-324, 0.1, 1.0, f64::MAX, f64::INFINITY, f64::NAN]
                .map(Datum::float8)
                .to_vec()
        }
        Kind::Numeric => NUMBERS.iter().map(|text| Datum::Numeric(number(text, arena))).collect(),
        Kind::Date => [i32::MIN, i32::MIN + 1, -1, 0, 1, 255, 256, i32::MAX - 1, i32::MAX].map(Datum::Date).to_vec(),
        Kind::Time => [0, 1, 255, 256, 86_399_999_999, 86_400_000_000].map(Datum::Time).to_vec(),
        Kind::Timestamp => integers().into_iter().map(Datum::Timestamp).collect(),
        Kind::Interval => intervals().into_iter().map(Datum::Interval).collect(),
        Kind::Text => {
            ["", "\u{1}", " ", "a", "a ", "aa", "b", "\u{7f}", "\u{80}", "é", "\u{10ffff}"].map(Datum::Text).to_vec()
        }
        Kind::Bytes => byte_strings().into_iter().map(Datum::bytes).collect(),
        Kind::Uuid => [0, 1, u128::MAX / 2, u128::MAX].map(|bits| Datum::Uuid(uuid::Uuid::from_u128(bits))).to_vec(),
        Kind::Jsonb => {
            let parse = |text: &&str| Datum::Jsonb(JsonbRef::parse(text, arena).expect("valid json"));
            JSON.iter().map(parse).collect()
        }
        Kind::Array => arrays().iter().map(|row| row.unpack_first_in(kind, arena)).collect(),
        Kind::List => lists().iter().map(|row| row.unpack_first_in(kind, arena)).collect(),
        Kind::Map => maps().iter().map(|row| row.unpack_first_in(kind, arena)).collect(),
    }
}

pub(super) fn number<'a>(text: &str, arena: &'a Arena) -> crate::numeric::NumericRef<'a> {
    Numeric::parse(text).expect("a valid number").pack(arena)
}

fn integers() -> Vec<i64> {
    vec![
        i64::MIN,
        i64::MIN + 1,
        -(1 << 56),
        -(1 << 32),
        -65_537,
        -65_536,
        -65_535,
        -257,
        -256,
        -255,
        -2,
        -1,
        0,
        1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        1 << 32,
        (1 << 56) - 1,
        1 << 56,
        i64::MAX - 1,
        i64::MAX,
    ]
}

fn intervals() -> Vec<Interval> {
    let interval = |months, days, micros| Interval { months, days, micros };
    vec![
        interval(i32::MIN, i32::MIN, i64::MIN),
        interval(-1, 0, 0),
        interval(0, -1, 0),
        interval(0, 0, -1),
        interval(0, 0, 0),
        interval(0, 0, 1),
        interval(0, 0, 86_400_000_000),
        interval(0, 1, 0),
        interval(0, 30, 0),
        interval(1, 0, 0),
        interval(1, 0, 1),
        interval(2, -30, 2),
        interval(i32::MAX, i32::MAX, i64::MAX),
    ]
}

fn byte_strings() -> Vec<&'static [u8]> {
    vec![
        &[],
        &[0],
        &[0, 0],
        &[0, 0, 0],
        &[0, 0, 0xFF],
        &[0, 1],
        &[0, 0xFF],
        &[0, 0xFF, 0],
        &[1],
        &[1, 0],
        &[1, 0, 1],
        &[0xFE],
        &[0xFF],
        &[0xFF, 0],
        &[0xFF, 0xFF],
    ]
}

const INTS: Kind = Kind::Int;

fn arrays() -> Vec<Row> {
    let one = |length, lower| [Dimension { length, lower }];
    let two = [Dimension { length: 2, lower: 1 }, Dimension { length: 1, lower: 1 }];
    vec![
        pack_array(&[], INTS, &[]),
        pack_array(&[Datum::Int(1)], INTS, &one(1, 0)),
        pack_array(&[Datum::Int(1)], INTS, &one(1, 1)),
        pack_array(&[Datum::Int(1), Datum::Int(2)], INTS, &one(2, 1)),
        pack_array(&[Datum::Int(1), Datum::Int(2)], INTS, &two),
        pack_array(&[Datum::Int(1), Datum::Null], INTS, &one(2, -5)),
        pack_array(&[Datum::Null], INTS, &one(1, 1)),
        pack_array(&[Datum::Null, Datum::Int(0)], INTS, &one(2, 1)),
    ]
}

fn lists() -> Vec<Row> {
    let text = |text| (Datum::Text(text), Kind::Text);
    let nested = pack_list(&[text(""), (Datum::Null, Kind::Text)]);
    vec![
        pack_list(&[]),
        pack_list(&[text("")]),
        pack_list(&[text(""), text("")]),
        pack_list(&[text(""), (Datum::Null, Kind::Text)]),
        pack_list(&[text("a")]),
        pack_list(&[(Datum::bytes(&[0, 0xFF, 0]), Kind::Bytes)]),
        pack_list(&[(nested.unpack_first(Kind::List), Kind::List)]),
        pack_list(&[(Datum::Null, Kind::Text)]),
    ]
}

fn maps() -> Vec<Row> {
    vec![
        pack_map(&[], INTS),
        pack_map(&[("", Datum::Null)], INTS),
        pack_map(&[("a", Datum::Int(1))], INTS),
        pack_map(&[("b", Datum::Int(2)), ("a", Datum::Int(1))], INTS),
        pack_map(&[("a", Datum::Int(2))], INTS),
        pack_map(&[("a", Datum::Null)], INTS),
    ]
}
