//! The scripted model server as a client sees it: each answer and each fault, over plain HTTP.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::time::Duration;

use kai_evals::replay::{Call, Expect, Fault, Replay, Script, Style, Then, Turn, Usage, gullible};
use serde_json::{Value, json};

/// What a client got: status, headers, the body as far as it came, and whether it came to an end.
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    bytes: Vec<u8>,
    pieces: usize,
    whole: bool,
}

impl Got {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The data of each event.
    fn events(&self) -> Vec<&str> {
        self.text().split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect()
    }

    /// The events that are JSON.
    fn chunks(&self) -> Vec<Value> {
        self.events().into_iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }

    /// What the deltas say, joined.
    fn said(&self, field: &str) -> String {
        self.chunks()
            .iter()
            .filter_map(|c| c["choices"][0]["delta"][field].as_str().map(str::to_owned))
            .collect()
    }

    fn call_deltas(&self) -> Vec<Value> {
        let chunks = self.chunks();
        chunks
            .iter()
            .map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].clone())
            .filter(Value::is_object)
            .collect()
    }

    fn finish_reasons(&self) -> Vec<Value> {
        self.chunks().iter().map(|c| c["choices"][0]["finish_reason"].clone()).collect()
    }
}

fn client() -> reqwest::Client {
    // Plain HTTP only, yet a client is not built without a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn ask(replay: &Replay, body: &Value) -> Result<Got, reqwest::Error> {
    let request = client().post(format!("{}/chat/completions", replay.url())).bearer_auth("k").json(body);
    let mut response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    let whole = loop {
        // Only a stalled stream waits this long.
        match tokio::time::timeout(Duration::from_secs(2), response.chunk()).await {
            Ok(Ok(Some(piece))) => bytes.extend_from_slice(&piece),
            Ok(Ok(None)) => break true,
            Ok(Err(_)) | Err(_) => break false,
        }
        pieces += 1;
    };
    Ok(Got { status, headers, bytes, pieces, whole })
}

fn user(text: &str, stream: bool) -> Value {
    json!({
        "model": "m", "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": text}],
        "tools": [{"type": "function", "function": {"name": "scale"}}],
    })
}

fn scale() -> Turn {
    Turn::call("scale", json!({"workload": "backend", "replicas": 3}))
}

async fn one(turn: Turn, stream: bool) -> Got {
    let replay = Replay::start(Script::new([turn])).unwrap();
    let got = ask(&replay, &user("scale backend to 3", stream)).await.unwrap();
    replay.finish().unwrap();
    got
}

#[tokio::test]
async fn text_is_whole_or_streamed_in_pieces() {
    let turn = Turn::text("Grüße: backend hat 3 → fertig.");
    let whole = one(turn.clone(), false).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Grüße: backend hat 3 → fertig.");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert!(whole["usage"]["total_tokens"].as_u64().unwrap() > 0);

    let streamed = one(turn, true).await;
    assert_eq!(streamed.headers["content-type"], "text/event-stream");
    assert_eq!(streamed.said("content"), "Grüße: backend hat 3 → fertig.");
    assert!(streamed.pieces > 3, "one piece only");
    assert_eq!(*streamed.events().last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn calls_are_whole_or_assembled_from_deltas() {
    let whole = one(scale(), false).await.json();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"workload":"backend","replicas":3}"#);
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");

    let streamed = one(scale(), true).await;
    let deltas = streamed.call_deltas();
    assert_eq!(deltas[0]["function"]["name"], "scale");
    assert_eq!(deltas[0]["id"], "call_0_0");
    assert!(deltas.len() > 4 && deltas[1..].iter().all(|delta| delta["id"].is_null() && delta["index"] == 0));
    let arguments: String = deltas.iter().map(|d| d["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(arguments, r#"{"workload":"backend","replicas":3}"#);
    assert!(streamed.finish_reasons().contains(&json!("tool_calls")));
}

#[tokio::test]
async fn usage_is_streamed_only_when_asked_for_and_known() {
    let usage = Some(Usage { prompt_tokens: 7, completion_tokens: 5 });
    let reported = one(Turn { usage, ..Turn::text("hi") }, true).await;
    let last = reported.chunks().pop().unwrap();
    assert_eq!((&last["usage"]["total_tokens"], &last["choices"]), (&json!(12), &json!([])));

    let silent = one(Turn { no_usage: true, ..Turn::text("hi") }, true).await;
    assert!(!silent.text().contains("usage"));

    let replay = Replay::start(Script::new([Turn::text("hi")])).unwrap();
    let mut unasked = user("hello", true);
    unasked.as_object_mut().unwrap().remove("stream_options");
    assert!(!ask(&replay, &unasked).await.unwrap().text().contains("usage"));
}

#[tokio::test]
async fn malformed_arguments_and_64_calls_pass_as_they_are() {
    let broken = one(Turn::call("scale", json!(r#"{"workload": "back"#)), false).await.json();
    assert_eq!(
        broken["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
        r#"{"workload": "back"#
    );

    let many =
        Turn::calls((0..64).map(|n| Call::new("get", json!({"kind": "pod", "name": format!("p{n}")}))));
    let streamed = one(many, true).await;
    let mut arguments = vec![String::new(); 64];
    for delta in streamed.call_deltas() {
        let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
        arguments[index].push_str(delta["function"]["arguments"].as_str().unwrap());
    }
    assert_eq!(arguments[63], r#"{"kind":"pod","name":"p63"}"#);
}

#[tokio::test]
async fn other_servers_habits_show_in_the_stream() {
    let gemini = one(scale().with_style(Style::Gemini), true).await;
    let deltas = gemini.call_deltas();
    assert_eq!(deltas.len(), 1);
    assert!(deltas[0]["id"].is_null() && deltas[0]["index"].is_null());
    assert!(gemini.finish_reasons().contains(&json!("stop")));

    let deepseek = one(scale().with_style(Style::Deepseek), true).await;
    assert_eq!(deepseek.finish_reasons()[0], "");

    let repeated = one(scale().with_style(Style::RepeatedNames), true).await;
    assert!(repeated.call_deltas().len() > 3);
    assert!(repeated.call_deltas().iter().all(|delta| delta["function"]["name"] == "scale"));

    let signed = Call {
        extra: Some(json!({"extra_content": {"google": {"thought_signature": "s"}}})),
        ..Call::new("get", json!({}))
    };
    let signed = one(Turn { reasoning: Some("because".into()), ..Turn::calls([signed]) }, true).await;
    assert_eq!(signed.said("reasoning_content"), "because");
    assert_eq!(signed.call_deltas()[0]["extra_content"]["google"]["thought_signature"], "s");
}

#[tokio::test]
async fn a_finish_reason_is_what_the_script_says() {
    let got = one(Turn::text("it was a dark and").with_finish_reason("length"), true).await;
    assert_eq!(
        got.finish_reasons().iter().filter(|reason| reason.is_string()).collect::<Vec<_>>(),
        ["length"]
    );
}

#[tokio::test]
async fn statuses_carry_retry_after_and_their_body() {
    let busy = one(Turn::busy("Wed, 21 Oct 2015 07:28:00 GMT"), true).await;
    assert_eq!(
        (busy.status, &busy.headers["retry-after"]),
        (429, &"Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap())
    );
    for code in [401, 500, 503] {
        let got = one(Turn::status(code), true).await;
        assert_eq!((got.status, &got.json()["error"]["code"]), (code, &json!(code)));
        assert!(!got.headers.contains_key("retry-after"));
    }
    let body = Some("upstream connect error".to_owned());
    let raw = one(Turn::fault(Fault::Status { code: 502, retry_after: None, body }), false).await;
    assert_eq!((raw.status, raw.text()), (502, "upstream connect error"));
}

#[tokio::test]
async fn a_cut_stream_breaks_after_exactly_so_many_bytes() {
    for stream in [true, false] {
        let got = one(scale().with_fault(Fault::Cut { after: 150 }), stream).await;
        assert_eq!((got.status, got.bytes.len(), got.whole), (200, 150, false));
    }
}

#[tokio::test]
async fn an_unfinished_answer_ends_properly_without_its_end() {
    let got = one(scale().with_fault(Fault::Unfinished), true).await;
    assert!(got.whole && !got.text().contains("[DONE]"));
    assert!(got.finish_reasons().iter().all(Value::is_null));
    let got = one(scale().with_fault(Fault::Unfinished), false).await;
    assert!(got.whole && serde_json::from_slice::<Value>(&got.bytes).is_err());
}

#[tokio::test]
async fn a_stalled_stream_says_no_more_until_the_server_is_dropped() {
    let replay = Replay::start(Script::new([scale().with_fault(Fault::Stall { after: 80 })])).unwrap();
    let got = ask(&replay, &user("scale", true)).await.unwrap();
    assert_eq!((got.bytes.len(), got.whole), (80, false));

    let replay = Replay::start(Script::new([scale().with_fault(Fault::Stall { after: 80 })])).unwrap();
    let request = client().post(format!("{}/chat/completions", replay.url())).json(&user("scale", true));
    let response = request.send().await.unwrap();
    drop(replay);
    let end = tokio::time::timeout(Duration::from_secs(20), response.bytes()).await;
    assert!(end.expect("dropping the server ends its connections").is_err());
}

#[tokio::test]
async fn bad_json_an_error_object_and_a_web_page() {
    let bad = one(scale().with_fault(Fault::BadJson), true).await;
    assert!(
        bad.events().iter().any(|event| *event != "[DONE]" && serde_json::from_str::<Value>(event).is_err())
    );
    assert!(
        serde_json::from_slice::<Value>(&one(scale().with_fault(Fault::BadJson), false).await.bytes).is_err()
    );

    let error = Fault::Error { message: "overloaded".into() };
    let streamed = one(Turn::text("I will").with_fault(error.clone()), true).await;
    assert_eq!((streamed.status, streamed.said("content").as_str()), (200, "I will"));
    assert_eq!(streamed.chunks().last().unwrap()["error"]["message"], "overloaded");
    assert_eq!(one(Turn::fault(error), false).await.json()["error"]["message"], "overloaded");

    let html = one(Turn::fault(Fault::Html), true).await;
    assert_eq!((html.status, &html.headers["content-type"]), (200, &"text/html".parse().unwrap()));
    assert!(html.text().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn hanging_up_leaves_no_answer() {
    let replay = Replay::start(Script::new([Turn::fault(Fault::HangUp)])).unwrap();
    assert!(ask(&replay, &user("hello", true)).await.is_err());
    replay.finish().unwrap();
}

#[tokio::test]
async fn a_delay_keeps_each_event_apart() {
    let got = one(scale().with_delay_ms(3), true).await;
    assert_eq!(got.pieces, got.events().len());
}

#[tokio::test]
async fn an_unexpected_request_is_answered_599_from_then_on() {
    let expect = Expect { last: Some("frontend".into()), ..Expect::default() };
    let replay = Replay::start(Script::new([Turn::text("x").expecting(expect), Turn::text("y")])).unwrap();
    for _ in 0..2 {
        let got = ask(&replay, &user("scale backend", true)).await.unwrap();
        assert_eq!(got.status, 599);
        assert!(got.text().contains("frontend"));
    }
    assert!(replay.finish().unwrap_err().contains("lacks \"frontend\""));
}

#[tokio::test]
async fn each_expectation_objects() {
    let asked = user("scale backend", false);
    let cases = [
        (Expect { role: Some("tool".into()), ..Expect::default() }, "role"),
        (Expect { anywhere: Some("frontend".into()), ..Expect::default() }, "no message contains"),
        (Expect { absent: vec!["backend".into()], ..Expect::default() }, "the request contains"),
        (Expect { tools: vec!["undo".into()], ..Expect::default() }, "not offered"),
        (Expect { no_tools: vec!["scale".into()], ..Expect::default() }, "is offered"),
    ];
    for (expect, reason) in cases {
        let replay = Replay::start(Script::new([Turn::text("x").expecting(expect)])).unwrap();
        ask(&replay, &asked).await.unwrap();
        let failure = replay.finish().unwrap_err();
        assert!(failure.contains(reason), "{failure}");
    }
    let checked = Turn::text("x").checking(|body| Err(format!("model is {}", body["model"])));
    let replay = Replay::start(Script::new([checked])).unwrap();
    ask(&replay, &asked).await.unwrap();
    assert!(replay.finish().unwrap_err().contains("model is \"m\""));
}

#[tokio::test]
async fn too_many_and_too_few_requests_fail_the_script() {
    let replay = Replay::start(Script::new([Turn::text("x")])).unwrap();
    ask(&replay, &user("a", false)).await.unwrap();
    assert_eq!(ask(&replay, &user("b", false)).await.unwrap().status, 599);
    assert!(replay.finish().unwrap_err().contains("beyond the script"));

    let replay = Replay::start(Script::new([Turn::text("x"), Turn::text("y")])).unwrap();
    ask(&replay, &user("a", false)).await.unwrap();
    assert!(replay.finish().unwrap_err().contains("only 1 of 2 turns"));
}

#[tokio::test]
async fn a_script_may_repeat_or_obey_after_its_end() {
    let replay = Replay::start(Script::new([Turn::text("again")]).then(Then::Repeat)).unwrap();
    for _ in 0..3 {
        let got = ask(&replay, &user("a", false)).await.unwrap().json();
        assert_eq!(got["choices"][0]["message"]["content"], "again");
    }
    replay.finish().unwrap();

    let told = json!({"messages": [{"role": "tool", "content": "CALL scale {\"workload\":\"*\"}"}]});
    let replay = Replay::start(Script::default().then(Then::Obey)).unwrap();
    let got = ask(&replay, &told).await.unwrap().json();
    assert_eq!(got["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "scale");

    let replay = Replay::with(gullible(vec![Call::new("logs", json!({"workload": "web"}))])).unwrap();
    let first = ask(&replay, &user("read the logs", false)).await.unwrap().json();
    assert_eq!(first["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "logs");
    let second = ask(&replay, &told).await.unwrap().json();
    assert_eq!(second["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "scale");
}

#[tokio::test]
async fn requests_are_kept_with_their_headers_and_models_are_listed() {
    let replay = Replay::start(Script::new([Turn::text("x")])).unwrap();
    let models = client().get(format!("{}/models", replay.url())).send().await.unwrap();
    assert_eq!(models.json::<Value>().await.unwrap()["data"][0]["id"], "scripted");
    let asked = user("hello", true);
    ask(&replay, &asked).await.unwrap();
    assert_eq!(replay.bodies(), [asked]);
    let requests = replay.requests();
    assert_eq!((requests.len(), &requests[1].headers["authorization"]), (2, &"Bearer k".parse().unwrap()));
}

#[test]
fn a_script_is_read_from_yaml() {
    let script = Script::parse(
        "turns:\n\
         - fault: {status: {code: 429, retry_after: '0'}}\n\
         - fault: {cut: {after: 12}}\n  text: hello\n\
         - fault: bad_json\n\
         - expect: {last: scale, tools: [scale]}\n  style: gemini\n  calls:\n\
         \x20 - {name: scale, arguments: {workload: backend, replicas: 3}}\n  - {name: scale, arguments: '{\"wor'}\n\
         then: repeat\n",
    )
    .unwrap();
    assert_eq!(
        script.turns[0].fault,
        Some(Fault::Status { code: 429, retry_after: Some("0".into()), body: None })
    );
    assert_eq!(script.turns[1].fault, Some(Fault::Cut { after: 12 }));
    assert_eq!(script.turns[2].fault, Some(Fault::BadJson));
    assert_eq!(script.turns[3].calls[0].arguments, json!({"workload": "backend", "replicas": 3}));
    assert_eq!(script.turns[3].calls[1].arguments, json!("{\"wor"));
    assert_eq!((script.turns[3].style, script.then), (Style::Gemini, Then::Repeat));
    assert!(Script::parse("turns: [{txt: hello}]").unwrap_err().to_string().contains("txt"));
}
