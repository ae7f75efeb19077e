//! Prices over all layers.

use std::collections::BTreeMap;

use crate::node::{Capacity, Machine, Provider};
use crate::units::{Bytes, Millicores};

/// Four cores and 8 GiB, on demand, of no cloud.
pub(super) fn machine(name: &str, kind: Option<&str>, region: Option<&str>) -> Machine {
    Machine {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        provider: Provider::Other,
        instance_type: kind.map(str::to_owned),
        region: region.map(str::to_owned),
        capacity: Capacity::OnDemand,
        arch: None,
        cpu: Millicores(4000),
        memory: Bytes(8 << 30),
        gpus: 0,
    }
}
