//! Everything that kai reads from the API server, with a deadline on each request and a few careful repeats.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kube::client::Body;
use serde_json::Value;

use super::Cluster;
use super::guard::Stopped;
use crate::error::ToolError;
use crate::object::{ApiKind, is_object_name, text};
use crate::sanitize;

/// How long one read may take before it is given up.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a whole list of a large cluster may take.
const BULK_DEADLINE: Duration = Duration::from_secs(60);
/// How often a read is sent at most.
const TRIES: u32 = 3;
/// Longest pause that a server can ask for.
const PAUSE_CAP: Duration = Duration::from_secs(5);
/// What one page of a list holds.
const PAGE: usize = 500;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub labels: Option<String>,
    pub fields: Option<String>,
    /// Stop after this many objects; all when `None`.
    pub limit: Option<usize>,
    /// Where to go on: the `page` of an earlier answer.
    pub page: Option<String>,
    /// What to keep of each object; all of it when `None`. Keeps memory small where lists are long.
    pub keep: Option<fn(&Value) -> Value>,
}

/// Objects of a list, and where to go on when there are more.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub items: Vec<Value>,
    pub next: Option<String>,
    /// How many are left, when the server says so.
    pub remaining: Option<i64>,
    pub resource_version: String,
}

/// An answer of the API server: status, and the body as it came.
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
    /// What the API server warns of, in its words.
    pub warnings: Vec<String>,
    /// When it answered, by its own clock.
    pub date: Option<jiff::Timestamp>,
}

impl Cluster {
    /// One GET, as JSON.
    ///
    /// # Errors
    /// [`ToolError`] for each way in which a read can fail; `NotFound` when the server answers 404.
    pub async fn get(&self, path: &str) -> Result<Value, ToolError> {
        self.get_as(path, "application/json").await
    }

    /// One GET with a given `Accept`, as JSON (for server-side tables and aggregated discovery).
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value, ToolError> {
        let body = self.fetch(path, accept).await?;
        serde_json::from_slice(&body).map_err(|e| ToolError::Unreachable {
            message: format!(
                "the answer to {} is not JSON ({e}): is this a Kubernetes API server?",
                sanitize::line(path)
            ),
        })
    }

    /// One GET, as it comes (logs).
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn fetch(&self, path: &str, accept: &str) -> Result<Bytes, ToolError> {
        let mut pause = Duration::from_millis(200);
        for attempt in 1.. {
            let answer = self.send(Method::GET, path, accept, None, DEADLINE).await?;
            let again = matches!(answer.status.as_u16(), 429 | 500 | 502 | 503 | 504);
            if again && attempt < TRIES {
                tokio::time::sleep(answer.retry_after.unwrap_or(pause).min(PAUSE_CAP)).await;
                pause *= 2;
                continue;
            }
            return if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(&answer)) };
        }
        unreachable!("the loop ends by returning")
    }

    /// One object.
    ///
    /// # Errors
    /// As [`Cluster::get`]; `Invalid` when `name` cannot be a name.
    pub async fn object(&self, kind: &ApiKind, namespace: &str, name: &str) -> Result<Value, ToolError> {
        if !is_object_name(name) || (kind.namespaced && !is_object_name(namespace)) {
            let shown = sanitize::line(name);
            return Err(ToolError::Invalid(format!("`{shown}` cannot be the name of a {}", kind.singular)));
        }
        self.get(&kind.path(namespace, name)).await
    }

    /// One object, or `None` when there is none of that name.
    ///
    /// # Errors
    /// As [`Cluster::object`], but for `NotFound`.
    pub async fn find(
        &self,
        kind: &ApiKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ToolError> {
        match self.object(kind, namespace, name).await {
            Ok(found) => Ok(Some(found)),
            Err(ToolError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Objects of a kind, in one namespace or in all, page by page up to the limit. Items carry no `kind` of their own.
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn list(
        &self,
        kind: &ApiKind,
        namespace: Option<&str>,
        what: &Listing,
    ) -> Result<Listed, ToolError> {
        let mut all = Listed { next: what.page.clone(), ..Listed::default() };
        loop {
            let left = what.limit.map_or(PAGE, |l| l.saturating_sub(all.items.len()).clamp(1, PAGE));
            let mut query = vec![format!("limit={left}")];
            let mut add = |key: &str, value: &Option<String>| {
                if let Some(value) = value {
                    query.push(format!("{key}={}", encode(value)));
                }
            };
            add("labelSelector", &what.labels);
            add("fieldSelector", &what.fields);
            add("continue", &all.next);
            let mut page = self.get(&format!("{}?{}", kind.collection(namespace), query.join("&"))).await?;
            all.resource_version = text(&page, "/metadata/resourceVersion").to_string();
            all.next = Some(text(&page, "/metadata/continue").to_string()).filter(|c| !c.is_empty());
            all.remaining = page.pointer("/metadata/remainingItemCount").and_then(Value::as_i64);
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                match what.keep {
                    Some(keep) => all.items.extend(found.iter().map(keep)),
                    None => all.items.extend(found),
                }
            }
            if all.next.is_none() || what.limit.is_some_and(|l| all.items.len() >= l) {
                return Ok(all);
            }
        }
    }

    /// All objects of a kind in a namespace.
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn all(&self, kind: &ApiKind, namespace: &str) -> Result<Vec<Value>, ToolError> {
        Ok(self.list(kind, Some(namespace), &Listing::default()).await?.items)
    }

    /// Asks the API server a question about ourselves (`SelfSubject...Review`): a POST that stores nothing.
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn self_review(&self, path: &str, review: &Value) -> Result<Value, ToolError> {
        let body = Bytes::from(review.to_string());
        let answer = self
            .send(Method::POST, &format!("/apis/{path}"), "application/json", Some(body), DEADLINE)
            .await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|e| ToolError::Unreachable {
            message: format!("the answer to a review is not JSON: {e}"),
        })
    }

    /// Asks the API server what somebody else may do (`SubjectAccessReview`): a POST that stores nothing.
    ///
    /// # Errors
    /// As [`Cluster::get`]; `Forbidden` for most people, who may only ask about themselves.
    pub async fn subject_review(&self, review: &Value) -> Result<Value, ToolError> {
        self.self_review("authorization.k8s.io/v1/subjectaccessreviews", review).await
    }

    /// A whole list as it comes, and the server's clock. Not repeated: a diagnosis says what it could not read.
    ///
    /// # Errors
    /// As [`Cluster::get`].
    pub async fn bulk(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<(Bytes, Option<jiff::Timestamp>), ToolError> {
        let answer = self.send(Method::GET, path, accept, None, BULK_DEADLINE).await?;
        if answer.status.is_success() { Ok((answer.body, answer.date)) } else { Err(refusal(&answer)) }
    }

    /// Sends one request, once, and gives the answer whatever its status.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<Bytes>,
        deadline: Duration,
    ) -> Result<Answer, ToolError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, accept)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::USER_AGENT, concat!("kai/", env!("CARGO_PKG_VERSION")))
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|_| ToolError::Invalid(format!("`{}` is not a path", sanitize::line(path))))?;
        self.exchange(request, deadline).await
    }

    /// Sends a request as it is and reads the whole answer within the deadline.
    pub(super) async fn exchange(
        &self,
        request: Request<Body>,
        deadline: Duration,
    ) -> Result<Answer, ToolError> {
        let exchange = async {
            let response = self.0.client.send(request).await.map_err(|e| transport(&e))?;
            let status = response.status();
            let retry_after = response
                .headers()
                .get(http::header::RETRY_AFTER)
                .and_then(|v| v.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let warnings = response
                .headers()
                .get_all(http::header::WARNING)
                .iter()
                .filter_map(|v| v.to_str().ok()?.split_once('"')?.1.rsplit_once('"'))
                .map(|(said, _)| sanitize::line(&said.replace("\\\"", "\"")))
                .collect();
            let date = response
                .headers()
                .get(http::header::DATE)
                .and_then(|v| jiff::fmt::rfc2822::parse(v.to_str().ok()?).ok())
                .map(|d| d.timestamp());
            let body = response.into_body().collect_bytes().await.map_err(|e| transport(&e))?;
            Ok(Answer { status, retry_after, body, warnings, date })
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|_| {
            Err(ToolError::Unreachable {
                message: format!("{} did not answer within {} s", self.0.server, deadline.as_secs()),
            })
        })
    }
}

/// What an answer with an error status means, in the API server's words.
pub(super) fn refusal(answer: &Answer) -> ToolError {
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let said = match text(&status, "/message") {
        "" => String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned(),
        message => message.to_string(),
    };
    let message = crate::redact::text(&sanitize::line(crate::report::bounded(&said, 1000).trim()));
    match answer.status.as_u16() {
        401 => ToolError::Login {
            message: "the API server does not accept these credentials (401 Unauthorized)".into(),
            hint: "Log in again with your cluster's own tool, or choose another context.".into(),
        },
        403 => ToolError::Forbidden { message },
        404 => ToolError::NotFound { message, similar: Vec::new() },
        409 => ToolError::Stale { message },
        code => ToolError::Api { status: code, message },
    }
}

/// What a failed exchange means. The guard's own refusals are told apart from a broken network.
pub(super) fn transport(error: &kube::Error) -> ToolError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut deepest = error.to_string();
    while let Some(e) = cause {
        if let Some(stopped) = e.downcast_ref::<Stopped>() {
            return ToolError::Refused { message: stopped.to_string(), hint: String::new() };
        }
        deepest = e.to_string();
        cause = e.source();
    }
    let message = crate::redact::text(&sanitize::line(&deepest));
    match error {
        kube::Error::Auth(_) => ToolError::Login {
            message: format!("the credentials cannot be used: {message}"),
            hint: "Log in again with your cluster's own tool.".into(),
        },
        _ => ToolError::Unreachable { message },
    }
}

/// Percent-encodes a query value.
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
