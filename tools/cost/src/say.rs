//! Figures as people read them, and the sentences of a change. Every figure here is one of the document's.

use crate::doc::{Change, ChangeItem, Document, RangeDoc};

/// Dollars a month with two decimals: `4.51`, `0.00`, `<0.01`; `unknown` when nobody knows.
pub fn money(amount: Option<f64>) -> String {
    match amount {
        None => "unknown".to_owned(),
        Some(x) if x > 0.0 && x < 0.005 => "<0.01".to_owned(),
        Some(x) if x < 0.0 && x > -0.005 => ">-0.01".to_owned(),
        Some(x) => grouped(x),
    }
}

/// The same with its sign: `+4.51`, `-9.03`, `0.00`.
pub fn signed(amount: Option<f64>) -> String {
    match amount {
        Some(x) if x >= 0.005 => format!("+{}", grouped(x)),
        Some(x) if x > 0.0 => "+<0.01".to_owned(),
        other => money(other),
    }
}

/// Two decimals, thousands apart.
fn grouped(x: f64) -> String {
    let text = format!("{:.2}", x.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    let sign = if x < 0.0 && text != "0.00" { "-" } else { "" };
    format!("{sign}{out}.{cents}")
}

/// Cores: `250m`, `1.50`.
pub fn cores(cores: f64) -> String {
    let milli = (cores * 1000.0).round();
    if milli.abs() < 1000.0 && milli != 0.0 { format!("{milli}m") } else { format!("{cores:.2}") }
}

/// Memory from GiB: `256Mi`, `1.25Gi`, `16Gi`.
pub fn gib(gib: f64) -> String {
    let mib = (gib * 1024.0).round();
    if mib.abs() < 1024.0 {
        return format!("{mib}Mi");
    }
    let text = format!("{:.2}", mib / 1024.0);
    format!("{}Gi", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Used of requested in percent.
pub fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |p| format!("{:.0}%", p * 100.0))
}

/// What a change reserves more or less: `+4.51 USD/month (9.03 → 13.54, +50%): CPU +3.98, memory +0.53`.
pub fn reserved(change: &Change) -> String {
    if change.reserved.is_none() {
        return format!("unknown: {}", change.unpriced.join("; "));
    }
    let mut text = format!("{} USD/month", signed(change.reserved));
    if change.reserved.is_some_and(|x| x.abs() >= 100.0) {
        text.push_str(&format!(", {} a year", signed(change.reserved.map(|x| x * 12.0))));
    }
    let grows = change.percent.map(|p| format!(", {p:+.0}%")).unwrap_or_default();
    text.push_str(&format!(" ({} → {}{grows})", money(change.before), money(change.after)));
    let sum = |of: fn(&ChangeItem) -> Option<f64>| change.items.iter().map(of).sum::<Option<f64>>();
    let parts: Vec<String> = [
        ("CPU", sum(|i| i.cpu)),
        ("memory", sum(|i| i.mem)),
        ("volumes", change.pv),
        ("load balancers", change.lb),
    ]
    .iter()
    .filter(|(_, x)| x.is_some_and(|x| x.abs() >= 0.005))
    .map(|(what, x)| format!("{what} {}", signed(*x)))
    .collect();
    if !parts.is_empty() {
        text.push_str(&format!(": {}", parts.join(", ")));
    }
    text
}

/// What the invoice changes by, and why: `0.00: fits on the nodes you have (...)`. `autoscaled` says whether nodes come
/// and go by themselves, as far as that is known.
pub fn bill(change: &Change, autoscaled: bool) -> String {
    let fit = &change.fit;
    let room = format!(
        "{:.2} of {:.2} vCPU, {:.2} of {:.2} GiB requested",
        fit.cpu_requested, fit.cpu_allocatable, fit.mem_requested, fit.mem_allocatable
    );
    let shown = if autoscaled { change.bill.with_autoscaler } else { change.bill.now };
    let mut text = match shown {
        None => return format!("unknown: {}", change.unpriced.join("; ")),
        amount => signed(amount),
    };
    let fixed: Vec<String> = [("volumes", change.pv), ("load balancers", change.lb)]
        .iter()
        .filter(|(_, x)| x.is_some_and(|x| x.abs() >= 0.005))
        .map(|(what, x)| format!("{what} {}", signed(*x)))
        .collect();
    let nodes = match (fit.nodes_added, fit.nodes_removable) {
        (1, _) => "one more node".to_owned(),
        (n, _) if n > 1 => format!("{n} more nodes"),
        (_, 1) => "one node could go".to_owned(),
        (_, n) if n > 1 => format!("{n} nodes could go"),
        _ => String::new(),
    };
    let with = signed(change.bill.with_autoscaler);
    let why = if fit.pending > 0 && change.bill.with_autoscaler.is_none() {
        format!(
            "{} would stay Pending on the nodes you have ({room}); what nodes they would take is not worked out",
            pods(fit.pending)
        )
    } else if fit.pending > 0 && autoscaled && !nodes.is_empty() {
        format!("the node autoscaler adds {nodes} for {} without room ({room})", pods(fit.pending))
    } else if fit.pending > 0 && !nodes.is_empty() {
        format!(
            "{} would stay Pending on the nodes you have ({room}); with a node autoscaler {nodes} = {with}",
            pods(fit.pending)
        )
    } else if fit.pending > 0 {
        format!(
            "{} would stay Pending, and no node like those you have would take {} ({room})",
            pods(fit.pending),
            if fit.pending == 1 { "it" } else { "them" }
        )
    } else if fit.nodes_removable > 0 && autoscaled {
        format!("{nodes} at most: the autoscaler decides ({room})")
    } else if fit.nodes_removable > 0 {
        format!("the nodes stay ({room}); with a node autoscaler {nodes}: up to {with}")
    } else if fit.cpu_allocatable == 0.0 {
        "pods are billed one by one".to_owned()
    } else if change.reserved.is_some_and(|x| x < 0.0) {
        format!("the nodes stay ({room})")
    } else {
        format!("fits on the nodes you have ({room})")
    };
    if !fixed.is_empty() {
        text.push_str(&format!(" ({})", fixed.join(", ")));
    }
    let beside = match fit.unmodelled.is_empty() {
        true => String::new(),
        false => format!("; not looked at: {}", fit.unmodelled.join(", ")),
    };
    format!("{text}: {why}{beside}")
}

/// Where autoscalers can take the figures: `27.08 at the fewest replicas, 67.71 at the most: 3 pods would not fit`.
/// `None` where both ends are what it is now.
pub fn range(range: &RangeDoc, change: &Change) -> Option<String> {
    if range.min == change.after && range.max == change.after {
        return None;
    }
    let mut text = format!(
        "autoscaled: reserved {} at the fewest replicas, {} at the most",
        money(range.min),
        money(range.max)
    );
    if range.pending_at_max > 0 {
        let more = range.bill_at_max.with_autoscaler.zip(range.bill_at_max.now).map(|(with, now)| with - now);
        text.push_str(&format!(", where {} would not fit", pods(range.pending_at_max)));
        if more.is_some_and(|m| m > 0.0) {
            text.push_str(&format!(" (more nodes = {})", signed(more)));
        }
    }
    Some(text)
}

fn pods(n: i64) -> String {
    if n == 1 { "1 pod".to_owned() } else { format!("{n} pods") }
}

/// Where prices are from and how much to trust them, in one line.
pub fn footer(document: &Document) -> String {
    // Of several sources the date is that of the oldest, and of whichever has one.
    let of = if document.prices.says.contains(", ") { ", the oldest of" } else { " of" };
    let date = document.prices.as_of.as_ref().map(|d| format!("{of} {d}")).unwrap_or_default();
    let why = if document.reasons.is_empty() {
        String::new()
    } else {
        format!(": {}", document.reasons.join("; "))
    };
    format!(
        "USD per month of 730 h; {}{date}; by {}; confidence {}{why}. Not counted: {}.",
        document.prices.says,
        document.basis,
        format!("{:?}", document.confidence).to_lowercase(),
        short(&document.not_counted)
    )
}

/// The first few; the document has all of them.
fn short(all: &[String]) -> String {
    let first: Vec<&str> = all.iter().take(1).map(|s| s.split(" (").next().unwrap_or(s)).collect();
    match all.iter().any(|s| s.starts_with("discounts")) {
        true => format!("{}, discounts, tax", first.join(", ")),
        false => first.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_for_people() {
        for (amount, plain, with_sign) in [
            (Some(4.513955), "4.51", "+4.51"),
            (Some(-9.02791), "-9.03", "-9.03"),
            (Some(0.0), "0.00", "0.00"),
            (Some(0.004), "<0.01", "+<0.01"),
            (Some(-0.004), ">-0.01", ">-0.01"),
            (Some(1234567.891), "1,234,567.89", "+1,234,567.89"),
            (Some(-1000.0), "-1,000.00", "-1,000.00"),
            (None, "unknown", "unknown"),
        ] {
            assert_eq!((money(amount).as_str(), signed(amount).as_str()), (plain, with_sign));
        }
        assert_eq!((cores(0.25), cores(1.5), cores(0.0)), ("250m".into(), "1.50".into(), "0.00".into()));
        assert_eq!((gib(0.25), gib(1.25), gib(16.0)), ("256Mi".into(), "1.25Gi".into(), "16Gi".into()));
    }
}
