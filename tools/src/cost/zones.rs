//! In which zones the volumes of pods are: a pod goes where its volume is.

use std::collections::BTreeMap;

use kai_cost::cluster::{Shape, Snapshot};
use kai_cost::read;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{builtin, items, text};
use crate::plan::Change;

/// Most claims that are looked up for one plan; pods of others are taken to go anywhere.
const MOST: usize = 20;

/// The zones of claims, by namespace and name. What is not in it goes anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zones(BTreeMap<(String, String), Vec<String>>);

impl Zones {
    /// From lists of claims and volumes.
    pub(crate) fn of(claims: &[Value], volumes: &[Value]) -> Self {
        let by_name: BTreeMap<&str, &Value> =
            volumes.iter().map(|v| (text(v, "/metadata/name"), v)).collect();
        let zones = claims.iter().filter_map(|claim| {
            let zones = read::zones(by_name.get(text(claim, "/spec/volumeName"))?);
            let key = (text(claim, "/metadata/namespace").into(), text(claim, "/metadata/name").into());
            (!zones.is_empty()).then_some((key, zones))
        });
        Self(zones.collect())
    }

    /// For what a plan changes: the claims that its pods mount, and their volumes.
    pub(crate) async fn read(cluster: &Cluster, changes: &[Change]) -> Self {
        let mounted = |change: &Change| -> Vec<(String, String)> {
            let namespace = &change.object.namespace;
            let paths = ["/spec/template/spec/volumes", "/spec/volumes"];
            let volumes = paths
                .iter()
                .flat_map(|path| items(&change.live, path).iter().chain(items(&change.after, path)));
            let claims = volumes.map(|v| text(v, "/persistentVolumeClaim/claimName"));
            claims.filter(|c| !c.is_empty()).map(|c| (namespace.clone(), c.to_string())).collect()
        };
        let mut wanted: Vec<(String, String)> = changes.iter().flat_map(mounted).collect();
        wanted.sort();
        wanted.dedup();
        wanted.truncate(MOST);
        let one = |(namespace, name): (String, String)| async move {
            let claim = cluster.find(&builtin("persistentvolumeclaim"), &namespace, &name).await.ok()??;
            let volume = text(&claim, "/spec/volumeName").to_string();
            // A claim that waits for its first pod has no volume, and so no zone.
            let volume = cluster.find(&builtin("persistentvolume"), "", &volume).await.ok()??;
            Some(((namespace, name), read::zones(&volume)))
        };
        let found = futures::future::join_all(wanted.into_iter().map(one)).await;
        Self(found.into_iter().flatten().filter(|(_, zones)| !zones.is_empty()).collect())
    }

    /// Keeps the pods of a shape where their volumes are.
    pub(crate) fn keep(&self, namespace: &str, shape: &mut Shape) {
        shape.keep_to_zones(&|claim| self.0.get(&(namespace.to_string(), claim.to_string())).cloned());
    }

    /// Does so for all pods and workloads of a snapshot.
    pub(crate) fn keep_all(&self, snapshot: &mut Snapshot) {
        for pod in &mut snapshot.pods {
            self.keep(&pod.namespace, &mut pod.shape);
        }
        for workload in &mut snapshot.workloads {
            let namespace = workload.object.namespace.clone();
            self.keep(&namespace, &mut workload.shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_goes_where_its_volume_is() {
        let claim = json!({"metadata": {"namespace": "shop", "name": "data"}, "spec": {"volumeName": "pv1"}});
        let volume = json!({"metadata": {"name": "pv1"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}}}});
        let zones = Zones::of(&[claim], &[volume]);
        let mut shape = read::shape(
            &json!({"containers": [], "volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}),
        );
        zones.keep("other", &mut shape);
        assert!(shape.placement.zones.is_empty());
        zones.keep("shop", &mut shape);
        assert_eq!(shape.placement.zones, ["a"]);
        let node = |zone: &str| {
            read::node(&json!({"metadata": {"name": zone, "labels": {"topology.kubernetes.io/zone": zone}}}))
        };
        assert!(shape.placement.allows(&node("a")) && !shape.placement.allows(&node("b")));
    }
}
