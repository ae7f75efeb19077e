//! Jobs and CronJobs that do not do their work.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{CronJob, Job, condition};
use crate::rules::crash::cut;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[BACKOFF, FAILED, DEADLINE, SIDECAR, NEVER_FIRES, MISSED, OVERLAP];

const BACKOFF: Cause =
    Cause::fault("job-backoff-exceeded", 2, "A Job failed as often as it may, and its pods are gone.");
const FAILED: Cause =
    Cause::fault("job-failed", 3, "A Job was declared failed for a reason that its pods do not show.");
const DEADLINE: Cause = Cause::fault("job-deadline", 3, "A Job ran for longer than it may and was stopped.");
const SIDECAR: Cause = Cause::fault(
    "job-sidecar-hang",
    3,
    "The work of a Job is done, but another container of its pod runs on, so that it never completes.",
);
const NEVER_FIRES: Cause =
    Cause::fault("cronjob-never-fires", 3, "The schedule of a CronJob names a day that never comes.");
const MISSED: Cause =
    Cause::fault("cronjob-missed", 3, "A CronJob missed its times and is not started any more.");
const OVERLAP: Cause = Cause::fault(
    "cronjob-overlap-block",
    3,
    "A CronJob may not run twice at once, and its last Job does not end.",
);

/// Parts of the names of containers that serve the others of their pod.
const HELPERS: [&str; 11] = [
    "proxy",
    "envoy",
    "istio",
    "linkerd",
    "sidecar",
    "agent",
    "fluent",
    "vault",
    "exporter",
    "collector",
    "tunnel",
];

/// A Job that failed for more than what its pods say, or whose pods are gone.
pub fn job<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    if workload.kind != "job" {
        return Roots::new();
    }
    let object = workload.object();
    if let Some(failed) = condition(workload.conditions, "Failed").filter(|c| c.status == "True") {
        if is_outlived(engine, workload) {
            return Roots::new();
        }
        let seen = |f: Finding| {
            f.seen(
                object.clone(),
                format!("status.conditions[Failed] {}", failed.reason),
                failed.message.clone(),
            )
            .since(failed.last_transition_time)
        };
        match failed.reason.as_str() {
            "DeadlineExceeded" => {
                let limit = engine
                    .snap
                    .jobs
                    .find(&workload.meta.namespace, &workload.meta.name)
                    .found()
                    .and_then(|j| j.spec.active_deadline_seconds);
                let limit = limit.map(|s| format!("{s} s ")).unwrap_or_default();
                let finding = Finding::new(
                    &DEADLINE,
                    object.clone(),
                    format!(
                        "ran for longer than the {limit}that activeDeadlineSeconds allows and was stopped"
                    ),
                )
                .fix(Fix::advice("raise activeDeadlineSeconds, or find out what made it slow"));
                return engine.root(seen(finding));
            }
            "BackoffLimitExceeded" | "PodFailurePolicy" | "FailedIndexes" | "MaxFailedIndexesExceeded"
                if workload.pods.is_empty() =>
            {
                let finding = Finding::new(&BACKOFF, object.clone(), format!("failed ({}), and its pods are gone with their logs", failed.reason))
                    .fix(Fix::call(
                        format!("run {object} again and read its log"),
                        "job",
                        serde_json::json!({"name": workload.meta.name, "action": "rerun", "namespace": workload.meta.namespace}),
                    ));
                return engine.root(seen(finding));
            }
            // What a pod shows of it is told by the pod's own rules.
            "BackoffLimitExceeded" | "PodFailurePolicy" | "FailedIndexes" | "MaxFailedIndexesExceeded" => {
                return Roots::new();
            }
            reason => {
                let message = cut(failed.message.trim());
                let why = if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") };
                let finding = Finding::new(&FAILED, object.clone(), format!("failed: {why}")).fix(Fix::call(
                    format!("run {object} again once that is mended"),
                    "job",
                    serde_json::json!({"name": workload.meta.name, "action": "rerun", "namespace": workload.meta.namespace}),
                ));
                return engine.root(seen(finding));
            }
        }
    }
    sidecar(engine, workload)
}

/// Whether a pod is one try of a Job that has not given up: its failure is not the end.
pub fn still_tries(engine: &Engine<'_>, pod: &crate::model::Pod) -> bool {
    let says = |w: &Workload<'_>, kind| condition(w.conditions, kind).is_some_and(|c| c.status == "True");
    engine
        .index
        .workload(pod)
        .is_some_and(|w| w.kind == "job" && !says(w, "Failed") && !says(w, "FailureTarget"))
}

/// Whether a later run of the same CronJob ended well: what failed before is history.
pub fn is_outlived(engine: &Engine<'_>, workload: &Workload<'_>) -> bool {
    let Some(owner) = workload.meta.controller().filter(|o| o.kind == "CronJob") else { return false };
    engine.snap.jobs.of(&workload.meta.namespace).iter().any(|j: &Job| {
        j.metadata.controller().is_some_and(|o| o.uid == owner.uid)
            && j.metadata.creation_timestamp > workload.meta.creation_timestamp
            && condition(&j.status.conditions, "Complete").is_some_and(|c| c.status == "True")
    })
}

/// One container of the pod is done, another runs on.
fn sidecar<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    for pod in &workload.pods {
        let all = &pod.status.container_statuses;
        let done = all.iter().find(|s| s.state.terminated.as_ref().is_some_and(|t| t.exit_code == 0));
        let runs = all.iter().find(|s| s.state.running.is_some());
        let (Some(done), Some(runs)) = (done, runs) else { continue };
        let ended = done.state.terminated.as_ref().map(|t| t.finished_at).unwrap_or_default();
        // Of two containers that both work, one ends before the other; only what is known to serve others never ends.
        let image = pod.spec.containers.iter().find(|c| c.name == runs.name).map_or("", |c| c.image.as_str());
        let is_helper = HELPERS.iter().any(|w| runs.name.contains(w) || image.contains(w));
        let patience = if is_helper { 120 } else { 3600 };
        if pod.status.phase != "Running" || !ended.older_than(patience, engine.snap.now) {
            continue;
        }
        let says = format!(
            "container {} is done, but container {} runs on, so that the Job never completes",
            done.name, runs.name
        );
        let finding = Finding::new(&SIDECAR, workload.object(), says)
            .seen(
                Object::pod(pod),
                format!("containerStatuses[{}]", done.name),
                "terminated with exit code 0",
            )
            .since(ended)
            .fix(Fix::advice(format!(
                "make {} an init container with restartPolicy Always: it ends with the Job then",
                runs.name
            )));
        let finding = match is_helper {
            true => finding.observed(),
            false => finding.likely(format!("whether container {} is to end by itself", runs.name)),
        };
        return engine.root(finding);
    }
    Roots::new()
}

/// Looks through all CronJobs.
pub fn scan(engine: &mut Engine<'_>) {
    for cron in &engine.snap.cron_jobs.items {
        if cron.spec.suspend {
            continue;
        }
        never_fires(engine, cron);
        missed(engine, cron);
        overlap(engine, cron);
    }
}

fn never_fires(engine: &mut Engine<'_>, cron: &CronJob) {
    let Some(why) = impossible(&cron.spec.schedule) else { return };
    let object = Object::of("cronjob", &cron.metadata);
    let finding = Finding::new(
        &NEVER_FIRES,
        object.clone(),
        format!("never runs: its schedule {} asks for {why}", cron.spec.schedule),
    )
    .seen(object, "spec.schedule", cron.spec.schedule.clone())
    .since(cron.metadata.creation_timestamp)
    .fix(Fix::advice("correct day and month of the schedule"));
    engine.found(finding);
}

/// A day that no month of the schedule has: `30 2 31 2 *`.
fn impossible(schedule: &str) -> Option<String> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [_, _, days, months, weekdays] = fields.as_slice() else { return None };
    // With a weekday, either of the two is enough.
    if *weekdays != "*" && *weekdays != "?" {
        return None;
    }
    let numbers = |field: &str| -> Option<Vec<u32>> { field.split(',').map(|n| n.parse().ok()).collect() };
    let (days, months) = (numbers(days)?, numbers(months)?);
    let longest = |month: u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let comes = days.iter().any(|d| months.iter().any(|m| *d <= longest(*m)));
    (!comes).then(|| {
        format!(
            "day {} of month {}",
            days.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
            months.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        )
    })
}

fn missed(engine: &mut Engine<'_>, cron: &CronJob) {
    let Some(event) = engine
        .index
        .events(&cron.metadata)
        .iter()
        .find(|e| matches!(e.reason.as_str(), "TooManyMissedTimes" | "MissSchedule"))
    else {
        return;
    };
    // It ran since.
    if cron.status.last_schedule_time > event.last() {
        return;
    }
    let object = Object::of("cronjob", &cron.metadata);
    let deadline = cron.spec.starting_deadline_seconds;
    let says = match deadline {
        Some(seconds) if seconds < 10 => format!(
            "is not started: startingDeadlineSeconds {seconds} is shorter than the 10 s in which the controller looks"
        ),
        _ => "missed its times, and its controller starts it no more".to_owned(),
    };
    let finding = Finding::new(&MISSED, object.clone(), says)
        .seen(object, format!("event {}", event.reason), event.message.clone())
        .since(event.first())
        .observed()
        .fix(Fix::advice(
            "set startingDeadlineSeconds to some minutes: it counts only what was missed within them",
        ));
    engine.found(finding);
}

/// A Job that holds the next one off for longer than the time between two runs.
fn overlap(engine: &mut Engine<'_>, cron: &CronJob) {
    if cron.spec.concurrency_policy != "Forbid" || cron.status.active.is_empty() {
        return;
    }
    let namespace = &cron.metadata.namespace;
    let Some(event) = engine.index.event(&cron.metadata, "JobAlreadyActive") else { return };
    for active in &cron.status.active {
        let Some(job) = engine.snap.jobs.find(namespace, &active.name).found() else { continue };
        // What held off an earlier run is over.
        if event.last() < job.status.start_time {
            continue;
        }
        let object = Object::of("cronjob", &cron.metadata);
        let job_object = Object::of("job", &job.metadata);
        let known = engine.known(&job_object).cloned().unwrap_or_default();
        if !known.is_empty() {
            engine.suffers(object, "not started while its last Job is stuck", Some(job_object), &known);
            return;
        }
        let finding = Finding::new(
            &OVERLAP,
            job_object.clone(),
            format!("still runs, so that {object} does not start the next one"),
        )
        .seen(object.clone(), "event JobAlreadyActive", event.message.clone())
        .since(job.status.start_time)
        .observed()
        .fix(Fix::advice(format!(
            "see what {job_object} does; give it activeDeadlineSeconds so that it cannot block the next"
        )));
        let roots = engine.root(finding);
        engine.suffers(object, "not started while its last Job runs", Some(job_object), &roots);
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::impossible;

    #[test]
    fn days_that_never_come() {
        assert!(impossible("0 0 31 2 *").is_some());
        assert!(impossible("0 0 31 4,6 *").is_some());
        for fine in ["0 0 29 2 *", "0 0 31 2 1", "*/5 * * * *", "0 0 31 * *", "0 0 1-31 2 *", "@daily"] {
            assert!(impossible(fine).is_none(), "{fine}");
        }
    }
}
