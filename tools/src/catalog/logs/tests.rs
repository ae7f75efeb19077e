//! What `logs` reports of what it read.

use serde_json::json;

use super::*;
use crate::cluster::resolve::Resolved;

fn target(replicas: i64) -> Resolved {
    let kind = builtin("deployment");
    Resolved {
        object: kind.object("todo", "web"),
        kind,
        live: json!({"spec": {"replicas": replicas}}),
        note: None,
    }
}

fn heard(pod: &str, log: Result<&str, &str>) -> Heard {
    let choice = Choice { container: "web".into(), because: "the first of 2".into() };
    let log = log.map(|l| fold::lines(l, pod, 50)).map_err(String::from);
    Heard { pod: pod.into(), short: pod.trim_start_matches("web-").into(), choice, log, partly: false }
}

#[test]
fn whose_log_and_why_this_container() {
    let report = tell::report(
        &Logs::default(),
        &target(1),
        vec![heard("web-1", Ok("2026-11-21T04:00:00Z hello\n"))],
        0,
        None,
    );
    assert_eq!(
        report.say,
        [
            "1 line from 04:00:00 to 04:00:00 UTC: deployment/web in todo, 1 pod, container web (the first of 2)."
        ]
    );
    assert!(report.for_model().ends_with("log of deployment/web\nhello"), "{}", report.for_model());
}

#[test]
fn silence_is_explained() {
    let none = tell::report(&Logs::default(), &target(0), Vec::new(), 0, None);
    assert_eq!(none.say, ["deployment/web has no logs: it is scaled to 0, so it has no pods."]);
    let why = "container web is waiting: ImagePullBackOff";
    let waiting =
        tell::report(&Logs::default(), &target(2), vec![heard("a", Err(why)), heard("b", Err(why))], 3, None);
    assert_eq!(
        waiting.say,
        [
            "3 more pods were not read; name one as pod/x.",
            "No log of pod/a, pod/b: container web is waiting: ImagePullBackOff."
        ]
    );
    assert!(waiting.blocks.is_empty());
}

#[test]
fn grep_keeps_what_matches() {
    let logs = Logs { grep: Some("ERR".into()), ..Logs::default() };
    let log = "2026-11-21T04:00:00Z fine\n2026-11-21T04:00:01Z some error\n";
    let report =
        tell::report(&logs, &target(1), vec![heard("a", Ok(log))], 0, Some(&Pattern::of("ERR").unwrap()));
    assert!(report.say[0].starts_with("1 line matching `ERR`"), "{:?}", report.say);
    assert!(!report.for_model().contains("fine"));
    let none = tell::report(
        &logs,
        &target(1),
        vec![heard("a", Ok("fine\n"))],
        0,
        Some(&Pattern::of("ERR").unwrap()),
    );
    assert!(none.say[0].starts_with("No log lines matching `ERR`"), "{:?}", none.say);
}

#[test]
fn lines_of_several_pods_say_whose_they_are() {
    let log = "2026-11-21T04:00:00Z up\n";
    let said = |pods: [&str; 2]| {
        let heard = pods.map(|p| heard(p, Ok(&log.replace("up", &format!("up {p}"))))).into();
        tell::report(&Logs::default(), &target(2), heard, 0, None).for_model()
    };
    assert!(said(["web-x2x9k", "web-p4q7z"]).contains("[x2x9k] up web-x2x9k"));
    assert!(said(["web-same", "same"]).contains("[web-same] up web-same"), "short names that are not alone");
}

#[test]
fn a_log_that_was_read_in_part_says_so() {
    let mut one = heard("a", Ok("2026-11-21T04:00:00Z up\n"));
    one.partly = true;
    let report = tell::report(&Logs::default(), &target(1), vec![one], 0, None);
    assert!(
        report.say[1].contains("10000 lines or 4 MiB were looked through, and there is more"),
        "{:?}",
        report.say
    );
}
