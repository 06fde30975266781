//! What the predicates of an MFP say of single columns: which rows it will drop for sure, without evaluating anything.
//!
//! Law: a row outside the bounds makes some predicate false or NULL, and so is neither output nor an error, whatever the other
//! predicates make of it.

use repr::{Bounds, ColumnBounds, Kind};

use super::Mfp;
use crate::func::{self, FuncKind};
use crate::scalar::Scalar;

impl Mfp {
    /// Bounds on the input columns, from comparisons with literals, IS NULL, and AND and OR of these.
    pub fn bounds(&self) -> Bounds {
        self.predicates.iter().fold(Bounds::default(), |bounds, predicate| bounds.and(self.bounds_of(predicate)))
    }

    fn bounds_of(&self, predicate: &Scalar) -> Bounds {
        match predicate {
            Scalar::And(args) => args.iter().fold(Bounds::default(), |bounds, arg| bounds.and(self.bounds_of(arg))),
            Scalar::Or(args) => {
                let each = args.iter().map(|arg| self.bounds_of(arg));
                each.reduce(Bounds::or).unwrap_or_default()
            }
            Scalar::IsNull(arg) => self.on(arg, ColumnBounds::null()),
            Scalar::Not(arg) => match &**arg {
                Scalar::IsNull(arg) => self.on(arg, ColumnBounds::range(None, None)),
                _ => Bounds::default(),
            },
            Scalar::Call { func, args, .. } if func::comparison(func.name) == Some(*func) => match &args[..] {
                [left, Scalar::Literal(Ok(row), typ)] => self.compared(left, func.name, row.as_bytes(), typ.kind()),
                [Scalar::Literal(Ok(row), typ), right] => {
                    self.compared(right, mirrored(func.name), row.as_bytes(), typ.kind())
                }
                _ => Bounds::default(),
            },
            _ => Bounds::default(),
        }
    }

    /// The input column that an expression is, with its kind, if that is one that compares by its bytes.
    fn column(&self, scalar: &Scalar) -> Option<(usize, Kind)> {
        match scalar {
            Scalar::Column(index) => {
                let kind = *self.input_kinds.get(*index)?;
                kind.is_compared_by_bytes().then_some((*index, kind))
            }
            // Integers of all widths are packed alike, so a widening cast changes nothing.
            Scalar::Call { func, args, types }
                if func.kind == FuncKind::Cast
                    && !func.fallible
                    && types.args.len() == 1
                    && types.args[0].kind() == Kind::Int
                    && types.ret.kind() == Kind::Int =>
            {
                self.column(&args[0])
            }
            _ => None,
        }
    }

    fn on(&self, scalar: &Scalar, bounds: ColumnBounds) -> Bounds {
        self.column(scalar).map_or_else(Bounds::default, |(column, _)| Bounds::on(column, bounds))
    }

    fn compared(&self, scalar: &Scalar, symbol: &str, literal: &[u8], kind: Kind) -> Bounds {
        if self.column(scalar).is_none_or(|(_, found)| found != kind) {
            return Bounds::default();
        }
        // A comparison with NULL is never true.
        if literal == [0xFF] {
            return self.on(scalar, ColumnBounds::default());
        }
        let bounds = match symbol {
            "=" => ColumnBounds::range(Some(literal), Some(literal)),
            "<" | "<=" => ColumnBounds::range(None, Some(literal)),
            ">" | ">=" => ColumnBounds::range(Some(literal), None),
            _ => ColumnBounds::range(None, None),
        };
        self.on(scalar, bounds)
    }
}

fn mirrored(symbol: &str) -> &str {
    match symbol {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}
