//! Pods that are asked to leave, and followed until they are gone. One that a disruption budget holds is asked again
//! and again while the others go on; nothing ever goes past a budget.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};

use serde_json::Value;

use super::{Event, Run, Sent, send};
use crate::cluster::read::Listing;
use crate::cluster::wait::{State, Verdict, gone, waits_for_node};
use crate::journal::StepOutcome;
use crate::object::{builtin, is_silent, number, text};
use crate::plan::drain::{Place, place};

/// How long pods that a budget holds are asked again, counted from the last pod that left.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two tries of an eviction, as kubectl makes it.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause between two looks at pods that leave.
const LOOK: Duration = Duration::from_secs(1);
/// Longer than its grace period no pod is waited for, but by this.
const MARGIN: Duration = Duration::from_secs(60);
/// Pods looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// The pods of one tier on their way.
#[derive(Default)]
struct Drain {
    of: usize,
    /// To be asked, in order.
    waiting: Vec<usize>,
    /// Held by a budget when last asked, and what the API server said.
    held: BTreeMap<usize, Sent>,
    /// Asked, and when.
    leaving: BTreeMap<usize, Instant>,
    gone: usize,
}

impl Run<'_> {
    /// Asks these pods to leave and waits until they are gone, a budget holds them for too long, or the person stops.
    pub(super) async fn evict(&mut self, pods: &[usize]) {
        if pods.is_empty() {
            return;
        }
        let mut drain = Drain { of: pods.len(), waiting: pods.to_vec(), ..Drain::default() };
        let mut progress = Instant::now();
        let mut asked = None::<Instant>;
        loop {
            if asked.is_none_or(|at| at.elapsed() >= PAUSE) {
                self.ask(&mut drain).await;
                asked = Some(Instant::now());
            }
            if self.look(&mut drain).await {
                progress = Instant::now();
            }
            let over = drain.waiting.is_empty() && drain.leaving.is_empty();
            let idle = drain.leaving.is_empty() && progress.elapsed() > PATIENCE;
            if over || idle || self.stop.is_set() || (self.halted && drain.leaving.is_empty()) {
                break;
            }
            (self.show)(Event::Leaving { gone: drain.gone, of: drain.of, held: drain.held.len() });
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.asked() => {}
            }
        }
        for (index, sent) in drain.held {
            self.end(index, sent);
        }
        if !self.halted && !self.stop.is_set() {
            self.look_at_node().await;
        }
    }

    /// Pods that came to the node between the preview and the cordon were not agreed to: they are told, not evicted.
    async fn look_at_node(&mut self) {
        let cordon = |step: &super::Step| {
            step.change.kind.kind == "Node" && step.change.after.pointer("/spec/unschedulable").is_some()
        };
        let Some(index) = self.steps.iter().position(cordon) else { return };
        let object = self.steps[index].change.object.clone();
        let fields = Some(format!("spec.nodeName={}", object.name));
        let what = Listing { fields, ..Listing::default() };
        let late: Vec<String> = match self.cluster.list(&builtin("pod"), None, &what).await {
            Ok(listed) => listed.items.iter().filter(|pod| place(pod) == Place::Moves).map(named).collect(),
            Err(e) => return self.verdict(index, Verdict::Unseen { error: e.to_string() }),
        };
        if !late.is_empty() {
            let waiting_for = format!("pods that came after the preview: {}", late.join(", "));
            let waiting_for = crate::sanitize::line(&waiting_for);
            self.verdict(index, Verdict::NotYet { ready: 0, desired: 0, waiting_for });
        }
    }

    /// Asks each pod that has not been asked with success, once; those that are held are asked again the next time.
    async fn ask(&mut self, drain: &mut Drain) {
        for index in std::mem::take(&mut drain.waiting) {
            let first = !drain.held.contains_key(&index);
            if !self.may_begin() || (first && !self.begin(index)) {
                if drain.held.contains_key(&index) {
                    drain.waiting.push(index);
                }
                continue;
            }
            let step = &self.steps[index];
            let sent = send(&self.cluster, step).await;
            if sent.is_held(&step.change.does) {
                if first {
                    let why = sent.error.as_ref().map(ToString::to_string).unwrap_or_default();
                    let minutes = PATIENCE.as_secs() / 60;
                    let why =
                        format!("{}; asked again, for {minutes} minutes at most", why.trim_end_matches('.'));
                    (self.show)(Event::Held(step.change.object.clone(), why));
                }
                drain.held.insert(index, sent);
                drain.waiting.push(index);
                continue;
            }
            drain.held.remove(&index);
            if sent.outcome == StepOutcome::Done {
                drain.leaving.insert(index, Instant::now());
            }
            self.end(index, sent);
        }
    }

    /// Looks which of the pods that were asked are gone; whether one is.
    async fn look(&mut self, drain: &mut Drain) -> bool {
        let looks: Vec<_> = drain
            .leaving
            .keys()
            .map(|index| {
                let change = &self.steps[*index].change;
                let cluster = self.cluster.clone();
                async move {
                    let found = cluster.find(&change.kind, &change.object.namespace, &change.object.name);
                    (*index, found.await)
                }
            })
            .collect();
        let mut seen = stream::iter(looks).buffered(SIDE_BY_SIDE).collect::<Vec<_>>().await;
        let before = drain.leaving.len();
        // A kubelet that does not report does not end pods either.
        let node = self.steps.iter().map(|s| &s.change).find(|c| c.kind.kind == "Node" && is_silent(&c.live));
        let silent = node.map(|c| waits_for_node(&c.object.name));
        for (index, found) in seen.drain(..) {
            let since = drain.leaving[&index].elapsed();
            let live = &self.steps[index].change.live;
            let grace = number(live, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
            let late = since > Duration::from_secs(grace.max(0).unsigned_abs()) + MARGIN;
            let verdict = match found {
                Ok(now) => match gone(text(live, "/metadata/uid"), &now.unwrap_or_default()) {
                    State::Coming { waiting_for } if late || silent.is_some() => {
                        let waiting_for = silent.clone().unwrap_or(waiting_for);
                        Verdict::NotYet { ready: 0, desired: 0, waiting_for }
                    }
                    State::Coming { .. } | State::Stuck { .. } => continue,
                    State::Ready => {
                        drain.gone += 1;
                        Verdict::Reached { what: "gone".into(), seconds: since.as_secs_f64() }
                    }
                },
                Err(_) if !late => continue,
                Err(e) => Verdict::Unseen { error: e.to_string() },
            };
            drain.leaving.remove(&index);
            self.verdict(index, verdict);
        }
        drain.leaving.len() < before
    }
}

fn named(pod: &Value) -> String {
    format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}
