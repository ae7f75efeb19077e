//! A stand-in for Prometheus: one server for all tests of this process, each of which gives figures for its own namespace
//! alone. Whoever asks for another gets an answer without figures, so that other tests are not led astray.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::World;

/// What was measured of one container of one pod.
#[derive(Clone, Debug)]
pub struct Row {
    pub pod: String,
    pub container: &'static str,
    /// The 95th percentile of its CPU use, in cores.
    pub cpu: f64,
    /// The peak of its working set, in bytes.
    pub memory: u64,
    /// How many hours ago it was first and last seen.
    pub seen: (f64, f64),
    /// How many samples there are.
    pub points: u64,
    /// The limit at which it was killed for want of memory.
    pub killed: Option<u64>,
}

/// What the questions about a namespace are answered with.
#[derive(Clone, Debug)]
pub enum Answers {
    /// The figures.
    Table(Vec<Row>),
    /// This status and body, whatever is asked.
    Always(u16, String),
    /// Nothing, for longer than anybody waits.
    Never,
    /// Less than is promised, and then the connection ends.
    Half,
}

static ANSWERS: Mutex<BTreeMap<String, Answers>> = Mutex::new(BTreeMap::new());

/// Makes a Service `prometheus-server` in the namespace of a world, behind which the stand-in is. False where this host has
/// no address that the API server would take for an endpoint.
///
/// The API server passes requests on only to endpoints that are pods: one that no scheduler places says that it has the
/// address of this host.
#[must_use]
pub fn serve(world: &World) -> bool {
    let Some(address) = started() else { return false };
    let (ip, port) = (address.ip().to_string(), address.port());
    world.create(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "prometheus-server-0", "labels": {"app": "prometheus"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "prometheus", "image": "prom/prometheus"}]}}));
    let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}});
    world.kubectl(&[
        "patch",
        "pod",
        "prometheus-server-0",
        "--subresource=status",
        "-p",
        &status.to_string(),
    ]);
    world.create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus-server"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port, "protocol": "TCP"}]}}));
    // EndpointSlices are made of these; the API server's proxy itself looks here.
    let pod = json!({"kind": "Pod", "namespace": world.namespace, "name": "prometheus-server-0"});
    world.create(&json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "prometheus-server"},
        "subsets": [{"addresses": [{"ip": ip, "targetRef": pod}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}]}]}));
    true
}

/// Says how questions about the namespace of a world are answered from now on.
pub fn answer(world: &World, answers: Answers) {
    locked().insert(world.namespace.clone(), answers);
}

fn locked() -> std::sync::MutexGuard<'static, BTreeMap<String, Answers>> {
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the server listens, once it does.
fn started() -> Option<SocketAddr> {
    static STARTED: OnceLock<Option<SocketAddr>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let listener = TcpListener::bind((own_address()?, 0)).ok()?;
        let address = listener.local_addr().ok()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || converse(stream));
            }
        });
        Some(address)
    })
}

/// An IPv4 address of this host that is not on the loopback interface. Nothing is sent: a UDP socket that is "connected"
/// only learns from which address it would send.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

/// One question and its answer; the connection ends with it.
fn converse(stream: TcpStream) {
    let mut lines = BufReader::new(&stream).take(1 << 16);
    let mut first = String::new();
    if lines.read_line(&mut first).is_err() {
        return;
    }
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|n| n > 2) {
        line.clear();
    }
    let Some((status, body, missing)) = answered(&first) else {
        std::thread::sleep(Duration::from_secs(90));
        return;
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len() + missing
    );
    let mut stream = &stream;
    // Whoever asked may have gone.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// Status, body, and how many bytes the body lacks, for the first line of a request. None: it is never answered.
fn answered(first: &str) -> Option<(u16, String, usize)> {
    let Some(("GET", target)) = first.rsplit_once(' ').and_then(|(start, _)| start.split_once(' ')) else {
        return Some((405, String::new(), 0));
    };
    let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
    if path != "/api/v1/query" {
        return Some((404, "404 page not found".into(), 0));
    }
    let of =
        |name: &str| parameters.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')).map(decoded);
    let query = of("query").unwrap_or_default();
    if of("timeout").as_deref() != Some("18s") {
        return Some(wrong("there is no end to its time"));
    }
    if query == r#"count(container_cpu_usage_seconds_total{container!=""})"# {
        return Some((200, vector(vec![(json!({}), "1".into())]), 0));
    }
    let namespace = match namespace(&query) {
        Ok(namespace) => namespace,
        Err(why) => return Some(wrong(why)),
    };
    let answers = namespace.and_then(|n| Some((n.clone(), locked().get(&n).cloned()?)));
    match answers {
        None => Some((200, vector(Vec::new()), 0)),
        Some((_, Answers::Never)) => None,
        Some((_, Answers::Half)) => Some((200, vector(Vec::new()), 9)),
        Some((_, Answers::Always(status, body))) => Some((status, body, 0)),
        Some((namespace, Answers::Table(rows))) => Some(match figures(&namespace, &rows, &query) {
            Some(samples) => (200, vector(samples), 0),
            None => wrong("this is no query that is known here"),
        }),
    }
}

/// The namespace that every selector of a query holds; none where none does.
fn namespace(query: &str) -> Result<Option<String>, &'static str> {
    let named = |selector: &str| {
        let (_, rest) = selector.split_once(r#"namespace=""#)?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    let mut all: Vec<Option<String>> = query
        .split('{')
        .skip(1)
        .filter_map(|s| s.split_once('}'))
        // `{6,10}` in a pattern is no selector.
        .filter(|(inside, _)| inside.contains('='))
        .map(|(selector, _)| named(selector))
        .collect();
    all.dedup();
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err("it selects nothing"),
        _ => Err("its selectors differ in their namespace"),
    }
}

type Sample = (Value, String);

/// The samples that Prometheus would work out from these figures; none for a query that is not known.
fn figures(namespace: &str, rows: &[Row], query: &str) -> Option<Vec<Sample>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let each = |of: &dyn Fn(&Row) -> Option<f64>| -> Vec<Sample> {
        let labels = |r: &Row| json!({"namespace": namespace, "pod": r.pod, "container": r.container});
        rows.iter().filter_map(|r| Some((labels(r), of(r)?.to_string()))).collect()
    };
    // All pods of a Deployment that are there at once.
    let together = |of: &dyn Fn(&Row) -> f64| -> Vec<Sample> {
        let mut sums: BTreeMap<(String, &str), f64> = BTreeMap::new();
        for row in rows.iter().filter(|r| r.seen.1 == 0.0) {
            let name = row.pod.rsplitn(3, '-').last().unwrap_or_default();
            *sums.entry((format!("Deployment/{name}"), row.container)).or_default() += of(row);
        }
        let labels = |w: &str, c: &str| json!({"namespace": namespace, "workload": w, "container": c});
        sums.iter().map(|((w, c), sum)| (labels(w, c), sum.to_string())).collect()
    };
    let summed = query.contains("label_replace");
    Some(match query {
        q if q.starts_with("count(kube_pod_container_info{") => vec![(json!({}), rows.len().to_string())],
        q if q.contains("OOMKilled") => each(&|r| r.killed.map(|k| k as f64)),
        q if q.starts_with("quantile_over_time(0.95, (") && summed => together(&|r| r.cpu),
        q if q.starts_with("max_over_time((") && summed => together(&|r| r.memory as f64),
        q if q.starts_with("quantile_over_time(0.95, (") => each(&|r| Some(r.cpu)),
        q if q.starts_with("max_over_time((") => each(&|r| Some(r.memory as f64)),
        q if q.starts_with("count_over_time((") => each(&|r| Some(r.points as f64)),
        q if q.starts_with("min by") => each(&|r| Some(now - r.seen.0 * 3600.0)),
        q if q.starts_with("max by") => each(&|r| Some(now - r.seen.1 * 3600.0)),
        _ => return None,
    })
}

/// An answer to an instant query, as it is documented.
fn vector(samples: Vec<Sample>) -> String {
    let result: Vec<Value> = samples
        .into_iter()
        .map(|(metric, value)| json!({"metric": metric, "value": [1_763_737_200.781, value]}))
        .collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

fn wrong(why: &str) -> (u16, String, usize) {
    (400, json!({"status": "error", "errorType": "bad_data", "error": why}).to_string(), 0)
}

/// A percent-encoded value.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).unwrap_or(0) as u8;
        out.push(match byte {
            b'%' => hex(bytes.next()) * 16 + hex(bytes.next()),
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
