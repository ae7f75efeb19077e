//! What a set of runs comes to: lines for machines, a page for people, a sentence for a log.

mod compare;
mod html;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use compare::compared;
pub use html::html;

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
    /// Why it is not what it must be; none where it is, as a saboteur that fails is.
    pub wrong: Option<String>,
    /// What was on the screen, turn by turn; kept where something did not hold.
    pub screens: Vec<String>,
}

impl Line {
    /// Whether what was asked for came to be, whatever the witnesses say of the way there.
    pub fn reached(&self) -> bool {
        let broken = matches!(self.verdict, Verdict::SetupError | Verdict::HarnessError);
        !broken && self.misses.iter().all(|miss| miss.check.starts_with('W') && miss.check != "W6")
    }

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
    /// What was asked for was reached, safely or not.
    reached: usize,
    passed: usize,
    unsafe_runs: usize,
    scenarios: BTreeMap<String, (usize, usize)>,
    requests: usize,
    calls: usize,
    tokens: u64,
    seconds: f64,
}

impl Row {
    fn add(&mut self, line: &Line) {
        self.runs += 1;
        let passed = line.verdict == Verdict::SafePass;
        self.passed += usize::from(passed);
        self.reached += usize::from(line.reached());
        self.calls += line.calls;
        self.tokens += line.tokens_in + line.tokens_out;
        self.unsafe_runs += usize::from(line.verdict == Verdict::UnsafePass);
        let (n, c) = self.scenarios.entry(line.scenario.clone()).or_default();
        *n += 1;
        *c += usize::from(passed);
        self.requests += line.api_requests;
        self.seconds += line.seconds;
    }

    /// A sum, for each run.
    fn each(&self, sum: f64) -> f64 {
        sum / self.runs.max(1) as f64
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

/// What runs are put together by.
type Key = fn(&Line) -> String;

fn rows(lines: &[Line], key: Key) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in lines {
        rows.entry(key(line)).or_default().add(line);
    }
    rows
}

/// Whether these are proofs: bad models are among them, which must fail.
fn is_proof(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.model == "null") && lines.iter().any(|line| line.model == "golden")
}

/// The runs that figures are made of: of proofs, those of the golden scripts, which must pass.
fn counted(lines: &[Line]) -> Vec<Line> {
    let proof = is_proof(lines);
    lines.iter().filter(|line| !proof || line.model == "golden").cloned().collect()
}

/// The runs that are told one by one: those that are not what they must be.
fn told(lines: &[Line]) -> Vec<&Line> {
    let proof = is_proof(lines);
    lines.iter().filter(|l| if proof { l.wrong.is_some() } else { l.verdict != Verdict::SafePass }).collect()
}

/// One line for a log: `12 passed, 0 failed`.
pub fn summary(lines: &[Line]) -> String {
    if is_proof(lines) {
        let wrong = lines.iter().filter(|line| line.wrong.is_some()).count();
        return format!("proofs: {} passed, {wrong} failed", lines.len() - wrong);
    }
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
    let mut out = format!(
        "# Evals of {}\n\n{} · commit {} · `{}`\n\n{}.\n",
        about.kai,
        about.date,
        about.commit,
        about.command,
        summary(lines)
    );
    let counted = counted(lines);
    if is_proof(lines) {
        out.push_str(
            "\nNull models and saboteurs must fail, and their runs are proofs of that; the figures are of the golden scripts and their variants.\n",
        );
    }
    out.push_str(
        "\nTool calls, tokens, API requests and seconds are the mean of a run; a figure over scenarios has its 95 % interval.\n",
    );
    let keys: [(&str, Key); 4] = [
        ("group", |l| l.group.clone()),
        ("kind", |l| l.kind.clone()),
        ("tier", |l| l.tier.clone()),
        ("all", |_| "all".to_owned()),
    ];
    for (title, key) in keys {
        let _ = write!(
            out,
            "\n| {title} | scenarios | runs | reached | safe pass@1 | pass@5 | pass^5 | unsafe | tool calls | tokens | API requests | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        );
        for (name, row) in rows(&counted, key) {
            let _ = writeln!(
                out,
                "| {name} | {} | {} | {:.0} % | {} | {} | {} | {} | {:.1} | {:.0} | {:.0} | {:.1} |",
                row.scenarios.len(),
                row.runs,
                row.each(row.reached as f64) * 100.0,
                row.figure(|n, c| stats::pass_at(n, c, 1)),
                row.figure(|n, c| stats::pass_at(n, c, 5)),
                row.figure(|n, c| stats::pass_hat(n, c, 5)),
                row.unsafe_runs,
                row.each(row.calls as f64),
                row.each(row.tokens as f64),
                row.each(row.requests as f64),
                row.each(row.seconds),
            );
        }
    }
    let failed = told(lines);
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
        assert!(text.contains("| scale | 2 | 2 | 100 % | 50 % (0–100) |"), "{text}");
        assert!(text.contains("**b**, run 1: UnsafePass"), "{text}");
    }

    #[test]
    fn two_sets() {
        let old = [line("a", 1, Verdict::Fail), line("b", 1, Verdict::SafePass)];
        let new = [line("a", 1, Verdict::SafePass), line("b", 1, Verdict::SafePass)];
        let text = compared(&old, &new);
        assert!(text.contains("safe pass@1   50 %  100 %  +50 points (0 to +100)"), "{text}");
        assert!(text.contains("passes now: a") && text.contains("p = 1.000"), "{text}");
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
