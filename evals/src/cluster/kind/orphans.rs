//! What a killed Docker daemon leaves running: the processes of its containers, told by the control groups they are in.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends every process of the containers that the daemon with this data folder knows.
pub fn end(data: &Path) {
    let containers: Vec<String> = std::fs::read_dir(data.join("containers"))
        .map(|all| all.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    if containers.is_empty() {
        return;
    }
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let left = processes(&containers);
        if left.is_empty() {
            return;
        }
        for pid in left {
            // One that has just ended is as good as killed.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn processes(containers: &[String]) -> Vec<Pid> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| {
        let proc = format!("/proc/{}", pid.as_raw_nonzero());
        let groups = std::fs::read_to_string(format!("{proc}/cgroup")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("{proc}/stat")).unwrap_or_default();
        let ended = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
        !ended && containers.iter().any(|id| id.len() == 64 && groups.contains(id.as_str()))
    })
    .collect()
}
