//! Provisions directories for claims of one StorageClass; binding them is the controller's.

use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::json;

/// The StorageClass whose volumes are directories of this machine; it is the default one.
const STORAGE_CLASS: &str = "directories";

const PROVISIONER: &str = "kubelab.test/directories";

/// Makes the StorageClass.
pub(crate) async fn create_class(client: &Client) -> Result<()> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": { "name": STORAGE_CLASS, "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "Immediate",
    }))?;
    Api::<StorageClass>::all(client.clone()).create(&PostParams::default(), &class).await?;
    Ok(())
}

/// Makes a volume for each claim, and removes it with its claim.
pub(crate) async fn provision(client: Client, directory: PathBuf) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    let mut events = pin!(watcher::watcher(claims, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        // What fails is tried again when the claim changes next, which the controllers see to.
        let _ = match event {
            Ok(Event::Apply(claim) | Event::InitApply(claim)) => make(&volumes, &directory, &claim).await,
            Ok(Event::Delete(claim)) => remove(&volumes, &directory, &claim).await,
            Ok(Event::Init | Event::InitDone) | Err(_) => Ok(()),
        };
    }
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

async fn make(volumes: &Api<PersistentVolume>, directory: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let name = volume_name(claim);
    let Some(spec) = &claim.spec else { return Ok(()) };
    let ours = spec.storage_class_name.as_deref() == Some(STORAGE_CLASS);
    if !ours || spec.volume_name.is_some() || volumes.get_opt(&name).await?.is_some() {
        return Ok(());
    }
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": PROVISIONER } },
        "spec": {
            "capacity": spec.resources.as_ref().and_then(|resources| resources.requests.clone()),
            "accessModes": spec.access_modes,
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": { "path": directory.join(&name) },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(), "uid": claim.uid(),
            },
        },
    }))?;
    volumes.create(&PostParams::default(), &volume).await?;
    Ok(())
}

async fn remove(volumes: &Api<PersistentVolume>, directory: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let name = volume_name(claim);
    if volumes.get_opt(&name).await?.is_some() {
        volumes.delete(&name, &DeleteParams::default()).await?;
        std::fs::remove_dir_all(directory.join(&name))?;
    }
    Ok(())
}
