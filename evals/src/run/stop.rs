//! Ctrl-C: no run begins any more, those that go on are given up, and the clusters are taken down. A second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::terminal;

/// Whether somebody asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Listens from now on.
pub fn listen() {
    tokio::spawn(async {
        let signal = terminal::stopped().await;
        terminal::note(&format!("stopped by {signal}: the clusters are taken down; once more to leave them"));
        ASKED.store(true, Ordering::Relaxed);
        let signal = terminal::stopped().await;
        terminal::note(&format!(
            "stopped by {signal}; what still runs is ended by `kai-evals cluster down --all`"
        ));
        std::process::exit(130);
    });
}

/// Whether somebody asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// An error once somebody asked to stop.
///
/// # Errors
/// Somebody did.
pub fn check() -> Result<()> {
    if asked() {
        bail!("stopped");
    }
    Ok(())
}

/// Waits until somebody asks to stop.
pub async fn wait() {
    while !asked() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
