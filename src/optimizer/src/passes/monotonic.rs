//! Marks the reductions and TopKs whose input only grows: of such an input the best rows so far are all that can ever matter.
//!
//! A relation grows if no row that it had is ever taken back, at no time and in no update on the way. Sources say of their
//! relations whether they do; what is made of them row by row, their joins, unions and distinct rows grow with them. A filter
//! on `mz_now()` takes rows back, as does every operator that replaces a row by a better one.

use std::collections::BTreeMap;

use expr::{Id, LocalId, Relation, Scalar};
use repr::CollectionId;

use crate::Objects;

pub(crate) fn mark(relation: &mut Relation, objects: &dyn Objects) {
    grows(relation, objects, &mut BTreeMap::new());
}

/// Whether a relation only grows; marks what is in it.
fn grows(relation: &mut Relation, objects: &dyn Objects, locals: &mut BTreeMap<LocalId, bool>) -> bool {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || grows_node(relation, objects, locals))
}

fn grows_node(relation: &mut Relation, objects: &dyn Objects, locals: &mut BTreeMap<LocalId, bool>) -> bool {
    match relation {
        Relation::Constant { rows: Ok(rows), .. } => rows.iter().all(|(_, count)| !count.is_invalid_count()),
        Relation::Constant { rows: Err(_), .. } => true,
        Relation::Get { id: Id::Global(id), .. } => stored_grows(*id, objects),
        Relation::Get { id: Id::Local(id), .. } => locals.get(id).copied().unwrap_or(false),
        Relation::Let { id, value, body } => {
            let value = grows(value, objects, locals);
            locals.insert(*id, value);
            grows(body, objects, locals)
        }
        // What a round yields may be taken back by the next.
        Relation::LetRec { body, .. } => grows(body, objects, locals),
        Relation::Project { input, .. }
        | Relation::Map { input, .. }
        | Relation::FlatMap { input, .. }
        | Relation::Threshold { input }
        | Relation::ArrangeBy { input, .. } => grows(input, objects, locals),
        Relation::Filter { input, predicates } => {
            let is_temporal = predicates.iter().any(Scalar::contains_mz_now);
            grows(input, objects, locals) && !is_temporal
        }
        Relation::Join { inputs, .. } | Relation::Union { inputs } => {
            // All are marked, also behind the first that does not grow.
            let growing = inputs.iter_mut().map(|input| grows(input, objects, locals)).filter(|grows| *grows).count();
            growing == inputs.len()
        }
        Relation::Reduce { input, aggregates, monotonic, .. } => {
            let input = grows(input, objects, locals);
            *monotonic = input && aggregates.iter().any(|aggregate| aggregate.func.is_hierarchical());
            input && aggregates.is_empty()
        }
        Relation::TopK { input, monotonic, .. } => {
            *monotonic = grows(input, objects, locals);
            false
        }
        Relation::Negate { input } => {
            grows(input, objects, locals);
            false
        }
    }
}

/// Whether a stored collection grows, or a view that is read by an index of it.
fn stored_grows(id: CollectionId, objects: &dyn Objects) -> bool {
    match objects.view(id) {
        Some(mut definition) => grows(&mut definition, objects, &mut BTreeMap::new()),
        None => objects.only_grows(id),
    }
}
