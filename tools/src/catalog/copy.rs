//! `copy`: a ConfigMap or Secret into other namespaces, or under another name. What only the server or another owner
//! writes stays behind. Refuses to overwrite unless that was asked for, and what is of no use elsewhere: tokens of
//! service accounts and Helm's records.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::delete::missing;
use super::get::must_exist;
use crate::cluster::resolve::{Resolved, resolved};
use crate::error::ToolError;
use crate::object::{builtin, is_object_name, items, text};
use crate::plan::{Change, Plan, UndoBy};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Copy a ConfigMap or Secret to other namespaces, or under another name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    pub kind: Kind,
    pub name: String,
    pub to: Vec<String>,
    pub from: Option<String>,
    #[serde(rename = "as")]
    pub r#as: Option<String>,
    pub replace: Option<bool>,
}

// What can be copied: what holds data and nothing else. (A doc comment would be sent to models.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[serde(alias = "configmaps", alias = "cm", alias = "ConfigMap")]
    ConfigMap,
    #[serde(alias = "secrets", alias = "Secret")]
    Secret,
}

/// What a copy consists of.
const PARTS: [&str; 4] = ["type", "data", "binaryData", "immutable"];
/// Labels and annotations under these domains say who owns the original, and would give the copy to them too.
const OWNERS: [&str; 7] = [
    "helm.sh",
    "argoproj.io",
    "fluxcd.io",
    "kubectl.kubernetes.io",
    "cert-manager.io",
    "external-secrets.io",
    "bitnami.com",
];
/// Labels of everybody's by which tools track what is theirs.
const TRACKING: [&str; 2] = ["app.kubernetes.io/managed-by", "app.kubernetes.io/instance"];

impl Action for Copy {
    const NAME: &'static str = "copy";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let cluster = &context.cluster;
        let from = cluster.namespace_or(self.from.as_deref())?;
        let targets = self.targets(from)?;
        let kind = builtin(match self.kind {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        });
        let Some(live) = cluster.find(&kind, from, &self.name).await? else {
            must_exist(cluster, from).await?;
            return Err(missing(cluster, &kind, &self.name, from).await);
        };
        let source = resolved(&kind, from, live, None);
        let mut there = Vec::new();
        for namespace in targets {
            must_exist(cluster, &namespace).await?;
            let live = cluster.find(&kind, &namespace, self.new_name()).await?;
            there.push((namespace.clone(), live.map(|live| resolved(&kind, &namespace, live, None))));
        }
        self.changes(&source, there)
    }
}

impl Copy {
    fn new_name(&self) -> &str {
        self.r#as.as_deref().unwrap_or(&self.name)
    }

    /// The namespaces, each once (pure).
    fn targets(&self, from: &str) -> Result<Vec<String>, ToolError> {
        let invalid = |message: String| Err(ToolError::Invalid(format!("copy: {message}")));
        for name in [self.name.as_str(), self.new_name()] {
            if !is_object_name(name) {
                return invalid(format!("`{}` cannot be a name", sanitize::line(name)));
            }
        }
        let mut targets: Vec<String> = Vec::new();
        for said in self.to.iter().map(|t| t.trim()) {
            if !is_object_name(said) {
                return invalid(format!("`{}` cannot be the name of a namespace", sanitize::line(said)));
            }
            if said == from && self.new_name() == self.name {
                return invalid(format!("{} is in {from} already: give another name with `as`", self.name));
            }
            if !targets.iter().any(|t| t == said) {
                targets.push(said.to_string());
            }
        }
        if targets.is_empty() {
            return invalid("say to which namespaces: `to`".into());
        }
        Ok(targets)
    }

    /// Decides what changes (pure).
    fn changes(&self, source: &Resolved, there: Vec<(String, Option<Resolved>)>) -> Result<Plan, ToolError> {
        of_use_elsewhere(source)?;
        let (from, name) = (source.object.namespace.as_str(), self.new_name());
        let names: Vec<&str> = there.iter().map(|(namespace, _)| namespace.as_str()).collect();
        let renamed = if name == self.name { String::new() } else { format!(" as {name}") };
        let title = format!("Copy {} from {from} to {}{renamed}", source.object, names.join(", "));
        let exist: Vec<&str> =
            there.iter().filter(|(_, live)| live.is_some()).map(|(ns, _)| ns.as_str()).collect();
        if !exist.is_empty() && self.replace != Some(true) {
            return Err(ToolError::Refused {
                message: format!("{}/{name} exists in {} already", source.kind.singular, exist.join(", ")),
                hint: "Copy under another name, or overwrite it with `replace: true`.".into(),
            });
        }
        let mut plan = Plan { title, ..Plan::default() };
        let same = format!("{}/{name}", source.kind.singular);
        for (namespace, live) in there {
            let (manifest, left) = copied(&source.live, &namespace, name);
            let change = match live {
                None => Change::apply(source.kind.clone(), &namespace, None, manifest, false),
                Some(target) => match replaced(target, &manifest) {
                    Some(change) => change,
                    None => {
                        plan.notes.push(format!("{same} in {namespace} holds the same already"));
                        continue;
                    }
                },
            };
            plan.changes.push(lines(&source.live, &left).into_iter().fold(change, Change::with));
        }
        if plan.changes.is_empty() {
            plan.title = format!("nothing to change: {}", plan.notes.join("; "));
            plan.notes.clear();
        }
        Ok(plan)
    }
}

fn of_use_elsewhere(source: &Resolved) -> Result<(), ToolError> {
    let why = match text(&source.live, "/type") {
        "kubernetes.io/service-account-token" => "is the token of a service account of its namespace",
        "helm.sh/release.v1" => "is Helm's record of a release",
        "bootstrap.kubernetes.io/token" => "lets nodes join the cluster",
        _ => return Ok(()),
    };
    Err(ToolError::Refused {
        message: format!("{} {why}: a copy would be of no use elsewhere", source.object),
        hint: String::new(),
    })
}

/// The object for another place, and what of it stays behind that somebody may miss (pure).
fn copied(live: &Value, namespace: &str, name: &str) -> (Value, Vec<String>) {
    let mut left = Vec::new();
    let mut metadata = json!({"name": name, "namespace": namespace});
    for place in ["labels", "annotations"] {
        let entries = live.pointer(&format!("/metadata/{place}")).and_then(Value::as_object);
        let (theirs, own): (Vec<_>, Vec<_>) =
            entries.into_iter().flatten().partition(|(key, _)| is_owners(key));
        left.extend(theirs.into_iter().map(|(key, _)| key.clone()));
        if !own.is_empty() {
            metadata[place] = own.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        }
    }
    for owner in items(live, "/metadata/ownerReferences") {
        left.push(format!("owner {}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name")));
    }
    left.extend(items(live, "/metadata/finalizers").iter().filter_map(|f| Some(f.as_str()?.to_string())));
    let mut manifest = json!({"apiVersion": "v1", "kind": text(live, "/kind"), "metadata": metadata});
    for part in PARTS {
        if let Some(value) = live.get(part) {
            manifest[part] = value.clone();
        }
    }
    (manifest, left)
}

fn is_owners(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    TRACKING.contains(&key)
        || OWNERS.iter().any(|o| domain == *o || domain.strip_suffix(o).is_some_and(|d| d.ends_with('.')))
}

/// What is there gets the same content and keeps its own labels; `None` when it has it already. An apply would leave
/// keys that the original does not have.
fn replaced(target: Resolved, manifest: &Value) -> Option<Change> {
    let mut after = target.live.clone();
    let map = after.as_object_mut()?;
    for part in PARTS {
        match manifest.get(part) {
            Some(value) => map.insert(part.into(), value.clone()),
            None => map.shift_remove(part),
        };
    }
    if after == target.live {
        return None;
    }
    let is_secret = target.kind.kind == "Secret";
    let mut change = Change::set(target, after).with(Line::new(
        Level::Warning,
        "replaces",
        "what it holds now; its labels and annotations stay",
    ));
    if is_secret {
        change.undo = UndoBy::Never("the journal keeps no secrets".into());
    }
    Some(change)
}

fn lines(source: &Value, left: &[String]) -> Vec<Line> {
    let mut lines = Vec::new();
    if !left.is_empty() {
        lines.push(Line::new(Level::Fact, "left out", left.join(", ")));
    }
    if source.get("immutable").and_then(Value::as_bool) == Some(true) {
        lines.push(Line::new(
            Level::Fact,
            "immutable",
            "the copy is immutable too: its data cannot be changed",
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(arguments: Value) -> Copy {
        serde_json::from_value(arguments).unwrap()
    }

    fn object(kind: &str, namespace: &str, rest: Value) -> Resolved {
        let mut live =
            json!({"metadata": {"name": "app", "namespace": namespace, "uid": "1", "resourceVersion": "2"}});
        for (key, value) in rest.as_object().unwrap() {
            live[key] = value.clone();
        }
        resolved(&builtin(kind), namespace, live, None)
    }

    #[test]
    fn what_others_write_stays_behind() {
        let live = json!({"kind": "ConfigMap", "metadata": {"name": "app", "namespace": "shop", "uid": "1", "resourceVersion": "2",
            "creationTimestamp": "x", "managedFields": [], "ownerReferences": [{"kind": "Deployment", "name": "web"}],
            "labels": {"app": "web", "helm.sh/chart": "web-1", "app.kubernetes.io/managed-by": "Helm", "kustomize.toolkit.fluxcd.io/name": "x"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "argocd.argoproj.io/tracking-id": "y"}},
            "data": {"k": "v"}, "immutable": true});
        let (manifest, left) = copied(&live, "dev", "other");
        assert_eq!(
            manifest,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": "dev", "labels": {"app": "web"}},
                "data": {"k": "v"}, "immutable": true})
        );
        assert_eq!(
            left,
            [
                "helm.sh/chart",
                "app.kubernetes.io/managed-by",
                "kustomize.toolkit.fluxcd.io/name",
                "kubectl.kubernetes.io/last-applied-configuration",
                "argocd.argoproj.io/tracking-id",
                "owner deployment/web"
            ]
        );
        assert!(!is_owners("nothelm.sh/x") && is_owners("meta.helm.sh/release-name"));
    }

    #[test]
    fn what_exists_is_overwritten_only_when_asked_for() {
        let source = object("configmap", "shop", json!({"data": {"a": "1"}}));
        let there =
            || vec![("dev".to_string(), Some(object("configmap", "dev", json!({"data": {"b": "2"}}))))];
        let say = |replace: bool| {
            copy(json!({"kind": "configmap", "name": "app", "to": ["dev"], "replace": replace}))
        };
        let refused = say(false).changes(&source, there()).unwrap_err();
        assert_eq!(refused.to_string(), "refused: configmap/app exists in dev already");
        let plan = say(true).changes(&source, there()).unwrap();
        assert_eq!(plan.changes[0].after["data"], json!({"a": "1"}), "and nothing else");
        let same = vec![("dev".to_string(), Some(object("configmap", "dev", json!({"data": {"a": "1"}}))))];
        let plan = say(true).changes(&source, same).unwrap();
        assert!(plan.changes.is_empty() && plan.title.contains("holds the same already"), "{}", plan.title);
    }

    #[test]
    fn tokens_and_records_are_of_no_use_elsewhere() {
        for kind in ["kubernetes.io/service-account-token", "helm.sh/release.v1"] {
            let source = object("secret", "shop", json!({"type": kind}));
            let say = copy(json!({"kind": "secret", "name": "app", "to": ["dev"]}));
            assert!(matches!(say.changes(&source, vec![]), Err(ToolError::Refused { .. })), "{kind}");
        }
    }

    #[test]
    fn targets_are_other_places() {
        for (arguments, says) in [
            (json!({"kind": "secret", "name": "app", "to": []}), "to which namespaces"),
            (json!({"kind": "secret", "name": "app", "to": ["shop"]}), "give another name with `as`"),
            (json!({"kind": "secret", "name": "app", "to": ["../x"]}), "cannot be the name of a namespace"),
            (json!({"kind": "secret", "name": "a/b", "to": ["dev"]}), "cannot be a name"),
            (json!({"kind": "secret", "name": "app", "to": ["dev"], "as": "*"}), "cannot be a name"),
        ] {
            let error = copy(arguments).targets("shop").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let own = copy(json!({"kind": "cm", "name": "app", "to": ["shop", "dev", "dev"], "as": "b"}));
        assert_eq!(own.targets("shop").unwrap(), ["shop", "dev"]);
    }
}
