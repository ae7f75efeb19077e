//! Findings of a diagnosis as people read them: each root cause once, what is down because of it as a tree, what it
//! rests on, and what mends it.

use jiff::Timestamp;
use kai_tools::diagnose::{Class, Confidence, Finding, Impact, Object};
use kai_tools::report::length;
use unicode_width::UnicodeWidthStr;

use super::Style;

/// Most things in one tree; the rest is counted.
const MOST_IMPACT: usize = 12;
const INDENT: usize = 14;

/// All findings, numbered as `--fix` has them.
pub fn render(findings: &[Finding], width: usize, style: Style) -> String {
    let mut out = Vec::new();
    for (at, finding) in findings.iter().enumerate() {
        out.push(one(at + 1, finding, width, style));
    }
    out.join("\n\n")
}

fn one(number: usize, finding: &Finding, width: usize, style: Style) -> String {
    let mut lines = Vec::new();
    let (sign, paint): (&str, fn(Style, &str) -> String) = match finding.class {
        Class::Fault => ("✗", Style::bad),
        Class::Risk => ("!", Style::warn),
        Class::Hygiene => ("·", Style::dim),
    };
    let place = if finding.object.namespace.is_empty() {
        String::new()
    } else {
        format!(" in {}", finding.object.namespace)
    };
    let likely = if finding.confidence == Confidence::Inferred { " (likely)" } else { "" };
    let head = format!("{number:>2} {sign} {}{place}{likely}", finding.object);
    let gap = width.saturating_sub(head.width() + finding.cause.width());
    let id =
        if gap >= 2 { format!("{}{}", " ".repeat(gap), style.dim(&finding.cause)) } else { String::new() };
    lines.push(format!(
        "{number:>2} {} {}{}{id}",
        paint(style, sign),
        style.bold(&finding.object.to_string()),
        style.dim(&format!("{place}{likely}"))
    ));
    lines.extend(wrap(&finding.says, width.saturating_sub(5)).into_iter().map(|l| format!("     {l}")));
    let mut labelled = |label: &str, text: &[String]| {
        for (i, line) in text.iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            lines.push(format!("     {}{line}", style.dim(&format!("{label:<w$}", w = INDENT - 5))));
        }
    };
    // Its name is what the documentation lists: it is never left out for want of room.
    if gap < 2 {
        labelled("cause", std::slice::from_ref(&finding.cause));
    }
    labelled("down", &tree(finding, width.saturating_sub(INDENT)));
    let room = width.saturating_sub(INDENT);
    for seen in finding.evidence.iter().take(2) {
        let text = match seen.value.as_str() {
            "" => format!("{} {}", seen.object, seen.at),
            value => format!("{} {}: {value}", seen.object, seen.at),
        };
        labelled("seen", &wrap(&text, room));
    }
    if let Some(since) = finding.since {
        let ago = length(Timestamp::now().as_second() - since.as_second());
        labelled("since", &[format!("{ago} ago")]);
    }
    if let Some(changed) = &finding.changed {
        labelled("changed", &wrap(changed, room));
    }
    if let Some(settle) = &finding.settle {
        labelled("settle", &wrap(settle, room));
    }
    for (i, fix) in finding.fixes.iter().take(2).enumerate() {
        let label = if i == 0 { "fix" } else { "or" };
        // What is a call can be had with --fix; advice is for people.
        let text = if fix.calls.is_empty() || i > 0 {
            fix.says.clone()
        } else {
            format!("{} (--fix {number})", fix.says)
        };
        labelled(label, &wrap(&text, room));
    }
    lines.join("\n")
}

/// What is down, each under what passes the trouble on to it.
fn tree(finding: &Finding, room: usize) -> Vec<String> {
    let shown: Vec<&Impact> = finding.impact.iter().take(MOST_IMPACT).collect();
    let mut told: Vec<&Object> = Vec::new();
    let mut rows: Vec<(String, &str)> = Vec::new();
    under(None, 0, &shown, &mut told, &mut rows);
    let names = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0).min(48);
    let mut lines: Vec<String> = rows
        .into_iter()
        .map(|(name, says)| format!("{name}{}  {says}", " ".repeat(names.saturating_sub(name.width()))))
        .collect();
    let hidden = finding.impact.len() - told.len();
    if hidden > 0 {
        lines.push(format!("and {hidden} more"));
    }
    lines.into_iter().map(|l| wrap(&l, room).remove(0)).collect()
}

fn under<'f>(
    parent: Option<&Object>,
    depth: usize,
    shown: &[&'f Impact],
    told: &mut Vec<&'f Object>,
    rows: &mut Vec<(String, &'f str)>,
) {
    for impact in shown {
        let is_child = match (parent, &impact.through) {
            (None, None) => true,
            (None, Some(through)) => !shown.iter().any(|i| i.object == *through),
            (Some(parent), through) => through.as_ref() == Some(parent),
        };
        if !is_child || told.contains(&&impact.object) {
            continue;
        }
        told.push(&impact.object);
        let lead = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
        rows.push((format!("{lead}{}", impact.object), &impact.says));
        under(Some(&impact.object), depth + 1, shown, told, rows);
    }
}

/// Words onto lines of at most so many columns; one that is longer stands alone. Spaces within are kept.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(30);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let is_full = lines.last().is_some_and(|l| !l.is_empty() && l.width() + 1 + word.width() > room);
        if is_full {
            lines.push(word.to_string());
            continue;
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() || word.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_root_is_told_once_and_what_is_down_hangs_below_what_passes_it_on() {
        let object = |kind: &str, name: &str| Object::new(kind, "todo", name);
        let impact = |o: &Object, says: &str, through: Option<&Object>| Impact {
            object: o.clone(),
            says: says.into(),
            through: through.cloned(),
        };
        let (web, service, ingress) =
            (object("deployment", "web"), object("service", "web"), object("ingress", "shop"));
        let mut finding: Finding = serde_json::from_value(json!({
            "cause": "secret-key-missing", "class": "fault", "severity": 2, "confidence": "proven",
            "object": {"kind": "secret", "namespace": "todo", "name": "app"},
            "says": "secret app has no key URL", "impact": [], "since": null, "changed": null, "settle": null,
            "evidence": [{"object": {"kind": "pod", "namespace": "todo", "name": "web-1"}, "at": "event Failed", "value": "couldn't find key URL"}],
            "fixes": [{"says": "read URL from key URI", "calls": [{"tool": "set", "arguments": {}}]}],
        }))
        .unwrap();
        finding.impact = vec![
            impact(&ingress, "/ leads nowhere", Some(&service)),
            impact(&web, "0 of 2 ready", None),
            impact(&service, "no endpoints", Some(&web)),
        ];
        let text = render(&[finding], 80, Style { color: false });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(" 1 ✗ secret/app in todo") && lines[0].ends_with("secret-key-missing"));
        assert!(lines[0].width() <= 80);
        assert!(lines[2].contains("deployment/web"), "{text}");
        assert!(lines[3].contains("└ service/web"), "{text}");
        assert!(lines[4].contains("  └ ingress/shop"), "{text}");
        assert!(text.contains("(--fix 1)"));
    }
}
