//! Log lines: taken apart, merged by time, repeats folded, cut to size (pure).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::shape::{shape, untimed};
use crate::redact;
use crate::report::bounded;
use crate::sanitize;

/// Most bytes of one line.
const LINE_BYTES: usize = 2000;

/// A line of a log, cleaned and redacted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub pod: String,
    /// When the container wrote it; `None` when its node does not say.
    pub time: Option<Timestamp>,
    pub text: String,
}

/// Lines in a row that say the same, or that are alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Folded {
    /// The first of them.
    pub line: Line,
    /// The last of them, where they are only alike.
    pub last: Option<Line>,
    pub times: usize,
    /// How many pods wrote them.
    pub pods: usize,
}

/// So many lines that are only alike are folded: of fewer, each may matter.
const ALIKE: usize = 4;

/// The last lines of a log, each with the time that the node put in front of it.
pub(super) fn lines(log: &str, pod: &str, most: usize) -> Vec<Line> {
    let (mut times, mut texts) = (Vec::new(), Vec::new());
    for line in log.lines() {
        let (time, text) = match line.split_once(' ') {
            Some((first, rest)) if first.len() >= 20 => match first.parse::<Timestamp>() {
                Ok(time) => (Some(time), rest),
                Err(_) => (None, line),
            },
            _ => (None, line),
        };
        times.push(time);
        texts.push(without_colours(text.trim_end_matches('\r')));
    }
    // Redacted as one text, because a private key is a secret over several lines; their number stays.
    let safe = redact::text(&texts.join("\n"));
    let skipped = times.len().saturating_sub(most);
    let lines = times.into_iter().zip(safe.split('\n')).skip(skipped);
    lines
        .map(|(time, text)| {
            let text = bounded(&sanitize::line(text), LINE_BYTES).replace('\n', " ");
            Line { pod: pod.into(), time, text }
        })
        .collect()
}

/// The text without the sequences that only colour it: they would stand between a name and its secret.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split("\u{1b}[");
    out.push_str(parts.next().unwrap_or(""));
    for part in parts {
        let end = part.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        match part[end..].strip_prefix('m') {
            Some(rest) => out.push_str(rest),
            None => {
                out.push_str("\u{1b}[");
                out.push_str(part);
            }
        }
    }
    out
}

/// From when to when, for a sentence: ` from 12:00:01 to 12:03:44 UTC`.
pub(super) fn span(lines: &[Line]) -> String {
    let times = || lines.iter().filter_map(|l| l.time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return String::new() };
    let day = if first.strftime("%F").to_string() == last.strftime("%F").to_string() {
        "%H:%M:%S"
    } else {
        "%F %H:%M:%S"
    };
    format!(" from {} to {} UTC", first.strftime(day), last.strftime(day))
}

/// All lines in the order of time. Lines in a row that say the same are folded into one, and many that differ in
/// numbers alone into the first and the last. A line without a time stays behind the one that it came after.
pub(super) fn merge(lines: Vec<Line>) -> Vec<Folded> {
    let mut keyed = Vec::with_capacity(lines.len());
    let mut last: (String, Timestamp) = (String::new(), Timestamp::MIN);
    for line in lines {
        if last.0 != line.pod {
            last = (line.pod.clone(), Timestamp::MIN);
        }
        last.1 = line.time.unwrap_or(last.1);
        keyed.push((last.1, line));
    }
    keyed.sort_by_key(|(time, _)| *time);
    let sorted: Vec<Line> = keyed.into_iter().map(|(_, line)| line).collect();
    let mut folded = Vec::new();
    for run in runs(&sorted, shape) {
        let same: Vec<&[Line]> = runs(run, untimed).collect();
        if run.len() >= ALIKE && same.len() > 1 {
            folded.push(one(run, run.last().cloned()));
        } else {
            folded.extend(same.into_iter().map(|lines| one(lines, None)));
        }
    }
    folded
}

/// The longest stretches of lines whose texts come to the same.
fn runs(lines: &[Line], of: fn(&str) -> String) -> impl Iterator<Item = &[Line]> {
    let keys: Vec<String> = lines.iter().map(|l| of(&l.text)).collect();
    let mut start = 0;
    std::iter::from_fn(move || {
        let key = keys.get(start)?;
        let length = keys[start..].iter().take_while(|k| *k == key).count();
        start += length;
        lines.get(start - length..start)
    })
}

fn one(lines: &[Line], last: Option<Line>) -> Folded {
    let pods: BTreeSet<&str> = lines.iter().map(|l| l.pod.as_str()).collect();
    Folded { line: lines[0].clone(), last, times: lines.len(), pods: pods.len() }
}

/// The lines as they are shown, the newest that fit, and how many older ones do not. `name` is how a pod is called in
/// front of its lines; empty when there is but one.
pub(super) fn shown(
    folded: &[Folded],
    name: impl Fn(&str) -> String,
    most_bytes: usize,
) -> (Vec<String>, usize) {
    let mut out: Vec<String> = Vec::new();
    let (mut bytes, mut kept) = (0, 0);
    let written = |line: &Line| match name(&line.pod) {
        name if name.is_empty() => line.text.clone(),
        name => format!("[{}] {}", sanitize::line(&name), line.text),
    };
    for one in folded.iter().rev() {
        let first = written(&one.line);
        let last = one.last.as_ref().map(written);
        bytes += first.len() + 1 + last.as_ref().map_or(0, |l| l.len() + 1);
        if bytes > most_bytes {
            break;
        }
        kept += 1;
        let pods = if one.pods > 1 { format!(", by {} pods", one.pods) } else { String::new() };
        match last {
            Some(last) => {
                out.push(last);
                out.push(format!("... {} more like these{pods}", one.times - 2));
            }
            None if one.times == 2 => out.push(format!("... repeated once more{pods}")),
            None if one.times > 2 => out.push(format!("... repeated {} times more{pods}", one.times - 1)),
            None => {}
        }
        out.push(first);
    }
    out.reverse();
    (out, folded[..folded.len() - kept].iter().map(|f| f.times).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_s_time_is_taken_off() {
        let log = "2026-11-21T04:00:00.5Z hello\r\nno time here\n2026-11-21T04:00:01Z password=hunter22 \u{1b}[31mred\n";
        let lines = lines(log, "web-1", 50);
        assert_eq!(lines[0].text, "hello");
        assert_eq!(lines[0].time.unwrap().to_string(), "2026-11-21T04:00:00.5Z");
        assert_eq!((lines[1].time, lines[1].text.as_str()), (None, "no time here"));
        assert_eq!(lines[2].text, "password=[redacted] red");
        assert_eq!(super::lines(log, "web-1", 1).len(), 1, "a node that ignores tailLines");
    }

    #[test]
    fn colours_go_before_secrets_are_looked_for() {
        let line =
            &lines("\u{1b}[1;31mERROR\u{1b}[0m password=\u{1b}[33mhunter22\u{1b}[0m \u{1b}[2J", "p", 50)[0];
        assert_eq!(line.text, "ERROR password=[redacted] \\u{1b}[2J");
    }

    #[test]
    fn a_private_key_goes_as_a_whole() {
        let log = "2026-11-21T04:00:00Z key: -----BEGIN RSA PRIVATE KEY-----\n2026-11-21T04:00:00Z MIIEabc\n2026-11-21T04:00:00Z -----END RSA PRIVATE KEY-----\n2026-11-21T04:00:01Z after\n";
        let lines = lines(log, "p", 50);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|l| !l.text.contains("MIIE")), "{lines:?}");
        assert_eq!(lines[3].text, "after");
    }

    #[test]
    fn pods_are_merged_by_time_and_repeats_folded() {
        let mut all = lines("2026-11-21T04:00:00Z a\n  trace\n2026-11-21T04:00:04Z b\n", "p1", 50);
        all.extend(lines(
            "2026-11-21T04:00:02Z 2026/11/21 04:00:02 down\n2026-11-21T04:00:03Z 2026/11/21 04:00:03 down\n",
            "p2",
            50,
        ));
        assert_eq!(span(&all), " from 04:00:00 to 04:00:04 UTC");
        let folded = merge(all);
        let (shown, cut) = shown(&folded, str::to_string, 1000);
        assert_eq!(
            shown,
            ["[p1] a", "[p1]   trace", "[p2] 2026/11/21 04:00:02 down", "... repeated once more", "[p1] b"]
        );
        assert_eq!(cut, 0);
    }

    #[test]
    fn lines_that_differ_in_numbers_alone_become_two() {
        let log: String =
            (1..=20).map(|i| format!("2026-11-21T04:00:{i:02}Z done {i} of 20 in {i}ms\n")).collect();
        let (many, cut) = shown(&merge(lines(&log, "p", 50)), |_| String::new(), 1000);
        assert_eq!(many, ["done 1 of 20 in 1ms", "... 18 more like these", "done 20 of 20 in 20ms"]);
        assert_eq!(cut, 0);
        let few = "a 1\na 2\na 2\nb 1\n";
        let (few, _) = shown(&merge(lines(few, "p", 50)), |_| String::new(), 1000);
        assert_eq!(few, ["a 1", "a 2", "... repeated once more", "b 1"]);
    }

    #[test]
    fn the_newest_lines_stay_when_it_is_too_much() {
        let word = |i: usize| format!("{}{}", ["red", "green", "blue"][i % 3], "x".repeat(i / 3));
        let log: String = (0..100).map(|i| format!("2026-11-21T04:00:00Z line {}\n", word(i))).collect();
        let (shown, cut) = shown(&merge(lines(&log, "p", 500)), |_| String::new(), 160);
        assert_eq!(shown.last().unwrap(), &format!("line {}", word(99)));
        assert_eq!(shown.len() + cut, 100);
        assert!(shown.len() < 15);
    }
}
