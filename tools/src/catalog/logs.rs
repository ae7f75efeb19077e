//! `logs`: what the containers of a workload say, its pods merged by time, repeats folded, secrets masked.

mod choose;
mod fold;
mod narrow;
mod shape;
mod tell;

use futures::stream::{self, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::choose::Choice;
use self::fold::Line;
use self::narrow::{Pattern, Window};
use crate::cluster::Cluster;
use crate::cluster::read::{Listing, encode};
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, selector_query, text};
use crate::report::Report;
use crate::tool::{Context, Query};

/// Show the logs of a workload's pods, merged by time; picks the container that is in trouble unless one is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Name as the user said it: `backend`, `statefulset/db`, `pod/x`, `job/y`.
    pub workload: String,
    pub namespace: Option<String>,
    /// Container; chosen by what went wrong when left out.
    pub container: Option<String>,
    /// From this long ago (`10m`) or this time on.
    pub since: Option<String>,
    /// Up to this long ago or this time.
    pub until: Option<String>,
    /// Last lines of each pod, at most 500; 50 when left out.
    pub tail: Option<u32>,
    /// The run before the last restart: why it crashed.
    pub previous: Option<bool>,
    /// Only lines with this text, in any case; `a|b`: either; `/regex/`.
    pub grep: Option<String>,
}

/// Most pods that are read.
const MOST_PODS: usize = 10;
/// Most pods that are chosen from.
const MOST_SEEN: usize = 20_000;
/// Lines of a pod: usual, most, and looked through for a `grep` or an `until`.
const USUAL_LINES: usize = 50;
const MOST_LINES: usize = 500;
const SEARCHED_LINES: usize = 10_000;
/// Most bytes that one pod may send.
const MOST_BYTES: usize = 4 << 20;
/// Most bytes of log in the answer: the newest are kept.
const SHOWN_BYTES: usize = 64 << 10;

/// The log of one pod's container, or why there is none.
struct Heard {
    pod: String,
    /// What it is called in front of its lines.
    short: String,
    choice: Choice,
    log: Result<Vec<Line>, String>,
    /// Whether there is more of it, which was not looked through.
    partly: bool,
}

impl Query for Logs {
    const NAME: &'static str = "logs";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let window = Window::of(self.since.as_deref(), self.until.as_deref(), context.now)?;
        let pattern = self.grep.as_deref().map(Pattern::of).transpose()?;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let target = self.target(cluster, namespace).await?;
        let pods = pods(cluster, &target).await?;
        let (chosen, left_out) = choose::pods(pods, MOST_PODS);
        let previous = self.previous == Some(true);
        let mut asked = Vec::new();
        for pod in chosen {
            let choice = choose::container(&pod, self.container.as_deref(), &target.object.name, previous)
                .map_err(ToolError::Invalid)?;
            asked.push((pod, choice));
        }
        let reads =
            asked.into_iter().map(|(pod, choice)| self.hear(cluster, namespace, pod, choice, &window));
        let heard: Vec<Result<Heard, ToolError>> = stream::iter(reads).buffered(MOST_PODS).collect().await;
        let heard = heard.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut report = tell::report(&self, &target, heard, left_out, pattern.as_ref());
        report.say.extend(target.note);
        Ok(report)
    }
}

impl Logs {
    /// What is meant: a workload, else a pod, Job or CronJob of exactly that name.
    async fn target(&self, cluster: &Cluster, namespace: &str) -> Result<Resolved, ToolError> {
        let missing = match cluster.workload(&self.workload, namespace).await {
            Err(e @ ToolError::NotFound { .. }) if !self.workload.contains('/') => e,
            other => return other,
        };
        for kind in ["pod", "job", "cronjob"] {
            let said = format!("{kind}/{}", self.workload.trim());
            if let Ok(found) = cluster.workload(&said, namespace).await
                && found.object.name == self.workload.trim()
            {
                return Ok(found);
            }
        }
        Err(missing)
    }

    fn tail(&self) -> usize {
        self.tail.map_or(USUAL_LINES, |t| t as usize).clamp(1, MOST_LINES)
    }

    async fn hear(
        &self,
        cluster: &Cluster,
        namespace: &str,
        pod: Value,
        choice: Choice,
        window: &Window,
    ) -> Result<Heard, ToolError> {
        let name = text(&pod, "/metadata/name").to_string();
        let previous = self.previous == Some(true);
        let is_search = self.grep.is_some() || window.until.is_some();
        let lines = if is_search { SEARCHED_LINES } else { self.tail() };
        let mut path = format!(
            "{}/log?container={}&timestamps=true&limitBytes={MOST_BYTES}&previous={previous}{}",
            builtin("pod").path(namespace, &name),
            encode(&choice.container),
            window.query(),
        );
        // The beginning of a closed stretch of time is read on from there, not backwards from now.
        let from_the_start = window.is_closed();
        if !from_the_start {
            path.push_str(&format!("&tailLines={lines}"));
        }
        let mut partly = false;
        let log = match cluster.fetch(&path, "*/*").await {
            Ok(bytes) => {
                let most = if from_the_start { usize::MAX } else { lines };
                let all = fold::lines(&String::from_utf8_lossy(&bytes), &name, most);
                let is_past_the_end = window.ends_before(&all);
                partly = (bytes.len() >= MOST_BYTES && !is_past_the_end) || (is_search && all.len() >= most);
                Ok(window.keep(all))
            }
            // The kubelet's "no" says less than the pod's own status.
            Err(ToolError::Api { status: 400, .. }) if previous => {
                Err(format!("container {} has no earlier run: it was not restarted", choice.container))
            }
            Err(ToolError::Api { message, .. }) => {
                Err(choose::waiting(&pod, &choice.container).unwrap_or(message))
            }
            Err(ToolError::NotFound { .. }) => Err("the pod is gone".into()),
            Err(e) => return Err(e),
        };
        let log = match log {
            Ok(lines) if lines.is_empty() => choose::waiting(&pod, &choice.container).map_or(Ok(lines), Err),
            other => other,
        };
        Ok(Heard { pod: name, short: choose::short_name(&pod), choice, log, partly })
    }
}

/// The pods of what was named: itself, or what its selector picks. A CronJob's are those of its newest Job.
async fn pods(cluster: &Cluster, target: &Resolved) -> Result<Vec<Value>, ToolError> {
    let namespace = &target.object.namespace;
    let mut selector = target.live.pointer("/spec/selector").cloned();
    match target.kind.kind.as_str() {
        "Pod" => return Ok(vec![target.live.clone()]),
        // A Service's selector is labels alone.
        "Service" | "ReplicationController" => {
            selector = selector.map(|labels| json!({"matchLabels": labels}))
        }
        "CronJob" => {
            let uid = text(&target.live, "/metadata/uid");
            let jobs = cluster.all(&builtin("job"), namespace).await?;
            let own = jobs
                .iter()
                .filter(|j| items(j, "/metadata/ownerReferences").iter().any(|o| text(o, "/uid") == uid));
            let newest = own.max_by_key(|j| text(j, "/metadata/creationTimestamp"));
            selector = newest.and_then(|j| j.pointer("/spec/selector").cloned());
            if selector.is_none() {
                return Ok(Vec::new());
            }
        }
        _ => {}
    }
    let Some(selector) = selector.map(|s| selector_query(&s)).filter(|s| !s.is_empty()) else {
        return Err(ToolError::Invalid(format!("{} runs no pods: name a workload or pod/x", target.object)));
    };
    let keep: Option<fn(&Value) -> Value> = Some(choose::what_it_takes);
    let what = Listing { labels: Some(selector), limit: Some(MOST_SEEN), keep, ..Listing::default() };
    Ok(cluster.list(&builtin("pod"), Some(namespace), &what).await?.items)
}

#[cfg(test)]
mod tests;
