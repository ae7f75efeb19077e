//! `kai-evals replay`: the scripted server by hand.

use std::path::PathBuf;

use anyhow::Context;

use super::{Replay, Script};

/// What `kai-evals replay` is told.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The turns, as YAML or JSON.
    #[arg(long)]
    script: PathBuf,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl ReplayArgs {
    /// Starts the server; it serves until the value is dropped.
    ///
    /// # Errors
    /// When the script cannot be read, or the port is taken.
    pub fn start(&self) -> anyhow::Result<Replay> {
        let text = std::fs::read_to_string(&self.script)
            .with_context(|| format!("cannot read {}", self.script.display()))?;
        let script = Script::parse(&text).with_context(|| self.script.display().to_string())?;
        Replay::start_on(self.port, script)
    }
}
