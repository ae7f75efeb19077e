//! The snapshot from objects as the API server writes them.

use std::collections::BTreeMap;

use kai_diagnose::quantity::{milli, whole};
use serde_json::Value;

use crate::cluster::{
    Balancer, Claim, Class, Container, Frame, Node, Object, Pod, Range, Shape, Size, Workload,
};
use crate::node::Machine;
use crate::place::{Expression, Placement};
use crate::units::{Bytes, Millicores};

/// The extended resources that are GPUs.
const GPUS: [&str; 3] = ["nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915"];
/// How many pods a node takes that does not say it: the kubelet's own default.
const PODS: i64 = 110;

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn labels(value: &Value, path: &str) -> BTreeMap<String, String> {
    let map = value.pointer(path).and_then(Value::as_object);
    map.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect()
}

/// A quantity, which JSON may hold as a text or as a number.
fn quantity(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn small(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn cpu(map: Option<&Value>) -> Option<Millicores> {
    quantity(map?.get("cpu")).and_then(|q| milli(&q)).map(|m| Millicores(small(m)))
}

fn memory(map: Option<&Value>) -> Option<Bytes> {
    quantity(map?.get("memory")).and_then(|q| whole(&q)).map(|b| Bytes(small(b)))
}

fn size(map: Option<&Value>) -> Size {
    let gpus =
        GPUS.iter().filter_map(|name| quantity(map?.get(name)).and_then(|q| whole(&q))).map(small).sum();
    Size { cpu: cpu(map).unwrap_or_default(), memory: memory(map).unwrap_or_default(), gpus }
}

/// What a container requests: where it says only a limit, the API server makes that its request, but not yet in a template.
fn requested(container: &Value) -> Size {
    let (own, limits) = (container.pointer("/resources/requests"), container.pointer("/resources/limits"));
    let (said, most) = (size(own), size(limits));
    Size {
        cpu: cpu(own).unwrap_or(most.cpu),
        memory: memory(own).unwrap_or(most.memory),
        gpus: if said.gpus > 0 { said.gpus } else { most.gpus },
    }
}

/// Whose an object is: kind, namespace and name.
pub fn object(kind: &str, value: &Value) -> Object {
    Object {
        kind: kind.to_owned(),
        namespace: text(value, "/metadata/namespace").to_owned(),
        name: text(value, "/metadata/name").to_owned(),
    }
}

/// A node.
pub fn node(value: &Value) -> Node {
    let labels = labels(value, "/metadata/labels");
    let capacity = size(value.pointer("/status/capacity"));
    let provider_id = Some(text(value, "/spec/providerID")).filter(|id| !id.is_empty());
    let machine = Machine::read(
        text(value, "/metadata/name"),
        &labels,
        provider_id,
        (capacity.cpu, capacity.memory, capacity.gpus),
    );
    let ready = list(value, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True");
    let cordoned = value.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    let taints = list(value, "/spec/taints");
    let part = |taint: &Value, path: &str| text(taint, path).to_owned();
    let room = value.pointer("/status/allocatable");
    Node {
        billing: machine.billing(),
        allocatable: size(room),
        pods: room.and_then(|r| quantity(r.get("pods"))).and_then(|q| whole(&q)).map_or(PODS, small),
        taints: taints.iter().map(|t| [part(t, "/key"), part(t, "/value"), part(t, "/effect")]).collect(),
        open: ready && !cordoned,
        machine,
    }
}

/// What a pod spec takes and where it may run.
pub fn shape(spec: &Value) -> Shape {
    let mut sidecars = Size::default();
    let mut starting = Size::default();
    for init in list(spec, "/initContainers") {
        if text(init, "/restartPolicy") == "Always" {
            sidecars += requested(init);
        } else {
            starting = starting.max(requested(init) + sidecars);
        }
    }
    let containers: Vec<Container> = list(spec, "/containers").iter().map(container).collect();
    let own = spec.pointer("/resources/requests");
    let (cpu, memory) = (cpu(own), memory(own));
    let frame = Frame { sidecars, starting, cpu, memory, overhead: size(spec.get("overhead")) };
    let claim = |v: &Value| Some(text(v, "/persistentVolumeClaim/claimName").to_owned());
    Shape {
        size: frame.size(&containers),
        frame,
        containers,
        placement: placement(spec),
        claims: list(spec, "/volumes").iter().filter_map(claim).filter(|c| !c.is_empty()).collect(),
    }
}

fn container(value: &Value) -> Container {
    let (requests, limits) = (value.pointer("/resources/requests"), value.pointer("/resources/limits"));
    Container {
        name: text(value, "/name").to_owned(),
        size: requested(value),
        cpu_set: cpu(requests).or(cpu(limits)).is_some(),
        memory_set: memory(requests).or(memory(limits)).is_some(),
        memory_limit: memory(limits),
    }
}

fn placement(spec: &Value) -> Placement {
    let expression = |field: bool| {
        move |e: &Value| Expression {
            key: text(e, "/key").to_owned(),
            operator: text(e, "/operator").to_owned(),
            values: list(e, "/values").iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            field,
        }
    };
    let term = |t: &Value| -> Vec<Expression> {
        let labels = list(t, "/matchExpressions").iter().map(expression(false));
        labels.chain(list(t, "/matchFields").iter().map(expression(true))).collect()
    };
    let required = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let toleration = |t: &Value| {
        let value = match text(t, "/operator") {
            "Exists" => "*",
            _ => text(t, "/value"),
        };
        [text(t, "/key").to_owned(), value.to_owned(), text(t, "/effect").to_owned()]
    };
    let mut unmodelled = Vec::new();
    let used = |path: &str| !list(spec, path).is_empty() || spec.pointer(path).is_some_and(Value::is_object);
    for (path, said) in [
        ("/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution", "preferred node affinity"),
        ("/affinity/podAffinity", "affinity to pods"),
        ("/affinity/podAntiAffinity", "anti-affinity to pods"),
        ("/topologySpreadConstraints", "topology spread"),
    ] {
        if used(path) {
            unmodelled.push(said);
        }
    }
    if !text(spec, "/priorityClassName").is_empty() {
        unmodelled.push("preemption");
    }
    Placement {
        selector: labels(spec, "/nodeSelector"),
        terms: list(spec, required).iter().map(term).collect(),
        tolerations: list(spec, "/tolerations").iter().map(toleration).collect(),
        zones: Vec::new(),
        unmodelled,
    }
}

/// A pod; none when it has ended.
pub fn pod(value: &Value) -> Option<Pod> {
    let phase = text(value, "/status/phase");
    if matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let spec = value.get("spec").unwrap_or(&Value::Null);
    Some(Pod {
        namespace: text(value, "/metadata/namespace").to_owned(),
        name: text(value, "/metadata/name").to_owned(),
        node: Some(text(spec, "/nodeName").to_owned()).filter(|n| !n.is_empty()),
        running: phase == "Running",
        owner: owner(value),
        labels: labels(value, "/metadata/labels"),
        shape: shape(spec),
        usage: None,
    })
}

/// What a pod belongs to: its controller, and above a ReplicaSet or a Job, whose names say it, what made that.
pub fn owner(pod: &Value) -> Object {
    let namespace = text(pod, "/metadata/namespace").to_owned();
    let named = |kind: &str, name: &str| Object {
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        name: name.to_owned(),
    };
    let controllers = list(pod, "/metadata/ownerReferences");
    let controller = controllers.iter().find(|o| o.get("controller").and_then(Value::as_bool) == Some(true));
    let Some(controller) = controller else { return named("Pod", text(pod, "/metadata/name")) };
    let (kind, name) = (text(controller, "/kind"), text(controller, "/name"));
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    match kind {
        "ReplicaSet" => match name.strip_suffix(hash).and_then(|n| n.strip_suffix('-')) {
            Some(deployment) if !hash.is_empty() => named("Deployment", deployment),
            _ => named(kind, name),
        },
        // A CronJob names its Jobs after the minute of their time.
        "Job" => match name.rsplit_once('-') {
            Some((cron, minute)) if minute.len() == 8 && minute.bytes().all(|b| b.is_ascii_digit()) => {
                named("CronJob", cron)
            }
            _ => named(kind, name),
        },
        // A mirror pod's owner is its node.
        "Node" => named("Pod", text(pod, "/metadata/name")),
        _ => named(kind, name),
    }
}

/// What makes pods. `None` for what does not, and for what has no number of pods of its own (a CronJob).
pub fn workload(kind: &str, value: &Value) -> Option<Workload> {
    let replicas = |path: &str, none: i64| value.pointer(path).and_then(Value::as_i64).unwrap_or(none);
    let replicas = match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => {
            replicas("/spec/replicas", 1)
        }
        "DaemonSet" => replicas("/status/desiredNumberScheduled", 0),
        "Job" => replicas("/spec/parallelism", 1),
        "Pod" => 1,
        _ => return None,
    };
    let spec = value.pointer(if kind == "Pod" { "/spec" } else { "/spec/template/spec" });
    let mut object = object(kind, value);
    object.kind = kind.to_owned();
    Some(Workload {
        object,
        replicas,
        shape: shape(spec.unwrap_or(&Value::Null)),
        range: None,
        scaler: None,
        vertical: BTreeMap::new(),
    })
}

/// What an autoscaler scales, and its range.
pub fn range(hpa: &Value) -> (Object, Range) {
    let target = |resource: &str| {
        let one = list(hpa, "/spec/metrics").iter().find(|m| text(m, "/resource/name") == resource);
        one.and_then(|m| m.pointer("/resource/target/averageUtilization")).and_then(Value::as_i64)
    };
    let object = Object {
        kind: text(hpa, "/spec/scaleTargetRef/kind").to_owned(),
        namespace: text(hpa, "/metadata/namespace").to_owned(),
        name: text(hpa, "/spec/scaleTargetRef/name").to_owned(),
    };
    let number = |path: &str| hpa.pointer(path).and_then(Value::as_i64);
    let range = Range {
        min: number("/spec/minReplicas").unwrap_or(1),
        max: number("/spec/maxReplicas").unwrap_or(1),
        cpu_target: target("cpu"),
        memory_target: target("memory"),
    };
    (object, range)
}

/// What a VerticalPodAutoscaler is about, and its target for each container.
pub fn vertical(vpa: &Value) -> (Object, BTreeMap<String, Size>) {
    let object = Object {
        kind: text(vpa, "/spec/targetRef/kind").to_owned(),
        namespace: text(vpa, "/metadata/namespace").to_owned(),
        name: text(vpa, "/spec/targetRef/name").to_owned(),
    };
    let of = |c: &Value| (text(c, "/containerName").to_owned(), size(c.get("target")));
    (object, list(vpa, "/status/recommendation/containerRecommendations").iter().map(of).collect())
}

/// A claim, or one template of a StatefulSet's claims.
pub fn claim(value: &Value) -> Claim {
    let storage = |path: &str| {
        quantity(value.pointer(path).and_then(|r| r.get("storage"))).and_then(|q| whole(&q)).map(small)
    };
    Claim {
        object: object("PersistentVolumeClaim", value),
        size: Bytes(storage("/status/capacity").or_else(|| storage("/spec/resources/requests")).unwrap_or(0)),
        class: text(value, "/spec/storageClassName").to_owned(),
    }
}

/// The zones in which a volume can be mounted; none where that does not matter, or is not said.
pub fn zones(volume: &Value) -> Vec<String> {
    const KEYS: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
    let terms = list(volume, "/spec/nodeAffinity/required/nodeSelectorTerms").iter();
    let expressions = terms.flat_map(|t| list(t, "/matchExpressions"));
    let zoned = expressions.filter(|e| KEYS.contains(&text(e, "/key")) && text(e, "/operator") == "In");
    zoned.flat_map(|e| list(e, "/values")).filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// A volume that no claim is bound to; none when one is.
pub fn unclaimed(value: &Value) -> Option<Claim> {
    let released = matches!(text(value, "/status/phase"), "Available" | "Released" | "Failed");
    let size = quantity(value.pointer("/spec/capacity/storage")).and_then(|q| whole(&q)).map_or(0, small);
    released.then(|| Claim {
        object: object("PersistentVolume", value),
        size: Bytes(size),
        class: text(value, "/spec/storageClassName").to_owned(),
    })
}

/// A storage class.
pub fn class(value: &Value) -> Class {
    let parameter =
        |name: &str| value.pointer("/parameters").and_then(|p| p.get(name)).and_then(Value::as_str);
    let disk = ["type", "skuName", "skuname", "storageaccounttype"].iter().find_map(|name| parameter(name));
    let default = value
        .pointer("/metadata/annotations")
        .and_then(|a| a.get("storageclass.kubernetes.io/is-default-class"))
        .and_then(Value::as_str);
    Class {
        name: text(value, "/metadata/name").to_owned(),
        provisioner: text(value, "/provisioner").to_owned(),
        disk: disk.map(str::to_owned),
        default: default == Some("true"),
    }
}

/// A load balancer; none for a Service of another type.
pub fn balancer(value: &Value) -> Option<Balancer> {
    (text(value, "/spec/type") == "LoadBalancer")
        .then(|| Balancer { object: object("Service", value), selector: labels(value, "/spec/selector") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_alone_is_a_request_too() {
        let of =
            |resources: Value| shape(&json!({"containers": [{"name": "c", "resources": resources}]})).size;
        let limits = json!({"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": 1});
        let all = Size { cpu: Millicores(500), memory: Bytes(Bytes::GIB), gpus: 1 };
        assert_eq!(of(json!({"limits": limits})), all);
        let less = of(json!({"limits": limits, "requests": {"cpu": "100m"}}));
        assert_eq!(less, Size { cpu: Millicores(100), ..all });
        assert_eq!(of(json!({"limits": limits, "requests": {"cpu": 0, "memory": "0"}})).memory, Bytes(0));
    }
}
