//! Which kinds a cluster serves: a table of the usual ones, then the API server's own list, which may have holes.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::Cluster;
use super::resolve::nearest;
use crate::error::ToolError;
use crate::object::{ApiKind, builtin_kinds, items, text};
use crate::sanitize;

/// What was discovered last, shared by all clones of a connection.
pub(super) type Kinds = Arc<Mutex<Option<Arc<Discovered>>>>;

/// The kinds of all API groups, each in its preferred version.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    kinds: Vec<ApiKind>,
    /// Groups with their versions whose server does not answer: `example.com/v1`.
    silent: Vec<String>,
}

impl Cluster {
    /// The kind that a person calls `word`: from the built-in table, else from discovery. What was discovered is kept;
    /// a word that is not in it is looked for once more, as a new kind may have come.
    ///
    /// # Errors
    /// `NotFound` with the nearest names when no kind is called that, and with the groups that could not be asked;
    /// `Invalid` when several groups have such a kind.
    pub async fn kind(&self, word: &str) -> Result<ApiKind, ToolError> {
        if let Some(kind) = builtin_kinds().into_iter().find(|k| k.is_called(word)) {
            return Ok(kind);
        }
        let mut kept = self.0.kinds.lock().await;
        if let Some(known) = kept.as_ref()
            && let Some(kind) = known.called(word)?
        {
            return Ok(kind.clone());
        }
        let known = kept.insert(Arc::new(self.discover().await?));
        match known.called(word)? {
            Some(kind) => Ok(kind.clone()),
            None => Err(known.no_kind(word)),
        }
    }

    /// Two requests, however many groups there are. A group whose server is down is listed as stale.
    async fn discover(&self) -> Result<Discovered, ToolError> {
        const AGGREGATED: &str =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let (core, groups) = tokio::join!(self.get_as("/api", AGGREGATED), self.get_as("/apis", AGGREGATED));
        let mut found = Discovered::default();
        for answer in [core?, groups?] {
            if answer.get("items").is_none() {
                return Err(ToolError::Invalid(
                    "this API server does not list its kinds in the way of Kubernetes 1.27 and later: only the usual kinds can be named"
                        .into(),
                ));
            }
            items(&answer, "/items").iter().for_each(|group| found.add(group));
        }
        Ok(found)
    }
}

impl Discovered {
    /// Adds the kinds of a group, each in the first version that has it: the API server puts the preferred one first.
    fn add(&mut self, group: &Value) {
        let name = text(group, "/metadata/name");
        let mut own: Vec<ApiKind> = Vec::new();
        for version in items(group, "/versions") {
            if text(version, "/freshness") == "Stale" {
                self.silent.push(sanitize::line(&format!("{name}/{}", text(version, "/version"))));
            }
            for resource in items(version, "/resources") {
                let plural = text(resource, "/resource");
                if !plural.is_empty() && own.iter().all(|k| k.plural != plural) {
                    own.push(kind_of(name, text(version, "/version"), resource));
                }
            }
        }
        self.kinds.extend(own);
    }

    /// The kind of that name; a full name goes before a short one.
    fn called(&self, word: &str) -> Result<Option<&ApiKind>, ToolError> {
        let base = word.to_lowercase();
        let base = base.split('.').next().unwrap_or("");
        let mut found: Vec<&ApiKind> = self.kinds.iter().filter(|k| k.is_called(word)).collect();
        if found.iter().any(|k| k.plural == base || k.singular == base) {
            found.retain(|k| k.plural == base || k.singular == base);
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let names: Vec<String> =
                    several.iter().map(|k| sanitize::line(&format!("{}.{}", k.plural, k.group))).collect();
                Err(ToolError::Invalid(format!(
                    "several kinds are called `{}`: write {}",
                    sanitize::line(word),
                    names.join(" or ")
                )))
            }
        }
    }

    fn no_kind(&self, word: &str) -> ToolError {
        let names: Vec<String> = self
            .kinds
            .iter()
            .chain(&builtin_kinds())
            .flat_map(|k| [k.singular.clone(), k.plural.clone()])
            .collect();
        let mut message = format!("this cluster serves no kind called `{}`", sanitize::line(word));
        if !self.silent.is_empty() {
            message.push_str(&format!(
                "; what {} serve{} is not known, because the server behind it does not answer",
                self.silent.join(", "),
                if self.silent.len() == 1 { "s" } else { "" }
            ));
        }
        ToolError::NotFound {
            message,
            similar: nearest(&word.to_lowercase(), names.iter().map(String::as_str)),
        }
    }
}

fn kind_of(group: &str, version: &str, resource: &Value) -> ApiKind {
    let kind = text(resource, "/responseKind/kind").to_string();
    let singular = match text(resource, "/singularResource") {
        "" => kind.to_lowercase(),
        given => given.to_string(),
    };
    ApiKind {
        group: group.into(),
        version: version.into(),
        kind,
        plural: text(resource, "/resource").into(),
        singular,
        short_names: items(resource, "/shortNames")
            .iter()
            .filter_map(|s| Some(s.as_str()?.to_string()))
            .collect(),
        namespaced: text(resource, "/scope") == "Namespaced",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(plural: &str, kind: &str, short: &[&str]) -> Value {
        json!({"resource": plural, "responseKind": {"kind": kind}, "singularResource": kind.to_lowercase(), "shortNames": short, "scope": "Namespaced"})
    }

    fn discovered() -> Discovered {
        let mut found = Discovered::default();
        for group in [
            json!({"metadata": {"name": "example.com"}, "versions": [
                {"version": "v2", "resources": [resource("widgets", "Widget", &["wd"])]},
                {"version": "v1", "resources": [resource("widgets", "Widget", &["wd"]), resource("gears", "Gear", &[])]}]}),
            json!({"metadata": {"name": "other.dev"}, "versions": [{"version": "v1", "resources": [resource("gears", "Gear", &["wd"])]}]}),
            json!({"metadata": {"name": "dead.example.com"}, "versions": [{"version": "v1", "freshness": "Stale"}]}),
        ] {
            found.add(&group);
        }
        found
    }

    #[test]
    fn kinds_come_in_the_first_version_that_has_them() {
        let found = discovered();
        assert_eq!(found.called("widget").unwrap().unwrap().version, "v2");
        assert_eq!(found.called("gears.example.com").unwrap().unwrap().version, "v1");
        assert!(found.called("cogs").unwrap().is_none());
    }

    #[test]
    fn one_word_for_two_groups_is_a_question() {
        let error = discovered().called("gear").unwrap_err().to_string();
        assert_eq!(error, "several kinds are called `gear`: write gears.example.com or gears.other.dev");
        assert!(discovered().called("wd").is_err());
    }

    #[test]
    fn what_could_not_be_asked_is_named() {
        let error = discovered().no_kind("widgit");
        assert_eq!(
            error.to_string(),
            "this cluster serves no kind called `widgit`; what dead.example.com/v1 serves is not known, because the server behind it does not answer"
        );
        assert_eq!(error.hint().unwrap(), "Did you mean widget or widgets?");
    }
}
