//! What one run of kai costs, measured against something in the same run: memory, and round trips to the API server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::proxy::{Action, Options, Proxy};

/// How long the proxy holds each request back while round trips are counted: far above what the work itself takes.
const HOLD: Duration = Duration::from_millis(300);

/// Figures of one command.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Highest resident memory, in KiB.
    pub peak_kib: u64,
    pub seconds: f64,
}

/// Runs a command to its end and watches its memory.
///
/// # Errors
/// When it cannot be started.
pub fn watch(program: &Path, arguments: &[&str], kubeconfig: &Path) -> Result<Figures> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    while child.try_wait()?.is_none() {
        // VmHWM only grows: the last reading is the peak, but for the last millisecond.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        if let Some(kib) = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()) {
            peak_kib = peak_kib.max(kib);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Figures { peak_kib, seconds: started.elapsed().as_secs_f64() })
}

/// How many requests a command sends to the API server, and how many of them one after the other: each is held back
/// for a while, and the time that this adds is counted in holds.
///
/// # Errors
/// When the proxy cannot be started.
pub fn round_trips(program: &Path, arguments: &[&str], kubeconfig: &Path) -> Result<(usize, f64)> {
    let proxy = Proxy::start(kubeconfig, Options::default())?;
    watch(program, arguments, &proxy.kubeconfig())?;
    proxy.clear();
    let plain = watch(program, arguments, &proxy.kubeconfig())?;
    let requests = proxy.requests().len();
    proxy.hook(|_| Action::Delay(HOLD));
    let held = watch(program, arguments, &proxy.kubeconfig())?;
    Ok((requests, (held.seconds - plain.seconds) / HOLD.as_secs_f64()))
}
