//! A language model behind any OpenAI-compatible endpoint, through async-openai with our own lenient types: what
//! servers really send differs from the protocol's letter.

mod transport;
mod wire;

use std::fmt;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use futures::StreamExt;
use serde_json::{Value, json};

use super::{ModelError, Reply, ToolSpec, Usage};
use crate::conversation::Conversation;
use transport::{Answered, Transport};
use wire::Assembly;

/// Most bytes of one answer.
const MOST_BYTES: usize = 8 << 20;

/// An API key: it can be sent, and not shown.
#[derive(Clone, Default)]
pub struct Key(String);

impl Key {
    /// Checks and keeps a key.
    ///
    /// # Errors
    /// When it holds characters that no header can carry.
    pub fn new(key: String) -> Result<Self, ModelError> {
        let key = key.trim().to_string();
        if key.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(key))
        } else {
            Err(ModelError::Settings(
                "the API key holds characters that cannot be sent (a space or a line end?)".into(),
            ))
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// An endpoint and the model on it.
pub struct OpenAi {
    client: Client<OpenAIConfig>,
    model: String,
    base_url: String,
    stream: bool,
    /// How long the endpoint may be silent.
    silence: Duration,
    /// Marks tool output, so that its text cannot pretend to have ended. New in each run.
    fence: String,
}

impl OpenAi {
    /// A client for an endpoint. Sends nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        base_url: &str,
        key: Key,
        model: &str,
        stream: bool,
        silence: Duration,
    ) -> Result<Self, ModelError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("kai/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(silence)
            // A redirect would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ModelError::Settings(format!("no HTTP client: {e}")))?;
        let base_url = base_url.trim_end_matches('/').to_string();
        let config = OpenAIConfig::new().with_api_base(&base_url).with_api_key(key.0);
        let client = Client::build(http.clone(), config).with_http_service(Transport::new(http));
        let now = jiff::Timestamp::now().as_nanosecond();
        let fence =
            kai_tools::journal::sha256(format!("{now}{}", std::process::id()).as_bytes())[..10].to_string();
        Ok(Self { client, model: model.into(), base_url, stream, silence, fence })
    }

    /// The model's name and where it answers.
    pub fn name(&self) -> String {
        let host = self
            .base_url
            .parse::<http::Uri>()
            .ok()
            .and_then(|u| u.host().map(str::to_string))
            .unwrap_or_default();
        format!("{} at {host}", self.model)
    }

    /// Answers a conversation.
    ///
    /// # Errors
    /// As [`super::Model::reply`].
    pub async fn reply(
        &self,
        system: &str,
        conversation: &Conversation,
        tools: &[ToolSpec],
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        let mut request =
            json!({"model": self.model, "messages": wire::messages(system, conversation, &self.fence)});
        if !tools.is_empty() {
            request["tools"] = wire::tools(tools);
        }
        let sent = request.to_string().len() as u64;
        let mut reply =
            if self.stream { self.streamed(request, show).await? } else { self.whole(request, show).await? };
        if reply.usage == Usage::default() {
            let calls: usize = reply.calls.iter().map(|c| c.arguments.len() + c.name.len()).sum();
            reply.usage =
                Usage { input: sent / 4, output: (reply.text.len() + calls) as u64 / 4, estimated: true };
        }
        if reply.text.trim().is_empty() && reply.calls.is_empty() {
            return Err(ModelError::Empty("neither text nor a tool call".into()));
        }
        Ok(reply)
    }

    async fn streamed(
        &self,
        mut request: Value,
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        request["stream"] = json!(true);
        request["stream_options"] = json!({"include_usage": true});
        let mut stream =
            self.client.chat().create_stream_byot::<_, Value>(request).await.map_err(|e| failure(&e))?;
        let mut assembly = Assembly::default();
        let mut bytes = 0;
        loop {
            // reqwest's own read timeout is about bytes; keep-alive comments are bytes too.
            let Ok(next) = tokio::time::timeout(self.silence, stream.next()).await else {
                return Err(ModelError::Truncated(format!("nothing came for {} s", self.silence.as_secs())));
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|e| broken(&e))?;
            if let Some(error) = chunk.get("error").filter(|e| !e.is_null()) {
                return Err(ModelError::Refused { status: 200, message: transport::message_of(error) });
            }
            bytes += chunk.to_string().len();
            if bytes > MOST_BYTES {
                return Err(ModelError::Malformed("more than 8 MiB in one answer".into()));
            }
            let text = assembly.push(&chunk);
            if !text.is_empty() {
                show(&text);
            }
        }
        assembly.finish()
    }

    async fn whole(
        &self,
        mut request: Value,
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        request["stream"] = json!(false);
        let answer: Value = self.client.chat().create_byot(request).await.map_err(|e| failure(&e))?;
        if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
            return Err(ModelError::Refused { status: 200, message: transport::message_of(error) });
        }
        let reply = wire::whole(&answer)?;
        if !reply.text.is_empty() {
            show(&reply.text);
        }
        Ok(reply)
    }

    /// The models that the endpoint lists: a test of address and key.
    ///
    /// # Errors
    /// As the endpoint answers.
    pub async fn list(&self) -> Result<Vec<String>, ModelError> {
        let answer: Value = self.client.models().list_byot().await.map_err(|e| failure(&e))?;
        let names = answer.get("data").and_then(Value::as_array).into_iter().flatten();
        Ok(names.filter_map(|m| m.get("id")?.as_str()).map(kai_tools::sanitize::line).collect())
    }
}

/// What a failed request means.
fn failure(error: &OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(e) => match e.downcast_ref::<Answered>() {
            Some(answered) => answered.0.clone(),
            None => ModelError::Unreachable(plain(&e.to_string())),
        },
        OpenAIError::Reqwest(e) => ModelError::Unreachable(plain(&e.to_string())),
        OpenAIError::JSONDeserialize(e, body) => ModelError::Malformed(format!(
            "{e}; it begins: {}",
            plain(&body.chars().take(120).collect::<String>())
        )),
        other => broken(other),
    }
}

/// What an error in the middle of a stream means.
fn broken(error: &OpenAIError) -> ModelError {
    match error {
        OpenAIError::JSONDeserialize(e, body) => ModelError::Malformed(format!(
            "{e}; it says: {}",
            plain(&body.chars().take(120).collect::<String>())
        )),
        other => ModelError::Truncated(plain(&other.to_string())),
    }
}

fn plain(text: &str) -> String {
    kai_tools::redact::text(&kai_tools::sanitize::line(text))
}
