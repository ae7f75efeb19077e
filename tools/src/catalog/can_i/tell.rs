//! Rights in words and tables: a yes with its source, a no, or all of them in few rows (pure).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Answered;
use super::asked::{Check, shown};
use super::rbac::{Grant, Roles, Rule, Slip};
use super::subject::Subject;
use crate::object::{items, text};
use crate::redact;
use crate::report::{Block, MODEL_ROWS, Report, Table};
use crate::sanitize;

/// Resources that stand in one row of a table.
const IN_A_ROW: usize = 6;
/// What every user may read, whoever they are.
const DISCOVERY: [&str; 10] = [
    "/openid",
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/openapi",
    "/readyz",
    "/version",
    "/.well-known",
    "/swagger",
];

/// Who is asked about, and where.
pub(super) struct Place<'a> {
    pub who: String,
    /// `None`: in all namespaces.
    pub namespace: Option<&'a str>,
}

impl Place<'_> {
    fn of(&self, check: &Check) -> String {
        match (check.namespaced, check.namespace.as_str()) {
            _ if check.resource.starts_with('/') => String::new(),
            (false, _) => " in the whole cluster".into(),
            (true, "") => " in all namespaces".into(),
            (true, namespace) => format!(" in {namespace}"),
        }
    }

    fn everywhere(&self) -> String {
        self.namespace.map_or(" in all namespaces".into(), |n| format!(" in {n}"))
    }
}

fn safe(text: &str) -> String {
    redact::text(&sanitize::line(text))
}

/// What the API server answered.
pub(super) fn answers(place: &Place<'_>, answers: &[Answered]) -> Report {
    let mut report = Report::default();
    for one in answers {
        let word = if one.allowed { "Yes" } else { "No" };
        let may = if one.allowed { "may" } else { "may not" };
        let reason = match (one.reason.trim(), one.allowed) {
            ("", true) | ("", false) => String::new(),
            (reason, _) => format!(" {}.", safe(reason.trim_end_matches('.'))),
        };
        let (who, what, at) = (&place.who, one.check.said(), place.of(&one.check));
        report.say.push(format!("{word}: {who} {may} {what}{at}.{reason}"));
    }
    report.data = json!({"who": place.who, "namespace": place.namespace, "checks": answers.iter().map(|a| json!({
        "verb": a.check.verb, "resource": a.check.what(), "name": a.check.name, "allowed": a.allowed, "reason": safe(&a.reason),
    })).collect::<Vec<_>>()});
    report
}

/// Why a no may be a mistake, one line each.
pub(super) fn slips(answered: &[Answered], roles: &Roles, subject: &Subject) -> Vec<String> {
    const MOST: usize = 3;
    let refused = answered.iter().filter(|a| !a.allowed);
    let all =
        refused.flat_map(|a| roles.slips(&a.check, subject).into_iter().map(move |s| slip(&a.check, &s)));
    let mut said: Vec<String> = all.collect();
    said.dedup();
    said.truncate(MOST);
    said
}

/// The commonest mistake in a role: it names the resource, in a group that does not have it.
fn slip(check: &Check, slip: &Slip) -> String {
    let called = |group: &str| match group {
        "" => "the core group".to_string(),
        group => format!("the group {group}"),
    };
    let named = match slip.groups.as_slice() {
        [] => "no group".to_string(),
        groups => groups.iter().map(|g| called(g)).collect::<Vec<_>>().join(" and "),
    };
    let resource = match check.subresource.as_str() {
        "" => check.resource.clone(),
        sub => format!("{}/{sub}", check.resource),
    };
    safe(&format!(
        "{} names {resource} in {named}, and that is in {}: its rule needs apiGroups [\"{}\"].",
        slip.source,
        called(&check.group),
        check.group
    ))
}

/// The same from roles and bindings alone, where the API server may not be asked about others.
pub(super) fn by_roles(place: &Place<'_>, checks: &[Check], roles: &Roles, subject: &Subject) -> Report {
    let answered: Vec<Answered> = checks
        .iter()
        .map(|check| {
            let grant = roles.giving(check).find(|g| g.is_for(subject));
            let reason = grant.map(|g| format!("By {}", g.source())).unwrap_or_default();
            Answered { check: check.clone(), allowed: grant.is_some(), reason }
        })
        .collect();
    let mut report = answers(place, &answered);
    report.say.extend(slips(&answered, roles, subject));
    report.say.push("This was told from the roles and bindings; other authorizers were not asked.".into());
    report.say.extend(roles.blind());
    report.say.extend(subject.caveat().map(String::from));
    report
}

/// Everybody who may do something.
pub(super) fn who_may(place: &Place<'_>, checks: &[Check], roles: &Roles) -> Report {
    let mut report = Report::default();
    let mut data = Vec::new();
    for check in checks {
        let mut table = Table::new(check.said(), &["WHO", "BY", "WHERE"]);
        let mut rows = BTreeSet::new();
        for grant in roles.giving(check) {
            for subject in &grant.subjects {
                rows.insert([named(subject), grant.source(), scope(grant)]);
            }
        }
        let count = rows.iter().map(|[who, ..]| who).collect::<BTreeSet<_>>().len();
        report.say.push(format!(
            "{} may {}{}.",
            match count {
                0 => "Nobody that the roles name".into(),
                1 => "1 user, group or service account".into(),
                n => format!("{n} users, groups and service accounts"),
            },
            check.said(),
            place.of(check)
        ));
        data.push(
            json!({"verb": check.verb, "resource": check.what(), "who": rows.iter().map(|[who, by, at]| {
            json!({"who": safe(who), "by": safe(by), "where": at})
        }).collect::<Vec<_>>()}),
        );
        let all = rows.len();
        rows.into_iter().take(MODEL_ROWS).for_each(|row| table.push(row));
        if all > MODEL_ROWS {
            table.more = format!("{} more, name a namespace or an object", all - MODEL_ROWS);
        }
        if !table.rows.is_empty() {
            report.blocks.push(Block::Table(table));
        }
    }
    report.say.extend(roles.blind());
    report.data = json!({"namespace": place.namespace, "checks": data});
    report
}

fn named(subject: &Value) -> String {
    let name = text(subject, "/name");
    match (text(subject, "/kind"), text(subject, "/namespace")) {
        ("ServiceAccount", namespace) => format!("serviceaccount/{name} of {namespace}"),
        (kind, _) => format!("{}/{name}", kind.to_lowercase()),
    }
}

fn scope(grant: &Grant) -> String {
    grant.scope.clone().unwrap_or_else(|| "everywhere".into())
}

/// One's own rights, as the API server lists them.
pub(super) fn own_rules(place: &Place<'_>, answer: &Value, only: Option<&Check>) -> Report {
    let mut rules: Vec<Rule> = items(answer, "/status/resourceRules").iter().map(Rule::of).collect();
    rules.extend(items(answer, "/status/nonResourceRules").iter().map(Rule::of));
    let sourced: Vec<(&Rule, String)> = rules.iter().map(|r| (r, String::new())).collect();
    let mut report = listed(place, &sourced, only);
    if answer.pointer("/status/incomplete").and_then(Value::as_bool) == Some(true) {
        let why = match text(answer, "/status/evaluationError") {
            "" => String::new(),
            error => format!(": {}", safe(error)),
        };
        report.say.push(format!("The API server says that this list may not be complete{why}."));
    }
    report
}

/// The rights of somebody else, with the role and the binding that give each.
pub(super) fn rules(place: &Place<'_>, roles: &Roles, subject: &Subject, only: Option<&Check>) -> Report {
    let grants: Vec<&Grant> = roles.grants.iter().filter(|g| g.is_for(subject)).collect();
    let sourced: Vec<(&Rule, String)> = grants
        .iter()
        .flat_map(|g| {
            let at = match (&g.scope, place.namespace) {
                (Some(scope), None) => format!(" in {scope}"),
                _ => String::new(),
            };
            g.rules.iter().map(move |r| (r, format!("{}{at}", g.source())))
        })
        .collect();
    let mut report = listed(place, &sourced, only);
    report.say.extend(roles.blind());
    report.say.extend(subject.caveat().map(String::from));
    let dangling: Vec<String> = roles.dangling.iter().take(3).map(|d| safe(d)).collect();
    if !dangling.is_empty() {
        report.say.push(format!("Bindings without their role give nothing: {}.", dangling.join("; ")));
    }
    report
}

/// What a row stands for: the verbs, the object names, and where it comes from.
type Row = (Vec<String>, Vec<String>, String);

/// Rules as a table of few rows: what has the same verbs stands together.
fn listed(place: &Place<'_>, rules: &[(&Rule, String)], only: Option<&Check>) -> Report {
    // All verbs on a resource first, however many rules they are spread over.
    let mut verbs: BTreeMap<(String, Vec<String>, String), BTreeSet<String>> = BTreeMap::new();
    for (rule, source) in rules {
        for what in subjects_of(rule, only) {
            let names = rule.names.clone();
            verbs.entry((what, names, source.clone())).or_default().extend(rule.verbs.iter().cloned());
        }
    }
    let mut rows: BTreeMap<Row, Vec<String>> = BTreeMap::new();
    for ((what, names, source), verbs) in verbs {
        rows.entry((in_order(verbs), names, source)).or_default().push(what);
    }
    let mut rows: Vec<(Row, Vec<String>)> = rows.into_iter().collect();
    rows.sort_by_key(|((verbs, names, _), what)| {
        (
            !what.iter().any(|w| w == "everything"),
            !names.is_empty(),
            std::cmp::Reverse(verbs.len()),
            what.clone(),
        )
    });
    let about = only.map(|c| format!(" with {}", c.what())).unwrap_or_default();
    let mut report = Report::default();
    let at = place.everywhere();
    let everything = rows.iter().any(|((verbs, names, _), what)| {
        verbs.iter().any(|v| v == "*") && names.is_empty() && what.iter().any(|w| w == "everything")
    });
    report.say.push(match (rows.is_empty(), everything) {
        (true, _) => format!("{} may do nothing{about}{at} beyond what every user may.", capital(&place.who)),
        (_, true) => format!("{} may do everything{about}{at}.", capital(&place.who)),
        _ => format!("What {} may do{about}{at}:", place.who),
    });
    let has_names = rows.iter().any(|((_, names, _), _)| !names.is_empty());
    let has_source = rows.iter().any(|((.., source), _)| !source.is_empty());
    let mut columns = vec!["ON", "VERBS"];
    columns.extend(has_names.then_some("ONLY NAMED"));
    columns.extend(has_source.then_some("BY"));
    let mut table = Table::new("", &columns);
    let mut all = 0;
    for ((verbs, names, source), what) in &rows {
        for chunk in what.chunks(IN_A_ROW) {
            all += 1;
            if table.rows.len() < MODEL_ROWS {
                let mut row = vec![chunk.join(", "), verb_list(verbs)];
                row.extend(has_names.then(|| names.join(", ")));
                row.extend(has_source.then(|| source.clone()));
                table.push(row);
            }
        }
    }
    if all > MODEL_ROWS {
        table.more = format!("{} more rows, narrow with resource", all - MODEL_ROWS);
    }
    let verbs_said = |word: &str| table.rows.iter().any(|r| r[1].split(", ").any(|v| v == word));
    let short: Vec<String> = [("read", READ.as_slice()), ("write", WRITE.as_slice())]
        .iter()
        .filter(|(word, _)| verbs_said(word))
        .map(|(word, all)| format!("{word}: {}", all.join(", ")))
        .collect();
    if !short.is_empty() {
        report.say.push(format!("({})", short.join("; ")));
    }
    report.data = json!({"who": place.who, "namespace": place.namespace, "rules": rows.iter().map(|((verbs, names, source), what)| {
        json!({"on": what.iter().map(|w| safe(w)).collect::<Vec<_>>(), "verbs": verbs, "names": names, "by": safe(source)})
    }).collect::<Vec<_>>()});
    if !table.rows.is_empty() {
        report.blocks.push(Block::Table(table));
    }
    report
}

/// What a rule is about, one by one, without what every user may do; only that, and its subresources, where asked.
fn subjects_of(rule: &Rule, only: Option<&Check>) -> Vec<String> {
    let is_usual = |r: &str| r.starts_with("selfsubject");
    let mut all = Vec::new();
    let wanted = |group: &str, resource: &str| {
        only.is_none_or(|check| {
            let one = |resource: &str| Rule {
                groups: vec![group.into()],
                resources: vec![resource.into()],
                ..Rule::default()
            };
            let base = resource.split('/').next().unwrap_or(resource);
            one(resource).is_about(check) || (check.subresource.is_empty() && one(base).is_about(check))
        })
    };
    for resource in rule.resources.iter().filter(|r| !is_usual(r)) {
        all.extend(rule.groups.iter().filter(|g| wanted(g, resource)).map(|group| shown(group, resource)));
    }
    if only.is_some() {
        return all;
    }
    let is_discovery = |url: &str| {
        let start = url.trim_end_matches(['*', '/']);
        DISCOVERY.iter().any(|d| start == *d || start.starts_with(&format!("{d}/")))
    };
    all.extend(
        rule.urls
            .iter()
            .filter(|u| !is_discovery(u))
            .map(|u| if u == "*" { "every path".to_string() } else { format!("path {u}") }),
    );
    all
}

fn in_order(verbs: BTreeSet<String>) -> Vec<String> {
    const ORDER: [&str; 8] =
        ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    if verbs.contains("*") {
        return vec!["*".into()];
    }
    let mut verbs: Vec<String> = verbs.into_iter().collect();
    verbs.sort_by_key(|v| ORDER.iter().position(|o| o == v).unwrap_or(ORDER.len()));
    verbs
}

/// What `read` and `write` stand for in a table.
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

fn verb_list(verbs: &[String]) -> String {
    if verbs == ["*"] {
        return "all verbs".into();
    }
    let mut left: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let mut said = Vec::new();
    for (word, all) in [("read", READ.as_slice()), ("write", WRITE.as_slice())] {
        if all.iter().all(|v| left.contains(v)) {
            left.retain(|v| !all.contains(v));
            said.push(word);
        }
    }
    said.extend(left);
    said.join(", ")
}

/// A sentence that begins with somebody: a name stays as it is written.
fn capital(who: &str) -> String {
    who.strip_prefix("you").map_or_else(|| who.to_string(), |rest| format!("You{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { who: "you (alice)".into(), namespace: Some("todo") }
    }

    fn own(rules: Value) -> Report {
        own_rules(
            &place(),
            &json!({"status": {"resourceRules": rules, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api/*", "/version/", "/healthz"]}]}}),
            None,
        )
    }

    #[test]
    fn rights_are_few_rows() {
        let report = own(json!([
            {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]},
            {"apiGroups": [""], "resources": ["services"], "verbs": ["watch"]},
            {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["tls"], "verbs": ["get"]},
        ]));
        let Block::Table(table) = &report.blocks[0] else { panic!() };
        assert_eq!(
            table.rows,
            [
                ["pods, services", "read", ""],
                ["deployments.apps/scale", "patch", ""],
                ["secrets", "get", "tls"],
            ]
        );
        assert_eq!(report.say, ["What you (alice) may do in todo:", "(read: get, list, watch)"]);
    }

    #[test]
    fn one_resource_is_taken_out_of_its_rules() {
        let answer = json!({"status": {"resourceRules": [
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "deployments/scale"], "verbs": ["get"]},
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["watch"]},
        ], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]}});
        let only = Check { group: "apps".into(), resource: "deployments".into(), ..Check::default() };
        let report = own_rules(&place(), &answer, Some(&only));
        let Block::Table(table) = &report.blocks[0] else { panic!() };
        assert_eq!(
            table.rows,
            [["everything", "watch"], ["deployments.apps, deployments.apps/scale", "get"]]
        );
    }

    #[test]
    fn nothing_and_everything_are_said() {
        assert_eq!(own(json!([])).say, ["You (alice) may do nothing in todo beyond what every user may."]);
        let all = own(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
        assert_eq!(all.say, ["You (alice) may do everything in todo."]);
        let named =
            own(json!([{"apiGroups": ["*"], "resources": ["*"], "resourceNames": ["x"], "verbs": ["*"]}]));
        assert_eq!(named.say, ["What you (alice) may do in todo:"]);
    }

    #[test]
    fn an_incomplete_list_says_so() {
        let answer =
            json!({"status": {"resourceRules": [], "incomplete": true, "evaluationError": "webhook: no"}});
        let report = own_rules(&place(), &answer, None);
        assert_eq!(report.say[1], "The API server says that this list may not be complete: webhook: no.");
    }

    #[test]
    fn a_rule_in_the_wrong_group_is_told() {
        let check = |group: &str, resource: &str| Check {
            group: group.into(),
            resource: resource.into(),
            ..Check::default()
        };
        let wrong = |groups: &[&str]| Slip {
            source: "role/report-reader by rolebinding/ci".into(),
            groups: groups.iter().map(|g| (*g).to_string()).collect(),
        };
        assert_eq!(
            slip(&check("batch", "jobs"), &wrong(&[""])),
            "role/report-reader by rolebinding/ci names jobs in the core group, and that is in the group batch: \
             its rule needs apiGroups [\"batch\"]."
        );
        let core = slip(&check("", "pods"), &wrong(&["apps", "batch"]));
        assert!(
            core.contains("names pods in the group apps and the group batch, and that is in the core group"),
            "{core}"
        );
    }

    #[test]
    fn many_rights_are_cut_and_counted() {
        let rules: Vec<Value> = (0..300)
            .map(|i| json!({"apiGroups": [format!("g{i}.dev")], "resources": ["things"], "resourceNames": [format!("n{i}")], "verbs": ["get"]}))
            .collect();
        let Block::Table(table) = own(json!(rules)).blocks.remove(0) else { panic!() };
        assert_eq!((table.rows.len(), table.more.as_str()), (40, "260 more rows, narrow with resource"));
    }
}
