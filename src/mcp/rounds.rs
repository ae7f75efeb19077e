//! Asking in rounds (protocol 2026-07-28): the result of a call carries the question and the sealed name of the plan; the
//! client makes the call again with the answer and the seal. What comes back is the client's, so it is checked.

use std::collections::BTreeMap;
use std::io::Read;

use kai_tools::ToolError;
use kai_tools::review::{TTL, View};
use kai_tools::store::{SavedPlan, Store};
use rmcp::model::{
    CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, InputRequest,
    InputRequiredResult, RequestStateCodec, SealOptions,
};
use serde::{Deserialize, Serialize};

use super::front::{NO_YES, agreed};
use crate::execute::Call;

/// The key of the question among the requests of a round.
const APPROVAL: &str = "approval";

/// What the seal is about: this plan and no other.
#[derive(Serialize, Deserialize)]
struct Sealed {
    plan: String,
    digest: String,
}

/// Makes and opens the seals of this process.
pub struct Rounds {
    codec: RequestStateCodec,
}

impl Rounds {
    /// With a fresh key: a seal does not outlive the server that made it.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> std::io::Result<Self> {
        let mut key = [0_u8; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self { codec: RequestStateCodec::try_new(key).map_err(std::io::Error::other)? })
    }

    /// The result that asks the client about a plan that waits in the store.
    pub fn ask(&self, view: &View, question: ElicitRequestParams) -> Option<InputRequiredResult> {
        let sealed = Sealed { plan: view.id.clone(), digest: view.digest.clone() };
        let options = SealOptions::new().associated_data(APPROVAL.as_bytes()).ttl(TTL);
        let state = self.codec.seal_json_with(&sealed, &options).ok()?;
        let question = InputRequest::Elicitation(ElicitRequest::new(question));
        Some(InputRequiredResult::new(Some(BTreeMap::from([(APPROVAL.to_string(), question)])), Some(state)))
    }

    /// The plan that a call of the second round is about: sealed here, unused, and made by this very call.
    ///
    /// # Errors
    /// [`ToolError::Stale`] when the seal is not of this server, has expired or is for another call; `NotFound` when the
    /// plan was used.
    pub fn open(
        &self,
        request: &CallToolRequestParams,
        call: &Call,
        store: &Store,
    ) -> Result<SavedPlan, ToolError> {
        let stale = |message: String| ToolError::Stale { message };
        let state = request.request_state.as_deref().unwrap_or_default();
        let sealed: Sealed = self
            .codec
            .open_json_with(state, APPROVAL.as_bytes())
            .map_err(|e| stale(format!("the answer is to no question of this server: {e}")))?;
        let plan = store.load(&sealed.plan)?;
        let same = matches!(plan.calls.as_slice(), [one] if one.tool == call.tool && one.arguments == call.arguments);
        if plan.view.digest != sealed.digest || !same {
            return Err(stale("the answer is to the preview of another call".into()));
        }
        Ok(plan)
    }
}

/// The client's answer to the question about this preview: what was typed with the yes.
///
/// # Errors
/// What to say when it is not a yes.
pub fn heard(request: &CallToolRequestParams, view: &View) -> Result<Option<String>, String> {
    request
        .input_responses
        .as_ref()
        .and_then(|all| all.get(APPROVAL))
        .and_then(|answer| serde_json::from_value::<ElicitResult>(answer.clone()).ok())
        .and_then(|answer| agreed(view, &answer))
        .ok_or_else(|| NO_YES.to_string())
}
