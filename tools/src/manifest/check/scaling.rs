//! Autoscalers: whom they scale, by what, and who else decides about the replicas; and disruption budgets.

use serde_json::{Value, json};

use super::pods::{Pods, shown};
use super::set::{Found, Set, kind_of};
use crate::manifest::Document;
use crate::object::{items, number, selects, text};

pub(super) fn check(set: &Set<'_>) {
    let mut targets: Vec<(String, &str, &str, &str)> = Vec::new();
    for d in set.of("horizontalpodautoscaler") {
        bounds(set, d);
        let kind = text(&d.value, "/spec/scaleTargetRef/kind");
        let name = text(&d.value, "/spec/scaleTargetRef/name");
        let key = (kind.to_string(), set.namespace(d), name);
        match targets.iter().find(|(k, ns, n, _)| (k.as_str(), *ns, *n) == (kind, key.1, name)) {
            Some((.., other)) => {
                let says =
                    format!("{kind} {name} is scaled by hpa/{other} too: they work against each other");
                set.problem(
                    "scaled-twice",
                    d,
                    "/spec/scaleTargetRef",
                    says,
                    "Keep one, with all metrics in it",
                );
            }
            None => targets.push((key.0, key.1, name, d.name())),
        }
        target(set, d, kind, name);
        metrics_api(set, d);
    }
    for d in set.documents {
        replicas(set, d);
    }
    for d in set.of("poddisruptionbudget") {
        budget(set, d);
    }
}

fn bounds(set: &Set<'_>, d: &Document) {
    let min = number(&d.value, "/spec/minReplicas").unwrap_or(1);
    if let Some(max) = number(&d.value, "/spec/maxReplicas").filter(|max| min > *max) {
        let says = format!("minReplicas {min} is more than maxReplicas {max}: the API server refuses that");
        set.problem("hpa-bounds", d, "/spec/minReplicas", says, "Make the minimum at most the maximum");
    }
}

/// The kinds that can be looked up as targets.
fn target_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" => Some("deployment"),
        "StatefulSet" => Some("statefulset"),
        _ => None,
    }
}

fn target(set: &Set<'_>, d: &Document, kind: &str, name: &str) {
    let Some(looked) = target_kind(kind) else { return };
    let version = text(&d.value, "/spec/scaleTargetRef/apiVersion");
    if version != "apps/v1" {
        let shown = if version.is_empty() { "not given" } else { version };
        let says =
            format!("the apiVersion of its target is {shown}: a {kind} is apps/v1, and so it finds none");
        set.problem(
            "hpa-target",
            d,
            "/spec/scaleTargetRef",
            says,
            "Write apiVersion: apps/v1 in scaleTargetRef",
        );
    }
    let namespace = set.namespace(d);
    let found = match set.find(looked, namespace, name) {
        Found::Unknown => return,
        Found::Absent => {
            let says = format!("there is no {looked} {name} in namespace {namespace}: nothing is scaled");
            let fix = set.instead(looked, namespace, name, "Name the workload that is to be scaled".into());
            set.problem("hpa-target", d, "/spec/scaleTargetRef/name", says, fix);
            return;
        }
        Found::Here(found) => found,
    };
    for (i, metric) in items(&d.value, "/spec/metrics").iter().enumerate() {
        let resource = text(metric, "/resource/name");
        if text(metric, "/type") == "Resource" && text(metric, "/resource/target/type") == "Utilization" {
            requests(set, d, found, looked, resource, &format!("/spec/metrics/{i}/resource/name"));
        }
    }
    if d.value.pointer("/spec/targetCPUUtilizationPercentage").is_some() {
        requests(set, d, found, looked, "cpu", "/spec/targetCPUUtilizationPercentage");
    }
}

/// Utilization is a share of what was requested.
fn requests(set: &Set<'_>, d: &Document, workload: &Value, kind: &str, resource: &str, path: &str) {
    let without = items(workload, "/spec/template/spec/containers").iter().find(|c| {
        ["requests", "limits"]
            .iter()
            .all(|part| c.pointer(&format!("/resources/{part}/{resource}")).is_none())
    });
    let Some(container) = without else { return };
    if set
        .all("limitrange", set.namespace(d))
        .is_none_or(|ranges| ranges.iter().any(|r| defaults(r, resource)))
    {
        return;
    }
    let (container, name) = (text(container, "/name"), text(workload, "/metadata/name"));
    let says = format!(
        "scales by a share of the {resource} request, and container {container} of {kind}/{name} requests none: it never scales"
    );
    set.problem(
        "hpa-without-requests",
        d,
        path,
        says,
        format!("Add resources.requests.{resource} to container {container}"),
    );
}

/// Whether a LimitRange gives containers a default for a resource.
pub(super) fn defaults(range: &Value, resource: &str) -> bool {
    items(range, "/spec/limits").iter().any(|l| {
        text(l, "/type") == "Container"
            && ["default", "defaultRequest"].iter().any(|f| l.pointer(&format!("/{f}/{resource}")).is_some())
    })
}

fn metrics_api(set: &Set<'_>, d: &Document) {
    let by_resource = d.value.pointer("/spec/targetCPUUtilizationPercentage").is_some()
        || items(&d.value, "/spec/metrics")
            .iter()
            .any(|m| matches!(text(m, "/type"), "Resource" | "ContainerResource"));
    if by_resource && set.serves("metrics.k8s.io/v1beta1", "PodMetrics") == Some(false) {
        let says = "scales by CPU or memory, and the cluster serves no metrics: it never scales";
        set.warn(
            "no-metrics",
            d,
            "/spec/metrics",
            says,
            "Install metrics-server (on minikube: minikube addons enable metrics-server)",
        );
    }
}

/// The autoscaler of a workload, of the set or of the cluster.
pub(super) fn autoscaler_of<'a>(set: &Set<'a>, d: &'a Document) -> Option<&'a Value> {
    let fits = |h: &&Value| {
        text(h, "/spec/scaleTargetRef/kind") == d.kind() && text(h, "/spec/scaleTargetRef/name") == d.name()
    };
    let namespace = set.namespace(d);
    let own = set.of("horizontalpodautoscaler").filter(|h| set.namespace(h) == namespace).map(|h| &h.value);
    own.into_iter()
        .find(fits)
        .or_else(|| set.others("horizontalpodautoscaler", namespace)?.into_iter().find(fits))
}

/// A manifest that says the replicas takes them back from the autoscaler with every apply.
fn replicas(set: &Set<'_>, d: &Document) {
    if !matches!(kind_of(d).as_str(), "deployment" | "statefulset") {
        return;
    }
    let Some(said) = number(&d.value, "/spec/replicas") else { return };
    if let Some(hpa) = autoscaler_of(set, d) {
        let says = format!(
            "says {said} replicas, and hpa/{} decides about them: every apply sets them back",
            text(hpa, "/metadata/name")
        );
        set.warn("autoscaled-replicas", d, "/spec/replicas", says, "Leave spec.replicas out of the manifest");
    }
}

fn budget(set: &Set<'_>, d: &Document) {
    let namespace = set.namespace(d);
    let Some(selector) = d.value.pointer("/spec/selector") else { return };
    let percent = |v: &Value| v.as_str().and_then(|s| s.strip_suffix('%')?.parse::<i64>().ok());
    let (min, max) = (d.value.pointer("/spec/minAvailable"), d.value.pointer("/spec/maxUnavailable"));
    let never = max.is_some_and(|m| m.as_i64() == Some(0) || percent(m) == Some(0))
        || min.and_then(percent) == Some(100);
    let (path, fix) = if min.is_some() {
        ("/spec/minAvailable", "Use maxUnavailable: 1 instead, or run more replicas than that")
    } else {
        ("/spec/maxUnavailable", "Use maxUnavailable: 1")
    };
    const EFFECT: &str = "nodes cannot be drained, and cluster upgrades wait";
    if never {
        set.warn(
            "budget-allows-nothing",
            d,
            path,
            format!("allows no pod to be evicted, ever: {EFFECT}"),
            fix,
        );
    }
    let chosen: Vec<Pods<'_>> = set
        .pods()
        .filter(|p| set.namespace(p.doc) == namespace && selects(Some(selector), p.labels))
        .collect();
    if let (Some(min), [one], false) = (min.and_then(Value::as_i64), chosen.as_slice(), never) {
        // As many as there can be: an autoscaler may make more than the manifest says.
        let most = autoscaler_of(set, one.doc)
            .and_then(|h| number(h, "/spec/maxReplicas"))
            .unwrap_or_else(|| number(&one.doc.value, "/spec/replicas").unwrap_or(1));
        if matches!(kind_of(one.doc).as_str(), "deployment" | "statefulset") && min >= most {
            let says = format!(
                "wants {min} available, and {} has {most}: no pod can be evicted, {EFFECT}",
                one.doc.label()
            );
            set.warn("budget-allows-nothing", d, path, says, fix);
        }
    }
    let labels = json!(selector);
    if chosen.is_empty() && set.backers(namespace, &labels).is_some_and(|b| b.is_empty()) {
        let says = format!(
            "selects {}, and no pods in {namespace} have that: it protects nothing",
            shown(selector.get("matchLabels"))
        );
        set.warn(
            "budget-selects-nothing",
            d,
            "/spec/selector",
            says,
            "Make the selector agree with the labels of the pod template",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const METRICS: &str = "apiVersion: metrics.k8s.io/v1beta1\nkind: PodMetrics\nmetadata: {name: x}\n";

    fn api(replicas: &str, resources: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  {replicas}\n  selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    spec: {{containers: [{{name: c, image: 'x:1'{resources}}}]}}\n---\n"
        )
    }

    fn hpa(target: &str, min: u8, max: u8) -> String {
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h}}\nspec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}\n  minReplicas: {min}\n  maxReplicas: {max}\n  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 70}}}}}}]\n---\n"
        )
    }

    const CPU: &str = ", resources: {requests: {cpu: 100m}}";

    #[test]
    fn autoscalers() {
        finds(
            &format!("{}{}", api("replicas: 2", CPU), hpa("api", 2, 5)),
            METRICS,
            "autoscaled-replicas",
            &["says 2 replicas", "hpa/h decides", "Leave spec.replicas out"],
        );
        finds(
            &api("replicas: 2", CPU),
            &hpa("api", 2, 5).replace("name: h}", "name: h, namespace: default}"),
            "autoscaled-replicas",
            &["hpa/h"],
        );
        finds(
            &hpa("apy", 2, 5),
            &api("", CPU).replace("name: api}\nspec", "name: api, namespace: default}\nspec"),
            "hpa-target",
            &["no deployment apy", "Did you mean api?"],
        );
        finds(
            &format!("{}{}", api("", ""), hpa("api", 2, 5)),
            METRICS,
            "hpa-without-requests",
            &["container c of deployment/api requests none", "resources.requests.cpu"],
        );
        finds(&hpa("api", 5, 2), METRICS, "hpa-bounds", &["minReplicas 5 is more than maxReplicas 2"]);
        finds(&hpa("api", 2, 5), "", "no-metrics", &["metrics-server"]);
        let two = format!("{}{}", hpa("api", 2, 5), hpa("api", 2, 5).replace("name: h}", "name: i}"));
        finds(&two, METRICS, "scaled-twice", &["hpa/h too"]);
        finds(
            &hpa("api", 1, 2).replace("apps/v1, kind", "v1, kind"),
            METRICS,
            "hpa-target",
            &["a Deployment is apps/v1"],
        );
        let good = format!("{}{}", api("", CPU), hpa("api", 2, 5));
        for check in [
            "autoscaled-replicas",
            "hpa-target",
            "hpa-without-requests",
            "hpa-bounds",
            "no-metrics",
            "scaled-twice",
        ] {
            quiet(&good, METRICS, check);
        }
        let range = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: [{type: Container, defaultRequest: {cpu: 100m}}]}\n---\n";
        quiet(&format!("{range}{}{}", api("", ""), hpa("api", 2, 5)), METRICS, "hpa-without-requests");
    }

    #[test]
    fn budgets() {
        let pdb = |spec: &str| {
            format!(
                "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: p}}\nspec: {{{spec}, selector: {{matchLabels: {{app: api}}}}}}\n---\n"
            )
        };
        for none in ["maxUnavailable: 0", "minAvailable: '100%'", "maxUnavailable: '0%'"] {
            finds(
                &format!("{}{}", api("replicas: 3", ""), pdb(none)),
                "",
                "budget-allows-nothing",
                &["allows no pod to be evicted"],
            );
        }
        finds(
            &format!("{}{}", api("", ""), pdb("minAvailable: 1")),
            "",
            "budget-allows-nothing",
            &["deployment/api has 1"],
        );
        for good in ["maxUnavailable: 1", "minAvailable: 2", "minAvailable: '50%'"] {
            quiet(&format!("{}{}", api("replicas: 3", ""), pdb(good)), "", "budget-allows-nothing");
        }
        quiet(
            &format!("{}{}{}", api("", CPU), hpa("api", 1, 5), pdb("minAvailable: 1")),
            METRICS,
            "budget-allows-nothing",
        );
        finds(&pdb("maxUnavailable: 1"), "", "budget-selects-nothing", &["protects nothing"]);
        quiet(&format!("{}{}", api("", ""), pdb("maxUnavailable: 1")), "", "budget-selects-nothing");
    }
}
