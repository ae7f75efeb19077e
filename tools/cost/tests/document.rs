//! docs/cost.md is true: its price file is one, its refusals are the real words, and it names every field of the answer.

#![allow(clippy::unwrap_used)]

use kai_cost::doc::Document;
use kai_cost::prices::Prices;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/cost.md");

/// What stands between two marks, of the first such place.
fn between<'a>(start: &str, end: &str) -> &'a str {
    let rest = PAGE.split_once(start).unwrap_or_else(|| panic!("no {start} in docs/cost.md")).1;
    rest.split_once(end).unwrap().0
}

#[test]
fn the_price_file_is_one() {
    let text = between("```toml\nschema", "```");
    Prices::embedded().with_file("prices.toml", &format!("schema{text}"), false).unwrap();
}

#[test]
fn the_refusals_are_what_is_said() {
    let table = between("| what | what `kai prices check prices.toml` says |\n|---|---|\n", "\n\n");
    let mut rows = 0;
    for row in table.lines() {
        let (what, says) = row.trim_matches('|').split_once(" | ").unwrap();
        let lines: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
        let first =
            if lines[0].starts_with("schema") || what.contains("alone") { "" } else { "schema = 1\n" };
        let file = format!("{first}{}\n", lines.join("\n"));
        let error = Prices::embedded().with_file("prices.toml", &file, false).unwrap_err().to_string();
        assert_eq!(says.trim(), error, "{file}");
        rows += 1;
    }
    assert!(rows >= 35, "{rows}");
}

#[test]
fn every_field_is_named() {
    let schema = serde_json::to_value(schemars::schema_for!(Document)).unwrap();
    let page = between("## JSON", "### CSV");
    let mut parts = vec![&schema];
    parts.extend(schema["$defs"].as_object().unwrap().values());
    let fields = parts.into_iter().filter_map(|part| part.get("properties").and_then(Value::as_object));
    let mut count = 0;
    for field in fields.flat_map(|properties| properties.keys()) {
        assert!(page.contains(&format!("`{field}`")), "{field} is not in docs/cost.md");
        count += 1;
    }
    assert!(count > 90, "{count}");
}
