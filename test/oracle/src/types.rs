//! The types that both databases have, and the values that their columns hold: few, so that joins and groups find partners,
//! and ordinary or extreme.

use repr::{NumericSpec, RangeType, ScalarType};

use crate::tape::Tape;

/// The type of an array.
pub(crate) fn array_of(element: ScalarType) -> ScalarType {
    ScalarType::Array(Box::new(element))
}

/// The types of columns, the simplest first. Some stand more than once, to be chosen more often.
pub(crate) fn column_types() -> Vec<ScalarType> {
    use ScalarType::*;
    vec![
        Int4,
        Text,
        Int4,
        Int8,
        Bool,
        Numeric(Some(NumericSpec { precision: 10, scale: 2 })),
        Numeric(None),
        Int2,
        Float8,
        Text,
        Varchar(Some(8)),
        Date,
        Timestamp(None),
        TimestampTz(None),
        Interval(None),
        Time(None),
        Bytes,
        Uuid,
        Jsonb,
        array_of(Int4),
        array_of(Text),
        Range(RangeType::Int4),
        Range(RangeType::Numeric),
        Range(RangeType::Date),
        Range(RangeType::Timestamp),
    ]
}

/// The type as expressions see it: without modifiers, and varchar as text.
pub(crate) fn base(typ: &ScalarType) -> ScalarType {
    match typ {
        ScalarType::Numeric(_) => ScalarType::Numeric(None),
        ScalarType::Varchar(_) => ScalarType::Text,
        other => other.clone(),
    }
}

/// True where equal values may differ in what is printed (`1 day` and `24:00:00`), so that it is open which of them a group
/// or a DISTINCT shows.
pub(crate) fn has_equal_spellings(typ: &ScalarType) -> bool {
    typ.is_interval()
}

/// A literal with its type spelled out.
pub(crate) fn typed(text: &str, typ: &ScalarType) -> String {
    format!("'{}'::{}", text.replace('\'', "''"), repr::pg_type::sql_name(typ))
}

/// NULL of a type.
pub(crate) fn null_of(typ: &ScalarType) -> String {
    format!("NULL::{}", repr::pg_type::sql_name(typ))
}

/// How extreme values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Taste {
    /// Small numbers, near dates, short texts: hardly anything overflows.
    Tame,
    /// The ends of each type as well.
    Wild,
}

/// A literal of a type, never NULL.
pub(crate) fn literal(tape: &mut Tape, typ: &ScalarType, taste: Taste) -> String {
    let (tame, wild) = values(typ);
    let text = match taste {
        Taste::Wild if !wild.is_empty() && tape.chance(25) => *tape.pick(wild),
        _ => *tape.pick(tame),
    };
    typed(text, typ)
}

/// A literal or NULL.
pub(crate) fn literal_or_null(tape: &mut Tape, typ: &ScalarType, taste: Taste, nulls: usize) -> String {
    if tape.chance(nulls) { null_of(typ) } else { literal(tape, typ, taste) }
}

type Texts = &'static [&'static str];

/// Ordinary values of a type, then extreme ones.
fn values(typ: &ScalarType) -> (Texts, Texts) {
    use ScalarType::*;
    match typ {
        Bool => (&["t", "f"], &[]),
        Int2 => (&["1", "0", "2", "-1", "3", "7"], &["32767", "-32768"]),
        Int4 => (&["1", "0", "2", "-1", "3", "10"], &["2147483647", "-2147483648"]),
        Int8 => (&["1", "0", "2", "-1", "3", "100"], &["9223372036854775807", "-9223372036854775808", "4294967296"]),
        Float8 => (&["1", "0", "0.5", "-1.25", "2", "8"], &["NaN", "Infinity", "-Infinity", "-0", "1e300", "1e-300"]),
        Numeric(Some(_)) => (&["1", "0", "0.5", "-1.25", "2", "10"], &["99999999.99", "-99999999.99", "0.01"]),
        Numeric(None) => (
            &["1", "0", "0.5", "-1.25", "2", "10.001"],
            &["NaN", "123456789012345678", "-0.000000001", "99999999999999999999"],
        ),
        Text => (
            &["a", "", "b", "ab", "A", "B c", "1", "é", " x "],
            &["%", "_", "a%b", "it's", "日本", "a,b;c", "{1,2}", "NULL", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"],
        ),
        Varchar(_) => (&["a", "", "b", "ab", "A", "B c"], &["12345678", "%", "日本"]),
        Bytes => (&["\\x61", "\\x", "\\x6162", "\\x00", "\\x01"], &["\\xff", "\\xff00", "\\x0000000000000000"]),
        Uuid => (
            &[
                "00000000-0000-0000-0000-000000000000",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
            ],
            &["ffffffff-ffff-ffff-ffff-ffffffffffff"],
        ),
        Jsonb => (
            &[
                "1",
                "{}",
                "[]",
                "null",
                "\"a\"",
                "{\"a\": 1}",
                "[1, \"a\", null]",
                "{\"a\": {\"b\": [1, 2]}, \"b\": null}",
            ],
            &["[[]]", "{\"\": \"\"}", "\"é\"", "-1.5", "12345678901234567890", "[{\"a\": [1]}, {}]"],
        ),
        Array(_) | Range(_) => composites(typ),
        other => times(other),
    }
}

fn times(typ: &ScalarType) -> (Texts, Texts) {
    use ScalarType::*;
    match typ {
        Date => (
            &["2020-01-01", "2020-02-29", "2021-12-31", "2019-07-04", "2000-01-01"],
            &["infinity", "-infinity", "0001-01-01", "9999-12-31"],
        ),
        Time(_) => (&["12:00:00", "00:00:00", "23:59:59.999999", "06:30:00"], &["24:00:00"]),
        Timestamp(_) => (
            &["2020-01-01 00:00:00", "2020-02-29 12:34:56.789", "2021-12-31 23:59:59", "1999-05-05 05:05:05"],
            &["infinity", "-infinity", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
        ),
        TimestampTz(_) => (
            &["2020-01-01 00:00:00+00", "2020-02-29 12:34:56.789+00", "2021-12-31 23:59:59+00"],
            &["infinity", "-infinity", "0001-01-01 00:00:00+00"],
        ),
        Interval(_) => (
            &["1 day", "00:00:00", "1 mon", "02:00:00", "1 year 2 mons", "-3 days", "00:00:00.5"],
            &["-1 mons 5 days 00:00:01", "100 years", "1 day -01:00:00"],
        ),
        other => panic!("no values of {other:?}"),
    }
}

fn composites(typ: &ScalarType) -> (Texts, Texts) {
    use ScalarType::*;
    match typ {
        Array(element) if **element == Text => {
            (&["{a}", "{}", "{a,b}", "{NULL,a}", "{\"\",b}"], &["{\"a,b\",\"NULL\"}", "{{a,b},{c,d}}", "{NULL}"])
        }
        Array(element) if matches!(**element, Int4 | Int2 | Int8) => {
            (&["{1}", "{}", "{1,2}", "{NULL,1}", "{2,1,2}"], &["{{1,2},{3,4}}", "{NULL}", "[2:3]={1,2}"])
        }
        Range(RangeType::Int4 | RangeType::Int8) => {
            (&["[1,5)", "empty", "[1,2)", "[3,)", "(,2)", "[-1,10]"], &["(,)", "[2147483646,2147483647)"])
        }
        Range(RangeType::Numeric) => (&["[1,5)", "empty", "[0.5,2]", "(1,)", "(,2]"], &["(,)", "[1,1]", "(NaN,)"]),
        Range(RangeType::Date) => {
            (&["[2020-01-01,2020-02-29)", "empty", "[2020-01-01,)", "(,2021-12-31)"], &["(,)", "[2020-01-01,infinity)"])
        }
        Range(_) => (
            &["[\"2020-01-01 00:00:00\",\"2020-02-29 12:00:00\")", "empty", "(\"2020-01-01 00:00:00\",)"],
            &["(,)", "(,infinity)"],
        ),
        _ => (&["{}", "{NULL}"], &[]),
    }
}
