//! Claims and volumes: who shares them, how they are replaced, and whether they are ever bound.

use serde_json::Value;

use super::pods::Pods;
use super::scaling::autoscaler_of;
use super::set::{Found, Set, kind_of};
use crate::manifest::Document;
use crate::object::{items, number, text};

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        if kind_of(pods.doc) == "deployment" {
            for (i, volume) in items(pods.spec, "/volumes").iter().enumerate() {
                let claim = text(volume, "/persistentVolumeClaim/claimName");
                if !claim.is_empty()
                    && volume.pointer("/persistentVolumeClaim/readOnly") != Some(&Value::Bool(true))
                {
                    let path = pods.path(&format!("/volumes/{i}/persistentVolumeClaim/claimName"));
                    shared(set, &pods, claim, &path);
                }
            }
        }
    }
    for d in set.of("persistentvolumeclaim") {
        class(set, d, "/spec", true);
    }
    for d in set.of("statefulset") {
        for i in 0..items(&d.value, "/spec/volumeClaimTemplates").len() {
            class(set, d, &format!("/spec/volumeClaimTemplates/{i}/spec"), false);
        }
    }
    for d in set.of("persistentvolume") {
        if let Some(folder) = d.value.pointer("/spec/hostPath/path") {
            let says = format!(
                "keeps its data in {} of one node: a pod on another node finds nothing there",
                folder.as_str().unwrap_or("a folder")
            );
            set.warn(
                "host-path-volume",
                d,
                "/spec/hostPath",
                says,
                "Only on a cluster with one node; else use a StorageClass",
            );
        }
    }
}

/// A claim that one node mounts, and more than one pod, or a new pod beside the old one.
fn shared(set: &Set<'_>, pods: &Pods<'_>, claim: &str, path: &str) {
    let d = pods.doc;
    let Found::Here(found) = set.find("persistentvolumeclaim", set.namespace(d), claim) else { return };
    let modes: Vec<&str> = items(found, "/spec/accessModes").iter().filter_map(Value::as_str).collect();
    if modes.is_empty() || modes.iter().any(|m| matches!(*m, "ReadWriteMany" | "ReadOnlyMany")) {
        return;
    }
    let mode = modes[0];
    let own = number(&d.value, "/spec/replicas").unwrap_or(1);
    let autoscaled = autoscaler_of(set, d).and_then(|h| number(h, "/spec/maxReplicas"));
    let most = autoscaled.unwrap_or(own);
    if most > 1 {
        let many = if autoscaled.is_some() { format!("up to {most} pods") } else { format!("{most} pods") };
        let says = format!(
            "{many} share claim {claim}, which is {mode}: pods on another node than the first wait for ever, and those on the same write into each other's data"
        );
        set.warn(
            "shared-claim",
            d,
            path,
            says,
            "Use a StatefulSet with volumeClaimTemplates, or a ReadWriteMany volume, or one replica",
        );
        return;
    }
    let is_zero = |v: &Value| v.as_i64() == Some(0) || v.as_str() == Some("0%");
    let rolling = text(&d.value, "/spec/strategy/type") != "Recreate"
        && !d.value.pointer("/spec/strategy/rollingUpdate/maxSurge").is_some_and(is_zero);
    if rolling && own == 1 {
        let says = format!(
            "a rollout starts the new pod before the old one lets go of claim {claim} ({mode}): on another node it waits for ever, on the same both write"
        );
        set.warn("claim-held-by-old-pod", d, path, says, "Set spec.strategy.type: Recreate");
    }
}

/// Whether somebody provides the volume.
fn class(set: &Set<'_>, d: &Document, at: &str, alone: bool) {
    let spec = |field: &str| d.value.pointer(&format!("{at}/{field}"));
    if !text(&d.value, &format!("{at}/volumeName")).is_empty() {
        return;
    }
    let path = format!("{at}/storageClassName");
    match spec("storageClassName").and_then(Value::as_str) {
        Some("") => {}
        Some(named) => {
            // Volumes made by hand may bear any class.
            let by_hand =
                set.of("persistentvolume").any(|v| text(&v.value, "/spec/storageClassName") == named);
            if !by_hand && set.find("storageclass", "", named) == Found::Absent {
                let says = format!(
                    "there is no StorageClass {named} on this cluster: the claim stays Pending, and pods with it"
                );
                let fix = set.instead(
                    "storageclass",
                    "",
                    named,
                    "Name a class that is there, or leave it out for the default one".into(),
                );
                set.problem("dangling-storage-class", d, &path, says, fix);
            }
        }
        None => {
            let Some(classes) = set.all("storageclass", "") else { return };
            let is_default = |c: &&&Value| {
                text(c, "/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == "true"
            };
            let default = classes.iter().find(is_default);
            let volume =
                set.of("persistentvolume").find(|v| text(&v.value, "/spec/storageClassName").is_empty());
            match (default, volume) {
                (Some(default), Some(volume)) if alone => {
                    let says = format!(
                        "names no class, so the default one ({}) makes a new volume: it is not bound to {}",
                        text(default, "/metadata/name"),
                        volume.label()
                    );
                    set.warn(
                        "volume-passed-over",
                        d,
                        at,
                        says,
                        "Write storageClassName: \"\" and volumeName in the claim to bind it to that volume",
                    );
                }
                (None, None) => {
                    let says = "names no class, and the cluster has no default one: the claim stays Pending, and pods with it";
                    let names: Vec<&str> = classes.iter().map(|c| text(c, "/metadata/name")).collect();
                    let fix = if names.is_empty() {
                        "Install a storage provisioner; the cluster has no StorageClass".into()
                    } else {
                        format!("Write storageClassName; the cluster has {}", names.join(", "))
                    };
                    set.problem("no-storage-class", d, at, says, fix);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const CLASS: &str = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}\n";

    fn claim(spec: &str) -> String {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {{{spec}}}\n---\n"
        )
    }

    fn deployment(spec: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: db}}\nspec:\n  {spec}\n  template:\n    spec:\n      containers: [{{name: c, image: 'x:1'}}]\n      volumes: [{{name: v, persistentVolumeClaim: {{claimName: data}}}}]\n---\n"
        )
    }

    #[test]
    fn claims_are_not_shared() {
        let rwo = claim("accessModes: [ReadWriteOnce]");
        finds(
            &format!("{rwo}{}", deployment("replicas: 2")),
            CLASS,
            "shared-claim",
            &["2 pods share claim data, which is ReadWriteOnce"],
        );
        let hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {maxReplicas: 8, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: db}}\n";
        finds(
            &format!("{rwo}{}{hpa}", deployment("paused: false")),
            CLASS,
            "shared-claim",
            &["up to 8 pods"],
        );
        finds(&format!("{rwo}{}", deployment("replicas: 1")), CLASS, "claim-held-by-old-pod", &["Recreate"]);
        finds(
            &deployment("replicas: 1"),
            &rwo.replace("name: data", "name: data, namespace: default").replace("---\n", ""),
            "claim-held-by-old-pod",
            &["claim data"],
        );
        for check in ["shared-claim", "claim-held-by-old-pod"] {
            quiet(&format!("{rwo}{}", deployment("strategy: {type: Recreate}")), CLASS, check);
            quiet(
                &format!("{}{}", claim("accessModes: [ReadWriteMany]"), deployment("replicas: 3")),
                CLASS,
                check,
            );
            quiet(&format!("{rwo}{}", deployment("strategy: {rollingUpdate: {maxSurge: 0}}")), CLASS, check);
        }
    }

    #[test]
    fn somebody_provides_the_volume() {
        let volume = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv}\nspec: {hostPath: {path: /mnt}}\n---\n";
        finds(&claim("storageClassName: slow"), CLASS, "dangling-storage-class", &["no StorageClass slow"]);
        finds(&claim("accessModes: [ReadWriteOnce]"), "", "no-storage-class", &["no default one"]);
        finds(
            &format!("{volume}{}", claim("accessModes: [ReadWriteOnce]")),
            CLASS,
            "volume-passed-over",
            &["(fast) makes a new volume", "persistentvolume/pv"],
        );
        finds(volume, "", "host-path-volume", &["/mnt of one node"]);
        for good in [
            claim("storageClassName: fast"),
            claim("accessModes: [ReadWriteOnce]"),
            format!("{volume}{}", claim("storageClassName: ''")),
        ] {
            for check in ["dangling-storage-class", "no-storage-class", "volume-passed-over"] {
                quiet(&good, CLASS, check);
            }
        }
    }
}
