//! What the server lists: the catalogue as it is, and `apply_plan`, which belongs to this front alone.

use std::sync::Arc;

use kai_tools::ToolError;
use kai_tools::catalog;
use kai_tools::policy::{Mode, Policy};
use kai_tools::tool::Effect;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

/// The tool that applies a plan which a person approved.
pub const APPLY_PLAN: &str = "apply_plan";

const APPLY_PLAN_TEXT: &str = "Apply a plan that another tool previewed, after a person approved it with \
`kai approve <plan_id>` in a terminal. Works once per plan; without the approval it changes nothing.";
const ASKS: &str =
    " Answers with a preview and a plan id; nothing changes until a person has approved that plan.";
const GOES_AHEAD: &str = " Answers with a preview. By this server's configuration a reversible change then goes ahead; \
for any other a person must approve the plan.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyPlan {
    plan_id: String,
}

fn apply_plan_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"plan_id": {"type": "string", "description": "The id that the preview gave."}},
        "required": ["plan_id"],
        "additionalProperties": false
    })
}

/// The plan that the arguments of `apply_plan` name.
///
/// # Errors
/// [`ToolError::Invalid`] when they name none.
pub fn plan_id(arguments: Value) -> Result<String, ToolError> {
    serde_json::from_value::<ApplyPlan>(arguments)
        .map(|a| a.plan_id)
        .map_err(|e| ToolError::Invalid(kai_tools::sanitize::line(&format!("{APPLY_PLAN}: {e}"))))
}

/// The tools as the protocol tells them. Where nothing may be changed, only those that read are listed; the others are
/// refused by the gate if they are called all the same.
pub fn list(policy: &Policy) -> Vec<Tool> {
    let mode = policy.mode;
    let read_only = mode == Mode::ReadOnly;
    let shown = catalog::offered(policy).filter(|t| !read_only || t.effect == Effect::Reads);
    let mut all: Vec<Tool> = shown.map(|tool| listed(tool, mode)).collect();
    if !read_only {
        let about =
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(false).open_world(false);
        all.push(
            Tool::new(APPLY_PLAN, APPLY_PLAN_TEXT, object(apply_plan_schema()))
                .with_title(title(APPLY_PLAN))
                .with_annotations(about),
        );
    }
    all
}

fn listed(tool: &kai_tools::tool::Tool, mode: Mode) -> Tool {
    let (reads, destructive) = match tool.effect {
        Effect::Reads => (true, false),
        Effect::Changes { destructive } => (false, destructive),
    };
    let approval = match mode {
        _ if reads => "",
        Mode::Auto => GOES_AHEAD,
        Mode::Ask | Mode::ReadOnly => ASKS,
    };
    let text = format!("{}{approval}", tool.description());
    let about =
        ToolAnnotations::new().read_only(reads).destructive(destructive).idempotent(reads).open_world(false);
    Tool::new(tool.name, text, object(tool.schema())).with_title(title(tool.name)).with_annotations(about)
}

fn object(schema: Value) -> Arc<JsonObject> {
    Arc::new(if let Value::Object(map) = schema { map } else { JsonObject::new() })
}

/// `rollout_status` as `Rollout status`.
fn title(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// Whether a tool of the catalogue reads and does nothing else.
pub fn only_reads(name: &str) -> bool {
    catalog::find(name).is_some_and(|t| t.effect == Effect::Reads)
}

/// What to say about a name that is no tool.
pub fn unknown(name: &str) -> String {
    let names: Vec<String> = list(&Policy::default()).into_iter().map(|t| t.name.into_owned()).collect();
    format!("There is no tool `{}`; there are {}.", kai_tools::sanitize::line(name), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_mode(mode: Mode) -> Policy {
        Policy { mode, ..Policy::default() }
    }

    #[test]
    fn annotations_agree_with_what_the_tools_do() {
        for tool in list(&in_mode(Mode::Ask)) {
            let about = tool.annotations.clone().unwrap();
            assert_eq!(about.read_only_hint, Some(only_reads(&tool.name)), "{}", tool.name);
            assert_eq!(about.open_world_hint, Some(false));
            assert!(tool.description.as_ref().is_some_and(|d| d.len() > 20 && d.is_ascii()), "{}", tool.name);
            assert_eq!(tool.input_schema["additionalProperties"], json!(false), "{}", tool.name);
        }
        let apply = list(&in_mode(Mode::Ask)).pop().unwrap();
        assert!(apply.name == APPLY_PLAN && apply.annotations.unwrap().is_destructive());
    }

    #[test]
    fn what_is_read_only_lists_nothing_that_changes() {
        assert!(!list(&in_mode(Mode::ReadOnly)).is_empty());
        assert!(list(&in_mode(Mode::ReadOnly)).iter().all(|t| only_reads(&t.name)));
    }

    #[test]
    fn what_is_off_is_not_spoken_of() {
        let has = |policy: &Policy| list(policy).iter().any(|t| t.name == "exec");
        assert!(!has(&in_mode(Mode::Ask)));
        assert!(has(&Policy { allow_exec: true, ..in_mode(Mode::Ask) }));
    }

    #[test]
    fn what_a_tool_says_of_approval_is_true() {
        let scale = |mode| {
            let tool = list(&in_mode(mode)).into_iter().find(|t| t.name == "scale").unwrap();
            tool.description.unwrap().into_owned()
        };
        assert!(scale(Mode::Ask).ends_with(ASKS));
        assert!(scale(Mode::Auto).ends_with(GOES_AHEAD));
    }

    #[test]
    fn a_plan_id_and_nothing_else() {
        assert_eq!(plan_id(json!({"plan_id": "7f3a"})).unwrap(), "7f3a");
        for bad in [json!({}), json!({"plan_id": 3}), json!({"plan_id": "7f3a", "approved": true})] {
            assert!(plan_id(bad).is_err());
        }
    }
}
