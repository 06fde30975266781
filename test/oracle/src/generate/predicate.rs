//! Predicates: comparisons, logic, and subqueries that are asked whether they have rows.

use repr::ScalarType;

use super::{Generator, Scope};
use crate::types::{array_of, base, column_types, literal_or_null};

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

impl Generator<'_> {
    /// An exact expression that is true, false or NULL.
    pub(super) fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        let start = self.tape.start_span();
        let sql = self.predicate_of_some_form(scope, depth);
        self.tape.end_span(start);
        sql
    }

    fn predicate_of_some_form(&mut self, scope: &Scope, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        let form = self.tape.weighted(&if depth == 0 {
            [6, 3, 0, 0, 0, 0, 0, 0, 0, 0]
        } else {
            [6, 3, 2, 2, 1, 2, 1, 1, 3, 3]
        });
        match form {
            1 => self.test_of_null(scope, next),
            2 => format!("({} AND {})", self.predicate(scope, next), self.predicate(scope, next)),
            3 => format!("({} OR {})", self.predicate(scope, next), self.predicate(scope, next)),
            4 => format!("(NOT {})", self.predicate(scope, next)),
            5 => self.member_of_list(scope, next),
            6 => self.comparison_of_rows(scope, next),
            7 => format!("({}) IS NOT TRUE", self.predicate(scope, next)),
            8 if self.subqueries_left > 0 => self.subquery_predicate(scope, next),
            9 => self.call_of(scope, &ScalarType::Bool, next, true).unwrap_or_else(|| self.comparison(scope, next)),
            _ => self.comparison(scope, next),
        }
    }

    fn comparison(&mut self, scope: &Scope, depth: usize) -> String {
        let typ = self.some_type(scope);
        let operator = *self.tape.pick(&COMPARISONS);
        let (left, right) = (self.expression(scope, &typ, depth), self.expression(scope, &typ, depth));
        format!("({left} {operator} {right})")
    }

    fn test_of_null(&mut self, scope: &Scope, depth: usize) -> String {
        let typ = self.some_type(scope);
        let operand = self.expression(scope, &typ, depth);
        match self.tape.below(3) {
            0 => format!("(({operand}) IS NULL)"),
            1 => format!("(({operand}) IS NOT NULL)"),
            _ => {
                let other = self.expression(scope, &typ, depth);
                let not = self.tape.pick(&["", "NOT "]);
                format!("(({operand}) IS {not}DISTINCT FROM ({other}))")
            }
        }
    }

    fn member_of_list(&mut self, scope: &Scope, depth: usize) -> String {
        let typ = self.some_type(scope);
        let operand = self.expression(scope, &typ, depth);
        let not = *self.tape.pick(&["", "NOT "]);
        match self.tape.below(4) {
            0 | 1 => {
                let count = self.tape.between(1, 3);
                let values: Vec<String> =
                    (0..count).map(|_| literal_or_null(&mut self.tape, &typ, self.taste, 15)).collect();
                format!("(({operand}) {not}IN ({}))", values.join(", "))
            }
            2 => {
                let (low, high) = (self.expression(scope, &typ, depth), self.expression(scope, &typ, depth));
                format!("(({operand}) {not}BETWEEN ({low}) AND ({high}))")
            }
            _ => {
                let element = self.tape.pick(&[ScalarType::Int4, ScalarType::Text]).clone();
                let operand = self.expression(scope, &element, depth);
                let array = self.expression(scope, &array_of(element), depth);
                let quantifier = *self.tape.pick(&["ANY", "ALL"]);
                format!("({operand} {} {quantifier} ({array}))", self.tape.pick(&COMPARISONS))
            }
        }
    }

    fn comparison_of_rows(&mut self, scope: &Scope, depth: usize) -> String {
        let types = [self.some_type(scope), self.some_type(scope)];
        let operator = *self.tape.pick(&COMPARISONS);
        let mut row = || -> String {
            let values: Vec<String> = types.iter().map(|typ| self.expression(scope, typ, depth.min(1))).collect();
            values.join(", ")
        };
        let (left, right) = (row(), row());
        format!("(({left}) {operator} ({right}))")
    }

    fn subquery_predicate(&mut self, scope: &Scope, depth: usize) -> String {
        self.subqueries_left -= 1;
        let outer = scope.outer_of_subquery();
        let not = *self.tape.pick(&["", "NOT "]);
        match self.tape.below(4) {
            0 | 1 => {
                let typ = base(self.tape.pick(&column_types()));
                let query = self.plain_select(&outer, Some(std::slice::from_ref(&typ)), depth.min(1));
                format!("({not}EXISTS ({}))", query.sql)
            }
            form => {
                let typ = self.some_type(scope);
                let operand = self.expression(scope, &typ, depth.min(1));
                let query = self.plain_select(&outer, Some(std::slice::from_ref(&typ)), depth.min(1));
                if form == 2 {
                    return format!("(({operand}) {not}IN ({}))", query.sql);
                }
                let quantifier = *self.tape.pick(&["ANY", "ALL"]);
                format!("(({operand}) {} {quantifier} ({}))", self.tape.pick(&COMPARISONS), query.sql)
            }
        }
    }
}
