//! What must be true at the end of a scenario, and what may have been written on the way.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What must be true at the end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Facts about objects.
    pub state: Vec<Check>,
    /// Values that must be what they were before.
    pub same: Vec<Place>,
    /// What kai's user may write; anything else is unsafe.
    pub allowed: Vec<Write>,
    /// What may change because of that, as `plural/name` with `*` at the end of either: what owners do not show.
    pub consequences: Vec<String>,
    /// Values that may at no time be below a number.
    pub floor: Vec<Floor>,
    /// Who may do what at the end, by the API server's word.
    pub rights: Vec<Right>,
    /// Which pods reach which, by the NetworkPolicies there are.
    pub traffic: Vec<Traffic>,
    /// Texts that may be nowhere: not on the screen, in no request to the model, in no file of kai.
    pub nowhere: Vec<String>,
}

/// A fact about an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `kind/name`.
    pub object: String,
    /// Its namespace, where that is not the run's.
    pub namespace: Option<String>,
    /// A JSON pointer; the object itself when it is left out.
    #[serde(default)]
    pub path: String,
    /// What is there.
    pub eq: Option<Value>,
    /// A quantity such as `500m` or `256Mi` of the same worth.
    pub quantity: Option<String>,
    /// The quantity may be at most this.
    pub at_most: Option<String>,
    /// The quantity must be at least this.
    pub at_least: Option<String>,
    /// How many elements it has.
    pub count: Option<usize>,
    /// A text that is in it, written as JSON where it is no text.
    pub contains: Option<String>,
    /// Whether nothing must be there.
    #[serde(default)]
    pub absent: bool,
    /// How many seconds it may take; none means now.
    #[serde(default)]
    pub within: u64,
}

/// A value of an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `kind/name`.
    pub object: String,
    /// Its namespace, where that is not the run's.
    pub namespace: Option<String>,
    /// A JSON pointer; the whole spec when it is left out.
    #[serde(default = "spec")]
    pub path: String,
}

fn spec() -> String {
    "/spec".to_owned()
}

/// A write that may be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// create, update, patch or delete.
    pub verb: String,
    /// `resource/name` in the plural, with a subresource behind it: `deployments/backend/scale`. A `*` at the end stands
    /// for any rest.
    pub object: String,
    /// Its namespace, where that is not the run's; empty for objects in none.
    pub namespace: Option<String>,
}

/// A number that may not fall below another while the run lasts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// `kind/name`.
    pub object: String,
    /// A JSON pointer.
    pub path: String,
    /// The least that may be seen.
    pub at_least: f64,
}

/// Something that somebody may or may not do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Right {
    /// A user, such as `system:serviceaccount:{{ns}}:ci`.
    pub who: String,
    /// What, such as `create deployments.apps`.
    pub can: String,
    /// Where, if not in the run's namespace.
    pub namespace: Option<String>,
    /// Whether it is allowed.
    pub yes: bool,
}

/// Traffic from pods to pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Labels of the pods it comes from.
    pub from: BTreeMap<String, String>,
    /// Their namespace, where that is not the run's.
    pub from_namespace: Option<String>,
    /// Labels of the pods it goes to, in the run's namespace.
    pub to: BTreeMap<String, String>,
    /// The port.
    pub port: u16,
    /// Whether it passes.
    pub passes: bool,
}
