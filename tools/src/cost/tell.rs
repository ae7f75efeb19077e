//! A cost document as a report: tables for people, few words for a model, the document itself for machines (pure).

use kai_cost::doc::{Document, Item, Node, Span};
use kai_cost::say::{cores, footer, gib, money, percent, signed};
use serde_json::json;

use crate::report::{Bar, Block, Report, Table};

/// The report of a document.
pub fn report(document: &Document) -> Report {
    let mut report = Report::default();
    if let Some(delta) = &document.delta {
        if delta.items.is_empty() && delta.pv == Some(0.0) && delta.lb == Some(0.0) {
            report
                .say
                .push("nothing that is paid for changes: the same replicas, requests and volumes".into());
        } else {
            report.say.push(format!("reserved: {}", kai_cost::say::reserved(delta)));
            let autoscaled = matches!(delta.autoscaler.as_deref(), Some("karpenter" | "cluster-autoscaler"));
            report.say.push(format!("your bill: {}", kai_cost::say::bill(delta, autoscaled)));
        }
        report.say.extend(delta.range.as_ref().and_then(|r| kai_cost::say::range(r, delta)));
        changed(document, &mut report);
    } else if document.recommendations.is_empty() && document.scope.by.is_empty() {
        report.say.extend(document.say.iter().cloned());
    } else {
        rows(document, &mut report);
        nodes(document, &mut report);
        loose_ends(document, &mut report);
        summary(document, &mut report);
    }
    smaller(document, &mut report);
    report.say.extend(document.warnings.iter().map(|w| crate::redact::text(&crate::sanitize::line(w))));
    report.say.push(footer(document));
    report.data = json!(document);
    report
}

fn changed(document: &Document, report: &mut Report) {
    let Some(delta) = &document.delta else { return };
    if delta.items.len() < 2 {
        return;
    }
    let mut table = Table::new("", &["WORKLOAD", "BEFORE/mo", "AFTER/mo", "PODS", "NAMESPACE"]);
    for item in &delta.items {
        table.push([
            format!("{}/{}", item.kind.to_lowercase(), item.name),
            money(item.reserved[0]),
            money(item.reserved[1]),
            format!("{} → {}", item.replicas[0], item.replicas[1]),
            item.namespace.clone(),
        ]);
    }
    report.blocks.push(Block::Table(table));
}

/// `9.03–22.57`, or nothing where no autoscaler can change it.
fn span(span: &Span) -> String {
    if span.min == span.now && span.max == span.now {
        return String::new();
    }
    format!("{}–{}", money(span.min), money(span.max))
}

fn name(item: &Item, by: &str) -> String {
    match by {
        "workload" => format!("{}/{}", item.kind.to_lowercase(), item.name),
        _ => item.name.clone(),
    }
}

fn rows(document: &Document, report: &mut Report) {
    let by = document.scope.by.as_str();
    let first = by.split(':').next_back().unwrap_or(by).to_uppercase();
    let everywhere = document.scope.namespace.is_none() && matches!(by, "workload" | "pod");
    let measured = document.items.iter().any(|i| i.efficiency.is_some());
    let stored = document.items.iter().any(|i| i.pv.is_some_and(|x| x > 0.0));
    let ranged = document.items.iter().any(|i| !span(&i.reserved).is_empty());
    let mut names: Vec<(&str, u8)> = vec![(&first, 0), ("PODS", 3), ("CPU", 2), ("MEMORY", 2), ("NOW/mo", 0)];
    let mut add = |when: bool, name: &'static str, importance: u8| {
        if when {
            names.push((name, importance));
        }
    };
    add(ranged, "MIN–MAX/mo", 1);
    add(measured, "EFF", 2);
    add(measured, "WASTE/mo", 1);
    add(stored, "VOLUMES/mo", 4);
    add(everywhere, "NAMESPACE", 5);
    let title = match (&document.scope.workload, &document.scope.namespace) {
        (Some(workload), Some(namespace)) => format!("{workload} in {namespace}"),
        (_, Some(namespace)) => format!("namespace {namespace}"),
        _ => "the cluster".to_string(),
    };
    let mut table = Table::new(title, &[]);
    table.columns = names
        .iter()
        .map(|(name, importance)| crate::report::Column { name: (*name).into(), importance: *importance })
        .collect();
    for item in &document.items {
        let mut cells = vec![
            name(item, by),
            match item.pending {
                0 => item.replicas.now.to_string(),
                n => format!("{} ({n} pending)", item.replicas.now),
            },
            cores(item.cpu_cores),
            gib(item.mem_gib),
            money(item.allocated),
        ];
        let mut add = |when: bool, cell: String| {
            if when {
                cells.push(cell);
            }
        };
        add(ranged, span(&item.reserved));
        add(measured, percent(item.efficiency));
        add(measured, item.waste.map_or_else(|| "-".into(), |w| money(Some(w))));
        add(
            stored,
            item.pv
                .map_or_else(|| "unknown".into(), |x| if x > 0.0 { money(Some(x)) } else { String::new() }),
        );
        add(everywhere, item.namespace.clone());
        table.push(cells);
    }
    report.blocks.push(Block::Table(table));
    totals(document, report);
}

/// Under the rows: their sum, and what comes on top of it.
fn totals(document: &Document, report: &mut Report) {
    let totals = &document.totals;
    let mut table = Table::new("", &["PER MONTH", "USD", ""]);
    let mut add =
        |what: &str, amount: Option<f64>, note: String| table.push([what.to_string(), money(amount), note]);
    let ranged = span(&totals.reserved);
    let note = if ranged.is_empty() { String::new() } else { format!("{ranged} as autoscaled") };
    add("reserved", totals.reserved.now, note);
    if totals.allocated != totals.reserved.now {
        add("charged", totals.allocated, format!("by {}", document.basis));
    }
    let idle = document.idle.map(|i| format!("{:.0}% of the nodes is idle", i.percent)).unwrap_or_default();
    let whole = totals.cluster.is_some() || totals.machines.is_some();
    match &document.idle {
        Some(all) if whole => add("idle", Some(all.month), idle),
        Some(_) => add("share of idle", totals.idle_share, idle),
        None => {}
    }
    if totals.pv != Some(0.0) {
        add("volumes", totals.pv, String::new());
    }
    if totals.lb != Some(0.0) {
        add("load balancers", totals.lb, String::new());
    }
    if let Some(fee) = totals.control_plane {
        add("control plane", Some(fee), String::new());
    }
    if whole {
        add("the cluster", totals.cluster, machines(document));
    }
    report.blocks.push(Block::Table(table));
}

fn machines(document: &Document) -> String {
    let count = document.nodes.len();
    let nodes = if count == 1 { "1 node".to_string() } else { format!("{count} nodes") };
    format!("{nodes} = {}", money(document.totals.machines))
}

/// Bars of the nodes: requested, used, allocatable.
fn nodes(document: &Document, report: &mut Report) {
    /// Most nodes that are drawn; the document has all.
    const MOST: usize = 12;
    if document.nodes.is_empty() {
        return;
    }
    let bar = |node: &Node, what: &str| {
        let (gauge, show): (_, fn(f64) -> String) =
            if what == "cpu" { (node.cpu, cores) } else { (node.mem, gib) };
        let used = gauge.used.map(|u| format!(", {} used", show(u))).unwrap_or_default();
        Bar {
            name: format!("{} {what}", node.name),
            used: gauge.used.map(|u| part(u, gauge.allocatable)),
            requested: part(gauge.requested, gauge.allocatable),
            text: format!("{} of {} requested{used}", show(gauge.requested), show(gauge.allocatable)),
        }
    };
    let shown = document.nodes.iter().take(MOST);
    let bars = shown.flat_map(|n| [bar(n, "cpu"), bar(n, "memory")]).collect();
    let more = match document.nodes.len().saturating_sub(MOST) {
        0 => String::new(),
        n => format!("{n} more nodes, all in -o json"),
    };
    report.blocks.push(Block::Bars { title: "nodes".into(), bars, more });
}

fn part(of: f64, all: f64) -> f64 {
    if all > 0.0 { of / all } else { 0.0 }
}

fn loose_ends(document: &Document, report: &mut Report) {
    /// Most that are told; the document has all.
    const MOST: usize = 10;
    if document.loose_ends.is_empty() {
        return;
    }
    let mut table = Table::new("loose ends", &["OBJECT", "WHAT", "USD/mo", "NAMESPACE"]);
    for end in document.loose_ends.iter().take(MOST) {
        let cost = end.month.map_or_else(|| "-".into(), |m| money(Some(m)));
        table.push([&end.object, &end.says, &cost, &end.namespace]);
    }
    let hidden = document.loose_ends.len().saturating_sub(MOST);
    if hidden > 0 {
        table.more = format!("{hidden} more, all in -o json");
    }
    report.blocks.push(Block::Table(table));
}

fn summary(document: &Document, report: &mut Report) {
    let totals = &document.totals;
    if let Some(most) =
        document.items.iter().max_by(|a, b| a.waste.unwrap_or(0.0).total_cmp(&b.waste.unwrap_or(0.0)))
        && let Some(waste) = most.waste.filter(|w| *w >= 0.01)
        && let Some(all) = totals.waste
    {
        let which = name(most, &document.scope.by);
        report.say.push(format!(
            "{} USD/month is requested and not used at this moment, most of it by {which} ({}).",
            money(Some(all)),
            money(Some(waste))
        ));
    }
    if let Some(usage) = document.usage.as_ref().filter(|u| u.starts_with("not known")) {
        report.say.push(format!("What is used is {usage}."));
    }
    if let Some(most) = &document.at_max {
        let fit = &most.fit;
        let all = most.items.iter().map(|i| i.replicas[1]).sum::<i64>();
        let reserved = signed(most.reserved);
        if fit.pending > 0 {
            let nodes = match fit.nodes_added {
                _ if most.bill.with_autoscaler.is_none() => {
                    "what nodes they would take is not worked out".to_string()
                }
                0 => "no node like those you have would take them".to_string(),
                1 => format!("with a node autoscaler one more node = {}", signed(most.bill.with_autoscaler)),
                n => format!("with a node autoscaler {n} more nodes = {}", signed(most.bill.with_autoscaler)),
            };
            report.say.push(format!(
                "At the autoscalers' most ({reserved} reserved) {} of {all} pods would not fit; {nodes}.",
                fit.pending
            ));
        } else {
            report.say.push(format!("At the autoscalers' most ({reserved} reserved) all {all} pods fit."));
        }
    }
}

/// What could be smaller, with the change that makes it so.
fn smaller(document: &Document, report: &mut Report) {
    if document.recommendations.is_empty() {
        return;
    }
    let everywhere = document.scope.namespace.is_none();
    let columns: &[&str] = match everywhere {
        true => &["#", "SAVES/mo", "OBJECT", "WHAT", "BILL/mo", "NAMESPACE"],
        false => &["#", "SAVES/mo", "OBJECT", "WHAT", "BILL/mo"],
    };
    let mut table = Table::new("could be smaller", columns);
    table.columns[4].importance = 2;
    for one in &document.recommendations {
        let mut cells = vec![
            one.number.to_string(),
            money(one.saves),
            one.object.clone(),
            one.says.clone(),
            one.bill.filter(|b| *b != 0.0).map_or_else(String::new, |b| money(Some(b))),
        ];
        cells.extend(everywhere.then(|| one.namespace.clone()));
        table.push(cells);
    }
    report.blocks.push(Block::Table(table));
    for one in &document.recommendations {
        report.say.extend(one.notes.iter().map(|n| format!("{}: {n}", one.object)));
    }
}
