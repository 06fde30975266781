//! Scripts of inputs and what PostgreSQL makes of them.

use repr::datetime::{TimeZone, format_timestamp, parse_timestamp, parse_timestamptz};
use repr::interval::{Interval, age, timestamp_plus_interval, timestamptz_plus_interval};
use repr::numeric::{Numeric, NumericError};
use repr::{Arena, NumericSpec, ScalarType, binary, pg_type, text};

/// Lines that say something, with their numbers.
fn lines(script: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = script.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A type's name with its modifier, as the scripts write it.
fn type_of(name: &str) -> ScalarType {
    if let Some(element) = name.strip_suffix("[]") {
        return ScalarType::Array(Box::new(type_of(element)));
    }
    let Some((base, arguments)) = name.split_once('(') else { return pg_type::from_name(name).expect("a known type") };
    let arguments: Vec<u32> =
        arguments.trim_end_matches(')').split(',').map(|number| number.parse().expect("a number")).collect();
    match base {
        "numeric" => {
            ScalarType::Numeric(Some(NumericSpec { precision: arguments[0] as u8, scale: arguments[1] as i8 }))
        }
        "varchar" => ScalarType::Varchar(Some(arguments[0])),
        "char" => ScalarType::Char(Some(arguments[0])),
        "timestamp" => ScalarType::Timestamp(Some(arguments[0] as u8)),
        other => panic!("no modifier of {other}"),
    }
}

#[test]
fn text_and_binary_forms_are_those_of_postgres() {
    for (number, line) in lines(include_str!("scripts/forms.txt")) {
        let (type_name, rest) = line.split_once(" \"").expect("a type and an input");
        let mut values = serde_json::Deserializer::from_str(&line[type_name.len() + 1..]).into_iter::<String>();
        let input = values.next().expect("an input").expect("a json string");
        let expected = rest[values.byte_offset() - 1..].trim_start();
        assert_eq!(actual_form(&input, &type_of(type_name)), expected, "line {number}: {line}");
    }
}

/// The right side of a line. Asserts on the way that both forms read back as the same datum.
fn actual_form(input: &str, typ: &ScalarType) -> String {
    let arena = Arena::new();
    let datum = match text::parse(input, typ, &arena) {
        Ok(datum) => datum,
        Err(error) => return format!("! {} {}", error.sqlstate(), quoted(&error.message)),
    };
    let mut printed = String::new();
    text::format(datum, typ, &mut printed);
    assert_eq!(text::parse(&printed, typ, &arena), Ok(datum), "{printed}");
    let mut bytes = Vec::new();
    binary::encode(datum, typ, &mut bytes);
    assert_eq!(binary::decode(&bytes, typ, &arena), Ok(datum), "{bytes:?}");
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("= {} {hexadecimal}", quoted(&printed))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is json")
}

#[test]
fn arithmetic_is_that_of_postgres() {
    for (number, line) in lines(include_str!("scripts/arithmetic.txt")) {
        let parts: Vec<&str> = line.splitn(3, " | ").collect();
        let (right, expected) = parts[2].split_once(['=', '!']).expect("an expectation");
        let actual = match calculate(parts[0], parts[1], right.trim()) {
            Ok(result) => format!("= {result}"),
            Err(sqlstate) => format!("! {sqlstate}"),
        };
        let sign = if parts[2].contains('!') { '!' } else { '=' };
        assert_eq!(actual, format!("{sign}{expected}"), "line {number}: {line}");
    }
}

fn number(text: &str) -> Numeric {
    Numeric::parse(text).expect("a number")
}

fn interval(text: &str) -> Interval {
    Interval::parse(text).expect("an interval")
}

fn timestamp(text: &str) -> i64 {
    parse_timestamp(text).expect("a timestamp")
}

fn calculate(operation: &str, left: &str, right: &str) -> Result<String, String> {
    match operation {
        "add" | "sub" | "mul" | "div" | "rem" | "cmp" | "ceil" | "floor" | "abs" | "sqrt" | "exp" | "ln" | "log10"
        | "round" | "trunc" | "pow" | "log" | "i64" | "f64" => calculate_number(operation, left, right),
        "tsadd" | "tzadd" | "atz" | "tzat" => calculate_timestamp(operation, left, right),
        _ => calculate_interval(operation, left, right),
    }
}

fn calculate_number(operation: &str, left: &str, right: &str) -> Result<String, String> {
    let left = number(left);
    let right_number = || number(right);
    let places = || right.parse().expect("a number of places");
    let result = match operation {
        "add" => left.add(&right_number()),
        "sub" => left.sub(&right_number()),
        "mul" => left.mul(&right_number()),
        "div" => left.div(&right_number()),
        "rem" => left.rem(&right_number()),
        "pow" => left.pow(&right_number()),
        "log" => left.log(&right_number()),
        "ceil" => left.ceil(),
        "floor" => left.floor(),
        "abs" => Ok(left.abs()),
        "sqrt" => left.sqrt(),
        "exp" => left.exp(),
        "ln" => left.ln(),
        "log10" => left.log10(),
        "round" => left.round(places()),
        "trunc" => Ok(left.trunc(places())),
        "cmp" => return Ok((left < right_number()).to_string()),
        "i64" => return left.to_i64().map(|value| value.to_string()).ok_or_else(|| "22003".to_owned()),
        _ => {
            let mut printed = String::new();
            text::format_float8(left.to_f64(), &mut printed);
            return Ok(printed);
        }
    };
    result.map(|number| number.to_string()).map_err(|error: NumericError| error.sqlstate().to_owned())
}

fn calculate_interval(operation: &str, left: &str, right: &str) -> Result<String, String> {
    let factor = || right.parse().expect("a factor");
    let result = match operation {
        "justify_days" => interval(left).justify_days(),
        "justify_hours" => interval(left).justify_hours(),
        "justify_interval" => interval(left).justify_interval(),
        "imul" => interval(left).checked_mul(factor()),
        "idiv" => interval(left).checked_div(factor()),
        "iadd" => interval(left).checked_add(&interval(right)),
        "isub" => interval(left).checked_sub(&interval(right)),
        "age" => age(timestamp(left), timestamp(right)),
        other => panic!("no operation {other}"),
    };
    result.map(|interval| interval.to_string()).ok_or_else(|| "22008".to_owned())
}

fn calculate_timestamp(operation: &str, left: &str, right: &str) -> Result<String, String> {
    let zone = |name: &str| TimeZone::parse(name).expect("a zone");
    let result = match operation {
        "tsadd" => timestamp_plus_interval(timestamp(left), &interval(right)),
        "tzadd" => {
            let zone = zone("America/New_York");
            let instant = parse_timestamptz(left, &zone).expect("a timestamp");
            timestamptz_plus_interval(instant, &interval(right), &zone)
        }
        "atz" => zone(right).to_utc(timestamp(left)),
        _ => zone(right).to_local(timestamp(left)),
    };
    let mut printed = String::new();
    format_timestamp(result.ok_or_else(|| "22008".to_owned())?, &mut printed);
    Ok(printed)
}
