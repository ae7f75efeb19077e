//! The rules of an Ingress, and the canary Ingress that ingress-nginx reads beside it (pure).

use serde_json::{Map, Value, json};

use super::place::{Backend, Place};
use super::split::{PREFIX, Split};
use crate::object::{items, text};

/// The class as it was named before `spec.ingressClassName`.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// Whether it is a canary of ingress-nginx.
pub(super) fn is_canary(ingress: &Value) -> bool {
    ingress.pointer("/metadata/annotations").and_then(|a| a.get(PREFIX)).and_then(Value::as_str)
        == Some("true")
}

/// Where the entry of a rule leads from.
fn place(rule: &Value, entry: &Value) -> Place {
    let path = match text(entry, "/path") {
        "" => "/",
        path => path,
    };
    Place { host: text(rule, "/host").into(), path: path.into() }
}

/// Every host with its path, and the entry that serves it.
pub(super) fn entries(ingress: &Value) -> Vec<(Place, &Value)> {
    let all = items(ingress, "/spec/rules").iter();
    all.flat_map(|rule| items(rule, "/http/paths").iter().map(move |entry| (place(rule, entry), entry)))
        .collect()
}

/// The entry for a place.
pub(super) fn entry<'a>(ingress: &'a Value, at: &Place) -> Option<&'a Value> {
    entries(ingress).into_iter().find_map(|(place, entry)| (place == *at).then_some(entry))
}

/// The paths of a host.
pub(super) fn paths(ingress: &Value, host: &str) -> Vec<String> {
    entries(ingress).into_iter().filter(|(p, _)| p.host == host).map(|(p, _)| p.path).collect()
}

/// Whether a rule names the host, with or without paths.
pub(super) fn has_host(ingress: &Value, host: &str) -> bool {
    items(ingress, "/spec/rules").iter().any(|r| text(r, "/host") == host)
}

/// The Service of an entry as people write it: `web:80`.
pub(super) fn said(entry: &Value) -> String {
    let port = entry.pointer("/backend/service/port");
    let port = port.and_then(|p| p.get("number").or_else(|| p.get("name"))).cloned().unwrap_or_default();
    let port = port.as_str().map_or_else(|| port.to_string(), Into::into);
    format!("{}:{port}", text(entry, "/backend/service/name"))
}

/// The Ingress with the place led to a backend; all else as it is.
pub(super) fn set(ingress: &Value, at: &Place, backend: &Value) -> Value {
    let mut after = ingress.clone();
    let mut new = Some(json!({"path": at.path, "pathType": "Prefix", "backend": backend}));
    let rules = list(&mut after, "rules");
    for rule in rules.iter_mut() {
        let found = text(rule, "/host") == at.host;
        let entries = items(rule, "/http/paths").iter().position(|e| place(rule, e) == *at);
        if let (true, Some(index)) = (found, entries) {
            rule["http"]["paths"][index]["backend"] = backend.clone();
            return after;
        }
    }
    for rule in rules.iter_mut().filter(|r| text(r, "/host") == at.host) {
        if let Some(entry) = new.take() {
            match rule.pointer_mut("/http/paths").and_then(Value::as_array_mut) {
                Some(paths) => paths.push(entry),
                None => rule["http"] = json!({"paths": [entry]}),
            }
        }
    }
    if let Some(entry) = new {
        rules.push(rule(&at.host, entry));
    }
    after
}

/// The Ingress without the place; `None` when it leads nowhere any more.
pub(super) fn without(ingress: &Value, at: &Place) -> Option<Value> {
    let mut after = ingress.clone();
    let rules = list(&mut after, "rules");
    for rule in rules.iter_mut() {
        let host = rule.get("host").cloned();
        if let Some(paths) = rule.pointer_mut("/http/paths").and_then(Value::as_array_mut) {
            let whole = json!({"host": host});
            paths.retain(|entry| place(&whole, entry) != *at);
        }
    }
    rules.retain(|rule| !items(rule, "/http/paths").is_empty() || text(rule, "/host") != at.host);
    let nothing = rules.is_empty() && after.pointer("/spec/defaultBackend").is_none();
    (!nothing).then_some(after)
}

/// A new Ingress for one place.
pub(super) fn new(name: &str, namespace: &str, class: Option<&str>, at: &Place, backend: &Backend) -> Value {
    let entry = json!({"path": at.path, "pathType": "Prefix", "backend": backend.of_ingress()});
    let mut manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"rules": [rule(&at.host, entry)]},
    });
    if let Some(class) = class {
        manifest["spec"]["ingressClassName"] = json!(class);
    }
    manifest
}

/// The canary of one place of a main Ingress: same host, path, type of path and class.
pub(super) fn canary(main: &Value, name: &str, at: &Place, backend: &Backend, split: &Split) -> Value {
    let path_type =
        entry(main, at).map(|e| text(e, "/pathType")).filter(|t| !t.is_empty()).unwrap_or("Prefix");
    let entry = json!({"path": at.path, "pathType": path_type, "backend": backend.of_ingress()});
    let mut annotations: Map<String, Value> =
        split.annotations().into_iter().map(|(k, v)| (k, json!(v))).collect();
    if let Some(class) = main.pointer("/metadata/annotations").and_then(|a| a.get(OLD_CLASS)) {
        annotations.insert(OLD_CLASS.into(), class.clone());
    }
    let mut manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": text(main, "/metadata/namespace"), "annotations": annotations},
        "spec": {"rules": [rule(&at.host, entry)]},
    });
    if let Some(class) = main.pointer("/spec/ingressClassName") {
        manifest["spec"]["ingressClassName"] = class.clone();
    }
    manifest
}

/// A canary that is there already, with other requests or another backend.
pub(super) fn again(canary: &Value, at: &Place, backend: &Backend, split: &Split) -> Value {
    let mut after = set(canary, at, &backend.of_ingress());
    if let Some(annotations) = after.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !key.starts_with(PREFIX));
        annotations.extend(split.annotations().into_iter().map(|(k, v)| (k, json!(v))));
    }
    after
}

/// The name of its class, in whichever way it is said.
pub(super) fn class(ingress: &Value) -> Option<&str> {
    let old = ingress.pointer("/metadata/annotations").and_then(|a| a.get(OLD_CLASS));
    ingress.pointer("/spec/ingressClassName").or(old).and_then(Value::as_str)
}

fn rule(host: &str, entry: Value) -> Value {
    let mut rule = json!({"http": {"paths": [entry]}});
    if !host.is_empty() {
        rule["host"] = json!(host);
    }
    rule
}

/// A list of the spec, made when there is none.
pub(super) fn list<'a>(object: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    let list = &mut object["spec"][name];
    if !list.is_array() {
        *list = json!([]);
    }
    match list {
        Value::Array(list) => list,
        _ => unreachable!("it was just made one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, path: &str) -> Place {
        Place { host: host.into(), path: path.into() }
    }

    fn web(port: i64) -> Backend {
        Backend { service: "web".into(), port }
    }

    fn shop() -> Value {
        json!({"metadata": {"name": "shop", "namespace": "ns"}, "spec": {"ingressClassName": "nginx", "rules": [
            {"host": "shop.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Exact", "backend": {"service": {"name": "old", "port": {"name": "http"}}}},
                {"path": "/api", "pathType": "Prefix", "backend": {"service": {"name": "api", "port": {"number": 1}}}}]}},
            {"host": "other.example.com", "http": {"paths": [{"pathType": "Prefix", "backend": {"service": {"name": "o", "port": {"number": 2}}}}]}}]}})
    }

    fn told(ingress: &Value) -> Vec<String> {
        entries(ingress).into_iter().map(|(p, e)| format!("{p} {}", said(e))).collect()
    }

    #[test]
    fn one_rule_changes_and_all_others_stay() {
        let backend = web(80).of_ingress();
        let after = set(&shop(), &at("shop.example.com", "/"), &backend);
        assert_eq!(
            told(&after),
            ["shop.example.com web:80", "shop.example.com/api api:1", "other.example.com o:2"]
        );
        assert_eq!(after["spec"]["rules"][0]["http"]["paths"][0]["pathType"], "Exact");
        let after = set(&shop(), &at("shop.example.com", "/x"), &backend);
        assert_eq!(after["spec"]["rules"][0]["http"]["paths"].as_array().unwrap().len(), 3);
        let after = set(&shop(), &at("new.example.com", "/"), &backend);
        assert_eq!(told(&after)[3], "new.example.com web:80");
        assert_eq!(
            set(&shop(), &at("other.example.com", "/"), &backend)["spec"]["rules"][1]["http"]["paths"][0]["backend"],
            backend
        );
    }

    #[test]
    fn the_last_rule_takes_the_ingress_with_it() {
        let after = without(&shop(), &at("other.example.com", "/")).unwrap();
        assert_eq!(told(&after).len(), 2);
        let after = without(&after, &at("shop.example.com", "/")).unwrap();
        assert_eq!(told(&after), ["shop.example.com/api api:1"]);
        assert_eq!(without(&after, &at("shop.example.com", "/api")), None);
        let mut kept = after;
        kept["spec"]["defaultBackend"] = json!({"service": {"name": "x"}});
        assert!(without(&kept, &at("shop.example.com", "/api")).is_some());
    }

    #[test]
    fn a_canary_stands_beside_its_main_rule_and_is_changed_in_place() {
        let place = at("shop.example.com", "/");
        let made = canary(&shop(), "shop-canary", &place, &web(80), &Split::Cookie("nightly".into()));
        assert_eq!(
            made,
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop-canary", "namespace": "ns",
                "annotations": {"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-by-cookie": "nightly"}},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": "shop.example.com", "http": {"paths": [
                    {"path": "/", "pathType": "Exact", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
        );
        assert!(is_canary(&made) && !is_canary(&shop()));
        let changed = again(&made, &place, &web(81), &Split::Weight(5));
        let annotations: Vec<&String> =
            changed["metadata"]["annotations"].as_object().unwrap().keys().collect();
        assert_eq!(
            annotations,
            ["nginx.ingress.kubernetes.io/canary", "nginx.ingress.kubernetes.io/canary-weight"]
        );
        assert_eq!(told(&changed), ["shop.example.com web:81"]);
    }
}
