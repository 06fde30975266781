//! Bindings: first every one gets an id of its own (inlined views bring theirs along), then those that are read once, or
//! cost nothing, are put in the place where they are read, and those that nobody reads are dropped.

use std::collections::BTreeMap;

use expr::{Id, LocalId, Relation};

/// Gives each binding its own id, so that moving expressions cannot capture another's.
pub(crate) fn normalize(relation: &mut Relation) {
    let mut next = 0;
    renumber(relation, &BTreeMap::new(), &mut next);
}

fn renumber(relation: &mut Relation, names: &BTreeMap<LocalId, LocalId>, next: &mut u64) {
    stacker::maybe_grow(64 * 1024, 1024 * 1024, || match relation {
        Relation::Get { id: Id::Local(id), .. } => {
            *id = *names.get(id).expect("a local Get stands inside its binding");
        }
        Relation::Let { id, value, body } => {
            renumber(value, names, next);
            let mut inner = names.clone();
            inner.insert(*id, fresh(next));
            *id = inner[id];
            renumber(body, &inner, next);
        }
        Relation::LetRec { ids, values, body, .. } => {
            let mut inner = names.clone();
            for id in ids.iter() {
                inner.insert(*id, fresh(next));
            }
            for id in ids.iter_mut() {
                *id = inner[id];
            }
            for value in values.iter_mut().chain([&mut **body]) {
                renumber(value, &inner, next);
            }
        }
        other => other.children_mut().into_iter().for_each(|child| renumber(child, names, next)),
    });
}

fn fresh(next: &mut u64) -> LocalId {
    let id = LocalId(*next);
    *next += 1;
    id
}

/// Inlines bindings read once and those that are only a Get or a constant; drops those never read.
pub(crate) fn inline(relation: &mut Relation) {
    relation.visit_mut_post(&mut |node| {
        while let Relation::Let { id, value, body } = node {
            let reads = body.local_gets().get(id).copied().unwrap_or(0);
            let cheap = matches!(&**value, Relation::Get { .. } | Relation::Constant { .. });
            if reads > 1 && !cheap || reads == 1 && reads_in_loop(body, *id) {
                return;
            }
            let (id, value, mut body) = (*id, value.take_dangerous(), body.take_dangerous());
            body.visit_mut_pre(&mut |inner| {
                if matches!(inner, Relation::Get { id: Id::Local(read), .. } if *read == id) {
                    *inner = value.clone();
                }
            });
            *node = body;
        }
    });
}

/// Inside a recursion one Get is read many times.
fn reads_in_loop(body: &Relation, id: LocalId) -> bool {
    let mut found = false;
    body.visit_pre(&mut |node| {
        if let Relation::LetRec { values, .. } = node {
            found |= values.iter().any(|value| value.local_gets().contains_key(&id));
        }
    });
    found
}
