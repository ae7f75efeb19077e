//! What is no node and costs all the same: volumes, load balancers, control planes, pods; and how old the prices are.

use jiff::civil::Date;

use crate::node::{Billing, Provider};
use crate::units::{Bytes, Hourly, Millicores, PerCoreHour, PerGibHour, PerGibMonth};

use super::file::{ClassEntry, PROVIDERS, PodEntry, PriceFile};
use super::table::table;
use super::{Found, Prices, Source, named};

/// Prices older than this are told.
const STALE_DAYS: i64 = 180;

/// Rates for pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodRates {
    /// A core and an hour.
    pub cpu: PerCoreHour,
    /// A GiB and an hour.
    pub memory: PerGibHour,
    /// A GiB of ephemeral disk and an hour, beyond what is free (Fargate: 20 GiB); USD.
    pub storage_gib_hour: f64,
    /// The share that a spot pod costs: lowest, usual, highest; nothing where there is no spot.
    pub spot: Option<[f64; 3]>,
}

/// The size that Fargate runs and bills for a pod that asks for so much (its own 256 MiB are added here); nothing where no
/// size is large enough.
pub fn fargate_size(cpu: Millicores, memory: Bytes) -> Option<(Millicores, Bytes)> {
    // Cores; the least, the most and the step of GiB. A quarter core has 0.5, 1 and 2.
    const SIZES: [(i64, f64, f64, f64); 7] = [
        (250, 0.5, 2.0, 0.0),
        (500, 1.0, 4.0, 1.0),
        (1000, 2.0, 8.0, 1.0),
        (2000, 4.0, 16.0, 1.0),
        (4000, 8.0, 30.0, 1.0),
        (8000, 16.0, 60.0, 4.0),
        (16000, 32.0, 120.0, 8.0),
    ];
    // A pod that asks for nothing has the smallest size, which its own 256 MiB fit.
    let asked = if memory.0 == 0 && cpu.0 == 0 { 0.0 } else { memory.gib() + 0.25 };
    SIZES.iter().find(|(cores, _, most, _)| cpu.0 <= *cores && asked <= *most).map(
        |(cores, least, _, step)| {
            let gib = match asked {
                asked if asked <= *least => *least,
                asked if *step == 0.0 => {
                    if asked <= 1.0 {
                        1.0
                    } else {
                        2.0
                    }
                }
                asked => least + ((asked - least) / step).ceil() * step,
            };
            (Millicores(*cores), Bytes((gib * Bytes::GIB as f64) as i64))
        },
    )
}

impl Prices {
    /// What a GiB and a month cost in a class: by the class's name, by its provisioner and `type` parameter, by the
    /// cloud's usual disks where the provisioner is not known, or the generic rate.
    pub fn storage(
        &self,
        class: Option<&str>,
        provisioner: Option<&str>,
        kind: Option<&str>,
        provider: Provider,
    ) -> Option<Found<PerGibMonth>> {
        if let Some(value) = self.flag.storage {
            return Some(flagged(value, "storage"));
        }
        let driver = provisioner.map(driver).or(match provider {
            Provider::Aws => Some("ebs.csi.aws.com"),
            Provider::Gcp => Some("pd.csi.storage.gke.io"),
            Provider::Azure => Some("disk.csi.azure.com"),
            Provider::Oracle | Provider::Other => None,
        });
        let named_class = |entry: &&ClassEntry| entry.name.is_some() && entry.name.as_deref() == class;
        let driven = |entry: &&ClassEntry| {
            entry.provisioner.is_some()
                && entry.provisioner.as_deref().map(self::driver) == driver
                && match (&entry.kind, kind) {
                    (Some(known), Some(asked)) => known.eq_ignore_ascii_case(asked),
                    (None, None) => true,
                    _ => false,
                }
        };
        for (source, file) in self.all_files() {
            let hit = file.classes.iter().find(named_class).map(|entry| (entry, class.unwrap_or_default()));
            let hit = hit.or_else(|| {
                let entry = file.classes.iter().find(driven)?;
                Some((entry, kind.or(driver).unwrap_or_default()))
            });
            if let Some((entry, what)) = hit {
                let matched = format!("storage {what}, {}", named(source, file));
                return Some(Found { value: entry.price, source: exact(source), matched, as_of: file.as_of });
            }
        }
        self.of_generic(|file| file.generic.storage, "storage")
    }

    /// What a load balancer costs an hour, without its traffic.
    pub fn load_balancer(&self, provider: Provider) -> Option<Found<Hourly>> {
        if let Some(value) = self.flag.load_balancer {
            return Some(flagged(value, "lb"));
        }
        let by_cloud = self.of_cloud(provider, |file| file.load_balancers.get(&provider), "load balancer");
        by_cloud.or_else(|| self.of_generic(|file| file.generic.load_balancer, "load balancer"))
    }

    /// What a control plane costs an hour. `managed`: the cloud runs it, none of the nodes does (those have prices of their
    /// own). Nothing where it is neither managed nor given.
    pub fn control_plane(&self, provider: Provider, managed: bool) -> Option<Found<Hourly>> {
        if let Some(value) = self.flag.control_plane {
            return Some(flagged(value, "control-plane"));
        }
        let given = self.files().find_map(|(source, file)| {
            let matched = format!("control plane, {}", named(source, file));
            Some(Found { value: file.control_plane?, source, matched, as_of: file.as_of })
        });
        let listed = || self.of_cloud(provider, |file| file.control_planes.get(&provider), "control plane");
        given.or_else(|| listed().filter(|_| managed))
    }

    /// What pods cost where they are billed by the pod; nothing where they are not, or nobody knows the price.
    pub fn pods(&self, billing: Billing) -> Option<Found<PodRates>> {
        let (of, name): (fn(&PriceFile) -> Option<PodEntry>, _) = match billing {
            Billing::Fargate => (|file| file.fargate, "Fargate pods"),
            Billing::Autopilot => (|file| file.autopilot, "GKE Autopilot pods"),
            Billing::Machine | Billing::Unknown => return None,
        };
        let (entry, source, file) = self.first(of)?;
        let value = PodRates {
            cpu: entry.cpu,
            memory: entry.memory,
            storage_gib_hour: entry.storage_hour,
            spot: entry.spot,
        };
        // Nothing published stands behind the embedded rates of Autopilot.
        let unverified = billing == Billing::Autopilot && source == Source::Generic;
        let note = if unverified { ", unverified" } else { "" };
        let matched = format!("{name}, {}{note}", named(source, file));
        let source = if unverified { source } else { exact(source) };
        Some(Found { value, source, matched, as_of: file.as_of })
    }

    fn of_cloud(
        &self,
        provider: Provider,
        of: impl Fn(&PriceFile) -> Option<&Hourly>,
        what: &str,
    ) -> Option<Found<Hourly>> {
        let (value, source, file) = self.first(|file| of(file).copied())?;
        let cloud = PROVIDERS.iter().find(|(_, known)| *known == provider).map_or("", |(name, _)| name);
        let matched = format!("{what} of {cloud}, {}", named(source, file));
        Some(Found { value, source: exact(source), matched, as_of: file.as_of })
    }

    fn of_generic<T>(&self, of: impl Fn(&PriceFile) -> Option<T>, what: &str) -> Option<Found<T>> {
        let (value, source, file) = self.first(of)?;
        let matched = format!("{what} at the generic rate, {}", named(source, file));
        Some(Found { value, source, matched, as_of: file.as_of })
    }

    /// What is older than 180 days, or of no known day: files, ConfigMap, OpenCost, and all embedded lists.
    pub fn stale(&self, today: Date) -> Vec<String> {
        self.stale_for(today, &PROVIDERS.map(|(_, provider)| provider))
    }

    /// As [`Prices::stale`], with the lists of those clouds alone that the cluster's nodes are of.
    pub fn stale_for(&self, today: Date, providers: &[Provider]) -> Vec<String> {
        let mut found = Vec::new();
        let mut tell = |what: String, as_of: Option<Date>, advice: &str| match as_of {
            None => found.push(format!("{what} have no date (as_of): nobody can tell how old they are")),
            Some(day) => {
                let days = age(day, today);
                if days > STALE_DAYS {
                    found.push(format!("{what} are of {day}, {days} days old: {advice}"));
                }
            }
        };
        for (_, file) in self.files() {
            tell(format!("the prices of {}", file.name), file.as_of, "check them and set as_of");
            if file.fx_date.is_some() {
                let what = format!("the exchange rates of {}", file.name);
                tell(what, file.fx_date, "set fx_to_usd and fx_date");
            }
        }
        if !self.opencost.is_empty() && self.opencost_day.is_some() {
            tell("OpenCost's prices".to_owned(), self.opencost_day, "see whether it still runs");
        }
        for table in PROVIDERS.iter().filter(|(_, p)| providers.contains(p)).filter_map(|(_, p)| table(*p)) {
            let advice = "give kai your prices in a file, or a newer kai";
            tell(format!("the {} list prices", table.name), table.as_of(), advice);
        }
        tell("kai's generic rates".to_owned(), self.embedded.as_of, "give kai your prices in a file");
        found
    }
}

fn age(day: Date, today: Date) -> i64 {
    (today - day).get_days().into()
}

/// The embedded list is of the very thing, where a file stays a file.
fn exact(source: Source) -> Source {
    if source == Source::Generic { Source::Exact } else { source }
}

fn flagged<T>(value: T, key: &str) -> Found<T> {
    Found { value, source: Source::Flag, matched: format!("--price {key}"), as_of: None }
}

/// The driver that now serves what was built into Kubernetes.
fn driver(provisioner: &str) -> &str {
    match provisioner {
        "kubernetes.io/aws-ebs" => "ebs.csi.aws.com",
        "kubernetes.io/gce-pd" => "pd.csi.storage.gke.io",
        "kubernetes.io/azure-disk" => "disk.csi.azure.com",
        other => other,
    }
}
