//! The command line as typed, with no work done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::cost::{CostOptions, PricesCommand};
use crate::diagnose::DiagnoseOptions;

/// Operate a Kubernetes cluster in plain words: every change is previewed, approved, applied, verified, and can be undone.
#[derive(Debug, Parser)]
#[command(name = "kai", version, max_term_width = 110)]
#[command(after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What you want, in plain words. Without words, kai opens a chat.
    #[arg(value_name = "REQUEST")]
    pub request: Vec<String>,
    /// Read the request from a file.
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "request")]
    pub file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  kai \"scale backend to 3\"
  kai -n todo \"show pods that are not ready\"
  kai plan \"restart frontend\" -o plan.json && kai apply plan.json
  kai undo

Exit codes: 0 done and verified, 1 error, 2 usage, 3 approval needed or declined, 4 applied but not verified,
5 partly applied, 6 stale plan, 7 denied, 8 model failed, 9 outcome unknown, 130 interrupted.";

/// Options that every command takes. Each has an environment variable and a key in config.toml; `kai config` shows all.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Kubeconfig context [env: KAI_CONTEXT].
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace [env: KAI_NAMESPACE].
    #[arg(short = 'n', long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Kubeconfig file [env: KUBECONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Group to impersonate; can be given several times.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_groups: Vec<String>,
    /// Model that answers: `planner` (built in), `openai:gpt-5`, `ollama:qwen3`, ... [env: KAI_MODEL].
    #[arg(long, global = true, value_name = "MODEL")]
    pub model: Option<String>,
    /// Base URL of an OpenAI-compatible endpoint [env: KAI_BASE_URL].
    #[arg(long, global = true, value_name = "URL")]
    pub base_url: Option<String>,
    /// Go ahead where policy lets a change pass without asking: reversible ones outside production [env: KAI_YES].
    #[arg(short = 'y', long, global = true)]
    pub yes: bool,
    /// Preview only; change nothing [env: KAI_DRY_RUN].
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Refuse every change, dry runs included [env: KAI_READ_ONLY].
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Allow what is off by default, each time with the name typed: secrets, exec, control-plane [env: KAI_ALLOW].
    #[arg(long, global = true, value_name = "WHAT", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Output: text, json, yaml or markdown, of `kai cost` csv too; for `kai plan`, a file [env: KAI_OUTPUT].
    #[arg(short = 'o', long, global = true, value_name = "FORMAT")]
    pub output: Option<String>,
    /// No colours [env: NO_COLOR].
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Print the answer alone.
    #[arg(short = 'q', long, global = true)]
    pub quiet: bool,
    /// Log what kai does, to stderr; twice for more.
    #[arg(short = 'v', long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What kai does besides answering a request.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Preview a request into a file; change nothing. Exit 3 when there is something to approve.
    Plan {
        /// What you want, in plain words.
        #[arg(required = true, value_name = "REQUEST")]
        request: Vec<String>,
    },
    /// Apply manifests, a folder, a kustomization or a Helm chart; or a plan, exactly as it was previewed.
    Apply {
        /// A file, a folder, `-` for stdin; a plan file or a plan id.
        #[arg(required_unless_present = "filename")]
        what: Option<String>,
        /// The same, as kubectl has it.
        #[arg(short = 'f', long, value_name = "PATH", conflicts_with = "what")]
        filename: Option<String>,
        #[command(flatten)]
        options: ApplyOptions,
    },
    /// Look at a plan that waits for a person, and approve it for whoever asked (an MCP client).
    Approve {
        /// The plan id; without it, the plans that wait are listed.
        plan: Option<String>,
    },
    /// Find what is broken and why: root causes, what is down because of them, and fixes. Needs no model.
    Diagnose(DiagnoseOptions),
    /// What things cost a month, what a change would cost, and what could be smaller. Needs no model.
    Cost(CostOptions),
    /// Which prices hold; check a price file, or make one from OpenCost's.
    Prices {
        #[command(subcommand)]
        command: Option<PricesCommand>,
    },
    /// Take back the last change, or the plan with that id, through the same gate.
    Undo {
        /// The plan id.
        plan: Option<String>,
    },
    /// What kai changed, when, and whether it can be taken back.
    Log {
        /// Only changes of this long ago or later, such as 24h or 7d.
        #[arg(long)]
        since: Option<String>,
        /// Most changes to list.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Call one tool by hand, with JSON arguments.
    Call {
        /// The tool; without it, the tools are listed.
        tool: Option<String>,
        /// Its arguments as JSON.
        arguments: Option<String>,
        /// List the tools.
        #[arg(long)]
        list: bool,
        /// Print the tool's description and the schema of its arguments.
        #[arg(long)]
        describe: bool,
    },
    /// Show what the built-in planner makes of a sentence, without touching a cluster.
    Parse {
        /// The sentence.
        #[arg(required = true)]
        sentence: Vec<String>,
    },
    /// Serve the tools over MCP, on stdin and stdout.
    Mcp {
        #[command(subcommand)]
        command: Option<McpCommand>,
    },
    /// What can answer: the built-in planner and the configured endpoints; tests the connection.
    Models,
    /// The settings in force, and where each comes from.
    Config,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How manifests are applied.
#[derive(Clone, Debug, Default, Args)]
pub struct ApplyOptions {
    /// Take fields that other managers have; the preview names them and asks.
    #[arg(long)]
    pub take_over: bool,
    /// Name of the Helm release; the chart's name when left out.
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// A file of Helm values; can be given several times.
    #[arg(long, value_name = "FILE")]
    pub values: Vec<String>,
    /// A Helm value; can be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What `kai mcp` does besides serving.
#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Print the configuration for an editor.
    Config {
        /// vscode, cursor, claude, zed or jetbrains.
        editor: String,
    },
}
