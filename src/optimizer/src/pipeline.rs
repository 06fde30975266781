//! The passes in their order, and how they are run.

use expr::Relation;

use crate::{Objects, passes};

/// A pass rewrites a relation into one with the same rows and the same column types.
type Pass = (&'static str, fn(&mut Relation));

/// The passes in order. The middle ones run until nothing changes, but at most [`ROUNDS_MAX`] times.
const BEFORE: &[Pass] =
    &[("normalize lets", passes::lets::normalize), ("split distinct aggregates", passes::distinct::split)];
const REPEATED: &[Pass] = &[
    ("fuse", passes::fuse::fuse),
    ("fold constants", passes::fold::fold),
    ("push predicates down", passes::predicates::push_down),
    ("push filters into partitions", passes::window::push_into_partitions),
    ("elide", passes::elide::elide),
    ("inline lets", passes::lets::inline),
];
const AFTER: &[Pass] = &[
    ("push projections down", passes::demand::push_down),
    ("fuse", passes::fuse::fuse),
    ("fold constants", passes::fold::fold),
    ("inline lets", passes::lets::inline),
    ("share", passes::share::share),
];

/// Some passes undo a little of each other; after this many rounds the result is good enough.
const ROUNDS_MAX: usize = 8;

/// Inlines views and applies every pass.
pub fn optimize(relation: Relation, objects: &dyn Objects) -> Relation {
    optimize_traced(relation, objects, &mut |_, _| {})
}

/// As [`optimize`]; shows the relation after each pass, with the name of the pass.
pub fn optimize_traced(
    mut relation: Relation,
    objects: &dyn Objects,
    trace: &mut dyn FnMut(&'static str, &Relation),
) -> Relation {
    passes::inline::views(&mut relation, objects);
    trace("inline views", &relation);
    BEFORE.iter().for_each(|pass| apply(*pass, &mut relation, trace));
    for _ in 0..ROUNDS_MAX {
        let before = relation.clone();
        REPEATED.iter().for_each(|pass| apply(*pass, &mut relation, trace));
        if relation == before {
            break;
        }
    }
    AFTER.iter().for_each(|pass| apply(*pass, &mut relation, trace));
    passes::monotonic::mark(&mut relation, objects);
    trace("mark what only grows", &relation);
    relation
}

fn apply((name, pass): Pass, relation: &mut Relation, trace: &mut dyn FnMut(&'static str, &Relation)) {
    let types_before = cfg!(debug_assertions).then(|| relation.kinds());
    pass(relation);
    trace(name, relation);
    if let Some(before) = types_before {
        assert_eq!(before, relation.kinds(), "pass \"{name}\" changed the columns of\n{}", relation.pretty());
        let checked = expr::relation::typecheck(relation);
        assert!(checked.is_ok(), "pass \"{name}\" broke the types: {checked:?}\n{}", relation.pretty());
    }
}
