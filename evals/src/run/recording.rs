//! What a live model says, kept on its way and said again: a run with a real model that anybody can repeat without one.
//!
//! An answer belongs to the talk that led to it: the instructions, the tools, the sentences and the model's own turns. What
//! tools answered is left out of that, since ages and pod names are other ones each time. When the instructions or a tool's
//! schema change, no answer fits any more, and that is said: such a recording is to be made anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::model::{Heard, calls};
use super::names::Names;
use crate::loopback::Loopback;

/// A request body beyond this is refused.
const LARGEST_BODY: usize = 64 << 20;

/// What a model said in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The namespace that it was made in: it is part of what was said.
    pub namespace: String,
    /// The answers, in order.
    pub answers: Vec<Answer>,
}

/// One answer of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// A hash of the talk that led to it.
    pub to: String,
    /// The status.
    pub status: u16,
    /// The content type.
    pub kind: String,
    /// The body, as it came.
    pub body: String,
}

impl Recording {
    /// The file of the recording of a scenario's n-th run.
    pub fn file(folder: &Path, scenario: &str, run: usize) -> PathBuf {
        match run {
            0 | 1 => folder.join(format!("{scenario}.json")),
            n => folder.join(format!("{scenario}.{n}.json")),
        }
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn read(path: &Path) -> Result<Recording> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("there is no recording {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no recording", path.display()))
    }

    fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The talk that leads to an answer, as a hash.
pub fn key(body: &Value, names: &[(String, String)]) -> String {
    let mut messages = body["messages"].as_array().cloned().unwrap_or_default();
    for message in &mut messages {
        if message["role"] == "tool" {
            message["content"] = Value::Null;
        }
        if message["role"] == "system" {
            // The day is in the instructions, and is another one each day.
            let text = message["content"].as_str().unwrap_or_default().to_owned();
            let kept: Vec<&str> = text.lines().filter(|l| !l.to_lowercase().contains("date")).collect();
            message["content"] = json!(kept.join("\n"));
        }
    }
    let text = json!([messages, body["tools"]]).to_string();
    let text = names.iter().fold(text, |text, (name, instead)| text.replace(name, instead));
    let mut out = String::new();
    for byte in Sha256::digest(text.as_bytes()).iter().take(12) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// A live model with somebody who listens.
pub struct Recorder {
    server: Loopback,
    shared: Arc<Listening>,
}

struct Listening {
    upstream: String,
    client: Client,
    names: Names,
    keep: Option<PathBuf>,
    state: Mutex<Talk>,
}

#[derive(Default)]
struct Talk {
    asked: Vec<Value>,
    recording: Recording,
    tokens: Option<(u64, u64)>,
    objection: Option<String>,
}

impl Recorder {
    /// Listens before an OpenAI-compatible endpoint; keeps what it says in a file.
    ///
    /// # Errors
    /// The server cannot be started.
    pub fn start(upstream: &str, keep: Option<PathBuf>, names: &Names) -> Result<Recorder> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let recording = Recording { namespace: names.namespace.clone(), answers: Vec::new() };
        let shared = Arc::new(Listening {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: Client::new(),
            names: names.clone(),
            keep,
            state: Mutex::new(Talk { recording, ..Talk::default() }),
        });
        let served = Arc::clone(&shared);
        let server = Loopback::start(0, move |request| Arc::clone(&served).pass(request))?;
        Ok(Recorder { server, shared })
    }

    /// The base URL for a client.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// Ends it: the recording is written, and what was heard is told.
    pub fn end(self) -> Heard {
        let mut talk = self.shared.talk();
        if let Some(path) = &self.shared.keep
            && let Err(error) = talk.recording.write(path)
        {
            talk.objection = Some(format!("{error:#}"));
        }
        let asked = std::mem::take(&mut talk.asked);
        Heard { calls: calls(&asked), asked, tokens: talk.tokens, objection: talk.objection.take() }
    }
}

impl Listening {
    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Option<Response<Body>> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await.ok()?;
        let path = parts.uri.path().strip_prefix("/v1").unwrap_or(parts.uri.path()).to_owned();
        let mut onward = self.client.request(parts.method.clone(), format!("{}{path}", self.upstream));
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = parts.headers.get(&name) {
                onward = onward.header(name, value);
            }
        }
        let answer = onward.body(bytes.clone()).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                return Some(plain(502, "text/plain", format!("the endpoint does not answer: {error}")));
            }
        };
        let status = answer.status().as_u16();
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.unwrap_or("application/json").to_owned();
        let text = answer.text().await.ok()?;
        if path.ends_with("/chat/completions") {
            let asked: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let mut talk = self.talk();
            let to = key(&asked, &self.names.plain());
            talk.asked.push(asked);
            if let Some((taken, given)) = usage(&text) {
                let (a, b) = talk.tokens.unwrap_or_default();
                talk.tokens = Some((a + taken, b + given));
            }
            talk.recording.answers.push(Answer { to, status, kind: kind.clone(), body: text.clone() });
        }
        Some(plain(status, &kind, text))
    }
}

/// A recording that is said again.
pub struct Replayed {
    server: Loopback,
    shared: Arc<Saying>,
}

struct Saying {
    recording: Recording,
    names: Names,
    state: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    asked: Vec<Value>,
    times: BTreeMap<String, usize>,
    objection: Option<String>,
}

impl Replayed {
    /// Says a recording again.
    ///
    /// # Errors
    /// The server cannot be started.
    pub fn start(recording: Recording, names: &Names) -> Result<Replayed> {
        let shared = Arc::new(Saying { recording, names: names.clone(), state: Mutex::default() });
        let served = Arc::clone(&shared);
        let server = Loopback::start(0, move |request| Arc::clone(&served).say(request))?;
        Ok(Replayed { server, shared })
    }

    /// The base URL for a client.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// Ends it, and says what was heard.
    pub fn end(self) -> Heard {
        let mut said = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = std::mem::take(&mut said.asked);
        Heard { calls: calls(&asked), asked, tokens: None, objection: said.objection.take() }
    }
}

impl Saying {
    async fn say(self: Arc<Self>, request: Request<Incoming>) -> Option<Response<Body>> {
        let bytes = axum::body::to_bytes(Body::new(request.into_body()), LARGEST_BODY).await.ok()?;
        let asked: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let to = key(&asked, &self.names.plain());
        let mut said = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        said.asked.push(asked);
        let time = said.times.entry(to.clone()).or_default();
        let fitting = self.recording.answers.iter().filter(|answer| answer.to == to).nth(*time);
        *time += 1;
        Some(match fitting {
            Some(answer) => {
                let body = answer.body.replace(&self.recording.namespace, &self.names.namespace);
                plain(answer.status, &answer.kind, body)
            }
            None => {
                let why = "the recording has no answer to this: the instructions, the tools or the talk are others than \
                    when it was made; record it anew";
                said.objection = Some(why.to_owned());
                plain(400, "application/json", json!({"error": {"message": why}}).to_string())
            }
        })
    }
}

fn plain(status: u16, kind: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// The tokens that an answer says it took, streamed or whole.
fn usage(body: &str) -> Option<(u64, u64)> {
    let lines = body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    let whole = std::iter::once(body.trim());
    lines.chain(whole).rev().find_map(|text| {
        let value: Value = serde_json::from_str(text).ok()?;
        let usage = &value["usage"];
        Some((usage["prompt_tokens"].as_u64()?, usage["completion_tokens"].as_u64()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_talk_and_not_to_what_tools_said() {
        let body = |result: &str, tools: Value| json!({"messages": [{"role": "user", "content": "scale a in eval-a-7"}, {"role": "tool", "content": result}], "tools": tools});
        let names = |namespace: &str| vec![(namespace.to_owned(), "NS".to_owned())];
        let one = key(&body("3 pods, 2 minutes old", json!([])), &names("eval-a-7"));
        assert_eq!(one, key(&body("3 pods, 9 minutes old", json!([])), &names("eval-a-7")));
        assert_ne!(
            one,
            key(&body("3 pods", json!([{"name": "scale"}])), &names("eval-a-7")),
            "the tools are others"
        );
    }

    #[test]
    fn tokens_are_read_from_streams_and_from_whole_answers() {
        let stream = "data: {\"choices\":[]}\n\ndata: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n";
        assert_eq!(usage(stream), Some((7, 2)));
        assert_eq!(usage("{\"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": 3}}"), Some((1, 3)));
        assert_eq!(usage("data: [DONE]"), None);
    }
}
