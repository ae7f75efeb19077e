//! What a deploy makes: the manifests, with the defaults and the reason of each (pure).

use serde_json::{Map, Value, json};

use super::shorthand::{EnvFrom, Mount, Source, env_from, mount, probe};
use super::{Deploy, ServiceType};
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{items, text};
use crate::review::{Level, Line};

/// The objects of a new deployment, with what is to be said about the defaults.
pub(super) struct Built {
    pub objects: Vec<(&'static str, Value)>,
    pub lines: Vec<Line>,
}

/// An image without its tag and digest.
pub(in crate::catalog) fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rfind(':') {
        Some(at) if !image[at..].contains('/') => &image[..at],
        _ => image,
    }
}

/// Everything that a new workload gets.
pub(super) fn build(d: &Deploy, namespace: &str, image: &str, ports: &[u16]) -> Result<Built, ToolError> {
    let mut lines = Vec::new();
    let mut say = |text: String| lines.push(Line::new(Level::Fact, "default", text));
    let mounts = mounts(d)?;
    let mut container = container(d, ports.first().copied())?;
    container["name"] = json!(d.name);
    container["image"] = json!(image);
    if !ports.is_empty() {
        container["ports"] = container_ports(ports);
    }
    let resources = &mut container["resources"];
    let mut fill = |path: &str, kind: &str, value: &str, why: &str| {
        let (group, name) = path.split_once('/').unwrap_or((path, ""));
        if resources[group][name].is_null() {
            resources[group][name] = json!(value);
            say(format!("{kind} {value}: {why}"));
        }
    };
    fill("requests/cpu", "CPU request", "100m", "so that the scheduler keeps room for it");
    fill("requests/memory", "memory request", "128Mi", "so that the scheduler keeps room for it");
    if d.memory_limit.is_none() {
        let asked = d.memory_request.as_deref().and_then(crate::quantity::whole).unwrap_or(0);
        let limit = asked.max(256 << 20) * 2;
        let shown = format!("{}Mi", limit >> 20);
        fill("limits/memory", "memory limit", &shown, "a leak then ends this pod and not its neighbours");
    }
    if container.get("readinessProbe").is_none()
        && d.readiness.as_deref() != Some("none")
        && let Some(port) = ports.first()
    {
        container["readinessProbe"] = json!({"tcpSocket": {"port": port}, "periodSeconds": 5});
        say(format!("readiness: port {port} answers; no traffic comes before it does"));
    }
    if container["securityContext"]["allowPrivilegeEscalation"].is_null() {
        container["securityContext"]["allowPrivilegeEscalation"] = json!(false);
        say("no privilege escalation: hardly any program needs it".into());
    }
    let mut pod = pod(d, &mounts);
    pod["containers"] = json!([container]);
    pod["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    if d.service_account.is_none() {
        pod["automountServiceAccountToken"] = json!(false);
        say("no API token in the pod: no service account was asked for".into());
    }
    let replicas = d.replicas.or(d.min_replicas).unwrap_or(1);
    if d.replicas.is_none() && d.min_replicas.is_none() {
        say("1 replica: a restart is an outage; ask for 2 or more to avoid it".into());
    }
    let labels = json!({"app": d.name, "app.kubernetes.io/name": d.name});
    if replicas > 1 || d.max_replicas.is_some() {
        pod["topologySpreadConstraints"] = json!([{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": d.name}},
        }]);
        say("spread over nodes where there are several: one lost node does not take all".into());
    }
    let per_pod = d.per_pod == Some(true);
    let claims: Vec<&Mount> = mounts.iter().filter(|m| matches!(m.source, Source::Claim { .. })).collect();
    if per_pod && claims.is_empty() {
        return Err(ToolError::Invalid(
            "deploy: `per_pod` is about storage: give a claim in `mounts`, such as /data=5Gi".into(),
        ));
    }
    let mut spec = json!({
        "selector": {"matchLabels": {"app": d.name}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    });
    // An autoscaler decides about the replicas; a manifest that says them would fight it.
    if d.max_replicas.is_none() {
        spec["replicas"] = json!(replicas);
    }
    let named = |kind: &str, api: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": d.name, "namespace": namespace, "labels": labels}});
    let mut objects = Vec::new();
    let kind = if per_pod { "statefulset" } else { "deployment" };
    let mut workload = named(if per_pod { "StatefulSet" } else { "Deployment" }, "apps/v1");
    if per_pod {
        spec["serviceName"] = json!(d.name);
        spec["volumeClaimTemplates"] = claims.iter().map(|m| claim(m, &m.volume, None)).collect();
    } else {
        for m in &claims {
            objects.push(("persistentvolumeclaim", claim(m, &claim_name(d, m), Some(namespace))));
        }
        if !claims.is_empty() {
            spec["strategy"] = json!({"type": "Recreate"});
            say("Recreate: the old pod lets go of the volume before the new one takes it".into());
            if replicas > 1 {
                return Err(ToolError::Invalid(format!(
                    "deploy: {replicas} replicas cannot share one claim that a single node mounts; use `per_pod` for storage of their own"
                )));
            }
        }
    }
    workload["spec"] = spec;
    let service = service(d, namespace, ports, per_pod).filter(|_| per_pod || d.wants_service());
    objects.extend(service.map(|s| ("service", s)));
    objects.push((kind, workload));
    objects.extend(autoscaler(d, namespace, if per_pod { "StatefulSet" } else { "Deployment" }));
    objects.extend(ingress(d, namespace, ports));
    Ok(Built { objects, lines })
}

/// What an existing workload is told: the asked fields alone.
pub(super) fn asked(
    d: &Deploy,
    namespace: &str,
    container_name: &str,
    live: &Resolved,
) -> Result<Vec<(&'static str, Value)>, ToolError> {
    let declared: Vec<u16> = items(&live.live, "/spec/template/spec/containers")
        .iter()
        .filter(|c| text(c, "/name") == container_name)
        .flat_map(|c| items(c, "/ports"))
        .filter_map(|p| p["containerPort"].as_u64()?.try_into().ok())
        .collect();
    let ports = d.ports.clone().unwrap_or(declared);
    let mounts = mounts(d)?;
    let mut container = container(d, ports.first().copied())?;
    container["name"] = json!(container_name);
    if let Some(image) = &d.image {
        container["image"] = json!(image);
    }
    if d.ports.is_some() {
        container["ports"] = container_ports(&ports);
    }
    let mut pod = pod(d, &mounts);
    pod["containers"] = json!([container]);
    let mut spec = json!({"template": {"spec": pod}});
    if let Some(replicas) = d.replicas {
        spec["replicas"] = json!(replicas);
    }
    let mut objects = Vec::new();
    for m in mounts.iter().filter(|m| matches!(m.source, Source::Claim { .. })) {
        if live.kind.kind == "StatefulSet" {
            return Err(ToolError::Refused {
                message: format!(
                    "{} keeps the claims that it was made with: they cannot be changed",
                    live.object
                ),
                hint: "Delete it (its claims stay) and deploy it again.".into(),
            });
        }
        objects.push(("persistentvolumeclaim", claim(m, &claim_name(d, m), Some(namespace))));
    }
    let kind = match live.kind.kind.as_str() {
        "StatefulSet" => "statefulset",
        "DaemonSet" => "daemonset",
        _ => "deployment",
    };
    objects.push((kind, json!({"spec": spec})));
    let wants_service =
        d.service.is_some() || d.service_port.is_some() || d.node_port.is_some() || d.ports.is_some();
    if wants_service && let Some(mut service) = service(d, namespace, &ports, false) {
        if let Some(selector) = live.live.pointer("/spec/selector/matchLabels") {
            service["spec"]["selector"] = selector.clone();
        }
        objects.push(("service", service));
    }
    objects.extend(autoscaler(d, namespace, &live.kind.kind));
    objects.extend(ingress(d, namespace, &ports));
    Ok(objects)
}

fn mounts(d: &Deploy) -> Result<Vec<Mount>, ToolError> {
    d.mounts.iter().flatten().map(|m| mount(m)).collect()
}

fn claim_name(d: &Deploy, mount: &Mount) -> String {
    format!("{}-{}", d.name, mount.volume)
}

fn container_ports(ports: &[u16]) -> Value {
    ports.iter().map(|p| json!({"containerPort": p, "protocol": "TCP"})).collect()
}

/// The container's asked fields.
fn container(d: &Deploy, main_port: Option<u16>) -> Result<Value, ToolError> {
    let mut c = json!({});
    let mut env: Vec<Value> =
        d.env.iter().flatten().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut whole = Vec::new();
    for said in d.env_from.iter().flatten() {
        match env_from(said)? {
            EnvFrom::One(one) => env.push(one),
            EnvFrom::Whole(source) => whole.push(source),
        }
    }
    if !env.is_empty() {
        c["env"] = json!(env);
    }
    if !whole.is_empty() {
        c["envFrom"] = json!(whole);
    }
    for (path, said) in [
        ("requests/cpu", &d.cpu_request),
        ("requests/memory", &d.memory_request),
        ("limits/cpu", &d.cpu_limit),
        ("limits/memory", &d.memory_limit),
    ] {
        if let (Some(value), Some((group, name))) = (said, path.split_once('/')) {
            c["resources"][group][name] = json!(value);
        }
    }
    for (field, said) in [("readinessProbe", &d.readiness), ("livenessProbe", &d.liveness)] {
        if let Some(said) = said
            && let Some(mut handler) = probe(said, main_port)?
        {
            if field == "livenessProbe" {
                handler["initialDelaySeconds"] = json!(15);
            }
            handler["periodSeconds"] = json!(if field == "livenessProbe" { 10 } else { 5 });
            c[field] = handler;
        }
    }
    for (field, said) in [("command", &d.command), ("args", &d.args)] {
        if let Some(words) = said {
            c[field] = json!(words);
        }
    }
    let volume_mounts: Vec<Value> =
        mounts(d)?.iter().map(|m| json!({"name": m.volume, "mountPath": m.path})).collect();
    if !volume_mounts.is_empty() {
        c["volumeMounts"] = json!(volume_mounts);
    }
    if let Some(user) = d.user {
        c["securityContext"]["runAsUser"] = json!(user);
        c["securityContext"]["runAsNonRoot"] = json!(user != 0);
    }
    if let Some(read_only) = d.read_only_root {
        c["securityContext"]["readOnlyRootFilesystem"] = json!(read_only);
    }
    Ok(c)
}

/// The pod's asked fields, without its containers.
fn pod(d: &Deploy, mounts: &[Mount]) -> Value {
    let mut pod = json!({});
    let volumes: Vec<Value> = mounts.iter().filter_map(|m| volume(d, m)).collect();
    if !volumes.is_empty() {
        pod["volumes"] = json!(volumes);
    }
    if let Some(account) = &d.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if let Some(user) = d.user.filter(|u| *u > 0 && !mounts.is_empty()) {
        // A fresh volume belongs to root; the group makes it writable.
        pod["securityContext"]["fsGroup"] = json!(user);
    }
    if let Some(labels) = &d.node_selector {
        pod["nodeSelector"] = json!(labels);
    }
    if let Some(labels) = &d.prefer_nodes {
        let terms: Vec<Value> =
            labels.iter().map(|(k, v)| json!({"key": k, "operator": "In", "values": [v]})).collect();
        pod["affinity"] = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": {"matchExpressions": terms}}
        ]}});
    }
    pod
}

/// A pod's volume; none for storage of its own, which the StatefulSet's claim templates give.
fn volume(d: &Deploy, m: &Mount) -> Option<Value> {
    let mut volume = match &m.source {
        Source::Claim { .. } if d.per_pod == Some(true) => return None,
        Source::Claim { .. } => json!({"persistentVolumeClaim": {"claimName": claim_name(d, m)}}),
        Source::Existing(name) => json!({"persistentVolumeClaim": {"claimName": name}}),
        Source::ConfigMap(name) => json!({"configMap": {"name": name}}),
        Source::Secret(name) => json!({"secret": {"secretName": name}}),
        Source::Empty => json!({"emptyDir": {}}),
        Source::Memory(None) => json!({"emptyDir": {"medium": "Memory"}}),
        Source::Memory(Some(size)) => json!({"emptyDir": {"medium": "Memory", "sizeLimit": size}}),
    };
    volume["name"] = json!(m.volume);
    Some(volume)
}

/// A claim of one node's: as an object of a namespace, or as a StatefulSet's template.
fn claim(m: &Mount, name: &str, namespace: Option<&str>) -> Value {
    let Source::Claim { size, class } = &m.source else { return Value::Null };
    let mut claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    if let Some(namespace) = namespace {
        claim["apiVersion"] = json!("v1");
        claim["kind"] = json!("PersistentVolumeClaim");
        claim["metadata"]["namespace"] = json!(namespace);
    }
    claim
}

fn service(d: &Deploy, namespace: &str, ports: &[u16], headless: bool) -> Option<Value> {
    if !headless && (ports.is_empty() || d.service == Some(ServiceType::None)) {
        return None;
    }
    let many = ports.len() > 1;
    let list: Vec<Value> = ports
        .iter()
        .enumerate()
        .map(|(i, port)| {
            let first = i == 0;
            let outer = if first { d.service_port.unwrap_or(*port) } else { *port };
            let mut one = Map::new();
            if many {
                one.insert("name".into(), json!(format!("port-{port}")));
            }
            one.insert("port".into(), json!(outer));
            one.insert("targetPort".into(), json!(port));
            one.insert("protocol".into(), json!("TCP"));
            if let Some(node_port) = d.node_port.filter(|_| first) {
                one.insert("nodePort".into(), json!(node_port));
            }
            Value::Object(one)
        })
        .collect();
    let kind = match d.service {
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
        _ if d.node_port.is_some() => "NodePort",
        _ => "ClusterIP",
    };
    let mut spec = json!({"type": kind, "selector": {"app": d.name}});
    if !list.is_empty() {
        spec["ports"] = json!(list);
    }
    if headless && kind == "ClusterIP" {
        spec["clusterIP"] = json!("None");
    }
    Some(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": d.name, "namespace": namespace, "labels": {"app": d.name, "app.kubernetes.io/name": d.name}},
        "spec": spec,
    }))
}

fn autoscaler(d: &Deploy, namespace: &str, kind: &str) -> Option<(&'static str, Value)> {
    let max = d.max_replicas?;
    let mut targets: Vec<(&str, u32)> = Vec::new();
    targets.extend(d.cpu_target.map(|t| ("cpu", t)));
    targets.extend(d.memory_target.map(|t| ("memory", t)));
    if targets.is_empty() {
        targets.push(("cpu", 70));
    }
    let metrics: Vec<Value> = targets
        .iter()
        .map(|(name, percent)| {
            json!({"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}}})
        })
        .collect();
    let manifest = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": d.name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": d.name},
            "minReplicas": d.min_replicas.or(d.replicas).unwrap_or(1), "maxReplicas": max, "metrics": metrics,
        },
    });
    Some(("horizontalpodautoscaler", manifest))
}

fn ingress(d: &Deploy, namespace: &str, ports: &[u16]) -> Option<(&'static str, Value)> {
    if d.host.is_none() && d.path.is_none() {
        return None;
    }
    let port = d.service_port.or(ports.first().copied())?;
    let mut rule = json!({"http": {"paths": [{
        "path": d.path.as_deref().unwrap_or("/"), "pathType": "Prefix",
        "backend": {"service": {"name": d.name, "port": {"number": port}}},
    }]}});
    if let Some(host) = &d.host {
        rule["host"] = json!(host);
    }
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": d.name, "namespace": namespace},
        "spec": {"rules": [rule]},
    });
    Some(("ingress", manifest))
}
