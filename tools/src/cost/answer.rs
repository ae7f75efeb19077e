//! A question about cost, answered: a scope as it is, a change that is not made, or what could be smaller.

use kai_cost::allocate::Basis;
use kai_cost::cluster::{Object, Snapshot};
use kai_cost::doc::Document;
use kai_cost::read;
use kai_cost::report::{By, Question};
use kai_cost::tariff::Tariff;
use serde_json::Value;

use super::{change, collect, edits, smaller, tell};
use crate::cluster::Cluster;
use crate::cluster::resolve::Resolved;
use crate::error::ToolError;
use crate::object::{builtin, is_object_name};
use crate::plan::Plan;
use crate::report::Report;
use crate::sanitize;
use crate::tool::{Context, Outcome};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `cluster`, a namespace, a workload; nothing for the current namespace.
    pub about: Option<String>,
    /// The namespace; `*` for all.
    pub namespace: Option<String>,
    /// What a row is; by itself namespaces for the cluster, else workloads.
    pub by: Option<By>,
    /// By what pods are charged.
    pub basis: Basis,
    /// A change that is priced and not made: tools with their arguments.
    pub change: Vec<(String, Value)>,
    /// Whether to say what could be smaller.
    pub optimize: bool,
    /// How long history reaches back, such as `14d`.
    pub window: Option<String>,
}

/// Answers with the document and with its report.
///
/// # Errors
/// When the cluster cannot be reached, nothing is called so, a price file is wrong, or the change cannot be planned.
pub async fn answer(context: &Context, asked: &Asked) -> Result<(Document, Report), ToolError> {
    let (document, note) = match asked.change.is_empty() {
        true => scope(context, asked).await?,
        false => (of_change(context, &asked.change).await?, None),
    };
    let mut report = tell::report(&document);
    report.say.extend(note);
    Ok((document, report))
}

async fn scope(context: &Context, asked: &Asked) -> Result<(Document, Option<String>), ToolError> {
    let Scope { namespace, workload, note, otherwise } = meant(&context.cluster, asked).await?;
    let read = collect::whole(&context.cluster, namespace.as_deref()).await;
    let (mut snapshot, usage) = read.map_err(|e| otherwise.unwrap_or(e))?;
    if let Some(object) = &workload {
        must_run(&snapshot, object)?;
    }
    let question = Question {
        by: asked.by.clone().unwrap_or(if namespace.is_none() { By::Namespace } else { By::Workload }),
        basis: asked.basis,
        usage: Some(usage),
        namespace,
        workload,
    };
    let prices = context.pricing.on(&context.cluster).await?;
    let tariff = Tariff::of(&snapshot, &prices, today(context));
    let mut document = kai_cost::report::document(&snapshot, &tariff, &question);
    if asked.optimize {
        collect::verticals(&context.cluster, question.namespace.as_deref(), &mut snapshot).await;
        smaller::add(&context.cluster, &snapshot, &tariff, asked.window.as_deref(), &mut document).await?;
    }
    Ok((document, note))
}

/// The day of the request, which decides what prices are old.
pub(crate) fn today(context: &Context) -> jiff::civil::Date {
    context.now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// What is asked about; no namespace is the whole cluster.
#[derive(Default)]
struct Scope {
    namespace: Option<String>,
    workload: Option<Object>,
    /// How the name was understood, when it is not the workload's own.
    note: Option<String>,
    /// What is to be said when the namespace, which nobody has seen, cannot be read.
    otherwise: Option<ToolError>,
}

/// Decides what is meant before anything is read for its price.
async fn meant(cluster: &Cluster, asked: &Asked) -> Result<Scope, ToolError> {
    let about = asked.about.as_deref().map(str::trim).filter(|a| !a.is_empty());
    let all_of = |word: &str| {
        matches!(word.to_lowercase().as_str(), "cluster" | "the cluster" | "everything" | "all" | "*")
    };
    if asked.namespace.as_deref().map(str::trim) == Some("*") || about.is_some_and(all_of) {
        return Ok(Scope::default());
    }
    let of_namespace = async |namespace: &str| match is_namespace(cluster, namespace).await {
        Ok(false) => {
            let message = format!("there is no namespace {}", sanitize::line(namespace));
            Err(ToolError::NotFound { message, similar: Vec::new() })
        }
        // Whoever may not see namespaces may see what is in one.
        _ => Ok(Scope { namespace: Some(namespace.to_string()), ..Scope::default() }),
    };
    let namespace = cluster.namespace_or(asked.namespace.as_deref())?;
    let Some(about) = about else { return of_namespace(namespace).await };
    if let Some((kind, name)) = about.split_once('/')
        && builtin("namespace").is_called(kind)
    {
        return of_namespace(cluster.namespace_or(Some(name))?).await;
    }
    // A bare name may be a namespace's; only a workload of that very name goes before it.
    let own = match is_object_name(about) {
        true => is_namespace(cluster, about).await,
        false => Ok(false),
    };
    let named = Scope { namespace: Some(about.to_string()), ..Scope::default() };
    if matches!(own, Ok(true)) && !cluster.has_workload(about, namespace).await {
        return Ok(named);
    }
    match cluster.workload_or_pod(about, namespace).await {
        Ok(found) => {
            let workload = charged(&found);
            let above = (workload.kind != found.kind.kind).then(|| format!("{about} → {workload}"));
            let namespace = Some(found.object.namespace);
            Ok(Scope { namespace, workload: Some(workload), note: above.or(found.note), otherwise: None })
        }
        Err(missing @ (ToolError::NotFound { .. } | ToolError::Forbidden { .. })) if own.is_err() => {
            Ok(Scope { otherwise: Some(missing), ..named })
        }
        Err(e) => Err(e),
    }
}

async fn is_namespace(cluster: &Cluster, name: &str) -> Result<bool, ToolError> {
    Ok(cluster.find(&builtin("namespace"), "", name).await?.is_some())
}

/// What the pods of the named object are charged to: what made it, where that is so for a pod too.
fn charged(found: &Resolved) -> Object {
    let kind = found.kind.kind.as_str();
    let above = read::owner(&found.live);
    match (kind, above.kind.as_str()) {
        ("Pod", _) | ("ReplicaSet", "Deployment") | ("Job", "CronJob") => above,
        _ => read::object(kind, &found.live),
    }
}

/// What has no pods and could have none has no price of its own: to answer 0 would be to say that it is free.
fn must_run(snapshot: &Snapshot, object: &Object) -> Result<(), ToolError> {
    let runs = snapshot.workloads.iter().map(|w| &w.object).chain(snapshot.pods.iter().map(|p| &p.owner));
    match runs.into_iter().any(|o| o == object) {
        true => Ok(()),
        false => Err(ToolError::Invalid(format!("{object} runs no pods now: name a workload or pod/x"))),
    }
}

/// What a change would cost that is not made: planned, and priced on what was read. Nothing is sent that would store
/// something, not even as a dry run, so that it can be asked in read-only mode.
async fn of_change(context: &Context, calls: &[(String, Value)]) -> Result<Document, ToolError> {
    let mut plan = Plan::default();
    for (tool, arguments) in calls {
        let Some(found) = crate::catalog::find(tool) else {
            let shown = sanitize::line(tool);
            return Err(ToolError::Invalid(format!(
                "cost: there is no tool `{shown}` whose change could be priced"
            )));
        };
        // The tool itself may be `cost`: boxed, so that the future has a size.
        match Box::pin(found.call(arguments.clone(), context.clone())).await? {
            Outcome::Plan(more) => plan.changes.extend(more.changes),
            Outcome::Report(_) => {
                return Err(ToolError::Invalid(format!(
                    "cost: `{tool}` changes nothing, so there is nothing to price"
                )));
            }
        }
    }
    if plan.changes.is_empty() {
        return Err(ToolError::Unchanged("that would change nothing, so it costs nothing".into()));
    }
    let changes: Vec<&crate::plan::Change> = plan.changes.iter().collect();
    if !changes.iter().any(|c| edits::may_cost(c)) {
        return Err(ToolError::Invalid(format!(
            "cost: {} is nothing that is paid for: neither pods, volumes nor load balancers",
            plan.changes[0].object
        )));
    }
    let mut namespaces: Vec<&str> = changes.iter().map(|c| c.object.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let scalers = namespaces
        .iter()
        .filter(|n| !n.is_empty())
        .map(|namespace| collect::all(&context.cluster, "horizontalpodautoscaler", Some(namespace)));
    let (nodes, pods, scalers, ground) = tokio::join!(
        collect::all(&context.cluster, "node", None),
        collect::pods(&context.cluster, None),
        futures::future::join_all(scalers),
        change::always(&context.cluster, &context.pricing, &plan.changes),
    );
    let scalers: Vec<Value> = scalers.into_iter().flatten().flatten().collect();
    let snapshot = change::snapshot(&nodes, &pods, Some(&ground));
    change::priced(&changes, &ground, &snapshot, &scalers, today(context))
}
