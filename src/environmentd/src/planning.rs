//! What is pure of a statement's life, contained: a defect of the planner or the optimizer ends the statement with an error,
//! neither the session nor the process.

use expr::Relation;
use optimizer::{Access, Objects, Purpose};
use protocol::{Dataflow, Export};
use repr::CollectionId;
use sql::{CatalogView, Description, Params, Plan, PlanContext, Statement};

use crate::error::{Error, contained};

/// What a statement means.
pub(crate) fn plan(
    statement: &Statement,
    context: &PlanContext,
    catalog: &dyn CatalogView,
    params: &mut Params,
) -> Result<Plan, Error> {
    contained(|| Ok(sql::plan(statement, context, catalog, params)?))
}

/// What a statement takes and gives.
pub(crate) fn describe(
    statement: &Statement,
    context: &PlanContext,
    catalog: &dyn CatalogView,
    params: &mut Params,
) -> Result<Description, Error> {
    contained(|| Ok(sql::describe(statement, context, catalog, params)?))
}

/// A relation that gives the same rows with less work.
pub(crate) fn optimize(relation: Relation, objects: &dyn Objects) -> Result<Relation, Error> {
    contained(|| Ok(optimizer::optimize(relation, objects)))
}

/// How to read, unless finding out was given up because `interrupted` said so.
pub(crate) fn access_unless(
    relation: &Relation,
    objects: &dyn Objects,
    interrupted: &mut dyn FnMut() -> bool,
) -> Result<Option<Access>, Error> {
    contained(|| Ok(optimizer::access_unless(relation, objects, interrupted)))
}

/// The physical plan of the objects to build.
pub(crate) fn lower(
    name: String,
    purpose: Purpose,
    objects_to_build: Vec<(CollectionId, Relation)>,
    objects: &dyn Objects,
    exports: Vec<Export>,
) -> Result<Dataflow, Error> {
    contained(|| Ok(optimizer::lower(name, purpose, objects_to_build, objects, exports)?))
}

#[cfg(test)]
mod tests {
    use expr::Scalar;
    use repr::{RelationType, ScalarType, ShardId};

    use super::*;

    /// A catalog that breaks whoever asks it.
    struct Broken;

    impl Objects for Broken {
        fn view(&self, _id: CollectionId) -> Option<Relation> {
            panic!("a defect")
        }

        fn shard(&self, _id: CollectionId) -> Option<ShardId> {
            panic!("a defect")
        }

        fn only_grows(&self, _id: CollectionId) -> bool {
            panic!("a defect")
        }

        fn indexes(&self, _id: CollectionId) -> Vec<(CollectionId, Vec<Scalar>)> {
            panic!("a defect")
        }
    }

    #[test]
    fn defects_of_the_optimizer_are_errors_of_the_statement() {
        let id = CollectionId::User(1);
        let relation = Relation::get_global(id, RelationType::new(vec![ScalarType::Int4.nullable()]));
        let access = access_unless(&relation, &Broken, &mut || false).expect_err("it broke");
        assert_eq!(&*access.code, "XX000");
        let lowered =
            lower(String::new(), Purpose::OneOff, vec![(CollectionId::User(2), relation)], &Broken, Vec::new());
        assert_eq!(&*lowered.expect_err("it broke").code, "XX000");
    }
}
