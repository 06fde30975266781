//! The physical plan as an indented tree.

use std::collections::BTreeMap;
use std::fmt::Write;

use protocol::plan::{JoinKind, JoinStage, Node, Plan, ReducePlan};
use protocol::{Dataflow, Import, Lookup};
use repr::CollectionId;

use crate::access::Access;
use crate::estimate::{Estimate, estimates};

/// How nodes are labelled.
pub struct Labels<'a> {
    /// The names of stored collections.
    pub name_of: &'a dyn Fn(CollectionId) -> Option<String>,
    /// Nodes with the numbers by which introspection names them.
    pub node_identifiers: bool,
    /// The number of columns of each node.
    pub arity: bool,
    /// How many distinct rows a stored collection has at most; if given, what follows for the nodes is printed.
    pub stored_rows: Option<&'a dyn Fn(CollectionId) -> Option<u64>>,
}

impl Labels<'_> {
    fn name(&self, id: CollectionId) -> String {
        (self.name_of)(id).unwrap_or_else(|| id.to_string())
    }

    fn line(&self, plan: &Plan, estimate: Estimate) -> String {
        let mut line = headline(&plan.node, &|id| self.name(id));
        if self.node_identifiers {
            line = format!("{}: {line}", plan.id);
        }
        let mut notes = Vec::new();
        if self.arity {
            notes.push(format!("arity: {}", plan.kinds.len()));
        }
        notes.extend(estimate.rows.map(|rows| format!("rows: at most {rows}")));
        notes.extend(estimate.memory_bytes.map(|bytes| format!("memory: at most {}", size_text(bytes))));
        if !notes.is_empty() {
            line += &format!(" // {{ {} }}", notes.join(", "));
        }
        line
    }
}

/// Prints how a query would be answered: from constants, from an index, or by a dataflow.
pub fn explain_physical(access: &Access, dataflow: &Dataflow, labels: &Labels<'_>) -> String {
    let name = |id: CollectionId| labels.name(id);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match access {
        Access::Constant(Ok(rows)) => writeln!(out, "Constant ({} distinct rows)", rows.len()),
        Access::Constant(Err(error)) => writeln!(out, "Error {error}"),
        Access::Index(access) => {
            let how = match &access.lookup {
                Some(lookup) => format!("lookup of {}", lookup_text(lookup, &access.key)),
                None => "full scan".to_owned(),
            };
            let front = match access.front {
                0 => String::new(),
                front => format!(", the first rows by ({})", scalars(&access.key[..front])),
            };
            writeln!(out, "Peek index {} ({how}{front})", name(access.index))
        }
        Access::Dataflow => Ok(()),
    };
    if !matches!(access, Access::Dataflow) {
        return out;
    }
    let estimates = labels.stored_rows.map(|stored| estimates(dataflow, stored)).unwrap_or_default();
    for object in &dataflow.objects {
        write_plan(&mut out, &object.plan, 0, labels, &estimates);
    }
    let _ = writeln!(out, "\nImports:");
    for import in &dataflow.imports {
        let _ = match import {
            Import::Index { index, on, .. } => writeln!(out, "  index {} on {}", name(*index), name(*on)),
            Import::Shard { id, .. } => writeln!(out, "  stored {}{}", name(*id), pruning(dataflow, *id)),
        };
    }
    out
}

/// By which predicates parts and blocks of a stored collection are left unread: those that bound a column, as far as everybody
/// who reads the collection has some.
fn pruning(dataflow: &Dataflow, import: CollectionId) -> String {
    if dataflow.bounds(import).is_everything() {
        return String::new();
    }
    let mut readers = Vec::new();
    for object in &dataflow.objects {
        object.plan.any_node(&mut |node| {
            if let Node::Get { id, mfp, .. } = node
                && *id == import
            {
                let bounding = mfp.predicates.iter().filter(|predicate| is_bounding(mfp, predicate));
                let texts: Vec<String> = bounding.map(|predicate| predicate.display(None).to_string()).collect();
                readers.push(format!("({})", texts.join(" AND ")));
            }
            false
        });
    }
    format!(" pruned by {}", readers.join(" OR "))
}

fn is_bounding(mfp: &expr::Mfp, predicate: &expr::Scalar) -> bool {
    let alone = expr::Mfp { predicates: vec![predicate.clone()], ..mfp.clone() };
    !alone.bounds().is_everything()
}

fn write_plan(out: &mut String, plan: &Plan, depth: usize, labels: &Labels<'_>, estimates: &BTreeMap<u64, Estimate>) {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || {
        let estimate = estimates.get(&plan.id).copied().unwrap_or_default();
        let _ = writeln!(out, "{:width$}{}", "", labels.line(plan, estimate), width = depth * 2);
        for child in children(&plan.node) {
            write_plan(out, child, depth + 1, labels, estimates);
        }
    });
}

fn headline(node: &Node, name: &dyn Fn(CollectionId) -> String) -> String {
    let with =
        |text: String, mfp: &expr::Mfp| if mfp.is_identity() { text } else { format!("{text} {}", mfp_text(mfp)) };
    match node {
        Node::Constant { rows: Ok(rows) } => format!("Constant ({} distinct rows)", rows.len()),
        Node::Constant { rows: Err(error) } => format!("Error {error}"),
        Node::Get { id, key, lookup, mfp } => {
            let how = match (key, lookup) {
                (key, Some(lookup)) => {
                    format!("Get {} by {}", name(*id), lookup_text(lookup, key.as_deref().unwrap_or_default()))
                }
                (Some(key), None) => format!("Get {} arranged by ({})", name(*id), scalars(key)),
                (None, None) => format!("Get {}", name(*id)),
            };
            with(how, mfp)
        }
        Node::GetLocal { id, mfp } => with(format!("Get l{}", id.0), mfp),
        Node::Let { id, .. } => format!("Let l{}", id.0),
        Node::LetRec { ids, .. } => {
            let ids: Vec<String> = ids.iter().map(|id| format!("l{}", id.0)).collect();
            format!("LetRec {}", ids.join(", "))
        }
        Node::Mfp { mfp, .. } => format!("Mfp {}", mfp_text(mfp)),
        Node::FlatMap { func, exprs, mfp, .. } => with(format!("FlatMap {func:?}({})", scalars(exprs)), mfp),
        Node::Join(join) => with(join_text(&join.kind), &join.mfp),
        Node::Reduce { key, plan, mfp, .. } => with(format!("Reduce {} by ({})", reduce_text(plan), scalars(key)), mfp),
        Node::TopK { group_key, limit, offset, monotonic, levels, .. } => {
            let limit = limit.map_or_else(|| "all".to_owned(), |limit| limit.to_string());
            let how = if *monotonic { "monotonic".to_owned() } else { format!("levels={levels}") };
            format!("TopK group={group_key:?} limit={limit} offset={offset} {how}")
        }
        Node::Negate { .. } => "Negate".to_owned(),
        Node::Threshold { .. } => "Threshold".to_owned(),
        Node::Union { .. } => "Union".to_owned(),
        Node::ArrangeBy { keys, .. } => {
            let keys: Vec<String> = keys.iter().map(|key| format!("({})", scalars(key))).collect();
            format!("ArrangeBy {}", keys.join(", "))
        }
    }
}

fn scalars(scalars: &[expr::Scalar]) -> String {
    let texts: Vec<String> = scalars.iter().map(|scalar| scalar.display(None).to_string()).collect();
    texts.join(", ")
}

fn mfp_text(mfp: &expr::Mfp) -> String {
    let mut parts = Vec::new();
    if !mfp.predicates.is_empty() {
        let texts: Vec<String> = mfp.predicates.iter().map(|scalar| scalar.display(None).to_string()).collect();
        parts.push(format!("filter=({})", texts.join(" AND ")));
    }
    if !mfp.expressions.is_empty() {
        parts.push(format!("map=({})", scalars(&mfp.expressions)));
    }
    let columns: Vec<String> = mfp.projection.iter().map(|column| format!("#{column}")).collect();
    parts.push(format!("project=({})", columns.join(", ")));
    parts.join(" ")
}

fn join_text(kind: &JoinKind) -> String {
    match kind {
        JoinKind::Linear { start, stages } => format!("Join linear {}", path_text(*start, stages)),
        JoinKind::Delta { paths, last: _ } => {
            let paths: Vec<String> = paths.iter().enumerate().map(|(start, stages)| path_text(start, stages)).collect();
            format!("Join delta [{}]", paths.join("; "))
        }
    }
}

/// A size in the unit in which it has at most four digits.
fn size_text(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB"];
    let unit = (0..units.len() as u32).find(|unit| bytes / 1_000u64.pow(*unit) < 10_000).unwrap_or(3);
    format!("{} {}", bytes / 1_000u64.pow(unit), units[unit as usize])
}

fn lookup_text(lookup: &Lookup, key: &[expr::Scalar]) -> String {
    match lookup {
        Lookup::Keys(keys) => format!("{} keys", keys.len()),
        Lookup::Ranges(ranges) if ranges.len() == 1 => format!("1 range of ({})", scalars(key)),
        Lookup::Ranges(ranges) => format!("{} ranges of ({})", ranges.len(), scalars(key)),
    }
}

fn path_text(start: usize, stages: &[JoinStage]) -> String {
    let mut text = format!("%{start}");
    for stage in stages {
        // Writing to a string cannot fail.
        let _ = write!(text, " » %{}[{}]", stage.input, scalars(&stage.lookup_key));
    }
    text
}

fn reduce_text(plan: &ReducePlan) -> String {
    let names = |aggregates: &[expr::Aggregate]| {
        let names: Vec<String> = aggregates.iter().map(|aggregate| format!("{:?}", aggregate.func)).collect();
        names.join(", ")
    };
    match plan {
        ReducePlan::Distinct => "distinct".to_owned(),
        ReducePlan::Accumulable { aggregates } => format!("accumulable [{}]", names(aggregates)),
        ReducePlan::Hierarchical { aggregates, monotonic: true, .. } => {
            format!("hierarchical [{}] monotonic", names(aggregates))
        }
        ReducePlan::Hierarchical { aggregates, monotonic: false, levels } => {
            format!("hierarchical [{}] levels={levels}", names(aggregates))
        }
        ReducePlan::Basic { aggregates } => format!("basic [{}]", names(aggregates)),
        ReducePlan::Collation { parts } => {
            let parts: Vec<String> = parts.iter().map(|(part, _)| reduce_text(part)).collect();
            format!("collation of {}", parts.join(" and "))
        }
    }
}

fn children(node: &Node) -> Vec<&Plan> {
    match node {
        Node::Constant { .. } | Node::Get { .. } | Node::GetLocal { .. } => Vec::new(),
        Node::Let { value, body, .. } => vec![value, body],
        Node::LetRec { values, body, .. } => values.iter().chain([&**body]).collect(),
        Node::Join(join) => join.inputs.iter().collect(),
        Node::Union { inputs } => inputs.iter().collect(),
        Node::Mfp { input, .. }
        | Node::FlatMap { input, .. }
        | Node::Reduce { input, .. }
        | Node::TopK { input, .. }
        | Node::Negate { input }
        | Node::Threshold { input }
        | Node::ArrangeBy { input, .. } => vec![input],
    }
}
