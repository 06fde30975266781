//! Laws that hold for all values.

use proptest::prelude::*;
use repr::composite::{pack_list, pack_map, pack_vector};
use repr::datetime::{self, TimeZone};
use repr::float_sum::FloatSum;
use repr::interval::Interval;
use repr::jsonb::JsonbRef;
use repr::numeric::{Numeric, NumericSum};
use repr::{Arena, Datum, Diff, Kind, Row, ScalarType, binary, row, text};

/// A value of any type, owned.
#[derive(Clone, Debug)]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float4(f32),
    Float8(f64),
    Numeric(i128, u8),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    Interval(i32, i32, i64),
    Text(String),
    Bytes(Vec<u8>),
    Uuid(u128),
    Jsonb(String),
    Array(Vec<Option<i64>>),
    List(Vec<Option<String>>),
    Map(Vec<(String, bool)>),
}

impl Value {
    fn pack(&self) -> Row {
        let arena = Arena::new();
        let datum = match self {
            Value::Null => Datum::Null,
            Value::Bool(value) => Datum::Bool(*value),
            Value::Int(value) => Datum::Int(*value),
            Value::UInt(value) => Datum::UInt(*value),
            Value::Float4(value) => Datum::float4(*value),
            Value::Float8(value) => Datum::float8(*value),
            Value::Numeric(coefficient, scale) => {
                Datum::Numeric(Numeric::from_parts(*coefficient, *scale).pack(&arena))
            }
            Value::Date(days) => Datum::Date(*days),
            Value::Time(micros) => Datum::Time(*micros),
            Value::Timestamp(micros) => Datum::Timestamp(*micros),
            Value::Interval(months, days, micros) => {
                Datum::Interval(Interval { months: *months, days: *days, micros: *micros })
            }
            Value::Text(text) => Datum::Text(text),
            Value::Bytes(bytes) => Datum::bytes(bytes),
            Value::Uuid(bits) => Datum::Uuid(uuid::Uuid::from_u128(*bits)),
            Value::Jsonb(json) => Datum::Jsonb(JsonbRef::parse(json, &arena).expect("valid json")),
            Value::Array(elements) => {
                let elements: Vec<Datum<'_>> =
                    elements.iter().map(|element| element.map_or(Datum::Null, Datum::Int)).collect();
                return pack_vector(&elements, Kind::Int);
            }
            Value::List(elements) => {
                let element = |element: &Option<String>| match element {
                    Some(text) => (Datum::Text(arena.text(text)), Kind::Text),
                    None => (Datum::Null, Kind::Text),
                };
                return pack_list(&elements.iter().map(element).collect::<Vec<_>>());
            }
            Value::Map(entries) => {
                let entries: Vec<(&str, Datum<'_>)> =
                    entries.iter().map(|(key, value)| (key.as_str(), Datum::Bool(*value))).collect();
                return pack_map(&entries, Kind::Bool);
            }
        };
        Row::pack_one(datum)
    }
}

fn plain_text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,12}"
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        plain_text().prop_map(serde_json::Value::from),
    ];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(plain_text(), inner, 0..4)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    });
    value.prop_map(|value| value.to_string())
}

/// A finite number of at most 38 digits.
fn number() -> impl Strategy<Value = (i128, u8)> {
    let coefficient = prop_oneof![-1000..1000_i128, any::<i64>().prop_map(i128::from), any::<i128>()];
    (coefficient, 0..=39_u8)
}

/// Values of one kind, and a type they are of.
fn values(kind: Kind) -> (ScalarType, BoxedStrategy<Value>) {
    let (typ, strategy) = match kind {
        Kind::Bool => (ScalarType::Bool, any::<bool>().prop_map(Value::Bool).boxed()),
        Kind::Int => (ScalarType::Int8, prop_oneof![-300..300_i64, any::<i64>()].prop_map(Value::Int).boxed()),
        Kind::UInt => (ScalarType::UInt8, prop_oneof![0..300_u64, any::<u64>()].prop_map(Value::UInt).boxed()),
        Kind::Float4 => (ScalarType::Float4, any::<u32>().prop_map(|bits| Value::Float4(f32::from_bits(bits))).boxed()),
        Kind::Float8 => (ScalarType::Float8, any::<u64>().prop_map(|bits| Value::Float8(f64::from_bits(bits))).boxed()),
        Kind::Numeric => {
            (ScalarType::Numeric(None), number().prop_map(|(number, scale)| Value::Numeric(number, scale)).boxed())
        }
        Kind::Date => (ScalarType::Date, (datetime::DATE_MIN..=datetime::DATE_MAX).prop_map(Value::Date).boxed()),
        Kind::Time => (ScalarType::Time(None), (0..=datetime::MICROS_PER_DAY).prop_map(Value::Time).boxed()),
        Kind::Timestamp => {
            let range = datetime::TIMESTAMP_MIN..=datetime::TIMESTAMP_MAX;
            (ScalarType::TimestampTz(None), range.prop_map(Value::Timestamp).boxed())
        }
        Kind::Interval => {
            let fields = (any::<i32>(), any::<i32>(), any::<i64>());
            // The one interval whose hours cannot be negated after reading.
            let strategy =
                fields.prop_map(|(months, days, micros)| Value::Interval(months, days, micros.max(-i64::MAX)));
            (ScalarType::Interval(None), strategy.boxed())
        }
        Kind::Text => (ScalarType::Text, plain_text().prop_map(Value::Text).boxed()),
        Kind::Bytes => {
            let byte = prop_oneof![Just(0), Just(0xFF), any::<u8>()];
            (ScalarType::Bytes, prop::collection::vec(byte, 0..8).prop_map(Value::Bytes).boxed())
        }
        Kind::Uuid => (ScalarType::Uuid, any::<u128>().prop_map(Value::Uuid).boxed()),
        Kind::Jsonb => (ScalarType::Jsonb, json().prop_map(Value::Jsonb).boxed()),
        Kind::Array => {
            let strategy = prop::collection::vec(any::<Option<i64>>(), 0..4).prop_map(Value::Array);
            (ScalarType::Array(Box::new(ScalarType::Int8)), strategy.boxed())
        }
        Kind::List => {
            let strategy = prop::collection::vec(prop::option::of(plain_text()), 0..4).prop_map(Value::List);
            (ScalarType::List(Box::new(ScalarType::Text)), strategy.boxed())
        }
        Kind::Map => {
            let strategy = prop::collection::vec((plain_text(), any::<bool>()), 0..4).prop_map(Value::Map);
            (ScalarType::Map(Box::new(ScalarType::Bool)), strategy.boxed())
        }
    };
    (typ, strategy)
}

const KINDS: [Kind; 17] = [
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

/// A kind, its type, and two values of it that may be NULL.
fn pair() -> impl Strategy<Value = (Kind, ScalarType, Value, Value)> {
    prop::sample::select(&KINDS[..]).prop_flat_map(|kind| {
        let (typ, strategy) = values(kind);
        let nullable = prop_oneof![1 => Just(Value::Null), 9 => strategy].boxed();
        (Just(kind), Just(typ), nullable.clone(), nullable)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rows_round_trip_and_order_as_their_datums((kind, _typ, left, right) in pair()) {
        let (left, right) = (left.pack(), right.pack());
        let mut both = left.clone();
        both.push_packed(right.as_bytes());
        let kinds = [kind, kind];
        row::check(both.as_bytes(), &kinds).expect("what is packed is canonical");
        let datums = both.unpack(&kinds);
        prop_assert_eq!(&Row::pack(datums.iter().copied()), &both);
        prop_assert_eq!(datums[0].cmp(&datums[1]), left.cmp(&right));
    }

    #[test]
    fn text_and_binary_forms_round_trip((kind, typ, value, _other) in pair()) {
        let packed = value.pack();
        let datum = packed.unpack_first(kind);
        if !datum.is_null() {
            let arena = Arena::new();
            let mut printed = String::new();
            text::format(datum, &typ, &mut printed);
            prop_assert_eq!(text::parse(&printed, &typ, &arena), Ok(datum), "{}", printed);
            let mut bytes = Vec::new();
            binary::encode(datum, &typ, &mut bytes);
            prop_assert_eq!(binary::decode(&bytes, &typ, &arena), Ok(datum));
        }
    }

    #[test]
    fn no_text_panics_a_reader(input in "\\PC{0,20}", date in "[-+0-9:/. TJanMbcPday]{0,24}", index in 0..KINDS.len()) {
        let arena = Arena::new();
        let (typ, _) = values(KINDS[index]);
        let _ = text::parse(&input, &typ, &arena);
        let _ = text::parse(&date, &typ, &arena);
    }

    #[test]
    fn no_bytes_panic_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..40), index in 0..KINDS.len()) {
        let arena = Arena::new();
        let (typ, _) = values(KINDS[index]);
        let _ = binary::decode(&bytes, &typ, &arena);
        if row::check(&bytes, &[KINDS[index]]).is_ok() {
            let _ = Row::from_bytes(&bytes).unpack(&[KINDS[index]]);
        }
    }

    #[test]
    fn numbers_add_and_subtract_exactly((left, left_scale) in number(), (right, right_scale) in number()) {
        let (left, right) = (Numeric::from_parts(left / 100, left_scale), Numeric::from_parts(right / 100, right_scale));
        // Exact only if the sum fits 39 digits; else a digit is lost, which the difference shows.
        if let Ok(sum) = left.add(&right) && left_scale == right_scale {
            prop_assert_eq!(sum.sub(&right), Ok(left));
        }
        prop_assert_eq!(left.neg().neg(), left);
        prop_assert_eq!(Numeric::parse(&left.to_string()), Ok(left));
        prop_assert_eq!(left.cmp(&right), left.to_packed().as_bytes().cmp(right.to_packed().as_bytes()));
    }

    #[test]
    fn sums_of_numbers_can_be_taken_back(
        addends in prop::collection::vec((number(), -5..6_i64), 0..8),
        factor in -3..4_i64,
    ) {
        let mut sum = NumericSum::default();
        let mut reversed = NumericSum::default();
        for ((coefficient, scale), multiplicity) in &addends {
            sum.add(&Numeric::from_parts(*coefficient, *scale), Diff::new(*multiplicity));
        }
        for ((coefficient, scale), multiplicity) in addends.iter().rev() {
            reversed.add(&Numeric::from_parts(*coefficient, *scale), Diff::new(*multiplicity));
        }
        prop_assert_eq!(sum, reversed);
        let mut cancelled = sum.times(Diff::new(factor));
        cancelled.plus_equals(&sum.times(Diff::new(-factor)));
        prop_assert!(cancelled.is_zero());
    }

    #[test]
    fn sums_of_floats_can_be_taken_back(addends in prop::collection::vec((any::<f64>(), -5..6_i64), 0..8)) {
        let mut sum = FloatSum::default();
        for (number, multiplicity) in &addends {
            sum.add(*number, Diff::new(*multiplicity));
        }
        let bytes = postcard::to_stdvec(&sum).expect("a sum serializes");
        prop_assert_eq!(postcard::from_bytes::<FloatSum>(&bytes).expect("and back"), sum.clone());
        let mut merged = sum.negate();
        for (number, multiplicity) in addends.iter().rev() {
            merged.add(*number, Diff::new(*multiplicity));
        }
        prop_assert!(merged.is_zero());
    }

    #[test]
    fn days_count_as_the_calendar_does(days in datetime::DATE_MIN..datetime::DATE_MAX) {
        let (today, tomorrow) = (datetime::civil_from_days(days.into()), datetime::civil_from_days(i64::from(days) + 1));
        prop_assert_eq!(datetime::days_from_civil(today), i64::from(days));
        let is_last = today.day == datetime::days_in_month(today.year, today.month);
        prop_assert_eq!(tomorrow.day, if is_last { 1 } else { today.day + 1 });
    }

    #[test]
    fn zones_give_back_instants(micros in -4_000_000_000_000_000..4_000_000_000_000_000_i64) {
        for name in ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "+05:30"] {
            let zone = TimeZone::parse(name).expect("a zone");
            let local = zone.to_local(micros).expect("in range");
            let back = zone.to_utc(local).expect("in range");
            // Of an hour the clock repeats, the second is taken.
            prop_assert!(back == micros || (0..=2 * datetime::MICROS_PER_HOUR).contains(&(back - micros)), "{}", name);
        }
    }
}
