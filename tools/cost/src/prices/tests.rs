//! Prices over all layers: what is taken, what it says of itself, and what is refused with which words.

use std::collections::BTreeMap;

use jiff::civil::date;

use super::*;
use crate::node::{Billing, Capacity, Machine, Provider};
use crate::units::{Bytes, Millicores};

/// Four cores and 8 GiB, on demand, of no cloud.
pub(super) fn machine(name: &str, kind: Option<&str>, region: Option<&str>) -> Machine {
    Machine {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        provider: Provider::Other,
        instance_type: kind.map(str::to_owned),
        region: region.map(str::to_owned),
        capacity: Capacity::OnDemand,
        arch: None,
        cpu: Millicores(4000),
        memory: Bytes(8 << 30),
        gpus: 0,
    }
}

fn aws(kind: &str, region: &str) -> Machine {
    Machine { provider: Provider::Aws, ..machine("n1", Some(kind), Some(region)) }
}

fn spot(machine: Machine) -> Machine {
    Machine { capacity: Capacity::Spot, ..machine }
}

fn with(text: &str) -> Prices {
    let text = format!("schema = 1\nas_of = \"2026-10-01\"\n{text}");
    Prices::embedded().with_file("prices.toml", &text, false).unwrap()
}

fn near(given: f64, wanted: f64) {
    assert!((given - wanted).abs() < 1e-9, "{given} is not {wanted}");
}

#[test]
fn kais_own_file_is_read_and_complete() {
    let text = include_str!("../../prices/generic.toml");
    let file = PriceFile::read("generic.toml", text, false, None).unwrap();
    assert!(file.generic.cpu.is_some() && file.generic.memory.is_some() && file.generic.gpu.is_some());
    assert_eq!((file.spot.len(), file.load_balancers.len(), file.control_planes.len()), (5, 4, 3));
    assert!(file.fargate.is_some() && file.autopilot.is_some() && file.classes.len() >= 14);
    // It is within its own limits: nobody needs --force-price to copy a line.
    assert!(PriceFile::read("copy.toml", text, false, Some(&file)).is_ok());
}

#[test]
fn the_tables_of_the_design_come_out() {
    // F1: a kind node at the generic rates.
    let node = Prices::embedded().node(&machine("n1", None, None)).unwrap();
    near(node.hourly.0, 0.110628);
    near(node.hourly.month().0, 80.758440);
    assert_eq!((node.cpu.0, node.memory.0), (0.021811, 0.002923));
    assert_eq!(
        (node.source, node.matched.as_str()),
        (Source::Generic, "generic rates, kai's list of 2026-11-01")
    );
    // F2: c6i.xlarge.
    let node = Prices::embedded().node(&aws("c6i.xlarge", "us-east-1")).unwrap();
    assert_eq!(node.hourly.0, 0.17);
    assert!((node.cpu.0 - 0.0335165600).abs() < 1e-9 && (node.memory.0 - 0.0044917200).abs() < 1e-9);
    near(node.cpu.0 * 4.0 + node.memory.0 * 8.0, 0.17);
    // F3: Fargate's smallest fit of a todo pod.
    let rates = Prices::embedded().pods(Billing::Fargate).unwrap();
    let (cpu, memory) = fargate_size(Millicores(250), Bytes(256 << 20)).unwrap();
    near(cpu.at(rates.value.cpu).0 + memory.at(rates.value.memory).0, 0.0123425);
}

#[test]
fn each_layer_says_what_it_is() {
    let prices = Prices::embedded();
    let says = |prices: &Prices, machine: &Machine| {
        let price = prices.node(machine).unwrap();
        (price.source, price.matched, price.hourly.0)
    };
    let node = aws("c6i.xlarge", "us-east-1");
    let told = |source, matched: &str, hourly| (source, matched.to_owned(), hourly);
    assert_eq!(
        says(&prices, &node),
        told(Source::Exact, "c6i.xlarge in us-east-1, AWS list price of 2026-07-06", 0.17)
    );
    assert_eq!(
        says(&prices, &aws("c6i.xlarge", "eu-west-1")),
        told(
            Source::OtherRegion,
            "c6i.xlarge in eu-west-1, region approximated by us-east-1 (often 0 to 30 % more), \
             AWS list price of 2026-07-06",
            0.17
        )
    );
    let (source, matched, hourly) = says(&prices, &aws("c6i.3xlarge", "us-east-1"));
    assert_eq!(source, Source::Family);
    assert_eq!(matched, "c6i.3xlarge, by 9 types of c6i in us-east-1, AWS list price of 2026-07-06");
    near(hourly, 0.17);
    assert_eq!(says(&prices, &aws("zz.large", "us-east-1")).0, Source::Generic);

    let rates = Quote::Rates { cpu: PerCoreHour(0.03), memory: PerGibHour(0.004), gpu: None };
    let nodes = BTreeMap::from([("n1".to_owned(), rates)]);
    let prices = prices.with_opencost(nodes, Some(date(2026, 11, 20))).unwrap();
    assert_eq!(says(&prices, &node), told(Source::OpenCost, "node n1, OpenCost in the cluster", 0.152));

    let team = "schema = 1\nas_of = 2026-10-02\n[[node]]\nmatch = { instance_type = \"c6i.xlarge\" }\nhourly = 0.16\n";
    let prices = prices.with_config_map("kai-prices", team, false).unwrap();
    let matched = "c6i.xlarge, kai-prices of 2026-10-02";
    assert_eq!(says(&prices, &node), told(Source::ConfigMap, matched, 0.16));

    let own = "schema = 1\n[[node]]\nmatch = { instance_type = \"c6i.xlarge\", region = \"us-east-1\" }\nhourly = 0.15\n";
    let prices = prices.with_file("prices.toml", own, false).unwrap();
    let matched = "c6i.xlarge in us-east-1, prices.toml";
    assert_eq!(says(&prices, &node), told(Source::File, matched, 0.15));

    let prices = prices.with_flag("cpu=0.03,memory=0.004", false).unwrap();
    assert_eq!(says(&prices, &node), told(Source::Flag, "--price cpu=0.03,memory=0.004", 0.152));
    let prices = prices.with_flag("c6i.xlarge=0.14", false).unwrap();
    assert_eq!(says(&prices, &node), told(Source::Flag, "c6i.xlarge, --price", 0.14));
    let prices = prices.with_flag("n1=0.13", false).unwrap();
    assert_eq!(says(&prices, &node), told(Source::Flag, "node n1, --price", 0.13));
}

#[test]
fn the_most_specific_entry_wins() {
    let prices = with(
        "[[node]]\nmatch = { instance_type = \"t9\" }\nhourly = 1\n\
         [[node]]\nmatch = { instance_type = \"t9\", region = \"r\" }\nhourly = 2\n\
         [[node]]\nmatch = { instance_type = \"t9\", region = \"r\", capacity = \"on-demand\" }\nhourly = 3\n\
         [[node]]\nmatch = { labels = { pool = \"a\" } }\nhourly = 4\n\
         [[node]]\nmatch = { labels = { pool = \"a\", zone = \"b\" } }\nhourly = 5\n\
         [[node]]\nmatch = { name = \"n9\" }\nhourly = 6\n",
    );
    let hourly = |machine: &Machine| prices.node(machine).unwrap().hourly.0;
    let mut node = machine("n1", Some("t9"), Some("q"));
    assert_eq!(hourly(&node), 1.0);
    node.region = Some("r".to_owned());
    assert_eq!(hourly(&node), 3.0);
    assert_eq!(hourly(&spot(node.clone())), 2.0 * 0.3);
    node.labels.insert("pool".to_owned(), "a".to_owned());
    assert_eq!(hourly(&node), 4.0);
    node.labels.insert("zone".to_owned(), "b".to_owned());
    assert_eq!(hourly(&node), 5.0);
    node.name = "n9".to_owned();
    assert_eq!(hourly(&node), 6.0);
}

#[test]
fn spot_is_a_share_with_a_range_unless_it_has_a_price() {
    let node = spot(aws("c6i.xlarge", "us-east-1"));
    let price = Prices::embedded().node(&node).unwrap();
    near(price.hourly.0, 0.17 * 0.41);
    let (low, high) = price.range.unwrap();
    near(low.0, 0.17 * 0.31);
    near(high.0, 0.17 * 0.49);
    assert_eq!(
        price.matched,
        "c6i.xlarge in us-east-1, AWS list price of 2026-07-06, x spot factor 0.41 (0.31 to 0.49)"
    );
    near(price.cpu.0 * 4.0 + price.memory.0 * 8.0, price.hourly.0);

    let price = Prices::embedded().node(&spot(aws("m5.large", "us-east-1"))).unwrap();
    assert_eq!(price.hourly.0, 0.04366);
    assert_eq!(price.range.unwrap().0.0, 0.096 * 0.31);
    assert!(price.matched.ends_with("2026-07-06, spot 0.04366 of 0.096"), "{}", price.matched);

    let prices =
        with("[[node]]\nmatch = { instance_type = \"c6i.xlarge\", capacity = \"spot\" }\nhourly = 0.06\n");
    let price = prices.node(&node).unwrap();
    assert_eq!((price.hourly.0, price.range), (0.06, None));
    assert_eq!(prices.node(&aws("c6i.xlarge", "us-east-1")).unwrap().source, Source::Exact);

    let prices = with("[spot_factor]\naws = [0.2, 0.3, 0.4]\n");
    near(prices.node(&node).unwrap().hourly.0, 0.17 * 0.3);
    let prices = Prices::embedded().with_flag("c6i.xlarge:spot=0.05", false).unwrap();
    assert_eq!(prices.node(&node).unwrap().hourly.0, 0.05);
    assert_eq!(prices.node(&aws("c6i.xlarge", "us-east-1")).unwrap().source, Source::Exact);
}

#[test]
fn a_discount_is_of_cores_and_memory_alone() {
    let prices = with("[cluster]\ndiscount_percent = 10\n");
    let price = prices.node(&aws("c6i.xlarge", "us-east-1")).unwrap();
    near(price.hourly.0, 0.153);
    near(price.cpu.0 * 4.0 + price.memory.0 * 8.0, 0.153);
    assert!(price.matched.ends_with(", less 10 %"), "{}", price.matched);
    // 0.95 of 1.006 are the GPU's.
    let mut node = aws("g5.xlarge", "us-east-1");
    node.gpus = 1;
    let price = prices.node(&node).unwrap();
    near(price.hourly.0, 0.95 + 0.056 * 0.9);
    near(price.gpu.0, 0.95);
    // A price on the command line is what is paid, and volumes are not discounted.
    let prices = prices.with_flag("c6i.xlarge=0.2", false).unwrap();
    assert_eq!(prices.node(&aws("c6i.xlarge", "us-east-1")).unwrap().hourly.0, 0.2);
    let storage = prices.storage(None, Some("ebs.csi.aws.com"), Some("gp3"), Provider::Aws).unwrap();
    assert_eq!(storage.value.0, 0.08);
}

#[test]
fn gpus_are_in_the_price_or_beside_it() {
    let mut node = machine("n1", Some("n1-standard-4"), Some("us-central1"));
    (node.provider, node.gpus) = (Provider::Gcp, 2);
    let price = Prices::embedded().node(&node).unwrap();
    near(price.hourly.0, 0.19 + 2.0 * 0.95);
    assert_eq!(price.source, Source::Generic);
    assert!(price.matched.ends_with("and 2 GPUs at the generic 0.95"), "{}", price.matched);
    node.instance_type = Some("g2-standard-24".to_owned());
    let price = Prices::embedded().node(&node).unwrap();
    assert_eq!(price.source, Source::Exact);
    near(price.cpu.0 * 4.0 + price.memory.0 * 8.0 + price.gpu.0 * 2.0, price.hourly.0);
}

#[test]
fn the_parts_are_the_whole_whatever_the_source() {
    let prices = with("[cluster]\ndiscount_percent = 12.5\n[generic]\ngpu_hour = 2\n");
    for (kind, gpus) in
        [("c6i.xlarge", 0), ("m5.large", 1), ("c6i.7xlarge", 0), ("p5.48xlarge", 8), ("none", 3)]
    {
        for region in ["us-east-1", "eu-west-1"] {
            for node in [aws(kind, region), spot(aws(kind, region))] {
                let node = Machine { gpus, ..node };
                let price = prices.node(&node).unwrap();
                let parts = node.cpu.at(price.cpu) + node.memory.at(price.memory) + price.gpu.times(gpus);
                near(parts.0, price.hourly.0);
                if let Some((low, high)) = price.range {
                    assert!(low <= price.hourly && price.hourly <= high, "{price:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_known_is_nothing_and_not_free() {
    let prices = Prices::embedded();
    let mut node = machine("v", None, None);
    node.labels.insert("type".to_owned(), "virtual-kubelet".to_owned());
    assert!(prices.node(&node).is_none());
    assert_eq!(node.billing(), Billing::Unknown);
    // Who names the very node knows what it is.
    let named = prices.clone().with_flag("v=0.2", false).unwrap();
    assert_eq!(named.node(&node).unwrap().hourly.0, 0.2);
    assert!(prices.clone().with_flag("cpu=0.03", false).unwrap().node(&node).is_none());

    let mut node = aws("c6i.xlarge", "us-east-1");
    node.labels.insert("eks.amazonaws.com/compute-type".to_owned(), "fargate".to_owned());
    assert!(prices.node(&node).is_none());
    assert_eq!(node.billing(), Billing::Fargate);

    let mut node = machine("n", None, None);
    (node.cpu.0, node.memory.0) = (0, 0);
    assert!(prices.node(&node).is_none());
    // OpenCost's 0 is "I do not know".
    let nodes = BTreeMap::from([("n1".to_owned(), Quote::Whole(Hourly(0.0)))]);
    let prices = prices.with_opencost(nodes, None).unwrap();
    assert_eq!(prices.node(&machine("n1", None, None)).unwrap().source, Source::Generic);
}

#[test]
fn a_type_of_no_cloud_needs_its_region() {
    let source =
        |kind: &str, region| Prices::embedded().node(&machine("n", Some(kind), region)).unwrap().source;
    assert_eq!(source("c6i.xlarge", Some("us-east-1")), Source::Exact);
    // OpenStack's.
    assert_eq!(source("m1.large", Some("RegionOne")), Source::Generic);
    assert_eq!(source("m1.large", None), Source::Generic);
}

#[test]
fn volumes_by_class_then_driver_then_cloud() {
    let prices = with("[[storage_class]]\nname = \"fast\"\ngib_month = 0.2\n");
    let of = |class, provisioner, kind, provider| {
        let found = prices.storage(class, provisioner, kind, provider).unwrap();
        (found.value.0, found.source, found.matched)
    };
    use Provider::{Aws, Other};
    let told = |value, source, matched: &str| (value, source, matched.to_owned());
    let ebs = Some("ebs.csi.aws.com");
    assert_eq!(
        of(Some("fast"), ebs, Some("gp3"), Aws),
        told(0.2, Source::File, "storage fast, prices.toml of 2026-10-01")
    );
    assert_eq!(
        of(Some("x"), ebs, Some("gp2"), Aws),
        told(0.1, Source::Exact, "storage gp2, kai's list of 2026-11-01")
    );
    assert_eq!(of(None, Some("kubernetes.io/aws-ebs"), Some("st1"), Aws).0, 0.045);
    assert_eq!(of(None, None, None, Aws).0, 0.08);
    assert_eq!(of(None, ebs, Some("io9"), Aws).1, Source::Generic);
    let matched = "storage at the generic rate, kai's list of 2026-11-01";
    let local = Some("rancher.io/local-path");
    assert_eq!(of(Some("standard"), local, None, Other), told(0.04, Source::Generic, matched));
}

#[test]
fn load_balancers_and_control_planes() {
    let prices = Prices::embedded();
    assert_eq!(prices.load_balancer(Provider::Aws).unwrap().value.0, 0.0225);
    let kind = prices.load_balancer(Provider::Other).unwrap();
    assert_eq!((kind.value.0, kind.source), (0.025, Source::Generic));
    let eks = prices.control_plane(Provider::Aws, true).unwrap();
    assert_eq!((eks.value.0, eks.matched.as_str()), (0.1, "control plane of aws, kai's list of 2026-11-01"));
    assert!(prices.control_plane(Provider::Aws, false).is_none());
    assert!(prices.control_plane(Provider::Other, true).is_none());
    let prices = with("[cluster]\ncontrol_plane_hour = 0.6\n[load_balancer]\naws_hour = 0.03\n");
    assert_eq!(prices.control_plane(Provider::Other, false).unwrap().value.0, 0.6);
    assert_eq!(prices.load_balancer(Provider::Aws).unwrap().source, Source::File);
    let prices = prices.with_flag("lb=0,control-plane=0", false).unwrap();
    assert_eq!(prices.load_balancer(Provider::Aws).unwrap().value.0, 0.0);
    let autopilot = prices.pods(Billing::Autopilot).unwrap();
    assert_eq!((autopilot.source, autopilot.value.cpu.0), (Source::Generic, 0.0445));
}

#[test]
fn fargate_rounds_a_pod_up() {
    let size = |cpu, mib: i64| {
        fargate_size(Millicores(cpu), Bytes(mib << 20)).map(|(cpu, memory)| (cpu.0, memory.gib()))
    };
    assert_eq!(size(250, 256), Some((250, 0.5)));
    assert_eq!(size(250, 512), Some((250, 1.0)));
    assert_eq!(size(250, 1024), Some((250, 2.0)));
    assert_eq!(size(250, 2048), Some((500, 3.0)));
    assert_eq!(size(300, 0), Some((500, 1.0)));
    assert_eq!(size(0, 0), Some((250, 0.5)));
    assert_eq!(size(1000, 7 << 10), Some((1000, 8.0)));
    assert_eq!(size(6000, 18 << 10), Some((8000, 20.0)));
    assert_eq!(size(16000, 200 << 10), None);
}

#[test]
fn old_prices_are_told() {
    let today = date(2026, 11, 21);
    let prices = Prices::embedded();
    assert_eq!(prices.stale_for(today, &[Provider::Aws, Provider::Azure]), [""; 0]);
    assert_eq!(
        prices.stale(today),
        [
            "the Google Cloud list prices are of 2024-02-01, 1024 days old: give kai your prices in a file, or a newer kai"
        ]
    );
    let aws = prices.stale_for(date(2027, 1, 10), &[Provider::Aws]);
    assert!(aws[0].starts_with("the AWS list prices are of 2026-06-15"), "{aws:?}");
    assert_eq!(prices.stale_for(date(2027, 4, 30), &[]), [""; 0]);
    assert_eq!(prices.stale_for(date(2027, 5, 1), &[]).len(), 1);

    let prices = prices.with_file("old.toml", "schema = 1\nas_of = \"2026-01-01\"\n", false).unwrap();
    let prices = prices.with_config_map("kai-prices", "schema = 1\n", false).unwrap();
    assert_eq!(
        prices.stale_for(today, &[]),
        [
            "the prices of old.toml are of 2026-01-01, 324 days old: check them and set as_of",
            "the prices of kai-prices have no date (as_of): nobody can tell how old they are"
        ]
    );
}

#[test]
fn another_currency_is_converted() {
    let text = "schema = 1\ncurrency = \"EUR\"\nfx_to_usd = 1.1\nfx_date = \"2026-11-01\"\n\
                [generic]\ncpu_core_hour = 0.02\nmem_gib_hour = 0.003\n";
    let prices = Prices::embedded().with_file("eu.toml", text, false).unwrap();
    let price = prices.node(&machine("n", None, None)).unwrap();
    near(price.cpu.0, 0.022);
    assert_eq!((price.source, price.matched.as_str()), (Source::File, "generic rates, eu.toml"));
}
