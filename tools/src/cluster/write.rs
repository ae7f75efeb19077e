//! The only place that writes to a cluster. It takes a write and the [`Licence`] that `review` makes for an approved
//! one, turns them into a one-shot permit for exactly those bytes, and sends them once: never twice.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};
use kube::client::Body;
use serde_json::Value;

use super::Cluster;
use super::guard::Permit;
use super::read::refusal;
use crate::error::ToolError;
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

/// What the API server would make of the write: all of admission, nothing stored.
pub(crate) async fn dry_run(cluster: &Cluster, write: &WriteRequest) -> Result<Value, ToolError> {
    let request = build(write, "dryRun=All&")?;
    let answer = cluster.exchange(request, DEADLINE).await?;
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|e| ToolError::Unreachable { message: format!("the answer to a dry run is not JSON: {e}") })
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
    let uri: Uri = format!("{}?{dry_run}fieldManager=kai&fieldValidation=Strict", write.path)
        .parse()
        .map_err(invalid)?;
    Request::builder()
        .method(Method::from_bytes(write.method.as_bytes()).unwrap_or(Method::PATCH))
        .uri(uri)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, write.content_type.as_str())
        .header(http::header::USER_AGENT, concat!("kai/", env!("CARGO_PKG_VERSION")))
        .body(Body::from(write.body.to_string().into_bytes()))
        .map_err(|_| ToolError::Invalid("the write cannot be put into a request".into()))
}
