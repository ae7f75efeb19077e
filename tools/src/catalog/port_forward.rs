//! `port_forward`: connections to a port of this machine go to a port of a pod, until the person ends it. Off unless
//! enabled. It listens on this machine's own address only, and ends by itself after an hour.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::inside;
use crate::error::ToolError;
use crate::object::{items, number, text};
use crate::plan::{Change, Does, Plan};
use crate::policy::Need;
use crate::review::{Level, Line};
use crate::tool::{Action, Context};

/// Forward a local port to a pod or Service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortForward {
    /// `service/x`, `pod/x`.
    pub target: String,
    pub port: u16,
    pub local_port: Option<u16>,
    pub namespace: Option<String>,
}

/// Ports below are the system's own.
const FIRST_FREE: u16 = 1024;

impl Action for PortForward {
    const NAME: &'static str = "port_forward";
    const DESTRUCTIVE: bool = false;
    const NEEDS: Option<Need> = Some(Need::Exec);

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        if self.port == 0 {
            return Err(ToolError::Invalid("port_forward: there is no port 0".into()));
        }
        let namespace = context.cluster.namespace_or(self.namespace.as_deref())?;
        let inside = inside::find(&context.cluster, &self.target, namespace).await?;
        let port = match &inside.service {
            Some(service) => target_port(service, &inside.pod.live, self.port)?,
            None => self.port,
        };
        // A port of the system's own wants rights that kai should not have.
        let local = self.local_port.unwrap_or(if port < FIRST_FREE { port + 8000 } else { port });
        let object = inside.pod.object.clone();
        let title = format!("Forward 127.0.0.1:{local} to port {port} of {object}");
        let change = Change::enter(
            inside.pod,
            Does::Forward { port, local },
            "what goes through the connections is not known to kai",
        )
        .with(Line::new(
            Level::Warning,
            "open",
            "every program on this machine can reach it; Ctrl-C ends it, and an hour at the latest",
        ));
        let notes = inside.note.into_iter().collect();
        Ok(Plan { title, name: inside.name, changes: vec![change], notes, ..Plan::default() })
    }
}

/// The port of the pod behind a port of a Service.
fn target_port(service: &Value, pod: &Value, port: u16) -> Result<u16, ToolError> {
    let ports = items(service, "/spec/ports");
    let Some(found) = ports.iter().find(|p| number(p, "/port") == Some(i64::from(port))) else {
        let all: Vec<String> = ports.iter().filter_map(|p| Some(number(p, "/port")?.to_string())).collect();
        return Err(ToolError::NotFound {
            message: format!(
                "service/{} has no port {port}; it has {}",
                text(service, "/metadata/name"),
                all.join(", ")
            ),
            similar: Vec::new(),
        });
    };
    let by_number = match found.get("targetPort") {
        None => Some(i64::from(port)),
        Some(Value::String(name)) => items(pod, "/spec/containers")
            .iter()
            .flat_map(|c| items(c, "/ports"))
            .find(|p| text(p, "/name") == name)
            .and_then(|p| number(p, "/containerPort")),
        Some(number) => number.as_i64(),
    };
    by_number.and_then(|n| u16::try_from(n).ok()).ok_or_else(|| {
        ToolError::Invalid(format!("port {port} of the Service names a port that the pod does not have"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_port_behind_a_service() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [
            {"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}, {"port": 82}, {"port": 83, "targetPort": "none"}]}});
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}});
        let ports: Vec<u16> = [80, 81, 82].map(|p| target_port(&service, &pod, p).unwrap()).into();
        assert_eq!(ports, [8080, 8081, 82]);
        assert!(target_port(&service, &pod, 83).is_err());
        let error = target_port(&service, &pod, 90).unwrap_err().to_string();
        assert!(error.contains("it has 80, 81, 82, 83"), "{error}");
    }
}
