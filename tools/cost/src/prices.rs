//! Prices: which one a node, a volume or a load balancer has, and where it is from.

use jiff::civil::Date;

use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGpuHour};

/// What one core is worth in GiB of memory, where only a machine's whole price is known: the ratio of the generic rates.
pub const CORE_PER_GIB: f64 = 0.021811 / 0.002923;

/// Where a price is from, the nearest to the user first: the first that has one for a node is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `--price`.
    Flag,
    /// The user's file.
    File,
    /// ConfigMap `kai-prices` in the cluster.
    ConfigMap,
    /// OpenCost, running in the cluster.
    OpenCost,
    /// The embedded table, this very type and region.
    Exact,
    /// The embedded table, this type in another region.
    OtherRegion,
    /// The embedded table, other types of the same family.
    Family,
    /// Rates for any machine.
    Generic,
}

impl Source {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag => "--price",
            Source::File => "your price file",
            Source::ConfigMap => "ConfigMap kai-prices",
            Source::OpenCost => "OpenCost in the cluster",
            Source::Exact => "list prices",
            Source::OtherRegion => "list prices of another region",
            Source::Family => "prices of the same family",
            Source::Generic => "generic rates",
        }
    }
}

/// What a node costs.
#[derive(Clone, Debug)]
pub struct NodePrice {
    /// The whole machine.
    pub hourly: Hourly,
    /// Its share for one core.
    pub cpu: PerCoreHour,
    /// Its share for one GiB.
    pub memory: PerGibHour,
    /// Its share for one GPU.
    pub gpu: PerGpuHour,
    /// Where the price is from.
    pub source: Source,
    /// What matched, such as "c6i.xlarge in us-east-1".
    pub matched: String,
    /// The day of the price.
    pub as_of: Option<Date>,
    /// The lowest and the highest it may be, where it is only known so (spot).
    pub range: Option<(Hourly, Hourly)>,
}
