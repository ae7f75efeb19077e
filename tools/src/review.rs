//! From a plan to a verified change: preview, decision, approval, apply, verify. The only road to a write, for every
//! tool and every front.

mod allowance;
mod apply;
mod availability;
mod behind;
mod capacity;
mod foresee;
mod look;
mod needs;
mod owners;
mod preview;
mod risk;
mod silent;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use apply::{Applied, Event, StepResult, apply, is_writing};
pub(crate) use capacity::unplaced;
pub use owners::Owner;
pub use preview::preview;

use crate::cluster::write::Conflict;
use crate::cluster::{Cluster, Identity};
use crate::diff::FieldChange;
use crate::error::ToolError;
use crate::journal::Touched;
use crate::object::ObjectRef;
use crate::plan::{Change, WriteRequest};
use crate::policy::{Decision, Risk};

/// How long an approval may be given after the preview was made.
pub const TTL: Duration = Duration::from_secs(600);

/// Leave for `cluster::write` to send. Nothing outside this module can make one:
///
/// ```compile_fail,E0423
/// let forged = kai_tools::review::Licence(());
/// ```
///
/// though its name can be said:
///
/// ```
/// fn with(_: &kai_tools::review::Licence) {}
/// ```
pub struct Licence(());

/// A plan as it was looked at: what would change, field by field, as the API server itself says, with everything that
/// a person should know before saying yes.
pub struct Preview {
    pub view: View,
    cluster: Cluster,
    steps: Vec<Step>,
    made: Instant,
}

struct Step {
    change: Change,
    request: WriteRequest,
    touched: Vec<Touched>,
    /// Look again after the change was reached: an autoscaler is about to decide otherwise.
    hold: Option<Duration>,
    /// Fields of others that a server-side apply meets.
    conflicts: Vec<Conflict>,
}

/// What fronts show of a preview, and what plan files keep: text is cleaned and secrets are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Short name of the plan, made from its digest and its time.
    pub id: String,
    pub title: String,
    pub context: String,
    pub identity: Identity,
    pub steps: Vec<StepView>,
    /// What concerns the plan as a whole.
    pub notes: Vec<String>,
    pub risk: Risk,
    pub decision: Decision,
    /// SHA-256 over everything that an approval is about; another digest is another plan.
    pub digest: String,
    pub undoes: Option<String>,
    /// What it costs; none where nothing that is paid for changes.
    #[serde(default)]
    pub cost: Option<crate::cost::PlanCost>,
}

/// One write of a preview.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    pub object: ObjectRef,
    #[serde(default)]
    pub verb: Verb,
    pub changes: Vec<FieldChange>,
    /// What the change means, in the order in which it matters.
    pub lines: Vec<Line>,
    pub owners: Vec<Owner>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Create,
    #[default]
    Update,
    Delete,
    Evict,
    /// Nothing of it changes: kai goes into it.
    Enter,
}

/// A statement about a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Such as `pods`, `owners`, `rights`.
    pub label: String,
    pub text: String,
    pub level: Level,
}

/// How a statement is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Fact,
    /// May not go as expected.
    Warning,
    /// Could not be looked at: a no for going ahead without a person.
    Unknown,
    /// Will not work, or will be taken back.
    Problem,
}

impl Line {
    /// A statement; its text is cleaned and secrets in it are masked.
    pub fn new(level: Level, label: &str, text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self { label: label.into(), text: crate::redact::text(&crate::sanitize::line(&text)), level }
    }
}

/// Where a yes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Typed at a terminal, in answer to the preview.
    Terminal,
    /// Given in an MCP client's own dialogue.
    Elicitation,
    /// Given with `kai approve`, and kept sealed in the plan store.
    Stamp,
    /// A rule of the policy.
    Policy,
}

/// A person's answer to a preview.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Digest of the preview that was shown.
    pub digest: String,
    pub channel: Channel,
    /// What was typed, where the decision wants a name.
    pub typed: Option<String>,
}

/// A preview that was agreed to. Only [`Preview::approve`] makes one:
///
/// ```compile_fail,E0451
/// use kai_tools::review::{Approved, Channel, Preview};
/// fn forge(preview: Preview) -> Approved {
///     Approved { preview, channel: Channel::Terminal }
/// }
/// ```
///
/// with an answer to that very preview:
///
/// ```
/// use kai_tools::review::{Answer, Approved, Preview};
/// fn agree(preview: Preview, answer: &Answer) -> Result<Approved, kai_tools::ToolError> {
///     preview.approve(answer)
/// }
/// ```
pub struct Approved {
    preview: Preview,
    channel: Channel,
}

impl Preview {
    /// Turns an answer into leave to apply, when the answer is to this very preview, in time, and says enough.
    ///
    /// # Errors
    /// [`ToolError::Stale`] for another or an expired preview; [`ToolError::Refused`] when policy says no, or when the
    /// answer does not say what the decision wants.
    pub fn approve(self, answer: &Answer) -> Result<Approved, ToolError> {
        if answer.digest != self.view.digest {
            return Err(ToolError::Stale { message: "the approval is for another plan".into() });
        }
        if self.made.elapsed() > TTL {
            return Err(ToolError::Stale {
                message: format!("the preview is older than {} minutes", TTL.as_secs() / 60),
            });
        }
        let refused = |message: String| ToolError::Refused { message, hint: String::new() };
        match &self.view.decision {
            Decision::Refuse { reason, hint } => {
                return Err(ToolError::Refused { message: reason.clone(), hint: hint.clone() });
            }
            Decision::Allow { .. } => {}
            Decision::Ask { reason, .. } if answer.channel == Channel::Policy => {
                return Err(refused(format!("a person must agree: {reason}")));
            }
            Decision::Ask { typed: Some(name), .. } if answer.typed.as_deref() != Some(name) => {
                return Err(refused(format!("this change wants the name `{name}` typed")));
            }
            Decision::Ask { .. } => {}
        }
        Ok(Approved { preview: self, channel: answer.channel })
    }

    /// Whether the API server refused one of the dry runs, and what it said.
    pub fn blocked(&self) -> Option<&str> {
        let problem = |step: &'_ StepView| step.lines.iter().position(|l| l.label == "refused");
        self.view.steps.iter().find_map(|step| problem(step).map(|at| step.lines[at].text.as_str()))
    }
}
