//! A Docker daemon of our own: its images live in the cache, everything else goes when it stops.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::docker::Docker;
use super::{orphans, rules};
use crate::cluster::processes::{self, Process};
use crate::cluster::{build, folder};
use crate::terminal::Progress;

/// Where it listens and keeps what lasts as long as it runs. Fixed, so that all users of this machine's
/// root share one, and short, as sockets want it.
const RUN: &str = "/run/kai-evals";
/// How long it may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Drops a capability that this machine does not have from what containers ask for.
const RUNTIME: &str = include_str!("../../../kind/runc-without-sys-resource");
/// CAP_SYS_RESOURCE's bit in `/proc/self/status`.
const SYS_RESOURCE: u64 = 1 << 24;

/// What is known about the daemon that runs, to end it and to put back what it changes.
#[derive(Serialize, Deserialize)]
struct Record {
    process: Process,
    before: rules::Before,
}

/// Where our daemon listens, as `DOCKER_HOST` says it.
pub fn host() -> String {
    format!("unix://{RUN}/docker.sock")
}

/// Starts the daemon, or finds it running.
///
/// # Errors
/// It does not start; the error ends with the last it said.
pub async fn start(progress: &Progress) -> Result<Docker> {
    let docker = Docker { host: Some(host()) };
    std::fs::create_dir_all(RUN).with_context(|| format!("cannot create {RUN}"))?;
    let _lock = lock(progress).await?;
    if !docker.answers().await {
        begin(&docker).await?;
    }
    Ok(docker)
}

/// Starts the daemon. Where one was killed, its successor first takes up what that one left (containers, mounts,
/// interfaces) and removes it: only Docker itself knows all of it.
async fn begin(docker: &Docker) -> Result<()> {
    let killed = match record() {
        Some(old) if !old.process.alive() => {
            orphans::end(&folder::cache().join("docker"));
            Some(old.before)
        }
        Some(_) => {
            stop(docker).await?;
            std::fs::create_dir_all(RUN)?;
            None
        }
        None => None,
    };
    let _ = std::fs::remove_file(run("docker.pid"));
    let data = folder::cache().join("docker");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let mut command = Command::new("dockerd");
    command.args(["--host", &host(), "--storage-driver", "overlay2", "--exec-root"]).arg(run("exec"));
    command.arg("--data-root").arg(&data).arg("--pidfile").arg(run("docker.pid"));
    // A file of the machine's own daemon is not meant for this one.
    std::fs::write(run("daemon.json"), "{}")?;
    command.arg("--config-file").arg(run("daemon.json"));
    if lacks_sys_resource(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
        let runtime = run("runc-without-sys-resource");
        std::fs::write(&runtime, RUNTIME)?;
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755))?;
        command.arg("--add-runtime").arg(format!("kai={}", runtime.display()));
        command.args(["--default-runtime", "kai"]);
    }
    let took_over = killed.is_some();
    let before = killed.unwrap_or_else(rules::Before::look);
    before.raise_limits()?;
    let log = run("dockerd.log");
    let process = Process::start("dockerd", command, &log)?;
    let record = Record { process, before };
    std::fs::write(run("docker.json"), serde_json::to_vec_pretty(&record)?)?;
    let since = Instant::now();
    while !docker.answers().await {
        let alive = record.process.alive();
        if !alive || since.elapsed() > PATIENCE {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(12)..].join("\n");
            stop(docker).await?;
            let how = if alive { "does not answer" } else { "has ended" };
            bail!("dockerd {how}; the last it said:\n{tail}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if took_over {
        let left = docker.lines(&["ps", "-aq"])?;
        let remove: Vec<&str> =
            ["rm", "-f", "-v"].into_iter().chain(left.iter().map(String::as_str)).collect();
        if !left.is_empty() {
            docker.quiet(&remove);
        }
    }
    Ok(())
}

/// Stops the daemon when nothing runs on it, and puts back what it changed; answers whether it did.
///
/// # Errors
/// It does not end, or what it changed cannot be put back.
pub async fn stop_if_idle(docker: &Docker, progress: &Progress) -> Result<bool> {
    let _lock = lock(progress).await?;
    if !docker.answers().await && record().is_some_and(|r| !r.process.alive()) {
        begin(docker).await?;
    }
    if docker.answers().await && !docker.lines(&["ps", "-aq"])?.is_empty() {
        return Ok(false);
    }
    stop(docker).await?;
    Ok(true)
}

async fn lock(progress: &Progress) -> Result<std::fs::File> {
    let folder = folder::cache();
    std::fs::create_dir_all(&folder)?;
    build::lock(&folder.join(".docker.lock"), progress, "Docker").await
}

async fn stop(docker: &Docker) -> Result<()> {
    // kind makes this network and leaves it; with it go its interface and its rules.
    if docker.answers().await {
        docker.quiet(&["network", "rm", "kind"]);
        docker.quiet(&["volume", "prune", "-f"]);
    }
    if let Some(Record { process, before }) = record() {
        // Asked to end, it ends the containerd that it started too.
        process.ask_to_end();
        let since = Instant::now();
        while process.alive() && since.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        processes::end(&[process]).await?;
        let mut delete = Command::new("ip");
        delete.args(["link", "delete", "docker0"]);
        // One that was never made is as good as deleted.
        let _ = delete.stdout(Stdio::null()).stderr(Stdio::null()).status();
        before.restore()?;
    }
    remove_cgroups(Path::new("/sys/fs/cgroup"));
    unmount_all();
    std::fs::remove_dir_all(RUN).with_context(|| format!("cannot remove {RUN}"))
}

/// Takes away the mounts that a killed container leaves in our folder (its network namespace).
fn unmount_all() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(RUN));
    for at in ours {
        // Whatever cannot be unmounted shows when the folder is removed.
        let _ = Command::new("umount").args(["--lazy", at]).stderr(Stdio::null()).status();
    }
}

/// Removes the control groups that containers leave, which are empty folders by then.
fn remove_cgroups(root: &Path) {
    let Ok(hierarchies) = std::fs::read_dir(root) else { return };
    for hierarchy in hierarchies.flatten().map(|entry| entry.path()).chain([root.to_owned()]) {
        remove_empty(&hierarchy.join("docker"));
    }
}

/// Removes a folder and those in it, the innermost first; a group's files are no reason not to.
fn remove_empty(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    // One in use refuses, and stays.
    let _ = std::fs::remove_dir(folder);
}

fn record() -> Option<Record> {
    serde_json::from_slice(&std::fs::read(run("docker.json")).ok()?).ok()
}

fn run(file: &str) -> PathBuf {
    Path::new(RUN).join(file)
}

/// Whether the bounding set in a process's status leaves out CAP_SYS_RESOURCE.
fn lacks_sys_resource(status: &str) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & SYS_RESOURCE == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_capability_is_seen() {
        assert!(lacks_sys_resource("Name:\tx\nCapBnd:\t000001fffeffffff\nCapAmb:\t0\n"));
        assert!(!lacks_sys_resource("CapBnd:\t000001ffffffffff\n"));
        assert!(!lacks_sys_resource(""));
    }

    #[test]
    fn only_empty_folders_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let docker = root.path().join("cpu/docker");
        std::fs::create_dir_all(docker.join("a/b")).unwrap();
        std::fs::create_dir_all(docker.join("used")).unwrap();
        std::fs::write(docker.join("used/file"), "").unwrap();
        remove_cgroups(root.path());
        assert!(!docker.join("a").exists() && docker.join("used/file").exists());
    }
}
