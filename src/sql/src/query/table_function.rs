//! Functions that return a set of rows: which there are, and which one a call in FROM means.

use expr::TableFunc;
use expr::func::ArgType;
use repr::{Arena, Datum, ScalarType};
use sqlparser::ast::TableAlias;

use super::QueryContext;
use super::coerce::Planned;
use super::resolve::{Resolution, Signature, resolve};
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names::{Names, fold, resolve_type};

/// A table function with its arguments.
pub(super) struct TableCall {
    pub(super) func: TableFunc,
    pub(super) args: Vec<HirScalar>,
    /// Names of the columns, where the function gives them; else the function's name.
    pub(super) names: Vec<String>,
}

type Maker = fn(&[ScalarType]) -> TableFunc;

/// One way to call a table function.
struct Entry {
    name: &'static str,
    args: &'static [ArgType],
    make: Maker,
    names: &'static [&'static str],
    /// Appended if the last argument was left out.
    default_step: bool,
}

const fn entry(name: &'static str, args: &'static [ArgType], make: Maker) -> Entry {
    Entry { name, args, make, names: &[], default_step: false }
}

const fn series(args: &'static [ArgType], make: Maker, default_step: bool) -> Entry {
    Entry { name: "generate_series", args, make, names: &[], default_step }
}

static ENTRIES: &[Entry] = &[
    series(&[ArgType::Int4, ArgType::Int4], |_| TableFunc::GenerateSeriesInt(ScalarType::Int4), true),
    series(&[ArgType::Int4, ArgType::Int4, ArgType::Int4], |_| TableFunc::GenerateSeriesInt(ScalarType::Int4), false),
    series(&[ArgType::Int8, ArgType::Int8], |_| TableFunc::GenerateSeriesInt(ScalarType::Int8), true),
    series(&[ArgType::Int8, ArgType::Int8, ArgType::Int8], |_| TableFunc::GenerateSeriesInt(ScalarType::Int8), false),
    series(
        &[ArgType::Timestamp, ArgType::Timestamp, ArgType::Interval],
        |_| TableFunc::GenerateSeriesTimestamp(ScalarType::Timestamp(None)),
        false,
    ),
    series(
        &[ArgType::TimestampTz, ArgType::TimestampTz, ArgType::Interval],
        |_| TableFunc::GenerateSeriesTimestamp(ScalarType::TimestampTz(None)),
        false,
    ),
    // Without a step it is one; the default of the others is an integer.
    series(&[ArgType::Numeric, ArgType::Numeric], |_| TableFunc::GenerateSeriesNumeric, false),
    series(&[ArgType::Numeric, ArgType::Numeric, ArgType::Numeric], |_| TableFunc::GenerateSeriesNumeric, false),
    entry("jsonb_path_query", &[ArgType::Jsonb, ArgType::Text], |_| TableFunc::JsonbPathQuery),
    entry("jsonb_path_query", &[ArgType::Jsonb, ArgType::Text, ArgType::Jsonb], |_| TableFunc::JsonbPathQuery),
    entry("jsonb_path_query", &[ArgType::Jsonb, ArgType::Text, ArgType::Jsonb, ArgType::Bool], |_| {
        TableFunc::JsonbPathQuery
    }),
    Entry {
        names: &["key", "value"],
        ..entry("unnest", &[ArgType::AnyMap], |types| TableFunc::UnnestMap(element(&types[0])))
    },
    entry("unnest", &[ArgType::AnyArray], |types| TableFunc::UnnestArray(element(&types[0]))),
    entry("unnest", &[ArgType::AnyList], |types| TableFunc::UnnestList(element(&types[0]))),
    Entry { names: &["value"], ..entry("jsonb_array_elements", &[ArgType::Jsonb], |_| TableFunc::JsonbArrayElements) },
    Entry {
        names: &["value"],
        ..entry("jsonb_array_elements_text", &[ArgType::Jsonb], |_| TableFunc::JsonbArrayElementsText)
    },
    Entry { names: &["key", "value"], ..entry("jsonb_each", &[ArgType::Jsonb], |_| TableFunc::JsonbEach) },
    Entry { names: &["key", "value"], ..entry("jsonb_each_text", &[ArgType::Jsonb], |_| TableFunc::JsonbEachText) },
    entry("jsonb_object_keys", &[ArgType::Jsonb], |_| TableFunc::JsonbObjectKeys),
    entry("generate_subscripts", &[ArgType::AnyArray, ArgType::Int4], |_| TableFunc::GenerateSubscripts),
    entry("generate_subscripts", &[ArgType::AnyArray, ArgType::Int4, ArgType::Bool], |_| TableFunc::GenerateSubscripts),
    entry("regexp_split_to_table", TEXTS_2, |_| TableFunc::RegexpSplitToTable),
    entry("regexp_split_to_table", TEXTS_3, |_| TableFunc::RegexpSplitToTable),
    entry("regexp_matches", TEXTS_2, |_| TableFunc::RegexpMatches),
    entry("regexp_matches", TEXTS_3, |_| TableFunc::RegexpMatches),
    entry("string_to_table", TEXTS_2, |_| TableFunc::StringToTable),
    entry("string_to_table", TEXTS_3, |_| TableFunc::StringToTable),
    Entry {
        names: &["x", "n"],
        ..entry("_pg_expandarray", &[ArgType::AnyArray], |types| TableFunc::ExpandArray(element(&types[0])))
    },
];

const TEXTS_2: &[ArgType] = &[ArgType::Text, ArgType::Text];
const TEXTS_3: &[ArgType] = &[ArgType::Text, ArgType::Text, ArgType::Text];

fn element(typ: &ScalarType) -> ScalarType {
    match typ {
        ScalarType::Array(element) | ScalarType::List(element) | ScalarType::Map(element) => (**element).clone(),
        other => other.clone(),
    }
}

pub(super) fn is_table_function(name: &str) -> bool {
    EXTRACTS.contains(&name)
        || RECORDS.contains(&name)
        || POPULATED.contains(&name)
        || name == HOPPING
        || ENTRIES.iter().any(|entry| entry.name == synonym(name))
}

/// The columns that an alias declares with their types: `AS t(a int, b text)`. Errors: some have no type.
pub(super) fn column_definitions(
    names: Names<'_>,
    alias: Option<&TableAlias>,
) -> Result<Vec<(String, ScalarType)>, Error> {
    let columns = alias.map_or(&[][..], |alias| &alias.columns[..]);
    let typed = columns.iter().filter_map(|column| Some((&column.name, column.data_type.as_ref()?)));
    typed.map(|(name, typ)| Ok((fold(name), resolve_type(names, typ)?))).collect()
}

/// Functions that return the rows their column definitions declare.
const RECORDS: [&str; 4] = ["jsonb_to_record", "jsonb_to_recordset", "json_to_record", "json_to_recordset"];

/// Functions that return rows of the type of their first argument.
const POPULATED: [&str; 4] =
    ["jsonb_populate_record", "jsonb_populate_recordset", "json_populate_record", "json_populate_recordset"];

/// Functions whose first argument, a constant, says which columns there are.
const EXTRACTS: [&str; 2] = ["csv_extract", "regexp_extract"];

/// The function of windows that overlap.
const HOPPING: &str = "date_bin_hopping";

/// Columns of `csv_extract`, at most: as many as a table may have.
const CSV_COLUMNS_MAX: i64 = 1600;

/// The name of the function for jsonb that one for json is here.
fn synonym(name: &str) -> &str {
    match name {
        "json_array_elements" => "jsonb_array_elements",
        "json_array_elements_text" => "jsonb_array_elements_text",
        "json_each" => "jsonb_each",
        "json_each_text" => "jsonb_each_text",
        "json_object_keys" => "jsonb_object_keys",
        other => other,
    }
}

/// The names of all table functions, for near misses.
pub(super) fn table_function_names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name).chain(EXTRACTS).chain(RECORDS).chain(POPULATED).chain([HOPPING])
}

impl QueryContext<'_> {
    /// Several calls side by side as one, and the names of all columns: those without a name take that of the table or, if there
    /// are several calls, that of the function.
    pub(super) fn table_calls(
        &mut self,
        calls: Vec<(&str, Vec<Planned>)>,
        table: &str,
        definitions: &[(String, ScalarType)],
    ) -> Result<(TableCall, Vec<String>), Error> {
        let mut names = Vec::new();
        let mut planned = Vec::with_capacity(calls.len());
        let alone = calls.len() == 1;
        for (name, args) in calls {
            let call = if RECORDS.contains(&name) {
                self.record_call(name, args, definitions)?
            } else if !definitions.is_empty() {
                let message = "a column definition list is only allowed for functions returning \"record\"";
                return Err(Error::new("42601", message));
            } else if is_table_function(name) {
                self.table_call(name, args)?
            } else {
                let value = self.call_by_name(name, args)?;
                let (scalar, typ) = self.settle(value)?;
                TableCall { func: TableFunc::Wrap { columns: vec![typ] }, args: vec![scalar], names: Vec::new() }
            };
            let default = if alone { table } else { name };
            match &call.names[..] {
                [] => names.extend(vec![default.to_owned(); call.func.output_arity()]),
                own => names.extend_from_slice(own),
            }
            planned.push(call);
        }
        if planned.len() == 1 {
            return Ok((planned.remove(0), names));
        }
        let func = TableFunc::Lockstep(planned.iter().map(|call| (call.func.clone(), call.args.len())).collect());
        let args = planned.into_iter().flat_map(|call| call.args).collect();
        Ok((TableCall { func, args, names: Vec::new() }, names))
    }

    /// The call of the table function `name` that the arguments select.
    pub(super) fn table_call(&mut self, name: &str, args: Vec<Planned>) -> Result<TableCall, Error> {
        if RECORDS.contains(&name) {
            return self.record_call(name, args, &[]);
        }
        if POPULATED.contains(&name) {
            return self.populate_call(name, args);
        }
        if EXTRACTS.contains(&name) {
            return self.extract_call(name, args);
        }
        if name == HOPPING {
            return self.hopping_call(args);
        }
        let entries: Vec<&Entry> = ENTRIES.iter().filter(|entry| entry.name == synonym(name)).collect();
        let args = self.settle_rows(args)?;
        let known: Vec<Option<ScalarType>> = args.iter().map(|arg| arg.known_type().cloned()).collect();
        let signatures: Vec<Signature<'_>> =
            entries.iter().map(|entry| Signature { args: entry.args, variadic: None }).collect();
        let (index, types) = match resolve(&signatures, &known) {
            Resolution::One(index, types) => (index, types),
            Resolution::None => return Err(super::function::no_function(name, &args)),
            Resolution::Ambiguous => return Err(super::function::ambiguous_function(name, &args)),
        };
        let entry = entries[index];
        let mut scalars = Vec::with_capacity(args.len() + 1);
        for (arg, typ) in args.into_iter().zip(&types) {
            scalars.push(self.coerce_resolved(arg, typ)?);
        }
        if entry.default_step {
            scalars.push(HirScalar::literal(Datum::Int(1), types[0].clone()));
        }
        Ok(TableCall {
            func: (entry.make)(&types),
            args: scalars,
            names: entry.names.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    /// `date_bin_hopping(hop, width, instant [, origin])`: the starts of the windows that the instant is in. A window starts
    /// every hop, counted from the origin, and is so wide; of its ends only the start belongs to it.
    fn hopping_call(&mut self, args: Vec<Planned>) -> Result<TableCall, Error> {
        let missing = super::function::no_function(HOPPING, &args);
        let mut args = args.into_iter();
        let (Some(hop), Some(width), Some(instant)) = (args.next(), args.next(), args.next()) else {
            return Err(missing);
        };
        let origin = args.next().unwrap_or(Planned::Unknown { text: Some("1970-01-01".to_owned()), position: None });
        if args.next().is_some() {
            return Err(missing);
        }
        let typ = match instant.known_type() {
            Some(ScalarType::Timestamp(_)) => ScalarType::Timestamp(None),
            _ => ScalarType::TimestampTz(None),
        };
        let mut coerced = |planned: Planned, typ: &ScalarType| {
            let scalar = self.coerce_implicit(planned, typ, |_| String::new());
            let wrong_type = |error: Error| if error.code == "42804" { missing.clone() } else { error };
            scalar.map(|scalar| Planned::typed(scalar, typ.clone())).map_err(wrong_type)
        };
        let (hop, width) = (coerced(hop, &ScalarType::Interval(None))?, coerced(width, &ScalarType::Interval(None))?);
        let (instant, origin) = (coerced(instant, &typ)?, coerced(origin, &typ)?);
        // The first start behind `instant - width`.
        let ended = self.infix("-", instant.clone(), width)?;
        let last_ended = self.call_by_name("date_bin", vec![hop.clone(), ended, origin])?;
        let first = self.infix("+", last_ended, hop.clone())?;
        self.table_call("generate_series", vec![first, instant, hop])
    }

    /// The call of one of [`RECORDS`].
    fn record_call(
        &mut self,
        name: &str,
        args: Vec<Planned>,
        definitions: &[(String, ScalarType)],
    ) -> Result<TableCall, Error> {
        let missing = super::function::no_function(name, &args);
        let Ok([value]) = <[Planned; 1]>::try_from(args) else { return Err(missing) };
        if definitions.is_empty() {
            let message = "a column definition list is required for functions returning \"record\"";
            return Err(Error::new("42601", message));
        }
        let value = self.coerce_implicit(value, &ScalarType::Jsonb, |_| String::new()).map_err(|_| missing)?;
        let func = TableFunc::JsonbToRecord { columns: definitions.to_vec(), is_set: name.ends_with("set") };
        let names = func.output_names();
        Ok(TableCall { func, args: vec![value], names })
    }

    /// The call of one of [`POPULATED`].
    fn populate_call(&mut self, name: &str, args: Vec<Planned>) -> Result<TableCall, Error> {
        let args = self.settle_rows(args)?;
        let missing = super::function::no_function(name, &args);
        let Ok([base, value]) = <[Planned; 2]>::try_from(args) else { return Err(missing) };
        let Planned::Typed { scalar: defaults, typ: typ @ ScalarType::Record(_) } = base else {
            return Err(Error::new("42804", format!("first argument of {name} must be a row type")));
        };
        let ScalarType::Record(fields) = &typ else { return Err(missing) };
        let columns: Vec<(String, ScalarType)> =
            fields.iter().map(|(name, column)| (name.clone(), column.scalar.clone())).collect();
        let value = self.coerce_implicit(value, &ScalarType::Jsonb, |_| String::new()).map_err(|_| missing)?;
        let is_set = name.ends_with("set");
        let is_null = super::expression::constant(&defaults)
            .and_then(|scalar| scalar.as_literal().map(|value| value.is_ok_and(|value| value.is_null())));
        let value = match is_null {
            Some(true) => value,
            _ if is_set => return Err(Error::unsupported(format!("{name} with a row that is not NULL"))),
            // What the value does not have, it has from the row.
            _ => {
                let row = self.call_by_name("to_jsonb", vec![Planned::typed(defaults, typ.clone())])?;
                let empty = || Planned::Unknown { text: Some("{}".to_owned()), position: None };
                let row = self.call_by_name("coalesce", vec![row, empty()])?;
                let value = Planned::typed(value, ScalarType::Jsonb);
                let value = self.call_by_name("coalesce", vec![value, empty()])?;
                let merged = self.infix("||", row, value)?;
                self.settle(merged)?.0
            }
        };
        let func = TableFunc::JsonbToRecord { columns, is_set };
        let names = func.output_names();
        Ok(TableCall { func, args: vec![value], names })
    }

    /// The call of one of [`EXTRACTS`].
    fn extract_call(&mut self, name: &str, args: Vec<Planned>) -> Result<TableCall, Error> {
        let Ok([first, second]) = <[Planned; 2]>::try_from(args.clone()) else {
            return Err(super::function::no_function(name, &args));
        };
        let no_constant =
            |typ: &str| Error::new("42P10", format!("{name} requires a constant {typ} as its first argument"));
        let missing = super::function::no_function(name, &args);
        let text = self.coerce_implicit(second, &ScalarType::Text, |_| String::new()).map_err(|_| missing.clone())?;
        let wanted = if name == "csv_extract" { ScalarType::Int8 } else { ScalarType::Text };
        let first = self.coerce_implicit(first, &wanted, |_| String::new()).map_err(|_| missing)?;
        let constant = super::expression::constant(&first).ok_or_else(|| no_constant(&super::types::shown(&wanted)))?;
        let arena = Arena::new();
        let datum = constant.eval(&[], &arena).map_err(|error| super::coerce::from_eval(&error))?;
        let (func, args) = match datum {
            Datum::Int(count @ 1..=CSV_COLUMNS_MAX) => (TableFunc::CsvExtract(count as usize), vec![text]),
            Datum::Int(count) => {
                let message = format!("csv_extract makes 1 to {CSV_COLUMNS_MAX} columns, not {count}");
                return Err(Error::new("22023", message));
            }
            Datum::Text(pattern) => {
                let names = expr::table_func::regexp_columns(pattern);
                let names = names.map_err(|error| super::coerce::from_eval(&error))?;
                (TableFunc::RegexpExtract(names), vec![first, text])
            }
            _ => return Err(no_constant(&super::types::shown(&wanted))),
        };
        let names = func.output_names();
        Ok(TableCall { func, args, names })
    }
}
