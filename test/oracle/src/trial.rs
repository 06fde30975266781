//! One world, carried out in both databases; every answer of every road is compared after every change.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::answer::{Answer, Failure, Verdict, compare, is_of_data};
use crate::generate::Vocabulary;
use crate::interpreter::Interpreter;
use crate::metamorphic::{Check, checks};
use crate::roads::{Databases, Road, ask, ask_all, execute, execute_all};
use crate::subscription::Subscription;
use crate::world::{View, World};

/// What was compared, and what came of it where it was no difference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) comparisons: u64,
    pub(crate) views: u64,
    /// Comparisons in which both sides reported an error.
    pub(crate) errors: u64,
    /// Comparisons in which one side alone failed, for a reason that is open to it.
    pub(crate) lax: BTreeMap<&'static str, u64>,
    /// Queries that PostgreSQL takes and Freshet does not, for a reason that has been reported.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Queries that PostgreSQL takes and Freshet says it does not support.
    pub(crate) unsupported: BTreeMap<String, u64>,
    /// Queries that PostgreSQL does not take: the generator's mistakes.
    pub(crate) rejected: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds what another counted; what was refused before is in both.
    pub(crate) fn add(&mut self, other: Tally) {
        let Tally { comparisons, views, errors, lax, refused, unsupported, rejected } = other;
        self.comparisons += comparisons;
        self.views += views;
        self.errors += errors;
        lax.into_iter().for_each(|(why, count)| *self.lax.entry(why).or_default() += count);
        for (what, count) in refused {
            let times = self.refused.entry(what).or_default();
            *times = count.max(*times);
        }
        unsupported.into_iter().for_each(|(what, count)| *self.unsupported.entry(what).or_default() += count);
        rejected.into_iter().for_each(|(what, count)| *self.rejected.entry(what).or_default() += count);
    }
}

/// Where Freshet and PostgreSQL differ.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// None if it is a change that differs.
    pub(crate) view: Option<usize>,
    pub(crate) road: Road,
    /// After how many changes.
    pub(crate) step: usize,
    pub(crate) what: String,
    /// Where the shrinker must not lead from one defect to another.
    pub(crate) code: Option<String>,
}

/// A view that both databases hold.
struct Live {
    number: usize,
    view: View,
    subscription: Option<Subscription>,
}

/// A world under way.
pub(crate) struct Trial<'t> {
    databases: &'t mut Databases,
    vocabulary: Vocabulary<'t>,
    world: &'t World,
    roads: &'t [Road],
    /// False if all roads lie in this process: then Freshet's server is left alone.
    on_server: bool,
    tally: &'t mut Tally,
    schema: String,
    interpreter: Interpreter,
    live: Vec<Live>,
    differences: Vec<Difference>,
}

impl<'t> Trial<'t> {
    /// Carries out a world and returns the differences of the first step that has some.
    pub(crate) async fn run(
        databases: &'t mut Databases,
        vocabulary: Vocabulary<'t>,
        world: &'t World,
        roads: &'t [Road],
        tally: &'t mut Tally,
    ) -> Result<Vec<Difference>> {
        let on_server = roads.iter().any(|road| !road.is_in_process());
        let schema = databases.enter_schema(on_server).await?;
        let mut trial = Trial {
            databases,
            vocabulary,
            world,
            roads,
            on_server,
            tally,
            schema: schema.clone(),
            interpreter: Interpreter::new(),
            live: Vec::new(),
            differences: Vec::new(),
        };
        let outcome = trial.carry_out().await;
        let Trial { differences, live, databases, .. } = trial;
        drop(live);
        if let Err(failure) = databases.leave_schema(&schema, on_server).await {
            bail!("cannot drop {schema}: {failure:?}");
        }
        outcome.map(|()| differences)
    }

    async fn carry_out(&mut self) -> Result<()> {
        self.create().await?;
        for step in 0..=self.world.changes.len() {
            if step > 0 && !self.change(step).await {
                return Ok(());
            }
            self.compare_all(step).await?;
            if !self.differences.is_empty() {
                return Ok(());
            }
        }
        if self.roads == Road::ALL {
            self.put_in_and_take_out().await?;
            self.ask_by_parts().await?;
        }
        Ok(())
    }

    async fn create(&mut self) -> Result<()> {
        let tables: Vec<String> = self.world.tables.iter().map(crate::world::Table::create).collect();
        let filled: Vec<String> = tables.iter().cloned().chain(self.world.inserts()).collect();
        let ours = self.on_server.then_some(&self.databases.ours);
        for client in [Some(&self.databases.theirs), ours].into_iter().flatten() {
            for (outcome, statement) in execute_all(client, &filled).await.into_iter().zip(&filled) {
                outcome.map_err(|failure| anyhow::anyhow!("{statement}: {failure:?}"))?;
            }
        }
        for table in &tables {
            let defined = self.interpreter.define(table);
            defined.map_err(|failure| anyhow::anyhow!("{table}: {failure:?}"))?;
        }
        let views = self.views_of_postgres().await;
        self.create_views(views).await
    }

    /// The views that PostgreSQL takes.
    async fn views_of_postgres(&mut self) -> Vec<(usize, View)> {
        let views = self.world.kept_views(self.vocabulary);
        self.tally.views += views.len() as u64;
        let creates: Vec<String> =
            views.iter().map(|(number, view)| format!("CREATE VIEW v{number} AS {}", view.text("v"))).collect();
        let outcomes = execute_all(&self.databases.theirs, &creates).await;
        let mut taken: Vec<(usize, View)> = Vec::new();
        for ((number, view), outcome) in views.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => taken.push((number, view)),
                // It reads a view that was not taken.
                Err(failure) if failure.code == "42P01" => {}
                Err(failure) => *self.tally.rejected.entry(failure.message).or_default() += 1,
            }
        }
        taken
    }

    async fn create_views(&mut self, views: Vec<(usize, View)>) -> Result<()> {
        let creates: Vec<Vec<(Road, String)>> =
            views.iter().map(|(number, view)| self.definitions(*number, view)).collect();
        let on_server: Vec<String> = creates
            .iter()
            .flatten()
            .filter(|(road, _)| !road.is_in_process())
            .map(|(_, create)| create.clone())
            .collect();
        let mut outcomes = execute_all(&self.databases.ours, &on_server).await.into_iter();
        for ((number, view), creates) in views.into_iter().zip(creates) {
            let mut refusal = None;
            for (road, create) in creates {
                let outcome = match road.is_in_process() {
                    true => self.interpreter.define(&create),
                    false => outcomes.next().context("an outcome of each statement")?.map(|_| ()),
                };
                if let Err(failure) = outcome {
                    refusal.get_or_insert((road, failure));
                }
            }
            let reads_refused = view.reads.iter().any(|read| self.live.iter().all(|live| live.number != *read));
            match refusal {
                Some((road, failure)) if !reads_refused => self.refused(number, road, failure),
                Some(_) => {}
                None => {
                    let subscription = self.subscribe(number).await?;
                    self.live.push(Live { number, view, subscription });
                }
            }
        }
        Ok(())
    }

    /// What must be defined for a view on all roads.
    fn definitions(&self, number: usize, view: &View) -> Vec<(Road, String)> {
        let mut definitions = Vec::new();
        // What may fail is known from the interpreter, whatever road is taken.
        for road in [Road::Interpreter].iter().chain(self.roads) {
            let (prefix, kind) = road.views();
            // Two roads may read the same view.
            if definitions.iter().any(|(other, _): &(Road, String)| {
                other.views() == (prefix, kind) && other.is_in_process() == road.is_in_process()
            }) {
                continue;
            }
            definitions.push((*road, format!("CREATE {kind} {prefix}{number} AS {}", view.text(prefix))));
            if *road == Road::IndexedView {
                definitions.push((*road, format!("CREATE DEFAULT INDEX ON {prefix}{number}")));
            }
        }
        definitions
    }

    async fn subscribe(&self, number: usize) -> Result<Option<Subscription>> {
        if !self.roads.contains(&Road::Subscription) {
            return Ok(None);
        }
        let query = format!("SELECT * FROM q{number}");
        Ok(Some(Subscription::start(&self.databases.server, &self.schema, &query).await?))
    }

    fn refused(&mut self, view: usize, road: Road, failure: Failure) {
        if failure.code == "0A000" {
            *self.tally.unsupported.entry(failure.message).or_default() += 1;
            return;
        }
        let what = format!("cannot be created: {} ({})", failure.code, failure.message);
        let times = self.tally.refused.entry(what.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return;
        }
        self.differences.push(Difference { view: Some(view), road, step: 0, what, code: Some(failure.code) });
    }

    /// Applies a change to both databases; false if only one of them took it.
    async fn change(&mut self, step: usize) -> bool {
        let statement = &self.world.changes[step - 1];
        let theirs = execute(&self.databases.theirs, statement);
        if !self.on_server {
            // What the tables then hold, the interpreter is told.
            let _ = theirs.await;
            return true;
        }
        let (expected, actual) = futures::join!(theirs, execute(&self.databases.ours, statement));
        let (what, code) = match (&expected, &actual) {
            (Ok(expected), Ok(actual)) if expected == actual => return true,
            (Ok(expected), Ok(actual)) => (format!("changes {actual} rows, expected {expected}"), None),
            (Err(_), Err(failure)) if !failure.code.starts_with("XX") && !failure.code.starts_with("08") => {
                return true;
            }
            // PostgreSQL may meet an error in a row that its other conditions would have left out, and the reverse.
            (Err(_), Ok(_)) | (Ok(_), Err(Failure { .. })) if is_lax_change(&expected, &actual) => {
                *self.tally.lax.entry("a change fails in one database").or_default() += 1;
                return false;
            }
            (expected, Err(failure)) => (
                format!("fails with {} ({}), expected {expected:?}", failure.code, failure.message),
                Some(failure.code.clone()),
            ),
            (Err(expected), Ok(_)) => (format!("succeeds, expected {} ({})", expected.code, expected.message), None),
        };
        let what = format!("{what}\n  {statement}");
        self.differences.push(Difference { view: None, road: Road::OneOff, step, what, code });
        false
    }

    async fn compare_all(&mut self, step: usize) -> Result<()> {
        let tables: Vec<String> =
            self.world.tables.iter().map(|table| format!("SELECT * FROM {}", table.name)).collect();
        let views: Vec<String> = self.live.iter().map(|live| format!("SELECT * FROM v{}", live.number)).collect();
        let queries = [tables, views].concat();
        let mut answers = ask_all(&self.databases.theirs, &queries).await;
        let expected = answers.split_off(self.world.tables.len());
        for (table, rows) in self.world.tables.iter().zip(answers) {
            let rows = rows.map_err(|failure| anyhow::anyhow!("{}: {failure:?}", table.name))?;
            self.interpreter.fill(&table.name, &table.types, &rows)?;
        }
        // As written, the interpreter computes everything. What it does not fail at, no other road may fail at.
        let may_fail: Vec<bool> =
            self.answers(Road::Interpreter).await?.into_iter().map(|answer| answer.is_err()).collect();
        for road in self.roads {
            let actual = self.answers(*road).await?;
            for (position, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
                // What is too expensive even for PostgreSQL is left out.
                if !matches!(expected, Err(failure) if failure.code == "57014") {
                    self.judge(position, *road, step, expected, actual, may_fail[position]);
                }
            }
        }
        Ok(())
    }

    /// What all views hold, by one road.
    async fn answers(&mut self, road: Road) -> Result<Vec<Answer>> {
        let names: Vec<String> = self.live.iter().map(|live| format!("{}{}", road.views().0, live.number)).collect();
        Ok(match road {
            Road::Interpreter => names.iter().map(|name| self.interpreter.read_planned(name)).collect(),
            Road::Optimizer => names.iter().map(|name| self.interpreter.read_optimized(name)).collect(),
            Road::OneOff | Road::IndexedView | Road::MaterializedView => {
                let queries: Vec<String> = names.iter().map(|name| format!("SELECT * FROM {name}")).collect();
                ask_all(&self.databases.ours, &queries).await
            }
            Road::Subscription => self.subscribed_answers().await?,
        })
    }

    async fn subscribed_answers(&mut self) -> Result<Vec<Answer>> {
        for position in 0..self.live.len() {
            // An error ends a subscription. A new one begins here and not at once, when its view might still have failed.
            if self.live[position].subscription.as_ref().is_some_and(Subscription::has_ended) {
                self.live[position].subscription = self.subscribe(self.live[position].number).await?;
            }
        }
        let now = self.databases.now().await?;
        self.databases.advance().await?;
        let mut answers = Vec::new();
        for live in &mut self.live {
            let subscription = live.subscription.as_mut().context("a view has its subscription")?;
            answers.push(subscription.at(now + 1).await);
        }
        Ok(answers)
    }

    fn judge(&mut self, position: usize, road: Road, step: usize, expected: &Answer, actual: &Answer, may_fail: bool) {
        let live = &self.live[position];
        self.tally.comparisons += 1;
        if expected.is_err() && actual.is_err() {
            self.tally.errors += 1;
        }
        match compare(&live.view.query.columns, expected, actual, may_fail && is_lazy(&live.view)) {
            Verdict::Same => {}
            Verdict::Lax(why) => *self.tally.lax.entry(why).or_default() += 1,
            Verdict::Different(what) => {
                let code = actual.as_ref().err().map(|failure| failure.code.clone());
                self.differences.push(Difference { view: Some(live.number), road, step, what, code });
            }
        }
    }

    /// Rows that are put in and taken out again leave no trace, and it is all the same whether they came in one transaction.
    async fn put_in_and_take_out(&mut self) -> Result<()> {
        let table = self.world.tables[0].name.clone();
        let rows = self.world.marked_rows(self.databases.now().await?);
        let delete = format!("DELETE FROM {table} WHERE c0 = {}", crate::world::MARK);
        let mark = ask(&self.databases.ours, &format!("SELECT 1 FROM {table} WHERE c0 = {}", crate::world::MARK)).await;
        if mark != Ok(Vec::new()) {
            return Ok(());
        }
        let together = vec![format!("INSERT INTO {table} VALUES {}", rows.join(", "))];
        let one_by_one: Vec<String> = rows.iter().map(|row| format!("INSERT INTO {table} VALUES {row}")).collect();
        let before = self.maintained_answers().await?;
        let with_all = self.after(&together).await?;
        let after_all = self.after(std::slice::from_ref(&delete)).await?;
        let with_each = self.after(&one_by_one).await?;
        let after_each = self.after(std::slice::from_ref(&delete)).await?;
        self.must_agree("taking out what was put in", &before, &after_all);
        self.must_agree("one transaction or several", &with_all, &with_each);
        self.must_agree("taking out what was put in one by one", &before, &after_each);
        Ok(())
    }

    async fn after(&mut self, statements: &[String]) -> Result<Vec<(usize, Road, Answer)>> {
        for statement in statements {
            execute(&self.databases.ours, statement)
                .await
                .map_err(|failure| anyhow::anyhow!("{statement}: {failure:?}"))?;
        }
        self.maintained_answers().await
    }

    async fn maintained_answers(&mut self) -> Result<Vec<(usize, Road, Answer)>> {
        let mut all = Vec::new();
        for road in [Road::IndexedView, Road::MaterializedView, Road::Subscription] {
            let answers = self.answers(road).await?;
            all.extend(answers.into_iter().enumerate().map(|(position, answer)| (position, road, answer)));
        }
        Ok(all)
    }

    fn must_agree(&mut self, law: &str, left: &[(usize, Road, Answer)], right: &[(usize, Road, Answer)]) {
        let step = self.world.changes.len();
        for ((position, road, expected), (_, _, actual)) in left.iter().zip(right) {
            self.tally.comparisons += 1;
            let live = &self.live[*position];
            if let Verdict::Different(what) = compare(&live.view.query.columns, expected, actual, false) {
                let what = format!("{law}: {}", what.replace("PostgreSQL's", "before").replace("Freshet's", "after"));
                self.differences.push(Difference { view: Some(live.number), road: *road, step, what, code: None });
            }
        }
    }

    /// A query is the sum of its parts; see [`crate::metamorphic`].
    async fn ask_by_parts(&mut self) -> Result<()> {
        let vocabulary = self.vocabulary;
        let checks: Vec<(usize, Check)> = self
            .live
            .iter()
            .flat_map(|live| checks(live.number, &live.view, vocabulary).into_iter().map(|check| (live.number, check)))
            .collect();
        let queries: Vec<String> =
            checks.iter().flat_map(|(_, check)| [check.whole.clone(), check.parts.clone()]).collect();
        let answers = ask_all(&self.databases.ours, &queries).await;
        for ((number, check), answers) in checks.iter().zip(answers.chunks(2)) {
            let [whole, parts] = answers else { unreachable!("two queries of each check") };
            if whole.is_err() || parts.is_err() {
                continue;
            }
            self.tally.comparisons += 1;
            if let Verdict::Different(what) = compare(&check.columns, whole, parts, true) {
                let what = format!("{}:\n  {}\n  {}\n{what}", check.law, check.whole, check.parts);
                let (view, step) = (Some(*number), self.world.changes.len());
                self.differences.push(Difference { view, road: Road::OneOff, step, what, code: None });
            }
        }
        Ok(())
    }
}

/// Only one database fails, for values that the other need not have looked at.
fn is_lax_change(expected: &Result<u64, Failure>, actual: &Result<u64, Failure>) -> bool {
    let by_values = |failure: &Failure| failure.code.starts_with("22") || failure.code.starts_with("21");
    // PostgreSQL also computes constants that Freshet leaves alone.
    expected.as_ref().err().is_none_or(|failure| is_of_data(&failure.code))
        && actual.as_ref().err().is_none_or(by_values)
}

/// True if parts of the query need not be computed for every row, so that an error in them is open.
fn is_lazy(view: &View) -> bool {
    let sql = &view.query.sql;
    let reads_views = !view.reads.is_empty();
    reads_views
        || sql.matches("SELECT").count() > 1
        || [" JOIN ", " WHERE ", " HAVING "].iter().any(|word| sql.contains(word))
}
