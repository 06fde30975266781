//! Puts the definition of each view in the place of its name, unless an index of the cluster holds the view's rows.

use expr::{Id, Relation};

use crate::Objects;

pub(crate) fn views(relation: &mut Relation, objects: &dyn Objects) {
    relation.visit_mut_pre(&mut |node| {
        // A view may be nothing but another view.
        while let Relation::Get { id: Id::Global(id), .. } = node
            && objects.indexes(*id).is_empty()
            && let Some(definition) = objects.view(*id)
        {
            *node = definition;
        }
    });
}
