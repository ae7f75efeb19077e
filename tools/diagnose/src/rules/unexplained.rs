//! Symptoms that nothing here explains: said once per workload, with what would help, and never guessed at.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::Pod;
use crate::walk::{PATIENCE, changed, is_unwell, state};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[UNEXPLAINED];

const UNEXPLAINED: Cause =
    Cause::fault("unexplained", 3, "Something is not well and nothing that kai can see says why.");

/// A workload that is short of pods for longer than a start takes.
pub fn workload<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    let now = engine.snap.now;
    let latest = workload.conditions.iter().map(|c| c.last_transition_time.max(c.last_update_time)).max();
    let moved = latest.unwrap_or(workload.meta.creation_timestamp);
    let unwell: Vec<&&Pod> = workload.pods.iter().filter(|p| is_unwell(engine.snap, p)).collect();
    // Pods that only wait for their turn need no explanation, and no pod else is missing.
    if !unwell.is_empty() && unwell.iter().all(|p| engine.is_waiting(&Object::pod(p))) {
        return Roots::new();
    }
    // What is being deleted has its own way of not going.
    if workload.meta.deletion_timestamp.is_set() {
        return Roots::new();
    }
    // StatefulSets and DaemonSets say nowhere when they changed; their pods do, also one that is stopping.
    let of_pods = workload.pods.iter().filter(|p| !p.is_ready() || p.metadata.deletion_timestamp.is_set());
    let lately =
        of_pods.map(|p| changed(p).max(p.metadata.deletion_timestamp)).max().unwrap_or_default().max(moved);
    if workload.paused || workload.kind == "job" || (unwell.is_empty() && !lately.older_than(PATIENCE, now)) {
        return Roots::new();
    }
    // Without the right to see pods their absence means nothing.
    if !engine.snap.pods.sees(&workload.meta.namespace) {
        return Roots::new();
    }
    let says = match unwell.first() {
        Some(pod) => {
            format!("{}: pod {} is not ready and does not say why", state(workload), pod.metadata.name)
        }
        None if workload.pods.is_empty() => {
            format!("{}: no pod is made, and nothing says why", state(workload))
        }
        None => state(workload),
    };
    let finding = Finding::new(&UNEXPLAINED, workload.object(), says)
        .likely("its events and logs, and those of its node, when they can be read")
        .since(moved)
        .seen(workload.object(), "status", state(workload))
        .fix(Fix::advice(format!(
            "look at its log and events: kai \"show the log of {}\"",
            workload.object()
        )));
    engine.root(finding)
}

/// A pod that nobody owns.
pub fn pod(engine: &mut Engine<'_>, pod: &Pod) -> Roots {
    if pod.status.phase == "Failed" || engine.is_waiting(&Object::pod(pod)) {
        return Roots::new();
    }
    let finding = Finding::new(&UNEXPLAINED, Object::pod(pod), "is not ready and does not say why")
        .likely("its events and logs, and those of its node, when they can be read")
        .seen(Object::pod(pod), "status.phase", pod.status.phase.clone())
        .fix(Fix::advice(format!(
            "look at its log and events: kai \"show the log of pod/{}\"",
            pod.metadata.name
        )));
    engine.root(finding)
}
