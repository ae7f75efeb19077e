//! The corpus: sentences with the calls they must become, and sentences that must not be acted on.

use serde_json::{Map, Value as Json};

use super::super::{Call, Core, Planner, Reply};
use super::ask;

const CORPUS: &str = include_str!("../../../../tests/planner/corpus.txt");

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    CORPUS.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()).map(|l| {
        let (say, expected) = l.rsplit_once(" => ").unwrap_or_else(|| panic!("no ` => ` in `{l}`"));
        (say, expected.trim())
    })
}

/// `scale workload=backend replicas=3 ; …` as calls.
fn expected(text: &str) -> Vec<Call> {
    let value = |v: &str| serde_json::from_str(v).unwrap_or_else(|_| Json::from(v));
    let call = |text: &str| {
        let (name, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut args = Map::new();
        while let Some((key, after)) = rest.split_once('=') {
            let end = match after.strip_prefix('"') {
                Some(quoted) => quoted.find('"').map_or(after.len(), |at| at + 2),
                None => after.find(' ').unwrap_or(after.len()),
            };
            args.insert(key.to_owned(), value(&after[..end]));
            rest = after[end..].trim_start();
        }
        Call { name: name.to_owned(), args }
    };
    text.split(" ; ").map(call).collect()
}

fn got(reply: &Reply) -> Vec<Call> {
    let Reply::Calls(calls) = reply else { return Vec::new() };
    let args = |text: &str| serde_json::from_str(text).unwrap();
    calls.iter().map(|c| Call { name: c.name.clone(), args: args(&c.arguments) }).collect()
}

#[test]
fn every_sentence_of_the_corpus_comes_to_what_it_says() {
    let (mut acts, mut asks, mut leaves) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (say, want) in lines() {
        let reply = Planner.reply(&ask(say));
        let good = if let Some(n) = want.strip_prefix("? ") {
            asks += 1;
            let n: usize = n.parse().unwrap();
            matches!(&reply, Reply::Say { text, understood: true }
                if text.contains(&format!("\n  {n}. ")) && !text.contains(&format!("\n  {}. ", n + 1)))
        } else if let Some(part) = want.strip_prefix("! ") {
            leaves += 1;
            matches!(&reply, Reply::Say { text, understood: false } if text.contains(part))
        } else {
            acts += 1;
            got(&reply) == expected(want)
        };
        if !good {
            wrong.push(format!("{say}\n  wanted {want}\n  got    {reply:?}"));
        }
    }
    println!("{acts} sentences become calls, {asks} a question, {leaves} are left alone");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(acts >= 150 && leaves >= 60, "the corpus has shrunk");
}

#[test]
fn a_sentence_that_is_left_alone_calls_no_action_with_any_filler_around_it() {
    let grammar = &Core::get().unwrap().grammar;
    for (say, _) in lines().filter(|(_, want)| want.starts_with("! ")) {
        for around in ["please {}", "hey kai, {} thanks", "{} now", "{}."] {
            let said = around.replace("{}", say);
            let calls = got(&Planner.reply(&ask(&said)));
            assert!(!calls.iter().any(|c| grammar.is_action(&c.name)), "{said}: {calls:?}");
        }
    }
}
