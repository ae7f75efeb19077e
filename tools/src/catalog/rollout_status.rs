//! `rollout_status`: where a rollout stands, which revisions are kept, and what changed between two of them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rollout::{Revision, revisions};
use crate::cluster::wait::{self, Rollout, State, assess};
use crate::diff::{self, FieldChange};
use crate::error::ToolError;
use crate::object::{ObjectRef, is_paused, items, text};
use crate::report::{Block, Report, Table, age};
use crate::sanitize;
use crate::tool::{Context, Query};

/// Show how far a rollout is, its revisions and their difference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutStatus {
    pub workload: String,
    pub namespace: Option<String>,
    /// Show what changed between two revisions.
    pub diff: Option<bool>,
    pub from: Option<u64>,
    pub to: Option<u64>,
}

impl Query for RolloutStatus {
    const NAME: &'static str = "rollout_status";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let target = cluster.workload(&self.workload, namespace).await?;
        if !matches!(target.kind.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
            return Err(ToolError::Invalid(format!(
                "{} has no rollout: only Deployments, StatefulSets and DaemonSets do",
                target.object
            )));
        }
        let (seen, revisions) =
            tokio::join!(wait::look(cluster, &target.kind, &target.object), revisions(cluster, &target));
        let (live, pods) = seen?;
        // How far it is can be told without its history.
        let (revisions, denied) = match revisions {
            Err(e @ ToolError::Forbidden { .. }) if !self.compares() => (Vec::new(), Some(e)),
            other => (other?, None),
        };
        let mut report = self.report(&target.object, &live, &pods, &revisions, context.now)?;
        report.say.extend(denied.map(|e| format!("Its revisions cannot be listed: {e}.")));
        report.say.extend(target.note);
        Ok(report)
    }
}

impl RolloutStatus {
    fn compares(&self) -> bool {
        self.diff == Some(true) || self.from.is_some() || self.to.is_some()
    }

    /// The report, from what was read (pure).
    fn report(
        &self,
        object: &ObjectRef,
        live: &Value,
        pods: &[Value],
        revisions: &[Revision],
        now: jiff::Timestamp,
    ) -> Result<Report, ToolError> {
        let (state, rollout) = assess(live, pods);
        let current = current(live, revisions);
        let (word, mut say) = match &state {
            State::Ready => ("ready", Vec::new()),
            State::Coming { waiting_for } => ("coming", vec![format!("Waiting for {waiting_for}.")]),
            State::Stuck { cause, evidence, .. } => {
                let mut lines = vec![format!("It is stuck: {cause}.")];
                lines.extend(evidence.iter().map(|e| crate::redact::text(e)));
                ("stuck", lines)
            }
        };
        let revision = current.map(|r| format!(" at revision {}", r.number)).unwrap_or_default();
        let paused = if is_paused(live) { ", paused" } else { "" };
        say.insert(
            0,
            format!(
                "{object} in {}: {} of {} pods ready{revision}{paused}.",
                object.namespace, rollout.ready, rollout.desired
            ),
        );
        let waits = waiting(live, current);
        if let Some(line) = behind_pause(live, &rollout, &waits) {
            say.insert(1, line);
        }
        let mut report = Report { say, about: vec![object.clone()], ..Report::default() };
        report.data = json!({
            "object": object, "state": word, "paused": !paused.is_empty(), "ready": rollout.ready,
            "desired": rollout.desired, "pods": rollout.pods, "revision": current.map(|r| r.number),
            "waits": waits,
        });
        if !revisions.is_empty() {
            report.blocks.push(Block::Table(history(revisions, current, now)));
            report.data["revisions"] = revisions
                .iter()
                .map(|r| json!({"number": r.number, "created": r.created, "images": images(r), "change_cause": cause(r)}))
                .collect();
        }
        if let Some(current) = current.filter(|_| self.diff == Some(true) && !waits.is_empty()) {
            // The change that somebody looks for is the one that waits, unless they name revisions.
            if self.from.is_none() && self.to.is_none() {
                let before = format!("REVISION {}", current.number);
                report.blocks.push(Block::Table(differences(&before, "NOT OUT YET", &waits)));
                return Ok(report);
            }
        }
        if self.compares() {
            let (from, to) = self.compared(object, revisions, current)?;
            let changes: Vec<FieldChange> =
                diff::fields(&from.template, &to.template).into_iter().map(FieldChange::masked).collect();
            if changes.is_empty() {
                report
                    .say
                    .push(format!("Revisions {} and {} have the same template.", from.number, to.number));
            } else {
                let (before, after) =
                    (format!("REVISION {}", from.number), format!("REVISION {}", to.number));
                report.blocks.push(Block::Table(differences(&before, &after, &changes)));
            }
            report.data["diff"] = json!({"from": from.number, "to": to.number, "changes": changes});
        }
        Ok(report)
    }

    /// The two revisions to compare: as asked, else the current one and the one before it.
    fn compared<'a>(
        &self,
        object: &ObjectRef,
        revisions: &'a [Revision],
        current: Option<&'a Revision>,
    ) -> Result<(&'a Revision, &'a Revision), ToolError> {
        let kept: Vec<String> = revisions.iter().map(|r| r.number.to_string()).collect();
        let numbered = |number: u64| {
            revisions.iter().find(|r| u64::try_from(r.number) == Ok(number)).ok_or_else(|| {
                ToolError::NotFound {
                    message: format!("{object} keeps no revision {number}; it keeps {}", kept.join(", ")),
                    similar: Vec::new(),
                }
            })
        };
        let to = match self.to {
            Some(number) => Some(numbered(number)?),
            None => current,
        };
        let from = match (self.from, to) {
            (Some(number), _) => Some(numbered(number)?),
            (None, Some(to)) => revisions.iter().rfind(|r| r.number < to.number),
            (None, None) => None,
        };
        from.zip(to).ok_or_else(|| ToolError::NotFound {
            message: format!("{object} keeps no two revisions to compare"),
            similar: Vec::new(),
        })
    }
}

/// The revision that is being rolled out, as the controller says it; else the newest.
fn current<'a>(live: &Value, revisions: &'a [Revision]) -> Option<&'a Revision> {
    let numbered = text(live, "/metadata/annotations/deployment.kubernetes.io~1revision").parse::<i64>().ok();
    let named = text(live, "/status/updateRevision");
    revisions
        .iter()
        .find(|r| Some(r.number) == numbered || (!named.is_empty() && r.holder.name == named))
        .or(revisions.last())
}

fn images(revision: &Revision) -> Vec<String> {
    let mut images: Vec<String> = items(&revision.template, "/spec/containers")
        .iter()
        .map(|c| sanitize::line(&crate::redact::text(text(c, "/image"))))
        .collect();
    images.dedup();
    images
}

fn cause(revision: &Revision) -> String {
    sanitize::line(&crate::redact::text(&revision.change_cause))
}

fn history(revisions: &[Revision], current: Option<&Revision>, now: jiff::Timestamp) -> Table {
    let mut table = Table::new("revisions", &["REVISION", "IMAGES", "AGE", "CHANGE CAUSE"]);
    for revision in revisions.iter().rev() {
        let is_current = current.is_some_and(|c| c.number == revision.number);
        table.push([
            format!("{}{}", revision.number, if is_current { " (current)" } else { "" }),
            images(revision).join(", "),
            age(&revision.created, now),
            cause(revision),
        ]);
    }
    table
}

fn differences(before: &str, after: &str, changes: &[FieldChange]) -> Table {
    let mut table = Table::new("what changed", &["FIELD", before, after]);
    for change in changes {
        table.push([diff::human_path(&change.path), shown(&change.before), shown(&change.after)]);
    }
    table
}

fn shown(value: &Option<Value>) -> String {
    match value {
        None => "(none)".to_string(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => crate::report::bounded(&other.to_string(), 300),
    }
}

/// What a pause holds back: how the template differs from the revision that runs.
fn waiting(live: &Value, current: Option<&Revision>) -> Vec<FieldChange> {
    let template = live.pointer("/spec/template").filter(|_| is_paused(live));
    let Some((template, current)) = template.zip(current) else { return Vec::new() };
    diff::fields(&current.template, template).into_iter().map(FieldChange::masked).collect()
}

/// The sentence about a change that is not out because of a pause; none where nothing waits.
fn behind_pause(live: &Value, rollout: &Rollout, waits: &[FieldChange]) -> Option<String> {
    const MOST: usize = 4;
    if !is_paused(live) {
        return None;
    }
    let count = |at: &str| live.pointer(at).and_then(Value::as_i64).unwrap_or(0);
    let updated = count("/status/updatedReplicas");
    if waits.is_empty() {
        let half = updated < rollout.desired && count("/status/replicas") > 0;
        return half.then(|| {
            format!(
                "Paused: {updated} of {} pods have its latest change. Resume it to roll out the rest.",
                rollout.desired
            )
        });
    }
    let told = |c: &FieldChange| {
        let path = diff::human_path(&c.path);
        let path = path.strip_prefix("spec.").unwrap_or(&path);
        let text = format!("{path} {} → {}", shown(&c.before), shown(&c.after));
        sanitize::line(&crate::redact::text(&text))
    };
    let mut changes: Vec<String> = waits.iter().take(MOST).map(told).collect();
    if waits.len() > MOST {
        changes.push(format!("{} more", waits.len() - MOST));
    }
    Some(format!("Paused, and not out yet: {}. Resume it to roll this out.", changes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::builtin;

    fn revision(number: i64, image: &str, password: &str) -> Revision {
        Revision {
            number,
            holder: builtin("replicaset").object("todo", &format!("api-{number}")),
            template: json!({"spec": {"containers": [{"name": "api", "image": image, "env": [{"name": "DB_PASSWORD", "value": password}]}]}}),
            created: "2026-11-21T03:00:00Z".into(),
            change_cause: format!("release {number}"),
        }
    }

    fn report(arguments: Value, live: &Value) -> Result<Report, ToolError> {
        let query: RolloutStatus = serde_json::from_value(arguments).unwrap();
        let revisions = [
            revision(1, "api:1", "alpha-one"),
            revision(3, "api:3", "alpha-one"),
            revision(4, "api:4", "beta-two"),
        ];
        let object = builtin("deployment").object("todo", "api");
        query.report(&object, live, &[], &revisions, "2026-11-21T04:00:00Z".parse().unwrap())
    }

    fn live(ready: i64) -> Value {
        json!({"kind": "Deployment", "metadata": {"generation": 2, "annotations": {"deployment.kubernetes.io/revision": "4"}},
            "spec": {"replicas": 2}, "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": ready}})
    }

    #[test]
    fn state_and_history() {
        let ready = report(json!({"workload": "api"}), &live(2)).unwrap();
        assert_eq!(ready.say, ["deployment/api in todo: 2 of 2 pods ready at revision 4."]);
        let text = ready.for_model();
        assert!(text.contains("4 (current) | api:4 | 60m | release 4"), "{text}");
        assert!(!text.contains("what changed"));
        let coming = report(json!({"workload": "api"}), &live(1)).unwrap();
        assert_eq!(coming.data["state"], "coming");
        assert!(coming.say[1].starts_with("Waiting for"), "{:?}", coming.say);
    }

    #[test]
    fn what_changed_without_the_secrets() {
        let last = report(json!({"workload": "api", "diff": true}), &live(2)).unwrap();
        let text = last.for_model();
        assert!(text.contains("spec.containers[api].image | api:3 | api:4"), "{text}");
        assert!(text.contains("FIELD | REVISION 3 | REVISION 4"), "{text}");
        let whole = format!("{text}{}", last.data);
        assert!(!whole.contains("beta-two") && !whole.contains("alpha-one"), "{whole}");
        let chosen = report(json!({"workload": "api", "from": 1, "to": 3}), &live(2)).unwrap();
        assert!(chosen.for_model().contains("api:1 | api:3"));
        let missing = report(json!({"workload": "api", "from": 2}), &live(2)).unwrap_err();
        assert!(missing.to_string().contains("keeps 1, 3, 4"), "{missing}");
    }

    #[test]
    fn what_a_pause_holds_back() {
        let paused = |image: &str, updated: i64| {
            let mut live = live(2);
            live["spec"]["paused"] = json!(true);
            live["spec"]["template"] = revision(4, image, "beta-two").template;
            live["status"]["updatedReplicas"] = json!(updated);
            live
        };
        let waits = report(json!({"workload": "api"}), &paused("api:5", 0)).unwrap();
        assert_eq!(waits.say[0], "deployment/api in todo: 2 of 2 pods ready at revision 4, paused.");
        let line =
            "Paused, and not out yet: containers[api].image api:4 → api:5. Resume it to roll this out.";
        assert_eq!(waits.say[1], line);
        let shown =
            report(json!({"workload": "api", "diff": true}), &paused("api:5", 0)).unwrap().for_model();
        assert!(shown.contains("FIELD | REVISION 4 | NOT OUT YET"), "{shown}");
        let quiet = report(json!({"workload": "api"}), &paused("api:4", 2)).unwrap();
        assert_eq!(quiet.say.len(), 1, "nothing waits: {:?}", quiet.say);
        let half = report(json!({"workload": "api"}), &paused("api:4", 1)).unwrap();
        assert!(half.say[1].starts_with("Paused: 1 of 2 pods have"), "{:?}", half.say);
    }
}
