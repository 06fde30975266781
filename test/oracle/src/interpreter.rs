//! The planner and the naive interpreter in this process, over the rows that PostgreSQL holds: the shortest road to an
//! answer, before and after the optimizer.

// The planner's tests own this catalog; only part of it is needed here.
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../../src/sql/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result};
use expr::{Collection, Relation, interpret};
use optimizer::Objects;
use repr::{Arena, CollectionId, Datum, Diff, RelationDesc, Row, ScalarType, ShardId};
use sql::{CatalogView, FullName, ItemDefinition, Params};
use support::{Fake, session};

use crate::answer::{Answer, Failure, TextRow};

/// A catalog, and the rows of its tables.
pub(crate) struct Interpreter {
    catalog: Fake,
    data: BTreeMap<CollectionId, Collection>,
}

impl Interpreter {
    pub(crate) fn new() -> Interpreter {
        Interpreter { catalog: Fake::new(), data: BTreeMap::new() }
    }

    /// Carries out a statement that defines something.
    pub(crate) fn define(&mut self, statement: &str) -> Result<(), Failure> {
        let statements = sql::parse(statement).map_err(failure)?;
        for statement in &statements {
            let plan = sql::plan(statement, &session(), &self.catalog, &mut Params::default()).map_err(failure)?;
            self.catalog.apply(&plan);
        }
        Ok(())
    }

    /// Replaces the rows of a table. What views hold is no longer known.
    pub(crate) fn fill(&mut self, table: &str, types: &[ScalarType], rows: &[TextRow]) -> Result<()> {
        let arena = Arena::new();
        let mut collection = Collection::new();
        for row in rows {
            let datums = types.iter().zip(row).map(|(typ, value)| match value {
                None => Ok(Datum::Null),
                Some(text) => {
                    repr::text::parse(text, typ, &arena).map_err(|error| anyhow::anyhow!("{text}: {error:?}"))
                }
            });
            collection.add_row(Row::pack(datums.collect::<Result<Vec<_>>>()?), Diff::ONE);
        }
        let catalog = &self.catalog;
        let is_view = |id: &CollectionId| Views(catalog).view(*id).is_some();
        self.data.retain(|id, _| !is_view(id));
        let item = self.catalog.item(&full_name(table)).context("a table that was created")?;
        self.data.insert(item.id, collection);
        Ok(())
    }

    /// Reads a view as it was planned, out of the views it reads.
    pub(crate) fn read_planned(&mut self, view: &str) -> Answer {
        let (id, desc, relation) = self.view(view);
        guarded(|| {
            let result = self.evaluate(&relation);
            self.data.insert(id, result.clone());
            rows_of(&relation, &desc, result)
        })
    }

    /// Reads a view as the optimizer makes it, out of tables alone.
    pub(crate) fn read_optimized(&self, view: &str) -> Answer {
        let (_, desc, relation) = self.view(view);
        guarded(|| {
            let relation = optimizer::optimize(relation.clone(), &Views(&self.catalog));
            let result = self.evaluate(&relation);
            rows_of(&relation, &desc, result)
        })
    }

    fn view(&self, name: &str) -> (CollectionId, RelationDesc, Relation) {
        let item = self.catalog.item(&full_name(name)).expect("a view that was created");
        let ItemDefinition::View { desc, relation } = &item.definition else { panic!("{name} is a view") };
        (item.id, desc.clone(), relation.clone())
    }

    fn evaluate(&self, relation: &Relation) -> Collection {
        if let Err(fault) = expr::relation::typecheck(relation) {
            panic!("{fault} in\n{}", relation.pretty());
        }
        let mut result = interpret(relation, &self.data);
        // Where a view is read, an error counts once.
        result.errors.values_mut().for_each(|count| *count = Diff::ONE);
        result
    }
}

/// Turns a panic into an answer.
fn guarded(read: impl FnOnce() -> Answer) -> Answer {
    let panicked = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Err(Failure { code: "XX000".to_owned(), message: format!("the interpreter panicked: {text}") })
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

fn full_name(item: &str) -> FullName {
    FullName { database: Some("materialize".to_owned()), schema: "public".to_owned(), item: item.to_owned() }
}

fn failure(error: sql::Error) -> Failure {
    Failure { code: error.code.to_owned(), message: error.message }
}

fn rows_of(relation: &Relation, desc: &RelationDesc, result: Collection) -> Answer {
    let result = result
        .into_result()
        .map_err(|error| Failure { code: error.code().to_owned(), message: error.message.clone() })?;
    let typ = relation.typ();
    let kinds = typ.kinds();
    let mut rows = Vec::new();
    for (row, diff) in &result {
        let datums = row.unpack(&kinds);
        for (datum, column) in datums.iter().zip(&typ.columns) {
            assert!(column.nullable || !datum.is_null(), "NULL in a column that says it has none");
        }
        let shown: TextRow =
            datums.iter().zip(&desc.typ.columns).map(|(datum, typ)| text_of(*datum, &typ.scalar)).collect();
        let count: usize = diff.to_string().parse().expect("a positive multiplicity");
        rows.extend(std::iter::repeat_n(shown, count));
    }
    Ok(rows)
}

fn text_of(datum: Datum<'_>, typ: &ScalarType) -> Option<String> {
    if datum.is_null() {
        return None;
    }
    let mut text = String::new();
    repr::text::format(datum, typ, &mut text);
    Some(text)
}

/// Views are all that the optimizer learns of: no index, nothing stored.
struct Views<'c>(&'c Fake);

impl Objects for Views<'_> {
    fn view(&self, id: CollectionId) -> Option<Relation> {
        match &self.0.item_by_id(id)?.definition {
            ItemDefinition::View { relation, .. } => Some(relation.clone()),
            _ => None,
        }
    }

    fn shard(&self, _: CollectionId) -> Option<ShardId> {
        None
    }

    fn only_grows(&self, _: CollectionId) -> bool {
        false
    }

    fn indexes(&self, _: CollectionId) -> Vec<(CollectionId, Vec<expr::Scalar>)> {
        Vec::new()
    }
}
