//! A world: tables, their rows, views over them, and changes. All of it is made from one seed, and each part can be left out.

use std::collections::BTreeSet;

use repr::ScalarType;

use crate::generate::{Column, Generator, Query, Relation, Vocabulary};
use crate::tape::{Recording, Tape};
use crate::types::{Taste, column_types, literal_or_null};

/// Rows that are put in only to be taken out again have this in their first column, and no others do.
pub(crate) const MARK: &str = "7777";

const TABLES: usize = 3;
const VIEWS: usize = 12;
const CHANGES: usize = 6;

/// A table; its columns are `c0` and so on, the first an integer.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) types: Vec<ScalarType>,
}

impl Table {
    pub(crate) fn create(&self) -> String {
        let columns = self.types.iter().enumerate();
        let columns: Vec<String> =
            columns.map(|(position, typ)| format!("c{position} {}", repr::pg_type::sql_name(typ))).collect();
        format!("CREATE TABLE {} ({})", self.name, columns.join(", "))
    }

    fn relation(&self) -> Relation {
        let columns = self.types.iter().enumerate();
        let columns = columns
            .map(|(position, typ)| Column { sql: format!("c{position}"), typ: typ.clone(), exact: true })
            .collect();
        Relation { name: self.name.clone(), columns, rows: 12 }
    }
}

/// A view as its tape makes it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) query: Query,
    /// The views it reads.
    pub(crate) reads: Vec<usize>,
}

impl View {
    /// Its text, reading other views under names that begin with `prefix`.
    pub(crate) fn text(&self, prefix: &str) -> String {
        self.query.sql.replace('⟦', prefix).replace('⟧', "")
    }
}

/// What is to be carried out; see the module.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) taste: Taste,
    pub(crate) tables: Vec<Table>,
    /// Of which table, and the values.
    pub(crate) rows: Vec<(usize, String)>,
    pub(crate) views: Vec<Recording>,
    /// The views that have not been left out.
    pub(crate) kept: BTreeSet<usize>,
    pub(crate) changes: Vec<String>,
}

impl World {
    /// The world of a seed.
    pub(crate) fn random(seed: u64, vocabulary: Vocabulary<'_>) -> World {
        let mut tape = Tape::random(seed);
        let taste = vocabulary.taste;
        let types = column_types();
        // Few types, so that columns meet others of their type.
        let palette: Vec<ScalarType> = (0..5).map(|_| tape.pick(&types).clone()).collect();
        let mut tables = Vec::new();
        for number in 0..TABLES {
            let further = tape.between(1, 4);
            let further = (0..further).map(|_| tape.pick(&palette).clone());
            let types = std::iter::once(ScalarType::Int4).chain(further).collect();
            tables.push(Table { name: format!("t{number}"), types });
        }
        let mut rows = Vec::new();
        for (position, table) in tables.iter().enumerate() {
            for _ in 0..tape.between(0, 8) {
                rows.push((position, values(&mut tape, table, taste)));
            }
        }
        let mut world =
            World { taste, tables, rows, views: Vec::new(), kept: (0..VIEWS).collect(), changes: Vec::new() };
        let seeds: Vec<u64> = (0..VIEWS as u64).map(|view| seed.wrapping_mul(1_000_003).wrapping_add(view)).collect();
        for seed in seeds {
            let relations = world.relations(&world.render(vocabulary));
            let mut generator = Generator::new(Tape::random(seed), vocabulary, &relations);
            generator.view();
            world.views.push(generator.tape.finish());
        }
        world.changes = world.random_changes(Tape::random(seed ^ 0x5eed), vocabulary);
        world
    }

    fn random_changes(&self, tape: Tape, vocabulary: Vocabulary<'_>) -> Vec<String> {
        let tables: Vec<Relation> = self.tables.iter().map(Table::relation).collect();
        let mut generator = Generator::new(tape, vocabulary, &tables);
        let mut changes = Vec::new();
        for _ in 0..CHANGES {
            let position = generator.tape.below(self.tables.len());
            let (table, relation) = (&self.tables[position], &tables[position]);
            changes.push(match generator.tape.weighted(&[4, 3, 2]) {
                0 => {
                    let count = generator.tape.between(1, 3);
                    let rows: Vec<String> =
                        (0..count).map(|_| values(&mut generator.tape, table, self.taste)).collect();
                    format!("INSERT INTO {} VALUES {}", table.name, rows.join(", "))
                }
                1 => {
                    let column = generator.tape.below(table.types.len());
                    let value = generator.assignment(relation, &table.types[column]);
                    let condition = generator.condition(relation);
                    format!("UPDATE {} SET c{column} = {value} WHERE {condition}", table.name)
                }
                _ => format!("DELETE FROM {} WHERE {}", table.name, generator.condition(relation)),
            });
        }
        changes
    }

    /// Rows for the first table that carry the mark, as the values of an INSERT.
    pub(crate) fn marked_rows(&self, seed: u64) -> Vec<String> {
        let mut tape = Tape::random(seed ^ 0x3a2c);
        let table = &self.tables[0];
        let unmarked: Vec<String> = (0..3).map(|_| values(&mut tape, table, self.taste)).collect();
        let rest = |row: &String| row.split_once(", ").map_or(String::new(), |(_, rest)| format!(", {rest}"));
        unmarked.iter().map(|row| format!("({MARK}{}", rest(row))).collect()
    }

    /// What each view is. One that was left out is still known to others, so that they stay what they are.
    pub(crate) fn render(&self, vocabulary: Vocabulary<'_>) -> Vec<View> {
        let mut views: Vec<View> = Vec::new();
        for recording in &self.views {
            let relations = self.relations(&views);
            let mut generator = Generator::new(Tape::replay(&recording.choices), vocabulary, &relations);
            let query = generator.view();
            let reads = (0..views.len()).filter(|other| query.sql.contains(&format!("⟦{other}⟧"))).collect();
            views.push(View { query, reads });
        }
        views
    }

    /// The views that are made, each with its number.
    pub(crate) fn kept_views(&self, vocabulary: Vocabulary<'_>) -> Vec<(usize, View)> {
        self.render(vocabulary).into_iter().enumerate().filter(|(number, _)| self.kept.contains(number)).collect()
    }

    /// A view's own spans, as its tape has them after a replay.
    pub(crate) fn replayed(&self, view: usize, vocabulary: Vocabulary<'_>) -> Recording {
        let rendered = self.render(vocabulary);
        let relations = self.relations(&rendered[..view]);
        let mut generator = Generator::new(Tape::replay(&self.views[view].choices), vocabulary, &relations);
        generator.view();
        generator.tape.finish()
    }

    /// What the view after `views` may read.
    fn relations(&self, views: &[View]) -> Vec<Relation> {
        let tables = self.tables.iter().map(Table::relation);
        let views = views.iter().enumerate().map(|(number, View { query, .. })| Relation {
            name: format!("⟦{number}⟧"),
            columns: query.columns.clone(),
            rows: query.rows,
        });
        tables.chain(views).collect()
    }

    /// Statements that fill the tables, one for each table that has rows.
    pub(crate) fn inserts(&self) -> Vec<String> {
        let tables = self.tables.iter().enumerate();
        let statements = tables.filter_map(|(position, table)| {
            let rows: Vec<&str> =
                self.rows.iter().filter(|(of, _)| *of == position).map(|(_, values)| values.as_str()).collect();
            (!rows.is_empty()).then(|| format!("INSERT INTO {} VALUES {}", table.name, rows.join(", ")))
        });
        statements.collect()
    }

    /// Leaves out all views but one and those it reads.
    pub(crate) fn restricted_to(&self, view: usize, vocabulary: Vocabulary<'_>) -> World {
        let rendered = self.render(vocabulary);
        let mut needed = vec![view];
        let mut next = 0;
        while next < needed.len() {
            let new: Vec<usize> =
                rendered[needed[next]].reads.iter().copied().filter(|read| !needed.contains(read)).collect();
            needed.extend(new);
            next += 1;
        }
        World { kept: needed.into_iter().collect(), ..self.clone() }
    }

    /// The world as a script that can be run by psql.
    pub(crate) fn script(&self, vocabulary: Vocabulary<'_>, kind: &str) -> String {
        let views = self.kept_views(vocabulary).into_iter();
        let views = views.map(|(number, view)| format!("CREATE {kind} v{number} AS {}", view.text("v")));
        let tables = self.tables.iter().map(Table::create);
        let statements = tables.chain(self.inserts()).chain(views).chain(self.changes.iter().cloned());
        statements.map(|statement| format!("{statement};\n")).collect()
    }
}

fn values(tape: &mut Tape, table: &Table, taste: Taste) -> String {
    let values: Vec<String> = table.types.iter().map(|typ| literal_or_null(tape, typ, taste, 25)).collect();
    format!("({})", values.join(", "))
}
