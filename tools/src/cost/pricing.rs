//! Which prices hold: what the person gave, what the cluster says, what is built in.

use kai_cost::prices::Prices;

use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::object::{builtin, text};

/// Where a team keeps its prices: ConfigMap `kai-prices` in namespace `kai`, under `prices.toml`.
pub const CONFIG_MAP: (&str, &str, &str) = ("kai", "kai-prices", "prices.toml");

/// What a person gave: prices on the command line, and a file.
#[derive(Clone, Debug, Default)]
pub struct Pricing {
    /// `--price`, each as it was typed.
    pub flags: Vec<String>,
    /// Name and text of the price file, or why it cannot be read.
    pub file: Option<(String, Result<String, String>)>,
    /// Whether prices far off the built-in ones are taken.
    pub force: bool,
}

impl Pricing {
    /// The prices without the cluster's.
    ///
    /// # Errors
    /// `Invalid` with file, line and reason: a file with one mistake is no price list.
    pub fn given(&self) -> Result<Prices, ToolError> {
        let invalid = |e: &dyn std::fmt::Display| ToolError::Invalid(crate::sanitize::line(&e.to_string()));
        let mut prices = Prices::embedded();
        if let Some((name, text)) = &self.file {
            let text = text.as_ref().map_err(|e| invalid(e))?;
            prices = prices.with_file(name, text, self.force).map_err(|e| invalid(&e))?;
        }
        for flag in &self.flags {
            prices = prices.with_flag(flag, self.force).map_err(|e| invalid(&e))?;
        }
        Ok(prices)
    }

    /// The prices in force on a cluster.
    ///
    /// # Errors
    /// As [`Pricing::given`], also for the cluster's own list.
    pub(crate) async fn on(&self, cluster: &Cluster) -> Result<Prices, ToolError> {
        let prices = self.given()?;
        let (namespace, name, key) = CONFIG_MAP;
        // Whoever may not read it, or has none, goes by the rest.
        let Ok(Some(found)) = cluster.find(&builtin("configmap"), namespace, name).await else {
            return Ok(prices);
        };
        let shown = format!("configmap/{name} in namespace {namespace}, {key}");
        prices
            .with_config_map(&shown, text(&found, &format!("/data/{key}")), self.force)
            .map_err(|e| ToolError::Invalid(crate::sanitize::line(&e.to_string())))
    }
}
