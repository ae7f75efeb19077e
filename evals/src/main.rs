//! `kai-evals`: the command line over this crate.
//!
//! Each subcommand is one variant of [`Command`] and one arm of [`run`]. A signal drops the work in
//! progress, so whatever it had half started is ended by its guards before the process exits.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kai_evals::cluster::build::{self, Tool};
use kai_evals::cluster::{self, Options, Provider};
use kai_evals::proxy::ProxyArgs;
use kai_evals::replay::ReplayArgs;
use kai_evals::run::cli::{self, RunArgs};
use kai_evals::run::stop;
use kai_evals::terminal::{self, Progress};

/// Real clusters and test doubles for kai.
#[derive(Parser)]
#[command(name = "kai-evals", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring up a real cluster on this machine, look at it, take it down.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Serve a scripted OpenAI-compatible model on the loopback interface until stopped.
    Replay(ReplayArgs),
    /// Record every request to an API server: serve a proxy in front of it until stopped.
    Proxy(ProxyArgs),
    /// Run scenarios: drive kai at a terminal on a real cluster, and judge what came of it.
    Run(RunArgs),
    /// Print what one preview of kai costs: memory, requests, and round trips one after the other.
    Bench {
        /// The kai to measure.
        #[arg(long)]
        kai: std::path::PathBuf,
        /// A cluster with the sample app on it.
        #[arg(long)]
        kubeconfig: std::path::PathBuf,
    },
    /// Fill a cluster with 10,000 pods before 1,000 Services, break some, and print what a diagnosis costs beside the
    /// lists that it needs.
    BenchDiagnose {
        /// The kai to measure.
        #[arg(long)]
        kai: std::path::PathBuf,
        /// A cluster of 500 nodes.
        #[arg(long)]
        kubeconfig: std::path::PathBuf,
    },
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Bring the cluster up; when it is up already, say so.
    Up {
        /// What runs the nodes: containers with real kubelets, or a control plane with simulated nodes.
        #[arg(long, value_enum, default_value_t = Provider::Local)]
        provider: Provider,
        /// The cluster's name; several can run beside each other.
        #[arg(long, default_value = cluster::DEFAULT_NAME)]
        name: String,
        /// How many worker nodes. Default: 3 for local, 2 for kind.
        #[arg(long)]
        nodes: Option<u32>,
    },
    /// Take the cluster down; nothing of it stays behind.
    Down {
        /// The cluster's name.
        #[arg(long, default_value = cluster::DEFAULT_NAME)]
        name: String,
        /// Take every cluster down.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// List the clusters and how they are.
    Status,
    /// Print the environment for a shell: `eval "$(kai-evals cluster env)"`.
    Env {
        /// The cluster's name.
        #[arg(long, default_value = cluster::DEFAULT_NAME)]
        name: String,
    },
    /// Build one of the programs of a cluster, or find it in the cache, and print its path.
    Build {
        /// The program.
        #[arg(value_enum)]
        tool: Tool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Run(args) = &cli.command {
        // Its clusters are taken down first, also when it is stopped.
        let ended = cli::main(args).await;
        return match ended {
            _ if stop::asked() => ExitCode::from(130),
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                terminal::fail(&error);
                ExitCode::FAILURE
            }
        };
    }
    let ended = tokio::select! {
        ended = run(cli.command) => ended,
        signal = terminal::stopped() => {
            terminal::note(&format!("stopped by {signal}"));
            return ExitCode::from(130);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::fail(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Cluster(command) => run_cluster(command).await,
        Command::Run(args) => cli::main(&args).await,
        Command::Replay(args) => {
            let replay = args.start()?;
            terminal::answer(&replay.url());
            std::future::pending().await
        }
        Command::Proxy(args) => {
            let proxy = args.start()?;
            terminal::answer(&format!("export KUBECONFIG='{}'", proxy.kubeconfig().display()));
            std::future::pending().await
        }
        Command::Bench { kai, kubeconfig } => {
            let floor = kai_evals::bench::watch(&kai, &["-n", "todo", "call", "changes"], &kubeconfig)?;
            let preview: &[&str] = &["-n", "todo", "--dry-run", "scale backend to 3"];
            let figures = kai_evals::bench::watch(&kai, preview, &kubeconfig)?;
            let (requests, trips) = kai_evals::bench::round_trips(&kai, preview, &kubeconfig)?;
            terminal::answer(&format!(
                "peak memory of a one-shot preview: {:.1} MB ({:.1} MB for a call that reads only the journal)",
                figures.peak_kib as f64 / 1024.0,
                floor.peak_kib as f64 / 1024.0,
            ));
            terminal::answer(&format!(
                "a preview: {requests} requests, {trips:.1} round trips one after the other"
            ));
            Ok(())
        }
        Command::BenchDiagnose { kai, kubeconfig } => {
            terminal::note("filling the cluster: a few minutes");
            kai_evals::bench_diagnose::fill(&kubeconfig).await?;
            let m = kai_evals::bench_diagnose::measure(&kai, &kubeconfig).await?;
            let floor = m.floor.as_secs_f64();
            terminal::answer(&format!(
                "a diagnosis of {} running pods: {:.2} s, {:.0} MB peak, {} requests, {} faults found\nits lists alone: {floor:.2} s, {:.0} MB of JSON; ratio {:.2}",
                m.pods,
                m.kai.seconds,
                m.kai.peak_kib as f64 / 1024.0,
                m.requests,
                m.faults,
                m.floor_bytes as f64 / 1e6,
                m.kai.seconds / floor,
            ));
            Ok(())
        }
    }
}

async fn run_cluster(command: ClusterCommand) -> anyhow::Result<()> {
    let progress = Progress::stderr();
    match command {
        ClusterCommand::Up { provider, name, nodes } => {
            let cluster = cluster::up(&Options { provider, name, nodes }, &progress).await?;
            terminal::note(&cluster.summary());
        }
        ClusterCommand::Down { name, all } => {
            let names = if all { cluster::names()? } else { vec![name] };
            for name in names {
                if !cluster::down(&name, &progress).await? {
                    terminal::note(&format!("no cluster named {name}: nothing to take down"));
                }
            }
        }
        ClusterCommand::Status => terminal::answer(&cluster::table(&cluster::status().await?)),
        ClusterCommand::Env { name } => terminal::answer(&cluster::env(&name)?),
        ClusterCommand::Build { tool } => {
            terminal::answer(&build::go_tool(&progress, tool).await?.display().to_string());
        }
    }
    Ok(())
}
