//! A question about cost, answered: a scope as it is, a change that is not made, or what could be smaller.

use kai_cost::allocate::Basis;
use kai_cost::cluster::Snapshot;
use kai_cost::doc::Document;
use kai_cost::report::{By, Question};
use kai_cost::tariff::Tariff;
use serde_json::Value;

use super::{change, collect, edits, smaller, tell};
use crate::error::ToolError;
use crate::object::builtin;
use crate::plan::Plan;
use crate::report::Report;
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
    let document = match asked.change.is_empty() {
        true => scope(context, asked).await?,
        false => of_change(context, &asked.change).await?,
    };
    let report = tell::report(&document);
    Ok((document, report))
}

/// What is asked about, read and resolved.
struct Meant {
    snapshot: Snapshot,
    usage: String,
    question: Question,
}

async fn scope(context: &Context, asked: &Asked) -> Result<Document, ToolError> {
    let Meant { mut snapshot, usage, question } = meant(context, asked).await?;
    let prices = context.pricing.on(&context.cluster).await?;
    let tariff = Tariff::of(&snapshot, &prices, today(context));
    let question = Question { usage: Some(usage), ..question };
    let mut document = kai_cost::report::document(&snapshot, &tariff, &question);
    if asked.optimize {
        collect::verticals(&context.cluster, question.namespace.as_deref(), &mut snapshot).await;
        smaller::add(&context.cluster, &snapshot, &tariff, asked.window.as_deref(), &mut document).await?;
    }
    Ok(document)
}

/// The day of the request, which decides what prices are old.
pub(crate) fn today(context: &Context) -> jiff::civil::Date {
    context.now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

async fn meant(context: &Context, asked: &Asked) -> Result<Meant, ToolError> {
    let cluster = &context.cluster;
    let about = asked.about.as_deref().map(str::trim).filter(|a| !a.is_empty());
    let all_of = |word: &str| {
        matches!(word.to_lowercase().as_str(), "cluster" | "the cluster" | "everything" | "all" | "*")
    };
    let everywhere = asked.namespace.as_deref().map(str::trim) == Some("*") || about.is_some_and(all_of);
    let by = |fallback: By| asked.by.clone().unwrap_or(fallback);
    if everywhere {
        let (snapshot, usage) = collect::whole(cluster, None).await?;
        let question = Question { by: by(By::Namespace), basis: asked.basis, ..Question::default() };
        return Ok(Meant { snapshot, usage, question });
    }
    let within = |namespace: &str, by: By| Question {
        namespace: Some(namespace.to_string()),
        by,
        basis: asked.basis,
        ..Question::default()
    };
    let of_namespace = async |namespace: &str| -> Result<Meant, ToolError> {
        if cluster.find(&builtin("namespace"), "", namespace).await.is_ok_and(|found| found.is_none()) {
            let shown = crate::sanitize::line(namespace);
            return Err(ToolError::NotFound {
                message: format!("there is no namespace {shown}"),
                similar: Vec::new(),
            });
        }
        let (snapshot, usage) = collect::whole(cluster, Some(namespace)).await?;
        Ok(Meant { snapshot, usage, question: within(namespace, by(By::Workload)) })
    };
    let namespace = cluster.namespace_or(asked.namespace.as_deref())?;
    let Some(about) = about else { return of_namespace(namespace).await };
    if let Some((kind, name)) = about.split_once('/')
        && builtin("namespace").is_called(kind)
    {
        return of_namespace(cluster.namespace_or(Some(name))?).await;
    }
    let (snapshot, usage) = collect::whole(cluster, Some(namespace)).await?;
    match collect::named(&snapshot, about, namespace) {
        Ok(workload) => {
            let question = Question { workload: Some(workload), ..within(namespace, by(By::Workload)) };
            Ok(Meant { snapshot, usage, question })
        }
        // A bare name may be a namespace's.
        Err(missing) if !about.contains('/') => of_namespace(about).await.map_err(|_| missing),
        Err(missing) => Err(missing),
    }
}

/// What a change would cost that is not made: planned, and priced on what was read. Nothing is sent that would store
/// something, not even as a dry run, so that it can be asked in read-only mode.
async fn of_change(context: &Context, calls: &[(String, Value)]) -> Result<Document, ToolError> {
    let mut plan = Plan::default();
    for (tool, arguments) in calls {
        let Some(found) = crate::catalog::find(tool) else {
            let shown = crate::sanitize::line(tool);
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
    change::priced(&changes, &ground, &nodes, &pods, &scalers, today(context))
}
