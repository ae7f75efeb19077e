//! ConfigMaps, Secrets and keys that a pod refers to and that are not there, as variables or as files.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Keyed, Pod, condition};
use crate::rules::Case;
use crate::rules::similar::nearest;
use crate::snapshot::{Ask, HasMeta, List, Lookup};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    CONFIG_MAP_MISSING,
    CONFIG_MAP_KEY_MISSING,
    SECRET_MISSING,
    SECRET_KEY_MISSING,
    REF_WRONG_KIND,
    REF_IN_OTHER_NAMESPACE,
];

const CONFIG_MAP_MISSING: Cause =
    Cause::fault("configmap-missing", 2, "A pod needs a ConfigMap that does not exist.");
const CONFIG_MAP_KEY_MISSING: Cause =
    Cause::fault("configmap-key-missing", 2, "A pod needs a key that its ConfigMap does not have.");
const SECRET_MISSING: Cause = Cause::fault("secret-missing", 2, "A pod needs a Secret that does not exist.");
const SECRET_KEY_MISSING: Cause =
    Cause::fault("secret-key-missing", 2, "A pod needs a key that its Secret does not have.");
const REF_WRONG_KIND: Cause = Cause::fault(
    "ref-wrong-kind",
    2,
    "A pod asks for a ConfigMap where there is a Secret of that name, or the other way round.",
);
const REF_IN_OTHER_NAMESPACE: Cause = Cause::fault(
    "ref-in-other-namespace",
    2,
    "A pod needs a ConfigMap or Secret that exists in one other namespace only.",
);

/// What a pod refers to: a ConfigMap or a Secret, all of it or one key, and where it says so.
#[derive(Clone, Debug)]
struct Reference<'a> {
    kind: Kind,
    name: &'a str,
    key: Option<&'a str>,
    field: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn word(self) -> &'static str {
        if self == Self::Secret { "secret" } else { "configmap" }
    }
    fn plural(self) -> &'static str {
        if self == Self::Secret { "secrets" } else { "configmaps" }
    }
    fn other(self) -> Self {
        if self == Self::Secret { Self::ConfigMap } else { Self::Secret }
    }
    fn list<'a>(self, engine: &Engine<'a>) -> &'a List<Keyed> {
        if self == Self::Secret { &engine.snap.secrets } else { &engine.snap.config_maps }
    }
}

/// A container that its kubelet cannot make because a variable's source is not there.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let Some(waiting) = &case.status.state.waiting else { return Roots::new() };
    if waiting.reason != "CreateContainerConfigError" {
        return Roots::new();
    }
    let name = &case.container.name;
    let mut all = Vec::new();
    for env in &case.container.env {
        let Some(source) = &env.value_from else { continue };
        let field = format!("containers[{name}].env[{}]", env.name);
        for (kind, reference) in
            [(Kind::ConfigMap, &source.config_map_key_ref), (Kind::Secret, &source.secret_key_ref)]
        {
            if let Some(r) = reference.as_ref().filter(|r| !r.optional) {
                all.push(Reference { kind, name: &r.name, key: Some(&r.key), field: field.clone() });
            }
        }
    }
    for from in &case.container.env_from {
        for (kind, reference) in [(Kind::ConfigMap, &from.config_map_ref), (Kind::Secret, &from.secret_ref)] {
            if let Some(r) = reference.as_ref().filter(|r| !r.optional) {
                all.push(Reference {
                    kind,
                    name: &r.name,
                    key: None,
                    field: format!("containers[{name}].envFrom"),
                });
            }
        }
    }
    let said = (format!("containers[{name}] {}", waiting.reason), waiting.message.clone());
    missing(engine, case.pod, &all, &said)
}

/// A pod that its kubelet cannot start because a volume's source is not there.
pub fn volumes<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Pending" || pod.spec.node_name.is_empty() {
        return Roots::new();
    }
    let Some(event) = engine.index.event(&pod.metadata, "FailedMount") else { return Roots::new() };
    let mut all = Vec::new();
    for volume in &pod.spec.volumes {
        let projected = volume.projected.iter().flat_map(|p| &p.sources).map(|s| (&s.config_map, &s.secret));
        for (config_map, secret) in projected.chain([(&volume.config_map, &volume.secret)]) {
            for (kind, source) in [(Kind::ConfigMap, config_map), (Kind::Secret, secret)] {
                let Some(source) = source.as_ref().filter(|s| !s.optional) else { continue };
                let field = format!("volumes[{}]", volume.name);
                all.push(Reference { kind, name: source.name(), key: None, field: field.clone() });
                let keys = source.items.iter().map(|i| i.key.as_str());
                all.extend(keys.map(|k| Reference {
                    kind,
                    name: source.name(),
                    key: Some(k),
                    field: field.clone(),
                }));
            }
        }
    }
    missing(engine, pod, &all, &("event FailedMount".to_owned(), event.message.clone()))
}

/// Findings for the references that lead nowhere.
fn missing<'a>(
    engine: &mut Engine<'a>,
    pod: &'a Pod,
    all: &[Reference<'a>],
    said: &(String, String),
) -> Roots {
    let mut roots = Roots::new();
    for reference in all {
        let namespace = &pod.metadata.namespace;
        match reference.kind.list(engine).find(namespace, reference.name) {
            Lookup::Absent => {
                let finding = absent(engine, pod, reference);
                roots.push(engine.found(finding.seen(Object::pod(pod), said.0.clone(), said.1.clone())));
            }
            Lookup::Found(object) => {
                let Some(key) = reference.key else { continue };
                let Some(keys) = object.keys() else {
                    // Only a message that names the key is worth a look at the object.
                    if said.1.contains(key) {
                        engine.ask(Ask::Object {
                            kind: reference.kind.plural(),
                            namespace: namespace.clone(),
                            name: reference.name.to_owned(),
                        });
                        let finding = keyless(engine, pod, reference, key, &[]).observed();
                        roots.push(engine.found(finding.seen(
                            Object::pod(pod),
                            said.0.clone(),
                            said.1.clone(),
                        )));
                    }
                    continue;
                };
                if !keys.contains(&key) {
                    let finding = keyless(engine, pod, reference, key, &keys);
                    roots.push(engine.found(finding.seen(Object::pod(pod), said.0.clone(), said.1.clone())));
                }
            }
            Lookup::Unknown => {}
        }
    }
    roots
}

/// The object is not there.
fn absent(engine: &Engine<'_>, pod: &Pod, reference: &Reference<'_>) -> Finding {
    let Reference { kind, name, field, .. } = reference;
    let namespace = &pod.metadata.namespace;
    let maker = engine.index.maker(pod);
    let object = Object::new(kind.word(), namespace, name);
    let scheduled =
        condition(&pod.status.conditions, "PodScheduled").map(|c| c.last_transition_time).unwrap_or_default();
    if let Lookup::Found(_) = kind.other().list(engine).find(namespace, name) {
        let other = kind.other().word();
        let says = format!("{maker} asks for {} {name} at {field}, but {name} is a {other}", kind.word());
        return Finding::new(&REF_WRONG_KIND, maker.clone(), says)
            .which(*name)
            .since(scheduled)
            .fix(Fix::advice(format!("refer to the {other} at {field} of {maker}")));
    }
    let list = kind.list(engine);
    let elsewhere: Vec<&str> = list
        .items
        .iter()
        .map(|o| o.meta())
        .filter(|m| m.name == *name)
        .map(|m| m.namespace.as_str())
        .collect();
    if let [only] = elsewhere.as_slice() {
        let says =
            format!("{} {name} is in namespace {only} only; {maker} needs it in {namespace}", kind.word());
        let copy = json!({"kind": kind.word(), "name": name, "from": only, "to": [namespace]});
        return Finding::new(&REF_IN_OTHER_NAMESPACE, object, says).since(scheduled).fix(Fix::call(
            format!("copy {} {name} from {only} to {namespace}", kind.word()),
            "copy",
            copy,
        ));
    }
    let cause = if *kind == Kind::Secret { &SECRET_MISSING } else { &CONFIG_MAP_MISSING };
    let near = nearest(name, list.of(namespace).iter().map(|o| o.meta().name.as_str()));
    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
    let says = format!("{} {name} does not exist in {namespace}{hint}", kind.word());
    let fix = match near {
        Some(near) => Fix::advice(format!("refer to {near} at {field} of {maker}, or create {name}")),
        None => Fix::advice(format!("create {} {name} in {namespace}", kind.word())),
    };
    Finding::new(cause, object, says).since(scheduled).fix(fix)
}

/// The object is there and the key is not.
fn keyless(engine: &Engine<'_>, pod: &Pod, reference: &Reference<'_>, key: &str, keys: &[&str]) -> Finding {
    let Reference { kind, name, field, .. } = reference;
    let namespace = &pod.metadata.namespace;
    let maker = engine.index.maker(pod);
    let cause = if *kind == Kind::Secret { &SECRET_KEY_MISSING } else { &CONFIG_MAP_KEY_MISSING };
    let near = nearest(key, keys.iter().copied());
    let hint = near.map(|n| format!("; it has {n}")).unwrap_or_default();
    let says = format!("{} {name} has no key {key}{hint}", kind.word());
    let finding = Finding::new(cause, Object::new(kind.word(), namespace, name), says).which(key);
    // A variable from another key is a typed change; anything else a person decides.
    let variable = field.split_once(".env[").map(|(_, v)| v.trim_end_matches(']'));
    match (near, variable) {
        (Some(near), Some(variable)) => finding.fix(Fix::call(
            format!("read {variable} of {maker} from key {near}"),
            "set",
            json!({"workload": maker.to_string(), "namespace": namespace,
                   "env_from": [format!("{variable}={}/{name}/{near}", kind.word())]}),
        )),
        _ => finding.fix(Fix::advice(format!("add key {key} to {} {name}", kind.word()))),
    }
}
