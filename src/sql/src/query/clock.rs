//! The time at which a statement runs, in words: `'today'` and the like as literals, `CURRENT_TIMESTAMP(3)`.
//!
//! They are calls of functions of the clock, so what is kept up to date refuses them as it refuses those.

use repr::{Datum, ScalarType};

use super::QueryContext;
use super::coerce::Planned;
use super::expression::constant;
use crate::error::Error;
use crate::hir::HirScalar;

/// Most digits after the second.
const DIGITS_MAX: i64 = 6;

impl QueryContext<'_> {
    /// The value of a literal of type `to` that is such a word; None for any other text.
    pub(super) fn time_word(&mut self, text: &str, to: &ScalarType) -> Option<Result<HirScalar, Error>> {
        use ScalarType::{Date, Time, Timestamp, TimestampTz};
        let word = text.trim().to_ascii_lowercase();
        let days = match (word.as_str(), to) {
            ("now", Date) => 0,
            ("now", Time(_)) => return Some(self.clock("localtime", to)),
            ("now", Timestamp(_)) => return Some(self.clock("localtimestamp", to)),
            ("now", TimestampTz(_)) => return Some(self.clock("now", to)),
            ("today", Date | Timestamp(_) | TimestampTz(_)) => 0,
            ("tomorrow", Date | Timestamp(_) | TimestampTz(_)) => 1,
            ("yesterday", Date | Timestamp(_) | TimestampTz(_)) => -1,
            _ => return None,
        };
        Some(self.day(days, to))
    }

    fn clock(&mut self, name: &str, to: &ScalarType) -> Result<HirScalar, Error> {
        let now = self.named_call(name, Vec::new())?;
        self.coerce_explicit(now, to)
    }

    /// The midnight at which the day so many days after this one begins.
    fn day(&mut self, days: i64, to: &ScalarType) -> Result<HirScalar, Error> {
        let mut day = self.named_call("current_date", Vec::new())?;
        if days != 0 {
            let days = Planned::typed(HirScalar::literal(Datum::Int(days), ScalarType::Int4), ScalarType::Int4);
            day = self.infix("+", day, days)?;
        }
        self.coerce_explicit(day, to)
    }

    /// `CURRENT_TIMESTAMP(p)` and its kin: rounded to so many digits after the second.
    pub(super) fn clock_to_digits(&mut self, name: &str, digits: Planned) -> Result<Planned, Error> {
        let wrong = || Error::new("42601", format!("{name} takes a number of digits"));
        let (digits, _) = self.settle(digits)?;
        let digits = match constant(&digits).as_ref().map(expr::Scalar::as_literal) {
            Some(Some(Ok(Datum::Int(digits)))) if digits >= 0 => digits.min(DIGITS_MAX) as u8,
            _ => return Err(wrong()),
        };
        let now = self.call_by_name(name, Vec::new())?;
        let typ = match name {
            "current_timestamp" => ScalarType::TimestampTz(Some(digits)),
            "localtimestamp" => ScalarType::Timestamp(Some(digits)),
            _ => {
                // A time is rounded as that of some day.
                let day = Planned::typed(HirScalar::literal(Datum::Date(0), ScalarType::Date), ScalarType::Date);
                let instant = self.infix("+", day, now)?;
                let typ = ScalarType::Timestamp(Some(digits));
                let rounded = Planned::typed(self.coerce_explicit(instant, &typ)?, typ);
                let typ = ScalarType::Time(Some(digits));
                return Ok(Planned::typed(self.coerce_explicit(rounded, &typ)?, typ));
            }
        };
        Ok(Planned::typed(self.coerce_explicit(now, &typ)?, typ))
    }
}
