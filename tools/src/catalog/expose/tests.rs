//! Which Service comes, which changes, and what is refused.

use serde_json::json;

use super::service::evidence;
use super::*;
use crate::plan::Change;
use crate::review::Level;

fn web(container: Value) -> Resolved {
    let kind = builtin("deployment");
    let live = json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}, "spec": {"containers": [container]}}}});
    Resolved { object: kind.object("shop", "web"), kind, live, note: None }
}

fn there(name: &str, spec: Value) -> Resolved {
    let kind = builtin("service");
    let live = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    Resolved { object: kind.object("shop", name), kind, live, note: None }
}

fn mine() -> Resolved {
    there(
        "front",
        json!({"type": "ClusterIP", "selector": {"tier": "front"}, "ports": [{"port": 80, "targetPort": 8080}]}),
    )
}

fn expose(arguments: Value) -> Expose {
    let mut arguments = arguments;
    arguments["workload"] = json!("web");
    serde_json::from_value(arguments).unwrap()
}

fn plan(arguments: Value, on: &Resolved, services: Vec<Resolved>) -> Result<Option<Change>, ToolError> {
    let e = expose(arguments);
    e.check()?;
    service::plan(&e, on, services).map(|f| f.change)
}

fn declares(port: u16) -> Value {
    json!({"ports": [{"containerPort": port}]})
}

#[test]
fn ports_come_from_what_the_workload_says() {
    for (container, arguments, outer, target, warned) in [
        (declares(8080), json!({}), 8080, 8080, false),
        (declares(8080), json!({"port": 80}), 80, 8080, false),
        (declares(8080), json!({"port": 80, "target_port": 9090}), 80, 9090, false),
        (declares(8080), json!({"target_port": 9090}), 9090, 9090, false),
        (json!({"readinessProbe": {"httpGet": {"port": 3000}}}), json!({}), 3000, 3000, false),
        (json!({}), json!({"port": 80}), 80, 80, true),
    ] {
        let change = plan(arguments, &web(container), vec![]).unwrap().unwrap();
        let port = &change.after["spec"]["ports"][0];
        assert_eq!((&port["port"], &port["targetPort"]), (&json!(outer), &json!(target)));
        assert_eq!(change.lines.iter().any(|l| l.level == Level::Warning), warned);
        assert_eq!(change.after["spec"]["selector"], json!({"app": "web"}));
    }
    let named =
        json!({"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]});
    assert_eq!(evidence(&web(named.clone()).live).len(), 2);
    let both = plan(json!({}), &web(named), vec![]).unwrap().unwrap();
    assert_eq!(both.after["spec"]["ports"][0]["name"], "http");
    assert_eq!(both.after["spec"]["ports"][1]["protocol"], "UDP");
}

#[test]
fn the_service_that_is_there_is_changed_not_doubled() {
    let on = web(declares(8080));
    let other =
        there("other", json!({"type": "ClusterIP", "selector": {"app": "api"}, "ports": [{"port": 80}]}));
    assert!(plan(json!({}), &on, vec![other.clone(), mine()]).unwrap().is_none());
    assert!(plan(json!({"port": 80}), &on, vec![mine()]).unwrap().is_none());
    let change = plan(json!({"node_port": 30080}), &on, vec![other, mine()]).unwrap().unwrap();
    assert_eq!(change.object.name, "front");
    assert_eq!(change.after["spec"]["type"], "NodePort");
    assert_eq!(change.after["spec"]["ports"], json!([{"port": 80, "targetPort": 8080, "nodePort": 30080}]));
    let moved = plan(json!({"port": 81}), &on, vec![mine()]).unwrap().unwrap();
    assert!(moved.lines.iter().any(|l| l.level == Level::Warning && l.text.contains("no longer on 80")));
    let made = plan(json!({"name": "second"}), &on, vec![mine()]).unwrap().unwrap();
    assert!(made.creates() && made.object.name == "second");
}

#[test]
fn refused() {
    let on = web(declares(8080));
    let taken = there("web", json!({"selector": {"app": "api"}}));
    let headless = there("web", json!({"selector": {"app": "web"}, "clusterIP": "None"}));
    let mut two = mine();
    two.live["spec"]["ports"] = json!([{"port": 80}, {"port": 443}]);
    for (arguments, on, services, says) in [
        (json!({}), &web(json!({})), vec![], "give `port`"),
        (json!({"node_port": 80}), &on, vec![], "between 30000 and 32767"),
        (json!({"node_port": 30080, "type": "ClusterIP"}), &on, vec![], "has no node port"),
        (json!({"port": 0}), &on, vec![], "between 1 and 65535"),
        (json!({"name": "A_b"}), &on, vec![], "cannot name a Service"),
        (json!({"host": "not a host"}), &on, vec![], "is not a host"),
        (json!({"path": "api"}), &on, vec![], "is not a path"),
        (json!({}), &on, vec![taken], "selects other pods"),
        (json!({}), &on, vec![headless], "is headless"),
        (json!({"port": 8443}), &on, vec![two], "has the ports 80, 443"),
    ] {
        let error = plan(arguments, on, services).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let e = expose(json!({"node_port": 30080}));
    let other =
        json!({"metadata": {"name": "api", "namespace": "prod"}, "spec": {"ports": [{"nodePort": 30080}]}});
    let error = e.is_free(std::slice::from_ref(&other), "shop", "web").unwrap_err().to_string();
    assert!(error.contains("taken by service/api in prod"), "{error}");
    assert!(e.is_free(&[other], "prod", "api").is_ok());
}

fn class(name: &str, default: bool) -> Value {
    json!({"metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}}})
}

#[test]
fn an_ingress_gets_the_class_that_serves_it() {
    let e = expose(json!({"host": "shop.example.com"}));
    let made =
        |classes: &[Value]| ingress::plan(&e, "web", 80, "shop", vec![], Some(classes)).unwrap().unwrap();
    assert_eq!(made(&[class("a", false), class("b", true)]).after["spec"]["ingressClassName"], "b");
    assert_eq!(made(&[class("a", false)]).after["spec"]["ingressClassName"], "a");
    for classes in [vec![], vec![class("a", false), class("b", false)]] {
        let change = made(&classes);
        assert!(change.after["spec"].get("ingressClassName").is_none());
        assert_eq!(change.lines[0].level, Level::Warning);
    }
}

#[test]
fn a_host_leads_to_one_place() {
    let e = expose(json!({"host": "shop.example.com", "path": "/api"}));
    let kind = builtin("ingress");
    let ingress = |name: &str, path: &str, service: &str| {
        let live = json!({"metadata": {"name": name}, "spec": {"rules": [{"host": "shop.example.com", "http": {"paths": [
            {"path": path, "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}});
        Resolved { object: kind.object("shop", name), kind: kind.clone(), live, note: None }
    };
    let plan = |there: Resolved| ingress::plan(&e, "web", 80, "shop", vec![there], None);
    assert!(plan(ingress("any", "/api", "web")).unwrap().is_none());
    assert!(plan(ingress("any", "/api", "api")).unwrap_err().to_string().contains("to service/api already"));
    let more = plan(ingress("web", "/", "web")).unwrap().unwrap();
    assert_eq!(items(&more.after, "/spec/rules/0/http/paths").len(), 2);
    assert!(plan(ingress("any", "/", "web")).unwrap().unwrap().creates());
}
