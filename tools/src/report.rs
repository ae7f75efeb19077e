//! What a query answers: one typed result with three faces, bounded and cleaned: text for a model, blocks for people,
//! JSON for machines.

use kai_diagnose::Finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::ObjectRef;
use crate::sanitize;

/// Longest text that one tool result may put into a conversation, in bytes (about 2,000 tokens).
pub const MODEL_TEXT_BYTES: usize = 8_000;
/// Most rows of a table that a model sees.
pub const MODEL_ROWS: usize = 40;

/// The result of a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The answer in a few sentences, computed from what was read.
    pub say: Vec<String>,
    pub blocks: Vec<Block>,
    /// The whole result for machines; redacted as everything else.
    pub data: Value,
    /// The objects that the report is about, as resolved on the cluster.
    pub about: Vec<ObjectRef>,
}

/// One part of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    Table(Table),
    /// What a diagnosis found, the most important first; cleaned and redacted.
    Findings(Vec<Finding>),
    /// How much of something is taken.
    Bars {
        title: String,
        bars: Vec<Bar>,
        /// What was left out.
        more: String,
    },
    /// Lines as they came (a log, YAML), already cleaned and redacted.
    Text {
        title: String,
        lines: Vec<String>,
    },
}

/// How much of one thing is taken, as parts of 1 that may be above it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Such as `worker-1 cpu`.
    pub name: String,
    pub requested: f64,
    pub used: Option<f64>,
    /// The same in words.
    pub text: String,
}

/// A table. The first column identifies the row; `importance` says which columns stay when the terminal is narrow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
    /// Rows that were left out, and how to see them: `37 more, narrow with ...`. Empty when all are here.
    pub more: String,
}

/// A column of a table: its heading, and how much it matters (0 is dropped last).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub importance: u8,
}

impl Table {
    /// An empty table with the given columns, the earlier the more important.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns
            .iter()
            .enumerate()
            .map(|(i, name)| Column { name: (*name).into(), importance: i as u8 })
            .collect();
        Self { title: title.into(), columns, ..Self::default() }
    }

    /// Adds a row of cells from outside; they are cleaned here.
    pub fn push(&mut self, row: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push(row.into_iter().map(|c| sanitize::line(&crate::redact::text(c.as_ref()))).collect());
    }
}

impl Report {
    /// A report that is one sentence.
    pub fn sentence(text: impl Into<String>) -> Self {
        Self { say: vec![text.into()], ..Self::default() }
    }

    /// The face for a model: compact, at most [`MODEL_TEXT_BYTES`], and it says what was left out.
    pub fn for_model(&self) -> String {
        let mut out = self.say.join("\n");
        for block in &self.blocks {
            if !out.is_empty() {
                out.push('\n');
            }
            match block {
                Block::Table(table) => table_text(table, &mut out),
                Block::Findings(findings) => out.push_str(&findings_text(findings)),
                Block::Bars { bars, .. } => {
                    let lines: Vec<String> = bars.iter().map(|b| format!("{}: {}", b.name, b.text)).collect();
                    out.push_str(&lines.join("\n"));
                }
                Block::Text { title, lines } => {
                    out.push_str(title);
                    out.push('\n');
                    out.push_str(&lines.join("\n"));
                }
            }
        }
        bounded(&out, MODEL_TEXT_BYTES)
    }
}

fn table_text(table: &Table, out: &mut String) {
    if !table.title.is_empty() {
        out.push_str(&table.title);
        out.push('\n');
    }
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    out.push_str(&names.join(" | "));
    for row in table.rows.iter().take(MODEL_ROWS) {
        out.push('\n');
        out.push_str(&row.join(" | "));
    }
    let hidden = table.rows.len().saturating_sub(MODEL_ROWS);
    if hidden > 0 {
        out.push_str(&format!("\n... {hidden} more, narrow with name, selector or namespace"));
    }
    if !table.more.is_empty() {
        out.push_str(&format!("\n... {}", table.more));
    }
}

/// Findings for a model: as much of each as it needs to explain it and to call the fix.
fn findings_text(findings: &[Finding]) -> String {
    const MOST: usize = 12;
    let mut lines = Vec::new();
    for (at, f) in findings.iter().take(MOST).enumerate() {
        let place =
            if f.object.namespace.is_empty() { String::new() } else { format!(" in {}", f.object.namespace) };
        let certain = serde_json::to_value(f.confidence).ok().and_then(|v| v.as_str().map(str::to_owned));
        lines.push(format!(
            "{}. {} [{}, {}] {}{place}: {}",
            at + 1,
            f.cause,
            word(f),
            certain.unwrap_or_default(),
            f.object,
            f.says
        ));
        lines.extend(
            f.evidence.iter().take(2).map(|e| format!("   seen: {} {}: {}", e.object, e.at, e.value)),
        );
        if !f.impact.is_empty() {
            let down: Vec<String> =
                f.impact.iter().take(6).map(|i| format!("{} {}", i.object, i.says)).collect();
            let more = f.impact.len().saturating_sub(6);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("   down: {}{more}", down.join("; ")));
        }
        if let Some(changed) = &f.changed {
            lines.push(format!("   changed before: {changed}"));
        }
        for fix in f.fixes.iter().take(2) {
            let calls: Vec<String> =
                fix.calls.iter().map(|c| format!(" = {} {}", c.tool, c.arguments)).collect();
            lines.push(format!("   fix: {}{}", fix.says, calls.join(", ")));
        }
        if let Some(settle) = &f.settle {
            lines.push(format!("   only likely; this would settle it: {settle}"));
        }
    }
    if findings.len() > MOST {
        lines.push(format!("... {} more findings, narrow with namespace or about", findings.len() - MOST));
    }
    lines.join("\n")
}

fn word(finding: &Finding) -> &'static str {
    match finding.class {
        kai_diagnose::Class::Fault => "fault",
        kai_diagnose::Class::Risk => "risk",
        kai_diagnose::Class::Hygiene => "hygiene",
    }
}

/// How long ago an RFC 3339 moment was, in its largest whole unit: `45s`, `12m`, `3h`, `5d`. Empty when it is none.
pub fn age(then: &str, now: jiff::Timestamp) -> String {
    then.parse::<jiff::Timestamp>()
        .map_or_else(|_| String::new(), |t| length(now.as_second() - t.as_second()))
}

/// A length of time as people say it; the unit changes where the next smaller one has become noise.
pub fn length(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 120 => format!("{s}s"),
        s if s < 7200 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// A value as YAML.
pub fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

/// At most `limit` bytes of the text: head and tail, with a note of what is missing in between.
pub fn bounded(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_string();
    }
    let head = floor(text, limit * 2 / 3);
    let tail = ceil(text, text.len() - limit / 4);
    format!("{}\n... {} bytes left out ...\n{}", &text[..head], tail - head, &text[tail..])
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_never_gets_more_than_the_limit() {
        let mut table = Table::new("pods", &["NAME", "STATUS"]);
        for i in 0..5000 {
            table.push([format!("backend-{i}"), "Running".to_string()]);
        }
        let text = Report { blocks: vec![Block::Table(table)], ..Report::default() }.for_model();
        assert!(text.len() <= MODEL_TEXT_BYTES + 64, "{}", text.len());
        assert!(text.contains("4960 more"), "{text}");
        let long = "é".repeat(20_000);
        assert!(bounded(&long, 8000).len() < 8100);
    }

    #[test]
    fn ages() {
        let now = "2026-11-21T04:00:00Z".parse().unwrap();
        assert_eq!(age("2026-11-21T03:59:15Z", now), "45s");
        assert_eq!(age("2026-11-19T04:00:00Z", now), "2d");
        assert_eq!(age("", now), "");
        assert_eq!(length(-3), "0s");
        assert_eq!(length(7199), "119m");
    }

    #[test]
    fn cells_are_cleaned() {
        let mut table = Table::new("", &["NAME"]);
        table.push(["x\x1b[31m"]);
        assert_eq!(table.rows[0][0], "x\\u{1b}[31m");
    }
}
