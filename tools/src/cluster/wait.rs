//! Waiting for a rollout: one loop that reads, and pure functions that say how far it is or why it will not come.

mod assess;
mod conditions;
mod job;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

pub use assess::{State, assess};
use conditions::condition;
pub(crate) use conditions::gone;

use super::Cluster;
use super::read::Listing;
use crate::error::ToolError;
use crate::object::{ApiKind, ObjectRef, builtin, is_paused, is_silent, items, number, selector_query, text};
use crate::sanitize;

/// How long a rollout is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a trouble must last before it is believed: pulls and schedulers try again by themselves.
const GRACE: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A wish to stop, shared with whoever watches the keyboard.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The switch and its receiving end.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// A stop that nobody asks for.
    pub fn never() -> Self {
        Self::new().1
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when somebody asks.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Expect {
    pub until: Until,
    /// The replicas that were asked for; another number later means that somebody took the change back.
    pub replicas: Option<i64>,
    /// Look on for this long after the state was reached.
    pub hold: Option<Duration>,
}

/// The state that ends a wait well.
#[derive(Clone, Debug, PartialEq)]
pub enum Until {
    /// All pods of the workload are new and ready.
    Rollout,
    /// The object's own conditions say that it is done, ready or established.
    Condition,
    /// The object of that uid is gone.
    Gone { uid: String },
}

/// How far a rollout is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub ready: i64,
    pub desired: i64,
    /// What the pods that are not ready do, with how many do it: `pulling`, `starting`, `Pending`.
    pub pods: BTreeMap<String, usize>,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The write is all there is to it.
    Written,
    /// The object is gone, or says itself that it is done.
    Reached {
        what: String,
        seconds: f64,
    },
    Ready {
        ready: i64,
        desired: i64,
        seconds: f64,
    },
    /// Not there when patience ended, or the person stopped waiting.
    NotYet {
        ready: i64,
        desired: i64,
        waiting_for: String,
    },
    /// It will not come by itself: why, with the evidence, and what still serves.
    Failed {
        ready: i64,
        desired: i64,
        cause: String,
        evidence: Vec<String>,
    },
    /// A command ran in a container: its exit code where it is known, what it said, and why kai did not hear its end.
    Ran {
        code: Option<i64>,
        output: Vec<String>,
        left: String,
    },
    /// Somebody else changed it since.
    Reverted {
        by: String,
        now: i64,
        asked: i64,
    },
    /// It could not be looked at.
    Unseen {
        error: String,
    },
}

impl Verdict {
    /// Whether all is as was asked.
    pub fn is_good(&self) -> bool {
        matches!(
            self,
            Self::Ready { .. } | Self::Reached { .. } | Self::Written | Self::Ran { code: Some(0), .. }
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written => f.write_str("done"),
            Self::Reached { what, seconds } => write!(f, "{what} in {seconds:.1} s"),
            Self::Ready { ready, desired, seconds } => write!(f, "{ready}/{desired} ready in {seconds:.1} s"),
            Self::NotYet { desired: 0, waiting_for, .. } => write!(f, "waiting for {waiting_for}"),
            Self::NotYet { ready, desired, waiting_for } => {
                write!(f, "{ready}/{desired} ready, waiting for {waiting_for}")
            }
            Self::Failed { desired: 0, cause, .. } => f.write_str(cause),
            Self::Failed { ready, desired, cause, .. } => write!(f, "{ready}/{desired} ready: {cause}"),
            Self::Ran { code: Some(code), .. } => write!(f, "ended with {code}"),
            Self::Ran { left, .. } => f.write_str(left),
            Self::Reverted { by, now, asked } => {
                write!(f, "{by} set the replicas to {now} (asked for {asked})")
            }
            Self::Unseen { error } => write!(f, "cannot be looked at: {error}"),
        }
    }
}

/// Watches a workload until it is as asked, will not come, was changed by others, or patience ends.
pub async fn wait(
    cluster: &Cluster,
    kind: &ApiKind,
    object: &ObjectRef,
    expect: &Expect,
    stop: &mut Stop,
    show: &mut (dyn FnMut(Rollout) + Send),
) -> Verdict {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut trouble: Option<(String, Instant)> = None;
    let mut reached: Option<Instant> = None;
    let mut errors = 0;
    let mut asks_node = kind.kind == "Pod" && matches!(expect.until, Until::Gone { .. });
    loop {
        let looked = match &expect.until {
            Until::Rollout => look(cluster, kind, object).await,
            Until::Condition if kind.kind == "Job" => look(cluster, kind, object).await,
            _ => cluster
                .find(kind, &object.namespace, &object.name)
                .await
                .map(|found| (found.unwrap_or_default(), Vec::new())),
        };
        let (live, pods) = match looked {
            Ok(seen) => {
                errors = 0;
                seen
            }
            Err(e) if errors < 3 && matches!(e, ToolError::Unreachable { .. } | ToolError::Api { .. }) => {
                errors += 1;
                tokio::time::sleep(LAST_PAUSE).await;
                continue;
            }
            Err(e) => return Verdict::Unseen { error: e.to_string() },
        };
        if let Some(asked) = expect.replicas
            && let Some(now) = number(&live, "/spec/replicas").filter(|now| *now != asked)
        {
            return Verdict::Reverted { by: last_scaler(&live), now, asked };
        }
        let (state, rollout) = match &expect.until {
            Until::Rollout => assess(&live, &pods),
            Until::Condition if kind.kind == "Job" => job::job(&live, &pods),
            Until::Condition => (condition(&kind.kind, &live), Rollout::default()),
            Until::Gone { uid } => (gone(uid, &live), Rollout::default()),
        };
        let (ready, desired) = (rollout.ready, rollout.desired);
        show(rollout);
        match state {
            // Replicas change behind a pause, and nothing else does.
            State::Ready if expect.until == Until::Rollout && expect.replicas.is_none() && is_held(&live) => {
                let waiting_for = "its rollout, which is paused: resume it, and the pods are replaced".into();
                return Verdict::NotYet { ready, desired, waiting_for };
            }
            State::Ready => {
                let since = *reached.get_or_insert_with(Instant::now);
                if expect.hold.is_none_or(|hold| since.elapsed() >= hold) {
                    let seconds = started.elapsed().as_secs_f64();
                    let what = match expect.until {
                        Until::Rollout => return Verdict::Ready { ready, desired, seconds },
                        Until::Gone { .. } => "gone",
                        Until::Condition => "done",
                    };
                    return Verdict::Reached { what: what.into(), seconds };
                }
                pause = Duration::from_secs(1);
            }
            State::Coming { waiting_for } => {
                trouble = None;
                if asks_node && started.elapsed() > GRACE {
                    asks_node = false;
                    if let Some(waiting_for) = silent_node(cluster, &live).await {
                        return Verdict::NotYet { ready, desired, waiting_for };
                    }
                }
                if started.elapsed() > PATIENCE {
                    return Verdict::NotYet { ready, desired, waiting_for };
                }
            }
            State::Stuck { cause, evidence, crashed } => {
                let since = match &trouble {
                    Some((_, since)) => *since,
                    None => Instant::now(),
                };
                if since.elapsed() > GRACE {
                    let mut evidence = evidence;
                    if let Some(pod) = crashed {
                        evidence.extend(last_words(cluster, &object.namespace, &pod).await);
                    }
                    if kind.kind == "StatefulSet" || kind.kind == "DaemonSet" {
                        evidence.extend(warnings(cluster, object).await);
                    }
                    return Verdict::Failed { ready, desired, cause, evidence };
                }
                trouble = Some((cause, since));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.asked() => {
                return Verdict::NotYet { ready, desired, waiting_for: "nothing any more: you stopped the wait".into() };
            }
        }
        pause = (pause * 5 / 4).min(LAST_PAUSE);
    }
}

/// What a pod waits for that will not end, because its node does not hear that it should.
async fn silent_node(cluster: &Cluster, pod: &Value) -> Option<String> {
    let name = text(pod, "/spec/nodeName");
    let node = cluster.find(&builtin("node"), "", name).await.ok()??;
    is_silent(&node).then(|| waits_for_node(name))
}

/// What the pods of a silent node wait for.
pub(crate) fn waits_for_node(name: &str) -> String {
    sanitize::line(&format!("node {name}, which has stopped reporting, to be back or deleted"))
}

/// Whether a pause keeps a template from the pods.
fn is_held(live: &Value) -> bool {
    let updated = number(live, "/status/updatedReplicas").unwrap_or(0);
    is_paused(live) && updated < number(live, "/spec/replicas").unwrap_or(1)
}

/// The workload and its pods, in two requests one after the other (the first says which pods).
///
/// # Errors
/// When either may not be read.
pub async fn look(
    cluster: &Cluster,
    kind: &ApiKind,
    object: &ObjectRef,
) -> Result<(Value, Vec<Value>), ToolError> {
    let mut live = cluster.object(kind, &object.namespace, &object.name).await?;
    if let Some(map) = live.as_object_mut() {
        map.entry("kind").or_insert_with(|| kind.kind.clone().into());
    }
    let Some(selector) = live.pointer("/spec/selector").cloned() else { return Ok((live, Vec::new())) };
    let what = Listing { labels: Some(selector_query(&selector)), limit: Some(500), ..Listing::default() };
    let mut pods = cluster.list(&builtin("pod"), Some(&object.namespace), &what).await?.items;
    let lacks_pods = match kind.kind.as_str() {
        "StatefulSet" => {
            number(&live, "/status/readyReplicas").unwrap_or(0) < number(&live, "/spec/replicas").unwrap_or(1)
        }
        "Job" => pods.is_empty(),
        _ => false,
    };
    if lacks_pods {
        let events = warnings(cluster, object).await;
        live["kai.events"] = serde_json::json!(events);
    }
    pods.retain(|pod| {
        pod.pointer("/metadata/deletionTimestamp").is_none() || text(pod, "/status/phase") != "Succeeded"
    });
    Ok((live, pods))
}

/// Who last set the replicas, from the object's own record of its managers.
fn last_scaler(live: &Value) -> String {
    let manager = items(live, "/metadata/managedFields")
        .iter()
        .filter(|m| m.pointer("/fieldsV1/f:spec/f:replicas").is_some())
        .max_by_key(|m| text(m, "/time"))
        .map_or("", |m| text(m, "/manager"));
    match manager {
        "" => "somebody else".into(),
        "kube-controller-manager" => "the autoscaler".into(),
        other => sanitize::line(other),
    }
}

/// The last lines of a container that crashed: usually why.
async fn last_words(cluster: &Cluster, namespace: &str, pod: &str) -> Vec<String> {
    let path = |previous: bool| {
        format!("{}/log?tailLines=3&previous={previous}", builtin("pod").path(namespace, pod))
    };
    let mut said = cluster.fetch(&path(true), "*/*").await;
    if said.is_err() {
        said = cluster.fetch(&path(false), "*/*").await;
    }
    let Ok(bytes) = said else { return Vec::new() };
    let log = crate::redact::text(&String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]));
    log.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| format!("log of pod/{pod}: {}", sanitize::line(l)))
        .collect()
}

/// Warnings that Kubernetes itself reported about an object, newest first, at most three.
async fn warnings(cluster: &Cluster, object: &ObjectRef) -> Vec<String> {
    let what = Listing {
        fields: Some(format!("involvedObject.name={},type=Warning", object.name)),
        limit: Some(50),
        ..Listing::default()
    };
    let Ok(listed) = cluster.list(&builtin("event"), Some(&object.namespace), &what).await else {
        return Vec::new();
    };
    let mut events = listed.items;
    events.sort_by(|a, b| text(b, "/lastTimestamp").cmp(text(a, "/lastTimestamp")));
    events
        .iter()
        .take(3)
        .map(|e| {
            crate::redact::text(&sanitize::line(&format!("{}: {}", text(e, "/reason"), text(e, "/message"))))
        })
        .collect()
}
