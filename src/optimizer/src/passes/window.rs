//! Filters over window functions.
//!
//! A filter on the partition's keys moves below them: a partition stays or goes as a whole. And where row numbers are asked to
//! be small, only the first rows of each partition are numbered.
//!
//! ```text
//! Filter (row_number <= k)                     Filter (row_number <= k)
//!   FlatMap unnest                               FlatMap unnest
//!     Reduce window[row_number]         ──▶        Reduce window[row_number]
//!       input                                        TopK limit=k, in the window's order
//!                                                      input
//! ```
//!
//! The rows left out have greater numbers, and the numbers of the others do not depend on them. A partition then costs what
//! a TopK costs, however large it is. Only where all calls are `row_number`: others may look at any row.

use expr::aggregate::WindowFunc;
use std::ops::Range;

use expr::{AggregateFunc, ColumnOrder, Mfp, Relation, Scalar, TableFunc};
use repr::{ColumnBounds, Datum, Kind, Row};

pub(crate) fn push_into_partitions(relation: &mut Relation) {
    relation.visit_mut_pre(&mut |node| {
        push_partition_filter(node);
        limit_row_numbers(node);
    });
}

/// Moves predicates on fields that are keys of the partition below the window.
fn push_partition_filter(node: &mut Relation) {
    if let Relation::Filter { input, predicates } = node
        && let Relation::FlatMap { input: listed, func: TableFunc::UnnestRecords(_), .. } = &mut **input
        && let Relation::Reduce { input: rows, group_key, aggregates, .. } = &mut **listed
        && let [aggregate] = &aggregates[..]
        && let AggregateFunc::Window(window) = &aggregate.func
        && let Some(fields) = fields_of(&aggregate.expr)
        && !fields.iter().chain(&*group_key).any(Scalar::could_error)
    {
        let first = group_key.len() + 1;
        let key_of = |column: usize| {
            let field = fields.get(column.checked_sub(first)?).filter(|_| column < first + window.kept)?;
            group_key.contains(field).then_some(field)
        };
        let (moved, kept): (Vec<Scalar>, Vec<Scalar>) = std::mem::take(predicates).into_iter().partition(|predicate| {
            let support = predicate.support();
            let on_keys = !support.is_empty() && support.iter().all(|column| key_of(*column).is_some());
            on_keys && !predicate.could_error() && !predicate.contains_mz_now()
        });
        let below = moved.into_iter().map(|mut predicate| {
            let last = predicate.support().last().map_or(0, |last| last + 1);
            let columns: Vec<Scalar> =
                (0..last).map(|column| key_of(column).cloned().unwrap_or(Scalar::Column(column))).collect();
            predicate.substitute(&columns);
            predicate
        });
        let below: Vec<Scalar> = below.collect();
        if !below.is_empty() {
            **rows = rows.take_dangerous().filter(below);
        }
        *predicates = kept;
    }
}

/// The fields of the record that a window's rows are.
fn fields_of(record: &Scalar) -> Option<&[Scalar]> {
    match record {
        Scalar::Call { func, args, .. } if func.key == "row" => Some(args),
        _ => None,
    }
}

fn limit_row_numbers(node: &mut Relation) {
    if let Relation::Filter { input, predicates } = node
        && let Relation::FlatMap { input: numbered, func: TableFunc::UnnestRecords(columns), .. } = &mut **input
        && let Relation::Reduce { input: rows, group_key, aggregates, .. } = &mut **numbered
        && let [aggregate] = &mut aggregates[..]
        && let AggregateFunc::Window(window) = &aggregate.func
        && window.calls.iter().all(|call| call.func == WindowFunc::RowNumber)
    {
        let first = group_key.len() + 1 + columns.len() - window.calls.len();
        let numbers = first..first + window.calls.len();
        let exact = predicates.iter().filter_map(|predicate| greatest(predicate, &|column| numbers.contains(&column)));
        let limits = exact.chain(greatest_within(predicates, numbers.clone()));
        if let Some(limit) = limits.min() {
            let order = window.order_by.clone();
            take_first(rows, group_key, &mut aggregate.expr, &order, limit);
        }
    }
}

/// The greatest numbers that the predicates leave possible, also where they compare them as something else.
fn greatest_within(predicates: &[Scalar], numbers: Range<usize>) -> Option<u64> {
    let key: Vec<Scalar> = numbers.map(Scalar::Column).collect();
    let filter = Mfp::from_map_filter_project(Vec::new(), Vec::new(), predicates.to_vec(), Vec::new());
    let bounds = filter.bounds_on(&key);
    let greatest = |bounds: &ColumnBounds| {
        let highs: Option<Vec<u64>> = bounds.ranges.iter().map(|range| as_limit(range.high.as_deref()?)).collect();
        highs.map(|highs| highs.into_iter().max().unwrap_or(0))
    };
    bounds.iter().filter_map(|(_, bounds)| greatest(bounds)).min()
}

/// A packed number as a limit.
fn as_limit(packed: &[u8]) -> Option<u64> {
    let number = Row::from_bytes(packed).unpack_first(Kind::Int).unwrap_int();
    Some(u64::try_from(number).unwrap_or(0))
}

/// The greatest value that a wanted column may have if the predicate is true.
fn greatest(predicate: &Scalar, wanted: &dyn Fn(usize) -> bool) -> Option<u64> {
    let Scalar::Call { func, args, .. } = predicate else { return None };
    let [left, right] = &args[..] else { return None };
    let (key, column, literal) = match (left, right) {
        (Scalar::Column(column), literal) => (func.name, *column, literal),
        (literal, Scalar::Column(column)) => {
            let turned = match func.name {
                ">" => "<",
                ">=" => "<=",
                "=" => "=",
                _ => return None,
            };
            (turned, *column, literal)
        }
        _ => return None,
    };
    let Some(Ok(Datum::Int(bound))) = literal.as_literal().filter(|_| wanted(column)) else { return None };
    let greatest = match key {
        "<" => bound.checked_sub(1)?,
        "<=" | "=" => bound,
        _ => return None,
    };
    Some(u64::try_from(greatest).unwrap_or(0))
}

/// Keeps the first `limit` rows of each group, by `order` over the fields of `record`; equal rows by all fields, as the window
/// breaks ties. The input then has a column for each key and field.
fn take_first(rows: &mut Relation, group_key: &mut [Scalar], record: &mut Scalar, order: &[ColumnOrder], limit: u64) {
    let Scalar::Call { func, args: fields, .. } = record else { return };
    if func.key != "row" {
        return;
    }
    if let Relation::TopK { limit: Some(known), .. } = rows
        && *known <= limit
    {
        return;
    }
    let keys = group_key.len();
    let columns: Vec<Scalar> = group_key.iter().chain(&*fields).cloned().collect();
    let count = columns.len();
    let by_order = order.iter().map(|order| ColumnOrder { column: keys + order.column, ..order.clone() });
    let by_bytes = (keys..count).map(|column| ColumnOrder { column, desc: false, nulls_last: true });
    let order = by_order.chain(by_bytes).collect();
    let arity = rows.arity();
    *rows = rows.take_dangerous().map(columns).project((arity..arity + count).collect()).top_k(
        (0..keys).collect(),
        order,
        Some(limit),
        0,
    );
    group_key.iter_mut().enumerate().for_each(|(place, key)| *key = Scalar::Column(place));
    fields.iter_mut().enumerate().for_each(|(place, field)| *field = Scalar::Column(keys + place));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expr::aggregate::{Window, WindowCall, WindowFrame, output_type};
    use expr::{Aggregate, Collection, interpret};
    use repr::{CollectionId, Diff, RelationType, ScalarType};

    use super::*;

    fn rows() -> Relation {
        let columns = vec![ScalarType::Int8.nullable(), ScalarType::Int8.nullable()];
        Relation::get_global(CollectionId::User(1), RelationType::new(columns))
    }

    /// Both columns and the row's number by the second one, in partitions by the first.
    fn numbered() -> Relation {
        let typ = ScalarType::Int8.not_null();
        let call = WindowCall { func: WindowFunc::RowNumber, frame: WindowFrame::default(), typ };
        let order_by = vec![ColumnOrder { column: 1, desc: true, nulls_last: false }];
        let window = Window { order_by, kept: 2, calls: vec![call] };
        let field = (String::new(), ScalarType::Int8.nullable());
        let arg_type = ScalarType::Record(vec![field.clone(), field]);
        let columns = window.columns(&arg_type);
        let func = AggregateFunc::Window(Box::new(window));
        assert_eq!(output_type(&func, &arg_type).kind(), repr::Kind::List);
        let record = expr::func::by_key("row").expect("the table has it");
        let types = vec![ScalarType::Int8; 2];
        let expr = Scalar::call(record, vec![Scalar::Column(0), Scalar::Column(1)], types, arg_type.clone());
        let aggregate = Aggregate { func, expr, arg_type, distinct: false };
        rows()
            .reduce(vec![Scalar::Column(0)], vec![aggregate])
            .flat_map(TableFunc::UnnestRecords(columns), vec![Scalar::Column(1)])
    }

    fn compare(symbol: &str, column: usize, bound: i64) -> Scalar {
        let bound = Scalar::literal(Datum::Int(bound), ScalarType::Int8);
        Scalar::compare(symbol, Scalar::Column(column), bound, ScalarType::Int8)
    }

    /// The filtered relation after the pass, which has the same rows as before.
    fn pushed(predicates: Vec<Scalar>) -> Relation {
        let before = numbered().filter(predicates);
        let mut after = before.clone();
        push_into_partitions(&mut after);
        push_into_partitions(&mut after);
        expr::relation::typecheck(&after).expect("well formed");
        let datums = [(Some(1), Some(5)), (Some(1), Some(7)), (Some(1), None), (None, Some(2)), (Some(2), Some(2))];
        let datum = |value: Option<i64>| value.map_or(Datum::Null, Datum::Int);
        let rows = datums.map(|(left, right)| (Row::pack([datum(left), datum(right)]), Diff::new(2)));
        let data = BTreeMap::from([(CollectionId::User(1), Collection::from_rows(rows))]);
        // The list beside the rows is another; nobody looks at it.
        let rows = |relation: &Relation| interpret(&relation.clone().project(vec![2, 3, 4]), &data);
        assert_eq!(rows(&before), rows(&after));
        after
    }

    fn limits(relation: &Relation) -> Vec<u64> {
        let mut limits = Vec::new();
        relation.visit_pre(&mut |node| {
            if let Relation::TopK { limit: Some(limit), .. } = node {
                limits.push(*limit);
            }
        });
        limits
    }

    #[test]
    fn small_row_numbers_need_only_the_first_rows() {
        assert_eq!(limits(&pushed(vec![compare("<=", 4, 3)])), [3]);
        assert_eq!(limits(&pushed(vec![compare("<", 4, 3), compare(">", 4, 1)])), [2]);
        assert_eq!(limits(&pushed(vec![compare("=", 4, 1)])), [1]);
        assert_eq!(limits(&pushed(vec![compare("<", 4, -5)])), [0]);
        assert_eq!(limits(&pushed(vec![compare(">", 4, 3)])), [] as [u64; 0]);
        let any = Scalar::Or(vec![compare("=", 4, 1), compare("=", 4, 3)]);
        assert_eq!(limits(&pushed(vec![any])), [3]);
        let number = |text: &str| {
            let number = repr::numeric::Numeric::parse(text).expect("a number");
            Scalar::literal(Datum::Numeric(number.pack(&repr::Arena::new())), ScalarType::Numeric(None))
        };
        let (from, to) = (ScalarType::Int8, ScalarType::Numeric(None));
        let cast = expr::cast::cast(Scalar::Column(4), &from, &to, expr::cast::CastContext::Implicit);
        let below = Scalar::compare("<", cast.expect("a cast"), number("2.5"), to);
        assert_eq!(limits(&pushed(vec![below])), [2]);
        assert_eq!(limits(&pushed(vec![compare("<=", 3, 3)])), [] as [u64; 0]);
    }

    #[test]
    fn filters_on_the_partition_move_below_it() {
        let after = pushed(vec![compare("=", 2, 1), compare("<=", 4, 2)]);
        assert_eq!(limits(&after), [2]);
        let mut filtered = false;
        after.visit_pre(&mut |node| {
            filtered |= matches!(node, Relation::Filter { input, .. } if matches!(**input, Relation::Get { .. }));
        });
        assert!(filtered, "{}", after.pretty());
        // A filter on another column decides row by row, after the rows were numbered.
        let after = pushed(vec![compare("<=", 3, 5)]);
        assert!(matches!(after, Relation::Filter { .. }), "{}", after.pretty());
    }
}
