//! Changes of replicas over small catalogs: who runs at each step, and that a restart finds the same.

use repr::ReplicaId;
use sql::CatalogView;

use crate::testing::Stored;
use crate::{AlterCluster, End, Op};

/// A catalog with a cluster `c`, size 1, of this many replicas.
fn with_cluster(replicas: usize) -> Stored {
    let mut stored = Stored::new();
    let names: Vec<String> = (1..=replicas).map(|number| format!("r{number} (SIZE '1')")).collect();
    stored.run(&format!("CREATE CLUSTER c REPLICAS ({})", names.join(", ")));
    if replicas > 0 {
        stored.run("ALTER CLUSTER c SET (MANAGED)");
    } else {
        stored.run("ALTER CLUSTER c SET (MANAGED, SIZE '1')");
    }
    stored
}

/// The cluster as a restart finds it: `2x1: r1(1)- r2(2)+` is to have two replicas of size 1, r1 goes and r2 comes.
fn shown(stored: &Stored) -> String {
    let loaded = stored.loaded();
    let cluster = loaded.cluster("c").expect("it is there");
    assert_eq!(cluster, stored.catalog.cluster("c").expect("it is there"));
    let change = cluster.reconfiguration.as_ref();
    let replicas = cluster.replicas.iter().map(|replica| {
        assert_eq!(loaded.service(replica.id), stored.catalog.service(replica.id));
        let comes = change.is_some_and(|change| change.pending.contains(&replica.id));
        let goes = change.is_some_and(|change| change.retiring.contains(&replica.id));
        let sign = if comes {
            "+"
        } else if goes {
            "-"
        } else {
            ""
        };
        format!(" {}({}){sign}", replica.name, replica.size)
    });
    let replicas: String = replicas.collect();
    let known = cluster.replicas.len();
    assert_eq!(loaded.replicas().filter(|(of, _)| of.name == "c").count(), known);
    assert_eq!(loaded.services.len(), known + 1, "quickstart's, and no more");
    match &cluster.size {
        Some(size) => format!("{}x{size}:{replicas}", cluster.replication_factor),
        None => format!("unmanaged:{replicas}"),
    }
}

fn end(stored: &mut Stored, end: End) -> String {
    let id = stored.catalog.cluster("c").expect("it is there").id;
    stored.commit(vec![Op::EndReconfiguration(id, end)]).expect("it ends");
    shown(stored)
}

fn run(stored: &mut Stored, text: &str) -> String {
    stored.run(text);
    shown(stored)
}

#[test]
fn another_size_runs_beside_the_former_until_the_end() {
    let mut stored = with_cluster(2);
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '2')"), "2x2: r1(1)- r2(1)- r3(2)+ r4(2)+");
    assert_eq!(end(&mut stored, End::CutOver), "2x2: r3(2) r4(2)");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '4', REPLICATION FACTOR 1)"), "1x4: r3(2)- r4(2)- r1(4)+");
    assert_eq!(end(&mut stored, End::RollBack), "2x2: r3(2) r4(2)");
    // There is nothing more to end.
    assert_eq!(end(&mut stored, End::RollBack), "2x2: r3(2) r4(2)");
}

#[test]
fn going_back_to_the_former_size_is_at_once() {
    let mut stored = with_cluster(1);
    run(&mut stored, "ALTER CLUSTER c SET (SIZE '2')");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '1')"), "1x1: r1(1)");
}

#[test]
fn a_third_size_takes_the_place_of_the_second() {
    let mut stored = with_cluster(1);
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '2')"), "1x2: r1(1)- r2(2)+");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '4')"), "1x4: r1(1)- r3(4)+");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (REPLICATION FACTOR 2)"), "2x4: r1(1)- r3(4)+ r2(4)+");
    assert_eq!(end(&mut stored, End::RollBack), "1x1: r1(1)");
}

#[test]
fn more_and_fewer_of_the_same_size_leave_the_others_alone() {
    let mut stored = with_cluster(1);
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (REPLICATION FACTOR 3)"), "3x1: r1(1) r2(1) r3(1)");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c RESET (REPLICATION FACTOR)"), "1x1: r1(1)");
    let awaited = "ALTER CLUSTER c SET (REPLICATION FACTOR 2) WITH (WAIT UNTIL READY)";
    assert_eq!(run(&mut stored, awaited), "2x1: r1(1) r2(1)+");
    assert_eq!(end(&mut stored, End::RollBack), "1x1: r1(1)");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (REPLICATION FACTOR 0)"), "0x1:");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (SIZE '2', REPLICATION FACTOR 1)"), "1x2: r1(2)");
}

#[test]
fn of_equal_replicas_those_that_answer_stay() {
    let mut stored = with_cluster(3);
    let cluster = stored.catalog.cluster("c").expect("it is there");
    let answering: ReplicaId = cluster.replicas[1].id;
    let mut to = cluster.managed().expect("it is managed");
    to.replication_factor = 1;
    let alter = AlterCluster {
        cluster: cluster.id,
        to: Some(to),
        hydrated: [answering].into(),
        deadline_wall_ms: 0,
        cutover: sql::catalog_view::Cutover::AtDeadline,
        is_awaited: false,
    };
    stored.commit(vec![Op::AlterCluster(alter)]).expect("it is altered");
    assert_eq!(shown(&stored), "1x1: r2(1)");
}

#[test]
fn what_is_unmanaged_keeps_its_replicas() {
    let mut stored = with_cluster(2);
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (MANAGED = false)"), "unmanaged: r1(1) r2(1)");
    assert_eq!(run(&mut stored, "ALTER CLUSTER c SET (MANAGED, SIZE '2')"), "2x2: r1(1)- r2(1)- r3(2)+ r4(2)+");
    assert_eq!(end(&mut stored, End::RollBack), "2x1: r1(1) r2(1)");
}

#[test]
fn nothing_is_left_of_a_cluster_that_is_dropped_meanwhile() {
    let mut stored = with_cluster(1);
    run(&mut stored, "ALTER CLUSTER c SET (SIZE '2')");
    stored.run("DROP CLUSTER c");
    assert_eq!(stored.loaded().services.len(), 1);
}
