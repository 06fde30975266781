//! A kubelet whose containers are processes of this machine.
//!
//! It registers nodes, keeps their leases, and runs the pods that the scheduler binds to them: each with a loopback address of
//! its own, and in a mount namespace of its own that has nothing but the machine's programs, read-only, and what the pod
//! mounts. An image is a name for a program. Pods have one container; limits of memory and processor are not enforced, and
//! network policies neither. Reading order: `pod` (a pod's life), `environment`, `volumes`, `sandbox`, `probes`, `names`,
//! `claims`.

mod claims;
mod environment;
mod names;
mod pod;
mod probes;
mod sandbox;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use stdx::{Task, Tasks};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::Lab;
use crate::nodes;
use pod::PodLife;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// Nothing of the node runs.
    Off,
    /// What runs on the node runs on; its kubelet hears of nothing and tells nobody.
    CutOff,
}

/// Some nodes that run pods. Dropping it kills them all.
pub struct Kubelet {
    shared: Arc<Shared>,
    nodes: BTreeMap<String, watch::Sender<Power>>,
    _tasks: Vec<Task>,
}

/// What all pods share.
struct Shared {
    client: Client,
    /// By image: the program that it stands for.
    images: Mutex<BTreeMap<String, PathBuf>>,
    /// By which a process in a pod finds the API server.
    api_server: Vec<(String, String)>,
    network: Network,
    pids: Mutex<BTreeMap<(String, String), u32>>,
    /// Processes that were killed because they used too much memory.
    killed_for_memory: Mutex<BTreeSet<u32>>,
    directory: TempDir,
}

/// The loopback addresses 127.N.0.0/16. The port of a kubelet, bound at one of them, keeps other kubelets away.
struct Network {
    second: u8,
    next: AtomicU16,
    _claim: TcpListener,
}

const KUBELET_PORT: u16 = 10_250;

impl Network {
    fn claim() -> Result<Network> {
        let mut free = (64..=254).filter_map(|second| {
            let claim = TcpListener::bind((Ipv4Addr::new(127, second, 255, 254), KUBELET_PORT)).ok()?;
            Some(Network { second, next: AtomicU16::new(1), _claim: claim })
        });
        free.next().context("all loopback networks are taken")
    }

    fn next_address(&self) -> Ipv4Addr {
        let [high, low] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Ipv4Addr::new(127, self.second, high, low)
    }
}

impl Shared {
    fn pod_directory(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.directory.path().join("pods").join(format!("{namespace}_{name}_{uid}"))
    }

    /// What every container has in its /etc.
    fn etc(&self) -> PathBuf {
        self.directory.path().join("etc")
    }

    fn remember_pid(&self, pod: &Pod, pid: Option<u32>) {
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        self.pids.lock().extend(pid.map(|pid| (key, pid)));
    }

    /// Of the process that ran last.
    fn was_killed_for_memory(&self, pod: &Pod) -> bool {
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        let pid = self.pids.lock().get(&key).copied();
        pid.is_some_and(|pid| self.killed_for_memory.lock().contains(&pid))
    }

    fn write_etc(&self, hosts: &str) -> Result<()> {
        let etc = self.etc();
        let new = self.directory.path().join("hosts.new");
        std::fs::write(&new, hosts)?;
        Ok(std::fs::rename(&new, etc.join("hosts"))?)
    }
}

impl Kubelet {
    /// Makes nodes `NAME-0`, `NAME-1`, … in zones `zone-0`, `zone-1`, …, and runs what is bound to them. `images` are names
    /// and the programs that they stand for.
    pub async fn start(lab: &Lab, name: &str, count: usize, images: &[(&str, &Path)]) -> Result<Kubelet> {
        let client = lab.client().await?;
        let directory = tempfile::Builder::new().prefix("kubelet-").tempdir()?;
        // The processes in pods are no users of this machine, and must get through.
        open_to_all(directory.path())?;
        let images = images.iter().map(|(image, program)| Ok(((*image).to_owned(), program.canonicalize()?)));
        let (host, port) = lab.address();
        let shared = Arc::new(Shared {
            client: client.clone(),
            images: Mutex::new(images.collect::<Result<_>>()?),
            api_server: vec![
                ("KUBERNETES_SERVICE_HOST".to_owned(), host),
                ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()),
            ],
            network: Network::claim()?,
            pids: Mutex::default(),
            killed_for_memory: Mutex::default(),
            directory,
        });
        let etc = shared.etc();
        std::fs::create_dir_all(&etc)?;
        std::fs::write(etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n")?;
        std::fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/false\npod:x:999:999::/:/bin/false\n")?;
        std::fs::write(etc.join("group"), "root:x:0:\npod:x:999:\n")?;
        shared.write_etc("127.0.0.1 localhost\n")?;
        claims::create_class(&client).await?;
        let tasks = Tasks::tokio();
        let mut nodes = BTreeMap::new();
        let mut running = Vec::new();
        for index in 0..count {
            let node = format!("{name}-{index}");
            nodes::register(&client, &node, name, index).await?;
            let (power, receiver) = watch::channel(Power::On);
            nodes.insert(node.clone(), power);
            running.push(tasks.spawn("kubelet: heartbeats", heartbeats(client.clone(), node, receiver)));
        }
        let powers = nodes.iter().map(|(node, power)| (node.clone(), power.subscribe())).collect();
        let volumes = shared.directory.path().join("claims");
        running.push(tasks.spawn("kubelet: claims", claims::provision(client, volumes)));
        running.push(tasks.spawn("kubelet: pods", attend(tasks.clone(), Arc::clone(&shared), powers)));
        Ok(Kubelet { shared, nodes, _tasks: running })
    }

    /// A node loses its power: its processes are killed, and nobody tells of them or of it.
    pub fn lose(&self, node: &str) {
        self.nodes[node].send_replace(Power::Off);
    }

    /// A node's kubelet is cut off from the API server. That nobody reaches the node's pods is for the caller to see to.
    pub fn cut_off(&self, node: &str) {
        self.nodes[node].send_replace(Power::CutOff);
    }

    /// The node is back, with the pods that are still bound to it.
    pub fn restore(&self, node: &str) {
        self.nodes[node].send_replace(Power::On);
    }

    /// The process of a pod's container that was started last.
    pub fn pid(&self, namespace: &str, pod: &str) -> Option<u32> {
        self.shared.pids.lock().get(&(namespace.to_owned(), pod.to_owned())).copied()
    }

    /// An image cannot be pulled any more. Returns the program that it stands for.
    pub fn lose_image(&self, image: &str) -> PathBuf {
        self.shared.images.lock().remove(image).expect("there is such an image")
    }

    pub fn restore_image(&self, image: &str, program: PathBuf) {
        self.shared.images.lock().insert(image.to_owned(), program);
    }

    /// Kills a pod's process as a kernel does that finds it beyond its limit of memory.
    pub fn kill_for_memory(&self, namespace: &str, pod: &str) {
        let pid = self.pid(namespace, pod).expect("the pod has a process");
        self.shared.killed_for_memory.lock().insert(pid);
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process has a number");
        kill_process(pid, Signal::KILL).expect("the process is ours");
    }

    /// Processes of containers that run.
    pub fn processes(&self) -> Vec<u32> {
        let started = self.shared.pids.lock();
        started.values().copied().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect()
    }

    /// What all pods of a name have written to their standard output and error, with the pods' uids.
    pub fn logs(&self, namespace: &str, pod: &str) -> String {
        let prefix = format!("{namespace}_{pod}_");
        let mut text = String::new();
        for entry in std::fs::read_dir(self.shared.directory.path().join("pods")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(uid) = name.strip_prefix(&prefix) {
                let log = std::fs::read(entry.path().join("log")).unwrap_or_default();
                text += &format!("--- {uid}\n{}", String::from_utf8_lossy(&log));
            }
        }
        text
    }
}

fn open_to_all(directory: &Path) -> Result<()> {
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?)
}

/// Tells that a node lives, as long as it has power.
async fn heartbeats(client: Client, node: String, mut power: watch::Receiver<Power>) {
    loop {
        if power.wait_for(|power| *power == Power::On).await.is_err() {
            return;
        }
        nodes::beat(&client, &node).await;
        tokio::time::sleep(nodes::HEARTBEAT).await;
    }
}

/// All objects of a kind as they are now, by uid.
struct Mirror<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// While they are listed anew.
    listed: BTreeMap<String, Arc<K>>,
}

impl<K: Resource> Mirror<K> {
    fn new() -> Mirror<K> {
        Mirror { objects: BTreeMap::new(), listed: BTreeMap::new() }
    }

    fn follow(&mut self, event: Event<K>) {
        let uid = |object: &K| object.uid().unwrap_or_default();
        match event {
            Event::Apply(object) => drop(self.objects.insert(uid(&object), Arc::new(object))),
            Event::Delete(object) => drop(self.objects.remove(&uid(&object))),
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => drop(self.listed.insert(uid(&object), Arc::new(object))),
            Event::InitDone => self.objects = std::mem::take(&mut self.listed),
        }
    }
}

/// A pod that is attended to.
struct Worker {
    pod: watch::Sender<Option<Arc<Pod>>>,
    task: Task,
}

/// Gives each pod that is bound to one of the nodes to a worker, and keeps the names of all.
async fn attend(tasks: Tasks, shared: Arc<Shared>, nodes: BTreeMap<String, watch::Receiver<Power>>) {
    let (mut pods, mut services) = (Mirror::<Pod>::new(), Mirror::<Service>::new());
    let of_pods = watcher::watcher(Api::<Pod>::all(shared.client.clone()), watcher::Config::default());
    let of_services = watcher::watcher(Api::<Service>::all(shared.client.clone()), watcher::Config::default());
    let (mut of_pods, mut of_services) = (pin!(of_pods.default_backoff()), pin!(of_services.default_backoff()));
    let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
    loop {
        tokio::select! {
            Some(event) = of_pods.next() => match event {
                Ok(event) => pods.follow(event),
                Err(_) => continue,
            },
            Some(event) = of_services.next() => match event {
                Ok(event) => services.follow(event),
                Err(_) => continue,
            },
            else => return,
        }
        let all: Vec<&Pod> = pods.objects.values().map(|pod| &**pod).collect();
        let hosts = names::hosts(services.objects.values().map(|service| &**service), &all);
        shared.write_etc(&hosts).expect("the kubelet's own directory can be written");
        workers.retain(|uid, worker| {
            let newest = pods.objects.get(uid).cloned();
            worker.pod.send_if_modified(|pod| std::mem::replace(pod, newest.clone()) != newest);
            newest.is_some() || !worker.task.is_ended()
        });
        for (uid, pod) in &pods.objects {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            let Some(power) = node.and_then(|node| nodes.get(node)) else { continue };
            if workers.contains_key(uid) {
                continue;
            }
            let (sender, receiver) = watch::channel(Some(Arc::clone(pod)));
            let life = PodLife::new(Arc::clone(&shared), receiver, power.clone(), Arc::clone(pod));
            let task = tasks.spawn("kubelet: pod", life.run());
            workers.insert(uid.clone(), Worker { pod: sender, task });
        }
    }
}
