//! The rules of an HTTPRoute of the Gateway API, with a canary in the same object: weights, or a rule of its own that
//! matches a header (pure).

use serde_json::{Value, json};

use super::ingress::list;
use super::place::{Backend, Place};
use super::split::Split;
use crate::error::ToolError;
use crate::object::{items, number, text};

/// The hosts that it names.
pub(super) fn hosts(route: &Value) -> Vec<String> {
    items(route, "/spec/hostnames").iter().filter_map(|h| Some(h.as_str()?.to_string())).collect()
}

/// The path of a match; `None` for a match by regular expression.
fn path(of: &Value) -> Option<&str> {
    match (text(of, "/path/type"), text(of, "/path/value")) {
        ("RegularExpression", _) => None,
        (_, "") => Some("/"),
        (_, path) => Some(path),
    }
}

/// A match by path alone, which serves everybody.
fn is_plain(of: &Value) -> bool {
    ["headers", "queryParams", "method"].iter().all(|by| of.get(by).is_none())
}

/// The paths that are served for everybody.
pub(super) fn paths(route: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for rule in items(route, "/spec/rules") {
        let matches = items(rule, "/matches");
        if matches.is_empty() {
            found.push("/".to_string());
        }
        found.extend(matches.iter().filter(|m| is_plain(m)).filter_map(path).map(Into::into));
    }
    found
}

/// Makes the plain match of a path the only one of its rule, which changes nothing, and gives the rule's place.
fn alone(rules: &mut Vec<Value>, at: &str) -> Option<usize> {
    for index in 0..rules.len() {
        let matches = items(&rules[index], "/matches").to_vec();
        if matches.is_empty() && at == "/" {
            return Some(index);
        }
        let Some(found) = matches.iter().position(|m| is_plain(m) && path(m) == Some(at)) else { continue };
        if matches.len() > 1 {
            let mut own = rules[index].clone();
            own["matches"] = json!([matches[found]]);
            if let Some(map) = own.as_object_mut() {
                map.shift_remove("name");
            }
            if let Some(left) = rules[index].pointer_mut("/matches").and_then(Value::as_array_mut) {
                left.remove(found);
            }
            rules.insert(index, own);
        }
        return Some(index);
    }
    None
}

/// The rules that match one header beside the path: canaries of that path.
fn by_header(rules: &[Value], at: &str) -> Vec<usize> {
    let is = |rule: &Value| match items(rule, "/matches") {
        [one] => {
            path(one) == Some(at) && items(one, "/headers").len() == 1 && one.get("queryParams").is_none()
        }
        _ => false,
    };
    rules.iter().enumerate().filter(|(_, rule)| is(rule)).map(|(index, _)| index).collect()
}

/// A reference as people write it: `web:80`.
pub(super) fn said(backend: &Value) -> String {
    match number(backend, "/port") {
        Some(port) => format!("{}:{port}", text(backend, "/name")),
        None => text(backend, "/name").into(),
    }
}

/// The references of the rule of a path.
fn references<'a>(route: &'a Value, at: &str) -> &'a [Value] {
    let rules = items(route, "/spec/rules");
    let serves = |rule: &&Value| {
        let matches = items(rule, "/matches");
        matches.is_empty() && at == "/" || matches.iter().any(|m| is_plain(m) && path(m) == Some(at))
    };
    rules.iter().find(serves).map_or(&[], |rule| items(rule, "/backendRefs"))
}

/// The main reference of a path: the first.
pub(super) fn main<'a>(route: &'a Value, at: &str) -> Option<&'a Value> {
    references(route, at).first()
}

/// The canary's reference, in a rule of its own or as the last of the weighted ones.
pub(super) fn canary(route: &Value, at: &str) -> Option<Value> {
    let rules = items(route, "/spec/rules");
    let own = by_header(rules, at).first().and_then(|index| rules[*index].pointer("/backendRefs/0"));
    own.or_else(|| match references(route, at) {
        [_, canary] => Some(canary),
        _ => None,
    })
    .cloned()
}

/// A reference led to another backend; filters on it stay.
fn led(reference: Option<&Value>, to: &Backend) -> Value {
    let mut after = reference.filter(|r| r.is_object()).cloned().unwrap_or_else(|| json!({}));
    after["name"] = json!(to.service);
    after["port"] = json!(to.port);
    if let Some(map) = after.as_object_mut() {
        for other in ["namespace", "weight"] {
            map.shift_remove(other);
        }
        if map.get("kind").is_some_and(|kind| kind != "Service") {
            map.shift_remove("kind");
            map.shift_remove("group");
        }
    }
    after
}

/// Whether a path leads to that backend and to no other.
pub(super) fn leads_to(route: &Value, at: &str, backend: &Backend) -> bool {
    match references(route, at) {
        [one] => said(one) == backend.to_string() && one.get("namespace").is_none(),
        _ => false,
    }
}

/// The route with a path led to a backend, and to no other.
pub(super) fn set(route: &Value, at: &str, backend: &Backend) -> Value {
    let mut after = route.clone();
    let rules = list(&mut after, "rules");
    match alone(rules, at) {
        Some(index) => {
            let first = rules[index].pointer("/backendRefs/0").cloned();
            rules[index]["backendRefs"] = json!([led(first.as_ref(), backend)]);
        }
        None => rules.push(json!({
            "matches": [{"path": {"type": "PathPrefix", "value": at}}],
            "backendRefs": [led(None, backend)],
        })),
    }
    after
}

/// The route without a path and its canary; `None` when it leads nowhere any more.
pub(super) fn without(route: &Value, at: &str) -> Option<Value> {
    let mut after = abort(route, at);
    let rules = list(&mut after, "rules");
    if let Some(index) = alone(rules, at) {
        rules.remove(index);
    }
    (!rules.is_empty()).then_some(after)
}

/// The route without the canary of a path: all of it goes where the most of it went.
pub(super) fn abort(route: &Value, at: &str) -> Value {
    let mut after = route.clone();
    let rules = list(&mut after, "rules");
    for index in by_header(rules, at).into_iter().rev() {
        rules.remove(index);
    }
    if references(route, at).len() == 2
        && let Some(index) = alone(rules, at)
    {
        let mut first = rules[index]["backendRefs"][0].clone();
        if let Some(map) = first.as_object_mut() {
            map.shift_remove("weight");
        }
        rules[index]["backendRefs"] = json!([first]);
    }
    after
}

/// The route with its canary's backend for everybody.
pub(super) fn promote(route: &Value, at: &str) -> Option<Value> {
    let mut winner = canary(route, at)?;
    if let Some(map) = winner.as_object_mut() {
        map.shift_remove("weight");
    }
    let mut after = abort(route, at);
    let rules = list(&mut after, "rules");
    let index = alone(rules, at)?;
    rules[index]["backendRefs"] = json!([winner]);
    Some(after)
}

fn by_hand(message: String) -> ToolError {
    ToolError::Refused { message, hint: "Change the HTTPRoute by hand, with `apply`.".into() }
}

/// A rule that matches a header may be somebody's own; of several, nobody knows which is the canary.
pub(super) fn one_canary(route: &Value, at: &Place) -> Result<(), ToolError> {
    if by_header(items(route, "/spec/rules"), &at.path).len() > 1 {
        return Err(by_hand(format!(
            "{at} has several rules that match a header: which is the canary is not known"
        )));
    }
    Ok(())
}

/// The route with a canary for a path, in place of the one that it may have.
///
/// # Errors
/// When the path leads to more than a main backend and a canary, or has several rules that match a header.
pub(super) fn with_canary(
    route: &Value,
    at: &Place,
    backend: &Backend,
    split: &Split,
) -> Result<Value, ToolError> {
    let refused = |message: String| Err(by_hand(message));
    if references(route, &at.path).len() > 2 {
        return refused(format!("{at} leads to more than two backends already"));
    }
    one_canary(route, at)?;
    let mut after = abort(route, &at.path);
    let rules = list(&mut after, "rules");
    let Some(index) = alone(rules, &at.path) else { return refused(format!("{at} has no rule of its own")) };
    let Some(first) = rules[index].pointer("/backendRefs/0").cloned() else {
        return refused(format!("the rule of {at} leads to no backend"));
    };
    let mut second = led(Some(&first), backend);
    match (split.header_match(), split) {
        (Some(header), _) => {
            let mut own = rules[index].clone();
            let mut match_ = own
                .pointer("/matches/0")
                .cloned()
                .unwrap_or_else(|| json!({"path": {"type": "PathPrefix", "value": "/"}}));
            match_["headers"] = json!([header]);
            own["matches"] = json!([match_]);
            own["backendRefs"] = json!([second]);
            if let Some(map) = own.as_object_mut() {
                map.shift_remove("name");
            }
            rules.insert(index, own);
        }
        (None, Split::Weight(weight)) => {
            let mut first = first;
            first["weight"] = json!(100 - weight);
            second["weight"] = json!(weight);
            rules[index]["backendRefs"] = json!([first, second]);
        }
        (None, _) => {}
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Value {
        json!({"spec": {"hostnames": ["shop.example.com"], "parentRefs": [{"name": "gw"}], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}, {"path": {"type": "PathPrefix", "value": "/api"}}],
                "filters": [{"type": "X"}], "backendRefs": [{"name": "web", "port": 80, "group": "", "kind": "Service", "weight": 1}]},
            {"matches": [{"path": {"type": "Exact", "value": "/old"}}], "backendRefs": [{"name": "old", "port": 1}]}]}})
    }

    fn next() -> Backend {
        Backend { service: "web-v2".into(), port: 80 }
    }

    fn at(path: &str) -> Place {
        Place { host: "shop.example.com".into(), path: path.into() }
    }

    /// `matches -> backends` of each rule.
    fn told(route: &Value) -> Vec<String> {
        let one = |rule: &Value| {
            let matches: Vec<String> = items(rule, "/matches")
                .iter()
                .map(|m| format!("{}{}", path(m).unwrap(), if is_plain(m) { "" } else { "+header" }))
                .collect();
            let backends: Vec<String> = items(rule, "/backendRefs")
                .iter()
                .map(|b| format!("{}*{}", text(b, "/name"), number(b, "/weight").unwrap_or(1)))
                .collect();
            format!("{} -> {}", matches.join(","), backends.join(","))
        };
        items(route, "/spec/rules").iter().map(one).collect()
    }

    #[test]
    fn a_path_gets_a_rule_of_its_own_and_all_others_stay() {
        assert_eq!(paths(&shop()), ["/", "/api", "/old"]);
        assert_eq!(told(&set(&shop(), "/api", &next())), ["/api -> web-v2*1", "/ -> web*1", "/old -> old*1"]);
        assert_eq!(told(&set(&shop(), "/new", &next()))[2], "/new -> web-v2*1");
        assert!(leads_to(&shop(), "/old", &Backend { service: "old".into(), port: 1 }));
        assert_eq!(told(&without(&shop(), "/old").unwrap()), ["/,/api -> web*1"]);
        let bare = json!({"spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}});
        assert_eq!((paths(&bare), without(&bare, "/")), (vec!["/".to_string()], None));
    }

    #[test]
    fn a_weighted_canary_is_promoted_or_aborted() {
        let split = with_canary(&shop(), &at("/"), &next(), &Split::Weight(10)).unwrap();
        assert_eq!(told(&split), ["/ -> web*90,web-v2*10", "/api -> web*1", "/old -> old*1"]);
        let more = with_canary(&split, &at("/"), &next(), &Split::Weight(50)).unwrap();
        assert_eq!(told(&more)[0], "/ -> web*50,web-v2*50");
        assert_eq!(told(&promote(&more, "/").unwrap())[0], "/ -> web-v2*1");
        assert_eq!(told(&abort(&more, "/"))[0], "/ -> web*1");
        assert_eq!(canary(&shop(), "/"), None);
        assert_eq!(promote(&shop(), "/"), None);
    }

    #[test]
    fn a_canary_by_cookie_is_a_rule_before_the_main_one() {
        let split = with_canary(&shop(), &at("/"), &next(), &Split::Cookie("beta".into())).unwrap();
        assert_eq!(told(&split), ["/+header -> web-v2*1", "/ -> web*1", "/api -> web*1", "/old -> old*1"]);
        let own = &split["spec"]["rules"][0];
        assert_eq!(own["filters"], shop()["spec"]["rules"][0]["filters"], "what is done to requests stays");
        assert_eq!(own["matches"][0]["headers"][0]["value"], r"(^|;\s*)beta=always(;|$)");
        assert_eq!(said(&canary(&split, "/").unwrap()), "web-v2:80");
        let weighted = with_canary(&split, &at("/"), &next(), &Split::Weight(1)).unwrap();
        assert_eq!(told(&weighted)[0], "/ -> web*99,web-v2*1", "one canary, not two");
        assert_eq!(told(&promote(&split, "/").unwrap())[0], "/ -> web-v2*1");
        assert_eq!(told(&abort(&split, "/"))[0], "/ -> web*1");
    }

    #[test]
    fn what_is_not_a_canary_is_not_taken_for_one() {
        let mut three = shop();
        three["spec"]["rules"][1]["backendRefs"] = json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]);
        assert!(with_canary(&three, &at("/old"), &next(), &Split::Weight(1)).is_err());
        assert_eq!(canary(&three, "/old"), None);
        assert_eq!(told(&abort(&three, "/old")), told(&three));
    }
}
