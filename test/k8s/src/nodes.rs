//! Nodes that are not there: pods that are bound to them are said to run.

use std::pin::pin;

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use stdx::{Task, Tasks};

/// Some nodes, each in a zone of its own. Dropping it leaves their pods as they are.
pub struct Nodes {
    _kubelet: Task,
}

impl Nodes {
    /// Makes nodes `NAME-0`, `NAME-1`, … labelled `lab=NAME`, in zones `zone-0`, `zone-1`, … and attends to the pods of the
    /// namespace of that name.
    pub async fn start(client: Client, name: &str, count: usize) -> Result<Nodes> {
        let nodes: Api<Node> = Api::all(client.clone());
        for index in 0..count {
            let node_name = format!("{name}-{index}");
            let node: Node = serde_json::from_value(json!({
                "metadata": { "name": node_name, "labels": {
                    "lab": name,
                    "kubernetes.io/hostname": node_name,
                    "topology.kubernetes.io/zone": format!("zone-{index}"),
                } },
            }))?;
            nodes.create(&PostParams::default(), &node).await?;
            let capacity = json!({ "cpu": "64", "memory": "512Gi", "pods": "500" });
            let status = json!({ "status": {
                "capacity": capacity, "allocatable": capacity,
                "conditions": [{ "type": "Ready", "status": "True", "reason": "Lab", "message": "said to be" }],
            } });
            nodes.patch_status(&node_name, &PatchParams::default(), &Patch::Merge(&status)).await?;
            // The node controller taints new nodes until it has seen that they are ready.
            let untainted = json!({ "spec": { "taints": null } });
            nodes.patch(&node_name, &PatchParams::default(), &Patch::Merge(&untainted)).await?;
        }
        let kubelet = Tasks::tokio().spawn("kubelet", kubelet(Api::namespaced(client, name)));
        Ok(Nodes { _kubelet: kubelet })
    }
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
