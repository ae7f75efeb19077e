//! From kubeconfig files (or a pod's service account) to a guarded client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use tokio::sync::OnceCell;

use super::guard::GuardLayer;
use super::{Cluster, Inner};
use crate::error::ToolError;

/// Credential plugins that may run: those of the clouds and of the common identity brokers. Anything else in a
/// kubeconfig is a program that its author wants us to run, and needs to be allowed by name.
const EXEC_PLUGINS: [&str; 12] = [
    "aws",
    "aws-iam-authenticator",
    "gke-gcloud-auth-plugin",
    "gcloud",
    "kubelogin",
    "kubectl-oidc_login",
    "oci",
    "doctl",
    "tsh",
    "vault",
    "teleport",
    "kubectl-login",
];

/// How to reach a cluster.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Kubeconfig files, merged in order as kubectl does. Empty: the service account of the pod we run in.
    pub kubeconfig: Vec<PathBuf>,
    /// Context; the current one when `None`.
    pub context: Option<String>,
    /// Namespace; the context's when `None`.
    pub namespace: Option<String>,
    pub as_user: Option<String>,
    pub as_groups: Vec<String>,
    /// Further credential plugins that may run, by file name or full path.
    pub exec_plugins: Vec<String>,
    /// Whether a credential plugin may ask on the terminal. Never over MCP: it would eat the protocol's bytes.
    pub interactive: bool,
    /// Refuse every write below the tools, dry runs included.
    pub read_only: bool,
    /// Hosts that are reached without the proxy of the environment (`NO_PROXY`).
    pub no_proxy: Option<String>,
}

impl Cluster {
    /// Connects: reads the files, checks the credential plugin, builds the client. Sends nothing yet.
    ///
    /// # Errors
    /// [`ToolError::Login`] when files, context or credentials cannot be used.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ToolError> {
        let (mut config, context) = if options.kubeconfig.is_empty() {
            let config = kube::Config::incluster().map_err(|e| {
                login(
                    format!("no kubeconfig was found, and this is not a pod of a cluster ({e})"),
                    NO_KUBECONFIG,
                )
            })?;
            (config, "in-cluster".to_string())
        } else {
            from_files(&options).await?
        };
        if let Some(namespace) = &options.namespace {
            config.default_namespace = namespace.clone();
        }
        if !crate::object::is_object_name(&config.default_namespace) {
            let name = crate::sanitize::line(&config.default_namespace);
            return Err(login(format!("`{name}` cannot be the name of a namespace"), ""));
        }
        if options.as_user.is_some() {
            config.auth_info.impersonate = options.as_user.clone();
        }
        if !options.as_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(options.as_groups.clone());
        }
        // kube would repeat every request, writes too, up to 15 times; `read` repeats what is safe to repeat.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        if options
            .no_proxy
            .as_deref()
            .is_some_and(|list| is_listed(list, config.cluster_url.host().unwrap_or("")))
        {
            config.proxy_url = None;
        }
        let server = config.cluster_url.to_string().trim_end_matches('/').to_string();
        let namespace = config.default_namespace.clone();
        let guard = GuardLayer { read_only: options.read_only };
        // Building the client runs the credential plugin, which blocks.
        let built = tokio::task::spawn_blocking(move || {
            ClientBuilder::try_from(config).map(|builder| builder.with_layer(&guard).build())
        })
        .await
        .map_err(|e| login(format!("the credentials of context `{context}` cannot be used: {e}"), ""))?;
        let client = built.map_err(|e| {
            let message = crate::redact::text(&crate::sanitize::line(&e.to_string()));
            login(
                format!("the credentials of context `{context}` cannot be used: {message}"),
                "Log in again with your cluster's own tool.",
            )
        })?;
        Ok(Self(Arc::new(Inner {
            client,
            context,
            namespace,
            server,
            read_only: options.read_only,
            kinds: super::discover::Kinds::default(),
            identity: OnceCell::new(),
        })))
    }
}

const NO_KUBECONFIG: &str = "Set KUBECONFIG or --kubeconfig, or put a file at ~/.kube/config.";

fn login(message: String, hint: &str) -> ToolError {
    ToolError::Login { message, hint: hint.into() }
}

async fn from_files(options: &ConnectOptions) -> Result<(kube::Config, String), ToolError> {
    let mut kubeconfig = read(&options.kubeconfig)?;
    let context = options.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    let Some(named) = kubeconfig.contexts.iter().find(|c| c.name == context) else {
        let names: Vec<String> = kubeconfig.contexts.iter().map(|c| crate::sanitize::line(&c.name)).collect();
        let shown = crate::sanitize::line(&context);
        return Err(if context.is_empty() {
            login(
                "the kubeconfig has no current context".into(),
                &format!("Name one with --context: {}.", names.join(", ")),
            )
        } else {
            login(
                format!("the kubeconfig has no context `{shown}`"),
                &format!("It has: {}.", names.join(", ")),
            )
        });
    };
    let user = named.context.as_ref().and_then(|c| c.user.clone()).unwrap_or_default();
    for auth in kubeconfig.auth_infos.iter_mut().filter(|a| a.name == user) {
        let Some(exec) = auth.auth_info.as_mut().and_then(|a| a.exec.as_mut()) else { continue };
        let command = exec.command.clone().unwrap_or_default();
        if !may_run(&command, &options.exec_plugins) {
            return Err(ToolError::Refused {
                message: format!(
                    "context `{}` wants to run the credential plugin `{}`, which is not on the list of known plugins",
                    crate::sanitize::line(&context),
                    crate::sanitize::line(&command)
                ),
                hint: "If you trust it, add it to `exec_plugins` in kai's config.toml.".into(),
            });
        }
        if !options.interactive {
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
    }
    let wanted = KubeConfigOptions { context: Some(context.clone()), cluster: None, user: None };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &wanted).await.map_err(|e| {
        login(
            format!(
                "context `{}` cannot be used: {}",
                crate::sanitize::line(&context),
                crate::sanitize::line(&e.to_string())
            ),
            "",
        )
    })?;
    Ok((config, context))
}

fn read(paths: &[PathBuf]) -> Result<Kubeconfig, ToolError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|p| p.exists()) {
        let unusable = |e: kube::config::KubeconfigError| {
            // A parse error may quote the file, and the file holds keys.
            let reason = crate::redact::text(&crate::sanitize::line(&e.to_string()));
            login(format!("{} cannot be used: {}", path.display(), crate::report::bounded(&reason, 300)), "")
        };
        let next = Kubeconfig::read_from(path).map_err(unusable)?;
        merged = Some(match merged {
            None => next,
            Some(before) => before.merge(next).map_err(unusable)?,
        });
    }
    merged.ok_or_else(|| {
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        login(format!("no kubeconfig: {} does not exist", names.join(", ")), NO_KUBECONFIG)
    })
}

/// Names of the contexts in these files, and the current one.
///
/// # Errors
/// When a file cannot be read.
pub fn contexts(paths: &[PathBuf]) -> Result<(Vec<String>, Option<String>), ToolError> {
    let kubeconfig = read(paths)?;
    Ok((kubeconfig.contexts.into_iter().map(|c| c.name).collect(), kubeconfig.current_context))
}

fn may_run(command: &str, allowed: &[String]) -> bool {
    let base = Path::new(command).file_name().and_then(|n| n.to_str()).unwrap_or("");
    // A relative path is whatever lies in the current folder: only a bare name (from PATH) or a full path may match.
    let is_bare = command == base;
    allowed.iter().any(|a| a == command || (is_bare && a == base))
        || (EXEC_PLUGINS.contains(&base) && (is_bare || command.starts_with('/')))
}

/// Whether `NO_PROXY` names this host: exactly, as a parent domain, or by `*`.
fn is_listed(list: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    list.split(',').map(str::trim).filter(|e| !e.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches('.');
        entry == "*" || host == entry || host.ends_with(&format!(".{entry}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_plugins_run() {
        assert!(may_run("aws", &[]));
        assert!(may_run("/usr/bin/kubelogin", &[]));
        for bad in ["sh", "bash", "./aws", "../x/aws", "curl", "", "/tmp/evil"] {
            assert!(!may_run(bad, &[]), "{bad}");
        }
        assert!(may_run("corp-login", &["corp-login".into()]));
        assert!(!may_run("./corp-login", &["corp-login".into()]));
        assert!(may_run("/opt/corp/login", &["/opt/corp/login".into()]));
    }

    #[test]
    fn no_proxy() {
        assert!(is_listed("localhost,.corp.example", "api.corp.example"));
        assert!(is_listed("*", "x"));
        assert!(!is_listed("corp.example", "notcorp.example"));
    }
}
