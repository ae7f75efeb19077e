//! `logs`: what several pods said, as one story; which container, and why.

use std::time::Duration;

use kai_evals::cluster::Line;
use serde_json::{Value, json};

use super::{call, said};
use crate::support::{World, cluster, has_real_kubelets};

/// Nobody's words can be written where containers really run.
#[allow(clippy::print_stderr, reason = "what is left out is said")]
fn left_out(name: &str) -> bool {
    if has_real_kubelets() {
        eprintln!("{name}: left out, logs can only be written on simulated nodes");
    }
    has_real_kubelets()
}

fn write(world: &World, pod: &str, container: &str, previous: bool, lines: &[(u64, String)]) {
    let lines: Vec<Line> =
        lines.iter().map(|(ago, text)| Line { ago: Duration::from_secs(*ago), text: text.clone() }).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(cluster().write_log(&world.namespace, pod, container, previous, &lines)).unwrap();
}

fn pods(world: &World, app: &str) -> Vec<String> {
    let names = world.kubectl(&["get", "pods", "-l", &format!("app={app}"), "-o", "name"]);
    names.lines().map(|n| n.trim_start_matches("pod/").to_string()).collect()
}

fn log(world: &World, more: &Value) -> (Value, String) {
    let mut arguments = json!({"workload": "backend"});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = world.kai(&["call", "logs", &arguments.to_string()]).ends(0).stdout;
    (call(world, "logs", &arguments), text)
}

#[test]
fn several_pods_are_one_story() {
    if left_out("several pods") {
        return;
    }
    let world = World::new("logsmany");
    let pods = pods(&world, "backend");
    let work = |from: u64, pod: usize| {
        (1..=30)
            .map(move |i| (from - i * 10, format!("{} job {i} done in {}ms", ["red", "blue"][pod], i * 7)))
    };
    let lines: Vec<_> = work(1800, 0).chain([(600, "GET /health 503 (not ready)".into())]).collect();
    write(&world, &pods[0], "nginx", false, &lines);
    let lines: Vec<_> = [(3000, "started".into())].into_iter().chain(work(1200, 1)).collect();
    write(&world, &pods[1], "nginx", false, &lines);

    let (answer, text) = log(&world, &json!({}));
    // A hash that happens to be all digits could be an ordinal: such a pod keeps its whole name.
    let short = |pod: &str| {
        let hash = pod.rsplit('-').next().unwrap();
        if hash.bytes().all(|b| b.is_ascii_digit()) { pod.to_string() } else { hash.to_string() }
    };
    let (one, two) = (short(&pods[0]), short(&pods[1]));
    let shown: Vec<&str> = text.lines().filter(|l| l.starts_with(['[', '.'])).collect();
    assert_eq!(
        shown,
        [
            format!("[{two}] started"),
            format!("[{one}] red job 1 done in 7ms"),
            "... 28 more like these".into(),
            format!("[{one}] red job 30 done in 210ms"),
            format!("[{two}] blue job 1 done in 7ms"),
            "... 28 more like these".into(),
            format!("[{two}] blue job 30 done in 210ms"),
            format!("[{one}] GET /health 503 (not ready)"),
        ],
        "{text}"
    );
    assert!(said(&answer).starts_with("62 lines from "), "{}", said(&answer));

    let found = |more: Value| -> Vec<String> {
        let (answer, _) = log(&world, &more);
        let lines = answer["data"]["lines"].as_array().unwrap();
        lines.iter().map(|l| l["text"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(found(json!({"grep": "(NOT ready)"})), ["GET /health 503 (not ready)"]);
    assert_eq!(found(json!({"grep": "health.*503"})), [""; 0], "text, not an expression");
    assert_eq!(found(json!({"grep": "/health.*503/"})), ["GET /health 503 (not ready)"]);
    assert_eq!(found(json!({"since": "2h", "until": "40m"})), ["started"]);
    assert_eq!(found(json!({"since": "12m", "grep": "health|started"})), ["GET /health 503 (not ready)"]);
    world
        .kai(&["call", "logs", r#"{"workload": "backend", "until": "noon"}"#])
        .ends(1)
        .says("`noon` is no moment");
    world.kai(&["call", "logs", r#"{"workload": "backend", "grep": "/(/"}"#]).ends(1).says("unclosed group");
}

#[test]
fn the_container_is_chosen_by_evidence() {
    if left_out("the container") {
        return;
    }
    let world = World::empty("logschoice");
    let deploy = |name: &str, image: &str| {
        world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 1,
            "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                {"name": "istio-proxy", "image": "proxy:1"}, {"name": "main", "image": "nginx:1.27"}, {"name": "ledger", "image": image}]}}}}));
    };
    deploy("calm", "nginx:1.27");
    world.settle("calm");
    deploy("backend", "crashloop:1");
    world.kubectl(&[
        "wait",
        "--for=jsonpath={.status.containerStatuses[2].restartCount}=1",
        "pod",
        "-l",
        "app=backend",
        "--timeout=60s",
    ]);
    let pod = &pods(&world, "backend")[0];
    write(&world, pod, "ledger", false, &[(5, "starting".into())]);
    write(&world, pod, "ledger", true, &[(60, "cannot open the ledger".into())]);

    let (answer, text) = log(&world, &json!({}));
    assert!(
        said(&answer).contains("container ledger (it is in CrashLoopBackOff, last exited with 1)"),
        "{}",
        said(&answer)
    );
    assert!(text.contains("starting"), "{text}");
    log(&world, &json!({"previous": true})).1.find("cannot open the ledger").expect("the run before");
    world
        .kai(&["call", "logs", r#"{"workload": "calm"}"#])
        .ends(0)
        .says("container main (the first that is no sidecar)");
    world
        .kai(&["call", "logs", r#"{"workload": "calm", "container": "db"}"#])
        .ends(1)
        .says("it has istio-proxy, main, ledger");
    world
        .kai(&["call", "logs", r#"{"workload": "calm", "previous": true}"#])
        .ends(0)
        .says("simulated container");
}
