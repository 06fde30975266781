//! What the families of values promise beyond their text forms.

use repr::datetime::TimeZone;
use repr::jsonb::{Json, JsonbBuilder, JsonbError, JsonbKind, JsonbRef};
use repr::numeric::{Numeric, NumericError, NumericSum};
use repr::text::FormatContext;
use repr::{Arena, ColumnType, Datum, Diff, NumericSpec, ScalarType, text};

fn number(text: &str) -> Numeric {
    Numeric::parse(text).expect("a number")
}

#[test]
fn numbers_print_with_the_scale_asked_for() {
    for (input, scale, expected) in [
        ("1.5", 2, "1.50"),
        ("-0.005", 2, "-0.01"),
        ("-0.004", 2, "0.00"),
        ("1e20", 0, "100000000000000000000"),
        ("0.999", 1, "1.0"),
        ("NaN", 2, "NaN"),
        ("999999999999999999999999999999999999999", 3, "999999999999999999999999999999999999999.000"),
    ] {
        assert_eq!(number(input).format_with_scale(scale), expected);
    }
}

#[test]
fn numbers_beyond_39_digits_are_rounded_or_refused() {
    assert_eq!(number("1").div(&number("3")), Ok(number(&format!("0.{}", "3".repeat(39)))));
    assert_eq!(number("2").div(&number("3")), Ok(number(&format!("0.{}7", "6".repeat(38)))));
    assert_eq!(number("20").div(&number("3")), Ok(number(&format!("6.{}7", "6".repeat(37)))));
    assert_eq!(number("1e-40"), Numeric::ZERO);
    assert_eq!(number("5e-40"), number("1e-39"));
    assert_eq!(Numeric::parse("1e39"), Err(NumericError::Overflow));
    assert_eq!(Numeric::parse("999999999999999999999999999999999999999.5"), Err(NumericError::Overflow));
    assert_eq!(number("9e38").add(&number("9e38")), Err(NumericError::Overflow));
    assert_eq!(Numeric::from_f64(1e39), Err(NumericError::Overflow));
    assert_eq!(Numeric::from_f64(0.1), Ok(number("0.1")));
    assert_eq!(Numeric::from_f32(0.1), Ok(number("0.1")));
    assert_eq!(number("170141183460469231731687303715884105728").neg().to_i128(), None);
    assert_eq!(number("-170141183460469231731687303715884105727").to_i128(), Some(-i128::MAX));
    assert_eq!(Numeric::from_i128(i128::MIN).neg(), number("170141183460469231731687303715884105728"));
    assert_eq!(Numeric::from_u64(u64::MAX).to_u64(), Some(u64::MAX));
}

#[test]
fn columns_hold_numbers_of_their_precision() {
    let spec = NumericSpec { precision: 5, scale: 2 };
    assert_eq!(number("999.994").rescale(spec), Ok(number("999.99")));
    assert_eq!(number("999.995").rescale(spec), Err(NumericError::FieldOverflow));
    assert_eq!(number("NaN").rescale(spec), Ok(Numeric::NAN));
    let widest = NumericSpec { precision: 39, scale: 0 };
    assert_eq!(number("999999999999999999999999999999999999999").rescale(widest).map(|number| number.scale()), Ok(0));
    let error = text::parse("1000", &ScalarType::Numeric(Some(spec)), &Arena::new()).expect_err("too large");
    let detail = "A field with precision 5, scale 2 must round to an absolute value less than 10^3.";
    assert_eq!(error.detail.as_deref(), Some(detail));
}

#[test]
fn sums_of_numbers_are_exact_beyond_a_number() {
    let mut sum = NumericSum::default();
    let largest = number("999999999999999999999999999999999999999");
    let smallest = number("0.000000000000000000000000000000000000001");
    sum.add(&largest, Diff::new(i64::MAX - 3));
    sum.add(&smallest, Diff::new(3));
    assert_eq!(sum.result(), Err(NumericError::Overflow));
    sum.add(&largest, Diff::new(3 - i64::MAX));
    assert_eq!(sum.result(), Ok(number("0.000000000000000000000000000000000000003")));
    sum.add(&Numeric::INFINITY, Diff::ONE);
    assert_eq!(sum.result(), Ok(Numeric::INFINITY));
    sum.add(&Numeric::NEGATIVE_INFINITY, Diff::ONE);
    assert_eq!(sum.result(), Ok(Numeric::NAN));
    sum.add(&Numeric::INFINITY, Diff::MINUS_ONE);
    sum.add(&Numeric::NEGATIVE_INFINITY, Diff::MINUS_ONE);
    sum.add(&smallest, Diff::new(-3));
    assert!(sum.is_zero());
}

#[test]
fn jsonb_is_reached_by_key_and_index() {
    let arena = Arena::new();
    let json = JsonbRef::parse(r#"{"list": [1, {"k": "v"}, null], "": true}"#, &arena).expect("valid json");
    let list = json.get("list").expect("a key");
    assert_eq!(list.kind(), JsonbKind::Array);
    assert_eq!(list.get_index(-1), Some(JsonbRef::NULL));
    assert_eq!(list.get_index(3), None);
    assert_eq!(list.get_index(-4), None);
    assert_eq!(list.get("list"), None);
    let inner = list.get_index(1).and_then(|object| object.get("k")).expect("a nested value");
    assert!(matches!(inner.decode(), Json::String("v")));
    assert_eq!(json.get(""), Some(JsonbRef::TRUE));
    let mut pretty = String::new();
    json.format_pretty(&mut pretty);
    let expected = "{\n    \"\": true,\n    \"list\": [\n        1,\n        {\n            \"k\": \"v\"\n        },\n        null\n    ]\n}";
    assert_eq!(pretty, expected);
}

#[test]
fn jsonb_is_built_with_keys_sorted() {
    let arena = Arena::new();
    let build = || -> Result<JsonbBuilder, JsonbError> {
        let mut builder = JsonbBuilder::new();
        builder.begin_object()?;
        builder.key("bb")?;
        builder.begin_array()?;
        builder.int(1);
        builder.push(JsonbRef::NULL)?;
        builder.end_array();
        builder.key("c")?;
        builder.string("old")?;
        builder.key("c")?;
        builder.string("new")?;
        builder.end_object();
        Ok(builder)
    };
    let json = build().expect("nothing is refused").finish_in(&arena);
    assert_eq!(json.to_string(), r#"{"c": "new", "bb": [1, null]}"#);
    assert_eq!(JsonbBuilder::new().string("a\0").map_err(|error| error.sqlstate()), Err("22P05"));
    assert_eq!(JsonbBuilder::new().number(&Numeric::NAN), Err(JsonbError::NotFinite));
}

#[test]
fn jsonb_nests_only_so_deep() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let arena = Arena::new();
    assert!(JsonbRef::parse(&nested(512), &arena).is_ok());
    assert_eq!(JsonbRef::parse(&nested(513), &arena), Err(JsonbError::TooDeep));
    assert_eq!(JsonbRef::parse(&"[".repeat(1_000_000), &arena), Err(JsonbError::TooDeep));
    let mut builder = JsonbBuilder::new();
    builder.begin_array().expect("not deep");
    let deepest = nested(512);
    let deepest = JsonbRef::parse(&deepest, &arena).expect("just deep enough");
    assert_eq!(builder.push(deepest), Err(JsonbError::TooDeep));
}

fn printed(text: &str, typ: &ScalarType) -> String {
    let arena = Arena::new();
    let mut out = String::new();
    match text::parse(text, typ, &arena) {
        Ok(datum) => text::format(datum, typ, &mut out),
        Err(error) => out = format!("{}: {error}", error.sqlstate()),
    }
    out
}

#[test]
fn lists_maps_and_records_print_and_read() {
    let list = ScalarType::List(Box::new(ScalarType::List(Box::new(ScalarType::Int4))));
    assert_eq!(printed("{{1}, {2,NULL} ,NULL, {}}", &list), "{{1},{2,NULL},NULL,{}}");
    assert_eq!(printed("{1", &list), "22P02: malformed list literal: \"{1\"");
    let map = ScalarType::Map(Box::new(ScalarType::Text));
    assert_eq!(printed("{b=>2, a => \"x y\", \"c=>\"=>NULL}", &map), "{a=>\"x y\",b=>2,\"c=>\"=>NULL}");
    assert_eq!(printed("{a}", &map), "22P02: malformed map literal: \"{a}\"");
    let nested = ScalarType::Map(Box::new(ScalarType::List(Box::new(ScalarType::Bool))));
    assert_eq!(printed("{k=>{t,f}}", &nested), "{k=>{t,f}}");
    let field = |name: &str, typ: ScalarType| -> (String, ColumnType) { (name.to_owned(), typ.nullable()) };
    let record = ScalarType::Record(vec![field("a", ScalarType::Int4), field("b", ScalarType::Text)]);
    for (input, expected) in [
        ("(1,a)", "(1,a)"),
        ("(,)", "(,)"),
        ("(1,\"\")", "(1,\"\")"),
        ("(1,\"a \"\"b\"\"\\\\\")", "(1,\"a \"\"b\"\"\\\\\")"),
        ("(1)", "22P02: malformed record literal: \"(1)\""),
        ("(1,a,b)", "22P02: malformed record literal: \"(1,a,b)\""),
        ("(x,a)", "22P02: invalid input syntax for type integer: \"x\""),
    ] {
        assert_eq!(printed(input, &record), expected);
    }
}

#[test]
fn a_nul_is_refused_in_every_type() {
    for typ in [ScalarType::Text, ScalarType::Int4, ScalarType::Jsonb, ScalarType::Bytes] {
        assert!(printed("a\0b", &typ).starts_with("22021"));
    }
}

#[test]
fn a_session_sees_instants_in_its_zone() {
    let context =
        FormatContext { time_zone: TimeZone::parse("america/new_york").expect("a zone"), ..Default::default() };
    let arena = Arena::new();
    let typ = ScalarType::Array(Box::new(ScalarType::TimestampTz(None)));
    let datum = text::parse_in("{2024-01-01 00:00}", &typ, &context, &arena).expect("a timestamp");
    let mut out = String::new();
    text::format_in(datum, &typ, &context, &mut out);
    assert_eq!(out, "{\"2024-01-01 00:00:00-05\"}");
    assert_eq!(printed(&out, &typ), "{\"2024-01-01 05:00:00+00\"}");
    assert_eq!(context.time_zone.name(), "America/New_York");
    assert_eq!(TimeZone::parse("-03:30").map(|zone| zone.name()), Ok("-03:30".to_owned()));
    let error = TimeZone::parse("Mars/Olympus").expect_err("no such zone");
    assert_eq!((error.sqlstate(), error.message.as_str()), ("22023", "time zone \"Mars/Olympus\" not recognized"));
}

#[test]
fn every_point_in_time_prints() {
    for micros in [i64::MIN, i64::MIN + 1, repr::datetime::TIMESTAMP_MIN, -1, 0, i64::MAX - 1, i64::MAX] {
        for zone in ["UTC", "Asia/Kathmandu", "-15:59"] {
            let context = FormatContext { time_zone: TimeZone::parse(zone).expect("a zone"), ..Default::default() };
            let mut out = String::new();
            text::format_in(Datum::Timestamp(micros), &ScalarType::TimestampTz(None), &context, &mut out);
            assert!(!out.is_empty());
        }
    }
    for days in [i32::MIN, i32::MIN + 1, i32::MAX - 1, i32::MAX] {
        let mut out = String::new();
        text::format(Datum::Date(days), &ScalarType::Date, &mut out);
        assert!(!out.is_empty());
    }
}
