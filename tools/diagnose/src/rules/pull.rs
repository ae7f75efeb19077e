//! Images that cannot be pulled: which of the many reasons, from the runtime's own words, held against the objects.

use serde_json::json;

use super::Case;
use super::image::{Image, parse, same_repository};
use super::similar::nearest;
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::Pod;
use crate::snapshot::{Ask, Lookup};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    TAG_MISSING,
    REPO_DENIED,
    SECRET_MISSING,
    SECRET_WRONG,
    HOST_UNKNOWN,
    UNREACHABLE,
    TLS,
    RATE_LIMITED,
    ARCH,
    NAME_INVALID,
    NEVER_PULL,
    NO_SPACE,
    SIGNATURE,
];

const TAG_MISSING: Cause =
    Cause::fault("image-tag-missing", 2, "The registry does not have the image, or not under that tag.");
const REPO_DENIED: Cause = Cause::fault(
    "image-repo-denied",
    2,
    "The registry wants to know who pulls, and the pod does not say it.",
);
const SECRET_MISSING: Cause =
    Cause::fault("pull-secret-missing", 2, "The Secret with the registry's credentials does not exist.");
const SECRET_WRONG: Cause = Cause::fault(
    "pull-secret-wrong",
    2,
    "The Secret that should hold the registry's credentials is of another type, or the registry refuses them.",
);
const HOST_UNKNOWN: Cause =
    Cause::fault("registry-host-unknown", 2, "The name of the registry cannot be resolved.");
const UNREACHABLE: Cause = Cause::fault("registry-unreachable", 2, "The registry does not answer.");
const TLS: Cause =
    Cause::fault("registry-tls", 2, "The registry's certificate is not trusted, or it speaks no TLS.");
const RATE_LIMITED: Cause =
    Cause::fault("registry-rate-limited", 2, "The registry refuses more pulls for a while.");
const ARCH: Cause =
    Cause::fault("image-arch-mismatch", 2, "The image is not built for the architecture of the node.");
const NAME_INVALID: Cause =
    Cause::fault("image-name-invalid", 2, "The name of the image is no name of an image.");
const NEVER_PULL: Cause = Cause::fault(
    "image-never-pull",
    2,
    "The image may not be pulled (imagePullPolicy Never) and the node does not have it.",
);
const NO_SPACE: Cause = Cause::fault("image-pull-no-space", 2, "The node has no room left for the image.");
const SIGNATURE: Cause =
    Cause::fault("image-signature-rejected", 2, "The image's signature does not satisfy the node's policy.");

/// What a pull failed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Arch,
    NoSpace,
    Limited,
    Tls,
    HostUnknown,
    Denied,
    Missing,
    Unreachable,
    Invalid,
}

/// A container whose image is not there.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let Some(waiting) = &case.status.state.waiting else { return Roots::new() };
    let image = case.container.image.as_str();
    let maker = engine.index.maker(case.pod);
    let field = format!("containers[{}].image", case.container.name);
    let new = |cause: &Cause, object: Object, says: String| {
        Finding::new(cause, object, says)
            .which(case.container.name.clone())
            .seen(Object::pod(case.pod), format!("{field} {}", waiting.reason), waiting.message.clone())
            .since(case.pod.metadata.creation_timestamp)
    };
    match waiting.reason.as_str() {
        "InvalidImageName" => {
            let says =
                format!("the image `{image}` of container {} is no name of an image", case.container.name);
            return engine.root(new(&NAME_INVALID, maker.clone(), says).fix(correct(engine, case, &maker)));
        }
        "ErrImageNeverPull" => {
            let node = &case.pod.spec.node_name;
            let says = format!(
                "the image {image} is not on node {node}, and imagePullPolicy Never forbids to pull it"
            );
            let fix = Fix::advice(format!(
                "set imagePullPolicy of container {} to IfNotPresent, or load the image onto the node",
                case.container.name
            ));
            return engine.root(new(&NEVER_PULL, maker, says).observed().fix(fix));
        }
        "SignatureValidationFailed" => {
            let says = format!("the signature of the image {image} is not accepted by the node's policy");
            let fix = Fix::advice("use an image that is signed as the policy wants it");
            return engine.root(new(&SIGNATURE, maker, says).observed().fix(fix));
        }
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {}
        _ => return Roots::new(),
    }
    let said = words(engine, case);
    let parts = parse(image);
    let Some(why) = classify(&said) else { return Roots::new() };
    // The runtime's own words are worth more than the kubelet's summary of its waiting.
    let new = |cause: &Cause, object: Object, says: String| {
        Finding::new(cause, object, says)
            .which(case.container.name.clone())
            .seen(Object::pod(case.pod), format!("{field} {}", waiting.reason), said.clone())
            .since(case.pod.metadata.creation_timestamp)
            .observed()
    };
    let registry = Object::new("registry", "", parts.host);
    let name = &case.container.name;
    let finding = match why {
        Why::Missing => {
            let what = match parts.tag {
                Some(tag) => format!("the tag {tag} of the image {}", parts.repository),
                None => format!("the image {image}"),
            };
            let hint = running_elsewhere(engine, image).map(|i| format!("; {i} runs in this cluster"));
            let says =
                format!("{} does not have {what} (container {name}){}", parts.host, hint.unwrap_or_default());
            new(&TAG_MISSING, maker.clone(), says).fix(correct(engine, case, &maker))
        }
        Why::Invalid => {
            let says = format!("the image `{image}` of container {name} is no name of an image");
            new(&NAME_INVALID, maker.clone(), says).fix(correct(engine, case, &maker))
        }
        Why::Arch => {
            let architecture = match engine.snap.nodes.find("", &case.pod.spec.node_name) {
                Lookup::Found(node) => node.status.node_info.architecture.clone(),
                _ => "the node's".to_owned(),
            };
            let says = format!(
                "the image {image} is not built for {architecture}, the architecture of node {}",
                case.pod.spec.node_name
            );
            new(&ARCH, maker.clone(), says).fix(Fix::advice(format!(
                "build {image} for {architecture}, or let the pods run on nodes of the image's architecture"
            )))
        }
        Why::NoSpace => {
            let node = &case.pod.spec.node_name;
            let says = format!("no room is left on node {node} for the image {image}");
            new(&NO_SPACE, Object::new("node", "", node), says)
                .fix(Fix::advice(format!("free disk space on node {node}, or move its pods elsewhere")))
        }
        Why::HostUnknown => {
            let near = nearest(parts.host, hosts(engine));
            let hint = near.map(|h| format!("; other images come from {h}")).unwrap_or_default();
            let says =
                format!("no registry is called {} (image {image} of container {name}){hint}", parts.host);
            let finding = new(&HOST_UNKNOWN, maker.clone(), says);
            match near {
                Some(host) => {
                    let right = image.replacen(parts.host, host, 1);
                    finding.fix(set_image(case, &maker, &right))
                }
                None => finding.fix(correct(engine, case, &maker)),
            }
        }
        Why::Unreachable => {
            let says = format!("the registry {} does not answer {}", parts.host, place(engine, &parts));
            new(&UNREACHABLE, registry, says).which("").fix(Fix::advice(format!(
                "see why {} does not answer: the registry itself, a firewall, or the node's network",
                parts.host
            )))
        }
        Why::Tls => {
            let says = format!(
                "the registry {} cannot be trusted: its certificate or its protocol is not what the node expects",
                parts.host
            );
            new(&TLS, registry, says).which("").fix(Fix::advice(format!(
                "let the nodes trust the certificate of {}, or correct the certificate",
                parts.host
            )))
        }
        Why::Limited => {
            let says = format!("the registry {} allows no more pulls for now", parts.host);
            new(&RATE_LIMITED, registry, says)
                .which("")
                .fix(Fix::advice("give the pods a pull secret of an account, or pull through a mirror"))
        }
        Why::Denied => return denied(engine, case, &parts, &maker, &said),
    };
    engine.root(finding)
}

/// What the runtime said last about the pull: the kubelet repeats it while it waits, and where it does not, an event has it.
fn words(engine: &Engine<'_>, case: &Case<'_>) -> String {
    let waiting = case.status.state.waiting.as_ref().map_or("", |w| w.message.as_str());
    if classify(waiting).is_some() {
        return waiting.to_owned();
    }
    let image = format!("\"{}\"", case.container.image);
    let event = engine.index.events(&case.pod.metadata).iter().find(|e| {
        e.reason == "Failed" && e.message.starts_with("Failed to pull image") && e.message.contains(&image)
    });
    event.map_or_else(|| waiting.to_owned(), |e| e.message.clone())
}

/// The reason in the runtime's words. What is more special comes first: a refusal can mention that nothing was found.
fn classify(said: &str) -> Option<Why> {
    let low = said.to_lowercase();
    let has = |tokens: &[&str]| tokens.iter().any(|t| low.contains(t));
    Some(if has(&["no match for platform", "no matching manifest for"]) {
        Why::Arch
    } else if has(&["no space left on device"]) {
        Why::NoSpace
    } else if has(&["toomanyrequests", "429 too many requests", "rate limit"]) {
        Why::Limited
    } else if has(&["x509:", "certificate", "http response to https client", "tls:"]) {
        Why::Tls
    } else if has(&["no such host", "server misbehaving"]) {
        Why::HostUnknown
    } else if has(&[
        "unauthorized",
        "authorization failed",
        "access denied",
        "403 forbidden",
        "401",
        "denied:",
        "may require authorization",
        "authentication required",
        "insufficient_scope",
    ]) {
        Why::Denied
    } else if has(&["not found", "manifest unknown", "name unknown"]) {
        Why::Missing
    } else if has(&["invalid reference", "couldn't parse image"]) {
        Why::Invalid
    } else if has(&[
        "connection refused",
        "i/o timeout",
        "deadline exceeded",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "500 internal",
        "502 bad",
        "503 service",
        "504 gateway",
        "eof",
    ]) {
        Why::Unreachable
    } else {
        return None;
    })
}

/// The registry refuses: a Secret that is not there, one of the wrong type, or none at all.
fn denied<'a>(
    engine: &mut Engine<'a>,
    case: &Case<'a>,
    parts: &Image<'_>,
    maker: &Object,
    said: &str,
) -> Roots {
    let pod = case.pod;
    let namespace = &pod.metadata.namespace;
    let image = &case.container.image;
    let seen = |f: Finding| {
        f.seen(Object::pod(pod), format!("containers[{}].image", case.container.name), said.to_owned())
            .since(pod.metadata.creation_timestamp)
    };
    let mut roots = Roots::new();
    for secret in &pod.spec.image_pull_secrets {
        let object = Object::new("secret", namespace, &secret.name);
        match engine.snap.secrets.find(namespace, &secret.name) {
            Lookup::Absent => {
                let all: Vec<&str> = engine
                    .snap
                    .secrets
                    .items
                    .iter()
                    .filter(|s| s.metadata.name == secret.name)
                    .map(|s| s.metadata.namespace.as_str())
                    .collect();
                let says = format!(
                    "{maker} pulls with the Secret {}, which does not exist in {namespace}; {} wants to know who pulls",
                    secret.name, parts.host
                );
                let fix = match all.as_slice() {
                    [only] => Fix::call(
                        format!("copy secret {} from {only} to {namespace}", secret.name),
                        "copy",
                        json!({"kind": "secret", "name": secret.name, "from": only, "to": [namespace]}),
                    ),
                    _ => Fix::advice(format!(
                        "create a Secret {} of type kubernetes.io/dockerconfigjson with credentials for {}",
                        secret.name, parts.host
                    )),
                };
                let finding = Finding::new(&SECRET_MISSING, object, says).fix(fix);
                roots.push(engine.found(seen(finding)));
            }
            Lookup::Found(found)
                if !found.kind.is_empty() && !found.kind.starts_with("kubernetes.io/dockerc") =>
            {
                let says =
                    format!("is of type {}, and a pull wants kubernetes.io/dockerconfigjson", found.kind);
                let finding = Finding::new(&SECRET_WRONG, object, says).fix(Fix::advice(format!(
                    "create it anew with: kubectl create secret docker-registry, for {}",
                    parts.host
                )));
                roots.push(engine.found(seen(finding)));
            }
            Lookup::Found(found) if found.kind.is_empty() => engine.ask(Ask::Object {
                kind: "secrets",
                namespace: namespace.clone(),
                name: secret.name.clone(),
            }),
            _ => {}
        }
    }
    if !roots.is_empty() {
        return roots;
    }
    let finding = if pod.spec.image_pull_secrets.is_empty() {
        let says = format!(
            "{} does not give out {image} to just anybody, and the pods of {maker} have no pull secret",
            parts.host
        );
        Finding::new(&REPO_DENIED, maker.clone(), says).fix(Fix::advice(format!(
            "check the name of the image; if it is right, give the service account a pull secret for {}",
            parts.host
        )))
    } else {
        let names: Vec<&str> = pod.spec.image_pull_secrets.iter().map(|s| s.name.as_str()).collect();
        let says = format!("{} refuses {image} to the credentials in {}", parts.host, names.join(", "));
        Finding::new(&SECRET_WRONG, maker.clone(), says).fix(Fix::advice(format!(
            "check that the Secret holds credentials for {} that may read {}",
            parts.host, parts.repository
        )))
    };
    let finding = seen(finding).which(case.container.name.clone()).observed();
    engine.root(finding)
}

/// What it was before, or what runs elsewhere: the likely right image as a change.
fn correct(engine: &Engine<'_>, case: &Case<'_>, maker: &Object) -> Fix {
    let index = engine.index;
    if let Some(right) = running_elsewhere(engine, &case.container.image) {
        return set_image(case, maker, &right);
    }
    let revisions = index.workload_named(maker).map_or(&[][..], |w| index.revisions(w.meta));
    if revisions.len() > 1 {
        return Fix::call(
            format!("roll {maker} back to the revision before"),
            "rollout",
            json!({"action": "undo", "workload": maker.to_string(), "namespace": maker.namespace}),
        );
    }
    Fix::advice(format!("set the image of container {} of {maker} to one that exists", case.container.name))
}

fn set_image(case: &Case<'_>, maker: &Object, image: &str) -> Fix {
    Fix::call(
        format!("set the image of {maker} to {image}"),
        "set",
        json!({"workload": maker.to_string(), "namespace": maker.namespace, "container": case.container.name, "image": image}),
    )
}

/// Another version of an image that containers of the cluster really run; the commonest, and of those the last by name.
fn running_elsewhere(engine: &Engine<'_>, image: &str) -> Option<String> {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let runs = |pod: &Pod, name: &str| {
        pod.status.container_statuses.iter().any(|s| s.name == name && s.state.running.is_some())
    };
    for pod in &engine.snap.pods.items {
        for container in &pod.spec.containers {
            if container.image != image
                && same_repository(&container.image, image)
                && runs(pod, &container.name)
            {
                *counts.entry(&container.image).or_default() += 1;
            }
        }
    }
    counts.into_iter().max_by_key(|(name, n)| (*n, *name)).map(|(name, _)| name.to_owned())
}

/// Registries that running containers came from.
fn hosts<'a>(engine: &Engine<'a>) -> Vec<&'a str> {
    let running = engine.snap.pods.items.iter().filter(|p| p.is_ready());
    let mut all: Vec<&str> = running.flat_map(|p| &p.spec.containers).map(|c| parse(&c.image).host).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// From which nodes a registry is not reached: from all that try is the registry's trouble, from one the node's.
fn place(engine: &Engine<'_>, parts: &Image<'_>) -> String {
    let mut nodes: Vec<&str> = engine
        .snap
        .pods
        .items
        .iter()
        .filter(|p| {
            p.containers().any(|(c, s, _)| {
                let waits = s
                    .and_then(|s| s.state.waiting.as_ref())
                    .is_some_and(|w| w.reason.contains("ImagePull") || w.reason == "RegistryUnavailable");
                waits && parse(&c.image).host == parts.host
            })
        })
        .map(|p| p.spec.node_name.as_str())
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    match nodes.as_slice() {
        [one] => format!("node {one}"),
        several => format!("{} nodes", several.len()),
    }
}
