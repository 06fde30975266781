//! Plans against a model of a namespace: whatever happens on the way, what is wanted comes, and then nothing happens.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::plan::{self, Action, Force, Kind, Mark, Observed, Obstacle};

const TEMPLATE_KEY: &str = "environmentd.materialize.cloud/pod-template-hash";

/// One service's objects, as an API server and its controllers would keep them.
#[derive(Clone, Debug, Default)]
struct World {
    observed: Observed,
    next_uid: u64,
}

impl World {
    fn uid(&mut self) -> String {
        self.next_uid += 1;
        format!("uid-{}", self.next_uid)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Apply(kind, object, force) => {
                let uid = self.uid();
                let slot = match kind {
                    Kind::Service => &mut self.observed.service,
                    Kind::StatefulSet => &mut self.observed.stateful_set,
                    Kind::Secret => &mut self.observed.secret,
                    other => panic!("{other:?} is not applied for a service"),
                };
                assert!(slot.is_none() || *force == Force::Yes, "an object appeared between looking and applying");
                let mut object = object.clone();
                object["metadata"]["uid"] = slot.as_ref().map_or(json!(uid), |old| old["metadata"]["uid"].clone());
                if *kind != Kind::Secret {
                    object["spec"]["defaulted"] = json!(true);
                }
                *slot = Some(object);
            }
            Action::Delete(Kind::Service, _) => self.observed.service = None,
            Action::Delete(Kind::StatefulSet, _) => self.observed.stateful_set = None,
            Action::Delete(Kind::Secret, _) => self.observed.secret = None,
            Action::Delete(_, object) => {
                self.observed.pods.retain(|pod| pod["metadata"]["uid"] != object.uid.as_str());
            }
        }
    }

    /// What the StatefulSet's controller and the garbage collector do.
    fn control(&mut self) {
        let Some(stateful_set) = self.observed.stateful_set.clone() else {
            self.observed.pods.clear();
            return;
        };
        let owner = stateful_set["metadata"]["uid"].clone();
        self.observed.pods.retain(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == owner);
        let wanted = usize::try_from(stateful_set["spec"]["replicas"].as_u64().unwrap()).unwrap();
        let pod_name = |process: usize| format!("{}-{process}", plan::name(&stateful_set));
        self.observed.pods.retain(|pod| (0..wanted).any(|process| plan::name(pod) == pod_name(process)));
        for process in 0..wanted {
            if self.observed.pods.iter().all(|pod| plan::name(pod) != pod_name(process)) {
                let mut pod = stateful_set["spec"]["template"].clone();
                pod["metadata"]["name"] = json!(pod_name(process));
                pod["metadata"]["uid"] = json!(self.uid());
                pod["metadata"]["ownerReferences"] = json!([{ "uid": owner }]);
                self.observed.pods.push(pod);
            }
        }
    }
}

/// Whether the next action is done, and whether its answer comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Done,
    NotSent,
    AnswerLost,
}

/// Runs plans until one is empty; `fates` are those of the first actions.
fn settle(world: &mut World, wanted: Option<&ServiceObjects>, fates: &mut impl Iterator<Item = Fate>) -> usize {
    let (labels, owner) = (identity(), owner());
    let mark = Mark { labels: &labels, owner: Some(&owner), template_key: TEMPLATE_KEY };
    for round in 0..100 {
        let plan = match wanted {
            Some(wanted) => plan::ensure(wanted, due_secret(world, wanted), mark, &world.observed),
            None => plan::remove(mark, &world.observed),
        };
        let actions = plan.unwrap();
        if actions.is_empty() {
            return round;
        }
        for action in &actions {
            let fate = fates.next().unwrap_or(Fate::Done);
            if fate != Fate::NotSent {
                world.act(action);
                world.control();
            }
            if fate != Fate::Done {
                break;
            }
        }
        world.control();
    }
    panic!("the plans do not end: {world:?}");
}

/// Certificates, if there are none; they are good for ever here.
fn due_secret(world: &World, wanted: &ServiceObjects) -> Option<Value> {
    let metadata = &wanted.service["metadata"];
    world.observed.secret.is_none().then(|| json!({ "kind": "Secret", "metadata": metadata }))
}

fn identity() -> BTreeMap<String, String> {
    Contract::new(LABEL_DOMAIN, "e1", "compute").unwrap().identity("cluster-1")
}

fn variant(processes: usize, memory: u64, prefix_label: bool) -> ServiceObjects {
    let mut config = config();
    if prefix_label {
        config.service_labels.insert("team".to_owned(), "a".to_owned());
    }
    let mut service = service(processes);
    service.memory_limit_bytes = Some(memory << 30);
    objects(&config, "cluster-1", &service).unwrap()
}

fn is_as_wanted(world: &World, wanted: Option<&ServiceObjects>) {
    let Some(wanted) = wanted else {
        assert!(world.observed.service.is_none() && world.observed.stateful_set.is_none());
        assert!(world.observed.secret.is_none());
        assert!(world.observed.pods.is_empty());
        return;
    };
    let strip = |object: &Option<Value>| {
        let mut object = object.clone().unwrap();
        object["metadata"].as_object_mut().unwrap().shift_remove("uid");
        object["spec"].as_object_mut().unwrap().shift_remove("defaulted");
        object
    };
    assert_eq!(strip(&world.observed.service), wanted.service);
    assert_eq!(strip(&world.observed.stateful_set), wanted.stateful_set);
    assert_eq!(plan::name(world.observed.secret.as_ref().unwrap()), wanted.name);
    assert_eq!(world.observed.pods.len(), wanted.processes);
    for pod in &world.observed.pods {
        assert_eq!(pod["metadata"]["annotations"][TEMPLATE_KEY], wanted.template_hash.as_str());
    }
}

/// Somebody edits an object of ours by hand.
fn tamper(world: &mut World, how: u8) {
    let (service, stateful_set) = (&mut world.observed.service, &mut world.observed.stateful_set);
    match (how % 7, service, stateful_set) {
        (0, Some(service), _) => service["spec"]["ports"] = json!([]),
        (1, Some(service), _) => service["spec"]["clusterIP"] = json!("10.0.0.1"),
        (2, _, Some(set)) => set["spec"]["replicas"] = json!(7),
        (3, _, Some(set)) => set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil"),
        (4, service, _) => *service = None,
        (6, ..) => world.observed.secret = None,
        (5, _, Some(set)) => set["spec"]["podManagementPolicy"] = json!("OrderedReady"),
        _ => {}
    }
    world.control();
}

proptest! {
    #[test]
    fn what_is_wanted_comes_whatever_fails_on_the_way(
        steps in prop::collection::vec(
            (
                prop::option::of((1usize..4, 1u64..3, any::<bool>())),
                prop::collection::vec(prop_oneof![Just(Fate::Done), Just(Fate::NotSent), Just(Fate::AnswerLost)], 0..8),
                prop::option::of(any::<u8>()),
            ),
            1..8,
        )
    ) {
        let mut world = World::default();
        for (wanted, fates, tampering) in steps {
            let wanted = wanted.map(|(processes, memory, label)| variant(processes, memory, label));
            if let Some(how) = tampering {
                tamper(&mut world, how);
            }
            settle(&mut world, wanted.as_ref(), &mut fates.into_iter());
            is_as_wanted(&world, wanted.as_ref());
            // Nothing more is to be done then.
            prop_assert_eq!(settle(&mut world, wanted.as_ref(), &mut std::iter::empty()), 0);
        }
    }
}

fn settled() -> (World, ServiceObjects) {
    let (mut world, wanted) = (World::default(), variant(2, 1, false));
    settle(&mut world, Some(&wanted), &mut std::iter::empty());
    (world, wanted)
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (world, wanted) = settled();
    let (labels, owner) = (identity(), owner());
    let mark = Mark { labels: &labels, owner: Some(&owner), template_key: TEMPLATE_KEY };
    let mut other_owner = world.observed.clone();
    other_owner.stateful_set.as_mut().unwrap()["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    let mut other_labels = world.observed.clone();
    other_labels.stateful_set.as_mut().unwrap()["metadata"]["labels"] = json!({ "app": "theirs" });
    let mut no_owner = world.observed.clone();
    no_owner.stateful_set.as_mut().unwrap()["metadata"].as_object_mut().unwrap().shift_remove("ownerReferences");
    for observed in [other_owner, other_labels, no_owner] {
        let foreign = Obstacle::Foreign { kind: Kind::StatefulSet, name: "compute-cluster-1".to_owned() };
        assert_eq!(plan::ensure(&wanted, None, mark, &observed), Err(foreign.clone()));
        assert_eq!(plan::remove(mark, &observed), Err(foreign));
    }
    // Without an owner of our own, what somebody owns is not ours either.
    let ownerless = Mark { owner: None, ..mark };
    assert!(plan::ensure(&wanted, None, ownerless, &world.observed).is_err());
    // Nor are pods given certificates of others, however good they look.
    let mut secret = world.observed.clone();
    secret.secret.as_mut().unwrap()["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    let foreign = Obstacle::Foreign { kind: Kind::Secret, name: "compute-cluster-1".to_owned() };
    assert_eq!(plan::ensure(&wanted, None, mark, &secret), Err(foreign.clone()));
    assert_eq!(plan::remove(mark, &secret), Err(foreign));
}

fn kinds(actions: &[Action]) -> Vec<Kind> {
    let kind = |action: &Action| match action {
        Action::Apply(kind, ..) | Action::Delete(kind, _) => *kind,
    };
    actions.iter().map(kind).collect()
}

#[test]
fn a_service_comes_first_and_goes_last() {
    let (world, wanted) = settled();
    let (labels, owner) = (identity(), owner());
    let mark = Mark { labels: &labels, owner: Some(&owner), template_key: TEMPLATE_KEY };
    let secret = due_secret(&World::default(), &wanted);
    let made = plan::ensure(&wanted, secret, mark, &Observed::default()).unwrap();
    assert_eq!(kinds(&made), [Kind::Service, Kind::Secret, Kind::StatefulSet]);
    let removed = plan::remove(mark, &world.observed).unwrap();
    assert_eq!(kinds(&removed), [Kind::StatefulSet, Kind::Secret, Kind::Service]);
    assert!(!format!("{made:?}").contains("\"kind\":\"Secret\""), "what is in a Secret is not printed");
}

#[test]
fn pods_are_replaced_after_their_template_and_only_ours() {
    let (mut world, _) = settled();
    let newer = variant(2, 2, false);
    let (labels, owner) = (identity(), owner());
    let mark = Mark { labels: &labels, owner: Some(&owner), template_key: TEMPLATE_KEY };
    world.observed.pods[1]["metadata"]["ownerReferences"][0]["uid"] = json!("somebody");
    let actions = plan::ensure(&newer, None, mark, &world.observed).unwrap();
    assert_eq!(kinds(&actions), [Kind::StatefulSet, Kind::Pod]);
    // One that is going already is not hurried.
    world.observed.pods[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(plan::ensure(&newer, None, mark, &world.observed).unwrap().len(), 1);
}

#[test]
fn what_is_being_deleted_is_waited_for() {
    let (mut world, wanted) = settled();
    let (labels, owner) = (identity(), owner());
    let mark = Mark { labels: &labels, owner: Some(&owner), template_key: TEMPLATE_KEY };
    world.observed.stateful_set.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(matches!(plan::ensure(&wanted, None, mark, &world.observed), Err(Obstacle::Terminating { .. })));
    let actions = plan::remove(mark, &world.observed).unwrap();
    assert_eq!(kinds(&actions), [Kind::Secret, Kind::Service]);
}
