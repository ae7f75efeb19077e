//! Probes that fail: asked at the wrong port, for the wrong path, too early or too impatiently; or rightly, because what
//! the program depends on is down.

use serde_json::json;

use super::{Case, access, logs, soft};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Event, Port, Probe, condition};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    LIVENESS_PORT,
    LIVENESS_PATH,
    LIVENESS_TIGHT,
    STARTUP_SHORT,
    READINESS_PORT,
    READINESS_PATH,
    READINESS_FAILS,
    READINESS_GATE,
];

const LIVENESS_PORT: Cause = Cause::fault(
    "liveness-wrong-port",
    2,
    "The liveness probe asks at a port where nobody listens, and the kubelet kills the container for it.",
);
const LIVENESS_PATH: Cause = Cause::fault(
    "liveness-wrong-path",
    2,
    "The liveness probe asks for a path that is not there, and the kubelet kills the container for it.",
);
const LIVENESS_TIGHT: Cause = Cause::fault(
    "liveness-too-tight",
    2,
    "The liveness probe has too little patience, and the kubelet kills a container that only is slow.",
);
const STARTUP_SHORT: Cause =
    Cause::fault("startup-budget-short", 2, "The startup probe gives up before the program has started.");
const READINESS_PORT: Cause =
    Cause::fault("readiness-wrong-port", 2, "The readiness probe asks at a port where nobody listens.");
const READINESS_PATH: Cause =
    Cause::fault("readiness-wrong-path", 2, "The readiness probe asks for a path that is not there.");
const READINESS_FAILS: Cause = Cause::fault(
    "readiness-fails",
    2,
    "The program itself says that it is not ready, and nothing in the cluster explains why.",
);
const READINESS_GATE: Cause = Cause::fault(
    "readiness-gate-unmet",
    3,
    "All containers are ready, but a condition that another controller should set is not.",
);

/// How a probe fails, from the kubelet's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Refused,
    NotFound,
    Error,
    Timeout,
    Other,
}

fn how(said: &str) -> How {
    let low = said.to_lowercase();
    let status =
        low.split("statuscode: ").nth(1).and_then(|s| s.get(..3)).and_then(|s| s.parse::<u16>().ok());
    match status {
        // 401, 403 or 429 come from a path that is there.
        Some(404 | 405 | 410) => How::NotFound,
        Some(_) => How::Error,
        None if low.contains("connection refused") || low.contains("no route to host") => How::Refused,
        None if low.contains("deadline exceeded") || low.contains("timeout") || low.contains("timed out") => {
            How::Timeout
        }
        None => How::Other,
    }
}

fn port(probe: &Probe) -> Option<Port> {
    let http = probe.http_get.as_ref().map(|h| h.port.clone());
    let tcp = probe.tcp_socket.as_ref().map(|t| t.port.clone());
    http.or(tcp).or_else(|| probe.grpc.as_ref().map(|g| Port::Number(g.port)))
}

/// The latest event about a probe of this container, if it is about its present or last run.
fn failed<'a>(engine: &Engine<'a>, case: &Case<'a>, kind: &str) -> Option<&'a Event> {
    let start = format!("{kind} probe");
    let field = format!("{{{}}}", case.container.name);
    engine.index.events(&case.pod.metadata).iter().copied().find(|e| {
        let of_container =
            e.involved_object.field_path.is_empty() || e.involved_object.field_path.contains(&field);
        e.reason == "Unhealthy"
            && e.message.starts_with(&start)
            && of_container
            && !e.last().older_than(900, engine.snap.now)
    })
}

/// A container that its kubelet kills, or does not call ready, because a probe fails.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    if case.status.ready && case.status.restart_count == 0 {
        return Roots::new();
    }
    let ended =
        [&case.status.state.terminated, &case.status.last_state.terminated].into_iter().flatten().next();
    // Who is killed by a probe ends by a signal, or well when the program minds it.
    let by_kill =
        ended.is_some_and(|t| t.reason != "OOMKilled" && matches!(t.exit_code, 0 | 2 | 130 | 137 | 143));
    if let (Some(event), Some(probe)) = (failed(engine, case, "Liveness"), &case.container.liveness_probe)
        && by_kill
    {
        return liveness(engine, case, probe, event);
    }
    if let (Some(event), Some(probe)) = (failed(engine, case, "Startup"), &case.container.startup_probe)
        && !case.status.ready
    {
        return startup(engine, case, probe, event);
    }
    if case.status.ready || case.status.state.running.is_none() {
        return Roots::new();
    }
    match (failed(engine, case, "Readiness"), &case.container.readiness_probe) {
        (Some(event), Some(probe)) => readiness(engine, case, probe, event),
        _ => Roots::new(),
    }
}

/// Whether the container declares that port, or declares none, so that any can be right.
fn is_declared(case: &Case<'_>, port: &Port) -> bool {
    let is = |p: &crate::model::ContainerPort| match port {
        Port::Number(n) => p.container_port == *n,
        Port::Name(n) => p.name == *n,
    };
    let other = case.container.readiness_probe.as_deref().and_then(self::port);
    // The other probe, at another port, contradicts a container that declares none.
    let is_contradicted = other.is_some_and(|o| o != *port);
    case.container.ports.iter().any(is) || (case.container.ports.is_empty() && !is_contradicted)
}

/// A port that the probe could rather ask at: that of the other probe, or the only one that is declared.
fn better_port(case: &Case<'_>, wrong: &Port, other: Option<&Probe>) -> Option<Port> {
    let declared: Vec<&crate::model::ContainerPort> = case.container.ports.iter().collect();
    let is = |p: &crate::model::ContainerPort, port: &Port| match port {
        Port::Number(n) => p.container_port == *n,
        Port::Name(n) => p.name == *n,
    };
    // A declared port can be right; nothing better is known then.
    if declared.iter().any(|p| is(p, wrong)) {
        return None;
    }
    let others = other.and_then(port).filter(|p| p != wrong);
    others.or(match declared.as_slice() {
        [only] => Some(Port::Number(only.container_port)),
        _ => None,
    })
}

fn with_port(probe: &Probe, port: &Port) -> Option<String> {
    match (&probe.http_get, &probe.tcp_socket) {
        (Some(http), _) => {
            Some(format!("http:{}:{port}", if http.path.is_empty() { "/" } else { &http.path }))
        }
        (_, Some(_)) => Some(format!("tcp:{port}")),
        _ => None,
    }
}

fn set(case: &Case<'_>, maker: &Object, which: &str, to: &str) -> Fix {
    Fix::call(
        format!("let the {which} probe of container {} ask {to}", case.container.name),
        "set",
        json!({"workload": maker.to_string(), "namespace": maker.namespace, "container": case.container.name, which: to}),
    )
}

fn draft(case: &Case<'_>, maker: &Object, cause: &Cause, event: &Event, says: String) -> Finding {
    Finding::new(cause, maker.clone(), says)
        .which(case.container.name.clone())
        .seen(Object::pod(case.pod), "event Unhealthy", event.message.trim().to_owned())
        .since(event.first())
        .observed()
}

fn liveness<'a>(engine: &mut Engine<'a>, case: &Case<'a>, probe: &'a Probe, event: &'a Event) -> Roots {
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    let asked = port(probe);
    let path = probe.http_get.as_ref().map_or("", |h| h.path.as_str());
    let other = case.container.readiness_probe.as_deref();
    let finding = match (how(&event.message), &asked) {
        (How::Refused, Some(wrong)) if !is_declared(case, wrong) => {
            let better = better_port(case, wrong, other);
            let hint = better.as_ref().map(|p| format!("; it listens on {p}")).unwrap_or_default();
            let says = format!(
                "the liveness probe of container {name} asks at port {wrong}, where nobody listens, and the container is killed for it{hint}"
            );
            let fix = better.and_then(|p| with_port(probe, &p)).map_or_else(
                || Fix::advice("let the probe ask at a port that the program listens on"),
                |to| set(case, &maker, "liveness", &to),
            );
            draft(case, &maker, &LIVENESS_PORT, event, says).fix(fix)
        }
        (How::NotFound, Some(at)) => {
            let right = other.and_then(|p| p.http_get.as_ref()).filter(|h| h.path != path);
            let says = format!(
                "the liveness probe of container {name} asks for {path}, which is not there, and the container is killed for it"
            );
            let fix = match right {
                Some(http) => set(case, &maker, "liveness", &format!("http:{}:{at}", http.path)),
                None => Fix::advice("let the probe ask for a path that the program answers"),
            };
            draft(case, &maker, &LIVENESS_PATH, event, says).fix(fix)
        }
        // At a port that is the container's own nobody listens yet, or no more: it is slow, or waits for somebody.
        (How::Timeout | How::Other | How::Error | How::Refused | How::NotFound, _) => {
            if let Some(log) = logs::of(engine, case, true) {
                let roots = soft::by_log(engine, case, log);
                if !roots.is_empty() {
                    return roots;
                }
            }
            let timeout = probe.timeout_seconds.max(1);
            let after =
                probe.initial_delay_seconds + probe.period_seconds.max(1) * probe.failure_threshold.max(1);
            let says = format!(
                "the liveness probe of container {name} gives up after {after} s (each answer within {timeout} s), and the container is killed for it"
            );
            let fix = Fix::advice(
                "add a startupProbe for the start, and give the liveness probe a longer timeoutSeconds and failureThreshold",
            );
            let tight = draft(case, &maker, &LIVENESS_TIGHT, event, says).fix(fix);
            match how(&event.message) {
                How::Timeout => tight,
                _ => tight.likely("its log up to the moment at which it was killed"),
            }
        }
    };
    engine.root(finding)
}

fn startup<'a>(engine: &mut Engine<'a>, case: &Case<'a>, probe: &'a Probe, event: &'a Event) -> Roots {
    let maker = engine.index.maker(case.pod);
    let budget = probe.initial_delay_seconds + probe.period_seconds.max(1) * probe.failure_threshold.max(1);
    // Within its time a start is only a start.
    if case.status.restart_count == 0 {
        return Roots::new();
    }
    let name = &case.container.name;
    let says = format!(
        "container {name} does not start within the {budget} s of its startup probe and is killed for it"
    );
    let finding = draft(case, &maker, &STARTUP_SHORT, event, says).fix(Fix::advice(format!(
        "raise failureThreshold of the startup probe of container {name}, or see in its log what it waits for"
    )));
    engine.root(finding)
}

fn readiness<'a>(engine: &mut Engine<'a>, case: &Case<'a>, probe: &'a Probe, event: &'a Event) -> Roots {
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    let way = how(&event.message);
    let other = case.container.liveness_probe.as_deref();
    if let (How::Refused, Some(wrong)) = (way, port(probe))
        && let Some(better) = better_port(case, &wrong, other)
    {
        let says = format!(
            "the readiness probe of container {name} asks at port {wrong}, where nobody listens; it listens on {better}"
        );
        let fix = with_port(probe, &better)
            .map_or_else(|| Fix::advice("let the probe ask there"), |to| set(case, &maker, "readiness", &to));
        return engine.root(draft(case, &maker, &READINESS_PORT, event, says).fix(fix));
    }
    if let (How::NotFound, Some(http)) = (way, &probe.http_get) {
        let right = other.and_then(|p| p.http_get.as_ref()).filter(|h| h.path != http.path);
        let says =
            format!("the readiness probe of container {name} asks for {}, which is not there", http.path);
        let fix = match right {
            Some(right) => set(case, &maker, "readiness", &format!("http:{}:{}", right.path, http.port)),
            None => Fix::advice("let the probe ask for a path that the program answers"),
        };
        return engine.root(draft(case, &maker, &READINESS_PATH, event, says).fix(fix));
    }
    // The program is there and says no, or does not answer: what it depends on may be why.
    let log = logs::of(engine, case, false);
    if let Some(log) = log {
        for look in [soft::by_log, access::rotated, access::denied] {
            let roots = look(engine, case, log);
            if !roots.is_empty() {
                return roots;
            }
        }
    }
    let roots = soft::by_settings(engine, case);
    if !roots.is_empty() {
        return roots;
    }
    let last = log.and_then(|l| l.lines().rev().find(|l| !l.trim().is_empty())).map(str::trim);
    let what = match way {
        How::Refused => "does not listen on the port of its readiness probe",
        How::Timeout => "does not answer its readiness probe in time",
        _ => "says itself that it is not ready",
    };
    let finding = draft(case, &maker, &READINESS_FAILS, event, format!("container {name} {what}"))
        .fix(Fix::advice(format!("read its log: kai \"show the log of {maker}\"")));
    let finding = match last {
        Some(line) => finding.seen(Object::pod(case.pod), format!("log of {name}"), line.to_owned()),
        None => finding,
    };
    engine.root(finding)
}

/// A pod whose containers are ready and that waits for a condition that somebody else sets.
pub fn gates<'a>(engine: &mut Engine<'a>, pod: &'a crate::model::Pod) -> Roots {
    let conditions = &pod.status.conditions;
    let Some(ready) = condition(conditions, "Ready").filter(|c| c.reason == "ReadinessGatesNotReady") else {
        return Roots::new();
    };
    let unmet: Vec<&str> = pod
        .spec
        .readiness_gates
        .iter()
        .map(|g| g.condition_type.as_str())
        .filter(|g| condition(conditions, g).is_none_or(|c| c.status != "True"))
        .collect();
    if unmet.is_empty() || !ready.last_transition_time.older_than(60, engine.snap.now) {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let finding = Finding::new(
        &READINESS_GATE,
        maker,
        format!("its pods wait for the condition {}, which its controller does not set", unmet.join(", ")),
    )
    .seen(Object::pod(pod), "status.conditions[Ready]", ready.message.clone())
    .since(ready.last_transition_time)
    .fix(Fix::advice(format!("see whether the controller that sets {} runs", unmet.join(", "))));
    engine.root(finding)
}
