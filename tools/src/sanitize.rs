//! Text from outside made safe to show: no control sequences, no invisible or direction-changing characters.

/// The text with everything that could move a cursor, hide, reorder or forge made visible as `\u{..}` escapes.
/// Line feeds and tabs stay when `multiline`; otherwise they are escaped too, so one value is always one line.
pub fn clean(text: &str, multiline: bool) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' if multiline => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// One line of text from outside.
pub fn line(text: &str) -> String {
    clean(text, false)
}

/// Characters that a reader cannot see, or that change how others are seen: C0, C1, bidi controls, zero-width
/// characters, variation selectors, tag characters, other default-ignorables and private use.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c as u32,
            0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF
            | 0xFFA0 | 0xFFF0..=0xFFFB | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
            | 0xE000..=0xF8FF | 0xE0000..=0xE0FFF | 0xF0000..=0x10FFFF)
}

/// Whether a name mixes Latin letters with look-alikes of another script: shown to the reader with its code points.
pub fn is_mixed_script(name: &str) -> bool {
    let latin = name.chars().any(|c| c.is_ascii_alphabetic());
    latin && name.chars().any(|c| c.is_alphabetic() && !c.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_leaves() {
        assert_eq!(line("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(line("3\r300\x08"), "3\\r300\\u{8}");
        assert_eq!(line("todo\u{202e}dorp"), "todo\\u{202e}dorp");
        assert_eq!(line("x\u{e0041}y\u{200b}"), "x\\u{e0041}y\\u{200b}");
        assert_eq!(clean("a\nb\u{9b}31m", true), "a\nb\\u{9b}31m");
        assert_eq!(line("grün ✓"), "grün ✓");
    }

    #[test]
    fn every_code_point_is_safe_or_escaped() {
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            let out = line(&c.to_string());
            assert!(!out.chars().any(is_hidden), "{:x}", c as u32);
        }
    }

    #[test]
    fn look_alikes() {
        assert!(is_mixed_script("p\u{430}yments"));
        assert!(!is_mixed_script("payments"));
    }
}
