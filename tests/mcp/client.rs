//! Official clients as child processes that take requests and print what came of them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::world::World;

/// The SDK that a client is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    Go,
    TypeScript,
}

const GO: &str = "github.com/modelcontextprotocol/go-sdk@v1.8.0";
const TYPESCRIPT: &str = "@modelcontextprotocol/client@2.4.0";

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
    pub fn start(world: &World, sdk: Sdk, options: &Value, flags: &[&str]) -> Self {
        let mut child = sdk
            .command()
            .arg(options.to_string())
            .arg(env!("CARGO_BIN_EXE_kai"))
            .arg("mcp")
            .args(flags)
            .envs(world.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
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

impl Sdk {
    /// Go always, for the cluster needs it anyway; TypeScript where Node is.
    pub fn all() -> Vec<Self> {
        let node = ["node", "npm"].iter().all(|p| Command::new(p).arg("--version").output().is_ok());
        if !node {
            eprintln!(
                "Node is not installed: the TypeScript client is left out, the Go client does the same"
            );
        }
        if node { vec![Self::Go, Self::TypeScript] } else { vec![Self::Go] }
    }

    /// The client's program: installed or built once, into the cache.
    fn command(self) -> Command {
        match self {
            Self::Go => Command::new(
                once("go", GO, |folder| {
                    let source = include_str!("go/main.go");
                    std::fs::write(folder.join("main.go"), source).unwrap();
                    std::fs::write(folder.join("go.mod"), "module client\n\ngo 1.24\n").unwrap();
                    run(folder, "go", &["get", GO]);
                    run(folder, "go", &["build", "-o", "client", "."]);
                })
                .join("client"),
            ),
            Self::TypeScript => {
                let mut node = Command::new("node");
                node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.mjs"));
                node.arg(once("typescript", TYPESCRIPT, |folder| {
                    std::fs::write(folder.join("package.json"), "{\"private\": true}").unwrap();
                    run(
                        folder,
                        "npm",
                        &["install", "--ignore-scripts", "--no-audit", "--no-fund", TYPESCRIPT],
                    );
                }));
                node
            }
        }
    }
}

/// A folder of the cache, filled once for what it is made of.
fn once(name: &str, package: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut key = DefaultHasher::new();
    (package, include_str!("go/main.go")).hash(&mut key);
    let cache = kai_evals::cluster::folder::cache();
    let folder = cache.join(format!("mcp-client-{name}-{:016x}", key.finish()));
    if folder.exists() {
        return folder;
    }
    eprintln!("installing the MCP client {package} into {}", folder.display());
    std::fs::create_dir_all(&cache).unwrap();
    let partial = tempfile::tempdir_in(&cache).unwrap();
    fill(partial.path());
    // Of two that install at once, one renames; the other finds it done.
    let _ = std::fs::rename(partial.path(), &folder);
    assert!(folder.exists(), "{} was not made", folder.display());
    folder
}

fn run(folder: &Path, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    let output =
        command.args(args).current_dir(folder).env("GOWORK", "off").env("GOFLAGS", "-mod=mod").output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
