//! What a program is refused: by the API server, held against what that says of its service account; by another program,
//! since a password was changed.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::model::{Binding, Container, Pod};
use crate::rules::Case;
use crate::snapshot::Ask;

/// The causes of this family.
pub const CAUSES: &[Cause] = &[DENIED, DANGLING, ROTATED];

const DENIED: Cause = Cause::fault(
    "rbac-denied",
    2,
    "A service account may not do what the program that runs as it tries to do.",
);

const DANGLING: Cause = Cause::fault(
    "rolebinding-dangling",
    3,
    "A binding that should let a program do something names a role that does not exist.",
);
const ROTATED: Cause = Cause::fault(
    "secret-rotated-stale-env",
    3,
    "A Secret was changed after a container had read it into its variables, and the old value is refused.",
);

/// Words of a login that was refused.
const REFUSED_LOGIN: [&str; 8] = [
    "password authentication failed",
    "authentication failed",
    "access denied for user",
    "wrongpass",
    "invalid username-password",
    "invalid credentials",
    "login failed",
    "401 unauthorized",
];

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
    if let Some((binding, kind)) = dangling(engine, said.namespace, namespace, account) {
        let object = Object::of(kind, &binding.metadata);
        let role = &binding.role_ref;
        let says = format!(
            "gives service account {account} {} {}, which does not exist, so that {} may not {} {} {place}",
            role.kind,
            role.name,
            engine.index.maker(case.pod),
            said.verb,
            said.resource
        );
        let finding = Finding::new(&DANGLING, object.clone(), says)
            .seen(object, "roleRef", format!("{} {}", role.kind, role.name))
            .seen(Object::pod(case.pod), format!("log of {}", case.container.name), line.trim().to_owned())
            .fix(Fix::advice(format!(
                "create {} {}, or make the binding anew with one that exists: its roleRef cannot be changed",
                role.kind, role.name
            )));
        return engine.root(finding);
    }
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

/// A binding of that account, where the refusal was, to a role that is not there.
fn dangling<'a>(
    engine: &Engine<'a>,
    place: &str,
    namespace: &str,
    account: &str,
) -> Option<(&'a Binding, &'static str)> {
    let snap = engine.snap;
    let is_its = |b: &Binding| {
        b.subjects.iter().any(|s| {
            let of = if s.namespace.is_empty() { &b.metadata.namespace } else { &s.namespace };
            s.kind == "ServiceAccount" && s.name == account && of == namespace
        })
    };
    let is_absent = |b: &Binding| match b.role_ref.kind.as_str() {
        "Role" => snap.roles.find(&b.metadata.namespace, &b.role_ref.name).is_absent(),
        "ClusterRole" => snap.cluster_roles.find("", &b.role_ref.name).is_absent(),
        _ => false,
    };
    let here = if place.is_empty() { &[][..] } else { snap.role_bindings.of(place) };
    let all = here.iter().map(|b| (b, "rolebinding"));
    let all = all.chain(snap.cluster_role_bindings.items.iter().map(|b| (b, "clusterrolebinding")));
    all.into_iter().find(|(b, _)| is_its(b) && is_absent(b))
}

/// A container that runs since before a Secret in its variables was changed, and whose login is refused now. One that is
/// started again reads the new value, so that this explains no crash.
pub fn rotated<'a>(engine: &mut Engine<'a>, case: &Case<'a>, log: &str) -> Roots {
    let Some(started) = case.status.state.running.as_ref().and_then(|r| r.started_at.0) else {
        return Roots::new();
    };
    let Some(line) = refused_login(log) else { return Roots::new() };
    let container = case.container;
    let late = secrets_written(engine, case).filter(|(at, ..)| *at > started);
    let Some((at, name, _)) = late.max() else { return Roots::new() };
    let maker = engine.index.maker(case.pod);
    let secret = Object::new("secret", &case.pod.metadata.namespace, name);
    let says = format!(
        "secret {name} was changed at {at}, container {} still has the value of before in its variables, and its login is refused",
        container.name
    );
    let finding = Finding::new(&ROTATED, maker.clone(), says)
        .which(name)
        .seen(secret, "metadata.managedFields", at.to_string())
        .seen(Object::pod(case.pod), format!("log of {}", container.name), line.trim().to_owned())
        .since(crate::model::Moment(Some(at)))
        .likely("a restart: a container that starts now reads the present value")
        .fix(Fix::call(
            format!("restart {maker}, so that it reads secret {name} again"),
            "rollout",
            json!({"action": "restart", "workload": maker.to_string(), "namespace": maker.namespace}),
        ));
    engine.root(finding)
}

/// A container that reads the present value of a Secret at its start, and whose login is refused, while somebody runs on
/// with the value of before: the server that it logs in at, or pods of its own kind that still are let in.
pub fn refused_since<'a>(engine: &mut Engine<'a>, case: &Case<'a>, log: &str) -> Roots {
    let state = case.status;
    let runs = [&state.state.terminated, &state.last_state.terminated].into_iter().flatten().next();
    let Some(started) = runs.and_then(|t| t.started_at.0) else { return Roots::new() };
    let Some(line) = refused_login(log) else { return Roots::new() };
    let namespace = &case.pod.metadata.namespace;
    let before = secrets_written(engine, case).filter(|(at, ..)| *at < started);
    let Some((at, name, by)) = before.max() else { return Roots::new() };
    let me = engine.index.maker(case.pod);
    let stale = |pod: &Pod| {
        pod.containers().any(|(container, status, _)| {
            let began = status.and_then(|s| s.state.running.as_ref()?.started_at.0);
            began.is_some_and(|b| b < at) && secrets_in_variables(container).any(|n| n == name)
        })
    };
    let holders: Vec<Object> =
        engine.snap.pods.of(namespace).iter().filter(|p| stale(p)).map(|p| engine.index.maker(p)).collect();
    let secret = Object::new("secret", namespace, name);
    let finding = match (holders.iter().find(|h| **h != me), holders.is_empty()) {
        (_, true) => return Roots::new(),
        (Some(server), _) => Finding::new(
            &ROTATED,
            server.clone(),
            format!("runs since before secret {name} was changed by {by}, and {me}, which has the new value, is refused"),
        )
        .fix(Fix::advice(format!(
            "bring the earlier value of secret {name} back, or set the new one in {server} itself; restart it only where it reads the value at each start"
        ))),
        (None, _) => Finding::new(
            &ROTATED,
            secret.clone(),
            format!("was changed by {by}, and what of {me} has started since is refused; what runs since before is not"),
        )
        .fix(Fix::advice(format!(
            "bring the earlier value of secret {name} back, or let the new one in where {me} logs in"
        ))),
    };
    let finding = finding
        .which(name)
        .seen(secret, "metadata.managedFields", at.to_string())
        .seen(Object::pod(case.pod), format!("log of {}", case.container.name), line.trim().to_owned())
        .since(crate::model::Moment(Some(at)))
        .likely("whether the value of before is let in");
    engine.root(finding)
}

/// The last line that speaks of a refused login.
fn refused_login(log: &str) -> Option<&str> {
    log.lines().rev().find(|l| REFUSED_LOGIN.iter().any(|w| l.to_lowercase().contains(w)))
}

/// When each Secret in the variables of a container was written last, its name, and by whom.
fn secrets_written<'a>(
    engine: &Engine<'a>,
    case: &Case<'a>,
) -> impl Iterator<Item = (jiff::Timestamp, &'a str, &'a str)> {
    let (snap, namespace) = (engine.snap, case.pod.metadata.namespace.as_str());
    secrets_in_variables(case.container).filter_map(move |name| {
        let secret = snap.secrets.find(namespace, name).found()?;
        Some((secret.metadata.written.at.0?, name, &*secret.metadata.written.by))
    })
}

/// The Secrets that a container has in its variables: what it has read at its start stays.
fn secrets_in_variables(container: &Container) -> impl Iterator<Item = &str> {
    let keys = container.env.iter().filter_map(|e| e.value_from.as_ref()?.secret_key_ref.as_ref());
    let whole = container.env_from.iter().filter_map(|f| f.secret_ref.as_ref());
    keys.map(|k| k.name.as_str()).chain(whole.map(|w| w.name.as_str()))
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
