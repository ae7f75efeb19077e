//! kai: parse, start logs, run, turn an error into an exit code.

mod agent;
mod approval;
mod ask;
mod call;
mod chat;
mod cli;
mod connect;
mod conversation;
mod cost;
mod diagnose;
mod error;
mod execute;
mod mcp;
mod model;
mod prompt;
mod settings;
mod terminal;

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use kai_tools::cluster::wait::Stop;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{Cli, Command, McpCommand};
use error::{ExitStatus, Failure};
use settings::Settings;
use terminal::Terminal;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitStatus::Usage.into() } else { ExitStatus::Done.into() };
        }
    };
    let settings = match Settings::read(
        &cli.global,
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect(),
    ) {
        Ok(settings) => settings,
        Err(failure) => {
            terminal::print_failure(&failure);
            return failure.status.into();
        }
    };
    start_logs(settings.verbose);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (switch, stop) = Stop::new();
    let mut terminal = Terminal::new(&settings, stop);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            terminal.failure(&e.into());
            return ExitStatus::Failed.into();
        }
    };
    let result = runtime.block_on(async {
        interrupt::watch(switch.clone());
        run(cli, &settings, &mut terminal, &switch).await
    });
    // A prompt that still waits for a line must not hold the process.
    runtime.shutdown_background();
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            terminal.failure(&failure);
            failure.status
        }
    };
    status.into()
}

mod interrupt {
    //! Ctrl-C: the first asks to stop, the second ends at once.

    use tokio::sync::watch::Sender;

    /// Listens from the start, so that no Ctrl-C is lost.
    pub fn watch(switch: Sender<bool>) {
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if *switch.borrow() {
                    std::process::exit(130);
                }
                switch.send_replace(true);
            }
        });
    }
}

/// Logs go to stderr and are quiet unless asked for; dependencies that may log bodies stay silent.
fn start_logs(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let targets = Targets::new().with_target("kai", level).with_target("kai_tools", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).without_time();
    let _ = tracing_subscriber::registry().with(targets).with(layer).try_init();
}

async fn run(
    cli: Cli,
    settings: &Settings,
    terminal: &mut Terminal,
    switch: &tokio::sync::watch::Sender<bool>,
) -> Result<ExitStatus, Failure> {
    match cli.command {
        Some(Command::Call { list, tool: None, .. }) => {
            if !list {
                terminal.note("No tool named; these are the tools:");
            }
            Ok(call::list(settings, terminal))
        }
        Some(Command::Call { list: true, .. }) => Ok(call::list(settings, terminal)),
        Some(Command::Call { tool: Some(tool), describe: true, .. }) => call::describe(terminal, &tool),
        Some(Command::Call { tool: Some(tool), arguments, .. }) => {
            call::call(settings, terminal, &tool, arguments.as_deref()).await
        }
        Some(Command::Apply { what, filename, options }) => {
            let said = filename.or(what).unwrap_or_default();
            match call::is_plan(&said)? {
                true => call::apply(settings, terminal, &said).await,
                false => call::apply_manifests(settings, terminal, &said, &options).await,
            }
        }
        Some(Command::Approve { plan }) => call::approve(settings, terminal, plan.as_deref()).await,
        Some(Command::Undo { plan }) => call::undo(settings, terminal, plan.as_deref()).await,
        Some(Command::Diagnose(options)) => diagnose::run(settings, terminal, &options).await,
        Some(Command::Cost(options)) => cost::run(settings, terminal, &options).await,
        Some(Command::Prices { command }) => cost::prices(settings, terminal, command.as_ref()),
        Some(Command::Log { since, limit }) => call::log(settings, terminal, since, limit),
        Some(Command::Mcp { command: None }) => mcp::serve(settings, terminal).await,
        Some(Command::Mcp { command: Some(McpCommand::Config { editor }) }) => {
            mcp::print_config(settings, terminal, &cli.global, &editor)
        }
        Some(Command::Config) => Ok(terminal.settings(settings)),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "kai", &mut std::io::stdout());
            Ok(ExitStatus::Done)
        }
        Some(Command::Plan { request }) => ask::plan(settings, terminal, &request.join(" ")).await,
        Some(Command::Models) => ask::models(settings, terminal).await,
        Some(Command::Parse { sentence }) => Ok(ask::parse(terminal, &sentence.join(" "))),
        None => match words(&cli.request, cli.file.as_deref())? {
            Some(words) => ask::ask(settings, terminal, &words).await,
            None => chat::open(settings, terminal, switch).await,
        },
    }
}

/// What was asked: the words of the command line, a file, or what is piped in; with both words and a pipe, the words
/// about what is piped. `None` opens the chat.
fn words(request: &[String], file: Option<&std::path::Path>) -> Result<Option<String>, Failure> {
    const MOST: u64 = 1 << 20;
    let read = |from: &mut dyn std::io::Read| {
        let mut text = String::new();
        from.take(MOST).read_to_string(&mut text).map(|_| text)
    };
    let said = match file {
        Some(path) => {
            let unreadable =
                |e: std::io::Error| Failure::usage(format!("{} cannot be read: {e}", path.display()));
            read(&mut std::fs::File::open(path).map_err(unreadable)?).map_err(unreadable)?
        }
        None => request.join(" "),
    };
    if !said.trim().is_empty() || std::io::stdin().is_terminal() {
        return Ok(Some(said.trim().to_string()).filter(|s| !s.is_empty()));
    }
    let piped =
        read(&mut std::io::stdin()).map_err(|e| Failure::usage(format!("stdin cannot be read: {e}")))?;
    if piped.trim().is_empty() {
        return Err(
            Failure::usage("nothing was asked").hint("Say what you want: kai \"scale backend to 3\".")
        );
    }
    Ok(Some(piped.trim().to_string()))
}
