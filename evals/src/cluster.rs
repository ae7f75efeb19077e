//! Real clusters on this machine: up, down, status, env, whatever provides the nodes.
//!
//! Each cluster has a name and a state folder; what is in `state.json` there is enough to use the
//! cluster and to end it, also after the process that started it was killed. [`Cluster`] is one that
//! is up. The providers are `local` (plain processes and simulated nodes) and `kind` (containers).

pub mod build;
pub mod folder;
mod kind;
mod kubeconfig;
mod local;
mod logs;
mod ports;
mod processes;
mod state;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::terminal::{Progress, Step};
pub use kubeconfig::Admin;
pub use logs::Line;
pub use processes::Process;
pub use state::{Health, Phase, Provider, State};

/// The name of the cluster that is meant when none is given.
pub const DEFAULT_NAME: &str = "kai";

/// How long a cluster that runs may take to answer before it is taken for broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which cluster to bring up.
#[derive(Clone, Debug)]
pub struct Options {
    /// What provides the nodes.
    pub provider: Provider,
    /// The cluster's name: a DNS label of at most 40 characters.
    pub name: String,
    /// How many worker nodes; the provider's own number when none is given.
    pub nodes: Option<u32>,
}

impl Options {
    /// A `local` cluster with its usual number of nodes.
    pub fn local(name: impl Into<String>) -> Options {
        Options { provider: Provider::Local, name: name.into(), nodes: None }
    }
}

/// A cluster that is up. Dropping it leaves it up: it is other processes, and others may use it.
#[derive(Clone, Debug)]
pub struct Cluster {
    state: State,
    folder: PathBuf,
}

/// How a cluster is, for `status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// What was written down when it was started.
    pub state: State,
    /// Whether it can be used.
    pub health: Health,
    /// The memory its processes hold, in MiB, where that is known.
    pub memory: Option<u64>,
}

/// Brings a cluster up, or finds it up already; what a crashed `up` left is cleaned first.
///
/// # Errors
/// The name is invalid, a prerequisite is missing, another provider's cluster has that name, or a
/// part of the cluster does not come up. Nothing stays behind then.
pub async fn up(options: &Options, progress: &Progress) -> Result<Cluster> {
    let (folder, _lock) = claim(&options.name, progress).await?;
    if let Some(state) = State::read(&folder)? {
        let health = settled_health(&state, progress).await;
        if health == Health::Up {
            if state.provider != options.provider {
                bail!(
                    "{} is up already, as a {} cluster: take it down first, or choose another --name",
                    options.name,
                    state.provider
                );
            }
            progress.say(&format!("{} is up already", options.name));
            if options.nodes.is_some_and(|nodes| nodes != state.nodes) {
                progress.say(&format!("it has {} nodes; take it down to change that", state.nodes));
            }
            return Ok(Cluster { state, folder });
        }
        progress.say(&format!("{} is {health}: cleaning it first", options.name));
        end(&state, &folder, progress).await?;
        std::fs::create_dir_all(&folder)?;
    }
    let started = match options.provider {
        Provider::Local => local::up(options, &folder, progress).await,
        Provider::Kind => kind::up(options, &folder, progress).await,
    };
    match started {
        Ok(state) => Ok(Cluster { state, folder }),
        Err(error) => {
            std::fs::remove_dir_all(&folder).ok();
            Err(error)
        }
    }
}

/// Takes a cluster down and removes everything of it; answers whether there was one.
///
/// # Errors
/// Something of it cannot be ended or removed; its state folder then stays, so that `down` can be
/// tried again.
pub async fn down(name: &str, progress: &Progress) -> Result<bool> {
    if !folder::of(name)?.exists() {
        return Ok(false);
    }
    let (folder, _lock) = claim(name, progress).await?;
    let Some(state) = State::read(&folder)? else {
        std::fs::remove_dir_all(&folder)?;
        return Ok(true);
    };
    let step = progress.step(format!("taking {name} down"));
    end(&state, &folder, progress).await?;
    step.done();
    Ok(true)
}

/// The names of the clusters that have a state folder, sorted.
///
/// # Errors
/// The state folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let root = folder::clusters();
    if !root.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// How every cluster is.
///
/// # Errors
/// A state cannot be read.
pub async fn status() -> Result<Vec<Status>> {
    let mut all = Vec::new();
    for name in names()? {
        if let Some(state) = State::read(&folder::of(&name)?)? {
            let health = health(&state).await;
            let memory: Option<u64> = state.processes.iter().map(Process::memory).sum();
            all.push(Status { state, health, memory: memory.filter(|kib| *kib > 0).map(|kib| kib / 1024) });
        }
    }
    Ok(all)
}

/// The clusters as a table for people.
pub fn table(all: &[Status]) -> String {
    if all.is_empty() {
        return "no clusters".to_owned();
    }
    let mut text = format!(
        "{:<20} {:<9} {:>5} {:>8}  {:<28} {}\n",
        "NAME", "PROVIDER", "NODES", "MEMORY", "SERVER", "STATE"
    );
    for Status { state, health, memory } in all {
        let memory = memory.map_or("-".to_owned(), |mib| format!("{mib} MiB"));
        let provider = state.provider.to_string();
        text += &format!(
            "{:<20} {provider:<9} {:>5} {memory:>8}  {:<28} {health}\n",
            state.name, state.nodes, state.server
        );
    }
    text
}

/// What a shell evaluates to use a cluster.
///
/// # Errors
/// There is no such cluster, or it is half up.
pub fn env(name: &str) -> Result<String> {
    Ok(Cluster::open(name)?.exports())
}

impl Cluster {
    /// [`up`], with progress on stderr: for tests.
    ///
    /// # Errors
    /// Those of [`up`].
    pub async fn up(options: &Options) -> Result<Cluster> {
        up(options, &Progress::stderr()).await
    }

    /// A cluster that was brought up before.
    ///
    /// # Errors
    /// There is none of that name, or its `up` has not ended.
    pub fn open(name: &str) -> Result<Cluster> {
        let folder = folder::of(name)?;
        match State::read(&folder)? {
            Some(state) if state.phase == Phase::Up => Ok(Cluster { state, folder }),
            _ => bail!("no cluster named {name} is up: bring it up with `cluster up --name {name}`"),
        }
    }

    /// Takes it down; nothing of it stays behind.
    ///
    /// # Errors
    /// Those of [`down`].
    pub async fn down(self) -> Result<()> {
        down(&self.state.name, &Progress::stderr()).await.map(drop)
    }

    /// What was written down about it: provider, ports, processes, paths.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its state folder; logs are in `log/` there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kubeconfig of its administrator, with all credentials inside.
    pub fn kubeconfig(&self) -> &Path {
        &self.state.kubeconfig
    }

    /// The API server's audit log: JSON lines, one a request, with the bodies of deletions and evictions alone: those say
    /// there whether they are dry runs.
    pub fn audit_log(&self) -> &Path {
        &self.state.audit_log
    }

    /// The administrator's credentials, out of the kubeconfig.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub fn admin(&self) -> Result<Admin> {
        Admin::read(self.kubeconfig())
    }

    /// One line that says what there is and how to use it.
    pub fn summary(&self) -> String {
        let State { name, provider, nodes, server, context, .. } = &self.state;
        format!(
            "{name}: {provider}, {nodes} nodes, {server}, context {context}\nto use it in this shell: eval \"$(cargo run -q -p kai-evals -- cluster env --name {name})\""
        )
    }

    fn exports(&self) -> String {
        let mut text = String::new();
        for (variable, path) in [("KUBECONFIG", self.kubeconfig()), ("KAI_AUDIT_LOG", self.audit_log())] {
            text += &format!("export {variable}={}\n", quoted(&path.to_string_lossy()));
        }
        text
    }
}

/// Makes the state folder, closed to others, and waits for the lock on it.
async fn claim(name: &str, progress: &Progress) -> Result<(PathBuf, File)> {
    let folder = folder::of(name)?;
    loop {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(true)
            .create(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let Ok(file) = File::open(&folder) else { continue };
        build::wait_for_lock(&file, progress, &format!("waiting for another run that holds {name}")).await?;
        // Whoever held it may have removed the folder: then the lock is on nothing.
        let same = |other: std::fs::Metadata| file.metadata().is_ok_and(|mine| mine.ino() == other.ino());
        if std::fs::metadata(&folder).is_ok_and(same) {
            return Ok((folder, file));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn health(state: &State) -> Health {
    if state.phase == Phase::Starting {
        return Health::Broken("half up".to_owned());
    }
    match state.provider {
        Provider::Local => local::health(state).await,
        Provider::Kind => kind::health(state).await,
    }
}

/// How a cluster is, once it has had time to answer: others may use it, so one that is only slow must
/// not be taken for broken.
async fn settled_health(state: &State, progress: &Progress) -> Health {
    let since = Instant::now();
    let mut step = None;
    loop {
        let health = health(state).await;
        if health != Health::Busy || since.elapsed() > PATIENCE {
            step.into_iter().for_each(Step::done);
            return health;
        }
        step.get_or_insert_with(|| progress.step(format!("waiting for {} to answer", state.name)));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ends what the state names and removes the folder.
async fn end(state: &State, folder: &Path, progress: &Progress) -> Result<()> {
    match state.provider {
        Provider::Local => local::down(state).await?,
        Provider::Kind => kind::down(state, folder, progress).await?,
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Text as one word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_the_shell() {
        assert_eq!(quoted("/a b/$c"), "'/a b/$c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn env_of_no_cluster_says_how_to_bring_it_up() {
        let error = env("kai-never-started").unwrap_err().to_string();
        assert!(error.contains("cluster up --name kai-never-started"), "{error}");
    }
}
