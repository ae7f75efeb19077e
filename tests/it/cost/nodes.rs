//! What a node says of itself decides its price and its room: a type of AWS, Fargate, less allocatable, a virtual node.

use serde_json::json;

use super::site::{Machine, Site, has, near};
use crate::support::has_real_kubelets;

#[test]
fn a_type_of_aws_has_its_list_price() {
    if has_real_kubelets() {
        return;
    }
    let labels = json!({"node.kubernetes.io/instance-type": "c6i.xlarge", "topology.kubernetes.io/region": "us-east-1"});
    let machine = Machine { labels, provider: "aws:///us-east-1a/i-0123", ..Machine::default() };
    let site = Site::todo("costaws", machine);
    // 0.17 an hour: a GiB is 0.17 / (4 x 7.461854 + 8) = 0.00449172, a core 7.461854 times that; a pod is
    // (0.25 x 0.03351656 + 0.25 x 0.00449172) x 730.
    let found = site.figures(&[]);
    near(&found["prices"]["nodes"][0]["hourly"], 0.17);
    assert_eq!(found["prices"]["source"], "embedded:exact");
    assert_eq!(found["confidence"], "medium");
    near(&found["items"][0]["per_pod"]["month"], 6.936511);
    near(&found["totals"]["reserved"]["now"], 41.619067);
    has(&site.cost(&[]).ends(0).stdout, &["deployment/backend 2 500m 512Mi 13.87", "list prices of"]);
    // The machine is 124.10; EKS charges 73 for the control plane.
    let all = site.figures(&["cluster"]);
    near(&all["totals"]["machines"], 124.10);
    near(&all["totals"]["control_plane"], 73.0);
    near(&all["totals"]["cluster"], 197.10);
    has(
        &site.preview("scale backend to 3"),
        &["reserved +6.94 USD/month (13.87 → 20.81, +50%)", "bill 0.00: fits"],
    );
    near(&site.figures(&["--change", "scale backend to 9"])["delta"]["bill"]["with_autoscaler"], 124.10);
}

#[test]
fn on_fargate_a_replica_more_is_on_the_bill() {
    if has_real_kubelets() {
        return;
    }
    let labels =
        json!({"eks.amazonaws.com/compute-type": "fargate", "topology.kubernetes.io/region": "us-east-1"});
    let machine = Machine { labels, provider: "aws:///fargate", ..Machine::default() };
    let site = Site::todo("costfargate", machine);
    // 250m and 256 + 256 MiB are the size of 0.25 vCPU and 0.5 GB: 0.25 x 0.04048 + 0.5 x 0.004445 = 0.0123425 an hour.
    let found = site.figures(&[]);
    near(&found["items"][0]["per_pod"]["month"], 9.010025);
    near(&found["totals"]["reserved"]["now"], 54.060150);
    near(&found["totals"]["billed_by_pod"], 54.060150);
    let up = site.figures(&["--change", "scale backend to 3"]);
    near(&up["delta"]["reserved"], 9.010025);
    near(&up["delta"]["bill"]["now"], 9.010025);
    near(&up["delta"]["bill"]["with_autoscaler"], 9.010025);
    let down = site.figures(&["--change", "scale backend to 1"]);
    near(&down["delta"]["bill"]["now"], -9.010025);
    near(&down["delta"]["bill"]["with_autoscaler"], -9.010025);
    let said = site.preview("scale backend to 3");
    has(&said, &["reserved +9.01 USD/month (18.02 → 27.03, +50%)", "bill +9.01: pods are billed one by one"]);
    // The node has no price because its pods have one: that is no gap in what is known.
    assert!(!said.contains("no known price") && !said.contains("no price"), "{said}");
    assert!(!found["reasons"].to_string().contains("no known price"), "{}", found["reasons"]);
    // What is paid: seven pods and the control plane; the system's pod of 950m and 290 + 256 MiB is 1 vCPU and 2 GB.
    let all = site.figures(&["cluster"]);
    near(&all["totals"]["machines"], 0.0);
    near(&all["totals"]["cluster"], 54.060150 + (0.04048 + 2.0 * 0.004445) * 730.0 + 73.0);
}

#[test]
fn what_is_allocatable_decides_what_fits() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costroom", Machine { allocatable: "3920m", ..Machine::default() });
    // 3920m - 950m - 11 x 250m = 220m: eleven todo pods fit, the twelfth does not. The price is for all 4 cores.
    near(&site.figures(&[])["items"][0]["per_pod"]["month"], 4.513955);
    let fit = |to: u32| {
        site.figures(&["--change", &format!("scale backend to {to}")])["delta"]["fit"]["pending"].clone()
    };
    assert_eq!((fit(7), fit(8)), (json!(0), json!(1)));
    has(
        &site.preview("scale backend to 8"),
        &["1 pod would stay Pending on the nodes you have (3.70 of 3.92 vCPU"],
    );
    near(&site.figures(&["cluster"])["totals"]["machines"], 80.758440);
}

#[test]
fn pods_on_a_virtual_node_are_unknown_and_never_free() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::new(
        "costvirtual",
        &[Machine { labels: json!({"type": "virtual-kubelet"}), ..Machine::default() }],
    );
    site.deploy("backend", 2, "250m", "256Mi", &json!({}));
    site.world.settle("backend");
    let found = site.figures(&[]);
    let item = &found["items"][0];
    assert!(
        item["allocated"].is_null() && item["reserved"]["now"].is_null() && item["cpu"].is_null(),
        "{item}"
    );
    assert!(found["totals"]["reserved"]["now"].is_null(), "{found}");
    assert!(found["prices"]["nodes"][0]["hourly"].is_null());
    assert_eq!(found["prices"]["nodes"][0]["matched"], "no price is known");
    assert_eq!(found["confidence"], "low");
    let table = site.cost(&[]).ends(0).stdout;
    has(
        &table,
        &["deployment/backend 2 500m 512Mi unknown", "reserved unknown", "some nodes have no known price"],
    );
    assert!(!table.contains("0.00"), "{table}");
    let said = site.preview("scale backend to 3");
    has(
        &said,
        &["reserved unknown: deployment/backend: its pods run where no price is known", "bill unknown"],
    );
    assert!(!said.contains("0.00"), "{said}");
    let change = site.figures(&["--change", "scale backend to 3"]);
    assert!(change["delta"]["reserved"].is_null() && change["delta"]["bill"]["now"].is_null(), "{change}");
    // What is not known is not below a limit, whatever the limit is.
    site.cost(&["--fail-above", "1000000"]).ends(2).says("not known");
    site.cost(&["--change", "scale backend to 3", "--fail-above", "1000000"]).ends(2).says("not known");
    let csv = site.cost(&["-o", "csv"]).ends(0).stdout;
    assert!(csv.lines().nth(1).unwrap().ends_with(",2,0.5,0.5,0,,,,,0,0,,,"), "{csv}");
}
