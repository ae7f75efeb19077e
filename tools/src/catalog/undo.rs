//! `undo`: takes back what kai changed, from its journal, as a plan like any other. Refuses when somebody else changed
//! the same fields since.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::rollout::revisions;
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::diff;
use crate::error::ToolError;
use crate::journal::{self, Entry, Intent, Kept, Record, StepOutcome, Touched};
use crate::object::{ApiKind, items, number, text};
use crate::plan::{Change, Does, Plan, UndoBy};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Take back a change that kai made: the last one, or that plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// Plan id.
    pub id: Option<String>,
}

impl Action for Undo {
    const NAME: &'static str = "undo";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let records = context.journal.records()?;
        let id = match &self.id {
            Some(said) => named(&records, said)?,
            None => last_undoable(&records).ok_or_else(|| ToolError::NotFound {
                message: "kai's journal holds no change that is not taken back already".into(),
                similar: Vec::new(),
            })?,
        };
        let done = done_steps(&records, &id);
        let Some(first) = done.first() else {
            return Err(ToolError::NotFound {
                message: format!("plan {id} changed nothing"),
                similar: Vec::new(),
            });
        };
        let is_record = |i: &Intent| i.object.name.starts_with("sh.helm.release.v1.");
        if let Some(record) = done.iter().find(|i| is_record(i) && i.undo == journal::Back::Fields) {
            let release = record.object.name.trim_start_matches("sh.helm.release.v1.");
            let release = release.rsplit_once(".v").map_or(release, |(name, _)| name);
            return Err(ToolError::Refused {
                message: format!(
                    "plan {id} made a revision of the Helm release {release}: its records go forward only"
                ),
                hint: format!(
                    "Roll it back: \"roll back release {release} in {}\".",
                    record.object.namespace
                ),
            });
        }
        let identity = context.cluster.identity().await?;
        if identity.cluster != first.identity.cluster
            || (identity.cluster.is_empty() && identity.server != first.identity.server)
        {
            return Err(ToolError::Refused {
                message: format!(
                    "plan {id} was made on another cluster (context {})",
                    sanitize::line(&first.context)
                ),
                hint: format!("Use --context {}.", sanitize::line(&first.context)),
            });
        }
        let title = format!("Take back: {}", first.title);
        let mut plan = Plan { title, undoes: Some(id.clone()), ..Plan::default() };
        let mut last = None;
        for intent in done.iter().rev() {
            let kind = context.cluster.kind(&kind_word(intent)).await?;
            match back(&context.cluster, kind, intent, made_uid(&records, &id, intent.step)).await? {
                Back::Change(change) => plan.changes.push(*change),
                Back::Nothing(why) => last = Some(why.clone()).inspect(|why| plan.notes.push(why.clone())),
            }
        }
        match (plan.changes.is_empty(), last) {
            (true, Some(why)) => Err(ToolError::Refused {
                message: format!("plan {id} cannot be taken back: {why}"),
                hint: "Ask for what you want directly.".into(),
            }),
            _ => Ok(plan),
        }
    }
}

/// What takes one write back.
enum Back {
    Change(Box<Change>),
    /// Nothing does, for this reason.
    Nothing(String),
}

async fn back(
    cluster: &Cluster,
    kind: ApiKind,
    intent: &Intent,
    made: Option<&str>,
) -> Result<Back, ToolError> {
    let object = intent.object.clone();
    let live = cluster.find(&kind, &object.namespace, &object.name).await?;
    let refused = |message: String| ToolError::Refused {
        message,
        hint: "Nothing was changed. Set what you want directly.".into(),
    };
    let change = match (&intent.undo, live) {
        (journal::Back::Never { why }, _) => return Ok(Back::Nothing(format!("{object}: {why}"))),
        (journal::Back::Delete, None) => return Ok(Back::Nothing(format!("{object} is gone already"))),
        (journal::Back::Delete, Some(live)) => {
            if made != Some(text(&live, "/metadata/uid")) {
                return Err(refused(format!("{object} was made anew since: it is another object now")));
            }
            Change::delete(Resolved { kind, object, live, note: None })
        }
        (journal::Back::Remake { .. }, Some(_)) => {
            return Err(refused(format!("{object} was made anew since: it is another object now")));
        }
        (journal::Back::Remake { manifest }, None) => {
            let lossy = "made anew: another uid, and nothing of its status or data comes back";
            Change::apply(kind, &object.namespace, None, manifest.clone(), false).with(Line::new(
                Level::Warning,
                "anew",
                lossy,
            ))
        }
        (journal::Back::Fields, None) => {
            return Err(ToolError::NotFound {
                message: format!("{object} is gone: there is nothing to take back"),
                similar: Vec::new(),
            });
        }
        (journal::Back::Fields, Some(live)) => {
            let target = Resolved { kind, object, live, note: None };
            let template = template(cluster, &target, intent).await?;
            change(target, intent, template)?
        }
    };
    Ok(Back::Change(Box::new(change)))
}

/// The uid of the object that a step made or wrote.
fn made_uid<'a>(records: &'a [Record], plan: &str, of: usize) -> Option<&'a str> {
    records.iter().filter(|r| r.plan == plan).find_map(|r| match &r.entry {
        Entry::Outcome { step, uid, .. } if *step == of && !uid.is_empty() => Some(uid.as_str()),
        _ => None,
    })
}

fn kind_word(intent: &Intent) -> String {
    if intent.group.is_empty() {
        intent.object.kind.clone()
    } else {
        format!("{}.{}", intent.object.kind, intent.group)
    }
}

/// The plan whose id begins with what was said.
fn named(records: &[Record], said: &str) -> Result<String, ToolError> {
    let said = said.trim().trim_start_matches("plan ");
    let mut ids: Vec<&str> = records
        .iter()
        .map(|r| r.plan.as_str())
        .filter(|id| !said.is_empty() && id.starts_with(said))
        .collect();
    ids.dedup();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [one] => Ok((*one).to_string()),
        [] => Err(ToolError::NotFound {
            message: format!("kai's journal holds no plan `{}`", sanitize::line(said)),
            similar: Vec::new(),
        }),
        several => Err(ToolError::Invalid(format!(
            "`{}` fits several plans: {}",
            sanitize::line(said),
            several.join(", ")
        ))),
    }
}

/// The writes of a plan that were done, in order.
pub(super) fn done_steps<'a>(records: &'a [Record], plan: &str) -> Vec<&'a Intent> {
    let mut intents: BTreeMap<usize, &Intent> = BTreeMap::new();
    let mut done = Vec::new();
    for record in records.iter().filter(|r| r.plan == plan) {
        match &record.entry {
            Entry::Intent(intent) => {
                intents.insert(intent.step, intent);
            }
            Entry::Outcome { step, outcome: StepOutcome::Done, .. } => {
                done.extend(intents.get(step).copied())
            }
            _ => {}
        }
    }
    done
}

/// Whether a plan of that id changed something.
pub fn was_applied(records: &[Record], plan: &str) -> bool {
    !done_steps(records, plan).is_empty()
}

/// The last plan that changed something, is no undo, and was not taken back.
pub fn last_undoable(records: &[Record]) -> Option<String> {
    let mut taken_back: Vec<&str> = Vec::new();
    for record in records.iter().rev() {
        let Entry::Intent(intent) = &record.entry else { continue };
        if done_steps(records, &record.plan).is_empty() {
            continue;
        }
        match &intent.undoes {
            Some(id) => taken_back.push(id),
            None if !taken_back.contains(&record.plan.as_str()) => return Some(record.plan.clone()),
            None => {}
        }
    }
    None
}

/// The old pod template, from the object that still holds it.
async fn template(cluster: &Cluster, target: &Resolved, intent: &Intent) -> Result<Option<Value>, ToolError> {
    let Some(holder) = &intent.template else { return Ok(None) };
    let found = revisions(cluster, target).await?.into_iter().find(|r| r.holder == *holder);
    found.map(|r| Some(r.template)).ok_or_else(|| ToolError::Refused {
        message: format!("{holder}, which held the old template of {}, is gone", target.object),
        hint: format!("See what is kept: \"history of {}\".", target.object.name),
    })
}

/// Decides what changes (pure): the touched fields back to what they were, when they are still what kai made them.
fn change(target: Resolved, intent: &Intent, template: Option<Value>) -> Result<Change, ToolError> {
    let Resolved { kind, object, live, .. } = target;
    let refused = |message: String| ToolError::Refused {
        message,
        hint: "Nothing was changed. Set what you want directly.".into(),
    };
    if text(&live, "/metadata/uid") != intent.uid {
        return Err(refused(format!("{object} was deleted and made anew since: it is another object now")));
    }
    for touched in &intent.touched {
        let now = diff::at(&live, &touched.path);
        if !touched.after.is(now) && !but_for_node_ports(touched, now) {
            let who = last_manager(&live, &touched.path);
            return Err(refused(format!(
                "{} of {object} was changed since{who}",
                diff::human_path(&touched.path)
            )));
        }
    }
    let mut after = live.clone();
    let has_template = template.is_some();
    if let Some(template) = template {
        after["spec"]["template"] = template;
    }
    for touched in intent.touched.iter().filter(|t| !(has_template && t.path.starts_with("/spec/template"))) {
        let old = match &touched.before {
            Kept::Absent => None,
            Kept::Value(value) => Some(value.clone()),
            Kept::Sha256(_) => {
                return Err(refused(format!(
                    "the old value of {} may be a secret, so it was not kept",
                    diff::human_path(&touched.path)
                )));
            }
        };
        diff::set(&mut after, &touched.path, old);
    }
    let scales = intent.touched.len() == 1 && intent.touched[0].path == "/spec/replicas";
    let does = match (number(&live, "/spec/replicas"), number(&after, "/spec/replicas")) {
        (Some(from), Some(to)) if scales => Does::Scale { from, to },
        _ => Does::Restore,
    };
    Ok(Change::of(kind, object, does, live, after, UndoBy::Fields))
}

/// Whether a Service's ports differ only in node ports. A dry run is given another than the write that follows it, so
/// what the journal expects is not what came.
fn but_for_node_ports(touched: &Touched, now: Option<&Value>) -> bool {
    let (Kept::Value(kept), Some(now)) = (&touched.after, now) else { return false };
    let bare = |ports: &Value| {
        let mut ports = ports.clone();
        for port in ports.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            port.shift_remove("nodePort");
        }
        ports
    };
    match touched.path.strip_prefix("/spec/ports") {
        Some("") => kept.is_array() && bare(kept) == bare(now),
        Some(rest) => rest.ends_with("/nodePort") && touched.before == Kept::Absent,
        None => false,
    }
}

/// Who owns a top-level field now, for the message: ` by kubectl at ...`.
fn last_manager(live: &Value, path: &str) -> String {
    let field: String = path.split('/').skip(1).take(2).map(|p| format!("/f:{p}")).collect();
    items(live, "/metadata/managedFields")
        .iter()
        .filter(|m| m.pointer(&format!("/fieldsV1{field}")).is_some())
        .max_by_key(|m| text(m, "/time"))
        .map(|m| {
            format!(" by {} at {}", sanitize::line(text(m, "/manager")), sanitize::line(text(m, "/time")))
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::Identity;
    use crate::object::builtin;

    fn intent(plan_before: i64, plan_after: i64, undoes: Option<&str>) -> Intent {
        Intent {
            step: 0,
            steps: 1,
            title: "Scale deployment/b".into(),
            words: String::new(),
            approved_by: "terminal".into(),
            context: "c".into(),
            identity: Identity { cluster: "u".into(), server: "s".into(), user: "me".into() },
            object: builtin("deployment").object("t", "b"),
            group: "apps".into(),
            uid: "uid-1".into(),
            method: "PATCH".into(),
            path: "/x".into(),
            body_sha256: String::new(),
            touched: vec![Touched {
                path: "/spec/replicas".into(),
                before: Kept::Value(json!(plan_before)),
                after: Kept::Value(json!(plan_after)),
            }],
            template: None,
            undo: journal::Back::Fields,
            undoes: undoes.map(Into::into),
        }
    }

    fn live(replicas: i64, uid: &str) -> Resolved {
        let kind = builtin("deployment");
        let live = json!({"metadata": {"uid": uid}, "spec": {"replicas": replicas}});
        Resolved { object: kind.object("t", "b"), kind, live, note: None }
    }

    #[test]
    fn what_kai_set_goes_back() {
        let change = change(live(3, "uid-1"), &intent(2, 3, None), None).unwrap();
        assert_eq!(change.does, Does::Scale { from: 3, to: 2 });
    }

    #[test]
    fn a_node_port_that_the_server_chose_is_no_change_by_others() {
        let list = |port: i64, node: i64| json!([{"port": port, "nodePort": node}]);
        let touched = |path: &str, after: Value| Touched {
            path: path.into(),
            before: Kept::Absent,
            after: Kept::Value(after),
        };
        let ports = touched("/spec/ports", list(80, 30001));
        assert!(but_for_node_ports(&ports, Some(&list(80, 30002))));
        assert!(!but_for_node_ports(&ports, Some(&list(81, 30001))) && !but_for_node_ports(&ports, None));
        let one = touched("/spec/ports/[name=http]/nodePort", json!(30001));
        assert!(but_for_node_ports(&one, Some(&json!(30002))));
        assert!(!but_for_node_ports(&touched("/spec/replicas", json!(1)), Some(&json!(2))));
    }

    #[test]
    fn what_others_changed_stays() {
        let error = change(live(5, "uid-1"), &intent(2, 3, None), None).unwrap_err();
        assert!(error.to_string().contains("spec.replicas of deployment/b was changed since"), "{error}");
        let error = change(live(3, "uid-2"), &intent(2, 3, None), None).unwrap_err();
        assert!(error.to_string().contains("made anew"), "{error}");
    }

    #[test]
    fn the_last_change_is_the_last_that_stands() {
        let record = |plan: &str, entry| Record {
            seq: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            plan: plan.into(),
            entry,
            prev: String::new(),
            hash: String::new(),
        };
        let done = |plan: &str| {
            record(
                plan,
                Entry::Outcome {
                    step: 0,
                    outcome: StepOutcome::Done,
                    message: String::new(),
                    uid: String::new(),
                },
            )
        };
        let failed = |plan: &str| {
            record(
                plan,
                Entry::Outcome {
                    step: 0,
                    outcome: StepOutcome::NotDone,
                    message: String::new(),
                    uid: String::new(),
                },
            )
        };
        let begin = |plan: &str, undoes| record(plan, Entry::Intent(Box::new(intent(2, 3, undoes))));
        let mut records = vec![
            begin("a1", None),
            done("a1"),
            begin("b2", None),
            done("b2"),
            begin("c3", None),
            failed("c3"),
        ];
        assert_eq!(last_undoable(&records).as_deref(), Some("b2"), "c3 changed nothing");
        records.extend([begin("d4", Some("b2")), done("d4")]);
        assert_eq!(last_undoable(&records).as_deref(), Some("a1"), "b2 is taken back");
        assert_eq!(named(&records, "b").unwrap(), "b2");
        assert!(named(&records, "").is_err());
    }
}
