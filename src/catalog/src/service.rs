//! Which service runs each replica: a number that no other service of the environment ever gets.
//!
//! A deploy generation has services of its own, so that its replicas run beside those of the one before. The numbers are durable:
//! whoever leads the same generation next finds its replicas running.

use repr::{Diff, ReplicaId, ServiceId};

use crate::catalog::Catalog;
use crate::record::Record;
use crate::transact::Transaction;

impl Catalog {
    /// The service that runs a replica.
    pub fn service(&self, replica: ReplicaId) -> ServiceId {
        *self.services.get(&replica).expect("a replica has a service from its making on, and in each new generation")
    }

    /// Whether replicas have no services in this generation yet: it begins, or an earlier version has written the catalog.
    pub fn needs_services(&self, generation: u64) -> bool {
        generation != self.generation || self.replicas().any(|(_, replica)| !self.services.contains_key(&replica))
    }
}

impl Transaction {
    pub(crate) fn assign_service(&mut self, replica: ReplicaId) {
        let service = ServiceId(self.out.catalog.next_service);
        self.out.catalog.next_service += 1;
        self.write(&Record::Service { number: service.0, replica: replica.0 }, Diff::ONE);
        self.out.catalog.services.insert(replica, service);
    }

    pub(crate) fn release_service(&mut self, replica: ReplicaId) {
        if let Some(service) = self.out.catalog.services.remove(&replica) {
            self.write(&Record::Service { number: service.0, replica: replica.0 }, Diff::MINUS_ONE);
        }
    }

    pub(crate) fn begin_generation(&mut self, generation: u64) {
        self.out.catalog.generation = generation;
        let replicas: Vec<ReplicaId> = self.out.catalog.replicas().map(|(_, replica)| replica).collect();
        for replica in replicas {
            self.release_service(replica);
            self.assign_service(replica);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::Op;
    use crate::testing::Stored;

    fn numbers(stored: &Stored) -> Vec<u64> {
        let catalog = stored.loaded();
        catalog.replicas().map(|(_, replica)| catalog.service(replica).0).collect()
    }

    #[test]
    fn numbers_are_never_given_twice() {
        let mut stored = Stored::new();
        assert_eq!(numbers(&stored), [0]);
        let mut seen = BTreeSet::new();
        for round in 0..3 {
            stored.run("CREATE CLUSTER c REPLICAS (r1 (SIZE '1'), r2 (SIZE '1'))");
            let of_cluster: Vec<u64> = numbers(&stored).into_iter().filter(|number| *number > 0).collect();
            assert_eq!(of_cluster, [2 * round + 1, 2 * round + 2]);
            assert!(of_cluster.into_iter().all(|number| seen.insert(number)));
            stored.run("DROP CLUSTER c");
            assert_eq!(numbers(&stored), [0]);
        }
    }

    #[test]
    fn a_generation_has_services_of_its_own() {
        let mut stored = Stored::new();
        stored.run("CREATE CLUSTER c REPLICAS (r1 (SIZE '1'), r2 (SIZE '1'))");
        let before: BTreeSet<u64> = numbers(&stored).into_iter().collect();
        assert!(!stored.loaded().needs_services(0));
        assert!(stored.loaded().needs_services(7));
        stored.commit(vec![Op::BeginGeneration(7)]).unwrap();
        let loaded = stored.loaded();
        assert!(!loaded.needs_services(7));
        assert!(numbers(&stored).into_iter().all(|number| !before.contains(&number)));
        // Counters and services are read back as they were left.
        assert_eq!(loaded.services, stored.catalog.services);
        assert_eq!((loaded.next_service, loaded.generation), (6, 7));
    }

    #[test]
    fn the_catalog_of_an_earlier_version_gets_services() {
        let mut stored = Stored::without_services();
        assert!(stored.loaded().needs_services(0));
        stored.commit(vec![Op::BeginGeneration(0)]).unwrap();
        assert!(!stored.loaded().needs_services(0));
        assert_eq!(numbers(&stored), [0]);
    }
}
