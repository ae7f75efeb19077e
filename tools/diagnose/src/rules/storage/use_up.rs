//! Volumes in use: full ones, and ones that do not grow as asked.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Claim, Volume, condition};
use crate::quantity::{show_bytes, whole};
use crate::rules::Case;
use crate::rules::services::apply;
use crate::rules::storage::{claim_object, class_name};
use crate::snapshot::LogOf;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[RESIZE_STUCK, VOLUME_FULL];

const RESIZE_STUCK: Cause = Cause::fault("resize-stuck", 3, "A claim was asked to grow and does not.");
const VOLUME_FULL: Cause =
    Cause::fault("volume-full", 2, "A program fails because its volume has no space left.");

/// A volume grows within minutes, as long as nothing is wrong.
const GROWS: i64 = 600;

/// A bound claim that is to be larger than it is.
pub fn resize(engine: &mut Engine<'_>, claim: &Claim) {
    let now = engine.snap.now;
    let of = |kind: &str| condition(&claim.status.conditions, kind).filter(|c| c.status == "True");
    let failed = of("ControllerResizeError").or_else(|| of("NodeResizeError"));
    let waits = of("FileSystemResizePending").filter(|c| c.last_transition_time.older_than(GROWS, now));
    let starts = of("Resizing").filter(|c| c.last_transition_time.older_than(GROWS, now));
    let Some(said) = failed.or(waits).or(starts) else { return };
    if claim.status.phase != "Bound" {
        return;
    }
    let size = |all: &crate::model::Resources| all.get("storage").map_or("?".to_owned(), |a| a.0.clone());
    let (wants, has) = (size(&claim.spec.resources.requests), size(&claim.status.capacity));
    let object = claim_object(claim);
    let event = engine.index.event(&claim.metadata, "VolumeResizeFailed").map(|e| e.message.clone());
    let (why, fix) = match said.kind.as_str() {
        "FileSystemResizePending" => (
            "the disk has grown, and the file system grows when a pod mounts it anew".to_owned(),
            Fix::advice(
                "restart the pod that uses it, or start one when there is none: its node then grows the file system",
            ),
        ),
        _ => {
            let text = event.clone().unwrap_or_else(|| said.message.clone());
            let text = text.lines().next().unwrap_or("").trim_end_matches('.').to_owned();
            let text = if text.is_empty() { "its driver does not say why".to_owned() } else { text };
            (
                text,
                Fix::advice(
                    "mend what the driver says; it tries again by itself. Since 1.34 the request may also be set back to any size above the present one",
                ),
            )
        }
    };
    let mut finding =
        Finding::new(&RESIZE_STUCK, object.clone(), format!("asks for {wants} and still has {has}: {why}"))
            .seen(
                object.clone(),
                format!("status.conditions[{}]", said.kind),
                format!("{} {}", said.status, said.message).trim(),
            )
            .since(said.last_transition_time)
            .observed()
            .fix(fix);
    if let Some(text) = event {
        finding = finding.seen(object, "event VolumeResizeFailed", text);
    }
    engine.found(finding);
}

/// A container whose log says that there is no space left, and that has a volume it can fill: a claim, or a directory
/// of the pod's own that has a limit.
pub fn full<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let is_down = case.status.last_state.terminated.is_some() || case.status.state.terminated.is_some();
    if !is_down && case.status.ready {
        return Roots::new();
    }
    let snap = engine.snap;
    let namespace = &case.pod.metadata.namespace;
    let mounted: Vec<(&str, &Claim)> = case
        .container
        .volume_mounts
        .iter()
        .filter(|m| !m.read_only)
        .filter_map(|m| {
            let volume = case.pod.spec.volumes.iter().find(|v| v.name == m.name)?;
            let name = &volume.persistent_volume_claim.as_ref()?.claim_name;
            Some((m.mount_path.as_str(), snap.claims.find(namespace, name).found()?))
        })
        .collect();
    let scratch = case.container.volume_mounts.iter().filter(|m| !m.read_only).filter_map(|m| {
        let volume = case.pod.spec.volumes.iter().find(|v| v.name == m.name)?;
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        Some((m.mount_path.as_str(), volume, limit.0.as_str()))
    });
    let scratch: Vec<(&str, &Volume, &str)> = scratch.collect();
    if mounted.is_empty() && scratch.is_empty() {
        return Roots::new();
    }
    let of = |previous| LogOf {
        namespace: namespace.clone(),
        pod: case.pod.metadata.name.clone(),
        container: case.container.name.clone(),
        previous,
    };
    // The run that ended says why; the present one may only just have started.
    let previous = case.status.last_state.terminated.is_some();
    let Some(log) = engine.log(of(previous)) else { return Roots::new() };
    let is_full = |l: &&str| {
        let low = l.to_lowercase();
        low.contains("no space left on device") || low.contains("enospc") || low.contains("disk full")
    };
    let Some(line) = log.lines().rev().find(is_full) else { return Roots::new() };
    let is_named = |path: &str| line.contains(path.trim_end_matches('/'));
    let named = scratch.iter().find(|(path, ..)| is_named(path));
    if let Some(found) = named.or(scratch.first().filter(|_| scratch.len() == 1 && mounted.is_empty())) {
        return scratch_full(engine, case, *found, line);
    }
    let named = mounted.iter().find(|(path, _)| is_named(path));
    let [(path, claim)] = named.map_or(mounted.as_slice(), std::slice::from_ref) else {
        // Several claims, and the line does not say which: none is named wrongly.
        return Roots::new();
    };
    let size = claim.status.capacity.get("storage").map_or("", |a| a.0.as_str());
    let class = class_name(claim).and_then(|c| snap.storage_classes.find("", c).found());
    let grows = class.is_some_and(|c| c.allow_volume_expansion);
    let fix = match whole(size).filter(|_| grows) {
        Some(bytes) => {
            let larger = show_bytes((bytes * 3 / 2 + (1 << 30) - 1) / (1 << 30) * (1 << 30));
            let manifest = serde_json::json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim.metadata.name, "namespace": namespace},
                "spec": {"resources": {"requests": {"storage": larger}}},
            });
            Fix::call(
                format!("let persistentvolumeclaim/{} grow from {size} to {larger}", claim.metadata.name),
                "apply",
                serde_json::json!({"manifest": manifest.to_string(), "take_over": true}),
            )
        }
        None => Fix::advice(format!(
            "remove what is not needed below {path}, or move the data to a larger claim; its class does not let it grow"
        )),
    };
    let finding = Finding::new(
        &VOLUME_FULL,
        claim_object(claim),
        format!("is full ({size}, at {path} in {})", engine.index.maker(case.pod)),
    )
    .seen(Object::pod(case.pod), "log", line.trim())
    .likely("how much of it is used: kai \"usage\", or df in the container")
    .fix(fix);
    engine.root(finding)
}

/// A directory of the pod's own is as full as its limit lets it be.
fn scratch_full<'a>(
    engine: &mut Engine<'a>,
    case: &Case<'a>,
    (path, volume, limit): (&str, &Volume, &str),
    line: &str,
) -> Roots {
    let maker = engine.index.maker(case.pod);
    let medium = volume.empty_dir.as_ref().map_or("", |e| e.medium.as_str());
    let place = if medium == "Memory" { "in memory" } else { "on the node's disk" };
    let says = format!(
        "its volume {} ({place}, {limit}, at {path} in container {}) is full",
        volume.name, case.container.name
    );
    let mut finding = Finding::new(&VOLUME_FULL, maker.clone(), says)
        .which(volume.name.clone())
        .seen(Object::pod(case.pod), "log", line.trim())
        .seen(Object::pod(case.pod), format!("spec.volumes[{}].emptyDir.sizeLimit", volume.name), limit)
        .likely("how much of it is used: df in the container");
    let api = match maker.kind.as_str() {
        "deployment" => Some("Deployment"),
        "statefulset" => Some("StatefulSet"),
        "daemonset" => Some("DaemonSet"),
        _ => None,
    };
    finding = match api.zip(whole(limit)) {
        Some((kind, bytes)) => {
            let larger = format!("{}Mi", (bytes * 2).div_euclid(1 << 20).max(1));
            let mut directory = serde_json::json!({"sizeLimit": larger});
            if !medium.is_empty() {
                directory["medium"] = medium.into();
            }
            let manifest = serde_json::json!({
                "apiVersion": "apps/v1", "kind": kind,
                "metadata": {"name": maker.name, "namespace": maker.namespace},
                "spec": {"template": {"spec": {"volumes": [{"name": volume.name, "emptyDir": directory}]}}},
            });
            finding.fix(apply(format!("let the volume {} of {maker} hold {larger}", volume.name), &manifest))
        }
        None => finding.fix(Fix::advice(format!("raise sizeLimit of the volume {}", volume.name))),
    };
    engine.root(finding)
}
