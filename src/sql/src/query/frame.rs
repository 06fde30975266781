//! The OVER clause: named windows, and the frame of a window function.

use expr::ColumnOrder;
use expr::aggregate::{Exclude, FrameBound, FrameUnits};
use repr::interval::Interval;
use repr::{Datum, ScalarType};
use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::QueryContext;
use super::coerce::{Planned, evaluate, from_eval};
use super::expression::constant;
use super::scope::{always_quoted, at};
use super::types::{Category, category, shown};
use crate::comparison_key;
use crate::error::Error;
use crate::hir::HirScalar;
use crate::names::fold;
use crate::parse::excluded;

/// A window as it is written, with what it takes from the window it names.
#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    pub(super) partition_by: Vec<Expr>,
    pub(super) order_by: Vec<OrderByExpr>,
    pub(super) window_frame: Option<WindowFrame>,
    pub(super) exclude: Option<Exclude>,
}

/// A planned frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) units: FrameUnits,
    pub(super) start: Bound,
    pub(super) end: Bound,
    pub(super) exclude: Exclude,
}

#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub(super) enum Bound {
    Fixed(FrameBound),
    /// RANGE with an offset: rows up to those whose `key` is the row's `bound`.
    Value {
        key: (HirScalar, ScalarType),
        bound: (HirScalar, ScalarType),
    },
}

impl Default for Frame {
    fn default() -> Frame {
        let expr::aggregate::WindowFrame { units, start, end, exclude } = expr::aggregate::WindowFrame::default();
        Frame { units, start: Bound::Fixed(start), end: Bound::Fixed(end), exclude }
    }
}

impl Frame {
    pub(super) fn scalars_mut(&mut self) -> Vec<&mut HirScalar> {
        let Frame { start, end, .. } = self;
        start.scalars_mut().into_iter().chain(end.scalars_mut()).collect()
    }
}

impl Bound {
    fn scalars_mut(&mut self) -> Vec<&mut HirScalar> {
        match self {
            Bound::Fixed(_) => Vec::new(),
            Bound::Value { key, bound } => vec![&mut key.0, &mut bound.0],
        }
    }
}

fn windowing(message: impl Into<String>) -> Error {
    Error::new("42P20", message)
}

impl QueryContext<'_> {
    /// Makes the windows of a WINDOW clause nameable; each sees those before it.
    pub(super) fn define_windows(&mut self, definitions: &[NamedWindowDefinition]) -> Result<(), Error> {
        for NamedWindowDefinition(name, definition) in definitions {
            if super::hints::text(name).is_some() {
                continue;
            }
            let folded = fold(name);
            if self.level().named_windows.iter().any(|(known, _)| *known == folded) {
                let message = format!("window {} is already defined", always_quoted(&folded));
                return Err(at(windowing(message), std::slice::from_ref(name)));
            }
            let spec = match definition {
                NamedWindowExpr::NamedWindow(other) => self.named_window(other)?,
                NamedWindowExpr::WindowSpec(spec) => self.complete(spec)?,
            };
            self.level().named_windows.push((folded, spec));
        }
        Ok(())
    }

    pub(super) fn window_spec(&mut self, over: &WindowType) -> Result<Spec, Error> {
        match over {
            WindowType::NamedWindow(name) => self.named_window(name),
            WindowType::WindowSpec(spec) => self.complete(spec),
        }
    }

    fn named_window(&mut self, name: &Ident) -> Result<Spec, Error> {
        let folded = fold(name);
        let found = self.level().named_windows.iter().find(|(known, _)| *known == folded);
        found.map(|(_, spec)| spec.clone()).ok_or_else(|| {
            let message = format!("window {} does not exist", always_quoted(&folded));
            at(Error::new("42704", message), std::slice::from_ref(name))
        })
    }

    /// What is written, with partitions and order of the window that it starts from. Errors: 42P20.
    fn complete(&mut self, spec: &WindowSpec) -> Result<Spec, Error> {
        let (partition_by, exclude) = excluded(&spec.partition_by);
        let own =
            Spec { partition_by, order_by: spec.order_by.clone(), window_frame: spec.window_frame.clone(), exclude };
        let Some(name) = &spec.window_name else { return Ok(own) };
        let base = self.named_window(name)?;
        let shown = always_quoted(&fold(name));
        let here = |message: String| at(windowing(message), std::slice::from_ref(name));
        if base.window_frame.is_some() {
            let error = here(format!("cannot copy window {shown} because it has a frame clause"));
            let plain = own.partition_by.is_empty() && own.order_by.is_empty() && own.window_frame.is_none();
            return Err(if plain { error.with_hint("Omit the parentheses in this OVER clause.") } else { error });
        }
        if !own.partition_by.is_empty() {
            return Err(here(format!("cannot override PARTITION BY clause of window {shown}")));
        }
        if !own.order_by.is_empty() && !base.order_by.is_empty() {
            return Err(here(format!("cannot override ORDER BY clause of window {shown}")));
        }
        let order_by = if own.order_by.is_empty() { base.order_by } else { own.order_by };
        Ok(Spec { partition_by: base.partition_by, order_by, ..own })
    }

    /// Plans a frame. Errors: 42P20, and those of its offsets.
    pub(super) fn frame(
        &mut self,
        frame: &WindowFrame,
        exclude: Option<Exclude>,
        order: &[(HirScalar, ScalarType, ColumnOrder)],
    ) -> Result<Frame, Error> {
        check_bounds(frame)?;
        let units = match frame.units {
            WindowFrameUnits::Rows => FrameUnits::Rows,
            WindowFrameUnits::Range => FrameUnits::Range,
            WindowFrameUnits::Groups => FrameUnits::Groups,
        };
        if units == FrameUnits::Groups && order.is_empty() {
            return Err(windowing("GROUPS mode requires an ORDER BY clause"));
        }
        let start = self.bound(&frame.start_bound, units, order, "starting")?;
        let end = match &frame.end_bound {
            Some(end) => self.bound(end, units, order, "ending")?,
            None => Bound::Fixed(FrameBound::CurrentRow),
        };
        Ok(Frame { units, start, end, exclude: exclude.unwrap_or(Exclude::Nothing) })
    }

    fn bound(
        &mut self,
        bound: &WindowFrameBound,
        units: FrameUnits,
        order: &[(HirScalar, ScalarType, ColumnOrder)],
        which: &str,
    ) -> Result<Bound, Error> {
        let (offset, following) = match bound {
            WindowFrameBound::CurrentRow => return Ok(Bound::Fixed(FrameBound::CurrentRow)),
            WindowFrameBound::Preceding(None) => return Ok(Bound::Fixed(FrameBound::UnboundedPreceding)),
            WindowFrameBound::Following(None) => return Ok(Bound::Fixed(FrameBound::UnboundedFollowing)),
            WindowFrameBound::Preceding(Some(offset)) => (offset, false),
            WindowFrameBound::Following(Some(offset)) => (offset, true),
        };
        if units == FrameUnits::Range {
            return self.range_bound(offset, following, order, which).map_err(|error| error.at_node(&**offset));
        }
        let name = if units == FrameUnits::Rows { "ROWS" } else { "GROUPS" };
        let distance = self.distance(offset, name, which).map_err(|error| error.at_node(&**offset))?;
        Ok(Bound::Fixed(if following { FrameBound::Following(distance) } else { FrameBound::Preceding(distance) }))
    }

    /// The offset of ROWS or GROUPS, a constant.
    fn distance(&mut self, offset: &Expr, name: &str, which: &str) -> Result<u64, Error> {
        let planned = self.expression(offset)?;
        let scalar = self.coerce_implicit(planned, &ScalarType::Int8, |found| {
            format!("argument of {name} must be type bigint, not type {found}")
        })?;
        match constant_value(&scalar, &ScalarType::Int8, name, which)? {
            Datum::Int(distance) => u64::try_from(distance)
                .map_err(|_| Error::new("22013", format!("frame {which} offset must not be negative"))),
            other => Err(Error::new("XX000", format!("{other:?} is no offset"))),
        }
    }

    /// RANGE with an offset: the key of each row plus or minus it. Where that would leave the key's type, a wider one is
    /// compared, so that a bound out of range is beyond all rows rather than an error.
    fn range_bound(
        &mut self,
        offset: &Expr,
        following: bool,
        order: &[(HirScalar, ScalarType, ColumnOrder)],
        which: &str,
    ) -> Result<Bound, Error> {
        let [(key, typ, options)] = order else {
            return Err(windowing("RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column"));
        };
        let planned = self.expression(offset)?;
        let found = planned.shown_type();
        let Some((compared, offset_type)) = range_types(typ, planned.known_type()) else {
            let message =
                format!("RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}", shown(typ));
            return Err(match range_types(typ, None) {
                None => Error::new("0A000", message),
                Some(_) => Error::new("0A000", format!("{message} and offset type {found}"))
                    .with_hint("Cast the offset value to an appropriate type."),
            });
        };
        let offset = self.coerce_implicit(planned, &offset_type, |found| format!("{found} is no offset"))?;
        let datum = constant_value(&offset, &offset_type, "RANGE", which)?;
        if is_negative(datum) {
            return Err(Error::new("22013", "invalid preceding or following size in window function"));
        }
        // Of an offset for times of day only the time counts.
        let offset = match (typ, &datum) {
            (ScalarType::Time(_), Datum::Interval(interval)) => {
                let time = Interval { months: 0, days: 0, micros: interval.micros };
                HirScalar::literal(Datum::Interval(time), ScalarType::Interval(None))
            }
            _ => offset,
        };
        let key = self.coerce_explicit(Planned::typed(key.clone(), typ.clone()), &compared)?;
        let symbol = if following == options.desc { "-" } else { "+" };
        let operands = vec![Planned::typed(key.clone(), compared.clone()), Planned::typed(offset, offset_type)];
        let bound = self.operator(symbol, operands)?;
        let bound = self.coerce_explicit(bound, &compared)?;
        let of_key = |scalar| (comparison_key::of(scalar, &compared), compared.clone());
        Ok(Bound::Value { key: of_key(key), bound: of_key(bound) })
    }
}

/// The type in which keys and bounds are compared, and that of the offset; None if there is no RANGE over such a key.
fn range_types(key: &ScalarType, offset: Option<&ScalarType>) -> Option<(ScalarType, ScalarType)> {
    let is_int = |typ: &ScalarType| matches!(typ, ScalarType::Int2 | ScalarType::Int4 | ScalarType::Int8);
    let is_numeric = |typ: &ScalarType| is_int(typ) || matches!(typ, ScalarType::Numeric(_));
    let fits = |fits: &dyn Fn(&ScalarType) -> bool| offset.is_none_or(fits);
    let numeric = ScalarType::Numeric(None);
    match key {
        key if is_int(key) => fits(&is_int).then_some((numeric.clone(), numeric)),
        ScalarType::Numeric(_) => fits(&is_numeric).then_some((numeric.clone(), numeric)),
        ScalarType::Float4 | ScalarType::Float8 => {
            fits(&|typ| category(typ) == Category::Number).then_some((ScalarType::Float8, ScalarType::Float8))
        }
        ScalarType::Date | ScalarType::Timestamp(_) => {
            fits(&|typ| typ.is_interval()).then_some((ScalarType::Timestamp(None), ScalarType::Interval(None)))
        }
        ScalarType::TimestampTz(_) => {
            fits(&|typ| typ.is_interval()).then_some((ScalarType::TimestampTz(None), ScalarType::Interval(None)))
        }
        ScalarType::Time(_) | ScalarType::Interval(_) => {
            fits(&|typ| typ.is_interval()).then_some((ScalarType::Interval(None), ScalarType::Interval(None)))
        }
        _ => None,
    }
}

/// The value of an offset. Errors: 42P10 if it names a row's columns, 22004 if it is NULL.
fn constant_value(scalar: &HirScalar, typ: &ScalarType, name: &str, which: &str) -> Result<Datum<'static>, Error> {
    let mut variables = false;
    scalar.visit_columns(0, &mut |_, _, _| variables = true);
    if variables {
        return Err(Error::new("42P10", format!("argument of {name} must not contain variables")));
    }
    let Some(scalar) = constant(scalar) else {
        return Err(Error::unsupported(format!("anything but a constant as argument of {name}")));
    };
    let literal = evaluate(&scalar, typ)?;
    match literal.as_literal() {
        Some(Ok(Datum::Null)) => Err(Error::new("22004", format!("frame {which} offset must not be null"))),
        Some(Ok(Datum::Int(value))) => Ok(Datum::Int(value)),
        Some(Ok(Datum::Float8(value))) => Ok(Datum::Float8(value)),
        Some(Ok(Datum::Interval(value))) => Ok(Datum::Interval(value)),
        // What matters of a number is its sign.
        Some(Ok(Datum::Numeric(value))) => {
            let value = value.decode();
            Ok(Datum::Int(if value.is_negative() || value.is_nan() { -1 } else { 1 }))
        }
        Some(Err(error)) => Err(from_eval(error)),
        _ => Err(Error::unsupported(format!("this argument of {name}"))),
    }
}

fn is_negative(datum: Datum<'_>) -> bool {
    match datum {
        Datum::Int(value) => value < 0,
        Datum::Float8(_) => datum < Datum::float8(0.0) || datum.unwrap_float8().is_nan(),
        Datum::Interval(interval) => interval.key() < 0,
        _ => false,
    }
}

/// Refuses frames that end before they start. Errors: 42P20.
fn check_bounds(frame: &WindowFrame) -> Result<(), Error> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    match (&frame.start_bound, &frame.end_bound) {
        (Following(None), _) => Err(windowing("frame start cannot be UNBOUNDED FOLLOWING")),
        (_, Some(Preceding(None))) => Err(windowing("frame end cannot be UNBOUNDED PRECEDING")),
        (Following(_), None) => Err(windowing("frame starting from following row cannot end with current row")),
        (CurrentRow, Some(Preceding(_))) => {
            Err(windowing("frame starting from current row cannot have preceding rows"))
        }
        (Following(_), Some(Preceding(_) | CurrentRow)) => {
            Err(windowing("frame starting from following row cannot have preceding rows"))
        }
        _ => Ok(()),
    }
}
