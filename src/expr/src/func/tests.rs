//! Tests of the table itself: that entries are unique and say the truth about themselves.

use std::collections::BTreeSet;

use repr::{Arena, Datum, ScalarType};

use super::*;

#[test]
fn keys_are_unique_and_found() {
    let mut keys = BTreeSet::new();
    for func in all() {
        assert!(keys.insert(func.0.key), "{} is there twice", func.0.key);
        assert_eq!(by_key(func.0.key), Some(func));
    }
    assert!(keys.len() > 400, "{} entries", keys.len());
}

#[test]
fn signatures_are_unique_within_a_name() {
    let mut signatures = BTreeSet::new();
    for func in all().filter(|func| matches!(func.kind, FuncKind::Function | FuncKind::Operator)) {
        let signature = format!("{:?} {} {:?} {:?}", func.kind, func.0.name, func.0.args, func.variadic);
        assert!(signatures.insert(signature.clone()), "{signature} is there twice");
    }
}

#[test]
fn docs_are_sentences() {
    for func in all() {
        assert!(func.0.doc.ends_with('.'), "{}", func.0.key);
    }
}

#[test]
fn comparisons_have_negations() {
    for (symbol, negated) in [("=", "<>"), ("<", ">="), ("<=", ">")] {
        let (func, other) = (comparison(symbol).expect("there"), comparison(negated).expect("there"));
        assert_eq!(negated_comparison(func), Some(other));
        assert_eq!(negated_comparison(other), Some(func));
    }
    assert_eq!(negated_comparison(by_key("int4_add").expect("there")), None);
}

#[test]
fn functions_cross_processes_by_key() {
    let func = by_key("lpad_fill").expect("there");
    let text = serde_json::to_string(&func).expect("a string");
    assert_eq!(text, "\"lpad_fill\"");
    assert_eq!(serde_json::from_str::<Func>(&text).expect("the key"), func);
    assert!(serde_json::from_str::<Func>("\"no such function\"").is_err());
}

/// Values of each type an argument may have, the nasty ones among them.
fn samples(arg: ArgType, arena: &Arena) -> Vec<(Datum<'_>, ScalarType)> {
    use repr::composite::pack_vector;
    use repr::datetime::{TIMESTAMP_INFINITY, TIMESTAMP_MIN};
    use repr::interval::Interval;
    use repr::jsonb::JsonbRef;
    use repr::numeric::Numeric;
    let ints = |least: i64, greatest: i64| vec![0, 1, -1, 2, 7, least, greatest].into_iter().map(Datum::Int).collect();
    let uints = |greatest: u64| vec![0, 1, 7, greatest].into_iter().map(Datum::UInt).collect();
    let stamps = || [0, 1, -1, 86_400_000_000, TIMESTAMP_MIN, TIMESTAMP_INFINITY - 1, TIMESTAMP_INFINITY, i64::MIN];
    let typ = arg.concrete();
    let datums: Vec<Datum<'_>> = match arg {
        ArgType::Bool => vec![Datum::TRUE, Datum::FALSE],
        ArgType::Int2 => ints(i16::MIN.into(), i16::MAX.into()),
        ArgType::Int4 => ints(i32::MIN.into(), i32::MAX.into()),
        ArgType::Int8 => ints(i64::MIN, i64::MAX),
        ArgType::UInt2 => uints(u16::MAX.into()),
        ArgType::UInt4
        | ArgType::Oid
        | ArgType::RegClass
        | ArgType::RegProc
        | ArgType::RegProcedure
        | ArgType::RegType
        | ArgType::RegNamespace
        | ArgType::RegRole => uints(u32::MAX.into()),
        ArgType::UInt8 | ArgType::MzTimestamp => uints(u64::MAX),
        ArgType::Float4 => {
            [0.0, 1.5, -1.0, f32::MAX, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY].map(Datum::float4).to_vec()
        }
        ArgType::Float8 => {
            [0.0, 1.5, -1.0, 0.5, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .map(Datum::float8)
                .to_vec()
        }
        ArgType::Numeric => ["0", "1", "-1", "2.5", "-0.001", "1e38", "NaN", "Infinity"]
            .map(|text| Datum::Numeric(Numeric::parse(text).expect("a number").pack(arena)))
            .to_vec(),
        ArgType::Text | ArgType::Name => {
            ["", "a", "ab c", "grün\\", "%_", "(", "[a-z]+", "day", "YYYY 999", "UTC", "hex", "-1"]
                .map(Datum::Text)
                .to_vec()
        }
        ArgType::Bytes => vec![Datum::bytes(b""), Datum::bytes(b"ab\0\xff")],
        ArgType::Date => {
            [0, 1, -1, i32::MAX, i32::MIN, repr::datetime::DATE_MAX, repr::datetime::DATE_MIN].map(Datum::Date).to_vec()
        }
        ArgType::Time => [0, 1, 86_399_999_999].map(Datum::Time).to_vec(),
        ArgType::Timestamp | ArgType::TimestampTz => stamps().map(Datum::Timestamp).to_vec(),
        ArgType::Interval => {
            [(0, 0, 0), (1, -1, 5), (i32::MAX, i32::MAX, i64::MAX), (i32::MIN, i32::MIN, i64::MIN), (0, 30, 0)]
                .map(|(months, days, micros)| Datum::Interval(Interval { months, days, micros }))
                .to_vec()
        }
        ArgType::Uuid => vec![Datum::Uuid(uuid::Uuid::nil())],
        ArgType::Jsonb => ["null", "1", "\"a\"", "[]", "[1, {\"a\": null}]", "{\"a\": [true], \"b\": \"x\"}"]
            .map(|text| Datum::Jsonb(JsonbRef::parse(text, arena).expect("json")))
            .to_vec(),
        ArgType::TextArray => [&[][..], &[Datum::Text("a"), Datum::Null], &[Datum::Text("0")]]
            .map(|elements| crate::datum_in(&pack_vector(elements, repr::Kind::Text), repr::Kind::Array, arena))
            .to_vec(),
        ArgType::Int4Array => [&[][..], &[Datum::Int(2), Datum::Int(1)], &[Datum::Null], &[Datum::Int(-1)]]
            .map(|elements| crate::datum_in(&pack_vector(elements, repr::Kind::Int), repr::Kind::Array, arena))
            .to_vec(),
        ArgType::Any | ArgType::AnyElement | ArgType::AnyCompatible => return samples(ArgType::Int4, arena),
        ArgType::AnyEnum => {
            let labels = ["x", "y", "z"].map(str::to_owned).to_vec();
            let typ = repr::EnumType { oid: 20_000, name: "sample".to_owned(), labels };
            return [1, 2, 3].map(|value| (Datum::Int(value), ScalarType::Enum(Box::new(typ.clone())))).to_vec();
        }
        container => return container_samples(container, arena),
    };
    datums.into_iter().map(|datum| (datum, typ.clone().expect("concrete"))).collect()
}

/// Arrays and the like, of integers.
fn container_samples(arg: ArgType, arena: &Arena) -> Vec<(Datum<'_>, ScalarType)> {
    use repr::composite::{pack_list, pack_map, pack_vector};
    match arg {
        ArgType::AnyRange | ArgType::Range(_) => {
            let typ = ScalarType::Range(repr::RangeType::Int4);
            let texts = ["empty", "(,)", "[1,5)", "[3,)", "(,2)", "[7,8)"];
            let parsed = texts.map(|text| repr::text::parse(text, &typ, arena).expect("a range"));
            parsed.map(|datum| (datum, typ.clone())).to_vec()
        }
        ArgType::AnyArray => {
            let typ = ScalarType::Array(Box::new(ScalarType::Int4));
            let arrays = [&[][..], &[Datum::Int(1), Datum::Null], &[Datum::Int(7)]]
                .map(|elements| crate::datum_in(&pack_vector(elements, repr::Kind::Int), repr::Kind::Array, arena));
            arrays.map(|array| (array, typ.clone())).to_vec()
        }
        ArgType::AnyList => {
            let list = pack_list(&[(Datum::Int(1), repr::Kind::Int), (Datum::Null, repr::Kind::Int)]);
            let list = crate::datum_in(&list, repr::Kind::List, arena);
            vec![(list, ScalarType::List(Box::new(ScalarType::Int4)))]
        }
        ArgType::AnyMap => {
            let map = crate::datum_in(&pack_map(&[("a", Datum::Int(1))], repr::Kind::Int), repr::Kind::Map, arena);
            vec![(map, ScalarType::Map(Box::new(ScalarType::Int4)))]
        }
        ArgType::Record => {
            let record = crate::datum_in(&pack_list(&[(Datum::Int(1), repr::Kind::Int)]), repr::Kind::List, arena);
            vec![(record, ScalarType::Record(vec![("x".into(), ScalarType::Int4.nullable())]))]
        }
        other => panic!("no container: {other:?}"),
    }
}

/// The type a call returns, for polymorphic results the one its arguments imply.
fn return_type(func: Func, args: &[ScalarType]) -> ScalarType {
    if let Some(typ) = func.returns.concrete() {
        return typ;
    }
    let of = |wanted: &[ArgType]| func.0.args.iter().position(|arg| wanted.contains(arg)).map(|at| args[at].clone());
    let element = || match of(&[ArgType::AnyArray, ArgType::AnyList, ArgType::AnyMap]) {
        Some(ScalarType::Array(element) | ScalarType::List(element) | ScalarType::Map(element)) => *element,
        _ => ScalarType::Int4,
    };
    match func.returns {
        ArgType::AnyArray => ScalarType::Array(Box::new(element())),
        ArgType::AnyList => ScalarType::List(Box::new(element())),
        ArgType::AnyMap => ScalarType::Map(Box::new(element())),
        ArgType::AnyRange => ScalarType::Range(repr::RangeType::Int4),
        ArgType::Record => ScalarType::Record(args.iter().map(|arg| (String::new(), arg.clone().nullable())).collect()),
        _ => of(&[ArgType::AnyElement]).unwrap_or_else(element),
    }
}

/// Calls every function with samples of its arguments' types: nothing panics, and what the entry declares holds.
#[test]
fn entries_declare_the_truth() {
    let arena = Arena::new();
    // A parameter is never evaluated: its value takes its place, and that cannot fail.
    let others = ["mz_timestamp_clamped", "parameter"];
    for func in all().filter(|func| func.kind != FuncKind::Cast && !others.contains(&func.0.key)) {
        let mut args = func.0.args.to_vec();
        // Subscripts and the like come with their container.
        args.extend(func.variadic);
        args.extend(func.variadic.filter(|_| matches!(func.0.key, "map" | "array_slice")));
        let choices: Vec<_> = args.iter().map(|arg| samples(*arg, &arena)).collect();
        let combinations: usize = choices.iter().map(Vec::len).product();
        for number in (0..combinations).step_by(1 + combinations / 3000) {
            let mut rest = number;
            let chosen: Vec<_> = choices
                .iter()
                .map(|samples| {
                    let sample = samples[rest % samples.len()].clone();
                    rest /= samples.len();
                    sample
                })
                .collect();
            let (datums, mut types): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
            let mut datums = datums;
            if func.0.key == "map" {
                (datums, types) = (vec![Datum::Text("k"), datums[1]], vec![ScalarType::Text, types[1].clone()]);
            }
            check_call(func, &datums, &types, &arena);
        }
    }
}

fn check_call<'a>(func: Func, datums: &[Datum<'a>], types: &[ScalarType], arena: &'a Arena) {
    let types = CallTypes { args: types.to_vec(), ret: return_type(func, types) };
    let shown = || format!("{}({datums:?})", func.0.key);
    match (func.body)(datums, &types, arena) {
        Ok(datum) => {
            assert!(func.nullable || !datum.is_null(), "{} is NULL", shown());
            assert!(datum.is_null() || datum.kind() == Some(types.ret.kind()), "{} is {datum:?}", shown());
            let row = repr::Row::pack_one(datum);
            repr::row::check(row.as_bytes(), &[types.ret.kind()])
                .unwrap_or_else(|error| panic!("{}: {error}", shown()));
        }
        Err(error) => {
            assert!(func.fallible, "{} gives {error:?}", shown());
            assert!(!error.message.is_empty() && !error.message.ends_with('.'), "{error:?}");
        }
    }
}
