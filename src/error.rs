//! How kai ends: documented exit codes, and the errors of the binary itself.

use kai_tools::ToolError;
use serde::Serialize;

/// The exit code of a run. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ExitStatus {
    /// Answered; or changed, and verified.
    Done = 0,
    /// An error; nothing was changed.
    Failed = 1,
    /// The command line or a file given on it is wrong.
    Usage = 2,
    /// A person must agree first, or said no; nothing was changed.
    NotApproved = 3,
    /// Applied, but the workload is not (or not yet) as asked.
    NotVerified = 4,
    /// Some writes were done and some were not.
    Partial = 5,
    /// The cluster or the plan is not what was looked at any more; nothing was changed.
    Stale = 6,
    /// Policy, rights or login say no; nothing was changed.
    Denied = 7,
    /// The model failed, refused, or used up its budget.
    ModelFailed = 8,
    /// A write was sent and its outcome is not known.
    Unknown = 9,
    /// Interrupted; nothing is pending.
    Interrupted = 130,
}

impl From<&ToolError> for ExitStatus {
    fn from(error: &ToolError) -> Self {
        match error {
            ToolError::Stale { .. } => Self::Stale,
            ToolError::Forbidden { .. } | ToolError::Refused { .. } | ToolError::Login { .. } => Self::Denied,
            _ => Self::Failed,
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// An error of the binary: what to print, what to try, how to end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
    pub status: ExitStatus,
}

impl Failure {
    /// A command line or a file that cannot be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, status: ExitStatus::Usage }
    }

    /// An interrupted run.
    pub fn interrupted() -> Self {
        Self {
            message: "interrupted; nothing was changed".into(),
            hint: None,
            status: ExitStatus::Interrupted,
        }
    }

    /// The same failure with what to try.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self { status: (&error).into(), hint: error.hint(), message: error.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { message: error.to_string(), hint: None, status: ExitStatus::Failed }
    }
}
