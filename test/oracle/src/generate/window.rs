//! Window functions, each under an order that leaves no choice.

use repr::ScalarType;

use super::query::Items;
use super::{Column, Generator, Query, Scope};
use crate::types::base;

impl Generator<'_> {
    /// SELECT with window functions over what a FROM clause gives.
    pub(super) fn windowed_select(&mut self, outer: &[Column], depth: usize) -> Query {
        let source = self.source(outer, depth);
        let scope = Scope::of(source.columns.clone(), outer);
        let filter = self.filter(&scope, depth);
        if !source.columns.iter().all(Column::is_plain) {
            return self.plain_select(outer, None, depth - 1);
        }
        let mut items = Items::new();
        for _ in 0..self.tape.between(1, 2) {
            let column = self.tape.pick(&source.columns).clone();
            items.push(&column.sql, column.typ, true);
        }
        let (sql, typ, exact) = self.window_call(&scope);
        items.push(&sql, typ, exact);
        // A second one that numbers rows might number equal rows the other way round.
        if self.tape.chance(40) {
            let partition = format!("PARTITION BY {} ", self.tape.pick(&source.columns).sql);
            let (sql, typ, exact) = self.rank_among_peers(&scope, &partition);
            items.push(&sql, typ, exact);
        }
        let sql = format!("SELECT {} FROM {}{filter}", items.list(), source.sql);
        Query { sql, columns: items.columns, rows: source.rows }
    }

    fn window_call(&mut self, scope: &Scope) -> (String, ScalarType, bool) {
        let partition = if self.tape.chance(60) {
            format!("PARTITION BY {} ", self.tape.pick(&scope.local).sql)
        } else {
            String::new()
        };
        match self.tape.below(4) {
            0 => self.position_in_order(scope, &partition),
            1 => self.value_of_another_row(scope, &partition),
            2 => self.rank_among_peers(scope, &partition),
            _ => self.aggregate_over_frame(scope, &partition),
        }
    }

    fn position_in_order(&mut self, scope: &Scope, partition: &str) -> (String, ScalarType, bool) {
        let order = self.order_of_all(&scope.local);
        let over = format!("OVER ({partition}ORDER BY {order})");
        match self.tape.below(2) {
            0 => (format!("row_number() {over}"), ScalarType::Int8, true),
            _ => (format!("ntile(3) {over}"), ScalarType::Int4, true),
        }
    }

    fn value_of_another_row(&mut self, scope: &Scope, partition: &str) -> (String, ScalarType, bool) {
        let order = self.order_of_all(&scope.local);
        let column = self.tape.pick(&scope.local).clone();
        let call = match self.tape.below(6) {
            0 => format!("lag({})", column.sql),
            1 => format!("lead({})", column.sql),
            2 => format!("lag({}, 2)", column.sql),
            3 => format!("first_value({})", column.sql),
            4 => format!("last_value({})", column.sql),
            _ => format!("nth_value({}, 2)", column.sql),
        };
        let frame = self.rows_frame();
        (format!("{call} OVER ({partition}ORDER BY {order}{frame})"), base(&column.typ), true)
    }

    fn rows_frame(&mut self) -> &'static str {
        self.tape.pick::<&str>(&[
            "",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            " ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW",
        ])
    }

    /// Functions that treat rows alike which the order does not tell apart.
    fn rank_among_peers(&mut self, scope: &Scope, partition: &str) -> (String, ScalarType, bool) {
        let column = self.tape.pick(&scope.local).sql.clone();
        let direction = *self.tape.pick(&["", " DESC", " NULLS FIRST"]);
        let over = format!("OVER ({partition}ORDER BY {column}{direction})");
        let (call, typ, exact) = match self.tape.below(4) {
            0 => ("rank()", ScalarType::Int8, true),
            1 => ("dense_rank()", ScalarType::Int8, true),
            2 => ("percent_rank()", ScalarType::Float8, false),
            _ => ("cume_dist()", ScalarType::Float8, false),
        };
        (format!("{call} {over}"), typ, exact)
    }

    fn aggregate_over_frame(&mut self, scope: &Scope, partition: &str) -> (String, ScalarType, bool) {
        let numbers: Vec<&Column> = scope
            .local
            .iter()
            .filter(|column| matches!(column.typ, ScalarType::Int2 | ScalarType::Int4 | ScalarType::Int8))
            .collect();
        let (call, typ) = match numbers.is_empty() {
            true => (format!("count({})", self.tape.pick(&scope.local).sql), ScalarType::Int8),
            false => {
                let column = *self.tape.pick(&numbers);
                let sum = if column.typ == ScalarType::Int8 { ScalarType::Numeric(None) } else { ScalarType::Int8 };
                match self.tape.below(4) {
                    0 => (format!("sum({})", column.sql), sum),
                    1 => (format!("min({})", column.sql), column.typ.clone()),
                    2 => (format!("max({})", column.sql), column.typ.clone()),
                    _ => (format!("count({})", column.sql), ScalarType::Int8),
                }
            }
        };
        let (order, frame) = match self.tape.below(4) {
            0 => (String::new(), ""),
            1 => (self.order_of_all(&scope.local), self.rows_frame()),
            2 => (self.tape.pick(&scope.local).sql.clone(), self.groups_frame()),
            _ if numbers.is_empty() => (String::new(), ""),
            // Other kinds of numbers would overflow at the ends of their type.
            _ => (format!("{}::numeric", self.tape.pick(&numbers).sql), self.range_frame()),
        };
        let order = if order.is_empty() { order } else { format!("ORDER BY {order}") };
        (format!("{call} OVER ({partition}{order}{frame})"), typ, true)
    }

    fn groups_frame(&mut self) -> &'static str {
        self.tape.pick::<&str>(&[
            "",
            " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
            " GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING EXCLUDE GROUP",
            " RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE TIES",
            " GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        ])
    }

    fn range_frame(&mut self) -> &'static str {
        self.tape.pick::<&str>(&[
            " RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " RANGE BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING",
            " RANGE BETWEEN 2 PRECEDING AND 1 PRECEDING",
        ])
    }
}
