//! The durable form of the catalog: one row for each record, (kind, key, value), the value in JSON.
//!
//! JSON, because records are few, are read by people in a bad hour, and grow fields from version to version.

use repr::{Datum, Kind, Row, ShardId};
use serde::{Deserialize, Serialize};
use sql::catalog_view::Reconfiguration;

/// The collection that holds the catalog; a member of the tables' group, so that DDL and data commit together.
pub const CATALOG_SHARD: ShardId = ShardId(0);

/// The kinds of a durable record's columns.
pub fn catalog_kinds() -> [Kind; 3] {
    [Kind::Text, Kind::Text, Kind::Text]
}

/// One durable record. Variants and fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The next number for an id of any kind, for an oid, and for a service of replicas; the deploy generation that the services
    /// are of.
    Counters {
        next_id: u64,
        next_oid: u32,
        #[serde(default, skip_serializing_if = "is_zero")]
        next_service: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        generation: u64,
    },
    Database {
        id: u64,
        oid: u32,
        name: String,
    },
    Schema {
        id: u64,
        oid: u32,
        database: String,
        name: String,
    },
    Cluster {
        id: u64,
        name: String,
        size: Option<String>,
        replication_factor: u32,
        replicas: Vec<ReplicaRecord>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconfiguration: Option<Reconfiguration>,
    },
    Item {
        id: u64,
        oid: u32,
        database: String,
        schema: String,
        name: String,
        create_sql: String,
        /// Of tables that have got more columns since it was made: their ids, and how many it knows. Pairs, for the keys of a
        /// JSON object are text, which serde does not read as numbers inside a tagged enum.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns_seen: Vec<(u64, usize)>,
    },
    /// The service that runs a replica in the generation of the counters.
    Service {
        number: u64,
        replica: u64,
    },
}

/// What was zero before there was such a field is written as it was then, so that it can be retracted.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaRecord {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) size: String,
}

/// A durable record that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("unreadable catalog record {key}: {reason}")]
pub(crate) struct BadRecord {
    pub(crate) key: String,
    pub(crate) reason: String,
}

impl Record {
    fn kind_and_key(&self) -> (&'static str, String) {
        match self {
            Record::Counters { .. } => ("counters", String::new()),
            Record::Database { id, .. } => ("database", id.to_string()),
            Record::Schema { id, .. } => ("schema", id.to_string()),
            Record::Cluster { id, .. } => ("cluster", id.to_string()),
            Record::Item { id, .. } => ("item", id.to_string()),
            Record::Service { number, .. } => ("service", number.to_string()),
        }
    }

    pub(crate) fn to_row(&self) -> Row {
        let (kind, key) = self.kind_and_key();
        let value = serde_json::to_string(self).expect("records have string keys only");
        Row::pack([Datum::Text(kind), Datum::Text(&key), Datum::Text(&value)])
    }

    pub(crate) fn from_row(row: &Row) -> Result<Record, BadRecord> {
        let bad = |key: &str, reason: String| BadRecord { key: key.to_owned(), reason };
        repr::row::check(row.as_bytes(), &catalog_kinds()).map_err(|error| bad("?", error.to_string()))?;
        let datums = row.unpack(&catalog_kinds());
        let (kind, key, value) = (datums[0].unwrap_text(), datums[1].unwrap_text(), datums[2].unwrap_text());
        serde_json::from_str(value).map_err(|error| bad(&format!("{kind} {key}"), error.to_string()))
    }
}
