//! Aggregates, with and without groups.

use repr::ScalarType;

use super::from::{Source, qualified};
use super::query::Items;
use super::{Column, Generator, Query, Scope};
use crate::types::{array_of, base};

impl Generator<'_> {
    /// GROUP BY with aggregates, perhaps over several grouping sets, perhaps HAVING.
    pub(super) fn grouped_select(&mut self, outer: &[Column], depth: usize) -> Query {
        let mut source = self.source(outer, depth);
        let several = self.tape.chance(30);
        if several {
            source = self.fenced(source);
        }
        let scope = Scope::of(source.columns.clone(), outer);
        let filter = self.filter(&scope, depth);
        let plain: Vec<Column> = source.columns.iter().filter(|column| column.is_plain()).cloned().collect();
        let keys: Vec<Column> =
            self.tape.subset(plain.len().min(4), 0, 40).into_iter().map(|key| plain[key].clone()).collect();
        let several = several && !keys.is_empty();
        let clause = self.grouping(&keys, several);
        let mut items = Items::new();
        let mut grouped = Scope { local: keys.clone(), outer: outer.to_vec(), for_subqueries: keys.clone() };
        for key in &keys {
            items.push(&key.sql, key.typ.clone(), true);
        }
        if several {
            let list = keys.iter().map(|key| key.sql.as_str()).collect::<Vec<_>>().join(", ");
            items.push(&format!("grouping({list})"), ScalarType::Int4, true);
            // What a key is in an expression over grouping sets, subqueries see differently in the two databases.
            grouped.for_subqueries.clear();
        }
        for _ in 0..self.tape.between(1, 3) {
            let start = self.tape.start_span();
            let (sql, typ, exact) = self.aggregate(&scope, depth.min(2));
            items.push(&sql, typ.clone(), exact);
            grouped.local.push(Column { sql, typ, exact });
            self.tape.end_span(start);
        }
        if self.tape.chance(30) {
            self.item(&mut items, &grouped, 1);
        }
        let having =
            if self.tape.chance(25) { format!(" HAVING {}", self.predicate(&grouped, 1)) } else { String::new() };
        let sql = format!("SELECT {} FROM {}{filter}{clause}{having}", items.list(), source.sql);
        Query { sql, columns: items.columns, rows: source.rows * if several { 4 } else { 1 } }
    }

    /// The same rows out of a query that PostgreSQL does not merge with the one around it. Where it does, and finds that two
    /// keys of grouping sets are one column, it shows one where the other is meant.
    fn fenced(&mut self, source: Source) -> Source {
        let mut items = Items::new();
        source.columns.iter().for_each(|column| items.push(&column.sql, column.typ.clone(), column.exact));
        let alias = self.fresh("r");
        let sql = format!("(SELECT {} FROM {} OFFSET 0) AS {alias}", items.list(), source.sql);
        Source { sql, columns: qualified(&alias, &items.columns), rows: source.rows }
    }

    /// A GROUP BY clause of one grouping or of several.
    fn grouping(&mut self, keys: &[Column], several: bool) -> String {
        let list = keys.iter().map(|key| key.sql.as_str()).collect::<Vec<_>>().join(", ");
        if keys.is_empty() {
            return String::new();
        }
        if !several {
            return format!(" GROUP BY {list}");
        }
        match self.tape.below(3) {
            0 => format!(" GROUP BY ROLLUP ({list})"),
            1 => format!(" GROUP BY CUBE ({list})"),
            _ => format!(" GROUP BY GROUPING SETS (({list}), ({}), ())", keys[0].sql),
        }
    }

    /// SELECT of one aggregate: always one row.
    pub(super) fn single_aggregate(&mut self, outer: &[Column], typ: &ScalarType, depth: usize) -> Option<String> {
        let source = self.source(outer, depth);
        let scope = Scope::of(source.columns, outer);
        let filter = self.filter(&scope, depth);
        let aggregate = self.aggregate_of(&scope, typ, depth)?;
        Some(format!("SELECT {aggregate} FROM {}{filter}", source.sql))
    }

    /// Some aggregate, its type, and whether it is exact.
    fn aggregate(&mut self, scope: &Scope, depth: usize) -> (String, ScalarType, bool) {
        match self.tape.weighted(&[2, 8, 1, 1]) {
            0 => (format!("count(*){}", self.aggregate_filter(scope)), ScalarType::Int8, true),
            2 => self.text_aggregate(scope, depth),
            3 => self.ordered_set(scope, depth),
            _ => {
                let aggregates = self.aggregates;
                let of_column =
                    |arg: &ScalarType| scope.local.iter().any(|column| column.exact && base(&column.typ) == *arg);
                let all: Vec<(&ScalarType, usize)> =
                    aggregates.iter().flat_map(|(typ, of_type)| (0..of_type.len()).map(move |at| (typ, at))).collect();
                let wanted: Vec<_> =
                    all.iter().filter(|(typ, at)| of_column(&aggregates[*typ][*at].arg)).copied().collect();
                let wanted = if wanted.is_empty() || self.tape.chance(15) { all } else { wanted };
                let (typ, position) = *self.tape.pick(&wanted);
                let exact = aggregates[typ][position].exact;
                (self.aggregate_at(scope, typ, position, depth), typ.clone(), exact)
            }
        }
    }

    /// An exact aggregate of a type, if there is one.
    fn aggregate_of(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> Option<String> {
        let aggregates = self.aggregates.get(typ)?;
        let exact: Vec<usize> = (0..aggregates.len()).filter(|position| aggregates[*position].exact).collect();
        if exact.is_empty() {
            return None;
        }
        let position = *self.tape.pick(&exact);
        Some(self.aggregate_at(scope, typ, position, depth))
    }

    fn aggregate_at(&mut self, scope: &Scope, typ: &ScalarType, position: usize, depth: usize) -> String {
        let signature = &self.aggregates[typ][position];
        // An aggregate of outer columns alone would belong to the outer query.
        let scope = scope.without_outer();
        let arg = self.expression(&scope, &signature.arg, depth.min(1));
        let distinct = self.tape.chance(20);
        let order = match (signature.ordered, distinct) {
            (false, _) => String::new(),
            (true, true) => format!(" ORDER BY {arg}"),
            (true, false) => format!(" ORDER BY {}{arg}", self.leading_order(&scope)),
        };
        let distinct = if distinct { "DISTINCT " } else { "" };
        format!("{}({distinct}{arg}{order}){}", signature.name, self.aggregate_filter(&scope))
    }

    /// A column to order by before the rest, or nothing.
    fn leading_order(&mut self, scope: &Scope) -> String {
        let columns: Vec<&Column> = scope.local.iter().filter(|column| column.is_plain()).collect();
        if columns.is_empty() || !self.tape.chance(50) {
            return String::new();
        }
        let column = self.tape.pick(&columns).sql.clone();
        format!("{column}{}, ", self.tape.pick(&["", " DESC", " NULLS FIRST"]))
    }

    fn aggregate_filter(&mut self, scope: &Scope) -> String {
        if !self.tape.chance(20) {
            return String::new();
        }
        let mut scope = scope.without_outer();
        scope.for_subqueries.clear();
        let subqueries = std::mem::take(&mut self.subqueries_left);
        let filter = format!(" FILTER (WHERE {})", self.predicate(&scope, 1));
        self.subqueries_left = subqueries;
        filter
    }

    fn text_aggregate(&mut self, scope: &Scope, depth: usize) -> (String, ScalarType, bool) {
        let scope = scope.without_outer();
        let arg = self.expression(&scope, &ScalarType::Text, depth.min(1));
        let lead = self.leading_order(&scope);
        (format!("string_agg({arg}, ',' ORDER BY {lead}{arg})"), ScalarType::Text, true)
    }

    fn ordered_set(&mut self, scope: &Scope, depth: usize) -> (String, ScalarType, bool) {
        let scope = scope.without_outer();
        let typ =
            self.tape.pick(&[ScalarType::Int4, ScalarType::Text, ScalarType::Date, ScalarType::Numeric(None)]).clone();
        let arg = self.expression(&scope, &typ, depth.min(1));
        match self.tape.below(4) {
            0 => (format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {arg})"), base(&typ), true),
            1 => (format!("mode() WITHIN GROUP (ORDER BY {arg} DESC)"), base(&typ), true),
            2 => {
                let arg = self.expression(&scope, &ScalarType::Float8, depth.min(1));
                (format!("percentile_cont(0.25) WITHIN GROUP (ORDER BY {arg})"), ScalarType::Float8, false)
            }
            _ => {
                let arg = self.expression(&scope, &ScalarType::Int4, depth.min(1));
                let typ = array_of(ScalarType::Int4);
                (format!("percentile_disc(ARRAY[0, 0.5, 1]) WITHIN GROUP (ORDER BY {arg})"), typ, true)
            }
        }
    }
}
