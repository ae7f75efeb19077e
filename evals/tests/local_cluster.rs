//! A `local` cluster from nothing to nothing: up, used with kubectl, seen by the command line, down.
//!
//! Nothing here is skipped: without Go these tests fail, and say what to install.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::cluster::{Cluster, Line, Options, State};
use kai_evals::terminal::Progress;
use serde_json::Value;

/// How long a pod may take to become what it will be, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A name that no other test and no earlier run has.
fn name(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("t-{what}-{}-{}", std::process::id(), now.subsec_nanos())
}

/// Takes a cluster down also when its test fails.
struct Down(String);

impl Drop for Down {
    fn drop(&mut self) {
        evals(&["cluster", "down", "--name", &self.0]);
    }
}

fn evals(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kai-evals")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs kubectl and answers what it printed; anything but success fails the test.
async fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    let program = go_tool(&Progress::stderr(), Tool::Kubectl).await.unwrap();
    let output = Command::new(program).env("KUBECONFIG", cluster.kubeconfig()).args(args).output().unwrap();
    assert!(output.status.success(), "kubectl {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Waits until the pods of a Deployment satisfy `wanted`, and answers them.
async fn pods(cluster: &Cluster, app: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let list = kubectl(cluster, &["get", "pods", "-l", &format!("app={app}"), "-o", "json"]).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let pods = list["items"].as_array().unwrap();
        if wanted(pods) {
            return pods.clone();
        }
        assert!(since.elapsed() < PATIENCE, "the pods of {app} do not get there: {list:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|at| at["type"] == "Ready" && at["status"] == "True"))
}

fn waits_for(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

/// Whether a process runs; one that ended and only waits to be collected does not.
fn runs(pid: u32) -> bool {
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    } else {
        text(&Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap().stdout)
    };
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

#[tokio::test]
async fn from_nothing_to_nothing() {
    let name = name("all");
    let _down = Down(name.clone());
    let cluster = Cluster::up(&Options::local(&name)).await.unwrap();
    let state = cluster.state().clone();
    assert_eq!(state.processes.len(), 5);
    assert!(state.processes.iter().all(|process| runs(process.pid)));

    kubectl(&cluster, &["create", "deployment", "web", "--image=nginx", "--replicas=4"]).await;
    let all = pods(&cluster, "web", |pods| pods.len() == 4 && pods.iter().all(ready)).await;
    let nodes: BTreeSet<&str> = all.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    assert_eq!(nodes.len(), 3, "pods are on {nodes:?}");
    let version = kubectl(&cluster, &["version", "-o", "json"]).await;
    assert!(version.contains("v1.34.4"), "{version}");

    // The administrator may act as anyone; that one may do what was granted, which is nothing.
    let can = ["auth", "can-i", "delete", "pods", "--as", "nobody", "--as-group", "system:authenticated"];
    let program = go_tool(&Progress::stderr(), Tool::Kubectl).await.unwrap();
    let refused = Command::new(program).env("KUBECONFIG", cluster.kubeconfig()).args(can).output().unwrap();
    assert_eq!(text(&refused.stdout).trim(), "no");

    let audit = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let created = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|event| {
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "deployments"
            && event["objectRef"]["name"] == "web"
            && event["responseStatus"]["code"] == 201
    });
    assert!(created, "the audit log does not hold the Deployment that was created");

    seen_by_the_command_line(&cluster, &name);

    let folder = cluster.folder().to_owned();
    cluster.down().await.unwrap();
    assert!(!folder.exists(), "{} is still there", folder.display());
    let left: Vec<_> = state.processes.iter().filter(|process| runs(process.pid)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    for port in state.ports.values() {
        std::net::TcpListener::bind(("127.0.0.1", *port)).expect("a port is still in use");
    }
    assert!(text(&evals(&["cluster", "down", "--name", &name]).stderr).contains("nothing to take down"));
}

fn seen_by_the_command_line(cluster: &Cluster, name: &str) {
    let again = evals(&["cluster", "up", "--name", name]);
    assert!(again.status.success() && text(&again.stderr).contains("is up already"), "{again:?}");
    let status = text(&evals(&["cluster", "status"]).stdout);
    let line = status.lines().find(|line| line.starts_with(name)).expect("status lists it");
    assert!(line.contains("local") && line.trim_end().ends_with(" up"), "{line}");

    // A shell evaluates what env prints.
    let script = format!(
        "eval \"$('{}' cluster env --name {name})\"; printf %s \"$KUBECONFIG\"",
        env!("CARGO_BIN_EXE_kai-evals")
    );
    let output = Command::new("sh").args(["-c", &script]).env_remove("KUBECONFIG").output().unwrap();
    assert_eq!(Path::new(&text(&output.stdout)), cluster.kubeconfig());
}

#[tokio::test]
async fn pods_fail_by_their_image_and_say_what_they_are_told() {
    let name = name("pods");
    let _down = Down(name.clone());
    let cluster = Cluster::up(&Options { nodes: Some(1), ..Options::local(&name) }).await.unwrap();
    for image in ["does-not-exist", "crashloop", "oomkilled", "never-ready", "nginx"] {
        kubectl(&cluster, &["create", "deployment", image, &format!("--image=shop/{image}:1")]).await;
    }
    let missing =
        pods(&cluster, "does-not-exist", |pods| pods.iter().any(|pod| waits_for(pod) == "ImagePullBackOff"))
            .await;
    assert!(missing[0].to_string().contains("shop/does-not-exist:1: not found"), "{:#}", missing[0]);
    let crashed =
        pods(&cluster, "crashloop", |pods| pods.iter().any(|pod| waits_for(pod) == "CrashLoopBackOff")).await;
    let killed =
        pods(&cluster, "oomkilled", |pods| pods.iter().any(|pod| waits_for(pod) == "CrashLoopBackOff")).await;
    let last = |pod: &Value| pod["status"]["containerStatuses"][0]["lastState"]["terminated"].clone();
    assert_eq!(
        (last(&crashed[0])["exitCode"].clone(), last(&crashed[0])["reason"].clone()),
        (1.into(), "Error".into())
    );
    assert_eq!(last(&killed[0])["reason"], "OOMKilled");
    let unready =
        pods(&cluster, "never-ready", |pods| pods.iter().any(|pod| pod["status"]["phase"] == "Running"))
            .await;
    assert!(!ready(&unready[0]));

    kubectl(&cluster, &["create", "job", "good", "--image=busybox"]).await;
    kubectl(&cluster, &["create", "job", "bad", "--image=shop/crashloop"]).await;
    kubectl(&cluster, &["wait", "job/good", "--for=condition=Complete", "--timeout=90s"]).await;
    let phase = ["get", "pods", "-l", "job-name=bad", "-o", "jsonpath={.items[*].status.phase}"];
    let since = Instant::now();
    while !kubectl(&cluster, &phase).await.contains("Failed") {
        assert!(since.elapsed() < PATIENCE, "the pod of the bad job does not fail");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let web = pods(&cluster, "nginx", |pods| pods.iter().any(ready)).await;
    let pod = web[0]["metadata"]["name"].as_str().unwrap();
    assert!(kubectl(&cluster, &["logs", pod]).await.contains("nothing runs here"));
    let line = |minutes: u64, text: &str| Line { ago: Duration::from_secs(60 * minutes), text: text.into() };
    let lines = [line(30, "started"), line(1, "GET / 500")];
    cluster.write_log("default", pod, "nginx", false, &lines).await.unwrap();
    cluster.write_log("default", pod, "nginx", true, &[line(60, "out of memory")]).await.unwrap();
    assert_eq!(kubectl(&cluster, &["logs", pod]).await, "started\nGET / 500\n");
    assert_eq!(kubectl(&cluster, &["logs", pod, "--since=10m"]).await, "GET / 500\n");
    assert_eq!(kubectl(&cluster, &["logs", pod, "--previous"]).await, "out of memory\n");
}

#[tokio::test]
async fn what_a_killed_up_left_is_cleaned_by_the_next() {
    let name = name("killed");
    let _down = Down(name.clone());
    let mut first = Command::new(env!("CARGO_BIN_EXE_kai-evals"))
        .args(["cluster", "up", "--nodes", "1", "--name", &name])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let state = state_with_processes(&name, 2).await;
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(runs(state.processes[0].pid), "nothing was left to clean");

    let cluster = Cluster::up(&Options { nodes: Some(1), ..Options::local(&name) }).await.unwrap();
    assert!(!runs(state.processes[0].pid), "what the killed one started still runs");
    cluster.down().await.unwrap();
}

#[tokio::test]
async fn ctrl_c_during_up_leaves_nothing() {
    let name = name("stopped");
    let _down = Down(name.clone());
    let mut up = Command::new(env!("CARGO_BIN_EXE_kai-evals"))
        .args(["cluster", "up", "--nodes", "1", "--name", &name])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let state = state_with_processes(&name, 2).await;
    let pid = rustix::process::Pid::from_child(&up);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert!(!kai_evals::cluster::folder::of(&name).unwrap().exists());
    assert!(state.processes.iter().all(|process| !runs(process.pid)), "{:?}", state.processes);
}

/// Waits until an `up` has written down that many processes.
async fn state_with_processes(name: &str, how_many: usize) -> State {
    let folder = kai_evals::cluster::folder::of(name).unwrap();
    let since = Instant::now();
    loop {
        if let Ok(Some(state)) = State::read(&folder)
            && state.processes.len() >= how_many
        {
            return state;
        }
        assert!(since.elapsed() < PATIENCE * 10, "{name} does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
