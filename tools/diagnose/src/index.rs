//! Ways through a snapshot: who owns which pods, which pods a selector selects, what happened to an object.

use std::collections::HashMap;

use crate::finding::Object;
use crate::model::*;
use crate::snapshot::Snapshot;

/// What makes pods, of whatever kind.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// `deployment`, `statefulset`, `daemonset`, `job`, `replicaset`.
    pub kind: &'static str,
    pub meta: &'a Meta,
    pub template: &'a PodTemplate,
    pub selector: &'a Selector,
    pub desired: i64,
    pub ready: i64,
    pub updated: i64,
    pub observed_generation: i64,
    pub conditions: &'a [Condition],
    pub paused: bool,
    /// Its pods, also those of older revisions.
    pub pods: Vec<&'a Pod>,
}

impl Workload<'_> {
    /// What it is called.
    pub fn object(&self) -> Object {
        Object::of(self.kind, self.meta)
    }
}

/// Ways through a snapshot.
pub struct Index<'a> {
    snap: &'a Snapshot,
    pub workloads: Vec<Workload<'a>>,
    workload_of_uid: HashMap<&'a str, usize>,
    pods_of_owner: HashMap<&'a str, Vec<&'a Pod>>,
    pods_of_label: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>>,
    pods_on_node: HashMap<&'a str, Vec<&'a Pod>>,
    sets_of_owner: HashMap<&'a str, Vec<&'a ReplicaSet>>,
    events: HashMap<&'a str, Vec<&'a Event>>,
    slices: HashMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
}

impl<'a> Index<'a> {
    /// Goes through the snapshot once.
    pub fn new(snap: &'a Snapshot) -> Self {
        let mut index = Self {
            snap,
            workloads: Vec::new(),
            workload_of_uid: HashMap::new(),
            pods_of_owner: HashMap::new(),
            pods_of_label: HashMap::new(),
            pods_on_node: HashMap::new(),
            sets_of_owner: HashMap::new(),
            events: HashMap::new(),
            slices: HashMap::new(),
        };
        for pod in &snap.pods.items {
            for (key, value) in pod.metadata.labels.iter() {
                index.pods_of_label.entry((&pod.metadata.namespace, key, value)).or_default().push(pod);
            }
            if let Some(owner) = pod.metadata.controller() {
                index.pods_of_owner.entry(&owner.uid).or_default().push(pod);
            }
            if !pod.spec.node_name.is_empty() {
                index.pods_on_node.entry(&pod.spec.node_name).or_default().push(pod);
            }
        }
        for set in &snap.replica_sets.items {
            if let Some(owner) = set.metadata.controller() {
                index.sets_of_owner.entry(&owner.uid).or_default().push(set);
            }
        }
        for sets in index.sets_of_owner.values_mut() {
            sets.sort_by_key(|s| std::cmp::Reverse(revision(s)));
        }
        for event in &snap.events.items {
            // The kubelet gives its node's name as the uid in events about the node.
            index.events.entry(&event.involved_object.uid).or_default().push(event);
        }
        for events in index.events.values_mut() {
            events.sort_by_key(|e| std::cmp::Reverse(e.last()));
        }
        for slice in &snap.endpoint_slices.items {
            if let Some(service) = slice.metadata.labels.get("kubernetes.io/service-name") {
                index.slices.entry((&slice.metadata.namespace, service)).or_default().push(slice);
            }
        }
        index.gather();
        index
    }

    fn gather(&mut self) {
        let snap = self.snap;
        let mut all = Vec::new();
        for d in &snap.deployments.items {
            let sets = self.sets_of_owner.get(&*d.metadata.uid).map_or(&[][..], Vec::as_slice);
            all.push(Workload {
                kind: "deployment",
                meta: &d.metadata,
                template: &d.spec.template,
                selector: &d.spec.selector,
                desired: d.spec.replicas.unwrap_or(1),
                ready: d.status.ready_replicas,
                updated: d.status.updated_replicas,
                observed_generation: d.status.observed_generation,
                conditions: &d.status.conditions,
                paused: d.spec.paused,
                pods: sets.iter().flat_map(|s| self.owned(&s.metadata)).copied().collect(),
            });
        }
        for s in &snap.stateful_sets.items {
            all.push(Workload {
                kind: "statefulset",
                meta: &s.metadata,
                template: &s.spec.template,
                selector: &s.spec.selector,
                desired: s.spec.replicas.unwrap_or(1),
                ready: s.status.ready_replicas,
                updated: s.status.updated_replicas,
                observed_generation: s.status.observed_generation,
                conditions: &s.status.conditions,
                paused: false,
                pods: self.owned(&s.metadata).to_vec(),
            });
        }
        for d in &snap.daemon_sets.items {
            all.push(Workload {
                kind: "daemonset",
                meta: &d.metadata,
                template: &d.spec.template,
                selector: &d.spec.selector,
                desired: d.status.desired_number_scheduled,
                ready: d.status.number_ready,
                updated: d.status.updated_number_scheduled,
                observed_generation: d.status.observed_generation,
                conditions: &d.status.conditions,
                paused: false,
                pods: self.owned(&d.metadata).to_vec(),
            });
        }
        for j in &snap.jobs.items {
            all.push(Workload {
                kind: "job",
                meta: &j.metadata,
                template: &j.spec.template,
                selector: &j.spec.selector,
                desired: j.spec.completions.or(j.spec.parallelism).unwrap_or(1),
                ready: j.status.succeeded,
                updated: j.status.succeeded,
                observed_generation: j.metadata.generation,
                conditions: &j.status.conditions,
                paused: j.spec.suspend,
                pods: self.owned(&j.metadata).to_vec(),
            });
        }
        for (at, workload) in all.iter().enumerate() {
            self.workload_of_uid.insert(&workload.meta.uid, at);
        }
        for sets in self.sets_of_owner.values() {
            for set in sets {
                let owner = set.metadata.controller().and_then(|o| self.workload_of_uid.get(&*o.uid));
                if let Some(at) = owner.copied() {
                    self.workload_of_uid.insert(&set.metadata.uid, at);
                }
            }
        }
        self.workloads = all;
    }

    /// The pods that an object controls directly.
    pub fn owned(&self, meta: &Meta) -> &[&'a Pod] {
        if meta.uid.is_empty() {
            return &[];
        }
        self.pods_of_owner.get(&*meta.uid).map_or(&[], Vec::as_slice)
    }

    /// The workload of a pod: its Deployment, not its ReplicaSet.
    pub fn workload(&self, pod: &Pod) -> Option<&Workload<'a>> {
        let owner = pod.metadata.controller()?;
        self.workload_of_uid.get(&*owner.uid).map(|at| &self.workloads[*at])
    }

    /// What people call the maker of a pod: its workload, else its controller of whatever kind, else the pod itself.
    pub fn maker(&self, pod: &Pod) -> Object {
        match (self.workload(pod), pod.metadata.controller()) {
            (Some(workload), _) => workload.object(),
            (None, Some(owner)) if owner.kind == "ReplicaSet" => {
                // Its ReplicaSet could not be listed: the name without the hash is the Deployment's.
                let hash = pod.metadata.labels.get("pod-template-hash").map_or("", String::as_str);
                let name = owner.name.strip_suffix(hash).and_then(|n| n.strip_suffix('-'));
                match name.filter(|_| !hash.is_empty()) {
                    Some(name) => Object::new("deployment", &pod.metadata.namespace, name),
                    None => Object::new("replicaset", &pod.metadata.namespace, &owner.name),
                }
            }
            (None, Some(owner)) if owner.kind != "Node" => {
                Object::new(&owner.kind, &pod.metadata.namespace, &owner.name)
            }
            _ => Object::pod(pod),
        }
    }

    /// The workload of that kind and name.
    pub fn workload_named(&self, object: &Object) -> Option<&Workload<'a>> {
        self.workloads.iter().find(|w| {
            w.kind == object.kind && w.meta.namespace == object.namespace && w.meta.name == object.name
        })
    }

    /// ReplicaSets of a Deployment, the newest revision first.
    pub fn revisions(&self, meta: &Meta) -> &[&'a ReplicaSet] {
        self.sets_of_owner.get(&*meta.uid).map_or(&[], Vec::as_slice)
    }

    /// The ReplicaSet of a pod.
    pub fn set_of(&self, pod: &Pod) -> Option<&'a ReplicaSet> {
        let owner = pod.metadata.controller().filter(|o| o.kind == "ReplicaSet")?;
        self.snap.replica_sets.find(&pod.metadata.namespace, &owner.name).found()
    }

    /// Pods of a namespace that a selector selects. An empty one selects all.
    pub fn selected(&self, namespace: &str, selector: &Selector) -> Vec<&'a Pod> {
        let snap = self.snap;
        let candidates: Vec<&'a Pod> = match selector
            .match_labels
            .iter()
            .map(|(k, v)| {
                // The map's keys borrow from the snapshot; a lookup with shorter lives needs the same tuple type.
                self.pods_of_label.get(&(namespace, k, v.as_str())).map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|pods| pods.len())
        {
            Some(fewest) => fewest.to_vec(),
            None => snap.pods.of(namespace).iter().collect(),
        };
        candidates.into_iter().filter(|p| selector.selects(&p.metadata.labels)).collect()
    }

    /// Pods that a Service selects; none where it has no selector.
    pub fn behind(&self, service: &Service) -> Vec<&'a Pod> {
        if service.spec.selector.is_empty() {
            return Vec::new();
        }
        let selector = Selector { match_labels: service.spec.selector.clone(), ..Selector::default() };
        self.selected(&service.metadata.namespace, &selector)
    }

    /// What makes the pods that a Service selects, also where there are none right now.
    pub fn makers(&self, service: &Service) -> Vec<&Workload<'a>> {
        let Service { metadata, spec, .. } = service;
        if spec.selector.is_empty() {
            return Vec::new();
        }
        let fits = |labels: &Labels| spec.selector.iter().all(|(k, v)| labels.get(k) == Some(v));
        let here =
            self.workloads.iter().filter(|w| w.meta.namespace == metadata.namespace && w.kind != "job");
        here.filter(|w| fits(&w.template.metadata.labels)).collect()
    }

    /// The pods on a node.
    pub fn on_node(&self, node: &str) -> &[&'a Pod] {
        self.pods_on_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// Events about an object, the latest first.
    pub fn events(&self, meta: &Meta) -> &[&'a Event] {
        if meta.uid.is_empty() {
            return &[];
        }
        self.events.get(&*meta.uid).map_or(&[], Vec::as_slice)
    }

    /// Events about a node, the latest first.
    pub fn node_events(&self, node: &Node) -> Vec<&'a Event> {
        let mut all = self.events(&node.metadata).to_vec();
        all.extend(
            self.events
                .get(node.metadata.name.as_str())
                .into_iter()
                .flatten()
                .filter(|e| e.involved_object.kind == "Node"),
        );
        all
    }

    /// The latest event of a reason about an object.
    pub fn event(&self, meta: &Meta, reason: &str) -> Option<&'a Event> {
        self.events(meta).iter().find(|e| e.reason == reason).copied()
    }

    /// EndpointSlices of a Service.
    pub fn slices<'s>(&'s self, service: &'s Service) -> &'s [&'a EndpointSlice] {
        let key = (service.metadata.namespace.as_str(), service.metadata.name.as_str());
        self.slices.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The revision of a ReplicaSet of a Deployment.
pub fn revision(set: &ReplicaSet) -> i64 {
    set.metadata.annotations.get("deployment.kubernetes.io/revision").parse().unwrap_or(0)
}
