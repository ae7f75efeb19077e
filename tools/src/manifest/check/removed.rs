//! API versions that Kubernetes no longer serves: since when, and what took their place.

use super::set::Set;
use crate::manifest::Document;

/// API version, kinds, the release that ended it, and what to write instead.
const REMOVED: &[(&str, &[&str], &str, &str)] = &[
    ("extensions/v1beta1", &["Deployment", "DaemonSet", "ReplicaSet"], "1.16", "apps/v1"),
    ("extensions/v1beta1", &["NetworkPolicy"], "1.16", "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["PodSecurityPolicy"], "1.16", ""),
    ("extensions/v1beta1", &["Ingress"], "1.22", "networking.k8s.io/v1"),
    ("apps/v1beta1", &["Deployment", "StatefulSet", "ReplicaSet", "ControllerRevision"], "1.16", "apps/v1"),
    (
        "apps/v1beta2",
        &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"],
        "1.16",
        "apps/v1",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"], "1.22", "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", &["APIService"], "1.22", "apiregistration.k8s.io/v1"),
    ("authentication.k8s.io/v1beta1", &["TokenReview"], "1.22", "authentication.k8s.io/v1"),
    (
        "authorization.k8s.io/v1beta1",
        &[
            "SubjectAccessReview",
            "LocalSubjectAccessReview",
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
        ],
        "1.22",
        "authorization.k8s.io/v1",
    ),
    ("certificates.k8s.io/v1beta1", &["CertificateSigningRequest"], "1.22", "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", &["Lease"], "1.22", "coordination.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], "1.22", "networking.k8s.io/v1"),
    (
        "rbac.authorization.k8s.io/v1alpha1",
        &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    (
        "rbac.authorization.k8s.io/v1beta1",
        &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    ("scheduling.k8s.io/v1alpha1", &["PriorityClass"], "1.22", "scheduling.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], "1.22", "scheduling.k8s.io/v1"),
    (
        "storage.k8s.io/v1beta1",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
        "1.22",
        "storage.k8s.io/v1",
    ),
    ("batch/v2alpha1", &["CronJob"], "1.21", "batch/v1"),
    ("batch/v1beta1", &["CronJob"], "1.25", "batch/v1"),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], "1.25", "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", &["Event"], "1.25", "events.k8s.io/v1"),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], "1.25", "autoscaling/v2"),
    ("policy/v1beta1", &["PodDisruptionBudget"], "1.25", "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], "1.25", ""),
    ("node.k8s.io/v1beta1", &["RuntimeClass"], "1.25", "node.k8s.io/v1"),
    (
        "flowcontrol.apiserver.k8s.io/v1beta1",
        &["FlowSchema", "PriorityLevelConfiguration"],
        "1.26",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], "1.26", "autoscaling/v2"),
    ("storage.k8s.io/v1beta1", &["CSIStorageCapacity"], "1.27", "storage.k8s.io/v1"),
    (
        "flowcontrol.apiserver.k8s.io/v1beta2",
        &["FlowSchema", "PriorityLevelConfiguration"],
        "1.29",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta3",
        &["FlowSchema", "PriorityLevelConfiguration"],
        "1.32",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
];

/// What else must change with the version.
fn besides(kind: &str, version: &str) -> &'static str {
    match (kind, version) {
        ("Ingress", _) => {
            ", with pathType, and backend.service.name and .port in place of serviceName and servicePort"
        }
        ("Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet", _) => ", with spec.selector",
        ("HorizontalPodAutoscaler", "autoscaling/v2beta1") => {
            ", with target.averageUtilization in place of targetAverageUtilization"
        }
        ("CustomResourceDefinition", _) => ", with a schema for each version",
        ("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration", _) => {
            ", with sideEffects and admissionReviewVersions"
        }
        _ => "",
    }
}

pub(super) fn check(set: &Set<'_>) {
    for d in set.documents {
        let (version, kind) = (d.api_version(), d.kind());
        let known = REMOVED.iter().find(|(v, kinds, ..)| *v == version && kinds.contains(&kind));
        let Some((.., since, instead)) = known else {
            unserved(set, d);
            continue;
        };
        let fix = if instead.is_empty() {
            "Label the namespace instead: pod-security.kubernetes.io/enforce: restricted (or baseline)".into()
        } else {
            format!("Write apiVersion: {instead}{}", besides(kind, version))
        };
        if set.serves(version, kind) == Some(true) {
            let says = format!(
                "{version} {kind} was removed in Kubernetes {since}; this cluster still serves it, the next may not"
            );
            set.warn("removed-api", d, "/apiVersion", says, fix);
        } else {
            set.problem(
                "removed-api",
                d,
                "/apiVersion",
                format!("{version} {kind} was removed in Kubernetes {since}"),
                fix,
            );
        }
    }
}

/// A kind that the cluster does not serve, and no definition of the set brings.
fn unserved(set: &Set<'_>, d: &Document) {
    let (version, kind) = (d.api_version(), d.kind());
    if set.defines(version, kind) || set.serves(version, kind) != Some(false) {
        return;
    }
    let stable = version.split_once('/').map(|(group, _)| format!("{group}/v1")).filter(|s| s != version);
    let fix = match stable {
        Some(stable) if set.serves(&stable, kind) == Some(true) => format!("Write apiVersion: {stable}"),
        _ if version.contains('.') => {
            "Install what defines it (its CustomResourceDefinition) first, or correct apiVersion or kind"
                .into()
        }
        _ => "Correct apiVersion or kind".into(),
    };
    set.problem("unserved-kind", d, "/apiVersion", format!("this cluster serves no {version} {kind}"), fix);
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn object(version: &str, kind: &str) -> String {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    }

    #[test]
    fn removed_versions_have_replacements() {
        for (version, kind, says) in [
            (
                "policy/v1beta1",
                "PodSecurityPolicy",
                ["removed in Kubernetes 1.25", "pod-security.kubernetes.io/enforce: restricted"],
            ),
            ("extensions/v1beta1", "Ingress", ["1.22", "networking.k8s.io/v1, with pathType"]),
            ("extensions/v1beta1", "Deployment", ["1.16", "apps/v1, with spec.selector"]),
            ("batch/v1beta1", "CronJob", ["1.25", "batch/v1"]),
            ("autoscaling/v2beta2", "HorizontalPodAutoscaler", ["1.26", "autoscaling/v2"]),
            (
                "flowcontrol.apiserver.k8s.io/v1beta3",
                "FlowSchema",
                ["1.32", "flowcontrol.apiserver.k8s.io/v1"],
            ),
        ] {
            finds(&object(version, kind), "", "removed-api", &says);
        }
        for (version, kind) in
            [("policy/v1", "PodDisruptionBudget"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob")]
        {
            quiet(&object(version, kind), "", "removed-api");
            quiet(&object(version, kind), "", "unserved-kind");
        }
        let old = object("batch/v1beta1", "CronJob");
        finds(&old, &old, "removed-api", &["this cluster still serves it"]);
    }

    #[test]
    fn kinds_that_nobody_serves() {
        let widget = object("example.com/v1", "Widget");
        finds(&widget, "", "unserved-kind", &["serves no example.com/v1 Widget", "CustomResourceDefinition"]);
        finds(&object("v1", "Deployment"), "", "unserved-kind", &["Correct apiVersion"]);
        quiet(&widget, &widget, "unserved-kind");
        finds(
            &widget.replace("/v1", "/v1beta1"),
            &widget,
            "unserved-kind",
            &["Write apiVersion: example.com/v1."],
        );
        let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec: {group: example.com, names: {kind: Widget}, versions: [{name: v1}]}\n---\n";
        quiet(&format!("{crd}{widget}"), crd, "unserved-kind");
    }
}
