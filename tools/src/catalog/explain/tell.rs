//! A schema in words: what it is, what it may be, and the fields one level below (pure).

use serde_json::{Value, json};

use super::schema::{Found, Node, Schemas};
use super::{place, version_of};
use crate::object::{ApiKind, text};
use crate::redact;
use crate::report::{Block, MODEL_ROWS, Report, Table, bounded};
use crate::sanitize;

/// Most bytes of a description, and of the first sentence of one in a table.
const DESCRIPTION: usize = 1500;
const FIRST_SENTENCE: usize = 120;
/// Most allowed values that are listed.
const VALUES: usize = 40;
/// Most rules of a custom resource that are told.
const RULES: usize = 5;

/// The report of what stands at a path.
pub(super) fn report(schemas: &Schemas<'_>, kind: &ApiKind, found: &Found<'_>) -> Report {
    let node = &found.node;
    let type_name = safe(&schemas.type_name(node));
    let place = place(kind, &found.path);
    let what = match (found.path.is_empty(), found.required) {
        (true, _) if kind.namespaced => "objects in namespaces".into(),
        (true, _) => "objects of the whole cluster".into(),
        (_, true) => format!("{type_name}, required"),
        (_, false) => format!("{type_name}, optional"),
    };
    let mut report = Report::default();
    report.say.push(format!("{place} ({}): {what}.", safe(&version_of(kind))));
    report.say.extend(bounds(node));
    let description = bounded(node.text("description").trim(), DESCRIPTION);
    if !description.is_empty() {
        let lines = description.lines().map(safe).collect();
        report.blocks.push(Block::Text { title: String::new(), lines });
    }
    let mut fields = schemas.fields(node);
    // What must be there comes first.
    fields.sort_by_key(|(_, _, required)| !required);
    let mut table = Table::new("fields", &["FIELD", "TYPE", "WHAT IT IS"]);
    for (name, field, required) in fields.iter().take(MODEL_ROWS) {
        let required = if *required { "Required. " } else { "" };
        let what = format!("{required}{}", first_sentence(field.text("description")));
        table.push([*name, &schemas.type_name(field), &what]);
    }
    let rest: Vec<String> = fields.iter().skip(MODEL_ROWS).map(|(name, ..)| safe(name)).collect();
    if !rest.is_empty() {
        table.more = format!("{} more: {}", rest.len(), bounded(&rest.join(", "), 1000));
    }
    if node.is_open() {
        let other = if table.rows.is_empty() { "any" } else { "other" };
        report.say.push(format!("It may hold {other} fields: the schema says nothing of them."));
    }
    if !table.rows.is_empty() {
        report.blocks.push(Block::Table(table));
    }
    report.data = json!({
        "kind": kind.kind, "group": kind.group, "version": kind.version,
        "path": found.path.join("."), "type": type_name, "required": found.required,
        "description": redact::text(&sanitize::clean(&description, true)),
        "enum": values(node), "default": default(node),
        "fields": fields.iter().map(|(name, field, required)| json!({
            "name": safe(name), "type": safe(&schemas.type_name(field)), "required": required,
            "description": safe(&first_sentence(field.text("description"))),
        })).collect::<Vec<_>>(),
    });
    report
}

fn safe(text: &str) -> String {
    redact::text(&sanitize::line(text))
}

fn values(node: &Node<'_>) -> Vec<String> {
    let listed = node.get("enum").or_else(|| node.get("items").and_then(|i| i.get("enum")));
    listed.and_then(Value::as_array).into_iter().flatten().map(shown).collect()
}

/// A default that says something; most of those of objects are `{}`.
fn default(node: &Node<'_>) -> Option<String> {
    let value = node.get("default")?;
    (*value != json!({}) && *value != json!("")).then(|| shown(value))
}

fn shown(value: &Value) -> String {
    safe(&bounded(&value.as_str().map_or_else(|| value.to_string(), String::from), 200))
}

/// What a value must keep to, one sentence each.
fn bounds(node: &Node<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let values = values(node);
    if !values.is_empty() {
        let more = if values.len() > VALUES {
            format!(" and {} more", values.len() - VALUES)
        } else {
            String::new()
        };
        out.push(format!("One of: {}{more}.", values[..values.len().min(VALUES)].join(", ")));
    }
    if let Some(default) = default(node) {
        out.push(format!("Default: {default}."));
    }
    let named = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("multipleOf", "a multiple of"),
        ("minLength", "length at least"),
        ("maxLength", "length at most"),
        ("minItems", "items at least"),
        ("maxItems", "items at most"),
        ("pattern", "matching"),
    ];
    let limits: Vec<String> =
        named.iter().filter_map(|(key, words)| Some(format!("{words} {}", shown(node.get(key)?)))).collect();
    if !limits.is_empty() {
        out.push(format!("Must be: {}.", limits.join(", ")));
    }
    let keys: Vec<&str> = node
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !keys.is_empty() {
        out.push(format!("Items are told apart by {}.", safe(&keys.join(" and "))));
    }
    let rules = node.get("x-kubernetes-validations").and_then(Value::as_array);
    for rule in rules.into_iter().flatten().take(RULES) {
        let said = match text(rule, "/message") {
            "" => text(rule, "/rule"),
            message => message,
        };
        out.push(format!("Rule: {}.", safe(bounded(said, 300).trim_end_matches('.'))));
    }
    out
}

fn first_sentence(description: &str) -> String {
    let line = description.trim().split("\n\n").next().unwrap_or("").replace('\n', " ");
    let end = line.find(". ").unwrap_or(line.len());
    let sentence = line[..end].trim_end_matches('.');
    match sentence.char_indices().nth(FIRST_SENTENCE) {
        Some((cut, _)) => format!("{}...", sentence[..cut].trim_end()),
        None => sentence.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_first_sentence() {
        assert_eq!(first_sentence("Number of desired pods. Defaults to 1."), "Number of desired pods");
        assert_eq!(first_sentence("Wrapped\nline.\n\nMore"), "Wrapped line");
        assert!(first_sentence(&"é".repeat(500)).ends_with("..."));
    }
}
