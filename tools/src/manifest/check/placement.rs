//! Where pods may run: whether a node has what they want, and whether their namespace is there.

use serde_json::Value;

use super::pods::Pods;
use super::set::{Found, Set};
use crate::object::{items, selects, text};

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        nodes(set, &pods);
        namespace(set, &pods);
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
}
