//! Golden scripts: statements against a catalog in memory, and what comes of them.
//!
//! A block is a directive (`plan`, `exec`, `describe`, `parse`), the statements, `----`, and what is expected; blocks are
//! separated by empty lines. `exec` also carries the plan out, and checks that what it made can be made again from its
//! normalized text in a session where no short name means anything. `REWRITE=1` writes down what comes.

use std::path::Path;

use crate::support::{Fake, foreign_session, golden, render_description, render_error, render_plan, session};
use sql::{Error, ItemDefinition, Params, Plan, Statement};

#[test]
fn scripts() {
    golden::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts"), run);
}

/// Runs a script and returns it with what came in place of what was expected.
fn run(script: &str) -> String {
    let mut catalog = Fake::new();
    golden::each_block(script, |block| {
        let lines: Vec<&str> = block.lines().collect();
        let Some(start) = lines.iter().position(|line| !line.starts_with('#')) else { return block.to_owned() };
        let end = lines.iter().position(|line| *line == "----").unwrap_or(lines.len());
        let output = execute(&mut catalog, lines[start], &lines[start + 1..end].join("\n"));
        format!("{}\n----\n{}", lines[..end].join("\n"), output.trim_end().replace("\n\n", "\n"))
    })
}

fn execute(catalog: &mut Fake, directive: &str, input: &str) -> String {
    let statements = match sql::parse(input) {
        Ok(statements) => statements,
        Err(error) => return render_error(&error),
    };
    let mut output = String::new();
    for statement in statements {
        let shown = match directive {
            "parse" => Ok(format!("{} @{} {}\n", statement.kind.name(), statement.offset, statement.text)),
            "plan" => plan(catalog, &statement).map(|plan| render_plan(&plan)),
            "exec" => exec(catalog, &statement),
            "describe" => sql::describe(&statement, &session(), catalog, &mut Params::default())
                .map(|description| render_description(&description)),
            other => panic!("unknown directive {other}"),
        };
        output.push_str(&shown.unwrap_or_else(|error| render_error(&error)));
    }
    output
}

fn plan(catalog: &Fake, statement: &Statement) -> Result<Plan, Error> {
    sql::plan(statement, &session(), catalog, &mut Params::default())
}

fn exec(catalog: &mut Fake, statement: &Statement) -> Result<String, Error> {
    let plan = plan(catalog, statement)?;
    let before: Vec<_> = catalog.user_items().iter().map(|item| item.id).collect();
    catalog.apply(&plan);
    for item in catalog.user_items().iter().filter(|item| !before.contains(&item.id)) {
        assert_same_when_made_again(catalog, item);
    }
    Ok(render_plan(&plan))
}

/// The normalized text of an item makes the same item, whatever the session, and is its own normal form.
fn assert_same_when_made_again(catalog: &Fake, item: &sql::Item) {
    let mut other = catalog.without(item.id);
    let statements = sql::parse(&item.create_sql).unwrap_or_else(|error| panic!("{error}: {}", item.create_sql));
    let plan = sql::plan(&statements[0], &foreign_session(), &other, &mut Params::default())
        .unwrap_or_else(|error| panic!("{}: {}", item.create_sql, render_error(&error)));
    other.apply(&plan);
    let made = other.user_items();
    let again = made.iter().find(|again| again.name == item.name).expect("an item of the same name");
    assert_eq!(again.create_sql, item.create_sql);
    assert_eq!(again.desc(), item.desc(), "{}", item.create_sql);
    assert_eq!(again.depends_on, item.depends_on, "{}", item.create_sql);
    match (&again.definition, &item.definition) {
        (ItemDefinition::View { relation, .. }, ItemDefinition::View { relation: before, .. })
        | (
            ItemDefinition::MaterializedView { relation, .. },
            ItemDefinition::MaterializedView { relation: before, .. },
        ) => {
            assert_eq!(relation, before, "{}", item.create_sql);
        }
        (ItemDefinition::Index { keys, .. }, ItemDefinition::Index { keys: before, .. }) => assert_eq!(keys, before),
        (ItemDefinition::Table { defaults, .. }, ItemDefinition::Table { defaults: before, .. }) => {
            assert_eq!(defaults, before);
        }
        _ => {}
    }
}
