//! EXPLAIN RAW PLAN: a query as it was understood, its subqueries and outer joins still in place.
//!
//! ```text
//! Filter exists(subquery 1)          a subquery stands below the node that asks it
//!   subquery 1 =
//!     Filter #0 = #^1                column 0 of its own row, column 1 of the row one further out
//!       Get orders
//!   Get customers
//! ```

use std::sync::Arc;

use expr::relation::order_text;
use expr::{Aggregate, LocalId, Scalar};
use repr::{CollectionId, Diff, RelationType};

use super::{HirAggregate, HirRelation, HirScalar, JoinKind, Quantifier};
use crate::stack::with_stack;

/// Where the columns begin that stand for what only this algebra has: no row is so wide.
const LEAVES: usize = 1 << 32;

/// Prints the expression as a tree, one node on each line, two blanks deeper than the node that reads it.
pub(crate) fn pretty(relation: &HirRelation, name_of: &dyn Fn(CollectionId) -> Option<String>) -> String {
    let mut writer = Writer { name_of, lines: Vec::new(), subqueries: 0, pending: Vec::new() };
    writer.tree(relation, 0);
    let mut out = String::new();
    for (depth, text) in writer.lines {
        out.extend(std::iter::repeat_n("  ", depth));
        out.push_str(&text);
        out.push('\n');
    }
    out
}

struct Writer<'a> {
    name_of: &'a dyn Fn(CollectionId) -> Option<String>,
    /// Lines with their depths.
    lines: Vec<(usize, String)>,
    /// How many subqueries have a number.
    subqueries: usize,
    /// Those of the node whose line is written.
    pending: Vec<(usize, &'a HirRelation)>,
}

impl<'a> Writer<'a> {
    fn tree(&mut self, relation: &'a HirRelation, depth: usize) {
        with_stack(|| {
            let outside = std::mem::take(&mut self.pending);
            let line = self.headline(relation);
            let subqueries = std::mem::replace(&mut self.pending, outside);
            self.lines.push((depth, line));
            for (number, subquery) in subqueries {
                self.lines.push((depth + 1, format!("subquery {number} =")));
                self.tree(subquery, depth + 2);
            }
            match relation {
                HirRelation::Constant { rows, columns } => {
                    let rows = rows.iter().map(|row| (row.clone(), Diff::ONE)).collect();
                    let constant = expr::Relation::constant_rows(rows, RelationType::new(columns.clone()));
                    // Its first line is the headline; the others are the rows.
                    let text = constant.pretty();
                    self.lines.extend(text.lines().skip(1).map(|row| (depth + 1, row.trim_start().to_owned())));
                }
                HirRelation::Let { id, value, body } => {
                    self.binding(*id, value, depth);
                    self.body(body, depth);
                }
                HirRelation::LetRec { bindings, body, .. } => {
                    bindings.iter().for_each(|binding| self.binding(binding.id, &binding.value, depth));
                    self.body(body, depth);
                }
                other => other.inputs().into_iter().for_each(|input| self.tree(input, depth + 1)),
            }
        });
    }

    fn binding(&mut self, id: LocalId, value: &'a HirRelation, depth: usize) {
        self.lines.push((depth + 1, format!("cte l{} =", id.0)));
        self.tree(value, depth + 2);
    }

    fn body(&mut self, body: &'a HirRelation, depth: usize) {
        self.lines.push((depth, "Return".to_owned()));
        self.tree(body, depth + 1);
    }

    /// This node alone.
    fn headline(&mut self, relation: &'a HirRelation) -> String {
        match relation {
            HirRelation::Constant { rows, .. } if rows.is_empty() => "Constant <empty>".to_owned(),
            HirRelation::Constant { .. } => "Constant".to_owned(),
            HirRelation::Get { id, .. } => format!("Get {}", (self.name_of)(*id).unwrap_or_else(|| id.to_string())),
            HirRelation::GetLocal { id } => format!("Get l{}", id.0),
            HirRelation::Let { .. } => "With".to_owned(),
            HirRelation::LetRec { limit: None, .. } => "With Mutually Recursive".to_owned(),
            HirRelation::LetRec { limit: Some(limit), .. } => {
                let at = if limit.return_at_limit { "RETURN AT" } else { "ERROR AT" };
                format!("With Mutually Recursive ({at} RECURSION LIMIT {})", limit.iterations)
            }
            HirRelation::Project { outputs, .. } => format!("Project ({})", columns_text(outputs)),
            HirRelation::Map { scalars, .. } => format!("Map ({})", self.list(scalars)),
            HirRelation::Filter { predicates, .. } => format!("Filter {}", self.conjunction(predicates)),
            HirRelation::FlatMap { func, args, .. } => format!("FlatMap {}({})", func.name(), self.list(args)),
            HirRelation::Join { on, kind, .. } => match (kind, &on[..]) {
                (JoinKind::Inner, []) => "CrossJoin".to_owned(),
                (kind, on) => format!("{kind:?}Join on=({})", self.conjunction(on)),
            },
            HirRelation::Reduce { group_key, aggregates, expected_group_size, .. } => {
                let group = match &group_key[..] {
                    [] => String::new(),
                    keys => format!(" group_by=[{}]", self.list(keys)),
                };
                let aggregates: Vec<String> = aggregates.iter().map(|aggregate| self.aggregate(aggregate)).collect();
                format!("Reduce{group} aggregates=[{}]{}", aggregates.join(", "), hint(*expected_group_size))
            }
            HirRelation::Distinct { .. } => "Distinct".to_owned(),
            HirRelation::TopK { group_key, order, limit, offset, expected_group_size, .. } => {
                let part = |name: &str, text: String| if text.is_empty() { text } else { format!(" {name}=[{text}]") };
                let group = part("group_by", columns_text(group_key));
                let order = part("order_by", order_text(order, &[]));
                let limit = limit.map(|limit| format!(" limit={limit}")).unwrap_or_default();
                let offset = if *offset > 0 { format!(" offset={offset}") } else { String::new() };
                format!("TopK{group}{order}{limit}{offset}{}", hint(*expected_group_size))
            }
            HirRelation::Negate { .. } => "Negate".to_owned(),
            HirRelation::Threshold { .. } => "Threshold".to_owned(),
            HirRelation::Union { .. } => "Union".to_owned(),
        }
    }

    fn list(&mut self, scalars: &'a [HirScalar]) -> String {
        scalars.iter().map(|scalar| self.scalar(scalar)).collect::<Vec<_>>().join(", ")
    }

    fn conjunction(&mut self, predicates: &'a [HirScalar]) -> String {
        let is_nested = predicates.len() > 1;
        let texts: Vec<String> = predicates
            .iter()
            .map(|predicate| {
                let text = self.scalar(predicate);
                match predicate {
                    HirScalar::And(_) | HirScalar::Or(_) if is_nested => format!("({text})"),
                    _ => text,
                }
            })
            .collect();
        texts.join(" AND ")
    }

    fn aggregate(&mut self, aggregate: &'a HirAggregate) -> String {
        let HirAggregate { func, expr, arg_type, distinct, .. } = aggregate;
        let mut leaves = Vec::new();
        let expr = self.plain(expr, &mut leaves);
        let plain = Aggregate { func: func.clone(), expr, arg_type: arg_type.clone(), distinct: *distinct };
        plain.text_by(&|column| column_text(column, &leaves))
    }

    fn scalar(&mut self, scalar: &'a HirScalar) -> String {
        let mut leaves = Vec::new();
        let plain = self.plain(scalar, &mut leaves);
        plain.display_by(&|column| column_text(column, &leaves)).to_string()
    }

    /// The expression in the plain algebra; what that has not is a column that stands for one of `leaves`, its text.
    fn plain(&mut self, scalar: &'a HirScalar, leaves: &mut Vec<String>) -> Scalar {
        with_stack(|| {
            let text = match scalar {
                HirScalar::Column { level: 0, index } => return Scalar::Column(*index),
                HirScalar::Literal(value, typ) => return Scalar::Literal(value.clone(), typ.clone()),
                HirScalar::MzNow => return Scalar::MzNow,
                HirScalar::Call { func, args, types } => {
                    return Scalar::Call { func: *func, args: self.all(args, leaves), types: Arc::clone(types) };
                }
                HirScalar::And(args) => return Scalar::And(self.all(args, leaves)),
                HirScalar::Or(args) => return Scalar::Or(self.all(args, leaves)),
                HirScalar::Coalesce(args) => return Scalar::Coalesce(self.all(args, leaves)),
                HirScalar::If { cond, then, els } => {
                    let mut part = |part| Box::new(self.plain(part, leaves));
                    return Scalar::If { cond: part(cond), then: part(then), els: part(els) };
                }
                HirScalar::IsNull(inner) => return self.plain(inner, leaves).is_null(),
                HirScalar::Not(inner) => return self.plain(inner, leaves).not(),
                HirScalar::Column { level, index } => format!("#{}{index}", "^".repeat(*level)),
                HirScalar::Exists(relation) => format!("exists(subquery {})", self.subquery(relation)),
                HirScalar::Select(relation) => format!("(subquery {})", self.subquery(relation)),
                HirScalar::Quantified { quantifier, relation, predicate } => {
                    let name = match quantifier {
                        Quantifier::Any => "any",
                        Quantifier::All => "all",
                    };
                    let number = self.subquery(relation);
                    format!("{name}(subquery {number}, {})", self.scalar(predicate))
                }
                HirScalar::Aggregate { place: index, .. }
                | HirScalar::SetReturning(index)
                | HirScalar::Window(index)
                | HirScalar::Grouping(index) => format!("call {index}"),
            };
            leaves.push(text);
            Scalar::Column(LEAVES + leaves.len() - 1)
        })
    }

    fn all(&mut self, scalars: &'a [HirScalar], leaves: &mut Vec<String>) -> Vec<Scalar> {
        scalars.iter().map(|scalar| self.plain(scalar, leaves)).collect()
    }

    /// Gives a subquery its number; it is written below the line.
    fn subquery(&mut self, relation: &'a HirRelation) -> usize {
        self.subqueries += 1;
        self.pending.push((self.subqueries, relation));
        self.subqueries
    }
}

/// How many rows share a key, as the user says.
fn hint(expected_group_size: Option<u64>) -> String {
    expected_group_size.map(|size| format!(" exp_group_size={size}")).unwrap_or_default()
}

fn column_text(column: usize, leaves: &[String]) -> String {
    match column.checked_sub(LEAVES).and_then(|leaf| leaves.get(leaf)) {
        Some(text) => text.clone(),
        None => format!("#{column}"),
    }
}

fn columns_text(columns: &[usize]) -> String {
    columns.iter().map(|column| format!("#{column}")).collect::<Vec<_>>().join(", ")
}
