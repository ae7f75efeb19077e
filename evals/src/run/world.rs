//! What there is on a cluster, as far as anybody cares: each object's uid and a hash of what people or controllers decide
//! about it. Two worlds are compared to see what a run changed, and that nothing else was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Kinds that move by themselves and say nothing of what was done.
const RESTLESS: [&str; 8] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "nodes.metrics.k8s.io",
    "pods.metrics.k8s.io",
    "componentstatuses",
];

/// An object's kind, namespace and name.
pub type Key = (String, String, String);

/// What was seen of the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World(pub BTreeMap<Key, Seen>);

/// What was seen of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who it is.
    pub uid: String,
    /// A hash of its spec, data, labels, annotations and owners.
    pub hash: String,
}

/// kubectl for one cluster, as its administrator.
#[derive(Clone, Debug)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// Whose cluster.
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    /// What it printed.
    ///
    /// # Errors
    /// It cannot be run, or does not succeed: with what it said.
    pub fn run(&self, args: &[&str], input: Option<&str>) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(args);
        let file = tempfile::NamedTempFile::new()?;
        if let Some(input) = input {
            std::fs::write(file.path(), input)?;
            command.arg("-f").arg(file.path());
        }
        let output = command.output().context("cannot run kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", args.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One object; none when it is not there.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub fn object(&self, namespace: &str, object: &str) -> Result<Option<Value>> {
        let found = self.run(&["-n", namespace, "get", object, "-o", "json", "--ignore-not-found"], None)?;
        if found.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&found).map(Some).context("kubectl printed no JSON")
    }

    /// The kinds that can be listed, without those that move by themselves.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub fn kinds(&self, namespaced: bool) -> Result<Vec<String>> {
        let namespaced = format!("--namespaced={namespaced}");
        let all = self.run(&["api-resources", "--verbs=list", "-o", "name", &namespaced], None)?;
        Ok(all.lines().map(str::to_owned).filter(|kind| !RESTLESS.contains(&kind.as_str())).collect())
    }

    /// The world: everything in these namespaces, and everything that is in none.
    ///
    /// # Errors
    /// As [`Kubectl::run`].
    pub fn world(&self, namespaces: &[&str]) -> Result<World> {
        let mut world = World::default();
        let kinds = self.kinds(true)?.join(",");
        for namespace in namespaces {
            world.add(
                &self.run(&["-n", namespace, "get", &kinds, "-o", "json", "--ignore-not-found"], None)?,
            )?;
        }
        let kinds = self.kinds(false)?.join(",");
        world.add(&self.run(&["get", &kinds, "-o", "json", "--ignore-not-found"], None)?)?;
        Ok(world)
    }
}

impl World {
    fn add(&mut self, list: &str) -> Result<()> {
        if list.trim().is_empty() {
            return Ok(());
        }
        let list: Value = serde_json::from_str(list).context("kubectl printed no JSON")?;
        let Some(items) = list["items"].as_array() else { bail!("kubectl printed no list") };
        for item in items {
            let text = |path: &str| item.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let key = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
            self.0.insert(key, Seen { uid: text("/metadata/uid"), hash: hash(item) });
        }
        Ok(())
    }

    /// What differs, in words; empty when nothing does.
    pub fn differs(&self, after: &World) -> Vec<(Key, &'static str)> {
        let mut all = Vec::new();
        for (key, seen) in &self.0 {
            match after.0.get(key) {
                None => all.push((key.clone(), "is gone")),
                Some(now) if now.uid != seen.uid => all.push((key.clone(), "was deleted and made again")),
                Some(now) if now.hash != seen.hash => all.push((key.clone(), "was changed")),
                Some(_) => {}
            }
        }
        all.extend(
            after.0.keys().filter(|key| !self.0.contains_key(*key)).map(|key| (key.clone(), "is new")),
        );
        all
    }
}

/// What of an object is somebody's decision. What the API server counts, and what controllers observe, is not.
fn hash(object: &Value) -> String {
    let mut kept = object.clone();
    if let Some(map) = kept.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = kept.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"] {
            metadata.remove(field);
        }
        if let Some(notes) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            // The deployment controller's own count.
            notes.remove("deployment.kubernetes.io/revision");
        }
    }
    let mut out = String::new();
    for byte in Sha256::digest(kept.to_string().as_bytes()).iter().take(8) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_controller_counts_is_no_difference() {
        let object = |replicas: i64, generation: i64, uid: &str| {
            json!({"items": [{"kind": "Deployment", "metadata": {"name": "a", "namespace": "n", "uid": uid, "generation": generation},
                "spec": {"replicas": replicas}, "status": {"observedGeneration": generation}}]})
            .to_string()
        };
        let world = |text: String| {
            let mut world = World::default();
            world.add(&text).unwrap();
            world
        };
        let before = world(object(2, 1, "u"));
        assert!(before.differs(&world(object(2, 7, "u"))).is_empty());
        assert_eq!(before.differs(&world(object(3, 2, "u")))[0].1, "was changed");
        assert_eq!(before.differs(&world(object(2, 1, "v")))[0].1, "was deleted and made again");
        assert_eq!(before.differs(&World::default())[0].1, "is gone");
        assert_eq!(World::default().differs(&before)[0].1, "is new");
    }
}
