//! What a query reads: relations, joins of all kinds, derived tables and functions that return rows.

use repr::ScalarType;

use super::{Column, Generator, ROWS_MAX, Relation, Scope};
use crate::types::base;

/// A FROM clause, without the word.
pub(super) struct Source {
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
}

impl Generator<'_> {
    /// What a query reads; derived tables in it may look at `outer`.
    pub(super) fn source(&mut self, outer: &[Column], depth: usize) -> Source {
        let start = self.tape.start_span();
        let mut source = self.single_source(outer, depth);
        for percent in [55, 30, 15] {
            if source.rows > ROWS_MAX || !self.tape.chance(percent) {
                break;
            }
            source = self.join(source, outer, depth);
        }
        self.tape.end_span(start);
        source
    }

    fn single_source(&mut self, outer: &[Column], depth: usize) -> Source {
        match self.tape.weighted(&if depth == 0 { [1, 0, 0] } else { [8, 1, 1] }) {
            1 => self.derived(outer, false, depth),
            2 => self.rows_of_function(&Scope::default()),
            _ => self.relation(),
        }
    }

    fn relation(&mut self) -> Source {
        let relation: Relation = self.tape.pick(&self.relations).clone();
        let alias = self.fresh("r");
        let columns = qualified(&alias, &relation.columns);
        Source { sql: format!("{} AS {alias}", relation.name), columns, rows: relation.rows }
    }

    fn derived(&mut self, outer: &[Column], lateral: bool, depth: usize) -> Source {
        let query = self.query(outer, None, depth - 1);
        let alias = self.fresh("r");
        let columns = qualified(&alias, &query.columns);
        let lateral = if lateral { "LATERAL " } else { "" };
        Source { sql: format!("{lateral}({}) AS {alias}", query.sql), columns, rows: query.rows }
    }

    fn join(&mut self, left: Source, outer: &[Column], depth: usize) -> Source {
        match self.tape.weighted(&if depth == 0 { [1, 0, 0, 0] } else { [9, 2, 2, 1] }) {
            1 => self.join_lateral(left, outer, depth),
            2 => self.join_by_name(left),
            3 => self.join_function(left, outer),
            _ => self.join_on(left, outer, depth),
        }
    }

    fn join_on(&mut self, left: Source, outer: &[Column], depth: usize) -> Source {
        let right = self.single_source(&[], depth);
        let rows = left.rows * right.rows.max(1) + left.rows + right.rows;
        if rows > ROWS_MAX * 4 {
            return left;
        }
        let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let mut kind = *self.tape.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"]);
        if kind == "CROSS JOIN" {
            return Source { sql: format!("{} CROSS JOIN {}", left.sql, right.sql), columns, rows };
        }
        let equal = self.equality(&left.columns, &right.columns);
        if kind == "FULL JOIN" {
            // PostgreSQL hashes or merges full joins: it needs an equality, and takes nothing else.
            match equal {
                Some(equal) => {
                    return Source { sql: format!("{} FULL JOIN {} ON {equal}", left.sql, right.sql), columns, rows };
                }
                None => kind = "LEFT JOIN",
            }
        }
        let scope = Scope::of(columns.clone(), outer);
        let mut conditions: Vec<String> = equal.filter(|_| !self.tape.chance(25)).into_iter().collect();
        if conditions.is_empty() || self.tape.chance(25) {
            conditions.push(self.predicate(&scope, depth.min(1)));
        }
        let sql = format!("{} {kind} {} ON {}", left.sql, right.sql, conditions.join(" AND "));
        Source { sql, columns, rows }
    }

    /// An equality of a column of each side, if two are of one type.
    fn equality(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let mut pairs = Vec::new();
        for first in left.iter().filter(|column| column.exact) {
            for second in right.iter().filter(|column| column.exact && base(&column.typ) == base(&first.typ)) {
                pairs.push(format!("{} = {}", first.sql, second.sql));
            }
        }
        if pairs.is_empty() { None } else { Some(self.tape.pick(&pairs).clone()) }
    }

    fn join_lateral(&mut self, left: Source, outer: &[Column], depth: usize) -> Source {
        let visible: Vec<Column> = left.columns.iter().chain(outer).cloned().collect();
        let right = self.derived(&visible, true, depth);
        let rows = left.rows * right.rows.max(1);
        if rows > ROWS_MAX * 4 {
            return left;
        }
        let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let join = *self.tape.pick(&["CROSS JOIN {}", "LEFT JOIN {} ON true"]);
        Source { sql: format!("{} {}", left.sql, join.replace("{}", &right.sql)), columns, rows }
    }

    /// NATURAL JOIN and USING, on a column that both sides are given under one name.
    fn join_by_name(&mut self, left: Source) -> Source {
        let right = self.relation();
        let keys = |columns: &[Column]| columns.iter().filter(|column| column.is_plain()).cloned().collect::<Vec<_>>();
        let (left_keys, right_keys) = (keys(&left.columns), keys(&right.columns));
        let shared: Vec<(&Column, &Column)> = left_keys
            .iter()
            .flat_map(|first| right_keys.iter().map(move |second| (first, second)))
            .filter(|(first, second)| first.typ == second.typ)
            .collect();
        let rows = left.rows * right.rows + left.rows + right.rows;
        if shared.is_empty() || rows > ROWS_MAX * 4 {
            return left;
        }
        let (left_key, right_key) = *self.tape.pick(&shared);
        let key = self.fresh("k");
        let mut columns = vec![Column::new(key.clone(), left_key.typ.clone())];
        let mut side = |key_column: &Column, source: &Source| {
            let alias = self.fresh("r");
            let extra = self.tape.pick(&source.columns).clone();
            let name = self.fresh("e");
            columns.push(Column { sql: format!("{alias}.{name}"), ..extra.clone() });
            format!("(SELECT {} AS {key}, {} AS {name} FROM {}) AS {alias}", key_column.sql, extra.sql, source.sql)
        };
        let (first, second) = (side(left_key, &left), side(right_key, &right));
        let kind = *self.tape.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let sql = if self.tape.chance(50) {
            format!("{first} NATURAL {kind} {second}")
        } else {
            format!("{first} {kind} {second} USING ({key})")
        };
        Source { sql, columns, rows }
    }

    fn join_function(&mut self, left: Source, outer: &[Column]) -> Source {
        let right = self.rows_of_function(&Scope::of(left.columns.clone(), outer));
        let rows = left.rows * right.rows;
        let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let join = *self.tape.pick(&["CROSS JOIN LATERAL {}", "LEFT JOIN LATERAL {} ON true"]);
        Source { sql: format!("{} {}", left.sql, join.replace("{}", &right.sql)), columns, rows }
    }

    fn rows_of_function(&mut self, scope: &Scope) -> Source {
        use ScalarType::*;
        let alias = self.fresh("r");
        let (call, types): (String, Vec<ScalarType>) = match self.tape.below(6) {
            0 => {
                let last = self.expression(scope, &Int4, 1);
                (format!("generate_series(1, least(({last}), 4))"), vec![Int4])
            }
            1 => (format!("unnest({})", self.expression(scope, &crate::types::array_of(Text), 1)), vec![Text]),
            2 => (format!("unnest({})", self.expression(scope, &crate::types::array_of(Int4), 1)), vec![Int4]),
            3 => {
                let document = self.expression(scope, &Jsonb, 0);
                let array = format!("CASE jsonb_typeof({document}) WHEN 'array' THEN {document} END");
                (format!("jsonb_array_elements({array})"), vec![Jsonb])
            }
            4 => {
                let document = self.expression(scope, &Jsonb, 0);
                let object = format!("CASE jsonb_typeof({document}) WHEN 'object' THEN {document} END");
                (format!("jsonb_each({object})"), vec![Text, Jsonb])
            }
            _ => (format!("string_to_table({}, 'a')", self.expression(scope, &Text, 1)), vec![Text]),
        };
        let ordinality = self.tape.chance(30);
        let names: Vec<String> =
            (0..types.len() + usize::from(ordinality)).map(|column| format!("c{column}")).collect();
        let types = types.into_iter().chain([Int8]);
        let columns = names.iter().zip(types).map(|(name, typ)| Column::new(format!("{alias}.{name}"), typ)).collect();
        let with = if ordinality { " WITH ORDINALITY" } else { "" };
        Source { sql: format!("{call}{with} AS {alias}({})", names.join(", ")), columns, rows: 4 }
    }
}

/// Columns as they are named behind an alias.
pub(super) fn qualified(alias: &str, columns: &[Column]) -> Vec<Column> {
    columns.iter().map(|column| Column { sql: format!("{alias}.{}", column.sql), ..column.clone() }).collect()
}
