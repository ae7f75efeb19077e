//! What metrics-server measured: one sample of each pod or node, or why there is none.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::error::ToolError;
use crate::object::{ApiKind, items, text};
use crate::redact;
use crate::resources::Amounts;
use crate::sanitize;

/// The APIService behind which metrics-server stands.
const SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";

/// Samples, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Metrics {
    There(Samples),
    /// There is no metrics API.
    Absent,
    /// It is registered, and what should answer does not; with what is known of it.
    Dead(String),
    Forbidden(String),
}

/// What was measured, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples {
    by_name: HashMap<(String, String), Sample>,
    /// When the newest sample ends.
    pub newest: Option<Timestamp>,
    /// The shortest and the longest stretch that is averaged over, in seconds.
    pub window: Option<(i64, i64)>,
}

/// A sample: of a pod by containers, of a node as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub whole: Amounts,
    pub containers: HashMap<String, Amounts>,
}

impl Metrics {
    /// Reads the samples of all pods of a namespace, or of all nodes.
    ///
    /// # Errors
    /// When the API server itself cannot be reached; that there are no metrics is an answer.
    pub(crate) async fn read(
        cluster: &Cluster,
        what: &str,
        namespace: Option<&str>,
    ) -> Result<Self, ToolError> {
        let kind = ApiKind {
            group: "metrics.k8s.io".into(),
            version: "v1beta1".into(),
            kind: if what == "pods" { "PodMetrics".into() } else { "NodeMetrics".into() },
            plural: what.into(),
            singular: what.trim_end_matches('s').into(),
            short_names: Vec::new(),
            namespaced: what == "pods",
        };
        let listing = Listing { keep: Some(what_it_takes), ..Listing::default() };
        Ok(match cluster.list(&kind, namespace, &listing).await {
            Ok(listed) => Self::There(Samples::of(&listed.items)),
            Err(ToolError::NotFound { .. }) => Self::Absent,
            Err(ToolError::Forbidden { message }) => Self::Forbidden(message),
            Err(ToolError::Api { status: 500.., message }) => {
                let service = cluster.get(SERVICE).await.unwrap_or_default();
                Self::Dead(why_dead(&service).unwrap_or(message))
            }
            Err(e) => return Err(e),
        })
    }

    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::There(_))
    }

    pub(crate) fn of(&self, namespace: &str, name: &str) -> Option<&Sample> {
        match self {
            Self::There(samples) => samples.by_name.get(&(namespace.to_string(), name.to_string())),
            _ => None,
        }
    }

    /// Why there are no figures and what to do, or how far they reach.
    pub(crate) fn said(&self, now: Timestamp) -> String {
        let none = match self {
            Self::There(samples) => return samples.said(now),
            Self::Absent => {
                "this cluster has no metrics API (metrics.k8s.io). Install metrics-server to see them".into()
            }
            Self::Dead(why) => format!(
                "the metrics API is registered, and the server behind it does not answer ({}). Look at that server's pods and at the APIService v1beta1.metrics.k8s.io",
                why.trim_end_matches('.')
            ),
            Self::Forbidden(why) => format!(
                "you may not read them ({}). The ClusterRole system:aggregated-metrics-reader gives that right, and view has it where metrics-server is installed",
                why.trim_end_matches('.')
            ),
        };
        format!("There are no figures of what is used: {none}. What is requested and allowed is shown.")
    }
}

/// What the APIService says of itself.
fn why_dead(service: &Value) -> Option<String> {
    let condition = items(service, "/status/conditions").iter().find(|c| text(c, "/type") == "Available")?;
    let place =
        format!("{}/{}", text(service, "/spec/service/namespace"), text(service, "/spec/service/name"));
    let why = format!("service {place}: {}", text(condition, "/message"));
    Some(redact::text(&sanitize::line(crate::report::bounded(&why, 400).trim())))
}

/// What is kept of a sample.
fn what_it_takes(sample: &Value) -> Value {
    json!({
        "name": text(sample, "/metadata/name"),
        "namespace": text(sample, "/metadata/namespace"),
        "timestamp": sample.get("timestamp"),
        "window": sample.get("window"),
        "usage": sample.get("usage"),
        "containers": sample.get("containers"),
    })
}

impl Samples {
    /// From what was kept of each.
    pub(crate) fn of(kept: &[Value]) -> Self {
        let mut samples = Self::default();
        for one in kept {
            let mut sample = Sample { whole: Amounts::of(one.get("usage")), ..Sample::default() };
            for container in items(one, "/containers") {
                let used = Amounts::of(container.get("usage"));
                sample.whole = sample.whole.plus(used);
                sample.containers.insert(text(container, "/name").into(), used);
            }
            let time = text(one, "/timestamp").parse::<Timestamp>().ok();
            samples.newest = samples.newest.max(time);
            if let Some(window) = seconds(text(one, "/window")) {
                let (least, most) = samples.window.unwrap_or((window, window));
                samples.window = Some((least.min(window), most.max(window)));
            }
            samples.by_name.insert((text(one, "/namespace").into(), text(one, "/name").into()), sample);
        }
        samples
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// `One sample of each over 10 to 20 s, ...`.
    fn said(&self, now: Timestamp) -> String {
        let Some(newest) = self.newest else {
            return "The metrics API has no samples yet: metrics-server takes about a minute after it or a pod starts.".into();
        };
        let window = match self.window {
            Some((least, most)) if least == most => format!(" over {least} s"),
            Some((least, most)) => format!(" over {least} to {most} s"),
            None => String::new(),
        };
        let ago = crate::report::length(now.as_second() - newest.as_second());
        format!(
            "This is a moment, not a trend: one sample of each{window}, the newest of {} UTC, {ago} ago.",
            newest.strftime("%F %H:%M:%S")
        )
    }
}

/// The window of a sample (`15.123s`, `1m30s`) in whole seconds.
fn seconds(window: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = window;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| end + n);
        total += number
            * match &rest[end..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                "us" | "µs" | "ns" => 0.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!window.is_empty()).then_some(total.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T04:00:12Z".parse().unwrap()
    }

    #[test]
    fn containers_add_up_and_the_moment_is_told() {
        let sample = |name: &str, window: &str| {
            json!({"metadata": {"name": name, "namespace": "todo"}, "timestamp": "2026-11-21T04:00:00Z", "window": window,
            "containers": [{"name": "a", "usage": {"cpu": "1500000n", "memory": "1Ki"}}, {"name": "b", "usage": {"cpu": "2m", "memory": "1Ki"}}]})
        };
        let kept: Vec<Value> =
            [sample("x", "10.062s"), sample("y", "20s")].iter().map(what_it_takes).collect();
        let metrics = Metrics::There(Samples::of(&kept));
        let x = metrics.of("todo", "x").unwrap();
        assert_eq!((x.whole.cpu, x.whole.memory, x.containers["b"].cpu), (Some(4), Some(2048), Some(2)));
        assert_eq!(
            metrics.said(now()),
            "This is a moment, not a trend: one sample of each over 10 to 20 s, the newest of 2026-11-21 04:00:00 UTC, 12s ago."
        );
    }

    #[test]
    fn no_figures_have_a_reason_and_a_way_out() {
        assert!(Metrics::Absent.said(now()).contains("Install metrics-server"));
        let service = json!({"spec": {"service": {"name": "metrics-server", "namespace": "kube-system"}},
            "status": {"conditions": [{"type": "Available", "status": "False", "message": "endpoints are missing"}]}});
        let dead = Metrics::Dead(why_dead(&service).unwrap()).said(now());
        assert!(dead.contains("(service kube-system/metrics-server: endpoints are missing)"), "{dead}");
        assert!(Metrics::There(Samples::of(&[])).said(now()).contains("no samples yet"));
    }

    #[test]
    fn windows() {
        for (window, want) in [
            ("15.123s", Some(15)),
            ("1m30s", Some(90)),
            ("1h", Some(3600)),
            ("500ms", Some(1)),
            ("", None),
            ("x", None),
            ("5", None),
            ("5y", None),
            ("..s", None),
        ] {
            assert_eq!(seconds(window), want, "{window}");
        }
    }
}
