//! The formats of plans. A plan is a text of indented lines; JSON and DOT say the same of its tree.

use std::fmt::Write;

use serde_json::{Value, json};
use sql::plan::ExplainFormat;

/// A line and those that are indented below it.
struct Tree<'a> {
    line: &'a str,
    below: Vec<Tree<'a>>,
}

pub(super) fn formatted(text: String, format: ExplainFormat) -> String {
    match format {
        ExplainFormat::Text => text,
        ExplainFormat::Json => {
            let trees = trees(&text);
            let values: Vec<Value> = trees.iter().map(value).collect();
            format!("{:#}", Value::Array(values))
        }
        ExplainFormat::Dot => {
            let mut out = "digraph plan {\n    node [shape = box]\n".to_owned();
            let mut next = 0;
            trees(&text).iter().for_each(|tree| write_dot(&mut out, tree, None, &mut next));
            out + "}\n"
        }
    }
}

fn trees(text: &str) -> Vec<Tree<'_>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut lines = lines.map(|line| (line.len() - line.trim_start().len(), line.trim())).peekable();
    let mut roots = Vec::new();
    while let Some((indent, _)) = lines.peek().copied() {
        roots.extend(siblings(&mut lines, indent));
    }
    roots
}

/// The trees whose lines are indented by `indent`.
fn siblings<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'a str)>>,
    indent: usize,
) -> Vec<Tree<'a>> {
    // Written without recursion, as a plan may be deep: the open trees, each with its indent.
    let mut open: Vec<(usize, Tree<'a>)> = Vec::new();
    let mut done = Vec::new();
    let mut close = |open: &mut Vec<(usize, Tree<'a>)>, until: usize| {
        while let Some((_, tree)) = open.pop_if(|(at, _)| *at >= until) {
            match open.last_mut() {
                Some((_, parent)) => parent.below.push(tree),
                None => done.push(tree),
            }
        }
    };
    while let Some((at, line)) = lines.next_if(|(at, _)| *at >= indent) {
        close(&mut open, at);
        open.push((at, Tree { line, below: Vec::new() }));
    }
    close(&mut open, 0);
    done
}

fn value(tree: &Tree<'_>) -> Value {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || match &tree.below[..] {
        [] => json!({ "node": tree.line }),
        below => json!({ "node": tree.line, "inputs": below.iter().map(value).collect::<Vec<_>>() }),
    })
}

fn write_dot(out: &mut String, tree: &Tree<'_>, parent: Option<usize>, next: &mut usize) {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || {
        let id = *next;
        *next += 1;
        let label = tree.line.replace('\\', "\\\\").replace('"', "\\\"");
        // A string takes all.
        let _ = writeln!(out, "    n{id} [label = \"{label}\"]");
        if let Some(parent) = parent {
            let _ = writeln!(out, "    n{id} -> n{parent}");
        }
        tree.below.iter().for_each(|below| write_dot(out, below, Some(id), next));
    });
}
