//! Reads intervals of ISO 8601: with designators, `P1Y2M3DT4H5M6S`, and in the alternative forms `P0001-02-03T04:05:06`
//! and `P00010203T040506`.

use super::sum::{Failure, Quantity, Sum};
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};

/// The part of the text that is still to be read.
struct Reader<'t> {
    rest: &'t str,
}

/// Reads all of `text`.
pub(super) fn parse(text: &str) -> Result<Sum, Failure> {
    let rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Failure::Syntax)?;
    let mut sum = Sum::default();
    let mut reader = Reader { rest };
    let mut is_date = true;
    let mut has_field = false;
    while !reader.rest.is_empty() {
        if let Some(behind) = reader.rest.strip_prefix('T') {
            (reader.rest, is_date, has_field) = (behind, false, false);
            continue;
        }
        let digits = digit_count(reader.rest);
        let quantity = reader.quantity()?;
        let unit = reader.rest.chars().next();
        let is_alternative = match is_date {
            true => reader.date_field(&mut sum, quantity, unit, digits == 8)?,
            false => reader.time_field(&mut sum, quantity, unit, digits == 6)?,
        };
        // An alternative form has no other fields beside it, and ends here or at its time.
        if is_alternative && has_field {
            return Err(Failure::Syntax);
        }
        has_field = true;
    }
    Ok(sum)
}

/// How many digits the text begins with, a sign aside.
fn digit_count(text: &str) -> usize {
    text.strip_prefix('-').unwrap_or(text).bytes().take_while(u8::is_ascii_digit).count()
}

impl Reader<'_> {
    fn skip(&mut self, unit: char) {
        self.rest = self.rest.strip_prefix(unit).unwrap_or(self.rest);
    }

    /// A number, which may have a fraction and an exponent.
    fn quantity(&mut self) -> Result<Quantity, Failure> {
        if !self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
            return Err(Failure::Syntax);
        }
        let number = |text: &str| text.parse::<f64>().ok().filter(|_| !text.ends_with(char::is_alphabetic));
        let longest = self.rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | 'e' | 'E'));
        let mut end = longest.unwrap_or(self.rest.len());
        let value = loop {
            match number(&self.rest[..end]) {
                Some(value) => break value,
                None if end > 1 => end -= 1,
                None => return Err(Failure::Syntax),
            }
        };
        if !(-1e15..=1e15).contains(&value) {
            return Err(Failure::Field);
        }
        self.rest = &self.rest[end..];
        Ok(Quantity { whole: value.trunc() as i64, fraction: value - value.trunc() })
    }

    /// True if it was an alternative form, which is read whole: with hyphens or, if it `is_compact`, without.
    fn date_field(
        &mut self,
        sum: &mut Sum,
        quantity: Quantity,
        unit: Option<char>,
        is_compact: bool,
    ) -> Result<bool, Failure> {
        let whole = |whole: i64| Quantity { whole, fraction: 0.0 };
        match unit {
            Some('Y') => sum.add_years(quantity, 1)?,
            Some('M') => sum.add_months(quantity)?,
            Some('W') => sum.add_days(quantity, 7)?,
            Some('D') => sum.add_days(quantity, 1)?,
            None | Some('T') if is_compact => {
                sum.add_years(whole(quantity.whole / 10_000), 1)?;
                sum.add_months(whole(quantity.whole / 100 % 100))?;
                sum.add_days(Quantity { whole: quantity.whole % 100, ..quantity }, 1)?;
                return Ok(true);
            }
            None | Some('T' | '-') => {
                sum.add_years(quantity, 1)?;
                if unit == Some('-') {
                    self.skip('-');
                    sum.add_months(self.quantity()?)?;
                    if self.rest.starts_with('-') {
                        self.skip('-');
                        sum.add_days(self.quantity()?, 1)?;
                    }
                    if !self.rest.is_empty() && !self.rest.starts_with('T') {
                        return Err(Failure::Syntax);
                    }
                }
                return Ok(true);
            }
            Some(_) => return Err(Failure::Syntax),
        }
        self.rest = &self.rest[1..];
        Ok(false)
    }

    /// As [`Reader::date_field`], behind the `T`.
    fn time_field(
        &mut self,
        sum: &mut Sum,
        quantity: Quantity,
        unit: Option<char>,
        is_compact: bool,
    ) -> Result<bool, Failure> {
        let whole = |whole: i64| Quantity { whole, fraction: 0.0 };
        match unit {
            Some('H') => sum.add_micros(quantity, MICROS_PER_HOUR)?,
            Some('M') => sum.add_micros(quantity, MICROS_PER_MINUTE)?,
            Some('S') => sum.add_micros(quantity, MICROS_PER_SECOND)?,
            None if is_compact => {
                sum.add_micros(whole(quantity.whole / 10_000), MICROS_PER_HOUR)?;
                sum.add_micros(whole(quantity.whole / 100 % 100), MICROS_PER_MINUTE)?;
                sum.add_micros(whole(quantity.whole % 100), MICROS_PER_SECOND)?;
                sum.add_micros(Quantity { whole: 0, ..quantity }, 1)?;
                return Ok(true);
            }
            None | Some(':') => {
                sum.add_micros(quantity, MICROS_PER_HOUR)?;
                if unit.is_some() {
                    self.skip(':');
                    sum.add_micros(self.quantity()?, MICROS_PER_MINUTE)?;
                    if self.rest.starts_with(':') {
                        self.skip(':');
                        sum.add_micros(self.quantity()?, MICROS_PER_SECOND)?;
                    }
                    if !self.rest.is_empty() {
                        return Err(Failure::Syntax);
                    }
                }
                return Ok(true);
            }
            _ => return Err(Failure::Syntax),
        }
        self.rest = &self.rest[1..];
        Ok(false)
    }
}
