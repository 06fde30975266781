//! Flags of the Kubernetes orchestrator, and what they say to it.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use orchestrator::KubernetesConfig;
use orchestrator::kubernetes::{ImagePullPolicy, LABEL_DOMAIN, Placement, Toleration};

/// What `--orchestrator=kubernetes` needs to know.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kubernetes orchestrator")]
pub struct KubernetesArgs {
    /// The context of the kubeconfig [default: its current one, or the service account of the pod this runs in].
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_CONTEXT")]
    pub orchestrator_kubernetes_context: Option<String>,

    /// The Kubernetes namespace of everything that is made [default: the pod's, or the context's].
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_NAMESPACE")]
    pub orchestrator_kubernetes_namespace: Option<String>,

    /// The pod that this runs in: what owns it will own everything that is made, so that nothing outlives it.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_OWN_POD")]
    pub orchestrator_kubernetes_own_pod: Option<String>,

    /// The image of clusterd. Needed.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_CLUSTERD_IMAGE")]
    pub orchestrator_kubernetes_clusterd_image: Option<String>,

    /// When nodes fetch the image.
    #[arg(
        long,
        env = "FRESHET_ORCHESTRATOR_KUBERNETES_IMAGE_PULL_POLICY",
        value_enum,
        default_value = "if-not-present"
    )]
    pub orchestrator_kubernetes_image_pull_policy: PullPolicy,

    /// A Secret with credentials of the image's registry. May be repeated.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub orchestrator_kubernetes_image_pull_secret: Vec<String>,

    /// The service account of clusterd pods, which never get its token.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_SERVICE_ACCOUNT")]
    pub orchestrator_kubernetes_service_account: Option<String>,

    /// A Secret whose keys become environment variables of clusterd: credentials of the blob store. May be repeated.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_ENV_SECRETS", value_delimiter = ',')]
    pub orchestrator_kubernetes_env_secret: Vec<String>,

    /// A label KEY=VALUE that nodes must have. May be repeated.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_NODE_SELECTORS", value_delimiter = ',', value_parser = pair)]
    pub orchestrator_kubernetes_node_selector: Vec<(String, String)>,

    /// A taint KEY[=VALUE][:EFFECT] of nodes that is borne. May be repeated.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_TOLERATIONS", value_delimiter = ',', value_parser = str::parse::<Toleration>)]
    pub orchestrator_kubernetes_toleration: Vec<Toleration>,

    /// A zone in which clusterd may run. May be repeated [default: all].
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_AVAILABILITY_ZONES", value_delimiter = ',')]
    pub orchestrator_kubernetes_availability_zone: Vec<String>,

    /// Whether replicas of one cluster must be on different nodes and in different zones, or only should.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_PLACEMENT", value_enum, default_value = "preferred")]
    pub orchestrator_kubernetes_placement: PlacementKind,

    /// The StorageClass of disks for temporary files [default: clusterd gets none].
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_EPHEMERAL_VOLUME_CLASS")]
    pub orchestrator_kubernetes_ephemeral_volume_class: Option<String>,

    /// How much disk each worker gets, in MiB, if there is a class of disks.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_WORKER_DISK_MIB", default_value_t = 8192)]
    pub orchestrator_kubernetes_worker_disk_mib: u64,

    /// How much memory each worker gets, in MiB.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_WORKER_MEMORY_MIB", default_value_t = 4096)]
    pub orchestrator_kubernetes_worker_memory_mib: u64,

    /// How much of a processor each worker gets, in thousandths.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_WORKER_CPU_MILLIS", default_value_t = 1000)]
    pub orchestrator_kubernetes_worker_cpu_millis: u64,

    /// What the names of all objects begin with; tells environments apart that share a namespace.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_NAME_PREFIX", default_value = "")]
    pub orchestrator_kubernetes_name_prefix: String,

    /// The domain of the cluster's DNS.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_KUBERNETES_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub orchestrator_kubernetes_cluster_domain: String,

    /// A label KEY=VALUE of all pods and services. May be repeated.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_SERVICE_LABELS", value_delimiter = ',', value_parser = pair)]
    pub orchestrator_service_label: Vec<(String, String)>,

    /// Where the orchestrator's own labels live.
    #[arg(long, env = "FRESHET_ORCHESTRATOR_LABEL_DOMAIN", default_value = LABEL_DOMAIN)]
    pub orchestrator_label_domain: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlacementKind {
    Required,
    Preferred,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl KubernetesArgs {
    /// What the orchestrator is to be like, for the environment of this id.
    pub(crate) fn config(&self, environment_id: String) -> KubernetesConfig {
        let pairs = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<String, String>>();
        KubernetesConfig {
            context: self.orchestrator_kubernetes_context.clone(),
            namespace: self.orchestrator_kubernetes_namespace.clone(),
            own_pod: self.orchestrator_kubernetes_own_pod.clone(),
            environment_id,
            name_prefix: self.orchestrator_kubernetes_name_prefix.clone(),
            label_domain: self.orchestrator_label_domain.clone(),
            service_labels: pairs(&self.orchestrator_service_label),
            image_pull_policy: match self.orchestrator_kubernetes_image_pull_policy {
                PullPolicy::Always => ImagePullPolicy::Always,
                PullPolicy::IfNotPresent => ImagePullPolicy::IfNotPresent,
                PullPolicy::Never => ImagePullPolicy::Never,
            },
            image_pull_secrets: self.orchestrator_kubernetes_image_pull_secret.clone(),
            service_account: self.orchestrator_kubernetes_service_account.clone(),
            environment_secrets: self.orchestrator_kubernetes_env_secret.clone(),
            node_selector: pairs(&self.orchestrator_kubernetes_node_selector),
            tolerations: self.orchestrator_kubernetes_toleration.clone(),
            availability_zones: self.orchestrator_kubernetes_availability_zone.clone(),
            placement: match self.orchestrator_kubernetes_placement {
                PlacementKind::Required => Placement::Required,
                PlacementKind::Preferred => Placement::Preferred,
            },
            ephemeral_volume_class: self.orchestrator_kubernetes_ephemeral_volume_class.clone(),
            cluster_domain: self.orchestrator_kubernetes_cluster_domain.clone(),
        }
    }
}
