//! An approved plan carried out: journal first, each write once, doubt resolved by reading, then the wait.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Approved, Channel, Licence, Step, View, needs};
use crate::cluster::Cluster;
use crate::cluster::wait::{Expect, Rollout, Stop, Until, Verdict, wait};
use crate::cluster::write::{self, NotWritten};
use crate::diff;
use crate::error::ToolError;
use crate::journal::{Back, Entry, Intent, Journal, StepOutcome, sha256};
use crate::object::{ObjectRef, text};
use crate::plan::{Does, UndoBy};

/// What happens while a plan is applied, for whoever shows it.
#[derive(Clone, Debug)]
pub enum Event {
    Writing(ObjectRef),
    Written(ObjectRef),
    /// A write waits, and why.
    Held(ObjectRef, String),
    /// How far a rollout is; sent again and again.
    Rolling(ObjectRef, Rollout),
    /// The wait for one workload is over.
    Settled(ObjectRef, Verdict),
}

/// What came of one write.
#[derive(Clone, Debug)]
pub struct StepResult {
    pub object: ObjectRef,
    pub outcome: StepOutcome,
    /// Why it was not done, or is not known.
    pub error: Option<ToolError>,
    /// How the workload stood at the end; `None` when nothing was waited for.
    pub verdict: Option<Verdict>,
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Applied {
    pub view: View,
    pub steps: Vec<StepResult>,
    /// Whether the person stopped it before all was done.
    pub interrupted: bool,
}

/// Carries out an approved plan, tier by tier: the next begins when all of the one before is as it should be. After the
/// first write that is not done, no other is begun.
pub async fn apply(
    approved: Approved,
    words: &str,
    journal: &Journal,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> Applied {
    let _writing = Writing::begin();
    let Approved { preview, channel } = approved;
    let (view, cluster, steps) = (preview.view, preview.cluster, preview.steps);
    let mut results: Vec<StepResult> = Vec::new();
    let mut halted = false;
    let tiers: BTreeSet<u32> = steps.iter().map(|s| s.change.tier).collect();
    let mut order: Vec<usize> = Vec::new();
    for tier in tiers {
        let members: Vec<usize> = (0..steps.len()).filter(|i| steps[*i].change.tier == tier).collect();
        let unready = match halted || stop.is_set() {
            true => None,
            false => needs::wait_for(&cluster, &steps, &members, stop, show).await,
        };
        for index in members.iter().copied() {
            let step = &steps[index];
            let object = step.change.object.clone();
            order.push(index);
            if halted || stop.is_set() {
                results.push(StepResult {
                    object,
                    outcome: StepOutcome::NotDone,
                    error: None,
                    verdict: None,
                });
                continue;
            }
            if let Some(error) = unready.clone() {
                halted = true;
                results.push(StepResult {
                    object,
                    outcome: StepOutcome::NotDone,
                    error: Some(error),
                    verdict: None,
                });
                continue;
            }
            show(Event::Writing(object.clone()));
            let intent = intent(&view, step, index, steps.len(), words, channel);
            let (outcome, uid, error) = match journal.append(&view.id, Entry::Intent(Box::new(intent))) {
                Ok(()) => write_once(&cluster, step, stop, show).await,
                Err(e) => (StepOutcome::NotDone, String::new(), Some(e)),
            };
            let message = error.as_ref().map(ToString::to_string).unwrap_or_default();
            if !matches!(error, Some(ToolError::Records { .. }))
                && let Err(e) =
                    journal.append(&view.id, Entry::Outcome { step: index, outcome, message, uid })
            {
                tracing::error!("{e}");
            }
            if outcome == StepOutcome::Done {
                show(Event::Written(object.clone()));
            }
            halted = outcome != StepOutcome::Done;
            results.push(StepResult { object, outcome, error, verdict: None });
        }
        let first = results.len() - members.len();
        for (index, result) in members.iter().zip(&mut results[first..]) {
            if result.outcome != StepOutcome::Done || stop.is_set() {
                continue;
            }
            let step = &steps[*index];
            let verdict = settle(&cluster, step, stop, show).await;
            let entry = Entry::Verdict { object: result.object.clone(), verdict: verdict.to_string() };
            if let Err(e) = journal.append(&view.id, entry) {
                tracing::error!("{e}");
            }
            let good = matches!(verdict, Verdict::Ready { .. } | Verdict::Reached { .. } | Verdict::Written);
            halted |= !good;
            result.verdict = Some(verdict);
        }
    }
    // Back in the order of the preview.
    let mut placed: Vec<(usize, StepResult)> = order.into_iter().zip(results).collect();
    placed.sort_by_key(|(index, _)| *index);
    let results = placed.into_iter().map(|(_, result)| result).collect();
    Applied { view, steps: results, interrupted: stop.is_set() }
}

/// Waits until what was written is as it should be.
async fn settle(
    cluster: &Cluster,
    step: &Step,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> Verdict {
    let object = step.change.object.clone();
    let Some(until) = until(step) else { return Verdict::Written };
    let expect = Expect { until, replicas: expected_replicas(step), hold: step.hold };
    let verdict = wait(cluster, &step.change.kind, &object, &expect, stop, &mut |rollout| {
        show(Event::Rolling(object.clone(), rollout));
    })
    .await;
    show(Event::Settled(object.clone(), verdict.clone()));
    verdict
}

/// What is to be waited for after a write; `None` when the write is all.
fn until(step: &Step) -> Option<Until> {
    let change = &step.change;
    if change.removes() {
        return Some(Until::Gone { uid: text(&change.live, "/metadata/uid").into() });
    }
    match change.kind.kind.as_str() {
        _ if change.is_workload() => Some(Until::Rollout),
        "Job" | "Pod" | "CustomResourceDefinition" => Some(Until::Condition),
        _ => None,
    }
}

fn expected_replicas(step: &Step) -> Option<i64> {
    match step.change.does {
        Does::Scale { to, .. } => Some(to),
        _ => None,
    }
}

/// How many writes are under way in this process.
static WRITING: AtomicUsize = AtomicUsize::new(0);

/// Whether a plan is being applied or waited for: whoever wants to stop must let it come to its own end.
pub fn is_writing() -> bool {
    WRITING.load(Ordering::SeqCst) > 0
}

/// Counts an application for as long as it lives.
struct Writing;

impl Writing {
    fn begin() -> Self {
        WRITING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long a pod is asked to leave while a disruption budget holds it.
const EVICTION_PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two tries of an eviction, as kubectl makes it.
const EVICTION_PAUSE: Duration = Duration::from_secs(5);

/// Sends the write of a step: what came of it, and the uid of what was written.
async fn write_once(
    cluster: &Cluster,
    step: &Step,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> (StepOutcome, String, Option<ToolError>) {
    let change = &step.change;
    if change.creates() {
        // A server-side apply cannot say "only if there is none": somebody may have made it since.
        match cluster.find(&change.kind, &change.object.namespace, &change.object.name).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let message = format!("{} was made by somebody else in the meantime", change.object);
                return (StepOutcome::NotDone, String::new(), Some(ToolError::Stale { message }));
            }
            Err(e) => return (StepOutcome::NotDone, String::new(), Some(e)),
        }
    }
    let begun = Instant::now();
    loop {
        let error = match write::send(cluster, &step.request, &Licence(())).await {
            Ok(written) => return (StepOutcome::Done, text(&written, "/metadata/uid").into(), None),
            // Gone already is what was asked for.
            Err(NotWritten::Refused(ToolError::NotFound { .. })) if change.removes() => {
                return (StepOutcome::Done, String::new(), None);
            }
            Err(NotWritten::Refused(e)) => e,
            Err(NotWritten::Unknown(e)) => return read_back(cluster, step, e).await,
        };
        // A budget that says no for now is no error, and nothing was done: the same is asked again.
        let held = matches!(&error, ToolError::Api { status: 429, .. }) && change.does == Does::Evict;
        if !held || stop.is_set() || begun.elapsed() > EVICTION_PATIENCE {
            return (StepOutcome::NotDone, String::new(), Some(error));
        }
        show(Event::Held(change.object.clone(), error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(EVICTION_PAUSE) => {}
            () = stop.asked() => return (StepOutcome::NotDone, String::new(), Some(error)),
        }
    }
}

/// No answer came: the object itself says whether the write was done.
async fn read_back(
    cluster: &Cluster,
    step: &Step,
    error: ToolError,
) -> (StepOutcome, String, Option<ToolError>) {
    let change = &step.change;
    let uid = text(&change.live, "/metadata/uid");
    let now = match cluster.find(&change.kind, &change.object.namespace, &change.object.name).await {
        Ok(now) => now.unwrap_or_default(),
        Err(_) => return (StepOutcome::Unknown, String::new(), Some(error)),
    };
    let done = (StepOutcome::Done, text(&now, "/metadata/uid").to_string(), None);
    let is = |value: &Value, at: &str| text(value, at) == text(&change.live, at);
    if change.removes() {
        let leaving = now.pointer("/metadata/deletionTimestamp").is_some();
        return if now.is_null() || text(&now, "/metadata/uid") != uid || leaving {
            done
        } else {
            (StepOutcome::NotDone, String::new(), Some(error))
        };
    }
    if change.creates() {
        return match now {
            Value::Null => (StepOutcome::NotDone, String::new(), Some(error)),
            _ => done,
        };
    }
    let holds = step.touched.iter().all(|t| t.after.is(diff::at(&now, &t.path)));
    if is(&now, "/metadata/uid") && is(&now, "/metadata/resourceVersion") {
        (StepOutcome::NotDone, String::new(), Some(error))
    } else if holds {
        done
    } else {
        (StepOutcome::Unknown, String::new(), Some(error))
    }
}

fn intent(view: &View, step: &Step, index: usize, steps: usize, words: &str, channel: Channel) -> Intent {
    let change = &step.change;
    let approved_by = match channel {
        Channel::Terminal => "terminal",
        Channel::Elicitation => "elicitation",
        Channel::Stamp => "kai approve",
        Channel::Policy => "policy",
    };
    Intent {
        step: index,
        steps,
        title: view.title.clone(),
        words: crate::redact::text(&crate::sanitize::line(words)),
        approved_by: approved_by.into(),
        context: view.context.clone(),
        identity: view.identity.clone(),
        object: change.object.clone(),
        group: change.kind.group.clone(),
        uid: text(&change.live, "/metadata/uid").into(),
        method: step.request.method.clone(),
        path: step.request.path.clone(),
        body_sha256: sha256(step.request.body.to_string().as_bytes()),
        touched: step.touched.clone(),
        template: match &change.undo {
            UndoBy::Template(object) => Some(object.clone()),
            _ => None,
        },
        undo: match &change.undo {
            UndoBy::Fields | UndoBy::Template(_) => Back::Fields,
            UndoBy::Delete => Back::Delete,
            UndoBy::Remake => remake(&change.live),
            UndoBy::Never(why) => Back::Never { why: why.clone() },
        },
        undoes: view.undoes.clone(),
    }
}

/// What the journal keeps of an object that goes away, so that it can be made anew.
fn remake(live: &Value) -> Back {
    let mut manifest = live.clone();
    if let Some(map) = manifest.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for own in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"]
        {
            metadata.shift_remove(own);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
            annotations.shift_remove("deployment.kubernetes.io/revision");
        }
    }
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        for own in ["clusterIP", "clusterIPs"] {
            spec.shift_remove(own);
        }
    }
    if crate::redact::object(&manifest) == manifest {
        Back::Remake { manifest }
    } else {
        Back::Never { why: "it holds what may be a secret, which the journal does not keep".into() }
    }
}
