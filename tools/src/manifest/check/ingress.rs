//! Ingresses: whether their backends are there, who serves them, and whether two claim the same address.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{Found, Set};
use crate::manifest::Document;
use crate::manifest::check::references::is_made_by_custom;
use crate::object::{items, number, text};

/// The annotation that named the class before there was a field for it.
const CLASS: &str = "/metadata/annotations/kubernetes.io~1ingress.class";

/// One address that an Ingress claims, and where it says so.
pub(super) struct Rule<'a> {
    pub host: &'a str,
    pub path: &'a str,
    /// Where the path stands in the document.
    pub at: String,
    pub backend: Option<&'a Value>,
}

/// The addresses of an Ingress.
pub(super) fn rules(ingress: &Value) -> Vec<Rule<'_>> {
    let mut found = Vec::new();
    for (i, rule) in items(ingress, "/spec/rules").iter().enumerate() {
        for (j, path) in items(rule, "/http/paths").iter().enumerate() {
            found.push(Rule {
                host: text(rule, "/host"),
                path: match text(path, "/path") {
                    "" => "/",
                    path => path,
                },
                at: format!("/spec/rules/{i}/http/paths/{j}"),
                backend: path.get("backend"),
            });
        }
    }
    found
}

/// The class of an Ingress, by field or annotation.
pub(super) fn class(ingress: &Value) -> &str {
    match text(ingress, "/spec/ingressClassName") {
        "" => text(ingress, CLASS),
        class => class,
    }
}

/// Whether ingress-nginx takes it as an addition to another Ingress.
pub(super) fn is_canary(ingress: &Value) -> bool {
    text(ingress, "/metadata/annotations/nginx.ingress.kubernetes.io~1canary") == "true"
}

/// `shop.example.com/api`.
pub(super) fn address(host: &str, path: &str) -> String {
    if host.is_empty() { format!("any host{path}") } else { format!("{host}{path}") }
}

pub(super) fn check(set: &Set<'_>) {
    for d in set.of("ingress") {
        let default =
            d.value.pointer("/spec/defaultBackend").map(|b| (b, "/spec/defaultBackend".to_string()));
        let of_rules: Vec<(&Value, String)> = rules(&d.value)
            .into_iter()
            .filter_map(|r| Some((r.backend?, format!("{}/backend", r.at))))
            .collect();
        for rule in rules(&d.value) {
            pattern(set, d, &rule);
        }
        for (backend, at) in of_rules.into_iter().chain(default) {
            self::backend(set, d, backend, &at);
        }
        served_by(set, d);
        certificates(set, d);
    }
    claims(set);
}

/// A path of type Prefix or Exact is taken as it stands.
fn pattern(set: &Set<'_>, d: &Document, rule: &Rule<'_>) {
    let kind = text(&d.value, &format!("{}/pathType", rule.at));
    if matches!(kind, "Prefix" | "Exact") && rule.path.contains(['(', ')', '*', '$', '[', '\\', '|']) {
        let says = format!(
            "the path {} is a pattern, and pathType {kind} takes it as it stands: no request has such a path",
            rule.path
        );
        set.warn(
            "path-pattern",
            d,
            &format!("{}/path", rule.at),
            says,
            "Write pathType: ImplementationSpecific, or the plain path",
        );
    }
}

fn backend(set: &Set<'_>, d: &Document, backend: &Value, at: &str) {
    if let Some(said) = backend.as_str() {
        let (name, port) = said.split_once(':').unwrap_or((said, "80"));
        let says = format!("the backend is the text {said}: the API server wants a Service and its port");
        set.problem(
            "ingress-backend-form",
            d,
            at,
            says,
            format!("Write backend: {{service: {{name: {name}, port: {{number: {port}}}}}}}"),
        );
        return;
    }
    let name = text(backend, "/service/name");
    if name.is_empty() {
        return;
    }
    let namespace = set.namespace(d);
    let service = match set.find("service", namespace, name) {
        Found::Unknown => return,
        Found::Absent if is_made_by_custom(set, name) => return,
        Found::Absent => {
            let says = format!(
                "there is no service {name} in namespace {namespace}: requests are answered with 503"
            );
            set.problem(
                "dangling-ingress-backend",
                d,
                &format!("{at}/service/name"),
                says,
                elsewhere(set, namespace, name),
            );
            return;
        }
        Found::Here(service) => service,
    };
    let ports = items(service, "/spec/ports");
    let shown = || {
        let each = ports.iter().map(|p| match (number(p, "/port"), text(p, "/name")) {
            (Some(n), "") => n.to_string(),
            (Some(n), name) => format!("{n} ({name})"),
            (None, name) => name.to_string(),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let wrong = |port: String, field: &str| {
        let says = format!("service/{name} has no port {port}: requests are answered with 503");
        let fix = if ports.is_empty() {
            format!("Give service/{name} that port")
        } else {
            format!("Its ports are {}", shown())
        };
        set.problem("ingress-backend-port", d, &format!("{at}/service/port/{field}"), says, fix);
    };
    if let Some(n) = number(backend, "/service/port/number") {
        if !ports.iter().any(|p| number(p, "/port") == Some(n)) {
            wrong(n.to_string(), "number");
        }
    } else {
        let named = text(backend, "/service/port/name");
        if !named.is_empty() && !ports.iter().any(|p| text(p, "/name") == named) {
            wrong(format!("named {named}"), "name");
        }
    }
}

/// Where a missing backend may be: a backend must live in the Ingress's own namespace.
fn elsewhere(set: &Set<'_>, namespace: &str, name: &str) -> String {
    const RULE: &str = "an Ingress reaches only Services of its own namespace";
    let services = set.of("service").map(|d| (set.namespace(d), d.name()));
    // People write `nightly-web` for the Service `web` of the namespace `nightly`.
    let meant = services
        .filter(|(ns, _)| *ns != namespace)
        .find(|(ns, n)| *n == name || name == format!("{ns}-{n}") || name == format!("{n}-{ns}"));
    match meant {
        Some((ns, n)) => {
            format!("service/{n} is in namespace {ns}, and {RULE}: put a Service (or the Ingress) there")
        }
        None => {
            let fix = set.instead("service", namespace, name, format!("Add the Service; {RULE}"));
            fix.replace(", which cannot be used from here: make it", &format!(", and {RULE}: make one"))
        }
    }
}

fn served_by(set: &Set<'_>, d: &Document) {
    let old = text(&d.value, CLASS);
    let named = text(&d.value, "/spec/ingressClassName");
    if !old.is_empty() && !named.is_empty() {
        let says = "names its class twice, by annotation and by field: the API server refuses that";
        set.problem(
            "ingress-class-twice",
            d,
            CLASS,
            says,
            "Take the annotation kubernetes.io/ingress.class out",
        );
    }
    if !old.is_empty() && named.is_empty() {
        let says = "the class is named by the annotation kubernetes.io/ingress.class, which controllers may pass over";
        set.warn(
            "ingress-class-annotation",
            d,
            CLASS,
            says,
            format!("Write spec.ingressClassName: {old} instead"),
        );
        return;
    }
    if !named.is_empty() {
        if set.find("ingressclass", "", named) == Found::Absent {
            let says = format!(
                "there is no IngressClass {named} on this cluster: no controller serves this Ingress"
            );
            let fix = set.instead(
                "ingressclass",
                "",
                named,
                "Install that controller, or name a class that is there".into(),
            );
            set.problem("dangling-ingress-class", d, "/spec/ingressClassName", says, fix);
        }
        return;
    }
    let Some(classes) = set.all("ingressclass", "") else { return };
    let is_default =
        |c: &&Value| text(c, "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class") == "true";
    if !classes.iter().any(is_default) {
        let names: Vec<&str> = classes.iter().map(|c| text(c, "/metadata/name")).collect();
        let says = "names no class, and the cluster has no default one: no controller may serve this Ingress";
        let fix = if names.is_empty() {
            "Install an ingress controller; the cluster has no IngressClass".into()
        } else {
            format!("Write spec.ingressClassName; the cluster has {}", names.join(", "))
        };
        set.warn("no-ingress-class", d, "/spec", says, fix);
    }
}

fn certificates(set: &Set<'_>, d: &Document) {
    let made = d.value.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(|a| {
        a.keys().any(|k| k.starts_with("cert-manager.io/") || k == "kubernetes.io/tls-acme")
    });
    for (i, tls) in items(&d.value, "/spec/tls").iter().enumerate() {
        let name = text(tls, "/secretName");
        let namespace = set.namespace(d);
        if name.is_empty() || made || is_made_by_custom(set, name) {
            continue;
        }
        if set.find("secret", namespace, name) == Found::Absent {
            let says = format!(
                "there is no secret {name} in namespace {namespace}: browsers get the controller's own certificate and warn"
            );
            let fix = set.instead(
                "secret",
                namespace,
                name,
                "Make it, of type kubernetes.io/tls, or let cert-manager do so".into(),
            );
            set.warn("dangling-tls-secret", d, &format!("/spec/tls/{i}/secretName"), says, fix);
        }
    }
}

/// No address may be claimed by two Ingresses of one class.
fn claims(set: &Set<'_>) {
    let mut seen: BTreeMap<(&str, &str, &str), (&str, &str)> = BTreeMap::new();
    for d in set.of("ingress") {
        for rule in rules(&d.value).iter().filter(|_| !is_canary(&d.value)) {
            let mine = (set.namespace(d), d.name());
            let key = (class(&d.value), rule.host, rule.path);
            let other = seen.get(&key).copied().filter(|o| *o != mine).or_else(|| {
                let live = set.others("ingress", "")?;
                let same = |r: &Rule<'_>| (r.host, r.path) == (rule.host, rule.path);
                let one = live
                    .into_iter()
                    .find(|v| !is_canary(v) && class(v) == class(&d.value) && rules(v).iter().any(same))?;
                Some((text(one, "/metadata/namespace"), text(one, "/metadata/name")))
            });
            if let Some((namespace, name)) = other {
                let says = format!(
                    "{} is claimed by ingress/{name} in {namespace} too: which of them answers is left to chance, or this one is refused",
                    address(rule.host, rule.path)
                );
                set.warn(
                    "address-claimed-twice",
                    d,
                    &format!("{}/path", rule.at),
                    says,
                    "Give each address to one Ingress",
                );
            }
            seen.entry(key).or_insert(mine);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const LIVE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80, name: http}]}\n---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: traefik}\n";

    fn ingress(more: &str, service: &str, port: &str) -> String {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: shop}}\nspec:\n  {more}\n  rules:\n  - host: shop.example.com\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{{port}}}}}}}}}]}}\n"
        )
    }

    fn good() -> String {
        ingress("ingressClassName: traefik", "web", "number: 80")
    }

    #[test]
    fn backends() {
        finds(
            &ingress("", "wev", "number: 80"),
            LIVE,
            "dangling-ingress-backend",
            &["no service wev in namespace shop", "503", "Did you mean web?"],
        );
        finds(
            &ingress("", "web", "number: 8080"),
            LIVE,
            "ingress-backend-port",
            &["no port 8080", "80 (http)"],
        );
        finds(&ingress("", "web", "name: grpc"), LIVE, "ingress-backend-port", &["no port named grpc"]);
        let nightly = format!(
            "{}---\napiVersion: v1\nkind: Service\nmetadata: {{name: front, namespace: nightly}}\n",
            ingress("", "nightly-front", "number: 80")
        );
        finds(
            &nightly,
            LIVE,
            "dangling-ingress-backend",
            &["service/front is in namespace nightly", "own namespace"],
        );
        finds(
            &good(),
            &LIVE.replace("shop", "other"),
            "dangling-ingress-backend",
            &["There is one in namespace other, and an Ingress reaches only"],
        );
        let text = good().replace("{service: {name: web, port: {number: 80}}}", "'web:80'");
        finds(&text, LIVE, "ingress-backend-form", &["service: {name: web, port: {number: 80}}"]);
        for check in ["dangling-ingress-backend", "ingress-backend-port", "ingress-backend-form"] {
            quiet(&good(), LIVE, check);
            quiet(&ingress("", "web", "name: http"), LIVE, check);
        }
    }

    #[test]
    fn classes() {
        finds(
            &ingress("ingressClassName: nginx", "web", "number: 80"),
            LIVE,
            "dangling-ingress-class",
            &["no IngressClass nginx"],
        );
        finds(&ingress("", "web", "number: 80"), LIVE, "no-ingress-class", &["the cluster has traefik"]);
        let old = ingress("", "web", "number: 80").replace(
            "namespace: shop}",
            "namespace: shop, annotations: {kubernetes.io/ingress.class: traefik}}",
        );
        finds(&old, LIVE, "ingress-class-annotation", &["spec.ingressClassName: traefik"]);
        let both = old.replace("  rules:", "  ingressClassName: traefik\n  rules:");
        finds(&both, LIVE, "ingress-class-twice", &["names its class twice"]);
        quiet(&old, LIVE, "ingress-class-twice");
        let default = LIVE.replace(
            "{name: traefik}",
            "{name: traefik, annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}}",
        );
        quiet(&ingress("", "web", "number: 80"), &default, "no-ingress-class");
        for check in ["dangling-ingress-class", "no-ingress-class", "ingress-class-annotation"] {
            quiet(&good(), LIVE, check);
        }
    }

    #[test]
    fn addresses_are_claimed_once() {
        let other =
            good().replace("name: web, namespace: shop}\nspec", "name: other, namespace: shop}\nspec");
        finds(
            &format!("{}---\n{other}", good()),
            LIVE,
            "address-claimed-twice",
            &["ingress/other", "shop.example.com/", "ingress/web in shop"],
        );
        finds(&good(), &format!("{LIVE}---\n{other}"), "address-claimed-twice", &["ingress/other in shop"]);
        quiet(&good(), &format!("{LIVE}---\n{}", good()), "address-claimed-twice");
        quiet(
            &good(),
            &format!("{LIVE}---\n{}", other.replace("shop.example", "x.example")),
            "address-claimed-twice",
        );
    }

    #[test]
    fn patterns() {
        let path = |path: &str, kind: &str| {
            good().replace("path: /, pathType: Prefix", &format!("path: '{path}', pathType: {kind}"))
        };
        finds(
            &path("/api(/|$)(.*)", "Prefix"),
            LIVE,
            "path-pattern",
            &["takes it as it stands", "ImplementationSpecific"],
        );
        quiet(&path("/api(/|$)(.*)", "ImplementationSpecific"), LIVE, "path-pattern");
        quiet(&path("/api/v1.0_x", "Prefix"), LIVE, "path-pattern");
    }

    #[test]
    fn certificates() {
        let tls = ingress("tls: [{hosts: [shop.example.com], secretName: cert}]", "web", "number: 80");
        finds(&tls, LIVE, "dangling-tls-secret", &["no secret cert"]);
        let issued = tls.replace(
            "namespace: shop}",
            "namespace: shop, annotations: {cert-manager.io/cluster-issuer: le}}",
        );
        quiet(&issued, LIVE, "dangling-tls-secret");
        let live =
            format!("{LIVE}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: shop}}\n");
        quiet(&tls, &live, "dangling-tls-secret");
    }
}
