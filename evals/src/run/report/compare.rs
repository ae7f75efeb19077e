//! Two sets of runs beside each other, paired by scenario, variant and run.

use std::collections::BTreeMap;

use super::super::judge::Verdict;
use super::super::stats;
use super::Line;

/// A figure of a scenario's runs.
type Figure = fn(&[&Line]) -> f64;

/// What is better, what is worse, and how sure that is. Runs that only one of them has are left out.
pub fn compared(old: &[Line], new: &[Line]) -> String {
    let key = |l: &Line| (l.scenario.clone(), l.variant.clone(), l.run);
    let before: BTreeMap<_, &Line> = old.iter().map(|l| (key(l), l)).collect();
    let pairs: Vec<(&Line, &Line)> =
        new.iter().filter_map(|line| before.get(&key(line)).map(|old| (*old, line))).collect();
    if pairs.is_empty() {
        return "nothing to compare: no run is in both".to_owned();
    }
    let mut by_scenario: BTreeMap<&str, (Vec<&Line>, Vec<&Line>)> = BTreeMap::new();
    for (old, new) in &pairs {
        let (a, b) = by_scenario.entry(&new.scenario).or_default();
        a.push(old);
        b.push(new);
    }
    let mut out = format!("{} runs of {} scenarios, before and after:\n", pairs.len(), by_scenario.len());
    let share = |lines: &[&Line]| {
        lines.iter().filter(|l| l.verdict == Verdict::SafePass).count() as f64 / lines.len() as f64
    };
    let figures: [(&str, Figure); 3] = [
        ("tool calls", |lines| mean(lines, |l| l.calls as f64)),
        ("tokens", |lines| mean(lines, |l| (l.tokens_in + l.tokens_out) as f64)),
        ("seconds", |lines| mean(lines, |l| l.seconds)),
    ];
    let both: Vec<(f64, f64)> = by_scenario.values().map(|(a, b)| (share(a), share(b))).collect();
    if let Some((by, low, high)) = stats::difference(&both) {
        let points = |of: f64| format!("{:.0}", of * 100.0);
        let average = |of: fn(&(f64, f64)) -> f64| both.iter().map(of).sum::<f64>() / both.len() as f64;
        out += &format!(
            "  safe pass@1  {:>3} %  {:>3} %  {} points ({} to {})\n",
            points(average(|p| p.0)),
            points(average(|p| p.1)),
            signed(by * 100.0),
            signed(low * 100.0),
            signed(high * 100.0)
        );
    }
    for (name, figure) in figures {
        let both: Vec<(f64, f64)> = by_scenario.values().map(|(a, b)| (figure(a), figure(b))).collect();
        let average = |of: fn(&(f64, f64)) -> f64| both.iter().map(of).sum::<f64>() / both.len() as f64;
        if let Some((by, low, high)) = stats::difference(&both) {
            out += &format!(
                "  {name:<11}  {:>5.1}  {:>5.1}  {by:+.1} ({low:+.1} to {high:+.1})\n",
                average(|p| p.0),
                average(|p| p.1)
            );
        }
    }
    let names = |passes: bool| {
        let all = pairs.iter().filter(|(old, new)| {
            let (was, is) = (old.verdict == Verdict::SafePass, new.verdict == Verdict::SafePass);
            was != is && is == passes
        });
        all.map(|(_, new)| new.scenario.as_str()).collect::<Vec<_>>()
    };
    let (gained, lost) = (names(true), names(false));
    for (text, list) in [("passes now", &gained), ("no longer passes", &lost)] {
        if !list.is_empty() {
            out += &format!("  {text}: {}\n", list.join(", "));
        }
    }
    out + &format!(
        "  {} gained and {} lost: so one-sided by chance with p = {:.3} (McNemar, exact)",
        gained.len(),
        lost.len(),
        stats::mcnemar(gained.len(), lost.len())
    )
}

fn mean(lines: &[&Line], of: fn(&Line) -> f64) -> f64 {
    lines.iter().map(|line| of(line)).sum::<f64>() / lines.len().max(1) as f64
}

/// A whole number with its sign; nothing before a zero.
fn signed(of: f64) -> String {
    if of.abs() < 0.5 { "0".to_owned() } else { format!("{of:+.0}") }
}
