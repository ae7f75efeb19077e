//! A request as the proxy saw it, and what kind of request it is.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A request on its way to the API server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Counts from 0 over the life of the proxy.
    pub seq: u64,
    /// When it arrived, in milliseconds since 1970.
    pub time_ms: u64,
    pub method: String,
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// `content-type`, `accept`, `user-agent` and `impersonate-*`, by lower-case name; values of a name
    /// that came more than once are joined by a comma.
    pub headers: BTreeMap<String, String>,
    /// Whether the client sent credentials of its own; the proxy drops them.
    pub authorized: bool,
    /// Whether it asks for another protocol (exec, attach, port-forward).
    pub upgrade: bool,
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// `None` until there is an answer, and for ever when the connection was dropped.
    pub status: Option<u16>,
    /// The body of the answer as far as it has come, where [`Options::answers`](super::Options) asks for it.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<u8>,
}

fn as_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

impl Recorded {
    /// Whether it can change nothing by its method.
    pub fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
            && (!self.reaches_a_pod() || self.asks_a_prometheus())
    }

    /// Whether it is a question to a Prometheus behind a Service, by the one path that changes nothing there.
    pub fn asks_a_prometheus(&self) -> bool {
        let segments: Vec<&str> = self.path.split('/').collect();
        let question = matches!(
            &segments[..],
            ["", "api", "v1", "namespaces", _, "services", _, "proxy", "api", "v1", "query"]
        );
        self.method == "GET" && question && !self.upgrade
    }

    /// Whether it asks what its own user may do or is.
    pub fn is_self_review(&self) -> bool {
        let resource = self.path.rsplit('/').next().unwrap_or_default();
        let group = ["/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/"];
        let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
        self.method == "POST"
            && group.iter().any(|group| self.path.starts_with(group))
            && reviews.contains(&resource)
    }

    /// Whether it asks what somebody else may do, which stores nothing either.
    pub fn is_subject_review(&self) -> bool {
        self.method == "POST" && self.path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    }

    /// Whether the API server takes it for a dry run.
    ///
    /// A DELETE with a body takes its options from there and ignores its query; an eviction takes
    /// them from either.
    pub fn is_dry_run(&self) -> bool {
        let asked = self.query_pairs().filter(|(key, _)| *key == "dryRun").map(|(_, value)| value);
        let asked: Vec<&str> = asked.collect();
        let in_query = !asked.is_empty() && asked.iter().all(|value| *value == "All");
        let body = self.json();
        let listed = if self.is_eviction() { &body["deleteOptions"]["dryRun"] } else { &body["dryRun"] };
        let in_body = *listed == serde_json::json!(["All"]);
        match self.method.as_str() {
            "DELETE" if !self.body.is_empty() => in_body,
            "POST" if self.is_eviction() => in_query || in_body,
            "POST" | "PUT" | "PATCH" | "DELETE" => in_query,
            _ => false,
        }
    }

    /// Whether it can change something: anything that is not a read, a review or a dry run.
    pub fn is_write(&self) -> bool {
        !self.is_read() && !self.is_self_review() && !self.is_subject_review() && !self.is_dry_run()
    }

    /// Whether `self` is a dry run of exactly `write`: the same method, path, content type, impersonation
    /// and bytes, and the same query in the same order but for `dryRun`.
    pub fn previews(&self, write: &Recorded) -> bool {
        let said = |request: &Recorded| {
            let mut headers = request.headers.clone();
            headers.retain(|name, _| name == "content-type" || name.starts_with("impersonate-"));
            let query = request.query.split('&').filter(|pair| !pair.is_empty() && !is_dry_run_pair(pair));
            (headers, query.map(str::to_owned).collect::<Vec<_>>(), request.payload())
        };
        self.is_dry_run()
            && !write.is_dry_run()
            && self.method == write.method
            && self.path == write.path
            && said(self) == said(write)
    }

    /// The `uid` and `resourceVersion` that must hold for the object: from the metadata of what is sent,
    /// from the preconditions of a deletion, or from the tests of a JSON patch.
    pub fn preconditions(&self) -> (Option<String>, Option<String>) {
        let body = self.json();
        let tested = |path: &str| {
            let mut operations = body.as_array().into_iter().flatten();
            let test =
                operations.find(|step| step["op"] == "test" && step["path"] == format!("/metadata/{path}"));
            test.and_then(|step| step["value"].as_str())
        };
        let find = |field: &str| {
            let places = [&body["metadata"][field], &body["preconditions"][field]];
            let eviction = &body["deleteOptions"]["preconditions"][field];
            let in_eviction = self.is_eviction().then(|| eviction.as_str());
            let found = match in_eviction {
                Some(found) => found,
                None => places.into_iter().find_map(Value::as_str).or_else(|| tested(field)),
            };
            found.map(str::to_owned)
        };
        (find("uid"), find("resourceVersion"))
    }

    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Method, path and query, for messages.
    pub fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{mark}{}", self.method, self.path, self.query)
    }

    /// The pairs of the query as they came. Names and values that Kubernetes defines need no decoding.
    fn query_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    fn is_eviction(&self) -> bool {
        self.path.ends_with("/eviction")
    }

    /// Whether it talks to a container or through the API server to something else, whatever the method.
    fn reaches_a_pod(&self) -> bool {
        let mut segments = self.path.split('/');
        self.upgrade || segments.any(|s| matches!(s, "exec" | "attach" | "portforward" | "proxy"))
    }

    /// What is sent, apart from dry runs asked for in the body.
    fn payload(&self) -> Vec<u8> {
        let mut body = self.json();
        let options = if self.is_eviction() { body.get_mut("deleteOptions") } else { Some(&mut body) };
        let removed = options.and_then(Value::as_object_mut).and_then(|options| options.remove("dryRun"));
        let may_carry = self.method == "DELETE" || self.is_eviction();
        if removed.is_some() && may_carry { body.to_string().into_bytes() } else { self.body.clone() }
    }
}

fn is_dry_run_pair(pair: &str) -> bool {
    pair.split('=').next() == Some("dryRun")
}

/// Each write of a record with the dry run ahead of it that it repeats, if there is one.
///
/// A dry run stands for one write only; of several that fit, the latest.
pub fn pairs(record: &[Recorded]) -> Vec<(Recorded, Option<Recorded>)> {
    let mut used = Vec::new();
    let mut pairs = Vec::new();
    for (at, write) in record.iter().enumerate().filter(|(_, request)| request.is_write()) {
        let fits = |dry: &&Recorded| dry.previews(write) && !used.contains(&dry.seq);
        let dry = record[..at].iter().rev().find(fits).cloned();
        // What a budget holds up is asked for again: nothing was done yet.
        if write.status != Some(429) {
            used.extend(dry.as_ref().map(|dry| dry.seq));
        }
        pairs.push((write.clone(), dry));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, body: &str) -> Recorded {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Recorded {
            seq: 0,
            time_ms: 0,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: BTreeMap::new(),
            authorized: false,
            upgrade: false,
            body: body.as_bytes().to_vec(),
            status: None,
            answer: Vec::new(),
        }
    }

    #[test]
    fn only_what_can_change_nothing_is_no_write() {
        let dry = r#"{"dryRun":["All"]}"#;
        let evicted = r#"{"deleteOptions":{"dryRun":["All"]}}"#;
        let harmless = [
            ("GET", "/api/v1/pods?watch=true", ""),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "{}"),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "{}"),
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}"),
            ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "{}"),
            ("PATCH", "/x?fieldManager=kai&dryRun=All", "{}"),
            ("DELETE", "/x?dryRun=All", ""),
            ("DELETE", "/x", dry),
            ("POST", "/pods/p/eviction", evicted),
            ("POST", "/pods/p/eviction?dryRun=All", "{}"),
            ("GET", "/api/v1/namespaces/n/services/p:80/proxy/api/v1/query?query=up", ""),
        ];
        for (method, target, body) in harmless {
            assert!(!request(method, target, body).is_write(), "{method} {target} {body}");
        }
        let writes = [
            ("PATCH", "/x", "{}"),
            // None of these is a dry run to the API server.
            ("PATCH", "/x?dryrun=All", "{}"),
            ("PATCH", "/x?dryRun=", "{}"),
            ("PATCH", "/x?xdryRun=All", "{}"),
            ("POST", "/x", dry),
            ("DELETE", "/x?dryRun=All", r#"{"preconditions":{"uid":"u"}}"#),
            // Paths that only look like reviews.
            ("POST", "/apis/authorization.k8s.io/v1/namespaces/n/subjectaccessreviews", "{}"),
            ("POST", "/apis/example.com/v1/selfsubjectaccessreviews", "{}"),
            // Reads by method alone.
            ("GET", "/api/v1/namespaces/n/pods/p/exec?command=sh", ""),
            ("GET", "/api/v1/namespaces/n/services/s/proxy/shutdown", ""),
            ("GET", "/api/v1/namespaces/n/services/p:80/proxy/-/reload", ""),
            ("GET", "/api/v1/namespaces/n/pods/p:80/proxy/api/v1/query?query=up", ""),
            ("POST", "/api/v1/namespaces/n/services/p:80/proxy/api/v1/query", ""),
        ];
        for (method, target, body) in writes {
            assert!(request(method, target, body).is_write(), "{method} {target} {body}");
        }
    }

    #[test]
    fn a_preview_differs_from_its_write_in_the_dry_run_alone() {
        let write = request("PATCH", "/x?fieldManager=kai&force=true", r#"{"a":1}"#);
        let dry = |target: &str, body: &str| request("PATCH", target, body);
        assert!(dry("/x?fieldManager=kai&dryRun=All&force=true", r#"{"a":1}"#).previews(&write));
        for (target, body) in [
            ("/x?fieldManager=kai&dryRun=All&force=true", r#"{"a": 1}"#),
            ("/x?fieldManager=kai&dryRun=All", r#"{"a":1}"#),
            ("/x?fieldManager=you&dryRun=All&force=true", r#"{"a":1}"#),
            ("/y?fieldManager=kai&dryRun=All&force=true", r#"{"a":1}"#),
            ("/x?fieldManager=kai&force=true", r#"{"a":1}"#),
        ] {
            assert!(!dry(target, body).previews(&write), "{target} {body}");
        }
        let mut other = dry("/x?fieldManager=kai&dryRun=All&force=true", r#"{"a":1}"#);
        other.headers.insert("content-type".into(), "application/apply-patch+yaml".into());
        assert!(!other.previews(&write));

        let delete = request("DELETE", "/x", r#"{"preconditions":{"uid":"u"}}"#);
        let dry = request("DELETE", "/x", r#"{"dryRun":["All"],"preconditions":{"uid":"u"}}"#);
        assert!(dry.previews(&delete));
        // Elsewhere a field of that name is part of what is written.
        let post = request("POST", "/x", r#"{"spec":1}"#);
        assert!(!request("POST", "/x?dryRun=All", r#"{"spec":1,"dryRun":["All"]}"#).previews(&post));
    }

    #[test]
    fn preconditions_are_where_each_kind_of_write_has_them() {
        let both = (Some("u".to_owned()), Some("7".to_owned()));
        let held = [
            ("PUT", "/x", r#"{"metadata":{"uid":"u","resourceVersion":"7"}}"#),
            ("DELETE", "/x", r#"{"preconditions":{"uid":"u","resourceVersion":"7"}}"#),
            (
                "POST",
                "/p/eviction",
                r#"{"deleteOptions":{"preconditions":{"uid":"u","resourceVersion":"7"}}}"#,
            ),
            (
                "PATCH",
                "/x",
                r#"[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"test","path":"/metadata/resourceVersion","value":"7"}]"#,
            ),
        ];
        for (method, target, body) in held {
            assert_eq!(request(method, target, body).preconditions(), both, "{body}");
        }
        assert_eq!(request("PATCH", "/x", r#"{"spec":{}}"#).preconditions(), (None, None));
    }
}
