//! The protocol by hand, for what a well-behaved client does not do.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::world::World;

/// A server and the two ends of its pipe.
pub struct Raw {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next: u64,
    /// Sent with each request where there is no handshake.
    meta: Option<Value>,
}

impl Raw {
    /// A server for the newest revision, with a client that can show forms.
    pub fn start(world: &World, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kai"));
        command.arg("mcp").args(flags).envs(world.environment());
        let mut raw = Self::spawn(command);
        raw.meta = Some(json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        }));
        raw
    }

    /// A server for a revision with a handshake, with a client that can show forms.
    pub fn start_legacy(world: &World, flags: &[&str]) -> Self {
        let mut raw = Self::start(world, flags);
        raw.meta = None;
        raw.initialize();
        raw
    }

    /// A server with no cluster and nothing in its environment.
    pub fn alone(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kai"));
        command.arg("mcp").env_clear().env("HOME", home);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output, next: 1, meta: None }
    }

    /// The handshake.
    pub fn initialize(&mut self) {
        let id = self.send(
            "initialize",
            json!({
                "protocolVersion": "2025-11-25",
                "clientInfo": {"name": "raw", "version": "1"},
                "capabilities": {"elicitation": {}},
            }),
        );
        let answer = self.receive(|m| m["id"] == id);
        assert_eq!(answer["result"]["serverInfo"]["name"], "kai", "{answer}");
        self.notify("notifications/initialized", json!({}));
    }

    /// Calls a tool and gives its result.
    pub fn call(&mut self, params: &Value) -> Value {
        let id = self.send("tools/call", params.clone());
        let answer = self.receive(|m| m["id"] == id);
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// Sends a request and gives its id.
    pub fn send(&mut self, method: &str, mut params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Some(meta) = &self.meta {
            params["_meta"] = meta.clone();
        }
        self.message(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.message(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Answers a request of the server.
    pub fn answer(&mut self, id: &Value, result: Value) {
        self.message(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    fn message(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// The next message that is wanted. Every line must be one of the protocol: nothing else may be on stdout.
    pub fn receive(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server ended");
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
            assert_eq!(message["jsonrpc"], "2.0");
            if wanted(&message) {
                return message;
            }
        }
    }

    /// The most memory that the server held, where the system says.
    pub fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Ends stdin, and waits for the server's own end.
    pub fn finish(mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
