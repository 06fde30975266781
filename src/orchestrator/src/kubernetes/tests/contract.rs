//! Names and labels that are refused, and those that every object carries.

use super::*;
use crate::kubernetes::contract::object_name;

fn refusal(config: &KubernetesConfig, id: &str, service: &ServiceConfig) -> String {
    objects(config, id, service).unwrap_err().to_string()
}

#[test]
fn every_object_carries_the_labels_of_the_contract() {
    let mut config = config();
    config.service_labels = [("example.com/environment".to_owned(), "prod".to_owned())].into();
    let objects = objects(&config, "cluster-0", &service(2)).unwrap();
    for object in [&objects.service, &objects.stateful_set, &objects.stateful_set["spec"]["template"]] {
        let labels = object["metadata"]["labels"].as_object().unwrap();
        for (key, value) in [
            ("environmentd.materialize.cloud/namespace", "compute"),
            ("environmentd.materialize.cloud/service-id", "cluster-0"),
            ("environmentd.materialize.cloud/port-computectl", "true"),
            ("environmentd.materialize.cloud/port-timely", "true"),
            ("environmentd.materialize.cloud/port-internal-http", "true"),
            ("compute.environmentd.materialize.cloud/cluster-id", "u1"),
            ("compute.environmentd.materialize.cloud/generation", "0"),
            ("compute.environmentd.materialize.cloud/scale", "2"),
            ("example.com/environment", "prod"),
        ] {
            assert_eq!(labels[key], value, "{key}");
        }
    }
    // What may change from start to start selects nothing.
    let selector = objects.service["spec"]["selector"].as_object().unwrap();
    let keys: Vec<&str> = selector.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["environment-id", "namespace", "service-id"].map(|name| format!("environmentd.materialize.cloud/{name}"))
    );
    assert_eq!(objects.stateful_set["spec"]["selector"]["matchLabels"], objects.service["spec"]["selector"]);
}

#[test]
fn label_domains_are_free() {
    let mut config = config();
    config.label_domain = "labels.example.com".to_owned();
    let objects = objects(&config, "cluster-0", &service(1)).unwrap();
    let labels = &objects.service["metadata"]["labels"];
    assert_eq!(labels["labels.example.com/service-id"], "cluster-0");
    assert_eq!(labels["compute.labels.example.com/cluster-id"], "u1");
    assert!(!objects.service.to_string().contains(LABEL_DOMAIN));
}

#[test]
fn what_kubernetes_would_refuse_is_refused_before_anything_is_made() {
    let config = config();
    for (id, why) in [
        ("a b", "object name \"compute-a b\" may have lower-case"),
        ("", "object name \"compute-\" may have"),
        ("Cluster-0", "object name \"compute-Cluster-0\" may have lower-case"),
        ("a_b", "object name \"compute-a_b\" may have lower-case"),
        (&"x".repeat(45), "has 53 characters; the limit is 52"),
    ] {
        let text = refusal(&config, id, &service(1));
        assert!(text.contains(why), "{id}: {text}");
    }
    let mut bad = service(1);
    bad.labels.insert("size".to_owned(), "a=b,c".to_owned());
    assert!(refusal(&config, "a", &bad).contains("label size: \"a=b,c\" must have at most 63 letters"));
    let mut bad = service(1);
    bad.labels.insert("a/b".to_owned(), "c".to_owned());
    assert!(refusal(&config, "a", &bad).contains("label \"a/b\""));
    let mut bad = service(1);
    bad.stand_ins.push("absent".to_owned());
    assert!(refusal(&config, "a", &bad).contains("stand-ins are told by label \"absent\", which the service lacks"));
    for port in ["", "a-name-that-is-too-long", "Port", "123", "a--b"] {
        let mut bad = service(1);
        bad.ports[0].name = port.to_owned();
        bad.args = Arc::new(|_| Vec::new());
        assert!(refusal(&config, "a", &bad).contains(&format!("port name {port:?} must have at most 15")), "{port}");
    }
    for image in ["", "a b", "-x", "a\n"] {
        let mut bad = service(1);
        bad.image = image.into();
        assert!(refusal(&config, "a", &bad).contains("invalid service: image"), "{image}");
    }
    let mut bad = service(1);
    bad.disk_limit_bytes = Some(1);
    assert!(refusal(&config, "a", &bad).contains("no ephemeral volume class is configured"));
    assert!(refusal(&config, "a", &service(0)).contains("at least one process"));
}

#[test]
fn environments_are_checked_when_they_start() {
    let check = |domain: &str, key: &str, value: &str| {
        Contract::check_everywhere(domain, &[(key.to_owned(), value.to_owned())].into()).map_err(|e| e.to_string())
    };
    check(LABEL_DOMAIN, "team", "data").unwrap();
    check(LABEL_DOMAIN, "example.com/team", "").unwrap();
    for (key, value, why) in [
        ("team", "a b", "service label team: \"a b\" must have"),
        ("", "x", "the key is empty"),
        ("a_b.com/team", "x", "is not a DNS name"),
        ("environmentd.materialize.cloud/namespace", "x", "is kept for the orchestrator's labels"),
        ("compute.environmentd.materialize.cloud/x", "x", "is kept for the orchestrator's labels"),
    ] {
        let text = check(LABEL_DOMAIN, key, value).unwrap_err();
        assert!(text.contains(why), "{key}: {text}");
    }
    for (domain, environment, namespace) in
        [("a b", "e", "compute"), ("", "e", "compute"), ("x.y", "e/1", "compute"), ("x.y", "e", "Compute")]
    {
        assert!(Contract::new(domain, environment, namespace).is_err(), "{domain} {environment} {namespace}");
    }
    assert!(object_name("1-", "compute", "a", 1).unwrap_err().to_string().contains("must begin with a lower-case"));
}
