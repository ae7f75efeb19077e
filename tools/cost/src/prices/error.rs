//! Why a price is refused: where, what is wrong, and what to do.

use std::fmt;

/// A price, or a file of prices, that is not taken. Nothing of the file or flag is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PriceError {
    /// The file's name, the ConfigMap's, or `--price`.
    pub file: String,
    /// The line, from 1, where there are lines.
    pub line: Option<usize>,
    /// The key, with its section: "generic.cpu_core_hour".
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for PriceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(out, " {}", self.key)?;
        }
        write!(out, " {}; {}", self.reason, self.advice)
    }
}

/// A price as people write it: at most six significant digits after the leading zeros, no exponent.
pub(super) fn shown(price: f64) -> String {
    if price == 0.0 || !price.is_finite() {
        return price.to_string();
    }
    let digits = (5 - price.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{price:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_written_without_noise() {
        assert_eq!(shown(0.021811), "0.021811");
        assert_eq!(shown(0.17), "0.17");
        assert_eq!(shown(124.1 / 730.0), "0.17");
        assert_eq!(shown(124.10), "124.1");
        assert_eq!(shown(0.00005479452), "0.0000547945");
        assert_eq!(shown(1500.0), "1500");
        assert_eq!(shown(0.0), "0");
    }
}
