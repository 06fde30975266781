//! Tests of which casts exist; what they give is in the scripts.

use repr::{Arena, Datum, ScalarType};

use super::*;

/// A sample of every type without modifiers, with a value.
fn samples() -> Vec<(ScalarType, &'static str)> {
    let array = |element| ScalarType::Array(Box::new(element));
    let list = |element| ScalarType::List(Box::new(element));
    vec![
        (ScalarType::Bool, "t"),
        (ScalarType::Int2, "1"),
        (ScalarType::Int4, "1"),
        (ScalarType::Int8, "1"),
        (ScalarType::UInt2, "1"),
        (ScalarType::UInt4, "1"),
        (ScalarType::UInt8, "1"),
        (ScalarType::Float4, "1.5"),
        (ScalarType::Float8, "1.5"),
        (ScalarType::Numeric(None), "1.5"),
        (ScalarType::Text, "1"),
        (ScalarType::Varchar(Some(4)), "1"),
        (ScalarType::Char(Some(4)), "1"),
        (ScalarType::PgChar, "1"),
        (ScalarType::Name, "1"),
        (ScalarType::Bytes, "\\x00"),
        (ScalarType::Date, "2024-02-29"),
        (ScalarType::Time(None), "01:02:03"),
        (ScalarType::Timestamp(None), "2024-02-29 01:02:03"),
        (ScalarType::TimestampTz(None), "2024-02-29 01:02:03+00"),
        (ScalarType::Interval(None), "1 day 01:00:00"),
        (ScalarType::Uuid, "00000000-0000-0000-0000-000000000000"),
        (ScalarType::Jsonb, "1"),
        (ScalarType::Oid, "1"),
        (ScalarType::RegClass, "1"),
        (ScalarType::RegType, "1"),
        (ScalarType::MzTimestamp, "1"),
        (array(ScalarType::Int4), "{1}"),
        (array(ScalarType::Text), "{1}"),
        (list(ScalarType::Int4), "{1}"),
        (ScalarType::Map(Box::new(ScalarType::Int4)), "{a=>1}"),
    ]
}

/// Evaluates every cast there is: none panics, and what comes is of the type asked for.
#[test]
fn every_cast_gives_its_type() {
    let arena = Arena::new();
    for (from, text) in samples() {
        let value = repr::text::parse(text, &from, &arena).expect("a value");
        for (to, _) in samples() {
            let literal = Scalar::literal(value, from.clone());
            let Some(scalar) = cast(literal, &from, &to, CastContext::Explicit) else { continue };
            assert_eq!(scalar.typ(&[]).scalar, to);
            let arena = Arena::new();
            match scalar.eval(&[], &arena) {
                Ok(datum) => {
                    assert!(datum.kind().is_none_or(|kind| kind == to.kind()), "{from:?} to {to:?}: {datum:?}")
                }
                Err(error) => assert!(scalar.could_error(), "{from:?} to {to:?}: {error}"),
            }
        }
    }
}

#[test]
fn contexts_admit_each_other_in_order() {
    let exists_in = |from: &ScalarType, to: &ScalarType| {
        [CastContext::Implicit, CastContext::Assignment, CastContext::Explicit].map(|context| exists(from, to, context))
    };
    assert_eq!(exists_in(&ScalarType::Int4, &ScalarType::Int8), [true, true, true]);
    assert_eq!(exists_in(&ScalarType::Int8, &ScalarType::Int4), [false, true, true]);
    assert_eq!(exists_in(&ScalarType::Text, &ScalarType::Int4), [false, false, true]);
    assert_eq!(exists_in(&ScalarType::Int4, &ScalarType::Date), [false, false, false]);
    assert_eq!(exists_in(&ScalarType::Jsonb, &ScalarType::Text), [false, true, true]);
}

#[test]
fn equal_types_need_no_call() {
    let column = Scalar::Column(0);
    let same = cast(column.clone(), &ScalarType::Int4, &ScalarType::Int4, CastContext::Implicit);
    assert_eq!(same, Some(column.clone()));
    let widened = cast(column, &ScalarType::Int4, &ScalarType::Int8, CastContext::Implicit).expect("a cast");
    assert_eq!(widened.typ(&[ScalarType::Int4.not_null()]), ScalarType::Int8.not_null());
    assert!(!widened.could_error());
    assert_eq!(widened.to_string(), "#0::bigint");
}

#[test]
fn nulls_stay_null() {
    let arena = Arena::new();
    let null = Scalar::literal(Datum::Null, ScalarType::Text);
    let scalar = cast(null, &ScalarType::Text, &ScalarType::Int4, CastContext::Explicit).expect("a cast");
    assert_eq!(scalar.eval(&[], &arena), Ok(Datum::Null));
}
