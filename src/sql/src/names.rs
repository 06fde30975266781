//! Names: identifiers folded and checked, objects found along the search path, types.

mod interval_fields;
mod suggest;
mod types;
mod user_type;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

pub(crate) use self::interval_fields::of_literal as interval_spec;
pub(crate) use self::suggest::perhaps;
pub use self::types::resolve_type;
pub(crate) use self::types::{COMPOSITE_TYPE, is_type_name, resolve_system_type, type_name};
pub use self::user_type::Names;
pub(crate) use self::user_type::rename_types;

use crate::catalog_view::{CatalogView, Cluster, FullName, Item, quoted};
use crate::error::Error;
use crate::plan::PlanContext;
use crate::position;

/// Most bytes of an identifier.
pub const IDENTIFIER_BYTES_MAX: usize = 255;

/// How the names of the schemas begin that hold sessions' temporary objects; the session's number follows.
pub const TEMPORARY_SCHEMA_PREFIX: &str = "pg_temp_";

/// What a session calls the schema of its temporary objects.
const TEMPORARY_SCHEMA_NAMES: [&str; 2] = ["mz_temp", "pg_temp"];

/// True for schemas that hold a session's temporary objects.
pub fn is_temporary(schema: &str) -> bool {
    schema.starts_with(TEMPORARY_SCHEMA_PREFIX)
}

/// Schemas tried before the search path, unless the path names them itself.
const IMPLICIT_SCHEMAS: [&str; 2] = ["mz_catalog", "pg_catalog"];

/// The name an identifier stands for: as written if quoted, else in lower case.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A name as error messages show it.
pub(crate) fn in_quotes(name: &str) -> String {
    format!("\"{name}\"")
}

/// The identifiers of a possibly qualified name. Errors: 42601 for what is no identifier, or for more than three.
pub(crate) fn parts(name: &ObjectName) -> Result<Vec<&Ident>, Error> {
    let mut idents = Vec::with_capacity(name.0.len());
    for part in &name.0 {
        match part {
            ObjectNamePart::Identifier(ident) if ident.quote_style != Some('\'') => idents.push(ident),
            other => return Err(Error::new("42601", format!("{other} is not an identifier")).at_node(name)),
        }
    }
    if idents.is_empty() || idents.len() > 3 {
        return Err(
            Error::new("42601", format!("improper qualified name (too many dotted names): {name}")).at_node(name)
        );
    }
    Ok(idents)
}

/// Folds the name of something to be created. Errors: 42622 too long, 42601 empty.
pub(crate) fn check_identifier(ident: &Ident) -> Result<String, Error> {
    let name = fold(ident);
    if name.is_empty() {
        return Err(Error::new("42601", "zero-length delimited identifier").at_ident(ident));
    }
    if name.len() > IDENTIFIER_BYTES_MAX {
        let message = format!("identifier is longer than {IDENTIFIER_BYTES_MAX} bytes");
        return Err(Error::new("42622", message).at_ident(ident));
    }
    Ok(name)
}

/// As [`check_identifier`], for schemas, databases, clusters and roles. Errors: also 42939 for names kept for the system.
pub(crate) fn check_unreserved(ident: &Ident, kind: &str) -> Result<String, Error> {
    let name = check_identifier(ident)?;
    let reserved = ["mz_", "pg_", "external_"].iter().any(|prefix| name.starts_with(prefix));
    if reserved || name == "information_schema" {
        let message = format!("{kind} name {} is reserved", in_quotes(&name));
        return Err(Error::new("42939", message)
            .with_detail("The prefixes \"mz_\", \"pg_\" and \"external_\" are reserved for the system.")
            .at_ident(ident));
    }
    Ok(name)
}

/// The item that `name` means. Errors: 3D000 database, 3F000 schema, 42P01 item does not exist.
pub fn resolve_item(context: &PlanContext, catalog: &dyn CatalogView, name: &ObjectName) -> Result<Arc<Item>, Error> {
    resolve_or_none(context, catalog, name)?.ok_or_else(|| unknown(context, catalog, name, "relation", "42P01"))
}

/// As [`resolve_item`], of something that can be read. Errors: also 42809.
pub(crate) fn resolve_relation(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
) -> Result<Arc<Item>, Error> {
    let item = resolve_item(context, catalog, name)?;
    if item.desc().is_none() {
        let article = if item.kind().starts_with('i') { "an" } else { "a" };
        return Err(Error::new(
            "42809",
            format!("{} is {article} {}, it cannot be read", in_quotes(&item.name.item), item.kind()),
        )
        .at_node(name));
    }
    Ok(item)
}

/// The item that `name` means; None if its schema has no such item. Errors: 3D000, 3F000.
pub(crate) fn resolve_or_none(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
) -> Result<Option<Arc<Item>>, Error> {
    let idents = parts(name)?;
    let item = fold(idents[idents.len() - 1]);
    if let [_] = idents[..] {
        return Ok(search_schemas(context, catalog)
            .into_iter()
            .find_map(|(database, schema)| catalog.item(&FullName { database, schema, item: item.clone() })));
    }
    let (database, schema) = resolve_schema_of(context, catalog, &idents[..idents.len() - 1])?;
    Ok(catalog.item(&FullName { database, schema, item }))
}

/// The items that can be named without their schema.
pub fn visible_items(context: &PlanContext, catalog: &dyn CatalogView) -> Vec<Arc<Item>> {
    let schemas = search_schemas(context, catalog);
    let place = |item: &Item| {
        schemas.iter().position(|(database, schema)| *database == item.name.database && *schema == item.name.schema)
    };
    let mut nearest: BTreeMap<String, (usize, Arc<Item>)> = BTreeMap::new();
    for item in catalog.items() {
        let Some(place) = place(&item) else { continue };
        match nearest.get(&item.name.item) {
            Some((nearer, _)) if *nearer <= place => {}
            _ => {
                nearest.insert(item.name.item.clone(), (place, item));
            }
        }
    }
    nearest.into_values().map(|(_, item)| item).collect()
}

/// The schemas that unqualified names are looked up in, in order; those that do not exist are left out.
pub(crate) fn search_schemas(context: &PlanContext, catalog: &dyn CatalogView) -> Vec<(Option<String>, String)> {
    let builtin = catalog.schemas(None);
    let own = catalog.schemas(Some(&context.database));
    let implicit = IMPLICIT_SCHEMAS.iter().map(|schema| schema.to_string());
    let implicit = implicit.filter(|schema| !context.search_path.contains(schema));
    context
        .temporary_schema
        .iter()
        .cloned()
        .chain(implicit)
        .chain(context.search_path.iter().cloned())
        .filter_map(|schema| {
            if builtin.contains(&schema) {
                Some((None, schema))
            } else if own.contains(&schema) {
                Some((Some(context.database.clone()), schema))
            } else {
                None
            }
        })
        .collect()
}

/// The schema that `schema` or `database.schema` names. Errors: 3D000, 3F000.
pub(crate) fn resolve_schema(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
) -> Result<(Option<String>, String), Error> {
    let idents = parts(name)?;
    if idents.len() > 2 {
        return Err(Error::new("42601", format!("improper schema name (too many dotted names): {name}")).at_node(name));
    }
    resolve_schema_of(context, catalog, &idents)
}

fn resolve_schema_of(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    idents: &[&Ident],
) -> Result<(Option<String>, String), Error> {
    let (database, schema) = match idents {
        [schema] => (None, *schema),
        [database, schema] => (Some(*database), *schema),
        _ => return Err(Error::new("42601", "improper qualified name")),
    };
    if let Some(database) = database {
        resolve_database(catalog, database)?;
    }
    let name = fold(schema);
    if let Some(temporary) = &context.temporary_schema
        && TEMPORARY_SCHEMA_NAMES.contains(&name.as_str())
    {
        // It is there as soon as something is in it.
        return Ok((Some(context.database.clone()), temporary.clone()));
    }
    if catalog.schemas(None).contains(&name) {
        return Ok((None, name));
    }
    let database = database.map_or_else(|| context.database.clone(), fold);
    let schemas = catalog.schemas(Some(&database));
    let of_others = context.temporary_schema.as_ref().is_some_and(|own| is_temporary(&name) && *own != name);
    if schemas.contains(&name) && !of_others {
        return Ok((Some(database), name));
    }
    let candidates = schemas.iter().chain(&context.search_path).map(String::as_str);
    Err(Error::new("3F000", format!("schema {} does not exist", in_quotes(&name)))
        .hinted(perhaps(&name, candidates))
        .at_ident(schema))
}

/// The database that `ident` names. Errors: 3D000.
pub(crate) fn resolve_database(catalog: &dyn CatalogView, ident: &Ident) -> Result<String, Error> {
    let name = fold(ident);
    let databases = catalog.databases();
    if databases.contains(&name) {
        return Ok(name);
    }
    Err(Error::new("3D000", format!("database {} does not exist", in_quotes(&name)))
        .hinted(perhaps(&name, databases.iter().map(String::as_str)))
        .at_ident(ident))
}

/// The cluster that `ident` names. Errors: 42704.
pub(crate) fn resolve_cluster(catalog: &dyn CatalogView, ident: &Ident) -> Result<Arc<Cluster>, Error> {
    let name = fold(ident);
    catalog.cluster(&name).ok_or_else(|| unknown_cluster(catalog, &name).at_ident(ident))
}

/// The cluster of the IN CLUSTER clause, else the session's.
pub(crate) fn cluster_or_default(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    ident: Option<&Ident>,
) -> Result<Arc<Cluster>, Error> {
    match ident {
        Some(ident) => resolve_cluster(catalog, ident),
        None => catalog.cluster(&context.cluster).ok_or_else(|| {
            unknown_cluster(catalog, &context.cluster)
                .with_hint("Set the cluster of the session with SET cluster = ...")
        }),
    }
}

fn unknown_cluster(catalog: &dyn CatalogView, name: &str) -> Error {
    let clusters = catalog.clusters();
    Error::new("42704", format!("cluster {} does not exist", in_quotes(name)))
        .hinted(perhaps(name, clusters.iter().map(|cluster| cluster.name.as_str())))
}

/// The full name of an item to be made. Errors: as [`resolve_schema`] and [`check_identifier`], 42939 in a system schema,
/// 3F000 if no schema of the search path exists.
pub(crate) fn new_item_name(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
) -> Result<FullName, Error> {
    let idents = parts(name)?;
    let (item, qualifier) = idents.split_last().expect("parts() returns at least one");
    let item = check_identifier(item)?;
    let (database, schema) = if qualifier.is_empty() {
        current_schema(context, catalog).map_err(|error| error.at_node(name))?
    } else {
        resolve_schema_of(context, catalog, qualifier)?
    };
    if database.is_none() {
        let message = format!("cannot create {} in system schema {}", in_quotes(&item), in_quotes(&schema));
        return Err(Error::new("42939", message).at_node(name));
    }
    Ok(FullName { database, schema, item })
}

/// As [`new_item_name`], of a temporary item. Errors: 42P16 for a name in another schema.
pub(crate) fn new_temporary_name(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
) -> Result<FullName, Error> {
    let unsupported = || Error::unsupported("a temporary object here").at_node(name);
    let temporary = context.temporary_schema.clone().ok_or_else(unsupported)?;
    let idents = parts(name)?;
    let (item, qualifier) = idents.split_last().expect("parts() returns at least one");
    let item = check_identifier(item)?;
    if !qualifier.is_empty() && resolve_schema_of(context, catalog, qualifier)?.1 != temporary {
        let message = "cannot create temporary relation in non-temporary schema";
        return Err(Error::new("42P16", message).at_node(name));
    }
    if !catalog.databases().contains(&context.database) {
        return Err(Error::new("3D000", format!("database {} does not exist", in_quotes(&context.database))));
    }
    Ok(FullName { database: Some(context.database.clone()), schema: temporary, item })
}

/// The schema in which unqualified names are made: the first of the search path that exists.
pub(crate) fn current_schema(
    context: &PlanContext,
    catalog: &dyn CatalogView,
) -> Result<(Option<String>, String), Error> {
    let own = catalog.schemas(Some(&context.database));
    let builtin = catalog.schemas(None);
    for schema in &context.search_path {
        if own.contains(schema) {
            return Ok((Some(context.database.clone()), schema.clone()));
        }
        if builtin.contains(schema) {
            return Ok((None, schema.clone()));
        }
    }
    if !catalog.databases().contains(&context.database) {
        return Err(Error::new("3D000", format!("database {} does not exist", in_quotes(&context.database))));
    }
    Err(Error::new("3F000", "no schema has been selected to create in")
        .with_hint("Set one that exists with SET search_path = ..."))
}

/// The error for a name that means nothing, with a near miss as hint.
pub(crate) fn unknown(
    context: &PlanContext,
    catalog: &dyn CatalogView,
    name: &ObjectName,
    kind: &str,
    code: &'static str,
) -> Error {
    let wanted = name.0.last().and_then(ObjectNamePart::as_ident).map(fold).unwrap_or_default();
    let shown: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(fold).collect();
    let schemas = match name.0.len() {
        1 => search_schemas(context, catalog),
        count => {
            let qualifier: Vec<&Ident> = name.0[..count - 1].iter().filter_map(ObjectNamePart::as_ident).collect();
            resolve_schema_of(context, catalog, &qualifier).into_iter().collect()
        }
    };
    let items = catalog.items();
    let near = items.iter().filter(|item| schemas.contains(&(item.name.database.clone(), item.name.schema.clone())));
    let mut hint = perhaps(&wanted, near.map(|item| item.name.item.as_str()));
    if hint.is_none() {
        // The right name in a schema that was not looked at.
        let elsewhere = items.iter().find(|item| item.name.item == wanted);
        hint = elsewhere.map(|item| format!("Perhaps you meant {}.", item.name));
    }
    Error::new(code, format!("{kind} \"{}\" does not exist", shown.join("."))).hinted(hint).at_node(name)
}

impl Error {
    /// Sets the position to where `node` starts, unless one is known or the parser kept none.
    #[must_use]
    pub(crate) fn at_node(self, node: &impl sqlparser::ast::Spanned) -> Error {
        match position::of(node) {
            Some(position) => self.at(position),
            None => self,
        }
    }

    /// Sets the position to where `ident` starts, unless one is known or the parser kept none.
    #[must_use]
    pub(crate) fn at_ident(self, ident: &Ident) -> Error {
        match position::of_span(ident.span) {
            Some(position) => self.at(position),
            None => self,
        }
    }

    /// Adds a hint if there is one.
    #[must_use]
    pub(crate) fn hinted(mut self, hint: Option<String>) -> Error {
        self.hint = self.hint.or(hint);
        self
    }
}
