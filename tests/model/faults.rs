//! What endpoints do beside answering, and what kai makes of it.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kai_evals::replay::{Call, Fault, Replay, Script, Then, Turn, Usage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::raw::Raw;
use super::{Kai, fails, text};

const KEY: &str = "canary-key-0123456789";
const BOTH: [(&str, &str); 2] = [("KAI_STREAM", "true"), ("KAI_STREAM", "false")];

fn look(limit: usize) -> Call {
    Call::new("changes", json!({"limit": limit}))
}

#[test]
fn a_failed_handshake_is_not_repeated() {
    let endpoint = Raw::start("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let kai = Kai::without_cluster();
    let out = kai.command(&endpoint.url("https")).arg("hi").output().unwrap();
    assert_eq!(out.status.code(), Some(8), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("cannot be reached"), "{}", text(&out.stderr));
    assert_eq!(endpoint.heads().len(), 1);
}

#[test]
fn nobody_there_is_tried_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kai = Kai::without_cluster();
    let out = kai.command(&format!("http://127.0.0.1:{port}/v1")).args(["-v", "hi"]).output().unwrap();
    let stderr = text(&out.stderr);
    assert_eq!(out.status.code(), Some(8), "{stderr}");
    assert_eq!(stderr.matches("trying again").count(), 3, "{stderr}");
    assert!(stderr.contains("cannot be reached") && stderr.contains("--base-url"), "{stderr}");
}

#[test]
fn a_redirect_takes_the_key_nowhere() {
    let elsewhere = Raw::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let location = elsewhere.url("http");
    let endpoint =
        Raw::start(format!("HTTP/1.1 307 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
    let kai = Kai::without_cluster();
    let out = kai.command(&endpoint.url("http")).env("KAI_API_KEY", KEY).arg("hi").output().unwrap();
    assert_eq!(out.status.code(), Some(8), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("307"), "{}", text(&out.stderr));
    assert!(endpoint.heads()[0].contains(KEY), "the key was sent where it belongs");
    assert!(elsewhere.heads().is_empty());
}

#[test]
fn a_key_that_an_endpoint_repeats_is_not_shown() {
    let said = format!("Incorrect API key provided: {KEY}, or so");
    let refused = json!({"error": {"message": said}}).to_string();
    for turn in [
        Turn::fault(Fault::Status { code: 401, retry_after: None, body: Some(refused) }),
        Turn::fault(Fault::Status { code: 403, retry_after: None, body: Some(said.clone()) }),
        Turn::text("x").with_fault(Fault::Error { message: said.clone() }),
    ] {
        for stream in BOTH {
            let replay = Replay::start(Script::new([turn.clone()])).unwrap();
            let out = Kai::without_cluster().ask(&replay, "hi", &[stream, ("KAI_API_KEY", KEY)], &["-vv"]);
            let all = text(&out.stderr) + &text(&out.stdout);
            assert_eq!(out.status.code(), Some(8), "{all}");
            assert!(all.contains("Incorrect API key") && !all.contains(KEY), "{all}");
            assert_eq!(replay.requests()[0].headers["authorization"], format!("Bearer {KEY}"));
        }
    }
}

#[test]
fn nothing_of_the_environment_goes_to_an_endpoint() {
    let foreign = [("OPENAI_ORG_ID", "org-x"), ("OPENAI_PROJECT_ID", "proj-x"), ("OPENAI_API_KEY", "sk-x")];
    let replay = Replay::start(Script::new([Turn::text("Fine.")])).unwrap();
    let out = Kai::without_cluster().ask(&replay, "hi", &foreign, &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let sent = format!("{:?}", replay.requests()[0].headers);
    for (_, value) in foreign {
        assert!(!sent.contains(value), "{sent}");
    }
}

#[test]
fn plain_http_on_this_machine_needs_neither_certificates_nor_a_proxy() {
    let nothing = [
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ];
    let replay = Replay::start(Script::new([])).unwrap();
    let kai = Kai::without_cluster();
    let out = kai.command(&replay.url()).envs(nothing).arg("models").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
}

#[test]
fn an_answer_that_broke_off_unseen_is_asked_for_once_more() {
    let whole = Turn::text("All is well.");
    for fault in [Fault::Cut { after: 0 }, Fault::Cut { after: 120 }] {
        for stream in BOTH {
            let script = Script::new([whole.clone().with_fault(fault.clone()), whole.clone()]);
            let replay = Replay::start(script).unwrap();
            let out = Kai::without_cluster().ask(&replay, "hi", &[stream], &[]);
            assert_eq!(out.status.code(), Some(0), "{fault:?} {stream:?}: {}", text(&out.stderr));
            assert_eq!(text(&out.stdout).trim(), "All is well.");
            replay.finish().unwrap();
        }
    }
    let twice = whole.clone().with_fault(Fault::Cut { after: 0 });
    let replay = Replay::start(Script::new([twice]).then(Then::Repeat)).unwrap();
    let out = Kai::without_cluster().ask(&replay, "hi", &[], &[]);
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 2), "{}", text(&out.stderr));
}

#[test]
fn what_was_shown_of_a_broken_answer_stays_and_is_not_asked_for_again() {
    let turn = Turn::text("The pods of backend are").with_fault(Fault::Unfinished);
    let replay = Replay::start(Script::new([turn]).then(Then::Repeat)).unwrap();
    let out = Kai::without_cluster().ask(&replay, "hi", &[], &[]);
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 1), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), "The pods of backend are\n");
    assert!(text(&out.stderr).contains("broke off"), "{}", text(&out.stderr));
}

#[test]
fn silence_and_length_are_told_apart_and_not_repeated() {
    for stream in BOTH {
        for (turn, says) in [
            (Turn::text("x").with_fault(Fault::Stall { after: 0 }), "silent for too long"),
            (Turn::text("x").with_finish_reason("length"), "longer than it may be"),
            (Turn::call("changes", json!({})).with_finish_reason("length"), "longer than it may be"),
            (Turn::text("x").with_finish_reason("refusal"), "filter"),
        ] {
            let replay = Replay::start(Script::new([turn]).then(Then::Repeat)).unwrap();
            let out = Kai::without_cluster().ask(&replay, "hi", &[stream, ("KAI_MODEL_TIMEOUT", "1")], &[]);
            let stderr = text(&out.stderr);
            assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 1), "{stderr}");
            assert!(stderr.contains(says), "{stream:?}: wanted `{says}` in: {stderr}");
        }
    }
}

#[test]
fn slow_is_not_silent() {
    let turn = Turn::text("All is well, and this took longer than the silence allowed.").with_delay_ms(150);
    let replay = Replay::start(Script::new([turn])).unwrap();
    let out = Kai::without_cluster().ask(&replay, "hi", &[("KAI_MODEL_TIMEOUT", "1")], &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}

#[test]
fn endpoints_with_less_than_the_protocol_work() {
    let picky = |body: &Value| match body.get("stream_options") {
        Some(_) => {
            let message = r#"{"detail": "Extra inputs are not permitted: stream_options"}"#.to_string();
            Turn::fault(Fault::Status { code: 422, retry_after: None, body: Some(message) })
        }
        None => Turn::text("Fine."),
    };
    let replay = Replay::with(picky).unwrap();
    let out = Kai::without_cluster().ask(&replay, "hi", &[], &[]);
    assert_eq!((out.status.code(), text(&out.stdout).trim()), (Some(0), "Fine."), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("(estimated)"), "{}", text(&out.stderr));

    let kai = Kai::without_cluster();
    let document = |body: &str| {
        let length = body.len();
        Raw::start(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    };
    let deaf =
        document("{\"choices\": [{\"message\":\n {\"content\": \"Fine.\"}, \"finish_reason\": \"stop\"}]}");
    let out = kai.command(&deaf.url("http")).arg("hi").output().unwrap();
    assert_eq!((out.status.code(), text(&out.stdout).trim()), (Some(0), "Fine."), "{}", text(&out.stderr));
    let failing = document("{\"error\": \"model not loaded\"}");
    let out = kai.command(&failing.url("http")).arg("hi").output().unwrap();
    assert_eq!(out.status.code(), Some(8));
    assert!(text(&out.stderr).contains("model not loaded"), "{}", text(&out.stderr));
}

#[test]
fn an_endless_answer_does_not_fill_the_memory() {
    let kai = Kai::without_cluster();
    for (kind, stream) in [("text/event-stream", "true"), ("application/json", "false")] {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n").into_bytes();
        if stream == "true" {
            answer.extend(b"data: {\"choices\": [{\"delta\": {\"content\": \"");
        }
        answer.resize(answer.len() + (32 << 20), b'x');
        let endpoint = Raw::start(answer);
        let settings = [("KAI_STREAM", stream), ("KAI_MODEL_TIMEOUT", "60")];
        let out = kai.command(&endpoint.url("http")).envs(settings).arg("hi").output().unwrap();
        assert_eq!(out.status.code(), Some(8), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("longer than"), "{kind}: {}", text(&out.stderr));
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"a\": \"".to_vec();
    answer.extend([0xff, 0xfe, 0x80]);
    answer.extend(b"\"}\n\ndata: [DONE]\n\n");
    let endpoint = Raw::start(answer);
    let out = Kai::without_cluster().command(&endpoint.url("http")).arg("hi").output().unwrap();
    assert_eq!(out.status.code(), Some(8), "{}", text(&out.stderr));
    assert!(text(&out.stderr).starts_with(' ') && !text(&out.stderr).contains("panicked"));
}

#[test]
fn a_conversation_that_cannot_be_read_is_told() {
    let body =
        json!({"error": {"code": "context_length_exceeded", "message": "maximum context length is 4096"}});
    let fault = Fault::Status { code: 400, retry_after: None, body: Some(body.to_string()) };
    fails(vec![Turn::fault(fault)], "longer than the model can read");
}

#[test]
fn budgets_end_a_request() {
    let steps = |body: &Value| body["messages"].as_array().map_or(0, Vec::len);
    let replay = Replay::with(move |body| Turn::calls([look(steps(body))])).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("no answer after 20 turns"), "{}", text(&out.stderr));
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 20));

    let many = move |body: &Value| Turn::calls((0..16).map(|n| look(steps(body) * 16 + n)));
    let replay = Replay::with(many).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("64 calls"), "{}", text(&out.stderr));
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 4));

    let crowd = Turn::calls((0..17).map(look));
    let replay = Replay::start(Script::new([crowd])).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("17 calls at once"), "{}", text(&out.stderr));
    assert_eq!(out.status.code(), Some(8));

    let dear = Usage { prompt_tokens: 500_000, completion_tokens: 1 };
    let turn = Turn { usage: Some(dear), ..Turn::calls([look(1)]) };
    let replay = Replay::start(Script::new([turn]).then(Then::Repeat)).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("500001 tokens"), "{}", text(&out.stderr));
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 1));
}

#[test]
fn a_loop_is_seen_whichever_call_repeats() {
    let steps = |body: &Value| body["messages"].as_array().map_or(0, Vec::len);
    // The first call is the same each time but for its spacing, the second is not.
    let replay = Replay::with(move |body| {
        let same = format!("{{\"limit\":{} 3}}", " ".repeat(steps(body)));
        Turn::calls([Call::new("changes", json!(same)), look(100 + steps(body))])
    })
    .unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("same call 3 times"), "{}", text(&out.stderr));
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 3));
}

#[test]
fn a_model_that_cannot_write_json_is_given_up() {
    let broken = Turn::calls([Call::new("changes", json!("{\"limit\": NaN}"))]);
    let replay = Replay::start(Script::new([broken]).then(Then::Repeat)).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert_eq!((out.status.code(), replay.requests().len()), (Some(8), 3), "{}", text(&out.stderr));
}

#[test]
fn half_of_a_turn_is_not_carried_out() {
    let script = Script::new([
        Turn::calls([
            Call::new("scale", json!({"workload": "backend", "replicas": 3})),
            Call::new("rollout", json!("{\"action\": ")),
        ]),
        Turn::text("Then not.").after("not JSON").checking(|body| {
            let results: Vec<&Value> = body["messages"]
                .as_array()
                .map(|all| all.iter().filter(|m| m["role"] == "tool").collect())
                .unwrap_or_default();
            let ids: Vec<&Value> = results.iter().map(|r| &r["tool_call_id"]).collect();
            match results.as_slice() {
                [first, _] if first["content"].as_str().is_some_and(|c| c.contains("not done")) => Ok(()),
                _ => Err(format!("{ids:?}: {results:?}")),
            }
        }),
    ]);
    let replay = Replay::start(script).unwrap();
    let out = Kai::without_cluster().ask(&replay, "scale and restart", &[], &["--yes"]);
    assert_eq!(text(&out.stdout).trim(), "Then not.", "{}", text(&out.stderr));
    assert!(!text(&out.stderr).contains("API server"), "nothing was looked at: {}", text(&out.stderr));
    replay.finish().unwrap();
}

#[test]
fn signatures_and_reasoning_go_back_and_ids_are_answered() {
    let signature = json!({"extra_content": {"google": {"thought_signature": "sig-1"}}});
    let signed = Call { extra: Some(signature), ..look(1) };
    let first = Turn {
        reasoning: Some("because".into()),
        ..Turn::calls([signed, Call { id: Some(String::new()), ..look(2) }])
    };
    let script = Script::new([
        first,
        Turn::text("Fine.").checking(|body| {
            let messages = body["messages"].as_array().cloned().unwrap_or_default();
            let said = messages.iter().find(|m| m["role"] == "assistant").cloned().unwrap_or_default();
            let asked: Vec<&Value> =
                said["tool_calls"].as_array().into_iter().flatten().map(|c| &c["id"]).collect();
            let answered: Vec<&Value> =
                messages.iter().filter(|m| m["role"] == "tool").map(|m| &m["tool_call_id"]).collect();
            let echoed = said["reasoning_content"] == "because"
                && said["tool_calls"][0]["extra_content"]["google"]["thought_signature"] == "sig-1";
            if echoed && asked == answered && asked.len() == 2 && asked[0] != asked[1] && asked[1] != "" {
                Ok(())
            } else {
                Err(format!("{said} answered by {answered:?}"))
            }
        }),
    ]);
    for stream in BOTH {
        let replay = Replay::start(script.clone()).unwrap();
        let out = Kai::without_cluster().ask(&replay, "look", &[stream], &[]);
        assert_eq!(out.status.code(), Some(0), "{stream:?}: {}", text(&out.stderr));
        replay.finish().unwrap();
    }
}

#[test]
fn the_answer_is_on_stdout_and_tokens_are_counted() {
    let usage = |prompt_tokens, completion_tokens| Some(Usage { prompt_tokens, completion_tokens });
    let look = Turn { usage: usage(100, 20), text: Some("Let me look.".into()), ..Turn::calls([look(1)]) };
    let answer = Turn { usage: usage(150, 7), ..Turn::text("<think>hm</think>Nothing\u{1b}[2J changed.") };
    for stream in BOTH {
        let replay = Replay::start(Script::new([look.clone(), answer.clone()])).unwrap();
        let out = Kai::without_cluster().ask(&replay, "look", &[stream], &[]);
        assert_eq!(text(&out.stdout), "Let me look.\nNothing\\u{1b}[2J changed.\n", "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("tokens: 250 in, 27 out\n"), "{}", text(&out.stderr));

        let replay = Replay::start(Script::new([look.clone(), answer.clone()])).unwrap();
        let out = Kai::without_cluster().ask(&replay, "look", &[stream], &["-o", "json"]);
        let value: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(value["usage"], json!({"input": 250, "output": 27, "estimated": false}));
        assert_eq!(value["calls"][0]["tool"], "changes");
    }
    let silent = Turn { no_usage: true, ..Turn::text("Fine.") };
    let replay = Replay::start(Script::new([silent])).unwrap();
    let out = Kai::without_cluster().ask(&replay, "look", &[], &[]);
    assert!(text(&out.stderr).contains("(estimated)"), "{}", text(&out.stderr));
}

#[test]
fn ctrl_c_ends_a_request_that_hangs() {
    for words in [&["hi"][..], &["plan", "scale backend to 3"][..]] {
        let stalled = Turn::text("x").with_fault(Fault::Stall { after: 150 });
        let replay = Replay::start(Script::new([stalled])).unwrap();
        let kai = Kai::without_cluster();
        let mut command = kai.command(&replay.url());
        command.env("KAI_MODEL_TIMEOUT", "600").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait(&mut child, || !replay.requests().is_empty());
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let status = wait(&mut child, || false);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(status.and_then(|s| s.code()), Some(130), "{words:?}: {stderr}");
        assert!(stderr.contains("interrupted; nothing was changed"), "{words:?}: {stderr}");
    }
}

/// Waits until something is so, or the process has ended, and gives how it ended.
fn wait(child: &mut Child, so: impl Fn() -> bool) -> Option<std::process::ExitStatus> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if so() {
            return None;
        }
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("it did not come to an end");
}

#[test]
fn models_says_what_answers() {
    let replay = Replay::start(Script::new([])).unwrap();
    let kai = Kai::without_cluster();
    let out = kai.command(&replay.url()).arg("models").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("It answers, and lists 1 models: scripted"), "{}", text(&out.stdout));
    let page =
        Raw::start("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\n<h1>Hi</h1>");
    let out = kai.command(&page.url("http")).arg("models").output().unwrap();
    assert_eq!(out.status.code(), Some(8), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("a web page"), "{}", text(&out.stdout));
}
