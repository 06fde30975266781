//! Functions: one table entry each, from which evaluation, name resolution, `pg_proc` and the manual are derived.

use std::fmt;

use repr::{Arena, Datum, ScalarType};

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
    RegType,
    MzTimestamp,
    TextArray,
    /// Any type, unrelated to the other arguments.
    Any,
    /// One same type for all arguments of this kind.
    AnyElement,
    /// An array whose elements are the call's `AnyElement`.
    AnyArray,
    /// A list whose elements are the call's `AnyElement`.
    AnyList,
    AnyMap,
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

/// All table entries.
pub fn all() -> impl Iterator<Item = Func> {
    // H2: chain of the families' tables
    std::iter::empty()
}

/// The entry of this key.
pub fn by_key(key: &str) -> Option<Func> {
    let _ = key;
    todo!("H2: index built once")
}

/// Entries of kind `Function` with this SQL name, in table order.
pub fn functions(name: &str) -> Vec<Func> {
    let _ = name;
    todo!("H2")
}

/// Entries of kind `Operator` with this symbol and number of arguments, in table order.
pub fn operators(symbol: &str, arity: usize) -> Vec<Func> {
    let _ = (symbol, arity);
    todo!("H2")
}

/// The comparison (`=`, `<>`, `<`, `<=`, `>`, `>=`) of two values of one type: generic over types, by the codec's order.
pub fn comparison(symbol: &str) -> Option<Func> {
    let _ = symbol;
    todo!("H2")
}

impl ArgType {
    /// The concrete type, if the declaration is not polymorphic.
    pub fn concrete(self) -> Option<ScalarType> {
        todo!("H2")
    }
}
