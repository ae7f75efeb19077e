//! Limits on what a change may cost, and the forms in which figures come out.

use std::process::Command;

use serde_json::json;

use super::site::{Machine, Site, TODO, has, near};
use crate::support::{Person, has_real_kubelets, run};

#[test]
fn what_costs_more_than_the_policy_allows_waits_for_a_person() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::new("costpolicy", &[Machine::default()]);
    site.deploy("backend", 2, "250m", "256Mi", &json!({}));
    site.world.settle("backend");
    let config = site.world.home.path().join(".config/kai");
    std::fs::create_dir_all(&config).unwrap();
    let limit = |usd: &str| {
        std::fs::write(config.join("config.toml"), format!("[policy.cost]\nconfirm_above = {usd}\n"))
            .unwrap();
    };
    // A pod more is 4.51.
    limit("3");
    let out = site.world.kai(&["--yes", "scale backend to 3"]).ends(3);
    has(&out.all(), &["it costs 4.51 USD/month more; policy asks above 3.00"]);
    site.world.nothing_was_written();
    assert_eq!(site.world.replicas(), 2);
    // A price that is not known is above every limit.
    let bad = site.world.home.path().join("bad.toml");
    std::fs::write(&bad, "schema = 2\n").unwrap();
    limit("100");
    let out = run(site.world.command().env("KAI_PRICES", &bad).args(["--yes", "scale backend to 3"])).ends(3);
    has(&out.all(), &["what it costs is not known; policy asks above 100.00"]);
    site.world.nothing_was_written();
    // It is the larger of what is reserved and of the bill: 15 pods are 67.71, one node more 80.76.
    limit("70");
    let out = site.world.kai(&["--yes", "scale backend to 17"]).ends(3);
    has(&out.all(), &["it costs 80.76 USD/month more; policy asks above 70.00"]);
    limit("100");
    site.world.kai(&["--yes", "scale backend to 3"]).ends(0);
    assert_eq!(site.world.replicas(), 3);
    // What gets cheaper asks nobody.
    limit("0");
    site.world.kai(&["--yes", "scale backend to 1"]).ends(0);
    assert_eq!(site.world.replicas(), 1);
}

#[test]
fn fail_above_is_for_pipelines() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costlimit", Machine::default());
    for (arguments, code, says) in [
        // todo-app is 27.083730.
        (&["--fail-above", "27"][..], 2, "it costs 27.08 USD/month: above the limit of 27.00"),
        (&["--fail-above", "27.09"], 0, "27.08"),
        (&["cluster", "--fail-above", "80"], 2, "it costs 80.76 USD/month"),
        (&["cluster", "--fail-above", "81"], 0, "80.76"),
        (
            &["--change", "scale backend to 3", "--fail-above", "4.5"],
            2,
            "the change costs 4.51 USD/month: above the limit of 4.50",
        ),
        (&["--change", "scale backend to 3", "--fail-above", "4.52"], 0, "+4.51"),
        // 31.60 reserved, and a node of 80.76 on the bill.
        (&["--change", "scale backend to 9", "--fail-above", "32"], 2, "the change costs 80.76 USD/month"),
        (&["--change", "scale backend to 9", "--fail-above", "81"], 0, "+31.60"),
        (&["--change", "scale backend to 1", "--fail-above", "0"], 0, "-4.51"),
    ] {
        let out = site.cost(arguments).ends(code);
        has(&out.all(), &[says]);
        // The figures are there in either case.
        has(&out.stdout, &["Not counted"]);
    }
}

/// kai in a terminal of so many columns, once a line is typed: only then nobody else sets its size any more.
fn narrow(site: &Site, columns: u16, arguments: &[&str]) -> Command {
    let kai = site.world.command();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "read -r go; stty cols \"$1\"; shift; exec \"$@\"", "sh", &columns.to_string()])
        .arg(kai.get_program())
        .args(arguments);
    shell.envs(kai.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn csv_markdown_and_narrow_terminals() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costforms", Machine::default());
    site.deploy(
        &format!("a-{}", "very-long-name-".repeat(3).trim_end_matches('-')),
        1,
        "10m",
        "16Mi",
        &json!({}),
    );
    let out = site.cost(&["-o", "csv"]).ends(0).stdout;
    let mut rows = csv::Reader::from_reader(out.as_bytes());
    let names = rows.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("{name}: {names:?}"));
    let (reserved, most, kind, waste) = (at("reserved"), at("reserved_max"), at("kind"), at("waste"));
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), TODO.len() + 1);
    assert!(rows.iter().all(|r| &r[kind] == "Deployment" && r[waste].is_empty()), "{out}");
    let sum = |column: usize| -> f64 { rows.iter().map(|r| r[column].parse::<f64>().unwrap()).sum() };
    // The long one is 0.01 x 15.92203 + 0.015625 x 2.13379 = 0.192561.
    near(&((sum(reserved) * 1e6).round() / 1e6).into(), 27.083730 + 0.192561);
    near(&((sum(most) * 1e6).round() / 1e6).into(), 67.709325 + 0.192561);
    let change = site.cost(&["--change", "scale backend to 3", "-o", "csv"]).ends(0).stdout;
    let row = change.lines().nth(1).unwrap();
    assert!(row.ends_with(",backend,2,3,9.02791,13.541865"), "{change}");

    let marked = site.cost(&["-o", "markdown"]).ends(0).stdout;
    assert!(marked.lines().any(|l| l.starts_with("| ---") || l.starts_with("|---")), "{marked}");
    let row = marked.lines().find(|l| l.contains("deployment/backend")).unwrap_or_else(|| panic!("{marked}"));
    assert!(row.starts_with('|') && row.ends_with('|') && row.contains("9.03"), "{row}");
    let yaml = site.cost(&["-o", "yaml"]).ends(0).stdout;
    assert!(yaml.contains("schema: kai.cost/v1"), "{yaml}");

    for columns in [60, 80] {
        for arguments in [
            &["cost"][..],
            &["cost", "cluster"],
            &["cost", "cluster", "--by", "pod"],
            &["cost", "--change", "scale backend to 9"],
        ] {
            let mut person = Person::at(narrow(&site, columns, arguments));
            person.sends("\n");
            let screen = person.ends(0);
            let rows: Vec<&str> = screen.lines().map(|l| l.trim_end_matches('\r')).collect();
            let figures = rows.iter().filter(|l| l.starts_with("deployment/") || l.starts_with("backend-"));
            for row in figures.clone() {
                assert!(row.chars().count() <= usize::from(columns), "{columns}: {row}");
                // The figure is on the same line as the name.
                assert!(row.contains('.'), "{columns}: {row}");
            }
            if !arguments.contains(&"--change") && !arguments.contains(&"cluster") {
                assert_eq!(figures.count(), TODO.len() + 1, "{screen}");
                assert!(
                    rows.iter().any(|l| l.starts_with("deployment/backend") && l.contains("9.03")),
                    "{screen}"
                );
            }
        }
    }
}
