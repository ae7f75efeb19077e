//! The chat, driven through a pseudo-terminal as a person would.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use expectrl::{Eof, Expect, Session};
use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::cluster::{Cluster, Options};
use kai_evals::replay::{Fault, Replay, Script, Turn};
use kai_evals::terminal::Progress;
use serde_json::{Value, json};
use tempfile::TempDir;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A chat on a terminal of its own.
struct Chat {
    session: OsSession,
    home: TempDir,
}

impl Chat {
    fn open(kubeconfig: &str, extra: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kai"));
        command
            .env_clear()
            .env("HOME", home.path())
            .env("KUBECONFIG", kubeconfig)
            .env("KAI_NAMESPACE", "todo")
            .env("KAI_STATE", home.path().join("state"))
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .envs(extra.iter().copied());
        let mut session = Session::spawn(command).unwrap();
        session.get_process_mut().set_window_size(100, 30).unwrap();
        session.set_expect_timeout(Some(Duration::from_secs(30)));
        Self { session, home }
    }

    /// Waits for that text and gives what came before it.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        match self.session.expect(text) {
            Ok(found) => String::from_utf8_lossy(found.before()).into_owned(),
            Err(e) => {
                let mut seen = vec![0; 8000];
                let n = self.session.try_read(&mut seen).unwrap_or(0);
                panic!("`{text}` did not come ({e}); on the screen: {}", String::from_utf8_lossy(&seen[..n]))
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
    }

    /// A line at the prompt of that namespace.
    #[track_caller]
    fn says(&mut self, line: &str) {
        self.sees(" > ");
        self.types(&format!("{line}\r"));
    }

    /// Answers the question, after the moment in which keys are taken for an accident.
    #[track_caller]
    fn answers(&mut self, answer: &str) -> String {
        let preview = self.sees("[?]");
        std::thread::sleep(Duration::from_millis(700));
        self.types(answer);
        preview
    }

    #[track_caller]
    fn ends(mut self, code: i32) {
        self.session.expect(Eof).unwrap();
        let status = self.session.get_process().wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, c) if c == code), "{status:?}");
    }
}

/// A kubeconfig of a cluster that does not answer, with a production context.
fn nowhere(folder: &TempDir) -> String {
    let path = folder.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\nclusters: [{name: n, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                users: [{name: n, user: {}}]\ncontexts: [{name: nowhere, context: {cluster: n, user: n, namespace: todo}}, \
                {name: eu-prod, context: {cluster: n, user: n, namespace: shop}}]\n";
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_model_streams_is_stopped_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let replay = Replay::start(Script::new([
        Turn::call("changes", json!({})),
        Turn::text("Nothing was changed yet."),
        Turn::text("Once upon a time there was a very long answer that never came to its end")
            .with_fault(Fault::Stall { after: 700 }),
        Turn::text("Still here."),
    ]))
    .unwrap();
    let url = replay.url();
    let mut chat =
        Chat::open(&nowhere(&folder), &[("KAI_MODEL", "scripted"), ("KAI_BASE_URL", url.as_str())]);
    chat.says("what did you do?");
    chat.sees("Nothing was changed yet.");
    chat.sees("tokens: ");
    chat.says("tell me a story");
    chat.sees("Once");
    chat.types(CTRL_C);
    chat.sees("interrupted; nothing was changed");
    chat.says("are you there?");
    chat.sees("Still here.");
    chat.says("/tokens");
    chat.sees("tokens: ");
    chat.sees(" > ");
    chat.types(CTRL_D);
    chat.ends(0);
    // What was sent last is a whole conversation: every call answered, and the stopped turn left out.
    let requests = replay.requests();
    let sent = serde_json::to_value(&requests.last().unwrap().body).unwrap();
    let sent: Value = sent.as_str().map_or(sent.clone(), |s| serde_json::from_str(s).unwrap());
    let roles: Vec<&str> =
        sent["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    replay.finish().unwrap();
}

#[test]
fn commands_work_without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let mut chat = Chat::open(&nowhere(&folder), &[]);
    chat.says("/help");
    chat.sees("/namespace [name]");
    chat.says("/namspace shop");
    chat.sees("did you mean /namespace?");
    chat.sees(" > ");
    chat.types("/na\tshop\r");
    chat.sees("nowhere shop > ");
    chat.types("/context eu-prod\r");
    chat.sees("eu-prod shop (read-only) > ");
    chat.types("/context eu-pro\r");
    chat.sees("there is no context eu-pro");
    chat.says("/model ollama:qwen3");
    chat.sees("answers from here on");
    chat.says("/model planner");
    chat.sees("answers from here on");
    // A sentence that nobody understands is told, and the chat goes on.
    chat.says("frobnicate the flux");
    chat.sees("can't place");
    // A paste of two lines is one entry.
    chat.sees(" > ");
    chat.types("\x1b[200~frobnicate\nit all\x1b[201~");
    chat.types("\r");
    chat.sees("say one request in one line");
    chat.says("use the key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD");
    chat.sees("can't place");
    chat.sees(" > ");
    chat.types(CTRL_C);
    chat.sees("Ctrl-D leaves");
    chat.sees(" > ");
    chat.types("/quit\r");
    let history: PathBuf = chat.home.path().join("state/chat_history");
    chat.session.expect(Eof).unwrap();
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("frobnicate\\nit all"), "{kept}");
    assert!(!kept.contains("sk-proj"), "{kept}");
}

/// A cluster with a Deployment `backend` of two pods, taken down at the end.
struct Live {
    cluster: Cluster,
    runtime: tokio::runtime::Runtime,
    kubectl: PathBuf,
    name: String,
}

impl Live {
    fn up() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let name = format!("chat-{}", std::process::id());
        let cluster = runtime.block_on(Cluster::up(&Options::local(&name))).unwrap();
        let kubectl = runtime.block_on(go_tool(&Progress::stderr(), Tool::Kubectl)).unwrap();
        let live = Self { cluster, runtime, kubectl, name };
        live.kubectl(&["create", "namespace", "todo"]);
        live.todo(&["create", "deployment", "backend", "--image=nginx:1.27", "--replicas=2"]);
        live.todo(&["wait", "--for=condition=Available", "deployment/backend", "--timeout=120s"]);
        live
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let out = Command::new(&self.kubectl)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn todo(&self, arguments: &[&str]) -> String {
        self.kubectl(&[&["-n", "todo"], arguments].concat())
    }

    fn replicas(&self) -> String {
        self.todo(&["get", "deployment", "backend", "-o", "jsonpath={.spec.replicas}"])
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(kai_evals::cluster::down(&self.name, &Progress::stderr()));
    }
}

#[test]
fn the_main_job_in_a_chat() {
    let live = Live::up();
    let mut chat = Chat::open(&live.cluster.kubeconfig().display().to_string(), &[]);
    chat.sees("built-in planner");
    chat.says("scale backend to 3");
    let preview = chat.answers("y\r");
    assert!(preview.contains("deployment/backend") && preview.contains("2 → 3"), "{preview}");
    chat.sees("Scaled deployment/backend");
    assert_eq!(live.replicas(), "3");

    chat.says("now 2");
    let preview = chat.answers("n\r");
    assert!(preview.contains("3 → 2"), "{preview}");
    chat.sees("Declined. Nothing was changed.");
    assert_eq!(live.replicas(), "3");

    // What was declined last is no change: the planner asks which is meant, and a number answers.
    chat.says("undo that");
    chat.sees("What shall I take back?");
    chat.says("1");
    let preview = chat.answers("y\r");
    assert!(preview.contains("3 → 2"), "{preview}");
    chat.sees("Take it back with");
    assert_eq!(live.replicas(), "2");

    // A question that is stopped does not take the line that follows.
    chat.says("scale backend to 5");
    chat.answers(CTRL_C);
    chat.sees("nothing was changed");
    chat.says("/log");
    chat.sees("deployment/backend");
    assert_eq!(live.replicas(), "2");

    chat.says("/namespace kube-system");
    chat.sees("kube-system > ");
    chat.types("/namespace todo\r");
    chat.sees("todo > ");
    // The names come in the background.
    std::thread::sleep(Duration::from_secs(3));
    chat.types("status of back\t");
    chat.sees("end");
    chat.types(CTRL_C);
    chat.sees("Ctrl-D leaves");

    // A wait that is stopped says what was applied.
    let slow = r#"{"spec":{"template":{"metadata":{"annotations":{"kai-evals/ready-after":"8s"}}}}}"#;
    live.todo(&["patch", "deployment", "backend", "-p", slow]);
    live.todo(&["rollout", "status", "deployment/backend", "--timeout=120s"]);
    let before = live.todo(&["get", "deployment", "backend", "-o", "jsonpath={.metadata.generation}"]);
    chat.says("restart backend");
    chat.answers("y\r");
    chat.sees("ready  ");
    chat.types(CTRL_C);
    chat.sees("was changed; it is not ready yet");
    chat.sees("Take it back with");
    let after = live.todo(&["get", "deployment", "backend", "-o", "jsonpath={.metadata.generation}"]);
    assert_ne!(before, after);
    chat.says("/undo");
    chat.answers("n\r");
    chat.sees("Nothing was changed");
    chat.says("/quit");
    chat.ends(0);
}
