//! How labels, environment names and tolerations are written, checked before the API server is asked (pure).

use serde_json::{Value, json};

use super::invalid;
use crate::error::ToolError;

/// A label's or annotation's key: `tier`, `example.com/tier`.
pub(super) fn key(key: &str) -> Result<(), ToolError> {
    let name = key.split_once('/').map_or(key, |(prefix, name)| if prefix.is_empty() { "" } else { name });
    if name.is_empty() || !is_name(name) || key.matches('/').count() > 1 || key.len() > 316 {
        return invalid(format!("`{key}` cannot be the key of a label or annotation"));
    }
    Ok(())
}

/// A label's value; an empty one removes.
pub(super) fn value(of: &str, value: &str) -> Result<(), ToolError> {
    if value.is_empty() || is_name(value) {
        return Ok(());
    }
    invalid(format!(
        "`{value}` cannot be the value of label {of}: letters, digits, `-`, `_` and `.`, at most 63, a letter or digit at both ends"
    ))
}

fn is_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends(text.chars().next())
        && ends(text.chars().last())
}

/// The name of an environment variable.
pub(super) fn variable(name: &str) -> Result<(), ToolError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(fits) {
        return invalid(format!("`{name}` cannot be the name of an environment variable"));
    }
    Ok(())
}

/// `key=value:Effect`, `key:Effect`; without an effect all of them.
pub(super) fn toleration(said: &str) -> Result<Value, ToolError> {
    let (taint, effect) = said.trim().rsplit_once(':').map_or((said.trim(), None), |(t, e)| (t, Some(e)));
    let (name, of) = taint.split_once('=').map_or((taint, None), |(k, v)| (k, Some(v)));
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let effect = effect.map(|e| effects.into_iter().find(|known| known.eq_ignore_ascii_case(e)));
    if key(name).is_err() || of.is_some_and(|v| value(name, v).is_err()) || effect == Some(None) {
        return invalid(format!(
            "`{said}` is not a toleration: use key=value:Effect or key:Effect with {}",
            effects.join(", ")
        ));
    }
    let mut toleration = match of {
        Some(of) => json!({"key": name, "operator": "Equal", "value": of}),
        None => json!({"key": name, "operator": "Exists"}),
    };
    if let Some(effect) = effect.flatten() {
        toleration["effect"] = json!(effect);
    }
    Ok(toleration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations() {
        let pool = json!({"key": "pool", "operator": "Equal", "value": "browser", "effect": "NoSchedule"});
        assert_eq!(toleration("pool=browser:NoSchedule").unwrap(), pool);
        let any = json!({"key": "example.com/gpu", "operator": "Exists", "effect": "NoExecute"});
        assert_eq!(toleration("example.com/gpu:noexecute").unwrap(), any);
        for bad in ["", ":NoSchedule", "a=b:Never", "a b:NoSchedule", "a=b c:NoSchedule", "/x:NoSchedule"] {
            assert!(toleration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_and_values() {
        assert!(key("app.kubernetes.io/name").is_ok() && key("tier").is_ok());
        for bad in ["", "/x", "a/b/c", "a b", "-a", "a/"] {
            assert!(key(bad).is_err(), "{bad}");
        }
        assert!(value("a", "").is_ok() && value("a", "v1.2_x").is_ok());
        assert!(value("a", "has space").is_err() && value("a", &"x".repeat(64)).is_err());
        assert!(variable("LOG_LEVEL").is_ok() && variable("1X").is_err() && variable("A B").is_err());
    }
}
