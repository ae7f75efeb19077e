//! The worked example on real objects: one node of 4 cores and 8 GiB at the generic rates (0.021811 a core and hour, 0.002923 a
//! GiB and hour, 730 hours a month), 950m and 290Mi of the system's, todo-app's six pods of 250m and 256Mi.

use kai_evals::proxy::Recorded;
use serde_json::Value;

use super::site::{Machine, Site, TODO, flat, has, near};
use crate::support::has_real_kubelets;

/// A pod: 0.25 cores x 0.021811 x 730 = 3.980508 and 0.25 GiB x 0.002923 x 730 = 0.533448.
const POD: f64 = 4.513955;
/// The node: (4 x 0.021811 + 8 x 0.002923) x 730.
const NODE: f64 = 80.758440;

#[test]
fn a_namespace_its_autoscalers_and_its_part_of_what_is_idle() {
    if has_real_kubelets() {
        return; // The node is a simulated one.
    }
    let site = Site::todo("costf1", Machine::default());
    let found = site.figures(&[]);
    assert_eq!((&found["schema"], &found["currency"]), (&"kai.cost/v1".into(), &"USD".into()));
    assert_eq!(found["hours_per_month"], 730.0);
    assert_eq!(found["scope"]["namespace"], site.world.namespace);
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    for item in found["items"].as_array().unwrap() {
        assert!(TODO.contains(&item["name"].as_str().unwrap()), "{item}");
        near(&item["per_pod"]["month"], POD);
        near(&item["reserved"]["now"], 2.0 * POD);
        near(&item["reserved"]["min"], 2.0 * POD);
        near(&item["reserved"]["max"], 5.0 * POD);
        near(&item["cpu"], 7.961015);
        assert_eq!((item["replicas"]["min"].as_i64(), item["replicas"]["max"].as_i64()), (Some(2), Some(5)));
        // Nothing measures here: no waste, no efficiency, and no 0 in their place.
        assert!(item["waste"].is_null() && item["efficiency"].is_null(), "{item}");
    }
    let totals = &found["totals"];
    near(&totals["reserved"]["now"], 27.083730);
    near(&totals["reserved"]["min"], 27.083730);
    near(&totals["reserved"]["max"], 67.709325);
    // The node less todo-app's 27.083730 and the system's 15.730224, of which CPU is 24.6791465.
    near(&found["idle"]["month"], 37.944486);
    near(&found["idle"]["cpu"], 24.6791465);
    near(&found["idle"]["mem"], 13.265339);
    assert!((found["idle"]["percent"].as_f64().unwrap() - 46.985).abs() < 0.001);
    // With its part of what is idle, by what each resource costs it, todo-app is 53.351988.
    near(&totals["idle_share"], 53.351988 - 27.083730);
    near(&found["prices"]["nodes"][0]["hourly"], 0.110628);
    assert_eq!(found["prices"]["source"], "embedded:generic");
    assert_eq!((&found["confidence"], &found["basis"]), (&"low".into(), &"requests".into()));
    // All at their most: 9 pods more, of which 3 find no room beside the other 12.
    near(&found["at_max"]["reserved"], 40.625595);
    near(&found["at_max"]["bill"]["with_autoscaler"], NODE);
    near(&found["at_max"]["bill"]["now"], 0.0);
    assert_eq!(found["at_max"]["fit"]["pending"], 3);

    let table = site.cost(&[]).ends(0);
    has(
        &table.stdout,
        &[
            "deployment/backend 2 500m 512Mi 9.03 9.03–22.57",
            "reserved 27.08 27.08–67.71 as autoscaled",
            "share of idle 26.27 47% of the nodes is idle",
            "3 of 15 pods would not fit; with a node autoscaler one more node = +80.76",
            "this cluster has no metrics-server",
            "generic rates of 2026-11-01; by requests; confidence low: no cloud price for these nodes",
            "Not counted: traffic",
        ],
    );

    // The whole of what kai sees: the machine, by namespace.
    let all = site.figures(&["cluster"]);
    near(&all["totals"]["machines"], NODE);
    near(&all["totals"]["cluster"], NODE);
    let part = |name: &str, of: &str| -> f64 {
        let items = all["items"].as_array().unwrap();
        items.iter().find(|i| i["name"] == name).unwrap_or_else(|| panic!("{name}: {all}"))[of]
            .as_f64()
            .unwrap()
    };
    let (todo, system) = (site.world.namespace.clone(), site.system());
    near(&part(&system, "allocated").into(), 15.730224);
    near(&(part(&todo, "allocated") + part(&todo, "idle_share")).into(), 53.351988);
    // 27.406452: each of the two parts is rounded by itself.
    near(&(part(&system, "allocated") + part(&system, "idle_share")).into(), 27.4064515);

    one_workload_and_a_change_that_is_not_made(&site);
}

fn one_workload_and_a_change_that_is_not_made(site: &Site) {
    let one = site.figures(&["backend"]);
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    near(&one["totals"]["reserved"]["now"], 2.0 * POD);
    site.world.kai(&["cost", "bakend"]).ends(1).says("there is no workload `bakend`").says("backend");
    // 9 - 2 = 7 pods more; beside kube-system's 950m and six pods, six fit (3.95 of 4 cores).
    let nine = site.figures(&["--change", "scale backend to 9"]);
    near(&nine["delta"]["reserved"], 31.597685);
    near(&nine["delta"]["before"], 9.027910);
    near(&nine["delta"]["after"], 40.625595);
    near(&nine["delta"]["bill"]["now"], 0.0);
    near(&nine["delta"]["bill"]["with_autoscaler"], NODE);
    let fit = &nine["delta"]["fit"];
    assert_eq!(
        (fit["placed"].as_i64(), fit["pending"].as_i64(), fit["nodes_added"].as_i64()),
        (Some(6), Some(1), Some(1))
    );
    assert_eq!(fit["binding"], "cpu");
    near(&fit["cpu_requested"], 3.95);
    let said = site.cost(&["--change", "scale backend to 9"]).ends(0).all();
    has(
        &said,
        &[
            "+31.60 USD/month (9.03 → 40.63, +350%)",
            "1 pod would stay Pending on the nodes you have (3.95 of 4.00 vCPU",
            "with a node autoscaler one more node = +80.76",
            "hpa/backend (2–5) takes 9 back",
        ],
    );
    // 8 is the last that fits.
    let eight = site.figures(&["--change", "scale backend to 8"]);
    near(&eight["delta"]["reserved"], 27.083730);
    assert_eq!(eight["delta"]["fit"]["pending"], 0);
    near(&eight["delta"]["bill"]["with_autoscaler"], 0.0);
    // Of what is asked about in words, nothing is sent, not even as a dry run.
    assert!(site.world.proxy.requests().iter().all(|r| r.is_read() || r.is_self_review()));
    assert_eq!(site.world.replicas(), 2);
}

#[test]
fn previews_say_what_is_reserved_and_what_the_bill_becomes() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costchange", Machine::default());
    let three = site.preview("scale backend to 3");
    has(
        &three,
        &[
            // One pod more: 13.541865 of 9.02791.
            "reserved +4.51 USD/month (9.03 → 13.54, +50%): CPU +3.98, memory +0.53",
            // 0.95 + 7 x 0.25 = 2.70 cores; 290 + 7 x 256 = 2082 MiB.
            "0.00: fits on the nodes you have (2.70 of 4.00 vCPU, 2.03 of 8.00 GiB requested)",
            "autoscaled: reserved 9.03 at the fewest replicas, 22.57 at the most",
            "confidence low: no cloud price for these nodes",
        ],
    );
    // Two pods with 0.25 cores more: 2 x 3.9805075.
    let larger = site.preview("set the cpu request of backend to 500m");
    has(
        &larger,
        &[
            "reserved +7.96 USD/month (9.03 → 16.99, +88%): CPU +7.96",
            "0.00: fits on the nodes you have (2.95 of 4.00 vCPU",
        ],
    );
    let image = site.preview("update backend to nginx:1.28");
    has(&image, &["unchanged: the same replicas with the same requests"]);
    // All six pods go, and the node stays: kube-system's stand-in is on it.
    let gone = site.figures(&["--change", &format!("delete namespace {}", site.world.namespace)]);
    near(&gone["delta"]["reserved"], -27.083730);
    near(&gone["delta"]["bill"]["now"], 0.0);
    near(&gone["delta"]["bill"]["with_autoscaler"], 0.0);
    let one = site.preview("delete deployment backend");
    has(&one, &["reserved -9.03 USD/month (9.03 → 0.00, -100%)", "0.00: the nodes stay (1.95 of 4.00 vCPU"]);
    site.world.nothing_was_written();
    assert_eq!(site.world.replicas(), 2);
}

/// A pod that asks for more while it starts, and one with a sidecar: what the scheduler keeps free is what it costs.
#[test]
fn what_a_pod_needs_to_start_is_kept_free_for_life() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::new("costinit", &[Machine::default()]);
    let requests = |cpu: &str, memory: &str| serde_json::json!({"requests": {"cpu": cpu, "memory": memory}});
    let init = serde_json::json!({"initContainers": [
        {"name": "side", "image": "nginx:1.27", "restartPolicy": "Always", "resources": requests("50m", "64Mi")},
        {"name": "first", "image": "nginx:1.27", "resources": requests("600m", "128Mi")}]});
    site.deploy("starts", 1, "250m", "256Mi", &init);
    site.world.settle("starts");
    // max(250 + 50, 600 + 50) = 650m; max(256 + 64, 128 + 64) = 320 MiB:
    // 0.65 x 0.021811 x 730 = 10.3493195 and 0.3125 x 0.002923 x 730 = 0.666809375.
    let found = site.figures(&[]);
    near(&found["items"][0]["cpu"], 10.349320);
    near(&found["items"][0]["mem"], 0.666809);
    near(&found["totals"]["reserved"]["now"], 11.016129);
    // As OpenCost counts, it is spec.containers alone.
    let plain = site.figures(&["--basis", "opencost"]);
    assert_eq!(plain["basis"], "opencost");
    near(&plain["totals"]["allocated"], POD);
    near(&plain["totals"]["reserved"]["now"], 11.016129);
    let up: Value = site.figures(&["--change", "scale starts to 2"]);
    near(&up["delta"]["reserved"], 11.016129);
    assert!(flat(&site.preview("scale starts to 2")).contains("1.30 of 4.00 vCPU"));
}

/// By a namespace's name, by part of a workload's, by a pod's: decided first, and only then is anything read for its price.
#[test]
fn what_is_named_is_found_and_read_once() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costnamed", Machine::default());
    let about = |said: &str| -> Value {
        let out = site.world.kai(&["cost", said, "-o", "json"]).ends(0);
        serde_json::from_str(&out.stdout).unwrap()
    };
    site.world.proxy.clear();
    let own = site.world.namespace.as_str();
    let all = site.world.kai(&["-n", "default", "cost", own, "-o", "json"]).ends(0);
    let all: Value = serde_json::from_str(&all.stdout).unwrap();
    assert_eq!((&all["scope"]["namespace"], &all["scope"]["workload"]), (&own.into(), &Value::Null));
    near(&all["totals"]["reserved"]["now"], 27.083730);
    let read: Vec<String> = site.world.proxy.requests().iter().map(Recorded::line).collect();
    let of = |list: &str| read.iter().filter(|r| r.starts_with(&format!("GET /api/v1/{list}?"))).count();
    assert_eq!((of("nodes"), of("pods")), (1, 1), "{read:#?}");
    assert!(!read.iter().any(|r| r.contains("/default/deployments?")), "{read:#?}");
    let pod = site.world.kubectl(&["get", "pods", "-l", "app=backend", "-o", "name"]);
    let pod = pod.lines().next().unwrap().trim_start_matches("pod/").to_owned();
    for said in ["backend", "deploy/backend", "backends", pod.as_str(), &format!("pod/{pod}")] {
        let one = about(said);
        assert_eq!(one["scope"]["workload"], "deployment/backend", "{said}");
        near(&one["totals"]["reserved"]["now"], 2.0 * POD);
    }
    site.cost(&[&pod]).ends(0).says(&format!("{pod} → deployment/backend"));
    // What has no pods is not said to be free.
    let none = site.cost(&["hpa/backend"]);
    assert_ne!(none.code, Some(0), "{}", none.all());
    none.says("runs no pods now");
}
