//! Nodes whose kubelet is silent, or says that it is not ready.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Class, Finding, Fix};
use crate::model::{Node, NodeCondition, SigningRequest, condition};
use crate::rules::nodes::{is_virtual, network, object};
use crate::snapshot::{Lookup, Snapshot};

/// The causes of this part.
pub const CAUSES: &[Cause] = &[SILENT, RUNTIME, NOT_READY, CERTIFICATE];

const SILENT: Cause = Cause::fault(
    "node-silent",
    1,
    "A node's kubelet has stopped reporting: the machine, its network or its kubelet is down.",
);
const RUNTIME: Cause =
    Cause::fault("node-runtime-down", 1, "The container runtime of a node does not answer its kubelet.");
const NOT_READY: Cause =
    Cause::fault("node-not-ready", 1, "A kubelet says that its node is not ready, for a reason of its own.");
const CERTIFICATE: Cause = Cause::fault(
    "kubelet-cert",
    2,
    "A kubelet asks for a certificate that nobody approves, or that was denied.",
);

/// How long a node may be on its way: a kubelet that restarts is ready again before.
const STARTS: i64 = 60;
/// A kubelet renews its lease every ten seconds; the node counts as lost after forty.
const FRESH: i64 = 40;

/// The condition of a node whose kubelet does not report any more, where that is so.
pub(crate) fn silence<'a>(snap: &Snapshot, node: &'a Node) -> Option<&'a NodeCondition> {
    let unknown = node.condition("Ready").filter(|c| c.status == "Unknown")?;
    // The lease is renewed more often than the status is looked at: with a fresh one it is back already.
    let lease = snap.leases.find("kube-node-lease", &node.metadata.name).found();
    let is_back =
        lease.is_some_and(|l| l.spec.renew_time.is_set() && !l.spec.renew_time.older_than(FRESH, snap.now));
    (!is_back).then_some(unknown)
}

/// A kubelet that does not report any more.
pub fn silent<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    let snap = engine.snap;
    let name = &node.metadata.name;
    let Some(finding) = silence(snap, node) else { return Roots::new() };
    let says = match finding.reason.as_str() {
        "NodeStatusNeverUpdated" => "has never reported: its kubelet does not reach the API server",
        _ => "has stopped reporting: the machine, its network or its kubelet is down",
    };
    let on_it = engine.index.on_node(name).iter().filter(|p| !p.is_finished()).count();
    let pods = match on_it {
        0 => String::new(),
        1 => "; 1 pod is on it".to_owned(),
        n => format!("; {n} pods are on it"),
    };
    let mut result = Finding::new(&SILENT, object(node), format!("{says}{pods}"))
        .seen(object(node), "status.conditions[Ready]", format!("{} {}: {}", finding.status, finding.reason, finding.message))
        .since(finding.last_transition_time)
        .observed()
        .fix(Fix::advice("look at the machine: is it on, does it reach the API server, does its kubelet run (`systemctl status kubelet` there)"))
        .fix(Fix::advice(format!(
            "when it is off and stays off, taint it node.kubernetes.io/out-of-service=nodeshutdown:NoExecute or delete node {name}: \
             its pods and their volumes are then free to go elsewhere"
        )));
    let lease = snap.leases.find("kube-node-lease", name).found();
    if let Some(lease) = lease.and_then(|l| l.spec.renew_time.0) {
        // Nothing but a renewal would contradict this, and there is none.
        result = result.seen(
            crate::Object::new("lease", "kube-node-lease", name),
            "spec.renewTime",
            lease.to_string(),
        );
        result.confidence = crate::Confidence::Proven;
    }
    engine.root(result)
}

/// A kubelet that says that its node is not ready.
pub fn unready<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    let Some(ready) = node.condition("Ready").filter(|c| c.status == "False") else { return Roots::new() };
    let now = engine.snap.now;
    let is_young = !node.metadata.creation_timestamp.older_than(180, now);
    if is_virtual(node)
        || is_young
        || !ready.last_transition_time.older_than(STARTS, now)
        || network::is_network_trouble(node)
    {
        return Roots::new();
    }
    let low = ready.message.to_lowercase();
    let is_runtime = [
        "container runtime is down",
        "pleg",
        "runtime is not ready",
        "runtimeready",
        "container runtime status check",
    ]
    .iter()
    .any(|w| low.contains(w));
    let (cause, says, fix) = if is_runtime {
        let says = "cannot run pods: its container runtime does not answer";
        (
            &RUNTIME,
            says.to_owned(),
            "restart the container runtime on the node (`systemctl restart containerd`), and look at its log and at the disk and memory of the machine",
        )
    } else if low.contains("shutting down") {
        (&NOT_READY, "is shutting down".to_owned(), "wait until it is back, or find out who shuts it down")
    } else {
        let text = ready.message.lines().next().unwrap_or("").trim_end_matches('.');
        (
            &NOT_READY,
            format!("is not ready: {text}"),
            "mend what its kubelet says; look at the kubelet's log on the node",
        )
    };
    let finding = Finding::new(cause, object(node), says)
        .seen(object(node), "status.conditions[Ready]", format!("False {}: {}", ready.reason, ready.message))
        .since(ready.last_transition_time)
        .observed()
        .fix(Fix::advice(fix));
    engine.root(finding)
}

/// A request of a node's kubelet, and since when it is neither granted nor refused (or that it was refused).
fn open<'a>(engine: &Engine<'a>, signer: &str) -> Vec<(&'a SigningRequest, &'a str, Option<&'a str>)> {
    let snap = engine.snap;
    let of_signer = snap.signing_requests.items.iter().filter(|r| r.spec.signer_name == signer);
    let named = of_signer.filter_map(|r| r.spec.username.strip_prefix("system:node:").map(|n| (r, n)));
    named
        .filter_map(|(r, node)| {
            let has = |kind: &str| condition(&r.status.conditions, kind);
            if has("Approved").is_some() {
                return None;
            }
            let refused = has("Denied").or_else(|| has("Failed")).map(|c| c.message.as_str());
            let is_old = r.metadata.creation_timestamp.older_than(300, snap.now);
            (refused.is_some() || is_old).then_some((r, node, refused))
        })
        .collect()
}

/// A silent node whose kubelet asks for the certificate with which it reports.
pub fn certificate<'a>(engine: &mut Engine<'a>, node: &'a Node) -> Roots {
    if node.condition("Ready").is_none_or(|c| c.status != "Unknown") {
        return Roots::new();
    }
    let asked = open(engine, "kubernetes.io/kube-apiserver-client-kubelet");
    let Some((request, _, refused)) = asked.into_iter().find(|(_, n, _)| *n == node.metadata.name) else {
        return Roots::new();
    };
    let name = &request.metadata.name;
    let state = if refused.is_some() { "was denied" } else { "nobody has approved" };
    let finding = Finding::new(
        &CERTIFICATE,
        object(node),
        format!("is silent: its kubelet asks for a new client certificate, which {state} ({name})"),
    )
    .seen(
        crate::Object::new("certificatesigningrequest", "", name),
        "status.conditions",
        refused.unwrap_or("none"),
    )
    .since(request.metadata.creation_timestamp)
    .observed()
    .fix(Fix::advice(format!("approve it when the node is yours: kubectl certificate approve {name}")));
    engine.root(finding)
}

/// Certificates with which kubelets serve: without one, logs and exec fail as soon as the old one ends.
pub fn serving_certificates(engine: &mut Engine<'_>) {
    for (request, name, refused) in open(engine, "kubernetes.io/kubelet-serving") {
        let Lookup::Found(node) = engine.snap.nodes.find("", name) else { continue };
        let state = if refused.is_some() { "was denied" } else { "nobody approves" };
        let csr = &request.metadata.name;
        let finding = Finding::new(&CERTIFICATE, object(node), format!("has asked for a serving certificate, which {state}; logs and exec on it fail when the old one ends"))
            .class(Class::Risk)
            .seen(crate::Object::new("certificatesigningrequest", "", csr), "status.conditions", refused.unwrap_or("none"))
            .since(request.metadata.creation_timestamp)
            .fix(Fix::advice(format!("approve it (kubectl certificate approve {csr}), and run an approver for kubelet-serving certificates")));
        engine.found(finding);
    }
}
