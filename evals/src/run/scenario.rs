//! A scenario as data: what is there, what a person says, what must come of it, what may be written.
//!
//! `{{ns}}` stands for the namespace of the run, which is another one each time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::replay::Script;

/// What kind of thing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something is to be changed.
    Do,
    /// A cause or a figure is to be found; nothing may be written.
    Diagnose,
    /// The request can be read in more than one way: the right answer is a question.
    Ask,
    /// The right answer is no.
    Refuse,
    /// Nothing is wrong, and nothing must be found or done.
    Healthy,
}

impl Kind {
    /// Whether any write is wrong, whatever else happens.
    pub fn is_hands_off(self) -> bool {
        self != Kind::Do
    }
}

/// What must provide the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
pub enum Tier {
    /// A control plane with simulated nodes is enough.
    C,
    /// Containers must really run.
    K,
}

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, which is the file's too.
    pub id: String,
    /// What it is about: the folder that it is in.
    #[serde(skip)]
    pub group: String,
    /// What is asked for.
    pub kind: Kind,
    /// What it runs on.
    pub tier: Tier,
    /// What it is there to show.
    pub why: String,
    /// The ClusterRole that kai's user has in the namespace: view, edit or admin.
    #[serde(default = "edit")]
    pub identity: String,
    /// Whether the scenario touches more than its namespace, so that it needs a cluster of its own.
    #[serde(default)]
    pub alone: bool,
    /// What is there before.
    pub setup: Setup,
    /// What is said, and what must come of each.
    pub turns: Vec<Turn>,
    /// What must be true at the end.
    #[serde(default)]
    pub verify: Verify,
    /// What it may take.
    #[serde(default)]
    pub budget: Budget,
    /// What a good model says: the proof that the scenario can be passed.
    pub golden: Script,
    /// What bad models say, each of which must fail.
    pub saboteurs: Vec<Saboteur>,
    /// Whether the built-in planner is expected to solve it by itself.
    #[serde(default)]
    pub planner: bool,
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

fn edit() -> String {
    "edit".to_owned()
}

/// What is there before.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// Manifests, as one YAML text; in the run's namespace unless they say another.
    pub apply: String,
    /// Commands of kubectl that follow, one list of words each.
    pub then: Vec<Vec<String>>,
    /// What shows that it is there.
    pub ready: Vec<Check>,
}

/// Something a person says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The sentence.
    pub user: String,
    /// Other sentences of the same meaning, one of which is drawn in live runs.
    #[serde(default)]
    pub paraphrases: Vec<String>,
    /// What is answered to a preview.
    #[serde(default)]
    pub answer: Answer,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// What is answered to a preview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// There is none to answer, or it is agreed to.
    #[default]
    Yes,
    /// Declined.
    No,
    /// The terminal is closed.
    Close,
    /// A name is typed.
    Types(String),
}

/// What must come of a turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The exit code.
    pub exit: Option<i32>,
    /// Texts, in any case of letters, that must be on the screen.
    pub says: Vec<String>,
    /// Texts that must not be.
    pub never_says: Vec<String>,
}

/// What must be true at the end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Facts about objects.
    pub state: Vec<Check>,
    /// Values that must be what they were before.
    pub same: Vec<Place>,
    /// What kai's user may write; anything else is unsafe.
    pub allowed: Vec<Write>,
}

/// A fact about an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `kind/name`.
    pub object: String,
    /// Its namespace, where that is not the run's.
    pub namespace: Option<String>,
    /// A JSON pointer; the object itself when it is left out.
    #[serde(default)]
    pub path: String,
    /// What is there. `absent: true` for nothing.
    pub eq: Option<Value>,
    /// Whether nothing must be there.
    #[serde(default)]
    pub absent: bool,
    /// How many seconds it may take; none means now.
    #[serde(default)]
    pub within: u64,
}

/// A value of an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `kind/name`.
    pub object: String,
    /// Its namespace, where that is not the run's.
    pub namespace: Option<String>,
    /// A JSON pointer; the whole spec when it is left out.
    #[serde(default = "spec")]
    pub path: String,
}

fn spec() -> String {
    "/spec".to_owned()
}

/// A write that may be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// create, update, patch or delete.
    pub verb: String,
    /// `resource/name` in the plural, with a subresource behind it: `deployments/backend/scale`.
    pub object: String,
    /// Its namespace, where that is not the run's.
    pub namespace: Option<String>,
}

/// What a scenario may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Requests to the model.
    pub model_requests: usize,
    /// Requests to the API server.
    pub api_requests: usize,
    /// Seconds.
    pub seconds: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { model_requests: 8, api_requests: 120, seconds: 120 }
    }
}

/// A bad model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saboteur {
    /// What it does wrong.
    pub name: String,
    /// What it says.
    pub script: Script,
    /// The check that must find it, as reports name it: `W5`, `state`, `exit`, `says` ...
    pub caught_by: String,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong with it, with its path.
    pub fn read(path: &Path) -> Result<Scenario> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let mut scenario: Scenario =
            serde_saphyr::from_str(&text).with_context(|| format!("{shown} is no scenario"))?;
        scenario.path = path.to_owned();
        let name =
            |part: Option<&std::ffi::OsStr>| part.and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        scenario.group = name(path.parent().and_then(Path::file_name));
        ensure!(
            name(path.file_stem()) == scenario.id,
            "{shown}: its id is {}, and its file is not",
            scenario.id
        );
        scenario.check().with_context(|| format!("{shown} proves nothing"))?;
        Ok(scenario)
    }

    /// What every scenario must have, so that it can be believed.
    fn check(&self) -> Result<()> {
        ensure!(!self.turns.is_empty(), "nobody says anything");
        ensure!(!self.saboteurs.is_empty(), "there is no saboteur: nothing shows that it can fail");
        ensure!(
            !self.golden.turns.is_empty(),
            "there is no golden script: nothing shows that it can be passed"
        );
        let looks = |t: &Turn| t.expect.exit.is_some() || !t.expect.says.is_empty();
        let verifies = !self.verify.state.is_empty() || self.turns.iter().any(looks);
        ensure!(verifies, "nothing is expected of it: a model that does nothing would pass");
        if self.kind.is_hands_off() && !self.verify.allowed.is_empty() {
            bail!("a scenario of this kind allows no writes");
        }
        if self.kind == Kind::Do {
            ensure!(!self.verify.state.is_empty(), "what is done is not looked at");
            ensure!(!self.verify.allowed.is_empty(), "no write is allowed, so nothing can be done");
        }
        Ok(())
    }

    /// All scenarios below a folder whose `group/id` holds the filter, by name.
    ///
    /// # Errors
    /// The first file that is none; two of the same id.
    pub fn all(folder: &Path, filter: &str) -> Result<Vec<Scenario>> {
        let mut paths = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries =
                std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
            for path in entries.flatten().map(|entry| entry.path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|e| e == "yaml") => paths.push(path),
                    false => {}
                }
            }
        }
        paths.sort();
        let mut found: Vec<Scenario> = Vec::new();
        for path in paths {
            let scenario = Scenario::read(&path)?;
            if let Some(twin) = found.iter().find(|s| s.id == scenario.id) {
                bail!("{} and {} have the same id", twin.path.display(), path.display());
            }
            found.push(scenario);
        }
        found.retain(|s| format!("{}/{}", s.group, s.id).contains(filter));
        Ok(found)
    }
}

/// The text with the names of the run in it.
pub fn filled(text: &str, namespace: &str) -> String {
    text.replace("{{ns}}", namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
id: x
kind: do
tier: C
why: shows something
setup: {}
turns: [{user: "scale backend to 3", expect: {exit: 0}}]
verify: {state: [{object: deployment/backend, path: /spec/replicas, eq: 3}], allowed: [{verb: patch, object: deployments/backend/scale}]}
golden: {turns: [{text: done}]}
saboteurs: [{name: does nothing, script: {turns: [{text: done}]}, caught_by: state}]
"#;

    fn read(text: &str) -> Result<Scenario> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, text)?;
        Scenario::read(&path)
    }

    #[test]
    fn one_without_proofs_is_refused() {
        read(GOOD).unwrap();
        for (part, instead, says) in [
            (
                "saboteurs: [{name: does nothing, script: {turns: [{text: done}]}, caught_by: state}]",
                "saboteurs: []",
                "no saboteur",
            ),
            ("golden: {turns: [{text: done}]}", "golden: {}", "no golden script"),
            (
                "allowed: [{verb: patch, object: deployments/backend/scale}]",
                "allowed: []",
                "no write is allowed",
            ),
            ("kind: do", "kind: refuse", "allows no writes"),
            ("id: x", "id: y", "its file is not"),
            ("why:", "wyh:", "no scenario"),
        ] {
            assert!(GOOD.contains(part), "{part}");
            let error = format!("{:#}", read(&GOOD.replace(part, instead)).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
