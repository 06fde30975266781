//! Operators: logic, comparison (also of rows), patterns, and everything that is resolved by its operands' types.

use expr::Func;
use expr::func::{ArgType, by_key, comparison, functions, operators};
use repr::ScalarType;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::coerce::{Planned, fold};
use super::expression::strip;
use super::resolve::{Resolution, Signature, resolve, return_type};
use super::{NESTING_MAX, QueryContext, nested_too_deeply, types};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::HirScalar;

/// The digits of a number and how many minus signs are before it; None for other expressions.
fn signed_number(expr: &Expr) -> Option<(&str, usize)> {
    let mut inner = strip(expr);
    let mut signs = 0;
    while let Expr::UnaryOp { op: UnaryOperator::Minus, expr } = inner {
        signs += 1;
        inner = strip(expr);
    }
    match inner {
        Expr::Value(value) => match &value.value {
            sqlparser::ast::Value::Number(digits, _) => Some((digits, signs)),
            _ => None,
        },
        _ => None,
    }
}

impl QueryContext<'_> {
    pub(super) fn unary(&mut self, op: UnaryOperator, inner: &Expr) -> Result<Planned, Error> {
        match op {
            UnaryOperator::Not => Ok(Planned::bool(self.condition(inner, "argument of NOT")?.not())),
            UnaryOperator::Minus => {
                // A literal takes its signs before its type: -2147483648 is an integer, -(-2147483648) is a bigint.
                if let Some((digits, signs)) = signed_number(inner) {
                    let sign = if signs % 2 == 0 { "-" } else { "" };
                    return super::literal::plan_number(&format!("{sign}{digits}"))
                        .map_err(|error| error.at_node(inner));
                }
                let operand = self.expression(inner)?;
                self.operator("-", vec![operand]).map_err(|error| error.at_node(inner))
            }
            other => {
                let operand = self.expression(inner)?;
                self.operator(&other.to_string(), vec![operand]).map_err(|error| error.at_node(inner))
            }
        }
    }

    pub(super) fn binary(
        &mut self,
        expr: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Result<Planned, Error> {
        if let BinaryOperator::And | BinaryOperator::Or = op {
            return self.junction(expr, op);
        }
        let symbol = symbol(op).map_err(|error| error.at_node(left))?;
        // A chain of operators leans to the left: its length is no nesting.
        let mut chain = vec![(symbol, right)];
        let mut first = left;
        while let Expr::BinaryOp { left, op, right } = first {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                break;
            }
            let Ok(symbol) = self::symbol(op) else { break };
            chain.push((symbol, right));
            first = left;
            if chain.len() > NESTING_MAX {
                return Err(nested_too_deeply());
            }
        }
        let mut planned = self.expression(first)?;
        for (symbol, right) in chain.into_iter().rev() {
            let operand = match (&planned, strip(right)) {
                (Planned::Row(fields), Expr::Subquery(query)) if fields.len() > 1 => {
                    self.row_subquery(query, fields.len())?
                }
                _ => self.expression(right)?,
            };
            planned = self.infix(&symbol, planned, operand).map_err(|error| error.at_node(right))?;
        }
        Ok(planned)
    }

    /// AND and OR; a chain of one of them becomes one node.
    fn junction(&mut self, expr: &Expr, op: &BinaryOperator) -> Result<Planned, Error> {
        let mut operands = Vec::new();
        let mut rest = expr;
        while let Expr::BinaryOp { left, op: other, right } = strip(rest) {
            if other != op {
                break;
            }
            operands.push(&**right);
            rest = left;
        }
        operands.push(rest);
        let what = format!("argument of {op}");
        let mut scalars = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().rev() {
            match (self.condition(operand, &what)?, op) {
                (HirScalar::And(args), BinaryOperator::And) | (HirScalar::Or(args), BinaryOperator::Or) => {
                    scalars.extend(args);
                }
                (scalar, _) => scalars.push(scalar),
            }
        }
        Ok(Planned::bool(match op {
            BinaryOperator::And => HirScalar::And(scalars),
            _ => HirScalar::Or(scalars),
        }))
    }

    /// `left symbol right`.
    pub(super) fn infix(&mut self, symbol: &str, left: Planned, right: Planned) -> Result<Planned, Error> {
        if comparison(symbol).is_some() {
            return Ok(Planned::bool(self.compare(symbol, left, right)?));
        }
        match symbol {
            "OVERLAPS" => self.overlaps(left, right),
            "+" | "-" if [&left, &right].iter().any(|side| side.known_type() == Some(&ScalarType::MzTimestamp)) => {
                let operands = self.as_instants(left, right)?;
                self.operator(symbol, operands.into())
            }
            "||" if !is_array(&left) && !is_array(&right) => {
                let mut operands = vec![self.named_object(left)?, self.named_object(right)?];
                // Of the kin of text, all are concatenated as text.
                if operands.iter().all(is_string) {
                    let text = |operand: Planned| {
                        Ok(Planned::typed(self.coerce_explicit(operand, &ScalarType::Text)?, ScalarType::Text))
                    };
                    operands = operands.into_iter().map(text).collect::<Result<_, Error>>()?;
                }
                self.operator(symbol, operands)
            }
            "!~~" | "!~~*" if operators(symbol, 2).is_empty() => {
                let positive = self.operator(&symbol[1..], vec![left, right])?;
                let scalar = self.coerce_bool(positive, "argument of NOT")?;
                Ok(Planned::bool(scalar.not()))
            }
            _ => self.operator(symbol, vec![left, right]),
        }
    }

    /// One of the six comparisons.
    pub(super) fn compare(&mut self, symbol: &str, left: Planned, right: Planned) -> Result<HirScalar, Error> {
        match (left, right) {
            (Planned::Row(left), Planned::Row(right)) => self.compare_rows(symbol, left, right),
            (left, right) => {
                let (left, right, typ) = self.comparands(symbol, left, right)?;
                match self.of_now_alone(symbol, &left, &right, &typ)? {
                    Some(comparison) => Ok(comparison),
                    None => Ok(comparison_call(symbol, left, right, &typ)),
                }
            }
        }
    }

    /// Rows are equal if all fields are; of others, the first fields that are not equal decide.
    fn compare_rows(&mut self, symbol: &str, left: Vec<Planned>, right: Vec<Planned>) -> Result<HirScalar, Error> {
        if left.len() != right.len() {
            return Err(Error::new("42601", "unequal number of entries in row expressions"));
        }
        let mut pairs: Vec<(Planned, Planned)> = left.into_iter().zip(right).collect();
        match symbol {
            "=" | "<>" => {
                let tests = pairs.into_iter().map(|(left, right)| self.compare(symbol, left, right));
                let tests = tests.collect::<Result<Vec<_>, _>>()?;
                Ok(if symbol == "=" { HirScalar::And(tests) } else { HirScalar::Or(tests) })
            }
            _ => {
                let Some((left, right)) = pairs.pop() else {
                    return Err(Error::new("0A000", "cannot compare rows of zero length"));
                };
                let strict = &symbol[..1];
                let mut test = self.compare(symbol, left, right)?;
                for (left, right) in pairs.into_iter().rev() {
                    let decided = self.compare(strict, left.clone(), right.clone())?;
                    let equal = self.compare("=", left, right)?;
                    test = HirScalar::Or(vec![decided, HirScalar::And(vec![equal, test])]);
                }
                Ok(test)
            }
        }
    }

    /// Both operands as the type in which they are compared.
    pub(super) fn comparands(
        &mut self,
        symbol: &str,
        left: Planned,
        right: Planned,
    ) -> Result<(HirScalar, HirScalar, ScalarType), Error> {
        let (left, right) = match (left, right) {
            (row @ Planned::Row(_), other) => {
                let (scalar, typ) = self.settle(row)?;
                (Planned::typed(scalar, typ), other)
            }
            both => both,
        };
        let right = match right {
            row @ Planned::Row(_) => {
                let (scalar, typ) = self.settle(row)?;
                Planned::typed(scalar, typ)
            }
            other => other,
        };
        let (left, right) = match (left.known_type(), right.known_type()) {
            // Compared as char(n), whose blanks at the end do not count.
            (Some(ScalarType::Varchar(_)), Some(ScalarType::Char(_))) => (self.without_blanks(left)?, right),
            (Some(ScalarType::Char(_)), Some(ScalarType::Varchar(_))) => (left, self.without_blanks(right)?),
            _ => (left, right),
        };
        let typ = match (left.known_type(), right.known_type()) {
            (Some(left), Some(right)) => types::comparable(left, right),
            (Some(known), None) | (None, Some(known)) => types::comparable(known, known),
            (None, None) => Some(ScalarType::Text),
        };
        let Some(typ) = typ else {
            return Err(no_operator(symbol, &[left.shown_type(), right.shown_type()]));
        };
        if typ == ScalarType::Char(None) {
            return Ok((self.bare_text(left)?, self.bare_text(right)?, ScalarType::Text));
        }
        let missing = no_operator(symbol, &[left.shown_type(), right.shown_type()]);
        let mut both = Vec::with_capacity(2);
        for side in [left, right] {
            // What is compared with mz_now() may need a cast that nothing else would get by itself.
            let explicit = typ == ScalarType::MzTimestamp || matches!(typ, ScalarType::Record(_));
            both.push(match side.known_type() {
                Some(from) if !types::implicitly_castable(from, &typ) => {
                    match explicit_or(self, side, &typ, explicit) {
                        Some(scalar) => scalar,
                        None => return Err(missing),
                    }
                }
                _ => self.coerce_resolved(side, &typ)?,
            });
        }
        let right = both.pop().expect("two operands");
        let left = both.pop().expect("two operands");
        Ok((left, right, typ))
    }

    /// A `char(n)` or `bpchar` as the text without blanks at its end, as which it is compared. Of a `char(n)` that is what is
    /// stored.
    fn bare_text(&mut self, operand: Planned) -> Result<HirScalar, Error> {
        match operand {
            Planned::Typed { scalar, typ: ScalarType::Char(Some(_)) } => Ok(scalar),
            other => {
                let bpchar = ScalarType::Char(None);
                let scalar = self.coerce_resolved(other, &bpchar)?;
                fold(comparison_key::of(scalar, &bpchar))
            }
        }
    }

    fn without_blanks(&mut self, value: Planned) -> Result<Planned, Error> {
        let blank = HirScalar::literal(repr::Datum::Text(" "), ScalarType::Text);
        self.named_call("rtrim", vec![value, Planned::typed(blank, ScalarType::Text)])
    }

    /// An operator resolved by its operands' types.
    pub(super) fn operator(&mut self, symbol: &str, mut operands: Vec<Planned>) -> Result<Planned, Error> {
        if matches!(symbol, "~~" | "~~*" | "!~~" | "!~~*" | "~" | "~*" | "!~" | "!~*") && operands.len() == 2 {
            operands[0] = padded(operands[0].clone());
        }
        let mut candidates = operators(symbol, operands.len());
        let mut operands = self.settle_rows(operands)?;
        if meets_real(symbol, &operands) {
            let wide = operands.into_iter().map(|operand| {
                Ok(Planned::typed(self.coerce_resolved(operand, &ScalarType::Float8)?, ScalarType::Float8))
            });
            operands = wide.collect::<Result<_, Error>>()?;
        }
        let known: Vec<Option<ScalarType>> = operands.iter().map(|operand| operand.known_type().cloned()).collect();
        if symbol == "||" {
            candidates.retain(|func| !takes_many_as_text(func, &known));
        }
        let signatures: Vec<Signature<'_>> = candidates.iter().map(|func| Signature::of(func)).collect();
        match resolve(&signatures, &known) {
            Resolution::One(index, _)
                if candidates[index].args.contains(&ArgType::Any) && operands.iter().any(casts_to_text) =>
            {
                let operands = self.cast_to_text(operands)?;
                self.operator(symbol, operands)
            }
            Resolution::One(index, types) => self.call(candidates[index], operands, types),
            Resolution::None => {
                let shown: Vec<String> = operands.iter().map(Planned::shown_type).collect();
                Err(no_operator(symbol, &shown))
            }
            Resolution::Ambiguous => {
                let shown: Vec<String> = operands.iter().map(Planned::shown_type).collect();
                Err(Error::new("42725", format!("operator is not unique: {}", operator_shown(symbol, &shown)))
                    .with_hint(
                        "Could not choose a best candidate operator. You might need to add explicit type casts.",
                    ))
            }
        }
    }

    fn cast_to_text(&mut self, operands: Vec<Planned>) -> Result<Vec<Planned>, Error> {
        let cast = |operand: Planned| match casts_to_text(&operand) {
            true => Ok(Planned::typed(self.coerce_explicit(operand, &ScalarType::Text)?, ScalarType::Text)),
            false => Ok(operand),
        };
        operands.into_iter().map(cast).collect()
    }

    pub(super) fn settle_rows(&mut self, operands: Vec<Planned>) -> Result<Vec<Planned>, Error> {
        operands
            .into_iter()
            .map(|operand| match operand {
                row @ Planned::Row(_) => {
                    let (scalar, typ) = self.settle(row)?;
                    Ok(Planned::typed(scalar, typ))
                }
                other => Ok(other),
            })
            .collect()
    }

    /// The call of a resolved function.
    pub(super) fn call(&mut self, func: Func, args: Vec<Planned>, types: Vec<ScalarType>) -> Result<Planned, Error> {
        self.check_volatility(func)?;
        let mut scalars = Vec::with_capacity(args.len());
        let mut arg_types = Vec::with_capacity(args.len());
        let signature = Signature::of(&func);
        for (index, (arg, typ)) in args.into_iter().zip(types).enumerate() {
            // A polymorphic function sees the type with its modifier: what it prints or compares may depend on it.
            let declared = signature.args.get(index).copied().or(signature.variadic);
            let keeps = declared.is_some_and(|declared| declared.concrete().is_none());
            let typ = match arg.known_type() {
                Some(known) if !keeps && types::same_base(known, &typ) => types::base(&typ),
                _ => typ,
            };
            scalars.push(self.coerce_resolved(arg, &typ)?);
            arg_types.push(typ);
        }
        let ret = return_type(&func, &arg_types);
        Ok(Planned::typed(HirScalar::call(func, scalars, arg_types, ret.clone()), ret))
    }

    /// LIKE and ILIKE with their ESCAPE.
    pub(super) fn like(
        &mut self,
        symbol: &str,
        negated: bool,
        inner: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
    ) -> Result<Planned, Error> {
        let left = self.expression(inner)?;
        let mut right = self.expression(pattern)?;
        if let Some(escape) = escape {
            let escape_planned = self.expression(escape)?;
            right =
                self.named_call("like_escape", vec![right, escape_planned]).map_err(|error| error.at_node(escape))?;
        }
        let matched = self.operator(symbol, vec![left, right]).map_err(|error| error.at_node(inner))?;
        let scalar = self.coerce_bool(matched, "argument of NOT")?;
        Ok(Planned::bool(if negated { scalar.not() } else { scalar }))
    }

    /// The call of the function of this name that the arguments select.
    pub(super) fn named_call(&mut self, name: &str, args: Vec<Planned>) -> Result<Planned, Error> {
        let candidates = functions(name);
        let args = self.settle_rows(args)?;
        let known: Vec<Option<ScalarType>> = args.iter().map(|arg| arg.known_type().cloned()).collect();
        let signatures: Vec<Signature<'_>> = candidates.iter().map(|func| Signature::of(func)).collect();
        match resolve(&signatures, &known) {
            Resolution::One(index, types) => self.call(candidates[index], args, types),
            Resolution::None => Err(super::function::no_function(name, &args)),
            Resolution::Ambiguous => Err(super::function::ambiguous_function(name, &args)),
        }
    }
}

/// A `char(n)` as text with its blanks, which patterns are to see; anything else as it is.
pub(super) fn padded(operand: Planned) -> Planned {
    match operand {
        Planned::Typed { scalar, typ: typ @ ScalarType::Char(_) } => {
            let func = by_key("padded").expect("in the table of casts");
            Planned::typed(HirScalar::call(func, vec![scalar], vec![typ], ScalarType::Text), ScalarType::Text)
        }
        other => other,
    }
}

/// True for what its cast to text writes otherwise than its output does. `||` with a text casts.
fn casts_to_text(operand: &Planned) -> bool {
    matches!(operand.known_type(), Some(ScalarType::Bool | ScalarType::Char(_)))
}

/// True for arithmetic of a real and a number that is no float: PostgreSQL prefers double precision for what needs a cast.
fn meets_real(symbol: &str, operands: &[Planned]) -> bool {
    let is_real = |operand: &Planned| operand.known_type() == Some(&ScalarType::Float4);
    let is_exact = |operand: &Planned| {
        let exact = |typ: &ScalarType| types::category(typ) == types::Category::Number;
        operand.known_type().is_some_and(|typ| exact(typ) && !matches!(typ, ScalarType::Float4 | ScalarType::Float8))
    };
    matches!(symbol, "+" | "-" | "*" | "/")
        && matches!(operands, [left, right] if is_real(left) && is_exact(right) || is_exact(left) && is_real(right))
}

/// True for the concatenation with a text if an operand is an array, list or map: those have concatenations of their own.
fn takes_many_as_text(func: &Func, known: &[Option<ScalarType>]) -> bool {
    let many = |typ: &ScalarType| matches!(typ, ScalarType::Array(_) | ScalarType::List(_) | ScalarType::Map(_));
    func.args.iter().zip(known).any(|(arg, known)| *arg == ArgType::Any && known.as_ref().is_some_and(many))
}

fn explicit_or(qcx: &mut QueryContext<'_>, side: Planned, typ: &ScalarType, explicit: bool) -> Option<HirScalar> {
    if explicit { qcx.coerce_explicit(side, typ).ok() } else { None }
}

/// The comparison of two values of type `typ`, through their keys where the type has intervals.
pub(super) fn comparison_call(symbol: &str, left: HirScalar, right: HirScalar, typ: &ScalarType) -> HirScalar {
    let func = comparison(symbol).expect("one of the six comparisons");
    let args = vec![comparison_key::of(left, typ), comparison_key::of(right, typ)];
    HirScalar::call(func, args, vec![typ.clone(), typ.clone()], ScalarType::Bool)
}

/// The operator's symbol; `OPERATOR(pg_catalog.x)` is `x`.
pub(super) fn symbol(op: &BinaryOperator) -> Result<String, Error> {
    Ok(match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => match &parts[..] {
            [symbol] => symbol.clone(),
            [schema, symbol] if schema.eq_ignore_ascii_case("pg_catalog") => symbol.clone(),
            _ => return Err(Error::new("42883", format!("operator does not exist: {}", parts.join(".")))),
        },
        BinaryOperator::NotEq => "<>".to_owned(),
        BinaryOperator::BitwiseXor | BinaryOperator::PGBitwiseXor => op.to_string(),
        other => other.to_string(),
    })
}

fn is_string(planned: &Planned) -> bool {
    planned.known_type().is_some_and(types::is_string)
}

fn is_array(planned: &Planned) -> bool {
    matches!(planned.known_type(), Some(ScalarType::Array(_)))
}

fn operator_shown(symbol: &str, operands: &[String]) -> String {
    match operands {
        [left, right] => format!("{left} {symbol} {right}"),
        [only] => format!("{symbol} {only}"),
        _ => symbol.to_owned(),
    }
}

pub(super) fn no_operator(symbol: &str, operands: &[String]) -> Error {
    Error::new("42883", format!("operator does not exist: {}", operator_shown(symbol, operands)))
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}
