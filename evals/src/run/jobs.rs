//! What is to be run (pure): every scenario with whom, in which variants, how often; and what must come of each.

use super::judge::Verdict;
use super::model::Model;
use super::report::Line;
use super::scenario::{Kind, Scenario};
use super::variant::Variant;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Who answers.
    pub model: Model,
    /// What is different from what the scenario says.
    pub variant: Variant,
    /// Which of several runs.
    pub run: usize,
}

/// Runs of one scenario that may happen one after the other in the same room.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The scenario.
    pub scenario: Scenario,
    /// The runs.
    pub runs: Vec<Run>,
    /// A number that no other batch of this scenario has: the names of its rooms come from it.
    pub number: usize,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum Who {
    /// Nobody, the golden script, each saboteur, and all variants: what every scenario must show.
    Proof,
    /// One model.
    One(Model),
}

/// All that is to be done, without what is done already.
pub fn batches(scenarios: Vec<Scenario>, who: &Who, n: usize, done: &[Line]) -> Vec<Batch> {
    let mut batches = Vec::new();
    for scenario in scenarios {
        let mut runs: Vec<Run> = Vec::new();
        let mut add = |model: Model, variant: Variant, run: usize| runs.push(Run { model, variant, run });
        match who {
            Who::Proof => {
                (1..=n).for_each(|run| add(Model::Golden, Variant::Plain, run));
                add(Model::Null, Variant::Plain, 1);
                for variant in Variant::of(&scenario) {
                    add(Model::Golden, variant, 1);
                }
                (0..scenario.saboteurs.len()).for_each(|at| add(Model::Saboteur(at), Variant::Plain, 1));
            }
            Who::One(model) => (1..=n).for_each(|run| add(model.clone(), Variant::Plain, run)),
        }
        let is_done = |run: &Run| {
            done.iter().any(|l| {
                l.scenario == scenario.id
                    && l.model == run.model.name(&scenario)
                    && l.variant == run.variant.name()
                    && l.run == run.run
            })
        };
        let shared = scenario.kind.is_hands_off();
        let open: Vec<(usize, Run)> = runs.into_iter().enumerate().filter(|(_, run)| !is_done(run)).collect();
        if shared && !open.is_empty() {
            let runs = open.into_iter().map(|(_, run)| run).collect();
            batches.push(Batch { scenario, runs, number: 1 });
        } else {
            batches.extend(open.into_iter().map(|(at, run)| Batch {
                scenario: scenario.clone(),
                runs: vec![run],
                number: at + 1,
            }));
        }
    }
    // What takes longest to be ready begins first, so that nothing is waited for alone at the end.
    batches.sort_by_key(|b| std::cmp::Reverse((b.scenario.alone, !b.scenario.setup.found.is_empty())));
    batches
}

/// Why a run is not what it must be: a bad model that passes, or is not caught by what should catch it; a good one that
/// does not pass. Live models and the planner may fail; nobody may be unsafe.
pub fn unexpected(scenario: &Scenario, run: &Run, line: &Line, other: bool) -> Option<String> {
    let variant = match run.variant {
        Variant::Plain => String::new(),
        variant => format!(", {}", variant.name()),
    };
    let place = format!("{}/{} by {}{variant}", line.group, line.scenario, line.model);
    let all: Vec<String> = line.misses.iter().map(|m| format!("{}: {}", m.check, m.why)).collect();
    let misses = all.join("; ");
    if matches!(line.verdict, Verdict::SetupError | Verdict::HarnessError) {
        return Some(format!("{place}: {misses}"));
    }
    let passed = line.verdict == Verdict::SafePass;
    match &run.model {
        // Another agent is measured, and not held to anything here.
        _ if other => None,
        Model::Golden => (!passed).then(|| format!("{place} does not pass ({:?}): {misses}", line.verdict)),
        Model::Null => passed.then(|| format!("{place} passes: nothing is looked at")),
        Model::Saboteur(at) => {
            let wanted = scenario.saboteurs.get(*at).map_or("", |s| s.caught_by.as_str());
            let caught = line.misses.iter().any(|m| m.check == wanted);
            (!caught).then(|| format!("{place} is not caught by {wanted}: {:?} {misses}", line.verdict))
        }
        Model::Planner if scenario.planner && !passed => {
            Some(format!("{place} no longer passes ({:?}): {misses}", line.verdict))
        }
        _ => (line.verdict == Verdict::UnsafePass).then(|| format!("{place} is unsafe: {misses}")),
    }
}

/// Scenarios whose set-up was not the same twice: whatever they show is chance.
pub fn unsteady(lines: &[Line]) -> Vec<String> {
    let mut first: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    let mut odd = Vec::new();
    for line in lines.iter().filter(|line| !line.setup.is_empty()) {
        let known = first.entry(&line.scenario).or_insert(&line.setup);
        if *known != line.setup && !odd.contains(&line.scenario) {
            odd.push(line.scenario.clone());
        }
    }
    odd
}

/// Every n-th scenario, beginning with the k-th, of each group by itself: all of them in n turns.
pub fn slice(scenarios: Vec<Scenario>, k: usize, n: usize) -> Vec<Scenario> {
    let chosen = scenarios.into_iter().enumerate().filter(|(at, _)| at % n.max(1) == k % n.max(1));
    chosen.map(|(_, scenario)| scenario).collect()
}

/// A kind's name in reports.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Do => "do",
        Kind::Diagnose => "diagnose",
        Kind::Ask => "ask",
        Kind::Refuse => "refuse",
        Kind::Healthy => "healthy",
    }
}
