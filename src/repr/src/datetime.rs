//! Datetime.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;
