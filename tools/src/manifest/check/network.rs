//! Network policies: whom they choose, and what they cut off without a word.

use serde_json::{Value, json};

use super::pods::shown;
use super::set::Set;
use crate::manifest::Document;
use crate::object::{items, number, selects, text};

pub(super) fn check(set: &Set<'_>) {
    for d in set.of("networkpolicy") {
        let Some(selector) = d.value.pointer("/spec/podSelector") else { continue };
        let namespace = set.namespace(d);
        let everyone = selector.as_object().is_none_or(|m| m.is_empty());
        if !everyone && set.backers(namespace, &json!(selector)).is_some_and(|b| b.is_empty()) {
            let says = format!(
                "selects {}, and no pods in {namespace} have that: it protects nothing",
                shown(selector.get("matchLabels"))
            );
            set.warn(
                "policy-selects-nothing",
                d,
                "/spec/podSelector",
                says,
                "Make podSelector agree with the labels of the pod template",
            );
        }
        let ingress = items(&d.value, "/spec/ingress");
        for (i, rule) in ingress.iter().enumerate() {
            for (j, peer) in items(rule, "/from").iter().enumerate() {
                from_nobody(set, d, peer, &format!("/spec/ingress/{i}/from/{j}"));
            }
        }
        // "Deny everything" for all pods of a namespace is said on purpose, and others open what is needed.
        if !everyone {
            egress(set, d, selector);
        }
    }
}

fn from_nobody(set: &Set<'_>, d: &Document, peer: &Value, path: &str) {
    let Some(selector) = peer.get("podSelector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()))
    else {
        return;
    };
    if peer.get("namespaceSelector").is_some() {
        return;
    }
    let namespace = set.namespace(d);
    if set.backers(namespace, &json!(selector)).is_some_and(|b| b.is_empty()) {
        let says = format!(
            "lets in pods with {}, and no pods in {namespace} have that",
            shown(selector.get("matchLabels"))
        );
        set.warn(
            "policy-admits-nobody",
            d,
            path,
            says,
            "Correct the labels, or add a namespaceSelector when they are in another namespace",
        );
    }
}

/// What pods may reach: nothing at all, or everything but names.
fn egress(set: &Set<'_>, d: &Document, selector: &Value) {
    let rules = |v: &Value| items(v, "/spec/egress").to_vec();
    let own = rules(&d.value);
    let restricts = items(&d.value, "/spec/policyTypes").iter().any(|t| t == "Egress") || !own.is_empty();
    if !restricts {
        return;
    }
    // Policies add up: another one for the same pods may open what this one does not.
    let namespace = set.namespace(d);
    let Some(all) = set.all("networkpolicy", namespace) else { return };
    let labels = selector.get("matchLabels");
    let mut open: Vec<Value> = own.clone();
    for other in all.iter().filter(|o| text(o, "/metadata/name") != d.name()) {
        if selects(other.pointer("/spec/podSelector"), labels) {
            open.extend(rules(other));
        }
    }
    if open.is_empty() {
        let says = "restricts Egress and allows none: these pods reach nothing any more, no database, no API, not even DNS";
        set.warn(
            "egress-closed",
            d,
            "/spec/policyTypes",
            says,
            "Take Egress out of policyTypes, or add egress rules (port 53 for DNS and what the pods need)",
        );
        return;
    }
    let is_dns = |rule: &Value| {
        let ports = items(rule, "/ports");
        let covers = |p: &Value| {
            let (from, to) = (number(p, "/port"), number(p, "/endPort"));
            from.is_none() || from == Some(53) || from.is_some_and(|f| f <= 53 && to.is_some_and(|t| t >= 53))
        };
        ports.is_empty() || ports.iter().any(covers)
    };
    // A rule for certain addresses alone does not reach the cluster's DNS, whatever its ports.
    let reaches = |rule: &Value| {
        let to = items(rule, "/to");
        to.is_empty()
            || to.iter().any(|peer| peer.get("ipBlock").is_none_or(|b| text(b, "/cidr") == "0.0.0.0/0"))
    };
    if !open.iter().any(|r| is_dns(r) && reaches(r)) {
        let says = "allows egress, but not to port 53: these pods cannot resolve any name";
        set.warn(
            "egress-without-dns",
            d,
            "/spec/egress",
            says,
            "Add a rule for ports 53/UDP and 53/TCP to the kube-system namespace",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const PODS: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: backend}}\nspec: {containers: []}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: f, labels: {app: frontend}}\nspec: {containers: []}\n---\n";

    fn policy(spec: &str) -> String {
        format!(
            "{PODS}apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{{spec}}}\n---\n"
        )
    }

    const FROM: &str = "ingress: [{from: [{podSelector: {matchLabels: {app: frontend}}}]}]";

    #[test]
    fn whom_it_chooses() {
        finds(
            &policy("podSelector: {matchLabels: {app: back}}"),
            "",
            "policy-selects-nothing",
            &["selects app=back", "protects nothing"],
        );
        finds(
            &policy(&format!(
                "podSelector: {{matchLabels: {{app: backend}}}}, {}",
                FROM.replace("frontend", "front")
            )),
            "",
            "policy-admits-nobody",
            &["app=front"],
        );
        let good = policy(&format!(
            "podSelector: {{matchLabels: {{app: backend}}}}, policyTypes: [Ingress], {FROM}"
        ));
        for check in ["policy-selects-nothing", "policy-admits-nobody", "egress-closed", "egress-without-dns"]
        {
            quiet(&good, "", check);
            quiet(&policy("podSelector: {}, policyTypes: [Ingress, Egress]"), "", check);
        }
    }

    #[test]
    fn egress() {
        let with = |egress: &str| {
            policy(&format!(
                "podSelector: {{matchLabels: {{app: backend}}}}, policyTypes: [Ingress, Egress]{egress}"
            ))
        };
        finds(&with(""), "", "egress-closed", &["not even DNS"]);
        finds(
            &with(", egress: [{ports: [{port: 5432}]}]"),
            "",
            "egress-without-dns",
            &["cannot resolve any name"],
        );
        for good in [
            ", egress: [{ports: [{port: 53, protocol: UDP}]}, {ports: [{port: 5432}]}]",
            ", egress: [{}]",
            ", egress: [{to: [{namespaceSelector: {}}]}]",
        ] {
            quiet(&with(good), "", "egress-closed");
            quiet(&with(good), "", "egress-without-dns");
        }
        let dns = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: dns, namespace: default}\nspec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}\n";
        quiet(&with(""), dns, "egress-closed");
    }
}
