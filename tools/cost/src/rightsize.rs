//! What containers should request, from what they used: peaks and percentiles of a history, never one sample.
//!
//! The rule is KRR's, with floors of our own, and with care where something else also decides: autoscalers, OOM kills.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Container, Object, Range, Size, Workload};
use crate::units::{Bytes, Millicores};

/// Bytes in a MiB.
const MIB: i64 = 1 << 20;
/// Fewest samples, of all pods together, that say something.
const POINTS: u64 = 100;
/// Shortest history that says something: a day has a peak and a night.
const HOURS: f64 = 24.0;
/// Differences up to this are noise, as are those up to a tenth of what is there.
const NOISE: (Millicores, Bytes) = (Millicores(10), Bytes(16 * MIB));

/// What the containers of one name used in all pods of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// How many samples there are, over all pods.
    pub points: u64,
    /// For how many hours at least one pod was seen.
    pub hours: f64,
    /// The largest over the pods of each pod's 95th percentile of CPU use.
    pub cpu_p95: Millicores,
    /// The 95th percentile of the CPU use of all pods together; an autoscaler's pods need it.
    pub cpu_p95_sum: Option<Millicores>,
    /// The largest working set of any pod.
    pub memory_peak: Bytes,
    /// The largest working set of all pods together.
    pub memory_peak_sum: Option<Bytes>,
    /// The limit at which one was killed for want of memory, the highest if several.
    pub oom_limit: Option<Bytes>,
}

/// Whose floors hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 10m and 32 MiB.
    #[default]
    Kai,
    /// KRR's: 10m and 100 MiB.
    Krr,
}

impl Preset {
    /// The least that is ever recommended.
    fn floor(self) -> (Millicores, Bytes) {
        match self {
            Preset::Kai => (Millicores(10), Bytes(32 * MIB)),
            Preset::Krr => (Millicores(10), Bytes(100 * MIB)),
        }
    }
}

/// How far requests are from what they should be, by KRR's thresholds; the worse of CPU and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can be said.
    Unknown,
    /// Less than 100m and 100 MiB off.
    Good,
    /// From 100m or 100 MiB.
    Ok,
    /// From 250m or 250 MiB, or not set at all.
    Warning,
    /// From 500m or 500 MiB.
    Critical,
}

impl Severity {
    fn of(current: Option<i64>, recommended: i64, thresholds: [i64; 3]) -> Severity {
        let Some(current) = current else { return Severity::Warning };
        let apart = current.saturating_sub(recommended).saturating_abs();
        match thresholds.map(|t| apart >= t) {
            [true, ..] => Severity::Critical,
            [_, true, _] => Severity::Warning,
            [_, _, true] => Severity::Ok,
            _ => Severity::Good,
        }
    }
}

/// Requests that only fit together with the autoscaler's own figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Together {
    /// The HorizontalPodAutoscaler, if its name is known.
    pub scaler: Option<String>,
    /// The request at which its fewest pods carry the 95th percentile of the load at its target.
    pub cpu: Option<Millicores>,
    /// Likewise for memory, from the peak of all pods together.
    pub memory: Option<Bytes>,
    /// How many pods it then must be allowed, so that its most is not less in all than it is now.
    pub max: i64,
}

/// What is said of one container.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The workload.
    pub object: Object,
    /// The container's name.
    pub container: String,
    /// What it requests now; none where it says nothing.
    pub current: (Option<Millicores>, Option<Bytes>),
    /// What it should request. Where one of both is well as it is, that one is what is there now. Safe to be set by
    /// itself: what an autoscaler steers by is left as it is.
    pub recommended: Option<(Millicores, Bytes)>,
    /// The memory limit that goes with it; none where the memory request stays, and its limit with it.
    pub memory_limit: Option<Bytes>,
    /// What could be changed together with its autoscaler.
    pub together: Option<Together>,
    /// How far the requests are off.
    pub severity: Severity,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// Why nothing is recommended.
    pub kept: Option<String>,
}

impl Advice {
    /// What one pod would request less by `recommended`; below zero where it should request more.
    pub fn freed(&self) -> Size {
        let Some((cpu, memory)) = self.recommended else { return Size::default() };
        let (cpu_now, memory_now) = self.current;
        Size { cpu: cpu_now.unwrap_or_default(), memory: memory_now.unwrap_or_default(), gpus: 0 }
            - Size { cpu, memory, gpus: 0 }
    }
}

/// Advice for each container of a workload; `histories` are by container name.
pub fn recommend(workload: &Workload, histories: &BTreeMap<String, History>, preset: Preset) -> Vec<Advice> {
    let containers = &workload.shape.containers;
    let mut all: Vec<Advice> =
        containers.iter().map(|c| advise(workload, c, histories.get(&c.name), preset)).collect();
    with_scaler(&mut all, workload, histories, preset);
    all
}

/// KRR's score of 0 to 100 and its letter, A to F: a critical container counts 1, a warning 0.7, against their number.
/// None without containers.
pub fn score(advices: &[Advice]) -> Option<(u8, char)> {
    let n = advices.len();
    let tenths = |advice: &Advice| match advice.severity {
        Severity::Critical => 10,
        Severity::Warning => 7,
        _ => 0,
    };
    let lost: usize = advices.iter().map(tenths).sum();
    let score = u8::try_from((n * 10).saturating_sub(lost) * 10 / n.max(1)).ok().filter(|_| n > 0)?;
    let letter = match score {
        90.. => 'A',
        70.. => 'B',
        55.. => 'C',
        30.. => 'D',
        _ => 'F',
    };
    Some((score, letter))
}

fn advise(workload: &Workload, container: &Container, history: Option<&History>, preset: Preset) -> Advice {
    let size = container.size;
    let current = (container.cpu_set.then_some(size.cpu), container.memory_set.then_some(size.memory));
    let mut advice = Advice {
        object: workload.object.clone(),
        container: container.name.clone(),
        current,
        recommended: None,
        memory_limit: None,
        together: None,
        severity: Severity::Unknown,
        notes: Vec::new(),
        kept: None,
    };
    if let Some(target) = workload.vertical.get(&container.name) {
        let (cpu, memory) = (target.cpu.0, mib(target.memory));
        advice.notes.push(format!("the VerticalPodAutoscaler's target is {cpu}m and {memory}"));
    }
    let Some(history) = history else {
        advice.kept = Some("no history".into());
        return advice;
    };
    if let Some(limit) = history.oom_limit {
        advice.notes.push(format!(
            "it was killed for want of memory at a limit of {}: its memory is not lowered",
            mib(limit)
        ));
    }
    if !enough(history) {
        advice.kept = Some(format!(
            "too little history: {} samples over {:.1} h, and {POINTS} samples over {HOURS} h are needed",
            history.points, history.hours
        ));
        return advice;
    }
    let range = workload.range.unwrap_or_default();
    let (cpu, cpu_severity) = cpu(current.0, history, range, preset);
    let (memory, memory_severity) = memory(container, current.1, history, range, preset);
    advice.severity = cpu_severity.max(memory_severity);
    if Some(cpu) == current.0 && Some(memory) == current.1 {
        advice.kept = Some("what it requests is near what it needs".into());
        return advice;
    }
    advice.recommended = Some((cpu, memory));
    if Some(memory) != current.1 {
        // Where it was killed, the limit may have been raised since: that is not taken back.
        let held = history.oom_limit.and(container.memory_limit).unwrap_or_default();
        advice.memory_limit = Some(memory.max(held));
    }
    advice
}

/// The CPU request that can be set by itself, and how far it is from what is there.
fn cpu(
    current: Option<Millicores>,
    history: &History,
    range: Range,
    preset: Preset,
) -> (Millicores, Severity) {
    let wanted = history.cpu_p95.max(preset.floor().0);
    match (current, target(range.cpu_target)) {
        // The autoscaler counts in percent of the request: another request alone is another number of pods.
        (Some(now), Some(_)) => (now, Severity::Unknown),
        // Without a request it cannot count at all, so one is set, and that which suits it.
        (None, Some(percent)) => {
            let suited = history.cpu_p95_sum.map(|sum| Millicores(share(sum.0, range.min, percent)));
            (suited.unwrap_or_default().max(wanted), Severity::Warning)
        }
        (Some(now), None) if near(now.0, wanted.0, NOISE.0.0) => (now, Severity::Good),
        (now, None) => (wanted, Severity::of(now.map(|n| n.0), wanted.0, [500, 250, 100])),
    }
}

/// The memory request that can be set by itself, and how far it is from what is there.
fn memory(
    container: &Container,
    current: Option<Bytes>,
    history: &History,
    range: Range,
    preset: Preset,
) -> (Bytes, Severity) {
    let mut wanted = peak(history).max(preset.floor().1);
    if let Some(limit) = history.oom_limit {
        wanted = wanted.max(up(limit, 125)).max(container.size.memory);
    }
    let severity =
        |now: Option<Bytes>| Severity::of(now.map(|n| n.0), wanted.0, [500 * MIB, 250 * MIB, 100 * MIB]);
    // What was killed gets more, whoever else decides.
    let killed = history.oom_limit.is_some();
    match (current, target(range.memory_target)) {
        (Some(now), Some(_)) if !killed => (now, Severity::Unknown),
        // More used than requested is no noise: such a pod is among the first to be evicted.
        (Some(now), None) if !killed && now >= history.memory_peak && near(now.0, wanted.0, NOISE.1.0) => {
            (now, Severity::Good)
        }
        (now, _) => (wanted, severity(now)),
    }
}

/// Says what could be changed together with the autoscaler, for every container of its workload.
fn with_scaler(
    all: &mut [Advice],
    workload: &Workload,
    histories: &BTreeMap<String, History>,
    preset: Preset,
) {
    let Some(range) = workload.range else { return };
    let suited: Vec<_> = all
        .iter()
        .map(|a| {
            let history = histories.get(&a.container).filter(|h| enough(h));
            history.map_or((None, None), |h| pair(a, h, range, preset))
        })
        .collect();
    // What all containers of a pod request before and after, of what the autoscaler steers by.
    let (mut before, mut after) = ((0, 0), (0, 0));
    for (container, (cpu, memory)) in workload.shape.containers.iter().zip(&suited) {
        let Size { cpu: cpu_now, memory: memory_now, .. } = container.size;
        before = (before.0 + cpu_now.0, before.1 + memory_now.0);
        after = (after.0 + cpu.unwrap_or(cpu_now).0, after.1 + memory.unwrap_or(memory_now).0);
    }
    let most = |before: i64, after: i64| match after {
        1.. if after < before => ceil(i128::from(range.max) * i128::from(before), i128::from(after)),
        _ => range.max,
    };
    let max = most(before.0, after.0).max(most(before.1, after.1));
    let scaler =
        workload.scaler.as_deref().map_or_else(|| "its autoscaler".to_owned(), |n| format!("autoscaler {n}"));
    for (advice, (cpu, memory)) in all.iter_mut().zip(suited) {
        let Some(history) = histories.get(&advice.container).filter(|h| enough(h)) else { continue };
        let (at_cpu, at_memory) = (target(range.cpu_target), target(range.memory_target));
        for (percent, what, change) in [
            (at_cpu.filter(|_| advice.current.0.is_some()), "CPU", cpu.map(|c| format!("{}m", c.0))),
            (at_memory.filter(|_| advice.current.1.is_some()), "memory", memory.map(mib)),
        ] {
            let Some(percent) = percent else { continue };
            let (used, measure) = match what {
                "CPU" => (history.cpu_p95_sum.map(|s| format!("{}m", s.0)), "95 % of the time at most"),
                _ => (history.memory_peak_sum.map(mib), "at most"),
            };
            let min = range.min.max(1);
            let steers = format!("{scaler} keeps {what} at {percent} % of the request");
            advice.notes.push(match (used, change) {
                (None, _) => format!("{steers}, and what all its pods use together is not known"),
                (Some(_), None) => continue,
                (Some(used), Some(change)) => format!(
                    "{steers}, so another request alone would change the number of pods. Together: request {change}, {min} to {max} pods at the same {percent} %; {min} then carry what all used together, {measure} {used}"
                ),
            });
        }
        if cpu.is_some() || memory.is_some() {
            advice.together = Some(Together { scaler: workload.scaler.clone(), cpu, memory, max });
            if advice.kept.is_some() {
                advice.kept =
                    Some(format!("{scaler} steers by what it requests: change both together, or neither"));
            }
        }
    }
}

/// The requests at which the autoscaler's fewest pods carry the load at its target, where they are not there already.
fn pair(
    advice: &Advice,
    history: &History,
    range: Range,
    preset: Preset,
) -> (Option<Millicores>, Option<Bytes>) {
    let cpu = || {
        let (now, percent, sum) = (advice.current.0?, target(range.cpu_target)?, history.cpu_p95_sum?);
        let wanted = Millicores(share(sum.0, range.min, percent)).max(preset.floor().0);
        (!near(now.0, wanted.0, NOISE.0.0)).then_some(wanted)
    };
    let memory = || {
        let (now, percent, sum) = (advice.current.1?, target(range.memory_target)?, history.memory_peak_sum?);
        // The limit goes with the request, so no pod's own peak may be above it.
        let carried = up(Bytes(share(sum.0, range.min, percent)), 100);
        let wanted = carried.max(peak(history)).max(preset.floor().1);
        // What was killed is raised already, by itself.
        (history.oom_limit.is_none() && !near(now.0, wanted.0, NOISE.1.0)).then_some(wanted)
    };
    (cpu(), memory())
}

/// Whether a history says something. Written so that hours that are no number do not.
fn enough(history: &History) -> bool {
    history.points >= POINTS && history.hours >= HOURS
}

/// An autoscaler's target, in percent.
fn target(percent: Option<i64>) -> Option<i64> {
    percent.filter(|p| *p > 0)
}

/// What each of the fewest pods must request to carry `sum` at `percent` of its request.
fn share(sum: i64, min: i64, percent: i64) -> i64 {
    ceil(i128::from(sum) * 100, i128::from(min.max(1)) * i128::from(percent))
}

/// The peak and 15 % more, in whole MiB.
fn peak(history: &History) -> Bytes {
    up(history.memory_peak, 115)
}

/// So many percent of it, up to whole MiB.
fn up(bytes: Bytes, percent: i64) -> Bytes {
    let mib = ceil(i128::from(bytes.0) * i128::from(percent), 100 * i128::from(MIB));
    Bytes(mib.saturating_mul(MIB))
}

/// A quotient, up to the next whole number; never below 0.
fn ceil(amount: i128, by: i128) -> i64 {
    let by = by.max(1);
    i64::try_from((amount.max(0) + by - 1) / by).unwrap_or(i64::MAX)
}

/// Whether they are so near that a change is not worth a rollout.
fn near(current: i64, wanted: i64, least: i64) -> bool {
    let apart = current.saturating_sub(wanted).saturating_abs();
    apart <= least || i128::from(apart) * 10 <= i128::from(current)
}

/// In MiB, with a decimal where it is no whole number of them.
fn mib(bytes: Bytes) -> String {
    match bytes.0 % MIB {
        0 => format!("{} MiB", bytes.0 / MIB),
        _ => format!("{:.1} MiB", bytes.0 as f64 / MIB as f64),
    }
}
