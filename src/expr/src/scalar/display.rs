//! Readable scalar expressions, for EXPLAIN and for test expectations.

use std::fmt;

use repr::pg_type::sql_name;
use repr::{Datum, ScalarType};

use super::{Scalar, with_stack};
use crate::func::FuncKind;

/// An expression to be printed, with the names of its columns where they are known.
pub struct ScalarDisplay<'a> {
    scalar: &'a Scalar,
    names: Names<'a>,
}

/// How columns are printed.
#[derive(Clone, Copy)]
enum Names<'a> {
    /// As `#` and the index, with the name behind where there is one.
    Listed(&'a [String]),
    By(&'a dyn Fn(usize) -> String),
}

impl Scalar {
    /// The expression printed with column names; a column without a name is printed as `#` and its index.
    pub fn display<'a>(&'a self, names: Option<&'a [String]>) -> ScalarDisplay<'a> {
        ScalarDisplay { scalar: self, names: Names::Listed(names.unwrap_or_default()) }
    }

    /// The expression printed with `column` for each column.
    pub fn display_by<'a>(&'a self, column: &'a dyn Fn(usize) -> String) -> ScalarDisplay<'a> {
        ScalarDisplay { scalar: self, names: Names::By(column) }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(None).fmt(f)
    }
}

impl fmt::Display for ScalarDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scalar(f, self.scalar, self.names, false)
    }
}

/// Writes `scalar`; `nested` in an operator's operand, where every infix form needs parentheses.
fn write_scalar(f: &mut fmt::Formatter<'_>, scalar: &Scalar, names: Names<'_>, nested: bool) -> fmt::Result {
    with_stack(|| match scalar {
        Scalar::Column(index) => match names {
            Names::By(column) => f.write_str(&column(*index)),
            Names::Listed(names) => match names.get(*index).filter(|name| !name.is_empty()) {
                Some(name) => write!(f, "#{index}{{{name}}}"),
                None => write!(f, "#{index}"),
            },
        },
        Scalar::Literal(Ok(row), typ) => write_literal(f, row.unpack_first(typ.kind()), &typ.scalar),
        Scalar::Literal(Err(error), _) => write!(f, "error({:?})", error.message),
        Scalar::MzNow => f.write_str("mz_now()"),
        Scalar::Call { func, args, types } => match (func.kind, &args[..]) {
            (FuncKind::Operator, [left, right]) => {
                // Comparisons stand bare at the top, where they are easiest to read; arithmetic never does.
                let bare = !nested && types.ret == ScalarType::Bool;
                f.write_str(if bare { "" } else { "(" })?;
                write_scalar(f, left, names, true)?;
                write!(f, " {} ", func.name)?;
                write_scalar(f, right, names, true)?;
                f.write_str(if bare { "" } else { ")" })
            }
            (FuncKind::Operator, [only]) => {
                write!(f, "({} ", func.name)?;
                write_scalar(f, only, names, true)?;
                f.write_str(")")
            }
            (FuncKind::Cast, [input, ..]) => {
                write_scalar(f, input, names, true)?;
                write!(f, "::{}", sql_name(&types.ret))
            }
            _ => {
                write!(f, "{}(", func.name)?;
                write_list(f, args, ", ", names, false)?;
                f.write_str(")")
            }
        },
        Scalar::And(args) if args.is_empty() => f.write_str("true"),
        Scalar::Or(args) if args.is_empty() => f.write_str("false"),
        Scalar::And(args) => write_parenthesised(f, args, " AND ", names, nested),
        Scalar::Or(args) => write_parenthesised(f, args, " OR ", names, nested),
        Scalar::If { cond, then, els } => {
            f.write_str("case when ")?;
            write_scalar(f, cond, names, false)?;
            f.write_str(" then ")?;
            write_scalar(f, then, names, false)?;
            f.write_str(" else ")?;
            write_scalar(f, els, names, false)?;
            f.write_str(" end")
        }
        Scalar::Coalesce(args) => {
            f.write_str("coalesce(")?;
            write_list(f, args, ", ", names, false)?;
            f.write_str(")")
        }
        Scalar::IsNull(inner) => write_test(f, inner, "IS NULL", names),
        Scalar::Not(inner) => match &**inner {
            Scalar::IsNull(inner) => write_test(f, inner, "IS NOT NULL", names),
            inner => {
                f.write_str("NOT(")?;
                write_scalar(f, inner, names, false)?;
                f.write_str(")")
            }
        },
    })
}

fn write_test(f: &mut fmt::Formatter<'_>, inner: &Scalar, test: &str, names: Names<'_>) -> fmt::Result {
    f.write_str("(")?;
    write_scalar(f, inner, names, true)?;
    write!(f, ") {test}")
}

fn write_parenthesised(
    f: &mut fmt::Formatter<'_>,
    args: &[Scalar],
    separator: &str,
    names: Names<'_>,
    nested: bool,
) -> fmt::Result {
    f.write_str(if nested { "(" } else { "" })?;
    write_list(f, args, separator, names, true)?;
    f.write_str(if nested { ")" } else { "" })
}

fn write_list(
    f: &mut fmt::Formatter<'_>,
    args: &[Scalar],
    separator: &str,
    names: Names<'_>,
    nested: bool,
) -> fmt::Result {
    for (index, arg) in args.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        write_scalar(f, arg, names, nested)?;
    }
    Ok(())
}

/// Writes a literal: numbers, booleans and NULL bare, text in quotes, all else in quotes with its type.
fn write_literal(f: &mut fmt::Formatter<'_>, datum: Datum<'_>, typ: &ScalarType) -> fmt::Result {
    match datum {
        Datum::Null => f.write_str("null"),
        Datum::Bool(value) => write!(f, "{value}"),
        Datum::Int(value) => write!(f, "{value}"),
        Datum::UInt(value) => write!(f, "{value}"),
        Datum::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        other => {
            let text = crate::text_of(other, typ);
            match typ {
                ScalarType::Float4 | ScalarType::Float8 | ScalarType::Numeric(_) => f.write_str(&text),
                _ => write!(f, "'{}'::{}", text.replace('\'', "''"), sql_name(typ)),
            }
        }
    }
}
