//! Releases: Helm goes on with what kai did, and kai with what Helm did. The helm here is the real one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::terminal::Progress;
use serde_json::Value;

use crate::support::{Out, World, admin_kubeconfig, run};

fn helm_binary() -> &'static PathBuf {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(go_tool(&Progress::stderr(), Tool::Helm)).unwrap()
    })
}

struct Chart {
    world: World,
    folder: PathBuf,
}

impl Chart {
    fn new(name: &str) -> Self {
        let world = World::empty(name);
        let folder = world.home.path().join("shop");
        let chart = Self { world, folder };
        chart.write("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\nappVersion: \"1.0\"\n");
        chart.write("values.yaml", "replicas: 2\nimage: nginx:1.27\nextra: true\n");
        chart.write(
            "templates/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}-web}\nspec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: {{ .Values.image }}}]}\n",
        );
        chart.write(
            "templates/extra.yaml",
            "{{- if .Values.extra }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-extra}\ndata: {a: b}\n{{- end }}\n",
        );
        chart.write(
            "templates/hook.yaml",
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: busybox}]}}}\n",
        );
        chart
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// kai with helm on its PATH.
    fn kai(&self, arguments: &[&str]) -> Out {
        let path = helm_binary().parent().unwrap().display().to_string();
        run(self.world.command().env("PATH", path).args(arguments))
    }

    fn helm(&self, arguments: &[&str]) -> String {
        let output = Command::new(helm_binary())
            .env("KUBECONFIG", admin_kubeconfig())
            .args(["-n", &self.world.namespace])
            .args(arguments)
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "helm {arguments:?}: {err}");
        out.into_owned()
    }

    fn history(&self) -> Vec<(i64, String)> {
        let all: Value = serde_json::from_str(&self.helm(&["history", "shop", "-o", "json"])).unwrap();
        let one = |r: &Value| (r["revision"].as_i64().unwrap(), r["status"].as_str().unwrap().to_string());
        all.as_array().unwrap().iter().map(one).collect()
    }

    fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    fn image(&self) -> Value {
        self.world.object("deployment/shop-web")["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    }
}

#[test]
fn helm_goes_on_with_what_kai_installed() {
    let chart = Chart::new("helmkai");
    chart
        .kai(&["apply", chart.path(), "--set", "replicas=1", "--yes"])
        .ends(0)
        .says("Installed release shop")
        .says("hook job/migrate (pre-install) is not run")
        .says("1/1 ready");
    assert_eq!(chart.history(), [(1, "deployed".into())]);
    assert!(chart.helm(&["list"]).contains("shop-0.1.0"));
    assert!(chart.helm(&["get", "values", "shop"]).contains("replicas: 1"));
    // An upgrade by kai keeps the values and changes what differs.
    chart.write("values.yaml", "replicas: 2\nimage: nginx:1.28\nextra: false\n");
    chart.world.proxy.clear();
    let out = chart.kai(&["apply", chart.path(), "--yes"]).ends(3);
    assert!(
        out.stderr.contains("nginx:1.27 → nginx:1.28") && out.stderr.contains("- configmap/shop-extra"),
        "{}",
        out.stderr
    );
    assert!(!out.stderr.contains("replicas"), "the values that were given stay: {}", out.stderr);
    chart.world.nothing_was_written();
}

#[test]
fn helm_upgrades_and_rolls_back_what_kai_installed() {
    let chart = Chart::new("helmup");
    chart.kai(&["apply", chart.path(), "--yes"]).ends(0);
    chart.write("values.yaml", "replicas: 2\nimage: nginx:1.28\nextra: true\n");
    chart.helm(&["upgrade", "shop", chart.path()]);
    assert_eq!(chart.image(), "nginx:1.28");
    chart.helm(&["rollback", "shop", "1"]);
    assert_eq!(chart.image(), "nginx:1.27");
    assert_eq!(chart.history(), [(1, "superseded".into()), (2, "superseded".into()), (3, "deployed".into())]);
    chart.kai(&["helm history shop"]).ends(0).says("Rollback to 1").says("superseded");
    chart.helm(&["uninstall", "shop"]);
    assert!(!chart.world.kubectl(&["get", "deployments", "-o", "name"]).contains("shop"));
}

#[test]
fn kai_goes_on_with_what_helm_installed() {
    let chart = Chart::new("kaihelm");
    chart.write("templates/hook.yaml", "");
    chart.helm(&["install", "shop", chart.path(), "--set", "password=hunter2-canary"]);
    chart.world.settle("shop-web");
    chart.kai(&["helm list"]).ends(0).says("shop-0.1.0").says("deployed");
    let out = chart.kai(&["show the values of release shop"]).ends(0).says("[redacted]");
    assert!(!out.all().contains("hunter2-canary"));
    chart.write("values.yaml", "replicas: 2\nimage: nginx:1.28\nextra: true\n");
    // Fields that helm set are the release's own; taking them is told, and wants the name.
    chart.kai(&["apply", chart.path(), "--yes"]).ends(3).says("containers").says("from helm");
    let path = helm_binary().parent().unwrap().display().to_string();
    let mut command = chart.world.command();
    command.env("PATH", path).args(["apply", chart.path()]);
    let mut person = crate::support::Person::at(command);
    person.sees("nginx:1.27 → nginx:1.28").sees("Type").types(&chart.world.namespace);
    person.ends(0);
    assert_eq!(chart.history(), [(1, "superseded".into()), (2, "deployed".into())]);
    assert!(chart.helm(&["get", "values", "shop"]).contains("hunter2-canary"), "the values are kept");
    chart.kai(&["what changed in release shop"]).ends(0).says("nginx:1.27").says("nginx:1.28");
    // And back, by kai.
    let mut person = chart.world.person(&["roll back release shop"]);
    person.sees("nginx:1.28 → nginx:1.27").sees("Apply?").types("y");
    person.ends(0);
    assert_eq!(chart.image(), "nginx:1.27");
    assert_eq!(chart.history().last().unwrap(), &(3, "deployed".into()));
    chart.kai(&["undo"]).ends(7).says("roll back release shop");
    let mut person = chart.world.person(&["uninstall release shop"]);
    person.sees("- deployment/shop-web").sees("Type").types("shop");
    person.ends(0);
    assert_eq!(chart.helm(&["list", "-a", "-q"]).trim(), "");
    assert!(!chart.world.kubectl(&["get", "deployments", "-o", "name"]).contains("shop"));
}

#[test]
fn what_belongs_to_others_is_not_taken_and_errors_are_helms_own() {
    let chart = Chart::new("helmown");
    chart.world.deploy("shop-web", 1, "nginx:1.27");
    chart.kai(&["apply", chart.path(), "--yes"]).ends(7).says("deployment/shop-web (no release)");
    chart.write("templates/broken.yaml", "{{ .Values.nothing.here }}\n");
    chart.kai(&["apply", chart.path(), "--yes"]).ends(1).says("templates/broken.yaml:1");
    chart.kai(&["apply", chart.path(), "--values", "none.yaml"]).ends(1).says("none.yaml");
    run(chart.world.command().env("PATH", "/nonexistent").args(["apply", chart.path()]))
        .says("helm is needed");
    chart.kai(&["roll back release ghost"]).ends(1).says("no Helm release");
    chart.world.nothing_was_written();
}

#[test]
fn a_kustomization_is_rendered_and_applied() {
    let chart = Chart::new("kustom");
    chart.write(
        "../overlay/kustomization.yaml",
        "nameSuffix: -a1b2c3d\nresources: [cm.yaml]\nimages: [{name: x, newTag: a1b2c3d}]\n",
    );
    chart.write(
        "../overlay/cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {a: b}\n",
    );
    let overlay = chart.world.home.path().join("overlay");
    let kubectl = {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(go_tool(&Progress::stderr(), Tool::Kubectl)).unwrap()
    };
    let path = kubectl.parent().unwrap().display().to_string();
    let out =
        run(chart.world.command().env("PATH", &path).args(["apply", overlay.to_str().unwrap(), "--yes"]));
    out.ends(0).says("+ configmap/app-a1b2c3d");
    std::fs::write(overlay.join("kustomization.yaml"), "resources: [missing.yaml]\n").unwrap();
    run(chart.world.command().env("PATH", &path).args(["apply", overlay.to_str().unwrap()]))
        .ends(1)
        .says("missing.yaml");
}
