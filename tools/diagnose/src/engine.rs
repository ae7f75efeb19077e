//! The state of one walk: findings by key, what explains what, and what one more read would settle.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::finding::{Finding, Impact, Object};
use crate::index::Index;
use crate::rules::schedule::cluster::Cluster;
use crate::snapshot::{Ask, Snapshot};

/// A finding of this walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) usize);

/// What explains a symptom; empty when nothing does, or when there is no symptom.
pub type Roots = Vec<Key>;

/// Most things seen that one finding shows: a hundred pods of one shape are shown by the first.
const MOST_EVIDENCE: usize = 4;

/// The state of one walk.
pub struct Engine<'a> {
    pub snap: &'a Snapshot,
    pub index: &'a Index<'a>,
    pub(crate) found: Vec<Finding>,
    keys: HashMap<(String, Object, String), Key>,
    memo: HashMap<Object, Roots>,
    busy: Vec<Object>,
    pub(crate) symptoms: Vec<(Impact, Roots)>,
    dependencies: HashMap<Object, Object>,
    asks: Vec<Ask>,
    asked: BTreeSet<Ask>,
    waiting: BTreeSet<Object>,
    /// The nodes as the scheduler sees them, once a pod that has none was looked at.
    pub(crate) cluster: Option<Rc<Cluster<'a>>>,
}

impl<'a> Engine<'a> {
    /// An engine that has found nothing yet.
    pub fn new(snap: &'a Snapshot, index: &'a Index<'a>) -> Self {
        Self {
            snap,
            index,
            found: Vec::new(),
            keys: HashMap::new(),
            memo: HashMap::new(),
            busy: Vec::new(),
            symptoms: Vec::new(),
            dependencies: HashMap::new(),
            asks: Vec::new(),
            asked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            cluster: None,
        }
    }

    /// Adds a finding; one of the same cause on the same object (and the same `which`) is one finding with the evidence
    /// of both.
    pub fn found(&mut self, finding: Finding) -> Key {
        let id = (finding.cause.clone(), finding.object.clone(), finding.which.clone());
        if let Some(key) = self.keys.get(&id) {
            let old = &mut self.found[key.0];
            for seen in finding.evidence {
                // The same words about another pod of the same trouble add nothing.
                let is_new = !old.evidence.iter().any(|e| e.value == seen.value && e.at == seen.at);
                if is_new && old.evidence.len() < MOST_EVIDENCE {
                    old.evidence.push(seen);
                }
            }
            old.confidence = old.confidence.max(finding.confidence);
            old.since = match (old.since, finding.since) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            return *key;
        }
        let key = Key(self.found.len());
        self.keys.insert(id, key);
        self.found.push(finding);
        key
    }

    /// Adds a finding that alone explains a symptom.
    pub fn root(&mut self, finding: Finding) -> Roots {
        vec![self.found(finding)]
    }

    /// What explains an object, worked out once. While it is being worked out the answer is "nothing", so that a circle
    /// ends.
    pub fn explain(&mut self, object: &Object, work: impl FnOnce(&mut Self) -> Roots) -> Roots {
        if let Some(known) = self.memo.get(object) {
            return known.clone();
        }
        if self.busy.contains(object) {
            return Roots::new();
        }
        self.busy.push(object.clone());
        let mut roots = work(self);
        roots.sort();
        roots.dedup();
        self.busy.pop();
        self.memo.insert(object.clone(), roots.clone());
        roots
    }

    /// Whether an object is being explained right now: a dependency on it closes a circle.
    pub fn is_being_explained(&self, object: &Object) -> bool {
        self.busy.contains(object)
    }

    /// Says that an object is worse off because of findings: it appears in their impact.
    pub fn suffers(
        &mut self,
        object: Object,
        says: impl Into<String>,
        through: Option<Object>,
        roots: &Roots,
    ) {
        if !roots.is_empty() {
            let through = through.or_else(|| self.dependencies.get(&object).cloned());
            self.symptoms.push((Impact { object, says: says.into(), through }, roots.clone()));
        }
    }

    /// Notes through which other object the trouble comes to one, where no field of it says so.
    pub fn depends(&mut self, object: Object, on: Object) {
        self.dependencies.entry(object).or_insert(on);
    }

    /// Asks for one more read, unless it was made or failed already. The engine runs again when it is there.
    pub fn ask(&mut self, ask: Ask) {
        if !self.snap.evidence.failed.contains_key(&ask) && self.asked.insert(ask.clone()) {
            self.asks.push(ask);
        }
    }

    /// Notes that an object is on its way and needs nothing: that it is not there yet is not unexplained.
    pub fn wait(&mut self, object: Object) {
        self.waiting.insert(object);
    }

    /// Whether an object is on its way.
    pub fn is_waiting(&self, object: &Object) -> bool {
        self.waiting.contains(object)
    }

    /// A log, where it was read; asks for it where not.
    pub fn log(&mut self, of: crate::snapshot::LogOf) -> Option<&'a str> {
        let snap = self.snap;
        if let Some(text) = snap.evidence.logs.get(&of) {
            return Some(text);
        }
        self.ask(Ask::Log(of));
        None
    }

    /// A finding of this walk, to complete it.
    pub fn finding(&mut self, key: Key) -> &mut Finding {
        &mut self.found[key.0]
    }

    /// What explains an object, where that was worked out.
    pub(crate) fn known(&self, object: &Object) -> Option<&Roots> {
        self.memo.get(object)
    }

    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }
}
