//! What is known of a cluster at one moment: objects by kind, which kinds could not be looked at, and evidence that was
//! fetched for single objects. A lookup has three answers, so that nothing unseen is ever called missing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::*;

/// How much of a kind's objects is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    /// Names and labels only: the values of ConfigMaps and Secrets never leave the API server.
    Metadata,
}

/// When the objects of a kind are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Where the cluster serves the kind.
    Served,
    /// Where a symptom asks for it.
    Asked,
}

/// A kind that causes are looked for in.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The plural, by which the kind goes here: `pods`.
    pub name: &'static str,
    /// As manifests have it: `Pod`.
    pub kind: &'static str,
    /// Root of its collection: `/api/v1`.
    pub root: &'static str,
    pub namespaced: bool,
    pub form: Form,
    /// When it is listed.
    pub when: When,
}

/// In which namespaces objects of a kind were listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nowhere: whether something is there is not known.
    #[default]
    No,
    In(BTreeSet<String>),
    Everywhere,
}

/// Objects of one kind, in order of namespace and name.
#[derive(Clone, Debug)]
pub struct List<T> {
    pub items: Vec<T>,
    pub seen: Seen,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), seen: Seen::No }
    }
}

/// The answer to "is there one of that name?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    Found(T),
    Absent,
    /// The kind could not be listed there.
    Unknown,
}

impl<T> Lookup<T> {
    /// The object, where there is one.
    pub fn found(self) -> Option<T> {
        if let Self::Found(t) = self { Some(t) } else { None }
    }
    /// Whether it is known that there is none.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// An object that has metadata.
pub trait HasMeta {
    fn meta(&self) -> &Meta;
}

impl<T: HasMeta> List<T> {
    /// The object of that name; namespace "" for kinds that have none.
    pub fn find(&self, namespace: &str, name: &str) -> Lookup<&T> {
        let key = (namespace, name);
        let at =
            self.items.binary_search_by(|o| (o.meta().namespace.as_str(), o.meta().name.as_str()).cmp(&key));
        match at {
            Ok(i) => Lookup::Found(&self.items[i]),
            Err(_) if self.sees(namespace) => Lookup::Absent,
            Err(_) => Lookup::Unknown,
        }
    }
    /// The objects of a namespace.
    pub fn of(&self, namespace: &str) -> &[T] {
        let from = self.items.partition_point(|o| o.meta().namespace.as_str() < namespace);
        let to = self.items.partition_point(|o| o.meta().namespace.as_str() <= namespace);
        &self.items[from..to]
    }
    /// Whether all objects of that namespace were listed ("" for kinds that have none).
    pub fn sees(&self, namespace: &str) -> bool {
        match &self.seen {
            Seen::No => false,
            Seen::In(all) => all.contains(namespace),
            Seen::Everywhere => true,
        }
    }
    fn see(&mut self, namespace: Option<&str>) {
        match (&mut self.seen, namespace) {
            (seen, None) => *seen = Seen::Everywhere,
            (Seen::Everywhere, _) => {}
            (Seen::In(all), Some(ns)) => drop(all.insert(ns.to_owned())),
            (seen, Some(ns)) => *seen = Seen::In(BTreeSet::from([ns.to_owned()])),
        }
    }
    fn sort(&mut self) {
        self.items.sort_by(|a, b| {
            let key = |o: &T| (o.meta().namespace.clone(), o.meta().name.clone());
            key(a).cmp(&key(b))
        });
        self.items
            .dedup_by(|b, a| a.meta().namespace == b.meta().namespace && a.meta().name == b.meta().name);
    }
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
pub struct BlindSpot {
    /// What: a kind, or one thing.
    pub what: String,
    pub why: String,
}

/// A log of a container: the last lines of this run or of the one before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogOf {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub previous: bool,
}

/// What one more read would settle. The collector fetches a few of them and the engine runs again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    Log(LogOf),
    /// The whole object: the keys of a ConfigMap or Secret, the template of a ReplicaSet. `kind` as in [`Kind::name`].
    Object {
        kind: &'static str,
        namespace: String,
        name: String,
    },
    /// May this service account do that?
    Access {
        user: String,
        verb: String,
        group: String,
        resource: String,
        namespace: String,
    },
    /// All objects of a kind that is only listed where a symptom needs it. `kind` as in [`Kind::name`].
    List(&'static str),
    /// The certificate in a Secret: only `tls.crt`, of which only its names and dates are kept.
    Certificate {
        namespace: String,
        name: String,
    },
}

impl Ask {
    /// The namespace that it is about, where it is about one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Log(of) => Some(&of.namespace),
            Self::Object { namespace, .. }
            | Self::Access { namespace, .. }
            | Self::Certificate { namespace, .. } => Some(namespace),
            Self::List(_) => None,
        }
    }
}

/// What was fetched for an [`Ask`].
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub logs: BTreeMap<LogOf, String>,
    pub access: BTreeMap<Ask, bool>,
    pub certificates: BTreeMap<(String, String), Certificate>,
    /// Asks that came to nothing, so that they are not asked again.
    pub failed: BTreeMap<Ask, String>,
}

/// What matters of a certificate.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    pub not_after: Moment,
    pub names: Vec<String>,
}

macro_rules! kinds {
    ($($field:ident: $type:ident = $kind:literal, $root:literal, $name:literal, $namespaced:literal, $form:ident, $when:ident;)*) => {
        /// All kinds that are looked at.
        pub const KINDS: &[Kind] = &[$(Kind {
            name: $name, kind: $kind, root: $root, namespaced: $namespaced, form: Form::$form, when: When::$when,
        },)*];

        /// What is known of a cluster at one moment.
        #[derive(Clone, Debug, Default)]
        pub struct Snapshot {
            $(pub $field: List<$type>,)*
            /// When; all ages count from here.
            pub now: Timestamp,
            pub blind: Vec<BlindSpot>,
            pub evidence: Evidence,
        }

        impl Snapshot {
            /// Adds the answer of a list, of one namespace or of all. Items that cannot be read become blind spots.
            ///
            /// # Errors
            /// When the body is no list at all.
            pub fn add_list(&mut self, kind: &Kind, namespace: Option<&str>, body: &[u8]) -> Result<usize, String> {
                match kind.name {
                    $($name => {
                        let read = read_list::<$type>(kind, body, &mut self.blind)?;
                        let count = read.len();
                        self.$field.items.extend(read);
                        self.$field.see(namespace);
                        Ok(count)
                    })*
                    other => Err(format!("{other} is not a kind that is looked at")),
                }
            }

            /// Adds one object, as in a dump or as evidence; it takes the place of one of that name.
            ///
            /// # Errors
            /// When it cannot be read.
            pub fn add_object(&mut self, kind: &Kind, object: Value) -> Result<(), String> {
                match kind.name {
                    $($name => {
                        let read = $type::deserialize(object).map_err(|e| e.to_string())?;
                        if read.meta().name.is_empty() {
                            return Err("it has no name".into());
                        }
                        let key = (read.meta().namespace.clone(), read.meta().name.clone());
                        let list = &mut self.$field.items;
                        match list.iter_mut().find(|o| (&o.meta().namespace, &o.meta().name) == (&key.0, &key.1)) {
                            Some(old) => *old = read,
                            None => list.push(read),
                        }
                        Ok(())
                    })*
                    other => Err(format!("{other} is not a kind that is looked at")),
                }
            }

            /// Says that all objects of a kind are here, in one namespace or in all.
            pub fn see(&mut self, kind: &str, namespace: Option<&str>) {
                match kind {
                    $($name => self.$field.see(namespace),)*
                    _ => {}
                }
            }

            /// In which namespaces objects of a kind were listed.
            pub fn seen(&self, kind: &str) -> &Seen {
                match kind {
                    $($name => &self.$field.seen,)*
                    _ => &Seen::No,
                }
            }

            /// Puts all lists in order. Lookups work only after this.
            pub fn finish(&mut self) {
                $(self.$field.sort();)*
                self.blind.sort();
                self.blind.dedup();
            }

            /// How many objects there are.
            pub fn len(&self) -> usize {
                0 $(+ self.$field.items.len())*
            }
        }
    };
}

kinds! {
    pods: Pod = "Pod", "/api/v1", "pods", true, Whole, Always;
    nodes: Node = "Node", "/api/v1", "nodes", false, Whole, Always;
    namespaces: Namespace = "Namespace", "/api/v1", "namespaces", false, Whole, Always;
    services: Service = "Service", "/api/v1", "services", true, Whole, Always;
    claims: Claim = "PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims", true, Whole, Always;
    volumes: PersistentVolume = "PersistentVolume", "/api/v1", "persistentvolumes", false, Whole, Always;
    config_maps: Keyed = "ConfigMap", "/api/v1", "configmaps", true, Metadata, Always;
    secrets: Keyed = "Secret", "/api/v1", "secrets", true, Metadata, Always;
    service_accounts: ServiceAccount = "ServiceAccount", "/api/v1", "serviceaccounts", true, Whole, Always;
    quotas: Quota = "ResourceQuota", "/api/v1", "resourcequotas", true, Whole, Always;
    limit_ranges: LimitRange = "LimitRange", "/api/v1", "limitranges", true, Whole, Always;
    events: Event = "Event", "/api/v1", "events", true, Whole, Always;
    deployments: Deployment = "Deployment", "/apis/apps/v1", "deployments", true, Whole, Always;
    stateful_sets: StatefulSet = "StatefulSet", "/apis/apps/v1", "statefulsets", true, Whole, Always;
    daemon_sets: DaemonSet = "DaemonSet", "/apis/apps/v1", "daemonsets", true, Whole, Always;
    replica_sets: ReplicaSet = "ReplicaSet", "/apis/apps/v1", "replicasets", true, Metadata, Always;
    jobs: Job = "Job", "/apis/batch/v1", "jobs", true, Whole, Always;
    cron_jobs: CronJob = "CronJob", "/apis/batch/v1", "cronjobs", true, Whole, Always;
    autoscalers: Autoscaler = "HorizontalPodAutoscaler", "/apis/autoscaling/v2", "horizontalpodautoscalers", true, Whole, Always;
    budgets: Budget = "PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets", true, Whole, Always;
    endpoint_slices: EndpointSlice = "EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices", true, Whole, Always;
    ingresses: Ingress = "Ingress", "/apis/networking.k8s.io/v1", "ingresses", true, Whole, Always;
    ingress_classes: IngressClass = "IngressClass", "/apis/networking.k8s.io/v1", "ingressclasses", false, Whole, Always;
    network_policies: NetworkPolicy = "NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies", true, Whole, Always;
    storage_classes: StorageClass = "StorageClass", "/apis/storage.k8s.io/v1", "storageclasses", false, Whole, Always;
    csi_drivers: Bare = "CSIDriver", "/apis/storage.k8s.io/v1", "csidrivers", false, Metadata, Always;
    csi_nodes: CsiNode = "CSINode", "/apis/storage.k8s.io/v1", "csinodes", false, Whole, Always;
    priority_classes: Bare = "PriorityClass", "/apis/scheduling.k8s.io/v1", "priorityclasses", false, Metadata, Always;
    runtime_classes: RuntimeClass = "RuntimeClass", "/apis/node.k8s.io/v1", "runtimeclasses", false, Whole, Always;
    validating_webhooks: WebhookConfig = "ValidatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", false, Whole, Always;
    mutating_webhooks: WebhookConfig = "MutatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", false, Whole, Always;
    admission_policies: AdmissionPolicy = "ValidatingAdmissionPolicy", "/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies", false, Whole, Asked;
    api_services: ApiService = "APIService", "/apis/apiregistration.k8s.io/v1", "apiservices", false, Whole, Always;
    crds: Crd = "CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", false, Metadata, Asked;
    leases: Lease = "Lease", "/apis/coordination.k8s.io/v1", "leases", true, Whole, Always;
    signing_requests: SigningRequest = "CertificateSigningRequest", "/apis/certificates.k8s.io/v1", "certificatesigningrequests", false, Whole, Always;
    role_bindings: Binding = "RoleBinding", "/apis/rbac.authorization.k8s.io/v1", "rolebindings", true, Whole, Asked;
    cluster_role_bindings: Binding = "ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", false, Whole, Asked;
    roles: Bare = "Role", "/apis/rbac.authorization.k8s.io/v1", "roles", true, Metadata, Asked;
    cluster_roles: Bare = "ClusterRole", "/apis/rbac.authorization.k8s.io/v1", "clusterroles", false, Metadata, Asked;
    gateway_classes: Custom = "GatewayClass", "/apis/gateway.networking.k8s.io/v1", "gatewayclasses", false, Whole, Served;
    gateways: Custom = "Gateway", "/apis/gateway.networking.k8s.io/v1", "gateways", true, Whole, Served;
    http_routes: Custom = "HTTPRoute", "/apis/gateway.networking.k8s.io/v1", "httproutes", true, Whole, Served;
    certificates: Custom = "Certificate", "/apis/cert-manager.io/v1", "certificates", true, Whole, Served;
}

macro_rules! has_meta {
    ($($type:ty)*) => {$(impl HasMeta for $type {
        fn meta(&self) -> &Meta {
            &self.metadata
        }
    })*};
}
has_meta! {
    Pod Node Namespace Service Claim PersistentVolume Keyed ServiceAccount Quota LimitRange Event Deployment StatefulSet
    DaemonSet ReplicaSet Job CronJob Autoscaler Budget EndpointSlice Ingress IngressClass NetworkPolicy StorageClass Bare
    CsiNode RuntimeClass WebhookConfig AdmissionPolicy ApiService Crd Lease Binding Custom SigningRequest
}

impl Snapshot {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether objects of a kind were listed anywhere.
    pub fn has_seen(&self, kind: &str) -> bool {
        *self.seen(kind) != Seen::No
    }
    /// Notes that something could not be looked at.
    pub fn cannot_see(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.blind.push(BlindSpot { what: what.into(), why: why.into() });
    }
}

/// The kind of that name (`pods`) or manifest kind (`Pod`).
pub fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == word || k.kind == word)
}

/// Reads the items of a list in one pass; where one of them cannot be read, all are read one by one and the bad ones are
/// left out and told.
fn read_list<T: DeserializeOwned + HasMeta>(
    kind: &Kind,
    body: &[u8],
    blind: &mut Vec<BlindSpot>,
) -> Result<Vec<T>, String> {
    #[derive(Deserialize)]
    #[serde(bound = "T: Deserialize<'de>")]
    struct Answer<T> {
        #[serde(default = "Vec::new", deserialize_with = "crate::model::or_default")]
        items: Vec<T>,
    }
    if let Ok(all) = serde_json::from_slice::<Answer<T>>(body) {
        return Ok(all.items);
    }
    let all: Answer<Box<RawValue>> =
        serde_json::from_slice(body).map_err(|e| format!("the list of {} cannot be read: {e}", kind.name))?;
    let mut read = Vec::with_capacity(all.items.len());
    for item in all.items {
        match serde_json::from_str::<T>(item.get()) {
            Ok(object) => read.push(object),
            Err(e) => {
                let name =
                    serde_json::from_str::<Bare>(item.get()).map(|b| b.metadata.name).unwrap_or_default();
                blind.push(BlindSpot {
                    what: format!("{} {name}", kind.name),
                    why: format!("it cannot be read: {e}"),
                });
            }
        }
    }
    Ok(read)
}
