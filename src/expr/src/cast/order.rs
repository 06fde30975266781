//! Casts that keep the order of values, so that bounds on the result are bounds on the argument.
//!
//! ```text
//! int4 < int8, varchar = text, timestamp >= timestamptz    the bytes stay: the same bounds
//! date <= timestamp                                        the bounds' days, and the days that no timestamp reaches
//! int4 > numeric                                           the bounds' whole numbers
//! ```

use repr::datetime::{DATE_MAX, TIMESTAMP_MAX, timestamp_to_date};
use repr::row::read_datum;
use repr::{ByteRange, ColumnBounds, Datum, Kind, Row, ScalarType};

use super::widens;

/// How the order of results tells the order of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// The packed bytes are the same.
    Bytes,
    /// Days become their midnights; late ones fail.
    Midnight,
    /// Integers become numbers.
    Number,
}

fn kept(from: &ScalarType, to: &ScalarType) -> Option<Kept> {
    use ScalarType::*;
    Some(match (from, to) {
        (Int2, Int4 | Int8) | (Int4, Int8) => Kept::Bytes,
        (UInt2, UInt4 | UInt8 | Int4 | Int8) | (UInt4, UInt8 | Int8) => Kept::Bytes,
        (Timestamp(_) | TimestampTz(_), Timestamp(None) | TimestampTz(None)) => Kept::Bytes,
        // Not char(n): its blanks are part of the text for some.
        (Text | Varchar(_) | Name, Text | Varchar(None)) => Kept::Bytes,
        (Numeric(_), Numeric(None)) => Kept::Bytes,
        (Numeric(Some(from)), Numeric(Some(to))) if widens(from, to) => Kept::Bytes,
        (Date, Timestamp(_) | TimestampTz(_)) => Kept::Midnight,
        (Int2 | Int4 | Int8 | UInt2 | UInt4, Numeric(None)) => Kept::Number,
        _ => return None,
    })
}

/// Bounds on the argument of a cast, from bounds on its result; None if the cast does not keep the order.
///
/// Law: the cast of an argument outside of them does not fail, and is outside of `bounds`.
pub(crate) fn argument_bounds(bounds: ColumnBounds, from: &ScalarType, to: &ScalarType) -> Option<ColumnBounds> {
    let ColumnBounds { nulls, ranges } = bounds;
    let ranges = match kept(from, to)? {
        Kept::Bytes => ranges,
        Kept::Midnight => {
            let late = ByteRange { low: Some(packed_date(last_midnight() + 1)), high: Some(packed_date(DATE_MAX)) };
            let days = ranges.into_iter().map(|ByteRange { low, high }| ByteRange {
                low: low.map(|bytes| day_of(&bytes)),
                high: high.map(|bytes| day_of(&bytes)),
            });
            days.chain([late]).collect()
        }
        Kept::Number => ranges.into_iter().filter_map(whole_numbers).collect(),
    };
    Some(ColumnBounds { nulls, ranges })
}

/// The last day whose midnight is a timestamp.
fn last_midnight() -> i32 {
    timestamp_to_date(TIMESTAMP_MAX)
}

fn packed_date(day: i32) -> Vec<u8> {
    Row::pack_one(Datum::Date(day)).as_bytes().to_vec()
}

/// The day of a packed timestamp: no later day has its midnight at or before it.
fn day_of(bytes: &[u8]) -> Vec<u8> {
    packed_date(timestamp_to_date(read_datum(&mut &*bytes, Kind::Timestamp).unwrap_timestamp()))
}

/// The integers within a range of packed numbers, and at most one more below; None: there are none.
fn whole_numbers(range: ByteRange) -> Option<ByteRange> {
    let low = match range.low.map(|bytes| floor(&bytes)) {
        None | Some(Floor::Below) => None,
        Some(Floor::Is(value)) => Some(packed_int(value)),
        Some(Floor::Above) => return None,
    };
    let high = match range.high.map(|bytes| floor(&bytes)) {
        None | Some(Floor::Above) => None,
        Some(Floor::Is(value)) => Some(packed_int(value)),
        Some(Floor::Below) => return None,
    };
    Some(ByteRange { low, high })
}

fn packed_int(value: i64) -> Vec<u8> {
    Row::pack_one(Datum::Int(value)).as_bytes().to_vec()
}

/// The greatest integer of 64 bits that is no greater than a number.
enum Floor {
    /// All are greater.
    Below,
    Is(i64),
    /// All are less.
    Above,
}

fn floor(bytes: &[u8]) -> Floor {
    let number = read_datum(&mut &*bytes, Kind::Numeric).unwrap_numeric().decode();
    let whole = number.floor().ok().and_then(|whole| whole.to_i64());
    match whole {
        Some(value) => Floor::Is(value),
        // NaN is the greatest number.
        None if number.is_negative() => Floor::Below,
        None => Floor::Above,
    }
}

#[cfg(test)]
mod tests {
    use repr::Arena;
    use repr::numeric::Numeric;

    use super::*;
    use crate::cast::{CastContext, cast};
    use crate::scalar::Scalar;

    fn packed(datum: Datum<'_>) -> Row {
        Row::pack_one(datum)
    }

    /// Values of a type, at its edges and around zero.
    fn samples(typ: &ScalarType) -> Vec<Row> {
        let ints = |least: i64, greatest: i64| {
            let near = (-3..=3).chain([-256, -255, 255, 256, 99, 100, 101]).filter(|value| *value >= least);
            near.chain([least, least + 1, greatest - 1, greatest]).map(|value| packed(Datum::Int(value))).collect()
        };
        let uints = |greatest: u64| [0, 1, 2, 255, 256, greatest].map(|value| packed(Datum::UInt(value))).to_vec();
        match typ {
            ScalarType::Int2 => ints(i16::MIN.into(), i16::MAX.into()),
            ScalarType::Int4 => ints(i32::MIN.into(), i32::MAX.into()),
            ScalarType::Int8 => ints(i64::MIN, i64::MAX),
            ScalarType::UInt2 => uints(u16::MAX.into()),
            ScalarType::UInt4 => uints(u32::MAX.into()),
            ScalarType::UInt8 => uints(u64::MAX),
            ScalarType::Date => {
                let late = last_midnight();
                let days = [i32::MIN, repr::datetime::DATE_MIN, -1, 0, 1, 20_000, late - 1, late, late + 1, DATE_MAX];
                days.into_iter().chain([i32::MAX]).map(|day| packed(Datum::Date(day))).collect()
            }
            ScalarType::Timestamp(_) | ScalarType::TimestampTz(_) => {
                let days = samples(&ScalarType::Date);
                let midnights = days
                    .iter()
                    .filter_map(|day| repr::datetime::date_to_timestamp(day.unpack_first(Kind::Date).unwrap_date()));
                let around = midnights.flat_map(|micros| [micros.saturating_sub(1), micros, micros.saturating_add(1)]);
                around.chain([1_234_567]).map(|micros| packed(Datum::Timestamp(micros))).collect()
            }
            ScalarType::Numeric(spec) => {
                let texts =
                    ["-1e30", "-9223372036854775809", "-2.5", "-2", "-0.5", "0", "0.5", "1", "1.5", "99.99", "100"];
                let wide = ["9223372036854775807", "9223372036854775807.5", "1e30", "NaN", "-Infinity", "Infinity"];
                let fits =
                    |number: &Numeric| spec.is_none_or(|spec| number.rescale(spec).is_ok_and(|same| same == *number));
                let numbers = texts.iter().chain(&wide).map(|text| Numeric::parse(text).expect("a number"));
                numbers.filter(fits).map(|number| packed(Datum::Numeric(number.pack(&Arena::new())))).collect()
            }
            _ => ["", "a", "a ", "ab", "b", "ä", "\u{10FFFF}"].map(|text| packed(Datum::Text(text))).to_vec(),
        }
    }

    fn types() -> Vec<ScalarType> {
        let numeric = |precision, scale| ScalarType::Numeric(Some(repr::NumericSpec { precision, scale }));
        vec![
            ScalarType::Int2,
            ScalarType::Int4,
            ScalarType::Int8,
            ScalarType::UInt2,
            ScalarType::UInt4,
            ScalarType::UInt8,
            ScalarType::Date,
            ScalarType::Timestamp(None),
            ScalarType::Timestamp(Some(3)),
            ScalarType::TimestampTz(None),
            ScalarType::Text,
            ScalarType::Varchar(Some(7)),
            ScalarType::Varchar(None),
            ScalarType::Name,
            ScalarType::Numeric(None),
            numeric(6, 2),
            numeric(9, 3),
        ]
    }

    fn is_within(bounds: &ColumnBounds, value: &Row) -> bool {
        let bytes = value.as_bytes();
        bounds.ranges.iter().any(|range| range.overlaps(bytes, Some(bytes)))
    }

    /// For each cast that keeps the order, each range of results and each argument: the law.
    #[test]
    fn an_argument_outside_casts_outside() {
        let (mut pairs, mut outside) = (0, 0);
        for from in types() {
            for to in types().into_iter().filter(|to| *to != from && kept(&from, to).is_some()) {
                pairs += 1;
                let arguments = samples(&from);
                let ends: Vec<Option<Row>> = samples(&to).into_iter().map(Some).chain([None]).collect();
                for (low, high) in ends.iter().flat_map(|low| ends.iter().map(move |high| (low, high))) {
                    let range = ColumnBounds::range(low.as_ref().map(Row::as_bytes), high.as_ref().map(Row::as_bytes));
                    let before = argument_bounds(range.clone(), &from, &to).expect("the order is kept");
                    for argument in arguments.iter().filter(|argument| !is_within(&before, argument)) {
                        outside += 1;
                        let literal = Scalar::Literal(Ok(argument.clone()), from.clone().not_null());
                        let result = cast(literal, &from, &to, CastContext::Explicit).expect("a cast");
                        let arena = Arena::new();
                        let result = result.eval(&[], &arena).expect("outside of the bounds no cast fails");
                        let result = Row::pack_one(result);
                        assert!(!is_within(&range, &result), "{argument:?} of {from:?} as {to:?} within {range:?}");
                    }
                }
            }
        }
        assert!(pairs > 20 && outside > 5_000, "{pairs} casts, {outside} arguments outside: the test shows little");
    }

    /// What lies within the bounds of a cast that keeps the bytes has a result within them.
    #[test]
    fn bounds_are_as_narrow_as_the_cast_lets_them() {
        let midnight = |day: i32| packed(Datum::Timestamp(i64::from(day) * repr::datetime::MICROS_PER_DAY));
        let up_to = ColumnBounds::range(None, Some(midnight(100).as_bytes()));
        let days = argument_bounds(up_to, &ScalarType::Date, &ScalarType::Timestamp(None)).expect("kept");
        assert!(is_within(&days, &packed(Datum::Date(100))) && !is_within(&days, &packed(Datum::Date(101))));
        let number = packed(Datum::Numeric(Numeric::parse("2.5").expect("a number").pack(&Arena::new())));
        let above = ColumnBounds::range(Some(number.as_bytes()), None);
        let ints = argument_bounds(above, &ScalarType::Int4, &ScalarType::Numeric(None)).expect("kept");
        assert!(is_within(&ints, &packed(Datum::Int(3))) && !is_within(&ints, &packed(Datum::Int(1))));
        let same = ColumnBounds::range(Some(b"a\0"), Some(b"a\0"));
        assert_eq!(argument_bounds(same.clone(), &ScalarType::Varchar(Some(3)), &ScalarType::Text), Some(same));
        assert_eq!(argument_bounds(ColumnBounds::null(), &ScalarType::Text, &ScalarType::Int4), None);
    }
}
