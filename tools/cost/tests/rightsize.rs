//! What is recommended from what was used, worked out by hand; and when nothing is.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use kai_cost::cluster::{Range, Size, Workload};
use kai_cost::rightsize::{Advice, History, Preset, Severity, recommend, score};
use kai_cost::units::{Bytes, Millicores};
use support::*;

fn mib(n: i64) -> Bytes {
    Bytes(n << 20)
}

/// A workload of two pods with one container `c`.
fn workload(millicores: i64, memory: i64) -> Workload {
    Workload {
        object: object("todo-app", "backend"),
        replicas: 2,
        shape: shape(size(millicores, memory)),
        range: None,
        scaler: None,
        vertical: BTreeMap::new(),
    }
}

/// Two weeks of one container.
fn used(millicores: i64, peak: Bytes) -> History {
    History {
        points: 10_000,
        hours: 336.0,
        cpu_p95: Millicores(millicores),
        memory_peak: peak,
        ..History::default()
    }
}

fn advice(workload: &Workload, history: History, preset: Preset) -> Advice {
    recommend(workload, &[("c".to_owned(), history)].into(), preset).remove(0)
}

fn kai(workload: &Workload, history: History) -> Advice {
    advice(workload, history, Preset::Kai)
}

#[test]
fn the_worked_example_and_what_it_saves() {
    let found = kai(&workload(250, 256), used(40, mib(90)));
    assert_eq!(found.current, (Some(Millicores(250)), Some(mib(256))));
    assert_eq!(found.recommended, Some((Millicores(40), mib(104))));
    assert_eq!((found.memory_limit, found.kept.as_deref()), (Some(mib(104)), None));
    assert_eq!(found.severity, Severity::Ok);
    let saved = rates(0.021811, 0.002923).of(found.freed()).total();
    for (pods, wanted) in [(1.0, 3.660361), (2.0, 7.320722), (6.0, 21.962165)] {
        let found = (saved * pods).0;
        assert!((found - wanted).abs() < 1e-6, "found {found}, wanted {wanted}");
    }
}

#[test]
fn memory_is_rounded_up_and_floors_hold() {
    let of = |peak: Bytes, preset| advice(&workload(250, 900), used(1, peak), preset).recommended.unwrap();
    // 100 MiB and 15 % are 115 MiB exactly; one byte more is another MiB.
    assert_eq!(of(mib(100), Preset::Kai), (Millicores(10), mib(115)));
    assert_eq!(of(Bytes((100 << 20) + 1), Preset::Kai).1, mib(116));
    assert_eq!(of(mib(5), Preset::Kai), (Millicores(10), mib(32)));
    assert_eq!(of(mib(5), Preset::Krr), (Millicores(10), mib(100)));
    assert_eq!(of(Bytes(i64::MAX), Preset::Kai).1.0, i64::MAX, "no overflow");
}

#[test]
fn a_short_history_recommends_nothing() {
    for (points, hours) in [(99, 336.0), (10_000, 23.9), (0, 0.0), (10_000, f64::NAN)] {
        let found = kai(&workload(250, 256), History { points, hours, ..used(40, mib(90)) });
        assert_eq!((found.recommended, found.severity), (None, Severity::Unknown), "{points} {hours}");
        assert!(found.kept.unwrap().starts_with("too little history"), "{points} {hours}");
    }
    let enough = History { points: 100, hours: 24.0, ..used(40, mib(90)) };
    assert!(kai(&workload(250, 256), enough).recommended.is_some());
    let none = recommend(&workload(250, 256), &BTreeMap::new(), Preset::Kai).remove(0);
    assert_eq!((none.recommended, none.kept.as_deref()), (None, Some("no history")));
}

#[test]
fn what_was_killed_is_never_given_less() {
    let killed = |limit| History { oom_limit: Some(mib(limit)), ..used(250, mib(90)) };
    // The limit and a quarter, also where the peak that was seen is far below.
    let found = kai(&workload(250, 100), killed(100));
    assert_eq!((found.recommended, found.memory_limit), (Some((Millicores(250), mib(125))), Some(mib(125))));
    assert!(found.notes[0].contains("killed for want of memory at a limit of 100 MiB"), "{:?}", found.notes);
    // A small step is no noise here.
    assert_eq!(kai(&workload(250, 32), killed(32)).recommended.unwrap().1, mib(104));
    assert_eq!(
        kai(&workload(250, 40), History { memory_peak: mib(10), ..killed(36) }).recommended.unwrap().1,
        mib(45)
    );
    // It requests more than that already.
    assert!(kai(&workload(250, 512), killed(100)).recommended.is_none());
    // A limit that was raised since stays.
    let mut raised = workload(250, 100);
    raised.shape.containers[0].memory_limit = Some(mib(512));
    let found = kai(&raised, killed(256));
    assert_eq!((found.recommended.unwrap().1, found.memory_limit), (mib(320), Some(mib(512))));
}

#[test]
fn what_is_near_enough_stays() {
    let kept = |now: (i64, i64), history: History| {
        let found = kai(&workload(now.0, now.1), history);
        assert_eq!(found.recommended.is_none(), found.kept.is_some());
        found.recommended.is_none()
    };
    // 10m and 16 MiB, or a tenth.
    assert!(kept((50, 120), used(40, mib(90))));
    assert!(!kept((51, 120), used(40, mib(90))));
    assert!(!kept((50, 121), used(40, mib(90))));
    assert!(kept((1000, 1000), used(900, mib(783))));
    assert!(!kept((1000, 1000), used(899, mib(783))));
    // Both ways; but more used than requested is told, however little.
    assert!(kept((40, 90), used(50, mib(90))));
    assert!(!kept((40, 89), used(50, mib(90))));
    // One of both near: it stays, and its limit too.
    let found = kai(&workload(500, 110), used(40, mib(90)));
    assert_eq!((found.recommended, found.memory_limit), (Some((Millicores(40), mib(110))), None));
}

#[test]
fn what_is_not_set_is_set() {
    let mut bare = workload(0, 0);
    bare.shape = kai_cost::read::shape(&serde_json::json!({"containers": [{"name": "c"}]}));
    let found = kai(&bare, used(40, mib(90)));
    assert_eq!((found.current, found.severity), ((None, None), Severity::Warning));
    assert_eq!(found.recommended, Some((Millicores(40), mib(104))));
    assert_eq!(found.freed(), size(-40, -104));
}

fn scaled(cpu_target: Option<i64>, memory_target: Option<i64>) -> Workload {
    let range = Range { min: 2, max: 10, cpu_target, memory_target };
    Workload { range: Some(range), scaler: Some("web".into()), ..workload(500, 512) }
}

#[test]
fn an_autoscaler_on_cpu_is_asked_first() {
    let history = History { cpu_p95_sum: Some(Millicores(384)), ..used(40, mib(90)) };
    let found = kai(&scaled(Some(80), None), history.clone());
    // CPU stays when set alone; memory is not what it steers by.
    assert_eq!(found.recommended, Some((Millicores(500), mib(104))));
    // 384m over 2 pods at 80 % are 240m each; 10 pods of 500m are 21 of 240m.
    let together = found.together.unwrap();
    assert_eq!((together.cpu, together.memory, together.max), (Some(Millicores(240)), None, 21));
    assert_eq!(together.scaler.as_deref(), Some("web"));
    let note = found.notes.last().unwrap();
    assert!(note.starts_with("autoscaler web keeps CPU at 80 % of the request, so"), "{note}");
    assert!(note.contains("request 240m, 2 to 21 pods") && note.contains("384m"), "{note}");
    // Nothing but CPU to change: nothing is recommended by itself, and it is said why.
    let found = kai(&scaled(Some(80), None), History { memory_peak: mib(440), ..history.clone() });
    assert!(found.recommended.is_none() && found.together.is_some());
    assert!(found.kept.unwrap().contains("change both together"));
    // The sum is not known: no pair.
    let found = kai(&scaled(Some(80), None), used(40, mib(90)));
    assert!(found.together.is_none() && found.notes[0].ends_with("is not known"), "{:?}", found.notes);
    // One that counts something else is in nobody's way, and a minimum of 0 counts as 1.
    assert_eq!(kai(&scaled(None, None), history.clone()).recommended, Some((Millicores(40), mib(104))));
    let mut zero = scaled(Some(80), None);
    zero.range.as_mut().unwrap().min = 0;
    assert!(kai(&zero, history).together.is_none(), "480m is near 500m");
}

#[test]
fn an_autoscaler_on_memory_likewise() {
    let history = History { memory_peak_sum: Some(mib(320)), ..used(40, mib(90)) };
    let found = kai(&scaled(None, Some(80)), history.clone());
    assert_eq!((found.recommended, found.memory_limit), (Some((Millicores(40), mib(512))), None));
    let together = found.together.unwrap();
    assert_eq!((together.cpu, together.memory, together.max), (None, Some(mib(200)), 26));
    // No pod's own peak may be above what becomes its limit.
    let found = kai(&scaled(None, Some(80)), History { memory_peak: mib(200), ..history.clone() });
    assert_eq!(found.together.unwrap().memory, Some(mib(230)));
    // What was killed gets more, whoever steers.
    let found = kai(&scaled(None, Some(80)), History { oom_limit: Some(mib(512)), ..history });
    assert_eq!((found.recommended.unwrap().1, found.together), (mib(640), None));
}

#[test]
fn a_vertical_autoscaler_is_shown_beside() {
    let mut both = workload(250, 256);
    both.vertical.insert("c".into(), size(60, 250));
    let found = kai(&both, used(40, mib(90)));
    assert_eq!(found.notes, ["the VerticalPodAutoscaler's target is 60m and 250 MiB"]);
}

#[test]
fn severity_score_and_letter() {
    let severity = |now: (i64, i64)| kai(&workload(now.0, now.1), used(40, mib(90))).severity;
    for (now, wanted) in [
        ((40, 104), Severity::Good),
        ((139, 104), Severity::Good),
        ((140, 104), Severity::Ok),
        ((290, 104), Severity::Warning),
        ((540, 104), Severity::Critical),
        ((40, 204), Severity::Ok),
        ((40, 354), Severity::Warning),
        ((40, 604), Severity::Critical),
    ] {
        assert_eq!(severity(now), wanted, "{now:?}");
    }
    assert_eq!(score(&[]), None);
    let all = |critical: usize, warning: usize, good: usize| {
        let of = |now, n| vec![kai(&workload(now, 104), used(40, mib(90))); n];
        let advices: Vec<Advice> =
            [of(540, critical), of(290, warning), of(40, good)].into_iter().flatten().collect();
        score(&advices).unwrap()
    };
    for ((critical, warning, good), wanted) in [
        ((0, 0, 4), (100, 'A')),
        ((0, 1, 9), (93, 'A')),
        ((1, 0, 9), (90, 'A')),
        ((1, 1, 1), (43, 'D')),
        ((0, 1, 2), (76, 'B')),
        ((1, 0, 1), (50, 'D')),
        ((1, 0, 2), (66, 'C')),
        ((0, 1, 0), (30, 'D')),
        ((1, 0, 0), (0, 'F')),
    ] {
        assert_eq!(all(critical, warning, good), wanted, "{critical} {warning} {good}");
    }
}

#[test]
fn a_pod_follows_its_containers_where_they_decide_its_size() {
    let requests = |cpu: &str, memory: &str| serde_json::json!({"requests": {"cpu": cpu, "memory": memory}});
    let spec = |more: serde_json::Value| {
        let mut spec = serde_json::json!({"containers": [
            {"name": "app", "resources": requests("250m", "256Mi")},
            {"name": "side", "resources": requests("50m", "64Mi")}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        kai_cost::read::shape(&spec)
    };
    let init = |cpu: &str, memory: &str, restarts: &str| {
        serde_json::json!({"initContainers": [
            {"name": "i", "restartPolicy": restarts, "resources": requests(cpu, memory)}]})
    };
    for (more, before, after) in [
        (serde_json::json!({}), (300, 320), (90, 168)),
        (serde_json::json!({"overhead": {"cpu": "10m", "memory": "8Mi"}}), (310, 328), (100, 176)),
        (init("100m", "100Mi", "Always"), (400, 420), (190, 268)),
        (init("250m", "200Mi", ""), (300, 320), (250, 200)),
        (init("1", "1Gi", ""), (1000, 1024), (1000, 1024)),
        (serde_json::json!({"resources": requests("500m", "512Mi")}), (500, 512), (500, 512)),
        (serde_json::json!({"resources": {"requests": {"cpu": "500m"}}}), (500, 320), (500, 168)),
    ] {
        let size = |(cpu, mib): (i64, i64)| Size::new(cpu, mib << 20);
        let mut shape = spec(more.clone());
        assert_eq!(shape.size, size(before), "{more}");
        shape.resize("app", Millicores(40), Bytes(104 << 20));
        assert_eq!(shape.size, size(after), "{more}");
        shape.resize("none", Millicores(1), Bytes(1));
        assert_eq!(shape.size, size(after), "{more}");
    }
}
