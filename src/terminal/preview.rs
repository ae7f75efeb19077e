//! A preview as people read it before they say yes (pure). Every changed field is on the screen.

use std::collections::BTreeSet;

use kai_tools::diff::{FieldChange, human_path};
use kai_tools::policy::{A_CHANGE, Decision, Risk};
use kai_tools::review::{Level, Line, StepView, Verb, View};
use kai_tools::sanitize::{is_mixed_script, line};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::Style;

/// Renders a preview for a terminal of that width.
pub fn render(view: &View, style: Style, width: usize) -> String {
    let mut out = String::new();
    let count = view.steps.len();
    let changes = if count == 1 { "1 change".to_string() } else { format!("{count} changes") };
    let risk = match view.risk {
        Risk::R2 => style.good("reversible"),
        Risk::R3 => style.warn("destructive or wide"),
        Risk::R4 => style.bad("secrets, or inside a container"),
        Risk::R5 => style.bad("rights, or the cluster's own parts"),
    };
    out.push_str(&format!("\n {} · {changes} · {risk}\n", style.bold(&format!("Plan {}", view.id))));
    out.push_str(&format!(" {}\n", line(&view.title)));
    let many = count > MANY;
    let mut told = BTreeSet::new();
    for step in &view.steps {
        step_text(step, many, &mut told, style, width, &mut out);
    }
    let allowed = |s: &StepView| s.lines.iter().any(|l| l.label == "rights" && l.level == Level::Fact);
    if many && view.steps.iter().all(allowed) {
        out.push_str(&format!("   {:<9} you may make all {count} changes\n", "rights"));
    }
    if let Some(cost) = &view.cost {
        for l in &cost.lines {
            let sign = if l.level == Level::Fact {
                "   ".to_string()
            } else {
                format!(" {} ", sign(l.level, style))
            };
            wrapped(&format!("{sign}{:<9} ", l.label), &line(&l.text), width, &mut out);
        }
    }
    for note in &view.notes {
        out.push_str(&format!(" {} {}\n", style.warn("!"), line(note)));
    }
    match &view.decision {
        Decision::Refuse { reason, hint } => {
            out.push_str(&format!("\n {} {}\n", style.bad("✗ refused:"), line(reason)));
            if !hint.is_empty() {
                out.push_str(&format!("   {}\n", line(hint)));
            }
        }
        Decision::Allow { rule } => {
            out.push_str(&format!("\n {} {}\n", style.dim("goes ahead:"), line(rule)))
        }
        // That every change is asked about is no news.
        Decision::Ask { reason, typed } if typed.is_some() || reason != A_CHANGE => {
            out.push_str(&format!("\n {} {}\n", style.warn("careful:"), line(reason)))
        }
        // Why `--yes` does not go ahead with it.
        Decision::Ask { reason, typed: None } if reason.contains("policy asks") => {
            out.push_str(&format!("\n {} {}\n", style.warn("asks:"), line(reason)))
        }
        Decision::Ask { .. } => {}
    }
    out.push('\n');
    out
}

/// From this many changes on, what is the same for each is said once for all.
const MANY: usize = 3;

fn step_text(
    step: &StepView,
    many: bool,
    told: &mut BTreeSet<String>,
    style: Style,
    width: usize,
    out: &mut String,
) {
    let name = step.object.to_string();
    let gap = width.min(100).saturating_sub(name.width() + step.object.namespace.width() + 5).max(2);
    out.push_str(&format!(
        " {} {}{}{}\n",
        match step.verb {
            Verb::Create => style.good("+"),
            Verb::Update => style.warn("~"),
            Verb::Delete | Verb::Evict => style.bad("-"),
            Verb::Enter => style.bad(">"),
        },
        style.bold(&line(&name)),
        " ".repeat(gap),
        style.dim(&line(&step.object.namespace))
    ));
    if is_mixed_script(&name) {
        out.push_str(&format!(" {} this name mixes scripts: {}\n", style.bad("!"), name.escape_unicode()));
    }
    if step.verb == Verb::Create {
        created_text(&step.changes, told, style, width, out);
    } else {
        for change in &step.changes {
            field_text(change, style, out);
        }
    }
    let once = |l: &&Line| l.level == Level::Fact && !(many && l.label == "rights");
    for l in step.lines.iter().filter(once) {
        wrapped(&format!("   {:<9} ", l.label), &line(&l.text), width, out);
    }
    for owner in &step.owners {
        let sign = if owner.level == Level::Fact {
            "   ".to_string()
        } else {
            format!(" {} ", sign(owner.level, style))
        };
        wrapped(
            &format!("{sign}{:<9} ", "owner"),
            &format!("{}: {}", line(&owner.name), line(&owner.effect)),
            width,
            out,
        );
    }
    for l in step.lines.iter().filter(|l| l.level != Level::Fact) {
        wrapped(&format!(" {} {:<9} ", sign(l.level, style), l.label), &line(&l.text), width, out);
    }
}

/// What a new object says: fields of one parent on one line, for nothing of it was otherwise before.
fn created_text(
    changes: &[FieldChange],
    told: &mut BTreeSet<String>,
    style: Style,
    width: usize,
    out: &mut String,
) {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for change in changes {
        let path = human_path(&change.path);
        let (parent, leaf) = match path.rfind(['.', '[']) {
            Some(at) if !path.ends_with("\"]") => (&path[..at], path[at..].trim_start_matches('.')),
            _ => match path.find("[\"") {
                Some(at) => (&path[..at], &path[at..]),
                None => ("", path.as_str()),
            },
        };
        // The name of a list item stands in its path already.
        if leaf == "name" && parent.ends_with(']') && change.after.as_ref().is_some_and(Value::is_string) {
            continue;
        }
        let value = change.after.as_ref().map_or_else(String::new, value_text);
        let said = format!("{} {value}", line(leaf.trim_matches(['[', ']', '"'])));
        match groups.last_mut() {
            Some((last, fields)) if last == parent => fields.push(said),
            _ => groups.push((parent.to_string(), vec![said])),
        }
    }
    for (parent, fields) in groups {
        let parent = parent.replace("spec.template.spec.", "pod.").replace("spec.template.", "template.");
        let label = if parent.is_empty() { "     ".to_string() } else { format!("     {}: ", line(&parent)) };
        let body = by_prefix(&fields);
        // Labels and annotations that are the same on one object after the other.
        let shared = parent.ends_with("labels") || parent.ends_with("annotations");
        if shared && body.len() > 60 && !told.insert(body.clone()) {
            out.push_str(&format!("{label}{}\n", style.dim("the same as above")));
            continue;
        }
        let body = if body.contains('\u{1b}') { line(&body) } else { body };
        wrapped(&label, &style.after(&body), width, out);
    }
}

/// Fields on one line; those whose names share a long prefix say it once: `app.kubernetes.io/{name a, instance b}`.
fn by_prefix(fields: &[String]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for field in fields {
        let name = field.split(' ').next().unwrap_or("");
        let prefix = name.rfind('/').map_or("", |at| &name[..=at]);
        match groups.iter_mut().find(|(p, _)| !prefix.is_empty() && *p == prefix) {
            Some((_, members)) => members.push(&field[prefix.len()..]),
            None => groups.push((prefix, vec![&field[prefix.len()..]])),
        }
    }
    let shown = groups.iter().map(|(prefix, members)| match members.as_slice() {
        [one] => format!("{prefix}{one}"),
        several => format!("{prefix}{{{}}}", several.join(", ")),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn sign(level: Level, style: Style) -> String {
    match level {
        Level::Fact => " ".into(),
        Level::Warning => style.warn("!"),
        Level::Unknown => style.warn("?"),
        Level::Problem => style.bad("✗"),
    }
}

fn field_text(change: &FieldChange, style: Style, out: &mut String) {
    let before = change.before.as_ref().map_or_else(|| "(none)".to_string(), value_text);
    let after = change.after.as_ref().map_or_else(|| "(removed)".to_string(), value_text);
    out.push_str(&format!(
        "     {}: {} → {}\n",
        line(&human_path(&change.path)),
        style.before(&before),
        style.after(&after)
    ));
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(s) => line(s),
        other => line(&flow(other)),
    }
}

/// A value on one line, as YAML's flow style writes it: `[{port: 80, protocol: TCP}]`.
fn flow(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", flow(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        // Quoted where it could be read as something else.
        Value::String(s)
            if !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:%@".contains(c)) =>
        {
            s.clone()
        }
        other => other.to_string(),
    }
}

/// Text after a label, continued under itself.
fn wrapped(label: &str, text: &str, width: usize, out: &mut String) {
    const INDENT: usize = 13;
    let room = width.saturating_sub(INDENT).max(30);
    let mut current = String::new();
    let mut first = true;
    let mut flush = |text: &str| {
        let lead = if first { label.to_string() } else { " ".repeat(INDENT) };
        out.push_str(&format!("{lead}{text}\n"));
        first = false;
    };
    for word in text.split(' ') {
        if !current.is_empty() && current.width() + 1 + word.width() > room {
            flush(&current);
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    flush(&current);
}
