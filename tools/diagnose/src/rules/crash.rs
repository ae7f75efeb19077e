//! Containers that end when they should run: for memory, by their own doing, for a change of their settings, or for what
//! they depend on.

use serde_json::json;

use super::{Case, access, jobs, logs, soft};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::revision;
use crate::model::{Keyed, Pod, Terminated};
use crate::quantity;
use crate::snapshot::{Ask, HasMeta, Lookup};

/// The causes of this family.
pub const CAUSES: &[Cause] =
    &[OOM_LIMIT, OOM_NODE, EXIT_0, POST_START, LOST, CONFIG_CHANGE, NEW_REVISION, NATIVE, UNEXPLAINED];

const OOM_LIMIT: Cause =
    Cause::fault("oom-limit", 2, "A container wants more memory than its limit and is killed for it.");
const OOM_NODE: Cause = Cause::fault("oom-node", 2, "The node ran out of memory and killed containers.");
const EXIT_0: Cause =
    Cause::fault("exit0-loop", 3, "A container that should run on ends well, again and again.");
const POST_START: Cause = Cause::fault(
    "poststart-fails",
    3,
    "The postStart hook of a container fails, and the container is killed.",
);
const LOST: Cause = Cause::fault(
    "status-unknown-after-reboot",
    4,
    "A container was lost with its node's reboot, so that nobody knows how it ended.",
);
const CONFIG_CHANGE: Cause = Cause::fault(
    "crash-config-change",
    2,
    "A container crashes since a ConfigMap or Secret that it reads was changed.",
);
const NEW_REVISION: Cause = Cause::fault(
    "crash-new-revision",
    2,
    "The pods of the newest revision crash, and those of the one before run.",
);
const NATIVE: Cause =
    Cause::fault("crash-native-fault", 3, "A program is killed for what it did: a fault in native code.");
const UNEXPLAINED: Cause =
    Cause::fault("crash-unexplained", 3, "A container crashes, and only its own last words say why.");

/// For how long the end of an earlier run says something about a container that runs again.
const RECENT: i64 = 3600;

/// How the container ended last: now, or before it was started again, unless it has run well for long since.
fn ended<'a>(engine: &Engine<'a>, case: &Case<'a>) -> Option<&'a Terminated> {
    if let Some(now) = case.status.state.terminated.as_deref() {
        return Some(now);
    }
    let last = case.status.last_state.terminated.as_deref()?;
    let is_old = case.status.state.running.is_some() && last.finished_at.older_than(RECENT, engine.snap.now);
    (!is_old).then_some(last)
}

/// A container that was killed for memory, or whose hook failed: said by the kubelet itself.
pub fn killed<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let waiting = case.status.state.waiting.as_ref().map_or("", |w| w.reason.as_str());
    let hook = engine.index.event(&case.pod.metadata, "FailedPostStartHook");
    if waiting == "PostStartHookError"
        || (waiting == "CrashLoopBackOff"
            && hook.is_some()
            && case.container.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some()))
    {
        let maker = engine.index.maker(case.pod);
        let said = hook.map_or_else(
            || case.status.state.waiting.as_ref().map_or(String::new(), |w| w.message.clone()),
            |e| e.message.clone(),
        );
        let finding = Finding::new(
            &POST_START,
            maker,
            format!(
                "the postStart hook of container {} fails, and the kubelet kills the container for it",
                case.container.name
            ),
        )
        .which(case.container.name.clone())
        .seen(Object::pod(case.pod), "event FailedPostStartHook", said)
        .observed()
        .fix(Fix::advice("correct the command of the hook, or take the hook out"));
        return engine.root(finding);
    }
    if let Some(end) = ended(engine, case).filter(|t| t.reason == "ContainerStatusUnknown") {
        return lost(engine, case, end);
    }
    let Some(end) = ended(engine, case).filter(|t| t.reason == "OOMKilled") else { return Roots::new() };
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    let Some(limit) = case.container.resources.limits.get("memory") else {
        let node = &case.pod.spec.node_name;
        let finding = Finding::new(
            &OOM_NODE,
            Object::new("node", "", node),
            format!("ran out of memory and killed container {name} of {maker}, which has no memory limit"),
        )
        .seen(Object::pod(case.pod), format!("containers[{name}] lastState"), "OOMKilled")
        .since(end.finished_at)
        .observed()
        .fix(Fix::advice("give its pods memory requests and limits that fit the node together"));
        return engine.root(finding);
    };
    let bytes = limit.milli().map_or(0, |m| m / 1000);
    // Twice as much, in whole mebibytes: enough to see whether it is a leak.
    let mebibytes = (bytes * 2).div_euclid(1 << 20).max(16);
    let times = if case.status.restart_count > 1 {
        format!(", {} times so far", case.status.restart_count)
    } else {
        String::new()
    };
    let says = format!(
        "container {name} needs more memory than its limit of {} and is killed for it{times}",
        quantity::show_bytes(bytes)
    );
    let finding = Finding::new(&OOM_LIMIT, maker.clone(), says)
        .which(name.clone())
        .seen(Object::pod(case.pod), format!("containers[{name}] terminated"), format!("OOMKilled, exit code {}", end.exit_code))
        .since(end.finished_at)
        .fix(Fix::call(
            format!("set the memory limit of container {name} to {mebibytes}Mi"),
            "set",
            json!({"workload": maker.to_string(), "namespace": maker.namespace, "container": name, "memory_limit": format!("{mebibytes}Mi")}),
        ));
    engine.root(finding)
}

/// A container that its kubelet found no more: code 137 is what it writes then, and nobody killed it.
fn lost<'a>(engine: &mut Engine<'a>, case: &Case<'a>, end: &Terminated) -> Roots {
    let Lookup::Found(node) = engine.snap.nodes.find("", &case.pod.spec.node_name) else {
        return Roots::new();
    };
    let Some(event) = engine.index.node_events(node).into_iter().find(|e| e.reason == "Rebooted") else {
        return Roots::new();
    };
    if event.last() < case.pod.metadata.creation_timestamp {
        return Roots::new();
    }
    let object = Object::of("node", &node.metadata);
    let says = "was rebooted, and containers on it were lost without an end that anybody saw";
    let finding = Finding::new(&LOST, object.clone(), says)
        .seen(object.clone(), "event Rebooted", event.message.clone())
        .seen(
            Object::pod(case.pod),
            format!("containers[{}] terminated", case.container.name),
            format!("{}, exit code {}", end.reason, end.exit_code),
        )
        .since(event.first())
        .observed()
        .fix(Fix::advice(format!("see who rebooted {object}, and drain it before the next time")));
    engine.root(finding)
}

/// A container that ends by its own doing.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let is_job = matches!(case.pod.spec.restart_policy.as_str(), "Never" | "OnFailure");
    let Some(end) = ended(engine, case) else { return Roots::new() };
    let waits = case.status.state.waiting.as_ref().is_some_and(|w| w.reason == "CrashLoopBackOff");
    let is_over = case.status.state.terminated.is_some();
    let runs_again = case.status.state.running.is_some() && case.status.restart_count > 0;
    if !(waits || is_over || runs_again) || case.is_init && end.exit_code == 0 {
        return Roots::new();
    }
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    if end.exit_code == 0 {
        if is_job || !waits {
            return Roots::new();
        }
        let says = format!(
            "container {name} ends well and is started again each time: its program is none that runs on"
        );
        let finding = Finding::new(&EXIT_0, maker, says)
            .which(name.clone())
            .seen(
                Object::pod(case.pod),
                format!("containers[{name}] lastState"),
                format!("{}, exit code 0, {} restarts", end.reason, case.status.restart_count),
            )
            .since(end.finished_at)
            .observed()
            .fix(Fix::advice("give it a command that runs on, or run it as a Job"));
        return engine.root(finding);
    }
    let log = logs::of(engine, case, !is_over);
    if let Some(log) = log {
        for look in [access::denied, access::refused_since, soft::by_log] {
            let roots = look(engine, case, log);
            if !roots.is_empty() {
                return roots;
            }
        }
    }
    // Without its words, a Service that its settings name and that is broken is the likeliest reason.
    if log.is_none() {
        let roots = soft::by_broken(engine, case);
        if !roots.is_empty() {
            return roots;
        }
    }
    if jobs::still_tries(engine, case.pod) {
        return Roots::new();
    }
    let last = log.and_then(|l| l.lines().rev().find(|l| !l.trim().is_empty())).map(str::trim);
    // Who writes a termination message means it as the reason; what the runtime writes there is not the program's.
    let told = end.message.lines().rev().find(|l| !l.trim().is_empty()).map(str::trim);
    let told = told.filter(|_| end.exit_code != 128);
    let with_words = |f: Finding| {
        let f = f.seen(
            Object::pod(case.pod),
            format!("containers[{name}] terminated"),
            format!("exit code {}, {}", end.exit_code, meaning(end.exit_code)),
        );
        let f = match told {
            Some(line) => f.seen(
                Object::pod(case.pod),
                format!("containers[{name}] termination message"),
                line.to_owned(),
            ),
            None => f,
        };
        match last {
            Some(line) => f.seen(Object::pod(case.pod), format!("log of {name}"), line.to_owned()),
            None => f,
        }
    };
    if let Some(finding) = new_revision(engine, case.pod, &maker) {
        return engine.root(with_words(finding).since(end.finished_at));
    }
    if let Some(finding) = config_change(engine, case, end, &maker) {
        return engine.root(with_words(finding));
    }
    let native = matches!(end.exit_code, 132 | 134 | 136 | 139);
    let how = match told.or(last) {
        Some(line) => format!("its last words: {}", cut(line)),
        None => "its log could not be read".to_owned(),
    };
    let exit = end.exit_code;
    let finding = if native {
        Finding::new(
            &NATIVE,
            maker.clone(),
            format!("container {name} ends with {exit}, {}: {how}", meaning(exit)),
        )
        .observed()
        .fix(Fix::advice("go back to the image before, and report the fault to whoever builds it"))
    } else {
        Finding::new(
            &UNEXPLAINED,
            maker.clone(),
            format!("container {name} ends with {exit} ({}); {how}", meaning(exit)),
        )
        .observed()
        .fix(Fix::advice(format!("read its log: kai \"show the log of {maker} before the crash\"")))
    };
    engine.root(with_words(finding.which(name.clone())).since(end.finished_at))
}

/// What an exit code means by convention.
fn meaning(code: i64) -> &'static str {
    match code {
        0 => "it finished",
        1 | 2 => "an error of the program",
        126 => "its command may not be executed",
        127 => "its command was not found",
        128 => "it could not be started",
        130 => "interrupted",
        132 => "an illegal instruction",
        134 => "it aborted",
        136 => "an arithmetic fault",
        137 => "killed",
        139 => "a segmentation fault",
        143 => "asked to stop",
        _ => "the program's own code",
    }
}

/// A line that fits a sentence.
pub fn cut(line: &str) -> String {
    let mut out: String = line.chars().take(160).collect();
    if out.len() < line.len() {
        out.push_str("...");
    }
    out.trim_end_matches('.').to_owned()
}

/// The pod is of the newest revision and crashes, while one of an older revision serves.
fn new_revision(engine: &mut Engine<'_>, pod: &Pod, maker: &Object) -> Option<Finding> {
    let index = engine.index;
    let workload = index.workload_named(maker)?;
    let hash = |p: &Pod| {
        let labels = &p.metadata.labels;
        labels.get("pod-template-hash").or_else(|| labels.get("controller-revision-hash")).cloned()
    };
    let mine = hash(pod)?;
    let older: Vec<&&Pod> =
        workload.pods.iter().filter(|p| hash(p).is_some_and(|h| h != mine) && p.is_ready()).collect();
    if older.is_empty() {
        return None;
    }
    if let Some(set) = engine.index.set_of(pod) {
        let newest = engine.index.revisions(workload.meta).first().map(|s| revision(s))?;
        if revision(set) != newest {
            return None;
        }
    }
    let arguments = json!({"action": "undo", "workload": maker.to_string(), "namespace": maker.namespace});
    let n = older.len();
    let says = format!("its newest revision crashes, and the {n} pods of the one before run");
    let says = says.replace("the 1 pods", "the pod");
    let says = if n == 1 { says.replace(" run", " runs") } else { says };
    let changed = differences(engine, workload.meta);
    let finding = Finding::new(&NEW_REVISION, maker.clone(), says).observed().fix(Fix::call(
        format!("roll {maker} back to the revision before"),
        "rollout",
        arguments,
    ));
    Some(match changed {
        Some(changed) => finding.changed(changed),
        None => finding,
    })
}

/// What the two newest revisions differ in, where their templates are known.
fn differences(engine: &mut Engine<'_>, meta: &crate::model::Meta) -> Option<String> {
    let index = engine.index;
    let [new, old, ..] = index.revisions(meta) else { return None };
    for set in [new, old].into_iter().filter(|s| s.spec.template.is_none()) {
        let (namespace, name) = (set.metadata.namespace.clone(), set.metadata.name.clone());
        engine.ask(Ask::Object { kind: "replicasets", namespace, name });
    }
    let (new, old) = (new.spec.template.as_ref()?, old.spec.template.as_ref()?);
    let mut all = Vec::new();
    for container in &new.spec.containers {
        let Some(before) = old.spec.containers.iter().find(|c| c.name == container.name) else {
            all.push(format!("container {} is new", container.name));
            continue;
        };
        if container.image != before.image {
            all.push(format!("image {} → {}", before.image, container.image));
        }
        if container.command != before.command || container.args != before.args {
            all.push(format!("the command of container {}", container.name));
        }
        let names = |c: &crate::model::Container| c.env.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        let gone: Vec<String> = names(before).into_iter().filter(|n| !names(container).contains(n)).collect();
        if !gone.is_empty() {
            all.push(format!("without the variable {}", gone.join(", ")));
        }
    }
    (!all.is_empty()).then(|| all.join("; "))
}

/// A ConfigMap or Secret that the pod reads was written after the pod had started well, and it crashes since.
fn config_change(engine: &Engine<'_>, case: &Case<'_>, end: &Terminated, maker: &Object) -> Option<Finding> {
    let pod = case.pod;
    let began = pod.status.start_time.0?;
    let crashed = end.finished_at.0?;
    let namespace = &pod.metadata.namespace;
    let mut read: Vec<(&'static str, &str)> = Vec::new();
    for from in &case.container.env_from {
        read.extend(from.config_map_ref.iter().map(|r| ("configmap", r.name.as_str())));
        read.extend(from.secret_ref.iter().map(|r| ("secret", r.name.as_str())));
    }
    for source in case.container.env.iter().filter_map(|e| e.value_from.as_ref()) {
        read.extend(source.config_map_key_ref.iter().map(|r| ("configmap", r.name.as_str())));
        read.extend(source.secret_key_ref.iter().map(|r| ("secret", r.name.as_str())));
    }
    for volume in &pod.spec.volumes {
        read.extend(volume.config_map.iter().map(|s| ("configmap", s.name())));
        read.extend(volume.secret.iter().map(|s| ("secret", s.name())));
    }
    let written = |kind: &str, name: &str| -> Option<&Keyed> {
        let list = if kind == "secret" { &engine.snap.secrets } else { &engine.snap.config_maps };
        match list.find(namespace, name) {
            Lookup::Found(object) => Some(object),
            _ => None,
        }
    };
    let mut late: Vec<(jiff::Timestamp, &'static str, &str, &str)> = read
        .into_iter()
        .filter_map(|(kind, name)| {
            let meta = written(kind, name)?.meta();
            let at = meta.written.at.0?;
            // It ran for a while before somebody wrote: what was so from the start is no change.
            (at.as_second() > began.as_second() + 30 && at <= crashed).then_some((
                at,
                kind,
                name,
                &*meta.written.by,
            ))
        })
        .collect();
    late.sort();
    let (at, kind, name, by) = late.pop()?;
    let says = format!("was changed by {by} after {maker} had started, and {maker} crashes since");
    Some(
        Finding::new(&CONFIG_CHANGE, Object::new(kind, namespace, name), says)
            .since(crate::model::Moment(Some(at)))
            .changed(format!("{kind} {name} was written by {by}"))
            .likely("a line of the log that names the setting")
            .fix(Fix::advice(format!(
                "bring the earlier values of {kind} {name} back, then restart {maker}"
            ))),
    )
}
