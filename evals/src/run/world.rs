//! What there is on a cluster, as far as anybody cares: each object's uid, its owners, and a hash of what people or
//! controllers decide about it. Two worlds are compared to see what a run changed, and that nothing else was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::api::{Api, Resource};

/// Kinds that move by themselves and say nothing of what was done.
const RESTLESS: [&str; 9] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "nodes.metrics.k8s.io",
    "pods.metrics.k8s.io",
    "componentstatuses",
    "csinodes.storage.k8s.io",
];

/// What chance or the API server decides, so that it differs between two equal set-ups.
const BY_CHANCE: [&str; 9] = [
    "/spec/nodeName",
    "/spec/clusterIP",
    "/spec/clusterIPs",
    "/spec/volumeName",
    "/spec/ports/0/nodePort",
    "/spec/healthCheckNodePort",
    "/spec/claimRef",
    "/spec/podCIDR",
    "/spec/podCIDRs",
];

/// An object: its plural with the group, its namespace and its name.
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
    /// The same without what chance decides, and with the run's names taken out.
    pub plain: String,
    /// The uids of its owners.
    pub owners: Vec<String>,
}

/// Which part of a cluster is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// What is in these namespaces.
    Namespaces(&'a [String]),
    /// Everything.
    All,
}

/// Looks at a part of a cluster.
///
/// # Errors
/// A kind cannot be listed.
pub fn look(api: &Api, part: Part<'_>, names: &[(String, String)]) -> Result<World> {
    let kinds = api.kinds()?;
    let kept = |kind: &&Resource| kind.lists && !RESTLESS.contains(&kind.full().as_str());
    let kinds: Vec<Resource> = kinds.iter().filter(kept).cloned().collect();
    let mut world = World::default();
    match part {
        Part::All => api.list(&kinds, None)?.iter().for_each(|(kind, object)| world.add(kind, object, names)),
        Part::Namespaces(namespaces) => {
            let kinds: Vec<Resource> = kinds.into_iter().filter(|kind| kind.namespaced).collect();
            for namespace in namespaces {
                let all = api.list(&kinds, Some(namespace))?;
                all.iter().for_each(|(kind, object)| world.add(kind, object, names));
            }
        }
    }
    Ok(world)
}

impl World {
    fn add(&mut self, kind: &Resource, object: &Value, names: &[(String, String)]) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (kind.full(), text("/metadata/namespace"), text("/metadata/name"));
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owners = owners.into_iter().flatten().filter_map(|o| o["uid"].as_str()).map(str::to_owned);
        let seen = Seen {
            uid: text("/metadata/uid"),
            hash: hash(&decided(object).to_string()),
            plain: hash(&plain(object, names)),
            owners: owners.collect(),
        };
        self.0.insert(key, seen);
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

    /// Whether something that came since has lost its owners and is about to be collected.
    pub fn has_orphans(&self, before: &World) -> bool {
        let is_there = |uid: &String| self.0.values().any(|seen| seen.uid == *uid);
        let new = self.0.iter().filter(|(key, _)| !before.0.contains_key(*key));
        new.into_iter().any(|(_, seen)| !seen.owners.is_empty() && !seen.owners.iter().any(is_there))
    }

    /// The objects at the top of an object's chain of owners, itself where it has none; by what was seen before or after.
    pub fn roots(&self, after: &World, key: &Key) -> Vec<Key> {
        let find = |uid: &String| {
            let all = self.0.iter().chain(&after.0);
            all.into_iter().find(|(_, seen)| seen.uid == *uid).map(|(key, _)| key.clone())
        };
        let mut open = vec![key.clone()];
        let mut roots = Vec::new();
        let mut steps = 0;
        while let Some(key) = open.pop() {
            steps += 1;
            let seen = after.0.get(&key).or(self.0.get(&key));
            let owners: Vec<Key> = seen.into_iter().flat_map(|s| &s.owners).filter_map(find).collect();
            if owners.is_empty() || steps > 20 {
                roots.push(key);
            } else {
                open.extend(owners);
            }
        }
        roots
    }

    /// A hash of what nobody else owns, without names and numbers that are other ones each time.
    pub fn plain(&self) -> String {
        let mut all: Vec<String> = self
            .0
            .iter()
            .filter(|(_, seen)| seen.owners.is_empty())
            // The authority of a cluster is another one in each.
            .filter(|((_, _, name), _)| name != "kube-root-ca.crt")
            .map(|((kind, _, _), seen)| format!("{kind} {}", seen.plain))
            .collect();
        all.sort();
        hash(&all.join("\n"))
    }
}

/// What of an object is somebody's decision. What the API server counts, and what controllers observe, is not.
fn decided(object: &Value) -> Value {
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
    kept
}

fn plain(object: &Value, names: &[(String, String)]) -> String {
    let mut kept = decided(object);
    if object["spec"]["completions"].is_number() {
        // A Job's selector and labels hold its own uid.
        if let Some(spec) = kept["spec"].as_object_mut() {
            spec.remove("selector");
        }
        for metadata in ["/metadata", "/spec/template/metadata"] {
            kept.pointer_mut(metadata).and_then(Value::as_object_mut).map(|map| map.remove("labels"));
        }
    }
    for path in BY_CHANCE {
        if let Some((parent, field)) = path.rsplit_once('/')
            && let Some(map) = kept.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            map.remove(field);
        }
    }
    let text = without_endings(&kept.to_string(), "kube-api-access-");
    names.iter().fold(text, |text, (name, instead)| text.replace(name, instead))
}

/// The text without the five characters of chance that follow each of these.
fn without_endings(text: &str, stem: &str) -> String {
    let mut parts = text.split(stem);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(stem);
        out.extend(part.chars().skip(5));
    }
    out
}

fn hash(text: &str) -> String {
    let mut out = String::new();
    for byte in Sha256::digest(text.as_bytes()).iter().take(8) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(plural: &str) -> Resource {
        Resource {
            version: "apps/v1".into(),
            plural: plural.into(),
            kind: "X".into(),
            also: vec![],
            namespaced: true,
            lists: true,
        }
    }

    fn world(objects: &[(&str, Value)]) -> World {
        let mut world = World::default();
        objects.iter().for_each(|(plural, object)| {
            world.add(&kind(plural), object, &[("ns-7".to_owned(), "ns".to_owned())])
        });
        world
    }

    fn deployment(replicas: i64, generation: i64, uid: &str) -> Value {
        json!({"metadata": {"name": "a", "namespace": "n", "uid": uid, "generation": generation},
            "spec": {"replicas": replicas}, "status": {"observedGeneration": generation}})
    }

    #[test]
    fn what_lost_its_owner_is_about_to_go() {
        let set = json!({"metadata": {"name": "s", "namespace": "n", "uid": "s"}});
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "p", "ownerReferences": [{"uid": "s"}]}});
        let both = world(&[("replicasets", set), ("pods", pod.clone())]);
        let alone = world(&[("pods", pod)]);
        assert!(!both.has_orphans(&World::default()), "its owner is there");
        assert!(alone.has_orphans(&World::default()));
        assert!(!alone.has_orphans(&alone), "it was so before");
    }

    #[test]
    fn what_a_controller_counts_is_no_difference() {
        let one = |object: Value| world(&[("deployments", object)]);
        let before = one(deployment(2, 1, "u"));
        assert!(before.differs(&one(deployment(2, 7, "u"))).is_empty());
        assert_eq!(before.differs(&one(deployment(3, 2, "u")))[0].1, "was changed");
        assert_eq!(before.differs(&one(deployment(2, 1, "v")))[0].1, "was deleted and made again");
        assert_eq!(before.differs(&World::default())[0].1, "is gone");
        assert_eq!(World::default().differs(&before)[0].1, "is new");
    }

    #[test]
    fn a_pod_belongs_to_the_deployment_above_its_replica_set() {
        let owned = |name: &str, uid: &str, owner: &str| json!({"metadata": {"name": name, "namespace": "n", "uid": uid, "ownerReferences": [{"uid": owner}]}});
        let before = world(&[("deployments", deployment(2, 1, "d"))]);
        let after = world(&[
            ("deployments", deployment(2, 1, "d")),
            ("replicasets", owned("r", "r", "d")),
            ("pods", owned("p", "p", "r")),
        ]);
        let key = |plural: &str, name: &str| (format!("{plural}.apps"), "n".to_owned(), name.to_owned());
        assert_eq!(before.roots(&after, &key("pods", "p")), [key("deployments", "a")]);
    }

    #[test]
    fn two_equal_set_ups_have_one_hash() {
        let service = |namespace: &str, ip: &str, port: i64| json!({"metadata": {"name": "s", "namespace": namespace, "uid": ip}, "spec": {"clusterIP": ip, "ports": [{"port": port}]}});
        let hash = |object: Value| world(&[("services", object)]).plain();
        assert_eq!(hash(service("ns-7", "10.0.0.1", 80)), hash(service("ns", "10.0.0.2", 80)));
        assert_ne!(hash(service("ns-7", "10.0.0.1", 80)), hash(service("ns-7", "10.0.0.1", 81)));
    }
}
