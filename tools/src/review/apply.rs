//! An approved plan carried out: journal first, each write once, doubt resolved by reading, then the wait.

mod enter;
mod evict;
mod forward;
mod record;
mod send;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use enter::enter;
use record::intent;
use send::{Sent, send};
use serde_json::Value;

use super::{Approved, Channel, Step, View, needs};
use crate::cluster::Cluster;
use crate::cluster::wait::{Expect, Rollout, Stop, Until, Verdict, wait};
use crate::diagnose::explained;
use crate::error::ToolError;
use crate::journal::{Entry, Journal, StepOutcome};
use crate::object::{ObjectRef, text};
use crate::plan::{Does, UndoBy};

/// What happens while a plan is applied, for whoever shows it.
#[derive(Clone, Debug)]
pub enum Event {
    Writing(ObjectRef),
    Written(ObjectRef),
    /// A connection into a pod stands open, as this says.
    Open(ObjectRef, String),
    /// A write waits, and why.
    Held(ObjectRef, String),
    /// How many pods of those that are asked to leave have left, and how many a budget holds; sent again and again.
    Leaving {
        gone: usize,
        of: usize,
        held: usize,
    },
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
    /// Why it cannot be taken back, where it cannot.
    pub lasting: Option<String>,
}

impl StepResult {
    fn not_begun(step: &Step) -> Self {
        let lasting = match &step.change.undo {
            UndoBy::Never(why) => Some(why.clone()),
            _ => None,
        };
        let object = step.change.object.clone();
        Self { object, outcome: StepOutcome::NotDone, error: None, verdict: None, lasting }
    }
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
    let results = steps.iter().map(StepResult::not_begun).collect();
    let tiers: BTreeSet<u32> = steps.iter().map(|s| s.change.tier).collect();
    let mut run = Run { cluster, view, steps, results, words, channel, journal, stop, show, halted: false };
    for tier in tiers {
        run.tier(tier).await;
    }
    let interrupted = run.stop.is_set();
    Applied { view: run.view, steps: run.results, interrupted }
}

/// A plan on its way.
struct Run<'a> {
    cluster: Cluster,
    view: View,
    steps: Vec<Step>,
    /// One for each step, in the order of the preview.
    results: Vec<StepResult>,
    words: &'a str,
    channel: Channel,
    journal: &'a Journal,
    stop: &'a mut Stop,
    show: &'a mut (dyn FnMut(Event) + Send),
    /// Something is not as it should be: nothing more is begun.
    halted: bool,
}

impl Run<'_> {
    async fn tier(&mut self, tier: u32) {
        let members: Vec<usize> =
            (0..self.steps.len()).filter(|i| self.steps[*i].change.tier == tier).collect();
        if self.may_begin()
            && let Some(error) =
                needs::wait_for(&self.cluster, &self.steps, &members, self.stop, self.show).await
        {
            self.halted = true;
            for index in &members {
                self.results[*index].error = Some(error.clone());
            }
        }
        let (evictions, others): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|i| self.steps[*i].change.does == Does::Evict);
        for index in others.iter().copied() {
            if self.may_begin() && self.begin(index) {
                let step = &self.steps[index];
                if step.change.does.enters() {
                    let entered = enter(&self.cluster, step, self.stop, self.show).await;
                    self.end(index, entered.0);
                    if let Some(verdict) = entered.1 {
                        self.verdict(index, verdict);
                    }
                } else {
                    let sent = send(&self.cluster, step).await;
                    self.end(index, sent);
                }
            }
        }
        self.evict(&evictions).await;
        for index in others {
            let result = &self.results[index];
            let open = result.outcome == StepOutcome::Done && result.verdict.is_none();
            if open && !self.stop.is_set() {
                let verdict = self.settle(index).await;
                self.verdict(index, verdict);
            }
        }
    }

    fn may_begin(&self) -> bool {
        !self.halted && !self.stop.is_set()
    }

    /// Writes down that a write is about to leave. Without that it does not.
    fn begin(&mut self, index: usize) -> bool {
        let step = &self.steps[index];
        (self.show)(Event::Writing(step.change.object.clone()));
        let intent = intent(&self.view, step, index, self.steps.len(), self.words, self.channel);
        match self.journal.append(&self.view.id, Entry::Intent(Box::new(intent))) {
            Ok(()) => true,
            Err(e) => {
                self.results[index].error = Some(e);
                self.halted = true;
                false
            }
        }
    }

    /// Writes down what came of a write.
    fn end(&mut self, index: usize, sent: Sent) {
        let Sent { outcome, uid, error } = sent;
        let message = error.as_ref().map(ToString::to_string).unwrap_or_default();
        self.append(Entry::Outcome { step: index, outcome, message, uid });
        let result = &mut self.results[index];
        (result.outcome, result.error) = (outcome, error);
        if outcome == StepOutcome::Done {
            (self.show)(Event::Written(result.object.clone()));
        }
        self.halted |= outcome != StepOutcome::Done;
    }

    /// Writes down how an object stands at the end of the wait.
    fn verdict(&mut self, index: usize, verdict: Verdict) {
        let object = self.results[index].object.clone();
        self.append(Entry::Verdict { object: object.clone(), verdict: verdict.to_string() });
        self.halted |= !verdict.is_good();
        if verdict != Verdict::Written {
            (self.show)(Event::Settled(object, verdict.clone()));
        }
        self.results[index].verdict = Some(verdict);
    }

    /// The write has left by now: a journal that cannot be written any more is told, and changes nothing.
    fn append(&self, entry: Entry) {
        if let Err(e) = self.journal.append(&self.view.id, entry) {
            tracing::error!("{e}");
        }
    }

    /// Waits until what was written is as it should be.
    async fn settle(&mut self, index: usize) -> Verdict {
        let step = &self.steps[index];
        let object = step.change.object.clone();
        let Some(until) = until(step) else { return Verdict::Written };
        let expect = Expect { until, replicas: expected_replicas(step), hold: step.hold };
        let show = &mut self.show;
        let verdict = wait(&self.cluster, &step.change.kind, &object, &expect, self.stop, &mut |rollout| {
            show(Event::Rolling(object.clone(), rollout));
        })
        .await;
        // Whoever stopped the wait wants to go home.
        explained(&self.cluster, &object, verdict, self.stop.is_set()).await
    }
}

/// What is to be waited for after a write; `None` when the write is all.
fn until(step: &Step) -> Option<Until> {
    let change = &step.change;
    if change.removes() {
        return Some(Until::Gone { uid: text(&change.live, "/metadata/uid").into() });
    }
    match change.kind.kind.as_str() {
        _ if change.is_workload() => Some(Until::Rollout),
        // One that goes on again may run for as long as it likes.
        "Job" if change.does == Does::Set && !is_suspended(&change.after) => None,
        "Job" | "Pod" | "CustomResourceDefinition" => Some(Until::Condition),
        _ => None,
    }
}

fn is_suspended(job: &Value) -> bool {
    job.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true)
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
