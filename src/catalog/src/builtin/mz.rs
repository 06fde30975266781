//! `mz_catalog` and `mz_internal`: the dialect's own catalog.

use std::borrow::Cow;

use repr::{Datum, Kind, Row, ScalarType, pg_type};
use sql::catalog_view::SourceReference;
use sql::{CatalogView, Item, ItemDefinition};

use super::Column::{Bool, Int8, Oid, OptionalText, OptionalUInt8, Text, TextArray, UInt8};
use super::{Builtin, Facts, OWNER_ID, OWNER_OID, SCHEMAS, oid, optional, push_array};
use crate::catalog::Catalog;
use crate::sizes::REPLICA_SIZES;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 1,
        schema: "mz_catalog",
        name: "mz_databases",
        columns: &[("id", Text), ("oid", Oid), ("name", Text), ("owner_id", Text)],
        rows: databases,
    },
    Builtin {
        id: 2,
        schema: "mz_catalog",
        name: "mz_schemas",
        columns: &[("id", Text), ("oid", Oid), ("database_id", OptionalText), ("name", Text), ("owner_id", Text)],
        rows: schemas,
    },
    Builtin {
        id: 3,
        schema: "mz_catalog",
        name: "mz_objects",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("type", Text),
            ("owner_id", Text),
            ("cluster_id", OptionalText),
        ],
        rows: objects,
    },
    Builtin {
        id: 4,
        schema: "mz_catalog",
        name: "mz_relations",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("type", Text),
            ("owner_id", Text),
            ("cluster_id", OptionalText),
        ],
        rows: relations,
    },
    Builtin {
        id: 5,
        schema: "mz_catalog",
        name: "mz_tables",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("owner_id", Text),
            ("create_sql", OptionalText),
            ("source_id", OptionalText),
        ],
        rows: tables,
    },
    Builtin {
        id: 6,
        schema: "mz_catalog",
        name: "mz_views",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("definition", Text),
            ("owner_id", Text),
            ("create_sql", Text),
        ],
        rows: views,
    },
    Builtin {
        id: 7,
        schema: "mz_catalog",
        name: "mz_materialized_views",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("cluster_id", Text),
            ("definition", Text),
            ("owner_id", Text),
            ("create_sql", Text),
        ],
        rows: materialized_views,
    },
    Builtin {
        id: 8,
        schema: "mz_catalog",
        name: "mz_sources",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("type", Text),
            ("connection_id", OptionalText),
            ("size", OptionalText),
            ("envelope_type", OptionalText),
            ("cluster_id", OptionalText),
            ("owner_id", Text),
            ("create_sql", Text),
        ],
        rows: sources,
    },
    Builtin {
        id: 9,
        schema: "mz_catalog",
        name: "mz_indexes",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("name", Text),
            ("on_id", Text),
            ("cluster_id", Text),
            ("owner_id", Text),
            ("create_sql", Text),
        ],
        rows: indexes,
    },
    Builtin {
        id: 10,
        schema: "mz_catalog",
        name: "mz_index_columns",
        columns: &[
            ("index_id", Text),
            ("index_position", UInt8),
            ("on_position", OptionalUInt8),
            ("on_expression", OptionalText),
            ("nullable", Bool),
        ],
        rows: index_columns,
    },
    Builtin {
        id: 11,
        schema: "mz_catalog",
        name: "mz_columns",
        columns: &[
            ("id", Text),
            ("name", Text),
            ("position", UInt8),
            ("nullable", Bool),
            ("type", Text),
            ("default", OptionalText),
            ("type_oid", Oid),
        ],
        rows: columns,
    },
    Builtin {
        id: 12,
        schema: "mz_catalog",
        name: "mz_clusters",
        columns: &[
            ("id", Text),
            ("name", Text),
            ("owner_id", Text),
            ("managed", Bool),
            ("size", OptionalText),
            ("replication_factor", OptionalUInt8),
        ],
        rows: clusters,
    },
    Builtin {
        id: 13,
        schema: "mz_catalog",
        name: "mz_cluster_replicas",
        columns: &[("id", Text), ("name", Text), ("cluster_id", Text), ("size", OptionalText), ("owner_id", Text)],
        rows: cluster_replicas,
    },
    Builtin {
        id: 14,
        schema: "mz_catalog",
        name: "mz_cluster_replica_sizes",
        columns: &[("size", Text), ("processes", UInt8), ("workers", UInt8)],
        rows: cluster_replica_sizes,
    },
    Builtin {
        id: 15,
        schema: "mz_catalog",
        name: "mz_types",
        columns: &[
            ("id", Text),
            ("oid", Oid),
            ("schema_id", Text),
            ("name", Text),
            ("category", Text),
            ("owner_id", Text),
        ],
        rows: types,
    },
    Builtin {
        id: 16,
        schema: "mz_catalog",
        name: "mz_roles",
        columns: &[("id", Text), ("oid", Oid), ("name", Text), ("inherit", Bool)],
        rows: roles,
    },
    Builtin {
        id: 17,
        schema: "mz_internal",
        name: "mz_comments",
        columns: &[("id", Text), ("object_type", Text), ("object_sub_id", OptionalUInt8), ("comment", Text)],
        rows: |_, _, _| {},
    },
    Builtin {
        id: 18,
        schema: "mz_internal",
        name: "mz_object_dependencies",
        columns: &[("object_id", Text), ("referenced_object_id", Text)],
        rows: object_dependencies,
    },
    Builtin {
        id: 20,
        schema: "mz_internal",
        name: "mz_sessions",
        columns: &[("connection_id", Int8), ("role_name", Text)],
        rows: sessions,
    },
    Builtin {
        id: 21,
        schema: "mz_internal",
        name: "mz_index_keys",
        columns: &[("index_id", Text), ("key", TextArray)],
        rows: index_keys,
    },
    Builtin {
        id: 30,
        schema: "mz_catalog",
        name: "mz_secrets",
        columns: &[("id", Text), ("oid", Oid), ("schema_id", Text), ("name", Text), ("owner_id", Text)],
        rows: secrets,
    },
];

/// The id by which the catalog's relations name a schema.
pub(super) fn schema_id(catalog: &Catalog, item: &Item) -> String {
    match &item.name.database {
        Some(database) => {
            catalog.schema_record(database, &item.name.schema).map_or(String::new(), |schema| format!("u{}", schema.id))
        }
        None => {
            let schema = SCHEMAS.iter().find(|(name, _, _)| *name == item.name.schema);
            schema.map_or(String::new(), |(_, id, _)| format!("s{id}"))
        }
    }
}

/// The kinds of objects as `mz_objects` names them.
fn object_type(item: &Item) -> &'static str {
    match &item.definition {
        ItemDefinition::Builtin { .. } => "table",
        ItemDefinition::MaterializedView { .. } => "materialized-view",
        _ => item.kind(),
    }
}

fn cluster_id(item: &Item) -> Option<String> {
    match &item.definition {
        ItemDefinition::MaterializedView { cluster, .. }
        | ItemDefinition::Index { cluster, .. }
        | ItemDefinition::Source { cluster, .. } => Some(cluster.to_string()),
        _ => None,
    }
}

/// The query of a view: what follows the first AS of its normalized SQL.
pub(super) fn definition(item: &Item) -> Cow<'_, str> {
    sql::parse::as_written(item.create_sql.split_once(" AS ").map_or("", |(_, query)| query))
}

fn databases(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (name, database) in &catalog.databases {
        let id = format!("u{}", database.id);
        out.push(Row::pack([Datum::Text(&id), oid(database.oid), Datum::Text(name), Datum::Text(OWNER_ID)]));
    }
}

fn schemas(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (name, id, schema_oid) in SCHEMAS {
        let id = format!("s{id}");
        let owner = Datum::Text(OWNER_ID);
        out.push(Row::pack([Datum::Text(&id), oid(*schema_oid), Datum::Null, Datum::Text(name), owner]));
    }
    for ((database, name), schema) in &catalog.schemas {
        let id = format!("u{}", schema.id);
        let database = catalog.databases.get(database).map(|database| format!("u{}", database.id));
        out.push(Row::pack([
            Datum::Text(&id),
            oid(schema.oid),
            optional(database.as_deref()),
            Datum::Text(name),
            Datum::Text(OWNER_ID),
        ]));
    }
}

fn push_object(catalog: &Catalog, item: &Item, out: &mut Vec<Row>) {
    let cluster = cluster_id(item);
    out.push(Row::pack([
        Datum::Text(&item.id.to_string()),
        oid(item.oid),
        Datum::Text(&schema_id(catalog, item)),
        Datum::Text(&item.name.item),
        Datum::Text(object_type(item)),
        Datum::Text(OWNER_ID),
        optional(cluster.as_deref()),
    ]));
}

fn objects(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        push_object(catalog, item, out);
    }
}

fn relations(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values().filter(|item| item.desc().is_some()) {
        push_object(catalog, item, out);
    }
}

fn tables(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let source = match &item.definition {
            ItemDefinition::Table { source, .. } => {
                source.as_ref().map(|SourceReference { source, .. }| source.to_string())
            }
            ItemDefinition::Builtin { .. } => None,
            _ => continue,
        };
        let create_sql = Some(item.create_sql.as_str()).filter(|sql| !sql.is_empty());
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text(OWNER_ID),
            optional(create_sql),
            optional(source.as_deref()),
        ]));
    }
}

fn views(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values().filter(|item| matches!(item.definition, ItemDefinition::View { .. })) {
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text(&definition(item)),
            Datum::Text(OWNER_ID),
            Datum::Text(&sql::parse::as_written(&item.create_sql)),
        ]));
    }
}

fn materialized_views(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let ItemDefinition::MaterializedView { cluster, .. } = &item.definition else { continue };
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text(&cluster.to_string()),
            Datum::Text(&definition(item)),
            Datum::Text(OWNER_ID),
            Datum::Text(&sql::parse::as_written(&item.create_sql)),
        ]));
    }
}

fn sources(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let ItemDefinition::Source { cluster, .. } = &item.definition else { continue };
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text("load-generator"),
            Datum::Null,
            Datum::Null,
            Datum::Null,
            Datum::Text(&cluster.to_string()),
            Datum::Text(OWNER_ID),
            Datum::Text(&sql::parse::as_written(&item.create_sql)),
        ]));
    }
}

fn indexes(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let ItemDefinition::Index { on, cluster, .. } = &item.definition else { continue };
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&item.name.item),
            Datum::Text(&on.to_string()),
            Datum::Text(&cluster.to_string()),
            Datum::Text(OWNER_ID),
            Datum::Text(&sql::parse::as_written(&item.create_sql)),
        ]));
    }
}

fn index_columns(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let ItemDefinition::Index { on, keys, .. } = &item.definition else { continue };
        let Some(relation) = catalog.item_by_id(*on) else { continue };
        let Some(desc) = relation.desc() else { continue };
        for (position, key) in keys.iter().enumerate() {
            let (on_position, expression) = match key {
                expr::Scalar::Column(column) => (Datum::UInt(*column as u64 + 1), None),
                other => (Datum::Null, Some(named(other, desc))),
            };
            out.push(Row::pack([
                Datum::Text(&item.id.to_string()),
                Datum::UInt(position as u64 + 1),
                on_position,
                optional(expression.as_deref()),
                Datum::Bool(key.typ(&desc.typ.columns).nullable),
            ]));
        }
    }
}

/// An index key as users read it: column names, or the expression over them.
pub(super) fn named(key: &expr::Scalar, desc: &repr::RelationDesc) -> String {
    match key {
        expr::Scalar::Column(column) => desc.names.get(*column).cloned().unwrap_or_default(),
        other => other.display(Some(&desc.names)).to_string(),
    }
}

fn index_keys(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let ItemDefinition::Index { on, keys, .. } = &item.definition else { continue };
        let Some(relation) = catalog.item_by_id(*on) else { continue };
        let Some(desc) = relation.desc() else { continue };
        let keys: Vec<String> = keys.iter().map(|key| named(key, desc)).collect();
        let datums: Vec<Datum<'_>> = keys.iter().map(|key| Datum::Text(key)).collect();
        let mut row = Row::pack([Datum::Text(&item.id.to_string())]);
        push_array(&mut row, &datums, Kind::Text);
        out.push(row);
    }
}

fn columns(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        let Some(desc) = item.desc() else { continue };
        let defaults = match &item.definition {
            ItemDefinition::Table { defaults, .. } => &defaults[..],
            _ => &[],
        };
        for (index, (name, typ)) in desc.iter().enumerate() {
            let default = defaults.get(index).and_then(Option::as_ref).map(ToString::to_string);
            out.push(Row::pack([
                Datum::Text(&item.id.to_string()),
                Datum::Text(name),
                Datum::UInt(index as u64 + 1),
                Datum::Bool(typ.nullable),
                Datum::Text(&pg_type::sql_name(&typ.scalar)),
                optional(default.as_deref()),
                oid(pg_type::oid(&typ.scalar)),
            ]));
        }
    }
}

fn clusters(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for cluster in catalog.clusters.values() {
        let managed = cluster.size.is_some();
        out.push(Row::pack([
            Datum::Text(&cluster.id.to_string()),
            Datum::Text(&cluster.name),
            Datum::Text(OWNER_ID),
            Datum::Bool(managed),
            optional(cluster.size.as_deref()),
            if managed { Datum::UInt(u64::from(cluster.replication_factor)) } else { Datum::Null },
        ]));
    }
}

fn cluster_replicas(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for cluster in catalog.clusters.values() {
        for replica in &cluster.replicas {
            out.push(Row::pack([
                Datum::Text(&format!("u{}", replica.id.0)),
                Datum::Text(&replica.name),
                Datum::Text(&cluster.id.to_string()),
                Datum::Text(&replica.size),
                Datum::Text(OWNER_ID),
            ]));
        }
    }
}

fn cluster_replica_sizes(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for size in REPLICA_SIZES {
        out.push(Row::pack([
            Datum::Text(size.name),
            Datum::UInt(size.processes as u64),
            Datum::UInt(size.workers as u64),
        ]));
    }
}

fn types(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for typ in super::pg_type::system_types() {
        out.push(Row::pack([
            Datum::Text(&format!("s{}", typ.oid)),
            oid(typ.oid),
            Datum::Text("s2"),
            Datum::Text(&typ.name),
            Datum::Text(typ.category_name()),
            Datum::Text(OWNER_ID),
        ]));
    }
    for item in catalog.items.values() {
        let ItemDefinition::Type { typ } = &item.definition else { continue };
        let category = match typ {
            ScalarType::Enum(_) => "enum",
            ScalarType::List(_) => "list",
            ScalarType::Map(_) => "map",
            _ => "composite",
        };
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text(category),
            Datum::Text(OWNER_ID),
        ]));
    }
}

fn secrets(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (item, _) in catalog.secrets() {
        out.push(Row::pack([
            Datum::Text(&item.id.to_string()),
            oid(item.oid),
            Datum::Text(&schema_id(catalog, item)),
            Datum::Text(&item.name.item),
            Datum::Text(OWNER_ID),
        ]));
    }
}

fn roles(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (index, name) in ["materialize", "mz_system", "mz_support"].into_iter().enumerate() {
        let id = format!("s{}", index + 1);
        let role_oid = OWNER_OID + u32::try_from(index).expect("three roles");
        out.push(Row::pack([Datum::Text(&id), oid(role_oid), Datum::Text(name), Datum::TRUE]));
    }
}

fn object_dependencies(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for item in catalog.items.values() {
        for dependency in &item.depends_on {
            out.push(Row::pack([Datum::Text(&item.id.to_string()), Datum::Text(&dependency.to_string())]));
        }
    }
}

fn sessions(_: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (id, user) in &facts.sessions {
        out.push(Row::pack([Datum::Int(i64::from(*id)), Datum::Text(user)]));
    }
}
