//! What Docker changes on the machine and leaves behind: packet filter rules, and whether packets are
//! forwarded; and a limit that nodes need raised. Looked at before it starts, put back after it has
//! ended.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// How many watchers of files one user's programs may have. Every part of Kubernetes watches some; the usual
/// 128 are too few for a few nodes.
const WATCHERS: &str = "/proc/sys/fs/inotify/max_user_instances";
const ENOUGH_WATCHERS: u32 = 2048;
/// The tables that Docker writes into.
const TABLES: [&str; 2] = ["nat", "filter"];

/// How it was before Docker started.
#[derive(Serialize, Deserialize)]
pub struct Before {
    /// Whether packets were forwarded, as the kernel writes it.
    forwarding: Option<String>,
    /// How many watchers a user could have, as the kernel writes it.
    watchers: Option<String>,
    /// What happened to forwarded packets that no rule was about: "ACCEPT" unless somebody chose.
    policy: String,
    /// The packet filter's tables of IPv4.
    tables: Vec<String>,
}

impl Before {
    /// Looks; whatever cannot be seen is taken for absent.
    pub fn look() -> Before {
        let tables = said("nft", &["list", "tables", "ip"]).unwrap_or_default();
        let tables: Vec<String> =
            tables.lines().filter_map(|line| line.strip_prefix("table ip ")).map(str::to_owned).collect();
        // Asking iptables makes the table: ask only where it is.
        let policy =
            tables.iter().any(|table| table == "filter").then(|| said("iptables", &["-S", "FORWARD"]));
        let policy = policy.flatten().unwrap_or_default();
        let policy = policy.lines().find_map(|line| line.strip_prefix("-P FORWARD ")).unwrap_or("ACCEPT");
        Before {
            forwarding: std::fs::read_to_string(FORWARDING).ok(),
            watchers: std::fs::read_to_string(WATCHERS).ok(),
            policy: policy.to_owned(),
            tables,
        }
    }

    /// Raises the limit that several nodes would reach.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn raise_limits(&self) -> Result<()> {
        let now = self.watchers.as_deref().and_then(|text| text.trim().parse::<u32>().ok());
        if now.is_some_and(|now| now < ENOUGH_WATCHERS) {
            std::fs::write(WATCHERS, ENOUGH_WATCHERS.to_string())
                .with_context(|| format!("cannot write {WATCHERS}"))?;
        }
        Ok(())
    }

    /// Removes Docker's rules, and the tables that only it needed; sets forwarding and limits as they were.
    ///
    /// # Errors
    /// The packet filter refuses.
    pub fn restore(&self) -> Result<()> {
        for table in TABLES {
            let Some(rules) = said("iptables-save", &["-t", table]) else { continue };
            let kept = without_docker(&rules, &self.policy);
            restore(&kept)?;
            let empty = !kept.lines().any(|line| line.starts_with("-A") || line.contains(" - ["));
            if empty && !self.tables.iter().any(|before| before == table) {
                // With iptables of the older kind there is none to delete.
                let _ = said("nft", &["delete", "table", "ip", table]);
            }
        }
        for (path, value) in [(FORWARDING, &self.forwarding), (WATCHERS, &self.watchers)] {
            if let Some(value) = value {
                std::fs::write(path, value).with_context(|| format!("cannot write {path}"))?;
            }
        }
        Ok(())
    }
}

/// The rules of one table, as iptables-save prints them, less those of Docker and its bridges.
fn without_docker(rules: &str, policy: &str) -> String {
    let of_docker = |line: &str| {
        line.split_whitespace().any(|word| {
            word.trim_start_matches(':').starts_with("DOCKER") || word == "docker0" || word.starts_with("br-")
        })
    };
    let mut kept = String::new();
    for line in rules.lines().filter(|line| !of_docker(line)) {
        if line.starts_with(":FORWARD ") {
            kept += &format!(":FORWARD {policy} [0:0]\n");
        } else {
            kept += &format!("{line}\n");
        }
    }
    kept
}

fn restore(rules: &str) -> Result<()> {
    let mut child = Command::new("iptables-restore")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run iptables-restore")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    ensure!(child.wait()?.success(), "Docker's packet filter rules cannot be removed");
    Ok(())
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = "\
# Generated by iptables-save v1.8.9 (nf_tables)
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [4:240]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i br-05d3 ! -o br-05d3 -j ACCEPT
-A FORWARD -i eth0 -j MINE
-A DOCKER-USER -j RETURN
COMMIT
";

    #[test]
    fn what_others_have_written_stays() {
        let kept = without_docker(FILTER, "ACCEPT");
        let expected = "\
# Generated by iptables-save v1.8.9 (nf_tables)
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
-A FORWARD -i eth0 -j MINE
COMMIT
";
        assert_eq!(kept, expected);
    }
}
