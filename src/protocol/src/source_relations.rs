//! The relations of each load generator.

use repr::RelationDesc;

use crate::source::LoadGeneratorKind;

pub(crate) fn relations(kind: &LoadGeneratorKind) -> Vec<(&'static str, RelationDesc)> {
    let _ = kind;
    todo!("storage engineer fills this in")
}
