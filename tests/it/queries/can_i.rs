//! `can_i`: what the API server's own authorizer says, and the binding that gives it.

use serde_json::{Value, json};

use super::{call, said};
use crate::support::World;

/// A namespace in which the service account `ci` may edit, and the user `reader` may read pods and roles.
fn world(name: &str) -> World {
    let world = World::empty(name);
    world.kubectl(&["create", "serviceaccount", "ci"]);
    let ci = format!("--serviceaccount={}:ci", world.namespace);
    world.kubectl(&["create", "rolebinding", "deployers", "--clusterrole=edit", &ci]);
    world.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list,watch",
        "--resource=pods,roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io",
    ]);
    let reader = format!("--user=reader-{}", world.namespace);
    world.kubectl(&["create", "rolebinding", "readers", "--role=reader", &reader]);
    world
}

fn ask(world: &World, arguments: Value) -> String {
    said(&call(world, "can_i", &arguments))
}

#[test]
fn one_thing_is_asked_of_the_authorizer() {
    let world = world("canone");
    let at = world.namespace.clone();
    assert!(ask(&world, json!({"verb": "delete", "resource": "pods"})).starts_with("Yes: you ("));
    let yes = ask(&world, json!({"verb": "scale", "resource": "deploy", "as": "serviceaccount/ci"}));
    assert!(
        yes.starts_with(&format!("Yes: serviceaccount/ci of {at} may patch deployments.apps/scale in {at}.")),
        "{yes}"
    );
    assert!(yes.contains("RoleBinding \"deployers"), "the binding that gives it: {yes}");
    let no = ask(&world, json!({"verb": "delete", "resource": "nodes", "as": "sa/ci"}));
    assert!(no.starts_with("No: ") && no.contains("may not delete nodes in the whole cluster"), "{no}");
    let wide = ask(&world, json!({"verb": "get", "resource": "pods/log", "as": "sa/ci", "namespace": "*"}));
    assert!(wide.contains("may not get pods/log in all namespaces"), "{wide}");
    let some = ask(&world, json!({"verb": "read", "resource": "secrets", "as": "stranger"}));
    assert!(
        some.contains("No: stranger may not list secrets") && some.contains("Groups that this user gets"),
        "{some}"
    );
    for (arguments, says) in [
        (r#"{"verb": "frobnicate", "resource": "pods"}"#, "is no verb"),
        (r#"{"verb": "get"}"#, "say on which `resource`"),
        (r#"{"verb": "get", "resource": "podz"}"#, "Did you mean pod"),
        (r#"{"verb": "get", "resource": "pods", "as": "sa/cii"}"#, "Did you mean ci?"),
        (r#"{"verb": "get", "resource": "pods", "namespace": "nowhere"}"#, "there is no namespace `nowhere`"),
        (r#"{"as": "*"}"#, "say the verb and the resource"),
    ] {
        world.kai(&["call", "can_i", arguments]).ends(1).says(says);
    }
    world.nothing_was_written();
}

#[test]
fn everything_is_a_compact_table_with_its_sources() {
    let world = world("canall");
    assert!(ask(&world, json!({})).contains("may do everything"));
    let account = call(&world, "can_i", &json!({"as": "serviceaccount/ci"}));
    let rules = account["data"]["rules"].as_array().unwrap();
    assert!(rules.len() < 15, "few rows: {}", rules.len());
    let by = |on: &str| {
        let rule = rules.iter().find(|r| r["on"].as_array().unwrap().contains(&json!(on))).unwrap();
        (rule["verbs"].as_array().unwrap().len(), rule["by"].as_str().unwrap().to_string())
    };
    assert_eq!(by("deployments.apps"), (8, "clusterrole/edit by rolebinding/deployers".into()));
    assert_eq!(by("pods/log"), (3, "clusterrole/edit by rolebinding/deployers".into()));
    let one = call(&world, "can_i", &json!({"as": "sa/ci", "resource": "configmaps"}));
    assert_eq!(one["data"]["rules"].as_array().unwrap().len(), 1);
    let who = call(&world, "can_i", &json!({"as": "*", "verb": "delete", "resource": "deployments"}));
    let named = who["data"]["checks"][0]["who"].as_array().unwrap();
    let ci = named
        .iter()
        .find(|w| w["who"] == json!(format!("serviceaccount/ci of {}", world.namespace)))
        .unwrap();
    assert_eq!(ci["by"], "clusterrole/edit by rolebinding/deployers");
}

#[test]
fn without_the_right_to_ask_the_roles_that_can_be_read_answer() {
    let world = world("canless");
    let reader = format!("reader-{}", world.namespace);
    let own = world.kai_as(&reader, &["call", "can_i", "{}"]).ends(0);
    own.says(&format!("What you ({reader}) may do in {}", world.namespace)).says("pods");
    world
        .kai_as(&reader, &["call", "can_i", r#"{"verb": "delete", "resource": "pods"}"#])
        .ends(0)
        .says("No: you (");
    world
        .kai_as(
            &reader,
            &["call", "can_i", &json!({"verb": "list", "resource": "pods", "as": reader}).to_string()],
        )
        .ends(0)
        .says("Yes: ")
        .says("By role/reader by rolebinding/readers")
        .says("clusterrolebindings and clusterroles could not be read");
    world
        .kai_as("nobody", &["call", "can_i", r#"{"verb": "list", "resource": "pods", "as": "sa/ci"}"#])
        .ends(7)
        .says("forbidden");
    world.nothing_was_written();
}
