//! Makes a failing world smaller while the difference stays: fewer changes, rows and views, and shorter and smaller tapes,
//! which are simpler queries.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::generate::Vocabulary;
use crate::roads::{Databases, Road};
use crate::trial::{Difference, Tally, Trial};
use crate::world::World;

/// How many smaller worlds are tried at most.
const ATTEMPTS_MAX: usize = 400;

/// How long to try.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Shrinks a world of which `difference` is known.
pub(crate) struct Shrinker<'s> {
    databases: &'s mut Databases,
    vocabulary: Vocabulary<'s>,
    best: World,
    difference: Difference,
    attempts_left: usize,
    started: Instant,
}

impl<'s> Shrinker<'s> {
    /// The smallest world found, and the difference in it. None if it did not come again.
    pub(crate) async fn shrink(
        databases: &'s mut Databases,
        vocabulary: Vocabulary<'s>,
        world: &World,
        difference: &Difference,
    ) -> Result<Option<(World, Difference)>> {
        let Some(view) = difference.view else { return Ok(None) };
        let mut shrinker = Shrinker {
            databases,
            vocabulary,
            best: world.clone(),
            difference: difference.clone(),
            attempts_left: ATTEMPTS_MAX,
            started: Instant::now(),
        };
        if !shrinker.attempt(world.restricted_to(view, vocabulary)).await? {
            return Ok(None);
        }
        loop {
            let before = shrinker.best.clone();
            shrinker.drop_changes().await?;
            shrinker.drop_rows().await?;
            shrinker.simplify_views(view).await?;
            let same = before.changes == shrinker.best.changes
                && before.rows == shrinker.best.rows
                && before.views == shrinker.best.views;
            if same || shrinker.attempts_left == 0 {
                return Ok(Some((shrinker.best, shrinker.difference)));
            }
        }
    }

    /// Takes a world for the best if the difference is there, too.
    async fn attempt(&mut self, world: World) -> Result<bool> {
        if self.attempts_left == 0 || self.started.elapsed() > TIME_MAX {
            return Ok(false);
        }
        self.attempts_left -= 1;
        // Where the planner was right it must stay right, or the shrinker would end at another defect.
        let roads: &[Road] = match self.difference.road {
            Road::Interpreter => &[Road::Interpreter],
            road => &[Road::Interpreter, road],
        };
        let found = Trial::run(self.databases, self.vocabulary, &world, roads, &mut Tally::default()).await?;
        let is_same = |found: &Difference| {
            found.view == self.difference.view
                && found.code == self.difference.code
                && found.road == self.difference.road
        };
        if found.iter().any(|found| found.view == self.difference.view && !is_same(found)) {
            return Ok(false);
        }
        let same = found.into_iter().find(is_same);
        let Some(same) = same else { return Ok(false) };
        self.difference = same;
        self.best = world;
        Ok(true)
    }

    async fn drop_changes(&mut self) -> Result<()> {
        let mut position = 0;
        let mut none = self.best.clone();
        none.changes.clear();
        if !self.best.changes.is_empty() && self.attempt(none).await? {
            return Ok(());
        }
        while position < self.best.changes.len() {
            let mut smaller = self.best.clone();
            smaller.changes.remove(position);
            if !self.attempt(smaller).await? {
                position += 1;
            }
        }
        Ok(())
    }

    async fn drop_rows(&mut self) -> Result<()> {
        let mut size = self.best.rows.len();
        while size > 0 {
            let mut start = 0;
            while start < self.best.rows.len() {
                let mut smaller = self.best.clone();
                smaller.rows.drain(start..(start + size).min(smaller.rows.len()));
                if !self.attempt(smaller).await? {
                    start += size;
                }
            }
            size /= 2;
        }
        Ok(())
    }

    /// From the failing view down to what it reads.
    async fn simplify_views(&mut self, view: usize) -> Result<()> {
        for number in (0..=view).rev() {
            if self.best.kept.contains(&number) {
                self.simplify_view(number).await?;
                self.drop_unread(view);
            }
        }
        Ok(())
    }

    /// What no tape of a needed view mentions any more goes without trial.
    fn drop_unread(&mut self, view: usize) {
        self.best = self.best.restricted_to(view, self.vocabulary);
    }

    /// Drops spans, then makes them all zeros, the largest first; then single choices.
    async fn simplify_view(&mut self, number: usize) -> Result<()> {
        let mut spans = self.spans(number);
        let mut position = 0;
        while position < spans.len() {
            let (start, end) = spans[position];
            let choices = self.choices(number);
            let inner =
                spans.iter().rev().find(|(from, to)| start < *from && *to <= end && to - from < end - start).copied();
            let dropped = [&choices[..start], &choices[end.min(choices.len())..]].concat();
            let zeroed: Vec<u32> = choices
                .iter()
                .enumerate()
                .map(|(at, choice)| if (start..end).contains(&at) { 0 } else { *choice })
                .collect();
            let hoisted = inner
                .map(|(from, to)| [&choices[..start], &choices[from..to], &choices[end.min(choices.len())..]].concat());
            let mut taken = false;
            for candidate in [Some(zeroed), hoisted, Some(dropped)].into_iter().flatten() {
                if candidate != choices && self.attempt_choices(number, candidate).await? {
                    taken = true;
                    break;
                }
            }
            if taken {
                spans = self.spans(number);
            } else {
                position += 1;
            }
        }
        for position in 0..self.choices(number).len() {
            let mut choices = self.choices(number);
            if position < choices.len() && choices[position] > 0 {
                choices[position] = 0;
                self.attempt_choices(number, choices).await?;
            }
        }
        Ok(())
    }

    /// The spans of a view's tape, the longest first.
    fn spans(&self, number: usize) -> Vec<(usize, usize)> {
        let mut spans = self.best.replayed(number, self.vocabulary).spans;
        spans.sort_by_key(|(start, end)| (std::cmp::Reverse(end - start), *start));
        spans.dedup();
        spans
    }

    fn choices(&self, number: usize) -> Vec<u32> {
        self.best.replayed(number, self.vocabulary).choices
    }

    async fn attempt_choices(&mut self, number: usize, choices: Vec<u32>) -> Result<bool> {
        let mut smaller = self.best.clone();
        smaller.views[number].choices = choices;
        smaller.views[number] = smaller.replayed(number, self.vocabulary);
        let texts = |world: &World| world.script(self.vocabulary, "VIEW");
        // Other choices may make the same text.
        let (before, after) = (texts(&self.best), texts(&smaller));
        if before == after || after.len() > before.len() + 40 {
            return Ok(false);
        }
        self.attempt(smaller).await
    }
}
