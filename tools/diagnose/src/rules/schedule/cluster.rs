//! The nodes as the scheduler sees them: what each has left, and what the pods on them keep others from. Worked out once
//! per walk, and only when some pod has no node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::{Engine, Key};
use crate::model::{Container, ContainerPort, Node, Pod, PodSpec, Resources};
use crate::quantity;
use crate::rules::schedule::weigh::Verdict;

/// Amounts by resource, in thousandths.
pub type Amounts<'a> = BTreeMap<&'a str, i128>;

/// A node with what is taken of it.
pub struct Room<'a> {
    pub node: &'a Node,
    pub has: Amounts<'a>,
    pub used: Amounts<'a>,
    /// Pods that are on it and not finished.
    pub pods: Vec<&'a Pod>,
    pub ports: Vec<(&'a Pod, &'a ContainerPort)>,
}

impl Room<'_> {
    /// What is left of a resource; negative where more was given than there is.
    pub fn free(&self, resource: &str) -> i128 {
        self.has.get(resource).copied().unwrap_or(0) - self.used.get(resource).copied().unwrap_or(0)
    }
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.node.metadata.name
    }
}

/// All nodes.
pub struct Cluster<'a> {
    pub rooms: Vec<Room<'a>>,
    pub at: BTreeMap<&'a str, usize>,
    /// Pods on nodes that keep others away, with their node.
    pub shunning: Vec<(&'a Pod, usize)>,
    /// What was found for lack of these resources.
    pub full: RefCell<BTreeMap<Vec<String>, Key>>,
    /// What the filters came to, by all that a pod asks for.
    pub verdicts: RefCell<BTreeMap<String, Verdict>>,
}

impl<'a> Cluster<'a> {
    /// The cluster of this walk.
    pub fn of(engine: &mut Engine<'a>) -> Rc<Self> {
        if let Some(known) = &engine.cluster {
            return Rc::clone(known);
        }
        let new = Rc::new(Self::new(engine));
        engine.cluster = Some(Rc::clone(&new));
        new
    }

    fn new(engine: &Engine<'a>) -> Self {
        let mut cluster = Self {
            rooms: Vec::new(),
            at: BTreeMap::new(),
            shunning: Vec::new(),
            full: RefCell::default(),
            verdicts: RefCell::default(),
        };
        for node in &engine.snap.nodes.items {
            let at = cluster.rooms.len();
            let mut room = Room {
                node,
                has: BTreeMap::new(),
                used: BTreeMap::new(),
                pods: Vec::new(),
                ports: Vec::new(),
            };
            add(&mut room.has, &node.status.allocatable);
            for pod in engine.index.on_node(&node.metadata.name) {
                if pod.is_finished() || is_left_behind(node, pod) {
                    continue;
                }
                room.pods.push(pod);
                for (name, amount) in requests(&pod.spec) {
                    *room.used.entry(name).or_default() += amount;
                }
                room.ports.extend(host_ports(&pod.spec).map(|p| (*pod, p)));
                let terms = pod.spec.affinity.as_ref().and_then(|a| a.pod_anti_affinity.as_ref());
                if terms.is_some_and(|t| !t.required_during_scheduling_ignored_during_execution.is_empty()) {
                    cluster.shunning.push((pod, at));
                }
            }
            cluster.at.insert(&node.metadata.name, at);
            cluster.rooms.push(room);
        }
        cluster
    }
}

/// Whether a pod is only still there because its node is lost: it is gone as soon as the node is back.
pub fn is_left_behind(node: &Node, pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_set() && !node.is_ready()
}

fn add<'a>(into: &mut Amounts<'a>, amounts: &'a Resources) {
    for (name, amount) in amounts.iter() {
        *into.entry(name).or_default() += amount.milli().unwrap_or(0);
    }
}

/// What a container asks for; a limit alone is also a request.
pub fn of_container(container: &Container) -> Amounts<'_> {
    let mut all = Amounts::new();
    add(&mut all, &container.resources.limits);
    for (name, amount) in container.resources.requests.iter() {
        all.insert(name, amount.milli().unwrap_or(0));
    }
    all
}

/// What a pod takes of its node: its containers and sidecars together, or an init container that needs more, and what
/// its runtime adds.
pub fn requests(spec: &PodSpec) -> Amounts<'_> {
    let mut all = Amounts::new();
    for container in &spec.containers {
        for (name, amount) in of_container(container) {
            *all.entry(name).or_default() += amount;
        }
    }
    let mut sidecars = Amounts::new();
    let mut most = Amounts::new();
    for container in &spec.init_containers {
        let asks = of_container(container);
        if container.is_sidecar() {
            for (name, amount) in asks {
                *sidecars.entry(name).or_default() += amount;
                *all.entry(name).or_default() += amount;
            }
        } else {
            for (name, amount) in asks {
                let with = amount + sidecars.get(name).copied().unwrap_or(0);
                let old = most.entry(name).or_default();
                *old = with.max(*old);
            }
        }
        for (name, amount) in &sidecars {
            let old = most.entry(name).or_default();
            *old = (*amount).max(*old);
        }
    }
    for (name, amount) in most {
        let old = all.entry(name).or_default();
        *old = amount.max(*old);
    }
    if let Some(of_pod) = &spec.resources {
        for (name, amount) in of_pod.requests.iter() {
            all.insert(name, amount.milli().unwrap_or(0));
        }
    }
    add(&mut all, &spec.overhead);
    all.retain(|_, amount| *amount > 0);
    all
}

/// The ports of its node that a pod takes.
pub fn host_ports(spec: &PodSpec) -> impl Iterator<Item = &ContainerPort> {
    let all = spec.containers.iter().chain(spec.init_containers.iter().filter(|c| c.is_sidecar()));
    all.flat_map(|c| &c.ports).filter(|p| p.host_port > 0)
}

/// An amount for people: `250m`, `1.5Gi`, `2`.
pub fn show(resource: &str, milli: i128) -> String {
    let whole = milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) != 0);
    match resource {
        "cpu" => quantity::show_cpu(milli),
        "memory" | "ephemeral-storage" => quantity::show_bytes(whole),
        r if r.starts_with("hugepages-") => quantity::show_bytes(whole),
        _ => whole.to_string(),
    }
}
