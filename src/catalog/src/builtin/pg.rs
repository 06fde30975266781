//! `pg_catalog` and `information_schema`: what PostgreSQL's clients look up.

use repr::{ColumnType, Datum, Row, pg_type};
use sql::names::is_temporary;
use sql::{Item, ItemDefinition};

use super::Column::{Bool, Int2, Int4, Oid, OptionalText, OptionalTextArray, OptionalTimestampTz, Text};
use super::{Builtin, Facts, OWNER_OID, SCHEMAS, oid, optional};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 101,
        schema: "pg_catalog",
        name: "pg_namespace",
        columns: &[("oid", Oid), ("nspname", Text), ("nspowner", Oid), ("nspacl", OptionalTextArray)],
        rows: namespaces,
    },
    Builtin {
        id: 102,
        schema: "pg_catalog",
        name: "pg_class",
        columns: &[
            ("oid", Oid),
            ("relname", Text),
            ("relnamespace", Oid),
            ("reltype", Oid),
            ("reloftype", Oid),
            ("relowner", Oid),
            ("relam", Oid),
            ("reltablespace", Oid),
            ("reltoastrelid", Oid),
            ("relhasindex", Bool),
            ("relpersistence", Text),
            ("relkind", Text),
            ("relnatts", Int2),
            ("relchecks", Int2),
            ("relhasrules", Bool),
            ("relhastriggers", Bool),
            ("relrowsecurity", Bool),
            ("relforcerowsecurity", Bool),
            ("relreplident", Text),
            ("relispartition", Bool),
            ("relacl", OptionalTextArray),
            ("reloptions", OptionalTextArray),
            ("relpartbound", OptionalText),
        ],
        rows: classes,
    },
    Builtin {
        id: 103,
        schema: "pg_catalog",
        name: "pg_attribute",
        columns: &[
            ("attrelid", Oid),
            ("attname", Text),
            ("atttypid", Oid),
            ("attstattarget", Int4),
            ("attlen", Int2),
            ("attnum", Int2),
            ("atttypmod", Int4),
            ("attnotnull", Bool),
            ("atthasdef", Bool),
            ("attidentity", Text),
            ("attgenerated", Text),
            ("attisdropped", Bool),
            ("attstorage", Text),
            ("attcompression", Text),
            ("attcollation", Oid),
            ("attacl", OptionalTextArray),
        ],
        rows: attributes,
    },
    Builtin {
        id: 105,
        schema: "pg_catalog",
        name: "pg_database",
        columns: &[
            ("oid", Oid),
            ("datname", Text),
            ("datdba", Oid),
            ("encoding", Int4),
            ("datlocprovider", Text),
            ("datistemplate", Bool),
            ("datallowconn", Bool),
            ("datconnlimit", Int4),
            ("dattablespace", Oid),
            ("datcollate", Text),
            ("datctype", Text),
            ("daticulocale", OptionalText),
            ("datcollversion", OptionalText),
            ("datacl", OptionalTextArray),
        ],
        rows: databases,
    },
    Builtin {
        id: 106,
        schema: "pg_catalog",
        name: "pg_roles",
        columns: &[
            ("oid", Oid),
            ("rolname", Text),
            ("rolsuper", Bool),
            ("rolinherit", Bool),
            ("rolcreaterole", Bool),
            ("rolcreatedb", Bool),
            ("rolcanlogin", Bool),
            ("rolreplication", Bool),
            ("rolconnlimit", Int4),
            ("rolpassword", OptionalText),
            ("rolvaliduntil", OptionalTimestampTz),
            ("rolbypassrls", Bool),
            ("rolconfig", OptionalTextArray),
        ],
        rows: roles,
    },
    Builtin {
        id: 157,
        schema: "pg_catalog",
        name: "pg_stat_activity",
        columns: &[
            ("datid", Oid),
            ("datname", OptionalText),
            ("pid", Int4),
            ("usesysid", Oid),
            ("usename", Text),
            ("application_name", OptionalText),
            ("client_addr", OptionalText),
            ("backend_start", OptionalTimestampTz),
            ("xact_start", OptionalTimestampTz),
            ("query_start", OptionalTimestampTz),
            ("state_change", OptionalTimestampTz),
            ("wait_event_type", OptionalText),
            ("wait_event", OptionalText),
            ("state", OptionalText),
            ("query", OptionalText),
            ("backend_type", Text),
        ],
        rows: activity,
    },
    Builtin {
        id: 107,
        schema: "information_schema",
        name: "tables",
        columns: &[
            ("table_catalog", OptionalText),
            ("table_schema", Text),
            ("table_name", Text),
            ("table_type", Text),
            ("is_insertable_into", Text),
            ("is_typed", Text),
        ],
        rows: information_tables,
    },
    Builtin {
        id: 108,
        schema: "information_schema",
        name: "columns",
        columns: &[
            ("table_catalog", OptionalText),
            ("table_schema", Text),
            ("table_name", Text),
            ("column_name", Text),
            ("ordinal_position", Int4),
            ("is_nullable", Text),
            ("data_type", Text),
        ],
        rows: information_columns,
    },
    Builtin {
        id: 109,
        schema: "information_schema",
        name: "schemata",
        columns: &[("catalog_name", OptionalText), ("schema_name", Text)],
        rows: information_schemata,
    },
];

pub(super) fn namespace_oid(catalog: &Catalog, item: &Item) -> u32 {
    match &item.name.database {
        Some(database) => catalog.schema_record(database, &item.name.schema).map_or(0, |schema| schema.oid),
        None => SCHEMAS.iter().find(|(name, _, _)| *name == item.name.schema).map_or(0, |(_, _, oid)| *oid),
    }
}

fn namespaces(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (name, _, schema_oid) in SCHEMAS {
        out.push(Row::pack([oid(*schema_oid), Datum::Text(name), oid(OWNER_OID), Datum::Null]));
    }
    for ((database, name), schema) in &catalog.schemas {
        if facts.shows(Some(database)) {
            out.push(Row::pack([oid(schema.oid), Datum::Text(name), oid(OWNER_OID), Datum::Null]));
        }
    }
}

/// PostgreSQL's oid of the access method `heap`.
pub(super) const HEAP_OID: u32 = 2;
/// The oid of the access method of indexes.
pub(super) const ARRANGEMENT_OID: u32 = 16_387;

/// What stands for an object in `relkind`.
pub(super) fn relkind(item: &Item) -> &'static str {
    match &item.definition {
        ItemDefinition::Table { .. } | ItemDefinition::Source { .. } | ItemDefinition::Builtin { .. } => "r",
        ItemDefinition::View { .. } => "v",
        ItemDefinition::MaterializedView { .. } => "m",
        ItemDefinition::Index { .. } => "i",
        ItemDefinition::Type { .. } => "c",
        // It has no row in pg_class.
        ItemDefinition::Secret { .. } => "",
    }
}

pub(super) fn is_indexed(catalog: &Catalog, item: &Item) -> bool {
    let dependents = catalog.dependents.get(&item.id);
    dependents.into_iter().flatten().filter_map(|id| catalog.items.get(id)).any(|dependent| relkind(dependent) == "i")
}

fn arity(item: &Item) -> i64 {
    let columns = match &item.definition {
        ItemDefinition::Index { keys, .. } => keys.len(),
        _ => item.desc().map_or(0, |desc| desc.arity()),
    };
    columns as i64
}

fn classes(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for item in facts.items(catalog) {
        let kind = relkind(item);
        let method = match kind {
            "i" => ARRANGEMENT_OID,
            "r" | "m" => HEAP_OID,
            _ => 0,
        };
        out.push(Row::pack([
            oid(item.oid),
            Datum::Text(&item.name.item),
            oid(namespace_oid(catalog, item)),
            oid(0),
            oid(0),
            oid(OWNER_OID),
            oid(method),
            oid(0),
            oid(0),
            Datum::Bool(is_indexed(catalog, item)),
            Datum::Text(if is_temporary(&item.name.schema) { "t" } else { "p" }),
            Datum::Text(kind),
            Datum::Int(arity(item)),
            Datum::Int(0),
            Datum::FALSE,
            Datum::FALSE,
            Datum::FALSE,
            Datum::FALSE,
            Datum::Text(if kind == "i" { "n" } else { "d" }),
            Datum::FALSE,
            Datum::Null,
            Datum::Null,
            Datum::Null,
        ]));
    }
}

/// One column as `pg_attribute` shows it.
struct Attribute<'a> {
    relation: u32,
    /// From 1.
    number: usize,
    name: &'a str,
    typ: &'a ColumnType,
    has_default: bool,
}

fn attributes(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for item in facts.items(catalog) {
        let relation = item.oid;
        if let ItemDefinition::Index { on, keys, .. } = &item.definition {
            let Some(on) = catalog.items.get(on) else { continue };
            let Some(desc) = on.desc() else { continue };
            for (index, key) in keys.iter().enumerate() {
                let (name, typ) = (index_column_name(key, desc), key.typ(&desc.typ.columns));
                let has_default = false;
                out.push(attribute(&Attribute { relation, number: index + 1, name: &name, typ: &typ, has_default }));
            }
            continue;
        }
        let Some(desc) = item.desc() else { continue };
        for (index, (name, typ)) in desc.iter().enumerate() {
            let has_default = match &item.definition {
                ItemDefinition::Table { defaults, .. } => defaults.get(index).is_some_and(Option::is_some),
                _ => false,
            };
            out.push(attribute(&Attribute { relation, number: index + 1, name, typ, has_default }));
        }
    }
}

/// PostgreSQL calls a key that is no column `expr`.
fn index_column_name(key: &expr::Scalar, desc: &repr::RelationDesc) -> String {
    match key {
        expr::Scalar::Column(column) => desc.names.get(*column).cloned().unwrap_or_default(),
        _ => "expr".to_owned(),
    }
}

fn attribute(attribute: &Attribute<'_>) -> Row {
    let Attribute { relation, number, name, typ, has_default } = *attribute;
    let length = pg_type::typlen(&typ.scalar);
    Row::pack([
        oid(relation),
        Datum::Text(name),
        oid(pg_type::oid(&typ.scalar)),
        Datum::Int(-1),
        Datum::Int(i64::from(length)),
        Datum::Int(number as i64),
        Datum::Int(i64::from(pg_type::typmod(&typ.scalar))),
        Datum::Bool(!typ.nullable),
        Datum::Bool(has_default),
        Datum::Text(""),
        Datum::Text(""),
        Datum::FALSE,
        Datum::Text(if length < 0 { "x" } else { "p" }),
        Datum::Text(""),
        oid(0),
        Datum::Null,
    ])
}

/// PostgreSQL's number for UTF8.
const ENCODING_UTF8: i64 = 6;
/// PostgreSQL's oid of the tablespace `pg_default`.
pub(super) const TABLESPACE_OID: u32 = 1663;

fn databases(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (name, database) in &catalog.databases {
        out.push(Row::pack([
            oid(database.oid),
            Datum::Text(name),
            oid(OWNER_OID),
            Datum::Int(ENCODING_UTF8),
            Datum::Text("c"),
            Datum::FALSE,
            Datum::TRUE,
            Datum::Int(-1),
            oid(TABLESPACE_OID),
            Datum::Text("C"),
            Datum::Text("C"),
            Datum::Null,
            Datum::Null,
            Datum::Null,
        ]));
    }
}

/// The users there are until roles exist: name, oid, and whether it may do everything.
pub(super) fn users() -> impl Iterator<Item = (&'static str, u32, bool)> {
    let names = [("materialize", true), ("mz_system", true), ("mz_support", false)];
    (OWNER_OID..).zip(names).map(|(oid, (name, superuser))| (name, oid, superuser))
}

fn roles(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (name, role_oid, superuser) in users() {
        let superuser = Datum::Bool(superuser);
        out.push(Row::pack([
            oid(role_oid),
            Datum::Text(name),
            superuser,
            Datum::TRUE,
            superuser,
            superuser,
            Datum::TRUE,
            Datum::FALSE,
            Datum::Int(-1),
            Datum::Null,
            Datum::Null,
            superuser,
            Datum::Null,
        ]));
    }
}

/// The sessions. What they run is not kept.
fn activity(_: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (id, user) in &facts.sessions {
        let user_oid = users().find(|(name, _, _)| name == user).map_or(0, |(_, oid, _)| oid);
        let known = [oid(0), Datum::Null, Datum::Int(i64::from(*id)), oid(user_oid), Datum::Text(user)];
        let unknown = std::iter::repeat_n(Datum::Null, 10);
        out.push(Row::pack(known.into_iter().chain(unknown).chain([Datum::Text("client backend")])));
    }
}

fn information_tables(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values().filter(|item| item.desc().is_some()) {
        let kind = match &item.definition {
            ItemDefinition::View { .. } => "VIEW",
            ItemDefinition::MaterializedView { .. } => "MATERIALIZED VIEW",
            ItemDefinition::Source { .. } => "SOURCE",
            _ => "BASE TABLE",
        };
        let is_insertable = matches!(item.definition, ItemDefinition::Table { source: None, .. });
        out.push(Row::pack([
            optional(item.name.database.as_deref()),
            Datum::Text(&item.name.schema),
            Datum::Text(&item.name.item),
            Datum::Text(kind),
            Datum::Text(if is_insertable { "YES" } else { "NO" }),
            Datum::Text("NO"),
        ]));
    }
}

fn information_columns(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let Some(desc) = item.desc() else { continue };
        for (index, (name, typ)) in desc.iter().enumerate() {
            out.push(Row::pack([
                optional(item.name.database.as_deref()),
                Datum::Text(&item.name.schema),
                Datum::Text(&item.name.item),
                Datum::Text(name),
                Datum::Int(index as i64 + 1),
                Datum::Text(if typ.nullable { "YES" } else { "NO" }),
                Datum::Text(&pg_type::sql_name(&typ.scalar)),
            ]));
        }
    }
}

fn information_schemata(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (name, _, _) in SCHEMAS {
        out.push(Row::pack([Datum::Null, Datum::Text(name)]));
    }
    for (database, name) in catalog.schemas.keys() {
        out.push(Row::pack([Datum::Text(database), Datum::Text(name)]));
    }
}
