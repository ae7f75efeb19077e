//! Fields against the API server's own schema: unknown ones with the nearest that is meant, wrong types, missing ones.

use serde_json::{Map, Value};

use super::set::Set;
use crate::cluster::resolve::nearest;
use crate::manifest::Document;
use crate::object::{items, text};

/// Structures are not nested deeper than this.
const DEEPEST: usize = 60;

pub(super) fn check(set: &Set<'_>) {
    for d in set.documents {
        if let Some(definition) = set.definition(d.api_version(), d.kind()) {
            if let Some(schema) = definition.pointer("/schema/openAPIV3Schema") {
                Walk { set, d, definitions: &Value::Null }.object(&d.value, schema, "", 0);
            }
            continue;
        }
        if set.serves(d.api_version(), d.kind()) == Some(false) {
            continue;
        }
        let Some(definitions) = set.schemas(d.api_version()) else { continue };
        let walk = Walk { set, d, definitions };
        if let Some(schema) = walk.root() {
            walk.object(&d.value, schema, "", 0);
        }
    }
}

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

    fn value(&self, value: &Value, schema: &'a Value, path: &str, depth: usize) {
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
            Value::Object(_) => self.object(value, schema, path, depth),
            Value::Array(list) => {
                if let Some(of) = schema.get("items") {
                    for (i, entry) in list.iter().enumerate() {
                        self.value(entry, of, &format!("{path}/{i}"), depth + 1);
                    }
                }
            }
            Value::String(said) => self.choice(said, schema, path),
            _ => {}
        }
    }

    fn object(&self, value: &Value, schema: &'a Value, path: &str, depth: usize) {
        let schema = self.resolved(schema);
        let Some(map) = value.as_object() else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|o| o.is_object());
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
            || schema.get("additionalProperties") == Some(&Value::Bool(true))
            || (properties.is_none() && others.is_none());
        for (key, inner) in map {
            let at = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            match properties.and_then(|p| p.get(key)).or(others) {
                Some(of) => self.value(inner, of, &at, depth + 1),
                // What every object has is not repeated in the schemas of custom kinds.
                None if path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") => {}
                None if open => {}
                None => self.unknown(key, inner, properties, path, &at),
            }
        }
        for field in items(schema, "/required").iter().filter_map(Value::as_str) {
            if map.get(field).is_none_or(Value::is_null) {
                let within = if path.is_empty() { "the object" } else { "it" };
                let says = format!("{field} is missing: the API server refuses {within} without");
                let fix = match properties.and_then(|p| p.get(field)).map(|s| text(s, "/description")) {
                    Some(about) if !about.is_empty() => format!("Add {field}: {}", first_sentence(about)),
                    _ => format!("Add {field}"),
                };
                self.set.problem("missing-field", self.d, &format!("{path}/{field}"), says, fix);
            }
        }
    }

    fn unknown(
        &self,
        key: &str,
        value: &Value,
        properties: Option<&'a Map<String, Value>>,
        path: &str,
        at: &str,
    ) {
        let known: Vec<&str> = properties.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
        let same = known.iter().find(|k| k.to_lowercase() == key.to_lowercase()).copied();
        let near = nearest(key, known.iter().copied());
        let fix =
            match (same.map(str::to_string).or_else(|| near.first().cloned()), belongs(path, key, value)) {
                (_, Some(place)) => place.to_string(),
                (Some(near), None) => format!("{key}: did you mean {near}?"),
                (None, None) if known.len() <= 12 && !known.is_empty() => {
                    format!("The fields here are {}", known.join(", "))
                }
                (None, None) => "Take it out, or look at its indentation".into(),
            };
        let says = format!("there is no field {key} here: the API server refuses it");
        self.set.problem("unknown-field", self.d, at, says, fix);
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

fn first_sentence(about: &str) -> String {
    about.split(". ").next().unwrap_or(about).chars().take(120).collect()
}

/// Fields that people put a level too high or too low.
fn belongs(path: &str, key: &str, _value: &Value) -> Option<&'static str> {
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
        "labels" | "annotations" | "namespace" if path.is_empty() => Some("It belongs below metadata"),
        "serviceName" | "servicePort" if path.ends_with("backend") => {
            Some("In networking.k8s.io/v1 it is service: {name: ..., port: {number: ...}}")
        }
        _ => None,
    }
}
