//! Set-returning functions in a SELECT list: each row becomes as many as the longest set has, shorter sets give NULLs.
//!
//! A call inside another's arguments is expanded first. All calls of one height (the greatest number of calls inside each
//! other below) advance together, as in PostgreSQL.

use expr::TableFunc;
use repr::{ColumnType, ScalarType};

use super::QueryContext;
use super::coerce::Planned;
use super::function::record;
use crate::error::Error;
use crate::hir::{HirRelation, HirScalar};

/// One call in a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SetCall {
    func: TableFunc,
    pub(super) args: Vec<HirScalar>,
    /// Names of the fields, if there are several.
    names: Vec<String>,
    height: usize,
}

pub(super) fn not_allowed_in(place: &str) -> Error {
    Error::new("0A000", format!("set-returning functions are not allowed in {place}"))
        .with_hint("You might be able to move the set-returning function into a LATERAL FROM item.")
}

impl QueryContext<'_> {
    /// A call of the table function `name` in an expression. Errors: 0A000 where rows cannot multiply.
    pub(super) fn set_returning(&mut self, name: &str, args: Vec<Planned>) -> Result<Planned, Error> {
        match self.levels.last() {
            Some(level) if level.in_aggregate => {
                let message = "aggregate function calls cannot contain set-returning function calls";
                return Err(Error::new("0A000", message)
                    .with_hint("You might be able to move the set-returning function into a LATERAL FROM item."));
            }
            Some(level) if level.clause.admits_sets() => {}
            Some(level) => {
                let message = format!("set-returning functions are not allowed in {}", level.clause.name());
                return Err(Error::new("0A000", message));
            }
            None => return Err(Error::new("0A000", "set-returning functions are not allowed here")),
        }
        let call = self.table_call(name, args)?;
        let mut height = 0;
        for arg in &call.args {
            arg.any(&mut |scalar| {
                if let HirScalar::SetReturning(place) = scalar
                    && let Some(level) = self.levels.last()
                {
                    height = height.max(level.sets[*place].height + 1);
                }
                false
            });
        }
        let columns = call.func.output_types();
        let typ = match &columns[..] {
            [column] => column.scalar.clone(),
            _ => record_type(&call.names, &columns),
        };
        let set = SetCall { func: call.func, args: call.args, names: call.names, height };
        let sets = &mut self.level().sets;
        let place = sets.iter().position(|other| *other == set).unwrap_or_else(|| {
            sets.push(set);
            sets.len() - 1
        });
        Ok(Planned::typed(HirScalar::SetReturning(place), typ))
    }
}

fn record_type(names: &[String], columns: &[ColumnType]) -> ScalarType {
    let field = |column: &ColumnType| ColumnType { scalar: column.scalar.clone(), nullable: true };
    ScalarType::Record(names.iter().zip(columns).map(|(name, column)| (name.clone(), field(column))).collect())
}

/// Expands `sets` over `relation`, which has `arity` columns, and makes the calls in `outputs` columns of the result.
pub(super) fn expand(
    mut relation: HirRelation,
    mut arity: usize,
    sets: Vec<SetCall>,
    outputs: &mut [HirScalar],
) -> Result<(HirRelation, usize), Error> {
    // For each call what stands for it, once it is expanded.
    let mut values: Vec<Option<HirScalar>> = vec![None; sets.len()];
    let highest = sets.iter().map(|set| set.height).max().unwrap_or_default();
    for height in 0..=highest {
        let mut calls = Vec::new();
        let mut args = Vec::new();
        let mut columns = Vec::new();
        let mut places = Vec::new();
        for (place, set) in sets.iter().enumerate().filter(|(_, set)| set.height == height) {
            let mut set = set.clone();
            for arg in &mut set.args {
                replace(arg, 0, &values);
            }
            let types = set.func.output_types();
            places.push((place, value(&set, &types, arity + columns.len())?));
            columns.extend(types);
            calls.push((set.func, set.args.len()));
            args.append(&mut set.args);
        }
        let func = match calls.len() {
            1 => calls.remove(0).0,
            _ => {
                columns.iter_mut().for_each(|column| column.nullable = true);
                TableFunc::Lockstep(calls)
            }
        };
        arity += columns.len();
        relation = HirRelation::FlatMap { input: Box::new(relation), func, args, columns };
        for (place, value) in places {
            values[place] = Some(value);
        }
    }
    for output in outputs {
        replace(output, 0, &values);
    }
    Ok((relation, arity))
}

/// What a call comes to: its one column, or its columns from `from` on as a record.
fn value(set: &SetCall, columns: &[ColumnType], from: usize) -> Result<HirScalar, Error> {
    if let [_] = columns {
        return Ok(HirScalar::column(from));
    }
    let field = |(place, (name, column)): (usize, (&String, &ColumnType))| {
        (name.clone(), HirScalar::column(from + place), column.scalar.clone())
    };
    let (scalar, _) = record(set.names.iter().zip(columns).enumerate().map(field).collect())?;
    Ok(scalar)
}

fn replace(scalar: &mut HirScalar, depth: usize, values: &[Option<HirScalar>]) {
    match scalar {
        HirScalar::SetReturning(place) => {
            let mut value = values[*place].clone().expect("lower calls are expanded before higher ones");
            value.shift_in(depth);
            *scalar = value;
        }
        HirScalar::Exists(relation) | HirScalar::Select(relation) => {
            relation.visit_scalars_mut(depth + 1, &mut |scalar, depth| replace(scalar, depth, values));
        }
        HirScalar::Quantified { relation, predicate, .. } => {
            relation.visit_scalars_mut(depth + 1, &mut |scalar, depth| replace(scalar, depth, values));
            replace(predicate, depth + 1, values);
        }
        other => other.children_mut().into_iter().for_each(|child| replace(child, depth, values)),
    }
}
