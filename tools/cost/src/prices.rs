//! Prices: which one a node, a volume or a load balancer has, and where it is from.

mod error;
mod family;
mod file;
mod flag;
pub mod import;
mod limits;
mod lookup;
mod matching;
mod others;
mod read;
mod split;
mod table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;

use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGpuHour};

pub use error::PriceError;
pub use matching::Quote;
pub use others::{PodRates, fargate_size};

use file::PriceFile;
use flag::Flag;

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
    /// As JSON and tables name it: "file", "embedded:exact".
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag => "flag",
            Source::File => "file",
            Source::ConfigMap => "config_map",
            Source::OpenCost => "opencost",
            Source::Exact => "embedded:exact",
            Source::OtherRegion => "embedded:other_region",
            Source::Family => "embedded:family",
            Source::Generic => "embedded:generic",
        }
    }

    /// As people read it.
    pub fn says(self) -> &'static str {
        match self {
            Source::Flag => "prices of --price",
            Source::File => "prices of your file",
            Source::ConfigMap => "prices of ConfigMap kai-prices",
            Source::OpenCost => "OpenCost's prices",
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
    /// What matched, such as "c6i.xlarge in us-east-1, AWS list price of 2026-07-06".
    pub matched: String,
    /// The day of the price.
    pub as_of: Option<Date>,
    /// The lowest and the highest it may be, where it is only known so (spot).
    pub range: Option<(Hourly, Hourly)>,
}

/// A price of something other than a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<T> {
    /// The price.
    pub value: T,
    /// Where it is from.
    pub source: Source,
    /// What matched.
    pub matched: String,
    /// The day of the price.
    pub as_of: Option<Date>,
}

/// All prices there are, in layers: `--price`, the user's file, the ConfigMap, OpenCost, the embedded lists.
///
/// Of `[generic]` in a file only the values count, not the layer: they are for what no list has, in place of kai's own.
#[derive(Clone, Debug)]
pub struct Prices {
    flag: Flag,
    file: Option<PriceFile>,
    config_map: Option<PriceFile>,
    opencost: BTreeMap<String, Quote>,
    opencost_day: Option<Date>,
    embedded: &'static PriceFile,
}

/// kai's own file. It is read like a user's; a test holds that it can be.
static EMBEDDED: LazyLock<PriceFile> = LazyLock::new(|| {
    PriceFile::read("generic.toml", include_str!("../prices/generic.toml"), true, None).unwrap_or_default()
});

impl Prices {
    /// The embedded prices alone.
    pub fn embedded() -> Prices {
        Prices {
            flag: Flag::default(),
            file: None,
            config_map: None,
            opencost: BTreeMap::new(),
            opencost_day: None,
            embedded: &EMBEDDED,
        }
    }

    /// Adds one `--price`: `WHAT=USD` separated by commas, with WHAT one of `cpu`, `memory` (for all nodes), `gpu`, `storage`
    /// (a GiB-month), `lb`, `control-plane`, a node's name or an instance type (`:spot` for its spot price). `force` is
    /// `--force-price`: it takes what is far from the usual.
    pub fn with_flag(mut self, text: &str, force: bool) -> Result<Prices, PriceError> {
        self.flag.add(text, force, self.embedded)?;
        Ok(self)
    }

    /// Adds the user's price file. One error refuses it all.
    pub fn with_file(mut self, name: &str, text: &str, force: bool) -> Result<Prices, PriceError> {
        self.file = Some(PriceFile::read(name, text, force, Some(self.embedded))?);
        Ok(self)
    }

    /// Adds the team's prices from the cluster, in the same format.
    pub fn with_config_map(mut self, name: &str, text: &str, force: bool) -> Result<Prices, PriceError> {
        self.config_map = Some(PriceFile::read(name, text, force, Some(self.embedded))?);
        Ok(self)
    }

    /// Adds what OpenCost says of nodes, by their names: `node_total_hourly_cost`, or the rates of cores and memory. A node
    /// that it has at 0 is one that it does not know, and has its price from elsewhere.
    pub fn with_opencost(
        mut self,
        nodes: BTreeMap<String, Quote>,
        as_of: Option<Date>,
    ) -> Result<Prices, PriceError> {
        for (name, quote) in &nodes {
            let (parts, gpu) = match quote {
                Quote::Whole(whole) => ([whole.0, 0.0], 0.0),
                Quote::Rates { cpu, memory, gpu } => ([cpu.0, memory.0], gpu.map_or(0.0, |gpu| gpu.0)),
            };
            if let Some(wrong) = parts.iter().chain([&gpu]).find(|part| !part.is_finite() || **part < 0.0) {
                return Err(PriceError {
                    file: "OpenCost".to_owned(),
                    line: None,
                    key: format!("node {name}"),
                    reason: format!("has the price {wrong}"),
                    advice: "mend OpenCost's prices, or give kai a price file".to_owned(),
                });
            }
            if parts.iter().any(|part| *part > 0.0) {
                self.opencost.insert(name.clone(), *quote);
            }
        }
        self.opencost_day = as_of;
        Ok(self)
    }

    /// The files, nearest to the user first, each with its layer.
    fn files(&self) -> impl Iterator<Item = (Source, &PriceFile)> {
        let files = [(Source::File, &self.file), (Source::ConfigMap, &self.config_map)];
        files.into_iter().filter_map(|(source, file)| file.as_ref().map(|file| (source, file)))
    }

    /// The files, and kai's own as the last.
    fn all_files(&self) -> impl Iterator<Item = (Source, &PriceFile)> {
        self.files().chain([(Source::Generic, self.embedded)])
    }

    /// The first file's word on something.
    fn first<T>(&self, of: impl Fn(&PriceFile) -> Option<T>) -> Option<(T, Source, &PriceFile)> {
        self.all_files().find_map(|(source, file)| of(file).map(|found| (found, source, file)))
    }
}

/// "prices.toml of 2026-11-01".
fn named(source: Source, file: &PriceFile) -> String {
    let name = if source == Source::Generic { "kai's list" } else { &file.name };
    match file.as_of {
        Some(day) => format!("{name} of {day}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
