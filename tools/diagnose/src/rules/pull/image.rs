//! The image itself: a name or tag that is not there, another architecture, no room for it, a policy that forbids it.

use serde_json::json;

use super::{Pull, earlier, running};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::rules::image::parse;
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;

pub const TAG_MISSING: Cause = Cause::fault(
    "image-tag-missing",
    2,
    "A container asks for an image or tag that its registry does not have.",
);
pub const ARCH_MISMATCH: Cause = Cause::fault(
    "image-arch-mismatch",
    2,
    "An image is not made for the architecture of the node that is to run it.",
);
pub const NAME_INVALID: Cause = Cause::fault("image-name-invalid", 2, "An image's name cannot be one.");
pub const NEVER_PULL: Cause = Cause::fault(
    "image-never-pull",
    2,
    "An image is not on the node, and its pull policy forbids to pull it.",
);
pub const NO_SPACE: Cause =
    Cause::fault("image-pull-no-space", 2, "A node has no room on its disk for an image.");
pub const SLOW: Cause =
    Cause::fault("image-pull-slow", 4, "An image has been on its way for more than five minutes.");
pub const SIGNATURE_REJECTED: Cause =
    Cause::fault("image-signature-rejected", 2, "A node's policy rejects the signature of an image.");

/// Longest time in seconds that a pull takes before that is worth a word.
const LONG: i64 = 300;

fn finding(pull: &Pull<'_, '_>, cause: &Cause, says: String) -> Finding {
    Finding::new(cause, pull.maker.clone(), says)
        .which(format!("{} {}", pull.case.container.name, pull.case.container.image))
        .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
        .since(pull.since)
}

/// The call that gives the container another image. Pods that nobody makes cannot be changed: advice then.
pub fn set(pull: &Pull<'_, '_>, image: &str) -> Fix {
    let says = format!("set the image of {} to {image}", pull.maker);
    if pull.maker.kind == "pod" || pull.maker.kind == "job" {
        return Fix::advice(format!("make {} anew with image {image}", pull.maker));
    }
    Fix::call(
        says,
        "set",
        json!({"workload": pull.maker.to_string(), "namespace": pull.maker.namespace,
               "container": pull.case.container.name, "image": image}),
    )
}

/// The registry has no such image.
pub fn missing(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let image = &pull.case.container.image;
    let wanted = &pull.image;
    let before = earlier(engine, pull);
    let index = engine.index;
    // Another tag of the same repository that runs: the nearest, else the first by name.
    let mut tags: Vec<(&str, &str, Object)> = Vec::new();
    let mut repositories: Vec<(&str, &str)> = Vec::new();
    for (pod, container) in running(engine) {
        let one = parse(&container.image);
        if one.host != wanted.host {
            continue;
        }
        if one.repository == wanted.repository && one.version() != wanted.version() {
            tags.push((one.version(), container.image.as_str(), index.maker(pod)));
        } else if one.repository != wanted.repository && one.version() == wanted.version() {
            repositories.push((one.repository, container.image.as_str()));
        }
    }
    tags.sort();
    let near = nearest(wanted.version(), tags.iter().map(|t| t.0));
    let other = tags.iter().find(|t| Some(t.0) == near).or(tags.first());
    let like = nearest(wanted.repository, repositories.iter().map(|r| r.0));
    let like = repositories.iter().find(|r| Some(r.0) == like);
    let (hint, fix) = match (&before, other, like) {
        (Some(before), _, _) => (format!("; the revision before ran {before}"), set(pull, before)),
        (None, Some((_, right, runs)), _) => {
            (format!("; {right} runs in {runs} of {}", runs.namespace), set(pull, right))
        }
        (None, None, Some((_, right))) => (format!("; {right} runs here"), set(pull, right)),
        _ if has_earlier(engine, pull) => (
            String::new(),
            Fix::call(
                format!("roll {} back to the revision before", pull.maker),
                "rollout",
                json!({"action": "undo", "workload": pull.maker.to_string(), "namespace": pull.maker.namespace}),
            ),
        ),
        _ => (
            String::new(),
            Fix::advice(format!("push {image} to {}, or set a tag that is there", wanted.host)),
        ),
    };
    let what = match wanted.tag {
        Some(tag) => format!("tag {tag} of image {}", wanted.repository),
        None => format!("image {image}"),
    };
    let says = format!("asks for {what}, which {} does not have{hint}", wanted.host);
    let found = finding(pull, &TAG_MISSING, says).observed().fix(fix);
    engine.root(match before {
        Some(before) => found.changed(format!("the image, from {before} to {image}")),
        None => found,
    })
}

/// Whether there is a revision to go back to that may have another image.
fn has_earlier(engine: &Engine<'_>, pull: &Pull<'_, '_>) -> bool {
    let before = crate::rules::earlier::revision(engine, pull.case.pod);
    before.is_some_and(|set| set.spec.template.is_none())
}

/// The image is made for other machines.
pub fn architecture(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let snap = engine.snap;
    let node = &pull.case.pod.spec.node_name;
    let image = &pull.case.container.image;
    let Lookup::Found(on) = snap.nodes.find("", node) else {
        let says = format!("asks for image {image}, which is not made for the architecture of node {node}");
        let fix = Fix::advice(format!("build {image} for that architecture too"));
        return engine.root(finding(pull, &ARCH_MISMATCH, says).observed().fix(fix));
    };
    let have = on.status.node_info.architecture.as_str();
    let mut others: Vec<&str> = snap
        .nodes
        .items
        .iter()
        .map(|n| n.status.node_info.architecture.as_str())
        .filter(|a| *a != have && !a.is_empty())
        .collect();
    others.sort_unstable();
    others.dedup();
    let says = format!("runs image {image} on node {node}, whose architecture {have} it is not made for");
    let found = finding(pull, &ARCH_MISMATCH, says).observed().seen(
        Object::of("node", &on.metadata),
        "status.nodeInfo.architecture",
        have,
    );
    let build = Fix::advice(format!("build {image} for {have} too"));
    engine.root(match others.as_slice() {
        [other] if pull.maker.kind != "pod" && pull.maker.kind != "job" => found
            .fix(Fix::call(
                format!("let {} run on {other} nodes only", pull.maker),
                "set",
                json!({"workload": pull.maker.to_string(), "namespace": pull.maker.namespace,
                       "node_selector": {"kubernetes.io/arch": other}}),
            ))
            .fix(build),
        _ => found.fix(build),
    })
}

/// The name is none.
pub fn invalid(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let image = &pull.case.container.image;
    let before = earlier(engine, pull);
    let low = image.to_lowercase();
    let trimmed: String = low.split_whitespace().collect();
    let why = if image.chars().any(char::is_whitespace) {
        "it has a space"
    } else if image.contains("://") {
        "it has a scheme"
    } else if pull.image.repository.chars().any(char::is_uppercase) {
        "a repository has no capital letters"
    } else {
        "it is not host/repository:tag"
    };
    let schemeless = trimmed.split_once("://").map_or(trimmed.as_str(), |(_, rest)| rest);
    let is_fit = schemeless != image && !schemeless.is_empty();
    let fix = match before {
        Some(before) => set(pull, &before),
        None if is_fit => set(pull, schemeless),
        None => Fix::advice(format!("set the image of {} to a name such as nginx:1.28", pull.maker)),
    };
    engine.root(
        finding(pull, &NAME_INVALID, format!("has an image name that is none: {image:?} ({why})")).fix(fix),
    )
}

/// The policy forbids to pull.
pub fn never(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let image = &pull.case.container.image;
    let name = &pull.case.container.name;
    let node = &pull.case.pod.spec.node_name;
    let says = format!("has pull policy Never for image {image}, which is not on node {node}");
    let fix = match pull.maker.kind.as_str() {
        "deployment" | "statefulset" | "daemonset" => {
            let kind = match pull.maker.kind.as_str() {
                "deployment" => "Deployment",
                "statefulset" => "StatefulSet",
                _ => "DaemonSet",
            };
            let list = if pull.case.is_init { "initContainers" } else { "containers" };
            let manifest = json!({"apiVersion": "apps/v1", "kind": kind,
                "metadata": {"name": pull.maker.name, "namespace": pull.maker.namespace},
                "spec": {"template": {"spec": {list: [{"name": name, "imagePullPolicy": "IfNotPresent"}]}}}});
            Fix::call(
                format!("let the nodes pull {image} for {}", pull.maker),
                "apply",
                json!({"manifest": manifest.to_string(), "take_over": true}),
            )
        }
        _ => Fix::advice(format!("load {image} onto node {node}, or set imagePullPolicy to IfNotPresent")),
    };
    engine.root(
        finding(pull, &NEVER_PULL, says)
            .seen(pull.maker.clone(), "imagePullPolicy", "Never")
            .observed()
            .fix(fix),
    )
}

/// The node's disk is full.
pub fn no_space(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let node = &pull.case.pod.spec.node_name;
    let object = Object::new("node", "", node);
    let found = Finding::new(&NO_SPACE, object.clone(), "has no room on its disk for the images of its pods")
        .observed()
        .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
        .since(pull.since)
        .fix(Fix::advice(format!("make room on the disk of node {node}, or give it a bigger one")));
    let pressure = engine.snap.nodes.find("", node).found().and_then(|n| n.condition("DiskPressure"));
    engine.root(match pressure.filter(|c| c.status == "True") {
        Some(c) => found.seen(object, "conditions[DiskPressure]", c.message.clone()),
        None => found,
    })
}

/// The pull goes on and on.
pub fn slow(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let case = pull.case;
    let image = &case.container.image;
    let quoted = format!("\"{image}\"");
    let events = engine.index.events(&case.pod.metadata);
    // The latest word about this image must be that it is being pulled.
    let latest = events
        .iter()
        .filter(|e| matches!(e.reason.as_str(), "Pulling" | "Pulled" | "Failed" | "BackOff"))
        .find(|e| e.message.contains(&quoted));
    let Some(pulling) = latest.filter(|e| e.reason == "Pulling") else { return Roots::new() };
    let Some(age) = pulling.last().age(engine.snap.now).filter(|age| *age >= LONG) else {
        return Roots::new();
    };
    let node = &case.pod.spec.node_name;
    let says =
        format!("waits for image {image}, which node {node} has been pulling for {} minutes", age / 60);
    let found = finding(pull, &SLOW, says)
        .observed()
        .fix(Fix::advice(format!("wait, or make {image} smaller, or have a registry nearer to node {node}")));
    engine.root(Finding { evidence: Vec::new(), ..found }.seen(
        Object::pod(case.pod),
        "event Pulling",
        pulling.message.clone(),
    ))
}

/// The node's policy rejects it.
pub fn signature(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let image = &pull.case.container.image;
    let says = format!(
        "asks for image {image}, whose signature the policy of node {} rejects",
        pull.case.pod.spec.node_name
    );
    let before = earlier(engine, pull);
    let found = finding(pull, &SIGNATURE_REJECTED, says).observed();
    let sign = Fix::advice(format!(
        "sign {image} with a key that the nodes trust, or use an image that is signed so"
    ));
    engine.root(match before {
        Some(before) => found.fix(set(pull, &before)).fix(sign),
        None => found.fix(sign),
    })
}
