//! `rollout`: restart, undo to an earlier revision, pause, resume. Refuses to restart or undo what is paused, and a
//! revision that is not kept any more.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{ObjectRef, builtin, is_paused, items, number, selector_query, text};
use crate::plan::{Change, Does, Plan, UndoBy};
use crate::tool::{Action, Context};

/// Restart a workload, undo its rollout to a revision, pause or resume it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    pub action: Verb,
    pub workload: String,
    pub namespace: Option<String>,
    pub revision: Option<i64>,
}

/// What to do with the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Restart,
    Undo,
    Pause,
    Resume,
}

/// A revision that the cluster still keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub number: i64,
    /// The object that holds the template.
    pub holder: ObjectRef,
    pub template: Value,
    /// RFC 3339, as the API server says.
    pub created: String,
    pub change_cause: String,
}

impl Action for Rollout {
    const NAME: &'static str = "rollout";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        if self.revision.is_some() && self.action != Verb::Undo {
            return Err(ToolError::Invalid("rollout: `revision` goes with action `undo` only".into()));
        }
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let target = cluster.workload(&self.workload, namespace).await?;
        let revisions = match self.action {
            Verb::Undo => revisions(cluster, &target).await?,
            _ => Vec::new(),
        };
        self.changes(target, &revisions, context.now)
    }
}

impl Rollout {
    /// Decides what changes (pure).
    fn changes(
        &self,
        target: Resolved,
        revisions: &[Revision],
        now: jiff::Timestamp,
    ) -> Result<Plan, ToolError> {
        let Resolved { kind, object, live, note } = target;
        let paused = is_paused(&live);
        let is_deployment = kind.kind == "Deployment";
        if !matches!(kind.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
            return Err(ToolError::Invalid(format!(
                "{object} has no rollout: only Deployments, StatefulSets and DaemonSets do"
            )));
        }
        let mut after = live.clone();
        let nothing =
            |why: &str| Ok(Plan { title: format!("nothing to change: {object} {why}"), ..Plan::default() });
        let (title, does, undo) = match self.action {
            Verb::Pause | Verb::Resume if !is_deployment => {
                return Err(ToolError::Invalid(format!(
                    "{object}: only a Deployment can be paused and resumed"
                )));
            }
            Verb::Pause if paused => return nothing("is paused already"),
            Verb::Resume if !paused => return nothing("is not paused"),
            Verb::Pause => {
                after["spec"]["paused"] = json!(true);
                (format!("Pause the rollout of {object}"), Does::Pause, UndoBy::Fields)
            }
            Verb::Resume => {
                if let Some(spec) = after.get_mut("spec").and_then(Value::as_object_mut) {
                    spec.shift_remove("paused");
                }
                (format!("Resume the rollout of {object}"), Does::Resume, UndoBy::Fields)
            }
            Verb::Restart | Verb::Undo if paused => {
                return Err(ToolError::Refused {
                    message: format!("{object} is paused: nothing would roll out"),
                    hint: format!("Resume it first: \"resume the rollout of {}\".", object.name),
                });
            }
            Verb::Restart => {
                // The annotation that kubectl sets too, so that both see each other's restarts.
                let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let metadata = &mut after["spec"]["template"]["metadata"];
                if metadata.get("annotations").is_none_or(Value::is_null) {
                    metadata["annotations"] = json!({});
                }
                metadata["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!(at);
                (format!("Restart {object}"), Does::Restart, UndoBy::Fields)
            }
            Verb::Undo => {
                let (to, from) = self.choose(&object, &live, revisions)?;
                if from.template == to.template {
                    return nothing(&format!("has the template of revision {} already", to.number));
                }
                after["spec"]["template"] = to.template.clone();
                let title = format!("Roll {object} back to revision {}", to.number);
                (title, Does::Rollback { to_revision: to.number }, UndoBy::Template(from.holder.clone()))
            }
        };
        let change = Change::of(kind, object, does, live, after, undo);
        Ok(Plan { title, changes: vec![change], notes: note.into_iter().collect(), ..Plan::default() })
    }

    /// The revision to go to and the current one.
    fn choose<'a>(
        &self,
        object: &ObjectRef,
        live: &Value,
        revisions: &'a [Revision],
    ) -> Result<(&'a Revision, &'a Revision), ToolError> {
        let template = live.pointer("/spec/template").cloned().unwrap_or_default();
        let current = revisions.iter().find(|r| r.template == template).or(revisions.last());
        let Some(current) = current else {
            return Err(ToolError::NotFound {
                message: format!("{object} has no revision to go back to"),
                similar: Vec::new(),
            });
        };
        let found = match self.revision {
            Some(number) => revisions.iter().find(|r| r.number == number),
            None => revisions.iter().rfind(|r| r.number < current.number),
        };
        let kept: Vec<String> = revisions.iter().map(|r| r.number.to_string()).collect();
        found.map(|to| (to, current)).ok_or_else(|| ToolError::NotFound {
            message: match self.revision {
                Some(number) => format!("{object} keeps no revision {number}; it keeps {}", kept.join(", ")),
                None => format!("{object} has no earlier revision than {}", current.number),
            },
            similar: Vec::new(),
        })
    }
}

/// The revisions of a workload that the cluster still keeps, oldest first.
///
/// # Errors
/// When they may not be listed.
pub async fn revisions(cluster: &Cluster, target: &Resolved) -> Result<Vec<Revision>, ToolError> {
    let holder = builtin(if target.kind.kind == "Deployment" { "replicaset" } else { "controllerrevision" });
    let selector = target.live.pointer("/spec/selector").map(selector_query);
    let what = Listing { labels: selector, ..Listing::default() };
    let listed = cluster.list(&holder, Some(&target.object.namespace), &what).await?;
    let uid = text(&target.live, "/metadata/uid");
    let mut found: Vec<Revision> = listed
        .items
        .iter()
        .filter(|item| items(item, "/metadata/ownerReferences").iter().any(|o| text(o, "/uid") == uid))
        .filter_map(|item| {
            let object = holder.object(&target.object.namespace, text(item, "/metadata/name"));
            revision(item, object)
        })
        .collect();
    found.sort_by_key(|r| r.number);
    Ok(found)
}

fn revision(item: &Value, holder: ObjectRef) -> Option<Revision> {
    const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
    let (number, mut template) = match holder.kind.as_str() {
        "replicaset" => (text(item, REVISION).parse().ok()?, item.pointer("/spec/template")?.clone()),
        _ => (number(item, "/revision")?, item.pointer("/data/spec/template")?.clone()),
    };
    if let Some(map) = template.as_object_mut() {
        map.shift_remove("$patch");
    }
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.shift_remove("pod-template-hash");
    }
    Some(Revision {
        number,
        holder,
        template,
        created: text(item, "/metadata/creationTimestamp").into(),
        change_cause: text(item, "/metadata/annotations/kubernetes.io~1change-cause").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(image: &str, paused: bool) -> Resolved {
        let kind = builtin("deployment");
        let live = json!({"spec": {"replicas": 2, "paused": paused, "template": template(image)}});
        Resolved { object: kind.object("todo", "api"), kind, live, note: None }
    }

    fn template(image: &str) -> Value {
        json!({"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "api", "image": image}]}})
    }

    fn history() -> Vec<Revision> {
        [(1, "api:1"), (2, "api:2"), (4, "api:4")]
            .into_iter()
            .map(|(number, image)| Revision {
                number,
                holder: ObjectRef {
                    kind: "replicaset".into(),
                    namespace: "todo".into(),
                    name: format!("api-{number}"),
                },
                template: template(image),
                created: String::new(),
                change_cause: String::new(),
            })
            .collect()
    }

    fn plan(arguments: Value, target: Resolved) -> Result<Plan, ToolError> {
        let rollout: Rollout = serde_json::from_value(arguments).unwrap();
        rollout.changes(target, &history(), "2026-11-21T04:00:00Z".parse().unwrap())
    }

    #[test]
    fn undo_goes_to_the_revision_before() {
        let found = plan(json!({"action": "undo", "workload": "api"}), live("api:4", false)).unwrap();
        assert_eq!(found.changes[0].after["spec"]["template"], template("api:2"));
        assert!(matches!(&found.changes[0].undo, UndoBy::Template(holder) if holder.name == "api-4"));
        let chosen =
            plan(json!({"action": "undo", "workload": "api", "revision": 1}), live("api:4", false)).unwrap();
        assert_eq!(chosen.title, "Roll deployment/api back to revision 1");
        let missing = plan(json!({"action": "undo", "workload": "api", "revision": 3}), live("api:4", false))
            .unwrap_err();
        assert!(missing.to_string().contains("keeps 1, 2, 4"), "{missing}");
        let first = plan(json!({"action": "undo", "workload": "api"}), live("api:1", false)).unwrap_err();
        assert!(first.to_string().contains("no earlier revision"), "{first}");
    }

    #[test]
    fn restart_sets_one_annotation() {
        let found = plan(json!({"action": "restart", "workload": "api"}), live("api:4", false)).unwrap();
        let request = found.changes[0].request();
        assert_eq!(
            request.body["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"],
            "2026-11-21T04:00:00Z"
        );
        assert!(found.changes[0].replaces_pods());
    }

    #[test]
    fn what_is_paused_is_not_restarted() {
        for action in ["restart", "undo"] {
            let error = plan(json!({"action": action, "workload": "api"}), live("api:4", true)).unwrap_err();
            assert!(matches!(error, ToolError::Refused { .. }), "{error}");
        }
        let resumed = plan(json!({"action": "resume", "workload": "api"}), live("api:4", true)).unwrap();
        assert_eq!(resumed.changes[0].request().body["spec"], json!({"paused": null}));
        assert!(
            plan(json!({"action": "pause", "workload": "api"}), live("api:4", true))
                .unwrap()
                .changes
                .is_empty()
        );
    }
}
