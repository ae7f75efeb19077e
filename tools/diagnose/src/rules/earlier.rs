//! The containers of a Deployment's earlier revision: what was there before the change that broke it.

use crate::engine::Engine;
use crate::model::{Container, Pod, ReplicaSet};
use crate::snapshot::Ask;

/// The revision before the pod's own.
pub fn revision<'a>(engine: &Engine<'a>, pod: &Pod) -> Option<&'a ReplicaSet> {
    let index = engine.index;
    let workload = index.workload(pod).filter(|w| w.kind == "deployment")?;
    let own = crate::index::revision(index.set_of(pod)?);
    index.revisions(workload.meta).iter().find(|s| crate::index::revision(s) < own).copied()
}

/// The container of that name in the revision before the pod's own; asks for the ReplicaSet where only its metadata is
/// known.
pub fn container<'a>(engine: &mut Engine<'a>, pod: &Pod, name: &str, is_init: bool) -> Option<&'a Container> {
    let before = revision(engine, pod)?;
    let Some(template) = &before.spec.template else {
        engine.ask(Ask::Object {
            kind: "replicasets",
            namespace: before.metadata.namespace.clone(),
            name: before.metadata.name.clone(),
        });
        return None;
    };
    let all = if is_init { &template.spec.init_containers } else { &template.spec.containers };
    all.iter().find(|c| c.name == name)
}
