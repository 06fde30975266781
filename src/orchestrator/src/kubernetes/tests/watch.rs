//! What pods say of their processes, and what a watch with gaps makes of it.

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use crate::kubernetes::watch::{Tracker, ordinal, status};
use crate::orchestrator::OfflineReason::{
    Exited, ImagePull, Initializing, OutOfMemory, Refused, Stopped, Unschedulable,
};
use crate::orchestrator::{OfflineReason, ProcessStatus, ServiceEvent};

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "compute-cluster-1-0" }, "status": status })).unwrap()
}

fn container(state: Value, last: Value, restarts: u64) -> Value {
    json!({ "containerStatuses": [{
        "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }] })
}

fn offline(reason: OfflineReason, restarts: u64) -> (ProcessStatus, u64) {
    (ProcessStatus::Offline(reason), restarts)
}

#[test]
fn pods_say_how_their_processes_are() {
    let none = json!({});
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    assert_eq!(status(&pod(ready.clone())), (ProcessStatus::Online, 0));
    assert_eq!(status(&pod(json!({ "phase": "Pending" }))), offline(Initializing, 0));
    let unschedulable = json!({ "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" },
    ] });
    assert_eq!(status(&pod(unschedulable)), offline(Unschedulable("0/3 nodes".to_owned()), 0));
    for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"] {
        let waiting =
            container(json!({ "waiting": { "reason": reason, "message": "no such image" } }), none.clone(), 0);
        assert_eq!(status(&pod(waiting)), offline(ImagePull("no such image".to_owned()), 0));
    }
    let killed = |code: i32, reason: &str| json!({ "terminated": { "exitCode": code, "reason": reason } });
    let looping = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } });
    for state in [killed(137, "OOMKilled"), killed(1, "OOMKilled"), killed(135, "Error"), killed(167, "Error")] {
        assert_eq!(status(&pod(container(state.clone(), none.clone(), 0))), offline(OutOfMemory, 0));
        assert_eq!(status(&pod(container(looping.clone(), state, 3))), offline(OutOfMemory, 3));
    }
    let exited = container(looping, killed(2, "Error"), 1);
    assert_eq!(status(&pod(exited)), offline(Exited("exit status: 2".to_owned()), 1));
    let refused = container(
        json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "secret not found" } }),
        none.clone(),
        0,
    );
    assert_eq!(status(&pod(refused)), offline(Refused("CreateContainerConfigError: secret not found".to_owned()), 0));
    let creating = container(json!({ "waiting": { "reason": "ContainerCreating" } }), none, 0);
    assert_eq!(status(&pod(creating)), offline(Initializing, 0));
    let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" });
    assert_eq!(status(&pod(evicted)), offline(Exited("evicted: low on memory".to_owned()), 0));
    let mut going = pod(ready);
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(status(&going), offline(Stopped, 0));
    assert_eq!(status(&Pod::default()), offline(Initializing, 0));
}

#[test]
fn ordinals_are_behind_the_last_dash() {
    assert_eq!(ordinal("compute-cluster-1-12"), Some(12));
    assert_eq!(ordinal("compute-cluster"), None);
    assert_eq!(ordinal("x"), None);
}

fn named(name: &str, ready: bool) -> Pod {
    let status = json!({ "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] });
    serde_json::from_value(json!({ "metadata": { "name": name }, "status": status })).unwrap()
}

fn look(pod: &Pod) -> Option<ServiceEvent> {
    let process = ordinal(pod.metadata.name.as_deref()?)?;
    let (status, restarts) = status(pod);
    Some(ServiceEvent { service_id: "cluster-1".to_owned(), process, status, restarts })
}

fn shown(tracker: &mut Tracker, event: Event<Pod>) -> Vec<(usize, ProcessStatus)> {
    tracker.changes(event, look).into_iter().map(|event| (event.process, event.status)).collect()
}

#[test]
fn only_changes_are_told_and_none_is_missed_in_a_gap() {
    let mut tracker = Tracker::default();
    let initializing = ProcessStatus::Offline(Initializing);
    assert!(shown(&mut tracker, Event::Init).is_empty());
    assert_eq!(shown(&mut tracker, Event::InitApply(named("a-0", true))), [(0, ProcessStatus::Online)]);
    assert_eq!(shown(&mut tracker, Event::InitApply(named("a-1", false))), [(1, initializing)]);
    assert!(shown(&mut tracker, Event::InitDone).is_empty());
    assert!(shown(&mut tracker, Event::Apply(named("a-0", true))).is_empty());
    assert_eq!(shown(&mut tracker, Event::Apply(named("a-1", true))), [(1, ProcessStatus::Online)]);
    // The watch began anew: one pod went meanwhile, the other is as it was.
    assert!(shown(&mut tracker, Event::Init).is_empty());
    assert!(shown(&mut tracker, Event::InitApply(named("a-1", true))).is_empty());
    assert_eq!(shown(&mut tracker, Event::InitDone), [(0, ProcessStatus::Offline(Stopped))]);
    assert_eq!(shown(&mut tracker, Event::Delete(named("a-1", true))), [(1, ProcessStatus::Offline(Stopped))]);
    assert_eq!(shown(&mut tracker, Event::Apply(named("a-1", true))), [(1, ProcessStatus::Online)]);
    // What does not belong to a service is not looked at.
    assert!(shown(&mut tracker, Event::Apply(named("stranger", true))).is_empty());
}
