//! What a change means for those who use the workload: disruption budgets, restarts, Services left without pods (pure).

use serde_json::Value;

use super::{Level, Line};
use crate::object::{is_paused, number, selects, text};
use crate::plan::{Change, Does};

/// Statements on availability, worst last.
pub(super) fn lines(change: &Change, budgets: &[Value], services: &[Value]) -> Vec<Line> {
    let mut lines = Vec::new();
    let labels = change.after.pointer("/spec/template/metadata/labels");
    let replicas_after = match change.does {
        Does::Scale { to, .. } => to,
        _ => number(&change.after, "/spec/replicas").unwrap_or(1),
    };
    if change.replaces_pods() {
        lines.push(replacement(change, replicas_after));
    }
    let shrinks = change.added_pods() < 0;
    if shrinks || change.replaces_pods() {
        for budget in budgets.iter().filter(|b| selects(b.pointer("/spec/selector"), labels)) {
            lines.push(disruption(budget, replicas_after, shrinks));
        }
    }
    if replicas_after == 0 && change.added_pods() < 0 {
        for service in services.iter().filter(|s| is_selected(s, labels)) {
            lines.push(Line::new(
                Level::Warning,
                "service",
                format!("service/{} may be left without pods to answer", text(service, "/metadata/name")),
            ));
        }
    }
    let paused = is_paused(&change.live);
    let stays = change.after.pointer("/spec/paused").and_then(Value::as_bool) != Some(false);
    let other = change.live.pointer("/spec/template") != change.after.pointer("/spec/template");
    if paused && matches!(change.does, Does::Scale { .. } | Does::Restart) {
        lines.push(Line::new(
            Level::Warning,
            "rollout",
            "is paused: replicas change, the pods' template does not roll out",
        ));
    } else if paused && stays && other && !change.after.is_null() {
        lines.push(Line::new(
            Level::Warning,
            "rollout",
            "is paused: no pod has any of this until the rollout is resumed",
        ));
    }
    lines
}

fn is_selected(service: &Value, labels: Option<&Value>) -> bool {
    service.pointer("/spec/selector").and_then(Value::as_object).is_some_and(|want| {
        !want.is_empty() && want.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
    })
}

fn replacement(change: &Change, replicas: i64) -> Line {
    let strategy = text(&change.after, "/spec/strategy/type");
    let unavailable = change.after.pointer("/spec/strategy/rollingUpdate/maxUnavailable");
    let shown =
        unavailable.map_or("25%".to_string(), |v| v.as_str().map_or_else(|| v.to_string(), str::to_string));
    let (level, how) = match (change.kind.kind.as_str(), strategy) {
        (_, "Recreate") => {
            (Level::Warning, "all are stopped before new ones start: it is down in between".to_string())
        }
        ("StatefulSet", _) => (Level::Fact, "one after the other, from the last to the first".to_string()),
        ("Deployment", _) if replicas == 1 => {
            (Level::Fact, "the new one starts before the old one stops".to_string())
        }
        _ => (Level::Fact, format!("step by step, at most {shown} unavailable")),
    };
    let pods =
        if change.kind.kind == "DaemonSet" { "on every node".to_string() } else { replicas.to_string() };
    Line::new(level, "pods", format!("{pods} replaced by new ones, {how}"))
}

fn disruption(budget: &Value, replicas: i64, shrinks: bool) -> Line {
    let name = text(budget, "/metadata/name");
    let spec = |field: &str| budget.pointer(&format!("/spec/{field}"));
    let minimum = match spec("minAvailable") {
        Some(Value::Number(n)) => n.as_i64(),
        Some(Value::String(percent)) => {
            percent.trim_end_matches('%').parse::<i64>().ok().map(|p| (replicas * p + 99) / 100)
        }
        _ => None,
    };
    match minimum {
        Some(min) if shrinks && replicas <= min => Line::new(
            Level::Warning,
            "pdb",
            format!(
                "pdb/{name} wants {min} available: with {replicas} no pod can be evicted, and node drains will wait (scaling itself is not held back by it)"
            ),
        ),
        _ => Line::new(
            Level::Fact,
            "pdb",
            format!("pdb/{name} covers these pods; it holds back evictions, not this change"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::builtin;
    use crate::plan::UndoBy;

    fn scale(from: i64, to: i64) -> Change {
        let kind = builtin("deployment");
        let live = json!({"spec": {"replicas": from, "template": {"metadata": {"labels": {"app": "b"}}}}});
        Change {
            object: kind.object("t", "b"),
            kind,
            does: Does::Scale { from, to },
            after: live.clone(),
            live,
            undo: UndoBy::Fields,
            tier: 0,
            needs: Vec::new(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn budgets_and_services() {
        let pdb = json!({"metadata": {"name": "p"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "b"}}}});
        let service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "b"}}});
        let down = lines(&scale(3, 2), std::slice::from_ref(&pdb), std::slice::from_ref(&service));
        assert!(
            down.len() == 1
                && down[0].level == Level::Warning
                && down[0].text.contains("no pod can be evicted")
        );
        assert!(lines(&scale(3, 5), &[pdb], std::slice::from_ref(&service)).is_empty());
        assert_eq!(lines(&scale(3, 0), &[], &[service])[0].label, "service");
    }

    #[test]
    fn a_restart_says_how() {
        let mut change = scale(3, 3);
        change.does = Does::Restart;
        change.after["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b"});
        assert!(lines(&change, &[], &[])[0].text.contains("at most 25% unavailable"));
        change.after["spec"]["strategy"] = json!({"type": "Recreate"});
        assert_eq!(lines(&change, &[], &[])[0].level, Level::Warning);
    }
}
