//! Claims, volumes and mounts: what keeps a pod from its storage. A claim explains a pod only while the pod waits for it.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Claim, Pod, StorageClass};
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;
use crate::walk::{self, PATIENCE};

pub mod binding;
pub mod mount;
pub mod provision;
pub mod use_up;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[CLAIM_MISSING, CLAIM_LOST, CLAIM_TERMINATING];

const CLAIM_MISSING: Cause =
    Cause::fault("pvc-missing", 2, "A pod mounts a PersistentVolumeClaim that does not exist.");
const CLAIM_LOST: Cause =
    Cause::fault("pvc-lost", 1, "A claim has lost its volume: the PersistentVolume is gone.");
const CLAIM_TERMINATING: Cause = Cause::fault(
    "pvc-terminating",
    3,
    "A claim is being deleted and stays only as long as a pod still uses it.",
);

/// Names of the claims that a pod mounts, with the volume's name.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    pod.spec.volumes.iter().filter_map(|v| match (&v.persistent_volume_claim, &v.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.metadata.name, v.name)),
        (None, None) => None,
    })
}

/// A pod that cannot be placed or started before its claims are there and bound.
pub fn claims<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Pending" || pod.metadata.deletion_timestamp.is_set() {
        return Roots::new();
    }
    let snap = engine.snap;
    let namespace = &pod.metadata.namespace;
    let mut roots = Roots::new();
    for name in claims_of(pod) {
        match snap.claims.find(namespace, &name) {
            Lookup::Absent => roots.extend(missing(engine, pod, &name)),
            Lookup::Found(claim)
                if claim.metadata.deletion_timestamp.is_set() && pod.spec.node_name.is_empty() =>
            {
                roots.push(engine.found(terminating(engine, claim)));
            }
            Lookup::Found(claim) => roots.extend(walk::claim(engine, claim)),
            Lookup::Unknown => {}
        }
    }
    roots
}

/// The claim is not there.
fn missing<'a>(engine: &mut Engine<'a>, pod: &'a Pod, name: &str) -> Roots {
    let namespace = &pod.metadata.namespace;
    // Whoever makes the claims of a StatefulSet's or an ephemeral volume's pods makes them in the same moment.
    if !pod.metadata.creation_timestamp.older_than(10, engine.snap.now) {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let near = nearest(name, engine.snap.claims.of(namespace).iter().map(|c| c.metadata.name.as_str()));
    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
    let says =
        format!("persistentvolumeclaim {name} does not exist in {namespace}, and {maker} mounts it{hint}");
    let fix = match near {
        Some(near) => Fix::advice(format!("mount {near} in {maker}, or create {name}")),
        None => Fix::advice(format!("create the claim {name} in {namespace}")),
    };
    let finding = Finding::new(&CLAIM_MISSING, Object::new("persistentvolumeclaim", namespace, name), says)
        .seen(Object::pod(pod), "spec.volumes[].persistentVolumeClaim.claimName", name)
        .since(pod.metadata.creation_timestamp)
        .fix(fix);
    engine.root(finding)
}

/// The claim goes, as soon as nobody uses it.
fn terminating(engine: &Engine<'_>, claim: &Claim) -> Finding {
    let meta = &claim.metadata;
    let user =
        engine.snap.pods.of(&meta.namespace).iter().find(|p| {
            !p.is_finished() && !p.spec.node_name.is_empty() && claims_of(p).any(|c| c == meta.name)
        });
    let until = match user {
        Some(pod) => format!("; it stays only while {} uses it, and no new pod may", engine.index.maker(pod)),
        None => "; no new pod may use it".to_owned(),
    };
    Finding::new(&CLAIM_TERMINATING, claim_object(claim), format!("is being deleted{until}"))
        .seen(claim_object(claim), "metadata.finalizers", meta.finalizers.join(","))
        .since(meta.deletion_timestamp)
        .fix(Fix::advice(format!(
            "save what is on it now; a deletion cannot be taken back, so let the pods use a new claim, or end them and create {} again",
            meta.name
        )))
}

/// A claim as the object of a finding.
pub(crate) fn claim_object(claim: &Claim) -> Object {
    Object::of("persistentvolumeclaim", &claim.metadata)
}

/// Looks through all claims.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for claim in &snap.claims.items {
        let roots = walk::claim(engine, claim);
        let phase = if claim.status.phase.is_empty() { "Pending" } else { claim.status.phase.as_str() };
        engine.suffers(claim_object(claim), phase, None, &roots);
        if claim.metadata.deletion_timestamp.is_set()
            && claim.metadata.deletion_timestamp.older_than(PATIENCE, snap.now)
        {
            // Nothing fails until its pod ends: the data is what is at stake.
            let finding = terminating(engine, claim).class(crate::finding::Class::Risk);
            engine.found(finding);
        }
        use_up::resize(engine, claim);
    }
}

/// What explains that a claim has no volume; empty when it has one, or waits for a pod as it should.
pub fn explain<'a>(engine: &mut Engine<'a>, claim: &'a Claim) -> Roots {
    match claim.status.phase.as_str() {
        "Lost" => lost(engine, claim),
        "Bound" => Roots::new(),
        _ if claim.metadata.deletion_timestamp.is_set() => Roots::new(),
        _ => binding::pending(engine, claim),
    }
}

fn lost<'a>(engine: &mut Engine<'a>, claim: &'a Claim) -> Roots {
    let volume = &claim.spec.volume_name;
    let (says, confidence) = match engine.snap.volumes.find("", volume) {
        Lookup::Absent => {
            (format!("has lost its volume: persistentvolume {volume} does not exist any more"), true)
        }
        Lookup::Found(v) => {
            let holder =
                v.spec.claim_ref.as_ref().map(|c| format!("{}/{}", c.namespace, c.name)).unwrap_or_default();
            let whose = if holder.is_empty() {
                "is not bound to it any more".into()
            } else {
                format!("belongs to {holder} now")
            };
            (format!("has lost its volume: persistentvolume {volume} {whose}"), true)
        }
        Lookup::Unknown => (format!("has lost its volume {volume}"), false),
    };
    let mut finding = Finding::new(&CLAIM_LOST, claim_object(claim), says)
        .seen(claim_object(claim), "status.phase", "Lost")
        .seen(claim_object(claim), "spec.volumeName", volume.clone())
        .fix(Fix::advice(format!(
            "the data is reachable only through the disk itself: create a PersistentVolume for that disk and a claim for it, \
             or restore a backup into a new claim instead of {}",
            claim.metadata.name
        )));
    if let Some(event) = engine.index.event(&claim.metadata, "ClaimLost") {
        finding =
            finding.since(event.first()).seen(claim_object(claim), "event ClaimLost", event.message.clone());
    }
    engine.root(if confidence { finding } else { finding.observed() })
}

/// The name of the class that a claim asks for; none when it leaves that to the cluster.
pub(crate) fn class_name(claim: &Claim) -> Option<&str> {
    let old = claim.metadata.annotations.get("volume.beta.kubernetes.io/storage-class");
    claim.spec.storage_class_name.as_deref().or(Some(old).filter(|o| !o.is_empty()))
}

/// Whether a class is the cluster's default.
pub(crate) fn is_default(class: &StorageClass) -> bool {
    let notes = &class.metadata.annotations;
    notes.get("storageclass.kubernetes.io/is-default-class") == "true"
        || notes.get("storageclass.beta.kubernetes.io/is-default-class") == "true"
}
