//! A language model behind any OpenAI-compatible endpoint, through async-openai with our own lenient types: what
//! servers really send differs from the protocol's letter.

mod thoughts;
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

    /// One clean line of what an endpoint said, without secrets and without this key, which some endpoints repeat.
    fn hide(&self, text: &str) -> String {
        let text = if self.0.len() < 6 { text.to_string() } else { text.replace(&self.0, "(key)") };
        kai_tools::redact::text(&kai_tools::sanitize::line(&text))
    }

    /// The text of an error in whichever shape it comes.
    fn message_of(&self, error: &Value) -> String {
        let text = error
            .as_str()
            .or_else(|| error.get("message")?.as_str())
            .map_or_else(|| error.to_string(), str::to_string);
        self.hide(&text.chars().take(300).collect::<String>())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Where a model answers, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub base_url: String,
    pub key: Key,
    pub model: String,
    /// Whether answers are streamed.
    pub stream: bool,
    /// How long the endpoint may be silent.
    pub silence: Duration,
    /// Whether it takes only the simplest schemas.
    pub plain_schemas: bool,
}

/// A model on an endpoint.
pub struct OpenAi {
    client: Client<OpenAIConfig>,
    endpoint: Endpoint,
    /// Marks tool output, so that its text cannot pretend to have ended. New in each run.
    fence: String,
}

impl OpenAi {
    /// A client for an endpoint. Sends nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(endpoint: Endpoint) -> Result<Self, ModelError> {
        let base_url = endpoint.base_url.trim().trim_end_matches('/').to_string();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kai/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // Later than our own, which speaks more clearly; this one also covers the wait for the head.
            .read_timeout(endpoint.silence + Duration::from_secs(1))
            // A redirect would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none());
        if base_url.starts_with("http://") {
            // No certificates are needed, and on an image without any their lack is no failure. What travels in the
            // clear stays on this machine: it does not go through a proxy.
            builder = builder.tls_certs_only([]).no_proxy();
        }
        let http = builder.build().map_err(|e| ModelError::Settings(format!("no HTTP client: {e}")))?;
        // The library reads these from the environment; they belong to OpenAI, and this may be another endpoint.
        let config = OpenAIConfig::new().with_org_id("").with_project_id("");
        let config = config.with_api_base(&base_url).with_api_key(endpoint.key.0.clone());
        let transport = Transport::new(http.clone(), endpoint.key.clone());
        let client = Client::build(http, config).with_http_service(transport);
        let now = jiff::Timestamp::now().as_nanosecond();
        let fence =
            kai_tools::journal::sha256(format!("{now}{}", std::process::id()).as_bytes())[..10].to_string();
        Ok(Self { client, endpoint: Endpoint { base_url, ..endpoint }, fence })
    }

    /// The model's name and where it answers.
    pub fn name(&self) -> String {
        let host = self
            .endpoint
            .base_url
            .parse::<http::Uri>()
            .ok()
            .and_then(|u| u.host().map(str::to_string))
            .unwrap_or_default();
        format!("{} at {host}", self.endpoint.model)
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
        let messages = wire::messages(system, conversation, &self.fence);
        let mut request = json!({"model": self.endpoint.model, "messages": messages});
        if !tools.is_empty() {
            request["tools"] = wire::tools(tools, self.endpoint.plain_schemas);
        }
        let sent = request.to_string().len() as u64;
        let mut reply = self.answer(request, show).await?;
        if reply.usage == Usage::default() {
            let calls: usize = reply.calls.iter().map(|c| c.arguments.len() + c.name.len()).sum();
            reply.usage =
                Usage { input: sent / 4, output: (reply.text.len() + calls) as u64 / 4, estimated: true };
        }
        if reply.text.trim().is_empty() && reply.calls.is_empty() {
            return Err(ModelError::Empty("neither text nor a tool call".into()));
        }
        wire::name_calls(&mut reply.calls, conversation.messages.len());
        Ok(reply)
    }

    /// One answer. What broke off before anybody saw a word of it is asked for once more.
    async fn answer(
        &self,
        mut request: Value,
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        request["stream"] = json!(self.endpoint.stream);
        if self.endpoint.stream {
            request["stream_options"] = json!({"include_usage": true});
        }
        let mut shown = false;
        for again in [true, false] {
            let mut show = |text: &str| {
                shown |= !text.is_empty();
                show(text);
            };
            let answer = match self.endpoint.stream {
                true => self.streamed(&request, &mut show).await,
                false => self.whole(&request, &mut show).await,
            };
            match answer {
                Err(ModelError::Truncated(why)) if again && !shown => {
                    tracing::info!(why, "the answer broke off; asking once more");
                }
                // Some endpoints do not know the option, and report token use without it or not at all.
                Err(ModelError::Refused { status: 400 | 422, message })
                    if again && message.contains("stream_options") =>
                {
                    request.as_object_mut().map(|r| r.shift_remove("stream_options"));
                }
                answer => return answer,
            }
        }
        unreachable!("the second answer is returned")
    }

    async fn streamed(
        &self,
        request: &Value,
        show: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, ModelError> {
        let chat = self.client.chat();
        let mut stream = chat.create_stream_byot::<_, Value>(request).await.map_err(|e| self.failure(&e))?;
        let mut assembly = Assembly::default();
        loop {
            // reqwest's own timeout is about bytes; keep-alive comments are bytes too.
            let Ok(next) = tokio::time::timeout(self.endpoint.silence, stream.next()).await else {
                return Err(ModelError::Stalled);
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|e| self.broken(&e))?;
            if let Some(error) = chunk.get("error").filter(|e| !e.is_null()) {
                let message = self.endpoint.key.message_of(error);
                return Err(ModelError::Refused { status: 200, message });
            }
            let text = assembly.push(&chunk);
            if !text.is_empty() {
                show(&text);
            }
        }
        let rest = assembly.rest();
        if !rest.is_empty() {
            show(&rest);
        }
        assembly.finish()
    }

    async fn whole(&self, request: &Value, show: &mut (dyn FnMut(&str) + Send)) -> Result<Reply, ModelError> {
        let answer: Value = self.client.chat().create_byot(request).await.map_err(|e| self.failure(&e))?;
        if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
            let message = self.endpoint.key.message_of(error);
            return Err(ModelError::Refused { status: 200, message });
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
        let answer: Value = self.client.models().list_byot().await.map_err(|e| self.failure(&e))?;
        let names = answer.get("data").and_then(Value::as_array).into_iter().flatten();
        Ok(names.filter_map(|m| m.get("id")?.as_str()).map(kai_tools::sanitize::line).collect())
    }

    /// What a failed request means.
    fn failure(&self, error: &OpenAIError) -> ModelError {
        match error {
            OpenAIError::Boxed(e) => match e.downcast_ref::<Answered>() {
                Some(answered) => answered.0.clone(),
                None => ModelError::Unreachable(self.endpoint.key.hide(&e.to_string())),
            },
            OpenAIError::Reqwest(e) => transport::lost(e, &self.endpoint.key),
            other => self.broken(other),
        }
    }

    /// What an error in the middle of an answer means.
    fn broken(&self, error: &OpenAIError) -> ModelError {
        let hide = |text: &str| self.endpoint.key.hide(text);
        match error {
            OpenAIError::JSONDeserialize(e, body) => {
                let start = hide(&body.chars().take(120).collect::<String>());
                ModelError::Malformed(format!("{e}; it says: {start}"))
            }
            OpenAIError::StreamError(_) => ModelError::Truncated(
                "the connection was lost, or the answer is longer than kai reads".into(),
            ),
            other => ModelError::Truncated(hide(&other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
