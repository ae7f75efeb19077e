//! Every tool that kai has: one file and one line each.

mod changes;
mod delete;
mod events;
mod get;
mod job;
mod logs;
mod node;
mod rollout;
mod rollout_status;
mod scale;
mod undo;

pub use changes::Changes;
pub use undo::{last_undoable, was_applied};

use crate::tool::{Tool, action, query};

/// The catalogue, in the order in which it is shown.
pub static TOOLS: &[Tool] = &[
    action::<scale::Scale>(),
    action::<rollout::Rollout>(),
    action::<job::Job>(),
    action::<node::Node>(),
    action::<delete::Delete>(),
    action::<undo::Undo>(),
    query::<get::Get>(),
    query::<logs::Logs>(),
    query::<events::Events>(),
    query::<rollout_status::RolloutStatus>(),
    query::<changes::Changes>(),
];

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests;
