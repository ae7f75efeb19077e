//! What a node says of itself that its price depends on.

use std::collections::BTreeMap;

use crate::units::{Bytes, Millicores};

/// Whose machine a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// Oracle Cloud.
    Oracle,
    /// kind, k3s, bare metal, or nothing said.
    Other,
}

/// How a node is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capacity {
    /// By the hour, at the list price.
    OnDemand,
    /// Cheaper, and may be taken back: spot or preemptible.
    Spot,
}

/// What of a node is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Billing {
    /// The machine, whatever runs on it.
    Machine,
    /// Each pod, by AWS Fargate: rounded up, see [`crate::prices::fargate_size`].
    Fargate,
    /// Each pod, by GKE Autopilot: its requests, as it has them.
    Autopilot,
    /// A virtual node whose pods somebody else bills, at a price nobody said.
    Unknown,
}

/// A node's machine: what a price list can be asked about.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The node's name.
    pub name: String,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// Whose it is.
    pub provider: Provider,
    /// `node.kubernetes.io/instance-type`, such as "m5.large".
    pub instance_type: Option<String>,
    /// `topology.kubernetes.io/region`.
    pub region: Option<String>,
    /// On demand or spot.
    pub capacity: Capacity,
    /// `kubernetes.io/arch`.
    pub arch: Option<String>,
    /// The cores of `status.capacity`: prices are for those, not for what is allocatable.
    pub cpu: Millicores,
    /// The memory of `status.capacity`.
    pub memory: Bytes,
    /// The GPUs of `status.capacity` (`nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915`).
    pub gpus: i64,
}

impl Machine {
    /// Reads a node's labels and `spec.providerID`.
    pub fn read(
        name: &str,
        labels: &BTreeMap<String, String>,
        provider_id: Option<&str>,
        size: (Millicores, Bytes, i64),
    ) -> Machine {
        let either = |keys: [&str; 2]| keys.iter().find_map(|key| labels.get(*key)).cloned();
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|at| at.eq_ignore_ascii_case(value));
        let spot = has("karpenter.sh/capacity-type", "spot")
            || has("eks.amazonaws.com/capacityType", "SPOT")
            || has("cloud.google.com/gke-spot", "true")
            || has("cloud.google.com/gke-preemptible", "true")
            || has("kubernetes.azure.com/scalesetpriority", "spot");
        Machine {
            name: name.to_owned(),
            provider: provider(labels, provider_id),
            instance_type: either(["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"]),
            region: either(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            capacity: if spot { Capacity::Spot } else { Capacity::OnDemand },
            arch: either(["kubernetes.io/arch", "beta.kubernetes.io/arch"]),
            labels: labels.clone(),
            cpu: size.0,
            memory: size.1,
            gpus: size.2,
        }
    }

    /// What of the node is paid for.
    pub fn billing(&self) -> Billing {
        let is = |key: &str, value: &str| self.labels.get(key).is_some_and(|at| at == value);
        if is("eks.amazonaws.com/compute-type", "fargate") {
            Billing::Fargate
        } else if is("type", "virtual-kubelet") {
            Billing::Unknown
        } else if self.provider == Provider::Gcp && self.name.starts_with("gk3-") {
            // GKE names the nodes of Autopilot clusters so.
            Billing::Autopilot
        } else {
            Billing::Machine
        }
    }
}

fn provider(labels: &BTreeMap<String, String>, provider_id: Option<&str>) -> Provider {
    let scheme = provider_id.and_then(|id| id.split_once("://")).map(|(scheme, _)| scheme);
    match scheme {
        Some("aws") => Provider::Aws,
        Some("gce") => Provider::Gcp,
        Some("azure") => Provider::Azure,
        Some("oci" | "oracle") => Provider::Oracle,
        // Only a node without a provider's name is known by its labels: the name is the cloud's own word.
        Some(_) => Provider::Other,
        None => by_labels(labels),
    }
}

fn by_labels(labels: &BTreeMap<String, String>) -> Provider {
    let any = |part: &str| labels.keys().any(|key| key.contains(part));
    if any("eks.amazonaws.com/") || any("k8s.aws/") {
        Provider::Aws
    } else if any("cloud.google.com/") {
        Provider::Gcp
    } else if any("kubernetes.azure.com/") {
        Provider::Azure
    } else {
        Provider::Other
    }
}
