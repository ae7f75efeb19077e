//! Who is asked about (pure).

use std::fmt;

use serde_json::Value;

use crate::error::ToolError;
use crate::object::{is_object_name, text};
use crate::sanitize;

/// Somebody whose rights are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Myself,
    /// Everybody, one after the other.
    Anyone,
    User(String),
    Group(String),
    ServiceAccount {
        namespace: String,
        name: String,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Myself => f.write_str("you"),
            Self::Anyone => f.write_str("anyone"),
            Self::User(name) => f.write_str(&sanitize::line(name)),
            Self::Group(name) => write!(f, "group {}", sanitize::line(name)),
            Self::ServiceAccount { namespace, name } => write!(f, "serviceaccount/{name} of {namespace}"),
        }
    }
}

impl Subject {
    /// # Errors
    /// `Invalid` for what can be nobody's name.
    pub(super) fn of(said: Option<&str>, here: &str) -> Result<Self, ToolError> {
        let said = said.unwrap_or("").trim();
        let account = |namespace: &str, name: &str| {
            if is_object_name(namespace) && is_object_name(name) {
                Ok(Self::ServiceAccount { namespace: namespace.into(), name: name.into() })
            } else {
                Err(ToolError::Invalid(format!(
                    "`{}` cannot be a service account: write serviceaccount/name",
                    sanitize::line(said)
                )))
            }
        };
        if let Some(full) = said.strip_prefix("system:serviceaccount:") {
            let (namespace, name) = full.split_once(':').unwrap_or(("", full));
            return account(namespace, name);
        }
        let (kind, name) = said.split_once('/').unwrap_or(("", said));
        match (kind.to_lowercase().as_str(), name) {
            (_, "") if said.is_empty() => Ok(Self::Myself),
            ("", "*" | "anyone" | "everyone") => Ok(Self::Anyone),
            ("", "me" | "myself" | "i") => Ok(Self::Myself),
            ("serviceaccount" | "serviceaccounts" | "sa", name) => match name.split_once('/') {
                Some((namespace, name)) => account(namespace, name),
                None => account(here, name),
            },
            ("group", name) if !name.is_empty() => Ok(Self::Group(name.into())),
            ("user", name) if !name.is_empty() => Ok(Self::User(name.into())),
            _ => Ok(Self::User(said.into())),
        }
    }

    /// As the API server is asked about them; `None` for oneself.
    pub(super) fn user_and_groups(&self) -> Option<(String, Vec<String>)> {
        let all = "system:authenticated".to_string();
        match self {
            Self::Myself | Self::Anyone => None,
            Self::User(name) => Some((name.clone(), vec![all])),
            Self::Group(name) => Some((String::new(), vec![name.clone(), all])),
            Self::ServiceAccount { namespace, name } => Some((
                format!("system:serviceaccount:{namespace}:{name}"),
                vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}"), all],
            )),
        }
    }

    /// Whether a subject of a binding means them, by name or by a group that they are certainly in.
    pub(super) fn is_meant_by(&self, bound: &Value, binding_namespace: &str) -> bool {
        let name = text(bound, "/name");
        let Some((user, groups)) = self.user_and_groups() else { return false };
        match text(bound, "/kind") {
            "User" => user == name,
            "Group" => groups.iter().any(|g| g == name),
            "ServiceAccount" => {
                let namespace = match text(bound, "/namespace") {
                    "" => binding_namespace,
                    named => named,
                };
                user == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    }

    /// What an answer about them leaves open.
    pub(super) fn caveat(&self) -> Option<&'static str> {
        matches!(self, Self::User(_))
            .then_some("Groups that this user gets at login are not known here: they may give more.")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_and_machines() {
        let account = |namespace: &str, name: &str| Subject::ServiceAccount {
            namespace: namespace.into(),
            name: name.into(),
        };
        for (said, want) in [
            ("", Subject::Myself),
            ("me", Subject::Myself),
            ("*", Subject::Anyone),
            ("alice", Subject::User("alice".into())),
            ("alice/smith", Subject::User("alice/smith".into())),
            ("user/serviceaccount", Subject::User("serviceaccount".into())),
            ("group/dev", Subject::Group("dev".into())),
            ("serviceaccount/ci", account("here", "ci")),
            ("sa/build/ci", account("build", "ci")),
            ("system:serviceaccount:build:ci", account("build", "ci")),
        ] {
            assert_eq!(Subject::of(Some(said), "here").unwrap(), want, "{said}");
        }
        for bad in ["sa/", "sa/a b", "system:serviceaccount:x", "sa/a/b/c"] {
            assert!(Subject::of(Some(bad), "here").is_err(), "{bad}");
        }
    }

    #[test]
    fn bindings_mean_them_by_name_or_group() {
        let ci = Subject::of(Some("sa/ci"), "build").unwrap();
        let bound = |kind: &str, name: &str, namespace: &str| json!({"kind": kind, "name": name, "namespace": namespace});
        assert!(ci.is_meant_by(&bound("ServiceAccount", "ci", "build"), "x"));
        assert!(ci.is_meant_by(&bound("ServiceAccount", "ci", ""), "build"));
        assert!(ci.is_meant_by(&bound("Group", "system:serviceaccounts:build", ""), "x"));
        assert!(ci.is_meant_by(&bound("User", "system:serviceaccount:build:ci", ""), "x"));
        assert!(!ci.is_meant_by(&bound("ServiceAccount", "ci", "other"), "build"));
        assert!(!ci.is_meant_by(&bound("Group", "system:serviceaccounts:other", ""), "x"));
        assert!(!ci.is_meant_by(&bound("User", "ci", ""), "build"));
    }
}
