//! One webhook of a configuration: what it is asked about, and how to change it.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::finding::{Fix, Object};
use crate::model::{Labels, Selector, Webhook, WebhookConfig};
use crate::snapshot::{Lookup, Snapshot};

/// A webhook and the configuration that it is in.
#[derive(Clone, Copy)]
pub(crate) struct Hook<'a> {
    pub config: &'a WebhookConfig,
    pub webhook: &'a Webhook,
    /// Whether it may change what is written.
    pub mutates: bool,
}

/// All webhooks.
pub(crate) fn hooks(snap: &Snapshot) -> impl Iterator<Item = Hook<'_>> {
    let of = |config, mutates| (config, mutates);
    let mutating = snap.mutating_webhooks.items.iter().map(move |c| of(c, true));
    let validating = snap.validating_webhooks.items.iter().map(move |c| of(c, false));
    mutating.chain(validating).flat_map(|(config, mutates): (&WebhookConfig, bool)| {
        config.webhooks.iter().map(move |webhook| Hook { config, webhook, mutates })
    })
}

/// The webhook of that name; of several the one that must be asked.
pub(crate) fn named<'a>(engine: &Engine<'a>, name: &str) -> Lookup<Hook<'a>> {
    let snap = engine.snap;
    let all = || hooks(snap).filter(|h| h.webhook.name == name);
    match all().find(Hook::is_needed).or_else(|| all().next()) {
        Some(hook) => Lookup::Found(hook),
        None if snap.mutating_webhooks.sees("") && snap.validating_webhooks.sees("") => Lookup::Absent,
        None => Lookup::Unknown,
    }
}

impl Hook<'_> {
    /// The configuration.
    pub fn object(&self) -> Object {
        Object::of(&self.kind().to_lowercase(), &self.config.metadata)
    }
    fn kind(&self) -> &'static str {
        if self.mutates { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" }
    }
    /// Whether nothing may be written when it does not answer.
    pub fn is_needed(&self) -> bool {
        self.webhook.failure_policy != "Ignore"
    }
    /// How long it may take, in seconds.
    pub fn timeout(&self) -> i64 {
        self.webhook.timeout_seconds.unwrap_or(10).clamp(1, 30)
    }
    /// The port of its Service.
    pub fn port(&self) -> i64 {
        self.webhook.client_config.service.as_ref().and_then(|s| s.port).unwrap_or(443)
    }
    /// Whom it asks.
    pub fn target(&self) -> String {
        match &self.webhook.client_config.service {
            Some(service) => format!("service/{} in {}", service.name, service.namespace),
            None => self.webhook.client_config.url.clone(),
        }
    }
    /// Whether its rules name new pods.
    fn is_about_pods(&self) -> bool {
        let any = |all: &[String], wanted: &[&str]| all.iter().any(|a| wanted.contains(&a.as_str()));
        self.webhook.rules.iter().any(|r| {
            any(&r.api_groups, &["", "*"])
                && any(&r.resources, &["pods", "*", "*/*"])
                && any(&r.operations, &["CREATE", "*"])
        })
    }
    /// Whether it is asked about a new pod with these labels.
    pub fn is_asked_about(&self, engine: &Engine<'_>, namespace: &str, labels: &Labels) -> bool {
        let in_scope = |s: &Option<Selector>, labels: &Labels| s.as_ref().is_none_or(|s| s.selects(labels));
        let around = match engine.snap.namespaces.find("", namespace) {
            Lookup::Found(object) => in_scope(&self.webhook.namespace_selector, &object.metadata.labels),
            _ => true,
        };
        around && self.is_about_pods() && in_scope(&self.webhook.object_selector, labels)
    }
    /// Whether it is asked about pods that some workload of the cluster makes.
    pub fn is_about_living_pods(&self, engine: &Engine<'_>) -> bool {
        // What a condition in CEL lets through is not worked out here.
        self.is_about_pods()
            && self.webhook.match_conditions.is_empty()
            && engine
                .index
                .workloads
                .iter()
                .any(|w| self.is_asked_about(engine, &w.meta.namespace, &w.template.metadata.labels))
    }
    /// What it is asked about, for people.
    pub fn subject(&self) -> String {
        if self.is_about_pods() {
            return "pods".into();
        }
        let mut all: Vec<&str> =
            self.webhook.rules.iter().flat_map(|r| &r.resources).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        match all.as_slice() {
            [] => "objects".into(),
            some if some.len() <= 3 => some.join(", "),
            [first, ..] => format!("{first} and {} other kinds", all.len() - 1),
        }
    }
    /// Its namespace selector, with one namespace taken out.
    pub fn without(&self, namespace: &str) -> Value {
        let mut labels = serde_json::Map::new();
        let mut expressions = Vec::new();
        if let Some(selector) = &self.webhook.namespace_selector {
            labels.extend(selector.match_labels.iter().map(|(k, v)| (k.to_owned(), json!(v))));
            for r in &selector.match_expressions {
                let mut one = json!({"key": r.key, "operator": r.operator});
                if let (false, Some(map)) = (r.values.is_empty(), one.as_object_mut()) {
                    map.insert("values".into(), json!(r.values));
                }
                expressions.push(one);
            }
        }
        expressions
            .push(json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}));
        let mut selector = json!({"matchExpressions": expressions});
        if let (false, Some(map)) = (labels.is_empty(), selector.as_object_mut()) {
            map.insert("matchLabels".into(), labels.into());
        }
        selector
    }
    /// A change of some of its fields.
    pub fn change(&self, says: impl Into<String>, fields: &Value) -> Fix {
        let mut webhook = json!({"name": self.webhook.name});
        if let (Some(map), Some(fields)) = (webhook.as_object_mut(), fields.as_object()) {
            map.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        let manifest = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": self.kind(),
            "metadata": {"name": self.config.metadata.name},
            "webhooks": [webhook],
        });
        Fix::call(says, "apply", json!({"manifest": manifest.to_string(), "take_over": true}))
    }
}
