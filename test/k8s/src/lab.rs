//! Starting and stopping a control plane.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::Authority;

const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running control plane. It ends when this is dropped.
pub struct Lab {
    program: PathBuf,
    children: Vec<(&'static str, Child)>,
    directory: TempDir,
    port: u16,
}

/// One request of the audit log, once it was answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditEvent {
    pub user: String,
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub namespace: String,
    pub code: u64,
}

impl Lab {
    /// Starts the program that `KUBELAB_BIN` names.
    pub async fn start() -> Result<Lab> {
        let program =
            std::env::var("KUBELAB_BIN").context("KUBELAB_BIN names no control plane; see misc/lib/kubelab.sh")?;
        let directory = tempfile::Builder::new().prefix("kubelab-").tempdir()?;
        let path = directory.path();
        let [etcd, peer, api] = free_ports()?;
        let server = format!("https://127.0.0.1:{api}");
        prepare(path, &server)?;
        let mut lab = Lab { program: program.into(), children: Vec::new(), directory, port: api };
        let etcd_url = format!("http://127.0.0.1:{etcd}");
        lab.run(
            "etcd",
            &[
                format!("--data-dir={}", lab.path("etcd")),
                format!("--listen-client-url={etcd_url}"),
                format!("--listen-peer-url=http://127.0.0.1:{peer}"),
            ],
        )?;
        lab.run("apiserver", &lab.apiserver_flags(&etcd_url, api))?;
        lab.wait_until_ready().await?;
        lab.run(
            "controller-manager",
            &[
                format!("--kubeconfig={}", lab.path("controller-manager.kubeconfig")),
                format!("--service-account-private-key-file={}", lab.path("sa.key")),
                format!("--root-ca-file={}", lab.path("ca.crt")),
                "--use-service-account-credentials=true".to_owned(),
                "--controllers=*".to_owned(),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                // Nodes are heard of every second; the machine may be busy.
                "--node-monitor-period=1s".to_owned(),
                "--node-monitor-grace-period=15s".to_owned(),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=500".to_owned(),
            ],
        )?;
        lab.run(
            "scheduler",
            &[
                format!("--kubeconfig={}", lab.path("scheduler.kubeconfig")),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
            ],
        )?;
        Ok(lab)
    }

    fn apiserver_flags(&self, etcd_url: &str, port: u16) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.path(name));
        vec![
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            file("cert-dir", "."),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            file("service-account-key-file", "sa.pub"),
            file("service-account-signing-key-file", "sa.key"),
            file("audit-policy-file", "audit.json"),
            file("audit-log-path", "audit.log"),
        ]
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn run(&mut self, name: &'static str, flags: &[String]) -> Result<()> {
        let log = File::create(self.directory.path().join(format!("{name}.log")))?;
        let child = Command::new(&self.program)
            .arg(name)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.children.push((name, child));
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let (client, started) = (self.client().await?, Instant::now());
        loop {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let Err(error) = client.request_text(request).await else { return Ok(()) };
            for index in 0..self.children.len() {
                let (name, child) = &mut self.children[index];
                if let Some(status) = child.try_wait()? {
                    let name = *name;
                    bail!("{name} ended with {status}: {}", self.log(name));
                }
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the API server is not ready: {error}: {}", self.log("apiserver"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the API server listens.
    pub fn address(&self) -> (String, u16) {
        ("127.0.0.1".to_owned(), self.port)
    }

    /// The end of a process's log.
    pub fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// A client of a user who may do anything. It lives no longer than the runtime on which it was made.
    pub async fn client(&self) -> Result<Client> {
        client_of(self.directory.path(), None).await
    }

    /// Makes a namespace; `labels` such as those of Pod Security.
    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels: Value = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?;
        let client = self.client().await?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        // Pods are refused until it is there.
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        let started = Instant::now();
        while accounts.get_opt("default").await?.is_none() {
            if started.elapsed() > START_TIMEOUT {
                bail!("no default service account: {}", self.log("controller-manager"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A client with the token of a service account.
    pub async fn client_as(&self, namespace: &str, account: &str) -> Result<Client> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        let token = answer.status.context("no token")?.token;
        client_of(self.directory.path(), Some(&token)).await
    }

    /// Runs kubectl as the user who may do anything; its output.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("kubectl")
            .arg(format!("--kubeconfig={}", self.path("admin.kubeconfig")))
            .arg(format!("--cache-dir={}", self.path("kubectl-cache")))
            .args(args)
            .output()?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            bail!("kubectl {args:?}: {out}{err}");
        }
        Ok(out.into_owned())
    }

    /// Every request that was answered so far.
    pub fn audit(&self) -> Result<Vec<AuditEvent>> {
        let text = std::fs::read_to_string(self.path("audit.log"))?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(events.map(|event| audit_event(&event)).collect())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn audit_event(event: &Value) -> AuditEvent {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    AuditEvent {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource: text(&object["resource"]),
        namespace: text(&object["namespace"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or(0),
    }
}

fn free_ports() -> Result<[u16; 3]> {
    // All are held before any is released, so that no two get one number.
    let listeners =
        [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [a, b, c] = &listeners;
    Ok([a.local_addr()?.port(), b.local_addr()?.port(), c.local_addr()?.port()])
}

/// Writes everything that the processes read.
fn prepare(path: &Path, server: &str) -> Result<()> {
    let authority = Authority::new(path)?;
    authority.server("apiserver", &["127.0.0.1", "localhost", "10.0.0.1", "kubernetes.default.svc"])?;
    authority.client("admin", "kubelab-admin", Some("system:masters"))?;
    authority.client("controller-manager", "system:kube-controller-manager", None)?;
    authority.client("scheduler", "system:kube-scheduler", None)?;
    authority.token_keys()?;
    for user in ["admin", "controller-manager", "scheduler"] {
        let config = kubeconfig(path, server, user);
        std::fs::write(path.join(format!("{user}.kubeconfig")), config.to_string())?;
    }
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "rules": [{ "level": "Metadata", "omitStages": ["RequestReceived"] }],
    });
    std::fs::write(path.join("audit.json"), policy.to_string())?;
    Ok(())
}

fn kubeconfig(path: &Path, server: &str, user: &str) -> Value {
    let file = |name: String| path.join(name).display().to_string();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": { "server": server, "certificate-authority": file("ca.crt".to_owned()) } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": user } }],
        "users": [{ "name": user, "user": {
            "client-certificate": file(format!("{user}.crt")), "client-key": file(format!("{user}.key")),
        } }],
    })
}

async fn client_of(path: &Path, token: Option<&str>) -> Result<Client> {
    let mut config: Value = serde_json::from_slice(&std::fs::read(path.join("admin.kubeconfig"))?)?;
    if let Some(token) = token {
        config["users"][0]["user"] = json!({ "token": token });
    }
    let kubeconfig: Kubeconfig = serde_json::from_value(config)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
