//! Objects as rows of cells: from the tables that the API server prints, or from chosen fields (pure).

use serde_json::Value;

use crate::object::{items, text};
use crate::redact;
use crate::report::age;
use crate::sanitize;

/// One object as a row; cells are cleaned and redacted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub namespace: String,
    pub name: String,
    pub cells: Vec<String>,
}

fn clean(cell: &str) -> String {
    sanitize::line(&redact::text(cell))
}

/// The columns that people look at, and the rows, of a server-side table; of a plain list, names and ages.
pub(super) fn rows_of(answer: &Value, now: jiff::Timestamp) -> (Vec<String>, Vec<Row>) {
    let row = |object: &Value, cells: Vec<String>| Row {
        namespace: clean(text(object, "/metadata/namespace")),
        name: clean(text(object, "/metadata/name")),
        cells,
    };
    if text(answer, "/kind") != "Table" {
        let rows = items(answer, "/items").iter().map(|item| {
            let born = age(text(item, "/metadata/creationTimestamp"), now);
            row(item, vec![clean(text(item, "/metadata/name")), born])
        });
        return (vec!["NAME".into(), "AGE".into()], rows.collect());
    }
    let shown: Vec<(usize, String)> = items(answer, "/columnDefinitions")
        .iter()
        .enumerate()
        .filter(|(_, c)| c.get("priority").and_then(Value::as_i64).unwrap_or(0) == 0)
        .map(|(i, c)| (i, clean(&text(c, "/name").to_uppercase())))
        .collect();
    let rows = items(answer, "/rows").iter().map(|r| {
        let cells = items(r, "/cells");
        let cells = shown.iter().map(|(i, _)| clean(&cell(cells.get(*i)))).collect();
        row(r.get("object").unwrap_or(&Value::Null), cells)
    });
    let rows = rows.collect();
    (shown.into_iter().map(|(_, name)| name).collect(), rows)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

/// The name of an object and what stands at the dotted paths.
pub(super) fn projected_row(item: &Value, fields: &[String]) -> Row {
    let name = clean(text(item, "/metadata/name"));
    let mut cells = vec![name.clone()];
    for field in fields {
        let path: Vec<&str> = field.trim_start_matches('.').split('.').collect();
        let mut values = Vec::new();
        project(item, &path, &mut values);
        cells.push(if values.is_empty() { "-".into() } else { clean(&values.join(",")) });
    }
    Row { namespace: clean(text(item, "/metadata/namespace")), name, cells }
}

/// Collects what stands at a dotted path. Lists are walked through (`spec.containers.image`, `[*]` or not), and keys
/// may themselves have dots (`metadata.labels.app.kubernetes.io/name`).
fn project(value: &Value, path: &[&str], out: &mut Vec<String>) {
    match (value, path) {
        (Value::Array(list), _) => {
            let index = path.first().and_then(|p| p.parse::<usize>().ok());
            match index {
                Some(i) => list.get(i).into_iter().for_each(|v| project(v, &path[1..], out)),
                None => list.iter().for_each(|v| project(v, path, out)),
            }
        }
        (Value::Null, _) => {}
        (_, []) => out.push(cell(Some(value))),
        (Value::Object(map), _) => {
            for taken in 1..=path.len() {
                let key = path[..taken].join(".");
                let key = key.strip_suffix("[*]").or(key.strip_suffix("[]")).unwrap_or(&key);
                if let Some(inner) = map.get(key) {
                    return project(inner, &path[taken..], out);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> jiff::Timestamp {
        "2026-11-21T04:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_server_table_keeps_what_people_look_at() {
        let answer = json!({"kind": "Table",
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Restarts"}, {"name": "IP", "priority": 1}, {"name": "Age", "priority": 0}],
            "rows": [{"cells": ["web-1\u{1b}[2J", 3, "10.0.0.1", "5d"], "object": {"metadata": {"name": "web-1", "namespace": "todo"}}}]});
        let (columns, rows) = rows_of(&answer, now());
        assert_eq!(columns, ["NAME", "RESTARTS", "AGE"]);
        assert_eq!(rows[0].cells, ["web-1\\u{1b}[2J", "3", "5d"]);
        assert_eq!((rows[0].namespace.as_str(), rows[0].name.as_str()), ("todo", "web-1"));
    }

    #[test]
    fn a_server_that_does_not_print_still_gives_names_and_ages() {
        let list = json!({"kind": "FooList", "items": [{"metadata": {"name": "a", "creationTimestamp": "2026-11-19T04:00:00Z"}}]});
        let (columns, rows) = rows_of(&list, now());
        assert_eq!(columns, ["NAME", "AGE"]);
        assert_eq!(rows[0].cells, ["a", "2d"]);
    }

    #[test]
    fn dotted_paths() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app.kubernetes.io/name": "web"}}, "spec": {"nodeName": "n1",
            "containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}, "status": {"ready": true}});
        let at = |path: &str| projected_row(&pod, &[path.to_string()]).cells[1].clone();
        assert_eq!(at("spec.nodeName"), "n1");
        assert_eq!(at(".spec.containers[*].image"), "x:1,y:2");
        assert_eq!(at("spec.containers.1.image"), "y:2");
        assert_eq!(at("metadata.labels.app.kubernetes.io/name"), "web");
        assert_eq!(at("status.ready"), "true");
        assert_eq!(at("status.nothing.here"), "-");
    }

    #[test]
    fn fields_of_a_secret_have_no_values() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "Y2FuYXJ5"}});
        let row = projected_row(&redact::object(&secret), &["data".into(), "data.p".into()]);
        assert!(!row.cells.concat().contains("Y2FuYXJ5"), "{row:?}");
        assert_eq!(row.cells[2], "[6 bytes, not shown]");
    }
}
