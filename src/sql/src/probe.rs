//! Laws of reading and printing that hold for whatever a user may type: for fuzzing only. Each panics where its law is broken.

use expr::cast::{CastContext, cast};
use expr::{EvalError, Scalar, func};
use repr::interval::{Interval, IntervalInput, IntervalSpec, IntervalStyle};
use repr::text::{self, FormatContext};
use repr::{Arena, Datum, NumericSpec, RangeType, ScalarType};

use crate::statement::{Statement, StatementKind};

/// A statement that can be read prints as one that reads as the same tree.
pub fn parser(sql: &str) {
    for statement in crate::parse(sql).unwrap_or_default() {
        let Some(query) = query_of(&statement) else { continue };
        let printed = query.to_string();
        let again = crate::parse(&printed).unwrap_or_else(|error| panic!("{}: {printed}", error.message));
        let again = again.first().and_then(query_of).expect("a query prints as a query");
        assert!(again == query, "another tree\n  printed: {printed}\n  again: {again}");
    }
}

fn query_of(statement: &Statement) -> Option<sqlparser::ast::Query> {
    match statement.kind.as_ref() {
        StatementKind::Select(select) => Some(*select.query.clone()),
        StatementKind::CreateView(view) => Some(*view.query.clone()),
        _ => None,
    }
}

/// Types that have a text form of their own.
fn types() -> Vec<ScalarType> {
    let scalars = repr::pg_type::scalars().map(|(typ, _)| typ.clone());
    let with_modifiers = [
        ScalarType::Varchar(Some(3)),
        ScalarType::Char(Some(3)),
        ScalarType::Numeric(Some(NumericSpec { precision: 5, scale: 2 })),
        ScalarType::Timestamp(Some(0)),
        ScalarType::TimestampTz(Some(3)),
        ScalarType::Time(Some(2)),
        ScalarType::Interval(Some(IntervalSpec { fields: None, precision: Some(3) })),
        ScalarType::Range(RangeType::Int4),
        ScalarType::Range(RangeType::Timestamp),
    ];
    let elements = [ScalarType::Text, ScalarType::Int4, ScalarType::Interval(None), ScalarType::Char(Some(2))];
    let nested = elements.into_iter().flat_map(|typ| {
        let typ = Box::new(typ);
        [ScalarType::Array(typ.clone()), ScalarType::List(typ.clone()), ScalarType::Map(typ)]
    });
    let record = ["a", "b"].map(|name| (name.to_owned(), ScalarType::Text.nullable())).to_vec();
    scalars.chain(with_modifiers).chain(nested).chain([ScalarType::Record(record)]).collect()
}

/// One of several things, by a byte.
fn chosen<T: Clone>(of: &[T], byte: u8) -> T {
    of[usize::from(byte) % of.len()].clone()
}

fn printed(datum: Datum<'_>, typ: &ScalarType) -> String {
    let mut out = String::new();
    text::format(datum, typ, &mut out);
    out
}

/// What a type reads it prints, and what it prints it reads as the same value. The byte chooses the type.
pub fn text_input(choice: u8, input: &str) {
    let typ = chosen(&types(), choice);
    let arena = Arena::new();
    let Ok(datum) = text::parse(input, &typ, &arena) else { return };
    let shown = printed(datum, &typ);
    // Intervals with the least number of all have no text that is read.
    let is_least = shown.contains("2562047788:00:54.775808") || shown.contains("2147483648");
    match text::parse(&shown, &typ, &arena) {
        Ok(again) => assert!(again == datum, "{typ:?}: {input:?} prints {shown:?}, which is {again:?}"),
        Err(error) => assert!(is_least, "{typ:?}: {input:?} prints {shown:?}: {error:?}"),
    }
    let mut bytes = Vec::new();
    repr::binary::encode(datum, &typ, &mut bytes);
    assert_eq!(repr::binary::decode(&bytes, &typ, &arena), Ok(datum), "{typ:?}: {input:?} in binary");
}

/// Every cast gives a value of its type, or an error. The bytes choose the types.
pub fn casts(from: u8, to: u8, input: &str) {
    let (from, to) = (chosen(&types(), from), chosen(&types(), to));
    let arena = Arena::new();
    let Ok(datum) = text::parse(input, &from, &arena) else { return };
    for context in [CastContext::Implicit, CastContext::Assignment, CastContext::Explicit] {
        let value = Scalar::literal(datum, from.clone());
        let Some(scalar) = cast(value, &from, &to, context) else { continue };
        if let Ok(cast) = scalar.eval(&[], &arena)
            && !cast.is_null()
        {
            assert_eq!(cast.kind(), Some(to.kind()), "{from:?} to {to:?}: {input:?}");
            printed(cast, &to);
        }
    }
}

/// The result of the function `key` for arguments whose types are declared.
fn call(key: &str, args: &[(Datum<'_>, ScalarType)], arena: &Arena) -> Result<String, EvalError> {
    let func = func::by_key(key).unwrap_or_else(|| panic!("no function {key}"));
    let scalars = args.iter().map(|(datum, typ)| Scalar::literal(*datum, typ.clone())).collect();
    let types = args.iter().map(|(_, typ)| typ.clone()).collect();
    let returns = func.returns.concrete().expect("a declared type");
    let scalar = Scalar::call(func, scalars, types, returns.clone());
    let result = scalar.eval(&[], arena)?;
    Ok(printed(result, &returns))
}

/// Patterns of all kinds end with an answer or an error; a text is like itself.
pub fn pattern(value: &str, pattern: &str) {
    if value.contains('\0') || pattern.contains('\0') {
        return;
    }
    let arena = Arena::new();
    let args = [(Datum::Text(value), ScalarType::Text), (Datum::Text(pattern), ScalarType::Text)];
    for key in ["like", "ilike", "is_similar", "regexp_is_match", "regexp_is_match_ci"] {
        let _ = call(key, &args, &arena);
    }
    let escaped: String =
        pattern.chars().flat_map(|c| if matches!(c, '%' | '_' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    let same = [(Datum::Text(pattern), ScalarType::Text), (Datum::Text(&escaped), ScalarType::Text)];
    assert_eq!(call("like", &same, &arena).ok().as_deref(), Some("t"), "{pattern:?} is not like itself");
}

/// A document prints as one that reads as the same; a path over it gives an answer or an error.
pub fn jsonb(document: &str, path: &str) {
    let arena = Arena::new();
    let Ok(datum) = text::parse(document, &ScalarType::Jsonb, &arena) else { return };
    let shown = printed(datum, &ScalarType::Jsonb);
    assert_eq!(text::parse(&shown, &ScalarType::Jsonb, &arena), Ok(datum), "{document:?} prints {shown:?}");
    if !path.contains('\0') {
        let args = [(datum, ScalarType::Jsonb), (Datum::Text(path), ScalarType::Text)];
        for key in ["jsonb_path_exists", "jsonb_path_query_array"] {
            let _ = call(key, &args, &arena);
        }
    }
}

/// In each style an interval prints as what the style reads as the same interval.
pub fn interval(input: &str) {
    let styles =
        [IntervalStyle::Postgres, IntervalStyle::PostgresVerbose, IntervalStyle::SqlStandard, IntervalStyle::Iso8601];
    for style in styles {
        let read = |text: &str| Interval::parse_as(text, IntervalInput { style, fields: None });
        let Ok(interval) = read(input) else { continue };
        let context = FormatContext { interval_style: style, ..FormatContext::default() };
        let mut shown = String::new();
        text::format_in(Datum::Interval(interval), &ScalarType::Interval(None), &context, &mut shown);
        let has_least = interval.micros == i64::MIN || interval.days == i32::MIN || interval.months < -i32::MAX;
        match read(&shown) {
            Ok(again) => assert_eq!(again, interval, "{style:?}: {input:?} prints {shown:?}"),
            // ISO 8601's numbers are doubles, of which the largest are none of seconds.
            Err(error) => assert!(has_least, "{style:?}: {input:?} prints {shown:?}: {error:?}"),
        }
    }
}

/// Every template of `to_char`, `to_number`, `to_date` and `format` ends with an answer or an error.
pub fn format_strings(value: &str, format: &str) {
    if value.contains('\0') || format.contains('\0') {
        return;
    }
    let arena = Arena::new();
    let template = (Datum::Text(format), ScalarType::Text);
    for (key, typ) in [
        ("to_char_int4", ScalarType::Int4),
        ("to_char_int8", ScalarType::Int8),
        ("to_char_numeric", ScalarType::Numeric(None)),
        ("to_char_float4", ScalarType::Float4),
        ("to_char_float8", ScalarType::Float8),
        ("to_char_timestamp", ScalarType::Timestamp(None)),
        ("to_char_timestamptz", ScalarType::TimestampTz(None)),
        ("to_char_interval", ScalarType::Interval(None)),
        ("to_number", ScalarType::Text),
        ("to_date", ScalarType::Text),
        ("to_timestamp_format", ScalarType::Text),
    ] {
        if let Ok(datum) = text::parse(value, &typ, &arena) {
            let _ = call(key, &[(datum, typ), template.clone()], &arena);
        }
    }
    let _ = call("format", &[template, (Datum::Text(value), ScalarType::Text)], &arena);
}

/// The two texts of an input: what is before its first line's end, and what is behind it.
pub fn halves(input: &str) -> (&str, &str) {
    input.split_once('\n').unwrap_or((input, ""))
}
