//! A kai with a home of its own, a namespace of its own, and a proxy that sees every request.

mod cluster;
pub mod seeds;
mod terminal;

use std::process::{Command, Stdio};

use kai_evals::proxy::{Options, Proxy, Recorded};
use serde_json::Value;
use tempfile::TempDir;

pub use cluster::{admin_kubeconfig, cluster, has_real_kubelets, kubectl};
pub use terminal::Person;

/// What a run of kai came to.
#[derive(Debug)]
pub struct Out {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Out {
    /// Fails unless kai ended with this code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails unless this was printed, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.all().contains(text),
            "wanted `{text}` in\nstdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// A world for one test.
pub struct World {
    pub namespace: String,
    pub home: TempDir,
    pub proxy: Proxy,
}

impl World {
    /// A namespace with a Deployment `backend` of two ready pods.
    pub fn new(name: &str) -> Self {
        let world = Self::empty(name);
        world.deploy("backend", 2, "nginx:1.27");
        world
    }

    /// A namespace with nothing in it.
    pub fn empty(name: &str) -> Self {
        let namespace = format!("{name}-{}", std::process::id());
        kubectl(&["create", "namespace", &namespace]);
        let proxy = Proxy::start(&admin_kubeconfig(), Options::default()).unwrap();
        Self { namespace, home: tempfile::tempdir().unwrap(), proxy }
    }

    /// Makes a Deployment and waits until its pods are ready.
    pub fn deploy(&self, name: &str, replicas: u32, image: &str) {
        let (image, replicas) = (format!("--image={image}"), format!("--replicas={replicas}"));
        self.kubectl(&["create", "deployment", name, &image, &replicas]);
        self.settle(name);
    }

    /// Waits until a Deployment's rollout is complete.
    pub fn settle(&self, name: &str) {
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        kubectl(&all)
    }

    /// An object as the API server has it now.
    pub fn object(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", what, "-o", "json"])).unwrap()
    }

    pub fn replicas(&self) -> i64 {
        self.object("deployment/backend")["spec"]["replicas"].as_i64().unwrap()
    }

    /// Makes an object from JSON.
    pub fn create(&self, object: &Value) {
        let path = self.home.path().join("object.json");
        std::fs::write(&path, object.to_string()).unwrap();
        self.kubectl(&["create", "-f", path.to_str().unwrap()]);
    }

    /// kai through the proxy, as nobody in particular.
    pub fn command(&self) -> Command {
        self.command_on(self.proxy.kubeconfig().to_str().unwrap())
    }

    /// kai with another kubeconfig.
    pub fn command_on(&self, kubeconfig: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kai"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", kubeconfig)
            .env("KAI_NAMESPACE", &self.namespace)
            .stdin(Stdio::null());
        command
    }

    /// Runs kai without a terminal.
    #[must_use]
    pub fn kai(&self, arguments: &[&str]) -> Out {
        run(self.command().args(arguments))
    }

    /// Runs kai as somebody else, with no rights but those given to them.
    #[must_use]
    pub fn kai_as(&self, user: &str, arguments: &[&str]) -> Out {
        let options = Options { impersonate: Some(user.into()), ..Options::default() };
        let kubeconfig = self.proxy.kubeconfig_for(&options).unwrap();
        run(self.command_on(kubeconfig.to_str().unwrap()).args(arguments))
    }

    /// kai at a terminal, with a person before it.
    pub fn person(&self, arguments: &[&str]) -> Person {
        let mut command = self.command();
        command.args(arguments);
        Person::at(command)
    }

    /// Fails unless everything that was sent is a read, a self-review or a dry run.
    #[track_caller]
    pub fn nothing_was_written(&self) {
        let written: Vec<String> = self.proxy.writes().iter().map(Recorded::line).collect();
        assert!(written.is_empty(), "written: {written:#?}");
    }

    /// The only write that was sent.
    #[track_caller]
    pub fn the_write(&self) -> Recorded {
        let writes = self.proxy.writes();
        assert_eq!(writes.len(), 1, "{:#?}", writes.iter().map(Recorded::line).collect::<Vec<_>>());
        writes[0].clone()
    }
}

/// Runs a command to its end.
#[must_use]
pub fn run(command: &mut Command) -> Out {
    let output = command.output().unwrap();
    Out {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
