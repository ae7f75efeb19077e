//! Usage in words, a table, and numbers for machines: CPU in millicores, memory in bytes (pure).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rows::{Row, near_limit, percent, pods_of_node, sum};
use super::{By, Sort, Usage};
use crate::metrics::Metrics;
use crate::quantity::{show_bytes, show_cpu};
use crate::report::{Block, Report, Table};
use crate::resources::Amounts;
use crate::sanitize;

/// Rows: usual and most.
const USUAL: usize = 20;
const MOST: usize = 200;
/// Rows that a sentence names.
const NAMED: usize = 3;

/// What is told, and for whom.
pub(super) struct Told<'a> {
    pub usage: &'a Usage,
    pub by: By,
    pub rows: &'a [Row],
    pub metrics: &'a Metrics,
    pub now: Timestamp,
}

/// A column: its heading, how soon it goes when there is no room, and what it shows of a row.
type Column<'a> = (&'a str, u8, Box<dyn Fn(&Row) -> String + 'a>);

fn cpu(amount: Option<i128>) -> String {
    amount.map_or_else(|| "-".into(), show_cpu)
}

fn bytes(amount: Option<i128>) -> String {
    amount.map_or_else(|| "-".into(), show_bytes)
}

/// `250m (48%)`: an amount, and how much of it the part is.
fn with_percent(shown: String, part: Option<i128>, of: Option<i128>) -> String {
    match percent(part, of) {
        Some(percent) => format!("{shown} ({percent}%)"),
        None => shown,
    }
}

impl Told<'_> {
    pub(super) fn limit(&self) -> usize {
        self.usage.limit.map_or(USUAL, |l| l as usize).clamp(1, MOST)
    }

    /// Of pods, containers, workloads and namespaces.
    pub(super) fn of_pods(&self, place: &str, wide: bool, pods: usize) -> Report {
        let heading = match self.by {
            By::Pods => "POD",
            By::Containers => "CONTAINER",
            By::Workloads => "WORKLOAD",
            By::Nodes => "NODE",
            By::Namespaces => "NAMESPACE",
        };
        let mut columns: Vec<Column<'_>> = vec![(heading, 0, Box::new(|r| r.name.clone()))];
        if wide && self.by != By::Namespaces {
            columns.push(("NAMESPACE", 1, Box::new(|r| r.namespace.clone())));
        }
        if matches!(self.by, By::Workloads | By::Namespaces) {
            columns.push(("PODS", 7, Box::new(|r| r.pods.to_string())));
        }
        if self.metrics.is_there() {
            columns.push(("CPU", 1, Box::new(|r| cpu(r.used.cpu))));
        }
        columns.push((
            "CPU REQUEST",
            3,
            Box::new(|r| with_percent(cpu(r.requests.cpu), r.used.cpu, r.requests.cpu)),
        ));
        columns.push((
            "CPU LIMIT",
            6,
            Box::new(|r| with_percent(cpu(r.limits.cpu), r.used.cpu, r.limits.cpu)),
        ));
        if self.metrics.is_there() {
            columns.push(("MEMORY", 2, Box::new(|r| bytes(r.used.memory))));
        }
        columns.push((
            "MEMORY REQUEST",
            4,
            Box::new(|r| with_percent(bytes(r.requests.memory), r.used.memory, r.requests.memory)),
        ));
        columns.push((
            "MEMORY LIMIT",
            5,
            Box::new(|r| with_percent(bytes(r.limits.memory), r.used.memory, r.limits.memory)),
        ));
        let mut report = self.table(&columns);
        report.say.push(self.sum_of_pods(place, pods));
        if pods > 0 {
            report.say.extend(self.near());
            report.say.push(self.metrics.said(self.now));
            report.say.extend(self.unsampled());
        }
        report
    }

    fn sum_of_pods(&self, place: &str, pods: usize) -> String {
        let count = format!("{pods} {}", if pods == 1 { "pod" } else { "pods" });
        if pods == 0 {
            return format!("No pods run {place}.");
        }
        let all = sum(self.rows);
        let verb = if pods == 1 { "uses" } else { "use" };
        let part =
            |used: String, requested: Option<i128>, shown: String, share: Option<i128>, what: &str| match (
                requested, share,
            ) {
                (None, _) => format!("{used} {what} with none requested"),
                (Some(_), Some(share)) => format!("{used} {what} of {shown} requested ({share}%)"),
                (Some(_), None) => format!("{used} {what} of {shown} requested"),
            };
        if self.metrics.is_there() && all.unsampled < all.pods {
            let cpus = part(
                cpu(all.used.cpu),
                all.requests.cpu,
                cpu(all.requests.cpu),
                percent(all.used.cpu, all.requests.cpu),
                "CPU",
            );
            let memory = part(
                bytes(all.used.memory),
                all.requests.memory,
                bytes(all.requests.memory),
                percent(all.used.memory, all.requests.memory),
                "memory",
            );
            return format!("{count} {place} {verb} {cpus} and {memory}.");
        }
        let (cpus, memory) = (all.requests.cpu, all.requests.memory);
        let asked = match (cpus, memory) {
            (None, None) => "nothing".into(),
            (Some(c), None) => format!("{} CPU and no memory", show_cpu(c)),
            (None, Some(m)) => format!("{} memory and no CPU", show_bytes(m)),
            (Some(c), Some(m)) => format!("{} CPU and {} memory", show_cpu(c), show_bytes(m)),
        };
        format!("{count} {place} {} {asked}.", if pods == 1 { "requests" } else { "request" })
    }

    /// Of nodes, with what can still be requested of each.
    pub(super) fn of_nodes(&self) -> Report {
        let of = |row: &Row| row.node.as_ref().map(|n| n.allocatable).unwrap_or_default();
        let free = |row: &Row| row.node.as_ref().map(|n| n.free(row.requests)).unwrap_or_default();
        let mut columns: Vec<Column<'_>> = vec![("NODE", 0, Box::new(|r| r.name.clone()))];
        if self.metrics.is_there() {
            columns.push(("CPU", 3, Box::new(move |r| with_percent(cpu(r.used.cpu), r.used.cpu, of(r).cpu))));
        }
        columns.push((
            "CPU REQUESTED",
            4,
            Box::new(move |r| with_percent(cpu(r.requests.cpu), r.requests.cpu, of(r).cpu)),
        ));
        columns.push(("CPU FREE", 1, Box::new(move |r| cpu(free(r).cpu))));
        if self.metrics.is_there() {
            columns.push((
                "MEMORY",
                5,
                Box::new(move |r| with_percent(bytes(r.used.memory), r.used.memory, of(r).memory)),
            ));
        }
        columns.push((
            "MEMORY REQUESTED",
            6,
            Box::new(move |r| with_percent(bytes(r.requests.memory), r.requests.memory, of(r).memory)),
        ));
        columns.push(("MEMORY FREE", 2, Box::new(move |r| bytes(free(r).memory))));
        columns.push(("PODS", 7, Box::new(pods_of_node)));
        columns.push((
            "STATE",
            8,
            Box::new(|r| r.node.as_ref().map(|n| n.state.clone()).unwrap_or_default()),
        ));
        let mut report = self.table(&columns);
        let count = self.rows.len();
        let open = |r: &&Row| r.node.as_ref().is_some_and(|n| n.is_known && n.state == "Ready");
        let roomiest = self.rows.iter().filter(open).max_by_key(|r| (free(r).cpu, free(r).memory));
        let total = self.rows.iter().fold(Amounts::default(), |t, r| t.plus(of(r)));
        let all = sum(self.rows);
        let share = |part: Option<i128>, of: Option<i128>| {
            percent(part, of).map_or("an unknown part".into(), |p| format!("{p}%"))
        };
        let mut said = format!(
            "{count} {}: {} CPU and {} memory",
            if count == 1 { "node" } else { "nodes" },
            cpu(total.cpu),
            bytes(total.memory)
        );
        if self.rows.iter().any(|r| r.node.as_ref().is_some_and(|n| n.is_known)) {
            let requested = (
                share(all.requests.cpu.or(Some(0)), total.cpu),
                share(all.requests.memory.or(Some(0)), total.memory),
            );
            said.push_str(&format!(", of which {} and {} are requested", requested.0, requested.1));
        }
        if self.metrics.is_there() && all.unsampled < count {
            said.push_str(&format!(
                " and {} and {} are used",
                share(all.used.cpu, total.cpu),
                share(all.used.memory, total.memory)
            ));
        }
        report.say.push(format!("{said}."));
        if let Some(row) = roomiest.filter(|_| count > 1) {
            report.say.push(format!(
                "Most CPU is free on {}: {} CPU and {} memory are not requested.",
                sanitize::line(&row.name),
                cpu(free(row).cpu),
                bytes(free(row).memory)
            ));
        }
        report.say.push(self.metrics.said(self.now));
        report
    }

    /// Rows that are near a limit: memory is killed there, CPU slowed down.
    fn near(&self) -> Option<String> {
        let near = near_limit(self.rows);
        let named: Vec<String> = near
            .iter()
            .take(NAMED)
            .map(|(percent, what, row)| format!("{} ({what} {percent}%)", sanitize::line(&row.name)))
            .collect();
        let more =
            if near.len() > NAMED { format!(" and {} more", near.len() - NAMED) } else { String::new() };
        (!named.is_empty()).then(|| format!("At or near a limit: {}{more}.", named.join(", ")))
    }

    fn unsampled(&self) -> Option<String> {
        let all = sum(self.rows);
        let there = matches!(self.metrics, Metrics::There(samples) if !samples.is_empty());
        let what = if self.by == By::Containers { "container" } else { "pod" };
        (there && all.unsampled > 0).then(|| match all.unsampled {
            1 => format!("1 {what} has no sample: it is new or does not run."),
            n => format!("{n} {what}s have no sample: they are new or do not run."),
        })
    }

    fn table(&self, columns: &[Column<'_>]) -> Report {
        let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        let mut table = Table::new("", &names);
        for (column, (_, importance, _)) in table.columns.iter_mut().zip(columns) {
            column.importance = *importance;
        }
        for row in self.rows.iter().take(self.limit()) {
            table.push(columns.iter().map(|(.., show)| show(row)));
        }
        let hidden = self.rows.len().saturating_sub(self.limit());
        if hidden > 0 {
            table.more = format!(
                "{hidden} more, smaller ones; narrow with name, selector or namespace, or raise limit"
            );
        }
        let mut report = Report { data: self.data(), ..Report::default() };
        if !table.rows.is_empty() {
            report.blocks.push(Block::Table(table));
        }
        report
    }

    fn data(&self) -> Value {
        let amounts = |row: &Row, of: fn(Amounts) -> Option<i128>| {
            let number = |amounts: Amounts| of(amounts).and_then(|a| i64::try_from(a).ok());
            let mut out = json!({"used": number(row.used), "requests": number(row.requests), "limits": number(row.limits)});
            if let Some(node) = &row.node {
                out["allocatable"] = json!(number(node.allocatable));
                out["free"] = json!(number(node.free(row.requests)));
            }
            out
        };
        let one = |row: &Row| {
            json!({"namespace": row.namespace, "name": row.name, "pods": row.pods, "state": row.node.as_ref().map(|n| &n.state),
                "cpu": amounts(row, |a| a.cpu), "memory": amounts(row, |a| a.memory)})
        };
        let all = sum(self.rows);
        let metrics = match self.metrics {
            Metrics::There(samples) => {
                json!({"state": "there", "newest": samples.newest, "window_seconds": samples.window})
            }
            Metrics::Absent => json!({"state": "absent"}),
            Metrics::Dead(_) => json!({"state": "dead"}),
            Metrics::Forbidden(_) => json!({"state": "forbidden"}),
        };
        let sort = match self.usage.sort.unwrap_or_default() {
            Sort::Cpu => "cpu",
            Sort::Memory => "memory",
        };
        json!({
            "by": format!("{:?}", self.by).to_lowercase(), "sort": sort, "units": {"cpu": "millicores", "memory": "bytes"},
            "metrics": metrics, "total": self.rows.len(), "sum": one(&all),
            "items": self.rows.iter().take(self.limit()).map(one).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests;
