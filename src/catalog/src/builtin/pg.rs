//! `pg_catalog` and `information_schema`: what PostgreSQL's clients look up.

use repr::{ColumnType, Datum, Row, pg_type};
use sql::{Item, ItemDefinition};

use super::Column::{Bool, Int2, Int4, Oid, OptionalText, OptionalTextArray, OptionalTimestampTz, Text};
use super::{Builtin, Facts, OWNER_OID, SCHEMAS, oid, optional};
use crate::catalog::Catalog;

/// A type as `pg_type` shows it.
pub(super) struct PgType {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    length: i16,
    category: &'static str,
    array: u32,
    element: u32,
}

impl PgType {
    const fn scalar(oid: u32, name: &'static str, length: i16, category: &'static str, array: u32) -> PgType {
        PgType { oid, name, length, category, array, element: 0 }
    }

    const fn array(oid: u32, name: &'static str, element: u32) -> PgType {
        PgType { oid, name, length: -1, category: "A", array: 0, element }
    }

    pub(super) fn category_name(&self) -> &'static str {
        match self.category {
            "A" => "array",
            "B" => "boolean",
            "D" => "date-time",
            "N" => "numeric",
            "R" => "range",
            "S" => "string",
            "T" => "timespan",
            _ => "user-defined",
        }
    }
}

pub(super) const TYPES: &[PgType] = &[
    PgType::scalar(16, "bool", 1, "B", 1000),
    PgType::scalar(17, "bytea", -1, "U", 1001),
    PgType::scalar(18, "char", 1, "Z", 1002),
    PgType::scalar(19, "name", 64, "S", 1003),
    PgType::scalar(20, "int8", 8, "N", 1016),
    PgType::scalar(21, "int2", 2, "N", 1005),
    PgType::scalar(23, "int4", 4, "N", 1007),
    PgType::scalar(25, "text", -1, "S", 1009),
    PgType::scalar(26, "oid", 4, "N", 1028),
    PgType::scalar(700, "float4", 4, "N", 1021),
    PgType::scalar(701, "float8", 8, "N", 1022),
    PgType::scalar(1042, "bpchar", -1, "S", 1014),
    PgType::scalar(1043, "varchar", -1, "S", 1015),
    PgType::scalar(1082, "date", 4, "D", 1182),
    PgType::scalar(1083, "time", 8, "D", 1183),
    PgType::scalar(1114, "timestamp", 8, "D", 1115),
    PgType::scalar(1184, "timestamptz", 8, "D", 1185),
    PgType::scalar(1186, "interval", 16, "T", 1187),
    PgType::scalar(1700, "numeric", -1, "N", 1231),
    PgType::scalar(2950, "uuid", 16, "U", 2951),
    PgType::scalar(3802, "jsonb", -1, "U", 3807),
    PgType::scalar(3904, "int4range", -1, "R", 3905),
    PgType::scalar(3906, "numrange", -1, "R", 3907),
    PgType::scalar(3908, "tsrange", -1, "R", 3909),
    PgType::scalar(3910, "tstzrange", -1, "R", 3911),
    PgType::scalar(3912, "daterange", -1, "R", 3913),
    PgType::scalar(3926, "int8range", -1, "R", 3927),
    PgType::array(1000, "_bool", 16),
    PgType::array(1001, "_bytea", 17),
    PgType::array(1005, "_int2", 21),
    PgType::array(1007, "_int4", 23),
    PgType::array(1009, "_text", 25),
    PgType::array(1015, "_varchar", 1043),
    PgType::array(1016, "_int8", 20),
    PgType::array(1021, "_float4", 700),
    PgType::array(1022, "_float8", 701),
    PgType::array(1115, "_timestamp", 1114),
    PgType::array(1182, "_date", 1082),
    PgType::array(1183, "_time", 1083),
    PgType::array(1185, "_timestamptz", 1184),
    PgType::array(1187, "_interval", 1186),
    PgType::array(1231, "_numeric", 1700),
    PgType::array(2951, "_uuid", 2950),
    PgType::array(3807, "_jsonb", 3802),
    PgType::array(3905, "_int4range", 3904),
    PgType::array(3907, "_numrange", 3906),
    PgType::array(3909, "_tsrange", 3908),
    PgType::array(3911, "_tstzrange", 3910),
    PgType::array(3913, "_daterange", 3912),
    PgType::array(3927, "_int8range", 3926),
];

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
        id: 104,
        schema: "pg_catalog",
        name: "pg_type",
        columns: &[
            ("oid", Oid),
            ("typname", Text),
            ("typnamespace", Oid),
            ("typowner", Oid),
            ("typlen", Int2),
            ("typtype", Text),
            ("typcategory", Text),
            ("typdelim", Text),
            ("typrelid", Oid),
            ("typelem", Oid),
            ("typarray", Oid),
            ("typnotnull", Bool),
            ("typbasetype", Oid),
            ("typtypmod", Int4),
            ("typcollation", Oid),
            ("typdefault", OptionalText),
            ("typacl", OptionalTextArray),
        ],
        rows: types,
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
        id: 107,
        schema: "information_schema",
        name: "tables",
        columns: &[("table_catalog", OptionalText), ("table_schema", Text), ("table_name", Text), ("table_type", Text)],
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
            Datum::Text("p"),
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

fn types(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for typ in TYPES {
        out.push(Row::pack([
            oid(typ.oid),
            Datum::Text(typ.name),
            oid(11),
            oid(OWNER_OID),
            Datum::Int(i64::from(typ.length)),
            Datum::Text(if typ.category == "R" { "r" } else { "b" }),
            Datum::Text(typ.category),
            Datum::Text(","),
            oid(0),
            oid(typ.element),
            oid(typ.array),
            Datum::FALSE,
            oid(0),
            Datum::Int(-1),
            oid(0),
            Datum::Null,
            Datum::Null,
        ]));
    }
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

fn information_tables(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values().filter(|item| item.desc().is_some()) {
        let kind = match &item.definition {
            ItemDefinition::View { .. } => "VIEW",
            ItemDefinition::MaterializedView { .. } => "MATERIALIZED VIEW",
            ItemDefinition::Source { .. } => "SOURCE",
            _ => "BASE TABLE",
        };
        out.push(Row::pack([
            optional(item.name.database.as_deref()),
            Datum::Text(&item.name.schema),
            Datum::Text(&item.name.item),
            Datum::Text(kind),
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
