//! The Ingress: one more rule where there is one of that name, else a new one (pure).

use serde_json::{Value, json};

use super::Expose;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, items, number, text};
use crate::plan::Change;
use crate::review::{Level, Line};
use crate::sanitize;

const DEFAULT: &str = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";

/// Decides what becomes of the Ingress; `None` when the Service is reached so already. `classes` is `None` where they
/// may not be listed.
pub(super) fn plan(
    e: &Expose,
    service: &str,
    port: i64,
    namespace: &str,
    there: Vec<Resolved>,
    classes: Option<&[Value]>,
) -> Result<Option<Change>, ToolError> {
    let (host, path) = (e.host.as_deref().unwrap_or(""), e.path.as_deref().unwrap_or("/"));
    // A canary only borrows a rule: it is the main Ingress that leads there.
    let canary =
        |i: &Resolved| text(&i.live, "/metadata/annotations/nginx.ingress.kubernetes.io~1canary") == "true";
    for ingress in there.iter().filter(|i| !canary(i)) {
        let rules = items(&ingress.live, "/spec/rules").iter().filter(|r| text(r, "/host") == host);
        let Some(same) = rules.flat_map(|r| items(r, "/http/paths")).find(|p| text(p, "/path") == path)
        else {
            continue;
        };
        let to = text(same, "/backend/service/name");
        if to == service && number(same, "/backend/service/port/number").is_none_or(|p| p == port) {
            return Ok(None);
        }
        return Err(ToolError::Refused {
            message: format!(
                "{} leads {host}{path} to service/{} already",
                ingress.object,
                sanitize::line(to)
            ),
            hint: "Use another host or path, or change that Ingress.".into(),
        });
    }
    let one = json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": port}}}});
    let mut rule = json!({"http": {"paths": [one.clone()]}});
    if !host.is_empty() {
        rule["host"] = json!(host);
    }
    if let Some(ingress) = there.into_iter().find(|i| i.object.name == service) {
        let mut after = ingress.live.clone();
        let mut rules = items(&after, "/spec/rules").to_vec();
        let paths = rules
            .iter_mut()
            .find(|r| text(r, "/host") == host)
            .and_then(|r| r.pointer_mut("/http/paths"))
            .and_then(Value::as_array_mut);
        match paths {
            Some(paths) => paths.push(one),
            None => rules.push(rule),
        }
        after["spec"]["rules"] = json!(rules);
        let line = Line::new(Level::Fact, "exists", format!("{} gets one more rule", ingress.object));
        return Ok(Some(Change::set(ingress, after).with(line)));
    }
    let mut manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": service, "namespace": namespace},
        "spec": {"rules": [rule]},
    });
    let (class, line) = class(classes);
    if let Some(class) = class {
        manifest["spec"]["ingressClassName"] = json!(class);
    }
    let mut change = Change::apply(builtin("ingress"), namespace, None, manifest, false);
    change.lines.extend(line);
    Ok(Some(change))
}

/// The class that serves it: the default, else the only one.
fn class(classes: Option<&[Value]>) -> (Option<String>, Option<Line>) {
    let Some(classes) = classes else {
        let text = "IngressClasses may not be listed: which controller serves it is not known";
        return (None, Some(Line::new(Level::Unknown, "class", text)));
    };
    let name = |c: &Value| text(c, "/metadata/name").to_string();
    let warn = |text: String| Some(Line::new(Level::Warning, "class", text));
    if let Some(default) = classes.iter().find(|c| text(c, DEFAULT) == "true") {
        return (Some(name(default)), None);
    }
    match classes {
        [only] => (Some(name(only)), None),
        [] => (
            None,
            warn(
                "this cluster has no IngressClass: nothing serves an Ingress until a controller is installed"
                    .into(),
            ),
        ),
        several => {
            let names: Vec<String> = several.iter().map(name).collect();
            (
                None,
                warn(format!(
                    "none of the IngressClasses {} is the default: no controller may serve it",
                    names.join(", ")
                )),
            )
        }
    }
}
