//! Log lines: taken apart, merged by time, repeats folded, cut to size (pure).

use jiff::Timestamp;

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

/// A line and how often it came in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Folded {
    pub line: Line,
    pub times: usize,
    /// The pods that wrote it, when several did.
    pub pods: usize,
}

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

/// All lines in the order of time, with lines that say the same in a row folded into one. A line without a time stays
/// behind the one that it came after.
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
    let mut folded: Vec<Folded> = Vec::new();
    let mut writers: Vec<String> = Vec::new();
    for (_, line) in keyed {
        match folded.last_mut().filter(|f| said(&f.line.text) == said(&line.text)) {
            Some(same) => {
                same.times += 1;
                if !writers.contains(&line.pod) {
                    writers.push(line.pod);
                    same.pods += 1;
                }
            }
            None => {
                writers = vec![line.pod.clone()];
                folded.push(Folded { line, times: 1, pods: 1 });
            }
        }
    }
    folded
}

/// What a line says, without the time that the program itself put in front.
fn said(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some((word, after)) = rest.split_once(' ') {
        let bare = word.trim_matches(['[', ']', '(', ')', ',']);
        let digits = bare.bytes().filter(u8::is_ascii_digit).count();
        let is_time = digits >= 4
            && bare.contains([':', '-', '/'])
            && bare.bytes().all(|b| b.is_ascii_digit() || b":-./,+TZI".contains(&b));
        if !is_time {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

/// The lines as they are shown, the newest that fit, and how many older ones do not.
pub(super) fn shown(folded: &[Folded], several: bool, most_bytes: usize) -> (Vec<String>, usize) {
    let mut out: Vec<String> = Vec::new();
    let (mut bytes, mut kept) = (0, 0);
    for one in folded.iter().rev() {
        let prefix = if several { format!("[{}] ", sanitize::line(&one.line.pod)) } else { String::new() };
        let text = format!("{prefix}{}", one.line.text);
        bytes += text.len() + 1;
        if bytes > most_bytes {
            break;
        }
        kept += 1;
        if one.times > 1 {
            let pods = if one.pods > 1 { format!(", by {} pods", one.pods) } else { String::new() };
            let again = if one.times == 2 { "once".into() } else { format!("{} times", one.times - 1) };
            out.push(format!("... repeated {again} more{pods}"));
        }
        out.push(text);
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
        let (shown, cut) = shown(&folded, true, 1000);
        assert_eq!(
            shown,
            ["[p1] a", "[p1]   trace", "[p2] 2026/11/21 04:00:02 down", "... repeated once more", "[p1] b"]
        );
        assert_eq!(cut, 0);
    }

    #[test]
    fn the_newest_lines_stay_when_it_is_too_much() {
        let log: String = (0..100).map(|i| format!("2026-11-21T04:00:00Z line number {i}\n")).collect();
        let (shown, cut) = shown(&merge(lines(&log, "p", 500)), false, 160);
        assert_eq!(shown.last().unwrap(), "line number 99");
        assert_eq!(shown.len() + cut, 100);
        assert!(shown.len() < 15);
    }
}
