//! Prices that are given: by file, by flag, by the cluster; and one mistake in them stops the answer, not the change.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use kai_evals::proxy::Action;
use serde_json::{Value, json};

use super::site::{Machine, Site, apart, flat, has, near};
use crate::support::{Out, has_real_kubelets, kubectl, run};

const POD: f64 = 4.513955;

/// A node with `backend`, two pods of 250m and 256Mi.
fn site(name: &str) -> Site {
    let site = Site::new(name, &[Machine::default()]);
    site.deploy("backend", 2, "250m", "256Mi", &json!({}));
    site.world.settle("backend");
    site
}

fn file(site: &Site, name: &str, text: &str) -> String {
    let path = site.world.home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// kai with a price file in the environment.
fn with_file(site: &Site, path: &str, arguments: &[&str]) -> Out {
    run(site.world.command().env("KAI_PRICES", path).args(arguments))
}

#[test]
fn a_file_with_one_mistake_is_no_price_list() {
    if has_real_kubelets() {
        return;
    }
    let site = site("costfiles");
    for (name, text, says) in [
        (
            "unit.toml",
            "schema = 1\n[generic]\ncpu_core_month = 15.92203\n",
            "unit.toml:3: [generic] cpu_core_month has the wrong unit",
        ),
        (
            "negative.toml",
            "schema = 1\n\n[generic]\ncpu_core_hour = -0.02\n",
            "negative.toml:4: [generic] cpu_core_hour is negative",
        ),
        (
            "nan.toml",
            "schema = 1\n[generic]\nmem_gib_hour = nan\n",
            "nan.toml:3: [generic] mem_gib_hour is NaN",
        ),
        (
            "key.toml",
            "schema = 1\n[generic]\ncpu_cor_hour = 0.02\n",
            "key.toml:3: [generic] cpu_cor_hour is not a key that kai knows here; did you mean cpu_core_hour?",
        ),
        (
            "far.toml",
            "schema = 1\n[generic]\ncpu_core_hour = 1\n",
            "far.toml:3: [generic] cpu_core_hour = 1 is 46 times the generic rate",
        ),
        (
            "euro.toml",
            "schema = 1\ncurrency = \"EUR\"\n",
            "euro.toml:2: currency = \"EUR\" needs fx_to_usd and fx_date",
        ),
        ("broken.toml", "schema = 1\n[generic\n", "broken.toml:2: is not TOML"),
    ] {
        let path = file(&site, name, text);
        for out in [site.cost(&["--prices", &path]), with_file(&site, &path, &["cost"])] {
            let out = out.ends(2);
            has(&out.stderr, &[says]);
            // Nothing is told by other prices instead.
            assert!(out.stdout.is_empty(), "{}", out.stdout);
        }
        has(&with_file(&site, &path, &["prices", "check", &path]).ends(2).stderr, &[says]);
        // A change is what it is, whatever it costs.
        let said = flat(&with_file(&site, &path, &["--dry-run", "scale backend to 3"]).ends(0).all());
        has(&said, &["cost unknown:", says]);
        assert!(!said.contains("reserved"), "{said}");
    }
    let missing = site.world.home.path().join("nowhere.toml").display().to_string();
    has(&site.cost(&["--prices", &missing]).ends(2).stderr, &["nowhere.toml cannot be read"]);
    has(&with_file(&site, &missing, &["cost"]).ends(2).stderr, &["nowhere.toml cannot be read"]);
    let bad = site.world.home.path().join("negative.toml").display().to_string();
    let done = with_file(&site, &bad, &["--yes", "scale backend to 3"]).ends(0).all();
    has(&done, &["cost unknown:", "negative.toml:4:"]);
    assert_eq!(site.world.replicas(), 3);
}

#[test]
fn prices_of_files_and_flags_are_used_and_named() {
    if has_real_kubelets() {
        return;
    }
    let site = site("costgiven");
    // Twice the node's price, split as before: 0.221256 = 2 x 0.110628.
    let text = format!(
        "schema = 1\nas_of = \"2026-11-02\"\n[[node]]\nmatch = {{ name = \"{}\" }}\nhourly = 0.221256\n",
        site.first()
    );
    let path = file(&site, "prices.toml", &text);
    let pod = |found: &Value| found["items"][0]["per_pod"]["month"].clone();
    let twice = site.figures(&["--prices", &path]);
    near(&pod(&twice), 2.0 * POD);
    assert_eq!(
        (&twice["prices"]["source"], &twice["prices"]["as_of"]),
        (&json!("file"), &json!("2026-11-02"))
    );
    has(&with_file(&site, &path, &["cost"]).ends(0).stdout, &["18.06", "prices of your file of 2026-11-02"]);
    has(
        &with_file(&site, &path, &["--dry-run", "scale backend to 3"]).ends(0).all(),
        &["reserved +9.03 USD/month"],
    );
    has(
        &with_file(&site, &path, &["prices", "check", &path]).ends(0).stdout,
        &["is a price file that kai can use"],
    );
    // Beside the configuration it is found by itself; a flag is nearer.
    let config = site.world.home.path().join(".config/kai");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::copy(&path, config.join("prices.toml")).unwrap();
    near(&pod(&site.figures(&[])), 2.0 * POD);
    let flags = site.figures(&["--price", "cpu=0.065433,memory=0.008769"]);
    near(&pod(&flags), 3.0 * POD);
    assert_eq!(flags["prices"]["source"], "flag");
    std::fs::remove_file(config.join("prices.toml")).unwrap();
    near(&pod(&site.figures(&["--price", &format!("{}=0.221256", site.first())])), 2.0 * POD);
    for (flag, says) in [
        ("cpu=-1", "--price: cpu = -1 is no price"),
        ("cpu=NaN", "--price: cpu = NaN is no price"),
        ("0.17", "--price: 0.17 is not WHAT=USD"),
        ("cpu=1", "--price: cpu = 1 is 46 times the generic rate"),
    ] {
        let out = site.cost(&["--price", flag]).ends(2);
        has(&out.stderr, &[says]);
        assert!(out.stdout.is_empty(), "{}", out.stdout);
    }
    // Far from the usual, and meant: 0.25 x 1 x 730 + 0.533448.
    near(&pod(&site.figures(&["--price", "cpu=1", "--force-price"])), 183.033448);
    let far = file(&site, "far.toml", "schema = 1\n[generic]\ncpu_core_hour = 1\n");
    near(&pod(&site.figures(&["--prices", &far, "--force-price"])), 183.033448);
    // Euros with their rate: 0.2 EUR are 0.22 USD for the node, of which a pod is (0.25 x 7.461854 + 0.25) parts of 37.847417.
    let euro = format!(
        "schema = 1\ncurrency = \"EUR\"\nfx_to_usd = 1.1\nfx_date = 2026-11-01\n[[node]]\nmatch = {{ name = \"{}\" }}\nhourly = 0.2\n",
        site.first()
    );
    let euros = site.figures(&["--prices", &file(&site, "euro.toml", &euro)]);
    near(&pod(&euros), POD * 0.22 / 0.110628 - 0.0);
    assert_eq!(euros["currency"], "USD");
}

/// The team's prices are of the cluster, which all tests share: this one names its own node alone, and nobody else runs there.
struct Team {
    namespace: bool,
}

impl Team {
    fn new() -> Self {
        let there = kubectl(&["get", "namespace", "kai", "--ignore-not-found", "-o", "name"]);
        if there.trim().is_empty() {
            kubectl(&["create", "namespace", "kai"]);
        }
        Self { namespace: there.trim().is_empty() }
    }

    fn says(&self, folder: &Path, text: &str) {
        let path = folder.join("configmap.json");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kai-prices", "namespace": "kai"}, "data": {"prices.toml": text}});
        std::fs::write(&path, map.to_string()).unwrap();
        kubectl(&["apply", "-f", path.to_str().unwrap()]);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        let gone = |arguments: &[&str]| {
            let _ = catch_unwind(AssertUnwindSafe(|| kubectl(arguments)));
        };
        gone(&["-n", "kai", "delete", "configmap", "kai-prices", "--ignore-not-found"]);
        if self.namespace {
            gone(&["delete", "namespace", "kai", "--wait=false"]);
        }
    }
}

#[test]
fn the_teams_prices_are_a_configmap() {
    if has_real_kubelets() {
        return;
    }
    let site = site("costteam");
    let only = format!("labelSelector=only%3D{}", site.world.namespace);
    site.world
        .proxy
        .hook(move |r| if r.path.contains("configmaps") { Action::Forward } else { apart(r, &only) });
    let team = Team::new();
    let node = |hourly: &str| {
        format!(
            "schema = 1\nas_of = \"2026-11-03\"\n[[node]]\nmatch = {{ name = \"{}\" }}\nhourly = {hourly}\n",
            site.first()
        )
    };
    team.says(site.world.home.path(), &node("0.221256"));
    let found = site.figures(&[]);
    near(&found["items"][0]["per_pod"]["month"], 2.0 * POD);
    assert_eq!(found["prices"]["source"], "config_map");
    has(
        &site.preview("scale backend to 3"),
        &["reserved +9.03 USD/month", "prices of ConfigMap kai-prices of 2026-11-03"],
    );
    // A person's own prices are nearer.
    near(&site.figures(&["--price", "cpu=0.021811,memory=0.002923"])["items"][0]["per_pod"]["month"], POD);
    team.says(site.world.home.path(), &node("-1"));
    let where_it_is = "configmap/kai-prices in namespace kai, prices.toml:5: [[node]] hourly is negative";
    let out = site.cost(&[]);
    assert_ne!(out.code, Some(0), "{}", out.all());
    has(&out.stderr, &[where_it_is]);
    assert!(out.stdout.is_empty(), "{}", out.stdout);
    has(&site.preview("scale backend to 3"), &["cost unknown:", where_it_is]);
    drop(team);
    near(&site.figures(&[])["items"][0]["per_pod"]["month"], POD);
}
