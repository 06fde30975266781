//! Lists and maps, written out.

use expr::func::by_key;
use repr::ScalarType;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::QueryContext;
use super::coerce::Planned;
use super::expression::strip;
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names::{fold, parts};
use crate::parse::{LIST, MAP};

/// `LIST[...]` or `MAP[...]`.
pub(super) struct Literal<'a> {
    is_map: bool,
    /// Of a map, keys and values in turn.
    elements: Vec<&'a Expr>,
}

/// The literal that a call is.
pub(super) fn literal(function: &Function) -> Option<Literal<'_>> {
    let idents = parts(&function.name).ok()?;
    let [name] = &idents[..] else { return None };
    let name = fold(name);
    let FunctionArguments::List(list) = &function.args else { return None };
    if name != LIST && name != MAP || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let element = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    let elements = list.args.iter().map(element).collect::<Option<Vec<_>>>()?;
    let is_map = name == MAP;
    (!is_map || elements.len() % 2 == 0).then_some(Literal { is_map, elements })
}

impl QueryContext<'_> {
    /// The list or map; of type `wanted`, if it is known. Errors: 42P18 if nothing says of what an empty one is.
    pub(super) fn collection(&mut self, literal: &Literal<'_>, wanted: Option<&ScalarType>) -> Result<Planned, Error> {
        let element = match (wanted, literal.is_map) {
            (Some(ScalarType::List(element)), false) | (Some(ScalarType::Map(element)), true) => Some(&**element),
            _ => None,
        };
        let (what, cast) = if literal.is_map { ("map", "MAP[]::map[text=>int]") } else { ("list", "LIST[]::int list") };
        if literal.elements.is_empty() && element.is_none() {
            return Err(Error::new("42P18", format!("cannot determine type of empty {what}"))
                .with_hint(format!("Explicitly cast to the desired type, for example {cast}.")));
        }
        let mut keys = Vec::new();
        let mut values = Vec::with_capacity(literal.elements.len());
        for (index, expr) in literal.elements.iter().enumerate() {
            if literal.is_map && index % 2 == 0 {
                let key = self.expression(expr)?;
                let key = self.coerce_implicit(key, &ScalarType::Text, |found| {
                    format!("a map's key must be type text, not type {found}")
                });
                keys.push(key.map_err(|error| error.at_node(*expr))?);
                continue;
            }
            values.push(match strip(expr) {
                Expr::Function(function) => match self::literal(function) {
                    Some(inner) => self.collection(&inner, element)?,
                    None => self.expression(expr)?,
                },
                _ => self.expression(expr)?,
            });
        }
        let (values, element) = match element {
            Some(element) => {
                let values = values.into_iter().map(|value| self.coerce_explicit(value, element));
                (values.collect::<Result<Vec<_>, _>>()?, element.clone())
            }
            None => self.coerce_common(values, if literal.is_map { "MAP" } else { "LIST" })?,
        };
        Ok(made(literal.is_map, keys, values, element))
    }
}

fn made(is_map: bool, keys: Vec<HirScalar>, values: Vec<HirScalar>, element: ScalarType) -> Planned {
    let func = by_key(if is_map { MAP } else { LIST }).expect("in the table of lists and maps");
    let count = values.len();
    let (args, types, ret) = if is_map {
        let args = keys.into_iter().zip(values).flat_map(|(key, value)| [key, value]).collect();
        let types = std::iter::repeat_n([ScalarType::Text, element.clone()], count).flatten().collect();
        (args, types, ScalarType::Map(Box::new(element)))
    } else {
        (values, vec![element.clone(); count], ScalarType::List(Box::new(element)))
    };
    Planned::typed(HirScalar::call(func, args, types, ret.clone()), ret)
}
