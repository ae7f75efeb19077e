//! What leads to Services besides Ingresses: routes of the Gateway API, webhooks, aggregated APIs.

use serde_json::Value;

use super::set::{Found, Set};
use crate::manifest::Document;
use crate::object::{items, number, text};

pub(super) fn check(set: &Set<'_>) {
    for kind in ["httproute", "grpcroute", "tcproute", "tlsroute"] {
        for d in set.of(kind) {
            for (i, rule) in items(&d.value, "/spec/rules").iter().enumerate() {
                for (j, backend) in items(rule, "/backendRefs").iter().enumerate() {
                    route(set, d, backend, &format!("/spec/rules/{i}/backendRefs/{j}"));
                }
            }
        }
    }
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        for d in set.of(kind) {
            for (i, webhook) in items(&d.value, "/webhooks").iter().enumerate() {
                let strict = text(webhook, "/failurePolicy") != "Ignore";
                let effect = if strict {
                    "the API server then refuses all that the webhook is for"
                } else {
                    "the webhook is passed over"
                };
                if let Some(service) = webhook.pointer("/clientConfig/service") {
                    called(set, d, service, &format!("/webhooks/{i}/clientConfig/service"), effect);
                }
            }
        }
    }
    for d in set.of("apiservice") {
        if let Some(service) = d.value.pointer("/spec/service").filter(|s| s.is_object()) {
            called(
                set,
                d,
                service,
                "/spec/service",
                "its API answers nothing, and deleting namespaces waits for it",
            );
        }
    }
}

fn route(set: &Set<'_>, d: &Document, backend: &Value, path: &str) {
    if !matches!(text(backend, "/kind"), "" | "Service") || !text(backend, "/group").is_empty() {
        return;
    }
    let own = set.namespace(d);
    let name = text(backend, "/name");
    let namespace = match text(backend, "/namespace") {
        "" => own,
        named => named,
    };
    if namespace != own && !granted(set, d, own, namespace) {
        let says = format!(
            "leads to service/{name} of namespace {namespace}, and nothing there allows that: requests are answered with 500"
        );
        let fix =
            format!("Add a ReferenceGrant in namespace {namespace} from {} of namespace {own}", d.kind());
        set.warn("no-reference-grant", d, &format!("{path}/namespace"), says, fix);
    }
    match set.find("service", namespace, name) {
        Found::Unknown => {}
        Found::Absent => {
            let says = format!(
                "there is no service {name} in namespace {namespace}: requests are answered with 500"
            );
            let fix = set.instead("service", namespace, name, "Add the Service, or correct the name".into());
            set.problem("dangling-route-backend", d, &format!("{path}/name"), says, fix);
        }
        Found::Here(service) => {
            let ports: Vec<i64> =
                items(service, "/spec/ports").iter().filter_map(|p| number(p, "/port")).collect();
            if let Some(port) = number(backend, "/port")
                && !ports.contains(&port)
            {
                let listed: Vec<String> = ports.iter().map(i64::to_string).collect();
                let says = format!("service/{name} has no port {port}: requests are answered with 500");
                set.problem(
                    "route-backend-port",
                    d,
                    &format!("{path}/port"),
                    says,
                    format!("Its ports are {}", listed.join(", ")),
                );
            }
        }
    }
}

/// Whether a ReferenceGrant of the set allows it. Those on the cluster are not looked at: a route that the set shares
/// with its grant is what can be judged.
fn granted(set: &Set<'_>, d: &Document, from: &str, to: &str) -> bool {
    let mut grants = set.of("referencegrant").filter(|g| set.namespace(g) == to);
    let here = set.documents.iter().any(|o| o.kind() == "Namespace" && o.name() == to);
    let allows = |g: &Document| {
        items(&g.value, "/spec/from")
            .iter()
            .any(|f| text(f, "/kind") == d.kind() && text(f, "/namespace") == from)
    };
    grants.any(allows) || !here
}

fn called(set: &Set<'_>, d: &Document, service: &Value, path: &str, effect: &str) {
    let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
    if name.is_empty() || namespace.is_empty() || set.find("service", namespace, name) != Found::Absent {
        return;
    }
    let says = format!("there is no service {name} in namespace {namespace}: {effect}");
    let fix = set.instead("service", namespace, name, "Make the Service and its pods first".into());
    set.problem("dangling-webhook-service", d, &format!("{path}/name"), says, fix);
}

#[cfg(test)]
mod tests {
    use crate::manifest::check::tests::{finds, quiet};

    const LIVE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: any, namespace: x}\n";

    fn route(backend: &str) -> String {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: shop}}\nspec:\n  rules: [{{backendRefs: [{{{backend}}}]}}]\n---\n"
        )
    }

    #[test]
    fn routes() {
        finds(
            &route("name: wev, port: 80"),
            LIVE,
            "dangling-route-backend",
            &["no service wev in namespace shop", "Did you mean web?"],
        );
        finds(
            &route("name: web, port: 8080"),
            LIVE,
            "route-backend-port",
            &["no port 8080", "Its ports are 80"],
        );
        let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: other}\nspec: {ports: [{port: 80}]}\n---\n";
        let across = format!("{other}{}", route("name: api, namespace: other, port: 80"));
        finds(
            &across,
            LIVE,
            "no-reference-grant",
            &["Add a ReferenceGrant in namespace other from HTTPRoute of namespace shop"],
        );
        let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: '', kind: Service}]}\n---\n";
        quiet(&format!("{grant}{across}"), LIVE, "no-reference-grant");
        for check in ["dangling-route-backend", "route-backend-port", "no-reference-grant"] {
            quiet(&route("name: web, port: 80"), LIVE, check);
        }
    }

    #[test]
    fn webhooks() {
        let hook = |service: &str, policy: &str| {
            format!(
                "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {{name: h}}\nwebhooks: [{{failurePolicy: {policy}, clientConfig: {{service: {{name: {service}, namespace: shop}}}}}}]\n"
            )
        };
        finds(
            &hook("guard", "Fail"),
            LIVE,
            "dangling-webhook-service",
            &["no service guard", "refuses all that the webhook is for"],
        );
        finds(&hook("guard", "Ignore"), LIVE, "dangling-webhook-service", &["passed over"]);
        quiet(&hook("web", "Fail"), LIVE, "dangling-webhook-service");
    }
}
