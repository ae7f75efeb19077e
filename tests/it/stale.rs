//! Plans whose world moved.

use kai_evals::proxy::Action;
use serde_json::Value;

use crate::support::{World, kubectl};

fn plan(world: &World, words: &str) -> std::path::PathBuf {
    let path = world.home.path().join("plan.json");
    world.kai(&["plan", words, "-o", path.to_str().unwrap()]).ends(3).says("apply it with");
    world.nothing_was_written();
    path
}

#[test]
fn a_plan_file_is_applied_once_and_as_it_was() {
    let world = World::new("planfile");
    let path = plan(&world, "scale backend to 3");
    let file = path.to_str().unwrap();
    world.kai(&["apply", file]).ends(3);
    world.nothing_was_written();
    world.kai(&["apply", file, "--yes"]).ends(0).says("Scaled deployment/backend from 2 to 3");
    world.kubectl(&["scale", "deployment/backend", "--replicas=2"]);
    world.proxy.clear();
    world.kai(&["apply", file, "--yes"]).ends(6).says("was applied already");
    world.nothing_was_written();
}

#[test]
fn a_plan_whose_object_changed_is_stale() {
    let world = World::new("moved");
    let path = plan(&world, "scale backend to 3");
    world.kubectl(&["scale", "deployment/backend", "--replicas=4"]);
    world.kai(&["apply", path.to_str().unwrap(), "--yes"]).ends(6).says("not what it was");
    world.nothing_was_written();
    assert_eq!(world.replicas(), 4);
}

#[test]
fn another_object_of_the_same_name_is_another_plan() {
    let world = World::new("reborn");
    let path = plan(&world, "scale backend to 3");
    world.kubectl(&["delete", "deployment", "backend"]);
    world.deploy("backend", 2, "nginx:1.27");
    world.kai(&["apply", path.to_str().unwrap(), "--yes"]).ends(6);
    world.nothing_was_written();
}

#[test]
fn altered_expired_and_foreign_plans_are_refused() {
    let world = World::new("altered");
    let path = plan(&world, "scale backend to 3");
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut plan = whole.clone();
        change(&mut plan);
        std::fs::write(&path, plan.to_string()).unwrap();
        world.kai(&["apply", path.to_str().unwrap(), "--yes"])
    };
    with(&|p| p["calls"][0]["arguments"]["replicas"] = 9.into()).ends(6);
    with(&|p| p["view"]["digest"] = "0".repeat(64).into()).ends(6);
    with(&|p| p["now"] = "2020-01-01T00:00:00Z".into()).ends(6).says("older than a day");
    with(&|p| p["context"] = "another-cluster".into()).ends(7).says("no context `another-cluster`");
    with(&|p| p["version"] = 99.into()).ends(2).says("plan format 99");
    with(&|p| p["extra"] = true.into()).ends(0);
    world.kai(&["undo", "--yes"]).ends(0);
    world.proxy.clear();
    std::fs::write(&path, "{\"version\": 1,\n \"now\": 5}").unwrap();
    world.kai(&["apply", path.to_str().unwrap(), "--yes"]).ends(2).says("line 2");
    world.kai(&["apply", "abc123", "--yes"]).ends(1).says("no plan `abc123` waits");
    world.nothing_was_written();
}

#[test]
fn a_waiting_plan_is_used_once() {
    let world = World::new("waiting");
    let out = world.kai(&["scale backend to 3"]).ends(3);
    let id = out.stdout.split("Plan ").nth(1).and_then(|t| t.split(' ').next()).unwrap().to_string();
    world.nothing_was_written();
    let mut person = world.person(&["apply", &id]);
    person.sees("Apply?").types("y").sees("3/3 ready");
    person.ends(0);
    world.proxy.clear();
    world.kai(&["apply", &id, "--yes"]).ends(1).says("was used");
    world.nothing_was_written();
}

/// Lets somebody else act on the Deployment just before kai's write arrives.
fn meanwhile(world: &World, arguments: &'static [&'static str]) {
    let namespace = world.namespace.clone();
    let first = std::sync::atomic::AtomicBool::new(true);
    world.proxy.hook(move |r| {
        if !r.is_write() || !first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Action::Forward;
        }
        let namespace = namespace.clone();
        Action::after(async move {
            let mut all = vec!["-n", namespace.as_str()];
            all.extend(arguments);
            kubectl(&all);
        })
    });
}

#[test]
fn a_change_in_the_gap_that_matters_is_shown_before_anything_else() {
    let world = World::new("gap");
    meanwhile(&world, &["scale", "deployment/backend", "--replicas=7"]);
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("2 → ").sees("Apply?").types("y").sees("7 → ").sees("Apply?");
    assert_eq!(world.replicas(), 7, "the first write was refused by the API server");
    person.types("n");
    person.ends(3);
    assert_eq!(world.replicas(), 7);
}

#[test]
fn a_change_in_the_gap_that_does_not_matter_needs_no_second_yes() {
    let world = World::new("gaplabel");
    meanwhile(&world, &["annotate", "deployment/backend", "note=hello"]);
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?").types("y").sees("3/3 ready");
    person.ends(0);
    let writes = world.proxy.writes();
    assert_eq!(writes.len(), 2, "one refused, one with the new version");
    assert_eq!(writes[0].status, Some(409));
    assert!(world.proxy.pairs().iter().all(|(_, shown)| shown.is_some()), "each write was looked at first");
    assert_eq!(world.replicas(), 3);
}

#[test]
fn a_change_in_the_gap_stops_whoever_is_not_asked() {
    let world = World::new("gapyes");
    let path = plan(&world, "scale backend to 3");
    meanwhile(&world, &["scale", "deployment/backend", "--replicas=7"]);
    world.kai(&["apply", path.to_str().unwrap(), "--yes"]).ends(6);
    assert_eq!(world.replicas(), 7);
}
