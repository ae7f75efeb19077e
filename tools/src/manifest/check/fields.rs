//! Fields against the API server's own schema: unknown ones with the nearest that is meant, wrong types, missing ones.

use serde_json::{Map, Value};

use super::set::Set;
use crate::cluster::resolve::nearest;
use crate::manifest::Document;
use crate::object::{items, text};

/// Structures are not nested deeper than this.
const DEEPEST: usize = 60;

pub(super) fn check(set: &Set<'_>) {
    for (at, d) in set.documents.iter().enumerate() {
        let live = set.live(at);
        if let Some(definition) = set.definition(d.api_version(), d.kind()) {
            if let Some(schema) = definition.pointer("/schema/openAPIV3Schema") {
                Walk { set, d, definitions: &Value::Null }.object(&d.value, live, schema, "", 0);
            }
            continue;
        }
        if set.serves(d.api_version(), d.kind()) == Some(false) {
            continue;
        }
        let Some(definitions) = set.schemas(d.api_version()) else { continue };
        let walk = Walk { set, d, definitions };
        if let Some(schema) = walk.root() {
            walk.object(&d.value, live, schema, "", 0);
        }
    }
}

/// What the cluster has of an object, with which a server-side apply merges what the manifest says of it.
type Live<'a> = Option<&'a Value>;

/// One document held against the definitions of its API version.
struct Walk<'a> {
    set: &'a Set<'a>,
    d: &'a Document,
    definitions: &'a Value,
}

impl<'a> Walk<'a> {
    /// The schema of the document's kind.
    fn root(&self) -> Option<&'a Value> {
        let (group, version) = self.d.api_version().rsplit_once('/').unwrap_or(("", self.d.api_version()));
        self.definitions.as_object()?.values().find(|schema| {
            items(schema, "/x-kubernetes-group-version-kind").iter().any(|gvk| {
                text(gvk, "/group") == group
                    && text(gvk, "/version") == version
                    && text(gvk, "/kind") == self.d.kind()
            })
        })
    }

    /// A schema with its reference followed: `$ref`, or one within `allOf`, as Kubernetes writes them.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..8 {
            let reference = match text(schema, "/$ref") {
                "" => text(schema, "/allOf/0/$ref"),
                direct => direct,
            };
            let Some(name) = reference.rsplit('/').next().filter(|n| !n.is_empty()) else { break };
            let Some(next) = self.definitions.get(name) else { break };
            schema = next;
        }
        schema
    }

    fn value(&self, value: &Value, live: Live<'_>, schema: &'a Value, path: &str, depth: usize) {
        let schema = self.resolved(schema);
        // An empty field counts as one that is not there.
        if value.is_null() || depth > DEEPEST {
            return;
        }
        let flexible = schema.get("oneOf").is_some()
            || schema.get("anyOf").is_some()
            || schema.get("x-kubernetes-int-or-string").is_some()
            || text(schema, "/format") == "int-or-string";
        if flexible {
            return;
        }
        let wanted = text(schema, "/type");
        let fits = match wanted {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => true,
        };
        if !fits {
            self.wrong_type(value, wanted, path);
            return;
        }
        match value {
            Value::Object(_) => self.object(value, live, schema, path, depth),
            Value::Array(list) => {
                if let Some(of) = schema.get("items") {
                    for (i, entry) in list.iter().enumerate() {
                        let live = counterpart(entry, live, schema);
                        self.value(entry, live, of, &format!("{path}/{i}"), depth + 1);
                    }
                }
            }
            Value::String(said) => self.choice(said, schema, path),
            _ => {}
        }
    }

    fn object(&self, value: &Value, live: Live<'_>, schema: &'a Value, path: &str, depth: usize) {
        // Told beside a reference as well as in what it names.
        let atomic = |schema: &Value| text(schema, "/x-kubernetes-map-type") == "atomic";
        let replaced = atomic(schema);
        let schema = self.resolved(schema);
        let live = live.filter(|_| !replaced && !atomic(schema));
        let Some(map) = value.as_object() else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|o| o.is_object());
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
            || schema.get("additionalProperties") == Some(&Value::Bool(true))
            || (properties.is_none() && others.is_none());
        let mut meant: Vec<String> = Vec::new();
        for (key, inner) in map {
            let at = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            match properties.and_then(|p| p.get(key)).or(others) {
                Some(of) => self.value(inner, live.and_then(|l| l.get(key)), of, &at, depth + 1),
                // What every object has is not repeated in the schemas of custom kinds.
                None if path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") => {}
                None if open => {}
                None => meant.extend(self.unknown(key, properties, path, &at)),
            }
        }
        for field in items(schema, "/required").iter().filter_map(Value::as_str) {
            // The rest of an object that exists stays; what is there under a wrong name was told.
            let stays = live.and_then(|l| l.get(field)).is_some_and(|v| !v.is_null());
            if map.get(field).is_none_or(Value::is_null) && !stays && !meant.iter().any(|m| m == field) {
                let says = format!("{field} is missing: the API server refuses the object without it");
                let fix = match properties.and_then(|p| p.get(field)).map(|s| text(s, "/description")) {
                    Some(about) if !about.is_empty() => format!("Add {field}: {}", first_sentence(about)),
                    _ => format!("Add {field}"),
                };
                self.set.problem("missing-field", self.d, &format!("{path}/{field}"), says, fix);
            }
        }
    }

    /// Tells of an unknown field; the one that was meant, when that can be said.
    fn unknown(
        &self,
        key: &str,
        properties: Option<&'a Map<String, Value>>,
        path: &str,
        at: &str,
    ) -> Option<String> {
        let known: Vec<&str> = properties.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        let same = known.iter().find(|k| k.to_lowercase() == key.to_lowercase()).map(|k| (*k).to_string());
        let near = same.or_else(|| nearest(key, known.iter().copied()).first().cloned());
        let fix = match (&near, belongs(path, key)) {
            (_, Some(place)) => place.to_string(),
            (Some(near), None) => format!("Did you mean {near}?"),
            (None, None) if known.len() <= 12 && !known.is_empty() => {
                format!("The fields here are {}", known.join(", "))
            }
            (None, None) => "Take it out, or look at its indentation".into(),
        };
        let says = format!("there is no field {key} here: the API server refuses it");
        self.set.problem("unknown-field", self.d, at, says, fix);
        near
    }

    fn wrong_type(&self, value: &Value, wanted: &str, path: &str) {
        let (is, shown) = match value {
            Value::Bool(b) => ("a boolean", b.to_string()),
            Value::Number(n) => ("a number", n.to_string()),
            Value::String(_) => ("text", String::new()),
            Value::Array(_) => ("a list", String::new()),
            _ => ("a map", String::new()),
        };
        let wants = match wanted {
            "object" => "a map",
            "array" => "a list",
            "string" => "text",
            "boolean" => "true or false",
            _ => "a number",
        };
        let fix = match (wanted, value) {
            ("string", Value::Number(_) | Value::Bool(_)) => format!("Write it in quotes: \"{shown}\""),
            ("array", _) => "Begin each entry with a hyphen".into(),
            ("integer" | "number" | "boolean", Value::String(_)) => "Write it without quotes".into(),
            ("integer", Value::Number(_)) => "Write a whole number".into(),
            _ => format!("Write {wants}"),
        };
        self.set.problem(
            "wrong-type",
            self.d,
            path,
            format!("is {is}, and {wants} is wanted: the API server refuses it"),
            fix,
        );
    }

    fn choice(&self, said: &str, schema: &Value, path: &str) {
        let choices: Vec<&str> = items(schema, "/enum").iter().filter_map(Value::as_str).collect();
        if choices.is_empty() || choices.contains(&said) || said.is_empty() {
            return;
        }
        let fix = match nearest(said, choices.iter().copied()).first() {
            Some(near) => format!("Did you mean {near}?"),
            None => format!("Choose one of {}", choices.join(", ")),
        };
        self.set.problem(
            "invalid-choice",
            self.d,
            path,
            format!("`{said}` is none of the possible values: the API server refuses it"),
            fix,
        );
    }
}

/// The entry of a live list that an entry is merged with: the one with the same keys; none where lists are replaced whole.
fn counterpart<'v>(entry: &Value, live: Live<'v>, schema: &Value) -> Live<'v> {
    let keys: Vec<&str> =
        items(schema, "/x-kubernetes-list-map-keys").iter().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        return None;
    }
    // A key that is not said has its default, which the live entry shows.
    let same = |other: &&Value| keys.iter().all(|k| entry.get(k).is_none_or(|v| other.get(k) == Some(v)));
    live?.as_array()?.iter().find(same)
}

fn first_sentence(about: &str) -> String {
    about.split(". ").next().unwrap_or(about).chars().take(120).collect()
}

/// Fields that people put a level too high or too low.
fn belongs(path: &str, key: &str) -> Option<&'static str> {
    let last = path.rsplit('/').next().unwrap_or("");
    let in_container = path.contains("ontainers/");
    match key {
        "allowPrivilegeEscalation" | "readOnlyRootFilesystem" | "privileged" | "capabilities" | "drop"
            if last == "securityContext" && !in_container =>
        {
            Some("It belongs to the securityContext of each container, not of the pod")
        }
        "fsGroup" | "fsGroupChangePolicy" | "supplementalGroups" | "sysctls"
            if last == "securityContext" && in_container =>
        {
            Some("It belongs to the securityContext of the pod, beside containers")
        }
        "resources" | "env" | "envFrom" | "ports" | "livenessProbe" | "readinessProbe" | "volumeMounts"
        | "image" | "command" | "args" | "imagePullPolicy"
            if last == "spec" && path.contains("template") =>
        {
            Some("It belongs to a container: indent it below the entry of containers")
        }
        "volumes" | "nodeSelector" | "serviceAccountName" | "restartPolicy" | "tolerations" | "affinity"
        | "imagePullSecrets" | "initContainers" | "hostNetwork"
            if in_container || path == "/spec" =>
        {
            Some("It belongs to the pod's spec, beside containers")
        }
        "containerPort" | "hostPort" if in_container && path.ends_with(|c: char| c.is_ascii_digit()) => {
            Some("It belongs to an entry of ports: ports: [{containerPort: ...}]")
        }
        "configMapRef" | "secretRef" if path.contains("/env/") => {
            Some("It belongs to envFrom; in env it is valueFrom.configMapKeyRef or .secretKeyRef, with a key")
        }
        "secretKeyRef" | "configMapKeyRef" | "fieldRef" if path.contains("/env/") && last != "valueFrom" => {
            Some("It belongs below valueFrom")
        }
        "path" | "port" | "scheme" if last.ends_with("Probe") => {
            Some("It belongs below httpGet (or port below tcpSocket)")
        }
        "labels" | "annotations" | "namespace" if path.is_empty() => Some("It belongs below metadata"),
        "serviceName" | "servicePort" if path.ends_with("backend") => {
            Some("In networking.k8s.io/v1 it is service: {name: ..., port: {number: ...}}")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::manifest::check::check;
    use crate::manifest::check::tests::documents;
    use crate::manifest::known::Known;

    /// The lines that are said of a manifest before a small schema written as the API server writes its own.
    fn said(manifest: &str) -> Vec<String> {
        said_beside(manifest, Value::Null)
    }

    /// The same, with what the cluster has of the object.
    fn said_beside(manifest: &str, live: Value) -> Vec<String> {
        let definition =
            |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "default": {}});
        let schemas = json!({
            "Deployment": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
                "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": definition("Meta"), "spec": definition("Spec")}},
            "Meta": {"type": "object", "properties": {"name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
            "Spec": {"type": "object", "required": ["selector"], "properties": {"replicas": {"type": "integer"}, "paused": {"type": "boolean"},
                "selector": {"type": "object", "description": "Selector of pods. More."}, "mode": {"type": "string", "enum": ["Recreate", "RollingUpdate"]},
                "port": {"oneOf": [{"type": "integer"}, {"type": "string"}]}, "list": {"type": "array", "items": definition("Entry")},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "required": ["key"], "properties": {"key": {"type": "string"}}},
                "merged": {"type": "array", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["port"], "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
                "securityContext": {"type": "object", "properties": {"fsGroup": {"type": "integer"}}}}},
            "Entry": {"type": "object", "required": ["containerPort"], "properties": {"containerPort": {"type": "integer"}, "inner": definition("Entry")}},
        });
        let mut known = Known { lives: vec![live], ..Known::default() };
        known.schemas.insert("apps/v1".into(), Some(schemas));
        let manifest =
            format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n{manifest}");
        let of_fields = ["unknown-field", "wrong-type", "missing-field", "invalid-choice"];
        let checked = check(&documents(&manifest), &known);
        checked.findings.iter().filter(|f| of_fields.contains(&f.check)).map(ToString::to_string).collect()
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_was_meant() {
        for (spec, says) in [
            (
                "  selector: {}\n  replica: 2\n",
                "in.yaml:6: deployment/d spec.replica: there is no field replica here: the API server refuses it. Did you mean replicas?",
            ),
            (
                "  selector: {}\n  list: [{containerport: 1}]\n",
                "spec.list[0].containerport: there is no field containerport here: the API server refuses it. Did you mean containerPort?",
            ),
            (
                "  selector: {}\n  replicas: '2'\n",
                "is text, and a number is wanted: the API server refuses it. Write it without quotes.",
            ),
            ("  selector: {}\n  mode: 1\n", "Write it in quotes: \"1\"."),
            ("  selector: {}\n  mode: Recreat\n", "Did you mean Recreate?"),
            ("  selector: {}\n  list: {containerPort: 1}\n", "Begin each entry with a hyphen."),
            (
                "  selector: {}\n  securityContext: {privileged: true}\n",
                "It belongs to the securityContext of each container",
            ),
            (
                "  replicas: 1\n",
                "selector is missing: the API server refuses the object without it. Add selector: Selector of pods.",
            ),
        ] {
            let said = said(spec);
            assert_eq!(said.len(), 1, "{spec}: {said:?}");
            assert!(said[0].contains(says), "{says:?} is not in: {}", said[0]);
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let good = "  selector: {anything: goes}\n  replicas: 2\n  paused: ~\n  mode: Recreate\n  port: http\n  list: [{containerPort: 1, inner: {containerPort: 2}}]\n";
        assert_eq!(said(good), [""; 0]);
        assert_eq!(said(&good.replace("port: http", "port: 80")), [""; 0]);
    }

    #[test]
    fn what_an_object_has_already_is_not_missing() {
        let live = json!({"spec": {"selector": {"app": "d"}, "whole": {"key": "k"}, "list": [{"containerPort": 1}],
            "merged": [{"name": "http", "port": 80}]}});
        assert_eq!(said("  replicas: 2\n").len(), 1, "a new object needs its selector");
        assert_eq!(said_beside("  replicas: 2\n", live.clone()), [""; 0]);
        assert_eq!(said_beside("  merged: [{name: http}]\n", live.clone()), [""; 0]);
        // What is replaced as a whole, or is new, must be whole.
        for partial in ["  whole: {}\n", "  list: [{}]\n", "  merged: [{name: https}]\n"] {
            assert_eq!(said_beside(partial, live.clone()).len(), 1, "{partial}");
        }
        let bare = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}});
        assert_eq!(said_beside("  replicas: 2\n", bare).len(), 1, "the object has no selector either");
    }

    #[test]
    fn a_definition_of_the_set_is_a_schema_too() {
        let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.x.io}\nspec: {group: x.io, names: {kind: Widget}, versions: [{name: v1, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]}\n---\napiVersion: x.io/v1\nkind: Widget\nmetadata: {name: w, labels: {a: b}}\nspec: {siez: 1}\n";
        let checked = check(&documents(crd), &Known::default());
        let found: Vec<String> = checked.findings.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].contains("Did you mean size?"), "{found:?}");
    }
}
