//! `pg_cast`: which types are cast to which, from the rules by which expressions are cast.

use expr::cast::{CastContext, least_context};
use repr::{Datum, Row, ScalarType, pg_type};

use super::Column::{Oid, Text};
use super::{Builtin, Facts, oid};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    id: 158,
    schema: "pg_catalog",
    name: "pg_cast",
    columns: &[
        ("oid", Oid),
        ("castsource", Oid),
        ("casttarget", Oid),
        ("castfunc", Oid),
        ("castcontext", Text),
        ("castmethod", Text),
    ],
    rows: casts,
}];

/// The first cast's oid; the others follow in the order of the types.
const FIRST_OID: u32 = 300_000;

/// Between scalars; what goes by way of text alone, as in PostgreSQL, is no entry of its own.
fn casts(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    let types: Vec<ScalarType> = pg_type::scalars().map(|(typ, _)| typ.clone()).collect();
    let pairs = types.iter().flat_map(|from| types.iter().map(move |to| (from, to)));
    let known = pairs.filter(|(from, to)| from != to).filter_map(|(from, to)| {
        let is_text = |typ: &ScalarType| pg_type::typcategory(typ) == 'S';
        let context = least_context(from, to).filter(|_| !(is_text(from) ^ is_text(to)))?;
        Some((from, to, context))
    });
    for (number, (from, to, context)) in (FIRST_OID..).zip(known) {
        let context = match context {
            CastContext::Implicit => "i",
            CastContext::Assignment => "a",
            CastContext::Explicit => "e",
        };
        let method = if is_same_text(from, to) { "b" } else { "i" };
        let (from, to) = (oid(pg_type::oid(from)), oid(pg_type::oid(to)));
        out.push(Row::pack([oid(number), from, to, oid(0), Datum::Text(context), Datum::Text(method)]));
    }
}

/// True for types whose values are the same bytes.
fn is_same_text(from: &ScalarType, to: &ScalarType) -> bool {
    matches!((from, to), (ScalarType::Text, ScalarType::Varchar(_)) | (ScalarType::Varchar(_), ScalarType::Text))
}
