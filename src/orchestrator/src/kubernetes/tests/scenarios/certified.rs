//! A service whose processes get certificates, call by call.

use super::*;

const SECRET: &str = "/api/v1/namespaces/env/secrets";

#[tokio::test]
async fn certificates_come_before_pods_and_go_after_them() {
    let (service_mock, handle) = pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service_mock, "env");
    let orchestrator = KubernetesOrchestrator::with_client(Tasks::tokio(), client, "env", config()).await.unwrap();
    let orchestrator = orchestrator.certified(issuer(Arc::new(stdx::SystemClock)).await);
    let namespace = orchestrator.namespace("compute");
    let mut server = Server { handle, open: Vec::new(), watches: Vec::new() };

    namespace.ensure_service("cluster-1", service(1)).unwrap();
    for collection in [SERVICE, SET, SECRET] {
        server.expect_absent(&path(collection)).await;
    }
    let service_object = server.expect_apply(&path(SERVICE), false).await;
    let secret = server.expect_apply(&path(SECRET), false).await;
    let set = server.expect_apply(&path(SET), false).await;
    let metadata =
        json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": secret["metadata"] });
    let mut look = async |pods: bool| {
        server.expect_get(&path(SERVICE), &service_object).await;
        server.expect_get(&path(SET), &set).await;
        server.expect_get(&path(SECRET), &metadata).await;
        if pods {
            let call = server.service_call().await;
            assert!(call.is("GET", PODS), "{} {}", call.method, call.path);
            call.answer(200, &list("PodList", &[]));
        }
    };
    look(true).await;
    // Nothing is to be done.
    namespace.drop_service("cluster-1");
    look(false).await;
    for collection in [SET, SECRET, SERVICE] {
        let call = server.service_call().await;
        assert!(call.is("DELETE", &path(collection)), "{} {}", call.method, call.path);
        call.fail(404, "NotFound", "not found");
    }
    for collection in [SERVICE, SET, SECRET] {
        server.expect_absent(&path(collection)).await;
    }
}
