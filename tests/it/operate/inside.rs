//! `exec` and `port_forward`: off until enabled, and then one approved connection and no other.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::{World, has_real_kubelets};

fn world(name: &str) -> World {
    World::new(name)
}

#[test]
fn it_is_off_until_it_is_enabled() {
    let world = world("execoff");
    let call = json!({"workload": "backend", "command": ["ls"]}).to_string();
    world.kai(&["--yes", "call", "exec", &call]).ends(7).says("--allow exec");
    world.kai(&["--yes", "--allow", "exec", "call", "exec", &call]).ends(3).says("waits for a person");
    world.kai(&["--read-only", "--allow", "exec", "call", "exec", &call]).ends(7).says("read-only");
    let forward = json!({"target": "backend", "port": 80}).to_string();
    world.kai(&["--yes", "call", "port_forward", &forward]).ends(7).says("--allow exec");
    world.nothing_was_written();
    assert!(world.proxy.requests().iter().all(|r| !r.upgrade));
    let listed = |arguments: &[&str]| {
        let out = world.kai(arguments).ends(0).stdout;
        out.lines().find(|l| l.starts_with("exec")).map(|l| l.contains("off")).unwrap()
    };
    assert!(listed(&["call", "--list"]) && !listed(&["--allow", "exec", "call", "--list"]));
}

#[test]
fn what_cannot_be_shown_or_found_is_refused() {
    let world = world("execbad");
    for (arguments, says) in [
        (json!({"workload": "backend", "command": []}), "names no program"),
        (json!({"workload": "backend", "command": ["sh", "-c", "a\nb"]}), "control characters"),
        (json!({"workload": "backend", "command": ["x", "--password=hunter2hunter2"]}), "may be a secret"),
        (json!({"workload": "backend", "command": ["ls"], "container": "sidecar"}), "it has nginx"),
        (json!({"workload": "nowhere", "command": ["ls"]}), "there is no workload `nowhere`"),
    ] {
        world.kai(&["--allow", "exec", "call", "exec", &arguments.to_string()]).ends(1).says(says);
    }
    let system = json!({"workload": "pod/x", "command": ["ls"], "namespace": "kube-system"}).to_string();
    world.kai(&["--allow", "exec", "call", "exec", &system]).ends(1);
    world.nothing_was_written();
}

#[test]
fn one_approved_command_runs_and_its_output_is_bounded_and_masked() {
    let world = world("exec");
    let typed = |command: &[&str], code: i32| {
        let call = json!({"workload": "backend", "command": command}).to_string();
        let mut person = world.person(&["--allow", "exec", "call", "exec", &call]);
        person.sees("runs").sees("cannot be taken back").sees("Type").types("backend");
        person.ends(code)
    };
    let screen = typed(&["echo", "hello from; inside"], 0);
    assert!(screen.contains(r#"["echo","hello from; inside"]"#), "{screen}");
    assert!(screen.contains("hello from; inside\r\n") && screen.contains("ended with 0"), "{screen}");
    let streams: Vec<_> = world.proxy.requests().into_iter().filter(|r| r.upgrade).collect();
    assert_eq!(streams.len(), 1);
    assert!(
        streams[0].path.contains("/pods/backend-")
            && streams[0].query.contains("command=echo&command=hello%20from%3B%20inside"),
        "{}",
        streams[0].line()
    );
    assert_eq!(world.proxy.writes().len(), 1, "the connection and nothing else");

    let screen = typed(&["sh", "-c", "echo bad >&2; exit 3"], 4);
    // A real kubelet tells the exit code, a simulated one only says it in words.
    let ended = if has_real_kubelets() { "The command ended with 3." } else { "exit status 3" };
    assert!(screen.contains("bad\r\n") && screen.contains(ended), "{screen}");
    let says = "printf 'token='; printf 'abc%.0s' 1 2 3 4 5 6 7 8 9; printf '\\n\\033[31mred'";
    let screen = typed(&["sh", "-c", says], 0);
    assert!(screen.contains("token=[redacted]") && !screen.contains("abcabcabc"), "{screen}");
    assert!(!screen.contains("\u{1b}[31m"), "{screen}");
    let screen = typed(&["sh", "-c", "yes 0123456789"], 4);
    assert!(screen.contains("it said more than kai keeps") && screen.contains("more lines"), "{screen}");

    let log = world.kai(&["log"]).ends(0).stdout;
    assert!(log.contains("Execute a command in pod/backend-"), "{log}");
    let journal = std::fs::read_to_string(world.home.path().join(".local/state/kai/journal.jsonl"));
    assert!(journal.is_ok_and(|j| !j.contains("hello from; inside\\n")), "output is not kept");
    world.kai(&["undo", "--yes"]).ends(7).says("cannot be taken back");
}

#[test]
fn a_port_leads_to_the_pod_until_ctrl_c() {
    if has_real_kubelets() {
        return; // The simulated pod echoes; a real one serves what its image serves.
    }
    let world = world("forward");
    world.kubectl(&["expose", "deployment", "backend", "--port=80", "--target-port=8080"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let call = json!({"target": "service/backend", "port": 80, "local_port": free}).to_string();
    let mut person = world.person(&["--allow", "exec", "call", "port_forward", &call]);
    person
        .sees(&format!("Forward 127.0.0.1:{free} to port 8080 of pod/backend-"))
        .sees("Type")
        .types("backend");
    person.sees("leads to its port 8080");
    for said in ["one", "two"] {
        let mut stream = TcpStream::connect(("127.0.0.1", free)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        let mut back = [0; 3];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, said.as_bytes());
    }
    assert!(TcpStream::connect(("127.0.0.2", free)).is_err(), "this machine's own address only");
    person.interrupts();
    let screen = person.ends(0);
    assert!(screen.contains("closed in") && screen.contains("Forwarded 127.0.0.1:"), "{screen}");
    assert!(TcpStream::connect(("127.0.0.1", free)).is_err(), "closed");
    let streams = world.proxy.requests().into_iter().filter(|r| r.upgrade).count();
    assert_eq!(streams, 2, "one for each connection");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let call = json!({"target": "backend", "port": 80, "local_port": taken.local_addr().unwrap().port()})
        .to_string();
    let mut person = world.person(&["--allow", "exec", "call", "port_forward", &call]);
    person.sees("Type").types("backend");
    assert!(person.ends(1).contains("cannot be listened on"));
}
