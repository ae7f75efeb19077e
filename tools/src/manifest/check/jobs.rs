//! Jobs and CronJobs: how their pods are restarted, and when they run.

use super::pods::Pods;
use super::set::{Set, kind_of};
use crate::manifest::Document;
use crate::object::text;

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        restart(set, &pods);
    }
    for d in set.of("cronjob") {
        schedule(set, d);
    }
}

fn restart(set: &Set<'_>, pods: &Pods<'_>) {
    let said = text(pods.spec, "/restartPolicy");
    let path = pods.path("/restartPolicy");
    match kind_of(pods.doc).as_str() {
        "job" | "cronjob" if !matches!(said, "OnFailure" | "Never") => {
            let shown = if said.is_empty() { "not given (so Always)" } else { said };
            let says =
                format!("restartPolicy is {shown}: the API server refuses that for a {}", pods.doc.kind());
            set.problem("restart-policy", pods.doc, &path, says, "Write restartPolicy: OnFailure or Never");
        }
        "deployment" | "statefulset" | "daemonset" | "replicaset" if !matches!(said, "" | "Always") => {
            let says =
                format!("restartPolicy is {said}: the API server refuses that for a {}", pods.doc.kind());
            set.problem(
                "restart-policy",
                pods.doc,
                &path,
                says,
                "Leave restartPolicy out; for what ends by itself, make a Job",
            );
        }
        _ => {}
    }
}

fn schedule(set: &Set<'_>, d: &Document) {
    let said = text(&d.value, "/spec/schedule");
    if said.is_empty() {
        return;
    }
    if let Err(why) = cron(said) {
        let says = format!("the schedule `{said}` {why}: the API server refuses it");
        let fix = "Write minute hour day month weekday, such as \"0 3 * * *\", or @daily";
        set.problem("cron-schedule", d, "/spec/schedule", says, fix);
    }
}

/// Whether a schedule can be read: five fields, or a name.
fn cron(said: &str) -> Result<(), String> {
    const NAMES: [&str; 8] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every"];
    if said.starts_with('@') {
        let word = said.split_whitespace().next().unwrap_or("");
        return if NAMES.contains(&word) { Ok(()) } else { Err("has a name that there is not".into()) };
    }
    if said.contains("TZ=") {
        return Err("names a time zone, which belongs into spec.timeZone".into());
    }
    let fields: Vec<&str> = said.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("has {} fields and not 5", fields.len()));
    }
    const RANGES: [(&str, u32, u32); 5] =
        [("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 6)];
    for (field, (name, low, high)) in fields.iter().zip(RANGES) {
        for part in field.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
            let is_value = |v: &str| {
                v.parse::<u32>().map_or_else(
                    |_| {
                        matches!(name, "month" | "weekday")
                            && v.len() == 3
                            && v.bytes().all(|b| b.is_ascii_alphabetic())
                    },
                    |n| (low..=high).contains(&n),
                )
            };
            let fits = matches!(range, "*" | "?") || range.split('-').all(is_value);
            let steps = step.is_none_or(|s| s.parse::<u32>().is_ok_and(|n| n > 0));
            if !fits || !steps {
                return Err(format!("has `{part}` as its {name}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::cron;
    use crate::manifest::check::tests::{finds, quiet};

    #[test]
    fn restarts() {
        let of = |kind: &str, policy: &str| {
            format!(
                "apiVersion: x\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{template: {{spec: {{{policy}containers: []}}}}}}\n"
            )
        };
        finds(&of("Job", ""), "", "restart-policy", &["not given (so Always)", "OnFailure or Never"]);
        finds(&of("Deployment", "restartPolicy: Never, "), "", "restart-policy", &["make a Job"]);
        for good in [
            of("Job", "restartPolicy: Never, "),
            of("Deployment", ""),
            of("Deployment", "restartPolicy: Always, "),
        ] {
            quiet(&good, "", "restart-policy");
        }
    }

    #[test]
    fn schedules() {
        for good in
            ["0 3 * * *", "*/5 * * * 1-5", "0 0 1,15 JAN-MAR mon", "@daily", "@every 1h", "30 4 ? * 0"]
        {
            assert_eq!(cron(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            ("0 3 * *", "4 fields"),
            ("60 * * * *", "`60` as its minute"),
            ("0 25 * * *", "hour"),
            ("* * * * 8", "weekday"),
            ("*/0 * * * *", "*/0"),
            ("@never", "name"),
            ("a b c d e", "minute"),
        ] {
            assert!(cron(bad).unwrap_err().contains(says), "{bad}");
        }
        let job = |schedule: &str| {
            format!(
                "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec: {{schedule: '{schedule}'}}\n"
            )
        };
        finds(&job("every day"), "", "cron-schedule", &["has 2 fields and not 5", "@daily"]);
        quiet(&job("@hourly"), "", "cron-schedule");
    }
}
