//! `logs`: what the containers of a workload say, its pods merged by time, repeats folded, secrets masked.

mod choose;
mod fold;

use futures::stream::{self, StreamExt};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::choose::Choice;
use self::fold::Line;
use super::changes::seconds;
use crate::cluster::Cluster;
use crate::cluster::read::{Listing, encode};
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, number, selector_query, text};
use crate::redact;
use crate::report::{Block, Report};
use crate::sanitize;
use crate::tool::{Context, Query};

/// Show the logs of a workload's pods, merged by time; picks the container that is in trouble unless one is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Name as the user said it: `backend`, `statefulset/db`, `pod/x`, `job/y`.
    pub workload: String,
    /// Namespace; leave out for the current one.
    pub namespace: Option<String>,
    /// Container; chosen by what went wrong when left out.
    pub container: Option<String>,
    /// Only of this long ago or later, such as `10m`.
    pub since: Option<String>,
    /// Last lines of each pod, at most 500; 50 when left out.
    pub tail: Option<u32>,
    /// The run before the last restart: why it crashed.
    pub previous: Option<bool>,
    /// Only lines that match this regular expression, case-insensitive.
    pub grep: Option<String>,
}

/// Most pods that are read.
const MOST_PODS: usize = 10;
/// Lines of a pod: usual, most, and looked through for a `grep`.
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
    choice: Choice,
    log: Result<Vec<Line>, String>,
}

impl Query for Logs {
    const NAME: &'static str = "logs";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let since = self.since.as_deref().map(seconds).transpose()?;
        let pattern = self.grep.as_deref().map(pattern).transpose()?;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let target = self.target(cluster, namespace).await?;
        let pods = pods(cluster, &target).await?;
        let (chosen, left_out) = choose::pods(pods, MOST_PODS);
        let mut asked = Vec::new();
        for pod in chosen {
            let choice = choose::container(&pod, self.container.as_deref(), &target.object.name)
                .map_err(ToolError::Invalid)?;
            asked.push((pod, choice));
        }
        let reads = asked.into_iter().map(|(pod, choice)| self.hear(cluster, namespace, pod, choice, since));
        let heard: Vec<Result<Heard, ToolError>> = stream::iter(reads).buffered(MOST_PODS).collect().await;
        let heard = heard.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut report = self.report(&target, heard, left_out, pattern.as_ref());
        report.say.extend(target.note);
        Ok(report)
    }
}

/// What a person's pattern means, within a size that cannot hurt.
fn pattern(said: &str) -> Result<Regex, ToolError> {
    RegexBuilder::new(said).case_insensitive(true).size_limit(1 << 20).build().map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or("").trim_start_matches("error: ");
        ToolError::Invalid(format!(
            "`{}` is not a regular expression: {}",
            sanitize::line(said),
            sanitize::line(why)
        ))
    })
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
        since: Option<i64>,
    ) -> Result<Heard, ToolError> {
        let name = text(&pod, "/metadata/name").to_string();
        let previous = self.previous == Some(true);
        let lines = if self.grep.is_some() { SEARCHED_LINES } else { self.tail() };
        let mut path = format!(
            "{}/log?container={}&timestamps=true&tailLines={lines}&limitBytes={MOST_BYTES}&previous={previous}",
            builtin("pod").path(namespace, &name),
            encode(&choice.container),
        );
        if let Some(since) = since {
            path.push_str(&format!("&sinceSeconds={since}"));
        }
        let log = match cluster.fetch(&path, "*/*").await {
            Ok(bytes) => Ok(fold::lines(&String::from_utf8_lossy(&bytes), &name, lines)),
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
        Ok(Heard { pod: name, choice, log })
    }

    /// The report, from what was read (pure).
    fn report(
        &self,
        target: &Resolved,
        heard: Vec<Heard>,
        left_out: usize,
        pattern: Option<&Regex>,
    ) -> Report {
        let object = &target.object;
        let mut report = Report { about: vec![object.clone()], ..Report::default() };
        if heard.is_empty() {
            report.say.push(match number(&target.live, "/spec/replicas") {
                Some(0) => format!("{object} has no logs: it is scaled to 0, so it has no pods."),
                _ => format!("{object} has no logs: it has no pods."),
            });
            report.data = json!({"lines": []});
            return report;
        }
        let several = heard.len() > 1;
        let mut silent: Vec<(String, Vec<String>)> = Vec::new();
        let mut all = Vec::new();
        let mut spoke = 0;
        for one in &heard {
            match &one.log {
                Ok(lines) => {
                    let kept: Vec<&Line> =
                        lines.iter().filter(|l| pattern.is_none_or(|p| p.is_match(&l.text))).collect();
                    spoke += 1;
                    all.extend(kept[kept.len().saturating_sub(self.tail())..].iter().map(|l| (*l).clone()));
                }
                Err(why) => match silent.iter_mut().find(|(w, _)| w == why) {
                    Some((_, pods)) => pods.push(one.pod.clone()),
                    None => silent.push((why.clone(), vec![one.pod.clone()])),
                },
            }
        }
        let total = all.len();
        let span = fold::span(&all);
        let merged = fold::merge(all);
        let (lines, cut) = fold::shown(&merged, several, SHOWN_BYTES);
        if spoke > 0 {
            report.say.push(self.sentence(target, &heard, spoke, total, &span));
        }
        if left_out > 0 {
            report.say.push(format!("{left_out} more pods were not read; name one as pod/x."));
        }
        for (why, pods) in &silent {
            let more = if pods.len() > 3 { format!(" and {} more", pods.len() - 3) } else { String::new() };
            let names: Vec<String> = pods.iter().take(3).map(|p| format!("pod/{p}")).collect();
            report.say.push(format!(
                "No log of {}{more}: {}.",
                names.join(", "),
                redact::text(&sanitize::line(why.trim_end_matches('.')))
            ));
        }
        if cut > 0 {
            report.say.push(format!("{cut} older lines are left out; narrow with grep, since or tail."));
        }
        report.data = json!({
            "containers": heard.iter().map(|h| json!({"pod": h.pod, "container": h.choice.container, "because": h.choice.because})).collect::<Vec<_>>(),
            "lines": merged.iter().map(|f| json!({"pod": f.line.pod, "time": f.line.time, "text": f.line.text, "times": f.times})).collect::<Vec<_>>(),
        });
        if !lines.is_empty() {
            report.blocks.push(Block::Text { title: format!("log of {object}"), lines });
        }
        report
    }

    /// Whose log this is, how much of it, and why this container.
    fn sentence(&self, target: &Resolved, heard: &[Heard], spoke: usize, total: usize, span: &str) -> String {
        let run = if self.previous == Some(true) { ", the run before the last restart" } else { "" };
        let mut reasons: Vec<String> = Vec::new();
        for one in heard.iter().filter(|h| h.log.is_ok()) {
            let because = if one.choice.because.is_empty() {
                String::new()
            } else {
                format!(" ({})", one.choice.because)
            };
            let reason = format!("container {}{because}", one.choice.container);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let pods = match (target.kind.kind.as_str(), spoke) {
            ("Pod", _) => String::new(),
            (_, 1) => ", 1 pod".to_string(),
            (_, n) => format!(", {n} pods"),
        };
        let place =
            format!("{} in {}{pods}, {}{run}", target.object, target.object.namespace, reasons.join(" and "));
        let matching =
            self.grep.as_ref().map(|g| format!(" matching `{}`", sanitize::line(g))).unwrap_or_default();
        let since = self.since.as_ref().map(|s| format!(" in the last {}", s.trim())).unwrap_or_default();
        match total {
            0 => format!("No log lines{matching}{since}: {place}."),
            1 => format!("1 line{matching}{span}: {place}."),
            n => format!("{n} lines{matching}{span}: {place}."),
        }
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
    let what = Listing { labels: Some(selector), limit: Some(1000), ..Listing::default() };
    Ok(cluster.list(&builtin("pod"), Some(namespace), &what).await?.items)
}

#[cfg(test)]
mod tests;
