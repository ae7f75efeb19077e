//! A report as Markdown, for tickets and pull requests (pure).

use kai_tools::report::{Block, Report, Table};

/// Renders tables as tables and sentences as a list.
pub fn report(report: &Report) -> String {
    let mut parts: Vec<String> = Vec::new();
    for block in &report.blocks {
        match block {
            Block::Table(found) => parts.push(table(found)),
            Block::Bars { title, bars, .. } => {
                let lines: Vec<String> =
                    bars.iter().map(|b| format!("- {}: {}", cell(&b.name), cell(&b.text))).collect();
                parts.push(format!("**{title}**\n\n{}", lines.join("\n")));
            }
            Block::Findings(_) => {
                let only = Report { blocks: vec![block.clone()], ..Report::default() };
                parts.push(format!("```\n{}\n```", only.for_model()));
            }
            Block::Text { title, lines } => parts.push(format!("{title}\n\n```\n{}\n```", lines.join("\n"))),
        }
    }
    if !report.say.is_empty() {
        parts.push(report.say.iter().map(|s| format!("- {s}")).collect::<Vec<_>>().join("\n"));
    }
    parts.join("\n\n").trim().to_string()
}

fn table(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|c| cell(&c.name)).collect();
    let mut out =
        if table.title.is_empty() { String::new() } else { format!("**{}**\n\n", cell(&table.title)) };
    out.push_str(&format!("| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len())));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|c| cell(c)).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    if !table.more.is_empty() {
        out.push_str(&format!("\n... {}\n", table.more));
    }
    out.trim_end().to_string()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_what_is_said() {
        let mut found = Table::new("t", &["A", "B"]);
        found.push(["x|y", "1"]);
        let out = report(&Report {
            say: vec!["so".into()],
            blocks: vec![Block::Table(found)],
            ..Report::default()
        });
        assert_eq!(out, "**t**\n\n| A | B |\n|---|---|\n| x\\|y | 1 |\n\n- so");
    }
}
