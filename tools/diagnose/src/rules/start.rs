//! Containers that the runtime cannot make or start, whatever the program in them would do.

use serde_json::json;

use super::Case;
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Pod, Terminated};
use crate::snapshot::LogOf;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    RUN_AS_NON_ROOT,
    COMMAND_NOT_FOUND,
    COMMAND_NOT_EXECUTABLE,
    SUBPATH,
    HOSTPATH_TYPE,
    PORT_CLASH,
    READONLY_ROOT,
    VOLUME_PERMISSION,
    SYSCTL,
];

const RUN_AS_NON_ROOT: Cause = Cause::fault(
    "runasnonroot-conflict",
    2,
    "The pod may not run as root, and the image runs as root or as a user that has a name only.",
);
const COMMAND_NOT_FOUND: Cause =
    Cause::fault("command-not-found", 2, "The command of a container is not in its image.");
const COMMAND_NOT_EXECUTABLE: Cause =
    Cause::fault("command-not-executable", 2, "The command of a container may not be executed.");
const SUBPATH: Cause = Cause::fault(
    "subpath-or-workdir-bad",
    3,
    "A subPath or working directory of a container cannot be made.",
);
const HOSTPATH_TYPE: Cause =
    Cause::fault("hostpath-type-mismatch", 3, "A path of the node is not of the type that the pod wants.");
const PORT_CLASH: Cause = Cause::fault(
    "port-clash-in-pod",
    2,
    "A port that a container listens on is taken in its pod or on its node.",
);
const READONLY_ROOT: Cause = Cause::fault(
    "readonly-rootfs-write",
    3,
    "A program writes to its root filesystem, which the pod makes read-only.",
);
const VOLUME_PERMISSION: Cause = Cause::fault(
    "volume-permission",
    3,
    "A program may not write to a volume, because it belongs to another user.",
);
const SYSCTL: Cause = Cause::fault(
    "sysctl-seccomp-apparmor-rejected",
    3,
    "The node refuses a sysctl, a seccomp profile or an AppArmor profile of a pod.",
);

/// A volume of the node that is not what the pod says it is.
pub fn volumes<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Pending" || pod.spec.node_name.is_empty() {
        return Roots::new();
    }
    let Some(event) = engine.index.event(&pod.metadata, "FailedMount") else { return Roots::new() };
    if !event.message.contains("hostPath type check failed") {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let meant =
        pod.spec.volumes.iter().find(|v| {
            v.host_path.as_ref().is_some_and(|h| event.message.contains(h.path.trim_end_matches('/')))
        });
    let says = match meant.and_then(|v| v.host_path.as_ref().map(|h| (v, h))) {
        Some((volume, path)) => {
            format!(
                "{} on node {} is no {} (volume {})",
                path.path, pod.spec.node_name, path.kind, volume.name
            )
        }
        None => format!("a path on node {} is not of the type that its volume wants", pod.spec.node_name),
    };
    let finding = Finding::new(&HOSTPATH_TYPE, maker, says)
        .seen(Object::pod(pod), "event FailedMount", event.message.clone())
        .since(event.first())
        .observed()
        .fix(Fix::advice(
            "correct path or type of the volume; DirectoryOrCreate makes a folder that is not there",
        ));
    engine.root(finding)
}

/// A pod that its node refused for what it asks of the kernel.
pub fn refused<'a>(engine: &mut Engine<'a>, pod: &'a Pod) -> Roots {
    if pod.status.phase != "Failed" || !matches!(pod.status.reason.as_str(), "SysctlForbidden" | "AppArmor") {
        return Roots::new();
    }
    let maker = engine.index.maker(pod);
    let names: Vec<&str> = pod
        .spec
        .security_context
        .iter()
        .flat_map(|c| &c.sysctls)
        .map(|s| s.name.as_str())
        .filter(|n| pod.status.message.contains(n))
        .collect();
    let what = if names.is_empty() {
        "what its security context asks for".to_owned()
    } else {
        format!("the sysctl {}", names.join(", "))
    };
    let finding = Finding::new(&SYSCTL, maker, format!("node {} forbids {what}", pod.spec.node_name))
        .seen(Object::pod(pod), format!("status.reason {}", pod.status.reason), pod.status.message.clone())
        .since(pod.metadata.creation_timestamp)
        .observed()
        .fix(Fix::advice(
            "leave it out of the security context, or allow it on the nodes (--allowed-unsafe-sysctls)",
        ));
    engine.root(finding)
}

/// A container that the runtime cannot make or start.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let waiting = case.status.state.waiting.as_ref();
    let reason = waiting.map_or("", |w| w.reason.as_str());
    let ended =
        [&case.status.state.terminated, &case.status.last_state.terminated].into_iter().flatten().next();
    let start_error = ended
        .filter(|t| matches!(t.reason.as_str(), "StartError" | "ContainerCannotRun"))
        .map(|t| t.message.as_str());
    let message = waiting.map_or("", |w| w.message.as_str());
    let said = match (reason, start_error) {
        ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError", _) => message,
        ("CrashLoopBackOff" | "", Some(text)) => text,
        _ => return by_log(engine, case, ended.map(|t| &**t)),
    };
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    let spec = |cause: &Cause, says: String| {
        Finding::new(cause, maker.clone(), says)
            .which(name.clone())
            .seen(
                Object::pod(case.pod),
                format!("containers[{name}] {}", if reason.is_empty() { "StartError" } else { reason }),
                said.to_owned(),
            )
            .since(case.pod.metadata.creation_timestamp)
            .observed()
    };
    let low = said.to_lowercase();
    let command = case.container.command.first().map(String::as_str);
    if low.contains("runasnonroot") || low.contains("non-root") {
        let says = format!(
            "container {name} must not run as root (runAsNonRoot), and the image {} runs as root or names its user instead of numbering it",
            case.container.image
        );
        let fix = Fix::advice(format!(
            "set runAsUser of container {name} to the number of a user that the image is made for"
        ));
        return engine.root(spec(&RUN_AS_NON_ROOT, says).fix(fix));
    }
    if low.contains("subpath")
        || low.contains("working directory")
        || low.contains("mkdir ")
        || low.contains("chdir")
    {
        let says = format!("a subPath or the working directory of container {name} cannot be made");
        return engine.root(
            spec(&SUBPATH, says)
                .fix(Fix::advice("correct subPath, mountPath or workingDir: the message names the path")),
        );
    }
    if low.contains("seccomp") || low.contains("apparmor") {
        let says = format!("the node cannot use the security profile of container {name}");
        return engine.root(
            spec(&SYSCTL, says).fix(Fix::advice("install the profile on the nodes, or use RuntimeDefault")),
        );
    }
    if low.contains("executable file not found")
        || low.contains("no such file or directory") && low.contains("exec")
    {
        let what = quoted(said).or(command).unwrap_or("its command");
        let says = format!("the image {} has no program `{what}` (container {name})", case.container.image);
        return engine.root(spec(&COMMAND_NOT_FOUND, says).fix(back(
            engine,
            &maker,
            format!("correct the command of container {name}"),
        )));
    }
    if low.contains("permission denied") {
        let what = quoted(said).or(command).unwrap_or("its command");
        let says = format!("`{what}` may not be executed in container {name}");
        let from_config = case.pod.spec.volumes.iter().any(|v| {
            v.config_map.is_some()
                && case
                    .container
                    .volume_mounts
                    .iter()
                    .any(|m| m.name == v.name && what.starts_with(&m.mount_path))
        });
        let fix = if from_config {
            Fix::advice("set defaultMode of its ConfigMap volume to 0755")
        } else {
            Fix::advice(format!("make it executable in the image {}", case.container.image))
        };
        return engine.root(spec(&COMMAND_NOT_EXECUTABLE, says).fix(fix));
    }
    Roots::new()
}

/// The word in the first pair of quotes that is a command: `exec: "nginxx": executable file not found`.
fn quoted(said: &str) -> Option<&str> {
    let at = said.find("exec: \"").map(|at| at + 7)?;
    said.get(at..)?.split('"').next().map(|w| w.trim_end_matches('\\')).filter(|w| !w.is_empty())
}

/// What a shell did not find: `sh: 1: ngnix: not found`, `bash: line 1: ngnix: command not found`.
fn missing(line: &str) -> Option<&str> {
    let line = line.trim();
    let before = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"))?;
    let (_, what) = before.rsplit_once(": ")?;
    (!what.is_empty() && !what.contains(char::is_whitespace)).then_some(what)
}

/// Back to the revision before, where there is one.
fn back(engine: &Engine<'_>, maker: &Object, advice: String) -> Fix {
    let revisions = engine.index.workload_named(maker).map_or(0, |w| engine.index.revisions(w.meta).len());
    if revisions > 1 {
        let arguments =
            json!({"action": "undo", "workload": maker.to_string(), "namespace": maker.namespace});
        return Fix::call(format!("roll {maker} back to the revision before"), "rollout", arguments);
    }
    Fix::advice(advice)
}

/// What only the program's own last words say, and the pod's settings confirm.
fn by_log<'a>(engine: &mut Engine<'a>, case: &Case<'a>, ended: Option<&'a Terminated>) -> Roots {
    let Some(ended) = ended.filter(|t| t.exit_code != 0 && t.reason != "OOMKilled") else {
        return Roots::new();
    };
    let is_previous = case.status.state.terminated.is_none();
    let log = engine.log(LogOf {
        namespace: case.pod.metadata.namespace.clone(),
        pod: case.pod.metadata.name.clone(),
        container: case.container.name.clone(),
        previous: is_previous,
    });
    let Some(log) = log else { return Roots::new() };
    let line = |tokens: &[&str]| {
        log.lines().rev().find(|l| {
            let low = l.to_lowercase();
            tokens.iter().any(|t| low.contains(t))
        })
    };
    let maker = engine.index.maker(case.pod);
    let name = &case.container.name;
    let spec = |cause: &Cause, says: String, line: &str| {
        Finding::new(cause, maker.clone(), says)
            .which(name.clone())
            .seen(Object::pod(case.pod), format!("log of {name}"), line.trim().to_owned())
            .since(ended.finished_at)
    };
    // A shell runs, and what it is to start is not there: the kubelet sees nothing wrong with that.
    let missing =
        (ended.exit_code == 127).then(|| log.lines().rev().find_map(|l| Some((missing(l)?, l)))).flatten();
    if let Some((what, said)) = missing {
        let says = format!("the image {} has no program `{what}` (container {name})", case.container.image);
        let fix = back(engine, &maker, format!("correct the command of container {name}"));
        return engine.root(spec(&COMMAND_NOT_FOUND, says, said).observed().fix(fix));
    }
    if let Some(said) = line(&["address already in use", "eaddrinuse"]) {
        let ports =
            |c: &crate::model::Container| c.ports.iter().map(|p| p.container_port).collect::<Vec<_>>();
        let mine = ports(case.container);
        let other = case
            .pod
            .spec
            .containers
            .iter()
            .find(|c| c.name != *name && ports(c).iter().any(|p| mine.contains(p)));
        let says = match other {
            Some(other) => format!("containers {name} and {} of one pod listen on the same port", other.name),
            None => format!("a port that container {name} listens on is taken"),
        };
        let finding = spec(&PORT_CLASH, says, said)
            .fix(Fix::advice(format!("let container {name} listen on a port of its own")));
        let finding = if other.is_some() {
            finding.observed()
        } else {
            finding.likely("which program has the port: kai \"show the log\" of the other containers")
        };
        return engine.root(finding);
    }
    if let Some(said) = line(&["read-only file system", "erofs"]) {
        let is_set = case
            .container
            .security_context
            .as_ref()
            .is_some_and(|c| c.read_only_root_filesystem == Some(true));
        if is_set {
            let says = format!(
                "container {name} writes to its root filesystem, which readOnlyRootFilesystem forbids"
            );
            let fix = Fix::advice(format!("mount an emptyDir where container {name} writes"));
            return engine.root(spec(&READONLY_ROOT, says, said).observed().fix(fix));
        }
    }
    if let Some(said) = line(&["permission denied", "eacces"]) {
        let mount = case.container.volume_mounts.iter().find(|m| said.contains(m.mount_path.as_str()));
        let context = case.pod.spec.security_context.as_ref();
        let has_group = context.is_some_and(|c| c.fs_group.is_some());
        if let Some(mount) = mount.filter(|_| !has_group) {
            let says = format!(
                "container {name} may not write to {}: the volume belongs to another user, and no fsGroup is set",
                mount.mount_path
            );
            let fix = Fix::advice(
                "set fsGroup in the pod's security context to the group that the program runs as",
            );
            return engine.root(
                spec(&VOLUME_PERMISSION, says, said)
                    .likely("whom the files in the volume belong to")
                    .fix(fix),
            );
        }
    }
    Roots::new()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn what_shells_do_not_find() {
        assert_eq!(missing("sh: 1: ngnix: not found"), Some("ngnix"));
        assert_eq!(missing("/entrypoint.sh: line 4: gosu: command not found\n"), Some("gosu"));
        assert_eq!(missing("sh: /app/run: not found"), Some("/app/run"));
        assert_eq!(missing("GET /favicon.ico: not found"), None);
        assert_eq!(missing("error: key not found"), None);
    }
}
