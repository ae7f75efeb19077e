//! Spans of time, written as the tools take them: `10m`, `24h`, `90s`.

use super::{Found, Reader, Value};

const YEAR: u64 = 366 * 86_400;

impl Reader<'_> {
    /// "10m", "1h30m", "10 minutes", "ten minutes", "an hour", "half an hour", "today".
    pub fn duration(&self, at: usize) -> Vec<Found> {
        let mut found = Vec::new();
        for (words, seconds) in &self.grammar.spans {
            let words: Vec<&str> = words.split(' ').collect();
            if (0..words.len()).all(|i| self.word(at + i) == Some(words[i])) {
                found.push((at + words.len(), *seconds));
            }
        }
        let unit = |i: usize| self.word(i).and_then(|w| self.grammar.units.get(w)).copied();
        if let Some((end, n)) = self.number(at)
            && let Some(seconds) = unit(end)
        {
            found.push((end + 1, n.saturating_mul(seconds)));
        }
        if let Some(seconds) = self.word(at).and_then(|w| self.compact(w)) {
            found.push((at + 1, seconds));
        }
        // "the last hour": the unit alone is one of it.
        if let Some(seconds) = unit(at)
            && self.word(at).is_some_and(|w| w.len() > 2)
        {
            found.push((at + 1, seconds));
        }
        found.into_iter().map(|(end, seconds)| (end, written(seconds))).collect()
    }

    /// Digits and unit letters without spaces, such as `1h30m`.
    fn compact(&self, word: &str) -> Option<u64> {
        let mut total = 0u64;
        let mut rest = word;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0)?;
            let (number, tail) = rest.split_at(digits);
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let seconds = self.grammar.units.get(&tail[..end])?;
            total = total.saturating_add(number.parse::<u64>().ok()?.saturating_mul(*seconds));
            rest = &tail[end..];
        }
        Some(total)
    }
}

fn written(seconds: u64) -> Value {
    match seconds {
        0 => Value::Bad("a span of no time".to_owned()),
        s if s > YEAR => Value::Bad("a span of more than a year".to_owned()),
        s if s % 3600 == 0 => Value::Json(format!("{}h", s / 3600).into()),
        s if s % 60 == 0 => Value::Json(format!("{}m", s / 60).into()),
        s => Value::Json(format!("{s}s").into()),
    }
}
