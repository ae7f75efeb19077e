//! From figures of pods to histories of workloads. Pods that are gone count too: their names say whose they were.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kai_cost::cluster::{Object, Pod};
use kai_cost::rightsize::History;
use kai_cost::units::{Bytes, Millicores};

use super::answer::Figure;
use super::queries::is_label;

/// The letters of hashes and suffixes.
const LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Histories by workload and container name.
pub type Histories = BTreeMap<Object, BTreeMap<String, History>>;

/// Whose a pod is.
#[derive(Debug, Default)]
pub struct Owners {
    /// Of pods that are there, as they say it themselves.
    living: HashMap<(String, String), Object>,
    /// The workloads that pods may have belonged to, by namespace.
    known: HashMap<String, Vec<Object>>,
}

impl Owners {
    /// From the workloads that are asked about, and the pods that are there.
    pub fn new<'a>(
        workloads: impl IntoIterator<Item = &'a Object>,
        pods: impl IntoIterator<Item = &'a Pod>,
    ) -> Self {
        let mut owners = Self::default();
        for workload in workloads {
            owners.known.entry(workload.namespace.clone()).or_default().push(workload.clone());
        }
        for pod in pods {
            owners.living.insert((pod.namespace.clone(), pod.name.clone()), pod.owner.clone());
        }
        owners
    }

    /// The workload of a pod; none where no workload, or more than one, can have made a pod of that name.
    pub fn of(&self, namespace: &str, pod: &str) -> Option<&Object> {
        if let Some(owner) = self.living.get(&(namespace.to_owned(), pod.to_owned())) {
            return Some(owner);
        }
        let mut fitting = self.known.get(namespace)?.iter().filter(|w| is_pod_of(pod, w));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    /// A workload by `kind/name`, as the query for sums writes it.
    fn named(&self, namespace: &str, said: &str) -> Option<&Object> {
        let (kind, name) = said.split_once('/')?;
        self.known.get(namespace)?.iter().find(|w| w.kind == kind && w.name == name)
    }
}

/// Whether the workload's controller gives its pods such names.
fn is_pod_of(pod: &str, workload: &Object) -> bool {
    if workload.kind == "Pod" {
        return pod == workload.name;
    }
    let Some(rest) = pod.strip_prefix(&workload.name).and_then(|r| r.strip_prefix('-')) else {
        return false;
    };
    let letters = |text: &str| !text.is_empty() && text.chars().all(|c| LETTERS.contains(c));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let suffix = |text: &str| text.len() == 5 && letters(text);
    let parts: Vec<&str> = rest.split('-').collect();
    match (workload.kind.as_str(), parts.as_slice()) {
        ("Deployment", [hash, end]) => (6..=10).contains(&hash.len()) && letters(hash) && suffix(end),
        ("StatefulSet", [number]) => number.len() <= 4 && digits(number),
        ("CronJob", [minute, end]) => minute.len() == 8 && digits(minute) && suffix(end),
        // An indexed Job puts the index between.
        ("Job", [index, end]) => digits(index) && suffix(end),
        ("DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job", [end]) => suffix(end),
        _ => false,
    }
}

/// The answers to all queries.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub cpu: Vec<Figure>,
    pub memory: Vec<Figure>,
    pub points: Vec<Figure>,
    pub first: Vec<Figure>,
    pub last: Vec<Figure>,
    pub killed: Vec<Figure>,
    pub cpu_sum: Vec<Figure>,
    pub memory_sum: Vec<Figure>,
}

/// What the figures come to.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub histories: Histories,
    /// How many hours lie between the first and the last figure of all.
    pub reach: f64,
    /// How many pods have figures and no workload that is known.
    pub strangers: usize,
}

/// What was seen of one container name in the pods of one workload.
#[derive(Default)]
struct Seen {
    cpu: Option<f64>,
    memory: Option<f64>,
    points: f64,
    killed: Option<f64>,
    cpu_sum: Option<f64>,
    memory_sum: Option<f64>,
    /// When each pod was first seen, by pod.
    from: BTreeMap<String, f64>,
    /// From when to when pods were seen.
    spans: Vec<(f64, f64)>,
}

/// How a figure is taken down.
type Note = fn(&mut Seen, &Figure);

/// Puts the figures of each workload's pods together. A container without a figure for CPU or for memory has no history.
pub(super) fn matched(tables: &Tables, owners: &Owners) -> Matched {
    let mut seen: BTreeMap<(Object, String), Seen> = BTreeMap::new();
    let mut strangers = BTreeSet::new();
    // `last` comes after `first`: a span needs both.
    let of_pods: [(&[Figure], Note); 6] = [
        (&tables.cpu, |s, f| most(&mut s.cpu, f.value)),
        (&tables.memory, |s, f| most(&mut s.memory, f.value)),
        (&tables.points, |s, f| s.points += f.value),
        (&tables.killed, |s, f| most(&mut s.killed, f.value)),
        (&tables.first, |s, f| {
            s.from.insert(f.pod.clone(), f.value);
        }),
        (&tables.last, |s, f| s.spans.extend(s.from.get(&f.pod).map(|from| (*from, f.value)))),
    ];
    for (figures, note) in of_pods {
        for figure in figures.iter().filter(|f| is_label(&f.container)) {
            match owners.of(&figure.namespace, &figure.pod) {
                Some(owner) => {
                    note(seen.entry((owner.clone(), figure.container.clone())).or_default(), figure);
                }
                None => {
                    strangers.insert((&figure.namespace, &figure.pod));
                }
            }
        }
    }
    let of_workloads: [(&[Figure], Note); 2] = [
        (&tables.cpu_sum, |s, f| most(&mut s.cpu_sum, f.value)),
        (&tables.memory_sum, |s, f| most(&mut s.memory_sum, f.value)),
    ];
    for (figures, note) in of_workloads {
        for figure in figures {
            if let Some(owner) = owners.named(&figure.namespace, &figure.workload)
                && let Some(seen) = seen.get_mut(&(owner.clone(), figure.container.clone()))
            {
                note(seen, figure);
            }
        }
    }
    let ends = || seen.values().flat_map(|s| &s.spans);
    let from = ends().map(|s| s.0).fold(f64::INFINITY, f64::min);
    let to = ends().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
    let mut found = Matched {
        reach: if to > from { (to - from) / 3600.0 } else { 0.0 },
        strangers: strangers.len(),
        ..Matched::default()
    };
    for ((owner, container), seen) in seen {
        let (Some(cpu), Some(memory)) = (seen.cpu, seen.memory) else { continue };
        let history = History {
            points: seen.points as u64,
            hours: covered(seen.spans) / 3600.0,
            cpu_p95: millicores(cpu),
            cpu_p95_sum: seen.cpu_sum.map(millicores),
            memory_peak: bytes(memory),
            memory_peak_sum: seen.memory_sum.map(bytes),
            oom_limit: seen.killed.filter(|limit| *limit > 0.0).map(bytes),
        };
        found.histories.entry(owner).or_default().insert(container, history);
    }
    found
}

fn most(slot: &mut Option<f64>, value: f64) {
    *slot = Some(slot.map_or(value, |s| s.max(value)));
}

/// How many seconds lie in at least one of the spans.
fn covered(mut spans: Vec<(f64, f64)>) -> f64 {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut total, mut end) = (0.0, f64::NEG_INFINITY);
    for (from, to) in spans {
        // One that ends before it begins is none: whatever answers may say so.
        if to > end.max(from) {
            total += to - from.max(end);
            end = to;
        }
    }
    total
}

/// Cores as whole millicores, rounded up; what a sum of fractions leaves behind the ninth digit is no use.
fn millicores(cores: f64) -> Millicores {
    Millicores((cores * 1000.0 - 1e-6).ceil().max(0.0) as i64)
}

fn bytes(value: f64) -> Bytes {
    Bytes(value.ceil() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> Object {
        Object { kind: kind.into(), namespace: "t".into(), name: name.into() }
    }

    fn living(name: &str, owner: Object) -> Pod {
        let read = kai_cost::read::pod(&serde_json::json!({"metadata": {"name": name, "namespace": "t"}}));
        Pod { owner, ..read.unwrap() }
    }

    fn figure(pod: &str, container: &str, value: f64) -> Figure {
        Figure {
            namespace: "t".into(),
            pod: pod.into(),
            container: container.into(),
            value,
            ..Figure::default()
        }
    }

    #[test]
    fn names_say_whose_a_pod_was() {
        for (kind, name, pod, wanted) in [
            ("Deployment", "web", "web-5d4f8b7c9d-x7k2p", true),
            ("Deployment", "web", "web-api-5d4f8b7c9d-x7k2p", false),
            ("Deployment", "web-api", "web-api-5d4f8b7c9d-x7k2p", true),
            ("Deployment", "web", "web-x7k2p", false),
            ("Deployment", "web", "web-aeiou0abc1-x7k2p", false),
            ("Deployment", "web", "web-5d4f8b7c9d-x7k2p-more", false),
            ("Deployment", "web", "web", false),
            ("Deployment", "", "-5d4f8b7c9d-x7k2p", true),
            ("Deployment", "we", "web-5d4f8b7c9d-x7k2p", false),
            ("StatefulSet", "db", "db-0", true),
            ("StatefulSet", "db", "db-12", true),
            ("StatefulSet", "db", "db-x", false),
            ("StatefulSet", "db", "db-24567", false),
            ("DaemonSet", "agent", "agent-x7k2p", true),
            ("DaemonSet", "agent", "agent-x7k2a", false),
            ("CronJob", "backup", "backup-29012345-x7k2p", true),
            ("Job", "load", "load-x7k2p", true),
            ("Job", "load", "load-3-x7k2p", true),
            ("ReplicaSet", "old", "old-x7k2p", true),
            ("Pod", "alone", "alone", true),
            ("Pod", "alone", "alone-0", false),
            ("Rollout", "x", "x-5d4f8b7c9d-x7k2p", false),
        ] {
            assert_eq!(is_pod_of(pod, &object(kind, name)), wanted, "{kind} {name} {pod}");
        }
    }

    #[test]
    fn a_living_pod_says_it_itself_and_a_doubt_is_no_owner() {
        let known = [object("DaemonSet", "a"), object("Job", "a"), object("Deployment", "web")];
        let pods = [living("a-x7k2p", object("Job", "a")), living("web-odd", object("Deployment", "web"))];
        let owners = Owners::new(&known, &pods);
        assert_eq!(owners.of("t", "a-x7k2p"), Some(&known[1]));
        assert_eq!(owners.of("t", "a-bbbbb"), None, "either may have made it");
        assert_eq!(owners.of("t", "web-odd"), Some(&known[2]));
        assert_eq!(owners.of("other", "web-odd"), None);
    }

    #[test]
    fn pods_of_a_workload_are_put_together() {
        let known = [object("Deployment", "web")];
        let owners = Owners::new(&known, &[]);
        let (old, new) = ("web-5d4f8b7c9d-x7k2p", "web-7c9d5d4f8b-bbbbb");
        let summed = |container: &str, value| Figure {
            workload: "Deployment/web".into(),
            ..figure("", container, value)
        };
        let tables = Tables {
            cpu: vec![figure(old, "c", 0.04), figure(new, "c", 0.0231), figure("alien", "c", 9.0)],
            memory: vec![
                figure(old, "c", 80e6),
                figure(new, "c", 94371840.0),
                figure(new, "half", 1.0),
                figure(new, "x\"}", 9.0),
            ],
            points: vec![figure(old, "c", 60.0), figure(new, "c", 50.0)],
            // They overlap by an hour: 24 and 12 are 35.
            first: vec![figure(old, "c", 3600.0), figure(new, "c", 24.0 * 3600.0)],
            last: vec![figure(old, "c", 25.0 * 3600.0), figure(new, "c", 36.0 * 3600.0)],
            killed: vec![figure(old, "c", 134217728.0), figure(new, "c", 0.0)],
            cpu_sum: vec![summed("c", 0.0601), summed("other", 1.0)],
            memory_sum: vec![summed("c", 1e8)],
        };
        let found = matched(&tables, &owners);
        assert_eq!((found.strangers, found.reach), (1, 35.0));
        let web = &found.histories[&known[0]];
        assert_eq!(web.keys().collect::<Vec<_>>(), ["c"], "half a history is none");
        assert_eq!(
            web["c"],
            History {
                points: 110,
                hours: 35.0,
                cpu_p95: Millicores(40),
                cpu_p95_sum: Some(Millicores(61)),
                memory_peak: Bytes(90 << 20),
                memory_peak_sum: Some(Bytes(100_000_000)),
                oom_limit: Some(Bytes(128 << 20)),
            }
        );
    }

    #[test]
    fn spans_that_overlap_count_once() {
        for (spans, wanted) in [
            (vec![], 0.0),
            (vec![(0.0, 10.0), (20.0, 30.0)], 20.0),
            (vec![(5.0, 30.0), (0.0, 10.0), (6.0, 7.0)], 30.0),
            (vec![(10.0, 5.0)], 0.0),
        ] {
            assert_eq!(covered(spans.clone()), wanted, "{spans:?}");
        }
        assert_eq!(millicores(0.057), Millicores(57));
        assert_eq!(millicores(0.0570001), Millicores(58));
        assert_eq!(millicores(0.0), Millicores(0));
    }
}
