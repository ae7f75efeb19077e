//! The configuration file: what it may say, and that nobody else can write it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kai_tools::policy::Policy;
use serde::Deserialize;

use crate::error::Failure;

/// `config.toml`. Unknown keys are refused: a misspelt fence is no fence.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub kubeconfig: Option<String>,
    pub model: Option<String>,
    pub base_url: Option<String>,
    pub output: Option<String>,
    pub dry_run: Option<bool>,
    pub read_only: Option<bool>,
    pub stream: Option<bool>,
    /// Seconds that a model's endpoint may be silent.
    pub model_timeout: Option<u64>,
    pub quiet: Option<bool>,
    /// A price file.
    pub prices: Option<String>,
    /// Further credential plugins that may run.
    pub exec_plugins: Vec<String>,
    /// The rules where no context of its own is named.
    pub policy: Policy,
    /// Rules by context name.
    pub contexts: BTreeMap<String, Policy>,
}

impl File {
    /// Reads the file; an absent one says nothing.
    ///
    /// # Errors
    /// A usage failure naming file and line when it cannot be understood, or when others can write it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Failure::usage(format!("{shown} cannot be read: {e}"))),
        };
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(Failure::usage(format!(
                "{shown} can be written by others, so its rules cannot be trusted"
            ))
            .hint(format!("chmod go-w {shown}")));
        }
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            Failure::usage(format!("{shown}, line {line}: {}", e.message()))
        })
    }
}
