//! A recording, fault-injecting proxy in front of a real API server.
//!
//! A client gets a kubeconfig that leads here; the proxy keeps each request, lets a [hook](Proxy::hook)
//! decide what becomes of it, and forwards it with the credentials of the kubeconfig that it was given.
//! Answers are streamed, so watches and followed logs work. Connections that switch protocols (exec, port-forward) are
//! carried in both directions, and what goes through them is not kept.

mod cli;
mod forward;
mod hook;
mod kubeconfig;
mod recorded;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

pub use cli::ProxyArgs;
pub use hook::{Action, Denial};
pub use recorded::{Recorded, pairs};

use crate::loopback::Loopback;
use forward::Shared;
use kubeconfig::Upstream;

/// What the derived kubeconfig says, and what is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The user to act as, by impersonation headers that the client sends.
    pub impersonate: Option<String>,
    /// The groups to act as a member of; only together with `impersonate`.
    pub groups: Vec<String>,
    /// A bearer token for the client to send; the proxy drops it.
    pub token: Option<String>,
    /// The name of the context.
    pub context: String,
    /// The namespace of the context. Default: that of the given kubeconfig.
    pub namespace: Option<String>,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Where to append one JSON line for each request.
    pub log: Option<PathBuf>,
    /// Whether to keep the bodies of answers.
    pub answers: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            impersonate: None,
            groups: Vec::new(),
            token: None,
            context: "proxy".to_owned(),
            namespace: None,
            port: 0,
            log: None,
            answers: false,
        }
    }
}

/// A running proxy; dropping it ends it, its connections and its kubeconfig.
pub struct Proxy {
    server: Loopback,
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Serves a proxy in front of what the current context of `kubeconfig` leads to.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used, the port is taken, or a file cannot be written.
    pub fn start(kubeconfig: &Path, options: Options) -> anyhow::Result<Proxy> {
        let upstream = Upstream::read(kubeconfig)?;
        let log = options.log.as_ref().map(|path| {
            let file = File::options().create(true).append(true).mode(0o600).open(path);
            file.map(Mutex::new).with_context(|| format!("cannot write {}", path.display()))
        });
        let shared = Arc::new(Shared {
            upstream,
            answers: options.answers,
            log: log.transpose()?,
            record: Mutex::default(),
            hook: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let server = Loopback::start(options.port, move |request| Arc::clone(&served).handle(request))?;
        let proxy = Proxy { server, shared, folder: tempfile::tempdir()? };
        proxy.write_kubeconfig(&proxy.kubeconfig(), &options)?;
        Ok(proxy)
    }

    /// The base URL of the API as seen through the proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The kubeconfig that leads to the proxy; it is gone when the proxy is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A further kubeconfig that leads to the proxy, for another user, context or namespace.
    ///
    /// Of the options, only those about the kubeconfig count.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_for(&self, options: &Options) -> anyhow::Result<PathBuf> {
        let (_, path) =
            tempfile::Builder::new().prefix("kubeconfig-").tempfile_in(self.folder.path())?.keep()?;
        self.write_kubeconfig(&path, options)?;
        Ok(path)
    }

    fn write_kubeconfig(&self, path: &Path, options: &Options) -> anyhow::Result<()> {
        let text = kubeconfig::derived(&self.url(), &self.shared.upstream, options);
        // Readable for its owner only: clients warn about others, and it may hold a token.
        let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Every request since the start or the last [`clear`](Proxy::clear), in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.record().requests.clone()
    }

    /// The requests that could change something: no reads, self-reviews, dry runs.
    pub fn writes(&self) -> Vec<Recorded> {
        let requests = self.requests().into_iter();
        requests.filter(Recorded::is_write).collect()
    }

    /// Each write with the dry run that it repeats; see [`pairs`].
    pub fn pairs(&self) -> Vec<(Recorded, Option<Recorded>)> {
        pairs(&self.shared.record().requests)
    }

    /// Forgets the requests so far; numbers go on counting.
    pub fn clear(&self) {
        self.shared.record().requests.clear();
    }

    /// Asks this about each request from now on, before it is forwarded. It may block.
    pub fn hook(&self, hook: impl Fn(&Recorded) -> Action + Send + Sync + 'static) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Forwards everything again.
    pub fn unhook(&self) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
