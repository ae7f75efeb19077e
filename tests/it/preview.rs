//! From the words to the question: only looking; and then the write that was shown.

use serde_json::json;

use crate::support::{Out, World, kubectl};

/// Fails unless this was said, however long the lines of the terminal are.
#[track_caller]
fn told(out: &Out, text: &str) {
    let all: Vec<String> = out.all().split_whitespace().map(str::to_owned).collect();
    assert!(all.join(" ").contains(text), "wanted `{text}` in {}", out.all());
}

#[test]
fn before_the_yes_only_looking_and_after_it_the_very_write() {
    let world = World::new("preview");
    let before = world.object("deployment/backend");
    let mut person = world.person(&["scale backend to 3"]);
    person.sees("spec.replicas").sees("Apply?");
    world.nothing_was_written();
    let seen = world.proxy.requests();
    assert!(seen.iter().any(|r| r.is_dry_run()), "the preview is the API server's own");
    assert!(seen.iter().all(|r| r.is_read() || r.is_self_review() || r.is_dry_run()));
    assert_eq!(
        world.object("deployment/backend")["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    person.types("y").sees("3/3 ready");
    person.ends(0);
    let pairs = world.proxy.pairs();
    assert_eq!(pairs.len(), 1);
    let (write, shown) = &pairs[0];
    assert!(shown.is_some(), "no dry run had these bytes: {}", write.line());
    let (uid, version) = write.preconditions();
    assert_eq!(uid.as_deref(), before["metadata"]["uid"].as_str());
    assert_eq!(version.as_deref(), before["metadata"]["resourceVersion"].as_str());
    assert!(write.path.ends_with("/deployments/backend/scale"), "{}", write.path);
    assert_eq!(world.replicas(), 3);
}

#[test]
fn dry_run_and_read_only_change_nothing() {
    let world = World::new("readonly");
    world.kai(&["--dry-run", "scale backend to 3"]).ends(0).says("Previewed only");
    world.nothing_was_written();
    world.proxy.clear();
    world.kai(&["--read-only", "--yes", "scale backend to 3"]).ends(7).says("read-only");
    assert!(
        world.proxy.requests().iter().all(|r| r.is_read() || r.is_self_review()),
        "read-only sends no dry run either"
    );
    assert_eq!(world.replicas(), 2);
}

#[test]
fn a_production_context_is_read_only_until_configured() {
    let world = World::new("prodctx");
    let options = kai_evals::proxy::Options { context: "eu-prod".into(), ..Default::default() };
    let kubeconfig = world.proxy.kubeconfig_for(&options).unwrap();
    let kai = |arguments: &[&str]| {
        crate::support::run(world.command_on(kubeconfig.to_str().unwrap()).args(arguments))
    };
    kai(&["--yes", "scale backend to 3"]).ends(7).says("read-only");
    world.nothing_was_written();
    let config = world.home.path().join(".config/kai");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), "[contexts.eu-prod]\nmode = \"ask\"\n").unwrap();
    kai(&["--yes", "scale backend to 3"]).ends(3).says("waits for a person");
    world.nothing_was_written();
}

#[test]
fn owners_quotas_budgets_and_room_are_told() {
    let world = World::new("owners");
    world.create(&json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "backend"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}, "minReplicas": 2, "maxReplicas": 5}}));
    world.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "4"}}}));
    world.create(
        &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "keep"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "backend"}}}}),
    );
    std::thread::sleep(std::time::Duration::from_secs(2));
    world
        .kai(&["--dry-run", "scale backend to 8"])
        .ends(0)
        .says("hpa/backend")
        .says("keeps 2 to 5 replicas and goes back to 5")
        .says("resourcequota/few allows 4 pods, 2 used: room for 2 of 6 new pods");
    world.kai(&["--dry-run", "scale backend to 1"]).ends(0).says("pdb/keep wants 2 available");
    world.kai(&["--dry-run", "scale backend to 3"]).ends(0).says("you may patch deployments/scale");
}

#[test]
fn a_quota_below_what_is_used_says_what_it_stops() {
    let world = World::new("tight");
    world.kubectl(&["set", "resources", "deployment/backend", "--requests=cpu=30m"]);
    world.settle("backend");
    let path = world.home.path().join("quota.yaml");
    let quota =
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {hard: {requests.cpu: 30m}}\n";
    std::fs::write(&path, quota).unwrap();
    let path = path.to_str().unwrap();
    let says = "60m of 30m are used already: running pods stay";
    told(&world.kai(&["--dry-run", "apply", path]).ends(0), says);
    // The same of one that is there, by what the API server counts.
    world.kubectl(&["create", "quota", "few", "--hard=requests.cpu=1"]);
    for _ in 0..60 {
        if world.object("resourcequota/few")["status"]["used"]["requests.cpu"] == "60m" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    told(&world.kai(&["--dry-run", "apply", "--take-over", path]).ends(0), says);
    world.nothing_was_written();
}

#[test]
fn a_service_that_gets_other_pods_says_how_many_are_ready() {
    let world = World::new("switch");
    world.deploy("green", 1, "nginx:1.27");
    world.kubectl(&["expose", "deployment/backend", "--name=web", "--port=80"]);
    let path = world.home.path().join("web.yaml");
    let preview = |app: &str| {
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: {app}}}, ports: [{{port: 80, targetPort: 80}}]}}\n"
        );
        std::fs::write(&path, service).unwrap();
        world.kai(&["--dry-run", "apply", "--take-over", path.to_str().unwrap()]).ends(0)
    };
    told(&preview("green"), "service/web: 2 ready pods behind it now, 1 of 1 after");
    told(&preview("gren"), "service/web: 2 ready pods behind it now, none after: nothing answers then");
    world.nothing_was_written();
}

#[test]
fn turning_all_off_names_the_cronjobs_that_go_on() {
    let world = World::new("alloff");
    world.kubectl(&["create", "cronjob", "nightly", "--image=busybox:1.37", "--schedule=0 3 * * *"]);
    let all = json!({"workload": "*", "replicas": 0}).to_string();
    world.kai(&["call", "scale", &all, "--dry-run"]).ends(0).says("cronjob/nightly goes on starting Jobs");
    world.nothing_was_written();
}

#[test]
fn the_autoscaler_takes_back_what_is_out_of_its_range() {
    let world = World::new("hpa");
    world.create(&json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "backend"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}, "minReplicas": 1, "maxReplicas": 3}}));
    world
        .kai(&["--yes", "scale backend to 6"])
        .ends(4)
        .says("set the replicas to 3")
        .says("Take it back with");
}

#[test]
fn what_is_so_already_is_not_written() {
    let world = World::new("already");
    world.kai(&["scale backend to 2"]).ends(0).says("has 2 replicas already");
    world.nothing_was_written();
}

#[test]
fn names_are_found_or_asked_about() {
    let world = World::new("names");
    world.deploy("shop-worker", 1, "nginx:1.27");
    world.kai(&["--yes", "scale worker to 2"]).ends(0).says("worker → deployment/shop-worker");
    world.kai(&["--yes", "scale bakend to 3"]).ends(1).says("Did you mean backend");
    world.deploy("mail-worker", 1, "nginx:1.27");
    let asked = world.kai(&["--yes", "scale worker to 3"]).ends(1);
    assert!(asked.all().contains("mail-worker") && asked.all().contains("shop-worker"), "{}", asked.all());
    let elsewhere = World::empty("names2");
    elsewhere
        .kai(&["--yes", "scale backend to 3"])
        .ends(1)
        .says(&format!("deployment/backend in {}", world.namespace));
    elsewhere
        .kai(&["--yes", "-n", "no-such-namespace", "scale backend to 3"])
        .ends(1)
        .says("there is no namespace `no-such-namespace`");
    elsewhere.nothing_was_written();
}

#[test]
fn somebody_without_rights_changes_nothing() {
    let world = World::new("rights");
    world.kai_as("nobody-at-all", &["--yes", "scale backend to 3"]).ends(7).says("forbidden");
    let namespace = world.namespace.as_str();
    kubectl(&["-n", namespace, "create", "rolebinding", "look", "--clusterrole=view", "--user=onlooker"]);
    world.kai_as("onlooker", &["--yes", "scale backend to 3"]).ends(7).says("forbidden").says("onlooker");
    assert_eq!(world.replicas(), 2);
    assert!(world.proxy.writes().is_empty());
    world.kai_as("onlooker", &["show pods"]).ends(0).says("2 pods");
}

#[test]
fn all_of_a_request_is_one_plan_or_nothing() {
    let world = World::new("several");
    world.deploy("frontend", 1, "nginx:1.27");
    world.kai(&["--yes", "scale backend to 3 and frontend to 2"]).ends(0).says("2 changes");
    assert_eq!(world.proxy.writes().len(), 2);
    world.proxy.clear();
    world.kai(&["--yes", "scale backend to 4 and restart nosuch"]).ends(1).says("no workload `nosuch`");
    world.nothing_was_written();
    assert_eq!(world.replicas(), 3);
}
