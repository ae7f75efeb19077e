//! Registries that refuse: no pull secret, one that is not there, one of the wrong kind.

use serde_json::json;

use super::Pull;
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::rules::image::parse;
use crate::rules::similar::nearest;
use crate::snapshot::{Ask, HasMeta, Lookup};

pub const REPO_DENIED: Cause =
    Cause::fault("image-repo-denied", 2, "A registry refuses an image, and the pod shows it no credentials.");
pub const SECRET_MISSING: Cause = Cause::fault(
    "pull-secret-missing",
    2,
    "A registry refuses an image, and the pull secret that the pod names does not exist.",
);
pub const SECRET_WRONG: Cause = Cause::fault(
    "pull-secret-wrong",
    2,
    "A registry refuses an image in spite of the pull secret that the pod shows it.",
);

/// The types of Secret that a kubelet reads credentials from.
const TYPES: [&str; 2] = ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];

/// Why the registry refuses.
pub fn denied(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let snap = engine.snap;
    let pod = pull.case.pod;
    let namespace = &pod.metadata.namespace;
    let mut roots = Roots::new();
    let mut unknown = false;
    for secret in pod.spec.image_pull_secrets.iter().map(|s| s.name.as_str()).filter(|s| !s.is_empty()) {
        match snap.secrets.find(namespace, secret) {
            Lookup::Absent => {
                let finding = absent(engine, pull, secret);
                roots.push(engine.found(finding));
            }
            Lookup::Unknown => unknown = true,
            Lookup::Found(_) => {}
        }
    }
    if !roots.is_empty() {
        return roots;
    }
    if pod.spec.image_pull_secrets.is_empty() {
        return none(engine, pull);
    }
    wrong(engine, pull, unknown)
}

fn absent(engine: &Engine<'_>, pull: &Pull<'_, '_>, secret: &str) -> Finding {
    let snap = engine.snap;
    let namespace = &pull.case.pod.metadata.namespace;
    let elsewhere: Vec<&str> = snap
        .secrets
        .items
        .iter()
        .map(HasMeta::meta)
        .filter(|m| m.name == secret)
        .map(|m| m.namespace.as_str())
        .collect();
    let near = nearest(secret, snap.secrets.of(namespace).iter().map(|s| s.meta().name.as_str()));
    let (hint, fix) = match (elsewhere.as_slice(), near) {
        ([only], _) => (
            format!("; namespace {only} has one"),
            Fix::call(
                format!("copy secret {secret} from {only} to {namespace}"),
                "copy",
                json!({"kind": "secret", "name": secret, "from": only, "to": [namespace]}),
            ),
        ),
        (_, Some(near)) => (
            format!("; there is {near}"),
            Fix::advice(format!("name {near} in imagePullSecrets of {}", pull.maker)),
        ),
        _ => (
            String::new(),
            Fix::advice(format!(
                "create secret {secret} in {namespace} with credentials for {}",
                pull.image.host
            )),
        ),
    };
    let says = format!(
        "pull secret {secret} does not exist in {namespace}, and {} asks for credentials{hint}",
        pull.image.host
    );
    Finding::new(&SECRET_MISSING, Object::new("secret", namespace, secret), says)
        .seen(pull.maker.clone(), "spec.imagePullSecrets", secret)
        .seen(Object::pod(pull.case.pod), pull.at.clone(), pull.said.clone())
        .since(pull.since)
        .fix(fix)
}

/// The pod shows no credentials.
fn none(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Roots {
    let snap = engine.snap;
    let pod = pull.case.pod;
    let namespace = &pod.metadata.namespace;
    let image = &pull.case.container.image;
    let account = match pod.spec.service_account_name.as_str() {
        "" => "default",
        name => name,
    };
    let of_account = snap.service_accounts.find(namespace, account).found();
    let given = of_account.and_then(|a| a.image_pull_secrets.first()).map(|s| s.name.as_str());
    // A neighbour that pulls from the same registry shows which secret works.
    let proven = super::running(engine).find_map(|(other, container)| {
        let is_same =
            parse(&container.image).host == pull.image.host && other.metadata.namespace == *namespace;
        other.spec.image_pull_secrets.first().filter(|_| is_same).map(|s| s.name.as_str())
    });
    let host = pull.image.host;
    let found = |says: String| {
        Finding::new(&REPO_DENIED, pull.maker.clone(), says)
            .which(format!("{} {image}", pull.case.container.name))
            .observed()
            .seen(Object::pod(pod), pull.at.clone(), pull.said.clone())
            .seen(Object::pod(pod), "spec.imagePullSecrets", "none")
            .since(pull.since)
    };
    let is_workload = matches!(pull.maker.kind.as_str(), "deployment" | "statefulset" | "daemonset");
    let finding = match (given, proven) {
        (Some(given), _) if is_workload => found(format!(
            "has no pull secret for image {image}, and {host} refuses; serviceaccount {account} has got pull secret {given} since the pod was made"
        ))
        .fix(Fix::call(
            format!("restart {}, so that its pods get pull secret {given}", pull.maker),
            "rollout",
            json!({"action": "restart", "workload": pull.maker.to_string(), "namespace": namespace}),
        )),
        (_, Some(secret)) => found(format!(
            "has no pull secret for image {image}, and {host} refuses; other pods of {namespace} use pull secret {secret}"
        ))
        .fix(Fix::advice(format!("name {secret} in imagePullSecrets of {}", pull.maker))),
        _ => found(format!(
            "has no pull secret for image {image}, and {host} refuses: it is private, or there is none of that name"
        ))
        .fix(Fix::advice(format!(
            "correct the name, or create a pull secret for {host} in {namespace} and name it in imagePullSecrets of {}",
            pull.maker
        ))),
    };
    engine.root(finding)
}

/// The pod shows credentials that do not help.
fn wrong(engine: &mut Engine<'_>, pull: &Pull<'_, '_>, unknown: bool) -> Roots {
    let snap = engine.snap;
    let pod = pull.case.pod;
    let namespace = &pod.metadata.namespace;
    let host = pull.image.host;
    let mut roots = Roots::new();
    let names: Vec<&str> = pod.spec.image_pull_secrets.iter().map(|s| s.name.as_str()).collect();
    for name in &names {
        let Lookup::Found(secret) = snap.secrets.find(namespace, name) else { continue };
        let object = Object::of("secret", &secret.metadata);
        if secret.keys().is_none() && secret.kind.is_empty() {
            engine.ask(Ask::Object {
                kind: "secrets",
                namespace: namespace.clone(),
                name: (*name).to_owned(),
            });
            continue;
        }
        if TYPES.contains(&secret.kind.as_str()) {
            continue;
        }
        let kind = if secret.kind.is_empty() { "Opaque" } else { &secret.kind };
        let says = format!(
            "pull secret {name} is of type {kind}, from which no kubelet reads credentials; {} is needed",
            TYPES[0]
        );
        let fix =
            Fix::advice(format!("make secret {name} anew with type {} and credentials for {host}", TYPES[0]));
        let finding = Finding::new(&SECRET_WRONG, object.clone(), says)
            .seen(object, "type", kind)
            .seen(Object::pod(pod), pull.at.clone(), pull.said.clone())
            .since(pull.since)
            .fix(fix);
        roots.push(engine.found(finding));
    }
    // One that could not be looked at may be the one that is meant to work.
    let Some(first) = names.first().filter(|_| roots.is_empty()) else { return roots };
    let image = &pull.case.container.image;
    let says = format!("pull secret {first} does not let {} pull {image}: {host} refuses", pull.maker);
    let finding = Finding::new(&SECRET_WRONG, pull.maker.clone(), says)
        .which(*first)
        .seen(Object::pod(pod), pull.at.clone(), pull.said.clone())
        .since(pull.since)
        .fix(Fix::advice(format!(
            "put credentials for {host} that may read {} into secret {first}",
            pull.image.repository
        )));
    engine.root(if unknown { finding.likely("the right to list Secrets") } else { finding.observed() })
}
