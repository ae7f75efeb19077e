//! Images and resources of containers: tags that move, references that are none, limits that are missing or wrong.

use serde_json::Value;

use super::pods::{Container, Pods};
use super::scaling::defaults;
use super::set::Set;
use crate::manifest::Document;
use crate::object::text;
use crate::quantity::milli;

/// Tags that are moved from one image to the next.
const MOVING: [&str; 14] = [
    "latest",
    "main",
    "master",
    "dev",
    "develop",
    "edge",
    "nightly",
    "stable",
    "staging",
    "snapshot",
    "test",
    "prod",
    "production",
    "canary",
];

pub(super) fn check(set: &Set<'_>) {
    for pods in set.pods() {
        for container in pods.containers() {
            image(set, pods.doc, &container);
            quantities(set, pods.doc, &container);
            if !container.init {
                limits(set, &pods, &container);
            }
        }
    }
}

fn image(set: &Set<'_>, d: &Document, container: &Container<'_>) {
    let path = format!("{}/image", container.path);
    let image = text(container.value, "/image");
    if image.is_empty() {
        return;
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@');
    let repository = image.split('@').next().unwrap_or(image);
    let (name, tag) = match repository.rfind(':') {
        Some(at) if !repository[at..].contains('/') => (&repository[..at], &repository[at + 1..]),
        _ => (repository, ""),
    };
    // The host may have a port and capitals; what follows may not.
    let path_of =
        name.split_once('/').filter(|(host, _)| host.contains(['.', ':'])).map_or(name, |(_, rest)| rest);
    if !image.chars().all(allowed)
        || path_of.bytes().any(|b| b.is_ascii_uppercase())
        || image.ends_with([':', '/', '@'])
    {
        let says = format!("`{image}` cannot be an image: the pod ends in InvalidImageName");
        let fix = if image.contains(['<', '>', '$', '{', '[']) {
            "Fill in what is still a placeholder"
        } else {
            "Write registry/name:tag, the name in lower case and without spaces"
        };
        set.problem("invalid-image", d, &path, says, fix);
        return;
    }
    if image.contains('@') {
        return;
    }
    let moves = tag.is_empty() || MOVING.contains(&tag.to_lowercase().as_str());
    if !moves {
        return;
    }
    let shown =
        if tag.is_empty() { format!("{name} without a tag (so latest)") } else { format!("{name}:{tag}") };
    let says = match text(container.value, "/imagePullPolicy") {
        policy @ ("IfNotPresent" | "Never") => format!(
            "{shown} is a tag that moves, and with imagePullPolicy {policy} each node keeps the image it once had: nodes may run different versions, and an apply rolls out nothing new"
        ),
        _ => format!(
            "{shown} is a tag that moves: nobody can say later what ran, and a rollback brings the same image"
        ),
    };
    set.warn("mutable-tag", d, &path, says, "Name a version or a digest");
}

fn quantities(set: &Set<'_>, d: &Document, container: &Container<'_>) {
    let amount = |part: &str, resource: &str| {
        let value = container.value.pointer(&format!("/resources/{part}/{resource}"))?;
        let said = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        Some((milli(&said), said))
    };
    for part in ["requests", "limits"] {
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            let Some((value, said)) = amount(part, resource) else { continue };
            let path = format!("{}/resources/{part}/{resource}", container.path);
            match value {
                None => {
                    let says = format!("`{said}` is no quantity: the API server refuses it");
                    let fix = if resource == "cpu" {
                        "Write 500m or 0.5"
                    } else {
                        "Write 512Mi or 1Gi (not MB or GB)"
                    };
                    set.problem("invalid-quantity", d, &path, says, fix);
                }
                Some(v) if resource != "cpu" && v > 0 && v < 1024 * 1024 => {
                    let says = format!(
                        "{said} of {resource} is less than a kilobyte: the container cannot start with that"
                    );
                    let fix = match said.strip_suffix('m') {
                        Some(n) => format!("m means thousandths: write {n}Mi"),
                        None => format!("Write the unit: {said}Mi or {said}Gi"),
                    };
                    set.problem("tiny-memory", d, &path, says, fix);
                }
                Some(_) => {}
            }
        }
    }
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        if let (Some((Some(asked), shown)), Some((Some(limit), limited))) =
            (amount("requests", resource), amount("limits", resource))
            && asked > limit
        {
            let path = format!("{}/resources/requests/{resource}", container.path);
            let says = format!(
                "requests {shown} of {resource} and limits it to {limited}: the API server refuses that"
            );
            set.problem("request-over-limit", d, &path, says, "Make the request at most the limit");
        }
    }
}

fn limits(set: &Set<'_>, pods: &Pods<'_>, container: &Container<'_>) {
    let has = |part: &str, resource: &str| {
        container.value.pointer(&format!("/resources/{part}/{resource}")).is_some()
    };
    let without_limit = !has("limits", "memory");
    let unrequested: Vec<&str> =
        ["cpu", "memory"].into_iter().filter(|r| !has("requests", r) && !has("limits", r)).collect();
    if !without_limit && unrequested.is_empty() {
        return;
    }
    // A LimitRange of the namespace fills in what is not said.
    let namespace = set.namespace(pods.doc);
    let filled = |resource: &str| {
        set.all("limitrange", namespace)
            .is_none_or(|ranges: Vec<&Value>| ranges.iter().any(|r| defaults(r, resource)))
    };
    let path = format!("{}/resources", container.path);
    let name = container.name();
    if without_limit && !filled("memory") {
        let though = if has("limits", "cpu") { " (though one for CPU)" } else { "" };
        let says = format!(
            "container {name} has no memory limit{though}: a leak takes the memory of its neighbours on the node"
        );
        set.warn("missing-limit", pods.doc, &path, says, "Set resources.limits.memory");
    }
    let unrequested: Vec<&str> = unrequested.into_iter().filter(|r| !filled(r)).collect();
    if !unrequested.is_empty() {
        let what = unrequested.join(" and ");
        let says = format!(
            "container {name} requests no {what}: it is put on any node, however full, and is among the first to be evicted"
        );
        let fix =
            unrequested.iter().map(|r| format!("resources.requests.{r}")).collect::<Vec<_>>().join(" and ");
        set.warn("missing-request", pods.doc, &path, says, format!("Set {fix}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn pod(container: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: c, {container}}}]\n"
        )
    }

    #[test]
    fn images() {
        let image = |image: &str| pod(&format!("image: '{image}'"));
        for bad in ["<registry>/web:<commit>", "web:", "My-App:1", "reg.io:5000/Web:1", "web :1", "${IMAGE}"]
        {
            finds(&image(bad), "", "invalid-image", &["InvalidImageName"]);
        }
        for good in [
            "web:1.2",
            "reg.io:5000/a/web:1.2",
            "REG.io/web:V2",
            "web@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
            "web:latest@sha256:4bcf",
        ] {
            quiet(&image(good), "", "invalid-image");
            quiet(&image(good), "", "mutable-tag");
        }
        finds(&image("web"), "", "mutable-tag", &["web without a tag (so latest)"]);
        finds(&image("reg:5000/web"), "", "mutable-tag", &["without a tag"]);
        finds(
            &pod("image: 'web:latest', imagePullPolicy: IfNotPresent"),
            "",
            "mutable-tag",
            &["each node keeps the image it once had"],
        );
        quiet(&pod("image: 'web:1', imagePullPolicy: IfNotPresent"), "", "mutable-tag");
    }

    #[test]
    fn quantities() {
        let resources = |r: &str| pod(&format!("image: 'x:1', resources: {{{r}}}"));
        finds(&resources("limits: {memory: 512MB}"), "", "invalid-quantity", &["512MB", "512Mi"]);
        finds(&resources("limits: {memory: 512m}"), "", "tiny-memory", &["m means thousandths: write 512Mi"]);
        finds(&resources("limits: {memory: 512}"), "", "tiny-memory", &["512Mi or 512Gi"]);
        finds(
            &resources("requests: {cpu: 2}, limits: {cpu: 500m}"),
            "",
            "request-over-limit",
            &["requests 2 of cpu and limits it to 500m"],
        );
        for check in ["invalid-quantity", "tiny-memory", "request-over-limit"] {
            quiet(
                &resources("requests: {cpu: 0.25, memory: 64Mi}, limits: {cpu: 1, memory: 268435456}"),
                "",
                check,
            );
        }
    }

    #[test]
    fn limits() {
        let resources = |r: &str| pod(&format!("image: 'x:1', resources: {{{r}}}"));
        finds(&pod("image: 'x:1'"), "", "missing-limit", &["no memory limit: a leak"]);
        finds(&pod("image: 'x:1'"), "", "missing-request", &["requests no cpu and memory"]);
        finds(&resources("limits: {cpu: 1}"), "", "missing-limit", &["(though one for CPU)"]);
        for check in ["missing-limit", "missing-request"] {
            quiet(&resources("requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}"), "", check);
            let range = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l, namespace: default}\nspec: {limits: [{type: Container, default: {cpu: 1, memory: 1Gi}}]}\n";
            quiet(&pod("image: 'x:1'"), range, check);
        }
    }
}
