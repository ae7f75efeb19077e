//! What could be smaller: requests by what was used over days, and nodes whose pods fit on the others. Each as a call that
//! goes through review like any other.

use std::collections::BTreeMap;

use kai_cost::cluster::{Autoscaler, Container, Object, Shape, Snapshot, Workload};
use kai_cost::delta::{At, Edit, Edits, State, delta};
use kai_cost::doc::{Document, Recommendation, micros};
use kai_cost::place::removable;
use kai_cost::rightsize::{Advice, Preset, Severity, recommend, score};
use kai_cost::say::{cores, gib};
use kai_cost::tariff::Tariff;
use serde_json::{Value, json};

use super::prometheus::{Ask, Owners, Past, Prometheus, Window};
use crate::cluster::Cluster;
use crate::error::ToolError;

/// Most notes that are told of containers that are left as they are.
const MOST_NOTES: usize = 10;

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
        if past.reach >= 7.0 * 24.0 && !past.histories.is_empty() {
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
    let mut kept: BTreeMap<&str, Vec<&Advice>> = BTreeMap::new();
    let scope =
        snapshot.workloads.iter().filter(|w| about.as_ref().is_none_or(|a| *a == w.object.to_string()));
    for workload in scope {
        let empty = BTreeMap::new();
        let histories = past.histories.get(&workload.object).unwrap_or(&empty);
        for advice in recommend(workload, histories, Preset::Kai) {
            found.extend(as_call(workload, &advice, snapshot, tariff));
            all.push(advice);
        }
    }
    for advice in &all {
        let Some(why) = &advice.kept else { continue };
        kept.entry(why.split(':').next().unwrap_or(why)).or_default().push(advice);
    }
    let everywhere = document.scope.namespace.is_none();
    for (why, of) in &kept {
        document.warnings.push(match of.as_slice() {
            [one] => format!(
                "{} is left as it is: {}.",
                container(one, everywhere),
                one.kept.as_deref().unwrap_or(why)
            ),
            _ => format!("{} containers are left as they are: {why}.", of.len()),
        });
    }
    // What would go together with an autoscaler, and what was killed, is told of these too.
    let mut told: Vec<String> = kept
        .values()
        .flatten()
        .flat_map(|a| a.notes.iter().map(|note| format!("{}: {note}.", container(a, everywhere))))
        .collect();
    let hidden = told.len().saturating_sub(MOST_NOTES);
    told.truncate(MOST_NOTES);
    if hidden > 0 {
        told.push(format!("{hidden} more notes are not shown: ask for one namespace or workload."));
    }
    document.warnings.extend(told);
    // Of what has no history nothing is known, good or bad.
    let judged: Vec<Advice> = all.iter().filter(|a| a.severity > Severity::Unknown).cloned().collect();
    if let Some((points, letter)) = score(&judged) {
        let worst = judged.iter().filter(|a| a.severity >= Severity::Warning).count();
        document.warnings.push(format!(
            "Requests score {points} of 100 ({letter}): {worst} of {} containers are far from what they use.",
            judged.len()
        ));
        if found.is_empty() {
            document.warnings.push("No request should be another by what was used.".into());
        }
    }
    found
}

/// Whose an advice is, in words.
fn container(advice: &Advice, everywhere: bool) -> String {
    let Advice { object, container, .. } = advice;
    match everywhere {
        true => format!("{object} in {}, {container}", object.namespace),
        false => format!("{object}, {container}"),
    }
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
    let (mut says, mut notes) = (Vec::new(), advice.notes.clone());
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
        let of = |c: &&Container| c.name == advice.container;
        let was = workload.shape.containers.iter().find(of).and_then(|c| c.memory_limit);
        if was != Some(limit) {
            let was = was.map_or_else(|| "unset".into(), |m| gib(m.gib()));
            notes.push(format!("its memory limit goes with it: {was} → {}", gib(limit.gib())));
        }
    }
    let mut smaller = workload.shape.clone();
    smaller.resize(&advice.container, cpu, memory);
    if smaller.size == workload.shape.size {
        notes.push(
            "an init container or the pod itself requests more, so its pods take what they took".into(),
        );
    }
    let change = delta(snapshot, tariff, &resized(workload, smaller), At::Now);
    let less =
        |pair: Option<(kai_cost::units::Monthly, kai_cost::units::Monthly)>| pair.map(|(old, new)| old - new);
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

/// A workload whose pods have another shape.
fn resized(workload: &Workload, shape: Shape) -> Edits {
    let before = State { replicas: workload.replicas, shape: workload.shape.clone(), range: None };
    let after = State { shape, ..before.clone() };
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
