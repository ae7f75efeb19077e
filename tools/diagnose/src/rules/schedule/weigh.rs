//! Which of all that keeps a pod from its nodes is the cause: the least that would have to be given up.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Engine;
use crate::rules::schedule::cluster::{Cluster, host_ports};
use crate::rules::schedule::filter::{Asker, Fail, named_nodes};
use crate::rules::schedule::topology::Topology;
use crate::rules::schedule::volumes::claims;

/// What the filters come to.
#[derive(Clone)]
pub enum Verdict {
    /// Some node takes it.
    Fits,
    /// What would have to be given up, each with the nodes that it would open; nothing where there is no node.
    Short { fails: Vec<(Fail, Vec<usize>)>, others: String },
}

/// Asks all nodes, once for all pods that ask for the same.
pub fn verdict<'a>(engine: &Engine<'a>, cluster: &Cluster<'a>, asker: &Asker<'a>) -> Verdict {
    let spec = &asker.pod.spec;
    // Claims are a pod's own.
    if claims(asker.pod).next().is_some() {
        return ask(engine, cluster, asker);
    }
    let ports: Vec<_> = host_ports(spec).collect();
    let mut asks = format!("{:?} {:?} {:?} {ports:?}", asker.asks, spec.node_selector, spec.tolerations);
    // Which other pods there are makes a difference only to these.
    if spec.affinity.is_some() || !spec.topology_spread_constraints.is_empty() || !cluster.shunning.is_empty()
    {
        let meta = &asker.pod.metadata;
        let spread = &spec.topology_spread_constraints;
        asks += &format!(" {} {:?} {:?} {spread:?}", meta.namespace, meta.labels, spec.affinity);
    }
    if let Some(known) = cluster.verdicts.borrow().get(&asks) {
        return known.clone();
    }
    let verdict = ask(engine, cluster, asker);
    cluster.verdicts.borrow_mut().insert(asks, verdict.clone());
    verdict
}

/// Asks all nodes.
fn ask<'a>(engine: &Engine<'a>, cluster: &Cluster<'a>, asker: &Asker<'a>) -> Verdict {
    let topology = Topology::new(engine, cluster, asker.pod);
    let mut candidates: Vec<usize> = match named_nodes(asker.pod) {
        Some(names) => names.iter().filter_map(|n| cluster.at.get(n).copied()).collect(),
        None => Vec::new(),
    };
    if candidates.is_empty() {
        candidates = (0..cluster.rooms.len()).collect();
    }
    let mut all: Vec<(u32, Vec<Fail>, usize)> = Vec::with_capacity(candidates.len());
    for at in candidates {
        let Some(room) = cluster.rooms.get(at) else { continue };
        let fails = asker.fails(engine, &topology, room);
        if fails.is_empty() {
            return Verdict::Fits;
        }
        all.push((fails.iter().map(Fail::weight).sum(), fails, at));
    }
    let least = all.iter().map(|(w, ..)| *w).min().unwrap_or(0);
    let mut groups: BTreeMap<Fail, Vec<usize>> = BTreeMap::new();
    let mut rest: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (weight, fails, at) in all {
        if weight == least {
            fails.into_iter().for_each(|f| groups.entry(f).or_default().push(at));
            continue;
        }
        // Of another node only what is easiest to understand: the first that weighs least.
        let easiest = fails.iter().min_by_key(|f| f.weight());
        if let (Some(fail), Some(room)) = (easiest, cluster.rooms.get(at)) {
            rest.entry(fail.short()).or_default().push(room.name());
        }
    }
    let mut fails: Vec<(Fail, Vec<usize>)> = Vec::new();
    for (fail, nodes) in groups {
        match fails.iter_mut().find(|(other, _)| is_one(other, &fail)) {
            Some((other, known)) => {
                *other = join(other, &fail);
                known.extend(nodes);
                known.sort_unstable();
                known.dedup();
            }
            None => fails.push((fail, nodes)),
        }
    }
    let mut others: Vec<(String, Vec<&str>)> = rest.into_iter().collect();
    others.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    let others: Vec<String> = others
        .iter()
        .take(3)
        .map(|(short, names)| match names.as_slice() {
            [one] => format!("; {one} {short}"),
            many => format!("; each of {} {short}", super::list(many)),
        })
        .collect();
    Verdict::Short { fails, others: others.concat() }
}

/// Whether two reasons are told as one.
fn is_one(a: &Fail, b: &Fail) -> bool {
    match (a, b) {
        (Fail::Unwell(_), Fail::Unwell(_))
        | (Fail::Full(_), Fail::Full(_))
        | (Fail::Exceeds(_), Fail::Exceeds(_))
        | (Fail::Shunned(_), Fail::Shunned(_)) => true,
        (Fail::Spread(a, _), Fail::Spread(b, _)) => a == b,
        _ => false,
    }
}

fn join(a: &Fail, b: &Fail) -> Fail {
    let both = |a: &[String], b: &[String]| -> Vec<String> {
        let all: BTreeSet<&String> = a.iter().chain(b).collect();
        all.into_iter().cloned().collect()
    };
    match (a, b) {
        (Fail::Full(a), Fail::Full(b)) => Fail::Full(both(a, b)),
        (Fail::Exceeds(a), Fail::Exceeds(b)) => Fail::Exceeds(both(a, b)),
        // A node that is in a place of its own tells more than one that is in none.
        (Fail::Spread(at, a), Fail::Spread(_, b)) => Fail::Spread(*at, *a && *b),
        _ => a.clone(),
    }
}
