//! Arithmetic of intervals, and of timestamps with them. Everything is checked; none is an overflow.

use super::Interval;
use crate::datetime::{
    Civil, MICROS_PER_DAY, TIMESTAMP_INFINITY, TIMESTAMP_NEGATIVE_INFINITY, TimeZone, civil_from_days, days_from_civil,
    days_in_month,
};

impl Interval {
    pub fn checked_add(&self, other: &Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    pub fn checked_sub(&self, other: &Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_sub(other.months)?,
            days: self.days.checked_sub(other.days)?,
            micros: self.micros.checked_sub(other.micros)?,
        })
    }

    pub fn checked_neg(&self) -> Option<Interval> {
        Interval::default().checked_sub(self)
    }

    /// Fractions of months become days of a 30-day month, fractions of days become time, as in PostgreSQL.
    pub fn checked_mul(&self, factor: f64) -> Option<Interval> {
        self.scale(|field| field * factor)
    }

    /// None: overflow, or division by zero.
    pub fn checked_div(&self, divisor: f64) -> Option<Interval> {
        if divisor == 0.0 {
            return None;
        }
        self.scale(|field| field / divisor)
    }

    fn scale(&self, apply: impl Fn(f64) -> f64) -> Option<Interval> {
        const DAY_SECONDS: f64 = 86_400.0;
        // Doubles carry noise below a microsecond from one field to the next.
        let to_micros = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        let exact_months = apply(self.months.into());
        let exact_days = apply(self.days.into());
        let months = integer(exact_months.trunc(), i32::MIN.into(), i32::MAX.into())? as i32;
        let mut days = integer(exact_days.trunc(), i32::MIN.into(), i32::MAX.into())? as i32;
        let month_days = to_micros(exact_months.fract() * 30.0);
        let mut seconds = to_micros((exact_days.fract() + month_days.fract()) * DAY_SECONDS);
        if seconds.abs() >= DAY_SECONDS {
            days = days.checked_add((seconds / DAY_SECONDS) as i32)?;
            seconds -= (seconds / DAY_SECONDS).trunc() * DAY_SECONDS;
        }
        days = days.checked_add(month_days as i32)?;
        let micros = (apply(self.micros as f64) + seconds * 1e6).round_ties_even();
        // The greatest double below 2^63.
        let micros = integer(micros, i64::MIN as f64, 9_223_372_036_854_774_784.0)?;
        Some(Interval { months, days, micros })
    }

    /// Turns 30 days into a month.
    pub fn justify_days(&self) -> Option<Interval> {
        let mut months = self.months.checked_add(self.days / 30)?;
        let mut days = self.days % 30;
        if months > 0 && days < 0 {
            days += 30;
            months -= 1;
        } else if months < 0 && days > 0 {
            days -= 30;
            months += 1;
        }
        Some(Interval { months, days, micros: self.micros })
    }

    /// Turns 24 hours into a day.
    pub fn justify_hours(&self) -> Option<Interval> {
        let mut days = self.days.checked_add(i32::try_from(self.micros / MICROS_PER_DAY).ok()?)?;
        let mut micros = self.micros % MICROS_PER_DAY;
        if days > 0 && micros < 0 {
            micros += MICROS_PER_DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= MICROS_PER_DAY;
            days += 1;
        }
        Some(Interval { months: self.months, days, micros })
    }

    /// Turns 24 hours into a day and 30 days into a month, and gives all fields one sign.
    pub fn justify_interval(&self) -> Option<Interval> {
        let whole_days = i64::from(self.days) + self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        let mut months = i64::from(self.months) + whole_days / 30;
        let mut days = whole_days % 30;
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            days += 30;
            months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            days -= 30;
            months += 1;
        }
        if days > 0 && micros < 0 {
            micros += MICROS_PER_DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= MICROS_PER_DAY;
            days += 1;
        }
        Some(Interval { months: i32::try_from(months).ok()?, days: i32::try_from(days).ok()?, micros })
    }
}

fn integer(value: f64, least: f64, greatest: f64) -> Option<i64> {
    // NaN is in no range.
    (least..=greatest).contains(&value).then_some(value as i64)
}

fn is_infinite(micros: i64) -> bool {
    micros == TIMESTAMP_INFINITY || micros == TIMESTAMP_NEGATIVE_INFINITY
}

fn in_range(micros: i64) -> Option<i64> {
    Some(micros).filter(crate::datetime::is_timestamp)
}

/// Months first (the day cut to the month's end), then days, then time. None: out of range.
pub fn timestamp_plus_interval(micros: i64, interval: &Interval) -> Option<i64> {
    if is_infinite(micros) {
        return Some(micros);
    }
    in_range(plus_days(plus_months(micros, interval.months)?, interval.days)?.checked_add(interval.micros)?)
}

/// As [`timestamp_plus_interval`], months and days by the zone's wall clock. None: out of range.
pub fn timestamptz_plus_interval(micros: i64, interval: &Interval, zone: &TimeZone) -> Option<i64> {
    if is_infinite(micros) {
        return Some(micros);
    }
    let mut sum = micros;
    if interval.months != 0 || interval.days != 0 {
        let local = plus_days(plus_months(zone.to_local(micros)?, interval.months)?, interval.days)?;
        sum = zone.to_utc(local)?;
    }
    in_range(sum.checked_add(interval.micros)?)
}

fn plus_months(micros: i64, months: i32) -> Option<i64> {
    if months == 0 {
        return Some(micros);
    }
    let civil = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
    let month_index = civil.year * 12 + i64::from(civil.month) - 1 + i64::from(months);
    let (year, month) = (month_index.div_euclid(12), month_index.rem_euclid(12) as u32 + 1);
    let day = civil.day.min(days_in_month(year, month));
    days_from_civil(Civil { year, month, day })
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(micros.rem_euclid(MICROS_PER_DAY))
}

fn plus_days(micros: i64, days: i32) -> Option<i64> {
    micros.checked_add(i64::from(days).checked_mul(MICROS_PER_DAY)?)
}

/// The time from `start` to `end` in years, months and days as people count them. None: one of them is infinite.
pub fn age(end: i64, start: i64) -> Option<Interval> {
    if is_infinite(end) || is_infinite(start) {
        return None;
    }
    let (later, earlier) = if end >= start { (end, start) } else { (start, end) };
    let (to, from) =
        (civil_from_days(later.div_euclid(MICROS_PER_DAY)), civil_from_days(earlier.div_euclid(MICROS_PER_DAY)));
    let mut months = (to.year - from.year) * 12 + i64::from(to.month) - i64::from(from.month);
    let mut days = i64::from(to.day) - i64::from(from.day);
    let mut micros = later.rem_euclid(MICROS_PER_DAY) - earlier.rem_euclid(MICROS_PER_DAY);
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // The month that is borrowed is the first that passed.
        days += i64::from(days_in_month(from.year, from.month));
        months -= 1;
    }
    let age = Interval { months: months as i32, days: days as i32, micros };
    if end >= start { Some(age) } else { age.checked_neg() }
}
