//! One request through the proxy: kept, shown to the hook, sent on with other credentials, answered.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::hook::{Action, Denial, Hook};
use super::kubeconfig::Upstream;
use super::recorded::Recorded;

/// A request body beyond this is refused; the API server itself takes 3 MiB.
const LARGEST_BODY: usize = 16 << 20;

/// What belongs to one connection, and is not passed on.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

pub(super) struct Shared {
    pub upstream: Upstream,
    /// Whether the bodies of answers are kept.
    pub answers: bool,
    /// Gets one JSON line for each answered request.
    pub log: Option<Mutex<std::fs::File>>,
    pub record: Mutex<Record>,
    pub hook: Mutex<Option<Hook>>,
}

#[derive(Default)]
pub(super) struct Record {
    pub requests: Vec<Recorded>,
    /// How many requests there were, those cleared included.
    pub count: u64,
}

impl Shared {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn handle(self: Arc<Self>, mut request: Request<Incoming>) -> Option<Response<Body>> {
        let switched = hyper::upgrade::on(&mut request);
        let (mut parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await.ok()?;
        let recorded = self.keep(&parts, &body);
        let (seq, upgrade) = (recorded.seq, recorded.upgrade);
        let response = match self.ask(recorded).await {
            Action::Answer(denial) => Some(denial.response()),
            Action::DropBefore => None,
            Action::DropAfter if upgrade => None,
            Action::Forward if upgrade => Some(self.switch(&parts, switched).await),
            Action::Forward => Some(self.forward(&parts, body, seq).await),
            Action::Narrow(more) => {
                let joint = if parts.uri.query().is_some() { '&' } else { '?' };
                match format!("{}{joint}{more}", parts.uri).parse() {
                    Ok(uri) => {
                        parts.uri = uri;
                        Some(self.forward(&parts, body, seq).await)
                    }
                    Err(error) => Some(denial(400, "BadRequest", &format!("{more}: {error}"))),
                }
            }
            Action::Delay(time) => {
                tokio::time::sleep(time).await;
                Some(self.forward(&parts, body, seq).await)
            }
            Action::After(work) => {
                work.await;
                Some(self.forward(&parts, body, seq).await)
            }
            Action::DropAfter => {
                // To the last byte, so that what was asked for has surely happened.
                let response = self.forward(&parts, body, seq).await;
                let _ = axum::body::to_bytes(response.into_body(), usize::MAX).await;
                None
            }
        };
        self.answered(seq, response.as_ref().map(|response| response.status().as_u16()));
        response
    }

    /// Puts a request on record.
    fn keep(&self, parts: &Parts, body: &Bytes) -> Recorded {
        let mut record = self.record();
        let kept = |name: &HeaderName| {
            [header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT].contains(name)
                || name.as_str().starts_with("impersonate-")
        };
        let mut headers = std::collections::BTreeMap::<String, String>::new();
        for (name, value) in parts.headers.iter().filter(|(name, _)| kept(name)) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let all = headers.entry(name.as_str().to_owned()).or_default();
            *all = if all.is_empty() { value.into_owned() } else { format!("{all},{value}") };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let recorded = Recorded {
            seq: record.count,
            time_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers,
            authorized: parts.headers.contains_key(header::AUTHORIZATION),
            upgrade: parts.headers.contains_key(header::UPGRADE),
            body: body.to_vec(),
            status: None,
            answer: Vec::new(),
        };
        record.count += 1;
        record.requests.push(recorded.clone());
        recorded
    }

    /// What the hook wants, asked on a thread where it may block.
    async fn ask(&self, recorded: Recorded) -> Action {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(hook) = hook else { return Action::Forward };
        let asked = tokio::task::spawn_blocking(move || hook(&recorded)).await;
        asked.unwrap_or_else(|_| Action::answer(500, "InternalError", "the hook of the proxy panicked"))
    }

    /// The answer of the API server; its body is passed on as it comes.
    async fn forward(self: &Arc<Self>, parts: &Parts, body: Bytes, seq: u64) -> Response<Body> {
        let url = format!("{}{}", self.upstream.server, parts.uri);
        let mut headers = passed_on(&parts.headers);
        headers.remove(header::AUTHORIZATION);
        if self.answers {
            // What is kept should be readable.
            headers.remove(header::ACCEPT_ENCODING);
        }
        if let Some(authorization) = &self.upstream.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let request = self.upstream.client.request(parts.method.clone(), url).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return denial(502, "BadGateway", &format!("no answer from upstream: {error:?}")),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = passed_on(answer.headers());
        let shared = Arc::clone(self);
        let stream = answer.bytes_stream().inspect_ok(move |piece| shared.keep_answer(seq, piece));
        *response.body_mut() = Body::from_stream(stream);
        response
    }

    /// A connection that switches protocols: from the answer on, bytes go both ways until one side ends.
    async fn switch(&self, parts: &Parts, switched: OnUpgrade) -> Response<Body> {
        let mut headers = passed_on(&parts.headers);
        headers.remove(header::AUTHORIZATION);
        if let Some(authorization) = &self.upstream.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        restore_switch(&parts.headers, &mut headers);
        let url = format!("{}{}", self.upstream.server, parts.uri);
        let answer =
            match self.upstream.client.request(parts.method.clone(), url).headers(headers).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    return denial(502, "BadGateway", &format!("no answer from upstream: {error:?}"));
                }
            };
        let (status, mut headers) = (answer.status(), passed_on(answer.headers()));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            restore_switch(answer.headers(), &mut headers);
            tokio::spawn(async move {
                if let (Ok(mut above), Ok(below)) = (answer.upgrade().await, switched.await) {
                    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(below), &mut above).await;
                }
            });
        } else {
            *response.body_mut() = Body::from_stream(answer.bytes_stream());
        }
        *response.headers_mut() = headers;
        response
    }

    fn keep_answer(&self, seq: u64, piece: &Bytes) {
        if self.answers
            && let Some(recorded) = self.record().of(seq)
        {
            recorded.answer.extend_from_slice(piece);
        }
    }

    /// Puts the status of an answer on record, and the request in the log; `None` when there is no answer.
    fn answered(&self, seq: u64, status: Option<u16>) {
        let mut record = self.record();
        let Some(recorded) = record.of(seq) else { return };
        recorded.status = status;
        if let Some(log) = &self.log
            && let Ok(line) = serde_json::to_string(recorded)
        {
            // A full disk must not change what the client sees.
            let _ = writeln!(log.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        }
    }
}

impl Record {
    fn of(&mut self, seq: u64) -> Option<&mut Recorded> {
        self.requests.iter_mut().rev().find(|recorded| recorded.seq == seq)
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}

/// What of one connection is about switching protocols, and so is meant for both.
fn restore_switch(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [header::CONNECTION, header::UPGRADE] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

fn denial(code: u16, reason: &str, message: &str) -> Response<Body> {
    Denial { code, reason: reason.to_owned(), message: message.to_owned(), retry_after: None }.response()
}
