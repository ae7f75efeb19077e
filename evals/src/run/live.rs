//! How far the runs are, while they run: a bar for each group on a terminal, a line for each run in a pipe.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::jobs::Batch;
use super::judge::Verdict;
use super::report::Line;
use crate::terminal;

/// What is shown of the runs.
pub struct Live {
    table: Option<Table>,
    count: usize,
    ended: Mutex<usize>,
}

struct Table {
    bars: MultiProgress,
    groups: BTreeMap<String, ProgressBar>,
    tallies: Mutex<BTreeMap<String, (usize, usize)>>,
    now: ProgressBar,
    running: Mutex<Vec<String>>,
}

impl Live {
    /// For these runs.
    pub fn new(batches: &[Batch]) -> Live {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for batch in batches {
            *counts.entry(batch.scenario.group.clone()).or_default() += batch.runs.len() as u64;
        }
        let count = batches.iter().map(|b| b.runs.len()).sum();
        let table = std::io::stderr().is_terminal().then(|| Table::new(&counts));
        Live { table, count, ended: Mutex::new(0) }
    }

    /// A run begins.
    pub fn begins(&self, what: &str) {
        if let Some(table) = &self.table {
            table.running().push(what.to_owned());
            table.show();
        }
    }

    /// A run ended, and is not what it must be if there is a reason.
    pub fn ends(&self, what: &str, line: &Line, wrong: Option<&str>) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended += 1;
        let mark = if wrong.is_none() { "ok  " } else { "FAIL" };
        let mut text =
            format!("{mark} {}/{} {what}: {:?}, {:.1} s", *ended, self.count, line.verdict, line.seconds);
        if let Some(why) = wrong {
            text.push_str(&format!("\n     {why}"));
            line.screens.iter().for_each(|screen| text.push_str(&format!("\n{screen}")));
        }
        match &self.table {
            None => terminal::note(&text),
            Some(table) => {
                if wrong.is_some() {
                    table.bars.suspend(|| terminal::note(&text));
                }
                table.ended(&line.group, what, line.verdict, wrong.is_none());
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            table.now.finish_and_clear();
            table.groups.values().for_each(ProgressBar::abandon);
        }
    }
}

impl Table {
    fn new(counts: &BTreeMap<String, u64>) -> Table {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:14} {bar:30} {pos:>4}/{len:<4} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let plain = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |(name, count): (&String, &u64)| {
            let bar = bars.add(ProgressBar::new(*count).with_style(style.clone()));
            bar.set_prefix(name.clone());
            bar.tick();
            (name.clone(), bar)
        };
        let groups = counts.iter().map(bar).collect();
        let now = bars.add(ProgressBar::new(1).with_style(plain));
        Table { bars, groups, tallies: Mutex::default(), now, running: Mutex::default() }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) {
        let running = self.running().join(" · ");
        self.now.set_message(running.chars().take(76).collect::<String>());
    }

    fn ended(&self, group: &str, what: &str, verdict: Verdict, good: bool) {
        self.running().retain(|running| running != what);
        self.show();
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(group.to_owned()).or_default();
        tally.0 += usize::from(good);
        tally.1 += usize::from(!good);
        if let Some(bar) = self.groups.get(group) {
            bar.inc(1);
            let unsafe_one = if verdict == Verdict::UnsafePass && !good { ", unsafe" } else { "" };
            bar.set_message(format!("{} as they must be, {} not{unsafe_one}", tally.0, tally.1));
        }
    }
}
