//! Namespaces that were deleted and do not go away.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{ApiService, Namespace, condition};
use crate::rules::lifecycle::keeper;
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[STUCK_FINALIZER];

const STUCK_FINALIZER: Cause = Cause::fault(
    "ns-stuck-finalizer",
    2,
    "A deleted namespace stays because something in it waits for a program that never lets it go.",
);

/// How long a namespace may take: its pods have their grace first.
const SLOW: i64 = 120;

/// Looks through all namespaces.
pub fn scan(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    for space in &snap.namespaces.items {
        let roots = explain(engine, space);
        engine.suffers(Object::of("namespace", &space.metadata), "does not go away", None, &roots);
    }
}

/// What explains that a deleted namespace stays.
pub fn explain<'a>(engine: &mut Engine<'a>, space: &'a Namespace) -> Roots {
    let since = space.metadata.deletion_timestamp;
    if !since.is_set() || !since.older_than(SLOW, engine.snap.now) {
        return Roots::new();
    }
    engine.explain(&Object::of("namespace", &space.metadata), |engine| why(engine, space))
}

fn why<'a>(engine: &mut Engine<'a>, space: &'a Namespace) -> Roots {
    let snap = engine.snap;
    let meta = &space.metadata;
    let object = Object::of("namespace", meta);
    let of = |kind: &str| condition(&space.status.conditions, kind).filter(|c| c.status == "True");
    if of("NamespaceDeletionDiscoveryFailure").is_some() {
        let mut roots = Roots::new();
        for api in snap.api_services.items.iter().filter(|a| is_down(a)) {
            roots.extend(walk::api_service(engine, api));
        }
        if !roots.is_empty() {
            return roots;
        }
    }
    let mut roots = Roots::new();
    for pod in snap.pods.of(&meta.name).iter().filter(|p| p.metadata.deletion_timestamp.is_set()) {
        roots.extend(walk::pod(engine, pod));
    }
    if !roots.is_empty() {
        return roots;
    }
    let own: Vec<&str> =
        space.spec.finalizers.iter().map(String::as_str).filter(|f| *f != "kubernetes").collect();
    let said = of("NamespaceFinalizersRemaining")
        .or_else(|| of("NamespaceDeletionContentFailure"))
        .or_else(|| of("NamespaceDeletionDiscoveryFailure"))
        .or_else(|| {
            of("NamespaceContentRemaining").filter(|_| meta.deletion_timestamp.older_than(5 * SLOW, snap.now))
        });
    if own.is_empty() && meta.finalizers.is_empty() && said.is_none() {
        return Roots::new();
    }
    let message = said.map_or("", |c| c.message.as_str());
    let mut names = finalizers(message);
    names.extend(own);
    names.extend(meta.finalizers.iter().map(String::as_str));
    let (roots, who) = if names.is_empty() { (Roots::new(), String::new()) } else { keeper(engine, &names) };
    if !roots.is_empty() {
        return roots;
    }
    let left = of("NamespaceContentRemaining")
        .and_then(|c| c.message.strip_prefix("Some resources are remaining: "))
        .map(|list| format!(" ({list})"))
        .unwrap_or_default();
    let minutes = meta.deletion_timestamp.age(snap.now).unwrap_or(0) / 60;
    let says = if names.is_empty() {
        let text = message.lines().next().unwrap_or("").trim_end_matches('.');
        format!("was deleted {minutes} min ago and cannot go: {text}{left}")
    } else {
        format!("was deleted {minutes} min ago and waits for finalizer {}{left}{who}", names.join(", "))
    };
    let mut finding = Finding::new(&STUCK_FINALIZER, object.clone(), says).since(meta.deletion_timestamp);
    if let Some(c) = said {
        finding = finding
            .seen(object.clone(), format!("status.conditions[{}]", c.kind), c.message.clone())
            .observed();
    } else {
        finding = finding.seen(object.clone(), "spec.finalizers", names.join(", "));
    }
    let finding = finding.fix(Fix::advice(if names.is_empty() {
        "mend what the namespace's condition says; the deletion goes on by itself".to_owned()
    } else {
        format!(
            "start the program that handles {} again, so that it cleans up; only when it is gone for good, remove the finalizer from what is left by hand",
            names.join(", ")
        )
    }));
    engine.root(finding)
}

/// The names in `Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances, ...`.
fn finalizers(message: &str) -> Vec<&str> {
    let Some((_, list)) = message.split_once("finalizers remaining: ") else { return Vec::new() };
    list.split(", ").filter_map(|part| part.split_once(" in ")).map(|(name, _)| name).collect()
}

fn is_down(api: &ApiService) -> bool {
    api.spec.service.is_some()
        && condition(&api.status.conditions, "Available").is_some_and(|c| c.status == "False")
}
