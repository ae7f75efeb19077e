//! A question to a program behind a Service, through the API server: one GET, once, with an end to time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;

use super::Cluster;
use super::read::transport;
use crate::error::ToolError;
use crate::sanitize;

/// What came of it. Whoever answers is not trusted: nothing is concluded from the answer here.
pub(crate) enum Said {
    /// Status and body, of the program or of the API server in its place.
    Answer(StatusCode, Bytes),
    /// Nothing in time.
    Late,
    /// More than was to be read.
    TooMuch,
    /// An answer that broke off, and how.
    Broken(String),
}

impl Cluster {
    /// Asks; `path` must be on the guard's list. The body is read up to `most` bytes.
    ///
    /// # Errors
    /// When the API server itself cannot be reached, or the guard stops it.
    pub(crate) async fn ask(&self, path: &str, most: usize, deadline: Duration) -> Result<Said, ToolError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::USER_AGENT, concat!("kai/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|_| ToolError::Invalid(format!("`{}` is not a path", sanitize::line(path))))?;
        let exchange = async {
            let response = self.0.client.send(request).await.map_err(|e| transport(&e))?;
            let status = response.status();
            match Limited::new(response.into_body(), most).collect().await {
                Ok(body) => Ok(Said::Answer(status, body.to_bytes())),
                Err(e) if e.is::<LengthLimitError>() => Ok(Said::TooMuch),
                // Whoever answers can do this; it says nothing of the API server.
                Err(e) => Ok(Said::Broken(crate::redact::text(&sanitize::line(&e.to_string())))),
            }
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Ok(Said::Late))
    }
}
