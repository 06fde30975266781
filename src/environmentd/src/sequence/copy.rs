//! COPY FROM STDIN and COPY TO STDOUT: PostgreSQL's text and csv formats.
//!
//! Input arrives in pieces that break anywhere. [`CopyReader`] splits it into records, decodes fields and packs rows; the
//! rows are committed at the end, all or none.

use expr::Scalar;
use repr::{Arena, Datum, Diff, RelationDesc, Row};
use sql::plan::{CopyFormat, CopyFromPlan, CopyOptions};
use sql::{CatalogView, ItemDefinition};

use super::prepare;
use super::write::{Target, target};
use crate::committer::Appends;
use crate::error::Error;
use crate::object_names::ObjectNames;
use crate::session::Session;

/// Bytes in one record of the input.
const RECORD_BYTES_MAX: usize = 64 << 20;
/// Bytes of packed rows in one COPY.
const COPY_BYTES_MAX: usize = 4 << 30;

/// A COPY in progress.
pub struct CopyReader {
    target: Target,
    columns: Vec<usize>,
    /// For columns the input does not have: the packed default.
    defaults: Vec<Row>,
    /// Those defaults of which each row gets its own.
    chance: Vec<(usize, Scalar)>,
    options: CopyOptions,
    buffer: Vec<u8>,
    /// Records seen, header included.
    line: usize,
    rows: Vec<(Row, Diff)>,
    bytes: usize,
    ended: bool,
    arena: Arena,
}

impl Session {
    /// Prepares for the data of a `COPY ... FROM STDIN`.
    pub fn copy_in(&self, plan: CopyFromPlan) -> Result<CopyReader, Error> {
        let CopyFromPlan { table, columns, options } = plan;
        if options.format == CopyFormat::Binary {
            return Err(Error::unsupported("COPY FROM in binary format"));
        }
        let catalog = self.environment.catalog();
        let target = target(&catalog, table)?;
        let item = catalog.item_by_id(table).ok_or_else(|| Error::new("42P01", "the table was dropped"))?;
        let ItemDefinition::Table { defaults, .. } = &item.definition else {
            unreachable!("only tables are targets");
        };
        let mut packed = Vec::with_capacity(defaults.len());
        let mut chance = Vec::new();
        for (column, default) in defaults.iter().enumerate() {
            packed.push(match default {
                None => Row::pack([Datum::Null]),
                Some(default) => self.default_now(default)?,
            });
            if let Some(default) = default
                && prepare::asks_chance(default)
                && !columns.contains(&column)
            {
                chance.push((column, default.clone()));
            }
        }
        Ok(CopyReader {
            target,
            columns,
            defaults: packed,
            chance,
            options,
            buffer: Vec::new(),
            line: 0,
            rows: Vec::new(),
            bytes: 0,
            ended: false,
            arena: Arena::new(),
        })
    }

    /// A column's default, packed.
    fn default_now(&self, default: &Scalar) -> Result<Row, Error> {
        let mut default = default.clone();
        prepare::bind_functions_in(self, &mut default)?;
        Ok(Row::pack([default.eval(&[], &Arena::new())?]))
    }

    /// Gives each row of a COPY its own draw of the defaults that rest on chance.
    fn draw(&self, reader: &mut CopyReader) -> Result<(), Error> {
        if reader.chance.is_empty() {
            return Ok(());
        }
        let kinds = reader.target.desc.typ.kinds();
        for (row, _) in &mut reader.rows {
            let drawn: Result<Vec<(usize, Row)>, Error> =
                reader.chance.iter().map(|(column, default)| Ok((*column, self.default_now(default)?))).collect();
            let drawn = drawn?;
            let mut datums = row.unpack(&kinds);
            for (column, value) in &drawn {
                datums[*column] = value.unpack_first(kinds[*column]);
            }
            *row = Row::pack(datums);
        }
        Ok(())
    }

    /// Commits what a COPY has read; returns the number of rows.
    pub async fn finish_copy(&mut self, mut reader: CopyReader) -> Result<u64, Error> {
        reader.finish()?;
        self.draw(&mut reader)?;
        let count = reader.rows.len() as u64;
        let appends = Appends::from([(reader.target.shard, std::mem::take(&mut reader.rows))]);
        let outcome = match self.buffer_write(appends) {
            Ok(Some(appends)) => self.write_tables(appends).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.fail_transaction();
        }
        outcome.map(|()| count)
    }
}

impl CopyReader {
    pub(crate) fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Takes a piece of input. Errors name the line; nothing of this COPY will be kept.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(data);
        self.read_records(false)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.read_records(true)
    }

    fn read_records(&mut self, at_end: bool) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut start = 0;
        while start < buffer.len() && !self.ended {
            let Some((length, terminator)) = self.record_end(&buffer[start..], at_end)? else { break };
            self.line += 1;
            let record = &buffer[start..start + length];
            start += length + terminator;
            let outcome = self.record(record);
            outcome.map_err(|error| self.locate(error))?;
        }
        if self.ended {
            return Ok(());
        }
        self.buffer = buffer[start..].to_vec();
        if self.buffer.len() > RECORD_BYTES_MAX {
            self.line += 1;
            return Err(self.locate(Error::new("54000", "COPY record is longer than 64 MiB")));
        }
        Ok(())
    }

    fn locate(&self, error: Error) -> Error {
        let table = &self.target.item.name.item;
        let place = format!("COPY {table}, line {}", self.line);
        match error.context {
            Some(ref column) => {
                let context = format!("{place}, {column}");
                error.with_context(context)
            }
            None => error.with_context(place),
        }
    }

    /// Length of the first record and of its line end; None if it is not complete yet.
    fn record_end(&self, data: &[u8], at_end: bool) -> Result<Option<(usize, usize)>, Error> {
        let mut quoted = false;
        let mut index = 0;
        let csv = self.options.format == CopyFormat::Csv;
        while index < data.len() {
            let byte = data[index];
            if csv && quoted && byte == self.options.escape && self.options.escape != self.options.quote {
                index += 2;
                continue;
            }
            if csv && byte == self.options.quote {
                quoted = !quoted;
            } else if !csv && byte == b'\\' {
                // The escaped byte, even a line end, is data.
                index += 2;
                continue;
            } else if byte == b'\n' && !quoted {
                let end = if index > 0 && data[index - 1] == b'\r' { index - 1 } else { index };
                return Ok(Some((end, index + 1 - end)));
            }
            index += 1;
        }
        if !at_end {
            return Ok(None);
        }
        if quoted {
            return Err(self.locate(Error::new("22P04", "unterminated CSV quoted field")));
        }
        let end = if data.ends_with(b"\r") { data.len() - 1 } else { data.len() };
        Ok(Some((end, data.len() - end)))
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Error> {
        if record == b"\\." {
            self.ended = true;
            return Ok(());
        }
        if self.line == 1 {
            if self.options.header {
                return Ok(());
            }
            if let Some(rest) = record.strip_prefix(b"\xef\xbb\xbf") {
                return self.row(rest);
            }
        }
        self.row(record)
    }

    fn row(&mut self, record: &[u8]) -> Result<(), Error> {
        let text = std::str::from_utf8(record)
            .map_err(|_| Error::new("22021", "invalid byte sequence for encoding \"UTF8\""))?;
        let fields = match self.options.format {
            CopyFormat::Csv => csv_fields(text, &self.options),
            CopyFormat::Text | CopyFormat::Binary => text_fields(text, &self.options)?,
        };
        let names = &self.target.desc.names;
        if fields.len() < self.columns.len() {
            let missing = &names[self.columns[fields.len()]];
            return Err(Error::new("22P04", format!("missing data for column \"{missing}\"")));
        }
        if fields.len() > self.columns.len() {
            return Err(Error::new("22P04", "extra data after last expected column"));
        }
        let row = self.pack(&fields)?;
        self.arena.clear();
        self.bytes += row.len_bytes() + 32;
        if self.bytes > COPY_BYTES_MAX {
            return Err(Error::new("53200", "COPY of more than 4 GiB in one statement")
                .with_hint("Copy in several statements."));
        }
        self.rows.push((row, Diff::ONE));
        Ok(())
    }

    fn pack(&self, fields: &[Option<String>]) -> Result<Row, Error> {
        let desc = &self.target.desc;
        let kinds = desc.typ.kinds();
        let mut datums: Vec<Datum<'_>> =
            self.defaults.iter().zip(&kinds).map(|(row, kind)| row.unpack_first(*kind)).collect();
        for (field, column) in fields.iter().zip(&self.columns) {
            let typ = &desc.typ.columns[*column].scalar;
            datums[*column] = match field {
                None => Datum::Null,
                Some(text) => repr::text::parse(text, typ, &self.arena).map_err(|error| {
                    let name = &desc.names[*column];
                    Error::from(error).with_context(format!("column {name}: \"{text}\""))
                })?,
            };
        }
        self.target.check_nulls(&datums)?;
        Ok(Row::pack(datums))
    }
}

impl From<repr::text::ParseError> for Error {
    fn from(error: repr::text::ParseError) -> Error {
        Error::new(error.sqlstate(), error.message)
    }
}

/// Fields of a record in csv format. An unquoted field equal to the NULL string is NULL.
fn csv_fields(record: &str, options: &CopyOptions) -> Vec<Option<String>> {
    let bytes = record.as_bytes();
    let (delimiter, quote, escape) = (options.delimiter, options.quote, options.escape);
    let mut fields = Vec::new();
    let mut field: Vec<u8> = Vec::new();
    let (mut quoted, mut saw_quote) = (false, false);
    let mut index = 0;
    let mut finish = |field: &mut Vec<u8>, saw_quote: &mut bool| {
        let text = String::from_utf8(std::mem::take(field)).expect("the record was UTF-8 and is cut at ASCII bytes");
        let null = !*saw_quote && text == options.null;
        fields.push(if null { None } else { Some(text) });
        *saw_quote = false;
    };
    while index < bytes.len() {
        let byte = bytes[index];
        let next = bytes.get(index + 1).copied();
        if quoted && byte == escape && next.is_some_and(|next| next == quote || next == escape) {
            field.extend(next);
            index += 1;
        } else if byte == quote {
            quoted = !quoted;
            saw_quote = true;
        } else if byte == delimiter && !quoted {
            finish(&mut field, &mut saw_quote);
        } else {
            field.push(byte);
        }
        index += 1;
    }
    finish(&mut field, &mut saw_quote);
    fields
}

/// Fields of a record in text format, with its backslash escapes.
fn text_fields(record: &str, options: &CopyOptions) -> Result<Vec<Option<String>>, Error> {
    let bytes = record.as_bytes();
    let mut fields = Vec::new();
    let mut start = 0;
    let mut index = 0;
    loop {
        let at_end = index >= bytes.len();
        if at_end || bytes[index] == options.delimiter {
            let raw = &record[start..index.min(bytes.len())];
            fields.push(if raw == options.null { None } else { Some(unescape(raw)?) });
            if at_end {
                return Ok(fields);
            }
            start = index + 1;
            index = start;
        } else if bytes[index] == b'\\' {
            index = (index + 2).min(bytes.len());
        } else {
            index += 1;
        }
    }
}

fn unescape(raw: &str) -> Result<String, Error> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] != b'\\' || index + 1 == bytes.len() {
            out.push(bytes[index]);
            index += 1;
            continue;
        }
        let escaped = bytes[index + 1];
        index += 2;
        match escaped {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let digits = bytes[index..].iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let octal = &raw[index - 1..index + digits];
                index += digits;
                out.push(u8::from_str_radix(octal, 8).unwrap_or(u8::MAX));
            }
            b'x' if bytes.get(index).is_some_and(u8::is_ascii_hexdigit) => {
                let digits = bytes[index..].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let hex = &raw[index..index + digits];
                index += digits;
                out.push(u8::from_str_radix(hex, 16).expect("one or two hexadecimal digits"));
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| Error::new("22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// Writes the header line, if one is asked for.
pub(crate) fn write_header(desc: &RelationDesc, options: &CopyOptions, out: &mut Vec<u8>) {
    if !options.header {
        return;
    }
    for (index, name) in desc.names.iter().enumerate() {
        if index > 0 {
            out.push(options.delimiter);
        }
        write_field(name, options, out);
    }
    out.push(b'\n');
}

/// Writes one row with its line end.
pub(crate) fn write_row(row: &Row, desc: &RelationDesc, names: &ObjectNames, options: &CopyOptions, out: &mut Vec<u8>) {
    let mut text = String::new();
    let datums = row.unpack(&desc.typ.kinds());
    for (index, (datum, typ)) in datums.into_iter().zip(&desc.typ.columns).enumerate() {
        if index > 0 {
            out.push(options.delimiter);
        }
        if datum.is_null() {
            out.extend_from_slice(options.null.as_bytes());
            continue;
        }
        text.clear();
        names.format(datum, &typ.scalar, &mut text);
        write_field(&text, options, out);
    }
    out.push(b'\n');
}

fn write_field(text: &str, options: &CopyOptions, out: &mut Vec<u8>) {
    match options.format {
        CopyFormat::Csv => write_csv_field(text, options, out),
        CopyFormat::Text | CopyFormat::Binary => write_text_field(text, options, out),
    }
}

fn write_csv_field(text: &str, options: &CopyOptions, out: &mut Vec<u8>) {
    let special = |byte: u8| byte == options.delimiter || byte == options.quote || byte == b'\n' || byte == b'\r';
    let must_quote = text == options.null || text == "\\." || text.bytes().any(special);
    if !must_quote {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(options.quote);
    for byte in text.bytes() {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}

fn write_text_field(text: &str, options: &CopyOptions, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        let escaped = match byte {
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            byte if byte == options.delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend([b'\\', escaped]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(format: CopyFormat) -> CopyOptions {
        let (delimiter, null) = match format {
            CopyFormat::Csv => (b',', String::new()),
            _ => (b'\t', "\\N".to_owned()),
        };
        CopyOptions { format, delimiter, null, header: false, quote: b'"', escape: b'"' }
    }

    fn some(fields: &[&str]) -> Vec<Option<String>> {
        fields.iter().map(|field| Some((*field).to_owned())).collect()
    }

    #[test]
    fn text_fields_unescape_and_find_null() {
        let options = options(CopyFormat::Text);
        let fields = text_fields("a\\tb\t\\N\t\\\\N\t\\101\t", &options).unwrap();
        let mut expected = some(&["a\tb", "", "\\N", "A", ""]);
        expected[1] = None;
        assert_eq!(fields, expected);
    }

    #[test]
    fn csv_fields_unquote_and_find_null() {
        let options = options(CopyFormat::Csv);
        let fields = csv_fields("a,\"b,\"\"c\",,\"\"", &options);
        let mut expected = some(&["a", "b,\"c", "", ""]);
        expected[2] = None;
        assert_eq!(fields, expected);
    }

    #[test]
    fn written_fields_read_back() {
        for format in [CopyFormat::Text, CopyFormat::Csv] {
            let options = options(format);
            for value in ["", "plain", "tab\tline\nreturn\r", "quote\" comma, back\\slash", "\\N", "\\."] {
                let mut out = Vec::new();
                write_field(value, &options, &mut out);
                let text = String::from_utf8(out).unwrap();
                let fields = match format {
                    CopyFormat::Csv => csv_fields(&text, &options),
                    _ => text_fields(&text, &options).unwrap(),
                };
                assert_eq!(fields, some(&[value]), "{format:?} {text:?}");
            }
        }
    }
}
