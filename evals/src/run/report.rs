//! What a set of runs comes to: lines for machines, a page for people, a sentence for a log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::drive::Evidence;
use super::judge::{Miss, Verdict};
use super::stats;

/// One run, as a line of `results.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// Its group.
    pub group: String,
    /// What kind of thing is asked for.
    pub kind: String,
    /// What it ran on: C, a control plane with simulated nodes; K, real kubelets.
    pub tier: String,
    /// Who answered.
    pub model: String,
    /// What was different from the scenario, such as `declined`; else empty.
    pub variant: String,
    /// Which of several runs.
    pub run: usize,
    /// What it came to.
    pub verdict: Verdict,
    /// What did not hold.
    pub misses: Vec<Miss>,
    /// Requests to the model.
    pub model_requests: usize,
    /// Requests to the API server.
    pub api_requests: usize,
    /// Tool calls of the model.
    pub calls: usize,
    /// Tokens that went to the model, by the endpoint's count, or kai's.
    pub tokens_in: u64,
    /// Tokens that came from it.
    pub tokens_out: u64,
    /// Seconds, from the first sentence to the last answer.
    pub seconds: f64,
    /// Seconds to the first preview; none where there was none.
    pub first_preview: Option<f64>,
    /// A hash of what the run began with.
    pub setup: String,
    /// What was on the screen, turn by turn; kept where something did not hold.
    pub screens: Vec<String>,
}

impl Line {
    /// Takes over what was seen of the run.
    pub fn seen(&mut self, evidence: &Evidence) {
        self.model_requests = evidence.asked.len();
        self.api_requests = evidence.requests.len();
        self.calls = evidence.calls;
        (self.tokens_in, self.tokens_out) = evidence.tokens;
        self.seconds = evidence.took.as_secs_f64();
        let began = evidence.turns.first().and_then(|turn| turn.asked.first()).map(|asked| asked.at);
        self.first_preview =
            began.zip(evidence.began).map(|(at, began)| at.saturating_sub(began) as f64 / 1000.0);
        if self.verdict != Verdict::SafePass {
            self.screens = evidence.turns.iter().chain(&evidence.undone).map(|t| t.screen.clone()).collect();
        }
    }
}

/// Where a set of runs was made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct About {
    /// `kai --version`.
    pub kai: String,
    /// The commit.
    pub commit: String,
    /// The day.
    pub date: String,
    /// The command.
    pub command: String,
}

/// Adds a line to `results.jsonl`.
///
/// # Errors
/// The folder cannot be written.
pub fn append(folder: &Path, line: &Line) -> Result<()> {
    use std::io::Write;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("results.jsonl");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{}", serde_json::to_string(line)?)?;
    Ok(())
}

/// Reads `results.jsonl`; nothing where there is none.
///
/// # Errors
/// A line that is none.
pub fn read(folder: &Path) -> Result<Vec<Line>> {
    let path = folder.join("results.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let line = |(at, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// A group's figures.
#[derive(Clone, Debug, Default)]
struct Row {
    runs: usize,
    passed: usize,
    unsafe_runs: usize,
    scenarios: BTreeMap<String, (usize, usize)>,
    requests: usize,
    seconds: f64,
}

impl Row {
    fn add(&mut self, line: &Line) {
        self.runs += 1;
        let passed = line.verdict == Verdict::SafePass;
        self.passed += usize::from(passed);
        self.unsafe_runs += usize::from(line.verdict == Verdict::UnsafePass);
        let (n, c) = self.scenarios.entry(line.scenario.clone()).or_default();
        *n += 1;
        *c += usize::from(passed);
        self.requests += line.api_requests;
        self.seconds += line.seconds;
    }

    /// The mean of a figure over the scenarios, with its interval.
    fn figure(&self, of: impl Fn(usize, usize) -> Option<f64>) -> String {
        let all: Vec<f64> = self.scenarios.values().filter_map(|(n, c)| of(*n, *c)).collect();
        match stats::mean(&all) {
            Some((mean, low, high)) if low < high => {
                format!("{:.0} % ({:.0}–{:.0})", mean * 100.0, low * 100.0, high * 100.0)
            }
            Some((mean, ..)) => format!("{:.0} %", mean * 100.0),
            None => "-".to_owned(),
        }
    }
}

fn rows(lines: &[Line], key: fn(&Line) -> String) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in lines {
        rows.entry(key(line)).or_default().add(line);
    }
    rows
}

/// One line for a log: `12 passed, 0 failed`.
pub fn summary(lines: &[Line]) -> String {
    let passed = lines.iter().filter(|l| l.verdict == Verdict::SafePass).count();
    let unsafe_runs = lines.iter().filter(|l| l.verdict == Verdict::UnsafePass).count();
    let broken =
        lines.iter().filter(|l| matches!(l.verdict, Verdict::SetupError | Verdict::HarnessError)).count();
    let mut text = format!("{passed} passed, {} failed", lines.len() - passed);
    if unsafe_runs > 0 {
        let _ = write!(text, ", {unsafe_runs} of them unsafe");
    }
    if broken > 0 {
        let _ = write!(text, ", {broken} not to be counted: set-up or harness failed");
    }
    text
}

/// Writes the report in all its forms.
///
/// # Errors
/// The folder cannot be written.
pub fn write(folder: &Path, about: &About, lines: &[Line]) -> Result<()> {
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let whole = serde_json::json!({"about": about, "runs": lines});
    write("report.json", serde_json::to_string_pretty(&whole)?)?;
    write("report.md", markdown(about, lines))?;
    write("report.html", html(about, lines))
}

/// The report as Markdown.
pub fn markdown(about: &About, lines: &[Line]) -> String {
    let mut out =
        format!("# Evals of {}\n\n{} · `{}`\n\n{}.\n", about.kai, about.date, about.command, summary(lines));
    for (title, key) in
        [("group", (|l: &Line| l.group.clone()) as fn(&Line) -> String), ("kind", |l| l.kind.clone())]
    {
        let _ = write!(
            out,
            "\n| {title} | scenarios | runs | safe pass@1 | pass^5 | unsafe | API requests a run | seconds a run |\n|---|---|---|---|---|---|---|---|\n"
        );
        for (name, row) in rows(lines, key) {
            let each = |sum: f64| sum / row.runs.max(1) as f64;
            let _ = writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {} | {:.0} | {:.1} |",
                row.scenarios.len(),
                row.runs,
                row.figure(|n, c| stats::pass_at(n, c, 1)),
                row.figure(|n, c| stats::pass_hat(n, c, 5)),
                row.unsafe_runs,
                each(row.requests as f64),
                each(row.seconds),
            );
        }
    }
    let failed: Vec<&Line> = lines.iter().filter(|l| l.verdict != Verdict::SafePass).collect();
    if !failed.is_empty() {
        out.push_str("\n## What did not pass\n\n");
        for line in failed {
            let variant =
                if line.variant.is_empty() { String::new() } else { format!(" ({})", line.variant) };
            let _ = writeln!(out, "- **{}**{variant}, run {}: {:?}", line.scenario, line.run, line.verdict);
            for miss in &line.misses {
                let _ = writeln!(out, "  - {}: {}", miss.check, miss.why);
            }
        }
    }
    out
}

/// The report as one page that needs nothing else: bars by group, and every run that did not pass.
pub fn html(about: &About, lines: &[Line]) -> String {
    let mut bars = String::new();
    for (name, row) in rows(lines, |l| l.group.clone()) {
        let part = row.passed as f64 / row.runs.max(1) as f64 * 100.0;
        let bad = row.unsafe_runs as f64 / row.runs.max(1) as f64 * 100.0;
        let _ = write!(
            bars,
            "<tr><th>{}</th><td><div class=bar><i class=good style=width:{part:.1}%></i><i class=bad style=width:{bad:.1}%></i></div></td><td>{}/{}</td><td>{:.1} s</td></tr>",
            text(&name),
            row.passed,
            row.runs,
            row.seconds / row.runs.max(1) as f64
        );
    }
    let mut failed = String::new();
    for line in lines.iter().filter(|l| l.verdict != Verdict::SafePass) {
        let misses: String = line
            .misses
            .iter()
            .map(|m| format!("<li><b>{}</b> {}</li>", text(&m.check), text(&m.why)))
            .collect();
        let screens: String = line.screens.iter().map(|s| format!("<pre>{}</pre>", text(s))).collect();
        let _ = write!(
            failed,
            "<details><summary>{} {} run {}: {:?}</summary><ul>{misses}</ul>{screens}</details>",
            text(&line.scenario),
            text(&line.variant),
            line.run,
            line.verdict
        );
    }
    format!(
        "<!doctype html><meta charset=utf-8><title>Evals of {kai}</title><style>{STYLE}</style><h1>Evals of {kai}</h1><p>{date} · <code>{command}</code><p><b>{summary}</b><table>{bars}</table>{failed}",
        kai = text(&about.kai),
        date = text(&about.date),
        command = text(&about.command),
        summary = text(&summary(lines)),
    )
}

const STYLE: &str = "body{font:15px system-ui;margin:2em auto;max-width:60em;color:#222}table{border-spacing:.6em .2em}th{text-align:left}.bar{width:24em;height:1em;background:#eee;display:flex}.bar i{height:100%}.good{background:#3a7}.bad{background:#c33}pre{background:#f6f6f6;padding:.6em;overflow:auto}";

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Two sets of runs beside each other, scenario and run by run.
pub fn compared(old: &[Line], new: &[Line]) -> String {
    let key = |l: &Line| (l.scenario.clone(), l.variant.clone(), l.run);
    let before: BTreeMap<_, bool> = old.iter().map(|l| (key(l), l.verdict == Verdict::SafePass)).collect();
    let mut gained = Vec::new();
    let mut lost = Vec::new();
    let mut both = 0;
    for line in new {
        let now = line.verdict == Verdict::SafePass;
        match before.get(&key(line)) {
            Some(false) if now => gained.push(line.scenario.clone()),
            Some(true) if !now => lost.push(line.scenario.clone()),
            Some(_) => both += 1,
            None => {}
        }
    }
    let p = stats::mcnemar(gained.len(), lost.len());
    format!(
        "{} runs pass now that did not ({}), {} no longer ({}), {both} are as before; so one-sided by chance with p = {p:.3}",
        gained.len(),
        gained.join(", "),
        lost.len(),
        lost.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(scenario: &str, run: usize, verdict: Verdict) -> Line {
        Line {
            scenario: scenario.to_owned(),
            group: "scale".to_owned(),
            kind: "do".to_owned(),
            model: "golden".to_owned(),
            variant: String::new(),
            run,
            verdict,
            misses: vec![Miss { check: "W5".to_owned(), why: "<b> was written".to_owned() }],
            model_requests: 2,
            api_requests: 20,
            seconds: 1.5,
            ..Line::default()
        }
    }

    #[test]
    fn a_report_counts_and_a_page_escapes() {
        let lines = [line("a", 1, Verdict::SafePass), line("b", 1, Verdict::UnsafePass)];
        assert_eq!(summary(&lines), "1 passed, 1 failed, 1 of them unsafe");
        let page = html(&About::default(), &lines);
        assert!(page.contains("&lt;b&gt; was written") && !page.contains("<b> was written"));
        let text = markdown(&About::default(), &lines);
        assert!(text.contains("| scale | 2 | 2 | 50 % (0–100) |"), "{text}");
        assert!(text.contains("**b**, run 1: UnsafePass"), "{text}");
    }

    #[test]
    fn two_sets() {
        let old = [line("a", 1, Verdict::Fail), line("b", 1, Verdict::SafePass)];
        let new = [line("a", 1, Verdict::SafePass), line("b", 1, Verdict::SafePass)];
        assert!(compared(&old, &new).starts_with("1 runs pass now that did not (a), 0 no longer"));
    }

    #[test]
    fn results_can_be_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        let one = line("a", 1, Verdict::SafePass);
        append(folder.path(), &one).unwrap();
        append(folder.path(), &one).unwrap();
        assert_eq!(read(folder.path()).unwrap(), [one.clone(), one]);
    }
}
