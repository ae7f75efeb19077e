//! Addresses in variables and ConfigMaps: Services that are not there, ports that they do not have, hosts that browsers
//! and other pods cannot reach.

use serde_json::Value;

use super::pods::Pods;
use super::secrets::is_for_browsers;
use super::set::{Found, Set};
use crate::manifest::Document;
use crate::object::{items, number, text};

/// An address found in a text.
#[derive(Debug, PartialEq)]
struct Address<'a> {
    host: &'a str,
    port: Option<i64>,
}

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        let single = items(pods.spec, "/containers").len() == 1;
        for container in pods.containers() {
            for (i, env) in items(container.value, "/env").iter().enumerate() {
                let path = format!("{}/env/{i}/value", container.path);
                let (name, value) = (text(env, "/name"), text(env, "/value"));
                for address in addresses(value) {
                    look(set, pods.doc, &path, name, &address);
                    let own = container.ports();
                    if single && !is_for_browsers(name) {
                        itself(set, &pods, &path, name, &address, &own);
                    }
                }
            }
        }
    }
    for d in set.of("configmap") {
        for (key, value) in d.value["data"].as_object().into_iter().flatten() {
            // Files have a grammar of their own; values that stand for variables are one line.
            let said = value.as_str().filter(|s| s.lines().count() == 1).unwrap_or("");
            for address in addresses(said) {
                look(set, d, &format!("/data/{}", key.replace('/', "~1")), key, &address);
            }
        }
    }
}

/// The addresses of a value: `scheme://[user@]host[:port]...` and `host:port`, several with commas between.
fn addresses(value: &str) -> Vec<Address<'_>> {
    let mut found = Vec::new();
    for part in value.split(',').map(str::trim) {
        let (has_scheme, rest) = match part.find("://") {
            Some(at) => (true, &part[at + 3..]),
            None => (false, part),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let authority = authority.rsplit('@').next().unwrap_or("");
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse::<i64>().ok().filter(|p| (1..=65535).contains(p))),
            None => (authority, None),
        };
        let is_host = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
            && host.starts_with(|c: char| c.is_ascii_lowercase());
        let is_address = host == "127.0.0.1" && port.is_some();
        // Without a scheme, an image (`redis:7`) and a time look like host and port: only Services' full names count.
        let full = host.contains(".svc");
        if (is_host && (has_scheme || full)) || is_address {
            found.push(Address { host, port });
        }
    }
    found
}

/// The Service and namespace that a host names, for a pod of `namespace`: `redis`, `redis.cache`, `redis.cache.svc...`.
fn service<'a>(host: &'a str, namespace: &'a str) -> Option<(&'a str, &'a str)> {
    let host = host.trim_end_matches('.').trim_end_matches(".cluster.local");
    let mut parts = host.split('.');
    match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        ("localhost", None, ..) => None,
        (name, None, ..) => Some((name, namespace)),
        (name, Some(ns), Some("svc"), None) => Some((name, ns)),
        _ => None,
    }
}

fn look(set: &Set<'_>, d: &Document, path: &str, variable: &str, address: &Address<'_>) {
    let namespace = set.namespace(d);
    let named = service(address.host, namespace);
    if is_for_browsers(variable) {
        let says = match named {
            None if address.host == "localhost" => {
                "localhost, and browsers take that for the user's own machine".to_string()
            }
            None => return,
            Some((name, _)) => format!("service/{name}, and browsers cannot resolve the cluster's own names"),
        };
        let fix = "Name the address at which the Ingress or load balancer is reached, or a path such as /api";
        set.warn("browser-cannot-reach", d, path, format!("{variable} names {says}"), fix);
    }
    let Some((name, within)) = named else { return };
    let found = set.find("service", within, name);
    match found {
        Found::Unknown => {}
        Found::Absent => {
            if is_for_browsers(variable) || set.has_custom() || reached_otherwise(set, d, address.host) {
                return;
            }
            let says = format!(
                "{variable} names host {}, and there is no service {name} in namespace {within}",
                address.host
            );
            let fix = set.instead("service", within, name, "Correct the name, or add the Service".into());
            set.warn(
                "dangling-host",
                d,
                path,
                says,
                fix.replace(
                    ", which cannot be used from here: make it",
                    ": write its full name, or make one",
                ),
            );
        }
        Found::Here(service) => {
            let ports: Vec<i64> =
                items(service, "/spec/ports").iter().filter_map(|p| number(p, "/port")).collect();
            let headless = text(service, "/spec/clusterIP") == "None";
            if let Some(port) = address.port
                && !ports.is_empty()
                && !ports.contains(&port)
                && !headless
            {
                let listed: Vec<String> = ports.iter().map(i64::to_string).collect();
                let says = format!(
                    "{variable} says port {port}, and service/{name} has {}: connections fail",
                    listed.join(", ")
                );
                set.problem(
                    "wrong-service-port",
                    d,
                    path,
                    says,
                    format!("Write {}:{}", address.host, listed[0]),
                );
            }
        }
    }
}

/// Whether the host may be one that the pod is given by hand.
fn reached_otherwise(set: &Set<'_>, d: &Document, host: &str) -> bool {
    // A ConfigMap says nothing of the pods that read it.
    let Some(pods) = Pods::of(d) else { return set.pods().next().is_none() };
    items(pods.spec, "/hostAliases").iter().flat_map(|a| items(a, "/hostnames")).any(|h| h == host)
        || pods.spec.pointer("/dnsConfig/searches").is_some()
        || pods.spec["hostNetwork"] == Value::Bool(true)
}

/// `localhost` in a pod is the pod.
fn itself(set: &Set<'_>, pods: &Pods<'_>, path: &str, variable: &str, address: &Address<'_>, own: &[i64]) {
    let Some(port) = address.port.filter(|_| matches!(address.host, "localhost" | "127.0.0.1")) else {
        return;
    };
    if own.is_empty()
        || own.contains(&port)
        || items(pods.spec, "/initContainers").iter().any(|c| text(c, "/restartPolicy") == "Always")
    {
        return;
    }
    let says = format!(
        "{variable} names {}:{port}, which is the pod itself, and nothing else runs in it",
        address.host
    );
    let there = set.of("service").find(|s| {
        set.namespace(s) == set.namespace(pods.doc)
            && items(&s.value, "/spec/ports").iter().any(|p| number(p, "/port") == Some(port))
    });
    let fix = match there {
        Some(s) => format!("Name the Service instead: {}:{port}", s.name()),
        None => "Name the Service of what is meant".into(),
    };
    set.warn("localhost", pods.doc, path, says, fix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::check::tests::{finds, quiet};

    fn pod(name: &str, value: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec:\n  containers:\n  - name: c\n    image: x:1\n    ports: [{{containerPort: 3000}}]\n    env: [{{name: {name}, value: '{value}'}}]\n---\n"
        )
    }

    const API: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\nspec: {ports: [{port: 8000}]}\n---\n";

    #[test]
    fn addresses_in_values() {
        let hosts = |v| addresses(v).into_iter().map(|a| (a.host, a.port)).collect::<Vec<_>>();
        assert_eq!(hosts("http://api:8000/x,redis://u:p@redis/0"), [("api", Some(8000)), ("redis", None)]);
        assert_eq!(hosts("api.shop.svc.cluster.local:80"), [("api.shop.svc.cluster.local", Some(80))]);
        for none in ["redis:7", "12:30", "fast", "a/b", "HTTP://X", "http://$(HOST):80", "http://[::1]:80"] {
            assert!(hosts(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn services_and_their_ports() {
        let with = |value: &str| format!("{}{API}", pod("API_URL", value));
        finds(
            &with("http://api.shop.svc.cluster.local:3000"),
            "",
            "wrong-service-port",
            &["says port 3000, and service/api has 8000", "Write api.shop.svc.cluster.local:8000"],
        );
        finds(
            &with("http://apy:8000"),
            "",
            "dangling-host",
            &["no service apy in namespace shop", "Did you mean api?"],
        );
        finds(
            &with("http://api.other.svc:8000"),
            "",
            "dangling-host",
            &["There is one in namespace shop: write its full name"],
        );
        for good in
            ["http://api:8000/x", "http://api", "https://api.example.com:3000", "http://api.shop.svc:8000"]
        {
            quiet(&with(good), "", "wrong-service-port");
            quiet(&with(good), "", "dangling-host");
        }
        quiet(&pod("API_URL", "http://api:8000"), API, "dangling-host");
        finds(&pod("API_URL", "http://api:80"), API, "wrong-service-port", &["has 8000"]);
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: shop}}\ndata: {{API_URL: 'http://api:81'}}\n---\n{API}"
        );
        finds(&map, "", "wrong-service-port", &["configmap/m data.API_URL"]);
    }

    #[test]
    fn browsers_are_outside() {
        finds(
            &format!("{}{API}", pod("NEXT_PUBLIC_API_URL", "http://api:8000")),
            "",
            "browser-cannot-reach",
            &["service/api", "browsers cannot resolve"],
        );
        finds(
            &pod("VITE_API_URL", "http://localhost:8000"),
            "",
            "browser-cannot-reach",
            &["user's own machine"],
        );
        quiet(
            &format!("{}{API}", pod("NEXT_PUBLIC_API_URL", "https://shop.example.com/api")),
            "",
            "browser-cannot-reach",
        );
        quiet(&format!("{}{API}", pod("API_URL", "http://api:8000")), "", "browser-cannot-reach");
    }

    #[test]
    fn localhost_is_the_pod() {
        finds(
            &format!("{}{API}", pod("API_URL", "http://localhost:8000")),
            "",
            "localhost",
            &["the pod itself", "Name the Service instead: api:8000"],
        );
        finds(
            &pod("DATABASE_URL", "postgresql://localhost:5432/todo_db"),
            "",
            "localhost",
            &["nothing else runs in it"],
        );
        quiet(&pod("SELF_URL", "http://localhost:3000"), "", "localhost");
    }
}
