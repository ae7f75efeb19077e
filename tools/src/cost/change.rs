//! What a plan costs, as lines of its preview and as the document's `delta`.

use kai_cost::cluster::{Autoscaler, Snapshot};
use kai_cost::delta::{At, delta};
use kai_cost::doc::{self, Document};
use kai_cost::tariff::Tariff;
use kai_cost::{report, say};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collect::{self, Seen, classes};
use super::edits::{self, Costly, may_cost};
use super::pricing::Pricing;
use super::zones::Zones;
use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::plan::{Change, Does};
use crate::review::{Level, Line};

/// What a plan costs: its figures, and the lines that people read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanCost {
    /// `kai.cost/v1`; none where it could not be worked out.
    pub document: Option<Document>,
    /// For people.
    pub lines: Vec<Line>,
}

impl PlanCost {
    /// By how much more the plan costs a month: the larger of what it reserves and of the bill. `None` where it is not
    /// known; 0 where nothing gets dearer.
    pub fn rise(&self) -> Option<f64> {
        let delta = self.document.as_ref()?.delta.as_ref()?;
        let bill = delta.bill.now?.max(delta.bill.with_autoscaler?);
        Some(delta.reserved?.max(bill).max(0.0))
    }

    fn unknown(why: &str) -> Self {
        Self { document: None, lines: vec![Line::new(Level::Fact, "cost", format!("unknown: {why}"))] }
    }
}

/// What besides nodes and pods was read for a plan's price.
pub(crate) struct Ground {
    prices: Result<kai_cost::prices::Prices, ToolError>,
    autoscaler: Autoscaler,
    classes: Seen,
    claims: Vec<Value>,
    zones: Zones,
    services: Vec<Value>,
}

/// Whether a plan can cost something, so that nodes and pods must be read for it.
pub(crate) fn is_priced(changes: &[Change]) -> bool {
    changes.iter().any(|c| may_cost(c) && !only_replaced(c))
}

/// Whether only pods are made anew, with the same requests: then nothing need be read to know that nothing changes.
fn only_replaced(change: &Change) -> bool {
    let spec = |v: &Value| v.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let resources = |v: &Value| kai_cost::read::shape(&spec(v));
    let same = || {
        let (old, new) = (resources(&change.live), resources(&change.after));
        old.size == new.size && old.placement == new.placement
    };
    change.is_workload() && !change.creates() && !change.removes() && change.added_pods() == 0 && same()
}

/// Reads what the price of a plan depends on, besides nodes and pods.
pub(crate) async fn ground(cluster: &Cluster, pricing: &Pricing, changes: &[Change]) -> Option<Ground> {
    match is_priced(changes) {
        true => Some(always(cluster, pricing, changes).await),
        false => None,
    }
}

/// The same, whatever the changes are.
pub(crate) async fn always(cluster: &Cluster, pricing: &Pricing, changes: &[Change]) -> Ground {
    let stores =
        |c: &&Change| matches!(c.kind.kind.as_str(), "PersistentVolumeClaim" | "StatefulSet" | "Namespace");
    let gone: Vec<&str> = changes
        .iter()
        .filter(|c| c.kind.kind == "Namespace" && c.does == Does::Delete)
        .map(|c| c.object.name.as_str())
        .collect();
    let within = async |kind: &str| -> Vec<Value> {
        let lists = gone.iter().map(|namespace| collect::all(cluster, kind, Some(namespace)));
        futures::future::join_all(lists).await.into_iter().flatten().flatten().collect()
    };
    let classes = async {
        match changes.iter().any(|c| stores(&c)) {
            true => collect::all(cluster, "storageclass", None).await,
            false => Ok(Vec::new()),
        }
    };
    let (prices, autoscaler, classes, claims, services, zones) = tokio::join!(
        pricing.on(cluster),
        collect::autoscaler(cluster),
        classes,
        within("persistentvolumeclaim"),
        within("service"),
        Zones::read(cluster, changes),
    );
    Ground { prices, autoscaler, classes, claims, services, zones }
}

/// What a plan costs. `scalers` are the autoscalers of the namespaces that it touches.
pub(crate) fn of_plan(
    changes: &[&Change],
    ground: Option<&Ground>,
    snapshot: &Snapshot,
    scalers: &[Value],
    today: jiff::civil::Date,
) -> Option<PlanCost> {
    if !changes.iter().any(|c| may_cost(c)) {
        return None;
    }
    let Some(ground) = ground else {
        return Some(PlanCost { document: None, lines: vec![Line::new(Level::Fact, "cost", SAME)] })
            .filter(|_| changes.iter().any(|c| c.replaces_pods()));
    };
    let prices = match &ground.prices {
        Ok(prices) => prices,
        Err(e) => return Some(PlanCost::unknown(&e.to_string())),
    };
    let costly = costly(changes, ground, snapshot, scalers);
    let tariff = Tariff::of(snapshot, prices, today);
    Some(tell(snapshot, &tariff, &costly))
}

/// The document of changes that are not made.
///
/// # Errors
/// A wrong price file.
pub(crate) fn priced(
    changes: &[&Change],
    ground: &Ground,
    snapshot: &Snapshot,
    scalers: &[Value],
    today: jiff::civil::Date,
) -> Result<Document, ToolError> {
    let prices = ground.prices.as_ref().map_err(Clone::clone)?;
    let costly = costly(changes, ground, snapshot, scalers);
    let tariff = Tariff::of(snapshot, prices, today);
    Ok(document(snapshot, &tariff, &costly))
}

/// Nodes and pods, with what else the price of a plan depends on where that was read.
pub(crate) fn snapshot(nodes: &Seen, pods: &Seen, ground: Option<&Ground>) -> Snapshot {
    let Some(ground) = ground else { return collect::snapshot(nodes, pods, Autoscaler::None) };
    let mut snapshot = collect::snapshot(nodes, pods, ground.autoscaler);
    snapshot.claims = collect::claims(&ground.claims);
    snapshot.balancers = ground.services.iter().filter_map(kai_cost::read::balancer).collect();
    match &ground.classes {
        Ok(found) => snapshot.classes = classes(found),
        Err(e) => snapshot.missing.push(format!("storage classes cannot be looked at: {e}")),
    }
    snapshot
}

fn costly(changes: &[&Change], ground: &Ground, snapshot: &Snapshot, scalers: &[Value]) -> Costly {
    let mut costly = edits::costly(changes, snapshot, scalers);
    for edit in &mut costly.edits.workloads {
        for state in [&mut edit.before, &mut edit.after].into_iter().flatten() {
            ground.zones.keep(&edit.object.namespace, &mut state.shape);
        }
    }
    costly
}

const SAME: &str = "unchanged: the same replicas with the same requests";

fn tell(snapshot: &Snapshot, tariff: &Tariff, costly: &Costly) -> PlanCost {
    let edits = &costly.edits;
    let mut cost = PlanCost::default();
    let fact = |label: &str, text: String| Line::new(Level::Fact, label, text);
    let nothing = edits.workloads.is_empty()
        && edits.claims.is_empty()
        && edits.balancers.0.is_empty()
        && edits.balancers.1.is_empty();
    if nothing {
        if costly.same {
            cost.lines.push(fact("cost", SAME.into()));
        }
    } else {
        let document = document(snapshot, tariff, costly);
        if let Some(change) = &document.delta {
            let autoscaled =
                matches!(snapshot.autoscaler, Autoscaler::Karpenter | Autoscaler::ClusterAutoscaler);
            cost.lines.push(fact("cost", format!("reserved {}", say::reserved(change))));
            if !snapshot.shows_room() {
                let why = "nodes or pods cannot be looked at, so whether it fits is not known";
                cost.lines.push(fact("bill", format!("unknown: {why}")));
            } else {
                cost.lines.push(fact("bill", say::bill(change, autoscaled)));
            }
            cost.lines.extend(
                change.range.as_ref().and_then(|r| say::range(r, change)).map(|said| fact("range", said)),
            );
        }
        let prices = say::footer(&document);
        cost.lines.push(fact("prices", prices));
        let warn = |text: &String| Line::new(Level::Warning, "prices", text.clone());
        cost.lines.extend(tariff.warnings.iter().map(warn));
        cost.document = Some(document);
    }
    cost.lines.extend(costly.notes.iter().map(|note| fact("cost", note.clone())));
    cost
}

/// The document of a change: prices, confidence, `delta`.
pub(crate) fn document(snapshot: &Snapshot, tariff: &Tariff, costly: &Costly) -> Document {
    let edits = &costly.edits;
    let now = delta(snapshot, tariff, edits, At::Now);
    let ranged = edits
        .workloads
        .iter()
        .any(|e| [&e.before, &e.after].into_iter().flatten().any(|s| s.range.is_some_and(|r| r.max > r.min)));
    let ends =
        ranged.then(|| (delta(snapshot, tariff, edits, At::Min), delta(snapshot, tariff, edits, At::Max)));
    let mut change = doc::change(&now, ends.as_ref().map(|(least, most)| (least, most)));
    if !snapshot.shows_room() {
        change.bill = doc::Bill::default();
    }
    let mut document = Document::new();
    report::provenance(&mut document, snapshot, tariff);
    document.warnings.extend(costly.notes.iter().cloned());
    document.say = vec![
        format!("{} USD/month reserved", say::signed(change.reserved)),
        format!("{} USD/month on the bill", say::signed(change.bill.now)),
    ];
    document.delta = Some(change);
    document
}
