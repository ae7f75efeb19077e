//! What a plan changes that costs something (pure): workloads, claims and load balancers before and after.

use kai_cost::cluster::{Balancer, Claim, Object, Range, Shape, Snapshot};
use kai_cost::delta::{Edit, Edits, State};
use kai_cost::read;
use serde_json::Value;

use crate::object::{items, text};
use crate::plan::{Change, Does};

/// What a plan costs something by, and what is to be said beside the figures.
#[derive(Debug, Default)]
pub(crate) struct Costly {
    pub edits: Edits,
    /// Pods are made anew with the same requests: nothing changes in the end.
    pub same: bool,
    pub notes: Vec<String>,
}

/// Whether a change can change what is paid.
pub(crate) fn may_cost(change: &Change) -> bool {
    !change.does.enters()
        && change.does != Does::Evict
        && matches!(
            change.kind.kind.as_str(),
            "Deployment"
                | "StatefulSet"
                | "DaemonSet"
                | "ReplicaSet"
                | "ReplicationController"
                | "Pod"
                | "Job"
                | "CronJob"
                | "HorizontalPodAutoscaler"
                | "PersistentVolumeClaim"
                | "Service"
                | "Namespace"
        )
        && !(change.kind.kind == "Service" && !balances(&change.live) && !balances(&change.after))
        && !(change.kind.kind == "Namespace" && change.does != Does::Delete)
}

fn balances(service: &Value) -> bool {
    text(service, "/spec/type") == "LoadBalancer"
}

/// The changes as edits. `scalers` are the autoscalers there are.
pub(crate) fn costly(changes: &[&Change], snapshot: &Snapshot, scalers: &[Value]) -> Costly {
    let mut all = Costly::default();
    let mut replaced = false;
    for change in changes.iter().filter(|c| may_cost(c)) {
        match change.kind.kind.as_str() {
            "HorizontalPodAutoscaler" => {}
            "PersistentVolumeClaim" => claim(change, &mut all),
            "Service" => service(change, &mut all),
            "Namespace" => namespace(&change.object.name, snapshot, &mut all),
            "CronJob" => all.notes.push(format!(
                "{} costs something only while its Jobs run: not in the figures",
                change.object
            )),
            "Job" => job(change, &mut all),
            _ => {
                let (mut edit, same) = workload(change, snapshot);
                replaced |= same;
                if !same {
                    all.notes.extend(surge(change, &edit));
                    grown(change, &mut edit, &mut all);
                    all.edits.workloads.push(edit);
                }
            }
        }
    }
    for change in changes.iter().filter(|c| c.kind.kind == "HorizontalPodAutoscaler") {
        autoscaler(change, snapshot, &mut all);
    }
    standing(scalers, changes, &mut all);
    all.same = replaced && all.edits.workloads.is_empty();
    all
}

/// A workload before and after; whether neither its replicas nor what its pods take changes.
fn workload(change: &Change, snapshot: &Snapshot) -> (Edit, bool) {
    let kind = change.kind.kind.as_str();
    let object = Object {
        kind: kind.to_string(),
        namespace: change.object.namespace.clone(),
        name: change.object.name.clone(),
    };
    let state = |value: &Value| -> Option<State> {
        let found = read::workload(kind, value)?;
        let replicas = match kind {
            "DaemonSet" => eligible(&found.shape, snapshot),
            _ => found.replicas,
        };
        Some(State { replicas, shape: found.shape, range: None })
    };
    let before = (!change.live.is_null()).then(|| state(&change.live)).flatten();
    let mut after = (!change.after.is_null()).then(|| state(&change.after)).flatten();
    if let (Does::Scale { to, .. }, Some(before)) = (&change.does, &before) {
        after = Some(State { replicas: *to, ..before.clone() });
    }
    if change.removes() {
        after = None;
    }
    let same = before.as_ref().zip(after.as_ref()).is_some_and(|(a, b)| {
        a.replicas == b.replicas && a.shape.size == b.shape.size && a.shape.placement == b.shape.placement
    });
    (Edit { object, before, after, templates: Vec::new() }, same)
}

/// A share in percent, rounded up, as Kubernetes rounds a surge.
fn part(of: i64, percent: i64) -> i64 {
    of.saturating_mul(percent).saturating_add(99) / 100
}

/// How many pods more there are while a Deployment replaces its pods: not in the figures, and they need room too.
fn surge(change: &Change, edit: &Edit) -> Option<String> {
    let (before, after) = edit.before.as_ref().zip(edit.after.as_ref())?;
    if change.kind.kind != "Deployment" || before.shape.size == after.shape.size || after.replicas == 0 {
        return None;
    }
    let said = change.after.pointer("/spec/strategy/rollingUpdate/maxSurge");
    let percent = |text: &str| text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok());
    let more = match said {
        Some(Value::Number(n)) => n.as_i64()?,
        Some(Value::String(text)) => part(after.replicas, percent(text)?),
        _ if crate::object::text(&change.after, "/spec/strategy/type") == "Recreate" => return None,
        _ => part(after.replicas, 25),
    };
    let pods = if more == 1 { "1 pod".to_string() } else { format!("{more} pods") };
    (more > 0)
        .then(|| format!("up to {pods} of {} more while it rolls out: not in the figures", change.object))
}

/// How many nodes a DaemonSet's pods go to.
fn eligible(shape: &Shape, snapshot: &Snapshot) -> i64 {
    snapshot.nodes.iter().filter(|n| shape.placement.allows(n)).count() as i64
}

/// The volumes that a StatefulSet makes for new replicas. Those of replicas that go stay, and cost on.
fn grown(change: &Change, edit: &mut Edit, all: &mut Costly) {
    let templates = items(&change.after, "/spec/volumeClaimTemplates");
    let old = items(&change.live, "/spec/volumeClaimTemplates");
    let templates = if templates.is_empty() { old } else { templates };
    if templates.is_empty() {
        return;
    }
    let count = |s: &Option<State>| s.as_ref().map_or(0, |s| s.replicas);
    let (was, will) = (count(&edit.before), count(&edit.after));
    edit.templates = templates.iter().map(read::claim).collect();
    if will < was {
        let goes = text(&change.live, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete";
        let note = if goes {
            "the volumes of the replicas that go are deleted too: their cost is not in the figures"
        } else {
            "the volumes of the replicas that go stay, and cost on"
        };
        all.notes.push(note.to_string());
    }
}

fn claim(change: &Change, all: &mut Costly) {
    let of = |value: &Value| (!value.is_null()).then(|| read::claim(value));
    let mut after = if change.removes() { None } else { of(&change.after) };
    // What a claim gets is what it asks for once it has grown.
    if let (Some(after), false) = (&mut after, change.creates()) {
        let mut asked = change.after.clone();
        asked["status"] = Value::Null;
        after.size = read::claim(&asked).size.max(after.size);
    }
    let before = of(&change.live);
    if before != after {
        all.edits.claims.push((before, after));
    }
}

fn service(change: &Change, all: &mut Costly) {
    let of = |value: &Value| -> Option<Balancer> { read::balancer(value) };
    let after = if change.removes() { None } else { of(&change.after) };
    let before = of(&change.live);
    if before.is_some() != after.is_some() {
        all.edits.balancers.0.extend(before);
        all.edits.balancers.1.extend(after);
    }
}

/// Everything that runs in a namespace goes with it.
fn namespace(name: &str, snapshot: &Snapshot, all: &mut Costly) {
    let mut owners: Vec<&Object> =
        snapshot.pods.iter().filter(|p| p.namespace == name).map(|p| &p.owner).collect();
    owners.sort();
    owners.dedup();
    for owner in owners {
        let own: Vec<_> = snapshot.pods.iter().filter(|p| p.owner == *owner).collect();
        let shape = own.first().map(|p| p.shape.clone()).unwrap_or_default();
        let before = Some(State { replicas: own.len() as i64, shape, range: None });
        let edit = Edit { object: owner.clone(), before, ..Edit::default() };
        all.edits.workloads.push(edit);
    }
    let own = |object: &Object| object.namespace == name;
    let claims: Vec<Claim> = snapshot.claims.iter().filter(|c| own(&c.object)).cloned().collect();
    all.edits.claims.extend(claims.into_iter().map(|c| (Some(c), None)));
    all.edits.balancers.0.extend(snapshot.balancers.iter().filter(|b| own(&b.object)).cloned());
}

fn job(change: &Change, all: &mut Costly) {
    if change.creates() {
        all.notes.push(format!("{} costs something only while it runs: not in the figures", change.object));
    }
}

/// A new or changed autoscaler gives its workload a range, and moves its replicas into it.
fn autoscaler(change: &Change, snapshot: &Snapshot, all: &mut Costly) {
    let of = |value: &Value| (!value.is_null()).then(|| read::range(value));
    let (before, after) = (of(&change.live), if change.removes() { None } else { of(&change.after) });
    let Some((mut object, _)) = after.clone().or(before.clone()) else { return };
    object.namespace = change.object.namespace.clone();
    let range = |side: &Option<(Object, Range)>| side.as_ref().map(|(_, range)| *range);
    let (old, new) = (range(&before), range(&after));
    if let Some(edit) = all.edits.workloads.iter_mut().find(|e| e.object == object) {
        with_range(&mut edit.before, old);
        with_range(&mut edit.after, new);
        return;
    }
    let own: Vec<_> = snapshot.pods.iter().filter(|p| p.owner == object).collect();
    let Some(first) = own.first() else {
        all.notes.push(format!("{object} has no pods yet: what its autoscaler costs is not known"));
        return;
    };
    let state = State { replicas: own.len() as i64, shape: first.shape.clone(), range: None };
    let mut edit = Edit { object, before: Some(state.clone()), after: Some(state), templates: Vec::new() };
    with_range(&mut edit.before, old);
    with_range(&mut edit.after, new);
    if edit.before.as_ref().map(|s| (s.replicas, s.range))
        != edit.after.as_ref().map(|s| (s.replicas, s.range))
    {
        all.edits.workloads.push(edit);
    }
}

fn with_range(state: &mut Option<State>, range: Option<Range>) {
    if let (Some(state), Some(range)) = (state, range) {
        state.replicas = state.replicas.clamp(range.min, range.max.max(range.min));
        state.range = Some(range);
    }
}

/// Autoscalers that are there already: their ranges are the figures' ends, before and after.
fn standing(scalers: &[Value], changes: &[&Change], all: &mut Costly) {
    for scaler in scalers {
        let changed = changes.iter().any(|c| {
            c.kind.kind == "HorizontalPodAutoscaler" && c.object.name == text(scaler, "/metadata/name")
        });
        let (object, range) = read::range(scaler);
        let Some(edit) = all.edits.workloads.iter_mut().find(|e| e.object == object && !changed) else {
            continue;
        };
        for state in [&mut edit.before, &mut edit.after].into_iter().flatten() {
            state.range = Some(range);
        }
        let to = edit.after.as_ref().map(|s| s.replicas);
        if let Some(to) = to.filter(|to| *to < range.min || *to > range.max) {
            let name = text(scaler, "/metadata/name");
            let end = if to < range.min { "minimum" } else { "maximum" };
            all.notes.push(format!(
                "hpa/{name} ({}–{}) takes {to} back: what lasts is its {end} changed to {to}",
                range.min, range.max
            ));
        }
    }
}
