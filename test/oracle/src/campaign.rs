//! Many worlds, until enough has been compared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use anyhow::Result;

use crate::generate::Vocabulary;
use crate::roads::{Databases, Road};
use crate::shrink::Shrinker;
use crate::signatures::{Signatures, aggregates};
use crate::trial::{Difference, Tally, Trial};
use crate::types::Taste;
use crate::world::World;

/// How long to go on, and from where.
pub struct Campaign {
    pub seed: u64,
    /// Ends after this many comparisons.
    pub comparisons: u64,
    /// Ends after this many worlds that differ.
    pub failures: u64,
    /// The roads that are taken.
    pub roads: Vec<Road>,
    /// How many worlds are under way at once, each in databases of its own: while one thinks, others may work.
    pub workers: u64,
}

/// What a campaign found.
#[derive(Debug, Default)]
pub struct Report {
    worlds: u64,
    functions: usize,
    seconds: u64,
    tally: Tally,
    /// A script and what differs at its end.
    pub failures: Vec<String>,
    /// Lines of the server's log that tell of a defect.
    pub log_lines: Vec<String>,
}

impl Campaign {
    /// Runs it. World `n` has the seed `self.seed + n`, so that a failing one can be run alone.
    pub async fn run(&self) -> Result<Report> {
        let started = Instant::now();
        let report = RefCell::new(Report::default());
        let workers = (0..self.workers.max(1)).map(|_| self.work(started, &report));
        futures::future::try_join_all(workers).await?;
        let mut report = report.into_inner();
        report.seconds = started.elapsed().as_secs();
        Ok(report)
    }

    /// Makes worlds until there have been enough.
    async fn work(&self, started: Instant, report: &RefCell<Report>) -> Result<()> {
        let mut databases = Databases::start().await?;
        let signatures = Signatures::load(&databases.theirs).await?;
        let aggregates = aggregates();
        report.borrow_mut().functions = signatures.len();
        while let Some(seed) = self.next_seed(report) {
            let taste = if seed % 4 == 3 { Taste::Wild } else { Taste::Tame };
            let vocabulary = Vocabulary { signatures: &signatures, aggregates: &aggregates, taste };
            let world = World::random(seed, vocabulary);
            let mut tally = Tally { refused: report.borrow().tally.refused.clone(), ..Tally::default() };
            let outcome = Trial::run(&mut databases, vocabulary, &world, &self.roads, &mut tally).await;
            report.borrow_mut().tally.add(tally);
            let failure = match outcome {
                Ok(differences) => match differences.first() {
                    None => None,
                    Some(first) => Some(explain(&mut databases, vocabulary, &world, first).await),
                },
                Err(error) if databases.ours.is_closed() => {
                    Some(format!("the server went away: {error:#}\n{}", world.script(vocabulary, "MATERIALIZED VIEW")))
                }
                Err(error) => Some(format!("{error:#}\n{}", world.script(vocabulary, "MATERIALIZED VIEW"))),
            };
            if let Some(failure) = failure {
                let failure = format!("world FRESHET_TEST_SEED={seed}:\n{failure}");
                eprintln!("{failure}");
                report.borrow_mut().failures.push(failure);
            }
            if databases.ours.is_closed() || databases.theirs.is_closed() {
                let lines = system_test::server::unexpected_log_lines(databases.server.data_dir());
                report.borrow_mut().log_lines.extend(lines);
                databases = Databases::start().await?;
            }
        }
        let lines = system_test::server::unexpected_log_lines(databases.server.data_dir());
        report.borrow_mut().log_lines.extend(lines);
        eprintln!("a worker is done after {} s", started.elapsed().as_secs());
        Ok(())
    }

    /// The seed of the next world, if there has not been enough.
    fn next_seed(&self, report: &RefCell<Report>) -> Option<u64> {
        let mut report = report.borrow_mut();
        if report.tally.comparisons >= self.comparisons || report.failures.len() as u64 >= self.failures {
            return None;
        }
        if report.worlds.is_multiple_of(10) {
            eprintln!("{} comparisons, world {} begins", report.tally.comparisons, report.worlds);
        }
        report.worlds += 1;
        Some(self.seed.wrapping_add(report.worlds - 1))
    }
}

/// The shortest script found that shows a difference.
async fn explain(
    databases: &mut Databases,
    vocabulary: Vocabulary<'_>,
    world: &World,
    difference: &Difference,
) -> String {
    let shrunk = Shrinker::shrink(databases, vocabulary, world, difference).await;
    let (world, difference, remark) = match shrunk {
        Ok(Some((world, difference))) => (world, difference, ""),
        Ok(None) => (world.clone(), difference.clone(), "-- (shrinking did not meet it again)\n"),
        Err(error) => return format!("{error:#}\n{}", world.script(vocabulary, "MATERIALIZED VIEW")),
    };
    let Difference { view, road, step, what, code: _ } = difference;
    let mut world = world;
    world.changes.truncate(step);
    let name = view.map_or_else(|| "the last change".to_owned(), |view| format!("v{view}"));
    let kind = road.views().1;
    format!("{remark}{}-- {name} by {road:?}: {what}\n", world.script(vocabulary, kind))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { comparisons, views, errors, lax, refused, unsupported, rejected } = &self.tally;
        let (worlds, functions, seconds) = (self.worlds, self.functions, self.seconds);
        writeln!(
            f,
            "{comparisons} comparisons, {views} views, {worlds} worlds, {functions} shared functions, {seconds} s"
        )?;
        writeln!(f, "{errors} times both databases reported an error")?;
        let mut list = |title: &str, counts: Vec<(&str, u64)>| -> fmt::Result {
            let mut counts = counts;
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            counts.iter().take(15).try_for_each(|(what, count)| writeln!(f, "{title}: {count} times: {what}"))
        };
        let owned = |counts: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
            counts.iter().map(|(what, count)| (what.clone(), *count)).collect()
        };
        list("open", lax.iter().map(|(what, count)| (*what, *count)).collect())?;
        let (refused, unsupported, rejected) = (owned(refused), owned(unsupported), owned(rejected));
        list("refused", refused.iter().map(|(what, count)| (what.as_str(), *count)).collect())?;
        list("not supported", unsupported.iter().map(|(what, count)| (what.as_str(), *count)).collect())?;
        list("PostgreSQL does not take", rejected.iter().map(|(what, count)| (what.as_str(), *count)).collect())
    }
}
