//! The `local` provider: a control plane of plain processes, with nodes that KWOK plays.
use std::path::Path;

use anyhow::{Result, bail};

use super::{Options, State, processes};
use crate::terminal::Progress;

/// Brings the cluster up.
pub async fn up(_options: &Options, _folder: &Path, _progress: &Progress) -> Result<State> {
    bail!("not yet")
}

/// Ends its processes.
pub async fn down(state: &State) -> Result<()> {
    processes::end(&state.processes).await
}

/// "up", or what is wrong.
pub async fn health(_state: &State) -> String {
    "up".to_owned()
}
