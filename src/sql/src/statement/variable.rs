//! Session variables: `SET`, `RESET`, `SHOW name`, `SHOW ALL`, `DISCARD`.

use sqlparser::tokenizer::Token;

use super::StatementKind;
use super::transaction::{self, Transaction};
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::Plan;

#[derive(Clone, Debug)]
pub enum Variable {
    Set { name: String, values: Vec<String>, local: bool },
    Reset { tag: &'static str, name: String },
    ResetAll,
    Show { name: String },
    ShowAll,
    Discard { all: bool },
}

impl Variable {
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Variable::Set { .. } => "SET",
            Variable::Reset { tag, .. } => tag,
            Variable::ResetAll => "RESET",
            Variable::Show { .. } | Variable::ShowAll => "SHOW",
            Variable::Discard { all: true } => "DISCARD ALL",
            Variable::Discard { all: false } => "DISCARD TEMP",
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        match self.clone() {
            Variable::Set { name, values, local } => Plan::SetVariable { name, values, local },
            Variable::Reset { tag, name } => Plan::ResetVariable { tag, name },
            Variable::ResetAll => Plan::ResetAll,
            Variable::Show { name } => Plan::ShowVariable { name },
            Variable::ShowAll => Plan::ShowAllVariables,
            Variable::Discard { all } => Plan::Discard { all },
        }
    }
}

/// Reads SET, RESET or DISCARD.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<StatementKind, Error> {
    if cursor.take(&["set"]) {
        return parse_set(cursor);
    }
    if cursor.take(&["discard"]) {
        if cursor.peek_words(&["plans"]) || cursor.peek_words(&["sequences"]) {
            return Err(cursor.unsupported("DISCARD of anything but ALL and TEMP"));
        }
        let all = cursor.take(&["all"]);
        if !all && !cursor.take(&["temp"]) && !cursor.take(&["temporary"]) {
            return Err(cursor.expected("ALL or TEMP"));
        }
        return Ok(StatementKind::Variable(Variable::Discard { all }));
    }
    cursor.expect(&["reset"])?;
    Ok(StatementKind::Variable(if cursor.take(&["all"]) {
        Variable::ResetAll
    } else {
        Variable::Reset { tag: "RESET", name: parse_name(cursor)? }
    }))
}

/// Reads what follows SHOW, if it is a variable.
pub(crate) fn parse_show(cursor: &mut Cursor<'_>) -> Result<Variable, Error> {
    if cursor.take(&["all"]) {
        return Ok(Variable::ShowAll);
    }
    Ok(Variable::Show { name: parse_name(cursor)? })
}

fn parse_set(cursor: &mut Cursor<'_>) -> Result<StatementKind, Error> {
    if cursor.take(&["transaction"]) {
        let modes = transaction::parse_modes(cursor)?;
        return Ok(StatementKind::Transaction(Transaction::Set { modes, session: false }));
    }
    if cursor.take(&["session", "characteristics", "as", "transaction"]) {
        let modes = transaction::parse_modes(cursor)?;
        return Ok(StatementKind::Transaction(Transaction::Set { modes, session: true }));
    }
    for refused in [&["session", "authorization"][..], &["role"], &["constraints"]] {
        if cursor.peek_words(refused) {
            return Err(cursor.unsupported(&format!("SET {}", refused.join(" ").to_uppercase())));
        }
    }
    // `SESSION` is a word of the statement only if a name follows it.
    let named =
        |cursor: &Cursor<'_>| matches!(cursor.peek_nth(1), Token::Word(word) if !word.value.eq_ignore_ascii_case("to"));
    let local = named(cursor) && cursor.take(&["local"]);
    if !local && named(cursor) {
        cursor.take(&["session"]);
    }
    if cursor.take(&["names"]) {
        return set_to(cursor, "client_encoding", local);
    }
    if cursor.peek_words(&["schema"]) && matches!(cursor.peek_nth(1), Token::SingleQuotedString(_)) {
        cursor.advance();
        return set_to(cursor, "search_path", local);
    }
    if cursor.take(&["time", "zone"]) {
        if cursor.take(&["local"]) {
            return Ok(StatementKind::Variable(Variable::Reset { tag: "SET", name: "timezone".to_owned() }));
        }
        if cursor.peek_words(&["interval"]) {
            return Err(cursor.unsupported("SET TIME ZONE INTERVAL"));
        }
        return set_to(cursor, "timezone", local);
    }
    let name = parse_name(cursor)?;
    if !cursor.take_token(&Token::Eq) && !cursor.take(&["to"]) {
        return Err(cursor.expected("= or TO"));
    }
    set_to(cursor, &name, local)
}

fn set_to(cursor: &mut Cursor<'_>, name: &str, local: bool) -> Result<StatementKind, Error> {
    let name = name.to_owned();
    Ok(StatementKind::Variable(if cursor.take(&["default"]) {
        Variable::Reset { tag: "SET", name }
    } else {
        Variable::Set { name, values: cursor.comma_separated(parse_value)?, local }
    }))
}

/// Reads the name of a variable, in lower case; the words that some are called by become their names.
fn parse_name(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let spelt: [(&[&str], &str); 3] = [
        (&["transaction", "isolation", "level"], "transaction_isolation"),
        (&["time", "zone"], "timezone"),
        (&["session", "authorization"], "session_authorization"),
    ];
    for (words, name) in spelt {
        if cursor.take(words) {
            return Ok(name.to_owned());
        }
    }
    let mut name = cursor.ident()?.value.to_lowercase();
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", names::fold(&cursor.ident()?));
    }
    Ok(name)
}

fn parse_value(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let sign = if cursor.take_token(&Token::Minus) {
        "-"
    } else {
        cursor.take_token(&Token::Plus);
        ""
    };
    match cursor.peek().clone() {
        Token::Number(digits, _) => {
            cursor.advance();
            Ok(format!("{sign}{digits}"))
        }
        _ if !sign.is_empty() => Err(cursor.expected("a number")),
        Token::Word(word) => {
            cursor.advance();
            Ok(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() })
        }
        _ => cursor.string(),
    }
}
