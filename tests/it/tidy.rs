//! The shape of the source, where a compiler does not hold it.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no source");
    found
}

/// Source without its test modules.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn every_file_says_what_it_owns_and_stays_small() {
    for folder in ["src", "tools/src", "tools/cost", "tools/diagnose", "evals/src", "evals/tests", "tests"] {
        for (path, text) in sources(folder) {
            if !shown(&path).contains("compile_fail") {
                assert!(text.starts_with("//!"), "{} does not begin with //!", shown(&path));
            }
            let lines = code(&text).lines().count();
            assert!(
                lines <= 500,
                "{} has {lines} lines: what is the second thing that it does?",
                shown(&path)
            );
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let manifest = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let tools = manifest("tools/Cargo.toml");
    for crate_name in ["async-openai", "clap", "rmcp", "rustyline", "anyhow", "kai-evals", "reqwest"] {
        assert!(!tools.lines().any(|l| l.starts_with(crate_name)), "kai-tools depends on {crate_name}");
    }
    for pure in ["tools/cost/Cargo.toml", "tools/diagnose/Cargo.toml"] {
        for client in ["kube", "tokio", "reqwest", "http", "kai-tools"] {
            let own = manifest(pure);
            assert!(
                !own.lines().any(|l| l.starts_with(client)),
                "{pure} depends on {client}: it can do no I/O"
            );
        }
    }
    let evals = manifest("evals/Cargo.toml");
    assert!(
        !evals.contains("kai-tools")
            && !evals.lines().any(|l| l.starts_with("kai ") || l.starts_with("kai."))
    );
    let lock = manifest("Cargo.lock");
    for name in ["openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} is in the tree");
    }
    let dependencies = manifest("Cargo.toml")
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("[dev-dependencies]")
        .next()
        .unwrap()
        .to_string();
    assert!(!dependencies.contains("kai-evals"), "kai-evals is for tests only");
}

#[test]
fn one_place_writes_one_prints_one_reads_settings() {
    let only = |folder: &str, needle: &str, allowed: &[&str]| {
        for (path, text) in sources(folder) {
            let name = shown(&path);
            if !name.contains("/tests") && code(&text).contains(needle) {
                assert!(allowed.iter().any(|a| name.starts_with(a)), "{name} has `{needle}`");
            }
        }
    };
    only("tools/src", "Permit::new(", &["tools/src/cluster/write.rs", "tools/src/cluster/guard.rs"]);
    only("tools/src", "Permit::stream(", &["tools/src/cluster/stream.rs", "tools/src/cluster/guard.rs"]);
    only("tools/src", "stream::exec(", &["tools/src/review"]);
    only("tools/src", "stream::forward(", &["tools/src/review"]);
    only("tools/src", "Licence(", &["tools/src/review"]);
    only("tools/src", "write::send(", &["tools/src/review"]);
    only("tools/src", "println!", &[]);
    // What a child process is handed on; no setting.
    only("tools/src", "env::var", &["tools/src/render.rs"]);
    only("src", "println!", &["src/terminal"]);
    only("src", "env::var(", &["src/settings"]);
    only("src", "std::process::Command", &[]);
    only("tools/src", "process::Command", &["tools/src/render.rs"]);
}

/// Tests of one run share a cluster, and a world's name is its namespace: of two with one name, the slower fails.
#[test]
fn no_two_tests_share_a_namespace() {
    let mut seen: Vec<(String, String)> = Vec::new();
    for (path, text) in sources("tests/it") {
        for call in ["World::new(\"", "World::empty(\""] {
            for rest in text.split(call).skip(1) {
                let name = rest.split('"').next().unwrap_or_default().to_owned();
                // This file only names them.
                if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty() {
                    let place = shown(&path);
                    let twin = seen.iter().find(|(other, _)| *other == name);
                    assert!(twin.is_none(), "{place} and {} both use the name {name}", twin.unwrap().1);
                    seen.push((name, place));
                }
            }
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
}
