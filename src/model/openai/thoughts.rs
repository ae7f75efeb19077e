//! Reasoning that some models write into their text between `<think>` and `</think>`: not for the reader (pure).

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Takes text in pieces and gives what is meant for the reader.
#[derive(Default)]
pub struct Thoughts {
    held: String,
    state: State,
}

#[derive(Default, PartialEq)]
enum State {
    /// Nothing but white space or a part of the mark came yet.
    #[default]
    Start,
    Thinking,
    /// The first word after the thoughts is not here yet.
    After,
    Answering,
}

impl Thoughts {
    /// What can be shown once this piece has come.
    pub fn push(&mut self, piece: &str) -> String {
        if self.state == State::Answering {
            return piece.to_string();
        }
        self.held.push_str(piece);
        if self.state == State::Start {
            let said = self.held.trim_start();
            if said.starts_with(OPEN) {
                self.state = State::Thinking;
            } else if said.is_empty() || OPEN.starts_with(said) {
                return String::new();
            } else {
                self.state = State::Answering;
                return std::mem::take(&mut self.held);
            }
        }
        if self.state == State::Thinking
            && let Some((_, answer)) = self.held.split_once(CLOSE)
        {
            self.held = answer.to_string();
            self.state = State::After;
        }
        if self.state == State::After && !self.held.trim_start().is_empty() {
            self.state = State::Answering;
            return std::mem::take(&mut self.held).trim_start().to_string();
        }
        String::new()
    }

    /// What was held back and turned out to be no mark. To be asked at the end.
    pub fn rest(&mut self) -> String {
        if self.state == State::Start { std::mem::take(&mut self.held) } else { String::new() }
    }
}

/// A whole text without its thoughts. Where a model's template opened them, only the closing mark is in the text.
pub fn without(text: &str) -> String {
    let mut thoughts = Thoughts::default();
    let said = thoughts.push(text) + &thoughts.rest();
    match said.split_once(CLOSE) {
        Some((_, answer)) if !said.contains(OPEN) => answer.trim_start().to_string(),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_cut_the_reader_sees_the_answer() {
        for (text, seen) in [
            ("<think>restart it? no</think>\n\nAll is well.", "All is well."),
            ("\n<think></think>ok", "ok"),
            ("<thin air", "<thin air"),
            ("<", "<"),
            ("The mark is <think>, as you see.", "The mark is <think>, as you see."),
            ("<think>never done", ""),
        ] {
            for size in 1..text.len() {
                let mut thoughts = Thoughts::default();
                let pieces = text.as_bytes().chunks(size).map(|c| std::str::from_utf8(c).unwrap());
                let shown: String = pieces.map(|p| thoughts.push(p)).collect();
                assert_eq!(shown + &thoughts.rest(), seen, "{text:?} in pieces of {size}");
            }
            assert_eq!(without(text), seen);
        }
        assert_eq!(without("hm, hm</think> yes"), "yes");
    }
}
