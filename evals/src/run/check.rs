//! Facts about objects: whether they hold, now or after a while.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::api::Api;
use super::names::Names;
use super::scenario::{Check, Place, Right};
use super::stop;

/// How often a condition is looked at again.
const AGAIN: Duration = Duration::from_millis(250);

/// Why a check does not hold; none when it does, perhaps after a while.
///
/// # Errors
/// The object cannot be read.
pub fn unmet(api: &Api, check: &Check, names: &Names) -> Result<Option<String>> {
    let since = Instant::now();
    let (place, object) = (names.place(check.namespace.as_deref()), names.fill(&check.object));
    loop {
        let found = api.object(&place, &object)?;
        let value = found.as_ref().and_then(|o| o.pointer(&check.path)).cloned().unwrap_or(Value::Null);
        let Some(wanted) = lacks(&value, check, names) else { return Ok(None) };
        if since.elapsed() >= Duration::from_secs(check.within) {
            let shown: String = value.to_string().chars().take(300).collect();
            return Ok(Some(format!("{object}{} is {shown}, and should be {wanted}", check.path)));
        }
        stop::check()?;
        std::thread::sleep(AGAIN);
    }
}

/// What a value should be and is not.
fn lacks(value: &Value, check: &Check, names: &Names) -> Option<String> {
    if check.absent {
        return (!value.is_null()).then(|| "nothing".to_owned());
    }
    let amount = || quantity(value);
    let compared = |wanted: &Option<String>, holds: fn(f64, f64) -> bool, how: &str| {
        let wanted = wanted.as_ref()?;
        let goal = quantity(&Value::String(wanted.clone()));
        let good = amount().zip(goal).is_some_and(|(a, b)| holds(a, b));
        (!good).then(|| format!("{how}{wanted}"))
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let none = value.is_null().then(|| "something".to_owned());
    let says_nothing = check.eq.is_none() && check.count.is_none();
    let wrong =
        check.eq.as_ref().map(|wanted| names.fill_value(wanted)).filter(|wanted| !same(value, wanted));
    let contains = check.contains.as_ref().map(|c| names.fill(c)).filter(|c| !text.contains(c.as_str()));
    let length = value.as_array().map_or(0, Vec::len);
    wrong
        .map(|wanted| wanted.to_string())
        .or_else(|| none.filter(|_| says_nothing))
        .or_else(|| compared(&check.quantity, |a, b| (a - b).abs() < 1e-9, ""))
        .or_else(|| compared(&check.at_most, |a, b| a <= b, "at most "))
        .or_else(|| compared(&check.at_least, |a, b| a >= b, "at least "))
        .or_else(|| check.count.filter(|n| *n != length).map(|n| format!("{n} elements")))
        .or_else(|| contains.map(|c| format!("something with `{c}`")))
}

/// The same value: numbers by what they are worth; an object has at least the wanted fields.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|f| same(f, value)))
        }
        _ => {
            found == wanted || found.as_f64().zip(wanted.as_f64()).is_some_and(|(a, b)| (a - b).abs() < 1e-9)
        }
    }
}

/// What a quantity is worth: `500m`, `256Mi`, `2`.
fn quantity(value: &Value) -> Option<f64> {
    if let Some(number) = value.as_f64() {
        return Some(number);
    }
    let text = value.as_str()?;
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let worth = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|n| n * worth)
}

/// The values of these places, in order, each with what it is.
///
/// # Errors
/// An object cannot be read.
pub fn values(api: &Api, places: &[Place], names: &Names) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for place in places {
        let within = names.place(place.namespace.as_deref());
        let object = api.object(&within, &names.fill(&place.object))?;
        let value = object.as_ref().and_then(|o| o.pointer(&place.path)).cloned().unwrap_or(Value::Null);
        all.push((format!("{}{}", place.object, place.path), value));
    }
    Ok(all)
}

/// Why somebody's rights are not what they should be, by the API server's own word.
///
/// # Errors
/// It does not answer.
pub fn wrong_right(api: &Api, right: &Right, names: &Names) -> Result<Option<String>> {
    let (verb, resource) = right.can.split_once(' ').context("a right is `verb resource`")?;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let place = names.place(right.namespace.as_deref());
    let who = names.fill(&right.who);
    // A service account is in the groups that the API server would put it in.
    let groups: Vec<String> = match who.split(':').collect::<Vec<_>>()[..] {
        ["system", "serviceaccount", namespace, _] => {
            vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")]
        }
        _ => Vec::new(),
    };
    let review = serde_json::json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": who, "groups": groups, "resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": place,
        }},
    });
    let (_, answer) = api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", Some(&review))?;
    let may = answer["status"]["allowed"].as_bool().context("the API server does not say who may what")?;
    let word = if may { "may" } else { "may not" };
    Ok((may != right.yes).then(|| format!("{who} {word} {} in {place}", right.can)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(value: Value, check: Check) -> bool {
        lacks(&value, &check, &Names::new("x", 1)).is_none()
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let text = |text: &str| Some(text.to_owned());
        assert!(holds(json!("0.5"), Check { quantity: text("500m"), ..Check::default() }));
        assert!(!holds(json!("128Mi"), Check { quantity: text("128M"), ..Check::default() }));
        assert!(holds(
            json!("128Mi"),
            Check { at_most: text("256Mi"), at_least: text("100Mi"), ..Check::default() }
        ));
        assert!(!holds(json!(null), Check { at_most: text("256Mi"), ..Check::default() }));
        assert!(holds(json!({"a": 1, "b": 2}), Check { eq: Some(json!({"a": 1.0})), ..Check::default() }));
        assert!(!holds(json!({"b": 2}), Check { eq: Some(json!({"a": 1})), ..Check::default() }));
        assert!(holds(json!(["a", "b"]), Check { count: Some(2), contains: text("b"), ..Check::default() }));
        assert!(holds(json!(null), Check { absent: true, ..Check::default() }));
        assert!(!holds(json!(null), Check::default()), "something must be there");
        assert!(!holds(json!(1), Check { absent: true, ..Check::default() }));
    }
}
