//! OpenCost's price files, as price files of kai.
//!
//! What has no place in kai's format stands in the answer as a comment, so that nothing is lost without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::error::{PriceError, shown};
use crate::units::HOURS_PER_MONTH;

/// What OpenCost means by the rates of cores, memory, GPUs and storage: the same keys have two units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A file such as `configs/default.json`.
    Hour,
    /// The ConfigMap `pricing-configs`.
    Month,
}

/// Keys of OpenCost's that are no prices of what kai counts.
const SAID: [&str; 3] = ["provider", "description", "customPricesEnabled"];

/// The price file that says what OpenCost's JSON says. `as_of` is the day of its prices.
pub fn opencost_json(name: &str, text: &str, period: Period, as_of: Date) -> Result<String, PriceError> {
    let fail = |line, key: &str, reason: String, advice: &str| PriceError {
        file: name.to_owned(),
        line,
        key: key.to_owned(),
        reason,
        advice: advice.to_owned(),
    };
    let given: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let reason = format!("is not a JSON object: {error}");
        fail(Some(error.line()), "", reason, "give a file such as OpenCost's default.json")
    })?;
    let line = |key: &str| {
        let at = text.find(&format!("\"{key}\""))?;
        Some(text[..at].matches('\n').count() + 1)
    };
    let mut taken: BTreeSet<&str> = SAID.into();
    let mut number = |key: &'static str| -> Result<Option<f64>, PriceError> {
        taken.insert(key);
        let text = match given.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.trim().trim_end_matches('%').to_owned(),
            Some(other) => other.to_string(),
        };
        match text.parse::<f64>() {
            Ok(price) if price.is_finite() && price >= 0.0 => Ok(Some(price)),
            _ => Err(fail(line(key), key, format!("= {text} is no price"), "write a number of 0 or more")),
        }
    };
    // Only the six rates have two units; load balancers and traffic are by the hour and the GiB in both.
    let by_month = match period {
        Period::Hour => 1.0,
        Period::Month => HOURS_PER_MONTH,
    };
    let mut hour = |key: &'static str| Ok(number(key)?.map(|price| price / by_month));
    let (cpu, memory, gpu) = (hour("CPU")?, hour("RAM")?, hour("GPU")?);
    let (spot_cpu, spot_memory, storage) = (hour("spotCPU")?, hour("spotRAM")?, hour("storage")?);
    let (first, usual) = (number("firstFiveForwardingRulesCost")?, number("defaultLBPrice")?);
    let (discount, negotiated) = (number("discount")?, number("negotiatedDiscount")?);
    let currency = match given.get("currencyCode").and_then(Value::as_str) {
        None | Some("") => "USD",
        Some(code) => code,
    };
    taken.insert("currencyCode");
    if cpu.is_none() && memory.is_none() && gpu.is_none() && storage.is_none() {
        let advice = "give a file such as OpenCost's default.json";
        return Err(fail(None, "", "has none of CPU, RAM, GPU and storage".to_owned(), advice));
    }
    let mut out = head(name, currency, as_of);
    let unit = if period == Period::Hour { "hour" } else { "month" };
    let _ = writeln!(out, "# Its rates were read as by the {unit}.\n[generic]");
    let mut line = |key: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{key} = {}", exact(value));
        }
    };
    line("cpu_core_hour", cpu);
    line("mem_gib_hour", memory);
    line("gpu_hour", gpu);
    line("storage_gib_month", storage.map(|price| price * HOURS_PER_MONTH));
    // At 0 a load balancer is one that OpenCost has no price of.
    line("lb_hour", usual.or(first).filter(|price| *price > 0.0));
    if let (Some(spot), Some(full)) = (spot_cpu, cpu.filter(|full| *full > 0.0))
        && spot > 0.0
        && spot <= full
    {
        let factor = exact(spot / full);
        let _ = writeln!(out, "\n# spotCPU / CPU, for machines that no list has.\n[spot_factor]");
        let _ = writeln!(out, "other = [{factor}, {factor}, {factor}]");
        if let (Some(spot), Some(full)) = (spot_memory, memory.filter(|full| *full > 0.0)) {
            let _ = writeln!(out, "# spotRAM / RAM is {}.", shown(spot / full));
        }
    }
    if discount.is_some() || negotiated.is_some() {
        let rest = |percent: Option<f64>| 1.0 - percent.unwrap_or(0.0) / 100.0;
        let percent = 100.0 * (1.0 - rest(discount) * rest(negotiated));
        let _ = writeln!(out, "\n[cluster]\ndiscount_percent = {}", exact(percent));
    }
    let left: Vec<&str> = given.keys().map(String::as_str).filter(|key| !taken.contains(key)).collect();
    if !left.is_empty() {
        let _ = writeln!(out, "\n# Not taken over, kai does not count it: {}.", one_line(&left.join(", ")));
    }
    Ok(out)
}

/// The price file that says what OpenCost's CSV price sheet says (`configs/pricing_schema.csv`).
pub fn opencost_csv(name: &str, text: &str, as_of: Date) -> Result<String, PriceError> {
    let fail = |line: usize, key: &str, reason: String, advice: &str| PriceError {
        file: name.to_owned(),
        line: Some(line),
        key: key.to_owned(),
        reason,
        advice: advice.to_owned(),
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<String> = lines.next().map(|(_, line)| fields(line)).unwrap_or_default();
    let column = |wanted: &str| header.iter().position(|name| name.trim_start_matches('\u{feff}') == wanted);
    for needed in ["InstanceID", "AssetClass", "InstanceIDField", "MarketPriceHourly"] {
        if column(needed).is_none() {
            let advice = "give a sheet with the header of OpenCost's pricing_schema.csv";
            return Err(fail(1, needed, "is no column of the sheet".to_owned(), advice));
        }
    }
    let mut out = head(name, "USD", as_of);
    let (mut seen, mut left): (BTreeMap<String, usize>, Vec<String>) = Default::default();
    for (index, row) in lines {
        let number = index + 1;
        if row.trim_start().starts_with('#') {
            continue;
        }
        let row = fields(row);
        let cell = |wanted: &str| column(wanted).and_then(|at| row.get(at)).map_or("", |cell| cell.trim());
        let price = match cell("MarketPriceHourly").parse::<f64>() {
            Ok(price) if price.is_finite() && price >= 0.0 => price,
            _ => {
                let reason = format!("= {} is no price", cell("MarketPriceHourly"));
                return Err(fail(number, "MarketPriceHourly", reason, "write a number of 0 or more, in USD"));
            }
        };
        let section = match (cell("AssetClass"), cell("InstanceIDField")) {
            ("pv", "spec.storageClassName") if !cell("InstanceID").is_empty() => {
                let month = exact(price * HOURS_PER_MONTH);
                Ok(format!("[[storage_class]]\nname = {}\ngib_month = {month}\n", quoted(cell("InstanceID"))))
            }
            ("pv", field) => Err(format!("a volume by {field}: kai prices classes")),
            ("gpu", _) => {
                Err("a price of GPUs by label: kai has one gpu_hour, or a whole node's price".to_owned())
            }
            (_, field) => node(field, cell("InstanceID"), cell("Region"), cell("InstanceType"))
                .map(|matches| format!("[[node]]\nmatch = {{ {matches} }}\nhourly = {}\n", exact(price))),
        };
        match section {
            Ok(section) => {
                let what = section.split("\nhourly").next().unwrap_or_default().to_owned();
                let what = what.split("\ngib_month").next().unwrap_or_default().to_owned();
                if let Some(first) = seen.insert(what, number) {
                    let reason = format!("is priced in line {first} already");
                    return Err(fail(number, cell("InstanceID"), reason, "keep one of the two"));
                }
                let _ = write!(out, "\n{section}");
            }
            Err(why) => left.push(format!("# Not taken over, line {number}: {}.\n", one_line(&why))),
        }
    }
    if seen.is_empty() {
        let reason = format!("has no price that kai can use ({} left out)", left.len());
        let advice =
            "name nodes by metadata.name, metadata.labels or InstanceType, volumes by spec.storageClassName";
        return Err(fail(1, "", reason, advice));
    }
    if !left.is_empty() {
        let _ = write!(out, "\n{}", left.concat());
    }
    Ok(out)
}

/// The match of a node's row, or why there is none.
fn node(field: &str, id: &str, region: &str, kind: &str) -> Result<String, String> {
    let own = match field.split_once('.') {
        _ if id.is_empty() => None,
        Some(("metadata", "name")) => Some(format!("name = {}", quoted(id))),
        Some(("metadata", rest)) => match rest.strip_prefix("labels.") {
            Some(label) => Some(format!("labels = {{ {} = {} }}", quoted(label), quoted(id))),
            None => return Err(format!("a node by {field}: kai knows names and labels")),
        },
        // A machine's own number: with a type the row still says what such machines cost.
        _ if !kind.is_empty() => None,
        _ => return Err(format!("a node by {field}: kai knows names and labels, not machine numbers")),
    };
    let mut parts = Vec::new();
    match own {
        Some(own) => parts.push(own),
        None if kind.is_empty() => return Err("a node without InstanceID and InstanceType".to_owned()),
        None => parts.push(format!("instance_type = {}", quoted(kind))),
    }
    if !region.is_empty() {
        parts.push(format!("region = {}", quoted(region)));
    }
    Ok(parts.join(", "))
}

fn head(name: &str, currency: &str, as_of: Date) -> String {
    let mut out = format!("# From {}, by kai prices import.\nschema = 1\n", one_line(name));
    let _ = writeln!(out, "currency = {}", quoted(currency));
    if currency != "USD" {
        out.push_str("# kai counts in USD: say what one of these is worth, and when.\n# fx_to_usd = 1.09\n");
        let _ = writeln!(out, "# fx_date = \"{as_of}\"");
    }
    let _ = writeln!(out, "as_of = \"{as_of}\"\n");
    out
}

/// The fields of a CSV line; quotes may hold commas, and a doubled quote is one.
fn fields(line: &str) -> Vec<String> {
    let (mut all, mut field, mut inside) = (Vec::new(), String::new(), false);
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => all.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    all.push(field);
    all
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Twelve digits and no noise: enough to be the same price again.
fn exact(price: f64) -> String {
    let text = format!("{price:.12}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.contains('.') { text.to_owned() } else { format!("{text}.0") }
}

/// Text of a file's for a comment: a line break in it would end the comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Prices, tests::machine};
    use super::*;
    use jiff::civil::date;

    const DEFAULT: &str = r#"{
    "provider": "custom",
    "description": "Default prices based on GCP us-central1",
    "CPU": "0.031611",
    "spotCPU": "0.006655",
    "RAM": "0.004237",
    "spotRAM": "0.000892",
    "GPU": "0.95",
    "storage": "0.00005479452",
    "zoneNetworkEgress": "0.01",
    "firstFiveForwardingRulesCost": "0.0"
}"#;

    fn node_month(text: &str) -> f64 {
        let prices = Prices::embedded().with_file("prices.toml", text, false).unwrap();
        prices.node(&machine("n1", None, None)).unwrap().hourly.month().0
    }

    #[test]
    fn the_shipped_file_is_by_the_hour() {
        let text = opencost_json("default.json", DEFAULT, Period::Hour, date(2026, 11, 1)).unwrap();
        assert_eq!(
            text,
            "# From default.json, by kai prices import.\nschema = 1\ncurrency = \"USD\"\nas_of = \"2026-11-01\"\n\n\
             # Its rates were read as by the hour.\n[generic]\ncpu_core_hour = 0.031611\nmem_gib_hour = 0.004237\n\
             gpu_hour = 0.95\nstorage_gib_month = 0.0399999996\n\n# spotCPU / CPU, for machines that no list has.\n\
             [spot_factor]\nother = [0.210527980766, 0.210527980766, 0.210527980766]\n# spotRAM / RAM is 0.210526.\n\n\
             # Not taken over, kai does not count it: zoneNetworkEgress.\n"
        );
        // F4: the node of the design's table.
        assert!((node_month(&text) - 117.0482).abs() < 1e-9);
    }

    #[test]
    fn the_config_map_is_by_the_month() {
        let month = r#"{"CPU": "23.07603", "RAM": "3.09301"}"#;
        let text = opencost_json("pricing-configs", month, Period::Month, date(2026, 11, 1)).unwrap();
        assert!((node_month(&text) - 117.0482).abs() < 1e-6);
        // Read in the wrong unit it is refused, and not 730 times too much.
        let text = opencost_json("pricing-configs", month, Period::Hour, date(2026, 11, 1)).unwrap();
        let error = Prices::embedded().with_file("prices.toml", &text, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "prices.toml:8: [generic] cpu_core_hour = 23.076 is 1058 times the generic rate of 0.021811; \
             write 0.031611 (the month's price / 730), or pass --force-price if it is right"
        );
    }

    #[test]
    fn discounts_are_one_and_currencies_are_asked_about() {
        let json = r#"{"CPU": 0.03, "RAM": 0.004, "discount": "30%", "negotiatedDiscount": "10%", "currencyCode": "EUR"}"#;
        let text = opencost_json("x.json", json, Period::Hour, date(2026, 11, 1)).unwrap();
        assert!(text.contains("discount_percent = 37.0\n"), "{text}");
        let error = Prices::embedded().with_file("p.toml", &text, false).unwrap_err();
        assert!(error.reason.contains("needs fx_to_usd"), "{error}");
    }

    #[test]
    fn json_that_is_none_is_told_with_its_line() {
        let wrong = |text: &str| {
            opencost_json("p.json", text, Period::Hour, date(2026, 11, 1)).unwrap_err().to_string()
        };
        assert_eq!(
            wrong("{\n\"CPU\": \"a lot\"}"),
            "p.json:2: CPU = a lot is no price; write a number of 0 or more"
        );
        assert_eq!(
            wrong("{}"),
            "p.json: has none of CPU, RAM, GPU and storage; give a file such as OpenCost's default.json"
        );
        assert!(wrong("[1]").starts_with("p.json:1: is not a JSON object: "));
    }

    const SHEET: &str =
        "EndTimestamp,InstanceID,Region,AssetClass,InstanceIDField,InstanceType,MarketPriceHourly,Version\n";

    #[test]
    fn a_sheet_becomes_nodes_and_classes() {
        let rows = "2028-01-06 23:34:45 UTC,n1,,node,metadata.name,,0.1337,\n\
                    2028-01-06 23:34:45 UTC,Reserved,eu,node,metadata.labels.a.b/pool,,0.65,\n\
                    2028-01-06 23:34:45 UTC,i-0ab,eu,node,spec.providerID,m5.large,0.11,\n\
                    2028-01-06 23:34:45 UTC,i-0ac,,node,spec.providerID,,0.11,\n\
                    2028-01-06 23:34:45 UTC,fast,,pv,spec.storageClassName,,0.0001,\n\
                    2028-01-06 23:34:45 UTC,a100,,gpu,nvidia.com/gpu_type,,0.5,\n";
        let text = opencost_csv("sheet.csv", &format!("{SHEET}{rows}"), date(2026, 11, 1)).unwrap();
        for part in [
            "match = { name = \"n1\" }\nhourly = 0.1337\n",
            "match = { labels = { \"a.b/pool\" = \"Reserved\" }, region = \"eu\" }\nhourly = 0.65\n",
            "match = { instance_type = \"m5.large\", region = \"eu\" }\nhourly = 0.11\n",
            "[[storage_class]]\nname = \"fast\"\ngib_month = 0.073\n",
            "# Not taken over, line 5: a node by spec.providerID",
            "# Not taken over, line 7: a price of GPUs by label",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let prices = Prices::embedded().with_file("p.toml", &text, false).unwrap();
        assert_eq!(prices.node(&machine("n1", None, None)).unwrap().hourly.0, 0.1337);
    }

    #[test]
    fn a_sheet_that_says_two_things_or_nothing_is_refused() {
        let wrong = |rows: &str| {
            opencost_csv("s.csv", &format!("{SHEET}{rows}"), date(2026, 11, 1)).unwrap_err().to_string()
        };
        assert_eq!(
            wrong("t,n1,,node,metadata.name,,0.1,\nt,n1,,node,metadata.name,,0.2,\n"),
            "s.csv:3: n1 is priced in line 2 already; keep one of the two"
        );
        assert_eq!(
            wrong("t,n1,,node,metadata.name,,-0.1,\n"),
            "s.csv:2: MarketPriceHourly = -0.1 is no price; write a number of 0 or more, in USD"
        );
        assert!(wrong("t,i-0,,node,spec.providerID,,0.1,\n").contains("(1 left out)"));
        assert!(opencost_csv("s.csv", "a,b\n", date(2026, 11, 1)).unwrap_err().reason.contains("no column"));
    }
}
