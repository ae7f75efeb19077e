//! What `logs` reports of what it read.

use super::*;

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
    Heard { pod: pod.into(), choice, log }
}

#[test]
fn whose_log_and_why_this_container() {
    let report =
        Logs::default().report(&target(1), vec![heard("web-1", Ok("2026-11-21T04:00:00Z hello\n"))], 0, None);
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
    let none = Logs::default().report(&target(0), Vec::new(), 0, None);
    assert_eq!(none.say, ["deployment/web has no logs: it is scaled to 0, so it has no pods."]);
    let why = "container web is waiting: ImagePullBackOff";
    let waiting =
        Logs::default().report(&target(2), vec![heard("a", Err(why)), heard("b", Err(why))], 3, None);
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
    let report = logs.report(&target(1), vec![heard("a", Ok(log))], 0, Some(&pattern("ERR").unwrap()));
    assert!(report.say[0].starts_with("1 line matching `ERR`"), "{:?}", report.say);
    assert!(!report.for_model().contains("fine"));
    let none = logs.report(&target(1), vec![heard("a", Ok("fine\n"))], 0, Some(&pattern("ERR").unwrap()));
    assert!(none.say[0].starts_with("No log lines matching `ERR`"), "{:?}", none.say);
    let bad = pattern("(").unwrap_err().to_string();
    assert!(bad.contains("is not a regular expression: unclosed group"), "{bad}");
    assert!(pattern("(a{1000}){1000}").is_err(), "a pattern that would not fit into memory");
}
