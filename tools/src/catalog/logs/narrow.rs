//! Which lines of a log are wanted: from when to when, and with what in them (pure).

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};

use super::fold::Line;
use crate::catalog::changes::seconds;
use crate::cluster::read::encode;
use crate::error::ToolError;
use crate::sanitize;

/// A stretch of time; open where nothing was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Window {
    pub since: Option<Moment>,
    pub until: Option<Moment>,
}

/// A point in time, and how it was said: a length before now is left to the node's own clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    time: Timestamp,
    seconds_ago: Option<i64>,
}

impl Moment {
    fn of(said: &str, now: Timestamp) -> Result<Self, ToolError> {
        let said = said.trim();
        if let Ok(time) = said.parse::<Timestamp>() {
            return Ok(Self { time, seconds_ago: None });
        }
        let ago = seconds(said.strip_suffix("ago").map_or(said, str::trim_end)).map_err(|_| {
            ToolError::Invalid(format!(
                "`{}` is no moment: write how long ago, such as 90s, 10m or 1h30m, or a time such as 2026-11-21T04:00:00Z",
                sanitize::line(said)
            ))
        })?;
        let time = Timestamp::from_second(now.as_second().saturating_sub(ago)).unwrap_or(Timestamp::MIN);
        Ok(Self { time, seconds_ago: Some(ago) })
    }
}

impl Window {
    /// # Errors
    /// `Invalid` when one is no moment, or the end comes before the beginning.
    pub(super) fn of(since: Option<&str>, until: Option<&str>, now: Timestamp) -> Result<Self, ToolError> {
        let moment = |said: Option<&str>| said.map(|s| Moment::of(s, now)).transpose();
        let window = Self { since: moment(since)?, until: moment(until)? };
        if let (Some(since), Some(until)) = (&window.since, &window.until)
            && since.time >= until.time
        {
            return Err(ToolError::Invalid("logs: `until` is not after `since`".into()));
        }
        Ok(window)
    }

    /// The part of the request that names the beginning; a kubelet knows no end.
    pub(super) fn query(&self) -> String {
        match &self.since {
            Some(Moment { seconds_ago: Some(ago), .. }) => format!("&sinceSeconds={ago}"),
            Some(Moment { time, .. }) => format!("&sinceTime={}", encode(&time.to_string())),
            None => String::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.since.is_some() && self.until.is_some()
    }

    /// Whether lines after the end were read, so that none before it is missing at the end.
    pub(super) fn ends_before(&self, lines: &[Line]) -> bool {
        let last = lines.iter().rev().find_map(|l| l.time);
        self.until.as_ref().is_some_and(|u| last.is_some_and(|l| l > u.time))
    }

    /// The lines up to the end; one without a time goes with the one before it.
    pub(super) fn keep(&self, mut lines: Vec<Line>) -> Vec<Line> {
        if let Some(until) = &self.until {
            let mut is_in = true;
            lines.retain(|l| {
                is_in = l.time.map_or(is_in, |t| t <= until.time);
                is_in
            });
        }
        lines
    }

    /// For a sentence: ` since 10m`, ` until 2026-11-21T04:00:00Z`.
    pub(super) fn said(since: Option<&str>, until: Option<&str>) -> String {
        let part = |word: &str, said: Option<&str>| {
            said.map(|s| format!(" {word} {}", sanitize::line(s.trim()))).unwrap_or_default()
        };
        format!("{}{}", part("since", since), part("until", until))
    }
}

/// What a line must have in it.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Text as it is, several with `|` between them, or a regular expression between slashes; letters in any case.
    ///
    /// # Errors
    /// `Invalid` when there is nothing to look for, or the expression is none or would not fit into memory.
    pub(super) fn of(said: &str) -> Result<Self, ToolError> {
        let inner = said.strip_prefix('/').and_then(|s| s.strip_suffix('/')).filter(|s| !s.is_empty());
        let plain = || {
            let parts: Vec<String> = said.split('|').filter(|p| !p.is_empty()).map(regex::escape).collect();
            parts.join("|")
        };
        let wanted = inner.map_or_else(plain, String::from);
        if wanted.trim().is_empty() {
            return Err(ToolError::Invalid("logs: `grep` has nothing to look for".into()));
        }
        let built = RegexBuilder::new(&wanted).case_insensitive(true).size_limit(1 << 20).build();
        built.map(Self).map_err(|e| {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or("").trim_start_matches("error: ");
            ToolError::Invalid(format!(
                "`{}` is not a regular expression: {}",
                sanitize::line(said),
                sanitize::line(why)
            ))
        })
    }

    pub(super) fn is_in(&self, line: &Line) -> bool {
        self.0.is_match(&line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::lines;
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T04:00:00Z".parse().unwrap()
    }

    fn window(since: Option<&str>, until: Option<&str>) -> Result<Window, ToolError> {
        Window::of(since, until, now())
    }

    #[test]
    fn moments_are_ages_or_times() {
        assert_eq!(window(Some("10m"), None).unwrap().query(), "&sinceSeconds=600");
        let at = window(Some("2026-11-21T03:00:00Z"), Some("5m ago")).unwrap();
        assert_eq!(at.query(), "&sinceTime=2026-11-21T03%3A00%3A00Z");
        assert_eq!(at.until.unwrap().time.to_string(), "2026-11-21T03:55:00Z");
        for (since, until) in
            [(Some("noon"), None), (Some("5m"), Some("10m")), (Some("99999999w"), Some("x"))]
        {
            assert!(window(since, until).is_err(), "{since:?} {until:?}");
        }
        let error = window(None, Some("noon")).unwrap_err().to_string();
        assert!(error.contains("`noon` is no moment: write how long ago"), "{error}");
    }

    #[test]
    fn the_end_cuts_and_takes_what_belongs_to_a_line_with_it() {
        let log = "2026-11-21T03:50:00Z a\n  trace\n2026-11-21T03:59:00Z b\n  trace of b\n";
        let window = window(Some("1h"), Some("5m")).unwrap();
        let all = lines(log, "p", 50);
        assert!(window.ends_before(&all));
        let texts: Vec<String> = window.keep(all).into_iter().map(|l| l.text).collect();
        assert_eq!(texts, ["a", "  trace"]);
    }

    #[test]
    fn a_pattern_is_text_unless_it_stands_between_slashes() {
        let finds = |pattern: &str, text: &str| Pattern::of(pattern).unwrap().is_in(&lines(text, "p", 1)[0]);
        assert!(finds("refused (111)", "connection REFUSED (111)"));
        assert!(!finds("a.c", "abc"));
        assert!(finds("/a.c/", "xABCx"));
        assert!(
            finds("error|panic", "PANIC: x") && finds("error|", "Error") && !finds("error|panic", "fine")
        );
        assert!(finds("/", "a/b") && finds("//", "a//b"));
        for bad in ["", " ", "|", "/(/", "/(a{1000}){1000}/"] {
            assert!(Pattern::of(bad).is_err(), "{bad}");
        }
        let error = Pattern::of("/(/").unwrap_err().to_string();
        assert!(error.contains("`/(/` is not a regular expression: unclosed group"), "{error}");
    }
}
