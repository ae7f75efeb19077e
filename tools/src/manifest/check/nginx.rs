//! The ingress-nginx controller: its end, its canary rules, and rewrites that lose the path.

use serde_json::Value;

use super::ingress::{Rule, address, class, is_canary, rules};
use super::set::Set;
use crate::manifest::Document;
use crate::object::text;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

pub(super) fn check(set: &Set<'_>) {
    let served: Vec<&Document> = set.of("ingress").filter(|d| is_for_nginx(&d.value)).collect();
    retired(set, &served);
    for d in served {
        canary(set, d);
        rewrite(set, d);
    }
}

fn annotations(ingress: &Value) -> impl Iterator<Item = (&String, &Value)> {
    ingress.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten()
}

fn is_for_nginx(ingress: &Value) -> bool {
    matches!(class(ingress), "nginx" | "ingress-nginx")
        || annotations(ingress).any(|(k, _)| k.starts_with(PREFIX))
}

fn annotation<'a>(d: &'a Document, name: &str) -> Option<&'a str> {
    d.value.pointer(&at(name)).and_then(Value::as_str)
}

fn at(name: &str) -> String {
    format!("/metadata/annotations/{}{name}", PREFIX.replace('/', "~1"))
}

/// Said once, however many there are.
fn retired(set: &Set<'_>, served: &[&Document]) {
    let Some(d) = served.first() else { return };
    let path = if class(&d.value).is_empty() { "/metadata/annotations" } else { "/spec" };
    let others = match served.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let says = format!(
        "this Ingress{others} is for the ingress-nginx controller, which is retired: its best-effort maintenance ended in March 2026, and security holes are not mended since"
    );
    set.warn("ingress-nginx-retired", d, path, says, "Plan the move to Gateway API or to a controller that is maintained; until then all goes on as before");
}

fn canary(set: &Set<'_>, d: &Document) {
    let given: Vec<&str> = ["by-cookie", "by-header", "by-header-value", "by-header-pattern", "weight"]
        .into_iter()
        .filter(|n| annotation(d, &format!("canary-{n}")).is_some())
        .collect();
    if !is_canary(&d.value) {
        if let Some(first) = given.first() {
            let says = format!(
                "{PREFIX}canary-{first} does nothing without {PREFIX}canary: \"true\": this is an ordinary Ingress"
            );
            set.warn(
                "canary-off",
                d,
                &at(&format!("canary-{first}")),
                says,
                format!("Add {PREFIX}canary: \"true\""),
            );
        }
        return;
    }
    cookie(set, d);
    if annotation(d, "canary-by-header").is_none()
        && let Some(value) = given.iter().find(|n| n.starts_with("by-header-"))
    {
        let says = format!("{PREFIX}canary-{value} does nothing without {PREFIX}canary-by-header");
        set.warn(
            "canary-header",
            d,
            &at(&format!("canary-{value}")),
            says,
            "Name the header in canary-by-header",
        );
    }
    if given.is_empty() {
        let says = "a canary without a header, cookie or weight gets no requests at all";
        set.warn(
            "canary-without-rule",
            d,
            &at("canary"),
            says,
            format!("Add {PREFIX}canary-weight, canary-by-header or canary-by-cookie"),
        );
    }
    if let Some(weight) = annotation(d, "canary-weight") {
        let total = annotation(d, "canary-weight-total").and_then(|t| t.parse::<u32>().ok()).unwrap_or(100);
        if weight.parse::<u32>().map_or(true, |w| w > total) {
            let says = format!(
                "canary-weight `{weight}` is no whole number from 0 to {total}: the rule is passed over"
            );
            set.problem(
                "canary-weight",
                d,
                &at("canary-weight"),
                says,
                "Write the share of requests as a number in quotes",
            );
        }
    }
    main_rules(set, d);
}

/// The annotation takes a cookie's name; the cookie itself says `always` or `never`.
fn cookie(set: &Set<'_>, d: &Document) {
    let Some(said) = annotation(d, "canary-by-cookie") else { return };
    if let Some((name, value)) = said.split_once('=') {
        let says = format!(
            "takes the name of a cookie, not name=value: no cookie is called `{said}`, so no request ever goes to the canary"
        );
        let fix = format!(
            "Write {name}, and set that cookie to always (canary) or never; to choose by the value {value}, use canary-by-header and canary-by-header-value"
        );
        set.problem("canary-cookie", d, &at("canary-by-cookie"), says, fix);
    } else if said.is_empty() || said.contains([';', ' ', ',', '"']) {
        let says = format!("`{said}` cannot be the name of a cookie, so no request ever goes to the canary");
        set.problem(
            "canary-cookie",
            d,
            &at("canary-by-cookie"),
            says,
            "Write the cookie's name; its value is always or never",
        );
    }
}

/// A canary only adds to a main rule of the same host and path.
fn main_rules(set: &Set<'_>, d: &Document) {
    for rule in rules(&d.value) {
        let same = |r: &Rule<'_>| (r.host, r.path) == (rule.host, rule.path);
        let is_main = |v: &Value| !is_canary(v) && rules(v).iter().any(same);
        if set.of("ingress").any(|o| is_main(&o.value)) {
            continue;
        }
        let Some(live) = set.others("ingress", "") else { return };
        if !live.into_iter().any(is_main) {
            let says = format!(
                "no other Ingress serves {}: a canary needs a main rule on the same host and path, without one it is passed over",
                address(rule.host, rule.path)
            );
            set.problem(
                "canary-without-main",
                d,
                &format!("{}/path", rule.at),
                says,
                "Add the main Ingress, or make host and path the same as there",
            );
        }
    }
}

/// `rewrite-target: /` sends every request below a path to the root.
fn rewrite(set: &Set<'_>, d: &Document) {
    let Some(target) = annotation(d, "rewrite-target").filter(|t| !t.contains('$')) else { return };
    for rule in rules(&d.value) {
        let kind = text(&d.value, &format!("{}/pathType", rule.at));
        if rule.path == "/"
            || kind == "Exact"
            || rule.path.trim_end_matches('/') == target.trim_end_matches('/')
        {
            continue;
        }
        let base = rule.path.split('(').next().unwrap_or(rule.path).trim_end_matches('/');
        let says = format!(
            "rewrite-target {target} makes every request below {base} one for {target}: what follows {base} is lost"
        );
        let fix = format!(
            "Write path {base}(/|$)(.*) with pathType ImplementationSpecific and rewrite-target /$2, or leave the rewrite out"
        );
        set.warn("rewrite-loses-path", d, &format!("{}/path", rule.at), says, fix);
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    fn ingress(name: &str, class: &str, annotations: &str, path: &str) -> String {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  ingressClassName: {class}\n  rules: [{{host: a.b, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]\n"
        )
    }

    fn canary(rule: &str, path: &str) -> String {
        ingress("canary", "nginx", &format!("nginx.ingress.kubernetes.io/canary: 'true', {rule}"), path)
    }

    const COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie: 'override=nightly'";
    const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight: '10'";

    #[test]
    fn it_is_retired() {
        finds(&ingress("a", "nginx", "", "/"), "", "ingress-nginx-retired", &["March 2026", "Gateway API"]);
        finds(
            &ingress("a", "web", "nginx.ingress.kubernetes.io/ssl-redirect: 'true'", "/"),
            "",
            "ingress-nginx-retired",
            &["retired"],
        );
        quiet(&ingress("a", "traefik", "", "/"), "", "ingress-nginx-retired");
    }

    #[test]
    fn a_cookie_has_a_name() {
        finds(
            &canary(COOKIE, "/"),
            "",
            "canary-cookie",
            &["not name=value", "Write override, and set that cookie to always", "in.yaml:5"],
        );
        quiet(&canary("nginx.ingress.kubernetes.io/canary-by-cookie: override", "/"), "", "canary-cookie");
    }

    #[test]
    fn a_canary_needs_a_main_rule() {
        let main = ingress("main", "nginx", "", "/");
        finds(
            &format!("{main}---\n{}", canary(WEIGHT, "/api")),
            "",
            "canary-without-main",
            &["no other Ingress serves a.b/api"],
        );
        quiet(&format!("{main}---\n{}", canary(WEIGHT, "/")), "", "canary-without-main");
        quiet(&canary(WEIGHT, "/"), &main, "canary-without-main");
        quiet(&format!("{main}---\n{}", canary(WEIGHT, "/")), "", "address-claimed-twice");
    }

    #[test]
    fn canary_rules() {
        finds(&ingress("a", "nginx", WEIGHT, "/"), "", "canary-off", &["does nothing without"]);
        finds(&canary("x/y: z", "/"), "", "canary-without-rule", &["no requests at all"]);
        finds(
            &canary("nginx.ingress.kubernetes.io/canary-weight: '10%'", "/"),
            "",
            "canary-weight",
            &["0 to 100"],
        );
        finds(
            &canary("nginx.ingress.kubernetes.io/canary-by-header-value: x", "/"),
            "",
            "canary-header",
            &["canary-by-header"],
        );
        for check in ["canary-off", "canary-without-rule", "canary-weight", "canary-header"] {
            quiet(&canary(WEIGHT, "/"), "", check);
        }
    }

    #[test]
    fn rewrites_keep_the_path() {
        let to = |target: &str, path: &str| {
            ingress("a", "nginx", &format!("nginx.ingress.kubernetes.io/rewrite-target: {target}"), path)
        };
        finds(&to("/", "/api"), "", "rewrite-loses-path", &["what follows /api is lost", "/$2"]);
        quiet(&to("/$2", "'/api(/|$)(.*)'"), "", "rewrite-loses-path");
        quiet(&to("/", "/"), "", "rewrite-loses-path");
    }
}
