//! `kai diagnose`: what is wrong and why, on the cluster or in a dump of one, and the fix as a change like any other.

use std::path::PathBuf;

use clap::Args;
use kai_tools::ToolError;
use kai_tools::diagnose::{self as diagnosis, Asked, Collected, Finding, Show};
use kai_tools::report::{Block, Report, Table};
use serde_json::json;

use crate::call;
use crate::connect;
use crate::error::{ExitStatus, Failure};
use crate::execute::{Call, Done};
use crate::settings::{Output, Settings};
use crate::terminal::Terminal;

/// What `kai diagnose` takes.
#[derive(Clone, Debug, Default, Args)]
pub struct DiagnoseOptions {
    /// A namespace, a name, or kind/name; without it, the whole cluster.
    #[arg(value_name = "WHAT")]
    pub about: Option<String>,
    /// Show what will fail on a drain, a restart or an expiry too.
    #[arg(long)]
    pub risks: bool,
    /// Show what is against good practice too.
    #[arg(long)]
    pub lint: bool,
    /// Make the change that the finding of this number proposes: it is previewed and asked about as any other.
    #[arg(long, value_name = "NUMBER", conflicts_with = "from")]
    pub fix: Option<usize>,
    /// Look at a dump instead of a cluster: a file or folder of kubectl, a must-gather, or --save.
    #[arg(long, value_name = "PATH")]
    pub from: Option<PathBuf>,
    /// List the causes that kai knows; with -o markdown as documentation.
    #[arg(long, conflicts_with_all = ["from", "fix", "about"])]
    pub list: bool,
    /// Write what was looked at to a file, without secrets, for --from.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub save: Option<PathBuf>,
}

/// `kai diagnose`.
///
/// # Errors
/// When the cluster cannot be reached, the dump cannot be read, nothing is called so, or there is no such finding.
pub async fn run(
    settings: &Settings,
    terminal: &mut Terminal,
    options: &DiagnoseOptions,
) -> Result<ExitStatus, Failure> {
    if options.list {
        return Ok(list(settings, terminal));
    }
    let show = Show { risks: options.risks, lint: options.lint };
    let typed = settings.origins.iter().any(|[name, _, source]| name == "namespace" && source == "flag");
    let namespace = settings.connect.namespace.as_deref().filter(|_| typed);
    let asked = diagnosis::as_meant(options.about.as_deref(), namespace);
    if let Some(path) = &options.from {
        let found = diagnosis::of_dump(path, &asked)?;
        let report = diagnosis::report(&found.diagnosis, &found.snapshot, &found.scope, show, None);
        return Ok(call::print(settings, terminal, &[Done::Report(Box::new(report))]));
    }
    let bench = connect::workbench(settings, terminal.stop.clone()).await?;
    let mut stop = terminal.stop.clone();
    let found = tokio::select! {
        found = diagnosis::collect(&bench.cluster, &asked, options.save.is_some()) => found?,
        () = stop.asked() => return Ok(ExitStatus::Interrupted),
    };
    if let Some(path) = &options.save {
        let count = diagnosis::save(&found, path)?;
        terminal.note(&format!("{count} objects are in {}, without secrets", path.display()));
    }
    let mut report =
        diagnosis::report(&found.diagnosis, &found.snapshot, &found.scope, show, Some(&found.cost));
    if let Some(number) = options.fix {
        let calls = fix(&found, show, number)?;
        return Ok(call::run(&bench, settings, terminal, &calls, "").await);
    }
    if settings.output == Output::Text && found.diagnosis.findings.iter().any(is_mendable) {
        report.say.push(format!("Preview a fix with: {}", again(&asked, show)));
    }
    Ok(call::print(settings, terminal, &[Done::Report(Box::new(report))]))
}

/// The catalogue of causes.
fn list(settings: &Settings, terminal: &Terminal) -> ExitStatus {
    let causes: Vec<_> = diagnosis::causes().collect();
    let class = |c: diagnosis::Class| format!("{c:?}").to_lowercase();
    match settings.output {
        Output::Text => {
            let mut table = Table::new("", &["CAUSE", "CLASS", "SEVERITY", "WHAT IT IS"]);
            for c in &causes {
                table.push([c.id, &class(c.class), &c.severity.to_string(), c.about]);
            }
            let report = Report { blocks: vec![Block::Table(table)], ..Report::default() };
            terminal.answer(&terminal.render(&report));
        }
        Output::Markdown => {
            let rows = causes
                .iter()
                .map(|c| format!("| `{}` | {} | {} | {} |", c.id, class(c.class), c.severity, c.about));
            terminal.answer(&rows.collect::<Vec<_>>().join("\n"));
        }
        other => {
            let all = causes.iter().map(
                |c| json!({"cause": c.id, "class": class(c.class), "severity": c.severity, "about": c.about}),
            );
            terminal.structured(other, &all.collect());
        }
    }
    ExitStatus::Done
}

fn is_mendable(finding: &Finding) -> bool {
    finding.class == diagnosis::Class::Fault && finding.fixes.first().is_some_and(|f| !f.calls.is_empty())
}

/// The same command with `--fix`.
fn again(asked: &Asked, show: Show) -> String {
    let mut words = vec!["kai diagnose".to_owned()];
    words.extend(asked.about.clone());
    words.extend(asked.namespace.iter().map(|n| format!("-n {n}")));
    words.extend(show.risks.then(|| "--risks".to_owned()));
    words.extend(show.lint.then(|| "--lint".to_owned()));
    words.push("--fix NUMBER".to_owned());
    words.join(" ")
}

/// The calls of the fix of the finding of that number, as it is shown.
fn fix(found: &Collected, show: Show, number: usize) -> Result<Vec<Call>, Failure> {
    let shown: Vec<&Finding> = found.diagnosis.findings.iter().filter(|f| show.shows(f.class)).collect();
    let Some(finding) = number.checked_sub(1).and_then(|at| shown.get(at)) else {
        let there = match shown.len() {
            0 => "there is no finding".to_owned(),
            1 => "there is one finding".to_owned(),
            n => format!("there are {n} findings"),
        };
        return Err(Failure::from(ToolError::Invalid(format!("there is no finding {number}: {there}"))));
    };
    let typed = finding.fixes.iter().find(|f| !f.calls.is_empty());
    let Some(fix) = typed else {
        let advice = finding.fixes.first().map_or("nothing that kai knows", |f| f.says.as_str());
        let mut failure = Failure::from(ToolError::Invalid(format!(
            "{} ({}) has no fix that kai can make by itself",
            finding.cause, finding.object
        )));
        failure.hint = Some(kai_tools::sanitize::line(&format!("What would help: {advice}.")));
        return Err(failure);
    };
    Ok(fix.calls.iter().map(|c| Call { tool: c.tool.clone(), arguments: json!(c.arguments) }).collect())
}
