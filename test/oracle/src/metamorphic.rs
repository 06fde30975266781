//! Laws that answers keep among themselves, whatever the rows are.
//!
//! * TLP: a query is the sum of its rows for which a predicate is true, is false, and is NULL.
//! * NoREC: as many rows pass a filter as make its predicate true in a select list, where nothing can be optimized.
//!
//! That rows put in and taken out leave no trace, and that it does not matter whether they came in one transaction, is
//! checked by [`crate::trial`].

use repr::ScalarType;

use crate::generate::{Column, Generator, Relation, Vocabulary};
use crate::tape::Tape;
use crate::world::View;

/// Two queries that must give the same rows.
pub(crate) struct Check {
    pub(crate) law: &'static str,
    pub(crate) whole: String,
    pub(crate) parts: String,
    pub(crate) columns: Vec<Column>,
}

/// Checks of a view, each on a road where other plans are made.
pub(crate) fn checks(number: usize, view: &View, vocabulary: Vocabulary<'_>) -> Vec<Check> {
    let relation = |name: String| Relation { name, columns: view.query.columns.clone(), rows: view.query.rows };
    let mut checks = Vec::new();
    for (position, prefix) in ["q", "v", "m"].into_iter().enumerate() {
        let name = format!("{prefix}{number}");
        let relation = relation(name.clone());
        let seed = (number * 3 + position) as u64 ^ view.query.sql.len() as u64;
        let mut generator = Generator::new(Tape::random(seed), vocabulary, std::slice::from_ref(&relation));
        let predicate = generator.condition(&relation);
        let part = |condition: String| format!("SELECT * FROM {name} WHERE {condition}");
        checks.push(Check {
            law: "a query is the sum of its three parts",
            whole: format!("SELECT * FROM {name}"),
            parts: [predicate.clone(), format!("NOT {predicate}"), format!("({predicate}) IS NULL")]
                .map(part)
                .join(" UNION ALL "),
            columns: view.query.columns.clone(),
        });
        checks.push(Check {
            law: "a filter keeps the rows that make it true",
            whole: format!("SELECT count(*) FROM {name} WHERE {predicate}"),
            parts: format!("SELECT coalesce(sum(CASE WHEN {predicate} THEN 1 ELSE 0 END), 0) FROM {name}"),
            columns: vec![Column { sql: "count".to_owned(), typ: ScalarType::Int8, exact: true }],
        });
    }
    checks
}
