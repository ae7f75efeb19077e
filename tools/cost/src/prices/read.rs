//! TOML read key by key, so that whatever is wrong is told with its line, its key and a way out.

use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{PriceError, shown};
use super::limits;
use crate::units::HOURS_PER_MONTH;

/// A file being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub file: &'a str,
    pub text: &'a str,
    /// Takes prices that are far from what is usual.
    pub force: bool,
    /// US dollars for one unit of the file's currency.
    pub fx: f64,
}

impl Text<'_> {
    /// An error at a place in the file.
    pub fn error(
        &self,
        at: usize,
        key: impl Into<String>,
        reason: impl Into<String>,
        advice: impl Into<String>,
    ) -> PriceError {
        PriceError {
            file: self.file.to_owned(),
            line: Some(self.line(at)),
            key: key.into(),
            reason: reason.into(),
            advice: advice.into(),
        }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// A table of the file.
pub(super) struct Section<'a, 'i> {
    pub text: Text<'a>,
    /// "[generic]", or nothing for the top of the file.
    pub name: String,
    /// Where it begins.
    pub at: usize,
    table: &'a DeTable<'i>,
}

/// A number and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub value: f64,
    pub at: usize,
}

impl<'a, 'i> Section<'a, 'i> {
    /// The top of a file.
    pub fn top(text: Text<'a>, table: &'a DeTable<'i>) -> Section<'a, 'i> {
        Section { text, name: String::new(), at: 0, table }
    }

    /// A key as errors name it.
    pub fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{} {key}", self.name) }
    }

    pub fn error(
        &self,
        at: usize,
        key: &str,
        reason: impl Into<String>,
        advice: impl Into<String>,
    ) -> PriceError {
        self.text.error(at, self.key(key), reason, advice)
    }

    /// Refuses keys that are not among `known`: the first of them in the file.
    pub fn only(&self, known: &[&str]) -> Result<(), PriceError> {
        let mut strange: Vec<_> =
            self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())).collect();
        strange.sort_by_key(|(key, _)| key.span().start);
        let Some((key, value)) = strange.first() else { return Ok(()) };
        let (at, name) = (key.span().start, key.get_ref().as_ref());
        if let Some((right, by)) = other_unit(name, known) {
            let advice = match number(value.get_ref()).filter(|given| *given > 0.0) {
                Some(given) => format!("write {right} = {} ({})", shown(given * by.times()), by.says()),
                None => format!("write {right} ({})", by.says()),
            };
            let reason = format!("has the wrong unit: kai reads {right}");
            return Err(self.error(at, name, reason, advice));
        }
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(name, known), *known))
            .min()
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
        let advice = match near {
            Some((_, known)) => format!("did you mean {known}?"),
            None => format!("known here: {}", known.join(", ")),
        };
        Err(self.error(at, name, "is not a key that kai knows here", advice))
    }

    /// A value and where it is.
    pub fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.iter().find(|(known, _)| known.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// All keys and values that are text.
    pub fn texts(&self) -> Result<Vec<(String, String)>, PriceError> {
        self.table
            .iter()
            .map(|(key, value)| match value.get_ref() {
                DeValue::String(text) => Ok((key.get_ref().to_string(), text.to_string())),
                other => Err(self.not_a(key.get_ref(), value.span().start, "text", other)),
            })
            .collect()
    }

    fn not_a(&self, key: &str, at: usize, wanted: &str, found: &DeValue<'_>) -> PriceError {
        let reason = format!("is {} where {wanted} is needed", kind(found));
        let advice = match wanted {
            "text" => format!("write {key} = \"...\""),
            "a number" => "write the number without quotes".to_owned(),
            "a table" => format!("write {key} = {{ ... }} or a section"),
            _ => format!("write {wanted}"),
        };
        self.error(at, key, reason, advice)
    }

    pub fn text(&self, key: &str) -> Result<Option<String>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                Err(self.error(value.span().start, key, "is empty", "give it a value or delete the line"))
            }
            DeValue::String(text) => Ok(Some(text.to_string())),
            other => Err(self.not_a(key, value.span().start, "text", other)),
        }
    }

    /// A date, as text or as TOML's own.
    pub fn date(&self, key: &str) -> Result<Option<Date>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(day) => day.to_string(),
            other => return Err(self.not_a(key, value.span().start, "a date such as \"2026-11-01\"", other)),
        };
        // Only the ten characters of a day: with a time, two readers could mean two days.
        let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
        day.map(Some).ok_or_else(|| {
            let reason = format!("is no date: \"{text}\"");
            self.error(value.span().start, key, reason, "write year-month-day, such as \"2026-11-01\"")
        })
    }

    /// A number that is finite and not negative.
    pub fn number(&self, key: &str) -> Result<Option<Number>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        self.checked(key, value).map(Some)
    }

    fn checked(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Number, PriceError> {
        let at = value.span().start;
        match number(value.get_ref()) {
            None => Err(self.not_a(key, at, "a number", value.get_ref())),
            Some(given) if !given.is_finite() => {
                Err(self.error(at, key, format!("is {given}"), "write a number of 0 or more"))
            }
            Some(given) if given < 0.0 => {
                Err(self.error(at, key, format!("is negative: {given}"), "write a number of 0 or more"))
            }
            Some(value) => Ok(Number { value, at }),
        }
    }

    /// A price, in US dollars.
    pub fn price(&self, key: &str) -> Result<Option<Number>, PriceError> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        let value = number.value * self.text.fx;
        let slip = limits::month_for_hour(number.value, value).filter(|_| key.contains("hour"));
        if let Some((reason, advice)) = slip.filter(|_| !self.text.force) {
            return Err(self.error(number.at, key, reason, advice));
        }
        Ok(Some(Number { value, at: number.at }))
    }

    /// Three factors: lowest, usual, highest.
    pub fn factors(&self, key: &str) -> Result<Option<[f64; 3]>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let advice = "write [lowest, usual, highest] between 0 and 1, such as [0.31, 0.41, 0.49]";
        let at = value.span().start;
        let wrong = |reason: &str| self.error(at, key, reason, advice);
        let DeValue::Array(items) = value.get_ref() else {
            return Err(wrong("is not a list of three numbers"));
        };
        let items: &DeArray<'_> = items;
        let numbers = items
            .iter()
            .map(|item| self.checked(key, item).map(|number| number.value))
            .collect::<Result<Vec<_>, _>>()?;
        let Ok(three) = <[f64; 3]>::try_from(numbers) else {
            return Err(wrong("is not a list of three numbers"));
        };
        if three[0] <= 0.0 || three[2] > 1.0 {
            return Err(wrong("has a factor outside 0 to 1"));
        }
        if three[0] > three[1] || three[1] > three[2] {
            return Err(wrong("is not in rising order"));
        }
        Ok(Some(three))
    }

    /// A table inside.
    pub fn section(&self, key: &str) -> Result<Option<Section<'a, 'i>>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => {
                let name = match self.name.as_str() {
                    "" => format!("[{key}]"),
                    outer => format!("{outer} {key}"),
                };
                Ok(Some(Section { text: self.text, name, at: value.span().start, table }))
            }
            other => Err(self.not_a(key, value.span().start, "a table", other)),
        }
    }

    /// The tables of `[[key]]`.
    pub fn sections(&self, key: &str) -> Result<Vec<Section<'a, 'i>>, PriceError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let name = format!("[[{key}]]");
        let wrong =
            |at| self.text.error(at, key, "is not a list of sections", format!("begin each with {name}"));
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value.span().start)) };
        let items: &'a DeArray<'i> = items;
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::Table(table) => {
                    let at = item.span().start;
                    Ok(Section { text: self.text, name: name.clone(), at, table })
                }
                _ => Err(wrong(item.span().start)),
            })
            .collect()
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|n| n as f64)
        }
        _ => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// From one unit to the other.
#[derive(Clone, Copy)]
enum By {
    MonthToHour,
    HourToMonth,
    /// From a day or a year: so many times as much.
    Times(f64, &'static str),
}

impl By {
    fn times(self) -> f64 {
        match self {
            By::MonthToHour => 1.0 / HOURS_PER_MONTH,
            By::HourToMonth => HOURS_PER_MONTH,
            By::Times(times, _) => times,
        }
    }

    fn says(self) -> &'static str {
        match self {
            By::MonthToHour => "the month's price / 730",
            By::HourToMonth => "the hour's price x 730",
            By::Times(_, says) => says,
        }
    }
}

/// The known key that says the same in another unit: `cpu_core_month` for `cpu_core_hour`.
fn other_unit<'k>(name: &str, known: &[&'k str]) -> Option<(&'k str, By)> {
    const UNITS: [&str; 8] = ["month", "monthly", "hour", "hourly", "day", "daily", "year", "yearly"];
    let parts = |key: &str| -> Option<(String, &'static str)> {
        let unit = UNITS.into_iter().find(|unit| key == *unit || key.ends_with(&format!("_{unit}")))?;
        let base = key.strip_suffix(unit).unwrap_or(key).trim_end_matches('_').to_owned();
        Some((base, &unit[..unit.len().min(4)]))
    };
    let (base, unit) = parts(name)?;
    let (right, wanted) = known.iter().find_map(|known| {
        let (same, wanted) = parts(known)?;
        (same == base).then_some((*known, wanted))
    })?;
    let by = match (unit, wanted) {
        ("mont", "hour") => By::MonthToHour,
        ("hour", "mont") => By::HourToMonth,
        ("year", "hour") => By::Times(1.0 / (12.0 * HOURS_PER_MONTH), "the year's price / 8760"),
        ("year", "mont") => By::Times(1.0 / 12.0, "the year's price / 12"),
        (_, "hour") => By::Times(1.0 / 24.0, "the day's price / 24"),
        _ => By::Times(HOURS_PER_MONTH / 24.0, "the day's price x 730 / 24"),
    };
    Some((right, by))
}
