//! The life of one pod: its container is started, attended to, started again, and stopped.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use stdx::Backoff;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::environment::{expand, variables};
use super::probes::{Health, Probes};
use super::sandbox::{Access, Mount, Process, Sandbox, exit_code};
use super::volumes::Volumes;
use super::{Power, Shared};

/// How long to wait for what a container needs, and for an API server that fails.
const RETRY: Duration = Duration::from_millis(200);

/// A real kubelet begins with ten seconds and ends at five minutes.
const RESTART_FIRST: Duration = Duration::from_millis(200);
const RESTART_MOST: Duration = Duration::from_secs(10);

/// A container that ran this long is restarted without delay.
const RAN_WELL: Duration = Duration::from_secs(20);

/// How old files of Secrets and ConfigMaps may be.
const REFRESH: Duration = Duration::from_secs(2);

/// What a real kubelet says of containers whose end it did not see.
const EXIT_UNKNOWN: i32 = 255;

/// How it begins what is said of a container whose image cannot be had.
const NO_IMAGE: &str = "there is no image";

/// What ends a container from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    Deleted {
        grace: Duration,
    },
    /// There is no such object any more.
    Gone,
    PowerLost,
}

/// What is told to a pod.
struct Signals {
    /// The newest object; None: there is none any more.
    pod: watch::Receiver<Option<Arc<Pod>>>,
    power: watch::Receiver<Power>,
}

impl Signals {
    /// Waits until the container may not run on. Cancel safety: may be dropped at any await.
    async fn interrupted(&mut self) -> Interruption {
        loop {
            if let Some(interruption) = self.interruption() {
                return interruption;
            }
            let changed = tokio::select! {
                changed = self.pod.changed() => changed,
                changed = self.power.changed() => changed,
            };
            if changed.is_err() {
                return Interruption::Gone;
            }
        }
    }

    fn interruption(&self) -> Option<Interruption> {
        match *self.power.borrow() {
            Power::On => {}
            Power::Off => return Some(Interruption::PowerLost),
            // Whatever happens to the object, the kubelet does not hear of it.
            Power::CutOff => return None,
        }
        let Some(pod) = self.pod.borrow().clone() else { return Some(Interruption::Gone) };
        pod.metadata.deletion_timestamp.as_ref()?;
        let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
        Some(Interruption::Deleted { grace: Duration::from_secs(seconds.unsigned_abs()) })
    }
}

/// One pod of this kubelet.
pub(super) struct PodLife {
    signals: Signals,
    container: ContainerLife,
}

struct ContainerLife {
    shared: Arc<Shared>,
    api: Api<Pod>,
    pod: Arc<Pod>,
    address: Ipv4Addr,
    directory: PathBuf,
    volumes: Volumes,
    started_at: Timestamp,
    phase: &'static str,
    state: Value,
    started: bool,
    ready: bool,
    restarts: u32,
    last: Option<Value>,
    power: watch::Receiver<Power>,
    running_since: Option<(Timestamp, Instant)>,
}

impl PodLife {
    pub(super) fn new(
        shared: Arc<Shared>,
        pod: watch::Receiver<Option<Arc<Pod>>>,
        power: watch::Receiver<Power>,
        first: Arc<Pod>,
    ) -> PodLife {
        let (name, namespace) = (first.name_any(), first.namespace().unwrap_or_default());
        let directory = shared.pod_directory(&namespace, &name, &first.uid().unwrap_or_default());
        let volumes = Volumes::new(shared.client.clone(), (*first).clone(), directory.join("volumes"), group(&first));
        let container = ContainerLife {
            api: Api::namespaced(shared.client.clone(), &namespace),
            address: shared.network.next_address(),
            directory,
            volumes,
            started_at: Timestamp::now(),
            phase: "Pending",
            state: waiting("ContainerCreating", ""),
            started: false,
            ready: false,
            restarts: 0,
            last: None,
            power: power.clone(),
            running_since: None,
            shared,
            pod: first,
        };
        PodLife { signals: Signals { pod, power }, container }
    }

    /// Until the object is gone.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RESTART_FIRST, RESTART_MOST);
        loop {
            match self.run_on(&mut backoff).await {
                Interruption::Gone => return,
                Interruption::Deleted { .. } => {
                    if self.container.confirm_deletion().await {
                        return;
                    }
                    sleep(RETRY).await;
                }
                Interruption::PowerLost => {
                    // Whoever deletes the object meanwhile ends this.
                    let Signals { pod, power } = &mut self.signals;
                    let returned = tokio::select! {
                        returned = power.wait_for(|power| *power == Power::On) => returned.is_ok(),
                        _ = pod.wait_for(Option::is_none) => false,
                    };
                    if !returned {
                        return;
                    }
                }
            }
        }
    }

    /// Runs the container, again and again, until something intervenes.
    async fn run_on(&mut self, backoff: &mut Backoff) -> Interruption {
        let PodLife { signals, container } = self;
        loop {
            let (mut process, probes) = tokio::select! {
                biased;
                interruption = signals.interrupted() => return interruption,
                started = container.start() => started,
            };
            let ended = tokio::select! {
                biased;
                interruption = signals.interrupted() => Err(interruption),
                status = container.attend(&mut process, probes) => Ok(status),
            };
            let status = match ended {
                Ok(status) => status,
                Err(interruption) => {
                    container.interrupt(process, interruption).await;
                    return interruption;
                }
            };
            if container.running_since.is_some_and(|(_, since)| since.elapsed() > RAN_WELL) {
                backoff.reset();
            }
            let again = container.ended(exit_code(status)).await;
            if !again {
                return signals.interrupted().await;
            }
            tokio::select! {
                interruption = signals.interrupted() => return interruption,
                () = sleep(backoff.next_delay()) => {}
            }
        }
    }
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": message } })
}

fn group(pod: &Pod) -> u32 {
    let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let group = security.and_then(|security| security.fs_group.or(security.run_as_group));
    group.and_then(|group| u32::try_from(group).ok()).unwrap_or(0)
}

impl ContainerLife {
    fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().expect("a pod has a spec")
    }

    fn container(&self) -> &Container {
        &self.spec().containers[0]
    }

    /// Waits until there is all that the container needs, and starts it.
    async fn start(&mut self) -> (Process, Probes) {
        loop {
            match self.try_start().await {
                Ok(started) => {
                    let now = Timestamp::now();
                    self.running_since = Some((now, Instant::now()));
                    self.phase = "Running";
                    self.state = json!({ "running": { "startedAt": now.to_string() } });
                    self.report().await;
                    return started;
                }
                Err(error) => {
                    let message = format!("{error:#}");
                    let reason =
                        if message.starts_with(NO_IMAGE) { "ErrImagePull" } else { "CreateContainerConfigError" };
                    let state = waiting(reason, &message);
                    if self.state != state {
                        self.state = state;
                        self.report().await;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn try_start(&mut self) -> Result<(Process, Probes)> {
        let spec = self.spec();
        if spec.containers.len() != 1 || spec.init_containers.as_ref().is_some_and(|init| !init.is_empty()) {
            bail!("pods of this kubelet have one container");
        }
        let image = self.container().image.clone().unwrap_or_default();
        let program = self.shared.images.lock().get(&image).cloned();
        let program = program.with_context(|| format!("{NO_IMAGE} {image}"))?;
        self.volumes.prepare().await?;
        let container = self.container();
        let probes = Probes::new(container, self.address)?;
        let address = self.address.to_string();
        let mut environment = variables(&self.shared.client, &self.pod, container, &address).await?;
        let words = container.command.iter().flatten().skip(1).chain(container.args.iter().flatten());
        let args = words.map(|word| expand(word, &environment)).collect();
        environment.extend(self.shared.api_server.iter().cloned());
        environment.push(("HOSTNAME".to_owned(), self.pod.name_any()));
        let mut mounts = self.volumes.mounts(container.volume_mounts.as_deref().unwrap_or_default())?;
        for (source, target) in [(self.shared.etc(), "/kubelet"), (PathBuf::from("/etc/ssl"), "/etc/ssl")] {
            mounts.push(Mount { source, target: target.to_owned(), access: Access::ReadOnly });
        }
        let security = container.security_context.as_ref();
        let read_only = security.and_then(|security| security.read_only_root_filesystem) == Some(true);
        let of_pod = self.spec().security_context.as_ref();
        let user = security.and_then(|s| s.run_as_user).or_else(|| of_pod?.run_as_user);
        let group = security.and_then(|s| s.run_as_group).or_else(|| of_pod?.run_as_group);
        let sandbox = Sandbox {
            directory: self.directory.clone(),
            program,
            args,
            environment,
            mounts,
            root: if read_only { Access::ReadOnly } else { Access::ReadWrite },
            user: u32::try_from(user.unwrap_or(0))?,
            group: u32::try_from(group.unwrap_or(0))?,
        };
        let process = sandbox.start(&self.directory.join("log"))?;
        self.shared.remember_pid(&self.pod, process.pid());
        Ok((process, probes))
    }

    /// Tells of the container's health, and keeps its files up to date, until it ends.
    async fn attend(&mut self, process: &mut Process, mut probes: Probes) -> ExitStatus {
        let mut refresh = interval(REFRESH);
        loop {
            tokio::select! {
                status = process.wait() => return status,
                health = probes.next() => match health {
                    Health::Started => {
                        self.started = true;
                        self.report().await;
                    }
                    Health::Ready(ready) => {
                        self.ready = ready;
                        self.report().await;
                    }
                    Health::Unhealthy => return process.stop(self.grace()).await,
                },
                _ = refresh.tick() => self.volumes.refresh().await,
            }
        }
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(self.spec().termination_grace_period_seconds.unwrap_or(30).unsigned_abs())
    }

    /// Ends the container for a reason from outside.
    async fn interrupt(&mut self, mut process: Process, interruption: Interruption) {
        match interruption {
            Interruption::Deleted { grace } => {
                let status = process.stop(grace).await;
                self.note_end(exit_code(status));
                self.report().await;
            }
            Interruption::Gone => {
                process.stop(Duration::ZERO).await;
            }
            Interruption::PowerLost => {
                process.stop(Duration::ZERO).await;
                // Nobody hears of it before the power is back.
                self.note_end(EXIT_UNKNOWN);
                self.restarts += 1;
            }
        }
    }

    fn note_end(&mut self, code: i32) {
        let started = self.running_since.map(|(at, _)| at.to_string());
        let reason = match code {
            0 => "Completed",
            EXIT_UNKNOWN => "Unknown",
            _ if self.shared.was_killed_for_memory(&self.pod) => "OOMKilled",
            _ => "Error",
        };
        let terminated = json!({ "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": Timestamp::now().to_string(),
        } });
        self.state = terminated.clone();
        self.last = Some(terminated);
        (self.started, self.ready) = (false, false);
    }

    /// The container ended by itself. Whether it is to be started again.
    async fn ended(&mut self, code: i32) -> bool {
        self.note_end(code);
        let again = match self.spec().restart_policy.as_deref() {
            Some("Never") => false,
            Some("OnFailure") => code != 0,
            _ => true,
        };
        if again {
            self.restarts += 1;
            self.state = waiting("CrashLoopBackOff", "waiting before the container is restarted");
        } else {
            self.phase = if code == 0 { "Succeeded" } else { "Failed" };
        }
        self.report().await;
        again
    }

    /// Says of the pod how it is, until the API server has heard it.
    async fn report(&self) {
        // Cut off, it says so later. The power's end is the kubelet's.
        let _ = self.power.clone().wait_for(|power| *power != Power::CutOff).await;
        let name = self.pod.name_any();
        let status = Patch::Strategic(self.status());
        loop {
            match self.api.patch_status(&name, &PatchParams::default(), &status).await {
                Ok(_) => return,
                // The object is gone, or another has its name.
                Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return,
                Err(error) => {
                    eprintln!("cannot tell of pod {name}: {error}");
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn status(&self) -> Value {
        let address = self.address.to_string();
        let condition =
            |name: &str, holds: bool| json!({ "type": name, "status": if holds { "True" } else { "False" } });
        let mut container = json!({
            "name": self.container().name,
            "image": self.container().image,
            "imageID": "",
            "started": self.started,
            "ready": self.ready,
            "restartCount": self.restarts,
            "state": self.state,
        });
        if let Some(last) = &self.last {
            container["lastState"] = last.clone();
        }
        json!({
            "metadata": { "uid": self.pod.uid() },
            "status": {
                "phase": self.phase,
                "podIP": address,
                "podIPs": [{ "ip": address }],
                "startTime": self.started_at.to_string(),
                "conditions": [
                    condition("PodScheduled", true),
                    condition("Initialized", true),
                    condition("ContainersReady", self.ready),
                    condition("Ready", self.ready),
                ],
                "containerStatuses": [container],
            },
        })
    }

    /// Lets the object go, now that nothing of it runs. Whether it is gone.
    async fn confirm_deletion(&self) -> bool {
        let mut params = DeleteParams::default().grace_period(0);
        params.preconditions = Some(Preconditions { uid: self.pod.uid(), resource_version: None });
        match self.api.delete(&self.pod.name_any(), &params).await {
            Ok(_) => true,
            Err(kube::Error::Api(answer)) => matches!(answer.code, 404 | 409),
            Err(_) => false,
        }
    }
}
