//! What the store of secrets asks of an API server, call by call.

use stdx::Redacted;

use super::*;
use crate::kubernetes::KubernetesSecrets;
use crate::secrets::{SecretName, SecretsController, SecretsReader};

const SECRET: &str = "/api/v1/namespaces/env/secrets/secret-user-u1";

fn start_secrets() -> (Server, Arc<KubernetesSecrets>, SecretName) {
    let (service, handle) = pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "env");
    let secrets = KubernetesSecrets::with_client(Tasks::tokio(), client, "env", &config()).unwrap();
    let server = Server { handle, open: Vec::new(), watches: Vec::new() };
    (server, Arc::new(secrets), SecretName::new("user-u1").unwrap())
}

fn without_contents(object: &Value) -> Value {
    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] })
}

fn hunter2() -> Redacted<Vec<u8>> {
    Redacted::new(b"hunter2".to_vec())
}

#[tokio::test]
async fn a_secret_is_made_replaced_read_and_deleted() {
    let (mut server, secrets, name) = start_secrets();
    let answers = async {
        server.expect_absent(SECRET).await;
        let object = server.expect_apply(SECRET, false).await;
        assert_eq!(object["data"], json!({ "contents": "aHVudGVyMg==" }));
        assert_eq!(
            object["metadata"]["labels"],
            json!({
                "app.kubernetes.io/managed-by": "environmentd",
                "app.kubernetes.io/part-of": "freshet",
                "environmentd.materialize.cloud/environment-id": "e1",
                "environmentd.materialize.cloud/namespace": "secrets",
                "environmentd.materialize.cloud/secret-name": "user-u1",
            })
        );
        // It outlives environmentd's StatefulSet, and nothing is told of what is in it.
        assert!(object["metadata"]["ownerReferences"].is_null() && object["metadata"]["annotations"].is_null());

        server.expect_get(SECRET, &without_contents(&object)).await;
        let call = server.call().await;
        assert!(call.is("PATCH", SECRET) && call.query.contains("force=true"), "{} {}", call.path, call.query);
        assert_eq!(call.body["metadata"]["uid"], "uid-of-Secret");
        call.answer(200, &object);

        server.expect_get(SECRET, &object).await;

        server.expect_get(SECRET, &without_contents(&object)).await;
        let call = server.call().await;
        assert!(call.is("DELETE", SECRET), "{} {}", call.method, call.path);
        assert_eq!(call.body["preconditions"]["uid"], "uid-of-Secret");
        call.answer(200, &object);
    };
    let calls = async {
        secrets.ensure(&name, hunter2()).await.unwrap();
        secrets.ensure(&name, hunter2()).await.unwrap();
        assert_eq!(secrets.read(&name).await.unwrap().unwrap().expose(), b"hunter2");
        secrets.delete(&name).await.unwrap();
    };
    futures::future::join(answers, calls).await;
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_not_touched() {
    let (mut server, secrets, name) = start_secrets();
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "secret-user-u1", "uid": "theirs" },
        "data": { "contents": "aHVudGVyMg==" },
    });
    let answers = async {
        server.expect_get(SECRET, &without_contents(&foreign)).await;
        server.expect_get(SECRET, &foreign).await;
        server.expect_get(SECRET, &without_contents(&foreign)).await;
    };
    let calls = async {
        let errors = [
            secrets.ensure(&name, hunter2()).await.unwrap_err(),
            secrets.read(&name).await.unwrap_err(),
            secrets.delete(&name).await.unwrap_err(),
        ];
        for error in errors {
            let told = error.to_string();
            assert!(told.starts_with("Secret secret-user-u1 exists and is not this environment's"), "{told}");
        }
    };
    futures::future::join(answers, calls).await;
}

#[tokio::test]
async fn failures_name_the_missing_rule_and_no_contents() {
    let (mut server, secrets, name) = start_secrets();
    let answers = async {
        server.expect_absent(SECRET).await;
        let call = server.call().await;
        let message =
            "secrets \"secret-user-u1\" is forbidden: User \"x\" cannot create resource \"secrets\" in API group";
        call.fail(403, "Forbidden", message);
        // An answer that is no Secret, and whose reason would quote it.
        let call = server.call().await;
        call.answer(
            200,
            &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": { "contents": ["hunter2"] } }),
        );
        let call = server.call().await;
        call.answer(200, &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": "hunter2" }));
    };
    let calls = async {
        let told = secrets.ensure(&name, hunter2()).await.unwrap_err().to_string();
        assert!(told.contains("{apiGroups: [\"\"], resources: [\"secrets\"], verbs: [\"create\"]}"), "{told}");
        for _ in 0..2 {
            let error = secrets.read(&name).await.unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains("cannot be understood") && !told.contains("hunter2"), "{told}");
        }
    };
    futures::future::join(answers, calls).await;
}
