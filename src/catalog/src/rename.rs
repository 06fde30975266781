//! Objects that get other names, and with them the definitions that name them.
//!
//! Definitions are stored as SQL text, in which names could come to mean other things: a new name may be the alias that a
//! query uses for another table, an old one may stand in a string that is read as a name. So each text that has an old name
//! in it is planned twice, as it was on the catalog as it was, and as it becomes on the catalog as it becomes. Only if both
//! give the same plan, in which objects are known by their ids, does the rename go through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use repr::{ClusterId, CollectionId, Diff, ReplicaId, ScalarType};
use sql::plan::Renamed;
use sql::statement::{NewColumn, NewNames, renamed_definition, with_column_renamed};
use sql::{Error, FullName, Item, ItemDefinition};

use crate::catalog::{Catalog, Database, Schema};
use crate::load;
use crate::record::Record;
use crate::transact::{Transaction, item_record};

/// What gets which name, by what it is.
#[derive(Default)]
struct Renaming {
    databases: BTreeMap<String, String>,
    schemas: BTreeMap<(String, String), String>,
    items: BTreeMap<CollectionId, String>,
    columns: BTreeMap<(CollectionId, String), String>,
    clusters: BTreeMap<ClusterId, String>,
    replicas: BTreeMap<(ClusterId, ReplicaId), String>,
}

impl Renaming {
    fn new(renamed: Vec<(Renamed, String)>) -> Renaming {
        let mut renaming = Renaming::default();
        for (what, to) in renamed {
            match what {
                Renamed::Database(name) => renaming.databases.insert(name, to),
                Renamed::Schema { database, name } => renaming.schemas.insert((database, name), to),
                Renamed::Item(id) => renaming.items.insert(id, to),
                Renamed::Column(id, name) => renaming.columns.insert((id, name), to),
                Renamed::Cluster(id) => renaming.clusters.insert(id, to),
                Renamed::Replica(cluster, replica) => renaming.replicas.insert((cluster, replica), to),
            };
        }
        renaming
    }

    fn database(&self, name: &str) -> String {
        self.databases.get(name).map_or_else(|| name.to_owned(), String::clone)
    }

    fn schema(&self, key: &(String, String)) -> (String, String) {
        let (database, name) = key;
        (self.database(database), self.schemas.get(key).unwrap_or(name).clone())
    }

    fn item(&self, item: &Item) -> FullName {
        let old = &item.name;
        let key = (old.database.clone().unwrap_or_default(), old.schema.clone());
        let (database, schema) = self.schema(&key);
        let name = self.items.get(&item.id).unwrap_or(&old.item).clone();
        FullName { database: Some(database), schema, item: name }
    }

    /// The names of users' items and of clusters that change.
    fn names(&self, before: &Catalog) -> NewNames {
        let mut names = NewNames::default();
        for item in users_items(before) {
            let new = self.item(item);
            if new != item.name {
                names.items.insert(item.name.clone(), new);
            }
        }
        for (id, to) in &self.clusters {
            if let Some(cluster) = before.cluster_by_id(*id) {
                names.clusters.insert(cluster.name.clone(), to.clone());
            }
        }
        names
    }
}

fn users_items(catalog: &Catalog) -> impl Iterator<Item = &Arc<Item>> {
    catalog.items.values().filter(|item| matches!(item.id, CollectionId::User(_)))
}

fn taken(code: &'static str, kind: &str, name: &str) -> Error {
    Error::new(code, format!("{kind} \"{name}\" already exists"))
}

impl Transaction {
    /// Gives objects and columns new names, all at once.
    ///
    /// Errors: 42P04, 42P06, 42P07 and 42710 for a name that is taken, 42704 for an object that is gone, 2BP01 if a definition
    /// would not mean what it did.
    pub(crate) fn rename(&mut self, renamed: Vec<(Renamed, String)>) -> Result<(), Error> {
        let before = self.out.catalog.clone();
        let renaming = Renaming::new(renamed);
        self.rename_databases(&before, &renaming)?;
        self.rename_schemas(&before, &renaming)?;
        self.rename_clusters(&before, &renaming)?;
        let names = renaming.names(&before);
        let mut mentioning = self.rename_items(&before, &renaming, &names)?;
        for ((id, from), to) in &renaming.columns {
            mentioning.extend(self.rename_column(&before, *id, from, to)?);
        }
        self.keep_meanings(&before, &mentioning)
    }

    fn rename_databases(&mut self, before: &Catalog, renaming: &Renaming) -> Result<(), Error> {
        let mut databases = OrdMap::new();
        for (name, Database { id, oid }) in &before.databases {
            let (id, oid, new) = (*id, *oid, renaming.database(name));
            if renaming.databases.get(name) == Some(name) || databases.contains_key(&new) {
                return Err(taken("42P04", "database", &new));
            }
            if new != *name {
                self.write(&Record::Database { id, oid, name: name.clone() }, Diff::MINUS_ONE);
                self.write(&Record::Database { id, oid, name: new.clone() }, Diff::ONE);
            }
            databases.insert(new, Database { id, oid });
        }
        self.out.catalog.databases = databases;
        Ok(())
    }

    fn rename_schemas(&mut self, before: &Catalog, renaming: &Renaming) -> Result<(), Error> {
        let mut schemas = OrdMap::new();
        let record = |key: &(String, String), schema: &Schema| {
            let (database, name) = key.clone();
            Record::Schema { id: schema.id, oid: schema.oid, database, name }
        };
        for (key, schema) in &before.schemas {
            let new = renaming.schema(key);
            if renaming.schemas.get(key) == Some(&key.1) || schemas.contains_key(&new) {
                return Err(taken("42P06", "schema", &new.1));
            }
            if new != *key {
                self.write(&record(key, schema), Diff::MINUS_ONE);
                self.write(&record(&new, schema), Diff::ONE);
            }
            schemas.insert(new, schema.clone());
        }
        self.out.catalog.schemas = schemas;
        Ok(())
    }

    fn rename_clusters(&mut self, before: &Catalog, renaming: &Renaming) -> Result<(), Error> {
        for id in renaming.clusters.keys().chain(renaming.replicas.keys().map(|(cluster, _)| cluster)) {
            let cluster = before.cluster_by_id(*id).ok_or_else(|| Error::new("42704", "the cluster was dropped"))?;
            let mut new = sql::Cluster::clone(cluster);
            if let Some(to) = renaming.clusters.get(id) {
                let other = before.clusters.get(to).filter(|other| !renaming.clusters.contains_key(&other.id));
                if other.is_some() || *to == cluster.name {
                    return Err(taken("42710", "cluster", to));
                }
                new.name.clone_from(to);
                // Whoever gets this name was, or will be, put there under it.
                if self.out.catalog.clusters.get(&cluster.name).is_some_and(|other| other.id == *id) {
                    self.out.catalog.clusters.remove(&cluster.name);
                }
            }
            for ((_, replica), to) in renaming.replicas.iter().filter(|((of, _), _)| of == id) {
                if new.replicas.iter().any(|other| other.name == *to) {
                    return Err(taken("42710", "cluster replica", &format!("{}.{to}", new.name)));
                }
                let known = new.replicas.iter_mut().find(|other| other.id == *replica);
                known.ok_or_else(|| Error::new("42704", "the replica was dropped"))?.name.clone_from(to);
            }
            self.write(&crate::transact::cluster_record(cluster), Diff::MINUS_ONE);
            self.write(&crate::transact::cluster_record(&new), Diff::ONE);
            self.out.catalog.clusters.insert(new.name.clone(), Arc::new(new));
        }
        Ok(())
    }

    /// Gives items their names and texts. Returns those whose text has an old name in it, for what it may.
    fn rename_items(
        &mut self,
        before: &Catalog,
        renaming: &Renaming,
        names: &NewNames,
    ) -> Result<BTreeSet<CollectionId>, Error> {
        for (id, to) in &renaming.items {
            match before.items.get(id) {
                None => return Err(Error::new("42704", format!("object {id} was dropped"))),
                Some(item) if item.name.item == *to => return Err(taken("42P07", item.kind(), to)),
                Some(_) => {}
            }
        }
        let wanted = changed_parts(names);
        let (mut mentioning, mut changed) = (BTreeSet::new(), Vec::new());
        for item in users_items(before) {
            let mut new = Item { name: renaming.item(item), ..Item::clone(item) };
            if mentions(&item.create_sql, &wanted) {
                match renamed_definition(&item.create_sql, names) {
                    Ok(create_sql) => new.create_sql = create_sql,
                    // What could not be read before keeps its text; it cannot be used in any case.
                    Err(_) if before.broken(item.id).is_some() => {}
                    Err(error) => return Err(would_change(item, &error.message)),
                }
                mentioning.insert(item.id);
            }
            if new.name != item.name || new.create_sql != item.create_sql {
                changed.push((Arc::clone(item), new));
            }
        }
        for (old, _) in &changed {
            self.out.catalog.by_name.remove(&old.name);
        }
        for (old, new) in changed {
            if self.out.catalog.by_name.contains_key(&new.name) {
                return Err(taken("42P07", old.kind(), &new.name.item));
            }
            self.write(&item_record(&old), Diff::MINUS_ONE);
            self.write(&item_record(&new), Diff::ONE);
            self.out.catalog.insert_item(Arc::new(new));
        }
        Ok(mentioning)
    }

    /// Gives a column of a table or a view its name, also in the texts of what is defined over it, which are returned.
    fn rename_column(
        &mut self,
        before: &Catalog,
        id: CollectionId,
        from: &str,
        to: &str,
    ) -> Result<BTreeSet<CollectionId>, Error> {
        use ItemDefinition::{MaterializedView, Table, View};
        let gone = || Error::new("42704", format!("object {id} was dropped"));
        let relation = before.items.get(&id).ok_or_else(gone)?;
        let names = relation.desc().ok_or_else(gone)?.names.iter();
        let columns: Vec<String> = names.map(|name| if name == from { to } else { name }.to_owned()).collect();
        let column = NewColumn { relation: &relation.name, columns: &columns, from, to };
        let dependents: BTreeSet<CollectionId> =
            users_items(before).filter(|item| item.depends_on.contains(&id)).map(|item| item.id).collect();
        for item in users_items(before).filter(|item| item.id == id || dependents.contains(&item.id)) {
            let mut new = Item::clone(item);
            match with_column_renamed(&item.create_sql, column) {
                Ok(create_sql) => new.create_sql = create_sql,
                Err(_) if before.broken(item.id).is_some() => {}
                Err(error) => return Err(would_change(item, &error.message)),
            }
            if let (true, Table { desc, .. } | View { desc, .. } | MaterializedView { desc, .. }) =
                (item.id == id, &mut new.definition)
            {
                desc.names.clone_from(&columns);
            }
            if new.create_sql != item.create_sql {
                self.write(&item_record(item), Diff::MINUS_ONE);
                self.write(&item_record(&new), Diff::ONE);
            }
            self.out.catalog.insert_item(Arc::new(new));
        }
        Ok(dependents)
    }

    /// Plans what names a renamed object, before and after. Errors: 2BP01 if that is not the same.
    fn keep_meanings(&mut self, before: &Catalog, mentioning: &BTreeSet<CollectionId>) -> Result<(), Error> {
        let (mut old_world, mut new_world) = (before.clone(), self.out.catalog.clone());
        // Items whose columns are of a type that shows its new name.
        let mut retyped: BTreeSet<CollectionId> = BTreeSet::new();
        for item in users_items(before).filter(|item| before.broken(item.id).is_none()) {
            let depends = item.depends_on.iter().any(|id| retyped.contains(id));
            if !depends && !mentioning.contains(&item.id) {
                continue;
            }
            let renamed = Arc::clone(new_world.items.get(&item.id).expect("a rename drops nothing"));
            let after = load::planned(&new_world, &renamed).map_err(|reason| would_change(item, &reason))?;
            let shows_name = matches!(&after, ItemDefinition::Type { typ: ScalarType::Enum(_) });
            if !shows_name {
                // What did not plan before cannot change its meaning.
                let Ok(planned) = load::planned(&old_world, item) else { continue };
                if !are_equal(&planned, &after) {
                    return Err(would_change(item, "It would name other things."));
                }
            }
            if !are_equal(&item.definition, &after) {
                retyped.insert(item.id);
                let put = |catalog: &mut Catalog, item: &Item| {
                    let new = Item { definition: after.clone(), ..item.clone() };
                    catalog.items.insert(item.id, Arc::new(new));
                };
                put(&mut old_world, item);
                put(&mut new_world, &renamed);
                put(&mut self.out.catalog, &renamed);
            }
        }
        Ok(())
    }
}

/// The parts of names that change, as a text may have them.
fn changed_parts(names: &NewNames) -> BTreeSet<String> {
    let mut parts: BTreeSet<&str> = names.clusters.keys().map(String::as_str).collect();
    for (old, new) in &names.items {
        if old.item != new.item {
            parts.insert(&old.item);
        }
        if old.schema != new.schema {
            parts.insert(&old.schema);
        }
        if old.database != new.database {
            parts.extend(old.database.as_deref());
        }
    }
    parts.into_iter().flat_map(|part| [part.to_lowercase(), part.to_lowercase().replace('"', "\"\"")]).collect()
}

fn mentions(text: &str, parts: &BTreeSet<String>) -> bool {
    let text = text.to_lowercase();
    parts.iter().any(|part| text.contains(part))
}

/// True if both are the same but for the shard, which an item keeps.
fn are_equal(left: &ItemDefinition, right: &ItemDefinition) -> bool {
    use ItemDefinition::{Builtin, Index, MaterializedView, Secret, Source, Table, Type, View};
    match (left, right) {
        (Table { desc, defaults, source, .. }, Table { desc: desc2, defaults: defaults2, source: source2, .. }) => {
            desc == desc2 && defaults == defaults2 && source == source2
        }
        (View { desc, relation }, View { desc: desc2, relation: relation2 }) => desc == desc2 && relation == relation2,
        (
            MaterializedView { desc, relation, cluster, .. },
            MaterializedView { desc: desc2, relation: relation2, cluster: cluster2, .. },
        ) => desc == desc2 && relation == relation2 && cluster == cluster2,
        (Index { on, keys, cluster }, Index { on: on2, keys: keys2, cluster: cluster2 }) => {
            on == on2 && keys == keys2 && cluster == cluster2
        }
        (
            Source { desc, connection, cluster, .. },
            Source { desc: desc2, connection: connection2, cluster: cluster2, .. },
        ) => desc == desc2 && connection == connection2 && cluster == cluster2,
        (Type { typ }, Type { typ: typ2 }) => typ == typ2,
        (Secret { version }, Secret { version: version2 }) => version == version2,
        (Builtin { desc }, Builtin { desc: desc2 }) => desc == desc2,
        _ => false,
    }
}

fn would_change(item: &Item, reason: &str) -> Error {
    let message = format!("the definition of {} {} would not mean the same any more", item.kind(), item.name);
    Error::new("2BP01", message)
        .with_detail(reason.to_owned())
        .with_hint("Drop it before the rename, and make it again with the new name.")
}

#[cfg(test)]
mod tests;
