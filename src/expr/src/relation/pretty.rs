//! Relational expressions as indented trees, for EXPLAIN and for test expectations.
//!
//! The walk is from the leaves up, since a node's text names the columns of its inputs; each node's line waits in its place.

use std::collections::BTreeMap;
use std::fmt::Write;

use repr::{CollectionId, Diff, RelationType, Row};

use super::{Id, JoinImplementation, LocalId, Relation};
use crate::order::ColumnOrder;
use crate::scalar::{Scalar, type_name, with_stack};

/// Rows of a constant that are printed; of more only the number is.
const CONSTANT_ROWS_SHOWN_MAX: usize = 20;

/// The names of stored collections.
pub type Names = BTreeMap<CollectionId, String>;

/// What is printed beside the nodes themselves.
#[derive(Clone, Debug, Default)]
pub struct Pretty {
    /// The names of stored collections.
    pub names: Names,
    /// The names of their columns: if there are any, columns are printed with their names.
    pub columns: BTreeMap<CollectionId, Vec<String>>,
    /// The number of columns of each node.
    pub arity: bool,
    /// Their types, `?` where they may be NULL.
    pub types: bool,
    /// The sets of columns in which no two rows agree.
    pub keys: bool,
}

impl Relation {
    /// Prints the expression as a tree, one node on each line, two blanks deeper than the node that reads it.
    pub fn pretty(&self) -> String {
        self.pretty_with(&Pretty::default())
    }

    /// Prints the expression as a tree, with what is asked for.
    pub fn pretty_with(&self, pretty: &Pretty) -> String {
        let mut writer = Writer { pretty, lines: Vec::new(), locals: BTreeMap::new() };
        writer.tree(self, 0);
        let mut out = String::new();
        for (depth, text) in writer.lines {
            out.extend(std::iter::repeat_n("  ", depth));
            out.push_str(&text);
            out.push('\n');
        }
        out
    }

    /// This node alone; `columns` are the names of the inputs' columns.
    fn headline(&self, names: &Names, columns: &[String]) -> String {
        let list = |scalars: &[Scalar]| scalars_text(scalars, columns);
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
            Relation::Project { outputs, .. } => format!("Project ({})", columns_text(outputs, columns)),
            Relation::Map { scalars, .. } => format!("Map ({})", list(scalars)),
            Relation::FlatMap { func, exprs, .. } => format!("FlatMap {}({})", func.name(), list(exprs)),
            Relation::Filter { predicates, .. } => {
                let nested = predicates.len() > 1;
                let texts: Vec<_> = predicates.iter().map(|predicate| conjunct(predicate, nested, columns)).collect();
                format!("Filter {}", texts.join(" AND "))
            }
            Relation::Join { equivalences, implementation, .. } => join_headline(equivalences, implementation, columns),
            Relation::Reduce { group_key, aggregates, .. } if aggregates.is_empty() => {
                format!("Distinct project=[{}]", list(group_key))
            }
            Relation::Reduce { group_key, aggregates, monotonic, expected_group_size, .. } => {
                let aggregates: Vec<_> = aggregates.iter().map(|aggregate| aggregate.text(columns)).collect();
                let group = match group_key.is_empty() {
                    true => String::new(),
                    false => format!(" group_by=[{}]", list(group_key)),
                };
                let hints = hints(*monotonic, *expected_group_size);
                format!("Reduce{group} aggregates=[{}]{hints}", aggregates.join(", "))
            }
            Relation::TopK { group_key, order, limit, offset, monotonic, expected_group_size, .. } => {
                let mut text = "TopK".to_owned();
                if !group_key.is_empty() {
                    write!(text, " group_by=[{}]", columns_text(group_key, columns)).expect("a string takes all");
                }
                if !order.is_empty() {
                    write!(text, " order_by=[{}]", order_text(order, columns)).expect("a string takes all");
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
                let keys: Vec<_> = keys.iter().map(|key| format!("[{}]", list(key))).collect();
                format!("ArrangeBy keys=[{}]", keys.join(", "))
            }
        }
    }
}

struct Writer<'a> {
    pretty: &'a Pretty,
    /// Lines with their depths.
    lines: Vec<(usize, String)>,
    /// The names of bindings' columns.
    locals: BTreeMap<LocalId, Vec<String>>,
}

impl Writer<'_> {
    /// Writes a tree and returns the names of its columns, empty where there is none.
    fn tree(&mut self, relation: &Relation, depth: usize) -> Vec<String> {
        with_stack(|| {
            let place = self.lines.len();
            self.lines.push((depth, String::new()));
            let (inputs, outputs) = self.below(relation, depth);
            let annotation = self.annotation(relation);
            self.lines[place].1 = relation.headline(&self.pretty.names, &inputs) + &annotation;
            outputs
        })
    }

    /// Writes what is below a node's line; returns the names of its inputs' columns and of its own.
    fn below(&mut self, relation: &Relation, depth: usize) -> (Vec<String>, Vec<String>) {
        match relation {
            Relation::Constant { rows, typ } => {
                if let Ok(rows) = rows
                    && rows.len() <= CONSTANT_ROWS_SHOWN_MAX
                {
                    rows.iter().for_each(|(row, diff)| self.lines.push((depth + 1, row_text(row, *diff, typ))));
                }
                (Vec::new(), Vec::new())
            }
            Relation::Get { id: Id::Global(id), .. } => {
                (Vec::new(), self.pretty.columns.get(id).cloned().unwrap_or_default())
            }
            Relation::Get { id: Id::Local(id), .. } => (Vec::new(), self.locals.get(id).cloned().unwrap_or_default()),
            Relation::Let { id, value, body } => {
                self.binding(*id, value, depth);
                (Vec::new(), self.body(body, depth))
            }
            Relation::LetRec { ids, values, body, .. } => {
                ids.iter().zip(values).for_each(|(id, value)| self.binding(*id, value, depth));
                (Vec::new(), self.body(body, depth))
            }
            other => {
                let mut inputs = Vec::new();
                for child in other.children() {
                    let mut columns = self.tree(child, depth + 1);
                    if matches!(other, Relation::Join { .. }) {
                        columns.resize(child.arity(), String::new());
                        inputs.extend(columns);
                    } else if inputs.is_empty() {
                        inputs = columns;
                    }
                }
                let outputs = output_names(other, &inputs);
                (inputs, outputs)
            }
        }
    }

    fn binding(&mut self, id: LocalId, value: &Relation, depth: usize) {
        self.lines.push((depth + 1, format!("cte l{} =", id.0)));
        let columns = self.tree(value, depth + 2);
        self.locals.insert(id, columns);
    }

    fn body(&mut self, body: &Relation, depth: usize) -> Vec<String> {
        self.lines.push((depth, "Return".to_owned()));
        self.tree(body, depth + 1)
    }

    fn annotation(&self, relation: &Relation) -> String {
        let Pretty { arity, types, keys, .. } = self.pretty;
        if !arity && !types && !keys {
            return String::new();
        }
        let typ = relation.typ();
        let mut parts = Vec::new();
        if *arity {
            parts.push(format!("arity: {}", typ.arity()));
        }
        if *types {
            let columns = typ
                .columns
                .iter()
                .map(|column| format!("{}{}", type_name(&column.scalar), if column.nullable { "?" } else { "" }));
            parts.push(format!("types: ({})", columns.collect::<Vec<_>>().join(", ")));
        }
        if *keys {
            let keys = typ.keys.iter().map(|key| format!("({})", columns_text(key, &[])));
            parts.push(format!("keys: [{}]", keys.collect::<Vec<_>>().join(", ")));
        }
        format!(" // {{ {} }}", parts.join(", "))
    }
}

/// The names of a node's columns, from those of its inputs.
fn output_names(relation: &Relation, inputs: &[String]) -> Vec<String> {
    let name_of = |column: usize| inputs.get(column).cloned().unwrap_or_default();
    match relation {
        Relation::Project { outputs, .. } => outputs.iter().map(|column| name_of(*column)).collect(),
        Relation::Map { input, scalars } => {
            let mut names: Vec<String> = (0..input.arity()).map(name_of).collect();
            for scalar in scalars {
                let name = match scalar {
                    Scalar::Column(column) => names.get(*column).cloned(),
                    _ => None,
                };
                names.push(name.unwrap_or_default());
            }
            names
        }
        Relation::Reduce { group_key, aggregates, .. } => {
            let keys = group_key.iter().map(|key| match key {
                Scalar::Column(column) => name_of(*column),
                _ => String::new(),
            });
            keys.chain(aggregates.iter().map(|_| String::new())).collect()
        }
        _ => inputs.to_vec(),
    }
}

fn row_text(row: &Row, diff: Diff, typ: &RelationType) -> String {
    let datums = row.unpack(&typ.kinds()).into_iter().zip(&typ.columns);
    let datums: Vec<_> = datums.map(|(datum, typ)| Scalar::literal(datum, typ.scalar.clone()).to_string()).collect();
    let times = if diff.get() == 1 { String::new() } else { format!(" x {diff}") };
    format!("- ({}){times}", datums.join(", "))
}

fn columns_text(columns: &[usize], names: &[String]) -> String {
    let text = |column: &usize| Scalar::Column(*column).display(Some(names)).to_string();
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn scalars_text(scalars: &[Scalar], names: &[String]) -> String {
    scalars.iter().map(|scalar| scalar.display(Some(names)).to_string()).collect::<Vec<_>>().join(", ")
}

fn conjunct(predicate: &Scalar, nested: bool, names: &[String]) -> String {
    let text = predicate.display(Some(names));
    match predicate {
        Scalar::And(_) | Scalar::Or(_) if nested => format!("({text})"),
        _ => text.to_string(),
    }
}

/// An order as SQL writes it, defaults left out.
pub fn order_text(order: &[ColumnOrder], names: &[String]) -> String {
    let column_text = |column: &ColumnOrder| {
        let direction = if column.desc { " desc" } else { "" };
        let nulls = match (column.desc, column.nulls_last) {
            (true, true) => " nulls last",
            (false, false) => " nulls first",
            _ => "",
        };
        format!("{}{direction}{nulls}", Scalar::Column(column.column).display(Some(names)))
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

fn join_headline(equivalences: &[Vec<Scalar>], implementation: &JoinImplementation, names: &[String]) -> String {
    if equivalences.is_empty() && *implementation == JoinImplementation::Unimplemented {
        return "CrossJoin".into();
    }
    let classes: Vec<_> = equivalences
        .iter()
        .map(|class| class.iter().map(|scalar| conjunct(scalar, true, names)).collect::<Vec<_>>().join(" = "))
        .collect();
    let path_text = |steps: &[(usize, Vec<Scalar>)]| {
        steps.iter().map(|(input, key)| format!("%{input}[{}]", scalars_text(key, &[]))).collect::<Vec<_>>().join(" » ")
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
