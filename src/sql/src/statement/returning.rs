//! `RETURNING expr [AS name], ...`.

use repr::RelationDesc;
use sqlparser::ast::{Expr, SelectItem, SelectItemQualifiedWildcardKind};

use super::Planner;
use super::planner::Over;
use super::table::Target;
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::ReturningPlan;

/// Reads `RETURNING ...`, if it comes next.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Vec<SelectItem>, Error> {
    if cursor.take(&["returning"]) { cursor.comma_separated(Cursor::select_item) } else { Ok(Vec::new()) }
}

/// Plans the items over the rows of `target`, which the statement calls `table`.
pub(crate) fn plan(
    planner: &mut Planner<'_>,
    target: &Target,
    table: &str,
    items: &[SelectItem],
) -> Result<Option<ReturningPlan>, Error> {
    if items.is_empty() {
        return Ok(None);
    }
    let mut exprs = Vec::new();
    let mut columns = Vec::new();
    for item in items {
        let (expr, name) = match item {
            SelectItem::Wildcard(_) => {
                all_columns(target, &mut exprs, &mut columns);
                continue;
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let qualifier = name.0.last().and_then(|part| part.as_ident()).map(names::fold);
                if qualifier.as_deref() != Some(table) {
                    let message = format!("missing FROM-clause entry for table \"{name}\"");
                    return Err(Error::new("42P01", message).at_node(name));
                }
                all_columns(target, &mut exprs, &mut columns);
                continue;
            }
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(names::fold(alias))),
            other => return Err(Error::unsupported(format!("RETURNING {other}")).at_node(other)),
        };
        let name = name.unwrap_or_else(|| column_name(expr));
        let (scalar, typ) = planner.scalar(Over { desc: target.desc(), table: Some(table), expr })?;
        exprs.push(scalar);
        columns.push((name, typ));
    }
    Ok(Some(ReturningPlan { exprs, desc: RelationDesc::new(columns) }))
}

fn all_columns(target: &Target, exprs: &mut Vec<expr::Scalar>, columns: &mut Vec<(String, repr::ColumnType)>) {
    for (index, (name, typ)) in target.desc().iter().enumerate() {
        exprs.push(expr::Scalar::Column(index));
        columns.push((name.to_owned(), typ.clone()));
    }
}

/// The name of an expression's column where none is given, as PostgreSQL chooses it.
pub(crate) fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => names::fold(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map(names::fold).unwrap_or_default(),
        Expr::Function(function) => {
            function.name.0.last().and_then(|part| part.as_ident()).map(names::fold).unwrap_or_default()
        }
        Expr::Nested(inner) => column_name(inner),
        Expr::Cast { expr, data_type, .. } => match column_name(expr).as_str() {
            "?column?" => data_type.to_string().to_lowercase(),
            name => name.to_owned(),
        },
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}
