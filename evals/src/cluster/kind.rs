//! The `kind` provider: nodes are containers with real kubelets, in a Docker daemon.
//!
//! [`docker`] finds the daemon or starts [`daemon`], [`node`] makes the image of the nodes, kind makes
//! the cluster from [`config`], [`network`] joins its nodes, and [`fixtures`] serves images to them.

mod config;
mod daemon;
mod docker;
mod fixtures;
mod images;
mod network;
mod node;
mod oci;
mod orphans;
mod programs;
mod rootfs;
mod rules;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::build::{Tool, go_tool};
use super::kubeconfig::Admin;
use super::local::{AUDIT_POLICY, answers};
use super::{Health, Options, Phase, Provider, State, ports};
use crate::terminal::Progress;
use config::Config;
use docker::Docker;
use node::NodeImage;
use run::{feed, run};

/// How many workers there are when nobody says: one can be drained.
const WORKERS: u32 = 2;
const METRICS_SERVER: &str = include_str!("../../kind/addons/metrics-server.yaml");
/// What has to be up before the cluster is.
const PARTS: [(&str, &str); 3] = [
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    ("kube-system", "metrics-server"),
];

/// Brings the cluster up in its folder, which is empty.
///
/// # Errors
/// No Docker daemon, a part that cannot be built, or a cluster that does not come up; nothing of it
/// runs then.
pub async fn up(options: &Options, folder: &Path, progress: &Progress) -> Result<State> {
    let docker = Docker::find_or_start(progress).await?;
    docker.remember(folder)?;
    let starting = Starting { state: starting(options, folder)?, folder: folder.to_owned() };
    starting.state.write(folder)?;
    match bring_up(&docker, &starting, progress).await {
        Ok(()) => {
            let mut state = starting.state.clone();
            state.phase = Phase::Up;
            state.write(folder)?;
            std::mem::forget(starting);
            Ok(state)
        }
        Err(error) => {
            let state = starting.state.clone();
            std::mem::forget(starting);
            down(&state, folder, progress).await.context("after a failed start")?;
            Err(error)
        }
    }
}

/// Deletes the nodes and the registry, and ends our own daemon after the last cluster on it.
///
/// # Errors
/// Something of it cannot be deleted.
pub async fn down(state: &State, folder: &Path, progress: &Progress) -> Result<()> {
    let Some(mut docker) = Docker::recall(folder) else { return Ok(()) };
    if !docker.answers().await {
        ensure!(
            docker.is_ours(),
            "the Docker daemon that {} is on does not answer: start it again",
            state.name
        );
        docker = daemon::start(progress).await?;
    }
    delete(&docker, &state.name)?;
    if docker.is_ours() && !daemon::stop_if_idle(&docker, progress).await? {
        progress.say("Docker stays up: other containers are on it");
    }
    Ok(())
}

/// Whether every node runs and the API server answers.
pub async fn health(state: &State) -> Health {
    let Some(docker) = state.kubeconfig.parent().and_then(Docker::recall) else {
        return Health::Broken("it has no Docker daemon".to_owned());
    };
    if !docker.answers().await {
        return Health::Broken("its Docker daemon does not answer".to_owned());
    }
    let running = docker.lines(&["ps", "-q", "--filter", &label(&state.name)]).unwrap_or_default().len();
    if running != state.nodes as usize + 1 {
        return Health::Broken(format!("{running} of {} nodes run", state.nodes + 1));
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

fn starting(options: &Options, folder: &Path) -> Result<State> {
    let Some(port) = ports::free(&options.name, 1)?.pop() else { bail!("there is no free port") };
    Ok(State {
        name: options.name.clone(),
        provider: Provider::Kind,
        phase: Phase::Starting,
        context: format!("kind-{}", options.name),
        kubeconfig: folder.join("kubeconfig"),
        server: format!("https://127.0.0.1:{port}"),
        audit_log: folder.join("audit/audit.log"),
        nodes: options.nodes.unwrap_or(WORKERS),
        ports: BTreeMap::from([("api".to_owned(), port)]),
        processes: Vec::new(),
    })
}

async fn bring_up(docker: &Docker, starting: &Starting, progress: &Progress) -> Result<()> {
    let Starting { state, folder } = starting;
    let kind = go_tool(progress, Tool::Kind).await?;
    let image = node::image(docker, progress).await?;
    let shelf = fixtures::shelf(docker, progress).await?;
    create(docker, &kind, state, folder, &image, progress).await?;
    let registry = registry(&state.name);
    fixtures::serve(docker, &registry, &shelf, progress).await?;
    let control_plane = format!("{}-control-plane", state.name);
    let step = progress.step("joining the nodes");
    if image.own {
        network::join(docker, &control_plane, &fixtures::hosts(&registry, true), &step).await?;
    } else {
        let hosts = fixtures::hosts(&registry, false);
        network::mirror(docker, &node_names(docker, &state.name)?, &hosts, &step).await?;
        let images = tempfile::tempdir_in(folder)?;
        let archive = node::metrics_server(images.path(), progress).await?;
        let mut load = docker.client(&kind);
        load.args(["load", "image-archive", "--name", &state.name]).arg(archive);
        run("kind load", load, &step).await?;
    }
    let apply = docker.kubectl(&control_plane, &["apply", "-f", "-"]);
    feed("kubectl apply", apply, METRICS_SERVER, &step).await?;
    fixtures::wait(docker, &control_plane, &registry, &step).await?;
    step.done();
    wait(docker, &control_plane, progress).await
}

async fn create(
    docker: &Docker,
    kind: &Path,
    state: &State,
    folder: &Path,
    image: &NodeImage,
    progress: &Progress,
) -> Result<()> {
    let step = progress.step(format!("creating {} with kind, about 30 s", state.name));
    let audit_folder = folder.join("audit");
    std::fs::create_dir_all(&audit_folder)?;
    let audit_policy = folder.join("audit.yaml");
    std::fs::write(&audit_policy, AUDIT_POLICY)?;
    let config = Config {
        name: &state.name,
        port: state.ports.get("api").copied().context("the cluster has no port")?,
        image: &image.name,
        own: image.own,
        cgroup_v1: cgroup_v1(),
        workers: state.nodes,
        audit_folder: &audit_folder,
        audit_policy: &audit_policy,
    };
    let path = folder.join("kind.yaml");
    std::fs::write(&path, config.render())?;
    let mut create = docker.client(kind);
    create.env("KIND_EXPERIMENTAL_PROVIDER", "docker").args(["create", "cluster", "--config"]).arg(&path);
    create.arg("--kubeconfig").arg(&state.kubeconfig);
    run("kind create cluster", create, &step).await?;
    step.done();
    Ok(())
}

/// Waits until pods can be used: nodes that are Ready, names, volumes, metrics.
async fn wait(docker: &Docker, control_plane: &str, progress: &Progress) -> Result<()> {
    let step = progress.step("waiting for nodes, names, volumes and metrics");
    let wait = |what: &str, args: &[&str]| -> (String, std::process::Command) {
        (what.to_owned(), docker.kubectl(control_plane, args))
    };
    let mut all =
        vec![wait("the nodes", &["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s"])];
    for (namespace, name) in PARTS {
        let deployment = format!("deployment/{name}");
        all.push(wait(name, &["rollout", "status", "-n", namespace, &deployment, "--timeout=180s"]));
    }
    let api = ["wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s"];
    all.push(wait("metrics", &api));
    let account = ["wait", "--for=create", "serviceaccount/default", "--timeout=60s"];
    all.push(wait("the controllers", &account));
    for (what, command) in all {
        step.detail(&what);
        run(&what, command, &step).await?;
    }
    step.done();
    Ok(())
}

/// A cluster on its way up. Dropped, it deletes what there is of it, so that a signal leaves no nodes.
struct Starting {
    state: State,
    folder: PathBuf,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(docker) = Docker::recall(&self.folder) {
            // What cannot be deleted now is found by the next run, from the state.
            if delete(&docker, &self.state.name).is_ok() && !docker.is_ours() {
                std::fs::remove_dir_all(&self.folder).ok();
            }
        }
    }
}

/// Deletes nodes and registry, by what they are labelled and called. Waits for it on this thread.
fn delete(docker: &Docker, name: &str) -> Result<()> {
    let mut containers = docker.lines(&["ps", "-aq", "--filter", &label(name)])?;
    containers.extend(docker.lines(&["ps", "-aq", "--filter", &format!("name=^/{}$", registry(name))])?);
    if containers.is_empty() {
        return Ok(());
    }
    let mut remove = docker.command(&["rm", "-f", "-v"]);
    let output = remove.args(&containers).stdout(Stdio::null()).output().context("cannot run docker")?;
    ensure!(output.status.success(), "docker rm: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn node_names(docker: &Docker, name: &str) -> Result<Vec<String>> {
    docker.lines(&["ps", "--format", "{{.Names}}", "--filter", &label(name)])
}

/// How docker finds the nodes of a cluster: by the label that kind gives them.
fn label(name: &str) -> String {
    format!("label=io.x-k8s.kind.cluster={name}")
}

fn registry(name: &str) -> String {
    format!("{name}-registry")
}

fn cgroup_v1() -> bool {
    cfg!(target_os = "linux") && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}
