//! What the pod security level of a namespace refuses. A Deployment is taken all the same, and its pods are not: so it is
//! said before. The rules are those of the Pod Security Standards, `baseline` and `restricted`.

use serde_json::Value;

use super::pods::{Container, Pods};
use super::set::{Found, Set};
use crate::object::{items, text};

const LEVEL: &str = "/metadata/labels/pod-security.kubernetes.io~1enforce";
/// Capabilities that a container may add.
const ADDABLE: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const VOLUMES: [&str; 9] = [
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        let name = set.namespace(pods.doc);
        let Found::Here(namespace) = set.find("namespace", "", name) else { continue };
        let level = text(namespace, LEVEL);
        if !matches!(level, "baseline" | "restricted") {
            continue;
        }
        let restricted = level == "restricted";
        let mut faults = faults(&pods, restricted);
        if faults.is_empty() {
            continue;
        }
        let more = faults.len().saturating_sub(4);
        faults.truncate(4);
        let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
        let says = format!(
            "namespace {name} enforces the pod security level {level}, so no pod is created: {}{rest}",
            faults.join("; ")
        );
        let fix = if restricted {
            "Set securityContext: runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, and on each container allowPrivilegeEscalation: false and capabilities: {drop: [ALL]}"
        } else {
            "Leave these out of the pod template, or use a namespace of another level"
        };
        set.problem("pod-security", pods.doc, &pods.path(""), says, fix);
    }
}

/// Everything that the level refuses.
fn faults(pods: &Pods<'_>, restricted: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pods.spec[field] == true {
            faults.push(format!("{field} is not allowed"));
        }
    }
    for volume in items(pods.spec, "/volumes") {
        let kinds = volume.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
        let refused = |kind: &&str| if restricted { !VOLUMES.contains(kind) } else { *kind == "hostPath" };
        faults.extend(kinds.filter(refused).map(|kind| format!("{kind} volumes are not allowed")));
    }
    for sysctl in items(pods.spec, "/securityContext/sysctls").iter().map(|s| text(s, "/name")) {
        if !SYSCTLS.contains(&sysctl) {
            faults.push(format!("the sysctl {sysctl} is not allowed"));
        }
    }
    let annotations =
        pods.doc.value.pointer(&format!("{}/metadata/annotations", pods.at)).and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        let profile = value.as_str().unwrap_or("");
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && !(profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/"))
        {
            faults.push("the AppArmor profile is not allowed".into());
        }
    }
    context(pods.spec.get("securityContext"), "the pod", &mut faults);
    // Windows has none of what `restricted` speaks of.
    let beyond_baseline = restricted && text(pods.spec, "/os/name") != "windows";
    for container in pods.containers() {
        let name = container.name();
        context(container.value.get("securityContext"), name, &mut faults);
        baseline(&container, restricted, &mut faults);
        if beyond_baseline {
            beyond(pods, &container, &mut faults);
        }
    }
    faults
}

/// What a securityContext may not say, of a pod or of a container.
fn context(context: Option<&Value>, whose: &str, faults: &mut Vec<String>) {
    let Some(context) = context else { return };
    for (path, what) in
        [("/seccompProfile/type", "seccompProfile"), ("/appArmorProfile/type", "appArmorProfile")]
    {
        if text(context, path) == "Unconfined" {
            faults.push(format!("the {what} of {whose} is Unconfined"));
        }
    }
    let selinux = |field: &str| text(context, &format!("/seLinuxOptions/{field}"));
    if !SELINUX_TYPES.contains(&selinux("type")) || !selinux("user").is_empty() || !selinux("role").is_empty()
    {
        faults.push(format!("the seLinuxOptions of {whose} are not allowed"));
    }
    if context.pointer("/windowsOptions/hostProcess") == Some(&Value::Bool(true)) {
        faults.push(format!("hostProcess of {whose} is not allowed"));
    }
}

fn baseline(container: &Container<'_>, restricted: bool, faults: &mut Vec<String>) {
    let name = container.name();
    if container.value.pointer("/securityContext/privileged") == Some(&Value::Bool(true)) {
        faults.push(format!("{name} is privileged"));
    }
    for added in items(container.value, "/securityContext/capabilities/add").iter().filter_map(Value::as_str)
    {
        let allowed = if restricted { added == "NET_BIND_SERVICE" } else { ADDABLE.contains(&added) };
        if !allowed {
            faults.push(format!("{name} adds the capability {added}"));
        }
    }
    if items(container.value, "/ports")
        .iter()
        .any(|p| p.get("hostPort").is_some_and(|h| h.as_i64() != Some(0)))
    {
        faults.push(format!("{name} has a hostPort"));
    }
    if !matches!(text(container.value, "/securityContext/procMount"), "" | "Default") {
        faults.push(format!("the procMount of {name} is not allowed"));
    }
    let handlers =
        ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/preStop", "lifecycle/postStart"];
    let other_host = |handler: &&str| {
        ["httpGet", "tcpSocket"]
            .iter()
            .any(|w| !text(container.value, &format!("/{handler}/{w}/host")).is_empty())
    };
    if handlers.iter().any(other_host) {
        faults.push(format!("a probe or hook of {name} names another host"));
    }
}

/// What `restricted` wants besides.
fn beyond(pods: &Pods<'_>, container: &Container<'_>, faults: &mut Vec<String>) {
    let name = container.name();
    let own = |path: &str| container.value.pointer(&format!("/securityContext{path}"));
    let either = |path: &str| own(path).or_else(|| pods.spec.pointer(&format!("/securityContext{path}")));
    if either("/runAsNonRoot") != Some(&Value::Bool(true)) {
        faults.push(format!("{name} lacks runAsNonRoot: true"));
    }
    if either("/runAsUser").and_then(Value::as_i64) == Some(0) {
        faults.push(format!("{name} runs as user 0"));
    }
    if own("/allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        faults.push(format!("{name} lacks allowPrivilegeEscalation: false"));
    }
    if !items(container.value, "/securityContext/capabilities/drop").iter().any(|c| c == "ALL") {
        faults.push(format!("{name} does not drop ALL capabilities"));
    }
    if !matches!(either("/seccompProfile/type").and_then(Value::as_str), Some("RuntimeDefault" | "Localhost"))
    {
        faults.push(format!("{name} lacks a seccompProfile"));
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn pod(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec:\n  {spec}\n---\n")
    }

    fn namespace(level: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{pod-security.kubernetes.io/enforce: {level}}}}}\n---\n"
        )
    }

    const PLAIN: &str = "containers: [{name: c, image: 'x:1'}]";
    const GOOD: &str = "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n  containers: [{name: c, image: 'x:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]";

    #[test]
    fn restricted() {
        let restricted = |spec: &str| format!("{}{}", namespace("restricted"), pod(spec));
        finds(
            &restricted(PLAIN),
            "",
            "pod-security",
            &["so no pod is created", "c lacks runAsNonRoot: true"],
        );
        let volume = format!("volumes: [{{name: v, nfs: {{}}}}]\n  {GOOD}");
        finds(&restricted(&volume), "", "pod-security", &["nfs volumes are not allowed"]);
        quiet(&restricted(GOOD), "", "pod-security");
        quiet(&restricted(&volume.replace("nfs", "emptyDir")), "", "pod-security");
    }

    #[test]
    fn baseline() {
        let live = namespace("baseline");
        for (spec, says) in [
            ("hostNetwork: true\n  containers: []", "hostNetwork is not allowed"),
            ("containers: [{name: c, securityContext: {privileged: true}}]", "c is privileged"),
            (
                "containers: [{name: c, securityContext: {capabilities: {add: [NET_ADMIN]}}}]",
                "capability NET_ADMIN",
            ),
            ("containers: [{name: c, ports: [{hostPort: 80}]}]", "hostPort"),
            ("securityContext: {seccompProfile: {type: Unconfined}}\n  containers: []", "Unconfined"),
            ("securityContext: {sysctls: [{name: kernel.msgmax}]}\n  containers: []", "kernel.msgmax"),
        ] {
            finds(&pod(spec), &live, "pod-security", &[says]);
        }
        quiet(&pod(PLAIN), &live, "pod-security");
        quiet(
            &format!("{}{}", namespace("privileged"), pod("hostNetwork: true\n  containers: []")),
            "",
            "pod-security",
        );
    }
}
