//! Tools by hand, and the commands around plans: `call`, `apply`, `approve`, `undo`, `log`.

use std::path::Path;

use jiff::Timestamp;
use kai_tools::catalog::{self, Changes};
use kai_tools::cluster::wait::Stop;
use kai_tools::policy::Policy;
use kai_tools::report::Report;
use kai_tools::review::Answer;
use kai_tools::store::{SavedPlan, Store, read_plan};
use kai_tools::tool::Effect;
use serde_json::{Value, json};

use crate::approval::{Front, Said};
use crate::cli::ApplyOptions;
use crate::connect;
use crate::error::{ExitStatus, Failure};
use crate::execute::{Bound, Call, Done, Request, Workbench, status_of};
use crate::settings::{Output, Settings};
use crate::terminal::Terminal;

/// How long a plan in a file may be applied: a day.
const PLAN_FILE_SECONDS: i64 = 86_400;

/// `kai call`: one tool with JSON arguments.
///
/// # Errors
/// Usage failures for an unknown tool or arguments that are not JSON; what the tool says otherwise.
pub async fn call(
    settings: &Settings,
    terminal: &mut Terminal,
    tool: &str,
    arguments: Option<&str>,
) -> Result<ExitStatus, Failure> {
    if catalog::find(tool).is_none() {
        return Err(
            Failure::usage(format!("there is no tool `{tool}`")).hint("`kai call --list` lists them.")
        );
    }
    let arguments: Value = serde_json::from_str(arguments.unwrap_or("{}")).map_err(|e| {
        Failure::usage(format!("the arguments are not JSON: {e}"))
            .hint(format!("`kai call {tool} --describe` shows what it takes."))
    })?;
    let calls = [Call { tool: tool.into(), arguments }];
    let bench = connect::workbench(settings, terminal.stop.clone()).await?;
    Ok(run(&bench, settings, terminal, &calls, "").await)
}

/// `kai undo`.
///
/// # Errors
/// As [`call`].
pub async fn undo(
    settings: &Settings,
    terminal: &mut Terminal,
    plan: Option<&str>,
) -> Result<ExitStatus, Failure> {
    let bench = connect::workbench(settings, terminal.stop.clone()).await?;
    Ok(undo_on(&bench, settings, terminal, plan).await)
}

/// Undo where a connection stands already, as in the chat.
pub async fn undo_on(
    bench: &Workbench,
    settings: &Settings,
    terminal: &mut Terminal,
    plan: Option<&str>,
) -> ExitStatus {
    let arguments = plan.map_or_else(|| json!({}), |id| json!({"id": id}));
    run(bench, settings, terminal, &[Call { tool: "undo".into(), arguments }], "undo").await
}

/// Runs calls of one turn and prints what they came to.
pub async fn run(
    bench: &Workbench,
    settings: &Settings,
    terminal: &mut Terminal,
    calls: &[Call],
    words: &str,
) -> ExitStatus {
    let request = Request { calls, words, now: Timestamp::now() };
    let done = bench.turn(&request, terminal).await;
    print(settings, terminal, &done)
}

/// Prints results as the settings want them and gives the exit status.
pub fn print(settings: &Settings, terminal: &Terminal, done: &[Done]) -> ExitStatus {
    terminal.end_progress();
    let status = status_of(done);
    if settings.output == Output::Text || settings.output == Output::Markdown {
        for one in distinct(done) {
            match one {
                Done::Report(report) if settings.output == Output::Markdown => {
                    terminal.answer(&terminal.markdown(report));
                }
                Done::Report(report) => terminal.answer(&terminal.render(report)),
                // Whatever held it back is told itself.
                Done::HeldBack(_) => {}
                Done::Failed(error) => terminal.failure(&error.clone().into()),
                other => terminal.answer(&other.say().join("\n")),
            }
        }
    } else {
        let all: Vec<Value> = done.iter().map(Done::json).collect();
        let value = if all.len() == 1 { all[0].clone() } else { Value::Array(all) };
        terminal.structured(settings.output, &value);
    }
    status
}

/// Actions of one turn share one outcome; it is told once.
pub fn distinct(done: &[Done]) -> Vec<&Done> {
    let mut seen: Vec<String> = Vec::new();
    done.iter()
        .filter(|d| {
            let said = if let Done::Report(_) = d { return true } else { d.say().join("\n") };
            let fresh = !seen.contains(&said);
            seen.push(said);
            fresh
        })
        .collect()
}

/// `kai call --list`.
pub fn list(settings: &Settings, terminal: &Terminal) -> ExitStatus {
    if settings.output == Output::Markdown {
        terminal.answer(&reference());
        return ExitStatus::Done;
    }
    if settings.output != Output::Text {
        // As models and MCP clients are told.
        let all: Vec<Value> = catalog::offered(&rules(settings))
            .map(|t| json!({"name": t.name, "description": t.description(), "reads": t.effect == Effect::Reads, "schema": t.schema()}))
            .collect();
        terminal.structured(settings.output, &Value::Array(all));
        return ExitStatus::Done;
    }
    let mut table = kai_tools::report::Table::new("", &["TOOL", "EFFECT", "WHAT IT DOES"]);
    for tool in catalog::TOOLS {
        let effect = match (tool.effect, tool.needs) {
            (Effect::Reads, _) => "reads",
            (_, Some(need)) if !rules(settings).allows(need) => "off",
            _ => "changes",
        };
        table.push([tool.name, effect, &tool.description()]);
    }
    let report = Report { blocks: vec![kai_tools::report::Block::Table(table)], ..Report::default() };
    terminal.answer(&terminal.render(&report));
    ExitStatus::Done
}

/// The rules for the context that is named, else the general ones, with what `--allow` adds: no cluster is asked.
fn rules(settings: &Settings) -> Policy {
    settings.policy(settings.connect.context.as_deref().unwrap_or_default())
}

/// `kai call TOOL --describe`.
///
/// # Errors
/// A usage failure for an unknown tool.
pub fn describe(terminal: &Terminal, name: &str) -> Result<ExitStatus, Failure> {
    let tool = catalog::find(name).ok_or_else(|| {
        Failure::usage(format!("there is no tool `{name}`")).hint("`kai call --list` lists them.")
    })?;
    let schema = serde_json::to_string_pretty(&tool.schema()).unwrap_or_default();
    terminal.answer(&format!("{}: {}\n\n{schema}", tool.name, tool.description()));
    Ok(ExitStatus::Done)
}

/// `kai log`: from the journal alone, no cluster needed.
///
/// # Errors
/// When the journal cannot be trusted, or `since` is no length of time.
pub fn log(
    settings: &Settings,
    terminal: &Terminal,
    since: Option<String>,
    limit: Option<u32>,
) -> Result<ExitStatus, Failure> {
    let report = Changes { since, limit }.read(&connect::journal(settings), Timestamp::now())?;
    Ok(print(settings, terminal, &[Done::Report(Box::new(report))]))
}

/// `kai apply`: a plan file or a waiting plan, exactly as it was previewed.
///
/// # Errors
/// When there is no such plan, when it is stale, or when the cluster cannot be reached.
pub async fn apply(settings: &Settings, terminal: &mut Terminal, said: &str) -> Result<ExitStatus, Failure> {
    let store = Store::in_folder(&settings.state);
    let path = Path::new(said);
    let from_file = path.exists();
    let plan = if from_file { read_plan(path).map_err(usage)? } else { store.load(said)? };
    still_usable(&plan, settings)?;
    let stop = terminal.stop.clone();
    let done = carry_out(settings, terminal, &plan, None, stop).await?;
    let applied = done.iter().any(|d| matches!(d, Done::Applied(_)));
    if applied && !from_file {
        store.take(&plan.view.id)?;
    }
    Ok(print(settings, terminal, &done))
}

/// Whether what was said to `kai apply` is a plan: a file that kai wrote, or the id of one that waits.
///
/// # Errors
/// A usage failure for a path that is neither there nor can be an id.
pub fn is_plan(said: &str) -> Result<bool, Failure> {
    let path = Path::new(said);
    if said == "-" || path.is_dir() {
        return Ok(false);
    }
    if path.exists() {
        // A plan file is JSON that says no kind of object; every manifest says one.
        let text = std::fs::read(path).unwrap_or_default();
        let is_json = path.extension().is_some_and(|e| e == "json") || text.starts_with(b"{");
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        return Ok(is_json && value.get("kind").is_none());
    }
    if !said.is_empty() && said.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(true);
    }
    Err(Failure::usage(format!("{}: there is no such file or folder", kai_tools::sanitize::line(said))))
}

/// `kai apply` of manifests: the `apply` tool, with what was said.
///
/// # Errors
/// When stdin cannot be read or the cluster cannot be reached.
pub async fn apply_manifests(
    settings: &Settings,
    terminal: &mut Terminal,
    said: &str,
    options: &ApplyOptions,
) -> Result<ExitStatus, Failure> {
    const MOST: u64 = 8 << 20;
    let mut arguments = json!({});
    if said == "-" {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(std::io::stdin(), MOST), &mut text)?;
        arguments["manifest"] = json!(text);
    } else {
        arguments["path"] = json!(said);
    }
    // A namespace that was typed here must fit the manifests; one from the settings is only for those that name none.
    let typed = settings.origins.iter().any(|[name, _, source]| name == "namespace" && source == "flag");
    if let Some(namespace) = settings.connect.namespace.as_ref().filter(|_| typed) {
        arguments["namespace"] = json!(namespace);
    }
    if let Some(release) = &options.release {
        arguments["release"] = json!(release);
    }
    for (name, list) in [("values", &options.values), ("set", &options.set)] {
        if !list.is_empty() {
            arguments[name] = json!(list);
        }
    }
    if options.take_over {
        arguments["take_over"] = json!(true);
    }
    call(settings, terminal, "apply", Some(&arguments.to_string())).await
}

/// A plan file is used once, and not after its time: what was true then is shown again, but who asked has gone home.
fn still_usable(plan: &SavedPlan, settings: &Settings) -> Result<(), Failure> {
    let id = &plan.view.id;
    let stale = |message: String| {
        let hint = Some("Nothing was changed. Ask again for a new plan.".to_string());
        Err(Failure { message, hint, status: ExitStatus::Stale })
    };
    let age = Timestamp::now().as_second() - plan.now.as_second();
    if !(-60..=PLAN_FILE_SECONDS).contains(&age) {
        return stale(format!("plan {id} is from {}: older than a day, or from the future", plan.now));
    }
    if catalog::was_applied(&connect::journal(settings).records()?, id) {
        return stale(format!("plan {id} was applied already"));
    }
    Ok(())
}

fn usage(error: kai_tools::ToolError) -> Failure {
    Failure { status: ExitStatus::Usage, ..error.into() }
}

/// Plans and previews a saved plan again, and applies it when it is still the same. `typed` is the answer of somebody
/// who was asked already.
///
/// # Errors
/// When the plan's context cannot be reached.
pub async fn carry_out(
    settings: &Settings,
    front: &mut impl Front,
    plan: &SavedPlan,
    answer: Option<Answer>,
    stop: Stop,
) -> Result<Vec<Done>, Failure> {
    let mut options = settings.connect.clone();
    if let Some(asked) =
        options.context.as_ref().filter(|c| **c != plan.context && plan.context != "in-cluster")
    {
        return Err(Failure {
            message: format!("the plan is for context {}, not {asked}", plan.context),
            hint: Some("Leave --context out.".into()),
            status: ExitStatus::Stale,
        });
    }
    if plan.context != "in-cluster" {
        options.context = Some(plan.context.clone());
    }
    options.namespace = Some(plan.namespace.clone());
    let bench = connect::connect(settings, options, stop).await?;
    let calls: Vec<Call> =
        plan.calls.iter().map(|c| Call { tool: c.tool.clone(), arguments: c.arguments.clone() }).collect();
    let request = Request { calls: &calls, words: &plan.words, now: plan.now };
    let bound = Bound { digest: plan.view.digest.clone(), answer };
    Ok(bench.act(&request, Some(&bound), front).await)
}

/// `kai approve`: looks at a waiting plan and, when the person agrees, stamps it for whoever asked.
///
/// # Errors
/// When there is no such plan, or nobody can be asked here.
pub async fn approve(
    settings: &Settings,
    terminal: &mut Terminal,
    id: Option<&str>,
) -> Result<ExitStatus, Failure> {
    let store = Store::in_folder(&settings.state);
    let Some(id) = id else { return Ok(list_waiting(settings, terminal, &store)) };
    let plan = store.load(id)?;
    terminal.show(&plan.view);
    if let kai_tools::policy::Decision::Refuse { reason, hint } = &plan.view.decision {
        return Err(Failure {
            message: reason.clone(),
            hint: Some(hint.clone()).filter(|h| !h.is_empty()),
            status: ExitStatus::Denied,
        });
    }
    match terminal.ask(&plan.view).await {
        Said::Yes { typed } => {
            store.stamp(&plan, typed)?;
            terminal.answer(&format!(
                "Approved plan {}: whoever asked for it may apply it once, within 10 minutes.",
                plan.view.id
            ));
            Ok(ExitStatus::Done)
        }
        Said::No => {
            terminal.answer("Not approved. Nothing was changed.");
            Ok(ExitStatus::NotApproved)
        }
        Said::Interrupted => Ok(ExitStatus::Interrupted),
        Said::Nobody => Err(Failure {
            message: "a plan is approved by a person at a terminal".into(),
            hint: Some("Run `kai approve` in a terminal, not in a pipe or a script.".into()),
            status: ExitStatus::NotApproved,
        }),
    }
}

fn list_waiting(settings: &Settings, terminal: &Terminal, store: &Store) -> ExitStatus {
    let waiting = store.waiting();
    if settings.output != Output::Text {
        let all: Vec<Value> = waiting.iter().map(|p| json!(p.view)).collect();
        terminal.structured(settings.output, &Value::Array(all));
    } else if waiting.is_empty() {
        terminal.answer("No plan waits.");
    } else {
        let lines: Vec<String> =
            waiting.iter().map(|p| format!("{}  {}  ({})", p.view.id, p.view.title, p.context)).collect();
        terminal.answer(&lines.join("\n"));
    }
    ExitStatus::Done
}

/// The catalogue as Markdown: what docs/tools.md holds, so that it cannot be wrong.
fn reference() -> String {
    let mut out = String::from(
        "# Tools\n\nWhat models, MCP clients and `kai call` can use. Written by `kai call --list -o markdown`.\n",
    );
    for tool in catalog::TOOLS {
        let effect = match (tool.effect, tool.needs) {
            (Effect::Reads, _) => "reads",
            (_, Some(_)) => "off unless allowed; through preview and approval",
            _ => "changes, through preview and approval",
        };
        out.push_str(&format!("\n## {}\n\n{} ({effect})\n\n", tool.name, tool.description()));
        let schema = tool.schema();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str("| argument | type | what it is |\n|---|---|---|\n");
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let kind = match property["enum"].as_array() {
                Some(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                None => property["type"].as_str().unwrap_or("").to_string(),
            };
            let must = if required.contains(&name.as_str()) { " (required)" } else { "" };
            let what = property["description"].as_str().unwrap_or("").replace('\n', " ").replace('|', "\\|");
            out.push_str(&format!("| `{name}`{must} | {kind} | {what} |\n"));
        }
    }
    out
}
