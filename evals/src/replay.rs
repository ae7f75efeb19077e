//! A scripted OpenAI-compatible model server on the loopback interface.
//!
//! It answers `POST /v1/chat/completions`, as a stream or whole as the request asks, from a
//! [`Script`] or a closure, keeps every request, and fails in the ways in which such servers fail.
//! A request that is not the expected one is answered 599, and so is every later one; the reason
//! is what [`Replay::finish`] returns.

mod cli;
mod gullible;
mod script;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

pub use cli::ReplayArgs;
pub use gullible::{gullible, obey};
pub use script::{Call, Check, Expect, Fault, Script, Style, Then, Turn, Usage};

use crate::loopback::Loopback;
use wire::{Asked, Ending, Wire};

/// A request body beyond this is refused: no test means to send one.
const LARGEST_BODY: usize = 64 << 20;

/// A running scripted server; dropping it stops it, and breaks what is still streaming.
pub struct Replay {
    server: Loopback,
    shared: Arc<Shared>,
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Asking {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// `null` where the body is empty or no JSON.
    pub body: Value,
}

struct Shared {
    source: Source,
    state: Mutex<State>,
}

enum Source {
    Script(Script),
    Closure(Box<dyn Fn(&Value) -> Turn + Send + Sync>),
}

#[derive(Default)]
struct State {
    requests: Vec<Asking>,
    /// How many completions were asked for and answered from the source.
    answered: usize,
    failure: Option<String>,
}

impl Replay {
    /// Serves a script on a free port.
    ///
    /// # Errors
    /// When the server cannot be started.
    pub fn start(script: Script) -> anyhow::Result<Replay> {
        Replay::start_on(0, script)
    }

    /// Serves a script on this port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_on(port: u16, script: Script) -> anyhow::Result<Replay> {
        Replay::serve(port, Source::Script(script))
    }

    /// Serves what a closure makes of each request body; see [`gullible`] for one.
    ///
    /// # Errors
    /// When the server cannot be started.
    pub fn with(model: impl Fn(&Value) -> Turn + Send + Sync + 'static) -> anyhow::Result<Replay> {
        Replay::serve(0, Source::Closure(Box::new(model)))
    }

    fn serve(port: u16, source: Source) -> anyhow::Result<Replay> {
        let shared = Arc::new(Shared { source, state: Mutex::default() });
        let served = Arc::clone(&shared);
        let server = Loopback::start(port, move |request| Arc::clone(&served).handle(request))?;
        Ok(Replay { server, shared })
    }

    /// The base URL for a client: `http://127.0.0.1:PORT/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// Every request so far, of any path, in order.
    pub fn requests(&self) -> Vec<Asking> {
        self.shared.state().requests.clone()
    }

    /// The bodies of the completion requests so far, in order.
    pub fn bodies(&self) -> Vec<Value> {
        let requests = self.requests().into_iter();
        requests.filter(|request| is_completion(&request.method, &request.path)).map(|r| r.body).collect()
    }

    /// Says whether all went as scripted, and stops the server.
    ///
    /// # Errors
    /// The first request that was not the expected one, and turns that nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        let state = self.shared.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        match &self.shared.source {
            Source::Script(script) if state.answered < script.turns.len() => Err(format!(
                "only {} of {} turns were asked for; next would be {:?}",
                state.answered,
                script.turns.len(),
                script.turns[state.answered],
            )),
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Option<Response<Body>> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await.ok()?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let asking = Asking {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body: body.clone(),
        };
        let models = parts.method == Method::GET && asking.path.ends_with("/models");
        let completion = is_completion(&asking.method, &asking.path);
        self.state().requests.push(asking);
        if models {
            let model =
                json!({"id": "scripted", "object": "model", "created": 1_750_000_000, "owned_by": "kai"});
            return Some(whole(200, json!({"object": "list", "data": [model]}).to_string()));
        }
        if !completion {
            return Some(error(404, &format!("no such path: {} {}", parts.method, parts.uri.path())));
        }
        if body.is_null() {
            return Some(error(400, "the request body is not JSON"));
        }
        let (number, turn) = match self.next(&body) {
            Ok(next) => next,
            Err(failure) => return Some(error(599, &failure)),
        };
        respond(&turn, &Asked { body: &body, number }).await
    }

    /// The turn that answers this request, with its position; or why there is none.
    fn next(&self, body: &Value) -> Result<(usize, Turn), String> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let number = state.answered;
        let turn = match &self.source {
            Source::Closure(model) => Ok(model(body)),
            Source::Script(script) => match (script.turns.get(number), script.then) {
                (Some(turn), _) => Ok(turn.clone()),
                (None, Then::Obey) => Ok(obey(body)),
                (None, Then::Repeat) => script.turns.last().cloned().ok_or("the script is empty".to_owned()),
                (None, Then::End) => Err(format!("request {} is beyond the script", number + 1)),
            },
        };
        let turn = turn.and_then(|turn| match turn.objection(body) {
            Some(objection) => Err(format!("request {}: {objection}", number + 1)),
            None => Ok(turn),
        });
        match &turn {
            Ok(_) => state.answered += 1,
            Err(failure) => state.failure = Some(failure.clone()),
        }
        turn.map(|turn| (number, turn))
    }
}

fn is_completion(method: &Method, path: &str) -> bool {
    method == Method::POST && path.ends_with("/chat/completions")
}

async fn respond(turn: &Turn, asked: &Asked<'_>) -> Option<Response<Body>> {
    match &turn.fault {
        Some(Fault::HangUp) => return None,
        Some(Fault::Status { code, retry_after, body }) => {
            let mut response = match body {
                Some(body) => whole(*code, body.clone()),
                None => error(*code, &format!("scripted status {code}")),
            };
            if let Some(value) = retry_after.as_ref().and_then(|text| text.parse().ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            return Some(response);
        }
        _ => {}
    }
    let wire = wire::answer(turn, asked);
    let content_type = wire.content_type;
    let delay = Duration::from_millis(turn.delay_ms);
    let mut response = Response::new(Body::from_stream(pieces(wire, delay)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    Some(response)
}

/// The pieces of a body, each flushed before the next, and then its end.
fn pieces(wire: Wire, delay: Duration) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold(wire.pieces.into_iter(), move |mut left| async move {
        // Pending once, so that what was written so far is on its way before anything breaks.
        tokio::task::yield_now().await;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match (left.next(), wire.ending) {
            (Some(piece), _) => Some((Ok(piece), left)),
            (None, Ending::Close) => None,
            (None, Ending::Break) => Some((Err(std::io::ErrorKind::ConnectionReset.into()), left)),
            (None, Ending::Stall) => std::future::pending().await,
        }
    })
}

fn error(code: u16, message: &str) -> Response<Body> {
    whole(code, json!({"error": {"message": message, "type": "scripted", "code": code}}).to_string())
}

fn whole(code: u16, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
