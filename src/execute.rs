//! Calls carried out, from arguments to verdict, the same for every front: run queries, plan actions, preview, ask,
//! apply, verify.

mod outcome;
mod sentences;

use std::time::Duration;

use jiff::Timestamp;
use kai_tools::catalog;
use kai_tools::cluster::wait::Stop;
use kai_tools::journal::{Journal, StepOutcome};
use kai_tools::plan::Plan;
use kai_tools::policy::{Decision, Policy};
use kai_tools::report::Report;
use kai_tools::review::{self, Answer, Applied, Channel, View};
use kai_tools::store::{SavedCall, SavedPlan, Store, VERSION};
use kai_tools::tool::{Context, Effect, Outcome};
use kai_tools::{Cluster, ToolError};
use serde_json::Value;

pub use outcome::{Done, status_of, status_of_talk};

use crate::approval::{Front, Said};

/// How often a plan is previewed anew because the cluster moved under it, before the person is told.
const RENEWALS: u32 = 3;

/// What calls are carried out with.
#[derive(Clone)]
pub struct Workbench {
    pub cluster: Cluster,
    pub policy: Policy,
    pub journal: Journal,
    pub store: Store,
    /// The prices that the person gave.
    pub pricing: std::sync::Arc<kai_tools::cost::Pricing>,
    /// Preview only.
    pub dry_run: bool,
    /// Whether a language model chooses the targets: then one that the person's words do not name is marked.
    pub chosen_by_model: bool,
    /// Whether a person typed what the calls say: not so over MCP.
    pub typed_by_person: bool,
    pub stop: Stop,
}

/// A tool call with its arguments as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub tool: String,
    pub arguments: Value,
}

/// A plan that a person saw elsewhere: in a file, or in an MCP client.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What may be applied, and nothing else.
    pub digest: String,
    /// The yes, when it was given already.
    pub answer: Option<Answer>,
}

/// A request: the calls of one turn, the words that led to them, and its moment.
pub struct Request<'a> {
    pub calls: &'a [Call],
    pub words: &'a str,
    pub now: Timestamp,
}

impl Workbench {
    /// What tools may look at for a request.
    pub fn context(&self, words: &str, now: Timestamp) -> Context {
        let words = if self.chosen_by_model { words.to_string() } else { String::new() };
        Context {
            cluster: self.cluster.clone(),
            now,
            words,
            paths_are_typed: self.typed_by_person && !self.chosen_by_model,
            journal: self.journal.clone(),
            pricing: self.pricing.clone(),
        }
    }

    /// Carries out the calls of one turn and answers each, in order. Queries run first and side by side; all actions
    /// of the turn are one plan, previewed and approved once, and none is applied unless all could be planned.
    pub async fn turn(&self, request: &Request<'_>, front: &mut impl Front) -> Vec<Done> {
        let mut done: Vec<Option<Done>> = vec![None; request.calls.len()];
        let is_action = |call: &Call| {
            catalog::find(&call.tool).is_some_and(|t| matches!(t.effect, Effect::Changes { .. }))
        };
        let queries = request
            .calls
            .iter()
            .enumerate()
            .filter(|(_, c)| !is_action(c))
            .map(|(i, call)| async move { (i, self.query(call, request).await) });
        for (i, outcome) in futures::future::join_all(queries).await {
            done[i] = Some(match outcome {
                Ok(report) => Done::Report(Box::new(report)),
                Err(error) => Done::Failed(error),
            });
        }
        let actions: Vec<usize> =
            (0..request.calls.len()).filter(|i| is_action(&request.calls[*i])).collect();
        if !actions.is_empty() {
            let calls: Vec<Call> = actions.iter().map(|i| request.calls[*i].clone()).collect();
            let outcomes = self.act(&Request { calls: &calls, ..*request }, None, front).await;
            for (i, outcome) in actions.into_iter().zip(outcomes) {
                done[i] = Some(outcome);
            }
        }
        done.into_iter().flatten().collect()
    }

    async fn query(&self, call: &Call, request: &Request<'_>) -> Result<Report, ToolError> {
        let tool = catalog::find(&call.tool).ok_or_else(|| unknown_tool(&call.tool))?;
        match tool.call(call.arguments.clone(), self.context(request.words, request.now)).await? {
            Outcome::Report(report) => Ok(report),
            Outcome::Plan(_) => Err(ToolError::Invalid(format!("{} is no query", call.tool))),
        }
    }

    /// Plans all actions as one plan. The first that cannot be planned stops all.
    async fn plan(&self, request: &Request<'_>) -> Result<Plan, (usize, ToolError)> {
        let mut whole = Plan::default();
        for (i, call) in request.calls.iter().enumerate() {
            let tool = catalog::find(&call.tool).ok_or_else(|| (i, unknown_tool(&call.tool)))?;
            let context = self.context(request.words, request.now);
            match tool.call(call.arguments.clone(), context).await.map_err(|e| (i, e))? {
                Outcome::Plan(plan) => merge(&mut whole, plan).map_err(|e| (i, e))?,
                Outcome::Report(_) => {
                    return Err((i, ToolError::Invalid(format!("{} is no action", call.tool))));
                }
            }
        }
        Ok(whole)
    }

    /// Carries out actions as one plan. `bound` is the plan that a person saw elsewhere: any other is stale, whatever
    /// policy would let pass.
    pub async fn act(
        &self,
        request: &Request<'_>,
        bound: Option<&Bound>,
        front: &mut impl Front,
    ) -> Vec<Done> {
        let every = |done: Done| vec![done; request.calls.len()];
        let mut answer: Option<Answer> = bound.and_then(|b| b.answer.clone());
        for round in 0.. {
            let plan = match self.plan(request).await {
                Ok(plan) => plan,
                // It could be planned before somebody was asked: what it was about is not what it was.
                Err((_, error)) if round > 0 => {
                    let message = format!("the cluster changed meanwhile, and now {error}");
                    return every(Done::Failed(ToolError::Stale { message }));
                }
                Err((at, error)) => return refused_together(request.calls.len(), at, &error),
            };
            if plan.changes.is_empty() {
                return every(Done::Unchanged(plan.title));
            }
            let context = self.context(request.words, request.now);
            let preview = match review::preview(plan, &context, &self.policy).await {
                Ok(preview) => preview,
                Err(ToolError::Stale { .. }) if round < RENEWALS => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(ToolError::Unchanged(why)) => return every(Done::Unchanged(why)),
                Err(error) => return every(Done::Failed(error)),
            };
            let view = preview.view.clone();
            if bound.is_some_and(|b| b.digest != view.digest) {
                front.show(&view);
                let message = "the cluster is not what it was when this plan was previewed".to_string();
                return every(Done::Failed(ToolError::Stale { message }));
            }
            let agreed = match answer.take().filter(|a| a.digest == view.digest) {
                Some(earlier) => earlier,
                None => match self.agree(&view, round, front).await {
                    Ok(answer) => answer,
                    Err(Waits::Refused(error)) => return every(Done::Failed(error)),
                    Err(Waits::Previewed) => return every(Done::Previewed(Box::new(view))),
                    Err(Waits::Declined) => return every(Done::Declined(Box::new(view))),
                    Err(Waits::Interrupted) => return every(Done::Interrupted),
                    Err(Waits::Nobody) => {
                        let saved = self.save(request, &view);
                        return every(saved.map_or_else(Done::Failed, |()| Done::Waits(Box::new(view))));
                    }
                },
            };
            let applied = match preview.approve(&agreed) {
                Ok(approved) => {
                    let mut stop = self.stop.clone();
                    review::apply(approved, request.words, &self.journal, &mut stop, &mut |e| front.event(e))
                        .await
                }
                Err(error) => return every(Done::Failed(error)),
            };
            if nothing_done_because_stale(&applied) && round < RENEWALS {
                answer = Some(agreed);
                continue;
            }
            return every(Done::Applied(Box::new(applied)));
        }
        unreachable!("the loop ends by returning")
    }

    async fn agree(&self, view: &View, round: u32, front: &mut impl Front) -> Result<Answer, Waits> {
        front.show(view);
        let answer =
            |channel: Channel, typed: Option<String>| Answer { digest: view.digest.clone(), channel, typed };
        if let Decision::Refuse { reason, hint } = &view.decision {
            return Err(Waits::Refused(ToolError::Refused { message: reason.clone(), hint: hint.clone() }));
        }
        if self.dry_run {
            return Err(Waits::Previewed);
        }
        if round > 0 {
            tracing::info!(round, "the cluster moved; a new preview was shown");
        }
        if let Decision::Allow { .. } = view.decision {
            return Ok(answer(Channel::Policy, None));
        }
        match front.ask(view).await {
            Said::Yes { typed } => Ok(answer(front.channel(), typed)),
            Said::No => Err(Waits::Declined),
            Said::Nobody => Err(Waits::Nobody),
            Said::Interrupted => Err(Waits::Interrupted),
        }
    }

    /// The plan as a file keeps it.
    pub fn saved(&self, request: &Request<'_>, view: &View) -> SavedPlan {
        let calls =
            request.calls.iter().map(|c| SavedCall { tool: c.tool.clone(), arguments: c.arguments.clone() });
        SavedPlan {
            version: VERSION,
            now: request.now,
            words: kai_tools::redact::text(request.words),
            calls: calls.collect(),
            context: self.cluster.context().into(),
            namespace: self.cluster.namespace().into(),
            view: view.clone(),
        }
    }

    fn save(&self, request: &Request<'_>, view: &View) -> Result<(), ToolError> {
        self.store.save(&self.saved(request, view))
    }
}

/// Why there is no approval.
enum Waits {
    Refused(ToolError),
    Previewed,
    Declined,
    Interrupted,
    Nobody,
}

fn unknown_tool(name: &str) -> ToolError {
    let names: Vec<&str> = catalog::TOOLS.iter().map(|t| t.name).collect();
    let shown = kai_tools::sanitize::line(name);
    ToolError::Invalid(format!("there is no tool `{shown}`; there are {}", names.join(", ")))
}

/// Adds a plan to the whole. Two changes of one object cannot be previewed side by side: each would be made to a state
/// that the other has changed.
fn merge(whole: &mut Plan, plan: Plan) -> Result<(), ToolError> {
    if let Some(twice) = plan.changes.iter().find(|c| whole.changes.iter().any(|w| w.object == c.object)) {
        return Err(ToolError::Invalid(format!(
            "{} would be changed twice; ask for one after the other",
            twice.object
        )));
    }
    // The name to type is a plan's own choice only while it is the only one.
    whole.name = match (whole.changes.is_empty(), plan.changes.is_empty()) {
        (true, _) => plan.name,
        (false, true) => std::mem::take(&mut whole.name),
        (false, false) => String::new(),
    };
    if whole.title.is_empty() || whole.changes.is_empty() && !plan.changes.is_empty() {
        whole.title = plan.title;
    } else if !plan.changes.is_empty() {
        whole.title = format!("{}; {}", whole.title, plan.title);
    }
    // What waits for a part of the same request comes after it.
    let offset = plan
        .changes
        .iter()
        .flat_map(|c| &c.needs)
        .filter_map(|need| whole.changes.iter().find(|w| w.object.same_workload(need)))
        .map(|first| first.tier + 1)
        .max()
        .unwrap_or(0);
    whole.changes.extend(plan.changes.into_iter().map(|c| {
        let tier = c.tier + offset;
        c.in_tier(tier)
    }));
    whole.notes.extend(plan.notes);
    whole.undoes = whole.undoes.take().or(plan.undoes);
    Ok(())
}

fn refused_together(count: usize, at: usize, error: &ToolError) -> Vec<Done> {
    let of = |i| if i == at { Done::Failed(error.clone()) } else { Done::HeldBack(error.to_string()) };
    (0..count).map(of).collect()
}

fn nothing_done_because_stale(applied: &Applied) -> bool {
    applied.steps.iter().all(|s| s.outcome == StepOutcome::NotDone)
        && applied.steps.iter().any(|s| matches!(s.error, Some(ToolError::Stale { .. })))
}
