//! Recommendations from the history that a cluster's Prometheus keeps: listed, previewed, made; and told in words where there
//! is no history that could be trusted.

mod double;

use kai_evals::proxy::Action;
use serde_json::{Value, json};

use crate::queries::{create_many, usage};
use crate::support::{Out, World, admin_kubeconfig, has_real_kubelets, run};
use double::{Answers, Row};

const MIB: u64 = 1 << 20;
const PRICES: [&str; 4] = ["--price", "cpu=0.021811", "--price", "memory=0.002923"];

/// A world with a Prometheus in it; none where that is not possible.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn world(name: &str) -> Option<World> {
    if has_real_kubelets() {
        return None;
    }
    let world = World::empty(name);
    if double::serve(&world) {
        return Some(world);
    }
    eprintln!("SKIPPED: this host has no address beside the loopback interface");
    None
}

/// A Deployment whose container requests 250m and 256Mi, with what `more` changes of its pods.
fn deploy(world: &World, name: &str, replicas: u32, more: impl FnOnce(&mut Value)) {
    let mut pod = json!({"containers": [{"name": "app", "image": "nginx:1.27",
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}}}]});
    more(&mut pod);
    world.create(
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}}),
    );
    world.settle(name);
}

/// Two weeks of every pod that there is: 40m at the 95th percentile, 90 MiB at the peak.
fn two_weeks(world: &World) -> Vec<Row> {
    let pods =
        world.kubectl(&["get", "pods", "-l", "app!=prometheus", "-o", "jsonpath={.items[*].metadata.name}"]);
    let row = |pod: &str| Row {
        pod: pod.to_owned(),
        container: "app",
        cpu: 0.04,
        memory: 90 * MIB,
        seen: (336.0, 0.0),
        points: 16128,
        killed: None,
    };
    pods.split_whitespace().map(row).collect()
}

fn rows_of<'a>(rows: &'a mut [Row], name: &str) -> impl Iterator<Item = &'a mut Row> {
    let start = format!("{name}-");
    rows.iter_mut().filter(move |r| r.pod.starts_with(&start))
}

/// `kai -n NAMESPACE cost`, and more.
fn cost<'a>(world: &'a World, more: &[&'a str]) -> Vec<&'a str> {
    [&["-n", world.namespace.as_str(), "cost"], more, &PRICES].concat()
}

/// What is recommended, as JSON.
#[track_caller]
fn document(world: &World) -> Value {
    let mut arguments = vec!["-o", "json"];
    arguments.extend(cost(world, &["--optimize"]));
    let out = world.kai(&arguments).ends(0);
    world.nothing_was_written();
    serde_json::from_str(&out.stdout).unwrap()
}

#[track_caller]
fn recommended<'a>(document: &'a Value, object: &str) -> &'a Value {
    let all = document["recommendations"].as_array().unwrap();
    let mut found = all.iter().filter(|r| r["object"] == json!(object));
    let one = found.next().unwrap_or_else(|| panic!("nothing for {object} in {document:#}"));
    assert!(found.next().is_none(), "more than one for {object} in {document:#}");
    one
}

#[track_caller]
fn near(found: &Value, wanted: f64) {
    let amount = found.as_f64().unwrap_or_else(|| panic!("{found} is no amount"));
    assert!((amount - wanted).abs() <= 1e-6, "{amount}, wanted {wanted}");
}

fn warnings(document: &Value) -> String {
    let all = document["warnings"].as_array().unwrap();
    all.iter().map(|w| w.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Lists nothing to make smaller, and says why.
#[track_caller]
fn nothing_is_recommended(world: &World, out: Out, why: &str) {
    let out = out.ends(0).says(why).says("No requests are recommended without it.");
    assert!(!out.stdout.contains("SAVES/mo"), "{}", out.stdout);
    world.nothing_was_written();
}

#[test]
fn two_weeks_of_history_make_requests_smaller() {
    let Some(world) = world("promfix") else { return };
    deploy(&world, "todo", 2, |_| {});
    let mut rows = two_weeks(&world);
    // The pods that are there came yesterday; those before them count as well, and used more.
    let gone = Row { pod: "todo-5d4f8b7c9d-x7k2p".into(), seen: (336.0, 24.0), ..rows[0].clone() };
    for row in &mut rows {
        (row.seen, row.points, row.cpu, row.memory) = ((24.0, 0.0), 1152, 0.031, 61 * MIB);
    }
    rows.push(gone);
    double::answer(&world, Answers::Table(rows));
    world
        .kai(&cost(&world, &["--optimize"]))
        .ends(0)
        .says("CPU 250m → 40m")
        .says("memory 256Mi → 104Mi")
        .says("deployment/todo: its memory limit goes with it: unset → 104Mi")
        .says("7.32")
        .says("prometheus-server:80, a figure every 75 s, and reaches over 14.0 days.");
    let found = document(&world);
    let one = recommended(&found, "deployment/todo");
    near(&one["saves"], 2.0 * 3.660361);
    assert_eq!(one["bill"].to_string(), "0.0", "nodes stay as they are: {one}");
    assert_eq!((&found["window"], &one["number"]), (&json!("14d"), &json!(1)));
    let set = json!({"workload": "deployment/todo", "namespace": world.namespace, "container": "app",
        "cpu_request": "40m", "memory_request": "104Mi", "memory_limit": "104Mi"});
    assert_eq!((&one["tool"], &one["arguments"]), (&json!("set"), &set));
    world.kai(&cost(&world, &["--fix", "2"])).ends(1).says("there is no recommendation 2: there are 1");

    let mut person = world.person(&cost(&world, &["--fix", "1"]));
    person.sees("Apply?").types("n");
    let refused = person.ends(3);
    for line in ["250m → 40m", "256Mi → 104Mi"] {
        assert!(refused.contains(line), "{refused}");
    }
    world.nothing_was_written();
    let mut person = world.person(&cost(&world, &["--fix", "1"]));
    person.sees("Apply?").types("y");
    person.ends(0);
    let write = world.the_write();
    let own = format!("/apis/apps/v1/namespaces/{}/deployments/todo", world.namespace);
    assert!(write.line().contains(&own), "{}", write.line());
    let resources =
        &world.object("deployment/todo")["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(
        resources,
        &json!({"limits": {"memory": "104Mi"}, "requests": {"cpu": "40m", "memory": "104Mi"}})
    );
}

/// The recommendations, wherever they are in an answer.
fn list_in(answer: &Value) -> Option<&Value> {
    match answer {
        Value::Object(map) => map.get("recommendations").or_else(|| map.values().find_map(list_in)),
        Value::Array(all) => all.iter().find_map(list_in),
        _ => None,
    }
}

#[test]
fn a_sentence_gives_the_same_list() {
    let Some(world) = world("promsentence") else { return };
    deploy(&world, "todo", 2, |_| {});
    double::answer(&world, Answers::Table(two_weeks(&world)));
    let list = |arguments: &[&str]| -> Value {
        let out = run(world.command().args(["-o", "json"]).args(arguments)).ends(0);
        serde_json::from_str(&out.stdout).unwrap()
    };
    let by_command = list(&["cost", "--optimize"]);
    let said = list(&["optimize resource usage"]);
    let wanted = &by_command["recommendations"];
    assert_eq!(wanted.as_array().unwrap().len(), 1, "{by_command:#}");
    assert_eq!(list_in(&said), Some(wanted), "{said:#}");
    world.nothing_was_written();
}

#[test]
fn what_else_decides_is_left_its_say() {
    let Some(world) = world("promcare") else { return };
    let limit = |pod: &mut Value| pod["containers"][0]["resources"]["limits"] = json!({"memory": "256Mi"});
    let suited = |pod: &mut Value| {
        pod["containers"][0]["resources"]["requests"] = json!({"cpu": "250m", "memory": "104Mi"});
    };
    let starting = |pod: &mut Value| {
        pod["initContainers"] = json!([{"name": "migrate", "image": "nginx:1.27",
            "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}}}]);
    };
    deploy(&world, "young", 1, |_| {});
    deploy(&world, "killed", 1, limit);
    deploy(&world, "scaled", 2, |_| {});
    deploy(&world, "steady", 2, suited);
    deploy(&world, "starting", 1, starting);
    for name in ["scaled", "steady"] {
        world.create(&json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": format!("{name}-by-cpu")}, "spec": {"minReplicas": 2, "maxReplicas": 6,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70}}}]}}));
    }
    let mut rows = two_weeks(&world);
    rows_of(&mut rows, "young").for_each(|r| (r.seen, r.points) = ((3.0, 0.0), 50));
    rows_of(&mut rows, "killed").for_each(|r| r.killed = Some(256 * MIB));
    double::answer(&world, Answers::Table(rows));
    let found = document(&world);
    let said = warnings(&found);
    assert_eq!(found["recommendations"].as_array().unwrap().len(), 3, "{found:#}");

    assert!(
        said.contains("deployment/young, app is left as it is: too little history: 50 samples over 3.0 h, and 100 samples over 24 h are needed."),
        "{said}"
    );

    let killed = recommended(&found, "deployment/killed");
    assert_eq!(killed["says"], "app: CPU 250m → 40m, memory 256Mi → 320Mi");
    let note = "it was killed for want of memory at a limit of 256 MiB: its memory is not lowered";
    assert_eq!(killed["notes"], json!([note, "its memory limit goes with it: 256Mi → 320Mi"]));
    near(&killed["saves"], 730.0 * (0.21 * 0.021811 - 0.0625 * 0.002923));

    let scaled = recommended(&found, "deployment/scaled");
    assert_eq!(scaled["says"], "app: memory 256Mi → 104Mi");
    assert_eq!(scaled["arguments"].get("cpu_request"), None, "{scaled}");
    near(&scaled["saves"], 2.0 * 730.0 * 152.0 / 1024.0 * 0.002923);
    // Two pods used 80m together: each of the fewest carries 40m at 70 % of 58m.
    let together = |name: &str| {
        format!(
            "autoscaler {name}-by-cpu keeps CPU at 70 % of the request, so another request alone would change the number of pods. Together: request 58m, 2 to 26 pods at the same 70 %; 2 then carry what all used together, 95 % of the time at most 80m"
        )
    };
    assert_eq!(scaled["notes"], json!([together("scaled"), "its memory limit goes with it: unset → 104Mi"]));
    assert!(
        said.contains("deployment/steady, app is left as it is: autoscaler steady-by-cpu steers by what it requests: change both together, or neither."),
        "{said}"
    );
    assert!(said.contains(&format!("deployment/steady, app: {}.", together("steady"))), "{said}");

    // The init container keeps the CPU, and half of the memory.
    let starting = recommended(&found, "deployment/starting");
    assert_eq!(starting["says"], "app: CPU 250m → 40m, memory 256Mi → 104Mi");
    near(&starting["saves"], 730.0 * 0.125 * 0.002923);
}

#[test]
fn a_prometheus_that_answers_badly_is_told() {
    let Some(world) = world("prombad") else { return };
    deploy(&world, "todo", 2, |_| {});
    let always = |status: u16, body: &str| Answers::Always(status, body.to_owned());
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let error = r#"{"status":"error","errorType":"internal","error":"disk is full"}"#;
    let hostile = r#"{"status":"error","errorType":"internal","error":"\u001b[2Jgone\nApproved."}"#;
    for (answers, why) in [
        (always(200, "<html>log in</html>"), "answered with something that is no answer of a Prometheus"),
        (always(200, matrix), "answered something else than was asked"),
        (always(500, error), "answered 500: disk is full"),
        (always(500, ""), "answered 500"),
        (always(403, "log in first"), "answered 403: log in first"),
        (always(302, ""), "answered 302"),
        (always(500, hostile), "gone"),
    ] {
        let shown = format!("{answers:?}");
        double::answer(&world, answers);
        let out = world.kai(&cost(&world, &["--optimize"]));
        assert!(!out.all().contains('\u{1b}'), "{shown}: {}", out.all());
        assert!(
            out.all().contains("There is no history of what is used: the Prometheus "),
            "{shown}: {}",
            out.all()
        );
        nothing_is_recommended(&world, out, why);
    }
    // The API server hangs up on kai then; without the recording proxy, which would answer something itself.
    double::answer(&world, Answers::Half);
    let direct = admin_kubeconfig();
    let out = run(world.command_on(direct.to_str().unwrap()).args(cost(&world, &["--optimize"])));
    nothing_is_recommended(&world, out, "There is no history of what is used: the Prometheus ");
    // What is no number is no figure: half a history is none.
    let mut rows = two_weeks(&world);
    rows.iter_mut().for_each(|r| r.cpu = f64::NAN);
    double::answer(&world, Answers::Table(rows));
    let out = world
        .kai(&cost(&world, &["--optimize"]))
        .ends(0)
        .says("deployment/todo, app is left as it is: no history.");
    assert!(!out.stdout.contains("SAVES/mo"), "{}", out.stdout);
    assert!(!out.all().contains("score"), "what is not known has no score: {}", out.all());
    world.kai(&cost(&world, &["--fix", "1"])).ends(1).says("there is no recommendation 1: there are 0");
    world.nothing_was_written();
}

#[test]
fn a_prometheus_that_hangs_is_left() {
    let Some(world) = world("promhang") else { return };
    deploy(&world, "todo", 1, |_| {});
    double::answer(&world, Answers::Never);
    let since = std::time::Instant::now();
    let out = world.kai(&cost(&world, &["--optimize"]));
    // Twenty seconds, and twenty for fewer samples.
    assert!(since.elapsed().as_secs() < 60, "{:?}", since.elapsed());
    nothing_is_recommended(&world, out, "did not answer within 20 s");
}

#[test]
fn who_may_not_ask_is_told_which_right_it_takes() {
    let Some(world) = world("promrights") else { return };
    deploy(&world, "todo", 1, |_| {});
    double::answer(&world, Answers::Table(two_weeks(&world)));
    let user = format!("viewer-{}", world.namespace);
    world.kubectl(&["create", "rolebinding", "viewer", "--clusterrole=view", &format!("--user={user}")]);
    let out = world.kai_as(&user, &cost(&world, &["--optimize"]));
    let out = out.says("you may not ask the cluster's Prometheus").says("get services/proxy");
    nothing_is_recommended(&world, out, "cannot get resource \"services/proxy\"");
    // With that right in the namespace alone, the Prometheus there is found and asked.
    world.kubectl(&["create", "role", "asker", "--verb=get", "--resource=services/proxy"]);
    world.kubectl(&["create", "rolebinding", "asker", "--role=asker", &format!("--user={user}")]);
    let out = world.kai_as(&user, &cost(&world, &["--optimize"])).ends(0).says("CPU 250m → 40m");
    assert!(out.all().contains("reaches over 14.0 days"), "{}", out.all());
}

#[test]
fn one_sample_recommends_nothing_and_no_prometheus_is_said() {
    if has_real_kubelets() {
        return;
    }
    usage::metrics_types();
    let world = World::empty("promnone");
    deploy(&world, "todo", 2, |_| {});
    // Other tests have a Prometheus in their namespaces: who may not see those has none.
    world.proxy.hook(|r| match r.path == "/api/v1/services" {
        true => Action::answer(403, "Forbidden", "services is forbidden"),
        false => Action::Forward,
    });
    let none = "There is no history of what is used: no Prometheus was found in this cluster.";
    nothing_is_recommended(&world, world.kai(&cost(&world, &["--optimize"])), none);
    let samples = two_weeks(&world).into_iter().map(|r| {
        let used = json!({"containers": [{"name": "app", "usage": {"cpu": "1m", "memory": "8Mi"}}]});
        usage::sample("PodMetrics", &r.pod, used)
    });
    let samples: Vec<Value> = samples.collect();
    create_many(&format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", world.namespace), samples);
    let out = world.kai(&cost(&world, &["--optimize"]));
    let out = out.says("is requested and not used at this moment");
    nothing_is_recommended(&world, out, none);
    assert_eq!(document(&world)["usage"], "one sample of metrics-server: a moment, not a trend");
}
