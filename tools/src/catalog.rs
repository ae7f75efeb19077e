//! Every tool that kai has: one file and one line each.

mod apply;
mod autoscale;
mod can_i;
mod changes;
mod copy;
mod cost;
mod delete;
mod deploy;
mod diagnose;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod helm;
mod job;
mod logs;
mod node;
mod port_forward;
mod release;
mod rollout;
mod rollout_status;
mod route;
mod scale;
mod set;
mod undo;
mod usage;

pub use changes::Changes;
pub use undo::{last_undoable, was_applied};

use crate::policy::Policy;
use crate::tool::{Tool, action, query};

/// The catalogue, in the order in which it is shown.
pub static TOOLS: &[Tool] = &[
    action::<deploy::Deploy>(),
    action::<apply::Apply>(),
    action::<scale::Scale>(),
    action::<set::Set>(),
    action::<autoscale::Autoscale>(),
    action::<expose::Expose>(),
    action::<rollout::Rollout>(),
    action::<job::Job>(),
    action::<node::Node>(),
    action::<route::Route>(),
    action::<copy::Copy>(),
    action::<delete::Delete>(),
    action::<release::Release>(),
    action::<undo::Undo>(),
    action::<exec::Exec>(),
    action::<port_forward::PortForward>(),
    query::<diagnose::Diagnose>(),
    query::<cost::Cost>(),
    query::<get::Get>(),
    query::<logs::Logs>(),
    query::<events::Events>(),
    query::<rollout_status::RolloutStatus>(),
    query::<helm::Helm>(),
    query::<changes::Changes>(),
    query::<usage::Usage>(),
    query::<explain::Explain>(),
    query::<can_i::CanI>(),
];

/// The tools that are offered under these rules: one that is off until it is enabled is not spoken of before. Whoever
/// names it all the same is refused by the gate.
pub fn offered(policy: &Policy) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|t| t.needs.is_none_or(|need| policy.allows(need)))
}

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests;
