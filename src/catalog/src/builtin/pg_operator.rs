//! `pg_operator`: the operators, from the table of functions, and the comparisons of every type.

use expr::func::FuncKind;
use repr::{Datum, Row, ScalarType, pg_type};

use super::Column::{Bool, Oid, Text};
use super::pg_type::PG_CATALOG_OID;
use super::{Builtin, Facts, OWNER_OID, oid, pg_proc};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    id: 156,
    schema: "pg_catalog",
    name: "pg_operator",
    columns: &[
        ("oid", Oid),
        ("oprname", Text),
        ("oprnamespace", Oid),
        ("oprowner", Oid),
        ("oprkind", Text),
        ("oprcanmerge", Bool),
        ("oprcanhash", Bool),
        ("oprleft", Oid),
        ("oprright", Oid),
        ("oprresult", Oid),
        ("oprcom", Oid),
        ("oprnegate", Oid),
        ("oprcode", Oid),
    ],
    rows: operators,
}];

/// The first operator's oid; the others follow in the order of the table.
const FIRST_OID: u32 = 200_000;

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// An operator of these operands; the left one of a prefix operator is 0.
struct Operator {
    name: &'static str,
    left: u32,
    right: u32,
    result: u32,
}

fn all() -> Vec<Operator> {
    let table = expr::func::all().filter(|func| func.kind == FuncKind::Operator).filter_map(|func| {
        let oid = |arg| pg_proc::type_oid(arg);
        let (left, right) = match func.args {
            [only] => (0, oid(*only)),
            [left, right] => (oid(*left), oid(*right)),
            _ => return None,
        };
        Some(Operator { name: func.0.name, left, right, result: oid(func.returns) })
    });
    let types = pg_type::scalars().map(|(typ, _)| typ.clone());
    let ranges = pg_type::ranges().map(|(range, _)| ScalarType::Range(range));
    let compared = types.chain(ranges).map(|typ| pg_type::oid(&typ)).chain([pg_proc::type_oid_by_name("anyarray")]);
    let compared: Vec<u32> = compared.collect();
    let result = pg_type::oid(&ScalarType::Bool);
    let comparisons = COMPARISONS.into_iter().flat_map(|name| {
        compared.iter().map(move |operand| Operator { name, left: *operand, right: *operand, result })
    });
    table.chain(comparisons).collect()
}

fn operators(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (number, operator) in (FIRST_OID..).zip(all()) {
        let Operator { name, left, right, result } = operator;
        let is_equality = Datum::Bool(name == "=");
        out.push(Row::pack([
            oid(number),
            Datum::Text(name),
            oid(PG_CATALOG_OID),
            oid(OWNER_OID),
            Datum::Text(if left == 0 { "l" } else { "b" }),
            is_equality,
            is_equality,
            oid(left),
            oid(right),
            oid(result),
            oid(0),
            oid(0),
            oid(0),
        ]));
    }
}
