//! What a scripted model says: turns, the faults among them, and what is expected of each request.
//!
//! The same data is a YAML or JSON file, or built in Rust:
//!
//! ```yaml
//! turns:
//!   - fault: {status: {code: 429, retry_after: "0"}}
//!   - expect: {last: scale backend, tools: [scale]}
//!     calls: [{name: scale, arguments: {workload: backend, replicas: 3}}]
//!   - text: backend has 3 replicas now.
//! then: repeat
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole conversation as the model sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// One turn for each request, in order. A turn that is a fault uses up one request too.
    pub turns: Vec<Turn>,
    /// What follows the last turn.
    pub then: Then,
}

/// What follows the last turn of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Nothing: another request is a failure of the test.
    #[default]
    End,
    /// The last turn again, for ever.
    Repeat,
    /// The model obeys whatever it reads: see [`obey`](super::obey).
    Obey,
}

/// One answer of the model, or one way in which it fails to answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    /// What the request must look like; otherwise the server answers 599 from then on.
    pub expect: Option<Expect>,
    pub text: Option<String>,
    /// Sent as `reasoning_content` ahead of the text.
    pub reasoning: Option<String>,
    pub calls: Vec<Call>,
    /// Default: `tool_calls` when there are calls, otherwise `stop`.
    pub finish_reason: Option<String>,
    /// Default: about one token for four bytes.
    pub usage: Option<Usage>,
    /// A server that does not report token use at all.
    pub no_usage: bool,
    pub fault: Option<Fault>,
    /// Milliseconds of silence ahead of each event of the stream, or ahead of the whole answer.
    pub delay_ms: u64,
    /// Whose habits the stream has.
    pub style: Style,
    /// A check in Rust: the request body, or why it is wrong.
    #[serde(skip)]
    pub check: Option<Check>,
}

/// A tool call of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    pub name: String,
    /// JSON, or a string that is sent as it is: malformed arguments are a string.
    pub arguments: Value,
    /// Default: `call_<turn>_<position>`.
    pub id: Option<String>,
    /// Further fields of the call, such as Gemini's `extra_content`; an object.
    pub extra: Option<Value>,
}

/// Token use as the server reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// What goes wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// This status instead of an answer, with an OpenAI error object, or `body` as it is.
    Status {
        code: u16,
        /// The `Retry-After` header, as it is.
        #[serde(default)]
        retry_after: Option<String>,
        #[serde(default)]
        body: Option<String>,
    },
    /// The connection closes before a single byte of an answer.
    HangUp,
    /// The connection breaks after so many bytes of the body.
    Cut { after: usize },
    /// The stream ends properly, without a finish reason and `[DONE]`; a whole JSON lacks its last byte.
    Unfinished,
    /// Nothing more comes after so many bytes of the body, and the connection stays open.
    Stall { after: usize },
    /// A chunk (or the whole body) is not JSON.
    BadJson,
    /// Status 200, and an `error` object where the answer should be: in the stream after the first words.
    Error { message: String },
    /// Status 200 and the page of some other server.
    Html,
}

/// Habits in which OpenAI-compatible servers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Id and name in the first delta of a call, arguments in pieces.
    #[default]
    Openai,
    /// A whole call in one delta without `index` and `id`, and the finish reason `stop`.
    Gemini,
    /// `finish_reason: ""` where others say `null`.
    Deepseek,
    /// Id and name in every delta of a call.
    RepeatedNames,
}

/// What a request must look like. All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The last message contains this.
    pub last: Option<String>,
    /// The last message has this role.
    pub role: Option<String>,
    /// Some message contains this.
    pub anywhere: Option<String>,
    /// Each of these is in some message.
    pub all: Vec<String>,
    /// The whole request nowhere contains any of these.
    pub absent: Vec<String>,
    /// These tools are offered.
    pub tools: Vec<String>,
    /// These tools are not offered.
    pub no_tools: Vec<String>,
}

/// A check in Rust over a request body.
#[derive(Clone)]
pub struct Check(Arc<Judge>);

type Judge = dyn Fn(&Value) -> Result<(), String> + Send + Sync;

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check(..)")
    }
}

impl Script {
    /// These turns, and nothing after them.
    pub fn new(turns: impl IntoIterator<Item = Turn>) -> Script {
        Script { turns: turns.into_iter().collect(), then: Then::End }
    }

    /// The same with another end.
    pub fn then(mut self, then: Then) -> Script {
        self.then = then;
        self
    }

    /// Reads a script from YAML or JSON text.
    ///
    /// # Errors
    /// When the text is neither, or has a field that no script has.
    pub fn parse(text: &str) -> anyhow::Result<Script> {
        serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("not a script: {error}"))
    }
}

impl Turn {
    /// The model says this.
    pub fn text(text: impl Into<String>) -> Turn {
        Turn { text: Some(text.into()), ..Turn::default() }
    }

    /// The model calls one tool; `arguments` as in [`Call::arguments`].
    pub fn call(name: impl Into<String>, arguments: Value) -> Turn {
        Turn::calls([Call::new(name, arguments)])
    }

    /// The model calls these tools at once.
    pub fn calls(calls: impl IntoIterator<Item = Call>) -> Turn {
        Turn { calls: calls.into_iter().collect(), ..Turn::default() }
    }

    /// The server fails so, with nothing to say.
    pub fn fault(fault: Fault) -> Turn {
        Turn::default().with_fault(fault)
    }

    /// The server answers this status and an error object.
    pub fn status(code: u16) -> Turn {
        Turn::fault(Fault::Status { code, retry_after: None, body: None })
    }

    /// The server answers 429 with this `Retry-After`.
    pub fn busy(retry_after: impl Into<String>) -> Turn {
        Turn::fault(Fault::Status { code: 429, retry_after: Some(retry_after.into()), body: None })
    }

    /// The same answer, going wrong.
    pub fn with_fault(mut self, fault: Fault) -> Turn {
        self.fault = Some(fault);
        self
    }

    /// The same answer in another server's habits.
    pub fn with_style(mut self, style: Style) -> Turn {
        self.style = style;
        self
    }

    /// The same answer with this finish reason.
    pub fn with_finish_reason(mut self, reason: impl Into<String>) -> Turn {
        self.finish_reason = Some(reason.into());
        self
    }

    /// The same answer with so many milliseconds ahead of each event.
    pub fn with_delay_ms(mut self, delay_ms: u64) -> Turn {
        self.delay_ms = delay_ms;
        self
    }

    /// The same answer, given only to such a request.
    pub fn expecting(mut self, expect: Expect) -> Turn {
        self.expect = Some(expect);
        self
    }

    /// The same answer, given only to a request whose last message contains `text`.
    pub fn after(self, text: impl Into<String>) -> Turn {
        self.expecting(Expect { last: Some(text.into()), ..Expect::default() })
    }

    /// The same answer, given only to a request that this accepts.
    pub fn checking(mut self, check: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static) -> Turn {
        self.check = Some(Check(Arc::new(check)));
        self
    }

    /// Why a request is not the expected one, if it is not.
    pub(super) fn objection(&self, body: &Value) -> Option<String> {
        let objection = self.expect.as_ref().and_then(|expect| expect.objection(body));
        objection.or_else(|| self.check.as_ref().and_then(|check| (check.0)(body).err()))
    }
}

impl Call {
    /// A call of `name`; a string as `arguments` is sent as it is.
    pub fn new(name: impl Into<String>, arguments: Value) -> Call {
        Call { name: name.into(), arguments, ..Call::default() }
    }

    /// The arguments as they are sent.
    pub(super) fn arguments_text(&self) -> String {
        match &self.arguments {
            Value::String(raw) => raw.clone(),
            Value::Null => "{}".to_owned(),
            json => json.to_string(),
        }
    }
}

impl Expect {
    fn objection(&self, body: &Value) -> Option<String> {
        let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let last = messages.last().cloned().unwrap_or_default();
        let offered: Vec<&str> = body["tools"].as_array().map_or(vec![], |tools| {
            tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect()
        });
        if let Some(text) = self.last.as_ref().filter(|text| !content(&last).contains(text.as_str())) {
            return Some(format!("the last message lacks {text:?}: {last}"));
        }
        if let Some(role) = self.role.as_ref().filter(|role| last["role"] != role.as_str()) {
            return Some(format!("the last message is not of role {role:?}: {last}"));
        }
        if let Some(text) = &self.anywhere
            && !messages.iter().any(|message| content(message).contains(text.as_str()))
        {
            return Some(format!("no message contains {text:?}"));
        }
        let said = |text: &&String| messages.iter().any(|message| content(message).contains(text.as_str()));
        if let Some(text) = self.all.iter().find(|text| !said(text)) {
            return Some(format!("no message contains {text:?}: {last}"));
        }
        if let Some(text) = self.absent.iter().find(|text| body.to_string().contains(text.as_str())) {
            return Some(format!("the request contains {text:?}"));
        }
        if let Some(name) = self.tools.iter().find(|name| !offered.contains(&name.as_str())) {
            return Some(format!("tool {name:?} is not offered, only {offered:?}"));
        }
        let unwanted = self.no_tools.iter().find(|name| offered.contains(&name.as_str()));
        unwanted.map(|name| format!("tool {name:?} is offered"))
    }
}

/// The text of a message, whether its content is a string or a list of parts.
pub(super) fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
