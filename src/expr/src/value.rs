//! Small helpers around datums.

use repr::row::read_datum;
use repr::{Arena, Datum, Kind, Row, ScalarType};

use crate::cast::parse_error;
use crate::error::EvalError;

/// The one datum of a row, copied into the arena.
pub(crate) fn datum_in<'a>(row: &Row, kind: Kind, arena: &'a Arena) -> Datum<'a> {
    read_datum(&mut arena.bytes(row.as_bytes()), kind)
}

/// PostgreSQL's text of a value that is not NULL.
pub(crate) fn text_of(datum: Datum<'_>, typ: &ScalarType) -> String {
    let mut out = String::new();
    repr::text::format(datum, typ, &mut out);
    out
}

/// Reads a value from PostgreSQL's text of it.
pub(crate) fn parse<'a>(text: &str, typ: &ScalarType, arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
    repr::text::parse(text, typ, arena).map_err(parse_error)
}
