//! What the API server itself wrote down about kai's user: the witness that nobody can talk to.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// A write of kai's user, by the API server's audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// create, update, patch, delete, deletecollection.
    pub verb: String,
    /// `resource/name` with a subresource behind it.
    pub object: String,
    /// Its namespace; empty where it is in none.
    pub namespace: String,
    /// Whether it was a dry run.
    pub dry: bool,
    /// The answer's status.
    pub code: i64,
}

/// The writes of a user, from a place in the log on.
///
/// # Errors
/// The log cannot be read.
pub fn writes(log: &Path, from: u64, user: &str) -> Result<Vec<Audited>> {
    let text = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(text.len());
    let text = String::from_utf8_lossy(&text[from..]);
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events.filter_map(|event| write(&event, user)).collect())
}

/// Where the log ends now.
///
/// # Errors
/// It cannot be looked at.
pub fn end(log: &Path) -> Result<u64> {
    Ok(std::fs::metadata(log).with_context(|| format!("cannot read {}", log.display()))?.len())
}

fn write(event: &Value, user: &str) -> Option<Audited> {
    let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let verb = text("/verb");
    let who = [text("/impersonatedUser/username"), text("/user/username")];
    let changes = matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection");
    if text("/stage") != "ResponseComplete" || !changes || !who.contains(&user) {
        return None;
    }
    let resource = text("/objectRef/resource");
    // Reviews store nothing.
    if text("/objectRef/apiGroup").ends_with("authorization.k8s.io") && resource.ends_with("reviews")
        || resource == "selfsubjectreviews"
    {
        return None;
    }
    let parts = [resource, text("/objectRef/name"), text("/objectRef/subresource")];
    let object: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    // A DELETE with a body takes its options from there.
    let in_body =
        event.pointer("/requestObject/dryRun").or(event.pointer("/requestObject/deleteOptions/dryRun"));
    let dry = text("/requestURI").contains("dryRun=All") || in_body == Some(&serde_json::json!(["All"]));
    Some(Audited {
        verb: verb.to_owned(),
        object: object.join("/"),
        namespace: text("/objectRef/namespace").to_owned(),
        dry,
        code: event.pointer("/responseStatus/code").and_then(Value::as_i64).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(verb: &str, uri: &str, resource: &str, body: Value) -> Value {
        json!({"stage": "ResponseComplete", "verb": verb, "requestURI": uri, "requestObject": body,
            "user": {"username": "admin"}, "impersonatedUser": {"username": "eval-1"},
            "objectRef": {"resource": resource, "namespace": "n", "name": "backend"}, "responseStatus": {"code": 200}})
    }

    #[test]
    fn dry_runs_are_told_from_writes() {
        let seen = |event: &Value| write(event, "eval-1").unwrap();
        let real = seen(&event("patch", "/apis/apps/v1/x?fieldManager=kai", "deployments", json!({})));
        assert!(!real.dry && real.object == "deployments/backend" && real.verb == "patch");
        assert!(seen(&event("patch", "/x?dryRun=All", "deployments", json!({}))).dry);
        assert!(seen(&event("delete", "/x", "deployments", json!({"dryRun": ["All"]}))).dry);
        assert!(!seen(&event("delete", "/x?propagationPolicy=Background", "deployments", json!({}))).dry);
        assert_eq!(write(&event("get", "/x", "deployments", json!({})), "eval-1"), None);
        assert_eq!(write(&event("patch", "/x", "deployments", json!({})), "somebody"), None);
    }
}
