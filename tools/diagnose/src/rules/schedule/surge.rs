//! A rollout that waits for itself: it may take no old pod away before a new one is ready, and there is room for no pod more.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix};
use crate::model::{Deployment, Pod, Port};
use crate::rules::schedule::Case;
use crate::rules::schedule::cluster::{requests, show};

/// How many pods a rollout may be short of meanwhile, as the Deployment controller reckons it: a share is rounded down.
fn may_lack(one: &Deployment, replicas: i64) -> i64 {
    let max = one.spec.strategy.rolling_update.as_ref().and_then(|r| r.max_unavailable.as_ref());
    match max {
        Some(Port::Number(n)) => *n,
        Some(Port::Name(share)) => {
            share.strip_suffix('%').and_then(|s| s.parse::<i64>().ok()).unwrap_or(0) * replicas / 100
        }
        None => replicas / 4,
    }
}

/// The surge pod of a rollout that may lack no pod, on nodes that would take it if one old pod went first. `full` is the
/// cause that it is one case of.
pub(super) fn deadlock(
    engine: &mut Engine<'_>,
    case: &Case<'_, '_>,
    full: &Cause,
    of: &[String],
    at: &[usize],
) -> Roots {
    let (index, snap) = (engine.index, engine.snap);
    let maker = &case.maker;
    let Some(one) = snap.deployments.find(&maker.namespace, &maker.name).found() else { return Roots::new() };
    let replicas = one.spec.replicas.unwrap_or(1);
    if maker.kind != "deployment" || one.spec.strategy.kind == "Recreate" || may_lack(one, replicas) > 0 {
        return Roots::new();
    }
    let owner = |pod: &Pod| pod.metadata.controller().map(|o| o.uid.clone());
    let Some(workload) = index.workload_named(maker) else { return Roots::new() };
    let is_old = |pod: &Pod| {
        !pod.spec.node_name.is_empty()
            && !pod.metadata.deletion_timestamp.is_set()
            && owner(pod) != owner(case.pod)
            && pod.is_ready()
    };
    let old: Vec<&Pod> = workload.pods.iter().copied().filter(|p| is_old(p)).collect();
    // Fewer ready than asked for is another trouble: then no old pod may go in any case.
    if old.is_empty() || workload.ready < replicas {
        return Roots::new();
    }
    let asks = |resource: &String| case.asker.asks.get(resource.as_str()).copied().unwrap_or(0);
    // Only if the place of one old pod is enough does it help to let one go.
    let is_enough = at.iter().filter_map(|at| case.cluster.rooms.get(*at)).any(|room| {
        old.iter().filter(|p| p.spec.node_name == room.name()).any(|p| {
            let gives = requests(&p.spec);
            of.iter().all(|r| room.free(r) + gives.get(r.as_str()).copied().unwrap_or(0) >= asks(r))
        })
    });
    if !is_enough {
        return Roots::new();
    }
    let needs: Vec<String> = of.iter().map(|r| format!("{} of {r}", show(r, asks(r)))).collect();
    let needs = needs.join(" and ");
    let max = one.spec.strategy.rolling_update.as_ref().and_then(|r| r.max_unavailable.as_ref());
    let max = max.map_or_else(|| "25%".to_owned(), Port::to_string);
    let share = if max == "0" { String::new() } else { format!(", which is 0 of {replicas} pods") };
    let says = format!(
        "waits for itself to roll out: a new pod needs {needs}, which no node has left, and with maxUnavailable {max}{share} \
         no old pod goes before a new one is ready"
    );
    let finding = case.finding(full, maker.clone(), says).seen(
        maker.clone(),
        "spec.strategy.rollingUpdate.maxUnavailable",
        format!("{max}{share}"),
    );
    let key = engine.found(options(finding, case, replicas, &needs));
    vec![key]
}

/// What can be done, each with its effect.
fn options(finding: Finding, case: &Case<'_, '_>, replicas: i64, needs: &str) -> Finding {
    let maker = &case.maker;
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": maker.name, "namespace": maker.namespace},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}},
    });
    let effect = match replicas {
        1 => "none serves meanwhile".to_owned(),
        n => format!("{} of {n} pods serve meanwhile", n - 1),
    };
    finding
        .fix(Fix::call(
            format!("let one old pod go first (maxUnavailable 1): {effect}"),
            "apply",
            json!({"manifest": manifest.to_string(), "take_over": true}),
        ))
        .fix(Fix::call(
            format!("roll {maker} back to the revision before: it stays at what runs, without the change"),
            "rollout",
            json!({"action": "undo", "workload": maker.to_string(), "namespace": maker.namespace}),
        ))
        .fix(Fix::advice(format!("add a node with {needs} free: no pod goes before its successor is ready")))
}
