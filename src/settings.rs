//! Flags, environment and files made into settings: the only reader of environment and configuration files.

mod file;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use kai_tools::cluster::ConnectOptions;
use kai_tools::cost::Pricing;
use kai_tools::policy::{self, Mode, Need, Policy};

use crate::cli::Global;
use crate::error::Failure;
use file::File;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
    Yaml,
    Markdown,
    /// Rows of `kai cost`.
    Csv,
}

/// Which model answers, as configured.
#[derive(Clone, Default)]
pub struct ModelChoice {
    /// `planner`, `provider:model`, or a bare model name; `None` when nothing was said.
    pub name: Option<String>,
    pub base_url: Option<String>,
    pub key: Option<String>,
    /// Whether answers are streamed.
    pub stream: bool,
    /// Seconds that an endpoint may be silent.
    pub silence: u64,
    /// Whether a base URL without TLS outside this machine may be used.
    pub insecure: bool,
}

/// What was set, in force for this run.
#[derive(Clone)]
pub struct Settings {
    pub connect: ConnectOptions,
    pub model: ModelChoice,
    pub output: Output,
    /// A file named by `-o`, where the command takes one.
    pub output_file: Option<PathBuf>,
    pub yes: bool,
    /// What is off by default and was allowed for this run.
    pub allow: Vec<Need>,
    pub dry_run: bool,
    pub color: bool,
    pub quiet: bool,
    pub verbose: u8,
    /// Folder of journal, plans and chat history.
    pub state: PathBuf,
    pub config_file: PathBuf,
    /// The prices that were given: a file.
    pub pricing: Pricing,
    /// Whether somebody can be asked: stdin and stderr are terminals.
    pub interactive: bool,
    /// Columns of the terminal; 100 when there is none.
    pub width: usize,
    environment: BTreeMap<String, String>,
    file: File,
    /// Name, value and source of each setting, for `kai config`.
    pub origins: Vec<[String; 3]>,
}

/// Where a value came from, with the value.
struct Picked {
    value: Option<String>,
    source: &'static str,
}

impl Settings {
    /// Reads everything. `environment` is the process environment.
    ///
    /// # Errors
    /// A usage failure naming the flag, the variable, or the file and line that is wrong.
    pub fn read(global: &Global, environment: BTreeMap<String, String>) -> Result<Self, Failure> {
        let var = |name: &str| environment.get(name).filter(|v| !v.is_empty()).cloned();
        let home = var("HOME").map(PathBuf::from).unwrap_or_default();
        let folder = |name: &str, fallback: &str| {
            var(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .unwrap_or_else(|| home.join(fallback))
                .join("kai")
        };
        let config_file = var("KAI_CONFIG")
            .map_or_else(|| folder("XDG_CONFIG_HOME", ".config").join("config.toml"), PathBuf::from);
        let file = File::read(&config_file)?;
        let mut origins = Vec::new();
        let mut pick = |name: &str, flag: Option<String>, variable: &str, in_file: Option<String>| {
            let picked = match (flag, var(variable), in_file) {
                (Some(v), ..) => Picked { value: Some(v), source: "flag" },
                (_, Some(v), _) => Picked { value: Some(v), source: "environment" },
                (.., Some(v)) => Picked { value: Some(v), source: "config.toml" },
                _ => Picked { value: None, source: "default" },
            };
            let shown = picked
                .value
                .clone()
                .map_or_else(|| "-".into(), |v| if name == "api_key" { "(set)".into() } else { v });
            origins.push([name.to_string(), shown, picked.source.to_string()]);
            picked.value
        };
        let set = |flag: bool| flag.then(|| "true".to_string());
        let truth =
            |name: &str, value: Option<String>| match value.as_deref().map(str::to_lowercase).as_deref() {
                None | Some("false" | "0" | "no") => Ok(false),
                Some("true" | "1" | "yes") => Ok(true),
                Some(other) => Err(Failure::usage(format!("{name}: `{other}` is neither true nor false"))),
            };
        let number = |name: &str, value: Option<String>, default: u64| match value.map(|v| v.parse::<u64>()) {
            None => Ok(default),
            Some(Ok(n)) if n > 0 => Ok(n),
            Some(_) => Err(Failure::usage(format!("{name}: give a whole number of seconds"))),
        };
        let context = pick("context", global.context.clone(), "KAI_CONTEXT", file.context.clone());
        let namespace = pick("namespace", global.namespace.clone(), "KAI_NAMESPACE", file.namespace.clone());
        let model = pick("model", global.model.clone(), "KAI_MODEL", file.model.clone());
        let base_url = pick("base_url", global.base_url.clone(), "KAI_BASE_URL", file.base_url.clone());
        let key = pick("api_key", None, "KAI_API_KEY", None);
        let output = pick("output", global.output.clone(), "KAI_OUTPUT", file.output.clone());
        let yes = truth("yes", pick("yes", set(global.yes), "KAI_YES", None))?;
        let dry_run = truth(
            "dry_run",
            pick("dry_run", set(global.dry_run), "KAI_DRY_RUN", file.dry_run.map(|b| b.to_string())),
        )?;
        let read_only = truth(
            "read_only",
            pick("read_only", set(global.read_only), "KAI_READ_ONLY", file.read_only.map(|b| b.to_string())),
        )?;
        let said = Some(global.allow.join(",")).filter(|a| !a.is_empty());
        let allow = pick("allow", said, "KAI_ALLOW", None)
            .map(|said| allowed(&said))
            .transpose()?
            .unwrap_or_default();
        let stream = pick("stream", None, "KAI_STREAM", file.stream.map(|b| b.to_string()));
        let silence =
            pick("model_timeout", None, "KAI_MODEL_TIMEOUT", file.model_timeout.map(|n| n.to_string()));
        let quiet =
            truth("quiet", pick("quiet", set(global.quiet), "KAI_QUIET", file.quiet.map(|b| b.to_string())))?;
        let kubeconfig = pick(
            "kubeconfig",
            global.kubeconfig.as_ref().map(|p| p.display().to_string()),
            "KUBECONFIG",
            file.kubeconfig.clone(),
        );
        let state = pick("state", None, "KAI_STATE", None)
            .map_or_else(|| folder("XDG_STATE_HOME", ".local/state"), PathBuf::from);
        let said = pick("prices", None, "KAI_PRICES", file.prices.clone()).map(PathBuf::from);
        let pricing = pricing(said, &config_file);
        let (output, output_file) = parse_output(output);
        let stderr_is_terminal = std::io::stderr().is_terminal();
        let dumb = var("TERM").is_none_or(|t| t == "dumb");
        let color = !global.no_color && var("NO_COLOR").is_none() && !dumb && stderr_is_terminal;
        let width =
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(100, |s| usize::from(s.ws_col)).max(20);
        let connect = ConnectOptions {
            kubeconfig: kubeconfig_files(kubeconfig, &home, var("KUBERNETES_SERVICE_HOST").is_some()),
            context,
            namespace,
            as_user: global.as_user.clone(),
            as_groups: global.as_groups.clone(),
            exec_plugins: file.exec_plugins.clone(),
            interactive: true,
            read_only,
            no_proxy: var("NO_PROXY").or_else(|| var("no_proxy")),
        };
        Ok(Self {
            connect,
            model: ModelChoice {
                name: model,
                base_url,
                key,
                stream: truth("stream", stream.or(Some("true".into())))?,
                silence: number("model_timeout", silence, 60)?,
                insecure: false,
            },
            output,
            output_file,
            yes,
            allow,
            dry_run,
            color,
            quiet,
            verbose: global.verbose,
            state,
            config_file,
            pricing,
            interactive: stderr_is_terminal && std::io::stdin().is_terminal(),
            width,
            environment,
            file,
            origins,
        })
    }

    /// A variable of the environment, for settings that are named elsewhere (the key of a provider).
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The rules for a context: those of the file for it, else the file's general ones; a context whose name says
    /// production is read-only until the file has rules for it by name.
    pub fn policy(&self, context: &str) -> Policy {
        let named = self.file.contexts.get(context);
        let mut policy = named.cloned().unwrap_or_else(|| self.file.policy.clone());
        if policy::is_production(context) {
            policy.production = true;
            if named.is_none() {
                policy.mode = Mode::ReadOnly;
            }
        }
        policy.allow_secrets |= self.allow.contains(&Need::Secrets);
        policy.allow_exec |= self.allow.contains(&Need::Exec);
        policy.allow_control_plane |= self.allow.contains(&Need::ControlPlane);
        if self.connect.read_only {
            policy.mode = Mode::ReadOnly;
        }
        if self.yes && policy.mode == Mode::Ask {
            policy.mode = Mode::Auto;
        }
        policy
    }
}

/// What `--allow` names.
fn allowed(said: &str) -> Result<Vec<Need>, Failure> {
    said.split(',')
        .map(str::trim)
        .filter(|w| !w.is_empty())
        .map(|word| match word {
            "secrets" => Ok(Need::Secrets),
            "exec" => Ok(Need::Exec),
            "control-plane" => Ok(Need::ControlPlane),
            other => {
                Err(Failure::usage(format!("--allow: `{other}` is none of secrets, exec, control-plane")))
            }
        })
        .collect()
}

/// The price file: the one that is named, else `prices.toml` beside the configuration where there is one.
fn pricing(said: Option<PathBuf>, config_file: &Path) -> Pricing {
    let path = match said {
        Some(path) => path,
        None => match config_file.with_file_name("prices.toml") {
            beside if beside.exists() => beside,
            _ => return Pricing::default(),
        },
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{shown} cannot be read: {e}"));
    Pricing { file: Some((shown, text)), ..Pricing::default() }
}

fn parse_output(said: Option<String>) -> (Output, Option<PathBuf>) {
    match said.as_deref() {
        None | Some("text") => (Output::Text, None),
        Some("json") => (Output::Json, None),
        Some("yaml") => (Output::Yaml, None),
        Some("markdown" | "md") => (Output::Markdown, None),
        Some("csv") => (Output::Csv, None),
        Some(path) => (Output::Text, Some(PathBuf::from(path))),
    }
}

/// The files that kubectl would read: the list given, else ~/.kube/config; none inside a pod without one.
fn kubeconfig_files(said: Option<String>, home: &Path, in_pod: bool) -> Vec<PathBuf> {
    if let Some(list) = said {
        return std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).collect();
    }
    let own = home.join(".kube/config");
    if in_pod && !own.exists() { Vec::new() } else { vec![own] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)], global: Global) -> Result<Settings, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let mut all: BTreeMap<String, String> =
            environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        all.insert("KAI_CONFIG".into(), path.display().to_string());
        Settings::read(&global, all)
    }

    #[test]
    fn flags_beat_environment_beats_file() {
        let global = Global { namespace: Some("flag".into()), ..Global::default() };
        let settings = read(
            "namespace = \"file\"\nmodel = \"file\"\ncontext = \"file\"",
            &[("KAI_NAMESPACE", "env"), ("KAI_MODEL", "env")],
            global,
        )
        .unwrap();
        assert_eq!(settings.connect.namespace.as_deref(), Some("flag"));
        assert_eq!(settings.model.name.as_deref(), Some("env"));
        assert_eq!(settings.connect.context.as_deref(), Some("file"));
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        for bad in ["modle = \"x\"", "[policy]\nmode = \"yolo\"", "read_only = "] {
            let Err(failure) = read(bad, &[], Global::default()) else { panic!("{bad} was taken") };
            assert_eq!(failure.status, crate::error::ExitStatus::Usage);
            assert!(
                failure.message.contains("config.toml") && failure.message.contains("line"),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn production_is_read_only_until_configured() {
        let settings = read("[contexts.eu-prod]\nmode = \"ask\"", &[], Global::default()).unwrap();
        assert_eq!(settings.policy("us-prod").mode, Mode::ReadOnly);
        let configured = settings.policy("eu-prod");
        assert!(configured.mode == Mode::Ask && configured.production);
        assert_eq!(settings.policy("kind-kai").mode, Mode::Ask);
    }

    #[test]
    fn yes_raises_ask_and_nothing_else() {
        let yes = || Global { yes: true, ..Global::default() };
        assert_eq!(read("", &[], yes()).unwrap().policy("kind-kai").mode, Mode::Auto);
        assert_eq!(
            read("[policy]\nmode = \"read-only\"", &[], yes()).unwrap().policy("kind-kai").mode,
            Mode::ReadOnly
        );
        let both = Global { yes: true, read_only: true, ..Global::default() };
        assert_eq!(read("", &[], both).unwrap().policy("kind-kai").mode, Mode::ReadOnly);
    }
}
