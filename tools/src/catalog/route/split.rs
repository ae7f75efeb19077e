//! Which requests go to a canary: by cookie, header or weight; as annotations of ingress-nginx, as a match of an
//! HTTPRoute, and in words (pure).

use serde_json::{Value, json};

use super::{By, Route};
use crate::error::ToolError;
use crate::sanitize;

/// The annotations of ingress-nginx begin with this.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io/canary";

/// The requests that go to a canary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Split {
    Weight(u32),
    Header { key: String, value: Option<String> },
    Cookie(String),
}

impl Split {
    /// Reads the arguments.
    pub fn of(route: &Route) -> Result<Self, ToolError> {
        let invalid = |message: &str| Err(ToolError::Invalid(format!("route: {message}")));
        let by = match (route.by, route.weight, &route.value) {
            (Some(by), ..) => by,
            (None, Some(_), _) => By::Weight,
            (None, None, Some(_)) => By::Header,
            (None, None, None) => {
                return invalid("which requests go to the canary? Give `by`: weight, header or cookie");
            }
        };
        let key = route.key.as_deref().map(str::trim).unwrap_or_default();
        match by {
            By::Weight => match route.weight {
                Some(weight) if weight <= 100 => Ok(Self::Weight(weight)),
                Some(weight) => invalid(&format!("the weight is a percentage, and {weight} is above 100")),
                None => invalid("how much of the traffic? Give `weight`, 0 to 100"),
            },
            By::Cookie => {
                if let Some((name, _)) = key.split_once('=') {
                    return invalid(&format!(
                        "`{}` is not the name of a cookie: give the name alone (`{}`). ingress-nginx looks for that cookie, and its value is `always` (to the canary) or `never`",
                        sanitize::line(key),
                        sanitize::line(name)
                    ));
                }
                named(key, "cookie")?;
                if route.value.is_some() {
                    return invalid(
                        "a cookie takes no `value`: ingress-nginx takes its name, and its value is `always` (to the canary) or `never`",
                    );
                }
                Ok(Self::Cookie(key.into()))
            }
            By::Header => {
                named(key, "header")?;
                let value = route.value.as_deref().map(str::trim).filter(|v| !v.is_empty());
                if value.is_some_and(|v| !v.bytes().all(|b| b.is_ascii_graphic())) {
                    return invalid(
                        "the `value` of a header has no spaces and no characters beyond ASCII here",
                    );
                }
                Ok(Self::Header { key: key.into(), value: value.map(Into::into) })
            }
        }
    }

    /// As annotations of an Ingress.
    pub fn annotations(&self) -> Vec<(String, String)> {
        let mut all = vec![(PREFIX.to_string(), "true".to_string())];
        let mut add = |what: &str, value: &str| all.push((format!("{PREFIX}-{what}"), value.to_string()));
        match self {
            Self::Weight(weight) => add("weight", &weight.to_string()),
            Self::Cookie(name) => add("by-cookie", name),
            Self::Header { key, value } => {
                add("by-header", key);
                if let Some(value) = value {
                    add("by-header-value", value);
                }
            }
        }
        all
    }

    /// As a header match of an HTTPRoute; a weight needs none.
    pub fn header_match(&self) -> Option<Value> {
        match self {
            Self::Weight(_) => None,
            Self::Header { key, value } => {
                Some(json!({"type": "Exact", "name": key, "value": value.as_deref().unwrap_or("always")}))
            }
            Self::Cookie(name) => Some(json!({
                "type": "RegularExpression", "name": "Cookie", "value": format!(r"(^|;\s*){name}=always(;|$)"),
            })),
        }
    }

    /// `10% of shop.example.com`.
    pub fn said(&self, place: &str) -> String {
        match self {
            Self::Weight(weight) => format!("{weight}% of {place}"),
            Self::Cookie(name) => format!("requests of {place} with cookie {name}"),
            Self::Header { key, value: None } => format!("requests of {place} with header {key}"),
            Self::Header { key, value: Some(value) } => {
                format!("requests of {place} with header {key}: {value}")
            }
        }
    }

    /// What a client must send. An HTTPRoute has no rule for `never`: what does not match stays.
    pub fn fact(&self, nginx: bool) -> String {
        match self {
            Self::Weight(weight) => format!("{weight}% of the requests go to the canary, chosen at random"),
            Self::Cookie(name) if nginx => {
                format!("cookie {name}=always goes to the canary, {name}=never never does")
            }
            Self::Cookie(name) => format!("cookie {name}=always goes to the canary, all else stays"),
            Self::Header { key, value: Some(value) } => {
                format!("header {key}: {value} goes to the canary, all else stays")
            }
            Self::Header { key, value: None } if nginx => {
                format!("header {key}: always goes to the canary, {key}: never never does")
            }
            Self::Header { key, value: None } => {
                format!("header {key}: always goes to the canary, all else stays")
            }
        }
    }
}

/// Names of cookies and headers that every proxy takes.
fn named(key: &str, what: &str) -> Result<(), ToolError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if key.is_empty() {
        return Err(ToolError::Invalid(format!("route: which {what}? Give its name as `key`")));
    }
    if key.len() > 200 || !key.bytes().all(fits) {
        return Err(ToolError::Invalid(format!(
            "route: `{}` is not the name of a {what}: letters, digits, `-` and `_`",
            sanitize::line(key)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mut arguments: Value) -> Result<Split, ToolError> {
        arguments["action"] = json!("canary");
        Split::of(&serde_json::from_value(arguments).unwrap())
    }

    #[test]
    fn what_goes_to_the_canary() {
        assert_eq!(split(json!({"weight": 10})).unwrap(), Split::Weight(10));
        let cookie = split(json!({"by": "cookie", "key": "nightly"})).unwrap();
        assert_eq!(cookie.fact(true), "cookie nightly=always goes to the canary, nightly=never never does");
        assert_eq!(
            cookie.header_match().unwrap(),
            json!({"type": "RegularExpression", "name": "Cookie", "value": r"(^|;\s*)nightly=always(;|$)"})
        );
        let header = split(json!({"key": "X-Beta", "value": "yes"})).unwrap();
        let annotations: Vec<String> =
            header.annotations().iter().map(|(k, v)| format!("{}={v}", &k[PREFIX.len()..])).collect();
        assert_eq!(annotations, ["=true", "-by-header=X-Beta", "-by-header-value=yes"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (arguments, says) in [
            (json!({}), "weight, header or cookie"),
            (json!({"by": "weight"}), "0 to 100"),
            (json!({"weight": 101}), "above 100"),
            (json!({"by": "cookie"}), "which cookie"),
            (json!({"by": "cookie", "key": "nightly=1"}), "its value is `always` (to the canary) or `never`"),
            (json!({"by": "cookie", "key": "nightly", "value": "1"}), "takes no `value`"),
            (json!({"by": "header", "key": "X Beta"}), "not the name of a header"),
            (json!({"by": "header", "key": "X-Beta", "value": "a\nb"}), "no spaces"),
        ] {
            let error = split(arguments.clone()).unwrap_err().to_string();
            assert!(error.contains(says), "{arguments}: {error}");
        }
    }
}
