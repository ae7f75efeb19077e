//! An approved plan carried out: journal first, each write once, doubt resolved by reading, then the wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Approved, Channel, Licence, Step, View};
use crate::cluster::Cluster;
use crate::cluster::wait::{Expect, Rollout, Stop, Verdict, wait};
use crate::cluster::write::{self, NotWritten};
use crate::diff;
use crate::error::ToolError;
use crate::journal::{Entry, Intent, Journal, StepOutcome, sha256};
use crate::object::{ObjectRef, text};
use crate::plan::{Does, UndoBy};

/// What happens while a plan is applied, for whoever shows it.
#[derive(Clone, Debug)]
pub enum Event {
    Writing(ObjectRef),
    Written(ObjectRef),
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

/// Carries out an approved plan. Nothing is sent twice; after the first write that is not done, no other is begun.
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
    for (index, step) in steps.iter().enumerate() {
        let object = step.change.object.clone();
        if halted || stop.is_set() {
            results.push(StepResult { object, outcome: StepOutcome::NotDone, error: None, verdict: None });
            continue;
        }
        show(Event::Writing(object.clone()));
        let intent = intent(&view, step, index, steps.len(), words, channel);
        let (outcome, error) = match journal.append(&view.id, Entry::Intent(Box::new(intent))) {
            Ok(()) => write_once(&cluster, step).await,
            Err(e) => (StepOutcome::NotDone, Some(e)),
        };
        let message = error.as_ref().map(ToString::to_string).unwrap_or_default();
        if !matches!(error, Some(ToolError::Records { .. }))
            && let Err(e) = journal.append(&view.id, Entry::Outcome { step: index, outcome, message })
        {
            tracing::error!("{e}");
        }
        if outcome == StepOutcome::Done {
            show(Event::Written(object.clone()));
        }
        halted = outcome != StepOutcome::Done;
        results.push(StepResult { object, outcome, error, verdict: None });
    }
    for (step, result) in steps.iter().zip(&mut results) {
        if result.outcome != StepOutcome::Done || stop.is_set() {
            continue;
        }
        let object = result.object.clone();
        let expect = Expect { replicas: expected_replicas(step), hold: step.hold };
        let verdict = wait(&cluster, &step.change.kind, &object, &expect, stop, &mut |rollout| {
            show(Event::Rolling(object.clone(), rollout));
        })
        .await;
        show(Event::Settled(object.clone(), verdict.clone()));
        let entry = Entry::Verdict { object: object.clone(), verdict: verdict.to_string() };
        if let Err(e) = journal.append(&view.id, entry) {
            tracing::error!("{e}");
        }
        result.verdict = Some(verdict);
    }
    Applied { view, steps: results, interrupted: stop.is_set() }
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

async fn write_once(cluster: &Cluster, step: &Step) -> (StepOutcome, Option<ToolError>) {
    match write::send(cluster, &step.request, &Licence(())).await {
        Ok(_) => (StepOutcome::Done, None),
        Err(NotWritten::Refused(e)) => (StepOutcome::NotDone, Some(e)),
        Err(NotWritten::Unknown(e)) => read_back(cluster, step, e).await,
    }
}

/// No answer came: the object itself says whether the write was done.
async fn read_back(cluster: &Cluster, step: &Step, error: ToolError) -> (StepOutcome, Option<ToolError>) {
    let change = &step.change;
    let Ok(now) = cluster.object(&change.kind, &change.object.namespace, &change.object.name).await else {
        return (StepOutcome::Unknown, Some(error));
    };
    let version = |v: &Value| text(v, "/metadata/resourceVersion").to_string();
    let holds = step.touched.iter().all(|t| t.after.is(diff::at(&now, &t.path)));
    if text(&now, "/metadata/uid") == text(&change.live, "/metadata/uid")
        && version(&now) == version(&change.live)
    {
        (StepOutcome::NotDone, Some(error))
    } else if holds {
        (StepOutcome::Done, None)
    } else {
        (StepOutcome::Unknown, Some(error))
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
            UndoBy::Fields => None,
        },
        undoes: view.undoes.clone(),
    }
}
