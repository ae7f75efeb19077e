//! Processes that outlive the one that started them, and are found and ended again by what was
//! written down about them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process, waitpid,
};
use serde::{Deserialize, Serialize};

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// A process of a cluster; it leads a process group of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it is called in messages, and its log file, such as "kube-apiserver".
    pub name: String,
    /// Its process id, which is its process group's too.
    pub pid: u32,
    /// When it started, as the system counts; tells it from another that got the same id later.
    pub started: String,
}

impl Process {
    /// Starts `command` with its output going to `log`, in a process group of its own.
    ///
    /// # Errors
    /// The log cannot be created or the program cannot be run.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Process> {
        let out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let pid = child.id();
        let started = started(pid).unwrap_or_default();
        Ok(Process { name: name.to_owned(), pid, started })
    }

    /// Whether it still runs; a process that only waits to be collected does not.
    pub fn alive(&self) -> bool {
        let Some(pid) = pid(self.pid) else { return false };
        // Collects it if it is our child and has ended; says nothing about others.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        test_kill_process(pid).is_ok() && started(self.pid).is_some_and(|at| at == self.started)
    }

    /// Tells its whole group to end, without asking.
    pub fn kill(&self) {
        if self.alive() {
            kill_group(self.pid);
        }
    }

    /// Asks it to end, and it alone.
    pub fn ask_to_end(&self) {
        if let Some(pid) = pid(self.pid).filter(|_| self.alive()) {
            // Gone already is what was wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// The memory it holds, in KiB, where the system says.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// Kills all processes and waits until they are gone.
///
/// # Errors
/// One is still there after 20 seconds; it is named.
pub async fn end(processes: &[Process]) -> Result<()> {
    processes.iter().for_each(Process::kill);
    let since = Instant::now();
    while let Some(left) = processes.iter().find(|process| process.alive()) {
        if since.elapsed() > GONE {
            bail!("{} (process {}) does not end", left.name, left.pid);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Kills a process group when it is dropped, so that work given up halfway leaves nothing running.
pub struct GroupGuard(u32);

impl GroupGuard {
    /// Guards the group that `leader` leads.
    pub fn new(leader: u32) -> GroupGuard {
        GroupGuard(leader)
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        kill_group(self.0);
    }
}

fn kill_group(leader: u32) {
    if let Some(pid) = pid(leader) {
        // Gone already is what was wanted.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// When a process started; none when it is gone or has ended and only waits to be collected.
fn started(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        return started_from_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    }
    let said = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let (state, at) = said.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| at.trim().to_owned())
}

/// Field 22 of `/proc/<pid>/stat`, unless field 3 says that the process has ended, and field 20 that
/// none of its threads is left: those still hold its ports.
fn started_from_stat(stat: &str) -> Option<String> {
    // The name in field 2 may hold spaces and brackets: count from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let at = fields.nth(1)?;
    (!matches!(state, "Z" | "X") || threads > 1).then(|| at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_field_22_whatever_the_name_holds() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        assert_eq!(started_from_stat(stat).as_deref(), Some("12345"));
        assert_eq!(started_from_stat(&stat.replace(") S", ") Z")), None);
        let threads_left = stat.replace(") S", ") Z").replace(" 20 0 1 0 ", " 20 0 4 0 ");
        assert_eq!(started_from_stat(&threads_left).as_deref(), Some("12345"));
    }

    #[tokio::test]
    async fn ending_a_process_ends_its_children_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!; wait"]);
        let log = folder.path().join("log");
        let process = Process::start("sh", shell, &log).unwrap();
        let child = loop {
            if let Ok(pid) = std::fs::read_to_string(&log).unwrap().trim().parse::<u32>() {
                break pid;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(process.alive() && started(child).is_some());
        end(std::slice::from_ref(&process)).await.unwrap();
        assert!(!process.alive());
        let since = Instant::now();
        while started(child).is_some() && since.elapsed() < GONE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(started(child), None);
    }

    #[test]
    fn another_process_with_the_same_id_is_not_ours() {
        let me = Process { name: "test".into(), pid: std::process::id(), started: "0".into() };
        assert!(!me.alive());
    }
}
