//! `mz_internal`: clusters whose replicas are being replaced by others.

use repr::jsonb::JsonbRef;
use repr::{Arena, Datum, Row};

use super::Column::{Jsonb, Text};
use super::{Builtin, Facts};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 33,
        schema: "mz_internal",
        name: "mz_pending_cluster_replicas",
        columns: &[("id", Text)],
        rows: pending_replicas,
    },
    Builtin {
        id: 34,
        schema: "mz_internal",
        name: "mz_cluster_reconfigurations",
        columns: &[("cluster_id", Text), ("status", Text), ("target", Jsonb)],
        rows: reconfigurations,
    },
];

fn pending_replicas(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (_, reconfiguration) in catalog.reconfigurations() {
        let ids = reconfiguration.pending.iter().map(|replica| format!("u{}", replica.0));
        out.extend(ids.map(|id| Row::pack([Datum::Text(&id)])));
    }
}

/// Those that have not ended: `target` is what the cluster is to be.
fn reconfigurations(catalog: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    let arena = Arena::default();
    for (id, _) in catalog.reconfigurations() {
        let Some(target) = catalog.cluster_by_id(id).and_then(|cluster| cluster.managed()) else { continue };
        let target = serde_json::to_string(&target).expect("a size and a number");
        let target = JsonbRef::parse(&target, &arena).expect("it was just printed");
        out.push(Row::pack([Datum::Text(&id.to_string()), Datum::Text("in-progress"), Datum::Jsonb(target)]));
    }
}
