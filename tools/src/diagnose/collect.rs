//! Reads what a diagnosis looks at: a constant number of lists side by side, whatever the cluster's size, then at most
//! twenty single reads that settle what the lists leave open.

use std::time::Instant;

use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use kai_diagnose::snapshot::{Ask, Form, Kind, LogOf, When, kind};
use kai_diagnose::{Diagnosis, KINDS, Scope, Snapshot, diagnose};
use serde_json::{Value, json};

use super::scope;
use crate::cluster::Cluster;
use crate::cluster::read::encode;
use crate::error::ToolError;
use crate::object::{items, text};

/// Most single reads of one run.
const MOST_ASKS: usize = 20;
/// Rounds of single reads: what one settles can raise the next question.
const ROUNDS: usize = 3;
/// Lines of a log that are read, and most bytes of them.
const LOG: &str = "tailLines=40&limitBytes=32768";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const DISCOVERY: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// What a run cost.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Lists and discovery.
    pub lists: usize,
    /// Single reads.
    pub reads: usize,
    pub bytes: usize,
    /// Milliseconds until the lists were there and decoded.
    pub listing_ms: u128,
    /// Milliseconds for the single reads.
    pub reading_ms: u128,
    /// Milliseconds for working out the causes.
    pub thinking_ms: u128,
}

/// What was found, and what it was found in.
pub struct Collected {
    pub snapshot: Snapshot,
    pub diagnosis: Diagnosis,
    pub scope: Scope,
    pub cost: Cost,
    /// The objects as the API server gave them, where they were to be kept.
    pub raw: Vec<(&'static Kind, Vec<Value>)>,
}

/// Reads and diagnoses. `asked` is what was asked about, as words; `keep` keeps the raw objects for a dump.
///
/// # Errors
/// When the API server cannot be reached or accepts no credentials, and when nothing is called as `asked`. What is only
/// forbidden becomes a blind spot.
pub async fn collect(cluster: &Cluster, asked: &scope::Asked, keep: bool) -> Result<Collected, ToolError> {
    let started = Instant::now();
    let mut cost = Cost::default();
    let mut snap = Snapshot { now: Timestamp::now(), ..Snapshot::default() };
    let mut raw = Vec::new();
    let everywhere = may_list_everywhere(cluster).await?;
    cost.lists += 1;
    let within =
        (!everywhere).then(|| asked.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned()));
    if let Some(namespace) = &within {
        snap.cannot_see("other namespaces", format!("pods may be listed in {namespace} only, if at all"));
    }
    let always: Vec<&'static Kind> = KINDS.iter().filter(|k| k.when == When::Always).collect();
    let lists = join_all(always.iter().map(|k| list(cluster, k, within.as_deref())));
    let (lists, served) = tokio::join!(lists, served(cluster));
    cost.lists += always.len() + 1;
    let mut unreachable = None;
    for (kind, answer) in always.iter().zip(lists) {
        if let Err(e @ (ToolError::Unreachable { .. } | ToolError::Login { .. })) = &answer
            && kind.name == "pods"
        {
            unreachable = Some(e.clone());
        }
        add(&mut snap, &mut raw, &mut cost, kind, within.as_deref(), answer, keep);
    }
    if let Some(error) = unreachable {
        return Err(error);
    }
    match served {
        Ok(served) => {
            let some: Vec<&'static Kind> =
                KINDS.iter().filter(|k| k.when == When::Served && served.contains(&group_of(k))).collect();
            let lists = join_all(some.iter().map(|k| list(cluster, k, within.as_deref()))).await;
            cost.lists += some.len();
            for (kind, answer) in some.iter().zip(lists) {
                add(&mut snap, &mut raw, &mut cost, kind, within.as_deref(), answer, keep);
            }
        }
        Err(e) => snap.cannot_see("kinds beyond Kubernetes' own", e.to_string()),
    }
    snap.finish();
    cost.listing_ms = started.elapsed().as_millis();
    let scope = scope::resolve(&snap, asked, cluster.namespace())?;
    let mut diagnosis;
    let mut round = 0;
    loop {
        let thinking = Instant::now();
        diagnosis = diagnose(&snap, &scope);
        cost.thinking_ms += thinking.elapsed().as_millis();
        let asks: Vec<Ask> = diagnosis.asks.drain(..).take(MOST_ASKS - cost.reads).collect();
        if asks.is_empty() || round == ROUNDS {
            break;
        }
        round += 1;
        cost.reads += asks.len();
        let reading = Instant::now();
        let answers = join_all(asks.iter().map(|a| answer(cluster, a, within.as_deref()))).await;
        for (ask, answer) in asks.into_iter().zip(answers) {
            learn(&mut snap, &mut cost, ask, answer, within.as_deref());
        }
        snap.finish();
        cost.reading_ms += reading.elapsed().as_millis();
    }
    Ok(Collected { snapshot: snap, diagnosis, scope, cost, raw })
}

/// Whether pods of all namespaces may be listed: asked first, so that a restricted user costs no refused lists.
async fn may_list_everywhere(cluster: &Cluster) -> Result<bool, ToolError> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}},
    });
    match cluster.self_review("authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await {
        Ok(answer) => Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true))),
        Err(e @ (ToolError::Unreachable { .. } | ToolError::Login { .. })) => Err(e),
        Err(_) => Ok(true),
    }
}

/// The groups that the cluster serves.
async fn served(cluster: &Cluster) -> Result<Vec<String>, ToolError> {
    let answer = cluster.get_as("/apis", DISCOVERY).await?;
    let named = |item: &Value| {
        let aggregated = text(item, "/metadata/name");
        if aggregated.is_empty() { text(item, "/name") } else { aggregated }.to_owned()
    };
    Ok(items(&answer, "/items").iter().chain(items(&answer, "/groups")).map(named).collect())
}

fn group_of(kind: &Kind) -> String {
    kind.root.split('/').nth(2).unwrap_or_default().to_owned()
}

fn path(kind: &Kind, within: Option<&str>) -> String {
    // Of the Leases only those of the control plane matter.
    let within = if kind.name == "leases" { Some("kube-system") } else { within };
    let collection = match within {
        Some(namespace) if kind.namespaced => format!("{}/namespaces/{namespace}/{}", kind.root, kind.name),
        _ => format!("{}/{}", kind.root, kind.name),
    };
    match kind.name {
        // Events are not in the API server's cache: asking it for them costs a scan in any case.
        "events" => format!("{collection}?fieldSelector={}", encode("type!=Normal")),
        _ => format!("{collection}?resourceVersion=0"),
    }
}

async fn list(
    cluster: &Cluster,
    kind: &Kind,
    within: Option<&str>,
) -> Result<(Bytes, Option<Timestamp>), ToolError> {
    let accept = if kind.form == Form::Metadata { METADATA } else { "application/json" };
    cluster.bulk(&path(kind, within), accept).await
}

fn add(
    snap: &mut Snapshot,
    raw: &mut Vec<(&'static Kind, Vec<Value>)>,
    cost: &mut Cost,
    kind: &'static Kind,
    within: Option<&str>,
    answer: Result<(Bytes, Option<Timestamp>), ToolError>,
    keep: bool,
) {
    let within = match kind.name {
        "leases" => Some("kube-system"),
        _ if kind.namespaced => within,
        _ => None,
    };
    match answer {
        Ok((body, date)) => {
            cost.bytes += body.len();
            if let Some(date) = date {
                snap.now = date;
            }
            if let Err(why) = snap.add_list(kind, within, &body) {
                snap.cannot_see(kind.name, why);
            }
            if keep && let Ok(mut all) = serde_json::from_slice::<Value>(&body) {
                let objects = all.pointer_mut("/items").map(Value::take);
                raw.push((kind, objects.and_then(|o| o.as_array().cloned()).unwrap_or_default()));
            }
        }
        // A version that does not have the kind has nothing of it either.
        Err(ToolError::NotFound { .. }) => {}
        Err(ToolError::Forbidden { .. }) => snap.cannot_see(kind.name, "you may not list them"),
        Err(e) => snap.cannot_see(kind.name, e.to_string()),
    }
}

/// What a single read gives.
enum Learned {
    Log(String),
    Object(Value),
    Access(bool),
    List(Bytes),
}

async fn answer(cluster: &Cluster, ask: &Ask, within: Option<&str>) -> Result<Learned, ToolError> {
    match ask {
        Ask::Log(LogOf { namespace, pod, container, previous }) => {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={}&previous={previous}&{LOG}",
                encode(container)
            );
            let (body, _) = cluster.bulk(&path, "*/*").await?;
            Ok(Learned::Log(String::from_utf8_lossy(&body).into_owned()))
        }
        Ask::Object { kind: name, namespace, name: object } => {
            let kind = kind(name).ok_or_else(|| ToolError::Invalid(format!("{name} is no kind")))?;
            let collection = if kind.namespaced {
                format!("{}/namespaces/{namespace}/{}", kind.root, kind.name)
            } else {
                format!("{}/{}", kind.root, kind.name)
            };
            let (body, _) = cluster.bulk(&format!("{collection}/{object}"), "application/json").await?;
            serde_json::from_slice(&body)
                .map(Learned::Object)
                .map_err(|e| ToolError::Invalid(format!("{object} cannot be read: {e}")))
        }
        Ask::Access { user, verb, group, resource, namespace } => {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": groups_of(user), "resourceAttributes": {
                    "verb": verb, "group": group, "resource": resource, "namespace": namespace}},
            });
            let answer = cluster.subject_review(&review).await?;
            Ok(Learned::Access(answer.pointer("/status/allowed") == Some(&Value::Bool(true))))
        }
        Ask::List(name) => {
            let kind = kind(name).ok_or_else(|| ToolError::Invalid(format!("{name} is no kind")))?;
            list(cluster, kind, within).await.map(|(body, _)| Learned::List(body))
        }
        Ask::Certificate { namespace, name } => Err(ToolError::Invalid(format!(
            "the certificate in secret {namespace}/{name} was not read: kai reads no values of Secrets here"
        ))),
    }
}

/// The groups that a service account is in: a review knows only what it is told.
fn groups_of(user: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some(namespace) = user.strip_prefix("system:serviceaccount:").and_then(|u| u.split(':').next()) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    groups
}

fn learn(
    snap: &mut Snapshot,
    cost: &mut Cost,
    ask: Ask,
    answer: Result<Learned, ToolError>,
    within: Option<&str>,
) {
    let failed = |snap: &mut Snapshot, ask: Ask, why: String| {
        snap.evidence.failed.insert(ask, why);
    };
    match answer {
        Ok(Learned::Log(log)) => {
            cost.bytes += log.len();
            if let Ask::Log(of) = ask {
                snap.evidence.logs.insert(of, log);
            }
        }
        Ok(Learned::Object(object)) => {
            let Ask::Object { kind: name, .. } = &ask else { return };
            let read = kind(name).map_or_else(|| Err(String::new()), |k| snap.add_object(k, object));
            // Asked once, whatever came of it.
            let why = read.err().unwrap_or_else(|| "it was read".to_owned());
            failed(snap, ask, why);
        }
        Ok(Learned::Access(allowed)) => drop(snap.evidence.access.insert(ask, allowed)),
        Ok(Learned::List(body)) => {
            cost.bytes += body.len();
            let Ask::List(name) = ask else { return };
            if let Some(kind) = kind(name)
                && let Err(why) = snap.add_list(kind, within.filter(|_| kind.namespaced), &body)
            {
                snap.cannot_see(name, why.clone());
                failed(snap, Ask::List(name), why);
            }
        }
        Err(e) => {
            if let Some(what) = blind(&ask, &e) {
                snap.cannot_see(what, e.to_string());
            }
            failed(snap, ask, e.to_string());
        }
    }
}

/// What a failed read leaves in the dark; nothing where it only could have helped.
fn blind(ask: &Ask, error: &ToolError) -> Option<String> {
    if !matches!(error, ToolError::Forbidden { .. } | ToolError::Unreachable { .. }) {
        return None;
    }
    Some(match ask {
        Ask::Log(of) => format!("the log of {}/{}", of.namespace, of.pod),
        Ask::Object { kind, namespace, name } => format!("{kind} {namespace}/{name}"),
        Ask::Access { user, .. } => format!("the rights of {user}"),
        Ask::List(name) => (*name).to_owned(),
        Ask::Certificate { namespace, name } => format!("the certificate {namespace}/{name}"),
    })
}
