//! Counts, changes, percentages, places in a list, revisions.

use serde_json::Value as Json;

use super::{Found, Reader, Value};

const ORDINALS: [&str; 10] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

impl Reader<'_> {
    /// A whole number from 0 to `max`, in digits or words. What looks like an amount but is none of that is refused with its reason.
    pub fn count(&self, at: usize, max: u64, what: &str) -> Vec<Found> {
        if let Some((end, n)) = self.number(at) {
            if n > max {
                let reason = format!("{} is more than the {max} {what} that I accept", self.spoken(at, end));
                return vec![(end, Value::Bad(reason))];
            }
            return vec![(end, Value::Json(n.into()))];
        }
        self.odd_amount(at).map(|(end, reason)| (end, Value::Bad(reason))).into_iter().collect()
    }

    /// Digits or number words: "3", "three", "twenty five", "2 thousand", "a dozen".
    pub fn number(&self, at: usize) -> Option<(usize, u64)> {
        let word = self.word(at)?;
        let multiplier = |i: usize| self.word(i).and_then(|w| self.grammar.multipliers.get(w)).copied();
        if word == "a" {
            return multiplier(at + 1).map(|m| (at + 2, m));
        }
        if let Some(m) = multiplier(at) {
            return Some((at + 1, m));
        }
        let (mut end, mut n) = if word.bytes().all(|b| b.is_ascii_digit()) {
            // Digits beyond 64 bits are above every bound that is checked next.
            (at + 1, word.parse().unwrap_or(u64::MAX))
        } else if let Some((tens, ones)) = word.split_once('-') {
            (
                at + 1,
                self.spelled(tens).filter(|t| t % 10 == 0 && *t >= 20)?
                    + self.spelled(ones).filter(|o| *o < 10)?,
            )
        } else {
            let n = self.spelled(word)?;
            let ones = self.word(at + 1).and_then(|w| self.spelled(w)).filter(|o| (1..10).contains(o));
            match ones {
                Some(ones) if n >= 20 && n % 10 == 0 => (at + 2, n + ones),
                _ => (at + 1, n),
            }
        };
        while let Some(m) = multiplier(end) {
            n = n.saturating_mul(m);
            end += 1;
        }
        Some((end, n))
    }

    fn spelled(&self, word: &str) -> Option<u64> {
        self.grammar.numbers.get(word).copied()
    }

    /// Something that a person means as an amount and that is not a whole number.
    fn odd_amount(&self, at: usize) -> Option<(usize, String)> {
        for vague in &self.grammar.vague {
            let words: Vec<&str> = vague.split(' ').collect();
            if (0..words.len()).all(|i| self.word(at + i) == Some(words[i])) {
                return Some((at + words.len(), format!("“{vague}” is not a number")));
            }
        }
        let word = self.word(at)?;
        let negative = word == "minus" && self.number(at + 1).is_some();
        if negative
            || (word.starts_with(['-', '−']) && word.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        {
            let end = if negative { at + 2 } else { at + 1 };
            return Some((end, format!("{} is negative", self.spoken(at, end))));
        }
        let digit = word.starts_with(|c: char| c.is_ascii_digit()) && !word.ends_with(['%', 'x']);
        if digit && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == ',') {
            let end = self
                .number(at + 1)
                .filter(|_| self.word(at + 1).is_some_and(|w| self.grammar.multipliers.contains_key(w)));
            let end = end.map_or(at + 1, |(end, _)| end);
            return Some((end, format!("{} is not a whole number in plain digits", self.spoken(at, end))));
        }
        None
    }

    /// "50%", "50 %", "50 percent", as a factor.
    pub fn percent(&self, at: usize, factor: impl Fn(f64) -> f64) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let word = word.trim_start_matches('+');
        let (digits, end) = match word.strip_suffix('%') {
            Some(digits) => (digits, at + 1),
            None if matches!(self.word(at + 1), Some("%" | "percent")) => (word, at + 2),
            None => return Vec::new(),
        };
        match digits.parse::<u32>() {
            Ok(p) if (1..=1000).contains(&p) => {
                let factor = factor(f64::from(p) / 100.0);
                let value = if factor < 0.0 {
                    Value::Bad(format!("{p} % less leaves less than nothing"))
                } else {
                    Value::Json(tidy(factor))
                };
                vec![(end, value)]
            }
            _ => Vec::new(),
        }
    }

    /// "3x", "2.5x", "3 times".
    pub fn times(&self, at: usize) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let (digits, end) = match word.strip_suffix('x') {
            Some(digits) => (digits.to_owned(), at + 1),
            None if self.word(at + 1) == Some("times") => {
                (self.spelled(word).map_or(word.to_owned(), |n| n.to_string()), at + 2)
            }
            None => return Vec::new(),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match digits.parse::<f64>() {
            Ok(n) if plain && n > 0.0 && n <= 100.0 => vec![(end, Value::Json(tidy(n)))],
            _ => Vec::new(),
        }
    }

    /// A place in a numbered list, from 1.
    pub fn ordinal(&self, at: usize) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let number = word.strip_suffix(')').unwrap_or(word).trim_start_matches('#');
        let n = match ORDINALS.iter().position(|o| *o == word) {
            Some(place) => place as u64 + 1,
            None => match number.parse().ok().or_else(|| self.spelled(word)) {
                Some(n) if (1..=99).contains(&n) => n,
                _ => return Vec::new(),
            },
        };
        vec![(at + 1, Value::Json(n.into()))]
    }

    pub fn revision(&self, at: usize) -> Vec<Found> {
        match self.number(at) {
            Some((end, n)) if (1..1_000_000_000).contains(&n) => vec![(end, Value::Json(n.into()))],
            Some((end, _)) => vec![(end, Value::Bad("revisions count from 1".to_owned()))],
            None => Vec::new(),
        }
    }

    /// Tokens as they were written.
    pub fn spoken(&self, from: usize, to: usize) -> String {
        self.tokens[from..to].iter().map(|t| t.raw.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A number as JSON, whole where it is whole.
fn tidy(n: f64) -> Json {
    let rounded = (n * 1000.0).round() / 1000.0;
    if rounded.fract() == 0.0 { Json::from(rounded as i64) } else { Json::from(rounded) }
}
