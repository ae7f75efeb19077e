//! What would change, as data. A plan does nothing and promises nothing: `review` previews it, asks, and writes.

pub(crate) mod drain;
pub(crate) mod remake;

use serde_json::{Value, json};

use crate::cluster::read::encode;
use crate::cluster::resolve::Resolved;
use crate::diff;
use crate::object::{ApiKind, ObjectRef, number, text};
use crate::review::Line;

/// What one request would change: one or more writes, made in order, approved once.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One line: what will be different.
    pub title: String,
    /// What must be typed where a decision wants a name; chosen from the changes when empty.
    pub name: String,
    pub changes: Vec<Change>,
    /// What the reader should know: how names were understood, what was left alone and why.
    pub notes: Vec<String>,
    /// The journal id of the plan that this one takes back.
    pub undoes: Option<String>,
}

/// One write to one object.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: ApiKind,
    pub object: ObjectRef,
    pub does: Does,
    /// The object as it was read: the diff, the owners and the preconditions come from it. Null when there is none.
    pub live: Value,
    /// The object as it should be. Null when it goes away.
    pub after: Value,
    pub undo: UndoBy,
    /// Changes of a later tier begin when those of the earlier ones are as they should be.
    pub tier: u32,
    /// Workloads that must be ready before this is written: of the same plan, or on the cluster.
    pub needs: Vec<ObjectRef>,
    /// What the tool that planned it has to say about it.
    pub lines: Vec<Line>,
}

/// The kind of a change, for what must be looked at and waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Does {
    Scale {
        from: i64,
        to: i64,
    },
    Restart,
    Rollback {
        to_revision: i64,
    },
    Pause,
    Resume,
    /// Fields go back to what they were before a plan.
    Restore,
    /// Chosen fields of an object that exists get other values.
    Set,
    /// Server-side apply: makes the object when there is none. Fields of other managers are taken only when that was
    /// asked for, and the preview then names them.
    Apply {
        manifest: Value,
        take: Take,
    },
    /// The object goes away, and what it owns with it.
    Delete,
    /// The pod is asked to leave its node; a disruption budget may say no for now.
    Evict,
    /// A command runs inside a container of the pod; the object stays what it is.
    Exec {
        container: String,
        command: Vec<String>,
    },
    /// Connections to a local port go to a port of the pod, until the person ends it; the object stays what it is.
    Forward {
        port: u16,
        local: u16,
    },
}

impl Does {
    /// Whether it goes into a pod instead of changing an object: there is nothing to dry-run or to compare.
    pub fn enters(&self) -> bool {
        matches!(self, Self::Exec { .. } | Self::Forward { .. })
    }
}

/// From which other managers a server-side apply takes fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Take {
    Nothing,
    /// Only from these, and only when no other manager is met: the same owner under another name.
    From(Vec<String>),
    All,
}

/// How a change is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum UndoBy {
    /// The changed fields get their old values, which the journal keeps.
    Fields,
    /// The pod template comes back from the object that still holds it, so that the journal need not keep it:
    /// `replicaset/backend-5d4f` or `controllerrevision/db-7c`.
    Template(ObjectRef),
    /// What was made is deleted.
    Delete,
    /// What was deleted is made anew from what the journal keeps: the same spec under another uid, without its status.
    Remake,
    /// Not possible, for this reason.
    Never(String),
}

impl Change {
    /// Fields of an existing object as they should be.
    pub fn set(target: Resolved, after: Value) -> Self {
        let Resolved { kind, object, live, .. } = target;
        Self::of(kind, object, Does::Set, live, after, UndoBy::Fields)
    }

    /// Server-side apply of a manifest; `live` is the object of that name, when there is one.
    pub fn apply(
        kind: ApiKind,
        namespace: &str,
        live: Option<Value>,
        manifest: Value,
        take_over: bool,
    ) -> Self {
        let take = if take_over { Take::All } else { Take::Nothing };
        let object = kind.object(namespace, text(&manifest, "/metadata/name"));
        let undo = if live.is_some() { UndoBy::Fields } else { UndoBy::Delete };
        let live = live.unwrap_or_default();
        let after = diff::overlay(&live, &manifest);
        Self::of(kind, object, Does::Apply { manifest, take }, live, after, undo)
    }

    /// Takes an object away.
    pub fn delete(target: Resolved) -> Self {
        let Resolved { kind, object, live, .. } = target;
        let undo = match (kind.group.as_str(), kind.kind.as_str()) {
            ("", "Namespace") => UndoBy::Never("everything in the namespace goes with it".into()),
            ("", "PersistentVolumeClaim" | "PersistentVolume") => {
                UndoBy::Never("the data go with it unless the volume is retained".into())
            }
            ("", "Secret") => UndoBy::Never("the journal keeps no secrets".into()),
            ("", "Pod") => UndoBy::Never("a pod that was deleted does not come back".into()),
            ("apiextensions.k8s.io", _) => UndoBy::Never("all objects of that kind go with it".into()),
            _ if remake::manifest(&live).is_none() => UndoBy::Never(remake::SECRET.into()),
            _ => UndoBy::Remake,
        };
        Self::of(kind, object, Does::Delete, live, Value::Null, undo)
    }

    /// Asks a pod to leave its node.
    pub fn evict(target: Resolved) -> Self {
        let Resolved { kind, object, live, .. } = target;
        let undo = UndoBy::Never("an evicted pod does not come back; its owner makes another".into());
        Self::of(kind, object, Does::Evict, live, Value::Null, undo)
    }

    /// Goes into a pod, and leaves the object as it is.
    pub fn enter(target: Resolved, does: Does, why_for_ever: &str) -> Self {
        let Resolved { kind, object, live, .. } = target;
        let after = live.clone();
        Self::of(kind, object, does, live, after, UndoBy::Never(why_for_ever.into()))
    }

    /// A change with nothing special about it.
    pub fn of(kind: ApiKind, object: ObjectRef, does: Does, live: Value, after: Value, undo: UndoBy) -> Self {
        Self { kind, object, does, live, after, undo, tier: 0, needs: Vec::new(), lines: Vec::new() }
    }

    /// The same change, begun when those of earlier tiers are as they should be.
    pub fn in_tier(self, tier: u32) -> Self {
        Self { tier, ..self }
    }

    /// The same change with something to say about it.
    pub fn with(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Whether there is no such object yet.
    pub fn creates(&self) -> bool {
        self.live.is_null()
    }

    /// Whether the object will be gone.
    pub fn removes(&self) -> bool {
        matches!(self.does, Does::Delete | Does::Evict)
    }

    /// Bytes and address of the write. Every write of an existing object names the uid and the resourceVersion that
    /// were looked at, so that another object of that name, or a newer state, is refused by the API server (409).
    pub fn request(&self) -> WriteRequest {
        let path = self.kind.path(&self.object.namespace, &self.object.name);
        let uid = json!(text(&self.live, "/metadata/uid"));
        let version = json!(text(&self.live, "/metadata/resourceVersion"));
        let guarded = |mut body: Value| {
            if let Some(map) = body.as_object_mut().filter(|_| !self.creates()) {
                let metadata = map.entry("metadata").or_insert_with(|| json!({}));
                metadata["uid"] = uid.clone();
                metadata["resourceVersion"] = version.clone();
            }
            body
        };
        let patch = |path: String, body: Value| WriteRequest {
            method: "PATCH".into(),
            path,
            content_type: "application/merge-patch+json".into(),
            body,
            force: false,
        };
        match &self.does {
            Does::Scale { to, .. } => {
                patch(format!("{path}/scale"), guarded(json!({"spec": {"replicas": to}})))
            }
            Does::Apply { manifest, .. } => WriteRequest {
                // JSON is YAML: the API server wants this name for it.
                content_type: "application/apply-patch+yaml".into(),
                ..patch(path, guarded(manifest.clone()))
            },
            Does::Delete => WriteRequest {
                method: "DELETE".into(),
                path,
                content_type: "application/json".into(),
                body: json!({
                    "apiVersion": "v1", "kind": "DeleteOptions",
                    "propagationPolicy": "Background",
                    "preconditions": {"uid": uid, "resourceVersion": version},
                }),
                force: false,
            },
            Does::Evict => WriteRequest {
                method: "POST".into(),
                path: format!("{path}/eviction"),
                content_type: "application/json".into(),
                // The pod's status moves all the time; who it is does not.
                body: json!({
                    "apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": {"name": self.object.name, "namespace": self.object.namespace},
                    "deleteOptions": {"preconditions": {"uid": uid}},
                }),
                force: false,
            },
            Does::Exec { container, command } => {
                let words: Vec<String> = command.iter().map(|w| format!("command={}", encode(w))).collect();
                let container = encode(container);
                enter(format!(
                    "{path}/exec?container={container}&{}&stdout=true&stderr=true",
                    words.join("&")
                ))
            }
            Does::Forward { port, .. } => enter(format!("{path}/portforward?ports={port}")),
            _ => patch(path, guarded(diff::merge_patch(&self.live, &self.after))),
        }
    }

    /// The verb, resource and subresource that the user must be allowed.
    pub fn right(&self) -> (&'static str, &str, &'static str) {
        let plural = self.kind.plural.as_str();
        match self.does {
            Does::Scale { .. } => ("patch", plural, "scale"),
            Does::Evict => ("create", plural, "eviction"),
            // A WebSocket is opened with a GET, and that is what the API server asks its rules about.
            Does::Exec { .. } => ("get", plural, "exec"),
            Does::Forward { .. } => ("get", plural, "portforward"),
            Does::Delete => ("delete", plural, ""),
            Does::Apply { .. } if self.creates() => ("create", plural, ""),
            _ => ("patch", plural, ""),
        }
    }

    /// How many pods the change adds at most (negative: takes away).
    pub fn added_pods(&self) -> i64 {
        match self.does {
            Does::Scale { from, to } => to - from,
            Does::Restore | Does::Set | Does::Apply { .. } | Does::Delete => {
                self.pods_of(&self.after) - self.pods_of(&self.live)
            }
            _ => 0,
        }
    }

    /// How many pods such an object runs.
    fn pods_of(&self, object: &Value) -> i64 {
        if object.is_null() {
            return 0;
        }
        match self.kind.kind.as_str() {
            "Deployment" | "StatefulSet" | "ReplicaSet" => number(object, "/spec/replicas").unwrap_or(1),
            "Job" => number(object, "/spec/parallelism").unwrap_or(1),
            "Pod" => 1,
            _ => 0,
        }
    }

    /// The replicas that the change asks for; `None` when it leaves them alone.
    pub fn replicas_set(&self) -> Option<i64> {
        let replicas = |v: &Value| number(v, "/spec/replicas");
        match self.does {
            Does::Scale { to, .. } => Some(to),
            _ if self.is_workload() && replicas(&self.live) != replicas(&self.after) => replicas(&self.after),
            _ => None,
        }
    }

    /// Whether the pods are replaced by new ones.
    pub fn replaces_pods(&self) -> bool {
        let template = |v: &Value| v.pointer("/spec/template").cloned();
        matches!(self.kind.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet")
            && !self.live.is_null()
            && !self.after.is_null()
            && template(&self.live) != template(&self.after)
            && !crate::object::is_paused(&self.after)
    }

    /// Whether it runs pods.
    pub fn is_workload(&self) -> bool {
        matches!(self.kind.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
    }
}

/// A connection into a pod: its address says all of it.
fn enter(path: String) -> WriteRequest {
    WriteRequest { method: "GET".into(), path, content_type: String::new(), body: Value::Null, force: false }
}

/// A write as it will leave, without its query.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRequest {
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub body: Value,
    /// Whether a server-side apply takes fields from other managers.
    pub force: bool,
}

impl WriteRequest {
    /// The same write without the state that it was based on: what an approval is about. (The uid stays: the same name
    /// on another object is another write.)
    pub fn essence(&self) -> Value {
        let mut body = self.body.clone();
        for place in ["/metadata", "/preconditions"] {
            if let Some(map) = body.pointer_mut(place).and_then(Value::as_object_mut) {
                map.shift_remove("resourceVersion");
            }
        }
        json!({"method": self.method, "path": self.path, "contentType": self.content_type, "body": body, "force": self.force})
    }
}
