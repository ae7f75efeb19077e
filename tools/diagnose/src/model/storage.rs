//! Claims, volumes and what provides them.

use super::{Condition, Meta, NodeTerms, Resources, Selector, Target, skinny};

skinny! {
    /// A PersistentVolumeClaim.
    pub struct Claim {
        metadata: Meta,
        spec: ClaimSpec,
        status: ClaimStatus,
    }
    /// What it asks for. A class that is absent is the default one; one that is "" is none.
    pub struct ClaimSpec {
        storage_class_name: Option<String>,
        access_modes: Vec<String>,
        resources: ClaimResources,
        volume_name: String,
        volume_mode: String,
        selector: Option<Selector>,
    }
    /// How much.
    pub struct ClaimResources {
        requests: Resources,
    }
    /// What it got.
    pub struct ClaimStatus {
        phase: String,
        capacity: Resources,
        conditions: Vec<Condition>,
    }
    /// A PersistentVolume.
    pub struct PersistentVolume {
        metadata: Meta,
        spec: VolumeSpec,
        status: VolumeStatus,
    }
    /// What it is.
    pub struct VolumeSpec {
        storage_class_name: String,
        access_modes: Vec<String>,
        capacity: Resources,
        claim_ref: Option<Target>,
        volume_mode: String,
        node_affinity: Option<VolumeAffinity>,
        persistent_volume_reclaim_policy: String,
        csi: Option<super::CsiSource>,
    }
    /// From which nodes it can be reached.
    pub struct VolumeAffinity {
        required: Option<NodeTerms>,
    }
    /// Who has it.
    pub struct VolumeStatus {
        phase: String,
        reason: String,
        message: String,
    }
    /// A StorageClass.
    pub struct StorageClass {
        metadata: Meta,
        provisioner: String,
        volume_binding_mode: String,
        allow_volume_expansion: bool,
    }
    /// A CSINode: the drivers of a node.
    pub struct CsiNode {
        metadata: Meta,
        spec: CsiNodeSpec,
    }
    /// Which.
    pub struct CsiNodeSpec {
        drivers: Vec<NodeDriver>,
    }
    /// One driver, and how many volumes it takes.
    pub struct NodeDriver {
        name: String,
        allocatable: Option<DriverRoom>,
    }
    /// How many.
    pub struct DriverRoom {
        count: Option<i64>,
    }
}
