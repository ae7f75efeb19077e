//! `job`: a CronJob run by hand, what is suspended, and a Job run again.

use serde_json::{Value, json};

use crate::support::{Out, World, has_real_kubelets};

fn job(world: &World, action: &str, name: &str) -> Out {
    world.kai(&["--yes", "call", "job", &json!({"name": name, "action": action}).to_string()])
}

fn spec(image: &str, extra: &Value) -> Value {
    let mut spec = json!({"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": image, "command": ["true"]}]}}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

fn cron(world: &World, name: &str, image: &str) {
    world.create(&json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {
        "schedule": "0 3 1 1 *", "jobTemplate": {"metadata": {"labels": {"app": name}}, "spec": spec(image, &json!({}))}}}));
}

fn make(world: &World, name: &str, image: &str, extra: &Value) {
    world.create(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec(image, extra)}));
}

/// The Jobs of the namespace, by name.
fn jobs(world: &World) -> Vec<Value> {
    world.object("jobs")["items"].as_array().unwrap().clone()
}

#[test]
fn a_cronjob_runs_now_and_its_end_is_waited_for() {
    let world = World::empty("jobrun");
    cron(&world, "backup", "busybox:1.36");
    world
        .kai(&["call", "job", r#"{"name": "backup", "action": "run"}"#])
        .ends(3)
        .says("Run cronjob/backup now as job/backup-");
    world.nothing_was_written();
    job(&world, "run", "backup").ends(0).says("done in").says("Ran cronjob/backup now as job/backup-");
    let made = &jobs(&world)[0];
    let (cron, owner) = (world.object("cronjob/backup"), &made["metadata"]["ownerReferences"][0]);
    assert_eq!((&owner["uid"], &owner["controller"]), (&cron["metadata"]["uid"], &json!(true)));
    assert_eq!(made["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(made["metadata"]["labels"]["app"], "backup");
    assert_eq!(made["status"]["succeeded"], 1);
    let name = made["metadata"]["name"].as_str().unwrap();
    let mut person = world.person(&["undo"]);
    person.sees("Take back").sees("Type").types(name);
    person.ends(0);
    assert!(jobs(&world).is_empty());
}

#[test]
fn a_failure_is_told_with_the_pods_own_words_and_run_again() {
    if has_real_kubelets() {
        return; // What crashes by its name is a simulated pod.
    }
    let world = World::empty("jobfail");
    cron(&world, "report", "worker:crashloop");
    let out = job(&world, "run", "report").ends(4);
    for wanted in [
        "job/report-",
        "failed: container c of pod/report-",
        "exited with 1",
        "BackoffLimitExceeded",
        "log of pod/report-",
    ] {
        assert!(out.stdout.contains(wanted), "wanted `{wanted}` in {}", out.all());
    }
    let failed = jobs(&world)[0]["metadata"]["name"].as_str().unwrap().to_string();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    job(&world, "rerun", &failed).ends(4).says(&format!("Run job/{failed} again as job/"));
    // The CronJob keeps one failed Job only, so the older one may be gone by now.
    assert!(jobs(&world).iter().any(|j| j["metadata"]["name"] != failed.as_str()));

    cron(&world, "typo", "worker:does-not-exist");
    job(&world, "run", "typo").ends(4).says("the image worker:does-not-exist cannot be pulled");
}

#[test]
fn what_has_ended_runs_again_and_what_runs_does_not() {
    let world = World::empty("jobagain");
    make(&world, "migrate", "busybox:1.36", &json!({}));
    world.kubectl(&["wait", "--for=condition=complete", "--timeout=60s", "job/migrate"]);
    job(&world, "rerun", "migrate").ends(0).says("Ran job/migrate again as job/migrate-");
    let uids: Vec<String> =
        jobs(&world).iter().map(|j| j["spec"]["selector"]["matchLabels"].to_string()).collect();
    assert!(uids.len() == 2 && uids[0] != uids[1], "{uids:?}");
    job(&world, "run", "migrate").ends(1).says("`rerun` makes it anew");

    make(
        &world,
        "slow",
        "busybox:1.36",
        &json!({"template": {"metadata": {"annotations": {"kai-evals/ready-after": "120s"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1.36", "command": ["sleep", "120"]}]}}}),
    );
    world.kubectl(&["wait", "--for=jsonpath={.status.active}=1", "--timeout=60s", "job/slow"]);
    job(&world, "rerun", "slow").ends(7).says("has not ended yet");
    let out = world.kai(&["--yes", "call", "job", r#"{"name": "slow", "action": "suspend"}"#]).ends(3);
    assert!(
        out.all().contains("1 running pods are stopped") && out.all().contains("goes to zero"),
        "{}",
        out.all()
    );
    let mut person = world.person(&["call", "job", r#"{"name": "slow", "action": "suspend"}"#]);
    person.sees("Type").types("slow");
    assert!(person.ends(0).contains("Suspended job/slow."));
    assert_eq!(world.object("job/slow")["status"]["active"].as_u64().unwrap_or(0), 0);
    job(&world, "rerun", "slow").ends(7).says("Resume it instead");
    job(&world, "resume", "slow").ends(0).says("Resumed job/slow.");
    assert_eq!(world.object("job/slow")["spec"]["suspend"], false);
}

#[test]
fn a_schedule_is_suspended_resumed_and_taken_back() {
    let world = World::empty("jobcron");
    cron(&world, "nightly", "busybox:1.36");
    job(&world, "suspend", "nightly").ends(0).says("Suspended cronjob/nightly.");
    assert_eq!(world.object("cronjob/nightly")["spec"]["suspend"], true);
    job(&world, "suspend", "cronjob/nightly").ends(0).says("is suspended already");
    job(&world, "resume", "nightly").ends(0).says("may start at once");
    world.kai(&["undo", "--yes"]).ends(0);
    assert_eq!(world.object("cronjob/nightly")["spec"]["suspend"], true);
    make(&world, "nightly", "busybox:1.36", &json!({}));
    job(&world, "resume", "nightly").ends(1).says("fits 2 objects");
    job(&world, "run", "nigthly").ends(1).says("Did you mean nightly?");
    job(&world, "run", "deployment/x").ends(1).says("is no CronJob and no Job");
    world.kubectl(&["wait", "--for=condition=complete", "--timeout=60s", "job/nightly"]);
    job(&world, "suspend", "job/nightly").ends(7).says("has ended");
}
