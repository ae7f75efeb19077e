//! Whether an object is well, read from the row that the API server prints of it (pure).

use super::rows::Row;

/// How an object is, in the words of its row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub label: String,
    /// Ready, done, or deliberately at rest.
    pub good: bool,
    /// What to add to the name of one that is not: `1/3`.
    pub detail: String,
}

/// The state of a row; `None` for kinds that have none (a Service is not ready or unready).
pub(super) fn of(kind: &str, columns: &[String], row: &Row) -> Option<State> {
    let cell = |name: &str| {
        columns.iter().position(|c| c == name).and_then(|i| row.cells.get(i)).map_or("", String::as_str)
    };
    let state = |label: &str, good: bool| State { label: label.into(), good, detail: String::new() };
    let status = cell("STATUS");
    // Chosen fields in place of the usual columns say nothing of it.
    if status.is_empty() && !columns.iter().any(|c| c == "READY" || c == "COMPLETIONS") {
        return None;
    }
    match kind {
        "pod" => {
            let full = fraction(cell("READY")).is_some_and(|(ready, of)| ready == of);
            Some(match status {
                "Running" if full => state("Running and ready", true),
                "Running" => State { detail: cell("READY").into(), ..state("Running, not ready", false) },
                "Completed" | "Succeeded" => state("Completed", true),
                other => state(other, full),
            })
        }
        "node" => {
            let ready = status.split(',').next() == Some("Ready");
            let label = if status == "Ready" { "ready" } else { status };
            Some(state(label, ready))
        }
        "job" => match status {
            "" => replicas(fraction(cell("COMPLETIONS"))?),
            other => Some(state(other, !other.starts_with("Fail"))),
        },
        "persistentvolumeclaim" | "persistentvolume" => {
            Some(state(status, matches!(status, "Bound" | "Available")))
        }
        "namespace" => Some(state(status, status == "Active")),
        "daemonset" | "replicaset" => replicas((cell("READY").parse().ok()?, cell("DESIRED").parse().ok()?)),
        _ => match cell("READY") {
            "True" | "true" => Some(state("ready", true)),
            "False" | "false" | "Unknown" => Some(state("not ready", false)),
            other => replicas(fraction(other)?),
        },
    }
}

fn replicas((ready, desired): (u64, u64)) -> Option<State> {
    let (label, good) = match (ready, desired) {
        (_, 0) => ("scaled to 0", true),
        (r, d) if r >= d => ("ready", true),
        _ => ("not ready", false),
    };
    Some(State { label: label.into(), good, detail: format!("{ready}/{desired}") })
}

fn fraction(cell: &str) -> Option<(u64, u64)> {
    let (ready, of) = cell.split_once('/')?;
    Some((ready.trim().parse().ok()?, of.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: &str, columns: &[&str], cells: &[&str]) -> Option<(String, bool)> {
        let columns: Vec<String> = columns.iter().map(|c| c.to_string()).collect();
        let cells = cells.iter().map(|c| c.to_string()).collect();
        of(kind, &columns, &Row { namespace: String::new(), name: "x".into(), cells })
            .map(|s| (s.label, s.good))
    }

    #[test]
    fn states() {
        let pod = |ready, status| state("pod", &["NAME", "READY", "STATUS"], &["x", ready, status]).unwrap();
        assert_eq!(pod("1/1", "Running"), ("Running and ready".into(), true));
        assert_eq!(pod("1/2", "Running"), ("Running, not ready".into(), false));
        assert_eq!(pod("0/1", "CrashLoopBackOff"), ("CrashLoopBackOff".into(), false));
        assert_eq!(pod("0/1", "Completed"), ("Completed".into(), true));
        let deploy = |ready| state("deployment", &["NAME", "READY"], &["x", ready]).unwrap();
        assert_eq!(deploy("1/3"), ("not ready".into(), false));
        assert_eq!(deploy("0/0"), ("scaled to 0".into(), true));
        let set = state("daemonset", &["NAME", "DESIRED", "READY"], &["x", "3", "2"]).unwrap();
        assert!(!set.1);
        assert!(!state("node", &["STATUS"], &["NotReady"]).unwrap().1);
        assert_eq!(
            state("node", &["STATUS"], &["Ready,SchedulingDisabled"]).unwrap(),
            ("Ready,SchedulingDisabled".into(), true)
        );
        assert_eq!(state("certificate", &["NAME", "READY"], &["x", "False"]).unwrap().0, "not ready");
        assert!(state("pod", &["NAME", "spec.nodeName"], &["x", "n1"]).is_none());
        assert!(state("service", &["NAME", "TYPE"], &["x", "ClusterIP"]).is_none());
    }
}
