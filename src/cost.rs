//! `kai cost`: what things cost, what a change would cost, what could be smaller; and `kai prices`, which prices hold.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kai_tools::ToolError;
use kai_tools::cost::{self, Asked, Basis, By, Document, prices};
use serde_json::json;

use crate::call;
use crate::connect;
use crate::conversation::Conversation;
use crate::error::{ExitStatus, Failure};
use crate::execute::{Call, Done};
use crate::model::planner::{self, Parsed};
use crate::settings::{Output, Settings};
use crate::terminal::{Terminal, csv};

/// What `kai cost` takes.
#[derive(Clone, Debug, Default, Args)]
pub struct CostOptions {
    /// `cluster`, a namespace, or a workload; without it, the current namespace.
    #[arg(value_name = "WHAT")]
    pub about: Option<String>,
    /// The whole cluster.
    #[arg(short = 'A', long = "all-namespaces", conflicts_with = "about")]
    pub all: bool,
    /// What a row is: workload, namespace, node, pod, or label:KEY.
    #[arg(long, value_name = "WHAT")]
    pub by: Option<String>,
    /// By what pods are charged: requests, usage (the larger of both), or opencost (as OpenCost counts).
    #[arg(long, value_name = "BASIS", default_value = "requests")]
    pub basis: String,
    /// What this change would cost, in plain words; nothing is changed.
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["about", "all", "filename"])]
    pub change: Option<String>,
    /// What applying these manifests would cost: a file, a folder, a kustomization or a chart; nothing is changed.
    #[arg(short = 'f', long = "filename", value_name = "PATH", conflicts_with_all = ["about", "all"])]
    pub filename: Option<String>,
    /// Recommend smaller requests, from what was used.
    #[arg(long)]
    pub optimize: bool,
    /// Make the recommendation of this number: it is previewed and asked about as any change.
    #[arg(long, value_name = "NUMBER")]
    pub fix: Option<usize>,
    /// How far usage is looked back in Prometheus, such as 7d.
    #[arg(long, value_name = "TIME")]
    pub window: Option<String>,
    /// Exit 2 when the change costs more than this a month, reserved or on the bill; or, without a change, when the scope does.
    #[arg(long, value_name = "USD")]
    pub fail_above: Option<f64>,
    /// A price: cpu=0.03,memory=0.004 (an hour), c6i.xlarge=0.17, storage=0.08 (a GiB and month), lb=0.025. Can be repeated.
    #[arg(long, value_name = "WHAT=USD")]
    pub price: Vec<String>,
    /// A price file [env: KAI_PRICES].
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Take prices that are far off the usual.
    #[arg(long)]
    pub force_price: bool,
}

/// What `kai prices` does.
#[derive(Clone, Debug, Subcommand)]
pub enum PricesCommand {
    /// Turn OpenCost's prices (default.json, or a CSV price sheet) into a price file, on stdout.
    Import {
        /// The file.
        file: PathBuf,
        /// The values are monthly, as in OpenCost's ConfigMap `pricing-configs`; else hourly, as in default.json.
        #[arg(long)]
        monthly: bool,
        /// The day of these prices, such as 2026-11-01.
        #[arg(long, value_name = "DATE")]
        as_of: jiff::civil::Date,
    },
    /// Check a price file.
    Check {
        /// The file.
        file: PathBuf,
        /// Take prices that are far off the usual.
        #[arg(long)]
        force_price: bool,
    },
}

/// `kai cost`.
///
/// # Errors
/// When the cluster cannot be reached, nothing is called so, a price is wrong, or the change is not understood.
pub async fn run(
    settings: &Settings,
    terminal: &mut Terminal,
    options: &CostOptions,
) -> Result<ExitStatus, Failure> {
    let asked = asked(settings, options)?;
    let mut settings = settings.clone();
    settings.pricing.flags.extend(options.price.iter().cloned());
    settings.pricing.force |= options.force_price;
    if let Some(path) = &options.prices {
        settings.pricing.file = Some((path.display().to_string(), read(path)));
    }
    // A wrong price is told before the cluster is asked.
    settings.pricing.given().map_err(usage)?;
    let bench = connect::workbench(&settings, terminal.stop.clone()).await?;
    let mut stop = terminal.stop.clone();
    let context = bench.context("", jiff::Timestamp::now());
    let (document, report) = tokio::select! {
        answer = cost::answer(&context, &asked) => answer?,
        () = stop.asked() => return Ok(ExitStatus::Interrupted),
    };
    if let Some(number) = options.fix {
        let call = fix(&document, number)?;
        return Ok(call::run(&bench, &settings, terminal, &[call], "").await);
    }
    match settings.output {
        Output::Csv => terminal.answer(&csv::document(&document)?),
        Output::Json | Output::Yaml => terminal.structured(settings.output, &json!(document)),
        _ => {
            call::print(&settings, terminal, &[Done::Report(Box::new(report))]);
        }
    }
    Ok(over(&document, options.fail_above, terminal))
}

fn asked(settings: &Settings, options: &CostOptions) -> Result<Asked, Failure> {
    let typed = settings.origins.iter().any(|[name, _, source]| name == "namespace" && source == "flag");
    let namespace = settings.connect.namespace.clone().filter(|_| typed);
    let change = match (&options.change, &options.filename) {
        (Some(words), _) => understood(words)?,
        (_, Some(path)) => vec![("apply".to_string(), json!({"path": path}))],
        _ => Vec::new(),
    };
    Ok(Asked {
        about: options.about.clone(),
        namespace: if options.all { Some("*".into()) } else { namespace },
        by: options.by.as_deref().map(by).transpose()?,
        basis: match options.basis.as_str() {
            "requests" => Basis::Requests,
            "usage" => Basis::Usage,
            "opencost" => Basis::OpenCost,
            other => {
                return Err(Failure::usage(format!(
                    "--basis: `{other}` is none of requests, usage, opencost"
                )));
            }
        },
        change,
        optimize: options.optimize || options.fix.is_some(),
        window: options.window.clone(),
    })
}

fn by(said: &str) -> Result<By, Failure> {
    Ok(match said {
        "workload" | "deployment" | "controller" => By::Workload,
        "namespace" => By::Namespace,
        "node" => By::Node,
        "pod" => By::Pod,
        other => match other.strip_prefix("label:").filter(|key| !key.is_empty()) {
            Some(key) => By::Label(key.to_string()),
            None => {
                return Err(Failure::usage(format!(
                    "--by: `{other}` is none of workload, namespace, node, pod, label:KEY"
                )));
            }
        },
    })
}

/// The calls of a change in plain words.
fn understood(words: &str) -> Result<Vec<(String, serde_json::Value)>, Failure> {
    match planner::parse(words, &Conversation::default()) {
        Parsed::Calls { calls, .. } => {
            Ok(calls.into_iter().map(|c| (c.name, serde_json::Value::Object(c.args))).collect())
        }
        _ => {
            let (why, _) = planner::parse_report(words, &Conversation::default());
            let said = why.get("question").or(why.get("reason")).and_then(|q| q.as_str()).unwrap_or("");
            let message = match said {
                "" => format!("--change: `{words}` is not a sentence that the built-in planner knows"),
                said => format!("--change: {said}"),
            };
            Err(Failure::usage(message).hint(
                "A model takes any wording: kai \"what would it cost to ...\"; or price manifests with -f.",
            ))
        }
    }
}

/// Whether the figures are above the limit: exit 2, as CI wants it.
fn over(document: &Document, limit: Option<f64>, terminal: &Terminal) -> ExitStatus {
    let Some(limit) = limit else { return ExitStatus::Done };
    let larger = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b));
    let (amount, what) = match &document.delta {
        Some(delta) => {
            (larger(delta.reserved, larger(delta.bill.now, delta.bill.with_autoscaler)), "the change costs")
        }
        None => (in_all(document), "it costs"),
    };
    match amount {
        Some(amount) if amount <= limit => ExitStatus::Done,
        Some(amount) => {
            terminal.note(&format!("{what} {amount:.2} USD/month: above the limit of {limit:.2}"));
            ExitStatus::Usage
        }
        None => {
            terminal.note("what it costs is not known, so it is not below the limit");
            ExitStatus::Usage
        }
    }
}

/// What a scope costs with its volumes and load balancers; the whole cluster with its machines too.
fn in_all(document: &Document) -> Option<f64> {
    let (scope, totals) = (&document.scope, &document.totals);
    match scope.namespace.is_none() && scope.workload.is_none() {
        true => totals.cluster,
        false => [totals.allocated, totals.pv, totals.lb].into_iter().sum(),
    }
}

/// The recommendation of that number as a call.
fn fix(document: &Document, number: usize) -> Result<Call, Failure> {
    let found = document.recommendations.iter().find(|r| r.number == number);
    let Some(one) = found else {
        let there = document.recommendations.len();
        return Err(
            ToolError::Invalid(format!("there is no recommendation {number}: there are {there}")).into()
        );
    };
    let Some(tool) = &one.tool else {
        return Err(ToolError::Invalid(format!(
            "{}: {} is nothing that kai can do by itself",
            one.object, one.says
        ))
        .into());
    };
    Ok(Call { tool: tool.clone(), arguments: one.arguments.clone() })
}

fn read(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

fn usage(error: ToolError) -> Failure {
    Failure::usage(error.to_string())
}

/// `kai prices`.
///
/// # Errors
/// A file that cannot be read, or that is wrong: with its line.
pub fn prices(
    settings: &Settings,
    terminal: &Terminal,
    command: Option<&PricesCommand>,
) -> Result<ExitStatus, Failure> {
    match command {
        Some(PricesCommand::Import { file, monthly, as_of }) => {
            let text = read(file).map_err(Failure::usage)?;
            let name = file.display().to_string();
            let period = if *monthly { prices::import::Period::Month } else { prices::import::Period::Hour };
            let made = match file.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
                true => prices::import::opencost_csv(&name, &text, *as_of),
                false => prices::import::opencost_json(&name, &text, period, *as_of),
            };
            terminal.answer(made.map_err(|e| Failure::usage(e.to_string()))?.trim_end());
        }
        Some(PricesCommand::Check { file, force_price }) => {
            let text = read(file).map_err(Failure::usage)?;
            let name = file.display().to_string();
            prices::Prices::embedded()
                .with_file(&name, &text, *force_price)
                .map_err(|e| Failure::usage(e.to_string()))?;
            terminal.answer(&format!("{name} is a price file that kai can use."));
        }
        None => {
            let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
            let prices = settings.pricing.given().map_err(usage)?;
            let mut lines = vec![
                "The first that has a price is used:".to_string(),
                "  1. --price of kai cost".into(),
                format!(
                    "  2. {}",
                    settings.pricing.file.as_ref().map_or_else(
                        || "a price file ($KAI_PRICES, `prices` in config.toml): none".into(),
                        |(name, _)| format!("the price file {name}")
                    )
                ),
                "  3. the cluster's ConfigMap kai/kai-prices, key prices.toml".into(),
                "  4. the list price of the node's type in its region (AWS, Google Cloud, Azure, Oracle)"
                    .into(),
                "  5. the same type in the list's own region, or rates of its family; each is marked".into(),
                "  6. generic rates".into(),
            ];
            lines.extend(prices.stale(today));
            terminal.answer(&lines.join("\n"));
        }
    }
    Ok(ExitStatus::Done)
}
