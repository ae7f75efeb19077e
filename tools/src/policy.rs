//! What is allowed, what is asked, what is refused: one table over mode, risk, context and limits (pure).

use serde::{Deserialize, Serialize};

/// How much kai may do by itself in a context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is changed, and dry runs are not sent either.
    ReadOnly,
    /// Every change is shown and asked for.
    #[default]
    Ask,
    /// Reversible changes (R2) outside production go ahead after their preview; the rest is asked for.
    Auto,
}

/// How bad a mistake would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Risk {
    /// Reversible, in one namespace.
    R2,
    /// Destructive or wide: a deletion, to zero, a drain, many objects, production.
    R3,
    /// Into a container, or into a Secret.
    R4,
    /// The cluster's own parts: rights, definitions, webhooks, nodes, `kube-*`, power over a node.
    R5,
}

/// What policy must have allowed before a plan of the higher classes is even asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    Secrets,
    Exec,
    ControlPlane,
    /// Rights within one namespace: allowed together with the cluster's own parts.
    Rights,
}

impl Need {
    /// What kai does not do without it, the setting that allows it, and the word for `--allow`.
    pub fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Need::ControlPlane => {
                ("kai does not change the cluster's own parts", "allow_control_plane", "control-plane")
            }
            Need::Rights => ("kai does not change who may do what", "allow_control_plane", "control-plane"),
            Need::Secrets => ("kai does not write Secrets", "allow_secrets", "secrets"),
            Need::Exec => ("kai does not go into containers", "allow_exec", "exec"),
        }
    }
}

/// The rules in force for one context. Every field narrows; none widens what another forbids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    pub mode: Mode,
    /// Only these namespaces may be changed; all when empty.
    pub namespaces: Vec<String>,
    /// These namespaces are never changed, in addition to `kube-*`.
    pub protected_namespaces: Vec<String>,
    /// Most objects that one plan may change.
    pub max_objects: Option<usize>,
    /// Most replicas that a workload may be given.
    pub max_replicas: Option<i64>,
    /// Whether the cluster's own parts may be changed at all (each time with the name typed).
    pub allow_control_plane: bool,
    /// Whether Secrets may be written at all (each time with the name typed).
    pub allow_secrets: bool,
    /// Whether `exec` and `port_forward` may be used at all (each time with the name typed).
    pub allow_exec: bool,
    /// Whether this context is production: every change wants the name typed.
    pub production: bool,
    /// What a change may cost.
    pub cost: CostPolicy,
}

/// What a change may cost before a person is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostPolicy {
    /// US dollars a month by which a plan may raise what is reserved or the bill, whichever is more, and still go ahead
    /// by itself. What cannot be priced does not.
    pub confirm_above: Option<f64>,
}

impl Policy {
    /// Whether what needs this may be asked about at all.
    pub fn allows(&self, need: Need) -> bool {
        match need {
            Need::Secrets => self.allow_secrets,
            Need::Exec => self.allow_exec,
            Need::ControlPlane | Need::Rights => self.allow_control_plane,
        }
    }
}

/// What a decision is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts<'a> {
    pub risk: Risk,
    /// Why it has that risk, in a few words.
    pub reason: &'a str,
    pub needs: Vec<Need>,
    pub namespaces: Vec<&'a str>,
    pub objects: usize,
    pub replicas: Option<i64>,
    /// The name to type for R3: of the object, or of the namespace when there are many.
    pub name: &'a str,
    /// Whether every check of the preview could be made; what could not be checked is a no to going ahead by itself.
    pub checked: bool,
    /// By how much the plan gets dearer, in US dollars a month; `None` when that is not known.
    pub rise: Option<f64>,
}

/// What may happen to a previewed plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Goes ahead by a rule.
    Allow {
        rule: String,
    },
    /// A person must agree; with `typed`, by typing that name.
    Ask {
        reason: String,
        typed: Option<String>,
    },
    Refuse {
        reason: String,
        hint: String,
    },
}

/// Decides. The order is the precedence: fences first, then limits, then risk.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    let refuse = |reason: String, hint: &str| Decision::Refuse { reason, hint: hint.into() };
    if policy.mode == Mode::ReadOnly {
        return refuse("read-only mode: nothing may be changed".into(), READ_ONLY_HINT);
    }
    for namespace in &facts.namespaces {
        if policy.protected_namespaces.iter().any(|p| p == namespace) {
            return refuse(
                format!("namespace {namespace} is protected by policy"),
                "See `protected_namespaces` in kai's config.toml.",
            );
        }
        if !policy.namespaces.is_empty() && !policy.namespaces.iter().any(|n| n == namespace) {
            return refuse(
                format!("policy allows changes only in {}", policy.namespaces.join(", ")),
                "See `namespaces` in kai's config.toml.",
            );
        }
    }
    if let Some(max) = policy.max_objects.filter(|max| facts.objects > *max) {
        return refuse(
            format!("the plan changes {} objects; policy allows {max}", facts.objects),
            "See `max_objects` in kai's config.toml.",
        );
    }
    if let Some((max, asked)) = policy.max_replicas.zip(facts.replicas).filter(|(max, asked)| asked > max) {
        return refuse(
            format!("{asked} replicas; policy allows {max}"),
            "See `max_replicas` in kai's config.toml.",
        );
    }
    for need in &facts.needs {
        let (what, key, flag) = need.told();
        if !policy.allows(*need) {
            return Decision::Refuse {
                reason: format!("{}: {what}", facts.reason),
                hint: format!(
                    "If it must: --allow {flag}, or `{key} = true` for this context in kai's config.toml. The name is then to be typed."
                ),
            };
        }
    }
    if facts.risk >= Risk::R3 || policy.production {
        let reason = if policy.production && facts.risk < Risk::R3 { "production" } else { facts.reason };
        return Decision::Ask { reason: reason.into(), typed: Some(facts.name.into()) };
    }
    if let Some(limit) = policy.cost.confirm_above {
        let reason = match facts.rise {
            Some(rise) if rise <= limit => None,
            Some(rise) => Some(format!("it costs {rise:.2} USD/month more; policy asks above {limit:.2}")),
            None => Some(format!("what it costs is not known; policy asks above {limit:.2} USD/month")),
        };
        if let Some(reason) = reason {
            return Decision::Ask { reason, typed: None };
        }
    }
    if policy.mode == Mode::Auto && facts.checked {
        return Decision::Allow { rule: "auto mode, reversible".into() };
    }
    let reason = if facts.checked { A_CHANGE } else { "not everything could be checked" };
    Decision::Ask { reason: reason.into(), typed: None }
}

/// Why a person is asked about any change at all.
pub const A_CHANGE: &str = "a change";

/// What to do about read-only mode.
pub const READ_ONLY_HINT: &str =
    "Leave --read-only out, or set `mode = \"ask\"` for this context in kai's config.toml.";

/// Whether a name says production: `prod`, `eu-prod-1`, `production`. Such contexts are read-only until configured.
pub fn is_production(name: &str) -> bool {
    name.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|w| matches!(w, "prod" | "production" | "prd" | "live"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(risk: Risk) -> Facts<'static> {
        Facts {
            risk,
            reason: "why",
            needs: if risk == Risk::R5 { vec![Need::ControlPlane] } else { Vec::new() },
            namespaces: vec!["todo"],
            objects: 1,
            replicas: Some(3),
            name: "backend",
            checked: true,
            rise: Some(4.51),
        }
    }

    fn ask(typed: bool) -> impl Fn(&Decision) -> bool {
        move |d| matches!(d, Decision::Ask { typed: t, .. } if t.is_some() == typed)
    }

    #[test]
    fn the_whole_table() {
        let mode = |mode| Policy { mode, ..Policy::default() };
        let refused = |d: &Decision| matches!(d, Decision::Refuse { .. });
        for risk in [Risk::R2, Risk::R3, Risk::R5] {
            assert!(refused(&decide(&mode(Mode::ReadOnly), &facts(risk))));
        }
        assert!(ask(false)(&decide(&mode(Mode::Ask), &facts(Risk::R2))));
        assert!(matches!(decide(&mode(Mode::Auto), &facts(Risk::R2)), Decision::Allow { .. }));
        for m in [Mode::Ask, Mode::Auto] {
            assert!(ask(true)(&decide(&mode(m), &facts(Risk::R3))));
            assert!(refused(&decide(&mode(m), &facts(Risk::R5))));
            let production = Policy { production: true, ..mode(m) };
            assert!(ask(true)(&decide(&production, &facts(Risk::R2))));
            let allowed = Policy { allow_control_plane: true, ..mode(m) };
            assert!(ask(true)(&decide(&allowed, &facts(Risk::R5))));
        }
        let unchecked = Facts { checked: false, ..facts(Risk::R2) };
        assert!(
            ask(false)(&decide(&mode(Mode::Auto), &unchecked)),
            "what cannot be checked is not done by itself"
        );
    }

    #[test]
    fn secrets_containers_and_rights_are_off_until_allowed() {
        let mut wanted = facts(Risk::R4);
        for (need, allowed) in [
            (Need::Secrets, Policy { allow_secrets: true, ..Policy::default() }),
            (Need::Exec, Policy { allow_exec: true, ..Policy::default() }),
            (Need::Rights, Policy { allow_control_plane: true, ..Policy::default() }),
        ] {
            wanted.needs = vec![need];
            let auto = |p: Policy| Policy { mode: Mode::Auto, ..p };
            assert!(matches!(decide(&Policy::default(), &wanted), Decision::Refuse { .. }));
            assert!(ask(true)(&decide(&allowed, &wanted)) && ask(true)(&decide(&auto(allowed), &wanted)));
        }
    }

    #[test]
    fn fences_and_limits_come_first() {
        let refused = |policy: Policy| matches!(decide(&policy, &facts(Risk::R2)), Decision::Refuse { .. });
        let auto = || Policy { mode: Mode::Auto, ..Policy::default() };
        assert!(refused(Policy { namespaces: vec!["other".into()], ..auto() }));
        assert!(!refused(Policy { namespaces: vec!["todo".into()], ..auto() }));
        assert!(refused(Policy { protected_namespaces: vec!["todo".into()], ..auto() }));
        assert!(refused(Policy { max_replicas: Some(2), ..auto() }));
        assert!(!refused(Policy { max_replicas: Some(3), ..auto() }));
        assert!(refused(Policy { max_objects: Some(0), ..auto() }));
    }

    #[test]
    fn what_costs_more_is_asked_about() {
        let auto = |limit| Policy {
            mode: Mode::Auto,
            cost: CostPolicy { confirm_above: Some(limit) },
            ..Policy::default()
        };
        let allowed = |d: Decision| matches!(d, Decision::Allow { .. });
        assert!(allowed(decide(&auto(5.0), &facts(Risk::R2))));
        let Decision::Ask { reason, typed: None } = decide(&auto(4.5), &facts(Risk::R2)) else { panic!() };
        assert_eq!(reason, "it costs 4.51 USD/month more; policy asks above 4.50");
        let unknown = Facts { rise: None, ..facts(Risk::R2) };
        assert!(!allowed(decide(&auto(1000.0), &unknown)));
        assert!(allowed(decide(&Policy { mode: Mode::Auto, ..Policy::default() }, &unknown)));
    }

    #[test]
    fn production_by_name() {
        for yes in ["prod", "eu-prod-1", "arn:aws:eks:eu:1:cluster/production", "PROD", "live"] {
            assert!(is_production(yes), "{yes}");
        }
        for no in ["kind-kai", "product-dev", "nonproduct", "staging"] {
            assert!(!is_production(no), "{no}");
        }
    }
}
