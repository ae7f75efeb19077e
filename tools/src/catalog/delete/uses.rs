//! Who uses a ConfigMap, Secret, ServiceAccount or PersistentVolumeClaim, from the specs of pods (pure).

use serde_json::Value;

use crate::object::{items, text};

/// Whether a pod spec names the object of that kind.
pub(super) fn uses(spec: &Value, kind: &str, name: &str) -> bool {
    let is = |value: &Value, at: &str| text(value, at) == name;
    let volumes = || items(spec, "/volumes");
    let projected = |at: &'static str| {
        volumes().iter().any(|v| items(v, "/projected/sources").iter().any(|source| is(source, at)))
    };
    let containers = || {
        ["/containers", "/initContainers", "/ephemeralContainers"]
            .into_iter()
            .flat_map(|list| items(spec, list))
    };
    let environment = |of: &'static str, key: &'static str| {
        containers().any(|c| {
            items(c, "/envFrom").iter().any(|from| is(from, of))
                || items(c, "/env").iter().any(|env| is(env, key))
        })
    };
    match kind {
        "ConfigMap" => {
            volumes().iter().any(|v| is(v, "/configMap/name"))
                || projected("/configMap/name")
                || environment("/configMapRef/name", "/valueFrom/configMapKeyRef/name")
        }
        "Secret" => {
            volumes().iter().any(|v| is(v, "/secret/secretName"))
                || projected("/secret/name")
                || environment("/secretRef/name", "/valueFrom/secretKeyRef/name")
                || items(spec, "/imagePullSecrets").iter().any(|s| is(s, "/name"))
        }
        "PersistentVolumeClaim" => volumes().iter().any(|v| is(v, "/persistentVolumeClaim/claimName")),
        "ServiceAccount" => match text(spec, "/serviceAccountName") {
            "" => name == "default",
            said => said == name,
        },
        _ => false,
    }
}

/// The pod spec of an object of a (lower-case) kind.
pub(super) fn pod_spec<'a>(kind: &str, object: &'a Value) -> &'a Value {
    let path = match kind {
        "pod" => "/spec",
        "cronjob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer(path).unwrap_or(&Value::Null)
}

/// Whether an Ingress serves with the certificate of a Secret.
pub(super) fn serves_with(ingress: &Value, secret: &str) -> bool {
    items(ingress, "/spec/tls").iter().any(|tls| text(tls, "/secretName") == secret)
}

/// The addresses at which an Ingress leads to a Service: `todo.example.com/api`.
pub(super) fn leads_to(ingress: &Value, service: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text(ingress, "/spec/defaultBackend/service/name") == service {
        found.push("every other address".to_string());
    }
    for rule in items(ingress, "/spec/rules") {
        let host = match text(rule, "/host") {
            "" => "*",
            host => host,
        };
        for path in items(rule, "/http/paths").iter().filter(|p| text(p, "/backend/service/name") == service)
        {
            found.push(format!("{host}{}", text(path, "/path")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_name_one() {
        for (kind, spec) in [
            ("ConfigMap", json!({"volumes": [{"configMap": {"name": "x"}}]})),
            ("ConfigMap", json!({"volumes": [{"projected": {"sources": [{"configMap": {"name": "x"}}]}}]})),
            ("ConfigMap", json!({"containers": [{"envFrom": [{"configMapRef": {"name": "x"}}]}]})),
            (
                "ConfigMap",
                json!({"initContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "x"}}}]}]}),
            ),
            ("Secret", json!({"volumes": [{"secret": {"secretName": "x"}}]})),
            ("Secret", json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "x"}}]}}]})),
            ("Secret", json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]})),
            ("Secret", json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "x"}}}]}]})),
            ("Secret", json!({"imagePullSecrets": [{"name": "x"}]})),
            ("PersistentVolumeClaim", json!({"volumes": [{"persistentVolumeClaim": {"claimName": "x"}}]})),
            ("ServiceAccount", json!({"serviceAccountName": "x"})),
        ] {
            assert!(uses(&spec, kind, "x"), "{kind} in {spec}");
            assert!(!uses(&spec, kind, "y"), "{kind} in {spec}");
        }
        assert!(uses(&json!({}), "ServiceAccount", "default"));
    }

    #[test]
    fn ingresses() {
        let ingress = json!({"spec": {"tls": [{"secretName": "cert"}], "rules": [{"host": "a.example.com", "http": {"paths": [
            {"path": "/api", "backend": {"service": {"name": "api"}}}, {"path": "/", "backend": {"service": {"name": "web"}}}]}}]}});
        assert_eq!(leads_to(&ingress, "api"), ["a.example.com/api"]);
        assert!(leads_to(&ingress, "other").is_empty());
        assert!(serves_with(&ingress, "cert") && !serves_with(&ingress, "api"));
    }
}
