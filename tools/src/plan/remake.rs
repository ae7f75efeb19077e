//! What of an object is its own to keep when it goes away, so that it can be made anew (pure).

use serde_json::Value;

/// Labels by which a Job controller finds its own pods; another Job gets others.
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// Why nothing of such an object is kept.
pub(crate) const SECRET: &str = "it holds what may be a secret, which the journal does not keep";

/// The object as a manifest without what the API server gave it; `None` when it holds what may be a secret.
pub(crate) fn manifest(live: &Value) -> Option<Value> {
    let mut manifest = live.clone();
    if let Some(map) = manifest.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for own in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"]
        {
            metadata.shift_remove(own);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
            annotations.shift_remove("deployment.kubernetes.io/revision");
        }
    }
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        for own in ["clusterIP", "clusterIPs"] {
            spec.shift_remove(own);
        }
    }
    if manifest.get("kind").and_then(Value::as_str) == Some("Job") {
        fresh_job(&mut manifest);
    }
    (crate::redact::object(&manifest) == manifest).then_some(manifest)
}

/// Takes from a Job what ties it to its own pods: the selector and the labels that were made for it. One with a
/// selector of its own keeps all of it.
pub(crate) fn fresh_job(job: &mut Value) {
    if job.pointer("/spec/manualSelector").and_then(Value::as_bool) == Some(true) {
        return;
    }
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        spec.shift_remove("selector");
    }
    for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = job.pointer_mut(place).and_then(Value::as_object_mut) {
            for label in JOB_LABELS {
                labels.shift_remove(label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_gave_is_left_out() {
        let live = json!({"kind": "Service", "metadata": {"name": "a", "uid": "1", "resourceVersion": "2", "labels": {"x": "y"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}, "status": {}});
        let kept = json!({"kind": "Service", "metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"ports": [{"port": 80}]}});
        assert_eq!(manifest(&live), Some(kept));
    }

    #[test]
    fn a_job_loses_the_labels_of_its_pods_unless_it_chose_them() {
        let job = || json!({"spec": {"selector": {"matchLabels": {"controller-uid": "1"}}, "template": {"metadata": {"labels": {"controller-uid": "1", "app": "b"}}}}});
        let mut fresh = job();
        fresh_job(&mut fresh);
        assert_eq!(fresh, json!({"spec": {"template": {"metadata": {"labels": {"app": "b"}}}}}));
        let mut own = job();
        own["spec"]["manualSelector"] = json!(true);
        let before = own.clone();
        fresh_job(&mut own);
        assert_eq!(own, before);
    }

    #[test]
    fn what_may_be_a_secret_is_not_kept() {
        let live =
            json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"password": "hunter2hunter2"}});
        assert_eq!(manifest(&live), None);
    }
}
