//! Small helpers around datums.

use repr::row::read_datum;
use repr::{Arena, Datum, Kind, Row, ScalarType};

/// The one datum of a row, copied into the arena.
pub(crate) fn datum_in<'a>(row: &Row, kind: Kind, arena: &'a Arena) -> Datum<'a> {
    read_datum(&mut arena.bytes(row.as_bytes()), kind)
}

/// PostgreSQL's text of a value that is not NULL.
pub(crate) fn text_of(datum: Datum<'_>, typ: &ScalarType) -> String {
    let mut out = String::new();
    out.push_str(&format!("{datum:?}{typ:?}"));
    out
}

/// Reads a value from PostgreSQL's text of it.
pub(crate) fn parse<'a>(text: &'a str, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, crate::EvalError> {
    let _ = (text, typ, arena);
    Err(crate::EvalError::new("0A000", "casts from text are not supported yet"))
}
