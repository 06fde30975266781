//! Nodes that are not there, and of some it is said that their pods run.

use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stdx::{Task, Tasks};

/// How often a node is heard of.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Some nodes, each in a zone of its own. Dropping it leaves their pods as they are.
pub struct Nodes {
    _tasks: [Task; 2],
}

impl Nodes {
    /// Makes nodes `NAME-0`, `NAME-1`, … labelled `lab=NAME`, in zones `zone-0`, `zone-1`, … and attends to the pods of the
    /// namespace of that name.
    pub async fn start(client: Client, name: &str, count: usize) -> Result<Nodes> {
        let names: Vec<String> = (0..count).map(|index| format!("{name}-{index}")).collect();
        for (index, node) in names.iter().enumerate() {
            register(&client, node, name, index).await?;
        }
        let pods = Api::namespaced(client.clone(), name);
        let tasks = Tasks::tokio();
        Ok(Nodes {
            _tasks: [tasks.spawn("heartbeats", heartbeats(client, names)), tasks.spawn("kubelet", kubelet(pods))],
        })
    }
}

async fn heartbeats(client: Client, nodes: Vec<String>) {
    loop {
        for node in &nodes {
            beat(&client, node).await;
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Makes a node, labelled `lab=NAME`.
pub(crate) async fn register(client: &Client, name: &str, lab: &str, zone: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": { "name": name, "labels": {
            "lab": lab,
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{zone}"),
        } },
    }))?;
    nodes.create(&PostParams::default(), &node).await?;
    beat(client, name).await;
    // The node controller taints new nodes until it has seen that they are ready.
    let untainted = json!({ "spec": { "taints": null } });
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(&untainted)).await?;
    Ok(())
}

/// Says that a node is ready, and renews its lease.
pub(crate) async fn beat(client: &Client, node: &str) {
    let capacity = json!({ "cpu": "64", "memory": "512Gi", "pods": "500" });
    let status = json!({ "status": {
        "capacity": capacity, "allocatable": capacity,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Lab", "message": "said to be" }],
    } });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": node },
        "spec": { "holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": MicroTime(Timestamp::now()) },
    });
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    // What fails is done by the next beat.
    let _ = nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(&status)).await;
    let _ = leases.patch(node, &PatchParams::apply("kubelet"), &Patch::Apply(&lease)).await;
}

/// Says of bound pods that they run, and lets those go that are to be deleted.
async fn kubelet(pods: Api<Pod>) {
    let mut events = pin!(watcher::watcher(pods.clone(), watcher::Config::default()));
    while let Some(event) = events.next().await {
        let (Ok(Event::Apply(pod)) | Ok(Event::InitApply(pod))) = event else { continue };
        // What fails was changed or removed meanwhile, and there is another event for it.
        let _ = attend(&pods, &pod).await;
    }
}

async fn attend(pods: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    let name = pod.name_any();
    let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    if pod.metadata.deletion_timestamp.is_some() {
        if bound {
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        }
        return Ok(());
    }
    let started = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    if bound && !started {
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&running())).await?;
    }
    Ok(())
}

fn running() -> Value {
    json!({ "status": {
        "phase": "Running",
        "conditions": [
            { "type": "PodScheduled", "status": "True" },
            { "type": "Initialized", "status": "True" },
            { "type": "ContainersReady", "status": "True" },
            { "type": "Ready", "status": "True" },
        ],
        "containerStatuses": [{
            "name": "main", "image": "lab", "imageID": "", "ready": true, "restartCount": 0,
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
        }],
    } })
}
