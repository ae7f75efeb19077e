//! A sentence to calls, to a question, or to the words that could not be placed.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::Core;
use super::automaton::Reading;
use super::context::Context;
use super::grammar::Meaning;
use super::resolve::{Call, Choice, Outcome, resolve};
use super::tokens::{Token, tokens};
use crate::conversation::Message;

/// What a sentence comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// Fully understood. `notes` says what was read with a corrected spelling.
    Calls { calls: Vec<Call>, notes: Vec<String> },
    /// It can be read in more than one way.
    Question { ask: String, choices: Vec<Choice> },
    /// Not acted upon.
    Unplaced {
        /// What was said and has no place, in runs of words; empty when all is understood and `reason` says why it cannot be.
        words: Vec<String>,
        /// The rest, when it makes sense by itself.
        understood: Option<String>,
        /// Sentences that are near.
        nearest: Vec<String>,
        reason: Option<String>,
    },
}

/// Longer sentences are not plain sentences.
const TOKENS_MAX: usize = 120;
const BYTES_MAX: usize = 4_000;

impl Core {
    /// Parses the sentence after the messages that stand before it.
    pub fn parse(&self, sentence: &str, before: &[Message], depth: u8) -> Parsed {
        let sentence = sentence.trim();
        if sentence.chars().any(|c| c.is_control() && c != '\t') {
            return unplaced("Several lines or control characters: say one request in one line.");
        }
        let tokens = if sentence.len() > BYTES_MAX { Vec::new() } else { tokens(sentence) };
        if sentence.is_empty() {
            return unplaced("Nothing was asked.");
        }
        if tokens.is_empty() || tokens.len() > TOKENS_MAX {
            return unplaced("That is too long for one plain request.");
        }
        if let Some(priced) = self.priced(sentence, before, depth) {
            return priced;
        }
        let context = self.context(before, depth);
        match decide(self.outcomes(&tokens, &context)) {
            Some(parsed) => parsed,
            None => self.corrected(&tokens, &context).unwrap_or_else(|| self.leftover(&tokens, &context)),
        }
    }

    /// The conversation so far, with the planner's own last question if it still is open.
    fn context<'a>(&self, before: &'a [Message], depth: u8) -> Context<'a> {
        let mut context = Context::of(before, &self.grammar);
        let asked = match before {
            [earlier @ .., Message::User { text: sentence }, Message::Assistant { text, calls, .. }]
                if calls.is_empty() && text.contains("1. ") && depth > 0 =>
            {
                Some((earlier, sentence, text))
            }
            _ => None,
        };
        if let Some((earlier, sentence, text)) = asked
            && let Parsed::Question { ask, choices } = self.parse(sentence, earlier, depth - 1)
            && super::question(&ask, &choices) == *text
        {
            context.pending = choices;
        }
        context
    }

    /// Every different thing that the whole sentence can mean.
    fn outcomes(&self, tokens: &[Token], context: &Context) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for reading in self.automaton.run(tokens, &self.grammar, false) {
            let outcome = resolve(&reading.clauses, &self.grammar, context);
            let answers = self.grammar.phrases[reading.clauses[0].phrase].meaning == Some(Meaning::Pick);
            if answers && matches!(outcome, Outcome::Calls(_)) {
                // A question is open and this answers it: "the statefulset" is no request to list them.
                return vec![outcome];
            }
            if !outcomes.contains(&outcome) {
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    /// The sentence with one misspelt word corrected: taken as such for queries, asked about for actions.
    fn corrected(&self, given: &[Token], context: &Context) -> Option<Parsed> {
        let index = &self.grammar.index;
        let known: HashSet<&String> = index.correctable.iter().collect();
        let mut fixes: Vec<(String, Vec<Call>)> = Vec::new();
        for (at, token) in given.iter().enumerate() {
            let plain =
                !token.quoted && token.low.len() > 2 && token.low.bytes().all(|b| b.is_ascii_lowercase());
            if !plain || known.contains(&token.low) || index.reserved.contains(&token.low) {
                continue;
            }
            for word in &index.correctable {
                if word.len().abs_diff(token.low.len()) > 1 || strsim::osa_distance(word, &token.low) != 1 {
                    continue;
                }
                let mut tokens = given.to_vec();
                tokens[at].low.clone_from(word);
                tokens[at].raw.clone_from(word);
                if let [Outcome::Calls(calls)] = self.outcomes(&tokens, context).as_slice()
                    && !fixes.iter().any(|(_, c)| c == calls)
                {
                    fixes.push((spoken(&tokens), calls.clone()));
                }
            }
        }
        let query = |calls: &[Call]| !calls.iter().any(|c| self.grammar.is_action(&c.name));
        match fixes.as_slice() {
            [] => None,
            [(sentence, calls)] if query(calls) => Some(Parsed::Calls {
                calls: calls.clone(),
                notes: vec![format!("I read that as “{sentence}”.")],
            }),
            _ => {
                let choices =
                    fixes.into_iter().take(5).map(|(label, calls)| Choice { label, calls }).collect();
                Some(Parsed::Question { ask: "Did you mean this?".into(), choices })
            }
        }
    }

    /// What could not be placed, and what could.
    fn leftover(&self, tokens: &[Token], context: &Context) -> Parsed {
        let best =
            self.automaton.run(tokens, &self.grammar, true).into_iter().min_by_key(|r| r.dropped.len());
        let useful = best.filter(|r| self.makes_sense(r, tokens, context));
        let dropped = useful.as_ref().map_or_else(|| (0..tokens.len()).collect(), |r| r.dropped.clone());
        let kept =
            (0..tokens.len()).filter(|i| !dropped.contains(i)).map(|i| tokens[i].clone()).collect::<Vec<_>>();
        Parsed::Unplaced {
            words: runs(tokens, &dropped),
            understood: useful.map(|_| spoken(&kept)),
            nearest: self.nearest(tokens),
            reason: None,
        }
    }

    /// Whether what is left after leaving words out is more than an accident.
    fn makes_sense(&self, reading: &Reading, tokens: &[Token], context: &Context) -> bool {
        reading.dropped.len() * 2 <= tokens.len()
            && tokens.len() - reading.dropped.len() > 1
            && reading.clauses.iter().any(|c| self.grammar.phrases[c.phrase].meaning.is_none())
            && matches!(
                resolve(&reading.clauses, &self.grammar, context),
                Outcome::Calls(_) | Outcome::Question { .. }
            )
    }

    /// The examples that share most words with the sentence.
    fn nearest(&self, given: &[Token]) -> Vec<String> {
        let said: HashSet<&str> = given.iter().filter(|t| !t.quoted).map(|t| t.low.as_str()).collect();
        let index = &self.grammar.index;
        let weight = |word: &str| match word {
            _ if !said.contains(word) || !index.reserved.contains(word) => 0,
            _ if self.grammar.anywhere.iter().chain(&self.grammar.openers).any(|a| a == word) => 0,
            _ if word.len() < 3
                || self.grammar.numbers.contains_key(word)
                || word == "what"
                || word == "show" =>
            {
                1
            }
            _ => 4,
        };
        // Of those that share as much, the shortest.
        let score = |say: &str| {
            let words = tokens(say);
            let different: HashSet<&str> = words.iter().map(|t| t.low.as_str()).collect();
            (different.into_iter().map(weight).sum::<u32>(), Reverse(words.len()))
        };
        let mut ranked = Vec::new();
        for phrase in &self.grammar.phrases {
            let best = phrase
                .examples
                .iter()
                .map(|e| (score(&e.say), e.say.as_str()))
                .max_by_key(|(score, _)| *score);
            ranked.extend(best.filter(|((shared, _), _)| *shared > 3));
        }
        ranked.sort_by_key(|(score, _)| Reverse(*score));
        ranked.into_iter().take(3).map(|(_, say)| say.to_owned()).collect()
    }
}

/// One meaning is taken; several are a question; a refusal or an open pronoun outweighs them.
fn decide(outcomes: Vec<Outcome>) -> Option<Parsed> {
    let mut calls: Vec<Vec<Call>> = Vec::new();
    let mut question = None;
    let mut refused = None;
    let mut nothing = None;
    for outcome in outcomes {
        match outcome {
            Outcome::Calls(c) => calls.push(c),
            Outcome::Question { ask, choices } => question = Some(Parsed::Question { ask, choices }),
            Outcome::Refused(reason) => refused = Some(unplaced(&reason)),
            Outcome::Nothing(reason) if reason.is_empty() => {}
            Outcome::Nothing(reason) => nothing = Some(unplaced(&reason)),
        }
    }
    match (refused, question, calls.len()) {
        (Some(refused), ..) => Some(refused),
        (None, Some(question), 0) => Some(question),
        (None, None, 0) => nothing,
        (None, None, 1) => Some(Parsed::Calls { calls: calls.swap_remove(0), notes: Vec::new() }),
        // A reading that needs no question does not go under for one that does.
        (None, question, _) => {
            if let Some(Parsed::Question { choices, .. }) = question {
                for choice in choices {
                    if !calls.contains(&choice.calls) {
                        calls.push(choice.calls);
                    }
                }
            }
            let choices = calls.into_iter().map(|calls| Choice { label: describe(&calls), calls }).collect();
            Some(Parsed::Question {
                ask: "That can be read in more than one way. Which is meant?".into(),
                choices,
            })
        }
    }
}

/// Calls in words, for a question about their meaning.
pub fn describe(calls: &[Call]) -> String {
    let one = |call: &Call| {
        let args = call.args.iter().map(|(k, v)| match v.as_str() {
            Some(text) => format!("{k} {text}"),
            None => format!("{k} {v}"),
        });
        format!("{} ({})", call.name, args.collect::<Vec<_>>().join(", "))
    };
    calls.iter().map(one).collect::<Vec<_>>().join(" and ")
}

fn unplaced(reason: &str) -> Parsed {
    Parsed::Unplaced {
        words: Vec::new(),
        understood: None,
        nearest: Vec::new(),
        reason: Some(reason.to_owned()),
    }
}

/// Neighbouring places as one text each.
fn runs(tokens: &[Token], places: &[usize]) -> Vec<String> {
    let mut runs: Vec<Vec<Token>> = Vec::new();
    let mut last = None;
    for &at in places {
        match runs.last_mut() {
            Some(run) if last == Some(at.wrapping_sub(1)) => run.push(tokens[at].clone()),
            _ => runs.push(vec![tokens[at].clone()]),
        }
        last = Some(at);
    }
    runs.iter().map(|run| spoken(run)).collect()
}

/// Tokens as a person would write them.
fn spoken(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        let mark = !token.quoted && matches!(token.low.as_str(), "." | "," | ";" | "!" | "?" | ":" | "'s");
        if !text.is_empty() && !mark {
            text.push(' ');
        }
        match token.quoted {
            true => text.push_str(&format!("\"{}\"", token.raw)),
            false => text.push_str(&token.raw),
        }
    }
    text
}
