//! Schemas as the API server publishes them: references followed, paths walked, nearest names (pure). They come from
//! whoever wrote the custom resource, so nothing here trusts them to be finite or sensible.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::cluster::resolve::nearest;
use crate::object::{ApiKind, items, text};

/// How many references are followed in a row.
const HOPS: usize = 16;
/// How deep a field is looked for that is not where it was said to be, and in how many places.
const DEPTH: usize = 12;
const LOOKED_AT: usize = 20_000;
/// Near names that are given.
const NEAR: usize = 3;

/// The schemas of one group and version, and the one that is explained.
pub(super) struct Schemas<'a> {
    all: &'a Value,
    root: &'a Value,
}

/// A schema with its references followed: the layers that say something of it, the nearest first.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    layers: Vec<&'a Value>,
    /// Name of the type that was referred to: `PodSpec`.
    pub name: Option<&'a str>,
}

/// What stands at a path.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub node: Node<'a>,
    /// The path with the names as the schema writes them.
    pub path: Vec<String>,
    /// Whether what holds it requires it.
    pub required: bool,
}

/// A path that leads nowhere.
#[derive(Debug, PartialEq)]
pub(super) struct Missing {
    pub parent: Vec<String>,
    pub parent_type: String,
    pub field: String,
    pub siblings: Vec<String>,
    /// Whether the parent takes fields that its schema does not name.
    pub is_open: bool,
    /// Whole paths that may have been meant.
    pub similar: Vec<String>,
}

/// The parts of a dotted path, without what stands for all or one of a list: `containers[*].image`, `containers.0`.
pub(super) fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split(['.', '/'])
        .map(|s| s.split('[').next().unwrap_or("").trim())
        .filter(|s| !s.is_empty() && *s != "*")
        .map(String::from)
}

impl<'a> Node<'a> {
    /// What the nearest layer says that says it.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.layers.iter().find_map(|l| l.get(key)).filter(|v| !v.is_null())
    }

    pub fn text(&self, key: &str) -> &'a str {
        self.get(key).and_then(Value::as_str).unwrap_or("")
    }

    /// The fields that are named, in their order.
    fn properties(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let maps = self.layers.iter().filter_map(|l| l.get("properties")?.as_object());
        maps.flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    pub fn requires(&self, field: &str) -> bool {
        self.layers.iter().any(|l| items(l, "/required").iter().any(|r| r.as_str() == Some(field)))
    }

    /// Whether fields that are not named may be there.
    pub fn is_open(&self) -> bool {
        let preserves = self.get("x-kubernetes-preserve-unknown-fields") == Some(&true.into());
        let is_map = self.get("additionalProperties").is_some_and(Value::is_object);
        preserves || (self.text("type") == "object" && !is_map && self.properties().next().is_none())
    }
}

impl<'a> Schemas<'a> {
    /// The schemas of a document, if it has one for this kind.
    pub fn of(document: &'a Value, kind: &ApiKind) -> Option<Self> {
        let all = document.pointer("/components/schemas")?;
        let is_it = |schema: &Value| {
            items(schema, "/x-kubernetes-group-version-kind").iter().any(|gvk| {
                text(gvk, "/group") == kind.group
                    && text(gvk, "/version") == kind.version
                    && text(gvk, "/kind") == kind.kind
            })
        };
        let root = all.as_object()?.values().find(|s| is_it(s))?;
        Some(Self { all, root })
    }

    /// Follows references; a circle of them ends.
    pub fn node(&self, schema: &'a Value) -> Node<'a> {
        let mut node = Node { layers: Vec::new(), name: None };
        let mut waiting = VecDeque::from([schema]);
        while let Some(layer) = waiting.pop_front()
            && node.layers.len() < HOPS
        {
            node.layers.push(layer);
            if let Some(name) = text(layer, "/$ref").strip_prefix("#/components/schemas/") {
                node.name = node.name.or(name.rsplit('.').next());
                waiting.extend(self.all.get(name));
            }
            waiting.extend(items(layer, "/allOf"));
        }
        node
    }

    /// A list's items and a map's values in place of itself: what has the fields that a path goes on with.
    fn inner(&self, mut node: Node<'a>) -> Node<'a> {
        for _ in 0..HOPS {
            let next = node.get("items").or(node.get("additionalProperties").filter(|a| a.is_object()));
            match next {
                Some(next) if node.properties().next().is_none() => node = self.node(next),
                _ => break,
            }
        }
        node
    }

    /// The fields of what stands there, with their schemas and whether they are required.
    pub fn fields(&self, node: &Node<'a>) -> Vec<(&'a str, Node<'a>, bool)> {
        let inner = self.inner(node.clone());
        let mut seen = BTreeSet::new();
        let named = inner.properties().filter(|(name, _)| seen.insert(*name));
        named.map(|(name, schema)| (name, self.node(schema), inner.requires(name))).collect()
    }

    /// The type as people write it: `[]Container`, `map[string]string`, `integer or string`.
    pub fn type_name(&self, node: &Node<'a>) -> String {
        self.type_within(node, 0)
    }

    fn type_within(&self, node: &Node<'a>, depth: usize) -> String {
        let of = |schema: &'a Value| match depth {
            HOPS.. => "any".to_string(),
            _ => self.type_within(&self.node(schema), depth + 1),
        };
        if let Some(inner) = node.get("items") {
            return format!("[]{}", of(inner));
        }
        if node.properties().next().is_none()
            && let Some(inner) = node.get("additionalProperties").filter(|a| a.is_object())
        {
            return format!("map[string]{}", of(inner));
        }
        if node.get("x-kubernetes-int-or-string") == Some(&true.into()) {
            return "integer or string".into();
        }
        if let Some(Value::Array(options)) = node.get("oneOf").filter(|_| node.text("type").is_empty()) {
            let types: Vec<&str> =
                options.iter().map(|o| text(o, "/type")).filter(|t| !t.is_empty()).collect();
            return node.name.map_or_else(|| types.join(" or "), String::from);
        }
        match (node.text("type"), node.name, node.text("format")) {
            ("object" | "", Some(name), _) => name.into(),
            ("", None, _) => "any".into(),
            (plain, _, "") => plain.into(),
            (plain, _, format) => format!("{plain} ({format})"),
        }
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// Where the path ends, and what may have been meant.
    pub fn find(&self, path: &[String]) -> Result<Found<'a>, Box<Missing>> {
        let mut found = Found { node: self.node(self.root), path: Vec::new(), required: false };
        for segment in path {
            let is_list = found.node.get("items").is_some();
            let is_map = found.node.get("additionalProperties").is_some_and(Value::is_object);
            if is_list && segment.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let inner = self.inner(found.node.clone());
            let exact = inner.properties().find(|(name, _)| name == segment);
            let field = exact.or_else(|| inner.properties().find(|(n, _)| n.eq_ignore_ascii_case(segment)));
            match field {
                Some((name, schema)) => {
                    found.required = inner.requires(name);
                    found.path.push(name.to_string());
                    found.node = self.node(schema);
                }
                // Any key of a map. Where its values have no fields, the rest is the key: `labels.example.com/x`.
                None if is_map => {
                    let is_last = inner.properties().next().is_none();
                    found.path.push(segment.clone());
                    found.node = inner;
                    found.required = false;
                    if is_last {
                        return Ok(found);
                    }
                }
                None => return Err(self.missing(&found, &inner, segment)),
            }
        }
        Ok(found)
    }

    fn missing(&self, found: &Found<'a>, inner: &Node<'a>, segment: &str) -> Box<Missing> {
        let siblings: Vec<String> = inner.properties().map(|(name, _)| name.to_string()).collect();
        let whole = |names: Vec<String>| {
            names.into_iter().map(|n| found.path.iter().cloned().chain([n]).collect::<Vec<_>>().join("."))
        };
        let mut similar: Vec<String> = whole(nearest(segment, siblings.iter().map(String::as_str))).collect();
        for deeper in self.elsewhere(segment) {
            if similar.len() < NEAR && !similar.contains(&deeper) {
                similar.push(deeper);
            }
        }
        Box::new(Missing {
            parent: found.path.clone(),
            parent_type: self.type_name(&found.node),
            field: segment.to_string(),
            is_open: inner.is_open(),
            siblings,
            similar,
        })
    }

    /// Where in the kind a field of that name is, the shortest paths first. Each type is looked through once.
    fn elsewhere(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut waiting = VecDeque::from([(Vec::<&str>::new(), self.node(self.root))]);
        let mut looked_at = 0;
        while let Some((path, node)) = waiting.pop_front() {
            let inner = self.inner(node);
            if inner.name.is_some_and(|n| !seen.insert(n)) {
                continue;
            }
            for (field, schema) in inner.properties() {
                looked_at += 1;
                let mut path = path.clone();
                path.push(field);
                if field.eq_ignore_ascii_case(name) {
                    found.push(path.join("."));
                }
                if path.len() < DEPTH && looked_at < LOOKED_AT && found.len() < NEAR {
                    waiting.push_back((path, self.node(schema)));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
