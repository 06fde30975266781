//! Literals of the reg types: names of objects, which become their oids.

use repr::ScalarType;

use super::QueryContext;
use super::literal::object_name;
use crate::error::Error;
use crate::names;

impl QueryContext<'_> {
    /// The oid of the object that `text` names, a dash none; None if `to` is no reg type, and for a number.
    pub(super) fn object_literal(&self, text: &str, to: &ScalarType) -> Result<Option<u32>, Error> {
        let is_oid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_oid || !to.is_reg() {
            return Ok(None);
        }
        if text == "-" {
            return Ok(Some(0));
        }
        match to {
            ScalarType::RegClass => self.regclass(text),
            ScalarType::RegNamespace => self.regnamespace(text),
            ScalarType::RegRole => self.regrole(text),
            ScalarType::RegType => self.regtype(text),
            ScalarType::RegProc => self.regproc(text),
            ScalarType::RegProcedure => self.regprocedure(text),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn regclass(&self, text: &str) -> Result<u32, Error> {
        let name = object_name(text)?;
        Ok(names::resolve_item(self.context, self.catalog, &name)?.oid)
    }

    fn regnamespace(&self, text: &str) -> Result<u32, Error> {
        let name = object_name(text)?;
        let (database, schema) = names::resolve_schema(self.context, self.catalog, &name)?;
        let oid = self.catalog.schema_oid(database.as_deref(), &schema);
        oid.ok_or_else(|| Error::new("3F000", format!("schema \"{schema}\" does not exist")))
    }

    fn regrole(&self, text: &str) -> Result<u32, Error> {
        let name = object_name(text)?;
        let [ident] = names::parts(&name)?[..] else { return Err(Error::new("42602", "invalid name syntax")) };
        let role = names::fold(ident);
        let oid = self.catalog.role_oid(&role);
        oid.ok_or_else(|| Error::new("42704", format!("role \"{role}\" does not exist")))
    }

    fn regtype(&self, text: &str) -> Result<u32, Error> {
        Ok(repr::pg_type::oid(&self.type_named(text)?))
    }

    fn type_named(&self, text: &str) -> Result<ScalarType, Error> {
        let named = crate::parse::data_type(text).and_then(|typ| names::resolve_type(self.names(), &typ));
        named.map_err(|error| Error { position: None, ..error })
    }

    /// The one function of a name.
    fn regproc(&self, text: &str) -> Result<u32, Error> {
        match &self.functions_named(text)?[..] {
            [] => Err(Error::new("42883", format!("function \"{text}\" does not exist"))),
            [(oid, _)] => Ok(*oid),
            _ => Err(Error::new("42725", format!("more than one function named \"{text}\""))),
        }
    }

    /// The function of a name and the types of its arguments: `abs(integer)`.
    fn regprocedure(&self, text: &str) -> Result<u32, Error> {
        let (name, rest) = text.split_once('(').ok_or_else(|| Error::new("22P02", "expected a left parenthesis"))?;
        let types = rest.trim_end().strip_suffix(')');
        let types = types.ok_or_else(|| Error::new("22P02", "expected a right parenthesis"))?;
        let named = self.functions_named(name)?;
        let mut wanted = Vec::new();
        for typ in types.split(',').map(str::trim).filter(|_| !types.trim().is_empty()) {
            let is_pseudo = named.iter().any(|(_, args)| args.iter().any(|arg| arg == typ));
            wanted.push(if is_pseudo { typ.to_owned() } else { repr::pg_type::sql_name(&self.type_named(typ)?) });
        }
        let found = named.into_iter().find(|(_, args)| *args == wanted);
        found.map(|(oid, _)| oid).ok_or_else(|| Error::new("42883", format!("function \"{text}\" does not exist")))
    }

    /// The oids of the functions of a name, each with the types of its arguments as they are shown.
    fn functions_named(&self, text: &str) -> Result<Vec<(u32, Vec<String>)>, Error> {
        let name = object_name(text)?;
        match names::parts(&name)?[..] {
            [ident] => Ok(self.catalog.functions(&names::fold(ident))),
            [schema, ident] if names::fold(schema) == "pg_catalog" => Ok(self.catalog.functions(&names::fold(ident))),
            _ => Ok(Vec::new()),
        }
    }
}
