//! `can_i`: what somebody may do, as the API server answers it, and which binding gives it. It impersonates nobody: about
//! others it asks a SubjectAccessReview, or reads the roles.

mod asked;
mod rbac;
mod subject;
mod tell;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::asked::Check;
use self::rbac::Roles;
use self::subject::Subject;
use crate::cluster::Cluster;
use crate::cluster::read::Listing;
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::object::{builtin, text};
use crate::report::Report;
use crate::sanitize;
use crate::tool::{Context, Query};

/// Say whether somebody may do something, or all that they may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanI {
    pub verb: Option<String>,
    /// `pods`, `pods/log`.
    pub resource: Option<String>,
    pub name: Option<String>,
    /// `*`: all.
    pub namespace: Option<String>,
    /// User, `serviceaccount/x`, `*`: who may.
    pub r#as: Option<String>,
}

/// What was answered to one check.
#[derive(Clone, Debug, PartialEq)]
struct Answered {
    check: Check,
    allowed: bool,
    /// Why, in the words of the API server.
    reason: String,
}

impl Query for CanI {
    const NAME: &'static str = "can_i";

    async fn run(self, context: &Context) -> Result<Report, ToolError> {
        let cluster = &context.cluster;
        let wide = self.namespace.as_deref().map(str::trim) == Some("*");
        let namespace = if wide { None } else { Some(cluster.namespace_or(self.namespace.as_deref())?) };
        let subject = Subject::of(self.r#as.as_deref(), namespace.unwrap_or(cluster.namespace()))?;
        let checks = asked::checks(cluster, &self, namespace).await?;
        if let Some(namespace) = namespace {
            super::get::must_exist(cluster, namespace).await?;
        }
        subject_exists(cluster, &subject).await?;
        let who = match subject {
            Subject::Myself => format!("you ({})", sanitize::line(&cluster.identity().await?.user)),
            _ => subject.to_string(),
        };
        let place = tell::Place { who, namespace };
        match (&subject, &checks) {
            (Subject::Anyone, None) => {
                Err(ToolError::Invalid("can_i: to list who may, say the verb and the resource".into()))
            }
            (Subject::Anyone, Some(checks)) => {
                let roles = rbac::read(cluster, namespace).await?;
                Ok(tell::who_may(&place, checks, &roles))
            }
            (Subject::Myself, None) => {
                let namespace = namespace.unwrap_or(cluster.namespace());
                let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
                let path = "authorization.k8s.io/v1/selfsubjectrulesreviews";
                let answer = cluster.self_review(path, &review).await?;
                let only = self.only(cluster).await?;
                Ok(tell::own_rules(
                    &tell::Place { namespace: Some(namespace), ..place },
                    &answer,
                    only.as_ref(),
                ))
            }
            (_, None) => {
                let roles = rbac::read(cluster, namespace).await?;
                Ok(tell::rules(&place, &roles, &subject, self.only(cluster).await?.as_ref()))
            }
            (_, Some(checks)) => match ask(cluster, &subject, checks).await {
                Err(ToolError::Forbidden { .. }) if subject != Subject::Myself => {
                    let roles = rbac::read(cluster, namespace).await?;
                    Ok(tell::by_roles(&place, checks, &roles, &subject))
                }
                answers => {
                    let answers = answers?;
                    let mut report = tell::answers(&place, &answers);
                    if answers.iter().any(|a| !a.allowed) {
                        // Of oneself the names that bindings use are not all known; and who may not read roles gets the no.
                        if subject != Subject::Myself
                            && let Ok(roles) = rbac::read(cluster, namespace).await
                        {
                            report.say.extend(tell::slips(&answers, &roles, &subject));
                        }
                        report.say.extend(subject.caveat().map(String::from));
                    }
                    Ok(report)
                }
            },
        }
    }
}

impl CanI {
    /// The resource that a list of rights is narrowed to.
    async fn only(&self, cluster: &Cluster) -> Result<Option<Check>, ToolError> {
        match self.resource.as_deref() {
            Some(resource) => Ok(Some(asked::resource(cluster, "get", resource).await?)),
            None => Ok(None),
        }
    }
}

/// Asks the API server about each check, side by side.
async fn ask(cluster: &Cluster, subject: &Subject, checks: &[Check]) -> Result<Vec<Answered>, ToolError> {
    let asked = checks.iter().map(|check| async move {
        let mut spec = check.attributes();
        let answer = match subject.user_and_groups() {
            None => {
                let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
                cluster.self_review("authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?
            }
            Some((user, groups)) => {
                (spec["user"], spec["groups"]) = (json!(user), json!(groups));
                let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
                cluster.subject_review(&review).await?
            }
        };
        Ok(Answered {
            check: check.clone(),
            allowed: answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true),
            reason: match text(&answer, "/status/reason") {
                "" => text(&answer, "/status/evaluationError").to_string(),
                reason => reason.to_string(),
            },
        })
    });
    futures::future::join_all(asked).await.into_iter().collect()
}

/// A service account that is not there has no rights, which is not the answer to what was meant.
async fn subject_exists(cluster: &Cluster, subject: &Subject) -> Result<(), ToolError> {
    let Subject::ServiceAccount { namespace, name } = subject else { return Ok(()) };
    let kind = builtin("serviceaccount");
    if !matches!(cluster.find(&kind, namespace, name).await, Ok(None)) {
        return Ok(());
    }
    let everywhere =
        Listing { fields: Some(format!("metadata.name={name}")), limit: Some(500), ..Listing::default() };
    let found = cluster.list(&kind, None, &everywhere).await.map(|l| l.items).unwrap_or_default();
    let places: Vec<&str> = found.iter().map(|item| text(item, "/metadata/namespace")).collect();
    let names = match places.is_empty() {
        true => cluster.names(&kind, Some(namespace)).await,
        false => Vec::new(),
    };
    Err(no_account(namespace, name, &places, &names))
}

/// Which accounts may be meant: one of that name in another namespace, else one of a similar name here (pure).
fn no_account(namespace: &str, name: &str, places: &[&str], names: &[String]) -> ToolError {
    let mut places = places.to_vec();
    places.sort_by(|a, b| {
        let alike = |place: &str| strsim::normalized_damerau_levenshtein(namespace, place);
        alike(b).total_cmp(&alike(a)).then(a.cmp(b))
    });
    let elsewhere: Vec<String> =
        places.iter().take(3).map(|p| sanitize::line(&format!("serviceaccount/{p}/{name}"))).collect();
    let similar = match elsewhere.is_empty() {
        true => nearest(name, names.iter().map(String::as_str)),
        false => elsewhere,
    };
    ToolError::NotFound {
        message: format!("there is no serviceaccount `{name}` in namespace {namespace}"),
        similar,
    }
}

impl Roles {
    /// Where something could not be read, for a sentence.
    fn blind(&self) -> Option<String> {
        (!self.unread.is_empty()).then(|| {
            format!("{} could not be read: what they give is not in this answer.", self.unread.join(" and "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_another_namespace_is_named_as_it_can_be_said() {
        let missing = |places: &[&str]| no_account("play-staging", "ci", places, &["cli".to_string()]).hint();
        assert_eq!(
            missing(&["zoo", "play"]).unwrap(),
            "Did you mean serviceaccount/play/ci or serviceaccount/zoo/ci?"
        );
        assert_eq!(missing(&[]).unwrap(), "Did you mean cli?");
    }
}
