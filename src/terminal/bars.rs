//! Bars: what is used, what is requested, what is free (pure).

use kai_tools::report::Bar;
use kai_tools::sanitize::line;
use unicode_width::UnicodeWidthStr;

use super::Style;

/// Renders bars for a terminal of that width; where that is narrow, the words stay and the bars go.
pub fn render(title: &str, bars: &[Bar], more: &str, width: usize, style: Style) -> String {
    let longest = |of: fn(&Bar) -> usize| bars.iter().map(of).max().unwrap_or(0);
    let name = longest(|b| b.name.width()).min(width / 2);
    let text = longest(|b| b.text.width());
    let room = width.saturating_sub(name + text + 4).min(30);
    let used = bars.iter().any(|b| b.used.is_some());
    let legend = match (room >= 8, used) {
        (true, true) => "   █ used  ▒ requested  · free",
        (true, false) => "   ▒ requested  · free",
        (false, _) => "",
    };
    let mut out = format!("{}{}", style.bold(title), style.dim(legend));
    for bar in bars {
        let shown = line(&bar.name);
        let gap = " ".repeat(name.saturating_sub(shown.width()) + 2);
        let drawn = if room >= 8 { format!("{}  ", draw(bar, room, style)) } else { String::new() };
        out.push_str(&format!("\n{shown}{gap}{drawn}{}", line(&bar.text)));
    }
    if !more.is_empty() {
        out.push_str(&format!("\n{}", style.dim(&format!("... {more}"))));
    }
    out
}

fn draw(bar: &Bar, room: usize, style: Style) -> String {
    let cells = |part: f64| ((part.clamp(0.0, 1.0) * room as f64).round() as usize).min(room);
    let used = cells(bar.used.unwrap_or(0.0));
    let requested = cells(bar.requested).max(used);
    let full = "█".repeat(used);
    let kept = "▒".repeat(requested - used);
    // More than nine tenths requested: the next pod may not fit.
    let kept = if bar.requested > 0.9 { style.warn(&kept) } else { style.good(&kept) };
    let full = if bar.used.is_some_and(|u| u > bar.requested) { style.bad(&full) } else { full };
    format!("{full}{kept}{}", style.dim(&"·".repeat(room - requested)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_it_says() {
        let bar = Bar { name: "n1 cpu".into(), requested: 0.5, used: Some(0.25), text: "2 of 4".into() };
        let out = render("nodes", std::slice::from_ref(&bar), "", 80, Style { color: false });
        let drawn = out.lines().nth(1).unwrap();
        assert_eq!(drawn.matches('█').count(), 8);
        assert_eq!(drawn.matches('▒').count(), 7);
        assert_eq!(drawn.matches('·').count(), 15);
        let narrow = render("nodes", &[bar], "", 20, Style { color: false });
        assert_eq!(narrow.lines().nth(1).unwrap(), "n1 cpu  2 of 4");
    }
}
