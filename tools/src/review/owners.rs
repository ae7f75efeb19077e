//! Who else decides about an object: autoscalers, GitOps controllers, Helm, an owner, your own manifests (pure).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Level;
use crate::object::{items, number, text};
use crate::plan::{Change, Does};

/// Somebody who also decides about what is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Such as `hpa/backend`, `Argo CD`, `kubectl apply`.
    pub name: String,
    /// What that means for this change.
    pub effect: String,
    pub level: Level,
}

/// Everybody who also decides about the change, the strongest first.
pub(super) fn owners(change: &Change, autoscalers: &[Value]) -> Vec<Owner> {
    let mut all: Vec<Owner> = Vec::new();
    if !change.removes() {
        all.extend(autoscaler_owners(change, autoscalers));
    }
    all.extend(controller(change));
    all.extend(gitops(&change.live));
    all.extend(helm(change));
    all.extend(manifests(change));
    all
}

/// An autoscaler whose target this is.
pub(super) fn autoscaler_of<'a>(change: &Change, autoscalers: &'a [Value]) -> Option<&'a Value> {
    autoscalers.iter().find(|hpa| {
        text(hpa, "/spec/scaleTargetRef/kind") == change.kind.kind
            && text(hpa, "/spec/scaleTargetRef/name") == change.object.name
    })
}

fn autoscaler_owners(change: &Change, autoscalers: &[Value]) -> Option<Owner> {
    let hpa = autoscaler_of(change, autoscalers)?;
    let min = number(hpa, "/spec/minReplicas").unwrap_or(1);
    let max = number(hpa, "/spec/maxReplicas").unwrap_or(1);
    let keda = text(hpa, "/metadata/labels/scaledobject.keda.sh~1name");
    let name = if keda.is_empty() {
        format!("hpa/{}", text(hpa, "/metadata/name"))
    } else {
        format!("KEDA scaledobject/{keda}")
    };
    let Some((from, to)) = scaling(change) else {
        return Some(Owner {
            name,
            effect: format!("keeps the replicas between {min} and {max}"),
            level: Level::Fact,
        });
    };
    let (effect, level) = match to {
        0 => (
            "pauses: an autoscaler leaves a workload at zero until someone scales it up again".into(),
            Level::Warning,
        ),
        n if n < min => (
            format!(
                "keeps {min} to {max} replicas and goes back to {min} within about 15 s; lower minReplicas to hold {n}"
            ),
            Level::Problem,
        ),
        n if n > max => (
            format!(
                "keeps {min} to {max} replicas and goes back to {max} within about 15 s; raise maxReplicas to hold {n}"
            ),
            Level::Problem,
        ),
        n if from == 0 => {
            (format!("keeps {min} to {max} replicas: it decides again from {n} on"), Level::Warning)
        }
        n => (
            format!(
                "keeps {min} to {max} replicas and decides again within about 15 s; to hold {n}, set minReplicas to {n}"
            ),
            Level::Warning,
        ),
    };
    Some(Owner { name, effect, level })
}

fn scaling(change: &Change) -> Option<(i64, i64)> {
    match change.does {
        Does::Scale { from, to } => Some((from, to)),
        Does::Restore => {
            let (from, to) =
                (number(&change.live, "/spec/replicas")?, number(&change.after, "/spec/replicas")?);
            (from != to).then_some((from, to))
        }
        _ => None,
    }
}

fn controller(change: &Change) -> Option<Owner> {
    let owner = items(&change.live, "/metadata/ownerReferences").iter().find(|o| o["controller"] == true)?;
    let name = format!("{}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name"));
    // A CronJob starts Jobs by its schedule, and none of them a second time.
    if change.removes() && text(owner, "/kind") == "CronJob" {
        let effect = match text(&change.live, "/metadata/annotations/cronjob.kubernetes.io~1instantiate") {
            "manual" => "this Job was started by hand: nothing makes it again",
            _ => "starts the next Job by its schedule; it does not make this one again",
        };
        return Some(Owner { name, effect: effect.into(), level: Level::Fact });
    }
    if change.removes() {
        return Some(Owner { name, effect: "makes another in its place".into(), level: Level::Warning });
    }
    Some(Owner {
        effect: format!("owns this object and will put its own values back; change {name} instead"),
        name,
        level: Level::Problem,
    })
}

fn has_manager(live: &Value, managers: &[&str]) -> bool {
    items(live, "/metadata/managedFields").iter().any(|m| managers.contains(&text(m, "/manager")))
}

fn label<'a>(live: &'a Value, key: &str) -> &'a str {
    let at = |map: &str| live.pointer(map).and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or("");
    match at("/metadata/labels") {
        "" => at("/metadata/annotations"),
        found => found,
    }
}

fn gitops(live: &Value) -> Option<Owner> {
    let owner =
        |name: String, effect: &str| Some(Owner { name, effect: effect.into(), level: Level::Warning });
    let argo = [label(live, "argocd.argoproj.io/tracking-id"), label(live, "argocd.argoproj.io/instance")];
    if let Some(found) = argo.iter().find(|f| !f.is_empty()) {
        let app = found.split(':').next().unwrap_or("");
        return owner(
            format!("Argo CD application {app}"),
            "puts the state in Git back when it self-heals; change Git to keep this",
        );
    }
    if has_manager(live, &["argocd-controller", "argocd-application-controller"]) {
        return owner(
            "Argo CD".into(),
            "puts the state in Git back when it self-heals; change Git to keep this",
        );
    }
    for (key, what) in [
        ("kustomize.toolkit.fluxcd.io/name", "kustomization"),
        ("helm.toolkit.fluxcd.io/name", "helmrelease"),
    ] {
        if !label(live, key).is_empty() {
            return owner(
                format!("Flux {what}/{}", label(live, key)),
                "puts the state in Git back at its next reconciliation; change Git to keep this",
            );
        }
    }
    if has_manager(live, &["kustomize-controller", "helm-controller"]) {
        return owner(
            "Flux".into(),
            "puts the state in Git back at its next reconciliation; change Git to keep this",
        );
    }
    None
}

fn helm(change: &Change) -> Option<Owner> {
    let live = &change.live;
    let release = label(live, "meta.helm.sh/release-name");
    let is_helm = !release.is_empty()
        || label(live, "app.kubernetes.io/managed-by") == "Helm"
        || has_manager(live, &["helm"]);
    is_helm.then(|| Owner {
        name: format!("Helm release {}", if release.is_empty() { "(unnamed)" } else { release }),
        effect: match change.removes() {
            true => {
                "brings it back at the next upgrade or rollback; take it out of the chart to keep this".into()
            }
            false => "sets its values again at the next upgrade; change the values to keep this".into(),
        },
        level: Level::Warning,
    })
}

/// Manifests that say the changed field: the next apply of them takes the change back.
fn manifests(change: &Change) -> Option<Owner> {
    // What a server-side apply meets is told field by field by the API server itself.
    if matches!(change.does, Does::Restart | Does::Apply { .. } | Does::Delete) || !change.is_workload() {
        return None;
    }
    let field = if scaling(change).is_some() { "replicas" } else { "template" };
    let last = text(&change.live, "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration");
    let applied: Value = serde_json::from_str(last).unwrap_or(Value::Null);
    if applied.pointer(&format!("/spec/{field}")).is_some() {
        return Some(Owner {
            name: "kubectl apply".into(),
            effect: format!("the manifest says spec.{field}: your next apply of it takes this back"),
            level: Level::Warning,
        });
    }
    let server_side = items(&change.live, "/metadata/managedFields").iter().find(|m| {
        text(m, "/operation") == "Apply"
            && text(m, "/manager") != "kai"
            && m.pointer(&format!("/fieldsV1/f:spec/f:{field}")).is_some()
    })?;
    Some(Owner {
        name: format!("server-side apply by {}", text(server_side, "/manager")),
        effect: format!("applies spec.{field}: its next apply takes this back or stops with a conflict"),
        level: Level::Warning,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::builtin;
    use crate::plan::UndoBy;

    fn scale(live: Value, to: i64) -> Change {
        let kind = builtin("deployment");
        let mut after = live.clone();
        after["spec"]["replicas"] = json!(to);
        Change {
            object: kind.object("todo", "backend"),
            kind,
            does: Does::Scale { from: live["spec"]["replicas"].as_i64().unwrap_or(1), to },
            live,
            after,
            undo: UndoBy::Fields,
            tier: 0,
            needs: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn names(live: Value) -> Vec<String> {
        owners(&scale(live, 3), &[]).into_iter().map(|o| o.name).collect()
    }

    #[test]
    fn autoscalers_inside_and_outside_their_range() {
        let hpa = json!({"metadata": {"name": "backend"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "backend"}, "minReplicas": 2, "maxReplicas": 5}});
        let level =
            |to| owners(&scale(json!({"spec": {"replicas": 2}}), to), std::slice::from_ref(&hpa))[0].level;
        assert_eq!(
            (level(3), level(8), level(1), level(0)),
            (Level::Warning, Level::Problem, Level::Problem, Level::Warning)
        );
        assert!(owners(&scale(json!({"spec": {"replicas": 2}}), 3), &[]).is_empty());
    }

    #[test]
    fn what_is_deleted_comes_back() {
        let live = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "todo"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": true}]}});
        let kind = builtin("pod");
        let target = crate::cluster::resolve::resolved(&kind, "t", live, None);
        let effects: Vec<String> = owners(&Change::delete(target), &[])
            .into_iter()
            .map(|o| format!("{} {}", o.name, o.effect))
            .collect();
        assert_eq!(effects[0], "replicaset/r makes another in its place");
        assert!(effects[1].starts_with("Helm release todo brings it back"), "{effects:?}");
    }

    #[test]
    fn a_cronjob_makes_no_job_again() {
        let effect = |annotations: Value| {
            let owner = json!([{"kind": "CronJob", "name": "nightly", "controller": true}]);
            let live = json!({"metadata": {"annotations": annotations, "ownerReferences": owner}});
            let target = crate::cluster::resolve::resolved(&builtin("job"), "t", live, None);
            let all = owners(&Change::delete(target), &[]);
            assert_eq!((all[0].name.as_str(), all[0].level), ("cronjob/nightly", Level::Fact));
            all[0].effect.clone()
        };
        let by_hand = effect(json!({"cronjob.kubernetes.io/instantiate": "manual"}));
        assert_eq!(by_hand, "this Job was started by hand: nothing makes it again");
        assert_eq!(effect(json!({})), "starts the next Job by its schedule; it does not make this one again");
    }

    #[test]
    fn every_owner_is_seen() {
        let keda = json!({"metadata": {"name": "keda-hpa-b", "labels": {"scaledobject.keda.sh/name": "b"}}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "backend"}, "maxReplicas": 5}});
        assert!(owners(&scale(json!({"spec": {"replicas": 2}}), 3), &[keda])[0].name.starts_with("KEDA"));
        for (live, want) in [
            (
                json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}}),
                "Argo CD application shop",
            ),
            (json!({"metadata": {"managedFields": [{"manager": "argocd-controller"}]}}), "Argo CD"),
            (
                json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}}),
                "Flux kustomization/apps",
            ),
            (
                json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "todo"}}}),
                "Helm release todo",
            ),
            (
                json!({"metadata": {"ownerReferences": [{"kind": "Rollout", "name": "r", "controller": true}]}}),
                "rollout/r",
            ),
            (
                json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"replicas\":2}}"}}}),
                "kubectl apply",
            ),
            (
                json!({"metadata": {"managedFields": [{"manager": "ci", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}}),
                "server-side apply by ci",
            ),
        ] {
            assert_eq!(names(live), [want]);
        }
        let silent = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{}}"}}});
        assert!(names(silent).is_empty(), "a manifest without replicas takes nothing back");
    }
}
