//! The short forms in which people and models say probes, references and mounts (pure).

use serde_json::{Value, json};

use crate::error::ToolError;
use crate::object::is_object_name;
use crate::quantity::milli;
use crate::sanitize;

fn invalid(what: &str, said: &str, forms: &str) -> ToolError {
    ToolError::Invalid(format!("`{}` is not a {what}: {forms}", sanitize::line(said)))
}

/// A probe's handler: `http:/ready:8000`, `https:/ready:8443`, `tcp:5432`, `exec:redis-cli ping`; `None` for `none`.
/// The port may be left out where there is a main port.
pub fn probe(said: &str, main_port: Option<u16>) -> Result<Option<Value>, ToolError> {
    const FORMS: &str = "use http:/path:port, tcp:port, exec:command or none";
    let wrong = || invalid("probe", said, FORMS);
    let said_trimmed = said.trim();
    if said_trimmed == "none" {
        return Ok(None);
    }
    // A path alone is what people mean most.
    let (scheme, rest) = match said_trimmed.split_once(':') {
        Some((scheme, rest)) => (scheme, rest),
        None if said_trimmed.starts_with('/') => ("http", said_trimmed),
        None => return Err(wrong()),
    };
    let port_of = |port: &str| port.parse::<u16>().ok().filter(|p| *p > 0);
    let handler = match scheme {
        "http" | "https" => {
            let (path, port) = match rest.rsplit_once(':') {
                Some((path, port)) => (path, Some(port_of(port).ok_or_else(wrong)?)),
                None => (rest, main_port),
            };
            if !path.starts_with('/') {
                return Err(wrong());
            }
            let mut get = json!({"path": path, "port": port.ok_or_else(wrong)?});
            if scheme == "https" {
                get["scheme"] = json!("HTTPS");
            }
            json!({"httpGet": get})
        }
        "tcp" => {
            json!({"tcpSocket": {"port": port_of(rest).or(main_port.filter(|_| rest.is_empty())).ok_or_else(wrong)?}})
        }
        "exec" if !rest.trim().is_empty() => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            json!({"exec": {"command": words}})
        }
        _ => return Err(wrong()),
    };
    Ok(Some(handler))
}

/// A source of environment variables.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvFrom {
    /// All keys of a Secret or ConfigMap.
    Whole(Value),
    /// One key under a name of its own.
    One(Value),
}

/// `secret/app`, `configmap/app`, `DB_URL=secret/app/url`.
pub fn env_from(said: &str) -> Result<EnvFrom, ToolError> {
    const FORMS: &str = "use secret/name, configmap/name or NAME=secret/name/key";
    let wrong = || invalid("source of environment variables", said, FORMS);
    let (variable, source) = match said.trim().split_once('=') {
        Some((variable, source)) => (Some(variable.trim()), source.trim()),
        None => (None, said.trim()),
    };
    let parts: Vec<&str> = source.split('/').collect();
    let secret = match parts.first().copied() {
        Some("secret" | "secrets") => true,
        Some("configmap" | "configmaps" | "cm") => false,
        _ => return Err(wrong()),
    };
    if parts[1..].iter().any(|p| !is_object_name(p) && !p.starts_with('_')) {
        return Err(wrong());
    }
    match (variable, &parts[1..]) {
        (None, [name]) => {
            let key = if secret { "secretRef" } else { "configMapRef" };
            Ok(EnvFrom::Whole(json!({key: {"name": name}})))
        }
        (Some(variable), [name, rest @ ..]) if !variable.is_empty() && rest.len() <= 1 => {
            let key = rest.first().copied().unwrap_or(variable);
            let reference = if secret { "secretKeyRef" } else { "configMapKeyRef" };
            Ok(EnvFrom::One(json!({"name": variable, "valueFrom": {reference: {"name": name, "key": key}}})))
        }
        _ => Err(wrong()),
    }
}

/// What is mounted at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub path: String,
    /// Name of the volume, made from the path.
    pub volume: String,
    pub source: Source,
}

/// Where a mount's files come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A new claim of that size, of that storage class.
    Claim {
        size: String,
        class: Option<String>,
    },
    /// A claim that exists.
    Existing(String),
    ConfigMap(String),
    Secret(String),
    Empty,
    Memory(Option<String>),
}

/// `/data=5Gi`, `/data=5Gi:fast`, `/data=claim/name`, `/etc/app=configmap/x`, `/keys=secret/y`, `/tmp=empty`,
/// `/dev/shm=memory:1Gi`.
pub fn mount(said: &str) -> Result<Mount, ToolError> {
    const FORMS: &str = "use /path=5Gi, /path=claim/name, /path=configmap/name, /path=secret/name, /path=empty or /path=memory:1Gi";
    let wrong = || invalid("mount", said, FORMS);
    let (path, source) = said.trim().split_once('=').ok_or_else(wrong)?;
    if !path.starts_with('/') || path.len() < 2 || path.contains("..") || path.contains(':') {
        return Err(wrong());
    }
    let named = |name: &str| is_object_name(name).then(|| name.to_string()).ok_or_else(wrong);
    let sized = |size: &str| milli(size).is_some_and(|q| q > 0).then(|| size.to_string()).ok_or_else(wrong);
    let source = match source.split_once('/') {
        Some(("claim" | "pvc", name)) => Source::Existing(named(name)?),
        Some(("configmap" | "cm", name)) => Source::ConfigMap(named(name)?),
        Some(("secret", name)) => Source::Secret(named(name)?),
        Some(_) => return Err(wrong()),
        None => match source.split_once(':') {
            None if source == "empty" => Source::Empty,
            None if source == "memory" => Source::Memory(None),
            Some(("memory", size)) => Source::Memory(Some(sized(size)?)),
            Some((size, class)) => Source::Claim { size: sized(size)?, class: Some(named(class)?) },
            None => Source::Claim { size: sized(source)?, class: None },
        },
    };
    let mut volume: String = path
        .trim_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    volume.truncate(40);
    Ok(Mount { path: path.into(), volume: volume.trim_matches('-').to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes() {
        assert_eq!(
            probe("http:/ready:8000", None).unwrap(),
            Some(json!({"httpGet": {"path": "/ready", "port": 8000}}))
        );
        assert_eq!(
            probe("/health", Some(80)).unwrap(),
            Some(json!({"httpGet": {"path": "/health", "port": 80}}))
        );
        assert_eq!(probe("tcp:5432", None).unwrap(), Some(json!({"tcpSocket": {"port": 5432}})));
        assert_eq!(
            probe("exec:redis-cli ping", None).unwrap(),
            Some(json!({"exec": {"command": ["redis-cli", "ping"]}}))
        );
        assert_eq!(probe("none", None).unwrap(), None);
        for bad in ["", "ready", "http:ready:80", "http:/x", "tcp:", "tcp:0", "tcp:99999", "exec:", "grpc:1"]
        {
            assert!(probe(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(
            env_from("DB=secret/app/url").unwrap(),
            EnvFrom::One(json!({"name": "DB", "valueFrom": {"secretKeyRef": {"name": "app", "key": "url"}}}))
        );
        assert_eq!(
            env_from("configmap/app").unwrap(),
            EnvFrom::Whole(json!({"configMapRef": {"name": "app"}}))
        );
        for bad in ["app", "secret", "pod/x", "A=secret/x/y/z", "=secret/x/y"] {
            assert!(env_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts() {
        assert_eq!(mount("/data=5Gi").unwrap().source, Source::Claim { size: "5Gi".into(), class: None });
        assert_eq!(mount("/var/lib/x=claim/d").unwrap().volume, "var-lib-x");
        assert_eq!(mount("/dev/shm=memory:1Gi").unwrap().source, Source::Memory(Some("1Gi".into())));
        for bad in ["/data", "data=5Gi", "/data=lots", "/=1Gi", "/a/../b=1Gi", "/data=hostpath/etc"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
