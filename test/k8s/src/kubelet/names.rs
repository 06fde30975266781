//! Names of services and pods, as the cluster's DNS has them, in a file of hosts: the resolver reads it at every look-up.

use std::collections::BTreeSet;
use std::fmt::Write;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

/// Lines for all services. Names of services that have an address of their own lead to their pods, too: nothing forwards.
pub(crate) fn hosts<'a>(services: impl Iterator<Item = &'a Service>, pods: &[&Pod]) -> String {
    let mut lines = BTreeSet::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let Some(selector) = &spec.selector else { continue };
        let early = spec.publish_not_ready_addresses == Some(true);
        let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
        let domain = format!("{name}.{namespace}.svc.cluster.local");
        for pod in pods.iter().filter(|pod| pod.namespace().as_deref() == Some(namespace.as_str())) {
            let selected = selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
            let Some(address) = address(pod) else { continue };
            if !selected || !(early || is_ready(pod)) {
                continue;
            }
            lines.insert(format!("{address} {domain}"));
            let spec = pod.spec.as_ref();
            let (host, subdomain) = (spec.and_then(|s| s.hostname.as_ref()), spec.and_then(|s| s.subdomain.as_ref()));
            if let Some(host) = host
                && subdomain == Some(&name)
            {
                lines.insert(format!("{address} {host}.{domain}"));
            }
        }
    }
    lines.into_iter().fold("127.0.0.1 localhost\n".to_owned(), |mut text, line| {
        writeln!(text, "{line}").expect("writing to a string cannot fail");
        text
    })
}

pub(crate) fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

/// Whether the pod is said to be ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
