//! Kubeconfigs with their credentials inside: written for a cluster's users, read back for tests.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

/// The administrator of a cluster: where it is and how to be let in.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The API server's URL.
    pub server: String,
    /// The certificate authority that signed its certificate, as PEM.
    pub ca: String,
    /// The client certificate, as PEM.
    pub certificate: String,
    /// The client's key, as PEM.
    pub key: String,
}

impl Admin {
    /// Reads the credentials of a kubeconfig's current context.
    ///
    /// # Errors
    /// It cannot be read, or does not hold a certificate and key as data.
    pub fn read(path: &Path) -> Result<Admin> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Admin::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(text: &str) -> Result<Admin> {
        let config: Value = serde_saphyr::from_str(text)?;
        let named = |list: &str, name: &Value| {
            config[list].as_array().into_iter().flatten().find(|item| item["name"] == *name).cloned()
        };
        let Some(context) = named("contexts", &config["current-context"]) else {
            bail!("it has no current context");
        };
        let context = &context["context"];
        let cluster = named("clusters", &context["cluster"]).unwrap_or_default();
        let user = named("users", &context["user"]).unwrap_or_default();
        let pem = |object: &Value, field: &str| -> Result<String> {
            let Some(data) = object[field].as_str() else { bail!("it has no {field}") };
            Ok(String::from_utf8(STANDARD.decode(data).with_context(|| format!("{field} is not base64"))?)?)
        };
        Ok(Admin {
            server: cluster["cluster"]["server"].as_str().context("it names no server")?.to_owned(),
            ca: pem(&cluster["cluster"], "certificate-authority-data")?,
            certificate: pem(&user["user"], "client-certificate-data")?,
            key: pem(&user["user"], "client-key-data")?,
        })
    }

    /// The kubeconfig of these credentials, as JSON, which is YAML.
    pub fn kubeconfig(&self, context: &str) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": {
                "server": self.server,
                "certificate-authority-data": STANDARD.encode(&self.ca),
            }}],
            "users": [{"name": context, "user": {
                "client-certificate-data": STANDARD.encode(&self.certificate),
                "client-key-data": STANDARD.encode(&self.key),
            }}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        });
        format!("{config:#}\n")
    }

    /// An HTTP client with these credentials; it trusts this cluster's authority alone.
    ///
    /// # Errors
    /// The certificates are not valid.
    pub fn client(&self) -> Result<Client> {
        // Whoever was first to install a provider chose the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Client::builder()
            .tls_certs_only([Certificate::from_pem(self.ca.as_bytes())?])
            .identity(Identity::from_pem(format!("{}\n{}", self.certificate, self.key).as_bytes())?)
            .no_proxy()
            .build()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let admin = Admin {
            server: "https://127.0.0.1:20001".into(),
            ca: "ca\n".into(),
            certificate: "cert\n".into(),
            key: "key\n".into(),
        };
        let read = Admin::parse(&admin.kubeconfig("kai-local")).unwrap();
        assert_eq!((&read.server, &read.ca), (&admin.server, &admin.ca));
        assert_eq!((&read.certificate, &read.key), (&admin.certificate, &admin.key));
    }

    #[test]
    fn a_kubeconfig_without_credentials_says_what_is_missing() {
        let text = "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {server: s}}]\n";
        let error = format!("{:#}", Admin::parse(text).unwrap_err());
        assert!(error.contains("certificate-authority-data"), "{error}");
    }
}
