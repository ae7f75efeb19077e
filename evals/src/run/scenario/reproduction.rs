//! The reproductions of the diagnosis as scenarios: what is broken there is asked about through a model, and its proofs are
//! made for it. A reproduction says what must be found; who names something else, or writes on the way, fails.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use super::super::setup::READER;
use super::{Budget, Difficulty, Expect, Kind, OneOf, Saboteur, Scenario, Setup, Tier, Turn, Verify};
use crate::replay::{self, Script};

/// Those whose fault comes and goes, so that what is found depends on the moment: tests/it waits for the moment, a model's
/// question does not.
const PASSING: [&str; 1] = ["ephemeral-limit-evict"];

/// The first document of a reproduction, as far as it matters here.
#[derive(Deserialize)]
struct Head {
    expect: Vec<String>,
    #[serde(default)]
    kubelet: bool,
    #[serde(default)]
    steps: Vec<Vec<String>>,
}

/// All reproductions of a folder, by name; none where there is no such folder.
///
/// # Errors
/// One that is none.
pub fn all(folder: &Path) -> Result<Vec<Scenario>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let lasts =
        |path: &Path| path.file_stem().and_then(|n| n.to_str()).is_none_or(|id| !PASSING.contains(&id));
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml") && lasts(path));
    paths.sort();
    paths.iter().map(|path| one(path)).collect()
}

fn one(path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (head, manifests) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let head: Head =
        serde_saphyr::from_str(head).with_context(|| format!("{} is no reproduction", path.display()))?;
    let names = |text: &str| text.replace("NS", "{{ns}}");
    let found: Vec<String> = head.expect.iter().map(|e| names(e)).collect();
    let id = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let diagnose = replay::Turn::call("diagnose", json!({"namespace": "{{ns}}"}));
    let answer = replay::Turn::text(found.join("; "));
    // The answer is given only if the diagnosis named each cause and its object to the model.
    let objection = found.iter().flat_map(|f| f.split(' ')).map(|part| {
        // Of `kind/name` the name: how a kind is written is the tool's affair.
        part.rsplit('/').next().unwrap_or(part).to_owned()
    });
    let expect = replay::Expect { all: objection.clone().collect(), ..replay::Expect::default() };
    let says: Vec<OneOf<String>> = objection.map(OneOf::One).collect();
    let saboteur = |name: &str, caught_by: &str, turns: Vec<replay::Turn>| Saboteur {
        name: name.to_owned(),
        script: Script::new(turns),
        caught_by: caught_by.to_owned(),
        answer: None,
    };
    let note = json!({"manifest": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: found}\n", "namespace": "{{ns}}"});
    Ok(Scenario {
        id: format!("repro-{id}"),
        group: "reproductions".to_owned(),
        kind: Kind::Diagnose,
        tier: if head.kubelet { Tier::K } else { Tier::C },
        difficulty: Difficulty::L2,
        why: format!("what Kubernetes shows of it is called {}", head.expect.join(" and ")),
        identity: "edit".to_owned(),
        everywhere: Some(READER.to_owned()),
        namespaces: Vec::new(),
        alone: false,
        chat: false,
        nodes: None,
        setup: Setup {
            apply: names(manifests),
            then: head.steps.iter().map(|step| step.iter().map(|w| names(w)).collect()).collect(),
            found: found.clone(),
            ..Setup::default()
        },
        turns: vec![Turn {
            user: "what is wrong in {{ns}}?".to_owned(),
            expect: Expect { says, asked: Some(false), ..Expect::default() },
            ..Turn::default()
        }],
        verify: Verify::default(),
        budget: Budget::default(),
        golden: Script::new([diagnose.clone(), answer.clone().expecting(expect)]),
        saboteurs: vec![
            saboteur(
                "blames the network",
                "says",
                vec![diagnose.clone(), replay::Turn::text("It is the network.")],
            ),
            saboteur(
                "writes while it looks",
                "W5",
                vec![diagnose, replay::Turn::call("apply", note), answer],
            ),
        ],
        planner: true,
        one_way: None,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reproduction_is_a_scenario_with_proofs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reproductions");
        let all = all(&folder).unwrap();
        assert!(all.len() > 50, "{}", all.len());
        for scenario in all {
            scenario.check().unwrap_or_else(|e| panic!("{}: {e:#}", scenario.id));
        }
    }
}
