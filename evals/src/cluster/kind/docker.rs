//! The Docker daemon that runs the nodes: the one that answers, or one of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::daemon;
use super::run::{install, installed};
use crate::terminal::Progress;

/// How long a daemon may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Docker daemon that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// Where it listens, as `DOCKER_HOST` says it; none for the one that docker finds by itself.
    pub host: Option<String>,
}

impl Docker {
    /// The daemon that answers, else one of our own, started now or found running.
    ///
    /// # Errors
    /// None answers, and one cannot be started: the error says what to install or run.
    pub async fn find_or_start(progress: &Progress) -> Result<Docker> {
        let theirs = Docker { host: None };
        if installed("docker") && theirs.answers().await {
            return Ok(theirs);
        }
        if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
            bail!(
                "kind needs a Docker daemon, and none answers: start Docker (and be in its group), or on Linux run this as root, which starts one; `--provider local` needs neither"
            );
        }
        let step = progress.step("starting Docker");
        let packages = ["docker.io", "iptables", "iproute2", "jq"];
        install(&["docker", "dockerd", "iptables", "ip", "jq"], &packages, "a Docker daemon", &step).await?;
        // Installing it may have started it.
        let docker = if theirs.answers().await { theirs } else { daemon::start(progress).await? };
        step.done();
        Ok(docker)
    }

    /// Whether it is one that we started.
    pub fn is_ours(&self) -> bool {
        self.host.as_deref() == Some(daemon::host().as_str())
    }

    /// `docker` with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.client("docker");
        command.args(args);
        command
    }

    /// A program that talks to this daemon, such as kind.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host).env_remove("DOCKER_CONTEXT");
        }
        command.stdin(Stdio::null());
        command
    }

    /// kubectl with an administrator's rights, on a control plane's node.
    pub fn kubectl(&self, node: &str, args: &[&str]) -> Command {
        let mut command =
            self.command(&["exec", "-i", node, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"]);
        command.args(args);
        command
    }

    /// Whether it says who it is.
    pub async fn answers(&self) -> bool {
        let mut command = tokio::process::Command::from(self.command(&["info", "-f", "{{.ServerVersion}}"]));
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(child) = command.spawn() else { return false };
        let answer = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        // Some versions succeed with an empty answer when no daemon is there.
        matches!(answer, Ok(Ok(output)) if output.status.success() && output.stdout.len() > 1)
    }

    /// Whether it has an image.
    pub fn has_image(&self, name: &str) -> bool {
        self.quiet(&["image", "inspect", name])
    }

    /// Whether a command succeeds, whatever it says. Waits for it on this thread.
    pub fn quiet(&self, args: &[&str]) -> bool {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// What a command prints, line by line. Waits for it on this thread.
    ///
    /// # Errors
    /// It cannot be run, or fails; then with what it said.
    pub fn lines(&self, args: &[&str]) -> Result<Vec<String>> {
        let output = self.command(args).output().context("cannot run docker")?;
        if !output.status.success() {
            bail!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Remembers in a cluster's folder which daemon it is on.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remember(&self, folder: &Path) -> Result<()> {
        std::fs::write(remembered(folder), self.host.as_deref().unwrap_or_default())
            .with_context(|| format!("cannot write in {}", folder.display()))
    }

    /// The daemon that a cluster's folder remembers; none when it never came that far.
    pub fn recall(folder: &Path) -> Option<Docker> {
        let host = std::fs::read_to_string(remembered(folder)).ok()?;
        Some(Docker { host: (!host.is_empty()).then_some(host) })
    }
}

fn remembered(folder: &Path) -> PathBuf {
    folder.join("docker-host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_remembers_its_daemon() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Docker::recall(folder.path()), None);
        for host in [None, Some(daemon::host())] {
            let docker = Docker { host };
            docker.remember(folder.path()).unwrap();
            assert_eq!(Docker::recall(folder.path()), Some(docker));
        }
    }
}
