//! Environment variables and arguments of a container.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret};
use kube::{Api, Client, ResourceExt};

/// The variables of a container, in order. Errors: what one refers to is not there.
pub(crate) async fn variables(
    client: &Client,
    pod: &Pod,
    container: &Container,
    address: &str,
) -> Result<Vec<(String, String)>> {
    let namespace = pod.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let mut variables = Vec::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        if let Some(secret) = &from.secret_ref {
            let found = secrets.get_opt(&secret.name).await?;
            let data = present("Secret", &secret.name, found, secret.optional)?.and_then(|secret| secret.data);
            for (key, value) in data.unwrap_or_default() {
                variables.push((format!("{prefix}{key}"), String::from_utf8(value.0)?));
            }
        }
        if let Some(map) = &from.config_map_ref {
            let found = maps.get_opt(&map.name).await?;
            let data = present("ConfigMap", &map.name, found, map.optional)?.and_then(|map| map.data);
            variables
                .extend(data.unwrap_or_default().into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
        }
    }
    for variable in container.env.iter().flatten() {
        let value = value(&secrets, &maps, pod, variable, address, &variables).await;
        let value = value.with_context(|| format!("variable {}", variable.name))?;
        if let Some(value) = value {
            variables.retain(|(name, _)| *name != variable.name);
            variables.push((variable.name.clone(), value));
        }
    }
    Ok(variables)
}

fn present<T>(kind: &str, name: &str, found: Option<T>, optional: Option<bool>) -> Result<Option<T>> {
    if found.is_none() && optional != Some(true) {
        bail!("{kind} {name} is not there");
    }
    Ok(found)
}

async fn value(
    secrets: &Api<Secret>,
    maps: &Api<ConfigMap>,
    pod: &Pod,
    variable: &EnvVar,
    address: &str,
    earlier: &[(String, String)],
) -> Result<Option<String>> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), earlier)));
    };
    if let Some(of) = &from.field_ref {
        return field(pod, &of.field_path, Some(address)).map(Some);
    }
    if let Some(key) = &from.secret_key_ref {
        let found = secrets.get_opt(&key.name).await?.and_then(|secret| secret.data?.remove(&key.key));
        let found = present("key of Secret", &key.name, found, key.optional)?;
        return Ok(found.map(|value| String::from_utf8(value.0)).transpose()?);
    }
    if let Some(key) = &from.config_map_key_ref {
        let found = maps.get_opt(&key.name).await?.and_then(|map| map.data?.remove(&key.key));
        return present("key of ConfigMap", &key.name, found, key.optional);
    }
    bail!("only fields, Secrets and ConfigMaps can be had as variables")
}

/// A field of the pod as the downward API gives it.
pub(crate) fn field(pod: &Pod, path: &str, address: Option<&str>) -> Result<String> {
    let spec = pod.spec.as_ref().context("a pod has a spec")?;
    let found = match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => spec.node_name.clone(),
        "spec.serviceAccountName" => spec.service_account_name.clone(),
        "status.podIP" => address.map(str::to_owned),
        _ => {
            let key = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
            match (key("metadata.labels['"), key("metadata.annotations['")) {
                (Some(key), _) => Some(pod.labels().get(key).cloned().unwrap_or_default()),
                (None, Some(key)) => Some(pod.annotations().get(key).cloned().unwrap_or_default()),
                (None, None) => None,
            }
        }
    };
    found.with_context(|| format!("the field {path} cannot be had here"))
}

/// Replaces `$(NAME)` by the variable of that name, if there is one; `$$` stands for `$`.
pub(crate) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let named = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match named.and_then(|(name, behind)| Some((lookup(variables, name)?, behind))) {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => out.push('$'),
        }
    }
    out + rest
}

fn lookup<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}
