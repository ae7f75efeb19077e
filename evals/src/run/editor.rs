//! A person who works in an editor: what a good model calls goes over MCP, and each plan waits until it is approved in a
//! terminal. The protocol is written by hand here, so that nothing of what kai is made of vouches for kai.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::model::filled;
use super::names::Names;
use super::person::{self, Manner, Seen};
use super::scenario::{Answer, Scenario};
use super::stop;
use crate::replay::Call;

/// The revision of the protocol that is spoken.
const REVISION: &str = "2025-11-25";
/// The tool that applies what was approved.
const APPLY: &str = "apply_plan";

/// Makes the calls of the golden script, approves each plan that comes of them, and has it applied.
///
/// # Errors
/// The server cannot be started, or does not answer.
pub fn works(
    scenario: &Scenario,
    names: &Names,
    command: &dyn Fn(&[String]) -> Command,
    patience: Duration,
) -> Result<Seen> {
    let script = filled(&scenario.golden, names)?;
    let options: Vec<String> =
        scenario.turns.iter().flat_map(|turn| &turn.options).map(|o| names.fill(o)).collect();
    let with = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).chain(options.clone()).collect();
        command(&words)
    };
    let since = Instant::now();
    let mut server = Server::start(with(&["mcp"]), patience)?;
    let mut seen = Seen::default();
    for Call { name, arguments, .. } in script.turns.iter().flat_map(|turn| &turn.calls) {
        let answer = server.call(name, arguments)?;
        seen.screen += &said(&answer);
        let content = &answer["structuredContent"];
        if content["outcome"] != "approval_needed" {
            continue;
        }
        let plan = content["plan"]["id"].as_str().context("a plan that waits has no id")?;
        let person = person::sits_before(
            &with(&["approve", plan]),
            &Manner::kai(),
            &Answer::Anything,
            patience,
            &mut || Ok(()),
        )?;
        let from = seen.screen.len();
        seen.screen += &person.screen;
        seen.asked.extend(person.asked.iter().map(|a| person::Asked { screen: from + a.screen, ..*a }));
        let applied = server.call(APPLY, &json!({"plan_id": plan}))?;
        seen.screen += &said(&applied);
        let exit = applied["structuredContent"]["exit"].as_i64().and_then(|code| i32::try_from(code).ok());
        seen.exit = exit.unwrap_or(i32::from(applied["isError"] == true));
    }
    seen.took = since.elapsed();
    Ok(seen)
}

/// What a result says to a model.
fn said(result: &Value) -> String {
    let parts = result["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    parts.fold(String::new(), |all, text| all + text + "\n")
}

/// `kai mcp`, and the lines that it writes.
struct Server {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    patience: Duration,
    next: u64,
}

impl Server {
    fn start(mut command: Command, patience: Duration) -> Result<Server> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start kai mcp")?;
        let input = child.stdin.take().context("kai mcp has no stdin")?;
        let output = child.stdout.take().context("kai mcp has no stdout")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let all = BufReader::new(output).lines().map_while(Result::ok);
            all.map(|line| sender.send(line)).find(Result::is_err)
        });
        let mut server = Server { child, input, lines, patience, next: 0 };
        let client = json!({"name": "kai-evals", "version": "1"});
        server.ask(
            "initialize",
            &json!({"protocolVersion": REVISION, "clientInfo": client, "capabilities": {}}),
        )?;
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(server)
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        let since = Instant::now();
        loop {
            stop::check()?;
            ensure!(since.elapsed() < self.patience, "kai mcp does not answer {method} {params}");
            let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) else {
                let ended = self.child.try_wait()?;
                ensure!(ended.is_none(), "kai mcp has ended instead of answering {method} {params}");
                continue;
            };
            let answer: Value =
                serde_json::from_str(&line).with_context(|| format!("kai mcp wrote no JSON: {line}"))?;
            if answer["id"] == id {
                ensure!(answer["error"].is_null(), "{method} {params}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        writeln!(self.input, "{message}").context("kai mcp does not listen any more")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
