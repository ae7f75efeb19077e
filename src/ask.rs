//! One request, one answer: the words go to the model, its calls to the workbench, its answer to stdout.

use std::path::Path;

use jiff::Timestamp;
use kai_tools::ToolError;
use kai_tools::catalog;
use kai_tools::cluster::wait::Stop;
use kai_tools::policy::Policy;
use kai_tools::store::{SavedPlan, VERSION};
use serde_json::{Value, json};

use crate::agent::{self, AgentError, Execute, Limits};
use crate::approval::Front;
use crate::call;
use crate::connect;
use crate::conversation::{About, Conversation, Message, ToolCall, ToolResult};
use crate::error::{ExitStatus, Failure};
use crate::execute::{Call, Done, Request, Workbench, status_of, status_of_talk};
use crate::model::providers::choose;
use crate::model::{Model, ToolSpec, Usage};
use crate::prompt;
use crate::settings::{Output, Settings};
use crate::terminal::Terminal;

/// The catalogue as a model is told of it.
pub fn tool_specs(policy: &Policy) -> Vec<ToolSpec> {
    catalog::offered(policy)
        .map(|t| ToolSpec { name: t.name.into(), description: t.description(), schema: t.schema_for_model() })
        .collect()
}

/// What a model is told before the conversation.
pub fn system(bench: &Workbench) -> String {
    let mode = serde_json::to_value(bench.policy.mode)
        .ok()
        .and_then(|m| m.as_str().map(str::to_string))
        .unwrap_or_default();
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    prompt::system(bench.cluster.context(), bench.cluster.namespace(), &mode, &today)
}

/// Carries out a model's calls on the workbench and remembers what came of them.
pub struct Hands<'a, F: Front> {
    pub bench: &'a Workbench,
    pub front: &'a mut F,
    pub words: String,
    pub now: Timestamp,
    /// Calls with what they came to, in order.
    pub done: Vec<(Call, Done)>,
}

impl<F: Front> Execute for Hands<'_, F> {
    async fn execute(&mut self, calls: &[ToolCall]) -> (Vec<ToolResult>, Option<String>) {
        let typed: Vec<Call> = calls
            .iter()
            .map(|c| Call {
                tool: c.name.clone(),
                // Some models send nothing where there is nothing to say.
                arguments: serde_json::from_str(&c.arguments).unwrap_or_else(|_| json!({})),
            })
            .collect();
        let request = Request { calls: &typed, words: &self.words, now: self.now };
        let done = self.bench.turn(&request, self.front).await;
        let fatal = done.iter().find_map(|d| match d {
            Done::Failed(e) if e.is_fatal() => Some(e.explain()),
            Done::Interrupted => Some("interrupted".into()),
            _ => None,
        });
        // Who stopped a wait wants no further model call either.
        let fatal = fatal.or_else(|| self.bench.stop.is_set().then(|| "interrupted".into()));
        if self.bench.chosen_by_model {
            for one in crate::call::distinct(&done) {
                if matches!(one, Done::Applied(_) | Done::Failed(ToolError::Stale { .. })) {
                    self.front.came_to(&one.say(), one.status() == ExitStatus::Done);
                }
            }
        }
        let results = calls.iter().zip(&done).map(|(call, done)| result(call, done)).collect();
        self.done.extend(typed.into_iter().zip(done));
        (results, fatal)
    }
}

fn result(call: &ToolCall, done: &Done) -> ToolResult {
    let about =
        done.about().into_iter().map(|o| About { kind: o.kind, namespace: o.namespace, name: o.name });
    ToolResult {
        id: call.id.clone(),
        name: call.name.clone(),
        text: done.for_model(),
        say: done.say(),
        ok: done.status() == ExitStatus::Done,
        about: about.collect(),
    }
}

/// `kai "..."`.
///
/// # Errors
/// When settings, cluster or model cannot be used.
pub async fn ask(settings: &Settings, terminal: &mut Terminal, words: &str) -> Result<ExitStatus, Failure> {
    let model = choose(settings).map_err(failure)?;
    let mut conversation = Conversation { messages: vec![Message::User { text: words.into() }] };
    if let Some(status) = placed(settings, terminal, &model, &conversation) {
        return Ok(status);
    }
    let bench = connect::workbench(settings, terminal.stop.clone()).await?;
    terminal.header(&model.name(), bench.cluster.context(), bench.cluster.namespace());
    let (turn, done) =
        turn(&bench, terminal, &model, &mut conversation, words, settings.output == Output::Text).await;
    finish(settings, terminal, &model, turn, &done)
}

/// What the planner cannot place needs no cluster to say so.
fn placed(
    settings: &Settings,
    terminal: &Terminal,
    model: &Model,
    conversation: &Conversation,
) -> Option<ExitStatus> {
    let Model::Planner(planner) = model else { return None };
    let crate::model::planner::Reply::Say { text, understood } = planner.reply(conversation) else {
        return None;
    };
    if settings.output == Output::Json || settings.output == Output::Yaml {
        terminal.structured(settings.output, &json!({"answer": text, "understood": understood, "calls": []}));
    } else {
        terminal.answer(&text);
    }
    Some(ExitStatus::Usage)
}

/// One request of a conversation, over a front.
pub async fn turn(
    bench: &Workbench,
    terminal: &mut Terminal,
    model: &Model,
    conversation: &mut Conversation,
    words: &str,
    stream: bool,
) -> (Result<agent::Turn, AgentError>, Vec<(Call, Done)>) {
    let bench = &Workbench { chosen_by_model: matches!(model, Model::OpenAi(_)), ..bench.clone() };
    let printer = terminal.clone();
    let is_model = matches!(model, Model::OpenAi(_));
    let mut show = |piece: &str| {
        if stream && is_model {
            printer.stream(piece);
        }
    };
    let mut hands =
        Hands { bench, front: terminal, words: words.into(), now: Timestamp::now(), done: Vec::new() };
    let result = think(&mut hands, model, conversation, &mut show).await;
    (result, hands.done)
}

/// The loop, until it ends or the person stops it. A write that is under way is finished by `apply` itself, which
/// watches the same switch; it is given room.
async fn think<F: Front>(
    hands: &mut Hands<'_, F>,
    model: &Model,
    conversation: &mut Conversation,
    show: &mut (dyn FnMut(&str) + Send),
) -> Result<agent::Turn, AgentError> {
    let stop = hands.bench.stop.clone();
    let system = system(hands.bench);
    let specs = tool_specs(&hands.bench.policy);
    let run = agent::run(model, &system, &specs, conversation, Limits::default(), hands, show);
    until_stopped(&stop, run).await.unwrap_or_else(|| Err(AgentError::Fatal("interrupted".into())))
}

/// After Ctrl-C a write under way comes to its own end: its request and the reading back have deadlines, and the wait
/// for the rollout hears the same Ctrl-C. Cut off here, nobody would know what was done. (A second Ctrl-C ends at once.)
async fn grace() {
    while kai_tools::review::is_writing() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Runs until it ends or the person stops it; `None` when it was stopped.
pub async fn until_stopped<T>(stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = stop.clone();
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => Some(done),
        () = async { stop.asked().await; grace().await } => None,
    }
}

/// Prints what a request came to.
///
/// # Errors
/// When it came to nothing: the model failed, or it was interrupted.
pub fn finish(
    settings: &Settings,
    terminal: &Terminal,
    model: &Model,
    turn: Result<agent::Turn, AgentError>,
    done: &[(Call, Done)],
) -> Result<ExitStatus, Failure> {
    let outcomes: Vec<Done> = done.iter().map(|(_, d)| d.clone()).collect();
    let status = match model {
        Model::Planner(_) => status_of(&outcomes),
        Model::OpenAi(_) => status_of_talk(done),
    };
    let changed = outcomes.iter().any(|d| matches!(d, Done::Applied(_)));
    let structured = matches!(settings.output, Output::Json | Output::Yaml);
    match turn {
        Ok(turn) if structured => {
            let calls: Vec<Value> = done
                .iter()
                .map(|(c, d)| json!({"tool": c.tool, "arguments": c.arguments, "result": d.json()}))
                .collect();
            let usage = json!({"input": turn.usage.input, "output": turn.usage.output, "estimated": turn.usage.estimated});
            terminal.structured(
                settings.output,
                &json!({"answer": turn.answer, "understood": turn.understood, "calls": calls, "usage": usage, "exit": status as u8}),
            );
            Ok(status)
        }
        Ok(turn) => {
            if let Model::Planner(_) = model {
                if outcomes.is_empty() {
                    terminal.answer(&turn.answer);
                    return Ok(if turn.understood { ExitStatus::Done } else { ExitStatus::Usage });
                }
                Ok(call::print(settings, terminal, &outcomes))
            } else {
                terminal.end_stream(&turn.answer, settings.output == Output::Text);
                terminal.note(&usage_line(turn.usage));
                Ok(status)
            }
        }
        Err(AgentError::Fatal(why)) if why == "interrupted" && !changed => {
            terminal.end_progress();
            Err(Failure::interrupted())
        }
        // What was done is told in any case; the model's failure comes second.
        Err(error) => {
            let printed = if outcomes.is_empty() {
                ExitStatus::Done
            } else {
                call::print(settings, terminal, &outcomes)
            };
            match error {
                AgentError::Fatal(why) if why == "interrupted" && printed == ExitStatus::Done => {
                    Ok(ExitStatus::Interrupted)
                }
                AgentError::Fatal(_) if printed != ExitStatus::Done => Ok(printed),
                AgentError::Model(e) if !changed => Err(failure(e)),
                AgentError::Model(e) => {
                    terminal.failure(&failure(e));
                    Ok(if printed == ExitStatus::Done { ExitStatus::ModelFailed } else { printed })
                }
                other => {
                    let hint = Some("Ask for less at once, or in other words.".to_string());
                    let failed =
                        Failure { message: other.to_string(), hint, status: ExitStatus::ModelFailed };
                    if !changed || printed == ExitStatus::Done {
                        return Err(failed);
                    }
                    terminal.failure(&failed);
                    Ok(printed)
                }
            }
        }
    }
}

/// A model's failure as the binary's.
pub fn failure(error: crate::model::ModelError) -> Failure {
    let status = if let crate::model::ModelError::Settings(_) = error {
        ExitStatus::Usage
    } else {
        ExitStatus::ModelFailed
    };
    Failure { hint: error.hint(), message: error.to_string(), status }
}

/// The line about tokens under an answer.
pub fn usage_line(usage: Usage) -> String {
    let about = if usage.estimated { " (estimated)" } else { "" };
    format!("tokens: {} in, {} out{about}", usage.input, usage.output)
}

/// `kai plan`: previews a request into a file, changes nothing.
///
/// # Errors
/// When settings, cluster or model cannot be used, or the file cannot be written.
pub async fn plan(settings: &Settings, terminal: &mut Terminal, words: &str) -> Result<ExitStatus, Failure> {
    let model = choose(settings).map_err(failure)?;
    let mut conversation = Conversation { messages: vec![Message::User { text: words.into() }] };
    if let Some(status) = placed(settings, terminal, &model, &conversation) {
        return Ok(status);
    }
    let mut bench = connect::workbench(settings, terminal.stop.clone()).await?;
    bench.dry_run = true;
    terminal.header(&model.name(), bench.cluster.context(), bench.cluster.namespace());
    // The plan holds the moment of its preview: a restart writes it into the object.
    let now = Timestamp::now();
    let mut hands = Hands { bench: &bench, front: terminal, words: words.into(), now, done: Vec::new() };
    let result = think(&mut hands, &model, &mut conversation, &mut |_| {}).await;
    let done = hands.done;
    let view = done.iter().find_map(|(_, d)| if let Done::Previewed(view) = d { Some(view) } else { None });
    let Some(view) = view else {
        return finish(settings, terminal, &model, result, &done);
    };
    if let (Model::OpenAi(_), Ok(turn)) = (&model, &result) {
        terminal.note(&usage_line(turn.usage));
    }
    // All that was previewed together; what a model tried afterwards is another plan.
    let is_same = |d: &Done| matches!(d, Done::Previewed(v) if v.digest == view.digest);
    let calls: Vec<Call> = done.iter().filter(|(_, d)| is_same(d)).map(|(c, _)| c.clone()).collect();
    let request = Request { calls: &calls, words, now };
    let saved = bench.saved(&request, view);
    match &settings.output_file {
        Some(path) => {
            write(path, &saved)?;
            terminal.answer(&format!(
                "Plan {} is in {}; apply it with: kai apply {}",
                view.id,
                path.display(),
                path.display()
            ));
        }
        None if settings.output == Output::Text => {
            bench.store.save(&saved)?;
            terminal.answer(&format!(
                "Plan {} waits for 10 minutes; apply it with: kai apply {}",
                view.id, view.id
            ));
        }
        None => terminal.structured(settings.output, &json!(saved)),
    }
    Ok(ExitStatus::NotApproved)
}

fn write(path: &Path, plan: &SavedPlan) -> Result<(), Failure> {
    debug_assert_eq!(plan.version, VERSION);
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    std::fs::write(path, text + "\n")
        .map_err(|e| Failure::usage(format!("{} cannot be written: {e}", path.display())))
}

/// `kai models`: what can answer, and whether it does.
///
/// # Errors
/// When the configured endpoint cannot be used.
pub async fn models(settings: &Settings, terminal: &Terminal) -> Result<ExitStatus, Failure> {
    let mut table = kai_tools::report::Table::new("", &["MODEL", "ENDPOINT", "KEY"]);
    table.push(["planner", "built in: no key, no network", "-"]);
    for provider in crate::model::providers::providers() {
        let key = match provider.key.as_str() {
            "" => "none needed".to_string(),
            name if settings.variable(name).is_some() => format!("{name} is set"),
            name => format!("set {name}"),
        };
        table.push([format!("{}:MODEL", provider.name), provider.base_url, key]);
    }
    let chosen = choose(settings).map_err(failure)?;
    let (say, status) = match &chosen {
        Model::Planner(_) => (
            "In force: the built-in planner. Choose another with --model or KAI_MODEL.".to_string(),
            ExitStatus::Done,
        ),
        Model::OpenAi(model) => match model.list().await {
            Ok(names) => (
                format!(
                    "In force: {}. It answers, and lists {} models: {}.",
                    model.name(),
                    names.len(),
                    names.iter().take(12).cloned().collect::<Vec<_>>().join(", ")
                ),
                ExitStatus::Done,
            ),
            Err(e) => {
                (format!("In force: {}. It does not answer: {e}.", model.name()), ExitStatus::ModelFailed)
            }
        },
    };
    let report = kai_tools::report::Report {
        say: vec![say],
        blocks: vec![kai_tools::report::Block::Table(table)],
        ..Default::default()
    };
    terminal.answer(&terminal.render(&report));
    Ok(status)
}

/// `kai parse`: what the planner makes of a sentence, as JSON.
pub fn parse(terminal: &Terminal, sentence: &str) -> ExitStatus {
    let (report, code) = crate::model::planner::parse_report(sentence, &Conversation::default());
    terminal.structured(Output::Json, &report);
    if code == 0 { ExitStatus::Done } else { ExitStatus::Usage }
}
