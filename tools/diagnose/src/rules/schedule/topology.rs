//! The scheduler's filters that look at the pods around a node: affinity, anti-affinity and spread.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::model::{Node, Pod, PodAffinity, PodTerm, Selector};
use crate::rules::schedule::cluster::{Cluster, is_left_behind};
use crate::rules::schedule::filter::{Fail, is_asked_for, tolerates};

/// What the pods around a node say to a pod.
pub struct Topology {
    /// Per affinity term its key and the places where such pods are; none where the pod is the first of its kind.
    near: Vec<(String, Option<BTreeSet<String>>)>,
    /// Per anti-affinity term its key and the places where such pods are.
    apart: Vec<(String, BTreeSet<String>)>,
    /// Key, place and maker of pods that keep this one away.
    shunned: Vec<(String, String, String)>,
    /// Per constraint: its key, and the places that take one more.
    spread: Vec<(usize, String, BTreeSet<String>)>,
}

/// The required terms of an affinity.
pub fn terms(affinity: Option<&PodAffinity>) -> &[PodTerm] {
    affinity.map_or(&[], |a| &a.required_during_scheduling_ignored_during_execution)
}

/// The affinity terms of a pod.
pub fn near_terms(pod: &Pod) -> &[PodTerm] {
    terms(pod.spec.affinity.as_ref().and_then(|a| a.pod_affinity.as_ref()))
}

/// The anti-affinity terms of a pod.
pub fn apart_terms(pod: &Pod) -> &[PodTerm] {
    terms(pod.spec.affinity.as_ref().and_then(|a| a.pod_anti_affinity.as_ref()))
}

/// Whether a term of a pod in namespace `home` is about a pod.
fn is_about(engine: &Engine<'_>, term: &PodTerm, home: &str, pod: &Pod) -> bool {
    let namespace = &pod.metadata.namespace;
    is_in(engine, term, home, namespace)
        && term.label_selector.as_ref().is_some_and(|s| s.selects(&pod.metadata.labels))
}

fn is_in(engine: &Engine<'_>, term: &PodTerm, home: &str, namespace: &str) -> bool {
    if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        return home == namespace;
    }
    term.namespaces.iter().any(|n| n == namespace)
        || term.namespace_selector.as_ref().is_some_and(|s| {
            s.is_empty()
                || engine
                    .snap
                    .namespaces
                    .find("", namespace)
                    .found()
                    .is_some_and(|n| s.selects(&n.metadata.labels))
        })
}

/// The pods that a term of a pod in namespace `home` is about.
pub fn about<'a>(engine: &Engine<'a>, term: &PodTerm, home: &str) -> Vec<&'a Pod> {
    let Some(selector) = &term.label_selector else { return Vec::new() };
    if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        return engine.index.selected(home, selector);
    }
    let all = engine.snap.namespaces.items.iter().map(|n| n.metadata.name.as_str());
    let listed: BTreeSet<&str> = all.chain(term.namespaces.iter().map(String::as_str)).collect();
    listed
        .into_iter()
        .filter(|n| is_in(engine, term, home, n))
        .flat_map(|n| engine.index.selected(n, selector))
        .collect()
}

impl Topology {
    /// Works out where the pods are that a pod's terms are about.
    pub fn new<'a>(engine: &Engine<'a>, cluster: &Cluster<'a>, pod: &'a Pod) -> Self {
        let home = &pod.metadata.namespace;
        let place = |of: &Pod, key: &str| -> Option<String> {
            let node = cluster.rooms.get(*cluster.at.get(of.spec.node_name.as_str())?)?.node;
            node.label(key).filter(|_| !is_left_behind(node, of)).map(str::to_owned)
        };
        let places = |term: &PodTerm| -> BTreeSet<String> {
            let pods = about(engine, term, home);
            pods.into_iter()
                .filter(|p| !p.is_finished() && p.metadata.uid != pod.metadata.uid)
                .filter_map(|p| place(p, &term.topology_key))
                .collect()
        };
        let wanted = near_terms(pod);
        let mut near: Vec<(String, Option<BTreeSet<String>>)> =
            wanted.iter().map(|t| (t.topology_key.clone(), Some(places(t)))).collect();
        // The first of its kind may go anywhere.
        let nobody = near.iter().all(|(_, places)| places.as_ref().is_some_and(BTreeSet::is_empty));
        if nobody && wanted.iter().all(|t| is_about(engine, t, home, pod)) {
            near.iter_mut().for_each(|(_, places)| *places = None);
        }
        let apart = apart_terms(pod).iter().map(|t| (t.topology_key.clone(), places(t))).collect();
        let mut shunned = BTreeSet::new();
        for (other, _) in &cluster.shunning {
            for term in apart_terms(other) {
                if is_about(engine, term, &other.metadata.namespace, pod)
                    && let Some(at) = place(other, &term.topology_key)
                {
                    shunned.insert((term.topology_key.clone(), at, engine.index.maker(other).to_string()));
                }
            }
        }
        let mut spread = Vec::new();
        for (at, one) in pod.spec.topology_spread_constraints.iter().enumerate() {
            if one.when_unsatisfiable == "DoNotSchedule" {
                spread.push((at, one.topology_key.clone(), spread_places(engine, cluster, pod, at)));
            }
        }
        Self { near, apart, shunned: shunned.into_iter().collect(), spread }
    }

    /// What of it keeps the pod from a node.
    pub fn fails(&self, node: &Node, all: &mut Vec<Fail>) {
        for (at, (key, places)) in self.near.iter().enumerate() {
            let fits = match (node.label(key), places) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(here), Some(places)) => places.contains(here),
            };
            if !fits {
                all.push(Fail::Near(at));
            }
        }
        for (at, (key, places)) in self.apart.iter().enumerate() {
            if node.label(key).is_some_and(|here| places.contains(here)) {
                all.push(Fail::Apart(at));
            }
        }
        if !all.iter().any(|f| matches!(f, Fail::Apart(_)))
            && let Some((.., maker)) = self.shunned.iter().find(|(key, at, _)| node.label(key) == Some(at))
        {
            all.push(Fail::Shunned(maker.clone()));
        }
        for (at, key, places) in &self.spread {
            match node.label(key) {
                None => all.push(Fail::Spread(*at, true)),
                Some(here) if !places.contains(here) => all.push(Fail::Spread(*at, false)),
                Some(_) => {}
            }
        }
    }
}

/// How many pods that a constraint counts are in each place.
pub fn counts<'a>(
    engine: &Engine<'a>,
    cluster: &Cluster<'a>,
    pod: &'a Pod,
    at: usize,
) -> BTreeMap<&'a str, i64> {
    let mut all = BTreeMap::new();
    let Some(one) = pod.spec.topology_spread_constraints.get(at) else { return all };
    let strict =
        || pod.spec.topology_spread_constraints.iter().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
    let counted = |node: &Node| {
        let affine = one.node_affinity_policy == "Ignore" || is_asked_for(pod, node);
        let taints = one.node_taints_policy != "Honor"
            || node.spec.taints.iter().all(|t| {
                !matches!(t.effect.as_str(), "NoSchedule" | "NoExecute")
                    || tolerates(&pod.spec.tolerations, t)
            });
        affine && taints && strict().all(|c| node.label(&c.topology_key).is_some())
    };
    for room in cluster.rooms.iter().filter(|r| counted(r.node)) {
        if let Some(place) = room.node.label(&one.topology_key) {
            all.insert(place, 0);
        }
    }
    let Some(selector) = &one.label_selector else { return all };
    for other in engine.index.selected(&pod.metadata.namespace, selector) {
        let same =
            one.match_label_keys.iter().all(|k| other.metadata.labels.get(k) == pod.metadata.labels.get(k));
        if !same || other.metadata.deletion_timestamp.is_set() || other.is_finished() {
            continue;
        }
        let node = cluster.at.get(other.spec.node_name.as_str()).and_then(|at| cluster.rooms.get(*at));
        let Some(node) = node.map(|r| r.node).filter(|n| counted(n)) else { continue };
        if let Some(count) = node.label(&one.topology_key).and_then(|place| all.get_mut(place)) {
            *count += 1;
        }
    }
    all
}

/// The places that take one more pod.
fn spread_places<'a>(
    engine: &Engine<'a>,
    cluster: &Cluster<'a>,
    pod: &'a Pod,
    at: usize,
) -> BTreeSet<String> {
    let Some(one) = pod.spec.topology_spread_constraints.get(at) else { return BTreeSet::new() };
    let counts = counts(engine, cluster, pod, at);
    let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
    let least = if one.min_domains.is_some_and(|m| domains < m) {
        0
    } else {
        counts.values().copied().min().unwrap_or(0)
    };
    let counts_itself =
        one.label_selector.as_ref().is_some_and(|s: &Selector| s.selects(&pod.metadata.labels));
    counts
        .into_iter()
        .filter(|(_, count)| count + i64::from(counts_itself) - least <= one.max_skew.max(1))
        .map(|(place, _)| place.to_owned())
        .collect()
}
