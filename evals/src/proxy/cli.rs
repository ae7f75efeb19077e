//! `kai-evals proxy`: the recording proxy by hand.

use std::path::PathBuf;

use super::{Options, Proxy};

/// What `kai-evals proxy` is told.
#[derive(Debug, clap::Args)]
pub struct ProxyArgs {
    /// Leads to the API server, with the credentials to use.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where to append one JSON line for each request.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Act as this user, by impersonation.
    #[arg(long = "as")]
    impersonate: Option<String>,
    /// Act as a member of this group too; may be given again.
    #[arg(long = "as-group", requires = "impersonate")]
    groups: Vec<String>,
    /// The namespace of the context. Default: that of the kubeconfig.
    #[arg(long)]
    namespace: Option<String>,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl ProxyArgs {
    /// Starts the proxy; it serves until the value is dropped.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn start(self) -> anyhow::Result<Proxy> {
        let options = Options {
            impersonate: self.impersonate,
            groups: self.groups,
            namespace: self.namespace,
            port: self.port,
            log: self.log,
            ..Options::default()
        };
        Proxy::start(&self.kubeconfig, options)
    }
}
