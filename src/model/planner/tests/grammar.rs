//! Every example of the grammar, and what must hold for all phrases.

use super::super::Core;
use super::super::parse::Parsed;
use super::{alone, calls};

#[test]
fn every_example_becomes_its_calls_and_nothing_else() {
    let core = Core::get().expect("the grammar compiles");
    let mut wrong = Vec::new();
    let (mut examples, mut templates, mut tools) = (0, 0, 0);
    for phrase in &core.grammar.phrases {
        templates += phrase.says.len();
        tools += usize::from(phrase.meaning.is_none());
        if phrase.meaning.is_none() && kai_tools::catalog::find(&phrase.tool).is_none() {
            wrong.push(format!("no tool {}: {}", phrase.tool, phrase.says[0]));
        }
        if phrase.meaning.is_none() && phrase.examples.is_empty() {
            wrong.push(format!("no example: {}", phrase.says[0]));
        }
        for example in &phrase.examples {
            examples += 1;
            match alone(&example.say) {
                Parsed::Calls { calls: got, notes } if got == calls(&example.calls) && notes.is_empty() => {}
                other => wrong.push(format!("{}: {other:?}", example.say)),
            }
        }
    }
    println!(
        "{tools} phrases for tools, {} in all, {templates} templates, {examples} examples",
        core.grammar.phrases.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A grammar with these phrases and little else.
fn small(phrases: &str) -> Result<Core, String> {
    let lists = "openers anywhere closers joiners guards not_names names_anyway suffixes vague actions";
    let lists: String = lists.split(' ').map(|name| format!("{name} = []\n")).collect();
    let tables: String =
        ["numbers", "multipliers", "units", "spans", "fragments"].map(|t| format!("[{t}]\n")).concat();
    let kind = "[[kind]]\nname = \"pod\"\nwords = [\"pod\"]\n";
    Core::read(&format!("{lists}offer = []\n{tables}{kind}{phrases}"))
}

#[test]
fn two_phrases_that_cover_a_sentence_with_different_meanings_are_a_question() {
    let two = "[[phrase]]\ntool = \"scale\"\nsays = [\"bump {workload}\"]\n[[phrase]]\ntool = \"rollout\"\nsays = [\"bump {workload}\"]\n";
    match small(two).unwrap().parse("bump web", &[], 0) {
        Parsed::Question { choices, .. } => assert_eq!(choices.len(), 2),
        other => panic!("{other:?}"),
    }
    let same = two.replace("rollout", "scale");
    assert!(
        matches!(small(&same).unwrap().parse("bump web", &[], 0), Parsed::Calls { calls, .. } if calls.len() == 1)
    );
}

#[test]
fn a_grammar_that_is_wrong_is_refused_with_the_place() {
    for (phrases, says) in [
        ("[[phrase]]\ntool = \"get\"\nsays = [\"show {nothing}\"]", "nothing"),
        ("[[phrase]]\ntool = \"get\"\nsays = [\"show <nothing>\"]", "nothing"),
        ("[[phrase]]\ntool = \"get\"\nsays = [\"show (a | b\"]", "missing"),
        ("[[phrase]]\ntool = \"get\"\nsays = []", "says nothing"),
        (
            "[[phrase]]\ntool = \"get\"\nsays = [\"show\"]\nexamples = [{ say = \"show\", calls = [] }]",
            "does not say its calls",
        ),
        ("[[phrase]]\nsays = [\"show\"]", "either a tool or a meaning"),
        ("[[phrase]]\nmeaning = \"same\"\nsays = [\"same\"]", "alone"),
        ("[[phrase]]\ntool = \"get\"\nsays = [\"show\"]\nwhen = 1", "when"),
        (
            "[[kind]]\nname = \"node\"\nwords = [\"pod\"]\n[[phrase]]\ntool = \"get\"\nsays = [\"show\"]",
            "two kinds",
        ),
    ] {
        let error = small(phrases).err().unwrap_or_else(|| panic!("accepted: {phrases}"));
        assert!(error.contains(says), "{phrases}: {error}");
    }
}
