//! What becomes of data when claims to volumes go: lost or kept, by the reclaim policy of the volume.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::effects::few;
use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::object::{builtin, text};
use crate::quantity::{show_bytes, whole};
use crate::review::{Level, Line};

/// Volumes by name; the reason why where one may not be read.
type Volumes = BTreeMap<String, Result<Option<Value>, ToolError>>;

const SIDE_BY_SIDE: usize = 8;

/// Looks at the volumes of these claims and says what becomes of the data.
pub(super) async fn lines(cluster: &Cluster, claims: &[&Value]) -> Vec<Line> {
    let mut names: Vec<String> =
        claims.iter().map(|c| text(c, "/spec/volumeName").to_string()).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let looks: Vec<_> = names
        .into_iter()
        .map(|name| async move {
            let found = cluster.find(&builtin("persistentvolume"), "", &name).await;
            (name, found)
        })
        .collect();
    let volumes: Volumes = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    verdict(claims, &volumes)
}

/// What becomes of the data (pure): one line each for what is lost, kept, not known, and never was.
fn verdict(claims: &[&Value], volumes: &Volumes) -> Vec<Line> {
    let mut sorts: BTreeMap<Sort, Vec<(String, i128)>> = BTreeMap::new();
    for claim in claims {
        let name = text(claim, "/metadata/name").to_string();
        let (sort, volume) = match volumes.get(text(claim, "/spec/volumeName")) {
            None => (Sort::Unbound, None),
            Some(Err(_)) => (Sort::Unknown, None),
            Some(Ok(None)) => (Sort::Unbound, None),
            Some(Ok(Some(volume))) => match text(volume, "/spec/persistentVolumeReclaimPolicy") {
                "Retain" => (Sort::Kept, Some(volume)),
                _ => (Sort::Lost, Some(volume)),
            },
        };
        let size = volume.and_then(|v| whole(text(v, "/spec/capacity/storage"))).unwrap_or(0);
        sorts.entry(sort).or_default().push((name, size));
    }
    sorts.iter().map(|(sort, claims)| line(*sort, claims)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Lost,
    Kept,
    Unknown,
    Unbound,
}

fn line(sort: Sort, claims: &[(String, i128)]) -> Line {
    let size = show_bytes(claims.iter().map(|(_, size)| size).sum());
    let names: Vec<String> = claims.iter().map(|(name, _)| format!("pvc/{name}")).collect();
    let names = few(&names);
    match sort {
        Sort::Lost => Line::new(
            Level::Warning,
            "data",
            format!("the data on {size} are lost: {names} (reclaim policy Delete)"),
        ),
        Sort::Kept => Line::new(
            Level::Fact,
            "data",
            format!(
                "the data on {size} are kept: {names} (reclaim policy Retain: the volume stays, for somebody to bind by hand)"
            ),
        ),
        Sort::Unknown => Line::new(
            Level::Unknown,
            "data",
            format!("whether data are lost is not known: the volumes of {names} may not be looked at"),
        ),
        Sort::Unbound => {
            Line::new(Level::Fact, "data", format!("{names}: no volume is bound, so no data go"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_policy_of_the_volume_decides() {
        let claim =
            |name: &str, volume: &str| json!({"metadata": {"name": name}, "spec": {"volumeName": volume}});
        let volume = |policy: &str| {
            Ok(Some(
                json!({"spec": {"capacity": {"storage": "5Gi"}, "persistentVolumeReclaimPolicy": policy}}),
            ))
        };
        let forbidden = ToolError::Forbidden { message: "no".into() };
        let volumes = Volumes::from([
            ("pv1".into(), volume("Delete")),
            ("pv2".into(), volume("Delete")),
            ("pv3".into(), volume("Retain")),
            ("pv4".into(), Err(forbidden)),
        ]);
        let claims =
            [claim("a", "pv1"), claim("b", "pv2"), claim("c", "pv3"), claim("d", "pv4"), claim("e", "")];
        let said = verdict(&claims.iter().collect::<Vec<_>>(), &volumes);
        let levels: Vec<Level> = said.iter().map(|l| l.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Fact, Level::Unknown, Level::Fact]);
        assert_eq!(said[0].text, "the data on 10Gi are lost: pvc/a, pvc/b (reclaim policy Delete)");
        assert!(said[1].text.starts_with("the data on 5Gi are kept: pvc/c"), "{}", said[1].text);
        assert!(said[3].text.contains("pvc/e"));
    }
}
