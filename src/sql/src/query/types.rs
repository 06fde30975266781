//! The type system's rules: categories, preferred types, implicit conversion and common types, after PostgreSQL.

use expr::cast::{self, CastContext};
use repr::ScalarType;
use repr::pg_type::sql_name;

/// Families of types between which implicit conversion is thinkable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Bool,
    Number,
    String,
    DateTime,
    Timespan,
    Array,
    Range,
    Composite,
    Enum,
    User,
    /// `"char"`, the one-byte type of the system catalog.
    Internal,
}

pub(crate) fn category(typ: &ScalarType) -> Category {
    match typ {
        ScalarType::Bool => Category::Bool,
        ScalarType::Int2
        | ScalarType::Int4
        | ScalarType::Int8
        | ScalarType::UInt2
        | ScalarType::UInt4
        | ScalarType::UInt8
        | ScalarType::Float4
        | ScalarType::Float8
        | ScalarType::Numeric(_)
        | ScalarType::Oid
        | ScalarType::RegClass
        | ScalarType::RegProc
        | ScalarType::RegProcedure
        | ScalarType::RegType
        | ScalarType::RegNamespace
        | ScalarType::RegRole => Category::Number,
        ScalarType::Text | ScalarType::Varchar(_) | ScalarType::Char(_) | ScalarType::Name => Category::String,
        ScalarType::PgChar => Category::Internal,
        ScalarType::Date | ScalarType::Time(_) | ScalarType::Timestamp(_) | ScalarType::TimestampTz(_) => {
            Category::DateTime
        }
        ScalarType::Interval(_) => Category::Timespan,
        ScalarType::Array(_) => Category::Array,
        ScalarType::Range(_) => Category::Range,
        ScalarType::Record(_) => Category::Composite,
        ScalarType::Enum(_) => Category::Enum,
        ScalarType::Bytes
        | ScalarType::Uuid
        | ScalarType::Jsonb
        | ScalarType::MzTimestamp
        | ScalarType::List(_)
        | ScalarType::Map(_) => Category::User,
    }
}

/// True for the type of its category that is preferred where several would do.
pub(crate) fn is_preferred(typ: &ScalarType) -> bool {
    matches!(
        typ,
        ScalarType::Bool
            | ScalarType::Float8
            | ScalarType::Oid
            | ScalarType::Text
            | ScalarType::TimestampTz(_)
            | ScalarType::Interval(_)
    )
}

/// The type without its modifier (length, precision, scale).
pub(crate) fn base(typ: &ScalarType) -> ScalarType {
    match typ {
        ScalarType::Numeric(_) => ScalarType::Numeric(None),
        ScalarType::Varchar(_) => ScalarType::Varchar(None),
        ScalarType::Char(_) => ScalarType::Char(None),
        ScalarType::Time(_) => ScalarType::Time(None),
        ScalarType::Interval(_) => ScalarType::Interval(None),
        ScalarType::Timestamp(_) => ScalarType::Timestamp(None),
        ScalarType::TimestampTz(_) => ScalarType::TimestampTz(None),
        ScalarType::Array(element) => ScalarType::Array(Box::new(base(element))),
        ScalarType::List(element) => ScalarType::List(Box::new(base(element))),
        ScalarType::Map(value) => ScalarType::Map(Box::new(base(value))),
        other => other.clone(),
    }
}

/// True if the types are the same but for modifiers.
pub(crate) fn same_base(left: &ScalarType, right: &ScalarType) -> bool {
    match (left, right) {
        (ScalarType::Record(left), ScalarType::Record(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((_, left), (_, right))| same_base(&left.scalar, &right.scalar))
        }
        _ => base(left) == base(right),
    }
}

/// True if a value of type `from` may stand where `to` is expected, without being asked for.
pub(crate) fn implicitly_castable(from: &ScalarType, to: &ScalarType) -> bool {
    same_base(from, to) || cast::exists(from, &base(to), CastContext::Implicit)
}

/// The common type of values that become one column: PostgreSQL's rule for UNION, CASE, VALUES, ARRAY and the like. The
/// values of unknown type are left out; no type left: text. None if the types do not go together.
pub(crate) fn common(types: &[&ScalarType]) -> Option<ScalarType> {
    let chosen = common_candidate(types)?;
    types.iter().all(|typ| implicitly_castable(typ, &chosen)).then_some(chosen)
}

/// As [`common`], but there may be values that cannot be converted to it. None if their categories differ.
pub(crate) fn common_candidate(types: &[&ScalarType]) -> Option<ScalarType> {
    let Some((first, rest)) = types.split_first() else { return Some(ScalarType::Text) };
    let mut chosen = (*first).clone();
    let mut same_modifier = true;
    for typ in rest {
        if *typ == &chosen {
            continue;
        }
        same_modifier = false;
        if same_base(typ, &chosen) {
            continue;
        }
        if category(typ) != category(&chosen) {
            return None;
        }
        if !is_preferred(&chosen) && implicitly_castable(&chosen, typ) && !implicitly_castable(typ, &chosen) {
            chosen = (*typ).clone();
        }
    }
    if !same_modifier {
        chosen = base(&chosen);
    }
    Some(chosen)
}

/// The type as which two values are compared; None if there is no such comparison.
pub(crate) fn comparable(left: &ScalarType, right: &ScalarType) -> Option<ScalarType> {
    use ScalarType::{
        Char, Float4, Float8, Int2, Int4, Int8, MzTimestamp, Name, Numeric, Record, Text, UInt2, UInt4, UInt8,
    };
    if same_base(left, right) {
        return Some(match left {
            ScalarType::Varchar(_) | Name => Text,
            _ => base(left),
        });
    }
    match (left, right) {
        (MzTimestamp, _) | (_, MzTimestamp) => return Some(MzTimestamp),
        (ScalarType::Time(_), ScalarType::Interval(_)) | (ScalarType::Interval(_), ScalarType::Time(_)) => {
            return Some(ScalarType::Interval(None));
        }
        (Float4 | Float8, other) | (other, Float4 | Float8) if category(other) == Category::Number => {
            return Some(Float8);
        }
        (UInt8, Int2 | Int4 | Int8) | (Int2 | Int4 | Int8, UInt8) => return Some(Numeric(None)),
        (UInt2 | UInt4, Int2 | Int4 | Int8) | (Int2 | Int4 | Int8, UInt2 | UInt4) => return Some(Int8),
        (Record(fields), Record(others)) => {
            if fields.len() != others.len() {
                return None;
            }
            let pairs = fields.iter().zip(others);
            let common = pairs.map(|((name, field), (_, other))| {
                let nullable = field.nullable || other.nullable;
                let scalar = comparable(&field.scalar, &other.scalar)?;
                Some((name.clone(), repr::ColumnType { scalar, nullable }))
            });
            return Some(Record(common.collect::<Option<_>>()?));
        }
        _ => {}
    }
    if let (Char(_), ScalarType::Varchar(_)) | (ScalarType::Varchar(_), Char(_)) = (left, right) {
        return Some(Char(None));
    }
    if is_string(left) && is_string(right) {
        return Some(Text);
    }
    if is_object_identifier(left) && is_object_identifier(right) {
        return Some(ScalarType::Oid);
    }
    if category(left) != category(right) {
        return None;
    }
    if implicitly_castable(left, right) {
        Some(base(right))
    } else if implicitly_castable(right, left) {
        Some(base(left))
    } else {
        None
    }
}

/// True for the types that are read as text wherever text is wanted.
pub(crate) fn is_string(typ: &ScalarType) -> bool {
    matches!(category(typ), Category::String | Category::Internal)
}

/// True for numbers of objects that print as names, and for these numbers themselves.
fn is_object_identifier(typ: &ScalarType) -> bool {
    *typ == ScalarType::Oid || typ.is_reg()
}

/// The type as which `=` takes a value of type `left` beside one of type `right`, one of which may be unknown yet; None: as
/// it is.
pub(crate) fn compared_as(left: Option<&ScalarType>, right: Option<&ScalarType>) -> Option<ScalarType> {
    use ScalarType::{Char, Float4, Float8, Interval, Name, Numeric, Oid, PgChar, Text, Time, Varchar};
    let is_exact = |typ: &ScalarType| category(typ) == Category::Number && !matches!(typ, Float4 | Float8);
    let Some(left) = left else {
        return match right {
            Some(Varchar(_)) => Some(Text),
            Some(typ) if is_object_identifier(typ) => Some(Oid),
            other => other.cloned(),
        };
    };
    match (left, right) {
        (_, Some(Numeric(_))) if is_exact(left) && !matches!(left, Numeric(_)) => Some(Numeric(None)),
        (_, Some(Float4 | Float8)) if is_exact(left) => Some(Float8),
        (_, Some(right)) if is_exact(left) && is_object_identifier(right) => Some(Oid),
        (typ, _) if is_object_identifier(typ) => Some(Oid),
        (Varchar(_), _) => Some(Text),
        (Char(_), Some(Text | Name | PgChar)) | (PgChar, Some(Text | Varchar(_) | Char(_) | Name)) => Some(Text),
        (Time(_), Some(Interval(_))) => Some(Interval(None)),
        _ => None,
    }
}

/// The type's name in messages: without its modifier, as PostgreSQL writes it.
pub(crate) fn shown(typ: &ScalarType) -> String {
    match typ {
        ScalarType::Char(_) => "character".to_owned(),
        other => sql_name(&base(other)),
    }
}

/// The type's internal name, which names the columns of casts: `int4`, `bool`, `timestamptz`.
pub(crate) fn column_name(typ: &ScalarType) -> String {
    match typ {
        ScalarType::Char(_) => "bpchar".to_owned(),
        ScalarType::Timestamp(_) => "timestamp".to_owned(),
        ScalarType::TimestampTz(_) => "timestamptz".to_owned(),
        ScalarType::PgChar => "char".to_owned(),
        // The name of an array column is its element's, as in PostgreSQL's grammar.
        ScalarType::Array(element) | ScalarType::List(element) => column_name(element),
        ScalarType::Map(_) => "map".to_owned(),
        ScalarType::Record(_) => "row".to_owned(),
        other => crate::names::type_name(&base(other)),
    }
}
