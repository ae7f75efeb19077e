//! Helm's three-way merge (pure): what the revision before made and the new one no longer says goes from an object. A
//! server-side apply takes away only what the same applier set, so what helm set would stay for ever.

use serde_json::Value;

use crate::diff;
use crate::object::{items, text};

/// The object as it should be, when an apply alone would leave something of the revision before on it.
pub fn three_way(old: &Value, new: &Value, live: &Value) -> Option<Value> {
    if !others_set(live) {
        return None;
    }
    let mut left = live.clone();
    let mut differs = false;
    for piece in diff::pieces(old, new) {
        // The API server keeps what is written as text with the rest.
        let path = match piece.path.strip_prefix("/stringData") {
            Some(rest) if text(live, "/kind") == "Secret" => format!("/data{rest}"),
            _ => piece.path.clone(),
        };
        match (&piece.before, &piece.after) {
            (Some(_), None) if diff::at(new, &path).is_none() && diff::at(live, &path).is_some() => {
                diff::set(&mut left, &path, None);
                differs = true;
            }
            // Items that have no names are laid over the live ones as a whole.
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                differs |= before.iter().any(|item| !after.contains(item));
            }
            _ => {}
        }
    }
    differs.then(|| diff::overlay(&left, new))
}

/// Whether fields were set otherwise than by kai's own apply: by helm, or by one of kai's other writes.
fn others_set(live: &Value) -> bool {
    items(live, "/metadata/managedFields").iter().any(|entry| {
        let (manager, operation) = (text(entry, "/manager"), text(entry, "/operation"));
        manager == "helm" || (manager == "kai" && operation != "Apply")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(spec: &Value) -> Value {
        json!({"kind": "Deployment", "metadata": {"managedFields": [{"manager": "helm", "operation": "Update"}]}, "spec": spec})
    }

    #[test]
    fn what_is_no_more_said_goes_and_what_others_set_stays() {
        let old = json!({"spec": {"a": 1, "pick": {"x": "y"}, "cs": [{"name": "app", "env": [{"name": "OLD", "value": "1"}, {"name": "KEPT", "value": "2"}]}, {"name": "side"}]}});
        let new = json!({"spec": {"a": 2, "cs": [{"name": "app", "env": [{"name": "KEPT", "value": "3"}]}]}});
        let mut now = old["spec"].clone();
        now["theirs"] = json!(true);
        now["cs"][0]["pull"] = json!("Always");
        assert_eq!(
            three_way(&old, &new, &live(&now)).unwrap()["spec"],
            json!({"a": 2, "theirs": true, "cs": [{"name": "app", "pull": "Always", "env": [{"name": "KEPT", "value": "3"}]}]})
        );
    }

    #[test]
    fn items_without_names_go_too() {
        let of = |ports: Value| json!({"spec": {"ports": ports}});
        let (old, new) = (of(json!([{"port": 80}, {"port": 81}])), of(json!([{"port": 80}])));
        let now = live(&json!({"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}));
        assert_eq!(three_way(&old, &new, &now).unwrap()["spec"], json!({"ports": [{"port": 80}]}));
    }

    #[test]
    fn an_apply_is_enough_when_nothing_goes_or_kai_alone_applied() {
        let (old, new) = (json!({"spec": {"a": 1, "b": 1}}), json!({"spec": {"a": 1}}));
        assert!(three_way(&new, &old, &live(&json!({"a": 1}))).is_none(), "nothing goes");
        assert!(three_way(&old, &new, &live(&json!({"a": 1}))).is_none(), "it is gone already");
        let mut own = live(&json!({"a": 1, "b": 1}));
        own["metadata"]["managedFields"] = json!([{"manager": "kai", "operation": "Apply"}]);
        assert!(three_way(&old, &new, &own).is_none());
    }

    #[test]
    fn a_key_of_a_secret_goes_however_it_was_written() {
        let old = json!({"stringData": {"a": "1", "b": "2"}});
        let mut now = live(&json!({}));
        now["kind"] = json!("Secret");
        now["data"] = json!({"a": "MQ==", "b": "Mg=="});
        let after = three_way(&old, &json!({"stringData": {"a": "1"}}), &now).unwrap();
        assert_eq!(after["data"], json!({"a": "MQ=="}));
    }
}
