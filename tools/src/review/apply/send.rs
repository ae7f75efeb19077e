//! One write, sent once; doubt resolved by reading.

use serde_json::Value;

use super::super::{Licence, Step};
use crate::cluster::Cluster;
use crate::cluster::write::{self, NotWritten};
use crate::diff;
use crate::error::ToolError;
use crate::journal::StepOutcome;
use crate::object::text;
use crate::plan::Does;

/// What came of one write.
pub(super) struct Sent {
    pub outcome: StepOutcome,
    /// Of what was written.
    pub uid: String,
    pub error: Option<ToolError>,
}

impl Sent {
    pub fn done(uid: &str) -> Self {
        Self { outcome: StepOutcome::Done, uid: uid.into(), error: None }
    }

    /// Nothing was changed, for this reason.
    pub fn not(error: ToolError) -> Self {
        Self { outcome: StepOutcome::NotDone, uid: String::new(), error: Some(error) }
    }

    /// A disruption budget says no for now: nothing was done, and the same may be asked again.
    pub fn is_held(&self, does: &Does) -> bool {
        *does == Does::Evict && matches!(self.error, Some(ToolError::Api { status: 429, .. }))
    }
}

/// Sends the write of a step, once.
pub(super) async fn send(cluster: &Cluster, step: &Step) -> Sent {
    let change = &step.change;
    if change.creates() {
        // A server-side apply cannot say "only if there is none": somebody may have made it since.
        match cluster.find(&change.kind, &change.object.namespace, &change.object.name).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let message = format!("{} was made by somebody else in the meantime", change.object);
                return Sent::not(ToolError::Stale { message });
            }
            Err(e) => return Sent::not(e),
        }
    }
    match write::send(cluster, &step.request, &Licence(())).await {
        Ok(written) => Sent::done(text(&written, "/metadata/uid")),
        // Gone already is what was asked for.
        Err(NotWritten::Refused(ToolError::NotFound { .. })) if change.removes() => Sent::done(""),
        // Another pod of that name: the one that was asked to leave has left.
        Err(NotWritten::Refused(e @ ToolError::Stale { .. })) if change.does == Does::Evict => {
            read_back(cluster, step, e).await
        }
        Err(NotWritten::Refused(e)) => Sent::not(e),
        Err(NotWritten::Unknown(e)) => read_back(cluster, step, e).await,
    }
}

/// No answer came: the object itself says whether the write was done.
async fn read_back(cluster: &Cluster, step: &Step, error: ToolError) -> Sent {
    let unknown = |error| Sent { outcome: StepOutcome::Unknown, uid: String::new(), error: Some(error) };
    let change = &step.change;
    let uid = text(&change.live, "/metadata/uid");
    let now = match cluster.find(&change.kind, &change.object.namespace, &change.object.name).await {
        Ok(now) => now.unwrap_or_default(),
        Err(_) => return unknown(error),
    };
    let done = Sent::done(text(&now, "/metadata/uid"));
    let is = |value: &Value, at: &str| text(value, at) == text(&change.live, at);
    if change.removes() {
        let leaving = now.pointer("/metadata/deletionTimestamp").is_some();
        return if now.is_null() || text(&now, "/metadata/uid") != uid || leaving {
            done
        } else {
            Sent::not(error)
        };
    }
    if change.creates() {
        return match now {
            Value::Null => Sent::not(error),
            _ => done,
        };
    }
    let holds = step.touched.iter().all(|t| t.after.is(diff::at(&now, &t.path)));
    if is(&now, "/metadata/uid") && is(&now, "/metadata/resourceVersion") {
        Sent::not(error)
    } else if holds {
        done
    } else {
        unknown(error)
    }
}
