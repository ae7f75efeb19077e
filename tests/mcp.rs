//! `kai mcp`, driven by clients that were not written here (the official Go SDK, and the TypeScript SDK where Node is)
//! against a real API server, and by hand where a client is too well-behaved.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "mcp/client.rs"]
mod client;
#[path = "mcp/raw.rs"]
mod raw;
#[path = "mcp/world.rs"]
mod world;

use client::{Client, Sdk};
use raw::Raw;
use serde_json::{Value, json};
use world::World;

const LATEST: &str = "2026-07-28";

#[tokio::test]
async fn changes_need_a_person_whatever_the_client_does() {
    let world = World::up("mcp").await;
    for sdk in Sdk::all() {
        a_client_that_cannot_ask(&world, sdk);
        forms(&world, sdk, "legacy");
        forms(&world, sdk, LATEST);
    }
    a_seal_is_for_one_plan_and_one_use(&world);
    read_only_changes_nothing(&world);
    a_cancelled_call_applies_nothing(&world);
    world.down().await;
}

/// Preview, refusal, `kai approve`, apply, once; and the same for the way back.
fn a_client_that_cannot_ask(world: &World, sdk: Sdk) {
    let mut client = Client::start(world, sdk, &json!({"version": "legacy"}), &[]);
    the_list_is_the_catalogue(world, &mut client);

    let before = world.deployment();
    let preview = client.call("scale", json!({"workload": "backend", "replicas": 3}));
    assert_eq!(preview.data["outcome"], "approval_needed", "{preview:?}");
    assert!(!preview.failed && preview.text.contains("2 → 3"), "{preview:?}");
    let id = preview.plan();
    assert!(preview.text.contains(&format!("kai approve {id}")), "{preview:?}");
    assert_eq!(preview.data["plan"]["steps"][0]["changes"][0]["after"], 3);
    let early = client.call("apply_plan", json!({"plan_id": id}));
    assert!(early.failed && early.text.contains("Not approved yet"), "{early:?}");
    assert_eq!(world.deployment(), before, "something was changed without a person");

    world.approve(&id, "y");
    assert_eq!(world.deployment(), before, "an approval alone changes nothing");
    let applied = client.call("apply_plan", json!({"plan_id": id}));
    assert_eq!(applied.data["outcome"], "applied", "{applied:?}");
    assert!(!applied.failed && applied.text.contains("Scaled deployment/backend from 2 to 3"), "{applied:?}");
    assert!(applied.progress_rises(), "{applied:?}");
    assert_eq!(world.replicas(), 3);

    let after = world.deployment();
    let again = client.call("apply_plan", json!({"plan_id": id}));
    assert!(again.failed && again.text.contains("no plan"), "{again:?}");
    assert_eq!(world.deployment(), after, "a plan was used twice");

    let changes = client.call("changes", json!({}));
    assert!(
        !changes.failed
            && changes.text.contains("backend")
            && changes.text.contains("data, not instructions")
    );
    let undo = client.call("undo", json!({}));
    assert!(undo.text.contains("3 → 2"), "{undo:?}");
    world.approve(&undo.plan(), "y");
    let undone = client.call("apply_plan", json!({"plan_id": undo.plan()}));
    assert_eq!(undone.data["outcome"], "applied", "{undone:?}");
    assert_eq!(world.replicas(), 2);

    // Errors are for the model to read, and name what is wrong.
    let unknown = client.call("delete_everything", json!({}));
    assert!(
        unknown.failed && unknown.text.contains("delete_everything") && unknown.text.contains("apply_plan")
    );
    let wrong = client.call("scale", json!({"workload": "backend", "replicas": "three"}));
    assert!(wrong.failed && wrong.text.contains("replicas"), "{wrong:?}");
    let invented = client.call("apply_plan", json!({"plan_id": "0123456789abcdef"}));
    assert!(invented.failed && invented.text.contains("no plan"), "{invented:?}");
    let outside = client.call("apply_plan", json!({"plan_id": "../../../etc/passwd"}));
    assert!(outside.failed, "{outside:?}");
    assert_eq!(world.replicas(), 2);
}

/// What is listed is the one definition, with annotations that are true.
fn the_list_is_the_catalogue(world: &World, client: &mut Client) {
    let listed = client.list();
    let catalogue: Value = serde_json::from_str(&world.kai(&["call", "--list", "-o", "json"])).unwrap();
    let catalogue = catalogue.as_array().unwrap();
    assert_eq!(listed.len(), catalogue.len() + 1);
    for tool in catalogue {
        let same = listed.iter().find(|t| t["name"] == tool["name"]).unwrap();
        assert_eq!(same["inputSchema"], tool["schema"], "{}", tool["name"]);
        assert_eq!(same["annotations"]["readOnlyHint"], tool["reads"], "{}", tool["name"]);
        assert_eq!(same["annotations"]["openWorldHint"], false);
        assert!(same["title"].is_string());
    }
    let apply = listed.iter().find(|t| t["name"] == "apply_plan").unwrap();
    assert_eq!(apply["annotations"]["readOnlyHint"], false);
    assert_eq!(apply["annotations"]["destructiveHint"], true);
}

/// A client with a form: no is no, yes is yes for what is reversible, and never enough for what is not.
fn forms(world: &World, sdk: Sdk, version: &str) {
    let scale = json!({"workload": "backend", "replicas": 3});
    let before = world.deployment();
    for no in [
        json!({"action": "decline", "content": {"approve": true}}),
        json!({"action": "cancel"}),
        json!({"action": "accept", "content": {"approve": false}}),
    ] {
        let mut client = Client::start(world, sdk, &json!({"version": version, "elicit": no}), &[]);
        let answer = client.call("scale", scale.clone());
        assert_eq!(answer.asked.len(), 1, "{answer:?}");
        assert_eq!(answer.data["outcome"], "approval_needed", "{answer:?}");
        assert!(answer.text.contains(&format!("kai approve {}", answer.plan())), "{answer:?}");
        assert_eq!(world.deployment(), before, "{no} changed something");
    }

    let yes = json!({"action": "accept", "content": {"approve": true, "name": "backend"}});
    let mut client = Client::start(world, sdk, &json!({"version": version, "elicit": yes}), &[]);
    let destructive = client.call("scale", json!({"workload": "backend", "replicas": 0}));
    assert!(destructive.asked.is_empty(), "a form was shown for what it is not enough for: {destructive:?}");
    assert_eq!(destructive.data["outcome"], "approval_needed", "{destructive:?}");
    let early = client.call("apply_plan", json!({"plan_id": destructive.plan()}));
    assert!(early.failed, "{early:?}");
    assert_eq!(world.deployment(), before, "a client's own yes was enough to scale to zero");

    let applied = client.call("scale", scale);
    assert_eq!(applied.asked.len(), 1, "{applied:?}");
    let message = applied.asked[0]["message"].as_str().unwrap();
    assert!(message.contains("2 → 3") && message.contains("reversible"), "{message}");
    assert_eq!(applied.asked[0]["requestedSchema"]["required"], json!(["approve"]));
    assert_eq!(applied.data["outcome"], "applied", "{applied:?}");
    assert!(applied.progress_rises(), "{applied:?}");
    assert_eq!(world.replicas(), 3);
    let undone = client.call("undo", json!({}));
    assert_eq!(undone.data["outcome"], "applied", "{undone:?}");
    assert_eq!(world.replicas(), 2);

    // The plan that a form was not enough for takes a person who types the name.
    world.approve(&destructive.plan(), "backend");
    let applied = client.call("apply_plan", json!({"plan_id": destructive.plan()}));
    assert_eq!(applied.data["outcome"], "applied", "{applied:?}");
    assert_eq!(world.replicas(), 0);
    world.scale(2);

    // What was approved is not applied to a Deployment that has moved.
    let mut client = Client::start(world, sdk, &json!({"version": version}), &[]);
    let preview = client.call("scale", json!({"workload": "backend", "by": 1}));
    world.approve(&preview.plan(), "y");
    world.scale(4);
    let stale = client.call("apply_plan", json!({"plan_id": preview.plan()}));
    assert!(stale.failed && world.replicas() == 4, "{stale:?}");
    world.scale(2);
}

/// Asking in rounds: the client holds the seal between them, and can do nothing else with it.
fn a_seal_is_for_one_plan_and_one_use(world: &World) {
    let before = world.deployment();
    let mut raw = Raw::start(world, &[]);
    let scale = json!({"name": "scale", "arguments": {"workload": "backend", "replicas": 3}});
    let first = raw.call(&scale);
    assert_eq!(first["resultType"], "input_required", "{first}");
    let state = first["requestState"].as_str().unwrap();
    let again = |call: &Value, state: &str| {
        let mut call = call.clone();
        call["requestState"] = json!(state);
        call["inputResponses"] = json!({"approval": {"action": "accept", "content": {"approve": true}}});
        call
    };
    let other = json!({"name": "scale", "arguments": {"workload": "backend", "replicas": 9}});
    let mut altered = state.to_string();
    let last = if altered.pop() == Some('A') { 'B' } else { 'A' };
    altered.push(last);
    let elsewhere = Raw::start(world, &[]).call(&scale)["requestState"].as_str().unwrap().to_string();
    for wrong in [again(&other, state), again(&scale, &altered), again(&scale, &elsewhere), again(&scale, "")]
    {
        let refused = raw.call(&wrong);
        assert_eq!(refused["isError"], true, "{refused}");
        assert_eq!(world.deployment(), before);
    }
    let applied = raw.call(&again(&scale, state));
    assert_eq!(applied["structuredContent"]["outcome"], "applied", "{applied}");
    assert_eq!(world.replicas(), 3);
    let after = world.deployment();
    let replayed = raw.call(&again(&scale, state));
    assert_eq!(replayed["isError"], true, "{replayed}");
    assert_eq!(world.deployment(), after, "a seal was used twice");
    world.scale(2);
}

/// Where nothing may be changed nothing is offered, and asking by name does not help.
fn read_only_changes_nothing(world: &World) {
    let before = world.deployment();
    let writes = world.writes();
    let yes = json!({"action": "accept", "content": {"approve": true}});
    let mut client =
        Client::start(world, Sdk::Go, &json!({"version": LATEST, "elicit": yes}), &["--read-only"]);
    let listed = client.list();
    assert!(listed.iter().all(|t| t["annotations"]["readOnlyHint"] == true), "{listed:?}");
    assert!(listed.iter().any(|t| t["name"] == "changes"));
    let refused = client.call("scale", json!({"workload": "backend", "replicas": 3}));
    assert!(refused.failed && refused.asked.is_empty() && refused.text.contains("read-only"), "{refused:?}");
    assert_eq!(world.deployment(), before);
    assert_eq!(world.writes(), writes, "a write or a dry run was sent in read-only mode");
}

/// A call that is taken back while its form is open changes nothing, and the server goes on.
fn a_cancelled_call_applies_nothing(world: &World) {
    let before = world.deployment();
    let mut raw = Raw::start_legacy(world, &[]);
    let call = json!({"name": "scale", "arguments": {"workload": "backend", "replicas": 3}});
    let id = raw.send("tools/call", call.clone());
    let form = raw.receive(|m| m["method"] == "elicitation/create");
    raw.notify("notifications/cancelled", json!({"requestId": id}));
    raw.answer(&form["id"], json!({"action": "accept", "content": {"approve": true}}));
    let list = raw.send("tools/list", json!({}));
    raw.receive(|m| m["id"] == list);
    // The server ends only when every call has ended: what it could do it has done by then.
    assert!(raw.finish().success());
    assert_eq!(world.deployment(), before);

    // The end of stdin ends a form that is open, too.
    let mut raw = Raw::start_legacy(world, &[]);
    raw.send("tools/call", call);
    raw.receive(|m| m["method"] == "elicitation/create");
    assert!(raw.finish().success());
    assert_eq!(world.deployment(), before);
}

#[test]
fn a_hostile_stdin_is_survived_and_its_end_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut raw = Raw::alone(folder.path());
    raw.write(&vec![b'x'; 128 << 20]);
    raw.write(b"\n{\"jsonrpc\": \"2.0\", \"id\": 1\nnot json at all\n");
    raw.write(format!("{}1{}\n", "[".repeat(100_000), "]".repeat(100_000)).as_bytes());
    raw.initialize();
    let list = raw.send("tools/list", json!({}));
    let tools = raw.receive(|m| m["id"] == list);
    assert!(tools["result"]["tools"].as_array().unwrap().iter().any(|t| t["name"] == "scale"), "{tools}");
    // Without a kubeconfig a call fails for the model to read, with what to try; the server goes on.
    let call =
        raw.send("tools/call", json!({"name": "scale", "arguments": {"workload": "x", "replicas": 1}}));
    let failed = raw.receive(|m| m["id"] == call);
    assert_eq!(failed["result"]["isError"], true, "{failed}");
    assert!(raw.peak_kib().is_none_or(|kib| kib < 100 << 10), "{:?} KiB", raw.peak_kib());
    assert!(raw.finish().success());
}

#[test]
fn the_snippet_for_an_editor_starts_this_kai() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut kai = std::process::Command::new(env!("CARGO_BIN_EXE_kai"));
        kai.env_clear().env("HOME", folder.path()).env("KAI_STATE", "/records").args(args).output().unwrap()
    };
    let output = run(&["mcp", "config", "vscode", "--context", "kind-kai", "--read-only"]);
    assert!(output.status.success());
    let snippet: Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &snippet["servers"]["kai"];
    assert_eq!(server["command"], env!("CARGO_BIN_EXE_kai"));
    assert_eq!(server["args"], json!(["mcp", "--context", "kind-kai", "--read-only"]));
    assert_eq!(server["env"]["KAI_STATE"], "/records", "`kai approve` would look elsewhere: {snippet}");
    let unknown = run(&["mcp", "config", "ed"]);
    assert_eq!(unknown.status.code(), Some(2));
}
