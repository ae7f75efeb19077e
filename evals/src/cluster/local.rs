//! The `local` provider: a control plane of plain processes, with nodes that KWOK plays.
//!
//! It needs Go and nothing else: no root, no Docker. The API server, the controllers and the scheduler
//! are the real ones; what is simulated is only that containers run. [`plane`] holds the command
//! lines, [`nodes`] the nodes, [`pki`] the certificates.

mod nodes;
mod pki;
mod plane;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use reqwest::Client;
use serde_json::Value;

use super::build::{Tool, go_tool};
use super::kubeconfig::Admin;
use super::logs::{Line, cri};
use super::processes::{self, Process};
use super::{DEFAULT_NAME, Health, Options, Phase, Provider, State, ports};
use crate::terminal::{Progress, Step};
use pki::Pki;
pub(super) use plane::AUDIT_POLICY;
use plane::Ports;

/// How many nodes there are when nobody says.
const NODES: u32 = 3;
/// How long one part may take to be ready, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many lines of a part's log an error shows.
const TAIL: usize = 15;

/// Brings the cluster up in its folder, which is empty.
///
/// # Errors
/// A program cannot be built, or a part ends or does not become ready; nothing of it runs then.
pub async fn up(options: &Options, folder: &Path, progress: &Progress) -> Result<State> {
    let kube = go_tool(progress, Tool::Kube).await?;
    let kwok = go_tool(progress, Tool::Kwok).await?;
    let [api, etcd, peers, kubelets] = ports::free(&options.name, 4)?[..] else {
        bail!("there are too few ports");
    };
    let ports = Ports { api, etcd, peers, kubelets };
    let step = progress.step(format!("starting {}", options.name));
    let mut starting = Starting::new(options, folder, ports)?;
    let admin = prepare(folder, ports, &starting.state)?;
    let client = admin.client()?;
    let bin = kube.parent().context("the kube binary has no folder")?.to_owned();
    let part = |name: &str, args: Vec<String>| {
        let mut command = Command::new(bin.join(name));
        command.args(args);
        command
    };

    step.detail("etcd");
    starting.run("etcd", part("etcd", plane::etcd(folder, ports)))?;
    starting
        .wait("etcd", async || tokio::net::TcpStream::connect(("127.0.0.1", ports.etcd)).await.is_ok())
        .await?;
    step.detail("API server");
    starting.run("kube-apiserver", part("kube-apiserver", plane::api_server(folder, ports)))?;
    let readyz = format!("{}/readyz", admin.server);
    starting.wait("the API server", async || answers(&client, &readyz).await).await?;
    step.detail("controllers, scheduler, nodes");
    let controllers = plane::controller_manager(folder);
    starting.run("kube-controller-manager", part("kube-controller-manager", controllers))?;
    starting.run("kube-scheduler", part("kube-scheduler", plane::scheduler(folder)))?;
    let types = format!("{}/apis/apiextensions.k8s.io/v1/customresourcedefinitions", admin.server);
    create(&client, &types, &nodes::logs_type()).await?;
    add_nodes(&client, &admin.server, &starting.state, ports).await?;
    let logs = format!("{}/apis/kwok.x-k8s.io/v1alpha1/logs", admin.server);
    starting.wait("the API server", async || answers(&client, &logs).await).await?;
    let mut command = Command::new(kwok);
    command.arg("--kubeconfig").arg(folder.join("conf/kwok.kubeconfig"));
    command.arg("--config").arg(folder.join("conf/kwok.yaml"));
    starting.run("kwok", command)?;
    wait_for_nodes(&mut starting, &client, &admin.server, &step).await?;
    let account = format!("{}/api/v1/namespaces/default/serviceaccounts/default", admin.server);
    starting.wait("the controllers", async || answers(&client, &account).await).await?;
    let state = starting.finish()?;
    step.done();
    Ok(state)
}

/// Ends every process of the cluster.
///
/// # Errors
/// One does not end.
pub async fn down(state: &State) -> Result<()> {
    processes::end(&state.processes).await
}

/// Whether every process runs and the API server answers.
pub async fn health(state: &State) -> Health {
    if let Some(ended) = state.processes.iter().find(|process| !process.alive()) {
        return Health::Broken(format!("{} has ended", ended.name));
    }
    let client = match Admin::read(&state.kubeconfig).and_then(|admin| admin.client()) {
        Ok(client) => client,
        Err(error) => return Health::Broken(format!("{error:#}")),
    };
    match answers(&client, &format!("{}/readyz", state.server)).await {
        true => Health::Up,
        false => Health::Busy,
    }
}

/// A cluster on its way up. Dropped before [`Starting::finish`], it ends what it has started and
/// removes the folder.
struct Starting {
    state: State,
    folder: PathBuf,
    finished: bool,
}

impl Starting {
    fn new(options: &Options, folder: &Path, ports: Ports) -> Result<Starting> {
        for under in ["pki", "conf", "log", "pod-logs"] {
            std::fs::create_dir_all(folder.join(under))?;
        }
        let name = options.name.clone();
        let context = if name == DEFAULT_NAME { "kai-local".to_owned() } else { format!("kai-{name}") };
        let by_name =
            [("api", ports.api), ("etcd", ports.etcd), ("peers", ports.peers), ("kubelets", ports.kubelets)];
        let state = State {
            name,
            provider: Provider::Local,
            phase: Phase::Starting,
            context,
            kubeconfig: folder.join("kubeconfig"),
            server: format!("https://127.0.0.1:{}", ports.api),
            audit_log: folder.join(plane::AUDIT_LOG),
            nodes: options.nodes.unwrap_or(NODES),
            ports: by_name
                .map(|(name, port)| (name.to_owned(), port))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            processes: Vec::new(),
        };
        let starting = Starting { state, folder: folder.to_owned(), finished: false };
        starting.state.write(folder)?;
        Ok(starting)
    }

    /// Starts a part and writes it down at once, so that it is found also after a crash.
    fn run(&mut self, name: &str, mut command: Command) -> Result<()> {
        command.current_dir(&self.folder);
        let process = Process::start(name, command, &self.log(name))?;
        self.state.processes.push(process);
        self.state.write(&self.folder)
    }

    /// Waits until `ready` says yes, as long as every part still runs.
    async fn wait(&self, what: &str, ready: impl AsyncFn() -> bool) -> Result<()> {
        let since = Instant::now();
        while !ready().await {
            if let Some(ended) = self.state.processes.iter().find(|process| !process.alive()) {
                bail!("{} has ended; the last it said:\n{}", ended.name, tail(&self.log(&ended.name)));
            }
            if since.elapsed() > PATIENCE {
                let last = self.state.processes.last().map(|process| tail(&self.log(&process.name)));
                bail!("{what} is not ready after {} s:\n{}", PATIENCE.as_secs(), last.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<State> {
        self.state.phase = Phase::Up;
        self.state.write(&self.folder)?;
        self.finished = true;
        Ok(self.state.clone())
    }

    fn log(&self, part: &str) -> PathBuf {
        self.folder.join("log").join(format!("{part}.log"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.state.processes.iter().for_each(Process::kill);
        // What still writes into the folder would keep it from being removed.
        let since = Instant::now();
        while self.state.processes.iter().any(Process::alive) && since.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Writes certificates and configuration; answers the administrator.
fn prepare(folder: &Path, ports: Ports, state: &State) -> Result<Admin> {
    let pki = Pki::create(&folder.join("pki"))?;
    for subject in [&pki::ETCD, &pki::API_SERVER, &pki::KUBELET_CLIENT] {
        pki.sign(subject)?;
    }
    for subject in [&pki::CONTROLLER_MANAGER, &pki::SCHEDULER, &pki::KWOK] {
        let path = folder.join(format!("conf/{}.kubeconfig", subject.file));
        pki::private(&path, &pki.user(subject, &state.server)?.kubeconfig(&state.context))?;
    }
    let admin = pki.user(&pki::ADMIN, &state.server)?;
    pki::private(&state.kubeconfig, &admin.kubeconfig(&state.context))?;
    std::fs::write(folder.join("conf/audit.yaml"), plane::AUDIT_POLICY)?;
    std::fs::write(folder.join("conf/kwok.yaml"), nodes::kwok_config(folder, ports))?;
    let says = "simulated container: nothing runs here".to_owned();
    std::fs::write(folder.join(nodes::DEFAULT_LOG), cri(&[Line { ago: Duration::ZERO, text: says }]))?;
    Ok(admin)
}

/// Registers the nodes, as their kubelets would.
async fn add_nodes(client: &Client, server: &str, state: &State, ports: Ports) -> Result<()> {
    let url = format!("{server}/api/v1/nodes");
    let url = &url;
    let add = |name: String| async move { create(client, url, &nodes::node(&name, ports)).await };
    futures::stream::iter(nodes::names(&state.name, state.nodes))
        .map(add)
        .buffer_unordered(16)
        .try_collect()
        .await
}

async fn create(client: &Client, url: &str, object: &Value) -> Result<()> {
    let answer = client.post(url).json(object).send().await?;
    let status = answer.status();
    let name = &object["metadata"]["name"];
    ensure!(status.is_success(), "the API server refused {name} ({status}): {}", answer.text().await?);
    Ok(())
}

async fn wait_for_nodes(starting: &mut Starting, client: &Client, server: &str, step: &Step) -> Result<()> {
    let url = format!("{server}/api/v1/nodes");
    let wanted = starting.state.nodes as usize;
    let ready = async || {
        let Ok(answer) = client.get(&url).send().await else { return false };
        let list: Value = answer.json().await.unwrap_or_default();
        let nodes = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ready = nodes.iter().filter(|node| nodes::takes_pods(node)).count();
        step.detail(format!("{ready} of {wanted} nodes"));
        ready == wanted
    };
    starting.wait("a node", ready).await
}

/// Whether a URL answers with success, soon.
pub(super) async fn answers(client: &Client, url: &str) -> bool {
    let asked = client.get(url).timeout(Duration::from_secs(5)).send().await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
