//! A `kind` cluster from nothing to nothing: pods on different nodes reach each other and a Service by
//! its name, an image that does not exist is not found, metrics and volumes work, nothing stays behind.
//!
//! It takes root or a Docker daemon, minutes when nothing is cached, and changes the machine's network
//! while it lasts: so it runs when `KAI_TEST_KIND=1` asks for it, and says so when it does not.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::cluster::{Cluster, Options, Provider};
use kai_evals::terminal::Progress;
use serde_json::Value;

/// How long a pod may take to become what it will be, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// kubectl for one cluster.
struct Kubectl {
    program: std::path::PathBuf,
    kubeconfig: std::path::PathBuf,
}

impl Kubectl {
    async fn of(cluster: &Cluster) -> Kubectl {
        let program = go_tool(&Progress::stderr(), Tool::Kubectl).await.unwrap();
        Kubectl { program, kubeconfig: cluster.kubeconfig().to_owned() }
    }

    fn output(&self, args: &[&str]) -> Output {
        Command::new(&self.program).env("KUBECONFIG", &self.kubeconfig).args(args).output().unwrap()
    }

    /// What it printed; anything but success fails the test.
    fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "kubectl {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["-o", "json"]].concat())).unwrap()
    }

    fn apply(&self, manifest: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), manifest).unwrap();
        self.run(&["apply", "-f", &file.path().to_string_lossy()]);
    }

    /// Waits until an object satisfies `wanted`, and answers it.
    fn until(&self, object: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let seen = self.json(&["get", object]);
            if wanted(&seen) {
                return seen;
            }
            assert!(since.elapsed() < PATIENCE, "{object} does not get there: {seen:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|at| at["type"] == "Ready" && at["status"] == "True"))
}

fn waits_for(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["waiting"]
}

/// What a cluster may leave on this machine: mounts, interfaces, rules, network namespaces, groups,
/// and kernel settings.
fn machine() -> Vec<String> {
    let script = "cut -d' ' -f2 /proc/mounts | grep -E 'docker|kai|netns'; ls /sys/class/net; \
        ls /var/run/netns /run/docker 2>/dev/null; ls -d /sys/fs/cgroup/*/docker /sys/fs/cgroup/docker 2>/dev/null; \
        nft list tables 2>/dev/null; iptables-save 2>/dev/null | grep -E '^(-A|:FORWARD|:DOCKER)' | cut -d' ' -f1-2; \
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/fs/inotify/max_user_instances; \
        for p in dockerd containerd containerd-shim docker-proxy docker-registry kubelet; do \
          ps -eo stat=,comm= | grep -v '^Z' | grep -c \" $p\" | sed \"s/^/$p /\"; done";
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Whether there is the folder of a Docker daemon of ours, and no such daemon.
fn a_killed_run_left_something() -> bool {
    std::path::Path::new("/run/kai-evals").exists() && machine().iter().any(|line| line == "dockerd 0")
}

fn manifest(name: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec: {{nodeName: {name}-worker2, containers: [{{name: c, image: "nginx:1.27"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec: {{nodeName: {name}-worker, containers: [{{name: c, image: "busybox:1.36", command: [sleep, "3600"]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: missing}}
spec: {{containers: [{{name: c, image: "nginx:9.99"}}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 10Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: store}}
spec:
  containers: [{{name: c, image: "redis:7", volumeMounts: [{{name: data, mountPath: /data}}]}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"#
    )
}

#[tokio::test]
async fn from_nothing_to_nothing() {
    if std::env::var_os("KAI_TEST_KIND").is_none_or(|asked| asked != "1") {
        eprintln!("SKIPPED: the kind cluster; KAI_TEST_KIND=1 runs it, as root or with a Docker daemon");
        return;
    }
    let name = format!("t-kind-{}", std::process::id());
    let _down = Down(name.clone());
    let options = Options { provider: Provider::Kind, name: name.clone(), nodes: None };
    if a_killed_run_left_something() {
        // The next cluster takes that up and removes it: only then is there a state to come back to.
        Cluster::up(&options).await.unwrap();
        assert!(evals(&["cluster", "down", "--name", &name]).status.success());
    }
    let before = machine();
    let cluster = Cluster::up(&options).await.unwrap();
    assert_eq!(cluster.state().context, format!("kind-{name}"));
    let kubectl = Kubectl::of(&cluster).await;
    let nodes = kubectl.json(&["get", "nodes"]);
    let nodes = nodes["items"].as_array().unwrap();
    assert!(nodes.len() == 3 && nodes.iter().all(ready), "{nodes:#?}");

    let account = kubectl.json(&["get", "configmap/kube-root-ca.crt"]);
    assert!(account["data"]["ca.crt"].is_string());
    kubectl.apply(&manifest(&name));
    let web = kubectl.until("pod/web", ready);
    kubectl.until("pod/client", ready);
    let address = web["status"]["podIP"].as_str().unwrap();
    for host in [address, "web", "web.default.svc.cluster.local"] {
        let since = Instant::now();
        // A Service's rules reach the other node a moment after its pod is Ready.
        let page = loop {
            let output = kubectl.output(&[
                "exec",
                "client",
                "--",
                "wget",
                "-T",
                "5",
                "-qO-",
                &format!("http://{host}"),
            ]);
            if output.status.success() || since.elapsed() > PATIENCE {
                break output;
            }
        };
        assert!(text(&page.stdout).contains("Welcome to nginx"), "{host}: {}", text(&page.stderr));
    }
    // The other node's pod sees the pod itself, not its node.
    let client = kubectl.json(&["get", "pod/client"])["status"]["podIP"].as_str().unwrap().to_owned();
    let log = kubectl.run(&["logs", "web"]);
    assert!(log.lines().any(|line| line.starts_with(&client)), "{client} is not in {log}");

    let missing = kubectl.until("pod/missing", |pod| waits_for(pod)["reason"] == "ErrImagePull");
    let why = waits_for(&missing)["message"].as_str().unwrap();
    assert!(why.contains("NotFound") && why.contains("nginx:9.99: not found"), "{why}");

    kubectl.until("pod/store", ready);
    assert_eq!(kubectl.json(&["get", "pvc/data"])["status"]["phase"], "Bound");
    assert_eq!(kubectl.run(&["exec", "store", "--", "redis-cli", "ping"]).trim(), "PONG");

    let top = kubectl.run(&["top", "nodes", "--no-headers"]);
    assert!(top.contains(&format!("{name}-control-plane")), "{top}");

    let audit = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let created = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|event| {
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "pods"
            && event["objectRef"]["name"] == "web"
    });
    assert!(created, "the audit log does not hold the Pod that was created");

    let status = text(&evals(&["cluster", "status"]).stdout);
    let line = status.lines().find(|line| line.starts_with(&name)).unwrap();
    assert!(line.contains("kind") && line.trim_end().ends_with("up"), "{line}");

    let folder = cluster.folder().to_owned();
    let down = evals(&["cluster", "down", "--name", &name]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert!(!folder.exists());
    assert_eq!(machine(), before);
}
