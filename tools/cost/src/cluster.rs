//! What of a cluster costs something, or decides where pods fit: the snapshot that everything here is computed from.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Sub};

use crate::node::{Billing, Machine};
use crate::place::Placement;
use crate::units::{Bytes, Millicores};

/// An amount of what a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// CPU.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Bytes,
    /// Whole GPUs.
    pub gpus: i64,
}

impl Size {
    /// CPU and memory, without GPUs.
    pub fn new(millicores: i64, bytes: i64) -> Size {
        Size { cpu: Millicores(millicores), memory: Bytes(bytes), gpus: 0 }
    }

    /// The larger of both, each by itself.
    pub fn max(self, other: Size) -> Size {
        Size {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            gpus: self.gpus.max(other.gpus),
        }
    }

    /// So many times as much.
    pub fn times(self, n: i64) -> Size {
        Size { cpu: self.cpu * n, memory: self.memory * n, gpus: self.gpus.saturating_mul(n) }
    }

    /// Whether all of it is in `room`.
    pub fn fits(self, room: Size) -> bool {
        self.cpu <= room.cpu && self.memory <= room.memory && self.gpus <= room.gpus
    }

    /// What of it is above the other; nothing where it is below.
    pub fn above(self, other: Size) -> Size {
        (self - other).max(Size::default())
    }
}

impl Add for Size {
    type Output = Size;
    fn add(self, other: Size) -> Size {
        Size {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }
}

impl Sub for Size {
    type Output = Size;
    fn sub(self, other: Size) -> Size {
        Size {
            cpu: self.cpu - other.cpu,
            memory: self.memory - other.memory,
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Size>>(all: I) -> Size {
        all.fold(Size::default(), Add::add)
    }
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// What its price depends on.
    pub machine: Machine,
    /// What pods may request of it in all.
    pub allocatable: Size,
    /// How many pods it takes.
    pub pods: i64,
    /// Taints that keep pods away: key, value, effect.
    pub taints: Vec<[String; 3]>,
    /// Whether new pods may come: ready and not cordoned.
    pub open: bool,
    /// What of it is paid for.
    pub billing: Billing,
}

/// An object by kind, namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its kind, such as "Deployment".
    pub kind: String,
    /// Empty for what is in no namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

/// A container of a pod, as far as it requests something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What it requests.
    pub size: Size,
    /// Whether it says a CPU request.
    pub cpu_set: bool,
    /// Whether it says a memory request.
    pub memory_set: bool,
    /// Its memory limit, if it has one.
    pub memory_limit: Option<Bytes>,
}

/// What else than its containers decides what a pod takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Frame {
    /// Init containers that keep running.
    pub sidecars: Size,
    /// The largest of the other init containers, with the sidecars that run by then.
    pub starting: Size,
    /// The CPU that the pod itself requests, whatever its containers do.
    pub cpu: Option<Millicores>,
    /// Likewise its memory.
    pub memory: Option<Bytes>,
    /// What its runtime takes.
    pub overhead: Size,
}

impl Frame {
    /// What the scheduler keeps free for a pod with these containers.
    pub fn size(&self, containers: &[Container]) -> Size {
        let running = containers.iter().map(|c| c.size).sum::<Size>() + self.sidecars;
        let larger = running.max(self.starting);
        let whole = Size {
            cpu: self.cpu.unwrap_or(larger.cpu),
            memory: self.memory.unwrap_or(larger.memory),
            gpus: larger.gpus,
        };
        whole + self.overhead
    }
}

/// What pods of one template take, and where they may run.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// What the scheduler keeps free for it: containers and sidecars, or the largest init container; and overhead.
    pub size: Size,
    /// What of that is not its containers'.
    pub frame: Frame,
    /// `spec.containers`, one by one: all that OpenCost counts.
    pub containers: Vec<Container>,
    /// Where it may run.
    pub placement: Placement,
    /// The claims it mounts.
    pub claims: Vec<String>,
}

impl Shape {
    /// The requests of `spec.containers` alone.
    pub fn plain(&self) -> Size {
        self.containers.iter().map(|c| c.size).sum()
    }

    /// Keeps the pods to the zones of the volumes that they mount. `of` answers a claim's zones, none where any will do.
    pub fn keep_to_zones(&mut self, of: &dyn Fn(&str) -> Option<Vec<String>>) {
        for zones in self.claims.iter().filter_map(|claim| of(claim)).filter(|zones| !zones.is_empty()) {
            let kept = &mut self.placement.zones;
            match kept.is_empty() {
                true => *kept = zones,
                false => kept.retain(|zone| zones.contains(zone)),
            }
        }
    }

    /// Gives a container another request. The pod's size follows where that container decides it.
    pub fn resize(&mut self, container: &str, cpu: Millicores, memory: Bytes) {
        let before = self.frame.size(&self.containers);
        if let Some(found) = self.containers.iter_mut().find(|c| c.name == container) {
            (found.size.cpu, found.size.memory) = (cpu, memory);
        }
        self.size = self.size - before + self.frame.size(&self.containers);
    }

    /// Whether a container leaves its CPU or its memory unsaid, and nothing else says it for the pod.
    pub fn unset(&self) -> bool {
        let open = |set: fn(&Container) -> bool| self.containers.iter().any(|c| !set(c));
        (open(|c| c.cpu_set) && self.size.cpu <= self.plain().cpu)
            || (open(|c| c.memory_set) && self.size.memory <= self.plain().memory)
    }
}

/// A pod that has not ended.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node it is on; none while it waits for one.
    pub node: Option<String>,
    /// Whether it runs (OpenCost counts no other).
    pub running: bool,
    /// The workload that it belongs to; itself when there is none.
    pub owner: Object,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it takes.
    pub shape: Shape,
    /// What each container uses, by name, where a sample says it.
    pub usage: Option<BTreeMap<String, Size>>,
}

impl Pod {
    /// Whether it comes with the node.
    pub fn of_daemon(&self) -> bool {
        self.owner.kind == "DaemonSet"
    }

    /// What it uses in all.
    pub fn used(&self) -> Option<Size> {
        self.usage.as_ref().map(|all| all.values().copied().sum())
    }
}

/// A HorizontalPodAutoscaler's range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// Fewest replicas; 1 where it does not say.
    pub min: i64,
    /// Most replicas.
    pub max: i64,
    /// Its target for CPU, in percent of the request.
    pub cpu_target: Option<i64>,
    /// Its target for memory, in percent of the request.
    pub memory_target: Option<i64>,
}

/// What makes pods.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Deployment, StatefulSet, DaemonSet ...
    pub object: Object,
    /// How many pods it wants now.
    pub replicas: i64,
    /// Its pods.
    pub shape: Shape,
    /// Its autoscaler's range.
    pub range: Option<Range>,
    /// The autoscaler's name.
    pub scaler: Option<String>,
    /// A VerticalPodAutoscaler's targets, by container.
    pub vertical: BTreeMap<String, Size>,
}

/// A claim on a volume, or a volume that nobody claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// PersistentVolumeClaim, or PersistentVolume where there is no claim.
    pub object: Object,
    /// Its size: of the volume when it is bound, else what is asked for.
    pub size: Bytes,
    /// Its class; empty for the cluster's default.
    pub class: String,
}

/// A StorageClass, as far as its price depends on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// `provisioner`.
    pub provisioner: String,
    /// `parameters.type`, `parameters.skuName` or the like.
    pub disk: Option<String>,
    /// Whether claims without a class get it.
    pub default: bool,
}

/// A Service of type LoadBalancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// The Service.
    pub object: Object,
    /// The labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
}

/// Whether nodes come and go by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autoscaler {
    /// Karpenter has a NodePool.
    Karpenter,
    /// Cluster Autoscaler reports its status.
    ClusterAutoscaler,
    /// Nodes of a managed pool: it may be on.
    Possible,
    /// Nothing points to one: nodes are added by people.
    #[default]
    None,
}

impl Autoscaler {
    /// As JSON names it; nothing where there is none.
    pub fn name(self) -> Option<String> {
        let name = match self {
            Autoscaler::Karpenter => "karpenter",
            Autoscaler::ClusterAutoscaler => "cluster-autoscaler",
            Autoscaler::Possible => "possible",
            Autoscaler::None => return None,
        };
        Some(name.to_owned())
    }
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// All pods that have not ended.
    pub pods: Vec<Pod>,
    /// Workloads of the scope.
    pub workloads: Vec<Workload>,
    /// Claims of the scope, and unclaimed volumes.
    pub claims: Vec<Claim>,
    /// Storage classes.
    pub classes: Vec<Class>,
    /// Load balancers of the scope.
    pub balancers: Vec<Balancer>,
    /// Whether nodes come and go.
    pub autoscaler: Autoscaler,
    /// What could not be read, in words: nothing is concluded from it.
    pub missing: Vec<String>,
    /// Whether nodes could not be read: then no price of a machine is known, and none is guessed.
    pub no_nodes: bool,
    /// Whether pods of other namespaces could not be read: then it is not known what is idle, nor what fits.
    pub part_of_pods: bool,
}

impl Snapshot {
    /// Whether all nodes and all pods were read: only then it is known what fits.
    pub fn shows_room(&self) -> bool {
        !self.no_nodes && !self.part_of_pods
    }
}
