//! Routing hosts to Services, canaries on Ingress and HTTPRoute, and copies of configuration: preview, apply, undo.

use serde_json::{Value, json};

use crate::support::{Out, World, kubectl};

/// A class that the cluster does not know: an IngressClass would be there for the tests of others too.
const CLASS: &str = "nginx";

fn route(world: &World, arguments: &Value) -> Out {
    world.kai(&["call", "route", &arguments.to_string()])
}

fn routed(world: &World, arguments: &Value) -> Out {
    world.kai(&["--yes", "call", "route", &arguments.to_string()])
}

fn service(world: &World, name: &str, ports: &[u16]) {
    let ports: Vec<Value> = ports.iter().map(|p| json!({"port": p, "name": format!("p{p}")})).collect();
    world.create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": ports}}));
}

/// A namespace with an Ingress `shop` for `/` and `/api`, and the Services web, web-v2 and api.
fn shop(name: &str) -> World {
    let world = World::empty(name);
    service(&world, "web", &[80]);
    service(&world, "web-v2", &[80]);
    service(&world, "api", &[8000, 9090]);
    let to = |path: &str, name: &str, port: u16| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": port}}}});
    world.create(&json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"}, "spec": {
        "ingressClassName": CLASS,
        "rules": [{"host": "shop.example.com", "http": {"paths": [to("/", "web", 80), to("/api", "api", 8000)]}}]}}));
    world
}

fn ingresses(world: &World) -> String {
    world.kubectl(&["get", "ingress", "-o", "name"]).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `path service` of each path of the first rule.
fn leads(world: &World, ingress: &str) -> Vec<String> {
    let live = world.object(&format!("ingress/{ingress}"));
    let paths = live["spec"]["rules"][0]["http"]["paths"].as_array().unwrap().clone();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    paths.iter().map(|p| format!("{} {}", text(&p["path"]), text(&p["backend"]["service"]["name"]))).collect()
}

#[test]
fn a_rule_is_added_changed_and_removed_and_the_others_stay() {
    let world = shop("route");
    world
        .kai(&["route shop.example.com to web-v2:80"])
        .ends(3)
        .says("Route shop.example.com to web-v2:80")
        .says("~ ingress/shop");
    world.nothing_was_written();
    world
        .kai(&["--yes", "route shop.example.com to web-v2:80"])
        .ends(0)
        .says("Routed shop.example.com to web-v2:80.");
    assert_eq!(leads(&world, "shop"), ["/ web-v2", "/api api"]);
    routed(&world, &json!({"action": "set", "host": "shop.example.com", "service": "web-v2:80"}))
        .ends(0)
        .says("leads shop.example.com to web-v2:80 already");
    world.kai(&["--yes", "undo"]).ends(0);
    assert_eq!(leads(&world, "shop"), ["/ web", "/api api"]);

    routed(&world, &json!({"action": "set", "host": "shop.example.com", "path": "/v2", "service": "web-v2"}))
        .ends(0);
    assert_eq!(leads(&world, "shop"), ["/ web", "/api api", "/v2 web-v2"]);
    route(&world, &json!({"action": "remove", "host": "shop.example.com"})).ends(1).says("/, /api, /v2");
    routed(&world, &json!({"action": "remove", "host": "shop.example.com", "path": "/v2"}))
        .ends(0)
        .says("Removed the route of shop.example.com/v2.");
    assert_eq!(leads(&world, "shop"), ["/ web", "/api api"]);

    let new = json!({"action": "set", "host": "new.example.com", "service": "web"});
    routed(&world, &new).ends(0).says("+ ingress/web").says("no IngressClass");
    assert_eq!(ingresses(&world), "ingress.networking.k8s.io/shop ingress.networking.k8s.io/web");
    let remove = json!({"action": "remove", "host": "new.example.com"}).to_string();
    world
        .kai(&["--yes", "call", "route", &remove])
        .ends(3)
        .says("- ingress/web")
        .says("it was its last rule");
    let mut person = world.person(&["call", "route", &remove]);
    person.sees("Type").types("web");
    person.ends(0);
    assert_eq!(ingresses(&world), "ingress.networking.k8s.io/shop");
}

#[test]
fn what_would_not_serve_is_refused() {
    let world = shop("routeno");
    let other = World::empty("routeother");
    service(&other, "far", &[80]);
    for (arguments, code, says) in [
        (json!({"action": "set", "host": "shop.example.com", "service": "wep:80"}), 1, "Did you mean web"),
        (
            json!({"action": "set", "host": "shop.example.com", "service": "api"}),
            1,
            "8000 (p8000), 9090 (p9090): which one?",
        ),
        (
            json!({"action": "set", "host": "shop.example.com", "service": "web:81"}),
            1,
            "has no port 81; it has 80",
        ),
        (json!({"action": "set", "host": "https://shop.example.com", "service": "web"}), 1, "is not a host"),
        (json!({"action": "set", "service": "web"}), 1, "of which host?"),
        (
            json!({"action": "set", "host": "shop.example.com", "service": "far"}),
            7,
            "an Ingress cannot reach across namespaces",
        ),
        (
            json!({"action": "canary", "host": "other.example.com", "service": "web-v2", "weight": 5}),
            7,
            "no main rule serves other.example.com",
        ),
        (
            json!({"action": "canary", "host": "shop.example.com", "path": "/x", "service": "web-v2", "weight": 5}),
            7,
            "has no rule for /x",
        ),
        (
            json!({"action": "canary", "host": "shop.example.com", "service": "web", "weight": 5}),
            7,
            "the canary must be another Service",
        ),
        (
            json!({"action": "canary", "host": "shop.example.com", "service": "web-v2", "by": "cookie", "key": "nightly=1"}),
            1,
            "its value is `always`",
        ),
        (json!({"action": "promote", "host": "shop.example.com"}), 1, "shop.example.com has no canary"),
        (json!({"action": "abort", "host": "shap.example.com"}), 1, "Did you mean shop.example.com?"),
    ] {
        routed(&world, &arguments).ends(code).says(says);
    }
    world.nothing_was_written();
}

#[test]
fn a_canary_by_cookie_is_made_changed_promoted_and_aborted() {
    let world = shop("canary");
    let cookie = json!({"action": "canary", "host": "shop.example.com", "service": "web-v2", "by": "cookie", "key": "nightly"});
    route(&world, &cookie)
        .ends(3)
        .says("+ ingress/shop-canary")
        .says("cookie nightly=always goes to the canary, nightly=never never does")
        .says("there is no IngressClass nginx, so who serves ingress/shop is not known")
        .says("ingress-nginx is retired");
    world.nothing_was_written();
    routed(&world, &cookie)
        .ends(0)
        .says("Sent requests of shop.example.com with cookie nightly to web-v2:80.");
    let canary = world.object("ingress/shop-canary");
    assert_eq!(canary["spec"]["ingressClassName"], CLASS);
    assert_eq!(canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-by-cookie"], "nightly");
    assert_eq!(leads(&world, "shop-canary"), ["/ web-v2"]);

    let sentence = "send 10% of the traffic of shop.example.com to web-v2";
    world.kai(&["--yes", sentence]).ends(0).says("Sent 10% of shop.example.com to web-v2:80.");
    let annotations = world.object("ingress/shop-canary")["metadata"]["annotations"].clone();
    assert_eq!(annotations["nginx.ingress.kubernetes.io/canary-weight"], "10");
    assert!(annotations.get("nginx.ingress.kubernetes.io/canary-by-cookie").is_none(), "{annotations}");
    world.kai(&["--yes", "undo"]).ends(0);
    let annotations = world.object("ingress/shop-canary")["metadata"]["annotations"].clone();
    assert_eq!(annotations["nginx.ingress.kubernetes.io/canary-by-cookie"], "nightly");

    let abort = "abort the canary of shop.example.com";
    world.kai(&["--yes", abort]).ends(3).says("- ingress/shop-canary");
    let mut person = world.person(&[abort]);
    person.sees("Type").types("shop-canary");
    let screen = person.ends(0);
    assert!(screen.contains("Aborted the canary of shop.example.com: web-v2:80."), "{screen}");
    assert_eq!(ingresses(&world), "ingress.networking.k8s.io/shop");
    world.kai(&["--yes", "undo"]).ends(0);

    world.proxy.clear();
    let mut person = world.person(&["promote the canary of shop.example.com"]);
    person.sees("Type").types(&world.namespace);
    let screen = person.ends(0);
    assert!(screen.contains("Promoted the canary of shop.example.com: web-v2:80."), "{screen}");
    assert_eq!(
        (leads(&world, "shop"), ingresses(&world)),
        (vec!["/ web-v2".into(), "/api api".into()], "ingress.networking.k8s.io/shop".into())
    );
    let methods: Vec<String> = world.proxy.writes().iter().map(|w| w.method.clone()).collect();
    assert_eq!(methods, ["PATCH", "DELETE"], "the main rule first");
}

/// Defines HTTPRoutes, of which only this file's tests know.
fn gateway_api(world: &World) {
    world.create(
        &json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced",
                "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}),
    );
    kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/httproutes.gateway.networking.k8s.io",
        "--timeout=60s",
    ]);
}

#[test]
fn an_httproute_holds_its_canary_itself() {
    let world = World::empty("httproute");
    gateway_api(&world);
    for name in ["web", "web-v2"] {
        service(&world, name, &[80]);
    }
    world.create(&json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"}, "spec": {
        "hostnames": ["shop.example.com"], "parentRefs": [{"name": "gw"}],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}, {"path": {"type": "PathPrefix", "value": "/api"}}],
            "backendRefs": [{"name": "web", "port": 80}]}]}}));
    let rules = || world.object("httproute/shop")["spec"]["rules"].clone();
    let before = rules();
    let sentence = "send 10% of the traffic of shop.example.com to web-v2";
    world.kai(&[sentence]).ends(3).says("~ httproute/shop");
    world.nothing_was_written();
    let out = world.kai(&["--yes", sentence]).ends(0);
    assert!(!out.all().contains("retired"), "that is ingress-nginx: {}", out.all());
    assert_eq!(
        rules()[0]["backendRefs"],
        json!([{"name": "web", "port": 80, "weight": 90}, {"name": "web-v2", "port": 80, "weight": 10}])
    );
    world.kai(&["--yes", "undo"]).ends(0);
    assert_eq!(rules(), before);

    let cookie = json!({"action": "canary", "host": "shop.example.com", "service": "web-v2", "by": "cookie", "key": "beta"});
    routed(&world, &cookie).ends(0).says("cookie beta=always goes to the canary");
    assert_eq!(rules()[0]["matches"][0]["headers"][0]["value"], r"(^|;\s*)beta=always(;|$)");
    world.kai(&["--yes", "promote the canary of shop.example.com"]).ends(0).says("Promoted");
    assert_eq!(rules()[0]["backendRefs"], json!([{"name": "web-v2", "port": 80}]));
    assert_eq!(rules()[1]["backendRefs"], json!([{"name": "web", "port": 80}]), "/api stays");
    world.kai(&["--yes", "abort the canary of shop.example.com"]).ends(1).says("has no canary");
    world.kai(&["--yes", "route shop.example.com to web:80"]).ends(0);
    assert_eq!(rules()[0]["backendRefs"], json!([{"name": "web", "port": 80}]));
}

#[test]
fn configuration_is_copied_without_its_owner() {
    let world = World::empty("copy");
    let other = World::empty("copyto");
    let to = other.namespace.clone();
    world.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "labels": {"app": "web", "helm.sh/chart": "web-1"}}, "data": {"a": "1"}}));
    let sentence = format!("copy configmap app to {to}");
    world.kai(&[&sentence]).ends(3).says("+ configmap/app").says("helm.sh/chart");
    world.nothing_was_written();
    world.kai(&["--yes", &sentence]).ends(0).says("Copied configmap/app from");
    let copy = other.object("configmap/app");
    assert_eq!((&copy["data"], &copy["metadata"]["labels"]), (&json!({"a": "1"}), &json!({"app": "web"})));
    world.kai(&["--yes", &sentence]).ends(7).says(&format!("configmap/app exists in {to} already"));
    other.kubectl(&["patch", "configmap", "app", "--type=merge", "-p", r#"{"data":{"a":"2","b":"3"}}"#]);
    let replace = json!({"kind": "configmap", "name": "app", "to": [to], "replace": true}).to_string();
    world.kai(&["--yes", "call", "copy", &replace]).ends(0).says("its labels and annotations stay");
    assert_eq!(other.object("configmap/app")["data"], json!({"a": "1"}));
    world.kai(&["--yes", "undo"]).ends(0);
    assert_eq!(other.object("configmap/app")["data"], json!({"a": "2", "b": "3"}));
    let gone = json!({"kind": "configmap", "name": "app", "to": [format!("{to}x")]}).to_string();
    world.kai(&["call", "copy", &gone]).ends(1).says(&format!("Did you mean {to}"));
    let gone = json!({"kind": "configmap", "name": "apq", "to": [to]}).to_string();
    world.kai(&["call", "copy", &gone]).ends(1).says("Did you mean app?");
}

#[test]
fn a_secret_is_copied_unseen_by_a_person_who_types_its_name() {
    let world = World::empty("copysecret");
    let other = World::empty("copysecretto");
    world.kubectl(&["create", "secret", "generic", "key", "--from-literal=k=hunter2hunter2"]);
    let copy = json!({"kind": "secret", "name": "key", "to": [other.namespace], "as": "key2"}).to_string();
    world.kai(&["--yes", "call", "copy", &copy]).ends(7).says("--allow secrets");
    let mut person = world.person(&["--allow", "secrets", "call", "copy", &copy]);
    person.sees("Type").types("key2");
    let screen = person.ends(0);
    assert!(!screen.contains("hunter2") && !screen.contains("aHVudGVyM"), "{screen}");
    assert_eq!(other.object("secret/key2")["data"]["k"], "aHVudGVyMmh1bnRlcjI=");
}
