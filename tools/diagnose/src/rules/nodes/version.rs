//! Kubelets of a version that does not fit, and devices that a node has and cannot give.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix};
use crate::index::Workload;
use crate::model::Node;
use crate::quantity::whole;
use crate::rules::nodes::{is_virtual, object};
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[SKEW, DEVICE_LOST];

const SKEW: Cause = Cause::risk(
    "kubelet-skew",
    3,
    "A kubelet is newer than the control plane, or more than three minor versions older.",
);
const DEVICE_LOST: Cause = Cause::fault(
    "device-plugin-lost",
    2,
    "A node has devices that its device plugin does not offer any more.",
);

/// Major and minor of a version such as `v1.34.4-eks-1`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((major, minor))
}

/// Kubelets against the control plane, as far as its own nodes are to be seen.
pub fn skew(engine: &mut Engine<'_>) {
    let snap = engine.snap;
    let of = |n: &&Node| minor(&n.status.node_info.kubelet_version);
    let is_plane = |n: &&Node| {
        n.label("node-role.kubernetes.io/control-plane").is_some()
            || n.label("node-role.kubernetes.io/master").is_some()
    };
    let Some((plane, version)) = snap
        .nodes
        .items
        .iter()
        .filter(is_plane)
        .filter_map(|n| of(&n).map(|v| (n, v)))
        .min_by_key(|(_, v)| *v)
    else {
        return;
    };
    for node in snap.nodes.items.iter().filter(|n| !is_virtual(n)) {
        let Some(own) = of(&node) else { continue };
        let says = if own > version {
            "newer than the control plane"
        } else if own.0 == version.0 && version.1 - own.1 > 3 {
            "more than three minor versions older than the control plane"
        } else {
            continue;
        };
        let (have, theirs) =
            (&node.status.node_info.kubelet_version, &plane.status.node_info.kubelet_version);
        let finding = Finding::new(
            &SKEW,
            object(node),
            format!("runs kubelet {have}, which is {says} ({theirs})"),
        )
        .seen(object(node), "status.nodeInfo.kubeletVersion", have.clone())
        .seen(object(plane), "status.nodeInfo.kubeletVersion", theirs.clone())
        .fix(Fix::advice(
            "bring the kubelet to the control plane's version; the control plane goes first in an upgrade",
        ));
        engine.found(finding);
    }
}

/// Devices that a node has and cannot give: their plugin does not answer, or says that they are broken.
pub fn devices(engine: &mut Engine<'_>, node: &Node) {
    if is_virtual(node) || !node.is_ready() {
        return;
    }
    let amount =
        |all: &crate::model::Resources, name: &str| all.get(name).and_then(|a| whole(&a.0)).unwrap_or(0);
    for (name, _) in node.status.capacity.iter() {
        let has = amount(&node.status.capacity, name);
        let is_device = name.contains('/') && !name.starts_with("kubernetes.io/");
        if !is_device || has == 0 || amount(&node.status.allocatable, name) > 0 {
            continue;
        }
        let plugin = plugin(engine, name);
        let mut roots = Roots::new();
        let mut says = "and no DaemonSet of the cluster is its device plugin".to_owned();
        if let Some(w) = plugin {
            let here = w.pods.iter().find(|p| p.spec.node_name == node.metadata.name);
            says = match here {
                Some(_) => format!("although {} runs there", w.object()),
                None => format!("and {} has no pod there", w.object()),
            };
            roots = here.map_or_else(Roots::new, |p| walk::pod(engine, p));
        }
        if roots.is_empty() {
            let finding = Finding::new(
                &DEVICE_LOST,
                object(node),
                format!("has {has} {name} and can give none of them, {says}"),
            )
            .which(name)
            .seen(object(node), format!("status.capacity[{name}]"), has.to_string())
            .seen(object(node), format!("status.allocatable[{name}]"), "0")
            .fix(Fix::advice(match plugin {
                Some(w) => format!(
                    "restart the pod of {} on {}, and look at its log",
                    w.object(),
                    node.metadata.name
                ),
                None => format!("install the device plugin of {name}"),
            }));
            roots = engine.root(finding);
        }
        engine.suffers(object(node), format!("no {name}"), None, &roots);
    }
}

/// The DaemonSet that is called after the maker of a device: `nvidia-device-plugin` for `nvidia.com/gpu`.
fn plugin<'a>(engine: &Engine<'a>, resource: &str) -> Option<&'a Workload<'a>> {
    let maker = resource.split(['.', '/']).next().filter(|m| m.len() > 2)?;
    let index = engine.index;
    index
        .workloads
        .iter()
        .find(|w| w.kind == "daemonset" && w.meta.name.contains(maker) && w.meta.name.contains("plugin"))
}
