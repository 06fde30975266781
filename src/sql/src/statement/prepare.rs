//! `PREPARE name [(types)] AS statement`, `EXECUTE name [(values)]`, `DEALLOCATE [PREPARE] name | ALL`.

use repr::RelationDesc;
use sqlparser::ast::{DataType, Expr, Ident};
use sqlparser::tokenizer::Token;

use super::planner::Over;
use super::{Planner, Statement, StatementKind};
use crate::error::Error;
use crate::names;
use crate::parse::Cursor;
use crate::plan::Plan;

#[derive(Clone, Debug)]
pub struct Prepare {
    pub name: Ident,
    pub types: Vec<DataType>,
    pub statement: Statement,
}

#[derive(Clone, Debug)]
pub struct Execute {
    pub name: Ident,
    pub values: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub struct Deallocate {
    /// None: all.
    pub name: Option<Ident>,
}

impl Prepare {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Prepare, Error> {
        cursor.expect(&["prepare"])?;
        let name = cursor.ident()?;
        let types = match cursor.peek() {
            Token::LParen => cursor.parenthesized(Cursor::data_type)?,
            _ => Vec::new(),
        };
        cursor.expect(&["as"])?;
        let position = cursor.position();
        let statement = cursor.statement()?;
        match statement.kind.as_ref() {
            StatementKind::Select(_)
            | StatementKind::Subscribe(_)
            | StatementKind::Insert(_)
            | StatementKind::Update(_)
            | StatementKind::Delete(_)
            | StatementKind::Explain(_)
            | StatementKind::Show(_) => Ok(Prepare { name, types, statement }),
            other => Err(Error::new("42601", format!("cannot prepare {}", other.name())).at(position)),
        }
    }

    pub(crate) fn plan(&self, planner: &Planner<'_>) -> Result<Plan, Error> {
        let types = self.types.iter().map(|typ| match typ {
            // The pseudo-type of a parameter whose type is to be inferred.
            DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("unknown") => Ok(None),
            typ => names::resolve_type(planner.names(), typ).map(Some),
        });
        Ok(Plan::Prepare {
            name: names::check_identifier(&self.name)?,
            types: types.collect::<Result<_, _>>()?,
            statement: Box::new(self.statement.clone()),
        })
    }
}

impl Execute {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Execute, Error> {
        cursor.expect(&["execute"])?;
        if cursor.peek_words(&["unit", "test"]) {
            return Err(cursor.unsupported("EXECUTE UNIT TEST"));
        }
        let name = cursor.ident()?;
        let values = match (cursor.peek(), cursor.peek_nth(1)) {
            (Token::LParen, Token::RParen) => {
                cursor.advance();
                cursor.advance();
                Vec::new()
            }
            (Token::LParen, _) => cursor.parenthesized(Cursor::expr)?,
            _ => Vec::new(),
        };
        Ok(Execute { name, values })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let empty = RelationDesc::default();
        let values =
            self.values.iter().map(|value| planner.scalar(Over::nothing(&empty, value)).map(|(scalar, _)| scalar));
        Ok(Plan::Execute { name: names::fold(&self.name), params: values.collect::<Result<_, _>>()? })
    }
}

impl Deallocate {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Deallocate, Error> {
        cursor.expect(&["deallocate"])?;
        cursor.take(&["prepare"]);
        let name = if cursor.take(&["all"]) { None } else { Some(cursor.ident()?) };
        Ok(Deallocate { name })
    }

    pub(crate) fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::Deallocate { name: self.name.as_ref().map(names::fold) })
    }
}
