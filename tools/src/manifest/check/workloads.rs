//! What a pod template says within itself: selectors, probes, ports, volumes, variables.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pods::{Container, Pods, shown};
use super::set::{Found, Set, kind_of};
use crate::manifest::Document;
use crate::object::{items, selects, text};

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        selector(set, &pods);
        let containers = pods.containers();
        let all_ports: Vec<i64> = containers.iter().flat_map(Container::ports).collect();
        let mut volumes: BTreeSet<&str> =
            items(pods.spec, "/volumes").iter().map(|v| text(v, "/name")).collect();
        volumes.extend(
            items(&pods.doc.value, "/spec/volumeClaimTemplates").iter().map(|v| text(v, "/metadata/name")),
        );
        for container in &containers {
            probes(set, &pods, container, &all_ports);
            mounts(set, pods.doc, container, &volumes);
            variables(set, pods.doc, container);
            for (i, port) in items(container.value, "/ports").iter().enumerate() {
                port_name(set, pods.doc, &format!("{}/ports/{i}/name", container.path), text(port, "/name"));
            }
        }
        scrape_port(set, &pods, &all_ports);
    }
}

/// The selector of a workload must choose its own pods, and cannot be changed later.
fn selector(set: &Set<'_>, pods: &Pods<'_>) {
    let d = pods.doc;
    let kind = kind_of(d);
    if !matches!(kind.as_str(), "deployment" | "statefulset" | "daemonset" | "replicaset") {
        return;
    }
    let Some(selector) = d.value.pointer("/spec/selector") else { return };
    if !selects(Some(selector), pods.labels) {
        let says = format!(
            "the selector ({}) does not choose its own pods ({}): the API server refuses that",
            shown(selector.get("matchLabels")),
            shown(pods.labels)
        );
        set.problem(
            "selector-mismatch",
            d,
            "/spec/selector",
            says,
            "Make spec.selector.matchLabels a part of the template's labels",
        );
        return;
    }
    let live = match kind.as_str() {
        "deployment" => set.on_cluster("deployment", set.namespace(d), d.name()),
        "statefulset" => set.on_cluster("statefulset", set.namespace(d), d.name()),
        "daemonset" => set.on_cluster("daemonset", set.namespace(d), d.name()),
        _ => return,
    };
    if let Found::Here(live) = live
        && let Some(before) = live.pointer("/spec/selector")
        && before.get("matchLabels") != selector.get("matchLabels")
    {
        let says = format!(
            "the selector of what runs is {}, and a selector cannot be changed: the API server refuses this",
            shown(before.get("matchLabels"))
        );
        set.problem(
            "selector-changed",
            d,
            "/spec/selector",
            says,
            "Keep the selector, or delete the old object first",
        );
    }
}

fn probes(set: &Set<'_>, pods: &Pods<'_>, container: &Container<'_>, all_ports: &[i64]) {
    let d = pods.doc;
    // On the node's own network nobody declares ports.
    let undeclared_matters = pods.spec["hostNetwork"] != true && !container.ports().is_empty();
    let named: Vec<&str> =
        items(container.value, "/ports").iter().map(|p| text(p, "/name")).filter(|n| !n.is_empty()).collect();
    let handlers = [
        ("livenessProbe", "livenessProbe", "it is restarted again and again"),
        ("readinessProbe", "readinessProbe", "it never becomes ready and gets no traffic"),
        ("startupProbe", "startupProbe", "it is restarted again and again"),
        ("lifecycle/preStop", "preStop hook", "the hook fails"),
        ("lifecycle/postStart", "postStart hook", "the hook fails and the container is restarted"),
    ];
    for (field, what, effect) in handlers {
        for way in ["httpGet", "tcpSocket", "grpc"] {
            let path = format!("{field}/{way}/port");
            let port = match container.value.pointer(&format!("/{path}")) {
                Some(port) => port,
                None => continue,
            };
            let at = format!("{}/{path}", container.path);
            match port {
                Value::String(name) if name.parse::<i64>().is_err() => {
                    if !named.contains(&name.as_str()) {
                        let says = format!(
                            "the {what} of {} asks the port named {name}, which it does not declare: {effect}",
                            container.name()
                        );
                        let fix = if named.is_empty() {
                            format!("Name a port {name}, or give the number")
                        } else {
                            format!("Its named ports are {}", named.join(", "))
                        };
                        set.problem("probe-port", d, &at, says, fix);
                    }
                }
                port => {
                    let number = port.as_i64().or_else(|| port.as_str()?.parse().ok());
                    if let Some(n) = number
                        && undeclared_matters
                        && !all_ports.contains(&n)
                    {
                        let declared: Vec<String> = container.ports().iter().map(i64::to_string).collect();
                        let says = format!(
                            "the {what} of {} asks port {n}, which is not declared: {effect} if nothing listens there",
                            container.name()
                        );
                        set.warn(
                            "probe-port",
                            d,
                            &at,
                            says,
                            format!("Declared: {}. Correct one or the other", declared.join(", ")),
                        );
                    }
                }
            }
        }
    }
}

fn mounts(set: &Set<'_>, d: &Document, container: &Container<'_>, volumes: &BTreeSet<&str>) {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for (i, mount) in items(container.value, "/volumeMounts").iter().enumerate() {
        let at = format!("{}/volumeMounts/{i}", container.path);
        let name = text(mount, "/name");
        if !volumes.contains(name) {
            let says =
                format!("mounts the volume {name}, which the pod does not have: the API server refuses that");
            let there: Vec<&str> = volumes.iter().copied().filter(|v| !v.is_empty()).collect();
            let fix = if there.is_empty() {
                format!("Add {name} to volumes")
            } else {
                format!("Add {name} to volumes; there are {}", there.join(", "))
            };
            set.problem("undeclared-volume", d, &format!("{at}/name"), says, fix);
        }
        let path = text(mount, "/mountPath");
        if !path.is_empty() && !paths.insert(path) {
            let says = format!("mounts something at {path} twice: the API server refuses that");
            set.problem(
                "mounted-twice",
                d,
                &format!("{at}/mountPath"),
                says,
                "Mount one of them elsewhere, or use subPath with the whole file's path",
            );
        }
    }
}

fn variables(set: &Set<'_>, d: &Document, container: &Container<'_>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (i, env) in items(container.value, "/env").iter().enumerate() {
        let name = text(env, "/name");
        if !name.is_empty() && !seen.insert(name) {
            let says = format!("{name} is set twice in {}: only the last counts", container.name());
            set.warn("env-twice", d, &format!("{}/env/{i}/name", container.path), says, "Remove one of them");
        }
    }
}

/// Port names are short: at most 15 characters of a-z, 0-9 and hyphens, with a letter among them.
fn port_name(set: &Set<'_>, d: &Document, path: &str, name: &str) {
    if name.is_empty() {
        return;
    }
    let fits = name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !fits {
        let says = format!("`{name}` cannot be the name of a port: the API server refuses it");
        set.problem(
            "port-name",
            d,
            path,
            says,
            "At most 15 of a-z, 0-9 and hyphens, with a letter among them",
        );
    }
}

/// The port that Prometheus is told to ask.
fn scrape_port(set: &Set<'_>, pods: &Pods<'_>, all_ports: &[i64]) {
    let at = if pods.at.is_empty() { "/metadata".into() } else { format!("{}/metadata", pods.at) };
    let Some(annotations) = pods.doc.value.pointer(&format!("{at}/annotations")) else { return };
    if text(annotations, "/prometheus.io~1scrape") != "true" {
        return;
    }
    let said = text(annotations, "/prometheus.io~1port");
    if let Ok(port) = said.parse::<i64>()
        && !all_ports.is_empty()
        && !all_ports.contains(&port)
    {
        let says = format!(
            "prometheus.io/port is {port}, which no container declares: no metrics are read if nothing listens there"
        );
        let declared: Vec<String> = all_ports.iter().map(i64::to_string).collect();
        let path = format!("{at}/annotations/prometheus.io~1port");
        set.warn(
            "scrape-port",
            pods.doc,
            &path,
            says,
            format!("Declared: {}. Correct one or the other", declared.join(", ")),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn deployment(selector: &str, labels: &str, container: &str, spec: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api, namespace: shop}}\nspec:\n  selector: {{matchLabels: {{{selector}}}}}\n  template:\n    metadata: {{labels: {{{labels}}}}}\n    spec:\n      containers: [{{name: c, image: 'x:1'{container}}}]\n      {spec}\n"
        )
    }

    fn with(container: &str, spec: &str) -> String {
        deployment("app: api", "app: api", container, spec)
    }

    #[test]
    fn selectors_choose_their_own_pods() {
        finds(
            &deployment("app: api", "app: web", "", ""),
            "",
            "selector-mismatch",
            &["(app=api)", "(app=web)", "in.yaml:5"],
        );
        quiet(&deployment("app: api", "app: api, tier: x", "", ""), "", "selector-mismatch");
        let live = deployment("app: old", "app: old", "", "");
        finds(&with("", ""), &live, "selector-changed", &["is app=old", "delete the old object"]);
        quiet(&with("", ""), &with("", ""), "selector-changed");
    }

    #[test]
    fn probes_ask_ports_that_are_there() {
        let probe = |port: &str| {
            with(
                &format!(
                    ", ports: [{{containerPort: 8000, name: http}}], livenessProbe: {{httpGet: {{path: /, port: {port}}}}}, readinessProbe: {{httpGet: {{path: /, port: {port}}}}}"
                ),
                "",
            )
        };
        finds(&probe("web"), "", "probe-port", &["asks the port named web", "Its named ports are http"]);
        finds(&probe("8080"), "", "probe-port", &["livenessProbe of c asks port 8080", "Declared: 8000"]);
        for good in ["http", "8000"] {
            quiet(&probe(good), "", "probe-port");
        }
        quiet(&with(", readinessProbe: {tcpSocket: {port: 1}}", ""), "", "probe-port");
    }

    #[test]
    fn mounts_have_volumes() {
        let mount = |name: &str| {
            with(
                &format!(", volumeMounts: [{{name: {name}, mountPath: /data}}]"),
                "volumes: [{name: data, emptyDir: {}}]",
            )
        };
        finds(&mount("date"), "", "undeclared-volume", &["mounts the volume date", "there are data"]);
        quiet(&mount("data"), "", "undeclared-volume");
        let sts = mount("pg")
            .replace("Deployment", "StatefulSet")
            .replace("  template:", "  volumeClaimTemplates: [{metadata: {name: pg}}]\n  template:");
        quiet(&sts, "", "undeclared-volume");
        let twice = with(
            ", volumeMounts: [{name: data, mountPath: /d}, {name: data, mountPath: /d}]",
            "volumes: [{name: data, emptyDir: {}}]",
        );
        finds(&twice, "", "mounted-twice", &["at /d twice"]);
        quiet(&mount("data"), "", "mounted-twice");
    }

    #[test]
    fn ports_and_variables() {
        finds(
            &with(", ports: [{containerPort: 1, name: a-very-long-port-name}]", ""),
            "",
            "port-name",
            &["At most 15"],
        );
        quiet(&with(", ports: [{containerPort: 1, name: http-metrics}]", ""), "", "port-name");
        finds(
            &with(", env: [{name: A, value: x}, {name: A, value: y}]", ""),
            "",
            "env-twice",
            &["A is set twice"],
        );
        quiet(&with(", env: [{name: A, value: x}, {name: B, value: y}]", ""), "", "env-twice");
        let scrape = |n: u16| {
            with(", ports: [{containerPort: 8001}]", "").replace(
                "metadata: {labels: {app: api}}",
                &format!("metadata: {{labels: {{app: api}}, annotations: {{prometheus.io/scrape: 'true', prometheus.io/port: '{n}'}}}}"),
            )
        };
        finds(&scrape(9090), "", "scrape-port", &["prometheus.io/port is 9090", "Declared: 8001"]);
        quiet(&scrape(8001), "", "scrape-port");
    }
}
