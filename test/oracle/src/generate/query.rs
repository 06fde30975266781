//! Whole queries: plain selects, and what is built around them.

use repr::ScalarType;

use super::from::Source;
use super::{Column, Generator, Query, ROWS_MAX, Relation, Scope};
use crate::types::{base, column_types, literal_or_null};

/// The select list of a query under way.
pub(super) struct Items {
    sql: Vec<String>,
    pub(super) columns: Vec<Column>,
}

impl Items {
    pub(super) fn new() -> Items {
        Items { sql: Vec::new(), columns: Vec::new() }
    }

    pub(super) fn push(&mut self, sql: &str, typ: ScalarType, exact: bool) {
        let name = format!("c{}", self.columns.len());
        self.sql.push(format!("{sql} AS {name}"));
        self.columns.push(Column { sql: name, typ, exact });
    }

    pub(super) fn list(&self) -> String {
        self.sql.join(", ")
    }
}

impl Generator<'_> {
    /// A query, of given column types if they are given; it may look at `outer`.
    pub(super) fn query(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        let start = self.tape.start_span();
        let query = self.query_of_some_form(outer, want, depth);
        self.tape.end_span(start);
        query
    }

    fn query_of_some_form(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        if depth == 0 {
            return self.plain_select(outer, want, 0);
        }
        match self.tape.weighted(&[9, 6, 4, 3, 2, 2, 2, 1, 1]) {
            1 if want.is_none() => self.grouped_select(outer, depth),
            2 if want.is_none() => self.windowed_select(outer, depth),
            3 => self.set_operation(outer, want, depth),
            4 => self.common_table(outer, want, depth),
            5 => self.first_rows(outer, want, depth),
            6 if want.is_none() => self.first_of_each(outer, depth),
            7 => self.values(want),
            8 if want.is_none() => self.recursion(depth),
            _ => self.plain_select(outer, want, depth),
        }
    }

    /// SELECT … FROM … WHERE …, perhaps DISTINCT.
    pub(super) fn plain_select(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        let source = self.source(outer, depth);
        let scope = Scope::of(source.columns.clone(), outer);
        let filter = self.filter(&scope, depth);
        let mut items = Items::new();
        match want {
            Some(types) => {
                for typ in types {
                    let sql = self.expression(&scope, &base(typ), depth.min(2));
                    items.push(&sql, base(typ), true);
                }
            }
            None => self.items(&mut items, &scope, depth),
        }
        let distinct = items.columns.iter().all(Column::is_plain) && self.tape.chance(15);
        let distinct = if distinct { "DISTINCT " } else { "" };
        let sql = format!("SELECT {distinct}{} FROM {}{filter}", items.list(), source.sql);
        Query { sql, columns: items.columns, rows: source.rows }
    }

    /// A WHERE clause with a space before it, or nothing.
    pub(super) fn filter(&mut self, scope: &Scope, depth: usize) -> String {
        if !self.tape.chance(60) {
            return String::new();
        }
        format!(" WHERE {}", self.predicate(scope, depth.min(2)))
    }

    fn items(&mut self, items: &mut Items, scope: &Scope, depth: usize) {
        for _ in 0..self.tape.between(1, 4) {
            let start = self.tape.start_span();
            self.item(items, scope, depth.min(3));
            self.tape.end_span(start);
        }
    }

    /// A column as it is, or an expression; here alone inexact ones may stand.
    pub(super) fn item(&mut self, items: &mut Items, scope: &Scope, depth: usize) {
        let form = self.tape.weighted(&[4, 5, 1]);
        if form == 0 && !scope.local.is_empty() {
            let column = self.tape.pick(&scope.local).clone();
            return items.push(&column.sql, column.typ, column.exact);
        }
        if form == 2 {
            let typ =
                self.tape.pick(&[ScalarType::Numeric(None), ScalarType::Float8, ScalarType::Interval(None)]).clone();
            if let Some(sql) = self.call_of(scope, &typ, 1, false) {
                return items.push(&sql, typ, false);
            }
        }
        let typ = self.some_type(scope);
        let sql = self.expression(scope, &typ, depth);
        items.push(&sql, typ, true);
    }

    fn set_operation(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        let left = self.query(outer, want, depth - 1);
        let types: Vec<ScalarType> = left.columns.iter().map(|column| base(&column.typ)).collect();
        let operator = *self.tape.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]);
        if operator != "UNION ALL" && !left.is_plain() {
            return left;
        }
        let right = self.query(outer, Some(&types), depth - 1);
        if operator != "UNION ALL" && !right.is_plain() {
            return left;
        }
        let columns = left.columns.iter().zip(&right.columns).zip(types).enumerate().map(|(position, (pair, typ))| {
            Column { sql: format!("c{position}"), typ, exact: pair.0.exact && pair.1.exact }
        });
        let columns = columns.collect();
        Query { sql: format!("({}) {operator} ({})", left.sql, right.sql), columns, rows: left.rows + right.rows }
    }

    /// WITH, read by one query, once or more often.
    fn common_table(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        let bound = self.query(outer, None, depth - 1);
        let name = self.fresh("x");
        let definition = format!("{name} AS ({})", bound.sql);
        self.with_relation(name, bound.columns, bound.rows, |generator| {
            let query = generator.query(outer, want, depth - 1);
            Query { sql: format!("WITH {definition} {}", enclosed(&query.sql)), ..query }
        })
    }

    /// Makes something while a further relation can be read, which is then chosen more often than others.
    fn with_relation<T>(
        &mut self,
        name: String,
        columns: Vec<Column>,
        rows: usize,
        make: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.relations.clone();
        let relation = Relation { name, columns, rows };
        self.relations.splice(0..0, [relation.clone(), relation]);
        let made = make(self);
        self.relations = before;
        made
    }

    /// ORDER BY all columns, LIMIT and OFFSET.
    fn first_rows(&mut self, outer: &[Column], want: Option<&[ScalarType]>, depth: usize) -> Query {
        let query = self.query(outer, want, depth - 1);
        if !query.is_plain() {
            return query;
        }
        let order = self.order_of_all(&query.columns);
        let limit = self.tape.between(1, 5);
        let offset = if self.tape.chance(30) { " OFFSET 1" } else { "" };
        let alias = self.fresh("r");
        let list = query.columns.iter().map(|column| column.sql.as_str()).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT {list} FROM ({}) AS {alias} ORDER BY {order} LIMIT {limit}{offset}", query.sql);
        Query { sql, rows: limit, ..query }
    }

    /// All columns in some order, each up or down: a total order, up to rows that are equal.
    pub(super) fn order_of_all(&mut self, columns: &[Column]) -> String {
        let start = self.tape.below(columns.len());
        let rotated = columns.iter().cycle().skip(start).take(columns.len());
        let keys: Vec<String> = rotated
            .map(|column| {
                let direction = self.tape.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
                format!("{}{direction}", column.sql)
            })
            .collect();
        keys.join(", ")
    }

    /// DISTINCT ON under a total order.
    fn first_of_each(&mut self, outer: &[Column], depth: usize) -> Query {
        let query = self.query(outer, None, depth - 1);
        if !query.is_plain() {
            return query;
        }
        let keys = self.tape.between(1, query.columns.len());
        let names: Vec<&str> = query.columns.iter().map(|column| column.sql.as_str()).collect();
        let mut order: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        order.iter_mut().for_each(|key| key.push_str(self.tape.pick::<&str>(&["", " DESC", " NULLS FIRST"])));
        let alias = self.fresh("r");
        let sql = format!(
            "SELECT DISTINCT ON ({}) {} FROM ({}) AS {alias} ORDER BY {}",
            names[..keys].join(", "),
            names.join(", "),
            query.sql,
            order.join(", ")
        );
        Query { sql, ..query }
    }

    fn values(&mut self, want: Option<&[ScalarType]>) -> Query {
        let types: Vec<ScalarType> = match want {
            Some(types) => types.iter().map(base).collect(),
            None => (0..self.tape.between(1, 3)).map(|_| base(self.tape.pick(&column_types()))).collect(),
        };
        let count = self.tape.between(1, 4);
        let mut row = || {
            let values: Vec<String> =
                types.iter().map(|typ| literal_or_null(&mut self.tape, typ, self.taste, 20)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<String> = (0..count).map(|_| row()).collect();
        let columns: Vec<Column> =
            types.into_iter().enumerate().map(|(position, typ)| Column::new(format!("c{position}"), typ)).collect();
        let names = columns.iter().map(|column| column.sql.as_str()).collect::<Vec<_>>().join(", ");
        let alias = self.fresh("r");
        let sql = format!("SELECT {names} FROM (VALUES {}) AS {alias}({names})", rows.join(", "));
        Query { sql, columns, rows: count }
    }

    /// WITH RECURSIVE that counts its rounds and so ends.
    fn recursion(&mut self, depth: usize) -> Query {
        let Source { sql: from, columns, rows } = self.source(&[], 0);
        let scope = Scope::of(columns, &[]);
        let typ = self.some_type(&scope);
        let start = self.expression(&scope, &typ, 1);
        let filter = self.filter(&scope, 1);
        let name = self.fresh("x");
        let columns = vec![Column::new("c0".to_owned(), ScalarType::Int4), Column::new("c1".to_owned(), typ.clone())];
        let own = columns.iter().map(|column| Column { sql: format!("{name}.{}", column.sql), ..column.clone() });
        let inner = Scope::of(own.collect(), &[]).without_outer();
        let next = self.expression(&inner, &typ, 2);
        let condition =
            if self.tape.chance(30) { format!(" AND {}", self.predicate(&inner, 1)) } else { String::new() };
        let union = *self.tape.pick(&["UNION ALL", "UNION"]);
        let rounds = self.tape.between(1, 4);
        let cast = repr::pg_type::sql_name(&typ);
        let definition = format!(
            "{name}(c0, c1) AS (SELECT 0, ({start})::{cast} FROM {from}{filter} {union} \
             SELECT {name}.c0 + 1, ({next})::{cast} FROM {name} WHERE {name}.c0 < {rounds}{condition})"
        );
        if rows > ROWS_MAX {
            return self.plain_select(&[], None, 0);
        }
        self.with_relation(name, columns, rows * (rounds + 1), |generator| {
            let query = generator.query(&[], None, depth - 1);
            Query { sql: format!("WITH RECURSIVE {definition} {}", enclosed(&query.sql)), ..query }
        })
    }
}

/// A query that can stand behind a WITH clause, which it may not have itself.
fn enclosed(sql: &str) -> String {
    if sql.starts_with("WITH ") { format!("SELECT * FROM ({sql}) AS enclosed") } else { sql.to_owned() }
}
