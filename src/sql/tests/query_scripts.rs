//! Golden scripts of query planning: SQL, and the relation, columns and finishing it is planned to, or the error.
//!
//! A block is `exec` (carried out on the catalog), `plan`, or `plan int4, text` with the types of parameters declared, the
//! SQL, `----`, and what is expected. `REWRITE=1` writes down what comes.

#[allow(dead_code, unused_imports)]
mod support;

use std::fmt::Write as _;
use std::path::Path;

use sql::plan::SelectPlan;
use sql::{Error, Params, Plan};
use support::{Fake, golden, session};

#[test]
fn queries_are_planned_as_written_down() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query_scripts");
    golden::check(&directory, |script| {
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
    let mut params = Params::default();
    let planned = sql::parse(sql).and_then(|statements| {
        let statement = statements.first().expect("a statement");
        sql::plan(statement, &session(), catalog, &mut params)
    });
    if head == "exec" {
        match planned {
            Ok(plan) => catalog.apply(&plan),
            Err(error) => panic!("{sql}: {error:?}"),
        }
        return format!("{head}\n{sql}");
    }
    let mut shown = match planned {
        Ok(Plan::Select(select)) => show(&select),
        Ok(Plan::Insert(insert)) => insert.relation.pretty(),
        Ok(Plan::CreateMaterializedView(view)) => view.relation.pretty(),
        Ok(other) => format!("{other:?}"),
        Err(error) => show_error(&error, sql),
    };
    if !params.types.is_empty() {
        let types = params.types.iter().map(|typ| match typ {
            Some(typ) => repr::pg_type::sql_name(typ),
            None => "?".to_owned(),
        });
        let _ = write!(shown, "\nparameters: {}", types.collect::<Vec<_>>().join(", "));
    }
    // An empty line would end the block.
    let shown = shown.trim_end().lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    format!("{head}\n{sql}\n----\n{shown}")
}

fn show(select: &SelectPlan) -> String {
    let columns = select.desc.iter().map(|(name, column)| {
        let null = if column.nullable { "" } else { " not null" };
        format!("{name} {}{null}", repr::pg_type::sql_name(&column.scalar))
    });
    let mut shown = format!("{}\n({})", select.relation.pretty().trim_end(), columns.collect::<Vec<_>>().join(", "));
    let finishing = &select.finishing;
    for column in &finishing.order_by {
        let direction = if column.desc { " desc" } else { "" };
        let nulls = if column.nulls_last { "" } else { " nulls first" };
        let _ = write!(shown, "\norder by #{}{direction}{nulls}", column.column);
    }
    if let Some(limit) = finishing.limit {
        let _ = write!(shown, "\nlimit {limit}");
    }
    if finishing.offset > 0 {
        let _ = write!(shown, "\noffset {}", finishing.offset);
    }
    shown
}

fn show_error(error: &Error, sql: &str) -> String {
    let mut shown = format!("{}: {}", error.code, error.message);
    for (label, text) in [("detail", &error.detail), ("hint", &error.hint)] {
        if let Some(text) = text {
            let _ = write!(shown, "\n{label}: {text}");
        }
    }
    if let Some(position) = error.position {
        let at: String = sql.chars().skip(position - 1).take(12).collect();
        let _ = write!(shown, "\nat {position}: {}", at.replace('\n', " "));
    }
    shown
}

/// Plans on the little stack that threads have.
fn outcome(sql: String) -> Result<(), &'static str> {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let statements = sql::parse(&sql).map_err(|error| error.code)?;
        let planned = sql::plan(&statements[0], &session(), &Fake::new(), &mut Params::default());
        planned.map(drop).map_err(|error| error.code)
    });
    thread.expect("a thread").join().expect("planning does not panic")
}

#[test]
fn long_and_deep_inputs_are_planned_or_refused() {
    let repeated = |part: &str, count: usize| part.repeat(count);
    assert_eq!(outcome(format!("SELECT 1{}", repeated("+1", 200_000))), Err("54001"));
    assert_eq!(outcome(format!("SELECT 1{}", repeated("+1", 100))), Ok(()));
    assert_eq!(outcome(format!("SELECT {}1{}", repeated("(", 200_000), repeated(")", 200_000))), Err("54001"));
    assert_eq!(outcome(format!("SELECT 1 IN (0{})", repeated(",1", 50_000))), Ok(()));
    assert_eq!(outcome(format!("SELECT true{}", repeated(" AND 1 = 2", 400))), Ok(()));
    assert_eq!(outcome(format!("SELECT 1{}", repeated(" UNION ALL SELECT 1", 100))), Ok(()));
    assert_eq!(outcome(format!("SELECT 1{}", repeated(",1", 1_600))), Ok(()));
    assert_eq!(outcome(format!("SELECT 1{}", repeated(",1", 2_000))), Err("54011"));
    let froms: Vec<String> = (0..20).map(|n| format!("(SELECT 1 AS c{n}) AS t{n}")).collect();
    assert_eq!(outcome(format!("SELECT * FROM {}", froms.join(", "))), Ok(()));
}
