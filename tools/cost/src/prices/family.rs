//! A type that no list has, priced by its relatives.

use crate::node::{Machine, Provider};

use super::table::{Quoted, Row, Table};

/// What the types of a family cost for a core and a GiB.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit<'a> {
    /// "c6i", "Standard_D*s_v5".
    pub family: String,
    /// How many types it is from.
    pub types: usize,
    pub region: &'a str,
    pub as_of: Option<jiff::civil::Date>,
    pub core: f64,
    /// 0 where all types of the family have the same memory a core: then the core's price is for both.
    pub gib: f64,
}

impl Fit<'_> {
    /// What a machine of that family costs an hour. Sizes in a custom type's name win: a node reports a little less memory.
    pub fn price(&self, kind: &str, machine: &Machine) -> f64 {
        let (cores, gib) = custom(kind).unwrap_or((machine.cpu.cores(), machine.memory.gib()));
        cores * self.core + gib * self.gib
    }
}

/// "n2-custom-4-8192" and "n2-custom-4-8192-ext": cores and MiB.
fn custom(kind: &str) -> Option<(f64, f64)> {
    let (_, sizes) = kind.split_once("custom-")?;
    let mut sizes = sizes.split('-').map(str::parse::<f64>);
    Some((sizes.next()?.ok()?, sizes.next()?.ok()? / 1024.0))
}

/// Fits the family of `kind` in the machine's region, or in the reference region. No fit for what has GPUs: their number is not
/// in step with the cores.
pub(super) fn fit<'a>(table: &'a Table, kind: &'a str, machine: &Machine) -> Option<Fit<'a>> {
    if machine.gpus > 0 {
        return None;
    }
    let family = family(table.provider, kind)?;
    let relatives: Vec<&Row> = table
        .rows()
        .filter(|row| row.gpus.unwrap_or(0) == 0 && self::family(table.provider, row.kind) == Some(family))
        .collect();
    let in_region = |region: &str| -> Vec<Quoted<'a>> {
        relatives.iter().filter_map(|row| table.quoted(row, region)).collect()
    };
    let mut quoted = machine.region.as_deref().map(in_region).unwrap_or_default();
    if quoted.is_empty() {
        quoted = in_region(table.reference);
    }
    let shapes: Vec<(f64, Option<f64>, f64)> = quoted
        .iter()
        .filter_map(|q| {
            let cores = q.row.cores.or_else(|| cores_by_name(table.provider, q.row.kind))?;
            Some((cores, q.row.gib, q.on_demand))
        })
        .collect();
    let first = quoted.first()?;
    let (core, gib) = two_rates(&shapes).or_else(|| core_rate(&shapes).map(|core| (core, 0.0)))?;
    let (region, as_of) = (first.region.name, first.region.as_of);
    Some(Fit { family: shown(family), types: shapes.len(), region, as_of, core, gib })
}

type Family<'a> = (&'a str, &'a str);

fn shown((start, end): Family<'_>) -> String {
    if end.is_empty() { start.to_owned() } else { format!("{start}*{end}") }
}

/// What a type is a member of: the same before its size and after it.
fn family(provider: Provider, kind: &str) -> Option<Family<'_>> {
    match provider {
        Provider::Aws => kind.split_once('.').map(|(family, _)| (family, "")),
        // Types with 1 to 8 shared cores (e2-micro) cost by another rule.
        Provider::Gcp if ["micro", "small", "medium"].iter().any(|size| kind.ends_with(size)) => None,
        Provider::Gcp if kind.starts_with("custom-") => Some(("n1", "")),
        Provider::Gcp => kind.split_once('-').map(|(family, _)| (family, "")),
        Provider::Azure => {
            let start = kind.find(|c: char| c.is_ascii_digit())?;
            let rest = &kind[start..];
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
            Some((&kind[..start], &rest[end..]))
        }
        Provider::Oracle => kind.split_once(".Flex").map(|(family, _)| (family, "")),
        Provider::Other => None,
    }
}

/// AWS names sizes in steps: large has 2 cores, xlarge 4, Nxlarge 4 N.
fn cores_by_name(provider: Provider, kind: &str) -> Option<f64> {
    if provider != Provider::Aws {
        return None;
    }
    match kind.split_once('.')?.1 {
        "large" => Some(2.0),
        "xlarge" => Some(4.0),
        size => size.strip_suffix("xlarge")?.parse::<f64>().ok().map(|n| n * 4.0),
    }
}

/// Least squares over cores and GiB; none where the memory is not known or not independent of the cores.
fn two_rates(shapes: &[(f64, Option<f64>, f64)]) -> Option<(f64, f64)> {
    let (mut cc, mut cg, mut gg, mut cp, mut gp) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (cores, gib, price) in shapes {
        let gib = (*gib)?;
        // By the core: a large machine weighs no more than a small one.
        let (c, g, p) = (1.0, gib / cores, price / cores);
        cc += c * c;
        cg += c * g;
        gg += g * g;
        cp += c * p;
        gp += g * p;
    }
    let determinant = cc * gg - cg * cg;
    if determinant <= 1e-6 * cc * gg {
        return None;
    }
    let rates = ((cp * gg - gp * cg) / determinant, (gp * cc - cp * cg) / determinant);
    (rates.0 > 0.0 && rates.1 > 0.0).then_some(rates)
}

/// The median price of a core with the memory that comes with it.
fn core_rate(shapes: &[(f64, Option<f64>, f64)]) -> Option<f64> {
    let mut rates: Vec<f64> = shapes.iter().map(|(cores, _, price)| price / cores).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::super::tests::machine;
    use super::*;

    fn priced(provider: Provider, kind: &str, region: &str, size: (i64, i64)) -> Option<f64> {
        let mut machine = machine("n", Some(kind), Some(region));
        (machine.cpu.0, machine.memory.0) = (size.0 * 1000, size.1 << 30);
        fit(table(provider)?, kind, &machine).map(|fit| fit.price(kind, &machine))
    }

    #[test]
    fn a_size_that_is_not_listed_costs_by_the_core() {
        let price = priced(Provider::Aws, "c6i.20xlarge", "us-east-1", (80, 160)).unwrap();
        assert!((price - 3.4).abs() < 1e-9, "{price}");
        let price = priced(Provider::Azure, "Standard_D32s_v5", "westeurope", (32, 128)).unwrap();
        assert!((price - 1.536).abs() < 1e-9, "{price}");
        let price = priced(Provider::Oracle, "VM.Standard.E5.Flex", "us-ashburn-1", (6, 24)).unwrap();
        assert!((price - 0.138).abs() < 1e-9, "{price}");
    }

    #[test]
    fn a_custom_type_costs_by_core_and_gib() {
        // 0.03161 a core and 0.00424 a GiB, from the design's own solution of two shapes.
        let price = priced(Provider::Gcp, "n2-custom-6-20480", "us-central1", (6, 19)).unwrap();
        assert!((price - (6.0 * 0.03161 + 20.0 * 0.00424)).abs() < 2e-4, "{price}");
    }

    #[test]
    fn nobody_is_related_to_a_stranger() {
        assert_eq!(priced(Provider::Aws, "zz9.large", "us-east-1", (2, 4)), None);
        assert_eq!(priced(Provider::Azure, "Standard_D4ds_v6", "eastus", (4, 16)), None);
        assert_eq!(priced(Provider::Gcp, "n4-standard-4", "us-central1", (4, 16)), None);
        assert_eq!(priced(Provider::Gcp, "e2-micro", "us-central1", (2, 1)), None);
    }
}
