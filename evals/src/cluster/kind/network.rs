//! Networking between the pods of different nodes, without a program for it: each node bridges its
//! own pods, and has a route to those of every other node by that node's address.

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use serde_json::Value;
use std::time::{Duration, Instant};

use super::docker::Docker;
use super::run::{feed, run};
use crate::cluster::ports::PODS;
use crate::terminal::Step;

/// What each node runs, with its gaps.
const SCRIPT: &str = include_str!("../../../kind/network.sh");
/// How long the controllers may take to give every node its addresses.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node, where it is and which addresses its pods get.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    name: String,
    address: String,
    pods: String,
}

/// Joins the nodes, and tells them where images come from.
///
/// # Errors
/// A node gets no addresses for its pods, or refuses what it is told.
pub async fn join(docker: &Docker, control_plane: &str, hosts: &str, step: &Step) -> Result<()> {
    let since = Instant::now();
    let nodes = loop {
        let get = docker.kubectl(control_plane, &["get", "nodes", "-o", "json"]);
        let list: Value = serde_json::from_str(&run("kubectl get nodes", get, step).await?)?;
        match nodes(&list) {
            Ok(nodes) => break nodes,
            Err(error) if since.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    try_join_all(nodes.iter().map(|node| async {
        let script = script(node, &nodes, hosts);
        let command = docker.command(&["exec", "-i", &node.name, "sh"]);
        feed(&format!("the network of {}", node.name), command, &script, step).await
    }))
    .await?;
    Ok(())
}

/// Tells nodes that have a network of their own where images come from.
///
/// # Errors
/// A node refuses.
pub async fn mirror(docker: &Docker, nodes: &[String], hosts: &str, step: &Step) -> Result<()> {
    let script =
        "mkdir -p /etc/containerd/certs.d/_default && cat > /etc/containerd/certs.d/_default/hosts.toml";
    try_join_all(nodes.iter().map(|node| {
        let command = docker.command(&["exec", "-i", node, "sh", "-c", script]);
        feed("containerd's configuration", command, hosts, step)
    }))
    .await?;
    Ok(())
}

/// The nodes out of a list as kubectl prints it.
fn nodes(list: &Value) -> Result<Vec<Node>> {
    let items = list["items"].as_array().context("kubectl listed no nodes")?;
    items
        .iter()
        .map(|item| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let addresses = item["status"]["addresses"].as_array();
            let internal = addresses
                .into_iter()
                .flatten()
                .find(|address| address["type"] == "InternalIP")
                .and_then(|address| address["address"].as_str());
            let (Some(address), Some(pods)) = (internal, item["spec"]["podCIDR"].as_str()) else {
                bail!("the node {name} has no addresses for its pods");
            };
            Ok(Node { name, address: address.to_owned(), pods: pods.to_owned() })
        })
        .collect()
}

fn script(node: &Node, all: &[Node], hosts: &str) -> String {
    let routes: Vec<String> = all
        .iter()
        .filter(|other| *other != node)
        .map(|other| format!("ip route replace {} via {}", other.pods, other.address))
        .collect();
    SCRIPT
        .replace("{pods}", PODS)
        .replace("{routes}", &routes.join("\n"))
        .replace("{hosts}", hosts)
        .replace("{subnet}", &node.pods)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list() -> Value {
        let node = |name: &str, last: u8| {
            json!({
                "metadata": {"name": name},
                "spec": {"podCIDR": format!("10.244.{last}.0/24")},
                "status": {"addresses": [
                    {"type": "Hostname", "address": name},
                    {"type": "InternalIP", "address": format!("172.18.0.{last}")},
                ]},
            })
        };
        json!({"items": [node("kai-control-plane", 1), node("kai-worker", 2), node("kai-worker2", 3)]})
    }

    #[test]
    fn a_node_bridges_its_own_pods_and_routes_to_all_others() {
        let nodes = nodes(&list()).unwrap();
        let script = script(&nodes[1], &nodes, "server = \"http://registry:5000\"");
        assert!(script.contains("ip route replace 10.244.1.0/24 via 172.18.0.1\n"), "{script}");
        assert!(script.contains("ip route replace 10.244.3.0/24 via 172.18.0.3\n"), "{script}");
        assert!(!script.contains("10.244.2.0/24 via"), "{script}");
        assert!(script.contains(r#""subnet": "10.244.2.0/24""#), "{script}");
        assert!(script.contains("ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade"), "{script}");
    }

    #[test]
    fn the_bridge_is_configuration_that_can_be_read() {
        let nodes = nodes(&list()).unwrap();
        let script = script(&nodes[0], &nodes, "");
        let (_, rest) = script.split_once("<<'CNI'\n").unwrap();
        let (conflist, _) = rest.split_once("\nCNI").unwrap();
        let conflist: Value = serde_json::from_str(conflist).unwrap();
        assert_eq!(conflist["plugins"][0]["type"], "bridge");
    }

    #[test]
    fn a_node_without_addresses_is_waited_for() {
        let mut list = list();
        list["items"][1]["spec"]["podCIDR"] = Value::Null;
        assert!(nodes(&list).unwrap_err().to_string().contains("kai-worker has no addresses"));
    }
}
