//! The certificates of a service's processes: a Secret beside its other objects, which its pods mount.
//!
//! clusterd asks no API server and reads no store. environmentd makes the Secret anew when it is time, or when a root joins
//! or leaves; the kubelet then replaces the files, and the processes read them again. The pods' template does not change by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::contract::Contract;
use super::objects::{ServiceObjects, hash};
use crate::authority::{Authority, Credentials, Names, RENEWAL};
use crate::orchestrator::{CredentialFiles, OrchestratorError};

/// Where pods find their certificates.
const DIRECTORY: &str = "/etc/freshet/tls";
/// The name of the volume.
const VOLUME: &str = "tls";
/// For the processes' user alone; the kubelet lets their group read, too, since they are not root.
const MODE: u32 = 0o400;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

/// Gives the processes of each service a certificate.
#[derive(Clone)]
pub struct ServiceIssuer {
    pub authority: Arc<Authority>,
    /// Whom the certificate of the service of this id is of.
    pub names: Arc<dyn Fn(&str) -> Names + Send + Sync>,
}

impl ServiceIssuer {
    /// A new Secret for a service.
    pub(crate) fn secret(&self, contract: &Contract, objects: &ServiceObjects) -> Result<Value, OrchestratorError> {
        // Before it is issued: a root that comes in between makes it due again.
        let authorities_hash = self.authorities_hash();
        let Credentials { certificate, key, authorities } = self.authority.issue(&(self.names)(&objects.id))?;
        // Named, labelled and owned as the service's other objects are.
        let mut metadata = objects.service["metadata"].clone();
        metadata["annotations"] = json!({
            contract.key("issued-at"): self.authority.now().as_secs().to_string(),
            contract.key("authorities-hash"): authorities_hash,
        });
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [(CERTIFICATE, bytes(&certificate)), (KEY, bytes(key.expose())), (AUTHORITIES, bytes(&authorities))];
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/tls",
            "data": BTreeMap::from(data),
        }))
    }

    /// Whether what is there will do until it is looked at again.
    pub(crate) fn is_good(&self, contract: &Contract, secret: &Value) -> bool {
        let annotations = &secret["metadata"]["annotations"];
        let issued = annotations[contract.key("issued-at")].as_str().and_then(|seconds| seconds.parse().ok());
        let issued = issued.map(Duration::from_secs);
        let now = self.authority.now();
        // One of the future was made by a clock that was wrong.
        let in_time = issued.is_some_and(|issued| issued <= now && now < issued + RENEWAL);
        in_time && annotations[contract.key("authorities-hash")] == self.authorities_hash()
    }

    fn authorities_hash(&self) -> String {
        hash(&Value::String(self.authority.authorities()))
    }
}

/// Where the processes find their files.
pub(crate) fn files() -> CredentialFiles {
    let file = |name: &str| format!("{DIRECTORY}/{name}");
    CredentialFiles { certificate: file(CERTIFICATE), key: file(KEY), authorities: file(AUTHORITIES) }
}

/// The volume of a service's pods.
pub(crate) fn volume(secret: &str) -> Value {
    json!({ "name": VOLUME, "secret": { "secretName": secret, "defaultMode": MODE } })
}

pub(crate) fn volume_mount() -> Value {
    json!({ "name": VOLUME, "mountPath": DIRECTORY, "readOnly": true })
}
