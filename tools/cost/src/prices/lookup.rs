//! The price of a node, from the first layer that has one.

use jiff::civil::Date;

use crate::node::{Billing, Capacity, Machine, Provider};
use crate::units::{Hourly, PerGpuHour};

use super::error::shown;
use super::matching::{NodeEntry, Quote, best};
use super::split::Split;
use super::table::{Quoted, TABLES, Table, table};
use super::{NodePrice, Prices, Source, family, named};

/// A quote on its way to a price.
struct Draft {
    quote: Quote,
    source: Source,
    matched: String,
    as_of: Option<Date>,
    /// Lowest, usual and highest share of the quote, where it is on demand and the machine is spot.
    factors: Option<[f64; 3]>,
    /// The range of a quote that is for spot already.
    range: Option<(f64, f64)>,
}

impl Draft {
    fn new(quote: Quote, source: Source, matched: String, as_of: Option<Date>) -> Draft {
        Draft { quote, source, matched, as_of, factors: None, range: None }
    }

    fn spot(mut self, factors: Option<[f64; 3]>) -> Draft {
        if let Some([low, usual, high]) = factors {
            self.matched += &format!(", x spot factor {usual} ({low} to {high})");
        }
        self.factors = factors;
        self
    }
}

impl Prices {
    /// What a node costs, or nothing where that is not known: a virtual node's pods have prices, the node has none.
    pub fn node(&self, machine: &Machine) -> Option<NodePrice> {
        // Only who names the very node can mean one that has no machine behind it.
        let own_only = machine.billing() != Billing::Machine;
        let draft = self.said(machine, own_only).or_else(|| match own_only {
            true => None,
            false => self.listed(machine).or_else(|| self.generic(machine)),
        })?;
        Some(self.priced(machine, draft))
    }

    /// `--price`, files and OpenCost.
    fn said(&self, machine: &Machine, own_only: bool) -> Option<Draft> {
        let may = |entry: &&NodeEntry| !own_only || entry.matches.is_own();
        if let Some(entry) = best(self.flag.nodes.iter().filter(may), machine) {
            return Some(self.entry(machine, entry, Source::Flag, "--price", None));
        }
        if !own_only && (self.flag.cpu.is_some() || self.flag.memory.is_some()) {
            return self.flag_rates();
        }
        for (source, file) in self.files() {
            if let Some(entry) = best(file.nodes.iter().filter(may), machine) {
                return Some(self.entry(machine, entry, source, &named(source, file), file.as_of));
            }
        }
        let quote = *self.opencost.get(&machine.name)?;
        let matched = format!("node {}, OpenCost in the cluster", machine.name);
        Some(Draft::new(quote, Source::OpenCost, matched, self.opencost_day))
    }

    fn entry(
        &self,
        machine: &Machine,
        entry: &NodeEntry,
        source: Source,
        from: &str,
        as_of: Option<Date>,
    ) -> Draft {
        let matched = format!("{}, {from}", entry.matches.says());
        let draft = Draft::new(entry.quote, source, matched, as_of);
        draft.spot(self.factors(machine).filter(|_| entry.matches.is_list_price()))
    }

    /// `--price cpu=...,memory=...`: for all nodes as they are; the one that is not said is the generic one.
    fn flag_rates(&self) -> Option<Draft> {
        let ((cpu, ..), (memory, ..)) = (self.first(|f| f.generic.cpu)?, self.first(|f| f.generic.memory)?);
        let mut said = Vec::new();
        said.extend(self.flag.cpu.map(|rate| format!("cpu={}", shown(rate.0))));
        said.extend(self.flag.memory.map(|rate| format!("memory={}", shown(rate.0))));
        let missing = match (self.flag.cpu, self.flag.memory) {
            (None, _) => format!(", cpu at the generic {}", shown(cpu.0)),
            (_, None) => format!(", memory at the generic {}", shown(memory.0)),
            _ => String::new(),
        };
        let quote = Quote::Rates {
            cpu: self.flag.cpu.unwrap_or(cpu),
            memory: self.flag.memory.unwrap_or(memory),
            gpu: self.flag.gpu,
        };
        Some(Draft::new(quote, Source::Flag, format!("--price {}{missing}", said.join(",")), None))
    }

    /// The embedded lists.
    fn listed(&self, machine: &Machine) -> Option<Draft> {
        let kind = machine.instance_type.as_deref()?;
        let region = machine.region.as_deref();
        if machine.provider == Provider::Other {
            // A type's name alone proves nothing where no cloud is named: OpenStack has an m1.large too.
            let quoted = |table: &'static Table| Some((table, table.quoted(table.row(kind)?, region?)?));
            let (table, quoted) = TABLES.iter().find_map(quoted)?;
            return Some(self.quoted(machine, table, quoted, Source::Exact));
        }
        let table = table(machine.provider)?;
        let Some(row) = table.row(kind) else { return self.related(machine, table, kind) };
        match region.and_then(|region| table.quoted(row, region)) {
            Some(quoted) => Some(self.quoted(machine, table, quoted, Source::Exact)),
            None => Some(self.quoted(machine, table, table.elsewhere(row)?, Source::OtherRegion)),
        }
    }

    fn quoted(&self, machine: &Machine, table: &Table, quoted: Quoted<'_>, source: Source) -> Draft {
        let (listed, as_of) = (quoted.region.name, quoted.region.as_of);
        let mut matched = match (source, machine.region.as_deref()) {
            (Source::Exact, _) => format!("{} in {listed}", quoted.row.kind),
            (_, Some(region)) => {
                let approximated = format!("region approximated by {listed} (often 0 to 30 % more)");
                format!("{} in {region}, {approximated}", quoted.row.kind)
            }
            (_, None) => format!("{}, region not known, {listed} taken", quoted.row.kind),
        };
        matched += &list_price(table, as_of);
        let mut draft = Draft::new(Quote::Whole(Hourly(quoted.on_demand)), source, matched, as_of);
        // Google's accelerators are attached to a machine and not in its type's price.
        if quoted.row.gpus == Some(0) && machine.gpus > 0 {
            let rate = self.gpu_hour();
            draft.quote = Quote::Whole(Hourly(quoted.on_demand) + rate.times(machine.gpus));
            let (gpus, rate) = (machine.gpus, shown(rate.0));
            draft.matched += &format!(", and {gpus} GPUs at the generic {rate}");
            draft.source = Source::Generic;
            return draft.spot(self.factors(machine));
        }
        match (self.factors(machine), quoted.spot) {
            (Some([low, _, high]), Some(spot)) if source == Source::Exact => {
                draft.quote = Quote::Whole(Hourly(spot));
                draft.matched += &format!(", spot {} of {}", shown(spot), shown(quoted.on_demand));
                let (low, high) = (quoted.on_demand * low, quoted.on_demand * high);
                draft.range = Some((low.min(spot), high.max(spot)));
                draft
            }
            (factors, _) => draft.spot(factors),
        }
    }

    /// By other types of the same family.
    fn related(&self, machine: &Machine, table: &'static Table, kind: &str) -> Option<Draft> {
        let fit = family::fit(table, kind, machine)?;
        let price = fit.price(kind, machine);
        let listed = list_price(table, fit.as_of);
        let matched = format!("{kind}, by {} types of {} in {}{listed}", fit.types, fit.family, fit.region);
        let quote = Quote::Whole(Hourly(price));
        let draft = Draft::new(quote, Source::Family, matched, fit.as_of).spot(self.factors(machine));
        (price > 0.0).then_some(draft)
    }

    /// Rates for any machine; nothing for one without a size.
    fn generic(&self, machine: &Machine) -> Option<Draft> {
        if machine.cpu.0 <= 0 && machine.memory.0 <= 0 {
            return None;
        }
        let (cpu, from_cpu, of_cpu) = self.first(|file| file.generic.cpu)?;
        let (memory, from_memory, of_memory) = self.first(|file| file.generic.memory)?;
        let (source, file) =
            if from_cpu >= from_memory { (from_cpu, of_cpu) } else { (from_memory, of_memory) };
        let from = if from_cpu == from_memory {
            format!("generic rates, {}", named(source, file))
        } else {
            let (cpu, memory) = (named(from_cpu, of_cpu), named(from_memory, of_memory));
            format!("generic rates, cpu: {cpu}, memory: {memory}")
        };
        let quote = Quote::Rates { cpu, memory, gpu: None };
        Some(Draft::new(quote, source, from, file.as_of).spot(self.factors(machine)))
    }

    /// The share that a spot machine costs; nothing for one on demand.
    fn factors(&self, machine: &Machine) -> Option<[f64; 3]> {
        if machine.capacity != Capacity::Spot {
            return None;
        }
        self.first(|file| file.spot.get(&machine.provider).copied()).map(|(factors, ..)| factors)
    }

    /// What a GPU is worth.
    fn gpu_hour(&self) -> PerGpuHour {
        let generic = || self.first(|file| file.generic.gpu).map(|(rate, ..)| rate);
        self.flag.gpu.or_else(generic).unwrap_or_default()
    }

    fn priced(&self, machine: &Machine, draft: Draft) -> NodePrice {
        let gpu_hour = self.gpu_hour();
        // A spot GPU is worth the same share less, or it would take all of a spot machine's price.
        let gpu_share = gpu_hour * self.factors(machine).map_or(1.0, |factors| factors[1]);
        let off = match draft.source {
            Source::Flag | Source::OpenCost => 0.0,
            _ => self.first(|file| file.discount_percent).map_or(0.0, |(percent, ..)| percent),
        };
        let at = |quote: Quote, factor: f64| -> (Hourly, Split) {
            let split = match quote {
                Quote::Whole(whole) => Split::of(whole * factor, machine, gpu_share),
                Quote::Rates { cpu, memory, gpu } => {
                    Split { cpu, memory, gpu: gpu.unwrap_or(gpu_hour) }.times(factor)
                }
            };
            let less = split.less(off);
            match quote {
                // As quoted, to the last bit, or the discount on what no rate carries.
                Quote::Whole(whole) if off == 0.0 => (whole * factor, less),
                Quote::Whole(whole) if machine.cpu.0 + machine.memory.0 + machine.gpus <= 0 => {
                    (whole * factor * (1.0 - off / 100.0), less)
                }
                _ => (less.whole(machine), less),
            }
        };
        let (hourly, split) = at(draft.quote, draft.factors.map_or(1.0, |factors| factors[1]));
        let range = match (draft.factors, draft.range) {
            (Some([low, _, high]), _) => Some((at(draft.quote, low).0, at(draft.quote, high).0)),
            (None, Some((low, high))) => {
                let whole = |price| at(Quote::Whole(Hourly(price)), 1.0).0;
                Some((whole(low), whole(high)))
            }
            (None, None) => None,
        };
        let discount = if off > 0.0 { format!(", less {off} %") } else { String::new() };
        NodePrice {
            hourly,
            cpu: split.cpu,
            memory: split.memory,
            gpu: split.gpu,
            source: draft.source,
            matched: draft.matched + &discount,
            as_of: draft.as_of,
            range,
        }
    }
}

fn list_price(table: &Table, as_of: Option<Date>) -> String {
    match as_of {
        Some(day) => format!(", {} list price of {day}", table.name),
        None => format!(", {} list price", table.name),
    }
}
