//! What `logs` says of what it heard: whose log, how much of it, why this container, and why others are silent (pure).

use std::collections::BTreeMap;

use serde_json::json;

use super::narrow::{Pattern, Window};
use super::{Heard, Logs, MOST_BYTES, SEARCHED_LINES, SHOWN_BYTES, fold};
use crate::cluster::resolve::Resolved;
use crate::object::number;
use crate::redact;
use crate::report::{Block, Report};
use crate::sanitize;

/// The report, from what was read.
pub(super) fn report(
    query: &Logs,
    target: &Resolved,
    heard: Vec<Heard>,
    left_out: usize,
    pattern: Option<&Pattern>,
) -> Report {
    let object = &target.object;
    let mut report = Report { about: vec![object.clone()], ..Report::default() };
    if heard.is_empty() {
        report.say.push(match number(&target.live, "/spec/replicas") {
            Some(0) => format!("{object} has no logs: it is scaled to 0, so it has no pods."),
            _ => format!("{object} has no logs: it has no pods."),
        });
        report.data = json!({"lines": []});
        return report;
    }
    let mut silent: Vec<(String, Vec<String>)> = Vec::new();
    let mut all = Vec::new();
    let mut spoke = 0;
    for one in &heard {
        match &one.log {
            Ok(lines) => {
                let kept: Vec<_> = lines.iter().filter(|l| pattern.is_none_or(|p| p.is_in(l))).collect();
                spoke += 1;
                all.extend(kept[kept.len().saturating_sub(query.tail())..].iter().map(|l| (*l).clone()));
            }
            Err(why) => match silent.iter_mut().find(|(w, _)| w == why) {
                Some((_, pods)) => pods.push(one.pod.clone()),
                None => silent.push((why.clone(), vec![one.pod.clone()])),
            },
        }
    }
    let total = all.len();
    let span = fold::span(&all);
    let merged = fold::merge(all);
    let names = names(&heard);
    let name = |pod: &str| names.get(pod).cloned().unwrap_or_default();
    let (lines, cut) = fold::shown(&merged, name, SHOWN_BYTES);
    if spoke > 0 {
        report.say.push(sentence(query, target, &heard, spoke, total, &span));
    }
    if left_out > 0 {
        report.say.push(format!("{left_out} more pods were not read; name one as pod/x."));
    }
    for (why, pods) in &silent {
        let more = if pods.len() > 3 { format!(" and {} more", pods.len() - 3) } else { String::new() };
        let names: Vec<String> = pods.iter().take(3).map(|p| format!("pod/{p}")).collect();
        report.say.push(format!(
            "No log of {}{more}: {}.",
            names.join(", "),
            redact::text(&sanitize::line(why.trim_end_matches('.')))
        ));
    }
    if heard.iter().any(|h| h.partly) {
        report.say.push(format!(
            "Of each pod {SEARCHED_LINES} lines or {} MiB were looked through, and there is more; narrow with since and until.",
            MOST_BYTES >> 20
        ));
    }
    if cut > 0 {
        report.say.push(format!("{cut} older lines are left out; narrow with grep, since or tail."));
    }
    report.data = json!({
        "containers": heard.iter().map(|h| json!({"pod": h.pod, "container": h.choice.container, "because": h.choice.because})).collect::<Vec<_>>(),
        "lines": merged.iter().map(|f| json!({"pod": f.line.pod, "time": f.line.time, "text": f.line.text, "times": f.times, "last": f.last.as_ref().map(|l| &l.text)})).collect::<Vec<_>>(),
    });
    if !lines.is_empty() {
        report.blocks.push(Block::Text { title: format!("log of {object}"), lines });
    }
    report
}

/// What each pod is called in front of its lines: nothing when there is one, else short where that is no other's name.
fn names(heard: &[Heard]) -> BTreeMap<String, String> {
    if heard.len() < 2 {
        return BTreeMap::new();
    }
    let alone = |short: &str| heard.iter().filter(|h| h.short == short).count() == 1;
    let name = |h: &Heard| if alone(&h.short) { h.short.clone() } else { h.pod.clone() };
    heard.iter().map(|h| (h.pod.clone(), name(h))).collect()
}

/// Whose log this is, how much of it, and why this container.
fn sentence(
    query: &Logs,
    target: &Resolved,
    heard: &[Heard],
    spoke: usize,
    total: usize,
    span: &str,
) -> String {
    let run = if query.previous == Some(true) { ", the run before the last restart" } else { "" };
    let mut reasons: Vec<String> = Vec::new();
    for one in heard.iter().filter(|h| h.log.is_ok()) {
        let because =
            if one.choice.because.is_empty() { String::new() } else { format!(" ({})", one.choice.because) };
        let reason = format!("container {}{because}", one.choice.container);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let pods = match (target.kind.kind.as_str(), spoke) {
        ("Pod", _) => String::new(),
        (_, 1) => ", 1 pod".to_string(),
        (_, n) => format!(", {n} pods"),
    };
    let place =
        format!("{} in {}{pods}, {}{run}", target.object, target.object.namespace, reasons.join(" and "));
    let matching =
        query.grep.as_ref().map(|g| format!(" matching `{}`", sanitize::line(g))).unwrap_or_default();
    let when = Window::said(query.since.as_deref(), query.until.as_deref());
    match total {
        0 => format!("No log lines{matching}{when}: {place}."),
        1 => format!("1 line{matching}{span}: {place}."),
        n => format!("{n} lines{matching}{span}: {place}."),
    }
}
