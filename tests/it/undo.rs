//! Back to what it was, through the same gate.

use serde_json::Value;

use crate::support::World;

fn spec(world: &World) -> Value {
    world.object("deployment/backend")["spec"].clone()
}

fn last_plan(world: &World) -> String {
    let log: Value = serde_json::from_str(&world.kai(&["log", "-o", "json"]).ends(0).stdout).unwrap();
    log["data"]["changes"][0]["plan"].as_str().unwrap().to_string()
}

#[test]
fn undo_restores_exactly() {
    let world = World::new("undo");
    for words in ["scale backend to 5", "restart backend", "pause the rollout of backend"] {
        let before = spec(&world);
        world.kai(&["--yes", words]).ends(0);
        assert_ne!(spec(&world), before, "{words}");
        world.kai(&["undo", "--yes"]).ends(0).says("Took back");
        assert_eq!(spec(&world), before, "{words}");
    }
    world.kai(&["undo", "--yes"]).ends(1).says("not taken back already");
}

#[test]
fn a_rollback_is_taken_back() {
    let world = World::new("undoroll");
    world.kubectl(&["set", "image", "deployment/backend", "nginx=nginx:1.25"]);
    world.settle("backend");
    let before = spec(&world);
    world.kai(&["--yes", "roll back backend"]).ends(0).says("revision 1");
    assert_eq!(spec(&world)["template"]["spec"]["containers"][0]["image"], "nginx:1.27");
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(spec(&world), before);
}

#[test]
fn an_undo_can_be_undone_by_its_id() {
    let world = World::new("undoundo");
    world.kai(&["--yes", "scale backend to 4"]).ends(0);
    world.kai(&["undo", "--yes"]).ends(0);
    let undo = last_plan(&world);
    world.kai(&["undo", &undo, "--yes"]).ends(0);
    assert_eq!(world.replicas(), 4);
}

#[test]
fn what_others_changed_since_stays() {
    let world = World::new("undoothers");
    world.kai(&["--yes", "scale backend to 4"]).ends(0);
    world.kubectl(&["scale", "deployment/backend", "--replicas=6"]);
    world.proxy.clear();
    world
        .kai(&["undo", "--yes"])
        .ends(7)
        .says("spec.replicas of deployment/backend was changed since")
        .says("kubectl");
    world.nothing_was_written();
    assert_eq!(world.replicas(), 6);
}

#[test]
fn an_undo_is_asked_for_like_any_change() {
    let world = World::new("undogate");
    world.kai(&["--yes", "scale backend to 4"]).ends(0);
    world.proxy.clear();
    world.kai(&["undo"]).ends(3);
    world.nothing_was_written();
    let mut person = world.person(&["undo"]);
    person.sees("Take back").sees("Apply?").types("n");
    person.ends(3);
    world.nothing_was_written();
}

#[test]
fn zero_is_taken_back() {
    let world = World::new("undozero");
    let mut person = world.person(&["scale backend to 0"]);
    person.sees("Type").types("backend").sees("0/0 ready");
    person.ends(0);
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(world.replicas(), 2);
}
