//! Functions: one table entry each, from which evaluation, name resolution, `pg_proc` and the manual are derived.
//!
//! Families have a file each; a file is its table, then the bodies in the order of the table. A body sees arguments of the
//! types it declares, and none that is NULL if it is strict.

mod arithmetic;
mod array;
mod binary;
mod calendar;
mod casts;
mod catalog;
mod compare;
mod datetime;
mod datetime_arithmetic;
mod degrees;
mod digest;
mod enumeration;
mod from_char;
mod identifier;
mod interval_forms;
mod jsonb;
mod jsonb_build;
mod jsonb_change;
mod jsonb_path;
mod list;
mod math;
mod number_template;
mod number_to_char;
mod numeric;
mod pattern;
mod quoting;
mod range;
mod regexp;
mod session;
mod similar;
mod string;
mod to_char;
mod to_number;

pub(crate) use self::datetime_arithmetic::timestamp_series;
pub(crate) use self::jsonb::{as_text as jsonb_as_text, jsonb_error};
pub(crate) use self::jsonb_build::push as push_jsonb;
pub(crate) use self::jsonb_path::query_items as jsonb_path_items;
pub(crate) use self::numeric::numeric_error;
pub(crate) use self::regexp::{
    compile as compile_regexp, groups as regexp_groups, matches as regexp_matches, not_global, split as regexp_split,
};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use repr::{Arena, Datum, RangeType, ScalarType};

use crate::error::EvalError;
use crate::scalar::CallTypes;

/// How a function may be used and what the optimizer may assume of it. `key` is unique and stable: it stands for the
/// function in messages between processes.
pub struct FuncDef {
    /// Unique, such as `int4_add` or `length_text`.
    pub key: &'static str,
    /// The SQL name, or the operator's symbol. Casts are named `cast`; internal functions have a name no user can write.
    pub name: &'static str,
    pub kind: FuncKind,
    pub args: &'static [ArgType],
    /// The type of further arguments, if any number of them may follow.
    pub variadic: Option<ArgType>,
    pub returns: ArgType,
    /// NULL in, NULL out: the body is never called with a NULL.
    pub strict: bool,
    /// May return NULL although no argument is NULL.
    pub nullable: bool,
    /// May return an error.
    pub fallible: bool,
    pub volatility: Volatility,
    pub body: Body,
    /// One sentence for the manual.
    pub doc: &'static str,
}

/// A function's body. Arguments have the types of the call.
pub type Body = for<'a> fn(&[Datum<'a>], &CallTypes, &'a Arena) -> Result<Datum<'a>, EvalError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuncKind {
    Function,
    /// Infix (two arguments) or prefix (one).
    Operator,
    Cast,
    /// Made by the planner only.
    Internal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    Immutable,
    /// Constant within one statement: depends on session or time. Replaced by literals before evaluation; never maintained.
    Stable,
    Volatile,
}

/// An argument's declared type. Modifiers do not take part in resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    Bool,
    Int2,
    Int4,
    Int8,
    UInt2,
    UInt4,
    UInt8,
    Float4,
    Float8,
    Numeric,
    /// text, and by implicit cast varchar, char(n), name.
    Text,
    Name,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Jsonb,
    Oid,
    RegClass,
    RegProc,
    RegProcedure,
    RegType,
    RegNamespace,
    RegRole,
    MzTimestamp,
    TextArray,
    Int4Array,
    /// Any type, unrelated to the other arguments.
    Any,
    /// One same type for all arguments of this kind.
    AnyElement,
    /// As `AnyElement`, of an enumeration.
    AnyEnum,
    /// An array whose elements are the call's `AnyElement`.
    AnyArray,
    /// A list whose elements are the call's `AnyElement`.
    AnyList,
    AnyMap,
    /// A range whose bounds are the call's `AnyElement`.
    AnyRange,
    Range(RangeType),
    /// A common type found as for UNION.
    AnyCompatible,
    Record,
}

/// A reference to a table entry.
#[derive(Clone, Copy)]
pub struct Func(pub &'static FuncDef);

impl std::ops::Deref for Func {
    type Target = FuncDef;

    fn deref(&self) -> &FuncDef {
        self.0
    }
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.key)
    }
}

impl PartialEq for Func {
    fn eq(&self, other: &Func) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Func {}

impl PartialOrd for Func {
    fn partial_cmp(&self, other: &Func) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Func {
    fn cmp(&self, other: &Func) -> std::cmp::Ordering {
        self.0.key.cmp(other.0.key)
    }
}

impl std::hash::Hash for Func {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl serde::Serialize for Func {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.key)
    }
}

impl<'de> serde::Deserialize<'de> for Func {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Func, D::Error> {
        let key = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        by_key(&key).ok_or_else(|| serde::de::Error::custom(format!("unknown function {key}")))
    }
}

/// The families' tables with their titles, in the order of the manual. The order within a table matters to name resolution.
static TABLES: &[(&str, &[FuncDef])] = &[
    ("Comparison", compare::TABLE),
    ("Arithmetic", arithmetic::TABLE),
    ("numeric", numeric::TABLE),
    ("double precision", math::TABLE),
    ("Angles in degrees", degrees::TABLE),
    ("Text", string::TABLE),
    ("Writing SQL", quoting::TABLE),
    ("Names and Unicode", identifier::TABLE),
    ("LIKE", pattern::TABLE),
    ("Regular expressions", regexp::TABLE),
    ("SIMILAR TO", similar::TABLE),
    ("Bytes", binary::TABLE),
    ("Hashes", digest::TABLE),
    ("Arithmetic of dates and times", datetime_arithmetic::TABLE),
    ("Dates and times", datetime::TABLE),
    ("Periods", calendar::TABLE),
    ("Forms of intervals", interval_forms::TABLE),
    ("Formatting", to_char::TABLE),
    ("Formatting numbers", number_to_char::TABLE),
    ("Dates by a format", from_char::TABLE),
    ("Numbers by a format", to_number::TABLE),
    ("jsonb", jsonb::TABLE),
    ("Changing jsonb", jsonb_change::TABLE),
    ("SQL/JSON paths", jsonb_path::TABLE),
    ("Making jsonb", jsonb_build::TABLE),
    ("Arrays", array::TABLE),
    ("Lists, maps and records", list::TABLE),
    ("Ranges", range::TABLE),
    ("Enumerations", enumeration::TABLE),
    ("The session, the clock and chance", session::TABLE),
    ("The system catalog", catalog::TABLE),
    ("Casts", casts::TABLE),
];

/// Entries by key, and positions by kind and name.
struct Index {
    by_key: BTreeMap<&'static str, Func>,
    functions: BTreeMap<&'static str, Vec<Func>>,
    operators: BTreeMap<(&'static str, usize), Vec<Func>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { by_key: BTreeMap::new(), functions: BTreeMap::new(), operators: BTreeMap::new() };
    for func in all() {
        index.by_key.insert(func.0.key, func);
        match func.kind {
            FuncKind::Function => index.functions.entry(func.0.name).or_default().push(func),
            FuncKind::Operator => {
                index.operators.entry((func.0.name, func.0.args.len())).or_default().push(func);
            }
            FuncKind::Cast | FuncKind::Internal => {}
        }
    }
    // Comparisons are resolved by a rule of their own, but travel between processes like all others.
    index.by_key.extend(compare::COMPARISONS.iter().map(|def| (def.key, Func(def))));
    index
});

/// All table entries.
pub fn all() -> impl Iterator<Item = Func> {
    TABLES.iter().flat_map(|(_, table)| table.iter().map(Func))
}

/// The families, each with its title and its entries.
pub fn families() -> impl Iterator<Item = (&'static str, &'static [FuncDef])> {
    TABLES.iter().copied()
}

/// The entry of this key.
pub fn by_key(key: &str) -> Option<Func> {
    INDEX.by_key.get(key).copied()
}

/// Entries of kind `Function` with this SQL name, in table order.
pub fn functions(name: &str) -> Vec<Func> {
    INDEX.functions.get(name).cloned().unwrap_or_default()
}

/// Entries of kind `Operator` with this symbol and number of arguments, in table order.
pub fn operators(symbol: &str, arity: usize) -> Vec<Func> {
    INDEX.operators.get(&(symbol, arity)).cloned().unwrap_or_default()
}

/// The comparison (`=`, `<>`, `<`, `<=`, `>`, `>=`) of two values of one type: generic over types, by the codec's order;
/// intervals, and what contains them, are compared by their key.
pub fn comparison(symbol: &str) -> Option<Func> {
    compare::COMPARISONS.iter().find(|func| func.name == symbol).map(Func)
}

/// The comparison that is true where `func`, a comparison, is false.
pub(crate) fn negated_comparison(func: Func) -> Option<Func> {
    if comparison(func.name) != Some(func) {
        return None;
    }
    comparison(match func.0.name {
        "=" => "<>",
        "<>" => "=",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    })
}

/// Maps an interval or a `bpchar`, or a composite of them, to the one value that stands for all it equals: equal intervals,
/// such as `1 month` and `30 days`, have keys of equal bytes. Of the argument's type.
pub fn equality_key() -> Func {
    by_key("equality_key").expect("in the table of comparisons")
}

/// Maps a jsonb to bytes in the order of jsonb, and a composite to one with such bytes in it: see
/// `ScalarType::order_key_type`.
pub fn order_key() -> Func {
    by_key("order_key").expect("in the table of comparisons")
}

/// Stands for a parameter, given by its index, until the statement is executed.
pub fn parameter() -> Func {
    by_key("parameter").expect("in the table of session functions")
}

/// The entry of a jsonb object, the first argument, under the key that the further arguments make, their texts joined by
/// commas: how functions of the catalog are answered.
pub fn catalog_lookup() -> Func {
    by_key("catalog_lookup").expect("in the table of the catalog's functions")
}

/// The text of a value in the interval style that the second argument names.
pub fn text_in_style() -> Func {
    by_key("text_in_style").expect("in the table of forms of intervals")
}

/// The cast to mz_timestamp that clamps values outside the range of times.
pub fn clamped_mz_timestamp() -> Func {
    by_key("mz_timestamp_clamped").expect("in the table of casts")
}

impl ArgType {
    /// The name the manual and `pg_proc` show.
    pub fn name(self) -> String {
        match self {
            ArgType::Any => "any".to_owned(),
            ArgType::AnyElement => "anyelement".to_owned(),
            ArgType::AnyEnum => "anyenum".to_owned(),
            ArgType::AnyArray => "anyarray".to_owned(),
            ArgType::AnyList => "list".to_owned(),
            ArgType::AnyMap => "map".to_owned(),
            ArgType::AnyRange => "anyrange".to_owned(),
            ArgType::AnyCompatible => "anycompatible".to_owned(),
            ArgType::Record => "record".to_owned(),
            concrete => concrete.concrete().map_or_else(|| "any".to_owned(), |typ| repr::pg_type::sql_name(&typ)),
        }
    }

    /// The concrete type, if the declaration is not polymorphic.
    pub fn concrete(self) -> Option<ScalarType> {
        Some(match self {
            ArgType::Bool => ScalarType::Bool,
            ArgType::Int2 => ScalarType::Int2,
            ArgType::Int4 => ScalarType::Int4,
            ArgType::Int8 => ScalarType::Int8,
            ArgType::UInt2 => ScalarType::UInt2,
            ArgType::UInt4 => ScalarType::UInt4,
            ArgType::UInt8 => ScalarType::UInt8,
            ArgType::Float4 => ScalarType::Float4,
            ArgType::Float8 => ScalarType::Float8,
            ArgType::Numeric => ScalarType::Numeric(None),
            ArgType::Text => ScalarType::Text,
            ArgType::Name => ScalarType::Name,
            ArgType::Bytes => ScalarType::Bytes,
            ArgType::Date => ScalarType::Date,
            ArgType::Time => ScalarType::Time(None),
            ArgType::Timestamp => ScalarType::Timestamp(None),
            ArgType::TimestampTz => ScalarType::TimestampTz(None),
            ArgType::Interval => ScalarType::Interval(None),
            ArgType::Uuid => ScalarType::Uuid,
            ArgType::Jsonb => ScalarType::Jsonb,
            ArgType::Oid => ScalarType::Oid,
            ArgType::RegClass => ScalarType::RegClass,
            ArgType::RegProc => ScalarType::RegProc,
            ArgType::RegProcedure => ScalarType::RegProcedure,
            ArgType::RegType => ScalarType::RegType,
            ArgType::RegNamespace => ScalarType::RegNamespace,
            ArgType::RegRole => ScalarType::RegRole,
            ArgType::MzTimestamp => ScalarType::MzTimestamp,
            ArgType::TextArray => ScalarType::Array(Box::new(ScalarType::Text)),
            ArgType::Range(range) => ScalarType::Range(range),
            ArgType::Int4Array => ScalarType::Array(Box::new(ScalarType::Int4)),
            ArgType::Any
            | ArgType::AnyElement
            | ArgType::AnyEnum
            | ArgType::AnyArray
            | ArgType::AnyList
            | ArgType::AnyMap
            | ArgType::AnyRange
            | ArgType::AnyCompatible
            | ArgType::Record => return None,
        })
    }
}

/// An entry of kind `Function`: strict, never NULL of itself, infallible and immutable until said otherwise.
const fn function(
    key: &'static str,
    name: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    body: Body,
    doc: &'static str,
) -> FuncDef {
    FuncDef {
        key,
        name,
        kind: FuncKind::Function,
        args,
        variadic: None,
        returns,
        strict: true,
        nullable: false,
        fallible: false,
        volatility: Volatility::Immutable,
        body,
        doc,
    }
}

/// An operator; its key is its name in the table.
const fn operator(
    key: &'static str,
    symbol: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    body: Body,
    doc: &'static str,
) -> FuncDef {
    let mut def = function(key, symbol, args, returns, body, doc);
    def.kind = FuncKind::Operator;
    def
}

/// A function that only the planner calls; users see its key in EXPLAIN.
const fn internal(
    key: &'static str,
    args: &'static [ArgType],
    returns: ArgType,
    body: Body,
    doc: &'static str,
) -> FuncDef {
    let mut def = function(key, key, args, returns, body, doc);
    def.kind = FuncKind::Internal;
    def
}

impl FuncDef {
    const fn fallible(mut self) -> FuncDef {
        self.fallible = true;
        self
    }

    const fn nullable(mut self) -> FuncDef {
        self.nullable = true;
        self
    }

    /// The body sees NULL arguments.
    const fn called_on_null(mut self) -> FuncDef {
        self.strict = false;
        self
    }

    const fn variadic(mut self, further: ArgType) -> FuncDef {
        self.variadic = Some(further);
        self
    }

    const fn volatility(mut self, volatility: Volatility) -> FuncDef {
        self.volatility = volatility;
        self
    }
}

/// What a body returns.
type Value<'a> = Result<Datum<'a>, EvalError>;

/// Text longer than this is not made: SQLSTATE 54000.
const TEXT_BYTES_MAX: usize = 100 << 20;

/// Checks a length before the text is made.
fn check_length(bytes: usize) -> Result<(), EvalError> {
    if bytes > TEXT_BYTES_MAX {
        return Err(EvalError::new("54000", format!("result exceeds the maximum of {TEXT_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// Puts text made by a function into the arena.
fn text<'a>(value: &str, arena: &'a Arena) -> Value<'a> {
    check_length(value.len())?;
    Ok(Datum::Text(arena.text(value)))
}

fn invalid_parameter(message: impl Into<String>) -> EvalError {
    EvalError::new("22023", message)
}

#[cfg(test)]
mod tests;
