//! Window functions: every row of a partition with values that depend on the rows around it.
//!
//! A partition is one group. The argument of the aggregate is a record of what is to come out again, of what the calls look
//! at, and of the order keys; the result is a list of records, one for each row: its first fields, then the calls' values.
//!
//! ```text
//! (f1 .. fr | arguments, order keys)  ──▶  sorted  ──▶  [(f1 .. fr, call 1 .. call n), ...]
//! ```
//!
//! Rows are sorted by `order_by`, ties by the bytes of the whole record: the same partition always gives the same list,
//! whatever order its rows came in. Any change of a partition computes it anew.

mod frame;
mod over;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use repr::composite::pack_list;
use repr::{Arena, ColumnType, Datum, Diff, Kind, ScalarType};
use serde::{Deserialize, Serialize};

pub use self::frame::{Exclude, FrameBound, FrameUnits, WindowFrame};

use self::frame::Peers;
use super::AggregateFunc;
use crate::error::EvalError;
use crate::order::{self, ColumnOrder};

/// Rows of one partition at most.
const ROWS_MAX: usize = 16 << 20;

/// Bytes of one partition's result at most.
const RESULT_BYTES_MAX: usize = 1 << 30;

/// Window functions over the same partitions in the same order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Addresses the fields of the argument.
    pub order_by: Vec<ColumnOrder>,
    /// How many of the argument's first fields come out again.
    pub kept: usize,
    pub calls: Vec<WindowCall>,
}

/// One call. All numbers are fields of the argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowCall {
    pub func: WindowFunc,
    pub frame: WindowFrame,
    pub typ: ColumnType,
}

/// What a call computes for each row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WindowFunc {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile {
        buckets: usize,
    },
    Lag {
        value: usize,
        offset: usize,
        default: usize,
        ignore_nulls: bool,
    },
    Lead {
        value: usize,
        offset: usize,
        default: usize,
        ignore_nulls: bool,
    },
    FirstValue {
        value: usize,
        ignore_nulls: bool,
    },
    LastValue {
        value: usize,
        ignore_nulls: bool,
    },
    NthValue {
        value: usize,
        place: usize,
        ignore_nulls: bool,
    },
    /// An aggregate over the frame, in the window's order.
    Aggregate {
        func: AggregateFunc,
        argument: usize,
    },
}

impl WindowFunc {
    /// The SQL name.
    pub fn name(&self) -> &'static str {
        match self {
            WindowFunc::RowNumber => "row_number",
            WindowFunc::Rank => "rank",
            WindowFunc::DenseRank => "dense_rank",
            WindowFunc::PercentRank => "percent_rank",
            WindowFunc::CumeDist => "cume_dist",
            WindowFunc::Ntile { .. } => "ntile",
            WindowFunc::Lag { .. } => "lag",
            WindowFunc::Lead { .. } => "lead",
            WindowFunc::FirstValue { .. } => "first_value",
            WindowFunc::LastValue { .. } => "last_value",
            WindowFunc::NthValue { .. } => "nth_value",
            WindowFunc::Aggregate { func, .. } => func.name(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.calls.iter().map(|call| call.func.name()).collect();
        write!(f, "window[{}]", names.join(", "))
    }
}

impl Window {
    /// The fields of the records that come out.
    pub fn columns(&self, arg_type: &ScalarType) -> Vec<ColumnType> {
        let fields: &[(String, ColumnType)] = match arg_type {
            ScalarType::Record(fields) => fields,
            _ => &[],
        };
        let kept = fields.iter().take(self.kept).map(|(_, column)| column.clone());
        kept.chain(self.calls.iter().map(|call| call.typ.clone())).collect()
    }

    /// The type of the result.
    pub(super) fn output_type(&self, arg_type: &ScalarType) -> ScalarType {
        let fields = self.columns(arg_type).into_iter().enumerate();
        let fields = fields.map(|(place, column)| (format!("f{}", place + 1), column)).collect();
        ScalarType::List(Box::new(ScalarType::Record(fields)))
    }
}

/// The rows of one partition in order.
struct Partition<'a, 'w> {
    window: &'w Window,
    fields: &'w [(String, ColumnType)],
    rows: Vec<Vec<Datum<'a>>>,
    peers: Peers,
}

/// The list of one partition's rows with their values.
pub(super) fn evaluate<'a>(
    window: &Window,
    arg_type: &ScalarType,
    counts: BTreeMap<Datum<'a>, Diff>,
    arena: &'a Arena,
) -> Result<Datum<'a>, EvalError> {
    let ScalarType::Record(fields) = arg_type else { panic!("a window takes a record, not {arg_type:?}") };
    let rows = sorted(window, counts)?;
    let peers = Peers::new(rows.len(), |left, right| compare(window, &rows[left], &rows[right]) == Ordering::Equal);
    let partition = Partition { window, fields, rows, peers };
    let mut values = Vec::with_capacity(window.calls.len());
    for call in &window.calls {
        values.push(partition.call(call, arena)?);
    }
    partition.pack(&values, arena)
}

fn compare(window: &Window, left: &[Datum<'_>], right: &[Datum<'_>]) -> Ordering {
    order::compare(&window.order_by, left, right)
}

/// The rows in order, each as often as it occurs. The map has them in the order of their bytes, and the sort is stable.
fn sorted<'a>(window: &Window, counts: BTreeMap<Datum<'a>, Diff>) -> Result<Vec<Vec<Datum<'a>>>, EvalError> {
    let mut distinct: Vec<(Vec<Datum<'a>>, usize)> = Vec::with_capacity(counts.len());
    let mut total = 0usize;
    for (datum, count) in counts {
        let count = usize::try_from(count.get()).map_err(|_| too_large())?;
        total = total.saturating_add(count);
        if total > ROWS_MAX {
            return Err(too_large());
        }
        distinct.push((datum.unwrap_list().elements(), count));
    }
    distinct.sort_by(|(left, _), (right, _)| compare(window, left, right));
    Ok(distinct.into_iter().flat_map(|(fields, count)| std::iter::repeat_n(fields, count)).collect())
}

fn too_large() -> EvalError {
    EvalError::new("54000", "partition of a window function is too large")
        .with_hint("A partition is computed anew when a row of it changes; partition by more columns.")
}

impl<'a> Partition<'a, '_> {
    /// The values of one call, row by row.
    fn call(&self, call: &WindowCall, arena: &'a Arena) -> Result<Vec<Datum<'a>>, EvalError> {
        let count = self.rows.len();
        let each = |value: &dyn Fn(usize) -> Datum<'a>| Ok((0..count).map(value).collect());
        let int = |value: usize| Datum::Int(value as i64);
        match &call.func {
            WindowFunc::RowNumber => each(&|row| int(row + 1)),
            WindowFunc::Rank => each(&|row| int(self.peers.of(row).start + 1)),
            WindowFunc::DenseRank => each(&|row| int(self.peers.group(row) + 1)),
            WindowFunc::PercentRank => each(&|row| {
                Datum::float8(if count <= 1 { 0.0 } else { self.peers.of(row).start as f64 / (count - 1) as f64 })
            }),
            WindowFunc::CumeDist => each(&|row| Datum::float8(self.peers.of(row).end as f64 / count as f64)),
            WindowFunc::Ntile { buckets } => self.ntile(*buckets),
            WindowFunc::Lag { value, offset, default, ignore_nulls } => {
                Ok(self.shifted(*value, *offset, *default, *ignore_nulls, -1))
            }
            WindowFunc::Lead { value, offset, default, ignore_nulls } => {
                Ok(self.shifted(*value, *offset, *default, *ignore_nulls, 1))
            }
            WindowFunc::FirstValue { value, ignore_nulls } => Ok(self.of_frame(call, |frame| {
                frame.iter().map(|row| self.rows[row][*value]).find(|value| !*ignore_nulls || !value.is_null())
            })),
            WindowFunc::LastValue { value, ignore_nulls } => Ok(self.of_frame(call, |frame| {
                frame.iter_back().map(|row| self.rows[row][*value]).find(|value| !*ignore_nulls || !value.is_null())
            })),
            WindowFunc::NthValue { value, place, ignore_nulls } => self.nth_value(call, *value, *place, *ignore_nulls),
            WindowFunc::Aggregate { func, argument } => self.aggregate(call, func, *argument, arena),
        }
    }

    /// One value for each row, of its frame; NULL where there is none.
    fn of_frame(&self, call: &WindowCall, value: impl Fn(&frame::RowRanges) -> Option<Datum<'a>>) -> Vec<Datum<'a>> {
        (0..self.rows.len()).map(|row| value(&self.frame(call, row)).unwrap_or(Datum::Null)).collect()
    }

    fn frame(&self, call: &WindowCall, row: usize) -> frame::RowRanges {
        let order = self.window.order_by.first();
        frame::rows(&call.frame, order, &self.rows, &self.peers, row)
    }

    /// Rows in as many buckets as the first row says, the first buckets larger by one where they do not come out even.
    fn ntile(&self, buckets: usize) -> Result<Vec<Datum<'a>>, EvalError> {
        let mut values = Vec::with_capacity(self.rows.len());
        let mut known: Option<i64> = None;
        let total = self.rows.len() as i64;
        for (row, fields) in self.rows.iter().enumerate() {
            let count = match known {
                Some(count) => count,
                None if fields[buckets].is_null() => {
                    values.push(Datum::Null);
                    continue;
                }
                None => {
                    let count = fields[buckets].unwrap_int();
                    if count <= 0 {
                        return Err(EvalError::new("22014", "argument of ntile must be greater than zero"));
                    }
                    *known.insert(count)
                }
            };
            let (size, larger) = (total / count, total % count);
            let row = row as i64;
            let bucket = if row < larger * (size + 1) { row / (size + 1) } else { (row - larger) / size.max(1) };
            values.push(Datum::Int(bucket + 1));
        }
        Ok(values)
    }

    /// The value so many rows before (`direction` -1) or behind (1) each row; of rows with a value, if NULLs are ignored.
    fn shifted(
        &self,
        value: usize,
        offset: usize,
        default: usize,
        ignore_nulls: bool,
        direction: i64,
    ) -> Vec<Datum<'a>> {
        let of_row = |(row, fields): (usize, &Vec<Datum<'a>>)| {
            if fields[offset].is_null() {
                return Datum::Null;
            }
            let distance = fields[offset].unwrap_int().saturating_mul(direction);
            let found = match ignore_nulls {
                false => (row as i64).checked_add(distance).and_then(|place| usize::try_from(place).ok()),
                true => self.with_value(value, row, distance),
            };
            found.and_then(|place| self.rows.get(place)).map_or(fields[default], |fields| fields[value])
        };
        self.rows.iter().enumerate().map(of_row).collect()
    }

    /// The row with a value that is so many such rows away.
    fn with_value(&self, value: usize, row: usize, distance: i64) -> Option<usize> {
        let has_value = |place: &usize| !self.rows[*place][value].is_null();
        let steps = usize::try_from(distance.unsigned_abs()).ok()?;
        match (steps, distance < 0) {
            (0, _) => Some(row),
            (steps, true) => (0..row).rev().filter(has_value).nth(steps - 1),
            (steps, false) => (row + 1..self.rows.len()).filter(has_value).nth(steps - 1),
        }
    }

    fn nth_value(
        &self,
        call: &WindowCall,
        value: usize,
        place: usize,
        ignore_nulls: bool,
    ) -> Result<Vec<Datum<'a>>, EvalError> {
        let mut values = Vec::with_capacity(self.rows.len());
        for (row, fields) in self.rows.iter().enumerate() {
            if fields[place].is_null() {
                values.push(Datum::Null);
                continue;
            }
            let wanted = usize::try_from(fields[place].unwrap_int()).ok().and_then(|nth| nth.checked_sub(1));
            let Some(wanted) = wanted else {
                return Err(EvalError::new("22016", "argument of nth_value must be greater than zero"));
            };
            let frame = self.frame(call, row);
            let mut found = frame.iter().map(|row| self.rows[row][value]);
            let found = match ignore_nulls {
                false => found.nth(wanted),
                true => found.filter(|value| !value.is_null()).nth(wanted),
            };
            values.push(found.unwrap_or(Datum::Null));
        }
        Ok(values)
    }

    /// The list of records.
    fn pack(&self, values: &[Vec<Datum<'a>>], arena: &'a Arena) -> Result<Datum<'a>, EvalError> {
        let kinds: Vec<Kind> = self.fields.iter().map(|(_, column)| column.scalar.kind()).collect();
        let results: Vec<Kind> = self.window.calls.iter().map(|call| call.typ.scalar.kind()).collect();
        let mut records = Vec::with_capacity(self.rows.len());
        let mut bytes = 0usize;
        for (row, fields) in self.rows.iter().enumerate() {
            let kept = fields.iter().zip(&kinds).take(self.window.kept).map(|(datum, kind)| (*datum, *kind));
            let calls = values.iter().zip(&results).map(|(values, kind)| (values[row], *kind));
            let record = pack_list(&kept.chain(calls).collect::<Vec<_>>());
            bytes += record.len_bytes();
            if bytes > RESULT_BYTES_MAX {
                return Err(too_large());
            }
            records.push((crate::datum_in(&record, Kind::List, arena), Kind::List));
        }
        Ok(crate::datum_in(&pack_list(&records), Kind::List, arena))
    }
}
