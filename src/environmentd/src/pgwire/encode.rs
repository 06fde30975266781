//! From rows and errors to messages.

use bytes::{BufMut, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use repr::{Kind, RelationDesc, Row, ScalarType, pg_type};

use crate::error::{Error, Severity};
use crate::object_names::ObjectNames;

/// How a column goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

impl Format {
    pub(super) fn from_code(code: i16) -> Result<Format, Error> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::new("22023", format!("invalid format code: {other}"))),
        }
    }

    fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// The formats of `count` values by the protocol's rule: none given is text, one is for all.
pub(super) fn formats(codes: &[i16], count: usize, what: &str) -> Result<Vec<Format>, Error> {
    match codes {
        [] => Ok(vec![Format::Text; count]),
        [code] => Ok(vec![Format::from_code(*code)?; count]),
        codes if codes.len() == count => codes.iter().map(|code| Format::from_code(*code)).collect(),
        codes => {
            Err(Error::new("08P01", format!("bind message has {} {what} formats but {count} {what}s", codes.len())))
        }
    }
}

pub(super) fn row_description(desc: &RelationDesc, formats: &[Format]) -> Result<PgWireBackendMessage, Error> {
    if desc.arity() > i16::MAX as usize {
        return Err(Error::new("54011", "target lists can have at most 32767 entries"));
    }
    let fields = desc.iter().zip(formats).map(|((name, typ), format)| {
        let scalar = &typ.scalar;
        let (oid, length, modifier) = (pg_type::oid(scalar), pg_type::typlen(scalar), pg_type::typmod(scalar));
        FieldDescription::new(name.to_owned(), 0, 0, oid, length, modifier, format.code())
    });
    Ok(PgWireBackendMessage::RowDescription(RowDescription::new(fields.collect())))
}

/// Encodes the rows of one result.
pub(super) struct RowEncoder {
    kinds: Vec<Kind>,
    types: Vec<ScalarType>,
    formats: Vec<Format>,
    names: ObjectNames,
    text: String,
}

impl RowEncoder {
    pub(super) fn new(desc: &RelationDesc, formats: Vec<Format>, names: ObjectNames) -> RowEncoder {
        let types = desc.typ.columns.iter().map(|column| column.scalar.clone()).collect();
        RowEncoder { kinds: desc.typ.kinds(), types, formats, names, text: String::new() }
    }

    /// Writes one DataRow message.
    pub(super) fn encode(&mut self, row: &Row, out: &mut BytesMut) -> Result<(), Error> {
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        out.put_i16(i16::try_from(self.kinds.len()).expect("checked when the row was described"));
        let mut rest = row.as_bytes();
        for index in 0..self.kinds.len() {
            let datum = repr::row::read_datum(&mut rest, self.kinds[index]);
            if datum.is_null() {
                out.put_i32(-1);
                continue;
            }
            let value = out.len();
            out.put_i32(0);
            match self.formats[index] {
                Format::Text => {
                    self.text.clear();
                    self.names.format(datum, &self.types[index], &mut self.text);
                    out.put_slice(self.text.as_bytes());
                }
                Format::Binary => {
                    let mut bytes = Vec::new();
                    repr::binary::encode(datum, &self.types[index], &mut bytes);
                    out.put_slice(&bytes);
                }
            }
            set_length(out, value, 4)?;
        }
        set_length(out, start, 0)
    }
}

/// Writes the number of bytes behind `position`, less `own`, at `position`.
fn set_length(out: &mut BytesMut, position: usize, own: usize) -> Result<(), Error> {
    let length = out.len() - position - own;
    let length = i32::try_from(length).ok().filter(|length| *length < 1 << 30);
    let length = length.ok_or_else(|| Error::new("54000", "a result row is longer than 1 GiB"))?;
    out[position..position + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The message for an error, or for a notice by its severity.
pub(super) fn error_response(error: &Error) -> PgWireBackendMessage {
    let severity = error.severity.name().to_owned();
    let mut fields =
        vec![(b'S', severity.clone()), (b'V', severity), (b'C', error.code.to_string()), (b'M', error.message.clone())];
    fields.extend(error.detail.clone().map(|detail| (b'D', detail)));
    fields.extend(error.hint.as_deref().map(|hint| (b'H', hint.to_owned())));
    fields.extend(error.position.map(|position| (b'P', position.to_string())));
    fields.extend(error.context.as_deref().map(|context| (b'W', context.to_owned())));
    match error.severity {
        Severity::Error | Severity::Fatal => PgWireBackendMessage::ErrorResponse(ErrorResponse::new(fields)),
        Severity::Notice | Severity::Warning => PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields)),
    }
}
