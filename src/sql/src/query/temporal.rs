//! Arithmetic with `mz_now()` in comparisons: what is added to it, or taken from it, moves to the other side.
//!
//! A temporal filter compares `mz_now()` itself. `mz_now() - 1000 < ms` becomes `mz_now() < ms + 1000`, and
//! `mz_now()::timestamp + interval '1 day' < at` becomes `mz_now() < at - interval '1 day'`. That is done where it is exact:
//! for whole milliseconds, and for intervals of days and less, not for months, which are of different lengths. A time between
//! two milliseconds is rounded so that the comparison with whole milliseconds says the same.

use expr::func::{FuncKind, clamped_mz_timestamp, comparison};
use repr::{Datum, ScalarType};

use super::QueryContext;
use super::coerce::Planned;
use super::operator::comparison_call;
use super::types::{Category, category};
use crate::error::Error;
use crate::hir::HirScalar;

/// What a comparison says of `mz_now()`.
struct Isolated {
    /// The comparison's symbol, `mz_now()` being on its left.
    symbol: &'static str,
    other: HirScalar,
}

impl QueryContext<'_> {
    /// The operands of `+` or `-` of which one is `mz_now()`: with a number milliseconds, with an interval an instant.
    pub(super) fn as_instants(&mut self, left: Planned, right: Planned) -> Result<[Planned; 2], Error> {
        let is_interval = |side: &Planned| side.known_type().is_some_and(ScalarType::is_interval);
        let instant = is_interval(&left) || is_interval(&right);
        let mut converted = |side: Planned| match side.known_type() {
            Some(ScalarType::MzTimestamp) if instant => {
                let typ = ScalarType::TimestampTz(None);
                Ok(Planned::typed(self.coerce_explicit(side, &typ)?, typ))
            }
            Some(typ) if *typ == ScalarType::MzTimestamp || category(typ) == Category::Number && !instant => {
                let typ = ScalarType::Numeric(None);
                Ok(Planned::typed(self.coerce_explicit(side, &typ)?, typ))
            }
            _ => Ok::<_, Error>(side),
        };
        Ok([converted(left)?, converted(right)?])
    }

    /// The comparison of two values of type `typ` as one of `mz_now()` alone; None if there is none, or none that is exact.
    pub(super) fn of_now_alone(
        &mut self,
        symbol: &str,
        left: &HirScalar,
        right: &HirScalar,
        typ: &ScalarType,
    ) -> Result<Option<HirScalar>, Error> {
        let (symbol, chain, other) = match (contains_now(left), contains_now(right)) {
            (true, false) => (known(symbol), left, right),
            (false, true) => (mirrored(symbol), right, left),
            _ => return Ok(None),
        };
        let (Some(symbol), Some(unit)) = (symbol, Unit::of(typ)) else { return Ok(None) };
        let other = unit.widened(self, other.clone(), typ)?;
        match self.isolate(unit, chain, Isolated { symbol, other })? {
            Some(isolated) => unit.compare(self, isolated).map(Some),
            None => Ok(None),
        }
    }

    /// Takes what is around `mz_now()` away, the outermost first.
    fn isolate(&mut self, unit: Unit, chain: &HirScalar, isolated: Isolated) -> Result<Option<Isolated>, Error> {
        let Isolated { symbol, other } = isolated;
        let HirScalar::Call { func, args, types } = chain else {
            return Ok((*chain == HirScalar::MzNow).then_some(Isolated { symbol, other }));
        };
        match (func.name, &args[..], &types.args[..]) {
            (_, [inner], [from]) if func.kind == FuncKind::Cast && unit.keeps(from, &types.ret) => {
                self.isolate(unit, inner, Isolated { symbol, other })
            }
            (name @ ("+" | "-"), [first, second], [first_type, second_type]) => {
                let ((inner, term, term_type), flipped) = match (contains_now(first), contains_now(second)) {
                    (true, false) => ((first, second, second_type), false),
                    (false, true) => ((second, first, first_type), name == "-"),
                    _ => return Ok(None),
                };
                if !unit.is_exact(term, term_type) {
                    return Ok(None);
                }
                let term = unit.widened(self, term.clone(), term_type)?;
                let (other, term) = (unit.planned(other), unit.planned_term(term));
                // now + term < other, now - term < other, term - now < other.
                let (moved, symbol) = match (name, flipped) {
                    ("+", _) => (self.infix("-", other, term)?, Some(symbol)),
                    (_, false) => (self.infix("+", other, term)?, Some(symbol)),
                    (_, true) => (self.infix("-", term, other)?, mirrored(symbol)),
                };
                let Some(symbol) = symbol else { return Ok(None) };
                let other = self.settle(moved)?.0;
                self.isolate(unit, inner, Isolated { symbol, other })
            }
            _ => Ok(None),
        }
    }
}

/// What a comparison is counted in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Milliseconds, as numeric.
    Number,
    /// Microseconds, as timestamptz or, what is the same in UTC, timestamp.
    Instant,
}

impl Unit {
    fn of(typ: &ScalarType) -> Option<Unit> {
        match typ {
            ScalarType::Numeric(None) | ScalarType::Int8 | ScalarType::UInt8 => Some(Unit::Number),
            ScalarType::Timestamp(None) | ScalarType::TimestampTz(None) => Some(Unit::Instant),
            _ => None,
        }
    }

    /// True for casts that change no value.
    fn keeps(self, from: &ScalarType, to: &ScalarType) -> bool {
        let same = |typ: &ScalarType| *typ == ScalarType::MzTimestamp || Unit::of(typ) == Some(self);
        same(from) && same(to)
    }

    /// True if the term can be moved to the other side.
    fn is_exact(self, term: &HirScalar, typ: &ScalarType) -> bool {
        match self {
            Unit::Number => Unit::of(typ) == Some(Unit::Number),
            Unit::Instant => match term {
                HirScalar::Literal(Ok(row), literal) if typ.is_interval() => match row.unpack_first(literal.kind()) {
                    Datum::Interval(interval) => interval.months == 0,
                    datum => datum.is_null(),
                },
                _ => false,
            },
        }
    }

    fn planned(self, scalar: HirScalar) -> Planned {
        Planned::typed(scalar, self.scalar_type())
    }

    fn planned_term(self, scalar: HirScalar) -> Planned {
        match self {
            Unit::Number => self.planned(scalar),
            Unit::Instant => Planned::typed(scalar, ScalarType::Interval(None)),
        }
    }

    fn scalar_type(self) -> ScalarType {
        match self {
            Unit::Number => ScalarType::Numeric(None),
            Unit::Instant => ScalarType::TimestampTz(None),
        }
    }

    /// A value of one of the unit's types as that in which is counted; an interval as it is.
    fn widened(self, qcx: &mut QueryContext<'_>, scalar: HirScalar, typ: &ScalarType) -> Result<HirScalar, Error> {
        match Unit::of(typ) {
            Some(_) => qcx.coerce_explicit(Planned::typed(scalar, typ.clone()), &self.scalar_type()),
            None => Ok(scalar),
        }
    }

    /// `mz_now()` compared with the least whole millisecond that is not before, or the greatest that is not after.
    fn compare(self, qcx: &mut QueryContext<'_>, isolated: Isolated) -> Result<HirScalar, Error> {
        let Isolated { symbol, other } = isolated;
        let mut against = |symbol: &str| {
            let rounded = match symbol {
                "<" | ">=" => self.ceiling(qcx, other.clone())?,
                _ => self.floor(qcx, other.clone())?,
            };
            // What lies outside the range of times is before, or after, all of them.
            let types = vec![self.scalar_type()];
            let bound = HirScalar::call(clamped_mz_timestamp(), vec![rounded], types, ScalarType::MzTimestamp);
            Ok::<_, Error>(comparison_call(symbol, HirScalar::MzNow, bound, &ScalarType::MzTimestamp))
        };
        Ok(match symbol {
            "=" => HirScalar::And(vec![against(">=")?, against("<=")?]),
            "<>" => HirScalar::Or(vec![against("<")?, against(">")?]),
            symbol => against(symbol)?,
        })
    }

    fn ceiling(self, qcx: &mut QueryContext<'_>, scalar: HirScalar) -> Result<HirScalar, Error> {
        let rounded = match self {
            Unit::Number => qcx.named_call("ceil", vec![self.planned(scalar)])?,
            Unit::Instant => {
                let most = repr::interval::Interval { months: 0, days: 0, micros: 999 };
                let most = HirScalar::literal(Datum::Interval(most), ScalarType::Interval(None));
                qcx.infix("+", self.planned(scalar), Planned::typed(most, ScalarType::Interval(None)))?
            }
        };
        Ok(qcx.settle(rounded)?.0)
    }

    /// The cast of an instant to milliseconds rounds down by itself.
    fn floor(self, qcx: &mut QueryContext<'_>, scalar: HirScalar) -> Result<HirScalar, Error> {
        match self {
            Unit::Number => {
                let rounded = qcx.named_call("floor", vec![self.planned(scalar)])?;
                Ok(qcx.settle(rounded)?.0)
            }
            Unit::Instant => Ok(scalar),
        }
    }
}

fn contains_now(scalar: &HirScalar) -> bool {
    scalar.any(&mut |scalar| *scalar == HirScalar::MzNow)
}

/// The comparison with its sides exchanged.
fn mirrored(symbol: &str) -> Option<&'static str> {
    known(match symbol {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    })
}

fn known(symbol: &str) -> Option<&'static str> {
    comparison(symbol).map(|func| func.0.name)
}
