//! The recording proxy in front of a real API server: what it calls a dry run is one there too, and its
//! faults are what a client of that server would notice.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::process::Command;

use futures::StreamExt;
use kai_evals::cluster::{Cluster, Options as ClusterOptions};
use kai_evals::proxy::{Action, Options, Proxy};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";

/// Takes a cluster down also when its test fails.
struct Down(String);

impl Drop for Down {
    fn drop(&mut self) {
        let down = ["cluster", "down", "--name", &self.0];
        Command::new(env!("CARGO_BIN_EXE_kai-evals")).args(down).output().unwrap();
    }
}

fn client() -> reqwest::Client {
    // Plain HTTP only, yet a client is not built without a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn send(proxy: &Proxy, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = client().request(method.parse().unwrap(), format!("{}{path}", proxy.url()));
    let content_type = if method == "PATCH" { MERGE } else { "application/json" };
    let request = match body {
        Some(body) => request.header("content-type", content_type).body(body.to_string()),
        None => request,
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn create(proxy: &Proxy, name: &str) -> Value {
    let body = json!({"metadata": {"name": name}, "data": {"a": "1"}});
    let (status, object) = send(proxy, "POST", MAPS, Some(body)).await;
    assert_eq!(status, 201, "{object}");
    object
}

async fn status_of(proxy: &Proxy, name: &str) -> u16 {
    send(proxy, "GET", &format!("{MAPS}/{name}"), None).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn in_front_of_a_real_api_server() {
    let name = format!("t-proxy-{}", std::process::id());
    let _down = Down(name.clone());
    let cluster = Cluster::up(&ClusterOptions::local(&name)).await.unwrap();
    let proxy = Proxy::start(cluster.kubeconfig(), Options::default()).unwrap();

    a_dry_run_changes_nothing_and_a_conflict_in_the_gap_is_seen(&proxy).await;
    a_lost_answer_is_of_a_write_that_happened(&proxy).await;
    deletions_take_their_options_from_the_body(&proxy).await;
    impersonation_is_passed_on(&proxy).await;
    a_watch_says_what_happens_while_it_happens(&proxy).await;
}

async fn a_dry_run_changes_nothing_and_a_conflict_in_the_gap_is_seen(proxy: &Proxy) {
    let made = create(proxy, "gap").await;
    let path = format!("{MAPS}/gap");
    let (uid, version) = (made["metadata"]["uid"].clone(), made["metadata"]["resourceVersion"].clone());
    let patch = json!({"metadata": {"uid": uid, "resourceVersion": version}, "data": {"a": "2"}});
    proxy.clear();

    let (status, preview) = send(proxy, "PATCH", &format!("{path}?dryRun=All"), Some(patch.clone())).await;
    assert_eq!((status, &preview["data"]["a"]), (200, &json!("2")));
    assert_eq!(send(proxy, "GET", &path, None).await.1["metadata"]["resourceVersion"], version);
    assert_eq!(proxy.writes(), []);

    let url = format!("{}{path}", proxy.url());
    proxy.hook(move |request| {
        if !request.is_write() || request.headers["user-agent"] == "somebody-else" {
            return Action::Forward;
        }
        let url = url.clone();
        Action::after(async move {
            let other =
                client().patch(url).header("content-type", MERGE).header("user-agent", "somebody-else");
            let changed = other.body(r#"{"data":{"a":"9"}}"#).send().await.unwrap();
            assert_eq!(changed.status().as_u16(), 200);
        })
    });
    let sent = client().patch(format!("{}{path}", proxy.url())).header("content-type", MERGE);
    let sent = sent.header("user-agent", "me").body(patch.to_string()).send().await.unwrap();
    assert_eq!(sent.status().as_u16(), 409);
    proxy.unhook();

    let (write, dry) = proxy.pairs().swap_remove(0);
    assert_eq!(write.status, Some(409));
    assert_eq!(write.preconditions().1.as_deref(), version.as_str());
    assert!(dry.is_some(), "the write repeats the dry run");
    assert_eq!(send(proxy, "GET", &path, None).await.1["data"]["a"], "9");
}

async fn a_lost_answer_is_of_a_write_that_happened(proxy: &Proxy) {
    for (name, after, found) in [("before", false, 404), ("after", true, 200)] {
        proxy.hook(move |_| if after { Action::DropAfter } else { Action::DropBefore });
        let body = json!({"metadata": {"name": name}});
        let sent = client().post(format!("{}{MAPS}", proxy.url())).json(&body).send().await;
        assert!(sent.is_err());
        proxy.unhook();
        assert_eq!(status_of(proxy, name).await, found);
    }
}

async fn deletions_take_their_options_from_the_body(proxy: &Proxy) {
    let cases = [
        ("q", "?dryRun=All", None, true),
        ("b", "", Some(json!({"dryRun": ["All"]})), true),
        ("qb", "?dryRun=All", Some(json!({"gracePeriodSeconds": 0})), false),
    ];
    for (name, query, body, dry) in cases {
        create(proxy, name).await;
        proxy.clear();
        assert_eq!(send(proxy, "DELETE", &format!("{MAPS}/{name}{query}"), body).await.0, 200);
        assert_eq!(proxy.requests()[0].is_dry_run(), dry, "{name}");
        assert_eq!(status_of(proxy, name).await, if dry { 200 } else { 404 }, "{name}");
    }
}

async fn impersonation_is_passed_on(proxy: &Proxy) {
    let request = client().get(format!("{}{MAPS}", proxy.url())).header("impersonate-user", "jane");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    assert!(response.text().await.unwrap().contains(r#"User \"jane\""#));
    assert_eq!(proxy.requests().pop().unwrap().headers["impersonate-user"], "jane");
}

async fn a_watch_says_what_happens_while_it_happens(proxy: &Proxy) {
    let version = create(proxy, "watched").await["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watch = format!("{}{MAPS}?watch=true&resourceVersion={version}", proxy.url());
    let mut events = client().get(watch).send().await.unwrap().bytes_stream();
    let path = format!("{MAPS}/watched");
    for value in ["2", "3"] {
        send(proxy, "PATCH", &path, Some(json!({"data": {"a": value}}))).await;
        let event: Value = serde_json::from_slice(&events.next().await.unwrap().unwrap()).unwrap();
        assert_eq!((&event["type"], &event["object"]["data"]["a"]), (&json!("MODIFIED"), &json!(value)));
    }
}
