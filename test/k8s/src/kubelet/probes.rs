//! Probes of a container: whether it has started, is ready, and lives.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, Probe as ProbeSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What is new of a container's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Started,
    Ready(bool),
    /// It is to be started anew.
    Unhealthy,
}

/// The probes of one run of a container.
pub(crate) struct Probes {
    startup: Option<Probe>,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
    started: bool,
    ready: bool,
}

struct Probe {
    address: (Ipv4Addr, u16),
    /// None: a connection is enough.
    path: Option<String>,
    period: Duration,
    timeout: Duration,
    failures_max: i32,
    successes_min: i32,
    due: Instant,
    /// Of the latest results, which were all alike: how many, and what.
    streak: i32,
    passing: bool,
}

impl Probes {
    /// Errors: a probe that this kubelet does not know.
    pub(crate) fn new(container: &Container, address: Ipv4Addr) -> Result<Probes> {
        let probe = |spec: &Option<ProbeSpec>| {
            spec.as_ref().map(|spec| Probe::new(spec, container, address)).transpose().context("cannot probe")
        };
        Ok(Probes {
            startup: probe(&container.startup_probe)?,
            readiness: probe(&container.readiness_probe)?,
            liveness: probe(&container.liveness_probe)?,
            started: false,
            ready: false,
        })
    }

    /// Waits for news. Cancel safety: a probe under way is made again.
    pub(crate) async fn next(&mut self) -> Health {
        while !self.started {
            let verdict = match &mut self.startup {
                Some(startup) => startup.verdict().await,
                None => Some(true),
            };
            match verdict {
                Some(true) => {
                    self.started = true;
                    return Health::Started;
                }
                Some(false) => return Health::Unhealthy,
                None => {}
            }
        }
        if self.readiness.is_none() && !self.ready {
            self.ready = true;
            return Health::Ready(true);
        }
        loop {
            let due = |probe: &Option<Probe>| probe.as_ref().map(|probe| probe.due);
            let first = [due(&self.readiness), due(&self.liveness)].into_iter().flatten().min();
            match (&mut self.readiness, &mut self.liveness) {
                (_, Some(liveness)) if Some(liveness.due) == first => {
                    if liveness.verdict().await == Some(false) {
                        return Health::Unhealthy;
                    }
                }
                (Some(readiness), _) => {
                    if let Some(ready) = readiness.verdict().await
                        && ready != self.ready
                    {
                        self.ready = ready;
                        return Health::Ready(ready);
                    }
                }
                (None, _) => return std::future::pending().await,
            }
        }
    }
}

impl Probe {
    fn new(spec: &ProbeSpec, container: &Container, address: Ipv4Addr) -> Result<Probe> {
        let (port, path) = match (&spec.http_get, &spec.tcp_socket) {
            (Some(http), _) if http.scheme.as_deref().unwrap_or("HTTP") == "HTTP" => {
                (&http.port, Some(http.path.clone().unwrap_or_else(|| "/".to_owned())))
            }
            (None, Some(tcp)) => (&tcp.port, None),
            _ => bail!("only plain HTTP and TCP can be probed here"),
        };
        let port = match port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => {
                let mut ports = container.ports.iter().flatten();
                let port = ports.find(|port| port.name.as_deref() == Some(name.as_str()));
                port.with_context(|| format!("no port {name}"))?.container_port
            }
        };
        let seconds = |seconds: Option<i32>, default: u64| {
            Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
        };
        Ok(Probe {
            address: (address, u16::try_from(port)?),
            path,
            period: seconds(spec.period_seconds, 10),
            timeout: seconds(spec.timeout_seconds, 1),
            failures_max: spec.failure_threshold.unwrap_or(3),
            successes_min: spec.success_threshold.unwrap_or(1),
            due: Instant::now() + seconds(spec.initial_delay_seconds, 0),
            streak: 0,
            passing: false,
        })
    }

    /// Probes once, at the time that is due. Some once there were enough results of one kind.
    async fn verdict(&mut self) -> Option<bool> {
        sleep(self.due.saturating_duration_since(Instant::now())).await;
        let passed = matches!(timeout(self.timeout, self.probe()).await, Ok(Ok(true)));
        self.due = Instant::now() + self.period;
        self.streak = if passed == self.passing { self.streak.saturating_add(1) } else { 1 };
        self.passing = passed;
        let enough = if passed { self.successes_min } else { self.failures_max };
        (self.streak >= enough).then_some(passed)
    }

    async fn probe(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(self.address).await?;
        let Some(path) = &self.path else { return Ok(true) };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address.0);
        stream.write_all(request.as_bytes()).await?;
        // `HTTP/1.1 200`
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        let code = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse::<u16>().ok());
        Ok(code.is_some_and(|code| (200..400).contains(&code)))
    }
}
