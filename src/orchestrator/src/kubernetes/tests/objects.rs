//! The objects as text. `REWRITE=1` writes down what comes.

use std::path::Path;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;

use super::*;
use crate::kubernetes::Toleration;
use crate::kubernetes::objects::{budget_name, bytes_quantity};

fn check(name: &str, values: &[&Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/kubernetes/tests/golden/{name}.json"));
    let text: String = values.iter().map(|value| serde_json::to_string_pretty(value).unwrap() + "\n").collect();
    if std::env::vars().any(|(name, _)| name == "REWRITE") {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} differs; REWRITE=1 accepts:\n{text}", path.display());
    // No field is misspelt: the types have them all.
    for value in values {
        let typed = match value["kind"].as_str().unwrap() {
            "Service" => serde_json::to_value(serde_json::from_value::<Service>((*value).clone()).unwrap()),
            "StatefulSet" => serde_json::to_value(serde_json::from_value::<StatefulSet>((*value).clone()).unwrap()),
            _ => serde_json::to_value(serde_json::from_value::<PodDisruptionBudget>((*value).clone()).unwrap()),
        };
        assert_eq!(&typed.unwrap(), *value);
    }
}

#[test]
fn a_service_of_one_process() {
    let objects = objects(&config(), "cluster-1", &service(1)).unwrap();
    check("one_process", &[&objects.service, &objects.stateful_set]);
}

#[tokio::test]
async fn a_service_with_certificates() {
    let issuer = issuer(Arc::new(stdx::SystemClock)).await;
    let objects = objects_of(&config(), "cluster-1", &service(1), Some(&issuer)).unwrap();
    check("certified", &[&objects.service, &objects.stateful_set]);
}

#[test]
fn a_service_with_everything() {
    let mut config = config();
    config.name_prefix = "prod-".to_owned();
    config.service_labels = [("example.com/environment".to_owned(), "prod".to_owned())].into();
    config.image_pull_policy = ImagePullPolicy::Always;
    config.image_pull_secrets = vec!["registry".to_owned()];
    config.service_account = Some("clusterd".to_owned());
    config.environment_secrets = vec!["blob".to_owned()];
    config.node_selector = [("pool".to_owned(), "data".to_owned())].into();
    config.tolerations = vec!["dedicated=data:NoSchedule".parse().unwrap(), "spot".parse().unwrap()];
    config.placement = Placement::Required;
    config.ephemeral_volume_class = Some("local".to_owned());
    let mut service = service(2);
    service.disk_limit_bytes = Some(8 << 30);
    service.availability_zones = vec!["a".to_owned(), "b".to_owned()];
    let objects = objects(&config, "cluster-2", &service).unwrap();
    check("everything", &[&objects.service, &objects.stateful_set]);
}

#[test]
fn a_budget_of_stand_ins() {
    let (config, owner) = (config(), owner());
    let contract = Contract::new(LABEL_DOMAIN, "e1", "compute").unwrap();
    let surroundings = Surroundings {
        contract: &contract,
        config: &config,
        kubernetes_namespace: "env",
        owner: Some(&owner),
        issuer: None,
    };
    let stand_ins = objects(&config, "cluster-1", &service(1)).unwrap().stand_ins.unwrap();
    let name = budget_name(&config, &contract, &stand_ins).unwrap();
    check("budget", &[&surroundings.budget(&name, &stand_ins, 1)]);
}

#[test]
fn a_template_tells_what_it_was_made_of() {
    let (config, one) = (config(), service(1));
    let hash = |config: &KubernetesConfig, service: &ServiceConfig| {
        objects(config, "cluster-1", service).unwrap().template_hash
    };
    assert_eq!(hash(&config, &one), hash(&config, &service(1)));
    let mut other = service(1);
    other.memory_limit_bytes = Some(8 << 30);
    assert_ne!(hash(&config, &one), hash(&config, &other));
    let mut labelled = config.clone();
    labelled.service_labels.insert("team".to_owned(), "a".to_owned());
    assert_ne!(hash(&config, &one), hash(&labelled, &one));
}

#[test]
fn tolerations_are_written_as_taints_are() {
    let parse = |text: &str| text.parse::<Toleration>();
    let toleration = |key: &str, value: Option<&str>, effect: Option<&str>| Toleration {
        key: key.to_owned(),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
    };
    assert_eq!(parse("a=b:NoExecute"), Ok(toleration("a", Some("b"), Some("NoExecute"))));
    assert_eq!(parse("a:NoSchedule"), Ok(toleration("a", None, Some("NoSchedule"))));
    assert_eq!(parse("x.com/a"), Ok(toleration("x.com/a", None, None)));
    assert!(parse("a:Never").unwrap_err().contains("no effect \"Never\""));
    assert!(parse("").is_err() && parse("=b").is_err());
}

#[test]
fn quantities_are_canonical() {
    for (bytes, text) in
        [(0, "0Ki"), (1, "1Ki"), (1024, "1Ki"), (1536 << 10, "1536Ki"), (4 << 30, "4Gi"), (1 << 40, "1Ti")]
    {
        assert_eq!(bytes_quantity(bytes), text);
    }
}
