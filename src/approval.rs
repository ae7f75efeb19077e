//! The one thing in which fronts differ: how a preview is shown, and how a person is asked.

use std::future::Future;

use kai_tools::review::{Channel, Event, View};

/// What a person said to a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Yes, with what was typed where a name was wanted.
    Yes {
        typed: Option<String>,
    },
    No,
    /// Nobody can be asked here: no terminal, or a client that cannot ask.
    Nobody,
    /// The person stopped the request (Ctrl-C).
    Interrupted,
}

/// Where previews are shown and people are asked: a terminal, an MCP client, nobody.
pub trait Front: Send {
    /// Shows a preview. Called before [`Front::ask`], and also when policy allows or refuses.
    fn show(&mut self, view: &View);
    /// Asks for a yes to the preview that was just shown.
    fn ask(&mut self, view: &View) -> impl Future<Output = Said> + Send;
    /// Shows what happens while a plan is applied.
    fn event(&mut self, event: Event);
    /// Says in kai's own words what a change came to that a model proposed: the model's words come after it.
    fn came_to(&mut self, _said: &[String], _good: bool) {}
    /// Through which channel a yes of this front comes.
    fn channel(&self) -> Channel;
}
