//! Scalar expressions over the columns of one row.
//!
//! Here are the types, what can be asked of an expression, and walks; evaluation, simplification and display are below.

mod display;
mod eval;
mod reduce;

use std::collections::BTreeSet;
use std::sync::Arc;

use repr::{ColumnType, Datum, Row, ScalarType, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::display::ScalarDisplay;
pub(crate) use self::eval::{Columns, eval_with};
pub use repr::pg_type::sql_name as type_name;

use crate::error::EvalError;
use crate::func::{self, Func};

/// Stack that must be left before a recursive walk takes a new segment, and the size of that segment.
const STACK_RED_ZONE_BYTES: usize = 128 << 10;
const STACK_SEGMENT_BYTES: usize = 2 << 20;

/// Runs one step of a recursive walk with enough stack.
pub(crate) fn with_stack<R>(step: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_SEGMENT_BYTES, step)
}

/// A scalar expression. Columns are indexes into the input row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    Column(usize),
    /// One packed datum, or the error that folding gave.
    Literal(Result<Row, EvalError>, ColumnType),
    /// The time of the row's update, as mz_timestamp. Legal in filters; folded to the read time in one-off queries.
    MzNow,
    /// A function call; `types` is fixed when the call is made.
    Call {
        func: Func,
        args: Vec<Scalar>,
        types: Arc<CallTypes>,
    },
    /// Three-valued AND: false wins over errors and NULL. Empty: true.
    And(Vec<Scalar>),
    /// Three-valued OR: true wins over errors and NULL. Empty: false.
    Or(Vec<Scalar>),
    /// Evaluates only the branch taken. NULL counts as false.
    If {
        cond: Box<Scalar>,
        then: Box<Scalar>,
        els: Box<Scalar>,
    },
    /// The first argument that is not NULL; later ones are not evaluated.
    Coalesce(Vec<Scalar>),
    IsNull(Box<Scalar>),
    Not(Box<Scalar>),
}

/// The resolved SQL types of a call: functions with polymorphic arguments look here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallTypes {
    pub args: Vec<ScalarType>,
    pub ret: ScalarType,
}

impl Scalar {
    pub fn literal(datum: Datum<'_>, scalar: ScalarType) -> Scalar {
        let typ = ColumnType { scalar, nullable: datum.is_null() };
        Scalar::Literal(Ok(Row::pack([datum])), typ)
    }

    pub fn null(scalar: ScalarType) -> Scalar {
        Scalar::literal(Datum::Null, scalar)
    }

    pub fn literal_true() -> Scalar {
        Scalar::literal(Datum::TRUE, ScalarType::Bool)
    }

    pub fn literal_false() -> Scalar {
        Scalar::literal(Datum::FALSE, ScalarType::Bool)
    }

    pub fn is_literal_true(&self) -> bool {
        *self == Scalar::literal_true()
    }

    pub fn is_literal(&self) -> bool {
        matches!(self, Scalar::Literal(..))
    }

    /// A call of a resolved function.
    pub fn call(func: Func, args: Vec<Scalar>, arg_types: Vec<ScalarType>, ret: ScalarType) -> Scalar {
        Scalar::Call { func, args, types: Arc::new(CallTypes { args: arg_types, ret }) }
    }

    #[must_use]
    pub fn is_null(self) -> Scalar {
        Scalar::IsNull(Box::new(self))
    }

    /// The negation: named as SQL names it, like the variant.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Scalar {
        Scalar::Not(Box::new(self))
    }

    /// A literal, or the error that folding gave, from a result of evaluation.
    pub fn literal_result(result: Result<Datum<'_>, EvalError>, scalar: ScalarType) -> Scalar {
        match result {
            Ok(datum) => Scalar::literal(datum, scalar),
            Err(error) => Scalar::Literal(Err(error), ColumnType { scalar, nullable: false }),
        }
    }

    /// `left symbol right` for one of the six comparisons of two values of type `typ`. Panics on another symbol.
    pub fn compare(symbol: &str, left: Scalar, right: Scalar, typ: ScalarType) -> Scalar {
        let func = func::comparison(symbol).expect("one of the six comparison symbols");
        Scalar::call(func, vec![left, right], vec![typ.clone(), typ], ScalarType::Bool)
    }

    /// The conjunction; of one expression that expression, of none `true`.
    pub fn and_all(mut conjuncts: Vec<Scalar>) -> Scalar {
        if conjuncts.len() == 1 { conjuncts.remove(0) } else { Scalar::And(conjuncts) }
    }

    pub fn is_literal_false(&self) -> bool {
        matches!(self.as_literal(), Some(Ok(Datum::Bool(false))))
    }

    pub fn is_literal_null(&self) -> bool {
        matches!(self.as_literal(), Some(Ok(Datum::Null)))
    }

    pub fn is_literal_ok(&self) -> bool {
        matches!(self, Scalar::Literal(Ok(_), _))
    }

    pub fn is_literal_err(&self) -> bool {
        matches!(self, Scalar::Literal(Err(_), _))
    }

    /// The value or error of a literal.
    pub fn as_literal(&self) -> Option<Result<Datum<'_>, &EvalError>> {
        match self {
            Scalar::Literal(Ok(row), typ) => Some(Ok(row.unpack_first(typ.kind()))),
            Scalar::Literal(Err(error), _) => Some(Err(error)),
            _ => None,
        }
    }

    /// The type of the expression over columns of the types `input`.
    pub fn typ(&self, input: &[ColumnType]) -> ColumnType {
        with_stack(|| match self {
            Scalar::Column(index) => input[*index].clone(),
            Scalar::Literal(_, typ) => typ.clone(),
            Scalar::MzNow => ScalarType::MzTimestamp.not_null(),
            Scalar::Call { func, args, types } => {
                let nullable = func.nullable || args.iter().any(|arg| arg.nullable(input));
                ColumnType { scalar: types.ret.clone(), nullable }
            }
            Scalar::If { then, els, .. } => {
                let then = then.typ(input);
                let nullable = then.nullable || els.nullable(input);
                ColumnType { scalar: then.scalar, nullable }
            }
            Scalar::Coalesce(args) => {
                let scalar = args.first().map_or(ScalarType::Text, |first| first.typ(input).scalar);
                ColumnType { scalar, nullable: self.nullable(input) }
            }
            Scalar::And(_) | Scalar::Or(_) | Scalar::IsNull(_) | Scalar::Not(_) => {
                ColumnType { scalar: ScalarType::Bool, nullable: self.nullable(input) }
            }
        })
    }

    /// True if the expression may be NULL over columns of the types `input`.
    pub fn nullable(&self, input: &[ColumnType]) -> bool {
        with_stack(|| match self {
            Scalar::Column(index) => input[*index].nullable,
            Scalar::Literal(_, typ) => typ.nullable,
            Scalar::MzNow | Scalar::IsNull(_) => false,
            Scalar::Call { func, args, .. } => func.nullable || args.iter().any(|arg| arg.nullable(input)),
            Scalar::And(args) | Scalar::Or(args) => args.iter().any(|arg| arg.nullable(input)),
            Scalar::If { then, els, .. } => then.nullable(input) || els.nullable(input),
            Scalar::Coalesce(args) => args.iter().all(|arg| arg.nullable(input)),
            Scalar::Not(inner) => inner.nullable(input),
        })
    }

    /// True if evaluation may return an error.
    pub fn could_error(&self) -> bool {
        self.any(|scalar| match scalar {
            Scalar::Literal(value, _) => value.is_err(),
            Scalar::Call { func, args, .. } => func.fallible && !has_safe_literal(*func, args),
            _ => false,
        })
    }

    pub fn contains_mz_now(&self) -> bool {
        self.any(|scalar| matches!(scalar, Scalar::MzNow))
    }

    /// True if all calls are of immutable functions and there is no `mz_now()`: equal columns give equal results.
    pub fn is_deterministic(&self) -> bool {
        !self.any(|scalar| match scalar {
            Scalar::MzNow => true,
            Scalar::Call { func, .. } => func.volatility != func::Volatility::Immutable,
            _ => false,
        })
    }

    /// True if the expression is the same for every row: it can be evaluated without any.
    pub(crate) fn is_constant(&self) -> bool {
        self.is_deterministic() && !self.any(|scalar| matches!(scalar, Scalar::Column(_)))
    }

    /// True if any node satisfies `test`.
    pub fn any(&self, mut test: impl FnMut(&Scalar) -> bool) -> bool {
        let mut pending = vec![self];
        while let Some(scalar) = pending.pop() {
            if test(scalar) {
                return true;
            }
            pending.extend(scalar.children());
        }
        false
    }

    /// The columns used.
    pub fn support(&self) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        self.support_into(&mut columns);
        columns
    }

    /// Adds the columns used to `columns`.
    pub fn support_into(&self, columns: &mut BTreeSet<usize>) {
        self.visit_pre(&mut |scalar| {
            if let Scalar::Column(index) = scalar {
                columns.insert(*index);
            }
        });
    }

    /// The number of nodes.
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.visit_pre(&mut |_| size += 1);
        size
    }

    /// The direct operands, in the order of evaluation.
    pub fn children(&self) -> Vec<&Scalar> {
        match self {
            Scalar::Column(_) | Scalar::Literal(..) | Scalar::MzNow => Vec::new(),
            Scalar::Call { args, .. } | Scalar::And(args) | Scalar::Or(args) | Scalar::Coalesce(args) => {
                args.iter().collect()
            }
            Scalar::If { cond, then, els } => vec![cond, then, els],
            Scalar::IsNull(inner) | Scalar::Not(inner) => vec![inner],
        }
    }

    /// The direct operands, in the order of evaluation.
    pub fn children_mut(&mut self) -> Vec<&mut Scalar> {
        match self {
            Scalar::Column(_) | Scalar::Literal(..) | Scalar::MzNow => Vec::new(),
            Scalar::Call { args, .. } | Scalar::And(args) | Scalar::Or(args) | Scalar::Coalesce(args) => {
                args.iter_mut().collect()
            }
            Scalar::If { cond, then, els } => vec![cond, then, els],
            Scalar::IsNull(inner) | Scalar::Not(inner) => vec![inner],
        }
    }

    /// Visits every node, each before its operands.
    pub fn visit_pre(&self, visit: &mut impl FnMut(&Scalar)) {
        let mut pending = vec![self];
        while let Some(scalar) = pending.pop() {
            visit(scalar);
            pending.extend(scalar.children().into_iter().rev());
        }
    }

    /// Visits every node, each after its operands.
    pub fn visit_post(&self, visit: &mut impl FnMut(&Scalar)) {
        // Nodes before operands, operands from right to left: the reverse of what is wanted.
        let mut reversed = Vec::new();
        let mut pending = vec![self];
        while let Some(scalar) = pending.pop() {
            reversed.push(scalar);
            pending.extend(scalar.children());
        }
        reversed.into_iter().rev().for_each(visit);
    }

    /// Visits every node, each before its operands as the visit left them.
    pub fn visit_mut_pre(&mut self, visit: &mut impl FnMut(&mut Scalar)) {
        let mut pending = vec![self];
        while let Some(scalar) = pending.pop() {
            visit(scalar);
            pending.extend(scalar.children_mut().into_iter().rev());
        }
    }

    /// Visits every node, each after its operands.
    pub fn visit_mut_post(&mut self, visit: &mut impl FnMut(&mut Scalar)) {
        with_stack(|| {
            for child in self.children_mut() {
                child.visit_mut_post(visit);
            }
            visit(self);
        });
    }

    /// Renumbers columns: column `i` becomes `map[i]`.
    pub fn permute(&mut self, map: &[usize]) {
        self.permute_by(|column| map[column]);
    }

    /// Renumbers columns by a function.
    pub fn permute_by(&mut self, map: impl Fn(usize) -> usize) {
        self.visit_mut_pre(&mut |scalar| {
            if let Scalar::Column(index) = scalar {
                *index = map(*index);
            }
        });
    }

    /// Puts `replacements[i]` in the place of column `i`.
    pub fn substitute(&mut self, replacements: &[Scalar]) {
        self.visit_mut_post(&mut |scalar| {
            if let Scalar::Column(index) = scalar {
                *scalar = replacements[*index].clone();
            }
        });
    }

    /// Puts `time` in the place of `mz_now()`. What `mz_now()` is compared with is clamped to the range of times, as it is
    /// in a temporal filter.
    pub fn bind_mz_now(&mut self, time: Timestamp) {
        self.visit_mut_pre(&mut |scalar| {
            crate::mfp::clamp_mz_now_bound(scalar);
            if matches!(scalar, Scalar::MzNow) {
                *scalar = Scalar::literal(Datum::UInt(time.millis()), ScalarType::MzTimestamp);
            }
        });
    }
}

/// True for calls that only some values of the second argument make fail, where it is a literal that is none of them.
fn has_safe_literal(func: Func, args: &[Scalar]) -> bool {
    let [_, second] = args else { return false };
    let Some(Ok(literal)) = second.as_literal() else { return false };
    match (func.key, literal) {
        // Only a lone backslash at the end of a pattern is an error.
        ("like" | "not_like" | "ilike" | "not_ilike", Datum::Text(pattern)) => !pattern.contains('\\'),
        // By zero, and the least number by -1.
        ("int2_div" | "int4_div" | "int8_div" | "int2_mod" | "int4_mod" | "int8_mod", Datum::Int(divisor)) => {
            divisor > 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
