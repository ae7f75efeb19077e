//! What could be smaller: requests by what was used over days, and nodes whose pods fit on the others. Each as a call that
//! goes through review like any other.

use std::collections::BTreeMap;

use kai_cost::cluster::{Autoscaler, Object, Snapshot, Workload};
use kai_cost::delta::{At, Edit, Edits, State, delta};
use kai_cost::doc::{Document, Recommendation, micros};
use kai_cost::place::removable;
use kai_cost::rightsize::{Advice, Preset, Severity, recommend, score};
use kai_cost::say::{cores, gib};
use kai_cost::tariff::Tariff;
use kai_cost::units::{Bytes, Millicores};
use serde_json::{Value, json};

use super::prometheus::{Ask, Owners, Past, Prometheus, Window};
use crate::cluster::Cluster;
use crate::error::ToolError;

/// Adds recommendations to a document about a scope, and how far the history reaches that they are from.
///
/// # Errors
/// When the API server cannot be reached. That there is no history is said in the document.
pub(crate) async fn add(
    cluster: &Cluster,
    snapshot: &Snapshot,
    tariff: &Tariff,
    window: Option<&str>,
    document: &mut Document,
) -> Result<(), ToolError> {
    let window = match window {
        Some(said) => Window { hours: hours(said)?, ..Window::default() },
        None => Window::default(),
    };
    let owners = Owners::new(snapshot.workloads.iter().map(|w| &w.object), &snapshot.pods);
    let ask = Ask {
        namespace: document.scope.namespace.as_deref(),
        window,
        owners: &owners,
        sums: snapshot.workloads.iter().any(|w| w.range.is_some()),
        place: None,
    };
    let history = Prometheus::read(cluster, &ask).await?;
    document.warnings.push(history.said());
    let mut found = Vec::new();
    if let Prometheus::There(past) = &history {
        // A week of figures is what prices are trusted with.
        if past.reach >= 7.0 * 24.0 {
            document.window = Some(format!("{:.0}d", past.reach / 24.0));
            if document.reasons.is_empty() {
                document.confidence = kai_cost::doc::Confidence::High;
            }
        }
        found.extend(requests(snapshot, tariff, past, document));
    }
    if document.scope.namespace.is_none() {
        found.extend(nodes(snapshot, tariff));
    }
    let gain = |r: &Recommendation| (r.bill.unwrap_or(0.0), r.saves.unwrap_or(0.0));
    found.sort_by(|a, b| {
        let (a, b) = (gain(a), gain(b));
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    for (at, one) in found.iter_mut().enumerate() {
        one.number = at + 1;
    }
    if found.is_empty() && matches!(history, Prometheus::There(_)) {
        document.warnings.push("Nothing could be smaller by what was used.".into());
    }
    document.recommendations = found;
    Ok(())
}

/// `14d`, `36h`, `2w` in hours.
fn hours(said: &str) -> Result<u32, ToolError> {
    let wrong = || {
        let shown = crate::sanitize::line(said);
        ToolError::Invalid(format!("window `{shown}`: say it as 36h, 14d or 2w, up to 60d"))
    };
    let (number, unit) = said.split_at_checked(said.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let hours = match unit {
        "h" => Some(number),
        "d" => number.checked_mul(24),
        "w" => number.checked_mul(168),
        _ => None,
    };
    hours.filter(|h| (1..=1440).contains(h)).ok_or_else(wrong)
}

fn requests(
    snapshot: &Snapshot,
    tariff: &Tariff,
    past: &Past,
    document: &mut Document,
) -> Vec<Recommendation> {
    let about = document.scope.workload.clone();
    let mut found = Vec::new();
    let mut all: Vec<Advice> = Vec::new();
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let scope =
        snapshot.workloads.iter().filter(|w| about.as_ref().is_none_or(|a| *a == w.object.to_string()));
    for workload in scope {
        let empty = BTreeMap::new();
        let histories = past.histories.get(&workload.object).unwrap_or(&empty);
        for advice in recommend(workload, histories, Preset::Kai) {
            if let Some(why) = &advice.kept {
                *kept.entry(why.split(':').next().unwrap_or(why).to_string()).or_default() += 1;
            }
            found.extend(as_call(workload, &advice, snapshot, tariff));
            all.push(advice);
        }
    }
    for (why, count) in kept {
        let containers = if count == 1 { "1 container".to_string() } else { format!("{count} containers") };
        document.warnings.push(format!("{containers} left as they are: {why}."));
    }
    if let Some((points, letter)) = score(&all) {
        let worst = all.iter().filter(|a| a.severity >= Severity::Warning).count();
        document.warnings.push(format!(
            "Requests score {points} of 100 ({letter}): {worst} of {} containers are far from what they use.",
            all.len()
        ));
    }
    found
}

/// An advice as a call of `set`, priced.
fn as_call(
    workload: &Workload,
    advice: &Advice,
    snapshot: &Snapshot,
    tariff: &Tariff,
) -> Option<Recommendation> {
    let (cpu, memory) = advice.recommended?;
    let mut arguments = json!({
        "workload": workload.object.to_string(),
        "namespace": workload.object.namespace,
        "container": advice.container,
    });
    let mut says = Vec::new();
    let mut put = |key: &str, value: String| arguments[key] = Value::from(value);
    if advice.current.0 != Some(cpu) {
        put("cpu_request", format!("{}m", cpu.0));
        let was = advice.current.0.map_or_else(|| "unset".into(), |c| cores(c.cores()));
        says.push(format!("CPU {was} → {}", cores(cpu.cores())));
    }
    if advice.current.1 != Some(memory) {
        put("memory_request", format!("{}Mi", memory.0 >> 20));
        let was = advice.current.1.map_or_else(|| "unset".into(), |m| gib(m.gib()));
        says.push(format!("memory {was} → {}", gib(memory.gib())));
    }
    if let Some(limit) = advice.memory_limit {
        put("memory_limit", format!("{}Mi", limit.0 >> 20));
    }
    let change = delta(snapshot, tariff, &resized(workload, &advice.container, (cpu, memory)), At::Now);
    let less =
        |pair: Option<(kai_cost::units::Monthly, kai_cost::units::Monthly)>| pair.map(|(old, new)| old - new);
    let mut notes = advice.notes.clone();
    if let Some(together) = &advice.together {
        let mut parts = Vec::new();
        parts.extend(together.cpu.map(|c| format!("a CPU request of {}", cores(c.cores()))));
        parts.extend(together.memory.map(|m| format!("a memory request of {}", gib(m.gib()))));
        let scaler = together.scaler.as_deref().unwrap_or("its autoscaler");
        notes.push(format!(
            "together with {scaler} it could have {} and at most {} replicas",
            parts.join(" and "),
            together.max
        ));
    }
    Some(Recommendation {
        number: 0,
        object: workload.object.to_string(),
        namespace: workload.object.namespace.clone(),
        says: format!("{}: {}", advice.container, says.join(", ")),
        saves: micros(less(change.reserved)),
        bill: micros(change.bill.map(|b| -b)),
        severity: format!("{:?}", advice.severity).to_lowercase(),
        notes,
        tool: Some("set".into()),
        arguments,
    })
}

/// A workload with other requests of one container.
fn resized(workload: &Workload, container: &str, to: (Millicores, Bytes)) -> Edits {
    let before = State { replicas: workload.replicas, shape: workload.shape.clone(), range: None };
    let mut after = before.clone();
    if let Some(found) = after.shape.containers.iter_mut().find(|c| c.name == container) {
        let old = found.size;
        (found.size.cpu, found.size.memory) = to;
        // Where an init container is the larger one, the pod keeps its size: then this is less than it saves.
        after.shape.size = after.shape.size - old + found.size;
    }
    let edit = Edit {
        object: workload.object.clone(),
        before: Some(before),
        after: Some(after),
        templates: Vec::new(),
    };
    Edits { workloads: vec![edit], ..Edits::default() }
}

/// Nodes that could go: all their pods fit on the others.
fn nodes(snapshot: &Snapshot, tariff: &Tariff) -> Vec<Recommendation> {
    let most = if snapshot.autoscaler == Autoscaler::Karpenter { 1.0 } else { 0.5 };
    let away = removable(snapshot, &|_| false, most);
    // A node that holds the control plane is no spare one.
    let own = |node: &usize| {
        let labels = &snapshot.nodes[*node].machine.labels;
        !labels
            .keys()
            .any(|k| k == "node-role.kubernetes.io/control-plane" || k == "node-role.kubernetes.io/master")
    };
    away.iter()
        .filter(|n| own(n))
        .map(|n| {
            let name = snapshot.nodes[*n].machine.name.clone();
            Recommendation {
                object: Object { kind: "Node".into(), namespace: String::new(), name: name.clone() }
                    .to_string(),
                says: "drain it and remove it: its pods fit elsewhere".into(),
                saves: Some(0.0),
                bill: micros(tariff.machine(*n)),
                severity: "ok".into(),
                tool: Some("node".into()),
                arguments: json!({"action": "drain", "name": name}),
                ..Recommendation::default()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        assert_eq!((hours("36h").unwrap(), hours("14d").unwrap(), hours("2w").unwrap()), (36, 336, 336));
        for wrong in ["", "d", "14", "-1d", "61d", "14 d", "é", "99999999999d"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
