//! Where pods may run, and where they should.

use serde_json::{Value, json};

use super::contract::Labels;
use super::objects::Surroundings;
use super::{Placement, Toleration};
use crate::orchestrator::ServiceConfig;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// How long a pod stays on a node that is not heard of. The default is 300.
const LOST_NODE_SECONDS: u32 = 30;

/// Sets affinity and spread of a pod.
///
/// Stand-ins are kept on different hosts and spread over zones; the processes of one service are kept in one zone, for they
/// talk much. The selectors are of stand-ins of one generation: those of a new one are not kept from where the old ones are.
pub(crate) fn place(pod: &mut Value, surroundings: &Surroundings<'_>, id: &str, config: &ServiceConfig) {
    let Surroundings { contract, config: settings, .. } = surroundings;
    let mut affinity = json!({});
    let zones =
        if config.availability_zones.is_empty() { &settings.availability_zones } else { &config.availability_zones };
    if !zones.is_empty() {
        let term = json!({ "matchExpressions": [{ "key": ZONE, "operator": "In", "values": zones }] });
        affinity["nodeAffinity"] =
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    }
    if config.processes > 1 {
        let own = json!({ "matchLabels": contract.identity(id) });
        let term = json!({ "labelSelector": own, "topologyKey": ZONE });
        affinity["podAffinity"] =
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": term }] });
    }
    if let Some(stand_ins) = contract.stand_ins(config) {
        affinity["podAntiAffinity"] = apart(&stand_ins, &contract.key("service-id"), id, settings.placement);
        if config.processes == 1 {
            pod["topologySpreadConstraints"] = json!([{
                "maxSkew": 1,
                "topologyKey": ZONE,
                "whenUnsatisfiable": match settings.placement {
                    Placement::Required => "DoNotSchedule",
                    Placement::Preferred => "ScheduleAnyway",
                },
                "labelSelector": { "matchLabels": stand_ins },
            }]);
        }
    }
    if affinity != json!({}) {
        pod["affinity"] = affinity;
    }
}

/// Keeps a service's pods off the hosts of its stand-ins'.
fn apart(stand_ins: &Labels, id_key: &str, id: &str, placement: Placement) -> Value {
    let others = json!({
        "matchLabels": stand_ins,
        "matchExpressions": [{ "key": id_key, "operator": "NotIn", "values": [id] }],
    });
    let term = json!({ "labelSelector": others, "topologyKey": HOST });
    match placement {
        Placement::Required => json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] }),
        Placement::Preferred => {
            let weighted = json!({ "weight": 100, "podAffinityTerm": term });
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [weighted] })
        }
    }
}

/// The tolerations that were asked for, and a short wait for nodes that are lost.
pub(crate) fn tolerations(asked: &[Toleration]) -> Value {
    let lost = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_SECONDS });
    let mut tolerations = vec![lost("node.kubernetes.io/not-ready"), lost("node.kubernetes.io/unreachable")];
    for Toleration { key, value, effect } in asked {
        let mut toleration = json!({ "key": key });
        match value {
            Some(value) => {
                toleration["operator"] = json!("Equal");
                toleration["value"] = json!(value);
            }
            None => toleration["operator"] = json!("Exists"),
        }
        if let Some(effect) = effect {
            toleration["effect"] = json!(effect);
        }
        tolerations.push(toleration);
    }
    Value::Array(tolerations)
}
