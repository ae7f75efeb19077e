//! `autoscale`: a HorizontalPodAutoscaler for a workload, new or the one that targets it, or none. Refuses DaemonSets,
//! and autoscalers that KEDA keeps.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::resolve::{Resolved, resolved};
use crate::error::ToolError;
use crate::object::{builtin, items, number, text};
use crate::plan::{Change, Plan};
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Add, change or remove (off) the HPA of a workload.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autoscale {
    pub workload: String,
    pub namespace: Option<String>,
    pub min: Option<u32>,
    pub max: Option<u32>,
    /// Percent of requests.
    pub cpu: Option<u32>,
    pub memory: Option<u32>,
    pub off: Option<bool>,
}

/// The target of an autoscaler that was asked for without one, in percent of the CPU requests.
const CPU: u32 = 70;

impl Action for Autoscale {
    const NAME: &'static str = "autoscale";
    const DESTRUCTIVE: bool = false;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        self.check()?;
        let cluster = &context.cluster;
        let namespace = cluster.namespace_or(self.namespace.as_deref())?;
        let workload = cluster.workload(&self.workload, namespace).await?;
        let kind = builtin("horizontalpodautoscaler");
        let all: Vec<Resolved> = cluster
            .all(&kind, namespace)
            .await?
            .into_iter()
            .map(|live| resolved(&kind, namespace, live, None))
            .collect();
        let mut plan = self.changes(&workload, all, namespace)?;
        if let Some(change) = plan.changes.first_mut().filter(|c| !c.removes()) {
            change.lines.extend(no_metrics(cluster).await);
        }
        plan.notes.extend(workload.note);
        Ok(plan)
    }
}

/// Nothing measures the pods. Who may not look is told nothing: the autoscaler says it itself later.
async fn no_metrics(cluster: &Cluster) -> Option<Line> {
    let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";
    let missing = matches!(cluster.get(path).await, Err(ToolError::NotFound { .. }));
    let text = "this cluster has no metrics API (metrics.k8s.io): the autoscaler does nothing until metrics-server runs";
    missing.then(|| Line::new(Level::Warning, "metrics", text))
}

fn invalid<T>(message: String) -> Result<T, ToolError> {
    Err(ToolError::Invalid(format!("autoscale: {message}")))
}

impl Autoscale {
    fn check(&self) -> Result<(), ToolError> {
        let given = [self.min, self.max, self.cpu, self.memory];
        if self.off == Some(true) {
            return if given.iter().any(Option::is_some) {
                invalid("`off` removes the autoscaler: give nothing else".into())
            } else {
                Ok(())
            };
        }
        if given.iter().all(Option::is_none) {
            return invalid("say `max`, and `min`, `cpu` or `memory` as you like, or `off`".into());
        }
        for (name, value) in
            [("min", self.min), ("max", self.max), ("cpu", self.cpu), ("memory", self.memory)]
        {
            if value.is_some_and(|v| v == 0 || v > 10_000) {
                return invalid(format!("`{name}` must be between 1 and 10000"));
            }
        }
        Ok(())
    }

    /// Decides what changes (pure).
    fn changes(&self, workload: &Resolved, all: Vec<Resolved>, namespace: &str) -> Result<Plan, ToolError> {
        let object = &workload.object;
        match workload.kind.kind.as_str() {
            "Deployment" | "StatefulSet" | "ReplicaSet" => {}
            "DaemonSet" => {
                return invalid(format!(
                    "{object} is a DaemonSet: it runs one pod on each node and has no replicas to scale"
                ));
            }
            other => return invalid(format!("{object} is a {other}: it has no replicas to scale")),
        }
        let targets = |hpa: &Resolved| {
            text(&hpa.live, "/spec/scaleTargetRef/kind") == workload.kind.kind
                && text(&hpa.live, "/spec/scaleTargetRef/name") == object.name
        };
        let (mut present, others): (Vec<Resolved>, Vec<Resolved>) = all.into_iter().partition(targets);
        if present.len() > 1 {
            let candidates = present.into_iter().map(|h| h.object).collect();
            return Err(ToolError::Ambiguous { name: object.name.clone(), candidates });
        }
        let present = present.pop();
        if let Some(keda) =
            present.as_ref().map(|h| text(&h.live, "/metadata/labels/scaledobject.keda.sh~1name"))
            && !keda.is_empty()
        {
            return Err(ToolError::Refused {
                message: format!(
                    "{object} is scaled by KEDA scaledobject/{}, which keeps its autoscaler",
                    sanitize::line(keda)
                ),
                hint: "Change the ScaledObject: KEDA would take back any change of the autoscaler.".into(),
            });
        }
        if self.off == Some(true) {
            return Ok(off(present, object.to_string()));
        }
        if let Some(other) = others.iter().find(|h| present.is_none() && h.object.name == object.name) {
            return Err(ToolError::Refused {
                message: format!(
                    "the name is taken: {} scales {}/{}",
                    other.object,
                    sanitize::line(&text(&other.live, "/spec/scaleTargetRef/kind").to_lowercase()),
                    sanitize::line(text(&other.live, "/spec/scaleTargetRef/name"))
                ),
                hint: format!("Delete {} first, if nothing needs it.", other.object),
            });
        }
        self.set(workload, present, namespace)
    }

    fn set(
        &self,
        workload: &Resolved,
        present: Option<Resolved>,
        namespace: &str,
    ) -> Result<Plan, ToolError> {
        let object = &workload.object;
        let now = number(&workload.live, "/spec/replicas").unwrap_or(1);
        let old = present.as_ref().map(|h| &h.live);
        let bound = |path: &str| old.and_then(|o| number(o, path));
        let Some(max) = self.max.map(i64::from).or(bound("/spec/maxReplicas")) else {
            return invalid(format!("{object} has no autoscaler yet: say `max`"));
        };
        let mut lines = Vec::new();
        let min = match self.min.map(i64::from).or(bound("/spec/minReplicas")) {
            Some(min) => min,
            None => {
                let min = now.clamp(1, max);
                lines.push(Line::new(Level::Fact, "default", format!("min {min}: not below what runs now")));
                min
            }
        };
        if min > max {
            return invalid(format!("min would be {min} and max {max}: min cannot be above max"));
        }
        let mut metrics = old.map(|o| items(o, "/spec/metrics").to_vec()).unwrap_or_default();
        let mut asked = [("cpu", self.cpu), ("memory", self.memory)];
        if metrics.is_empty() && self.cpu.or(self.memory).is_none() {
            asked[0].1 = Some(CPU);
            let why = format!("cpu {CPU}%: the usual target, of what the containers request");
            lines.push(Line::new(Level::Fact, "default", why));
        }
        for (name, percent) in asked {
            let Some(percent) = percent else { continue };
            let wanted = json!({"type": "Resource", "resource": {"name": name,
                "target": {"type": "Utilization", "averageUtilization": percent}}});
            match metrics.iter_mut().find(|m| text(m, "/resource/name") == name) {
                Some(there) => *there = wanted,
                None => metrics.push(wanted),
            }
        }
        lines.extend(unmeasured(&metrics, &workload.live));
        lines.extend(moves(now, min, max));
        let mut said = format!("from {min} to {max}");
        for metric in &metrics {
            if let Some(percent) = number(metric, "/resource/target/averageUtilization") {
                said += &format!(", {} {percent}%", sanitize::line(text(metric, "/resource/name")));
            }
        }
        let spec = json!({"minReplicas": min, "maxReplicas": max, "metrics": metrics});
        let mut change = match present {
            Some(hpa) => {
                let mut after = hpa.live.clone();
                for (field, value) in spec.as_object().into_iter().flatten() {
                    after["spec"][field] = value.clone();
                }
                if after == hpa.live {
                    let title = format!("nothing to change: {object} is scaled {said} already");
                    return Ok(Plan { title, ..Plan::default() });
                }
                Change::set(hpa, after)
            }
            None => {
                let (kind, group) = (&workload.kind, &workload.kind.group);
                let mut manifest = json!({
                    "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                    "metadata": {"name": object.name, "namespace": namespace},
                    "spec": {"scaleTargetRef": {
                        "apiVersion": format!("{group}/{}", kind.version), "kind": kind.kind, "name": object.name,
                    }},
                });
                for (field, value) in spec.as_object().into_iter().flatten() {
                    manifest["spec"][field] = value.clone();
                }
                Change::apply(builtin("horizontalpodautoscaler"), namespace, None, manifest, false)
            }
        };
        change.lines = lines;
        Ok(Plan { title: format!("Autoscale {object} {said}"), changes: vec![change], ..Plan::default() })
    }
}

fn off(present: Option<Resolved>, object: String) -> Plan {
    match present {
        None => Plan { title: format!("nothing to change: {object} has no autoscaler"), ..Plan::default() },
        Some(hpa) => Plan {
            title: format!("Stop autoscaling {object}"),
            changes: vec![Change::delete(hpa).with(Line::new(
                Level::Fact,
                "replicas",
                format!("{object} keeps the replicas that it has at that moment"),
            ))],
            ..Plan::default()
        },
    }
}

/// Containers without a request for what is measured: a percentage of nothing.
fn unmeasured(metrics: &[Value], workload: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    for metric in metrics.iter().filter(|m| m.pointer("/resource/target/averageUtilization").is_some()) {
        let name = text(metric, "/resource/name");
        // A limit alone becomes the request when the pod is made.
        let has = |c: &Value| {
            ["requests", "limits"].iter().any(|g| !text(c, &format!("/resources/{g}/{name}")).is_empty())
        };
        let without: Vec<&str> = items(workload, "/spec/template/spec/containers")
            .iter()
            .filter(|c| !has(c))
            .map(|c| text(c, "/name"))
            .collect();
        if !without.is_empty() {
            let text = format!(
                "no {name} request on container {}: the autoscaler cannot tell a percentage of it and does nothing",
                without.join(", ")
            );
            lines.push(Line::new(Level::Warning, "requests", text));
        }
    }
    lines
}

/// What the new bounds do at once.
fn moves(now: i64, min: i64, max: i64) -> Option<Line> {
    let text = match now {
        0 => "it has 0 replicas: an autoscaler leaves a workload at zero until someone scales it up"
            .to_string(),
        _ if now < min => format!("{now} now: it goes up to {min} at once"),
        _ if now > max => format!("{now} now: it goes down to {max} at once"),
        _ => return None,
    };
    Some(Line::new(Level::Warning, "replicas", text))
}

#[cfg(test)]
mod tests;
