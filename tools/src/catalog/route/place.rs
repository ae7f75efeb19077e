//! A host with a path, and the Service behind it (pure).

use std::fmt;

use serde_json::{Value, json};

use crate::error::ToolError;
use crate::object::{is_object_name, items, number, text};
use crate::sanitize;

/// A host (empty: any) with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub host: String,
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.is_empty() { "*" } else { &self.host };
        write!(
            f,
            "{}{}",
            sanitize::line(host),
            if self.path == "/" { String::new() } else { sanitize::line(&self.path) }
        )
    }
}

/// A Service with the number of one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    pub service: String,
    pub port: i64,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

impl Backend {
    /// As an Ingress has it.
    pub fn of_ingress(&self) -> Value {
        json!({"service": {"name": self.service, "port": {"number": self.port}}})
    }
}

/// A host as rules name it; a wildcard may stand for its first part.
pub(super) fn host(said: &str) -> Result<String, ToolError> {
    let host = said.trim().to_lowercase();
    let rest = host.strip_prefix("*.").unwrap_or(&host);
    let is_label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if rest.len() > 253 || !rest.split('.').all(is_label) {
        return Err(ToolError::Invalid(format!(
            "route: `{}` is not a host such as shop.example.com (no scheme, port or path)",
            sanitize::line(said)
        )));
    }
    Ok(host)
}

/// A path as rules name it.
pub(super) fn path(said: &str) -> Result<String, ToolError> {
    let said = said.trim();
    if !said.starts_with('/') || said.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
        return Err(ToolError::Invalid(format!(
            "route: `{}` is not a path: it begins with `/` and has no spaces",
            sanitize::line(said)
        )));
    }
    Ok(said.into())
}

/// `web` or `web:80` or `web:http`.
pub(super) fn service(said: &str) -> Result<(String, Option<String>), ToolError> {
    let said = said.trim();
    let said = ["service/", "svc/"].iter().find_map(|p| said.strip_prefix(p)).unwrap_or(said);
    let (name, port) = said.split_once(':').map_or((said, None), |(n, p)| (n, Some(p)));
    if !is_object_name(name) || port.is_some_and(|p| p.is_empty() || !is_object_name(p)) {
        return Err(ToolError::Invalid(format!(
            "route: `{}` is not a Service: write name or name:port",
            sanitize::line(said)
        )));
    }
    Ok((name.into(), port.map(Into::into)))
}

/// The port of a Service that is meant: the given one, its only one, or the one that the main rule uses too.
pub(super) fn port(service: &Value, given: Option<&str>, main: Option<i64>) -> Result<i64, ToolError> {
    let name = text(service, "/metadata/name");
    let ports = items(service, "/spec/ports");
    let listed: Vec<String> = ports
        .iter()
        .map(|p| {
            let number = number(p, "/port").unwrap_or_default();
            match text(p, "/name") {
                "" => number.to_string(),
                name => format!("{number} ({})", sanitize::line(name)),
            }
        })
        .collect();
    let numbered = |wanted: i64| ports.iter().any(|p| number(p, "/port") == Some(wanted));
    let meant = match (given, ports) {
        (Some(given), _) => ports.iter().find(|p| {
            text(p, "/name") == given || number(p, "/port").is_some_and(|n| n.to_string() == given)
        }),
        (None, [only]) => Some(only),
        (None, _) => {
            if let Some(main) = main.filter(|m| numbered(*m)) {
                return Ok(main);
            }
            None
        }
    };
    meant.and_then(|p| number(p, "/port")).ok_or_else(|| {
        ToolError::Invalid(match (given, ports) {
            (_, []) => format!("route: service/{name} has no ports"),
            (Some(given), _) => {
                format!(
                    "route: service/{name} has no port {}; it has {}",
                    sanitize::line(given),
                    listed.join(", ")
                )
            }
            (None, _) => format!(
                "route: service/{name} has the ports {}: which one? Say {name}:{}",
                listed.join(", "),
                listed[0].split(' ').next().unwrap_or_default()
            ),
        })
    })
}

/// Which of the paths of a host is meant: the given one, the only one, or `/` where that is what people mean.
pub(super) fn pick(
    host: &str,
    paths: &[String],
    given: Option<&str>,
    root: bool,
) -> Result<String, ToolError> {
    let mut paths = paths.to_vec();
    paths.sort();
    paths.dedup();
    let chosen = match given {
        Some(given) => paths.iter().find(|p| *p == given),
        None if root && paths.iter().any(|p| p == "/") => paths.iter().find(|p| *p == "/"),
        None if paths.len() == 1 => paths.first(),
        None => None,
    };
    chosen.cloned().ok_or_else(|| {
        let listed = sanitize::line(&paths.join(", "));
        match given {
            Some(given) => ToolError::NotFound {
                message: format!("{host} has no rule for {}; it has {listed}", sanitize::line(given)),
                similar: Vec::new(),
            },
            None => {
                ToolError::Invalid(format!("route: {host} has the paths {listed}: which one? Give `path`"))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_paths_and_services() {
        assert_eq!(host("Shop.Example.com").unwrap(), "shop.example.com");
        assert_eq!(host("*.example.com").unwrap(), "*.example.com");
        for bad in ["https://a.b", "a.b/c", "a.b:80", "", "a..b", "a b", "-a.b", "shop.*.com"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(path("/api").is_ok() && path("api").is_err() && path("/a b").is_err());
        assert_eq!(service("web:80").unwrap(), ("web".into(), Some("80".into())));
        assert_eq!(service("svc/web").unwrap(), ("web".into(), None));
        assert!(service("web:").is_err() && service("../x").is_err());
    }

    #[test]
    fn the_port_is_given_or_the_only_one_or_a_question() {
        let web = |ports: Value| json!({"metadata": {"name": "web"}, "spec": {"ports": ports}});
        let one = web(json!([{"port": 80, "name": "http"}]));
        let two = web(json!([{"port": 80, "name": "http"}, {"port": 9090, "name": "metrics"}]));
        assert_eq!(port(&one, None, None).unwrap(), 80);
        assert_eq!(port(&two, Some("metrics"), None).unwrap(), 9090);
        assert_eq!(port(&two, None, Some(9090)).unwrap(), 9090);
        for (service, given, says) in [
            (&one, Some("81"), "has no port 81; it has 80 (http)"),
            (&two, None, "the ports 80 (http), 9090 (metrics): which one? Say web:80"),
            (&web(json!([])), None, "has no ports"),
        ] {
            let error = port(service, given, None).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn several_paths_are_a_question() {
        let paths = |all: &[&str]| all.iter().map(|p| (*p).to_string()).collect::<Vec<_>>();
        assert_eq!(pick("a", &paths(&["/api"]), None, false).unwrap(), "/api");
        assert_eq!(pick("a", &paths(&["/api", "/"]), None, true).unwrap(), "/");
        assert!(pick("a", &paths(&["/api", "/"]), None, false).unwrap_err().to_string().contains("/, /api"));
        assert!(
            pick("a", &paths(&["/api"]), Some("/x"), false)
                .unwrap_err()
                .to_string()
                .contains("no rule for /x")
        );
    }
}
