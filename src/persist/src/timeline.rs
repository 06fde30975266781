//! The one clock of the timeline: the leader's `now`.
//!
//! At boot it is max(wall clock, floor). From then on it runs with the boot clock, slewed toward the wall clock at half to
//! double speed, so that it never goes back and meets the wall clock again after every step of that.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use repr::Timestamp;
use stdx::Clock;
use tracing::warn;

/// A difference to the wall clock that a person should know of.
const ALERT: Duration = Duration::from_secs(60);

pub(crate) struct Timeline {
    clock: Arc<dyn Clock>,
    position: Mutex<Position>,
}

struct Position {
    boot: Duration,
    now: Duration,
    alerted: bool,
}

impl Timeline {
    pub(crate) fn new(clock: Arc<dyn Clock>, floor: Timestamp) -> Timeline {
        let wall = clock.wall();
        let floor = Duration::from_micros(floor.micros());
        let alerted = floor > wall + ALERT;
        if alerted {
            warn!(
                ahead_ms = u64::try_from((floor - wall).as_millis()).unwrap_or(u64::MAX),
                "the data are ahead of the wall clock; the timeline starts there"
            );
        }
        let position = Position { boot: clock.boot(), now: wall.max(floor), alerted };
        Timeline { clock, position: Mutex::new(position) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let mut position = self.position.lock();
        let (boot, wall) = (self.clock.boot(), self.clock.wall());
        let elapsed = boot.saturating_sub(position.boot);
        position.boot = boot;
        position.now = wall.clamp(position.now + elapsed / 2, position.now + elapsed * 2);
        let apart = wall.abs_diff(position.now) > ALERT;
        if apart && !position.alerted {
            warn!(
                apart_ms = u64::try_from(wall.abs_diff(position.now).as_millis()).unwrap_or(u64::MAX),
                "the wall clock was stepped"
            );
        }
        position.alerted = apart;
        position.now.into()
    }
}
