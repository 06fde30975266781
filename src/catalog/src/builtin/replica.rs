//! `mz_internal`: how the processes of replicas are doing.

use repr::{Datum, Row};

use super::Column::{OptionalText, OptionalTimestampTz, OptionalUInt8, Text, UInt8};
use super::{Builtin, Facts, ReplicaProcess, optional};
use crate::catalog::Catalog;
use crate::sizes::REPLICA_SIZES;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 19,
        schema: "mz_internal",
        name: "mz_cluster_replica_statuses",
        columns: &[
            ("replica_id", Text),
            ("process_id", UInt8),
            ("status", Text),
            ("reason", OptionalText),
            ("updated_at", OptionalTimestampTz),
        ],
        rows: statuses,
    },
    Builtin {
        id: 31,
        schema: "mz_internal",
        name: "mz_cluster_replica_status_history",
        columns: &[
            ("replica_id", Text),
            ("process_id", UInt8),
            ("status", Text),
            ("reason", OptionalText),
            ("occurred_at", OptionalTimestampTz),
        ],
        rows: status_history,
    },
    Builtin {
        id: 32,
        schema: "mz_internal",
        name: "mz_cluster_replica_metrics",
        columns: &[
            ("replica_id", Text),
            ("process_id", UInt8),
            ("cpu_nano_cores", OptionalUInt8),
            ("memory_bytes", OptionalUInt8),
            ("disk_bytes", OptionalUInt8),
        ],
        rows: metrics,
    },
];

/// Calls `each` with every process of every replica: the replica's id, the process's index, and what is known of it.
fn for_each_process(catalog: &Catalog, facts: &Facts, mut each: impl FnMut(&str, u64, &ReplicaProcess)) {
    let unknown = ReplicaProcess::default();
    for replica in catalog.clusters.values().flat_map(|cluster| &cluster.replicas) {
        let id = format!("u{}", replica.id.0);
        let known = facts.replica_processes.get(&replica.id).map_or(&[][..], Vec::as_slice);
        let size = REPLICA_SIZES.iter().find(|size| size.name == replica.size);
        let processes = size.map_or(known.len(), |size| size.processes);
        for index in 0..processes {
            each(&id, index as u64, known.get(index).unwrap_or(&unknown));
        }
    }
}

fn status(online: bool) -> Datum<'static> {
    Datum::Text(if online { "online" } else { "offline" })
}

fn time(wall_ms: u64) -> Datum<'static> {
    i64::try_from(wall_ms).ok().and_then(|ms| ms.checked_mul(1000)).map_or(Datum::Null, Datum::Timestamp)
}

fn statuses(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for_each_process(catalog, facts, |replica, index, process| {
        let updated_at = process.history.last().map_or(Datum::Null, |change| time(change.at_wall_ms));
        let reason = optional(process.reason.as_deref());
        out.push(Row::pack([Datum::Text(replica), Datum::UInt(index), status(process.online), reason, updated_at]));
    });
}

fn status_history(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for_each_process(catalog, facts, |replica, index, process| {
        for change in &process.history {
            let (reason, occurred_at) = (optional(change.reason.as_deref()), time(change.at_wall_ms));
            out.push(Row::pack([Datum::Text(replica), Datum::UInt(index), status(change.online), reason, occurred_at]));
        }
    });
}

fn metrics(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for_each_process(catalog, facts, |replica, index, process| {
        let amount = |amount: Option<u64>| amount.map_or(Datum::Null, Datum::UInt);
        let ReplicaProcess { cpu_nano_cores, memory_bytes, disk_bytes, .. } = process;
        let amounts = [cpu_nano_cores, memory_bytes, disk_bytes].map(|known| amount(*known));
        out.push(Row::pack([Datum::Text(replica), Datum::UInt(index)].into_iter().chain(amounts)));
    });
}
