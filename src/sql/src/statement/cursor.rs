//! `DECLARE c CURSOR FOR statement`, `FETCH [FORWARD] [n | ALL] [FROM] c`, `CLOSE c`.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

use super::{Statement, StatementKind, duration};
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::{FetchCount, Plan};

#[derive(Clone, Debug)]
pub struct Declare {
    pub name: Ident,
    pub statement: Statement,
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub cursor: Ident,
    pub count: FetchCount,
    pub timeout_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Close {
    /// None: all.
    pub cursor: Option<Ident>,
}

impl Declare {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Declare, Error> {
        cursor.expect(&["declare"])?;
        let name = cursor.ident()?;
        loop {
            if cursor.take(&["insensitive"]) || cursor.take(&["asensitive"]) || cursor.take(&["no", "scroll"]) {
                continue;
            }
            if cursor.peek_words(&["binary"]) || cursor.peek_words(&["scroll"]) {
                return Err(cursor.unsupported("a BINARY or SCROLL cursor"));
            }
            break;
        }
        cursor.expect(&["cursor"])?;
        if cursor.peek_words(&["with", "hold"]) {
            return Err(cursor.unsupported("a cursor WITH HOLD"));
        }
        cursor.take(&["without", "hold"]);
        cursor.expect(&["for"])?;
        let position = cursor.position();
        let statement = cursor.statement()?;
        match statement.kind.as_ref() {
            StatementKind::Select(_) | StatementKind::Subscribe(_) => Ok(Declare { name, statement }),
            other => Err(Error::new("42601", format!("cannot declare a cursor for {}", other.name())).at(position)),
        }
    }

    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        let name = names::check_identifier(&self.name)?;
        Ok(Plan::Declare { name, statement: Box::new(self.statement.clone()) })
    }
}

impl Fetch {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Fetch, Error> {
        cursor.expect(&["fetch"])?;
        let backward = ["backward", "prior", "first", "last", "absolute", "relative"];
        let direction_follows = |cursor: &Cursor<'_>| !matches!(cursor.peek_nth(1), Token::EOF);
        if direction_follows(cursor) && backward.iter().any(|word| cursor.peek_words(&[word]))
            || *cursor.peek() == Token::Minus
        {
            return Err(cursor.unsupported("FETCH that is not FORWARD"));
        }
        let mut count = FetchCount::Rows(1);
        let forward = direction_follows(cursor) && cursor.take(&["forward"]);
        if cursor.take(&["all"]) {
            count = FetchCount::All;
        } else if let Token::Number(..) = cursor.peek() {
            count = FetchCount::Rows(cursor.unsigned()?);
        } else if !forward && direction_follows(cursor) {
            cursor.take(&["next"]);
        }
        if !cursor.take(&["from"]) {
            cursor.take(&["in"]);
        }
        let name = cursor.ident()?;
        let mut timeout_ms = None;
        if cursor.take(&["with"]) {
            for option in cursor.option_list(&["timeout"], &[])? {
                timeout_ms = Some(duration::parse_ms(option.text()?).map_err(|error| error.at(option.position))?);
            }
        }
        Ok(Fetch { cursor: name, count, timeout_ms })
    }

    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::Fetch { cursor: names::fold(&self.cursor), count: self.count, timeout_ms: self.timeout_ms })
    }
}

impl Close {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Close, Error> {
        cursor.expect(&["close"])?;
        let name = if cursor.take(&["all"]) { None } else { Some(cursor.ident()?) };
        Ok(Close { cursor: name })
    }

    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::Close { cursor: self.cursor.as_ref().map(names::fold) })
    }
}
