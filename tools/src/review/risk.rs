//! How bad a mistake would be, and why (pure).

use crate::object::number;
use crate::plan::{Change, Does, Plan};
use crate::policy::{Risk, is_production};

/// More objects than this in one plan is wide.
const WIDE: usize = 5;

/// The risk of a plan in a context, with its reason: that of its riskiest part.
pub(super) fn risk(plan: &Plan, context: &str) -> (Risk, String) {
    let mut worst = (Risk::R2, "reversible, in one namespace".to_string());
    let mut raise = |risk: Risk, reason: String| {
        if risk > worst.0 {
            worst = (risk, reason);
        }
    };
    for change in &plan.changes {
        let namespace = &change.object.namespace;
        if namespace.starts_with("kube-") || namespace.is_empty() {
            raise(Risk::R5, format!("{} belongs to the cluster itself", change.object));
        }
        if goes_to_zero(change) {
            raise(Risk::R3, format!("{} goes to zero", change.object));
        }
        if is_production(namespace) {
            raise(Risk::R3, format!("namespace {namespace} is production"));
        }
    }
    if plan.changes.len() > WIDE {
        raise(Risk::R3, format!("{} objects change", plan.changes.len()));
    }
    let mut namespaces: Vec<&str> = plan.changes.iter().map(|c| c.object.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    if namespaces.len() > 1 {
        raise(Risk::R3, format!("{} namespaces change", namespaces.len()));
    }
    if is_production(context) {
        raise(Risk::R3, format!("context {context} is production"));
    }
    worst
}

fn goes_to_zero(change: &Change) -> bool {
    match change.does {
        Does::Scale { from, to } => to == 0 && from > 0,
        _ => {
            number(&change.after, "/spec/replicas") == Some(0)
                && number(&change.live, "/spec/replicas") != Some(0)
        }
    }
}
