//! The official TypeScript client as a child process that takes requests and prints what came of them.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::world::World;

const PACKAGE: &str = "@modelcontextprotocol/client";
const VERSION: &str = "2.4.0";

/// A running client with a running server.
pub struct Client {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What a call came to, as the client saw it.
#[derive(Debug)]
pub struct Seen {
    pub failed: bool,
    pub text: String,
    pub data: Value,
    pub progress: Vec<Value>,
    pub asked: Vec<Value>,
}

impl Client {
    /// Starts the client, which starts `kai mcp` with these flags.
    pub fn start(world: &World, options: &Value, flags: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.mjs"))
            .arg(package())
            .arg(options.to_string())
            .arg(env!("CARGO_BIN_EXE_kai"))
            .arg("mcp")
            .args(flags)
            .envs(world.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node is needed for this test: install node 20 or newer");
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, requests, answers };
        let ready = client.answer();
        assert_eq!(ready["ready"], true, "{ready}");
        client
    }

    /// The tools that the server lists.
    pub fn list(&mut self) -> Vec<Value> {
        let answer = self.ask(&json!({"list": true}));
        answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    }

    /// Calls a tool.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Seen {
        let answer = self.ask(&json!({"call": tool, "arguments": arguments}));
        let result = &answer["result"];
        let content = result["content"].as_array().unwrap_or_else(|| panic!("{tool}: {answer}"));
        let texts: Vec<&str> = content.iter().filter_map(|c| c["text"].as_str()).collect();
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        Seen {
            failed: result["isError"] == true,
            text: texts.join("\n"),
            data: result["structuredContent"].clone(),
            progress: list("progress"),
            asked: list("asked"),
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        let requests = self.requests.as_mut().unwrap();
        writeln!(requests, "{request}").unwrap();
        requests.flush().unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the client ended or printed {line:?}: {e}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

impl Seen {
    /// The id of the plan that was previewed.
    pub fn plan(&self) -> String {
        self.data["plan"]["id"].as_str().unwrap_or_else(|| panic!("no plan: {self:?}")).to_string()
    }

    /// Whether there was progress, and each was further than the one before.
    pub fn progress_rises(&self) -> bool {
        let at: Vec<f64> = self.progress.iter().filter_map(|p| p["progress"].as_f64()).collect();
        !at.is_empty() && at.windows(2).all(|w| w[0] < w[1])
    }
}

/// The folder with the client's package: installed once, into the cache.
fn package() -> PathBuf {
    let cache = kai_evals::cluster::folder::cache();
    let folder = cache.join(format!("mcp-client-{VERSION}"));
    if folder.join("package.json").exists() {
        return folder;
    }
    let partial = cache.join(format!("mcp-client-{VERSION}.{}", std::process::id()));
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join("package.json"), "{\"private\": true}").unwrap();
    eprintln!("installing {PACKAGE} {VERSION} into {}", folder.display());
    let output = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", &format!("{PACKAGE}@{VERSION}")])
        .current_dir(&partial)
        .output()
        .expect("npm is needed for this test: install node 20 or newer with npm");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{PACKAGE} {VERSION} cannot be installed: {said}");
    // Of two tests that install at once, one renames; the other finds it done.
    if std::fs::rename(&partial, &folder).is_err() {
        std::fs::remove_dir_all(&partial).unwrap();
    }
    assert!(folder.join("package.json").exists());
    folder
}
