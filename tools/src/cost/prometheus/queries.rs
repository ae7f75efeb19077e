//! What a Prometheus is asked, as PromQL: a few instant queries over a window, for a namespace or for all at once.

use crate::error::ToolError;
use crate::sanitize;

/// What every figure is told apart by.
const BY: &str = "namespace, pod, container";
/// The letters of the hashes and suffixes that Kubernetes gives: no vowels, and nothing that looks like one.
const LETTERS: &str = "[bcdfghjklmnpqrstvwxz2456789]";

/// Over which time, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How far back, in hours.
    pub hours: u32,
    /// Seconds between two samples.
    pub step: u32,
    /// Seconds over which a CPU rate is taken. It has to hold two scrapes: many clusters scrape once a minute.
    pub rate: u32,
}

impl Default for Window {
    /// Two weeks every 75 seconds, as KRR has them; rates over two steps.
    fn default() -> Self {
        Self { hours: 14 * 24, step: 75, rate: 150 }
    }
}

impl Window {
    /// The same time with a quarter of the samples, for a Prometheus that finds them too many.
    pub(super) fn coarser(self) -> Self {
        let step = self.step.saturating_mul(4);
        Self { step, rate: self.rate.max(step), ..self }
    }

    /// A step of nothing or a rate over less than a step says nothing.
    fn sound(self) -> Self {
        let step = self.step.max(1);
        Self { hours: self.hours.max(1), step, rate: self.rate.max(step) }
    }

    /// `[window:step]` of a subquery.
    fn range(self) -> String {
        format!("[{}s:{}s]", u64::from(self.hours) * 3600, self.step)
    }
}

/// The queries, each of which answers with one figure for each container of each pod, but for the last three.
#[derive(Clone, Debug)]
pub(super) struct Queries {
    /// The 95th percentile of CPU use, in cores.
    pub cpu: String,
    /// The peak of the working set, in bytes.
    pub memory: String,
    /// How many samples there are.
    pub points: String,
    /// When it was first and last seen, in seconds since 1970.
    pub first: String,
    pub last: String,
    /// The memory limit of what was killed for want of memory, in bytes.
    pub killed: String,
    /// How many containers kube-state-metrics tells of: without it nobody knows what was killed.
    pub told: String,
    /// As `cpu` and `memory`, of all pods of a Deployment or StatefulSet together; `workload` is its kind/name.
    pub cpu_sum: String,
    pub memory_sum: String,
}

/// Whether there is anything at all.
pub(super) const PROBE: &str = r#"count(container_cpu_usage_seconds_total{container!=""})"#;

impl Queries {
    /// For one namespace, or all.
    ///
    /// # Errors
    /// `Invalid` when that cannot be the name of a namespace: it becomes part of each query.
    pub(super) fn new(namespace: Option<&str>, window: Window) -> Result<Self, ToolError> {
        let window = window.sound();
        let matches = selector(namespace)?;
        let range = window.range();
        let cpu =
            format!("max by ({BY}) (rate(container_cpu_usage_seconds_total{{{matches}}}[{}s]))", window.rate);
        let memory = format!("max by ({BY}) (container_memory_working_set_bytes{{{matches}}})");
        let counter = format!("max by ({BY}) (container_cpu_usage_seconds_total{{{matches}}})");
        let seen = format!("timestamp(container_cpu_usage_seconds_total{{{matches}}})");
        let killed = format!(
            r#"max by ({BY}) (kube_pod_container_resource_limits{{resource="memory", {matches}}}) * on ({BY}) max by ({BY}) (kube_pod_container_status_last_terminated_reason{{reason="OOMKilled", {matches}}})"#
        );
        Ok(Self {
            cpu: format!("quantile_over_time(0.95, ({cpu}){range})"),
            memory: format!("max_over_time(({memory}){range})"),
            points: format!("count_over_time(({counter}){range})"),
            first: format!("min by ({BY}) (min_over_time({seen}{range}))"),
            last: format!("max by ({BY}) (max_over_time({seen}{range}))"),
            killed: format!("max_over_time(({killed}){range}) > 0"),
            told: format!("count(kube_pod_container_info{{{matches}}})"),
            cpu_sum: format!("quantile_over_time(0.95, ({}){range})", together(&cpu)),
            memory_sum: format!("max_over_time(({}){range})", together(&memory)),
        })
    }
}

/// Which containers: real ones, not the pod's own group or its pause container.
fn selector(namespace: Option<&str>) -> Result<String, ToolError> {
    let real = r#"container!="", container!="POD", pod!="""#;
    let Some(name) = namespace else { return Ok(real.to_owned()) };
    if !is_label(name) {
        let shown = sanitize::line(name);
        return Err(ToolError::Invalid(format!("`{shown}` cannot be the name of a namespace")));
    }
    Ok(format!("namespace={}, {real}", quoted(name)))
}

/// Whether it is a DNS label, as names of namespaces, Services and containers are.
pub(super) fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A PromQL string. What needs an escape is no valid name and does not come here; should it, it stays inside.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Added up over the pods of each workload that an autoscaler can have, known by how its pods are named: a StatefulSet's
/// after their number, a Deployment's after a hash and a suffix of five letters. None fits both.
fn together(each: &str) -> String {
    let numbered = r#""workload", "StatefulSet/$1", "pod", "(.+)-[0-9]{1,4}""#;
    let hashed = format!(r#""workload", "Deployment/$1", "pod", "(.+)-{LETTERS}{{6,10}}-{LETTERS}{{5}}""#);
    format!(
        "sum by (namespace, workload, container) (label_replace(label_replace({each}, {numbered}), {hashed}))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_or_all_over_the_window() {
        let queries = Queries::new(Some("todo-app"), Window::default()).unwrap();
        assert_eq!(
            queries.cpu,
            r#"quantile_over_time(0.95, (max by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{namespace="todo-app", container!="", container!="POD", pod!=""}[150s])))[1209600s:75s])"#
        );
        assert_eq!(
            queries.memory,
            r#"max_over_time((max by (namespace, pod, container) (container_memory_working_set_bytes{namespace="todo-app", container!="", container!="POD", pod!=""}))[1209600s:75s])"#
        );
        let day = Window { hours: 24, step: 30, rate: 60 };
        let all = Queries::new(None, day).unwrap();
        assert!(
            all.points.ends_with("[86400s:30s])") && !all.points.contains("namespace="),
            "{}",
            all.points
        );
        assert_eq!(day.coarser(), Window { hours: 24, step: 120, rate: 120 });
        let nothing = Queries::new(None, Window { hours: 0, step: 0, rate: 0 }).unwrap();
        assert!(nothing.cpu.contains("[1s])") && nothing.cpu.ends_with("[3600s:1s])"), "{}", nothing.cpu);
    }

    #[test]
    fn brackets_and_quotes_of_every_query_are_closed() {
        let Queries { cpu, memory, points, first, last, killed, told, cpu_sum, memory_sum } =
            Queries::new(Some("x"), Window::default()).unwrap();
        for query in [cpu, memory, points, first, last, killed, told, cpu_sum, memory_sum, PROBE.to_owned()] {
            let mut open = Vec::new();
            let mut in_string = false;
            for c in query.chars() {
                match c {
                    '"' => in_string = !in_string,
                    _ if in_string => {}
                    '(' => open.push(')'),
                    '[' => open.push(']'),
                    '{' => open.push('}'),
                    ')' | ']' | '}' => assert_eq!(open.pop(), Some(c), "{query}"),
                    _ => {}
                }
            }
            assert!(open.is_empty() && !in_string, "{query}");
            assert!(query.len() < 1500, "{query} is too long for an address");
        }
    }

    #[test]
    fn no_name_leaves_its_quotes() {
        for hostile in [
            "",
            "x\"} or vector(1) #",
            "x\\",
            "x\n",
            "X",
            "a.b",
            "a/b",
            "-a",
            "a-",
            "ä",
            "x{}",
            "$1",
            &"a".repeat(64),
        ] {
            assert!(Queries::new(Some(hostile), Window::default()).is_err(), "{hostile:?}");
        }
        assert_eq!(quoted("x\"} or \\ \n"), r#""x\"} or \\ \n""#);
    }

    #[test]
    fn pods_are_added_up_by_how_they_are_named() {
        let query = Queries::new(None, Window::default()).unwrap().cpu_sum;
        let pattern = |after: &str| {
            let from = query.find(after).unwrap() + after.len();
            let quoted = &query[from..];
            regex::Regex::new(&format!("^(?:{})$", &quoted[..quoted.find('"').unwrap()])).unwrap()
        };
        let numbered = pattern(r#""StatefulSet/$1", "pod", ""#);
        let hashed = pattern(r#""Deployment/$1", "pod", ""#);
        let of = |pattern: &regex::Regex, pod: &str| pattern.captures(pod).map(|c| c[1].to_owned());
        for (pod, set, deployment) in [
            ("backend-5d4f8b7c9d-x7k2p", None, Some("backend")),
            ("my-db-12", Some("my-db"), None),
            ("web-5d4f8b7c9d-24567", None, Some("web")),
            ("agent-x7k2p", None, None),
            ("svc-lb-x7k2p", None, None),
            ("x", None, None),
        ] {
            assert_eq!(of(&numbered, pod).as_deref(), set, "{pod}");
            assert_eq!(of(&hashed, pod).as_deref(), deployment, "{pod}");
        }
    }
}
