//! Names and labels: what the API server takes as one.

use serde_json::Value;

use super::pods::Pods;
use super::set::{Set, kind_of};
use crate::manifest::Document;
use crate::object::text;
use crate::sanitize;

/// Longest DNS label.
const LABEL: usize = 63;

pub(super) fn check(set: &Set<'_>) {
    for d in set.documents {
        name(set, d);
        let mut places = vec!["/metadata".to_string()];
        if let Some(pods) = Pods::of(d).filter(|p| !p.at.is_empty()) {
            places.push(format!("{}/metadata", pods.at));
        }
        for place in places {
            for (key, value) in pairs(&d.value, &format!("{place}/labels")) {
                label(set, d, &format!("{place}/labels/{}", key.replace('/', "~1")), key, value);
            }
            for (key, value) in pairs(&d.value, &format!("{place}/annotations")) {
                let path = format!("{place}/annotations/{}", key.replace('/', "~1"));
                if !value.is_string() {
                    let says = format!(
                        "the annotation {key} is {}, not text: the API server refuses that",
                        shown(value)
                    );
                    set.problem(
                        "not-text",
                        d,
                        &path,
                        says,
                        format!("Write it in quotes: \"{}\"", shown(value)),
                    );
                } else if !is_key(key) {
                    set.problem(
                        "invalid-label",
                        d,
                        &path,
                        format!("`{key}` cannot be the name of an annotation"),
                        KEY,
                    );
                }
            }
        }
    }
}

const KEY: &str = "At most 63 letters, digits, hyphens, dots and underscores, with an optional DNS name and a slash before them";

fn shown(value: &Value) -> String {
    if value.is_object() || value.is_array() { "a structure".into() } else { value.to_string() }
}

fn pairs<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

fn name(set: &Set<'_>, d: &Document) {
    let kind = kind_of(d);
    // Names of these are path segments, nothing more.
    if kind.is_empty() || kind.ends_with("role") || kind.ends_with("rolebinding") || kind == "apiservice" {
        return;
    }
    let name = d.name();
    let whole = name.len() <= 253 && name.split('.').all(|part| is_dns_label(part, usize::MAX));
    let (fits, rule) = match kind.as_str() {
        "service" => (
            is_dns_label(name, LABEL) && name.starts_with(|c: char| c.is_ascii_lowercase()),
            "at most 63 of a-z, 0-9 and hyphens, a letter first",
        ),
        "namespace" => (is_dns_label(name, LABEL), "at most 63 of a-z, 0-9 and hyphens"),
        // The name of a pod, and of a Job's pods, goes into a label with what is added to it.
        "cronjob" => (whole && name.len() <= 52, "at most 52 of a-z, 0-9, hyphens and dots"),
        "statefulset" => {
            (whole && name.len() <= 52, "at most 52 of a-z, 0-9 and hyphens, or its pods cannot be labelled")
        }
        "deployment" | "daemonset" | "job" => {
            (whole && name.len() <= LABEL, "at most 63 of a-z, 0-9 and hyphens")
        }
        _ => (whole, "a-z, 0-9, hyphens and dots"),
    };
    if !fits {
        let says = format!("`{}` cannot be the name of a {}", sanitize::line(name), d.kind());
        set.problem("invalid-name", d, "/metadata/name", says, format!("Allowed: {rule}"));
    }
    let namespace = text(&d.value, "/metadata/namespace");
    if !namespace.is_empty() && !is_dns_label(namespace, LABEL) {
        set.problem(
            "invalid-name",
            d,
            "/metadata/namespace",
            format!("`{namespace}` cannot be a namespace"),
            "Allowed: at most 63 of a-z, 0-9 and hyphens",
        );
    }
}

fn is_dns_label(part: &str, most: usize) -> bool {
    !part.is_empty()
        && part.len() <= most
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// The part of a label's key after the slash, and its value.
fn is_word(word: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    word.len() <= LABEL
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && ends(word.chars().next())
        && ends(word.chars().last())
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_word(key),
        Some((prefix, word)) => {
            is_word(word)
                && prefix.len() <= 253
                && prefix.to_lowercase().split('.').all(|p| is_dns_label(p, usize::MAX))
        }
    }
}

fn label(set: &Set<'_>, d: &Document, path: &str, key: &str, value: &Value) {
    if !is_key(key) {
        set.problem(
            "invalid-label",
            d,
            path,
            format!("`{key}` cannot be the name of a label: the API server refuses it"),
            KEY,
        );
        return;
    }
    match value.as_str() {
        None => {
            let says = format!("the label {key} is {}, not text: the API server refuses that", shown(value));
            set.problem("not-text", d, path, says, format!("Write it in quotes: \"{}\"", shown(value)));
        }
        Some(said) if !said.is_empty() && !is_word(said) => {
            let says = format!("`{said}` cannot be the value of the label {key}: the API server refuses it");
            set.problem(
                "invalid-label",
                d,
                path,
                says,
                "At most 63 letters, digits, hyphens, dots and underscores; for free text use an annotation",
            );
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn object(kind: &str, metadata: &str) -> String {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{{metadata}}}\n")
    }

    #[test]
    fn names() {
        for (kind, name) in [
            ("ConfigMap", "My_Map"),
            ("Service", "1web"),
            ("Namespace", "a.b"),
            ("Pod", "web-"),
            ("CronJob", &"x".repeat(53)),
            ("StatefulSet", &"x".repeat(53)),
        ] {
            finds(&object(kind, &format!("name: {name}")), "", "invalid-name", &["cannot be the name of a"]);
        }
        for (kind, name) in
            [("ConfigMap", "a.b-c"), ("Service", "web-1"), ("ClusterRole", "system:node"), ("Pod", "1web")]
        {
            quiet(&object(kind, &format!("name: {name}")), "", "invalid-name");
        }
    }

    #[test]
    fn labels_and_annotations() {
        finds(
            &object("Pod", "name: a, labels: {team: 'the A team'}"),
            "",
            "invalid-label",
            &["value of the label team", "annotation"],
        );
        finds(&object("Pod", "name: a, labels: {'a b': x}"), "", "invalid-label", &["name of a label"]);
        finds(
            &object("Pod", "name: a, labels: {version: 1.2}"),
            "",
            "not-text",
            &["the label version is 1.2, not text", "\"1.2\""],
        );
        finds(
            &object("Pod", "name: a, annotations: {prometheus.io/scrape: true}"),
            "",
            "not-text",
            &["prometheus.io/scrape is true"],
        );
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {metadata: {labels: {version: 1}}, spec: {containers: []}}}\n";
        finds(deployment, "", "not-text", &["spec.template.metadata.labels.version"]);
        let good = object(
            "Pod",
            "name: a, labels: {app.kubernetes.io/name: web_1, empty: ''}, annotations: {note: 'any text, really'}",
        );
        quiet(&good, "", "invalid-label");
        quiet(&good, "", "not-text");
    }
}
