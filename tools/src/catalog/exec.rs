//! `exec`: runs one command in a container, as it is, without a shell of kai's own and without input. Off unless
//! enabled. Refuses a command that cannot be shown exactly: one with control characters, or with what may be a secret.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::inside;
use crate::error::ToolError;
use crate::object::{items, text};
use crate::plan::{Change, Does, Plan};
use crate::policy::Need;
use crate::review::{Level, Line};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Run one command in a container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// `backend`, `pod/x`.
    pub workload: String,
    pub container: Option<String>,
    pub command: Vec<String>,
    pub namespace: Option<String>,
}

/// Most that a command may be, in bytes: it becomes part of an address.
const LONGEST: usize = 4096;

impl Action for Exec {
    const NAME: &'static str = "exec";
    const DESTRUCTIVE: bool = true;
    const NEEDS: Option<Need> = Some(Need::Exec);

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        self.check()?;
        let namespace = context.cluster.namespace_or(self.namespace.as_deref())?;
        let inside = inside::find(&context.cluster, &self.workload, namespace).await?;
        let (container, note) = container_of(&inside.pod.live, self.container.as_deref())?;
        let object = inside.pod.object.clone();
        let shown = json!(self.command).to_string();
        let image = items(&inside.pod.live, "/spec/containers")
            .iter()
            .find(|c| text(c, "/name") == container)
            .map_or("", |c| text(c, "/image"));
        let place = Line::new(Level::Fact, "in", format!("container {container} ({image})"));
        let change = Change::enter(
            inside.pod,
            Does::Exec { container, command: self.command },
            "what a command does inside a container is not known to kai",
        )
        .with(Line::new(Level::Warning, "runs", shown))
        .with(place)
        .with(Line::new(Level::Warning, "preview", "what it does cannot be seen before it is done"));
        let notes = inside.note.into_iter().chain(note).collect();
        Ok(Plan {
            title: format!("Execute a command in {object}"),
            name: inside.name,
            changes: vec![change],
            notes,
            ..Plan::default()
        })
    }
}

impl Exec {
    /// Whether the command can be shown as what it is (pure).
    fn check(&self) -> Result<(), ToolError> {
        let invalid = |message: &str| Err(ToolError::Invalid(format!("exec: {message}")));
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            return invalid("`command` names no program: give it as a list, such as [\"ls\", \"-l\"]");
        }
        if self.command.iter().map(String::len).sum::<usize>() > LONGEST {
            return invalid(&format!("the command is longer than {LONGEST} bytes"));
        }
        if self.command.iter().any(|word| sanitize::line(word) != *word) {
            return invalid(
                "the command holds control characters or line ends, so it cannot be shown as it is",
            );
        }
        let shown = json!(self.command).to_string();
        if crate::redact::text(&shown) != shown {
            return invalid(
                "the command holds what may be a secret, which would stand in the preview and the journal",
            );
        }
        Ok(())
    }
}

/// The container that is meant, and how it was chosen.
fn container_of(pod: &Value, said: Option<&str>) -> Result<(String, Option<String>), ToolError> {
    let names: Vec<&str> = items(pod, "/spec/containers").iter().map(|c| text(c, "/name")).collect();
    let standing = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    let (name, note) = match (said.map(str::trim).filter(|s| !s.is_empty()), names.as_slice()) {
        (Some(said), _) => (said, None),
        (None, [one]) => (*one, None),
        (None, _) if names.contains(&standing) => (standing, None),
        (None, [first, ..]) => {
            (*first, Some(sanitize::line(&format!("container {first} of {}", names.join(", ")))))
        }
        (None, []) => ("", None),
    };
    if !names.contains(&name) {
        return Err(ToolError::NotFound {
            message: format!(
                "pod/{} has no container `{}`; it has {}",
                text(pod, "/metadata/name"),
                sanitize::line(name),
                sanitize::line(&names.join(", "))
            ),
            similar: Vec::new(),
        });
    }
    Ok((name.to_string(), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: Value) -> Result<(), ToolError> {
        let exec: Exec = serde_json::from_value(json!({"workload": "x", "command": command})).unwrap();
        exec.check()
    }

    #[test]
    fn a_command_that_cannot_be_shown_is_refused() {
        check(json!(["ls", "-l", "/tmp; rm"])).unwrap();
        for bad in [
            json!([]),
            json!([" "]),
            json!(["sh", "-c", "a\nb"]),
            json!(["echo", "\u{202e}x"]),
            json!(["mysql", "--password=hunter2hunter2"]),
            json!(["echo", "x".repeat(5000)]),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn containers() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(container_of(&pod, Some("b")).unwrap(), ("b".into(), None));
        assert_eq!(container_of(&pod, None).unwrap(), ("a".into(), Some("container a of a, b".into())));
        assert!(container_of(&pod, Some("c")).unwrap_err().to_string().contains("it has a, b"));
        let mut named = pod;
        named["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "b"});
        assert_eq!(container_of(&named, None).unwrap().0, "b");
    }
}
