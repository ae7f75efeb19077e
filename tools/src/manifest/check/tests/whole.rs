//! Whole sets of manifests: good ones of which nothing is said, and real ones with the mistakes that people made.

use super::{documents, run};
use crate::manifest::check::check;
use crate::manifest::known::Known;
use crate::manifest::order::order;

const HEALTHY: &str = include_str!("healthy.yaml");
const CLUSTER: &str = include_str!("cluster.yaml");

/// The lines of one set before a cluster.
fn lines(manifest: &str, live: &str) -> Vec<String> {
    run(manifest, live).findings.iter().map(|f| format!("{} {f}", f.check)).collect()
}

/// Every expectation is met by a line, and every line by an expectation: `check place what`.
#[track_caller]
fn says(manifest: &str, live: &str, expected: &[(&str, &str, &str)]) {
    let lines = lines(manifest, live);
    for (check, place, what) in expected {
        let found = lines.iter().any(|l| l.starts_with(&format!("{check} {place}: ")) && l.contains(what));
        assert!(found, "no {check} at {place} with {what:?} among {lines:#?}");
    }
    let unexpected: Vec<&String> = lines
        .iter()
        .filter(|l| !expected.iter().any(|(check, place, _)| l.starts_with(&format!("{check} {place}: "))))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

#[test]
fn nothing_is_said_of_good_manifests() {
    assert_eq!(lines(HEALTHY, CLUSTER), [""; 0]);
    // Nor when they are applied once more.
    assert_eq!(lines(HEALTHY, &format!("{CLUSTER}---\n{HEALTHY}")), [""; 0]);
}

#[test]
fn a_planned_canary() {
    says(
        include_str!("mycorrhiza.yaml"),
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\n",
        &[
            ("ingress-class-annotation", "in.yaml:26", "spec.ingressClassName: nginx"),
            ("ingress-class-annotation", "in.yaml:41", "spec.ingressClassName: nginx"),
            ("ingress-nginx-retired", "in.yaml:27", "this Ingress (and 1 more)"),
            ("canary-cookie", "in.yaml:43", "set that cookie to always"),
            ("dangling-ingress-backend", "in.yaml:50", "service/frontend-svc is in namespace nightly"),
            ("invalid-image", "in.yaml:62", "placeholder"),
            ("missing-limit", "in.yaml:61", "no memory limit"),
            ("missing-request", "in.yaml:61", "requests no cpu and memory"),
        ],
    );
}

#[test]
fn a_todo_application() {
    let live = format!(
        "{CLUSTER}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: app-secrets, namespace: default}}\ndata: {{DATABASE_URL: eA==}}\n"
    );
    says(
        include_str!("todo.yaml"),
        &live,
        &[
            ("autoscaled-replicas", "in.yaml:7", "hpa/todo-app-backend-hpa decides"),
            ("mutable-tag", "in.yaml:18", "each node keeps the image"),
            ("localhost", "in.yaml:29", "the pod itself"),
            ("browser-cannot-reach", "in.yaml:64", "VITE_API_URL names service/todo-app-backend"),
            ("wrong-service-port", "in.yaml:66", "says port 3000, and service/todo-app-backend has 8000"),
            ("secret-in-browser", "in.yaml:67", "VITE_OPENAI_API_KEY is filled from secret/app-secrets"),
            ("missing-secret-key", "in.yaml:71", "has no key OPENAI_API_KEY"),
            ("missing-limit", "in.yaml:58", "frontend-chatbot has no memory limit"),
            ("missing-request", "in.yaml:58", "requests no cpu and memory"),
            ("reads-all-secrets", "in.yaml:102", "all Secrets of the namespace"),
            ("subject-namespace", "in.yaml:115", "Add namespace: default"),
            ("unused-account", "in.yaml:115", "no workload runs as serviceaccount todo-app-sa"),
            ("removed-api", "in.yaml:118", "removed in Kubernetes 1.25"),
            ("egress-closed", "in.yaml:133", "not even DNS"),
            ("policy-admits-nobody", "in.yaml:138", "app=frontend"),
            ("host-path-volume", "in.yaml:152", "/mnt/data of one node"),
            ("volume-passed-over", "in.yaml:158", "the default one (standard) makes a new volume"),
        ],
    );
}

#[test]
fn what_cannot_be_looked_at_is_told_and_not_guessed() {
    let checked = check(&documents(HEALTHY), &Known { namespace: "default".into(), ..Known::default() });
    assert_eq!(checked.findings, [], "nothing is known, so nothing is missing");
    for blind in ["secrets (ai-service-secrets)", "schemas (", "ingressclasses (traefik)", "ingresses (all)"]
    {
        assert!(checked.blind.iter().any(|b| b.contains(blind)), "{blind}: {:#?}", checked.blind);
    }
}

#[test]
fn the_healthy_set_is_ordered_by_what_speaks_to_what() {
    let documents = documents(HEALTHY);
    let order = order(&documents);
    let edges: Vec<String> = order
        .edges
        .iter()
        .map(|e| {
            format!(
                "{} waits for {}: {}",
                documents[e.after].label(),
                documents[e.before].label(),
                e.evidence
            )
        })
        .collect();
    assert!(
        edges.len() == 1 && edges[0].starts_with("deployment/ai-service waits for deployment/redis: "),
        "{edges:?}"
    );
}

#[test]
fn odd_input_is_survived() {
    for body in [
        "spec: 1",
        "spec: []",
        "spec: {template: [], rules: {}, subjects: 1, ports: x, selector: 1}",
        "spec: {template: {spec: {containers: [1, {env: 1, ports: [x], image: 3}], volumes: {}}}}",
        "data: [1]",
        "rules: [1]\nsubjects: [x]\nroleRef: 1",
        "spec: {rules: [{http: {paths: [{backend: 1}]}}], tls: 3, ports: [1, {nodePort: x}], metrics: [1], minAvailable: [], accessModes: 1}",
    ] {
        for kind in [
            "Deployment",
            "StatefulSet",
            "Pod",
            "Service",
            "Ingress",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
            "NetworkPolicy",
            "ConfigMap",
            "Secret",
            "Role",
            "RoleBinding",
            "PersistentVolumeClaim",
            "CronJob",
            "CustomResourceDefinition",
        ] {
            run(&format!("apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: x}}\n{body}\n"), CLUSTER);
        }
    }
}
