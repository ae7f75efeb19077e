//! The scheduler's filters that look at a pod's claims: from where their volumes can be reached, how many more a node
//! takes, and claims that are for one pod only. A claim that has no volume yet binds wherever its pod goes.

use std::collections::BTreeSet;

use crate::engine::Engine;
use crate::model::{Claim, PersistentVolume, Pod};
use crate::rules::schedule::cluster::Room;
use crate::rules::schedule::filter::{Fail, fits};
use crate::snapshot::Lookup;

/// The claims of a pod, as far as they are known.
pub struct Volumes<'a> {
    bound: Vec<&'a PersistentVolume>,
    /// Drivers of volumes that are made when the pod has a node.
    later: Vec<&'a str>,
    /// Claims that another pod has, and that only one may have.
    in_use: Vec<&'a str>,
    /// Whether some claim is in a state that no node mends.
    pub is_stuck: bool,
}

/// The claims of a pod by name.
pub fn claims(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec.volumes.iter().filter_map(|v| v.persistent_volume_claim.as_ref()).map(|c| c.claim_name.as_str())
}

/// The pod on a node that has a claim.
pub fn holder<'a>(engine: &Engine<'a>, pod: &Pod, claim: &str) -> Option<&'a Pod> {
    engine.snap.pods.of(&pod.metadata.namespace).iter().find(|p| {
        p.metadata.uid != pod.metadata.uid
            && !p.spec.node_name.is_empty()
            && !p.is_finished()
            && claims(p).any(|c| c == claim)
    })
}

fn volume_of<'a>(engine: &Engine<'a>, claim: &'a Claim) -> Option<&'a PersistentVolume> {
    let name = &claim.spec.volume_name;
    (!name.is_empty()).then(|| engine.snap.volumes.find("", name).found()).flatten()
}

impl<'a> Volumes<'a> {
    /// Looks its claims up.
    pub fn new(engine: &Engine<'a>, pod: &'a Pod) -> Self {
        let mut all = Self { bound: Vec::new(), later: Vec::new(), in_use: Vec::new(), is_stuck: false };
        for name in claims(pod) {
            let claim = match engine.snap.claims.find(&pod.metadata.namespace, name) {
                Lookup::Found(claim) => claim,
                Lookup::Absent => {
                    all.is_stuck = true;
                    continue;
                }
                Lookup::Unknown => continue,
            };
            if claim.spec.access_modes.iter().any(|m| m == "ReadWriteOncePod")
                && holder(engine, pod, name).is_some()
            {
                all.in_use.push(name);
            }
            if let Some(volume) = volume_of(engine, claim) {
                all.bound.push(volume);
                continue;
            }
            // It is bound to a volume that is not there.
            if !claim.spec.volume_name.is_empty() {
                all.is_stuck |= engine.snap.volumes.find("", &claim.spec.volume_name).is_absent();
                continue;
            }
            let class = claim.spec.storage_class_name.as_deref().unwrap_or("");
            match engine.snap.storage_classes.find("", class).found() {
                Some(class) if class.volume_binding_mode == "WaitForFirstConsumer" => {
                    all.later.push(&class.provisioner);
                }
                _ => all.is_stuck = true,
            }
        }
        all
    }

    /// What of them keeps the pod from a node.
    pub fn fails(&self, engine: &Engine<'a>, room: &Room<'a>, all: &mut Vec<Fail>) {
        for volume in &self.bound {
            let required = volume.spec.node_affinity.as_ref().and_then(|a| a.required.as_ref());
            if required.is_some_and(|terms| !fits(terms, room.node)) {
                all.push(Fail::Volume(volume.metadata.name.clone()));
            }
        }
        all.extend(self.in_use.iter().map(|c| Fail::InUse((*c).to_owned())));
        let Some(csi) = engine.snap.csi_nodes.find("", room.name()).found() else { return };
        for driver in &csi.spec.drivers {
            let Some(most) = driver.allocatable.as_ref().and_then(|a| a.count) else { continue };
            let of_driver =
                |v: &PersistentVolume| v.spec.csi.as_ref().is_some_and(|c| c.driver == driver.name);
            let mine: BTreeSet<&str> =
                self.bound.iter().filter(|v| of_driver(v)).map(|v| v.metadata.name.as_str()).collect();
            let later = self.later.iter().filter(|d| **d == driver.name).count();
            if mine.is_empty() && later == 0 {
                continue;
            }
            let mut there: BTreeSet<&str> = BTreeSet::new();
            for pod in &room.pods {
                for name in claims(pod) {
                    let claim = engine.snap.claims.find(&pod.metadata.namespace, name).found();
                    if let Some(volume) = claim.and_then(|c| volume_of(engine, c)).filter(|v| of_driver(v)) {
                        there.insert(&volume.metadata.name);
                    }
                }
            }
            let more = mine.difference(&there).count() + later;
            let sum = i64::try_from(there.len() + more).unwrap_or(i64::MAX);
            if more > 0 && sum > most {
                all.push(Fail::Attach(driver.name.clone()));
            }
        }
    }
}
