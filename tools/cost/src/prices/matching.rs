//! Which entry of a price file a node has: the most specific one.

use std::collections::BTreeMap;

use crate::node::{Capacity, Machine};
use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGpuHour};

/// What somebody says a machine costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quote {
    /// All of it.
    Whole(Hourly),
    /// Its parts.
    Rates {
        /// A core.
        cpu: PerCoreHour,
        /// A GiB.
        memory: PerGibHour,
        /// A GPU; the generic rate where nothing is said.
        gpu: Option<PerGpuHour>,
    },
}

/// A `[[node]]`.
#[derive(Clone, Debug)]
pub(super) struct NodeEntry {
    pub matches: Match,
    pub quote: Quote,
    pub line: usize,
}

/// What a node must have; what is not said is not asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Match {
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub instance_type: Option<String>,
    pub region: Option<String>,
    pub capacity: Option<Capacity>,
}

impl Match {
    pub fn fits(&self, machine: &Machine) -> bool {
        // Azure's tools leave out what its labels begin with.
        let bare = |kind: &str| kind.strip_prefix("Standard_").unwrap_or(kind).to_owned();
        let kind = machine.instance_type.as_deref().map(bare);
        let region = machine.region.as_deref();
        self.name.as_ref().is_none_or(|name| *name == machine.name)
            && self.labels.iter().all(|(key, value)| machine.labels.get(key) == Some(value))
            && self.instance_type.as_deref().is_none_or(|asked| kind == Some(bare(asked)))
            && self.region.as_ref().is_none_or(|asked| region.is_some_and(|r| r.eq_ignore_ascii_case(asked)))
            && self.capacity.is_none_or(|capacity| capacity == machine.capacity)
    }

    /// The larger, the more specific: name, labels, then type with capacity and region.
    pub fn rank(&self) -> (bool, usize, bool, bool, bool) {
        (
            self.name.is_some(),
            self.labels.len(),
            self.instance_type.is_some(),
            self.capacity.is_some(),
            self.region.is_some(),
        )
    }

    /// Whether it is for one machine or pool, and not for all machines of a type.
    pub fn is_own(&self) -> bool {
        self.name.is_some() || !self.labels.is_empty()
    }

    /// Whether its price is the one on demand, so that a spot node has a share of it.
    pub fn is_list_price(&self) -> bool {
        !self.is_own() && self.capacity.is_none()
    }

    /// "c6i.xlarge in us-east-1".
    pub fn says(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.name.as_ref().map(|name| format!("node {name}")));
        parts.extend(self.labels.iter().map(|(key, value)| format!("{key}={value}")));
        parts.extend(self.instance_type.clone());
        parts.extend(self.region.as_ref().map(|region| format!("in {region}")));
        parts.extend(self.capacity.map(|capacity| match capacity {
            Capacity::OnDemand => "on demand".to_owned(),
            Capacity::Spot => "spot".to_owned(),
        }));
        parts.join(" ")
    }
}

/// The most specific entry that fits; of equals the first.
pub(super) fn best<'a>(
    entries: impl Iterator<Item = &'a NodeEntry>,
    machine: &Machine,
) -> Option<&'a NodeEntry> {
    entries
        .filter(|entry| entry.matches.fits(machine))
        .reduce(|best, next| if next.matches.rank() > best.matches.rank() { next } else { best })
}
