//! What is written down about a cluster, in `state.json` of its folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::processes::Process;

/// What provides the nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Containers with real kubelets.
    Kind,
    /// A control plane of plain processes, with simulated nodes: no root, no Docker.
    Local,
}

/// How far `up` came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being brought up, or given up halfway.
    Starting,
    /// `up` has ended well.
    Up,
}

/// How a cluster is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Up,
    /// All of it runs, but it does not answer now; a busy machine is one reason.
    Busy,
    /// Some of it is gone, and will not come back by itself; says what.
    Broken(String),
}

/// Everything needed to use a cluster and to end it. A provider that needs more keeps it in files of
/// its own in the same folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The cluster's name.
    pub name: String,
    /// What provides its nodes.
    pub provider: Provider,
    /// How far `up` came.
    pub phase: Phase,
    /// The context in its kubeconfig.
    pub context: String,
    /// Its administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The API server's URL.
    pub server: String,
    /// The API server's audit log.
    pub audit_log: PathBuf,
    /// How many worker nodes it was given.
    pub nodes: u32,
    /// The ports it listens on, by what listens; all on loopback.
    pub ports: BTreeMap<String, u16>,
    /// Its processes, in the order in which they were started.
    pub processes: Vec<Process>,
}

impl State {
    /// Reads the state of a folder; none when nothing was written there.
    ///
    /// # Errors
    /// The file cannot be read or is not a state.
    pub fn read(folder: &Path) -> Result<Option<State>> {
        let path = folder.join("state.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is not a cluster's state", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes it, replacing what was there in one step.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = || -> Result<()> {
            let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut fresh, self)?;
            fresh.persist(folder.join("state.json"))?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the state in {}", folder.display()))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provider::Kind => "kind",
            Provider::Local => "local",
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Up => f.write_str("up"),
            Health::Busy => f.write_str("up, but does not answer"),
            Health::Broken(why) => write!(f, "broken: {why}"),
        }
    }
}
