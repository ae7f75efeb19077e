//! Kubeconfigs: the one that leads to the real API server is read, one that leads to the proxy is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use http::HeaderValue;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Options;

/// The way to an API server and the credentials for it.
pub(super) struct Upstream {
    /// Without a slash at its end.
    pub server: String,
    /// The namespace of the context, if it names one.
    pub namespace: Option<String>,
    /// The `Authorization` header, for users with a token.
    pub authorization: Option<HeaderValue>,
    pub client: reqwest::Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: String,
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
}

impl Upstream {
    /// Reads the current context of the kubeconfig at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, its parts do not fit together, or its credentials are of a kind
    /// that the proxy has no use for, such as exec plugins.
    pub(super) fn read(path: &Path) -> anyhow::Result<Upstream> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let config: Kubeconfig = serde_saphyr::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{} is no kubeconfig: {error}", path.display()))?;
        let context = config.contexts.into_iter().find(|context| context.name == config.current_context);
        let context = context.with_context(|| format!("no context {:?}", config.current_context))?.context;
        let cluster = config.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.with_context(|| format!("no cluster {:?}", context.cluster))?.cluster;
        let user = config.users.into_iter().find(|user| user.name == context.user);
        let user = user.with_context(|| format!("no user {:?}", context.user))?.user;

        let folder = path.parent().unwrap_or(Path::new("."));
        let authorization = user.authorization(folder)?;
        let tls = tls(&cluster, &user, folder)?;
        ensure!(
            authorization.is_some() || user.has_certificate() || cluster.server.starts_with("http://"),
            "user {:?} has neither a client certificate nor a token",
            context.user
        );
        // The proxy passes answers on as they are: no redirect followed, nothing decompressed, nothing sent
        // twice.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .build()?;
        let server = cluster.server.trim_end_matches('/').to_owned();
        Ok(Upstream { server, namespace: context.namespace, authorization, client })
    }
}

impl User {
    fn has_certificate(&self) -> bool {
        self.client_certificate.is_some() || self.client_certificate_data.is_some()
    }

    fn authorization(&self, folder: &Path) -> anyhow::Result<Option<HeaderValue>> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => std::fs::read_to_string(folder.join(file))?,
            (None, None) => return Ok(None),
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn tls(cluster: &Cluster, user: &User, folder: &Path) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = cluster.certificate_authority_data.as_deref();
    if let Some(pem) = pem(authority, cluster.certificate_authority.as_deref(), folder)? {
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate?)?;
        }
    } else if cluster.server.starts_with("https://") {
        bail!("the cluster names no certificate authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let certificate =
        pem(user.client_certificate_data.as_deref(), user.client_certificate.as_deref(), folder)?;
    let key = pem(user.client_key_data.as_deref(), user.client_key.as_deref(), folder)?;
    Ok(match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?
        }
        _ => builder.with_no_client_auth(),
    })
}

/// A PEM file given inline as base64, or by a path relative to the kubeconfig.
fn pem(data: Option<&str>, file: Option<&Path>, folder: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(data) = data {
        return Ok(Some(base64::engine::general_purpose::STANDARD.decode(data.trim())?));
    }
    let Some(file) = file.map(|file| folder.join(file)) else { return Ok(None) };
    let read = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Some(read))
}

/// The text of a kubeconfig that leads to `server` as the options say. JSON, which is YAML.
pub(super) fn derived(server: &str, upstream: &Upstream, options: &Options) -> String {
    let mut user = json!({});
    if let Some(name) = &options.impersonate {
        user["as"] = json!(name);
        if !options.groups.is_empty() {
            user["as-groups"] = json!(options.groups);
        }
    }
    if let Some(token) = &options.token {
        user["token"] = json!(token);
    }
    let name = options.context.as_str();
    let mut context = json!({"cluster": name, "user": name});
    if let Some(namespace) = options.namespace.as_ref().or(upstream.namespace.as_ref()) {
        context["namespace"] = json!(namespace);
    }
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "contexts": [{"name": name, "context": context}],
        "users": [{"name": name, "user": user}],
    });
    format!("{config:#}\n")
}
