//! Charts, kustomizations and folders of manifests that go by a name, below the working folder.

use std::path::{Path, PathBuf};

/// Deeper folders are not looked into.
const DEPTH: usize = 4;
/// More folders than this are not looked into.
const MOST: usize = 5000;

/// The folders that a name can mean, nearest first: those called so (`todo`, `todo-app`) that hold a chart, a
/// kustomization or manifests.
pub(super) fn find(root: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_path_buf(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut below: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
        below.sort_by(|a, b| b.cmp(a));
        for path in below {
            let called = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_lowercase();
            seen += 1;
            if called.starts_with('.')
                || matches!(called.as_str(), "node_modules" | "target" | "vendor")
                || seen > MOST
            {
                continue;
            }
            let chart = chart_name(&path);
            let is_called = is_meant(&called, name) || chart.is_some_and(|chart| is_meant(&chart, name));
            if is_called && holds_manifests(&path) {
                found.push(path.strip_prefix(".").unwrap_or(&path).to_path_buf());
            } else if depth < DEPTH {
                open.push((path, depth + 1));
            }
        }
    }
    found.sort();
    found
}

fn is_meant(folder: &str, name: &str) -> bool {
    let plain = |s: &str| s.replace(['_', '.'], "-");
    let (folder, name) = (plain(folder), plain(name));
    folder == name || folder == format!("{name}-app") || folder == format!("{name}-chart")
}

/// What a chart calls itself.
fn chart_name(folder: &Path) -> Option<String> {
    let path = folder.join("Chart.yaml");
    let small = path.metadata().is_ok_and(|m| m.len() < 1 << 20);
    let text = small.then(|| std::fs::read_to_string(path).ok()).flatten()?;
    let name = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    Some(name.trim().trim_matches(['"', '\'']).to_lowercase())
}

/// Whether a folder is a chart, a kustomization, or holds YAML that says what kind of object it is.
fn holds_manifests(folder: &Path) -> bool {
    if ["Chart.yaml", "kustomization.yaml", "kustomization.yml"].iter().any(|f| folder.join(f).exists()) {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|e| e.path()).any(|p| {
        let yaml = matches!(p.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json"));
        yaml && p.metadata().is_ok_and(|m| m.len() < 1 << 20)
            && std::fs::read_to_string(&p).is_ok_and(|t| t.contains("apiVersion") && t.contains("kind"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_name_when_they_hold_manifests() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("helm/todo-app/Chart.yaml", "name: todo-app");
        write("src/todo/main.rs", "fn main() {}");
        write("node_modules/todo/x.yaml", "apiVersion: v1\nkind: Pod");
        let names: Vec<String> = find(root.path(), "todo")
            .iter()
            .map(|p| p.strip_prefix(root.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["helm/todo-app"]);
        write("deploy/chart/Chart.yaml", "apiVersion: v2\nname: \"orders\"\n");
        assert_eq!(find(root.path(), "orders").len(), 1, "by the name in the chart");
        write("k8s/todo/app.yaml", "apiVersion: v1\nkind: Pod");
        assert_eq!(find(root.path(), "todo").len(), 2);
        assert!(find(root.path(), "shop").is_empty());
    }
}
