//! The object as it should be, and what is different about it (pure).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Set, image, invalid, notation};
use crate::catalog::deploy::objects::repository;
use crate::catalog::deploy::shorthand::{self, EnvFrom};
use crate::cluster::resolve::{Resolved, nearest};
use crate::diff;
use crate::error::ToolError;
use crate::object::{ObjectRef, items, text};
use crate::quantity::milli;
use crate::redact::is_secret_name;
use crate::review::{Level, Line};
use crate::sanitize;

/// What was asked, laid over an object.
#[derive(Debug)]
pub(super) struct Edit {
    pub after: Value,
    pub lines: Vec<Line>,
    /// What is different: the field, and what it becomes where that is worth a title.
    changed: Vec<(String, Option<String>)>,
    /// What is so already, in the words of a title.
    same: String,
}

impl Edit {
    pub fn title(&self, object: &ObjectRef) -> String {
        match self.changed.as_slice() {
            [] => format!("nothing to change: {object} {}", self.same),
            [(what, Some(to))] => format!("Set {what} of {object} to {to}"),
            [(what, None)] => format!("Set {what} of {object}"),
            several => format!("Set {} fields of {object}", several.len()),
        }
    }

    fn changed(&mut self, what: impl Into<String>, to: Option<&str>) {
        self.changed.push((what.into(), to.map(sanitize::line)));
    }

    fn warn(&mut self, label: &str, text: String) {
        self.lines.push(Line::new(Level::Warning, label, text));
    }
}

/// Lays what was asked over the object.
pub(super) fn edit(set: &Set, target: &Resolved) -> Result<Edit, ToolError> {
    let mut edit = Edit {
        after: target.live.clone(),
        lines: Vec::new(),
        changed: Vec::new(),
        same: "is so already".into(),
    };
    for (field, asked) in [("labels", &set.labels), ("annotations", &set.annotations)] {
        for (key, value) in asked.iter().flatten() {
            notation::key(key)?;
            if field == "labels" {
                notation::value(key, value)?;
            }
            if entry(&mut edit.after["metadata"], field, key, value) {
                edit.changed(format!("{} {key}", &field[..field.len() - 1]), to(key, value));
            }
        }
    }
    if !set.of_pod() && !set.of_container() {
        return Ok(edit);
    }
    let path = match (target.kind.group.as_str(), target.kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => {
            return invalid(format!(
                "of {} only `labels` and `annotations` can be set; other fields are of a Deployment, StatefulSet, DaemonSet or CronJob",
                target.object
            ));
        }
    };
    let Some(mut pod) = target.live.pointer(path).cloned() else {
        return invalid(format!("{} has no pod template", target.object));
    };
    of_pod(set, &mut pod, &mut edit)?;
    if set.of_container() {
        let (list, at) = container(set, &pod, &target.object)?;
        let mut one = pod[list][at].clone();
        of_container(set, &mut one, &mut edit, &target.object)?;
        pod[list][at] = one;
    }
    if let Some(place) = edit.after.pointer_mut(path) {
        *place = pod;
    }
    Ok(edit)
}

/// A value for a title; none for what goes away or may be secret.
fn to<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    (!value.is_empty() && !is_secret_name(name)).then_some(value)
}

/// Sets or removes one entry of a map in `of`; whether that is different from before.
fn entry(of: &mut Value, map: &str, key: &str, value: &str) -> bool {
    let present = of.get(map).and_then(|m| m.get(key)).and_then(Value::as_str).map(str::to_string);
    if value.is_empty() {
        if let Some(entries) = of.get_mut(map).and_then(Value::as_object_mut) {
            entries.shift_remove(key);
            if entries.is_empty() && present.is_some() {
                of.as_object_mut().map(|o| o.shift_remove(map));
            }
        }
        return present.is_some();
    }
    of[map][key] = json!(value);
    present.as_deref() != Some(value)
}

fn of_pod(set: &Set, pod: &mut Value, edit: &mut Edit) -> Result<(), ToolError> {
    for (key, value) in set.node_selector.iter().flatten() {
        notation::key(key)?;
        notation::value(key, value)?;
        if entry(pod, "nodeSelector", key, value) {
            edit.changed(format!("node selector {key}"), to(key, value));
        }
    }
    for said in set.tolerations.iter().flatten() {
        let toleration = notation::toleration(said)?;
        if !items(pod, "/tolerations").contains(&toleration) {
            push(pod, "tolerations", toleration);
            edit.changed("toleration", Some(said));
        }
    }
    Ok(())
}

fn push(of: &mut Value, list: &str, item: Value) {
    match of.get_mut(list).and_then(Value::as_array_mut) {
        Some(there) => there.push(item),
        None => of[list] = json!([item]),
    }
}

/// The container that is meant: the named one, the only one, or the one that runs the same image.
fn container(set: &Set, pod: &Value, object: &ObjectRef) -> Result<(&'static str, usize), ToolError> {
    let (containers, first) = (items(pod, "/containers"), items(pod, "/initContainers"));
    let names: Vec<&str> = containers.iter().chain(first).map(|c| text(c, "/name")).collect();
    if let Some(name) = &set.container {
        let at = |list: &[Value]| list.iter().position(|c| text(c, "/name") == name);
        return at(containers)
            .map(|i| ("containers", i))
            .or(at(first).map(|i| ("initContainers", i)))
            .ok_or_else(|| ToolError::NotFound {
                message: format!(
                    "{object} has no container `{}`; it has {}",
                    sanitize::line(name),
                    sanitize::line(&names.join(", "))
                ),
                similar: nearest(name, names.iter().copied()),
            });
    }
    let fits: Vec<usize> = match &set.image {
        _ if containers.len() == 1 => vec![0],
        Some(image) => (0..containers.len())
            .filter(|i| repository(text(&containers[*i], "/image")) == repository(image))
            .collect(),
        None => Vec::new(),
    };
    match fits.as_slice() {
        [one] => Ok(("containers", *one)),
        _ => invalid(format!("{object} has the containers {}: say which with `container`", names.join(", "))),
    }
}

fn of_container(set: &Set, one: &mut Value, edit: &mut Edit, object: &ObjectRef) -> Result<(), ToolError> {
    if let Some(said) = &set.image {
        let present = text(one, "/image").to_string();
        let image = image::meant(said, &present)?;
        edit.same = format!("runs {} already", sanitize::line(&image));
        if image != present {
            edit.changed("image", Some(&image));
            if let Some(why) = image::moves(&image) {
                edit.warn("image", why);
            }
        }
        one["image"] = json!(image);
    }
    environment(set, one, edit, object)?;
    resources(set, one, edit)?;
    for (field, words) in [("command", &set.command), ("args", &set.args)] {
        let Some(words) = words else { continue };
        let wanted = (!words.is_empty()).then(|| json!(words));
        if one.get(field) != wanted.as_ref() {
            diff::set(one, &format!("/{field}"), wanted);
            edit.changed(field, None);
        }
    }
    for (field, what, said) in [
        ("readinessProbe", "readiness probe", &set.readiness),
        ("livenessProbe", "liveness probe", &set.liveness),
    ] {
        if let Some(said) = said {
            probe(field, what, said, one, edit)?;
        }
    }
    Ok(())
}

fn environment(set: &Set, one: &mut Value, edit: &mut Edit, object: &ObjectRef) -> Result<(), ToolError> {
    let before = one.clone();
    let mut wanted: BTreeMap<String, Value> = BTreeMap::new();
    let mut whole = Vec::new();
    for (name, value) in set.env.iter().flatten() {
        if is_secret_name(name) && !value.is_empty() {
            edit.warn("env", format!("{name} looks like a secret: who may read {object} reads it; `env_from` takes it from a Secret"));
        }
        wanted.insert(name.clone(), json!({"name": name, "value": value}));
    }
    for said in set.env_from.iter().flatten() {
        match shorthand::env_from(said)? {
            EnvFrom::One(item) => {
                wanted.insert(text(&item, "/name").to_string(), item);
            }
            EnvFrom::Whole(source) => whole.push((said.trim(), source)),
        }
    }
    let mut env = items(one, "/env").to_vec();
    for name in set.unset.iter().flatten() {
        if wanted.contains_key(name) {
            return invalid(format!("{name} is both to be set and to be removed"));
        }
        let names = || items(&before, "/env").iter().map(|e| text(e, "/name"));
        let similar = nearest(name, names());
        if names().any(|n| n == name) {
            env.retain(|e| text(e, "/name") != name);
            edit.changed(format!("env {name}"), Some("nothing"));
        } else if !similar.is_empty() {
            let message = format!("{object} sets no environment variable {}", sanitize::line(name));
            return Err(ToolError::NotFound { message, similar });
        }
    }
    for (name, item) in wanted {
        notation::variable(&name)?;
        // Where a name stands twice, the last one counts.
        match env.iter_mut().rfind(|e| text(e, "/name") == name) {
            Some(there) if same_source(there, &item) => continue,
            Some(there) => {
                if let Some(from) = there.get("valueFrom") {
                    edit.warn("env", format!("{name} came from {}: it no longer does", source(from)));
                }
                *there = item.clone();
            }
            None => env.push(item.clone()),
        }
        let value = item.get("valueFrom").map(source).unwrap_or_else(|| text(&item, "/value").to_string());
        edit.changed(format!("env {name}"), to(&name, &crate::redact::text(&value)));
    }
    if items(one, "/env") != env {
        diff::set(one, "/env", (!env.is_empty()).then(|| json!(env)));
    }
    for (said, item) in whole {
        if !items(one, "/envFrom").iter().any(|there| diff::overlay(there, &item) == *there) {
            push(one, "envFrom", item);
            edit.changed(format!("env from {}", sanitize::line(said)), None);
        }
    }
    Ok(())
}

/// Whether a variable is what it should be; the API server leaves out empty values.
fn same_source(there: &Value, wanted: &Value) -> bool {
    match wanted.get("valueFrom") {
        Some(from) => there.get("valueFrom") == Some(from),
        None => there.get("valueFrom").is_none() && text(there, "/value") == text(wanted, "/value"),
    }
}

/// Where a value comes from: `secret/app key url`.
fn source(from: &Value) -> String {
    for (field, kind) in [("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")] {
        if let Some(r) = from.get(field) {
            return sanitize::line(&format!("{kind}/{} key {}", text(r, "/name"), text(r, "/key")));
        }
    }
    "a field of the pod".into()
}

fn resources(set: &Set, one: &mut Value, edit: &mut Edit) -> Result<(), ToolError> {
    for (group, resource, what, said) in [
        ("requests", "cpu", "cpu request", &set.cpu_request),
        ("requests", "memory", "memory request", &set.memory_request),
        ("limits", "cpu", "cpu limit", &set.cpu_limit),
        ("limits", "memory", "memory limit", &set.memory_limit),
    ] {
        let Some(said) = said.as_deref().map(str::trim) else { continue };
        let Some(wanted) = milli(said).filter(|q| *q > 0) else {
            return invalid(format!("`{said}` is not a quantity such as 250m or 512Mi ({what})"));
        };
        if resource == "memory" && said.ends_with('m') {
            return invalid(format!("`{said}` of memory is a fraction of a byte: write Mi or Gi"));
        }
        let path = format!("/resources/{group}/{resource}");
        if milli(text(one, &path)) != Some(wanted) {
            diff::set(one, &path, Some(json!(said)));
            edit.changed(what, Some(said));
        }
    }
    for (resource, asked) in [
        ("cpu", set.cpu_request.is_some() || set.cpu_limit.is_some()),
        ("memory", set.memory_request.is_some() || set.memory_limit.is_some()),
    ] {
        let at = |group: &str| text(one, &format!("/resources/{group}/{resource}")).to_string();
        let (request, limit) = (at("requests"), at("limits"));
        if asked
            && let (Some(r), Some(l)) = (milli(&request), milli(&limit))
            && r > l
        {
            return invalid(format!(
                "the {resource} request would be {request} and the limit {limit}: a request cannot be above its limit; set both"
            ));
        }
    }
    Ok(())
}

/// Another handler in a probe whose times stay, a new probe, or none.
fn probe(field: &str, what: &str, said: &str, one: &mut Value, edit: &mut Edit) -> Result<(), ToolError> {
    let port = one.pointer("/ports/0/containerPort").and_then(Value::as_u64);
    let wanted = match shorthand::probe(said, port.and_then(|p| u16::try_from(p).ok()))? {
        None => None,
        Some(handler) => {
            let mut probe = match one.get(field) {
                Some(there) => there.clone(),
                // What is slow to start should not be killed for it.
                None if field == "livenessProbe" => json!({"initialDelaySeconds": 15}),
                None => json!({}),
            };
            let old = probe.get("httpGet").cloned();
            for kind in ["httpGet", "tcpSocket", "exec", "grpc"] {
                probe.as_object_mut().and_then(|p: &mut Map<_, _>| p.shift_remove(kind));
            }
            let mut probe = diff::overlay(&probe, &handler);
            if let (Some(old), Some(new)) = (old, handler.get("httpGet")) {
                probe["httpGet"] = diff::overlay(&old, new);
                if new.get("scheme").is_none() && old.get("scheme").is_some() {
                    probe["httpGet"]["scheme"] = json!("HTTP");
                }
            }
            Some(probe)
        }
    };
    if one.get(field) != wanted.as_ref() {
        edit.changed(what, Some(if wanted.is_none() { "none" } else { said }));
        diff::set(one, &format!("/{field}"), wanted);
    }
    Ok(())
}
