//! Before and after of an object, field by field, without what the API server itself moves (pure).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::redact;

/// One field that changes. Paths are JSON pointers; list items that have a `name` are addressed by it
/// (`/spec/template/spec/containers/[name=app]/image`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: String,
    /// `None`: the field is not there before.
    pub before: Option<Value>,
    /// `None`: the field is not there after.
    pub after: Option<Value>,
}

impl FieldChange {
    /// The same change as people and models may see it: without the values of secrets.
    pub fn masked(self) -> Self {
        // What only names a Secret, or a key of one, is no secret.
        let refers =
            ["/valueFrom/", "/envFrom", "/secretName", "/secretRef", "/imagePullSecrets", "/serviceAccount"];
        let secret = self.path.split(['/', '=', ']']).any(redact::is_secret_name)
            && !refers.iter().any(|r| self.path.contains(r));
        let mask = |value: Option<Value>| {
            value
                .map(|v| if secret && !v.is_boolean() { redact::MASK.into() } else { redact::object(&v) })
                .map(|v| match v {
                    Value::String(s) => Value::String(redact::text(&s)),
                    other => other,
                })
        };
        Self { before: mask(self.before), after: mask(self.after), path: self.path }
    }
}

/// Fields that change with every write, or that only the cluster writes: no part of a change that a person asked for.
fn is_noise(path: &str) -> bool {
    const NOISE: [&str; 8] = [
        "/metadata/managedFields",
        "/metadata/resourceVersion",
        "/metadata/generation",
        "/metadata/uid",
        "/metadata/creationTimestamp",
        "/metadata/selfLink",
        "/status",
        "/metadata/annotations/deployment.kubernetes.io~1revision",
    ];
    NOISE.iter().any(|n| path == *n || path.strip_prefix(n).is_some_and(|rest| rest.starts_with('/')))
}

/// The fields in which two states of an object differ, in document order: what appears or goes is told leaf by leaf.
pub fn fields(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut out = Vec::new();
    walk("", Some(before), Some(after), true, &mut out);
    out
}

/// The same in the pieces in which a change is taken back: what appears or goes as a whole is one piece.
pub fn pieces(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut out = Vec::new();
    walk("", Some(before), Some(after), false, &mut out);
    out
}

/// Maps whose entries belong to different people, so that each is a piece of its own.
const SHARED_MAPS: [&str; 3] = ["/annotations", "/labels", "/data"];

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, leaves: bool, out: &mut Vec<FieldChange>) {
    if before == after || is_noise(path) {
        return;
    }
    let splits = leaves || SHARED_MAPS.iter().any(|m| path.ends_with(m));
    let empty = Map::new();
    let named = |list: &[Value]| leaves && is_named(list);
    match (before, after) {
        (Some(Value::Object(b)), Some(Value::Object(a))) => walk_maps(path, b, a, leaves, out),
        (Some(Value::Array(b)), Some(Value::Array(a))) if is_named(b) && is_named(a) => {
            walk_lists(path, b, a, leaves, out);
        }
        (None, Some(Value::Object(a))) if splits && !a.is_empty() => walk_maps(path, &empty, a, leaves, out),
        (Some(Value::Object(b)), None) if splits && !b.is_empty() => walk_maps(path, b, &empty, leaves, out),
        (None, Some(Value::Array(a))) if named(a) => walk_lists(path, &[], a, leaves, out),
        (Some(Value::Array(b)), None) if named(b) => walk_lists(path, b, &[], leaves, out),
        _ => out.push(FieldChange { path: path.to_string(), before: before.cloned(), after: after.cloned() }),
    }
}

fn walk_maps(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    leaves: bool,
    out: &mut Vec<FieldChange>,
) {
    for (key, value) in before {
        walk(&format!("{path}/{}", escape(key)), Some(value), after.get(key), leaves, out);
    }
    for (key, value) in after.iter().filter(|(k, _)| !before.contains_key(*k)) {
        walk(&format!("{path}/{}", escape(key)), None, Some(value), leaves, out);
    }
}

fn walk_lists(path: &str, before: &[Value], after: &[Value], leaves: bool, out: &mut Vec<FieldChange>) {
    let find = |list: &'_ [Value], name: &Value| list.iter().position(|i| &i["name"] == name);
    let at = |item: &Value| format!("{path}/[name={}]", item["name"].as_str().unwrap_or(""));
    for item in before {
        let other = find(after, &item["name"]).map(|i| &after[i]);
        walk(&at(item), Some(item), other, leaves, out);
    }
    for item in after.iter().filter(|i| find(before, &i["name"]).is_none()) {
        walk(&at(item), None, Some(item), leaves, out);
    }
}

/// What is left of an object after a manifest was laid over it: maps are merged, lists whose items have names item by
/// item, all else is replaced. Close to what a server-side apply does, for where the API server cannot be asked.
pub fn overlay(live: &Value, manifest: &Value) -> Value {
    match (live, manifest) {
        (Value::Object(l), Value::Object(m)) => {
            let mut out = l.clone();
            for (key, value) in m {
                let merged = l.get(key).map_or_else(|| value.clone(), |old| overlay(old, value));
                out.insert(key.clone(), merged);
            }
            Value::Object(out)
        }
        (Value::Array(l), Value::Array(m)) if is_named(l) && is_named(m) => {
            let mut out = l.clone();
            for item in m {
                match out.iter_mut().find(|i| i["name"] == item["name"]) {
                    Some(old) => *old = overlay(old, item),
                    None => out.push(item.clone()),
                }
            }
            Value::Array(out)
        }
        _ => manifest.clone(),
    }
}

fn is_named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|i| i.get("name").is_some_and(Value::is_string))
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

/// The path as people write it: `spec.template.spec.containers[app].image`.
pub fn human_path(path: &str) -> String {
    let mut out = String::new();
    for part in path.split('/').skip(1).map(unescape) {
        if let Some(name) = part.strip_prefix("[name=").and_then(|p| p.strip_suffix(']')) {
            out.push_str(&format!("[{name}]"));
        } else if part.contains(['.', '/']) {
            out.push_str(&format!("[\"{part}\"]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part);
        }
    }
    out
}

/// The value at a path as written by [`fields`].
pub fn at<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).map(unescape).try_fold(root, |value, part| {
        if let Some(name) = part.strip_prefix("[name=").and_then(|p| p.strip_suffix(']')) {
            value.as_array()?.iter().find(|i| i["name"].as_str() == Some(name))
        } else {
            value.get(&part)
        }
    })
}

/// The object with the value at `path` set, or removed when `None`. Missing maps on the way are made; a map left empty
/// by a removal goes too when it was not there before kai's change (annotations).
pub fn set(root: &mut Value, path: &str, value: Option<Value>) {
    let parts: Vec<String> = path.split('/').skip(1).map(unescape).collect();
    set_parts(root, &parts, value);
}

fn set_parts(root: &mut Value, parts: &[String], value: Option<Value>) {
    let Some((first, rest)) = parts.split_first() else { return };
    if let Some(name) = first.strip_prefix("[name=").and_then(|p| p.strip_suffix(']')) {
        let Some(list) = root.as_array_mut() else { return };
        let at = list.iter().position(|i| i["name"].as_str() == Some(name));
        match (at, rest.is_empty(), value) {
            (Some(at), true, Some(value)) => list[at] = value,
            (Some(at), true, None) => {
                list.remove(at);
            }
            (None, true, Some(value)) => list.push(value),
            (Some(at), false, value) => set_parts(&mut list[at], rest, value),
            _ => {}
        }
        return;
    }
    if root.is_null() {
        *root = Value::Object(Map::new());
    }
    let Some(map) = root.as_object_mut() else { return };
    if rest.is_empty() {
        match value {
            Some(value) => {
                map.insert(first.clone(), value);
            }
            None => {
                map.shift_remove(first);
            }
        }
        return;
    }
    if value.is_none() && !map.contains_key(first) {
        return;
    }
    let removes = value.is_none();
    let child = map.entry(first.clone()).or_insert(Value::Null);
    set_parts(child, rest, value);
    if removes && first == "annotations" && child.as_object().is_some_and(Map::is_empty) {
        map.shift_remove(first);
    }
}

/// The JSON merge patch (RFC 7386) that turns `before` into `after`. Lists are replaced whole.
pub fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(b), Value::Object(a)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (key, value) in a {
        match b.get(key) {
            Some(old) if old == value => {}
            Some(old @ Value::Object(_)) if value.is_object() => {
                patch.insert(key.clone(), merge_patch(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in b.keys().filter(|k| !a.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_of_image_is_one_field() {
        let before = json!({"metadata": {"resourceVersion": "1", "generation": 1}, "spec": {"containers": [{"name": "app", "image": "a:1"}, {"name": "side", "image": "s:1"}]}, "status": {"x": 1}});
        let after = json!({"metadata": {"resourceVersion": "2", "generation": 2}, "spec": {"containers": [{"name": "app", "image": "a:2"}, {"name": "side", "image": "s:1"}]}, "status": {"x": 2}});
        let changes = fields(&before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(human_path(&changes[0].path), "spec.containers[app].image");
        assert_eq!(at(&after, &changes[0].path), Some(&json!("a:2")));
        let mut back = after.clone();
        set(&mut back, &changes[0].path, changes[0].before.clone());
        assert_eq!(back["spec"], before["spec"]);
    }

    #[test]
    fn an_annotation_that_appears_can_be_taken_away_again() {
        let before = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
        let after = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
        let changes = fields(&before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(
            human_path(&changes[0].path),
            "spec.template.metadata.annotations[\"kubectl.kubernetes.io/restartedAt\"]"
        );
        let mut back = after.clone();
        set(&mut back, &changes[0].path, None);
        assert_eq!(back, before);
    }

    #[test]
    fn what_appears_is_one_piece_and_goes_as_one() {
        let container = |env: Value| json!({"spec": {"containers": [{"name": "app", "env": env}]}});
        let before = container(json!([{"name": "A", "value": "1"}]));
        let after = container(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
        let pieces = pieces(&before, &after);
        assert_eq!(pieces.len(), 1, "{pieces:?}");
        let mut back = after.clone();
        set(&mut back, &pieces[0].path, None);
        assert_eq!(back, before);
        let shown: Vec<String> = fields(&before, &after).iter().map(|f| human_path(&f.path)).collect();
        assert_eq!(shown, ["spec.containers[app].env[B].name", "spec.containers[app].env[B].value"]);
    }

    #[test]
    fn a_manifest_laid_over_an_object_keeps_what_it_does_not_say() {
        let live = json!({"spec": {"replicas": 2, "c": [{"name": "a", "image": "x", "port": 1}]}});
        let over = overlay(&live, &json!({"spec": {"c": [{"name": "a", "image": "y"}, {"name": "b"}]}}));
        assert_eq!(
            over,
            json!({"spec": {"replicas": 2, "c": [{"name": "a", "image": "y", "port": 1}, {"name": "b"}]}})
        );
    }

    #[test]
    fn a_merge_patch_says_only_what_changes() {
        let before = json!({"a": {"b": 1, "c": 2}, "l": [1], "gone": 1});
        let after = json!({"a": {"b": 1, "c": 3}, "l": [1, 2]});
        assert_eq!(merge_patch(&before, &after), json!({"a": {"c": 3}, "l": [1, 2], "gone": null}));
        assert_eq!(merge_patch(&before, &before), json!({}));
    }
}
