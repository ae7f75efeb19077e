//! `kai mcp config`: what to paste into an editor, so that it starts this kai against the same cluster, rules and records.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::error::{ExitStatus, Failure};
use crate::settings::{Output, Settings};
use crate::terminal::Terminal;

/// Editors start servers without the shell's environment; what these say must not be lost on the way: which cluster,
/// which rules, and where plans wait for `kai approve`.
const PASSED: [&str; 10] = [
    "KUBECONFIG",
    "KAI_CONFIG",
    "KAI_STATE",
    "KAI_CONTEXT",
    "KAI_NAMESPACE",
    "KAI_READ_ONLY",
    "KAI_DRY_RUN",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "NO_PROXY",
];

/// Prints the configuration for an editor to stdout, and where it belongs to stderr.
///
/// # Errors
/// A usage failure for an editor that is not known.
pub fn print(
    settings: &Settings,
    terminal: &Terminal,
    global: &Global,
    editor: &str,
) -> Result<ExitStatus, Failure> {
    let program = std::env::current_exe()?;
    let environment = PASSED
        .iter()
        .filter_map(|name| Some((*name, absolute(name, settings.variable(name)?))))
        .map(|(name, value)| (name.to_string(), Value::String(value)))
        .collect();
    let (snippet, place) = snippet(editor, &program, &arguments(global), environment)?;
    terminal.note(&format!("For {place}:"));
    terminal.structured(Output::Json, &snippet);
    Ok(ExitStatus::Done)
}

fn snippet(
    editor: &str,
    program: &Path,
    arguments: &[String],
    environment: Map<String, Value>,
) -> Result<(Value, &'static str), Failure> {
    let mut server = json!({"command": program.display().to_string(), "args": arguments});
    if !environment.is_empty() {
        server["env"] = Value::Object(environment);
    }
    let (key, place) = match editor {
        "vscode" => ("servers", ".vscode/mcp.json in the workspace, or `MCP: Open User Configuration`"),
        "cursor" => ("mcpServers", "~/.cursor/mcp.json, or .cursor/mcp.json in the project"),
        "claude" => (
            "mcpServers",
            "claude_desktop_config.json (Claude Desktop), or .mcp.json in the project (Claude Code)",
        ),
        "zed" => ("context_servers", "settings.json of Zed"),
        "jetbrains" => ("mcpServers", "Settings | Tools | AI Assistant | Model Context Protocol, as JSON"),
        other => {
            return Err(Failure::usage(format!("no editor `{}` is known", kai_tools::sanitize::line(other)))
                .hint("There are vscode, cursor, claude, zed and jetbrains."));
        }
    };
    if editor == "vscode" {
        server["type"] = json!("stdio");
    }
    Ok((json!({key: {"kai": server}}), place))
}

/// The flags that were given to `kai mcp config`, for `kai mcp`.
fn arguments(global: &Global) -> Vec<String> {
    let mut all: Vec<String> = vec!["mcp".into()];
    let mut pair = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            all.extend([flag.to_string(), value]);
        }
    };
    pair("--context", global.context.clone());
    pair("--namespace", global.namespace.clone());
    pair("--kubeconfig", global.kubeconfig.as_ref().map(|p| absolute("--kubeconfig", &p.to_string_lossy())));
    pair("--as", global.as_user.clone());
    for group in &global.as_groups {
        pair("--as-group", Some(group.clone()));
    }
    for (flag, set) in
        [("--read-only", global.read_only), ("--dry-run", global.dry_run), ("--yes", global.yes)]
    {
        if set {
            all.push(flag.into());
        }
    }
    all
}

/// Paths from the shell's folder mean nothing in the editor's: they are made absolute.
fn absolute(name: &str, value: &str) -> String {
    let full = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
    match name {
        "KUBECONFIG" | "--kubeconfig" => std::env::join_paths(std::env::split_paths(value).map(full))
            .map_or_else(|_| value.to_string(), |p| p.to_string_lossy().into_owned()),
        "KAI_CONFIG" | "KAI_STATE" => full(value.into()).to_string_lossy().into_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_has_its_own_shape() {
        for (editor, key) in [
            ("vscode", "servers"),
            ("cursor", "mcpServers"),
            ("claude", "mcpServers"),
            ("zed", "context_servers"),
            ("jetbrains", "mcpServers"),
        ] {
            let (value, _) = snippet(editor, Path::new("/opt/kai"), &["mcp".into()], Map::new()).unwrap();
            assert_eq!(value[key]["kai"]["command"], "/opt/kai", "{value}");
            assert_eq!(value[key]["kai"]["args"], json!(["mcp"]));
        }
        let unknown = snippet("ed", Path::new("/opt/kai"), &[], Map::new());
        assert!(unknown.is_err_and(|e| e.status == ExitStatus::Usage));
    }

    #[test]
    fn flags_go_along_and_fences_are_not_lost() {
        let global = Global {
            context: Some("kind-kai".into()),
            namespace: Some("todo".into()),
            kubeconfig: Some("some/config".into()),
            read_only: true,
            ..Global::default()
        };
        let all = arguments(&global);
        assert_eq!(all[..5], ["mcp", "--context", "kind-kai", "--namespace", "todo"]);
        assert!(all[5] == "--kubeconfig" && Path::new(&all[6]).is_absolute(), "{all:?}");
        assert_eq!(all.last().unwrap(), "--read-only");
    }
}
