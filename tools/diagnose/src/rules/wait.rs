//! Init containers that wait for something that does not come.

use super::{Case, logs, soft};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::walk::PATIENCE;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[INIT_HANGS];

const INIT_HANGS: Cause = Cause::fault(
    "init-hangs",
    2,
    "An init container runs on and does not end, so that the pod never starts.",
);

/// How long an init container may work before its not ending is a symptom by itself.
const LONG: i64 = 600;

/// An init container that runs for longer than a start takes.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let Some(running) =
        case.status.state.running.as_ref().filter(|_| case.is_init && !case.container.is_sidecar())
    else {
        return Roots::new();
    };
    let now = engine.snap.now;
    if !running.started_at.older_than(PATIENCE, now) {
        return Roots::new();
    }
    let name = &case.container.name;
    let log = logs::of(engine, case, false);
    if let Some(log) = log {
        let roots = soft::by_log(engine, case, log);
        if !roots.is_empty() {
            return roots;
        }
    }
    let roots = soft::by_settings(engine, case);
    if !roots.is_empty() || !running.started_at.older_than(LONG, now) {
        return roots;
    }
    let last =
        log.and_then(|l| l.lines().rev().find(|l| !l.trim().is_empty())).map(str::trim).unwrap_or_default();
    let maker = engine.index.maker(case.pod);
    let minutes = running.started_at.age(now).unwrap_or(0) / 60;
    let finding = Finding::new(
        &INIT_HANGS,
        maker,
        format!("init container {name} runs for {minutes} minutes and does not end"),
    )
    .which(name.clone())
    .seen(Object::pod(case.pod), format!("log of {name}"), last.to_owned())
    .since(running.started_at)
    .likely("what it waits for: its log and its command")
    .fix(Fix::advice(format!(
        "see what init container {name} waits for; it has to end before the pod starts"
    )));
    engine.root(finding)
}
