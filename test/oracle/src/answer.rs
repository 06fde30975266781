//! Answers, and when two of them are the same.
//!
//! Documented differences are no differences: a numeric prints without trailing zeros, quotients carry more digits, and -0
//! is 0. Which error is reported, if several could be, is open; that one is reported is not, unless a part of the query
//! need not have been computed.

use repr::ScalarType;

use crate::generate::Column;

/// A row as text; NULL is None.
pub(crate) type TextRow = Vec<Option<String>>;

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What a query gives.
pub(crate) type Answer = Result<Vec<TextRow>, Failure>;

/// How an answer relates to the expected one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Same,
    /// One side fails where the other did not compute what fails.
    Lax(&'static str),
    Different(String),
}

/// Compares an answer with PostgreSQL's. `lazy` says that the query has parts that need not be computed.
pub(crate) fn compare(columns: &[Column], expected: &Answer, actual: &Answer, lazy: bool) -> Verdict {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => compare_rows(columns, expected, actual),
        (Err(expected), Err(actual)) if same_class(&expected.code, &actual.code) => Verdict::Same,
        (Err(expected), Err(actual)) => Verdict::Different(format!(
            "fails with {} ({}), expected {} ({})",
            actual.code, actual.message, expected.code, expected.message
        )),
        (Err(expected), Ok(_)) if is_of_data(&expected.code) => Verdict::Lax("PostgreSQL alone fails"),
        (Err(expected), Ok(_)) => {
            Verdict::Different(format!("gives rows, expected {} ({})", expected.code, expected.message))
        }
        (Ok(_), Err(actual)) if lazy && is_of_data(&actual.code) => Verdict::Lax("Freshet alone fails"),
        (Ok(_), Err(actual)) => {
            Verdict::Different(format!("fails with {} ({}), expected rows", actual.code, actual.message))
        }
    }
}

/// Errors that values cause, a format among them, or a subquery of too many rows. Several may be possible at once.
pub(crate) fn is_of_data(code: &str) -> bool {
    ["22", "21", "0A", "42", "54"].iter().any(|class| code.starts_with(class))
}

fn same_class(left: &str, right: &str) -> bool {
    left.get(..2) == right.get(..2) || (is_of_data(left) && is_of_data(right))
}

fn compare_rows(columns: &[Column], expected: &[TextRow], actual: &[TextRow]) -> Verdict {
    let mut left = expected.to_vec();
    let mut extra = Vec::new();
    for row in actual {
        match left.iter().position(|other| same_row(columns, other, row)) {
            Some(position) => drop(left.swap_remove(position)),
            None => extra.push(row.clone()),
        }
    }
    if left.is_empty() && extra.is_empty() {
        return Verdict::Same;
    }
    Verdict::Different(format!(
        "{} rows, expected {}\n  only Freshet's:    {}\n  only PostgreSQL's: {}",
        actual.len(),
        expected.len(),
        shown(&extra),
        shown(&left)
    ))
}

/// The first rows of some, as one line.
pub(crate) fn shown(rows: &[TextRow]) -> String {
    let row = |row: &TextRow| {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        format!("({})", values.join(" | "))
    };
    let first: Vec<String> = rows.iter().take(4).map(row).collect();
    format!("{}{}", first.join(" "), if rows.len() > 4 { " …" } else { "" })
}

fn same_row(columns: &[Column], expected: &TextRow, actual: &TextRow) -> bool {
    expected.len() == actual.len()
        && columns.iter().zip(expected).zip(actual).all(|((column, expected), actual)| match (expected, actual) {
            (None, None) => true,
            (Some(expected), Some(actual)) => expected == actual || same_value(column, expected, actual),
            _ => false,
        })
}

fn same_value(column: &Column, expected: &str, actual: &str) -> bool {
    match &column.typ {
        ScalarType::Float8 | ScalarType::Float4 => near(expected, actual),
        ScalarType::Numeric(_) if column.exact => without_zeros(expected) == without_zeros(actual),
        ScalarType::Numeric(_) => near(expected, actual) || without_zeros(expected) == rounded(actual, expected),
        ScalarType::Jsonb | ScalarType::Array(_) | ScalarType::Range(_) => {
            numbers_without_zeros(expected) == numbers_without_zeros(actual)
        }
        _ => false,
    }
}

/// Equal to nine digits.
fn near(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) if left.is_nan() || right.is_nan() => left.is_nan() && right.is_nan(),
        (Ok(left), Ok(right)) if left.is_infinite() || right.is_infinite() => left == right,
        (Ok(left), Ok(right)) => (left - right).abs() <= 1e-9 * left.abs().max(right.abs()),
        _ => false,
    }
}

/// A number without the zeros behind its point that say nothing.
fn without_zeros(number: &str) -> String {
    let trimmed = match number.contains('.') && !number.contains('e') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    if matches!(trimmed, "-0" | "") { "0".to_owned() } else { trimmed.to_owned() }
}

/// A number rounded to as many digits behind the point as `model` has. Good enough for numbers near zero, where digits after
/// the ninth still count.
fn rounded(number: &str, model: &str) -> String {
    let digits = model.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match number.parse::<f64>() {
        Ok(value) => without_zeros(&format!("{value:.digits$}")),
        Err(_) => number.to_owned(),
    }
}

/// A document, array or range with each number in it as [`without_zeros`] writes it; what stands in quotes stays.
fn numbers_without_zeros(text: &str) -> String {
    let (mut out, mut number, mut quoted, mut escaped) = (String::new(), String::new(), false, false);
    for character in text.chars().chain(['\0']) {
        if !quoted && (character.is_ascii_digit() || matches!(character, '.' | '-')) {
            number.push(character);
            continue;
        }
        if !number.is_empty() {
            out.push_str(&without_zeros(&std::mem::take(&mut number)));
        }
        match character {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(typ: ScalarType, exact: bool) -> Column {
        Column { sql: "c0".to_owned(), typ, exact }
    }

    fn rows(values: &[&str]) -> Answer {
        Ok(values.iter().map(|value| vec![Some((*value).to_owned())]).collect())
    }

    #[test]
    fn digits_that_say_nothing_make_no_difference() {
        let columns = [column(ScalarType::Numeric(None), true)];
        assert_eq!(compare(&columns, &rows(&["1.50", "0.00"]), &rows(&["0", "1.5"]), false), Verdict::Same);
        assert_ne!(compare(&columns, &rows(&["100"]), &rows(&["1"]), false), Verdict::Same);
        let columns = [column(ScalarType::Jsonb, true)];
        assert_eq!(compare(&columns, &rows(&["[1.50, \"1.50\"]"]), &rows(&["[1.5, \"1.50\"]"]), false), Verdict::Same);
        assert_ne!(compare(&columns, &rows(&["\"1.50\""]), &rows(&["\"1.5\""]), false), Verdict::Same);
    }

    #[test]
    fn rows_count_as_often_as_they_come() {
        let columns = [column(ScalarType::Text, true)];
        assert_ne!(compare(&columns, &rows(&["a", "a"]), &rows(&["a"]), false), Verdict::Same);
        assert_eq!(compare(&columns, &rows(&["a", "b"]), &rows(&["b", "a"]), false), Verdict::Same);
    }

    #[test]
    fn an_error_of_ones_own_is_a_difference_where_everything_is_computed() {
        let columns = [column(ScalarType::Int4, true)];
        let failure = |code: &str| Err(Failure { code: code.to_owned(), message: String::new() });
        assert!(matches!(compare(&columns, &rows(&["1"]), &failure("22012"), false), Verdict::Different(_)));
        assert!(matches!(compare(&columns, &rows(&["1"]), &failure("XX000"), true), Verdict::Different(_)));
        assert!(matches!(compare(&columns, &failure("22003"), &failure("XX000"), true), Verdict::Different(_)));
        assert_eq!(compare(&columns, &failure("22003"), &failure("22012"), false), Verdict::Same);
    }
}
