//! What was found as a report: the sentence, the tables, the data (pure).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fetch::{Found, What};
use super::images::Images;
use super::rows::Row;
use super::{Get, Only, state};
use crate::object::{ApiKind, ObjectRef, text};
use crate::redact;
use crate::report::{Block, Report, Table, yaml};
use crate::sanitize;

/// Names that a sentence gives of a group before it only counts.
const NAMED: usize = 3;
/// Users of an image that are named.
const USERS: usize = 5;

/// The report of a call: `namespace` is `None` when all were looked at.
pub(super) fn report(query: &Get, found: &[Found], namespace: Option<&str>) -> Report {
    let mut report = Report::default();
    let mut data = Vec::new();
    let several = found.len() > 1;
    let mut nothing = Vec::new();
    for one in found {
        if one.is_empty() && several {
            nothing.push(one.kind.plural.clone());
            data.push(json!({"kind": one.kind.plural, "items": []}));
            continue;
        }
        let place = place(&one.kind, namespace);
        let title = if several { one.kind.plural.clone() } else { String::new() };
        match &one.what {
            What::Rows { columns, rows } => {
                report.say.push(sentence(query, one, columns, rows, &place));
                let wide = namespace.is_none() && one.kind.namespaced;
                let items: Vec<Value> = rows.iter().map(|row| as_data(columns, row)).collect();
                data.push(
                    json!({"kind": one.kind.plural, "items": items, "total": one.total, "page": one.next}),
                );
                report.about.extend(rows.iter().map(|r| one.kind.object(&r.namespace, &r.name)));
                if !rows.is_empty() {
                    report.blocks.push(Block::Table(table(
                        title,
                        columns,
                        rows,
                        wide,
                        more(one, rows.len()),
                    )));
                }
            }
            What::Objects(objects) => {
                let more = more(one, objects.len());
                let tail = if more.is_empty() { String::new() } else { format!(" ({more})") };
                report.say.push(format!("{}{place}{tail}.", count(&one.kind, objects.len())));
                for object in objects {
                    let about = about(&one.kind, object);
                    let lines = yaml(object).lines().map(sanitize::line).collect();
                    report.blocks.push(Block::Text { title: about.to_string(), lines });
                    report.about.push(about);
                }
                data.push(
                    json!({"kind": one.kind.plural, "items": objects, "total": one.total, "page": one.next}),
                );
            }
            What::Images(images) => {
                let at_least = if one.complete { "" } else { "at least " };
                report.say.push(format!(
                    "{at_least}{} in {}{place}.",
                    counted(images.len(), "image", "images"),
                    one.kind.plural
                ));
                let items = images.iter().map(
                    |(image, used)| json!({"image": redact::text(image), "pods": used.pods, "by": used.by}),
                );
                data.push(json!({"kind": one.kind.plural, "items": items.collect::<Vec<_>>()}));
                if !images.is_empty() {
                    report.blocks.push(Block::Table(images_table(title, images)));
                }
            }
        }
    }
    if !nothing.is_empty() {
        let place = namespace.map_or(" in any namespace".into(), |n| format!(" in {n}"));
        let nothing = nothing.join(", ");
        report.say.push(match query.only {
            Some(Only::NotReady) => format!("Nothing known to be not ready{place} among {nothing}."),
            None => format!("No {nothing}{place}."),
        });
    }
    report.data = json!({"lists": data});
    report
}

fn about(kind: &ApiKind, object: &Value) -> ObjectRef {
    kind.object(text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn place(kind: &ApiKind, namespace: Option<&str>) -> String {
    match namespace {
        _ if !kind.namespaced => String::new(),
        Some(namespace) => format!(" in {namespace}"),
        None => " in all namespaces".into(),
    }
}

fn counted(n: usize, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

fn count(kind: &ApiKind, n: usize) -> String {
    counted(n, &kind.singular, &kind.plural)
}

/// How many were left out, and how to see them.
fn more(found: &Found, shown: usize) -> String {
    let left = found.total.map(|t| t.saturating_sub(shown));
    let how = match &found.next {
        Some(page) => format!("narrow with name, selector or only; next page: {}", sanitize::line(page)),
        None => "narrow with name, selector or namespace".into(),
    };
    match left {
        Some(0) if found.complete => String::new(),
        Some(n) => format!("{n} more; {how}"),
        None if found.complete => String::new(),
        None => format!("there are more; {how}"),
    }
}

/// `12 pods in todo: 11 Running and ready, 1 CrashLoopBackOff (backend-x)`.
fn sentence(query: &Get, found: &Found, columns: &[String], rows: &[Row], place: &str) -> String {
    let kind = &found.kind;
    let only = query.only == Some(Only::NotReady);
    let matching =
        query.selector.as_ref().map(|s| format!(" with {}", sanitize::line(s))).unwrap_or_default();
    let place = format!("{matching}{place}");
    if rows.is_empty() {
        return match only {
            true if found.complete => format!("None of the {}{place} is known to be not ready.", kind.plural),
            true => format!("None of the {} that were looked at{place} is not ready.", kind.plural),
            false => format!("No {}{place}.", kind.plural),
        };
    }
    let total = match (found.total, only) {
        _ if query.page.is_some() => format!("{} more {}", rows.len(), kind.plural),
        (Some(total), true) => format!("{} not ready", count(kind, total)),
        (Some(total), false) => count(kind, total),
        (None, _) if found.complete => count(kind, rows.len()),
        (None, _) => format!("at least {}", count(kind, rows.len())),
    };
    let all_shown = found.complete && found.total.is_none_or(|t| t == rows.len());
    let mut groups: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for row in rows {
        if let Some(state) = state::of(&kind.singular, columns, row) {
            let name = if state.detail.is_empty() {
                row.name.clone()
            } else {
                format!("{} {}", row.name, state.detail)
            };
            groups.entry((state.good, state.label)).or_default().push(name);
        }
    }
    if groups.is_empty() {
        return format!("{total}{place}.");
    }
    if only
        && groups.len() == 1
        && let Some(names) = groups.get(&(false, "not ready".to_string())).filter(|n| n.len() <= 2 * NAMED)
    {
        return format!("{total}{place}: {}.", names.join(", "));
    }
    // What is well first, then what is not, with names.
    let parts: Vec<String> = groups
        .iter()
        .rev()
        .map(|((good, label), names)| match (good, names.len()) {
            (true, n) => format!("{n} {label}"),
            (false, n) if n <= NAMED => format!("{n} {label} ({})", names.join(", ")),
            (false, n) => format!("{n} {label} ({}, ...)", names[..NAMED].join(", ")),
        })
        .collect();
    let of = if all_shown { String::new() } else { format!("of the {} listed, ", rows.len()) };
    format!("{total}{place}: {of}{}.", parts.join(", "))
}

fn table(title: String, columns: &[String], rows: &[Row], wide: bool, more: String) -> Table {
    let mut names: Vec<&str> = columns.iter().map(String::as_str).collect();
    if wide {
        names.insert(usize::from(!names.is_empty()), "NAMESPACE");
    }
    let mut table = Table::new(title, &names);
    for column in &mut table.columns {
        // Ages stay when a terminal is narrow: "since when" is half of most questions.
        if column.name == "AGE" {
            column.importance = column.importance.min(3);
        }
    }
    for row in rows {
        let mut cells = row.cells.clone();
        if wide {
            cells.insert(usize::from(!cells.is_empty()), row.namespace.clone());
        }
        table.push(cells);
    }
    table.more = more;
    table
}

fn as_data(columns: &[String], row: &Row) -> Value {
    let mut map = Map::new();
    if !row.namespace.is_empty() {
        map.insert("namespace".into(), row.namespace.clone().into());
    }
    for (column, cell) in columns.iter().zip(&row.cells) {
        let key = if column.bytes().any(|b| b.is_ascii_lowercase()) {
            column.clone()
        } else {
            column.to_lowercase()
        };
        map.insert(key, cell.clone().into());
    }
    Value::Object(map)
}

fn images_table(title: String, images: &Images) -> Table {
    let mut table = Table::new(title, &["IMAGE", "PODS", "USED BY"]);
    for (image, used) in images {
        let mut by: Vec<String> = used.by.iter().take(USERS).cloned().collect();
        if used.by.len() > USERS {
            by.push(format!("{} more", used.by.len() - USERS));
        }
        table.push([image.clone(), used.pods.to_string(), by.join(", ")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::builtin;

    fn pods(rows: &[(&str, &str, &str)], total: Option<usize>, next: Option<&str>) -> Found {
        let rows = rows
            .iter()
            .map(|(name, ready, status)| Row {
                namespace: "todo".into(),
                name: (*name).into(),
                cells: vec![(*name).into(), (*ready).into(), (*status).into()],
            })
            .collect();
        let columns = ["NAME", "READY", "STATUS"].map(String::from).to_vec();
        Found {
            kind: builtin("pod"),
            what: What::Rows { columns, rows },
            total,
            complete: next.is_none(),
            next: next.map(String::from),
        }
    }

    fn query(arguments: Value) -> Get {
        serde_json::from_value(arguments).unwrap()
    }

    #[test]
    fn the_sentence_counts_and_names() {
        let found = pods(
            &[("a", "1/1", "Running"), ("b", "1/1", "Running"), ("c", "0/1", "CrashLoopBackOff")],
            Some(3),
            None,
        );
        let report = report(&query(json!({"kind": "pods"})), &[found], Some("todo"));
        assert_eq!(report.say, ["3 pods in todo: 2 Running and ready, 1 CrashLoopBackOff (c)."]);
        assert_eq!(report.data["lists"][0]["items"][2]["status"], "CrashLoopBackOff");
        assert_eq!(report.about[2].to_string(), "pod/c");
    }

    #[test]
    fn a_part_is_never_told_as_the_whole() {
        let found = pods(&[("a", "1/1", "Running")], Some(5000), Some("tok"));
        let first = report(&query(json!({"kind": "pods"})), &[found], Some("todo"));
        assert_eq!(first.say, ["5000 pods in todo: of the 1 listed, 1 Running and ready."]);
        assert!(first.for_model().contains("4999 more; narrow with name, selector or only; next page: tok"));
        let found = pods(&[("a", "1/1", "Running")], None, Some("tok"));
        let unknown = report(&query(json!({"kind": "pods"})), &[found], Some("todo"));
        assert!(unknown.say[0].starts_with("at least 1 pod in todo"), "{:?}", unknown.say);
    }

    #[test]
    fn all_namespaces_have_a_column() {
        let found = pods(&[("a", "1/1", "Running")], Some(1), None);
        let report = report(&query(json!({"kind": "pods"})), &[found], None);
        assert!(report.for_model().contains("NAME | NAMESPACE | READY | STATUS\na | todo | 1/1 | Running"));
    }

    #[test]
    fn nothing_is_said_plainly() {
        let empty = |only: Value| {
            report(&query(json!({"kind": "pods", "only": only})), &[pods(&[], Some(0), None)], Some("todo"))
                .say
        };
        assert_eq!(empty(Value::Null), ["No pods in todo."]);
        assert_eq!(empty(json!("not_ready")), ["None of the pods in todo is known to be not ready."]);
        let both = report(
            &query(json!({"kind": "pods,pods"})),
            &[pods(&[], Some(0), None), pods(&[("a", "1/1", "Running")], Some(1), None)],
            Some("todo"),
        );
        assert_eq!(both.say.last().unwrap(), "No pods in todo.");
    }
}
