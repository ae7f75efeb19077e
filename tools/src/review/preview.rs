//! A plan looked at: dry run on the API server, diff, rights, owners, room, risk, decision, digest.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::look::{Namespace, Seen, Surroundings, look, may};
use super::{Level, Line, Preview, Step, StepView, View, availability, capacity, owners, risk};
use crate::cluster::{Cluster, write};
use crate::diff::{self, FieldChange};
use crate::error::ToolError;
use crate::journal::{Kept, Touched, sha256};
use crate::plan::{Change, Does, Plan, WriteRequest};
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
    let (risk, reason) = risk::risk(&plan, cluster.context());
    if cluster.is_read_only() {
        return Err(ToolError::Refused {
            message: format!("read-only mode: {}", plan.title),
            hint: policy::READ_ONLY_HINT.into(),
        });
    }
    // A list, not a lazy iterator: its closure would be held across an await, which no `Send` future may do.
    let dry_runs: Vec<_> = plan
        .changes
        .iter()
        .map(|change| async move {
            let request = change.request();
            let (answer, may) = tokio::join!(write::dry_run(cluster, &request), may(cluster, change));
            (request, answer, may)
        })
        .collect();
    let dry_runs = stream::iter(dry_runs).buffered(SIDE_BY_SIDE).collect::<Vec<_>>();
    let (identity, around, answers) = tokio::join!(cluster.identity(), look(cluster, &plan), dry_runs);
    let identity = identity?;
    let mut steps = Vec::new();
    let mut views = Vec::new();
    for (change, (request, answer, may)) in plan.changes.into_iter().zip(answers) {
        let (step, view) = step(cluster, change, request, answer, may, &around).await?;
        steps.push(step);
        views.push(view);
    }
    let digest = digest(&identity, &steps, &views, risk);
    let seed = format!("{digest}{}", context.now);
    let id = sha256(seed.as_bytes())[..6].to_string();
    let decision = decide(policy, risk, &reason, &steps, &views);
    let mut notes = plan.notes;
    notes.extend(unasked(&context.words, &steps));
    let view = View {
        id,
        title: plan.title,
        context: cluster.context().into(),
        identity,
        steps: views,
        notes,
        risk,
        decision,
        digest,
        undoes: plan.undoes,
    };
    Ok(Preview { view, cluster: cluster.clone(), steps, made: Instant::now() })
}

async fn step(
    cluster: &Cluster,
    change: Change,
    request: WriteRequest,
    answer: Result<Value, ToolError>,
    may: Option<bool>,
    around: &Surroundings,
) -> Result<(Step, StepView), ToolError> {
    let mut lines = Vec::new();
    let changes = match answer {
        Ok(after) => diff::fields(&before(&change), &complete(&change, after)),
        Err(ToolError::Stale { message }) => {
            return Err(ToolError::Stale {
                message: format!("{} changed while it was looked at: {message}", change.object),
            });
        }
        Err(ToolError::Forbidden { message }) => {
            return Err(ToolError::Forbidden {
                message: format!("{} (asked as {})", message, user(cluster).await),
            });
        }
        Err(ToolError::Api { status, message }) if status < 500 => {
            lines.push(Line::new(Level::Problem, "refused", message));
            diff::fields(&before(&change), &desired(&change))
        }
        Err(e) => return Err(e),
    };
    let empty =
        Namespace { autoscalers: Ok(vec![]), budgets: Ok(vec![]), quotas: Ok(vec![]), services: Ok(vec![]) };
    let near = around.namespaces.get(&change.object.namespace).unwrap_or(&empty);
    let hpas = seen(&near.autoscalers, "owners", "autoscalers", &mut lines);
    let owners = owners::owners(&change, hpas);
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
        if let Some((nodes, pods)) = &around.nodes {
            match (nodes, pods) {
                (Ok(nodes), Ok(pods)) => lines.push(capacity::fit(&change, nodes, pods)),
                _ => lines.push(Line::new(
                    Level::Unknown,
                    "pods",
                    "whether the nodes have room is not known: nodes or pods may not be listed",
                )),
            }
        }
    }
    let (resource, subresource) = change.resource();
    let what =
        if subresource.is_empty() { resource.to_string() } else { format!("{resource}/{subresource}") };
    lines.push(match may {
        Some(true) => {
            Line::new(Level::Fact, "rights", format!("you may patch {what} in {}", change.object.namespace))
        }
        Some(false) => Line::new(
            Level::Problem,
            "rights",
            format!("you may not patch {what} in {}", change.object.namespace),
        ),
        None => Line::new(Level::Unknown, "rights", "the API server does not say whether you may"),
    });
    let hold = outside_range(&owners, &change);
    let touched = changes
        .iter()
        .map(|c| Touched {
            path: c.path.clone(),
            before: Kept::of(&c.path, c.before.as_ref()),
            after: Kept::of(&c.path, c.after.as_ref()),
        })
        .collect();
    let shown = changes.into_iter().map(FieldChange::masked).collect();
    let view = StepView { object: change.object.clone(), changes: shown, lines, owners };
    Ok((Step { change, request, touched, hold }, view))
}

/// An autoscaler that will take the change back decides every 15 seconds: long enough to see it do so.
fn outside_range(owners: &[super::Owner], change: &Change) -> Option<Duration> {
    let scales = matches!(change.does, Does::Scale { .. });
    let takes_back = owners
        .iter()
        .any(|o| o.level == Level::Problem && (o.name.starts_with("hpa/") || o.name.starts_with("KEDA")));
    (scales && takes_back).then_some(Duration::from_secs(20))
}

async fn user(cluster: &Cluster) -> String {
    cluster.identity().await.map_or_else(|_| "this user".into(), |i| i.user)
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

/// The object that the API server's answer is compared with: for a scale, its Scale.
fn before(change: &Change) -> Value {
    match change.does {
        Does::Scale { from, .. } => scale_of(change, from),
        _ => change.live.clone(),
    }
}

/// The API server's answer with what it leaves out because it is the zero value: a Scale to 0 comes back without replicas.
fn complete(change: &Change, mut answer: Value) -> Value {
    if let Does::Scale { .. } = change.does
        && answer.pointer("/spec/replicas").is_none()
    {
        answer["spec"]["replicas"] = json!(0);
    }
    answer
}

/// What we asked for, for the diff of a write that the API server refuses.
fn desired(change: &Change) -> Value {
    match change.does {
        Does::Scale { to, .. } => scale_of(change, to),
        _ => change.after.clone(),
    }
}

fn scale_of(change: &Change, replicas: i64) -> Value {
    let meta =
        |field: &str| change.live.pointer(&format!("/metadata/{field}")).cloned().unwrap_or(Value::Null);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"), "resourceVersion": meta("resourceVersion")},
        "spec": {"replicas": replicas},
    })
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

fn decide(policy: &Policy, risk: policy::Risk, reason: &str, steps: &[Step], views: &[StepView]) -> Decision {
    let lines = || views.iter().flat_map(|v| &v.lines);
    if let Some(refused) = lines().find(|l| l.label == "refused") {
        return Decision::Refuse {
            reason: format!("the API server refuses it: {}", refused.text),
            hint: String::new(),
        };
    }
    if let Some(denied) = lines().find(|l| l.label == "rights" && l.level == Level::Problem) {
        return Decision::Refuse {
            reason: denied.text.clone(),
            hint: "Ask for the right, or use another identity (--as, --context).".into(),
        };
    }
    let mut namespaces: Vec<&str> = steps.iter().map(|s| s.change.object.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let name = match steps {
        [one] => one.change.object.name.as_str(),
        _ => namespaces.first().copied().unwrap_or(""),
    };
    let replicas = steps
        .iter()
        .filter_map(|s| match s.change.does {
            Does::Scale { to, .. } => Some(to),
            _ => None,
        })
        .max();
    let checked = lines().all(|l| l.level != Level::Unknown);
    policy::decide(policy, &Facts { risk, reason, namespaces, objects: steps.len(), replicas, name, checked })
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
