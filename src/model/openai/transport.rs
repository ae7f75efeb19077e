//! The HTTP exchange with an endpoint: retries where they are safe, statuses kept, error bodies in any shape.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest::{Client, Response};
use serde_json::Value;
use tower::Service;

use crate::model::ModelError;

/// How often a request is sent at most. Nothing was shown yet when a request is sent again.
const TRIES: u32 = 4;
/// All tries and pauses together.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest pause that an endpoint can ask for.
const LONGEST_PAUSE: u64 = 60;

/// An endpoint's refusal, carried through async-openai's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Answered(pub ModelError);

/// Sends requests with our rules instead of async-openai's, which lose the status of error bodies they cannot parse.
#[derive(Clone)]
pub struct Transport {
    http: Client,
}

impl Transport {
    pub fn new(http: Client) -> Self {
        Self { http }
    }
}

impl Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let http = self.http.clone();
        Box::pin(async move {
            exchange(&http, &factory).await.map_err(|e| OpenAIError::Boxed(Box::new(Answered(e))))
        })
    }
}

async fn exchange(http: &Client, factory: &HttpRequestFactory) -> Result<Response, ModelError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(500);
    for attempt in 1.. {
        let request = factory.build().await.map_err(|e| ModelError::Settings(e.to_string()))?;
        let failed = match http.execute(request).await {
            Ok(response) if response.status().is_success() => return usable(response).await,
            Ok(response) => refusal(response).await,
            Err(e) if e.is_connect() || e.is_timeout() => (true, None, unreachable(&e)),
            Err(e) => (false, None, unreachable(&e)),
        };
        let (again, asked, error) = failed;
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

/// Up to half as long again, so that many clients do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let nanos = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
    pause + pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}

/// A success that is no answer (a login page, a proxy's notice) is told by its type.
async fn usable(response: Response) -> Result<Response, ModelError> {
    let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
    if kind.starts_with("text/html") {
        let body = response.text().await.unwrap_or_default();
        let start: String = body.chars().take(200).collect();
        return Err(ModelError::Malformed(format!(
            "a web page instead of JSON: {}",
            kai_tools::sanitize::line(&start)
        )));
    }
    Ok(response)
}

/// Whether to try again, after how many seconds the endpoint says, and what it said.
async fn refusal(response: Response) -> (bool, Option<u64>, ModelError) {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(seconds);
    let body = response.text().await.unwrap_or_default();
    let parsed: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    let error = match &parsed {
        Value::Array(list) => list.first().and_then(|f| f.get("error")),
        other => other.get("error"),
    };
    let message = match error.or(Some(&parsed)).filter(|e| !e.is_null()) {
        Some(error) => message_of(error),
        None => kai_tools::sanitize::line(&body.chars().take(200).collect::<String>()),
    };
    let spent = message.contains("insufficient_quota") || message.contains("exceeded your current quota");
    let again = matches!(status, 408 | 409 | 429 | 500 | 502 | 503 | 504 | 529) && !spent;
    (again, retry_after, ModelError::Refused { status, message: kai_tools::redact::text(&message) })
}

/// The text of an error in whichever shape it comes.
pub fn message_of(error: &Value) -> String {
    let text = error
        .as_str()
        .or_else(|| error.get("message")?.as_str())
        .map_or_else(|| error.to_string(), str::to_string);
    kai_tools::sanitize::line(&text.chars().take(300).collect::<String>())
}

/// `Retry-After` in seconds: a number, or an HTTP date. Anything else says nothing.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(u64::try_from(at.as_second() - jiff::Timestamp::now().as_second()).unwrap_or(0))
}

fn unreachable(error: &reqwest::Error) -> ModelError {
    // The URL may carry a key in its query; the innermost cause says enough.
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    ModelError::Unreachable(kai_tools::redact::text(&kai_tools::sanitize::line(&cause.to_string())))
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
