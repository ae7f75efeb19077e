//! Services: whom they select, and whether their ports meet those of the pods.

use serde_json::{Value, json};

use super::pods::{Backer, shown};
use super::set::Set;
use crate::manifest::Document;
use crate::object::{items, number, text};

pub(super) fn check(set: &Set<'_>) {
    for d in set.of("service") {
        let ports = items(&d.value, "/spec/ports");
        if ports.len() > 1 && ports.iter().any(|p| text(p, "/name").is_empty()) {
            let says = "has several ports, and one without a name: the API server refuses that";
            set.problem("unnamed-port", d, "/spec/ports", says, "Give each port a name");
        }
        node_ports(set, d, ports);
        let Some(selector) =
            d.value.pointer("/spec/selector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()))
        else {
            continue;
        };
        if text(&d.value, "/spec/type") == "ExternalName" {
            continue;
        }
        let namespace = set.namespace(d);
        match set.backers(namespace, &json!({"matchLabels": selector})) {
            None => {}
            Some(backers) if backers.is_empty() => nothing(set, d, selector),
            Some(backers) => target_ports(set, d, ports, &backers),
        }
    }
}

/// The Service has no pods behind it.
fn nothing(set: &Set<'_>, d: &Document, selector: &Value) {
    let namespace = set.namespace(d);
    let says = format!(
        "selects {}, and no pods in {namespace} have that: every connection to it fails",
        shown(Some(selector))
    );
    let wanted: Vec<(&String, &Value)> = selector.as_object().into_iter().flatten().collect();
    let own = set.own_backers(namespace);
    let near =
        |b: &&Backer<'_>| wanted.iter().any(|(k, _)| b.labels.and_then(|l| l.get(k.as_str())).is_some());
    let of_name = |b: &&Backer<'_>| b.name == d.name();
    let fix = match own.iter().find(of_name).or_else(|| own.iter().find(near)) {
        Some(b) => {
            format!("The pods of {} have {}: make selector and labels agree", b.label(), shown(b.labels))
        }
        None => "Make the selector agree with the labels of the pod template".into(),
    };
    // Operators make pods that no document shows.
    if set.has_custom() {
        set.warn("service-selects-nothing", d, "/spec/selector", says, fix);
    } else {
        set.problem("service-selects-nothing", d, "/spec/selector", says, fix);
    }
}

fn target_ports(set: &Set<'_>, d: &Document, ports: &[Value], backers: &[Backer<'_>]) {
    let declared: Vec<(i64, String)> = backers.iter().flat_map(Backer::ports).collect();
    let list = declared
        .iter()
        .map(|(n, name)| if name.is_empty() { n.to_string() } else { format!("{n} ({name})") })
        .collect::<Vec<_>>()
        .join(", ");
    let behind = backers[0].label();
    for (i, port) in ports.iter().enumerate() {
        let path = format!("/spec/ports/{i}/targetPort");
        match port.get("targetPort") {
            Some(Value::String(name)) if name.parse::<i64>().is_err() => {
                if !declared.iter().any(|(_, n)| n == name) {
                    let says = format!(
                        "sends to the port named {name}, and no container of {behind} names a port so: connections fail"
                    );
                    let fix = if list.is_empty() {
                        format!("Declare the port with that name in {behind}, or give its number")
                    } else {
                        format!("The ports of {behind} are {list}")
                    };
                    set.problem("undeclared-target-port", d, &path, says, fix);
                }
            }
            target => {
                let number = match target {
                    Some(Value::String(s)) => s.parse().ok(),
                    Some(v) => v.as_i64(),
                    None => number(port, "/port"),
                };
                if let Some(n) = number
                    && !declared.is_empty()
                    && !declared.iter().any(|(p, _)| *p == n)
                {
                    let says = format!(
                        "sends to port {n}, which no container of {behind} declares: connections fail unless the program listens there all the same"
                    );
                    set.warn(
                        "undeclared-target-port",
                        d,
                        &path,
                        says,
                        format!("Declared are {list}: correct one or the other"),
                    );
                }
            }
        }
    }
}

/// Ports on the nodes: a range of their own, each given once in the whole cluster.
fn node_ports(set: &Set<'_>, d: &Document, ports: &[Value]) {
    for (i, port) in ports.iter().enumerate() {
        let Some(n) = number(port, "/nodePort").filter(|n| *n != 0) else { continue };
        let path = format!("/spec/ports/{i}/nodePort");
        let protocol = |p: &Value| match text(p, "/protocol") {
            "" => "TCP".to_string(),
            named => named.to_string(),
        };
        let uses = |v: &Value| {
            items(v, "/spec/ports")
                .iter()
                .any(|p| number(p, "/nodePort") == Some(n) && protocol(p) == protocol(port))
        };
        let others = set.others("service", "");
        let outside = |n: i64| !(30000..=32767).contains(&n);
        // A cluster can be given another range; then it has such ports already.
        let other_range = others.iter().flatten().any(|v| {
            items(v, "/spec/ports")
                .iter()
                .filter_map(|p| number(p, "/nodePort"))
                .any(|n| n != 0 && outside(n))
        });
        if outside(n) && !other_range {
            let says = format!("nodePort {n} is outside of 30000-32767: the API server refuses it");
            set.problem(
                "node-port-range",
                d,
                &path,
                says,
                "Choose one in that range, or leave it out and one is given",
            );
        }
        let within = set.of("service").find(|o| !std::ptr::eq(*o, d) && uses(&o.value));
        let taken = within.map(|o| (set.namespace(o), o.name())).or_else(|| {
            let other = others.iter().flatten().find(|v| uses(v))?;
            Some((text(other, "/metadata/namespace"), text(other, "/metadata/name")))
        });
        if let Some((namespace, name)) = taken {
            let says = format!(
                "nodePort {n} is service/{name}'s in {namespace} too: the API server refuses the second"
            );
            set.problem(
                "node-port-taken",
                d,
                &path,
                says,
                "Choose another, or leave it out and one is given",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const API: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, namespace: shop}\nspec:\n  selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: c, image: 'x:1', ports: [{containerPort: 8000, name: web}]}]}\n";

    fn service(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: api, namespace: shop}}\nspec: {{{spec}}}\n")
    }

    #[test]
    fn whom_it_selects() {
        let wrong = format!("{}---\n{API}", service("selector: {app: back}, ports: [{port: 80}]"));
        finds(
            &wrong,
            "",
            "service-selects-nothing",
            &["selects app=back", "The pods of deployment/api have app=api"],
        );
        let right = service("selector: {app: api}, ports: [{port: 80, targetPort: 8000}]");
        quiet(&format!("{right}---\n{API}"), "", "service-selects-nothing");
        quiet(&right, API, "service-selects-nothing");
        quiet(&right, &API.replace("Deployment", "StatefulSet"), "service-selects-nothing");
        finds(
            &right,
            &API.replace("namespace: shop", "namespace: x"),
            "service-selects-nothing",
            &["no pods in shop"],
        );
        for without in ["ports: [{port: 80}]", "type: ExternalName, externalName: a.b"] {
            quiet(&service(without), "", "service-selects-nothing");
        }
    }

    #[test]
    fn ports_that_meet_nothing() {
        let to = |target: &str| {
            format!(
                "{}---\n{API}",
                service(&format!("selector: {{app: api}}, ports: [{{port: 80, targetPort: {target}}}]"))
            )
        };
        finds(
            &to("http"),
            "",
            "undeclared-target-port",
            &["no container of deployment/api names a port so", "8000 (web)"],
        );
        finds(&to("3000"), "", "undeclared-target-port", &["sends to port 3000"]);
        for good in ["web", "8000", "\"8000\""] {
            quiet(&to(good), "", "undeclared-target-port");
        }
        let undeclared = to("3000").replace(", ports: [{containerPort: 8000, name: web}]", "");
        quiet(&undeclared, "", "undeclared-target-port");
    }

    #[test]
    fn node_ports_have_a_range_and_are_given_once() {
        let at = |n: u16| {
            service(&format!(
                "type: NodePort, selector: {{app: api}}, ports: [{{port: 80, targetPort: 8000, nodePort: {n}}}]"
            ))
        };
        finds(&at(8080), "", "node-port-range", &["outside of 30000-32767"]);
        quiet(&at(30000), "", "node-port-range");
        let other = at(30000).replace("name: api", "name: web");
        finds(&format!("{}---\n{other}", at(30000)), "", "node-port-taken", &["service/web's in shop too"]);
        finds(&at(30000), &other.replace("shop", "else"), "node-port-taken", &["service/web's in else"]);
        quiet(&at(30000), &at(30000), "node-port-taken");
        let range = at(8081).replace("name: api", "name: web");
        quiet(&at(8080), &range, "node-port-range");
    }

    #[test]
    fn several_ports_need_names() {
        let two = |names: [&str; 2]| {
            service(&format!("ports: [{{port: 80{}}}, {{port: 81{}}}]", names[0], names[1]))
        };
        finds(&two(["", ", name: b"]), "", "unnamed-port", &["Give each port a name"]);
        quiet(&two([", name: a", ", name: b"]), "", "unnamed-port");
    }
}
