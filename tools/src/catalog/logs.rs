//! `logs`: what the containers of a workload say, its pods merged by time, repeats folded, secrets masked.

mod choose;
mod fold;
mod narrow;
mod shape;
mod tell;

use futures::stream::{self, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::choose::Choice;
use self::fold::Line;
use self::narrow::{Pattern, Window};
use crate::cluster::Cluster;
use crate::cluster::read::encode;
use crate::error::ToolError;
use crate::object::{builtin, text};
use crate::report::Report;
use crate::tool::{Context, Query};

/// Show the logs of a workload's pods.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// `backend`, `pod/x`, `job/y`.
    pub workload: String,
    pub namespace: Option<String>,
    pub container: Option<String>,
    /// `10m`, or a time.
    pub since: Option<String>,
    pub until: Option<String>,
    pub tail: Option<u32>,
    /// The run before the last restart.
    pub previous: Option<bool>,
    /// Text, `a|b` or `/regex/`.
    pub grep: Option<String>,
}

/// Most pods that are read.
const MOST_PODS: usize = 10;
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
        let target = cluster.workload_or_pod(&self.workload, namespace).await?;
        let pods = cluster.pods_of(&target, Some(choose::what_it_takes)).await?;
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

#[cfg(test)]
mod tests;
