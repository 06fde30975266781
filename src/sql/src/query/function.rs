//! Function calls, and the forms of SQL that are calls in other clothes.

use expr::func::{FuncDef, Volatility, by_key, functions};
use repr::{ColumnType, Datum, ScalarType};
use sqlparser::ast::{
    self, CeilFloorKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TrimWhereField,
};

use super::coerce::Planned;
use super::{Clause, Lifetime, QueryContext, aggregate, table_function, window};
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names::{fold, parts, perhaps};
use crate::position;

impl QueryContext<'_> {
    pub(super) fn function(&mut self, function: &Function) -> Result<Planned, Error> {
        let name = function_name(&function.name)?;
        if function.over.is_some() {
            return self.window(&name, function);
        }
        let standing = window::is_window_function(&name) && !function.within_group.is_empty();
        if aggregate::is_aggregate(&name) || standing {
            return self.aggregate(&name, function);
        }
        if window::is_window_function(&name) {
            let message = format!("window function {name} requires an OVER clause");
            return Err(Error::new("42809", message).at_node(&function.name));
        }
        if name == "grouping" {
            return self.grouping(function);
        }
        if function.filter.is_some() {
            let message = format!("FILTER specified, but {name} is not an aggregate function");
            return Err(Error::new("42809", message).at_node(&function.name));
        }
        if !function.within_group.is_empty() {
            let planned = self.ordered_set(&name, function);
            let message = format!("{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP");
            let error = planned.map_or_else(|error| error, |_| Error::new("42809", message));
            return Err(error.at_node(&function.name));
        }
        if !matches!(function.parameters, FunctionArguments::None) {
            return Err(Error::unsupported("a second list of arguments").at_node(&function.name));
        }
        if let (FunctionArguments::Subquery(query), "array") = (&function.args, name.as_str()) {
            return self.array_of_subquery(query).map_err(|error| error.at_node(&function.name));
        }
        match self.variadic_call(&name, function) {
            Ok(None) => {}
            Ok(Some(planned)) => return Ok(planned),
            Err(error) => return Err(error.at_node(&function.name)),
        }
        let args = self.arguments(&name, function)?;
        self.call_by_name(&name, args).map_err(|error| error.at_node(&function.name))
    }

    /// The planned arguments of a plain call.
    fn arguments(&mut self, name: &str, function: &Function) -> Result<Vec<Planned>, Error> {
        let list = match &function.args {
            FunctionArguments::None => return Ok(Vec::new()),
            FunctionArguments::Subquery(query) => return Ok(vec![self.scalar_subquery(query)?]),
            FunctionArguments::List(list) => list,
        };
        if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) {
            let message = format!("DISTINCT specified, but {name} is not an aggregate function");
            return Err(Error::new("42809", message).at_node(&function.name));
        }
        if !list.clauses.is_empty() {
            let message = format!("ORDER BY specified, but {name} is not an aggregate function");
            return Err(Error::new("42809", message).at_node(&function.name));
        }
        if name == "make_interval" {
            return self.make_interval(&list.args);
        }
        if let ("normalize", [text, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(form)))]) =
            (name, &list.args[..])
        {
            // The form is a keyword.
            let text = self.expression(argument(text)?)?;
            return Ok(vec![text, Planned::Unknown { text: Some(form.value.clone()), position: None }]);
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table)) if name == "row" => {
                    args.extend(self.table_columns(table)?);
                }
                _ => args.push(self.expression(argument(arg)?)?),
            }
        }
        Ok(args)
    }

    pub(super) fn call_by_name(&mut self, name: &str, mut args: Vec<Planned>) -> Result<Planned, Error> {
        if shows_arguments(name) {
            args = args.into_iter().map(|arg| self.named_object(arg)).collect::<Result<_, _>>()?;
        }
        match (name, args.len()) {
            ("mz_now", 0) => self.mz_now(),
            ("mz_logical_timestamp", 0) => {
                let now = self.mz_now()?;
                let typ = ScalarType::Numeric(None);
                Ok(Planned::typed(self.coerce_explicit(now, &typ)?, typ))
            }
            // Of a list that may be of any length there must be something.
            ("concat" | "num_nulls" | "num_nonnulls", 0) => Err(no_function(name, &args)),
            ("concat_ws" | "jsonb_extract_path" | "jsonb_extract_path_text", 1) => Err(no_function(name, &args)),
            ("greatest" | "least" | "coalesce", 0) => {
                Err(Error::new("42601", format!("{} needs an argument", name.to_uppercase())))
            }
            ("map_build", 1) => self.map_build(args.remove(0)),
            ("row", _) => Ok(Planned::Row(args)),
            ("coalesce", 1..) => {
                // Which argument counts is known only row by row.
                if args.iter().any(Planned::contains_set) {
                    return Err(super::sets::not_allowed_in("COALESCE"));
                }
                let (scalars, typ) = self.coerce_common(args, "COALESCE")?;
                Ok(Planned::typed(HirScalar::Coalesce(scalars), typ))
            }
            ("greatest" | "least", 1..) => {
                let (scalars, typ) = self.coerce_common(args, &name.to_uppercase())?;
                let func = functions(name).pop().ok_or_else(|| Error::unsupported(name))?;
                let types = vec![typ.clone(); scalars.len()];
                Ok(Planned::typed(HirScalar::call(func, scalars, types, typ.clone()), typ))
            }
            ("current_timestamp" | "localtimestamp" | "current_time" | "localtime", 1) => {
                self.clock_to_digits(name, args.remove(0))
            }
            ("nullif", 2) => {
                let right = args.remove(1);
                self.nullif(args.remove(0), right)
            }
            ("octet_length", 1) => self.named_call(name, vec![super::operator::padded(args.remove(0))]),
            ("format_type", 2) => {
                // Users' types are named by the catalog.
                let of_type = self.coerce_implicit(args[0].clone(), &ScalarType::RegType, |found| {
                    format!("cannot convert {found} to regtype")
                })?;
                let of_user = self.named_call("regtype_text", vec![Planned::typed(of_type, ScalarType::RegType)])?;
                let of_system = self.named_call(name, args)?;
                let (scalars, typ) = self.coerce_common(vec![of_user, of_system], "format_type")?;
                Ok(Planned::typed(HirScalar::Coalesce(scalars), typ))
            }
            ("age", 1) => self.age_today(args.remove(0)),
            ("timezone_offset", 2) => self.timezone_offset(args),
            ("pg_typeof", 1) => Ok(type_of(&args[0])),
            _ if functions(name).is_empty() && table_function::is_table_function(name) => {
                self.set_returning(name, args)
            }
            _ => match synonym(name, args.len()) {
                Some(synonym) => self.named_call(synonym, args),
                None => match self.cast_call(name, &args) {
                    Some(cast) => cast,
                    None => self.named_call(name, args),
                },
            },
        }
    }

    /// `int4(x)`: a cast to the type of this name, where no function has it.
    fn cast_call(&mut self, name: &str, args: &[Planned]) -> Option<Result<Planned, Error>> {
        let [arg] = args else { return None };
        if !functions(name).is_empty() {
            return None;
        }
        let typ = CALLED_TYPES.contains(&name).then(|| repr::pg_type::from_name(name))??;
        Some(self.coerce_explicit(arg.clone(), &typ).map(|scalar| Planned::typed(scalar, typ)).map_err(|error| {
            match error.code {
                "42846" => no_function(name, args),
                _ => error,
            }
        }))
    }

    /// Resolved as `=` is; the value that comes out is the first argument as that takes it.
    fn nullif(&mut self, left: Planned, right: Planned) -> Result<Planned, Error> {
        let compared = super::types::compared_as(left.known_type(), right.known_type());
        let equal = self.compare("=", left.clone(), right)?;
        let (scalar, typ) = match compared {
            Some(typ) => (self.coerce_implicit(left, &typ, |found| format!("{found} is not comparable"))?, typ),
            None => self.settle(left)?,
        };
        Ok(Planned::typed(HirScalar::if_then_else(equal, HirScalar::null(typ.clone()), scalar), typ))
    }

    /// `map_build(list)`: a map of a list of records, each a key and a value.
    fn map_build(&mut self, entries: Planned) -> Result<Planned, Error> {
        let missing = no_function("map_build", std::slice::from_ref(&entries));
        let (scalar, typ) = self.settle(entries)?;
        let value = match &typ {
            ScalarType::List(entry) => match &**entry {
                ScalarType::Record(fields) => match &fields[..] {
                    [(_, key), (_, value)] if key.scalar == ScalarType::Text => value.scalar.clone(),
                    _ => return Err(missing),
                },
                _ => return Err(missing),
            },
            _ => return Err(missing),
        };
        let func = by_key("map_build").ok_or(missing)?;
        let map = ScalarType::Map(Box::new(value));
        Ok(Planned::typed(HirScalar::call(func, vec![scalar], vec![typ], map.clone()), map))
    }

    /// `age(x)`: of the midnight at which the day began.
    fn age_today(&mut self, time: Planned) -> Result<Planned, Error> {
        let typ = match time.known_type() {
            Some(ScalarType::Timestamp(_)) => ScalarType::Timestamp(None),
            _ => ScalarType::TimestampTz(None),
        };
        let today = self.named_call("current_date", Vec::new())?;
        let today = Planned::typed(self.coerce_explicit(today, &typ)?, typ);
        self.named_call("age", vec![today, time])
    }

    /// `timezone_offset(zone, instant)`: a record of the zone's short name and its two offsets.
    fn timezone_offset(&mut self, args: Vec<Planned>) -> Result<Planned, Error> {
        let missing = no_function("timezone_offset", &args);
        let types = [ScalarType::Text, ScalarType::TimestampTz(None)];
        let mut scalars = Vec::with_capacity(2);
        for (arg, typ) in args.into_iter().zip(&types) {
            scalars.push(self.coerce_implicit(arg, typ, |_| String::new()).map_err(|_| missing.clone())?);
        }
        let parts = [
            ("abbrev", "timezone_abbreviation", ScalarType::Text),
            ("base_utc_offset", "timezone_base_offset", ScalarType::Interval(None)),
            ("dst_offset", "timezone_dst_offset", ScalarType::Interval(None)),
        ];
        let field = |(name, key, typ): (&str, &str, ScalarType)| -> Result<(String, HirScalar, ScalarType), Error> {
            let func = by_key(key).ok_or_else(|| Error::unsupported("timezone_offset"))?;
            let call = HirScalar::call(func, scalars.clone(), types.to_vec(), typ.clone());
            Ok((name.to_owned(), call, typ))
        };
        let (scalar, typ) = record(parts.into_iter().map(field).collect::<Result<_, Error>>()?)?;
        Ok(Planned::typed(scalar, typ))
    }

    /// `(start, end) OVERLAPS (start, end)`; an interval as an end counts from the start.
    pub(super) fn overlaps(&mut self, left: Planned, right: Planned) -> Result<Planned, Error> {
        let mut ends = Vec::with_capacity(4);
        for (side, period) in [("left", left), ("right", right)] {
            let Planned::Row(fields) = period else {
                return Err(Error::new(
                    "42601",
                    format!("wrong number of parameters on {side} side of OVERLAPS expression"),
                ));
            };
            let Ok([start, end]) = <[Planned; 2]>::try_from(fields) else {
                return Err(Error::new(
                    "42601",
                    format!("wrong number of parameters on {side} side of OVERLAPS expression"),
                ));
            };
            let end = match end.known_type() {
                Some(ScalarType::Interval(_)) => self.operator("+", vec![start.clone(), end])?,
                _ => end,
            };
            ends.extend([start, end]);
        }
        let missing = no_function("pg_catalog.overlaps", &ends);
        let (scalars, typ) = self.coerce_common(ends, "OVERLAPS").map_err(|_| missing.clone())?;
        let timely = matches!(
            typ,
            ScalarType::Date | ScalarType::Time(_) | ScalarType::Timestamp(_) | ScalarType::TimestampTz(_)
        );
        let func = by_key("overlaps").filter(|_| timely).ok_or(missing)?;
        Ok(Planned::bool(HirScalar::call(func, scalars, vec![typ; 4], ScalarType::Bool)))
    }

    /// `SIMILAR TO`, with its ESCAPE.
    fn similar(&mut self, inner: &Expr, pattern: &Expr, escape: Option<&Expr>) -> Result<HirScalar, Error> {
        let mut args = Vec::with_capacity(3);
        for expr in [Some(inner), Some(pattern), escape].into_iter().flatten() {
            let planned = super::operator::padded(self.expression(expr)?);
            let found = planned.shown_type();
            let scalar = self
                .coerce_implicit(planned, &ScalarType::Text, |_| format!("operator does not exist: {found} ~ text"));
            args.push(scalar.map_err(|error| Error { code: "42883", ..error }.at_node(expr))?);
        }
        let key = if args.len() == 3 { "is_similar_escape" } else { "is_similar" };
        let func = by_key(key).ok_or_else(|| Error::unsupported("SIMILAR TO"))?;
        let types = vec![ScalarType::Text; args.len()];
        Ok(HirScalar::call(func, args, types, ScalarType::Bool))
    }

    /// `make_interval(days => 10)`: what is not named is zero.
    fn make_interval(&mut self, list: &[FunctionArg]) -> Result<Vec<Planned>, Error> {
        const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
        let mut args: Vec<Option<Planned>> = vec![None; NAMES.len()];
        let mut is_named = false;
        for (index, arg) in list.iter().enumerate() {
            let (index, expr) = match arg {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    is_named = true;
                    let name = fold(name);
                    let index = NAMES.iter().position(|known| *known == name).ok_or_else(|| {
                        Error::new("42883", format!("function make_interval({name} => ...) does not exist"))
                            .at_node(arg)
                    })?;
                    (index, expr)
                }
                other if is_named => {
                    let message = "positional argument cannot follow named argument";
                    return Err(Error::new("42601", message).at_node(other));
                }
                other => (index, argument(other)?),
            };
            let planned = self.expression(expr)?;
            match args.get_mut(index) {
                Some(slot @ None) => *slot = Some(planned),
                Some(Some(_)) => {
                    let message = format!("argument name \"{}\" used more than once", NAMES[index]);
                    return Err(Error::new("42601", message).at_node(arg));
                }
                None => return Err(Error::new("42883", "function make_interval has at most 7 arguments").at_node(arg)),
            }
        }
        let zero = |index: usize| match index {
            6 => Planned::typed(HirScalar::literal(Datum::float8(0.0), ScalarType::Float8), ScalarType::Float8),
            _ => Planned::typed(HirScalar::literal(Datum::Int(0), ScalarType::Int4), ScalarType::Int4),
        };
        Ok(args.into_iter().enumerate().map(|(index, arg)| arg.unwrap_or_else(|| zero(index))).collect())
    }

    /// The time of the row. What is kept up to date may only filter by it.
    fn mz_now(&mut self) -> Result<Planned, Error> {
        let clause = self.levels.last().map(|level| level.clause);
        let filters = matches!(clause, Some(Clause::Where | Clause::Having | Clause::JoinOn));
        if self.lifetime == Lifetime::Maintained && !filters {
            return Err(Error::unsupported("mz_now() outside WHERE and HAVING in what is kept up to date")
                .with_hint("Write a temporal filter, such as WHERE mz_now() <= event_time + INTERVAL '1 hour'."));
        }
        Ok(Planned::typed(HirScalar::MzNow, ScalarType::MzTimestamp))
    }

    /// Refuses what would change without its inputs changing.
    pub(super) fn check_volatility(&self, func: expr::Func) -> Result<(), Error> {
        if self.lifetime == Lifetime::Maintained && func.volatility != Volatility::Immutable {
            return Err(Error::unsupported(format!("calling {} in what is kept up to date", func.name))
                .with_hint("Its result changes although no data does. For time, use mz_now() in a temporal filter."));
        }
        Ok(())
    }

    /// Forms with a syntax of their own.
    pub(super) fn special_form(&mut self, expr: &Expr) -> Result<Planned, Error> {
        let unsupported = |what: &str| Error::unsupported(what).at_node(expr);
        match expr {
            Expr::Like { negated, any: false, expr: inner, pattern, escape_char } => {
                self.like("~~", *negated, inner, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any: false, expr: inner, pattern, escape_char } => {
                self.like("~~*", *negated, inner, pattern, escape_char.as_deref())
            }
            Expr::SimilarTo { negated, expr: inner, pattern, escape_char } => {
                let matched = self.similar(inner, pattern, escape_char.as_deref())?;
                Ok(Planned::bool(if *negated { matched.not() } else { matched }))
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.form("timezone", &[time_zone, timestamp], expr),
            Expr::Extract { field, expr: inner, .. } => {
                let field = field.to_string();
                let field = field.trim_matches('\'').to_lowercase();
                let text = Planned::Unknown { text: Some(field), position: position::of(expr) };
                let inner = self.expression(inner)?;
                let name = if functions("extract").is_empty() { "date_part" } else { "extract" };
                self.named_call(name, vec![text, inner]).map_err(|error| error.at_node(expr))
            }
            Expr::Ceil { expr: inner, field } => self.rounded("ceil", inner, field, expr),
            Expr::Floor { expr: inner, field } => self.rounded("floor", inner, field, expr),
            Expr::Position { expr: inner, r#in } => self.form("position", &[r#in, inner], expr),
            Expr::Substring { expr: inner, substring_from, substring_for, shorthand, .. } => {
                let name = if *shorthand { "substr" } else { "substring" };
                self.substring(name, inner, substring_from.as_deref(), substring_for.as_deref(), expr)
            }
            Expr::Trim { trim_where, trim_what, expr: inner, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let mut args = vec![&**inner];
                args.extend(trim_what.as_deref());
                args.extend(trim_characters.iter().flatten());
                self.form(name, &args, expr)
            }
            Expr::Overlay { expr: inner, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![&**inner, overlay_what, overlay_from];
                args.extend(overlay_for.as_deref());
                self.form("overlay", &args, expr)
            }
            Expr::IsJson { .. } => Err(unsupported("IS JSON")),
            Expr::IsNormalized { expr: inner, form, negated } => {
                let form = form.as_ref().map_or_else(|| "NFC".to_owned(), ToString::to_string);
                let planned = self.expression(inner)?;
                let scalar = self.coerce_implicit(planned, &ScalarType::Text, |found| {
                    format!("argument of IS NORMALIZED must be type text, not type {found}")
                })?;
                let func = by_key("is_normalized").ok_or_else(|| unsupported("IS NORMALIZED"))?;
                let args = vec![scalar, HirScalar::literal(Datum::Text(&form), ScalarType::Text)];
                let types = vec![ScalarType::Text; 2];
                let test = HirScalar::call(func, args, types, ScalarType::Bool);
                Ok(Planned::bool(if *negated { test.not() } else { test }))
            }
            Expr::Prefixed { .. } => Err(Error::new("42601", "syntax error at a prefixed literal").at_node(expr)),
            _ => Err(unsupported(&format!("the expression {expr}"))),
        }
    }

    fn form(&mut self, name: &str, args: &[&Expr], expr: &Expr) -> Result<Planned, Error> {
        let args = args.iter().map(|arg| self.expression(arg)).collect::<Result<Vec<_>, _>>()?;
        self.named_call(name, args).map_err(|error| error.at_node(expr))
    }

    fn rounded(&mut self, name: &str, inner: &Expr, field: &CeilFloorKind, expr: &Expr) -> Result<Planned, Error> {
        match field {
            CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => self.form(name, &[inner], expr),
            _ => Err(Error::unsupported(format!("{name} to a field or scale")).at_node(expr)),
        }
    }

    fn substring(
        &mut self,
        name: &str,
        inner: &Expr,
        from: Option<&Expr>,
        length: Option<&Expr>,
        expr: &Expr,
    ) -> Result<Planned, Error> {
        let mut args = vec![self.expression(inner)?];
        match (from, length) {
            (Some(from), _) => args.push(self.expression(from)?),
            (None, Some(_)) => {
                args.push(Planned::typed(HirScalar::literal(Datum::Int(1), ScalarType::Int4), ScalarType::Int4));
            }
            (None, None) => return Err(Error::new("42601", format!("{name} needs FROM or FOR")).at_node(expr)),
        }
        if let Some(length) = length {
            args.push(self.expression(length)?);
        }
        self.named_call(name, args).map_err(|error| error.at_node(expr))
    }

    /// `value[i][j]` of an array, list, map or jsonb.
    pub(super) fn subscript(&mut self, value: Planned, indexes: Vec<Planned>) -> Result<Planned, Error> {
        let (scalar, typ) = self.settle(value)?;
        let (key, element) = match &typ {
            ScalarType::Array(element) => ("array_subscript", (**element).clone()),
            ScalarType::List(element) => {
                // Each further subscript goes one list deeper.
                let mut element = &**element;
                for _ in 1..indexes.len() {
                    let ScalarType::List(inner) = element else {
                        return Err(Error::new("42804", "cannot subscript a list so deep"));
                    };
                    element = inner;
                }
                ("list_subscript", element.clone())
            }
            ScalarType::Jsonb | ScalarType::Map(_) => {
                let first = Planned::typed(scalar, typ);
                return indexes.into_iter().try_fold(first, |value, index| self.operator("->", vec![value, index]));
            }
            other => {
                let shown = super::types::shown(other);
                let message = format!("cannot subscript type {shown} because it does not support subscripting");
                return Err(Error::new("42804", message));
            }
        };
        let (args, types) = self.subscripts(scalar, typ, indexes)?;
        subscript_call(key, args, types, element)
    }

    /// `array[low:high]`, a pair for each dimension.
    pub(super) fn slice(&mut self, value: Planned, bounds: Vec<Planned>) -> Result<Planned, Error> {
        let (scalar, typ) = self.settle(value)?;
        let key = match &typ {
            ScalarType::Array(_) => "array_slice",
            ScalarType::List(_) if bounds.len() == 2 => "list_slice",
            other => return Err(Error::unsupported(format!("a slice of type {}", super::types::shown(other)))),
        };
        let (args, types) = self.subscripts(scalar, typ.clone(), bounds)?;
        subscript_call(key, args, types, typ)
    }

    fn subscripts(
        &mut self,
        scalar: HirScalar,
        typ: ScalarType,
        indexes: Vec<Planned>,
    ) -> Result<(Vec<HirScalar>, Vec<ScalarType>), Error> {
        let mut args = vec![scalar];
        let mut types = vec![typ];
        for index in indexes {
            let found = index.shown_type();
            let index = self.coerce_assignment(index, &ScalarType::Int8, "").map_err(|error| match error.code {
                "42804" => Error::new("42804", format!("array subscript must have type integer, not {found}")),
                _ => error,
            });
            args.push(index?);
            types.push(ScalarType::Int8);
        }
        Ok((args, types))
    }
}

fn subscript_call(key: &str, args: Vec<HirScalar>, types: Vec<ScalarType>, ret: ScalarType) -> Result<Planned, Error> {
    let func = by_key(key).ok_or_else(|| Error::unsupported("subscripting"))?;
    Ok(Planned::typed(HirScalar::call(func, args, types, ret.clone()), ret))
}

/// The folded name of a function. Errors: 42883 in a schema that has no functions.
pub(super) fn function_name(name: &ObjectName) -> Result<String, Error> {
    let idents = parts(name)?;
    let folded: Vec<String> = idents.iter().map(|ident| fold(ident)).collect();
    match &folded[..] {
        [name] => Ok(name.clone()),
        [schema, name] if matches!(schema.as_str(), "pg_catalog" | "mz_catalog" | "mz_internal" | "mz_unsafe") => {
            Ok(name.clone())
        }
        _ => Err(Error::new("42883", format!("function {} does not exist", folded.join("."))).at_node(name)),
    }
}

/// Types whose names can be called; the others' are part of the grammar.
const CALLED_TYPES: [&str; 26] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "uint2",
    "uint4",
    "uint8",
    "float4",
    "float8",
    "text",
    "name",
    "bytea",
    "date",
    "timestamptz",
    "uuid",
    "json",
    "jsonb",
    "oid",
    "regclass",
    "regtype",
    "regnamespace",
    "bpchar",
    "numeric",
    "time",
    "timestamp",
    "interval",
];

/// What `pg_typeof` says of a value.
fn type_of(value: &Planned) -> Planned {
    let known = value.known_type().map(repr::pg_type::oid);
    if let Some(oid) = known.filter(|oid| repr::pg_type::from_oid(*oid).is_some()) {
        return Planned::typed(HirScalar::literal(Datum::UInt(oid.into()), ScalarType::RegType), ScalarType::RegType);
    }
    // Records and what is of no type yet; lists and maps, whose oid does not say of what they are.
    let shown = match value {
        Planned::Unknown { .. } => "unknown".to_owned(),
        other => other.shown_type(),
    };
    Planned::typed(HirScalar::literal(Datum::Text(&shown), ScalarType::Text), ScalarType::Text)
}

/// True for functions whose result has their arguments' texts in it, whatever their types.
fn shows_arguments(name: &str) -> bool {
    matches!(name, "concat" | "concat_ws" | "format" | "quote_literal" | "quote_nullable" | "to_jsonb" | "to_json")
        || matches!(name, "jsonb_build_array" | "jsonb_build_object" | "json_build_array" | "json_build_object")
}

/// The expression of an unnamed argument.
pub(super) fn argument(arg: &FunctionArg) -> Result<&Expr, Error> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        FunctionArg::Unnamed(_) => Err(Error::new("42601", "* is only allowed as the argument of count").at_node(arg)),
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
            Err(Error::unsupported("a named argument").at_node(arg))
        }
    }
}

/// Other names of functions, used where the table has no entry of the name as written.
fn synonym(name: &str, count: usize) -> Option<&'static str> {
    if !functions(name).is_empty() {
        return None;
    }
    Some(match (name, count) {
        ("current_timestamp" | "transaction_timestamp" | "statement_timestamp", 0) => "now",
        ("current_time", 0) => "localtime",
        ("current_catalog", 0) => "current_database",
        ("session_user" | "user" | "current_role", 0) => "current_user",
        ("ceiling", 1) => "ceil",
        ("pow", 2) => "power",
        ("power", 2) => "pow",
        ("position", 2) => "strpos",
        ("json_array_length", 1) => "jsonb_array_length",
        ("json_extract_path", _) => "jsonb_extract_path",
        ("json_extract_path_text", _) => "jsonb_extract_path_text",
        ("json_typeof", 1) => "jsonb_typeof",
        ("json_strip_nulls", 1) => "jsonb_strip_nulls",
        ("json_object", _) => "jsonb_object",
        ("jsonb_path_exists_tz", _) => "jsonb_path_exists",
        ("jsonb_path_match_tz", _) => "jsonb_path_match",
        ("jsonb_path_query_array_tz", _) => "jsonb_path_query_array",
        ("jsonb_path_query_first_tz", _) => "jsonb_path_query_first",
        _ => return None,
    })
}

fn arguments_shown(args: &[Planned]) -> String {
    args.iter().map(Planned::shown_type).collect::<Vec<_>>().join(", ")
}

pub(super) fn no_function(name: &str, args: &[Planned]) -> Error {
    let error = Error::new("42883", format!("function {name}({}) does not exist", arguments_shown(args)));
    if functions(name).is_empty() {
        let known: Vec<&'static str> = expr::func::all()
            .map(|func: expr::Func| -> &'static FuncDef { func.0 })
            .filter(|func| func.kind == expr::func::FuncKind::Function)
            .map(|func| func.name)
            .chain(table_function::table_function_names())
            .collect();
        if let Some(hint) = perhaps(name, known) {
            return error.with_hint(hint);
        }
    }
    error.with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

pub(super) fn ambiguous_function(name: &str, args: &[Planned]) -> Error {
    Error::new("42725", format!("function {name}({}) is not unique", arguments_shown(args)))
        .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")
}

/// A record of the given fields.
pub(super) fn record(fields: Vec<(String, HirScalar, ScalarType)>) -> Result<(HirScalar, ScalarType), Error> {
    let func = by_key("row").ok_or_else(|| Error::unsupported("ROW"))?;
    let mut scalars = Vec::with_capacity(fields.len());
    let mut types = Vec::with_capacity(fields.len());
    let mut named = Vec::with_capacity(fields.len());
    for (name, scalar, typ) in fields {
        scalars.push(scalar);
        types.push(typ.clone());
        named.push((name, ColumnType { scalar: typ, nullable: true }));
    }
    let typ = ScalarType::Record(named);
    Ok((HirScalar::call(func, scalars, types, typ.clone()), typ))
}

/// The field at `place`, counted from 0, of a record.
pub(super) fn record_field(
    record: HirScalar,
    typ: &ScalarType,
    place: usize,
    field: ScalarType,
) -> Result<Planned, Error> {
    let func = by_key("record_field").ok_or_else(|| Error::unsupported("a field of a record"))?;
    let index = HirScalar::literal(Datum::Int(place as i64), ScalarType::Int4);
    let types = vec![typ.clone(), ScalarType::Int4];
    Ok(Planned::typed(HirScalar::call(func, vec![record, index], types, field.clone()), field))
}

/// `ARRAY[...]` of elements of one type; of arrays: one more dimension.
pub(super) fn array(elements: Vec<HirScalar>, element: ScalarType) -> Result<Planned, Error> {
    let typ = match &element {
        ScalarType::Array(_) => element.clone(),
        other => ScalarType::Array(Box::new(other.clone())),
    };
    let func = by_key("array").ok_or_else(|| Error::unsupported("ARRAY"))?;
    let types = vec![element; elements.len()];
    Ok(Planned::typed(HirScalar::call(func, elements, types, typ.clone()), typ))
}
