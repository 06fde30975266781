//! Scripts of what an API server answers, call by call.

mod certified;
mod secrets;

use std::time::Duration;

use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use stdx::Tasks;
use tower_test::mock::{Handle, SendResponse, pair};

use super::*;
use crate::kubernetes::KubernetesOrchestrator;
use crate::orchestrator::{NamespacedOrchestrator, OfflineReason, Orchestrator, ProcessStatus};

const SET: &str = "/apis/apps/v1/namespaces/env/statefulsets";
const SERVICE: &str = "/api/v1/namespaces/env/services";
const PODS: &str = "/api/v1/namespaces/env/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/env/poddisruptionbudgets";

/// An API server whose answers the test gives. Lists and watches that no test is about are answered by themselves.
struct Server {
    handle: Handle<Request<Body>, Response<Body>>,
    /// Watches that stay open.
    open: Vec<SendResponse<Response<Body>>>,
    /// What watches answer, one after the other; then they stay open.
    watches: Vec<(StatusCode, String)>,
}

struct Call {
    method: Method,
    path: String,
    query: String,
    body: Value,
    answer: SendResponse<Response<Body>>,
}

impl Call {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    fn answer(self, status: u16, body: &Value) {
        let response = Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
        self.answer.send_response(response.unwrap());
    }

    fn fail(self, status: u16, reason: &str, message: &str) {
        self.answer(status, &failure(status, reason, message));
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message })
}

/// As an API server writes it: the items do not tell what they are.
fn list(kind: &str, items: &[Value]) -> Value {
    let mut items = items.to_vec();
    for item in &mut items {
        let item = item.as_object_mut().unwrap();
        item.shift_remove("apiVersion");
        item.shift_remove("kind");
    }
    json!({ "kind": kind, "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items })
}

impl Server {
    async fn call(&mut self) -> Call {
        let tasks = Tasks::tokio();
        let next = tasks.timeout(Duration::from_secs(20), self.handle.next_request()).await;
        let (request, answer) = next.expect("no call came in time").expect("the client is gone");
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            answer,
        }
    }

    /// The next call about a service's objects. Those of the watch and of the budgets are answered on the way.
    async fn service_call(&mut self) -> Call {
        loop {
            let call = self.call().await;
            if call.path == PODS && call.query.contains("watch=true") {
                if self.watches.is_empty() {
                    self.open.push(call.answer);
                } else {
                    let (status, text) = self.watches.remove(0);
                    let response = Response::builder().status(status).body(Body::from(text.into_bytes()));
                    call.answer.send_response(response.unwrap());
                }
            } else if call.path == PODS && call.query.contains("limit=500") {
                call.answer(200, &list("PodList", &[]));
            } else if call.is("GET", BUDGETS) {
                call.answer(200, &list("PodDisruptionBudgetList", &[]));
            } else {
                return call;
            }
        }
    }

    /// Keeps watches open, has no pods, finds nothing, and takes whatever is applied.
    fn answer_anything(&mut self, call: Call) {
        if call.query.contains("watch=true") {
            self.open.push(call.answer);
        } else if call.path == PODS {
            call.answer(200, &list("PodList", &[]));
        } else if call.method == Method::GET {
            call.fail(404, "NotFound", "not found");
        } else {
            let object = stored(&call.body);
            call.answer(200, &object);
        }
    }

    /// The next call about a collection or what is in it; others are answered on the way.
    async fn call_about(&mut self, collection: &str) -> Call {
        loop {
            let call = self.call().await;
            if call.path.starts_with(collection) {
                return call;
            }
            self.answer_anything(call);
        }
    }

    /// Answers that a name is not there.
    async fn expect_absent(&mut self, path: &str) {
        let call = self.service_call().await;
        assert!(call.is("GET", path), "{} {}", call.method, call.path);
        call.fail(404, "NotFound", "not found");
    }

    /// Takes an applied object, as it comes back with a uid.
    async fn expect_apply(&mut self, path: &str, forced: bool) -> Value {
        let call = self.service_call().await;
        assert!(call.is("PATCH", path), "{} {}", call.method, call.path);
        assert!(call.query.contains("fieldManager=environmentd"), "{}", call.query);
        assert_eq!(call.query.contains("force=true"), forced, "{}", call.query);
        let object = stored(&call.body);
        call.answer(200, &object);
        object
    }

    async fn expect_get(&mut self, path: &str, object: &Value) {
        let call = self.service_call().await;
        assert!(call.is("GET", path), "{} {}", call.method, call.path);
        call.answer(200, object);
    }
}

fn stored(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["uid"] = json!(format!("uid-of-{}", object["kind"].as_str().unwrap()));
    object["metadata"]["resourceVersion"] = json!("5");
    object
}

async fn start() -> (Server, KubernetesOrchestrator, Arc<dyn NamespacedOrchestrator>) {
    start_with(Vec::new()).await
}

async fn start_with(
    watches: Vec<(StatusCode, String)>,
) -> (Server, KubernetesOrchestrator, Arc<dyn NamespacedOrchestrator>) {
    let (service, handle) = pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "env");
    let orchestrator = KubernetesOrchestrator::with_client(Tasks::tokio(), client, "env", config()).await.unwrap();
    let namespace = orchestrator.namespace("compute");
    (Server { handle, open: Vec::new(), watches }, orchestrator, namespace)
}

fn path(collection: &str) -> String {
    format!("{collection}/compute-cluster-1")
}

/// Takes a new service through to where nothing is left to do.
async fn create(server: &mut Server) -> (Value, Value) {
    server.expect_absent(&path(SERVICE)).await;
    server.expect_absent(&path(SET)).await;
    let service = server.expect_apply(&path(SERVICE), false).await;
    let set = server.expect_apply(&path(SET), false).await;
    settle(server, &service, &set).await;
    (service, set)
}

async fn settle(server: &mut Server, service: &Value, set: &Value) {
    server.expect_get(&path(SERVICE), service).await;
    server.expect_get(&path(SET), set).await;
    let call = server.service_call().await;
    assert!(call.is("GET", PODS) && call.query.contains("service-id%3Dcluster-1"), "{}", call.query);
    call.answer(200, &list("PodList", &[]));
}

async fn dropped(server: &mut Server, service: &Value, set: &Value) {
    server.expect_get(&path(SERVICE), service).await;
    server.expect_get(&path(SET), set).await;
    for collection in [SET, SERVICE] {
        let call = server.service_call().await;
        assert!(call.is("DELETE", &path(collection)), "{} {}", call.method, call.path);
        assert!(call.body["preconditions"]["uid"].is_string(), "{}", call.body);
        // It is gone already.
        call.fail(404, "NotFound", "not found");
    }
    server.expect_absent(&path(SERVICE)).await;
    server.expect_absent(&path(SET)).await;
}

#[tokio::test]
async fn a_service_is_made_left_alone_and_dropped() {
    let (mut server, _orchestrator, namespace) = start().await;
    let made = namespace.ensure_service("cluster-1", service(2)).unwrap();
    assert_eq!(
        made.addresses("timely"),
        [0, 1].map(|process| format!("compute-cluster-1-{process}.compute-cluster-1.env.svc.cluster.local:2102"))
    );
    assert!(made.addresses("none").is_empty());
    let (service_object, set) = create(&mut server).await;
    // Nothing is called for when the same is wanted again: the next call is about what is dropped.
    namespace.ensure_service("cluster-1", service(2)).unwrap();
    namespace.drop_service("cluster-1");
    namespace.drop_service("cluster-1");
    dropped(&mut server, &service_object, &set).await;
}

#[tokio::test]
async fn calls_that_fail_are_made_again_after_looking_again() {
    let (mut server, _orchestrator, namespace) = start().await;
    let mut events = namespace.watch_services();
    namespace.ensure_service("cluster-1", service(1)).unwrap();
    for (status, reason, told) in
        [(500, "InternalError", true), (429, "TooManyRequests", true), (409, "Conflict", true), (410, "Gone", true)]
    {
        server.expect_absent(&path(SERVICE)).await;
        server.expect_absent(&path(SET)).await;
        let call = server.service_call().await;
        assert!(call.is("PATCH", &path(SERVICE)));
        call.fail(status, reason, "not now");
        if told {
            let event = events.next().await.unwrap();
            let ProcessStatus::Offline(OfflineReason::Refused(why)) = event.status else { panic!("{event:?}") };
            assert!(why.contains(&format!("cannot patch services: the Kubernetes API server says {status}")), "{why}");
        }
    }
    create(&mut server).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_does_no_harm() {
    let (mut server, _orchestrator, namespace) = start().await;
    namespace.ensure_service("cluster-1", service(1)).unwrap();
    server.expect_absent(&path(SERVICE)).await;
    server.expect_absent(&path(SET)).await;
    let call = server.service_call().await;
    let service_object = stored(&call.body);
    call.answer.send_error("the connection broke");
    server.expect_get(&path(SERVICE), &service_object).await;
    server.expect_absent(&path(SET)).await;
    let set = server.expect_apply(&path(SET), false).await;
    settle(&mut server, &service_object, &set).await;
}

#[tokio::test]
async fn forbidden_verbs_are_named_with_the_role_that_lacks_them() {
    let (mut server, _orchestrator, namespace) = start().await;
    let mut events = namespace.watch_services();
    namespace.ensure_service("cluster-1", service(1)).unwrap();
    server.expect_absent(&path(SERVICE)).await;
    server.expect_absent(&path(SET)).await;
    server.expect_apply(&path(SERVICE), false).await;
    let call = server.service_call().await;
    let message = "statefulsets.apps \"compute-cluster-1\" is forbidden: User \"system:serviceaccount:env:environmentd\" \
                   cannot create resource \"statefulsets\" in API group \"apps\" in the namespace \"env\"";
    call.fail(403, "Forbidden", message);
    let event = events.next().await.unwrap();
    let ProcessStatus::Offline(OfflineReason::Refused(why)) = event.status else { panic!("{event:?}") };
    assert!(why.starts_with("may not create statefulsets in namespace env"), "{why}");
    assert!(why.contains("{apiGroups: [\"apps\"], resources: [\"statefulsets\"], verbs: [\"create\"]}"), "{why}");

    server.expect_absent(&path(SERVICE)).await;
    let call = server.service_call().await;
    call.fail(401, "Unauthorized", "Unauthorized");
    let event = events.next().await.unwrap();
    let ProcessStatus::Offline(OfflineReason::Refused(why)) = event.status else { panic!("{event:?}") };
    assert!(why.contains("does not accept our credentials"), "{why}");

    let call = server.service_call().await;
    call.fail(403, "Forbidden", "services \"x\" is forbidden: exceeded quota: q, requested: services=1");
    let event = events.next().await.unwrap();
    let ProcessStatus::Offline(OfflineReason::Refused(why)) = event.status else { panic!("{event:?}") };
    assert!(why.contains("the quota of namespace env is used up"), "{why}");
}

#[tokio::test]
async fn what_is_somebody_elses_is_refused_and_never_changed() {
    let (mut server, _orchestrator, namespace) = start().await;
    let mut events = namespace.watch_services();
    namespace.ensure_service("cluster-1", service(1)).unwrap();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "compute-cluster-1", "uid": "theirs", "labels": { "app": "theirs" } },
    });
    // However often it is looked at, nothing but looking happens.
    for attempt in 0..3 {
        server.expect_get(&path(SERVICE), &theirs).await;
        server.expect_absent(&path(SET)).await;
        if attempt == 0 {
            let event = events.next().await.unwrap();
            let ProcessStatus::Offline(OfflineReason::Refused(why)) = event.status else { panic!("{event:?}") };
            assert!(why.contains("Service compute-cluster-1 exists and is not this environment's"), "{why}");
        }
    }
}

#[tokio::test]
async fn stand_ins_get_a_budget_while_there_are_two() {
    let (mut server, _orchestrator, namespace) = start().await;
    let mut budget = None;
    let mut budgets = Vec::new();
    namespace.ensure_service("cluster-1", service(1)).unwrap();
    namespace.ensure_service("cluster-2", service(1)).unwrap();
    while budget.is_none() {
        let call = server.call().await;
        if call.is("GET", BUDGETS) {
            call.answer(200, &list("PodDisruptionBudgetList", &budgets));
        } else if call.method == Method::PATCH && call.path.starts_with(BUDGETS) {
            assert_eq!(call.body["spec"]["maxUnavailable"], 1);
            let object = stored(&call.body);
            budgets.push(object.clone());
            budget = Some(object.clone());
            call.answer(200, &object);
        } else {
            server.answer_anything(call);
        }
    }
    // Looked at again, it is as wanted: the next that happens to it is that it goes.
    let looked = server.call_about(BUDGETS).await;
    looked.answer(200, &list("PodDisruptionBudgetList", &budgets));
    namespace.drop_service("cluster-2");
    loop {
        let call = server.call().await;
        if call.method == Method::DELETE && call.path.starts_with(BUDGETS) {
            assert_eq!(call.body["preconditions"]["uid"], budget.unwrap()["metadata"]["uid"]);
            break;
        } else if call.is("GET", BUDGETS) {
            call.answer(200, &list("PodDisruptionBudgetList", &budgets));
        } else {
            assert!(!call.path.starts_with(BUDGETS), "nothing is to be changed in it");
            server.answer_anything(call);
        }
    }
}

fn pod_line(kind: &str, ready: bool) -> String {
    let labels = Contract::new(LABEL_DOMAIN, "e1", "compute").unwrap().identity("cluster-1");
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "compute-cluster-1-0", "uid": "p", "resourceVersion": "7", "labels": labels },
        "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    });
    json!({ "type": kind, "object": object }).to_string() + "\n"
}

#[tokio::test]
async fn a_watch_that_breaks_or_expires_begins_anew() {
    let gone = json!({ "type": "ERROR", "object": failure(410, "Expired", "too old resource version") });
    let watches = vec![
        (StatusCode::OK, pod_line("ADDED", true)),
        (StatusCode::OK, format!("{gone}\n")),
        (StatusCode::INTERNAL_SERVER_ERROR, failure(500, "InternalError", "not now").to_string()),
        (StatusCode::OK, pod_line("MODIFIED", false)),
    ];
    let (mut server, _orchestrator, namespace) = start_with(watches).await;
    let mut events = namespace.watch_services();
    let told = async {
        let mut told = Vec::new();
        while told.len() < 3 {
            told.push(events.next().await.unwrap().status);
        }
        told
    };
    // The list that follows the gap is without the pod.
    let (told, served) = (std::pin::pin!(told), std::pin::pin!(server.service_call()));
    let futures::future::Either::Left((told, _)) = futures::future::select(told, served).await else {
        panic!("a call that nothing asked for");
    };
    let offline = |reason| ProcessStatus::Offline(reason);
    assert_eq!(told, [ProcessStatus::Online, offline(OfflineReason::Stopped), offline(OfflineReason::Initializing)]);
}
