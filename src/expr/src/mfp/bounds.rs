//! What the predicates of an MFP say of single expressions: which rows it will drop for sure, without evaluating anything.
//!
//! Law: a row outside the bounds makes some predicate false or NULL, and so is neither output nor an error, whatever the other
//! predicates make of it.

use repr::{Bounds, ColumnBounds, Kind, ScalarType};

use super::Mfp;
use crate::cast::argument_bounds;
use crate::func::{self, FuncKind};
use crate::scalar::Scalar;

/// Packed NULL, true and false.
const NULL: &[u8] = &[0xFF];
const TRUE: &[u8] = &[0x03];
const FALSE: &[u8] = &[0x02];

impl Mfp {
    /// Bounds on the input columns whose kind compares by bytes, from comparisons with literals, IS NULL, LIKE, and AND and
    /// OR of these.
    pub fn bounds(&self) -> Bounds {
        let place = |scalar: &Scalar, kind: Option<Kind>| match scalar {
            Scalar::Column(index) => {
                let found = *self.input_kinds.get(*index)?;
                (found.is_compared_by_bytes() && kind.is_none_or(|kind| kind == found)).then_some(*index)
            }
            _ => None,
        };
        Finder { place: &place }.all(&self.predicates)
    }

    /// Bounds on the values of `key`, expressions over the input columns; numbered by their places in it.
    pub fn bounds_on(&self, key: &[Scalar]) -> Bounds {
        let place = |scalar: &Scalar, _: Option<Kind>| key.iter().position(|column| column == scalar);
        let finder = Finder { place: &place };
        if self.expressions.is_empty() {
            return finder.all(&self.predicates);
        }
        let columns = self.expanded_columns();
        let expanded = self.predicates.iter().map(|predicate| {
            let mut predicate = predicate.clone();
            predicate.substitute(&columns);
            predicate
        });
        finder.all(&expanded.collect::<Vec<_>>())
    }

    /// The input columns and the expressions, all over the input columns alone.
    fn expanded_columns(&self) -> Vec<Scalar> {
        let mut columns: Vec<Scalar> = (0..self.input_arity()).map(Scalar::Column).collect();
        for expression in &self.expressions {
            let mut expanded = expression.clone();
            expanded.substitute(&columns);
            columns.push(expanded);
        }
        columns
    }
}

/// Finds bounds on expressions that have a place. They are told by the place's number.
struct Finder<'a> {
    /// The place of an expression, of values of this kind if it is known.
    place: &'a dyn Fn(&Scalar, Option<Kind>) -> Option<usize>,
}

impl Finder<'_> {
    /// Of predicates all of which must hold: a row that one of them drops does not fail.
    fn all(&self, predicates: &[Scalar]) -> Bounds {
        predicates.iter().fold(Bounds::default(), |bounds, predicate| bounds.and(self.of(predicate)))
    }

    fn of(&self, predicate: &Scalar) -> Bounds {
        match predicate {
            Scalar::And(args) => self.of_and(args),
            Scalar::Or(args) => {
                let each = args.iter().map(|arg| self.of(arg));
                each.reduce(Bounds::or).unwrap_or_default()
            }
            Scalar::IsNull(arg) => self.on(arg, ColumnBounds::null(), None),
            Scalar::Not(arg) => match &**arg {
                Scalar::IsNull(arg) => self.on(arg, ColumnBounds::range(None, None), None),
                truth => self.on(truth, ColumnBounds::range(Some(FALSE), Some(FALSE)), Some(Kind::Bool)),
            },
            Scalar::Call { func, args, types } if func::comparison(func.name) == Some(*func) => {
                let in_other_order = func.name != "=" && types.args.iter().any(ScalarType::contains_jsonb);
                if in_other_order || types.args.iter().any(ScalarType::equals_by_key) {
                    return Bounds::default();
                }
                match &args[..] {
                    [left, Scalar::Literal(Ok(row), typ)] => self.compared(left, func.name, row.as_bytes(), typ.kind()),
                    [Scalar::Literal(Ok(row), typ), right] => {
                        self.compared(right, mirrored(func.name), row.as_bytes(), typ.kind())
                    }
                    _ => Bounds::default(),
                }
            }
            Scalar::Call { func, args, types } if func.key == "like" => match &args[..] {
                [text, pattern] if !matches!(types.args.first(), Some(ScalarType::Char(_))) => self.like(text, pattern),
                _ => Bounds::default(),
            },
            truth => self.on(truth, ColumnBounds::range(Some(TRUE), Some(TRUE)), Some(Kind::Bool)),
        }
    }

    /// Of parts of one predicate. If one of them is NULL, another's error is still the predicate's.
    fn of_and(&self, args: &[Scalar]) -> Bounds {
        let could_error = args.iter().any(Scalar::could_error);
        let each = args.iter().map(|arg| match could_error {
            true => self.of(arg).or_null(),
            false => self.of(arg),
        });
        each.fold(Bounds::default(), Bounds::and)
    }

    /// Bounds on the expression, or on what it is cast from, as long as the casts keep the order.
    fn on(&self, scalar: &Scalar, bounds: ColumnBounds, kind: Option<Kind>) -> Bounds {
        if let Some(place) = (self.place)(scalar, kind) {
            return Bounds::on(place, bounds);
        }
        match scalar {
            Scalar::Call { func, args, types } if func.kind == FuncKind::Cast && types.args.len() == 1 => {
                if kind.is_some_and(|kind| kind != types.ret.kind()) {
                    return Bounds::default();
                }
                match argument_bounds(bounds, &types.args[0], &types.ret) {
                    Some(bounds) => self.on(&args[0], bounds, Some(types.args[0].kind())),
                    None => Bounds::default(),
                }
            }
            _ => Bounds::default(),
        }
    }

    fn compared(&self, scalar: &Scalar, symbol: &str, literal: &[u8], kind: Kind) -> Bounds {
        // A comparison with NULL is never true.
        if literal == NULL {
            return self.on(scalar, ColumnBounds::default(), Some(kind));
        }
        let bounds = match symbol {
            "=" => ColumnBounds::range(Some(literal), Some(literal)),
            "<" | "<=" => ColumnBounds::range(None, Some(literal)),
            ">" | ">=" => ColumnBounds::range(Some(literal), None),
            _ => ColumnBounds::range(None, None),
        };
        self.on(scalar, bounds, Some(kind))
    }

    /// Texts that start as the pattern does. A pattern with a backslash may be an error, for all texts.
    fn like(&self, text: &Scalar, pattern: &Scalar) -> Bounds {
        let Some(Ok(repr::Datum::Text(pattern))) = pattern.as_literal() else { return Bounds::default() };
        let start = pattern.split(['%', '_']).next().unwrap_or_default();
        if pattern.contains('\\') || start.is_empty() {
            return Bounds::default();
        }
        // Packed texts end with a zero, and no byte of UTF-8 is FF.
        let high = [start.as_bytes(), &[0xFF]].concat();
        self.on(text, ColumnBounds::range(Some(start.as_bytes()), Some(&high)), Some(Kind::Text))
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
