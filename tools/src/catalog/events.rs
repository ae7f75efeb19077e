//! `events`: what Kubernetes itself reported, newest first, repeats merged.

mod belongs;

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::changes::seconds;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::{ApiKind, builtin, is_object_name, number, text};
use crate::redact;
use crate::report::{Block, Report, Table, age};
use crate::sanitize;
use crate::tool::{Context, Query};

/// Show events, newest first, of a namespace or an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub namespace: Option<String>,
    pub all_namespaces: Option<bool>,
    /// `deployment/backend` (with its pods), `node/n1`.
    pub object: Option<String>,
    pub warnings: Option<bool>,
    pub since: Option<String>,
}

/// Most events that are read: the API server gives them in no useful order, so all have to be seen.
const MOST_READ: usize = 5000;
/// Most rows of the answer.
const MOST_SHOWN: usize = 100;

/// An event as it is shown; texts are cleaned and redacted.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    namespace: String,
    object: String,
    warning: bool,
    reason: String,
    message: String,
    /// RFC 3339.
    last: String,
    count: i64,
}

impl Query for Events {
    const NAME: &'static str = "events";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let from = match &self.since {
            Some(since) => Some(context.now.as_second() - seconds(since)?),
            None => None,
        };
        let wide = self.all_namespaces == Some(true) || self.namespace.as_deref() == Some("*");
        let mut namespace = if wide { None } else { Some(cluster.namespace_or(self.namespace.as_deref())?) };
        let mut fields = Vec::new();
        if self.warnings == Some(true) {
            fields.push("type=Warning".to_string());
        }
        let target = match &self.object {
            Some(said) => Some(target(cluster, said, namespace).await?),
            None => None,
        };
        let (target, missing) =
            target.map_or((None, None), |(kind, name, missing)| (Some((kind, name)), missing));
        if let Some((kind, name)) = target.as_ref().filter(|(kind, _)| !belongs::has_pods(&kind.kind)) {
            fields.push(format!("involvedObject.kind={},involvedObject.name={name}", kind.kind));
            if !kind.namespaced {
                // Events of what has no namespace stand in `default`.
                namespace = None;
            }
        }
        let mut what = Listing { limit: Some(MOST_READ), ..Listing::default() };
        what.fields = Some(fields.join(",")).filter(|f| !f.is_empty());
        let unscoped = target.as_ref().is_some_and(|(kind, _)| !kind.namespaced);
        let listed = match cluster.list(&builtin("event"), namespace, &what).await {
            Err(ToolError::Forbidden { .. }) if unscoped => {
                cluster.list(&builtin("event"), Some("default"), &what).await?
            }
            other => other?,
        };
        if let Some(namespace) = namespace.filter(|_| listed.items.is_empty()) {
            super::get::must_exist(cluster, namespace).await?;
        }
        let named = target.as_ref().map(|(kind, name)| (kind.kind.as_str(), name.as_str()));
        let place = match (&target, namespace) {
            (Some((kind, name)), Some(namespace)) => format!("{}/{name} in {namespace}", kind.singular),
            (Some((kind, name)), None) => format!("{}/{name}", kind.singular),
            (None, Some(namespace)) => namespace.to_string(),
            (None, None) => "all namespaces".to_string(),
        };
        let merged = merged(&listed.items, named, from);
        if let Some(missing) = missing.filter(|_| merged.is_empty()) {
            return Err(missing);
        }
        let mut report = self.report(&merged, &place, namespace.is_none() && !unscoped, context.now);
        if listed.next.is_some() {
            report.say.push(format!("Only {MOST_READ} events were read; there are more: narrow with namespace, object or warnings."));
        }
        if let Some((kind, name)) = target {
            report.about.push(kind.object(namespace.unwrap_or(""), &name));
        }
        Ok(report)
    }
}

/// The kind and name that `said` means. What is gone may still have events, so a name need not exist; then the third
/// is what to say when it has none either.
async fn target(
    cluster: &Cluster,
    said: &str,
    namespace: Option<&str>,
) -> Result<(ApiKind, String, Option<ToolError>), ToolError> {
    let said = said.trim();
    let named = match said.split_once('/') {
        Some((kind, name)) => Some((cluster.kind(kind).await?, name.to_string())),
        None => None,
    };
    if let Some((_, name)) = named.as_ref().filter(|(_, name)| !is_object_name(name)) {
        return Err(ToolError::Invalid(format!(
            "`{}` cannot be the name of an object",
            sanitize::line(name)
        )));
    }
    let mut missing = None;
    let is_workload = named.as_ref().is_none_or(|(kind, _)| belongs::has_pods(&kind.kind));
    if is_workload && let Some(namespace) = namespace {
        match (cluster.workload(said, namespace).await, &named) {
            (Ok(found), _) => return Ok((found.kind, found.object.name, None)),
            (Err(e @ ToolError::NotFound { .. }), Some(_)) => missing = Some(e),
            (Err(e), _) => return Err(e),
        }
    }
    let named = named.ok_or_else(|| ToolError::Invalid("events: write `object` as kind/name".into()))?;
    Ok((named.0, named.1, missing))
}

/// When an event last happened, wherever its reporter wrote it.
fn last_seen(event: &Value) -> &str {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .map(|p| text(event, p))
        .find(|t| !t.is_empty())
        .unwrap_or("")
}

/// Events of the target since the moment, repeats merged, newest first.
fn merged(listed: &[Value], target: Option<(&str, &str)>, from: Option<i64>) -> Vec<Event> {
    let clean = |s: &str| sanitize::line(&redact::text(s));
    let mut at: HashMap<(String, String, String, String), usize> = HashMap::new();
    let mut events: Vec<(jiff::Timestamp, Event)> = Vec::new();
    for event in listed {
        let (kind, name) = (text(event, "/involvedObject/kind"), text(event, "/involvedObject/name"));
        if target.is_some_and(|(k, n)| !belongs::belongs(kind, name, k, n)) {
            continue;
        }
        let last = last_seen(event);
        let moment = last.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if from.is_some_and(|f| moment.as_second() < f) {
            continue;
        }
        let one = Event {
            namespace: clean(text(event, "/metadata/namespace")),
            object: clean(&format!("{}/{name}", kind.to_lowercase())),
            warning: text(event, "/type") == "Warning",
            reason: clean(text(event, "/reason")),
            message: clean(text(event, "/message").trim()),
            last: last.to_string(),
            count: number(event, "/series/count").or(number(event, "/count")).unwrap_or(1).max(1),
        };
        let key = (one.namespace.clone(), one.object.clone(), one.reason.clone(), one.message.clone());
        match at.get(&key) {
            Some(i) => {
                let (latest, same) = &mut events[*i];
                same.count += one.count;
                if moment > *latest {
                    *latest = moment;
                    same.last = one.last;
                }
            }
            None => {
                at.insert(key, events.len());
                events.push((moment, one));
            }
        }
    }
    events.sort_by_key(|(moment, _)| std::cmp::Reverse(*moment));
    events.into_iter().map(|(_, event)| event).collect()
}

impl Events {
    fn report(&self, events: &[Event], place: &str, wide: bool, now: jiff::Timestamp) -> Report {
        let since = self.since.as_ref().map(|s| format!(" in the last {}", s.trim())).unwrap_or_default();
        let data: Vec<Value> = events
            .iter()
            .map(|e| {
                json!({"namespace": e.namespace, "object": e.object, "type": kind_of(e), "reason": e.reason,
                    "message": e.message, "last": e.last, "count": e.count})
            })
            .collect();
        let data = json!({"events": data});
        if events.is_empty() {
            let what = if self.warnings == Some(true) { "warnings" } else { "events" };
            let kept = "The cluster keeps events for about an hour.";
            return Report { data, ..Report::sentence(format!("No {what} of {place}{since}. {kept}")) };
        }
        let warnings: Vec<&Event> = events.iter().filter(|e| e.warning).collect();
        let mut say = format!("{} of {place}{since}", counted(events.len(), "event"));
        match warnings.iter().max_by_key(|e| e.count) {
            None => say.push_str(", no warnings."),
            Some(most) => say.push_str(&format!(
                ", {}; most often {} of {} ({}).",
                counted(warnings.len(), "warning"),
                most.reason,
                most.object,
                counted(most.count as usize, "time"),
            )),
        }
        let mut columns = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        if wide {
            columns.insert(3, "NAMESPACE");
        }
        let mut table = Table::new("", &columns);
        // The message is what explains: of a narrow terminal's columns, type and object's namespace go first.
        for column in &mut table.columns {
            column.importance = match column.name.as_str() {
                "LAST SEEN" => 2,
                "REASON" | "MESSAGE" => 0,
                "OBJECT" => 1,
                _ => 3,
            };
        }
        for event in events.iter().take(MOST_SHOWN) {
            let times = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
            let mut row = vec![
                format!("{}{times}", age(&event.last, now)),
                kind_of(event).to_string(),
                event.reason.clone(),
                event.object.clone(),
                event.message.clone(),
            ];
            if wide {
                row.insert(3, event.namespace.clone());
            }
            table.push(row);
        }
        let left = events.len().saturating_sub(MOST_SHOWN);
        if left > 0 {
            table.more = format!("{left} older, narrow with object, warnings or since");
        }
        Report { say: vec![say], blocks: vec![Block::Table(table)], data, about: Vec::new() }
    }
}

fn kind_of(event: &Event) -> &'static str {
    if event.warning { "Warning" } else { "Normal" }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, name: &str, reason: &str, last: &str, count: i64) -> Value {
        json!({"metadata": {"namespace": "todo"}, "involvedObject": {"kind": kind, "name": name}, "reason": reason,
            "type": if reason == "BackOff" { "Warning" } else { "Normal" }, "message": format!("{reason} password=hunter22\u{1b}[2J"),
            "lastTimestamp": last, "count": count})
    }

    fn listed() -> Vec<Value> {
        vec![
            event("Pod", "web-7d9f8c6b54-x2x8z", "BackOff", "2026-11-21T03:50:00Z", 3),
            event("Deployment", "web", "ScalingReplicaSet", "2026-11-21T03:58:00Z", 1),
            event("Pod", "web-7d9f8c6b54-x2x8z", "BackOff", "2026-11-21T03:59:00Z", 4),
            event("Pod", "web-admin-7d9f8c6b54-x2x8z", "Started", "2026-11-21T03:00:00Z", 1),
            json!({"involvedObject": {"kind": "Pod", "name": "late"}, "reason": "New", "eventTime": "2026-11-21T03:59:30.123456Z"}),
        ]
    }

    fn report(arguments: Value, events: &[Event]) -> Report {
        let query: Events = serde_json::from_value(arguments).unwrap();
        query.report(events, "todo", false, "2026-11-21T04:00:00Z".parse().unwrap())
    }

    #[test]
    fn repeats_are_merged_newest_first() {
        let all = merged(&listed(), None, None);
        let seen: Vec<(&str, i64)> = all.iter().map(|e| (e.reason.as_str(), e.count)).collect();
        assert_eq!(seen, [("New", 1), ("BackOff", 7), ("ScalingReplicaSet", 1), ("Started", 1)]);
        let report = report(json!({}), &all);
        assert_eq!(
            report.say,
            ["4 events of todo, 1 warning; most often BackOff of pod/web-7d9f8c6b54-x2x8z (7 times)."]
        );
        let text = report.for_model();
        assert!(text.contains("60s (x7) | Warning | BackOff"), "{text}");
        assert!(!text.contains("hunter22") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn of_a_workload_and_of_a_time() {
        let web = merged(&listed(), Some(("Deployment", "web")), None);
        assert_eq!(
            web.iter().map(|e| e.reason.as_str()).collect::<Vec<_>>(),
            ["BackOff", "ScalingReplicaSet"]
        );
        let from = "2026-11-21T03:58:30Z".parse::<jiff::Timestamp>().unwrap().as_second();
        assert_eq!(merged(&listed(), None, Some(from)).len(), 2);
        let none = report(json!({"since": "1h", "warnings": true}), &[]);
        assert!(none.say[0].starts_with("No warnings of todo in the last 1h."), "{:?}", none.say);
    }
}
