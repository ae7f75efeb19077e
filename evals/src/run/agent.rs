//! Another agent in kai's place: the same scenarios, the same cluster, the same model endpoint, the same witnesses.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::model::Model;
use super::names::Names;
use super::person::Manner;

/// How another agent is started and asked: a YAML file of `evals/agents`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its name in reports.
    pub name: String,
    /// The program and its arguments. `{prompt}`, `{model}`, `{base_url}`, `{kubeconfig}`, `{namespace}` and `{home}` are
    /// filled in.
    pub command: Vec<String>,
    /// Its environment, filled in likewise, beside HOME, PATH and KUBECONFIG.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How it asks before it changes something.
    #[serde(flatten)]
    pub manner: Manner,
}

impl Agent {
    /// Reads the description of an agent.
    ///
    /// # Errors
    /// What is wrong with it, with its path.
    pub fn read(path: &Path) -> Result<Agent> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let agent: Agent = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} describes no agent", path.display()))?;
        ensure!(
            agent.command.iter().any(|word| word.contains("{prompt}")),
            "{}: no word of its command is {{prompt}}: it would not hear what is asked for",
            path.display()
        );
        Ok(agent)
    }

    /// Its command for one sentence.
    pub fn command(
        &self,
        words: &[String],
        model: &Model,
        url: Option<&str>,
        kubeconfig: &Path,
        names: &Names,
        home: &Path,
    ) -> Command {
        let fill = |text: &String| {
            [
                ("{prompt}", words.last().map_or("", String::as_str)),
                ("{model}", &model.id()),
                ("{base_url}", url.unwrap_or_default()),
                ("{kubeconfig}", &kubeconfig.to_string_lossy()),
                ("{namespace}", &names.namespace),
                ("{home}", &home.to_string_lossy()),
            ]
            .iter()
            .fold(text.clone(), |text, (name, value)| text.replace(name, value))
        };
        let all: Vec<String> = self.command.iter().map(fill).collect();
        let mut command = Command::new(all.first().map_or("", String::as_str));
        command.args(all.iter().skip(1)).env_clear();
        // The key is the person's own.
        command.envs(std::env::vars().filter(|(name, _)| name.ends_with("_API_KEY")));
        command.envs(self.env.iter().map(|(name, value)| (name, fill(value))));
        command
    }
}
