//! A sentence cut into tokens: words, quoted text, and the punctuation that separates them. Loses nothing but white space.

/// One word, one quoted text, or one punctuation mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// As written, without the quotes.
    pub raw: String,
    /// Lower case; what phrases are compared with.
    pub low: String,
    /// Quoted text can fill a slot but never is a word of a phrase: an order inside quotes stays text.
    pub quoted: bool,
}

impl Token {
    fn word(raw: &str) -> Token {
        Token { raw: raw.to_owned(), low: raw.to_lowercase(), quoted: false }
    }

    /// True for a bare punctuation mark that ends or joins clauses.
    pub fn is(&self, mark: &str) -> bool {
        !self.quoted && self.low == mark
    }
}

const CLOSING: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
/// Words whose "'s" is short for "is", not a possessive.
const CONTRACTED: [&str; 8] = ["what", "who", "how", "where", "that", "it", "there", "when"];

/// Cuts a sentence into tokens.
pub fn tokens(sentence: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = sentence.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some((inner, after)) = quoted(rest, first) {
            out.push(Token { raw: inner.to_owned(), low: inner.to_lowercase(), quoted: true });
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        word(&rest[..end], &mut out);
        rest = rest[end..].trim_start();
    }
    out
}

/// A quoted text at the start of `rest`, closed by its own mark with white space, punctuation or the end behind it.
fn quoted(rest: &str, first: char) -> Option<(&str, &str)> {
    let close = CLOSING.iter().find(|(open, _)| *open == first)?.1;
    let body = &rest[first.len_utf8()..];
    for (at, _) in body.match_indices(close) {
        let after = &body[at + close.len_utf8()..];
        if after.chars().next().is_none_or(|c| c.is_whitespace() || ".,;!?".contains(c)) {
            return Some((&body[..at], after));
        }
    }
    None
}

fn word(word: &str, out: &mut Vec<Token>) {
    let body = word.trim_end_matches(['.', ',', ';', '!', '?', ':']);
    let marks = &word[body.len()..];
    if !body.is_empty() {
        inner(body, out);
    }
    out.extend(marks.chars().map(|mark| Token::word(mark.encode_utf8(&mut [0; 4]))));
}

/// A word without marks at its end, which may still hold several: `web,api`, `--replicas=3`, `what's`, `backend's`.
fn inner(body: &str, out: &mut Vec<Token>) {
    if let Some((flag, value)) = body.split_once('=')
        && flag.starts_with('-')
        && !value.is_empty()
    {
        out.push(Token::word(flag));
        out.push(Token::word(value));
        return;
    }
    if let Some(("replicas", value)) = body.split_once('=')
        && !value.is_empty()
    {
        out.extend(["replicas", "=", value].map(Token::word));
        return;
    }
    if let Some(at) = body.find([',', ';'])
        && !body.contains('=')
        && !between_digits(body, at)
    {
        if at > 0 {
            inner(&body[..at], out);
        }
        out.push(Token::word(&body[at..=at]));
        if at + 1 < body.len() {
            inner(&body[at + 1..], out);
        }
        return;
    }
    let plain = body.replace('’', "'");
    match plain.strip_suffix("'s").or_else(|| plain.strip_suffix("'S")) {
        Some(stem) if CONTRACTED.contains(&stem.to_lowercase().as_str()) => {
            out.extend([Token::word(stem), Token::word("is")]);
        }
        Some(stem) if !stem.is_empty() && !stem.eq_ignore_ascii_case("let") => {
            out.extend([Token::word(stem), Token::word("'s")]);
        }
        _ => out.push(Token::word(&plain)),
    }
}

/// `1,000` stays one token, so that it can be refused as a number instead of being read as a list.
fn between_digits(body: &str, at: usize) -> bool {
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let bytes = body.as_bytes();
    at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lows(sentence: &str) -> Vec<String> {
        tokens(sentence).into_iter().map(|t| if t.quoted { format!("«{}»", t.low) } else { t.low }).collect()
    }

    #[test]
    fn cuts_words_marks_quotes_and_contractions() {
        assert_eq!(lows("Scale Backend to 3."), ["scale", "backend", "to", "3", "."]);
        assert_eq!(lows("web,api; x"), ["web", ",", "api", ";", "x"]);
        assert_eq!(lows("what's up, api's logs?"), ["what", "is", "up", ",", "api", "'s", "logs", "?"]);
        assert_eq!(
            lows("don't --replicas=3 app=a,b=c 1,000"),
            ["don't", "--replicas", "3", "app=a,b=c", "1,000"]
        );
        assert_eq!(lows("restart \"a b\" now"), ["restart", "«a b»", "now"]);
        assert_eq!(lows("say \"never closed"), ["say", "\"never", "closed"]);
        assert_eq!(lows("todo:1.4 3.5 …"), ["todo:1.4", "3.5", "…"]);
    }
}
