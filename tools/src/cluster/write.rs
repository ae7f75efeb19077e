//! The only place that writes to a cluster. It takes a write and the [`Licence`] that `review` makes for an approved
//! one, turns them into a one-shot permit for exactly those bytes, and sends them once: never twice.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Cluster;
use super::guard::{DryDelete, Permit};
use super::read::refusal;
use crate::error::ToolError;
use crate::object::{items, text};
use crate::plan::WriteRequest;
use crate::review::Licence;

/// How long a write may take before its outcome is unknown.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a write did not succeed.
pub(crate) enum NotWritten {
    /// The API server said no: nothing was changed.
    Refused(ToolError),
    /// No answer came back: it may have been done. Read before saying anything.
    Unknown(ToolError),
}

/// A field that somebody else manages, which a server-side apply would have to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conflict {
    pub manager: String,
    pub field: String,
}

/// What the API server would make of a write.
pub(crate) enum Foreseen {
    /// The object as it would be, and the API server's warnings.
    Accepted(Value, Vec<String>),
    /// Nothing, unless these fields are taken from their managers.
    Conflicts(Vec<Conflict>),
}

/// What the API server would make of the write: all of admission, nothing stored.
pub(crate) async fn dry_run(cluster: &Cluster, write: &WriteRequest) -> Result<Foreseen, ToolError> {
    let request = if write.method == "DELETE" {
        let mut dry = write.clone();
        dry.body["dryRun"] = json!(["All"]);
        let mut request = build(&dry, "")?;
        request.extensions_mut().insert(DryDelete(Bytes::from(dry.body.to_string())));
        request
    } else {
        build(write, "dryRun=All&")?
    };
    let answer = cluster.exchange(request, DEADLINE).await?;
    if !answer.status.is_success() {
        let conflicts = conflicts(&answer.body);
        return if conflicts.is_empty() { Err(refusal(&answer)) } else { Ok(Foreseen::Conflicts(conflicts)) };
    }
    serde_json::from_slice(&answer.body)
        .map(|object| Foreseen::Accepted(object, answer.warnings))
        .map_err(|e| ToolError::Unreachable { message: format!("the answer to a dry run is not JSON: {e}") })
}

/// The fields that a refused server-side apply would have to take, and from whom.
fn conflicts(body: &[u8]) -> Vec<Conflict> {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    items(&status, "/details/causes")
        .iter()
        .filter(|c| text(c, "/reason") == "FieldManagerConflict")
        .map(|c| {
            // conflict with "kubectl-client-side-apply" using apps/v1
            let message = text(c, "/message");
            let manager = message.split('"').nth(1).unwrap_or(message);
            let field = text(c, "/field").trim_start_matches('.');
            Conflict {
                manager: crate::sanitize::line(manager),
                field: crate::sanitize::line(&field.replace("k:{\"name\":", "").replace("\"}", "\"")),
            }
        })
        .collect()
}

/// Sends the write, once.
pub(crate) async fn send(
    cluster: &Cluster,
    write: &WriteRequest,
    _licence: &Licence,
) -> Result<Value, NotWritten> {
    let mut request = build(write, "").map_err(NotWritten::Refused)?;
    let body = Bytes::from(write.body.to_string());
    let permit = Permit::new(request.method().clone(), request.uri().clone(), body);
    request.extensions_mut().insert(permit);
    let answer = match cluster.exchange(request, DEADLINE).await {
        Ok(answer) => answer,
        Err(e @ (ToolError::Refused { .. } | ToolError::Login { .. })) => return Err(NotWritten::Refused(e)),
        Err(e) => return Err(NotWritten::Unknown(e)),
    };
    match answer.status.as_u16() {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|e| {
            NotWritten::Unknown(ToolError::Unreachable {
                message: format!("the answer to a write is not JSON: {e}"),
            })
        }),
        // A gateway's 5xx says nothing about what the API server behind it did.
        500..=599 => Err(NotWritten::Unknown(refusal(&answer))),
        _ => Err(NotWritten::Refused(refusal(&answer))),
    }
}

fn build(write: &WriteRequest, dry_run: &str) -> Result<Request<Body>, ToolError> {
    let invalid = |_| ToolError::Invalid(format!("`{}` is not a path", crate::sanitize::line(&write.path)));
    let query = match write.method.as_str() {
        "DELETE" => String::new(),
        _ if write.force => format!("?{dry_run}fieldManager=kai&fieldValidation=Strict&force=true"),
        _ => format!("?{dry_run}fieldManager=kai&fieldValidation=Strict"),
    };
    let uri: Uri = format!("{}{query}", write.path).parse().map_err(invalid)?;
    Request::builder()
        .method(Method::from_bytes(write.method.as_bytes()).unwrap_or(Method::PATCH))
        .uri(uri)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, write.content_type.as_str())
        .header(http::header::USER_AGENT, concat!("kai/", env!("CARGO_PKG_VERSION")))
        .body(Body::from(write.body.to_string().into_bytes()))
        .map_err(|_| ToolError::Invalid("the write cannot be put into a request".into()))
}
