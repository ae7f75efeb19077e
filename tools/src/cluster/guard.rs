//! The last gate before the network: reads from a closed list, reviews that store nothing, dry runs, and writes and
//! connections into pods that carry a permit for exactly them. Whatever a tool, a model or a mistake above asks for,
//! nothing else leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{Either, Ready, ready};
use http::{Method, Request, Uri};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Leave to send one write, once. Only `cluster::write` makes one, and only from what a person or a rule approved.
#[derive(Clone)]
pub(super) struct Permit(Arc<Permitted>);

struct Permitted {
    method: Method,
    uri: Uri,
    body: Bytes,
    /// Whether it is for a connection into a pod; such a permit serves for nothing else, and no other for that.
    stream: bool,
    spent: AtomicBool,
}

impl Permit {
    pub(super) fn new(method: Method, uri: Uri, body: Bytes) -> Self {
        Self(Arc::new(Permitted { method, uri, body, stream: false, spent: AtomicBool::new(false) }))
    }

    /// Leave to open one connection into a pod (exec, port-forward), at this very address.
    pub(super) fn stream(uri: Uri) -> Self {
        let (method, body) = (Method::GET, Bytes::new());
        Self(Arc::new(Permitted { method, uri, body, stream: true, spent: AtomicBool::new(false) }))
    }
}

/// The body of a DELETE that is to be a dry run: the guard reads it, and it is what leaves.
#[derive(Clone)]
pub(super) struct DryDelete(pub(super) Bytes);

/// Why the guard stopped a request.
#[derive(Debug, thiserror::Error)]
#[error("kai's guard stopped {method} {path}: {why}")]
pub(super) struct Stopped {
    method: Method,
    path: String,
    why: &'static str,
}

#[derive(Clone, Copy)]
pub(super) struct GuardLayer {
    pub read_only: bool,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, read_only: self.read_only }
    }
}

pub(super) struct Guard<S> {
    inner: S,
    read_only: bool,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match check(request, self.read_only) {
            Ok(request) => Either::Right(self.inner.call(request)),
            Err(stopped) => {
                tracing::error!(method = %stopped.method, path = %stopped.path, why = stopped.why, "request stopped");
                Either::Left(ready(Err(Box::new(stopped))))
            }
        }
    }
}

fn check(mut request: Request<Body>, read_only: bool) -> Result<Request<Body>, Stopped> {
    let stop = |request: &Request<Body>, why| Stopped {
        method: request.method().clone(),
        path: request.uri().path().to_string(),
        why,
    };
    let upgrades = request.headers().contains_key(http::header::UPGRADE);
    if request.method() == Method::GET && !upgrades {
        return if is_safe_read(request.uri().path()) || is_question(request.uri()) {
            Ok(request)
        } else {
            Err(stop(&request, "not on the list of reads"))
        };
    }
    if request.method() == Method::POST && !upgrades && is_review(request.uri().path()) {
        return Ok(request);
    }
    if read_only {
        return Err(stop(&request, "read-only mode"));
    }
    // With a body on a DELETE the API server looks for `dryRun` there alone, and deletes whatever the query says.
    if request.method() != Method::DELETE && !upgrades && is_dry_run(request.uri()) {
        return Ok(request);
    }
    if request.method() == Method::DELETE
        && !upgrades
        && let Some(DryDelete(body)) = request.extensions_mut().remove::<DryDelete>()
    {
        if !is_dry_delete(&body) {
            return Err(stop(&request, "not a dry run"));
        }
        *request.body_mut() = Body::from(body);
        return Ok(request);
    }
    let Some(permit) = request.extensions_mut().remove::<Permit>() else {
        return Err(stop(&request, if upgrades { "no permit to go into a pod" } else { "no permit" }));
    };
    let permit = permit.0;
    if permit.stream != upgrades
        || permit.method != request.method()
        || permit.uri.path_and_query() != request.uri().path_and_query()
    {
        return Err(stop(&request, "the permit is for another request"));
    }
    if permit.spent.swap(true, Ordering::SeqCst) {
        return Err(stop(&request, "the permit is spent"));
    }
    // The approved bytes leave, whatever the request carried.
    *request.body_mut() = Body::from(permit.body.clone());
    Ok(request)
}

fn is_dry_run(uri: &Uri) -> bool {
    let values: Vec<&str> =
        uri.query().unwrap_or("").split('&').filter_map(|pair| pair.strip_prefix("dryRun=")).collect();
    values == ["All"]
}

/// Whether the API server will read this body of a DELETE as a dry run.
fn is_dry_delete(body: &[u8]) -> bool {
    let options: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    options["kind"] == "DeleteOptions" && options["dryRun"] == serde_json::json!(["All"])
}

/// Questions of who somebody is and what they may do: answered and forgotten.
fn is_review(path: &str) -> bool {
    matches!(
        path,
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            | "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
            | "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            | "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    )
}

/// Reads that cannot act: objects, lists, logs, discovery. A GET of `proxy`, `exec` or `attach` acts, so it is not one;
/// the one exception is [`is_question`].
fn is_safe_read(path: &str) -> bool {
    if path.contains("//") || path.contains("..") || path.contains('%') {
        return false;
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let rest = match parts.as_slice() {
        ["version" | "api" | "apis" | "readyz" | "livez"] | ["openapi", ..] => return true,
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        ["apis", _] => return true,
        _ => return false,
    };
    let (resource, tail) = match rest {
        [] => return true,
        ["namespaces", _] | ["namespaces"] => return true,
        ["namespaces", _, resource, tail @ ..] => (*resource, tail),
        [resource, tail @ ..] => (*resource, tail),
    };
    match tail {
        [] | [_] => true,
        [_, "log"] => resource == "pods",
        [_, "scale" | "status"] => true,
        _ => false,
    }
}

/// A question to a Prometheus behind a Service: `query` of its HTTP API, which only reads. It is the one path of a proxy
/// that passes, by a Service's plain name and port number, with a `query` and at most a `timeout` beside it.
fn is_question(uri: &Uri) -> bool {
    let parts: Vec<&str> = uri.path().split('/').collect();
    let ["", "api", "v1", "namespaces", namespace, "services", service, "proxy", "api", "v1", "query"] =
        parts[..]
    else {
        return false;
    };
    // Nothing that could be read as another path, a scheme or an escape.
    let label = |name: &str| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let number = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit())
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok_and(|p| p > 0)
    };
    let named = service.split_once(':').is_some_and(|(name, port)| label(name) && number(port));
    let (mut queries, mut timeouts) = (0, 0);
    for pair in uri.query().unwrap_or("").split('&') {
        match pair.split_once('=') {
            Some(("query", value)) if !value.is_empty() => queries += 1,
            Some(("timeout", value)) if !value.is_empty() => timeouts += 1,
            _ => return false,
        }
    }
    label(namespace) && named && queries == 1 && timeouts <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Request<Body> {
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
    }

    #[test]
    fn reads_are_a_closed_list() {
        for ok in [
            "/version",
            "/api",
            "/apis",
            "/apis/apps/v1",
            "/api/v1/namespaces/todo/pods",
            "/api/v1/nodes/n1",
            "/api/v1/namespaces/todo/pods/x/log?tailLines=10",
            "/apis/apps/v1/namespaces/t/deployments/b/scale",
            "/apis/example.com/v1/widgets?limit=5",
            "/api/v1/namespaces/todo",
        ] {
            assert!(check(request("GET", ok), true).is_ok(), "{ok}");
        }
        for bad in [
            "/api/v1/nodes/n1/proxy/configz",
            "/api/v1/namespaces/t/pods/x/exec?command=sh",
            "/logs/x",
            "/metrics",
            "/api/v1/namespaces/t/services/x/proxy/",
            "/api/v1/namespaces/t/pods/x/portforward",
            "/api/v1/namespaces/t/pods/..%2f..%2fnodes",
            "/api/v1/namespaces/t/pods/x/attach",
        ] {
            assert!(check(request("GET", bad), false).is_err(), "{bad}");
        }
        let mut upgrade = request("GET", "/api/v1/namespaces/t/pods/x");
        upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        assert!(check(upgrade, false).is_err());
    }

    #[test]
    fn of_a_proxy_only_the_question_to_a_prometheus_passes() {
        let services = "/api/v1/namespaces/monitoring/services";
        let question = format!("{services}/prometheus-server:80/proxy/api/v1/query?query=up%7B%7D");
        for ok in [question.clone(), format!("{question}&timeout=18s")] {
            assert!(check(request("GET", &ok), true).is_ok(), "{ok}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT"] {
            assert!(check(request(method, &question), false).is_err(), "{method}");
        }
        let mut upgrade = request("GET", &question);
        upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        assert!(check(upgrade, false).is_err());
        for bad in [
            // Other paths of a Prometheus, and of others.
            "p:80/proxy/",
            "p:80/proxy/api/v1/query_range?query=up",
            "p:80/proxy/api/v1/query/?query=up",
            "p:80/proxy/api/v1/query/x?query=up",
            "p:80/proxy/api/v1/admin/tsdb/delete_series?query=up",
            "p:80/proxy/-/reload?query=up",
            "p:80/proxy/-/quit?query=up",
            "p:80/proxy/x/api/v1/query?query=up",
            "p:80/proxy/API/v1/query?query=up",
            // Escapes and detours.
            "p:80/proxy/../api/v1/query?query=up",
            "p:80/proxy/api/v1/query/../admin?query=up",
            "p:80/proxy/api/v1/admin/../query?query=up",
            "p:80/proxy//api/v1/query?query=up",
            "p:80/proxy/api/v1%2Fquery?query=up",
            "p:80/proxy%2Fapi/v1/query?query=up",
            "p%2Fproxy:80/proxy/api/v1/query?query=up",
            "..:80/proxy/api/v1/query?query=up",
            "p:80/proxy;x/api/v1/query?query=up",
            // Names and ports.
            "p/proxy/api/v1/query?query=up",
            "p:/proxy/api/v1/query?query=up",
            "p:0/proxy/api/v1/query?query=up",
            "p:080/proxy/api/v1/query?query=up",
            "p:+80/proxy/api/v1/query?query=up",
            "p:65536/proxy/api/v1/query?query=up",
            "p:http/proxy/api/v1/query?query=up",
            "https:p:443/proxy/api/v1/query?query=up",
            ":80/proxy/api/v1/query?query=up",
            "P:80/proxy/api/v1/query?query=up",
            "p.x:80/proxy/api/v1/query?query=up",
            // Without a query, or with more than it.
            "p:80/proxy/api/v1/query",
            "p:80/proxy/api/v1/query?",
            "p:80/proxy/api/v1/query?query=",
            "p:80/proxy/api/v1/query?query",
            "p:80/proxy/api/v1/query?query=up&query=up",
            "p:80/proxy/api/v1/query?query=up&",
            "p:80/proxy/api/v1/query?query=up&timeout=1s&timeout=2s",
            "p:80/proxy/api/v1/query?query=up&time=1",
            "p:80/proxy/api/v1/query?query=up&dryRun=All",
        ] {
            let uri = format!("{services}/{bad}");
            // What is no address at all cannot be sent either.
            if uri.parse::<Uri>().is_ok() {
                assert!(check(request("GET", &uri), false).is_err(), "{uri}");
            }
        }
        for bad in [
            "/api/v1/namespaces/m/pods/p:80/proxy/api/v1/query?query=up",
            "/api/v1/nodes/n:80/proxy/api/v1/query?query=up",
            "/api/v1/namespaces/../services/p:80/proxy/api/v1/query?query=up",
            "/api/v1/namespaces/a%2Fb/services/p:80/proxy/api/v1/query?query=up",
            "/api/v1/namespaces//services/p:80/proxy/api/v1/query?query=up",
            "/api/v1/services/p:80/proxy/api/v1/query?query=up",
            "/apis/v1/v1/namespaces/m/services/p:80/proxy/api/v1/query?query=up",
            "/x/api/v1/namespaces/m/services/p:80/proxy/api/v1/query?query=up",
        ] {
            assert!(check(request("GET", bad), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_need_a_permit_for_exactly_them() {
        let uri = "/apis/apps/v1/namespaces/t/deployments/b/scale?fieldManager=kai";
        assert!(check(request("PATCH", uri), false).is_err(), "no permit");
        let permit = Permit::new(Method::PATCH, uri.parse().unwrap(), Bytes::from_static(b"{}"));
        let with = |method: &str, uri: &str, permit: &Permit| {
            let mut request = request(method, uri);
            request.extensions_mut().insert(permit.clone());
            request
        };
        assert!(
            check(with("PATCH", "/apis/apps/v1/namespaces/t/deployments/other/scale", &permit), false)
                .is_err()
        );
        assert!(check(with("DELETE", uri, &permit), false).is_err());
        assert!(check(with("PATCH", uri, &permit), true).is_err(), "read-only refuses even with a permit");
        assert!(check(with("PATCH", uri, &permit), false).is_ok());
        assert!(check(with("PATCH", uri, &permit), false).is_err(), "spent");
    }

    #[test]
    fn a_connection_into_a_pod_needs_a_permit_of_its_own() {
        let uri = "/api/v1/namespaces/t/pods/x/exec?command=ls&stdout=true";
        let upgrade = |method: &str, uri: &str, permit: Option<&Permit>| {
            let mut request = request(method, uri);
            request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            if let Some(permit) = permit {
                request.extensions_mut().insert(permit.clone());
            }
            request
        };
        let permit = || Permit::stream(uri.parse().unwrap());
        assert!(check(upgrade("GET", uri, None), false).is_err());
        assert!(check(upgrade("GET", uri, Some(&permit())), true).is_err(), "read-only");
        assert!(
            check(upgrade("GET", "/api/v1/namespaces/t/pods/x/exec?command=sh", Some(&permit())), false)
                .is_err()
        );
        assert!(check(upgrade("POST", uri, Some(&permit())), false).is_err());
        let written = Permit::new(Method::GET, uri.parse().unwrap(), Bytes::new());
        assert!(check(upgrade("GET", uri, Some(&written)), false).is_err(), "a permit to write is another");
        for disguised in ["/x?dryRun=All", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] {
            assert!(check(upgrade("POST", disguised, None), false).is_err(), "{disguised}");
        }
        let once = permit();
        assert!(check(upgrade("GET", uri, Some(&once)), false).is_ok());
        assert!(check(upgrade("GET", uri, Some(&once)), false).is_err(), "spent");
        let mut plain = request("PATCH", uri);
        plain.extensions_mut().insert(permit());
        assert!(check(plain, false).is_err(), "a permit to go in does not write");
    }

    #[test]
    fn only_a_real_dry_run_is_one() {
        for ok in ["/x?dryRun=All", "/x?fieldManager=kai&dryRun=All"] {
            assert!(check(request("PATCH", ok), false).is_ok(), "{ok}");
            assert!(check(request("PATCH", ok), true).is_err(), "read-only: webhooks see dry runs");
        }
        assert!(check(request("DELETE", "/x?dryRun=All"), false).is_err(), "a body would make it real");
        for bad in [
            "/x?dryRun=none",
            "/x?dryRun=",
            "/x?dryrun=All",
            "/x?dryRun=All&dryRun=None",
            "/x?a=dryRun=All",
            "/x",
        ] {
            assert!(check(request("PATCH", bad), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dry_delete_says_so_in_its_body() {
        let with = |body: &'static str| {
            let mut request = request("DELETE", "/api/v1/namespaces/t/pods/x");
            request.extensions_mut().insert(DryDelete(Bytes::from_static(body.as_bytes())));
            request
        };
        let dry = r#"{"kind": "DeleteOptions", "dryRun": ["All"]}"#;
        assert!(check(with(dry), false).is_ok());
        assert!(check(with(dry), true).is_err(), "read-only");
        for bad in [
            "{}",
            "",
            r#"{"kind": "DeleteOptions", "dryRun": []}"#,
            r#"{"kind": "DeleteOptions", "dryRun": ["all"]}"#,
            r#"{"dryRun": ["All"]}"#,
        ] {
            assert!(check(with(bad), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn reviews_that_store_nothing_pass_and_others_do_not() {
        for ok in [
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        ] {
            assert!(check(request("POST", ok), true).is_ok(), "{ok}");
            assert!(check(request("PUT", ok), false).is_err(), "{ok}");
        }
        for bad in [
            "/apis/authentication.k8s.io/v1/tokenreviews",
            "/api/v1/namespaces/t/serviceaccounts/x/token",
            "/apis/authorization.k8s.io/v1/namespaces/t/localsubjectaccessreviews",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews/x",
            "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews",
        ] {
            assert!(check(request("POST", bad), false).is_err(), "{bad}");
        }
    }
}
