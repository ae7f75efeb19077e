//! The front of an MCP client: previews are kept for the result, a person is asked by elicitation where the client can
//! do that and the change is reversible, and progress goes out as notifications.

use std::time::Duration;

use kai_tools::cluster::wait::Stop;
use kai_tools::policy::{Decision, Risk};
use kai_tools::review::{Channel, Event, View};
use rmcp::model::{
    ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, ProgressNotificationParam,
    ProtocolVersion,
};
use rmcp::service::{Peer, RequestContext, RoleServer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::approval::{Front, Said};
use crate::terminal;

/// How long a person may think about a form; less than an approval's own time.
const PATIENCE: Duration = Duration::from_secs(540);
/// A preview longer than this cannot be read in a form.
const LONGEST_QUESTION: usize = 6_000;

const DESTRUCTIVE: &str = "This change is destructive or wide: a client's own dialogue is not enough, it takes `kai approve` in a terminal.";
/// Some clients decline or accept by themselves, so a no is not taken for a person's.
pub const NO_YES: &str =
    "The client's dialogue brought no approval. Nothing was changed, and the plan still waits.";

/// How a client can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// With a request of its own, while the call goes on.
    Elicitation,
    /// With the result of the call, which the client then makes again.
    Rounds,
    Not,
}

/// An MCP client during one call.
pub struct McpFront {
    peer: Peer<RoleServer>,
    asking: Asking,
    stop: Stop,
    events: UnboundedSender<String>,
    /// The preview that was shown last, as text.
    pub shown: Option<String>,
    /// What else the result must say.
    pub notes: Vec<String>,
    /// The question that the result of this round asks.
    pub question: Option<ElicitRequestParams>,
}

impl McpFront {
    /// The client that made this call, with what it says it can do.
    pub fn new(context: &RequestContext<RoleServer>, stop: Stop, events: UnboundedSender<String>) -> Self {
        let form = context
            .client_capabilities()
            .and_then(|c| c.elicitation)
            .is_some_and(|e| e.form.is_some() || e.url.is_none());
        let rounds =
            context.protocol_version().is_some_and(|v| v.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        let asking = match (form, rounds) {
            (false, _) => Asking::Not,
            (true, true) => Asking::Rounds,
            (true, false) => Asking::Elicitation,
        };
        let peer = context.peer.clone();
        Self { peer, asking, stop, events, shown: None, notes: Vec::new(), question: None }
    }
}

impl Front for McpFront {
    fn show(&mut self, view: &View) {
        self.shown = Some(terminal::plain_preview(view));
    }

    async fn ask(&mut self, view: &View) -> Said {
        if self.asking == Asking::Not {
            return Said::Nobody;
        }
        let Some(question) = question(view) else {
            self.notes.push(DESTRUCTIVE.into());
            return Said::Nobody;
        };
        if self.asking == Asking::Rounds {
            self.question = Some(question);
            return Said::Nobody;
        }
        let answer = tokio::select! {
            biased;
            () = self.stop.asked() => return Said::Interrupted,
            answer = self.peer.create_elicitation_with_timeout(question, Some(PATIENCE)) => answer,
        };
        match answer.ok().and_then(|answer| agreed(view, &answer)) {
            Some(typed) => Said::Yes { typed },
            None => {
                self.notes.push(NO_YES.into());
                Said::Nobody
            }
        }
    }

    fn event(&mut self, event: Event) {
        let text = match event {
            Event::Writing(object) => format!("changing {object}"),
            Event::Written(object) => format!("changed {object}"),
            Event::Open(object, what) => format!("{object} {what}"),
            Event::Held(object, why) => format!("{object} waits: {why}"),
            Event::Leaving { gone, of, held: 0 } => format!("{gone} of {of} pods gone"),
            Event::Leaving { gone, of, held } => {
                format!("{gone} of {of} pods gone, {held} held by disruption budgets")
            }
            Event::Rolling(object, rollout) => {
                let pods: Vec<String> = rollout.pods.iter().map(|(what, n)| format!("{n} {what}")).collect();
                let ready =
                    format!("{object} {}/{} ready {}", rollout.ready, rollout.desired, pods.join(", "));
                ready.trim_end().to_string()
            }
            Event::Settled(object, verdict) => format!("{object} {verdict}"),
        };
        let _ = self.events.send(text);
    }

    fn channel(&self) -> Channel {
        Channel::Elicitation
    }
}

/// The form for a preview: the whole of it, and a yes that has no default. `None` when a form is not enough for it.
pub fn question(view: &View) -> Option<ElicitRequestParams> {
    let Decision::Ask { typed, .. } = &view.decision else { return None };
    let preview = terminal::plain_preview(view);
    if view.risk > Risk::R2 || preview.len() > LONGEST_QUESTION {
        return None;
    }
    let mut form = ElicitationSchema::builder().required_bool_with("approve", |b| {
        b.title("Apply exactly this change").description("No leaves everything as it is.")
    });
    if let Some(name) = typed {
        let wanted = format!("Type {name} to apply it");
        form = form.required_string_property("name", |s| s.title("Name").description(wanted));
    }
    let message = format!("{}Context {}. Apply this?", preview, kai_tools::sanitize::line(&view.context));
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema: form.build().ok()?,
    })
}

/// Whether an answer is a yes to this preview, with what was typed where a name is wanted.
pub fn agreed(view: &View, answer: &ElicitResult) -> Option<Option<String>> {
    question(view)?;
    let content = answer.content.as_ref()?;
    if answer.action != ElicitationAction::Accept || content.get("approve")?.as_bool() != Some(true) {
        return None;
    }
    match &view.decision {
        Decision::Ask { typed: None, .. } => Some(None),
        Decision::Ask { typed: Some(name), .. } if content.get("name")?.as_str() == Some(name) => {
            Some(Some(name.clone()))
        }
        _ => None,
    }
}

/// Sends what happens as progress, when the client asked for it. Ends when the front is gone.
pub async fn forward(context: &RequestContext<RoleServer>, mut events: UnboundedReceiver<String>) {
    let token = context.meta.get_progress_token();
    let (mut count, mut last) = (0.0, String::new());
    while let Some(text) = events.recv().await {
        let Some(token) = token.clone().filter(|_| text != last) else { continue };
        count += 1.0;
        last.clone_from(&text);
        let progress = ProgressNotificationParam::new(token, count).with_message(text);
        if let Err(e) = context.peer.notify_progress(progress).await {
            tracing::debug!("progress was not sent: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use kai_tools::cluster::Identity;
    use serde_json::json;

    use super::*;

    fn view(risk: Risk, typed: Option<&str>) -> View {
        View {
            id: "7f3a".into(),
            title: "Scale backend from 2 to 3".into(),
            context: "local".into(),
            identity: Identity { cluster: String::new(), server: String::new(), user: String::new() },
            steps: Vec::new(),
            notes: Vec::new(),
            risk,
            decision: Decision::Ask { reason: "a change".into(), typed: typed.map(str::to_string) },
            digest: "d".into(),
            undoes: None,
            cost: None,
        }
    }

    fn accept(content: serde_json::Value) -> ElicitResult {
        ElicitResult::new(ElicitationAction::Accept).with_content(content)
    }

    #[test]
    fn only_a_plain_yes_is_a_yes() {
        let plain = view(Risk::R2, None);
        assert_eq!(agreed(&plain, &accept(json!({"approve": true}))), Some(None));
        for no in [json!({"approve": false}), json!({}), json!({"approve": "true"}), json!(true)] {
            assert_eq!(agreed(&plain, &accept(no)), None);
        }
        assert_eq!(agreed(&plain, &ElicitResult::new(ElicitationAction::Accept)), None);
        for action in [ElicitationAction::Decline, ElicitationAction::Cancel] {
            assert_eq!(
                agreed(&plain, &ElicitResult::new(action).with_content(json!({"approve": true}))),
                None
            );
        }
    }

    #[test]
    fn a_name_must_be_the_name() {
        let named = view(Risk::R2, Some("backend"));
        assert_eq!(agreed(&named, &accept(json!({"approve": true}))), None);
        assert_eq!(agreed(&named, &accept(json!({"approve": true, "name": "frontend"}))), None);
        let yes = accept(json!({"approve": true, "name": "backend"}));
        assert_eq!(agreed(&named, &yes), Some(Some("backend".into())));
    }

    #[test]
    fn a_form_is_never_enough_for_what_is_destructive() {
        for risk in [Risk::R3, Risk::R5] {
            let destructive = view(risk, Some("backend"));
            assert!(question(&destructive).is_none());
            assert_eq!(agreed(&destructive, &accept(json!({"approve": true, "name": "backend"}))), None);
        }
    }

    #[test]
    fn a_preview_that_does_not_fit_is_not_asked_about() {
        let mut long = view(Risk::R2, None);
        long.notes = vec!["x".repeat(LONGEST_QUESTION)];
        assert!(question(&long).is_none());
    }
}
