//! What to tell a person about a plan that was applied: what was done, what was not, and how to go on.

mod drain;

use kai_tools::cluster::wait::Verdict;
use kai_tools::journal::StepOutcome;
use kai_tools::object::ObjectRef;
use kai_tools::review::{Applied, StepResult, Verb};

use super::outcome::applied_status;
use crate::error::ExitStatus;

/// Most names that one sentence lists.
const NAMES: usize = 8;
/// Most objects of one plan that are told of with all their evidence.
const AT_LENGTH: usize = 3;

/// The sentences, in the order in which they matter.
pub(super) fn applied_sentences(applied: &Applied) -> Vec<String> {
    if applied_status(applied) != ExitStatus::Done && applied.view.steps.iter().any(|s| s.verb == Verb::Evict)
    {
        return drain::sentences(applied);
    }
    let done: Vec<&StepResult> = with(applied, StepOutcome::Done);
    let mut said = Vec::new();
    if applied_status(applied) == ExitStatus::Done {
        said.push(past(&applied.view.title));
    } else if applied.steps.len() > 1 {
        said.extend(summary(applied, &done));
    }
    let mut at_length = 0;
    for step in &done {
        let sentences = verdict_sentences(&step.object, step.verdict.as_ref());
        at_length += usize::from(!sentences.is_empty());
        if at_length <= AT_LENGTH {
            said.extend(sentences);
        }
    }
    if at_length > AT_LENGTH {
        said.push(format!("{} more are not as asked either: see `kai log`.", at_length - AT_LENGTH));
    }
    for step in with(applied, StepOutcome::Unknown) {
        said.push(format!(
            "{}: the write was sent and its outcome is not known ({}). Look before you do anything: kai \"status of {}\".",
            step.object,
            step.error.as_ref().map(ToString::to_string).unwrap_or_default(),
            step.object.name
        ));
    }
    said.extend(not_done(applied));
    said.extend(going_on(applied, &done));
    said
}

fn with(applied: &Applied, outcome: StepOutcome) -> Vec<&StepResult> {
    applied.steps.iter().filter(|s| s.outcome == outcome).collect()
}

fn names<'a>(steps: impl IntoIterator<Item = &'a StepResult>) -> String {
    let all: Vec<String> = steps.into_iter().map(|s| s.object.to_string()).collect();
    let shown = all.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// How many of a plan's writes were done, and which.
fn summary(applied: &Applied, done: &[&StepResult]) -> Vec<String> {
    let of = applied.steps.len();
    match done.len() {
        0 => vec![format!("None of {of} changes was made.")],
        n if n == of => vec![format!("All {of} changes were made, but not all is as asked.")],
        n => vec![format!("Done, {n} of {of}: {}.", names(done.iter().copied()))],
    }
}

/// What was not done: that which failed with its reason, and the rest by name.
fn not_done(applied: &Applied) -> Vec<String> {
    let mut said = Vec::new();
    let (failed, left): (Vec<&StepResult>, Vec<&StepResult>) =
        with(applied, StepOutcome::NotDone).into_iter().partition(|s| s.error.is_some());
    for step in failed.iter().take(NAMES) {
        let Some(error) = &step.error else { continue };
        said.push(format!("{} was not changed: {error}.", step.object));
        said.extend(error.hint().filter(|_| applied.steps.len() == 1));
    }
    if failed.len() > NAMES {
        said.push(format!("Nor were {}.", names(failed.iter().skip(NAMES).copied())));
    }
    if !left.is_empty() {
        let why = if applied.interrupted { "you stopped before" } else { "kai stopped before" };
        let which = if left.len() == 1 { "it" } else { "them" };
        said.push(format!("Not begun, {why} {which}: {}.", names(left.iter().copied())));
    }
    said
}

/// How to go on, and how to go back.
fn going_on(applied: &Applied, done: &[&StepResult]) -> Vec<String> {
    let mut said = Vec::new();
    let partly = !done.is_empty() && done.len() < applied.steps.len();
    if partly {
        said.push("Go on: ask again, and kai plans what is left.".into());
    }
    let lasting: Vec<&&StepResult> = done.iter().filter(|s| s.lasting.is_some()).collect();
    let id = &applied.view.id;
    match (done.len(), lasting.len()) {
        (0, _) => {}
        (_, 0) => said.push(format!("Take it back with: kai undo {id}")),
        (n, m) if n == m => {
            let why = lasting.first().and_then(|s| s.lasting.clone()).unwrap_or_default();
            said.push(format!("It cannot be taken back: {why}."));
        }
        (_, m) => said.push(format!("Take it back, but for {m} of them, with: kai undo {id}")),
    }
    said
}

fn verdict_sentences(object: &ObjectRef, verdict: Option<&Verdict>) -> Vec<String> {
    match verdict {
        Some(Verdict::Ready { .. } | Verdict::Reached { .. } | Verdict::Written) => Vec::new(),
        Some(Verdict::Ran { code, output, left }) => {
            let mut said = output.clone();
            match code {
                Some(0) => {}
                Some(code) => said.push(format!("The command ended with {code}.")),
                None => said.push(format!("The command was sent; {}.", left.trim_end_matches('.'))),
            }
            said
        }
        Some(Verdict::Failed { ready, desired, cause, evidence }) => {
            let counted = *desired > 0;
            let what = match object.kind.as_str() {
                "job" => "failed",
                _ if counted => "was changed, but it does not come up",
                _ => "does not do what it should",
            };
            let mut said = vec![format!("{object} {what}: {cause}.")];
            said.extend(evidence.iter().map(|e| format!("  {e}")));
            if counted {
                said.push(format!("{ready} of {desired} pods serve."));
            }
            said
        }
        Some(Verdict::NotYet { desired: 0, waiting_for, .. }) => {
            vec![format!("{object} was changed; it is not as asked yet: it waits for {waiting_for}.")]
        }
        Some(Verdict::NotYet { .. }) => {
            vec![format!("{object} was changed; it is not ready yet: {}.", display(verdict))]
        }
        Some(Verdict::Reverted { .. }) => {
            vec![format!("{object} was changed, and changed again: {}.", display(verdict))]
        }
        Some(Verdict::Unseen { .. }) => {
            vec![format!("{object} was changed; whether it came up {}.", display(verdict))]
        }
        None => vec![format!("{object} was changed; kai did not wait for it.")],
    }
}

fn display(verdict: Option<&Verdict>) -> String {
    verdict.map(ToString::to_string).unwrap_or_default()
}

/// `Scale x from 2 to 3` as what was done.
fn past(title: &str) -> String {
    let (verb, rest) = title.split_once(' ').unwrap_or((title, ""));
    let done = match verb {
        "Abort" => "Aborted",
        "Apply" => "Applied",
        "Install" => "Installed",
        "Upgrade" => "Upgraded",
        "Uninstall" => "Uninstalled",
        "Copy" => "Copied",
        "Deploy" => "Deployed",
        "Update" => "Updated",
        "Scale" => "Scaled",
        "Set" => "Set",
        "Autoscale" => "Autoscaled",
        "Stop" => "Stopped",
        "Expose" => "Exposed",
        "Restart" => "Restarted",
        "Roll" => "Rolled",
        "Pause" => "Paused",
        "Resume" => "Resumed",
        "Take" => "Took",
        "Delete" => "Deleted",
        "Promote" => "Promoted",
        "Remove" => "Removed",
        "Route" => "Routed",
        "Send" => "Sent",
        "Cordon" => "Cordoned",
        "Uncordon" => "Uncordoned",
        "Drain" => "Drained",
        "Run" => "Ran",
        "Suspend" => "Suspended",
        "Execute" => "Executed",
        "Forward" => "Forwarded",
        _ => return format!("Done: {title}."),
    };
    format!("{done} {rest}.")
}
