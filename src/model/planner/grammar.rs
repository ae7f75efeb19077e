//! The grammar, read from `prompts/phrases.toml`: words, kinds, fragments and phrases as data.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grammar {
    /// Words that carry nothing, at the start of a clause, anywhere, or at its end.
    pub openers: Vec<String>,
    pub anywhere: Vec<String>,
    pub closers: Vec<String>,
    /// What joins two clauses or two names.
    pub joiners: Vec<String>,
    /// Negation, condition, exception, comparison: never filler, never a name, never corrected.
    pub guards: Vec<String>,
    /// Other words that are never a name unless quoted.
    pub not_names: Vec<String>,
    /// Words of phrases that are names all the same.
    pub names_anyway: Vec<String>,
    /// Nouns that may follow the name of a workload without meaning a kind: "the api service".
    pub suffixes: Vec<String>,
    /// Amounts that are not a number: refused with a reason.
    pub vague: Vec<String>,
    pub numbers: BTreeMap<String, u64>,
    pub multipliers: BTreeMap<String, u64>,
    /// Seconds in each unit of time.
    pub units: BTreeMap<String, u64>,
    /// Spans of time that have a name, in seconds.
    pub spans: BTreeMap<String, u64>,
    /// Which tools change something: all calls of these form one plan.
    pub actions: Vec<String>,
    pub fragments: BTreeMap<String, String>,
    #[serde(rename = "kind")]
    pub kinds: Vec<KindWords>,
    #[serde(rename = "phrase")]
    pub phrases: Vec<Phrase>,
    #[serde(rename = "offer")]
    pub offers: Vec<Offer>,
    #[serde(skip)]
    pub index: Index,
}

/// A Kubernetes kind and what people call it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindWords {
    /// Lower-case singular.
    pub name: String,
    pub words: Vec<String>,
    /// Whether an object of this kind runs pods and can stand where a workload is asked for.
    #[serde(default)]
    pub workload: bool,
    /// Whether an object of this kind has logs.
    #[serde(default)]
    pub logs: bool,
}

/// One meaning, and the templates that say it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrase {
    /// The tool that is called; or empty when `meaning` is set.
    #[serde(default)]
    pub tool: String,
    /// A meaning that only the conversation so far can turn into calls.
    #[serde(default)]
    pub meaning: Option<Meaning>,
    /// Arguments that the phrase sets by itself.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// What is called beside it, for a sentence that asks for more than one tool knows.
    #[serde(default)]
    pub also: Vec<(String, Map<String, Value>)>,
    /// Legal only as the whole sentence.
    #[serde(default)]
    pub alone: bool,
    /// Legal only right after a clause that calls this tool.
    #[serde(default)]
    pub follows: Option<String>,
    /// Whether "it" and "them" can stand in its slots.
    #[serde(default = "yes")]
    pub pronouns: bool,
    pub says: Vec<String>,
    #[serde(default)]
    pub examples: Vec<Example>,
}

impl Phrase {
    /// A phrase calls a tool or leans on the conversation, and the latter only as a whole sentence: what "the same"
    /// would be in the middle of a plan is anyone's guess.
    fn check(&self) -> Result<(), String> {
        let first = self.says.first().ok_or("a phrase says nothing")?;
        let leans = self.meaning.is_some_and(|m| m != Meaning::Scope);
        if self.tool.is_empty() != self.meaning.is_some() {
            return Err(format!("the phrase `{first}` needs either a tool or a meaning"));
        }
        if let Some(example) = self.examples.iter().find(|e| e.calls.is_empty()) {
            return Err(format!("the example `{}` does not say its calls", example.say));
        }
        if leans && !self.alone {
            return Err(format!("the phrase `{first}` leans on the conversation and must be `alone`"));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

/// A sentence and the calls that it must become: `["scale", {…}]` each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub say: String,
    pub calls: Vec<(String, Value)>,
}

/// What a sentence means in terms of what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// "in staging, …": the namespace of every clause of this sentence.
    Scope,
    /// "the same for frontend".
    Same,
    /// "now 5".
    Amend,
    /// "roll that back".
    Back,
    /// "why?".
    Why,
    /// "yes, do that".
    Yes,
    /// "the second one", "the one in staging": an answer to a question.
    Pick,
}

/// A next step that the planner can do itself, offered after a query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The query after which it is offered.
    pub after: String,
    /// Arguments that the query must have had.
    #[serde(default)]
    pub when: Map<String, Value>,
    /// Arguments that the query must not have had.
    #[serde(default)]
    pub unless: Vec<String>,
    /// What is asked; `{object}` is the one object that the result was about.
    pub ask: String,
    pub tool: String,
    /// `{object}` and `{namespace}` stand for the object that the result was about, `{name}` for its bare name.
    pub args: Map<String, Value>,
}

/// Look-ups derived from the file.
#[derive(Debug, Default)]
pub struct Index {
    /// Every kind word (one to three words) and the kind's place in `kinds`.
    pub kind_words: HashMap<String, usize>,
    /// Words that are never an unquoted name.
    pub reserved: HashSet<String>,
    /// Words that a misspelling may be corrected to.
    pub correctable: Vec<String>,
    pub openers: Vec<Vec<String>>,
    pub closers: Vec<Vec<String>>,
    pub joiners: Vec<Vec<String>>,
}

impl Grammar {
    /// Reads a grammar. The error names the line or the template.
    pub fn read(text: &str) -> Result<Grammar, String> {
        let mut grammar: Grammar = toml::from_str(text).map_err(|e| e.to_string())?;
        let split = |list: &[String]| -> Vec<Vec<String>> {
            list.iter().map(|s| s.split(' ').map(str::to_owned).collect()).collect()
        };
        let mut index = Index {
            openers: split(&grammar.openers),
            closers: split(&grammar.closers),
            joiners: split(&grammar.joiners),
            ..Index::default()
        };
        for (at, kind) in grammar.kinds.iter().enumerate() {
            for words in &kind.words {
                if let Some(other) = index.kind_words.insert(words.clone(), at) {
                    return Err(format!(
                        "`{words}` names two kinds: {} and {}",
                        kind.name, grammar.kinds[other].name
                    ));
                }
            }
        }
        grammar.index = index;
        grammar.phrases.iter().try_for_each(Phrase::check)?;
        Ok(grammar)
    }

    /// Completes the look-ups with the words that the templates use.
    pub fn learn(&mut self, words: impl Iterator<Item = String>) {
        let mut known: HashSet<String> = words.collect();
        known.extend(self.index.kind_words.keys().flat_map(|k| k.split(' ')).map(str::to_owned));
        let guards: HashSet<&String> = self.guards.iter().collect();
        self.index.correctable =
            known.iter().filter(|w| w.len() > 2 && !guards.contains(w)).cloned().collect();
        self.index.correctable.sort();
        let lists = [&self.guards, &self.not_names, &self.vague, &self.anywhere, &self.suffixes];
        known.extend(lists.into_iter().flatten().cloned());
        known.extend(self.index.joiners.iter().flatten().cloned());
        known.extend(self.numbers.keys().chain(self.multipliers.keys()).cloned());
        for name in &self.names_anyway {
            known.remove(name);
        }
        self.index.reserved = known;
    }

    /// Whether calls of this tool change something.
    pub fn is_action(&self, tool: &str) -> bool {
        self.actions.iter().any(|a| a == tool)
    }
}
