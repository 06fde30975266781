//! Simplification of scalar expressions.
//!
//! Law: for every row the simplified expression gives the same value, or an error where the original gave one and never
//! elsewhere. An operand that could fail is therefore dropped only where evaluation would not have looked at it, or would
//! have overridden its error.

use repr::{Arena, ColumnType, Datum, ScalarType};

use super::Scalar;
use crate::func::{self, FuncKind, Volatility};

/// Results larger than this are computed each time instead of being carried in the plan.
const FOLDED_BYTES_MAX: usize = 1 << 20;

impl Scalar {
    /// Simplifies the expression over columns of the types `input`: folds constants, NULLs and boolean operators.
    pub fn reduce(&mut self, input: &[ColumnType]) {
        self.visit_mut_post(&mut |scalar| reduce_node(scalar, input));
    }

    fn take(&mut self) -> Scalar {
        std::mem::replace(self, Scalar::MzNow)
    }
}

fn reduce_node(scalar: &mut Scalar, input: &[ColumnType]) {
    match scalar {
        Scalar::Column(_) | Scalar::Literal(..) | Scalar::MzNow => {}
        Scalar::Call { .. } => reduce_call(scalar),
        Scalar::And(args) => {
            let args = std::mem::take(args);
            *scalar = reduce_junction(args, false);
        }
        Scalar::Or(args) => {
            let args = std::mem::take(args);
            *scalar = reduce_junction(args, true);
        }
        Scalar::If { .. } => reduce_if(scalar, input),
        Scalar::Coalesce(args) => {
            let args = std::mem::take(args);
            *scalar = reduce_coalesce(args, input);
        }
        Scalar::IsNull(inner) => {
            if let Some(folded) = fold_is_null(inner, input) {
                *scalar = folded;
            }
        }
        Scalar::Not(inner) => {
            if let Some(folded) = fold_not(inner) {
                *scalar = folded;
            }
        }
    }
}

fn reduce_call(scalar: &mut Scalar) {
    let Scalar::Call { func, args, types } = scalar else { return };
    // A NULL wins over errors of other arguments.
    if func.strict && args.iter().any(Scalar::is_literal_null) {
        *scalar = Scalar::null(types.ret.clone());
        return;
    }
    // The first argument that surely fails decides, unless one before it may fail otherwise.
    if let Some(position) = args.iter().position(Scalar::could_error)
        && let Scalar::Literal(Err(error), _) = &args[position]
    {
        *scalar = Scalar::literal_result(Err(error.clone()), types.ret.clone());
        return;
    }
    if func.volatility == Volatility::Immutable && args.iter().all(Scalar::is_literal) {
        fold(scalar);
    }
}

/// Replaces an expression without columns by its value.
fn fold(scalar: &mut Scalar) {
    let arena = Arena::new();
    let folded = Scalar::literal_result(scalar.eval(&[], &arena), scalar.typ(&[]).scalar);
    let too_large = matches!(&folded, Scalar::Literal(Ok(row), _) if row.len_bytes() > FOLDED_BYTES_MAX);
    if !too_large {
        *scalar = folded;
    }
}

/// Simplifies AND (`decisive` = false) or OR (`decisive` = true).
fn reduce_junction(args: Vec<Scalar>, decisive: bool) -> Scalar {
    let mut kept: Vec<Scalar> = Vec::new();
    let mut add = |arg: Scalar| {
        let neutral = matches!(arg.as_literal(), Some(Ok(Datum::Bool(value))) if value != decisive);
        if !neutral && !kept.contains(&arg) {
            kept.push(arg);
        }
    };
    for arg in args {
        match arg {
            Scalar::And(inner) if !decisive => inner.into_iter().for_each(&mut add),
            Scalar::Or(inner) if decisive => inner.into_iter().for_each(&mut add),
            other => add(other),
        }
    }
    // The decisive value wins over errors and NULLs of all others.
    if kept.iter().any(|arg| matches!(arg.as_literal(), Some(Ok(Datum::Bool(value))) if value == decisive)) {
        return Scalar::literal(Datum::Bool(decisive), ScalarType::Bool);
    }
    match kept.len() {
        0 => Scalar::literal(Datum::Bool(!decisive), ScalarType::Bool),
        1 => kept.remove(0),
        _ => {
            let all_literal = kept.iter().all(Scalar::is_literal);
            let mut junction = if decisive { Scalar::Or(kept) } else { Scalar::And(kept) };
            if all_literal {
                fold(&mut junction);
            }
            junction
        }
    }
}

fn reduce_if(scalar: &mut Scalar, input: &[ColumnType]) {
    let Scalar::If { cond, then, els } = scalar else { return };
    let folded = match cond.as_literal() {
        Some(Ok(Datum::Bool(true))) => Some(then.take()),
        Some(Ok(_)) => Some(els.take()),
        Some(Err(error)) => Some(Scalar::literal_result(Err(error.clone()), then.typ(input).scalar)),
        None if then == els && !cond.could_error() => Some(then.take()),
        None if then.is_literal_true() && els.is_literal_false() && !cond.nullable(input) => Some(cond.take()),
        None => None,
    };
    if let Some(folded) = folded {
        *scalar = folded;
    }
}

fn reduce_coalesce(args: Vec<Scalar>, input: &[ColumnType]) -> Scalar {
    let scalar_type = args.first().map_or(ScalarType::Text, |first| first.typ(input).scalar);
    let flat = args.into_iter().flat_map(|arg| match arg {
        Scalar::Coalesce(inner) => inner,
        other => vec![other],
    });
    let mut kept: Vec<Scalar> = Vec::new();
    for arg in flat {
        if arg.is_literal_null() || kept.contains(&arg) {
            continue;
        }
        // Nothing behind a value that is never NULL, or always an error, is evaluated.
        let last = arg.is_literal() || !arg.nullable(input);
        kept.push(arg);
        if last {
            break;
        }
    }
    match kept.len() {
        0 => Scalar::null(scalar_type),
        1 => kept.remove(0),
        _ => Scalar::Coalesce(kept),
    }
}

fn fold_is_null(inner: &Scalar, input: &[ColumnType]) -> Option<Scalar> {
    match inner.as_literal() {
        Some(Ok(datum)) => Some(Scalar::literal(Datum::Bool(datum.is_null()), ScalarType::Bool)),
        Some(Err(error)) => Some(Scalar::literal_result(Err(error.clone()), ScalarType::Bool)),
        None if !inner.nullable(input) && !inner.could_error() => Some(Scalar::literal_false()),
        None => None,
    }
}

fn fold_not(inner: &mut Scalar) -> Option<Scalar> {
    match inner {
        Scalar::Literal(..) => {
            let mut not = inner.take().not();
            fold(&mut not);
            Some(not)
        }
        Scalar::Not(twice) => Some(twice.take()),
        Scalar::Or(args) => {
            let negated = std::mem::take(args).into_iter().map(|arg| {
                let mut not = arg.not();
                if let Scalar::Not(inner) = &mut not
                    && let Some(folded) = fold_not(inner)
                {
                    not = folded;
                }
                not
            });
            Some(Scalar::And(negated.collect()))
        }
        Scalar::Call { func, args, types } if func.kind == FuncKind::Operator => {
            let negated = func::negated_comparison(*func)?;
            Some(Scalar::Call { func: negated, args: std::mem::take(args), types: types.clone() })
        }
        _ => None,
    }
}
