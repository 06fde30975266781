//! The names that PostgreSQL gives to columns without an alias.

use sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, DataType, Expr, FunctionArguments, ObjectName, Query, SelectItem, SetExpr,
    TrimWhereField,
};

use super::types;
use crate::names::{self, fold};

/// The name of an expression's column.
pub(super) fn column_name(expr: &Expr) -> String {
    name_of(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it comes from the user rather than from the form of the expression.
fn name_of(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (fold(ident), true)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some((fold(ident), true)),
                _ => None,
            });
            field.or_else(|| name_of(root))
        }
        Expr::Nested(inner) => name_of(inner),
        Expr::Collate { expr, .. } => name_of(expr),
        Expr::Function(function) => match function_name(&function.name).as_str() {
            "array" if matches!(function.args, FunctionArguments::Subquery(_)) => strong("array"),
            name => strong(name),
        },
        Expr::Cast { expr, data_type, .. } => match name_of(expr) {
            Some((name, true)) => Some((name, true)),
            _ => type_name(data_type),
        },
        Expr::TypedString(typed) => type_name(&typed.data_type),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Value(value) if matches!(value.value, sqlparser::ast::Value::Boolean(_)) => {
            Some(("bool".to_owned(), false))
        }
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(name_of) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => subquery_name(query),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand: true, .. } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

/// The name of a column that is cast to a type.
fn type_name(data_type: &DataType) -> Option<(String, bool)> {
    let system = names::resolve_system_type(data_type).ok().map(|typ| types::column_name(&typ));
    let of_user = || match data_type {
        DataType::Custom(name, _) => Some(function_name(name)),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => type_name(element).map(|(name, _)| name),
        _ => None,
    };
    system.or_else(of_user).map(|name| (name, false))
}

fn function_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

/// A scalar subquery's column has the name it has inside.
fn subquery_name(query: &Query) -> Option<(String, bool)> {
    let SetExpr::Select(select) = &*query.body else { return None };
    match &select.projection[..] {
        [SelectItem::UnnamedExpr(expr)] => name_of(expr).map(|(name, _)| (name, true)),
        [SelectItem::ExprWithAlias { alias, .. }] => Some((fold(alias), true)),
        _ => None,
    }
}
