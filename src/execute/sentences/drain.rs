//! What to tell a person about a drain that did not come to its end.

use kai_tools::cluster::wait::Verdict;
use kai_tools::journal::StepOutcome;
use kai_tools::review::{Applied, StepResult, Verb};

use super::{NAMES, display, names};

/// Which pods left, which leave, which stay and why; and how to go on or back.
pub(super) fn sentences(applied: &Applied) -> Vec<String> {
    let node = applied.view.steps.iter().position(|s| s.object.kind == "node");
    let is_pod = |index: &usize| applied.view.steps[*index].verb == Verb::Evict;
    let pods: Vec<&StepResult> =
        (0..applied.steps.len()).filter(is_pod).map(|index| &applied.steps[index]).collect();
    let is_gone = |s: &&&StepResult| matches!(s.verdict, Some(Verdict::Reached { .. }));
    let asked = |s: &&&StepResult| s.outcome == StepOutcome::Done;
    let gone = pods.iter().filter(is_gone).count();
    let of = pods.len();
    let mut said = vec![format!("{gone} of {of} {} left.", if of == 1 { "pod has" } else { "pods have" })];
    let leaving: Vec<&StepResult> = pods.iter().filter(|s| asked(s) && !is_gone(s)).copied().collect();
    if !leaving.is_empty() {
        said.push(format!("Asked to leave and not gone yet: {}.", names(leaving)));
    }
    let refused: Vec<&StepResult> = pods.iter().filter(|s| s.error.is_some()).copied().collect();
    for step in refused.iter().take(NAMES) {
        let why = step.error.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = if step.outcome == StepOutcome::Unknown { "may have been asked" } else { "stays" };
        said.push(format!("{} {what}: {}.", step.object, why.trim_end_matches('.')));
    }
    if refused.len() > NAMES {
        said.push(format!("So do {}.", names(refused.into_iter().skip(NAMES))));
    }
    let left: Vec<&StepResult> = pods.iter().filter(|s| s.error.is_none() && !asked(s)).copied().collect();
    if !left.is_empty() {
        said.push(format!("Not asked, and still there: {}.", names(left)));
    }
    match node.map(|index| &applied.steps[index]) {
        Some(node) if node.outcome == StepOutcome::Done => {
            if let Some(Verdict::NotYet { .. } | Verdict::Unseen { .. }) = &node.verdict {
                said.push(format!("{} is not empty: {}.", node.object, display(node.verdict.as_ref())));
            }
            let name = &node.object.name;
            said.push(format!(
                "{} stays cordoned: no new pods come to it. Go on: kai \"drain {name}\". Go back: kai \"uncordon {name}\".",
                node.object
            ));
        }
        Some(node) => {
            let why = node.error.as_ref().map(ToString::to_string).unwrap_or_default();
            said.push(format!("{} was not cordoned: {why}.", node.object));
        }
        None => said.push("The node stays cordoned, as it was. Go on by asking for the same again.".into()),
    }
    said
}
