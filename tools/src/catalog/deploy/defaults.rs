//! What can be known without asking: on which port an image listens, from workloads that run it already.

use serde_json::Value;

use super::objects::repository;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::object::{builtin, items, text};
use crate::review::{Level, Line};
use crate::sanitize;

/// The ports that other workloads declare for the same image, with where that was seen.
pub(super) async fn ports_by_evidence(
    cluster: &Cluster,
    namespace: &str,
    image: &str,
) -> (Vec<u16>, Vec<Line>) {
    let kind = builtin("deployment");
    let what = Listing { limit: Some(500), ..Listing::default() };
    for place in [Some(namespace), None] {
        let Ok(listed) = cluster.list(&kind, place, &what).await else { continue };
        if let Some((ports, seen)) = listed.items.iter().find_map(|d| declared(d, image)) {
            let said = format!("port {}: {} declares it for this image", show(&ports), sanitize::line(&seen));
            return (ports, vec![Line::new(Level::Fact, "evidence", said)]);
        }
    }
    (Vec::new(), Vec::new())
}

/// That nobody asked for a Service, and how to get one; `there` is one of the workload's name, which is left alone (pure).
pub(super) fn no_service(name: &str, ports: &[u16], there: Option<&Value>) -> Line {
    let Some(service) = there else {
        let port = ports.first().map_or("its port".to_string(), |port| format!("`port {port}`"));
        let said =
            format!("no Service: none was asked for; say {port}, or \"expose {name}\" later, to get one");
        return Line::new(Level::Fact, "default", said);
    };
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    // The labels that the pods get.
    let mine = |(key, value): (&String, &Value)| {
        matches!(key.as_str(), "app" | "app.kubernetes.io/name") && value.as_str() == Some(name)
    };
    if selector.is_some_and(|s| !s.is_empty() && s.iter().all(mine)) {
        return Line::new(
            Level::Fact,
            "service",
            format!("service/{name} is there already and picks these pods"),
        );
    }
    let said = format!("service/{name} is there already, and its selector does not pick these pods");
    Line::new(Level::Warning, "service", said)
}

fn show(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// The ports that a workload declares for an image of that repository (pure).
fn declared(workload: &Value, image: &str) -> Option<(Vec<u16>, String)> {
    let container = items(workload, "/spec/template/spec/containers")
        .iter()
        .find(|c| repository(text(c, "/image")) == repository(image))?;
    let ports: Vec<u16> = items(container, "/ports")
        .iter()
        .filter_map(|p| p["containerPort"].as_u64()?.try_into().ok())
        .collect();
    let seen = format!(
        "deployment/{} in {}",
        text(workload, "/metadata/name"),
        text(workload, "/metadata/namespace")
    );
    (!ports.is_empty()).then_some((ports, seen))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_that_nobody_asked_for_is_not_made() {
        let line = no_service("web", &[80], None);
        assert_eq!(
            line.text,
            "no Service: none was asked for; say `port 80`, or \"expose web\" later, to get one"
        );
        assert!(no_service("web", &[], None).text.contains("say its port, or \"expose web\""));
        let there = |app: &str| json!({"spec": {"selector": {"app": app}}});
        assert!(no_service("web", &[80], Some(&there("web"))).text.ends_with("already and picks these pods"));
        assert_eq!(no_service("web", &[80], Some(&there("api"))).level, Level::Warning);
    }

    #[test]
    fn another_tag_of_the_same_image_says_its_port() {
        let d = json!({"metadata": {"name": "web", "namespace": "a"}, "spec": {"template": {"spec": {"containers": [
            {"image": "r.example:5000/shop/web:1", "ports": [{"containerPort": 3000}]}
        ]}}}});
        assert_eq!(declared(&d, "r.example:5000/shop/web:2").unwrap().0, [3000]);
        assert!(declared(&d, "shop/web:2").is_none());
    }
}
