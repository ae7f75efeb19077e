//! What is wrong with a manifest stands in the preview, with file and line, before the API server has a say.

use crate::support::{Out, World};

fn write(world: &World, text: &str) -> String {
    let path = world.home.path().join("app.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn deployment(container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: web\n        image: nginx:1.27\n{container}"
    )
}

/// What was said, whatever the width of the terminal makes of its lines.
#[track_caller]
fn says(out: &Out, parts: &[&str]) {
    let said: Vec<String> = out.all().split_whitespace().map(str::to_owned).collect();
    let said = said.join(" ");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {}", out.all());
    }
}

const RESOURCES: &str = "        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}\n";

#[test]
fn findings_name_place_reason_and_remedy() {
    let world = World::empty("checks");
    world.kubectl(&[
        "create",
        "secret",
        "generic",
        "app-secrets",
        "--from-literal=DATABASE_URL=canary-Zx81Q",
    ]);
    let env = "        env:\n        - name: DATABASE_URL\n          valueFrom: {secretKeyRef: {name: app-secrets, key: DATABSE_URL}}\n        - name: VITE_API_TOKEN\n          valueFrom: {secretKeyRef: {name: ap-secrets, key: TOKEN}}\n        - {name: API_URL, value: \"http://api:3000\"}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: wob}, ports: [{port: 8000}]}\n";
    let path = write(&world, &deployment(&format!("{RESOURCES}{env}")));
    world.proxy.clear();
    let out = world.kai(&["apply", &path]);
    says(
        &out,
        &[
            "app.yaml:16",
            "secret/app-secrets has no key DATABSE_URL",
            "Did you mean DATABASE_URL?",
            "there is no secret ap-secrets",
            "Did you mean app-secrets?",
            "browsers download",
            "says port 3000, and service/api has 8000",
            "selects app=wob, and no pods in",
        ],
    );
    assert!(!out.all().contains("canary-Zx81Q"), "{}", out.all());
    world.nothing_was_written();
    let lists: Vec<String> = world
        .proxy
        .requests()
        .iter()
        .filter(|r| {
            r.path.ends_with("/secrets") && !r.headers["accept"].contains("PartialObjectMetadataList")
        })
        .map(|r| r.line())
        .collect();
    assert!(lists.is_empty(), "Secrets are read by name, or their names alone: {lists:?}");
}

#[test]
fn a_healthy_manifest_has_no_findings() {
    let world = World::empty("healthy");
    let path = write(&world, &deployment(RESOURCES));
    let out = world.kai(&["apply", &path]).ends(3).says("+ deployment/web");
    assert!(!out.all().contains(" check "), "{}", out.all());
    world.kai(&["apply", &path, "--yes"]).ends(0);
}

#[test]
fn fields_are_held_against_the_schema_of_the_api_server() {
    let world = World::empty("schema");
    let path = write(&world, &deployment("        ports: [{containerport: 80}]\n        command: run\n"));
    let out = world.kai(&["apply", &path]);
    says(
        &out,
        &[
            "app.yaml:13",
            "there is no field containerport here",
            "Did you mean containerPort?",
            "Begin each entry with a hyphen",
        ],
    );
    world.nothing_was_written();
}

#[test]
fn removed_versions_are_told_with_their_replacement() {
    let world = World::empty("removed");
    let psp = "---\napiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: restricted}\nspec: {}\n---\napiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\nspec: {}\n";
    let path = write(&world, &deployment(&format!("{RESOURCES}{psp}")));
    let out = world.kai(&["apply", &path]);
    says(
        &out,
        &[
            "policy/v1beta1 PodSecurityPolicy was removed in Kubernetes 1.25",
            "pod-security.kubernetes.io/enforce: restricted",
            "app.yaml:20",
            "Write apiVersion: batch/v1",
        ],
    );
    world.nothing_was_written();
}

#[test]
fn what_may_not_be_seen_is_told_and_not_guessed() {
    let world = World::empty("blind");
    world.kubectl(&["create", "role", "some", "--verb=get,list,create,patch", "--resource=deployments.apps"]);
    world.kubectl(&["create", "rolebinding", "some", "--role=some", "--user=somebody"]);
    let env = "        envFrom: [{secretRef: {name: app-secrets}}]\n";
    let path = write(&world, &deployment(&format!("{RESOURCES}{env}")));
    let out = world
        .kai_as("somebody", &["apply", &path])
        .says("not looked at, so not checked: secrets (app-secrets)");
    assert!(!out.all().contains("there is no secret"), "{}", out.all());
}
