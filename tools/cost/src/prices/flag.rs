//! `--price`: prices on the command line, before all others.
//!
//! `WHAT=USD` separated by commas. WHAT is `cpu` (a core-hour) and `memory` (a GiB-hour), for all nodes; `gpu` (an hour),
//! `storage` (a GiB-month), `lb` (an hour), `control-plane` (an hour); or a node's name or an instance type (an hour).
//! `TYPE:spot` is a type's spot price; a type's price is otherwise the one on demand.

use super::error::PriceError;
use super::file::{PriceFile, listed};
use super::limits;
use super::matching::{Match, NodeEntry, Quote};
use crate::node::Capacity;
use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour};

const FILE: &str = "--price";

/// What the flags say.
#[derive(Clone, Debug, Default)]
pub(super) struct Flag {
    pub cpu: Option<PerCoreHour>,
    pub memory: Option<PerGibHour>,
    pub gpu: Option<PerGpuHour>,
    pub storage: Option<PerGibMonth>,
    pub load_balancer: Option<Hourly>,
    pub control_plane: Option<Hourly>,
    pub nodes: Vec<NodeEntry>,
}

impl Flag {
    /// Adds one flag's text.
    pub fn add(&mut self, text: &str, force: bool, usual: &PriceFile) -> Result<(), PriceError> {
        for part in text.split(',').map(str::trim) {
            self.one(part, force, usual)?;
        }
        Ok(())
    }

    fn one(&mut self, part: &str, force: bool, usual: &PriceFile) -> Result<(), PriceError> {
        let form = "write cpu=0.03,memory=0.004 or c6i.xlarge=0.17";
        let Some((key, given)) = part.split_once('=').map(|(key, given)| (key.trim(), given.trim())) else {
            return Err(error(part, "is not WHAT=USD", form));
        };
        if key.is_empty() {
            return Err(error(part, "names nothing", form));
        }
        let price = match given.parse::<f64>() {
            Ok(price) if price.is_finite() && price >= 0.0 => price,
            _ => {
                return Err(error(
                    key,
                    format!("= {given} is no price"),
                    "write a number of 0 or more, in USD",
                ));
            }
        };
        let generic = &usual.generic;
        let check = |usual: Option<f64>, what: &str, by_hour: bool, free: bool| {
            let slip = limits::month_for_hour(price, price)
                .filter(|_| by_hour)
                .or_else(|| usual.and_then(|usual| limits::outlier(price, price, usual, what, by_hour)));
            match slip {
                Some((reason, advice)) if !(force || free && price == 0.0) => Err(error(key, reason, advice)),
                _ => Ok(()),
            }
        };
        let rate = "the generic rate";
        match key {
            "cpu" => {
                check(generic.cpu.map(|rate| rate.0), rate, true, false)?;
                once(key, &mut self.cpu, PerCoreHour(price))
            }
            "memory" => {
                check(generic.memory.map(|rate| rate.0), rate, true, false)?;
                once(key, &mut self.memory, PerGibHour(price))
            }
            "gpu" => {
                check(generic.gpu.map(|rate| rate.0), rate, true, true)?;
                once(key, &mut self.gpu, PerGpuHour(price))
            }
            "storage" => {
                check(generic.storage.map(|rate| rate.0), rate, false, true)?;
                once(key, &mut self.storage, PerGibMonth(price))
            }
            "lb" => {
                check(generic.load_balancer.map(|rate| rate.0), rate, true, true)?;
                once(key, &mut self.load_balancer, Hourly(price))
            }
            "control-plane" => {
                check(None, rate, true, true)?;
                once(key, &mut self.control_plane, Hourly(price))
            }
            _ => {
                let (name, capacity) = match key.rsplit_once(':') {
                    None => (key, None),
                    Some((name, "spot")) => (name, Some(Capacity::Spot)),
                    Some((name, "on-demand")) => (name, Some(Capacity::OnDemand)),
                    Some(_) => {
                        return Err(error(
                            key,
                            "is no node or type",
                            "write TYPE, TYPE:spot or TYPE:on-demand",
                        ));
                    }
                };
                let kind = Match { instance_type: Some(name.to_owned()), capacity, ..Match::default() };
                let known = listed(&kind, usual);
                let what = known.as_ref().map_or("", |(_, what)| what.as_str());
                check(known.as_ref().map(|(price, _)| *price), what, true, false)?;
                if self.nodes.iter().any(|entry| entry.matches == kind) {
                    return Err(error(key, "is given twice", "give it once"));
                }
                let quote = Quote::Whole(Hourly(price));
                let node = Match { name: Some(name.to_owned()), capacity, ..Match::default() };
                self.nodes.extend([node, kind].map(|matches| NodeEntry { matches, quote, line: 1 }));
                Ok(())
            }
        }
    }
}

fn once<T>(key: &str, slot: &mut Option<T>, value: T) -> Result<(), PriceError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(error(key, "is given twice", "give it once")),
    }
}

fn error(key: &str, reason: impl Into<String>, advice: impl Into<String>) -> PriceError {
    PriceError {
        file: FILE.to_owned(),
        line: None,
        key: key.to_owned(),
        reason: reason.into(),
        advice: advice.into(),
    }
}
