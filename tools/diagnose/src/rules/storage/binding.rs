//! Claims that get no volume: their class is not there, or no volume fits them.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Claim, PersistentVolume};
use crate::quantity::whole;
use crate::rules::similar::nearest;
use crate::rules::storage::{claim_object, claims_of, class_name, is_default, provision};
use crate::snapshot::{HasMeta, Lookup};
use crate::walk::PATIENCE;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[CLASS_MISSING, NO_DEFAULT, NO_MATCH, RELEASED];

const CLASS_MISSING: Cause =
    Cause::fault("pvc-sc-missing", 2, "A claim asks for a StorageClass that does not exist.");
const NO_DEFAULT: Cause = Cause::fault(
    "pvc-no-default-sc",
    2,
    "A claim names no StorageClass, and the cluster has no default one.",
);
const NO_MATCH: Cause = Cause::fault(
    "pvc-no-matching-pv",
    2,
    "A claim waits for a volume that somebody makes by hand, and none fits it.",
);
const RELEASED: Cause = Cause::fault(
    "pv-released-stale",
    3,
    "A claim waits for a volume that is still reserved for the deleted claim of the same name.",
);

/// A class of this provisioner provisions nothing: its volumes are made by hand.
const BY_HAND: &str = "kubernetes.io/no-provisioner";

/// What explains that a claim is pending.
pub fn pending<'a>(engine: &mut Engine<'a>, claim: &'a Claim) -> Roots {
    let snap = engine.snap;
    if !claim.spec.volume_name.is_empty() {
        return if is_old(engine, claim) { by_hand(engine, claim, None) } else { Roots::new() };
    }
    let class = match class_name(claim) {
        Some("") => {
            return if is_old(engine, claim) { by_hand(engine, claim, Some("")) } else { Roots::new() };
        }
        Some(name) => match snap.storage_classes.find("", name) {
            Lookup::Found(class) => class,
            // A class that is only a word that volumes made by hand and their claims have in common.
            Lookup::Absent if snap.volumes.items.iter().any(|v| v.spec.storage_class_name == name) => {
                return if is_old(engine, claim) { by_hand(engine, claim, Some(name)) } else { Roots::new() };
            }
            Lookup::Absent => return class_missing(engine, claim, name),
            Lookup::Unknown => return Roots::new(),
        },
        None => match snap.storage_classes.items.iter().find(|c| is_default(c)) {
            Some(class) => class,
            None if !snap.storage_classes.sees("") || !is_old(engine, claim) => return Roots::new(),
            None if snap.volumes.items.iter().any(|v| v.spec.storage_class_name.is_empty()) => {
                return by_hand(engine, claim, Some(""));
            }
            None => return no_default(engine, claim),
        },
    };
    let waits = class.volume_binding_mode == "WaitForFirstConsumer";
    if class.provisioner == BY_HAND {
        // A volume is chosen with the pod's node: without a pod nothing is wrong.
        let is_used = || {
            snap.pods
                .of(&claim.metadata.namespace)
                .iter()
                .any(|p| claims_of(p).any(|c| c == claim.metadata.name))
        };
        return if is_old(engine, claim) && (!waits || is_used()) {
            by_hand(engine, claim, Some(&class.metadata.name))
        } else {
            Roots::new()
        };
    }
    if waits && claim.metadata.annotations.get("volume.kubernetes.io/selected-node").is_empty() {
        return Roots::new();
    }
    provision::waiting(engine, claim, class)
}

fn is_old(engine: &Engine<'_>, claim: &Claim) -> bool {
    claim.metadata.creation_timestamp.older_than(PATIENCE, engine.snap.now)
}

fn class_missing<'a>(engine: &mut Engine<'a>, claim: &'a Claim, name: &str) -> Roots {
    let snap = engine.snap;
    let names = || snap.storage_classes.items.iter().map(|c| c.metadata.name.as_str());
    let near = nearest(name, names());
    let default = snap.storage_classes.items.iter().find(|c| is_default(c)).map(|c| c.metadata.name.as_str());
    let hint = match near.or(default) {
        Some(near) => format!("; there is {near}"),
        None if names().next().is_none() => "; the cluster has no class at all".to_owned(),
        None => format!("; there is {}", names().take(4).collect::<Vec<_>>().join(", ")),
    };
    let fix = match near.or(default) {
        Some(other) => format!(
            "the class of a claim cannot be changed: delete the pending claim {} and create it again with class {other} \
             (in a StatefulSet: in its volumeClaimTemplates), or create class {name}",
            claim.metadata.name
        ),
        None => format!("install a provisioner and create StorageClass {name}"),
    };
    let finding = Finding::new(
        &CLASS_MISSING,
        Object::new("storageclass", "", name),
        format!(
            "storageclass {name} does not exist, and {} of {} asks for it{hint}",
            claim_object(claim),
            claim.metadata.namespace
        ),
    )
    .seen(claim_object(claim), "spec.storageClassName", name)
    .since(claim.metadata.creation_timestamp)
    .fix(Fix::advice(fix));
    engine.root(finding)
}

fn no_default<'a>(engine: &mut Engine<'a>, claim: &'a Claim) -> Roots {
    let snap = engine.snap;
    let names: Vec<&str> = snap.storage_classes.items.iter().map(|c| c.metadata.name.as_str()).collect();
    let has = if names.is_empty() {
        "no class at all".into()
    } else {
        format!("only {}, none marked as the default", names.join(", "))
    };
    // All claims of this kind wait for one thing: the first of them stands for all.
    let first = snap.claims.items.iter().find(|c| {
        c.status.phase == "Pending"
            && class_name(c).is_none()
            && c.spec.volume_name.is_empty()
            && is_old(engine, c)
    });
    let first = first.unwrap_or(claim);
    let finding = Finding::new(
        &NO_DEFAULT,
        claim_object(first),
        format!("names no storage class, and the cluster has no default one; it has {has}"),
    )
    .seen(claim_object(claim), "spec.storageClassName", "none")
    .since(first.metadata.creation_timestamp);
    let finding = match names.as_slice() {
        [] => finding.fix(Fix::advice("install a provisioner with a default StorageClass")),
        [only] => finding.fix(Fix::call(
            format!("make {only} the default class: the claim then gets it by itself"),
            "set",
            serde_json::json!({"workload": format!("storageclass/{only}"),
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}),
        )),
        several => finding.fix(Fix::advice(format!(
            "mark one of {} as the default (annotation storageclass.kubernetes.io/is-default-class=true), or create the claim again with a class",
            several.join(", ")
        ))),
    };
    engine.root(finding)
}

/// Volumes that somebody makes: which comes nearest, and what keeps the claim from it.
fn by_hand<'a>(engine: &mut Engine<'a>, claim: &'a Claim, class: Option<&str>) -> Roots {
    let snap = engine.snap;
    if !snap.volumes.sees("") {
        return Roots::new();
    }
    let is_candidate = |v: &&PersistentVolume| match class {
        Some(class) => v.spec.storage_class_name == class,
        None => v.metadata.name == claim.spec.volume_name,
    };
    let mut nearest: Option<(usize, &PersistentVolume, Vec<String>)> = None;
    for volume in snap.volumes.items.iter().filter(is_candidate) {
        let is_stale = volume.status.phase == "Released"
            && volume.spec.claim_ref.as_ref().is_some_and(|r| {
                r.namespace == claim.metadata.namespace
                    && r.name == claim.metadata.name
                    && r.uid != claim.metadata.uid
            });
        if is_stale {
            return released(engine, claim, volume);
        }
        let why = unfit(claim, volume);
        if why.is_empty() {
            // The binder will take it; where it does not, the pod's node is the reason, which is looked at there.
            return Roots::new();
        }
        if nearest.as_ref().is_none_or(|(n, _, _)| why.len() < *n) {
            nearest = Some((why.len(), volume, why));
        }
    }
    let wants = wish(claim);
    let object = claim_object(claim);
    let (says, fix) = match &nearest {
        Some((_, volume, why)) => (
            format!(
                "asks for {wants}, and no volume fits; nearest is {}, but {}",
                volume.metadata.name,
                why.join(" and ")
            ),
            format!(
                "make a PersistentVolume that fits ({wants}), or let the claim ask for what {} has",
                volume.metadata.name
            ),
        ),
        None if class.is_none() => (
            format!("asks for the volume {}, which does not exist", claim.spec.volume_name),
            format!(
                "create PersistentVolume {}, or create the claim again without spec.volumeName",
                claim.spec.volume_name
            ),
        ),
        None => {
            let of = class
                .filter(|c| !c.is_empty())
                .map_or("without a class".to_owned(), |c| format!("of class {c}"));
            (
                format!("asks for {wants} {of}, which nobody provisions, and there is no such volume"),
                format!(
                    "make a PersistentVolume {of} for it, or create the claim again with a class that has a provisioner"
                ),
            )
        }
    };
    let mut finding = Finding::new(&NO_MATCH, object.clone(), says)
        .seen(object, "spec", wants)
        .since(claim.metadata.creation_timestamp)
        .fix(Fix::advice(fix));
    if let Some((_, volume, why)) = nearest {
        finding = finding.seen(Object::of("persistentvolume", volume.meta()), "spec", why.join("; "));
    }
    engine.root(finding)
}

/// What a claim asks for, in words.
fn wish(claim: &Claim) -> String {
    let size = claim.spec.resources.requests.get("storage").map_or("", |a| a.0.as_str());
    format!("{size} {}", claim.spec.access_modes.join(",")).trim().to_owned()
}

/// What keeps a claim from a volume, each as a clause; nothing when it fits.
fn unfit(claim: &Claim, volume: &PersistentVolume) -> Vec<String> {
    let mut why = Vec::new();
    let (meta, spec) = (&claim.metadata, &volume.spec);
    if let Some(r) = &spec.claim_ref {
        if (r.namespace.as_str(), r.name.as_str()) != (meta.namespace.as_str(), meta.name.as_str()) {
            why.push(format!("it belongs to claim {}/{}", r.namespace, r.name));
        }
    } else if volume.status.phase == "Failed" {
        why.push("it has failed".into());
    }
    let amount = |all: &crate::model::Resources| all.get("storage").and_then(|a| whole(&a.0)).unwrap_or(0);
    if amount(&spec.capacity) < amount(&claim.spec.resources.requests) {
        why.push(format!("it has only {}", spec.capacity.get("storage").map_or("", |a| a.0.as_str())));
    }
    let missing: Vec<&str> = claim
        .spec
        .access_modes
        .iter()
        .filter(|m| !spec.access_modes.contains(m))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        why.push(format!("it is {} and not {}", spec.access_modes.join(","), missing.join(",")));
    }
    let mode = |m: &str| if m == "Block" { "Block" } else { "Filesystem" };
    if mode(&spec.volume_mode) != mode(&claim.spec.volume_mode) {
        why.push(format!("its mode is {}", mode(&spec.volume_mode)));
    }
    if claim.spec.selector.as_ref().is_some_and(|s| !s.selects(&volume.metadata.labels)) {
        why.push(format!(
            "its labels do not fit the selector {}",
            claim.spec.selector.as_ref().map_or(String::new(), |s| s.text())
        ));
    }
    if let Some(class) = class_name(claim).filter(|c| *c != spec.storage_class_name) {
        why.push(format!("its class is `{}` and not `{class}`", spec.storage_class_name));
    }
    why
}

fn released<'a>(engine: &mut Engine<'a>, claim: &'a Claim, volume: &'a PersistentVolume) -> Roots {
    let object = Object::of("persistentvolume", &volume.metadata);
    let old = volume.spec.claim_ref.as_ref().map(|r| r.uid.to_string()).unwrap_or_default();
    let says = format!(
        "is still reserved for the deleted claim {0} (Released); the new claim of that name cannot take it",
        claim.metadata.name
    );
    let finding = Finding::new(&RELEASED, object.clone(), says)
        .seen(object, "spec.claimRef.uid", old)
        .seen(claim_object(claim), "metadata.uid", claim.metadata.uid.to_string())
        .since(claim.metadata.creation_timestamp)
        .fix(Fix::advice(format!(
            "when its data is what the claim is to have, remove spec.claimRef.uid and spec.claimRef.resourceVersion of persistentvolume {}: it then binds to the new claim",
            volume.metadata.name
        )));
    engine.root(finding)
}
