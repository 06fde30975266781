//! The system catalog: relations computed from one version of the catalog when they are read.
//!
//! A query that reads them is answered from that version, as constants; nothing maintained may rest on them.

mod lookup;
mod mz;
mod pg;
mod pg_cast;
mod pg_empty;
mod pg_index;
mod pg_operator;
mod pg_proc;
mod pg_type;
mod reconfiguration;
mod replica;
mod secret;

pub use lookup::entries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use repr::composite::{Dimension, pack_array};
use repr::{CollectionId, Datum, Kind, RelationDesc, ReplicaId, Row, ScalarType};
use sql::{FullName, Item, ItemDefinition};

use crate::catalog::Catalog;

/// The schemas that belong to no database: name, id, oid.
pub(crate) const SCHEMAS: &[(&str, u64, u32)] = &[
    ("mz_catalog", 1, 16_384),
    ("pg_catalog", 2, 11),
    ("mz_internal", 3, 16_385),
    ("information_schema", 4, 13_000),
    ("mz_introspection", 5, 16_386),
];

/// The role that owns everything until roles exist.
pub(crate) const OWNER_ID: &str = "s1";
pub(crate) const OWNER_OID: u32 = 16_400;

/// One process of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaProcess {
    pub online: bool,
    /// Why it is not, if something is known.
    pub reason: Option<String>,
    /// The latest changes, oldest first.
    pub history: Vec<ProcessChange>,
    pub cpu_nano_cores: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// A process came up or went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessChange {
    pub at_wall_ms: u64,
    pub online: bool,
    pub reason: Option<String>,
}

/// What the catalog itself cannot know: the state of running things, as of the moment of the query.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The processes of each replica.
    pub replica_processes: BTreeMap<ReplicaId, Vec<ReplicaProcess>>,
    /// Secrets whose values are not in their store.
    pub secrets_missing: BTreeSet<CollectionId>,
    /// Sessions: connection id and user.
    pub sessions: Vec<(u32, String)>,
    /// The reader's database: `pg_catalog` shows it and what belongs to none. None: all.
    pub database: Option<String>,
    /// The reader's settings: name, value, description.
    pub settings: Vec<(String, String, String)>,
}

impl Facts {
    /// Whether the reader's `pg_catalog` shows an object of `database`.
    pub(crate) fn shows(&self, database: Option<&str>) -> bool {
        match (&self.database, database) {
            (Some(current), Some(database)) => current == database,
            _ => true,
        }
    }

    /// The relations and indexes that the reader's `pg_catalog` shows.
    pub(crate) fn items<'a>(&self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Item> {
        let is_relation =
            |item: &&Item| !matches!(item.definition, ItemDefinition::Type { .. } | ItemDefinition::Secret { .. });
        self.all_items(catalog).filter(is_relation)
    }

    /// As [`items`](Self::items), with types and secrets.
    pub(crate) fn all_items<'a>(&self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Item> {
        catalog.items.values().map(|item| &**item).filter(move |item| self.shows(item.name.database.as_deref()))
    }
}

/// A column's type in the tables below.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Text,
    OptionalText,
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    UInt8,
    OptionalUInt8,
    Oid,
    TextArray,
    OptionalTextArray,
    OptionalTimestampTz,
    Int2Array,
    OidArray,
    Jsonb,
}

impl Column {
    fn column_type(self) -> repr::ColumnType {
        match self {
            Column::Text => ScalarType::Text.not_null(),
            Column::OptionalText => ScalarType::Text.nullable(),
            Column::Bool => ScalarType::Bool.not_null(),
            Column::Int2 => ScalarType::Int2.not_null(),
            Column::Int4 => ScalarType::Int4.not_null(),
            Column::Int8 => ScalarType::Int8.not_null(),
            Column::Float4 => ScalarType::Float4.not_null(),
            Column::UInt8 => ScalarType::UInt8.not_null(),
            Column::OptionalUInt8 => ScalarType::UInt8.nullable(),
            Column::Oid => ScalarType::Oid.not_null(),
            Column::TextArray => ScalarType::Array(Box::new(ScalarType::Text)).not_null(),
            Column::OptionalTextArray => ScalarType::Array(Box::new(ScalarType::Text)).nullable(),
            Column::OptionalTimestampTz => ScalarType::TimestampTz(None).nullable(),
            Column::Int2Array => ScalarType::Array(Box::new(ScalarType::Int2)).not_null(),
            Column::OidArray => ScalarType::Array(Box::new(ScalarType::Oid)).not_null(),
            Column::Jsonb => ScalarType::Jsonb.not_null(),
        }
    }
}

/// One relation of the system catalog.
pub(crate) struct Builtin {
    /// Never given to another relation.
    pub(crate) id: u64,
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Column)],
    pub(crate) rows: fn(&Catalog, &Facts, &mut Vec<Row>),
}

fn builtins() -> impl Iterator<Item = &'static Builtin> {
    let families = [
        mz::BUILTINS,
        replica::BUILTINS,
        reconfiguration::BUILTINS,
        secret::BUILTINS,
        pg::BUILTINS,
        pg_type::BUILTINS,
        pg_index::BUILTINS,
        pg_proc::BUILTINS,
        pg_operator::BUILTINS,
        pg_cast::BUILTINS,
        pg_empty::BUILTINS,
    ];
    families.into_iter().flatten()
}

/// The oids of the functions of a name, each with the types of its arguments.
pub(crate) fn functions(name: &str) -> Vec<(u32, Vec<String>)> {
    let named = pg_proc::all().iter().filter(|procedure| procedure.name == name);
    named.map(|procedure| (procedure.oid, procedure.argument_names().map(str::to_owned).collect())).collect()
}

/// The oid of a role.
pub(crate) fn role_oid(role: &str) -> Option<u32> {
    pg::users().find(|(name, _, _)| *name == role).map(|(_, oid, _)| oid)
}

/// Adds the built-in relations to an empty catalog.
pub(crate) fn install(catalog: &mut Catalog) {
    for builtin in builtins() {
        let columns = builtin.columns.iter().map(|(name, column)| ((*name).to_owned(), column.column_type()));
        let name = FullName { database: None, schema: builtin.schema.to_owned(), item: builtin.name.to_owned() };
        let item = Item {
            id: CollectionId::System(builtin.id),
            oid: system_oid(builtin.id),
            name,
            create_sql: String::new(),
            depends_on: Default::default(),
            columns_seen: Default::default(),
            definition: ItemDefinition::Builtin { desc: RelationDesc::new(columns) },
        };
        catalog.insert_item(Arc::new(item));
    }
}

/// Built-in relations have oids from 17,000 on, users' objects from 20,000.
fn system_oid(id: u64) -> u32 {
    17_000 + u32::try_from(id).expect("there are few built-in relations")
}

/// The rows of a built-in relation; None if `id` names none.
pub fn rows(catalog: &Catalog, facts: &Facts, id: CollectionId) -> Option<Vec<Row>> {
    let CollectionId::System(number) = id else { return None };
    let builtin = builtins().find(|builtin| builtin.id == number)?;
    let mut rows = Vec::new();
    (builtin.rows)(catalog, facts, &mut rows);
    Some(rows)
}

/// A text datum, or NULL.
pub(crate) fn optional(text: Option<&str>) -> Datum<'_> {
    text.map_or(Datum::Null, Datum::Text)
}

/// Appends an array of one dimension to a row.
pub(crate) fn push_array(row: &mut Row, elements: &[Datum<'_>], kind: Kind) {
    let dimensions = [Dimension { length: elements.len(), lower: 1 }];
    row.push_packed(pack_array(elements, kind, if elements.is_empty() { &[] } else { &dimensions }).as_bytes());
}

pub(crate) fn oid(oid: u32) -> Datum<'static> {
    Datum::UInt(u64::from(oid))
}
