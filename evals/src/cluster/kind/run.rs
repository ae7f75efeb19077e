//! Other programs: run to their end, heard while they run, ended when nobody waits for them any more.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::cluster::processes::GroupGuard;
use crate::terminal::Step;

/// How many lines of a failed program are shown.
const TAIL: usize = 12;
/// How much of a line is shown beside a step.
const SHOWN: usize = 60;

/// Runs a program and answers what it printed; what it says on stderr shows beside the step.
///
/// # Errors
/// It cannot be run, or it fails: then the error ends with the last it said.
pub async fn run(what: &str, command: Command, step: &Step) -> Result<String> {
    feed(what, command, "", step).await
}

/// [`run`], with text on the program's stdin.
///
/// # Errors
/// Those of [`run`].
pub async fn feed(what: &str, mut command: Command, input: &str, step: &Step) -> Result<String> {
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {what}"))?;
    let _group = child.id().map(GroupGuard::new);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdout), Some(stderr)) = (stdout, stderr) else { bail!("{what} has no output") };
    let mut answer = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let hear = async {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !line.is_empty() {
                step.detail(line.chars().take(SHOWN).collect::<String>());
                said.push(line);
            }
        }
        anyhow::Ok(())
    };
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading says why itself.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        anyhow::Ok(())
    };
    let read = async { stdout.read_to_end(&mut answer).await.map_err(anyhow::Error::from) };
    tokio::try_join!(hear, tell, read)?;
    let status = child.wait().await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !status.success() {
        if said.is_empty() {
            said = answer.lines().map(str::to_owned).collect();
        }
        bail!("{what} failed ({status}):\n{}", said[said.len().saturating_sub(TAIL)..].join("\n"));
    }
    Ok(answer)
}

/// Whether a program of this name is on the PATH.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where programs of the administrator live; some shells leave it out of the PATH.
    let more = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(more).any(|folder| folder.join(program).is_file())
}

/// Installs what the programs of `wanted` come in, where Debian's package tool is at hand.
///
/// # Errors
/// Not root, no such tool, or it fails; the error says in one sentence what to install.
pub async fn install(wanted: &[&str], packages: &[&str], why: &str, step: &Step) -> Result<()> {
    if wanted.iter().all(|program| installed(program)) {
        return Ok(());
    }
    let packages_said = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !installed("apt-get") {
        let missing: Vec<&str> = wanted.iter().filter(|program| !installed(program)).copied().collect();
        bail!(
            "{why} needs {}: install it (Debian's packages: {packages_said}), or run this as root on Debian",
            missing.join(" and ")
        );
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(args);
        command
    };
    step.detail(format!("installing {packages_said}"));
    run("apt-get update", apt(&["update"]), step).await?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    run("apt-get install", apt(&args), step).await.with_context(|| format!("{why} needs {packages_said}"))?;
    Ok(())
}
