//! `misc/doc/functions.md` is printed from the table of functions. `REWRITE=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use expr::func::{self, ArgType, FuncDef, FuncKind, Volatility};

const HEAD: &str = "# Functions and operators

Printed from the table by which functions are resolved, evaluated and listed in `pg_proc`; `REWRITE=1 cargo test -p expr
--test manual` prints it anew. Not in the table are the forms with a syntax of their own (CASE, COALESCE, EXTRACT, ...),
aggregates and functions that return rows.

A function gives NULL if an argument is NULL, unless *sees NULLs* stands behind it. What is *stable* depends on the session
or the time, and what is *volatile* also on chance: neither can be kept up to date in a materialized view or an index.
";

#[test]
fn the_manual_is_what_the_table_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../misc/doc/functions.md");
    let printed = manual();
    if std::env::vars().any(|(name, _)| name == "REWRITE") {
        std::fs::write(&path, &printed).expect("a manual that can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = printed.lines().zip(written.lines()).find(|(printed, written)| printed != written);
    assert!(printed == written, "the manual is out of date; REWRITE=1 prints it anew; first: {difference:?}");
}

fn manual() -> String {
    let mut out = HEAD.to_owned();
    for (title, table) in func::families() {
        let shown = |def: &&FuncDef| matches!(def.kind, FuncKind::Function | FuncKind::Operator);
        let mut entries: BTreeMap<(bool, &str), Vec<&FuncDef>> = BTreeMap::new();
        for def in table.iter().filter(shown) {
            entries.entry((def.kind == FuncKind::Function, def.name)).or_default().push(def);
        }
        if entries.is_empty() {
            continue;
        }
        write!(out, "\n## {title}\n\n| call | result | |\n|---|---|---|\n").expect("a string takes all text");
        for def in entries.into_values().flatten() {
            let call = format!("`{}`", signature(def)).replace('|', "\\|");
            let doc = format!("{}{}", def.doc, remarks(def)).replace('|', "\\|");
            writeln!(out, "| {call} | {} | {doc} |", def.returns.name()).expect("a string takes all text");
        }
    }
    out
}

fn signature(def: &FuncDef) -> String {
    let mut args: Vec<String> = def.args.iter().copied().map(ArgType::name).collect();
    match (def.kind, &args[..]) {
        (FuncKind::Operator, [operand]) => return format!("{} {operand}", def.name),
        (FuncKind::Operator, [left, right]) => return format!("{left} {} {right}", def.name),
        _ => {}
    }
    args.extend(def.variadic.map(|further| format!("{}, ...", further.name())));
    format!("{}({})", def.name, args.join(", "))
}

fn remarks(def: &FuncDef) -> String {
    let mut remarks = Vec::new();
    if !def.strict {
        remarks.push("*Sees NULLs.*");
    }
    match def.volatility {
        Volatility::Immutable => {}
        Volatility::Stable => remarks.push("*Stable.*"),
        Volatility::Volatile => remarks.push("*Volatile.*"),
    }
    remarks.into_iter().map(|remark| format!(" {remark}")).collect()
}
