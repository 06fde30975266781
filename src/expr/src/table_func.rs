//! Functions that return a set of rows.

mod record;

use repr::jsonb::Json;
use repr::numeric::Numeric as Number;
use repr::{Arena, Datum, Kind, ScalarType};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::error::EvalError;
use crate::func::{
    compile_regexp, jsonb_as_text, jsonb_path_items, not_global, numeric_error, regexp_groups, regexp_matches,
    regexp_split,
};

/// Rows that one call makes at most.
pub const ROWS_MAX: u64 = 100_000_000;

/// A set-returning function; FlatMap appends its output columns to the input row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TableFunc {
    /// `generate_series(start, stop, step)` over int4, int8.
    GenerateSeriesInt(ScalarType),
    /// `generate_series(start, stop, step)` over numeric.
    GenerateSeriesNumeric,
    /// `generate_series(start, stop, interval)` over timestamp or timestamptz.
    GenerateSeriesTimestamp(ScalarType),
    /// `unnest(array)`; the element type.
    UnnestArray(ScalarType),
    UnnestList(ScalarType),
    JsonbArrayElements,
    JsonbArrayElementsText,
    JsonbEach,
    JsonbEachText,
    JsonbObjectKeys,
    /// `jsonb_path_query(value, path, variables, silent)`.
    JsonbPathQuery,
    /// `jsonb_to_record(value)` and `jsonb_to_recordset(value)` with their column definitions.
    JsonbToRecord {
        columns: Vec<(String, ScalarType)>,
        is_set: bool,
    },
    /// `csv_extract(number of columns, text)`: the fields of each record.
    CsvExtract(usize),
    /// `regexp_extract(pattern, text)`: the groups of the first match; the names of the columns.
    RegexpExtract(Vec<String>),
    /// `generate_subscripts(array, dimension)`.
    GenerateSubscripts,
    RegexpSplitToTable,
    /// `regexp_matches(text, pattern, flags)`: the groups of each match (of the first only, without the flag g).
    RegexpMatches,
    /// `string_to_table(text, separator, null)`.
    StringToTable,
    /// `unnest(map)`: key and value; the value type.
    UnnestMap(ScalarType),
    /// `_pg_expandarray(array)`: each element and its subscript; the element type.
    ExpandArray(ScalarType),
    /// The records of a list, a column for each field.
    UnnestRecords(Vec<repr::ColumnType>),
    /// The given number of columns for each of several rows, listed as arguments: VALUES with non-constant entries.
    Wrap {
        columns: Vec<ScalarType>,
    },
    /// The rows of another function, numbered from 1 in a further column: WITH ORDINALITY.
    WithOrdinality(Box<TableFunc>),
    /// Several functions side by side, each with its number of arguments: row n has the nth row of each, and NULLs for those
    /// that have no more.
    Lockstep(Vec<(TableFunc, usize)>),
}

/// The datums of one row that a table function returns.
pub type TableRow<'a> = SmallVec<[Datum<'a>; 2]>;

/// The rows of one call, made as they are asked for.
pub type TableRows<'a> = Box<dyn Iterator<Item = TableRow<'a>> + 'a>;

impl TableFunc {
    /// The SQL name.
    pub fn name(&self) -> &'static str {
        match self {
            TableFunc::GenerateSeriesInt(_)
            | TableFunc::GenerateSeriesNumeric
            | TableFunc::GenerateSeriesTimestamp(_) => "generate_series",
            TableFunc::JsonbPathQuery => "jsonb_path_query",
            TableFunc::JsonbToRecord { is_set: false, .. } => "jsonb_to_record",
            TableFunc::JsonbToRecord { is_set: true, .. } => "jsonb_to_recordset",
            TableFunc::CsvExtract(_) => "csv_extract",
            TableFunc::RegexpExtract(_) => "regexp_extract",
            TableFunc::UnnestArray(_) | TableFunc::UnnestList(_) | TableFunc::UnnestMap(_) => "unnest",
            TableFunc::JsonbArrayElements => "jsonb_array_elements",
            TableFunc::JsonbArrayElementsText => "jsonb_array_elements_text",
            TableFunc::JsonbEach => "jsonb_each",
            TableFunc::JsonbEachText => "jsonb_each_text",
            TableFunc::JsonbObjectKeys => "jsonb_object_keys",
            TableFunc::GenerateSubscripts => "generate_subscripts",
            TableFunc::RegexpSplitToTable => "regexp_split_to_table",
            TableFunc::RegexpMatches => "regexp_matches",
            TableFunc::StringToTable => "string_to_table",
            TableFunc::ExpandArray(_) => "_pg_expandarray",
            TableFunc::UnnestRecords(_) => "unnest",
            TableFunc::Wrap { .. } => "wrap",
            TableFunc::WithOrdinality(inner) => inner.name(),
            TableFunc::Lockstep(_) => "lockstep",
        }
    }

    /// The types of the columns appended.
    pub fn output_types(&self) -> Vec<repr::ColumnType> {
        match self {
            TableFunc::GenerateSeriesInt(typ) | TableFunc::GenerateSeriesTimestamp(typ) => vec![typ.clone().not_null()],
            TableFunc::GenerateSeriesNumeric => vec![ScalarType::Numeric(None).not_null()],
            TableFunc::JsonbToRecord { columns, .. } => {
                columns.iter().map(|(_, column)| column.clone().nullable()).collect()
            }
            TableFunc::CsvExtract(count) => vec![ScalarType::Text.not_null(); *count],
            TableFunc::RegexpExtract(names) => vec![ScalarType::Text.nullable(); names.len()],
            TableFunc::UnnestArray(element) | TableFunc::UnnestList(element) => vec![element.clone().nullable()],
            TableFunc::UnnestMap(value) => vec![ScalarType::Text.not_null(), value.clone().nullable()],
            TableFunc::ExpandArray(element) => vec![element.clone().nullable(), ScalarType::Int4.not_null()],
            TableFunc::JsonbArrayElements | TableFunc::JsonbPathQuery => vec![ScalarType::Jsonb.not_null()],
            TableFunc::JsonbArrayElementsText | TableFunc::StringToTable => vec![ScalarType::Text.nullable()],
            TableFunc::JsonbEach => vec![ScalarType::Text.not_null(), ScalarType::Jsonb.not_null()],
            TableFunc::JsonbEachText => vec![ScalarType::Text.not_null(), ScalarType::Text.nullable()],
            TableFunc::JsonbObjectKeys | TableFunc::RegexpSplitToTable => vec![ScalarType::Text.not_null()],
            TableFunc::RegexpMatches => vec![ScalarType::Array(Box::new(ScalarType::Text)).not_null()],
            TableFunc::GenerateSubscripts => vec![ScalarType::Int4.not_null()],
            TableFunc::UnnestRecords(columns) => columns.clone(),
            TableFunc::Wrap { columns } => columns.iter().map(|column| column.clone().nullable()).collect(),
            TableFunc::WithOrdinality(inner) => {
                let mut columns = inner.output_types();
                columns.push(ScalarType::Int8.not_null());
                columns
            }
            TableFunc::Lockstep(calls) => {
                let columns = calls.iter().flat_map(|(func, _)| func.output_types());
                columns.map(|column| column.scalar.nullable()).collect()
            }
        }
    }

    /// The number of columns appended.
    pub fn output_arity(&self) -> usize {
        match self {
            TableFunc::WithOrdinality(inner) => inner.output_arity() + 1,
            TableFunc::Wrap { columns } => columns.len(),
            TableFunc::CsvExtract(count) => *count,
            other => other.output_types().len(),
        }
    }

    /// The names PostgreSQL gives the columns.
    pub fn output_names(&self) -> Vec<String> {
        let names: &[&str] = match self {
            TableFunc::JsonbArrayElements | TableFunc::JsonbArrayElementsText => &["value"],
            TableFunc::JsonbEach | TableFunc::JsonbEachText | TableFunc::UnnestMap(_) => &["key", "value"],
            TableFunc::ExpandArray(_) => &["x", "n"],
            TableFunc::Wrap { columns } => return numbered_names(columns.len()),
            TableFunc::CsvExtract(count) => return numbered_names(*count),
            TableFunc::RegexpExtract(names) => return names.clone(),
            TableFunc::JsonbToRecord { columns, .. } => {
                return columns.iter().map(|(name, _)| name.clone()).collect();
            }
            TableFunc::WithOrdinality(inner) => {
                let mut names = inner.output_names();
                names.push("ordinality".to_owned());
                return names;
            }
            TableFunc::Lockstep(calls) => return calls.iter().flat_map(|(func, _)| func.output_names()).collect(),
            other => &[other.name()],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// True if a NULL argument gives no rows.
    pub fn is_strict(&self) -> bool {
        match self {
            TableFunc::Wrap { .. }
            | TableFunc::StringToTable
            | TableFunc::JsonbToRecord { .. }
            | TableFunc::Lockstep(_) => false,
            TableFunc::WithOrdinality(inner) => inner.is_strict(),
            _ => true,
        }
    }

    /// Starts a call.
    ///
    /// Errors: of the arguments; 54000 if there would be more than [`ROWS_MAX`] rows.
    pub fn eval<'a>(&self, args: &[Datum<'a>], arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
        self.eval_from(args, arena, 0)
    }

    /// As [`TableFunc::eval`], without the first `skip` rows: goes on with a call that was left.
    ///
    /// Cost: none for what is skipped of a series of integers; elsewhere it is made, and thrown away.
    pub fn eval_from<'a>(&self, args: &[Datum<'a>], arena: &'a Arena, skip: usize) -> Result<TableRows<'a>, EvalError> {
        match self {
            TableFunc::GenerateSeriesInt(_) if skip > 0 && !args.iter().any(Datum::is_null) => {
                let (start, step) = (args[0].unwrap_int(), args.get(2).map_or(1, |step| step.unwrap_int()));
                let skipped = i64::try_from(skip).ok().and_then(|skip| skip.checked_mul(step));
                let Some(start) = skipped.and_then(|skipped| start.checked_add(skipped)) else {
                    return Ok(Box::new(std::iter::empty()));
                };
                self.eval_all(&[Datum::Int(start), args[1], Datum::Int(step)], arena)
            }
            TableFunc::WithOrdinality(inner) if skip > 0 => {
                let numbered = (1i64..).skip(skip).zip(inner.eval_from(args, arena, skip)?);
                Ok(with_numbers(numbered))
            }
            _ if skip > 0 => Ok(Box::new(self.eval_all(args, arena)?.skip(skip))),
            _ => self.eval_all(args, arena),
        }
    }

    fn eval_all<'a>(&self, args: &[Datum<'a>], arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
        if self.is_strict() && args.iter().any(Datum::is_null) {
            return Ok(Box::new(std::iter::empty()));
        }
        match self {
            TableFunc::GenerateSeriesInt(typ) => {
                let step = args.get(2).map_or(1, |step| step.unwrap_int());
                let bounds = if *typ == ScalarType::Int4 {
                    (i64::from(i32::MIN), i64::from(i32::MAX))
                } else {
                    (i64::MIN, i64::MAX)
                };
                series(args[0].unwrap_int(), args[1].unwrap_int(), step, bounds)
            }
            TableFunc::GenerateSeriesTimestamp(_) => crate::func::timestamp_series(
                args[0].unwrap_timestamp(),
                args[1].unwrap_timestamp(),
                args[2].unwrap_interval(),
            ),
            TableFunc::GenerateSeriesNumeric => numeric_series(args, arena),
            TableFunc::JsonbPathQuery => {
                let items = jsonb_path_items(args, arena)?;
                Ok(Box::new(items.into_iter().map(|item| smallvec![Datum::Jsonb(item)])))
            }
            TableFunc::JsonbToRecord { columns, is_set } => record::rows(args[0], columns, *is_set, arena),
            TableFunc::CsvExtract(count) => csv_records(args[0].unwrap_text(), *count, arena),
            TableFunc::RegexpExtract(names) => regexp_extract(args, names.len()),
            TableFunc::UnnestArray(_) => Ok(Box::new(args[0].unwrap_array().iter().map(|element| smallvec![element]))),
            TableFunc::UnnestList(_) => Ok(Box::new(args[0].unwrap_list().iter().map(|element| smallvec![element]))),
            TableFunc::UnnestMap(_) => {
                Ok(Box::new(args[0].unwrap_map().iter().map(|(key, value)| smallvec![Datum::Text(key), value])))
            }
            TableFunc::UnnestRecords(_) => {
                Ok(Box::new(args[0].unwrap_list().iter().map(|record| record.unwrap_list().iter().collect())))
            }
            TableFunc::ExpandArray(_) => {
                let array = args[0].unwrap_array();
                let lower = array.dimensions().first().map_or(1, |dimension| dimension.lower);
                Ok(Box::new((lower..).zip(array.iter()).map(|(index, element)| smallvec![element, Datum::Int(index)])))
            }
            TableFunc::JsonbArrayElements
            | TableFunc::JsonbArrayElementsText
            | TableFunc::JsonbEach
            | TableFunc::JsonbEachText
            | TableFunc::JsonbObjectKeys => self.eval_jsonb(args[0], arena),
            TableFunc::GenerateSubscripts => Ok(subscripts(args)),
            TableFunc::RegexpSplitToTable => {
                let flags = not_global(self.name(), args.get(2).map_or("", |flags| flags.unwrap_text()))?;
                let regex = compile_regexp(args[1].unwrap_text(), flags)?;
                let parts = regexp_split(args[0].unwrap_text(), &regex);
                Ok(Box::new(parts.into_iter().map(|part| smallvec![Datum::Text(part)])))
            }
            TableFunc::RegexpMatches => match_groups(args, arena),
            TableFunc::StringToTable => Ok(string_to_table(args)),
            TableFunc::Wrap { columns } => {
                let rows: Vec<TableRow<'a>> =
                    args.chunks_exact(columns.len().max(1)).map(|row| row.iter().copied().collect()).collect();
                Ok(Box::new(rows.into_iter()))
            }
            TableFunc::Lockstep(calls) => TableFunc::eval_lockstep(calls, args, arena),
            TableFunc::WithOrdinality(inner) => Ok(with_numbers((1i64..).zip(inner.eval(args, arena)?))),
        }
    }

    /// The rows of [`TableFunc::Lockstep`].
    fn eval_lockstep<'a>(
        calls: &[(TableFunc, usize)],
        mut args: &[Datum<'a>],
        arena: &'a Arena,
    ) -> Result<TableRows<'a>, EvalError> {
        let mut running = Vec::with_capacity(calls.len());
        for (func, count) in calls {
            let (own, rest) = args.split_at(*count);
            running.push((func.eval(own, arena)?, func.output_arity()));
            args = rest;
        }
        Ok(Box::new(std::iter::from_fn(move || {
            let rows: Vec<Option<TableRow<'a>>> = running.iter_mut().map(|(rows, _)| rows.next()).collect();
            if rows.iter().all(Option::is_none) {
                return None;
            }
            let nulls = |arity: usize| -> TableRow<'a> { smallvec![Datum::Null; arity] };
            let parts = rows.into_iter().zip(&running).map(|(row, (_, arity))| row.unwrap_or_else(|| nulls(*arity)));
            Some(parts.flatten().collect())
        })))
    }

    fn eval_jsonb<'a>(&self, value: Datum<'a>, arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
        let text = |value| jsonb_as_text(Some(value), arena).expect("a part is no longer than the whole");
        match (self, value.unwrap_jsonb().decode()) {
            (TableFunc::JsonbArrayElements, Json::Array(array)) => {
                Ok(Box::new(array.iter().map(|value| smallvec![Datum::Jsonb(value)])))
            }
            (TableFunc::JsonbArrayElementsText, Json::Array(array)) => {
                Ok(Box::new(array.iter().map(move |value| smallvec![text(value)])))
            }
            (TableFunc::JsonbEach, Json::Object(object)) => {
                Ok(Box::new(object.iter().map(|(key, value)| smallvec![Datum::Text(key), Datum::Jsonb(value)])))
            }
            (TableFunc::JsonbEachText, Json::Object(object)) => {
                Ok(Box::new(object.iter().map(move |(key, value)| smallvec![Datum::Text(key), text(value)])))
            }
            (TableFunc::JsonbObjectKeys, Json::Object(object)) => {
                Ok(Box::new(object.iter().map(|(key, _)| smallvec![Datum::Text(key)])))
            }
            (TableFunc::JsonbArrayElements | TableFunc::JsonbArrayElementsText, Json::Object(_)) => {
                Err(EvalError::new("22023", "cannot extract elements from an object"))
            }
            (TableFunc::JsonbArrayElements | TableFunc::JsonbArrayElementsText, _) => {
                Err(EvalError::new("22023", "cannot extract elements from a scalar"))
            }
            (TableFunc::JsonbObjectKeys, Json::Array(_)) => {
                Err(EvalError::new("22023", "cannot call jsonb_object_keys on an array"))
            }
            (TableFunc::JsonbObjectKeys, _) => {
                Err(EvalError::new("22023", "cannot call jsonb_object_keys on a scalar"))
            }
            _ => Err(EvalError::new("22023", format!("cannot call {} on a non-object", self.name()))),
        }
    }
}

/// Rows with their numbers as a further column.
fn with_numbers<'a>(rows: impl Iterator<Item = (i64, TableRow<'a>)> + 'a) -> TableRows<'a> {
    Box::new(rows.map(|(number, mut row)| {
        row.push(Datum::Int(number));
        row
    }))
}

/// The error of a call with too many rows.
pub(crate) fn too_many_rows() -> EvalError {
    EvalError::new("54000", format!("set-returning function makes more than {ROWS_MAX} rows"))
}

fn series<'a>(start: i64, stop: i64, step: i64, bounds: (i64, i64)) -> Result<TableRows<'a>, EvalError> {
    if step == 0 {
        return Err(EvalError::new("22023", "step size cannot equal zero"));
    }
    let (start, stop, step) = (i128::from(start), i128::from(stop), i128::from(step));
    let span = if step > 0 { stop - start } else { start - stop };
    if span < 0 {
        return Ok(Box::new(std::iter::empty()));
    }
    let steps = span / step.abs();
    if steps >= i128::from(ROWS_MAX) {
        return Err(too_many_rows());
    }
    let values = (0..=steps).map(move |index| start + index * step);
    let in_bounds = move |value: &i128| *value >= bounds.0.into() && *value <= bounds.1.into();
    Ok(Box::new(
        values
            .take_while(in_bounds)
            .map(|value| smallvec![Datum::Int(i64::try_from(value).expect("within the bounds of its type"))]),
    ))
}

/// The subscripts of a dimension, backwards if the third argument is true.
fn subscripts<'a>(args: &[Datum<'a>]) -> TableRows<'a> {
    let dimension = usize::try_from(args[1].unwrap_int()).ok().and_then(|dimension| dimension.checked_sub(1));
    let dimensions = args[0].unwrap_array().dimensions();
    let Some(dimension) = dimension.and_then(|dimension| dimensions.get(dimension)).copied() else {
        return Box::new(std::iter::empty());
    };
    let range = dimension.lower..dimension.lower + dimension.length as i64;
    let row = |index| smallvec![Datum::Int(index)];
    match args.get(2).is_some_and(|reverse| reverse.unwrap_bool()) {
        true => Box::new(range.rev().map(row)),
        false => Box::new(range.map(row)),
    }
}

fn match_groups<'a>(args: &[Datum<'a>], arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
    let flags = args.get(2).map_or("", |flags| flags.unwrap_text());
    let regex = compile_regexp(args[1].unwrap_text(), flags)?;
    let limit = if flags.contains('g') { usize::MAX } else { 1 };
    let rows: Vec<TableRow<'a>> = regexp_matches(&regex, args[0].unwrap_text(), 0)
        .take(limit)
        .map(|captures| {
            let groups = repr::composite::pack_vector(&regexp_groups(&captures), Kind::Text);
            smallvec![crate::datum_in(&groups, Kind::Array, arena)]
        })
        .collect();
    Ok(Box::new(rows.into_iter()))
}

/// `column1`, `column2` and so on.
fn numbered_names(count: usize) -> Vec<String> {
    (1..=count).map(|index| format!("column{index}")).collect()
}

/// The names of the columns that `regexp_extract` makes of a pattern: one for each group.
///
/// Errors: 2201B; 42601 for a pattern without groups.
pub fn regexp_columns(pattern: &str) -> Result<Vec<String>, EvalError> {
    let regex = compile_regexp(pattern, "")?;
    let names: Vec<String> = (1..)
        .zip(regex.capture_names().skip(1))
        .map(|(index, name)| name.map_or_else(|| format!("column{index}"), str::to_owned))
        .collect();
    match names.is_empty() {
        true => Err(EvalError::new("42601", "regexp_extract must have at least one capture group")),
        false => Ok(names),
    }
}

fn regexp_extract<'a>(args: &[Datum<'a>], count: usize) -> Result<TableRows<'a>, EvalError> {
    let regex = compile_regexp(args[0].unwrap_text(), "")?;
    let row = regex.captures(args[1].unwrap_text()).map(|captures| {
        (1..=count)
            .map(|group| captures.get(group).map_or(Datum::Null, |group| Datum::Text(group.as_str())))
            .collect::<TableRow<'a>>()
    });
    Ok(Box::new(row.into_iter()))
}

/// The records of a text of comma-separated values, RFC 4180, that have `count` fields.
fn csv_records<'a>(text: &str, count: usize, arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
    let mut rows: Vec<TableRow<'a>> = Vec::new();
    let mut row = TableRow::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut field = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let Some((part, behind)) = rest.split_once('"') else {
                    return Err(EvalError::new("22P04", "unterminated CSV quoted field"));
                };
                field.push_str(part);
                match behind.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        rest = more;
                    }
                    None => {
                        rest = behind;
                        break;
                    }
                }
            }
        }
        let end = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
        field.push_str(&rest[..end]);
        row.push(Datum::Text(arena.text(&field)));
        rest = &rest[end..];
        let has_more = rest.starts_with(',');
        rest = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or("");
        if has_more && rest.is_empty() {
            row.push(Datum::Text(""));
        }
        if !has_more || rest.is_empty() {
            let record = std::mem::take(&mut row);
            // A record of another shape is no record of this table.
            if record.len() == count {
                rows.push(record);
            }
        }
    }
    Ok(Box::new(rows.into_iter()))
}

fn numeric_series<'a>(args: &[Datum<'a>], arena: &'a Arena) -> Result<TableRows<'a>, EvalError> {
    let number = |index: usize| args.get(index).map(|arg| arg.unwrap_numeric().decode());
    let finite = |number: Option<Number>, what: &str| match number {
        Some(number) if number.is_nan() => Err(EvalError::new("22023", format!("{what} cannot be NaN"))),
        Some(number) if number.is_infinite() => Err(EvalError::new("22023", format!("{what} cannot be infinity"))),
        Some(number) => Ok(number),
        None => Ok(Number::from_i64(1)),
    };
    let start = finite(number(0), "start value")?;
    let stop = finite(number(1), "stop value")?;
    let step = finite(number(2), "step size")?;
    if step.is_zero() {
        return Err(EvalError::new("22023", "step size cannot equal zero"));
    }
    let order = |number: &Number| number.to_packed().as_ref().cmp(&stop.to_packed().as_ref());
    let mut next = Some(start);
    let mut count = 0;
    let mut rows: Vec<TableRow<'a>> = Vec::new();
    while let Some(value) =
        next.filter(|value| if step.is_negative() { order(value).is_ge() } else { order(value).is_le() })
    {
        count += 1;
        if count > NUMERIC_ROWS_MAX {
            return Err(EvalError::new(
                "54000",
                format!("set-returning function makes more than {NUMERIC_ROWS_MAX} rows"),
            ));
        }
        rows.push(smallvec![Datum::Numeric(value.pack(arena))]);
        next = Some(value.add(&step).map_err(numeric_error)?);
    }
    Ok(Box::new(rows.into_iter()))
}

/// Rows of a series of numerics, which are made before the first is read.
const NUMERIC_ROWS_MAX: usize = 10_000_000;

fn string_to_table<'a>(args: &[Datum<'a>]) -> TableRows<'a> {
    let Datum::Text(value) = args[0] else { return Box::new(std::iter::empty()) };
    let null = match args.get(2) {
        Some(Datum::Text(null)) => Some(*null),
        _ => None,
    };
    let parts: Vec<&'a str> = match args[1] {
        _ if value.is_empty() => Vec::new(),
        Datum::Text("") => vec![value],
        Datum::Text(separator) => value.split(separator).collect(),
        _ => value.split_inclusive(|_| true).collect(),
    };
    let row = move |part: &'a str| smallvec![if Some(part) == null { Datum::Null } else { Datum::Text(part) }];
    Box::new(parts.into_iter().map(row))
}

/// A table function found by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSignature {
    pub func: TableFunc,
    /// What the arguments are to be cast to.
    pub args: Vec<ScalarType>,
}

/// The names [`by_name`] knows.
pub const NAMES: &[&str] = &[
    "generate_series",
    "unnest",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "generate_subscripts",
    "regexp_split_to_table",
    "regexp_matches",
    "string_to_table",
    "_pg_expandarray",
];

/// The table function `name` for arguments of these types.
pub fn by_name(name: &str, args: &[ScalarType]) -> Option<TableSignature> {
    let signature = |func, args: &[ScalarType]| Some(TableSignature { func, args: args.to_vec() });
    let is_int = |typ: &ScalarType| matches!(typ, ScalarType::Int2 | ScalarType::Int4 | ScalarType::Int8);
    let is_text = |typ: &ScalarType| typ.kind() == Kind::Text;
    let texts = vec![ScalarType::Text; args.len()];
    match (name, args) {
        ("generate_series", [_, _] | [_, _, _]) if args.iter().all(is_int) => {
            let typ = if args.contains(&ScalarType::Int8) { ScalarType::Int8 } else { ScalarType::Int4 };
            signature(TableFunc::GenerateSeriesInt(typ.clone()), &vec![typ; args.len()])
        }
        ("generate_series", [start, stop, step]) if step.is_interval() || is_text(step) => {
            let zoned = [start, stop].iter().any(|typ| matches!(typ, ScalarType::TimestampTz(_)));
            let timestamp = |typ: &ScalarType| {
                matches!(typ, ScalarType::Timestamp(_) | ScalarType::TimestampTz(_) | ScalarType::Date) || is_text(typ)
            };
            if !timestamp(start) || !timestamp(stop) || (is_text(start) && is_text(stop)) {
                return None;
            }
            let typ = if zoned { ScalarType::TimestampTz(None) } else { ScalarType::Timestamp(None) };
            signature(TableFunc::GenerateSeriesTimestamp(typ.clone()), &[typ.clone(), typ, ScalarType::Interval(None)])
        }
        ("unnest", [ScalarType::Array(element)]) => signature(TableFunc::UnnestArray((**element).clone()), args),
        ("unnest", [ScalarType::List(element)]) => signature(TableFunc::UnnestList((**element).clone()), args),
        ("unnest", [ScalarType::Map(value)]) => signature(TableFunc::UnnestMap((**value).clone()), args),
        ("_pg_expandarray", [ScalarType::Array(element)]) => {
            signature(TableFunc::ExpandArray((**element).clone()), args)
        }
        ("jsonb_array_elements", [_]) => signature(TableFunc::JsonbArrayElements, &[ScalarType::Jsonb]),
        ("jsonb_array_elements_text", [_]) => signature(TableFunc::JsonbArrayElementsText, &[ScalarType::Jsonb]),
        ("jsonb_each", [_]) => signature(TableFunc::JsonbEach, &[ScalarType::Jsonb]),
        ("jsonb_each_text", [_]) => signature(TableFunc::JsonbEachText, &[ScalarType::Jsonb]),
        ("jsonb_object_keys", [_]) => signature(TableFunc::JsonbObjectKeys, &[ScalarType::Jsonb]),
        ("generate_subscripts", [array @ ScalarType::Array(_), _]) => {
            signature(TableFunc::GenerateSubscripts, &[array.clone(), ScalarType::Int4])
        }
        ("generate_subscripts", [array @ ScalarType::Array(_), _, _]) => {
            signature(TableFunc::GenerateSubscripts, &[array.clone(), ScalarType::Int4, ScalarType::Bool])
        }
        ("regexp_split_to_table", [_, _] | [_, _, _]) => signature(TableFunc::RegexpSplitToTable, &texts),
        ("regexp_matches", [_, _] | [_, _, _]) => signature(TableFunc::RegexpMatches, &texts),
        ("string_to_table", [_, _] | [_, _, _]) => signature(TableFunc::StringToTable, &texts),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
