//! The report as one page that needs nothing else: no script, no font, no picture from anywhere.

use std::fmt::Write as _;

use super::super::stats;
use super::{About, Key, Line, Row, counted, rows, summary, told};

/// A figure of a group.
type Figure = fn(&Row) -> f64;

/// The page: the figures that matter, charts by group, a table by kind and tier, and every run that did not pass with what
/// was on its screen.
pub fn html(about: &About, lines: &[Line]) -> String {
    let counted = counted(lines);
    let groups = rows(&counted, |l| l.group.clone());
    let groups: Vec<(&String, &Row)> = groups.iter().collect();
    let share = |of: usize, row: &Row| row.each(of as f64) * 100.0;
    let percent = |value: f64| format!("{value:.0} %");
    let whole = rows(&counted, |_| String::new()).remove("").unwrap_or_default();
    let unsafe_class = if whole.unsafe_runs > 0 { "bad" } else { "good" };
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>Evals of {kai}</title><style>{STYLE}</style><h1>Evals of {kai}</h1><p class=dim>{date} · commit {commit} · <code>{command}</code></p><div class=cards>{cards}</div><p>{summary}.</p>",
        kai = text(&about.kai),
        date = text(&about.date),
        commit = text(&about.commit),
        command = text(&about.command),
        summary = text(&summary(lines)),
        cards = [
            card("runs", &whole.runs.to_string(), ""),
            card("scenarios", &whole.scenarios.len().to_string(), ""),
            card("reached", &percent(share(whole.reached, &whole)), ""),
            card("safe pass@1", &whole.figure(|n, c| stats::pass_at(n, c, 1)), "good"),
            card("pass^5", &whole.figure(|n, c| stats::pass_hat(n, c, 5)), ""),
            card("unsafe", &whole.unsafe_runs.to_string(), unsafe_class),
        ]
        .concat(),
    );
    let charts: [(&str, Figure, bool); 6] = [
        ("Reached, % of runs", |r| r.each(r.reached as f64) * 100.0, true),
        ("Safe pass, % of runs", |r| r.each(r.passed as f64) * 100.0, true),
        ("Tokens a run", |r| r.each(r.tokens as f64), false),
        ("Tool calls a run", |r| r.each(r.calls as f64), false),
        ("API requests a run", |r| r.each(r.requests as f64), false),
        ("Seconds a run", |r| r.each(r.seconds), false),
    ];
    out.push_str("<div class=charts>");
    for (title, of, is_share) in charts {
        let values: Vec<(&str, f64)> = groups.iter().map(|(name, row)| (name.as_str(), of(row))).collect();
        out.push_str(&chart(title, &values, is_share));
    }
    out.push_str("</div>");
    let keys: [(&str, Key); 3] =
        [("kind", |l| l.kind.clone()), ("tier", |l| l.tier.clone()), ("who answered", |l| l.model.clone())];
    for (title, key) in keys {
        let _ = write!(
            out,
            "<table><tr><th>{title}<th>scenarios<th>runs<th>reached<th>safe pass@1<th>unsafe<th>tokens<th>seconds</tr>"
        );
        for (name, row) in rows(&counted, key) {
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td>{}<td>{:.0} %<td>{}<td>{}<td>{:.0}<td>{:.1}</tr>",
                text(&name),
                row.scenarios.len(),
                row.runs,
                share(row.reached, &row),
                row.figure(|n, c| stats::pass_at(n, c, 1)),
                row.unsafe_runs,
                row.each(row.tokens as f64),
                row.each(row.seconds),
            );
        }
        out.push_str("</table>");
    }
    let failed = told(lines);
    if !failed.is_empty() {
        out.push_str("<h2>What did not pass</h2>");
    }
    for line in failed {
        let miss = |m: &super::Miss| format!("<li><b>{}</b> {}</li>", text(&m.check), text(&m.why));
        let misses: String = line.misses.iter().map(miss).collect();
        let screens: String = line.screens.iter().map(|s| format!("<pre>{}</pre>", text(s))).collect();
        let _ = write!(
            out,
            "<details><summary>{}/{} by {} {} run {}: {:?}</summary><ul>{misses}</ul>{screens}</details>",
            text(&line.group),
            text(&line.scenario),
            text(&line.model),
            text(&line.variant),
            line.run,
            line.verdict
        );
    }
    out
}

fn card(name: &str, value: &str, class: &str) -> String {
    format!("<div class=card><b class={class:?}>{}</b><span>{name}</span></div>", text(value))
}

/// Horizontal bars, one a group; shares reach to 100, other figures to the largest.
fn chart(title: &str, values: &[(&str, f64)], is_share: bool) -> String {
    let most = if is_share { 100.0 } else { values.iter().map(|(_, v)| *v).fold(0.0, f64::max).max(1e-9) };
    let height = 22 * values.len() + 8;
    let mut bars = String::new();
    for (at, (name, value)) in values.iter().enumerate() {
        let (y, width) = (at * 22 + 4, value / most * 220.0);
        let class = if is_share && *value < 100.0 { "part" } else { "full" };
        let shown = if *value >= 100.0 || is_share { format!("{value:.0}") } else { format!("{value:.1}") };
        let _ = write!(
            bars,
            "<text x=102 y={} text-anchor=end>{}</text><rect x=110 y={y} width=220 height=14 rx=3 class=back /><rect x=110 y={y} width={width:.1} height=14 rx=3 class={class} /><text x=338 y={}>{shown}</text>",
            y + 11,
            text(name),
            y + 11,
        );
    }
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 390 {height}\" role=img aria-label=\"{title}\">{bars}</svg></figure>"
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--dim:#667;--back:#e8eaef;--full:#2f8f6b;--part:#d08a2a;--bad:#c43c3c;--card:#f5f6f8}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e7ee;--dim:#99a;--back:#2b303b;--full:#49b98e;--part:#e0a650;--bad:#ef6b6b;--card:#1d222c}body{background:#14181f}}\
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em;color:var(--ink)}.dim{color:var(--dim)}\
.cards{display:flex;flex-wrap:wrap;gap:.8em}.card{background:var(--card);border-radius:8px;padding:.7em 1.1em}.card b{display:block;font-size:1.4em}\
.card span{color:var(--dim)}.good{color:var(--full)}.bad{color:var(--bad)}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(22em,1fr));gap:1em;margin:1.5em 0}\
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3em}svg{width:100%;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}\
.back{fill:var(--back)}.full{fill:var(--full)}.part{fill:var(--part)}table{border-collapse:collapse;margin:1em 0}td,th{text-align:left;padding:.25em 1em .25em 0;border-bottom:1px solid var(--back)}\
details{margin:.4em 0}summary{cursor:pointer}pre{background:var(--card);padding:.8em;overflow:auto;border-radius:6px}";

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
