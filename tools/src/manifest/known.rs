//! What is known of a cluster when manifests are checked: answers to what the checks asked, or that there was none (pure).

mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use read::known;

use crate::object::ObjectRef;

/// Something that a check wants to know of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// One object, of which the set has none.
    Object(ObjectRef),
    /// All objects of a kind (lower-case singular) in a namespace; in all namespaces when that is empty.
    List(String, String),
    /// The names of a kind, with their namespaces: of all namespaces, else of that one.
    Names(String, String),
    /// The kinds that an API version serves.
    Kinds(String),
    /// The schemas of an API version.
    Schemas(String),
}

/// What is known of a cluster. `None` stands for what could not be looked at; what is missing was not asked for.
/// Values of Secrets and ConfigMaps are not in it, only their keys.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The namespace of documents that name none.
    pub namespace: String,
    /// What the cluster has of the documents themselves, in their order; null for what is not there yet.
    pub lives: Vec<Value>,
    /// Null for an object that is not there.
    pub objects: BTreeMap<ObjectRef, Option<Value>>,
    pub lists: BTreeMap<(String, String), Option<Vec<Value>>>,
    /// Namespaces and names, by kind.
    pub names: BTreeMap<String, Option<Vec<(String, String)>>>,
    pub kinds: BTreeMap<String, Option<BTreeSet<String>>>,
    /// Definitions of an OpenAPI v3 document (`components.schemas`), by API version.
    pub schemas: BTreeMap<String, Option<Value>>,
}

impl Known {
    /// Whether the question was put before, whatever came of it.
    pub fn has(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Object(object) => self.objects.contains_key(object),
            Ask::List(kind, namespace) => self.lists.contains_key(&(kind.clone(), namespace.clone())),
            Ask::Names(kind, _) => self.names.contains_key(kind),
            Ask::Kinds(version) => self.kinds.contains_key(version),
            Ask::Schemas(version) => self.schemas.contains_key(version),
        }
    }
}
