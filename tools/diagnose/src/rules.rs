//! All rules, by what they explain. A rule gives the findings that explain a symptom, or nothing.

use crate::engine::{Engine, Roots};
use crate::finding::Cause;
use crate::index::Workload;
use crate::model::{Container, ContainerStatus, Pod};

pub mod access;
pub mod config;
pub mod crash;
pub mod evict;
pub mod image;
pub mod jobs;
pub mod logs;
pub mod probes;
pub mod pull;
pub mod services;
pub mod similar;
pub mod soft;
pub mod start;
pub mod unexplained;
pub mod wait;

/// A container that may be in trouble.
pub struct Case<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub status: &'a ContainerStatus,
    pub is_init: bool,
}

type PodRule = for<'a> fn(&mut Engine<'a>, &'a Pod) -> Roots;
type ContainerRule = for<'a> fn(&mut Engine<'a>, &Case<'a>) -> Roots;
type WorkloadRule = for<'a> fn(&mut Engine<'a>, &'a Workload<'a>) -> Roots;
type Scan = fn(&mut Engine<'_>);

/// What explains a whole pod, in the order in which a pod comes to life: the first that does is right.
pub const POD: &[PodRule] = &[start::refused, config::volumes, start::volumes, evict::pod, probes::gates];

/// What explains one container: the first that does is right.
pub const CONTAINER: &[ContainerRule] = &[
    pull::container,
    config::container,
    crash::killed,
    probes::container,
    start::container,
    crash::container,
    wait::container,
];

/// What explains a workload beside its pods: all that do.
pub const WORKLOAD: &[WorkloadRule] = &[jobs::job, evict::repeated];

/// What is looked through from its first object to its last. What others depend on comes first.
pub const SCANS: &[Scan] = &[crate::walk::workloads, jobs::scan, services::scan];

/// The catalogue, family by family.
pub const FAMILIES: &[&[Cause]] = &[
    config::CAUSES,
    pull::CAUSES,
    start::CAUSES,
    crash::CAUSES,
    probes::CAUSES,
    soft::CAUSES,
    access::CAUSES,
    evict::CAUSES,
    wait::CAUSES,
    jobs::CAUSES,
    services::CAUSES,
    unexplained::CAUSES,
];

/// All causes.
pub fn causes() -> impl Iterator<Item = &'static Cause> {
    FAMILIES.iter().copied().flatten()
}
