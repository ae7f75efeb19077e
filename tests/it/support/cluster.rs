//! One cluster for all tests of this binary, taken down when the process ends, however it ends.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::cluster::{Cluster, Options, Provider};
use kai_evals::terminal::Progress;

struct Shared {
    cluster: Cluster,
    kubectl: PathBuf,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let name = format!("it-{}", std::process::id());
        take_down_at_the_end(&name);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster =
            runtime.block_on(Cluster::up(&Options { provider: provider(), name, nodes: None })).unwrap();
        let kubectl = runtime.block_on(go_tool(&Progress::stderr(), Tool::Kubectl)).unwrap();
        Shared { cluster, kubectl }
    })
}

/// A process of its own waits for this one to end: the test harness has no last word.
#[allow(clippy::zombie_processes, reason = "it outlives this process, which is what it is for")]
fn take_down_at_the_end(name: &str) {
    let evals = PathBuf::from(env!("CARGO_BIN_EXE_kai")).with_file_name("kai-evals");
    assert!(
        evals.exists(),
        "{} is not built: run `cargo build --workspace`, or `make test`",
        evals.display()
    );
    let wait = "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done; exec \"$2\" cluster down --name \"$3\"";
    Command::new("sh")
        .args(["-c", wait, "sh", &std::process::id().to_string()])
        .arg(evals)
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

/// What runs the nodes: simulated ones, unless KAI_TEST_PROVIDER asks for kind with its real kubelets.
fn provider() -> Provider {
    match std::env::var("KAI_TEST_PROVIDER").as_deref() {
        Ok("kind") => Provider::Kind,
        _ => Provider::Local,
    }
}

/// Whether containers really run.
pub fn has_real_kubelets() -> bool {
    provider() == Provider::Kind
}

pub fn cluster() -> &'static Cluster {
    &shared().cluster
}

/// The administrator's kubeconfig.
pub fn admin_kubeconfig() -> PathBuf {
    shared().cluster.kubeconfig().to_path_buf()
}

/// kubectl, which must succeed.
#[track_caller]
pub fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new(&shared().kubectl)
        .env("KUBECONFIG", admin_kubeconfig())
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
