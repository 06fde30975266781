//! The system relations that SHOW reads, with the columns it reads.

use std::collections::BTreeSet;

use repr::{CollectionId, RelationDesc, ScalarType};
use sql::{FullName, Item, ItemDefinition};

/// Schema, name, columns.
type Relation = (&'static str, &'static str, &'static [(&'static str, ScalarType)]);

const RELATIONS: [Relation; 14] = [
    ("mz_catalog", "mz_databases", &[("id", ScalarType::Text), ("name", ScalarType::Text)]),
    (
        "mz_catalog",
        "mz_schemas",
        &[("id", ScalarType::Text), ("database_id", ScalarType::Text), ("name", ScalarType::Text)],
    ),
    (
        "mz_catalog",
        "mz_objects",
        &[
            ("id", ScalarType::Text),
            ("schema_id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("type", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_tables",
        &[
            ("id", ScalarType::Text),
            ("schema_id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("source_id", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_views",
        &[("id", ScalarType::Text), ("schema_id", ScalarType::Text), ("name", ScalarType::Text)],
    ),
    (
        "mz_catalog",
        "mz_materialized_views",
        &[
            ("id", ScalarType::Text),
            ("schema_id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("cluster_id", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_sources",
        &[
            ("id", ScalarType::Text),
            ("schema_id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("type", ScalarType::Text),
            ("cluster_id", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_indexes",
        &[
            ("id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("on_id", ScalarType::Text),
            ("cluster_id", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_index_columns",
        &[
            ("index_id", ScalarType::Text),
            ("index_position", ScalarType::UInt8),
            ("on_position", ScalarType::UInt8),
            ("on_expression", ScalarType::Text),
        ],
    ),
    (
        "mz_catalog",
        "mz_columns",
        &[
            ("id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("position", ScalarType::UInt8),
            ("nullable", ScalarType::Bool),
            ("type", ScalarType::Text),
        ],
    ),
    ("mz_catalog", "mz_clusters", &[("id", ScalarType::Text), ("name", ScalarType::Text)]),
    (
        "mz_catalog",
        "mz_cluster_replicas",
        &[
            ("id", ScalarType::Text),
            ("name", ScalarType::Text),
            ("cluster_id", ScalarType::Text),
            ("size", ScalarType::Text),
        ],
    ),
    (
        "mz_internal",
        "mz_comments",
        &[
            ("id", ScalarType::Text),
            ("object_type", ScalarType::Text),
            ("object_sub_id", ScalarType::UInt8),
            ("comment", ScalarType::Text),
        ],
    ),
    ("mz_internal", "mz_cluster_replica_statuses", &[("replica_id", ScalarType::Text), ("status", ScalarType::Text)]),
];

const MORE: [(&str, &[&str]); 2] = [("mz_types", &["id", "schema_id", "name"]), ("mz_roles", &["id", "name"])];

/// All of them.
pub(crate) fn items() -> Vec<Item> {
    let typed = RELATIONS.iter().map(|(schema, relation, columns)| {
        let columns = columns.iter().map(|(name, typ)| (name.to_string(), typ.clone().nullable()));
        (*schema, *relation, RelationDesc::new(columns))
    });
    let text = MORE.iter().map(|(relation, columns)| {
        let columns = columns.iter().map(|name| (name.to_string(), ScalarType::Text.nullable()));
        ("mz_catalog", *relation, RelationDesc::new(columns))
    });
    typed
        .chain(text)
        .enumerate()
        .map(|(index, (schema, relation, desc))| Item {
            id: CollectionId::System(index as u64),
            oid: 0,
            name: FullName { database: None, schema: schema.to_owned(), item: relation.to_owned() },
            create_sql: String::new(),
            depends_on: BTreeSet::new(),
            columns_seen: Default::default(),
            definition: ItemDefinition::Builtin { desc },
        })
        .collect()
}
