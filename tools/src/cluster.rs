//! A connection to one cluster as one user: the private client, the context and the namespace.

pub(crate) mod ask;
mod connect;
mod discover;
mod guard;
pub(crate) mod inside;
pub mod pods;
pub mod read;
pub mod resolve;
pub(crate) mod stream;
pub mod wait;
pub(crate) mod write;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;

pub use connect::{ConnectOptions, contexts};

use crate::error::ToolError;
use crate::object::text;

/// A connection, which reads and does not write. Neither its client nor the writer can be had:
///
/// ```compile_fail,E0616
/// fn take(cluster: kai_tools::Cluster) {
///     let inner = &cluster.0;
/// }
/// ```
///
/// ```compile_fail,E0603
/// use kai_tools::cluster::write::dry_run;
/// ```
///
/// ```
/// async fn read(cluster: kai_tools::Cluster) {
///     let _ = cluster.get("/version").await;
/// }
/// ```
///
/// Cheap to clone; all clones share one client, so credential plugins run once.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    /// Never handed out: every request goes through `read` or `write`, and through the guard below them.
    client: kube::Client,
    context: String,
    namespace: String,
    server: String,
    read_only: bool,
    kinds: discover::Kinds,
    identity: OnceCell<Identity>,
}

/// Which cluster this is and who asks: what a plan is bound to, so that a swapped kubeconfig is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// UID of the `kube-system` namespace: the usual identity of a cluster. Empty when it may not be read; then the
    /// server's address stands for the cluster.
    pub cluster: String,
    pub server: String,
    pub user: String,
}

impl Cluster {
    /// Name of the kubeconfig context, or `in-cluster`.
    pub fn context(&self) -> &str {
        &self.0.context
    }

    /// Namespace that is meant when none is named.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Address of the API server.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// Whether this connection refuses every write, dry runs included.
    pub fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// The same connection with another default namespace.
    pub fn with_namespace(&self, namespace: &str) -> Self {
        let inner = &*self.0;
        Self(Arc::new(Inner {
            client: inner.client.clone(),
            context: inner.context.clone(),
            namespace: namespace.into(),
            server: inner.server.clone(),
            read_only: inner.read_only,
            kinds: inner.kinds.clone(),
            identity: inner.identity.clone(),
        }))
    }

    /// Which cluster this is and as whom we speak to it; asked once, in two requests side by side.
    ///
    /// # Errors
    /// When the API server cannot be reached or does not say who we are.
    pub async fn identity(&self) -> Result<Identity, ToolError> {
        self.0
            .identity
            .get_or_try_init(|| async {
                let review = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
                let (system, who) = tokio::join!(
                    self.get("/api/v1/namespaces/kube-system"),
                    self.self_review("authentication.k8s.io/v1/selfsubjectreviews", &review)
                );
                let cluster = match system {
                    Ok(namespace) => text(&namespace, "/metadata/uid").to_string(),
                    Err(ToolError::Forbidden { .. } | ToolError::NotFound { .. }) => String::new(),
                    Err(e) => return Err(e),
                };
                let user = text(&who?, "/status/userInfo/username").to_string();
                Ok(Identity { cluster, server: self.0.server.clone(), user })
            })
            .await
            .cloned()
    }

    /// The version that the API server says it is, such as `v1.34.4`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn version(&self) -> Result<String, ToolError> {
        let version: Value = self.get("/version").await?;
        Ok(crate::sanitize::line(text(&version, "/gitVersion")))
    }
}
