//! The configuration that kind is given, and what it depends on.

use std::path::Path;

/// The configuration with its gaps.
const TEMPLATE: &str = include_str!("../../../kind/kind.yaml");

/// What fills the gaps.
pub struct Config<'a> {
    /// The cluster's name.
    pub name: &'a str,
    /// The API server's port on loopback.
    pub port: u16,
    /// The node image.
    pub image: &'a str,
    /// Whether the image is our own: then we join the nodes' networks, and kind does not.
    pub own: bool,
    /// Whether this machine still has version 1 of cgroups.
    pub cgroup_v1: bool,
    /// How many workers.
    pub workers: u32,
    /// The folder on this machine that receives the audit log.
    pub audit_folder: &'a Path,
    /// The audit policy's file on this machine.
    pub audit_policy: &'a Path,
}

impl Config<'_> {
    /// The configuration as YAML.
    pub fn render(&self) -> String {
        let mut kubelet = Vec::new();
        if self.cgroup_v1 {
            kubelet.push("failCgroupV1: false");
        }
        if self.own {
            kubelet.extend(["cgroupDriver: cgroupfs", "resolvConf: /kind/resolv.conf"]);
        }
        let kubelet: Vec<String> = kubelet.iter().map(|line| format!("    {line}")).collect();
        let worker = format!("  - {{role: worker, image: \"{}\"}}", self.image);
        let workers = vec![worker; self.workers as usize].join("\n");
        TEMPLATE
            .replace("{name}", self.name)
            .replace("{port}", &self.port.to_string())
            .replace("{image}", self.image)
            .replace("{own_network}", &self.own.to_string())
            .replace("{audit_folder}", &quotable(self.audit_folder))
            .replace("{audit_policy}", &quotable(self.audit_policy))
            .replace("{workers}", &workers)
            .replace("{kubelet}", &kubelet.join("\n"))
    }
}

/// A path as it may stand between double quotes in YAML.
fn quotable(path: &Path) -> String {
    path.to_string_lossy().replace('\\', r"\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn config(own: bool, workers: u32) -> Value {
        let config = Config {
            name: "t",
            port: 20_001,
            image: "kai-evals/node:1",
            own,
            cgroup_v1: own,
            workers,
            audit_folder: Path::new("/state/a \"b\"/audit"),
            audit_policy: Path::new("/state/audit.yaml"),
        };
        serde_saphyr::from_str(&config.render()).unwrap()
    }

    #[test]
    fn every_gap_is_filled_and_the_result_is_what_kind_reads() {
        let config = config(true, 2);
        let nodes = config["nodes"].as_array().unwrap();
        let roles: Vec<&str> = nodes.iter().filter_map(|node| node["role"].as_str()).collect();
        assert_eq!(roles, ["control-plane", "worker", "worker"]);
        assert!(nodes.iter().all(|node| node["image"] == "kai-evals/node:1"));
        assert_eq!(config["networking"]["apiServerPort"], 20_001);
        assert_eq!(config["networking"]["disableDefaultCNI"], true);
        assert_eq!(nodes[0]["extraMounts"][0]["hostPath"], "/state/a \"b\"/audit");
        let patch: Value =
            serde_saphyr::from_str(config["kubeadmConfigPatches"][0].as_str().unwrap()).unwrap();
        assert_eq!((&patch["failCgroupV1"], &patch["cgroupDriver"]), (&false.into(), &"cgroupfs".into()));
    }

    #[test]
    fn an_image_of_kinds_own_keeps_its_own_network_and_name_server() {
        let config = config(false, 1);
        assert_eq!(config["networking"]["disableDefaultCNI"], false);
        let patch: Value =
            serde_saphyr::from_str(config["kubeadmConfigPatches"][0].as_str().unwrap()).unwrap();
        assert_eq!((&patch["resolvConf"], &patch["kind"]), (&Value::Null, &"KubeletConfiguration".into()));
    }

    #[test]
    fn only_loopback_reaches_the_api_server() {
        assert_eq!(config(true, 0)["networking"]["apiServerAddress"], "127.0.0.1");
    }
}
