//! What is asked, as the API server is asked it: a verb on a resource, from the words that people use.

use serde_json::{Value, json};

use super::CanI;
use crate::cluster::Cluster;
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::object::is_object_name;
use crate::sanitize;

/// One question: may they do this to that?
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Check {
    pub verb: String,
    pub group: String,
    /// Plural, or `*`; a path when it begins with `/`.
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// Empty for all namespaces, and for what has none.
    pub namespace: String,
    pub namespaced: bool,
}

/// Verbs as roles have them.
const VERBS: [&str; 17] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
    "bind",
    "escalate",
    "approve",
    "sign",
    "attest",
    "use",
    "request",
    "*",
];

/// What follows a resource's name with a slash and is no object's name.
const SUBRESOURCES: [&str; 14] = [
    "approval",
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "finalize",
    "log",
    "portforward",
    "proxy",
    "resize",
    "scale",
    "status",
    "token",
];

/// What a person's verb comes to: verbs, each with the resource (when it says that by itself) and the subresource.
fn meant(verb: &str) -> Result<Vec<(&str, &str, &str)>, ToolError> {
    Ok(match verb {
        v if VERBS.contains(&v) => vec![(v, "", "")],
        "read" | "see" | "view" | "show" | "describe" => vec![("get", "", ""), ("list", "", "")],
        "edit" | "change" | "modify" | "restart" | "set" | "label" | "annotate" | "pause" | "resume" => {
            vec![("patch", "", "")]
        }
        "write" => vec![("create", "", ""), ("update", "", ""), ("patch", "", ""), ("delete", "", "")],
        "apply" => vec![("get", "", ""), ("create", "", ""), ("patch", "", "")],
        "add" | "make" | "deploy" | "run" => vec![("create", "", "")],
        "remove" => vec![("delete", "", "")],
        "scale" => vec![("patch", "", "scale")],
        "logs" | "log" => vec![("get", "pods", "log")],
        "exec" | "attach" => vec![("create", "pods", verb)],
        "portforward" | "port-forward" => vec![("create", "pods", "portforward")],
        "evict" => vec![("create", "pods", "eviction")],
        "cordon" | "uncordon" => vec![("patch", "nodes", "")],
        "drain" => vec![("patch", "nodes", ""), ("list", "pods", ""), ("create", "pods", "eviction")],
        other => {
            return Err(ToolError::Invalid(format!(
                "can_i: `{}` is no verb: use {}, or scale, exec, logs, restart, drain",
                sanitize::line(other),
                VERBS[..8].join(", ")
            )));
        }
    })
}

/// The questions that a call comes to; `None` when it asks for all rights.
///
/// # Errors
/// `Invalid` for what is no verb or lacks its resource; what [`Cluster::kind`] says of the resource.
pub(super) async fn checks(
    cluster: &Cluster,
    call: &CanI,
    namespace: Option<&str>,
) -> Result<Option<Vec<Check>>, ToolError> {
    let Some(verb) = call.verb.as_deref().map(|v| v.trim().to_lowercase()).filter(|v| !v.is_empty()) else {
        return match &call.name {
            Some(_) => Err(ToolError::Invalid("can_i: `name` goes with a verb".into())),
            None => Ok(None),
        };
    };
    let mut checks = Vec::new();
    // What runs on a node is in any namespace.
    let namespace = namespace.filter(|_| verb != "drain");
    for (verb, own, subresource) in meant(&verb)? {
        // "drain" is about nodes and pods whatever was named; "exec" may name its pod.
        let said = match (call.resource.as_deref().map(str::trim), own) {
            (Some(said), "") => said,
            (Some(said), own) if !own.is_empty() && said.starts_with("pod") && own == "pods" => said,
            (_, "") => {
                return Err(ToolError::Invalid(
                    "can_i: say on which `resource`, such as pods or deployments/scale".into(),
                ));
            }
            (_, own) => own,
        };
        let mut check = resource(cluster, verb, said).await?;
        if !subresource.is_empty() {
            check.subresource = subresource.into();
        }
        if let Some(name) = call.name.as_deref().filter(|_| own.is_empty() || check.resource == "pods") {
            check.name = name.trim().to_string();
        }
        if !check.name.is_empty() && !is_object_name(&check.name) {
            return Err(ToolError::Invalid(format!("`{}` cannot be a name", sanitize::line(&check.name))));
        }
        check.verb = verb.into();
        if check.namespaced {
            check.namespace = namespace.unwrap_or("").into();
        }
        checks.push(check);
    }
    Ok(Some(checks))
}

/// The resource that `said` means: a kind, `kind/subresource`, `kind/name`, `*`, or a path such as `/metrics`.
///
/// # Errors
/// As [`Cluster::kind`].
pub(super) async fn resource(cluster: &Cluster, verb: &str, said: &str) -> Result<Check, ToolError> {
    let said = said.trim();
    if said.starts_with('/') {
        return Ok(Check { resource: said.into(), ..Check::default() });
    }
    let (base, after) = said.split_once('/').unwrap_or((said, ""));
    let after_lower = after.to_lowercase();
    let (subresource, name) = if SUBRESOURCES.contains(&after_lower.as_str()) || after == "*" {
        (after_lower, String::new())
    } else {
        (String::new(), after.to_string())
    };
    let mut check = Check { subresource, name, namespaced: true, ..Check::default() };
    if base == "*" {
        (check.group, check.resource) = ("*".into(), "*".into());
        return Ok(check);
    }
    // Impersonation is of what is no object.
    if verb == "impersonate" && ["user", "users", "group", "groups"].contains(&base.to_lowercase().as_str()) {
        check.resource = format!("{}s", base.to_lowercase().trim_end_matches('s'));
        check.namespaced = false;
        return Ok(check);
    }
    let kind = cluster.kind(base).await.map_err(|e| near_subresource(e, after))?;
    (check.group, check.resource, check.namespaced) = (kind.group, kind.plural, kind.namespaced);
    Ok(check)
}

fn near_subresource(error: ToolError, after: &str) -> ToolError {
    match error {
        ToolError::NotFound { message, mut similar } if similar.is_empty() && !after.is_empty() => {
            similar.extend(nearest(after, SUBRESOURCES.into_iter()));
            ToolError::NotFound { message, similar }
        }
        other => other,
    }
}

impl Check {
    /// As a review's `spec` has it.
    pub(super) fn attributes(&self) -> Value {
        if self.resource.starts_with('/') {
            return json!({"nonResourceAttributes": {"path": self.resource, "verb": self.verb}});
        }
        json!({"resourceAttributes": {
            "verb": self.verb, "group": self.group, "resource": self.resource, "subresource": self.subresource,
            "name": self.name, "namespace": self.namespace,
        }})
    }

    /// `deployments.apps/scale`, as roles and `kubectl` have it.
    pub(super) fn what(&self) -> String {
        let name = shown(&self.group, &self.resource);
        let subresource =
            if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        sanitize::line(&format!("{name}{subresource}"))
    }

    /// `patch deployments.apps/scale named backend`.
    pub(super) fn said(&self) -> String {
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!(" named {}", sanitize::line(&self.name))
        };
        let verb = if self.verb == "*" { "do anything to" } else { &self.verb };
        format!("{verb} {}{name}", self.what())
    }
}

/// A resource with its group: `pods`, `deployments.apps`, `everything`.
pub(super) fn shown(group: &str, resource: &str) -> String {
    match (group, resource) {
        ("*", "*") => "everything".into(),
        ("", resource) => resource.into(),
        ("*", resource) => format!("{resource} of any group"),
        (group, "*") => format!("everything in {group}"),
        (group, resource) => match resource.split_once('/') {
            Some((base, sub)) => format!("{base}.{group}/{sub}"),
            None => format!("{resource}.{group}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_doing_is_what_roles_call_it() {
        assert_eq!(meant("scale").unwrap(), [("patch", "", "scale")]);
        assert_eq!(meant("exec").unwrap(), [("create", "pods", "exec")]);
        assert_eq!(meant("delete").unwrap(), [("delete", "", "")]);
        assert_eq!(meant("drain").unwrap().len(), 3);
        let error = meant("frobnicate").unwrap_err().to_string();
        assert!(error.contains("`frobnicate` is no verb: use get, list"), "{error}");
    }

    #[test]
    fn resources_are_named_with_their_group() {
        let check = Check {
            verb: "patch".into(),
            group: "apps".into(),
            resource: "deployments".into(),
            subresource: "scale".into(),
            name: "backend".into(),
            ..Check::default()
        };
        assert_eq!(check.said(), "patch deployments.apps/scale named backend");
        assert_eq!(shown("apps", "deployments/scale"), "deployments.apps/scale");
        assert_eq!(
            (shown("*", "*"), shown("apps", "*"), shown("", "pods")),
            ("everything".into(), "everything in apps".into(), "pods".into())
        );
    }
}
