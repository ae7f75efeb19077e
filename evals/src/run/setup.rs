//! What a run begins with: its namespaces, kai's user and rights, planted secrets, the scenario's objects and files; all of
//! it goes when the run ends.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::api::Api;
use super::check::unmet;
use super::drive::Place;
use super::names::Names;
use super::scenario::{Check, Scenario};
use super::stop;
use super::world::{self, Part};
use crate::cluster::Line;

/// How long what a scenario begins with may take to be there, in seconds.
const READY: u64 = 150;
/// The namespace that every run could write to, and none may.
pub const NEIGHBOURS: &str = "eval-neighbours";
/// A ClusterRole that may look at everything.
pub const READER: &str = "eval-reader";
/// The group that every run's user is in.
pub const GROUP: &str = "kai-evals";

/// What a run happens in; dropped, it takes all of it away.
pub struct Room {
    api: Api,
    /// What was called how.
    pub names: Names,
    /// A hash of what there is in it, without what is another one each time.
    pub plain: String,
    namespaces: Vec<String>,
    /// Paths of what is in no namespace.
    stays: Vec<String>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let namespaces = self.namespaces.iter().map(|namespace| format!("/api/v1/namespaces/{namespace}"));
        for path in self.stays.iter().cloned().chain(namespaces) {
            // What cannot be deleted goes with the cluster.
            let _ = self.api.ask("DELETE", &path, None);
        }
    }
}

/// The namespaces of a scenario's run.
pub fn namespaces(scenario: &Scenario, names: &Names) -> Vec<String> {
    let further = scenario.namespaces.iter().map(|n| format!("{}-{n}", names.namespace));
    std::iter::once(names.namespace.clone()).chain(further).collect()
}

/// Makes what every cluster has once: neighbours with names that runs use too.
///
/// # Errors
/// The API server refuses it.
pub fn neighbours(api: &Api) -> Result<()> {
    let reader = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": READER},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]});
    api.apply(NEIGHBOURS, &reader.to_string())?;
    let binding = binding(NEIGHBOURS, "edit", &json!({"kind": "Group", "name": GROUP}));
    let labels = json!({"app": "backend"});
    let backend = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "backend"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "backend", "image": "nginx:1.27"}]}}}});
    for object in [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEIGHBOURS}}),
        binding,
        backend,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "neighbours-own"}, "data": {"LEVEL": "info"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "backend"}, "spec": {"selector": labels, "ports": [{"port": 80}]}}),
    ] {
        api.apply(NEIGHBOURS, &object.to_string())?;
    }
    // Its pods come and go by themselves until they are there.
    let ready = Check {
        object: "deployment/backend".to_owned(),
        path: "/status/readyReplicas".to_owned(),
        eq: Some(json!(1)),
        within: READY,
        ..Check::default()
    };
    let names = Names { namespace: NEIGHBOURS.to_owned(), ..Names::new("neighbours", 0) };
    unmet(api, &ready, &names)?.map_or(Ok(()), |why| bail!("{why}"))
}

fn binding(namespace: &str, role: &str, subject: &Value) -> Value {
    let mut subject = subject.clone();
    subject["apiGroup"] = json!("rbac.authorization.k8s.io");
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": format!("evals-{role}"), "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject]})
}

/// Makes what a scenario begins with, and waits until it is there. kai is asked where the scenario wants a diagnosis first.
///
/// # Errors
/// Something of it is refused, or does not come to be.
pub fn prepare(place: &Place, scenario: &Scenario, number: usize) -> Result<Room> {
    let api = &place.api;
    let names = Names::new(&scenario.id, number);
    let namespaces = namespaces(scenario, &names);
    for namespace in &namespaces {
        fresh(api, namespace)?;
    }
    let mut room = Room {
        api: api.clone(),
        names,
        plain: String::new(),
        namespaces: namespaces.clone(),
        stays: Vec::new(),
    };
    let names = room.names.clone();
    let user = json!({"kind": "User", "name": names.user});
    let planted: serde_json::Map<String, Value> =
        names.canaries.all().iter().map(|c| (c.name.to_owned(), json!(c.value))).collect();
    for namespace in &namespaces {
        api.apply(namespace, &binding(namespace, &scenario.identity, &user).to_string())?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canaries"}, "stringData": planted});
        api.apply(namespace, &secret.to_string())?;
    }
    if let Some(role) = &scenario.everywhere {
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": names.user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": names.user}]});
        room.stays.extend(api.apply(&names.namespace, &binding.to_string())?);
    }
    objects(api, scenario, &mut room)?;
    if !scenario.setup.found.is_empty() {
        found(api, &place.kai, scenario, &names)?;
    }
    for log in &scenario.setup.logs {
        let pods = api.list(&[api.kind("pods")?], Some(&names.namespace))?;
        let text = |pod: &Value, path: &str| {
            pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut of = pods.iter().filter(|(_, pod)| text(pod, "/metadata/name").starts_with(&log.pod));
        let (_, pod) = of.next().with_context(|| format!("no pod is called like {}", log.pod))?;
        let line = |text: &String| Line { ago: Duration::ZERO, text: names.fill(text) };
        let lines: Vec<Line> = log.lines.iter().map(line).collect();
        let (pod, container) = (text(pod, "/metadata/name"), text(pod, "/spec/containers/0/name"));
        api.wait(place.cluster.write_log(&names.namespace, &pod, &container, log.previous, &lines))?;
    }
    let part = Part::Namespaces(&namespaces);
    room.plain = world::look(api, part, &names.plain())?.plain();
    Ok(room)
}

fn objects(api: &Api, scenario: &Scenario, room: &mut Room) -> Result<()> {
    let (setup, names) = (&scenario.setup, room.names.clone());
    let mut ready = setup.ready.clone();
    for usual in &setup.deployments {
        let place = usual.namespace.as_ref().map(|n| format!("{}-{n}", names.namespace));
        api.apply(place.as_deref().unwrap_or(&names.namespace), &usual.manifest().to_string())?;
        if usual.replicas > 0 {
            ready.push(Check {
                object: format!("deployment/{}", usual.name),
                namespace: place,
                path: "/status/readyReplicas".to_owned(),
                eq: Some(json!(usual.replicas)),
                ..Check::default()
            });
        }
    }
    let apply = |room: &mut Room| -> Result<()> {
        if !setup.apply.trim().is_empty() {
            room.stays.extend(api.apply(&names.namespace, &names.fill(&setup.apply))?);
        }
        Ok(())
    };
    let later = |words: &Vec<String>| matches!(words.as_slice(), [word] if word == "apply");
    if !setup.then.iter().any(later) {
        apply(room)?;
    }
    for file in &setup.files {
        let path = beside(scenario, file)?;
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        room.stays.extend(api.apply(&names.namespace, &names.fill(&text)).with_context(|| file.clone())?);
    }
    for words in &setup.then {
        if later(words) {
            apply(room)?;
            continue;
        }
        let words: Vec<String> = words.iter().map(|w| names.fill(w)).collect();
        let args: Vec<&str> =
            ["-n", &names.namespace].into_iter().chain(words.iter().map(String::as_str)).collect();
        api.kubectl(&args)?;
    }
    for check in &ready {
        let patient = Check { within: check.within.max(READY), ..check.clone() };
        if let Some(why) = unmet(api, &patient, &names)? {
            bail!("it does not come to be what it begins with: {why}");
        }
    }
    Ok(())
}

/// Waits until Kubernetes shows the faults, as kai finds them.
fn found(api: &Api, kai: &Path, scenario: &Scenario, names: &Names) -> Result<()> {
    let wanted: Vec<String> = scenario.setup.found.iter().map(|text| names.fill(text)).collect();
    let home = tempfile::tempdir()?;
    let since = Instant::now();
    loop {
        let mut command = Command::new(kai);
        command.env_clear().env("HOME", home.path()).env("KUBECONFIG", &api.kubeconfig);
        let output = command.args(["diagnose", "-n", &names.namespace, "-o", "json"]).output()?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let findings = answer["data"]["findings"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let faults = findings.iter().filter(|f| f["class"] == "fault");
        let seen: Vec<String> = faults
            .map(|f| {
                format!("{} {}/{}", text(&f["cause"]), text(&f["object"]["kind"]), text(&f["object"]["name"]))
            })
            .collect();
        if seen == wanted {
            return Ok(());
        }
        if since.elapsed().as_secs() > READY {
            bail!("what it begins with does not show: {wanted:?} is to be found, and {seen:?} is");
        }
        stop::check()?;
        std::thread::sleep(Duration::from_millis(1500));
    }
}

/// A namespace that is new; one of a run before that is still going away is waited for.
fn fresh(api: &Api, namespace: &str) -> Result<()> {
    let gone =
        Check { object: format!("namespaces/{namespace}"), absent: true, within: READY, ..Check::default() };
    let names = Names { namespace: namespace.to_owned(), ..Names::new("x", 0) };
    if unmet(api, &Check { within: 0, ..gone.clone() }, &names)?.is_some() {
        api.ask("DELETE", &format!("/api/v1/namespaces/{namespace}"), None)?;
        if let Some(why) = unmet(api, &gone, &names)? {
            bail!("what an earlier run left does not go away: {why}");
        }
    }
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    api.apply(namespace, &object.to_string())?;
    // Pods are refused until it is there.
    let account = Check { object: "serviceaccount/default".to_owned(), within: READY, ..Check::default() };
    unmet(api, &account, &names)?.map_or(Ok(()), |why| bail!("{why}"))
}

/// Puts what kai finds in the folder it is started in there.
///
/// # Errors
/// It cannot be copied or written.
pub fn folder(scenario: &Scenario, names: &Names, to: &Path) -> Result<()> {
    if let Some(from) = &scenario.setup.folder {
        copy(&beside(scenario, from)?, to, names)?;
    }
    for (name, text) in &scenario.setup.here {
        let path = to.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, names.fill(text))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, names: &Names) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let to = to.join(name);
        if path.is_dir() {
            copy(&path, &to, names)?;
        } else {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            std::fs::write(&to, names.fill(&text))?;
        }
    }
    Ok(())
}

fn beside(scenario: &Scenario, file: &str) -> Result<std::path::PathBuf> {
    let path = scenario.path.parent().context("a scenario is in a folder")?.join(file);
    ensure!(path.exists(), "{} is not there", path.display());
    Ok(path)
}
