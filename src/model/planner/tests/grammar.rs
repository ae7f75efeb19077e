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
