//! `COPY table [(columns)] FROM STDIN`, `COPY table | (query) TO STDOUT`, with the options of both spellings.

use sqlparser::ast::{Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::Planner;
use super::qualify::full_name;
use super::select::Select;
use super::subscribe::Subscribe;
use super::table::Target;
use crate::error::Error;
use crate::names;
use crate::parse::{self, Cursor, OptionItem};
use crate::plan::{CopyFormat, CopyFromPlan, CopyOptions, CopyToPlan, CopyToSource, Plan, When};

#[derive(Clone, Debug)]
pub struct Copy {
    pub direction: Direction,
    pub options: CopyOptions,
}

#[derive(Clone, Debug)]
pub enum Direction {
    From { table: ObjectName, columns: Vec<Ident> },
    TableTo { table: ObjectName, columns: Vec<Ident> },
    SelectTo(Select),
    SubscribeTo(Subscribe),
}

impl Copy {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Copy, Error> {
        cursor.expect(&["copy"])?;
        let direction = if *cursor.peek() == Token::LParen {
            Copy::parse_query(cursor)?
        } else {
            let table = cursor.name()?;
            let columns = match cursor.peek() {
                Token::LParen => cursor.parenthesized(Cursor::ident)?,
                _ => Vec::new(),
            };
            if cursor.take(&["from"]) {
                Direction::From { table, columns }
            } else {
                cursor.expect(&["to"])?;
                Direction::TableTo { table, columns }
            }
        };
        let stream = if matches!(direction, Direction::From { .. }) { "stdin" } else { "stdout" };
        if !cursor.take(&[stream]) {
            return Err(match cursor.peek() {
                Token::SingleQuotedString(_) | Token::Word(_) => {
                    cursor.unsupported(&format!("COPY of anything but {}", stream.to_uppercase()))
                }
                _ => cursor.expected(&stream.to_uppercase()),
            });
        }
        let options = Options::parse(cursor)?.finish()?;
        if cursor.peek_words(&["where"]) {
            return Err(cursor.unsupported("COPY with WHERE"));
        }
        Ok(Copy { direction, options })
    }

    /// Reads `(query) TO`.
    fn parse_query(cursor: &mut Cursor<'_>) -> Result<Direction, Error> {
        cursor.expect_token(&Token::LParen)?;
        let direction = if cursor.peek_words(&["subscribe"]) {
            Direction::SubscribeTo(Subscribe::parse(cursor)?)
        } else if ["insert", "update", "delete"].iter().any(|word| cursor.peek_words(&[word])) {
            return Err(cursor.unsupported("COPY of a statement that writes"));
        } else {
            Direction::SelectTo(Select::parse(cursor)?)
        };
        cursor.expect_token(&Token::RParen)?;
        cursor.expect(&["to"])?;
        Ok(direction)
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let options = self.options.clone();
        let source = match &self.direction {
            Direction::From { table, columns } => {
                let target = Target::resolve(planner, table)?;
                let columns = target.columns(columns)?;
                return Ok(Plan::CopyFrom(CopyFromPlan { table: target.item.id, columns, options }));
            }
            Direction::TableTo { table, columns } => {
                let item = names::resolve_relation(planner.context, planner.catalog, table)?;
                let columns: Vec<String> = columns.iter().map(Ident::to_string).collect();
                let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
                let query = parse::query(&format!("SELECT {columns} FROM {}", full_name(&item.name)))?;
                let select = planner.select(&query, When::Immediately);
                // Places in that text are not places in the user's.
                CopyToSource::Select(select.map_err(|error| Error { position: None, ..error })?)
            }
            Direction::SelectTo(select) => CopyToSource::Select(select.plan(planner)?),
            Direction::SubscribeTo(subscribe) => CopyToSource::Subscribe(subscribe.plan(planner)?),
        };
        Ok(Plan::CopyTo(CopyToPlan { source, options }))
    }
}

/// Options as they are read; what is not given follows from the format.
#[derive(Default)]
struct Options {
    format: Option<CopyFormat>,
    delimiter: Option<(u8, usize)>,
    null: Option<(String, usize)>,
    header: Option<(bool, usize)>,
    quote: Option<(u8, usize)>,
    escape: Option<(u8, usize)>,
}

impl Options {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        cursor.take(&["with"]);
        if *cursor.peek() == Token::LParen {
            let allowed = ["format", "delimiter", "null", "header", "quote", "escape", "encoding"];
            let refused = ["freeze", "force_quote", "force_not_null", "force_null", "default", "on_error"];
            for item in cursor.option_list(&allowed, &refused)? {
                options.modern(item)?;
            }
        } else {
            while options.traditional(cursor)? {}
        }
        Ok(options)
    }

    fn modern(&mut self, item: OptionItem) -> Result<(), Error> {
        let position = item.position;
        match item.name {
            "format" => {
                let format = match item.text()?.to_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => {
                        return Err(Error::new("22023", format!("COPY format \"{other}\" not recognized")).at(position));
                    }
                };
                set(&mut self.format, format, position)
            }
            "delimiter" => {
                set(&mut self.delimiter, (one_byte("delimiter", item.text()?, position)?, position), position)
            }
            "null" => set(&mut self.null, (item.text()?.to_owned(), position), position),
            "header" => set(&mut self.header, (item.flag()?, position), position),
            "quote" => set(&mut self.quote, (one_byte("quote", item.text()?, position)?, position), position),
            "escape" => set(&mut self.escape, (one_byte("escape", item.text()?, position)?, position), position),
            _ => encoding(item.text()?, position),
        }
    }

    /// Reads one option of the older spelling; false if none comes next.
    fn traditional(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Error> {
        let position = cursor.position();
        let known = [
            "binary",
            "csv",
            "header",
            "delimiters",
            "delimiter",
            "null",
            "quote",
            "escape",
            "encoding",
            "force",
            "freeze",
        ];
        let Some(name) = cursor.take_one_of(&known) else { return Ok(false) };
        match name {
            "binary" => set(&mut self.format, CopyFormat::Binary, position)?,
            "csv" => set(&mut self.format, CopyFormat::Csv, position)?,
            "header" => set(&mut self.header, (true, position), position)?,
            "force" | "freeze" => {
                return Err(Error::unsupported(format!("option {}", name.to_uppercase())).at(position));
            }
            _ => {
                cursor.take(&["as"]);
                let text = cursor.string()?;
                match name {
                    "null" => set(&mut self.null, (text, position), position)?,
                    "quote" => set(&mut self.quote, (one_byte(name, &text, position)?, position), position)?,
                    "escape" => set(&mut self.escape, (one_byte(name, &text, position)?, position), position)?,
                    "encoding" => encoding(&text, position)?,
                    _ => set(&mut self.delimiter, (one_byte("delimiter", &text, position)?, position), position)?,
                }
            }
        }
        Ok(true)
    }

    fn finish(self) -> Result<CopyOptions, Error> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        self.check_applicable(format)?;
        let csv = format == CopyFormat::Csv;
        let quote = self.quote.map_or(b'"', |(quote, _)| quote);
        let options = CopyOptions {
            format,
            delimiter: self.delimiter.map_or(if csv { b',' } else { b'\t' }, |(delimiter, _)| delimiter),
            null: self
                .null
                .as_ref()
                .map_or(if csv { String::new() } else { "\\N".to_owned() }, |(null, _)| null.clone()),
            header: self.header.is_some_and(|(header, _)| header),
            quote,
            escape: self.escape.map_or(quote, |(escape, _)| escape),
        };
        let position = self.delimiter.map(|(_, position)| position).or(self.null.map(|(_, position)| position));
        check_consistent(&options).map_err(|message| {
            let error = Error::new("22023", message);
            position.into_iter().fold(error, Error::at)
        })?;
        Ok(options)
    }

    /// Errors: 42601 for an option that the format has no use for.
    fn check_applicable(&self, format: CopyFormat) -> Result<(), Error> {
        let given = [
            ("DELIMITER", self.delimiter.map(|(_, position)| position), format != CopyFormat::Binary),
            ("NULL", self.null.as_ref().map(|(_, position)| *position), format != CopyFormat::Binary),
            ("HEADER", self.header.map(|(_, position)| position), format != CopyFormat::Binary),
            ("QUOTE", self.quote.map(|(_, position)| position), format == CopyFormat::Csv),
            ("ESCAPE", self.escape.map(|(_, position)| position), format == CopyFormat::Csv),
        ];
        for (name, position, applicable) in given {
            if let (Some(position), false) = (position, applicable) {
                let format = format!("{format:?}").to_uppercase();
                let message = format!("cannot specify {name} with COPY format {format}");
                return Err(Error::new("42601", message).at(position));
            }
        }
        Ok(())
    }
}

fn check_consistent(options: &CopyOptions) -> Result<(), &'static str> {
    let CopyOptions { format, delimiter, null, header: _, quote, escape: _ } = options;
    if matches!(delimiter, b'\n' | b'\r') {
        return Err("COPY delimiter cannot be newline or carriage return");
    }
    if null.contains(['\n', '\r']) {
        return Err("COPY null representation cannot use newline or carriage return");
    }
    match format {
        CopyFormat::Csv if delimiter == quote => Err("COPY delimiter and quote must be different"),
        CopyFormat::Csv if null.as_bytes().contains(quote) => {
            Err("CSV quote character must not appear in the NULL specification")
        }
        CopyFormat::Text if b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(delimiter) => {
            Err("COPY delimiter cannot be a lower-case letter, a digit, a backslash or a period")
        }
        CopyFormat::Text | CopyFormat::Csv if null.as_bytes().contains(delimiter) => {
            Err("COPY delimiter must not appear in the NULL specification")
        }
        _ => Ok(()),
    }
}

fn set<T>(place: &mut Option<T>, value: T, position: usize) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new("42601", "conflicting or redundant options").at(position)),
    }
}

fn one_byte(name: &str, text: &str, position: usize) -> Result<u8, Error> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::new("22023", format!("COPY {name} must be a single one-byte character")).at(position)),
    }
}

fn encoding(name: &str, position: usize) -> Result<(), Error> {
    let folded = name.to_lowercase().replace(['-', '_'], "");
    if folded == "utf8" || folded == "unicode" {
        Ok(())
    } else {
        Err(Error::unsupported(format!("encoding \"{name}\"")).at(position))
    }
}
