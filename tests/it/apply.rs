//! Manifests and typed deployments, from preview to undo.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Person, World, kubectl};

/// A Deployment with its Service, as a manifest.
fn web(image: &str, env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: web\n        image: {image}\n        env: [{env}]\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"
    )
}

fn write(world: &World, name: &str, text: &str) -> String {
    let path: PathBuf = world.home.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_manifest_is_previewed_applied_and_taken_back() {
    let world = World::empty("apply");
    let path = write(&world, "web.yaml", &[web("nginx:1.27", ""), service("web")].concat());
    world
        .kai(&["apply", &path])
        .ends(3)
        .says("+ deployment/web")
        .says("+ service/web")
        .says("image nginx:1.27");
    world.nothing_was_written();
    world.kai(&["apply", "-f", &path, "--yes"]).ends(0).says("2/2 ready").says("Applied");
    let live = world.kubectl(&["get", "deployment/web", "-o", "json", "--show-managed-fields"]);
    let live: Value = serde_json::from_str(&live).unwrap();
    let managers = live["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|m| m["manager"] == "kai" && m["operation"] == "Apply"), "{managers:?}");
    world.proxy.clear();
    world.kai(&["apply", &path, "--yes"]).ends(0).says("Nothing to change");
    world.nothing_was_written();
    write(&world, "web.yaml", &[web("nginx:1.28", ""), service("web")].concat());
    let out = world.kai(&["apply", &path, "--yes"]).ends(0).says("nginx:1.27 → nginx:1.28");
    assert!(!out.stderr.contains("~ service/web"), "what does not change is not shown: {}", out.stderr);
    world.kai(&["undo", "--yes"]).ends(0).says("nginx:1.28 → nginx:1.27");
    // What was made is deleted: that wants the name.
    world.kai(&["undo", "--yes"]).ends(3).says("- deployment/web").says("- service/web");
    let mut person = world.person(&["undo"]);
    person.sees("- deployment/web").sees("Type").types(&world.namespace);
    person.ends(0);
    assert_eq!(world.kubectl(&["get", "deployments,services", "-o", "name"]).trim(), "");
}

#[test]
fn what_an_object_has_already_need_not_be_in_a_manifest() {
    let world = World::empty("partmanifest");
    world.kubectl(&["create", "cronjob", "nightly", "--image=busybox:1.37", "--schedule=0 3 * * *"]);
    let text = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {schedule: '0 3 * * *', timeZone: Europe/Berlin}\n";
    let path = write(&world, "nightly.yaml", text);
    let out = world.kai(&["apply", &path]).ends(3).says("spec.timeZone").says("Europe/Berlin");
    assert!(!out.all().contains("is missing"), "{}", out.all());
    write(&world, "nightly.yaml", &text.replace("name: nightly", "name: daily"));
    world.kai(&["apply", &path]).says("jobTemplate is missing");
    world.nothing_was_written();
}

#[test]
fn fields_of_others_are_taken_only_by_a_second_yes_that_names_them() {
    let world = World::empty("conflict");
    let path = write(&world, "web.yaml", &web("nginx:1.27", ""));
    world.kai(&["apply", &path, "--yes"]).ends(0);
    world.kubectl(&["scale", "deployment/web", "--replicas=4"]);
    world.proxy.clear();
    world.kai(&["apply", &path, "--yes"]).ends(7).says("kubectl manages spec.replicas").says("--take-over");
    world.kai(&["apply", &path, "--take-over", "--yes"]).ends(3).says("spec.replicas from kubectl");
    world.nothing_was_written();
    let mut person = world.person(&["apply", &path, "--take-over"]);
    person.sees("spec.replicas from kubectl").sees("Type").types("web");
    person.ends(0);
    assert_eq!(world.object("deployment/web")["spec"]["replicas"], 2);
    assert!(world.proxy.writes().iter().all(|w| w.line().contains("force=true")));
}

#[test]
fn what_is_not_there_yet_is_said_to_be_not_previewable() {
    let world = World::empty("tiers");
    let namespace = format!("{}-new", world.namespace);
    let text = format!(
        "{}---\n{}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n",
        web("nginx:1.27", "")
            .replace("name: web\nspec", &format!("name: web\n  namespace: {namespace}\nspec")),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: NS}\ndata: {a: b}\n"
            .replace("NS", &namespace),
    );
    let path = write(&world, "all.yaml", &text);
    let mut person = world.person(&["apply", &path]);
    let seen = person.sees("Apply?").types("y").sees("Applied");
    seen.sees("Take it back");
    let seen = person.ends(0);
    assert!(
        seen.contains(&format!("not previewable: this plan makes namespace/{namespace} first")),
        "{seen}"
    );
    let order: Vec<String> = world.proxy.writes().iter().map(|w| w.line()).collect();
    let at = |what: &str| order.iter().position(|l| l.contains(what)).unwrap();
    assert!(
        at("/api/v1/namespaces/") < at("configmaps") && at("configmaps") < at("deployments"),
        "{order:?}"
    );
    kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
}

/// A Role with one right and the binding that gives it to a ServiceAccount, the binding first.
fn rights(verb: &str, role: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: ci}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role}}}\nsubjects: [{{kind: ServiceAccount, name: ci, namespace: default}}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: ci-deploy}}\nrules: [{{apiGroups: [apps], resources: [deployments], verbs: [{verb}]}}]\n"
    )
}

#[test]
fn a_role_and_its_binding_are_one_plan() {
    let world = World::empty("binding");
    world.kubectl(&["create", "rolebinding", "owner", "--clusterrole=admin", "--user=owner"]);
    let options = kai_evals::proxy::Options { impersonate: Some("owner".into()), ..Default::default() };
    let kubeconfig = world.proxy.kubeconfig_for(&options).unwrap();
    // What the user does not hold, and a role that nobody makes, are refused as before.
    let path = write(&world, "rights.yaml", &rights("impersonate", "ci-deploy"));
    world.kai_as("owner", &["--allow", "control-plane", "apply", &path]).ends(7).says("not currently held");
    let path = write(&world, "rights.yaml", &rights("get", "another"));
    world.kai_as("owner", &["--allow", "control-plane", "apply", &path]).ends(7).says("not found");
    let path = write(&world, "rights.yaml", &rights("get", "ci-deploy"));
    world
        .kai_as("owner", &["--allow", "control-plane", "--yes", "apply", &path])
        .ends(3)
        .says("not previewable: this plan makes role/ci-deploy first");
    world.nothing_was_written();
    let mut command = world.command_on(kubeconfig.to_str().unwrap());
    command.args(["--allow", "control-plane", "apply", &path]);
    let mut person = Person::at(command);
    person.sees("role/ci-deploy first").sees("Type").types(&world.namespace);
    person.ends(0);
    assert_eq!(world.object("rolebinding/ci")["roleRef"]["name"], "ci-deploy");
    // Whoever may bind any role is shown what the API server says of the binding.
    let path = write(&world, "rights.yaml", &rights("get", "ci-deploy").replace("name: ci", "name: cd"));
    let out = world.kai(&["--allow", "control-plane", "apply", &path]).ends(3);
    assert!(!out.all().contains("not previewable"), "{}", out.all());
}

#[test]
fn workloads_wait_for_those_they_speak_to() {
    let world = World::empty("order");
    let redis = web("redis:7", "").replace("web", "redis");
    let text = [
        web("nginx:1.27", "{name: REDIS, value: 'redis://redis:6379'}"),
        service("redis"),
        "---\n".into(),
        redis.clone(),
    ]
    .concat();
    let path = write(&world, "all.yaml", &text);
    world
        .kai(&["apply", &path, "--yes"])
        .ends(0)
        .says("waits for deployment/redis: env REDIS names service/redis");
    // One that does not come up holds the others back, and what was done is told.
    let world = World::empty("stuck");
    let text = text.replace("image: redis:7", "image: redis:crashloop");
    let path = write(&world, "all.yaml", &text);
    world.kai(&["apply", &path, "--yes"]).ends(5).says("deployment/redis").says("deployment/web");
    assert!(!world.kubectl(&["get", "deployments", "-o", "name"]).contains("web"));
}

#[test]
fn refusals_of_the_api_server_are_told_before_anything_is_done() {
    let world = World::new("refused");
    let other = web("nginx:1.27", "").replace("name: web\nspec", "name: backend\nspec");
    let path = write(&world, "immutable.yaml", &other);
    world
        .kai(&["apply", &path, "--take-over", "--yes"])
        .ends(7)
        .says("field is immutable")
        .says("delete the object and make it again");
    let path = write(&world, "strict.yaml", &web("nginx:1.27", "").replace("replicas", "replica"));
    world.kai(&["apply", &path, "--yes"]).says("replica");
    world.kubectl(&["create", "quota", "q", "--hard=configmaps=1"]);
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let path = write(&world, "cm.yaml", cm);
    world.kai(&["apply", &path, "--yes"]).ends(7).says("exceeded quota");
    let path = write(
        &world,
        "psp.yaml",
        "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata:\n  name: p\n",
    );
    world.kai(&["apply", &path, "--yes"]).ends(1).says("psp.yaml:1").says("PodSecurityPolicy");
    let path = write(&world, "broken.yaml", "apiVersion: v1\nkind: [\n");
    world.kai(&["apply", &path, "--yes"]).ends(1).says("broken.yaml:");
    world.kai(&["apply", "/nonexistent/x.yaml"]).ends(2).says("no such file");
    world.nothing_was_written();
}

#[test]
fn powers_and_secrets_are_off_until_allowed_and_then_want_the_name() {
    let world = World::empty("powers");
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2-canary}\n";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: []\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostPID: true, containers: [{name: c, image: x}]}\n";
    for (text, allow, name, says) in [
        (secret, "secrets", "s", "kai does not write Secrets"),
        (role, "control-plane", "r", "who may do what"),
        (pod, "control-plane", "p", "power over its node"),
    ] {
        let path = write(&world, "power.yaml", text);
        let out = world.kai(&["apply", &path, "--yes"]).ends(7).says(says).says(&format!("--allow {allow}"));
        assert!(!out.all().contains("hunter2-canary"));
        let out = world.kai(&["apply", &path, "--yes", "--allow", allow]).ends(3);
        assert!(!out.all().contains("hunter2-canary"));
        world.nothing_was_written();
        if name != "p" {
            let mut person = world.person(&["apply", &path, "--allow", allow]);
            person.sees("Type").types(name);
            assert!(!person.ends(0).contains("hunter2-canary"));
            world.proxy.clear();
        }
    }
    assert!(world.kubectl(&["get", "secret", "s", "-o", "name"]).contains("secret/s"));
    let journal = std::fs::read_to_string(world.home.path().join(".local/state/kai/journal.jsonl")).unwrap();
    assert!(!journal.contains("hunter2-canary"));
}

#[test]
fn a_model_reads_only_below_its_folder_and_a_pipe_is_a_manifest() {
    let world = World::empty("stdin");
    let mut command = world.command();
    command.args(["apply", "-", "--yes"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: piped}\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(world.kubectl(&["get", "configmap", "piped", "-o", "name"]).contains("piped"));
}

#[test]
fn a_name_alone_is_looked_for_below_the_folder() {
    let world = World::empty("folder");
    write(&world, "deploy/todo-app/web.yaml", &web("nginx:1.27", ""));
    let run = |words: &str| {
        crate::support::run(world.command().current_dir(world.home.path()).args(["--yes", words]))
    };
    run("deploy todo app").ends(0).says("todo → deploy/todo-app").says("2/2 ready");
    write(&world, "k8s/todo/web.yaml", &web("nginx:1.28", ""));
    run("deploy todo app").ends(1).says("several folders").says("k8s/todo");
    run("deploy billing app").ends(1).says("say which image");
}

fn call(tool: &str, arguments: Value) -> Vec<String> {
    vec!["call".into(), tool.into(), arguments.to_string(), "--yes".into()]
}

fn deploy(world: &World, arguments: Value) -> crate::support::Out {
    let arguments = call("deploy", arguments);
    world.kai(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn an_image_becomes_a_workload_with_what_was_asked_and_nothing_else() {
    let world = World::empty("deploy");
    deploy(&world, json!({"name": "frontend", "image": "todo-frontend:v1", "replicas": 2, "ports": [3000]}))
        .ends(0)
        .says("default")
        .says("2/2 ready")
        .says("Deployed frontend");
    let all = world.kubectl(&["get", "deployments,services,hpa,ingress,pvc,serviceaccounts", "-o", "name"]);
    assert_eq!(all.trim(), "deployment.apps/frontend\nservice/frontend\nserviceaccount/default");
    // The same again changes nothing; another image changes one field.
    deploy(&world, json!({"name": "frontend", "image": "todo-frontend:v1", "replicas": 2}))
        .ends(0)
        .says("Nothing to change");
    let before = world.object("deployment/frontend")["spec"].clone();
    deploy(&world, json!({"name": "frontend", "image": "todo-frontend:v2"}))
        .ends(0)
        .says("v1 → todo-frontend:v2");
    let mut wanted = before;
    wanted["template"]["spec"]["containers"][0]["image"] = json!("todo-frontend:v2");
    assert_eq!(world.object("deployment/frontend")["spec"], wanted);
    world.kai(&["undo", "--yes"]).ends(0);
    // The same image elsewhere says its port.
    deploy(&world, json!({"name": "twin", "image": "todo-frontend:v3"}))
        .ends(0)
        .says("port 3000: deployment/frontend")
        .says("no Service: none was asked for; say `port 3000`");
    let all = world.kubectl(&["get", "services", "-o", "name"]);
    assert_eq!(all.trim(), "service/frontend", "a port that others declare makes no Service");
    // One that is there is left as it is.
    world.kubectl(&["create", "service", "clusterip", "third", "--tcp=80:3000"]);
    deploy(&world, json!({"name": "third", "image": "todo-frontend:v3"}))
        .ends(0)
        .says("service/third is there already and picks these pods");
    assert_eq!(world.object("service/third")["spec"]["ports"][0]["port"], 80);
}

#[test]
fn everything_that_can_be_asked_for() {
    let world = World::empty("deployall");
    deploy(
        &world,
        json!({"name": "api", "image": "api:1.2", "ports": [8000], "min_replicas": 2, "max_replicas": 5, "cpu_target": 70,
            "memory_target": 80, "env": {"MODE": "prod"}, "env_from": ["DATABASE_URL=secret/app/url", "configmap/api"],
            "readiness": "http:/ready", "liveness": "http:/health:8000", "service": "NodePort", "host": "api.example", "path": "/v1",
            "mounts": ["/dev/shm=memory:64Mi", "/tmp=empty"], "user": 1000, "read_only_root": true,
            "prefer_nodes": {"node-type": "api"}}),
    )
    .ends(0);
    let deployment = world.object("deployment/api");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["readinessProbe"]["httpGet"]["path"], "/ready");
    assert_eq!(pod["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"]["key"], "url");
    assert_eq!(pod["volumes"][0]["emptyDir"]["medium"], "Memory");
    assert_eq!(world.object("hpa/api")["spec"]["maxReplicas"], 5);
    assert_eq!(world.object("service/api")["spec"]["type"], "NodePort");
    assert_eq!(world.object("ingress/api")["spec"]["rules"][0]["host"], "api.example");
    deploy(
        &world,
        json!({"name": "db", "image": "db:1", "ports": [5432], "mounts": ["/data=1Gi"], "per_pod": true}),
    )
    .says("statefulset/db");
    assert_eq!(
        world.object("statefulset/db")["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
        "1Gi"
    );
}

#[test]
fn what_a_deployment_refers_to_and_is_not_there_is_said() {
    let world = World::empty("deployrefs");
    let arguments = json!({"name": "api", "image": "api:latest", "env_from": ["KEY=secret/keys/openai"]});
    let arguments = ["call", "deploy", &arguments.to_string(), "--dry-run"];
    world.kai(&arguments).ends(0).says("there is no secret keys").says("is a tag that moves");
    world.nothing_was_written();
}

#[test]
fn what_would_have_to_be_guessed_is_asked() {
    let world = World::empty("deployask");
    deploy(&world, json!({"name": "nothing-of-that-name"})).ends(1).says("say which image");
    deploy(&world, json!({"name": "web", "image": "unheard-of:1", "service": "NodePort"}))
        .ends(1)
        .says("on which port");
    deploy(&world, json!({"name": "web", "image": "x:1", "namespace": "nowhere"}))
        .ends(1)
        .says("no namespace");
    deploy(&world, json!({"name": "web", "image": "x:1", "mounts": ["/data"]}))
        .ends(1)
        .says("is not a mount");
    deploy(&world, json!({"name": "web", "image": "x:1", "wait_for": ["redis"]})).says("does not exist");
    world.nothing_was_written();
}
