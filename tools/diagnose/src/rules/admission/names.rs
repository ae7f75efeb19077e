//! Service accounts, priority classes and runtime classes that a pod names, that are looked up before the pod is made, and
//! that are not there.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::rules::similar::nearest;
use crate::snapshot::{HasMeta, List, Lookup};

use super::rejected::Rejection;
use super::{over, pod_change};

/// The causes of this part.
pub const CAUSES: &[Cause] = &[SERVICE_ACCOUNT_MISSING, PRIORITY_CLASS_MISSING, RUNTIME_CLASS_MISSING];

const SERVICE_ACCOUNT_MISSING: Cause = Cause::fault(
    "serviceaccount-missing",
    2,
    "Pods are not made, because they are to run as a service account that does not exist.",
);
const PRIORITY_CLASS_MISSING: Cause = Cause::fault(
    "priorityclass-missing",
    2,
    "Pods are not made, because they name a PriorityClass that does not exist.",
);
/// Also of use where a node says that it has no handler of that name.
pub(crate) const RUNTIME_CLASS_MISSING: Cause = Cause::fault(
    "runtimeclass-missing",
    2,
    "Pods are not made, because they name a RuntimeClass that does not exist.",
);

/// The service account is not there.
pub fn service_account(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let namespace = &workload.meta.namespace;
    let name = match workload.template.spec.service_account_name.as_str() {
        "" => "default",
        name => name,
    };
    let list = &engine.snap.service_accounts;
    let found = look(list, namespace, name);
    let mut fixes = Vec::new();
    if let Looked::Missing(Some(near)) = found {
        let says = format!("let the pods of {} run as {near}", workload.object());
        fixes.extend(pod_change(workload, says, json!({"serviceAccountName": near})));
    }
    let manifest = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
    fixes.push(Fix::call(
        format!("create serviceaccount {name} in {namespace}"),
        "apply",
        json!({"manifest": manifest.to_string()}),
    ));
    missing(
        engine,
        rejection,
        &SERVICE_ACCOUNT_MISSING,
        (Object::new("serviceaccount", namespace, name), "spec.serviceAccountName"),
        found,
        fixes,
    )
}

/// The priority class is not there.
pub fn priority_class(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let name = workload.template.spec.priority_class_name.as_str();
    let found = look(&engine.snap.priority_classes, "", name);
    let fixes = class_fixes(rejection, "priorityclass", "priorityClassName", name, &found);
    missing(
        engine,
        rejection,
        &PRIORITY_CLASS_MISSING,
        (Object::new("priorityclass", "", name), "spec.priorityClassName"),
        found,
        fixes,
    )
}

/// The runtime class is not there.
pub fn runtime_class(engine: &mut Engine<'_>, rejection: &Rejection<'_>) -> Roots {
    let workload = rejection.workload;
    let name = workload.template.spec.runtime_class_name.as_str();
    let found = look(&engine.snap.runtime_classes, "", name);
    let fixes = class_fixes(rejection, "runtimeclass", "runtimeClassName", name, &found);
    missing(
        engine,
        rejection,
        &RUNTIME_CLASS_MISSING,
        (Object::new("runtimeclass", "", name), "spec.runtimeClassName"),
        found,
        fixes,
    )
}

/// Whether it is there.
enum Looked<'a> {
    There,
    /// It is not; this one has nearly its name.
    Missing(Option<&'a str>),
    /// Nobody may say, or the template names none.
    Unknown,
}

fn look<'a, T: HasMeta>(list: &'a List<T>, namespace: &str, name: &str) -> Looked<'a> {
    match list.find(namespace, name) {
        Lookup::Found(_) => Looked::There,
        Lookup::Absent if !name.is_empty() => {
            let all = list.of(namespace).iter().map(|o| o.meta().name.as_str());
            Looked::Missing(nearest(name, all.filter(|n| *n != "default")))
        }
        _ => Looked::Unknown,
    }
}

fn class_fixes(
    rejection: &Rejection<'_>,
    word: &str,
    field: &str,
    name: &str,
    found: &Looked<'_>,
) -> Vec<Fix> {
    let workload = rejection.workload;
    let mut fixes = Vec::new();
    if let Looked::Missing(Some(near)) = found {
        let says = format!("let the pods of {} name {word} {near}", workload.object());
        fixes.extend(pod_change(workload, says, json!({field: near})));
    }
    fixes.push(Fix::advice(format!(
        "create {word} {name}, or leave {field} out of the pods of {}",
        workload.object()
    )));
    fixes
}

fn missing(
    engine: &mut Engine<'_>,
    rejection: &Rejection<'_>,
    cause: &Cause,
    (object, field): (Object, &str),
    found: Looked<'_>,
    fixes: Vec<Fix>,
) -> Roots {
    let workload = rejection.workload;
    let near = match found {
        Looked::There => {
            return over(engine, cause, rejection, &format!("{} {} is there now", object.kind, object.name));
        }
        Looked::Missing(near) => near,
        Looked::Unknown => None,
    };
    let place = if object.namespace.is_empty() { String::new() } else { format!(" in {}", object.namespace) };
    let hint = near.map(|n| format!("; there is {n}")).unwrap_or_default();
    let says = format!(
        "{} {} does not exist{place}, and {} gets no new pods without it{hint}",
        object.kind,
        object.name,
        workload.object()
    );
    let mut finding = Finding::new(cause, object.clone(), says)
        .since(rejection.first)
        .seen(workload.object(), field, object.name.clone())
        .seen(rejection.by.clone(), rejection.at, rejection.text.clone());
    if matches!(found, Looked::Unknown) {
        finding = finding.observed();
    }
    for fix in fixes {
        finding = finding.fix(fix);
    }
    engine.root(finding)
}
