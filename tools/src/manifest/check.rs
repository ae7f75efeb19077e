//! What is wrong with manifests, as far as that can be seen before the API server is asked: one family of checks a file.
//!
//! Every check is pure: it looks at the documents and at what is [`Known`] of the cluster, and says what it could not
//! look at. A finding says what is wrong, where, why it matters and what to do. Matters of taste are no findings.

mod access;
mod containers;
mod fields;
mod hosts;
mod ingress;
mod jobs;
mod names;
mod network;
mod nginx;
mod placement;
mod pod_security;
mod pods;
mod references;
mod removed;
mod routes;
mod scaling;
mod secrets;
mod services;
mod set;
mod storage;
mod workloads;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use set::Set;

use super::Document;
use super::known::{Ask, Known};
use crate::diff;
use crate::object::ObjectRef;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Works, but may harm.
    Warning,
    /// Does not work.
    Problem,
}

/// Something wrong with a manifest; texts are cleaned and secrets in them masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What kind of thing, such as `dangling-secret`: stable.
    pub check: &'static str,
    pub level: Level,
    pub object: ObjectRef,
    /// `file:line`.
    pub place: String,
    /// `spec.template.spec.containers[0].image`.
    pub path: String,
    /// What is wrong, and why it matters.
    pub says: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, place, path, says, fix, .. } = self;
        let gap = if path.is_empty() { "" } else { " " };
        let end = if fix.ends_with('?') { "" } else { "." };
        write!(f, "{place}: {object}{gap}{path}: {says}. {fix}{end}")
    }
}

/// What came of checking.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// In the order of the documents; of one document, problems first.
    pub findings: Vec<Finding>,
    /// What could not be looked at, a line each.
    pub blind: Vec<String>,
    /// What the checks would want to know besides: see [`super::known::known`].
    pub asks: BTreeSet<Ask>,
}

/// The families, in no special order: each looks at the whole set.
const FAMILIES: &[fn(&Set<'_>)] = &[
    removed::check,
    fields::check,
    names::check,
    references::check,
    services::check,
    workloads::check,
    jobs::check,
    ingress::check,
    nginx::check,
    routes::check,
    scaling::check,
    containers::check,
    storage::check,
    secrets::check,
    hosts::check,
    network::check,
    access::check,
    placement::check,
    pod_security::check,
];

/// What is said of something that a manifest leaves out. Of an object that exists it holds only when the object does not
/// have it either.
const OF_WHAT_IS_LEFT_OUT: [&str; 9] = [
    "missing-limit",
    "missing-request",
    "selector-mismatch",
    "probe-port",
    "undeclared-volume",
    "undeclared-target-port",
    "service-selects-nothing",
    "hpa-without-requests",
    "pod-security",
];

/// Checks documents, which may name things of each other.
pub fn check(documents: &[Document], known: &Known) -> Checked {
    let mut checked = alone(documents, known);
    let left_out = |f: &Finding| OF_WHAT_IS_LEFT_OUT.contains(&f.check);
    if known.lives.iter().any(|live| !live.is_null()) && checked.findings.iter().any(left_out) {
        let merged = alone(&whole(documents, &known.lives), known).findings;
        checked.findings = std::mem::take(&mut checked.findings)
            .into_iter()
            .filter_map(|found| if left_out(&found) { confirmed(found, &merged) } else { Some(found) })
            .collect();
    }
    checked
}

fn alone(documents: &[Document], known: &Known) -> Checked {
    let set = Set::new(documents, known);
    for family in FAMILIES {
        family(&set);
    }
    set.checked()
}

/// The documents as they will be, each laid over what the cluster has of it.
fn whole(documents: &[Document], lives: &[Value]) -> Vec<Document> {
    let mut documents = documents.to_vec();
    for (document, live) in documents.iter_mut().zip(lives).filter(|(_, live)| !live.is_null()) {
        let mut merged = diff::overlay(live, &document.value);
        // A selector is replaced as a whole.
        if let (Some(said), Some(selector)) =
            (document.value.pointer("/spec/selector"), merged.pointer_mut("/spec/selector"))
        {
            *selector = said.clone();
        }
        document.value = merged;
    }
    documents
}

/// A finding as it holds for the merged objects; none when it does not. Its place stays where the manifest has it.
fn confirmed(found: Finding, merged: &[Finding]) -> Option<Finding> {
    let mut same = merged.iter().filter(|f| f.check == found.check && f.object == found.object);
    let exact = same.clone().find(|f| f.says == found.says);
    let Finding { says, fix, level, .. } = exact.or_else(|| same.next())?.clone();
    Some(Finding { says, fix, level, ..found })
}
