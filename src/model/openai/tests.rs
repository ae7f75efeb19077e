//! A recorded answer, cut at every byte; and a model that never comes to an end.

use kai_evals::replay::{Fault, Replay, Script, Style, Then, Turn};

use super::*;
use crate::agent::{self, AgentError, Execute, Limits};
use crate::conversation::{Message, ToolCall, ToolResult};
use crate::model::Model;

fn model(replay: &Replay, stream: bool) -> OpenAi {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint {
        base_url: replay.url(),
        key: Key::default(),
        model: "scripted".into(),
        stream,
        silence: Duration::from_secs(20),
        plain_schemas: false,
    };
    OpenAi::new(endpoint).unwrap()
}

fn asked() -> Conversation {
    Conversation { messages: vec![Message::User { text: "scale backend to 3".into() }] }
}

#[tokio::test]
async fn an_answer_cut_anywhere_is_whole_or_none() {
    let arguments = json!({"workload": "backend", "replicas": 3, "namespace": "todo"});
    // Small steps that share no factor with the lengths of the pieces; the last cut is behind the last byte.
    for (style, stream, step, to) in
        [(Style::Openai, true, 7, 4800), (Style::Gemini, true, 3, 1500), (Style::Openai, false, 3, 900)]
    {
        let turn = Turn::call("scale", arguments.clone()).with_style(style);
        let (mut whole, mut broken) = (0, 0);
        for after in (0..to).step_by(step) {
            let cut = turn.clone().with_fault(Fault::Cut { after });
            let replay = Replay::start(Script::new([cut]).then(Then::Repeat)).unwrap();
            match model(&replay, stream).reply("s", &asked(), &[], &mut |_| {}).await {
                Ok(reply) => {
                    let given: Vec<Value> =
                        reply.calls.iter().filter_map(|c| serde_json::from_str(&c.arguments).ok()).collect();
                    assert!(
                        given.len() == 1 && given[0] == arguments,
                        "{style:?}, stream {stream}, {after} bytes"
                    );
                    whole += 1;
                }
                Err(ModelError::Truncated(_) | ModelError::Malformed(_)) => broken += 1,
                Err(other) => panic!("{style:?}, stream {stream}, {after} bytes: {other:?}"),
            }
        }
        // A stream says why it ends before its last byte; one document is whole when the connection ends well.
        assert!(
            broken > 100 && (whole > 0) == stream,
            "{style:?}, stream {stream}: {whole} whole, {broken} broken"
        );
    }
}

struct Nothing;

impl Execute for Nothing {
    async fn execute(&mut self, _: &[ToolCall]) -> (Vec<ToolResult>, Option<String>) {
        panic!("nothing was to be carried out");
    }
}

#[tokio::test]
async fn a_model_that_never_comes_to_an_end_is_stopped() {
    let endless = Turn::text("let me check again, ".repeat(1000)).with_delay_ms(20);
    let replay = Replay::start(Script::new([endless])).unwrap();
    let model = Model::OpenAi(Box::new(model(&replay, true)));
    let limits = Limits { time: Duration::from_millis(500), ..Limits::default() };
    let mut shown = String::new();
    let mut show = |text: &str| shown.push_str(text);
    let ended = agent::run(&model, "s", &[], &mut asked(), limits, &mut Nothing, &mut show).await;
    assert!(matches!(ended, Err(AgentError::Budget(_))), "{ended:?}");
    assert!(shown.starts_with("let me"), "{shown}");
}
