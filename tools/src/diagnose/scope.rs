//! What a diagnosis is asked about: words become a namespace or an object of the snapshot.

mod host;

use kai_diagnose::snapshot::HasMeta;
use kai_diagnose::{Object, Scope, Snapshot};

use self::host::{as_host, by_host, no_host};
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
    let host = as_host(about);
    if about.contains("://") {
        return host.map_or_else(|| Err(no_host(snap, about)), |host| by_host(snap, asked, &host));
    }
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
    match (one(snap, asked, default, about, None), host) {
        (Err(ToolError::NotFound { .. }), Some(host)) => by_host(snap, asked, &host),
        (found, _) => found,
    }
}

fn known(object: &Object) -> ObjectRef {
    ObjectRef { kind: object.kind.clone(), namespace: object.namespace.clone(), name: object.name.clone() }
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
    let all = objects(snap);
    if let Some(namespace) = &asked.namespace
        && let Err(slip) = known_namespace(snap, namespace)
    {
        let elsewhere = elsewhere(&all, name, kind, namespace);
        return Err(match slip {
            ToolError::NotFound { message, .. } if !elsewhere.is_empty() => {
                ToolError::NotFound { message, similar: elsewhere }
            }
            slip => slip,
        });
    }
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
            let any = match asked.namespace {
                Some(_) => "workload, Service, Ingress or pod",
                None => "workload, Service, Ingress, pod or namespace",
            };
            let what = kind.unwrap_or(any);
            let place = asked.namespace.as_ref().map(|n| format!(" in namespace {}", sanitize::line(n)));
            let same_kind = all.iter().filter(|o| kind.is_none_or(|k| k == o.kind));
            let mut names: Vec<&str> = same_kind.map(|o| o.name.as_str()).collect();
            if kind.is_none() {
                names.extend(snap.namespaces.items.iter().map(|n| n.meta().name.as_str()));
            }
            let wrong = asked.namespace.as_deref();
            let elsewhere = wrong.map(|n| elsewhere(&all, name, kind, n)).unwrap_or_default();
            Err(ToolError::NotFound {
                message: format!("there is no {what} {shown}{}", place.unwrap_or_default()),
                similar: if elsewhere.is_empty() { nearest(name, names.into_iter()) } else { elsewhere },
            })
        }
        several => {
            Err(ToolError::Ambiguous { name: shown, candidates: several.iter().map(|o| known(o)).collect() })
        }
    }
}

/// Where else something has that name, as it can be said; of many namespaces the one that is called most alike comes first.
fn elsewhere(all: &[Object], name: &str, kind: Option<&str>, wrong: &str) -> Vec<String> {
    const MOST: usize = 3;
    let called = |o: &&Object| o.name == name && kind.is_none_or(|k| k == o.kind) && !o.namespace.is_empty();
    let mut found: Vec<&Object> = all.iter().filter(called).collect();
    found.sort_by(|a, b| {
        let alike = |o: &Object| strsim::normalized_damerau_levenshtein(wrong, &o.namespace);
        alike(b)
            .total_cmp(&alike(a))
            .then_with(|| a.namespace.cmp(&b.namespace))
            .then_with(|| order(&a.kind).cmp(&order(&b.kind)))
    });
    // One a namespace: the Service of a Deployment is no second answer.
    found.dedup_by(|a, b| a.namespace == b.namespace);
    found.into_iter().take(MOST).map(|o| sanitize::line(&format!("{o} in {}", o.namespace))).collect()
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

#[cfg(test)]
mod tests {
    use kai_diagnose::snapshot::kind;
    use serde_json::{Value, json};

    use super::*;

    fn snap() -> Snapshot {
        let named = |kind: &str, namespace: &str, name: &str, spec: Value| json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
        let hosts =
            |hosts: &[&str]| json!({"rules": hosts.iter().map(|h| json!({"host": h})).collect::<Vec<_>>()});
        let mut snap = Snapshot::default();
        for object in [
            named("Namespace", "", "pd", json!({})),
            named("Namespace", "", "pd-finance", json!({})),
            named("Namespace", "", "shop", json!({})),
            named("Deployment", "pd-finance", "ledger", json!({})),
            named("Service", "pd-finance", "ledger", json!({})),
            named("Deployment", "archive", "ledger", json!({})),
            named("Ingress", "shop", "front", hosts(&["shop.example.com", "www.example.com"])),
            named("Ingress", "shop", "rest", hosts(&["*.example.com"])),
            named("Ingress", "shop", "pay-a", hosts(&["pay.example.org"])),
            named("HTTPRoute", "api", "v1", json!({"hostnames": ["api.example.net"]})),
            named("HTTPRoute", "api", "pay-b", json!({"hostnames": ["pay.example.org"]})),
        ] {
            snap.add_object(kind(object["kind"].as_str().unwrap()).unwrap(), object.clone()).unwrap();
        }
        for kind in kai_diagnose::KINDS {
            snap.see(kind.name, None);
        }
        snap.finish();
        snap
    }

    fn asked(about: &str, namespace: Option<&str>) -> Result<String, ToolError> {
        let scope = resolve(&snap(), &as_meant(Some(about), namespace), "default")?;
        let object = scope.object.map(|o| format!("{o} in {}", o.namespace));
        Ok(object.or(scope.namespace).unwrap_or_default())
    }

    #[test]
    fn a_host_is_what_answers_for_it() {
        for (about, meant) in [
            ("shop.example.com", "ingress/front in shop"),
            ("Shop.Example.com", "ingress/front in shop"),
            ("https://shop.example.com/cart?id=1", "ingress/front in shop"),
            ("http://www.example.com:8080", "ingress/front in shop"),
            ("new.example.com", "ingress/rest in shop"),
            ("api.example.net", "httproute/v1 in api"),
        ] {
            assert_eq!(asked(about, None).unwrap(), meant, "{about}");
        }
        assert_eq!(asked("pay.example.org", Some("shop")).unwrap(), "ingress/pay-a in shop");
        let nowhere = asked("pay.example.org", Some("shap")).unwrap_err();
        assert_eq!(nowhere.to_string(), "there is no namespace shap");
        assert!(asked("a.b.example.com", None).is_err(), "the wildcard of an Ingress is one label");
        assert!(matches!(asked("pay.example.org", None), Err(ToolError::Ambiguous { .. })));
        let lost = asked("shop.example.co", None).unwrap_err();
        assert!(lost.to_string().contains("no Ingress or HTTPRoute has the host shop.example.co"), "{lost}");
        assert!(lost.hint().unwrap().contains("shop.example.com"), "{:?}", lost.hint());
    }

    #[test]
    fn the_wrong_namespace_is_said_with_the_right_one() {
        let wrong = asked("ledger", Some("pd")).unwrap_err();
        assert_eq!(wrong.to_string(), "there is no workload, Service, Ingress or pod ledger in namespace pd");
        let hint = "Did you mean deployment/ledger in pd-finance or deployment/ledger in archive?";
        assert_eq!(wrong.hint().unwrap(), hint);
        let typo = asked("ledger", Some("pd-finanze")).unwrap_err();
        assert_eq!(typo.to_string(), "there is no namespace pd-finanze");
        assert_eq!(typo.hint().unwrap(), hint);
        assert_eq!(
            asked("service/ledger", Some("pd")).unwrap_err().hint().unwrap(),
            "Did you mean service/ledger in pd-finance?"
        );
        let nobody = asked("nobody", Some("pd-finanze")).unwrap_err();
        assert_eq!(nobody.hint().unwrap(), "Did you mean pd-finance or pd?");
    }
}
