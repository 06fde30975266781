//! How the `sqlparser` crate reads our SQL: as PostgreSQL's, but for what is said here.

use std::any::TypeId;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::collection;

/// The dialect whose answers are taken where ours are not different.
const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Freshet's dialect.
///
/// Unlike the crate's PostgreSQL it knows no `NOTNULL` operator (it would take the NOT NULL behind a DEFAULT), no alias of
/// `*` (a misspelt FROM would be taken for one), no optimizer hints in comments, no factorial and no geometry.
#[derive(Debug)]
pub(crate) struct FreshetDialect;

/// A sign binds tighter than COLLATE, AT and `^` (so `-2 ^ 2` is 4): only `.`, `::` and `[]` come before it.
const SIGN_PRECEDENCE: u8 = 120;

/// A prefix operator and its operand, if there is one.
///
/// Of several, each but the first is put in brackets: the crate prints them without a blank between, and `--` is a comment.
fn prefixed(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let others = POSTGRES.prec_value(Precedence::PlusMinus);
    let (op, precedence) = match parser.peek_token_ref().token {
        Token::Minus => (UnaryOperator::Minus, SIGN_PRECEDENCE),
        Token::Plus => (UnaryOperator::Plus, SIGN_PRECEDENCE),
        Token::Tilde => (UnaryOperator::BitwiseNot, others),
        Token::PGSquareRoot => (UnaryOperator::PGSquareRoot, others),
        Token::PGCubeRoot => (UnaryOperator::PGCubeRoot, others),
        Token::AtSign => (UnaryOperator::PGAbs, others),
        _ => return None,
    };
    parser.next_token();
    Some(parser.parse_subexpr(precedence).map(|operand| {
        let operand = match operand {
            inner @ Expr::UnaryOp { .. } => Expr::Nested(Box::new(inner)),
            other => other,
        };
        Expr::UnaryOp { op, expr: Box::new(operand) }
    }))
}

/// True if an operator of this precedence may not follow `left`, because both do not associate: `1 < 2 = true`. An operand
/// in brackets is another expression, and what ends with a keyword or a bracket, as `IS NULL` and `IN (...)` do, is over.
fn does_not_associate(left: &Expr, precedence: u8) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let is = |level| POSTGRES.prec_value(level) == precedence;
    match left {
        Expr::BinaryOp { op: Eq | NotEq | Lt | LtEq | Gt | GtEq, .. } => is(Precedence::Eq),
        Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => is(Precedence::Like),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => is(Precedence::Is),
        _ => false,
    }
}

impl Dialect for FreshetDialect {
    /// The parser asks for the type of its dialect in places; it is told PostgreSQL's.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        POSTGRES.is_delimited_identifier_start(character)
    }

    fn is_identifier_start(&self, character: char) -> bool {
        POSTGRES.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        POSTGRES.is_identifier_part(character)
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        POSTGRES.is_custom_operator_part(character)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        POSTGRES.is_table_alias(keyword, parser)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        collection::literal(parser)
            .or_else(|| collection::variadic(parser))
            .or_else(|| collection::symmetric(parser, POSTGRES.prec_value(Precedence::Between)))
            .or_else(|| prefixed(parser))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let expected = "brackets around one of two comparisons in a row";
        does_not_associate(left, precedence).then(|| parser.expected_ref(expected, parser.peek_token_ref()))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        POSTGRES.supports_left_associative_joins_without_parens()
    }

    fn supports_empty_projections(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
}
