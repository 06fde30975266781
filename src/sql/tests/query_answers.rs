//! Queries planned and then evaluated by the interpreter alone, against the rows that PostgreSQL gives.
//!
//! A block is `statement`, `query` (rows in any order), `query ordered` or `error SQLSTATE`, the SQL, and for queries
//! `----` and the rows, columns separated by `|`. `REWRITE=1` writes down what comes.

#[allow(dead_code, unused_imports)]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use expr::{Collection, Relation, interpret};
use repr::{CollectionId, Datum, Diff, Row};
use sql::plan::{Finishing, SelectPlan};
use sql::{Params, Plan};
use support::{Fake, golden, session};

#[test]
fn queries_give_the_rows_that_postgresql_gives() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query_answers");
    golden::check(&directory, |script| {
        let mut world = World::new();
        golden::each_block(script, |text| world.block(text))
    });
}

/// A catalog and the rows of its tables.
struct World {
    catalog: Fake,
    data: BTreeMap<CollectionId, Collection>,
}

impl World {
    fn new() -> World {
        World { catalog: Fake::new(), data: BTreeMap::new() }
    }

    fn block(&mut self, block: &str) -> String {
        let (head, rest) = block.split_once('\n').unwrap_or((block, ""));
        if head.starts_with('#') {
            return block.to_owned();
        }
        let sql = rest.split("\n----").next().unwrap_or_default();
        let outcome = self.execute(sql);
        let (head, lines) = match outcome {
            Ok(None) => ("statement".to_owned(), Vec::new()),
            Ok(Some(mut rows)) => {
                let ordered = head == "query ordered";
                if !ordered {
                    rows.sort();
                }
                (if ordered { "query ordered" } else { "query" }.to_owned(), rows)
            }
            Err((code, message)) => match head.strip_prefix("error ") {
                Some(expected) if expected == code => (head.to_owned(), Vec::new()),
                _ => (format!("error {code}"), vec![message]),
            },
        };
        let is_query = head.starts_with("query") || !lines.is_empty();
        let mut lines = lines.into_iter().map(|line| if line.is_empty() { "(empty)".to_owned() } else { line });
        let mut shown = format!("{head}\n{sql}");
        if is_query {
            shown.push_str("\n----");
            lines.by_ref().for_each(|line| {
                shown.push('\n');
                shown.push_str(&line);
            });
        }
        shown
    }

    /// The rows of a query; None for other statements.
    fn execute(&mut self, sql: &str) -> Result<Option<Vec<String>>, (String, String)> {
        let error = |error: sql::Error| (error.code.to_owned(), error.message);
        let statements = sql::parse(sql).map_err(error)?;
        let [statement] = &statements[..] else { panic!("one statement: {sql}") };
        let plan = sql::plan(statement, &session(), &self.catalog, &mut Params::default()).map_err(error)?;
        match plan {
            Plan::Select(select) => self.rows(select).map(Some),
            Plan::Insert(insert) => {
                let rows = self.evaluate(&insert.relation)?;
                let table = self.data.entry(insert.table).or_default();
                rows.into_iter().for_each(|(row, diff)| table.add_row(row, diff));
                Ok(None)
            }
            other => {
                self.catalog.apply(&other);
                Ok(None)
            }
        }
    }

    fn evaluate(&self, relation: &Relation) -> Result<BTreeMap<Row, Diff>, (String, String)> {
        if let Err(fault) = expr::relation::typecheck(relation) {
            panic!("{fault} in\n{}", relation.pretty());
        }
        let mut data = self.data.clone();
        for item in self.catalog.user_items() {
            data.entry(item.id).or_default();
        }
        let collection = interpret(relation, &data);
        collection.into_result().map_err(|error| (error.code().to_owned(), error.message.clone()))
    }

    fn rows(&self, select: SelectPlan) -> Result<Vec<String>, (String, String)> {
        let typ = select.relation.typ();
        let kinds = typ.kinds();
        let result = self.evaluate(&select.relation)?;
        let mut rows = Vec::new();
        for (row, diff) in &result {
            let datums = row.unpack(&kinds);
            for (datum, column) in datums.iter().zip(&typ.columns) {
                assert!(column.nullable || !datum.is_null(), "NULL in a column that says it has none");
            }
            let count: usize = diff.to_string().parse().expect("a positive multiplicity");
            rows.extend(std::iter::repeat_n(datums, count));
        }
        let Finishing { order_by, limit, offset, project } = select.finishing;
        rows.sort_by(|left, right| expr::order::compare(&order_by, left, right).then_with(|| left.cmp(right)));
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        let kept = rows.into_iter().skip(offset as usize).take(limit);
        Ok(kept
            .map(|row| {
                let shown = project.iter().zip(&select.desc.typ.columns).map(|(column, typ)| match row[*column] {
                    Datum::Null => "NULL".to_owned(),
                    datum => {
                        let mut text = String::new();
                        repr::text::format(datum, &typ.scalar, &mut text);
                        text
                    }
                });
                shown.collect::<Vec<_>>().join("|")
            })
            .collect())
    }
}
