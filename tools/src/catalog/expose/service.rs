//! The Service: on which port the pods listen, by what the workload says, and what a Service that is there gets (pure).

use serde_json::{Value, json};

use super::{Expose, Type, invalid};
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, number, selects, text};
use crate::plan::Change;
use crate::review::{Level, Line};

/// What becomes of the Service.
pub(super) struct Found {
    pub name: String,
    /// Where it answers.
    pub port: i64,
    /// `None` when it is as asked already.
    pub change: Option<Change>,
}

/// A port on which the pods listen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listens {
    port: i64,
    name: String,
    protocol: String,
}

/// The ports that a pod template declares, else those that its probes ask.
pub(super) fn evidence(workload: &Value) -> Vec<Listens> {
    let containers = items(workload, "/spec/template/spec/containers");
    let declared: Vec<Listens> = containers
        .iter()
        .flat_map(|c| items(c, "/ports"))
        .filter_map(|p| {
            let protocol = if text(p, "/protocol").is_empty() { "TCP" } else { text(p, "/protocol") };
            Some(Listens {
                port: number(p, "/containerPort")?,
                name: text(p, "/name").into(),
                protocol: protocol.into(),
            })
        })
        .collect();
    if !declared.is_empty() {
        return declared;
    }
    let asked = containers.iter().find_map(|c| {
        ["readinessProbe", "livenessProbe", "startupProbe"].iter().find_map(|probe| {
            ["httpGet", "tcpSocket", "grpc"].iter().find_map(|h| number(c, &format!("/{probe}/{h}/port")))
        })
    });
    asked.map(|port| Listens { port, name: String::new(), protocol: "TCP".into() }).into_iter().collect()
}

/// A Service's name is a DNS label that begins with a letter.
pub(super) fn is_name(name: &str) -> Result<(), ToolError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if name.len() <= 63 && ends && name.chars().all(fits) {
        return Ok(());
    }
    invalid(format!(
        "`{name}` cannot name a Service: lower-case letters, digits and `-`, beginning with a letter; give `name`"
    ))
}

/// Decides what becomes of the Service.
pub(super) fn plan(e: &Expose, workload: &Resolved, services: Vec<Resolved>) -> Result<Found, ToolError> {
    let object = &workload.object;
    if !matches!(workload.kind.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") {
        return invalid(format!("{object} is a {}: only pods that stay can be exposed", workload.kind.kind));
    }
    let Some(selector) = workload
        .live
        .pointer("/spec/selector/matchLabels")
        .filter(|s| s.as_object().is_some_and(|m| !m.is_empty()))
    else {
        return invalid(format!("{object} selects its pods by expressions, which a Service cannot"));
    };
    let labels = workload.live.pointer("/spec/template/metadata/labels");
    let reaches = |s: &Resolved| {
        let of = s.live.pointer("/spec/selector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
        of.is_some_and(|of| selects(Some(&json!({"matchLabels": of})), labels))
            && text(&s.live, "/spec/clusterIP") != "None"
    };
    let name = e.name.as_deref().unwrap_or(&object.name);
    if let Some(same) = services.iter().find(|s| s.object.name == name && !reaches(s)) {
        let why = if text(&same.live, "/spec/clusterIP") == "None" {
            "is headless: it only gives the pods their names"
        } else {
            "selects other pods"
        };
        return invalid(format!("{} exists and {why}; give another `name`", same.object));
    }
    let (mut there, _): (Vec<Resolved>, Vec<Resolved>) =
        services.into_iter().filter(|s| e.name.is_none() || s.object.name == name).partition(reaches);
    if let Some(at) = there.iter().position(|s| s.object.name == name) {
        there.swap(0, at);
        there.truncate(1);
    }
    match there.len() {
        0 => create(e, workload, name, selector),
        1 => update(e, there.remove(0)),
        _ => Err(ToolError::Ambiguous {
            name: object.name.clone(),
            candidates: there.into_iter().map(|s| s.object).collect(),
        }),
    }
}

fn create(e: &Expose, workload: &Resolved, name: &str, selector: &Value) -> Result<Found, ToolError> {
    is_name(name)?;
    let listens = evidence(&workload.live);
    let mut lines = Vec::new();
    let ports: Vec<(i64, Listens)> = match (e.port.map(i64::from), e.target_port.map(i64::from)) {
        (None, None) if listens.is_empty() => {
            return invalid(format!(
                "on which port does {} listen? It declares none and has no probe; give `port`",
                workload.object
            ));
        }
        (None, None) => listens.iter().map(|l| (l.port, l.clone())).collect(),
        (outer, target) => {
            let (target, line) = match (outer, target) {
                (_, Some(target)) => (target, None),
                (Some(outer), None) => meant(outer, &listens),
                (None, None) => (0, None),
            };
            lines.extend(line);
            let known = listens.iter().find(|l| l.port == target).cloned();
            let plain = Listens { port: target, name: String::new(), protocol: "TCP".into() };
            vec![(outer.unwrap_or(target), known.unwrap_or(plain))]
        }
    };
    let many = ports.len() > 1;
    let list: Vec<Value> = ports
        .iter()
        .enumerate()
        .map(|(i, (outer, to))| {
            let mut one = json!({"port": outer, "targetPort": to.port, "protocol": to.protocol});
            if many {
                let made = format!("port-{}", to.port);
                one["name"] = json!(if to.name.is_empty() { &made } else { &to.name });
            }
            if let Some(port) = e.node_port.filter(|_| i == 0) {
                one["nodePort"] = json!(port);
            }
            one
        })
        .collect();
    let kind = e.kind.unwrap_or(if e.node_port.is_some() { Type::NodePort } else { Type::ClusterIP });
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": workload.object.namespace, "labels": selector},
        "spec": {"type": kind.name(), "selector": selector, "ports": list},
    });
    let mut change = Change::apply(builtin("service"), &workload.object.namespace, None, manifest, false);
    change.lines = lines;
    let port = ports.first().map(|p| p.0).unwrap_or_default();
    Ok(Found { name: name.into(), port, change: Some(change) })
}

/// The pods' port behind a Service's port.
fn meant(outer: i64, listens: &[Listens]) -> (i64, Option<Line>) {
    match listens {
        _ if listens.iter().any(|l| l.port == outer) => (outer, None),
        [one] => {
            let text = format!("{}: the pods listen there, as the workload says", one.port);
            (one.port, Some(Line::new(Level::Fact, "target", text)))
        }
        [] => {
            let text =
                format!("{outer}: nothing says that the pods listen there (no declared port, no probe)");
            (outer, Some(Line::new(Level::Warning, "target", text)))
        }
        _ => {
            let text =
                format!("{outer}: the workload declares other ports; `target_port` says which is meant");
            (outer, Some(Line::new(Level::Warning, "target", text)))
        }
    }
}

fn update(e: &Expose, service: Resolved) -> Result<Found, ToolError> {
    let mut after = service.live.clone();
    let mut lines = vec![Line::new(
        Level::Fact,
        "exists",
        format!("{} selects these pods already: only what was asked changes", service.object),
    )];
    let ports = items(&service.live, "/spec/ports").to_vec();
    let at = |port: Option<u16>, field: &str| {
        let port = i64::from(port?);
        ports.iter().position(|p| number(p, field) == Some(port))
    };
    let index = match at(e.port, "/port").or(at(e.target_port, "/targetPort")) {
        Some(index) => index,
        None if ports.len() == 1 || (e.port.is_none() && e.target_port.is_none() && !ports.is_empty()) => 0,
        None => {
            let list: Vec<String> =
                ports.iter().filter_map(|p| number(p, "/port")).map(|p| p.to_string()).collect();
            return invalid(format!(
                "{} has the ports {}: none of them is the one asked for; give another `name` for a new Service",
                service.object,
                list.join(", ")
            ));
        }
    };
    let mut one = ports[index].clone();
    if let Some(port) = e.port.map(i64::from) {
        if let Some(old) = number(&one, "/port").filter(|old| *old != port) {
            lines.push(Line::new(
                Level::Warning,
                "port",
                format!("it answers on {port} and no longer on {old}: who uses {old} loses it"),
            ));
        }
        one["port"] = json!(port);
    }
    if let Some(target) = e.target_port {
        one["targetPort"] = json!(target);
    }
    if let Some(port) = e.node_port {
        one["nodePort"] = json!(port);
    }
    let port = number(&one, "/port").unwrap_or_default();
    after["spec"]["ports"][index] = one;
    let now = text(&service.live, "/spec/type").to_string();
    let wanted = match e.kind {
        Some(kind) => kind.name(),
        None if e.node_port.is_some() && now == "ClusterIP" => "NodePort",
        None => now.as_str(),
    };
    if wanted != now {
        after["spec"]["type"] = json!(wanted);
        if wanted == "ClusterIP" {
            lines.push(Line::new(
                Level::Warning,
                "type",
                format!("no longer reached from outside the cluster: it was a {now}"),
            ));
            for p in after.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
                p.as_object_mut().map(|p| p.shift_remove("nodePort"));
            }
        }
    }
    let name = service.object.name.clone();
    let change = (after != service.live).then(|| {
        let mut change = Change::set(service, after);
        change.lines = lines;
        change
    });
    Ok(Found { name, port, change })
}
