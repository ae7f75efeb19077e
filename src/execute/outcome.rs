//! What a call came to: the sentences for a person, the text for a model, and the exit code.

use kai_tools::ToolError;
use kai_tools::catalog;
use kai_tools::cluster::wait::Verdict;
use kai_tools::journal::StepOutcome;
use kai_tools::object::ObjectRef;
use kai_tools::report::Report;
use kai_tools::review::{Applied, View};
use kai_tools::tool::Effect;
use serde_json::{Value, json};

use super::Call;
use super::sentences::applied_sentences;
use crate::error::ExitStatus;

/// What a call came to.
#[derive(Clone, Debug)]
pub enum Done {
    Report(Box<Report>),
    /// It is so already.
    Unchanged(String),
    /// A dry run, as was asked.
    Previewed(Box<View>),
    /// A person must agree elsewhere; the plan waits in the store.
    Waits(Box<View>),
    Declined(Box<View>),
    Interrupted,
    /// It could have been done, but another action of the same turn could not: all or nothing.
    HeldBack(String),
    Applied(Box<Applied>),
    Failed(ToolError),
}

impl Done {
    /// How a run that ends with this ends.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Report(_) | Self::Unchanged(_) | Self::Previewed(_) => ExitStatus::Done,
            Self::Waits(_) | Self::Declined(_) => ExitStatus::NotApproved,
            Self::Interrupted => ExitStatus::Interrupted,
            Self::HeldBack(_) => ExitStatus::Failed,
            Self::Applied(applied) => applied_status(applied),
            Self::Failed(error) => error.into(),
        }
    }

    /// What to tell a person, in sentences computed from the result.
    pub fn say(&self) -> Vec<String> {
        match self {
            Self::Report(report) => report.say.clone(),
            Self::Unchanged(why) => vec![capital(why)],
            Self::Previewed(view) => vec![format!("Previewed only: {}. Nothing was changed.", view.title)],
            Self::Waits(view) => vec![format!(
                "Nothing was changed. Plan {} waits for a person: look at it with `kai apply {}` in a terminal within 10 minutes.",
                view.id, view.id
            )],
            Self::Declined(_) => vec!["Declined. Nothing was changed.".into()],
            Self::Interrupted => vec!["Interrupted. Nothing was changed.".into()],
            Self::HeldBack(why) => {
                vec![format!("Not done, because another part of the request cannot be done: {why}")]
            }
            Self::Applied(applied) => applied_sentences(applied),
            Self::Failed(error) => {
                let mut said = vec![capital(&error.to_string())];
                if let ToolError::Ambiguous { candidates, .. } = error {
                    said.extend(
                        candidates
                            .iter()
                            .enumerate()
                            .map(|(i, c)| format!("{}. {c} in {}", i + 1, c.namespace)),
                    );
                }
                said.extend(error.hint());
                said
            }
        }
    }

    /// The same for a model: bounded, and plain about what was not done.
    pub fn for_model(&self) -> String {
        match self {
            Self::Report(report) => report.for_model(),
            Self::Waits(view) => format!(
                "Nothing was changed. The plan {} ({}) waits: only a person can approve it, with `kai approve {}`.",
                view.id, view.title, view.id
            ),
            Self::Declined(view) => {
                format!("The person declined: {}. Nothing was changed. Do not try again.", view.title)
            }
            other => kai_tools::report::bounded(&other.say().join("\n"), kai_tools::report::MODEL_TEXT_BYTES),
        }
    }

    /// The objects that this was about.
    pub fn about(&self) -> Vec<ObjectRef> {
        match self {
            Self::Report(report) => report.about.clone(),
            Self::Previewed(view) | Self::Waits(view) | Self::Declined(view) => objects(view),
            Self::Applied(applied) => objects(&applied.view),
            Self::Failed(ToolError::Ambiguous { candidates, .. }) => candidates.clone(),
            _ => Vec::new(),
        }
    }

    /// The same for a machine.
    pub fn json(&self) -> Value {
        let status = self.status() as u8;
        match self {
            Self::Report(report) => {
                json!({"outcome": "report", "exit": status, "say": report.say, "data": report.data, "about": report.about})
            }
            Self::Unchanged(why) => json!({"outcome": "unchanged", "exit": status, "say": [why]}),
            Self::Previewed(view) => json!({"outcome": "previewed", "exit": status, "plan": view}),
            Self::Waits(view) => json!({"outcome": "approval_needed", "exit": status, "plan": view}),
            Self::Declined(view) => json!({"outcome": "declined", "exit": status, "plan": view}),
            Self::Interrupted => json!({"outcome": "interrupted", "exit": status}),
            Self::HeldBack(why) => json!({"outcome": "held_back", "exit": status, "because": why}),
            Self::Applied(applied) => {
                let steps: Vec<Value> = applied
                    .steps
                    .iter()
                    .map(|s| json!({"object": s.object, "outcome": s.outcome, "error": s.error.as_ref().map(ToString::to_string), "verdict": s.verdict}))
                    .collect();
                json!({"outcome": "applied", "exit": status, "say": self.say(), "plan": applied.view, "steps": steps})
            }
            Self::Failed(error) => {
                json!({"outcome": "error", "exit": status, "error": error.to_string(), "hint": error.hint()})
            }
        }
    }
}

fn objects(view: &View) -> Vec<ObjectRef> {
    view.steps.iter().map(|s| s.object.clone()).collect()
}

/// The exit code of a run with these results: the worst of them.
pub fn status_of(all: &[Done]) -> ExitStatus {
    all.iter().map(Done::status).max_by_key(|s| severity(*s)).unwrap_or(ExitStatus::Done)
}

/// The exit code of a talk, in which a model tries, errs and tries again: what it failed at and then did is not counted
/// against it. Once something was applied, that decides; what was refused or declined beside it, or failed after it, makes
/// it a part.
pub fn status_of_talk(all: &[(Call, Done)]) -> ExitStatus {
    let is_applied =
        |d: &Done| matches!(d, Done::Applied(a) if a.steps.iter().any(|s| s.outcome != StepOutcome::NotDone));
    let statuses = |all: &[(Call, Done)]| all.iter().map(|(_, d)| d.clone()).collect::<Vec<_>>();
    let reads = |call: &Call| catalog::find(&call.tool).is_some_and(|tool| tool.effect == Effect::Reads);
    let Some(last) = all.iter().rposition(|(_, d)| is_applied(d)) else {
        // A look that failed counts only when nothing was answered after it.
        let answered = |at: usize| all[at + 1..].iter().any(|(_, d)| d.status() == ExitStatus::Done);
        let left: Vec<(Call, Done)> = all
            .iter()
            .enumerate()
            .filter(|(at, (call, done))| {
                let failed = matches!(done.status(), ExitStatus::Failed | ExitStatus::Usage);
                !(failed && reads(call) && answered(*at))
            })
            .map(|(_, one)| one.clone())
            .collect();
        return status_of(&statuses(&left));
    };
    let applied: Vec<Done> = all.iter().map(|(_, d)| d.clone()).filter(is_applied).collect();
    let beside = all.iter().enumerate().any(|(at, (call, done))| match done.status() {
        ExitStatus::Done => false,
        ExitStatus::NotApproved | ExitStatus::Denied => !reads(call),
        ExitStatus::Interrupted => true,
        _ => !is_applied(done) && at > last && !reads(call),
    });
    match status_of(&applied) {
        ExitStatus::Done if beside => ExitStatus::Partial,
        status => status,
    }
}

/// What a caller must know first.
fn severity(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Done => 0,
        ExitStatus::NotApproved => 1,
        ExitStatus::Failed | ExitStatus::Usage | ExitStatus::ModelFailed => 2,
        ExitStatus::Stale => 3,
        ExitStatus::Denied => 4,
        ExitStatus::Interrupted => 5,
        ExitStatus::NotVerified => 6,
        ExitStatus::Partial => 7,
        ExitStatus::Unknown => 8,
    }
}

pub(super) fn applied_status(applied: &Applied) -> ExitStatus {
    let count = |outcome| applied.steps.iter().filter(|s| s.outcome == outcome).count();
    if count(StepOutcome::Unknown) > 0 {
        return ExitStatus::Unknown;
    }
    if count(StepOutcome::Done) == 0 {
        let error = applied.steps.iter().find_map(|s| s.error.as_ref());
        return error.map_or(ExitStatus::Interrupted, ExitStatus::from);
    }
    if count(StepOutcome::NotDone) > 0 {
        return ExitStatus::Partial;
    }
    let verified = applied.steps.iter().all(|s| s.verdict.as_ref().is_some_and(Verdict::is_good));
    if verified { ExitStatus::Done } else { ExitStatus::NotVerified }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if text.ends_with(['.', '?', '!']) => first.to_uppercase().chain(chars).collect(),
        Some(first) => first.to_uppercase().chain(chars).chain(['.']).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Done {
        Done::Failed(ToolError::Invalid("there is no deployment x".into()))
    }

    fn read(done: Done) -> (Call, Done) {
        (Call { tool: "get".into(), arguments: Value::Null }, done)
    }

    fn change(done: Done) -> (Call, Done) {
        (Call { tool: "scale".into(), arguments: Value::Null }, done)
    }

    #[test]
    fn a_look_that_failed_and_was_made_good_is_no_failure() {
        let said = || Done::Unchanged("it is so already".into());
        assert_eq!(status_of_talk(&[read(failed()), read(said())]), ExitStatus::Done);
        assert_eq!(status_of_talk(&[read(said()), read(failed())]), status_of(&[failed()]));
        assert_eq!(
            status_of_talk(&[change(failed()), read(said())]),
            status_of(&[failed()]),
            "a change that failed did"
        );
        assert_eq!(status_of_talk(&[]), ExitStatus::Done);
    }
}
