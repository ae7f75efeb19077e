//! Who may not see everything is told what is not known; nothing is made up for it.

use kai_evals::proxy::{Action, Options};
use serde_json::{Value, json};

use super::site::{Machine, Site, apart, flat, has, near};
use crate::support::{Out, has_real_kubelets, kubectl, run};

/// May read its own namespace and nothing else.
fn reader(site: &Site, user: &str) {
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods", "services", "persistentvolumeclaims"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale", "statefulsets", "daemonsets"], "verbs": ["get", "list", "patch", "update"]},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["get", "list"]}]);
    site.world.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "own"}, "rules": rules}));
    site.world.kubectl(&["create", "rolebinding", "own", "--role=own", &format!("--user={user}")]);
}

fn as_user(site: &Site, user: &str, arguments: &[&str]) -> Out {
    let options = Options { impersonate: Some(user.into()), ..Options::default() };
    let kubeconfig = site.world.proxy.kubeconfig_for(&options).unwrap();
    run(site.world.command_on(kubeconfig.to_str().unwrap()).args(arguments))
}

fn parsed(out: &Out) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", out.all()))
}

#[test]
fn figures_without_the_right_to_see_nodes_are_unknown() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costrights", Machine::default());
    reader(&site, "costrita");
    let own = as_user(&site, "costrita", &["cost", "-o", "json"]).ends(0);
    let found = parsed(&own);
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    for item in found["items"].as_array().unwrap() {
        // What is requested is known, what it costs is not.
        near(&item["cpu_cores"], 0.5);
        assert!(item["reserved"]["now"].is_null() && item["allocated"].is_null(), "{item}");
    }
    let totals = &found["totals"];
    assert!(
        totals["reserved"]["now"].is_null() && totals["machines"].is_null() && found["idle"].is_null(),
        "{found}"
    );
    assert!(found["at_max"].is_null(), "whether it fits cannot be said: {}", found["at_max"]);
    let table = as_user(&site, "costrita", &["cost"]).ends(0).stdout;
    has(
        &table,
        &[
            "deployment/backend 2 500m 512Mi unknown",
            "reserved unknown",
            "nodes cannot be looked at, so neither their prices nor their room is known",
            "pods of other namespaces cannot be looked at, so what is idle is not known",
        ],
    );
    assert!(!flat(&table).contains("idle 0.00") && !table.contains("% of the nodes"), "{table}");
    // A change: what the bill becomes is not known, and a limit holds.
    let said = flat(&as_user(&site, "costrita", &["--dry-run", "scale backend to 3"]).all());
    has(&said, &["bill unknown: nodes or pods cannot be looked at"]);
    assert!(!said.contains("fits on the nodes"), "{said}");
    as_user(&site, "costrita", &["cost", "--change", "scale backend to 3", "--fail-above", "100000"])
        .ends(2)
        .says("not known");
    // The cluster is none of hers.
    let all = as_user(&site, "costrita", &["cost", "cluster"]);
    assert_ne!(all.code, Some(0), "{}", all.all());
    assert!(!all.stdout.contains("0.00"), "{}", all.all());
    // And somebody without any right gets no figures, and no zeros.
    let none = as_user(&site, "costnobody", &["cost"]);
    assert_ne!(none.code, Some(0), "{}", none.all());
    assert!(!none.all().contains("0.00") && !none.all().contains("panicked"), "{}", none.all());
    has(&none.stderr, &["pods"]);
}

#[test]
fn nodes_but_not_all_pods_give_prices_and_no_idle_share() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::todo("costpart", Machine::default());
    reader(&site, "costpaul");
    let name = site.world.namespace.clone();
    kubectl(&["create", "clusterrole", &name, "--verb=get,list", "--resource=nodes"]);
    kubectl(&["create", "clusterrolebinding", &name, &format!("--clusterrole={name}"), "--user=costpaul"]);
    let found = parsed(&as_user(&site, "costpaul", &["cost", "-o", "json"]).ends(0));
    kubectl(&["delete", "clusterrole,clusterrolebinding", &name]);
    // What its own pods reserve needs the nodes' prices alone.
    near(&found["totals"]["reserved"]["now"], 27.083730);
    // Without the others' pods, what is idle would be too much by all of theirs.
    assert!(found["idle"].is_null() && found["totals"]["idle_share"].is_null(), "{}", found["idle"]);
    assert!(found["at_max"].is_null(), "whether it fits cannot be said: {}", found["at_max"]);
    has(
        &found["warnings"].to_string(),
        &["pods of other namespaces cannot be looked at, so what is idle is not known"],
    );
}

#[test]
fn why_nothing_is_measured_is_said() {
    if has_real_kubelets() {
        return;
    }
    let site = Site::new("costusage", &[Machine::default()]);
    site.deploy("backend", 1, "250m", "256Mi", &json!({}));
    site.world.settle("backend");
    for (status, says) in [
        (404, "What is used is not known: this cluster has no metrics-server."),
        (403, "What is used is not known: you may not read the metrics API (no metrics here)."),
        (503, "What is used is not known: the metrics API does not answer (no metrics here)."),
    ] {
        let only = format!("labelSelector=only%3D{}", site.world.namespace);
        site.world.proxy.hook(move |r| match r.path.starts_with("/apis/metrics.k8s.io/") {
            true => Action::answer(status, "Trouble", "no metrics here"),
            false => apart(r, &only),
        });
        for basis in ["requests", "usage"] {
            has(&site.cost(&["--basis", basis]).ends(0).all(), &[says]);
        }
        let found = site.figures(&["--basis", "usage"]);
        // What nobody measured is charged by what it requests, and no waste is claimed.
        near(&found["totals"]["allocated"], 4.513955);
        assert!(found["totals"]["waste"].is_null() && found["items"][0]["waste"].is_null(), "{found}");
    }
}
