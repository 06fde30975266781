//! What the catalog's functions answer, listed for every object: key and value.

use std::collections::BTreeMap;

use repr::{ScalarType, pg_type};
use sql::{Item, ItemDefinition};

use super::{SCHEMAS, mz, pg, pg_proc};
use crate::catalog::Catalog;

/// The answers of the function `name`, by its arguments as texts with commas between; None if it is not answered here.
///
/// Cost: walks the catalog or the table of functions.
pub fn entries(catalog: &Catalog, name: &str) -> Option<Vec<(String, String)>> {
    Some(match name {
        "pg_get_userbyid" => pg::users().map(|(name, oid, _)| (oid.to_string(), name.to_owned())).collect(),
        "pg_get_indexdef" => catalog.items.values().flat_map(|item| index_definitions(catalog, item)).collect(),
        "pg_get_viewdef" => catalog.items.values().flat_map(|item| view_definitions(item)).collect(),
        "regproc_text" => function_names(),
        "regprocedure_text" => functions(pg_proc::Procedure::signature),
        "regtype_text" => enum_names(catalog),
        "to_regnamespace" => reversed(schema_names(catalog)),
        "to_regproc" => reversed(function_names().into_iter().filter(|(_, name)| !name.contains('.')).collect()),
        "to_regprocedure" => spellings(),
        "to_regrole" => pg::users().map(|(name, oid, _)| (sql::quoted(name), oid.to_string())).collect(),
        "regnamespace_text" => schema_names(catalog),
        "regrole_text" => pg::users().map(|(name, oid, _)| (oid.to_string(), sql::quoted(name))).collect(),
        "pg_get_function_result" => functions(pg_proc::Procedure::result),
        "pg_get_function_arguments" | "pg_get_function_identity_arguments" => functions(pg_proc::Procedure::arguments),
        _ => return None,
    })
}

/// The types of the system are known without a catalog.
fn enum_names(catalog: &Catalog) -> Vec<(String, String)> {
    let types = catalog.items.values().filter_map(|item| match &item.definition {
        ItemDefinition::Type { typ: typ @ ScalarType::Enum(_) } => Some(typ),
        _ => None,
    });
    let both = types.flat_map(|typ| [typ.clone(), ScalarType::Array(Box::new(typ.clone()))]);
    both.map(|typ| (pg_type::oid(&typ).to_string(), pg_type::sql_name(&typ))).collect()
}

fn schema_names(catalog: &Catalog) -> Vec<(String, String)> {
    let system = SCHEMAS.iter().map(|(name, _, oid)| (oid.to_string(), (*name).to_owned()));
    let own = catalog.schemas.iter().map(|((_, name), schema)| (schema.oid.to_string(), sql::quoted(name)));
    system.chain(own).collect()
}

fn reversed(names: Vec<(String, String)>) -> Vec<(String, String)> {
    names.into_iter().map(|(oid, name)| (name, oid)).collect()
}

/// A name that several functions share does not say which is meant, and gets its schema, as in PostgreSQL.
fn function_names() -> Vec<(String, String)> {
    let all = pg_proc::all();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for procedure in all {
        *uses.entry(procedure.name).or_default() += 1;
    }
    let shown = |name: &str| if uses.get(name) == Some(&1) { name.to_owned() } else { format!("pg_catalog.{name}") };
    all.iter().map(|procedure| (procedure.oid.to_string(), shown(procedure.name))).collect()
}

/// The functions by all ways to write them.
fn spellings() -> Vec<(String, String)> {
    let of = |function: &pg_proc::Procedure| {
        let oid = function.oid.to_string();
        function.spellings().into_iter().map(|name| (name, oid.clone())).collect::<Vec<_>>()
    };
    pg_proc::all().iter().flat_map(of).collect()
}

fn functions(shown: impl Fn(&pg_proc::Procedure) -> String) -> Vec<(String, String)> {
    pg_proc::all().iter().map(|procedure| (procedure.oid.to_string(), shown(procedure))).collect()
}

/// The whole statement, and each column of the key by its number.
fn index_definitions(catalog: &Catalog, item: &Item) -> Vec<(String, String)> {
    let ItemDefinition::Index { on, keys, cluster } = &item.definition else { return Vec::new() };
    let Some(on) = catalog.items.get(on) else { return Vec::new() };
    let desc = on.desc().cloned().unwrap_or_default();
    let keys: Vec<String> = keys.iter().map(|key| mz::named(key, &desc)).collect();
    let cluster = catalog.cluster_by_id(*cluster).map(|cluster| cluster.name.clone()).unwrap_or_default();
    let whole = format!(
        "CREATE INDEX {} IN CLUSTER {cluster} ON {}.{} USING arrangement ({})",
        item.name.item,
        on.name.schema,
        on.name.item,
        keys.join(", ")
    );
    let mut entries = vec![(item.oid.to_string(), whole.clone())];
    for pretty in ["f", "t"] {
        entries.push((format!("{},0,{pretty}", item.oid), whole.clone()));
        for (index, key) in keys.iter().enumerate() {
            entries.push((format!("{},{},{pretty}", item.oid, index + 1), key.clone()));
        }
    }
    entries
}

fn view_definitions(item: &Item) -> Vec<(String, String)> {
    if !matches!(item.definition, ItemDefinition::View { .. } | ItemDefinition::MaterializedView { .. }) {
        return Vec::new();
    }
    // PostgreSQL's, too, begins with a space.
    let definition = mz::definition(item);
    let (plain, pretty) = (format!(" {definition};"), format!(" {};", sql::parse::pretty(&definition)));
    [("", &plain), (",f", &plain), (",t", &pretty)]
        .into_iter()
        .map(|(suffix, definition)| (format!("{}{suffix}", item.oid), definition.clone()))
        .collect()
}
