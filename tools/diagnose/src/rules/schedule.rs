//! Pods that get no node: the scheduler's filters, done again over the snapshot. For each node all that keep a pod from it;
//! the least that would have to be given up for some node to take it is the cause. Once per distinct pod, not per pod.

mod around;
pub mod cluster;
mod filter;
mod odd;
mod place;
mod rejected;
mod room;
mod surge;
mod topology;
mod volumes;
mod weigh;

pub use odd::bogus_node;
pub use rejected::rejected;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Object};
use crate::model::{Pod, condition};
use crate::rules::schedule::cluster::Cluster;
use crate::rules::schedule::filter::{Asker, Fail};
use crate::rules::schedule::weigh::Verdict;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    room::EXCEEDS,
    room::FULL,
    room::EXTENDED,
    room::POD_CAP,
    room::PREEMPTED,
    place::SELECTOR,
    place::AFFINITY,
    place::TAINT,
    place::CORDONED,
    place::NOT_READY,
    around::APART,
    around::NEAR,
    around::SPREAD,
    room::PORT,
    room::VOLUME,
    room::ATTACH,
    room::IN_USE,
    odd::NAME_UNKNOWN,
    odd::DOWN,
    odd::GATED,
    odd::BOGUS_NODE,
    odd::CLAIM,
    rejected::REJECTED,
];

/// A pod that wants a node, and what its findings need.
pub(crate) struct Case<'a, 'c> {
    pub pod: &'a Pod,
    /// What people call its maker.
    pub maker: Object,
    pub cluster: &'c Cluster<'a>,
    pub asker: &'c Asker<'a>,
    /// What the other nodes lack, to end a sentence with.
    pub others: String,
}

impl<'a> Case<'a, '_> {
    /// A finding about it, with the scheduler's own word.
    pub fn finding(&self, cause: &Cause, object: Object, says: String) -> Finding {
        let scheduled = condition(&self.pod.status.conditions, "PodScheduled");
        Finding::new(cause, object, says + &self.others)
            .seen(
                Object::pod(self.pod),
                "status.conditions[PodScheduled]",
                scheduled.map(|c| c.message.as_str()).unwrap_or_default(),
            )
            .since(scheduled.map(|c| c.last_transition_time).unwrap_or_default())
    }
    /// The names of nodes.
    pub fn names(&self, nodes: &[usize]) -> Vec<&str> {
        nodes.iter().filter_map(|at| self.cluster.rooms.get(*at)).map(|r| r.name()).collect()
    }
}

/// Names for people: `n1`, `n1 and n2`, `n1, n2, n3 and 9 more`.
pub(crate) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, c, rest @ ..] => format!("{a}, {b}, {c} and {} more", rest.len()),
    }
}

/// `node n1`, `nodes n1 and n2`.
pub(crate) fn nodes(names: &[&str]) -> String {
    format!("{} {}", if names.len() == 1 { "node" } else { "nodes" }, list(names))
}

/// A pod without a node. Its claims come before this: one that cannot be bound is the claim's trouble.
pub fn pod<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let is_pending = matches!(pod.status.phase.as_str(), "Pending" | "");
    if !is_pending || !pod.spec.node_name.is_empty() || pod.metadata.deletion_timestamp.is_set() {
        return Roots::new();
    }
    if !pod.spec.scheduling_gates.is_empty() {
        return odd::gated(engine, pod);
    }
    match condition(&pod.status.conditions, "PodScheduled") {
        None => odd::unseen(engine, pod),
        Some(c) if c.status == "False" => {
            let shape = shape(pod);
            let roots = engine.explain(&shape, |engine| unschedulable(engine, pod, &shape));
            if engine.is_waiting(&shape) {
                engine.wait(Object::pod(pod));
            }
            roots
        }
        Some(_) => Roots::new(),
    }
}

/// What all pods of one maker, revision and set of claims have in common.
fn shape(pod: &Pod) -> Object {
    let of_own = filter::named_nodes(pod).is_some();
    let owner = pod.metadata.controller().map_or("", |o| &*o.uid);
    let mut name = if owner.is_empty() || of_own {
        format!("pod {}", pod.metadata.name)
    } else {
        let revision = pod.metadata.labels.get("controller-revision-hash").map_or("", String::as_str);
        format!("{owner} {revision}")
    };
    for claim in volumes::claims(pod) {
        name += " ";
        name += claim;
    }
    Object::new("shape of a pod", &pod.metadata.namespace, &name)
}

/// Why no node takes a pod.
fn unschedulable<'a>(engine: &mut Engine<'a>, pod: &'a Pod, shape: &Object) -> Roots {
    if !engine.snap.nodes.sees("") {
        return Roots::new();
    }
    let cluster = Cluster::of(engine);
    let asker = Asker::new(engine, pod);
    let maker = engine.index.maker(pod);
    let verdict = weigh::verdict(engine, &cluster, &asker);
    let (fails, others) = match verdict {
        Verdict::Short { fails, others } => (fails, others),
        Verdict::Fits => {
            let roots = odd::claim(engine, pod);
            // Room that was made a moment ago: the scheduler tries again within minutes. A claim that cannot be bound
            // is no such case, and neither is a cluster of which only some pods are seen.
            let sees_all = matches!(engine.snap.pods.seen, crate::snapshot::Seen::Everywhere);
            if roots.is_empty() && sees_all && !asker.volumes.is_stuck && odd::is_known(pod) {
                engine.wait(shape.clone());
            }
            return roots;
        }
    };
    let case = Case { pod, maker, cluster: &cluster, asker: &asker, others };
    let mut roots = Roots::new();
    if fails.is_empty() {
        roots.extend(room::no_nodes(engine, &case));
    }
    for (fail, nodes) in &fails {
        let found = match fail {
            Fail::Unwell(_) => place::unwell(engine, &case, nodes),
            Fail::Cordoned => place::cordoned(engine, &case, nodes),
            Fail::Taint { .. } => place::taint(engine, &case, fail, nodes),
            Fail::Selector => place::selector(engine, &case),
            Fail::Affinity => place::affinity(engine, &case),
            Fail::Near(at) => around::near(engine, &case, *at),
            Fail::Apart(at) => around::apart(engine, &case, *at),
            Fail::Shunned(other) => around::shunned(engine, &case, other, nodes),
            Fail::Spread(at, unlabelled) => around::spread(engine, &case, *at, *unlabelled, nodes),
            Fail::Exceeds(of) => room::exceeds(engine, &case, of, nodes),
            Fail::Full(of) => room::full(engine, &case, of, nodes),
            Fail::PodCap => room::pod_cap(engine, &case, nodes),
            Fail::Port(port) => room::port(engine, &case, *port, nodes),
            Fail::Volume(volume) => room::volume(engine, &case, volume),
            Fail::Attach(driver) => room::attach(engine, &case, driver, nodes),
            Fail::InUse(claim) => room::in_use(engine, &case, claim),
        };
        roots.extend(found);
    }
    roots
}

/// A pod on a node that is not ready: whatever it says, it is the node.
pub fn on_lost_node<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    let node = engine.snap.nodes.find("", &pod.spec.node_name).found();
    match node.filter(|n| !n.is_ready()) {
        Some(node) => crate::walk::node(engine, node),
        None => Roots::new(),
    }
}

/// Nodes that are not ready, so that they appear in the impact of what explains them.
pub fn scan(engine: &mut Engine<'_>) {
    for node in engine.snap.nodes.items.iter().filter(|n| !n.is_ready()) {
        let roots = crate::walk::node(engine, node);
        engine.suffers(Object::of("node", &node.metadata), "not ready", None, &roots);
    }
}
