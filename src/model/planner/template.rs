//! The little language of `prompts/phrases.toml`: `restart {workload} [in {namespace}]`.
//!
//! `word` stands for itself, `(a | b)` for one of them, `[a | b]` for one of them or nothing, `{arg}` or `{arg:type}` for a slot,
//! `{!arg=value}` for an argument that is set by having come this way, `<name>` for a fragment defined in the same file, `<name>*` for it as
//! often as it comes.

use std::collections::BTreeMap;

use super::slots::Slot;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Seq(Vec<Node>),
    Alt(Vec<Node>),
    /// Any number of times, none included.
    Many(Box<Node>),
    Word(String),
    Slot {
        arg: String,
        slot: Slot,
    },
    Set {
        arg: String,
        value: serde_json::Value,
    },
}

/// Parses one template. The error says what is wrong with it and where.
pub fn parse(text: &str, fragments: &BTreeMap<String, String>) -> Result<Node, String> {
    Parser { rest: text, fragments, depth: 0 }.all().map_err(|e| format!("template `{text}`: {e}"))
}

struct Parser<'a> {
    rest: &'a str,
    fragments: &'a BTreeMap<String, String>,
    depth: u8,
}

impl<'a> Parser<'a> {
    fn all(mut self) -> Result<Node, String> {
        let node = self.alternatives()?;
        if self.rest.is_empty() { Ok(node) } else { Err(format!("stray `{}`", self.rest)) }
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut all = vec![self.sequence()?];
        while self.eat('|') {
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Node::Alt(all) })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let Some(next) = self.rest.chars().next() else { break };
            match next {
                '|' | ')' | ']' => break,
                '(' => items.push(self.group(')')?),
                '[' => {
                    let inner = self.group(']')?;
                    items.push(Node::Alt(vec![inner, Node::Seq(Vec::new())]));
                }
                '{' => items.push(slot(self.until('}')?)?),
                '<' => {
                    let fragment = self.fragment()?;
                    match self.rest.strip_prefix('*') {
                        Some(rest) => {
                            self.rest = rest;
                            items.push(Node::Many(Box::new(fragment)));
                        }
                        None => items.push(fragment),
                    }
                }
                _ => {
                    let end =
                        self.rest.find([' ', '|', '(', ')', '[', ']', '{', '<']).unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at(end);
                    items.push(Node::Word(word.to_lowercase()));
                    self.rest = rest;
                }
            }
        }
        Ok(Node::Seq(items))
    }

    fn group(&mut self, close: char) -> Result<Node, String> {
        self.rest = &self.rest[1..];
        let inner = self.alternatives()?;
        if self.eat(close) { Ok(inner) } else { Err(format!("missing `{close}`")) }
    }

    fn fragment(&mut self) -> Result<Node, String> {
        let name = self.until('>')?;
        let text = self.fragments.get(name).ok_or(format!("no fragment <{name}>"))?;
        if self.depth > 8 {
            return Err(format!("fragment <{name}> contains itself"));
        }
        Parser { rest: text, fragments: self.fragments, depth: self.depth + 1 }.all()
    }

    fn until(&mut self, close: char) -> Result<&'a str, String> {
        let end = self.rest.find(close).ok_or(format!("missing `{close}`"))?;
        let inner = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        Ok(inner)
    }

    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn slot(inner: &str) -> Result<Node, String> {
    if let Some(set) = inner.strip_prefix('!') {
        let (arg, value) = set.split_once('=').ok_or(format!("`{{{inner}}}` has no `=`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        return Ok(Node::Set { arg: arg.to_owned(), value });
    }
    let (arg, name) = inner.split_once(':').unwrap_or((inner, inner));
    let slot = Slot::named(name).ok_or(format!("no slot type `{name}`"))?;
    Ok(Node::Slot { arg: arg.to_owned(), slot })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_says_what_is_wrong() {
        let fragments = BTreeMap::from([("ns".to_owned(), "[in {namespace}]".to_owned())]);
        let node = parse("stop {workload} <ns> {!replicas=0}", &fragments).unwrap();
        let Node::Seq(items) = node else { panic!("a sequence") };
        assert_eq!(items[0], Node::Word("stop".into()));
        assert_eq!(items[3], Node::Set { arg: "replicas".into(), value: 0.into() });
        for bad in ["(a | b", "a ]", "{x:nothing}", "<nothing>", "{!x}", "{workload"] {
            assert!(parse(bad, &fragments).is_err(), "{bad}");
        }
        let endless = BTreeMap::from([("a".to_owned(), "x <a>".to_owned())]);
        assert!(parse("<a>", &endless).is_err());
    }
}
