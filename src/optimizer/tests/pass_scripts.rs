//! Golden scripts of single passes: SQL, and the relation right before and after the first time that the pass changes it.
//!
//! A block is `exec` (carried out on the catalog) or `pass NAME`, the SQL, `----`, and what is expected: two relations, or
//! `unchanged` if the pass, wherever it runs, leaves the relation as it is. Each pass has a file. `REWRITE=1` writes down what comes.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use expr::Relation;
use optimizer::optimize_traced;
use sql::{Params, Plan};
use support::Catalog;
use support::planner::{Fake, golden, session};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

#[test]
fn passes_change_what_is_written_down() {
    golden::check(&directory(), |script| {
        let mut catalog = Fake::new();
        golden::each_block(script, |text| block(text, &mut catalog))
    });
}

fn block(text: &str, catalog: &mut Fake) -> String {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    if head.starts_with('#') {
        return text.to_owned();
    }
    let sql = rest.split("\n----").next().unwrap_or_default();
    let statements = sql::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let statement = statements.first().expect("a statement");
    let planned = sql::plan(statement, &session(), catalog, &mut Params::default());
    let plan = planned.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let Some(pass) = head.strip_prefix("pass ") else {
        assert_eq!(head, "exec", "a block is exec or pass");
        catalog.apply(&plan);
        return format!("{head}\n{sql}");
    };
    let Plan::Select(select) = plan else { panic!("{sql} is a query") };
    let change = match first_change(select.relation, pass, catalog) {
        Some((before, after)) => format!("{}==>\n{}", before.pretty(), after.pretty()),
        None => "unchanged\n".to_owned(),
    };
    format!("{head}\n{sql}\n----\n{}", change.trim_end())
}

/// The relation before and after the pass first changes it.
fn first_change(relation: Relation, pass: &str, catalog: &Fake) -> Option<(Relation, Relation)> {
    let mut last = relation.clone();
    let mut change = None;
    let mut has_run = false;
    optimize_traced(relation, &Catalog(catalog), &mut |name, after| {
        has_run |= name == pass;
        if name == pass && change.is_none() && *after != last {
            change = Some((last.clone(), after.clone()));
        }
        last = after.clone();
    });
    assert!(has_run, "there is no pass {pass}");
    change
}

#[test]
fn each_pass_has_a_script() {
    let mut passes = BTreeSet::new();
    optimize_traced(Relation::unit(), &Catalog(&Fake::new()), &mut |pass, _| {
        passes.insert(pass);
    });
    for pass in passes {
        let file = format!("{}.txt", pass.replace(' ', "_"));
        let path = golden::scripts(&directory())
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| name == file.as_str()));
        let path = path.unwrap_or_else(|| panic!("the pass \"{pass}\" has no script {file}"));
        let script = fs::read_to_string(path).expect("a script");
        let shows = |block: &str| block.starts_with(&format!("pass {pass}\n")) && block.contains("\n==>\n");
        assert!(script.split("\n\n").any(shows), "{file} shows no change by \"{pass}\"");
    }
}
