//! Load generators: what each offset changes in each relation, as a function of the offset alone.
//!
//! Offset 0 loads what is there from the start; each later one is one tick. The offsets below a *frontier* have happened.
//! Ticks fall on the multiples of the tick interval on the timeline, so the frontier is a function of the time too: `k` ticks
//! after the source was made, it is `k` beyond where it began. That makes a restart simple (what the last binding says is
//! enough to go on, missed ticks included) and gives every offset a time of its own without any record of it.

mod auction;
mod counter;
mod draw;
mod tpch;
mod tpch_rows;
mod tpch_text;

use protocol::source::{LoadGenerator, LoadGeneratorKind};
use repr::{Diff, Row, Timestamp};

/// A row that comes or goes.
pub(crate) type Change = (Row, Diff);

/// How often a binding is made where the ticks are rarer, in ms.
const BINDING_INTERVAL_MS_MAX: u64 = 1000;
/// How often a binding is made where the ticks are denser, in ms.
const BINDING_INTERVAL_MS_MIN: u64 = 50;

/// When ticks happen: a line through the offsets, found from any binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickTimes {
    interval_ms: u64,
    /// The number of the tick of offset 0; negative if AS OF reaches back before the timeline.
    first: i128,
}

impl TickTimes {
    /// The time of an offset's tick.
    fn millis(self, offset: u64) -> u64 {
        let tick = u64::try_from(self.first + i128::from(offset)).unwrap_or(0);
        tick.saturating_mul(self.interval_ms)
    }

    /// The time of an offset's tick, as a datum has it.
    fn micros(self, offset: u64) -> i64 {
        // Kept clear of the infinities, and of overflow where the generators add seconds.
        const MICROS_MAX: u64 = 1 << 62;
        self.millis(offset).saturating_mul(1000).min(MICROS_MAX).cast_signed()
    }

    /// The frontier at a time, without regard to where the generator ends.
    fn frontier(self, time: Timestamp) -> u64 {
        let tick = i128::from(time.millis() / self.interval_ms);
        u64::try_from(tick - self.first + 1).unwrap_or(0)
    }
}

/// A load generator with its options.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    kind: LoadGeneratorKind,
    interval_ms: u64,
    start: u64,
    end: Option<u64>,
}

impl Generator {
    pub(crate) fn new(options: &LoadGenerator) -> Generator {
        let LoadGenerator { kind, tick_interval_ms, as_of, up_to } = options;
        let end = match (kind, tick_interval_ms) {
            (LoadGeneratorKind::Tpch { .. }, None) => Some(1),
            _ => *up_to,
        };
        let start = end.unwrap_or(u64::MAX).min((*as_of).max(1));
        let interval_ms = tick_interval_ms.unwrap_or(BINDING_INTERVAL_MS_MAX).max(1);
        Generator { kind: kind.clone(), interval_ms, start, end }
    }

    /// The frontier at which the source starts.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// True if all that there will ever be lies below `frontier`.
    pub(crate) fn is_complete(&self, frontier: u64) -> bool {
        self.end.is_some_and(|end| frontier >= end)
    }

    /// How often the source says what has happened, in ms.
    pub(crate) fn binding_interval_ms(&self) -> u64 {
        self.interval_ms.clamp(BINDING_INTERVAL_MS_MIN, BINDING_INTERVAL_MS_MAX)
    }

    /// When ticks happen, given that the frontier was `frontier` at the binding `time`.
    pub(crate) fn tick_times(&self, time: Timestamp, frontier: u64) -> TickTimes {
        let tick = i128::from(time.millis() / self.interval_ms);
        TickTimes { interval_ms: self.interval_ms, first: tick + 1 - i128::from(frontier) }
    }

    /// The binding that follows one of `(time, frontier)`: at most at `now`, of at most `offsets_max` more offsets.
    ///
    /// Keeps the line of [`TickTimes`]: a binding cut short lies at the tick where it was cut.
    pub(crate) fn next_binding(
        &self,
        times: TickTimes,
        frontier: u64,
        now: Timestamp,
        offsets_max: u64,
    ) -> (Timestamp, u64) {
        let most = self.end.unwrap_or(u64::MAX).min(frontier.saturating_add(offsets_max));
        let due = times.frontier(now).max(frontier);
        if due <= most { (now, due) } else { (Timestamp::from_millis(times.millis(most - 1)), most) }
    }

    /// What an offset changes in the relation `reference`; nothing if there is no such relation.
    pub(crate) fn changes(
        &self,
        reference: &str,
        offset: u64,
        times: TickTimes,
    ) -> Box<dyn Iterator<Item = Change> + Send> {
        match &self.kind {
            LoadGeneratorKind::Auction => auction::changes(reference, offset, times),
            LoadGeneratorKind::Counter { max_cardinality } => Box::new(counter::changes(*max_cardinality, offset)),
            LoadGeneratorKind::Tpch { scale_factor_millionths } => {
                tpch::Tpch::new(*scale_factor_millionths).changes(reference, offset)
            }
        }
    }
}

#[cfg(test)]
mod tests;
