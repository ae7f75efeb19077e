//! Nodes that KWOK plays, and what their pods answer with: logs, commands, ports.

use std::path::Path;

use serde_json::{Value, json};

use super::plane::Ports;
use crate::cluster::build::KUBERNETES;

/// How pods and nodes live: KWOK's stages, one document each.
const STAGES: &str = include_str!("stages.yaml");
/// What every simulated pod's container says unless told otherwise.
pub const DEFAULT_LOG: &str = "pod-logs/default.log";

/// KWOK's configuration: its options, the stages, and where logs come from.
pub fn kwok_config(folder: &Path, ports: Ports) -> String {
    let path = |under: &str| folder.join(under).display().to_string();
    let options = json!({
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {
            "manageAllNodes": true,
            "nodeIP": "127.0.0.1",
            "nodePort": ports.kubelets,
            "serverAddress": format!("127.0.0.1:{}", ports.kubelets),
            "nodeLeaseDurationSeconds": 40,
            "tlsCertFile": path("pki/kwok.crt"),
            "tlsPrivateKeyFile": path("pki/kwok.key"),
            "enableCRDs": ["Logs"],
            "podPlayStageParallelism": 16,
            "nodePlayStageParallelism": 16,
        },
    });
    let logs = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "default"},
        "spec": {"logs": [{"logsFile": path(DEFAULT_LOG), "previousLogsFile": path(DEFAULT_LOG)}]},
    });
    // What is executed "in" a simulated container runs on this machine, as whoever started the cluster.
    let exec = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterExec",
        "metadata": {"name": "default"},
        "spec": {"execs": [{"local": {"workDir": "/", "envs": [{"name": "IN", "value": "a simulated container"}]}}]},
    });
    let ports = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterPortForward",
        "metadata": {"name": "default"},
        "spec": {"forwards": [{"command": ["cat"]}]},
    });
    format!("{options}\n---\n{logs}\n---\n{exec}\n---\n{ports}\n---\n{STAGES}")
}

/// The type of KWOK's `Logs`: an object of it says which file holds the log of a pod's container, and
/// goes before the default above.
pub fn logs_type() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "logs.kwok.x-k8s.io"},
        "spec": {
            "group": "kwok.x-k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "Logs", "listKind": "LogsList", "plural": "logs", "singular": "logs"},
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }},
            }],
        },
    })
}

/// The names of the nodes of a cluster, as kind names its workers.
pub fn names(cluster: &str, how_many: u32) -> Vec<String> {
    let name = |number| match number {
        1 => format!("{cluster}-worker"),
        _ => format!("{cluster}-worker{number}"),
    };
    (1..=how_many).map(name).collect()
}

/// A node of 4 CPUs and 16 GiB.
pub fn node(name: &str, ports: Ports) -> Value {
    let arch = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    let room = json!({"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": arch,
                "type": "kwok",
            },
        },
        "status": {
            "allocatable": room.clone(),
            "capacity": room,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": ports.kubelets}},
            "nodeInfo": {
                "architecture": arch,
                "operatingSystem": "linux",
                "kubeletVersion": KUBERNETES,
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "kwok://0.7.0",
                "osImage": "simulated",
                "kernelVersion": "simulated",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    })
}

/// Whether a node takes pods: it says so itself, and nothing keeps pods away.
pub fn takes_pods(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = conditions.iter().any(|at| at["type"] == "Ready" && at["status"] == "True");
    let kept_away = node["spec"]["taints"].as_array().is_some_and(|taints| !taints.is_empty());
    ready && !kept_away
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_as_kind_names_them() {
        assert_eq!(names("kai", 3), ["kai-worker", "kai-worker2", "kai-worker3"]);
        assert!(names("kai", 0).is_empty());
    }

    #[test]
    fn a_node_takes_pods_once_it_is_ready_and_untainted() {
        let mut node = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(takes_pods(&node));
        node["spec"]["taints"] = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert!(!takes_pods(&node));
        assert!(!takes_pods(&json!({})));
    }

    #[test]
    fn the_configuration_is_documents_that_can_be_read() {
        let ports = Ports { api: 1, etcd: 2, peers: 3, kubelets: 20_004 };
        let text = kwok_config(Path::new("/state/kai"), ports);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
        assert_eq!(kinds[..4], ["KwokConfiguration", "ClusterLogs", "ClusterExec", "ClusterPortForward"]);
        assert!(kinds.len() > 6 && kinds[4..].iter().all(|kind| *kind == "Stage"), "{kinds:?}");
        assert_eq!(documents[0]["options"]["serverAddress"], "127.0.0.1:20004");
    }
}
