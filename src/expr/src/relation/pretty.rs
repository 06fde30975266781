//! Relational expressions as indented trees, for EXPLAIN and for test expectations.

use std::collections::BTreeMap;
use std::fmt::Write;

use repr::CollectionId;

use super::{Id, JoinImplementation, Relation};
use crate::aggregate::Aggregate;
use crate::order::ColumnOrder;
use crate::scalar::{Scalar, with_stack};

/// Rows of a constant that are printed; of more only the number is.
const CONSTANT_ROWS_SHOWN_MAX: usize = 20;

/// The names of stored collections.
pub type Names = BTreeMap<CollectionId, String>;

impl Relation {
    /// Prints the expression as a tree, one node on each line, two blanks deeper than the node that reads it.
    pub fn pretty(&self) -> String {
        self.pretty_with_names(&Names::new())
    }

    /// Prints the expression as a tree, with names for stored collections.
    pub fn pretty_with_names(&self, names: &Names) -> String {
        let mut out = String::new();
        write_tree(&mut out, self, 0, names);
        out
    }

    /// This node alone, on one line.
    pub fn headline(&self, names: &Names) -> String {
        match self {
            Relation::Constant { rows: Ok(rows), .. } if rows.is_empty() => "Constant <empty>".into(),
            Relation::Constant { rows: Ok(rows), .. } if rows.len() > CONSTANT_ROWS_SHOWN_MAX => {
                format!("Constant // {} rows", rows.len())
            }
            Relation::Constant { rows: Ok(_), .. } => "Constant".into(),
            Relation::Constant { rows: Err(error), .. } => format!("Constant error({:?})", error.message),
            Relation::Get { id: Id::Local(id), .. } => format!("Get l{}", id.0),
            Relation::Get { id: Id::Global(id), .. } => match names.get(id) {
                Some(name) => format!("Get {name}"),
                None => format!("Get {id}"),
            },
            Relation::Let { .. } => "With".into(),
            Relation::LetRec { limit: None, .. } => "With Mutually Recursive".into(),
            Relation::LetRec { limit: Some(limit), .. } => {
                let at = if limit.return_at_limit { "RETURN AT" } else { "ERROR AT" };
                format!("With Mutually Recursive ({at} RECURSION LIMIT {})", limit.iterations)
            }
            Relation::Project { outputs, .. } => format!("Project ({})", columns(outputs)),
            Relation::Map { scalars, .. } => format!("Map ({})", scalars_text(scalars)),
            Relation::FlatMap { func, exprs, .. } => format!("FlatMap {}({})", func.name(), scalars_text(exprs)),
            Relation::Filter { predicates, .. } => {
                let nested = predicates.len() > 1;
                let texts: Vec<_> = predicates.iter().map(|predicate| conjunct(predicate, nested)).collect();
                format!("Filter {}", texts.join(" AND "))
            }
            Relation::Join { equivalences, implementation, .. } => join_headline(equivalences, implementation),
            Relation::Reduce { group_key, aggregates, .. } if aggregates.is_empty() => {
                format!("Distinct project=[{}]", scalars_text(group_key))
            }
            Relation::Reduce { group_key, aggregates, monotonic, expected_group_size, .. } => {
                let aggregates: Vec<_> = aggregates.iter().map(Aggregate::to_string).collect();
                let group = match group_key.is_empty() {
                    true => String::new(),
                    false => format!(" group_by=[{}]", scalars_text(group_key)),
                };
                let hints = hints(*monotonic, *expected_group_size);
                format!("Reduce{group} aggregates=[{}]{hints}", aggregates.join(", "))
            }
            Relation::TopK { group_key, order, limit, offset, monotonic, expected_group_size, .. } => {
                let mut text = "TopK".to_owned();
                if !group_key.is_empty() {
                    write!(text, " group_by=[{}]", columns(group_key)).expect("a string takes all");
                }
                if !order.is_empty() {
                    write!(text, " order_by=[{}]", order_text(order)).expect("a string takes all");
                }
                if let Some(limit) = limit {
                    write!(text, " limit={limit}").expect("a string takes all");
                }
                if *offset > 0 {
                    write!(text, " offset={offset}").expect("a string takes all");
                }
                text + &hints(*monotonic, *expected_group_size)
            }
            Relation::Negate { .. } => "Negate".into(),
            Relation::Threshold { .. } => "Threshold".into(),
            Relation::Union { .. } => "Union".into(),
            Relation::ArrangeBy { keys, .. } => {
                let keys: Vec<_> = keys.iter().map(|key| format!("[{}]", scalars_text(key))).collect();
                format!("ArrangeBy keys=[{}]", keys.join(", "))
            }
        }
    }
}

fn write_tree(out: &mut String, relation: &Relation, depth: usize, names: &Names) {
    with_stack(|| {
        write_line(out, depth, &relation.headline(names));
        match relation {
            Relation::Constant { rows: Ok(rows), typ } if rows.len() <= CONSTANT_ROWS_SHOWN_MAX => {
                let kinds = typ.kinds();
                for (row, diff) in rows {
                    let datums = row.unpack(&kinds).into_iter().zip(&typ.columns);
                    let datums: Vec<_> =
                        datums.map(|(datum, typ)| Scalar::literal(datum, typ.scalar.clone()).to_string()).collect();
                    let times = if diff.get() == 1 { String::new() } else { format!(" x {diff}") };
                    write_line(out, depth + 1, &format!("- ({}){times}", datums.join(", ")));
                }
            }
            Relation::Let { id, value, body } => {
                write_line(out, depth + 1, &format!("cte l{} =", id.0));
                write_tree(out, value, depth + 2, names);
                write_line(out, depth, "Return");
                write_tree(out, body, depth + 1, names);
            }
            Relation::LetRec { ids, values, body, .. } => {
                for (id, value) in ids.iter().zip(values) {
                    write_line(out, depth + 1, &format!("cte l{} =", id.0));
                    write_tree(out, value, depth + 2, names);
                }
                write_line(out, depth, "Return");
                write_tree(out, body, depth + 1, names);
            }
            other => other.children().into_iter().for_each(|child| write_tree(out, child, depth + 1, names)),
        }
    });
}

fn write_line(out: &mut String, depth: usize, text: &str) {
    out.extend(std::iter::repeat_n("  ", depth));
    out.push_str(text);
    out.push('\n');
}

fn columns(columns: &[usize]) -> String {
    columns.iter().map(|column| format!("#{column}")).collect::<Vec<_>>().join(", ")
}

fn scalars_text(scalars: &[Scalar]) -> String {
    scalars.iter().map(Scalar::to_string).collect::<Vec<_>>().join(", ")
}

fn conjunct(predicate: &Scalar, nested: bool) -> String {
    match predicate {
        Scalar::And(_) | Scalar::Or(_) if nested => format!("({predicate})"),
        _ => predicate.to_string(),
    }
}

/// An order as SQL writes it, defaults left out.
pub(crate) fn order_text(order: &[ColumnOrder]) -> String {
    let column_text = |column: &ColumnOrder| {
        let direction = if column.desc { " desc" } else { "" };
        let nulls = match (column.desc, column.nulls_last) {
            (true, true) => " nulls last",
            (false, false) => " nulls first",
            _ => "",
        };
        format!("#{}{direction}{nulls}", column.column)
    };
    order.iter().map(column_text).collect::<Vec<_>>().join(", ")
}

fn hints(monotonic: bool, expected_group_size: Option<u64>) -> String {
    let monotonic = if monotonic { " monotonic" } else { "" };
    match expected_group_size {
        Some(size) => format!("{monotonic} exp_group_size={size}"),
        None => monotonic.to_owned(),
    }
}

fn join_headline(equivalences: &[Vec<Scalar>], implementation: &JoinImplementation) -> String {
    if equivalences.is_empty() && *implementation == JoinImplementation::Unimplemented {
        return "CrossJoin".into();
    }
    let classes: Vec<_> = equivalences
        .iter()
        .map(|class| class.iter().map(|scalar| conjunct(scalar, true)).collect::<Vec<_>>().join(" = "))
        .collect();
    let path_text = |steps: &[(usize, Vec<Scalar>)]| {
        steps.iter().map(|(input, key)| format!("%{input}[{}]", scalars_text(key))).collect::<Vec<_>>().join(" » ")
    };
    let implementation = match implementation {
        JoinImplementation::Unimplemented => String::new(),
        JoinImplementation::Linear { start, steps } => format!(" type=linear %{start} » {}", path_text(steps)),
        JoinImplementation::Delta { paths } => {
            let paths: Vec<_> =
                paths.iter().enumerate().map(|(start, steps)| format!("%{start} » {}", path_text(steps))).collect();
            format!(" type=delta {}", paths.join("; "))
        }
    };
    format!("Join on=({}){implementation}", classes.join(" AND "))
}
