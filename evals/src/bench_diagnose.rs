//! What a diagnosis of a large cluster costs, beside the floor: the same lists, fetched and thrown away.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::bench::{self, Figures};
use crate::cluster::Admin;

/// Lists that a diagnosis needs, with the bytes of nearly all of the answer.
const LISTS: [&str; 10] = [
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/services",
    "/api/v1/events",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
];
/// Those of which the metadata is enough.
const METADATA: [&str; 3] = ["/apis/apps/v1/replicasets", "/api/v1/configmaps", "/api/v1/secrets"];
/// Services, each before a Deployment of ten pods.
const SERVICES: usize = 1_000;
const REPLICAS: usize = 10;
/// Every so many Services something is broken.
const BROKEN: usize = 100;

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    pub pods: usize,
    pub floor: Duration,
    pub floor_bytes: usize,
    pub kai: Figures,
    pub faults: u64,
    pub requests: usize,
}

/// Fills a cluster with Deployments and Services, some of them broken, and waits until its pods run.
///
/// # Errors
/// When the API server refuses something, or the pods do not come.
pub async fn fill(kubeconfig: &Path) -> Result<()> {
    let admin = Admin::read(kubeconfig)?;
    let client = admin.client()?;
    let post = |path: String, object: Value| {
        let request = client.post(format!("{}{path}", admin.server)).json(&object);
        async move {
            let answer = request.send().await?;
            let status = answer.status();
            ensure!(
                status.is_success() || status.as_u16() == 409,
                "{path}: {status} {}",
                answer.text().await?
            );
            anyhow::Ok(())
        }
    };
    let namespace = |i: usize| format!("team-{:02}", i % 50);
    for i in 0..50 {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(i)}});
        post("/api/v1/namespaces".into(), object).await?;
    }
    let mut all = Vec::new();
    for i in 0..SERVICES {
        let (name, ns) = (format!("app-{i:04}"), namespace(i));
        let fault = i % BROKEN;
        let mut spec = json!({"containers": [{"name": "app", "image": "nginx:1.27", "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            "env": [{"name": "PORT", "value": "8080"}, {"name": "LOG_LEVEL", "value": "info"}]}]});
        if fault == 7 {
            spec["nodeSelector"] = json!({"disktype": "sdd"});
        }
        let selector = if fault == 3 { json!({"app": format!("{name}-x")}) } else { json!({"app": name}) };
        let port = if fault == 5 { json!("htpp") } else { json!(8080) };
        let labels = json!({"app": name, "team": ns});
        all.push((
            format!("/apis/apps/v1/namespaces/{ns}/deployments"),
            json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": labels}, "spec": spec}}}),
        ));
        all.push((
            format!("/api/v1/namespaces/{ns}/services"),
            json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels},
            "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": port}]}}),
        ));
    }
    let made = futures::stream::iter(all.into_iter().map(|(path, object)| post(path, object)));
    for result in made.buffer_unordered(32).collect::<Vec<Result<()>>>().await {
        result?;
    }
    // Those that no node takes never run.
    let wanted = SERVICES * REPLICAS * (BROKEN - 1) / BROKEN;
    let started = Instant::now();
    loop {
        let url = format!("{}/api/v1/pods?fieldSelector=status.phase%3DRunning&limit=1", admin.server);
        let answer: Value = client.get(&url).send().await?.json().await?;
        let left = answer.pointer("/metadata/remainingItemCount").and_then(Value::as_u64);
        // A count is only given without a field selector; then the whole list has to be looked at.
        let running = match left {
            Some(left) => usize::try_from(left)? + 1,
            None => count(&client, &admin.server).await?,
        };
        if running >= wanted {
            return Ok(());
        }
        ensure!(
            started.elapsed() < Duration::from_secs(900),
            "{running} of {wanted} pods run after 15 minutes"
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

async fn count(client: &reqwest::Client, server: &str) -> Result<usize> {
    let url = format!("{server}/api/v1/pods?resourceVersion=0");
    let answer: Value = client.get(&url).send().await?.json().await?;
    let pods = answer["items"].as_array().context("a list of pods")?;
    Ok(pods.iter().filter(|p| p["status"]["phase"] == "Running").count())
}

/// Measures the floor and kai, in turn, three times each; the best of each counts.
///
/// # Errors
/// When the cluster cannot be read or kai not be started.
pub async fn measure(kai: &Path, kubeconfig: &Path) -> Result<Measured> {
    let admin = Admin::read(kubeconfig)?;
    let mut floor = Duration::MAX;
    let mut floor_bytes = 0;
    let mut best: Option<Figures> = None;
    for _ in 0..3 {
        let client = admin.client()?;
        let started = Instant::now();
        let reads = LISTS.iter().map(|path| {
            let metadata =
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
            let accept = if METADATA.contains(path) { metadata } else { "application/json" };
            let request =
                client.get(format!("{}{path}?resourceVersion=0", admin.server)).header("accept", accept);
            async move { anyhow::Ok(request.send().await?.bytes().await?.len()) }
        });
        let sizes = futures::future::join_all(reads).await;
        floor = floor.min(started.elapsed());
        floor_bytes = sizes.into_iter().sum::<Result<usize>>()?;
        let (kai, kubeconfig) = (kai.to_owned(), kubeconfig.to_owned());
        let figures =
            tokio::task::spawn_blocking(move || bench::watch(&kai, &["diagnose", "-o", "json"], &kubeconfig))
                .await??;
        let better = best.is_none_or(|b| figures.seconds < b.seconds);
        best = Some(match best {
            Some(b) if !better => Figures { peak_kib: b.peak_kib.max(figures.peak_kib), ..b },
            _ => figures,
        });
    }
    let output = std::process::Command::new(kai)
        .args(["diagnose", "-o", "json"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .context("kai cannot be started")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("kai printed no JSON")?;
    let cost = &answer["data"]["cost"];
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    Ok(Measured {
        pods: count(&admin.client()?, &admin.server).await?,
        floor,
        floor_bytes,
        kai: best.context("nothing was measured")?,
        faults: number(&answer["data"]["faults"]),
        requests: usize::try_from(number(&cost["lists"]) + number(&cost["reads"]))?,
    })
}
