//! From an expression that may not have a type yet to one of the type that is wanted.

use expr::cast::{self, CastContext};
use expr::{EvalError, Scalar, func};
use repr::interval::{Interval, IntervalInput, IntervalStyle};
use repr::{Arena, Datum, Kind, ScalarType};

use super::types::{self, same_base, shown};
use super::{Lifetime, QueryContext};
use crate::error::Error;
use crate::hir::HirScalar;

/// An expression as far as it is known by itself.
#[derive(Clone, Debug)]
pub(crate) enum Planned {
    Typed {
        scalar: HirScalar,
        typ: ScalarType,
    },
    /// A string literal, or NULL, that takes the type its surroundings want.
    Unknown {
        text: Option<String>,
        position: Option<usize>,
    },
    /// The parameter of this index, counted from 0, whose type is still to be inferred.
    Parameter {
        index: usize,
        position: Option<usize>,
    },
    /// `ROW(...)` or `(a, b)`: its fields may be of unknown type.
    Row(Vec<Planned>),
}

impl Planned {
    pub(crate) fn typed(scalar: HirScalar, typ: ScalarType) -> Planned {
        Planned::Typed { scalar, typ }
    }

    pub(crate) fn bool(scalar: HirScalar) -> Planned {
        Planned::Typed { scalar, typ: ScalarType::Bool }
    }

    /// The type, if it is known; rows and unknown values have none yet.
    pub(crate) fn known_type(&self) -> Option<&ScalarType> {
        match self {
            Planned::Typed { typ, .. } => Some(typ),
            Planned::Unknown { .. } | Planned::Parameter { .. } | Planned::Row(_) => None,
        }
    }

    /// True if a set-returning function is called in it.
    pub(crate) fn contains_set(&self) -> bool {
        match self {
            Planned::Typed { scalar, .. } => scalar.any(&mut |scalar| matches!(scalar, HirScalar::SetReturning(_))),
            Planned::Row(fields) => fields.iter().any(Planned::contains_set),
            Planned::Unknown { .. } | Planned::Parameter { .. } => false,
        }
    }

    /// The type's name for messages.
    pub(crate) fn shown_type(&self) -> String {
        match self {
            Planned::Typed { typ, .. } => shown(typ),
            Planned::Unknown { .. } | Planned::Parameter { .. } => "unknown".to_owned(),
            Planned::Row(_) => "record".to_owned(),
        }
    }
}

impl QueryContext<'_> {
    /// The expression as type `to`, modifiers included, by a cast that `context` admits. `Err(None)`: there is none.
    fn try_coerce(
        &mut self,
        planned: Planned,
        to: &ScalarType,
        context: CastContext,
    ) -> Result<HirScalar, Option<Error>> {
        match planned {
            Planned::Typed { scalar, typ } => self.cast(scalar, &typ, to, context),
            Planned::Unknown { text: None, .. } => Ok(HirScalar::null(to.clone())),
            Planned::Unknown { text: Some(text), position } => {
                let at = |error: Error| position.map_or(error.clone(), |position| error.at(position));
                // What a number without a unit means, the fields of an interval say.
                let read_as = if to.is_interval() { to.clone() } else { types::base(to) };
                let literal = self.literal_of_text(&text, &read_as).map_err(|error| Some(at(error)))?;
                let literal = self.cast(literal, &read_as, to, context)?;
                fold(literal).map_err(|error| Some(at(error)))
            }
            Planned::Parameter { index, .. } => {
                let base = types::base(to);
                let scalar = self.parameter(index, &base);
                self.cast(scalar, &base, to, context)
            }
            Planned::Row(fields) => match to {
                // Fields of no type yet take that of their column.
                ScalarType::Record(columns) if columns.len() == fields.len() => {
                    let mut coerced = Vec::with_capacity(fields.len());
                    for (field, (name, column)) in fields.into_iter().zip(columns) {
                        let scalar = self.try_coerce(field, &column.scalar, context)?;
                        coerced.push((name.clone(), scalar, column.scalar.clone()));
                    }
                    let (scalar, typ) = super::function::record(coerced).map_err(Some)?;
                    self.cast(scalar, &typ, to, context)
                }
                _ => {
                    let (scalar, typ) = self.settle_row(fields).map_err(Some)?;
                    self.cast(scalar, &typ, to, context)
                }
            },
        }
    }

    /// As type `to`; `Err(None)` if there is no such cast in `context`.
    fn cast(
        &mut self,
        scalar: HirScalar,
        from: &ScalarType,
        to: &ScalarType,
        context: CastContext,
    ) -> Result<HirScalar, Option<Error>> {
        if from == to {
            return Ok(scalar);
        }
        if let Some(named) = self.object_name(&scalar, from, to)? {
            return self.cast(named, &ScalarType::Text, to, context);
        }
        match cast::cast(Scalar::Column(0), from, to, context) {
            Some(template) => Ok(HirScalar::from_scalar(template, &[scalar])),
            None if same_base(from, to) && *to == types::base(to) => Ok(scalar),
            None => Err(None),
        }
    }

    /// The name of an object as text, if a cast asks for it; only the session knows it.
    fn object_name(
        &mut self,
        scalar: &HirScalar,
        from: &ScalarType,
        to: &ScalarType,
    ) -> Result<Option<HirScalar>, Option<Error>> {
        let key = match (from, to.kind()) {
            (ScalarType::RegClass, Kind::Text) => "regclass_text",
            (ScalarType::RegProc, Kind::Text) => "regproc_text",
            (ScalarType::RegProcedure, Kind::Text) => "regprocedure_text",
            (ScalarType::RegType, Kind::Text) => "regtype_text",
            (ScalarType::RegNamespace, Kind::Text) => "regnamespace_text",
            (ScalarType::RegRole, Kind::Text) => "regrole_text",
            _ => return Ok(None),
        };
        // The types of the system have names that need no catalog.
        if let (ScalarType::RegType, Some(Scalar::Literal(Ok(row), _))) = (from, scalar.to_scalar())
            && let Datum::UInt(oid) = row.unpack_first(Kind::UInt)
            && u32::try_from(oid).ok().and_then(repr::pg_type::from_oid).is_some()
        {
            return Ok(None);
        }
        let func = func::by_key(key).expect("in the table of the catalog's functions");
        self.check_volatility(func)?;
        let named = HirScalar::call(func, vec![scalar.clone()], vec![from.clone()], ScalarType::Text);
        // What has no name is shown as a number.
        let number = cast::cast(Scalar::Column(0), from, &ScalarType::Text, CastContext::Explicit).ok_or(None)?;
        Ok(Some(HirScalar::Coalesce(vec![named, HirScalar::from_scalar(number, std::slice::from_ref(scalar))])))
    }

    /// An object identifier as the name that it is shown by; anything else as it is.
    pub(crate) fn named_object(&mut self, planned: Planned) -> Result<Planned, Error> {
        match planned.known_type() {
            Some(typ) if typ.is_reg() => {
                Ok(Planned::typed(self.coerce_explicit(planned, &ScalarType::Text)?, ScalarType::Text))
            }
            _ => Ok(planned),
        }
    }

    /// Errors: 42804 with `message` if there is no implicit cast.
    pub(crate) fn coerce_implicit(
        &mut self,
        planned: Planned,
        to: &ScalarType,
        message: impl FnOnce(&str) -> String,
    ) -> Result<HirScalar, Error> {
        let found = planned.shown_type();
        self.try_coerce(planned, to, CastContext::Implicit)
            .map_err(|error| error.unwrap_or_else(|| Error::new("42804", message(&found))))
    }

    /// To a type that resolution found the expression castable to.
    pub(crate) fn coerce_resolved(&mut self, planned: Planned, to: &ScalarType) -> Result<HirScalar, Error> {
        if planned.known_type().is_some_and(|typ| same_base(typ, to) && *to == types::base(to)) {
            // A function takes its arguments with any modifier.
            if let Planned::Typed { scalar, .. } = planned {
                return Ok(scalar);
            }
        }
        let to_shown = shown(to);
        self.coerce_implicit(planned, to, |found| format!("cannot convert {found} to {to_shown}"))
    }

    /// `CAST(x AS to)`. Errors: 42846 if there is no cast.
    pub(crate) fn coerce_explicit(&mut self, planned: Planned, to: &ScalarType) -> Result<HirScalar, Error> {
        let found = planned.shown_type();
        self.try_coerce(planned, to, CastContext::Explicit).map_err(|error| {
            error.unwrap_or_else(|| Error::new("42846", format!("cannot cast type {found} to {}", shown(to))))
        })
    }

    /// The value for the column `column` of type `to`. Errors: 42804 if it cannot be assigned.
    pub(crate) fn coerce_assignment(
        &mut self,
        planned: Planned,
        to: &ScalarType,
        column: &str,
    ) -> Result<HirScalar, Error> {
        let found = planned.shown_type();
        self.try_coerce(planned, to, CastContext::Assignment).map_err(|error| {
            error.unwrap_or_else(|| {
                let message = format!("column \"{column}\" is of type {} but expression is of type {found}", shown(to));
                Error::new("42804", message).with_hint("You will need to rewrite or cast the expression.")
            })
        })
    }

    /// As boolean. `what` is such as `argument of WHERE`.
    pub(crate) fn coerce_bool(&mut self, planned: Planned, what: &str) -> Result<HirScalar, Error> {
        self.coerce_implicit(planned, &ScalarType::Bool, |found| {
            format!("{what} must be type boolean, not type {found}")
        })
    }

    /// The expression with the type it has by itself: unknown values become text.
    pub(crate) fn settle(&mut self, planned: Planned) -> Result<(HirScalar, ScalarType), Error> {
        match planned {
            Planned::Typed { scalar, typ } => Ok((scalar, typ)),
            Planned::Row(fields) => self.settle_row(fields),
            unknown => {
                let scalar =
                    self.coerce_implicit(unknown, &ScalarType::Text, |found| format!("{found} is not text"))?;
                Ok((scalar, ScalarType::Text))
            }
        }
    }

    /// As [`QueryContext::settle`], where a parameter must have a type. Errors: 42P18.
    pub(crate) fn settle_known(&mut self, planned: Planned) -> Result<(HirScalar, ScalarType), Error> {
        if let Planned::Parameter { index, position } = planned {
            let error = Error::new("42P18", format!("could not determine data type of parameter ${}", index + 1));
            return Err(position.map_or(error.clone(), |position| error.at(position)));
        }
        self.settle(planned)
    }

    fn settle_row(&mut self, fields: Vec<Planned>) -> Result<(HirScalar, ScalarType), Error> {
        let fields = fields.into_iter().map(|field| self.settle(field)).collect::<Result<Vec<_>, _>>()?;
        super::function::record(
            fields
                .into_iter()
                .enumerate()
                .map(|(place, (scalar, typ))| (format!("f{}", place + 1), scalar, typ))
                .collect(),
        )
    }

    /// All expressions as their common type. Errors: 42804; `what` is such as `CASE`.
    pub(crate) fn coerce_common(
        &mut self,
        planned: Vec<Planned>,
        what: &str,
    ) -> Result<(Vec<HirScalar>, ScalarType), Error> {
        let planned = self.rows_alike(planned, what)?;
        let mut settled = Vec::with_capacity(planned.len());
        for item in planned {
            settled.push(match item {
                Planned::Row(fields) => {
                    let (scalar, typ) = self.settle_row(fields)?;
                    Planned::typed(scalar, typ)
                }
                other => other,
            });
        }
        let known: Vec<&ScalarType> = settled.iter().filter_map(Planned::known_type).collect();
        let common = match types::common(&known) {
            Some(common) => common,
            None => return Err(no_common_type(&known, what)),
        };
        // A literal has no modifier, and so what is common to it and others has none.
        let is_literal = |item: &Planned| matches!(item, Planned::Unknown { text: Some(_), .. });
        let common = if settled.iter().any(is_literal) { types::base(&common) } else { common };
        let mut scalars = Vec::with_capacity(settled.len());
        for item in settled {
            let to = shown(&common);
            scalars.push(
                self.coerce_implicit(item, &common, |found| format!("{what} could not convert type {found} to {to}"))?,
            );
        }
        Ok((scalars, common))
    }

    /// Rows of the same width with fields of common types: a field of no type yet takes that of the others'.
    fn rows_alike(&mut self, planned: Vec<Planned>, what: &str) -> Result<Vec<Planned>, Error> {
        let width = planned.iter().find_map(|item| match item {
            Planned::Row(fields) => Some(fields.len()),
            _ => None,
        });
        let alike = |item: &Planned| match item {
            Planned::Row(fields) => Some(fields.len()) == width,
            _ => false,
        };
        let Some(width) = width.filter(|_| planned.len() > 1 && planned.iter().all(alike)) else {
            return Ok(planned);
        };
        let mut columns: Vec<Vec<Planned>> = vec![Vec::with_capacity(planned.len()); width];
        let count = planned.len();
        for item in planned {
            let Planned::Row(fields) = item else { continue };
            fields.into_iter().zip(&mut columns).for_each(|(field, column)| column.push(field));
        }
        let mut rows: Vec<Vec<Planned>> = vec![Vec::with_capacity(width); count];
        for column in columns {
            let (scalars, typ) = self.coerce_common(column, what)?;
            for (row, scalar) in rows.iter_mut().zip(scalars) {
                row.push(Planned::typed(scalar, typ.clone()));
            }
        }
        Ok(rows.into_iter().map(Planned::Row).collect())
    }

    /// The literal `text` as a value of type `to` (without modifier, unless it is an interval). Errors: 22P02 and the like.
    fn literal_of_text(&mut self, text: &str, to: &ScalarType) -> Result<HirScalar, Error> {
        if let Some(oid) = self.object_literal(text, to)? {
            return Ok(HirScalar::literal(Datum::UInt(oid.into()), to.clone()));
        }
        if let Some(word) = self.time_word(text, to) {
            return word;
        }
        let style = self.context.interval_style;
        if let ScalarType::Interval(spec) = to {
            let style = if self.lifetime == Lifetime::OneShot { style } else { IntervalStyle::default() };
            let fields = spec.and_then(|spec| spec.fields);
            let interval = Interval::parse_as(text, IntervalInput { style, fields })
                .map_err(|error| from_eval(&cast::parse_error(error)))?;
            let interval = spec.map_or(interval, |spec| interval.restricted(spec));
            return Ok(HirScalar::literal(Datum::Interval(interval), to.clone()));
        }
        if text.contains('\0') {
            return Err(Error::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
        }
        let literal = Scalar::literal(Datum::Text(text), ScalarType::Text);
        let cast = match to {
            ScalarType::Text => Some(literal),
            _ => cast::cast(literal, &ScalarType::Text, to, CastContext::Explicit),
        };
        match cast {
            Some(scalar) => evaluate(&scalar, to).map(|scalar| HirScalar::from_scalar(scalar, &[])),
            None => Err(Error::unsupported(format!("a literal of type {}", shown(to)))),
        }
    }

    /// The parameter `index` as a value of type `typ`: its literal, or NULL while only its type is asked for.
    fn parameter(&mut self, index: usize, typ: &ScalarType) -> HirScalar {
        if let Some(slot @ None) = self.params.types.get_mut(index) {
            *slot = Some(typ.clone());
        }
        match self.params.values.as_ref().and_then(|values| values.get(index)) {
            Some(value) => {
                let from = value.typ(&[]).scalar;
                let value = match cast::cast(value.clone(), &from, typ, CastContext::Explicit) {
                    Some(cast) if from != *typ => cast,
                    _ => value.clone(),
                };
                HirScalar::from_scalar(value, &[])
            }
            None => HirScalar::null(typ.clone()),
        }
    }

    /// The parameter `$n` with the type it has so far.
    pub(crate) fn plan_parameter(&mut self, index: usize, position: Option<usize>) -> Planned {
        if self.params.types.len() <= index {
            self.params.types.resize(index + 1, None);
        }
        match self.params.types[index].clone() {
            Some(typ) => Planned::typed(self.parameter(index, &typ), typ),
            None => Planned::Parameter { index, position },
        }
    }
}

/// Errors of types that do not go together: 42846 where one of a family cannot be converted, 42804 for different families.
pub(super) fn no_common_type(known: &[&ScalarType], what: &str) -> Error {
    if let Some(chosen) = types::common_candidate(known)
        && let Some(other) = known.iter().find(|typ| !types::implicitly_castable(typ, &chosen))
        && shown(other) != shown(&chosen)
    {
        return Error::new("42846", format!("{what} could not convert type {} to {}", shown(other), shown(&chosen)));
    }
    let first = shown(known[0]);
    let other = known.iter().map(|typ| shown(typ)).find(|other| *other != first).unwrap_or_default();
    Error::new("42804", format!("{what} types {first} and {other} cannot be matched"))
}

/// The value of a constant expression, as a literal of type `typ`.
pub(crate) fn evaluate(scalar: &Scalar, typ: &ScalarType) -> Result<Scalar, Error> {
    let arena = Arena::new();
    match scalar.eval(&[], &arena) {
        Ok(datum) => Ok(Scalar::literal(datum, typ.clone())),
        Err(error) => Err(from_eval(&error)),
    }
}

/// A literal under a cast as a literal.
pub(super) fn fold(scalar: HirScalar) -> Result<HirScalar, Error> {
    match scalar.to_scalar() {
        Some(Scalar::Literal(Ok(_), _)) | None => Ok(scalar),
        Some(constant) if constant.is_deterministic() && constant.support().is_empty() => {
            let typ = constant.typ(&[]).scalar;
            Ok(HirScalar::from_scalar(evaluate(&constant, &typ)?, &[]))
        }
        Some(_) => Ok(scalar),
    }
}

/// An error of evaluation as an error of planning.
pub(crate) fn from_eval(error: &EvalError) -> Error {
    Error {
        code: sqlstate(error.code()),
        message: error.message.clone(),
        detail: error.detail.clone(),
        hint: error.hint.clone(),
        position: None,
    }
}

/// SQLSTATEs that evaluation of a constant may give.
const EVALUATION_CODES: [&str; 41] = [
    "0A000", "21000", "22000", "22001", "22003", "22004", "22005", "22007", "22008", "22009", "2200D", "2200H",
    "22011", "22012", "22015", "22019", "2201B", "2201E", "2201F", "2201G", "2201W", "2201X", "2202E", "22021",
    "22022", "22023", "22024", "22025", "22026", "22027", "22030", "22032", "22034", "22036", "22P02", "22P03",
    "22P05", "42704", "54000", "54001", "XX000",
];

fn sqlstate(code: &str) -> &'static str {
    EVALUATION_CODES.into_iter().find(|known| *known == code).unwrap_or("22000")
}
