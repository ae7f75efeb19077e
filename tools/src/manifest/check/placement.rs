//! Where pods may run: whether a node has what they want, and whether their namespace lets them in.

use serde_json::Value;

use super::pods::{Container, Pods};
use super::set::{Found, Set};
use crate::object::{items, selects, text};

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        nodes(set, &pods);
        namespace(set, &pods);
        security(set, &pods);
    }
}

/// Nodes with the wanted labels. Clusters that make nodes on demand may still get one.
fn nodes(set: &Set<'_>, pods: &Pods<'_>) {
    let simple = pods.spec.get("nodeSelector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
    let terms = items(
        pods.spec,
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    if simple.is_none() && terms.is_empty() {
        return;
    }
    let Some(nodes) = set.all("node", "") else { return };
    if nodes.is_empty() {
        return;
    }
    let labels = |n: &&Value| n.pointer("/metadata/labels").cloned().unwrap_or_default();
    if let Some(wanted) = simple {
        let fits = |n: &&&Value| {
            let has = labels(n);
            wanted.as_object().is_some_and(|w| w.iter().all(|(k, v)| has.get(k) == Some(v)))
        };
        if !nodes.iter().any(|n| fits(&n)) {
            let says = format!("no node has {}: the pods stay Pending", super::pods::shown(Some(wanted)));
            set.warn(
                "no-such-node",
                pods.doc,
                &pods.path("/nodeSelector"),
                says,
                "Label a node so, or correct the nodeSelector",
            );
            return;
        }
    }
    // Operators Gt and Lt, and matchFields, are left to the scheduler.
    let plain = |t: &Value| {
        t.get("matchFields").is_none()
            && items(t, "/matchExpressions").iter().all(|e| !matches!(text(e, "/operator"), "Gt" | "Lt"))
    };
    if !terms.is_empty()
        && terms.iter().all(plain)
        && !nodes.iter().any(|n| terms.iter().any(|t| selects(Some(t), Some(&labels(n)))))
    {
        let path = pods.path("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution");
        let says = "no node has the labels that the node affinity requires: the pods stay Pending";
        set.warn(
            "no-such-node",
            pods.doc,
            &path,
            says,
            "Label a node so, or make it preferredDuringSchedulingIgnoredDuringExecution",
        );
    }
}

fn namespace(set: &Set<'_>, pods: &Pods<'_>) {
    let name = set.namespace(pods.doc);
    if name != "default" && set.find("namespace", "", name) == Found::Absent {
        let says = format!("there is no namespace {name}: nothing can be made in it");
        let fix = set.instead(
            "namespace",
            "",
            name,
            "Add the Namespace to these manifests, or make it first".into(),
        );
        set.problem("no-namespace", pods.doc, "/metadata/namespace", says, fix);
    }
}

/// What the pod security level of the namespace refuses. A Deployment is taken all the same, and its pods are not.
fn security(set: &Set<'_>, pods: &Pods<'_>) {
    let name = set.namespace(pods.doc);
    let own = set.of("namespace").find(|d| d.name() == name).map(|d| &d.value);
    let namespace = match own.map_or_else(|| set.find("namespace", "", name), Found::Here) {
        Found::Here(namespace) => namespace,
        _ => return,
    };
    let level = text(namespace, "/metadata/labels/pod-security.kubernetes.io~1enforce");
    let restricted = match level {
        "restricted" => true,
        "baseline" => false,
        _ => return,
    };
    let mut faults = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pods.spec[field] == true {
            faults.push(format!("{field} is not allowed"));
        }
    }
    if items(pods.spec, "/volumes").iter().any(|v| v.get("hostPath").is_some()) {
        faults.push("hostPath volumes are not allowed".into());
    }
    for container in pods.containers() {
        faults.extend(baseline(&container));
        if restricted {
            faults.extend(beyond(pods, &container));
        }
    }
    if faults.is_empty() {
        return;
    }
    let more = faults.len().saturating_sub(4);
    faults.truncate(4);
    let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
    let says = format!(
        "namespace {name} enforces the pod security level {level}, so no pod is created: {}{rest}",
        faults.join("; ")
    );
    let fix = if restricted {
        "Set securityContext: runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, and on each container allowPrivilegeEscalation: false and capabilities: {drop: [ALL]}"
    } else {
        "Leave these out of the pod template, or use a namespace of another level"
    };
    set.problem("pod-security", pods.doc, &pods.path(""), says, fix);
}

fn baseline(container: &Container<'_>) -> Vec<String> {
    const ADDABLE: [&str; 14] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
        "",
    ];
    let mut faults = Vec::new();
    let name = container.name();
    if container.value.pointer("/securityContext/privileged") == Some(&Value::Bool(true)) {
        faults.push(format!("{name} is privileged"));
    }
    for added in items(container.value, "/securityContext/capabilities/add").iter().filter_map(Value::as_str)
    {
        if !ADDABLE.contains(&added) {
            faults.push(format!("{name} adds the capability {added}"));
        }
    }
    if items(container.value, "/ports")
        .iter()
        .any(|p| p.get("hostPort").is_some_and(|h| h.as_i64() != Some(0)))
    {
        faults.push(format!("{name} has a hostPort"));
    }
    faults
}

/// What `restricted` wants besides.
fn beyond(pods: &Pods<'_>, container: &Container<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let name = container.name();
    let own = |path: &str| container.value.pointer(&format!("/securityContext{path}"));
    let either = |path: &str| own(path).or_else(|| pods.spec.pointer(&format!("/securityContext{path}")));
    if either("/runAsNonRoot") != Some(&Value::Bool(true)) {
        faults.push(format!("{name} lacks runAsNonRoot: true"));
    }
    if either("/runAsUser").and_then(Value::as_i64) == Some(0) {
        faults.push(format!("{name} runs as user 0"));
    }
    if own("/allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        faults.push(format!("{name} lacks allowPrivilegeEscalation: false"));
    }
    if !items(container.value, "/securityContext/capabilities/drop").iter().any(|c| c == "ALL") {
        faults.push(format!("{name} does not drop ALL capabilities"));
    }
    if !matches!(either("/seccompProfile/type").and_then(Value::as_str), Some("RuntimeDefault" | "Localhost"))
    {
        faults.push(format!("{name} lacks a seccompProfile"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn pod(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec:\n  {spec}\n---\n")
    }

    fn namespace(level: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{pod-security.kubernetes.io/enforce: {level}}}}}\n---\n"
        )
    }

    const NODE: &str =
        "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {disk: ssd, kubernetes.io/os: linux}}\n";
    const PLAIN: &str = "containers: [{name: c, image: 'x:1'}]";

    #[test]
    fn nodes_have_the_labels() {
        finds(
            &pod(&format!("nodeSelector: {{disk: nvme}}\n  {PLAIN}")),
            NODE,
            "no-such-node",
            &["no node has disk=nvme"],
        );
        let affinity = |value: &str, how: &str| {
            pod(&format!(
                "affinity: {{nodeAffinity: {{{how}: {{nodeSelectorTerms: [{{matchExpressions: [{{key: disk, operator: In, values: [{value}]}}]}}]}}}}}}\n  {PLAIN}"
            ))
        };
        finds(
            &affinity("nvme", "requiredDuringSchedulingIgnoredDuringExecution"),
            NODE,
            "no-such-node",
            &["stay Pending"],
        );
        quiet(&affinity("ssd", "requiredDuringSchedulingIgnoredDuringExecution"), NODE, "no-such-node");
        quiet(&pod(&format!("nodeSelector: {{disk: ssd}}\n  {PLAIN}")), NODE, "no-such-node");
        quiet(&affinity("nvme", "preferredDuringSchedulingIgnoredDuringExecution"), NODE, "no-such-node");
    }

    #[test]
    fn namespaces_are_there() {
        finds(
            &pod(PLAIN),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shops}\n",
            "no-namespace",
            &["no namespace shop", "Did you mean shops?"],
        );
        quiet(&format!("{}{}", namespace("baseline"), pod(PLAIN)), "", "no-namespace");
        quiet(&pod(PLAIN), &namespace("baseline"), "no-namespace");
    }

    #[test]
    fn the_level_of_the_namespace() {
        finds(
            &format!("{}{}", namespace("restricted"), pod(PLAIN)),
            "",
            "pod-security",
            &["so no pod is created", "c lacks runAsNonRoot: true"],
        );
        finds(
            &pod("hostNetwork: true\n  containers: [{name: c, image: 'x:1'}]"),
            &namespace("baseline"),
            "pod-security",
            &["hostNetwork is not allowed"],
        );
        let good = "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n  containers: [{name: c, image: 'x:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]";
        quiet(&format!("{}{}", namespace("restricted"), pod(good)), "", "pod-security");
        quiet(&format!("{}{}", namespace("baseline"), pod(PLAIN)), "", "pod-security");
        quiet(&format!("{}{}", namespace("privileged"), pod("hostNetwork: true")), "", "pod-security");
    }
}
