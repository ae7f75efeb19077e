//! Who is behind a Service whose selector changes: pods that are ready now, and those that will be asked after (pure).

use serde_json::Value;

use super::look::Seen;
use super::{Level, Line};
use crate::object::{ObjectRef, items, text};
use crate::plan::{Change, Does};

/// Whether the change may give a Service other pods, so that they are worth a look.
pub(super) fn may_switch(change: &Change) -> bool {
    let said = match &change.does {
        // A selector is replaced as a whole.
        Does::Apply { manifest, .. } => selector(manifest).is_some_and(|s| Some(s) != selector(&change.live)),
        _ => false,
    };
    said || switches(change)
}

/// What a change of a selector means for those who ask the Service. `made` are the workloads that the same plan makes or
/// changes, with their pods' labels.
pub(super) fn lines(change: &Change, pods: Option<&Seen>, made: &[(ObjectRef, Value)]) -> Option<Line> {
    if !switches(change) {
        return None;
    }
    let line = |level, said: String| Some(Line::new(level, "pods", format!("{}: {said}", change.object)));
    let Some(after) = selector(&change.after) else {
        return line(Level::Warning, "no selector after: nobody keeps up who is behind it".into());
    };
    let pods = match pods {
        Some(Ok(pods)) => pods,
        Some(Err(e)) => return line(Level::Unknown, format!("the pods behind it cannot be looked at: {e}")),
        None => return line(Level::Unknown, "the pods behind it were not looked at".into()),
    };
    let ready = |selector: &Value| pods.iter().filter(|p| chosen(selector, labels(p)) && is_ready(p)).count();
    let now = selector(&change.live).map_or(0, ready);
    let all = pods.iter().filter(|p| chosen(after, labels(p))).count();
    let then = ready(after);
    let is_new = |(of, labels): &&(ObjectRef, Value)| {
        of.namespace == change.object.namespace && chosen(after, Some(labels))
    };
    let coming: Vec<String> = made.iter().filter(is_new).map(|(of, _)| of.to_string()).collect();
    let behind = match now {
        1 => "1 ready pod behind it now".to_string(),
        n => format!("{n} ready pods behind it now"),
    };
    let after = match (then, all) {
        (_, 0) => "none after".to_string(),
        (then, all) => format!("{then} of {all} after"),
    };
    if !coming.is_empty() {
        let said = format!("{behind}, {after}, besides those of {}", coming.join(", "));
        return line(if then < now { Level::Warning } else { Level::Fact }, said);
    }
    match then {
        0 => line(Level::Problem, format!("{behind}, {after}: nothing answers then")),
        then if then < all || then < now => line(Level::Warning, format!("{behind}, {after}")),
        _ => line(Level::Fact, format!("{behind}, {after}")),
    }
}

fn switches(change: &Change) -> bool {
    is_service(change) && selector(&change.live) != selector(&change.after)
}

fn is_service(change: &Change) -> bool {
    let core = change.kind.kind == "Service" && change.kind.group.is_empty();
    core && !change.creates() && !change.removes()
}

/// A selector that selects: an empty one leaves it to others who is behind the Service.
fn selector(service: &Value) -> Option<&Value> {
    service.pointer("/spec/selector").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()))
}

fn labels(pod: &Value) -> Option<&Value> {
    pod.pointer("/metadata/labels")
}

fn chosen(selector: &Value, labels: Option<&Value>) -> bool {
    let want = selector.as_object();
    want.is_some_and(|want| want.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v)))
}

/// Whether the Service would send somebody there.
fn is_ready(pod: &Value) -> bool {
    let leaves = pod.pointer("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null());
    let ready = |c: &Value| text(c, "/type") == "Ready" && text(c, "/status") == "True";
    !leaves && items(pod, "/status/conditions").iter().any(ready)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::builtin;
    use crate::plan::UndoBy;

    /// A Service that changes from blue to another version.
    fn switch(to: &Value) -> Change {
        let kind = builtin("service");
        let of = |selector: &Value| json!({"metadata": {"name": "web"}, "spec": {"selector": selector}});
        let live = of(&json!({"app": "web", "version": "blue"}));
        Change::of(kind.clone(), kind.object("t", "web"), Does::Set, live, of(to), UndoBy::Fields)
    }

    fn pods(all: &[(&str, bool)]) -> Option<Seen> {
        let pod = |(version, ready): &(&str, bool)| {
            json!({"metadata": {"labels": {"app": "web", "version": version}},
                "status": {"conditions": [{"type": "Ready", "status": if *ready { "True" } else { "False" }}]}})
        };
        Some(Ok(all.iter().map(pod).collect()))
    }

    #[track_caller]
    fn says(to: &Value, pods: Option<&Seen>, made: &[(ObjectRef, Value)], level: Level, text: &str) {
        assert_eq!(lines(&switch(to), pods, made), Some(Line::new(level, "pods", text)));
    }

    #[test]
    fn who_answers_now_and_after() {
        let blue = [("blue", true), ("blue", true), ("blue", true)];
        let green = |ready: [bool; 3]| pods(&[&blue[..], &ready.map(|r| ("green", r))].concat());
        let to = json!({"app": "web", "version": "green"});
        let few = green([true, false, false]);
        says(&to, few.as_ref(), &[], Level::Warning, "service/web: 3 ready pods behind it now, 1 of 3 after");
        let all = green([true; 3]);
        says(&to, all.as_ref(), &[], Level::Fact, "service/web: 3 ready pods behind it now, 3 of 3 after");
        let none = green([false; 3]);
        let said = "service/web: 3 ready pods behind it now, 0 of 3 after: nothing answers then";
        says(&to, none.as_ref(), &[], Level::Problem, said);
        let said = "service/web: 3 ready pods behind it now, none after: nothing answers then";
        says(&json!({"version": "gren"}), all.as_ref(), &[], Level::Problem, said);
        // What the same plan makes is not there to be counted.
        let made = (builtin("deployment").object("t", "green"), to.clone());
        let said = "service/web: 3 ready pods behind it now, none after, besides those of deployment/green";
        says(&to, pods(&blue).as_ref(), &[made], Level::Warning, said);
    }

    #[test]
    fn what_is_not_seen_is_said_and_what_does_not_change_is_not() {
        let to = json!({"app": "web"});
        let refused = Some(Err(crate::ToolError::Forbidden { message: "no".into() }));
        let line = lines(&switch(&to), refused.as_ref(), &[]).unwrap();
        assert_eq!(line.level, Level::Unknown);
        assert!(lines(&switch(&json!({"app": "web", "version": "blue"})), None, &[]).is_none());
        assert_eq!(lines(&switch(&json!({})), None, &[]).unwrap().level, Level::Warning);
    }

    #[test]
    fn a_selector_is_applied_as_a_whole() {
        let mut change = switch(&json!({"app": "web", "version": "blue"}));
        let manifest = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
        change.does = Does::Apply { manifest, take: crate::plan::Take::All };
        assert!(may_switch(&change), "the label that is left out goes, whatever a merge would make of it");
    }
}
