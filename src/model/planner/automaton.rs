//! All templates as one automaton, and its run over a sentence: every reading that accounts for every word.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use serde_json::Value as Json;

use super::grammar::Grammar;
use super::slots::{self, Found, Slot, Value};
use super::template::{self, Node};
use super::tokens::Token;

/// A phrase that matched, with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// Place in `Grammar::phrases`.
    pub phrase: usize,
    pub args: Vec<(String, Value)>,
}

/// One way to read a whole sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub clauses: Vec<Clause>,
    /// Places of the tokens that were left out; empty unless leaving out was allowed.
    pub dropped: Vec<usize>,
}

#[derive(Debug, Default)]
struct State {
    words: Vec<(String, u32)>,
    slots: Vec<(u32, Slot, u32)>,
    sets: Vec<(u32, u32, u32)>,
    free: Vec<u32>,
    accepts: Option<usize>,
}

/// The compiled grammar.
#[derive(Debug)]
pub struct Automaton {
    states: Vec<State>,
    args: Vec<String>,
    values: Vec<Json>,
    /// For each word, where the templates that begin with it lead: what keeps the first step short.
    starts: HashMap<String, Vec<u32>>,
}

/// More readings at one place than any honest sentence has.
const THREADS_MAX: usize = 4_000;
const START: u32 = 0;
/// Behind a complete clause.
const END: u32 = 1;

impl Automaton {
    /// Compiles every template. The error names the template that is wrong.
    pub fn compile(grammar: &Grammar) -> Result<Automaton, String> {
        let mut a = Automaton {
            states: vec![State::default(), State::default()],
            args: Vec::new(),
            values: Vec::new(),
            starts: HashMap::new(),
        };
        for (phrase, entry) in grammar.phrases.iter().enumerate() {
            for text in &entry.says {
                let node = template::parse(text, &grammar.fragments)?;
                let first = a.state();
                a.states[START as usize].free.push(first);
                let last = a.add(&node, first);
                if last == first {
                    return Err(format!("template `{text}` is empty"));
                }
                a.states[last as usize].accepts = Some(phrase);
            }
        }
        a.index_starts();
        Ok(a)
    }

    /// Every word that a template contains.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.states.iter().flat_map(|s| s.words.iter().map(|(word, _)| word.clone()))
    }

    fn state(&mut self) -> u32 {
        self.states.push(State::default());
        (self.states.len() - 1) as u32
    }

    fn add(&mut self, node: &Node, from: u32) -> u32 {
        match node {
            Node::Seq(items) => items.iter().fold(from, |at, item| self.add(item, at)),
            Node::Alt(options) => {
                let to = self.state();
                for option in options {
                    let end = self.add(option, from);
                    self.states[end as usize].free.push(to);
                }
                to
            }
            Node::Many(inner) => {
                let to = self.state();
                self.states[from as usize].free.push(to);
                let end = self.add(inner, to);
                self.states[end as usize].free.push(to);
                to
            }
            Node::Word(word) => {
                let to = self.state();
                self.states[from as usize].words.push((word.clone(), to));
                to
            }
            Node::Slot { arg, slot } => {
                let (arg, to) = (self.arg(arg), self.state());
                self.states[from as usize].slots.push((arg, *slot, to));
                to
            }
            Node::Set { arg, value } => {
                let (arg, to) = (self.arg(arg), self.state());
                self.values.push(value.clone());
                let value = (self.values.len() - 1) as u32;
                self.states[from as usize].sets.push((arg, value, to));
                to
            }
        }
    }

    fn arg(&mut self, name: &str) -> u32 {
        let place = self.args.iter().position(|a| a == name).unwrap_or_else(|| {
            self.args.push(name.to_owned());
            self.args.len() - 1
        });
        place as u32
    }

    /// Moves every word that a template can begin with from the start state's closure into a table.
    fn index_starts(&mut self) {
        let firsts = std::mem::take(&mut self.states[START as usize].free);
        for first in firsts {
            let (mut open, mut seen, mut slotted) = (vec![first], HashSet::new(), false);
            while let Some(at) = open.pop() {
                if !seen.insert(at) {
                    continue;
                }
                let state = &self.states[at as usize];
                open.extend(&state.free);
                slotted |= !state.slots.is_empty() || !state.sets.is_empty();
                for (word, to) in &state.words {
                    self.starts.entry(word.clone()).or_default().push(*to);
                }
            }
            if slotted {
                // Begins with a slot on some path: words on its other paths are found from here as well, and merge again.
                self.states[START as usize].free.push(first);
            }
        }
    }

    /// Every reading of the tokens. With `lenient`, the one that leaves out the fewest words, if there is any.
    pub fn run(&self, tokens: &[Token], grammar: &Grammar, lenient: bool) -> Vec<Reading> {
        let mut run = Run {
            a: self,
            tokens,
            grammar,
            lenient,
            found: HashMap::new(),
            open: (0..=tokens.len()).map(|_| Vec::new()).collect(),
            seen: HashSet::new(),
            readings: Vec::new(),
        };
        run.open[0].push(Thread { state: START, caps: None, done: None, dropped: None, cost: 0 });
        for at in 0..=tokens.len() {
            run.seen.clear();
            let mut threads = std::mem::take(&mut run.open[at]);
            if lenient {
                threads.sort_by_key(|t| t.cost);
                threads.truncate(THREADS_MAX);
            } else if threads.len() > THREADS_MAX {
                return Vec::new();
            }
            for thread in threads {
                run.step(at, thread);
            }
        }
        run.readings
    }
}

/// One link of a persistent list: threads share what they have in common.
struct Link<T> {
    value: T,
    prev: Option<Rc<Link<T>>>,
    hash: u64,
}

type List<T> = Option<Rc<Link<T>>>;

fn push<T>(list: &List<T>, value: T, hashed: impl Hash) -> List<T> {
    let mut hasher = DefaultHasher::new();
    (hash(list), hashed).hash(&mut hasher);
    Some(Rc::new(Link { value, prev: list.clone(), hash: hasher.finish() }))
}

fn hash<T>(list: &List<T>) -> u64 {
    list.as_ref().map_or(0, |l| l.hash)
}

fn collect<T: Clone>(mut list: &List<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(link) = list {
        all.push(link.value.clone());
        list = &link.prev;
    }
    all.reverse();
    all
}

#[derive(Clone)]
struct Thread {
    state: u32,
    caps: List<(u32, Value)>,
    done: List<Clause>,
    dropped: List<usize>,
    cost: u32,
}

struct Run<'a> {
    a: &'a Automaton,
    tokens: &'a [Token],
    grammar: &'a Grammar,
    lenient: bool,
    found: HashMap<(Slot, usize), Rc<Vec<Found>>>,
    open: Vec<Vec<Thread>>,
    seen: HashSet<(u32, u64, u64)>,
    readings: Vec<Reading>,
}

impl Run<'_> {
    fn step(&mut self, at: usize, thread: Thread) {
        let mut stack = vec![thread];
        while let Some(thread) = stack.pop() {
            let key = match self.lenient {
                // The cheapest way into a state wins; threads come in order of their cost.
                true => (thread.state, 0, u64::from(thread.done.is_some())),
                false => (thread.state, hash(&thread.caps), hash(&thread.done)),
            };
            if !self.seen.insert(key) {
                continue;
            }
            self.skips(at, &thread);
            let a = self.a;
            let state = &a.states[thread.state as usize];
            if thread.state == END {
                self.behind_clause(at, &thread);
            }
            if thread.state == START
                && let Some(token) = self.tokens.get(at).filter(|t| !t.quoted)
            {
                for to in a.starts.get(&token.low).into_iter().flatten() {
                    self.open[at + 1].push(Thread { state: *to, ..thread.clone() });
                }
            }
            stack.extend(state.free.iter().map(|to| Thread { state: *to, ..thread.clone() }));
            if let Some(token) = self.tokens.get(at).filter(|t| !t.quoted) {
                for (_, to) in state.words.iter().filter(|(word, _)| *word == token.low) {
                    self.open[at + 1].push(Thread { state: *to, ..thread.clone() });
                }
            }
            for (arg, slot, to) in &state.slots {
                let found = self.recognise(*slot, at);
                for (end, value) in found.iter() {
                    if let Some(caps) = with(&thread.caps, *arg, value) {
                        self.open[*end].push(Thread { state: *to, caps, ..thread.clone() });
                    }
                }
            }
            for (arg, value, to) in &state.sets {
                let value = Value::Json(a.values[*value as usize].clone());
                if let Some(caps) = with(&thread.caps, *arg, &value) {
                    stack.push(Thread { state: *to, caps, ..thread.clone() });
                }
            }
            if let Some(phrase) = state.accepts {
                stack.extend(self.complete(&thread, phrase));
            }
        }
    }

    fn recognise(&mut self, slot: Slot, at: usize) -> Rc<Vec<Found>> {
        match self.found.entry((slot, at)) {
            Entry::Occupied(e) => e.get().clone(),
            Entry::Vacant(e) => {
                e.insert(Rc::new(slots::recognise(slot, self.tokens, at, self.grammar))).clone()
            }
        }
    }

    /// Words that carry nothing, at the places where they carry nothing.
    fn skips(&mut self, at: usize, thread: &Thread) {
        let Some(token) = self.tokens.get(at) else { return };
        // What leaves out more than half is no reading.
        if self.lenient && thread.cost as usize * 2 < self.tokens.len() {
            let dropped = push(&thread.dropped, at, at);
            self.open[at + 1].push(Thread { dropped, cost: thread.cost + 1, ..thread.clone() });
        }
        if token.quoted {
            return;
        }
        if token.low == "," && thread.state != END || self.grammar.anywhere.contains(&token.low) {
            self.open[at + 1].push(thread.clone());
        }
        let index = &self.grammar.index;
        let lists = [
            (thread.state == START).then_some(&index.openers),
            (thread.state == END).then_some(&index.closers),
        ];
        for words in lists.into_iter().flatten().flatten() {
            if self.matches(at, words) {
                self.open[at + words.len()].push(thread.clone());
            }
        }
    }

    fn matches(&self, at: usize, words: &[String]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.tokens.get(at + i).is_some_and(|t| t.is(word)))
    }

    /// The end of the sentence, of a clause, or a word that joins the next one.
    fn behind_clause(&mut self, at: usize, thread: &Thread) {
        let Some(token) = self.tokens.get(at) else {
            self.readings.push(Reading { clauses: collect(&thread.done), dropped: collect(&thread.dropped) });
            return;
        };
        if [".", "!", "?"].iter().any(|mark| token.is(mark)) {
            self.open[at + 1].push(thread.clone());
        }
        if [".", "!", "?", ",", ";"].iter().any(|mark| token.is(mark)) {
            self.open[at + 1].push(Thread { state: START, ..thread.clone() });
        }
        for words in &self.grammar.index.joiners {
            if self.matches(at, words) {
                self.open[at + words.len()].push(Thread { state: START, ..thread.clone() });
            }
        }
    }

    /// A phrase that has come to its end: the clause is kept, and the thread stands behind it.
    fn complete(&self, thread: &Thread, phrase: usize) -> Vec<Thread> {
        use super::grammar::Meaning;
        let entry = &self.grammar.phrases[phrase];
        let before = thread.done.as_ref().map(|link| &self.grammar.phrases[link.value.phrase]);
        if let Some(last) = before
            && last.alone
        {
            return Vec::new();
        }
        if (entry.alone && before.is_some())
            || entry.follows.as_ref().is_some_and(|tool| before.is_none_or(|b| b.tool != *tool))
        {
            return Vec::new();
        }
        let mut args: Vec<(String, Value)> =
            entry.with.iter().map(|(k, v)| (k.clone(), Value::Json(v.clone()))).collect();
        for (arg, value) in collect(&thread.caps) {
            if !entry.pronouns && matches!(value, Value::It | Value::Them) {
                return Vec::new();
            }
            args.push((self.a.args[arg as usize].clone(), value));
        }
        args.sort_by(|a, b| a.0.cmp(&b.0));
        let key = format!("{}{:?}{args:?}", entry.tool, entry.meaning);
        let clause = Clause { phrase, args };
        let done = push(&thread.done, clause, key);
        let end = Thread { state: END, caps: None, done, dropped: thread.dropped.clone(), cost: thread.cost };
        match entry.meaning {
            Some(Meaning::Scope) if before.is_none() => vec![Thread { state: START, ..end.clone() }, end],
            Some(Meaning::Scope) => Vec::new(),
            _ => vec![end],
        }
    }
}

/// The captures with one more, unless the same argument has another value already.
fn with(caps: &List<(u32, Value)>, arg: u32, value: &Value) -> Option<List<(u32, Value)>> {
    let mut list = caps;
    while let Some(link) = list {
        if link.value.0 == arg {
            return (link.value.1 == *value).then(|| caps.clone());
        }
        list = &link.prev;
    }
    Some(push(caps, (arg, value.clone()), (arg, format!("{value:?}"))))
}
