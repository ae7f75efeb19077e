//! What the API server would make of each change: its dry run, as fields that differ and lines that explain.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Level, Line};
use crate::cluster::Cluster;
use crate::cluster::write::{self, Conflict, Foreseen};
use crate::diff::{self, FieldChange};
use crate::error::ToolError;
use crate::journal::{Kept, Touched};
use crate::object::{ObjectRef, items, text};
use crate::plan::{Change, Does, Take, WriteRequest};

/// One change as the API server sees it.
pub(super) struct Foresight {
    pub change: Change,
    pub request: WriteRequest,
    /// For people and models: masked.
    pub shown: Vec<FieldChange>,
    /// For the journal.
    pub touched: Vec<Touched>,
    pub lines: Vec<Line>,
    pub conflicts: Vec<Conflict>,
}

/// What a plan itself makes, so that what needs it cannot be asked about yet.
pub(super) struct Makes {
    namespaces: BTreeSet<String>,
    kinds: BTreeSet<(String, String)>,
    /// Roles and ClusterRoles: kind, namespace, name.
    roles: BTreeSet<(String, String, String)>,
}

impl Makes {
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut makes = Self { namespaces: BTreeSet::new(), kinds: BTreeSet::new(), roles: BTreeSet::new() };
        for change in changes.iter().filter(|c| c.creates()) {
            match change.kind.kind.as_str() {
                "Namespace" => {
                    makes.namespaces.insert(change.object.name.clone());
                }
                "CustomResourceDefinition" => {
                    let at = |p: &str| text(&change.after, p).to_string();
                    makes.kinds.insert((at("/spec/group"), at("/spec/names/kind")));
                }
                kind @ ("Role" | "ClusterRole") if change.kind.group == RBAC => {
                    let ObjectRef { namespace, name, .. } = change.object.clone();
                    makes.roles.insert((kind.into(), namespace, name));
                }
                _ => {}
            }
        }
        makes
    }

    /// What of the plan must be there before the change can be asked about.
    fn needed_by(&self, change: &Change) -> Option<String> {
        if self.namespaces.contains(&change.object.namespace) {
            return Some(format!("namespace/{}", change.object.namespace));
        }
        let kind = (change.kind.group.clone(), change.kind.kind.clone());
        self.kinds.contains(&kind).then(|| format!("the definition of {}", change.kind.kind))
    }

    /// The role of the plan that a binding names. Whoever may bind any role is not asked what is in it, so the API
    /// server is asked first.
    fn role_of(&self, change: &Change) -> Option<String> {
        if change.kind.group != RBAC || !change.kind.kind.ends_with("RoleBinding") {
            return None;
        }
        let role = |field: &str| text(&change.after, &format!("/roleRef/{field}")).to_string();
        let namespace = if role("kind") == "Role" { change.object.namespace.clone() } else { String::new() };
        let named = (role("kind"), namespace, role("name"));
        self.roles.contains(&named).then(|| format!("{}/{}", named.0.to_lowercase(), named.2))
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// What is said of a change that the API server cannot be asked about yet.
fn not_yet(first: &str) -> Line {
    let said = format!("not previewable: this plan makes {first} first; shown as the manifest says");
    Line::new(Level::Unknown, "preview", said)
}

/// Asks the API server what it would make of a change.
///
/// # Errors
/// When it cannot be reached, when the change is forbidden, or when the object is no longer what was read.
pub(super) async fn foresee(
    cluster: &Cluster,
    mut change: Change,
    makes: &Makes,
) -> Result<Foresight, ToolError> {
    let mut request = change.request();
    let mut lines = std::mem::take(&mut change.lines);
    if let Some(first) = makes.needed_by(&change) {
        lines.push(not_yet(&first));
        let (shown, touched) = differences(&change, &change.after);
        return Ok(Foresight { change, request, shown, touched, lines, conflicts: Vec::new() });
    }
    if change.does.enters() {
        let (shown, touched) = (Vec::new(), Vec::new());
        return Ok(Foresight { change, request, shown, touched, lines, conflicts: Vec::new() });
    }
    let mut conflicts = Vec::new();
    let answer = match write::dry_run(cluster, &request).await {
        Ok(Foreseen::Conflicts(found)) => {
            let take_over = match &change.does {
                Does::Apply { take: Take::All, .. } => true,
                Does::Apply { take: Take::From(own), .. } => found.iter().all(|c| own.contains(&c.manager)),
                _ => false,
            };
            lines.extend(conflict_lines(&found, take_over));
            conflicts = found;
            if take_over {
                request.force = true;
                match write::dry_run(cluster, &request).await {
                    Ok(Foreseen::Accepted(answer, warnings)) => Some(Ok((answer, warnings))),
                    Ok(Foreseen::Conflicts(_)) => None,
                    Err(e) => Some(Err(e)),
                }
            } else {
                None
            }
        }
        Ok(Foreseen::Accepted(answer, warnings)) => Some(Ok((answer, warnings))),
        Err(e) => Some(Err(e)),
    };
    let seen = match answer {
        Some(Ok((answer, warnings))) => {
            lines.extend(warnings.iter().map(|w| Line::new(Level::Warning, "warning", w.as_str())));
            lines.extend(additions(&change, &answer));
            complete(&change, answer)
        }
        None => desired(&change),
        Some(Err(ToolError::Stale { message })) => {
            return Err(ToolError::Stale {
                message: format!("{} changed while it was looked at: {message}", change.object),
            });
        }
        Some(Err(ToolError::Forbidden { message })) => {
            let user = cluster.identity().await.map_or_else(|_| "this user".into(), |i| i.user);
            return Err(ToolError::Forbidden { message: format!("{message} (asked as {user})") });
        }
        Some(Err(ToolError::Api { status: 429, message })) if change.does == Does::Evict => {
            lines.push(Line::new(Level::Warning, "pdb", format!("waits: {message}")));
            Value::Null
        }
        Some(Err(ToolError::Api { status, message })) if status < 500 || is_schema_error(&message) => {
            lines.extend(advice(&message).map(|a| Line::new(Level::Warning, "instead", a)));
            lines.push(Line::new(Level::Problem, "refused", message));
            desired(&change)
        }
        // To see whether the binding gives more than the user has, the API server looks for the role.
        Some(Err(ToolError::NotFound { .. })) if makes.role_of(&change).is_some() => {
            lines.extend(makes.role_of(&change).map(|role| not_yet(&role)));
            desired(&change)
        }
        Some(Err(ToolError::NotFound { message, .. })) if change.creates() => {
            lines.push(Line::new(Level::Problem, "refused", message));
            desired(&change)
        }
        Some(Err(e)) => return Err(e),
    };
    let (shown, touched) = differences(&change, &seen);
    if matches!(change.does, Does::Apply { .. }) && conflicts.is_empty() | request.force {
        change.after = seen;
    }
    Ok(Foresight { change, request, shown, touched, lines, conflicts })
}

/// The API server answers 500 to a manifest that does not fit its schema, when it is applied on the server's side.
fn is_schema_error(message: &str) -> bool {
    message.contains("failed to create typed patch object") || message.contains("unknown object type")
}

/// What to do instead about a refusal that people meet often.
fn advice(message: &str) -> Option<&'static str> {
    if message.contains("field is immutable") || message.contains("updates to statefulset spec for fields") {
        Some("this field cannot be changed: delete the object and make it again (its pods stop in between)")
    } else if message.contains("exceeded quota") {
        Some("lower the requests, free some of the quota, or have the quota raised")
    } else if message.contains("is being terminated") {
        Some("wait until the namespace is gone, then ask again")
    } else if message.contains("is immutable") {
        Some("delete the object and make it again under this or another name")
    } else {
        None
    }
}

fn conflict_lines(conflicts: &[Conflict], take_over: bool) -> Vec<Line> {
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    managers
        .iter()
        .map(|manager| {
            let fields: Vec<&str> =
                conflicts.iter().filter(|c| c.manager == *manager).map(|c| c.field.as_str()).collect();
            let fields = fields.join(", ");
            if take_over {
                let said = format!("{fields} from {manager}");
                Line::new(Level::Warning, "takes", said)
            } else {
                Line::new(Level::Problem, "conflict", format!("{manager} manages {fields}"))
            }
        })
        .collect()
}

/// What differs: shown leaf by leaf and masked, kept in the pieces in which it is taken back.
fn differences(change: &Change, seen: &Value) -> (Vec<FieldChange>, Vec<Touched>) {
    if change.removes() {
        return (Vec::new(), Vec::new());
    }
    let secret = change.kind.kind == "Secret" && change.kind.group.is_empty();
    let hide = |mut f: FieldChange| {
        let hidden = |v: Option<Value>| v.map(|_| Value::from(crate::redact::MASK));
        if secret && (f.path.starts_with("/data") || f.path.starts_with("/stringData")) {
            (f.before, f.after) = (hidden(f.before), hidden(f.after));
        }
        f.masked()
    };
    if change.creates() {
        let manifest = match &change.does {
            Does::Apply { manifest, .. } => manifest,
            _ => seen,
        };
        let told =
            |path: &str| !matches!(path, "/apiVersion" | "/kind" | "/metadata/name" | "/metadata/namespace");
        let fields = diff::fields(&json!({}), manifest).into_iter().filter(|f| told(&f.path));
        return (fields.map(hide).collect(), Vec::new());
    }
    let before = before(change);
    let kept = |path: &str, value: Option<&Value>| match value {
        Some(value) if secret => Kept::Sha256(crate::journal::sha256(value.to_string().as_bytes())),
        value => Kept::of(path, value),
    };
    let touched = diff::pieces(&before, seen)
        .iter()
        .map(|c| Touched {
            path: c.path.clone(),
            before: kept(&c.path, c.before.as_ref()),
            after: kept(&c.path, c.after.as_ref()),
        })
        .collect();
    (diff::fields(&before, seen).into_iter().map(hide).collect(), touched)
}

/// Containers and volumes that admission adds to what was asked for.
fn additions(change: &Change, answer: &Value) -> Option<Line> {
    let Does::Apply { manifest, .. } = &change.does else { return None };
    let mut added = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let path = format!("/spec/template/spec/{list}");
        let known = |name: &str| {
            [manifest, &change.live].iter().any(|o| items(o, &path).iter().any(|c| text(c, "/name") == name))
        };
        for container in items(answer, &path).iter().filter(|c| !known(text(c, "/name"))) {
            added.push(format!("{what} {} ({})", text(container, "/name"), text(container, "/image")));
        }
    }
    (!added.is_empty()).then(|| Line::new(Level::Warning, "admission", format!("adds {}", added.join(", "))))
}

/// The object that the API server's answer is compared with: for a scale, its Scale.
fn before(change: &Change) -> Value {
    match change.does {
        Does::Scale { from, .. } => scale_of(change, from),
        _ => change.live.clone(),
    }
}

/// The API server's answer with what it leaves out because it is the zero value: a Scale to 0 comes back without replicas.
fn complete(change: &Change, mut answer: Value) -> Value {
    if let Does::Scale { .. } = change.does
        && answer.pointer("/spec/replicas").is_none()
    {
        answer["spec"]["replicas"] = json!(0);
    }
    answer
}

/// What we asked for, for the diff of a write that the API server refuses.
fn desired(change: &Change) -> Value {
    match change.does {
        Does::Scale { to, .. } => scale_of(change, to),
        _ => change.after.clone(),
    }
}

fn scale_of(change: &Change, replicas: i64) -> Value {
    let meta =
        |field: &str| change.live.pointer(&format!("/metadata/{field}")).cloned().unwrap_or(Value::Null);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"), "resourceVersion": meta("resourceVersion")},
        "spec": {"replicas": replicas},
    })
}
