//! Which model is meant: the table of endpoints, and the choice made from settings.

use std::time::Duration;

use serde::Deserialize;

use super::openai::{Endpoint, Key, OpenAi};
use super::planner::Planner;
use super::{Model, ModelError};
use crate::settings::Settings;

/// An endpoint that kai knows by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    pub base_url: String,
    /// Environment variable of its key; empty when it needs none.
    pub key: String,
    /// Whether it refuses tools whose schemas hold more than the simplest keywords.
    #[serde(default)]
    pub plain_schemas: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    provider: Vec<Provider>,
}

/// The known endpoints, in the order of the table.
pub fn providers() -> Vec<Provider> {
    // The table is part of the program and a test reads it.
    toml::from_str::<Table>(include_str!("../../prompts/models.toml")).map(|t| t.provider).unwrap_or_default()
}

/// The model that the settings name; the built-in planner when they name none.
///
/// # Errors
/// When the name or the address cannot be used, or the key is missing.
pub fn choose(settings: &Settings) -> Result<Model, ModelError> {
    let choice = &settings.model;
    let said = choice.name.as_deref().map(str::trim).filter(|n| !n.is_empty());
    let (provider, model) = match (said, &choice.base_url) {
        (None, None) | (Some("planner"), _) => return Ok(Model::Planner(Planner)),
        (None, Some(_)) => {
            return Err(ModelError::Settings("a base URL is set but no model: name one with --model".into()));
        }
        (Some(name), _) => named(name),
    };
    let base_url = choice
        .base_url
        .as_ref()
        .map(|u| u.trim().to_string())
        .or_else(|| provider.as_ref().map(|p| p.base_url.clone()));
    let Some(base_url) = base_url else {
        let names: Vec<String> = providers().into_iter().map(|p| p.name).collect();
        return Err(ModelError::Settings(format!(
            "model `{model}` has no endpoint: give --base-url, or a provider before its name ({})",
            names.iter().map(|n| format!("{n}:")).collect::<Vec<_>>().join(" ")
        )));
    };
    check_url(&base_url, choice.insecure)?;
    let variable = provider.as_ref().map(|p| p.key.as_str()).unwrap_or("");
    let key = choice.key.clone().or_else(|| settings.variable(variable).map(str::to_string));
    if key.is_none() && !variable.is_empty() {
        return Err(ModelError::Settings(format!("no API key: set {variable} or KAI_API_KEY")));
    }
    let key = Key::new(key.unwrap_or_default())?;
    let endpoint = Endpoint {
        base_url,
        key,
        model: model.into(),
        stream: choice.stream,
        silence: Duration::from_secs(choice.silence),
        plain_schemas: provider.is_some_and(|p| p.plain_schemas),
    };
    Ok(Model::OpenAi(Box::new(OpenAi::new(endpoint)?)))
}

/// `provider:model`, or a bare model name. A colon may be part of a model's own name (`qwen3:8b`).
fn named(said: &str) -> (Option<Provider>, &str) {
    let found = said
        .split_once(':')
        .and_then(|(name, model)| providers().into_iter().find(|p| p.name == name).map(|p| (Some(p), model)));
    found.unwrap_or((None, said))
}

/// A key may not travel in the clear, except to this machine.
fn check_url(base_url: &str, insecure: bool) -> Result<(), ModelError> {
    let wrong = |why: &str| {
        Err(ModelError::Settings(format!("base URL `{}` {why}", kai_tools::sanitize::line(base_url))))
    };
    let Ok(uri) = base_url.parse::<http::Uri>() else { return wrong("is not a URL") };
    let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_local || insecure => Ok(()),
        Some("http") => wrong("is not encrypted: use https"),
        _ => wrong("must begin with https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_and_its_urls_are_usable() {
        assert!(providers().len() >= 10);
        for provider in providers() {
            check_url(&provider.base_url, false).unwrap();
        }
    }

    #[test]
    fn names() {
        assert_eq!(named("openai:gpt-5").0.unwrap().name, "openai");
        assert_eq!(named("ollama:qwen3:8b").1, "qwen3:8b");
        assert!(named("qwen3:8b").0.is_none());
    }

    #[test]
    fn keys_do_not_travel_in_the_clear() {
        for bad in [
            "http://models.example/v1",
            "ftp://x",
            "models.example",
            "http://127.0.0.1.evil.example/v1",
            "http://10.0.0.1/v1",
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        for good in [
            "https://models.example/v1",
            "http://localhost:1/v1",
            "http://127.0.0.1:1/v1",
            "http://[::1]:1/v1",
        ] {
            assert!(check_url(good, false).is_ok(), "{good}");
        }
    }
}
