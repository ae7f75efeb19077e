//! Every cause of the catalogue has a fixture in which it is found, alone and on the right object, and a healthy twin in
//! which nothing is. A fixture is a change of a healthy base; its twin is the base, or another change of it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test of its own crate")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kai_diagnose::snapshot::{self, Certificate, LogOf, Snapshot};
use kai_diagnose::{Ask, Class, Diagnosis, KINDS, Object, Scope, diagnose, rules};
use serde::Deserialize;
use serde_json::Value;

/// The moment at which all fixtures are looked at.
const NOW: &str = "2026-11-21T10:00:00Z";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    /// Why this fixture is there, where its cause does not say it.
    #[serde(default)]
    about: String,
    /// The causes that are to be found, the first one on top: all faults (or all of the class of the first), no other.
    expect: Vec<Expected>,
    /// Things to start from, files of `base/`; `cluster` is always there. What ends in `-down` is for the fault only.
    #[serde(default)]
    base: Vec<String>,
    /// Merge patches on objects by kind, namespace and name. What is not there is made; `$delete: true` takes it away.
    fault: Vec<Value>,
    /// The same for the twin, on the base.
    #[serde(default)]
    healthy: Vec<Value>,
    /// Kinds that could not be listed.
    #[serde(default)]
    unseen: Vec<String>,
    /// Logs that were read: `namespace/pod/container`, with `/previous` for the run before.
    #[serde(default)]
    logs: BTreeMap<String, String>,
    /// Logs of the twin.
    #[serde(default)]
    healthy_logs: BTreeMap<String, String>,
    /// Reviews that were made: `user verb group/resource namespace` is allowed or not.
    #[serde(default)]
    access: BTreeMap<String, bool>,
    /// Certificates that were read: `namespace/name`.
    #[serde(default)]
    certificates: BTreeMap<String, CertificateOf>,
    /// The object that is asked about, as `kind/namespace/name`; else everything is.
    #[serde(default)]
    asked: String,
    /// The class of what is found, where what is asked about makes it another than the catalogue's.
    #[serde(default)]
    class: Option<Class>,
    /// What the engine must have asked for, as parts of the ask's debug form.
    #[serde(default)]
    asks: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateOf {
    not_after: String,
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    cause: String,
    /// `kind/namespace/name`, or `kind/name` for kinds without namespaces.
    object: String,
    /// Parts of the sentence.
    #[serde(default)]
    says: Vec<String>,
    /// All objects that suffer, in any order.
    #[serde(default)]
    impact: Option<Vec<String>>,
    /// The tool of the first fix; `advice` for none.
    #[serde(default)]
    fix: Option<String>,
    #[serde(default)]
    confidence: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/causes")
}

fn fixtures() -> Vec<(String, Fixture)> {
    let mut all = Vec::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for family in folders.iter().filter(|f| f.is_dir() && !f.ends_with("base")) {
        let mut files: Vec<PathBuf> = std::fs::read_dir(family).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name =
                format!("{}/{}", family.file_name().unwrap().display(), file.file_stem().unwrap().display());
            let text = std::fs::read_to_string(&file).unwrap();
            let fixture = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            all.push((name, fixture));
        }
    }
    all
}

type Objects = BTreeMap<(String, String, String), Value>;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn patch(objects: &mut Objects, patches: &[Value]) {
    for one in patches {
        let key = (
            text(one, "/kind").into(),
            text(one, "/metadata/namespace").into(),
            text(one, "/metadata/name").into(),
        );
        if one.get("$delete").is_some() {
            assert!(objects.remove(&key).is_some(), "{key:?} is not there to be taken away");
            continue;
        }
        merge(objects.entry(key).or_insert(Value::Null), one);
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(serde_json::Map::new());
    }
    let map = into.as_object_mut().unwrap();
    for (key, value) in changes {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn snapshot(
    fixture: &Fixture,
    patches: &[Value],
    logs: &BTreeMap<String, String>,
    is_twin: bool,
) -> Snapshot {
    let mut objects = Objects::new();
    let base = fixture.base.iter().filter(|b| !(is_twin && b.ends_with("-down")));
    for base in ["cluster".to_owned()].iter().chain(base) {
        let text = std::fs::read_to_string(folder().join(format!("base/{base}.yaml"))).unwrap();
        let all: Vec<Value> = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("base {base}: {e}"));
        patch(&mut objects, &all);
    }
    patch(&mut objects, patches);
    let mut snap = Snapshot { now: NOW.parse().unwrap(), ..Snapshot::default() };
    for ((kind, _, name), object) in objects {
        let kind = snapshot::kind(&kind).unwrap_or_else(|| panic!("{kind} {name}: no such kind"));
        snap.add_object(kind, object).unwrap_or_else(|e| panic!("{} {name}: {e}", kind.name));
    }
    for kind in KINDS.iter().filter(|k| !fixture.unseen.iter().any(|u| u == k.name)) {
        snap.see(kind.name, None);
    }
    for (of, text) in logs {
        let mut parts = of.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let of = LogOf { namespace: next(), pod: next(), container: next(), previous: next() == "previous" };
        snap.evidence.logs.insert(of, text.clone());
    }
    for (question, allowed) in &fixture.access {
        let words: Vec<&str> = question.split(' ').collect();
        let [user, verb, what, namespace] = words[..] else { panic!("{question}") };
        let (group, resource) = what.split_once('/').unwrap();
        let ask = Ask::Access {
            user: user.into(),
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
        };
        snap.evidence.access.insert(ask, *allowed);
    }
    for (of, certificate) in &fixture.certificates {
        let (namespace, name) = of.split_once('/').unwrap();
        let not_after: Timestamp = certificate.not_after.parse().unwrap();
        let read = Certificate {
            not_after: kai_diagnose::model::Moment(Some(not_after)),
            names: certificate.names.clone(),
        };
        snap.evidence.certificates.insert((namespace.into(), name.into()), read);
    }
    snap.finish();
    snap
}

fn called(object: &Object) -> String {
    match object.namespace.as_str() {
        "" => format!("{}/{}", object.kind, object.name),
        namespace => format!("{}/{namespace}/{}", object.kind, object.name),
    }
}

fn told(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    for f in &diagnosis.findings {
        let impact: Vec<String> =
            f.impact.iter().map(|i| format!("{} ({})", called(&i.object), i.says)).collect();
        out += &format!(
            "  {:?} {} on {}: {} [{:?}] impact {impact:?} evidence {:?}\n",
            f.class,
            f.cause,
            called(&f.object),
            f.says,
            f.confidence,
            f.evidence.iter().map(|e| format!("{} {}: {}", e.object, e.at, e.value)).collect::<Vec<_>>()
        );
    }
    out
}

fn check(name: &str, fixture: &Fixture) -> Result<(), String> {
    let parts: Vec<&str> = fixture.asked.split('/').collect();
    let object = match parts[..] {
        [kind, namespace, name] => Some(Object::new(kind, namespace, name)),
        _ => None,
    };
    let scope = Scope { object, ..Scope::default() };
    let diagnosis = diagnose(&snapshot(fixture, &fixture.fault, &fixture.logs, false), &scope);
    let class = fixture
        .expect
        .first()
        .and_then(|e| rules::causes().find(|c| c.id == e.cause))
        .map_or(Class::Fault, |c| c.class);
    let class = fixture.class.unwrap_or(class);
    let of_class: Vec<_> = diagnosis.findings.iter().filter(|f| f.class == class).collect();
    let faults = diagnosis.of(Class::Fault).count();
    let wrong = |why: String| Err(format!("{name} {}: {why}\n{}", fixture.about, told(&diagnosis)));
    if class != Class::Fault && faults > 0 {
        return wrong("there is a fault where only a risk was expected".into());
    }
    // Risks and hygiene come beside others of their class; faults alone.
    let found: Vec<String> = of_class.iter().map(|f| format!("{} {}", f.cause, called(&f.object))).collect();
    let wanted: Vec<String> = fixture.expect.iter().map(|e| format!("{} {}", e.cause, e.object)).collect();
    if class == Class::Fault && found != wanted {
        return wrong(format!("found {found:?}, wanted {wanted:?}"));
    }
    for expected in &fixture.expect {
        let id = format!("{} {}", expected.cause, expected.object);
        let Some(finding) = of_class.iter().find(|f| format!("{} {}", f.cause, called(&f.object)) == id)
        else {
            return wrong(format!("{id} was not found"));
        };
        if let Some(part) = expected.says.iter().find(|p| !finding.says.contains(*p)) {
            return wrong(format!("{id} does not say `{part}`"));
        }
        if let Some(impact) = &expected.impact {
            let have: BTreeSet<String> = finding.impact.iter().map(|i| called(&i.object)).collect();
            if have != impact.iter().cloned().collect() {
                return wrong(format!("{id} has impact {have:?}"));
            }
        }
        let tool = finding.fixes.first().map(|f| f.calls.first().map_or("advice", |c| c.tool.as_str()));
        if expected.fix.is_some() && expected.fix.as_deref() != tool {
            return wrong(format!("{id} is mended by {tool:?}"));
        }
        let confidence = format!("{:?}", finding.confidence).to_lowercase();
        if expected.confidence.as_ref().is_some_and(|c| *c != confidence) {
            return wrong(format!("{id} is {confidence}"));
        }
        if finding.evidence.is_empty() && !matches!(finding.class, Class::Hygiene) {
            return wrong(format!("{id} shows no evidence"));
        }
        if finding.fixes.is_empty() {
            return wrong(format!("{id} says no fix"));
        }
        if finding.says.ends_with('.') || finding.says.contains('\n') {
            return wrong(format!("{id}: the sentence is one line without its full stop"));
        }
    }
    let asked = format!("{:?}", diagnosis.asks);
    if let Some(ask) = fixture.asks.iter().find(|a| !asked.contains(*a)) {
        return wrong(format!("it does not ask for {ask}; it asks {asked}"));
    }
    let twin = diagnose(&snapshot(fixture, &fixture.healthy, &fixture.healthy_logs, true), &scope);
    let ids: Vec<&str> = fixture.expect.iter().map(|e| e.cause.as_str()).collect();
    if twin.of(Class::Fault).count() > 0 || twin.findings.iter().any(|f| ids.contains(&f.cause.as_str())) {
        return Err(format!("{name}: its healthy twin is found unwell\n{}", told(&twin)));
    }
    Ok(())
}

#[test]
fn each_cause_is_found_and_its_healthy_twin_is_not() {
    let all = fixtures();
    let only = std::env::var("FIXTURE").unwrap_or_default();
    let failures: Vec<String> = all
        .iter()
        .filter(|(name, _)| name.contains(&only))
        .filter_map(|(name, f)| check(name, f).err())
        .collect();
    assert!(failures.is_empty(), "{} of {} fixtures:\n{}", failures.len(), all.len(), failures.join("\n"));
    println!("{} fixtures, {} causes", all.len(), rules::causes().count());
}

#[test]
fn each_cause_has_a_fixture_and_each_fixture_a_cause() {
    let known: BTreeSet<&str> = rules::causes().map(|c| c.id).collect();
    assert_eq!(known.len(), rules::causes().count(), "a cause is listed twice");
    let shown: BTreeSet<String> =
        fixtures().iter().flat_map(|(_, f)| &f.expect).map(|e| e.cause.clone()).collect();
    let bare: Vec<&&str> = known.iter().filter(|id| !shown.contains(**id)).collect();
    assert!(bare.is_empty(), "causes without a fixture: {bare:?}");
    let unknown: Vec<&String> = shown.iter().filter(|id| !known.contains(id.as_str())).collect();
    assert!(unknown.is_empty(), "fixtures of causes that are not in the catalogue: {unknown:?}");
}
