//! What a test may do to a request on its way: let it pass, hold it up, answer in its stead, lose it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::Recorded;

/// What is asked about each request before it is forwarded.
pub(super) type Hook = Arc<dyn Fn(&Recorded) -> Action + Send + Sync>;

/// What becomes of a request.
#[non_exhaustive]
pub enum Action {
    /// It goes to the API server, and the answer comes back.
    Forward,
    /// It never reaches the API server; this answer comes back.
    Answer(Denial),
    /// It never reaches the API server, and the connection closes without an answer.
    DropBefore,
    /// It reaches the API server, which answers; the connection closes without that answer.
    DropAfter,
    /// It is held up so long, and then forwarded.
    Delay(Duration),
    /// It goes to the API server with this added to its query, such as a `labelSelector`: of a list, only that part
    /// comes back.
    Narrow(String),
    /// This runs to its end first, and then it is forwarded; see [`Action::after`].
    After(BoxFuture<'static, ()>),
}

/// An answer of the API server's kind: a status and a `Status` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub code: u16,
    /// Machine-readable, such as `Conflict` or `Forbidden`.
    pub reason: String,
    pub message: String,
    /// The `Retry-After` header, in seconds.
    pub retry_after: Option<u32>,
}

impl Action {
    /// Answers with this status, and a `Status` object of this reason and message.
    pub fn answer(code: u16, reason: impl Into<String>, message: impl Into<String>) -> Action {
        Action::Answer(Denial { code, reason: reason.into(), message: message.into(), retry_after: None })
    }

    /// Lets something happen in the gap before the request is forwarded.
    pub fn after(work: impl Future<Output = ()> + Send + 'static) -> Action {
        Action::After(work.boxed())
    }
}

impl Denial {
    pub(super) fn response(&self) -> Response<Body> {
        let mut details = json!({});
        if let Some(seconds) = self.retry_after {
            details["retryAfterSeconds"] = json!(seconds);
        }
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": details, "code": self.code,
        });
        let mut response = Response::new(Body::from(status.to_string()));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut set = |name: HeaderName, value| response.headers_mut().insert(name, value);
        set(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            set(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
