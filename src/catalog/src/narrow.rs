//! Tables that have got more columns: whatever was made before goes on seeing those that there were.
//!
//! A definition is stored as SQL text, in which a new column could make a name ambiguous or mean another thing. So the text is
//! planned against the table as it was then, and what it reads is then cut to that of the table as it is:
//!
//! ```text
//!   Get t (a, b)   becomes   Project (#0, #1) of Get t (a, b, c)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use expr::{Id, Relation, Scalar};
use persist::Columns;
use repr::{CollectionId, Diff, RelationDesc};
use sql::catalog_view::ReplicaSize;
use sql::{CatalogView, Cluster, Error, FullName, Item, ItemDefinition};

use crate::catalog::Catalog;
use crate::transact::{Transaction, item_record};

/// New columns of a table, behind those it has.
#[derive(Clone, Debug)]
pub struct AddColumns {
    pub table: CollectionId,
    /// Makes the table as it will be.
    pub create_sql: String,
    /// All columns, and what INSERT puts where no value is given.
    pub desc: RelationDesc,
    pub defaults: Vec<Option<Scalar>>,
    /// All columns as its shard is to have them: with what older rows have in the new ones.
    pub columns: Columns,
}

/// A catalog whose tables have no more columns than `seen` says.
pub(crate) struct Narrowed<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) seen: &'a BTreeMap<CollectionId, usize>,
    /// An item whose name is as good as free: the one that is planned again.
    pub(crate) hidden: Option<CollectionId>,
}

impl Narrowed<'_> {
    fn narrow(&self, item: Arc<Item>) -> Arc<Item> {
        let Some(seen) = self.seen.get(&item.id) else { return item };
        let mut narrow = Item::clone(&item);
        if let ItemDefinition::Table { desc, defaults, .. } = &mut narrow.definition {
            let columns = desc.iter().take(*seen).map(|(name, typ)| (name.to_owned(), typ.clone()));
            *desc = RelationDesc::new(columns.collect::<Vec<_>>());
            defaults.truncate(*seen);
        }
        Arc::new(narrow)
    }
}

impl CatalogView for Narrowed<'_> {
    fn databases(&self) -> Vec<String> {
        self.catalog.databases()
    }

    fn schemas(&self, database: Option<&str>) -> Vec<String> {
        self.catalog.schemas(database)
    }

    fn schema_oid(&self, database: Option<&str>, schema: &str) -> Option<u32> {
        self.catalog.schema_oid(database, schema)
    }

    fn role_oid(&self, role: &str) -> Option<u32> {
        self.catalog.role_oid(role)
    }

    fn functions(&self, name: &str) -> Vec<(u32, Vec<String>)> {
        self.catalog.functions(name)
    }

    fn item(&self, name: &FullName) -> Option<Arc<Item>> {
        self.catalog.item(name).filter(|item| Some(item.id) != self.hidden).map(|item| self.narrow(item))
    }

    fn item_by_id(&self, id: CollectionId) -> Option<Arc<Item>> {
        self.catalog.item_by_id(id).map(|item| self.narrow(item))
    }

    fn items(&self) -> Vec<Arc<Item>> {
        self.catalog.items().into_iter().map(|item| self.narrow(item)).collect()
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.catalog.clusters()
    }

    fn cluster(&self, name: &str) -> Option<Arc<Cluster>> {
        self.catalog.cluster(name)
    }

    fn replica_sizes(&self) -> &[ReplicaSize] {
        self.catalog.replica_sizes()
    }

    fn dependents(&self, id: CollectionId) -> Vec<Arc<Item>> {
        self.catalog.dependents(id).into_iter().map(|item| self.narrow(item)).collect()
    }
}

impl Catalog {
    /// Lets what was planned on tables with fewer columns read them as they are now.
    pub fn widen(&self, relation: &mut Relation) {
        relation.visit_mut_pre(&mut |node| self.widen_node(node));
    }

    /// As [`widen`](Self::widen), one node: children follow.
    pub fn widen_node(&self, node: &mut Relation) {
        if let Relation::Get { id: Id::Global(id), typ } = node
            && let Some(item) = self.items.get(id)
            && let ItemDefinition::Table { desc, .. } = &item.definition
            && typ.arity() < desc.arity()
        {
            let seen = (0..typ.arity()).collect();
            *node = Relation::get_global(*id, desc.typ.clone()).project(seen);
        }
    }
}

impl Transaction {
    /// Widens a table. Views keep what they see of it. Indexes are of all its columns, so each is made anew, by its name.
    pub(crate) fn add_columns(&mut self, add: AddColumns) -> Result<(), Error> {
        let AddColumns { table, create_sql, desc, defaults, columns } = add;
        let before = self.out.catalog.items.get(&table).cloned();
        let before = before.ok_or_else(|| Error::new("42704", "the table was dropped"))?;
        let ItemDefinition::Table { desc: old, shard, source, .. } = &before.definition else {
            return Err(Error::new("42809", format!("{} is not a table", before.name)));
        };
        let (seen, shard, source) = (old.arity(), *shard, source.clone());
        let definition = ItemDefinition::Table { desc, defaults, shard, source };
        self.change_item(&before, Item { create_sql, definition, ..Item::clone(&before) });
        self.out.columns.push((shard, columns));
        for dependent in self.out.catalog.dependents(table) {
            let mut after = Item::clone(&dependent);
            if matches!(after.definition, ItemDefinition::Index { .. }) {
                self.renew_index(&dependent);
                continue;
            }
            after.columns_seen.entry(table).or_insert(seen);
            if let ItemDefinition::View { relation, .. } | ItemDefinition::MaterializedView { relation, .. } =
                &mut after.definition
            {
                self.out.catalog.widen(relation);
            }
            self.change_item(&dependent, after);
        }
        Ok(())
    }

    /// Rewrites an item's record. It keeps its id, its name and what it reads.
    pub(crate) fn change_item(&mut self, before: &Item, after: Item) {
        self.write(&item_record(before), Diff::MINUS_ONE);
        self.write(&item_record(&after), Diff::ONE);
        self.out.catalog.insert_item(Arc::new(after));
    }

    /// Under a new id: what reads the index as it was goes on doing so, and keeps it running.
    fn renew_index(&mut self, index: &Item) {
        self.out.catalog.remove_item(index.id);
        self.write(&item_record(index), Diff::MINUS_ONE);
        let id = CollectionId::User(self.next_id());
        let renewed = Item { id, ..index.clone() };
        self.write(&item_record(&renewed), Diff::ONE);
        self.out.created.push(id);
        self.out.catalog.insert_item(Arc::new(renewed));
    }
}

/// By the numbers of users' tables, as they are stored.
pub(crate) fn numbers(seen: &BTreeMap<CollectionId, usize>) -> Vec<(u64, usize)> {
    let number = |id: &CollectionId| match id {
        CollectionId::User(number) => Some(*number),
        _ => None,
    };
    seen.iter().filter_map(|(id, columns)| Some((number(id)?, *columns))).collect()
}

/// What [`numbers`] has stored; of tables that the item reads.
pub(crate) fn seen(numbers: Vec<(u64, usize)>) -> BTreeMap<CollectionId, usize> {
    numbers.into_iter().map(|(number, columns)| (CollectionId::User(number), columns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Stored;

    fn arity(catalog: &Catalog, name: &str) -> usize {
        let item = catalog.items().into_iter().find(|item| item.name.item == name).expect("it is there");
        assert_eq!(catalog.broken(item.id), None);
        let ItemDefinition::View { relation, desc } = &item.definition else { panic!("not a view") };
        assert_eq!(relation.typ().arity(), desc.arity(), "{name}");
        desc.arity()
    }

    /// `b` of the subquery is the outer one, and `select b` is not ambiguous, whatever columns come.
    #[test]
    fn views_see_the_columns_that_there_were() {
        let mut stored = Stored::new();
        stored.run("create table t (a int)");
        stored.run("create table u (b int)");
        stored.run("create index t_idx on t (a)");
        stored.run("create view joined as select a, b from t, u");
        stored.run("create view nested as select (select b from t where a = 1) from u");
        stored.run("create view natural_join as select * from t natural join (select 1 as a, 2 as b) s");
        let index = stored.ids_of("index");
        stored.run("alter table t add column b int default 7");
        let renewed = stored.ids_of("index");
        assert!(renewed.len() == 1 && renewed != index, "an index of all columns takes the old one's place");
        stored.run("create view later as select * from t");
        stored.run("alter table t add column c int");
        let loaded = stored.loaded();
        for (view, expected) in [("joined", 2), ("nested", 1), ("natural_join", 2), ("later", 2)] {
            assert_eq!((arity(&stored.catalog, view), arity(&loaded, view)), (expected, expected), "{view}");
        }
        for (view, seen) in [("joined", 1), ("later", 2)] {
            let item = loaded.items().into_iter().find(|item| item.name.item == view).expect("it is there");
            assert_eq!(item.columns_seen.values().copied().collect::<Vec<_>>(), [seen], "{view}");
        }
        let table = loaded.items().into_iter().find(|item| item.name.item == "t").expect("it is there");
        assert_eq!(table.desc().expect("columns").names, ["a", "b", "c"]);
    }
}
