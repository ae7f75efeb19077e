//! When two log lines say the same, and when they are alike: times, ids and numbers taken out (pure).

/// What stands for a time, and for an id or a number.
const TIME: char = '@';
const NUMBER: char = '#';
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The line without the times in it: equal for lines that say the same at different moments.
pub(super) fn untimed(text: &str) -> String {
    replaced(text, |chunk, out| out.push_str(chunk))
}

/// The line without times, ids and numbers: equal for lines that are alike. What tells a failure from a success stays:
/// HTTP statuses of 400 and above by their class, and a zero.
pub(super) fn shape(text: &str) -> String {
    replaced(text, without_numbers)
}

/// Walks through the words of a line, replaces those that are times, and gives the others away.
fn replaced(text: &str, other: impl Fn(&str, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c: char| !is_inner(c)).unwrap_or(rest.len());
        let chunk = rest[..end].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        rest = &rest[chunk.len()..];
        if is_time(chunk) { out.push(TIME) } else { other(chunk, &mut out) }
    }
    out.push_str(rest);
    out
}

/// What may stand inside a time or an id.
fn is_inner(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '/' | '.' | ',' | '+' | '_')
}

fn is_time(chunk: &str) -> bool {
    if !chunk.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let dated = |at: usize| chunk.get(..at).is_some_and(is_date) && chunk.get(at + 1..).is_some_and(is_clock);
    let joined = chunk.get(10..11).is_some_and(|c| c == "T") && dated(10)
        || chunk.get(11..12).is_some_and(|c| c == ":") && dated(11);
    joined || is_date(chunk) || is_clock(chunk) || is_epoch(chunk)
}

/// `2026-11-21`, `2026/11/21`, `21/11/2026`, `21/Nov/2026`.
fn is_date(text: &str) -> bool {
    let separator = if text.contains('/') { '/' } else { '-' };
    let parts: Vec<&str> = text.split(separator).collect();
    let [first, middle, last] = parts[..] else { return false };
    let number = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    (number(first, 4) && number(middle, 2) && number(last, 2))
        || (number(first, 2) && (number(middle, 2) || MONTHS.contains(&middle)) && number(last, 4))
}

/// `04:00:02`, `04:00:02.123Z`, `04:00:02+01:00`.
fn is_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && [0, 1, 3, 4, 6, 7].iter().all(|i| bytes[*i].is_ascii_digit())
        && bytes[2] == b':'
        && bytes[5] == b':'
        && bytes[8..].iter().all(|b| b.is_ascii_digit() || b".,:+-Z".contains(b))
}

/// Seconds or milliseconds since 1970, of this century's years from 2017 on.
fn is_epoch(text: &str) -> bool {
    let whole = text.split('.').next().unwrap_or("");
    matches!(whole.len(), 10 | 13)
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && whole.starts_with(['1'])
        && whole.as_bytes()[1] >= b'5'
}

fn without_numbers(chunk: &str, out: &mut String) {
    match chunk.as_bytes() {
        b"0" => return out.push('0'),
        [class @ (b'4' | b'5'), b'0'..=b'9', b'0'..=b'9'] => {
            out.push(char::from(*class));
            return out.push_str("xx");
        }
        _ if is_uuid(chunk) => return out.push(NUMBER),
        _ => {}
    }
    let mut rest = chunk;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        one_run(run, out);
        let next = tail.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        out.push_str(&tail[..next]);
        rest = &tail[next..];
    }
}

/// Letters and digits without anything between them: a word, a number, or an id.
fn one_run(run: &str, out: &mut String) {
    let is_digit: Vec<bool> = run.bytes().map(|b| b.is_ascii_digit()).collect();
    let changes = is_digit.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let is_hex = run.len() >= 6 && is_digit.contains(&true) && run.bytes().all(|b| b.is_ascii_hexdigit());
    if changes >= 2 || is_hex {
        return out.push(NUMBER);
    }
    let mut in_number = false;
    for c in run.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !in_number {
            out.push(NUMBER);
        }
        in_number = c.is_ascii_digit();
    }
}

fn is_uuid(chunk: &str) -> bool {
    let parts: Vec<&str> = chunk.split('-').collect();
    parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_out_and_addresses_stay() {
        for (text, want) in [
            ("2026/11/21 04:00:02 down", "@ @ down"),
            ("time=\"2026-11-21T04:00:02.123Z\" msg=up", "time=\"@\" msg=up"),
            ("10.0.0.1 - [21/Nov/2026:04:00:02 +0000] GET /", "10.0.0.1 - [@ +0000] GET /"),
            ("{\"ts\":1700000000.25,\"msg\":\"x\"}", "{\"ts\":@,\"msg\":\"x\"}"),
            ("at 04:00:02+01:00, done", "at @, done"),
            ("dial 10.0.0.1:8080 in 2026", "dial 10.0.0.1:8080 in 2026"),
            ("grün ✓ ", "grün ✓"),
        ] {
            assert_eq!(untimed(text), want);
        }
    }

    #[test]
    fn alike_but_for_numbers_and_ids() {
        let alike = |a: &str, b: &str| shape(a) == shape(b);
        assert!(alike("processed 5 items in 20ms", "processed 7123 items in 3ms"));
        assert!(alike(
            "request 550e8400-e29b-41d4-a716-446655440000 ok",
            "request aaaabbbb-cccc-dddd-eeee-ffffffffffff ok"
        ));
        assert!(alike(
            "trace=4bf92f3577b34da6 from 10.0.0.1:80",
            "trace=00f067aa0ba902b7 from 10.1.2.3:8080"
        ));
        assert!(alike("pod web-7d9f4c8b5-x2x9k up", "pod web-6c8e5d7a4-p4q7z up"));
        assert!(!alike("GET / 200", "GET / 503"), "a failure does not hide among successes");
        assert!(alike("GET / 200", "GET / 304"));
        assert!(!alike("done, 0 errors", "done, 3 errors"));
        assert!(!alike("worker started", "worker stopped"));
    }

    #[test]
    fn any_text_is_walked_through() {
        for text in ["", ":::", "é0é", "1-", "-1", "a", "🦀1🦀22:22:22", "0000-00-0é", "00/Nov/0000:é"]
        {
            untimed(text);
            shape(text);
        }
    }
}
