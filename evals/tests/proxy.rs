//! The recording proxy in front of a TLS server that insists on credentials: what arrives there, what
//! is recorded, and what a client notices of each fault.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kai_evals::proxy::{Action, Options, Proxy};
use serde_json::{Value, json};
use upstream::{Credentials, Upstream};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/web/deployments/backend";

fn client() -> reqwest::Client {
    // Plain HTTP only, yet a client is not built without a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn start(upstream: &Upstream, options: Options) -> Proxy {
    Proxy::start(&upstream.kubeconfig(Credentials::Certificate), options).unwrap()
}

/// Sends a request, and returns the status and what the server upstream says that it saw.
async fn send(proxy: &Proxy, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = client().request(method.parse().unwrap(), format!("{}{path}", proxy.url()));
    let response =
        request.header("content-type", "application/merge-patch+json").body(body.to_owned()).send();
    let response = response.await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_arrive_as_sent_but_for_the_credentials() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    let path = format!("{DEPLOYMENT}?b=2&a=1&dryRun=All&fieldManager=k%20ai");
    let response = client()
        .patch(format!("{}{path}", proxy.url()))
        .header("content-type", "application/json-patch+json")
        .header("impersonate-user", "jane")
        .header("impersonate-group", "dev")
        .header("impersonate-group", "ops")
        .bearer_auth("of-the-client")
        .body("[ ]")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-upstream"]),
        (200, &"yes".parse().unwrap())
    );
    let seen: Value = response.json().await.unwrap();
    assert_eq!(seen["certificate"], true);
    assert_eq!(seen["target"], path.as_str());
    assert_eq!(seen["body"], "[ ]");
    assert_eq!(seen["headers"]["content-type"], json!(["application/json-patch+json"]));
    assert_eq!(seen["headers"]["impersonate-group"], json!(["dev", "ops"]));
    assert_eq!(seen["headers"]["authorization"], Value::Null);

    let recorded = &proxy.requests()[0];
    assert_eq!((recorded.path.as_str(), recorded.status), (DEPLOYMENT, Some(200)));
    assert_eq!(recorded.query, "b=2&a=1&dryRun=All&fieldManager=k%20ai");
    assert_eq!(recorded.headers["impersonate-group"], "dev,ops");
    assert!(recorded.authorized && recorded.is_dry_run() && !recorded.is_write());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_and_without_credentials_nothing_passes() {
    let upstream = Upstream::start();
    let proxy = Proxy::start(&upstream.kubeconfig(Credentials::Token), Options::default()).unwrap();
    let (status, seen) = send(&proxy, "GET", "/version", "").await;
    assert_eq!((status, &seen["certificate"]), (200, &json!(false)));
    assert_eq!(seen["headers"]["authorization"], json!(["Bearer admin-token"]));

    // The server upstream is as strict as the tests above need it to be.
    let proxy = Proxy::start(&upstream.kubeconfig(Credentials::WrongToken), Options::default()).unwrap();
    assert_eq!(send(&proxy, "GET", "/version", "").await.0, 401);
    let error = Proxy::start(&upstream.kubeconfig(Credentials::None), Options::default()).err().unwrap();
    assert!(error.to_string().contains("neither a client certificate nor a token"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_not_trusted() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let text = std::fs::read_to_string(upstream.kubeconfig(Credentials::Certificate)).unwrap();
    let lured = upstream.write("lured", &text.replace(&upstream.url(), &other.url()));
    let proxy = Proxy::start(&lured, Options::default()).unwrap();
    let (status, answer) = send(&proxy, "GET", "/version", "").await;
    assert_eq!((status, &answer["reason"]), (502, &json!("BadGateway")));
    assert!(answer["message"].as_str().unwrap().contains("InvalidCertificate"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_passed_on_as_it_comes_and_ends_upstream_when_the_client_leaves() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options { answers: true, ..Options::default() });
    let sent = client().get(format!("{}/watch", proxy.url())).send();
    let response = tokio::time::timeout(Duration::from_secs(20), sent).await;
    let mut stream = response.expect("the proxy holds the answer back").unwrap().bytes_stream();
    for number in 0..3 {
        // The server sends the next event only when it is told to: a proxy that waits for more waits for ever.
        upstream.next_event();
        let event = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        assert_eq!(
            event.expect("the proxy holds an event back").unwrap().unwrap(),
            format!("event {number}\n")
        );
    }
    assert_eq!(proxy.requests()[0].answer, b"event 0\nevent 1\nevent 2\n");
    assert_eq!(upstream.watches(), 1);
    drop(stream);
    while upstream.watches() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_paired_with_the_dry_run_that_it_repeats() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    let body = r#"{"metadata":{"uid":"u1","resourceVersion":"7"},"spec":{"replicas":3}}"#;
    send(&proxy, "GET", DEPLOYMENT, "").await;
    send(&proxy, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "{}").await;
    send(&proxy, "PATCH", &format!("{DEPLOYMENT}?dryRun=All&fieldManager=kai"), body).await;
    assert_eq!(proxy.writes(), []);
    send(&proxy, "PATCH", &format!("{DEPLOYMENT}?fieldManager=kai"), body).await;
    send(&proxy, "PATCH", &format!("{DEPLOYMENT}?fieldManager=kai"), body).await;

    let pairs = proxy.pairs();
    assert_eq!(pairs.len(), 2);
    let (write, dry) = &pairs[0];
    assert_eq!((write.seq, dry.as_ref().map(|dry| dry.seq)), (3, Some(2)));
    assert_eq!(write.preconditions(), (Some("u1".into()), Some("7".into())));
    assert_eq!(pairs[1].1, None, "one dry run stands for one write");

    proxy.clear();
    send(&proxy, "GET", "/version", "").await;
    assert_eq!(proxy.requests().iter().map(|request| request.seq).collect::<Vec<_>>(), [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_passed_on_and_counts_as_a_write() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    let url = format!("{}/api/v1/namespaces/web/pods/p/exec?command=sh", proxy.url());
    let request = client().get(url).header("connection", "upgrade").header("upgrade", "websocket");
    let answered = request.send().await.unwrap().status().as_u16();
    assert_eq!(upstream.count(), 1, "this server switches nothing, and its answer comes back");
    let writes = proxy.writes();
    assert_eq!((writes.len(), writes[0].status), (1, Some(answered)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_answers_in_the_servers_stead() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    proxy.hook(|request| match request.is_read() {
        true => Action::Forward,
        false => Action::answer(409, "Conflict", "the object has been modified"),
    });
    let (status, answer) = send(&proxy, "PATCH", DEPLOYMENT, "{}").await;
    assert_eq!((status, upstream.count()), (409, 0));
    assert_eq!(
        (&answer["kind"], &answer["reason"], &answer["code"]),
        (&json!("Status"), &json!("Conflict"), &json!(409))
    );
    assert_eq!(send(&proxy, "GET", DEPLOYMENT, "").await.0, 200);
    proxy.unhook();
    assert_eq!(send(&proxy, "PATCH", DEPLOYMENT, "{}").await.0, 200);
    assert_eq!(
        proxy.requests().iter().map(|request| request.status).collect::<Vec<_>>(),
        [Some(409), Some(200), Some(200)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_dropped_before_or_after_the_server_acted() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    proxy.hook(|request| if request.path == "/before" { Action::DropBefore } else { Action::DropAfter });
    for (path, reached) in [("/before", 0), ("/after", 1)] {
        let sent = client().delete(format!("{}{path}", proxy.url())).send().await;
        assert!(sent.unwrap_err().is_request());
        assert_eq!(upstream.count(), reached, "{path}");
        assert_eq!(proxy.requests().pop().unwrap().status, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn something_may_happen_in_the_gap_before_a_request_is_forwarded() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    let seen = Arc::new(AtomicUsize::new(0));
    let (asked, url) = (Arc::clone(&seen), proxy.url());
    proxy.hook(move |request| {
        if request.path != "/last" {
            return Action::Delay(Duration::from_millis(1));
        }
        let (asked, url) = (Arc::clone(&asked), url.clone());
        Action::after(async move {
            // Through the proxy itself, which goes on serving meanwhile.
            let first: Value =
                client().get(format!("{url}/first")).send().await.unwrap().json().await.unwrap();
            asked.store(first["number"].as_u64().unwrap() as usize, Ordering::SeqCst);
        })
    });
    let (_, last) = send(&proxy, "PUT", "/last", "{}").await;
    assert_eq!((seen.load(Ordering::SeqCst), &last["number"]), (1, &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_hook_is_an_error_of_the_server() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, Options::default());
    proxy.hook(|_| panic!("meant"));
    assert_eq!(send(&proxy, "GET", "/version", "").await.0, 500);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn the_kubeconfig_leads_to_the_proxy_as_told() {
    let upstream = Upstream::start();
    let options = Options {
        impersonate: Some("jane".into()),
        groups: vec!["dev".into()],
        context: "staging".into(),
        ..Options::default()
    };
    let proxy = start(&upstream, options);
    let text = std::fs::read_to_string(proxy.kubeconfig()).unwrap();
    assert!(!text.contains("certificate"), "no credentials of the cluster in {text}");
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(config["current-context"], "staging");
    assert_eq!(config["clusters"][0]["cluster"]["server"], proxy.url());
    assert_eq!(config["contexts"][0]["context"]["namespace"], "web");
    assert_eq!(config["users"][0]["user"], json!({"as": "jane", "as-groups": ["dev"]}));

    let options = Options { token: Some("t".into()), namespace: Some("other".into()), ..Options::default() };
    let further = std::fs::read_to_string(proxy.kubeconfig_for(&options).unwrap()).unwrap();
    let config: Value = serde_saphyr::from_str(&further).unwrap();
    assert_eq!(config["contexts"][0]["context"]["namespace"], "other");
    assert_eq!(config["users"][0]["user"], json!({"token": "t"}));

    let path = proxy.kubeconfig();
    drop(proxy);
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_for_each_request() {
    let upstream = Upstream::start();
    let log = upstream.write("log.jsonl", "");
    let proxy = start(&upstream, Options { log: Some(log.clone()), ..Options::default() });
    send(&proxy, "GET", "/version", "").await;
    send(&proxy, "PATCH", DEPLOYMENT, r#"{"spec":1}"#).await;
    let lines = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[1]["method"], &lines[1]["body"], &lines[1]["status"]),
        (&json!("PATCH"), &json!(r#"{"spec":1}"#), &json!(200))
    );
}
