//! The API server as its administrator sees it: what a run begins with is made here, and what came of it is looked at.
//!
//! Plain HTTP instead of kubectl: a run looks at some forty kinds twice, and a process for each would cost more than kai.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::cluster::Cluster;

/// How many lists are asked for side by side.
const AT_ONCE: usize = 8;
/// How long a definition that was just applied may take to be served.
const SERVED: Duration = Duration::from_secs(15);

/// A kind that the API server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `apps/v1`, or `v1` for the core group.
    pub version: String,
    /// Such as `deployments`.
    pub plural: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// Other names, in lower case: the singular and the short ones.
    pub also: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether its objects can be listed.
    pub lists: bool,
}

/// The administrator of one cluster.
#[derive(Clone)]
pub struct Api {
    server: String,
    client: Client,
    handle: Handle,
    kinds: Arc<Mutex<Arc<Vec<Resource>>>>,
    /// The kubectl program, for steps that are written as its commands.
    kubectl: PathBuf,
    /// The kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
}

impl Resource {
    /// The path of its objects in a namespace, or of all where there is none.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.version.contains('/') { "/apis" } else { "/api" };
        let place = match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("/namespaces/{namespace}"),
            None => String::new(),
        };
        format!("{root}/{}{place}/{}", self.version, self.plural)
    }

    /// `deployments.apps`, or `pods`.
    pub fn full(&self) -> String {
        match self.version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.clone(),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        name == self.plural
            || name == self.kind.to_lowercase()
            || name == self.full()
            || self.also.contains(&name)
    }
}

impl Api {
    /// The administrator of a cluster; `kubectl` is the program. Nothing of it may be called on a thread of the runtime.
    ///
    /// # Errors
    /// Its kubeconfig cannot be used.
    pub fn of(cluster: &Cluster, kubectl: PathBuf, handle: &Handle) -> Result<Api> {
        let admin = cluster.admin()?;
        Ok(Api {
            server: admin.server.clone(),
            client: admin.client()?,
            handle: handle.clone(),
            kinds: Arc::default(),
            kubectl,
            kubeconfig: cluster.kubeconfig().to_owned(),
        })
    }

    /// What kubectl printed.
    ///
    /// # Errors
    /// It cannot be run, or does not succeed: with what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig).args(args);
        let output = command.output().context("cannot run kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", args.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the API server answers: status and body.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.handle.block_on(self.send(method, path, body))
    }

    /// Waits for something that needs the runtime.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let mut times = 0;
        let answer = loop {
            let mut request =
                self.client.request(Method::from_bytes(method.as_bytes())?, format!("{}{path}", self.server));
            if let Some(body) = body {
                // Server-side apply takes JSON as YAML.
                let kind =
                    if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
                request = request.header("content-type", kind).body(body.to_string());
            }
            match request.send().await {
                // A connection that was kept may be closed just as it is used again.
                Err(error) if times < 3 && error.is_request() => times += 1,
                answer => break answer.with_context(|| format!("{method} {path}"))?,
            }
        };
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// The kinds that are served now.
    ///
    /// # Errors
    /// The API server does not say.
    pub fn kinds(&self) -> Result<Arc<Vec<Resource>>> {
        let mut all = Vec::new();
        for root in ["/api", "/apis"] {
            let (status, list) = self.handle.block_on(async {
                let request = self.client.get(format!("{}{root}", self.server));
                let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                let answer = request.header("accept", accept).send().await?;
                anyhow::Ok((answer.status(), answer.json::<Value>().await?))
            })?;
            ensure!(status.is_success(), "GET {root}: {status}");
            all.extend(served(&list));
        }
        let all = Arc::new(all);
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&all);
        Ok(all)
    }

    /// The kind of this name, as people write it.
    ///
    /// # Errors
    /// There is none, also after a while.
    pub fn kind(&self, name: &str) -> Result<Resource> {
        let since = Instant::now();
        loop {
            let known = Arc::clone(&self.kinds.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(found) = known.iter().find(|kind| kind.is_called(name)) {
                return Ok(found.clone());
            }
            ensure!(since.elapsed() < SERVED, "the API server serves no kind called {name}");
            self.kinds()?;
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// One object, as `kind/name`; none when it is not there.
    ///
    /// # Errors
    /// It is not written so, or cannot be read.
    pub fn object(&self, namespace: &str, object: &str) -> Result<Option<Value>> {
        let (kind, name) = object.split_once('/').with_context(|| format!("{object} is not kind/name"))?;
        let path = format!("{}/{name}", self.kind(kind)?.path(Some(namespace)));
        match self.ask("GET", &path, None)? {
            (200, object) => Ok(Some(object)),
            (404, _) => Ok(None),
            (status, answer) => bail!("GET {path}: {status} {}", answer["message"]),
        }
    }

    /// Applies manifests, in the order in which they come, into a namespace where they name none. Those with a status get it.
    /// Answers the paths of what is in no namespace, and so does not go with one.
    ///
    /// # Errors
    /// One of them is refused.
    pub fn apply(&self, namespace: &str, manifests: &str) -> Result<Vec<String>> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(manifests).context("these are no manifests")?;
        let mut stays = Vec::new();
        for document in documents.into_iter().filter(|d| !d.is_null()) {
            stays.extend(self.apply_one(namespace, &document)?);
        }
        Ok(stays)
    }

    fn apply_one(&self, namespace: &str, document: &Value) -> Result<Option<String>> {
        let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (kind, version, name) = (text("/kind"), text("/apiVersion"), text("/metadata/name"));
        let group = version.rsplit_once('/').map_or("", |(group, _)| group);
        let mut known = self.kind(kind)?;
        // Two groups may have kinds of one name.
        if known.version != version {
            let all = self.kinds()?;
            let of_group = all.iter().find(|k| {
                k.kind == kind && (k.version == version || k.version.starts_with(&format!("{group}/")))
            });
            known = of_group.cloned().unwrap_or(known);
            version.clone_into(&mut known.version);
        }
        let place = match text("/metadata/namespace") {
            "" => namespace,
            place => place,
        };
        let path = known.path(Some(place));
        let query = "?fieldManager=kubectl-create";
        let since = Instant::now();
        loop {
            let (mut status, mut answer) = self.ask("POST", &format!("{path}{query}"), Some(document))?;
            if status == 409 {
                let query = "?fieldManager=kubectl&force=true";
                (status, answer) = self.ask("PATCH", &format!("{path}/{name}{query}"), Some(document))?;
            }
            // A definition that is new takes a moment to be served, and a namespace to have its service account.
            let is_early = status == 404 && known.version.contains('.')
                || status == 403 && answer.to_string().contains("service account");
            if is_early && since.elapsed() < SERVED {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            ensure!(status < 300, "{kind}/{name}: {status} {}", answer["message"]);
            break;
        }
        let path = format!("{path}/{name}");
        let query = "?fieldManager=kubelet&force=true";
        if document.get("status").is_some_and(|s| !s.is_null()) {
            let (status, answer) = self.ask("PATCH", &format!("{path}/status{query}"), Some(document))?;
            ensure!(status < 300, "the status of {kind}/{name}: {status} {}", answer["message"]);
        }
        Ok((!known.namespaced).then_some(path))
    }

    /// Everything of these kinds, each object with its kind.
    ///
    /// # Errors
    /// One of them cannot be listed.
    pub fn list(&self, kinds: &[Resource], namespace: Option<&str>) -> Result<Vec<(Resource, Value)>> {
        let answers = self.handle.block_on(async {
            let asked = kinds.iter().map(|kind| async move {
                (kind.clone(), self.send("GET", &kind.path(namespace), None).await)
            });
            futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await
        });
        let mut all = Vec::new();
        for (kind, answer) in answers {
            let (status, list) = answer?;
            // A kind that is served and not implemented, or an aggregated server that is away.
            if matches!(status, 404 | 405 | 503) {
                continue;
            }
            ensure!(status == 200, "listing {}: {status} {}", kind.full(), list["message"]);
            let items = list["items"].as_array().cloned().unwrap_or_default();
            all.extend(items.into_iter().map(|item| (kind.clone(), item)));
        }
        Ok(all)
    }
}

/// The kinds in an answer of the aggregated discovery, each in its preferred version.
fn served(list: &Value) -> Vec<Resource> {
    let mut all = Vec::new();
    for group in list["items"].as_array().into_iter().flatten() {
        let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let mut seen: Vec<String> = Vec::new();
        for version in group["versions"].as_array().into_iter().flatten() {
            let number = version["version"].as_str().unwrap_or_default();
            let full = if name.is_empty() { number.to_owned() } else { format!("{name}/{number}") };
            for resource in version["resources"].as_array().into_iter().flatten() {
                let text = |path: &str| {
                    resource.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                let plural = text("/resource");
                if seen.contains(&plural) {
                    continue;
                }
                let words = |field: &str| -> Vec<String> {
                    let list = resource[field].as_array().into_iter().flatten();
                    list.filter_map(Value::as_str).map(str::to_lowercase).collect()
                };
                let mut also = words("shortNames");
                also.push(text("/singularResource").to_lowercase());
                all.push(Resource {
                    version: full.clone(),
                    kind: text("/responseKind/kind"),
                    also,
                    namespaced: text("/scope") == "Namespaced",
                    lists: words("verbs").contains(&"list".to_owned()),
                    plural: plural.clone(),
                });
                seen.push(plural);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_known_by_all_its_names() {
        let resource = json!({"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced",
            "singularResource": "deployment", "shortNames": ["deploy"], "verbs": ["get", "list"]});
        let list = json!({"items": [{"metadata": {"name": "apps"}, "versions": [
            {"version": "v1", "resources": [resource]}, {"version": "v1beta1", "resources": [resource]}]}]});
        let all = served(&list);
        assert_eq!(all.len(), 1, "the preferred version alone");
        for name in ["deployments", "Deployment", "deploy", "deployments.apps"] {
            assert!(all[0].is_called(name), "{name}");
        }
        assert_eq!(all[0].path(Some("a")), "/apis/apps/v1/namespaces/a/deployments");
        assert_eq!(all[0].path(None), "/apis/apps/v1/deployments");
    }
}
