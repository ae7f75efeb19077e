//! Which images run, in how many pods, for which workloads (pure).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::object::{controller_of_pod, items, number, text};

/// By image: how many pods have it, and what uses it.
pub(super) type Images = BTreeMap<String, Use>;

/// What uses an image.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Use {
    pub pods: i64,
    pub by: BTreeSet<String>,
}

/// Where the pod spec stands in an object.
const SPECS: [&str; 3] = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"];

/// The images of objects of one kind: pods, or what has a pod template.
pub(super) fn of(kind: &str, objects: &[Value]) -> Images {
    let mut images = Images::new();
    for object in objects {
        let spec = SPECS.iter().find_map(|p| object.pointer(p).filter(|s| s.get("containers").is_some()));
        let Some(spec) = spec else { continue };
        let (pods, user) = match kind {
            "pod" => (1, controller_of_pod(object)),
            _ => (pods_of(object), format!("{kind}/{}", text(object, "/metadata/name"))),
        };
        let own: BTreeSet<&str> = ["/containers", "/initContainers"]
            .iter()
            .flat_map(|list| items(spec, list))
            .map(|c| text(c, "/image"))
            .filter(|i| !i.is_empty())
            .collect();
        for image in own {
            let entry = images.entry(image.to_string()).or_default();
            entry.pods += pods;
            entry.by.insert(user.clone());
        }
    }
    images
}

/// The part of an object that [`of`] looks at: there may be thousands.
pub(super) fn what_it_takes(object: &Value) -> Value {
    let mut out = json!({"metadata": {
        "name": text(object, "/metadata/name"),
        "labels": object.pointer("/metadata/labels"),
        "ownerReferences": object.pointer("/metadata/ownerReferences"),
    }, "status": object.get("status").map(|s| {
        json!({"replicas": s.get("replicas"), "currentNumberScheduled": s.get("currentNumberScheduled"), "active": s.get("active")})
    })});
    let images = |at: &str| -> Vec<Value> {
        items(object, at).iter().map(|c| json!({"image": text(c, "/image")})).collect()
    };
    if let Some(spec) = SPECS.iter().find(|s| object.pointer(&format!("{s}/containers")).is_some()) {
        let (main, init) = (format!("{spec}/containers"), format!("{spec}/initContainers"));
        out["spec"] = json!({"containers": images(&main), "initContainers": images(&init)});
    }
    out
}

fn pods_of(object: &Value) -> i64 {
    ["/status/replicas", "/status/currentNumberScheduled", "/status/active"]
        .iter()
        .find_map(|p| number(object, p))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_count_for_their_deployment() {
        let pod = |name: &str| {
            json!({"metadata": {"name": name, "labels": {"pod-template-hash": "7d9f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9f", "controller": true}]},
            "spec": {"containers": [{"image": "web:2"}, {"image": "web:2"}], "initContainers": [{"image": "init:1"}]}})
        };
        let images = of("pod", &[pod("web-7d9f-a"), what_it_takes(&pod("web-7d9f-b"))]);
        assert_eq!(images["web:2"].pods, 2);
        assert_eq!(images["web:2"].by.iter().collect::<Vec<_>>(), ["deployment/web"]);
        assert_eq!(images["init:1"].pods, 2);
    }

    #[test]
    fn templates_count_their_pods() {
        let objects = [
            json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [{"image": "web:2"}]}}}, "status": {"replicas": 3}}),
            json!({"metadata": {"name": "idle"}, "spec": {"template": {"spec": {"containers": [{"image": "web:2"}]}}}, "status": {}}),
        ];
        let images = of("deployment", &objects);
        assert_eq!(of("deployment", &objects.clone().map(|o| what_it_takes(&o))), images);
        assert_eq!(images["web:2"].pods, 3);
        assert_eq!(images["web:2"].by.len(), 2);
        let cron = json!({"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "j:1"}]}}}}}});
        assert_eq!(of("cronjob", &[what_it_takes(&cron)])["j:1"].pods, 0);
    }
}
