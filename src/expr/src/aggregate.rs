//! Aggregate functions over the rows of one group.

mod list;
mod ordered_set;
mod statistics;
mod window;

use std::collections::BTreeMap;
use std::fmt;

use repr::{Arena, Datum, Diff, Kind, ScalarType};
use serde::{Deserialize, Serialize};

pub use self::ordered_set::Standing;
pub use self::statistics::Regression;
pub use self::window::{Exclude, FrameBound, FrameUnits, Window, WindowCall, WindowFrame, WindowFunc};

use crate::accumulate::Accumulator;
use crate::error::EvalError;
use crate::order::ColumnOrder;
use crate::relation::order_text;
use crate::scalar::{Scalar, ScalarDisplay};

/// One aggregate of a Reduce.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    pub func: AggregateFunc,
    /// The argument; for several (`string_agg(x, sep)`, or an ORDER BY inside) see the function.
    pub expr: Scalar,
    /// The argument's type.
    pub arg_type: ScalarType,
    /// Aggregates each distinct argument once.
    pub distinct: bool,
}

/// What an aggregate computes. NULL arguments are skipped except where said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AggregateFunc {
    /// `count(*)` and `count(x)`: rows whose argument is not NULL (`count(*)` has the argument `true`).
    Count,
    /// Exact; NULL over no rows. The result type is PostgreSQL's: int2/int4 give int8, int8 gives numeric.
    Sum,
    /// Quotient of the exact sum and the count; integers give numeric, floats double precision.
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    StddevSamp,
    StddevPop,
    VarSamp,
    VarPop,
    /// Three-valued `op ANY`: true if any true, else NULL if any NULL, else false; false over no rows. NULLs count.
    AnyThree,
    /// Three-valued `op ALL`: the dual; true over no rows. NULLs count.
    AllThree,
    /// The argument is a record (value, separator, order keys...); rows with NULL value are skipped.
    /// `order_by` addresses the fields of that record; ties are broken by the codec order of the whole record.
    StringAgg {
        order_by: Vec<ColumnOrder>,
    },
    /// The argument is a record (value, order keys...); NULL values are kept.
    ArrayAgg {
        order_by: Vec<ColumnOrder>,
    },
    ListAgg {
        order_by: Vec<ColumnOrder>,
    },
    JsonbAgg {
        order_by: Vec<ColumnOrder>,
    },
    /// The argument is a record (key, value, order keys...).
    JsonbObjectAgg {
        order_by: Vec<ColumnOrder>,
    },
    /// The argument is a record (key, value, order keys...); rows with NULL key are skipped, the last of equal keys wins.
    MapAgg {
        order_by: Vec<ColumnOrder>,
    },
    /// Bit by bit over integers.
    BitAnd,
    BitOr,
    BitXor,
    /// The argument is a record (Y, X) of double precision.
    Regression(Regression),
    /// The argument is a record (value, fraction or array of fractions, order key); rows with NULL value are skipped.
    PercentileDisc {
        order_by: Vec<ColumnOrder>,
    },
    /// As [`AggregateFunc::PercentileDisc`], between the values; they are double precision or intervals.
    PercentileCont {
        order_by: Vec<ColumnOrder>,
    },
    /// The argument is a record (value, order key).
    Mode {
        order_by: Vec<ColumnOrder>,
    },
    /// The argument is a record (values..., the values of the row that is asked for...).
    Hypothetical {
        standing: Standing,
        order_by: Vec<ColumnOrder>,
    },
    /// All rows of the group with the values of window functions, as one list.
    Window(Box<Window>),
}

impl AggregateFunc {
    /// The SQL name.
    pub fn name(&self) -> &'static str {
        match self {
            AggregateFunc::Count => "count",
            AggregateFunc::Sum => "sum",
            AggregateFunc::Avg => "avg",
            AggregateFunc::Min => "min",
            AggregateFunc::Max => "max",
            AggregateFunc::BoolAnd => "bool_and",
            AggregateFunc::BoolOr => "bool_or",
            AggregateFunc::StddevSamp => "stddev_samp",
            AggregateFunc::StddevPop => "stddev_pop",
            AggregateFunc::VarSamp => "var_samp",
            AggregateFunc::VarPop => "var_pop",
            AggregateFunc::AnyThree => "any",
            AggregateFunc::AllThree => "all",
            AggregateFunc::StringAgg { .. } => "string_agg",
            AggregateFunc::ArrayAgg { .. } => "array_agg",
            AggregateFunc::ListAgg { .. } => "list_agg",
            AggregateFunc::JsonbAgg { .. } => "jsonb_agg",
            AggregateFunc::JsonbObjectAgg { .. } => "jsonb_object_agg",
            AggregateFunc::MapAgg { .. } => "map_agg",
            AggregateFunc::BitAnd => "bit_and",
            AggregateFunc::BitOr => "bit_or",
            AggregateFunc::BitXor => "bit_xor",
            AggregateFunc::Regression(regression) => regression.name(),
            AggregateFunc::PercentileDisc { .. } => "percentile_disc",
            AggregateFunc::PercentileCont { .. } => "percentile_cont",
            AggregateFunc::Mode { .. } => "mode",
            AggregateFunc::Hypothetical { standing, .. } => standing.name(),
            AggregateFunc::Window(_) => "window",
        }
    }

    /// True if the result can be kept up to date by adding and subtracting [`Accumulator`](crate::accumulate::Accumulator)s.
    pub fn is_accumulable(&self) -> bool {
        matches!(
            self,
            AggregateFunc::Count
                | AggregateFunc::Sum
                | AggregateFunc::Avg
                | AggregateFunc::BoolAnd
                | AggregateFunc::BoolOr
                | AggregateFunc::StddevSamp
                | AggregateFunc::StddevPop
                | AggregateFunc::VarSamp
                | AggregateFunc::VarPop
                | AggregateFunc::AnyThree
                | AggregateFunc::AllThree
        )
    }

    /// True if the order in which the values come decides the result: the aggregates that make one value of all.
    pub fn keeps_order(&self) -> bool {
        matches!(
            self,
            AggregateFunc::StringAgg { .. }
                | AggregateFunc::ArrayAgg { .. }
                | AggregateFunc::ListAgg { .. }
                | AggregateFunc::JsonbAgg { .. }
                | AggregateFunc::JsonbObjectAgg { .. }
                | AggregateFunc::MapAgg { .. }
        )
    }

    /// True for min and max, which a tree of partial results can keep up to date.
    pub fn is_hierarchical(&self) -> bool {
        matches!(self, AggregateFunc::Min | AggregateFunc::Max)
    }

    /// The order of the argument's fields, of aggregates that have one.
    pub fn order_by(&self) -> &[ColumnOrder] {
        match self {
            AggregateFunc::StringAgg { order_by }
            | AggregateFunc::ArrayAgg { order_by }
            | AggregateFunc::ListAgg { order_by }
            | AggregateFunc::JsonbAgg { order_by }
            | AggregateFunc::JsonbObjectAgg { order_by }
            | AggregateFunc::MapAgg { order_by }
            | AggregateFunc::PercentileDisc { order_by }
            | AggregateFunc::PercentileCont { order_by }
            | AggregateFunc::Mode { order_by }
            | AggregateFunc::Hypothetical { order_by, .. } => order_by,
            AggregateFunc::Window(window) => &window.order_by,
            _ => &[],
        }
    }

    /// The value of a SQL aggregate over no rows at all: 0 for counts, false and true for ANY and ALL, the first place for
    /// hypothetical rows, NULL for all else.
    pub fn default_over_no_rows(&self) -> Datum<'static> {
        match self {
            AggregateFunc::Count | AggregateFunc::Regression(Regression::Count) => Datum::Int(0),
            AggregateFunc::Hypothetical { standing, .. } => standing.among_none(),
            AggregateFunc::AnyThree => Datum::FALSE,
            AggregateFunc::AllThree => Datum::TRUE,
            _ => Datum::Null,
        }
    }

    /// True if an argument that is NULL leaves the result as it is.
    pub fn skips_null(&self) -> bool {
        !matches!(
            self,
            AggregateFunc::AnyThree
                | AggregateFunc::AllThree
                | AggregateFunc::ArrayAgg { .. }
                | AggregateFunc::ListAgg { .. }
                | AggregateFunc::JsonbAgg { .. }
                | AggregateFunc::JsonbObjectAgg { .. }
                | AggregateFunc::Hypothetical { .. }
                | AggregateFunc::Window(_)
        )
    }
}

impl Aggregate {
    /// The aggregate printed with column names, as [`Scalar::display`] prints them.
    pub(crate) fn text(&self, names: &[String]) -> String {
        self.text_over(&self.expr.display(Some(names)))
    }

    /// The call, its columns printed by `column`.
    pub fn text_by(&self, column: &dyn Fn(usize) -> String) -> String {
        self.text_over(&self.expr.display_by(column))
    }

    fn text_over(&self, expr: &ScalarDisplay<'_>) -> String {
        let distinct = if self.distinct { "distinct " } else { "" };
        let star = self.func == AggregateFunc::Count && self.expr.is_literal_true();
        let expr = if star { "*".to_owned() } else { expr.to_string() };
        let call = match &self.func {
            AggregateFunc::Window(window) => format!("{window}({expr}"),
            func => format!("{}({distinct}{expr}", func.name()),
        };
        match self.func.order_by() {
            [] => call + ")",
            order => format!("{call} order by {})", order_text(order, &[])),
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&[]))
    }
}

/// The type of the first field of an aggregate's record argument.
fn first_field(arg_type: &ScalarType) -> &ScalarType {
    field(arg_type, 0)
}

/// The type of a field of an aggregate's record argument.
fn field(arg_type: &ScalarType, place: usize) -> &ScalarType {
    match arg_type {
        ScalarType::Record(fields) => fields.get(place).map_or(arg_type, |(_, field)| &field.scalar),
        other => other,
    }
}

/// The type of an aggregate's result; `arg_type` is the type of [`Aggregate::expr`].
pub fn output_type(func: &AggregateFunc, arg_type: &ScalarType) -> ScalarType {
    match func {
        AggregateFunc::Count => ScalarType::Int8,
        AggregateFunc::Sum => match arg_type {
            ScalarType::Int2 | ScalarType::Int4 => ScalarType::Int8,
            ScalarType::UInt2 | ScalarType::UInt4 => ScalarType::UInt8,
            ScalarType::Float4 | ScalarType::Float8 => arg_type.clone(),
            ScalarType::Interval(_) => ScalarType::Interval(None),
            _ => ScalarType::Numeric(None),
        },
        AggregateFunc::Avg
        | AggregateFunc::StddevSamp
        | AggregateFunc::StddevPop
        | AggregateFunc::VarSamp
        | AggregateFunc::VarPop => match arg_type {
            ScalarType::Float4 | ScalarType::Float8 => ScalarType::Float8,
            ScalarType::Interval(_) => ScalarType::Interval(None),
            _ => ScalarType::Numeric(None),
        },
        AggregateFunc::Min | AggregateFunc::Max => arg_type.clone(),
        AggregateFunc::BoolAnd | AggregateFunc::BoolOr | AggregateFunc::AnyThree | AggregateFunc::AllThree => {
            ScalarType::Bool
        }
        AggregateFunc::StringAgg { .. } => match first_field(arg_type) {
            ScalarType::Bytes => ScalarType::Bytes,
            _ => ScalarType::Text,
        },
        AggregateFunc::ArrayAgg { .. } => match first_field(arg_type) {
            array @ ScalarType::Array(_) => array.clone(),
            element => ScalarType::Array(Box::new(element.clone())),
        },
        AggregateFunc::ListAgg { .. } => ScalarType::List(Box::new(first_field(arg_type).clone())),
        AggregateFunc::JsonbAgg { .. } | AggregateFunc::JsonbObjectAgg { .. } => ScalarType::Jsonb,
        AggregateFunc::MapAgg { .. } => ScalarType::Map(Box::new(field(arg_type, 1).clone())),
        AggregateFunc::BitAnd | AggregateFunc::BitOr | AggregateFunc::BitXor => arg_type.clone(),
        AggregateFunc::Regression(Regression::Count) => ScalarType::Int8,
        AggregateFunc::Regression(_) => ScalarType::Float8,
        AggregateFunc::PercentileDisc { .. } | AggregateFunc::PercentileCont { .. } => match field(arg_type, 1) {
            ScalarType::Array(_) => ScalarType::Array(Box::new(first_field(arg_type).clone())),
            _ => first_field(arg_type).clone(),
        },
        AggregateFunc::Mode { .. } => first_field(arg_type).clone(),
        AggregateFunc::Hypothetical { standing, .. } => standing.returns(),
        AggregateFunc::Window(window) => window.output_type(arg_type),
    }
}

/// An aggregate function found by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSignature {
    /// Without an order.
    pub func: AggregateFunc,
    /// What the arguments are to be cast to. Those of `string_agg`, `array_agg`, `list_agg`, `jsonb_agg` and
    /// `jsonb_object_agg` are then packed into one record, the order keys behind them.
    pub args: Vec<ScalarType>,
    pub returns: ScalarType,
}

/// The aggregate function `name` for arguments of these types. `count(*)` has none, and is to be given `true`.
pub fn by_name(name: &str, args: &[ScalarType]) -> Option<AggregateSignature> {
    let signature = |func: AggregateFunc, args: &[ScalarType]| {
        let arg_type = match args {
            [only] if !is_record_aggregate(&func) => only.clone(),
            fields => {
                ScalarType::Record(fields.iter().map(|field| (String::new(), field.clone().nullable())).collect())
            }
        };
        let returns = output_type(&func, &arg_type);
        Some(AggregateSignature { func, args: args.to_vec(), returns })
    };
    let order_by = Vec::new();
    match (name, args) {
        ("count", []) => signature(AggregateFunc::Count, &[]),
        ("count", [_]) => signature(AggregateFunc::Count, args),
        ("sum", [arg]) if is_number(arg) || arg.is_interval() => signature(AggregateFunc::Sum, args),
        ("avg", [arg]) if is_number(arg) || arg.is_interval() => signature(AggregateFunc::Avg, args),
        ("stddev" | "stddev_samp", [arg]) if is_number(arg) => signature(AggregateFunc::StddevSamp, args),
        ("stddev_pop", [arg]) if is_number(arg) => signature(AggregateFunc::StddevPop, args),
        ("variance" | "var_samp", [arg]) if is_number(arg) => signature(AggregateFunc::VarSamp, args),
        ("var_pop", [arg]) if is_number(arg) => signature(AggregateFunc::VarPop, args),
        ("bool_and" | "every", [ScalarType::Bool]) => signature(AggregateFunc::BoolAnd, args),
        ("bool_or", [ScalarType::Bool]) => signature(AggregateFunc::BoolOr, args),
        ("min", [arg]) => signature(AggregateFunc::Min, &[orderable(arg)?]),
        ("max", [arg]) => signature(AggregateFunc::Max, &[orderable(arg)?]),
        ("string_agg", [ScalarType::Bytes, ScalarType::Bytes]) => {
            signature(AggregateFunc::StringAgg { order_by }, args)
        }
        ("string_agg", [value, separator]) if is_text(value) && is_text(separator) => {
            signature(AggregateFunc::StringAgg { order_by }, &[ScalarType::Text, ScalarType::Text])
        }
        ("array_agg", [_]) => signature(AggregateFunc::ArrayAgg { order_by }, args),
        ("list_agg", [_]) => signature(AggregateFunc::ListAgg { order_by }, args),
        ("jsonb_agg", [_]) => signature(AggregateFunc::JsonbAgg { order_by }, args),
        ("jsonb_object_agg", [_, _]) => signature(AggregateFunc::JsonbObjectAgg { order_by }, args),
        _ => None,
    }
}

/// The names [`by_name`] knows.
pub const NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "string_agg",
    "array_agg",
    "list_agg",
    "jsonb_agg",
    "jsonb_object_agg",
];

fn is_record_aggregate(func: &AggregateFunc) -> bool {
    matches!(
        func,
        AggregateFunc::StringAgg { .. }
            | AggregateFunc::ArrayAgg { .. }
            | AggregateFunc::ListAgg { .. }
            | AggregateFunc::JsonbAgg { .. }
            | AggregateFunc::JsonbObjectAgg { .. }
    )
}

fn is_number(typ: &ScalarType) -> bool {
    matches!(
        typ,
        ScalarType::Int2
            | ScalarType::Int4
            | ScalarType::Int8
            | ScalarType::UInt2
            | ScalarType::UInt4
            | ScalarType::UInt8
            | ScalarType::Float4
            | ScalarType::Float8
            | ScalarType::Numeric(_)
    )
}

fn is_text(typ: &ScalarType) -> bool {
    typ.kind() == Kind::Text
}

/// What min and max take a type as, if they take it.
fn orderable(typ: &ScalarType) -> Option<ScalarType> {
    match typ {
        ScalarType::Jsonb | ScalarType::Map(_) => None,
        ScalarType::Varchar(_) | ScalarType::Name | ScalarType::PgChar => Some(ScalarType::Text),
        other => Some(other.clone()),
    }
}

/// Evaluates an aggregate over the arguments of one group, each with a positive multiplicity; the group is not empty.
///
/// Errors: 22003 where the result is outside its type, 54000 where it is too large, XX001 for a multiplicity below zero.
pub fn evaluate<'a>(
    aggregate: &Aggregate,
    values: impl Iterator<Item = (Datum<'a>, Diff)>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let mut counts: BTreeMap<Datum<'a>, Diff> = BTreeMap::new();
    for (datum, diff) in values {
        let count = counts.entry(datum).or_insert(Diff::ZERO);
        *count = count.plus(diff);
    }
    counts.retain(|_, count| !count.is_zero());
    if counts.values().any(|count| count.is_invalid_count()) {
        return Err(EvalError::negative_multiplicity("aggregation"));
    }
    if aggregate.distinct {
        counts.values_mut().for_each(|count| *count = Diff::ONE);
    }
    let Aggregate { func, arg_type, .. } = aggregate;
    match func {
        AggregateFunc::Min => Ok(counts.keys().find(|datum| !datum.is_null()).copied().unwrap_or(Datum::Null)),
        AggregateFunc::Max => Ok(counts.keys().rfind(|datum| !datum.is_null()).copied().unwrap_or(Datum::Null)),
        _ if func.is_accumulable() => {
            let mut total = Accumulator::zero(func, arg_type);
            for (datum, count) in counts {
                let mut part = Accumulator::from_datum(func, arg_type, datum);
                part.times(count);
                total.plus_equals(&part);
            }
            total.finish(func, arg_type, arena)
        }
        AggregateFunc::BitAnd | AggregateFunc::BitOr | AggregateFunc::BitXor => Ok(bits(func, counts)),
        AggregateFunc::Regression(regression) => statistics::evaluate(*regression, counts.into_iter()),
        AggregateFunc::Window(window) => window::evaluate(window, arg_type, counts, arena),
        AggregateFunc::PercentileDisc { .. } | AggregateFunc::PercentileCont { .. } | AggregateFunc::Mode { .. } => {
            match list::ordered(func, arg_type, counts)? {
                rows if rows.is_empty() => Ok(Datum::Null),
                rows => ordered_set::evaluate(func, &rows, first_field(arg_type).kind(), arena),
            }
        }
        AggregateFunc::Hypothetical { standing, order_by } => match list::ordered(func, arg_type, counts)? {
            rows if rows.is_empty() => Ok(func.default_over_no_rows()),
            rows => Ok(ordered_set::standing(*standing, order_by, &rows)),
        },
        _ => list::evaluate(func, arg_type, counts, arena),
    }
}

/// As [`evaluate`], of an aggregate that keeps the order of its values, in the order in which they are given.
pub(crate) fn evaluate_in_order<'a>(
    func: &AggregateFunc,
    arg_type: &ScalarType,
    values: impl Iterator<Item = Datum<'a>>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    list::evaluate_in_order(func, arg_type, values, arena)
}

/// The bits of all values together; NULL if there are none.
fn bits<'a>(func: &AggregateFunc, counts: BTreeMap<Datum<'a>, Diff>) -> Datum<'a> {
    let unsigned = counts.keys().any(|datum| matches!(datum, Datum::UInt(_)));
    let bits_of = |(datum, count): (Datum<'_>, Diff)| match datum {
        // Of a pair of equal values nothing is left in an exclusive or.
        _ if *func == AggregateFunc::BitXor && count.get() % 2 == 0 => 0,
        Datum::UInt(value) => value,
        other => other.unwrap_int().cast_unsigned(),
    };
    let combine = |left: u64, right: u64| match func {
        AggregateFunc::BitAnd => left & right,
        AggregateFunc::BitOr => left | right,
        _ => left ^ right,
    };
    let values = counts.into_iter().filter(|(datum, _)| !datum.is_null());
    let Some(all) = values.map(bits_of).reduce(combine) else { return Datum::Null };
    if unsigned { Datum::UInt(all) } else { Datum::Int(all.cast_signed()) }
}

#[cfg(test)]
mod tests;
