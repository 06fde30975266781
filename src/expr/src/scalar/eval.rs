//! Evaluation of scalar expressions.
//!
//! Laws: all arguments of a call are evaluated, in order, before it is seen whether one is NULL, but in a strict call a
//! constant NULL wins over errors of other arguments, as in PostgreSQL, which folds such a call before it has seen a row;
//! AND and OR give false and true over NULL and over errors; CASE and COALESCE evaluate only what they return.

use repr::{Arena, Datum};
use smallvec::SmallVec;

use super::{Scalar, with_stack};
use crate::error::EvalError;

/// Where the values of columns come from.
pub(crate) trait Columns<'a> {
    fn column(&mut self, index: usize) -> Result<Datum<'a>, EvalError>;
}

impl<'a> Columns<'a> for &[Datum<'a>] {
    fn column(&mut self, index: usize) -> Result<Datum<'a>, EvalError> {
        Ok(self[index])
    }
}

impl Scalar {
    /// Evaluates the expression over the columns `datums`.
    ///
    /// Errors: those of functions; XX000 for `mz_now()`, which only a temporal filter can evaluate.
    pub fn eval<'a>(&'a self, datums: &[Datum<'a>], arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
        let mut columns = datums;
        eval_with(self, &mut columns, arena)
    }
}

pub(crate) fn eval_with<'a, C: Columns<'a>>(
    scalar: &'a Scalar,
    columns: &mut C,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    match scalar {
        Scalar::Column(index) => columns.column(*index),
        Scalar::Literal(Ok(row), typ) => Ok(row.unpack_first(typ.kind())),
        Scalar::Literal(Err(error), _) => Err(error.clone()),
        Scalar::MzNow => Err(EvalError::new("XX000", "mz_now() must be bound before it is evaluated")),
        _ => with_stack(|| eval_node(scalar, columns, arena)),
    }
}

fn eval_node<'a, C: Columns<'a>>(
    scalar: &'a Scalar,
    columns: &mut C,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    match scalar {
        Scalar::Call { func, args, types } => {
            let mut values: SmallVec<[Datum<'a>; 4]> = SmallVec::with_capacity(args.len());
            for (position, arg) in args.iter().enumerate() {
                match eval_with(arg, columns, arena) {
                    Ok(value) => values.push(value),
                    Err(_) if func.strict && has_constant_null(args, &values, position, arena) => {
                        return Ok(Datum::Null);
                    }
                    Err(error) => return Err(error),
                }
            }
            if func.strict && values.iter().any(Datum::is_null) {
                return Ok(Datum::Null);
            }
            (func.body)(&values, types, arena)
        }
        Scalar::And(args) => eval_junction(args, false, columns, arena),
        Scalar::Or(args) => eval_junction(args, true, columns, arena),
        Scalar::If { cond, then, els } => match eval_with(cond, columns, arena)? {
            Datum::Bool(true) => eval_with(then, columns, arena),
            _ => eval_with(els, columns, arena),
        },
        Scalar::Coalesce(args) => {
            for arg in args {
                let value = eval_with(arg, columns, arena)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Ok(Datum::Null)
        }
        Scalar::IsNull(inner) => Ok(Datum::Bool(eval_with(inner, columns, arena)?.is_null())),
        Scalar::Not(inner) => Ok(match eval_with(inner, columns, arena)? {
            Datum::Null => Datum::Null,
            value => Datum::Bool(!value.unwrap_bool()),
        }),
        Scalar::Column(_) | Scalar::Literal(..) | Scalar::MzNow => eval_with(scalar, columns, arena),
    }
}

/// Whether one of the arguments around the one at `failed` is NULL for every row. Those before it have been evaluated.
fn has_constant_null<'a>(args: &'a [Scalar], before: &[Datum<'a>], failed: usize, arena: &'a Arena) -> bool {
    let null_before = args.iter().zip(before).any(|(arg, value)| value.is_null() && arg.is_constant());
    null_before || args[failed + 1..].iter().any(|arg| arg.is_constant() && arg.eval(&[], arena) == Ok(Datum::Null))
}

/// AND (`decisive` = false) or OR (`decisive` = true): the decisive value wins, then the first error, then NULL.
fn eval_junction<'a, C: Columns<'a>>(
    args: &'a [Scalar],
    decisive: bool,
    columns: &mut C,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let mut error = None;
    let mut null = false;
    for arg in args {
        match eval_with(arg, columns, arena) {
            Ok(Datum::Null) => null = true,
            Ok(value) if value.unwrap_bool() == decisive => return Ok(value),
            Ok(_) => {}
            Err(found) => error = error.or(Some(found)),
        }
    }
    match error {
        Some(error) => Err(error),
        None if null => Ok(Datum::Null),
        None => Ok(Datum::Bool(!decisive)),
    }
}
