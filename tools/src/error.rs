//! What can go wrong in a tool, who can act on it, and what to try.

use crate::object::ObjectRef;

/// What failed, with what to try. Most variants go back to whoever asked; [`ToolError::is_fatal`] ends the turn.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ToolError {
    /// The arguments do not fit the tool.
    #[error("{0}")]
    Invalid(String),
    /// All is as it was asked for already.
    #[error("{0}")]
    Unchanged(String),
    /// Nothing has that name.
    #[error("{message}")]
    NotFound { message: String, similar: Vec<String> },
    /// The name fits several objects; the person must choose.
    #[error("`{name}` fits {} objects: {}", .candidates.len(), list(.candidates))]
    Ambiguous { name: String, candidates: Vec<ObjectRef> },
    /// The API server says that this user may not do it.
    #[error("forbidden: {message}")]
    Forbidden { message: String },
    /// kai itself will not do it: policy, read-only mode, or a rule of the tool.
    #[error("refused: {message}")]
    Refused { message: String, hint: String },
    /// The object, the context or the plan is no longer what was looked at.
    #[error("stale: {message}")]
    Stale { message: String },
    /// The API server refused the request for another reason, in its own words.
    #[error("the API server answered {status}: {message}")]
    Api { status: u16, message: String },
    /// The API server cannot be reached or did not answer in time.
    #[error("cannot reach the API server: {message}")]
    Unreachable { message: String },
    /// The kubeconfig or the credentials in it cannot be used.
    #[error("{message}")]
    Login { message: String, hint: String },
    /// kai's own records cannot be written or trusted, so nothing is changed.
    #[error("{message}")]
    Records { message: String, hint: String },
}

fn list(candidates: &[ObjectRef]) -> String {
    let mut shown: Vec<String> = candidates
        .iter()
        .take(8)
        .map(|c| if c.namespace.is_empty() { c.to_string() } else { format!("{c} in {}", c.namespace) })
        .collect();
    if candidates.len() > 8 {
        shown.push(format!("... {} more", candidates.len() - 8));
    }
    shown.join(", ")
}

impl ToolError {
    /// Whether another try in the same turn is pointless: nobody behind the tools can repair it.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Login { .. } | Self::Records { .. })
    }

    /// What to do about it, in one sentence, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { similar, .. } if !similar.is_empty() => {
                Some(format!("Did you mean {}?", similar.join(" or ")))
            }
            Self::Ambiguous { .. } => Some("Say which one: kind/name, or name the namespace.".into()),
            Self::Forbidden { .. } => {
                Some("Ask for the right, or use another identity (--as, --context).".into())
            }
            Self::Refused { hint, .. } | Self::Login { hint, .. } | Self::Records { hint, .. }
                if !hint.is_empty() =>
            {
                Some(hint.clone())
            }
            Self::Stale { .. } => {
                Some("Nothing was changed by this plan. Ask again to see a new preview.".into())
            }
            Self::Unreachable { .. } => {
                Some("Check the context (--context), the network and the VPN.".into())
            }
            _ => None,
        }
    }

    /// Message and hint as one text, for a model or a log line.
    pub fn explain(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}. {hint}"),
            None => self.to_string(),
        }
    }
}
