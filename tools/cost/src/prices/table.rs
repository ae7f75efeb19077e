//! The embedded price lists of the clouds: a row a type, a column a region.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;

use crate::node::Provider;

/// One cloud's list prices.
#[derive(Debug)]
pub(super) struct Table {
    pub provider: Provider,
    /// "AWS".
    pub name: &'static str,
    /// The region whose price stands in for one that is not in the table.
    pub reference: &'static str,
    /// The columns.
    pub regions: Vec<Region>,
    rows: BTreeMap<&'static str, Row>,
    /// Lines that could not be read; a test holds that there are none.
    pub unread: Vec<usize>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Region {
    pub name: &'static str,
    pub as_of: Option<Date>,
}

/// A type.
#[derive(Debug)]
pub(super) struct Row {
    pub kind: &'static str,
    pub cores: Option<f64>,
    pub gib: Option<f64>,
    /// GPUs that are in the price.
    pub gpus: Option<i64>,
    cells: Vec<Option<Cell>>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    on_demand: f64,
    spot: Option<f64>,
}

/// A row in a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    pub row: &'a Row,
    pub region: &'a Region,
    pub on_demand: f64,
    pub spot: Option<f64>,
}

/// The tables of all clouds.
pub(super) static TABLES: LazyLock<[Table; 4]> = LazyLock::new(|| {
    [
        Table::read(Provider::Aws, "AWS", include_str!("../../prices/aws.csv")),
        Table::read(Provider::Gcp, "Google Cloud", include_str!("../../prices/gcp.csv")),
        Table::read(Provider::Azure, "Azure", include_str!("../../prices/azure.csv")),
        Table::read(Provider::Oracle, "Oracle Cloud", include_str!("../../prices/oracle.csv")),
    ]
});

/// The table of one cloud.
pub(super) fn table(provider: Provider) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.provider == provider)
}

impl Table {
    fn read(provider: Provider, name: &'static str, text: &'static str) -> Table {
        let mut table = Table {
            provider,
            name,
            reference: "",
            regions: Vec::new(),
            rows: BTreeMap::new(),
            unread: Vec::new(),
        };
        let mut dates = "";
        for (index, line) in text.lines().enumerate() {
            if let Some(note) = line.strip_prefix('#') {
                match note.trim().split_once(": ") {
                    Some(("reference", region)) => table.reference = region,
                    Some(("as_of", given)) => dates = given,
                    _ => {}
                }
            } else if let Some(regions) = line.strip_prefix("type,vcpu,gib,gpus,") {
                table.regions =
                    regions.split(',').map(|name| Region { name, as_of: date_of(name, dates) }).collect();
            } else if let Some(row) = row(line, table.regions.len()) {
                table.rows.insert(row.kind, row);
            } else {
                table.unread.push(index + 1);
            }
        }
        table
    }

    /// The row of a type, as the node's label spells it.
    pub fn row(&self, kind: &str) -> Option<&Row> {
        self.rows.get(kind)
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// What a row costs in a region.
    pub fn quoted<'a>(&'a self, row: &'a Row, region: &str) -> Option<Quoted<'a>> {
        let at = self.regions.iter().position(|known| known.name.eq_ignore_ascii_case(region))?;
        self.column(row, at)
    }

    /// What a row costs in the reference region, or in the first that has it.
    pub fn elsewhere<'a>(&'a self, row: &'a Row) -> Option<Quoted<'a>> {
        self.quoted(row, self.reference)
            .or_else(|| (0..self.regions.len()).find_map(|at| self.column(row, at)))
    }

    fn column<'a>(&'a self, row: &'a Row, at: usize) -> Option<Quoted<'a>> {
        let cell = (*row.cells.get(at)?)?;
        Some(Quoted { row, region: self.regions.get(at)?, on_demand: cell.on_demand, spot: cell.spot })
    }

    /// The oldest day of its columns.
    pub fn as_of(&self) -> Option<Date> {
        self.regions.iter().filter_map(|region| region.as_of).min()
    }
}

/// "us-east-1 2026-07-06, us-gov-east-1 2026-06-15", or one day for all.
fn date_of(region: &str, dates: &str) -> Option<Date> {
    dates.split(", ").find_map(|part| match part.split_once(' ') {
        Some((name, day)) if name == region => day.parse().ok(),
        Some(_) => None,
        None => part.parse().ok(),
    })
}

fn row(line: &'static str, columns: usize) -> Option<Row> {
    let mut fields = line.split(',');
    let kind = fields.next().filter(|kind| !kind.is_empty())?;
    let mut number = || match fields.next() {
        None | Some("") => Some(None),
        Some(text) => text.parse::<f64>().ok().map(Some),
    };
    let (cores, gib, gpus) = (number()?, number()?, number()?);
    let cells = fields.map(cell).collect::<Option<Vec<_>>>()?;
    let any = cells.iter().any(Option::is_some);
    (any && cells.len() <= columns).then(|| Row { kind, cores, gib, gpus: gpus.map(|n| n as i64), cells })
}

/// "" is no price, "0.192" on demand, "0.192/0.040531" on demand and spot.
fn cell(text: &str) -> Option<Option<Cell>> {
    if text.is_empty() {
        return Some(None);
    }
    let price = |text: &str| text.parse().ok().filter(|price: &f64| price.is_finite() && *price > 0.0);
    let (on_demand, spot) = match text.split_once('/') {
        Some((on_demand, spot)) => (price(on_demand)?, Some(price(spot)?)),
        None => (price(text)?, None),
    };
    Some(Some(Cell { on_demand, spot }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_demand(provider: Provider, kind: &str, region: &str) -> f64 {
        let table = table(provider).unwrap();
        table.quoted(table.row(kind).unwrap(), region).unwrap().on_demand
    }

    #[test]
    fn every_line_is_read_and_every_column_dated() {
        for table in TABLES.iter() {
            assert!(table.unread.is_empty(), "{}: lines {:?}", table.name, table.unread);
            assert!(table.regions.iter().all(|region| region.as_of.is_some()), "{}", table.name);
            assert!(table.regions.iter().any(|region| region.name == table.reference), "{}", table.name);
            assert!(table.rows().all(|row| table.elsewhere(row).is_some()));
        }
        let rows: Vec<usize> = TABLES.iter().map(|table| table.rows.len()).collect();
        assert!(rows[0] > 1300 && rows[1] > 200 && rows[2] >= 20 && rows[3] >= 15, "{rows:?}");
    }

    #[test]
    fn sampled_rows_are_the_list_prices() {
        use Provider::{Aws, Azure, Gcp};
        for (provider, kind, region, price) in [
            (Aws, "c6i.xlarge", "us-east-1", 0.17),
            (Aws, "m5.large", "us-east-1", 0.096),
            (Aws, "t3.medium", "us-east-1", 0.0416),
            (Aws, "c6i.xlarge", "us-gov-west-1", 0.204),
            (Gcp, "e2-standard-4", "us-central1", 0.13402),
            (Gcp, "n2-standard-4", "us-central1", 0.19424),
            (Azure, "Standard_D4s_v5", "eastus", 0.192),
        ] {
            assert_eq!(on_demand(provider, kind, region), price, "{kind} in {region}");
        }
    }

    #[test]
    fn spot_is_below_on_demand_wherever_it_is_known() {
        for table in TABLES.iter() {
            for row in table.rows() {
                for region in &table.regions {
                    if let Some(Quoted { on_demand, spot: Some(spot), .. }) = table.quoted(row, region.name) {
                        assert!(spot < on_demand, "{}", row.kind);
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        let table = Table::read(
            Provider::Other,
            "x",
            "# reference: a\n# as_of: 2026-01-02\ntype,vcpu,gib,gpus,a,b\nt,,,,1\nu,,,,x\nv,,,,1,2,3\nw,,,,-1\n",
        );
        assert_eq!(table.unread, [5, 6, 7]);
        assert_eq!(table.as_of(), Some(jiff::civil::date(2026, 1, 2)));
    }
}
