//! Prints intervals in the four styles of PostgreSQL.

use std::fmt::{self, Write};

use super::Interval;
use crate::datetime::{MICROS_PER_HOUR, MICROS_PER_MINUTE, put_seconds};

/// The setting `IntervalStyle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IntervalStyle {
    /// `1 year 2 mons -3 days +04:05:06.7`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs`
    PostgresVerbose,
    /// `+1-2 -3 +4:05:06.7`
    SqlStandard,
    /// `P1Y2M-3DT4H5M6.7S`
    Iso8601,
}

impl IntervalStyle {
    /// The style of a setting's value.
    pub fn of_name(name: &str) -> Option<IntervalStyle> {
        Some(match name {
            "postgres" => IntervalStyle::Postgres,
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => return None,
        })
    }
}

/// An interval's fields as people write them. All of the time have one sign.
struct Fields {
    years: i32,
    months: i32,
    days: i32,
    hours: i64,
    minutes: i64,
    /// Microseconds below a minute.
    micros: i64,
}

impl Fields {
    fn of(interval: &Interval) -> Fields {
        Fields {
            years: interval.months / 12,
            months: interval.months % 12,
            days: interval.days,
            hours: interval.micros / MICROS_PER_HOUR,
            minutes: interval.micros / MICROS_PER_MINUTE % 60,
            micros: interval.micros % MICROS_PER_MINUTE,
        }
    }
}

impl Interval {
    /// Appends the interval in a style.
    pub fn put(&self, style: IntervalStyle, out: &mut String) {
        match style {
            IntervalStyle::Postgres => write!(out, "{self}").expect("a string takes all text"),
            IntervalStyle::PostgresVerbose => self.put_verbose(out),
            IntervalStyle::SqlStandard => self.put_sql_standard(out),
            IntervalStyle::Iso8601 => self.put_iso_8601(out),
        }
    }

    fn put_verbose(&self, out: &mut String) {
        let fields = Fields::of(self);
        out.push('@');
        let whole = [
            (i64::from(fields.years), "year"),
            (i64::from(fields.months), "mon"),
            (i64::from(fields.days), "day"),
            (fields.hours, "hour"),
            (fields.minutes, "min"),
        ];
        // The first field decides what `ago` makes of the others.
        let mut sign = 0;
        for (value, unit) in whole.into_iter().filter(|(value, _)| *value != 0) {
            sign = if sign == 0 { value.signum() } else { sign };
            let value = value * sign;
            let plural = if value == 1 { "" } else { "s" };
            write!(out, " {value} {unit}{plural}").expect("a string takes all text");
        }
        if fields.micros != 0 {
            sign = if sign == 0 { fields.micros.signum() } else { sign };
            out.push_str(if fields.micros * sign < 0 { " -" } else { " " });
            put_bare_seconds(fields.micros, out);
            out.push_str(if fields.micros.abs() == 1_000_000 { " sec" } else { " secs" });
        }
        match sign {
            0 => out.push_str(" 0"),
            -1 => out.push_str(" ago"),
            _ => {}
        }
    }

    fn put_sql_standard(&self, out: &mut String) {
        let has = |sign: i32| {
            self.months.signum() == sign || self.days.signum() == sign || self.micros.signum() == i64::from(sign)
        };
        let has_months = self.months != 0;
        let has_days_or_time = self.days != 0 || self.micros != 0;
        let is_standard = !(has(1) && has(-1) || has_months && has_days_or_time);
        let Fields { years, months, days, hours, minutes, micros } = Fields::of(self);
        let (years, months, days) = (years.unsigned_abs(), months.unsigned_abs(), days.unsigned_abs());
        let (hours, minutes) = (hours.unsigned_abs(), minutes.unsigned_abs());
        let sign = |is_negative: bool| if is_negative { '-' } else { '+' };
        if is_standard && has(-1) {
            out.push('-');
        }
        let written = match (is_standard, has_months, days) {
            (true, true, _) => write!(out, "{years}-{months}"),
            (true, false, _) if !has_days_or_time => write!(out, "0"),
            (true, false, 0) => write!(out, "{hours}:{minutes:02}:"),
            (true, false, _) => write!(out, "{days} {hours}:{minutes:02}:"),
            (false, ..) => {
                let (of_months, of_days) = (sign(self.months < 0), sign(self.days < 0));
                let of_time = sign(self.micros < 0);
                write!(out, "{of_months}{years}-{months} {of_days}{days} {of_time}{hours}:{minutes:02}:")
            }
        };
        written.expect("a string takes all text");
        if !is_standard || (!has_months && has_days_or_time) {
            put_seconds(micros.abs(), out);
        }
    }

    fn put_iso_8601(&self, out: &mut String) {
        if *self == Interval::default() {
            out.push_str("PT0S");
            return;
        }
        let fields = Fields::of(self);
        let put = |value: i64, unit: char, out: &mut String| {
            if value != 0 {
                write!(out, "{value}{unit}").expect("a string takes all text");
            }
        };
        out.push('P');
        put(fields.years.into(), 'Y', out);
        put(fields.months.into(), 'M', out);
        put(fields.days.into(), 'D', out);
        if self.micros != 0 {
            out.push('T');
        }
        put(fields.hours, 'H', out);
        put(fields.minutes, 'M', out);
        if fields.micros != 0 {
            out.push_str(if fields.micros < 0 { "-" } else { "" });
            put_bare_seconds(fields.micros, out);
            out.push('S');
        }
    }
}

/// Seconds without a sign and without a zero before them: `6.7`
fn put_bare_seconds(micros: i64, out: &mut String) {
    let mut seconds = String::new();
    put_seconds(micros.abs(), &mut seconds);
    out.push_str(seconds.strip_prefix('0').unwrap_or(&seconds));
}

/// `1 year 2 mons -3 days +04:05:06.7`
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")];
        let mut follows = false;
        // A positive field behind a negative one shows its sign.
        let mut is_behind_negative = false;
        for (value, name) in fields {
            if value == 0 {
                continue;
            }
            let blank = if follows { " " } else { "" };
            let plus = if is_behind_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(f, "{blank}{plus}{value} {name}{plural}")?;
            follows = true;
            is_behind_negative = value < 0;
        }
        if follows && self.micros == 0 {
            return Ok(());
        }
        let blank = if follows { " " } else { "" };
        let sign = match self.micros < 0 {
            true => "-",
            false if is_behind_negative => "+",
            false => "",
        };
        let micros = self.micros.unsigned_abs();
        let (hour, minute) = (micros / MICROS_PER_HOUR as u64, micros / MICROS_PER_MINUTE as u64 % 60);
        let mut seconds = String::new();
        put_seconds((micros % MICROS_PER_MINUTE as u64) as i64, &mut seconds);
        write!(f, "{blank}{sign}{hour:02}:{minute:02}:{seconds}")
    }
}
