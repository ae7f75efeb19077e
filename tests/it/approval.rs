//! Who says yes, and what is no yes.

use std::time::Duration;

use kai_evals::proxy::Action;

use crate::support::World;

#[track_caller]
fn unchanged(world: &World) {
    world.nothing_was_written();
    assert_eq!(world.replicas(), 2);
}

#[test]
fn no_and_nothing_and_a_closed_terminal_are_no() {
    let world = World::new("decline");
    for answer in ["n", "no", "", "q"] {
        let mut person = world.person(&["scale backend to 3"]);
        person.sees("Apply?").types(answer);
        assert!(person.ends(3).contains("Declined. Nothing was changed."));
    }
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?").closes();
    person.ends(3);
    unchanged(&world);
}

#[test]
fn anything_else_is_asked_again() {
    let world = World::new("again");
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?").types("maybe").sees("Please answer").sees("Apply?").types("n");
    person.ends(3);
    unchanged(&world);
}

#[test]
fn without_a_terminal_nobody_said_yes() {
    let world = World::new("noterminal");
    let out = world.kai(&["scale backend to 3"]).ends(3).says("waits for a person");
    assert!(out.stdout.contains("Nothing was changed"));
    unchanged(&world);
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let world = World::new("typeahead");
    let mut person = world.person(&["scale backend to 3"]);
    person.sends("y\ny\n").sees("Apply?").types("n");
    person.ends(3);
    unchanged(&world);
}

#[test]
fn a_paste_is_no_answer() {
    let world = World::new("paste");
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?");
    std::thread::sleep(Duration::from_millis(900));
    person.sends("\x1b[200~y\n\x1b[201~\n").sees("Please answer").types("n");
    person.ends(3);
    unchanged(&world);
}

#[test]
fn zero_wants_the_name() {
    let world = World::new("zero");
    let mut person = world.person(&["scale backend to 0"]);
    person.sees("goes to zero").sees("Type").types("y");
    person.ends(3);
    unchanged(&world);
    world.kai(&["--yes", "scale backend to 0"]).ends(3);
    unchanged(&world);
    let mut person = world.person(&["scale backend to 0"]);
    person.sees("Type").types("backend").sees("0/0 ready");
    person.ends(0);
    assert_eq!(world.replicas(), 0);
    world.kai(&["--yes", "scale backend to 2"]).ends(0);
    assert_eq!(world.replicas(), 2);
}

#[test]
fn ctrl_c_while_looking_and_while_asking() {
    let world = World::new("interrupt");
    world.proxy.hook(|_| Action::Delay(Duration::from_secs(4)));
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("built-in planner").interrupts();
    assert!(person.ends(130).contains("nothing was changed"));
    world.proxy.unhook();
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?").interrupts();
    assert!(person.ends(130).to_lowercase().contains("nothing was changed"));
    unchanged(&world);
}

#[test]
fn ctrl_c_during_the_write_lets_it_finish_and_says_so() {
    let world = World::new("midwrite");
    world.proxy.hook(|r| if r.is_write() { Action::Delay(Duration::from_secs(3)) } else { Action::Forward });
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("Apply?").types("y");
    std::thread::sleep(Duration::from_secs(1));
    person.interrupts();
    let screen = person.ends(4);
    assert!(screen.contains("did not wait") && screen.contains("kai undo"), "{screen}");
    assert_eq!(world.proxy.writes().len(), 1);
    assert_eq!(world.replicas(), 3);
}

#[test]
fn ctrl_c_during_the_wait_leaves_the_change_and_says_so() {
    let world = World::empty("midwait");
    world.deploy("backend", 2, "nginx:1.27");
    let slow = r#"{"spec":{"template":{"metadata":{"annotations":{"kai-evals/ready-after":"60s"}}}}}"#;
    world.kubectl(&["patch", "deployment", "backend", "-p", slow]);
    let mut person = world.person(&["restart backend"]);
    person.sees("Apply?").types("y").sees("ready");
    std::thread::sleep(Duration::from_secs(1));
    person.interrupts();
    let screen = person.ends(4);
    assert!(screen.contains("stopped the wait") && screen.contains("kai undo"), "{screen}");
}
