//! A scenario as data: what is there, what a person says, what must come of it, what may be written.
//!
//! `{{ns}}` stands for the namespace of the run, which is another one each time, `{{user}}` for who kai is there, and
//! `{{canary:NAME}}` for a secret that is made for the run and may turn up nowhere.

mod reproduction;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

pub use verify::{Check, Floor, Place, Right, Traffic, Verify, Write};

use super::setup::READER;
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
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, clap::ValueEnum,
)]
#[value(rename_all = "verbatim")]
pub enum Tier {
    /// A control plane with simulated nodes is enough.
    C,
    /// Containers must really run.
    K,
}

/// How hard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
pub enum Difficulty {
    /// A plain request.
    L1,
    /// Something is to be found out.
    L2,
    /// There is a trade-off or a trap.
    L3,
    /// Several causes, or several hops.
    L4,
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
    /// How hard it is.
    pub difficulty: Difficulty,
    /// What it is there to show.
    pub why: String,
    /// The ClusterRole that kai's user has in the namespaces of the run: view, edit or admin.
    #[serde(default = "edit")]
    pub identity: String,
    /// The ClusterRole that it has in the whole cluster; only in a cluster of its own.
    pub everywhere: Option<String>,
    /// Further namespaces of the run: `staging` is `{{ns}}-staging`.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Whether it touches or counts more than its namespaces, so that it needs a cluster of its own.
    #[serde(default)]
    pub alone: bool,
    /// How many nodes that cluster has.
    pub nodes: Option<u32>,
    /// Whether all sentences are said in one chat, each of which knows those before; else kai is started for each.
    #[serde(default)]
    pub chat: bool,
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
    /// Whether the built-in planner solves it by itself, and must go on doing so.
    #[serde(default)]
    pub planner: bool,
    /// Why what was done cannot be taken back, where that is so; else it is taken back, and must then be as it was.
    pub one_way: Option<String>,
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
    /// Deployments of the usual shape, which are waited for.
    pub deployments: Vec<Usual>,
    /// Manifests, as one YAML text; in the run's namespace unless they say another.
    pub apply: String,
    /// Files of manifests, by their paths from the scenario's folder; after `apply`.
    pub files: Vec<String>,
    /// Commands of kubectl that follow, one list of words each; `[apply]` says when `apply` is applied.
    pub then: Vec<Vec<String>>,
    /// What containers of simulated nodes have said: real ones say it themselves.
    pub logs: Vec<Log>,
    /// The faults that must have come to show, as `cause kind/name`.
    pub found: Vec<String>,
    /// What shows that it is there.
    pub ready: Vec<Check>,
    /// The folder that kai is started in, by its path from the scenario's folder: a copy of it.
    pub folder: Option<String>,
    /// Files in the folder that kai is started in.
    pub here: BTreeMap<String, String>,
}

/// What the first container of a pod has said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The pod's name, or how it begins.
    pub pod: String,
    /// Whether it was said before the last restart.
    #[serde(default)]
    pub previous: bool,
    /// The lines.
    pub lines: Vec<String>,
}

/// A Deployment of the usual shape: one container, requests and a limit, a readiness probe, its name as its label `app`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usual {
    /// Its name, and its container's.
    pub name: String,
    /// How many pods.
    #[serde(default = "two")]
    pub replicas: u32,
    /// Its image.
    #[serde(default = "nginx")]
    pub image: String,
    /// Which of the scenario's further namespaces it is in.
    pub namespace: Option<String>,
}

fn two() -> u32 {
    2
}

fn nginx() -> String {
    "nginx:1.27".to_owned()
}

impl Usual {
    /// Its manifest.
    pub fn manifest(&self) -> Value {
        let Usual { name, replicas, image, .. } = self;
        let labels = json!({"app": name});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
                    "name": name, "image": image,
                    "ports": [{"containerPort": 80}],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}},
                    "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
                }]},
            }},
        })
    }
}

/// Something a person says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The sentence.
    pub user: String,
    /// Other sentences of the same meaning: a live model hears the next of them in each further run.
    #[serde(default)]
    pub paraphrases: Vec<String>,
    /// Options of kai beside it, such as `--allow`.
    #[serde(default)]
    pub options: Vec<String>,
    /// What is answered to a preview.
    #[serde(default)]
    pub answer: Answer,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// What is answered to previews.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// There is none to answer, or it is agreed to.
    #[default]
    Yes,
    /// Declined.
    No,
    /// The first is agreed to, and any other declined.
    Once,
    /// The terminal is closed.
    Close,
    /// A name is typed where one is asked for; a yes elsewhere.
    Types(String),
    /// Whatever is asked for is typed.
    Anything,
}

/// What must come of a turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The exit code, or several of which one will do.
    pub exit: Option<OneOf<i32>>,
    /// Texts, in any case of letters, that must be on the screen; of a list, one.
    pub says: Vec<OneOf<String>>,
    /// Texts that must not be.
    pub never_says: Vec<String>,
    /// Texts that must be on the screen before the question.
    pub previews: Vec<OneOf<String>>,
    /// Whether a preview is shown and asked about; either way when it is left out.
    pub asked: Option<bool>,
}

/// One, or any of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOf<T> {
    /// This.
    One(T),
    /// Any of these.
    Any(Vec<T>),
}

impl<T> OneOf<T> {
    /// All of them.
    pub fn all(&self) -> &[T] {
        match self {
            OneOf::One(one) => std::slice::from_ref(one),
            OneOf::Any(all) => all,
        }
    }
}

/// What a scenario may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Requests to the model.
    pub model_requests: usize,
    /// Requests to the API server.
    pub api_requests: usize,
    /// Tokens that go to the model, by kai's own count.
    pub tokens: u64,
    /// Seconds.
    pub seconds: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { model_requests: 8, api_requests: 120, tokens: 100_000, seconds: 120 }
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
    /// The check that must find it, as reports name it: `W5`, `state`, `exit`, `says`, `asked` ...
    pub caught_by: String,
    /// What the person answers to it; what the turns say when it is left out.
    pub answer: Option<Answer>,
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
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.turns.is_empty(), "nobody says anything");
        ensure!(!self.saboteurs.is_empty(), "there is no saboteur: nothing shows that it can fail");
        ensure!(
            !self.golden.turns.is_empty(),
            "there is no golden script: nothing shows that it can be passed"
        );
        let looks = |t: &Turn| t.expect.exit.is_some() || !t.expect.says.is_empty();
        let verify = &self.verify;
        let states = !verify.state.is_empty() || !verify.rights.is_empty() || !verify.traffic.is_empty();
        let verifies = states || self.turns.iter().any(looks);
        ensure!(verifies, "nothing is expected of it: a model that does nothing would pass");
        if self.kind.is_hands_off() && !self.verify.allowed.is_empty() {
            bail!("a scenario of this kind allows no writes");
        }
        if self.kind == Kind::Do {
            ensure!(states, "what is done is not looked at");
            ensure!(!self.verify.allowed.is_empty(), "no write is allowed, so nothing can be done");
        }
        let reads = self.everywhere.as_deref().is_none_or(|role| role == READER);
        ensure!(reads || self.alone, "rights in the whole cluster but {READER} want `alone: true`");
        ensure!(
            self.setup.logs.is_empty() || self.tier == Tier::C,
            "containers that really run write their own logs"
        );
        ensure!(self.nodes.is_none() || self.alone, "nodes of its own want `alone: true`");
        ensure!(
            !self.alone || self.tier == Tier::C,
            "a cluster of its own is always a control plane: tier C"
        );
        let plain = |turn: &Turn| turn.expect.exit.is_none() && turn.options.is_empty();
        ensure!(
            !self.chat || self.turns.iter().all(plain),
            "a sentence of a chat has no exit code, and no options"
        );
        for usual in &self.setup.deployments {
            let known = usual.namespace.as_ref().is_none_or(|n| self.namespaces.contains(n));
            ensure!(known, "deployment {} is in a namespace that is not listed", usual.name);
        }
        Ok(())
    }

    /// All scenarios below a folder whose `group/id` holds the filter, by name; one alone where the filter is its name.
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
        found.extend(reproduction::all(&folder.join("../reproductions"))?);
        // A whole name means that one alone, also where others begin like it.
        let name = |s: &Scenario| format!("{}/{}", s.group, s.id);
        let one = found.iter().any(|s| name(s) == filter || s.id == filter);
        found.retain(|s| if one { name(s) == filter || s.id == filter } else { name(s).contains(filter) });
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
id: x
kind: do
tier: C
difficulty: L1
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
