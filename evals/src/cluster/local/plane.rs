//! The command lines of the control plane: pure, so that what runs can be read here.

use std::path::Path;

use super::pki::{API_SERVER, CONTROLLER_MANAGER, ETCD, KUBELET_CLIENT, SCHEDULER};
use crate::cluster::ports::{PODS, SERVICES};

/// An address that nothing listens on: what the service `kubernetes` points at. Simulated pods cannot
/// ask the API server, and a loopback address is refused there.
const ADVERTISED: &str = "192.0.2.1";

/// Where the API server writes what it was asked.
pub const AUDIT_LOG: &str = "audit.log";

/// What is recorded of each request: who asked for what and the answer; of deletions and evictions also the body, which
/// says whether they are dry runs. Leases are left out: they are renewed all the time and say nothing.
pub const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources: [{group: coordination.k8s.io, resources: [leases]}]
  - level: None
    nonResourceURLs: [/readyz*, /livez*, /healthz*, /version]
  - level: Request
    verbs: [delete, deletecollection]
  - level: Request
    resources: [{group: \"\", resources: [pods/eviction]}]
  - level: Metadata
";

/// The ports of a control plane, all on loopback.
#[derive(Clone, Copy)]
pub struct Ports {
    /// The API server's, over TLS.
    pub api: u16,
    /// etcd's for clients, over TLS with client certificates.
    pub etcd: u16,
    /// etcd's for peers, of which there are none.
    pub peers: u16,
    /// Where KWOK answers as every kubelet.
    pub kubelets: u16,
}

/// A client certificate, its key and the authority, as three flags.
fn tls(flags: [&str; 3], folder: &Path, file: &str) -> Vec<String> {
    let pki = folder.join("pki");
    let paths = [format!("{file}.crt"), format!("{file}.key"), "ca.crt".to_owned()];
    flags.iter().zip(paths).map(|(flag, path)| format!("--{flag}={}", pki.join(path).display())).collect()
}

fn flags(list: &[(&str, &str)]) -> Vec<String> {
    list.iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
}

/// etcd, without waiting for the disk: nobody needs this data after a power cut.
pub fn etcd(folder: &Path, ports: Ports) -> Vec<String> {
    let clients = format!("https://127.0.0.1:{}", ports.etcd);
    let peers = format!("https://127.0.0.1:{}", ports.peers);
    let data = folder.join("etcd").display().to_string();
    let mut args = flags(&[
        ("data-dir", &data),
        ("listen-client-urls", &clients),
        ("advertise-client-urls", &clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("default={peers}")),
        ("client-cert-auth", "true"),
        ("peer-client-cert-auth", "true"),
        ("unsafe-no-fsync", "true"),
        ("log-level", "warn"),
    ]);
    args.extend(tls(["cert-file", "key-file", "trusted-ca-file"], folder, ETCD.file));
    args.extend(tls(["peer-cert-file", "peer-key-file", "peer-trusted-ca-file"], folder, ETCD.file));
    args
}

/// The API server.
pub fn api_server(folder: &Path, ports: Ports) -> Vec<String> {
    let path = |under: &str| folder.join(under).display().to_string();
    let mut args = flags(&[
        ("etcd-servers", &format!("https://127.0.0.1:{}", ports.etcd)),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &ports.api.to_string()),
        ("advertise-address", ADVERTISED),
        ("service-account-key-file", &path("pki/service-account.pub")),
        ("service-account-signing-key-file", &path("pki/service-account.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-cluster-ip-range", SERVICES),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("audit-policy-file", &path("conf/audit.yaml")),
        ("audit-log-path", &path(AUDIT_LOG)),
        ("audit-log-maxsize", "200"),
        ("audit-log-maxbackup", "1"),
    ]);
    args.extend(tls(["tls-cert-file", "tls-private-key-file", "client-ca-file"], folder, API_SERVER.file));
    args.extend(tls(["etcd-certfile", "etcd-keyfile", "etcd-cafile"], folder, ETCD.file));
    args.extend(tls(
        ["kubelet-client-certificate", "kubelet-client-key", "kubelet-certificate-authority"],
        folder,
        KUBELET_CLIENT.file,
    ));
    args
}

/// The controllers, which may ask more often than by default: thousands of pods settle sooner.
pub fn controller_manager(folder: &Path) -> Vec<String> {
    let path = |under: &str| folder.join(under).display().to_string();
    flags(&[
        ("kubeconfig", &path(&format!("conf/{}.kubeconfig", CONTROLLER_MANAGER.file))),
        ("service-account-private-key-file", &path("pki/service-account.key")),
        ("root-ca-file", &path("pki/ca.crt")),
        ("cluster-signing-cert-file", &path("pki/ca.crt")),
        ("cluster-signing-key-file", &path("pki/ca.key")),
        ("use-service-account-credentials", "true"),
        ("allocate-node-cidrs", "true"),
        ("cluster-cidr", PODS),
        ("service-cluster-ip-range", SERVICES),
        ("kube-api-qps", "1000"),
        ("kube-api-burst", "2000"),
        ("leader-elect", "false"),
        ("secure-port", "0"),
    ])
}

/// The scheduler.
pub fn scheduler(folder: &Path) -> Vec<String> {
    let kubeconfig = folder.join(format!("conf/{}.kubeconfig", SCHEDULER.file));
    flags(&[
        ("kubeconfig", &kubeconfig.display().to_string()),
        ("kube-api-qps", "1000"),
        ("kube-api-burst", "2000"),
        ("leader-elect", "false"),
        ("secure-port", "0"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports { api: 20_001, etcd: 20_002, peers: 20_003, kubelets: 20_004 };

    #[test]
    fn nothing_listens_beyond_loopback_or_without_certificates() {
        let folder = Path::new("/state/kai");
        let all =
            [etcd(folder, PORTS), api_server(folder, PORTS), controller_manager(folder), scheduler(folder)];
        for arg in all.iter().flatten().filter(|arg| arg.contains("listen-") || arg.contains("bind-address"))
        {
            assert!(arg.contains("127.0.0.1") && !arg.contains("http://"), "{arg}");
        }
        assert!(all[0].contains(&"--client-cert-auth=true".to_owned()));
        assert!(all[0].contains(&"--peer-client-cert-auth=true".to_owned()));
        for part in &all[2..] {
            assert!(part.contains(&"--secure-port=0".to_owned()), "{part:?} listens");
        }
    }

    #[test]
    fn every_file_is_in_the_state_folder() {
        let args = api_server(Path::new("/state/kai"), PORTS);
        for arg in args.iter().filter(|arg| arg.contains("file") || arg.contains("audit-log-path")) {
            assert!(arg.contains("=/state/kai/"), "{arg}");
        }
    }
}
