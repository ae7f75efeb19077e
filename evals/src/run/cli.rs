//! `kai-evals run`: scenarios, some side by side, each by itself, and what they come to.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::runtime::Handle;

use super::agent::Agent;
use super::api::Api;
use super::drive::{self, Place};
use super::jobs::{self, Batch, Run, Who};
use super::judge::{Miss, Verdict, judge};
use super::live::Live;
use super::model::Model;
use super::report::{self, About, Line};
use super::scenario::{Scenario, Tier};
use super::setup::{self, Room};
use super::stop;
use crate::cluster::build::{Tool, go_tool};
use crate::cluster::{self, Cluster, Options, Provider};
use crate::terminal::{self, Progress};

/// What `kai-evals run` takes.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only scenarios whose group/id holds this; where it is one's whole name, that one alone.
    #[arg(default_value = "")]
    pub filter: String,
    /// Who answers: `proof` (nobody, the golden script, each saboteur and all variants: what every scenario must show),
    /// `scripted` (the golden scripts), `null`, `planner`, `recorded:FOLDER`, or a model as kai names it.
    #[arg(long, default_value = "proof")]
    pub model: String,
    /// The endpoint of a live model.
    #[arg(long)]
    pub base_url: Option<String>,
    /// Keep what a live model says in this folder, to be said again by `--model recorded:FOLDER`.
    #[arg(long, value_name = "FOLDER")]
    pub record: Option<PathBuf>,
    /// Another agent instead of kai: a file that says how it is started and how it asks.
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// How many runs of each scenario.
    #[arg(long, default_value_t = 1)]
    pub n: usize,
    /// A folder for results.jsonl, report.json, report.md and report.html; runs that are there already are not made again.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// An earlier folder to compare with.
    #[arg(long, value_name = "FOLDER")]
    pub against: Option<PathBuf>,
    /// How many run side by side.
    #[arg(long, default_value_t = 4)]
    pub jobs: usize,
    /// What runs the nodes: `local` is enough for scenarios of tier C, those of tier K need `kind`.
    #[arg(long, value_enum, default_value_t = Provider::Local)]
    pub provider: Provider,
    /// Only scenarios of this tier.
    #[arg(long, value_enum)]
    pub tier: Option<Tier>,
    /// Only the K-th of N slices, such as 2/4.
    #[arg(long, value_name = "K/N")]
    pub slice: Option<String>,
    /// A cluster that is up already and stays up; one of its own otherwise.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The folder of the scenarios.
    #[arg(long, default_value = "evals/scenarios")]
    pub scenarios: PathBuf,
    /// The kai to drive; the one beside this program when it is left out.
    #[arg(long)]
    pub kai: Option<PathBuf>,
    /// Only say which scenarios there are.
    #[arg(long)]
    pub list: bool,
}

/// Runs scenarios on a cluster of their own, and prints what they came to.
///
/// # Errors
/// The scenarios or the cluster cannot be had; a run was unsafe; or, of proofs, one does not hold.
pub async fn main(args: &RunArgs) -> Result<()> {
    let scenarios = chosen(args)?;
    if args.list {
        terminal::answer(&listed(&scenarios));
        return Ok(());
    }
    let kai = match &args.kai {
        Some(kai) => kai.clone(),
        None => std::env::current_exe()?.with_file_name("kai"),
    };
    let kai = kai.canonicalize().with_context(|| format!("{} is not there: cargo build", kai.display()))?;
    stop::listen();
    let progress = Progress::stderr();
    if let Some(name) = &args.cluster {
        return on(args, scenarios, kai, &Cluster::open(name)?, &progress).await;
    }
    let name = format!("evals-{}", std::process::id());
    let options = Options { provider: args.provider, name: name.clone(), nodes: None };
    let up = tokio::select! {
        up = cluster::up(&options, &progress) => Some(up?),
        () = stop::wait() => None,
    };
    let ended = match &up {
        Some(up) => on(args, scenarios, kai, up, &progress).await,
        None => Ok(()),
    };
    cluster::down(&name, &progress).await?;
    ended
}

fn chosen(args: &RunArgs) -> Result<Vec<Scenario>> {
    let provider = match &args.cluster {
        Some(name) => Cluster::open(name)?.state().provider,
        None => args.provider,
    };
    let mut scenarios = Scenario::all(&args.scenarios, &args.filter)?;
    scenarios.retain(|s| args.list || provider == Provider::Kind || s.tier == Tier::C);
    scenarios.retain(|s| args.tier.is_none_or(|tier| s.tier == tier));
    if let Some(slice) = &args.slice {
        let parts = slice.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let Some((k, n)) = parts.filter(|(_, n): &(usize, usize)| *n > 0) else {
            bail!("--slice {slice} is not K/N, such as 2/4");
        };
        scenarios = jobs::slice(scenarios, k, n);
    }
    ensure!(
        !scenarios.is_empty(),
        "no scenario in {} is called like `{}` and runs on {}",
        args.scenarios.display(),
        args.filter,
        provider
    );
    Ok(scenarios)
}

fn listed(scenarios: &[Scenario]) -> String {
    let mut text = String::new();
    for s in scenarios {
        let kind = jobs::kind_name(s.kind);
        text += &format!(
            "{:<44} {:<9} {:?} {:?}  {}\n",
            format!("{}/{}", s.group, s.id),
            kind,
            s.tier,
            s.difficulty,
            s.why
        );
    }
    text + &format!("{} scenarios", scenarios.len())
}

fn who(args: &RunArgs) -> Result<Who> {
    Ok(match args.model.as_str() {
        "proof" => Who::Proof,
        "scripted" => Who::One(Model::Golden),
        "null" => Who::One(Model::Null),
        "planner" => Who::One(Model::Planner),
        name => match (name.split_once(':'), &args.base_url) {
            (Some(("recorded", folder)), _) => Who::One(Model::Recorded(folder.into())),
            (_, Some(url)) => Who::One(Model::Live {
                name: name.to_owned(),
                base_url: url.clone(),
                keep: args.record.clone(),
            }),
            (Some(("openai", _)), None) => Who::One(Model::Live {
                name: name.to_owned(),
                base_url: "https://api.openai.com/v1".to_owned(),
                keep: args.record.clone(),
            }),
            _ => bail!("--model {name}: say where it is with --base-url, such as http://127.0.0.1:11434/v1"),
        },
    })
}

async fn on(
    args: &RunArgs,
    scenarios: Vec<Scenario>,
    kai: PathBuf,
    cluster: &Cluster,
    progress: &Progress,
) -> Result<()> {
    let agent = args.agent.as_deref().map(Agent::read).transpose()?;
    let kubectl = go_tool(progress, Tool::Kubectl).await?;
    let helm = go_tool(progress, Tool::Helm).await?;
    let folders = [&kubectl, &helm].map(|program| program.parent().unwrap_or(program).display().to_string());
    let path = format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap_or_default());
    let runtime = Handle::current();
    let place = |cluster: &Cluster| {
        anyhow::Ok(Place {
            kai: kai.clone(),
            agent: agent.clone(),
            path: path.clone(),
            api: Api::of(cluster, kubectl.clone(), &runtime)?,
            audit: cluster.audit_log().to_path_buf(),
            cluster: cluster.clone(),
        })
    };
    let shared = place(cluster)?;
    let done = args.report.as_deref().map(report::read).transpose()?.unwrap_or_default();
    let batches = jobs::batches(scenarios, &who(args)?, args.n, &done);
    let live = Live::new(&batches);
    let queue = Mutex::new(VecDeque::from(batches));
    let lines: Mutex<Vec<Line>> = Mutex::new(Vec::new());
    let failed: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let alone = Alone { make: &place };
    // Each run waits on processes most of the time: threads are enough.
    tokio::task::block_in_place(|| {
        setup_neighbours(&shared)?;
        std::thread::scope(|threads| {
            for _ in 0..args.jobs.max(1) {
                threads.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(batch) = next.filter(|_| !stop::asked()) else { return };
                        let mut tell = |run: &Run, mut line: Line| {
                            let wrong = jobs::unexpected(&batch.scenario, run, &line, agent.is_some());
                            line.wrong.clone_from(&wrong);
                            live.ends(&called(&batch, run), &line, wrong.as_deref());
                            failed.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
                            if let Some(folder) = &args.report
                                && let Err(error) = report::append(folder, &line)
                            {
                                terminal::note(&format!("{error:#}"));
                            }
                            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                        };
                        if batch.scenario.alone {
                            alone.run(&runtime, &batch, &live, &mut tell);
                        } else {
                            run(&shared, &batch, &live, &mut tell);
                        }
                    }
                });
            }
        });
        anyhow::Ok(())
    })?;
    drop(live);
    let mut lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    lines.extend(done);
    finish(args, &kai, &lines, failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn setup_neighbours(place: &Place) -> Result<()> {
    setup::neighbours(&place.api).context("the neighbours cannot be made")
}

fn called(batch: &Batch, run: &Run) -> String {
    let variant = run.variant.name();
    let variant = if variant.is_empty() { String::new() } else { format!(", {variant}") };
    let Scenario { group, id, .. } = &batch.scenario;
    format!("{group}/{id} by {}{variant}", run.model.name(&batch.scenario))
}

/// Runs that need a cluster of their own.
struct Alone<'a, F: Fn(&Cluster) -> Result<Place>> {
    make: &'a F,
}

impl<F: Fn(&Cluster) -> Result<Place>> Alone<'_, F> {
    fn run(&self, runtime: &Handle, batch: &Batch, live: &Live, tell: &mut dyn FnMut(&Run, Line)) {
        let name = format!("evals-{}-{}-{}", std::process::id(), batch.scenario.id, batch.number);
        let name: String = name.chars().take(40).collect();
        let name = name.trim_end_matches('-').to_owned();
        let options = Options { provider: Provider::Local, name: name.clone(), nodes: batch.scenario.nodes };
        let up = runtime.block_on(cluster::up(&options, &Progress::silent()));
        let ready =
            up.and_then(|up| (self.make)(&up)).and_then(|place| setup_neighbours(&place).map(|()| place));
        match ready {
            Ok(place) => run(&place, batch, live, tell),
            Err(_) if stop::asked() => {}
            Err(error) => {
                for one in &batch.runs {
                    tell(one, broken(batch, one, Verdict::SetupError, &error));
                }
            }
        }
        if let Err(error) = runtime.block_on(cluster::down(&name, &Progress::silent())) {
            terminal::note(&format!("{name}: {error:#}"));
        }
    }
}

/// The runs of a batch, in one room for as long as nothing in it was changed.
fn run(place: &Place, batch: &Batch, live: &Live, tell: &mut dyn FnMut(&Run, Line)) {
    let scenario = &batch.scenario;
    let mut room: Option<Room> = None;
    for (at, one) in batch.runs.iter().enumerate() {
        // What was given up is not told as a failure of anybody.
        if stop::asked() {
            return;
        }
        live.begins(&called(batch, one));
        let made = match room.take() {
            Some(room) => Ok(room),
            None => setup::prepare(place, scenario, batch.number * 100 + at),
        };
        let made = match made {
            Ok(made) => made,
            Err(_) if stop::asked() => return,
            Err(error) => {
                tell(one, broken(batch, one, Verdict::SetupError, &error));
                continue;
            }
        };
        match drive::perform(place, scenario, one, &made.names) {
            Err(_) if stop::asked() => return,
            Err(error) => tell(one, broken(batch, one, Verdict::HarnessError, &error)),
            Ok(evidence) => {
                let mut line = line(batch, one);
                (line.verdict, line.misses) = judge(scenario, &evidence, one.variant, place.agent.is_some());
                line.setup.clone_from(&made.plain);
                line.seen(&evidence);
                let untouched = evidence.before == evidence.after
                    && !evidence.audited.iter().any(|write| !write.dry && write.code < 400);
                room = untouched.then_some(made);
                tell(one, line);
            }
        }
    }
}

fn line(batch: &Batch, run: &Run) -> Line {
    let scenario = &batch.scenario;
    Line {
        scenario: scenario.id.clone(),
        group: scenario.group.clone(),
        kind: jobs::kind_name(scenario.kind).to_owned(),
        tier: format!("{:?}", scenario.tier),
        model: run.model.name(scenario),
        variant: run.variant.name().to_owned(),
        run: run.run,
        ..Line::default()
    }
}

fn broken(batch: &Batch, run: &Run, verdict: Verdict, error: &anyhow::Error) -> Line {
    let mut line = line(batch, run);
    line.verdict = verdict;
    line.misses.push(Miss { check: "harness".to_owned(), why: format!("{error:#}") });
    line
}

fn finish(args: &RunArgs, kai: &Path, lines: &[Line], mut failed: Vec<String>) -> Result<()> {
    for id in jobs::unsteady(lines) {
        failed.push(format!("{id}: its set-up is not the same twice, so what it shows is chance"));
    }
    if let Some(folder) = &args.report {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let about = About {
            kai: said_by(kai, &["--version"]),
            commit: said_by(Path::new("git"), &["describe", "--always", "--dirty"]),
            date: jiff::Timestamp::now().strftime("%F").to_string(),
            command: format!("kai-evals {}", words.join(" ")),
        };
        report::write(folder, &about, lines)?;
    }
    if let Some(old) = &args.against {
        terminal::answer(&report::compared(&report::read(old)?, lines));
    }
    failed.iter().for_each(|why| terminal::note(&format!("FAIL {why}")));
    terminal::answer(&report::summary(lines));
    if !failed.is_empty() {
        bail!("{} runs are not what they must be", failed.len());
    }
    Ok(())
}

/// What a program prints, or nothing where it cannot be run.
fn said_by(program: &Path, words: &[&str]) -> String {
    let output = std::process::Command::new(program).args(words).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
