//! The walk: from every symptom to what explains it, and from there back to all that suffers from it.

use std::collections::BTreeSet;

use crate::engine::{Engine, Key, Roots};
use crate::finding::{Diagnosis, Finding, Object, Scope};
use crate::index::{Index, Workload};
use crate::model::*;
use crate::rank;
use crate::rules;
use crate::snapshot::{HasMeta, Snapshot};

/// How long something may be on its way before its not being there is a symptom.
pub const PATIENCE: i64 = 60;

/// How long the pods that make room for another may take to stop.
const NOMINATED_PATIENCE: i64 = 120;

/// Finds what is wrong. The snapshot must be finished ([`Snapshot::finish`]).
pub fn diagnose(snap: &Snapshot, scope: &Scope) -> Diagnosis {
    let index = Index::new(snap);
    let mut engine = Engine::new(snap, &index);
    for scan in rules::SCANS {
        scan(&mut engine);
    }
    let mut asks = engine.take_asks();
    // Few reads are made: those about what was asked come first.
    let near = scope.namespace.as_deref().or(scope.object.as_ref().map(|o| o.namespace.as_str()));
    asks.sort_by_key(|a| near.is_some() && a.namespace() != near);
    let relevant = relevant(&engine, scope);
    let mut findings = with_impact(engine);
    let mut at = 0;
    findings.retain(|_| {
        at += 1;
        relevant.as_ref().is_none_or(|r| r.contains(&Key(at - 1)))
    });
    if let Some(asked) = &scope.object {
        findings.iter_mut().filter(|f| f.object == *asked).for_each(rules::workloads::answers);
    }
    rank::order(&mut findings, snap.now);
    Diagnosis { findings, blind_spots: snap.blind.clone(), objects: snap.len(), asks }
}

/// Which findings the scope is about; none means all.
fn relevant(engine: &Engine<'_>, scope: &Scope) -> Option<BTreeSet<Key>> {
    if scope.namespace.is_none() && scope.object.is_none() {
        return None;
    }
    let is_meant = |object: &Object| match (&scope.object, &scope.namespace) {
        (Some(asked), _) => object == asked,
        (None, Some(namespace)) => {
            object.namespace == *namespace || object.kind == "namespace" && object.name == *namespace
        }
        (None, None) => true,
    };
    let mut keys = BTreeSet::new();
    for (at, finding) in engine.found.iter().enumerate() {
        if is_meant(&finding.object) {
            keys.insert(Key(at));
        }
    }
    for (impact, roots) in &engine.symptoms {
        if is_meant(&impact.object) {
            keys.extend(roots);
        }
    }
    if let Some(roots) = scope.object.as_ref().and_then(|o| engine.known(o)) {
        keys.extend(roots);
    }
    Some(keys)
}

/// The findings, each with all that suffers from it.
fn with_impact(engine: Engine<'_>) -> Vec<Finding> {
    let mut findings = engine.found;
    for (impact, roots) in engine.symptoms {
        for key in roots {
            let finding = &mut findings[key.0];
            let is_new = !finding.impact.iter().any(|i| i.object == impact.object);
            if is_new && impact.object != finding.object {
                finding.impact.push(impact.clone());
            } else if is_new {
                // The root object's own state comes first: `0 of 3 ready`.
                finding.impact.insert(0, impact.clone());
            }
        }
    }
    findings
}

/// Whether a pod is not as it should be, long enough for that to mean something.
pub(crate) fn is_unwell(snap: &Snapshot, pod: &Pod) -> bool {
    let now = snap.now;
    let meta = &pod.metadata;
    if meta.deletion_timestamp.is_set() {
        return meta.deletion_timestamp.older_than(30, now);
    }
    // Others are being taken off a node for it, within their time to stop.
    if !pod.status.nominated_node_name.is_empty() && !changed(pod).older_than(NOMINATED_PATIENCE, now) {
        return false;
    }
    match pod.status.phase.as_str() {
        "Succeeded" => return false,
        "Failed" => return true,
        _ => {}
    }
    if pod.is_ready() {
        return restarted_lately(snap, pod);
    }
    let says_so = pod.containers().any(|(container, status, is_init)| {
        status.is_some_and(|s| {
            let waits = s.state.waiting.as_ref().is_some_and(|w| !is_normal_wait(&w.reason));
            let ended = s
                .state
                .terminated
                .as_ref()
                .is_some_and(|t| t.exit_code != 0 || !is_init && pod.spec.restart_policy == "Always");
            let fell = s.last_state.terminated.as_ref().is_some_and(|t| t.exit_code != 0);
            let sidecar = is_init && container.is_sidecar();
            waits || ended || (fell && (!is_init || sidecar || s.restart_count > 0))
        })
    });
    let unscheduled = condition(&pod.status.conditions, "PodScheduled")
        .is_some_and(|c| c.status == "False" && c.last_transition_time.older_than(5, now));
    says_so
        || unscheduled
        || changed(pod).older_than(PATIENCE, now)
        || has_failed_probes(snap, pod)
        || is_on_silent_node(snap, pod)
}

/// Whether nobody says any more how it is: what it said last means nothing, however short ago that was.
fn is_on_silent_node(snap: &Snapshot, pod: &Pod) -> bool {
    let node = snap.nodes.find("", &pod.spec.node_name).found();
    node.is_some_and(|node| rules::nodes::health::silence(snap, node).is_some())
}

/// A probe that failed as often as it may is no longer starting.
fn has_failed_probes(snap: &Snapshot, pod: &Pod) -> bool {
    pod.containers().any(|(container, status, _)| {
        let started = status.and_then(|s| s.state.running.as_ref()).map(|r| r.started_at);
        let Some(started) = started else { return false };
        let probe = [&container.startup_probe, &container.readiness_probe].into_iter().flatten().next();
        probe.is_some_and(|p| {
            let may = p.initial_delay_seconds + p.period_seconds.max(1) * (p.failure_threshold.max(1) + 1);
            started.is_set() && started.older_than(may.max(20), snap.now)
        })
    })
}

/// The last moment at which the pod's own state changed.
pub(crate) fn changed(pod: &Pod) -> Moment {
    let conditions = pod.status.conditions.iter().map(|c| c.last_transition_time);
    conditions.chain([pod.metadata.creation_timestamp]).max().unwrap_or_default()
}

/// Whether it serves, but a container of it was killed or crashed within the last hour, more than once or for memory.
fn restarted_lately(snap: &Snapshot, pod: &Pod) -> bool {
    pod.containers().any(|(_, status, _)| {
        status.is_some_and(|s| {
            s.last_state.terminated.as_ref().is_some_and(|t| {
                let lately = t.finished_at.is_set() && !t.finished_at.older_than(3600, snap.now);
                lately && (t.reason == "OOMKilled" || t.exit_code != 0 && s.restart_count >= 3)
            })
        })
    })
}

/// Whether a container that waits for this waits as all do.
pub(crate) fn is_normal_wait(reason: &str) -> bool {
    matches!(reason, "" | "ContainerCreating" | "PodInitializing")
}

/// What explains that a pod is not well; empty when it is.
pub(crate) fn pod<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if !is_unwell(engine.snap, pod) {
        return Roots::new();
    }
    engine.explain(&Object::pod(pod), |engine| {
        for rule in rules::POD {
            let roots = rule(engine, pod);
            if !roots.is_empty() {
                return roots;
            }
        }
        let mut roots = Roots::new();
        for (container, status, is_init) in pod.containers() {
            let Some(status) = status else { continue };
            let case = rules::Case { pod, container, status, is_init };
            for rule in rules::CONTAINER {
                let found = rule(engine, &case);
                if !found.is_empty() {
                    roots.extend(found);
                    break;
                }
            }
        }
        roots
    })
}

/// What explains that a workload has not all its pods, or does not get its new ones; empty when it is well.
pub(crate) fn workload<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    engine.explain(&workload.object(), |engine| {
        let mut roots = Roots::new();
        let is_short = workload.ready < workload.desired;
        let is_job = workload.kind == "job";
        let says = |kind: &str| condition(workload.conditions, kind).is_some_and(|c| c.status == "True");
        // A Job that is done, or that tries again, is well; so is one whose CronJob has come through since.
        if is_job && (says("Complete") || says("Failed") && rules::jobs::is_outlived(engine, workload)) {
            return roots;
        }
        let gave_up = is_job && says("Failed");
        for one in &workload.pods {
            // What an earlier pod left behind is no trouble of a workload that has all its pods.
            let is_history = one.status.phase == "Failed" && (!is_short || is_job && !gave_up);
            if is_history || is_job && !gave_up && one.status.phase == "Running" {
                continue;
            }
            // Nor is one that does not end.
            if one.metadata.deletion_timestamp.is_set() && !is_short {
                continue;
            }
            roots.extend(pod(engine, one));
        }
        for rule in rules::WORKLOAD {
            roots.extend(rule(engine, workload));
        }
        roots.sort();
        roots.dedup();
        if roots.is_empty() && is_short {
            roots = rules::unexplained::workload(engine, workload);
        }
        engine.suffers(workload.object(), state(workload), None, &roots);
        roots
    })
}

/// How a workload is, in a few words.
pub(crate) fn state(workload: &Workload<'_>) -> String {
    let Workload { ready, desired, .. } = workload;
    match workload.kind {
        "job" => format!("{ready} of {desired} completed"),
        _ if ready >= desired && workload.updated < *desired => {
            format!("{ready} of {desired} ready, the new revision does not come up")
        }
        _ => format!("{ready} of {desired} ready"),
    }
}

/// Workloads, and pods that no workload has.
pub(crate) fn workloads(engine: &mut Engine<'_>) {
    let index = engine.index;
    for one in &index.workloads {
        workload(engine, one);
    }
    for one in &engine.snap.pods.items {
        if index.workload(one).is_some() {
            continue;
        }
        let mut roots = pod(engine, one);
        if roots.is_empty() && is_unwell(engine.snap, one) {
            roots = rules::unexplained::pod(engine, one);
        }
        let maker = index.maker(one);
        let says = match one.status.reason.as_str() {
            "" => one.status.phase.as_str(),
            reason => reason,
        };
        engine.suffers(maker, says.to_owned(), None, &roots);
    }
}

/// What explains that a Service has nobody to send traffic to; empty when it has.
pub(crate) fn service<'a>(engine: &mut Engine<'a>, service: &'a Service) -> Roots {
    engine.explain(&Object::of("service", service.meta()), |engine| rules::services::explain(engine, service))
}

/// What explains that an API that another program serves is not available; empty when it is.
pub(crate) fn api_service<'a>(engine: &mut Engine<'a>, service: &'a ApiService) -> Roots {
    engine.explain(&Object::of("apiservice", service.meta()), |engine| rules::api::explain(engine, service))
}

/// What explains that a claim has no volume; empty when it has one, or waits for a pod as it should.
pub(crate) fn claim<'a>(engine: &mut Engine<'a>, claim: &'a Claim) -> Roots {
    let object = Object::of("persistentvolumeclaim", claim.meta());
    engine.explain(&object, |engine| rules::storage::explain(engine, claim))
}

/// What explains that a node cannot run pods; empty when it can.
pub(crate) fn node<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    engine.explain(&Object::of("node", node.meta()), |engine| {
        let explained = rules::NODE.iter().map(|rule| rule(engine, node)).find(|roots| !roots.is_empty());
        explained.unwrap_or_default()
    })
}
