//! What roles and bindings give, to whom: read as they stand, and matched as the API server matches them.

use serde_json::Value;

use super::asked::Check;
use super::subject::Subject;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::{builtin, items, text};

/// A rule of a role.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rule {
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub verbs: Vec<String>,
    pub urls: Vec<String>,
}

/// The rules that a binding gives to its subjects.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grant {
    pub rules: Vec<Rule>,
    /// `clusterrole/edit`.
    pub role: String,
    /// `rolebinding/deployers`.
    pub binding: String,
    /// The namespace that it is for; `None`: all, and what has none.
    pub scope: Option<String>,
    pub subjects: Vec<Value>,
}

/// All grants that hold in a namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Roles {
    pub grants: Vec<Grant>,
    /// Kinds that may not be read.
    pub unread: Vec<&'static str>,
    /// Bindings to roles that are not there.
    pub dangling: Vec<String>,
}

/// The roles and bindings that hold in a namespace, or anywhere.
///
/// # Errors
/// `Forbidden` when no bindings may be read; those of a read.
pub(super) async fn read(cluster: &Cluster, namespace: Option<&str>) -> Result<Roles, ToolError> {
    let list = |kind: &'static str| async move {
        cluster.list(&builtin(kind), namespace, &Listing::default()).await.map(|l| l.items)
    };
    let (cluster_bindings, bindings, cluster_roles, roles) =
        tokio::join!(list("clusterrolebinding"), list("rolebinding"), list("clusterrole"), list("role"));
    let mut unread = Vec::new();
    let mut first = None;
    let mut known = |kind: &'static str, listed: Result<Vec<Value>, ToolError>| match listed {
        Ok(items) => Ok(items),
        Err(e @ ToolError::Forbidden { .. }) => {
            unread.push(kind);
            first.get_or_insert(e);
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    };
    let cluster_bindings = known("clusterrolebindings", cluster_bindings)?;
    let bindings = known("rolebindings", bindings)?;
    let cluster_roles = known("clusterroles", cluster_roles)?;
    let roles = known("roles", roles)?;
    if let Some(forbidden) =
        first.filter(|_| unread.contains(&"clusterrolebindings") && unread.contains(&"rolebindings"))
    {
        return Err(forbidden);
    }
    let mut found = together(&cluster_bindings, &bindings, &cluster_roles, &roles);
    // A role that may not be read is not one that is missing.
    found.dangling.retain(|d| {
        let unknown = if d.contains("refers to clusterrole/") { "clusterroles" } else { "roles" };
        !unread.contains(&unknown)
    });
    found.unread = unread;
    Ok(found)
}

/// Bindings with the rules of their roles (pure).
fn together(
    cluster_bindings: &[Value],
    bindings: &[Value],
    cluster_roles: &[Value],
    roles: &[Value],
) -> Roles {
    let mut found = Roles::default();
    let all = cluster_bindings.iter().map(|b| (b, false)).chain(bindings.iter().map(|b| (b, true)));
    for (binding, in_namespace) in all {
        let (name, namespace) = (text(binding, "/metadata/name"), text(binding, "/metadata/namespace"));
        let role = text(binding, "/roleRef/name");
        let is_cluster_role = text(binding, "/roleRef/kind") == "ClusterRole";
        let of = if is_cluster_role { cluster_roles } else { roles };
        let rules = of.iter().find(|r| {
            text(r, "/metadata/name") == role
                && (is_cluster_role || text(r, "/metadata/namespace") == namespace)
        });
        let kind = if in_namespace { "rolebinding" } else { "clusterrolebinding" };
        let role = format!("{}/{role}", if is_cluster_role { "clusterrole" } else { "role" });
        let binding_name = format!("{kind}/{name}");
        match rules {
            Some(rules) => found.grants.push(Grant {
                rules: items(rules, "/rules").iter().map(Rule::of).collect(),
                role,
                binding: binding_name,
                scope: in_namespace.then(|| namespace.to_string()),
                subjects: items(binding, "/subjects").to_vec(),
            }),
            None => found.dangling.push(format!("{binding_name} refers to {role}")),
        }
    }
    found
}

/// A rule that would give what is asked if it named the API group that the resource is in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slip {
    /// `role/reader by rolebinding/ci`.
    pub source: String,
    /// The groups that the rule names.
    pub groups: Vec<String>,
}

impl Rule {
    pub(super) fn of(rule: &Value) -> Self {
        let list = |key: &str| -> Vec<String> {
            items(rule, key).iter().filter_map(|v| Some(v.as_str()?.to_string())).collect()
        };
        Self {
            groups: list("/apiGroups"),
            resources: list("/resources"),
            names: list("/resourceNames"),
            verbs: list("/verbs"),
            urls: list("/nonResourceURLs"),
        }
    }

    /// Whether it gives what is asked, as the RBAC authorizer decides it.
    pub(super) fn covers(&self, check: &Check) -> bool {
        let has = |list: &[String], one: &str| list.iter().any(|l| l == "*" || l == one);
        if !has(&self.verbs, &check.verb) {
            return false;
        }
        if check.resource.starts_with('/') {
            return self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(start) => check.resource.starts_with(start),
                None => *url == check.resource,
            });
        }
        self.is_about(check) && (self.names.is_empty() || self.names.contains(&check.name))
    }

    /// Whether it would give what is asked if its groups were right: the resource is named in so many words, and no
    /// group of the rule is the one that has it.
    fn misses_the_group(&self, check: &Check) -> bool {
        let whole = match check.subresource.as_str() {
            "" => check.resource.clone(),
            sub => format!("{}/{sub}", check.resource),
        };
        let elsewhere = !self.groups.iter().any(|g| g == "*" || *g == check.group);
        let right = Self { groups: vec![check.group.clone()], ..self.clone() };
        !check.resource.starts_with('/')
            && check.resource != "*"
            && elsewhere
            && self.resources.contains(&whole)
            && right.covers(check)
    }

    /// Whether it is about that resource, whatever the verb and the name.
    pub(super) fn is_about(&self, check: &Check) -> bool {
        let whole = match check.subresource.as_str() {
            "" => check.resource.clone(),
            sub => format!("{}/{sub}", check.resource),
        };
        let any = format!("*/{}", check.subresource);
        self.groups.iter().any(|g| g == "*" || *g == check.group)
            && self
                .resources
                .iter()
                .any(|r| r == "*" || *r == whole || (!check.subresource.is_empty() && *r == any))
    }
}

impl Grant {
    /// Whether it holds where the question is asked.
    pub(super) fn holds_in(&self, check: &Check) -> bool {
        match &self.scope {
            None => true,
            Some(scope) => check.namespaced && *scope == check.namespace,
        }
    }

    pub(super) fn is_for(&self, subject: &Subject) -> bool {
        let namespace = self.scope.as_deref().unwrap_or("");
        self.subjects.iter().any(|s| subject.is_meant_by(s, namespace))
    }

    /// `clusterrole/edit by rolebinding/ci`.
    pub(super) fn source(&self) -> String {
        format!("{} by {}", self.role, self.binding)
    }
}

impl Roles {
    /// The grants that give somebody what is asked.
    pub(super) fn giving<'a>(&'a self, check: &'a Check) -> impl Iterator<Item = &'a Grant> {
        self.grants.iter().filter(|g| g.holds_in(check) && g.rules.iter().any(|r| r.covers(check)))
    }

    /// The grants of somebody that were meant to give what is asked and name another API group.
    pub(super) fn slips(&self, check: &Check, subject: &Subject) -> Vec<Slip> {
        let grants = self.grants.iter().filter(|g| g.holds_in(check) && g.is_for(subject));
        grants
            .filter_map(|g| {
                let rule = g.rules.iter().find(|r| r.misses_the_group(check))?;
                Some(Slip { source: g.source(), groups: rule.groups.clone() })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(rule: Value) -> Rule {
        Rule::of(&rule)
    }

    fn check(verb: &str, group: &str, resource: &str, subresource: &str, name: &str) -> Check {
        Check {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            namespace: "todo".into(),
            namespaced: true,
        }
    }

    #[test]
    fn rules_cover_as_the_api_server_decides() {
        let pods = rule(json!({"apiGroups": [""], "resources": ["pods", "*/scale"], "verbs": ["get"]}));
        assert!(pods.covers(&check("get", "", "pods", "", "")));
        assert!(!pods.covers(&check("get", "", "pods", "log", "")), "a subresource is not in its resource");
        assert!(pods.covers(&check("get", "", "anything", "scale", "")));
        assert!(
            !pods.covers(&check("get", "apps", "pods", "", ""))
                && !pods.covers(&check("list", "", "pods", "", ""))
        );
        let named =
            rule(json!({"apiGroups": ["*"], "resources": ["*"], "resourceNames": ["x"], "verbs": ["*"]}));
        assert!(named.covers(&check("delete", "apps", "deployments", "scale", "x")));
        assert!(!named.covers(&check("delete", "apps", "deployments", "", "")), "of one name is not of all");
        let url = rule(json!({"nonResourceURLs": ["/healthz/*", "/version"], "verbs": ["get"]}));
        assert!(url.covers(&check("get", "", "/healthz/etcd", "", "")));
        assert!(
            !url.covers(&check("get", "", "/versions", "", ""))
                && !url.covers(&check("get", "", "pods", "", ""))
        );
    }

    #[test]
    fn a_binding_gives_its_role_where_it_stands() {
        let role = |kind: &str, name: &str| {
            json!({"metadata": {"name": name, "namespace": "todo"}, "kind": kind,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]})
        };
        let binding = |name: &str, kind: &str, role: &str| {
            json!({"metadata": {"name": name, "namespace": "todo"}, "roleRef": {"kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "ci"}]})
        };
        let roles = together(
            &[],
            &[binding("a", "Role", "r"), binding("b", "ClusterRole", "c"), binding("lost", "Role", "gone")],
            &[role("ClusterRole", "c")],
            &[role("Role", "r")],
        );
        let here = check("delete", "", "pods", "", "");
        let sources: Vec<String> = roles.giving(&here).map(Grant::source).collect();
        assert_eq!(sources, ["role/r by rolebinding/a", "clusterrole/c by rolebinding/b"]);
        assert_eq!(roles.dangling, ["rolebinding/lost refers to role/gone"]);
        let ci = Subject::of(Some("sa/ci"), "todo").unwrap();
        assert!(roles.grants.iter().all(|g| g.is_for(&ci)));
        let everywhere = Check { namespace: String::new(), ..here };
        assert_eq!(roles.giving(&everywhere).count(), 0, "one namespace is not all");
        let node =
            Check { resource: "nodes".into(), namespaced: false, ..check("delete", "", "nodes", "", "") };
        assert_eq!(roles.giving(&node).count(), 0);
    }

    #[test]
    fn the_right_resource_in_the_wrong_group_is_a_slip() {
        let grant = |rules: Value, subject: &str| Grant {
            rules: items(&rules, "").iter().map(Rule::of).collect(),
            role: "role/reader".into(),
            binding: "rolebinding/ci".into(),
            scope: Some("todo".into()),
            subjects: vec![json!({"kind": "ServiceAccount", "name": subject})],
        };
        let rules = |groups: Value, verbs: Value| json!([{"apiGroups": groups, "resources": ["jobs", "pods"], "verbs": verbs}]);
        let ci = Subject::of(Some("sa/ci"), "todo").unwrap();
        let jobs = check("list", "batch", "jobs", "", "");
        let slips =
            |grant: Grant, check: &Check| Roles { grants: vec![grant], ..Roles::default() }.slips(check, &ci);
        let reader = || grant(rules(json!([""]), json!(["get", "list"])), "ci");
        assert_eq!(
            slips(reader(), &jobs),
            [Slip { source: "role/reader by rolebinding/ci".into(), groups: vec![String::new()] }]
        );
        assert!(slips(reader(), &check("list", "", "pods", "", "")).is_empty(), "that one is given");
        assert!(
            slips(reader(), &check("delete", "batch", "jobs", "", "")).is_empty(),
            "nor was the verb meant"
        );
        assert!(slips(grant(rules(json!(["", "batch"]), json!(["get"])), "ci"), &jobs).is_empty());
        assert!(
            slips(grant(rules(json!([""]), json!(["list"])), "other"), &jobs).is_empty(),
            "somebody else's"
        );
    }
}
