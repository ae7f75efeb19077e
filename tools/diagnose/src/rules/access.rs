//! Rights that a program's log says it lacks, held against what the API server says of its service account.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::rules::Case;
use crate::snapshot::Ask;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[DENIED];

const DENIED: Cause = Cause::fault(
    "rbac-denied",
    2,
    "A service account may not do what the program that runs as it tries to do.",
);

/// What a refusal says.
struct Refusal<'l> {
    user: &'l str,
    verb: &'l str,
    resource: &'l str,
    group: &'l str,
    namespace: &'l str,
}

/// Reads the API server's own words out of a line.
fn refusal(line: &str) -> Option<Refusal<'_>> {
    let (_, rest) = line.split_once("is forbidden: User ")?;
    let quoted = |text: &str, after: &str| -> Option<(usize, usize)> {
        let from = text.find(after)? + after.len();
        let tail = text.get(from..)?;
        let start = tail.find('"')? + 1;
        let end = tail.get(start..)?.find(['"', '\\'])?;
        Some((from + start, from + start + end))
    };
    let part = |after: &str| quoted(rest, after).and_then(|(a, b)| rest.get(a..b));
    let user = part("")?;
    let (_, verb) = rest.split_once(" cannot ")?;
    let verb = verb.split_whitespace().next()?;
    Some(Refusal {
        user: user.trim_matches('\\'),
        verb,
        resource: part(" resource ")?,
        group: part("API group ").unwrap_or(""),
        namespace: part("in the namespace ").unwrap_or(""),
    })
}

/// A container whose log says that the API server refused it.
pub fn denied<'a>(engine: &mut Engine<'a>, case: &Case<'a>, log: &str) -> Roots {
    let unescaped = log.replace("\\\"", "\"");
    let Some((line, said)) = unescaped.lines().rev().find_map(|l| refusal(l).map(|r| (l, r))) else {
        return Roots::new();
    };
    let Some((namespace, account)) =
        said.user.strip_prefix("system:serviceaccount:").and_then(|u| u.split_once(':'))
    else {
        return Roots::new();
    };
    let ask = Ask::Access {
        user: said.user.to_owned(),
        verb: said.verb.to_owned(),
        group: said.group.to_owned(),
        resource: said.resource.to_owned(),
        namespace: said.namespace.to_owned(),
    };
    let answer = engine.snap.evidence.access.get(&ask).copied();
    // It was given the right since.
    if answer == Some(true) {
        return Roots::new();
    }
    let place = if said.namespace.is_empty() {
        "in the whole cluster".to_owned()
    } else {
        format!("in {}", said.namespace)
    };
    let says = format!(
        "may not {} {} {place}, which {} needs",
        said.verb,
        said.resource,
        engine.index.maker(case.pod)
    );
    let finding = Finding::new(&DENIED, Object::new("serviceaccount", namespace, account), says)
        .which(format!("{} {}", said.verb, said.resource))
        .seen(Object::pod(case.pod), format!("log of {}", case.container.name), line.trim().to_owned())
        .fix(Fix::advice(format!(
            "bind a Role that allows {} on {} to service account {account}",
            said.verb, said.resource
        )));
    let finding = if answer.is_none() {
        engine.ask(ask);
        finding.observed()
    } else {
        finding
    };
    engine.root(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_words_are_read() {
        let line = r#"pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" in the namespace "c""#;
        let r = refusal(line).unwrap();
        assert_eq!(
            (r.user, r.verb, r.resource, r.group, r.namespace),
            ("system:serviceaccount:a:b", "list", "pods", "", "c")
        );
        assert!(refusal("is forbidden: User ").is_none());
    }
}
