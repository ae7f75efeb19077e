//! Pods that their node threw out for what they did. That the node itself ran short is told of the node.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::Pod;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[OWN_LIMIT];

const OWN_LIMIT: Cause = Cause::fault(
    "ephemeral-limit-evict",
    3,
    "Pods are evicted because they fill more of the node's disk, or of an emptyDir, than they may.",
);
/// A pod that was evicted.
pub fn pod<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Failed" || pod.status.reason != "Evicted" {
        return Roots::new();
    }
    let said = pod.status.message.trim();
    let maker = engine.index.maker(pod);
    let seen = |f: Finding| f.seen(Object::pod(pod), "status.reason Evicted", said.to_owned()).observed();
    if said.contains("exceed") {
        let volume = said.split("EmptyDir volume \"").nth(1).and_then(|r| r.split('"').next());
        let says = match volume {
            Some(volume) => {
                format!("its pods fill the emptyDir {volume} over its limit and are evicted for it")
            }
            None => "its pods use more ephemeral storage than their limit and are evicted for it".to_owned(),
        };
        let finding = Finding::new(&OWN_LIMIT, maker, says)
            .since(pod.metadata.creation_timestamp)
            .fix(Fix::advice("raise the limit, or let the program write less or clean up"));
        return engine.root(seen(finding));
    }
    Roots::new()
}

/// A workload whose pods are evicted again and again for what they do: it is short only for moments.
pub fn repeated<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    let lately: Vec<&'a Pod> = workload
        .pods
        .iter()
        .copied()
        .filter(|p| {
            p.status.reason == "Evicted"
                && p.status.message.contains("exceed")
                && !p.metadata.creation_timestamp.older_than(3600, engine.snap.now)
        })
        .collect();
    if lately.len() < 2 { Roots::new() } else { pod(engine, lately[0]) }
}
