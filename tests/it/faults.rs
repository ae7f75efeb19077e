//! An API server that answers badly, and a disk that does not take the journal.

use kai_evals::proxy::{Action, Recorded};
use serde_json::json;

use crate::support::World;

fn on_write(world: &World, action: impl Fn() -> Action + Send + Sync + 'static) {
    world.proxy.hook(move |r: &Recorded| if r.is_write() { action() } else { Action::Forward });
}

#[test]
fn a_write_whose_answer_is_lost_is_read_back_and_not_sent_again() {
    let world = World::new("lostanswer");
    on_write(&world, || Action::DropAfter);
    world.kai(&["--yes", "scale backend to 3"]).ends(0).says("3/3 ready");
    world.the_write();
    assert_eq!(world.replicas(), 3);
}

#[test]
fn a_write_that_never_arrived_is_told_as_not_done() {
    let world = World::new("lostwrite");
    on_write(&world, || Action::DropBefore);
    world.kai(&["--yes", "scale backend to 3"]).ends(1).says("was not changed");
    world.the_write();
    assert_eq!(world.replicas(), 2);
}

#[test]
fn no_status_makes_kai_write_twice() {
    for code in [429, 500, 503, 504] {
        let world = World::new(&format!("status{code}"));
        on_write(&world, move || Action::answer(code, "Trouble", "not now"));
        let out = world.kai(&["--yes", "scale backend to 3"]);
        assert_eq!(out.code, Some(1), "{code}: {}", out.all());
        world.the_write();
        assert_eq!(world.replicas(), 2);
    }
}

#[test]
fn an_unknown_outcome_is_called_unknown() {
    let world = World::new("unknown");
    let written = std::sync::atomic::AtomicBool::new(false);
    world.proxy.hook(move |r| {
        if r.is_write() {
            written.store(true, std::sync::atomic::Ordering::SeqCst);
            return Action::DropAfter;
        }
        if written.load(std::sync::atomic::Ordering::SeqCst) {
            Action::answer(403, "Forbidden", "gone")
        } else {
            Action::Forward
        }
    });
    world.kai(&["--yes", "scale backend to 3"]).ends(9).says("outcome is not known");
    world.the_write();
}

#[test]
fn reads_are_tried_again() {
    let world = World::new("reads");
    let left = std::sync::atomic::AtomicI32::new(2);
    world.proxy.hook(move |r| {
        let busy = r.is_read() && left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) > 0;
        if busy { Action::answer(503, "ServiceUnavailable", "not now") } else { Action::Forward }
    });
    world.kai(&["--yes", "scale backend to 3"]).ends(0);
}

#[test]
fn a_check_that_fails_keeps_yes_from_going_ahead() {
    for (path, words) in [
        ("horizontalpodautoscalers", "scale backend to 3"),
        ("resourcequotas", "scale backend to 3"),
        ("selfsubjectaccessreviews", "scale backend to 3"),
        ("poddisruptionbudgets", "scale backend to 1"),
        ("services", "scale backend to 1"),
    ] {
        let world = World::new(&format!("check{}", &path[..6]));
        world.proxy.hook(move |r| {
            if r.path.contains(path) { Action::answer(403, "Forbidden", "no") } else { Action::Forward }
        });
        world.kai(&["--yes", words]).ends(3);
        world.nothing_was_written();
    }
}

#[test]
fn without_a_journal_nothing_is_changed() {
    let world = World::new("nojournal");
    let state = world.home.path().join("state");
    std::fs::write(&state, "in the way").unwrap();
    let out =
        crate::support::run(world.command().env("KAI_STATE", &state).args(["--yes", "scale backend to 3"]));
    out.ends(1).says("journal");
    world.nothing_was_written();
    world.kai(&["show pods"]).ends(0);
}

#[test]
fn an_altered_journal_is_found_and_stops_changes() {
    let world = World::new("badjournal");
    world.kai(&["--yes", "scale backend to 3"]).ends(0);
    let journal = world.home.path().join(".local/state/kai/journal.jsonl");
    let altered = std::fs::read_to_string(&journal)
        .unwrap()
        .replacen("\"terminal\"", "\"nobody\"", 1)
        .replacen("policy", "police", 1);
    std::fs::write(&journal, altered).unwrap();
    world.proxy.clear();
    world.kai(&["log"]).ends(1).says("record 1");
    world.kai(&["--yes", "scale backend to 4"]).ends(1).says("record 1");
    world.nothing_was_written();
}

#[test]
fn a_stopped_plan_says_what_was_done() {
    let world = World::new("partial");
    world.deploy("frontend", 1, "nginx:1.27");
    world.proxy.hook(|r| {
        if r.is_write() && r.path.contains("frontend") {
            Action::answer(422, "Invalid", "a webhook says no")
        } else {
            Action::Forward
        }
    });
    world
        .kai(&["--yes", "scale backend to 3 and frontend to 2"])
        .ends(5)
        .says("deployment/frontend was not changed")
        .says("kai undo");
    assert_eq!(world.replicas(), 3);
}

#[test]
fn no_server_and_no_login_are_told() {
    let world = World::empty("noserver");
    let write = |name: &str, server: &str, user: serde_json::Value| {
        let path = world.home.path().join(name);
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
        std::fs::write(&path, text.to_string()).unwrap();
        path.display().to_string()
    };
    let dead = write("dead", "http://127.0.0.1:1", json!({}));
    crate::support::run(world.command_on(&dead).arg("show pods")).ends(1).says("cannot reach the API server");
    let evil = write(
        "evil",
        "http://127.0.0.1:1",
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": ["-c", format!("touch {}/ran", world.home.path().display())], "interactiveMode": "Never"}}),
    );
    crate::support::run(world.command_on(&evil).arg("show pods")).ends(7).says("credential plugin `sh`");
    assert!(!world.home.path().join("ran").exists(), "the plugin was run");
    crate::support::run(world.command_on("/no/such/file").arg("show pods")).ends(7).says("/no/such/file");
}
