//! The services of one orchestrator namespace: what is wanted, and the task that makes it so.
//!
//! Whoever wants something writes it down and goes on. One task takes what is due, in turn, reads what there is, plans, acts,
//! and looks again until there is nothing left to do; what fails is due again a while later, for ever. What is as wanted is
//! looked at again from time to time, since others may change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use stdx::{Backoff, Task};
use tokio::sync::{Notify, broadcast};

use super::KubernetesConfig;
use super::api::{CallError, Cluster};
use super::contract::{Contract, Labels, object_name};
use super::credentials::ServiceIssuer;
use super::objects::{Owner, ServiceObjects, Surroundings, budget_name};
use super::plan::{self, Action, Kind, Mark, Observed, Obstacle, reference};
use super::{metrics, watch};
use crate::orchestrator::{
    NamespacedOrchestrator, OfflineReason, OrchestratorError, ProcessMetrics, ProcessStatus, Service, ServiceConfig,
    ServiceEvent,
};

/// Status events a slow watcher may be behind.
const EVENTS_CAPACITY: usize = 256;

/// The longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How often what is as wanted is looked at.
const RESYNC: Duration = Duration::from_secs(60);

/// How often one turn may look again before others get theirs.
const ROUNDS_MAX: usize = 8;

/// One namespace. Dropping it ends its tasks; its services run on.
pub(crate) struct KubernetesNamespace {
    shared: Arc<Shared>,
    _tasks: [Task; 2],
}

/// What callers, the worker and the watch share.
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) contract: Contract,
    config: KubernetesConfig,
    owner: Option<Owner>,
    issuer: Option<ServiceIssuer>,
    template_key: String,
    state: Mutex<State>,
    changed: Notify,
    events: broadcast::Sender<ServiceEvent>,
}

#[derive(Default)]
struct State {
    services: BTreeMap<String, Wanted>,
    /// When each item is next looked at, by the boot clock.
    due: BTreeMap<Item, Duration>,
    failures: BTreeMap<Item, Failures>,
    /// Services that have been as they are wanted: of their processes the watch knows, whatever fails later.
    made: BTreeSet<String>,
}

#[derive(Clone)]
enum Wanted {
    Present(Arc<ServiceObjects>),
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Service(String),
    /// The disruption budgets of all stand-ins.
    Budgets,
}

struct Failures {
    backoff: Backoff,
    told: String,
}

/// Why an item is not as wanted yet.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Issue(#[from] OrchestratorError),
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    #[error("the objects keep changing under our hands")]
    Restless,
}

impl KubernetesNamespace {
    pub(crate) fn start(
        cluster: Cluster,
        contract: Contract,
        config: KubernetesConfig,
        owner: Option<Owner>,
        issuer: Option<ServiceIssuer>,
    ) -> KubernetesNamespace {
        let tasks = cluster.tasks.clone();
        let shared = Arc::new(Shared {
            template_key: contract.key("pod-template-hash"),
            cluster,
            contract,
            config,
            owner,
            issuer,
            state: Mutex::default(),
            changed: Notify::new(),
            events: broadcast::Sender::new(EVENTS_CAPACITY),
        });
        let worker = tasks.spawn("orchestrator: reconcile", work(Arc::clone(&shared)));
        let watch = tasks.spawn("orchestrator: watch pods", watch::watch(Arc::clone(&shared)));
        KubernetesNamespace { shared, _tasks: [worker, watch] }
    }
}

#[async_trait]
impl NamespacedOrchestrator for KubernetesNamespace {
    fn ensure_service(&self, id: &str, config: ServiceConfig) -> Result<Arc<dyn Service>, OrchestratorError> {
        let objects = Arc::new(self.shared.surroundings().objects(id, &config)?);
        let mut state = self.shared.state.lock();
        if let Some(Wanted::Present(wanted)) = state.services.get(id)
            && **wanted == *objects
        {
            return Ok(Arc::clone(wanted) as Arc<dyn Service>);
        }
        state.services.insert(id.to_owned(), Wanted::Present(Arc::clone(&objects)));
        state.made.remove(id);
        drop(state);
        self.shared.service_changed(id);
        Ok(objects)
    }

    fn drop_service(&self, id: &str) {
        let mut state = self.shared.state.lock();
        if matches!(state.services.insert(id.to_owned(), Wanted::Absent), Some(Wanted::Absent)) {
            return;
        }
        state.made.remove(id);
        drop(state);
        self.shared.service_changed(id);
    }

    async fn list_services(&self) -> Result<Vec<String>, OrchestratorError> {
        let contract = &self.shared.contract;
        let mut ids = BTreeSet::new();
        // Of a service that was being made or dropped when its environmentd died there may be only one of the two.
        for kind in [Kind::StatefulSet, Kind::Service] {
            let found = self.shared.cluster.list(kind, &contract.selector()).await;
            let found = found.map_err(|error| OrchestratorError::Refused(error.to_string()))?;
            let labels = found.iter().filter_map(labels);
            ids.extend(labels.filter_map(|labels| contract.service_id(&labels).map(str::to_owned)));
        }
        for (id, wanted) in &self.shared.state.lock().services {
            match wanted {
                Wanted::Present(_) => ids.insert(id.clone()),
                Wanted::Absent => ids.remove(id),
            };
        }
        Ok(ids.into_iter().collect())
    }

    async fn metrics(&self) -> Result<BTreeMap<(String, usize), ProcessMetrics>, OrchestratorError> {
        let contract = &self.shared.contract;
        let found = self.shared.cluster.list_if_served(Kind::PodMetrics, &contract.selector()).await?;
        let of_pod = |pod: &serde_json::Value| {
            let process = watch::ordinal(&plan::name(pod))?;
            let id = contract.service_id(&labels(pod)?)?.to_owned();
            Some(((id, process), metrics::of_pod(pod)))
        };
        Ok(found.iter().flatten().filter_map(of_pod).collect())
    }

    fn watch_services(&self) -> BoxStream<'static, ServiceEvent> {
        crate::orchestrator::events_of(&self.shared.events).boxed()
    }
}

fn labels(object: &serde_json::Value) -> Option<Labels> {
    serde_json::from_value(object["metadata"]["labels"].clone()).ok()
}

impl Shared {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            contract: &self.contract,
            config: &self.config,
            kubernetes_namespace: &self.cluster.namespace,
            owner: self.owner.as_ref(),
            issuer: self.issuer.as_ref(),
        }
    }

    fn service_changed(&self, id: &str) {
        self.make_due(Item::Service(id.to_owned()), Duration::ZERO);
        self.make_due(Item::Budgets, Duration::ZERO);
    }

    fn make_due(&self, item: Item, at: Duration) {
        self.state.lock().due.insert(item, at);
        self.changed.notify_one();
    }

    /// A pod's status. A pod of an old template is to be replaced soon.
    pub(crate) fn look_at(&self, pod: &Pod) -> Option<ServiceEvent> {
        let labels = pod.metadata.labels.as_ref()?;
        let id = self.contract.service_id(labels).filter(|_| self.contract.is_own(labels))?;
        let process = watch::ordinal(pod.metadata.name.as_deref()?)?;
        let template = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(&self.template_key));
        let stale = match self.state.lock().services.get(id) {
            Some(Wanted::Present(wanted)) => template != Some(&wanted.template_hash),
            _ => false,
        };
        if stale && pod.metadata.deletion_timestamp.is_none() {
            self.make_due(Item::Service(id.to_owned()), Duration::ZERO);
        }
        let (status, restarts) = watch::status(pod);
        Some(ServiceEvent { service_id: id.to_owned(), process, status, restarts })
    }

    pub(crate) fn tell(&self, event: ServiceEvent) {
        // Nobody may be watching.
        let _ = self.events.send(event);
    }

    /// The item that is due, or how long none is.
    fn next(&self) -> Result<Item, Option<Duration>> {
        let now = self.cluster.tasks.clock().boot();
        let mut state = self.state.lock();
        let earliest = state.due.iter().min_by_key(|(_, at)| **at).map(|(item, at)| (item.clone(), *at));
        match earliest {
            Some((item, at)) if at <= now => {
                state.due.remove(&item);
                Ok(item)
            }
            Some((_, at)) => Err(Some(at - now)),
            None => Err(None),
        }
    }

    async fn reconcile(&self, item: &Item) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let actions = match item {
                Item::Service(id) => self.plan_service(id).await?,
                Item::Budgets => self.plan_budgets().await?,
            };
            if actions.is_empty() {
                return Ok(());
            }
            for action in &actions {
                self.cluster.act(action).await?;
            }
        }
        Err(Failure::Restless)
    }

    async fn plan_service(&self, id: &str) -> Result<Vec<Action>, Failure> {
        let wanted = self.state.lock().services.get(id).cloned().unwrap_or(Wanted::Absent);
        let identity = self.contract.identity(id);
        let mark = self.mark(&identity);
        let name = match &wanted {
            Wanted::Present(objects) => objects.name.clone(),
            Wanted::Absent => match object_name(&self.config.name_prefix, self.contract.namespace(), id, 1) {
                Ok(name) => name,
                // It could never have been made.
                Err(_) => return Ok(Vec::new()),
            },
        };
        let mut observed = Observed {
            service: self.cluster.get(Kind::Service, &name).await?,
            stateful_set: self.cluster.get(Kind::StatefulSet, &name).await?,
            ..Observed::default()
        };
        if self.issuer.is_some() {
            observed.secret = self.cluster.metadata(Kind::Secret, &name).await?;
        }
        match wanted {
            Wanted::Present(objects) => {
                if observed.stateful_set.is_some() {
                    observed.pods = self.cluster.list(Kind::Pod, &self.contract.service_selector(id)).await?;
                }
                let secret = self.due_secret(&objects, observed.secret.as_ref())?;
                Ok(plan::ensure(&objects, secret, mark, &observed)?)
            }
            Wanted::Absent => Ok(plan::remove(mark, &observed)?),
        }
    }

    /// New certificates for a service, if it has none or they are due.
    fn due_secret(
        &self,
        objects: &ServiceObjects,
        observed: Option<&serde_json::Value>,
    ) -> Result<Option<serde_json::Value>, Failure> {
        let Some(issuer) = &self.issuer else { return Ok(None) };
        if observed.is_some_and(|observed| issuer.is_good(&self.contract, observed)) {
            return Ok(None);
        }
        Ok(Some(issuer.secret(&self.contract, objects)?))
    }

    fn mark<'a>(&'a self, labels: &'a Labels) -> Mark<'a> {
        Mark { labels, owner: self.owner.as_ref(), template_key: &self.template_key }
    }

    /// A budget for each set of at least two stand-ins; the others are removed.
    async fn plan_budgets(&self) -> Result<Vec<Action>, Failure> {
        let mut sets: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
        for wanted in self.state.lock().services.values() {
            if let Wanted::Present(objects) = wanted
                && let Some(stand_ins) = &objects.stand_ins
            {
                sets.entry(stand_ins.clone()).or_default().push(objects.processes);
            }
        }
        let found = self.cluster.list(Kind::PodDisruptionBudget, &self.contract.selector()).await?;
        let mut wanted_names = BTreeSet::new();
        let mut actions = Vec::new();
        for (stand_ins, processes) in sets.iter().filter(|(_, processes)| processes.len() > 1) {
            let Ok(name) = budget_name(&self.config, &self.contract, stand_ins) else { continue };
            let fewest = processes.iter().copied().min().unwrap_or(1);
            let wanted = self.surroundings().budget(&name, stand_ins, fewest);
            let observed = found.iter().find(|object| plan::name(object) == name);
            actions.extend(plan::ensure_object(Kind::PodDisruptionBudget, &wanted, self.mark(stand_ins), observed)?);
            wanted_names.insert(name);
        }
        let common = Labels::new();
        let unwanted = found.iter().filter(|object| {
            let ours = self.mark(&common).check(Kind::PodDisruptionBudget, object).is_ok();
            ours && !wanted_names.contains(&plan::name(object))
        });
        actions.extend(unwanted.map(|object| Action::Delete(Kind::PodDisruptionBudget, reference(object))));
        Ok(actions)
    }

    fn succeeded(&self, item: Item) {
        let mut state = self.state.lock();
        state.failures.remove(&item);
        if state.due.contains_key(&item) {
            // It changed meanwhile.
            return;
        }
        if let Item::Service(id) = &item
            && matches!(state.services.get(id), Some(Wanted::Absent))
        {
            state.services.remove(id);
            return;
        }
        if let Item::Service(id) = &item {
            state.made.insert(id.clone());
        }
        let again = self.cluster.tasks.clock().boot() + RESYNC;
        state.due.insert(item, again);
    }

    fn failed(&self, item: Item, failure: &Failure) {
        let text = failure.to_string();
        let mut state = self.state.lock();
        let first = || Failures { backoff: Backoff::new(Duration::from_millis(100), RETRY_MAX), told: String::new() };
        let failures = state.failures.entry(item.clone()).or_insert_with(first);
        let delay = failures.backoff.next_delay();
        let news = failures.told != text;
        failures.told.clone_from(&text);
        let again = self.cluster.tasks.clock().boot() + delay;
        state.due.entry(item.clone()).or_insert(again);
        let processes = match &item {
            Item::Service(id) => match state.services.get(id) {
                Some(Wanted::Present(objects)) if !state.made.contains(id) => Some((id.clone(), objects.processes)),
                _ => None,
            },
            Item::Budgets => None,
        };
        drop(state);
        if matches!(failure, Failure::Obstacle(Obstacle::Terminating { .. }) | Failure::Restless) {
            return;
        }
        if !news {
            tracing::debug!(?item, error = text, "not as wanted yet");
            return;
        }
        tracing::warn!(?item, error = text, "cannot make what is wanted; trying again for as long as it takes");
        let Some((service_id, processes)) = processes else { return };
        for process in 0..processes {
            let status = ProcessStatus::Offline(OfflineReason::Refused(text.clone()));
            self.tell(ServiceEvent { service_id: service_id.clone(), process, status, restarts: 0 });
        }
    }
}

/// Makes what is wanted so, for ever.
async fn work(shared: Arc<Shared>) {
    loop {
        let changed = shared.changed.notified();
        match shared.next() {
            Ok(item) => match shared.reconcile(&item).await {
                Ok(()) => shared.succeeded(item),
                Err(failure) => shared.failed(item, &failure),
            },
            Err(Some(wait)) => {
                let sleep = shared.cluster.tasks.sleep(wait);
                futures::future::select(std::pin::pin!(changed), sleep).await;
            }
            Err(None) => changed.await,
        }
    }
}
