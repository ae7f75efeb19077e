//! Workloads that must be ready before a change is written: looked at for the preview, waited for when it is applied.

use std::collections::BTreeMap;

use serde_json::Value;

use super::apply::Event;
use super::{Level, Line, Step};
use crate::cluster::Cluster;
use crate::cluster::wait::{Expect, State, Stop, Until, Verdict, assess, wait};
use crate::error::ToolError;
use crate::object::{ObjectRef, builtin};
use crate::plan::Change;

/// The needed workloads as they are now; those that the plan itself makes are left out.
pub(super) async fn look(
    cluster: &Cluster,
    changes: &[Change],
) -> BTreeMap<ObjectRef, Result<Option<Value>, ToolError>> {
    let mut needed: Vec<&ObjectRef> = changes
        .iter()
        .flat_map(|c| &c.needs)
        .filter(|need| !changes.iter().any(|c| c.object.same_workload(need)))
        .collect();
    needed.sort();
    needed.dedup();
    let looks = needed.into_iter().map(|need| async move {
        let kind = builtin(&need.kind);
        (need.clone(), cluster.find(&kind, &need.namespace, &need.name).await)
    });
    futures::future::join_all(looks).await.into_iter().collect()
}

/// What a change waits for, as the preview says it (pure).
pub(super) fn lines(
    change: &Change,
    seen: &BTreeMap<ObjectRef, Result<Option<Value>, ToolError>>,
) -> Vec<Line> {
    let of = |need: &ObjectRef| match seen.get(need) {
        None => (Level::Fact, format!("{need}, which this plan changes too, must be ready first")),
        Some(Ok(Some(live))) => {
            let mut live = live.clone();
            live["kind"] = builtin(&need.kind).kind.into();
            match assess(&live, &[]) {
                (State::Ready, _) => (Level::Fact, format!("{need} is ready")),
                _ => (Level::Warning, format!("{need} is not ready now: this waits until it is")),
            }
        }
        Some(Ok(None)) => (Level::Problem, format!("{need} does not exist: this would wait in vain")),
        Some(Err(e)) => (Level::Unknown, format!("{need} cannot be looked at: {e}")),
    };
    change
        .needs
        .iter()
        .map(|need| {
            let (level, text) = of(need);
            Line::new(level, "waits for", text)
        })
        .collect()
}

/// Waits for what the steps of a tier need and the plan does not make; the reason when it does not come.
pub(super) async fn wait_for(
    cluster: &Cluster,
    steps: &[Step],
    members: &[usize],
    stop: &mut Stop,
    show: &mut (dyn FnMut(Event) + Send),
) -> Option<ToolError> {
    let made = |need: &ObjectRef| steps.iter().any(|s| s.change.object.same_workload(need));
    let mut needed: Vec<&ObjectRef> = members.iter().flat_map(|i| &steps[*i].change.needs).collect();
    needed.sort();
    needed.dedup();
    for need in needed.into_iter().filter(|n| !made(n)) {
        let expect = Expect { until: Until::Rollout, replicas: None, hold: None };
        let verdict = wait(cluster, &builtin(&need.kind), need, &expect, stop, &mut |rollout| {
            show(Event::Rolling(need.clone(), rollout));
        })
        .await;
        if !matches!(verdict, Verdict::Ready { .. }) {
            return Some(ToolError::Refused {
                message: format!("{need}, which must be ready first, is not: {verdict}"),
                hint: format!("See to {need} and ask again."),
            });
        }
    }
    None
}
