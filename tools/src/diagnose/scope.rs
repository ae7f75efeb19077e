//! What a diagnosis is asked about: words become a namespace or an object of the snapshot.

use kai_diagnose::snapshot::HasMeta;
use kai_diagnose::{Object, Scope, Snapshot};

use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::object::{ObjectRef, builtin_kinds};
use crate::sanitize;

/// What somebody asked about, as they said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A namespace, a name, or `kind/name`; none for everything.
    pub about: Option<String>,
    pub namespace: Option<String>,
}

/// What the words of a command line or a tool call mean.
pub fn as_meant(about: Option<&str>, namespace: Option<&str>) -> Asked {
    let said = |text: Option<&str>| text.map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    Asked { about: said(about), namespace: said(namespace) }
}

/// The scope that is meant.
///
/// # Errors
/// [`ToolError::NotFound`] when nothing has that name, [`ToolError::Ambiguous`] when several things have.
pub fn resolve(snap: &Snapshot, asked: &Asked, default: &str) -> Result<Scope, ToolError> {
    let Some(about) = &asked.about else {
        if let Some(namespace) = &asked.namespace {
            known_namespace(snap, namespace)?;
        }
        return Ok(Scope { namespace: asked.namespace.clone(), object: None });
    };
    if let Some((kind, name)) = about.split_once('/') {
        let kinds = builtin_kinds();
        let kind = kinds
            .iter()
            .find(|k| k.is_called(kind))
            .map_or_else(|| kind.to_lowercase(), |k| k.singular.clone());
        return one(snap, asked, default, name, Some(&kind));
    }
    // As `cost` has it. Something that is called so is meant first.
    let everything = matches!(about.as_str(), "cluster" | "everything" | "*");
    if everything && one(snap, asked, default, about, None).is_err() {
        return Ok(Scope { namespace: asked.namespace.clone(), object: None });
    }
    if asked.namespace.is_none() && snap.namespaces.items.iter().any(|n| n.meta().name == *about) {
        return Ok(Scope { namespace: Some(about.clone()), object: None });
    }
    one(snap, asked, default, about, None)
}

/// A namespace that is known not to exist is a slip.
fn known_namespace(snap: &Snapshot, namespace: &str) -> Result<(), ToolError> {
    if !snap.namespaces.find("", namespace).is_absent() {
        return Ok(());
    }
    let names = snap.namespaces.items.iter().map(|n| n.meta().name.as_str());
    Err(ToolError::NotFound {
        message: format!("there is no namespace {}", sanitize::line(namespace)),
        similar: nearest(namespace, names),
    })
}

/// The object of that name: in the namespace that was named, else in the default one, else wherever there is one.
fn one(
    snap: &Snapshot,
    asked: &Asked,
    default: &str,
    name: &str,
    kind: Option<&str>,
) -> Result<Scope, ToolError> {
    if let Some(namespace) = &asked.namespace {
        known_namespace(snap, namespace)?;
    }
    let all = objects(snap);
    let called: Vec<&Object> = all
        .iter()
        .filter(|o| o.name == name && kind.is_none_or(|k| k == o.kind))
        .filter(|o| asked.namespace.as_ref().is_none_or(|n| o.namespace == *n || o.namespace.is_empty()))
        .collect();
    let near: Vec<&Object> = called.iter().copied().filter(|o| o.namespace == default).collect();
    let candidates = if near.is_empty() { called } else { near };
    // What serves comes before what it is made of: `web` is the Deployment, not its Service.
    let best = candidates.iter().map(|o| order(&o.kind)).min();
    let chosen: Vec<&&Object> = candidates.iter().filter(|o| Some(order(&o.kind)) == best).collect();
    let shown = sanitize::line(name);
    match chosen.as_slice() {
        [only] => Ok(Scope { namespace: None, object: Some((**only).clone()) }),
        [] => {
            let what = kind.unwrap_or("workload, Service, Ingress, pod or namespace");
            let place = asked.namespace.as_ref().map(|n| format!(" in namespace {}", sanitize::line(n)));
            let same_kind = all.iter().filter(|o| kind.is_none_or(|k| k == o.kind));
            let mut names: Vec<&str> = same_kind.map(|o| o.name.as_str()).collect();
            if kind.is_none() {
                names.extend(snap.namespaces.items.iter().map(|n| n.meta().name.as_str()));
            }
            Err(ToolError::NotFound {
                message: format!("there is no {what} {shown}{}", place.unwrap_or_default()),
                similar: nearest(name, names.into_iter()),
            })
        }
        several => Err(ToolError::Ambiguous {
            name: shown,
            candidates: several
                .iter()
                .map(|o| ObjectRef {
                    kind: o.kind.clone(),
                    namespace: o.namespace.clone(),
                    name: o.name.clone(),
                })
                .collect(),
        }),
    }
}

fn order(kind: &str) -> usize {
    const ORDER: [&str; 10] = [
        "deployment",
        "statefulset",
        "daemonset",
        "cronjob",
        "job",
        "service",
        "ingress",
        "pod",
        "node",
        "persistentvolumeclaim",
    ];
    ORDER.iter().position(|k| *k == kind).unwrap_or(ORDER.len())
}

/// Everything that can be asked about by name.
fn objects(snap: &Snapshot) -> Vec<Object> {
    fn of<T: HasMeta>(kind: &str, all: &[T]) -> Vec<Object> {
        all.iter().map(|o| Object::of(kind, o.meta())).collect()
    }
    [
        of("deployment", &snap.deployments.items),
        of("statefulset", &snap.stateful_sets.items),
        of("daemonset", &snap.daemon_sets.items),
        of("cronjob", &snap.cron_jobs.items),
        of("job", &snap.jobs.items),
        of("service", &snap.services.items),
        of("ingress", &snap.ingresses.items),
        of("pod", &snap.pods.items),
        of("node", &snap.nodes.items),
        of("persistentvolumeclaim", &snap.claims.items),
        of("horizontalpodautoscaler", &snap.autoscalers.items),
        of("poddisruptionbudget", &snap.budgets.items),
    ]
    .concat()
}
