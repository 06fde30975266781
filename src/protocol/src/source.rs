//! Descriptions of sources.

use repr::{CollectionId, RelationDesc, ShardId};
use serde::{Deserialize, Serialize};

/// A running source: a connection to something outside and the relations it fills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ingestion {
    pub id: CollectionId,
    pub connection: SourceConnection,
    /// Records which offsets each time stands for. Row: `(offset uint8)`; also the source's progress relation.
    pub remap_shard: ShardId,
    pub exports: Vec<SourceExport>,
}

/// One relation of a source, written to its own shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceExport {
    pub id: CollectionId,
    pub shard: ShardId,
    /// The upstream relation, such as `bids`.
    pub reference: String,
    pub desc: RelationDesc,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceConnection {
    LoadGenerator(LoadGenerator),
}

/// A deterministic generator: its output is a function of the offset alone (and of the time of its first tick).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadGenerator {
    pub kind: LoadGeneratorKind,
    /// None: TPCH without ticks, which is complete after its snapshot.
    pub tick_interval_ms: Option<u64>,
    /// Ticks emitted at once at the start.
    pub as_of: u64,
    /// The tick at which it ends.
    pub up_to: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadGeneratorKind {
    Auction,
    Counter {
        max_cardinality: Option<u64>,
    },
    /// Row counts are those of `scale_factor_millionths / 1e6`.
    Tpch {
        scale_factor_millionths: u64,
    },
}

impl LoadGenerator {
    /// The relations it offers, by upstream name: what CREATE SOURCE ... FOR ALL TABLES makes.
    pub fn relations(&self) -> Vec<(&'static str, RelationDesc)> {
        crate::source_relations::relations(&self.kind)
    }

    /// Whether no row of the upstream relation is ever taken back.
    pub fn only_grows(&self, reference: &str) -> bool {
        match self.kind {
            LoadGeneratorKind::Auction => true,
            LoadGeneratorKind::Counter { max_cardinality } => max_cardinality.is_none(),
            // A tick takes back an order and its lines, and puts others in their place.
            LoadGeneratorKind::Tpch { .. } => {
                self.tick_interval_ms.is_none() || !matches!(reference, "orders" | "lineitem")
            }
        }
    }
}
