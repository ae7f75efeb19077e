//! Names that Tab completes, fetched from the live cluster in the background.

use std::sync::{Arc, PoisonError, RwLock};

use kai_tools::Cluster;
use kai_tools::object::{builtin, is_object_name};

use super::command::COMMANDS;

/// Kinds whose names are offered.
const WORKLOADS: [&str; 3] = ["deployment", "statefulset", "daemonset"];

/// What can be completed.
#[derive(Default)]
pub struct Names {
    pub workloads: Vec<String>,
    pub namespaces: Vec<String>,
    pub contexts: Vec<String>,
    pub models: Vec<String>,
}

/// Asks the cluster for names, without anybody waiting for it: the names of before are gone at once, the new ones come
/// when they come, and a cluster that does not tell leaves none.
pub fn fetch(cluster: Cluster, names: &Arc<RwLock<Names>>) -> Fetching {
    let names = names.clone();
    let set = move |change: &mut dyn FnMut(&mut Names)| {
        change(&mut names.write().unwrap_or_else(PoisonError::into_inner));
    };
    set(&mut |n| (n.workloads, n.namespaces) = (Vec::new(), Vec::new()));
    Fetching(tokio::spawn(async move {
        let namespace = cluster.namespace().to_string();
        let mut namespaces = usable(cluster.names(&builtin("namespace"), None).await);
        set(&mut |n| n.namespaces = std::mem::take(&mut namespaces));
        let mut workloads = Vec::new();
        for kind in WORKLOADS {
            workloads.extend(cluster.names(&builtin(kind), Some(&namespace)).await);
        }
        let mut workloads = usable(workloads);
        set(&mut |n| n.workloads = std::mem::take(&mut workloads));
    }))
}

/// Names on their way. Dropped when others are wanted: a slow answer must not replace what was asked for later.
pub struct Fetching(tokio::task::JoinHandle<()>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Only what can be the name of an object may reach the line that is typed.
fn usable(mut names: Vec<String>) -> Vec<String> {
    names.retain(|n| is_object_name(n));
    names.sort();
    names.dedup();
    names
}

/// Where the word before the cursor begins, and what it may become.
pub fn candidates(names: &Names, before: &str) -> (usize, Vec<String>) {
    let start = before
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let command = before.trim_start();
    let from: Vec<&String> = match command.split_whitespace().next() {
        Some(first) if first.starts_with('/') => {
            if start == before.len() - command.len() {
                let fit = COMMANDS.iter().map(|c| {
                    // What takes a name is ready for it.
                    format!("/{}{}", c.name, if c.takes.is_empty() { "" } else { " " })
                });
                let fit = fit.filter(|c| c.starts_with(word));
                return (start, fit.collect());
            }
            match first {
                "/context" => names.contexts.iter().collect(),
                "/namespace" => names.namespaces.iter().collect(),
                "/model" => names.models.iter().collect(),
                _ => Vec::new(),
            }
        }
        _ if word.is_empty() => Vec::new(),
        _ => names.workloads.iter().chain(&names.namespaces).chain(&names.contexts).collect(),
    };
    let mut fit: Vec<String> = from.into_iter().filter(|n| n.starts_with(word)).cloned().collect();
    fit.dedup();
    (start, fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            workloads: vec!["backend".into(), "backup".into(), "frontend".into()],
            namespaces: vec!["todo".into(), "back-office".into()],
            contexts: vec!["kind-kai".into()],
            models: vec!["planner".into()],
        }
    }

    #[test]
    fn words_become_names() {
        let of = |line: &str| candidates(&names(), line);
        assert_eq!(of("scale ba"), (6, vec!["backend".into(), "backup".into(), "back-office".into()]));
        assert_eq!(of("scale "), (6, vec![]));
        assert_eq!(of("/na"), (0, vec!["/namespace ".into()]));
        assert_eq!(of("/h"), (0, vec!["/help".into()]));
        assert_eq!(of("  /namespace b"), (13, vec!["back-office".into()]));
        assert_eq!(of("/context "), (9, vec!["kind-kai".into()]));
        assert_eq!(of("größe　fr"), ("größe　".len(), vec!["frontend".into()]));
        assert_eq!(of("/help b"), (6, vec![]));
    }

    #[test]
    fn only_names_reach_the_line() {
        assert_eq!(usable(vec!["b".into(), "a\nrm".into(), "a".into(), "b".into()]), ["a", "b"]);
    }
}
