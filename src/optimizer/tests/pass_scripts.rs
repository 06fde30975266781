//! Golden scripts of single passes: SQL, and the relation right before and after the first time that the pass changes it.
//!
//! A block is `exec` (carried out on the catalog) or `pass NAME`, the SQL, `----`, and what is expected: two relations, or
//! `unchanged` if the pass, wherever it runs, leaves the relation as it is. Each pass has a file. `REWRITE=1` writes down what comes.

#[allow(dead_code, unused_imports)]
#[path = "../../sql/tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use expr::{Relation, Scalar};
use optimizer::{Objects, optimize_traced};
use repr::{CollectionId, ShardId};
use sql::{CatalogView, ItemDefinition, Params, Plan};
use support::{Fake, session};

/// The catalog's views and indexes; tables whose names start with `growing` only grow.
struct Catalog<'a>(&'a Fake);

impl Objects for Catalog<'_> {
    fn view(&self, id: CollectionId) -> Option<Relation> {
        match &self.0.item_by_id(id)?.definition {
            ItemDefinition::View { relation, .. } => Some(relation.clone()),
            _ => None,
        }
    }

    fn shard(&self, _: CollectionId) -> Option<ShardId> {
        Some(ShardId(0))
    }

    fn only_grows(&self, id: CollectionId) -> bool {
        self.0.item_by_id(id).is_some_and(|item| item.name.item.starts_with("growing"))
    }

    fn indexes(&self, id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)> {
        let index = |item: &sql::Item| match &item.definition {
            ItemDefinition::Index { on, keys, .. } if *on == id => Some((item.id, keys.clone())),
            _ => None,
        };
        self.0.items().iter().filter_map(|item| index(item)).collect()
    }
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(directory).expect("the directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn passes_change_what_is_written_down() {
    let rewrite = std::env::vars().any(|(name, _)| name == "REWRITE");
    let mut wrong = Vec::new();
    for path in scripts() {
        let script = fs::read_to_string(&path).expect("a script");
        let mut catalog = Fake::new();
        let blocks = script.trim_end().split("\n\n").map(|text| block(text, &mut catalog));
        let actual = blocks.collect::<Vec<_>>().join("\n\n") + "\n";
        if rewrite {
            fs::write(&path, actual).expect("the script can be written");
        } else if actual != script {
            let pairs = script.split("\n\n").zip(actual.split("\n\n")).filter(|(expected, actual)| expected != actual);
            let shown: String =
                pairs.map(|(expected, actual)| format!("expected\n{expected}\ngot\n{actual}\n")).collect();
            wrong.push(format!("{}\n{shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "passes differ; REWRITE=1 accepts:\n{}", wrong.join("\n"));
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
        let path = scripts().into_iter().find(|path| path.file_name().is_some_and(|name| name == file.as_str()));
        let path = path.unwrap_or_else(|| panic!("the pass \"{pass}\" has no script {file}"));
        let script = fs::read_to_string(path).expect("a script");
        let shows = |block: &str| block.starts_with(&format!("pass {pass}\n")) && block.contains("\n==>\n");
        assert!(script.split("\n\n").any(shows), "{file} shows no change by \"{pass}\"");
    }
}
