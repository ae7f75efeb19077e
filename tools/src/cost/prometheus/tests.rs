//! Against a server on the loopback interface that plays the API server and the Prometheus behind it.

use std::sync::{Arc, Mutex};

use kai_cost::cluster::Object;
use kai_cost::rightsize::History;
use kai_cost::units::{Bytes, Millicores};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::cluster::ConnectOptions;

const POD: &str = "backend-5d4f8b7c9d-x7k2p";

/// What answers a path: status and body. A status of 0 says nothing for ever; of 1, less than it promised; of 2,
/// nothing, and the connection ends.
type Answers = fn(&str) -> (u16, String);

/// A cluster whose API server answers so, and the paths that it was asked for, decoded.
async fn cluster(answers: Answers) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let path = decoded(head.split(' ').nth(1).unwrap());
                assert!(head.starts_with("GET "), "{head}");
                log.lock().unwrap().push(path.clone());
                let (status, body) = answers(&path);
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                if status == 2 {
                    return;
                }
                let (status, missing) = if status == 1 { (200, 9) } else { (status, 0) };
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len() + missing
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    let options = ConnectOptions {
        kubeconfig: vec![path],
        read_only: true,
        no_proxy: Some("127.0.0.1".into()),
        ..ConnectOptions::default()
    };
    (Cluster::connect(options).await.unwrap(), asked)
}

fn decoded(path: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex: String =
                    [bytes.next(), bytes.next()].into_iter().flatten().map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap()
}

fn services() -> (u16, String) {
    let service = json!({
        "metadata": {"name": "prometheus-server", "namespace": "monitoring"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    });
    (200, json!({"metadata": {}, "items": [service]}).to_string())
}

/// An answer with one figure.
fn one(labels: Value, value: &str) -> (u16, String) {
    let result = json!([{"metric": labels, "value": [1.5, value]}]);
    (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
}

fn nothing() -> (u16, String) {
    (200, json!({"status": "success", "data": {"resultType": "vector", "result": []}}).to_string())
}

fn status(code: u16, message: &str) -> (u16, String) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "message": message}).to_string())
}

/// A Prometheus with two weeks of one pod, that was killed once.
fn whole(path: &str) -> (u16, String) {
    let Some((_, query)) = path.split_once("query=") else { return services() };
    let pod = json!({"namespace": "todo-app", "pod": POD, "container": "c"});
    let all = json!({"namespace": "todo-app", "workload": "Deployment/backend", "container": "c"});
    match query {
        q if q.starts_with("count(") => one(json!({}), "3"),
        q if q.contains("label_replace") && q.starts_with("quantile") => one(all, "0.0752"),
        q if q.contains("label_replace") => one(all, "104857600"),
        q if q.contains("OOMKilled") => one(pod, "134217728"),
        q if q.starts_with("quantile_over_time(0.95") => one(pod, "0.04"),
        q if q.starts_with("max_over_time(") => one(pod, "94371840"),
        q if q.starts_with("count_over_time(") => one(pod, "16128"),
        q if q.starts_with("min by") => one(pod, "1000000000"),
        q if q.starts_with("max by") => one(pod, "1001209600"),
        _ => (400, String::new()),
    }
}

fn backend() -> Object {
    Object { kind: "Deployment".into(), namespace: "todo-app".into(), name: "backend".into() }
}

async fn read(answers: Answers) -> (Prometheus, Vec<String>) {
    let (cluster, asked) = cluster(answers).await;
    let owners = Owners::new(&[backend()], &[]);
    let ask = Ask {
        namespace: Some("todo-app"),
        window: Window::default(),
        owners: &owners,
        sums: true,
        place: None,
    };
    let found = Prometheus::read(&cluster, &ask).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    (found, asked)
}

#[tokio::test]
async fn a_history_through_the_api_server() {
    let (found, asked) = read(whole).await;
    let Prometheus::There(past) = &found else { panic!("{found:?}") };
    assert_eq!(
        past.histories[&backend()]["c"],
        History {
            points: 16128,
            hours: 336.0,
            cpu_p95: Millicores(40),
            cpu_p95_sum: Some(Millicores(76)),
            memory_peak: Bytes(90 << 20),
            memory_peak_sum: Some(Bytes(100 << 20)),
            oom_limit: Some(Bytes(128 << 20)),
        }
    );
    assert!(past.tells_killed && past.warnings.is_empty() && past.strangers == 0);
    assert_eq!(
        found.said(),
        "The history is from the Prometheus monitoring/prometheus-server:80, a figure every 75 s, and reaches over 14.0 days."
    );
    // One list and ten questions, whatever the number of pods.
    assert_eq!(asked.len(), 11, "{asked:#?}");
    assert!(
        asked[1..].iter().all(|a| a.starts_with(
            "/api/v1/namespaces/monitoring/services/prometheus-server:80/proxy/api/v1/query?query="
        ) && a.ends_with("&timeout=18s")),
        "{asked:#?}"
    );
}

#[tokio::test]
async fn there_may_be_none() {
    let (found, asked) = read(|_| (200, json!({"metadata": {}, "items": []}).to_string())).await;
    assert_eq!((found.clone(), asked.len()), (Prometheus::Absent, 1));
    assert!(found.said().contains("no Prometheus was found"), "{}", found.said());
}

#[tokio::test]
async fn rights_may_be_missing() {
    let (found, _) = read(|_| status(403, "services is forbidden")).await;
    assert_eq!(found, Prometheus::Forbidden("services is forbidden".into()));
    let (found, _) = read(|path| match path.contains("proxy") {
        true => status(403, "services/proxy is forbidden."),
        false => services(),
    })
    .await;
    assert!(found.said().contains("(services/proxy is forbidden). It takes"), "{}", found.said());
    // Whoever sees one namespace alone finds it there.
    let (found, asked) = read(|path| match path.split('?').next().unwrap() {
        "/api/v1/services" => status(403, "no"),
        "/api/v1/namespaces/monitoring/services" => services(),
        p if p.ends_with("/services") => status(403, "no"),
        _ => whole(path),
    })
    .await;
    assert!(matches!(found, Prometheus::There(_)), "{found:?} {asked:?}");
}

#[tokio::test]
async fn what_answers_wrongly_is_told() {
    for (answers, wanted) in [
        (
            (|p| if p.contains("proxy") { status(503, "no endpoints available") } else { services() })
                as Answers,
            "monitoring/prometheus-server:80 cannot be reached (no endpoints available)",
        ),
        (
            |p| if p.contains("proxy") { (200, "<html>".into()) } else { services() },
            "monitoring/prometheus-server:80 answered with something that is no answer of a Prometheus",
        ),
        (
            |p| if p.contains("proxy") { (302, String::new()) } else { services() },
            "monitoring/prometheus-server:80 answered 302",
        ),
        (
            |p| if p.contains("proxy") { nothing() } else { services() },
            "monitoring/prometheus-server:80 has no container_cpu_usage_seconds_total: it does not scrape the kubelets",
        ),
        // It fails half-way: half a history is none.
        (
            |p| {
                if p.contains("working_set") {
                    (500, "{\"status\":\"error\",\"error\":\"disk\"}".into())
                } else {
                    whole(p)
                }
            },
            "monitoring/prometheus-server:80 answered 500: disk",
        ),
        (
            |p| if p.contains("working_set") { (200, "x".repeat(MOST + 1)) } else { whole(p) },
            "monitoring/prometheus-server:80 answered with more than 16 MiB: ask for one namespace",
        ),
    ] {
        let (found, _) = read(answers).await;
        assert_eq!(found, Prometheus::Dead(wanted.into()));
        assert!(found.said().ends_with(". No requests are recommended without it."), "{}", found.said());
    }
}

#[tokio::test]
async fn too_many_samples_are_asked_for_more_coarsely() {
    let (found, _) = read(|path| match path.contains(":75s]") {
        true => (422, json!({"status": "error", "error": "query processing would load too many samples into memory in query execution"}).to_string()),
        false => whole(path),
    })
    .await;
    let Prometheus::There(past) = found else { panic!("{found:?}") };
    assert_eq!((past.window.step, past.window.rate), (300, 300));
    assert_eq!(past.histories.len(), 1);
}

#[tokio::test]
async fn without_kube_state_metrics_nobody_knows_what_was_killed() {
    let (found, _) = read(|p| if p.contains("kube_pod") { nothing() } else { whole(p) }).await;
    let Prometheus::There(past) = &found else { panic!("{found:?}") };
    assert_eq!((past.tells_killed, past.histories[&backend()]["c"].oom_limit), (false, None));
    assert!(found.said().contains("does not tell which containers were killed"), "{}", found.said());
    // Sums that cannot be had are told, and the rest stands.
    let (found, _) = read(|p| if p.contains("label_replace") { (400, "no".into()) } else { whole(p) }).await;
    assert!(
        found.said().contains("It warns: asked for the CPU of all pods together, it answered 400: no."),
        "{}",
        found.said()
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let (cluster, _) = cluster(|_| (0, String::new())).await;
    let place = Place { namespace: "m".into(), service: "p".into(), port: 80 };
    let said = cluster.ask(&place.path("up", 1), MOST, Duration::from_millis(200)).await.unwrap();
    assert!(matches!(said, Said::Late));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_figure() {
    let (found, _) =
        read(|p| if p.contains("working_set") { (1, one(json!({}), "1").1) } else { whole(p) }).await;
    let Prometheus::Dead(why) = found else { panic!("{found:?}") };
    assert!(why.starts_with("monitoring/prometheus-server:80 broke off its answer ("), "{why}");
}

#[tokio::test]
async fn a_connection_that_ends_is_no_reason_to_say_nothing_at_all() {
    for what in ["count(", "working_set"] {
        let answers: Answers = match what {
            "count(" => |p| if p.contains("query=count(") { (2, String::new()) } else { whole(p) },
            _ => |p| if p.contains("working_set") { (2, String::new()) } else { whole(p) },
        };
        let (found, _) = read(answers).await;
        let Prometheus::Dead(why) = found else { panic!("{what}: {found:?}") };
        assert!(why.starts_with("monitoring/prometheus-server:80 gave no answer ("), "{why}");
    }
}

#[tokio::test]
async fn hostile_names_send_nothing() {
    let (cluster, asked) = cluster(whole).await;
    let owners = Owners::default();
    let all = Ask { namespace: None, window: Window::default(), owners: &owners, sums: false, place: None };
    let bad = Prometheus::read(&cluster, &Ask { namespace: Some("x\"} or vector(1) #"), ..all }).await;
    assert!(matches!(bad, Err(ToolError::Invalid(_))));
    for (namespace, service) in [("m/../../x", "p"), ("m", "p:80/proxy/-/quit?"), ("m", "..")] {
        let place = Place { namespace: namespace.into(), service: service.into(), port: 80 };
        let bad = Prometheus::read(&cluster, &Ask { place: Some(&place), ..all }).await;
        assert!(matches!(bad, Err(ToolError::Invalid(_))), "{place}");
    }
    assert!(asked.lock().unwrap().is_empty());
}
