//! The built-in table of replica sizes.

use sql::catalog_view::ReplicaSize;

/// Sizes by timely workers and processes; memory and cpu are the machine's on one host.
pub const REPLICA_SIZES: &[ReplicaSize] = &[
    ReplicaSize { name: "1", workers: 1, processes: 1 },
    ReplicaSize { name: "2", workers: 2, processes: 1 },
    ReplicaSize { name: "4", workers: 4, processes: 1 },
    ReplicaSize { name: "8", workers: 8, processes: 1 },
    ReplicaSize { name: "16", workers: 16, processes: 1 },
    ReplicaSize { name: "1x2", workers: 1, processes: 2 },
    ReplicaSize { name: "2x2", workers: 2, processes: 2 },
    ReplicaSize { name: "4x2", workers: 4, processes: 2 },
    ReplicaSize { name: "25cc", workers: 1, processes: 1 },
    ReplicaSize { name: "50cc", workers: 1, processes: 1 },
    ReplicaSize { name: "100cc", workers: 2, processes: 1 },
    ReplicaSize { name: "200cc", workers: 4, processes: 1 },
    ReplicaSize { name: "400cc", workers: 8, processes: 1 },
];
