//! The controller manager: without it nothing is made, replaced, scaled or counted.

use crate::engine::{Engine, Key, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Lease, Moment};
use crate::rules::admission::rejected::active;
use crate::walk::{self, PATIENCE};

pub(super) const CONTROLLER_MANAGER_DOWN: Cause = Cause::fault(
    "controller-manager-down",
    1,
    "The controller manager does not run, so that no workload is made, replaced, scaled or rolled out.",
);

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-controller-manager";

/// Seconds after which a lease that nobody renews, and under which nothing lags, is one that was left behind.
const LEFT_BEHIND: i64 = 3600;

/// A workload that nobody tends, while the controller manager is away.
pub fn untended<'a>(engine: &mut Engine<'a>, workload: &'a Workload<'a>) -> Roots {
    if workload.kind == "job" {
        return Roots::new();
    }
    let Some(lease) = stale(engine) else { return Roots::new() };
    let have = i64::try_from(active(workload).count()).unwrap_or(i64::MAX);
    let lacks = engine.snap.pods.sees(&workload.meta.namespace) && have < workload.desired;
    if lags(engine, workload) || lacks { roots(engine, lease) } else { Roots::new() }
}

/// Says it also where no workload suffers yet.
pub fn scan(engine: &mut Engine<'_>) {
    match stale(engine) {
        Some(lease) if !lease.spec.renew_time.older_than(LEFT_BEHIND, engine.snap.now) => {
            roots(engine, lease);
        }
        Some(_) => {}
        None => {
            unleased(engine);
        }
    }
}

/// The lease, where nobody renews it.
fn stale<'a>(engine: &Engine<'a>) -> Option<&'a Lease> {
    let lease = engine.snap.leases.find(NAMESPACE, NAME).found()?;
    let renewed = lease.spec.renew_time;
    let patience = lease.spec.lease_duration_seconds.unwrap_or(15).saturating_mul(4).max(PATIENCE);
    (renewed.is_set() && renewed.older_than(patience, engine.snap.now)).then_some(lease)
}

/// Whether its latest change was not even looked at.
fn lags(engine: &Engine<'_>, workload: &Workload<'_>) -> bool {
    let Workload { meta, observed_generation, .. } = workload;
    let at = if meta.written.at.is_set() { meta.written.at } else { meta.creation_timestamp };
    meta.generation > *observed_generation && at.older_than(PATIENCE, engine.snap.now)
}

/// What is wrong with its own pods, else that it does not run.
fn roots<'a>(engine: &mut Engine<'a>, lease: &'a Lease) -> Roots {
    let snap = engine.snap;
    let own = |p: &&crate::model::Pod| p.metadata.labels.get("component").is_some_and(|c| c == NAME);
    let mut all = Roots::new();
    for pod in snap.pods.of(NAMESPACE).iter().filter(own) {
        all.extend(walk::pod(engine, pod));
    }
    if all.is_empty() {
        let renewed = lease.spec.renew_time;
        let at = renewed.0.map(|t| t.to_string()).unwrap_or_default();
        let says = format!(
            "was last renewed {} s ago: the controller manager does not run",
            renewed.age(snap.now).unwrap_or(0)
        );
        let object = Object::of("lease", &lease.metadata);
        let finding = Finding::new(&CONTROLLER_MANAGER_DOWN, object.clone(), says)
            .since(renewed)
            .seen(object.clone(), "spec.renewTime", at)
            .seen(object, "spec.holderIdentity", lease.spec.holder_identity.clone());
        all.push(told(engine, finding));
    }
    all
}

fn told(engine: &mut Engine<'_>, finding: Finding) -> Key {
    engine.found(finding.fix(Fix::advice(
        "look at the controller manager on the control plane: its container, its log, its credentials and its disk",
    )))
}

/// Without its lease: workloads of several kinds whose changes nobody looks at.
fn unleased(engine: &mut Engine<'_>) {
    if engine.snap.leases.find(NAMESPACE, NAME).found().is_some() {
        return;
    }
    let index = engine.index;
    let late: Vec<&Workload<'_>> = index.workloads.iter().filter(|w| lags(engine, w)).collect();
    let mut kinds: Vec<&str> = late.iter().map(|w| w.kind).collect();
    kinds.dedup();
    let Some(first) = late.first().filter(|_| kinds.len() > 1) else { return };
    let since = late.iter().map(|w| w.meta.written.at).filter(|m| m.is_set()).min().unwrap_or(Moment(None));
    let says = format!(
        "is not to be seen, and the latest changes of {} workloads were not looked at, {} among them: the controller manager seems not to run",
        late.len(),
        first.object()
    );
    let value = format!("{} of generation {}", first.observed_generation, first.meta.generation);
    let finding = Finding::new(&CONTROLLER_MANAGER_DOWN, Object::new("lease", NAMESPACE, NAME), says)
        .likely("the controller manager's own pods or the provider's status page")
        .since(since)
        .seen(first.object(), "status.observedGeneration", value);
    let key = told(engine, finding);
    for one in late {
        engine.suffers(one.object(), "its latest change was not looked at", None, &vec![key]);
    }
}
