//! Every tool that kai has: one file and one line each.

mod apply;
mod can_i;
mod changes;
mod copy;
mod delete;
mod deploy;
mod events;
mod explain;
mod get;
mod logs;
mod rollout;
mod rollout_status;
mod route;
mod scale;
mod undo;

pub use changes::Changes;
pub use undo::{last_undoable, was_applied};

use crate::tool::{Tool, action, query};

/// The catalogue, in the order in which it is shown.
pub static TOOLS: &[Tool] = &[
    action::<deploy::Deploy>(),
    action::<apply::Apply>(),
    action::<scale::Scale>(),
    action::<rollout::Rollout>(),
    action::<route::Route>(),
    action::<copy::Copy>(),
    action::<delete::Delete>(),
    action::<undo::Undo>(),
    query::<get::Get>(),
    query::<logs::Logs>(),
    query::<events::Events>(),
    query::<rollout_status::RolloutStatus>(),
    query::<changes::Changes>(),
    query::<explain::Explain>(),
    query::<can_i::CanI>(),
];

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests;
