//! How long it takes to plan a query, from its text to what is sent to a replica, in this process and over a catalog in memory.

#[path = "../../../src/optimizer/tests/support/mod.rs"]
mod support;

use anyhow::{Result, anyhow, ensure};
use optimizer::{Access, Purpose};
use repr::CollectionId;
use serde_json::json;
use sql::{Params, Plan};
use support::Catalog;
use support::planner::{Fake, session};

use crate::figure::{Report, ms_since, now};

/// Tables that are joined in a chain, and to the first of them.
const JOINED: usize = 10;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Plannings of each query.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds > 0, "rounds must be positive");
    let mut catalog = Fake::new();
    for table in 0..JOINED {
        define(
            &mut catalog,
            &format!("CREATE TABLE t{table} (k int NOT NULL, next int NOT NULL, hub int, v numeric(10, 2), c text)"),
        )?;
        define(&mut catalog, &format!("CREATE INDEX t{table}_k ON t{table} (k)"))?;
    }
    let queries = [
        ("select_1", "SELECT 1".to_owned(), Expected::Constant),
        ("point", "SELECT v FROM t0 WHERE k = 7".to_owned(), Expected::Index),
        (
            "aggregate",
            "SELECT c, sum(v) FROM t0 WHERE v > 1 GROUP BY c ORDER BY 2 DESC LIMIT 5".to_owned(),
            Expected::Dataflow,
        ),
        ("join_10_chain", joined(|table| format!("t{}.next = t{table}.k", table - 1)), Expected::Dataflow),
        ("join_10_star", joined(|table| format!("t0.hub + {table} = t{table}.k")), Expected::Dataflow),
    ];
    let report = Report::new("planning", json!({ "rounds": options.rounds, "joined": JOINED }));
    for (name, text, expected) in queries {
        let mut samples = Vec::new();
        for _ in 0..options.rounds {
            let start = now();
            let found = plan(&catalog, &text)?;
            samples.push(ms_since(start));
            ensure!(found == expected, "{name} is planned as {found:?}, not as {expected:?}");
        }
        report.print_samples(name, "freshet", &samples, "ms");
    }
    Ok(())
}

/// How a query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Without a dataflow, and without a read.
    Constant,
    Index,
    Dataflow,
}

/// A query that joins all tables and aggregates.
fn joined(condition: impl Fn(usize) -> String) -> String {
    let joins: Vec<String> = (1..JOINED).map(|table| format!("JOIN t{table} ON {}", condition(table))).collect();
    let last = JOINED - 1;
    format!(
        "SELECT t0.c, count(*), sum(t{last}.v) FROM t0 {} WHERE t5.v > 10 AND t{last}.c = 'x' GROUP BY t0.c",
        joins.join(" ")
    )
}

fn failed(error: sql::Error) -> anyhow::Error {
    anyhow!("{} {}", error.code, error.message)
}

fn define(catalog: &mut Fake, statement: &str) -> Result<()> {
    for statement in &sql::parse(statement).map_err(failed)? {
        let plan = sql::plan(statement, &session(), catalog, &mut Params::default()).map_err(failed)?;
        catalog.apply(&plan);
    }
    Ok(())
}

/// Does what a session does between a query's text and its first message to a replica.
fn plan(catalog: &Fake, text: &str) -> Result<Expected> {
    let statements = sql::parse(text).map_err(failed)?;
    let plan = sql::plan(&statements[0], &session(), catalog, &mut Params::default()).map_err(failed)?;
    let Plan::Select(select) = plan else { return Err(anyhow!("{text} is no query")) };
    let objects = Catalog(catalog);
    let relation = optimizer::optimize(select.relation, &objects);
    Ok(match optimizer::access(&relation, &objects) {
        Access::Constant(_) => Expected::Constant,
        Access::Index(_) => Expected::Index,
        Access::Dataflow => {
            let object = vec![(CollectionId::Transient(0), relation)];
            let dataflow = optimizer::lower("planned".to_owned(), Purpose::OneOff, object, &objects, Vec::new())?;
            ensure!(!dataflow.imports.is_empty(), "the dataflow reads something");
            Expected::Dataflow
        }
    })
}
