//! How a one-off query gets its rows: without reading, by peeking at an index, or by a dataflow of its own.

use std::collections::BTreeMap;

use expr::interpret::{ROWS_MAX, interpret_unless, out_of_work};
use expr::{EvalError, Id, Mfp, Relation, Scalar};
use repr::{CollectionId, Diff, Row};

use crate::Objects;

/// Keys looked up at once; more are read as a scan.
const LOOKUP_KEYS_MAX: usize = 1_000;

/// Rows that a recursion may make while its query is planned: the interpreter makes all of them anew in each round.
const RECURSION_ROWS_MAX: u64 = 100_000;

#[derive(Clone, Debug)]
pub enum Access {
    /// Known without reading anything.
    Constant(Result<Vec<(Row, Diff)>, EvalError>),
    /// A filtered and projected read of one index.
    Index(IndexAccess),
    Dataflow,
}

#[derive(Clone, Debug)]
pub struct IndexAccess {
    pub index: CollectionId,
    /// Packed keys to look up; None: all rows.
    pub keys: Option<Vec<Row>>,
    /// Over the columns of the indexed object.
    pub mfp: Mfp,
}

/// Chooses for an optimized relation.
pub fn access(relation: &Relation, objects: &dyn Objects) -> Access {
    access_unless(relation, objects, &mut || false).expect("it is not interrupted")
}

/// As [`access`], which may take as long as evaluating a relation that reads nothing. None if that was given up because
/// `interrupted`, which is asked every so often, said so.
pub fn access_unless(
    relation: &Relation,
    objects: &dyn Objects,
    interrupted: &mut dyn FnMut() -> bool,
) -> Option<Access> {
    if relation.depends_on().is_empty()
        && let Some(rows) = evaluate(relation, interrupted)?
    {
        return Some(Access::Constant(rows));
    }
    Some(match index_access(relation, objects) {
        Some(access) => Access::Index(access),
        None => Access::Dataflow,
    })
}

type Rows = Result<Vec<(Row, Diff)>, EvalError>;

/// The rows of a relation that reads nothing; `Some(None)` if they are too many to be made here, None if interrupted.
#[allow(clippy::option_option)]
fn evaluate(relation: &Relation, interrupted: &mut dyn FnMut() -> bool) -> Option<Option<Rows>> {
    let mut recursive = false;
    relation.visit_pre(&mut |node| recursive |= matches!(node, Relation::LetRec { .. }));
    let rows_max = if recursive { RECURSION_ROWS_MAX } else { ROWS_MAX };
    Some(match interpret_unless(relation, &BTreeMap::new(), rows_max, interrupted)?.into_result() {
        Ok(rows) => Some(Ok(rows.into_iter().collect())),
        Err(error) if error == out_of_work() => None,
        Err(error) => Some(Err(error)),
    })
}

fn index_access(relation: &Relation, objects: &dyn Objects) -> Option<IndexAccess> {
    let (mut mfp, base) = Mfp::extract_from_relation(relation);
    let Relation::Get { id: Id::Global(id), .. } = base else { return None };
    mfp.optimize();
    let indexes = objects.indexes(*id);
    let looked_up = indexes.iter().filter_map(|(index, key)| lookup(key, &mfp).map(|keys| (*index, keys)));
    // The fewer keys the better; of equals the older index.
    if let Some((index, keys)) = looked_up.min_by_key(|(index, keys)| (keys.len(), *index)) {
        return Some(IndexAccess { index, keys: Some(keys), mfp });
    }
    let (index, _) = indexes.first()?;
    Some(IndexAccess { index: *index, keys: None, mfp })
}

/// The keys that the predicates leave possible; None if they leave some key column open. The predicates stay in force, so
/// the keys may be too many but never too few.
pub(crate) fn lookup(key: &[Scalar], mfp: &Mfp) -> Option<Vec<Row>> {
    let mut keys = vec![Row::default()];
    for column in key {
        let values = mfp.predicates.iter().find_map(|predicate| literals(predicate, column))?;
        if keys.len().checked_mul(values.len())? > LOOKUP_KEYS_MAX {
            return None;
        }
        let longer = keys.iter().flat_map(|prefix| {
            values.iter().map(move |value| {
                let mut key = prefix.clone();
                key.push_packed(value.as_bytes());
                key
            })
        });
        keys = longer.collect();
    }
    keys.sort_unstable();
    keys.dedup();
    if key.is_empty() { None } else { Some(keys) }
}

/// The values that a predicate leaves possible for an expression, if they are listed: `x = 1`, `x = 1 OR x = 2`.
fn literals(predicate: &Scalar, of: &Scalar) -> Option<Vec<Row>> {
    match predicate {
        Scalar::Or(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(literals(branch, of)?);
            }
            Some(all)
        }
        Scalar::And(parts) => parts.iter().find_map(|part| literals(part, of)),
        Scalar::Call { func, args, types } if func.key == "eq" && !types.args[0].contains_interval() => {
            let [left, right] = &args[..] else { return None };
            literal_beside(left, right, of).or_else(|| literal_beside(right, left, of))
        }
        _ => None,
    }
}

fn literal_beside(side: &Scalar, other: &Scalar, of: &Scalar) -> Option<Vec<Row>> {
    let Scalar::Literal(Ok(row), typ) = other else { return None };
    // Integers of all widths are packed alike, so a widening cast does not change the key.
    let plain = if typ.kind() == repr::Kind::Int { without_widening(side) } else { side };
    if plain != of {
        return None;
    }
    // Nothing equals NULL.
    if row.unpack_first(typ.kind()).is_null() { Some(Vec::new()) } else { Some(vec![row.clone()]) }
}

fn without_widening(scalar: &Scalar) -> &Scalar {
    match scalar {
        Scalar::Call { func, args, types }
            if func.kind == expr::func::FuncKind::Cast
                && !func.fallible
                && types.args.len() == 1
                && types.args[0].kind() == repr::Kind::Int
                && types.ret.kind() == repr::Kind::Int =>
        {
            without_widening(&args[0])
        }
        other => other,
    }
}
