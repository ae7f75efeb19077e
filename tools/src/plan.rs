//! What would change, as data. A plan does nothing and promises nothing: `review` previews it, asks, and writes.

use serde_json::{Value, json};

use crate::diff;
use crate::object::{ApiKind, ObjectRef, number, text};

/// What one request would change: one or more writes, made in order, approved once.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One line: what will be different.
    pub title: String,
    pub changes: Vec<Change>,
    /// What the reader should know: how names were understood, what was left alone and why.
    pub notes: Vec<String>,
    /// The journal id of the plan that this one takes back.
    pub undoes: Option<String>,
}

/// One write to one object that exists.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: ApiKind,
    pub object: ObjectRef,
    pub does: Does,
    /// The object as it was read: the diff, the owners and the preconditions come from it.
    pub live: Value,
    /// The object as it should be.
    pub after: Value,
    pub undo: UndoBy,
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
}

/// How a change is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum UndoBy {
    /// The changed fields get their old values, which the journal keeps.
    Fields,
    /// The pod template comes back from the object that still holds it, so that the journal need not keep it:
    /// `replicaset/backend-5d4f` or `controllerrevision/db-7c`.
    Template(ObjectRef),
}

impl Change {
    /// Bytes and address of the write: a merge patch with the uid and resourceVersion that were looked at, so that
    /// another object of that name, or a newer state, is refused by the API server (409).
    pub fn request(&self) -> WriteRequest {
        let subresource = if matches!(self.does, Does::Scale { .. }) { "/scale" } else { "" };
        let mut patch = match self.does {
            Does::Scale { to, .. } => json!({"spec": {"replicas": to}}),
            _ => diff::merge_patch(&self.live, &self.after),
        };
        if let Some(map) = patch.as_object_mut() {
            let metadata = map.entry("metadata").or_insert_with(|| json!({}));
            metadata["uid"] = json!(text(&self.live, "/metadata/uid"));
            metadata["resourceVersion"] = json!(text(&self.live, "/metadata/resourceVersion"));
        }
        WriteRequest {
            method: "PATCH".into(),
            path: format!("{}{subresource}", self.kind.path(&self.object.namespace, &self.object.name)),
            content_type: "application/merge-patch+json".into(),
            body: patch,
        }
    }

    /// The resource and subresource that the user must be allowed to patch.
    pub fn resource(&self) -> (&str, &str) {
        (&self.kind.plural, if matches!(self.does, Does::Scale { .. }) { "scale" } else { "" })
    }

    /// How many pods the change adds at most (negative: takes away).
    pub fn added_pods(&self) -> i64 {
        let replicas = |v: &Value| number(v, "/spec/replicas").unwrap_or(1);
        match self.does {
            Does::Scale { from, to } => to - from,
            Does::Restore => replicas(&self.after) - replicas(&self.live),
            _ => 0,
        }
    }

    /// Whether the pods are replaced by new ones.
    pub fn replaces_pods(&self) -> bool {
        self.live.pointer("/spec/template") != self.after.pointer("/spec/template")
            && self.after.pointer("/spec/paused").and_then(Value::as_bool) != Some(true)
    }
}

/// A write as it will leave, without its query.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRequest {
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub body: Value,
}

impl WriteRequest {
    /// The same write without the state that it was based on: what an approval is about. (The uid stays: the same name
    /// on another object is another write.)
    pub fn essence(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("resourceVersion");
        }
        json!({"method": self.method, "path": self.path, "contentType": self.content_type, "body": body})
    }
}
