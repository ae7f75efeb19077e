//! Which pods reach which, by the NetworkPolicies there are (pure): the specification, and not what a network does.

use std::collections::BTreeMap;

use serde_json::Value;

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// The pods' namespace.
    pub namespace: &'a str,
    /// The labels of that namespace.
    pub of_namespace: &'a BTreeMap<String, String>,
    /// Labels of the pods.
    pub labels: &'a BTreeMap<String, String>,
}

/// Whether TCP from one end to a port of the other passes: policies that choose an end deny what none of them allows.
pub fn passes(policies: &[Value], from: &End<'_>, to: &End<'_>, port: u16) -> bool {
    direction(policies, "Ingress", to, from, port) && direction(policies, "Egress", from, to, port)
}

fn direction(policies: &[Value], direction: &str, mine: &End<'_>, other: &End<'_>, port: u16) -> bool {
    let about: Vec<&Value> = policies
        .iter()
        .filter(|p| p["metadata"]["namespace"] == mine.namespace)
        .filter(|p| selects(&p["spec"]["podSelector"], mine.labels) && is_for(p, direction))
        .collect();
    let (rules, peers) = if direction == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
    about.is_empty()
        || about.iter().any(|policy| {
            let all = policy["spec"][rules].as_array();
            all.into_iter().flatten().any(|rule| {
                lets_port(&rule["ports"], port)
                    && match rule[peers].as_array().filter(|all| !all.is_empty()) {
                        None => true,
                        Some(all) => all.iter().any(|peer| is_peer(peer, policy, other)),
                    }
            })
        })
}

fn is_for(policy: &Value, direction: &str) -> bool {
    match policy["spec"]["policyTypes"].as_array() {
        Some(types) => types.iter().any(|t| t == direction),
        None => direction == "Ingress" || policy["spec"].get("egress").is_some(),
    }
}

fn is_peer(peer: &Value, policy: &Value, other: &End<'_>) -> bool {
    // Pods have addresses that no block of a test names.
    if peer.get("ipBlock").is_some() {
        return peer["ipBlock"]["cidr"] == "0.0.0.0/0" && peer["ipBlock"]["except"].is_null();
    }
    let in_namespace = match peer.get("namespaceSelector") {
        Some(selector) => selects(selector, other.of_namespace),
        None => policy["metadata"]["namespace"] == other.namespace,
    };
    in_namespace && peer.get("podSelector").is_none_or(|selector| selects(selector, other.labels))
}

fn lets_port(ports: &Value, port: u16) -> bool {
    let Some(all) = ports.as_array().filter(|all| !all.is_empty()) else { return true };
    all.iter().any(|one| {
        let is_tcp = one["protocol"].as_str().is_none_or(|p| p == "TCP");
        let last = one["endPort"].as_u64();
        let fits = match one["port"].as_u64() {
            None => one["port"].is_null(),
            Some(first) => (first..=last.unwrap_or(first)).contains(&u64::from(port)),
        };
        is_tcp && fits
    })
}

/// Whether a label selector chooses these labels. An empty one chooses all.
pub fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let chosen = selector["matchExpressions"].as_array().into_iter().flatten().all(|e| {
        let have = labels.get(e["key"].as_str().unwrap_or_default());
        let listed = e["values"]
            .as_array()
            .is_some_and(|all| all.iter().any(|v| v.as_str() == have.map(String::as_str)));
        match e["operator"].as_str() {
            Some("In") => have.is_some() && listed,
            Some("NotIn") => !listed,
            Some("Exists") => have.is_some(),
            Some("DoesNotExist") => have.is_none(),
            _ => false,
        }
    });
    equal.all(|is| is) && chosen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(app: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("app".to_owned(), app.to_owned())])
    }

    fn reaches(policies: &[Value], from: &str, to: &str, port: u16) -> bool {
        let (none, from, to) = (BTreeMap::new(), labels(from), labels(to));
        let end = |labels| End { namespace: "n", of_namespace: &none, labels };
        passes(policies, &end(&from), &end(&to), port)
    }

    #[test]
    fn what_is_chosen_is_closed_but_for_what_is_allowed() {
        let allow = json!({"metadata": {"namespace": "n"}, "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 8080}]}]}});
        let all = [allow];
        assert!(reaches(&all, "web", "api", 8080));
        assert!(!reaches(&all, "web", "api", 9090) && !reaches(&all, "db", "api", 8080));
        assert!(reaches(&all, "api", "db", 5432), "nothing chooses db");
        let shut =
            json!({"metadata": {"namespace": "n"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
        assert!(!reaches(&[shut], "web", "api", 8080));
        assert!(reaches(&[], "web", "api", 1));
    }
}
