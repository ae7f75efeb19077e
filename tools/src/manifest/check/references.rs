//! Names that pods give to other objects: Secrets, ConfigMaps and keys in them, claims, accounts, classes, Services.

use serde_json::Value;

use super::pods::Pods;
use super::set::{Found, Set, kind_of};
use crate::cluster::resolve::nearest;
use crate::manifest::Document;
use crate::object::{items, text};

/// One name that a pod gives.
struct Reference {
    kind: &'static str,
    name: String,
    /// The keys that must be in it, with the path of each and what happens without.
    keys: Vec<(String, String, &'static str)>,
    path: String,
    /// What happens without it.
    effect: &'static str,
}

const NO_START: &str = "the container does not start without it";
const NO_MOUNT: &str = "the pod waits for it and does not start";

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        for reference in together(configuration(&pods)) {
            look_up(set, pods.doc, &reference);
        }
        for (check, reference) in others(&pods) {
            if set.find(reference.kind, namespace_of(set, &pods, reference.kind), &reference.name)
                == Found::Absent
            {
                missing(set, pods.doc, check, &reference);
            }
        }
        pull_secrets(set, &pods);
    }
    for d in set.of("statefulset") {
        let name = text(&d.value, "/spec/serviceName");
        if !name.is_empty() && set.find("service", set.namespace(d), name) == Found::Absent {
            let says = format!(
                "serviceName is {name}, and there is no such Service: its pods get no DNS names of their own"
            );
            let fix = format!("Add a headless Service {name} (clusterIP: None) that selects these pods");
            set.warn("dangling-service-name", d, "/spec/serviceName", says, fix);
        }
    }
}

/// One reference for each object: what is missing is said once, with all the keys that are wanted of it.
fn together(references: Vec<Reference>) -> Vec<Reference> {
    let mut merged: Vec<Reference> = Vec::new();
    for reference in references {
        match merged.iter_mut().find(|m| m.kind == reference.kind && m.name == reference.name) {
            Some(first) => first.keys.extend(reference.keys),
            None => merged.push(reference),
        }
    }
    merged
}

fn namespace_of<'a>(set: &Set<'a>, pods: &Pods<'a>, kind: &str) -> &'a str {
    if matches!(kind, "priorityclass" | "runtimeclass") { "" } else { set.namespace(pods.doc) }
}

/// Whether an operator may make the object: a custom resource of the set that bears its name or names it.
pub(super) fn is_made_by_custom(set: &Set<'_>, name: &str) -> bool {
    fn names(value: &Value, name: &str) -> bool {
        match value {
            Value::String(s) => s == name,
            Value::Array(list) => list.iter().any(|v| names(v, name)),
            Value::Object(map) => map.values().any(|v| names(v, name)),
            _ => false,
        }
    }
    set.documents
        .iter()
        .filter(|d| kind_of(d).is_empty())
        .any(|d| d.name() == name || d.value.get("spec").is_some_and(|s| names(s, name)))
}

/// The keys of a Secret or ConfigMap, values aside.
pub(super) fn keys(value: &Value) -> Vec<&str> {
    ["data", "stringData", "binaryData"]
        .iter()
        .filter_map(|field| value.get(*field)?.as_object())
        .flat_map(|map| map.keys().map(String::as_str))
        .collect()
}

fn look_up(set: &Set<'_>, d: &Document, reference: &Reference) {
    let Reference { kind, name, .. } = reference;
    let namespace = if d.namespace().is_empty() { set.default_namespace() } else { d.namespace() };
    match set.find(kind, namespace, name) {
        Found::Unknown => {}
        Found::Absent if is_made_by_custom(set, name) => {}
        Found::Absent => {
            let check = if *kind == "secret" { "dangling-secret" } else { "dangling-configmap" };
            missing(set, d, check, reference);
        }
        Found::Here(value) => {
            for (key, path, effect) in &reference.keys {
                let mut here = keys(value);
                if here.contains(&key.as_str()) {
                    continue;
                }
                // What others put into it stays there when the manifest is applied.
                if set.own(kind, namespace, name).is_some()
                    && let Found::Here(live) = set.on_cluster(kind, namespace, name)
                {
                    here.extend(keys(live));
                    if here.contains(&key.as_str()) {
                        continue;
                    }
                }
                let check = if *kind == "secret" { "missing-secret-key" } else { "missing-configmap-key" };
                let says = format!("{kind}/{name} has no key {key}: {effect}");
                here.sort_unstable();
                let fix = match nearest(key, here.iter().copied()).first() {
                    Some(near) => format!("Did you mean {near}?"),
                    None if here.is_empty() => format!("Add {key}; {kind}/{name} is empty"),
                    None => {
                        here.truncate(10);
                        format!("Add {key}; the keys that are there: {}", here.join(", "))
                    }
                };
                set.problem(check, d, path, says, fix);
            }
        }
    }
}

fn missing(set: &Set<'_>, d: &Document, check: &'static str, reference: &Reference) {
    let Reference { kind, name, path, effect, keys } = reference;
    let namespace = match *kind {
        "priorityclass" | "runtimeclass" => "",
        _ if d.namespace().is_empty() => set.default_namespace(),
        _ => d.namespace(),
    };
    let mut wanted: Vec<&str> = Vec::new();
    for (key, ..) in keys {
        if !wanted.contains(&key.as_str()) {
            wanted.push(key);
        }
    }
    let with = if wanted.is_empty() { String::new() } else { format!(" with {}", wanted.join(", ")) };
    let within = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
    let says = format!("there is no {kind} {name}{within}: {effect}");
    let fix =
        set.instead(kind, namespace, name, format!("Make it first{with}, or add it to these manifests"));
    set.problem(check, d, path, says, fix);
}

/// Secrets and ConfigMaps that must be there.
fn configuration(pods: &Pods<'_>) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut add = |kind,
                   source: &Value,
                   field: &str,
                   keys: Vec<(String, String)>,
                   path: String,
                   effect: &'static str| {
        let name = text(source, field).to_string();
        if !name.is_empty() && source["optional"] != true {
            let keys = keys.into_iter().map(|(key, at)| (key, at, effect)).collect();
            found.push(Reference { kind, name, keys, path, effect });
        }
    };
    for container in pods.containers() {
        for (i, env) in items(container.value, "/env").iter().enumerate() {
            let path = format!("{}/env/{i}", container.path);
            for (kind, from) in [("secret", "secretKeyRef"), ("configmap", "configMapKeyRef")] {
                let Some(source) = env.pointer(&format!("/valueFrom/{from}")) else { continue };
                let at = format!("{path}/valueFrom/{from}");
                let keys = vec![(text(source, "/key").to_string(), format!("{at}/key"))];
                add(kind, source, "/name", keys, format!("{at}/name"), NO_START);
            }
        }
        for (i, from) in items(container.value, "/envFrom").iter().enumerate() {
            for (kind, field) in [("secret", "secretRef"), ("configmap", "configMapRef")] {
                if let Some(source) = from.get(field) {
                    let path = format!("{}/envFrom/{i}/{field}/name", container.path);
                    add(kind, source, "/name", Vec::new(), path, NO_START);
                }
            }
        }
    }
    for (i, volume) in items(pods.spec, "/volumes").iter().enumerate() {
        let path = pods.path(&format!("/volumes/{i}"));
        let mut of = |source: &Value, at: String, named: &str| {
            let (kind, field) =
                if named == "secret" { ("secret", "secretName") } else { ("configmap", "name") };
            // A projected Secret is named like a ConfigMap.
            let field = if source.get(field).is_some() { field } else { "name" };
            let keys = items(source, "/items")
                .iter()
                .enumerate()
                .map(|(j, item)| (text(item, "/key").to_string(), format!("{at}/items/{j}/key")))
                .collect();
            add(kind, source, &format!("/{field}"), keys, format!("{at}/{field}"), NO_MOUNT);
        };
        for named in ["secret", "configMap"] {
            if let Some(source) = volume.get(named) {
                of(source, format!("{path}/{named}"), named);
            }
            for (j, part) in items(volume, "/projected/sources").iter().enumerate() {
                if let Some(source) = part.get(named) {
                    of(source, format!("{path}/projected/sources/{j}/{named}"), named);
                }
            }
        }
    }
    // Every cluster puts this one into every namespace.
    found.retain(|r| r.name != "kube-root-ca.crt");
    found
}

/// Claims, accounts and classes.
fn others(pods: &Pods<'_>) -> Vec<(&'static str, Reference)> {
    let mut found = Vec::new();
    let mut add = |check, kind, name: &str, path: String, effect| {
        if !name.is_empty() {
            found.push((check, Reference { kind, name: name.into(), keys: Vec::new(), path, effect }));
        }
    };
    for (i, volume) in items(pods.spec, "/volumes").iter().enumerate() {
        let path = pods.path(&format!("/volumes/{i}/persistentVolumeClaim/claimName"));
        let name = text(volume, "/persistentVolumeClaim/claimName");
        add("dangling-claim", "persistentvolumeclaim", name, path, "the pods stay Pending");
    }
    let spec = |field: &str| (text(pods.spec, field), pods.path(field));
    let (account, path) = match spec("/serviceAccountName") {
        ("", _) => spec("/serviceAccount"),
        named => named,
    };
    if account != "default" {
        add("dangling-account", "serviceaccount", account, path, "no pod is created without it");
    }
    let (class, path) = spec("/priorityClassName");
    if !class.starts_with("system-") {
        add("dangling-priority", "priorityclass", class, path, "no pod is created without it");
    }
    let (class, path) = spec("/runtimeClassName");
    add("dangling-runtime", "runtimeclass", class, path, "no pod is created without it");
    found
}

/// A pull secret that is missing is passed over: private images then cannot be pulled.
fn pull_secrets(set: &Set<'_>, pods: &Pods<'_>) {
    for (i, secret) in items(pods.spec, "/imagePullSecrets").iter().enumerate() {
        let name = text(secret, "/name");
        let namespace = set.namespace(pods.doc);
        if name.is_empty()
            || set.find("secret", namespace, name) != Found::Absent
            || is_made_by_custom(set, name)
        {
            continue;
        }
        let path = pods.path(&format!("/imagePullSecrets/{i}/name"));
        let says =
            format!("there is no secret {name} in namespace {namespace}: private images cannot be pulled");
        let fix = set.instead(
            "secret",
            namespace,
            name,
            "Make it first, of type kubernetes.io/dockerconfigjson".into(),
        );
        set.warn("dangling-pull-secret", pods.doc, &path, says, fix);
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet, run};

    fn pod(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec:\n  {spec}\n")
    }

    const DB: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: orders-db, namespace: shop}\ndata: {password: bm90IHNob3du, user: eA==}\n";
    const APP: &str =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: shop}\ndata: {mode: fast}\n";

    #[test]
    fn secrets_and_keys() {
        let env = |name: &str, key: &str, more: &str| {
            pod(&format!(
                "containers: [{{name: c, image: 'x:1', env: [{{name: P, valueFrom: {{secretKeyRef: {{name: {name}, key: {key}{more}}}}}}}]}}]"
            ))
        };
        finds(
            &env("orders-bd", "password", ""),
            DB,
            "dangling-secret",
            &["there is no secret orders-bd in namespace shop", "Did you mean orders-db?"],
        );
        finds(
            &env("orders-db", "pasword", ""),
            DB,
            "missing-secret-key",
            &["secret/orders-db has no key pasword", "Did you mean password?"],
        );
        finds(
            &env("orders-db", "z", ""),
            DB,
            "missing-secret-key",
            &["the keys that are there: password, user"],
        );
        for good in [env("orders-db", "password", ""), env("orders-bd", "x", ", optional: true")] {
            quiet(&good, DB, "dangling-secret");
            quiet(&good, DB, "missing-secret-key");
        }
        let elsewhere = DB.replace("shop", "other");
        finds(
            &env("orders-db", "password", ""),
            &elsewhere,
            "dangling-secret",
            &["There is one in namespace other"],
        );
        let sealed = format!(
            "{}---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: orders-bd}}\nspec: {{}}\n",
            env("orders-bd", "x", "")
        );
        quiet(&sealed, DB, "dangling-secret");
        let two = pod(
            "containers: [{name: c, image: 'x:1', env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: a}}}, {name: B, valueFrom: {secretKeyRef: {name: s, key: b}}}]}]",
        );
        finds(&two, DB, "dangling-secret", &["Make it first with a, b"]);
        assert_eq!(run(&two, DB).findings.iter().filter(|f| f.check == "dangling-secret").count(), 1);
    }

    #[test]
    fn own_documents_and_live_keys_add_up() {
        let both = format!(
            "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: orders-db, namespace: shop}}\nstringData: {{url: x}}\n",
            pod(
                "containers: [{name: c, image: 'x:1', env: [{name: P, valueFrom: {secretKeyRef: {name: orders-db, key: password}}}, {name: U, valueFrom: {secretKeyRef: {name: orders-db, key: url}}}]}]"
            )
        );
        quiet(&both, DB, "missing-secret-key");
        finds(&both, "", "missing-secret-key", &["has no key password"]);
    }

    #[test]
    fn volumes_and_whole_maps() {
        let maps = |name: &str, key: &str| {
            pod(&format!(
                "containers: [{{name: c, image: 'x:1', envFrom: [{{configMapRef: {{name: {name}}}}}]}}]\n  volumes: [{{name: v, projected: {{sources: [{{configMap: {{name: {name}, items: [{{key: {key}, path: m}}]}}}}, {{secret: {{name: orders-db}}}}]}}}}]"
            ))
        };
        let live = format!("{APP}---\n{DB}");
        quiet(&maps("app", "mode"), &live, "dangling-configmap");
        quiet(&maps("app", "mode"), &live, "missing-configmap-key");
        finds(
            &maps("app", "mod"),
            &live,
            "missing-configmap-key",
            &["configmap/app has no key mod: the pod waits"],
        );
        finds(
            &maps("apt", "mode"),
            &live,
            "dangling-configmap",
            &["in.yaml:5", "envFrom[0].configMapRef.name"],
        );
        finds(&maps("app", "mode"), APP, "dangling-secret", &["projected.sources[1].secret.name"]);
    }

    #[test]
    fn claims_accounts_classes_and_pull_secrets() {
        let all = pod(
            "serviceAccountName: robot\n  priorityClassName: high\n  runtimeClassName: gvisor\n  imagePullSecrets: [{name: reg}]\n  containers: [{name: c, image: 'x:1'}]\n  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]",
        );
        let checks = [
            "dangling-account",
            "dangling-priority",
            "dangling-runtime",
            "dangling-pull-secret",
            "dangling-claim",
        ];
        for check in checks {
            finds(&all, "", check, &["there is no"]);
        }
        let live = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot, namespace: shop}\n---\napiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\n---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: gvisor}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: reg, namespace: shop}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\n";
        for check in checks {
            quiet(&all, live, check);
        }
    }

    #[test]
    fn a_statefulset_names_its_service() {
        let sts = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: shop}\nspec: {serviceName: db}\n";
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {clusterIP: None}\n";
        finds(sts, "", "dangling-service-name", &["no such Service"]);
        quiet(&format!("{sts}---\n{service}"), "", "dangling-service-name");
        quiet(sts, service, "dangling-service-name");
    }
}
