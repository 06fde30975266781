//! The choices that a generator makes, kept as a list of numbers: the same list makes the same text again, and a shorter or
//! smaller list makes a simpler one. So whatever is generated can be shrunk without knowing what it is.
//!
//! Every choice is a number below some bound, and 0 is the simplest thing to choose. Choices that belong together are marked
//! as a span, so that the shrinker drops a whole expression and not half of two.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The choices made so far, and where further ones come from.
pub(crate) struct Tape {
    choices: Vec<u32>,
    next: usize,
    /// Makes choices behind the end of the list; without it they are all 0.
    rng: Option<StdRng>,
    spans: Vec<(usize, usize)>,
}

/// What a finished tape leaves: enough to make the same again, and to make less of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recording {
    pub(crate) choices: Vec<u32>,
    /// From where to where choices belong together; inner spans come before outer ones.
    pub(crate) spans: Vec<(usize, usize)>,
}

impl Tape {
    /// A tape of random choices.
    pub(crate) fn random(seed: u64) -> Tape {
        Tape { choices: Vec::new(), next: 0, rng: Some(StdRng::seed_from_u64(seed)), spans: Vec::new() }
    }

    /// A tape that makes given choices and then simple ones.
    pub(crate) fn replay(choices: &[u32]) -> Tape {
        Tape { choices: choices.to_vec(), next: 0, rng: None, spans: Vec::new() }
    }

    /// The choices that were made.
    pub(crate) fn finish(mut self) -> Recording {
        self.choices.resize(self.next, 0);
        Recording { choices: self.choices, spans: self.spans }
    }

    /// A number below `bound`, or 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound.max(1)).expect("few things to choose from");
        if self.next == self.choices.len() {
            let chosen = self.rng.as_mut().map_or(0, |rng| rng.random_range(0..bound));
            self.choices.push(chosen);
        }
        let chosen = self.choices[self.next] % bound;
        self.next += 1;
        chosen as usize
    }

    /// A number of `range`, the least being the simplest.
    pub(crate) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in `percent` of a hundred cases; false is simpler.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent.min(100)
    }

    /// One of some things, the first being the simplest.
    pub(crate) fn pick<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len())]
    }

    /// The position of one of some weights; a heavy one is chosen more often, the first is the simplest.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (position, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                None => return position,
                Some(rest) => left = rest,
            }
        }
        0
    }

    /// Some of the numbers below `count`, in order; at least `least` of them if there are as many.
    pub(crate) fn subset(&mut self, count: usize, least: usize, percent: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..count).filter(|_| self.chance(percent)).collect();
        for number in 0..count {
            if chosen.len() < least && !chosen.contains(&number) {
                chosen.push(number);
            }
        }
        chosen
    }

    /// Where a span begins; to be given to [`Tape::end_span`].
    pub(crate) fn start_span(&self) -> usize {
        self.next
    }

    pub(crate) fn end_span(&mut self, start: usize) {
        if self.next > start {
            self.spans.push((start, self.next));
        }
    }
}
