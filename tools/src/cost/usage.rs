//! What containers use, from metrics-server: one sample, or the reason why there is none.

use std::collections::BTreeMap;

use kai_cost::cluster::{Size, Snapshot};
use kai_cost::units::{Bytes, Millicores};

use crate::error::ToolError;
use crate::metrics::{Metrics, Sample};
use crate::resources::Amounts;

/// Gives the pods what they use; answers where that is from, in words.
pub(crate) fn add_to(metrics: Result<Metrics, ToolError>, snapshot: &mut Snapshot) -> String {
    let because = |what: &str, why: &str| format!("not known: {what} ({})", why.trim_end_matches('.'));
    let metrics = match metrics {
        Ok(metrics) => metrics,
        // A question about cost has an answer without what is used too.
        Err(e) => return because(DEAD, &e.to_string()),
    };
    match &metrics {
        Metrics::There(_) => {}
        Metrics::Absent => return "not known: this cluster has no metrics-server".into(),
        Metrics::Dead(why) => return because(DEAD, why),
        Metrics::Forbidden(why) => return because("you may not read the metrics API", why),
    }
    let mut found = 0;
    for pod in &mut snapshot.pods {
        pod.usage = metrics.of(&pod.namespace, &pod.name).map(by_container);
        found += usize::from(pod.usage.is_some());
    }
    match found {
        0 => "not known: the metrics API has no sample of these pods yet".into(),
        _ => "one sample of metrics-server: a moment, not a trend".into(),
    }
}

const DEAD: &str = "the metrics API does not answer";

fn by_container(sample: &Sample) -> BTreeMap<String, Size> {
    let whole = |amount: Option<i128>| i64::try_from(amount.unwrap_or(0)).unwrap_or(i64::MAX);
    let size = |used: &Amounts| Size {
        cpu: Millicores(whole(used.cpu)),
        memory: Bytes(whole(used.memory)),
        gpus: 0,
    };
    sample.containers.iter().map(|(name, used)| (name.clone(), size(used))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::Samples;

    fn snapshot() -> Snapshot {
        let pod = json!({"metadata": {"namespace": "shop", "name": "web-1"}, "spec": {"containers": [{"name": "web"}]}});
        Snapshot { pods: kai_cost::read::pod(&pod).into_iter().collect(), ..Snapshot::default() }
    }

    #[test]
    fn a_sample_is_told_container_by_container() {
        let kept = json!({"namespace": "shop", "name": "web-1",
            "containers": [{"name": "web", "usage": {"cpu": "1500000n", "memory": "1Mi"}}]});
        let mut snapshot = snapshot();
        let said = add_to(Ok(Metrics::There(Samples::of(&[kept]))), &mut snapshot);
        assert_eq!(said, "one sample of metrics-server: a moment, not a trend");
        assert_eq!(snapshot.pods[0].usage.as_ref().unwrap()["web"], Size::new(2, 1 << 20));
        let said = add_to(Ok(Metrics::There(Samples::default())), &mut snapshot);
        assert_eq!(said, "not known: the metrics API has no sample of these pods yet");
        assert!(snapshot.pods[0].usage.is_none());
    }

    #[test]
    fn why_there_is_no_sample_is_told() {
        let said = |metrics| add_to(metrics, &mut snapshot());
        let dead = Metrics::Dead("service kube-system/metrics-server: endpoints are missing.".into());
        assert_eq!(
            said(Ok(dead)),
            "not known: the metrics API does not answer (service kube-system/metrics-server: endpoints are missing)"
        );
        assert_eq!(said(Ok(Metrics::Absent)), "not known: this cluster has no metrics-server");
        let denied = said(Ok(Metrics::Forbidden("paul cannot list pods".into())));
        assert_eq!(denied, "not known: you may not read the metrics API (paul cannot list pods)");
    }
}
