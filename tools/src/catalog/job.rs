//! `job`: runs a CronJob now, suspends and resumes CronJobs and Jobs, and runs a finished Job again. Refuses to run
//! again what still runs.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, is_object_name, items, number, text};
use crate::plan::{Change, Plan, remake};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Run a CronJob now, suspend or resume a CronJob or Job, or run a finished Job again (rerun).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    pub name: String,
    pub action: Verb,
    pub namespace: Option<String>,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Run,
    Suspend,
    Resume,
    Rerun,
}

/// The longest name that leaves room for the labels of a Job's pods.
const LONGEST_NAME: usize = 63;

impl Action for Job {
    const NAME: &'static str = "job";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let namespace = context.cluster.namespace_or(self.namespace.as_deref())?;
        let target = self.find(&context.cluster, namespace).await?;
        self.changes(target, context.now)
    }
}

impl Job {
    /// The CronJob or Job that is meant.
    async fn find(&self, cluster: &Cluster, namespace: &str) -> Result<Resolved, ToolError> {
        let said = self.name.trim();
        if let Some((word, name)) = said.split_once('/') {
            let kind = cluster.kind(word).await?;
            if !matches!(kind.kind.as_str(), "CronJob" | "Job") {
                return Err(ToolError::Invalid(format!("{} is no CronJob and no Job", sanitize::line(said))));
            }
            return cluster.workload(&format!("{}/{name}", kind.singular), namespace).await;
        }
        if !is_object_name(said) {
            let shown = sanitize::line(said);
            return Err(ToolError::Invalid(format!("`{shown}` cannot be the name of a CronJob or a Job")));
        }
        let (cron, job) = (builtin("cronjob"), builtin("job"));
        let (crons, jobs) =
            tokio::join!(cluster.find(&cron, namespace, said), cluster.find(&job, namespace, said));
        let first = match (self.action, crons?.is_some(), jobs?.is_some()) {
            (Verb::Suspend | Verb::Resume, true, true) => {
                let candidates = vec![cron.object(namespace, said), job.object(namespace, said)];
                return Err(ToolError::Ambiguous { name: said.into(), candidates });
            }
            (Verb::Rerun, _, true) | (_, false, true) => "job",
            (Verb::Rerun, false, false) => "job",
            _ => "cronjob",
        };
        match cluster.workload(&format!("{first}/{said}"), namespace).await {
            Err(ToolError::NotFound { .. }) if first == "cronjob" && self.action != Verb::Run => {
                cluster.workload(&format!("job/{said}"), namespace).await
            }
            found => found,
        }
    }

    /// Decides what changes (pure).
    fn changes(&self, target: Resolved, now: jiff::Timestamp) -> Result<Plan, ToolError> {
        let object = target.object.clone();
        let notes: Vec<String> = target.note.clone().into_iter().collect();
        let is_job = target.kind.kind == "Job";
        let (title, change) = match self.action {
            Verb::Run if is_job => {
                return Err(ToolError::Invalid(format!(
                    "{object} is a Job, which runs once: `rerun` makes it anew; `run` is for CronJobs"
                )));
            }
            Verb::Rerun if !is_job => {
                return Err(ToolError::Invalid(format!(
                    "{object} is a CronJob: `run` runs it now; `rerun` is for a Job that has ended"
                )));
            }
            Verb::Run => {
                let change = run_now(&target, now);
                (format!("Run {object} now as {}", change.object), change)
            }
            Verb::Rerun => {
                let change = run_again(&target, now)?;
                (format!("Run {object} again as {}", change.object), change)
            }
            Verb::Suspend | Verb::Resume => match suspend(target, self.action == Verb::Suspend)? {
                Some(change) => {
                    let verb = if self.action == Verb::Suspend { "Suspend" } else { "Resume" };
                    (format!("{verb} {object}"), change)
                }
                None => {
                    let state = if self.action == Verb::Suspend {
                        "is suspended already"
                    } else {
                        "is not suspended"
                    };
                    let title = format!("nothing to change: {object} {state}");
                    return Ok(Plan { title, notes, ..Plan::default() });
                }
            },
        };
        Ok(Plan { title, changes: vec![change], notes, ..Plan::default() })
    }
}

/// A Job from a CronJob's template, as `kubectl create job --from` makes it.
fn run_now(cron: &Resolved, now: jiff::Timestamp) -> Change {
    let template = cron.live.pointer("/spec/jobTemplate").cloned().unwrap_or_default();
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(fresh_name(&cron.object.name, now)));
    metadata.insert("namespace".into(), json!(cron.object.namespace));
    if let Some(labels) = template.pointer("/metadata/labels").filter(|l| l.is_object()) {
        metadata.insert("labels".into(), labels.clone());
    }
    let mut annotations = template
        .pointer("/metadata/annotations")
        .cloned()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    annotations["cronjob.kubernetes.io/instantiate"] = json!("manual");
    metadata.insert("annotations".into(), annotations);
    metadata.insert(
        "ownerReferences".into(),
        json!([{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": cron.object.name,
            "uid": text(&cron.live, "/metadata/uid"), "controller": true,
        }]),
    );
    let spec = template.get("spec").cloned().unwrap_or_default();
    let mut change = make(&cron.object.namespace, Value::Object(metadata), spec);
    let active = items(&cron.live, "/status/active").len();
    if active > 0 {
        let policy = text(&cron.live, "/spec/concurrencyPolicy");
        let text = format!(
            "{active} of its Jobs still run; its concurrency policy ({policy}) does not hold back a run by hand"
        );
        change = change.with(Line::new(Level::Warning, "running", text));
    }
    change
}

/// A Job that has ended, under a new name.
fn run_again(job: &Resolved, now: jiff::Timestamp) -> Result<Change, ToolError> {
    let refused = |message: String, hint: &str| Err(ToolError::Refused { message, hint: hint.into() });
    let object = &job.object;
    if !has_ended(&job.live) {
        return match is_suspended(&job.live) {
            true => refused(format!("{object} is suspended, and has not ended"), "Resume it instead."),
            false => refused(format!("{object} has not ended yet"), "Wait for its end, or delete it first."),
        };
    }
    if job.live.pointer("/spec/manualSelector").and_then(Value::as_bool) == Some(true) {
        return refused(
            format!("{object} chooses its pods by a selector of its own, which another Job would share"),
            "Delete it, and make it again from its manifest.",
        );
    }
    let mut live = job.live.clone();
    remake::fresh_job(&mut live);
    let kept = |field: &str| live.pointer(&format!("/metadata/{field}")).cloned().filter(|v| !v.is_null());
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(fresh_name(&object.name, now)));
    metadata.insert("namespace".into(), json!(object.namespace));
    if let Some(labels) = kept("labels") {
        metadata.insert("labels".into(), labels);
    }
    if let Some(Value::Object(mut annotations)) = kept("annotations") {
        annotations.retain(|key, _| {
            !matches!(
                key.as_str(),
                "kubectl.kubernetes.io/last-applied-configuration"
                    | "batch.kubernetes.io/job-tracking"
                    | "batch.kubernetes.io/cronjob-scheduled-timestamp"
            )
        });
        if !annotations.is_empty() {
            metadata.insert("annotations".into(), Value::Object(annotations));
        }
    }
    if let Some(owners) = kept("ownerReferences") {
        metadata.insert("ownerReferences".into(), owners);
    }
    let spec = live.get("spec").cloned().unwrap_or_default();
    Ok(make(&object.namespace, Value::Object(metadata), spec))
}

fn make(namespace: &str, metadata: Value, mut spec: Value) -> Change {
    without_nulls(&mut spec);
    let manifest = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec});
    Change::apply(builtin("job"), namespace, None, manifest, false)
}

/// What the API server shows as null was never said.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// The name with the second of the request behind it: the same request is the same Job.
fn fresh_name(base: &str, now: jiff::Timestamp) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut left = usize::try_from(now.as_second()).unwrap_or(0);
    let mut suffix = Vec::new();
    while left > 0 {
        suffix.push(char::from(DIGITS[left % 36]));
        left /= 36;
    }
    let suffix: String = suffix.into_iter().rev().collect();
    let room = LONGEST_NAME.saturating_sub(suffix.len() + 1);
    let base = base.get(..room).unwrap_or(base).trim_end_matches(['-', '.']);
    format!("{base}-{suffix}")
}

fn has_ended(job: &Value) -> bool {
    let over = |c: &Value| matches!(text(c, "/type"), "Complete" | "Failed") && text(c, "/status") == "True";
    items(job, "/status/conditions").iter().any(over)
}

fn is_suspended(live: &Value) -> bool {
    live.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true)
}

/// Suspends or resumes; `None` when it is so already.
fn suspend(target: Resolved, wanted: bool) -> Result<Option<Change>, ToolError> {
    if is_suspended(&target.live) == wanted {
        return Ok(None);
    }
    if target.kind.kind == "Job" && has_ended(&target.live) {
        return Err(ToolError::Refused {
            message: format!("{} has ended: there is nothing to suspend", target.object),
            hint: "`rerun` runs it again.".into(),
        });
    }
    let mut after = target.live.clone();
    after["spec"]["suspend"] = json!(wanted);
    let running = number(&target.live, "/status/active").unwrap_or(0);
    let line = match (target.kind.kind.as_str(), wanted) {
        ("Job", true) if running > 0 => Some((
            Level::Warning,
            "pods",
            format!("its {running} running pods are stopped, and begin anew when it is resumed"),
        )),
        ("CronJob", true) => Some((Level::Fact, "runs", "Jobs of it that run already go on".into())),
        ("CronJob", false) => Some((
            Level::Fact,
            "runs",
            "a run that it missed meanwhile may start at once (see startingDeadlineSeconds)".into(),
        )),
        _ => None,
    };
    let change = Change::set(target, after);
    Ok(Some(match line {
        Some((level, label, text)) => change.with(Line::new(level, label, text)),
        None => change,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::resolve::resolved;

    fn plan(action: &str, kind: &str, live: Value) -> Result<Plan, ToolError> {
        let mut live = live;
        live["metadata"]["name"] = json!("backup");
        live["metadata"]["uid"] = json!("u1");
        let job: Job = serde_json::from_value(json!({"name": "backup", "action": action})).unwrap();
        job.changes(resolved(&builtin(kind), "t", live, None), "2026-11-21T04:00:00Z".parse().unwrap())
    }

    fn cron() -> Value {
        json!({"spec": {"suspend": false, "jobTemplate": {"metadata": {"creationTimestamp": null, "annotations": {"a": "b"}},
            "spec": {"backoffLimit": 1, "template": {"metadata": {"creationTimestamp": null}, "spec": {"containers": []}}}}}})
    }

    fn ended() -> Value {
        json!({"metadata": {"labels": {"app": "b", "job-name": "backup"}, "annotations": {"batch.kubernetes.io/job-tracking": ""}},
            "spec": {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}},
                "template": {"metadata": {"labels": {"app": "b", "controller-uid": "u1", "batch.kubernetes.io/job-name": "backup"}}, "spec": {}}},
            "status": {"conditions": [{"type": "Failed", "status": "True"}]}})
    }

    #[test]
    fn a_cronjob_runs_as_kubectl_would_run_it() {
        let made = plan("run", "cronjob", cron()).unwrap();
        let body = made.changes[0].request().body;
        let name = text(&body, "/metadata/name").to_string();
        assert!(name.starts_with("backup-") && made.title == format!("Run cronjob/backup now as job/{name}"));
        assert_eq!(
            body["metadata"]["annotations"],
            json!({"a": "b", "cronjob.kubernetes.io/instantiate": "manual"})
        );
        assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert_eq!(
            body["spec"],
            json!({"backoffLimit": 1, "template": {"metadata": {}, "spec": {"containers": []}}})
        );
        assert!(plan("rerun", "cronjob", cron()).is_err());
    }

    #[test]
    fn a_job_that_has_ended_runs_again_without_what_tied_it_to_its_pods() {
        let made = plan("rerun", "job", ended()).unwrap();
        let body = made.changes[0].request().body;
        assert_eq!(body["metadata"]["labels"], json!({"app": "b"}));
        assert!(body["metadata"].get("annotations").is_none() && body["spec"].get("selector").is_none());
        assert_eq!(body["spec"]["template"]["metadata"]["labels"], json!({"app": "b"}));
        let mut running = ended();
        running["status"] = json!({"active": 1});
        assert!(matches!(plan("rerun", "job", running.clone()), Err(ToolError::Refused { .. })));
        assert!(matches!(plan("run", "job", running), Err(ToolError::Invalid(_))));
        let mut own = ended();
        own["spec"]["manualSelector"] = json!(true);
        assert!(matches!(plan("rerun", "job", own), Err(ToolError::Refused { .. })));
    }

    #[test]
    fn suspended_and_resumed() {
        let made = plan("suspend", "cronjob", cron()).unwrap();
        assert_eq!(made.changes[0].request().body["spec"], json!({"suspend": true}));
        assert!(plan("resume", "cronjob", cron()).unwrap().changes.is_empty());
        let running = json!({"spec": {"suspend": false}, "status": {"active": 2}});
        assert!(plan("suspend", "job", running).unwrap().changes[0].lines[0].text.contains("2 running pods"));
    }

    #[test]
    fn names_keep_within_their_length() {
        let now = "2026-11-21T04:00:00Z".parse().unwrap();
        assert_eq!(fresh_name("backup", now), fresh_name("backup", now));
        assert!(fresh_name(&"a".repeat(80), now).len() <= LONGEST_NAME);
    }
}
