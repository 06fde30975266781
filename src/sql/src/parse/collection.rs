//! `LIST[1, 2]`, `MAP['a' => 1]`, `VARIADIC array` and `BETWEEN SYMMETRIC bound`, which become calls of functions of these names.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token};

/// The name of a list's function.
pub(crate) const LIST: &str = "list";
/// The name of a map's function; keys and values are its arguments in turn.
pub(crate) const MAP: &str = "map";

/// The name of the function that marks an array of arguments; what it is called on reads as what it stands for.
pub(crate) const VARIADIC: &str = "variadic";

/// The name of the function that marks the first bound of BETWEEN SYMMETRIC.
pub(crate) const SYMMETRIC: &str = "symmetric";

/// Parses the `SYMMETRIC bound` or `ASYMMETRIC bound` of a BETWEEN, if that comes; both are no names in PostgreSQL.
pub(super) fn symmetric(parser: &mut Parser, precedence: u8) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    let marks = word.quote_style.is_none() && word.value.eq_ignore_ascii_case(SYMMETRIC);
    if !marks && (word.quote_style.is_some() || !word.value.eq_ignore_ascii_case("asymmetric")) {
        return None;
    }
    let span = parser.next_token().span;
    let bound = parser.parse_subexpr(precedence);
    if !marks {
        return Some(bound);
    }
    Some(bound.map(|bound| match bound {
        Expr::Nested(inner) => call(SYMMETRIC, span, vec![*inner]),
        other => call(SYMMETRIC, span, vec![other]),
    }))
}

/// Parses `VARIADIC array`, if that comes.
pub(super) fn variadic(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    if word.quote_style.is_some() || !word.value.eq_ignore_ascii_case(VARIADIC) {
        return None;
    }
    let span = parser.next_token().span;
    Some(parser.parse_expr().map(|array| {
        let array = match array {
            Expr::Nested(inner) => *inner,
            other => other,
        };
        call(VARIADIC, span, vec![array])
    }))
}

/// Parses a literal, if there is one.
pub(super) fn literal(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    let name = [LIST, MAP].into_iter().find(|name| word.value.eq_ignore_ascii_case(name))?;
    if parser.peek_nth_token_ref(1).token != Token::LBracket {
        return None;
    }
    let span = parser.next_token().span;
    Some(elements(parser, name, span))
}

/// Parses what is in brackets; brackets in it are literals of the same kind.
fn elements(parser: &mut Parser, name: &'static str, span: Span) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LBracket)?;
    let mut args = Vec::new();
    while parser.peek_token_ref().token != Token::RBracket {
        if !args.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        if name == MAP {
            args.push(parser.parse_expr()?);
            parser.expect_token(&Token::RArrow)?;
        }
        let inner = parser.peek_token_ref();
        args.push(match inner.token {
            Token::LBracket => {
                let span = inner.span;
                elements(parser, name, span)?
            }
            _ => parser.parse_expr()?,
        });
    }
    parser.expect_token(&Token::RBracket)?;
    Ok(call(name, span, args))
}

fn call(name: &str, span: Span, args: Vec<Expr>) -> Expr {
    let ident = Ident { value: name.to_owned(), quote_style: None, span };
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![ident]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
