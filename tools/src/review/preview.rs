//! A plan looked at: dry run on the API server, diff, rights, owners, room, risk, decision, digest.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use kai_cost::cluster::Snapshot;
use serde_json::{Value, json};

use super::foresee::{Foresight, Makes, foresee};
use super::look::{Namespace, Seen, Surroundings, look, may};
use super::risk::Assessment;
use super::{
    Level, Line, Preview, Step, StepView, Verb, View, allowance, availability, behind, capacity, needs,
    owners, risk, silent,
};
use crate::cost::answer::today;
use crate::cost::{PlanCost, change};
use crate::error::ToolError;
use crate::journal::sha256;
use crate::plan::{Change, Does, Plan, UndoBy};
use crate::policy::{self, Decision, Facts, Policy};
use crate::tool::Context;

/// Dry runs that are sent side by side.
const SIDE_BY_SIDE: usize = 8;

/// Looks at a plan. Sends reads, self-reviews and dry runs only.
///
/// # Errors
/// When the API server cannot be reached, when a dry run is forbidden, or when the plan changes nothing.
pub async fn preview(plan: Plan, context: &Context, policy: &Policy) -> Result<Preview, ToolError> {
    let cluster = &context.cluster;
    if plan.changes.is_empty() {
        return Err(ToolError::Invalid(if plan.title.is_empty() {
            "there is nothing to change".into()
        } else {
            plan.title
        }));
    }
    let risk = risk::assess(&plan, cluster.context());
    if cluster.is_read_only() {
        return Err(ToolError::Refused {
            message: format!("read-only mode: {}", plan.title),
            hint: policy::READ_ONLY_HINT.into(),
        });
    }
    let makes = Makes::of(&plan.changes);
    // A list, not a lazy iterator: its closure would be held across an await, which no `Send` future may do.
    let looks: Vec<_> = plan
        .changes
        .iter()
        .map(|change| {
            let makes = &makes;
            async move { tokio::join!(foresee(cluster, change.clone(), makes), may(cluster, change)) }
        })
        .collect();
    let looks = stream::iter(looks).buffered(SIDE_BY_SIDE).collect::<Vec<_>>();
    let (identity, mut around, answers) =
        tokio::join!(cluster.identity(), look(cluster, &plan, &context.pricing), looks);
    let identity = identity?;
    let answers: Vec<(Foresight, Option<bool>)> =
        answers.into_iter().map(|(foreseen, may)| foreseen.map(|f| (f, may))).collect::<Result<_, _>>()?;
    let cost = cost(&answers, &around, context);
    let mut steps = Vec::new();
    let mut views = Vec::new();
    for (foreseen, may) in answers {
        let (step, view) = step(foreseen, may, &mut around);
        steps.push(step);
        views.push(view);
    }
    let unchanged = leave_out_unchanged(&mut steps, &mut views);
    if steps.is_empty() {
        return Err(ToolError::Unchanged(match unchanged {
            1 => "nothing to change: the object is as the manifest says".into(),
            n => format!("nothing to change: all {n} objects are as the manifests say"),
        }));
    }
    let risk = risk::with_conflicts(risk, &steps);
    let digest = digest(&identity, &steps, &views, risk.risk);
    let seed = format!("{digest}{}", context.now);
    let id = sha256(seed.as_bytes())[..6].to_string();
    let decision = decide(policy, &risk, &plan.name, &steps, &views, cost.as_ref());
    let mut notes = plan.notes;
    match unchanged {
        0 => {}
        1 => notes.push("1 object is as its manifest says already".into()),
        n => notes.push(format!("{n} objects are as their manifests say already")),
    }
    notes.extend(unasked(&context.words, &steps));
    let view = View {
        id,
        title: plan.title,
        context: cluster.context().into(),
        identity,
        steps: views,
        notes,
        risk: risk.risk,
        decision,
        digest,
        undoes: plan.undoes,
        cost,
    };
    Ok(Preview { view, cluster: cluster.clone(), steps, made: Instant::now() })
}

/// What the plan costs, on what was read for it: the API server's own answer to the dry run where it gives one.
fn cost(answers: &[(Foresight, Option<bool>)], around: &Surroundings, context: &Context) -> Option<PlanCost> {
    // What is refused will not be made, and so costs nothing.
    let kept = answers.iter().map(|(f, _)| f).filter(|f| f.lines.iter().all(|l| l.label != "refused"));
    let changes: Vec<&Change> = kept.map(|f| &f.change).collect();
    let scalers: Vec<Value> =
        around.namespaces.values().filter_map(|n| n.autoscalers.as_ref().ok()).flatten().cloned().collect();
    let (none, today) = (Snapshot::default(), today(context));
    let snapshot = around.snapshot.as_ref().unwrap_or(&none);
    change::of_plan(&changes, around.ground.as_ref(), snapshot, &scalers, today)
}

/// Drops what an apply would not change; how many there were.
fn leave_out_unchanged(steps: &mut Vec<Step>, views: &mut Vec<StepView>) -> usize {
    let same = |step: &Step, view: &StepView| {
        matches!(step.change.does, Does::Apply { .. })
            && view.verb == Verb::Update
            && view.changes.is_empty()
            && step.conflicts.is_empty()
            && view.lines.iter().all(|l| l.label != "refused")
    };
    let before = steps.len();
    let (kept, shown) = steps.drain(..).zip(views.drain(..)).filter(|(s, v)| !same(s, v)).unzip();
    (*steps, *views) = (kept, shown);
    before - steps.len()
}

/// One change with all that is known about it, as a step and as people see it.
fn step(foreseen: Foresight, may: Option<bool>, around: &mut Surroundings) -> (Step, StepView) {
    let Foresight { change, request, shown, touched, mut lines, conflicts } = foreseen;
    let empty =
        Namespace { autoscalers: Ok(vec![]), budgets: Ok(vec![]), quotas: Ok(vec![]), services: Ok(vec![]) };
    let evicts = change.does == Does::Evict;
    let near = around.namespaces.get(&change.object.namespace).unwrap_or(&empty);
    let hpas = seen(&near.autoscalers, "owners", "autoscalers", &mut lines);
    let owners = if evicts || change.does.enters() { Vec::new() } else { owners::owners(&change, hpas) };
    // Asked about only where they matter: what cannot be looked at then keeps the change from going ahead by itself.
    let shrinks = change.added_pods() < 0;
    let budgets = match shrinks || change.replaces_pods() {
        true => seen(&near.budgets, "pdb", "disruption budgets", &mut lines),
        false => &[],
    };
    let services = if shrinks { seen(&near.services, "service", "Services", &mut lines) } else { &[] };
    lines.extend(availability::lines(&change, budgets, services));
    if change.added_pods() > 0 {
        let quotas = seen(&near.quotas, "quota", "quotas", &mut lines);
        lines.extend(capacity::quota(&change, quotas));
        if let Some(snapshot) = &around.snapshot {
            lines.push(match snapshot.shows_room() {
                true => capacity::fit(&change, snapshot, &mut around.rooms),
                false => Line::new(
                    Level::Unknown,
                    "pods",
                    "whether the nodes have room is not known: nodes or pods may not be listed",
                ),
            });
        }
    }
    let pods = around.pods.get(&change.object.namespace);
    lines.extend(behind::lines(&change, pods, &around.made));
    lines.extend(allowance::lines(&change, pods));
    lines.extend(needs::lines(&change, &around.needs));
    lines.extend(silent::line(&change, &around.silent));
    // A drain says once what holds for each of its pods.
    if let UndoBy::Never(why) = &change.undo
        && !evicts
    {
        lines.push(Line::new(Level::Warning, "undo", format!("cannot be taken back: {why}")));
    }
    if !(evicts && may == Some(true)) {
        lines.push(rights(&change, may));
    }
    let hold = outside_range(&owners, &change);
    let verb = match &change.does {
        Does::Delete => Verb::Delete,
        Does::Evict => Verb::Evict,
        does if does.enters() => Verb::Enter,
        _ if change.creates() => Verb::Create,
        _ => Verb::Update,
    };
    let view = StepView { object: change.object.clone(), verb, changes: shown, lines, owners };
    (Step { change, request, touched, hold, conflicts }, view)
}

fn rights(change: &Change, may: Option<bool>) -> Line {
    let (verb, resource, subresource) = change.right();
    let what =
        if subresource.is_empty() { resource.to_string() } else { format!("{resource}/{subresource}") };
    let place = match change.object.namespace.as_str() {
        "" => String::new(),
        namespace => format!(" in {namespace}"),
    };
    match may {
        Some(true) => Line::new(Level::Fact, "rights", format!("you may {verb} {what}{place}")),
        Some(false) => Line::new(Level::Problem, "rights", format!("you may not {verb} {what}{place}")),
        None => Line::new(Level::Unknown, "rights", "the API server does not say whether you may"),
    }
}

/// An autoscaler that will take the change back decides every 15 seconds: long enough to see it do so.
fn outside_range(owners: &[super::Owner], change: &Change) -> Option<Duration> {
    let scales = matches!(change.does, Does::Scale { .. });
    let takes_back = owners
        .iter()
        .any(|o| o.level == Level::Problem && (o.name.starts_with("hpa/") || o.name.starts_with("KEDA")));
    (scales && takes_back).then_some(Duration::from_secs(20))
}

fn seen<'a>(list: &'a Seen, label: &str, what: &str, lines: &mut Vec<Line>) -> &'a [Value] {
    match list {
        Ok(items) => items,
        Err(e) => {
            lines.push(Line::new(Level::Unknown, label, format!("{what} cannot be looked at: {e}")));
            &[]
        }
    }
}

/// SHA-256 over all that an approval is about, and nothing that moves by itself (versions, clocks, room on nodes).
fn digest(
    identity: &crate::cluster::Identity,
    steps: &[Step],
    views: &[StepView],
    risk: policy::Risk,
) -> String {
    let steps: Vec<Value> = steps
        .iter()
        .zip(views)
        .map(|(step, view)| {
            let touched = serde_json::to_value(&step.touched).unwrap_or_default();
            let owners: Vec<&str> = view.owners.iter().map(|o| o.name.as_str()).collect();
            json!({"request": step.request.essence(), "touched": touched, "owners": owners})
        })
        .collect();
    let all = json!({"identity": identity, "steps": steps, "risk": risk});
    sha256(all.to_string().as_bytes())
}

fn decide(
    policy: &Policy,
    risk: &Assessment,
    name: &str,
    steps: &[Step],
    views: &[StepView],
    cost: Option<&PlanCost>,
) -> Decision {
    let lines = || views.iter().flat_map(|v| &v.lines);
    let refuse = |reason: String, hint: &str| Decision::Refuse { reason, hint: hint.into() };
    if let Some(refused) = lines().find(|l| l.label == "refused") {
        return refuse(format!("the API server refuses it: {}", refused.text), "");
    }
    if let Some(step) = steps.iter().find(|s| !s.conflicts.is_empty() && !s.request.force) {
        let said: Vec<&str> =
            lines().filter(|l| l.label == "conflict").map(|l| l.text.as_str()).take(3).collect();
        return refuse(
            format!("{} has fields that others manage: {}", step.change.object, said.join("; ")),
            "Leave these fields out, or take them: the same request with --take-over (`take_over`), which asks once more.",
        );
    }
    if let Some(denied) = lines().find(|l| l.label == "rights" && l.level == Level::Problem) {
        return refuse(denied.text.clone(), "Ask for the right, or use another identity (--as, --context).");
    }
    let mut namespaces: Vec<&str> =
        steps.iter().map(|s| s.change.object.namespace.as_str()).filter(|n| !n.is_empty()).collect();
    // A namespace is changed by whoever makes or deletes it.
    let own = |s: &&Step| s.change.kind.kind == "Namespace";
    namespaces.extend(steps.iter().filter(own).map(|s| s.change.object.name.as_str()));
    namespaces.sort_unstable();
    namespaces.dedup();
    let first = || steps.first().map_or("", |s| s.change.object.name.as_str());
    let name = match steps {
        _ if !name.is_empty() => name,
        [one] => one.change.object.name.as_str(),
        _ => namespaces.first().copied().unwrap_or_else(first),
    };
    let replicas = steps.iter().filter_map(|s| s.change.replicas_set()).max();
    let checked = lines().all(|l| l.level != Level::Unknown);
    let needs = risk.needs.iter().copied().collect();
    let facts = Facts {
        risk: risk.risk,
        reason: &risk.reason,
        needs,
        namespaces,
        objects: steps.len(),
        replicas,
        name,
        checked,
        rise: cost.map_or(Some(0.0), PlanCost::rise),
    };
    policy::decide(policy, &facts)
}

/// Targets that the person's words do not name: a model may have been talked into them.
fn unasked(words: &str, steps: &[Step]) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    let words = words.to_lowercase();
    let wide = ["all", "everything", "every", "it", "that", "them", "undo", "back"];
    if words.split(|c: char| !c.is_alphanumeric()).any(|w| wide.contains(&w)) {
        return Vec::new();
    }
    steps
        .iter()
        .map(|s| &s.change.object)
        .filter(|object| {
            let parts = object.name.split(['-', '.', '_']).filter(|p| p.len() > 1);
            !parts.clone().any(|p| words.contains(p)) && !words.contains(&object.name)
        })
        .map(|object| format!("{object} was not named in the request"))
        .collect()
}
