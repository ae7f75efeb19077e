//! A cluster with a Deployment, and a person at a terminal.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use expectrl::{Eof, Expect};
use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::cluster::{Cluster, Options};
use kai_evals::terminal::Progress;
use serde_json::Value;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A `local` cluster of its own, with kai's folders beside it.
pub struct World {
    cluster: Option<Cluster>,
    name: String,
    kubectl: PathBuf,
    home: tempfile::TempDir,
}

impl World {
    /// Brings the cluster up, with two pods of Deployment `backend` ready in namespace `todo`.
    pub async fn up(what: &str) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let name = format!("t-{what}-{}-{}", std::process::id(), now.subsec_nanos());
        let cluster = Cluster::up(&Options::local(&name)).await.unwrap();
        let kubectl = go_tool(&Progress::stderr(), Tool::Kubectl).await.unwrap();
        let world = Self { cluster: Some(cluster), name, kubectl, home: tempfile::tempdir().unwrap() };
        world.kubectl(&["create", "namespace", "todo"]);
        world.kubectl(&["-n", "todo", "create", "deployment", "backend", "--image=nginx", "--replicas=2"]);
        world.settled(2);
        world
    }

    /// Takes the cluster down.
    pub async fn down(mut self) {
        self.cluster.take().unwrap().down().await.unwrap();
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }

    /// What kai runs with, here and when a client starts it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        [
            ("HOME", home.clone()),
            ("KAI_STATE", format!("{home}/state")),
            ("KAI_CONFIG", format!("{home}/config.toml")),
            ("KUBECONFIG", self.cluster().kubeconfig().display().to_string()),
            ("KAI_NAMESPACE", "todo".into()),
            ("TERM", "xterm".into()),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into()
    }

    /// What `kai` prints.
    pub fn kai(&self, args: &[&str]) -> String {
        let mut kai = Command::new(env!("CARGO_BIN_EXE_kai"));
        let output = kai.envs(self.environment()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A person runs `kai approve` in a terminal, reads, and types.
    pub fn approve(&self, plan: &str, typed: &str) {
        let mut kai = Command::new(env!("CARGO_BIN_EXE_kai"));
        kai.envs(self.environment()).args(["approve", plan]);
        let mut terminal = expectrl::Session::spawn(kai).unwrap();
        terminal.set_expect_timeout(Some(PATIENCE));
        terminal.expect("pply").unwrap();
        // What is typed at once was meant for something else; a person takes longer.
        std::thread::sleep(Duration::from_millis(800));
        terminal.send_line(typed).unwrap();
        terminal.expect(format!("Approved plan {plan}").as_str()).unwrap();
        terminal.expect(Eof).unwrap();
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let mut kubectl = Command::new(&self.kubectl);
        let output = kubectl.env("KUBECONFIG", self.cluster().kubeconfig()).args(args).output().unwrap();
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn live(&self) -> Value {
        serde_json::from_str(&self.kubectl(&["-n", "todo", "get", "deployment", "backend", "-o", "json"]))
            .unwrap()
    }

    /// What a write would change: the generation, which counts changes of what is asked for, and the annotations.
    pub fn deployment(&self) -> (Value, Value, Value) {
        let live = self.live();
        let (meta, spec) = (&live["metadata"], &live["spec"]);
        (meta["generation"].clone(), meta["annotations"].clone(), spec.clone())
    }

    /// The replicas that are asked for.
    pub fn replicas(&self) -> i64 {
        self.live()["spec"]["replicas"].as_i64().unwrap()
    }

    /// Scales without kai.
    pub fn scale(&self, to: i64) {
        self.kubectl(&["-n", "todo", "scale", "deployment", "backend", &format!("--replicas={to}")]);
        self.settled(to);
    }

    /// Waits until that many pods are ready, and until nothing else is about to change.
    fn settled(&self, replicas: i64) {
        let since = Instant::now();
        loop {
            let live = self.live();
            let seen = live["status"]["observedGeneration"] == live["metadata"]["generation"];
            if seen && live["status"]["readyReplicas"] == replicas && live["status"]["replicas"] == replicas {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "backend does not settle: {live:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How many requests on Deployments were not reads, by the API server's own audit log.
    pub fn writes(&self) -> usize {
        let audit = std::fs::read_to_string(self.cluster().audit_log()).unwrap();
        audit
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|e| {
                e["objectRef"]["resource"] == "deployments" && e["objectRef"]["subresource"] != "status"
            })
            .filter(|e| !matches!(e["verb"].as_str(), Some("get" | "list" | "watch")))
            .count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.cluster.take().is_some() {
            // The test failed; its cluster must not stay.
            let name = self.name.clone();
            let down = move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                let _ = runtime.block_on(kai_evals::cluster::down(&name, &Progress::stderr()));
            };
            let _ = std::thread::spawn(down).join();
        }
    }
}
