//! What to do next, from what is wanted and what is observed.
//!
//! Pure. A plan's actions may stop anywhere, and each may have been done although its answer was lost: the next plan begins
//! with what is observed then. An empty plan says that all is as wanted. Invariants:
//!
//! - what is not ours, by labels and owner, is neither changed nor deleted nor taken over;
//! - pods are replaced only once the template is the wanted one, or they would come back as they were;
//! - a StatefulSet goes before its Service, so that the pods that stop still have names;
//! - the Service comes first and goes last, so that of whatever is left over by a crash there is a Service.

use std::fmt;

use serde_json::Value;

use super::contract::Labels;
use super::objects::{Owner, ServiceObjects};

/// The kinds of objects that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Service,
    StatefulSet,
    PodDisruptionBudget,
    Secret,
    /// Made by the StatefulSet's controller; only deleted by us.
    Pod,
    /// Made by the metrics server, if there is one; only read by us.
    PodMetrics,
}

/// One call to the API server.
#[derive(Clone, PartialEq)]
pub(crate) enum Action {
    Apply(Kind, Value, Force),
    Delete(Kind, ObjectRef),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What is in it must not show.
            Action::Apply(Kind::Secret, object, force) => write!(f, "Apply(Secret, {}, {force:?})", name(object)),
            Action::Apply(kind, object, force) => write!(f, "Apply({kind:?}, {object}, {force:?})"),
            Action::Delete(kind, object) => write!(f, "Delete({kind:?}, {object:?})"),
        }
    }
}

/// Whether fields that others manage are taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// The object is ours: what others have changed in it is undone.
    Yes,
    /// There was no object: if there is one now, it is somebody else's.
    No,
}

/// Names one object, and none that takes its name later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectRef {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The objects of one service as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    pub(crate) service: Option<Value>,
    pub(crate) stateful_set: Option<Value>,
    /// Only its metadata.
    pub(crate) secret: Option<Value>,
    pub(crate) pods: Vec<Value>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    #[error(
        "{kind:?} {name} exists and is not this environment's: its labels or its owner differ; \
         delete it, or start environmentd with another name prefix"
    )]
    Foreign { kind: Kind, name: String },
    /// It passes by itself.
    #[error("{kind:?} {name} is still being deleted")]
    Terminating { kind: Kind, name: String },
}

/// By what an object is known to be ours.
#[derive(Clone, Copy)]
pub(crate) struct Mark<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) owner: Option<&'a Owner>,
    /// The key of the annotation on pods that tells their template.
    pub(crate) template_key: &'a str,
}

impl Mark<'_> {
    /// Errors: it is not ours.
    pub(crate) fn check(&self, kind: Kind, object: &Value) -> Result<(), Obstacle> {
        let metadata = &object["metadata"];
        let labelled = self.labels.iter().all(|(key, value)| metadata["labels"][key] == value.as_str());
        let references = metadata["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        let owned = match self.owner {
            Some(owner) => references.iter().any(|reference| reference["uid"] == owner.uid.as_str()),
            None => references.is_empty(),
        };
        if labelled && owned { Ok(()) } else { Err(Obstacle::Foreign { kind, name: name(object) }) }
    }
}

/// What makes the objects of a service as wanted. `secret` is a new one for it, if it needs one.
pub(crate) fn ensure(
    wanted: &ServiceObjects,
    secret: Option<Value>,
    mark: Mark<'_>,
    observed: &Observed,
) -> Result<Vec<Action>, Obstacle> {
    let mut actions = Vec::new();
    actions.extend(ensure_object(Kind::Service, &wanted.service, mark, observed.service.as_ref())?);
    let force = match &observed.secret {
        // Also if it needs no change: pods must not be given somebody else's.
        Some(observed) => claim(Kind::Secret, observed, mark).map(|()| Force::Yes)?,
        None => Force::No,
    };
    // Before there are pods that want it.
    actions.extend(secret.map(|secret| Action::Apply(Kind::Secret, secret, force)));
    let stateful_set = observed.stateful_set.as_ref();
    actions.extend(ensure_object(Kind::StatefulSet, &wanted.stateful_set, mark, stateful_set)?);
    let Some(stateful_set) = stateful_set else { return Ok(actions) };
    if matches!(actions.last(), Some(Action::Delete(Kind::StatefulSet, _))) {
        // Its pods go with it.
        return Ok(actions);
    }
    for pod in &observed.pods {
        let metadata = &pod["metadata"];
        let own = metadata["ownerReferences"].as_array().is_some_and(|references| {
            references.iter().any(|reference| reference["uid"] == stateful_set["metadata"]["uid"])
        });
        let stale = metadata["annotations"][mark.template_key] != wanted.template_hash.as_str();
        if own && stale && !is_terminating(pod) {
            actions.push(Action::Delete(Kind::Pod, reference(pod)));
        }
    }
    Ok(actions)
}

/// What removes the objects of a service.
pub(crate) fn remove(mark: Mark<'_>, observed: &Observed) -> Result<Vec<Action>, Obstacle> {
    let mut actions = Vec::new();
    let objects = [
        (Kind::StatefulSet, &observed.stateful_set),
        (Kind::Secret, &observed.secret),
        (Kind::Service, &observed.service),
    ];
    for (kind, object) in objects {
        let Some(object) = object else { continue };
        mark.check(kind, object)?;
        if !is_terminating(object) {
            actions.push(Action::Delete(kind, reference(object)));
        }
    }
    Ok(actions)
}

/// What makes one object as wanted; nothing if it is.
pub(crate) fn ensure_object(
    kind: Kind,
    wanted: &Value,
    mark: Mark<'_>,
    observed: Option<&Value>,
) -> Result<Option<Action>, Obstacle> {
    let Some(observed) = observed else { return Ok(Some(Action::Apply(kind, wanted.clone(), Force::No))) };
    claim(kind, observed, mark)?;
    if immutable(kind).iter().any(|field| !covers(&observed["spec"][field], &wanted["spec"][field])) {
        return Ok(Some(Action::Delete(kind, reference(observed))));
    }
    let same = covers(observed, wanted);
    Ok((!same).then(|| Action::Apply(kind, wanted.clone(), Force::Yes)))
}

/// Errors: the object is not ours, or is on its way out.
fn claim(kind: Kind, observed: &Value, mark: Mark<'_>) -> Result<(), Obstacle> {
    mark.check(kind, observed)?;
    if is_terminating(observed) {
        return Err(Obstacle::Terminating { kind, name: name(observed) });
    }
    Ok(())
}

/// The fields of a kind's `spec` that cannot be changed.
fn immutable(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Service => &["clusterIP"],
        Kind::StatefulSet => &["selector", "serviceName", "podManagementPolicy"],
        Kind::PodDisruptionBudget | Kind::Secret | Kind::Pod | Kind::PodMetrics => &[],
    }
}

/// Whether all that is wanted is there. What defaults and controllers have added does no harm; what is no longer wanted shows
/// in the annotation that tells a hash of all that was.
fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| observed.get(key).is_some_and(|observed| covers(observed, wanted)))
        }
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len() && observed.iter().zip(wanted).all(|(o, w)| covers(o, w))
        }
        (observed, wanted) => observed == wanted,
    }
}

fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn reference(object: &Value) -> ObjectRef {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    ObjectRef { name: name(object), uid }
}
