//! Calls whose last arguments come as one array: `concat_ws(',', VARIADIC names)`.

use expr::func::functions;
use repr::{Datum, ScalarType};
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::QueryContext;
use super::coerce::Planned;
use super::expression::strip;
use crate::error::Error;
use crate::hir::HirScalar;
use crate::parse::VARIADIC;

/// The array of the last argument, if that is marked.
fn marked(args: &[FunctionArg]) -> Option<&Expr> {
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(call)))) = args.last() else { return None };
    let is_mark = matches!(&call.name.0[..], [part] if part.as_ident().is_some_and(|ident| ident.value == VARIADIC));
    match &call.args {
        FunctionArguments::List(list) if is_mark => match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => Some(array),
            _ => None,
        },
        _ => None,
    }
}

impl QueryContext<'_> {
    /// The call, if its last argument is marked. Errors: 42883 for a function that takes no such arguments, 0A000 for an array
    /// whose elements are not known where the function needs each of them.
    pub(super) fn variadic_call(&mut self, name: &str, function: &Function) -> Result<Option<Planned>, Error> {
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        let Some(array) = marked(&list.args) else { return Ok(None) };
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args[..list.args.len() - 1] {
            args.push(self.expression(super::function::argument(arg)?)?);
        }
        if let Expr::Array(elements) = strip(array)
            && functions(name).iter().any(|func| func.variadic.is_some())
        {
            for element in &elements.elem {
                args.push(self.expression(element)?);
            }
            return self.call_by_name(name, args).map(Some);
        }
        let array = self.expression(array)?;
        if array.known_type().is_some_and(|typ| !matches!(typ, ScalarType::Array(_))) {
            return Err(Error::new("42804", "VARIADIC argument must be an array"));
        }
        let text =
            |text: &str| Planned::typed(HirScalar::literal(Datum::Text(text), ScalarType::Text), ScalarType::Text);
        match (name, args.len()) {
            ("concat", 0) => self.call_by_name("array_to_string", vec![array, text("")]),
            ("concat_ws", 1) => self.call_by_name("array_to_string", vec![array, args.remove(0)]),
            ("jsonb_build_array" | "json_build_array", 0) => self.call_by_name("to_jsonb", vec![array]),
            ("jsonb_build_object" | "json_build_object", 0) => self.call_by_name("jsonb_object", vec![array]),
            ("jsonb_extract_path" | "json_extract_path", 1) => self.infix("#>", args.remove(0), array),
            ("jsonb_extract_path_text" | "json_extract_path_text", 1) => self.infix("#>>", args.remove(0), array),
            _ if functions(name).iter().any(|func| func.variadic.is_some()) => {
                Err(Error::unsupported(format!("{name} with VARIADIC and anything but ARRAY[...]")))
            }
            _ => {
                args.push(array);
                Err(super::function::no_function(name, &args))
            }
        }
        .map(Some)
    }
}
