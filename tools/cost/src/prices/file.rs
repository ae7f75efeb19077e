//! A price file: what a user, a team's ConfigMap or kai itself says that things cost.

use std::collections::BTreeMap;

use jiff::civil::Date;
use toml::de::DeTable;

use super::error::PriceError;
use super::limits;
use super::matching::{Match, NodeEntry, Quote};
use super::read::{Number, Section, Text};
use super::table::TABLES;
use crate::node::{Capacity, Provider};
use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGibMonth, PerGpuHour};

pub(super) const PROVIDERS: [(&str, Provider); 5] = [
    ("aws", Provider::Aws),
    ("gcp", Provider::Gcp),
    ("azure", Provider::Azure),
    ("oracle", Provider::Oracle),
    ("other", Provider::Other),
];

/// What a file says, in US dollars.
#[derive(Clone, Debug, Default)]
pub(super) struct PriceFile {
    pub name: String,
    pub as_of: Option<Date>,
    /// The day of the exchange rate, for another currency.
    pub fx_date: Option<Date>,
    pub generic: Generic,
    pub spot: BTreeMap<Provider, [f64; 3]>,
    pub nodes: Vec<NodeEntry>,
    pub classes: Vec<ClassEntry>,
    pub load_balancers: BTreeMap<Provider, Hourly>,
    pub control_planes: BTreeMap<Provider, Hourly>,
    /// `[cluster] control_plane_hour`: of whatever cluster this is.
    pub control_plane: Option<Hourly>,
    pub discount_percent: Option<f64>,
    pub fargate: Option<PodEntry>,
    pub autopilot: Option<PodEntry>,
}

/// Rates for any machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Generic {
    pub cpu: Option<PerCoreHour>,
    pub memory: Option<PerGibHour>,
    pub gpu: Option<PerGpuHour>,
    pub storage: Option<PerGibMonth>,
    pub load_balancer: Option<Hourly>,
}

/// What a storage class costs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClassEntry {
    pub name: Option<String>,
    pub provisioner: Option<String>,
    pub kind: Option<String>,
    pub price: PerGibMonth,
}

/// What pods cost that are paid for by their requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PodEntry {
    pub cpu: PerCoreHour,
    pub memory: PerGibHour,
    /// A GiB of disk and an hour, beyond what is free.
    pub storage_hour: f64,
    pub spot: Option<[f64; 3]>,
}

impl PriceFile {
    /// Reads a file; `usual` is what its rates are held against, `force` takes them all the same.
    pub fn read(
        name: &str,
        text: &str,
        force: bool,
        usual: Option<&PriceFile>,
    ) -> Result<PriceFile, PriceError> {
        let mut source = Text { file: name, text, force, fx: 1.0 };
        let parsed = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let reason = format!("is not TOML: {}", error.message().replace('\n', ", "));
            source.error(at, "", reason, "mend the line")
        })?;
        let top = Section::top(source, parsed.get_ref());
        schema(&top)?;
        let mut file = PriceFile { name: name.to_owned(), ..PriceFile::default() };
        (source.fx, file.fx_date) = currency(&top)?;
        let top = Section::top(source, parsed.get_ref());
        file.as_of = top.date("as_of")?;
        if let Some(section) = top.section("generic")? {
            file.generic = generic(&section, usual.map(|file| &file.generic))?;
        }
        if let Some(section) = top.section("spot_factor")? {
            file.spot = providers(&section, "", |key| section.factors(key))?;
        }
        let hours = |section: &Section<'_, '_>| {
            providers(section, "_hour", |key| Ok(section.price(key)?.map(|price| Hourly(price.value))))
        };
        if let Some(section) = top.section("load_balancer")? {
            file.load_balancers = hours(&section)?;
        }
        if let Some(section) = top.section("control_plane")? {
            file.control_planes = hours(&section)?;
        }
        if let Some(section) = top.section("cluster")? {
            section.only(&["control_plane_hour", "discount_percent"])?;
            file.control_plane = section.price("control_plane_hour")?.map(|price| Hourly(price.value));
            file.discount_percent = discount(&section)?;
        }
        file.fargate = pods(&top, "fargate", usual.and_then(|file| file.fargate))?;
        file.autopilot = pods(&top, "autopilot", usual.and_then(|file| file.autopilot))?;
        for section in top.sections("node")? {
            let entry = node(&section, usual)?;
            if let Some(twin) = file.nodes.iter().find(|known| known.matches == entry.matches) {
                let reason = format!("has the same match as line {}", twin.line);
                return Err(section.error(section.at, "match", reason, "keep one of the two"));
            }
            file.nodes.push(entry);
        }
        for section in top.sections("storage_class")? {
            let entry = class(&section, usual)?;
            let same = |known: &ClassEntry| {
                (&known.name, &known.provisioner, &known.kind)
                    == (&entry.name, &entry.provisioner, &entry.kind)
            };
            if file.classes.iter().any(same) {
                return Err(section.error(section.at, "name", "is there twice", "keep one of the two"));
            }
            file.classes.push(entry);
        }
        Ok(file)
    }
}

const TOP: [&str; 14] = [
    "schema",
    "currency",
    "fx_to_usd",
    "fx_date",
    "as_of",
    "generic",
    "spot_factor",
    "node",
    "storage_class",
    "cluster",
    "load_balancer",
    "control_plane",
    "fargate",
    "autopilot",
];

fn schema(top: &Section<'_, '_>) -> Result<(), PriceError> {
    let Some(number) = top.number("schema")? else {
        return Err(top.error(0, "schema", "is missing", "begin the file with schema = 1"));
    };
    if number.value > 1.0 {
        let reason = format!("= {} is newer than this kai, which reads 1", number.value);
        return Err(top.error(number.at, "schema", reason, "update kai, or write the file for schema = 1"));
    }
    if number.value != 1.0 {
        let reason = format!("= {} is not a schema", number.value);
        return Err(top.error(number.at, "schema", reason, "write schema = 1"));
    }
    top.only(&TOP)
}

fn currency(top: &Section<'_, '_>) -> Result<(f64, Option<Date>), PriceError> {
    let currency = top.text("currency")?.unwrap_or_else(|| "USD".to_owned());
    let at = |key: &str| top.get(key).map_or(0, |value| value.span().start);
    let (rate, date) = (top.number("fx_to_usd")?, top.date("fx_date")?);
    if currency == "USD" {
        for (key, given) in [("fx_to_usd", rate.is_some()), ("fx_date", date.is_some())] {
            if given {
                let advice = "name the currency that it is the rate of, or delete the line";
                return Err(top.error(at(key), key, "stands beside currency = \"USD\"", advice));
            }
        }
        return Ok((1.0, None));
    }
    match (rate, date) {
        (Some(Number { value, at }), _) if value <= 0.0 => {
            let reason = format!("= {value} is no exchange rate");
            Err(top.error(at, "fx_to_usd", reason, format!("write how many USD one {currency} is")))
        }
        (Some(rate), Some(date)) => Ok((rate.value, Some(date))),
        _ => {
            let reason = format!("= \"{currency}\" needs fx_to_usd and fx_date: kai counts in USD");
            let advice = "add fx_to_usd = 1.09 and fx_date = \"2026-11-01\", or write the prices in USD";
            Err(top.error(at("currency"), "currency", reason, advice))
        }
    }
}

fn generic(section: &Section<'_, '_>, usual: Option<&Generic>) -> Result<Generic, PriceError> {
    section.only(&["cpu_core_hour", "mem_gib_hour", "gpu_hour", "storage_gib_month", "lb_hour"])?;
    let usual = usual.copied().unwrap_or_default();
    let rate = |key: &str, usual: Option<f64>, free: bool| -> Result<Option<f64>, PriceError> {
        let Some(number) = section.price(key)? else { return Ok(None) };
        near(section, key, number, usual, "the generic rate", free)?;
        Ok(Some(number.value))
    };
    Ok(Generic {
        cpu: rate("cpu_core_hour", usual.cpu.map(|rate| rate.0), false)?.map(PerCoreHour),
        memory: rate("mem_gib_hour", usual.memory.map(|rate| rate.0), false)?.map(PerGibHour),
        gpu: rate("gpu_hour", usual.gpu.map(|rate| rate.0), true)?.map(PerGpuHour),
        storage: rate("storage_gib_month", usual.storage.map(|rate| rate.0), true)?.map(PerGibMonth),
        load_balancer: rate("lb_hour", usual.load_balancer.map(|rate| rate.0), true)?.map(Hourly),
    })
}

/// Refuses what is far from usual. Where a price may be 0 (`free`), 0 is a decision and not a slip.
fn near(
    section: &Section<'_, '_>,
    key: &str,
    Number { value, at }: Number,
    usual: Option<f64>,
    what: &str,
    free: bool,
) -> Result<(), PriceError> {
    let given = value / section.text.fx;
    let slip = usual.and_then(|usual| limits::outlier(given, value, usual, what, key.contains("hour")));
    match slip {
        Some((reason, advice)) if !(section.text.force || free && value == 0.0) => {
            Err(section.error(at, key, reason, advice))
        }
        _ => Ok(()),
    }
}

fn providers<T>(
    section: &Section<'_, '_>,
    suffix: &str,
    read: impl Fn(&str) -> Result<Option<T>, PriceError>,
) -> Result<BTreeMap<Provider, T>, PriceError> {
    let keys: Vec<String> = PROVIDERS.iter().map(|(name, _)| format!("{name}{suffix}")).collect();
    section.only(&keys.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut found = BTreeMap::new();
    for (key, (_, provider)) in keys.iter().zip(PROVIDERS) {
        if let Some(value) = read(key)? {
            found.insert(provider, value);
        }
    }
    Ok(found)
}

fn discount(section: &Section<'_, '_>) -> Result<Option<f64>, PriceError> {
    let Some(Number { value, at }) = section.number("discount_percent")? else { return Ok(None) };
    if value > 100.0 {
        let reason = format!("= {value} is more than everything");
        return Err(section.error(at, "discount_percent", reason, "write a number from 0 to 100"));
    }
    Ok(Some(value))
}

fn pods(top: &Section<'_, '_>, key: &str, usual: Option<PodEntry>) -> Result<Option<PodEntry>, PriceError> {
    let Some(section) = top.section(key)? else { return Ok(None) };
    section.only(&["cpu_core_hour", "mem_gib_hour", "storage_gib_hour", "spot_factor"])?;
    let rate = |key: &str, usual: Option<f64>| -> Result<f64, PriceError> {
        let Some(number) = section.price(key)? else {
            return Err(section.error(section.at, key, "is missing", "give cpu_core_hour and mem_gib_hour"));
        };
        near(&section, key, number, usual, "the list price", false)?;
        Ok(number.value)
    };
    Ok(Some(PodEntry {
        cpu: PerCoreHour(rate("cpu_core_hour", usual.map(|usual| usual.cpu.0))?),
        memory: PerGibHour(rate("mem_gib_hour", usual.map(|usual| usual.memory.0))?),
        storage_hour: section.price("storage_gib_hour")?.map_or(0.0, |number| number.value),
        spot: section.factors("spot_factor")?,
    }))
}

fn node(section: &Section<'_, '_>, usual: Option<&PriceFile>) -> Result<NodeEntry, PriceError> {
    section.only(&["match", "hourly", "cpu_core_hour", "mem_gib_hour", "gpu_hour"])?;
    let line = section.text.line(section.at);
    let matches = match section.section("match")? {
        None => {
            let advice = "add match = { instance_type = \"...\" }, or name, labels, region";
            return Err(section.error(section.at, "match", "is missing", advice));
        }
        Some(table) => matched(&table)?,
    };
    let generic = usual.map(|file| file.generic).unwrap_or_default();
    let whole = section.price("hourly")?;
    let (cpu, memory) = (section.price("cpu_core_hour")?, section.price("mem_gib_hour")?);
    let gpu = section.price("gpu_hour")?;
    let quote = match (whole, cpu, memory) {
        (Some(price), None, None) if gpu.is_none() => {
            let usual = usual.and_then(|file| listed(&matches, file));
            let what = usual.as_ref().map_or(String::new(), |(_, what)| what.clone());
            near(section, "hourly", price, usual.map(|(price, _)| price), &what, false)?;
            Quote::Whole(Hourly(price.value))
        }
        (None, Some(cpu), Some(memory)) => {
            let rate = generic.cpu.map(|rate| rate.0);
            near(section, "cpu_core_hour", cpu, rate, "the generic rate", false)?;
            let rate = generic.memory.map(|rate| rate.0);
            near(section, "mem_gib_hour", memory, rate, "the generic rate", false)?;
            Quote::Rates {
                cpu: PerCoreHour(cpu.value),
                memory: PerGibHour(memory.value),
                gpu: gpu.map(|rate| PerGpuHour(rate.value)),
            }
        }
        _ => {
            let reason = "needs either hourly, or both cpu_core_hour and mem_gib_hour";
            return Err(section.error(section.at, "hourly", reason, "give one of the two"));
        }
    };
    Ok(NodeEntry { matches, quote, line })
}

fn matched(table: &Section<'_, '_>) -> Result<Match, PriceError> {
    table.only(&["name", "labels", "instance_type", "region", "capacity"])?;
    let capacity = match table.text("capacity")?.as_deref() {
        None => None,
        Some("on-demand") => Some(Capacity::OnDemand),
        Some("spot") => Some(Capacity::Spot),
        Some(other) => {
            let at = table.get("capacity").map_or(table.at, |value| value.span().start);
            let reason = format!("= \"{other}\" is not a capacity");
            return Err(table.error(at, "capacity", reason, "write \"on-demand\" or \"spot\""));
        }
    };
    let labels = match table.section("labels")? {
        Some(labels) => labels.texts()?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    let found = Match {
        name: table.text("name")?,
        labels,
        instance_type: table.text("instance_type")?,
        region: table.text("region")?,
        capacity,
    };
    if found == Match::default() {
        let advice =
            "name an instance_type, a name, labels or a region; prices for any machine go to [generic]";
        return Err(table.text.error(table.at, table.name.clone(), "is empty: every node has it", advice));
    }
    Ok(found)
}

/// What the lists say of the type that an entry is for, times the usual spot factor if it is for spot.
pub(super) fn listed(matches: &Match, usual: &PriceFile) -> Option<(f64, String)> {
    let kind = matches.instance_type.as_deref()?;
    let (table, row) = TABLES.iter().find_map(|table| {
        let row = table.row(kind).or_else(|| table.row(&format!("Standard_{kind}")))?;
        Some((table, row))
    })?;
    let region = matches.region.as_deref().and_then(|region| table.quoted(row, region));
    let quoted = region.or_else(|| table.elsewhere(row))?;
    let factor = match matches.capacity {
        Some(Capacity::Spot) => usual.spot.get(&table.provider).map_or(1.0, |factors| factors[1]),
        _ => 1.0,
    };
    Some((quoted.on_demand * factor, format!("the {} list price", table.name)))
}

fn class(section: &Section<'_, '_>, usual: Option<&PriceFile>) -> Result<ClassEntry, PriceError> {
    section.only(&["name", "provisioner", "type", "gib_month"])?;
    let (name, provisioner) = (section.text("name")?, section.text("provisioner")?);
    let kind = section.text("type")?;
    if name.is_none() == provisioner.is_none() || (name.is_some() && kind.is_some()) {
        let reason = "needs either the name of the class, or its provisioner (and type)";
        return Err(section.error(section.at, "name", reason, "give one of the two"));
    }
    let Some(price) = section.price("gib_month")? else {
        let advice = "add gib_month = 0.08: USD for a GiB and a month";
        return Err(section.error(section.at, "gib_month", "is missing", advice));
    };
    let rate = usual.and_then(|file| file.generic.storage).map(|rate| rate.0);
    near(section, "gib_month", price, rate, "the generic rate", true)?;
    Ok(ClassEntry { name, provisioner, kind, price: PerGibMonth(price.value) })
}
