//! Whose log is read: pods of one revision in the same state say the same, and only a few logs can be read.

use super::Case;
use crate::engine::Engine;
use crate::model::{ContainerStatus, Pod};
use crate::snapshot::LogOf;

/// The log of a container, of the run before where `previous`: its own where that was read, else that of the first pod of
/// the same revision whose container is in the same state, so that a workload's hundred pods ask for one log.
pub fn of<'a>(engine: &mut Engine<'a>, case: &Case<'a>, previous: bool) -> Option<&'a str> {
    let log_of = |pod: &Pod| LogOf {
        namespace: pod.metadata.namespace.clone(),
        pod: pod.metadata.name.clone(),
        container: case.container.name.clone(),
        previous,
    };
    let snap = engine.snap;
    if let Some(text) = snap.evidence.logs.get(&log_of(case.pod)) {
        return Some(text);
    }
    let index = engine.index;
    let alike = |pod: &&&Pod| {
        revision(pod) == revision(case.pod)
            && pod.containers().any(|(container, status, _)| {
                container.name == case.container.name
                    && status.is_some_and(|s| state(s) == state(case.status))
            })
    };
    let first = index.workload(case.pod).and_then(|w| w.pods.iter().find(alike)).copied();
    engine.log(log_of(first.unwrap_or(case.pod)))
}

/// What tells the pods of one template from those of another.
fn revision(pod: &Pod) -> Option<&String> {
    let labels = &pod.metadata.labels;
    labels.get("pod-template-hash").or_else(|| labels.get("controller-revision-hash"))
}

/// Whether it is ready, runs, has ended, and how its last run ended.
fn state(status: &ContainerStatus) -> (bool, bool, Option<i64>, Option<i64>) {
    let code = |t: &Option<Box<crate::model::Terminated>>| t.as_ref().map(|t| t.exit_code);
    let running = status.state.running.is_some();
    (status.ready, running, code(&status.state.terminated), code(&status.last_state.terminated))
}
