//! How bad a mistake would be, and why (pure).

use std::collections::BTreeSet;

use serde_json::Value;

use super::Step;
use crate::object::{items, number, text};
use crate::plan::{Change, Does, Plan};
use crate::policy::{Need, Risk, is_production};

/// More objects than this in one plan is wide.
const WIDE: usize = 5;

/// The risk of a plan, with its reason, and what policy must have allowed for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assessment {
    pub risk: Risk,
    pub reason: String,
    pub needs: BTreeSet<Need>,
}

impl Assessment {
    fn raise(&mut self, risk: Risk, reason: String) {
        if risk > self.risk {
            (self.risk, self.reason) = (risk, reason);
        }
    }

    fn needs(&mut self, need: Need, risk: Risk, reason: String) {
        self.needs.insert(need);
        self.raise(risk, reason);
    }
}

/// The risk of a plan in a context: that of its riskiest part.
pub(super) fn assess(plan: &Plan, context: &str) -> Assessment {
    let reason = "reversible, in one namespace".to_string();
    let mut all = Assessment { risk: Risk::R2, reason, needs: BTreeSet::new() };
    for change in &plan.changes {
        let object = &change.object;
        let namespace = if change.kind.kind == "Namespace" { &object.name } else { &object.namespace };
        // An eviction takes no object away that its controller does not make again, and no pod past its budget.
        let own = namespace.starts_with("kube-") && change.does != Does::Evict;
        if !own && gives_rights(change) {
            let reason = format!("{object} says who may do what in {namespace}");
            all.needs(Need::Rights, Risk::R5, reason);
        } else if own || is_control_plane(change) {
            all.needs(Need::ControlPlane, Risk::R5, format!("{object} belongs to the cluster itself"));
        }
        if let Some(power) = power(change) {
            all.needs(Need::ControlPlane, Risk::R5, format!("{object} gets power over its node: {power}"));
        }
        if is_secret_write(change) {
            all.needs(Need::Secrets, Risk::R4, format!("{object} holds secrets"));
        }
        if change.does.enters() {
            all.needs(Need::Exec, Risk::R4, format!("kai goes into {object}"));
        }
        match change.does {
            Does::Delete => all.raise(Risk::R3, format!("{object} is deleted")),
            Does::Evict => all.raise(Risk::R3, "pods are evicted".into()),
            _ if change.kind.kind == "Node" => {
                all.raise(Risk::R3, format!("{object} serves all namespaces"));
            }
            _ if goes_to_zero(change) => all.raise(Risk::R3, format!("{object} goes to zero")),
            _ => {}
        }
        if is_production(namespace) {
            all.raise(Risk::R3, format!("namespace {namespace} is production"));
        }
    }
    if plan.changes.len() > WIDE {
        all.raise(Risk::R3, format!("{} objects change", plan.changes.len()));
    }
    let mut namespaces: Vec<&str> =
        plan.changes.iter().map(|c| c.object.namespace.as_str()).filter(|n| !n.is_empty()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    if namespaces.len() > 1 {
        all.raise(Risk::R3, format!("{} namespaces change", namespaces.len()));
    }
    if is_production(context) {
        all.raise(Risk::R3, format!("context {context} is production"));
    }
    all
}

/// Fields that are taken from other managers want the name typed, whatever they are.
pub(super) fn with_conflicts(mut all: Assessment, steps: &[Step]) -> Assessment {
    if let Some(step) = steps.iter().find(|s| s.request.force) {
        all.raise(Risk::R3, format!("{}: fields are taken from other managers", step.change.object));
    }
    all
}

/// Roles and bindings within one namespace, which are no part of the cluster itself.
fn gives_rights(change: &Change) -> bool {
    change.kind.group == "rbac.authorization.k8s.io" && change.kind.namespaced
}

/// Kinds that decide what others may do, or that serve the whole cluster. Whether a node takes pods is asked of people
/// all the time; the rest of it is not.
fn is_control_plane(change: &Change) -> bool {
    const GROUPS: [&str; 5] = [
        "rbac.authorization.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "certificates.k8s.io",
    ];
    match change.kind.kind.as_str() {
        "Namespace" => false,
        "Node" => {
            let without = |node: &Value| {
                let mut spec = node.get("spec").cloned().unwrap_or_default();
                if let Some(map) = spec.as_object_mut() {
                    map.shift_remove("unschedulable");
                }
                spec
            };
            change.removes() || without(&change.live) != without(&change.after)
        }
        _ => GROUPS.contains(&change.kind.group.as_str()) || !change.kind.namespaced,
    }
}

/// What in a pod spec gives power over the node that it did not have before.
fn power(change: &Change) -> Option<&'static str> {
    if change.removes() {
        return None;
    }
    let path = match change.kind.kind.as_str() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    let of = |object: &Value| -> Option<&'static str> {
        let spec = object.pointer(path)?;
        let truth = |at: &str| spec.pointer(at).and_then(Value::as_bool) == Some(true);
        let containers = ["/containers", "/initContainers", "/ephemeralContainers"];
        let any = |f: &dyn Fn(&Value) -> bool| containers.iter().any(|l| items(spec, l).iter().any(f));
        let privileged =
            |c: &Value| c.pointer("/securityContext/privileged").and_then(Value::as_bool) == Some(true);
        let capable = |c: &Value| {
            items(c, "/securityContext/capabilities/add")
                .iter()
                .any(|cap| matches!(cap.as_str(), Some("ALL" | "SYS_ADMIN" | "SYS_MODULE" | "SYS_PTRACE")))
        };
        if any(&privileged) {
            Some("privileged")
        } else if any(&capable) {
            Some("capabilities of root")
        } else if truth("/hostPID") || truth("/hostIPC") {
            Some("the node's processes")
        } else if truth("/hostNetwork") {
            Some("the node's network")
        } else if items(spec, "/volumes").iter().any(|v| v.get("hostPath").is_some()) {
            Some("the node's files (hostPath)")
        } else {
            None
        }
    };
    let after = of(&change.after)?;
    (of(&change.live) != Some(after)).then_some(after)
}

/// Helm's own records of a release are Secrets by type and bookkeeping by nature.
fn is_secret_write(change: &Change) -> bool {
    let object = if change.removes() { &change.live } else { &change.after };
    change.kind.kind == "Secret"
        && change.kind.group.is_empty()
        && !(text(object, "/type") == "helm.sh/release.v1"
            && change.object.name.starts_with("sh.helm.release.v1."))
}

fn goes_to_zero(change: &Change) -> bool {
    match change.does {
        Does::Scale { from, to } => to == 0 && from > 0,
        _ if change.kind.kind == "Job" => {
            let suspended = |job: &Value| job.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
            let runs = number(&change.live, "/status/active").unwrap_or(0) > 0;
            runs && suspended(&change.after) && !suspended(&change.live)
        }
        _ => {
            !change.creates()
                && number(&change.after, "/spec/replicas") == Some(0)
                && number(&change.live, "/spec/replicas") != Some(0)
        }
    }
}
