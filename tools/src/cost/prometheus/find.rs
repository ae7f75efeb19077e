//! Where in a cluster a Prometheus, or what speaks like one, usually is: Services by their names and labels.

use std::fmt;

use serde_json::{Value, json};

use super::queries::is_label;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::{builtin, items, text};

/// Namespaces where it is looked for when Services of all namespaces may not be listed, and believed first.
const USUAL: [&str; 6] =
    ["monitoring", "prometheus", "observability", "kube-prometheus-stack", "victoria-metrics", "kube-system"];
/// Ports of its HTTP API, by name and by number, the likeliest first.
const PORTS: ([&str; 4], [i64; 4]) = (["web", "http-web", "http", "http-query"], [9090, 80, 10902, 8428]);

/// A Service, and the port at which it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    pub service: String,
    pub port: u16,
}

impl Place {
    /// Whether namespace and Service can be names; a place may come from a person.
    pub(super) fn is_one(&self) -> bool {
        is_label(&self.namespace) && is_label(&self.service) && self.port > 0
    }

    /// The path of one instant query; both values are percent-encoded.
    pub(super) fn path(&self, query: &str, seconds: u64) -> String {
        let Self { namespace, service, port } = self;
        let query = crate::cluster::read::encode(query);
        format!(
            "/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy/api/v1/query?query={query}&timeout={seconds}s"
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

/// The Services that may be one, the likeliest first.
///
/// # Errors
/// `Forbidden` when no Services may be listed anywhere; others as [`Cluster::list`].
pub(super) async fn places(cluster: &Cluster) -> Result<Vec<Place>, ToolError> {
    let kind = builtin("service");
    let listing = Listing { keep: Some(what_it_takes), ..Listing::default() };
    let refused = match cluster.list(&kind, None, &listing).await {
        Ok(listed) => return Ok(among(&listed.items)),
        Err(e @ ToolError::Forbidden { .. }) => e,
        Err(e) => return Err(e),
    };
    let mut namespaces = USUAL.to_vec();
    if !namespaces.contains(&cluster.namespace()) {
        namespaces.push(cluster.namespace());
    }
    let (mut found, mut allowed) = (Vec::new(), false);
    for namespace in namespaces {
        match cluster.list(&kind, Some(namespace), &listing).await {
            Ok(listed) => {
                allowed = true;
                found.extend(listed.items);
            }
            Err(ToolError::Forbidden { .. } | ToolError::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    if allowed { Ok(among(&found)) } else { Err(refused) }
}

/// What is kept of a Service.
fn what_it_takes(service: &Value) -> Value {
    json!({
        "name": text(service, "/metadata/name"),
        "namespace": text(service, "/metadata/namespace"),
        "app": label(service, "app.kubernetes.io/name"),
        "component": label(service, "app.kubernetes.io/component"),
        "type": text(service, "/spec/type"),
        "ports": service.pointer("/spec/ports"),
    })
}

fn label<'a>(service: &'a Value, key: &str) -> &'a str {
    service.pointer("/metadata/labels").and_then(|l| l.get(key)).and_then(Value::as_str).unwrap_or("")
}

/// The places among what was kept of Services. Anybody may name a Service so; hence the usual namespaces come first
/// among equals, and whoever shows figures says whose they are.
fn among(kept: &[Value]) -> Vec<Place> {
    let mut found: Vec<(u8, bool, Place)> = kept
        .iter()
        .filter_map(|s| {
            let place = Place {
                namespace: text(s, "/namespace").to_owned(),
                service: text(s, "/name").to_owned(),
                port: port(items(s, "/ports"))?,
            };
            let named = place.is_one();
            let rank = rank(&place.service, text(s, "/app"), text(s, "/component"))?;
            let usual = USUAL.contains(&place.namespace.as_str());
            (named && text(s, "/type") != "ExternalName").then_some((rank, !usual, place))
        })
        .collect();
    found.sort_by(|a, b| {
        (a.0, a.1, &a.2.namespace, &a.2.service).cmp(&(b.0, b.1, &b.2.namespace, &b.2.service))
    });
    found.into_iter().map(|(_, _, place)| place).collect()
}

/// How likely a Service of that name and these labels is one; the lower the likelier.
fn rank(name: &str, app: &str, component: &str) -> Option<u8> {
    let server = matches!(component, "" | "server" | "prometheus");
    match name {
        "prometheus-server" | "prometheus-k8s" => Some(0),
        // The chart puts the release's name before it, and shortens its own.
        _ if ["kube-prometheus-stack-prometheus", "kube-prometheus-prometheus", "kube-prom-prometheus"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            Some(0)
        }
        _ if app == "prometheus" && server => Some(1),
        "prometheus-operated" | "prometheus" => Some(2),
        _ if name.ends_with("-prometheus-server") => Some(2),
        _ if app == "thanos" && matches!(component, "query" | "query-frontend") => Some(3),
        _ if name.ends_with("thanos-query-frontend") || name.ends_with("thanos-query") => Some(3),
        _ if matches!(app, "vmsingle" | "victoria-metrics-single") => Some(4),
        _ => None,
    }
}

/// The port of the HTTP API; none where there is only TLS, which cannot be asked without credentials of its own.
fn port(ports: &[Value]) -> Option<u16> {
    let usable: Vec<(&str, i64)> = ports
        .iter()
        .filter(|p| matches!(text(p, "/protocol"), "" | "TCP"))
        .map(|p| (text(p, "/name"), p.get("port").and_then(Value::as_i64).unwrap_or(0)))
        .filter(|(name, number)| *number != 443 && !name.contains("https") && !name.contains("grpc"))
        .collect();
    let by_name = PORTS.0.iter().find_map(|n| usable.iter().find(|(name, _)| name == n));
    let by_number = || PORTS.1.iter().find_map(|n| usable.iter().find(|(_, number)| number == n));
    let only = || usable.first().filter(|_| usable.len() == 1);
    let (_, number) = by_name.or_else(by_number).or_else(only)?;
    u16::try_from(*number).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(namespace: &str, name: &str, app: &str, component: &str, ports: Value) -> Value {
        what_it_takes(&json!({
            "metadata": {"name": name, "namespace": namespace, "labels": {
                "app.kubernetes.io/name": app, "app.kubernetes.io/component": component}},
            "spec": {"ports": ports},
        }))
    }

    fn web(port: i64) -> Value {
        json!([{"name": "web", "port": port, "protocol": "TCP"}, {"name": "reloader-web", "port": 8080}])
    }

    #[test]
    fn the_usual_charts_are_found_and_their_helpers_are_not() {
        let services = [
            service("m", "prometheus-operated", "", "", web(9090)),
            service("m", "vmsingle-x", "vmsingle", "", json!([{"name": "http", "port": 8428}])),
            service(
                "team",
                "prometheus-server",
                "prometheus",
                "server",
                json!([{"name": "http", "port": 80}]),
            ),
            service("monitoring", "prometheus-k8s", "prometheus", "prometheus", web(9090)),
            service(
                "m",
                "thanos-query",
                "thanos",
                "query",
                json!([{"name": "grpc", "port": 10901}, {"name": "http", "port": 10902}]),
            ),
            service("m", "mine", "prometheus", "", json!([{"port": 9999}])),
            service(
                "m",
                "x-kube-prometheus-stack-prometheus",
                "",
                "",
                json!([{"name": "http-web", "port": 9090}]),
            ),
            service("m", "prometheus-alertmanager", "alertmanager", "", web(9093)),
            service("m", "prometheus-node-exporter", "prometheus-node-exporter", "", web(9100)),
            service("m", "prometheus-pushgateway", "prometheus-pushgateway", "", web(9091)),
            service("m", "prometheus-exporter", "prometheus", "exporter", web(9091)),
            service("m", "kube-prometheus-stack-operator", "", "", web(443)),
        ];
        let found: Vec<String> = among(&services).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "monitoring/prometheus-k8s:9090",
                "m/x-kube-prometheus-stack-prometheus:9090",
                "team/prometheus-server:80",
                "m/mine:9999",
                "m/prometheus-operated:9090",
                "m/thanos-query:10902",
                "m/vmsingle-x:8428",
            ]
        );
    }

    #[test]
    fn names_and_ports_that_cannot_be_asked_are_left_out() {
        for (namespace, name, ports) in [
            ("m/../x", "prometheus-server", web(80)),
            ("m", "x/../kube-prometheus-stack-prometheus", web(80)),
            ("m", "prometheus-server", json!([{"name": "https", "port": 443}])),
            ("m", "prometheus-server", json!([{"name": "web", "port": 70000}])),
            ("m", "prometheus-server", json!([{"name": "web", "port": -1}])),
            ("m", "prometheus-server", json!([{"name": "web", "port": 80, "protocol": "UDP"}])),
            ("m", "prometheus-server", json!([])),
            ("m", "prometheus-server", Value::Null),
        ] {
            assert_eq!(
                among(&[service(namespace, name, "", "", ports.clone())]),
                [],
                "{namespace} {name} {ports}"
            );
        }
    }

    #[test]
    fn a_query_is_one_value_of_its_path() {
        let place = Place { namespace: "m".into(), service: "p".into(), port: 80 };
        assert_eq!(
            place.path("a{b=\"c&d\"}+1#x", 18),
            "/api/v1/namespaces/m/services/p:80/proxy/api/v1/query?query=a%7Bb%3D%22c%26d%22%7D%2B1%23x&timeout=18s"
        );
    }
}
