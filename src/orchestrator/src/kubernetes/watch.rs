//! Pods become events of services.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::Api;
use kube::runtime::watcher::{self, Event};
use stdx::Backoff;

use super::namespace::Shared;
use super::plan::Kind;
use crate::orchestrator::{OfflineReason, ProcessStatus, ServiceEvent};

/// Below the time for which proxies keep a silent connection.
const WATCH_SECONDS: u32 = 59;

/// Exit codes of processes that the kernel killed for want of memory: by SIGBUS, by SIGKILL, and as runtimes report it.
const OUT_OF_MEMORY_CODES: [i32; 3] = [135, 137, 167];

/// Watches the pods of a namespace for ever.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let pods: Api<Pod> = Api::namespaced(shared.cluster.client.clone(), &shared.cluster.namespace);
    let config = watcher::Config::default().labels(&shared.contract.selector()).timeout(WATCH_SECONDS);
    let mut events = pin!(watcher::watcher(pods, config));
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut tracker = Tracker::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                backoff.reset();
                for event in tracker.changes(event, |pod| shared.look_at(pod)) {
                    shared.tell(event);
                }
            }
            Err(error) => {
                let why = match &error {
                    watcher::Error::InitialListFailed(error) => shared.cluster.explain(Kind::Pod, "list", error),
                    watcher::Error::WatchStartFailed(error) => shared.cluster.explain(Kind::Pod, "watch", error),
                    other => other.to_string(),
                };
                tracing::warn!(why, "the watch of pods broke; beginning again");
                shared.cluster.tasks.sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// What is known of each process, so that only changes are told.
#[derive(Default)]
pub(crate) struct Tracker {
    known: BTreeMap<(String, usize), ServiceEvent>,
    /// While all pods are listed anew: those that were in the list.
    listed: Option<BTreeSet<(String, usize)>>,
}

impl Tracker {
    /// The events that follow from one of the watch; `look` tells a pod's, if it is a service's.
    pub(crate) fn changes(
        &mut self,
        event: Event<Pod>,
        mut look: impl FnMut(&Pod) -> Option<ServiceEvent>,
    ) -> Vec<ServiceEvent> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(pod) => {
                let Some(event) = look(&pod) else { return Vec::new() };
                if let Some(listed) = &mut self.listed {
                    listed.insert(process(&event));
                }
                self.change(event)
            }
            Event::Apply(pod) => look(&pod).map_or_else(Vec::new, |event| self.change(event)),
            Event::Delete(pod) => {
                let Some(event) = look(&pod) else { return Vec::new() };
                let events = self.change(gone(event.clone()));
                self.known.remove(&process(&event));
                events
            }
            Event::InitDone => {
                // Those that went while nobody watched.
                let listed = self.listed.take().unwrap_or_default();
                let missing = self.known.extract_if(.., |process, _| !listed.contains(process));
                missing.map(|(_, event)| gone(event)).collect()
            }
        }
    }

    fn change(&mut self, event: ServiceEvent) -> Vec<ServiceEvent> {
        let known = self.known.insert(process(&event), event.clone());
        if known.as_ref() == Some(&event) { Vec::new() } else { vec![event] }
    }
}

fn process(event: &ServiceEvent) -> (String, usize) {
    (event.service_id.clone(), event.process)
}

fn gone(event: ServiceEvent) -> ServiceEvent {
    ServiceEvent { status: ProcessStatus::Offline(OfflineReason::Stopped), ..event }
}

/// The index of a pod of a StatefulSet.
pub(crate) fn ordinal(pod_name: &str) -> Option<usize> {
    pod_name.rsplit_once('-')?.1.parse().ok()
}

/// How a pod is, and how often its containers were restarted.
pub(crate) fn status(pod: &Pod) -> (ProcessStatus, u64) {
    let Some(status) = &pod.status else { return (ProcessStatus::Offline(OfflineReason::Initializing), 0) };
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let restarts = containers.iter().map(|container| u64::try_from(container.restart_count).unwrap_or(0)).sum();
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let condition = |name: &str| conditions.iter().find(|condition| condition.type_ == name);
    let stopped = pod.metadata.deletion_timestamp.is_some();
    if stopped {
        return (ProcessStatus::Offline(OfflineReason::Stopped), restarts);
    }
    if condition("Ready").is_some_and(|ready| ready.status == "True") {
        return (ProcessStatus::Online, restarts);
    }
    if let Some(reason) = containers.iter().find_map(container_reason) {
        return (ProcessStatus::Offline(reason), restarts);
    }
    let reason = match condition("PodScheduled") {
        Some(scheduled) if scheduled.status == "False" => {
            OfflineReason::Unschedulable(scheduled.message.clone().unwrap_or_default())
        }
        _ if status.reason.as_deref() == Some("Evicted") => {
            OfflineReason::Exited(format!("evicted: {}", status.message.as_deref().unwrap_or_default()))
        }
        _ => OfflineReason::Initializing,
    };
    (ProcessStatus::Offline(reason), restarts)
}

/// Why a container does not run, if there is a reason.
fn container_reason(container: &ContainerStatus) -> Option<OfflineReason> {
    let state = container.state.as_ref()?;
    if let Some(terminated) = &state.terminated {
        return Some(ended(terminated));
    }
    let waiting = state.waiting.as_ref()?;
    let message = || waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(OfflineReason::ImagePull(message())),
        "ContainerCreating" | "PodInitializing" => None,
        reason => {
            // It waits to be started again: what matters is how it ended.
            let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            Some(last.map_or_else(|| OfflineReason::Refused(format!("{reason}: {}", message())), ended))
        }
    }
}

fn ended(terminated: &ContainerStateTerminated) -> OfflineReason {
    if terminated.reason.as_deref() == Some("OOMKilled") || OUT_OF_MEMORY_CODES.contains(&terminated.exit_code) {
        return OfflineReason::OutOfMemory;
    }
    OfflineReason::Exited(format!("exit status: {}", terminated.exit_code))
}
