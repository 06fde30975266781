//! What the orchestrator tells of the processes of replicas: whether they run, why not, and what they use.
//!
//! It is kept in memory, from the start of this process on, and of services that are run only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use orchestrator::{NamespacedOrchestrator, ProcessMetrics, ProcessStatus, ServiceEvent};
use parking_lot::Mutex;
use stdx::{Task, Tasks};

/// Changes that are kept of each process; older ones are forgotten.
const HISTORY_MAX: usize = 100;

/// How often is asked what processes use.
const METRICS_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessReport {
    /// The latest changes of its status, oldest first; the last is its status now.
    pub history: Vec<StatusChange>,
    pub metrics: ProcessMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    pub at_wall_ms: u64,
    pub online: bool,
    /// Why it is not, in the orchestrator's words.
    pub reason: Option<String>,
}

/// Listens to an orchestrator until it is dropped.
pub struct Reports {
    heard: Arc<Mutex<Heard>>,
    _tasks: [Task; 2],
}

/// By service: what is known of each of its processes.
#[derive(Default)]
struct Heard {
    services: BTreeMap<String, Vec<Process>>,
}

#[derive(Clone, Default)]
struct Process {
    history: VecDeque<StatusChange>,
    metrics: ProcessMetrics,
}

impl Reports {
    /// Listens from now on.
    pub fn listen(tasks: &Tasks, orchestrator: Arc<dyn NamespacedOrchestrator>) -> Reports {
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let mut events = orchestrator.watch_services();
        let (writer, clock) = (Arc::clone(&heard), Arc::clone(tasks.clock()));
        let watch = async move {
            while let Some(event) = events.next().await {
                writer.lock().note(event, clock.wall_ms());
            }
        };
        let (writer, sleeper) = (Arc::clone(&heard), tasks.clone());
        let ask = async move {
            let mut told = String::new();
            loop {
                let (metrics, error) = match orchestrator.metrics().await {
                    Ok(metrics) => (metrics, String::new()),
                    Err(error) => (BTreeMap::new(), error.to_string()),
                };
                // Once for each reason, not with each attempt.
                if !error.is_empty() && error != told {
                    tracing::warn!(error, "cannot tell what replicas use");
                }
                told = error;
                writer.lock().measure(&metrics);
                sleeper.sleep(METRICS_INTERVAL).await;
            }
        };
        let tasks = [tasks.spawn("controller: watch services", watch), tasks.spawn("controller: metrics", ask)];
        Reports { heard, _tasks: tasks }
    }

    /// What happens to a service is of interest from now on.
    pub(crate) fn expect(&self, service: &str, processes: usize) {
        self.heard.lock().services.entry(service.to_owned()).or_default().resize(processes, Process::default());
    }

    pub(crate) fn forget(&self, service: &str) {
        self.heard.lock().services.remove(service);
    }

    /// What is known of each process of a service.
    pub(crate) fn of(&self, service: &str) -> Vec<ProcessReport> {
        let heard = self.heard.lock();
        let processes = heard.services.get(service).into_iter().flatten();
        let report = |Process { history, metrics }: &Process| ProcessReport {
            history: history.iter().cloned().collect(),
            metrics: *metrics,
        };
        processes.map(report).collect()
    }
}

impl Heard {
    fn note(&mut self, event: ServiceEvent, at_wall_ms: u64) {
        let service = self.services.get_mut(&event.service_id);
        let Some(process) = service.and_then(|processes| processes.get_mut(event.process)) else { return };
        let (online, reason) = match event.status {
            ProcessStatus::Online => (true, None),
            ProcessStatus::Offline(reason) => (false, Some(reason.to_string())),
        };
        let last = process.history.back();
        if last.is_some_and(|last| last.online == online && last.reason == reason) {
            return;
        }
        if process.history.len() == HISTORY_MAX {
            process.history.pop_front();
        }
        process.history.push_back(StatusChange { at_wall_ms, online, reason });
    }

    /// What is not in `metrics` is not known any more.
    fn measure(&mut self, metrics: &BTreeMap<(String, usize), ProcessMetrics>) {
        for (service, processes) in &mut self.services {
            for (index, process) in processes.iter_mut().enumerate() {
                process.metrics = metrics.get(&(service.clone(), index)).copied().unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator::OfflineReason;

    use super::*;

    fn event(process: usize, status: ProcessStatus) -> ServiceEvent {
        ServiceEvent { service_id: "s".to_owned(), process, status, restarts: 0 }
    }

    fn shown(heard: &Heard, process: usize) -> Vec<String> {
        let history = heard.services["s"][process].history.iter();
        let shown = history.map(|change| format!("{} {}", change.at_wall_ms, change.reason.as_deref().unwrap_or("up")));
        shown.collect()
    }

    #[test]
    fn changes_are_kept_and_repetitions_are_not() {
        let mut heard = Heard::default();
        heard.note(event(0, ProcessStatus::Online), 1);
        assert!(heard.services.is_empty(), "nobody runs it");
        heard.services.insert("s".to_owned(), vec![Process::default(); 2]);
        heard.note(event(0, ProcessStatus::Offline(OfflineReason::Initializing)), 2);
        heard.note(event(0, ProcessStatus::Offline(OfflineReason::Initializing)), 3);
        heard.note(event(0, ProcessStatus::Online), 4);
        heard.note(event(1, ProcessStatus::Offline(OfflineReason::Unschedulable("0/3 nodes".to_owned()))), 5);
        heard.note(event(0, ProcessStatus::Offline(OfflineReason::OutOfMemory)), 6);
        heard.note(event(2, ProcessStatus::Online), 7);
        assert_eq!(shown(&heard, 0), ["2 initializing", "4 up", "6 oom-killed"]);
        assert_eq!(shown(&heard, 1), ["5 unschedulable: 0/3 nodes"]);
        for at in 0..HISTORY_MAX as u64 {
            let status =
                if at % 2 == 0 { ProcessStatus::Online } else { ProcessStatus::Offline(OfflineReason::Stopped) };
            heard.note(event(0, status), 100 + at);
        }
        assert_eq!((shown(&heard, 0).len(), shown(&heard, 0)[0].as_str()), (HISTORY_MAX, "100 up"));
    }

    #[test]
    fn what_is_not_measured_is_not_known() {
        let mut heard = Heard::default();
        heard.services.insert("s".to_owned(), vec![Process::default(); 2]);
        let used = ProcessMetrics { memory_bytes: Some(5), ..ProcessMetrics::default() };
        heard.measure(&BTreeMap::from([(("s".to_owned(), 1), used), (("t".to_owned(), 0), used)]));
        let metrics = |heard: &Heard| heard.services["s"].iter().map(|process| process.metrics).collect::<Vec<_>>();
        assert_eq!(metrics(&heard), [ProcessMetrics::default(), used]);
        heard.measure(&BTreeMap::new());
        assert_eq!(metrics(&heard), [ProcessMetrics::default(); 2]);
    }
}
