//! Where the fields of a document stand: the line of each, as the YAML parser saw it (pure).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A document's shape: keys and entries with their lines, counted from 1 within the text; values are left out.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Leaf,
    Map(Vec<(String, usize, Node)>),
    List(Vec<(usize, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

/// Scalars have no shape.
macro_rules! leaves {
    ($($name:ident: $of:ty),*) => {
        $(fn $name<E>(self, _: $of) -> Result<Node, E> { Ok(Node::Leaf) })*
    };
}

impl<'de> Visitor<'de> for Shape {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64,
        visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Shape)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = line(&key);
            entries.push((key.value, line, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element::<Spanned<Node>>()? {
            let line = line(&entry);
            entries.push((line, entry.value));
        }
        Ok(Node::List(entries))
    }
}

fn line<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(1).max(1)
}

/// The lines of a document's fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines(Node);

impl Lines {
    /// The lines of a text; of one that cannot be parsed, none.
    pub(super) fn of(text: &str) -> Self {
        Self(serde_saphyr::from_str(text).unwrap_or(Node::Leaf))
    }

    /// The line of a field, counted from 1, or of the deepest part of its path that is there; `None` when no part is.
    /// Entries of a list are named by position, keys as they are (`~1` stands for `/`).
    pub(super) fn find(&self, path: &[String]) -> Option<usize> {
        let mut node = &self.0;
        let mut found = None;
        for part in path {
            let next = match node {
                Node::Leaf => None,
                Node::Map(entries) => entries.iter().find(|(key, ..)| key == part).map(|(_, l, n)| (*l, n)),
                Node::List(entries) => {
                    part.parse::<usize>().ok().and_then(|i| entries.get(i)).map(|(l, n)| (*l, n))
                }
            };
            let Some((line, inner)) = next else { break };
            found = Some(line);
            node = inner;
        }
        found
    }
}

/// The parts of a path such as `/spec/containers/0/image`.
pub(super) fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|p| !p.is_empty()).map(|p| p.replace("~1", "/").replace("~0", "~")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &str) -> Option<usize> {
        Lines::of(text).find(&parts(path))
    }

    #[test]
    fn fields_are_found_where_they_stand() {
        let text = "spec:\n  containers:\n  - name: a\n    image: x\n  - name: b\n    # why\n    image: |\n      image: no\n    ports: [{containerPort: 1},\n      {\"containerPort\": 2}]\n  image: z\n";
        for (path, line) in [
            ("/spec", 1),
            ("/spec/containers/0/image", 4),
            ("/spec/containers/1", 5),
            ("/spec/containers/1/image", 7),
            ("/spec/containers/1/ports/1/containerPort", 10),
            ("/spec/image", 11),
            ("/spec/containers/1/env/3", 5),
        ] {
            assert_eq!(at(text, path), Some(line), "{path}");
        }
        assert_eq!(at(text, "/other"), None);
        assert_eq!(at("a: [", "/a"), None);
    }

    #[test]
    fn depth_has_an_end_before_the_stack_has() {
        let deep = |n: usize| format!("{}1{}", "{a: ".repeat(n), "}".repeat(n));
        assert!(matches!(Lines::of(&deep(60)).0, Node::Map(_)));
        assert_eq!(Lines::of(&deep(100_000)).0, Node::Leaf);
    }

    #[test]
    fn keys_with_slashes_anchors_and_odd_values() {
        let text = "a: &x {n: 1, t: true, z: ~, f: 1.5, d: 2026-01-01}\nb: *x\nmetadata:\n  annotations:\n    example.com/port: \"1\"\n    80: y\n";
        assert_eq!(at(text, "/metadata/annotations/example.com~1port"), Some(5));
        assert_eq!(at(text, "/metadata/annotations/80"), Some(6));
        assert!(at(text, "/b/n").is_some());
    }
}
