//! The values that a person gave: files and `key=value`, merged as Helm merges them.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::chart::yaml;
use crate::error::ToolError;
use crate::sanitize;

/// The values of files, later ones over earlier ones, and then those that were set one by one.
///
/// # Errors
/// [`ToolError::Invalid`] naming the file or the setting that is wrong.
pub fn user_values(files: &[String], set: &[String]) -> Result<Value, ToolError> {
    let mut all = json!({});
    for file in files {
        let values = yaml(Path::new(file))?;
        if !values.is_object() {
            return Err(ToolError::Invalid(format!("{}: values are a map", sanitize::line(file))));
        }
        merge(&mut all, values);
    }
    for setting in set {
        let wrong = |why: &str| ToolError::Invalid(format!("`{}`: {why}", sanitize::line(setting)));
        let (path, value) = setting.split_once('=').ok_or_else(|| wrong("a value is set as key=value"))?;
        if path.is_empty()
            || path.contains(['[', ']', ',', '\\'])
            || value.contains(',') && !value.starts_with('{')
        {
            return Err(wrong(
                "only plain keys such as a.b.c are taken here; put the rest into a values file",
            ));
        }
        let mut value = typed(value);
        for key in path.rsplit('.') {
            value = json!({key: value});
        }
        merge(&mut all, value);
    }
    Ok(all)
}

/// What a text after `=` is, as Helm reads it.
fn typed(text: &str) -> Value {
    match text {
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        _ => match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(list) => list.split(',').map(|item| typed(item.trim())).collect(),
            None => match text.parse::<i64>() {
                Ok(number) if !text.starts_with('0') || text == "0" => json!(number),
                _ => json!(text),
            },
        },
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                let slot = into.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if slot.is_object() && value.is_object() { merge(slot, value) } else { *slot = value }
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_settings_are_merged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.yaml");
        std::fs::write(&path, "a: {b: 1, c: 2}\nlist: [1]\n").unwrap();
        let file = path.display().to_string();
        let set = ["a.b=3", "on=true", "tag=1.10", "zero=007", "l={x,y}"].map(String::from);
        assert_eq!(
            user_values(&[file], &set).unwrap(),
            json!({"a": {"b": 3, "c": 2}, "list": [1], "on": true, "tag": "1.10", "zero": "007", "l": ["x", "y"]})
        );
        for bad in ["a", "=1", "a[0]=1", "a=1,b=2"] {
            assert!(user_values(&[], &[bad.into()]).is_err(), "{bad}");
        }
    }
}
