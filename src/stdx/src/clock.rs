//! The only reader of the machine's clocks.

use std::time::Duration;

/// Reads time. Implemented by the machine ([`SystemClock`]) and by the simulation.
pub trait Clock: Send + Sync + 'static {
    /// Time since the Unix epoch by the wall clock, which may jump.
    fn wall(&self) -> Duration;

    /// Milliseconds since the Unix epoch by the wall clock.
    fn wall_ms(&self) -> u64 {
        u64::try_from(self.wall().as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since some fixed point by a clock that never goes back and counts suspended time too.
    fn boot(&self) -> Duration;
}

/// The machine's clocks: the wall clock and `CLOCK_BOOTTIME` (`std::time::Instant` stops while suspended).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    fn wall(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    fn boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// A time moved by a signed number of milliseconds; not below zero.
pub fn shifted(time: Duration, by_ms: i64) -> Duration {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 { time.saturating_sub(by) } else { time + by }
}
