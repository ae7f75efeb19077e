//! Tables that fit the terminal: never a wrapped row; columns go by importance, then the widest is cut (pure).

use kai_tools::report::Table;
use unicode_width::UnicodeWidthStr;

use super::Style;

const GAP: usize = 3;

/// Renders a table for a terminal of that width.
pub fn render(table: &Table, width: usize, style: Style) -> String {
    let mut keep: Vec<usize> = (0..table.columns.len()).collect();
    let natural = |column: usize| {
        let cells = table.rows.iter().filter_map(|r| r.get(column)).map(|c| c.width());
        cells.chain([table.columns[column].name.width()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = keep.iter().map(|c| natural(*c)).collect();
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    while keep.len() > 2 && total(&widths) > width {
        let least =
            keep.iter().enumerate().max_by_key(|(_, c)| table.columns[**c].importance).map(|(i, _)| i);
        let Some(least) = least else { break };
        // A column that can be cut to something readable stays.
        let over = total(&widths) - width;
        if let Some(widest) = (0..widths.len()).max_by_key(|i| widths[*i]).filter(|i| widths[*i] >= over + 24)
        {
            widths[widest] -= over;
            break;
        }
        keep.remove(least);
        widths.remove(least);
    }
    if total(&widths) > width
        && let Some(widest) = (0..widths.len()).max_by_key(|i| widths[*i])
    {
        widths[widest] = widths[widest].saturating_sub(total(&widths) - width).max(8);
    }
    let mut out = String::new();
    if !table.title.is_empty() {
        out.push_str(&format!("{}\n", style.bold(&table.title)));
    }
    let names: Vec<&str> = keep.iter().map(|c| table.columns[*c].name.as_str()).collect();
    out.push_str(&style.dim(row(&names, &widths).trim_end()));
    for cells in &table.rows {
        let cells: Vec<&str> = keep.iter().map(|c| cells.get(*c).map_or("", String::as_str)).collect();
        out.push('\n');
        out.push_str(row(&cells, &widths).trim_end());
    }
    if !table.more.is_empty() {
        out.push_str(&format!("\n{}", style.dim(&format!("... {}", table.more))));
    }
    out
}

fn row(cells: &[&str], widths: &[usize]) -> String {
    let mut out = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let shown = cut(cell, *width);
        out.push_str(&shown);
        if i + 1 < cells.len() {
            out.push_str(&" ".repeat(width.saturating_sub(shown.width()) + GAP));
        }
    }
    out
}

fn cut(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_string();
    }
    let mut out = String::new();
    for c in cell.chars() {
        if out.width() + 1 >= width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_never_exceed_the_terminal() {
        let mut table = Table::new("", &["NAME", "READY", "STATUS", "IMAGE", "NODE"]);
        for i in 0..5 {
            table.push([
                format!("backend-7d9f8c6b54-{i}"),
                "1/1".into(),
                "CrashLoopBackOff".into(),
                "docker.io/library/todo-backend:2026-11-21".into(),
                "kai-worker2".into(),
            ]);
        }
        for width in [20, 40, 60, 80, 120, 200] {
            let text = render(&table, width, Style { color: false });
            for line in text.lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
            assert!(text.contains("NAME"));
        }
        assert!(render(&table, 200, Style { color: false }).contains("kai-worker2"));
    }
}
