//! The HTTP exchange with an endpoint: retries where they are safe, statuses kept, error bodies in any shape.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Body, Client, Response};
use serde_json::{Value, json};
use tower::Service;

use super::Key;
use crate::model::ModelError;

/// How often a request is sent at most. Nothing was shown yet when a request is sent again.
const TRIES: u32 = 4;
/// All tries and pauses together.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest pause that an endpoint can ask for.
const LONGEST_PAUSE: u64 = 60;
/// Most bytes of one answer.
const MOST_BYTES: usize = 8 << 20;
/// Most bytes of one line of a stream. The reader of events looks at a line from its start whenever more of it comes.
const MOST_LINE_BYTES: usize = 512 << 10;
/// Bytes of a refusal that are read: enough for its message.
const REFUSAL_BYTES: usize = 64 << 10;

/// An endpoint's refusal, carried through async-openai's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Answered(pub ModelError);

/// Sends requests with our rules instead of async-openai's, which lose the status of error bodies they cannot parse.
#[derive(Clone)]
pub struct Transport {
    http: Client,
    key: Key,
}

impl Transport {
    pub fn new(http: Client, key: Key) -> Self {
        Self { http, key }
    }

    async fn exchange(&self, factory: &HttpRequestFactory) -> Result<Response, ModelError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(500);
        for attempt in 1.. {
            let request = factory.build().await.map_err(|e| ModelError::Settings(e.to_string()))?;
            let streams = request.body().and_then(Body::as_bytes).is_some_and(asks_for_a_stream);
            let (again, asked, error) = match self.http.execute(request).await {
                Ok(response) if response.status().is_success() => {
                    return self.usable(limited(response, MOST_BYTES), streams).await;
                }
                Ok(response) => self.refusal(limited(response, REFUSAL_BYTES)).await,
                // Only a connection that never came to be is known to have carried nothing.
                Err(e) => (e.is_connect() && !is_tls(&e), None, self.lost(&e)),
            };
            if let Some(seconds) = asked.filter(|s| *s > LONGEST_PAUSE)
                && let ModelError::Refused { status, .. } = error
            {
                return Err(ModelError::Busy { status, seconds });
            }
            let wait = asked.map_or_else(|| jitter(pause), Duration::from_secs);
            if !again || attempt >= TRIES || started.elapsed() + wait > PATIENCE {
                return Err(error);
            }
            tracing::info!(
                attempt,
                wait_ms = wait.as_millis() as u64,
                "the model's endpoint failed; trying again"
            );
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    /// A success that is no answer (a login page, a proxy's notice) is told by its type. Where a stream was asked for
    /// and one document came, the document becomes a stream of one event.
    async fn usable(&self, response: Response, streams: bool) -> Result<Response, ModelError> {
        let kind =
            response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
        if kind.starts_with("text/html") {
            let body = response.text().await.unwrap_or_default();
            let start = self.key.hide(&body.chars().take(200).collect::<String>());
            return Err(ModelError::Malformed(format!("a web page instead of JSON: {start}")));
        }
        if !(streams && kind.starts_with("application/json")) {
            return Ok(response);
        }
        let body = response.text().await.map_err(|e| self.lost(&e))?;
        let document: Value = serde_json::from_str(&body).map_err(|e| {
            let start = self.key.hide(&body.chars().take(120).collect::<String>());
            ModelError::Malformed(format!("{e}; it begins: {start}"))
        })?;
        let head = http::Response::builder().header("content-type", "text/event-stream");
        let events = Body::from(format!("data: {document}\n\ndata: [DONE]\n\n"));
        head.body(events).map(Response::from).map_err(|e| ModelError::Malformed(e.to_string()))
    }

    /// Whether to try again, after how many seconds the endpoint says, and what it said.
    async fn refusal(&self, response: Response) -> (bool, Option<u64>, ModelError) {
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(seconds);
        let body = response.text().await.unwrap_or_default();
        let parsed: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        let error = match &parsed {
            Value::Array(list) => list.first().and_then(|f| f.get("error")),
            other => other.get("error"),
        };
        let message = match error.or(Some(&parsed)).filter(|e| !e.is_null()) {
            Some(error) => self.key.message_of(error),
            None => self.key.hide(&body.chars().take(200).collect::<String>()),
        };
        let said = body.to_lowercase();
        let spent = said.contains("insufficient_quota") || said.contains("exceeded your current quota");
        let again = matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 529) && !spent;
        if matches!(status, 400 | 413 | 422) && TOO_LONG.iter().any(|words| said.contains(words)) {
            return (false, None, ModelError::ContextTooLong(message));
        }
        (again, retry_after, ModelError::Refused { status, message })
    }

    fn lost(&self, error: &reqwest::Error) -> ModelError {
        lost(error, &self.key)
    }
}

/// How endpoints say that a conversation does not fit, in lower case.
const TOO_LONG: [&str; 6] = [
    "context_length_exceeded",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
];

impl Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move {
            transport.exchange(&factory).await.map_err(|e| OpenAIError::Boxed(Box::new(Answered(e))))
        })
    }
}

/// Up to half as long again, so that many clients do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let nanos = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
    pause + pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}

fn asks_for_a_stream(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|request| request["stream"] == json!(true))
}

/// The same response, whose body fails beyond so many bytes: an endless answer must not fill the memory.
fn limited(response: Response, most: usize) -> Response {
    let (status, headers) = (response.status(), response.headers().clone());
    let events = headers.get("content-type").is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    let (mut size, mut line) = (0, 0);
    let body = response.bytes_stream().map_err(std::io::Error::other).map(move |piece| {
        let piece = piece?;
        size += piece.len();
        line = piece.iter().rposition(|b| *b == b'\n').map_or(line + piece.len(), |at| piece.len() - at);
        if size > most || events && line > MOST_LINE_BYTES {
            return Err(std::io::Error::other(format!("it is longer than {} KiB", most >> 10)));
        }
        Ok(piece)
    });
    let mut limited = http::Response::new(Body::wrap_stream(body));
    *limited.status_mut() = status;
    *limited.headers_mut() = headers;
    Response::from(limited)
}

/// Whether the handshake failed: trying again changes nothing about a certificate.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An `io::Error` gives as its source not what it holds, but the source of that.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}

/// What a failed exchange means: nobody there, nothing said in time, or an answer that broke off.
pub fn lost(error: &reqwest::Error, key: &Key) -> ModelError {
    // The URL may carry a key in its query; the innermost cause says enough.
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let said = key.hide(&cause.to_string());
    if error.is_timeout() && !error.is_connect() {
        return ModelError::Stalled;
    }
    if error.is_body() || error.is_decode() {
        ModelError::Truncated(said)
    } else {
        ModelError::Unreachable(said)
    }
}

/// `Retry-After` in seconds: a number, or an HTTP date. Anything else says nothing.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(u64::try_from(at.as_second() - jiff::Timestamp::now().as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after() {
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert!(seconds("Thu, 31 Dec 2099 23:59:59 GMT").is_some_and(|s| s > LONGEST_PAUSE));
        for bad in ["-5", "soon", "", "1.5"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
