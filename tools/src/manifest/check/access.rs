//! Rights: bindings that bind nobody, roles that are wider than they look, pods with power over their node.

use serde_json::Value;

use super::set::{Found, Set};
use crate::manifest::Document;
use crate::object::{items, text};

pub(super) fn check(set: &Set<'_>) {
    for kind in ["rolebinding", "clusterrolebinding"] {
        for d in set.of(kind) {
            binding(set, d);
        }
    }
    for kind in ["role", "clusterrole"] {
        for d in set.of(kind) {
            rules(set, d);
        }
    }
    for pods in set.pods() {
        for (field, effect) in [
            ("hostNetwork", "it listens on the node's own addresses and passes by network policies"),
            ("hostPID", "it sees and can end all processes of the node"),
            ("hostIPC", "it can read the shared memory of the node's processes"),
        ] {
            if pods.spec[field] == true {
                let says = format!("the pods run with {field}: {effect}");
                set.warn(
                    "host-access",
                    pods.doc,
                    &pods.path(&format!("/{field}")),
                    says,
                    format!("Leave {field} out unless the program is a part of the node"),
                );
            }
        }
        for (i, volume) in items(pods.spec, "/volumes").iter().enumerate() {
            let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) else { continue };
            let socket = path == "/"
                || path.ends_with(".sock")
                || path.starts_with("/var/run/docker")
                || path.starts_with("/etc");
            let effect = if socket {
                "who controls the container controls the node"
            } else {
                "the data stay on one node, and the pod can read or change what is the node's"
            };
            let says = format!("mounts {path} of the node: {effect}");
            set.warn(
                "host-path",
                pods.doc,
                &pods.path(&format!("/volumes/{i}/hostPath")),
                says,
                "Use a claim or an emptyDir instead",
            );
        }
        for container in pods.containers() {
            let at = format!("{}/securityContext", container.path);
            if container.value.pointer("/securityContext/privileged") == Some(&Value::Bool(true)) {
                let says = format!(
                    "container {} is privileged: who controls it controls the node",
                    container.name()
                );
                set.warn(
                    "privileged",
                    pods.doc,
                    &format!("{at}/privileged"),
                    says,
                    "Leave privileged out; add the one capability that it needs",
                );
            }
            let added =
                items(container.value, "/securityContext/capabilities/add").iter().filter_map(Value::as_str);
            if let Some(strong) =
                added.into_iter().find(|c| matches!(*c, "ALL" | "SYS_ADMIN" | "CAP_SYS_ADMIN"))
            {
                let says = format!(
                    "container {} has the capability {strong}: that is nearly the node's root",
                    container.name()
                );
                set.warn(
                    "privileged",
                    pods.doc,
                    &format!("{at}/capabilities/add"),
                    says,
                    "Add only the capabilities that it needs",
                );
            }
        }
    }
}

fn binding(set: &Set<'_>, d: &Document) {
    let namespace = set.namespace(d);
    let role = text(&d.value, "/roleRef/name");
    let cluster_wide = d.kind() == "ClusterRoleBinding";
    let (kind, within) = match text(&d.value, "/roleRef/kind") {
        "ClusterRole" => ("clusterrole", ""),
        _ => ("role", namespace),
    };
    if cluster_wide && kind == "role" {
        let says = "a ClusterRoleBinding can only bind a ClusterRole: the API server refuses this";
        set.problem(
            "binding-role",
            d,
            "/roleRef/kind",
            says,
            "Make it a RoleBinding, or the role a ClusterRole",
        );
    } else if !role.is_empty() && set.find(kind, within, role) == Found::Absent {
        let says = format!("there is no {kind} {role}: the binding gives no rights");
        let fix = set.instead(kind, within, role, "Add the role, or name one that is there".into());
        set.problem("dangling-role", d, "/roleRef/name", says, fix);
    }
    for (i, subject) in items(&d.value, "/subjects").iter().enumerate() {
        let name = text(subject, "/name");
        let path = format!("/subjects/{i}");
        if text(subject, "/kind") != "ServiceAccount" {
            continue;
        }
        let mut of = text(subject, "/namespace");
        if of.is_empty() {
            let says = format!(
                "the service account {name} is named without its namespace: the API server refuses that"
            );
            let meant = if namespace.is_empty() { "the account's namespace" } else { namespace };
            set.problem(
                "subject-namespace",
                d,
                &path,
                says,
                format!("Add namespace: {meant} to the subject"),
            );
            if namespace.is_empty() {
                continue;
            }
            of = namespace;
        }
        if name != "default" && set.find("serviceaccount", of, name) == Found::Absent {
            let says =
                format!("there is no serviceaccount {name} in namespace {of}: nobody gets these rights");
            let fix =
                set.instead("serviceaccount", of, name, "Add the account, or correct the subject".into());
            set.warn("dangling-subject", d, &format!("{path}/name"), says, fix);
        }
        if cluster_wide && role == "cluster-admin" {
            let says = format!(
                "serviceaccount {name} gets cluster-admin: who controls one of its pods controls the cluster"
            );
            set.warn("cluster-admin", d, "/roleRef/name", says, "Give it a role with what it needs");
        }
        unused(set, d, of, name, &path);
    }
}

/// Rights for an account that no pod runs as: mostly serviceAccountName was forgotten.
fn unused(set: &Set<'_>, d: &Document, namespace: &str, name: &str, path: &str) {
    if set.own("serviceaccount", namespace, name).is_none() || set.has_custom() {
        return;
    }
    let here: Vec<_> = set.pods().filter(|p| set.namespace(p.doc) == namespace).collect();
    let runs_as =
        |spec: &Value| text(spec, "/serviceAccountName") == name || text(spec, "/serviceAccount") == name;
    if here.is_empty() || here.iter().any(|p| runs_as(p.spec)) {
        return;
    }
    let Some(live) = set.live_backers(namespace) else { return };
    if !live.iter().any(|b| runs_as(b.spec)) {
        let says = format!("no workload runs as serviceaccount {name}: these rights have no effect");
        let fix = format!("Set serviceAccountName: {name} where the rights are needed, or leave them out");
        set.warn("unused-account", d, path, says, fix);
    }
}

fn rules(set: &Set<'_>, d: &Document) {
    for (i, rule) in items(&d.value, "/rules").iter().enumerate() {
        let has = |field: &str, wanted: &[&str]| {
            items(rule, field).iter().filter_map(Value::as_str).any(|v| v == "*" || wanted.contains(&v))
        };
        let all = |field: &str| items(rule, field).iter().any(|v| v == "*");
        let path = format!("/rules/{i}");
        let wide = if d.kind() == "ClusterRole" {
            "of every namespace that it is bound in"
        } else {
            "of the namespace"
        };
        if all("/resources") && all("/verbs") {
            let says = format!("allows everything on all resources {wide}, Secrets included");
            set.warn("all-rights", d, &path, says, "Name the resources and verbs that are needed");
            continue;
        }
        let named = !items(rule, "/resourceNames").is_empty();
        if has("/apiGroups", &[""])
            && has("/resources", &["secrets"])
            && has("/verbs", &["get", "list", "watch"])
            && !named
        {
            let says = format!(
                "allows reading all Secrets {wide}: passwords and tokens of everything else there too"
            );
            set.warn(
                "reads-all-secrets",
                d,
                &path,
                says,
                "Name the Secrets in resourceNames (with the verb get), or mount them and leave the rule out",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]\n---\n";
    const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n---\n";

    fn binding(role: &str, subject: &str) -> String {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: b}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role}}}\nsubjects: [{{kind: ServiceAccount, {subject}}}]\n---\n"
        )
    }

    fn pod(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {spec}\n---\n")
    }

    #[test]
    fn bindings() {
        let good = format!("{ROLE}{ACCOUNT}{}", binding("reader", "name: robot, namespace: default"));
        finds(
            &format!("{ROLE}{ACCOUNT}{}", binding("reader", "name: robot")),
            "",
            "subject-namespace",
            &["without its namespace", "namespace: default"],
        );
        finds(
            &format!("{ROLE}{}", binding("readers", "name: robot, namespace: default")),
            "",
            "dangling-role",
            &["no role readers", "Did you mean reader?"],
        );
        finds(
            &format!("{ROLE}{}", binding("reader", "name: robot, namespace: default")),
            "",
            "dangling-subject",
            &["nobody gets these rights"],
        );
        let wide = good.replace("kind: RoleBinding", "kind: ClusterRoleBinding");
        finds(&wide, "", "binding-role", &["only bind a ClusterRole"]);
        let admin = wide.replace("kind: Role, name: reader", "kind: ClusterRole, name: cluster-admin");
        finds(&admin, "", "cluster-admin", &["robot gets cluster-admin"]);
        for check in [
            "subject-namespace",
            "dangling-role",
            "dangling-subject",
            "binding-role",
            "cluster-admin",
            "unused-account",
        ] {
            quiet(&good, "", check);
        }
    }

    #[test]
    fn accounts_that_nobody_uses() {
        let bound = format!("{ROLE}{ACCOUNT}{}", binding("reader", "name: robot, namespace: default"));
        finds(
            &format!("{bound}{}", pod("containers: [{name: c, image: 'x:1'}]")),
            "",
            "unused-account",
            &["no workload runs as serviceaccount robot"],
        );
        quiet(
            &format!("{bound}{}", pod("serviceAccountName: robot\n  containers: [{name: c, image: 'x:1'}]")),
            "",
            "unused-account",
        );
    }

    #[test]
    fn wide_roles() {
        let role = |rule: &str| {
            format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r}}\nrules: [{{{rule}}}]\n"
            )
        };
        finds(
            &role("apiGroups: [''], resources: [secrets], verbs: [get, list]"),
            "",
            "reads-all-secrets",
            &["all Secrets of the namespace", "resourceNames"],
        );
        finds(
            &role("apiGroups: ['*'], resources: ['*'], verbs: ['*']"),
            "",
            "all-rights",
            &["Secrets included"],
        );
        for good in [
            "apiGroups: [''], resources: [secrets], resourceNames: [db], verbs: [get]",
            "apiGroups: [''], resources: [secrets], verbs: [create]",
            "apiGroups: [x.io], resources: [secrets], verbs: [get]",
        ] {
            quiet(&role(good), "", "reads-all-secrets");
            quiet(&role(good), "", "all-rights");
        }
    }

    #[test]
    fn power_over_the_node() {
        let with = |more: &str, container: &str| {
            pod(&format!("{more}\n  containers: [{{name: c, image: 'x:1'{container}}}]"))
        };
        finds(&with("hostNetwork: true", ""), "", "host-access", &["hostNetwork"]);
        finds(
            &with("volumes: [{name: v, hostPath: {path: /var/run/docker.sock}}]", ""),
            "",
            "host-path",
            &["controls the node"],
        );
        finds(
            &with("x: y", ", securityContext: {privileged: true}"),
            "",
            "privileged",
            &["container c is privileged"],
        );
        finds(
            &with("x: y", ", securityContext: {capabilities: {add: [SYS_ADMIN]}}"),
            "",
            "privileged",
            &["SYS_ADMIN"],
        );
        let good = with(
            "hostNetwork: false",
            ", securityContext: {readOnlyRootFilesystem: false, capabilities: {add: [NET_BIND_SERVICE]}}",
        );
        for check in ["host-access", "host-path", "privileged"] {
            quiet(&good, "", check);
        }
    }
}
