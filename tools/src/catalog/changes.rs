//! `changes`: what kai itself changed, from its journal; needs no cluster.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::undo::done_steps;
use crate::error::ToolError;
use crate::journal::{Entry, Journal, Record};
use crate::report::{Block, Report, Table};
use crate::tool::{Context, Query};

/// List what kai changed, when, and how it ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    pub since: Option<String>,
    pub limit: Option<u32>,
}

impl Query for Changes {
    const NAME: &'static str = "changes";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        self.read(&context.journal, context.now)
    }
}

impl Changes {
    /// The answer, from the journal alone.
    ///
    /// # Errors
    /// `Invalid` when `since` is no length of time; `Records` when the journal cannot be trusted.
    pub fn read(&self, journal: &Journal, now: jiff::Timestamp) -> Result<Report, ToolError> {
        let from = match &self.since {
            Some(since) => Some(now.as_second() - seconds(since)?),
            None => None,
        };
        Ok(report(&journal.records()?, from, self.limit.unwrap_or(20) as usize))
    }
}

/// A length of time such as `90s`, `10m`, `1h30m`, `7d`, in seconds.
///
/// # Errors
/// `Invalid` when it is not one.
pub fn seconds(said: &str) -> Result<i64, ToolError> {
    let mut total = 0_i64;
    let mut digits = String::new();
    for c in said.trim().chars() {
        let unit = match c {
            '0'..='9' if digits.len() < 9 => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => 0,
        };
        let Some(count) = digits.parse::<i64>().ok().filter(|_| unit > 0) else {
            total = -1;
            break;
        };
        total += count * unit;
        digits.clear();
    }
    if total <= 0 || !digits.is_empty() {
        let shown = crate::sanitize::line(said);
        return Err(ToolError::Invalid(format!(
            "`{shown}` is not a length of time: write 90s, 10m, 2h, 1h30m or 7d"
        )));
    }
    Ok(total)
}

fn report(records: &[Record], from: Option<i64>, limit: usize) -> Report {
    let mut plans: Vec<&str> = Vec::new();
    for record in records.iter().rev().filter(|r| from.is_none_or(|f| r.at.as_second() >= f)) {
        if matches!(record.entry, Entry::Intent(_)) && !plans.contains(&record.plan.as_str()) {
            plans.push(&record.plan);
        }
    }
    if plans.is_empty() {
        return Report {
            data: json!({"changes": []}),
            ..Report::sentence("kai changed nothing in that time.")
        };
    }
    let mut table =
        Table::new("", &["PLAN", "WHAT", "RESULT", "WHEN", "NAMESPACE", "CONTEXT", "APPROVED BY"]);
    let mut data = Vec::new();
    for plan in plans.iter().take(limit) {
        let own: Vec<&Record> = records.iter().filter(|r| r.plan == **plan).collect();
        let Some((at, intent)) = own.iter().find_map(|r| match &r.entry {
            Entry::Intent(intent) => Some((r.at, intent)),
            _ => None,
        }) else {
            continue;
        };
        let result = result(records, &own, plan, intent.steps);
        table.push([
            *plan,
            &intent.title,
            &result,
            &at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            &intent.object.namespace,
            &intent.context,
            &intent.approved_by,
        ]);
        data.push(json!({"plan": plan, "title": intent.title, "result": result, "at": at, "namespace": intent.object.namespace,
            "context": intent.context, "approved_by": intent.approved_by, "words": intent.words, "undoes": intent.undoes}));
    }
    let hidden = plans.len().saturating_sub(limit);
    if hidden > 0 {
        table.more = format!("{hidden} more, raise `limit` or give `since`");
    }
    let count = plans.len();
    Report {
        say: vec![format!(
            "kai made {count} change{}; the last: {}.",
            if count == 1 { "" } else { "s" },
            table.rows[0][1]
        )],
        data: json!({"changes": Value::Array(data)}),
        blocks: vec![Block::Table(table)],
        about: Vec::new(),
    }
}

fn result(records: &[Record], own: &[&Record], plan: &str, steps: usize) -> String {
    let done = done_steps(records, plan).len();
    let undone_by = records.iter().find_map(|r| match &r.entry {
        Entry::Intent(i) if i.undoes.as_deref() == Some(plan) && !done_steps(records, &r.plan).is_empty() => {
            Some(&r.plan)
        }
        _ => None,
    });
    let verdict = own.iter().rev().find_map(|r| match &r.entry {
        Entry::Verdict { verdict, .. } => Some(verdict.clone()),
        _ => None,
    });
    let answered = own.iter().filter(|r| matches!(r.entry, Entry::Outcome { .. })).count();
    match (undone_by, verdict) {
        (Some(id), _) => format!("taken back by {id}"),
        _ if answered == 0 => "unknown: kai was stopped while writing".into(),
        (_, Some(verdict)) if done == steps => verdict,
        _ if done == steps => "applied".into(),
        _ => format!("{done} of {steps} applied"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(seconds("1h30m").unwrap(), 5400);
        assert_eq!(seconds("7d").unwrap(), 604_800);
        for bad in ["", "10", "m", "-5m", "5 m", "1y", "99999999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
