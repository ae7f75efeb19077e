//! How the checks are tested: manifests and what the cluster has as YAML, and what is said of them.

mod whole;

use serde_json::Value;

use super::{Checked, Finding, check};
use crate::manifest::Document;
use crate::manifest::known::{Ask, Known};
use crate::manifest::read::parse;
use crate::object::{builtin_kinds, text};

/// The documents of a text.
pub(super) fn documents(manifest: &str) -> Vec<Document> {
    parse("in.yaml", manifest).unwrap()
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

/// Answers one question out of the objects of a cluster that can be looked at in every way.
fn answer(known: &mut Known, ask: &Ask, live: &[Document]) {
    let of = |kind: &str, ns: &str| -> Vec<Value> {
        let fits = |d: &&Document| d.kind().to_lowercase() == kind && (ns.is_empty() || d.namespace() == ns);
        live.iter().filter(fits).map(|d| d.value.clone()).collect()
    };
    match ask {
        Ask::Object(o) => {
            let found = of(&o.kind, &o.namespace).into_iter().find(|v| text(v, "/metadata/name") == o.name);
            known.objects.insert(o.clone(), Some(found.unwrap_or_default()));
        }
        Ask::List(kind, ns) => {
            known.lists.insert((kind.clone(), ns.clone()), Some(of(kind, ns)));
        }
        Ask::Names(kind, _) => {
            let names = of(kind, "")
                .iter()
                .map(|v| (text(v, "/metadata/namespace").to_string(), text(v, "/metadata/name").to_string()))
                .collect();
            known.names.insert(kind.clone(), Some(names));
        }
        Ask::Kinds(version) => {
            let kinds = builtin_kinds()
                .into_iter()
                .filter(|k| api_version(&k.group, &k.version) == *version)
                .map(|k| k.kind)
                .chain(live.iter().filter(|d| d.api_version() == version).map(|d| d.kind().to_string()));
            known.kinds.insert(version.clone(), Some(kinds.collect()));
        }
        Ask::Schemas(version) => {
            known.schemas.insert(version.clone(), None);
        }
    }
}

/// What the checks say, when everything they ask for can be looked at.
pub(super) fn run(manifest: &str, live: &str) -> Checked {
    let (documents, live) = (documents(manifest), documents(live));
    let mut known = Known { namespace: "default".into(), ..Known::default() };
    for _ in 0..6 {
        let checked = check(&documents, &known);
        let open: Vec<Ask> = checked.asks.iter().filter(|a| !known.has(a)).cloned().collect();
        if open.is_empty() {
            return checked;
        }
        open.iter().for_each(|ask| answer(&mut known, ask, &live));
    }
    panic!("the checks ask without end");
}

/// The same for objects that exist, as `lives` has them.
fn over(manifest: &str, lives: &str) -> Vec<String> {
    let documents = documents(manifest);
    let lives = self::documents(lives).into_iter().map(|d| d.value).collect();
    let mut known = Known { namespace: "default".into(), lives, ..Known::default() };
    known.lists.insert(("limitrange".into(), "default".into()), Some(Vec::new()));
    let checked = check(&documents, &known);
    checked.findings.iter().map(|f| format!("{} {}", f.check, f.says)).collect()
}

#[test]
fn what_an_object_has_is_not_left_out_by_a_manifest() {
    let partial = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: 'web:1', volumeMounts: [{name: data, mountPath: /d}], startupProbe: {httpGet: {port: http}}}]}}}\n";
    let live = |resources: &str, volume: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      volumes: [{{name: {volume}, emptyDir: {{}}}}]\n      containers: [{{name: sidecar, image: 's:1', resources: {resources}}}, {{name: web, image: 'web:1', ports: [{{name: http, containerPort: 80}}], resources: {resources}}}]\n"
        )
    };
    let all = "{requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}";
    assert_eq!(over(partial, &live(all, "data")), [""; 0]);
    // What it does not have is said as before, and no more of it than is so.
    let said = over(partial, &live("{requests: {cpu: 1}}", "other"));
    let of = |check: &str| said.iter().filter(|s| s.starts_with(check)).cloned().collect::<Vec<_>>();
    assert_eq!((of("missing-limit").len(), of("undeclared-volume").len()), (1, 1), "{said:?}");
    assert!(of("missing-request")[0].contains("requests no memory:"), "{said:?}");
}

fn of<'a>(checked: &'a Checked, id: &str) -> Vec<&'a Finding> {
    checked.findings.iter().filter(|f| f.check == id).collect()
}

/// There is a finding of that kind, and the first of them says all of that.
#[track_caller]
pub(super) fn finds(manifest: &str, live: &str, id: &str, says: &[&str]) {
    let checked = run(manifest, live);
    let found = of(&checked, id);
    let Some(first) = found.first() else {
        panic!("no {id} among {:#?}", checked.findings);
    };
    let line = first.to_string();
    assert!(!line.contains('\n') && !line.contains(".."), "{line}");
    for part in says {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

/// There is no finding of that kind.
#[track_caller]
pub(super) fn quiet(manifest: &str, live: &str, id: &str) {
    let checked = run(manifest, live);
    let found = of(&checked, id);
    assert!(found.is_empty(), "{}", found[0]);
}
