//! How far an object is that has no rollout: gone, complete, established (pure).

use serde_json::Value;

use super::State;
use crate::object::{items, text};
use crate::sanitize;

/// Whether the object of that uid is gone, and what holds it when it is not.
pub(crate) fn gone(uid: &str, live: &Value) -> State {
    if live.is_null() || text(live, "/metadata/uid") != uid {
        return State::Ready;
    }
    let finalizers: Vec<&str> = items(live, "/metadata/finalizers")
        .iter()
        .chain(items(live, "/spec/finalizers"))
        .filter_map(Value::as_str)
        .collect();
    let stuck = items(live, "/status/conditions")
        .iter()
        .filter(|c| text(c, "/status") == "True" && text(c, "/type").contains("Remaining"))
        .map(|c| text(c, "/message"))
        .next_back();
    let waiting_for = match (stuck, finalizers.as_slice()) {
        (Some(said), _) => sanitize::line(said),
        (None, []) => "its end".into(),
        (None, held) => sanitize::line(&format!("its finalizers {}", held.join(", "))),
    };
    State::Coming { waiting_for }
}

/// How far an object is by its own conditions.
pub(super) fn condition(kind: &str, live: &Value) -> State {
    let is = |name: &str, status: &str| {
        items(live, "/status/conditions")
            .iter()
            .find(|c| text(c, "/type") == name && text(c, "/status") == status)
    };
    let stuck = |condition: &Value| State::Stuck {
        cause: sanitize::line(&format!("{}: {}", text(condition, "/reason"), text(condition, "/message"))),
        evidence: Vec::new(),
        crashed: None,
    };
    let coming = |waiting_for: &str| State::Coming { waiting_for: waiting_for.into() };
    if live.is_null() {
        return coming("it to appear");
    }
    match kind {
        "CustomResourceDefinition" => match (is("Established", "True"), is("NamesAccepted", "False")) {
            (_, Some(refused)) => stuck(refused),
            (Some(_), _) => State::Ready,
            _ => coming("it to be served"),
        },
        _ => match text(live, "/status/phase") {
            "Succeeded" => State::Ready,
            "Failed" => State::Stuck {
                cause: "it failed".into(),
                evidence: Vec::new(),
                crashed: Some(text(live, "/metadata/name").into()),
            },
            _ if is("Ready", "True").is_some() => State::Ready,
            _ => coming("it to be ready"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gone_means_that_very_object() {
        let live = json!({"metadata": {"uid": "1", "finalizers": ["x/protect"]}});
        assert!(
            matches!(gone("1", &live), State::Coming { waiting_for } if waiting_for.contains("x/protect"))
        );
        assert!(matches!(gone("0", &live), State::Ready), "another object of that name");
        assert!(matches!(gone("1", &Value::Null), State::Ready));
    }

    #[test]
    fn definitions_are_established_or_refused() {
        let definition =
            |name: &str, status: &str| json!({"status": {"conditions": [{"type": name, "status": status}]}});
        let state = |live: &Value| condition("CustomResourceDefinition", live);
        assert!(matches!(state(&definition("Established", "True")), State::Ready));
        assert!(matches!(state(&definition("NamesAccepted", "False")), State::Stuck { .. }));
        assert!(matches!(state(&json!({})), State::Coming { .. }));
    }
}
