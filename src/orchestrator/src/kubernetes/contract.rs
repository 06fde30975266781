//! The label contract: which labels pods and services carry, and what names and values may be.
//!
//! Everything is checked before anything is created: the API server would refuse it later, in words about objects that the
//! user does not know, and half of the objects would be there.

use std::collections::BTreeMap;

use crate::orchestrator::{OrchestratorError, ServiceConfig};

/// Where the labels of the contract live unless a flag says otherwise.
pub const LABEL_DOMAIN: &str = "environmentd.materialize.cloud";

/// A StatefulSet labels its pods with its name and a hash of ten characters, and a label's value has at most 63.
const OBJECT_NAME_MAX: usize = 52;

/// A pod's name is its host name, which is a DNS label.
const DNS_LABEL_MAX: usize = 63;

pub(crate) type Labels = BTreeMap<String, String>;

/// The labels of one namespace of one environment.
#[derive(Clone, Debug)]
pub(crate) struct Contract {
    domain: String,
    environment: String,
    namespace: String,
}

impl Contract {
    /// Errors: a part is no name.
    pub(crate) fn new(domain: &str, environment: &str, namespace: &str) -> Result<Contract, OrchestratorError> {
        check_dns_label("orchestrator namespace", namespace, DNS_LABEL_MAX)?;
        check_label_value("environment id", environment)?;
        // The longest prefix that is made of it.
        check_dns_subdomain("label domain", &format!("{namespace}.{domain}"))?;
        let (domain, environment, namespace) = (domain.to_owned(), environment.to_owned(), namespace.to_owned());
        Ok(Contract { domain, environment, namespace })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A key of the contract's own.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.domain)
    }

    /// The key of a label that was given at service creation.
    pub(crate) fn caller_key(&self, key: &str) -> String {
        format!("{}.{}/{key}", self.namespace, self.domain)
    }

    /// What all objects of this namespace have in common.
    fn common(&self) -> Labels {
        Labels::from([
            (self.key("environment-id"), self.environment.clone()),
            (self.key("namespace"), self.namespace.clone()),
        ])
    }

    /// What names a service, now and at every later start: selectors cannot be changed, so nothing else is in them.
    pub(crate) fn identity(&self, id: &str) -> Labels {
        let mut labels = self.common();
        labels.insert(self.key("service-id"), id.to_owned());
        labels
    }

    /// The key of the label that names a secret.
    pub(crate) fn secret_key(&self) -> String {
        self.key("secret-name")
    }

    /// What names a secret.
    pub(crate) fn secret_identity(&self, name: &str) -> Labels {
        let mut labels = self.common();
        labels.insert(self.secret_key(), name.to_owned());
        labels
    }

    /// Selects all objects of this namespace.
    pub(crate) fn selector(&self) -> String {
        selector(&self.common())
    }

    /// Selects the objects of one service.
    pub(crate) fn service_selector(&self, id: &str) -> String {
        selector(&self.identity(id))
    }

    pub(crate) fn is_own(&self, labels: &Labels) -> bool {
        self.common().iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    pub(crate) fn service_id<'a>(&self, labels: &'a Labels) -> Option<&'a str> {
        labels.get(&self.key("service-id")).map(String::as_str)
    }

    /// The labels by which a service's stand-ins are found, itself among them. None: it has none.
    pub(crate) fn stand_ins(&self, config: &ServiceConfig) -> Option<Labels> {
        if config.stand_ins.is_empty() {
            return None;
        }
        let mut labels = self.common();
        for key in &config.stand_ins {
            labels.insert(self.caller_key(key), config.labels.get(key)?.clone());
        }
        Some(labels)
    }

    /// Every label of a service and its pods. Errors: an id, a port, a key or a value that is not allowed.
    pub(crate) fn labels(
        &self,
        id: &str,
        config: &ServiceConfig,
        everywhere: &Labels,
    ) -> Result<Labels, OrchestratorError> {
        check_label_value("service id", id)?;
        let mut labels = everywhere.clone();
        labels.insert("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
        labels.insert("app.kubernetes.io/part-of".to_owned(), "freshet".to_owned());
        labels.extend(self.identity(id));
        for port in &config.ports {
            check_port_name(&port.name)?;
            labels.insert(self.key(&format!("port-{}", port.name)), "true".to_owned());
        }
        labels.insert(self.caller_key("scale"), config.processes.to_string());
        for (key, value) in &config.labels {
            check_label_name(&format!("label {key:?}"), key)?;
            check_label_value(&format!("label {key}"), value)?;
            labels.insert(self.caller_key(key), value.clone());
        }
        for key in &config.stand_ins {
            if !config.labels.contains_key(key) {
                return Err(invalid(format!("stand-ins are told by label {key:?}, which the service lacks")));
            }
        }
        Ok(labels)
    }

    /// Checks labels that all objects get by a flag.
    pub(crate) fn check_everywhere(domain: &str, labels: &Labels) -> Result<(), OrchestratorError> {
        for (key, value) in labels {
            let (prefix, name) = match key.split_once('/') {
                Some((prefix, name)) => (Some(prefix), name),
                None => (None, key.as_str()),
            };
            check_label_name(&format!("service label {key:?}"), name)?;
            check_label_value(&format!("service label {key}"), value)?;
            let Some(prefix) = prefix else { continue };
            check_dns_subdomain(&format!("service label {key:?}"), prefix)?;
            if prefix == domain || prefix.ends_with(&format!(".{domain}")) {
                return Err(invalid(format!("service label {key:?}: {domain} is kept for the orchestrator's labels")));
            }
        }
        Ok(())
    }
}

/// Who we are in the eyes of server-side apply.
pub(crate) const FIELD_MANAGER: &str = "environmentd";

fn selector(labels: &Labels) -> String {
    let terms: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    terms.join(",")
}

/// The name of a service's objects. Errors: it is too long for its pods, or no DNS name.
pub(crate) fn object_name(
    prefix: &str,
    namespace: &str,
    id: &str,
    processes: usize,
) -> Result<String, OrchestratorError> {
    let name = format!("{prefix}{namespace}-{id}");
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(invalid(format!("object name {name:?} must begin with a lower-case letter")));
    }
    check_dns_label("object name", &name, OBJECT_NAME_MAX)?;
    let pod = format!("{name}-{}", processes.saturating_sub(1));
    check_dns_label("pod name", &pod, DNS_LABEL_MAX)?;
    Ok(name)
}

pub(crate) fn invalid(reason: String) -> OrchestratorError {
    OrchestratorError::Invalid(reason)
}

fn is_dns_label(text: &str) -> bool {
    let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

pub(crate) fn check_dns_label(what: &str, text: &str, length_max: usize) -> Result<(), OrchestratorError> {
    if text.len() > length_max {
        let length = text.len();
        return Err(invalid(format!("{what} {text:?} has {length} characters; the limit is {length_max}")));
    }
    if !is_dns_label(text) {
        return Err(invalid(format!(
            "{what} {text:?} may have lower-case letters, digits and dashes, with no dash at either end"
        )));
    }
    Ok(())
}

fn check_dns_subdomain(what: &str, text: &str) -> Result<(), OrchestratorError> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        return Ok(());
    }
    Err(invalid(format!("{what} {text:?} is not a DNS name")))
}

/// The part of a key behind the slash.
fn check_label_name(what: &str, name: &str) -> Result<(), OrchestratorError> {
    if name.is_empty() { Err(invalid(format!("{what}: the key is empty"))) } else { check_label_value(what, name) }
}

pub(crate) fn check_label_value(what: &str, value: &str) -> Result<(), OrchestratorError> {
    let inner = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let ends = |character: Option<char>| character.is_none_or(|character| character.is_ascii_alphanumeric());
    if value.len() <= 63 && value.chars().all(inner) && ends(value.chars().next()) && ends(value.chars().next_back()) {
        return Ok(());
    }
    Err(invalid(format!(
        "{what}: {value:?} must have at most 63 letters, digits, dashes, underscores and dots, with a letter or a digit \
         at both ends"
    )))
}

fn check_port_name(name: &str) -> Result<(), OrchestratorError> {
    let letter = name.contains(|character: char| character.is_ascii_lowercase());
    if name.len() <= 15 && is_dns_label(name) && letter && !name.contains("--") {
        return Ok(());
    }
    Err(invalid(format!(
        "port name {name:?} must have at most 15 lower-case letters, digits and single dashes, a letter among them"
    )))
}
