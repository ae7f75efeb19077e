//! `scale`: sets the replicas of workloads, absolutely or relative to now. Refuses more than 10,000 and kinds that
//! cannot be scaled.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, number, text};
use crate::plan::{Change, Does, Plan, UndoBy};
use crate::tool::{Action, Context};

/// Set the replicas of a workload: exactly one of replicas, by, factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// `backend`, `statefulset/db`, or `*` for all of the namespace.
    pub workload: String,
    pub namespace: Option<String>,
    pub replicas: Option<u32>,
    /// Relative: 2, -1.
    pub by: Option<i32>,
    pub factor: Option<f64>,
}

/// Far above any real workload, far below what would hurt the API server at once.
const MOST: i64 = 10_000;

impl Action for Scale {
    const NAME: &'static str = "scale";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        self.check()?;
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let everything = self.workload.trim() == "*";
        let targets = if everything {
            let (deployment, set) = (builtin("deployment"), builtin("statefulset"));
            let (deployments, sets) =
                tokio::join!(cluster.all(&deployment, namespace), cluster.all(&set, namespace));
            let mut all = Vec::new();
            for (kind, listed) in [(&deployment, deployments?), (&set, sets?)] {
                all.extend(listed.into_iter().map(|live| Resolved {
                    kind: kind.clone(),
                    object: kind.object(namespace, text(&live, "/metadata/name")),
                    live,
                    note: None,
                }));
            }
            all
        } else {
            vec![cluster.workload(&self.workload, namespace).await?]
        };
        let mut plan = self.changes(targets, namespace)?;
        if everything && self.target(1) == 0 && !plan.changes.is_empty() {
            plan.notes.extend(still_starting(&cluster.all(&builtin("cronjob"), namespace).await));
        }
        Ok(plan)
    }
}

/// What goes on in a namespace of which every workload goes to zero (pure).
fn still_starting(cronjobs: &Result<Vec<Value>, ToolError>) -> Vec<String> {
    let Ok(cronjobs) = cronjobs else {
        return vec!["CronJobs may not be listed: those there go on starting Jobs".into()];
    };
    let suspended = |c: &&Value| c.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    let going = cronjobs.iter().filter(|c| !suspended(c));
    going
        .map(|c| {
            let (name, schedule) = (text(c, "/metadata/name"), text(c, "/spec/schedule"));
            format!("cronjob/{name} goes on starting Jobs ({schedule}): suspend it too if that is to stop")
        })
        .collect()
}

impl Scale {
    fn check(&self) -> Result<(), ToolError> {
        let given = [self.replicas.is_some(), self.by.is_some(), self.factor.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err(ToolError::Invalid("scale: give exactly one of `replicas`, `by`, `factor`".into()));
        }
        if self.factor.is_some_and(|f| !(0.0..=100.0).contains(&f)) {
            return Err(ToolError::Invalid("scale: `factor` must be between 0 and 100".into()));
        }
        Ok(())
    }

    /// Decides what changes (pure).
    fn changes(&self, targets: Vec<Resolved>, namespace: &str) -> Result<Plan, ToolError> {
        if targets.is_empty() {
            return Err(ToolError::NotFound {
                message: format!("namespace {namespace} has no Deployment and no StatefulSet"),
                similar: Vec::new(),
            });
        }
        let mut plan = Plan::default();
        let one = targets.len() == 1;
        for target in targets {
            if target.live.pointer("/spec/replicas").is_none()
                && !matches!(target.kind.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet")
            {
                return Err(ToolError::Invalid(match target.kind.kind.as_str() {
                    "DaemonSet" => format!(
                        "{} is a DaemonSet: it runs one pod on each node and has no replicas to set",
                        target.object
                    ),
                    other => format!("{} is a {other}: it has no replicas to set", target.object),
                }));
            }
            let from = number(&target.live, "/spec/replicas").unwrap_or(1);
            let to = self.target(from);
            if !(0..=MOST).contains(&to) {
                let why = if to < 0 {
                    "there are fewer than that to take away".to_string()
                } else {
                    format!("the most is {MOST}")
                };
                return Err(ToolError::Invalid(format!(
                    "{} cannot have {to} replicas: {why}",
                    target.object
                )));
            }
            plan.notes.extend(target.note.clone());
            if from == to {
                plan.notes.push(format!("{} has {from} replicas already", target.object));
                continue;
            }
            if one {
                plan.title = format!("Scale {} from {from} to {to}", target.object);
            }
            plan.changes.push(change(target, from, to));
        }
        if plan.changes.is_empty() {
            let unchanged = if one {
                plan.notes.pop().unwrap_or_default()
            } else {
                format!("all workloads of {namespace} have that many replicas already")
            };
            plan.title = format!("nothing to change: {unchanged}");
        } else if !one {
            plan.title = format!("Scale {} workloads of {namespace}", plan.changes.len());
        }
        Ok(plan)
    }

    fn target(&self, from: i64) -> i64 {
        match (self.replicas, self.by, self.factor) {
            (Some(n), ..) => i64::from(n),
            (_, Some(by), _) => from + i64::from(by),
            (.., Some(factor)) => (from as f64 * factor).ceil() as i64,
            _ => from,
        }
    }
}

fn change(target: Resolved, from: i64, to: i64) -> Change {
    let mut after: Value = target.live.clone();
    after["spec"]["replicas"] = json!(to);
    let does = Does::Scale { from, to };
    Change::of(target.kind, target.object, does, target.live, after, UndoBy::Fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(arguments: Value) -> Scale {
        serde_json::from_value(arguments).unwrap()
    }

    fn target(replicas: i64) -> Resolved {
        let kind = builtin("deployment");
        Resolved {
            object: kind.object("todo", "backend"),
            kind,
            live: json!({"spec": {"replicas": replicas}}),
            note: None,
        }
    }

    fn check(arguments: Value, from: i64, want: Result<i64, &str>) {
        let scale = scale(arguments);
        let got = scale.check().and_then(|()| scale.changes(vec![target(from)], "todo"));
        match (got, want) {
            (Ok(plan), Ok(to)) => assert_eq!(plan.changes[0].does, Does::Scale { from, to }),
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{e}"),
            (got, want) => panic!("{:?} but wanted {want:?}", got.map(|p| p.title)),
        }
    }

    #[test]
    fn replicas_by_and_factor() {
        check(json!({"workload": "backend", "replicas": 3}), 2, Ok(3));
        check(json!({"workload": "backend", "by": -2}), 5, Ok(3));
        check(json!({"workload": "backend", "factor": 2.0}), 4, Ok(8));
        check(json!({"workload": "backend", "factor": 0.5}), 3, Ok(2));
        check(json!({"workload": "backend", "by": -3}), 2, Err("fewer than that"));
        check(json!({"workload": "backend", "replicas": 3_000_000}), 2, Err("the most is 10000"));
        check(json!({"workload": "backend"}), 2, Err("exactly one"));
        check(json!({"workload": "backend", "by": 1, "replicas": 2}), 2, Err("exactly one"));
        check(json!({"workload": "backend", "factor": -1.0}), 2, Err("between 0 and 100"));
    }

    #[test]
    fn cronjobs_that_go_on_are_named() {
        let cron = |name: &str, suspend: bool| json!({"metadata": {"name": name}, "spec": {"schedule": "0 3 * * *", "suspend": suspend}});
        assert_eq!(
            still_starting(&Ok(vec![cron("nightly", false), cron("old", true)])),
            ["cronjob/nightly goes on starting Jobs (0 3 * * *): suspend it too if that is to stop"]
        );
        let refused = Err(ToolError::Forbidden { message: "no".into() });
        assert!(still_starting(&refused)[0].contains("may not be listed"));
    }

    #[test]
    fn what_is_so_already_changes_nothing() {
        let plan =
            scale(json!({"workload": "backend", "replicas": 2})).changes(vec![target(2)], "todo").unwrap();
        assert!(plan.changes.is_empty());
        assert_eq!(plan.title, "nothing to change: deployment/backend has 2 replicas already");
    }
}
