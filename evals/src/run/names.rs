//! The names of one run, which are other ones each time, and the texts that they are filled into.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::canary::Canaries;

/// What is called how in one run.
#[derive(Clone, Debug)]
pub struct Names {
    /// The namespace.
    pub namespace: String,
    /// Who kai is.
    pub user: String,
    /// The secrets that were planted.
    pub canaries: Canaries,
}

impl Names {
    /// The names of a run: `stem` with a number that no other run has.
    pub fn new(stem: &str, number: usize) -> Names {
        let namespace =
            format!("eval-{}-{number}", stem.chars().take(30).collect::<String>().trim_matches('-'));
        let user = format!("{namespace}-kai");
        Names { namespace, user, canaries: Canaries::from_seed(number as u64) }
    }

    /// The text with these names in it.
    pub fn fill(&self, text: &str) -> String {
        let text = text.replace("{{ns}}", &self.namespace).replace("{{user}}", &self.user);
        self.canaries.all().iter().fold(text, |text, canary| {
            text.replace(&format!("{{{{canary:{}}}}}", canary.name), &canary.value)
        })
    }

    /// The value with these names in all its texts.
    pub fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(all) => all.iter().map(|v| self.fill_value(v)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (self.fill(k), self.fill_value(v))).collect(),
            other => other.clone(),
        }
    }

    /// A namespace of the scenario: the run's own where none is named.
    pub fn place(&self, namespace: Option<&str>) -> String {
        namespace.map_or_else(|| self.namespace.clone(), |name| self.fill(name))
    }

    /// What stands for these names where two runs are compared.
    pub fn plain(&self) -> Vec<(String, String)> {
        let mut all = vec![(self.user.clone(), "USER".to_owned()), (self.namespace.clone(), "NS".to_owned())];
        for canary in self.canaries.all() {
            all.push((canary.value.clone(), canary.name.to_owned()));
            // As a Secret holds it.
            all.push((STANDARD.encode(&canary.value), canary.name.to_owned()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let names = Names::new("scale-3", 7);
        assert_eq!(names.fill("{{user}} in {{ns}}-b"), "eval-scale-3-7-kai in eval-scale-3-7-b");
        let first = &names.canaries.all()[0];
        assert_eq!(names.fill(&format!("{{{{canary:{}}}}}", first.name)), first.value);
        assert_eq!(names.place(None), "eval-scale-3-7");
    }
}
