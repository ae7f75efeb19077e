//! `kai-evals run`: scenarios, one after the other or some side by side, and what they come to.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::drive::{Broken, Model, Place, run};
use super::judge::{Miss, Verdict, judge};
use super::report::{self, About, Line};
use super::scenario::{Answer, Kind, Scenario, Tier};
use super::world::Kubectl;
use crate::cluster::build::{Tool, go_tool};
use crate::cluster::{self, Cluster, Options, Provider};
use crate::terminal::{self, Progress};

/// What `kai-evals run` takes.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only scenarios whose group/id holds this.
    #[arg(default_value = "")]
    pub filter: String,
    /// Who answers: `proof` (nobody, the golden script and each saboteur: what every scenario must show), `scripted`
    /// (the golden scripts), `null`, `planner`, or a model as kai names it.
    #[arg(long, default_value = "proof")]
    pub model: String,
    /// The model's endpoint, where kai does not know it.
    #[arg(long)]
    pub base_url: Option<String>,
    /// How many runs of each scenario.
    #[arg(long, default_value_t = 1)]
    pub n: usize,
    /// A folder for results.jsonl, report.md and report.html; a run that broke off goes on there.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// An earlier folder to compare with.
    #[arg(long, value_name = "FOLDER")]
    pub against: Option<PathBuf>,
    /// How many run side by side.
    #[arg(long, default_value_t = 3)]
    pub jobs: usize,
    /// What runs the nodes.
    #[arg(long, value_enum, default_value_t = Provider::Local)]
    pub provider: Provider,
    /// The folder of the scenarios.
    #[arg(long, default_value = "evals/scenarios")]
    pub scenarios: PathBuf,
    /// The kai to drive; the one beside this program when it is left out.
    #[arg(long)]
    pub kai: Option<PathBuf>,
}

/// One thing to do.
struct Job {
    scenario: Scenario,
    model: Model,
    /// What is answered instead.
    answer: Option<Answer>,
    run: usize,
    number: usize,
}

/// Runs scenarios on a cluster of their own, and prints what they came to.
///
/// # Errors
/// The scenarios or the cluster cannot be had; a run was unsafe; or, of proofs, one does not hold.
pub async fn main(args: &RunArgs) -> Result<()> {
    let scenarios = Scenario::all(&args.scenarios, &args.filter)?;
    let real = args.provider == Provider::Kind;
    let scenarios: Vec<Scenario> = scenarios.into_iter().filter(|s| real || s.tier == Tier::C).collect();
    ensure!(
        !scenarios.is_empty(),
        "no scenario in {} is called like `{}`",
        args.scenarios.display(),
        args.filter
    );
    let kai = match &args.kai {
        Some(kai) => kai.clone(),
        None => std::env::current_exe()?.with_file_name("kai"),
    };
    ensure!(kai.exists(), "{} is not there: cargo build", kai.display());
    let name = format!("evals-{}", std::process::id());
    let progress = Progress::stderr();
    let options = Options { provider: args.provider, name: name.clone(), nodes: None };
    let up = cluster::up(&options, &progress).await?;
    let ended = on(args, scenarios, kai, &up, &progress).await;
    cluster::down(&name, &progress).await?;
    ended
}

async fn on(
    args: &RunArgs,
    scenarios: Vec<Scenario>,
    kai: PathBuf,
    cluster: &Cluster,
    progress: &Progress,
) -> Result<()> {
    let program = go_tool(progress, Tool::Kubectl).await?;
    let place = Place {
        kai: kai.clone(),
        kubectl: Kubectl { program, kubeconfig: cluster.kubeconfig().to_owned() },
        audit: cluster.audit_log().to_path_buf(),
    };
    let done = args.report.as_deref().map(report::read).transpose()?.unwrap_or_default();
    let jobs = jobs(args, scenarios, &done)?;
    let count = jobs.len();
    let queue = Mutex::new(VecDeque::from(jobs));
    let lines: Mutex<Vec<Line>> = Mutex::new(Vec::new());
    let failed: Mutex<Vec<String>> = Mutex::new(Vec::new());
    // Each run waits on processes most of the time: threads are enough.
    tokio::task::block_in_place(|| {
        std::thread::scope(|threads| {
            for _ in 0..args.jobs.max(1) {
                threads.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(job) = next else { return };
                        let line = one(&place, &job);
                        let wrong = unexpected(&job, &line);
                        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                        lines.push(line.clone());
                        tell(&job, &line, lines.len(), count, wrong.as_deref());
                        failed.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
                        if let Some(folder) = &args.report
                            && let Err(error) = report::append(folder, &line)
                        {
                            terminal::note(&format!("{error:#}"));
                        }
                    }
                });
            }
        });
    });
    let mut lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    lines.extend(done);
    finish(args, &kai, &lines, &failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What is to be done: every scenario by every model asked for, and its declined variants; not what is done already.
fn jobs(args: &RunArgs, scenarios: Vec<Scenario>, done: &[Line]) -> Result<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut number = 0;
    for scenario in scenarios {
        let mut add = |model: Model, answer: Option<Answer>, run: usize| {
            number += 1;
            let variant = variant(answer.as_ref());
            let name = model.name(&scenario);
            let is_done = |l: &Line| {
                l.scenario == scenario.id && l.model == name && l.variant == variant && l.run == run
            };
            if !done.iter().any(is_done) {
                jobs.push(Job { scenario: scenario.clone(), model, answer, run, number });
            }
        };
        match args.model.as_str() {
            "proof" => {
                add(Model::Null, None, 1);
                (0..scenario.saboteurs.len()).for_each(|at| add(Model::Saboteur(at), None, 1));
                for run in 1..=args.n {
                    add(Model::Golden, None, run);
                }
                if scenario.kind == Kind::Do {
                    add(Model::Golden, Some(Answer::No), 1);
                    add(Model::Golden, Some(Answer::Close), 1);
                }
            }
            "scripted" => (1..=args.n).for_each(|run| add(Model::Golden, None, run)),
            "null" => (1..=args.n).for_each(|run| add(Model::Null, None, run)),
            "planner" => (1..=args.n).for_each(|run| add(Model::Planner, None, run)),
            name => {
                let model = Model::Live { name: name.to_owned(), base_url: args.base_url.clone() };
                (1..=args.n).for_each(|run| add(model.clone(), None, run));
            }
        }
    }
    if jobs.is_empty() && done.is_empty() {
        bail!("there is nothing to run");
    }
    Ok(jobs)
}

fn variant(answer: Option<&Answer>) -> String {
    match answer {
        None => "",
        Some(Answer::No) => "declined",
        Some(Answer::Close) => "closed",
        Some(Answer::Yes | Answer::Types(_)) => "answered",
    }
    .to_owned()
}

fn one(place: &Place, job: &Job) -> Line {
    let scenario = &job.scenario;
    let kind = format!("{:?}", scenario.kind).to_lowercase();
    let mut line = Line {
        scenario: scenario.id.clone(),
        group: scenario.group.clone(),
        kind,
        model: job.model.name(scenario),
        variant: variant(job.answer.as_ref()),
        run: job.run,
        verdict: Verdict::HarnessError,
        misses: Vec::new(),
        model_requests: 0,
        api_requests: 0,
        model_bytes: 0,
        seconds: 0.0,
        screens: Vec::new(),
    };
    let evidence = match run(place, scenario, &job.model, job.number, job.answer.as_ref()) {
        Ok(evidence) => evidence,
        Err(broken) => {
            let (verdict, error) = match broken {
                Broken::Setup(error) => (Verdict::SetupError, error),
                Broken::Harness(error) => (Verdict::HarnessError, error),
            };
            line.verdict = verdict;
            line.misses.push(Miss { check: "harness".to_owned(), why: format!("{error:#}") });
            return line;
        }
    };
    (line.verdict, line.misses) = judge(scenario, &evidence, job.answer.as_ref());
    line.model_requests = evidence.asked.len();
    line.api_requests = evidence.requests.len();
    line.model_bytes = evidence.asked.iter().map(|body| body.to_string().len()).sum();
    line.seconds = evidence.took.as_secs_f64();
    if line.verdict != Verdict::SafePass {
        line.screens = evidence.turns.iter().map(|t| t.screen.clone()).collect();
    }
    line
}

/// Why a run is not what it must be: a bad model that passes, or is not caught by what should catch it; a good one that
/// does not pass. Live models and the planner may fail; nobody may be unsafe.
fn unexpected(job: &Job, line: &Line) -> Option<String> {
    let place = format!("{} by {} {}", line.scenario, line.model, line.variant);
    let misses = || {
        let all: Vec<String> = line.misses.iter().map(|m| format!("{}: {}", m.check, m.why)).collect();
        all.join("; ")
    };
    if matches!(line.verdict, Verdict::SetupError | Verdict::HarnessError) {
        return Some(format!("{place}: {}", misses()));
    }
    match &job.model {
        Model::Golden if line.verdict != Verdict::SafePass => {
            Some(format!("{place} does not pass ({:?}): {}", line.verdict, misses()))
        }
        Model::Null if line.verdict == Verdict::SafePass => {
            Some(format!("{place} passes: nothing is looked at"))
        }
        Model::Saboteur(at) => {
            let wanted = job.scenario.saboteurs.get(*at).map_or("", |s| s.caught_by.as_str());
            let caught = line.misses.iter().any(|m| m.check == wanted);
            (!caught).then(|| format!("{place} is not caught by {wanted}: {:?} {}", line.verdict, misses()))
        }
        Model::Planner if job.scenario.planner && line.verdict != Verdict::SafePass => {
            Some(format!("{place} no longer passes ({:?}): {}", line.verdict, misses()))
        }
        _ if line.verdict == Verdict::UnsafePass => Some(format!("{place} is unsafe: {}", misses())),
        _ => None,
    }
}

fn tell(job: &Job, line: &Line, at: usize, count: usize, wrong: Option<&str>) {
    let mark = if wrong.is_none() { "ok  " } else { "FAIL" };
    let variant = if line.variant.is_empty() { String::new() } else { format!(", {}", line.variant) };
    terminal::note(&format!(
        "{mark} {at}/{count} {}/{} by {}{variant}: {:?}, {:.1} s",
        job.scenario.group, line.scenario, line.model, line.verdict, line.seconds
    ));
    if let Some(why) = wrong {
        terminal::note(&format!("     {why}"));
        line.screens.iter().for_each(|screen| terminal::note(screen));
    }
}

fn finish(args: &RunArgs, kai: &std::path::Path, lines: &[Line], failed: &[String]) -> Result<()> {
    if let Some(folder) = &args.report {
        let version = std::process::Command::new(kai).arg("--version").output();
        let version =
            version.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
        let about = About {
            kai: version,
            date: jiff::Timestamp::now().strftime("%F").to_string(),
            command: format!("kai-evals run {} --model {} --n {}", args.filter, args.model, args.n),
        };
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
        };
        write("report.md", report::markdown(&about, lines))?;
        write("report.html", report::html(&about, lines))?;
    }
    if let Some(old) = &args.against {
        terminal::answer(&report::compared(&report::read(old)?, lines));
    }
    if args.model == "proof" {
        terminal::answer(&format!("proofs: {} hold, {} do not", lines.len() - failed.len(), failed.len()));
    } else {
        terminal::answer(&report::summary(lines));
    }
    ensure!(failed.is_empty(), "{} runs are not what they must be", failed.len());
    Ok(())
}
