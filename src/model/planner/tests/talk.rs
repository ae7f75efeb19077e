//! Conversations: pronouns, "the same", questions and their answers, offers.

use serde_json::{Value as Json, json};

use super::super::{Planner, Reply, parse_report};
use crate::conversation::{About, Conversation, Message, ToolCall, ToolResult};

/// A conversation with the planner, in which the test plays the person and the tools.
#[derive(Default)]
struct Talk {
    said: Conversation,
    open: Vec<ToolCall>,
}

impl Talk {
    /// Says a sentence; gives what the planner answered.
    fn say(&mut self, sentence: &str) -> Reply {
        self.said.messages.push(Message::User { text: sentence.to_owned() });
        let reply = Planner.reply(&self.said);
        let (text, calls) = match reply.clone() {
            Reply::Calls(calls) => (String::new(), calls),
            Reply::Say { text, .. } => (text, Vec::new()),
        };
        self.open.clone_from(&calls);
        self.said.messages.push(Message::Assistant { text, calls, extra: Json::Null });
        reply
    }

    /// Says a sentence that must become these calls.
    #[track_caller]
    fn calls(&mut self, sentence: &str, expected: Json) -> &mut Talk {
        let reply = self.say(sentence);
        let Reply::Calls(calls) = &reply else { panic!("{sentence}: {reply:?}") };
        let pair = |c: &ToolCall| json!([c.name, serde_json::from_str::<Json>(&c.arguments).unwrap()]);
        let got: Json = calls.iter().map(pair).collect();
        assert_eq!(got, expected, "{sentence}");
        self
    }

    /// Says a sentence that must not become calls; gives the text.
    #[track_caller]
    fn told(&mut self, sentence: &str) -> String {
        match self.say(sentence) {
            Reply::Say { text, .. } => text,
            calls => panic!("{sentence}: {calls:?}"),
        }
    }

    /// Answers the next open call, about `kind/name` objects in namespaces.
    fn result(&mut self, ok: bool, say: &[&str], about: &[(&str, &str)]) -> &mut Talk {
        let call = self.open.remove(0);
        let object = |(object, namespace): &(&str, &str)| {
            let (kind, name) = object.split_once('/').unwrap();
            About { kind: kind.into(), name: name.into(), namespace: (*namespace).into() }
        };
        self.said.messages.push(Message::Tool(ToolResult {
            id: call.id,
            name: call.name,
            text: "for the model".into(),
            say: say.iter().map(|s| (*s).to_owned()).collect(),
            ok,
            about: about.iter().map(object).collect(),
        }));
        self
    }

    /// Lets the planner answer from the results.
    fn answer(&mut self) -> String {
        let Reply::Say { text, understood: true } = Planner.reply(&self.said) else { panic!("an answer") };
        self.said.messages.push(Message::Assistant {
            text: text.clone(),
            calls: Vec::new(),
            extra: Json::Null,
        });
        text
    }

    /// A conversation in which backend was scaled to 3 in todo.
    fn scaled() -> Talk {
        let mut talk = Talk::default();
        talk.calls("scale backend to 3", json!([["scale", { "workload": "backend", "replicas": 3 }]]));
        talk.result(true, &["Scaled backend from 2 to 3."], &[("deployment/backend", "todo")]);
        assert_eq!(talk.answer(), "Scaled backend from 2 to 3.");
        talk
    }
}

#[test]
fn it_is_what_was_found_last_not_what_was_typed() {
    let here = json!({ "workload": "deployment/backend", "namespace": "todo" });
    Talk::scaled().calls("is it up?", json!([["rollout_status", here]]));
    Talk::scaled().calls("show its logs", json!([["logs", here]]));
    let mut restart = here.clone();
    restart["action"] = "restart".into();
    Talk::scaled().calls("restart it", json!([["rollout", restart]]));
    Talk::scaled().calls(
        "stop that",
        json!([["scale", { "workload": "deployment/backend", "namespace": "todo", "replicas": 0 }]]),
    );
    let elsewhere = json!({ "action": "restart", "workload": "deployment/backend", "namespace": "prod" });
    Talk::scaled().calls("restart it in prod", json!([["rollout", elsewhere]]));
}

#[test]
fn it_without_a_before_or_with_two_is_asked_about() {
    assert!(Talk::default().told("restart it").contains("nothing was spoken of before"));
    let mut talk = Talk::default();
    let two = json!([["rollout", { "action": "restart", "workload": "web" }], ["rollout", { "action": "restart", "workload": "api" }]]);
    talk.calls("restart web and api", two);
    talk.result(true, &["web is ready."], &[("deployment/web", "shop")]);
    talk.result(true, &["api is ready."], &[("deployment/api", "shop")]);
    assert_eq!(talk.answer(), "web is ready.\napi is ready.");
    let asked = talk.told("scale it to 2");
    assert!(
        asked.contains("1. deployment/web in namespace shop") && asked.contains("2. deployment/api"),
        "{asked}"
    );
    talk.calls(
        "the second one",
        json!([["scale", { "workload": "deployment/api", "namespace": "shop", "replicas": 2 }]]),
    );
}

#[test]
fn them_are_all_of_what_was_found() {
    let mut talk = Talk::default();
    talk.calls("which pods are not ready?", json!([["get", { "kind": "pod", "only": "not_ready" }]]));
    talk.result(true, &["2 pods are not ready."], &[("pod/a-1", "todo"), ("pod/b-1", "todo")]);
    talk.answer();
    let both = json!([["logs", { "workload": "pod/a-1", "namespace": "todo" }], ["logs", { "workload": "pod/b-1", "namespace": "todo" }]]);
    talk.calls("show their logs", both);
}

#[test]
fn the_same_again_for_something_else() {
    Talk::scaled()
        .calls("the same for frontend", json!([["scale", { "workload": "frontend", "replicas": 3 }]]));
    Talk::scaled().calls(
        "do the same in prod",
        json!([["scale", { "workload": "backend", "replicas": 3, "namespace": "prod" }]]),
    );
    let two = json!([["scale", { "workload": "web", "replicas": 3 }], ["scale", { "workload": "api", "replicas": 3 }]]);
    Talk::scaled().calls("same for web and api please", two);
    assert!(Talk::default().told("the same for frontend").contains("not clear"));
}

#[test]
fn a_number_changes_the_last_scaling_only() {
    let five = json!([["scale", { "workload": "deployment/backend", "namespace": "todo", "replicas": 5 }]]);
    for sentence in ["now 5", "make it 5", "no, make it five", "5 replicas", "now to 5"] {
        Talk::scaled().calls(sentence, five.clone());
    }
    assert!(Talk::scaled().told("make it faster").contains("can't place"));
    assert!(Talk::scaled().told("now -5").contains("is negative"));
    let mut talk = Talk::default();
    talk.calls("restart web", json!([["rollout", { "action": "restart", "workload": "web" }]]));
    talk.result(true, &["Restarted."], &[("deployment/web", "shop")]);
    assert!(talk.told("now 5").contains("no scaling"));
}

#[test]
fn back_is_undo_after_a_change_and_a_rollback_after_a_look() {
    Talk::scaled().calls("roll that back", json!([["undo", {}]]));
    Talk::scaled().calls("undo that", json!([["undo", {}]]));
    let mut talk = Talk::default();
    talk.calls("history of api", json!([["rollout_status", { "workload": "api" }]]));
    talk.result(true, &["Revision 4 is live."], &[("deployment/api", "prod")]);
    talk.answer();
    talk.calls(
        "roll it back",
        json!([["rollout", { "action": "undo", "workload": "deployment/api", "namespace": "prod" }]]),
    );
}

#[test]
fn undo_after_a_change_that_may_not_have_happened_is_asked_about() {
    let mut talk = Talk::default();
    talk.calls("stop worker", json!([["scale", { "workload": "worker", "replicas": 0 }]]));
    talk.result(false, &["Declined: nothing was changed."], &[("deployment/worker", "batch")]);
    talk.answer();
    assert!(talk.told("undo that").contains("1. the last change in the journal"));
    talk.calls("1", json!([["undo", {}]]));
}

#[test]
fn an_ambiguous_name_is_picked_by_number_namespace_or_kind() {
    let ask = |talk: &mut Talk| {
        talk.calls("scale backend to 3", json!([["scale", { "workload": "backend", "replicas": 3 }]]));
        let say = [
            "backend fits 2 objects:",
            "1. deployment/backend in namespace todo",
            "2. statefulset/backend in namespace staging",
        ];
        talk.result(false, &say, &[("deployment/backend", "todo"), ("statefulset/backend", "staging")]);
        assert_eq!(talk.answer(), say.join("\n"));
    };
    let second =
        json!([["scale", { "workload": "statefulset/backend", "replicas": 3, "namespace": "staging" }]]);
    for pick in [
        "2",
        "the second one",
        "number 2",
        "the one in staging",
        "in staging",
        "the statefulset",
        "statefulset backend",
    ] {
        let mut talk = Talk::default();
        ask(&mut talk);
        talk.calls(pick, second.clone());
    }
    for not in ["3", "the one in prod", "backend"] {
        let mut talk = Talk::default();
        ask(&mut talk);
        assert!(talk.told(not).contains("answer with its number"), "{not}");
    }
    let mut talk = Talk::default();
    ask(&mut talk);
    talk.told("hello world");
    assert!(talk.told("2").contains("can't place"), "the question is no longer open");
}

#[test]
fn picking_one_of_a_plan_repeats_the_whole_plan() {
    let mut talk = Talk::default();
    let both = json!([["scale", { "workload": "backend", "replicas": 3 }], ["rollout", { "action": "restart", "workload": "web" }]]);
    talk.calls("scale backend to 3 and restart web", both);
    talk.result(
        false,
        &["Which?\n1. deployment/backend in namespace a\n2. deployment/backend in namespace b"],
        &[("deployment/backend", "a"), ("deployment/backend", "b")],
    );
    talk.result(false, &["Not done: the plan is not complete."], &[]);
    talk.answer();
    let plan = json!([
        ["scale", { "workload": "deployment/backend", "replicas": 3, "namespace": "b" }],
        ["rollout", { "action": "restart", "workload": "web" }]
    ]);
    talk.calls("2", plan);
}

#[test]
fn the_planners_own_questions_are_answered_by_number_or_yes() {
    let mut talk = Talk::default();
    assert!(talk.told("scal backend to 3").contains("1. scale backend to 3"));
    talk.calls("yes", json!([["scale", { "workload": "backend", "replicas": 3 }]]));
    let mut talk = Talk::default();
    assert!(talk.told("scale backend to 3 and restart web in prod").contains("1. all of it in prod"));
    let all = json!([
        ["scale", { "workload": "backend", "replicas": 3, "namespace": "prod" }],
        ["rollout", { "action": "restart", "workload": "web", "namespace": "prod" }]
    ]);
    talk.calls("1", all);
}

#[test]
fn an_offer_is_taken_by_yes_and_only_while_it_stands() {
    let look = |talk: &mut Talk| {
        talk.calls("history of api", json!([["rollout_status", { "workload": "api" }]]));
        talk.result(true, &["Revision 4 is live."], &[("deployment/api", "prod")]);
        let text = talk.answer();
        assert!(text.starts_with("Revision 4 is live.\nShall I show what changed"), "{text}");
    };
    let taken =
        json!([["rollout_status", { "workload": "deployment/api", "namespace": "prod", "diff": true }]]);
    let mut talk = Talk::default();
    look(&mut talk);
    talk.calls("yes, do that", taken);
    let mut talk = Talk::default();
    look(&mut talk);
    talk.told("tell me a joke");
    assert!(talk.told("yes").contains("offered nothing"));
    assert!(Talk::default().told("yes").contains("offered nothing"));
}

#[test]
fn why_asks_for_the_events_of_what_was_found() {
    let mut talk = Talk::default();
    talk.calls("is web up?", json!([["rollout_status", { "workload": "web" }]]));
    talk.result(true, &["web: 0 of 2 ready."], &[("deployment/web", "shop")]);
    talk.answer();
    talk.calls("why?", json!([["events", { "object": "deployment/web", "namespace": "shop" }]]));
    assert!(Talk::default().told("why?").contains("spoken of before"));
}

#[test]
fn what_was_read_with_a_corrected_spelling_is_said() {
    let mut talk = Talk::default();
    talk.calls("shwo pods in todo", json!([["get", { "kind": "pod", "namespace": "todo" }]]));
    talk.result(true, &["3 pods."], &[]);
    assert_eq!(talk.answer(), "I read that as “show pods in todo”.\n3 pods.");
}

#[test]
fn call_ids_differ_within_a_conversation() {
    let mut talk = Talk::scaled();
    talk.say("restart it and show its logs");
    let ids: Vec<&str> = talk
        .said
        .messages
        .iter()
        .filter_map(|m| if let Message::Assistant { calls, .. } = m { Some(calls) } else { None })
        .flatten()
        .map(|c| c.id.as_str())
        .collect();
    assert_eq!(ids, ["planner-1", "planner-2", "planner-3"]);
}

#[test]
fn the_report_for_kai_parse_holds_calls_a_question_or_what_has_no_place() {
    let report = |sentence: &str| parse_report(sentence, &Conversation::default());
    let calls =
        json!({ "calls": [{ "name": "scale", "arguments": { "workload": "backend", "replicas": 3 } }] });
    assert_eq!(report("scale backend to 3"), (calls, 0));
    let (unplaced, code) = report("scale backend to 3 unless traffic drops");
    assert_eq!((&unplaced["unplaced"], code), (&json!(["unless traffic drops"]), 2));
    assert_eq!(unplaced["understood"], "scale backend to 3");
    assert_eq!(unplaced["nearest"][0], "scale backend to 3");
    let (asked, code) = report("scal backend to 3");
    assert_eq!((asked["choices"][0]["calls"][0]["name"].as_str(), code), (Some("scale"), 2));
}
