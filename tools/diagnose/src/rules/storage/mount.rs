//! Volumes that a node cannot attach or mount.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Claim, Event, Pod};
use crate::rules::storage::{claim_object, claims_of, provision};
use crate::snapshot::HasMeta;
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[MULTI_ATTACH, PLUGIN_MISSING, MOUNT_ERROR];

const MULTI_ATTACH: Cause = Cause::fault(
    "multi-attach",
    2,
    "A volume for one node only is still in use on another node than the one that needs it.",
);
const PLUGIN_MISSING: Cause = Cause::fault(
    "csi-node-plugin-missing",
    2,
    "The driver of a volume does not run on the node that mounts it.",
);
const MOUNT_ERROR: Cause =
    Cause::fault("mount-error", 2, "A node cannot attach or mount a volume, and says why.");

/// A pod that has a node and waits for its volumes.
pub fn mounts<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Pending"
        || pod.spec.node_name.is_empty()
        || pod.metadata.deletion_timestamp.is_set()
    {
        return Roots::new();
    }
    let index = engine.index;
    let is_meant =
        |e: &&&Event| matches!(e.reason.as_str(), "FailedAttachVolume" | "FailedMount" | "FailedMapVolume");
    let events: Vec<&'a Event> = index.events(&pod.metadata).iter().filter(is_meant).copied().collect();
    if let Some(event) = events.iter().find(|e| e.message.contains("Multi-Attach error")) {
        return multi_attach(engine, pod, event);
    }
    if let Some(event) = events.iter().find(|e| e.message.contains("list of registered CSI drivers")) {
        return plugin(engine, pod, event);
    }
    let of_config =
        ["configmap", "secret \"", "config key", "not registered", "type check failed", "serviceaccount"];
    let is_ours = |e: &&&Event| !of_config.iter().any(|w| e.message.contains(w));
    let mut ours = events.iter().filter(is_ours).filter(|e| volume_of(&e.message).is_some());
    let specific = ours.next();
    // "timed out" alone says nothing that a longer look would not.
    specific.map_or_else(Roots::new, |event| failed(engine, pod, event))
}

/// The volume that a message is about.
fn volume_of(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("for volume \"")?;
    after.split_once('"').map(|(name, _)| name)
}

/// The claim of a pod that has that volume.
fn claim_of<'a>(engine: &Engine<'a>, pod: &Pod, volume: &str) -> Option<&'a Claim> {
    let snap = engine.snap;
    claims_of(pod)
        .filter_map(|c| snap.claims.find(&pod.metadata.namespace, &c).found())
        .find(|c| c.spec.volume_name == volume)
}

fn multi_attach<'a>(engine: &mut Engine<'a>, pod: &'a Pod, event: &'a Event) -> Roots {
    let snap = engine.snap;
    let claim = volume_of(&event.message).and_then(|v| claim_of(engine, pod, v));
    let Some(claim) = claim else { return failed(engine, pod, event) };
    let holder = snap.pods.of(&pod.metadata.namespace).iter().find(|p| {
        p.spec.node_name != pod.spec.node_name
            && !p.spec.node_name.is_empty()
            && !p.is_finished()
            && claims_of(p).any(|c| c == claim.metadata.name)
    });
    let maker = engine.index.maker(pod);
    let modes = claim.spec.access_modes.join(",");
    let Some(holder) = holder else {
        let finding = Finding::new(
            &MULTI_ATTACH,
            claim_object(claim),
            format!("({modes}) is still attached to another node than {}, though no pod there uses it", pod.spec.node_name),
        )
        .seen(Object::pod(pod), "event FailedAttachVolume", event.message.clone())
        .since(event.first())
        .observed()
        .fix(Fix::advice("wait six minutes, after which it is detached by force; where the old node is gone for good, delete its VolumeAttachment"));
        return engine.root(finding);
    };
    if let Some(node) = snap.nodes.find("", &holder.spec.node_name).found() {
        let roots = walk::node(engine, node);
        if !roots.is_empty() {
            return roots;
        }
    }
    let other = engine.index.maker(holder);
    let is_same = other == maker;
    let rolls = engine.index.workload(pod).filter(|w| is_same && w.kind == "deployment");
    let (object, says, fix) = match rolls {
        Some(w) if w.desired > 1 => (
            maker.clone(),
            format!(
                "has {} replicas that share claim {} ({modes}), which only one node can have at a time",
                w.desired, claim.metadata.name
            ),
            Fix::call(
                format!("scale {maker} to 1"),
                "scale",
                serde_json::json!({"workload": maker.to_string(), "namespace": maker.namespace, "replicas": 1}),
            ),
        ),
        Some(w) => {
            let manifest = serde_json::json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": w.meta.name, "namespace": w.meta.namespace},
                "spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}},
            });
            (
                maker.clone(),
                format!(
                    "rolls out by starting the new pod on {} while the old one on {} still has claim {} ({modes})",
                    pod.spec.node_name, holder.spec.node_name, claim.metadata.name
                ),
                Fix::call(
                    format!("let {maker} end the old pod before it starts the new one (strategy Recreate)"),
                    "apply",
                    serde_json::json!({"manifest": manifest.to_string(), "take_over": true}),
                ),
            )
        }
        None => (
            claim_object(claim),
            format!(
                "({modes}) is in use by {other} on {}, so that {maker} cannot have it on {}",
                holder.spec.node_name, pod.spec.node_name
            ),
            Fix::advice(format!(
                "give {maker} a claim of its own, use a class with ReadWriteMany, or keep both on {}",
                holder.spec.node_name
            )),
        ),
    };
    let finding = Finding::new(&MULTI_ATTACH, object, says)
        .seen(Object::pod(pod), "event FailedAttachVolume", event.message.clone())
        .seen(Object::pod(holder), "spec.nodeName", holder.spec.node_name.clone())
        .since(event.first())
        .fix(fix);
    engine.root(finding)
}

/// The node does not know the driver.
fn plugin<'a>(engine: &mut Engine<'a>, pod: &'a Pod, event: &'a Event) -> Roots {
    let snap = engine.snap;
    let driver = event
        .message
        .split_once("driver name ")
        .map_or("", |(_, after)| after.split(' ').next().unwrap_or(""));
    let node = &pod.spec.node_name;
    let known = snap.csi_nodes.find("", node).found();
    if driver.is_empty() || known.is_some_and(|n| n.spec.drivers.iter().any(|d| d.name == driver)) {
        // It registered since.
        return Roots::new();
    }
    let server = provision::server(engine, driver, false);
    if let Some(w) = server {
        let here = w.pods.iter().find(|p| p.spec.node_name == *node);
        let roots = here.map_or_else(Roots::new, |p| walk::pod(engine, p));
        if !roots.is_empty() {
            return roots;
        }
    }
    let (says, fix) = match server {
        Some(w) if w.pods.iter().any(|p| p.spec.node_name == *node) => (
            format!("has not registered the driver {driver}, though {} runs there", w.object()),
            Fix::advice(format!(
                "restart the pod of {} on {node}, and look at the log of its registrar",
                w.object()
            )),
        ),
        Some(w) => (
            format!("has no driver {driver}: {} of {} has no pod there", w.object(), w.meta.namespace),
            Fix::advice(format!(
                "let {} run on {node} (its nodeSelector and tolerations), or keep such pods off {node}",
                w.object()
            )),
        ),
        None => (
            format!("has no driver {driver}, and no DaemonSet of the cluster brings it"),
            Fix::advice(format!("install the node plugin of {driver}")),
        ),
    };
    let finding = Finding::new(&PLUGIN_MISSING, Object::new("node", "", node), says)
        .which(driver)
        .seen(Object::pod(pod), format!("event {}", event.reason), event.message.clone())
        .since(event.first())
        .fix(fix);
    engine.root(if known.is_some() { finding } else { finding.observed() })
}

/// Whatever else the node or the attacher says.
fn failed<'a>(engine: &mut Engine<'a>, pod: &'a Pod, event: &'a Event) -> Roots {
    let volume = volume_of(&event.message).unwrap_or_default();
    let claim = claim_of(engine, pod, volume);
    let object = match claim {
        Some(_) => Object::new("persistentvolume", "", volume),
        None => engine.index.maker(pod),
    };
    let inline = pod.spec.volumes.iter().find(|v| v.name == volume);
    let server = inline.and_then(|v| v.nfs.as_ref()).map(|n| format!("{}:{}", n.server, n.path));
    let low = event.message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| low.contains(w));
    let (why, fix) = if has(&["access denied", "permission denied", "operation not permitted"]) {
        ("access is denied", "let the server export it to the nodes")
    } else if has(&["no such file or directory", "does not exist", "not found", "notfound"]) {
        ("what it names is not there", "correct the path or the id of the volume, or create what it names")
    } else if has(&[
        "timed out",
        "timeout",
        "deadline",
        "connection refused",
        "no route to host",
        "unreachable",
        "could not resolve",
        "no such host",
    ]) {
        (
            "its server does not answer",
            "start the server, correct its address, or open the way to it from the nodes",
        )
    } else if has(&["bad option", "mount.nfs", "helper program", "unknown filesystem", "wrong fs type"]) {
        (
            "the node cannot mount that file system",
            "install the mount helper on the nodes, or correct the file system type and mount options",
        )
    } else {
        ("see what the node says", "mend what the node says; it tries again by itself")
    };
    let what = match (&server, claim) {
        (Some(server), _) => format!("volume {volume} ({server})"),
        (None, Some(claim)) => format!("the volume of claim {}", claim.metadata.name),
        (None, None) => format!("volume {volume}"),
    };
    let verb = if event.reason == "FailedAttachVolume" { "attached" } else { "mounted" };
    let which = if claim.is_some() { String::new() } else { volume.to_owned() };
    let finding = Finding::new(
        &MOUNT_ERROR,
        object,
        format!("{what} cannot be {verb} on {}: {why}", pod.spec.node_name),
    )
    .which(which)
    .seen(Object::pod(pod), format!("event {}", event.reason), event.message.clone())
    .since(event.first())
    .observed()
    .fix(Fix::advice(fix));
    let key = engine.found(finding);
    if let Some(claim) = claim {
        engine.suffers(
            Object::of("persistentvolumeclaim", claim.meta()),
            "cannot be mounted",
            None,
            &vec![key],
        );
    }
    vec![key]
}
