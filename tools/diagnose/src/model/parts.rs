//! What objects of all kinds have in common: metadata, labels, selectors, moments, quantities, conditions.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::skinny;

/// A small map in the order in which it came; labels and the like have few entries.
#[derive(Clone, Debug)]
pub struct Map<V>(Vec<(Box<str>, V)>);

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Map<V> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0.iter().find(|(k, _)| &**k == key).map(|(_, v)| v)
    }
    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(k, v)| (&**k, v))
    }
    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Map<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Map<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((key, value)) = map.next_entry::<Box<str>, V>()? {
                    all.push((key, value));
                }
                Ok(Map(all))
            }
        }
        from.deserialize_map(Entries(PhantomData))
    }
}

/// The names in a map whose values are not kept: the keys of a Secret.
#[derive(Clone, Debug, Default)]
pub struct Keys(pub Vec<Box<str>>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = Map::<IgnoredAny>::deserialize(from)?;
        Ok(Self(map.0.into_iter().map(|(k, _)| k).collect()))
    }
}

/// Labels, and annotations that are short enough to mean something to a cause.
pub type Labels = Map<String>;

/// Annotations: only values of at most 256 bytes are kept, for the long ones are other programs' notes.
#[derive(Clone, Debug, Default)]
pub struct Annotations(Map<String>);

impl Annotations {
    /// The value of an annotation, or "".
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &String)> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut all = Map::<String>::deserialize(from)?;
        all.0.retain(|(_, v)| v.len() <= 256);
        all.0.shrink_to_fit();
        Ok(Self(all))
    }
}

/// A moment, where the object says one that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Option<Timestamp>);

impl Moment {
    /// Whole seconds from this moment to `now`; none where there is no moment. Never negative.
    pub fn age(self, now: Timestamp) -> Option<i64> {
        self.0.map(|t| (now.as_second() - t.as_second()).max(0))
    }
    /// Whether at least so many seconds have passed. An unknown moment counts as long ago.
    pub fn older_than(self, seconds: i64, now: Timestamp) -> bool {
        self.age(now).is_none_or(|age| age >= seconds)
    }
    /// Whether an object says it at all.
    pub fn is_set(self) -> bool {
        self.0.is_some()
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Moment;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a moment")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                Ok(Moment(text.parse().ok()))
            }
        }
        from.deserialize_str(Text)
    }
}

/// A quantity as Kubernetes writes them: `500m`, `1Gi`, also as a bare number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount(pub String);

impl Amount {
    /// In thousandths of the unit (millicores, thousandths of a byte); none where it cannot be read.
    pub fn milli(&self) -> Option<i128> {
        crate::quantity::milli(&self.0)
    }
}

/// A port: a number, or the name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    Number(i64),
    Name(String),
}

impl Default for Port {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Name(n) => f.write_str(n),
        }
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Port;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }
    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Port, E> {
        Ok(Port::Number(n))
    }
    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Port, E> {
        Ok(Port::Number(i64::try_from(n).unwrap_or(i64::MAX)))
    }
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Port, E> {
        Ok(Port::Name(n.to_string()))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Port, E> {
        Ok(Port::Name(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberOrText)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberOrText).map(|p| Self(p.to_string()))
    }
}

/// The last write of an object, from its `managedFields`.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub at: Moment,
    pub by: Box<str>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default, deserialize_with = "super::or_default")]
            manager: Box<str>,
            #[serde(default, deserialize_with = "super::or_default")]
            time: Moment,
            #[serde(default, deserialize_with = "super::or_default")]
            subresource: Box<str>,
        }
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Written;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("managed fields")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
                let mut last = Written::default();
                while let Some(entry) = seq.next_element::<Entry>()? {
                    // A status is not what somebody wrote.
                    if &*entry.subresource != "status" && entry.time > last.at {
                        last = Written { at: entry.time, by: entry.manager };
                    }
                }
                Ok(last)
            }
        }
        from.deserialize_seq(Entries)
    }
}

skinny! {
    /// What identifies an object, and who owns it.
    pub struct Meta {
        name: String,
        namespace: String,
        uid: Box<str>,
        labels: Labels,
        annotations: Annotations,
        owner_references: Vec<Owner>,
        creation_timestamp: Moment,
        deletion_timestamp: Moment,
        deletion_grace_period_seconds: Option<i64>,
        finalizers: Vec<String>,
        generation: i64,
        #[serde(rename = "managedFields")]
        written: Written,
    }
    /// An owner of an object.
    pub struct Owner {
        kind: String,
        name: String,
        uid: Box<str>,
        controller: bool,
    }
    /// A condition of an object.
    pub struct Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
        reason: String,
        message: String,
        last_transition_time: Moment,
        last_update_time: Moment,
    }
    /// A label selector.
    pub struct Selector {
        match_labels: Labels,
        match_expressions: Vec<Requirement>,
    }
    /// One requirement of a selector, over labels or fields.
    pub struct Requirement {
        key: String,
        operator: String,
        values: Vec<String>,
    }
    /// A reference to an object of the same namespace.
    pub struct Named {
        name: String,
    }
    /// An object of which only the metadata is read.
    pub struct Bare {
        metadata: Meta,
    }
    /// A ConfigMap or a Secret: the names of its keys where the whole object was read, never a value.
    pub struct Keyed {
        metadata: Meta,
        #[serde(rename = "type")]
        kind: String,
        data: Option<Keys>,
        binary_data: Option<Keys>,
        string_data: Option<Keys>,
    }
}

impl Meta {
    /// The owner that controls the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|o| o.controller)
    }
}

impl Selector {
    /// Whether it has no requirement at all, so that it selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
    /// Whether the labels satisfy it. An empty selector is satisfied by all.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.match_expressions.iter().all(|r| r.holds(labels.get(&r.key).map(String::as_str)))
    }
    /// As people write it: `app=web,tier in (a,b)`.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self.match_labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        parts.extend(self.match_expressions.iter().map(Requirement::text));
        parts.join(",")
    }
}

impl Requirement {
    /// Whether a value (none: the label is absent) satisfies it, as Kubernetes has it for labels of nodes and pods.
    pub fn holds(&self, have: Option<&str>) -> bool {
        let listed = || have.is_some_and(|h| self.values.iter().any(|v| v == h));
        let compared = |order: std::cmp::Ordering| {
            let number = |t: &str| t.parse::<i64>().ok();
            matches!((have.and_then(number), self.values.first().and_then(|v| number(v))),
                (Some(a), Some(b)) if a.cmp(&b) == order)
        };
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => have.is_some(),
            "DoesNotExist" => have.is_none(),
            "Gt" => compared(std::cmp::Ordering::Greater),
            "Lt" => compared(std::cmp::Ordering::Less),
            _ => false,
        }
    }
    /// As people write it.
    pub fn text(&self) -> String {
        let values = self.values.join(",");
        match self.operator.as_str() {
            "In" => format!("{} in ({values})", self.key),
            "NotIn" => format!("{} notin ({values})", self.key),
            "Exists" => self.key.clone(),
            "DoesNotExist" => format!("!{}", self.key),
            other => format!("{} {other} {values}", self.key),
        }
    }
}

impl Keyed {
    /// The names of all keys; none where only the metadata was read.
    pub fn keys(&self) -> Option<Vec<&str>> {
        if self.data.is_none() && self.binary_data.is_none() && self.string_data.is_none() {
            return None;
        }
        let all = [&self.data, &self.binary_data, &self.string_data];
        Some(all.into_iter().flatten().flat_map(|k| k.0.iter().map(|n| &**n)).collect())
    }
}

/// The condition of that type.
pub fn condition<'a>(all: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    all.iter().find(|c| c.kind == kind)
}
